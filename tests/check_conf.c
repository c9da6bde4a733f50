/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libcore/conf.h"

#include <stdio.h>
#include <sys/stat.h>

#include "libcore/util.h"
#include "tests/main.h"

typedef struct Target {
        bool flag;
        uint64_t number, size, time;
        char *text;
        char **list;
} Target;

static const ConfOption options[] = {
        { "Bus", "Flag", conf_parse_bool, offsetof(Target, flag), 0, 0 },
        { "Bus", "Number", conf_parse_number, offsetof(Target, number), 1, 100 },
        { "Limits", "Size", conf_parse_size, offsetof(Target, size), 0, 0 },
        { "Limits", "Time", conf_parse_time, offsetof(Target, time), 0, 0 },
        { "Bus", "Text", conf_parse_text, offsetof(Target, text), 0, 0 },
        { "Bus", "List", conf_parse_list, offsetof(Target, list), 0, 0 },
};

static int read_text(const char *text, Target *t, ConfError *error) {
        return conf_read(text, strlen(text), "x.conf", options, ELEMENTSOF(options), t, error);
}

START_TEST(what_is_written_reads_the_same) {
        static const char said[] = "[Bus]\nFlag=yes\nNumber=42\n\n"
                                   "[Limits]\nSize=1536K\nTime=90s\n\n"
                                   "[Bus]\nText=a b; c # d\nList=one two\n";
        static const char none[] = "[Bus]\nFlag=no\nNumber=0\n\n"
                                   "[Limits]\nSize=0\nTime=0\n\n"
                                   "[Bus]\nText=\nList=\n";
        Target t = { .flag = false };
        ConfError error;

        for (unsigned i = 0; i < 2; i++) {
                _cleanup_(freep) char *text = NULL;
                size_t n;
                FILE *out = open_memstream(&text, &n);

                ck_assert_ptr_nonnull(out);
                if (i > 0)
                        ck_assert_int_eq(read_text(said, &t, &error), 0);
                conf_write(out, options, ELEMENTSOF(options), &t);
                ck_assert_int_eq(fclose(out), 0);
                ck_assert_str_eq(text, i > 0 ? said : none);
        }
        conf_done(options, ELEMENTSOF(options), &t);
}
END_TEST

START_TEST(every_type_is_read) {
        Target t = { .flag = false };
        ConfError error;

        ck_assert_int_eq(read_text("# a comment\n"
                                   "; another\n"
                                   "\n"
                                   "[Bus]\n"
                                   "Flag=yes\n"
                                   "  Number = 42  \n"
                                   "Text=a b; c # d\n"
                                   "List=one two\n"
                                   "List=three\n"
                                   "[Limits]\r\n"
                                   "Size=64M\r\n"
                                   "Time=1min 30s",
                                   &t, &error),
                         0);
        ck_assert(t.flag);
        ck_assert_uint_eq(t.number, 42);
        ck_assert_uint_eq(t.size, UINT64_C(64) << 20);
        ck_assert_uint_eq(t.time, 90 * USEC_PER_SEC);
        ck_assert_str_eq(t.text, "a b; c # d");
        ck_assert_str_eq(t.list[0], "one");
        ck_assert_str_eq(t.list[1], "two");
        ck_assert_str_eq(t.list[2], "three");
        ck_assert_ptr_null(t.list[3]);
        conf_done(options, ELEMENTSOF(options), &t);
        ck_assert_ptr_null(t.text);
        ck_assert_ptr_null(t.list);
}
END_TEST

START_TEST(an_empty_assignment_empties_text_and_list) {
        Target t = { .flag = false };
        ConfError error;

        ck_assert_int_eq(read_text("[Bus]\nText=x\nList=a b\nText=\nList=\n", &t, &error), 0);
        ck_assert_ptr_null(t.text);
        ck_assert_ptr_null(t.list);
        ck_assert_int_eq(read_text("[Bus]\nList=c\n", &t, &error), 0);
        ck_assert_str_eq(t.list[0], "c");
        ck_assert_ptr_null(t.list[1]);
        conf_done(options, ELEMENTSOF(options), &t);
}
END_TEST

static const struct {
        const char *text;
        const char *error;
} bad[] = {
        { "[Bus]\nFoo=1\n", "x.conf:2: unknown key Foo= in section [Bus]" },
        { "[Bus]\nSize=1\n", "x.conf:2: unknown key Size= in section [Bus]" },
        { "[Bos]\n", "x.conf:1: unknown section [Bos]" },
        { "\n\n[Bos]\nFlag=yes\n", "x.conf:3: unknown section [Bos]" },
        { "[Bus\n", "x.conf:1: malformed section heading" },
        { "[Bus] x\n", "x.conf:1: malformed section heading" },
        { "[Bus]x\nFlag=yes", "x.conf:1: malformed section heading" },
        { "[]\n", "x.conf:1: unknown section []" },
        { "Flag=yes\n", "x.conf:1: Flag= stands before the first section" },
        { "[Bus]\nFlag\n", "x.conf:2: neither [Section] nor Key=value" },
        { "[Bus]\nFlag=yes\nhello world\n", "x.conf:3: neither [Section] nor Key=value" },
        { "[Bus]\nFlag=\n", "x.conf:2: Flag=: neither yes nor no" },
        { "[Bus]\nFlag=2\n", "x.conf:2: Flag=2: neither yes nor no" },
        { "[Bus]\nNumber=x\n", "x.conf:2: Number=x: not a number" },
        { "[Bus]\nNumber=-1\n", "x.conf:2: Number=-1: not a number" },
        { "[Bus]\nNumber=\n", "x.conf:2: Number=: not a number" },
        { "[Bus]\nNumber=0\n", "x.conf:2: Number=0: too small" },
        { "[Bus]\nNumber=101\n", "x.conf:2: Number=101: too big" },
        { "[Bus]\nNumber=18446744073709551616\n",
          "x.conf:2: Number=18446744073709551616: not a number" },
        { "[Limits]\nSize=64m\n", "x.conf:2: Size=64m: not a size, like 64K or 16M" },
        { "[Limits]\nSize=64MB\n", "x.conf:2: Size=64MB: not a size, like 64K or 16M" },
        { "[Limits]\nSize=M\n", "x.conf:2: Size=M: not a size, like 64K or 16M" },
        { "[Limits]\nSize=17179869184G\n",
          "x.conf:2: Size=17179869184G: not a size, like 64K or 16M" },
        { "[Limits]\nTime=5 parsecs\n",
          "x.conf:2: Time=5 parsecs: not a time, like 5s or 1min 30s" },
        { "[Limits]\nTime=s\n", "x.conf:2: Time=s: not a time, like 5s or 1min 30s" },
        { "[Limits]\nTime=\n", "x.conf:2: Time=: not a time, like 5s or 1min 30s" },
        { "[Bus]\nText=a\n  b\n", "x.conf:3: neither [Section] nor Key=value" },
};

START_TEST(what_is_wrong_is_named_with_file_line_and_reason) {
        Target t = { .flag = false };
        ConfError error = { "" };

        ck_assert_msg(read_text(bad[_i].text, &t, &error) == CONF_E_BAD, "accepted: %s",
                      bad[_i].text);
        ck_assert_str_eq(error.text, bad[_i].error);
        conf_done(options, ELEMENTSOF(options), &t);
}
END_TEST

START_TEST(nul_bytes_and_long_lines_are_refused) {
        static const char nul[] = "[Bus]\nText=a\0b\n";
        char text[2 * CONF_LINE_MAX];
        Target t = { .flag = false };
        ConfError error;

        ck_assert_int_eq(
                conf_read(nul, sizeof(nul) - 1, "x.conf", options, ELEMENTSOF(options), &t, &error),
                CONF_E_BAD);
        ck_assert_str_eq(error.text, "x.conf:2: NUL byte");

        memset(text, 'x', sizeof(text));
        memcpy(text, "[Bus]\nText=", 11);
        ck_assert_int_eq(
                conf_read(text, sizeof(text), "x.conf", options, ELEMENTSOF(options), &t, &error),
                CONF_E_BAD);
        ck_assert_str_eq(error.text, "x.conf:2: line too long");

        /* A line that just fits is read whole. */
        ck_assert_int_eq(conf_read(text, 1000, "x.conf", options, ELEMENTSOF(options), &t, &error),
                         0);
        ck_assert_uint_eq(strlen(t.text), 1000 - 11);
        conf_done(options, ELEMENTSOF(options), &t);
}
END_TEST

static const struct {
        const char *text;
        uint64_t usec;
} times[] = {
        { "5", 5 * USEC_PER_SEC },
        { "5s", 5 * USEC_PER_SEC },
        { "5 sec", 5 * USEC_PER_SEC },
        { "100ms", 100 * USEC_PER_MSEC },
        { "7us", 7 },
        { "2h", 7200 * USEC_PER_SEC },
        { "1d 1h", 25 * 3600 * USEC_PER_SEC },
        { "1min30s", 90 * USEC_PER_SEC },
        { "0", 0 },
};

START_TEST(times_have_units) {
        const char *reason;
        uint64_t usec = 1;

        ck_assert_int_eq(conf_parse_time(times[_i].text, &options[3], &usec, &reason), 0);
        ck_assert_msg(usec == times[_i].usec, "%s", times[_i].text);
}
END_TEST

static void file_write(const char *path, const char *text) {
        FILE *f = fopen(path, "we");

        ck_assert_msg(f != NULL, "%s", path);
        ck_assert_int_ge(fputs(text, f), 0);
        ck_assert_int_eq(fclose(f), 0);
}

START_TEST(drop_ins_come_after_the_file_in_the_order_of_their_names) {
        char folder[] = "/tmp/check-conf-XXXXXX", path[128], drop_ins[160], file[256];
        Target t = { .number = 1 };
        ConfError error;

        ck_assert_ptr_nonnull(mkdtemp(folder));
        (void)snprintf(path, sizeof(path), "%s/x.conf", folder);
        (void)snprintf(drop_ins, sizeof(drop_ins), "%s.d", path);

        /* Neither is there: the defaults hold. */
        ck_assert_int_eq(
                conf_load(path, CONF_MISSING_FINE, options, ELEMENTSOF(options), &t, &error), 0);
        ck_assert_uint_eq(t.number, 1);
        ck_assert_int_eq(
                conf_load(path, CONF_MISSING_BAD, options, ELEMENTSOF(options), &t, &error),
                CONF_E_BAD);
        ck_assert_msg(strstr(error.text, "x.conf: No such file") != NULL, "%s", error.text);

        ck_assert_int_eq(mkdir(drop_ins, 0700), 0);
        (void)snprintf(file, sizeof(file), "%s/20-b.conf", drop_ins);
        file_write(file, "[Bus]\nNumber=20\nList=b\n");
        (void)snprintf(file, sizeof(file), "%s/10-a.conf", drop_ins);
        file_write(file, "[Bus]\nNumber=10\nList=a\n");
        (void)snprintf(file, sizeof(file), "%s/30-c.conf~", drop_ins);
        file_write(file, "rubbish");
        (void)snprintf(file, sizeof(file), "%s/15-hidden.conf", drop_ins);
        ck_assert_int_eq(symlink("/dev/null", file), 0);
        file_write(path, "[Bus]\nNumber=5\nList=file\n");
        ck_assert_int_eq(
                conf_load(path, CONF_MISSING_BAD, options, ELEMENTSOF(options), &t, &error), 0);
        ck_assert_uint_eq(t.number, 20);
        ck_assert_str_eq(t.list[0], "file");
        ck_assert_str_eq(t.list[1], "a");
        ck_assert_str_eq(t.list[2], "b");
        ck_assert_ptr_null(t.list[3]);

        (void)snprintf(file, sizeof(file), "%s/40-bad.conf", drop_ins);
        file_write(file, "[Bus]\nNumber=yes\n");
        ck_assert_int_eq(
                conf_load(path, CONF_MISSING_BAD, options, ELEMENTSOF(options), &t, &error),
                CONF_E_BAD);
        ck_assert_msg(strstr(error.text, "40-bad.conf:2: Number=yes: not a number") != NULL, "%s",
                      error.text);
        conf_done(options, ELEMENTSOF(options), &t);

        (void)snprintf(file, sizeof(file), "rm -r %s", folder);
        ck_assert_int_eq(system(file), 0);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("conf");
        TCase *tcase = tcase_create("conf");

        tcase_add_test(tcase, every_type_is_read);
        tcase_add_test(tcase, what_is_written_reads_the_same);
        tcase_add_test(tcase, an_empty_assignment_empties_text_and_list);
        tcase_add_loop_test(tcase, what_is_wrong_is_named_with_file_line_and_reason, 0,
                            ELEMENTSOF(bad));
        tcase_add_test(tcase, nul_bytes_and_long_lines_are_refused);
        tcase_add_loop_test(tcase, times_have_units, 0, ELEMENTSOF(times));
        tcase_add_test(tcase, drop_ins_come_after_the_file_in_the_order_of_their_names);
        suite_add_tcase(suite, tcase);
        return suite;
}
