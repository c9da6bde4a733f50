/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every message that was sent stands in bus->sent until it is settled. Then whoever waits for it
 * takes it, or its request does, or it waits for p2pbus_next_result(), or only its failure is
 * remembered for p2pbus_flush(): one of these.
 */

#include "config.h"

#include "libclient/send.h"

#include <stdio.h>
#include <utlist.h>

#include "libclient/daemon.h"
#include "libclient/loop.h"
#include "libclient/path.h"
#include "libclient/peer.h"
#include "libclient/reason.h"
#include "libclient/receive.h"
#include "libclient/request.h"
#include "libclient/service.h"
#include "libclient/topic-remote.h"
#include "libcore/buf.h"
#include "libcore/err.h"
#include "libcore/name.h"

#define SETTLE_USEC (50 * USEC_PER_MSEC) /* for a word that is on its way at the deadline */

/* Destinations */

int destination_parse(const char *text, Destination *ret) {
        KeyText key;

        if (!text)
                return reason_fail(P2PBUS_REASON_BAD_DESTINATION);
        if (strchr(text, '.')) {
                if (!name_is_valid(text, strlen(text)))
                        return reason_fail_text(P2PBUS_REASON_BAD_DESTINATION,
                                                "%.64s is no service name", text);
                *ret = (Destination){ .kind = P2PBUS_DESTINATION_NAME };
                return 0;
        }
        switch (key_text_parse(text, &key)) {
        case 0:
                break;
        case KEY_E_MISMATCH:
                return reason_fail_text(P2PBUS_REASON_BAD_DESTINATION,
                                        "%.64s: PID and key do not belong together", text);
        default:
                return reason_fail_text(P2PBUS_REASON_BAD_DESTINATION,
                                        "%.64s is neither a PID nor a service name", text);
        }
        if (pid_is_reserved(key.address.pid))
                return reason_fail(P2PBUS_REASON_RESERVED);
        *ret = (Destination){
                .kind = (int)key.form,
                .address = key.address,
                .has_key = key.form == KEY_FORM_FULL,
                .key = key.key,
        };
        return 0;
}

_public_ int p2pbus_check_destination(const char *dest) {
        Destination destination;
        int r;

        r = destination_parse(dest, &destination);
        return r < 0 ? r : destination.kind;
}

/* Whoever is met again by a bare PID must have the key of the first time. */
static void complete(const p2pbus *bus, Destination *destination) {
        const PublicKey *key = NULL;

        if (destination->kind == P2PBUS_DESTINATION_PID)
                key = known_peers_find(bus->known, destination->address.pid);
        if (!key)
                return;
        destination->address = key_hash(key).address;
        destination->has_key = true;
        destination->key = *key;
}

static int get_peer(p2pbus *bus, const Destination *destination, Peer **ret) {
        int r;

        r = peer_get(bus, destination->address,
                     destination->has_key ? &destination->key : NULL, ret);
        if (r == -ENOBUFS)
                return -EAGAIN;
        if (r < 0)
                return reason_fail_errno(-ENOMEM, "out of memory");
        return 0;
}

int destination_peer(p2pbus *bus, const char *text, Peer **ret) {
        Destination destination;
        int r;

        /* Most programs send to the same process again and again. */
        if (bus->last_peer && text && strcmp(text, bus->last_dest) == 0) {
                *ret = bus->last_peer;
                return 0;
        }
        r = destination_parse(text, &destination);
        if (r < 0)
                return r;
        if (destination.kind == P2PBUS_DESTINATION_NAME) {
                *ret = NULL;
                return 0;
        }
        complete(bus, &destination);
        r = get_peer(bus, &destination, ret);
        if (r == 0 && strlen(text) < sizeof(bus->last_dest)) {
                strcpy(bus->last_dest, text);
                bus->last_peer = *ret;
        }
        return r;
}

/* Sending */

int send_encode(Message *m) {
        size_t n = m->type ? strlen(m->type) : 0;
        BufWriter w;

        if (n == 0 || m->extensions)
                return 0;
        m->extensions = malloc(n + 3);
        if (!m->extensions)
                return reason_fail_errno(-ENOMEM, "out of memory");
        m->n_extensions = (uint16_t)(n + 3);
        w = buf_writer(m->extensions, m->n_extensions);
        buf_put_u8(&w, MESSAGE_EXT_TYPE);
        buf_put_le16(&w, (uint16_t)n);
        buf_put_bytes(&w, m->type, n);
        return 0;
}

static int too_big(p2pbus *bus, const Message *m) {
        return reason_fail_text(P2PBUS_REASON_TOO_BIG, "message of %zu bytes, this bus takes %llu",
                                m->n_data, (unsigned long long)bus->welcome.message_max);
}

void send_begun(p2pbus *bus, Message *m) {
        m->is_given = true;
        m->bus = bus;
        m->number = bus->n_sent_ever++;
        DL_APPEND2(bus->sent, m, bus_prev, bus_next);
        bus->counters.sent++;
        bus->counters.queued++;
}

int send_to_peer(p2pbus *bus, Peer *peer, Message *m) {
        int r;

        r = peer_send(peer, m);
        switch (r) {
        case 0:
                send_begun(bus, m);
                return 0;
        case SESSION_E_FULL:
                return -EAGAIN;
        case SESSION_E_TOO_BIG:
                return too_big(bus, m);
        case -ESHUTDOWN:
                return reason_fail(P2PBUS_REASON_CLOSED);
        default:
                return reason_fail_errno(-ENOMEM, "out of memory");
        }
}

int send_message(p2pbus *bus, const char *dest, Message *m, uint64_t timeout_usec) {
        Peer *peer;
        int r;

        if (bus->is_closed)
                return reason_fail(bus->away_reason);
        if (!m || m->is_given)
                return reason_fail_errno(-EINVAL, "the message was sent or received before");
        if (m->reservation)
                return reason_fail_errno(-EINVAL, "p2pbus_commit() sends what was reserved");
        if (m->n_data > bus->welcome.message_max)
                return too_big(bus, m);
        if ((bus->flags & P2PBUS_RESULTS) && bus->n_results >= BUS_RESULTS_MAX)
                return -EAGAIN;
        r = send_encode(m);
        if (r < 0)
                return r;
        r = destination_peer(bus, dest, &peer);
        if (r < 0)
                return r;

        m->id = bus_new_id(bus);
        m->deadline_usec = bus_deadline(bus, timeout_usec, P2PBUS_TIMEOUT_DEFAULT);
        m->result = RESULT_PENDING;
        if (peer)
                return send_to_peer(bus, peer, m);
        return service_send(bus, dest, m);
}

static void count(p2pbus *bus, int result) {
        p2pbus_counters *c = &bus->counters;

        c->queued--;
        switch (result) {
        case RESULT_DELIVERED:
                c->delivered++;
                break;
        case RESULT_UNKNOWN:
                c->unknown++;
                break;
        case RESULT_CANCELLED:
                c->cancelled++;
                break;
        case CODE_EXPIRED:
                c->expired++;
                break;
        default:
                c->refused++;
        }
}

/* What is no word of those on the way is one of the receiver's, or our own. */
static uint8_t refuser_of(const Message *m) {
        if (m->result <= 0 || m->result >= _CODE_MAX || m->result == CODE_EXPIRED || !m->peer)
                return P2PBUS_BY_UNKNOWN;
        return m->peer->refusal == m->result ? m->peer->refused_by : P2PBUS_BY_RECEIVER;
}

void send_finished(p2pbus *bus, Message *m) {
        if (m->provider && service_retry(bus, m))
                return;
        DL_DELETE2(bus->sent, m, bus_prev, bus_next);
        m->bus_prev = m->bus_next = NULL;
        m->refused_by = refuser_of(m);
        if (m->result == CODE_DENIED && m->peer && m->peer->refusal == CODE_DENIED &&
            m->peer->refusal_text)
                m->refusal_text = strdup(m->peer->refusal_text); /* without memory, no text */
        if (m->request)
                m->request->peer = m->peer;
        if (m->peer)
                m->peer->n_unsettled--;
        m->peer = NULL;
        count(bus, m->result);
        bus_happened(bus);

        if (m->request) {
                request_sent(bus, m);
        } else if (m->waiter) {
                m->waiter = NULL; /* whoever waits has a reference and sees the result */
        } else if (!message_kind_begins(m->kind)) {
                /* An asker that is gone is no failure of whoever answered. */
        } else if (bus->flags & P2PBUS_RESULTS) {
                DL_APPEND2(bus->results, m, bus_prev, bus_next);
                bus->n_results++;
                return;
        } else if (m->result != RESULT_DELIVERED && bus->failure == 0) {
                bus->failure = reason_of(m->result);
        }
        message_unref(m);
}

_public_ int p2pbus_send(p2pbus *bus, const char *dest, p2pbus_message *message,
                         uint64_t timeout_usec, char ret_id[P2PBUS_ID_SIZE]) {
        Message *m = (Message *)message;
        int r;

        r = bus_enter(bus);
        if (r < 0)
                return r;
        if (m && !m->is_given)
                m->kind = MESSAGE_ONE_WAY;
        r = send_message(bus, dest, m, timeout_usec);
        if (r == 0 && ret_id)
                message_format_id(&m->id, ret_id);
        return bus_leave(bus, r);
}

_public_ int p2pbus_send_wait(p2pbus *bus, const char *dest, p2pbus_message *message,
                              uint64_t timeout_usec) {
        Message *m = (Message *)message;
        uint64_t until;
        int r;

        r = bus_enter_blocking(bus);
        if (r < 0)
                return r;
        until = bus_deadline(bus, timeout_usec, P2PBUS_TIMEOUT_DEFAULT);
        if (m && !m->is_given) {
                m->kind = MESSAGE_ONE_WAY;
                m->waiter = m;
                m->ack_now = true;
        }
        for (;;) {
                uint64_t left = until > bus->now_usec ? until - bus->now_usec : 1;

                r = send_message(bus, dest, m, left);
                if (r != -EAGAIN)
                        break;
                r = loop_wait(bus, until);
                if (r == -ETIMEDOUT)
                        r = reason_fail_text(P2PBUS_REASON_EXPIRED,
                                             "the receiver does not take what waits for it");
                if (r < 0)
                        break;
        }
        /*
         * Its deadline ends the wait. Usually the session has settled it by then; only a receiver
         * that answers nothing leaves its fate open, and the session goes on asking.
         */
        while (r == 0 && m->result == RESULT_PENDING)
                r = loop_wait(bus, until < USEC_NEVER - SETTLE_USEC ? until + SETTLE_USEC :
                                                                      USEC_NEVER);
        if (r == -ETIMEDOUT && m->is_given)
                return bus_leave(bus, reason_fail(P2PBUS_REASON_TIMEOUT));
        if (r == 0 && m->result == RESULT_CANCELLED && bus->is_closed)
                r = reason_fail(bus->away_reason);
        else if (r == 0 && m->refusal_text)
                r = reason_fail_denied(m->refusal_text);
        else if (r == 0 && m->result != RESULT_DELIVERED)
                r = reason_fail_code_by(m->result, m->refused_by);
        else if (r < 0 && m && !m->is_given)
                m->waiter = NULL, m->ack_now = false;
        return bus_leave(bus, r);
}

/* What became of them */

static int first_failure(p2pbus *bus) {
        int reason = bus->failure;
        Message *m;

        bus->failure = 0;
        if (bus->flags & P2PBUS_RESULTS)
                DL_FOREACH2(bus->results, m, bus_next)
                        if (m->result != RESULT_DELIVERED) {
                                reason = reason_of(m->result);
                                break;
                        }
        return reason ? reason_fail(reason) : 0;
}

/* Something of ours sent before number @end is not settled. Replies do not count. */
static bool is_under_way(p2pbus *bus, uint64_t end) {
        return bus->sent && bus->sent->number < end;
}

_public_ int p2pbus_flush(p2pbus *bus, uint64_t timeout_usec) {
        uint64_t until, end;
        int r;

        r = bus_enter_blocking(bus);
        if (r < 0)
                return r;
        until = bus_deadline(bus, timeout_usec, 0);
        end = bus->n_sent_ever;
        while (r == 0 && is_under_way(bus, end))
                r = loop_wait(bus, until);
        if (r == -ETIMEDOUT)
                r = reason_fail(P2PBUS_REASON_TIMEOUT);
        if (r == 0)
                r = first_failure(bus);
        return bus_leave(bus, r);
}

static uint64_t path_number(const Peer *peer) {
        return peer->bus->generation + peer->generation;
}

/* The first message that is not known to be in the bus's hands, or NULL. */
static Message *first_in_our_hands(p2pbus *bus, uint64_t end) {
        Message *m;

        DL_FOREACH2(bus->sent, m, bus_next) {
                if (m->number >= end)
                        return NULL;
                if (!m->peer || m->n_records == 0 || m->n_records_sent < m->n_records ||
                    m->peer->handed_end < end || m->peer->handed_path != path_number(m->peer))
                        return m;
        }
        return NULL;
}

/*
 * The daemon answers in the order of asking: when it says who has an address, it has dealt with all
 * that was sent there before, and a NOT_LOCAL about it has been heard.
 */
static int confirm(p2pbus *bus, Peer *peer, uint64_t end, uint64_t until) {
        Address address = peer->address;
        Ask ask = { .control = { .verb = CONTROL_RESOLVE, .address = address } };
        uint64_t path = path_number(peer);
        int r;

        r = daemon_ask_wait(bus, &ask, until);
        if (r < 0 && ask.is_answered)
                r = 0; /* that it is not there is what its messages will be told */
        daemon_drop(bus, &ask);

        peer = peer_find(bus, address, NULL); /* it may have gone meanwhile */
        if (r == 0 && peer && path_number(peer) == path) {
                peer->handed_path = path;
                peer->handed_end = end;
        }
        return r;
}

_public_ int p2pbus_hand_over(p2pbus *bus, uint64_t timeout_usec) {
        uint64_t until, end;
        Message *m;
        int r;

        r = bus_enter_blocking(bus);
        if (r < 0)
                return r;
        until = bus_deadline(bus, timeout_usec, 0);
        end = bus->n_sent_ever;
        topic_remote_hand_over(bus, until);
        while (r == 0) {
                loop_send(bus, true);
                m = first_in_our_hands(bus, end);
                if (!m && (bus->topics.n_published == 0 || !bus->is_up ||
                           connection_queued(bus->connection) == 0))
                        break;
                if (!m || !m->peer || m->n_records == 0 || m->n_records_sent < m->n_records ||
                    !bus->is_up || connection_queued(bus->connection) > 0)
                        r = loop_wait(bus, until);
                else
                        r = confirm(bus, m->peer, end, until);
        }
        if (r == -ETIMEDOUT)
                r = reason_fail(P2PBUS_REASON_TIMEOUT);
        if (r == 0)
                r = first_failure(bus);
        return bus_leave(bus, r);
}

_public_ int p2pbus_next_result(p2pbus *bus, p2pbus_message **ret) {
        Message *m;
        int r;

        r = bus_enter(bus);
        if (r < 0)
                return r;
        m = bus->results;
        if (!(bus->flags & P2PBUS_RESULTS)) {
                r = reason_fail_errno(-EINVAL, "opened without P2PBUS_RESULTS");
        } else if (!m) {
                r = -EAGAIN;
        } else {
                DL_DELETE2(bus->results, m, bus_prev, bus_next);
                bus->n_results--;
                *ret = receive_hand_out(m);
        }
        return bus_leave(bus, r);
}

_public_ int p2pbus_cancel(p2pbus *bus, const char *id_text) {
        PacketId id;
        Message *m;
        int r;

        if (!message_parse_id(id_text, &id))
                return reason_fail_errno(-EINVAL, "not the id of a message");
        r = bus_enter(bus);
        if (r < 0)
                return r;
        DL_FOREACH2(bus->sent, m, bus_next)
                if (packet_id_equal(&m->id, &id))
                        break;
        r = request_cancel(bus, &id) ? 0 : -ENOENT;
        if (m && m->is_unwanted) {
                ; /* cancelled before, and only not settled yet */
        } else if (m && m->peer) {
                m->is_unwanted = true;
                session_abandon(m->peer->session, m, RESULT_CANCELLED, bus->now_usec);
                peer_mark(m->peer);
                r = 0;
        } else if (m) {
                service_withdraw(bus, m, RESULT_CANCELLED);
                r = 0;
        }
        if (r == -ENOENT)
                r = reason_fail_errno(r, "no such message under way");
        return bus_leave(bus, r);
}

/* The end */

void send_fail_all(p2pbus *bus, int reason) {
        (void)reason;
        PEER_FOREACH (bus, peer) {
                Message *m;

                session_fail(peer->session, RESULT_CANCELLED, bus->now_usec);
                while ((m = session_pop_finished(peer->session)))
                        send_finished(bus, m);
        }
        service_fail_all(bus, RESULT_CANCELLED);
}

void send_free_all(p2pbus *bus) {
        Message *m, *next;

        DL_FOREACH_SAFE2(bus->results, m, next, bus_next) {
                DL_DELETE2(bus->results, m, bus_prev, bus_next);
                message_unref(m);
        }
}
