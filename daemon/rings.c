/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A Ring stands in two tables, by its id and by its pair, and in the lists of the processes on
 * its sides: of both, or only of the first while the second has not said that it keeps the ring.
 * Whatever is said of it is said before it is freed.
 */

#define HASH_NONFATAL_OOM 1

#include "config.h"

#include "daemon/rings.h"

#include <utlist.h>

#include "daemon/peer.h"
#include "daemon/route.h"

/* --- tables --- */

static void pair_pack(Address a, Address b, uint8_t out[static 24]) {
        bool swap = a.pid != b.pid ? a.pid > b.pid : a.tag > b.tag;
        Address low = swap ? b : a, high = swap ? a : b;

        store_be64(out, low.pid);
        store_le32(out + 8, low.tag);
        store_be64(out + 12, high.pid);
        store_le32(out + 20, high.tag);
}

Ring *rings_find(const Rings *rings, const PacketId *id) {
        Ring *ring;

        HASH_FIND(by_id, rings->by_id, id->bytes, sizeof(id->bytes), ring);
        return ring;
}

Ring *rings_find_pair(const Rings *rings, Address a, Address b) {
        uint8_t pair[24];
        Ring *ring;

        pair_pack(a, b, pair);
        HASH_FIND(by_pair, rings->by_pair, pair, sizeof(pair), ring);
        return ring;
}

static bool ring_add(Rings *rings, Ring *ring) {
        HASH_ADD(by_id, rings->by_id, id, sizeof(ring->id), ring);
        if (!ring->by_id.tbl)
                return false;
        HASH_ADD(by_pair, rings->by_pair, pair, sizeof(ring->pair), ring);
        if (ring->by_pair.tbl)
                return true;
        HASH_DELETE(by_id, rings->by_id, ring);
        return false;
}

/* --- sides --- */

RingSide *ring_side_of(Ring *ring, const Peer *peer) {
        if (ring->first.peer == peer)
                return &ring->first;
        return ring->second.peer == peer ? &ring->second : NULL;
}

RingSide *ring_side_across(const RingSide *side) {
        Ring *ring = side->ring;

        return side == &ring->first ? &ring->second : &ring->first;
}

static void side_set_peer(RingSide *side, Peer *peer) {
        side->peer = peer;
        DL_APPEND(peer->rings, side);
}

/* For the ring, @peer's user pays unless it does so on the other side already. */
static ControlCode side_charge(RingSide *side, Peer *peer, uint32_t size) {
        const RingSide *across = ring_side_across(side);
        User *user = peer->user;

        side->pays = across->size == 0 || across->peer->user != user;
        if (side->pays && user_take(user, QUOTA_RINGS, 1) != 0)
                return CODE_QUOTA;
        if (user_take(user, QUOTA_RING_BYTES, size) != 0) {
                if (side->pays)
                        user_give(user, QUOTA_RINGS, 1);
                return CODE_QUOTA;
        }
        side->size = size;
        peer->manager->rings.bytes += size;
        return CODE_OK;
}

static void side_release(RingSide *side, Peer *peer) {
        if (side->size == 0)
                return;
        if (side->pays)
                user_give(peer->user, QUOTA_RINGS, 1);
        user_give(peer->user, QUOTA_RING_BYTES, side->size);
        peer->manager->rings.bytes -= side->size;
        side->size = 0;
}

/* --- one ring --- */

ControlCode ring_new(Ring **ret, Peer *first, const RingOptions *options) {
        Manager *manager = first->manager;
        _cleanup_(freep) Ring *ring = NULL;
        ControlCode code;

        if (rings_count(&manager->rings) >= RINGS_MAX)
                return CODE_OVERLOAD;
        ring = calloc(1, sizeof(*ring));
        if (!ring)
                return CODE_OVERLOAD;
        ring->id = options->id;
        ring->state = options->state;
        ring->ref = options->ref;
        ring->since_usec = manager->now_usec;
        ring->first.ring = ring->second.ring = ring;
        ring->first.address = first->entry.address;
        ring->second.address = options->second;
        pair_pack(ring->first.address, ring->second.address, ring->pair);

        code = side_charge(&ring->first, first, options->size);
        if (code != CODE_OK)
                return code;
        if (!ring_add(&manager->rings, ring)) {
                side_release(&ring->first, first);
                return CODE_OVERLOAD;
        }
        side_set_peer(&ring->first, first);
        DL_APPEND(manager->rings.waiting, ring);
        if (ring->state == RING_OFFERED)
                first->n_offers++;
        manager_wake_at(manager, ring->since_usec + manager->config.ring_timeout_usec);
        *ret = TAKE_PTR(ring);
        return CODE_OK;
}

static void wait_no_more(Ring *ring) {
        Peer *first = ring->first.peer;

        if (ring->state == RING_MADE)
                return;
        DL_DELETE(first->manager->rings.waiting, ring);
        if (ring->state == RING_OFFERED)
                first->n_offers--;
}

void ring_set_second(Ring *ring, Peer *peer) {
        side_set_peer(&ring->second, peer);
}

ControlCode ring_charge_second(Ring *ring, Peer *peer, uint32_t size) {
        return side_charge(&ring->second, peer, size);
}

void ring_set_made(Ring *ring) {
        wait_no_more(ring);
        ring->state = RING_MADE;
        ring->first.peer->manager->counters.rings_made++;
}

void ring_free(Ring *ring) {
        Rings *rings = &ring->first.peer->manager->rings;
        RingSide *sides[] = { &ring->first, &ring->second };

        wait_no_more(ring);
        HASH_DELETE(by_id, rings->by_id, ring);
        HASH_DELETE(by_pair, rings->by_pair, ring);
        for (unsigned i = 0; i < ELEMENTSOF(sides); i++)
                if (sides[i]->peer) {
                        side_release(sides[i], sides[i]->peer);
                        DL_DELETE(sides[i]->peer->rings, sides[i]);
                }
        free(ring);
}

static void say_end(const RingSide *to, ControlCode code, const Peer *except) {
        if (to->peer && to->peer != except)
                peer_say(to->peer, &(Control){ .verb = CONTROL_RING_END,
                                               .code = (uint16_t)code,
                                               .ref = to->ring->id,
                                               .address = ring_side_across(to)->address });
}

void ring_end(Ring *ring, ControlCode code, const Peer *except) {
        if (ring->state == RING_KEPT_BY_ONE) {
                if (ring->first.peer != except)
                        peer_say_error(ring->first.peer, code, &ring->ref, ring->second.address);
        } else {
                say_end(&ring->first, code, except);
                say_end(&ring->second, code, except);
        }
        ring_free(ring);
}

/* --- all rings --- */

bool rings_allowed(const Peer *a, const Peer *b) {
        return route_judge(a, b) == ROUTE_OPEN && route_judge(b, a) == ROUTE_OPEN;
}

void rings_remove_all(Peer *peer) {
        while (peer->rings)
                if (peer->manager->stop_usec > 0)
                        ring_free(peer->rings->ring); /* we go, not they: their rings go on */
                else
                        ring_end(peer->rings->ring, CODE_GONE, peer);
}

void rings_reevaluate_of(Peer *peer) {
        RingSide *side, *next;

        DL_FOREACH_SAFE (peer->rings, side, next) {
                const Peer *other = ring_side_across(side)->peer;

                if (other && !rings_allowed(peer, other))
                        ring_end(side->ring, CODE_DENIED, NULL);
        }
}

void rings_reevaluate(Manager *manager) {
        Ring *ring, *next;

        HASH_ITER (by_id, manager->rings.by_id, ring, next) {
                const Peer *second = ring->second.peer;

                if (!manager->config.rings || (second && !rings_allowed(ring->first.peer, second)))
                        ring_end(ring, CODE_DENIED, NULL);
        }
}

void rings_on_time(Manager *manager) {
        uint64_t timeout_usec = manager->config.ring_timeout_usec;

        while (manager->rings.waiting) {
                Ring *ring = manager->rings.waiting;

                if (ring->since_usec + timeout_usec > manager->now_usec) {
                        manager_wake_at(manager, ring->since_usec + timeout_usec);
                        return;
                }
                manager->counters.ring_timeouts++;
                ring_end(ring, CODE_TIMEOUT, NULL);
        }
}
