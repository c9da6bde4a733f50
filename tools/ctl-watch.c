/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbusctl watch: who comes and goes
 *
 * First what is there, and then each change, which the daemon publishes. It is subscribed before it is
 * asked what is there: what changes in between may be told twice, but not missed.
 */

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
        const char *wanted; /* a name, or the beginning of a full form; NULL: all */
        bool json;
        bool terminal;
        uint64_t n_told;
} Watch;

static size_t split(char *line, char *fields[static FIELDS_MAX]) {
        size_t n = 0;

        while (line && n < FIELDS_MAX)
                fields[n++] = strsep(&line, "\t");
        for (size_t i = n; i < FIELDS_MAX; i++)
                fields[i] = "";
        return n;
}

static bool is_wanted(const Watch *watch, const char *full, const char *name) {
        return !watch->wanted || strcmp(watch->wanted, name) == 0 ||
               strncmp(watch->wanted, full, strlen(watch->wanted)) == 0;
}

static int print_json(const char *event, const char *full, const char *name, const char *program,
                      uint64_t usec) {
        JsonValue *object = json_begin();
        char *text;
        size_t n;

        json_add_number(object, "time_usec", usec);
        json_add_text(object, "event", event);
        json_add_text(object, "full", full);
        json_add_text(object, "name", *name ? name : NULL);
        json_add_text(object, "comm", *program ? program : NULL);
        text = json_finish(object, &n);
        return output_print(text, n);
}

/* @name: "": it is about the process. Return: 0, or the status to end with. */
static int tell_event(Watch *watch, const char *event, const char *full, const char *name,
                      const char *program) {
        uint64_t usec = now_usec(CLOCK_REALTIME);
        time_t seconds = (time_t)(usec / USEC_PER_SEC);
        char clock[32], *line = NULL;
        struct tm tm;
        int n;

        if (!is_wanted(watch, full, name))
                return 0;
        watch->n_told++;
        if (watch->json)
                return print_json(event, full, name, program, usec);
        if (watch->terminal) {
                (void)localtime_r(&seconds, &tm); /* fails only for years beyond int */
                (void)strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
                n = asprintf(&line, "%s  %-8s  %.16s  %s\n", clock, event, full,
                             *name ? name : program);
        } else
                n = asprintf(&line, "%" PRIu64 "\t%s\t%s\t%s\t%s\n", usec, event, full,
                             *name ? name : "-", *program ? program : "-");
        if (n < 0)
                return output_print(NULL, 0);
        return output_print(line, (size_t)n);
}

/* A line of the list: the process, and each of its names. */
static int tell_process(Watch *watch, char *line) {
        char *fields[FIELDS_MAX], *names;
        int status;

        (void)split(line, fields);
        common_make_printable(fields[3]);
        status = tell_event(watch, "here", fields[0], "", fields[3]);
        names = strcmp(fields[5], "-") != 0 ? fields[5] : NULL;
        while (status == 0 && names) {
                const char *name = strsep(&names, ",");

                status = tell_event(watch, "here", fields[0], name, "");
        }
        return status;
}

static int tell_list(Ctl *ctl, Watch *watch) {
        _cleanup_(freep) char *text = NULL;
        char *next;
        int status;

        status = ctl_query(ctl, P2PBUS_QUERY_LIST, &text);
        next = text;
        while (status == 0 && next && *next)
                status = tell_process(watch, strsep(&next, "\n"));
        return status;
}

/* What the daemon published: about a process its full form, uid, process id and program, about a name
 * that and a full form. */
static int tell_message(Watch *watch, p2pbus_message *message) {
        const char *topic = p2pbus_message_get_topic(message);
        bool is_name = strncmp(topic, "p2pbus.name.", 12) == 0;
        const char *event = strrchr(topic, '.') ? strrchr(topic, '.') + 1 : topic;
        size_t n = p2pbus_message_get_size(message);
        _cleanup_(freep) char *line = strndup(n > 0 ? p2pbus_message_get_payload(message) : "", n);
        char *fields[FIELDS_MAX];

        if (!line)
                return output_print(NULL, 0);
        if (p2pbus_message_get_lost(message) > 0)
                tell(LEVEL_WARNING, "%" PRIu64 " changes were lost before this one",
                     p2pbus_message_get_lost(message));
        if (split(line, fields) < 2)
                return 0; /* of a later version */
        if (is_name)
                return tell_event(watch, event, fields[1], fields[0], "");
        common_make_printable(fields[3]);
        return tell_event(watch, event, fields[0], "", fields[3]);
}

/* Until -c or -t end it. Return: the status to end with. */
static int follow(Ctl *ctl, Watch *watch, uint64_t deadline) {
        int status = STATUS_DONE;

        while (status == STATUS_DONE && (!ctl->count_given || watch->n_told < ctl->count)) {
                uint64_t now = now_usec(CLOCK_MONOTONIC);
                p2pbus_message *message;
                int r;

                if (now >= deadline)
                        return STATUS_DONE;
                r = p2pbus_receive(ctl->connection.bus,
                                   deadline == USEC_NEVER ? P2PBUS_FOREVER : deadline - now,
                                   &message);
                if (r == -EAGAIN)
                        continue;
                if (r < 0)
                        return connection_fail(&ctl->connection, "bus",
                                               p2pbus_get_socket(ctl->connection.bus), r,
                                               p2pbus_get_reason(), NULL);
                status = tell_message(watch, message);
                p2pbus_message_unref(message);
        }
        return status;
}

int ctl_watch(Ctl *ctl) {
        Watch watch = {
                .wanted = ctl->n_operands > 0 ? ctl->operands[0] : NULL,
                .json = ctl->options.json,
                .terminal = isatty(STDOUT_FILENO),
        };
        uint64_t deadline = ctl->timeout_given ? deadline_after(ctl->timeout_usec) : USEC_NEVER;
        int r, status = -1;

        if (watch.wanted)
                status = ctl_check_destination(watch.wanted);
        if (status < 0)
                status = ctl_open(ctl, false);
        if (status != 0)
                return status;
        r = p2pbus_subscribe(ctl->connection.bus, TOPICS, 0, ctl->timeout_usec);
        if (r < 0)
                return connection_fail(&ctl->connection, "bus",
                                       p2pbus_get_socket(ctl->connection.bus), r,
                                       p2pbus_get_reason(), NULL);
        status = tell_list(ctl, &watch);
        return status == 0 ? follow(ctl, &watch, deadline) : status;
}
