/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Logs of the daemons: fields in, one line or one journal entry out
 *
 * An event is a text for people and fields for machines. Where stderr is the journal, the entry
 * goes there through a sink that main.c passes in (sd_journal_sendv), so that nothing here needs
 * systemd; otherwise one line goes to stderr. The fields are an interface: p2pbusd(8) lists them.
 * No payload and no key material ever goes into either.
 *
 * What a peer can cause as often as it likes stands behind a LogRate.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "libcore/util.h"

/* The journal's and syslog's priorities. */
typedef enum LogLevel {
        LOG_LEVEL_ERROR = 3,
        LOG_LEVEL_WARNING = 4,
        LOG_LEVEL_NOTICE = 5,
        LOG_LEVEL_INFO = 6,
        LOG_LEVEL_DEBUG = 7,
} LogLevel;

/* sd_journal_sendv() */
typedef int LogSink(const struct iovec *iov, int n_iov);

typedef struct Log {
        const char *program;
        LogLevel level; /* what is less urgent is dropped */
        LogSink *sink;  /* NULL: lines on stderr */
} Log;

/* What is NULL is left out. */
typedef struct LogFields {
        const char *message_id; /* 32 hex digits; for events an operator acts on */
        const char *peer;       /* P2PBUS_PEER: a process, in any text form */
        const char *link;       /* P2PBUS_LINK: a relay's URL */
        const char *reason;     /* P2PBUS_REASON: name of the counter that goes with it */
        const uint32_t *uid;    /* P2PBUS_UID */
} LogFields;

/* At most so many lines at once, then one in a while; the rest is counted. */
typedef struct LogRate {
        uint64_t refilled_usec;
        uint32_t tokens;
        uint32_t n_suppressed;
        bool started;
} LogRate;

#define LOG_RATE_BURST 10
#define LOG_RATE_USEC (60 * USEC_PER_SEC)

/*
 * Prepares @log: level from $P2PBUS_LOG (an unknown word counts as info), and @sink only if stderr
 * is the journal ($JOURNAL_STREAM). @program is kept.
 */
void log_init(Log *log, const char *program, LogSink *sink);
/* "error", "warning", "info", "debug". Return: false if @text is none of them. */
bool log_level_parse(const char *text, LogLevel *ret);

/* Says one thing; @fields may be NULL. Keeps errno. */
_printf_(4, 5) void log_write(const Log *log, LogLevel level, const LogFields *fields,
                              const char *format, ...);

/*
 * Whether a line may be written now (@now_usec: monotonic). @ret_n_suppressed is how many were
 * not since the last one.
 */
bool log_rate_pass(LogRate *rate, uint64_t now_usec, uint32_t *ret_n_suppressed);
