/* SPDX-License-Identifier: Apache-2.0 */

/* The library by its public header alone, with a real p2pbusd behind it. */

#include "config.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libclient/p2pbus-sd-event.h"
#include "libclient/p2pbus.h"
#include "libcore/util.h"
#include "tests/api.h"
#include "tests/harness.h"
#include "tests/main.h"

#define PATIENCE (30 * SECOND) /* of waits that must not end by themselves */
#define STRANGER "0123456789abcdef"

static Daemon daemon_of_test;
static Daemon *const d = &daemon_of_test;

static void start(void) {
        ck_assert_int_eq(unsetenv("P2PBUS_KEY"), 0);
        daemon_start(d, "--user", NULL);
}

static void stop(void) {
        daemon_stop(d);
}

static p2pbus *open_with(uint32_t flags) {
        return api_open(d, flags);
}

static p2pbus *open_bus(void) {
        return open_with(0);
}

static p2pbus_message *message_of(const char *text) {
        p2pbus_message *m;

        ok(p2pbus_message_new(&m, text, strlen(text)));
        return m;
}

static int send_text(p2pbus *bus, const char *dest, const char *text) {
        p2pbus_message *m = message_of(text);
        int r = p2pbus_send(bus, dest, m, 0, NULL);

        p2pbus_message_unref(m);
        return r;
}

static bool has_text(p2pbus_message *m, const char *text) {
        return p2pbus_message_get_size(m) == strlen(text) &&
                (!*text || memcmp(p2pbus_message_get_payload(m), text, strlen(text)) == 0);
}

static void expect_text(p2pbus *bus, const char *text) {
        p2pbus_message *m;

        ok(p2pbus_receive(bus, PATIENCE, &m));
        ck_assert_msg(has_text(m, text), "not %s", text);
        p2pbus_message_unref(m);
}

/* The same, when the thread that waits is also the one to move the sender. */
static void expect_from(p2pbus *sender, p2pbus *bus, const char *text) {
        p2pbus_message *m;
        unsigned n = 0;

        while (p2pbus_receive(bus, SECOND / 100, &m) == -EAGAIN) {
                ok(p2pbus_process(sender));
                ck_assert_uint_lt(++n, 3000);
        }
        ck_assert_msg(has_text(m, text), "not %s", text);
        p2pbus_message_unref(m);
}

/* Lets a receiver say what it has taken, so that its sender can be flushed by the same thread. */
static void expect_nothing(p2pbus *bus) {
        p2pbus_message *m;

        fails(p2pbus_receive(bus, 0, &m), -EAGAIN);
}

/* Another thread that answers requests with their own payload, and keeps the rest. */
typedef struct Echo {
        p2pbus *bus;
        pthread_t thread;
        unsigned n_requests, n_others;
} Echo;

static void *echo_run(void *userdata) {
        Echo *echo = userdata;
        p2pbus_message *m, *reply;
        int r;

        while ((r = p2pbus_receive(echo->bus, P2PBUS_FOREVER, &m)) == 0) {
                if (p2pbus_message_get_kind(m) == P2PBUS_KIND_REQUEST) {
                        __atomic_add_fetch(&echo->n_requests, 1, __ATOMIC_RELAXED);
                        ok(p2pbus_message_new(&reply, p2pbus_message_get_payload(m),
                                              p2pbus_message_get_size(m)));
                        r = p2pbus_reply(echo->bus, m, reply);
                        ck_assert(r == 0 || r == -ENOTCONN);
                        p2pbus_message_unref(reply);
                } else {
                        __atomic_add_fetch(&echo->n_others, 1, __ATOMIC_RELAXED);
                }
                p2pbus_message_unref(m);
        }
        ck_assert_int_eq(r, -ENOTCONN);
        return NULL;
}

static void echo_start(Echo *echo) {
        *echo = (Echo){ .bus = open_bus() };
        ck_assert_int_eq(pthread_create(&echo->thread, NULL, echo_run, echo), 0);
}

/* Closing wakes the thread, wherever it waits. */
static void echo_stop(Echo *echo) {
        p2pbus_close(echo->bus);
        ck_assert_int_eq(pthread_join(echo->thread, NULL), 0);
        p2pbus_unref(echo->bus);
}

/* ---- Messages ---- */

START_TEST(a_message_arrives_as_it_was_sent) {
        p2pbus *a = open_bus(), *b = open_bus();
        p2pbus_message *m = message_of("hello"), *got;
        char id[P2PBUS_ID_SIZE];

        ok(p2pbus_message_set_type(m, "text/plain"));
        ck_assert_str_eq(p2pbus_message_get_id(m), "");
        ok(p2pbus_send(a, p2pbus_get_full(b), m, 0, id));
        ck_assert_str_eq(p2pbus_message_get_id(m), id);
        ck_assert_int_eq(p2pbus_message_get_result(m), -EINPROGRESS);
        fails(p2pbus_send(a, p2pbus_get_full(b), m, 0, NULL), -EINVAL);
        fails(p2pbus_message_set_type(m, "text/html"), -EPERM);

        ok(p2pbus_receive(b, PATIENCE, &got));
        ck_assert(has_text(got, "hello"));
        ck_assert_int_eq(p2pbus_message_get_kind(got), P2PBUS_KIND_ONE_WAY);
        ck_assert_str_eq(p2pbus_message_get_id(got), id);
        ck_assert_str_eq(p2pbus_message_get_from(got), p2pbus_get_full(a));
        ck_assert_str_eq(p2pbus_message_get_from_pid(got), p2pbus_get_pid(a));
        ck_assert_str_eq(p2pbus_message_get_type(got), "text/plain");
        ck_assert_str_eq(p2pbus_message_get_reply_to(got), "");
        ck_assert_int_eq(p2pbus_message_is_remote(got), 0);

        fails(p2pbus_flush(a, 0), -ETIMEDOUT); /* received is not delivered */
        p2pbus_done(got);
        expect_nothing(b);
        ok(p2pbus_flush(a, PATIENCE));
        ck_assert_int_eq(p2pbus_message_get_result(m), 0);
        ck_assert_str_eq(p2pbus_message_get_from(got), p2pbus_get_full(a));
        p2pbus_message_unref(got);
        p2pbus_message_unref(m);
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

START_TEST(any_form_of_a_pid_is_a_destination) {
        p2pbus *a = open_bus(), *b = open_bus();
        char tagged[32];
        KeyHash hash;
        KeyText key;

        ck_assert_int_eq(key_text_parse(p2pbus_get_full(b), &key), 0);
        hash = key_hash(&key.key);
        (void)address_format(hash.address, tagged);
        ok(send_text(a, p2pbus_get_pid(b), "short"));
        ok(send_text(a, tagged, "tagged"));
        ok(send_text(a, p2pbus_get_full(b), "full"));
        expect_from(a, b, "short");
        expect_from(a, b, "tagged");
        expect_from(a, b, "full");
        ok(send_text(b, p2pbus_get_full(a), "back"));
        expect_from(b, a, "back");
        ck_assert_int_eq(p2pbus_check_destination(p2pbus_get_pid(b)), P2PBUS_DESTINATION_PID);
        ck_assert_int_eq(p2pbus_check_destination(tagged), P2PBUS_DESTINATION_TAGGED);
        ck_assert_int_eq(p2pbus_check_destination(p2pbus_get_full(b)), P2PBUS_DESTINATION_FULL);
        ck_assert_int_eq(p2pbus_check_destination("a.b"), P2PBUS_DESTINATION_NAME);
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

static const char *const no_destinations[] = {
        "",
        "x",
        "0123",
        "0123456789abcdefg",
        ".",
        "a.",
        ".a",
        "a..b",
        "a b.c",
        "0123456789abcdef-",
        "0123456789abcdef:AAAA",
        "0000000000000000",
        "0000000000000001",
        "0000000000000003",
        "ffffffffffffffff",
};

START_TEST(what_is_no_destination_is_refused) {
        p2pbus *a = open_bus();

        ck_assert_msg(p2pbus_check_destination(no_destinations[_i]) == -EINVAL &&
                              send_text(a, no_destinations[_i], "x") == -EINVAL,
                      "accepted: %s", no_destinations[_i]);
        ck_assert(p2pbus_get_reason() == P2PBUS_REASON_BAD_DESTINATION ||
                  p2pbus_get_reason() == P2PBUS_REASON_RESERVED);
        p2pbus_unref(a);
}
END_TEST

START_TEST(a_message_to_oneself_arrives) {
        p2pbus *a = open_bus();

        ok(send_text(a, p2pbus_get_full(a), "me"));
        expect_text(a, "me");
        expect_nothing(a);
        ok(p2pbus_flush(a, PATIENCE));
        p2pbus_unref(a);
}
END_TEST

START_TEST(an_empty_message_is_a_message) {
        p2pbus *a = open_bus(), *b = open_bus();

        ok(send_text(a, p2pbus_get_pid(b), ""));
        expect_text(b, "");
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

START_TEST(sixty_four_mebibytes_arrive_and_one_byte_more_is_refused) {
        const size_t size = (size_t)64 << 20;
        uint8_t *bytes = malloc(size + 1);
        p2pbus *a = open_bus();
        p2pbus_message *m, *reply;
        Echo echo;

        for (size_t i = 0; i < size; i++)
                bytes[i] = (uint8_t)(i * 2654435761U >> 24);
        echo_start(&echo);
        ck_assert_uint_eq(p2pbus_get_message_max(a), size);
        ok(p2pbus_message_new(&m, bytes, size));
        ok(p2pbus_request(a, p2pbus_get_full(echo.bus), m, 4 * PATIENCE, &reply));
        ck_assert_uint_eq(p2pbus_message_get_size(reply), size);
        ck_assert_int_eq(memcmp(p2pbus_message_get_payload(reply), bytes, size), 0);
        ck_assert_uint_eq(p2pbus_message_get_progress(m), size);
        p2pbus_message_unref(reply);
        p2pbus_message_unref(m);

        ok(p2pbus_message_new_take(&m, bytes, size + 1));
        fails(p2pbus_send(a, p2pbus_get_full(echo.bus), m, 0, NULL), -EMSGSIZE);
        ck_assert_str_eq(p2pbus_get_explanation(),
                         "message of 67108865 bytes, this bus takes 67108864");
        p2pbus_message_unref(m);
        echo_stop(&echo);
        p2pbus_unref(a);
}
END_TEST

/* @bus gets the texts "0" to "n-1", each once, in order. */
static void *count_up(void *userdata) {
        Echo *counter = userdata;
        char text[16];

        for (unsigned i = 0; i < counter->n_others; i++) {
                (void)snprintf(text, sizeof(text), "%u", i);
                expect_text(counter->bus, text);
                __atomic_store_n(&counter->n_requests, i + 1, __ATOMIC_RELEASE);
        }
        expect_nothing(counter->bus);
        return NULL;
}

static int send_number(p2pbus *bus, const char *dest, unsigned i) {
        char text[16];
        int r;

        (void)snprintf(text, sizeof(text), "%u", i);
        while ((r = send_text(bus, dest, text)) == -EAGAIN)
                if (p2pbus_wait(bus, PATIENCE) < 0)
                        break;
        return r;
}

START_TEST(a_stream_keeps_its_order) {
        const unsigned n = 50000;
        p2pbus *a = open_bus();
        Echo counter = { .bus = open_bus(), .n_others = n };
        p2pbus_counters counters;

        ck_assert_int_eq(pthread_create(&counter.thread, NULL, count_up, &counter), 0);
        for (unsigned i = 0; i < n; i++)
                ok(send_number(a, p2pbus_get_full(counter.bus), i));
        ok(p2pbus_flush(a, PATIENCE));
        pthread_join(counter.thread, NULL);
        counters = counters_of(a);
        ck_assert_uint_eq(counters.sent, n);
        ck_assert_uint_eq(counters.delivered, n);
        ck_assert_uint_eq(counters.queued, 0);
        p2pbus_unref(counter.bus);
        p2pbus_unref(a);
}
END_TEST

START_TEST(a_killed_daemon_loses_nothing_and_doubles_nothing) {
        const unsigned n = 30000;
        p2pbus *a = open_bus();
        Echo counter = { .bus = open_bus(), .n_others = n };
        int status;

        ck_assert_int_eq(pthread_create(&counter.thread, NULL, count_up, &counter), 0);
        for (unsigned i = 0; i < n; i++) {
                ok(send_number(a, p2pbus_get_full(counter.bus), i));
                if (i == n / 3 || i == 2 * n / 3) {
                        ck_assert_int_eq(kill(d->os_pid, SIGKILL), 0);
                        ck_assert_int_eq(waitpid(d->os_pid, &status, 0), d->os_pid);
                        daemon_restart(d, "--user");
                }
        }
        ok(p2pbus_flush(a, PATIENCE));
        pthread_join(counter.thread, NULL);
        ck_assert_uint_eq(counters_of(a).delivered, n);
        while (counters_of(a).attaches < 3) /* a ring has needed no daemon meanwhile */
                ok(p2pbus_wait(a, PATIENCE));
        ck_assert_uint_eq(counters_of(a).attaches, 3);
        p2pbus_unref(counter.bus);
        p2pbus_unref(a);
}
END_TEST

/* As if it were cut off, the sender says nothing until all is over. */
START_TEST(what_comes_too_late_to_be_taken_is_not_handed_out) {
        p2pbus *a = open_bus(), *b = open_bus();
        p2pbus_counters sent;
        p2pbus_message *late = message_of("late");
        uint64_t until;

        ok(send_text(a, p2pbus_get_full(b), "first"));
        ok(p2pbus_send(a, p2pbus_get_full(b), late, SECOND / 20, NULL));
        p2pbus_message_unref(late);
        ok(send_text(a, p2pbus_get_full(b), "last"));
        ok(p2pbus_process(a));
        while (counters_of(b).received < 3)
                ok(p2pbus_process(b));
        until = now_usec(CLOCK_BOOTTIME) + SECOND / 20;
        while (now_usec(CLOCK_BOOTTIME) <= until)
                ;

        expect_text(b, "first");
        expect_text(b, "last");
        expect_nothing(b);
        do {
                ok(p2pbus_process(a));
                ok(p2pbus_process(b));
                sent = counters_of(a);
        } while (sent.expired + sent.delivered < 3);
        ck_assert_uint_eq(sent.expired, 1);
        ck_assert_uint_eq(sent.delivered, 2);
        p2pbus_unref(b);
        p2pbus_unref(a);
}
END_TEST

/* The same, but what is late waits in front of the receiver's library: alone in its packet, or not. */
START_TEST(what_waits_too_long_with_the_daemon_is_not_handed_out) {
        p2pbus *a = open_bus(), *b = open_bus();
        const char *to = p2pbus_get_full(b);
        uint64_t n_all = 0;

        for (unsigned n_more = 0; n_more < 2; n_more++) {
                p2pbus_message *late = message_of("late");
                uint64_t until;

                ok(send_text(a, to, "first"));
                expect_from(a, b, "first");
                ok(p2pbus_send(a, to, late, SECOND / 20, NULL));
                p2pbus_message_unref(late);
                if (n_more > 0)
                        ok(send_text(a, to, "last"));
                ok(p2pbus_process(a));
                until = now_usec(CLOCK_BOOTTIME) + SECOND / 20;
                while (now_usec(CLOCK_BOOTTIME) <= until)
                        ;
                for (n_all += 2 + n_more; counters_of(b).received < n_all;)
                        ok(p2pbus_process(b));
                if (n_more > 0)
                        expect_text(b, "last");
                expect_nothing(b);
        }
        p2pbus_unref(b);
        p2pbus_unref(a);
}
END_TEST

START_TEST(a_receiver_that_does_not_take_stops_its_sender_alone) {
        static const char block[32768];
        p2pbus *a = open_bus(), *slow = open_bus(), *quick = open_bus();
        p2pbus_peer_info info = { .struct_size = sizeof(info) };
        p2pbus_message *m;
        unsigned n = 0;
        int r = 0;

        while (r == 0) {
                ok(p2pbus_message_new(&m, block, sizeof(block)));
                r = p2pbus_send(a, p2pbus_get_full(slow), m, 0, NULL);
                p2pbus_message_unref(m);
                ok(p2pbus_process(a));
                ok(p2pbus_process(slow));
                ck_assert_uint_lt(++n, 1000);
        }
        ck_assert_int_eq(r, -EAGAIN);
        ok(p2pbus_get_peer(a, p2pbus_get_full(slow), &info));
        ck_assert_uint_gt(info.waiting_usec, 0);
        ck_assert_uint_eq(info.queued_messages, n - 1);
        ck_assert_int_eq(info.path, P2PBUS_PATH_LOCAL);

        m = message_of("late");
        fails(p2pbus_send_wait(a, p2pbus_get_full(slow), m, SECOND / 10), -ETIMEDOUT);
        p2pbus_message_unref(m);
        ok(send_text(a, p2pbus_get_full(quick), "first"));
        expect_from(a, quick, "first");
        p2pbus_unref(a);
        p2pbus_unref(slow);
        p2pbus_unref(quick);
}
END_TEST

START_TEST(who_is_not_here_is_told_at_once) {
        p2pbus *a = open_with(P2PBUS_RESULTS);
        p2pbus_message *m = message_of("x"), *result;
        int mark;

        fails(p2pbus_send_wait(a, STRANGER, m, PATIENCE), -EHOSTUNREACH);
        ck_assert_int_eq(p2pbus_get_reason(), P2PBUS_REASON_NOT_HERE);
        p2pbus_message_unref(m);

        m = message_of("y");
        p2pbus_message_set_userdata(m, &mark);
        ok(p2pbus_send(a, STRANGER, m, 0, NULL));
        p2pbus_message_unref(m);
        fails(p2pbus_flush(a, PATIENCE), -EHOSTUNREACH);
        ok(p2pbus_next_result(a, &result));
        ck_assert_ptr_eq(p2pbus_message_get_userdata(result), &mark);
        ck_assert_int_eq(p2pbus_message_get_result(result), -EHOSTUNREACH);
        ck_assert_int_eq(p2pbus_message_get_reason(result), P2PBUS_REASON_NOT_HERE);
        p2pbus_message_unref(result);
        fails(p2pbus_next_result(a, &result), -EAGAIN);
        ok(p2pbus_flush(a, PATIENCE));
        p2pbus_unref(a);
}
END_TEST

START_TEST(results_come_in_the_order_of_sending) {
        p2pbus *a = open_with(P2PBUS_RESULTS);
        p2pbus_message *m;
        Echo echo;

        echo_start(&echo);
        for (uintptr_t i = 0; i < 1000; i++) {
                m = message_of("x");
                p2pbus_message_set_userdata(m, (void *)i);
                ok(p2pbus_send(a, p2pbus_get_full(echo.bus), m, 0, NULL));
                p2pbus_message_unref(m);
        }
        ok(p2pbus_flush(a, PATIENCE));
        for (uintptr_t i = 0; i < 1000; i++) {
                ok(p2pbus_next_result(a, &m));
                ck_assert_int_eq(p2pbus_message_get_result(m), 0);
                ck_assert_uint_eq((uintptr_t)p2pbus_message_get_userdata(m), i);
                p2pbus_message_unref(m);
        }
        echo_stop(&echo);
        p2pbus_unref(a);
}
END_TEST

START_TEST(a_receiver_that_ends_leaves_its_sender_without_an_answer) {
        p2pbus *a = open_bus(), *b = open_bus();
        p2pbus_message *m = message_of("x"), *got;

        ok(p2pbus_send(a, p2pbus_get_full(b), m, 0, NULL));
        ok(p2pbus_receive(b, PATIENCE, &got));
        p2pbus_close(b); /* not taken */
        fails(p2pbus_flush(a, PATIENCE), -ECONNRESET);
        ck_assert_int_eq(p2pbus_message_get_reason(m), P2PBUS_REASON_UNKNOWN);
        ck_assert(has_text(got, "x"));
        p2pbus_message_unref(got);
        p2pbus_message_unref(m);
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

/* Who waits until @to has taken a message. */
typedef struct Waiter {
        p2pbus *bus;
        const char *to;
        int result;
} Waiter;

static void *wait_for_delivery(void *userdata) {
        Waiter *waiter = userdata;
        p2pbus_message *m = message_of("did you get this?");

        waiter->result = p2pbus_send_wait(waiter->bus, waiter->to, m, PATIENCE);
        p2pbus_message_unref(m);
        return NULL;
}

/* What else it has to say gathers, for it has just said something. */
START_TEST(who_takes_a_message_and_turns_away_has_said_so) {
        p2pbus *a = open_bus(), *b = open_bus();
        Waiter waiter = { .bus = a, .to = p2pbus_get_full(b) };
        p2pbus_message *m;
        pthread_t thread;

        ok(p2pbus_set_ring(a, p2pbus_get_full(b), _i ? P2PBUS_RING_ALWAYS : P2PBUS_RING_NEVER));
        ok(p2pbus_set_ring(b, p2pbus_get_full(a), _i ? P2PBUS_RING_ALWAYS : P2PBUS_RING_NEVER));
        ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_delivery, &waiter), 0);
        ok(p2pbus_receive(b, PATIENCE, &m));
        for (unsigned i = 0; i < 2; i++)
                ok(send_text(b, p2pbus_get_full(a), "I am busy"));
        p2pbus_message_unref(m);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ok(waiter.result);
        p2pbus_unref(b);
        p2pbus_unref(a);
}
END_TEST

START_TEST(what_was_handed_over_arrives_without_its_sender) {
        p2pbus *a = open_bus(), *b = open_bus();

        ok(send_text(a, p2pbus_get_full(b), "1"));
        ok(send_text(a, p2pbus_get_full(b), "2"));
        ok(p2pbus_hand_over(a, PATIENCE));
        p2pbus_unref(a);
        expect_text(b, "1");
        expect_text(b, "2");
        p2pbus_unref(b);
}
END_TEST

/* ---- Requests ---- */

START_TEST(a_request_gets_its_reply) {
        p2pbus *a = open_bus();
        p2pbus_message *m = message_of("ping"), *reply;
        Echo echo;

        echo_start(&echo);
        ok(p2pbus_request(a, p2pbus_get_full(echo.bus), m, 0, &reply));
        ck_assert(has_text(reply, "ping"));
        ck_assert_int_eq(p2pbus_message_get_kind(reply), P2PBUS_KIND_REPLY);
        ck_assert_str_eq(p2pbus_message_get_reply_to(reply), p2pbus_message_get_id(m));
        ck_assert_str_eq(p2pbus_message_get_from(reply), p2pbus_get_full(echo.bus));
        p2pbus_message_unref(reply);
        p2pbus_message_unref(m);
        echo_stop(&echo);
        p2pbus_unref(a);
}
END_TEST

typedef struct Ended {
        int n, error, reason;
        uint32_t status;
        char text[32];
} Ended;

static void on_ended(p2pbus *bus, int error, int reason, p2pbus_message *reply, void *userdata) {
        Ended *ended = userdata;

        ck_assert_ptr_nonnull(bus);
        ended->n++;
        ended->error = error;
        ended->reason = reason;
        if (reply) {
                ended->status = p2pbus_message_get_status(reply);
                (void)snprintf(ended->text, sizeof(ended->text), "%.*s",
                               (int)p2pbus_message_get_size(reply),
                               (const char *)p2pbus_message_get_payload(reply));
        }
}

static void until_ended(p2pbus *bus, const Ended *ended) {
        while (ended->n == 0)
                ok(p2pbus_wait(bus, PATIENCE));
        ck_assert_int_eq(ended->n, 1);
}

START_TEST(an_error_reply_carries_status_and_text) {
        p2pbus *a = open_bus(), *b = open_bus();
        p2pbus_message *m = message_of("?"), *request;
        Ended ended = { 0 };

        ok(p2pbus_request_start(a, p2pbus_get_full(b), m, 0, on_ended, &ended, NULL));
        ck_assert_int_eq(ended.n, 0);
        ok(p2pbus_receive(b, PATIENCE, &request));
        ok(p2pbus_reply_error(b, request, 42, "no such thing"));
        fails(p2pbus_reply_error(b, request, 43, "again"), -EINVAL);
        p2pbus_message_unref(request);
        ok(p2pbus_process(b));
        until_ended(a, &ended);
        ck_assert_int_eq(ended.error, -EREMOTEIO);
        ck_assert_int_eq(ended.reason, P2PBUS_REASON_ERROR_REPLY);
        ck_assert_uint_eq(ended.status, 42);
        ck_assert_str_eq(ended.text, "no such thing");
        p2pbus_message_unref(m);
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

START_TEST(waiting_ends_at_the_deadline_even_if_the_receiver_answers_nothing) {
        p2pbus *a = open_bus(), *b = open_bus();
        p2pbus_message *m = message_of("!");

        /* Nobody drives @b: it neither takes the message nor says that it will not. */
        fails(p2pbus_send_wait(a, p2pbus_get_full(b), m, SECOND / 10), -ETIMEDOUT);
        p2pbus_message_unref(m);
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

START_TEST(a_request_ends_at_its_deadline) {
        p2pbus *a = open_bus(), *b = open_bus();
        p2pbus_message *m = message_of("?"), *reply = NULL, *request, *late = message_of("late");
        Ended ended = { 0 };

        ok(p2pbus_request_start(a, p2pbus_get_full(b), m, SECOND, on_ended, &ended, NULL));
        ok(p2pbus_receive(b, PATIENCE, &request));
        p2pbus_done(request);
        ck_assert_uint_gt(p2pbus_message_get_lifetime(request), 0);
        until_ended(a, &ended);
        ck_assert_int_eq(ended.error, -ETIMEDOUT);
        ok(p2pbus_reply(b, request, late)); /* reaches nobody, and harms nobody */
        p2pbus_message_unref(request);
        p2pbus_message_unref(late);
        p2pbus_message_unref(m);

        m = message_of("?");
        fails(p2pbus_request(a, p2pbus_get_full(b), m, SECOND / 20, &reply), -ETIMEDOUT);
        ck_assert_ptr_null(reply);
        p2pbus_message_unref(m);
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

/* Delivered is what the application has, not what its library holds for it. */
START_TEST(what_is_cancelled_before_it_was_received_is_not_delivered) {
        p2pbus *a = open_with(P2PBUS_RESULTS), *b = _i == 0 ? open_bus() : a;
        p2pbus_message *m = message_of("too late"), *result;
        char id[P2PBUS_ID_SIZE];

        ok(p2pbus_send(a, p2pbus_get_full(b), m, PATIENCE, id));
        p2pbus_message_unref(m);
        do {
                ok(p2pbus_process(a));
                ok(p2pbus_process(b));
        } while (counters_of(b).received == 0);
        ok(p2pbus_cancel(a, id));
        while (p2pbus_next_result(a, &result) == -EAGAIN) {
                ok(p2pbus_process(a));
                ok(p2pbus_process(b));
        }
        ck_assert_int_eq(p2pbus_message_get_reason(result), P2PBUS_REASON_CANCELLED);
        p2pbus_message_unref(result);
        fails(p2pbus_receive(b, 0, &m), -EAGAIN);
        if (b != a)
                p2pbus_unref(b);
        p2pbus_unref(a);
}
END_TEST

START_TEST(a_cancelled_request_ends_at_once) {
        p2pbus *a = open_bus(), *b = open_bus();
        p2pbus_message *m = message_of("?"), *request;
        char id[P2PBUS_ID_SIZE];
        Ended ended = { 0 };

        ok(p2pbus_request_start(a, p2pbus_get_full(b), m, 0, on_ended, &ended, id));
        ok(p2pbus_receive(b, PATIENCE, &request));
        fails(p2pbus_cancel(a, "00000000000000000000000000000000"), -ENOENT);
        fails(p2pbus_cancel(a, "x"), -EINVAL);
        ok(p2pbus_cancel(a, id));
        until_ended(a, &ended);
        ck_assert_int_eq(ended.error, -ECANCELED);
        fails(p2pbus_cancel(a, id), -ENOENT);
        p2pbus_message_unref(request);
        p2pbus_message_unref(m);
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

START_TEST(a_request_to_a_process_that_ends_is_not_waited_for) {
        p2pbus *a = open_bus(), *b = open_bus();
        p2pbus_message *m = message_of("?"), *request;
        Ended ended = { 0 };

        ok(p2pbus_request_start(a, p2pbus_get_full(b), m, 0, on_ended, &ended, NULL));
        ok(p2pbus_receive(b, PATIENCE, &request));
        p2pbus_done(request); /* delivered, never answered */
        p2pbus_close(b);
        until_ended(a, &ended);
        ck_assert_int_eq(ended.error, -ECONNRESET);
        ck_assert_int_eq(ended.reason, P2PBUS_REASON_NO_REPLY);
        p2pbus_message_unref(request);
        p2pbus_message_unref(m);
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

/* ---- Threads, forks, loops ---- */

typedef struct Asker {
        p2pbus *bus;
        const char *dest;
        unsigned number;
        pthread_t thread;
} Asker;

static void *ask_run(void *userdata) {
        Asker *asker = userdata;
        p2pbus_message *m, *reply;
        char text[32];

        for (unsigned i = 0; i < 300; i++) {
                (void)snprintf(text, sizeof(text), "%u/%u", asker->number, i);
                m = message_of(text);
                ok(p2pbus_request(asker->bus, asker->dest, m, PATIENCE, &reply));
                ck_assert(has_text(reply, text));
                p2pbus_message_unref(reply);
                p2pbus_message_unref(m);
        }
        return NULL;
}

START_TEST(several_threads_wait_on_one_handle) {
        Asker askers[4];
        Echo echo, other;
        p2pbus *a;

        echo_start(&echo);
        echo_start(&other); /* its own handle is asked and asks at once */
        a = other.bus;
        for (unsigned i = 0; i < 4; i++) {
                askers[i] = (Asker){ .bus = a,
                                     .dest = i < 3 ? p2pbus_get_full(echo.bus) : p2pbus_get_full(a),
                                     .number = i };
                ck_assert_int_eq(pthread_create(&askers[i].thread, NULL, ask_run, &askers[i]), 0);
        }
        for (unsigned i = 0; i < 4; i++)
                pthread_join(askers[i].thread, NULL);
        ck_assert_uint_eq(echo.n_requests, 900);
        ck_assert_uint_eq(other.n_requests, 300);
        echo_stop(&other);
        echo_stop(&echo);
}
END_TEST

START_TEST(a_forked_child_has_no_voice_and_the_parent_goes_on) {
        p2pbus *a = open_bus(), *b = open_bus();
        p2pbus_message *m;
        int status, fd;
        pid_t child;

        ok(send_text(a, p2pbus_get_full(b), "before"));
        child = test_fork();
        if (child == 0) {
                uint64_t usec;
                int r = send_text(a, p2pbus_get_full(b), "from the child");

                if (r != -ECHILD || p2pbus_get_reason() != P2PBUS_REASON_FORKED)
                        _exit(1);
                if (p2pbus_receive(b, PATIENCE, &m) != -ECHILD || p2pbus_process(a) != -ECHILD ||
                    p2pbus_wait(a, PATIENCE) != -ECHILD ||
                    p2pbus_get_timeout(a, &usec) != -ECHILD ||
                    p2pbus_get_state(a, NULL) != -ECHILD)
                        _exit(2);
                p2pbus_close(a);
                p2pbus_unref(a);
                p2pbus_unref(b);
                _exit(0);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
        fd = p2pbus_get_fd(a);
        ck_assert_int_ge(fcntl(fd, F_GETFD), 0);
        ok(send_text(a, p2pbus_get_full(b), "after"));
        expect_from(a, b, "before");
        expect_from(a, b, "after");
        expect_nothing(b);
        ok(p2pbus_flush(a, PATIENCE));
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

/* Waits as any loop does. */
static void poll_once(p2pbus *bus) {
        struct pollfd p = { .fd = p2pbus_get_fd(bus), .events = (short)p2pbus_get_events(bus) };
        uint64_t usec;

        ok(p2pbus_get_timeout(bus, &usec));
        ck_assert_int_ge(poll(&p, 1, usec > PATIENCE ? (int)(PATIENCE / 1000) :
                                                       (int)((usec + 999) / 1000)),
                         0);
        ok(p2pbus_process(bus));
}

START_TEST(a_handle_lives_in_any_loop) {
        p2pbus *a = open_bus();
        p2pbus_message *m;
        Ended ended = { 0 };
        unsigned n = 0;
        Echo echo;

        echo_start(&echo);
        m = message_of("to whom it may concern");
        ok(p2pbus_request_start(a, p2pbus_get_full(echo.bus), m, 0, on_ended, &ended, NULL));
        p2pbus_message_unref(m);
        while (ended.n == 0)
                poll_once(a);
        ck_assert_str_eq(ended.text, "to whom it may concern");

        /* While one thread polls, another's messages come in and are its own to fetch. */
        ok(send_text(echo.bus, p2pbus_get_full(a), "one"));
        while (p2pbus_receive(a, 0, &m) == -EAGAIN)
                poll_once(a);
        p2pbus_message_unref(m);

        /* The daemon goes and comes: the descriptor stays. */
        daemon_end(d);
        while (p2pbus_get_state(a, NULL) & P2PBUS_STATE_ATTACHED)
                poll_once(a);
        daemon_restart(d, "--user");
        while (!(p2pbus_get_state(a, NULL) & P2PBUS_STATE_ATTACHED)) {
                poll_once(a);
                ck_assert_uint_lt(++n, 10000);
        }
        echo_stop(&echo);
        p2pbus_unref(a);
}
END_TEST

typedef struct Looped {
        p2pbus_event *event;
        sd_event *loop;
        unsigned n;
        int last;
} Looped;

static int on_ready(p2pbus *bus, int ready, void *userdata) {
        Looped *looped = userdata;
        p2pbus_message *m;

        looped->last = ready;
        while (ready == 1 && p2pbus_receive(bus, 0, &m) == 0) {
                looped->n++;
                p2pbus_message_unref(m);
        }
        if (ready < 0 || looped->n == 3)
                return sd_event_exit(looped->loop, 0);
        return 0;
}

START_TEST(a_handle_lives_in_sd_event) {
        p2pbus *a = open_bus(), *b = open_with(P2PBUS_NO_RECONNECT);
        Looped looped = { 0 };

        ck_assert_int_ge(sd_event_new(&looped.loop), 0);
        fails(p2pbus_attach_event(&looped.event, b, looped.loop, 0, NULL, NULL), -EINVAL);
        ok(p2pbus_attach_event(&looped.event, b, looped.loop, 0, on_ready, &looped));
        for (unsigned i = 0; i < 3; i++)
                ok(send_text(a, p2pbus_get_full(b), "x"));
        ok(p2pbus_process(a));
        ck_assert_int_ge(sd_event_loop(looped.loop), 0);
        ck_assert_uint_eq(looped.n, 3);
        expect_nothing(b);
        ok(p2pbus_flush(a, PATIENCE));
        looped.event = p2pbus_detach_event(looped.event);
        sd_event_unref(looped.loop);

        ck_assert_int_ge(sd_event_new(&looped.loop), 0);
        ok(p2pbus_attach_event(&looped.event, b, looped.loop, 0, on_ready, &looped));
        looped.n = 0;
        p2pbus_close(b);
        ck_assert_int_ge(sd_event_loop(looped.loop), 0);
        ck_assert_int_eq(looped.last, -ENOTCONN);
        p2pbus_detach_event(looped.event);
        sd_event_unref(looped.loop);
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

START_TEST(closing_wakes_whoever_waits) {
        Echo echo;

        echo_start(&echo);
        echo_stop(&echo);
        echo_start(&echo); /* once more, most likely while it waits already */
        ck_assert_int_eq(p2pbus_get_state(echo.bus, NULL), P2PBUS_STATE_ATTACHED);
        echo_stop(&echo);
}
END_TEST

/* ---- The bus and its absence ---- */

static int open_at(const char *path, const char *key_file) {
        p2pbus_options options = {
                .struct_size = sizeof(options),
                .socket_path = path,
                .key_file = key_file,
                .connect_timeout_usec = SECOND,
        };
        p2pbus *bus = NULL;
        int r = p2pbus_open(&bus, &options);

        p2pbus_unref(bus);
        return r;
}

START_TEST(no_bus_is_said_at_once) {
        char path[256];

        (void)snprintf(path, sizeof(path), "%s/nothing", d->folder);
        fails(open_at(path, NULL), -ENOTCONN);
        ck_assert_int_eq(p2pbus_get_reason(), P2PBUS_REASON_NO_SOCKET);

        memset(path, 'x', 108);
        path[0] = '/';
        path[108] = '\0';
        fails(open_at(path, NULL), -ENAMETOOLONG);
        path[107] = '\0';
        fails(open_at(path, NULL), -ENOTCONN);
}
END_TEST

/* A listener that is no p2pbusd. */
static int listen_at(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        strcpy(address.sun_path, path);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        ck_assert_int_eq(chmod(path, 0666), 0);
        ck_assert_int_eq(listen(fd, 1), 0);
        return fd;
}

/* Accepts one connection, says @n bytes, and returns how much the client says before it closes. */
static ssize_t serve_once(int fd, const void *bytes, size_t n) {
        uint8_t said[1024];
        ssize_t n_said = 0, got;
        int client = accept(fd, NULL, NULL);

        if (n > 0 && write(client, bytes, n) != (ssize_t)n)
                return -1;
        while ((got = read(client, said, sizeof(said))) > 0)
                n_said += got;
        close(client);
        return n_said;
}

static void in_child(const char *path, uid_t uid, const void *bytes, size_t n, pid_t *ret) {
        int ready[2];
        char c;

        ck_assert_int_eq(pipe(ready), 0);
        *ret = test_fork();
        if (*ret == 0) {
                int fd;

                if (uid != geteuid() && setresuid(uid, uid, uid) < 0)
                        _exit(2);
                fd = listen_at(path);
                (void)!write(ready[1], "", 1);
                _exit(serve_once(fd, bytes, n) == 0 ? 0 : 1);
        }
        ck_assert_int_eq(read(ready[0], &c, 1), 1);
        close(ready[0]);
        close(ready[1]);
}

START_TEST(a_false_daemon_of_another_user_gets_no_signature) {
        char path[128];
        pid_t child;
        int status;

        if (geteuid() != 0) {
                fprintf(stderr, "# SKIP a_false_daemon_of_another_user: needs root\n");
                return;
        }
        ck_assert_int_eq(chmod(d->folder, 0777), 0);
        (void)snprintf(path, sizeof(path), "%s/false", d->folder);
        in_child(path, 65534, NULL, 0, &child);
        fails(open_at(path, NULL), -ENOTCONN);
        ck_assert_int_eq(p2pbus_get_reason(), P2PBUS_REASON_NOT_TRUSTED);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(a_relayed_hello_gets_no_signature) {
        uint8_t frame[FRAME_PREFIX_SIZE + HELLO_SIZE];
        const Hello hello = {
                .proto_min = 1,
                .proto_max = 1,
                .os_pid = 1,
                .uid = geteuid() + 1,
                .gid = getegid(),
        };
        char path[128];
        pid_t child;
        int status;

        frame_prefix_encode(&(FramePrefix){ .size = sizeof(frame), .type = FRAME_HELLO }, frame);
        hello_encode(&hello, frame + FRAME_PREFIX_SIZE);
        (void)snprintf(path, sizeof(path), "%s/false", d->folder);
        in_child(path, geteuid(), frame, sizeof(frame), &child);
        fails(open_at(path, NULL), -ENOTCONN);
        ck_assert_int_eq(p2pbus_get_reason(), P2PBUS_REASON_WRONG_USER);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(who_speaks_something_else_is_no_bus) {
        static const char greeting[] = "220 mail.example.org ESMTP ready, and more than "
                                       "eighty-eight bytes of it: a whole frame, or so\r\n";
        char path[128];
        pid_t child;
        int status, fd;

        (void)snprintf(path, sizeof(path), "%s/false", d->folder);
        in_child(path, geteuid(), greeting, sizeof(greeting), &child);
        fails(open_at(path, NULL), -ENOTCONN);
        ck_assert_int_eq(p2pbus_get_reason(), P2PBUS_REASON_NOT_A_BUS);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(unlink(path), 0);

        fd = listen_at(path); /* never accepts */
        fails(open_at(path, NULL), -ETIMEDOUT);
        close(fd);
        fails(open_at(path, NULL), -ENOTCONN);
        ck_assert_int_eq(p2pbus_get_reason(), P2PBUS_REASON_NO_LISTENER);
}
END_TEST

START_TEST(a_key_file_makes_the_same_process_again) {
        char path[128], full[P2PBUS_FULL_SIZE], again[P2PBUS_FULL_SIZE];
        p2pbus_options options = {
                .struct_size = sizeof(options),
                .socket_path = d->socket,
                .key_file = path,
        };
        p2pbus *a = NULL, *b = NULL;
        int reason = 0;

        (void)snprintf(path, sizeof(path), "%s/key", d->folder);
        fails(open_at(d->socket, path), -ENOKEY);
        ck_assert_int_eq(p2pbus_get_reason(), P2PBUS_REASON_KEY_MISSING);
        ok(p2pbus_key_generate(path, full));
        fails(p2pbus_key_generate(path, again), -EEXIST);
        ok(p2pbus_key_read(path, again));
        ck_assert_str_eq(full, again);

        ok(p2pbus_open(&a, &options));
        ck_assert_str_eq(p2pbus_get_full(a), full);
        fails(p2pbus_open(&b, &options), -EBUSY);
        options.flags = P2PBUS_TAKEOVER;
        ok(p2pbus_open(&b, &options));
        while (!(p2pbus_get_state(a, &reason) & P2PBUS_STATE_CLOSED))
                (void)p2pbus_wait(a, PATIENCE);
        ck_assert_int_eq(reason, P2PBUS_REASON_REPLACED);
        fails(send_text(a, STRANGER, "x"), -ENOTCONN);
        p2pbus_unref(a);
        p2pbus_unref(b);

        ck_assert_int_eq(chmod(path, 0644), 0);
        fails(open_at(d->socket, path), -EKEYREJECTED);
        ck_assert_int_eq(p2pbus_get_reason(), P2PBUS_REASON_KEY_MODE);
        ck_assert_int_eq(chmod(path, 0600), 0);
        ck_assert_int_eq(truncate(path, 10), 0);
        fails(p2pbus_key_read(path, again), -EKEYREJECTED);
        ck_assert_int_eq(p2pbus_get_reason(), P2PBUS_REASON_KEY_MALFORMED);
        fails(p2pbus_key_read(d->folder, again), -EKEYREJECTED);
        ck_assert_int_eq(p2pbus_get_reason(), P2PBUS_REASON_KEY_NOT_REGULAR);
}
END_TEST

START_TEST(without_reconnect_a_lost_bus_is_the_end) {
        p2pbus *a = open_with(P2PBUS_NO_RECONNECT);
        p2pbus_message *m;

        daemon_end(d);
        fails(p2pbus_receive(a, PATIENCE, &m), -ENOTCONN);
        ok(p2pbus_process(a)); /* that it has ended is news */
        fails(p2pbus_process(a), -ENOTCONN);
        daemon_restart(d, "--user");
        p2pbus_unref(a);
}
END_TEST

START_TEST(messages_wait_for_a_bus_that_is_away) {
        p2pbus *a = open_bus(), *b = open_bus();
        p2pbus_message *m = message_of("never");

        daemon_end(d);
        while (p2pbus_get_state(a, NULL) & P2PBUS_STATE_ATTACHED)
                (void)p2pbus_wait(a, PATIENCE);
        ok(send_text(a, p2pbus_get_full(b), "patience"));
        fails(p2pbus_send_wait(a, p2pbus_get_full(b), m, SECOND / 20), -ETIMEDOUT);
        daemon_restart(d, "--user");
        while (!(p2pbus_get_state(b, NULL) & P2PBUS_STATE_ATTACHED))
                (void)p2pbus_wait(b, PATIENCE);
        while (!(p2pbus_get_state(a, NULL) & P2PBUS_STATE_ATTACHED))
                (void)p2pbus_wait(a, PATIENCE);
        expect_from(a, b, "patience");
        p2pbus_message_unref(m);
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

/* ---- Names, questions, monitors ---- */

START_TEST(a_name_reaches_its_provider) {
        p2pbus *a = open_bus(), *b = open_bus();
        p2pbus_message *m = message_of("x");
        char full[P2PBUS_FULL_SIZE];
        int remote = -1;

        fails(p2pbus_send_wait(a, "test.echo", m, PATIENCE), -ENXIO);
        fails(p2pbus_resolve(a, "test.echo", 0, full, NULL), -ENXIO);
        fails(p2pbus_own_name(b, "noname", 0), -EINVAL);
        ok(p2pbus_own_name(b, "test.echo", 0));
        ok(p2pbus_resolve(a, "test.echo", 0, full, &remote));
        ck_assert_str_eq(full, p2pbus_get_full(b));
        ck_assert_int_eq(remote, 0);
        ok(send_text(a, "test.echo", "1"));
        ok(send_text(a, "test.echo", "2"));
        expect_from(a, b, "1");
        expect_from(a, b, "2");

        /* Claimed again by itself. */
        daemon_end(d);
        daemon_restart(d, "--user");
        while (p2pbus_resolve(a, "test.echo", 0, full, NULL) < 0)
                (void)p2pbus_wait(b, SECOND / 20);
        ok(p2pbus_release_name(b, "test.echo", 0));
        fails(p2pbus_resolve(a, "test.echo", 0, full, NULL), -ENXIO);
        p2pbus_message_unref(m);
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

START_TEST(the_daemon_answers_questions) {
        p2pbus *a = open_bus();
        char full[P2PBUS_FULL_SIZE], *text = NULL;
        uint64_t usec = 0;
        int remote = -1;
        Echo echo;

        echo_start(&echo);
        ok(p2pbus_resolve(a, p2pbus_get_pid(echo.bus), 0, full, &remote));
        ck_assert_str_eq(full, p2pbus_get_full(echo.bus));
        ck_assert_int_eq(remote, 0);
        fails(p2pbus_resolve(a, STRANGER, 0, full, &remote), -EHOSTUNREACH);
        ok(p2pbus_ping(a, p2pbus_get_full(echo.bus), 0, &usec, full, &remote));
        ck_assert_uint_gt(usec, 0);
        fails(p2pbus_ping(a, STRANGER, 0, NULL, NULL, NULL), -EHOSTUNREACH);

        ok(p2pbus_query(a, P2PBUS_QUERY_STATUS, 0, &text));
        ck_assert_ptr_nonnull(strstr(text, "processes\t2"));
        free(text);
        ok(p2pbus_query(a, P2PBUS_QUERY_LIST, 0, &text));
        ck_assert_ptr_nonnull(strstr(text, p2pbus_get_full(echo.bus)));
        free(text);
        fails(p2pbus_query(a, 99, 0, &text), -EINVAL);
        ok(p2pbus_reload(a, 0));
        fails(p2pbus_wait_reachable(a, PATIENCE), -ENETUNREACH);
        echo_stop(&echo);
        p2pbus_unref(a);
}
END_TEST

START_TEST(a_monitor_sees_what_others_say) {
        p2pbus *a = open_bus(), *b = open_bus(), *watcher = open_bus();
        p2pbus_seen seen = { .struct_size = sizeof(seen) };
        p2pbus_message *m = message_of("a secret");
        uint64_t lost;

        ok(p2pbus_message_set_type(m, "text/x-secret"));
        fails(p2pbus_monitor_next(watcher, 0, &seen, &lost), -EINVAL);
        ok(p2pbus_monitor_start(watcher, 1, NULL, 0));
        ok(p2pbus_send(a, p2pbus_get_full(b), m, 0, NULL));
        do
                ok(p2pbus_monitor_next(watcher, PATIENCE, &seen, &lost));
        while (seen.seen != P2PBUS_SEEN_MESSAGE);
        ck_assert_str_eq(seen.from, p2pbus_get_pid(a));
        ck_assert_str_eq(seen.to, p2pbus_get_pid(b));
        ck_assert_str_eq(seen.id, p2pbus_message_get_id(m));
        ck_assert_int_eq(seen.kind, P2PBUS_KIND_ONE_WAY);
        ck_assert_uint_eq(seen.message_bytes, 8);
        ck_assert_uint_eq(seen.n_payload, 8);
        ck_assert_mem_eq(seen.payload, "a secret", 8);
        ck_assert_str_eq(seen.type, "text/x-secret");
        expect_text(b, "a secret");
        p2pbus_message_unref(m);
        p2pbus_unref(a);
        p2pbus_unref(b);
        p2pbus_unref(watcher);
}
END_TEST

static unsigned count_fds(void) {
        unsigned n = 0;

        for (int fd = 0; fd < 256; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

START_TEST(a_closed_handle_leaves_nothing_open) {
        unsigned n = count_fds();
        p2pbus_message *m;
        p2pbus *a, *b;

        a = open_bus();
        b = open_bus();
        ok(send_text(a, p2pbus_get_full(b), "x"));
        ok(p2pbus_receive(b, PATIENCE, &m));
        p2pbus_unref(a);
        p2pbus_unref(b);
        ck_assert(has_text(m, "x")); /* it outlives its handle */
        p2pbus_message_unref(m);
        ck_assert_uint_eq(count_fds(), n);
}
END_TEST

START_TEST(options_of_no_version_are_refused) {
        p2pbus_options options = { .struct_size = sizeof(options), .flags = 1U << 31 };
        p2pbus *bus = NULL;

        fails(p2pbus_open(&bus, &options), -EINVAL);
        options = (p2pbus_options){ .struct_size = 3 };
        fails(p2pbus_open(&bus, &options), -EINVAL);
        options =
                (p2pbus_options){ .struct_size = sizeof(options), .key_life_usec = 3599 * SECOND };
        fails(p2pbus_open(&bus, &options), -EINVAL);
        options.key_life_usec = 30 * 86400 * SECOND + 1;
        fails(p2pbus_open(&bus, &options), -EINVAL);
        ck_assert_ptr_null(bus);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("bus");
        TCase *messages = tcase_create("messages"), *requests = tcase_create("requests");
        TCase *life = tcase_create("threads and loops"), *bus = tcase_create("the bus");
        TCase *questions = tcase_create("questions");

        tcase_add_test(messages, a_message_arrives_as_it_was_sent);
        tcase_add_test(messages, any_form_of_a_pid_is_a_destination);
        tcase_add_loop_test(messages, what_is_no_destination_is_refused, 0,
                            sizeof(no_destinations) / sizeof(no_destinations[0]));
        tcase_add_test(messages, a_message_to_oneself_arrives);
        tcase_add_test(messages, an_empty_message_is_a_message);
        tcase_add_test(messages, sixty_four_mebibytes_arrive_and_one_byte_more_is_refused);
        tcase_add_test(messages, a_stream_keeps_its_order);
        tcase_add_test(messages, a_killed_daemon_loses_nothing_and_doubles_nothing);
        tcase_add_test(messages, what_comes_too_late_to_be_taken_is_not_handed_out);
        tcase_add_test(messages, what_waits_too_long_with_the_daemon_is_not_handed_out);
        tcase_add_test(messages, a_receiver_that_does_not_take_stops_its_sender_alone);
        tcase_add_test(messages, who_is_not_here_is_told_at_once);
        tcase_add_test(messages, results_come_in_the_order_of_sending);
        tcase_add_test(messages, a_receiver_that_ends_leaves_its_sender_without_an_answer);
        tcase_add_loop_test(messages, who_takes_a_message_and_turns_away_has_said_so, 0, 2);
        tcase_add_test(messages, what_was_handed_over_arrives_without_its_sender);

        tcase_add_test(requests, a_request_gets_its_reply);
        tcase_add_test(requests, an_error_reply_carries_status_and_text);
        tcase_add_test(requests, waiting_ends_at_the_deadline_even_if_the_receiver_answers_nothing);
        tcase_add_test(requests, a_request_ends_at_its_deadline);
        tcase_add_loop_test(requests, what_is_cancelled_before_it_was_received_is_not_delivered, 0, 2);
        tcase_add_test(requests, a_cancelled_request_ends_at_once);
        tcase_add_test(requests, a_request_to_a_process_that_ends_is_not_waited_for);

        tcase_add_test(life, several_threads_wait_on_one_handle);
        tcase_add_test(life, a_forked_child_has_no_voice_and_the_parent_goes_on);
        tcase_add_test(life, a_handle_lives_in_any_loop);
        tcase_add_test(life, a_handle_lives_in_sd_event);
        tcase_add_test(life, closing_wakes_whoever_waits);
        tcase_add_test(life, a_closed_handle_leaves_nothing_open);

        tcase_add_test(bus, no_bus_is_said_at_once);
        tcase_add_test(bus, a_false_daemon_of_another_user_gets_no_signature);
        tcase_add_test(bus, a_relayed_hello_gets_no_signature);
        tcase_add_test(bus, who_speaks_something_else_is_no_bus);
        tcase_add_test(bus, a_key_file_makes_the_same_process_again);
        tcase_add_test(bus, without_reconnect_a_lost_bus_is_the_end);
        tcase_add_test(bus, messages_wait_for_a_bus_that_is_away);
        tcase_add_test(bus, options_of_no_version_are_refused);

        tcase_add_test(questions, a_name_reaches_its_provider);
        tcase_add_test(questions, the_daemon_answers_questions);
        tcase_add_test(questions, a_monitor_sees_what_others_say);

        tcase_add_checked_fixture(messages, start, stop);
        tcase_add_checked_fixture(requests, start, stop);
        tcase_add_checked_fixture(life, start, stop);
        tcase_add_checked_fixture(bus, start, stop);
        tcase_add_checked_fixture(questions, start, stop);
        suite_add_tcase(suite, messages);
        suite_add_tcase(suite, requests);
        suite_add_tcase(suite, life);
        suite_add_tcase(suite, bus);
        suite_add_tcase(suite, questions);
        return suite;
}
