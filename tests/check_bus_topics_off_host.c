/* SPDX-License-Identifier: Apache-2.0 */

/* Topics across two hosts. */

#include "config.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "libclient/attachment.h"
#include "libclient/peer.h"
#include "libclient/remote-reader.h"
#include "libclient/remote-writer.h"
#include "libclient/topic-remote.h"
#include "libclient/topic.h"
#include "libcore/topic.h"
#include "libcore/util.h"
#include "tests/api.h"
#include "tests/main.h"
#include "tests/two-hosts.h"

static int publish_text(const char *topic, const char *text, uint32_t flags,
                        uint64_t timeout_usec) {
        p2pbus_message *m;
        int r;

        ok(p2pbus_message_new(&m, text, strlen(text)));
        r = p2pbus_publish(a, topic, m, flags, timeout_usec);
        p2pbus_message_unref(m);
        return r;
}

/* @timeout_usec: the library's. */
static int try_publish(const char *topic, unsigned i, uint64_t timeout_usec) {
        char text[64];

        (void)snprintf(text, sizeof(text), "%u " SECRET, i);
        return publish_text(topic, text, 0, timeout_usec);
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

/* b wants @pattern, and gets 1, the first that a publishes on @topic after that. */
static void subscribe_and_get_one(const char *pattern, const char *topic) {
        uint64_t lost;

        ok(p2pbus_subscribe(b, pattern, 0, PATIENCE));
        publish_number(topic, 1);
        ck_assert_int_eq(take_number(topic, PATIENCE, &lost), 1);
}

/* The next message of a, which does its work meanwhile, that @to gets is @number on @topic. */
static void expect_number_at(p2pbus *to, const char *topic, int number) {
        int got = -1;
        uint64_t lost;

        while (got < 0) {
                ok(p2pbus_process(a));
                got = take_number_at(to, topic, SECOND / 1000, &lost);
        }
        ck_assert_int_eq(got, number);
        ck_assert_uint_eq(lost, 0);
}

static void expect_number(const char *topic, int number) {
        expect_number_at(b, topic, number);
}

/* How often b's daemon has asked whether others have heard of all. */
static unsigned count_pings(void) {
        return __atomic_load_n(&middle.n_pings, __ATOMIC_ACQUIRE);
}

/* With and without waiting for a's daemon. */
START_TEST(the_first_message_after_subscribing_arrives) {
        const uint64_t timeout = _i == 0 ? PATIENCE : 0;
        char topic[32];
        uint64_t lost;

        for (int i = 0; i < 100; i++) {
                (void)snprintf(topic, sizeof(topic), "t%d", i);
                publish_number(topic, 1000); /* a knows that nobody reads it */
                ok(p2pbus_subscribe(b, topic, 0, PATIENCE));
                ok(try_publish(topic, (unsigned)i, timeout));
                ok(p2pbus_hand_over(a, PATIENCE));
                ck_assert_int_eq(take_number(topic, PATIENCE, &lost), i);
        }
}
END_TEST

START_TEST(who_subscribes_as_soon_as_it_is_there_gets_the_first_message) {
        uint64_t lost;

        for (int i = 0; i < 10; i++) {
                p2pbus *fresh = open_at(1, P2PBUS_OFF_HOST);

                ok(p2pbus_subscribe(fresh, "weather", 0, PATIENCE));
                publish_number("weather", (unsigned)i);
                ck_assert_int_eq(take_number_at(fresh, "weather", PATIENCE, &lost), i);
                p2pbus_unref(fresh);
        }
}
END_TEST

START_TEST(who_wants_several_waits_once) {
        const unsigned n = count_pings();
        uint64_t lost;

        publish_number("weather", 0);
        publish_number("news", 0);
        ok(p2pbus_subscribe(b, "weather", P2PBUS_NO_WAIT, PATIENCE));
        ck_assert_uint_eq(count_pings(), n);
        ok(p2pbus_subscribe(b, "news", 0, PATIENCE));
        ck_assert_uint_eq(count_pings(), n + 1);
        publish_number("weather", 1);
        ck_assert_int_eq(take_number("weather", PATIENCE, &lost), 1);
        publish_number("news", 2);
        ck_assert_int_eq(take_number("news", PATIENCE, &lost), 2);
        ck_assert_int_eq(p2pbus_subscribe(b, "news", P2PBUS_NO_WAIT << 1, PATIENCE), -EINVAL);
}
END_TEST

START_TEST(who_wants_nothing_of_other_hosts_does_not_wait_for_them) {
        const unsigned n = count_pings();
        p2pbus *local = open_at(1, 0);

        ok(p2pbus_subscribe(local, "weather", 0, PATIENCE));
        ok(p2pbus_subscribe(b, "p2pbus.name.*", 0, PATIENCE));
        ok(p2pbus_unsubscribe(b, "p2pbus.name.*", PATIENCE));
        ok(p2pbus_subscribe(b, "weather", P2PBUS_NO_WAIT, PATIENCE));
        ok(p2pbus_unsubscribe(b, "weather", PATIENCE));
        ck_assert_uint_eq(count_pings(), n);
        p2pbus_unref(local);
}
END_TEST

/* A process at b's host that has subscribed to "weather", and has the same key in each life. */
static p2pbus *open_reader(void) {
        static char file[128];
        p2pbus *reader;

        (void)snprintf(file, sizeof(file), "%s/reader.key", middle.ends[1].d.folder);
        if (access(file, F_OK) != 0)
                ok(p2pbus_key_generate(file, NULL));
        reader = open_as(1, P2PBUS_OFF_HOST, file);
        ok(p2pbus_subscribe(reader, "weather", 0, PATIENCE));
        return reader;
}

START_TEST(another_life_of_a_reader_gets_the_first_message) {
        p2pbus *reader = open_reader();
        int i;

        for (i = 0; count_of(SEALED_DATA) == 0; i++) { /* until they have keys in common */
                publish_number("weather", (unsigned)i);
                expect_number_at(reader, "weather", i);
        }
        p2pbus_unref(reader);
        reader = open_reader();
        publish_number("weather", (unsigned)i);
        expect_number_at(reader, "weather", i);
        p2pbus_unref(reader);
}
END_TEST

START_TEST(another_life_of_a_reader_is_found_at_once) {
        p2pbus *near = open_at(0, P2PBUS_OFF_HOST), *back = a;
        p2pbus *reader = open_reader();
        uint64_t lost;

        publish_number("weather", 0); /* its lease is known here */
        ck_assert_int_eq(take_number_at(reader, "weather", PATIENCE, &lost), 0);
        p2pbus_unref(reader);
        reader = open_reader();
        a = near;
        publish_number("weather", 1); /* and that is all that it does */
        ck_assert_int_eq(take_number_at(reader, "weather", PATIENCE, &lost), 1);
        a = back;
        p2pbus_unref(near);
        p2pbus_unref(reader);
}
END_TEST

START_TEST(what_came_before_its_time_by_the_clock_of_its_reader_goes_again) {
        ok(p2pbus_subscribe(b, "weather", 0, PATIENCE));
        set_mischief(MISCHIEF_SWALLOW);
        publish_number("weather", 1);
        while (count_swallowed() == 0)
                (void)sched_yield();
        set_mischief(MISCHIEF_NONE);
        tell_middle('y'); /* b has refused it, as if its clock were ahead */
        expect_number("weather", 1);
        publish_number("weather", 2);
        expect_number("weather", 2);
}
END_TEST

START_TEST(what_is_kept_for_a_reader_that_is_new_is_bounded) {
        RemoteReader *reader;
        uint64_t lost;

        subscribe_and_get_one("weather", "weather");
        for (unsigned i = 2; i < 2 * REMOTE_KEPT_MAX; i++) {
                publish_number("weather", i);
                ck_assert_int_eq(take_number("weather", PATIENCE, &lost), (int)i);
        }
        pthread_mutex_lock(&a->lock);
        reader = remote_reader_find(a, identity_public(b->identity));
        ck_assert_uint_gt(reader->kept.n, 0);
        ck_assert_uint_le(reader->kept.n, REMOTE_KEPT_MAX);
        ck_assert_uint_le(reader->kept.n_bytes, REMOTE_KEPT_BYTES);
        ck_assert_uint_eq(a->topics.n_waiting_bytes, reader->kept.n_bytes);
        pthread_mutex_unlock(&a->lock);
        while (a->topics.n_waiting_bytes > 0) /* in REMOTE_KEPT_USEC, by itself */
                ok(p2pbus_wait(a, PATIENCE));
}
END_TEST

/* The daemon at host @i, which was told to @signal. */
static void signal_daemon(unsigned i, int signal) {
        ck_assert_int_eq(kill(middle.ends[i].d.os_pid, signal), 0);
}

START_TEST(a_host_that_does_not_answer_is_waited_for_once) {
        char topic[32];
        uint64_t lost;
        int reason;

        publish_number("weather", 0);
        (void)p2pbus_check_topic("a..b");
        reason = p2pbus_get_reason();
        signal_daemon(0, SIGSTOP);
        ok(p2pbus_subscribe(b, "weather", 0, PATIENCE)); /* this takes 2 seconds */
        ok(p2pbus_subscribe(b, "news", 0, PATIENCE));    /* and this does not */
        ok(p2pbus_subscribe(b, "rain", 0, PATIENCE));
        ck_assert_uint_eq(count_pings(), 1);
        ck_assert_int_eq(p2pbus_get_reason(), reason); /* nothing has failed */
        signal_daemon(0, SIGCONT);
        for (unsigned i = 0; count_pings() == 1; i++) { /* until it has answered */
                (void)snprintf(topic, sizeof(topic), "t%u", i);
                ok(p2pbus_subscribe(b, topic, 0, PATIENCE));
        }
        publish_number(topic, 1);
        ck_assert_int_eq(take_number(topic, PATIENCE, &lost), 1);
}
END_TEST

START_TEST(what_is_published_comes_sealed_and_in_order) {
        uint64_t lost;

        subscribe_and_get_one("weather.*", "weather.paris");
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
        subscribe_and_get_one("other", "other");
}
END_TEST

START_TEST(what_is_lost_on_the_way_is_counted) {
        unsigned n_sealed;
        uint64_t lost;

        subscribe_and_get_one("weather", "weather");
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

        subscribe_and_get_one("weather", "weather");
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
        uint64_t before, lost;

        __atomic_store_n(&middle.lies, true, __ATOMIC_RELAXED);
        subscribe_and_get_one("weather", "weather");
        before = counters_of(b).bad_packets;
        publish_number("not.weather", 2);
        publish_number("weather", 3);
        ck_assert_int_eq(take_number("weather", PATIENCE, &lost), 3);
        ck_assert_uint_gt(counters_of(b).bad_packets, before);
        __atomic_store_n(&middle.lies, false, __ATOMIC_RELAXED);
}
END_TEST

START_TEST(who_may_not_be_sent_to_is_not_published_to) {
        uint64_t lost;

        subscribe_and_get_one("weather", "weather");
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
        int number, last = 0;
        uint64_t lost;

        ok(p2pbus_subscribe(idle, "weather", 0, PATIENCE));
        subscribe_and_get_one("weather", "weather");
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
                if (number < 0)
                        continue;
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

        subscribe_and_get_one("*", "weather");
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

        subscribe_and_get_one("*", "weather");
        withdraw("weather");
        publish_number("weather", 2);
        signal_daemon(0, SIGSTOP);
        ok(try_publish("fresh", 3, 0)); /* the answer is to come */
        withdraw("fresh");
        ok(try_publish("fresh", 4, 0));
        signal_daemon(0, SIGCONT);
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

        subscribe_and_get_one("*", "weather");
        signal_daemon(0, SIGSTOP);
        for (unsigned i = 2; i < 5; i++)
                ok(try_publish("fresh", i, 0)); /* the answer is to come */
        pthread_mutex_lock(&a->lock);
        topic_remote_forget(a); /* as after an attach */
        pthread_mutex_unlock(&a->lock);
        signal_daemon(0, SIGCONT);
        publish_number("fresh", 5);
        ck_assert_int_eq(take_number("fresh", PATIENCE, &lost), 5);
        ck_assert_uint_eq(lost, 3);
}
END_TEST

START_TEST(what_policy_keeps_on_the_host_is_not_sent) {
        unsigned n_sealed;
        uint64_t lost;

        subscribe_and_get_one(">", "public.weather");
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

        subscribe_and_get_one("weather", "weather");
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

/* What is retained */

static void retain_number(const char *topic, unsigned i) {
        char text[64];

        (void)snprintf(text, sizeof(text), "%u " SECRET, i);
        ok(publish_text(topic, text, P2PBUS_RETAIN, PATIENCE));
}

/* a does its work until somebody elsewhere reads @topic, and has handed over what that one gets. */
static void until_read(const char *topic, int n_readers) {
        while (p2pbus_count_readers(a, topic) != n_readers)
                ok(p2pbus_wait(a, PATIENCE));
        ok(p2pbus_hand_over(a, PATIENCE));
}

START_TEST(who_comes_later_gets_what_is_retained_once) {
        retain_number("weather", 1);
        retain_number("weather", 2);
        ok(p2pbus_subscribe(b, "weather", P2PBUS_RETAINED, PATIENCE));
        until_read("weather", 1);
        expect_number("weather", 2);
        publish_number("weather", 3);
        expect_number("weather", 3);

        /* Named again b gets it again, and has had it, or newer ones. */
        withdraw("weather");
        publish_number("weather", 4);
        expect_number("weather", 4);
        retain_number("weather", 5);
        expect_number("weather", 5);
        withdraw("weather");
        publish_number("weather", 6);
        expect_number("weather", 6);

        /* If it begins anew it wants it. */
        ok(p2pbus_unsubscribe(b, "weather", PATIENCE));
        until_read("weather", 0);
        ok(p2pbus_subscribe(b, "*", P2PBUS_RETAINED, PATIENCE));
        until_read("weather", 1);
        expect_number("weather", 5);
        publish_number("weather", 7);
        expect_number("weather", 7);
}
END_TEST

START_TEST(who_does_not_ask_gets_nothing_retained) {
        retain_number("weather", 1);
        ok(p2pbus_subscribe(b, "weather", 0, PATIENCE));
        until_read("weather", 1);
        publish_number("weather", 2);
        expect_number("weather", 2);
        /* With another pattern it does ask. */
        ok(p2pbus_subscribe(b, "*", P2PBUS_RETAINED, PATIENCE));
        expect_number("weather", 1);
        publish_number("weather", 3);
        expect_number("weather", 3);
}
END_TEST

START_TEST(what_was_ended_is_not_retained) {
        retain_number("weather", 1);
        ok(publish_text("weather", "", P2PBUS_RETAIN, PATIENCE));
        retain_number("rain", 2);
        ok(p2pbus_subscribe(b, "*", P2PBUS_RETAINED, PATIENCE));
        until_read("weather", 1);
        until_read("rain", 1);
        expect_number("rain", 2);
        publish_number("weather", 3);
        expect_number("weather", 3);
}
END_TEST

START_TEST(what_another_process_of_the_user_replaces_is_not_retained) {
        p2pbus *near = open_at(0, 0), *back = a;
        uint64_t lost;

        retain_number("weather", 1);
        retain_number("rain", 2);
        a = near;
        retain_number("weather", 3);
        a = back;
        ok(p2pbus_subscribe(b, "*", P2PBUS_RETAINED, PATIENCE));
        until_read("weather", 1);
        until_read("rain", 1);
        expect_number("rain", 2);
        publish_number("weather", 4);
        ck_assert_int_eq(take_number("weather", PATIENCE, &lost), 4);
        p2pbus_unref(near);
}
END_TEST

START_TEST(what_is_retained_beyond_the_bound_stays_here) {
        static char large[P2PBUS_TOPIC_MESSAGE_MAX];
        const int n = TOPIC_REMOTE_RETAINED_BYTES / sizeof(large) + 1;
        char topic[32];
        bool seen[16] = { false };

        ck_assert_int_lt(n, ELEMENTSOF(seen));
        memset(large, 'x', sizeof(large) - 1);
        for (int i = 0; i < n; i++) {
                (void)snprintf(topic, sizeof(topic), "t%d", i);
                ok(publish_text(topic, large, P2PBUS_RETAIN, PATIENCE));
        }
        ok(p2pbus_subscribe(b, "*", P2PBUS_RETAINED, PATIENCE));
        for (int i = 1; i < n; i++) {
                p2pbus_message *m = NULL;

                while (!m) {
                        int r = p2pbus_receive(b, SECOND / 1000, &m);

                        ck_assert(r == 0 || r == -EAGAIN);
                        ok(p2pbus_process(a));
                }
                seen[strtol(p2pbus_message_get_topic(m) + 1, NULL, 10)] = true;
                ck_assert_uint_eq(p2pbus_message_get_lost(m), 0);
                p2pbus_message_unref(m);
        }
        for (int i = 0; i < n; i++)
                ck_assert_int_eq(seen[i], i > 0);
}
END_TEST

START_TEST(a_topic_stays_asked_about_while_something_is_retained) {
        char topic[32];

        retain_number("weather", 1);
        /* More than a or its daemon keep in mind. */
        for (unsigned i = 0; i < 2 * TOPIC_REMOTE_TOPICS_MAX; i++) {
                (void)snprintf(topic, sizeof(topic), "t%u", i);
                ok(try_publish(topic, i, PATIENCE));
        }
        ok(p2pbus_subscribe(b, "weather", P2PBUS_RETAINED, PATIENCE));
        until_read("weather", 1);
        expect_number("weather", 1);
}
END_TEST

START_TEST(what_policy_keeps_on_the_host_is_not_retained_elsewhere) {
        set_policy(0, a, "[Network]\nTopics=\nTopics=public.>\n");
        retain_number("private.weather", 1);
        retain_number("public.weather", 2);
        ok(p2pbus_subscribe(b, ">", P2PBUS_RETAINED, PATIENCE));
        until_read("public.weather", 1);
        expect_number("public.weather", 2);
        ck_assert_int_eq(p2pbus_count_readers(a, "private.weather"), 0);
        set_policy(0, a, NULL); /* and it is, once policy lets it go */
        until_read("private.weather", 1);
        expect_number("private.weather", 1);
}
END_TEST

/* A thread of a's that retains 1 on "weather". */
static void *retain_one(void *unused) {
        retain_number("weather", 1);
        return unused;
}

/* Another thread has asked the daemon something, and waits. */
static void until_asked(p2pbus *bus) {
        bool is_asked = false;

        while (!is_asked) {
                (void)sched_yield();
                pthread_mutex_lock(&bus->lock);
                is_asked = bus->asks && connection_queued(bus->connection) == 0;
                pthread_mutex_unlock(&bus->lock);
        }
}

START_TEST(what_is_replaced_as_soon_as_it_is_there_is_not_retained) {
        p2pbus *near = open_at(0, P2PBUS_OFF_HOST);
        struct pollfd answer = { .events = POLLIN };
        p2pbus_message *m;
        pthread_t thread;

        answer.fd = connection_fd(a->connection);
        signal_daemon(0, SIGSTOP);
        ck_assert_int_eq(pthread_create(&thread, NULL, retain_one, NULL), 0);
        until_asked(a);
        pthread_mutex_lock(&a->lock); /* it hears the answer, and what is behind, at once */
        signal_daemon(0, SIGCONT);
        ck_assert_int_eq(poll(&answer, 1, EXPECT_MSEC), 1);
        ok(p2pbus_message_new(&m, "x", 1));
        ok(p2pbus_publish(near, "weather", m, P2PBUS_RETAIN, PATIENCE));
        p2pbus_message_unref(m);
        pthread_mutex_unlock(&a->lock);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ok(try_publish("other", 0, PATIENCE)); /* it has heard of all */
        ck_assert_uint_eq(a->topics.n_retained, 0);
        ck_assert_uint_eq(near->topics.n_retained, 1);
        p2pbus_unref(near);
}
END_TEST

START_TEST(what_another_thread_retains_later_stays) {
        pthread_t thread;

        signal_daemon(0, SIGSTOP);
        ck_assert_int_eq(pthread_create(&thread, NULL, retain_one, NULL), 0);
        until_asked(a);
        ok(publish_text("weather", "2 " SECRET, P2PBUS_RETAIN, 0));
        signal_daemon(0, SIGCONT);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ok(p2pbus_subscribe(b, "weather", P2PBUS_RETAINED, PATIENCE));
        until_read("weather", 1);
        expect_number("weather", 2);
}
END_TEST

/* b is to get what is retained, and a's daemon has heard so. */
static void subscribe_to_all(void) {
        ok(try_publish("other", 0, PATIENCE));
        ok(p2pbus_subscribe(b, "*", P2PBUS_RETAINED, PATIENCE));
        until_read("other", 1);
}

/* As if so much more waited for readers. */
static void crowd(ssize_t n_bytes) {
        pthread_mutex_lock(&a->lock);
        a->topics.n_waiting_bytes += (size_t)n_bytes;
        pthread_mutex_unlock(&a->lock);
}

START_TEST(what_is_retained_is_not_in_front_of_what_came_before) {
        uint64_t lost;

        subscribe_to_all();
        signal_daemon(0, SIGSTOP); /* who reads it is not known */
        ok(try_publish("weather", 1, 0));
        ok(try_publish("weather", 2, 0));
        crowd(REMOTE_WAITING_ALL_BYTES);
        ok(publish_text("weather", "3 " SECRET, P2PBUS_RETAIN, 0));
        crowd(-(ssize_t)REMOTE_WAITING_ALL_BYTES);
        signal_daemon(0, SIGCONT);
        ok(p2pbus_hand_over(a, PATIENCE));
        for (int i = 1; i < 4; i++)
                expect_number("weather", i);
        publish_number("weather", 4);
        ck_assert_int_eq(take_number("weather", PATIENCE, &lost), 4);
        ck_assert_uint_eq(lost, 1); /* 3, when it was published */
}
END_TEST

START_TEST(what_is_retained_is_not_sent_again_when_a_topic_was_withdrawn) {
        unsigned n_sealed;

        subscribe_to_all();
        retain_number("weather", 1);
        expect_number("weather", 1);
        while (count_of(SEALED_ACCEPT) == 0)
                (void)sched_yield();
        n_sealed = __atomic_load_n(&middle.n_sealed, __ATOMIC_RELAXED);
        withdraw("weather");
        publish_number("weather", 2);
        expect_number("weather", 2);
        ck_assert_uint_eq(__atomic_load_n(&middle.n_sealed, __ATOMIC_RELAXED), n_sealed + 1);
}
END_TEST

/* a hears that @n with keys from @keys on read @topic, and want it anew. */
static void name_readers(const char *topic, const PublicKey *keys, unsigned n) {
        uint8_t body[1 + TOPIC_SIZE_MAX + CONTROL_READERS_MAX * CONTROL_READER_SIZE];
        BufWriter w = buf_writer(body, sizeof(body));
        static uint32_t begun = 1U << 31;
        Control word = { .verb = CONTROL_READERS, .value = n, .body = body };

        begun++;
        buf_put_u8(&w, (uint8_t)strlen(topic));
        buf_put_bytes(&w, topic, strlen(topic));
        for (unsigned i = 0; i < n; i++) {
                buf_put_bytes(&w, keys[i].bytes, KEY_SIZE);
                buf_put_le32(&w, begun);
        }
        word.n_body = w.at;
        pthread_mutex_lock(&a->lock);
        topic_remote_on_readers(a, &word);
        pthread_mutex_unlock(&a->lock);
}

#define MANY 100 /* topics, with as much retained as may be */

static void retain_much(void) {
        static char text[TOPIC_REMOTE_RETAINED_BYTES / MANY - 100];
        char topic[32];

        memset(text, 'x', sizeof(text) - 1);
        for (unsigned i = 0; i < MANY; i++) {
                (void)snprintf(topic, sizeof(topic), "t%u", i);
                ok(publish_text(topic, text, P2PBUS_RETAIN, PATIENCE));
        }
}

static void name_readers_of_much(const PublicKey *keys, unsigned n) {
        char topic[32];

        for (unsigned i = 0; i < MANY; i++) {
                (void)snprintf(topic, sizeof(topic), "t%u", i);
                name_readers(topic, keys, n);
        }
}

START_TEST(what_is_retained_leaves_room_to_what_is_published) {
        PublicKey keys[CONTROL_READERS_MAX] = { 0 };

        for (unsigned i = 0; i < ELEMENTSOF(keys); i++)
                keys[i].bytes[0] = (uint8_t)(i + 1);
        retain_much();
        name_readers_of_much(keys, ELEMENTSOF(keys));
        ck_assert_uint_gt(a->topics.n_waiting_bytes, REMOTE_RETAINED_RATE / 2);
        ck_assert_uint_le(a->topics.n_waiting_bytes,
                          TOPIC_REMOTE_RETAINED_BYTES + REMOTE_RETAINED_RATE * 5 / 4);
}
END_TEST

/* a does its work until it has tried again what waits for b. */
static void until_tried_again(void) {
        const Timer *timer = &remote_reader_find(a, identity_public(b->identity))->timer;
        uint64_t due = timer->due_usec;

        ck_assert_uint_gt(timer->at, 0);
        while (timer->due_usec == due)
                (void)p2pbus_wait(a, SECOND / 100);
}

START_TEST(what_is_retained_leaves_room_on_the_socket) {
        subscribe_and_get_one("weather", "weather");
        while (count_of(SEALED_ACCEPT) == 0)
                (void)sched_yield();
        retain_much();
        signal_daemon(0, SIGSTOP);
        for (unsigned i = 0; i < 4; i++) /* in all twice as much as may wait for the socket */
                name_readers_of_much(identity_public(b->identity), 1);
        until_tried_again();
        ck_assert_uint_gt(connection_queued(a->connection), TOPIC_OUTPUT_MAX / 2);
        ok(try_publish("weather", 2, 0));
        signal_daemon(0, SIGCONT);
}
END_TEST

START_TEST(what_finds_no_room_comes_when_there_is_some) {
        retain_number("weather", 1);
        ok(try_publish("other", 0, PATIENCE));
        crowd(REMOTE_RETAINED_WAITING_BYTES); /* and b's lease is not known */
        ok(p2pbus_subscribe(b, "*", P2PBUS_RETAINED, PATIENCE));
        until_read("weather", 1);
        until_read("other", 1);
        ok(try_publish("other", 2, PATIENCE));
        expect_number("other", 2);
        crowd(-(ssize_t)REMOTE_RETAINED_WAITING_BYTES);
        expect_number("weather", 1);
        publish_number("other", 3); /* and not twice */
        expect_number("other", 3);
}
END_TEST

/* b hears of a writer that was made up that it has published, or retained, @number on @topic. */
static void make_up(const PublicKey *writer, const char *topic, uint64_t number, bool is_retained) {
        uint8_t extension[3 + TOPIC_SIZE_MAX];
        const Record record = {
                .type = RECORD_PUBLISHED,
                .flags = is_retained ? RECORD_RETAINED : 0,
                .session = 1,
                .seq = number,
                .message = {
                        .kind = MESSAGE_ONE_WAY,
                        .id = packet_id_make(0, number),
                        .total = 1,
                        .extensions = extension,
                        .n_extensions = (uint16_t)(3 + strlen(topic)),
                        .data = (const uint8_t *)"x",
                        .n_data = 1,
                },
        };
        const PeerSource source = {
                .address = key_hash(writer).address,
                .key = writer,
                .is_remote = true,
        };

        extension[0] = MESSAGE_EXT_TOPIC;
        store_le16(extension + 1, (uint16_t)strlen(topic));
        memcpy(extension + 3, topic, strlen(topic));
        pthread_mutex_lock(&b->lock);
        remote_writer_on_published(b, &source, &record);
        pthread_mutex_unlock(&b->lock);
}

/* There is a message for b, which takes it. */
static bool b_has_one(void) {
        p2pbus_message *m;
        int r = p2pbus_receive(b, 0, &m);

        if (r == -EAGAIN)
                return false;
        ok(r);
        p2pbus_message_unref(m);
        return true;
}

START_TEST(what_writers_can_make_us_remember_is_bounded) {
        const unsigned n_writers = REMOTE_HEARD_ALL_MAX / REMOTE_HEARD_ONE_MAX + 4;
        PublicKey writer = { { 0 } };
        char topic[32];

        ok(p2pbus_subscribe(b, "*", P2PBUS_RETAINED, PATIENCE));
        for (unsigned i = 0; i < n_writers; i++) {
                writer.bytes[0] = (uint8_t)(i + 1);
                for (unsigned j = 0; j < REMOTE_HEARD_ONE_MAX + 100; j++) {
                        (void)snprintf(topic, sizeof(topic), "t%u", j);
                        make_up(&writer, topic, j, j % 2 == 0);
                        ck_assert(b_has_one());
                }
                ck_assert_uint_le(b->topics.n_heard, (i + 1) * REMOTE_HEARD_ONE_MAX);
                ck_assert_uint_le(b->topics.n_heard, REMOTE_HEARD_ALL_MAX);
                /* The last one it knows, if there was room for any. */
                make_up(&writer, topic, REMOTE_HEARD_ONE_MAX + 99, true);
                ck_assert(b_has_one() == (i >= REMOTE_HEARD_ALL_MAX / REMOTE_HEARD_ONE_MAX));
        }
        ok(p2pbus_unsubscribe(b, "*", PATIENCE));
        ck_assert_uint_eq(b->topics.n_heard, 0);
}
END_TEST

START_TEST(what_found_no_room_was_not_heard) {
        PublicKey writer = { { 1 } };

        ok(p2pbus_subscribe(b, "*", P2PBUS_RETAINED, PATIENCE));
        b->topics.n_remote_bytes += TOPIC_INBOX_REMOTE_MAX + 1; /* as if the application was slow */
        make_up(&writer, "t", 1, true);
        b->topics.n_remote_bytes -= TOPIC_INBOX_REMOTE_MAX + 1;
        ck_assert(!b_has_one());
        make_up(&writer, "t", 1, true);
        ck_assert(b_has_one());
}
END_TEST

static void *subscribe_to_t(void *ret) {
        *(int *)ret = p2pbus_subscribe(b, "t", P2PBUS_RETAINED, PATIENCE);
        return NULL;
}

START_TEST(what_comes_before_the_answer_is_had_by_who_had_lost_the_pattern) {
        PublicKey writer = { { 1 } };
        p2pbus_right_change change = { .struct_size = sizeof(change) };
        pthread_t thread;
        int r;

        ok(p2pbus_subscribe(b, "t", P2PBUS_RETAINED, PATIENCE));
        set_policy(1, b, "[Topics]\nDenySubscribe=t\n");
        while (p2pbus_next_right_change(b, &change) == -EAGAIN)
                ok(p2pbus_wait(b, PATIENCE));
        make_up(&writer, "t", 1, true);
        ck_assert(!b_has_one());
        signal_daemon(1, SIGSTOP);
        ck_assert_int_eq(pthread_create(&thread, NULL, subscribe_to_t, &r), 0);
        until_asked(b);
        make_up(&writer, "t", 2, true);
        ck_assert(b_has_one());
        signal_daemon(1, SIGCONT);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ck_assert_int_eq(r, -EACCES);
        set_policy(1, b, NULL);
}
END_TEST

START_TEST(numbers_may_begin_again) {
        PublicKey writer = { { 1 } };

        ok(p2pbus_subscribe(b, "*", P2PBUS_RETAINED, PATIENCE));
        make_up(&writer, "t", UINT64_MAX, true);
        ck_assert(b_has_one());
        make_up(&writer, "t", 0, true);
        ck_assert(b_has_one());
        make_up(&writer, "t", UINT64_MAX, true);
        ck_assert(!b_has_one());
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("bus topics off-host");
        TCase *tcase = tcase_create("two hosts");

        tcase_add_checked_fixture(tcase, two_hosts_start, two_hosts_stop);
        tcase_add_loop_test(tcase, the_first_message_after_subscribing_arrives, 0, 2);
        tcase_add_test(tcase, who_subscribes_as_soon_as_it_is_there_gets_the_first_message);
        tcase_add_test(tcase, who_wants_several_waits_once);
        tcase_add_test(tcase, who_wants_nothing_of_other_hosts_does_not_wait_for_them);
        tcase_add_test(tcase, a_host_that_does_not_answer_is_waited_for_once);
        tcase_add_test(tcase, another_life_of_a_reader_gets_the_first_message);
        tcase_add_test(tcase, another_life_of_a_reader_is_found_at_once);
        tcase_add_test(tcase, what_came_before_its_time_by_the_clock_of_its_reader_goes_again);
        tcase_add_test(tcase, what_is_kept_for_a_reader_that_is_new_is_bounded);
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
        tcase_add_test(tcase, who_comes_later_gets_what_is_retained_once);
        tcase_add_test(tcase, who_does_not_ask_gets_nothing_retained);
        tcase_add_test(tcase, what_was_ended_is_not_retained);
        tcase_add_test(tcase, what_another_process_of_the_user_replaces_is_not_retained);
        tcase_add_test(tcase, what_is_retained_beyond_the_bound_stays_here);
        tcase_add_test(tcase, a_topic_stays_asked_about_while_something_is_retained);
        tcase_add_test(tcase, what_policy_keeps_on_the_host_is_not_retained_elsewhere);
        tcase_add_test(tcase, what_is_replaced_as_soon_as_it_is_there_is_not_retained);
        tcase_add_test(tcase, what_another_thread_retains_later_stays);
        tcase_add_test(tcase, what_is_retained_is_not_in_front_of_what_came_before);
        tcase_add_test(tcase, what_is_retained_is_not_sent_again_when_a_topic_was_withdrawn);
        tcase_add_test(tcase, what_is_retained_leaves_room_to_what_is_published);
        tcase_add_test(tcase, what_is_retained_leaves_room_on_the_socket);
        tcase_add_test(tcase, what_finds_no_room_comes_when_there_is_some);
        tcase_add_test(tcase, what_found_no_room_was_not_heard);
        tcase_add_test(tcase, what_comes_before_the_answer_is_had_by_who_had_lost_the_pattern);
        tcase_add_test(tcase, what_writers_can_make_us_remember_is_bounded);
        tcase_add_test(tcase, numbers_may_begin_again);
        suite_add_tcase(suite, tcase);
        return suite;
}
