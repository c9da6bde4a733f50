/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbusctl ping: round trips to a process's library
 *
 * A line for each, and a summary. A destination that is not there ends it at once; one that does
 * not answer in time is counted as lost. Status 0 if any answer came.
 */

#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "tools/common.h"
#include "tools/ctl.h"
#include "tools/json.h"
#include "tools/output.h"

typedef struct Trips {
        uint64_t n_sent;
        uint64_t n_answered;
        uint64_t min_usec;
        uint64_t max_usec;
        uint64_t sum_usec;
        char full[P2PBUS_FULL_SIZE];
        int remote;
        JsonValue *list; /* of round trips, with --json */
} Trips;

static double msec(uint64_t usec) {
        return (double)usec / 1000;
}

static int print_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int print_line(const char *format, ...) {
        char *text = NULL;
        va_list args;
        int n;

        va_start(args, format);
        n = vasprintf(&text, format, args);
        va_end(args);
        return output_print(n < 0 ? NULL : text, n < 0 ? 0 : (size_t)n);
}

static int print_json(const char *dest, Trips *trips) {
        JsonValue *object = json_begin();
        char *text;
        size_t n;

        json_add_text(object, "destination", dest);
        json_add_text(object, "full", trips->n_answered > 0 ? trips->full : NULL);
        json_add_text(object, "path",
                      trips->n_answered == 0 ? NULL
                      : trips->remote        ? "remote"
                                             : "local");
        json_add_number(object, "sent", trips->n_sent);
        json_add_number(object, "answered", trips->n_answered);
        json_add_value(object, "rtt_usec", TAKE_PTR(trips->list));
        if (trips->n_answered > 0) {
                json_add_number(object, "min_usec", trips->min_usec);
                json_add_number(object, "avg_usec", trips->sum_usec / trips->n_answered);
                json_add_number(object, "max_usec", trips->max_usec);
        }
        text = json_finish(object, &n);
        return output_print(text, n);
}

static int print_summary(const char *dest, const Trips *trips) {
        int status;

        status = print_line("--- %s: %" PRIu64 " sent, %" PRIu64 " answered, %" PRIu64 " lost\n",
                            dest, trips->n_sent, trips->n_answered,
                            trips->n_sent - trips->n_answered);
        if (status != 0 || trips->n_answered == 0)
                return status;
        return print_line("round trip min/avg/max %.3f/%.3f/%.3f ms\n", msec(trips->min_usec),
                          msec(trips->sum_usec / trips->n_answered), msec(trips->max_usec));
}

static int take_answer(const Ctl *ctl, Trips *trips, uint64_t usec) {
        trips->min_usec = trips->n_answered == 0 ? usec : MIN(trips->min_usec, usec);
        trips->max_usec = MAX(trips->max_usec, usec);
        trips->sum_usec += usec;
        trips->n_answered++;
        if (ctl->options.json) {
                json_append_number(trips->list, usec);
                return 0;
        }
        return print_line("%s %s: seq %" PRIu64 ", %.3f ms\n", trips->full,
                          trips->remote ? "remote" : "local", trips->n_sent, msec(usec));
}

static int ping_all(Ctl *ctl, const char *dest, Trips *trips) {
        while (trips->n_sent < ctl->count) {
                uint64_t begun = now_usec(CLOCK_MONOTONIC), usec = 0, waited;
                int r, status;

                trips->n_sent++;
                r = p2pbus_ping(ctl->connection.bus, dest, ctl->timeout_usec, &usec, trips->full,
                                &trips->remote);
                if (r == -ETIMEDOUT && ctl->count > 1)
                        tell(LEVEL_INFO,
                             "%s: no answer to %" PRIu64 " in time; see whether it is "
                             "stopped",
                             dest, trips->n_sent);
                else if (r < 0)
                        return connection_fail(&ctl->connection, dest, NULL, r, p2pbus_get_reason(),
                                               NULL);
                else {
                        status = take_answer(ctl, trips, usec);
                        if (status != 0)
                                return status;
                }

                /* The library works on meanwhile: pings of others want their answers. */
                waited = now_usec(CLOCK_MONOTONIC) - begun;
                while (trips->n_sent < ctl->count && waited < ctl->interval_usec) {
                        if (p2pbus_wait(ctl->connection.bus, ctl->interval_usec - waited) < 0)
                                break;
                        waited = now_usec(CLOCK_MONOTONIC) - begun;
                }
        }
        return 0;
}

int ctl_ping(Ctl *ctl) {
        const char *dest = ctl->operands[0];
        Trips trips = { 0 };
        int status;

        status = ctl_check_destination(dest);
        if (status < 0)
                status = ctl_open(ctl, true);
        if (status != 0)
                return status;
        if (ctl->options.json)
                trips.list = json_begin_list();

        status = ping_all(ctl, dest, &trips);
        if (ctl->options.json) {
                int printed = print_json(dest, &trips);

                status = status == 0 ? printed : status;
        } else if (status == 0)
                status = print_summary(dest, &trips);
        if (status == 0 && trips.n_answered == 0)
                status = fail(STATUS_TIMEOUT,
                              "%s: no answer; see whether it is stopped, or give it "
                              "more time with -t",
                              dest);
        return status;
}
