/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Providers of one name are killed, and others come, in the middle of many calls. Each call has exactly
 * one outcome; those that are idempotent are answered; and nobody is told a wrong number.
 */

#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libcore/util.h"
#include "tests/main.h"
#include "tests/partner.h"

#define NAME "test.kills"
#define PROVIDERS 3
#define CALLS 10000
#define UNDER_WAY 24
#define KILL_EVERY 120 /* calls, about */

typedef struct Call {
        unsigned n; /* times that it ended */
        int error, reason;
        bool is_idempotent;
} Call;

static Daemon d;
static Call calls[CALLS];
static unsigned n_ended;
static uint8_t *n_given; /* times that a provider had it, shared with all of them */

/* Answers until it is killed, with the number that it was asked. */
static void partner_work(p2pbus *bus, Partner *self) {
        p2pbus_message *m, *reply;

        ok(p2pbus_own_name(bus, NAME, PATIENCE));
        partner_tell(self, 0);
        for (;;) {
                if (p2pbus_receive(bus, PATIENCE, &m) != 0)
                        continue;
                __atomic_add_fetch(&n_given[talk_number(m)], 1, __ATOMIC_RELAXED);
                ok(p2pbus_message_new(&reply, p2pbus_message_get_payload(m),
                                      p2pbus_message_get_size(m)));
                ok(p2pbus_reply(bus, m, reply));
                p2pbus_message_unref(reply);
                p2pbus_message_unref(m);
        }
}

static void come(Partner *partner) {
        partner_start(partner, &(PartnerOptions){ .daemon = &d, .run = partner_work });
        (void)partner_hear(partner);
}

static void on_reply(p2pbus *bus, int error, int reason, p2pbus_message *reply, void *userdata) {
        Call *call = userdata;

        (void)bus;
        call->n++;
        call->error = error;
        call->reason = reason;
        n_ended++;
        if (reply)
                ck_assert_uint_eq(talk_number(reply), (uint64_t)(call - calls));
}

static int begin(p2pbus *bus, unsigned number) {
        uint64_t words[4] = { number };
        p2pbus_message *m;
        int r;

        /* As talk_number() wants it: its sum is that of a number alone. */
        words[1] = number;
        ok(p2pbus_message_new(&m, words, 2 * sizeof(words[0])));
        calls[number].is_idempotent = number % 2;
        ok(p2pbus_message_set_idempotent(m, number % 2));
        r = p2pbus_request_start(bus, NAME, m, PATIENCE, on_reply, &calls[number], NULL);
        p2pbus_message_unref(m);
        return r;
}

static void run(p2pbus *bus, uint64_t seed) {
        Partner providers[PROVIDERS];
        unsigned n_begun = 0, n_kills = 0, kill_at = KILL_EVERY;
        unsigned n_answered = 0, n_lost = 0;

        for (unsigned i = 0; i < PROVIDERS; i++)
                come(&providers[i]);
        while (n_ended < CALLS) {
                while (n_begun < CALLS && n_begun - n_ended < UNDER_WAY && begin(bus, n_begun) == 0)
                        n_begun++;
                if (n_begun >= kill_at && n_begun < CALLS) {
                        unsigned victim = talk_random(&seed) % PROVIDERS;

                        ok(p2pbus_process(bus));
                        partner_kill(&providers[victim]);
                        come(&providers[victim]);
                        n_kills++;
                        kill_at = n_begun + 1 + talk_random(&seed) % (2 * KILL_EVERY);
                }
                ok(p2pbus_wait(bus, PATIENCE));
        }
        for (unsigned i = 0; i < CALLS; i++) {
                const Call *call = &calls[i];

                ck_assert_msg(call->n == 1, "call %u ended %u times", i, call->n);
                ck_assert_msg(call->error == 0 ||
                                      (!call->is_idempotent && call->error == -ECONNRESET),
                              "call %u, %sidempotent, ended as %d: %s", i,
                              call->is_idempotent ? "" : "not ", call->error,
                              p2pbus_reason_text(call->reason));
                ck_assert_msg(n_given[i] <= (call->is_idempotent ? 5 : 1),
                              "call %u, %sidempotent, was given to providers %u times", i,
                              call->is_idempotent ? "" : "not ", n_given[i]);
                n_answered += call->error == 0;
                n_lost += call->error != 0;
        }
        printf("# %u kills, %u calls answered, %u told that nobody knows\n", n_kills, n_answered,
               n_lost);
        ck_assert_uint_ge(n_kills, CALLS / (2 * KILL_EVERY));
        for (unsigned i = 0; i < PROVIDERS; i++)
                partner_kill(&providers[i]);
}

static void kill_providers(int ring) {
        const char *given = getenv("SEED");
        uint64_t seed = given ? strtoull(given, NULL, 0) : UINT64_C(20261126) + (uint64_t)ring;
        p2pbus *bus;

        printf("# SEED=%" PRIu64 "\n", seed);
        n_given = mmap(NULL, CALLS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ck_assert_ptr_ne(n_given, MAP_FAILED);
        daemon_start(&d, "--user", ring ? NULL : "[Bus]\nRings=no\n");
        bus = talk_open(&d, 0);
        run(bus, seed);
        p2pbus_unref(bus);
        daemon_stop(&d);
}

START_TEST(each_call_has_one_outcome_through_the_daemon) {
        kill_providers(0);
}
END_TEST

START_TEST(each_call_has_one_outcome_through_rings) {
        kill_providers(1);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("provider_kills");
        TCase *tcase = tcase_create("kills");

        tcase_add_test(tcase, each_call_has_one_outcome_through_the_daemon);
        tcase_add_test(tcase, each_call_has_one_outcome_through_rings);
        tcase_set_timeout(tcase, 120);
        suite_add_tcase(suite, tcase);
        return suite;
}
