/* SPDX-License-Identifier: Apache-2.0 */

/*
 * All that a fan-out hears comes through reply callbacks, which run one at a time and without the lock:
 * what they count needs none. The end is one more of these, so that it, too, never comes from within
 * p2pbus_request_all().
 */

#include "config.h"

#include "libclient/fan-out.h"

#include <utlist.h>

#include "libclient/loop.h"
#include "libclient/reason.h"
#include "libclient/request.h"
#include "libclient/send.h"
#include "libcore/err.h"
#include "libcore/name.h"

typedef struct Part Part;

struct Part {
        FanOut *fan_out;
        PacketId id; /* of its request */
        char full[KEY_TEXT_SIZE];
        Part *next;
};

struct FanOut {
        p2pbus *bus;
        Service *service; /* as long as it waits for the providers */
        Message *message; /* what is copied */
        p2pbus_all_callback callback;
        void *userdata;
        bool one_way;
        uint32_t max_replies;
        uint64_t deadline_usec;
        Timer timer; /* while it waits */
        Part *parts;
        unsigned n_parts, n_over; /* asked and under way; heard of */
        bool is_asked;            /* all were */
        bool has_enough;
        bool is_ended;
        int reason;   /* of the end */
        Request *end; /* what tells of it */
        uint64_t n_asked, n_answered, n_failed;
        FanOut *prev, *next;           /* those of the bus */
        FanOut *prev_wait, *next_wait; /* those that wait for one service */
};

static void fan_out_free(FanOut *f) {
        Part *part, *next;

        if (f->service)
                service_forget_fan_out(f->service, f);
        timer_clear(&f->bus->timers, &f->timer);
        DL_DELETE(f->bus->fan_outs, f);
        LL_FOREACH_SAFE (f->parts, part, next)
                free(part);
        message_unref(f->message);
        free(f->end);
        free(f);
}

void fan_out_free_all(p2pbus *bus) {
        while (bus->fan_outs)
                fan_out_free(bus->fan_outs);
}

/* Telling */

static void tell(const FanOut *f, const char *provider, int reason, p2pbus_message *reply) {
        const p2pbus_all_event event = {
                .struct_size = sizeof(event),
                .error = reason_errno(reason),
                .reason = reason,
                .provider = provider,
                .reply = reply,
                .n_asked = f->n_asked,
                .n_answered = f->n_answered,
                .n_failed = f->n_failed,
        };

        f->callback(f->bus, &event, f->userdata);
}

static void on_end(p2pbus *bus, int error, int reason, p2pbus_message *reply, void *userdata) {
        FanOut *f = userdata;

        (void)error;
        (void)reason;
        (void)reply;
        tell(f, NULL, f->reason, NULL);
        if (bus_enter(bus) < 0)
                return;
        fan_out_free(f);
        (void)bus_leave(bus, 0);
}

/* Nothing more will be heard. */
static void end(FanOut *f, int reason) {
        if (f->is_ended)
                return;
        f->is_ended = true;
        f->reason = reason;
        timer_clear(&f->bus->timers, &f->timer);
        request_call(TAKE_PTR(f->end), on_end, f);
}

static void end_if_over(FanOut *f) {
        if (f->is_asked && f->n_over == f->n_parts)
                end(f, f->n_asked > 0 ? 0 : P2PBUS_REASON_NO_PROVIDER);
}

static void drop_others(FanOut *f) {
        Part *part;

        f->has_enough = true;
        LL_FOREACH (f->parts, part)
                (void)request_cancel(f->bus, &part->id); /* most are over */
}

static void on_part(p2pbus *bus, int error, int reason, p2pbus_message *reply, void *userdata) {
        Part *part = userdata;
        FanOut *f = part->fan_out;
        bool is_heard = !f->has_enough;

        if (is_heard) {
                if (error == 0)
                        f->n_answered++;
                else
                        f->n_failed++;
                tell(f, part->full, reason, reply);
        }
        if (bus_enter(bus) < 0)
                return;
        f->n_over++;
        if (is_heard && f->max_replies > 0 && f->n_answered >= f->max_replies)
                drop_others(f);
        end_if_over(f);
        (void)bus_leave(bus, 0);
}

/* Asking */

void fan_out_wait(FanOut **list, Service *service, FanOut *f) {
        f->service = service;
        DL_APPEND2(*list, f, prev_wait, next_wait);
}

static void leave(FanOut **list, FanOut *f) {
        f->service = NULL;
        DL_DELETE2(*list, f, prev_wait, next_wait);
}

FanOut *fan_out_pop(FanOut **list) {
        FanOut *f = *list;

        if (f)
                leave(list, f);
        return f;
}

void service_forget_fan_out(Service *service, FanOut *f) {
        leave(&service->fan_outs, f);
}

/* One payload for all; what else a message has is each one's. */
static Message *copy(const FanOut *f) {
        Message *from = f->message, *m;

        if (message_new_sharing(&m, from) < 0)
                return NULL;
        m->flags = from->flags;
        m->kind = f->one_way ? MESSAGE_ONE_WAY : MESSAGE_REQUEST;
        m->deadline_usec = f->deadline_usec;
        m->ack_now = f->one_way;
        if (from->type) {
                m->type = strdup(from->type);
                if (!m->type)
                        return message_unref(m);
        }
        return m;
}

/* Return: 0, or why it could not be asked: P2PBUS_REASON_X. */
static int ask(FanOut *f, Provider *p, Part *part) {
        _cleanup_(message_unrefp) Message *m = copy(f);
        int r;

        if (!m || send_encode(m) < 0)
                return P2PBUS_REASON_QUOTA;
        r = request_start_at(p, m, on_part, part, &part->id);
        if (r == -EAGAIN)
                return P2PBUS_REASON_QUEUE_FULL;
        return r < 0 ? P2PBUS_REASON_QUOTA : 0;
}

void fan_out_ask(FanOut *f, Provider *p) {
        Request *call = NULL;
        int reason;
        Part *part;

        f->n_asked++;
        part = calloc(1, sizeof(*part));
        if (!part) {
                f->n_failed++;
                return;
        }
        part->fan_out = f;
        (void)key_format(&p->key, part->full);
        LL_PREPEND(f->parts, part);
        reason = ask(f, p, part);
        if (reason != 0) {
                call = request_new(f->bus);
                if (!call) {
                        f->n_failed++;
                        return;
                }
                call->reason = reason;
                request_call(call, on_part, part);
        }
        f->n_parts++;
}

void fan_out_asked(FanOut *f) {
        f->is_asked = true;
        timer_clear(&f->bus->timers, &f->timer);
        f->message = message_unref(f->message);
        end_if_over(f);
}

static void on_timer(Timer *timer, uint64_t now) {
        FanOut *f = container_of(timer, FanOut, timer);

        (void)now;
        if (f->service)
                service_forget_fan_out(f->service, f);
        end(f, P2PBUS_REASON_TIMEOUT);
}

static int check(const char *name, const Message *m, const p2pbus_all_options *options,
                 p2pbus_all_callback callback) {
        if (!name || !name_is_valid(name, strlen(name)))
                return reason_fail_text(P2PBUS_REASON_BAD_DESTINATION, "%.64s is no service name",
                                        name ? name : "(null)");
        if (!m || m->is_given || m->reservation || !callback)
                return reason_fail_errno(-EINVAL, "no message to be sent, or no callback");
        if (options && (options->struct_size != sizeof(*options) ||
                        (options->flags & ~(uint32_t)P2PBUS_ALL_ONE_WAY)))
                return reason_fail_errno(-EINVAL, "p2pbus_all_options: size or flags");
        return 0;
}

static int begin(p2pbus *bus, const char *name, Message *m, const p2pbus_all_options *options,
                 p2pbus_all_callback callback, void *userdata) {
        FanOut *f;
        int r;

        if (bus->is_closed)
                return reason_fail(bus->away_reason);
        if (m->n_data > bus->welcome.message_max)
                return reason_fail_text(P2PBUS_REASON_TOO_BIG, "message of %zu bytes", m->n_data);
        f = calloc(1, sizeof(*f));
        if (!f)
                return reason_fail_errno(-ENOMEM, "out of memory");
        f->end = request_new(bus);
        if (!f->end) {
                free(f);
                return reason_fail_errno(-ENOMEM, "out of memory");
        }
        f->bus = bus;
        f->message = message_ref(m);
        f->callback = callback;
        f->userdata = userdata;
        f->one_way = options && (options->flags & P2PBUS_ALL_ONE_WAY);
        f->max_replies = options ? options->max_replies : 0;
        f->deadline_usec =
                bus_deadline(bus, options ? options->timeout_usec : 0, P2PBUS_TIMEOUT_DEFAULT);
        f->timer.on_due = on_timer;
        DL_APPEND(bus->fan_outs, f);
        r = timer_set(&bus->timers, &f->timer, f->deadline_usec) < 0
                    ? reason_fail_errno(-ENOMEM, "out of memory")
                    : service_expand(bus, name, f);
        if (r < 0)
                fan_out_free(f);
        else
                m->is_given = true;
        return r;
}

_public_ int p2pbus_request_all(p2pbus *bus, const char *name, p2pbus_message *message,
                                const p2pbus_all_options *options, p2pbus_all_callback callback,
                                void *userdata) {
        Message *m = (Message *)message;
        int r;

        r = check(name, m, options, callback);
        if (r < 0)
                return r;
        r = bus_enter(bus);
        if (r < 0)
                return r;
        return bus_leave(bus, begin(bus, name, m, options, callback, userdata));
}
