/* SPDX-License-Identifier: Apache-2.0 */

/* The parts of the tools that need no bus: arguments, input, tables, JSON, commands. */

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/main.h"
#include "tools/argument.h"
#include "tools/input.h"
#include "tools/job.h"
#include "tools/json.h"
#include "tools/quote.h"
#include "tools/table.h"

#define N(a) (int)(sizeof(a) / sizeof((a)[0]))

/* ---- Arguments ---- */

static const struct {
        const char *text;
        int r;
        uint64_t usec;
} seconds[] = {
        { "0", 0, 0 },
        { "1", 0, 1000000 },
        { "30", 0, 30000000 },
        { "0.25", 0, 250000 },
        { ".5", 0, 500000 },
        { "2.", 0, 2000000 },
        { "1.0000019", 0, 1000001 },
        { "0.0000001", 0, 0 },
        { "3155760000", 0, UINT64_C(3155760000000000) },
        { "3155760001", -ERANGE, 0 },
        { "99999999999999999999", -ERANGE, 0 },
        { "", -EINVAL, 0 },
        { ".", -EINVAL, 0 },
        { "-1", -EINVAL, 0 },
        { "+1", -EINVAL, 0 },
        { " 1", -EINVAL, 0 },
        { "1 ", -EINVAL, 0 },
        { "1s", -EINVAL, 0 },
        { "1e3", -EINVAL, 0 },
        { "1.2.3", -EINVAL, 0 },
        { "inf", -EINVAL, 0 },
};

START_TEST(seconds_may_have_a_fraction) {
        uint64_t usec = 77;

        ck_assert_msg(argument_seconds(seconds[_i].text, &usec) == seconds[_i].r, "%s",
                      seconds[_i].text);
        ck_assert_uint_eq(usec, seconds[_i].r < 0 ? 77 : seconds[_i].usec);
}
END_TEST

static const struct {
        const char *text;
        int r;
        size_t size;
} sizes[] = {
        { "1", 0, 1 },
        { "1000", 0, 1000 },
        { "64K", 0, 65536 },
        { "64k", 0, 65536 },
        { "64KiB", 0, 65536 },
        { "64KB", 0, 65536 },
        { "1M", 0, 1048576 },
        { "2G", 0, (size_t)2 << 30 },
        { "17B", 0, 17 },
        { "0", -ERANGE, 0 },
        { "0K", -ERANGE, 0 },
        { "9223372036854775807", 0, INT64_MAX },
        { "9223372036854775808", -ERANGE, 0 },
        { "99999999999G", -ERANGE, 0 },
        { "", -EINVAL, 0 },
        { "K", -EINVAL, 0 },
        { "1.5K", -EINVAL, 0 },
        { "1KK", -EINVAL, 0 },
        { "17iB", -EINVAL, 0 },
        { "-1", -EINVAL, 0 },
};

START_TEST(sizes_know_their_units) {
        size_t size = 77;

        ck_assert_msg(argument_size(sizes[_i].text, &size) == sizes[_i].r, "%s", sizes[_i].text);
        ck_assert_uint_eq(size, sizes[_i].r < 0 ? 77 : sizes[_i].size);
}
END_TEST

START_TEST(counts_keep_their_range) {
        uint64_t n = 77;

        ck_assert_int_eq(argument_count("0", 1, 10, &n), -ERANGE);
        ck_assert_int_eq(argument_count("11", 1, 10, &n), -ERANGE);
        ck_assert_int_eq(argument_count("", 1, 10, &n), -EINVAL);
        ck_assert_int_eq(argument_count("3x", 1, 10, &n), -EINVAL);
        ck_assert_uint_eq(n, 77);
        ck_assert_int_eq(argument_count("1", 1, 10, &n), 0);
        ck_assert_uint_eq(n, 1);
        ck_assert_int_eq(argument_count("10", 1, 10, &n), 0);
        ck_assert_uint_eq(n, 10);
}
END_TEST

START_TEST(sizes_are_shown_as_people_read_them) {
        char text[32];

        ck_assert_str_eq(argument_format_size(0, text), "0 bytes");
        ck_assert_str_eq(argument_format_size(1023, text), "1023 bytes");
        ck_assert_str_eq(argument_format_size(65536, text), "64.0 KiB");
        ck_assert_str_eq(argument_format_size(UINT64_C(128) << 20, text), "128 MiB");
}
END_TEST

START_TEST(file_names_become_one_word) {
        char quoted[QUOTE_SIZE];
        char *big = malloc(4 * QUOTE_SIZE);

        ck_assert_str_eq(quote_for_shell("/etc/p2pbus/a.key", quoted), "/etc/p2pbus/a.key");
        ck_assert_str_eq(quote_for_shell("my key", quoted), "'my key'");
        ck_assert_str_eq(quote_for_shell("it's", quoted), "'it'\\''s'");
        ck_assert_str_eq(quote_for_shell("", quoted), "''");
        memset(big, '\'', 4 * QUOTE_SIZE - 1);
        big[4 * QUOTE_SIZE - 1] = '\0';
        ck_assert_uint_lt(strlen(quote_for_shell(big, quoted)), QUOTE_SIZE);
        free(big);
}
END_TEST

/* ---- Input ---- */

static const struct {
        const char *what;
        InputMode mode;
        size_t chunk;
        const char *text;
        const char *messages; /* joined by "|", each followed by one; over the limit: its size */
} inputs[] = {
        { "all of stdin", INPUT_WHOLE, 0, "a\nb\n", "a\nb\n|" },
        { "nothing at all is an empty message", INPUT_WHOLE, 0, "", "|" },
        { "lines", INPUT_LINES, 0, "a\nbc\n", "a|bc|" },
        { "a last line without its end", INPUT_LINES, 0, "a\nbc", "a|bc|" },
        { "empty lines", INPUT_LINES, 0, "\n\na\n\n", "||a||" },
        { "no lines", INPUT_LINES, 0, "", "" },
        { "one empty line", INPUT_LINES, 0, "\n", "|" },
        { "chunks", INPUT_CHUNKS, 2, "abcd", "ab|cd|" },
        { "a short last chunk", INPUT_CHUNKS, 2, "abcde", "ab|cd|e|" },
        { "no chunks", INPUT_CHUNKS, 2, "", "" },
        { "a line at the limit", INPUT_LINES, 0, "12345678\nb\n", "12345678|b|" },
        { "a line over the limit", INPUT_LINES, 0, "123456789\nb\n", "<9>|b|" },
        { "a last line over the limit", INPUT_LINES, 0, "b\n1234567890", "b|<10>|" },
        { "all over the limit", INPUT_WHOLE, 0, "1234567890123", "<13>|" },
};

#define INPUT_MAX 8

/* Feeds @text in pieces of @step bytes and writes what comes out to @result. */
static void cut(InputMode mode, size_t chunk, const char *text, size_t step, char *result) {
        size_t n_text = strlen(text), at = 0;
        Input input;
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        input_init(&input, mode, chunk, INPUT_MAX);
        for (;;) {
                const char *data = NULL;
                uint64_t n = 0;
                int r = input_next(&input, &data, &n);

                if (r == INPUT_E_END)
                        break;
                if (r == INPUT_E_MORE && at < n_text) {
                        size_t n_step = step < n_text - at ? step : n_text - at;

                        ck_assert_int_eq(write(fds[1], text + at, n_step), (int)n_step);
                        at += n_step;
                        ck_assert_int_eq(input_fill(&input, fds[0]), 0);
                        continue;
                }
                if (r == INPUT_E_MORE) {
                        ck_assert(!input.ended);
                        (void)close(fds[1]);
                        ck_assert_int_eq(input_fill(&input, fds[0]), 0);
                        continue;
                }
                if (r == INPUT_E_TOO_BIG)
                        result += sprintf(result, "<%u>|", (unsigned)n);
                else
                        result += sprintf(result, "%.*s|", (int)n, data);
        }
        *result = '\0';
        input_done(&input);
        (void)close(fds[0]);
}

START_TEST(input_is_cut_wherever_the_reads_end) {
        for (size_t step = 1; step < 16; step++) {
                char result[256];

                cut(inputs[_i].mode, inputs[_i].chunk, inputs[_i].text, step, result);
                ck_assert_msg(strcmp(result, inputs[_i].messages) == 0, "%s, %zu at a time: %s",
                              inputs[_i].what, step, result);
        }
}
END_TEST

START_TEST(input_says_when_nothing_is_there_yet) {
        const char *data;
        Input input;
        uint64_t n;
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        input_init(&input, INPUT_LINES, 0, INPUT_MAX);
        ck_assert_int_eq(input_fill(&input, fds[0]), -EAGAIN);
        ck_assert_int_eq(input_next(&input, &data, &n), INPUT_E_MORE);
        input_done(&input);
        (void)close(fds[0]);
        (void)close(fds[1]);
}
END_TEST

/* ---- Tables and JSON ---- */

/* clang-format off */
static const Column columns[] = {
        { "NAME", "name", COLUMN_TEXT },
        { "SIZE", "size", COLUMN_NUMBER },
        { "WORDS", "words", COLUMN_WORDS },
};
/* clang-format on */

static const struct {
        const char *lines;
        TableForm form;
        const char *text;
} tables[] = {
        { "", TABLE_TABS, "" },
        { "", TABLE_JSON, "[]\n" },
        { "", TABLE_ALIGNED, "NAME  SIZE  WORDS\n" },
        { "a\t1\tx,y\nbcdef\t12345\t-\n", TABLE_TABS, "a\t1\tx,y\nbcdef\t12345\t-\n" },
        { "a\t1\tx,y\nbcdef\t12345\t-\n", TABLE_ALIGNED,
          "NAME    SIZE  WORDS\n"
          "a          1  x,y\n"
          "bcdef  12345  -\n" },
        { "a\t1\tx,y\nb\t-\t-\n", TABLE_JSON,
          "[{\"name\": \"a\", \"size\": 1, \"words\": [\"x\", \"y\"]}, "
          "{\"name\": \"b\", \"size\": null, \"words\": []}]\n" },
        { "too few\nto\t5\tmany\tfields\n", TABLE_TABS, "too few\t-\t-\nto\t5\tmany\n" },
        { "no end", TABLE_TABS, "no end\t-\t-\n" },
        { "\033[31mred\t1\tx\n", TABLE_TABS, "?[31mred\t1\tx\n" },
};

START_TEST(tables_take_three_forms) {
        Table table;
        char *text;
        size_t n;

        table_init(&table, columns, N(columns));
        ck_assert_int_eq(table_add_lines(&table, tables[_i].lines), 0);
        text = table_format(&table, tables[_i].form, false, &n);
        ck_assert_str_eq(text, tables[_i].text);
        ck_assert_uint_eq(n, strlen(text));
        free(text);
        table_done(&table);
}
END_TEST

static const struct {
        const char *bytes;
        size_t n;
        const char *line;
} payloads[] = {
        { "", 0, "{\"payload\": \"\"}\n" },
        { "hello", 5, "{\"payload\": \"hello\"}\n" },
        { "a\nb\"", 4, "{\"payload\": \"a\\nb\\\"\"}\n" },
        { "a\0b", 3, "{\"payload\": \"a\\u0000b\"}\n" },
        { "\xc3\xa9", 2, "{\"payload\": \"\xc3\xa9\"}\n" },
        { "\xff", 1, "{\"payload_base64\": \"/w==\"}\n" },
        { "\xff\xfe", 2, "{\"payload_base64\": \"//4=\"}\n" },
        { "\xff\xfe\xfd", 3, "{\"payload_base64\": \"//79\"}\n" },
        { "\xff\xfe\xfd\x01", 4, "{\"payload_base64\": \"//79AQ==\"}\n" },
        { "\xc0\x80", 2, "{\"payload_base64\": \"wIA=\"}\n" },
        { "\xed\xa0\x80", 3, "{\"payload_base64\": \"7aCA\"}\n" },
};

START_TEST(bytes_that_are_no_text_become_base64) {
        JsonValue *object = json_begin();
        char *line;
        size_t n;

        json_add_bytes(object, "payload", payloads[_i].bytes, payloads[_i].n);
        line = json_finish(object, &n);
        ck_assert_str_eq(line, payloads[_i].line);
        ck_assert_uint_eq(n, strlen(line));
        free(line);
}
END_TEST

START_TEST(members_keep_their_order) {
        JsonValue *object = json_begin(), *list = json_begin_list();
        char *line;
        size_t n;

        json_append_number(list, 1);
        json_append_number(list, 2);
        json_add_text(object, "z", "last letter");
        json_add_number(object, "a", 5);
        json_add_flag(object, "m", true);
        json_add_text(object, "none", NULL);
        json_add_text(object, "odd", "x\xffy");
        json_add_value(object, "list", list);
        line = json_finish(object, &n);
        ck_assert_str_eq(line, "{\"z\": \"last letter\", \"a\": 5, \"m\": true, \"none\": null, "
                               "\"odd\": \"x?y\", \"list\": [1, 2]}\n");
        free(line);
}
END_TEST

/* ---- Commands ---- */

/* Runs a job to its end as the tools do; SIGCHLD is stood in for by looking again every 20 ms. */
static Job *run_job(const JobOptions *options) {
        Job *job = NULL;

        (void)signal(SIGPIPE, SIG_IGN);
        ck_assert_int_eq(job_new(&job, options), 0);
        while (!job->done) {
                struct pollfd fds[JOB_POLLFDS];

                ck_assert_int_eq(job_drive(job), 0);
                job_poll(job, fds);
                if (!job->done)
                        (void)poll(fds, JOB_POLLFDS, 20);
        }
        return job;
}

static Job *run_shell(const char *script, const void *payload, size_t n_payload, bool capture) {
        char *argv[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
        char *environment[] = { (char *)"P2PBUS_ID=77", (char *)"PATH_X=1" };

        return run_job(&(JobOptions){
                .argv = argv,
                .environment = environment,
                .n_environment = N(environment),
                .payload = payload,
                .n_payload = n_payload,
                .capture = capture,
                .output_max = 4 << 20,
        });
}

static const struct {
        const char *what;
        const char *script;
        size_t n_payload;
        int status;
        size_t n_output;
        const char *begin;
} jobs[] = {
        { "an echo of little", "cat", 5, 0, 5, "xxxxx" },
        { "an echo of more than two pipes hold", "cat", 1 << 20, 0, 1 << 20, "xxx" },
        { "a command that reads nothing", "echo hi", 1 << 20, 0, 3, "hi\n" },
        { "one that writes much before it reads", "head -c 1000000 /dev/zero | tr '\\0' y; cat",
          1 << 20, 0, 1000000 + (1 << 20), "yyy" },
        { "one that closes its stdin", "exec <&-; echo done", 1 << 20, 0, 5, "done\n" },
        { "no payload", "cat; echo end", 0, 0, 4, "end\n" },
        { "a failure", "echo part; exit 3", 0, 3, 5, "part\n" },
        { "its environment", "printf %s \"$P2PBUS_ID\"", 0, 0, 2, "77" },
        { "an end while another process holds its stdout", "sleep 5 & echo pid", 0, 0, 4, "pid\n" },
};

START_TEST(commands_get_the_payload_and_give_a_reply) {
        char *payload = malloc(jobs[_i].n_payload + 1), how[80];
        uint32_t number = 77;
        Job *job;

        memset(payload, 'x', jobs[_i].n_payload + 1);
        job = run_shell(jobs[_i].script, payload, jobs[_i].n_payload, true);
        job_status_text(job->status, how, &number);
        ck_assert_msg((int)number == jobs[_i].status, "%s: %s", jobs[_i].what, how);
        ck_assert_msg(job->n_output == jobs[_i].n_output, "%s: %zu bytes", jobs[_i].what,
                      job->n_output);
        ck_assert_msg(memcmp(job->output, jobs[_i].begin, strlen(jobs[_i].begin)) == 0, "%s",
                      jobs[_i].what);
        (void)job_free(job);
        free(payload);
}
END_TEST

START_TEST(too_long_a_reply_is_told) {
        Job *job = run_shell("head -c 8000000 /dev/zero", NULL, 0, true);

        ck_assert(job->overflow);
        (void)job_free(job);
}
END_TEST

START_TEST(what_cannot_be_run_is_told_before) {
        char *argv[] = { (char *)"/nonexistent/command", NULL };
        Job *job = NULL;

        /* As execvp(): a folder of PATH that we may not search would make it EACCES. */
        ck_assert_int_eq(setenv("PATH", "/usr/bin:/bin", 1), 0);
        ck_assert_int_eq(job_new(&job, &(JobOptions){ .argv = argv }), -ENOENT);
        ck_assert_ptr_null(job);
        ck_assert_int_eq(job_find_command("/nonexistent/command"), -ENOENT);
        ck_assert_int_eq(job_find_command("no-such-command-anywhere"), -ENOENT);
        ck_assert_int_eq(job_find_command("/etc/passwd"), -EACCES);
        ck_assert_int_eq(job_find_command("/etc"), -EACCES);
        ck_assert_int_eq(job_find_command("sh"), 0);
        ck_assert_int_eq(job_find_command("/bin/sh"), 0);
}
END_TEST

START_TEST(a_signal_is_named) {
        char text[80];
        uint32_t number = 0;
        Job *job = run_shell("kill -9 $$", NULL, 0, true);

        ck_assert_str_eq(job_status_text(job->status, text, &number),
                         "was killed by signal 9 (Killed)");
        ck_assert_uint_eq(number, 137);
        (void)job_free(job);
}
END_TEST

START_TEST(a_freed_job_ends_its_command) {
        char *argv[] = { (char *)"sleep", (char *)"1000", NULL };
        Job *job = NULL;
        pid_t os_pid;

        ck_assert_int_eq(job_new(&job, &(JobOptions){ .argv = argv, .capture = true }), 0);
        os_pid = job->os_pid;
        (void)job_free(job);
        ck_assert_int_eq(kill(os_pid, 0), -1);
        ck_assert_int_eq(errno, ESRCH);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("tools");
        TCase *arguments = tcase_create("arguments");
        TCase *input = tcase_create("input");
        TCase *output = tcase_create("output");
        TCase *commands = tcase_create("commands");

        tcase_add_loop_test(arguments, seconds_may_have_a_fraction, 0, N(seconds));
        tcase_add_loop_test(arguments, sizes_know_their_units, 0, N(sizes));
        tcase_add_test(arguments, counts_keep_their_range);
        tcase_add_test(arguments, sizes_are_shown_as_people_read_them);
        tcase_add_test(arguments, file_names_become_one_word);
        suite_add_tcase(suite, arguments);

        tcase_add_loop_test(input, input_is_cut_wherever_the_reads_end, 0, N(inputs));
        tcase_add_test(input, input_says_when_nothing_is_there_yet);
        suite_add_tcase(suite, input);

        tcase_add_loop_test(output, tables_take_three_forms, 0, N(tables));
        tcase_add_loop_test(output, bytes_that_are_no_text_become_base64, 0, N(payloads));
        tcase_add_test(output, members_keep_their_order);
        suite_add_tcase(suite, output);

        tcase_add_loop_test(commands, commands_get_the_payload_and_give_a_reply, 0, N(jobs));
        tcase_add_test(commands, too_long_a_reply_is_told);
        tcase_add_test(commands, what_cannot_be_run_is_told_before);
        tcase_add_test(commands, a_signal_is_named);
        tcase_add_test(commands, a_freed_job_ends_its_command);
        suite_add_tcase(suite, commands);
        return suite;
}
