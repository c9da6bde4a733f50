/* SPDX-License-Identifier: Apache-2.0 */

/* Where a peer is, and what those say who know: the daemon, bridges, the peer itself. */

#include "config.h"

#include "libclient/peer.h"

#include <utlist.h>

#include "libclient/attachment.h"
#include "libclient/path-ring.h"
#include "libclient/path.h"
#include "libclient/reason.h"
#include "libclient/topic-remote.h"

#define FULL_WAIT_USEC (20 * USEC_PER_MSEC)
#define FULL_WAIT_MAX_USEC USEC_PER_SEC
#define RESOLVE_AGAIN_USEC (2 * USEC_PER_SEC)
#define RING_GENERATIONS (UINT64_C(1) << 63) /* apart from those of the daemon's path */

/* Whoever is the cause of it: what was sealed before goes again, and its NACKs are reason for nothing. */
static void set_path(Peer *peer, SessionPath path, uint64_t generation) {
        if (generation != peer->sealed_generation)
                peer->n_sealed_ids = 0;
        peer->sealed_generation = generation;
        session_set_path(peer->session, path, generation, peer->bus->now_usec);
}

void peer_update_path(Peer *peer) {
        p2pbus *bus = peer->bus;
        SessionPath path = peer->path;

        if (peer->mirror) {
                session_set_path(peer->session, SESSION_PATH_LOCAL, 0, bus->now_usec);
                session_set_path(peer->mirror, SESSION_PATH_LOCAL, 0, bus->now_usec);
                return;
        }
        if (peer_is_on_ring(peer)) { /* whether the daemon is there or not */
                set_path(peer, path, RING_GENERATIONS | peer->generation);
                peer_mark(peer);
                return;
        }
        if (!bus->is_up || (path == SESSION_PATH_OFF_HOST && (!bus->sealer || !bus->has_lease)))
                path = SESSION_PATH_NONE;
        set_path(peer, path, bus->generation + peer->generation);
        peer_mark(peer);
}

void peer_update_all_paths(p2pbus *bus, bool off_host_only) {
        PEER_FOREACH (bus, peer)
                if (!off_host_only || peer->path == SESSION_PATH_OFF_HOST)
                        peer_update_path(peer);
}

void peer_go_again(Peer *peer) {
        peer->generation++;
        peer_update_path(peer);
}

void peer_go_local(Peer *peer) {
        peer->path = SESSION_PATH_LOCAL;
        peer->changed_usec = peer->bus->now_usec;
        peer_go_again(peer);
}

void peer_go_off_host(Peer *peer, const SignedRecord *lease) {
        if (!peer->sealed_ids)
                peer->sealed_ids = calloc(PEER_SEALED_IDS, sizeof(*peer->sealed_ids));
        peer->lease = *lease;
        peer->has_lease = true;
        peer->path = SESSION_PATH_OFF_HOST;
        peer->changed_usec = peer->bus->now_usec;
        peer_go_again(peer);
}

static void on_lease_answer(p2pbus *bus, Ask *ask) {
        Peer *peer = container_of(ask, Peer, lease_ask);
        const SignedRecordCheck check = {
                .type = SIGNED_RECORD_LEASE,
                .now_usec = bus_wall(bus),
        };
        SignedRecord lease;

        if (ask->code == CODE_OK && ask->value != RESOLVED_LOCAL &&
            signed_record_verify(ask->body, ask->n_body, &check, &lease) == 0 &&
            key_equal(&lease.signer, &peer->key) && lease.issued_usec > peer->lease.issued_usec)
                peer->lease = lease;
        daemon_drop(bus, ask);
}

void peer_renew_lease(Peer *peer) {
        p2pbus *bus = peer->bus;

        if (peer->lease_ask.prev || (peer->lease_asked_usec > 0 &&
                                     bus->now_usec - peer->lease_asked_usec < RESOLVE_AGAIN_USEC))
                return;
        peer->lease_asked_usec = bus->now_usec;
        peer->lease_ask = (Ask){
                .control = { .verb = CONTROL_RESOLVE, .address = peer->address },
                .on_answer = on_lease_answer,
        };
        daemon_ask(bus, &peer->lease_ask);
}

static void back_off(Peer *peer) {
        p2pbus *bus = peer->bus;

        peer->full_wait_usec = peer->full_wait_usec == 0
                                       ? FULL_WAIT_USEC
                                       : MIN(2 * peer->full_wait_usec, FULL_WAIT_MAX_USEC);
        session_pause(peer->session, bus->now_usec + peer->full_wait_usec, bus->now_usec);
}

/*
 * An ERROR is about a packet, and may come when the way is another one. Once that cannot be, all that is
 * said of the peer counts, also of packets without a message.
 */
static bool is_of_this_way(const Peer *peer, const PacketId *id) {
        return session_has_sent(peer->session, id) || peer->changed_usec == 0 ||
               peer->bus->now_usec - peer->changed_usec > SEALED_LIFE_USEC;
}

/* For want of room: what is sent next may well arrive. */
static bool may_pass_soon(uint16_t code) {
        return code == CODE_QUEUE_FULL || code == CODE_QUOTA || code == CODE_OVERLOAD ||
               code == CODE_RATE || code == CODE_EXPIRED || code == CODE_SHUTDOWN ||
               code == CODE_BUSY;
}

/* It was attached to the same life of the daemon, or of another host's, that now does not know it. */
static bool has_left(const Peer *peer, uint16_t code) {
        return code == CODE_GONE || (code == CODE_NOT_HERE && !peer->has_lease &&
                                     peer->heard_attach == peer->bus->n_attaches);
}

/* Who has left comes back soon or never; who is on another host is away while that is cut off. */
static uint64_t patience_usec(const Peer *peer, uint16_t code) {
        if (has_left(peer, code))
                return SESSION_GONE_USEC;
        return session_is_established(peer->session) && peer->has_lease ? SESSION_AWAY_USEC
                                                                        : SESSION_HINT_USEC;
}

/* A packet of ours went nowhere. */
static void refused(Peer *peer, uint16_t code, uint32_t by) {
        p2pbus *bus = peer->bus;

        peer->refusal = code;
        peer->refused_by = by < _REFUSED_BY_MAX ? (uint8_t)by : P2PBUS_BY_UNKNOWN;
        switch (code) {
        case CODE_NOT_HERE:
        case CODE_GONE:
        case CODE_SETTLING:
        case CODE_NO_ROUTE:
        case CODE_AMBIGUOUS:
        case CODE_WRONG_KEY:
        case CODE_NOT_LEASED:
                /* It may have moved, and the daemon know where to; but do not run in circles. */
                if (peer->path == SESSION_PATH_OFF_HOST && session_is_established(peer->session) &&
                    bus->now_usec - peer->changed_usec > RESOLVE_AGAIN_USEC)
                        peer_go_local(peer);
                session_hint(peer->session, code, patience_usec(peer, code), bus->now_usec);
                break;
        default:
                if (may_pass_soon(code))
                        back_off(peer);
                else
                        session_deny(peer->session, code, bus->now_usec);
        }
        peer_mark(peer);
}

static void note_text(Peer *peer, const uint8_t *text, size_t n_text) {
        free(peer->refusal_text);
        peer->refusal_text = n_text > 0 ? malloc(CONTROL_TEXT_MAX + 1) : NULL;
        if (peer->refusal_text)
                reason_copy_text(text, n_text, peer->refusal_text);
}

void peer_on_refused(p2pbus *bus, const Control *word) {
        Peer *peer = peer_find(bus, word->address, NULL);

        topic_remote_on_refused(bus, word->address, word->code);
        if (!peer || peer_is_on_ring(peer)) /* it was said of what went before */
                return;
        if (!is_of_this_way(peer, &word->ref))
                return;
        /* Whoever carries packets of an open session is not believed that they were not delivered. */
        if (peer->path == SESSION_PATH_LOCAL || !session_is_established(peer->session))
                session_refused(peer->session, &word->ref);
        note_text(peer, word->body, word->n_body);
        refused(peer, word->code, word->value);
}

void peer_note_network_refusal(Peer *peer) {
        const char *why = peer->bus->network.why;

        note_text(peer, (const uint8_t *)why, strlen(why));
        peer->refusal = CODE_DENIED;
        peer->refused_by = P2PBUS_BY_UNKNOWN;
}

/*
 * It turned out to be where we may not begin to talk. Return: whether there is nothing to say to it;
 * else only what answers it is left.
 */
static bool stop_at_network(Peer *peer) {
        p2pbus *bus = peer->bus;
        Message *m;

        if (network_may_send(bus, peer))
                return false;
        peer_note_network_refusal(peer);
        if (!session_is_established(peer->session)) {
                session_fail(peer->session, CODE_DENIED, bus->now_usec);
                peer_mark(peer);
                return true;
        }
        DL_FOREACH2(bus->sent, m, bus_next)
        if (m->peer == peer && message_kind_begins(m->kind))
                session_abandon(peer->session, m, CODE_DENIED, bus->now_usec);
        return false;
}

void peer_on_queue_space(p2pbus *bus, Address address) {
        Peer *peer = peer_find(bus, address, NULL);

        if (!peer)
                return;
        session_resume(peer->session, bus->now_usec);
        peer_mark(peer);
}

void peer_on_now_local(p2pbus *bus, Address address) {
        Peer *peer = peer_find(bus, address, NULL);

        if (peer && peer->path != SESSION_PATH_LOCAL)
                peer_go_local(peer);
}

void peer_on_not_local(p2pbus *bus, const Control *word) {
        const SignedRecordCheck check = {
                .type = SIGNED_RECORD_LEASE,
                .now_usec = bus_wall(bus),
        };
        Peer *peer = peer_find(bus, word->address, NULL);
        uint16_t code = word->code;
        SignedRecord record;
        bool by_pid;

        if (!peer)
                return;
        session_refused(peer->session, &word->ref);
        if (peer->path != SESSION_PATH_LOCAL || peer_is_on_ring(peer))
                return; /* it was settled by somebody else meanwhile */
        if (code != CODE_OK) {
                if (code == CODE_NOT_HERE && attachment_is_settling(bus))
                        code = CODE_SETTLING;
                refused(peer, code, REFUSED_BY_DAEMON);
                return;
        }
        if (!bus->sealer || signed_record_verify(word->body, word->n_body, &check, &record) != 0 ||
            record.lease.enc_until_usec <= check.now_usec ||
            key_hash(&record.signer).address.pid != peer->address.pid) {
                bus->counters.bad_packets++;
                refused(peer, bus->sealer ? CODE_NOT_HERE : CODE_NO_ROUTE, REFUSED_BY_DAEMON);
                return;
        }
        by_pid = !peer->has_key && peer->address.tag == 0;
        if (!peer_settle(peer, key_hash(&record.signer).address, &record.signer)) {
                refused(peer, CODE_WRONG_KEY, REFUSED_BY_DAEMON);
                return;
        }
        if (stop_at_network(peer))
                return;
        if (by_pid)
                known_peers_add(bus->known, &record.signer, record.lease.flags & LEASE_TRANSIENT);
        peer_go_off_host(peer, &record);
}
