/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/request.h"

#include <utlist.h>

#include "libclient/answer-part.h"
#include "libclient/loop.h"
#include "libclient/own-name.h"
#include "libclient/peer.h"
#include "libclient/reason.h"
#include "libclient/receive.h"
#include "libclient/send.h"
#include "libclient/service.h"
#include "libcore/buf.h"
#include "libcore/err.h"

static Request *request_find(p2pbus *bus, const PacketId *id) {
        Request *request;

        HASH_FIND(hh, bus->requests, id, sizeof(*id), request);
        return request;
}

void request_is_not_owed(Request *request) {
        if (request->is_owed)
                request->peer->n_owed--;
        request->is_owed = false;
}

static void unlink_request(Request *request) {
        p2pbus *bus = request->bus;

        HASH_DELETE(hh, bus->requests, request);
        timer_clear(&bus->timers, &request->timer);
        service_end_request(request, NULL);
        request_is_not_owed(request);
        request->kept = message_unref(request->kept);
        if (request->message) {
                /* Its fate interests nobody any more. */
                request->message->request = NULL;
                request->message->waiter = request->message;
                request->message = NULL;
        }
}

void request_list(Request *request) {
        p2pbus *bus = request->bus;

        /* The one whose callback runs now is put back by whoever runs it. */
        if (request->is_listed || bus->called == request)
                return;
        request->is_listed = true;
        DL_APPEND(bus->calls, request);
}

static void unlist(Request *request) {
        request->is_listed = false;
        DL_DELETE(request->bus->calls, request);
}

static void request_end(Request *request, int reason, Message *reply) {
        unlink_request(request);
        request->is_over = true;
        request->reason = reason;
        request->reply = reply;
        if (reason == P2PBUS_REASON_CANCELLED)
                answer_part_drop_all(request);
        if (request->callback || request->on_part)
                request_list(request);
        bus_happened(request->bus);
}

static void send_cancel(Peer *peer, const PacketId *id) {
        const Record record = {
                .type = RECORD_CANCEL,
                .session = session_id(peer->session),
                .id = *id,
        };
        uint8_t bytes[RECORD_HEADER_SIZE + PACKET_ID_SIZE];

        record_encode(&record, bytes);
        peer_send_records(peer, bytes, record_size(&record));
}

/* Whoever may be at work on it need not go on. */
static void tell_cancelled(const Request *request) {
        const Message *m = request->message;

        if (!m && request->peer)
                send_cancel(request->peer, &request->id);
        else if (m && m->peer && m->n_records > 0 && m->n_records_sent == m->n_records)
                send_cancel(m->peer, &request->id);
}

static void on_request_timer(Timer *timer, uint64_t now) {
        Request *request = container_of(timer, Request, timer);

        (void)now;
        service_miss_request(request);
        if (request->on_part)
                tell_cancelled(request); /* it may go on for long */
        request_end(request, P2PBUS_REASON_TIMEOUT, NULL);
}

void request_sent(p2pbus *bus, Message *m) {
        Request *request = m->request;

        (void)bus;
        m->request = NULL;
        request->message = NULL;
        if (m->result != RESULT_DELIVERED || m->kind == MESSAGE_ONE_WAY) {
                request_end(request, reason_of(m->result), NULL);
                return;
        }
        request->is_owed = true;
        request->peer->n_owed++;
}

void request_on_reply(Peer *peer, Message *reply) {
        p2pbus *bus = peer->bus;
        Request *request = request_find(bus, &reply->reply_to);
        bool is_part = answer_part_is_one(reply);
        const Peer *asked = NULL;

        if (request)
                asked = request->message ? request->message->peer : request->peer;
        if (is_part && request && asked == peer && request->on_part) {
                service_on_reply(request, reply);
                answer_part_put(request, reply);
                return;
        }
        session_taken(peer_inbound(peer), reply, bus->now_usec);
        peer_mark(peer);
        reply->peer = NULL;
        if (!request || asked != peer) {
                /* Too late, or from somebody who was not asked; whoever goes on has not heard that. */
                if (is_part)
                        send_cancel(peer, &reply->reply_to);
                message_unref(reply);
                return;
        }
        if (is_part) {
                /* It was not asked for. Progress is of no harm, but half an answer is none. */
                if (reply->kind != MESSAGE_PROGRESS) {
                        send_cancel(peer, &request->id);
                        request_end(request, P2PBUS_REASON_VIOLATION, NULL);
                }
                message_unref(reply);
                return;
        }
        bus->counters.received++;
        service_on_reply(request, reply);
        /* How long all parts took says nothing of how long a request does. */
        service_end_request(request, request->on_part ? NULL : reply);
        request_end(request, reply->kind == MESSAGE_ERROR ? P2PBUS_REASON_ERROR_REPLY : 0, reply);
}

void request_peer_ended(Peer *peer) {
        p2pbus *bus = peer->bus;
        Request *request, *next;

        /* Those that are still on their way end in request_sent(). */
        HASH_ITER(hh, bus->requests, request, next)
                if (!request->message && request->peer == peer && !service_ask_another(request))
                        request_end(request, P2PBUS_REASON_NO_REPLY, NULL);
}

/* Of an answer that came whole, in parts that the program has not seen: it hears no more of them. */
static bool cancel_unseen(p2pbus *bus, const PacketId *id) {
        Request *request = bus->called;

        if (!request || !packet_id_equal(&request->id, id))
                DL_FOREACH(bus->calls, request)
                        if (request->on_part && packet_id_equal(&request->id, id))
                                break;
        if (!request || request->reason == P2PBUS_REASON_CANCELLED)
                return false;
        answer_part_drop_all(request);
        request->reply = message_unref(request->reply);
        request->reason = P2PBUS_REASON_CANCELLED;
        return true;
}

bool request_cancel(p2pbus *bus, const PacketId *id) {
        Request *request = request_find(bus, id);

        if (!request)
                return cancel_unseen(bus, id);
        tell_cancelled(request);
        request_end(request, P2PBUS_REASON_CANCELLED, NULL);
        return true;
}

void request_free(Request *request) {
        answer_part_drop_all(request);
        message_unref(request->reply);
        free(request);
}

void request_call_first(p2pbus *bus) {
        Request *request = bus->calls;
        p2pbus_message *reply;

        unlist(request);
        if (request->parts) {
                answer_part_call(request);
                return;
        }
        reply = request->reply ? receive_hand_out(TAKE_PTR(request->reply)) : NULL;
        pthread_mutex_unlock(&bus->lock);
        if (request->on_part)
                answer_part_call_last(request, reply);
        else
                request->callback(bus, reason_errno(request->reason), request->reason, reply,
                                  request->userdata);
        p2pbus_message_unref(reply);
        pthread_mutex_lock(&bus->lock);
        request_free(request);
}

void request_forget_all(p2pbus *bus) {
        Request *request, *next;

        HASH_ITER(hh, bus->requests, request, next)
                request_end(request, P2PBUS_REASON_CANCELLED, NULL);
        while ((request = bus->calls)) {
                unlist(request);
                request_free(request);
        }
        if (bus->called)
                bus->called->is_forgotten = true;
}

void request_free_all(p2pbus *bus) {
        request_forget_all(bus);
}

Request *request_new(p2pbus *bus) {
        Request *request = calloc(1, sizeof(*request));

        if (request)
                request->bus = bus;
        return request;
}

void request_call(Request *request, p2pbus_reply_callback callback, void *userdata) {
        request->callback = callback;
        request->userdata = userdata;
        request->is_over = true;
        request_list(request);
        bus_happened(request->bus);
}

/* Its message is under way. */
static void request_begun(Request *request, Message *m) {
        p2pbus *bus = request->bus;

        request->id = m->id;
        request->message = m->result == RESULT_PENDING ? m : NULL;
        request->timer.on_due = on_request_timer;
        HASH_ADD(hh, bus->requests, id, sizeof(request->id), request);
        (void)timer_set(&bus->timers, &request->timer, m->deadline_usec);
}

int request_start_at(Provider *provider, Message *m, p2pbus_reply_callback callback, void *userdata,
                     PacketId *ret_id) {
        p2pbus *bus = provider->set->bus;
        Request *request = request_new(bus);
        int r;

        if (!request)
                return reason_fail_errno(-ENOMEM, "out of memory");
        request->callback = callback;
        request->userdata = userdata;
        m->request = request;
        m->id = *ret_id = bus_new_id(bus);
        r = service_send_to(provider, m);
        if (r < 0) {
                m->request = NULL;
                request_free(request);
                return r;
        }
        request_begun(request, m);
        return 0;
}

/* Return: as send_message(); on failure @request is as before. */
static int request_start(Request *request, const char *dest, Message *m, uint64_t timeout_usec) {
        p2pbus *bus = request->bus;
        int r;

        if (m && !m->is_given) {
                m->kind = MESSAGE_REQUEST;
                m->flags &= (uint8_t)~MESSAGE_MORE;
                if (request->on_part)
                        m->flags |= MESSAGE_MORE;
                m->request = request;
        }
        r = send_message(bus, dest, m, timeout_usec);
        if (r < 0) {
                if (m && m->request == request)
                        m->request = NULL;
                return r;
        }
        request_begun(request, m);
        return 0;
}

int request_start_as(p2pbus *bus, const Request *as, const char *dest, p2pbus_message *message,
                     uint64_t timeout_usec, char ret_id[P2PBUS_ID_SIZE]) {
        Request *request;
        int r;

        if (!as->callback && !as->on_part)
                return reason_fail_errno(-EINVAL, "a request without a callback");
        r = bus_enter(bus);
        if (r < 0)
                return r;
        request = request_new(bus);
        if (!request)
                return bus_leave(bus, reason_fail_errno(-ENOMEM, "out of memory"));
        request->callback = as->callback;
        request->on_part = as->on_part;
        request->userdata = as->userdata;
        request->silence_usec = timeout_usec;
        r = request_start(request, dest, (Message *)message, timeout_usec);
        if (r < 0)
                free(request);
        else if (ret_id)
                message_format_id(&request->id, ret_id);
        return bus_leave(bus, r);
}

_public_ int p2pbus_request_start(p2pbus *bus, const char *dest, p2pbus_message *message,
                                  uint64_t timeout_usec, p2pbus_reply_callback callback,
                                  void *userdata, char ret_id[P2PBUS_ID_SIZE]) {
        const Request as = { .callback = callback, .userdata = userdata };

        return request_start_as(bus, &as, dest, message, timeout_usec, ret_id);
}

static int request_wait(Request *request, p2pbus_message **ret_reply) {
        int r = 0;

        while (r == 0 && !request->is_over)
                r = loop_wait(request->bus, USEC_NEVER); /* its own timer ends it */
        if (r < 0) {
                if (!request->is_over)
                        unlink_request(request);
                return r;
        }
        if (request->reason == P2PBUS_REASON_CANCELLED && request->bus->is_closed)
                return reason_fail(request->bus->away_reason);
        if (request->reason == P2PBUS_REASON_TIMEOUT)
                return reason_fail_text(P2PBUS_REASON_TIMEOUT, "no reply in time");
        if (request->reply)
                *ret_reply = receive_hand_out(request->reply);
        return request->reason ? reason_fail(request->reason) : 0;
}

_public_ int p2pbus_request(p2pbus *bus, const char *dest, p2pbus_message *message,
                            uint64_t timeout_usec, p2pbus_message **ret_reply) {
        Request request = { .bus = bus };
        uint64_t until;
        int r;

        r = bus_enter_blocking(bus);
        if (r < 0)
                return r;
        until = bus_deadline(bus, timeout_usec, P2PBUS_TIMEOUT_DEFAULT);
        for (;;) {
                uint64_t left = until > bus->now_usec ? until - bus->now_usec : 1;

                r = request_start(&request, dest, (Message *)message, left);
                if (r != -EAGAIN)
                        break;
                r = loop_wait(bus, until);
                if (r == -ETIMEDOUT)
                        r = reason_fail_text(P2PBUS_REASON_EXPIRED,
                                             "the receiver does not take what waits for it");
                if (r < 0)
                        break;
        }
        if (r == 0)
                r = request_wait(&request, ret_reply);
        if (r == -EACCES && ((Message *)message)->refusal_text)
                r = reason_fail_denied(((Message *)message)->refusal_text);
        return bus_leave(bus, r);
}

/* Replies of ours */

int reply_check(p2pbus *bus, const Message *request, const Message *reply) {
        if (request->kind != MESSAGE_REQUEST || request->bus != bus)
                return reason_fail_errno(-EINVAL, "not a request that this handle received");
        if (request->is_answered)
                return reason_fail_errno(-EINVAL, "the request was answered before");
        if (bus->is_closed)
                return reason_fail(bus->away_reason);
        if (reply->n_data > bus->welcome.message_max)
                return reason_fail_text(P2PBUS_REASON_TOO_BIG,
                                        "reply of %zu bytes, this bus takes %llu", reply->n_data,
                                        (unsigned long long)bus->welcome.message_max);
        return 0;
}

bool reply_is_unwanted(const Message *request) {
        if (!request->peer || request->is_unwanted)
                return true;
        if (!request->is_begun)
                return false;
        peer_look_at_session(request->peer);
        return request->is_cut_off; /* some of the parts may not have come */
}

static int reply_send(p2pbus *bus, Message *request, Message *reply) {
        uint64_t lifetime = (uint64_t)request->lifetime_msec * USEC_PER_MSEC;
        int r;

        r = reply_check(bus, request, reply);
        if (r < 0)
                return r;
        if (reply_is_unwanted(request)) {
                request->is_answered = true;
                own_name_discount(bus, request);
                receive_done(bus, request);
                return 0;
        }

        if (own_name_put_load(bus, reply) < 0)
                return reason_fail_errno(-ENOMEM, "out of memory");
        reply->reply_to = request->id;
        reply->id = bus_new_id(bus);
        /* What stands behind parts that are read slowly waits as long as they do. */
        reply->deadline_usec = USEC_NEVER;
        if (!request->is_begun)
                reply->deadline_usec = bus_deadline(bus, lifetime, P2PBUS_TIMEOUT_DEFAULT);
        r = send_to_peer(bus, request->peer, reply);
        if (r == 0) {
                request->is_answered = true;
                own_name_discount(bus, request);
                receive_done(bus, request);
        }
        return r;
}

int reply_check_given(const p2pbus_message *request, const p2pbus_message *message) {
        const Message *m = (const Message *)message;

        if (!request || !m || m->is_given || m->reservation)
                return reason_fail_errno(-EINVAL, "no reply, or one that was sent before");
        return 0;
}

static int enter_and_reply(p2pbus *bus, Message *request, Message *m) {
        int r;

        r = bus_enter(bus);
        if (r < 0)
                return r;
        r = send_encode(m);
        if (r == 0)
                r = reply_send(bus, request, m);
        return bus_leave(bus, r);
}

_public_ int p2pbus_reply(p2pbus *bus, p2pbus_message *request, p2pbus_message *message) {
        Message *m = (Message *)message;
        int r;

        r = reply_check_given(request, message);
        if (r < 0)
                return r;
        m->kind = MESSAGE_REPLY;
        m->flags &= (uint8_t)~MESSAGE_MORE;
        return enter_and_reply(bus, (Message *)request, m);
}

_public_ int p2pbus_reply_error(p2pbus *bus, p2pbus_message *request, uint32_t status,
                                const char *text) {
        size_t n = text ? strlen(text) : 0;
        _cleanup_(message_unrefp) Message *m = NULL;
        BufWriter w;
        int r;

        if (!request || n > P2PBUS_ERROR_TEXT_MAX)
                return reason_fail_errno(-EINVAL, "no request, or too long a text");
        r = message_new_with_size(&m, n, 7);
        if (r < 0)
                return reason_fail_errno(r, "out of memory");
        if (n > 0)
                memcpy(m->data, text, n);
        w = buf_writer(m->extensions, m->n_extensions);
        buf_put_u8(&w, MESSAGE_EXT_STATUS);
        buf_put_le16(&w, 4);
        buf_put_le32(&w, status);
        m->kind = MESSAGE_ERROR;
        return enter_and_reply(bus, (Message *)request, m);
}
