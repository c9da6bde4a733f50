/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A call is on one of three lists: it waits, it runs, or it could not be started and its handler is still
 * to be told, from the loop. Abandoned while it runs it stays there, without a handler, until the library
 * has called back: it is that callback's userdata.
 */

#include "procbridge/calls.h"

#include <utlist.h>

#include "libcore/err.h"
#include "libcore/util.h"

#define JSON_TYPE "application/json"

struct Call {
        Calls *calls;
        Call **list; /* which it is on */
        Call *prev, *next;
        char *dest;
        p2pbus_message *message; /* until it runs */
        size_t n_charged;
        uint64_t deadline_usec;
        char id[P2PBUS_ID_SIZE]; /* once it runs */
        char *why;               /* once it has ended unstarted */
        int error;
        CallHandler handler; /* NULL: abandoned */
        void *userdata;
};

static void call_move(Call *call, Call **list) {
        if (call->list)
                DL_DELETE(*call->list, call);
        call->list = list;
        if (list)
                DL_APPEND(*list, call);
}

/* What waiting costs. */
static void call_release(Call *call) {
        call->message = p2pbus_message_unref(call->message);
        budget_give(call->calls->budget, call->n_charged);
        call->n_charged = 0;
}

static void call_free(Call *call) {
        call_move(call, NULL);
        call_release(call);
        free(call->dest);
        free(call->why);
        free(call);
}

/* The last thing that happens to a call. */
static void call_tell(Call *call, int error, p2pbus_message *reply, const char *why) {
        CallHandler handler = call->handler;
        void *userdata = call->userdata;
        _cleanup_(freep) char *kept = TAKE_PTR(call->why);

        call_free(call);
        if (handler)
                handler(userdata, error, reply, why);
}

static void on_reply(p2pbus *bus, int error, int reason, p2pbus_message *reply, void *userdata) {
        Call *call = userdata;

        (void)bus;
        call->calls->n_running--;
        call_tell(call, error, reply,
                  error == 0   ? NULL
                  : reason > 0 ? p2pbus_reason_text(reason)
                               : p2pbus_error_text(error));
}

/* It ends before it has begun. */
static void call_end(Call *call, int error, const char *why) {
        call->error = error;
        call->why = strdup(why); /* without it the error speaks for itself */
        call_release(call);
        call_move(call, &call->calls->ended);
        (void)sd_event_source_set_enabled(call->calls->later, SD_EVENT_ONESHOT);
}

/* Return: whether it waits no longer. */
static bool call_start(Call *call, uint64_t now) {
        Calls *calls = call->calls;
        uint64_t left = call->deadline_usec > now ? call->deadline_usec - now : 1;
        int r;

        r = p2pbus_request_start(calls->bus, call->dest, call->message, left, on_reply, call,
                                 call->id);
        if (r == -EAGAIN)
                return false;
        if (r < 0) {
                call_end(call, r, p2pbus_get_explanation());
                return true;
        }
        calls->n_running++;
        call_release(call);
        call_move(call, &calls->running);
        return true;
}

static void calls_arm(Calls *calls) {
        if (!calls->waiting) {
                (void)sd_event_source_set_enabled(calls->timer, SD_EVENT_OFF);
                return;
        }
        (void)sd_event_source_set_time(calls->timer, calls->waiting->deadline_usec);
        (void)sd_event_source_set_enabled(calls->timer, SD_EVENT_ONESHOT);
}

void calls_go_on(Calls *calls) {
        uint64_t now;
        Call *call, *next;

        if (!calls->waiting)
                return;
        now = now_usec(CLOCK_MONOTONIC);
        DL_FOREACH_SAFE (calls->waiting, call, next) {
                if (calls->n_running >= calls->n_max)
                        break;
                (void)call_start(call, now);
        }
        calls_arm(calls);
}

/* All have the same time, so the first is the next whose time is up. */
static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        Calls *calls = userdata;

        (void)source, (void)usec;
        while (calls->waiting && calls->waiting->deadline_usec <= now)
                call_end(calls->waiting, -ETIMEDOUT,
                         "too many calls, no time left to make this one");
        calls_arm(calls);
        return 0;
}

static int on_later(sd_event_source *source, void *userdata) {
        Calls *calls = userdata;

        (void)source;
        while (calls->ended) {
                Call *call = calls->ended;
                int error = call->error;

                call_tell(call, error, NULL, call->why ? call->why : p2pbus_error_text(error));
        }
        return 0;
}

int calls_init(Calls *calls, p2pbus *bus, sd_event *event, Budget *budget, uint64_t timeout_usec,
               uint64_t n_max) {
        int r;

        *calls = (Calls){
                .bus = bus,
                .budget = budget,
                .timeout_usec = timeout_usec,
                .n_max = n_max,
        };
        r = sd_event_add_time(event, &calls->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, calls);
        if (r < 0)
                return err_origin(r);
        r = sd_event_source_set_enabled(calls->timer, SD_EVENT_OFF);
        if (r < 0)
                return err_origin(r);
        r = sd_event_add_defer(event, &calls->later, on_later, calls);
        if (r < 0)
                return err_origin(r);
        r = sd_event_source_set_enabled(calls->later, SD_EVENT_OFF);
        return r < 0 ? err_origin(r) : 0;
}

void calls_done(Calls *calls) {
        Call *call, *next;

        calls->timer = sd_event_source_disable_unref(calls->timer);
        calls->later = sd_event_source_disable_unref(calls->later);
        DL_FOREACH_SAFE (calls->waiting, call, next)
                call_free(call);
        DL_FOREACH_SAFE (calls->running, call, next)
                call_free(call);
        DL_FOREACH_SAFE (calls->ended, call, next)
                call_free(call);
}

int call_new(Call **ret, Calls *calls, const char *dest, char *text, size_t n, CallHandler handler,
             void *userdata) {
        _cleanup_(freep) char *owned = text;
        Call *call;
        int r;

        if (!budget_take(calls->budget, n))
                return -EDQUOT;
        call = calloc(1, sizeof(*call));
        if (!call) {
                budget_give(calls->budget, n);
                return err_origin(-ENOMEM);
        }
        call->calls = calls;
        call->n_charged = n;
        call->handler = handler;
        call->userdata = userdata;
        call->deadline_usec = now_usec(CLOCK_MONOTONIC) + calls->timeout_usec;
        call->dest = strdup(dest);
        r = call->dest ? p2pbus_message_new_take(&call->message, text, n) : -ENOMEM;
        if (r >= 0) {
                owned = NULL;
                r = p2pbus_message_set_type(call->message, JSON_TYPE);
        }
        if (r < 0) {
                call_free(call);
                return err_trace(r);
        }
        calls->n_made++;
        call_move(call, &calls->waiting);
        calls_go_on(calls);
        *ret = call;
        return 0;
}

void call_abandon(Call *call) {
        if (!call)
                return;
        call->handler = NULL;
        if (call->list == &call->calls->running)
                (void)p2pbus_cancel(call->calls->bus,
                                    call->id); /* over already: the callback comes */
        else
                call_free(call);
}
