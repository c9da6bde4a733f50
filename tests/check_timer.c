/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/timer.h"
#include "tests/main.h"

#define N 500

static uint64_t seed = 1;

static uint64_t draw(uint64_t below) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        return (seed >> 33) % below;
}

START_TEST(timers_come_in_the_order_of_time) {
        static Timer all[N];
        Timers timers = { 0 };
        uint64_t last = 0;
        unsigned n = 0;

        ck_assert_uint_eq(timers_due(&timers), USEC_NEVER);
        ck_assert_ptr_null(timers_pop(&timers, USEC_NEVER - 1));
        for (unsigned i = 0; i < N; i++)
                ck_assert_int_eq(timer_set(&timers, &all[i], draw(1000)), 0);
        for (unsigned i = 0; i < N; i++) /* earlier, later, the same, not at all */
                ck_assert_int_eq(timer_set(&timers, &all[draw(N)],
                                           draw(10) == 0 ? USEC_NEVER : draw(1000)),
                                 0);
        for (unsigned i = 0; i < N; i++) {
                if (draw(5) == 0)
                        timer_clear(&timers, &all[i]);
                n += all[i].at > 0;
        }

        while (timers_due(&timers) != USEC_NEVER) {
                uint64_t due = timers_due(&timers);
                Timer *timer;

                ck_assert_uint_ge(due, last);
                if (due > 0)
                        ck_assert_ptr_null(timers_pop(&timers, due - 1));
                timer = timers_pop(&timers, due);
                ck_assert_ptr_nonnull(timer);
                ck_assert_uint_eq(timer->due_usec, due);
                ck_assert_uint_eq(timer->at, 0);
                timer_clear(&timers, timer); /* harmless */
                last = due;
                n--;
        }
        ck_assert_uint_eq(n, 0);
        timers_done(&timers);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("timer");
        TCase *tcase = tcase_create("timer");

        tcase_add_test(tcase, timers_come_in_the_order_of_time);
        suite_add_tcase(suite, tcase);
        return suite;
}
