/* SPDX-License-Identifier: Apache-2.0 */

/* What a peer on another host refuses, and what others say that it does. */

#include "config.h"

#include "tests/api.h"
#include "tests/main.h"
#include "tests/two-hosts.h"

/* T68 */
START_TEST(false_nacks_end_nothing) {
        p2pbus_counters counters = { .struct_size = sizeof(counters) };
        unsigned n_open;
        Taker taker;

        wear_out(a, UINT64_MAX);
        taker_start(&taker);
        ask(0, 5);
        n_open = count_of(SEALED_OPEN);
        tell_middle('n');
        ask(5, 5);
        ok(p2pbus_get_counters(a, &counters));
        ck_assert_uint_ge(counters.bad_packets, 1000);
        ck_assert_uint_eq(count_of(SEALED_OPEN), n_open);
        taker_stop(&taker);
        ck_assert_uint_eq(taker.n, 10);
}
END_TEST

/* T68: b itself has signed them. */
START_TEST(an_old_nack_ends_nothing_and_one_of_now_an_epoch) {
        p2pbus_counters counters = { .struct_size = sizeof(counters) };
        unsigned n_open;
        Taker taker;

        wear_out(a, UINT64_MAX);
        taker_start(&taker);
        ask(0, 5);
        n_open = count_of(SEALED_OPEN);
        tell_middle('o');
        ask(5, 5);
        ok(p2pbus_get_counters(a, &counters));
        ck_assert_uint_eq(counters.bad_packets, 2);
        ck_assert_uint_eq(count_of(SEALED_OPEN), n_open);
        tell_middle('t');
        ask(10, 5);
        ck_assert_uint_gt(count_of(SEALED_OPEN), n_open);
        taker_stop(&taker);
        ck_assert_uint_eq(taker.n, 15);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("nacks");
        TCase *tcase = tcase_create("two hosts");

        tcase_add_checked_fixture(tcase, two_hosts_start, two_hosts_stop);
        tcase_add_test(tcase, false_nacks_end_nothing);
        tcase_add_test(tcase, an_old_nack_ends_nothing_and_one_of_now_an_epoch);
        suite_add_tcase(suite, tcase);
        return suite;
}
