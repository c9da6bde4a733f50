/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/backoff.h"
#include "bridge/heartbeat.h"
#include "bridge/suspend.h"

#include "tests/main.h"

#define T UINT64_C(1000000000)
#define I (5 * USEC_PER_SEC)

START_TEST(backoff_doubles_up_to_its_greatest) {
        static const uint64_t spans[] = { 100, 200, 400, 800, 1000, 1000 };
        Backoff b = { .least_usec = 100, .greatest_usec = 1000 };

        for (unsigned i = 0; i < ELEMENTSOF(spans); i++)
                ck_assert_uint_eq(backoff_fail(&b, 0), spans[i]);
        backoff_reset(&b);
        ck_assert_uint_eq(backoff_fail(&b, 0), 100);
}
END_TEST

START_TEST(backoff_is_drawn_from_the_upper_half) {
        uint64_t least = UINT64_MAX, greatest = 0;

        for (uint64_t random = 0; random < 1000; random++) {
                Backoff b = { .least_usec = 100, .greatest_usec = 1000 };
                uint64_t wait = backoff_fail(&b, random * 7919);

                least = MIN(least, wait);
                greatest = MAX(greatest, wait);
        }
        ck_assert_uint_eq(least, 50);
        ck_assert_uint_eq(greatest, 100);
}
END_TEST

START_TEST(the_worst_is_the_longest_wait_at_once) {
        Backoff b = { .least_usec = 100, .greatest_usec = 1000 };

        backoff_worst(&b);
        ck_assert_uint_eq(backoff_fail(&b, 0), 1000);
}
END_TEST

START_TEST(the_first_ping_is_due_at_once_then_every_interval) {
        Heartbeat h = { 0 };
        uint64_t n = 0;

        heartbeat_start(&h, I, T);
        ck_assert_uint_le(heartbeat_deadline(&h), T);
        ck_assert_int_eq(heartbeat_check(&h, T, &n), HEARTBEAT_PING);
        ck_assert_uint_eq(n, 1);
        ck_assert_int_eq(heartbeat_check(&h, T + 1, &n), HEARTBEAT_WAIT);
        heartbeat_heard(&h, T + 40000);
        heartbeat_pong(&h, 1, T + 40000);
        ck_assert_uint_eq(heartbeat_deadline(&h), T + I);
        ck_assert_int_eq(heartbeat_check(&h, T + I - 1, &n), HEARTBEAT_WAIT);
        ck_assert_int_eq(heartbeat_check(&h, T + I, &n), HEARTBEAT_PING);
        ck_assert_uint_eq(n, 2);
}
END_TEST

START_TEST(silence_of_two_intervals_is_death) {
        Heartbeat h = { 0 };
        uint64_t n;

        heartbeat_start(&h, I, T);
        ck_assert_int_eq(heartbeat_check(&h, T, &n), HEARTBEAT_PING);
        ck_assert_int_eq(heartbeat_check(&h, T + I, &n), HEARTBEAT_PING);
        ck_assert_int_eq(heartbeat_check(&h, T + 2 * I - 1, &n), HEARTBEAT_WAIT);
        ck_assert_uint_eq(heartbeat_deadline(&h), T + 2 * I);
        ck_assert_int_eq(heartbeat_check(&h, T + 2 * I, &n), HEARTBEAT_DEAD);
}
END_TEST

START_TEST(anything_heard_keeps_it_alive) {
        Heartbeat h = { 0 };
        uint64_t n, t = T;

        heartbeat_start(&h, I, t);
        for (unsigned i = 0; i < 20; i++) {
                ck_assert_int_eq(heartbeat_check(&h, t, &n), HEARTBEAT_PING);
                heartbeat_heard(&h, t + I - 1);
                t += I;
        }
}
END_TEST

START_TEST(who_slept_asks_once_more) {
        Heartbeat h = { 0 };
        uint64_t n, later = T + UINT64_C(3600) * USEC_PER_SEC;

        heartbeat_start(&h, I, T);
        ck_assert_int_eq(heartbeat_check(&h, T, &n), HEARTBEAT_PING);
        ck_assert_int_eq(heartbeat_check(&h, later, &n), HEARTBEAT_PING);
        ck_assert_int_eq(heartbeat_check(&h, later + I - 1, &n), HEARTBEAT_WAIT);
        ck_assert_int_eq(heartbeat_check(&h, later + I, &n), HEARTBEAT_DEAD);
}
END_TEST

START_TEST(who_is_doubted_is_asked_at_once) {
        Heartbeat h = { 0 };
        uint64_t n;

        heartbeat_start(&h, I, T);
        ck_assert_int_eq(heartbeat_check(&h, T, &n), HEARTBEAT_PING);
        heartbeat_heard(&h, T + 10);
        heartbeat_doubt(&h, T + 20);
        ck_assert_uint_le(heartbeat_deadline(&h), T + 20);
        ck_assert_int_eq(heartbeat_check(&h, T + 20, &n), HEARTBEAT_PING);
        ck_assert_uint_eq(n, 2);
        ck_assert_int_eq(heartbeat_check(&h, T + 20 + I - 1, &n), HEARTBEAT_WAIT);
        ck_assert_int_eq(heartbeat_check(&h, T + 20 + I, &n), HEARTBEAT_DEAD);
}
END_TEST

START_TEST(sleep_is_what_one_clock_counts_and_the_other_does_not) {
        uint64_t offset = 0;

        ck_assert_uint_eq(suspend_measure(&offset, T + 5 * I, T), 0); /* before we were there */
        ck_assert_uint_eq(suspend_measure(&offset, T + 6 * I, T + I), 0);
        ck_assert_uint_eq(suspend_measure(&offset, T + 9 * I, T + I), 3 * I);
        ck_assert_uint_eq(suspend_measure(&offset, T + 9 * I, T + I), 0);
        ck_assert_uint_eq(suspend_measure(&offset, T + 9 * I + SUSPEND_LEAST_USEC - 1, T + I), 0);

        offset = 0; /* a machine that never slept */
        ck_assert_uint_eq(suspend_measure(&offset, T, T + 1), 0);
        ck_assert_uint_eq(suspend_measure(&offset, T + 2 * I, T + I), I);
}
END_TEST

START_TEST(a_slow_network_is_not_dead) {
        Heartbeat h = { 0 };
        uint64_t n, t = T;

        heartbeat_start(&h, I, T);
        heartbeat_moved(&h, 1000, 5000, t); /* the PING will stand behind these */
        ck_assert_int_eq(heartbeat_check(&h, t, &n), HEARTBEAT_PING);
        for (unsigned i = 1; i <= 4; i++) {
                t += I;
                heartbeat_moved(&h, 1000 + i * 1000, 9000, t);
                ck_assert_int_eq(heartbeat_check(&h, t, &n), HEARTBEAT_PING);
        }
        t += I; /* the first PING has arrived, and was not answered */
        heartbeat_moved(&h, 6000, 9000, t);
        ck_assert_int_eq(heartbeat_check(&h, t, &n), HEARTBEAT_DEAD);
}
END_TEST

START_TEST(a_network_that_moves_nothing_is_dead) {
        Heartbeat h = { 0 };
        uint64_t n;

        heartbeat_start(&h, I, T);
        heartbeat_moved(&h, 1000, 5000, T);
        ck_assert_int_eq(heartbeat_check(&h, T, &n), HEARTBEAT_PING);
        heartbeat_moved(&h, 1000, 5100, T + I);
        ck_assert_int_eq(heartbeat_check(&h, T + I, &n), HEARTBEAT_PING);
        heartbeat_moved(&h, 1000, 5200, T + 2 * I);
        ck_assert_int_eq(heartbeat_check(&h, T + 2 * I, &n), HEARTBEAT_DEAD);
}
END_TEST

START_TEST(the_round_trip_is_measured_and_smoothed) {
        Heartbeat h = { 0 };
        uint64_t n;

        heartbeat_start(&h, I, T);
        ck_assert_uint_eq(h.round_trip_usec, 0);
        ck_assert_int_eq(heartbeat_check(&h, T, &n), HEARTBEAT_PING);
        heartbeat_pong(&h, n + 1, T + 10); /* to nothing we asked */
        ck_assert_uint_eq(h.round_trip_usec, 0);
        heartbeat_heard(&h, T + 8000);
        heartbeat_pong(&h, n, T + 8000);
        ck_assert_uint_eq(h.round_trip_usec, 8000);
        heartbeat_pong(&h, n, T + 90000); /* the same once more */
        ck_assert_uint_eq(h.round_trip_usec, 8000);

        ck_assert_int_eq(heartbeat_check(&h, T + I, &n), HEARTBEAT_PING);
        heartbeat_pong(&h, n, T + I + 16000);
        ck_assert_uint_eq(h.round_trip_usec, 9000);
}
END_TEST

START_TEST(an_answer_of_the_life_before_does_not_fit) {
        Heartbeat h = { 0 };
        uint64_t before, n;

        heartbeat_start(&h, I, T);
        ck_assert_int_eq(heartbeat_check(&h, T, &before), HEARTBEAT_PING);
        heartbeat_start(&h, I, T + 10);
        ck_assert_int_eq(heartbeat_check(&h, T + 10, &n), HEARTBEAT_PING);
        heartbeat_pong(&h, before, T + 20);
        ck_assert_uint_eq(h.round_trip_usec, 0);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("bridge timing");
        TCase *backoff = tcase_create("backoff");
        TCase *heartbeat = tcase_create("heartbeat");

        tcase_add_test(backoff, backoff_doubles_up_to_its_greatest);
        tcase_add_test(backoff, backoff_is_drawn_from_the_upper_half);
        tcase_add_test(backoff, the_worst_is_the_longest_wait_at_once);
        suite_add_tcase(suite, backoff);

        tcase_add_test(heartbeat, the_first_ping_is_due_at_once_then_every_interval);
        tcase_add_test(heartbeat, silence_of_two_intervals_is_death);
        tcase_add_test(heartbeat, anything_heard_keeps_it_alive);
        tcase_add_test(heartbeat, who_slept_asks_once_more);
        tcase_add_test(heartbeat, who_is_doubted_is_asked_at_once);
        tcase_add_test(heartbeat, sleep_is_what_one_clock_counts_and_the_other_does_not);
        tcase_add_test(heartbeat, a_slow_network_is_not_dead);
        tcase_add_test(heartbeat, a_network_that_moves_nothing_is_dead);
        tcase_add_test(heartbeat, the_round_trip_is_measured_and_smoothed);
        tcase_add_test(heartbeat, an_answer_of_the_life_before_does_not_fit);
        suite_add_tcase(suite, heartbeat);
        return suite;
}
