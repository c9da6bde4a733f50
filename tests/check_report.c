/* SPDX-License-Identifier: Apache-2.0 */

#include "libcore/report.h"

#include <string.h>

#include "libcore/util.h"
#include "tests/main.h"

#define HEAD "e85004f63798e2c0\tring\tyes\t"
#define TAIL "\t49152\t1200000\t262144\t196608\t8\t1000\t1\t64000\t1200\t250\t20\t10\t1\t2\t3\t1\t40\t"
#define LINE HEAD "3" TAIL "39\n"

static const Report good = {
        .peer = UINT64_C(0xe85004f63798e2c0),
        .path = REPORT_PATH_RING,
        .is_established = true,
        .queued_messages = 3,
        .queued_bytes = 49152,
        .waiting_usec = 1200000,
        .ring_size = 262144,
        .ring_out = 196608,
        .ring_in = 8,
        .messages_out = 1000,
        .messages_in = 1,
        .bytes_out = 64000,
        .bytes_in = 1200,
        .round_trip_usec = 250,
        .n_sent = 20,
        .n_delivered = 10,
        .n_refused = 1,
        .n_expired = 2,
        .n_cancelled = 3,
        .n_unknown = 1,
        .n_received = 40,
        .n_taken = 39,
};

static void expect_equal(const Report *x, const Report *y) {
        char line_x[REPORT_LINE_MAX], line_y[REPORT_LINE_MAX];

        (void)report_format(x, line_x);
        (void)report_format(y, line_y);
        ck_assert_str_eq(line_x, line_y);
}

START_TEST(a_line_has_each_field_in_its_place) {
        char line[REPORT_LINE_MAX];

        ck_assert_uint_eq(report_format(&good, line), strlen(LINE));
        ck_assert_str_eq(line, LINE);
}
END_TEST

START_TEST(what_was_written_is_read_again) {
        static const ReportPath paths[] = { REPORT_PATH_NONE, REPORT_PATH_DAEMON, REPORT_PATH_RING,
                                            REPORT_PATH_OFF_HOST };
        char text[2 * REPORT_LINE_MAX];
        size_t n, at = 0;
        Report r = good, again;

        r.path = paths[_i];
        r.is_established = _i % 2;
        r.ring_size = REPORT_NONE;
        r.queued_bytes = REPORT_NONE - 1; /* the largest number */
        n = report_format(&good, text);
        n += report_format(&r, text + n);
        memset(&again, 0, sizeof(again));
        ck_assert_int_eq(report_parse(text, n, &at, &again), 0);
        expect_equal(&again, &good);
        ck_assert_uint_eq(at, strlen(LINE));
        ck_assert_int_eq(report_parse(text, n, &at, &again), 0);
        expect_equal(&again, &r);
        ck_assert_uint_eq(at, n);
        ck_assert_int_eq(report_parse(text, n, &at, &again), REPORT_E_END);
}
END_TEST

START_TEST(the_longest_line_fits) {
        char line[REPORT_LINE_MAX];
        Report r;

        memset(&r, 0xff, sizeof(r));
        r.peer = good.peer;
        r.path = REPORT_PATH_OFF_HOST;
        r.is_established = true;
        for (uint64_t *number = &r.queued_messages; number <= &r.n_taken; number++)
                *number = UINT64_MAX - 1;
        ck_assert_uint_lt(report_format(&r, line), sizeof(line));
}
END_TEST

static void expect_refused(const char *text, size_t n, const char *what) {
        Report r = good;
        size_t at = 0;

        ck_assert_msg(report_parse(text, n, &at, &r) == REPORT_E_VIOLATION, "accepted: %s", what);
        ck_assert_uint_eq(at, 0);
        expect_equal(&r, &good);
}

START_TEST(a_short_line_is_refused_at_each_length) {
        char line[] = LINE;

        /* Cut off, with a newline or without; the last number may well be shorter. */
        for (size_t n = 1; n < strlen(LINE); n++)
                expect_refused(LINE, n, "no newline");
        for (size_t n = 0; n < strlen(LINE) - 4; n++) {
                memcpy(line, LINE, sizeof(line));
                line[n] = '\n';
                expect_refused(line, n + 1, line);
        }
}
END_TEST

static const struct {
        const char *what, *line;
} bad[] = {
        { "no hex digit", "e85004f63798e2cx\tring\tyes\t3" TAIL "-\n" },
        { "a tagged PID", "e85004f63798e2c0-27e87175\tring\tyes\t3" TAIL "-\n" },
        { "a reserved PID", "0000000000000001\tring\tyes\t3" TAIL "-\n" },
        { "no such path", "e85004f63798e2c0\tpost\tyes\t3" TAIL "-\n" },
        { "an escape sequence", "e85004f63798e2c0\t\033[31m\tyes\t3" TAIL "-\n" },
        { "neither yes nor no", "e85004f63798e2c0\tring\ty\t3" TAIL "-\n" },
        { "no number", HEAD "x" TAIL "-\n" },
        { "a number that ends badly", HEAD "3\033" TAIL "-\n" },
        { "a sign", HEAD "+3" TAIL "-\n" },
        { "less than nothing", HEAD "-3" TAIL "-\n" },
        { "an empty field", HEAD TAIL "-\n" },
        { "a blank", HEAD " 3" TAIL "-\n" },
        { "too large a number", HEAD "18446744073709551616" TAIL "-\n" },
        { "far too large a number", HEAD "99999999999999999999" TAIL "-\n" },
        { "too many digits", HEAD "000000000000000000003" TAIL "-\n" },
};

START_TEST(no_version_writes) {
        expect_refused(bad[_i].line, strlen(bad[_i].line), bad[_i].what);
}
END_TEST

START_TEST(what_is_past_has_nobody) {
        static const char text[] = "0000000000000000\tnone\tno\t0" TAIL "39\n";
        size_t at = 0;
        Report r = good;

        ck_assert_int_eq(report_parse(text, strlen(text), &at, &r), 0);
        ck_assert(r.peer == PID_NONE);
        ck_assert_uint_eq(r.n_taken, 39);
}
END_TEST

START_TEST(a_nul_is_no_end) {
        static const char in_pid[] = "e85004f6\0\0\0\0\0\0\0\0\tring\tyes\t3" TAIL "-\n";
        static const char in_number[] = HEAD "3\0" TAIL "-\n";

        expect_refused(in_pid, sizeof(in_pid) - 1, "in a PID");
        expect_refused(in_number, sizeof(in_number) - 1, "in a number");
}
END_TEST

START_TEST(fields_of_a_later_version_are_passed_over) {
        static const char text[] = HEAD "3" TAIL "39\tmore\t\n" LINE;
        size_t at = 0;
        Report r = { 0 };

        ck_assert_int_eq(report_parse(text, strlen(text), &at, &r), 0);
        expect_equal(&r, &good);
        ck_assert_uint_eq(at, strlen(text) - strlen(LINE));
        ck_assert_int_eq(report_parse(text, strlen(text), &at, &r), 0);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("report");
        TCase *lines = tcase_create("lines");

        tcase_add_test(lines, a_line_has_each_field_in_its_place);
        tcase_add_loop_test(lines, what_was_written_is_read_again, 0, _REPORT_PATH_MAX);
        tcase_add_test(lines, the_longest_line_fits);
        tcase_add_test(lines, a_short_line_is_refused_at_each_length);
        tcase_add_loop_test(lines, no_version_writes, 0, ELEMENTSOF(bad));
        tcase_add_test(lines, what_is_past_has_nobody);
        tcase_add_test(lines, a_nul_is_no_end);
        tcase_add_test(lines, fields_of_a_later_version_are_passed_over);
        suite_add_tcase(suite, lines);
        return suite;
}
