/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbusctl watch: who comes and goes
 *
 * First what is there, and then each change. Of a name the library tells, on other hosts too. Processes
 * are of this host, and the daemon publishes their changes and those of their names. It is subscribed
 * before it is asked what is there: what changes in between may be told twice, but not missed.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tools/common.h"
#include "tools/ctl.h"
#include "tools/json.h"
#include "tools/output.h"

#define TOPICS "p2pbus.*.*"
#define FIELDS_MAX 8

typedef struct Watch {
        Connection *connection;
        const char *wanted; /* a name, or the beginning of a full form; NULL: all */
        bool json;
        bool terminal;
        uint64_t n_left; /* lines that are still to be told */
} Watch;

typedef struct Event {
        const char *what; /* here, gone */
        const char *full;
        const char *name;    /* "": it is about the process */
        const char *program; /* "" if it is about a name */
        bool remote;
} Event;

static size_t split(char *line, char *fields[static FIELDS_MAX]) {
        size_t n = 0;

        while (line && n < FIELDS_MAX)
                fields[n++] = strsep(&line, "\t");
        for (size_t i = n; i < FIELDS_MAX; i++)
                fields[i] = "";
        return n;
}

static bool is_wanted(const Watch *watch, const Event *event) {
        return !watch->wanted || strcmp(watch->wanted, event->name) == 0 ||
               strncmp(watch->wanted, event->full, strlen(watch->wanted)) == 0;
}

static const char *path_of(const Event *event) {
        return event->remote ? "remote" : "local";
}

/* These return a line to be freed, and its length; NULL: no memory. */

static char *format_json(const Event *event, uint64_t usec, size_t *ret_n) {
        JsonValue *object = json_begin();

        json_add_number(object, "time_usec", usec);
        json_add_text(object, "event", event->what);
        json_add_text(object, "full", event->full);
        json_add_text(object, "name", *event->name ? event->name : NULL);
        json_add_text(object, "comm", *event->program ? event->program : NULL);
        json_add_text(object, "path", path_of(event));
        return json_finish(object, ret_n);
}

static char *format_aligned(const Event *event, uint64_t usec, size_t *ret_n) {
        time_t seconds = (time_t)(usec / USEC_PER_SEC);
        char clock[32], *line = NULL;
        struct tm tm;
        int n;

        (void)localtime_r(&seconds, &tm); /* fails only for years beyond int */
        (void)strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
        n = asprintf(&line, "%s  %-8s  %.16s  %s  %s\n", clock, event->what, event->full,
                     *event->name ? event->name : event->program, path_of(event));
        *ret_n = (size_t)n;
        return n < 0 ? NULL : line;
}

static char *format_tabs(const Event *event, uint64_t usec, size_t *ret_n) {
        char *line = NULL;
        int n;

        n = asprintf(&line, "%" PRIu64 "\t%s\t%s\t%s\t%s\t%s\n", usec, event->what, event->full,
                     *event->name ? event->name : "-", *event->program ? event->program : "-",
                     path_of(event));
        *ret_n = (size_t)n;
        return n < 0 ? NULL : line;
}

/* These return 0, or what output_write() does. */

static int tell_event(Watch *watch, const Event *event) {
        uint64_t usec = now_usec(CLOCK_REALTIME);
        _cleanup_(freep) char *line = NULL;
        size_t n = 0;

        if (watch->n_left == 0 || !is_wanted(watch, event))
                return 0;
        watch->n_left--;
        line = watch->json       ? format_json(event, usec, &n)
               : watch->terminal ? format_aligned(event, usec, &n)
                                 : format_tabs(event, usec, &n);
        return line ? output_write(watch->connection, line, n) : -ENOMEM;
}

/* A line of the list: the process, and each of its names. */
static int tell_process(Watch *watch, char *line) {
        char *fields[FIELDS_MAX], *names;
        Event event = { .what = "here", .name = "", .program = "" };
        int r;

        (void)split(line, fields);
        common_make_printable(fields[3]);
        event.full = fields[0];
        event.program = fields[3];
        r = tell_event(watch, &event);
        event.program = "";
        names = strcmp(fields[5], "-") != 0 ? fields[5] : NULL;
        while (r == 0 && names) {
                event.name = strsep(&names, ",");
                r = tell_event(watch, &event);
        }
        return r;
}

static int tell_list(Watch *watch, char *text) {
        int r = 0;

        while (r == 0 && text && *text)
                r = tell_process(watch, strsep(&text, "\n"));
        return r;
}

/* What the daemon published: about a process its full form, uid, process id and program, about a name
 * that and a full form. */
static int tell_message(Watch *watch, p2pbus_message *message) {
        const char *topic = p2pbus_message_get_topic(message);
        bool is_name = strncmp(topic, "p2pbus.name.", 12) == 0;
        size_t n = p2pbus_message_get_size(message);
        _cleanup_(freep) char *line = strndup(n > 0 ? p2pbus_message_get_payload(message) : "", n);
        Event event = {
                .what = strrchr(topic, '.') ? strrchr(topic, '.') + 1 : topic,
                .name = "",
                .program = "",
        };
        char *fields[FIELDS_MAX];

        if (!line)
                return -ENOMEM;
        if (p2pbus_message_get_lost(message) > 0)
                tell(LEVEL_WARNING, "%" PRIu64 " changes were lost before this one",
                     p2pbus_message_get_lost(message));
        if (split(line, fields) < 2)
                return 0; /* of a later version */
        event.full = is_name ? fields[1] : fields[0];
        if (is_name) {
                event.name = fields[0];
        } else {
                common_make_printable(fields[3]);
                event.program = fields[3];
        }
        return tell_event(watch, &event);
}

/* That one says something else of itself is neither coming nor going. */
static int tell_change(Watch *watch, const p2pbus_provider_change *change) {
        const Event event = {
                .what = change->event == P2PBUS_PROVIDER_GONE ? "gone" : "here",
                .full = change->full,
                .name = change->name,
                .program = "",
                .remote = change->remote,
        };

        return change->event != P2PBUS_PROVIDER_CHANGED ? tell_event(watch, &event) : 0;
}

/* All that has come by now, of whichever was asked for. */
static int tell_news(Watch *watch) {
        p2pbus_provider_change change = { .struct_size = sizeof(change) };
        p2pbus_message *message;
        int r = 0;

        while (r == 0 && p2pbus_next_provider_change(watch->connection->bus, &change) == 0)
                r = tell_change(watch, &change);
        while (r == 0 && p2pbus_receive(watch->connection->bus, 0, &message) == 0) {
                r = tell_message(watch, message);
                p2pbus_message_unref(message);
        }
        return r;
}

/* Until -c or -t end it. @list: what is there; NULL if it comes as news. Return: the status to end with. */
static int follow(Watch *watch, char *list, uint64_t deadline) {
        struct pollfd out = output_pollfd(true);
        int r;

        r = tell_list(watch, list);
        if (r == 0)
                r = tell_news(watch);
        while (r == 0 && watch->n_left > 0 && now_usec(CLOCK_MONOTONIC) < deadline) {
                r = connection_wait(watch->connection, &out, 1, deadline);
                if (r == 0)
                        r = out.revents != 0 ? OUTPUT_E_CLOSED : tell_news(watch);
        }
        return r == 0 || r == CONNECTION_E_TIMEOUT ? STATUS_DONE : output_end(watch->connection, r);
}

/* ---- What is asked for ---- */

static int fail_bus(Ctl *ctl, int r) {
        return connection_fail(&ctl->connection, "bus", p2pbus_get_socket(ctl->connection.bus), r,
                               p2pbus_get_reason(), NULL);
}

/* These return 0, or the status to end with. */

static int begin_name(Ctl *ctl, const char *name) {
        _cleanup_(freep) char *text = NULL;
        int r, status;

        status = ctl_open(ctl, true);
        if (status != 0)
                return status;
        r = p2pbus_watch(ctl->connection.bus, name);
        /* The daemon answers in order: who is on this host has been told of then, whatever -t says. */
        return r < 0 ? fail_bus(ctl, r) : ctl_query(ctl, P2PBUS_QUERY_STATUS, &text);
}

static int begin_all(Ctl *ctl, char **ret_list) {
        int r, status;

        status = ctl_open(ctl, false);
        if (status != 0)
                return status;
        r = p2pbus_subscribe(ctl->connection.bus, TOPICS, 0, ctl->timeout_usec);
        return r < 0 ? fail_bus(ctl, r) : ctl_query(ctl, P2PBUS_QUERY_LIST, ret_list);
}

int ctl_watch(Ctl *ctl) {
        Watch watch = {
                .connection = &ctl->connection,
                .wanted = ctl->n_operands > 0 ? ctl->operands[0] : NULL,
                .json = ctl->options.json,
                .terminal = isatty(STDOUT_FILENO),
                .n_left = ctl->count_given ? ctl->count : UINT64_MAX,
        };
        uint64_t deadline = ctl->timeout_given ? deadline_after(ctl->timeout_usec) : USEC_NEVER;
        _cleanup_(freep) char *list = NULL;
        int status = -1;

        if (watch.wanted)
                status = ctl_check_destination(watch.wanted);
        if (status >= 0)
                return status;
        if (watch.wanted && p2pbus_check_destination(watch.wanted) == P2PBUS_DESTINATION_NAME)
                status = begin_name(ctl, watch.wanted);
        else
                status = begin_all(ctl, &list);
        if (status == 0)
                status = connection_watch(&ctl->connection);
        return status == 0 ? follow(&watch, list, deadline) : status;
}
