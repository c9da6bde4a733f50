/* SPDX-License-Identifier: Apache-2.0 */

#include "libcore/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libcore/util.h"

#define NUMBER_DIGITS_MAX 20

static const char *const paths[_REPORT_PATH_MAX] = {
        [REPORT_PATH_NONE] = "none",
        [REPORT_PATH_DAEMON] = "daemon",
        [REPORT_PATH_RING] = "ring",
        [REPORT_PATH_OFF_HOST] = "off-host",
};

/* The fields behind the first three, in their order. */
static const size_t numbers[] = {
        offsetof(Report, queued_messages), offsetof(Report, queued_bytes),
        offsetof(Report, waiting_usec),    offsetof(Report, ring_size),
        offsetof(Report, ring_out),        offsetof(Report, ring_in),
        offsetof(Report, messages_out),    offsetof(Report, messages_in),
        offsetof(Report, bytes_out),       offsetof(Report, bytes_in),
        offsetof(Report, round_trip_usec), offsetof(Report, n_sent),
        offsetof(Report, n_delivered),     offsetof(Report, n_refused),
        offsetof(Report, n_expired),       offsetof(Report, n_cancelled),
        offsetof(Report, n_unknown),       offsetof(Report, n_received),
        offsetof(Report, n_taken),
};
_Static_assert(3 + ELEMENTSOF(numbers) == REPORT_FIELDS, "a field has no place");
_Static_assert(16 + 1 + 8 + 1 + 3 + ELEMENTSOF(numbers) * (1 + NUMBER_DIGITS_MAX) + 2 <=
                       REPORT_LINE_MAX,
               "a line is longer than said");

size_t report_format(const Report *report, char out[static REPORT_LINE_MAX]) {
        char pid[PID_TEXT_SIZE];
        size_t n;

        n = (size_t)snprintf(out, REPORT_LINE_MAX, "%s\t%s\t%s", pid_format(report->peer, pid),
                             paths[report->path], report->is_established ? "yes" : "no");
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                uint64_t number;

                memcpy(&number, (const char *)report + numbers[i], sizeof(number));
                if (number == REPORT_NONE)
                        n += (size_t)snprintf(out + n, REPORT_LINE_MAX - n, "\t-");
                else
                        n += (size_t)snprintf(out + n, REPORT_LINE_MAX - n, "\t%" PRIu64, number);
        }
        memcpy(out + n, "\n", 2);
        return n + 1;
}

/* The next field of a line that ends at @end; *@at is behind its TAB then. Return: its bytes. */
static size_t next_field(const char **at, const char *end, const char **ret) {
        const char *field = *at, *tab = memchr(field, '\t', (size_t)(end - field));
        const char *field_end = tab ? tab : end;

        *ret = field;
        *at = tab ? tab + 1 : end;
        return (size_t)(field_end - field);
}

static bool is_word(const char *field, size_t n, const char *word) {
        return n == strlen(word) && memcmp(field, word, n) == 0;
}

static bool parse_peer(const char *field, size_t n, Pid *ret) {
        char text[PID_TEXT_SIZE];

        if (n != sizeof(text) - 1)
                return false;
        memcpy(text, field, n);
        text[n] = '\0';
        return pid_parse(text, ret) == 0 && (*ret == PID_NONE || !pid_is_reserved(*ret));
}

static bool parse_path(const char *field, size_t n, ReportPath *ret) {
        for (unsigned i = 0; i < _REPORT_PATH_MAX; i++)
                if (is_word(field, n, paths[i])) {
                        *ret = (ReportPath)i;
                        return true;
                }
        return false;
}

static bool parse_number(const char *field, size_t n, uint64_t *ret) {
        uint64_t number = 0;

        if (is_word(field, n, "-")) {
                *ret = REPORT_NONE;
                return true;
        }
        if (n == 0 || n > NUMBER_DIGITS_MAX)
                return false;
        for (size_t i = 0; i < n; i++)
                if (field[i] < '0' || field[i] > '9' ||
                    __builtin_mul_overflow(number, 10U, &number) ||
                    __builtin_add_overflow(number, (uint64_t)(field[i] - '0'), &number))
                        return false;
        *ret = number;
        return true;
}

static bool parse_line(const char *at, const char *end, Report *ret) {
        const char *field;
        size_t n;

        n = next_field(&at, end, &field);
        if (!parse_peer(field, n, &ret->peer))
                return false;
        n = next_field(&at, end, &field);
        if (!parse_path(field, n, &ret->path))
                return false;
        n = next_field(&at, end, &field);
        ret->is_established = is_word(field, n, "yes");
        if (!ret->is_established && !is_word(field, n, "no"))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                uint64_t number;

                n = next_field(&at, end, &field);
                if (!parse_number(field, n, &number))
                        return false;
                memcpy((char *)ret + numbers[i], &number, sizeof(number));
        }
        return true;
}

int report_parse(const char *text, size_t n_text, size_t *at, Report *ret) {
        Report report = { 0 };
        const char *end;

        if (*at >= n_text)
                return REPORT_E_END;
        end = memchr(text + *at, '\n', n_text - *at);
        if (!end || !parse_line(text + *at, end, &report))
                return REPORT_E_VIOLATION;
        *at = (size_t)(end - text) + 1;
        *ret = report;
        return 0;
}
