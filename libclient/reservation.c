/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/reservation.h"

#include "libclient/path-ring.h"
#include "libclient/peer.h"
#include "libclient/reason.h"
#include "libclient/send.h"
#include "libclient/tap.h"
#include "libcore/err.h"

#define HEADS_SIZE (RECORD_HEADER_SIZE + RECORD_MESSAGE_HEAD_SIZE)

static bool is_on_its_ring(const Peer *peer, const RingPath *ring) {
        return peer && peer_is_on_ring(peer) && (!ring || peer->ring == ring);
}

static bool has_memory(const Peer *peer) {
        return peer->bus->memory <= peer->bus->buffer_bytes || peer->n_unsettled == 0;
}

/* Return: whether the payload has its place in the ring. */
static bool find_place(Message *m, Peer *peer) {
        Reservation *r = m->reservation;

        if (r->size == 0 || r->size > RECORD_BODY_MAX - RECORD_MESSAGE_HEAD_SIZE ||
            !is_on_its_ring(peer, NULL) || !has_memory(peer) ||
            !session_may_commit(peer->session, HEADS_SIZE + r->size) ||
            !ring_path_hold_room(peer->ring, HEADS_SIZE + r->size, &r->place))
                return false;
        r->ring = peer->ring;
        m->data = r->place + HEADS_SIZE;
        m->is_shared = true;
        return true;
}

static void leave_place(p2pbus *bus, Message *m) {
        Reservation *r = m->reservation;

        if (!r->ring)
                return;
        m->data = NULL;
        m->is_shared = false;
        ring_path_leave_room(bus, r->ring);
        r->ring = NULL;
}

/* The message is an ordinary one again, without the place it had. Return: 0; -ENOMEM. */
static int copy_out(p2pbus *bus, Message *m) {
        uint8_t *data;

        if (!m->reservation->ring)
                return 0;
        data = malloc(MAX(m->n_data, (size_t)1));
        if (!data)
                return reason_fail_errno(-ENOMEM, "out of memory");
        memcpy(data, m->data, m->n_data);
        leave_place(bus, m);
        m->data = data;
        return 0;
}

_public_ int p2pbus_reserve(p2pbus *bus, const char *dest, size_t size, p2pbus_message **ret,
                            void **ret_data) {
        Peer *peer;
        Message *m;
        int r;

        r = bus_enter(bus);
        if (r < 0)
                return r;
        if (bus->is_closed)
                return bus_leave(bus, reason_fail(bus->away_reason));
        if (size > bus->welcome.message_max)
                return bus_leave(
                        bus, reason_fail_text(P2PBUS_REASON_TOO_BIG, "message of %zu bytes", size));
        r = destination_peer(bus, dest, &peer);
        if (r < 0)
                return bus_leave(bus, r);

        r = message_new(&m);
        if (r == 0) {
                m->reservation = calloc(1, sizeof(*m->reservation) + strlen(dest) + 1);
                r = m->reservation ? 0 : -ENOMEM;
        }
        if (r == 0) {
                strcpy(m->reservation->dest, dest);
                m->reservation->size = m->n_data = size;
                if (!find_place(m, peer)) {
                        m->data = malloc(MAX(size, (size_t)1));
                        r = m->data ? 0 : -ENOMEM;
                }
        }
        if (r < 0) {
                message_unref(m);
                return bus_leave(bus, reason_fail_errno(-ENOMEM, "out of memory"));
        }
        m->kind = MESSAGE_ONE_WAY;
        m->n_users = 1;
        m->bus = bus;
        bus_hold(bus);
        *ret = (p2pbus_message *)m;
        *ret_data = m->data;
        return bus_leave(bus, 0);
}

/* Return: the peer in whose ring @m can be committed where it stands; or NULL. */
static Peer *may_commit(p2pbus *bus, const Message *m) {
        const Reservation *r = m->reservation;
        Peer *peer;

        if (!r->ring || r->ring->is_dead || m->type || bus->is_closed || m->n_data == 0 ||
            ((bus->flags & P2PBUS_RESULTS) && bus->n_results >= BUS_RESULTS_MAX))
                return NULL;
        peer = r->ring->peer;
        return is_on_its_ring(peer, r->ring) && has_memory(peer) &&
                               session_may_commit(peer->session, HEADS_SIZE + m->n_data)
                       ? peer
                       : NULL;
}

/* Return: as send_message(). */
static int commit_in_place(p2pbus *bus, Peer *peer, Message *m, uint64_t timeout_usec) {
        Reservation *reservation = m->reservation;
        Record record;
        int r;

        m->id = bus_new_id(bus);
        m->deadline_usec = bus_deadline(bus, timeout_usec, P2PBUS_TIMEOUT_DEFAULT);
        m->result = RESULT_PENDING;
        r = session_commit(peer->session, m, bus->now_usec, &record);
        if (r != 0 && r != SESSION_E_IDLE)
                return reason_fail_errno(-EAGAIN, "the session is full");
        if (r == 0) {
                record_encode(&record, reservation->place);
                if (tap_is_wanted(bus))
                        tap_show(peer, reservation->place, record_size(&record), &m->id,
                                 m->deadline_usec);
                peer->traffic.bytes_out += record_size(&record);
                ring_path_commit_room(reservation->ring, record_size(&record));
        }
        peer_began(peer, m);
        send_begun(bus, m);
        return 0;
}

static int commit(p2pbus *bus, Message *m, size_t size, uint64_t timeout_usec) {
        Reservation *reservation = m->reservation;
        Peer *peer;
        int r;

        m->n_data = size;
        m->kind = MESSAGE_ONE_WAY; /* whatever it was tried as */
        peer = may_commit(bus, m);
        if (peer) {
                r = commit_in_place(bus, peer, m, timeout_usec);
                if (r == 0)
                        leave_place(bus, m);
        } else {
                r = copy_out(bus, m);
                if (r < 0)
                        return r;
                m->reservation = NULL;
                r = send_message(bus, reservation->dest, m, timeout_usec);
                m->reservation = reservation;
        }
        if (r < 0)
                return r;
        free(reservation);
        m->reservation = NULL;
        return 0;
}

_public_ int p2pbus_commit(p2pbus *bus, p2pbus_message *message, size_t size, uint64_t timeout_usec,
                           char ret_id[P2PBUS_ID_SIZE]) {
        Message *m = (Message *)message;
        bool committed = false;
        int r;

        r = bus_enter(bus);
        if (r < 0)
                return r;
        if (!m || !m->reservation || m->bus != bus || size > m->reservation->size) {
                r = reason_fail_errno(-EINVAL, "not reserved with this handle, or with less room");
        } else {
                r = commit(bus, m, size, timeout_usec);
                committed = r == 0;
        }
        if (committed && ret_id)
                message_format_id(&m->id, ret_id);
        r = bus_leave(bus, r);
        if (committed)
                bus_release(bus);
        return r;
}

void reservation_give_up(Message *m) {
        p2pbus *bus = m->bus;

        if (bus_enter_timeless(bus) == 0) {
                leave_place(bus, m);
                message_unref(m);
                (void)bus_leave(bus, 0);
                bus_release(bus);
                return;
        }
        message_unref(m); /* a forked child: what it sees of the ring is its parent's */
}
