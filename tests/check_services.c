/* SPDX-License-Identifier: Apache-2.0 */

/* Names with several providers, through the public library, with a real p2pbusd. */

#include "config.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcore/util.h"
#include "tests/main.h"
#include "tests/partner.h"

#define NAME "test.work"
#define PROVIDERS 3

static Daemon d;
static p2pbus *a;            /* who asks */
static p2pbus *p[PROVIDERS]; /* who may provide */

/* How a request ended. */
typedef struct Outcome {
        unsigned n; /* times that it did */
        int error, reason;
        char text[64];
} Outcome;

static void start(void) {
        daemon_start(&d, "--user", NULL);
        a = talk_open(&d, 0);
        for (unsigned i = 0; i < PROVIDERS; i++)
                p[i] = talk_open(&d, 0);
}

static void stop(void) {
        p2pbus_unref(a);
        for (unsigned i = 0; i < PROVIDERS; i++)
                p2pbus_unref(p[i]);
        daemon_stop(&d);
}

static int ear = -1; /* of a partner that turn() waits for as well */

/* Waits until one of the handles has something to do, and lets all do it. */
static void turn(void) {
        struct pollfd fds[1 + PROVIDERS + 1];
        uint64_t usec, least = PATIENCE;

        for (unsigned i = 0; i <= PROVIDERS; i++) {
                p2pbus *bus = i == 0 ? a : p[i - 1];

                fds[i] = (struct pollfd){ .fd = p2pbus_get_fd(bus), .events = POLLIN };
                ok(p2pbus_get_timeout(bus, &usec));
                least = MIN(least, usec);
        }
        fds[1 + PROVIDERS] = (struct pollfd){ .fd = ear, .events = POLLIN };
        (void)poll(fds, ELEMENTSOF(fds), (int)((least + 999) / 1000));
        for (unsigned i = 0; i <= PROVIDERS; i++)
                ok(p2pbus_process(i == 0 ? a : p[i - 1]));
}

/* The same, of these two alone. */
static void turn_of(p2pbus *one, p2pbus *other) {
        struct pollfd fds[2] = { { .fd = p2pbus_get_fd(one), .events = POLLIN },
                                 { .fd = p2pbus_get_fd(other), .events = POLLIN } };
        uint64_t usec, least = PATIENCE;

        ok(p2pbus_get_timeout(one, &usec));
        least = MIN(least, usec);
        ok(p2pbus_get_timeout(other, &usec));
        least = MIN(least, usec);
        (void)poll(fds, 2, (int)((least + 999) / 1000));
        ok(p2pbus_process(one));
        ok(p2pbus_process(other));
}

static void provide(p2pbus *bus, uint16_t priority, uint16_t weight, uint32_t flags) {
        const p2pbus_service service = {
                .struct_size = sizeof(service),
                .priority = priority,
                .weight = weight,
                .flags = flags,
        };

        ok(p2pbus_provide(bus, NAME, &service, PATIENCE));
}

static p2pbus_message *message(const char *text) {
        p2pbus_message *m;

        ok(p2pbus_message_new(&m, text, strlen(text)));
        return m;
}

static void on_reply(p2pbus *bus, int error, int reason, p2pbus_message *reply, void *userdata) {
        Outcome *o = userdata;

        (void)bus;
        o->n++;
        o->error = error;
        o->reason = reason;
        if (reply)
                (void)snprintf(o->text, sizeof(o->text), "%.*s",
                               (int)p2pbus_message_get_size(reply),
                               (const char *)p2pbus_message_get_payload(reply));
}

enum { IDEMPOTENT = 1, FAILOVER = 2 };

static void ask(Outcome *o, unsigned how) {
        p2pbus_message *m = message("?");

        *o = (Outcome){ 0 };
        ok(p2pbus_message_set_idempotent(m, how & IDEMPOTENT));
        ok(p2pbus_message_set_mode(m, how & FAILOVER ? P2PBUS_MODE_FAILOVER : P2PBUS_MODE_BALANCE));
        ok(p2pbus_request_start(a, NAME, m, PATIENCE, on_reply, o, NULL));
        p2pbus_message_unref(m);
}

/* Waits for a message at any provider. Return: whose, and the message. */
static unsigned receive(p2pbus_message **ret) {
        for (;;) {
                for (unsigned i = 0; i < PROVIDERS; i++)
                        if (p2pbus_receive(p[i], 0, ret) == 0)
                                return i;
                turn();
        }
}

static void reply_from(unsigned i, p2pbus_message *request) {
        char text[16];
        p2pbus_message *m;

        (void)snprintf(text, sizeof(text), "%u", i);
        m = message(text);
        ok(p2pbus_reply(p[i], request, m));
        p2pbus_message_unref(m);
        p2pbus_message_unref(request);
}

static unsigned serve_one(void) {
        p2pbus_message *m;
        unsigned i = receive(&m);

        ck_assert_str_eq(p2pbus_message_get_service(m), NAME);
        reply_from(i, m);
        return i;
}

static void await(const Outcome *o) {
        while (o->n == 0)
                turn();
        ck_assert_uint_eq(o->n, 1);
}

/* One request. Return: who answered it. */
static unsigned call(unsigned how) {
        Outcome o;
        unsigned i;

        ask(&o, how);
        i = serve_one();
        await(&o);
        ck_assert_int_eq(o.error, 0);
        ck_assert_int_eq(o.text[0] - '0', (int)i);
        return i;
}

static void expect_ten_calls(unsigned how, unsigned provider) {
        for (unsigned i = 0; i < 10; i++)
                ck_assert_uint_eq(call(how), provider);
}

START_TEST(requests_are_shared) {
        unsigned hits[PROVIDERS] = { 0 };

        start();
        for (unsigned i = 0; i < PROVIDERS; i++)
                provide(p[i], 100, 100, 0);
        for (unsigned i = 0; i < 60; i++)
                hits[call(0)]++;
        /* Who is asked alone depends on what was measured; of many at once nobody has all. */
        for (unsigned round = 0; round < 10; round++) {
                Outcome o[12];

                for (unsigned i = 0; i < ELEMENTSOF(o); i++)
                        ask(&o[i], 0);
                for (unsigned i = 0; i < ELEMENTSOF(o); i++)
                        hits[serve_one()]++;
                for (unsigned i = 0; i < ELEMENTSOF(o); i++)
                        await(&o[i]);
        }
        for (unsigned i = 0; i < PROVIDERS; i++)
                ck_assert_uint_gt(hits[i], 0);
        stop();
}
END_TEST

START_TEST(priority_comes_first_and_changes_are_heard) {
        start();
        provide(p[0], 20, 100, 0);
        provide(p[1], 10, 100, 0);
        expect_ten_calls(0, 1);
        provide(p[2], 5, 1, 0);
        while (call(0) != 2)
                ; /* the news may be on their way */
        expect_ten_calls(0, 2);
        ok(p2pbus_release_name(p[2], NAME, PATIENCE));
        expect_ten_calls(0, 1);
        stop();
}
END_TEST

START_TEST(failover_keeps_to_the_first) {
        start();
        provide(p[2], 100, 1, 0);
        provide(p[0], 100, 1000, 0);
        provide(p[1], 50, 100, P2PBUS_SERVICE_DRAIN);
        expect_ten_calls(FAILOVER, 2);
        ok(p2pbus_release_name(p[2], NAME, PATIENCE));
        expect_ten_calls(FAILOVER, 0);
        stop();
}
END_TEST

START_TEST(one_way_messages_keep_to_one_and_in_order) {
        p2pbus_message *m;
        unsigned who = PROVIDERS;

        start();
        for (unsigned i = 0; i < PROVIDERS; i++)
                provide(p[i], 100, 100, 0);
        for (unsigned i = 0; i < 100; i++)
                ok(talk_send(a, NAME, i, 32));
        for (unsigned i = 0; i < 100; i++) {
                unsigned from = receive(&m);

                ck_assert(who == PROVIDERS || who == from);
                who = from;
                ck_assert_uint_eq(talk_number(m), i);
                p2pbus_message_unref(m);
        }
        /* What it does not take any more goes to another. */
        ok(p2pbus_release_name(p[who], NAME, PATIENCE));
        for (unsigned i = 0; i < 100; i++)
                ok(talk_send(a, NAME, i, 32));
        for (unsigned i = 0; i < 100; i++) {
                ck_assert_uint_ne(receive(&m), who);
                p2pbus_message_unref(m);
        }
        while (p2pbus_flush(a, 0) == -ETIMEDOUT)
                turn();
        stop();
}
END_TEST

START_TEST(what_a_provider_leaves_comes_once) {
        unsigned n = 0, n_taken = 0;
        uint8_t times[4096] = { 0 };
        p2pbus_message *m;

        start();
        provide(p[0], 100, 100, 0);
        while (talk_try_send(a, NAME, n, 1024) != -EAGAIN)
                n++;
        provide(p[1], 100, 100, 0);
        ok(p2pbus_release_name(p[0], NAME, PATIENCE));
        for (unsigned until = n + 50; n < until;) {
                if (talk_try_send(a, NAME, n, 1024) == -EAGAIN) {
                        turn();
                        continue;
                }
                n++;
                for (unsigned i = 0; i <= PROVIDERS; i++)
                        ok(p2pbus_process(i == 0 ? a : p[i - 1]));
        }
        ck_assert_uint_le(n, ELEMENTSOF(times));
        for (; n_taken < n; n_taken++) {
                uint64_t number;

                (void)receive(&m);
                number = talk_number(m);
                ck_assert_uint_lt(number, n);
                ck_assert_uint_eq(++times[number], 1);
                p2pbus_message_unref(m);
        }
        stop();
}
END_TEST

START_TEST(nobody_is_said_at_once) {
        Outcome o;

        start();
        ask(&o, 0);
        await(&o);
        ck_assert_int_eq(o.error, -ENXIO);
        provide(p[0], 100, 100, 0);
        (void)call(0);
        ok(p2pbus_release_name(p[0], NAME, PATIENCE));
        ask(&o, 0);
        await(&o);
        ck_assert_int_eq(o.error, -ENXIO);
        provide(p[0], 100, 100, 0);
        (void)call(0);
        stop();
}
END_TEST

static void partner_claims(p2pbus *bus, Partner *self) {
        p2pbus_message *m;

        partner_tell(self, partner_hear(self));
        ok(p2pbus_own_name(bus, NAME, PATIENCE));
        ok(p2pbus_receive(bus, PATIENCE, &m));
        p2pbus_message_unref(m);
        ok(p2pbus_flush(bus, PATIENCE));
}

/* Until it sleeps in the system call with this number. */
static void until_sleeps_in(pid_t os_pid, long number) {
        char path[64], line[64];

        (void)snprintf(path, sizeof(path), "/proc/%d/syscall", (int)os_pid);
        do {
                FILE *file = fopen(path, "r");

                ck_assert_ptr_nonnull(file);
                if (!fgets(line, sizeof(line), file))
                        line[0] = '\0';
                fclose(file);
        } while (strtol(line, NULL, 10) != number || line[0] == 'r');
}

static unsigned n_services(void) {
        unsigned n = 0;
        char *text;

        ok(p2pbus_query(a, P2PBUS_QUERY_SERVICES, PATIENCE, &text));
        for (const char *c = text; *c; c++)
                n += *c == '\n';
        free(text);
        return n;
}

/* It reads what came by the name in one with the word that it has the name. */
START_TEST(what_comes_with_the_word_that_one_has_the_name_is_taken) {
        Partner partner;
        p2pbus_message *m;

        start();
        partner_start(&partner, &(PartnerOptions){ .daemon = &d, .run = partner_claims });
        ok(kill(d.os_pid, SIGSTOP));
        partner_tell(&partner, 0);
        (void)partner_hear(&partner);
        until_sleeps_in(partner.os_pid, SYS_ppoll);
        ok(kill(partner.os_pid, SIGSTOP));
        ok(kill(d.os_pid, SIGCONT));
        while (n_services() == 0)
                ;
        m = message("!");
        ok(p2pbus_send(a, NAME, m, PATIENCE, NULL));
        (void)n_services(); /* the daemon has answered who provides it, */
        (void)n_services(); /* and passed on what was sent then */
        ok(kill(partner.os_pid, SIGCONT));
        while (p2pbus_flush(a, 0) == -ETIMEDOUT)
                turn();
        ck_assert_int_eq(p2pbus_message_get_result(m), 0);
        p2pbus_message_unref(m);
        partner_stop(&partner);
        stop();
}
END_TEST

START_TEST(who_drains_finishes_what_it_has_and_gets_no_more) {
        Outcome first, second;
        p2pbus_message *m;
        unsigned i;

        start();
        provide(p[0], 100, 100, 0);
        ask(&first, 0);
        i = receive(&m);
        ck_assert_uint_eq(i, 0);
        provide(p[1], 100, 100, 0);
        ck_assert_int_eq(p2pbus_drain(p[0], 0), -EAGAIN);
        while (call(0) != 1)
                ; /* the news may be on their way */
        for (unsigned n = 0; n < 10; n++)
                ck_assert_uint_eq(call(0), 1);
        ck_assert_int_eq(p2pbus_drain(p[0], 0), -EAGAIN);
        reply_from(0, m);
        await(&first);
        ck_assert_int_eq(first.error, 0);
        while (p2pbus_drain(p[0], 0) != 0)
                turn();
        /* Alone, it is nobody. */
        ok(p2pbus_release_name(p[1], NAME, PATIENCE));
        ask(&second, 0);
        await(&second);
        ck_assert_int_eq(second.error, -ENXIO);
        provide(p[0], 100, 100, 0);
        ck_assert_uint_eq(call(0), 0);
        stop();
}
END_TEST

START_TEST(draining_waits_for_no_daemon_that_is_gone) {
        start();
        provide(p[0], 100, 100, 0);
        ck_assert_int_eq(kill(d.os_pid, SIGKILL), 0);
        ck_assert_int_eq(waitpid(d.os_pid, NULL, 0), d.os_pid);
        ok(p2pbus_drain(p[0], PATIENCE));
        daemon_restart(&d, "--user");
        stop();
}
END_TEST

START_TEST(what_is_said_of_a_name_while_the_bus_is_away_is_what_holds) {
        char *text;

        start();
        provide(p[0], 100, 100, 0);
        daemon_end(&d);
        daemon_restart(&d, "--user");
        provide(p[0], 40, 100, 0); /* before it has heard that the bus was away */
        ok(p2pbus_query(p[0], P2PBUS_QUERY_SERVICES, PATIENCE, &text));
        ck_assert_msg(strstr(text, "\t40\t"), "%s", text);
        free(text);
        stop();
}
END_TEST

START_TEST(who_drains_takes_what_has_begun_to_come) {
        static const char much[4 << 20];
        p2pbus_message *m;
        Outcome o = { 0 };

        start();
        provide(p[0], 100, 100, 0);
        (void)call(0);
        ok(p2pbus_message_new(&m, much, sizeof(much)));
        ok(p2pbus_request_start(a, NAME, m, PATIENCE, on_reply, &o, NULL));
        p2pbus_message_unref(m);
        turn(); /* some of it is there, more than the window lets through is not */
        turn();
        ck_assert_int_eq(p2pbus_receive(p[0], 0, &m), -EAGAIN);
        while (p2pbus_drain(p[0], 0) != 0) {
                if (p2pbus_receive(p[0], 0, &m) == 0)
                        reply_from(0, m);
                turn();
        }
        provide(p[1], 100, 100, 0); /* for what the first has refused */
        while (o.n == 0) {
                ck_assert_int_eq(p2pbus_receive(p[0], 0, &m), -EAGAIN);
                if (p2pbus_receive(p[1], 0, &m) == 0)
                        reply_from(1, m);
                turn();
        }
        ck_assert_int_eq(o.error, 0);
        stop();
}
END_TEST

START_TEST(who_drains_does_not_wait_for_what_was_cancelled) {
        char id[P2PBUS_ID_SIZE];
        p2pbus_message *m;
        Outcome o = { 0 };

        start();
        provide(p[0], 100, 100, 0);
        m = message("?");
        ok(p2pbus_request_start(a, NAME, m, PATIENCE, on_reply, &o, id));
        p2pbus_message_unref(m);
        /* It is there, and nobody has taken it yet. */
        for (p2pbus_counters counters = { 0 }; counters.received == 0;) {
                turn();
                counters.struct_size = sizeof(counters);
                ok(p2pbus_get_counters(p[0], &counters));
        }
        ok(p2pbus_cancel(a, id));
        await(&o);
        while (p2pbus_flush(a, 0) == -ETIMEDOUT)
                turn();
        ck_assert_int_eq(p2pbus_receive(p[0], 0, &m), -EAGAIN);
        ok(p2pbus_drain(p[0], 5 * SECOND));
        stop();
}
END_TEST

static char full_of_first[P2PBUS_FULL_SIZE];

/* Begins with a large request, and gets no further. */
static void begin_one(p2pbus *bus, Partner *self) {
        static const char much[4 << 20];
        p2pbus_message *m;
        Outcome o = { 0 };

        ok(p2pbus_message_new(&m, much, sizeof(much)));
        ok(p2pbus_request_start(bus, full_of_first, m, PATIENCE, on_reply, &o, NULL));
        partner_tell(self, 1);
        (void)partner_hear(self);
}

START_TEST(who_drains_does_not_wait_for_the_rest_of_one_who_was_killed) {
        p2pbus_peer_info info = { .struct_size = sizeof(info) };
        Partner partner;

        start();
        provide(p[0], 100, 100, 0);
        strcpy(full_of_first, p2pbus_get_full(p[0]));
        partner_start(&partner, &(PartnerOptions){ .daemon = &d, .run = begin_one });
        ck_assert_uint_eq(partner_hear(&partner), 1);
        while (p2pbus_get_peer(p[0], partner.full, &info) < 0 || info.memory_bytes == 0)
                turn();
        ck_assert_int_eq(p2pbus_drain(p[0], 0), -EAGAIN);
        partner_kill(&partner);
        ok(p2pbus_drain(p[0], PATIENCE));
        stop();
}
END_TEST

/* Both are here, and who asks takes the first as long as it has not heard otherwise. */
static void start_two(void) {
        start();
        provide(p[0], 100, 100, 0);
        provide(p[1], 100, 100, 0);
        ck_assert_uint_eq(call(FAILOVER), 0);
}

/* Of those that only the second may answer. */
static void await_second(const Outcome *o) {
        p2pbus_message *m;

        while (o->n == 0) {
                if (p2pbus_receive(p[1], 0, &m) == 0)
                        reply_from(1, m);
                ck_assert_int_eq(p2pbus_receive(p[0], 0, &m), -EAGAIN);
                turn();
        }
        ck_assert_int_eq(o->error, 0);
        ck_assert_str_eq(o->text, "1");
}

START_TEST(who_drains_waits_for_those_who_have_not_heard_but_not_for_ever) {
        uint64_t begun_usec = now_usec(CLOCK_BOOTTIME);
        Outcome o;

        start_two();
        /* Who asks does not look, and cannot know. */
        ok(p2pbus_drain(p[0], PATIENCE));
        ck_assert_uint_ge(now_usec(CLOCK_BOOTTIME) - begun_usec, 3 * SECOND);
        ask(&o, FAILOVER);
        await_second(&o);
        ck_assert_int_eq(p2pbus_drain(p[0], 0), 0);
        stop();
}
END_TEST

START_TEST(who_drains_goes_when_all_have_heard) {
        Outcome o[8];
        p2pbus_message *m;

        start_two();
        ck_assert_int_eq(p2pbus_drain(p[0], 0), -EAGAIN);
        for (unsigned i = 0; i < ELEMENTSOF(o); i++)
                ask(&o[i], FAILOVER);
        while (p2pbus_drain(p[0], 0) == -EAGAIN) {
                for (unsigned i = 0; i < 2; i++)
                        if (p2pbus_receive(p[i], 0, &m) == 0)
                                reply_from(i, m);
                turn();
        }
        while (p2pbus_flush(p[0], 0) == -ETIMEDOUT)
                turn();
        p[0] = p2pbus_unref(p[0]);
        p[0] = talk_open(&d, 0);
        for (unsigned i = 0; i < ELEMENTSOF(o); i++) {
                while (o[i].n == 0) {
                        if (p2pbus_receive(p[1], 0, &m) == 0)
                                reply_from(1, m);
                        turn();
                }
                ck_assert_int_eq(o[i].error, 0);
        }
        stop();
}
END_TEST

/* Loop: with a ring, and by the daemon. */
START_TEST(who_leaves_returns_what_nobody_was_given) {
        Outcome taken, o[8];
        p2pbus_message *m, *lost;

        start_two();
        if (_i)
                ok(p2pbus_set_ring(a, p2pbus_get_full(p[0]), P2PBUS_RING_ALWAYS));
        while (_i && talk_path(a, p2pbus_get_full(p[0])) != P2PBUS_PATH_RING)
                turn();
        ask(&taken, FAILOVER);
        ck_assert_uint_eq(receive(&m), 0);
        for (unsigned i = 0; i < ELEMENTSOF(o); i++) {
                ask(&o[i], FAILOVER);
                if (i == ELEMENTSOF(o) / 2)
                        ok(p2pbus_process(p[0])); /* half of them are read, and waiting */
        }
        p2pbus_close(p[0]);
        ck_assert_int_eq(p2pbus_receive(p[0], 0, &lost), -ENOTCONN); /* another gets them */
        while (taken.n == 0)
                turn_of(a, p[1]);
        ck_assert_int_eq(taken.error, -ECONNRESET);
        p2pbus_message_unref(m);
        for (unsigned i = 0; i < ELEMENTSOF(o); i++) {
                while (o[i].n == 0) {
                        if (p2pbus_receive(p[1], 0, &m) == 0)
                                reply_from(1, m);
                        turn_of(a, p[1]);
                }
                ck_assert_int_eq(o[i].error, 0);
        }
        stop();
}
END_TEST

START_TEST(a_request_that_was_received_is_finished_after_the_name_was_released) {
        p2pbus_message *m;
        Outcome o;

        start();
        provide(p[0], 100, 100, 0);
        ask(&o, IDEMPOTENT);
        (void)receive(&m);
        provide(p[1], 100, 100, 0);
        ok(p2pbus_release_name(p[0], NAME, PATIENCE));
        ck_assert_uint_eq(call(0), 1);
        reply_from(0, m);
        await(&o);
        ck_assert_str_eq(o.text, "0");
        stop();
}
END_TEST

static void partner_sink(p2pbus *bus, Partner *self) {
        p2pbus_message *m;

        ok(p2pbus_own_name(bus, NAME, PATIENCE));
        partner_tell(self, 0);
        ok(p2pbus_receive(bus, PATIENCE, &m));
        partner_tell(self, 1);
        (void)partner_hear(self); /* it is killed here */
}

static void turn_until_heard(Partner *partner) {
        ear = partner->in;
        for (uint64_t said; !partner_hear_now(partner, &said);)
                turn();
        ear = -1;
}

static void die_with_a_request(unsigned how, Outcome *o) {
        Partner partner;

        partner_start(&partner, &(PartnerOptions){ .daemon = &d, .run = partner_sink });
        (void)partner_hear(&partner);
        ask(o, how);
        turn_until_heard(&partner);
        provide(p[0], 100, 100, 0);
        partner_kill(&partner);
}

START_TEST(a_provider_that_dies_is_told_of) {
        Outcome o;

        start();
        die_with_a_request(0, &o);
        await(&o);
        ck_assert_int_eq(o.error, -ECONNRESET);
        ck_assert_uint_eq(call(0), 0);
        stop();
}
END_TEST

START_TEST(an_idempotent_request_goes_to_another) {
        p2pbus_message *m;
        Outcome o;

        start();
        die_with_a_request(IDEMPOTENT, &o);
        ck_assert_uint_eq(receive(&m), 0);
        ck_assert_int_eq(p2pbus_message_may_be_repeat(m), 1);
        reply_from(0, m);
        await(&o);
        ck_assert_int_eq(o.error, 0);
        stop();
}
END_TEST

/* Answers in parts. */
typedef struct Stream {
        unsigned n_parts, n_ends;
        int event, error;
} Stream;

static void on_part(p2pbus *bus, int event, int error, int reason, p2pbus_message *part,
                    void *userdata) {
        Stream *s = userdata;

        (void)bus, (void)reason, (void)part;
        s->event = event;
        s->error = error;
        s->n_parts += event == P2PBUS_STREAM_PART;
        s->n_ends += event == P2PBUS_STREAM_LAST || event == P2PBUS_STREAM_FAILED;
}

static void ask_for_parts(Stream *s) {
        p2pbus_message *m = message("?");

        *s = (Stream){ 0 };
        ok(p2pbus_message_set_idempotent(m, 1));
        ok(p2pbus_request_stream(a, NAME, m, PATIENCE, on_part, s, NULL));
        p2pbus_message_unref(m);
}

static void partner_half(p2pbus *bus, Partner *self) {
        p2pbus_message *m, *part = message("half");
        uint64_t n_parts = partner_hear(self);

        ok(p2pbus_own_name(bus, NAME, PATIENCE));
        partner_tell(self, 0);
        ok(p2pbus_receive(bus, PATIENCE, &m));
        if (n_parts > 0)
                ok(p2pbus_reply_more(bus, m, part));
        ok(p2pbus_flush(bus, PATIENCE));
        partner_tell(self, 1);
        (void)partner_hear(self); /* it is killed here */
}

static void die_amid_parts(unsigned n_parts, Stream *s) {
        Partner partner;

        partner_start(&partner, &(PartnerOptions){ .daemon = &d, .run = partner_half });
        partner_tell(&partner, n_parts);
        (void)partner_hear(&partner);
        ask_for_parts(s);
        turn_until_heard(&partner);
        ck_assert_uint_eq(s->n_parts, n_parts);
        provide(p[0], 100, 100, 0);
        partner_kill(&partner);
}

START_TEST(a_stream_that_has_not_begun_goes_to_another) {
        p2pbus_message *m;
        Stream s;

        start();
        die_amid_parts(0, &s);
        ck_assert_uint_eq(receive(&m), 0);
        ck_assert_int_eq(p2pbus_message_takes_parts(m), 1);
        reply_from(0, m);
        while (s.n_ends == 0)
                turn();
        ck_assert_int_eq(s.event, P2PBUS_STREAM_LAST);
        stop();
}
END_TEST

START_TEST(a_stream_that_was_begun_goes_to_nobody_else) {
        Stream s;

        start();
        die_amid_parts(1, &s);
        while (s.n_ends == 0)
                turn();
        ck_assert_int_eq(s.event, P2PBUS_STREAM_FAILED);
        ck_assert_int_eq(s.error, -ECONNRESET);
        ck_assert_uint_eq(s.n_parts, 1);
        ck_assert_uint_eq(call(0), 0); /* the other one got this alone */
        stop();
}
END_TEST

/* What a fan-out tells. */
typedef struct All {
        unsigned n_heard, n_ends, n_errors;
        p2pbus_all_event end;
} All;

static void on_all(p2pbus *bus, const p2pbus_all_event *event, void *userdata) {
        All *all = userdata;

        (void)bus;
        ck_assert_uint_eq(all->n_ends, 0);
        if (!event->provider) {
                all->n_ends++;
                all->end = *event;
                return;
        }
        all->n_heard++;
        all->n_errors += event->error != 0;
        if (event->reply)
                ck_assert_str_eq(event->provider, p2pbus_message_get_from(event->reply));
}

static void ask_all(All *all, uint32_t flags, uint32_t max, uint64_t timeout_usec) {
        const p2pbus_all_options options = {
                .struct_size = sizeof(options),
                .flags = flags,
                .max_replies = max,
                .timeout_usec = timeout_usec,
        };
        p2pbus_message *m = message("all?");

        *all = (All){ 0 };
        ok(p2pbus_request_all(a, NAME, m, &options, on_all, all));
        p2pbus_message_unref(m);
}

static void await_all(const All *all, unsigned asked, unsigned answered, unsigned failed) {
        while (all->n_ends == 0)
                turn();
        ck_assert_uint_eq(all->end.n_asked, asked);
        ck_assert_uint_eq(all->end.n_answered, answered);
        ck_assert_uint_eq(all->end.n_failed, failed);
        ck_assert_uint_eq(all->n_heard, answered + failed);
}

START_TEST(all_are_asked_and_heard) {
        p2pbus_message *m;
        unsigned who[3];
        All all;

        start();
        ask_all(&all, 0, 0, PATIENCE);
        await_all(&all, 0, 0, 0);
        ck_assert_int_eq(all.end.error, -ENXIO);

        provide(p[0], 1, 100, 0);
        provide(p[1], 2, 100, 0);
        provide(p[2], 3, 100, 0);
        ask_all(&all, 0, 0, PATIENCE);
        for (unsigned i = 0; i < 2; i++)
                who[i] = serve_one();
        who[2] = receive(&m);
        ok(p2pbus_reply_error(p[who[2]], m, 7, "no"));
        p2pbus_message_unref(m);
        ck_assert_uint_eq(1U << who[0] | 1U << who[1] | 1U << who[2], 7);
        await_all(&all, 3, 2, 1);
        ck_assert_int_eq(all.end.error, 0);

        /* Enough is enough, and who drains is not asked. */
        ask_all(&all, 0, 1, PATIENCE);
        (void)serve_one();
        await_all(&all, 3, 1, 0);
        for (unsigned i = 0; i < 2; i++) {
                (void)receive(&m);
                p2pbus_message_unref(m);
        }
        provide(p[2], 3, 100, P2PBUS_SERVICE_DRAIN);
        ask_all(&all, P2PBUS_ALL_ONE_WAY, 0, PATIENCE);
        for (unsigned i = 0; i < 2; i++) {
                ck_assert_uint_ne(receive(&m), 2);
                ck_assert_int_eq(p2pbus_message_get_kind(m), P2PBUS_KIND_ONE_WAY);
                p2pbus_message_unref(m);
        }
        await_all(&all, 2, 2, 0);
        stop();
}
END_TEST

START_TEST(a_fan_out_ends_in_time) {
        p2pbus_message *m;
        All all;

        start();
        provide(p[0], 1, 100, 0);
        ask_all(&all, 0, 0, SECOND / 5);
        (void)receive(&m);
        await_all(&all, 1, 0, 1);
        p2pbus_message_unref(m);
        ask_all(&all, 0, 0, PATIENCE); /* and one that is not over when the handle ends */
        stop();
}
END_TEST

START_TEST(all_is_as_before_after_the_daemon_was_killed) {
        static const char *const meta[PROVIDERS] = { "zero", "one", NULL };
        unsigned before[PROVIDERS] = { 0 };
        char *text, line[256];

        start();
        for (unsigned i = 0; i < PROVIDERS; i++) {
                const p2pbus_service service = {
                        .struct_size = sizeof(service),
                        .priority = (uint16_t)(10 * i),
                        .weight = (uint16_t)(i + 1),
                        .metadata = meta[i],
                };

                ok(p2pbus_provide(p[i], NAME, &service, PATIENCE));
        }
        before[call(0)]++;
        ck_assert_uint_eq(before[0], 1);
        ck_assert_int_eq(kill(d.os_pid, SIGKILL), 0);
        ck_assert_int_eq(waitpid(d.os_pid, NULL, 0), d.os_pid);
        daemon_restart(&d, "--user");
        do
                turn();
        while (!(p2pbus_get_state(a, NULL) & P2PBUS_STATE_ATTACHED));
        (void)call(0);
        for (unsigned n = 0; n < PROVIDERS;) {
                turn();
                ok(p2pbus_query(a, P2PBUS_QUERY_SERVICES, PATIENCE, &text));
                n = 0;
                for (unsigned i = 0; i < PROVIDERS; i++) {
                        (void)snprintf(line, sizeof(line), "%s\t%s\t%u\t%u\t-\t%u\t%s\n", NAME,
                                       p2pbus_get_full(p[i]), 10 * i, i + 1, (unsigned)geteuid(),
                                       meta[i] ? meta[i] : "");
                        n += strstr(text, line) != NULL;
                }
                free(text);
        }
        /* And changes are heard of again. */
        while (call(0) != 0)
                ;
        ok(p2pbus_release_name(p[0], NAME, PATIENCE));
        expect_ten_calls(0, 1);
        stop();
}
END_TEST

static const struct {
        const char *what;
        p2pbus_service service;
} bad[] = {
        { "no size", { .weight = 1 } },
        { "weight 0", { .struct_size = sizeof(p2pbus_service) } },
        { "unknown flags", { .struct_size = sizeof(p2pbus_service), .weight = 1, .flags = 2 } },
        { "a control character",
          { .struct_size = sizeof(p2pbus_service), .weight = 1, .metadata = "a\tb" } },
        { "no UTF-8",
          { .struct_size = sizeof(p2pbus_service), .weight = 1, .metadata = "\xc3\x28" } },
};

START_TEST(what_is_said_of_a_service_has_its_limits) {
        p2pbus_service service = { .struct_size = sizeof(service), .weight = 65535 };
        char metadata[P2PBUS_METADATA_MAX + 2];

        start();
        for (unsigned i = 0; i < ELEMENTSOF(bad); i++)
                ck_assert_msg(p2pbus_provide(p[0], NAME, &bad[i].service, PATIENCE) == -EINVAL,
                              "accepted: %s", bad[i].what);
        memset(metadata, 'x', sizeof(metadata) - 1);
        metadata[P2PBUS_METADATA_MAX + 1] = '\0';
        service.metadata = metadata;
        ck_assert_int_eq(p2pbus_provide(p[0], NAME, &service, PATIENCE), -EINVAL);
        metadata[P2PBUS_METADATA_MAX] = '\0';
        ok(p2pbus_provide(p[0], NAME, &service, PATIENCE));
        service.metadata = "h\xc3\xa9llo \xf0\x9f\x98\x84";
        ok(p2pbus_provide(p[0], NAME, &service, PATIENCE));
        stop();
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("services");
        TCase *tcase = tcase_create("choice");

        tcase_add_test(tcase, requests_are_shared);
        tcase_add_test(tcase, priority_comes_first_and_changes_are_heard);
        tcase_add_test(tcase, failover_keeps_to_the_first);
        tcase_add_test(tcase, one_way_messages_keep_to_one_and_in_order);
        tcase_add_test(tcase, what_a_provider_leaves_comes_once);
        tcase_add_test(tcase, nobody_is_said_at_once);
        tcase_add_test(tcase, what_comes_with_the_word_that_one_has_the_name_is_taken);
        tcase_add_test(tcase, what_is_said_of_a_service_has_its_limits);
        suite_add_tcase(suite, tcase);

        tcase = tcase_create("ends");
        tcase_add_test(tcase, who_drains_finishes_what_it_has_and_gets_no_more);
        tcase_add_test(tcase, draining_waits_for_no_daemon_that_is_gone);
        tcase_add_test(tcase, what_is_said_of_a_name_while_the_bus_is_away_is_what_holds);
        tcase_add_test(tcase, who_drains_takes_what_has_begun_to_come);
        tcase_add_test(tcase, who_drains_does_not_wait_for_what_was_cancelled);
        tcase_add_test(tcase, who_drains_does_not_wait_for_the_rest_of_one_who_was_killed);
        tcase_add_test(tcase, who_drains_waits_for_those_who_have_not_heard_but_not_for_ever);
        tcase_add_test(tcase, who_drains_goes_when_all_have_heard);
        tcase_add_loop_test(tcase, who_leaves_returns_what_nobody_was_given, 0, 2);
        tcase_add_test(tcase, a_request_that_was_received_is_finished_after_the_name_was_released);
        tcase_add_test(tcase, a_provider_that_dies_is_told_of);
        tcase_add_test(tcase, an_idempotent_request_goes_to_another);
        tcase_add_test(tcase, a_stream_that_has_not_begun_goes_to_another);
        tcase_add_test(tcase, a_stream_that_was_begun_goes_to_nobody_else);
        tcase_add_test(tcase, all_is_as_before_after_the_daemon_was_killed);
        suite_add_tcase(suite, tcase);

        tcase = tcase_create("all");
        tcase_add_test(tcase, all_are_asked_and_heard);
        tcase_add_test(tcase, a_fan_out_ends_in_time);
        suite_add_tcase(suite, tcase);
        return suite;
}
