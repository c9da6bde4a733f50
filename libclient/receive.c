/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/receive.h"

#include <utlist.h>

#include "libclient/loan.h"
#include "libclient/loop.h"
#include "libclient/own-name.h"
#include "libclient/peer.h"
#include "libclient/reason.h"
#include "libclient/reservation.h"
#include "libclient/topic.h"
#include "libcore/err.h"

/*
 * The application's references are counted apart from ours: a session holds a message until it was
 * taken, and it is taken when the application has dropped its last one.
 */

static void mark_ready(Peer *peer) {
        if (peer->is_ready)
                return;
        peer->is_ready = true;
        DL_APPEND2(peer->bus->ready, peer, ready_prev, ready_next);
}

static void unmark_ready(Peer *peer) {
        if (!peer->is_ready)
                return;
        peer->is_ready = false;
        DL_DELETE2(peer->bus->ready, peer, ready_prev, ready_next);
}

static void unmark_untold(Peer *peer) {
        if (!peer->is_untold)
                return;
        peer->is_untold = false;
        DL_DELETE2(peer->bus->untold, peer, untold_prev, untold_next);
}

void receive_put(Peer *peer, Message *m) {
        m->is_waiting = true;
        DL_APPEND2(peer->inbox, m, bus_prev, bus_next);
        mark_ready(peer);
        peer->bus->counters.received++;
        own_name_count(peer->bus, m);
        bus_happened(peer->bus);
}

/* The application will not be given @m any more; our reference stays. */
static void take_out(Peer *peer, Message *m) {
        DL_DELETE2(peer->inbox, m, bus_prev, bus_next);
        if (!peer->inbox)
                unmark_ready(peer);
        m->is_waiting = false;
        own_name_discount(peer->bus, m);
}

static void drop(p2pbus *bus, Message *m) {
        if (m->loan)
                loan_return(bus, m);
        message_unref(m);
}

void receive_withdraw(Peer *peer) {
        Message *m = session_withdrawn(peer_inbound(peer));

        if (!m)
                return;
        take_out(peer, m);
        drop(peer->bus, m);
}

void receive_forget(Peer *peer) {
        unmark_ready(peer);
        unmark_untold(peer);
}

void receive_cancel(Peer *peer, const PacketId *id) {
        Message *m;

        DL_FOREACH2(peer->inbox, m, bus_next)
                if (m->kind == MESSAGE_REQUEST && packet_id_equal(&m->id, id))
                        m->is_unwanted = true;
        DL_FOREACH2(peer->lent, m, bus_next)
                if (m->kind == MESSAGE_REQUEST && packet_id_equal(&m->id, id))
                        m->is_unwanted = true;
        bus_happened(peer->bus); /* whoever works on it may ask */
}

void receive_session_ended(Peer *peer) {
        Message *m;

        DL_FOREACH2(peer->inbox, m, bus_next)
                m->is_cut_off = true;
        DL_FOREACH2(peer->lent, m, bus_next)
                m->is_cut_off = true;
        bus_happened(peer->bus);
}

void receive_done(p2pbus *bus, Message *m) {
        (void)bus;
        if (m->peer && !m->taken)
                peer_taken(m->peer, m);
}

void receive_tell(p2pbus *bus) {
        while (bus->untold) {
                Peer *peer = bus->untold;

                unmark_untold(peer);
                if (session_flush(peer_inbound(peer), bus->now_usec))
                        peer_mark(peer);
        }
}

void receive_return(Peer *peer) {
        while (peer->inbox) {
                Message *m = peer->inbox;

                take_out(peer, m);
                (void)session_return(peer_inbound(peer), m);
                drop(peer->bus, m);
        }
}

/* What stands first with @peer came too late for the application, and its sender hears so. */
static void expire_first(Peer *peer) {
        Message *m = peer->inbox;

        take_out(peer, m);
        if (session_expire(peer_inbound(peer), m))
                peer_mark(peer);
        drop(peer->bus, m);
}

/* Without memory for a copy it is as if it had not come yet. Topics and peers have turns. */
static Message *take(p2pbus *bus, bool borrow) {
        Peer *peer;
        Message *m;

        while ((peer = bus->ready) && peer->inbox->deadline_usec <= bus->now_usec)
                expire_first(peer);
        if (topic_has_messages(bus) && (!peer || !bus->topics.had_turn)) {
                bus->topics.had_turn = true;
                return topic_take(bus);
        }
        bus->topics.had_turn = false;
        if (!peer)
                return NULL;
        m = peer->inbox;
        if (m->loan && !borrow && loan_copy(bus, m) < 0)
                return NULL;
        DL_DELETE2(peer->inbox, m, bus_prev, bus_next);
        unmark_ready(peer);
        if (peer->inbox)
                mark_ready(peer);

        m->is_waiting = false;
        receive_lend(peer, m);
        m->bus = bus;
        bus_hold(bus);
        return m;
}

void receive_lend(Peer *peer, Message *m) {
        m->is_lent = true;
        DL_APPEND2(peer->lent, m, bus_prev, bus_next);
}

/* The other way round; our own reference stays. */
static void take_back(p2pbus *bus, Message *m) {
        receive_done(bus, m);
        own_name_discount(bus, m);
        if (m->loan)
                loan_return(bus, m);
        if (!m->is_lent)
                return;
        m->is_lent = false;
        DL_DELETE2(m->peer->lent, m, bus_prev, bus_next);
        if (!m->peer->lent && session_is_closed(m->peer->session))
                peer_mark(m->peer); /* it was waited for */
}

void receive_drop(p2pbus *bus, Message *m) {
        take_back(bus, m);
        message_unref(m);
}

int receive_next(p2pbus *bus, uint64_t timeout_usec, bool borrow, p2pbus_message **ret) {
        uint64_t until = bus_deadline(bus, timeout_usec, 0);
        Message *m;
        int r = 0;

        while (!(m = take(bus, borrow))) {
                if (bus->untold)
                        receive_tell(bus);
                r = loop_wait(bus, until);
                if (r < 0)
                        break;
        }
        if (m) {
                *ret = receive_hand_out(m);
                r = 0;
        } else if (r == -ETIMEDOUT) {
                r = -EAGAIN;
        }
        return r;
}

_public_ int p2pbus_receive(p2pbus *bus, uint64_t timeout_usec, p2pbus_message **ret) {
        int r;

        r = timeout_usec > 0 ? bus_enter_blocking(bus) : bus_enter(bus);
        if (r < 0)
                return r;
        return bus_leave(bus, receive_next(bus, timeout_usec, false, ret));
}

_public_ void p2pbus_done(p2pbus_message *message) {
        Message *m = (Message *)message;

        if (!m || m->from.pid == PID_NONE || !m->bus || bus_enter_timeless(m->bus) < 0)
                return;
        receive_done(m->bus, m);
        (void)bus_leave(m->bus, 0);
}

p2pbus_message *receive_hand_out(Message *m) {
        if (__atomic_fetch_add(&m->n_users, 1, __ATOMIC_ACQ_REL) > 0)
                message_unref(m);
        return (p2pbus_message *)m;
}

_public_ p2pbus_message *p2pbus_message_ref(p2pbus_message *message) {
        __atomic_add_fetch(&((Message *)message)->n_users, 1, __ATOMIC_RELAXED);
        return message;
}

_public_ p2pbus_message *p2pbus_message_unref(p2pbus_message *message) {
        Message *m = (Message *)message;
        p2pbus *bus;

        if (!m || __atomic_sub_fetch(&m->n_users, 1, __ATOMIC_ACQ_REL) > 0)
                return NULL;
        if (m->reservation) {
                reservation_give_up(m);
                return NULL;
        }
        bus = m->from.pid != PID_NONE ? m->bus : NULL;
        if (bus && bus_enter_timeless(bus) == 0) {
                receive_drop(bus, m);
                (void)bus_leave(bus, 0);
                bus_release(bus);
                return NULL;
        }
        message_unref(m);
        return NULL;
}
