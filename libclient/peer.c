/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/peer.h"

#include <utlist.h>

#include "libclient/answer-part.h"
#include "libclient/own-name.h"
#include "libclient/path-ring.h"
#include "libclient/path.h"
#include "libclient/receive.h"
#include "libclient/request.h"
#include "libclient/send.h"
#include "libclient/tap.h"
#include "libcore/err.h"

#define PEER_MEMORY (sizeof(Peer) + 2048) /* what one costs beyond its messages, about */
#define PUBLISH_BYTES 16384               /* in one entry: the receiver copies while we do */
#define PUMP_BYTES 65536                  /* queued for one peer before another has a turn */
#define FULL_WAIT_USEC (20 * USEC_PER_MSEC)

/* The table */

static bool fits(const Peer *peer, Address address, const PublicKey *key) {
        if (key && peer->has_key)
                return key_equal(&peer->key, key);
        return address.tag == 0 || peer->address.tag == 0 || peer->address.tag == address.tag;
}

Peer *peer_find(p2pbus *bus, Address address, const PublicKey *key) {
        Peer *first, *peer;

        HASH_FIND(hh, bus->peers, &address.pid, sizeof(address.pid), first);
        /* Whose tag is known is somebody; whose is not may be anybody. */
        for (peer = first; peer; peer = peer->same_pid)
                if (peer->address.tag != 0 && fits(peer, address, key))
                        return peer;
        for (peer = first; peer; peer = peer->same_pid)
                if (peer->address.tag == 0 && fits(peer, address, key))
                        return peer;
        return NULL;
}

static void table_add(p2pbus *bus, Peer *peer) {
        Peer *first;

        HASH_FIND(hh, bus->peers, &peer->address.pid, sizeof(peer->address.pid), first);
        if (first) {
                peer->same_pid = first->same_pid;
                first->same_pid = peer;
        } else {
                HASH_ADD(hh, bus->peers, address.pid, sizeof(peer->address.pid), peer);
        }
        bus->n_peers++;
}

static void table_remove(p2pbus *bus, Peer *peer) {
        Peer *first;

        HASH_FIND(hh, bus->peers, &peer->address.pid, sizeof(peer->address.pid), first);
        if (first == peer) {
                HASH_DELETE(hh, bus->peers, peer);
                if (peer->same_pid)
                        HASH_ADD(hh, bus->peers, address.pid, sizeof(peer->address.pid),
                                 peer->same_pid);
        } else {
                while (first->same_pid != peer)
                        first = first->same_pid;
                first->same_pid = peer->same_pid;
        }
        peer->same_pid = NULL;
        bus->n_peers--;
}

void peer_mark(Peer *peer) {
        if (peer->is_dirty)
                return;
        peer->is_dirty = true;
        DL_APPEND2(peer->bus->dirty, peer, dirty_prev, dirty_next);
}

void peer_unmark(Peer *peer) {
        if (!peer->is_dirty)
                return;
        peer->is_dirty = false;
        if (peer->is_gathering)
                DL_DELETE2(peer->bus->gathering, peer, dirty_prev, dirty_next);
        else
                DL_DELETE2(peer->bus->dirty, peer, dirty_prev, dirty_next);
        peer->is_gathering = false;
}

bool peer_is_gathering(const Peer *peer) {
        const p2pbus *bus = peer->bus;

        if (peer_is_on_ring(peer))
                return bus->now_usec - peer->ring->published_usec < BUS_GATHER_RING_USEC &&
                        session_waiting_bytes(peer->session) < BUS_GATHER_RING_BYTES;
        return peer->path == SESSION_PATH_OFF_HOST &&
                bus->now_usec - peer->sealed_usec <
                        (peer->sealed_as == SEALED_DATA ? BUS_GATHER_USEC : BUS_GATHER_ONE_USEC);
}

static void on_peer_timer(Timer *timer, uint64_t now) {
        Peer *peer = container_of(timer, Peer, timer);

        session_tick(peer->session, now);
        if (peer->mirror)
                session_tick(peer->mirror, now);
        if (peer->epochs)
                epochs_expire(peer->epochs, bus_epoch_time(peer->bus));
        introduction_tire(peer);
        peer_mark(peer);
}

/* Topics need its keys; who receives keeps them for longer, lest it meet what it cannot open. */
static bool is_publishing(const Peer *peer, uint64_t now) {
        return peer->published_usec > 0 && now - peer->published_usec < 2 * SESSION_IDLE_USEC;
}

static bool is_idle(const Peer *peer, uint64_t now) {
        return !is_publishing(peer, now) && peer->n_unsettled == 0 && peer->n_owed == 0 &&
                !peer->inbox && !peer->lent &&
                session_is_forgettable(peer->session, now);
}

/* Makes room by forgetting one with whom everything is settled. */
static bool forget_one(p2pbus *bus) {
        PEER_FOREACH (bus, peer)
                if (is_idle(peer, bus->now_usec + SESSION_IDLE_USEC)) {
                        peer_free(peer);
                        return true;
                }
        return false;
}

static int new_session(Peer *peer, Session **ret) {
        p2pbus *bus = peer->bus;
        SessionOptions options = {
                .id = bus_new_session_id(bus),
                .opened_usec = bus_wall(bus),
                .message_max = bus->welcome.message_max,
                .quota = &bus->quota,
        };

        memcpy(options.self_key, identity_public(bus->identity)->bytes, KEY_SIZE);
        if (peer->has_key)
                memcpy(options.peer_key, peer->key.bytes, KEY_SIZE);
        return err_trace(session_new(ret, &options, bus->now_usec));
}

int peer_get(p2pbus *bus, Address address, const PublicKey *key, Peer **ret) {
        Peer *peer;
        int r;

        if (address.pid == bus->self.address.pid &&
            (address.tag == 0 || address.tag == bus->self.address.tag)) {
                address = bus->self.address;
                key = identity_public(bus->identity);
        }
        *ret = peer_find(bus, address, key);
        if (*ret)
                return 0;
        if (bus->memory + (bus->n_peers + 1) * PEER_MEMORY > bus->buffer_bytes && !forget_one(bus))
                return -ENOBUFS;

        peer = calloc(1, sizeof(*peer));
        if (!peer)
                return err_origin(-ENOMEM);
        peer->bus = bus;
        peer->address = address;
        if (key) {
                peer->key = *key;
                peer->has_key = true;
        }
        peer->timer.on_due = on_peer_timer;
        peer->path = SESSION_PATH_LOCAL;
        r = new_session(peer, &peer->session);
        if (r == 0 && key && key_equal(key, identity_public(bus->identity)))
                r = new_session(peer, &peer->mirror);
        if (r < 0) {
                session_free(peer->session);
                free(peer);
                return r;
        }
        peer->session_id = peer->inbound_id = session_id(peer->session);
        report_take_sample(peer);
        peer->traffic.before = peer->traffic.last;
        table_add(bus, peer);
        peer_update_path(peer);
        *ret = peer;
        return 0;
}

static void settle_finished(Peer *peer) {
        Message *message;

        while ((message = session_pop_finished(peer->session)))
                send_finished(peer->bus, message);
}

Peer *peer_free(Peer *peer) {
        p2pbus *bus;
        Message *m, *next;

        if (!peer)
                return NULL;
        bus = peer->bus;
        session_fail(peer->session, RESULT_UNKNOWN, bus->now_usec);
        settle_finished(peer);
        request_peer_ended(peer);

        DL_FOREACH_SAFE2(peer->inbox, m, next, bus_next) {
                DL_DELETE2(peer->inbox, m, bus_prev, bus_next);
                own_name_discount(bus, m);
                message_unref(m);
        }
        DL_FOREACH_SAFE2(peer->lent, m, next, bus_next) {
                DL_DELETE2(peer->lent, m, bus_prev, bus_next);
                m->is_lent = false;
                m->taken = true;
                m->peer = NULL;
        }
        peer_unmark(peer);
        receive_forget(peer);
        introduction_leave(peer);
        timer_clear(&bus->timers, &peer->timer);
        if (bus->last_peer == peer)
                bus->last_peer = NULL;
        bus->memory -= peer->memory;
        table_remove(bus, peer);
        report_remember(peer);
        session_free(peer->session);
        session_free(peer->mirror);
        free(peer->sealed_ids);
        free(peer->refusal_text);
        epochs_free(peer->epochs);
        daemon_drop(bus, &peer->lease_ask);
        free(peer);
        return NULL;
}

void peer_free_all(p2pbus *bus) {
        while (bus->peers)
                peer_free(bus->peers);
}

void peer_leave_rings(p2pbus *bus) {
        PEER_FOREACH (bus, peer)
                introduction_leave(peer);
}

bool peer_settle(Peer *peer, Address address, const PublicKey *key) {
        if (peer->has_key)
                return key_equal(&peer->key, key);
        if (peer->address.tag != 0 && peer->address.tag != address.tag)
                return false;
        peer->has_key = true;
        peer->key = *key;
        peer->address = address; /* the PID, which the table is by, is the same */
        return true;
}

/* The application's side */

int peer_send(Peer *peer, Message *message) {
        p2pbus *bus = peer->bus;
        bool is_answer = !message_kind_begins(message->kind);
        bool is_part = answer_part_is_one(message);
        int r;

        /* One message to each may always be under way: what came in does not stop what goes out. */
        if ((!is_answer || is_part) && bus->memory > bus->buffer_bytes && peer->n_unsettled > 0)
                r = SESSION_E_FULL;
        else
                r = session_send(peer->session, message, bus->now_usec);
        if (r == SESSION_E_FULL && is_part)
                peer->was_full_of_parts = true;
        else if (r != 0)
                peer->was_full = r == SESSION_E_FULL;
        if (r != 0)
                return r;
        peer_began(peer, message);
        if (peer->path == SESSION_PATH_OFF_HOST && message_kind_begins(message->kind) &&
            !network_may_send(bus, peer)) {
                peer_note_network_refusal(peer);
                session_abandon(peer->session, message, CODE_DENIED, bus->now_usec);
        }
        return 0;
}

void peer_began(Peer *peer, Message *message) {
        message->peer = peer;
        peer->n_unsettled++;
        peer_mark(peer);
}

void peer_taken(Peer *peer, Message *message) {
        p2pbus *bus = peer->bus;

        if (session_taken(peer_inbound(peer), message, bus->now_usec))
                peer_mark(peer);
        if (message->ack_now)
                bus->is_pressed = true;
        if (!peer->is_untold) {
                peer->is_untold = true;
                DL_APPEND2(bus->untold, peer, untold_prev, untold_next);
        }
}

static void on_message(Peer *peer, Message *message) {
        message->peer = peer;
        message->from = peer->address;
        message->is_given = true;
        message->is_remote = peer->path == SESSION_PATH_OFF_HOST;
        if (!message_kind_begins(message->kind))
                request_on_reply(peer, message);
        else
                receive_put(peer, message);
}

/* Sending */

static void produced(Peer *peer, size_t n, const PacketId *id, uint64_t deadline_usec) {
        p2pbus *bus = peer->bus;
        PacketId sealed_id;
        int r;

        if (peer->path == SESSION_PATH_LOCAL)
                r = path_send_local(bus, peer->address, id, deadline_usec, bus->scratch, n);
        else
                r = peer_send_sealed(peer, bus->scratch, n, &sealed_id);
        if (r == 0) {
                if (peer->path == SESSION_PATH_OFF_HOST)
                        session_sealed_as(peer->session, &sealed_id);
                return;
        }
        session_unsent(peer->session, id);
        switch (r) {
        case PATH_E_EXPIRED:
                peer_go_local(peer);
                return;
        case PATH_E_USELESS:
                session_fail(peer->session, CODE_WRONG_KEY, bus->now_usec);
                return;
        default:
                /* No memory, no lease yet: what else was in there is lost, as on any path. */
                session_pause(peer->session, bus->now_usec + FULL_WAIT_USEC, bus->now_usec);
        }
}

/* Return: whether there may be more to produce. */
static bool produce_packets(Peer *peer) {
        p2pbus *bus = peer->bus;
        bool local = peer->path == SESSION_PATH_LOCAL;
        size_t n, n_all = 0;

        while (n_all < PUMP_BYTES) {
                uint64_t deadline;
                PacketId id;

                if (session_produce(peer->session, local, bus->now_usec, bus->scratch,
                                    local ? BUS_SCRATCH_SIZE : SEAL_CONTENT_MAX, &n, &id,
                                    &deadline) != 0)
                        return false;
                produced(peer, n, &id, deadline);
                if (local)
                        introduction_count(peer);
                local = peer->path == SESSION_PATH_LOCAL;
                peer->traffic.bytes_out += n;
                n_all += n + PACKET_HEADER_SIZE;
                if (!session_may_produce(peer->session))
                        return false;
        }
        return true;
}

/* The same, into the ring: the records stay where the session puts them. */
static bool produce_entries(Peer *peer) {
        p2pbus *bus = peer->bus;
        size_t n, n_all = 0;
        bool more = true;

        while (more && n_all < PUMP_BYTES) {
                uint64_t deadline;
                PacketId id;
                uint8_t *out;
                int r;

                r = ring_path_reserve(peer->ring, &out);
                if (r == RING_E_VIOLATION) {
                        introduction_end(peer, CODE_VIOLATION);
                        return true;
                }
                more = r == 0 && session_produce(peer->session, false, bus->now_usec, out,
                                                 RING_PATH_ROOM, &n, &id, &deadline) == 0;
                if (more) {
                        if (tap_is_wanted(bus))
                                tap_show(peer, out, n, &id, deadline);
                        ring_path_commit(peer->ring, n);
                        n_all += n;
                        if (n >= PUBLISH_BYTES)
                                ring_path_publish(peer->ring);
                        more = session_may_produce(peer->session);
                }
        }
        ring_path_publish(peer->ring);
        peer->traffic.bytes_out += n_all;
        return more;
}

static bool produce(Peer *peer) {
        if (!session_may_produce(peer->session))
                return false;
        return peer_is_on_ring(peer) ? produce_entries(peer) : produce_packets(peer);
}

static void look_at_memory(Peer *peer) {
        p2pbus *bus = peer->bus;
        size_t memory = session_memory(peer->session) + session_overhead(peer->session) +
                (peer->mirror ? session_memory(peer->mirror) + session_overhead(peer->mirror) : 0) +
                (peer->epochs ? epochs_memory(peer->epochs) : 0);

        bus->memory += memory - peer->memory; /* wraps both ways, and comes out right */
        peer->memory = memory;
        if (bus->memory > bus->buffer_bytes)
                return;
        if (peer->was_full && session_is_writable(peer->session)) {
                peer->was_full = false;
                bus_happened(bus);
        }
        if (peer->was_full_of_parts && session_takes_parts(peer->session)) {
                peer->was_full_of_parts = false;
                bus_happened(bus);
        }
}

void peer_look_at_session(Peer *peer) {
        if (peer->inbound_id == session_id(peer->session))
                return;
        peer->inbound_id = session_id(peer->session);
        receive_session_ended(peer);
}

void peer_pop(Peer *peer) {
        Message *m;

        peer_look_at_session(peer);
        while ((m = session_pop(peer_inbound(peer))))
                on_message(peer, m);
}

bool peer_pump(Peer *peer) {
        p2pbus *bus = peer->bus;
        uint64_t due;
        bool more;

        more = peer->mirror ? (peer_loop_back(peer), false) : produce(peer);
        peer_pop(peer);
        settle_finished(peer);
        if (session_id(peer->session) != peer->session_id) {
                peer->session_id = session_id(peer->session);
                request_peer_ended(peer);
        }
        look_at_memory(peer);
        if (report_is_sample_due(&peer->traffic, bus->now_usec))
                report_take_sample(peer);
        if (more)
                return true;

        if (session_is_closed(peer->session) && peer->n_unsettled == 0 && !peer->inbox &&
            !peer->lent) {
                request_peer_ended(peer);
                peer_free(peer);
                return false;
        }
        if (!peer->mirror)
                session_await(peer->session, peer->n_owed > 0, bus->now_usec);
        due = session_due(peer->session);
        if (peer->mirror)
                due = MIN(due, session_due(peer->mirror));
        if (is_idle(peer, bus->now_usec)) {
                session_close(peer->session, CODE_OK, bus->now_usec);
                if (!peer->mirror)
                        (void)produce(peer);
                peer_free(peer);
                return false;
        }
        if (due == USEC_NEVER)
                due = bus->now_usec + SESSION_IDLE_USEC;
        if (peer_is_on_ring(peer))
                due = MIN(due, introduction_due(peer));
        /* One that is set earlier does no harm: it finds nothing to do, and comes back here. */
        if (peer->timer.at == 0 || due < peer->timer.due_usec)
                (void)timer_set(&bus->timers, &peer->timer, due);
        return false;
}

void peer_send_records(Peer *peer, const uint8_t *records, size_t n_records) {
        static const PacketId fresh;

        if (peer_is_on_ring(peer) && ring_path_send(peer->ring, records, n_records))
                return;
        if (peer->path == SESSION_PATH_LOCAL)
                (void)path_send_local(peer->bus, peer->address, &fresh, USEC_NEVER, records,
                                      n_records);
        else
                (void)peer_send_sealed(peer, records, n_records, NULL);
}
