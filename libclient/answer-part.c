/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/answer-part.h"

#include "libclient/loop.h"
#include "libclient/peer.h"
#include "libclient/reason.h"
#include "libclient/receive.h"
#include "libclient/send.h"
#include "libcore/err.h"

bool answer_part_is_one(const Message *m) {
        return m->kind == MESSAGE_PROGRESS ||
               (m->kind == MESSAGE_REPLY && (m->flags & MESSAGE_MORE));
}

/* The asker's side */

void answer_part_put(Request *request, Message *part) {
        p2pbus *bus = request->bus;

        receive_lend(part->peer, part);
        if (request->parts)
                request->last_part->next_part = part;
        else
                request->parts = part;
        request->last_part = part;
        bus->counters.received++;
        timer_clear(&bus->timers, &request->timer);
        request_list(request);
        bus_happened(bus);
}

static Message *take_first(Request *request) {
        Message *part = request->parts;

        request->parts = part->next_part;
        part->next_part = NULL;
        return part;
}

void answer_part_drop_all(Request *request) {
        while (request->parts)
                receive_drop(request->bus, take_first(request));
}

void answer_part_call(Request *request) {
        p2pbus *bus = request->bus;
        Message *part = take_first(request);
        int event = part->kind == MESSAGE_PROGRESS ? P2PBUS_STREAM_PROGRESS : P2PBUS_STREAM_PART;
        p2pbus_message *message;

        part->bus = bus;
        bus_hold(bus);
        message = receive_hand_out(part);
        bus->called = request;
        pthread_mutex_unlock(&bus->lock);
        request->on_part(bus, event, 0, 0, message, request->userdata);
        p2pbus_message_unref(message);
        pthread_mutex_lock(&bus->lock);
        bus->called = NULL;

        if (request->is_forgotten) {
                request_free(request);
        } else if (request->parts || request->is_over) {
                request_list(request);
        } else {
                loop_read_clock(bus);
                (void)timer_set(&bus->timers, &request->timer,
                                bus_deadline(bus, request->silence_usec, P2PBUS_TIMEOUT_DEFAULT));
        }
}

void answer_part_call_last(Request *request, p2pbus_message *reply) {
        request->on_part(request->bus,
                         request->reason == 0 ? P2PBUS_STREAM_LAST : P2PBUS_STREAM_FAILED,
                         reason_errno(request->reason), request->reason, reply, request->userdata);
}

_public_ int p2pbus_request_stream(p2pbus *bus, const char *dest, p2pbus_message *message,
                                   uint64_t timeout_usec, p2pbus_stream_callback callback,
                                   void *userdata, char ret_id[P2PBUS_ID_SIZE]) {
        const Request as = { .on_part = callback, .userdata = userdata };

        return request_start_as(bus, &as, dest, message, timeout_usec, ret_id);
}

/* The provider's side */

static int part_send(p2pbus *bus, Message *request, Message *part) {
        int r;

        r = reply_check(bus, request, part);
        if (r < 0)
                return r;
        if (!(request->flags & MESSAGE_MORE)) {
                if (part->kind == MESSAGE_PROGRESS)
                        return 0; /* who waits for one answer alone does not look at it */
                return reason_fail_errno(-EOPNOTSUPP, "its sender takes one reply, no parts");
        }
        receive_done(bus, request);
        request->is_begun = true;
        if (reply_is_unwanted(request))
                return reason_fail_text(P2PBUS_REASON_CANCELLED, "nobody waits for the answer");

        part->reply_to = request->id;
        part->id = bus_new_id(bus);
        /* One that were given up would be a hole; all of them end with their session. */
        part->deadline_usec = USEC_NEVER;
        return send_to_peer(bus, request->peer, part);
}

static int enter_and_send_part(p2pbus *bus, p2pbus_message *request, p2pbus_message *message,
                               MessageKind kind, uint8_t flags) {
        Message *m = (Message *)message;
        int r;

        r = reply_check_given(request, message);
        if (r < 0)
                return r;
        r = bus_enter(bus);
        if (r < 0)
                return r;
        m->kind = (uint8_t)kind;
        m->flags = (uint8_t)((m->flags & ~MESSAGE_MORE) | flags);
        r = send_encode(m);
        if (r == 0)
                r = part_send(bus, (Message *)request, m);
        return bus_leave(bus, r);
}

_public_ int p2pbus_reply_more(p2pbus *bus, p2pbus_message *request, p2pbus_message *message) {
        return enter_and_send_part(bus, request, message, MESSAGE_REPLY, MESSAGE_MORE);
}

_public_ int p2pbus_reply_progress(p2pbus *bus, p2pbus_message *request, p2pbus_message *message) {
        return enter_and_send_part(bus, request, message, MESSAGE_PROGRESS, 0);
}

_public_ int p2pbus_message_is_cancelled(p2pbus_message *message) {
        Message *m = (Message *)message;
        int r;

        if (!m || m->kind != MESSAGE_REQUEST || !m->bus || m->from.pid == PID_NONE)
                return 0;
        if (bus_enter_timeless(m->bus) < 0)
                return 1; /* of a parent process: nobody hears us */
        r = m->bus->is_closed || !m->peer || m->is_unwanted;
        if (!r) {
                peer_look_at_session(m->peer);
                r = m->is_cut_off;
        }
        return bus_leave(m->bus, r);
}
