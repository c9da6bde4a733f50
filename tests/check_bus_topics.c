/* SPDX-License-Identifier: Apache-2.0 */

/* Topics through the public library, with a real p2pbusd. */

#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libclient/p2pbus.h"
#include "tests/harness.h"
#include "tests/main.h"

#define SECOND UINT64_C(1000000)

static Daemon d;
static p2pbus *a, *b;

static void ok(int r) {
        ck_assert_msg(r >= 0, "%d: %s", r, p2pbus_get_explanation());
}

static p2pbus *open_bus(void) {
        p2pbus_options options = { .struct_size = sizeof(options), .socket_path = d.socket };
        p2pbus *bus;

        ok(p2pbus_open(&bus, &options));
        return bus;
}

static void start(void) {
        daemon_start(&d, "--user", NULL);
        a = open_bus();
        b = open_bus();
}

static void stop(void) {
        p2pbus_unref(a);
        p2pbus_unref(b);
        daemon_stop(&d);
}

static int publish(p2pbus *bus, const char *topic, const void *data, size_t n, uint32_t flags,
                   uint64_t timeout_usec) {
        p2pbus_message *m;
        int r;

        ok(p2pbus_message_new(&m, data, n));
        ok(p2pbus_message_set_type(m, "text/x-test"));
        r = p2pbus_publish(bus, topic, m, flags, timeout_usec);
        p2pbus_message_unref(m);
        return r;
}

static p2pbus_message *receive(p2pbus *bus) {
        p2pbus_message *m;

        ok(p2pbus_receive(bus, 30 * SECOND, &m));
        return m;
}

static void expect(p2pbus *bus, const p2pbus *from, const char *topic, const char *text) {
        p2pbus_message *m = receive(bus);

        ck_assert_str_eq(p2pbus_message_get_topic(m), topic);
        ck_assert_uint_eq(p2pbus_message_get_size(m), strlen(text));
        if (*text)
                ck_assert_mem_eq(p2pbus_message_get_payload(m), text, strlen(text));
        if (from)
                ck_assert_str_eq(p2pbus_message_get_from(m), p2pbus_get_full((p2pbus *)from));
        ck_assert_str_eq(p2pbus_message_get_type(m), "text/x-test");
        ck_assert_int_eq(p2pbus_message_get_kind(m), P2PBUS_KIND_ONE_WAY);
        ck_assert_int_eq(p2pbus_message_is_remote(m), 0);
        ck_assert_str_ne(p2pbus_message_get_id(m), "");
        p2pbus_message_unref(m);
}

START_TEST(the_first_message_after_subscribing_arrives) {
        for (unsigned i = 0; i < 100; i++) {
                ok(p2pbus_subscribe(b, "first.*", 0, 30 * SECOND));
                ok(publish(a, "first.one", "hello", 5, 0, i % 2 ? 30 * SECOND : 0));
                ok(p2pbus_process(a));
                expect(b, a, "first.one", "hello");
                ok(p2pbus_unsubscribe(b, "first.*", 30 * SECOND));
        }
        ck_assert_int_eq(p2pbus_unsubscribe(b, "first.*", 30 * SECOND), -ENXIO);
}
END_TEST

START_TEST(topics_and_messages_come_side_by_side) {
        p2pbus_message *m;
        unsigned n_topic = 0, n_sent = 0;

        ok(p2pbus_subscribe(b, ">", 0, 30 * SECOND));
        for (unsigned i = 0; i < 100; i++) {
                ok(publish(a, "t", &i, sizeof(i), 0, 0));
                ok(p2pbus_message_new(&m, &i, sizeof(i)));
                ok(p2pbus_send(a, p2pbus_get_full(b), m, 0, NULL));
                p2pbus_message_unref(m);
        }
        ok(p2pbus_process(a));
        while (n_topic + n_sent < 200) {
                unsigned i;

                while (p2pbus_receive(b, SECOND / 100, &m) != 0)
                        ok(p2pbus_process(a));
                memcpy(&i, p2pbus_message_get_payload(m), sizeof(i));
                if (*p2pbus_message_get_topic(m))
                        ck_assert_uint_eq(i, n_topic++);
                else
                        ck_assert_uint_eq(i, n_sent++);
                p2pbus_message_unref(m);
        }
        ck_assert_uint_eq(n_topic, 100);
}
END_TEST

START_TEST(what_is_retained_comes_first) {
        ok(publish(a, "state", "kept", 4, P2PBUS_RETAIN, 30 * SECOND));
        ok(p2pbus_subscribe(b, "state", P2PBUS_RETAINED, 30 * SECOND));
        ok(publish(a, "state", "next", 4, 0, 30 * SECOND));
        expect(b, a, "state", "kept");
        expect(b, a, "state", "next");
}
END_TEST

START_TEST(what_is_too_big_or_no_topic_is_refused_here) {
        static uint8_t data[P2PBUS_TOPIC_MESSAGE_MAX + 1];

        ok(p2pbus_subscribe(b, "big", 0, 30 * SECOND));
        ck_assert_int_eq(publish(a, "big", data, sizeof(data), 0, 0), -EMSGSIZE);
        ok(publish(a, "big", data, P2PBUS_TOPIC_MESSAGE_MAX, 0, 30 * SECOND));
        {
                p2pbus_message *m = receive(b);

                ck_assert_uint_eq(p2pbus_message_get_size(m), P2PBUS_TOPIC_MESSAGE_MAX);
                ck_assert_int_eq(p2pbus_publish(b, "big", m, 0, 0), -EINVAL); /* was received */
                p2pbus_message_unref(m);
        }
        ck_assert_int_eq(publish(a, "a.*", "x", 1, 0, 0), -EINVAL);
        ck_assert_int_eq(p2pbus_get_reason(), P2PBUS_REASON_BAD_TOPIC);
        ck_assert_int_eq(publish(a, NULL, "x", 1, 0, 0), -EINVAL);
        ck_assert_int_eq(publish(a, "a", "x", 1, 2, 0), -EINVAL);
        ck_assert_int_eq(p2pbus_subscribe(b, "a..b", 0, SECOND), -EINVAL);
        ck_assert_int_eq(p2pbus_subscribe(b, "a", 4, SECOND), -EINVAL);
        ck_assert_int_eq(p2pbus_check_topic("a.b"), 0);
        ck_assert_int_eq(p2pbus_check_topic("a.>"), 1);
        ck_assert_int_eq(p2pbus_check_topic(NULL), -EINVAL);
}
END_TEST

START_TEST(subscriptions_outlive_the_daemon) {
        p2pbus_counters counters = { .struct_size = sizeof(counters) };

        ok(p2pbus_subscribe(b, "again.>", 0, 30 * SECOND));
        daemon_end(&d);
        daemon_restart(&d, "--user");
        do {
                int r = p2pbus_wait(b, SECOND / 10);

                ck_assert(r >= 0 || r == -ETIMEDOUT);
                ok(p2pbus_get_counters(b, &counters));
        } while (counters.attaches < 2);
        /* What is asked of the daemon now comes behind the pattern that was said again. */
        ok(p2pbus_own_name(b, "test.there", 30 * SECOND));
        ok(publish(a, "again.x", "hello", 5, 0, 30 * SECOND));
        expect(b, a, "again.x", "hello");
}
END_TEST

/* Nobody reads: first the library keeps some, then the socket and the daemon, and then it is lost. */
START_TEST(what_was_lost_is_counted) {
        static uint8_t data[50000];
        const unsigned n_sent = 600;
        unsigned n_got = 0;
        uint64_t n_lost = 0;

        ok(p2pbus_subscribe(b, "flood", 0, 30 * SECOND));
        for (unsigned i = 0; i < n_sent; i++)
                ok(publish(a, "flood", data, sizeof(data), 0, 30 * SECOND));
        while (n_got + n_lost < n_sent) {
                p2pbus_message *m;

                if (p2pbus_receive(b, 0, &m) != 0) { /* the next one tells */
                        ok(publish(a, "flood", "more", 4, 0, 30 * SECOND));
                        m = receive(b);
                        n_got--;
                }
                n_lost += p2pbus_message_get_lost(m);
                n_got++;
                p2pbus_message_unref(m);
        }
        ck_assert_uint_eq(n_got + n_lost, n_sent);
        ck_assert_uint_gt(n_lost, 0);
}
END_TEST

START_TEST(messages_outlive_their_handle) {
        p2pbus *other = open_bus();
        p2pbus_message *m;

        ok(p2pbus_subscribe(other, "x", 0, 30 * SECOND));
        ok(publish(a, "x", "kept", 4, 0, 30 * SECOND));
        ok(publish(a, "x", "left", 4, 0, 30 * SECOND));
        m = receive(other);
        ok(p2pbus_process(other));
        p2pbus_unref(other);
        ck_assert_mem_eq(p2pbus_message_get_payload(m), "kept", 4);
        ck_assert_str_eq(p2pbus_message_get_topic(m), "x");
        p2pbus_message_unref(m);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("bus topics");
        TCase *topics = tcase_create("topics");

        tcase_add_test(topics, the_first_message_after_subscribing_arrives);
        tcase_add_test(topics, topics_and_messages_come_side_by_side);
        tcase_add_test(topics, what_is_retained_comes_first);
        tcase_add_test(topics, what_is_too_big_or_no_topic_is_refused_here);
        tcase_add_test(topics, subscriptions_outlive_the_daemon);
        tcase_add_test(topics, what_was_lost_is_counted);
        tcase_add_test(topics, messages_outlive_their_handle);
        tcase_add_checked_fixture(topics, start, stop);
        suite_add_tcase(suite, topics);
        return suite;
}
