/* SPDX-License-Identifier: Apache-2.0 */

#include "libcore/log.h"

#include <stdio.h>
#include <sys/stat.h>

#include "tests/main.h"

static char entry[4096];

static int keep(const struct iovec *iov, int n_iov) {
        char *at = entry;

        for (int i = 0; i < n_iov; i++) {
                memcpy(at, iov[i].iov_base, iov[i].iov_len);
                at += iov[i].iov_len;
                *at++ = '\n';
        }
        *at = '\0';
        return 0;
}

/* What @log writes to stderr, without the journal. */
static void capture(const Log *log, LogLevel level, const LogFields *fields, const char *text,
                    char *out, size_t n_out) {
        int ends[2], saved = dup(STDERR_FILENO);
        ssize_t n;

        ck_assert_int_eq(pipe(ends), 0);
        ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
        log_write(log, level, fields, "%s", text);
        ck_assert_int_ge(dup2(saved, STDERR_FILENO), 0);
        close(ends[1]);
        n = read(ends[0], out, n_out - 1);
        ck_assert_int_ge(n, 0);
        out[n] = '\0';
        close(ends[0]);
        close(saved);
}

START_TEST(an_event_is_one_journal_entry) {
        uint32_t uid = 1000;
        Log log = { .program = "p2pbusd", .level = LOG_LEVEL_INFO, .sink = keep };
        LogFields fields = { .peer = "e85004f63798e2c0", .uid = &uid, .reason = "violation" };

        log_write(&log, LOG_LEVEL_WARNING, &fields, "frame type %d", 9);
        ck_assert_str_eq(entry, "MESSAGE=frame type 9\nPRIORITY=4\nSYSLOG_IDENTIFIER=p2pbusd\n"
                                "P2PBUS_PEER=e85004f63798e2c0\nP2PBUS_REASON=violation\n"
                                "P2PBUS_UID=1000\n");
        log_write(&log, LOG_LEVEL_INFO, NULL, "x");
        ck_assert_str_eq(entry, "MESSAGE=x\nPRIORITY=6\nSYSLOG_IDENTIFIER=p2pbusd\n");
        log_write(&log, LOG_LEVEL_DEBUG, NULL, "too fine");
        ck_assert_str_eq(entry, "MESSAGE=x\nPRIORITY=6\nSYSLOG_IDENTIFIER=p2pbusd\n");
}
END_TEST

START_TEST(an_event_is_one_line) {
        uint32_t uid = 0;
        Log log = { .program = "p2pbusd", .level = LOG_LEVEL_INFO };
        LogFields fields = { .peer = "e85004f63798e2c0", .uid = &uid, .reason = "violation" };
        char line[8192], text[5000];

        capture(&log, LOG_LEVEL_WARNING, &fields, "closed", line, sizeof(line));
        ck_assert_str_eq(line, "p2pbusd: closed peer=e85004f63798e2c0 uid=0 reason=violation\n");

        /* However long, it is cut off, not dropped, and ends in its newline. */
        memset(text, 'x', sizeof(text));
        text[sizeof(text) - 1] = '\0';
        capture(&log, LOG_LEVEL_WARNING, NULL, text, line, sizeof(line));
        ck_assert_uint_gt(strlen(line), 900);
        ck_assert_int_eq(line[strlen(line) - 1], '\n');
}
END_TEST

START_TEST(the_journal_is_used_only_if_stderr_is_it) {
        char stream[64];
        struct stat st;
        Log log;

        ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
        unsetenv("JOURNAL_STREAM");
        log_init(&log, "x", keep);
        ck_assert(log.sink == NULL);
        (void)snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
                       (unsigned long long)st.st_ino + 1);
        setenv("JOURNAL_STREAM", stream, 1);
        log_init(&log, "x", keep);
        ck_assert(log.sink == NULL);
        (void)snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
                       (unsigned long long)st.st_ino);
        setenv("JOURNAL_STREAM", stream, 1);
        log_init(&log, "x", keep);
        ck_assert(log.sink == keep);
}
END_TEST

START_TEST(the_level_comes_from_the_environment) {
        Log log;

        setenv("P2PBUS_LOG", "debug", 1);
        log_init(&log, "x", NULL);
        ck_assert_int_eq(log.level, LOG_LEVEL_DEBUG);
        setenv("P2PBUS_LOG", "nonsense", 1);
        log_init(&log, "x", NULL);
        ck_assert_int_eq(log.level, LOG_LEVEL_INFO);
}
END_TEST

START_TEST(ten_lines_then_one_a_minute_and_the_rest_is_counted) {
        LogRate rate = { 0 };
        uint64_t now = 12345;
        uint32_t n;

        for (unsigned i = 0; i < LOG_RATE_BURST; i++) {
                ck_assert(log_rate_pass(&rate, now, &n));
                ck_assert_uint_eq(n, 0);
        }
        for (unsigned i = 0; i < 5; i++)
                ck_assert(!log_rate_pass(&rate, now + i, &n));
        ck_assert(!log_rate_pass(&rate, now + LOG_RATE_USEC - 1, &n));
        ck_assert(log_rate_pass(&rate, now + LOG_RATE_USEC, &n));
        ck_assert_uint_eq(n, 6);
        ck_assert(!log_rate_pass(&rate, now + LOG_RATE_USEC, &n));
        /* After an hour all ten are there again, not sixty. */
        now += 60 * LOG_RATE_USEC;
        for (unsigned i = 0; i < LOG_RATE_BURST; i++)
                ck_assert(log_rate_pass(&rate, now, &n));
        ck_assert(!log_rate_pass(&rate, now, &n));
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("log");
        TCase *tcase = tcase_create("log");

        tcase_add_test(tcase, an_event_is_one_journal_entry);
        tcase_add_test(tcase, an_event_is_one_line);
        tcase_add_test(tcase, the_journal_is_used_only_if_stderr_is_it);
        tcase_add_test(tcase, the_level_comes_from_the_environment);
        tcase_add_test(tcase, ten_lines_then_one_a_minute_and_the_rest_is_counted);
        suite_add_tcase(suite, tcase);
        return suite;
}
