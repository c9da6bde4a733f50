/* SPDX-License-Identifier: Apache-2.0 */

/* With whom on other hosts policy lets a process talk. */

#include "config.h"

#include <stdio.h>

#include "tests/api.h"
#include "tests/main.h"
#include "tests/two-hosts.h"

START_TEST(who_may_not_be_sent_to_gets_nothing_but_answers) {
        unsigned n = __atomic_load_n(&middle.n_sealed, __ATOMIC_RELAXED);

        set_policy(0, a, "[Network]\nSend=none\nSend=pinned name:com.example.*\n");
        expect_denied(a, p2pbus_get_full(b));
        ck_assert_ptr_nonnull(strstr(p2pbus_get_explanation(), "[Network] Send="));
        expect_denied(a, p2pbus_get_pid(b)); /* nor is it pinned by being asked for */
        expect_denied(a, p2pbus_get_pid(b));
        ck_assert_uint_eq(__atomic_load_n(&middle.n_sealed, __ATOMIC_RELAXED), n);

        ask_and_be_answered(b, a);
        expect_denied(a, p2pbus_get_full(b));
        set_policy(0, a, NULL);
        ask_and_be_answered(a, b);
}
END_TEST

/* As an error that was said of a path of before, and is late. */
START_TEST(what_is_said_of_another_packet_ends_no_first_contact) {
        set_mischief(MISCHIEF_ACCUSE);
        ask_and_be_answered(a, b);
}
END_TEST

START_TEST(who_is_not_to_be_heard_is_told) {
        p2pbus *other = open_at(0, P2PBUS_OFF_HOST);
        char text[256];

        (void)snprintf(text, sizeof(text), "[Network]\nReceiveFrom=none\nReceiveFrom=key:%s\n",
                       p2pbus_get_full(a));
        set_policy(1, b, text);
        ok(p2pbus_wait_reachable(other, PATIENCE));
        be_refused(other, b);
        ck_assert_ptr_nonnull(strstr(p2pbus_get_explanation(), "host's log has the rule"));
        ask_and_be_answered(a, b);
        /* Whom one may send to may answer, and no more. */
        ask_and_be_answered(b, other);
        be_refused(other, b);
        p2pbus_unref(other);
}
END_TEST

/* How often the log of b's host has that b refused @who, by line @line of the policy. */
static unsigned times_logged(p2pbus *who, unsigned line) {
        char text[256], rule[64];
        unsigned n = 0;
        char *said = daemon_said(&middle.ends[1].d), *next = said, *found;

        (void)snprintf(text, sizeof(text), "may not receive from %s-", p2pbus_get_pid(who));
        (void)snprintf(rule, sizeof(rule), "50-test.policy:%u: [Network] ReceiveFrom=", line);
        while ((found = strsep(&next, "\n")) != NULL)
                n += strstr(found, text) && strstr(found, rule);
        free(said);
        return n;
}

START_TEST(its_host_logs_who_was_not_heard_by_which_line) {
        p2pbus *other[CONTROL_UNHEARD_MAX];

        set_policy(1, b, "[Network]\nReceiveFrom=none\n");
        be_refused(a, b);
        ck_assert_uint_eq(times_logged(a, 2), 1);
        be_refused(a, b);
        ck_assert_uint_eq(times_logged(a, 2), 1);
        for (unsigned i = 0; i < CONTROL_UNHEARD_MAX; i++) {
                other[i] = open_at(0, P2PBUS_OFF_HOST);
                ok(p2pbus_wait_reachable(other[i], PATIENCE));
                be_refused(other[i], b);
                ck_assert_uint_eq(times_logged(other[i], 2), i + 1 < CONTROL_UNHEARD_MAX);
        }
        /* Of another policy it is news again. */
        set_policy(1, b, "[Network]\nSend=any\nReceiveFrom=none\n");
        be_refused(a, b);
        ck_assert_uint_eq(times_logged(a, 3), 1);
        for (unsigned i = 0; i < CONTROL_UNHEARD_MAX; i++)
                p2pbus_unref(other[i]);
}
END_TEST

START_TEST(a_new_policy_ends_a_conversation) {
        ask_and_be_answered(a, b);
        ask_and_be_answered(a, b);
        set_policy(1, b, "[Network]\nReceiveFrom=none\nSend=none\nSend=name:com.example.*\n");
        be_refused(a, b);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("bus network");
        TCase *tcase = tcase_create("two hosts");

        tcase_add_checked_fixture(tcase, two_hosts_start, two_hosts_stop);
        tcase_add_test(tcase, who_may_not_be_sent_to_gets_nothing_but_answers);
        tcase_add_test(tcase, what_is_said_of_another_packet_ends_no_first_contact);
        tcase_add_test(tcase, who_is_not_to_be_heard_is_told);
        tcase_add_test(tcase, its_host_logs_who_was_not_heard_by_which_line);
        tcase_add_test(tcase, a_new_policy_ends_a_conversation);
        suite_add_tcase(suite, tcase);
        return suite;
}
