/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Report: what a process says of one of its conversations
 *
 * A line of text, fields between TABs (PROTOCOL.md, "Conversations"), from the process that has the
 * conversation to the daemon, and from there to whoever asked. The daemon passes nothing on as it
 * came: it decodes each line and writes it again.
 */

#include <stddef.h>
#include <stdint.h>

#include "libcore/pid.h"

#define REPORT_NONE UINT64_MAX /* of a number: there is none, or it is not known */
#define REPORT_LINE_MAX 512    /* bytes of a line, newline and NUL included */
#define REPORT_FIELDS 22

typedef enum ReportPath {
        REPORT_PATH_NONE,
        REPORT_PATH_DAEMON,
        REPORT_PATH_RING,
        REPORT_PATH_OFF_HOST,
        _REPORT_PATH_MAX,
} ReportPath;

typedef struct Report {
        Pid peer; /* with whom; PID_NONE: with all who were forgotten since */
        ReportPath path;
        bool is_established;      /* it has answered */
        uint64_t queued_messages; /* sent and not yet settled */
        uint64_t queued_bytes;    /* held for it, in both directions */
        uint64_t waiting_usec;    /* how long it gives no credit already; 0: it does */
        uint64_t ring_size;       /* bytes of data in the file of who reports */
        uint64_t ring_out;        /* of these, what the other has not read */
        uint64_t ring_in;         /* in the other's file, what was not read here */
        uint64_t messages_out;    /* a second, lately; so the next three */
        uint64_t messages_in;
        uint64_t bytes_out;
        uint64_t bytes_in;
        uint64_t round_trip_usec;
        uint64_t n_sent; /* messages, since the conversation began; so all that follow */
        uint64_t n_delivered;
        uint64_t n_refused;
        uint64_t n_expired;
        uint64_t n_cancelled;
        uint64_t n_unknown;
        uint64_t n_received; /* complete */
        uint64_t n_taken;    /* of these, by the application */
} Report;

enum {
        _REPORT_E_SUCCESS,

        REPORT_E_END,       /* nothing left */
        REPORT_E_VIOLATION, /* no line that any version of us writes */
};

/* Writes the line, newline and NUL included. Return: its bytes without the NUL. */
size_t report_format(const Report *report, char out[static REPORT_LINE_MAX]);
/*
 * Reads the line at @text[*at] and moves *@at behind it. Fields of a later version are passed over.
 * Return: 0; REPORT_E_END; REPORT_E_VIOLATION; @ret and @at are untouched unless 0.
 */
int report_parse(const char *text, size_t n_text, size_t *at, Report *ret);
