/* SPDX-License-Identifier: Apache-2.0 */

#include "libcore/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#define MESSAGE_MAX 1024
#define FIELD_MAX 256
#define N_FIELDS 8

/* One entry under construction: texts stand in slots of fixed size, cut off if they must be. */
typedef struct Entry {
        struct iovec iov[N_FIELDS];
        int n_iov;
        char message[MESSAGE_MAX];
        char fields[N_FIELDS][FIELD_MAX];
} Entry;

static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
               fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_init(Log *log, const char *program, LogSink *sink) {
        const char *level = getenv("P2PBUS_LOG");

        *log = (Log){
                .program = program,
                .level = LOG_LEVEL_INFO,
                .sink = sink && stderr_is_journal() ? sink : NULL,
        };
        if (level)
                (void)log_level_parse(level, &log->level); /* an unknown word: info */
}

bool log_level_parse(const char *text, LogLevel *ret) {
        static const struct {
                const char *text;
                LogLevel level;
        } levels[] = {
                { "error", LOG_LEVEL_ERROR },
                { "warning", LOG_LEVEL_WARNING },
                { "info", LOG_LEVEL_INFO },
                { "debug", LOG_LEVEL_DEBUG },
        };

        for (unsigned i = 0; i < ELEMENTSOF(levels); i++)
                if (strcmp(levels[i].text, text) == 0) {
                        *ret = levels[i].level;
                        return true;
                }
        return false;
}

_printf_(2, 3) static void entry_add(Entry *entry, const char *format, ...) {
        char *text = entry->fields[entry->n_iov];
        va_list args;
        int n;

        va_start(args, format);
        n = vsnprintf(text, FIELD_MAX, format, args);
        va_end(args);
        if (n < 0)
                return;
        entry->iov[entry->n_iov++] = (struct iovec){ text, MIN((size_t)n, (size_t)FIELD_MAX - 1) };
}

static void entry_send(Entry *entry, const Log *log, LogLevel level, const LogFields *fields) {
        entry->iov[entry->n_iov++] = (struct iovec){ entry->message, strlen(entry->message) };
        entry_add(entry, "PRIORITY=%d", (int)level);
        entry_add(entry, "SYSLOG_IDENTIFIER=%s", log->program);
        if (fields->message_id)
                entry_add(entry, "MESSAGE_ID=%s", fields->message_id);
        if (fields->peer)
                entry_add(entry, "P2PBUS_PEER=%s", fields->peer);
        if (fields->link)
                entry_add(entry, "P2PBUS_LINK=%s", fields->link);
        if (fields->reason)
                entry_add(entry, "P2PBUS_REASON=%s", fields->reason);
        if (fields->uid)
                entry_add(entry, "P2PBUS_UID=%u", *fields->uid);
        (void)log->sink(entry->iov, entry->n_iov); /* nowhere to complain about it */
}

/* One write: lines of several programs on one terminal do not mix. */
static void line_write(const Log *log, const char *message, const LogFields *fields) {
        char line[MESSAGE_MAX + 3 * FIELD_MAX];
        char uid[16] = "";
        int n;

        if (fields->uid)
                (void)snprintf(uid, sizeof(uid), "%u", *fields->uid);
        n = snprintf(line, sizeof(line), "%s: %s%s%s%s%s%s%s%s%s", log->program, message,
                     fields->peer ? " peer=" : "", fields->peer ? fields->peer : "",
                     fields->uid ? " uid=" : "", uid, fields->link ? " link=" : "",
                     fields->link ? fields->link : "", fields->reason ? " reason=" : "",
                     fields->reason ? fields->reason : "");
        if (n < 0)
                return;
        n = MIN(n, (int)sizeof(line) - 2);
        line[n++] = '\n';
        (void)!write(STDERR_FILENO, line, (size_t)n); /* nowhere to complain about it */
}

void log_write(const Log *log, LogLevel level, const LogFields *fields, const char *format, ...) {
        static const char head[] = "MESSAGE=";
        static const LogFields none;
        Entry entry = { .n_iov = 0 };
        int saved = errno;
        va_list args;

        if (level > log->level)
                return;
        memcpy(entry.message, head, sizeof(head));
        va_start(args, format);
        (void)vsnprintf(entry.message + sizeof(head) - 1, MESSAGE_MAX - sizeof(head) + 1, format,
                        args);
        va_end(args);

        if (log->sink)
                entry_send(&entry, log, level, fields ? fields : &none);
        else
                line_write(log, entry.message + sizeof(head) - 1, fields ? fields : &none);
        errno = saved;
}

bool log_rate_pass(LogRate *rate, uint64_t now_usec, uint32_t *ret_n_suppressed) {
        if (!rate->started) {
                *rate = (LogRate){ .started = true,
                                   .refilled_usec = now_usec,
                                   .tokens = LOG_RATE_BURST };
        } else if (now_usec - rate->refilled_usec >= LOG_RATE_USEC) {
                uint64_t n = (now_usec - rate->refilled_usec) / LOG_RATE_USEC;

                rate->refilled_usec += n * LOG_RATE_USEC;
                rate->tokens = (uint32_t)MIN(n + rate->tokens, (uint64_t)LOG_RATE_BURST);
        }
        if (rate->tokens == 0) {
                rate->n_suppressed++;
                return false;
        }
        rate->tokens--;
        *ret_n_suppressed = rate->n_suppressed;
        rate->n_suppressed = 0;
        return true;
}
