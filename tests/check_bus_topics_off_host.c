/* SPDX-License-Identifier: Apache-2.0 */

/* Topics across two hosts. */

#include "config.h"

#include <stdio.h>

#include "libclient/attachment.h"
#include "libclient/peer.h"
#include "libclient/topic-remote.h"
#include "libcore/topic.h"
#include "tests/api.h"
#include "tests/main.h"
#include "tests/two-hosts.h"

/* @timeout_usec: the library's. */
static int try_publish(const char *topic, unsigned i, uint64_t timeout_usec) {
        char text[64];
        p2pbus_message *m;
        int r;

        (void)snprintf(text, sizeof(text), "%u " SECRET, i);
        ok(p2pbus_message_new(&m, text, strlen(text)));
        r = p2pbus_publish(a, topic, m, 0, timeout_usec);
        p2pbus_message_unref(m);
        return r;
}

/* And it is on its way, unless there is none. */
static void publish_number(const char *topic, unsigned i) {
        ok(try_publish(topic, i, PATIENCE));
        ok(p2pbus_hand_over(a, PATIENCE));
}

/* The number in the next message that @to gets, which a has published on @topic; -1: none in @timeout. */
static int take_number_at(p2pbus *to, const char *topic, uint64_t timeout_usec,
                          uint64_t *ret_lost) {
        p2pbus_message *m;
        int r, number;

        r = p2pbus_receive(to, timeout_usec, &m);
        if (r == -EAGAIN)
                return -1;
        ok(r);
        ck_assert_str_eq(p2pbus_message_get_topic(m), topic);
        ck_assert_str_eq(p2pbus_message_get_from(m), p2pbus_get_full(a));
        ck_assert_int_eq(p2pbus_message_is_remote(m), 1);
        ck_assert(p2pbus_message_get_size(m) > strlen(SECRET));
        *ret_lost = p2pbus_message_get_lost(m);
        number = (int)strtol(p2pbus_message_get_payload(m), NULL, 10);
        p2pbus_message_unref(m);
        return number;
}

static int take_number(const char *topic, uint64_t timeout_usec, uint64_t *ret_lost) {
        return take_number_at(b, topic, timeout_usec, ret_lost);
}

/* b wants @pattern, and what a publishes on @topic gets there: 0 has, but nothing else. */
static void subscribe_and_wait(const char *pattern, const char *topic) {
        int number = -1;
        uint64_t lost;

        ok(p2pbus_subscribe(b, pattern, 0, PATIENCE));
        while (number < 0) {
                publish_number(topic, 0);
                number = take_number(topic, SECOND / 100, &lost);
        }
        publish_number(topic, 1);
        while (number < 1)
                number = take_number(topic, PATIENCE, &lost);
        ck_assert_int_eq(number, 1);
}

START_TEST(what_is_published_comes_sealed_and_in_order) {
        uint64_t lost;

        subscribe_and_wait("weather.*", "weather.paris");
        for (unsigned i = 2; i < 300; i++)
                publish_number("weather.paris", i);
        for (int i = 2; i < 300; i++) {
                ck_assert_int_eq(take_number("weather.paris", PATIENCE, &lost), i);
                ck_assert_uint_eq(lost, 0);
        }
        ck_assert_uint_ge(count_of(SEALED_DATA), 290); /* with keys in common */

        /* Nobody wants it any more: what is next is on another topic. */
        ok(p2pbus_unsubscribe(b, "weather.*", PATIENCE));
        publish_number("weather.paris", 300);
        subscribe_and_wait("other", "other");
}
END_TEST

START_TEST(what_is_lost_on_the_way_is_counted) {
        unsigned n_sealed;
        uint64_t lost;

        subscribe_and_wait("weather", "weather");
        while (count_of(SEALED_ACCEPT) == 0)
                (void)sched_yield();
        n_sealed = __atomic_load_n(&middle.n_sealed, __ATOMIC_RELAXED);
        set_mischief(MISCHIEF_SWALLOW);
        for (unsigned i = 2; i < 9; i++)
                publish_number("weather", i);
        while (__atomic_load_n(&middle.n_sealed, __ATOMIC_RELAXED) < n_sealed + 7)
                (void)sched_yield();
        set_mischief(MISCHIEF_NONE);
        publish_number("weather", 9);
        ck_assert_int_eq(take_number("weather", PATIENCE, &lost), 9);
        ck_assert_uint_eq(lost, 7);
}
END_TEST

START_TEST(what_is_doubled_or_late_comes_once_or_is_lost) {
        uint64_t lost;
        int last = 1;

        subscribe_and_wait("weather", "weather");
        set_mischief(MISCHIEF_SHUFFLE);
        for (unsigned i = 2; i < 300; i++)
                publish_number("weather", i);
        set_mischief(MISCHIEF_NONE);
        publish_number("weather", 300);
        while (last < 300) {
                int number = take_number("weather", PATIENCE, &lost);

                ck_assert_int_eq(number, last + 1 + (int)lost);
                last = number;
        }
}
END_TEST

START_TEST(what_b_did_not_subscribe_to_it_does_not_get) {
        p2pbus_counters before = { .struct_size = sizeof(before) }, after = before;
        uint64_t lost;

        __atomic_store_n(&middle.lies, true, __ATOMIC_RELAXED);
        subscribe_and_wait("weather", "weather");
        ok(p2pbus_get_counters(b, &before));
        publish_number("not.weather", 2);
        publish_number("weather", 3);
        ck_assert_int_eq(take_number("weather", PATIENCE, &lost), 3);
        ok(p2pbus_get_counters(b, &after));
        ck_assert_uint_gt(after.bad_packets, before.bad_packets);
        __atomic_store_n(&middle.lies, false, __ATOMIC_RELAXED);
}
END_TEST

START_TEST(who_may_not_be_sent_to_is_not_published_to) {
        uint64_t lost;

        subscribe_and_wait("weather", "weather");
        set_policy(0, a, "[Network]\nSend=none\n");
        publish_number("weather", 2);
        publish_number("weather", 3);
        set_policy(0, a, NULL);
        publish_number("weather", 4);
        ck_assert_int_eq(take_number("weather", PATIENCE, &lost), 4);
        ck_assert_uint_eq(lost, 2);
}
END_TEST

START_TEST(a_reader_that_does_nothing_holds_up_nobody) {
        p2pbus *idle = open_at(1, P2PBUS_OFF_HOST);
        int number, last = -1;
        uint64_t lost;

        ok(p2pbus_wait_reachable(idle, PATIENCE));
        ok(p2pbus_subscribe(idle, "weather", 0, PATIENCE));
        subscribe_and_wait("weather", "weather");
        for (unsigned i = 2; i < 300; i++)
                ok(try_publish("weather", i, PATIENCE));
        for (int i = 2; i < 300; i++) {
                ck_assert_int_eq(take_number("weather", PATIENCE, &lost), i);
                ck_assert_uint_eq(lost, 0);
        }
        /* It has no keys in common with a, for which most of its messages wait at a. */
        ck_assert_uint_lt(count_of(SEALED_ONE) + count_of(SEALED_OPEN), 298);

        while (last < 299) {
                ok(p2pbus_process(a));
                number = take_number_at(idle, "weather", SECOND / 1000, &lost);
                if (number < 2)
                        continue;
                if (last >= 0)
                        ck_assert_int_eq(number, last + 1 + (int)lost);
                last = number;
        }
        p2pbus_unref(idle);
}
END_TEST

START_TEST(more_topics_than_are_remembered_lose_nothing) {
        char topic[32];
        uint64_t lost;
        int r;

        subscribe_and_wait("*", "weather");
        for (unsigned i = 2; i < 1000; i++) {
                (void)snprintf(topic, sizeof(topic), "t%u", i);
                /* Whose answers are to come; then it waits for these, and for nobody else. */
                while ((r = try_publish(topic, i, 0)) == -EAGAIN)
                        ok(p2pbus_wait(a, PATIENCE));
                ok(r);
        }
        ok(p2pbus_hand_over(a, PATIENCE));
        for (int i = 2; i < 1000; i++) {
                (void)snprintf(topic, sizeof(topic), "t%d", i);
                ck_assert_int_eq(take_number(topic, PATIENCE, &lost), i);
                ck_assert_uint_eq(lost, 0);
        }
        publish_number("weather", 1000); /* forgotten since */
        ck_assert_int_eq(take_number("weather", PATIENCE, &lost), 1000);
        ck_assert_uint_eq(lost, 0);
}
END_TEST

/* The daemon tells a no more who reads @topic. */
static void withdraw(const char *topic) {
        uint8_t body[1 + TOPIC_SIZE_MAX];
        const Control word = {
                .verb = CONTROL_READERS,
                .code = CODE_GONE,
                .body = body,
                .n_body = 1 + strlen(topic),
        };

        body[0] = (uint8_t)strlen(topic);
        memcpy(body + 1, topic, strlen(topic));
        pthread_mutex_lock(&a->lock);
        topic_remote_on_readers(a, &word);
        pthread_mutex_unlock(&a->lock);
}

START_TEST(what_waits_when_a_topic_is_withdrawn_is_not_lost) {
        uint64_t lost;

        subscribe_and_wait("*", "weather");
        withdraw("weather");
        publish_number("weather", 2);
        ok(try_publish("fresh", 3, 0)); /* the answer is to come */
        withdraw("fresh");
        ok(try_publish("fresh", 4, 0));
        ok(p2pbus_hand_over(a, PATIENCE));
        ck_assert_int_eq(take_number("weather", PATIENCE, &lost), 2);
        ck_assert_uint_eq(lost, 0);
        ck_assert_int_eq(take_number("fresh", PATIENCE, &lost), 3);
        ck_assert_uint_eq(lost, 0);
        ck_assert_int_eq(take_number("fresh", PATIENCE, &lost), 4);
        ck_assert_uint_eq(lost, 0);
}
END_TEST

START_TEST(what_waits_when_the_bus_goes_away_is_counted) {
        uint64_t lost;

        subscribe_and_wait("*", "weather");
        for (unsigned i = 2; i < 5; i++)
                ok(try_publish("fresh", i, 0)); /* the answer is to come */
        pthread_mutex_lock(&a->lock);
        topic_remote_forget(a); /* as after an attach */
        pthread_mutex_unlock(&a->lock);
        publish_number("fresh", 5);
        ck_assert_int_eq(take_number("fresh", PATIENCE, &lost), 5);
        ck_assert_uint_eq(lost, 3);
}
END_TEST

START_TEST(what_policy_keeps_on_the_host_is_not_sent) {
        unsigned n_sealed;
        uint64_t lost;

        subscribe_and_wait(">", "public.weather");
        set_policy(0, a, "[Network]\nTopics=\nTopics=public.>\n");
        while (count_of(SEALED_ACCEPT) == 0)
                (void)sched_yield();
        n_sealed = __atomic_load_n(&middle.n_sealed, __ATOMIC_RELAXED);
        for (unsigned i = 2; i < 10; i++)
                publish_number("private.weather", i);
        publish_number("public.weather", 10);
        ck_assert_int_eq(take_number("public.weather", PATIENCE, &lost), 10);
        ck_assert_uint_eq(lost, 0);
        ck_assert_uint_eq(__atomic_load_n(&middle.n_sealed, __ATOMIC_RELAXED), n_sealed + 1);
        ck_assert_int_eq(p2pbus_count_readers(a, "private.weather"), 0);
        ck_assert_int_eq(p2pbus_count_readers(a, "public.weather"), 1);
        set_policy(0, a, NULL);
}
END_TEST

START_TEST(a_publisher_can_wait_for_readers) {
        uint64_t lost;

        ck_assert_int_eq(p2pbus_count_readers(a, "weather"), -EAGAIN);
        ok(try_publish("weather", 1, PATIENCE));
        ck_assert_int_eq(p2pbus_count_readers(a, "weather"), 0);
        ok(p2pbus_subscribe(b, "weather", 0, PATIENCE));
        while (p2pbus_count_readers(a, "weather") == 0)
                ok(p2pbus_wait(a, PATIENCE));
        publish_number("weather", 2);
        ck_assert_int_eq(take_number("weather", PATIENCE, &lost), 2);
        ck_assert_uint_eq(lost, 0);
        ck_assert_int_eq(p2pbus_count_readers(a, "p2pbus.process.here"), 0);
        ck_assert_int_eq(p2pbus_count_readers(a, "*"), -EINVAL);
}
END_TEST

START_TEST(who_subscribes_hears_that_others_have_no_room) {
        p2pbus_counters counters = { .struct_size = sizeof(counters) };

        __atomic_store_n(&middle.refuses, true, __ATOMIC_RELAXED);
        ok(p2pbus_subscribe(b, "weather", 0, PATIENCE));
        while (counters.subscriptions_refused == 0) {
                ok(p2pbus_wait(b, PATIENCE));
                ok(p2pbus_get_counters(b, &counters));
        }
        ck_assert_uint_eq(counters.subscriptions_refused, 1);
        /* A program of before that was counted. */
        counters.struct_size = offsetof(p2pbus_counters, subscriptions_refused);
        counters.subscriptions_refused = 77;
        ok(p2pbus_get_counters(b, &counters));
        ck_assert_uint_eq(counters.subscriptions_refused, 77);
        counters.struct_size--;
        ck_assert_int_eq(p2pbus_get_counters(b, &counters), -EINVAL);
        __atomic_store_n(&middle.refuses, false, __ATOMIC_RELAXED);
}
END_TEST

START_TEST(a_publisher_that_is_here_is_heard_here) {
        p2pbus *near = open_at(1, P2PBUS_OFF_HOST), *back = a;
        p2pbus_message *m;

        subscribe_and_wait("weather", "weather");
        a = near;
        publish_number("weather", 2);
        ok(p2pbus_receive(b, PATIENCE, &m));
        ck_assert_int_eq(p2pbus_message_is_remote(m), 0);
        ck_assert_str_eq(p2pbus_message_get_from(m), p2pbus_get_full(near));
        p2pbus_message_unref(m);
        a = back;
        p2pbus_unref(near);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("bus topics off-host");
        TCase *tcase = tcase_create("two hosts");

        tcase_add_checked_fixture(tcase, two_hosts_start, two_hosts_stop);
        tcase_add_test(tcase, what_is_published_comes_sealed_and_in_order);
        tcase_add_test(tcase, what_is_lost_on_the_way_is_counted);
        tcase_add_test(tcase, what_is_doubled_or_late_comes_once_or_is_lost);
        tcase_add_test(tcase, what_b_did_not_subscribe_to_it_does_not_get);
        tcase_add_test(tcase, who_may_not_be_sent_to_is_not_published_to);
        tcase_add_test(tcase, a_reader_that_does_nothing_holds_up_nobody);
        tcase_add_test(tcase, more_topics_than_are_remembered_lose_nothing);
        tcase_add_test(tcase, what_waits_when_a_topic_is_withdrawn_is_not_lost);
        tcase_add_test(tcase, what_waits_when_the_bus_goes_away_is_counted);
        tcase_add_test(tcase, what_policy_keeps_on_the_host_is_not_sent);
        tcase_add_test(tcase, a_publisher_can_wait_for_readers);
        tcase_add_test(tcase, who_subscribes_hears_that_others_have_no_room);
        tcase_add_test(tcase, a_publisher_that_is_here_is_heard_here);
        suite_add_tcase(suite, tcase);
        return suite;
}
