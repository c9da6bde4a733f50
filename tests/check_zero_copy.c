/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Messages that are composed and read in the ring itself, between two handles and a real p2pbusd.
 * Whether a payload stands in the ring is seen in the library's own Message; and by writing through
 * the memory that was reserved, which is still the sender's while the receiver looks at it.
 */

#include "config.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libclient/message.h"
#include "libclient/p2pbus.h"
#include "libclient/peer.h"
#include "tests/api.h"
#include "tests/harness.h"
#include "tests/main.h"

#define PATIENCE (60 * SECOND) /* a process that is gone is given up after 30 */
#define LARGEST 61392          /* that fits one record */

static Daemon daemon_of_test;
static Daemon *const d = &daemon_of_test;
static p2pbus *a, *b;
static char to_a[P2PBUS_FULL_SIZE], to_b[P2PBUS_FULL_SIZE];

static p2pbus *open_bus(char full[static P2PBUS_FULL_SIZE]) {
        p2pbus *bus = api_open(d, P2PBUS_RESULTS);

        strcpy(full, p2pbus_get_full(bus));
        return bus;
}

static int path_of(p2pbus *bus, const char *dest) {
        p2pbus_peer_info info = { .struct_size = sizeof(info) };

        return p2pbus_get_peer(bus, dest, &info) == 0 ? info.path : P2PBUS_PATH_NONE;
}

/* Both do what they can. What comes without a byte on a socket is found a millisecond later. */
static void turn(void) {
        struct pollfd fds[] = {
                { .fd = p2pbus_get_fd(a), .events = (short)p2pbus_get_events(a) },
                { .fd = p2pbus_get_fd(b), .events = (short)p2pbus_get_events(b) },
        };

        (void)poll(fds, ELEMENTSOF(fds), 1);
        ok(p2pbus_process(a));
        ok(p2pbus_process(b));
}

#define until(condition)                                                                           \
        do {                                                                                       \
                uint64_t until_end = now_usec(CLOCK_MONOTONIC) + PATIENCE;                         \
                                                                                                   \
                for (; !(condition); turn())                                                       \
                        ck_assert_msg(now_usec(CLOCK_MONOTONIC) < until_end, "never: %s",          \
                                      #condition);                                                 \
        } while (0)

static void send_text(p2pbus *bus, const char *dest, const char *text) {
        p2pbus_message *m;

        ok(p2pbus_message_new(&m, text, strlen(text)));
        ok(p2pbus_send(bus, dest, m, 0, NULL));
        p2pbus_message_unref(m);
}

static p2pbus_message *next(p2pbus *bus) {
        p2pbus_message *m = NULL;

        until(p2pbus_receive(bus, 0, &m) == 0);
        return m;
}

static bool has_text(p2pbus_message *m, const char *text) {
        size_t n = strlen(text);

        return p2pbus_message_get_size(m) == n &&
               (n == 0 || memcmp(p2pbus_message_get_payload(m), text, n) == 0);
}

static void expect_text(p2pbus *bus, const char *text) {
        p2pbus_message *m = next(bus);

        ck_assert_msg(has_text(m, text), "not %s", text);
        p2pbus_message_unref(m);
}

static bool has_result(p2pbus *bus, p2pbus_message **ret) {
        p2pbus_message *m;

        /* Who asks in vain says what was taken. */
        fails(p2pbus_receive(a, 0, &m), -EAGAIN);
        fails(p2pbus_receive(b, 0, &m), -EAGAIN);
        return p2pbus_next_result(bus, ret) == 0;
}

/* The next message that @bus sent is settled so. */
static void expect_result(p2pbus *bus, int result) {
        p2pbus_message *m = NULL;

        until(has_result(bus, &m));
        ck_assert_int_eq(p2pbus_message_get_result(m), result);
        p2pbus_message_unref(m);
}

static void expect_silence_of_both(void) {
        p2pbus_message *m;

        for (int i = 0; i < 10; i++) {
                turn();
                fails(p2pbus_receive(a, 0, &m), -EAGAIN);
                fails(p2pbus_receive(b, 0, &m), -EAGAIN);
                fails(p2pbus_next_result(a, &m), -EAGAIN);
        }
}

static void start(void) {
        ck_assert_int_eq(unsetenv("P2PBUS_KEY"), 0);
        daemon_start(d, "--user", NULL);
        a = open_bus(to_a);
        b = open_bus(to_b);
}

static void stop(void) {
        a = p2pbus_unref(a);
        b = p2pbus_unref(b);
        daemon_stop(d);
}

/* Something was said, and answered. */
static void converse(void) {
        send_text(a, to_b, "hello");
        expect_text(b, "hello");
        expect_result(a, 0);
}

/* The same, and the pair has its ring. */
static void start_on_ring(void) {
        start();
        ok(p2pbus_set_ring(a, to_b, P2PBUS_RING_ALWAYS));
        converse();
        until(path_of(a, to_b) == P2PBUS_PATH_RING && path_of(b, to_a) == P2PBUS_PATH_RING);
        converse();
}

static bool is_in_ring(p2pbus_message *m) {
        return ((Message *)m)->is_shared;
}

static p2pbus_message *reserve(size_t size, char **ret_data) {
        p2pbus_message *m;
        void *data;

        ok(p2pbus_reserve(a, to_b, size, &m, &data));
        *ret_data = data;
        return m;
}

static void commit(p2pbus_message *m, size_t size) {
        ok(p2pbus_commit(a, m, size, 0, NULL));
        p2pbus_message_unref(m);
}

static void reserve_and_send(const char *text, bool in_ring) {
        char *data;
        p2pbus_message *m = reserve(strlen(text), &data);

        ck_assert_int_eq(is_in_ring(m), in_ring);
        memcpy(data, text, strlen(text));
        commit(m, strlen(text));
}

/* --- where it is composed --- */

START_TEST(test_on_a_ring_it_is_composed_in_the_ring) {
        p2pbus_message *m;
        char *data;

        start_on_ring();
        m = reserve(5, &data);
        ck_assert(is_in_ring(m));
        ck_assert_uint_eq((uintptr_t)data % 8, 0);
        memcpy(data, "hallo", 5);
        commit(m, 5);
        data[1] = 'e'; /* it is in the receiver's sight already */
        expect_text(b, "hello");
        expect_result(a, 0);
        stop();
}
END_TEST

START_TEST(test_without_a_ring_it_is_an_ordinary_message) {
        start();
        reserve_and_send("first contact", false);
        expect_text(b, "first contact");
        expect_result(a, 0);
        reserve_and_send("through the daemon", false);
        expect_text(b, "through the daemon");
        expect_result(a, 0);
        stop();
}
END_TEST

START_TEST(test_the_largest_fits_one_record_and_more_is_ordinary) {
        start_on_ring();
        for (size_t size = LARGEST; size <= LARGEST + 1; size++) {
                p2pbus_message *m;
                char *data;

                m = reserve(size, &data);
                ck_assert_int_eq(is_in_ring(m), size == LARGEST);
                memset(data, 'x', size);
                commit(m, size);
                m = next(b);
                ck_assert_uint_eq(p2pbus_message_get_size(m), size);
                ck_assert_int_eq(((const char *)p2pbus_message_get_payload(m))[size - 1], 'x');
                p2pbus_message_unref(m);
                expect_result(a, 0);
        }
        stop();
}
END_TEST

START_TEST(test_nothing_and_what_has_a_type_are_ordinary) {
        p2pbus_message *m;
        char *data;

        start_on_ring();
        reserve_and_send("", false);
        expect_text(b, "");
        m = reserve(4, &data);
        memcpy(data, "text", 4);
        ok(p2pbus_message_set_type(m, "text/plain"));
        commit(m, 4);
        m = next(b);
        ck_assert(has_text(m, "text"));
        ck_assert_str_eq(p2pbus_message_get_type(m), "text/plain");
        p2pbus_message_unref(m);
        stop();
}
END_TEST

START_TEST(test_a_second_reservation_is_ordinary) {
        p2pbus_message *first, *second;
        char *first_data, *second_data;

        start_on_ring();
        first = reserve(5, &first_data);
        second = reserve(6, &second_data);
        ck_assert(is_in_ring(first));
        ck_assert(!is_in_ring(second));
        memcpy(first_data, "first", 5);
        memcpy(second_data, "second", 6);
        commit(first, 5);
        commit(second, 6);
        expect_text(b, "first");
        expect_text(b, "second");
        stop();
}
END_TEST

START_TEST(test_without_credit_it_is_ordinary) {
        static char large[LARGEST];
        unsigned n = 0, n_in_ring = 0;
        bool in_ring = true;

        start_on_ring();
        while (in_ring) {
                char *data;
                p2pbus_message *m = reserve(sizeof(large), &data);

                in_ring = is_in_ring(m);
                n_in_ring += in_ring;
                memset(data, (int)('a' + n++), sizeof(large));
                commit(m, sizeof(large));
                ok(p2pbus_process(a));
                ck_assert_uint_lt(n, 20);
        }
        ck_assert_uint_ge(n_in_ring, 3); /* as many as a window takes */
        for (unsigned i = 0; i < n; i++) {
                p2pbus_message *m = next(b);

                ck_assert_int_eq(*(const char *)p2pbus_message_get_payload(m), 'a' + (int)i);
                p2pbus_message_unref(m);
        }
        for (unsigned i = 0; i < n; i++)
                expect_result(a, 0);
        stop();
}
END_TEST

/* What takes little room goes past what waits for much, which then waits for more. */
START_TEST(test_room_is_heard_of_although_something_small_took_some_of_it) {
        static const Record small = { .type = RECORD_PONG };
        uint8_t small_bytes[RECORD_HEADER_SIZE + RECORD_PING_SIZE];
        struct pollfd bell;
        static char large[LARGEST];
        uint64_t timeout_usec;
        p2pbus_message *m;
        RingPath *ring;

        start_on_ring();
        ring = a->peers->ring;
        for (unsigned i = 0; i < 5; i++) {
                ok(p2pbus_message_new(&m, large, sizeof(large)));
                ok(p2pbus_send(a, to_b, m, 0, NULL));
                p2pbus_message_unref(m);
        }
        ok(p2pbus_process(a));
        ck_assert(ring->waits_for_room);
        record_encode(&small, small_bytes);
        while (ring_path_send(ring, small_bytes, sizeof(small_bytes)))
                ;

        ck_assert_int_eq(ring_path_read(b->peers->ring), 0); /* one entry: not enough any more */
        ok(p2pbus_process(a));
        ck_assert(ring->waits_for_room);
        ok(p2pbus_get_timeout(a, &timeout_usec));
        ck_assert_int_eq(ring_path_read(b->peers->ring), 0);
        bell = (struct pollfd){ .fd = p2pbus_get_fd(a), .events = POLLIN };
        ck_assert_int_eq(poll(&bell, 1, 0), 1);
        ok(p2pbus_process(a));
        ck_assert(!ring->waits_for_room);
        stop();
}
END_TEST

/* --- what can be done with a reservation --- */

START_TEST(test_less_may_be_committed_than_was_reserved) {
        p2pbus_message *m;
        char *data;

        start_on_ring();
        m = reserve(1000, &data);
        memcpy(data, "short", 5);
        fails(p2pbus_commit(a, m, 1001, 0, NULL), -EINVAL);
        commit(m, 5);
        expect_text(b, "short");
        m = reserve(100000, &data);
        memcpy(data, "long", 4);
        commit(m, 4);
        expect_text(b, "long");
        stop();
}
END_TEST

START_TEST(test_one_that_is_given_up_leaves_no_trace) {
        p2pbus_message *m;
        char *data;

        start_on_ring();
        m = reserve(1000, &data);
        memset(data, 'x', 1000);
        p2pbus_message_unref(m);
        expect_silence_of_both();
        reserve_and_send("the next", true);
        expect_text(b, "the next");
        stop();
}
END_TEST

START_TEST(test_what_is_no_reservation_is_not_committed) {
        p2pbus_message *m;
        char *data;

        start_on_ring();
        ok(p2pbus_message_new(&m, "x", 1));
        fails(p2pbus_commit(a, m, 1, 0, NULL), -EINVAL);
        fails(p2pbus_commit(a, NULL, 1, 0, NULL), -EINVAL);
        p2pbus_message_unref(m);
        m = reserve(1, &data);
        *data = 'x';
        fails(p2pbus_commit(b, m, 1, 0, NULL), -EINVAL);
        fails(p2pbus_send(a, to_b, m, 0, NULL), -EINVAL);
        fails(p2pbus_send_wait(a, to_b, m, 0), -EINVAL);
        ok(p2pbus_commit(a, m, 1, 0, NULL));
        fails(p2pbus_commit(a, m, 1, 0, NULL), -EINVAL);
        p2pbus_message_unref(m);
        expect_text(b, "x");
        stop();
}
END_TEST

START_TEST(test_what_was_tried_as_a_request_is_committed_as_none) {
        static const size_t sizes[] = { 1, LARGEST + 1 };

        start_on_ring();
        for (unsigned i = 0; i < ELEMENTSOF(sizes); i++) {
                p2pbus_message *m, *reply;
                char *data;

                m = reserve(sizes[i], &data);
                memset(data, 'x', sizes[i]);
                fails(p2pbus_request(a, to_b, m, 0, &reply), -EINVAL);
                commit(m, sizes[i]);
                m = next(b);
                ck_assert_str_eq(p2pbus_kind_text(p2pbus_message_get_kind(m)), "one-way");
                p2pbus_message_unref(m);
                expect_result(a, 0);
        }
        stop();
}
END_TEST

START_TEST(test_a_reservation_outlives_the_handle) {
        p2pbus_message *m;
        char *data;

        start_on_ring();
        m = reserve(5, &data);
        p2pbus_close(a);
        memcpy(data, "later", 5);
        fails(p2pbus_commit(a, m, 5, 0, NULL), -ENOTCONN);
        a = p2pbus_unref(a);
        p2pbus_message_unref(m);
        stop();
}
END_TEST

START_TEST(test_a_reservation_outlives_the_ring) {
        p2pbus_message *m;
        char *data;

        start_on_ring();
        m = reserve(5, &data);
        ok(p2pbus_set_ring(b, to_a, P2PBUS_RING_NEVER));
        until(path_of(a, to_b) == P2PBUS_PATH_LOCAL);
        memcpy(data, "after", 5);
        commit(m, 5);
        expect_text(b, "after");
        expect_result(a, 0);
        expect_silence_of_both();
        stop();
}
END_TEST

/* --- order --- */

START_TEST(test_messages_come_in_the_order_of_sending_and_committing) {
        p2pbus_message *m;
        char *data;

        start_on_ring();
        send_text(a, to_b, "before");
        ok(p2pbus_process(a));
        m = reserve(8, &data);
        memcpy(data, "reserved", 8);
        send_text(a, to_b, "between");
        ok(p2pbus_process(a));
        ok(p2pbus_commit(a, m, 8, 0, NULL));
        ck_assert(!is_in_ring(m)); /* it stood in front of the one between */
        p2pbus_message_unref(m);
        send_text(a, to_b, "behind");
        m = reserve(4, &data); /* here or there */
        memcpy(data, "last", 4);
        commit(m, 4);
        expect_text(b, "before");
        expect_text(b, "between");
        expect_text(b, "reserved");
        expect_text(b, "behind");
        expect_text(b, "last");
        for (unsigned i = 0; i < 5; i++)
                expect_result(a, 0);
        stop();
}
END_TEST

START_TEST(test_while_one_is_open_nothing_else_goes_and_afterwards_all_does) {
        p2pbus_message *m;
        char *data;

        start_on_ring();
        send_text(b, to_a, "question");
        m = reserve(4, &data);
        expect_text(a, "question"); /* that it was taken cannot be said now */
        send_text(a, to_b, "waits");
        for (int i = 0; i < 10; i++) {
                turn();
                fails(p2pbus_next_result(b, &(p2pbus_message *){ NULL }), -EAGAIN);
                fails(p2pbus_receive(b, 0, &(p2pbus_message *){ NULL }), -EAGAIN);
        }
        p2pbus_message_unref(m);
        expect_text(b, "waits");
        expect_result(b, 0);
        stop();
}
END_TEST

/* --- no copy is kept --- */

START_TEST(test_what_lies_in_a_ring_that_is_given_back_is_delivered_once) {
        start_on_ring();
        reserve_and_send("on the way", true);
        ok(p2pbus_set_ring(a, to_b, P2PBUS_RING_NEVER));
        send_text(a, to_b, "behind it");
        expect_text(b, "on the way");
        expect_text(b, "behind it");
        expect_result(a, 0);
        expect_result(a, 0);
        ck_assert_int_eq(path_of(a, to_b), P2PBUS_PATH_LOCAL);
        expect_silence_of_both();
        stop();
}
END_TEST

START_TEST(test_what_was_read_in_a_ring_that_the_receiver_gives_back_is_delivered_once) {
        start_on_ring();
        reserve_and_send("on the way", true);
        ok(p2pbus_set_ring(b, to_a, P2PBUS_RING_NEVER));
        expect_text(b, "on the way");
        expect_result(a, 0);
        expect_silence_of_both();
        stop();
}
END_TEST

/* A process that attaches, and says who it is. */
static pid_t fork_receiver(char full[static P2PBUS_FULL_SIZE]) {
        int fds[2];
        pid_t child;

        ck_assert_int_eq(pipe(fds), 0);
        child = test_fork();
        if (child == 0) {
                p2pbus *bus = open_bus(full);
                p2pbus_message *m;

                (void)!write(fds[1], full, P2PBUS_FULL_SIZE);
                for (;;) {
                        if (p2pbus_receive(bus, P2PBUS_FOREVER, &m) < 0)
                                _exit(1);
                        if (has_text(m, "stop"))
                                (void)raise(SIGSTOP);
                        p2pbus_message_unref(m);
                }
        }
        ck_assert_int_eq(read(fds[0], full, P2PBUS_FULL_SIZE), P2PBUS_FULL_SIZE);
        close(fds[0]);
        close(fds[1]);
        return child;
}

START_TEST(test_what_a_killed_receiver_did_not_read_is_unknown) {
        char full[P2PBUS_FULL_SIZE];
        p2pbus_message *m;
        void *data;
        pid_t child;
        int status;

        ck_assert_int_eq(unsetenv("P2PBUS_KEY"), 0);
        daemon_start(d, "--user", NULL);
        child = fork_receiver(full);
        a = open_bus(to_a);
        b = open_bus(to_b);
        ok(p2pbus_set_ring(a, full, P2PBUS_RING_ALWAYS));
        send_text(a, full, "hello");
        expect_result(a, 0);
        until(path_of(a, full) == P2PBUS_PATH_RING);
        send_text(a, full, "hello");
        expect_result(a, 0);
        send_text(a, full, "stop");
        ok(p2pbus_process(a));
        ck_assert_int_eq(waitpid(child, &status, WUNTRACED), child);
        ck_assert(WIFSTOPPED(status));

        ok(p2pbus_reserve(a, full, 4, &m, &data));
        ck_assert(is_in_ring(m));
        memcpy(data, "lost", 4);
        ok(p2pbus_commit(a, m, 4, 0, NULL));
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        until(p2pbus_message_get_result(m) != -EINPROGRESS);
        ck_assert_int_eq(p2pbus_message_get_reason(m), P2PBUS_REASON_UNKNOWN);
        p2pbus_message_unref(m);
        stop();
}
END_TEST

/* --- where it is read --- */

/* Nothing but this call reads the ring. */
static p2pbus_message *borrow(void) {
        uint64_t end = now_usec(CLOCK_MONOTONIC) + PATIENCE;
        p2pbus_message *m;

        while (p2pbus_borrow(b, 0, &m) == -EAGAIN) {
                ok(p2pbus_process(a));
                ck_assert_uint_lt(now_usec(CLOCK_MONOTONIC), end);
        }
        return m;
}

START_TEST(test_a_borrowed_payload_is_where_its_sender_put_it) {
        p2pbus_message *m;
        char *data;

        start_on_ring();
        m = reserve(5, &data);
        memcpy(data, "hello", 5);
        commit(m, 5);
        m = borrow();
        ck_assert_int_eq(p2pbus_message_is_shared(m), 1);
        ck_assert(has_text(m, "hello"));
        data[1] = 'a'; /* which is why nothing may be checked in place */
        ck_assert(has_text(m, "hallo"));
        p2pbus_message_unref(m);
        expect_result(a, 0);
        stop();
}
END_TEST

START_TEST(test_a_received_payload_is_not) {
        p2pbus_message *m;
        char *data;

        start_on_ring();
        m = reserve(5, &data);
        memcpy(data, "hello", 5);
        commit(m, 5);
        m = next(b);
        ck_assert_int_eq(p2pbus_message_is_shared(m), 0);
        data[1] = 'a';
        ck_assert(has_text(m, "hello"));
        p2pbus_message_unref(m);
        stop();
}
END_TEST

START_TEST(test_ordinary_messages_can_be_borrowed_too) {
        p2pbus_message *m;

        start_on_ring();
        send_text(a, to_b, "sent");
        m = borrow();
        ck_assert_int_eq(p2pbus_message_is_shared(m), 1);
        ck_assert(has_text(m, "sent"));
        p2pbus_message_unref(m);
        expect_result(a, 0);
        stop();
}
END_TEST

START_TEST(test_what_came_otherwise_is_not_shared) {
        static char large[2 * LARGEST];
        p2pbus_message *m;

        start();
        converse();
        send_text(a, to_b, "through the daemon");
        m = borrow();
        ck_assert_int_eq(p2pbus_message_is_shared(m), 0);
        ck_assert(has_text(m, "through the daemon"));
        p2pbus_message_unref(m);
        expect_result(a, 0);

        ok(p2pbus_set_ring(a, to_b, P2PBUS_RING_ALWAYS));
        until(path_of(a, to_b) == P2PBUS_PATH_RING && path_of(b, to_a) == P2PBUS_PATH_RING);
        ok(p2pbus_message_new(&m, large, sizeof(large)));
        ok(p2pbus_send(a, to_b, m, 0, NULL));
        p2pbus_message_unref(m);
        m = borrow(); /* in several records */
        ck_assert_int_eq(p2pbus_message_is_shared(m), 0);
        ck_assert_uint_eq(p2pbus_message_get_size(m), sizeof(large));
        p2pbus_message_unref(m);
        expect_result(a, 0);
        fails(p2pbus_borrow(b, 0, &m), -EAGAIN);
        stop();
}
END_TEST

START_TEST(test_what_was_read_for_a_borrower_is_copied_for_others) {
        p2pbus_message *first, *second;

        start_on_ring();
        reserve_and_send("first", true);
        reserve_and_send("second", true);
        first = borrow();
        ok(p2pbus_receive(b, 0, &second)); /* lies there already */
        ck_assert_int_eq(p2pbus_message_is_shared(first), 1);
        ck_assert_int_eq(p2pbus_message_is_shared(second), 0);
        ck_assert(has_text(first, "first"));
        ck_assert(has_text(second, "second"));
        p2pbus_message_unref(first);
        p2pbus_message_unref(second);
        stop();
}
END_TEST

static void on_reply(p2pbus *bus, int error, int reason, p2pbus_message *reply, void *userdata) {
        (void)bus;
        (void)reason;
        ck_assert_int_eq(error, 0);
        *(p2pbus_message **)userdata = p2pbus_message_ref(reply);
}

START_TEST(test_requests_can_be_borrowed) {
        p2pbus_message *m, *answer, *reply = NULL;

        start_on_ring();
        ok(p2pbus_message_new(&m, "how?", 4));
        ok(p2pbus_request_start(a, to_b, m, 0, on_reply, &reply, NULL));
        p2pbus_message_unref(m);
        m = borrow();
        ck_assert_int_eq(p2pbus_message_is_shared(m), 1);
        ck_assert(has_text(m, "how?"));
        ok(p2pbus_message_new(&answer, "so", 2));
        ok(p2pbus_reply(b, m, answer));
        p2pbus_message_unref(answer);
        p2pbus_message_unref(m);
        until(reply);
        ck_assert(has_text(reply, "so"));
        ck_assert_int_eq(p2pbus_message_is_shared(reply), 0);
        p2pbus_message_unref(reply);
        stop();
}
END_TEST

/* --- holding --- */

/* More than all the ring has room for. */
static void go_round(void) {
        for (int i = 0; i < 20; i++) {
                char *data;
                p2pbus_message *m = reserve(LARGEST, &data);

                ck_assert(is_in_ring(m));
                memset(data, i, LARGEST);
                commit(m, LARGEST);
                m = next(b);
                ck_assert_int_eq(*(const char *)p2pbus_message_get_payload(m), i);
                p2pbus_message_unref(m);
                expect_result(a, 0);
        }
}

START_TEST(test_several_can_be_held_and_released_in_any_order) {
        static const char *const texts[] = { "one", "two", "three", "four" };
        static const unsigned order[] = { 2, 0, 3, 1 };
        p2pbus_message *held[4];

        start_on_ring();
        for (unsigned i = 0; i < 4; i++)
                reserve_and_send(texts[i], true);
        for (unsigned i = 0; i < 4; i++)
                held[i] = borrow();
        for (unsigned i = 0; i < 4; i++) {
                ck_assert_int_eq(p2pbus_message_is_shared(held[order[i]]), 1);
                ck_assert(has_text(held[order[i]], texts[order[i]]));
                p2pbus_message_unref(held[order[i]]);
        }
        for (unsigned i = 0; i < 4; i++)
                expect_result(a, 0);
        go_round();
        stop();
}
END_TEST

START_TEST(test_what_is_too_much_to_be_held_is_copied) {
        p2pbus_message *held[100];
        unsigned n_shared = 0;

        start_on_ring();
        for (unsigned i = 0; i < 100; i++)
                reserve_and_send("small", true);
        for (unsigned i = 0; i < 100; i++) {
                held[i] = borrow();
                ck_assert(has_text(held[i], "small"));
                n_shared += (unsigned)p2pbus_message_is_shared(held[i]);
        }
        ck_assert_uint_ge(n_shared, 1);
        ck_assert_uint_le(n_shared, 64);
        for (unsigned i = 0; i < 100; i++)
                p2pbus_message_unref(held[i]);
        for (unsigned i = 0; i < 100; i++)
                expect_result(a, 0);
        go_round();
        stop();
}
END_TEST

START_TEST(test_a_released_message_is_delivered_and_has_no_payload) {
        p2pbus_message *m;

        start_on_ring();
        reserve_and_send("seen", true);
        m = borrow();
        p2pbus_release(m);
        p2pbus_release(m);
        ck_assert_int_eq(p2pbus_message_is_shared(m), 0);
        ck_assert_ptr_null(p2pbus_message_get_payload(m));
        ck_assert_str_eq(p2pbus_message_get_from(m), to_a);
        expect_result(a, 0);
        p2pbus_message_unref(m);
        go_round();
        stop();
}
END_TEST

START_TEST(test_what_is_held_stays_when_the_ring_ends) {
        p2pbus_message *m;

        start_on_ring();
        reserve_and_send("held", true);
        m = borrow();
        ok(p2pbus_set_ring(a, to_b, P2PBUS_RING_NEVER));
        until(path_of(a, to_b) == P2PBUS_PATH_LOCAL && path_of(b, to_a) == P2PBUS_PATH_LOCAL);
        send_text(a, to_b, "afterwards");
        expect_text(b, "afterwards");
        ck_assert_int_eq(p2pbus_message_is_shared(m), 1);
        ck_assert(has_text(m, "held"));
        p2pbus_message_unref(m);
        expect_result(a, 0);
        expect_result(a, 0);
        stop();
}
END_TEST

START_TEST(test_what_is_held_stays_when_both_handles_end) {
        p2pbus_message *m;

        start_on_ring();
        reserve_and_send("held", true);
        m = borrow();
        a = p2pbus_unref(a);
        b = p2pbus_unref(b);
        ck_assert(has_text(m, "held"));
        p2pbus_message_unref(m);
        stop();
}
END_TEST

START_TEST(test_a_sender_waits_for_what_is_held_and_nobody_else) {
        static char large[LARGEST];
        unsigned n = 0, n_idle = 0;
        p2pbus_message *held, *m;

        start_on_ring();
        reserve_and_send("held", true);
        held = borrow();
        for (unsigned i = 0; i < 10; i++) {
                ok(p2pbus_message_new(&m, large, sizeof(large)));
                ok(p2pbus_send(a, to_b, m, 0, NULL));
                p2pbus_message_unref(m);
        }
        while (n_idle < 100) {
                turn();
                n_idle++;
                while (p2pbus_receive(b, 0, &m) == 0) {
                        p2pbus_message_unref(m);
                        n_idle = 0;
                        n++;
                }
        }
        ck_assert_uint_lt(n, 10);
        send_text(b, to_a, "the other way");
        expect_text(a, "the other way");
        ck_assert(has_text(held, "held"));

        p2pbus_message_unref(held);
        for (; n < 10; n++)
                p2pbus_message_unref(next(b));
        for (unsigned i = 0; i < 11; i++)
                expect_result(a, 0);
        stop();
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("zero copy");
        TCase *tcase = tcase_create("sender");

        tcase_set_timeout(tcase, 120);
        tcase_add_test(tcase, test_on_a_ring_it_is_composed_in_the_ring);
        tcase_add_test(tcase, test_without_a_ring_it_is_an_ordinary_message);
        tcase_add_test(tcase, test_the_largest_fits_one_record_and_more_is_ordinary);
        tcase_add_test(tcase, test_nothing_and_what_has_a_type_are_ordinary);
        tcase_add_test(tcase, test_a_second_reservation_is_ordinary);
        tcase_add_test(tcase, test_without_credit_it_is_ordinary);
        tcase_add_test(tcase, test_room_is_heard_of_although_something_small_took_some_of_it);
        tcase_add_test(tcase, test_less_may_be_committed_than_was_reserved);
        tcase_add_test(tcase, test_one_that_is_given_up_leaves_no_trace);
        tcase_add_test(tcase, test_what_is_no_reservation_is_not_committed);
        tcase_add_test(tcase, test_what_was_tried_as_a_request_is_committed_as_none);
        tcase_add_test(tcase, test_a_reservation_outlives_the_handle);
        tcase_add_test(tcase, test_a_reservation_outlives_the_ring);
        tcase_add_test(tcase, test_messages_come_in_the_order_of_sending_and_committing);
        tcase_add_test(tcase, test_while_one_is_open_nothing_else_goes_and_afterwards_all_does);
        tcase_add_test(tcase, test_what_lies_in_a_ring_that_is_given_back_is_delivered_once);
        tcase_add_test(tcase,
                       test_what_was_read_in_a_ring_that_the_receiver_gives_back_is_delivered_once);
        tcase_add_test(tcase, test_what_a_killed_receiver_did_not_read_is_unknown);
        suite_add_tcase(suite, tcase);

        tcase = tcase_create("receiver");
        tcase_set_timeout(tcase, 120);
        tcase_add_test(tcase, test_a_borrowed_payload_is_where_its_sender_put_it);
        tcase_add_test(tcase, test_a_received_payload_is_not);
        tcase_add_test(tcase, test_ordinary_messages_can_be_borrowed_too);
        tcase_add_test(tcase, test_what_came_otherwise_is_not_shared);
        tcase_add_test(tcase, test_what_was_read_for_a_borrower_is_copied_for_others);
        tcase_add_test(tcase, test_requests_can_be_borrowed);
        tcase_add_test(tcase, test_several_can_be_held_and_released_in_any_order);
        tcase_add_test(tcase, test_what_is_too_much_to_be_held_is_copied);
        tcase_add_test(tcase, test_a_released_message_is_delivered_and_has_no_payload);
        tcase_add_test(tcase, test_what_is_held_stays_when_the_ring_ends);
        tcase_add_test(tcase, test_what_is_held_stays_when_both_handles_end);
        tcase_add_test(tcase, test_a_sender_waits_for_what_is_held_and_nobody_else);
        suite_add_tcase(suite, tcase);
        return suite;
}
