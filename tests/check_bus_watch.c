/* SPDX-License-Identifier: Apache-2.0 */

/* What can be seen of conversations from outside, on rings above all: by the public header alone. */

#include "config.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libclient/p2pbus.h"
#include "tests/api.h"
#include "tests/harness.h"
#include "tests/main.h"

#define STEP (SECOND / 100)
#define STEPS 3000 /* 30 s: only ends what hangs */

static Daemon d;
static p2pbus *a, *b, *watcher;

static p2pbus *open_bus(void) {
        return api_open(&d, 0);
}

static void start(void) {
        ck_assert_int_eq(unsetenv("P2PBUS_KEY"), 0);
        daemon_start(&d, "--user", NULL);
        a = open_bus();
        b = open_bus();
        watcher = open_bus();
}

static void stop(void) {
        a = p2pbus_unref(a);
        b = p2pbus_unref(b);
        watcher = p2pbus_unref(watcher);
        daemon_stop(&d);
}

static int send_bytes(p2pbus *from, p2pbus *to, const void *data, size_t n) {
        p2pbus_message *m;
        int r;

        ok(p2pbus_message_new(&m, data, n));
        r = p2pbus_send(from, p2pbus_get_full(to), m, 0, NULL);
        p2pbus_message_unref(m);
        return r;
}

/* One thread moves both. */
static void step(unsigned *n) {
        ck_assert_uint_lt((*n)++, STEPS);
        ok(p2pbus_process(a));
        ok(p2pbus_wait(b, STEP));
}

static void receive(p2pbus *bus, size_t size) {
        p2pbus_message *m;
        unsigned n = 0;

        while (p2pbus_receive(bus, 0, &m) != 0)
                step(&n);
        ck_assert_uint_eq(p2pbus_message_get_size(m), size);
        p2pbus_message_unref(m);
}

static p2pbus_peer_info info_of(p2pbus *bus, p2pbus *other) {
        p2pbus_peer_info info = { .struct_size = sizeof(info) };

        ok(p2pbus_get_peer(bus, p2pbus_get_full(other), &info));
        return info;
}

static void make_ring(void) {
        unsigned n = 0;

        ok(send_bytes(a, b, "first", 5));
        receive(b, 5);
        ok(p2pbus_set_ring(a, p2pbus_get_full(b), P2PBUS_RING_ALWAYS));
        while (info_of(a, b).path != P2PBUS_PATH_RING || info_of(b, a).path != P2PBUS_PATH_RING)
                step(&n);
}

/* --- monitors --- */

static void next_message(p2pbus_seen *seen, uint64_t *ret_lost) {
        unsigned n = 0;
        int r;

        do {
                ck_assert_uint_lt(n++, STEPS);
                ok(p2pbus_process(a));
                ok(p2pbus_process(b));
                memset(seen, 0, sizeof(*seen));
                seen->struct_size = sizeof(*seen);
                r = p2pbus_monitor_next(watcher, STEP, seen, ret_lost);
        } while (r == -EAGAIN || seen->seen == P2PBUS_SEEN_SESSION);
        ok(r);
}

static void watch(int full) {
        unsigned n = 0;

        ok(p2pbus_monitor_start(watcher, full, NULL, 0));
        while (!(p2pbus_get_state(a, NULL) & P2PBUS_STATE_MONITORED) ||
               !(p2pbus_get_state(b, NULL) & P2PBUS_STATE_MONITORED))
                step(&n);
}

static void expect_message(p2pbus *from, p2pbus *to, int path, const char *text) {
        p2pbus_seen seen;
        uint64_t lost = 0;

        next_message(&seen, &lost);
        ck_assert_int_eq(seen.seen, P2PBUS_SEEN_MESSAGE);
        ck_assert_str_eq(seen.from, p2pbus_get_pid(from));
        ck_assert_str_eq(seen.to, p2pbus_get_pid(to));
        ck_assert_int_eq(seen.path, path);
        ck_assert_int_eq(seen.truncated, 0);
        ck_assert_uint_eq(seen.message_bytes, strlen(text));
        ck_assert_uint_eq(seen.n_payload, strlen(text));
        ck_assert_mem_eq(seen.payload, text, strlen(text));
        ck_assert_uint_eq(seen.packet_bytes, seen.n_packet);
        ck_assert_uint_eq(lost, 0);
}

START_TEST(a_monitor_sees_each_message_of_a_ring_once) {
        p2pbus_seen seen;
        uint64_t lost;

        make_ring();
        watch(1);
        /* Many go into one entry: each is a message all the same. */
        ok(send_bytes(a, b, "one", 3));
        ok(send_bytes(a, b, "two", 3));
        ok(send_bytes(a, b, "three", 5));
        receive(b, 3);
        receive(b, 3);
        receive(b, 5);
        expect_message(a, b, P2PBUS_PATH_RING, "one");
        expect_message(a, b, P2PBUS_PATH_RING, "two");
        expect_message(a, b, P2PBUS_PATH_RING, "three");
        ok(send_bytes(b, a, "back", 4));
        receive(a, 4);
        expect_message(b, a, P2PBUS_PATH_RING, "back");
        /* And the daemon's way, for comparison; nothing was shown twice before it. */
        ok(send_bytes(a, watcher, "daemon", 6));
        expect_message(a, watcher, P2PBUS_PATH_LOCAL, "daemon");
        memset(&seen, 0, sizeof(seen));
        seen.struct_size = offsetof(p2pbus_seen, path); /* of the first version */
        seen.path = -1;
        ok(send_bytes(a, watcher, "old", 3));
        do {
                ok(p2pbus_process(a));
                ok(p2pbus_monitor_next(watcher, 30 * SECOND, &seen, &lost));
        } while (seen.seen != P2PBUS_SEEN_MESSAGE);
        ck_assert_int_eq(seen.path, -1);
        seen.struct_size = offsetof(p2pbus_seen, path) - 8;
        ck_assert_int_eq(p2pbus_monitor_next(watcher, 0, &seen, &lost), -EINVAL);
}
END_TEST

START_TEST(a_long_message_on_a_ring_is_one_message) {
        static char block[300000];
        p2pbus_seen seen;
        uint64_t lost, n_bytes = 0;

        make_ring();
        watch(1);
        ok(send_bytes(a, b, block, sizeof(block)));
        receive(b, sizeof(block));
        next_message(&seen, &lost);
        ck_assert_int_eq(seen.seen, P2PBUS_SEEN_MESSAGE);
        ck_assert_uint_eq(seen.message_bytes, sizeof(block));
        for (;;) {
                n_bytes += seen.n_payload;
                if (n_bytes == sizeof(block))
                        break;
                next_message(&seen, &lost);
                ck_assert_int_eq(seen.seen, P2PBUS_SEEN_PART);
                ck_assert_uint_eq(lost, 0);
        }
}
END_TEST

START_TEST(for_headers_no_payload_leaves_the_process) {
        p2pbus_seen seen;
        uint64_t lost;

        make_ring();
        watch(0);
        ok(send_bytes(a, b, "secret", 6));
        receive(b, 6);
        do
                next_message(&seen, &lost);
        while (strcmp(seen.from, p2pbus_get_pid(a)) != 0);
        ck_assert_int_eq(seen.seen, P2PBUS_SEEN_RECORDS);
        ck_assert_int_eq(seen.path, P2PBUS_PATH_RING);
        ck_assert_int_eq(seen.truncated, 1);
        ck_assert_uint_eq(seen.n_packet, PACKET_HEADER_SIZE);
        ck_assert_uint_gt(seen.packet_bytes, PACKET_HEADER_SIZE + 6);
        ck_assert_ptr_null(seen.payload);
}
END_TEST

/* The daemon is stopped: it takes nothing, and the ring goes on. */
START_TEST(what_the_daemon_does_not_take_is_left_out_and_counted) {
        static const char block[60000];
        p2pbus_seen seen = { .struct_size = sizeof(seen) };
        uint64_t lost, n_lost = 0;
        unsigned n_sent = 0, n_seen = 0;

        make_ring();
        watch(1);
        ck_assert_int_eq(kill(d.os_pid, SIGSTOP), 0);
        for (; n_sent < 50; n_sent++) {
                ok(send_bytes(a, b, block, sizeof(block)));
                receive(b, sizeof(block));
        }
        ck_assert_int_eq(kill(d.os_pid, SIGCONT), 0);
        for (; n_lost == 0; n_sent++) {
                ck_assert_uint_lt(n_sent, STEPS);
                ok(send_bytes(a, b, "more", 4));
                receive(b, 4);
                ok(p2pbus_process(a));
                while (p2pbus_monitor_next(watcher, STEP, &seen, &lost) == 0) {
                        n_lost += lost;
                        n_seen += seen.seen == P2PBUS_SEEN_MESSAGE;
                }
        }
        ck_assert_uint_lt(n_seen, n_sent);
        ck_assert_uint_gt(daemon_status(&d, "taps_lost"), 0);
}
END_TEST

START_TEST(a_message_composed_in_the_ring_is_seen_too) {
        p2pbus_message *m;
        void *data;

        make_ring();
        watch(1);
        ok(p2pbus_reserve(a, p2pbus_get_full(b), 8, &m, &data));
        memcpy(data, "composed", 8);
        ok(p2pbus_commit(a, m, 8, 0, NULL));
        p2pbus_message_unref(m);
        receive(b, 8);
        expect_message(a, b, P2PBUS_PATH_RING, "composed");
}
END_TEST

/* --- conversations --- */

/* p2pbusctl peers: asks in a thread of its own, since @a and @b answer in this one. */
typedef struct Question {
        char *text;
        bool is_answered;
} Question;

static void *ask(void *userdata) {
        Question *q = userdata;

        ok(p2pbus_query(watcher, P2PBUS_QUERY_PEERS, 30 * SECOND, &q->text));
        __atomic_store_n(&q->is_answered, true, __ATOMIC_RELEASE);
        return NULL;
}

static char *query_peers(void) {
        Question q = { 0 };
        pthread_t thread;
        unsigned n = 0;

        ck_assert_int_eq(pthread_create(&thread, NULL, ask, &q), 0);
        while (!__atomic_load_n(&q.is_answered, __ATOMIC_ACQUIRE))
                step(&n);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        return q.text;
}

enum { SAYS = 9, PEER, PATH, ESTABLISHED, QUEUED, HELD, WAITS, RING_SIZE, FILL_OUT, FILL_IN, SENT = 24, DELIVERED, REFUSED, EXPIRED, CANCELLED, UNKNOWN, RECEIVED, TAKEN, N };

typedef struct Line {
        char text[1024];
        const char *fields[N];
} Line;

/* What is said of the conversation of @bus with @other. */
static Line line_of(const char *text, p2pbus *bus, p2pbus *other) {
        char head[P2PBUS_FULL_SIZE + 1];
        const char *at;
        Line line;

        (void)snprintf(head, sizeof(head), "%s\t", p2pbus_get_full(bus));
        for (at = strstr(text, head); at; at = strstr(at + 1, head)) {
                (void)snprintf(line.text, sizeof(line.text), "%.*s", (int)strcspn(at, "\n"), at);
                if (strstr(line.text, p2pbus_get_pid(other)))
                        break;
        }
        ck_assert_msg(at, "no conversation of %s with %s in:\n%s", p2pbus_get_pid(bus),
                      p2pbus_get_pid(other), text);
        return line;
}

static void split(Line *line) {
        char *next = line->text;
        unsigned n = 0;

        while (next && n < N)
                line->fields[n++] = strsep(&next, "\t");
        ck_assert_uint_eq(n, N);
        ck_assert_ptr_null(next);
}

START_TEST(both_sides_show_their_ring) {
        p2pbus *const sides[2][2] = { { a, b }, { b, a } };
        char *text;

        make_ring();
        text = query_peers();
        for (unsigned i = 0; i < 2; i++) {
                Line line = line_of(text, sides[i][0], sides[i][1]);

                split(&line);
                ck_assert_str_eq(line.fields[SAYS], "self");
                ck_assert_str_eq(line.fields[PEER], p2pbus_get_pid(sides[i][1]));
                ck_assert_str_eq(line.fields[PATH], "ring");
                ck_assert_str_eq(line.fields[ESTABLISHED], "yes");
                ck_assert_str_eq(line.fields[WAITS], "0");
                ck_assert_uint_eq(strtoull(line.fields[RING_SIZE], NULL, 10),
                                  info_of(sides[i][0], sides[i][1]).ring_size);
                ck_assert_uint_gt(info_of(sides[i][0], sides[i][1]).ring_size, 0);
        }
        free(text);
        ok(p2pbus_set_ring(a, p2pbus_get_full(b), P2PBUS_RING_NEVER));
        text = query_peers();
        for (unsigned i = 0; i < 2; i++) {
                Line line = line_of(text, sides[i][0], sides[i][1]);

                split(&line);
                ck_assert_str_eq(line.fields[PATH], "daemon");
                ck_assert_str_eq(line.fields[RING_SIZE], "-");
        }
        free(text);
}
END_TEST

START_TEST(who_waits_for_whom_is_told) {
        static uint8_t bytes[50000];
        unsigned n = 0;
        char *text;
        Line line;

        if (_i == 0)
                make_ring();
        while (send_bytes(a, b, bytes, sizeof(bytes)) != -EAGAIN) /* which b's program does not take */
                step(&n);
        text = query_peers();
        line = line_of(text, a, b);
        split(&line);
        ck_assert_str_eq(line.fields[PATH], _i == 0 ? "ring" : "daemon");
        ck_assert_uint_gt(strtoull(line.fields[QUEUED], NULL, 10), 0);
        ck_assert_uint_gt(strtoull(line.fields[HELD], NULL, 10), sizeof(bytes));
        ck_assert_uint_gt(strtoull(line.fields[WAITS], NULL, 10), 0);
        ck_assert_uint_gt(info_of(a, b).waiting_usec, 0);
        line = line_of(text, b, a);
        split(&line);
        ck_assert_str_eq(line.fields[WAITS], "0");
        free(text);
}
END_TEST

static uint64_t number(const Line *line, unsigned field) {
        return strtoull(line->fields[field], NULL, 10);
}

START_TEST(what_was_sent_is_accounted_for) {
        unsigned n = 0;
        char *text;
        Line line;

        if (_i == 0)
                make_ring();
        for (unsigned i = 0; i < 5; i++)
                ok(send_bytes(a, b, "hello", 5));
        for (unsigned i = 0; i < 4; i++) /* the last one stays */
                receive(b, 5);
        do
                step(&n);
        while (counters_of(a).delivered < 4);
        text = query_peers();
        line = line_of(text, a, b);
        split(&line);
        ck_assert_uint_ge(number(&line, SENT), 5);
        ck_assert_uint_ge(number(&line, DELIVERED), 4);
        ck_assert_uint_eq(number(&line, SENT),
                          number(&line, DELIVERED) + number(&line, REFUSED) +
                                  number(&line, EXPIRED) + number(&line, CANCELLED) +
                                  number(&line, UNKNOWN) + number(&line, QUEUED));
        line = line_of(text, b, a);
        split(&line);
        ck_assert_uint_ge(number(&line, RECEIVED), 5);
        free(text);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("bus watch");
        TCase *monitors = tcase_create("monitors");
        TCase *conversations = tcase_create("conversations");

        tcase_add_test(monitors, a_monitor_sees_each_message_of_a_ring_once);
        tcase_add_test(monitors, a_long_message_on_a_ring_is_one_message);
        tcase_add_test(monitors, for_headers_no_payload_leaves_the_process);
        tcase_add_test(monitors, what_the_daemon_does_not_take_is_left_out_and_counted);
        tcase_add_test(monitors, a_message_composed_in_the_ring_is_seen_too);
        tcase_add_checked_fixture(monitors, start, stop);
        suite_add_tcase(suite, monitors);

        tcase_add_test(conversations, both_sides_show_their_ring);
        tcase_add_loop_test(conversations, who_waits_for_whom_is_told, 0, 2);
        tcase_add_loop_test(conversations, what_was_sent_is_accounted_for, 0, 2);
        tcase_add_checked_fixture(conversations, start, stop);
        suite_add_tcase(suite, conversations);
        return suite;
}
