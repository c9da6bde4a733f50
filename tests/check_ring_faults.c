/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rings of the library when somebody else is at fault: a daemon that stands still or says no, and
 * another side that lies. One fault each, and what still has to work.
 */

#include "config.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libclient/bell.h"
#include "tests/main.h"

/* Who rings faster than we read must not keep us reading. */
START_TEST(a_bell_that_never_ends_is_heard_one_read_at_a_time) {
        static const char strokes[4096];
        int fds[2], n;

        ck_assert_int_eq(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
        ck_assert_int_eq(write(fds[1], strokes, sizeof(strokes)), sizeof(strokes));
        ck_assert_int_eq(bell_hush(fds[0]), 0);
        ck_assert_int_eq(ioctl(fds[0], FIONREAD, &n), 0);
        ck_assert_int_gt(n, 0);
        close(fds[1]);
        for (unsigned i = 0; bell_hush(fds[0]) != BELL_E_GONE; i++)
                ck_assert_uint_lt(i, sizeof(strokes));
        close(fds[0]);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("ring-faults");
        TCase *bells = tcase_create("bells");

        tcase_add_test(bells, a_bell_that_never_ends_is_heard_one_read_at_a_time);
        suite_add_tcase(suite, bells);
        return suite;
}
