/* SPDX-License-Identifier: Apache-2.0 */

/* What a program hears of who provides a name, on its host and on another: real daemons. */

#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/api.h"
#include "tests/main.h"
#include "tests/two-hosts.h"

#define NAME "test.watched"
#define OTHER "test.other"
#define PROVIDERS 3
#define STEP (SECOND / 100)

static Daemon d;
static p2pbus *w;            /* who watches */
static p2pbus *p[PROVIDERS]; /* who may provide */

static void start(void) {
        daemon_start(&d, "--user", NULL);
        w = api_open(&d, 0);
        for (unsigned i = 0; i < PROVIDERS; i++)
                p[i] = api_open(&d, 0);
}

static void stop(void) {
        w = p2pbus_unref(w);
        for (unsigned i = 0; i < PROVIDERS; i++)
                p[i] = p2pbus_unref(p[i]);
        daemon_stop(&d);
}

static void provide_as(p2pbus *bus, const char *name, uint16_t priority, uint32_t flags) {
        const p2pbus_service service = {
                .struct_size = sizeof(service),
                .priority = priority,
                .weight = 7,
                .flags = flags,
        };

        ok(p2pbus_provide(bus, name, &service, PATIENCE));
}

static void provide(p2pbus *bus, uint16_t priority) {
        provide_as(bus, NAME, priority, 0);
}

static void release(p2pbus *bus) {
        ok(p2pbus_release_name(bus, NAME, PATIENCE));
}

/* The daemon's answer comes behind all that it has said before. */
static void hear(p2pbus *bus) {
        char *text;

        ok(p2pbus_query(bus, P2PBUS_QUERY_STATUS, PATIENCE, &text));
        free(text);
}

static p2pbus_provider_change next(p2pbus *bus) {
        p2pbus_provider_change change = { .struct_size = sizeof(change) };
        int r;

        while ((r = p2pbus_next_provider_change(bus, &change)) == -EAGAIN)
                ok(p2pbus_wait(bus, PATIENCE));
        ok(r);
        return change;
}

static void expect(p2pbus *bus, int event, const char *full, unsigned priority) {
        p2pbus_provider_change change = next(bus);

        ck_assert_int_eq(change.event, event);
        ck_assert_str_eq(change.full, full);
        ck_assert_str_eq(change.name, NAME);
        ck_assert_uint_eq(change.priority, priority);
        ck_assert_uint_eq(change.weight, 7);
}

static void expect_here(p2pbus *provider, unsigned priority) {
        expect(w, P2PBUS_PROVIDER_HERE, p2pbus_get_full(provider), priority);
}

static void expect_changed(p2pbus *provider, unsigned priority) {
        expect(w, P2PBUS_PROVIDER_CHANGED, p2pbus_get_full(provider), priority);
}

static void expect_gone(p2pbus *provider, unsigned priority) {
        expect(w, P2PBUS_PROVIDER_GONE, p2pbus_get_full(provider), priority);
}

static void expect_nothing(void) {
        p2pbus_provider_change change = { .struct_size = sizeof(change) };

        hear(w);
        fails(p2pbus_next_provider_change(w, &change), -EAGAIN);
}

START_TEST(who_is_there_is_told_first_and_then_each_change) {
        p2pbus_provider_change change;

        provide(p[0], 10);
        ok(p2pbus_watch(w, NAME));
        change = next(w);
        ck_assert_int_eq(change.event, P2PBUS_PROVIDER_HERE);
        ck_assert_int_eq(change.remote, 0);
        ck_assert_uint_eq(change.flags, 0);
        ck_assert_str_eq(change.full, p2pbus_get_full(p[0]));
        for (unsigned i = 0; i < 2; i++) {
                provide(p[1], 20);
                expect_here(p[1], 20);
                provide(p[1], 30);
                expect_changed(p[1], 30);
                provide_as(p[1], NAME, 30, P2PBUS_SERVICE_DRAIN);
                change = next(w);
                ck_assert_int_eq(change.event, P2PBUS_PROVIDER_CHANGED);
                ck_assert_uint_eq(change.flags, P2PBUS_SERVICE_DRAIN);
                release(p[1]);
                expect_gone(p[1], 30);
        }
        provide(w, 40);
        expect_here(w, 40); /* itself, too */
        expect_nothing();
        p[0] = p2pbus_unref(p[0]);
        ck_assert_int_eq(next(w).event, P2PBUS_PROVIDER_GONE);
}
END_TEST

START_TEST(a_loop_that_watches_the_descriptor_is_woken) {
        struct pollfd fd = { .fd = p2pbus_get_fd(w), .events = (short)p2pbus_get_events(w) };
        p2pbus_provider_change change = { .struct_size = sizeof(change) };
        uint64_t usec;

        ok(p2pbus_watch(w, NAME));
        expect_nothing();
        while (p2pbus_process(w) > 0)
                ;
        ok(p2pbus_get_timeout(w, &usec));
        ck_assert_uint_gt(usec, 0);
        provide(p[0], 10);
        while (p2pbus_next_provider_change(w, &change) == -EAGAIN) {
                ck_assert_int_eq(poll(&fd, 1, EXPECT_MSEC), 1);
                ok(p2pbus_process(w));
        }
        ck_assert_int_eq(change.event, P2PBUS_PROVIDER_HERE);
}
END_TEST

START_TEST(who_does_not_look_is_told_only_how_it_is_then) {
        ok(p2pbus_watch(w, NAME));
        provide(p[0], 1);
        expect_here(p[0], 1);
        for (unsigned i = 0; i < 300; i++) {
                provide(p[1], 1); /* comes and goes: nothing */
                hear(w);
                release(p[1]);
                provide(p[0], (uint16_t)(i + 2));
                hear(w);
                provide(p[2], (uint16_t)(i + 2)); /* comes, in the end as the last said */
                hear(w);
        }
        expect_changed(p[0], 301);
        expect_here(p[2], 301);
        expect_nothing();
        release(p[0]);
        hear(w);
        provide(p[0], 301); /* is back as it was */
        hear(w);
        release(p[2]);
        expect_gone(p[2], 301);
        expect_nothing();
}
END_TEST

START_TEST(a_name_that_is_watched_twice_is_told_once) {
        p2pbus *v = w;

        provide(p[0], 10);
        ok(p2pbus_watch(w, NAME));
        ok(p2pbus_watch(w, NAME));
        expect_here(p[0], 10);
        ok(p2pbus_watch(w, NAME));
        expect_nothing();
        w = api_open(&d, 0); /* another handle has its own */
        ok(p2pbus_watch(w, NAME));
        expect_here(p[0], 10);
        release(p[0]);
        expect_gone(p[0], 10);
        p2pbus_unref(w);
        w = v;
        expect_gone(p[0], 10);
}
END_TEST

START_TEST(nothing_is_told_of_a_name_that_is_not_watched_any_more) {
        p2pbus_provider_change change;

        ok(p2pbus_watch(w, NAME));
        ok(p2pbus_watch(w, OTHER));
        provide(p[0], 10);
        expect_here(p[0], 10);
        provide(p[1], 10);
        release(p[0]);
        provide_as(p[2], OTHER, 10, 0);
        hear(w); /* that one has come and one gone waits to be told */
        ok(p2pbus_unwatch(w, NAME));
        change = next(w);
        ck_assert_str_eq(change.name, OTHER);
        provide(p[0], 20);
        expect_nothing();
        fails(p2pbus_unwatch(w, NAME), -ENXIO);
        ok(p2pbus_watch(w, NAME));
        expect_here(p[1], 10);
        expect_here(p[0], 20);
        expect_nothing();
}
END_TEST

START_TEST(a_name_that_is_sent_to_can_be_watched) {
        p2pbus_message *m;

        provide(p[0], 10);
        for (unsigned i = 0; i < 3; i++) {
                ok(p2pbus_message_new(&m, "x", 1));
                ok(p2pbus_send(w, NAME, m, PATIENCE, NULL));
                p2pbus_message_unref(m);
                while (p2pbus_receive(p[0], 0, &m) == -EAGAIN) {
                        ok(p2pbus_process(w));
                        ok(p2pbus_wait(p[0], STEP));
                }
                p2pbus_message_unref(m);
                ok(p2pbus_process(p[0]));
                if (i == 0) {
                        ok(p2pbus_watch(w, NAME));
                        expect_here(p[0], 10); /* it was known already */
                } else if (i == 1)
                        ok(p2pbus_unwatch(w, NAME));
        }
        expect_nothing();
}
END_TEST

START_TEST(who_comes_back_to_a_new_daemon_was_not_gone) {
        provide(p[0], 10);
        provide(p[1], 20);
        provide(p[2], 30);
        ok(p2pbus_watch(w, NAME));
        expect_here(p[0], 10);
        expect_here(p[1], 20);
        expect_here(p[2], 30);
        daemon_end(&d);
        daemon_restart(&d, "--user");
        hear(w); /* it is the first that is back */
        expect_nothing();
        hear(p[0]);
        p[1] = p2pbus_unref(p[1]);
        provide(p[2], 40);
        expect_changed(p[2], 40);
        /* Of the other it is known when all have had the time to come back. */
        ck_assert_int_eq(next(w).event, P2PBUS_PROVIDER_GONE);
        expect_nothing();
        release(p[0]);
        expect_gone(p[0], 10);
}
END_TEST

START_TEST(over_its_limit_a_name_is_asked_for_now_and_then) {
        if (geteuid() != 0) {
                printf("# SKIP limits of watches: needs root\n");
                return;
        }
        daemon_start(&d, "--system", "[Limits]\nSubscriptions=0\n");
        w = api_open(&d, 0);
        p[0] = api_open(&d, 0);
        provide(p[0], 10);
        ok(p2pbus_watch(w, NAME));
        expect_here(p[0], 10);
        release(p[0]);
        expect_nothing(); /* nobody says so, */
        expect_gone(p[0], 10);
        stop();
}
END_TEST

START_TEST(what_makes_no_sense_is_refused) {
        p2pbus_provider_change change = { .struct_size = sizeof(change) };

        fails(p2pbus_watch(w, NULL), -EINVAL);
        fails(p2pbus_watch(w, "nodot"), -EINVAL);
        fails(p2pbus_watch(w, p2pbus_get_full(p[0])), -EINVAL);
        fails(p2pbus_unwatch(w, "nodot"), -EINVAL);
        fails(p2pbus_unwatch(w, NAME), -ENXIO);
        change.struct_size--;
        fails(p2pbus_next_provider_change(w, &change), -EINVAL);
        fails(p2pbus_next_provider_change(w, NULL), -EINVAL);
        ok(p2pbus_watch(w, NAME));
        p2pbus_close(w);
        fails(p2pbus_watch(w, OTHER), -ENOTCONN);
        ok(p2pbus_unwatch(w, NAME));
}
END_TEST

/* On two hosts: a watches, and b provides there. */

static void provide_far(uint16_t priority) {
        provide(b, priority);
        until_said(1, b, 1);
}

static void expect_far(int event, unsigned priority) {
        p2pbus_provider_change change = next(a);

        ck_assert_int_eq(change.event, event);
        ck_assert_int_eq(change.remote, 1);
        ck_assert_str_eq(change.full, p2pbus_get_full(b));
        ck_assert_uint_eq(change.priority, priority);
}

START_TEST(who_may_go_to_other_hosts_sees_who_provides_there) {
        p2pbus_provider_change change = { .struct_size = sizeof(change) };

        ok(p2pbus_watch(a, NAME));
        ok(p2pbus_watch(home, NAME));
        provide_far(10);
        expect_far(P2PBUS_PROVIDER_HERE, 10);
        provide(home, 20);
        change = next(a);
        ck_assert_int_eq(change.remote, 0);
        ck_assert_str_eq(change.full, p2pbus_get_full(home));
        ck_assert_str_eq(next(home).full, p2pbus_get_full(home));
        provide(b, 30);
        ok(p2pbus_process(b));
        expect_far(P2PBUS_PROVIDER_CHANGED, 30);
        hear(home);
        fails(p2pbus_next_provider_change(home, &change), -EAGAIN);
}
END_TEST

/* The daemon knows of nobody then, but cannot say yet that nobody is there. */
START_TEST(who_is_not_believed_any_more_is_gone) {
        char config[128];

        provide_far(10);
        ok(p2pbus_watch(a, NAME));
        expect_far(P2PBUS_PROVIDER_HERE, 10);
        (void)snprintf(config, sizeof(config), "[Names]\nPin=%s %s\n", NAME, p2pbus_get_full(a));
        daemon_configure(&middle.ends[0].d, config);
        ok(p2pbus_reload(home, PATIENCE));
        expect_far(P2PBUS_PROVIDER_GONE, 10);
        daemon_configure(&middle.ends[0].d, "[Names]\nTrustNames=any\n");
        ok(p2pbus_reload(home, PATIENCE));
        expect_far(P2PBUS_PROVIDER_HERE, 10);
}
END_TEST

/* Loop: nobody asks; or a message waits, and the daemon has asked other hosts once more. */
START_TEST(who_is_gone_is_not_here_again_because_another_came) {
        p2pbus_provider_change change = { .struct_size = sizeof(change) };
        char config[128];
        p2pbus_message *m;

        provide_far(10);
        ok(p2pbus_watch(a, NAME));
        expect_far(P2PBUS_PROVIDER_HERE, 10);
        (void)snprintf(config, sizeof(config), "[Names]\nPin=%s %s\n", NAME, p2pbus_get_full(a));
        __atomic_store_n(&middle.settles, true, __ATOMIC_RELEASE);
        daemon_configure(&middle.ends[0].d, config);
        ok(p2pbus_reload(home, PATIENCE));
        expect_far(P2PBUS_PROVIDER_GONE, 10);
        if (_i) {
                unsigned n = __atomic_load_n(&middle.n_named, __ATOMIC_ACQUIRE);

                ok(p2pbus_message_new(&m, "x", 1));
                ok(p2pbus_send(a, NAME, m, PATIENCE, NULL));
                p2pbus_message_unref(m);
                while (__atomic_load_n(&middle.n_named, __ATOMIC_ACQUIRE) == n)
                        (void)p2pbus_wait(a, STEP);
        }
        provide(home, 20);
        ck_assert_str_eq(next(a).full, p2pbus_get_full(home));
        hear(a);
        fails(p2pbus_next_provider_change(a, &change), -EAGAIN);
}
END_TEST

/* Its record from there is still believed. */
START_TEST(who_comes_to_this_host_is_told_to_be_here) {
        p2pbus_provider_change change = { .struct_size = sizeof(change) };
        p2pbus *moved;

        provide_far(10);
        ok(p2pbus_watch(a, NAME));
        expect_far(P2PBUS_PROVIDER_HERE, 10);
        moved = open_as(0, 0, key_of_b);
        provide(moved, 10);
        hear(a);
        ok(p2pbus_next_provider_change(a, &change));
        ck_assert_int_eq(change.event, P2PBUS_PROVIDER_GONE);
        ck_assert_int_eq(change.remote, 1);
        ok(p2pbus_next_provider_change(a, &change));
        ck_assert_int_eq(change.event, P2PBUS_PROVIDER_HERE);
        ck_assert_int_eq(change.remote, 0);
        p2pbus_unref(moved);
}
END_TEST

START_TEST(who_loses_other_hosts_sees_nobody_there_until_they_are_given_back) {
        provide_far(10);
        ok(p2pbus_watch(a, NAME));
        expect_far(P2PBUS_PROVIDER_HERE, 10);
        provide(home, 20); /* who stays */
        ck_assert_str_eq(next(a).full, p2pbus_get_full(home));
        set_policy(0, home, "[Network]\nPublish=no\n");
        expect_far(P2PBUS_PROVIDER_GONE, 10);
        set_policy(0, home, NULL);
        expect_far(P2PBUS_PROVIDER_HERE, 10);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("provider_watch");
        TCase *one = tcase_create("one host"), *limit = tcase_create("limit");
        TCase *two = tcase_create("two hosts");

        tcase_add_checked_fixture(one, start, stop);
        tcase_add_test(one, who_is_there_is_told_first_and_then_each_change);
        tcase_add_test(one, a_loop_that_watches_the_descriptor_is_woken);
        tcase_add_test(one, who_does_not_look_is_told_only_how_it_is_then);
        tcase_add_test(one, a_name_that_is_watched_twice_is_told_once);
        tcase_add_test(one, nothing_is_told_of_a_name_that_is_not_watched_any_more);
        tcase_add_test(one, a_name_that_is_sent_to_can_be_watched);
        tcase_add_test(one, who_comes_back_to_a_new_daemon_was_not_gone);
        tcase_add_test(one, what_makes_no_sense_is_refused);
        suite_add_tcase(suite, one);
        tcase_add_test(limit, over_its_limit_a_name_is_asked_for_now_and_then);
        suite_add_tcase(suite, limit);
        tcase_add_checked_fixture(two, two_hosts_start_for_names, two_hosts_stop);
        tcase_add_test(two, who_may_go_to_other_hosts_sees_who_provides_there);
        tcase_add_test(two, who_is_not_believed_any_more_is_gone);
        tcase_add_loop_test(two, who_is_gone_is_not_here_again_because_another_came, 0, 2);
        tcase_add_test(two, who_comes_to_this_host_is_told_to_be_here);
        tcase_add_test(two, who_loses_other_hosts_sees_nobody_there_until_they_are_given_back);
        suite_add_tcase(suite, two);
        return suite;
}
