/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rings of the library, with a real p2pbusd and other processes: who gets one, and that messages are
 * the same on it. How rings end is check_ring_ends.c's, what liars may do check_ring_liar.c's.
 */

#include "config.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libclient/introduction.h"
#include "libclient/peer.h"
#include "tests/main.h"
#include "tests/partner.h"

#define N_PARTNERS 20

static Daemon daemon_of_test;
static Daemon *const d = &daemon_of_test;
static const PartnerOptions echo = { .daemon = &daemon_of_test, .run = partner_echo };

static void start(void) {
        ck_assert_int_eq(unsetenv("P2PBUS_KEY"), 0);
        daemon_start(d, "--user", NULL);
}

static void stop(void) {
        daemon_stop(d);
}

/* ---- Who gets one ---- */

/* A request is at most four packets: itself, its reply, and what acknowledges them. */
START_TEST(a_pair_that_talks_gets_a_ring_by_itself) {
        unsigned few = INTRODUCTION_PACKETS / 4 - 2, n = 0;
        p2pbus *bus = talk_open(d, 0);
        Partner p;

        partner_start(&p, &echo);
        for (unsigned i = 0; i < few; i++)
                (void)talk_ask(bus, p.full, "0");
        ck_assert_int_eq(talk_path(bus, p.full), P2PBUS_PATH_LOCAL);
        ck_assert_uint_eq(daemon_status(d, "rings_made"), 0);

        talk_until_path(bus, p.full, P2PBUS_PATH_RING);
        while (talk_ask(bus, p.full, "path") != P2PBUS_PATH_RING)
                ck_assert_uint_lt(++n, 100000);
        ck_assert_uint_eq(daemon_status(d, "rings"), 1);
        partner_stop(&p);
        p2pbus_unref(bus);
        talk_until_rings(d, 0);
}
END_TEST

START_TEST(whoever_asks_gets_one_as_soon_as_there_is_a_conversation) {
        p2pbus *bus = talk_open(d, 0);
        Partner p;

        partner_start(&p, &echo);
        ok(p2pbus_set_ring(bus, p.full, P2PBUS_RING_ALWAYS)); /* before the first word */
        talk_until_path(bus, p.full, P2PBUS_PATH_RING);
        ck_assert_uint_eq(daemon_status(d, "rings_made"), 1);
        partner_stop(&p);
        p2pbus_unref(bus);
}
END_TEST

START_TEST(either_side_may_forbid_it) {
        p2pbus *bus = talk_open(d, 0);
        Partner p;

        partner_start(&p, &echo);
        if (_i == 0)
                ok(p2pbus_set_ring(bus, p.full, P2PBUS_RING_NEVER));
        else
                (void)talk_ask(bus, p.full, "rule 2");
        for (unsigned i = 0; i < 500; i++)
                (void)talk_ask(bus, p.full, "0");
        if (_i == 1) { /* nor if it is asked for */
                ok(p2pbus_set_ring(bus, p.full, P2PBUS_RING_ALWAYS));
                for (unsigned i = 0; i < 500; i++)
                        (void)talk_ask(bus, p.full, "0");
        }
        ck_assert_int_eq(talk_path(bus, p.full), P2PBUS_PATH_LOCAL);
        ck_assert_uint_eq(talk_ask(bus, p.full, "path"), P2PBUS_PATH_LOCAL);
        ck_assert_uint_eq(daemon_status(d, "rings_made"), 0);
        /* Whoever was declined waits before it asks again. */
        ck_assert_uint_le(daemon_status(d, "rings_declined"), 10);
        partner_stop(&p);
        p2pbus_unref(bus);
}
END_TEST

START_TEST(a_ring_that_is_forbidden_later_is_given_back) {
        unsigned n_fds, n = 0;
        p2pbus *bus = talk_open(d, 0);
        Partner p;

        partner_start(&p, &echo);
        (void)talk_ask(bus, p.full, "0");
        n_fds = talk_count_fds(0);
        talk_get_ring(bus, p.full);
        ck_assert_uint_gt(talk_count_maps(0), 0);
        if (_i == 0)
                ok(p2pbus_set_ring(bus, p.full, P2PBUS_RING_NEVER));
        else
                (void)talk_ask(bus, p.full, "rule 2");
        talk_until_path(bus, p.full, P2PBUS_PATH_LOCAL);
        while (talk_ask(bus, p.full, "path") != P2PBUS_PATH_LOCAL)
                ck_assert_uint_lt(++n, 100000);
        ok(p2pbus_set_ring(bus, p.full, P2PBUS_RING_NEVER)); /* it would be asked for again */
        talk_until_rings(d, 0);
        ck_assert_uint_eq(talk_count_fds(0), n_fds);
        ck_assert_uint_eq(talk_count_maps(0), 0);
        ck_assert_uint_eq(talk_count_maps(p.os_pid), 0);
        partner_stop(&p);
        p2pbus_unref(bus);
}
END_TEST

static const struct {
        const char *what;
        const char *dest;
        int rule, error;
} no_rules[] = {
        { "no such rule", "0123456789abcdef", 3, -EINVAL },
        { "negative", "0123456789abcdef", -1, -EINVAL },
        { "a name", "some.name", P2PBUS_RING_ALWAYS, -EINVAL },
        { "no destination", "x", P2PBUS_RING_ALWAYS, -EINVAL },
};

START_TEST(what_is_no_rule_is_refused) {
        p2pbus *bus = talk_open(d, 0);

        ck_assert_msg(p2pbus_set_ring(bus, no_rules[_i].dest, no_rules[_i].rule) ==
                              no_rules[_i].error,
                      "accepted: %s", no_rules[_i].what);
        ok(p2pbus_set_ring(bus, p2pbus_get_full(bus), P2PBUS_RING_ALWAYS)); /* to oneself */
        ck_assert_int_eq(talk_send(bus, p2pbus_get_full(bus), 1, 100), 0);
        ck_assert_uint_eq(talk_receive(bus), 1);
        p2pbus_unref(bus);
}
END_TEST

START_TEST(without_rings_nobody_notices) {
        p2pbus *bus;
        Partner p;

        daemon_start(d, "--user", "[Bus]\nRings=no\n");
        bus = talk_open(d, 0);
        partner_start(&p, &echo);
        ok(p2pbus_set_ring(bus, p.full, P2PBUS_RING_ALWAYS));
        for (unsigned i = 0; i < 500; i++)
                (void)talk_ask(bus, p.full, "0");
        ck_assert_int_eq(talk_path(bus, p.full), P2PBUS_PATH_LOCAL);
        ck_assert_uint_eq(talk_count_maps(0), 0);
        partner_stop(&p);
        p2pbus_unref(bus);
        stop();
}
END_TEST

/* The daemon's root may send to all; others may only answer it. */
START_TEST(where_one_direction_is_denied_there_is_none) {
        PartnerOptions options = echo;
        p2pbus *bus;
        Partner p;

        if (geteuid() != 0) {
                printf("# SKIP rings between users: needs root\n");
                return;
        }
        options.uid = 12345;
        daemon_start(d, "--system", NULL);
        bus = talk_open(d, 0);
        partner_start(&p, &options);
        ok(p2pbus_set_ring(bus, p.full, P2PBUS_RING_ALWAYS));
        for (unsigned i = 0; i < 500; i++)
                (void)talk_ask(bus, p.full, "0");
        ck_assert_int_eq(talk_path(bus, p.full), P2PBUS_PATH_LOCAL);
        ck_assert_uint_eq(daemon_status(d, "rings_made"), 0);
        partner_stop(&p);
        p2pbus_unref(bus);
        stop();
}
END_TEST

START_TEST(one_process_may_have_many) {
        unsigned n_fds = talk_count_fds(0);
        p2pbus *bus = talk_open(d, 0);
        Partner p[N_PARTNERS];

        for (unsigned i = 0; i < N_PARTNERS; i++)
                partner_start(&p[i], &echo);
        for (unsigned i = 0; i < N_PARTNERS; i++)
                talk_get_ring(bus, p[i].full);
        ck_assert_uint_eq(daemon_status(d, "rings"), N_PARTNERS);
        for (unsigned k = 0; k < 50; k++)
                for (unsigned i = 0; i < N_PARTNERS; i++)
                        ck_assert_int_eq(talk_send(bus, p[i].full, k, 1000 * i), 0);
        for (unsigned i = 0; i < N_PARTNERS; i++) {
                ck_assert_uint_eq(talk_ask(bus, p[i].full, "count"), 50);
                ck_assert_int_eq(talk_path(bus, p[i].full), P2PBUS_PATH_RING);
        }
        p2pbus_unref(bus);
        for (unsigned i = 0; i < N_PARTNERS; i++)
                partner_stop(&p[i]);
        talk_until_rings(d, 0);
        ck_assert_uint_eq(talk_count_fds(0), n_fds);
        ck_assert_uint_eq(talk_count_maps(0), 0);
}
END_TEST

/* Whatever step it is that finds no descriptor, messages go on, and the bus stays. */
START_TEST(without_descriptors_the_daemon_s_way_is_used) {
        struct rlimit limit, low;
        p2pbus_counters counters = { .struct_size = sizeof(counters) };
        p2pbus *bus = talk_open(d, 0);
        Partner p;

        partner_start(&p, &echo);
        (void)talk_ask(bus, p.full, "0");
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        low = limit;
        for (unsigned spare = 0; spare < 4; spare++) {
                int next = dup(0); /* the lowest that is free */

                ck_assert_int_ge(next, 0);
                (void)close(next);
                low.rlim_cur = (rlim_t)next + spare;
                ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
                ok(p2pbus_set_ring(bus, p.full, P2PBUS_RING_ALWAYS));
                for (unsigned i = 0; i < 200; i++)
                        (void)talk_ask(bus, p.full, "0");
                ok(p2pbus_set_ring(bus, p.full, P2PBUS_RING_NEVER));
                ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
                for (unsigned i = 0; i < 10; i++)
                        (void)talk_ask(bus, p.full, "0");
        }
        ok(p2pbus_get_counters(bus, &counters));
        ck_assert_uint_eq(counters.attaches, 1);
        ck_assert_uint_eq(counters.unknown, 0);
        talk_get_ring(bus, p.full);
        partner_stop(&p);
        p2pbus_unref(bus);
}
END_TEST

/* The same where the offer comes to. */
START_TEST(without_descriptors_an_offer_is_declined) {
        struct rlimit limit, low;
        p2pbus_counters counters = { .struct_size = sizeof(counters) };
        p2pbus *bus = talk_open(d, 0);
        Partner p;

        partner_start(&p, &echo);
        (void)talk_ask(bus, p.full, "0");
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        low = limit;
        for (unsigned spare = 0; spare < 4; spare++) {
                int next = dup(0);

                (void)close(next);
                low.rlim_cur = (rlim_t)next + spare;
                ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
                for (unsigned i = 0; i < 200; i++)
                        (void)talk_ask(bus, p.full, i == 0 ? "rule 1" : "0");
                (void)talk_ask(bus, p.full, "rule 2");
                ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
                for (unsigned i = 0; i < 10; i++)
                        (void)talk_ask(bus, p.full, "0");
        }
        ok(p2pbus_get_counters(bus, &counters));
        ck_assert_uint_eq(counters.attaches, 1);
        ck_assert_uint_eq(counters.unknown, 0);
        (void)talk_ask(bus, p.full, "rule 0");
        talk_get_ring(bus, p.full);
        partner_stop(&p);
        p2pbus_unref(bus);
}
END_TEST

/* ---- Messages ---- */

static void say(p2pbus *bus, const char *dest, const char *text, uint64_t timeout_usec) {
        p2pbus_message *m;

        ok(p2pbus_message_new(&m, text, strlen(text)));
        ok(p2pbus_send(bus, dest, m, timeout_usec, NULL));
        p2pbus_message_unref(m);
        ok(p2pbus_process(bus));
}

/* Its sender does not run to take it back. */
START_TEST(what_waits_too_long_in_a_ring_is_not_handed_out) {
        p2pbus *from = talk_open(d, 0), *to = talk_open(d, 0);
        const char *dest = p2pbus_get_full(to);
        p2pbus_message *m;
        uint64_t until;
        bool is_first;
        int r;

        ok(p2pbus_set_ring(from, dest, P2PBUS_RING_ALWAYS));
        say(from, dest, "first", 0);
        while (talk_path(from, dest) != P2PBUS_PATH_RING) {
                r = p2pbus_receive(to, SECOND / 1000, &m);
                if (r == 0)
                        p2pbus_message_unref(m);
                ok(p2pbus_process(from));
        }
        say(from, dest, "late", SECOND / 20);
        say(from, dest, "last", 0);
        until = now_usec(CLOCK_BOOTTIME) + SECOND / 20 + SECOND / 200;
        while (now_usec(CLOCK_BOOTTIME) <= until)
                ;
        do {
                ok(p2pbus_receive(to, PATIENCE, &m));
                is_first = p2pbus_message_get_size(m) == strlen("first");
                if (is_first)
                        p2pbus_message_unref(m);
        } while (is_first);
        ck_assert_uint_eq(p2pbus_message_get_size(m), 4);
        ck_assert_mem_eq(p2pbus_message_get_payload(m), "last", 4);
        p2pbus_message_unref(m);
        p2pbus_unref(from);
        p2pbus_unref(to);
}
END_TEST

START_TEST(a_large_message_goes_through_a_ring_and_back) {
        const size_t size = (size_t)16 << 20;
        p2pbus *bus = talk_open(d, 0);
        p2pbus_message *m, *reply;
        uint64_t state = 1;
        uint8_t *data = malloc(size);
        Partner p;

        for (size_t i = 0; i < size; i += 8) {
                uint64_t word = talk_random(&state);

                memcpy(data + i, &word, 8);
        }
        data[0] = 'x'; /* no question to the echo */
        partner_start(&p, &echo);
        talk_get_ring(bus, p.full);
        ok(p2pbus_message_new(&m, data, size));
        ok(p2pbus_request(bus, p.full, m, 4 * PATIENCE, &reply));
        ck_assert_uint_eq(p2pbus_message_get_size(reply), size);
        ck_assert_int_eq(memcmp(p2pbus_message_get_payload(reply), data, size), 0);
        ck_assert_int_eq(talk_path(bus, p.full), P2PBUS_PATH_RING);
        p2pbus_message_unref(m);
        p2pbus_message_unref(reply);
        free(data);
        partner_stop(&p);
        p2pbus_unref(bus);
}
END_TEST

static const struct {
        unsigned n;
        size_t size_max;
} streams[] = {
        { 50000, 64 }, { 4000, 8192 }, { 300, 200000 },
};

static void talk_back(p2pbus *bus, Partner *self) {
        uint64_t n = partner_hear(self), size_max = partner_hear(self);
        char from[P2PBUS_FULL_SIZE];
        p2pbus_message *m;

        ok(p2pbus_receive(bus, PATIENCE, &m));
        strcpy(from, p2pbus_message_get_from(m));
        p2pbus_message_unref(m); /* as long as it is held, its sender has no more than a window */
        talk_both_ways(bus, from, n, size_max, 2);
        partner_tell(self, n);
        while (!partner_hear_now(self, &n))
                (void)p2pbus_wait(bus, SECOND / 100);
}

START_TEST(both_directions_keep_their_order) {
        const PartnerOptions options = { .daemon = d, .run = talk_back };
        p2pbus *bus = talk_open(d, 0);
        uint64_t n;
        Partner p;

        partner_start(&p, &options);
        partner_tell(&p, streams[_i].n);
        partner_tell(&p, streams[_i].size_max);
        ok(talk_send(bus, p.full, 0, 0));
        ok(p2pbus_set_ring(bus, p.full, P2PBUS_RING_ALWAYS));
        talk_both_ways(bus, p.full, streams[_i].n, streams[_i].size_max, 3);
        while (!partner_hear_now(&p, &n))
                (void)p2pbus_wait(bus, SECOND / 100);
        ck_assert_int_eq(talk_path(bus, p.full), P2PBUS_PATH_RING);
        partner_tell(&p, 0);
        partner_stop(&p);
        p2pbus_unref(bus);
}
END_TEST

static const uint64_t seeds[] = { 1, 20261125, UINT64_C(0xfeedfacecafebeef) };

START_TEST(a_stream_keeps_its_order_while_rings_come_and_go) {
        const unsigned n = 20000;
        uint64_t state = seeds[_i];
        p2pbus *bus = talk_open(d, P2PBUS_RESULTS);
        p2pbus_message *result;
        unsigned n_delivered = 0, n_changes = 0;
        Partner p;

        printf("# seed %" PRIu64 "\n", state);
        partner_start(&p, &echo);
        (void)talk_ask(bus, p.full, "0");
        for (unsigned i = 0; i < n; i++) {
                ok(talk_send(bus, p.full, i, talk_random(&state) % 3000));
                if (talk_random(&state) % 64 == 0) {
                        int rule = talk_path(bus, p.full) == P2PBUS_PATH_RING ?
                                           P2PBUS_RING_NEVER :
                                           P2PBUS_RING_ALWAYS;

                        ok(p2pbus_set_ring(bus, p.full, rule));
                        n_changes++;
                }
                if (talk_random(&state) % 256 == 0) { /* now the other side gives it back */
                        (void)talk_ask(bus, p.full, "rule 2");
                        (void)talk_ask(bus, p.full, "rule 0");
                }
        }
        ck_assert_uint_eq(talk_ask(bus, p.full, "count"), n);
        ok(p2pbus_flush(bus, PATIENCE));
        while (p2pbus_next_result(bus, &result) == 0) {
                ck_assert_int_eq(p2pbus_message_get_result(result), 0);
                n_delivered++;
                p2pbus_message_unref(result);
        }
        ck_assert_uint_eq(n_delivered, n);
        ck_assert_uint_gt(n_changes, 100);
        ck_assert_uint_gt(daemon_status(d, "rings_made"), 10);
        partner_stop(&p);
        p2pbus_unref(bus);
        talk_until_rings(d, 0);
}
END_TEST

/* ---- Loops, threads, children ---- */

/* Sends as many numbers as it is told to whoever it hears from; 0 ends it. */
static void say_on_demand(p2pbus *bus, Partner *self) {
        struct pollfd fds[] = {
                { .fd = p2pbus_get_fd(bus), .events = POLLIN },
                { .fd = self->in, .events = POLLIN },
        };
        p2pbus_message *first, *m;
        uint64_t number = 0, usec, n = 1;

        ok(p2pbus_receive(bus, PATIENCE, &first));
        while (n > 0) {
                ok(p2pbus_get_timeout(bus, &usec));
                (void)poll(fds, ELEMENTSOF(fds), (int)(MIN(usec, PATIENCE) / 1000));
                ok(p2pbus_process(bus));
                while (p2pbus_receive(bus, 0, &m) == 0)
                        p2pbus_message_unref(m);
                if (!partner_hear_now(self, &n))
                        continue;
                for (uint64_t i = 0; i < n; i++)
                        ok(talk_send(bus, p2pbus_message_get_from(first), number++, 100));
        }
        p2pbus_message_unref(first);
}

typedef struct Outside {
        p2pbus *bus;
        uint64_t n_came;
        unsigned n_process;
} Outside;

/* As a program with a loop of its own does it, until @n numbers have come. */
static void loop_until(Outside *o, uint64_t n) {
        struct pollfd fd = { .fd = p2pbus_get_fd(o->bus), .events = POLLIN };
        p2pbus_message *m;
        uint64_t usec;

        while (o->n_came < n) {
                ok(p2pbus_get_timeout(o->bus, &usec));
                ck_assert_int_ge(poll(&fd, 1, (int)(MIN(usec, PATIENCE) / 1000)), 0);
                ok(p2pbus_process(o->bus));
                o->n_process++;
                while (p2pbus_receive(o->bus, 0, &m) == 0) {
                        ck_assert_uint_eq(talk_number(m), o->n_came++);
                        p2pbus_message_unref(m);
                }
        }
}

/* Nothing is there: the descriptor must be quiet, and the time-out be in the future. */
static void expect_quiet(Outside *o) {
        struct pollfd fd = { .fd = p2pbus_get_fd(o->bus), .events = POLLIN };
        unsigned n = 0;
        uint64_t usec;

        for (;;) {
                ok(p2pbus_get_timeout(o->bus, &usec));
                if (usec > 0 && poll(&fd, 1, 0) == 0)
                        break;
                ok(p2pbus_process(o->bus));
                ck_assert_uint_lt(++n, 100);
        }
}

START_TEST(a_loop_of_the_program_s_own_misses_nothing_and_is_quiet) {
        const PartnerOptions options = { .daemon = d, .run = say_on_demand };
        Outside o = { .bus = talk_open(d, 0) };
        uint64_t asked = 0;
        Partner p;

        partner_start(&p, &options);
        ok(talk_send(o.bus, p.full, 0, 0));
        ok(p2pbus_set_ring(o.bus, p.full, P2PBUS_RING_ALWAYS));
        while (talk_path(o.bus, p.full) != P2PBUS_PATH_RING) {
                ck_assert_uint_lt(asked, 10000);
                partner_tell(&p, 1);
                loop_until(&o, ++asked);
        }

        o.n_process = 0;
        for (unsigned i = 0; i < 2000; i++) { /* one by one: each is waited for */
                partner_tell(&p, 1);
                loop_until(&o, ++asked);
                if (i % 100 == 0)
                        expect_quiet(&o);
        }
        /* The message, and what the partner says of our acknowledgement, each once. */
        ck_assert_msg(o.n_process < 4 * 2000, "%u calls", o.n_process);
        partner_tell(&p, 5000);
        loop_until(&o, asked += 5000);
        expect_quiet(&o);
        ck_assert_int_eq(talk_path(o.bus, p.full), P2PBUS_PATH_RING);
        partner_tell(&p, 0);
        partner_stop(&p);
        p2pbus_unref(o.bus);
}
END_TEST

START_TEST(a_forked_child_disturbs_no_ring) {
        const PartnerOptions options = { .daemon = d, .run = say_on_demand };
        Outside o = { .bus = talk_open(d, 0) };
        uint64_t asked = 0;
        int status;
        Partner p;
        pid_t child;

        partner_start(&p, &options);
        ok(talk_send(o.bus, p.full, 0, 0));
        ok(p2pbus_set_ring(o.bus, p.full, P2PBUS_RING_ALWAYS));
        while (talk_path(o.bus, p.full) != P2PBUS_PATH_RING) {
                ck_assert_uint_lt(asked, 10000);
                partner_tell(&p, 1);
                loop_until(&o, ++asked);
        }
        expect_quiet(&o);
        child = test_fork();
        if (child == 0) {
                bool good = p2pbus_process(o.bus) == -ECHILD &&
                        p2pbus_set_ring(o.bus, p.full, P2PBUS_RING_NEVER) == -ECHILD &&
                        p2pbus_set_spin(o.bus, 0) == -ECHILD;

                p2pbus_unref(o.bus);
                _exit(good ? 0 : 1);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
        partner_tell(&p, 100);
        loop_until(&o, asked + 100);
        ck_assert_int_eq(talk_path(o.bus, p.full), P2PBUS_PATH_RING);
        partner_tell(&p, 0);
        partner_stop(&p);
        p2pbus_unref(o.bus);
}
END_TEST

typedef struct Worker {
        p2pbus *bus;
        const char *to;
        pthread_t thread;
        unsigned n;
        bool *over;
        sem_t *came;
} Worker;

static void *ask_again_and_again(void *userdata) {
        Worker *w = userdata;

        for (unsigned i = 0; i < w->n; i++)
                (void)talk_ask(w->bus, w->to, "0");
        return NULL;
}

static void *toggle(void *userdata) {
        Worker *w = userdata;

        while (!__atomic_load_n(w->over, __ATOMIC_ACQUIRE)) {
                ok(p2pbus_set_ring(w->bus, w->to, P2PBUS_RING_ALWAYS));
                (void)talk_ask(w->bus, w->to, "0");
                (void)talk_path(w->bus, w->to);
                (void)talk_ask(w->bus, w->to, "0");
                ok(p2pbus_set_ring(w->bus, w->to, P2PBUS_RING_NEVER));
                ok(p2pbus_process(w->bus));
        }
        return NULL;
}

START_TEST(threads_share_a_handle_whose_rings_come_and_go) {
        p2pbus *bus = talk_open(d, 0);
        bool over = false;
        Worker workers[4], toggler;
        Partner p[2];

        for (unsigned i = 0; i < ELEMENTSOF(p); i++)
                partner_start(&p[i], &echo);
        for (unsigned i = 0; i < ELEMENTSOF(workers); i++) {
                workers[i] = (Worker){ .bus = bus, .to = p[i % 2].full, .n = 2000 };
                ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, ask_again_and_again,
                                                &workers[i]),
                                 0);
        }
        toggler = (Worker){ .bus = bus, .to = p[0].full, .over = &over };
        ck_assert_int_eq(pthread_create(&toggler.thread, NULL, toggle, &toggler), 0);
        for (unsigned i = 0; i < ELEMENTSOF(workers); i++)
                ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
        __atomic_store_n(&over, true, __ATOMIC_RELEASE);
        ck_assert_int_eq(pthread_join(toggler.thread, NULL), 0);
        ck_assert_uint_gt(daemon_status(d, "rings_made"), 1);
        for (unsigned i = 0; i < ELEMENTSOF(p); i++)
                partner_stop(&p[i]);
        p2pbus_unref(bus);
}
END_TEST

/* Counts what comes, in a thread that sleeps in between. */
static void *receive_all(void *userdata) {
        Worker *w = userdata;

        for (unsigned i = 0; i < w->n; i++) {
                ck_assert_uint_eq(talk_receive(w->bus), i);
                (void)sem_post(w->came);
        }
        return NULL;
}

/*
 * What this thread takes out of a ring while the other one sleeps is an acknowledgement or an answer
 * of the library's, nothing that would wake the other one. The ring must have asked for a bell again.
 */
START_TEST(a_thread_that_sleeps_is_woken_after_another_has_read_the_ring) {
        const unsigned n_rounds = 300;
        const PartnerOptions options = { .daemon = d, .run = say_on_demand };
        Outside o = { .bus = talk_open(d, 0) };
        sem_t came;
        Worker sleeper = { .bus = o.bus, .n = n_rounds, .came = &came };
        Partner p;

        ck_assert_int_eq(sem_init(&came, 0, 0), 0);
        partner_start(&p, &options);
        ok(p2pbus_set_spin(o.bus, 0));
        ok(talk_send(o.bus, p.full, 0, 0));
        ok(p2pbus_set_ring(o.bus, p.full, P2PBUS_RING_ALWAYS));
        ck_assert_int_eq(pthread_create(&sleeper.thread, NULL, receive_all, &sleeper), 0);
        for (unsigned i = 0; i < n_rounds; i++) {
                /* Its library answers; whoever hears the bell first takes the answers. */
                for (unsigned k = 0; k < 20; k++) {
                        ok(talk_send(o.bus, p.full, k, 100));
                        ok(p2pbus_process(o.bus));
                }
                partner_tell(&p, 1);
                while (sem_wait(&came) < 0)
                        ck_assert_int_eq(errno, EINTR);
        }
        ck_assert_int_eq(pthread_join(sleeper.thread, NULL), 0);
        partner_tell(&p, 0);
        partner_stop(&p);
        p2pbus_unref(o.bus);
        (void)sem_destroy(&came);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("rings");
        TCase *who = tcase_create("who");
        TCase *others = tcase_create("others");
        TCase *messages = tcase_create("messages");
        TCase *loops = tcase_create("loops");

        tcase_add_checked_fixture(who, start, stop);
        tcase_set_timeout(who, 120);
        tcase_add_test(who, a_pair_that_talks_gets_a_ring_by_itself);
        tcase_add_test(who, whoever_asks_gets_one_as_soon_as_there_is_a_conversation);
        tcase_add_loop_test(who, either_side_may_forbid_it, 0, 2);
        tcase_add_loop_test(who, a_ring_that_is_forbidden_later_is_given_back, 0, 2);
        tcase_add_loop_test(who, what_is_no_rule_is_refused, 0, ELEMENTSOF(no_rules));
        tcase_add_test(who, one_process_may_have_many);
        tcase_add_test(who, without_descriptors_the_daemon_s_way_is_used);
        tcase_add_test(who, without_descriptors_an_offer_is_declined);
        suite_add_tcase(suite, who);

        tcase_set_timeout(others, 120);
        tcase_add_test(others, without_rings_nobody_notices);
        tcase_add_test(others, where_one_direction_is_denied_there_is_none);
        suite_add_tcase(suite, others);

        tcase_add_checked_fixture(messages, start, stop);
        tcase_set_timeout(messages, 120);
        tcase_add_test(messages, what_waits_too_long_in_a_ring_is_not_handed_out);
        tcase_add_test(messages, a_large_message_goes_through_a_ring_and_back);
        tcase_add_loop_test(messages, both_directions_keep_their_order, 0, ELEMENTSOF(streams));
        tcase_add_loop_test(messages, a_stream_keeps_its_order_while_rings_come_and_go, 0,
                            ELEMENTSOF(seeds));
        suite_add_tcase(suite, messages);

        tcase_add_checked_fixture(loops, start, stop);
        tcase_set_timeout(loops, 120);
        tcase_add_test(loops, a_loop_of_the_program_s_own_misses_nothing_and_is_quiet);
        tcase_add_test(loops, a_forked_child_disturbs_no_ring);
        tcase_add_test(loops, threads_share_a_handle_whose_rings_come_and_go);
        tcase_add_test(loops, a_thread_that_sleeps_is_woken_after_another_has_read_the_ring);
        suite_add_tcase(suite, loops);
        return suite;
}
