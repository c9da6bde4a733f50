/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/path-ring.h"

#include <utlist.h>

#include "libclient/bell.h"
#include "libclient/introduction.h"
#include "libclient/loop.h"
#include "libclient/peer.h"
#include "libclient/tap.h"
#include "libcore/err.h"

#define READ_BYTES 16384 /* of one ring before another, or the application, has a turn */
#define STAMP_SHIFT 10   /* of the wall clock, microseconds: what an entry carries */

static void move_to(RingPath *ring, bool awake) {
        Rings *rings = &ring->peer->bus->rings;

        if (ring->is_awake == awake)
                return;
        if (awake) {
                DL_DELETE(rings->asleep, ring);
                DL_APPEND(rings->awake, ring);
        } else {
                DL_DELETE(rings->awake, ring);
                DL_APPEND(rings->asleep, ring);
        }
        ring->is_awake = awake;
}

int ring_path_new(Peer *peer, RingPath **ret, int *ret_fd) {
        Rings *rings = &peer->bus->rings;
        RingPath *ring;
        int r;

        if (rings->n >= RING_PATH_MAX)
                return -ENOBUFS;
        ring = calloc(1, sizeof(*ring));
        if (!ring)
                return err_origin(-ENOMEM);
        ring->peer = peer;
        ring->bell_in = ring->bell_out = -EBADF;
        r = ring_file_make(&ring->file, RING_PATH_SIZE, ret_fd);
        if (r < 0) {
                free(ring);
                return err_trace(r);
        }
        DL_APPEND(rings->asleep, ring);
        rings->n++;
        *ret = ring;
        return 0;
}

static bool is_held(const RingPath *ring) {
        return ring->n_holds > 0 || loans_are_out(&ring->loans);
}

static void destroy(RingPath *ring) {
        ring_view_done(&ring->view);
        ring_file_done(&ring->file);
        free(ring->loans.slots);
        free(ring);
}

RingPath *ring_path_free(RingPath *ring) {
        p2pbus *bus;

        if (!ring)
                return NULL;
        bus = ring->peer->bus;
        if (ring->is_awake)
                DL_DELETE(bus->rings.awake, ring);
        else
                DL_DELETE(bus->rings.asleep, ring);
        bus->rings.n--;
        ring->is_dead = true;
        if (ring->keep.prev)
                introduction_remember(bus, &ring->keep.id);
        daemon_drop(bus, &ring->keep);
        if (ring->bell_in >= 0)
                loop_unwatch_bell(bus, ring->bell_in);
        ring->bell_in = fd_close(ring->bell_in);
        ring->bell_out = fd_close(ring->bell_out);
        if (bus->is_led || is_held(ring)) /* somebody may be looking at it, without the lock */
                LL_PREPEND(bus->rings.dead, ring);
        else
                destroy(ring);
        return NULL;
}

void rings_bury(p2pbus *bus) {
        RingPath *ring, *next;

        LL_FOREACH_SAFE (bus->rings.dead, ring, next) {
                if (is_held(ring))
                        continue;
                LL_DELETE(bus->rings.dead, ring);
                destroy(ring);
        }
}

static void unhold(p2pbus *bus, RingPath *ring) {
        ring->n_holds--;
        if (ring->is_dead && !bus->is_led)
                rings_bury(bus);
}

int ring_path_set_bells(RingPath *ring, int bell_in, int bell_out) {
        int r;

        r = loop_watch_bell(ring->peer->bus, bell_in, ring);
        if (r < 0)
                return err_trace(r);
        ring->bell_in = bell_in;
        ring->bell_out = bell_out;
        return 0;
}

int ring_path_open(RingPath *ring, int fd, uint32_t size) {
        int r;

        r = ring_view_open(&ring->view, fd, size, RING_SIZE_MAX);
        if (r != 0)
                return r;
        ring_file_connect(&ring->file, &ring->view, &ring->out, &ring->in);
        ring->is_open = true;
        ring->used_usec = ring->peer->bus->now_usec;
        move_to(ring, true);
        return 0;
}

/* It has gone, and may have said something in a file that the daemon has still to give us. */
static void hear_no_more(RingPath *ring) {
        loop_unwatch_bell(ring->peer->bus, ring->bell_in);
        ring->bell_in = fd_close(ring->bell_in);
        ring->used_usec = ring->peer->bus->now_usec;
}

static void stroke(RingPath *ring) {
        if (bell_ring(ring->bell_out) == BELL_E_GONE) {
                ring->is_gone = true;
                rings_wake(ring); /* what it said before is read, and then it is over */
        }
}

int ring_path_reserve(RingPath *ring, uint8_t **ret) {
        int r;

        if (ring->is_reserved)
                return RING_E_FULL;
        r = ring_reserve(&ring->out, RING_PATH_ROOM, ret);
        if (r != RING_E_FULL)
                return r;
        ring_path_publish(ring);
        if (!ring_wait_for_room(&ring->out, RING_PATH_ROOM)) {
                if (!ring->waits_for_room)
                        ring->full_usec = ring->peer->bus->now_usec;
                ring->waits_for_room = true;
                return RING_E_FULL;
        }
        return ring_reserve(&ring->out, RING_PATH_ROOM, ret);
}

void ring_path_commit(RingPath *ring, size_t n) {
        ring->out.stamp = (uint32_t)(bus_wall(ring->peer->bus) >> STAMP_SHIFT);
        ring_commit(&ring->out, n);
        ring->used_usec = ring->peer->bus->now_usec;
}

void ring_path_publish(RingPath *ring) {
        ring->published_usec = ring->peer->bus->now_usec;
        if (ring_publish(&ring->out))
                stroke(ring);
}

bool ring_path_hold_room(RingPath *ring, size_t n, uint8_t **ret) {
        if (ring->is_reserved || ring_reserve(&ring->out, n, ret) != 0)
                return false;
        ring->is_reserved = true;
        ring->n_holds++;
        return true;
}

void ring_path_commit_room(RingPath *ring, size_t n) {
        uint8_t *out;
        int r;

        /* Somebody may have looked for room meanwhile; it is where it was. */
        r = ring_reserve(&ring->out, n, &out);
        if (r != 0)
                return; /* broken: the next look ends it, and with it the message */
        ring_path_commit(ring, n);
        ring_path_publish(ring);
}

void ring_path_leave_room(p2pbus *bus, RingPath *ring) {
        ring->is_reserved = false;
        if (!ring->is_dead)
                peer_mark(ring->peer);
        unhold(bus, ring);
}

bool ring_path_send(RingPath *ring, const uint8_t *records, size_t n_records) {
        static const PacketId fresh;
        uint8_t *out;

        if (ring->is_reserved || ring_reserve(&ring->out, n_records, &out) != 0)
                return false;
        memcpy(out, records, n_records);
        if (tap_is_wanted(ring->peer->bus))
                tap_show(ring->peer, records, n_records, &fresh, USEC_NEVER);
        ring_path_commit(ring, n_records);
        ring_path_publish(ring);
        return true;
}

void ring_path_give_back(RingPath *ring) {
        if (ring_release(&ring->in, loans_position(ring)))
                stroke(ring);
}

/* When the entry that was peeked was written: rather too late by a stamp than too early. */
static uint64_t written_usec(const RingPath *ring) {
        const p2pbus *bus = ring->peer->bus;
        uint32_t age = (uint32_t)(bus_wall(bus) >> STAMP_SHIFT) - ring->in.stamp;

        if (age == 0 || age > INT32_MAX) /* or in the future: the wall clock was set */
                return bus->now_usec;
        return bus->now_usec - MIN((uint64_t)(age - 1) << STAMP_SHIFT, bus->now_usec - 1);
}

int ring_path_read(RingPath *ring) {
        Peer *peer = ring->peer;
        PeerSource source = { .address = peer->address, .peer = peer };
        const uint8_t *entry;
        size_t n, n_all = 0;
        int r;

        while (n_all < READ_BYTES && (r = ring_peek(&ring->in, &entry, &n)) == 0) {
                source.loan = loan_new(ring, n);
                source.sent_usec = written_usec(ring);
                peer_consume(peer->bus, &source, entry, n);
                ring_advance(&ring->in);
                loan_unref(source.loan);
                n_all += n;
        }
        if (n_all == 0)
                return r;
        ring->used_usec = peer->bus->now_usec;
        ring_path_give_back(ring);
        return r == RING_E_VIOLATION ? r : 0;
}

/* Return: 0: there is some, and somebody waited for it; RING_E_FULL: neither; RING_E_VIOLATION. */
static int look_for_room(RingPath *ring) {
        uint8_t *out;
        int r;

        if (!ring->waits_for_room)
                return RING_E_FULL;
        r = ring_reserve(&ring->out, RING_PATH_ROOM, &out);
        /* Something small may have found its place since: then it takes more than was asked for. */
        if (r == RING_E_FULL && ring_wait_for_room(&ring->out, RING_PATH_ROOM))
                r = ring_reserve(&ring->out, RING_PATH_ROOM, &out);
        if (r != 0)
                return r;
        ring->waits_for_room = false;
        peer_mark(ring->peer);
        return 0;
}

/* Return: whether anything came. Careful: @ring may be gone from here. */
static bool look(RingPath *ring) {
        Peer *peer = ring->peer;
        int r;

        r = ring_path_read(ring);
        if (look_for_room(ring) == RING_E_VIOLATION || r == RING_E_VIOLATION)
                introduction_end(peer, CODE_VIOLATION);
        else if (r == RING_E_EMPTY && ring->is_gone)
                introduction_end(peer, CODE_GONE);
        return r == 0;
}

bool rings_read(p2pbus *bus) {
        RingPath *ring, *next;
        bool any = false;

        DL_FOREACH_SAFE (bus->rings.awake, ring, next)
                any = look(ring) || any;
        return any;
}

bool rings_sleep(p2pbus *bus) {
        RingPath *ring, *next;

        DL_FOREACH_SAFE (bus->rings.awake, ring, next) {
                if (ring->is_gone || !ring_sleep(&ring->in))
                        return false;
                move_to(ring, false);
        }
        return true;
}

void rings_wake(RingPath *ring) {
        if (ring->is_open)
                move_to(ring, true);
}

void rings_on_bell(RingPath *ring) {
        p2pbus *bus = ring->peer->bus;
        int room;

        if (bell_hush(ring->bell_in) == BELL_E_GONE)
                ring->is_gone = true;
        if (!ring->is_open) { /* it has something already: its answer will come */
                if (ring->is_gone)
                        hear_no_more(ring);
                return;
        }
        room = look_for_room(ring);
        if (room == RING_E_VIOLATION ||
            (room != 0 && !ring->is_gone && !ring_has_entry(&ring->in) &&
             ring_woken_in_vain(&ring->in, &ring->out, bus->now_usec))) {
                introduction_end(ring->peer, CODE_VIOLATION);
                return;
        }
        rings_wake(ring);
}
