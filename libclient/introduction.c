/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/introduction.h"

#include <utlist.h>

#include "libclient/daemon.h"
#include "libclient/path-ring.h"
#include "libclient/peer.h"
#include "libclient/reason.h"
#include "libclient/send.h"
#include "libcore/err.h"

#define READS_MAX 1024 /* all of the largest ring; but its other side may go on and on */
#define OFFERED_FDS 3
#define BELLS_FDS 2

static RingPath *find(RingPath *list, const PacketId *id) {
        RingPath *ring;

        DL_FOREACH (list, ring)
                if (ring->has_id && packet_id_equal(&ring->id, id))
                        return ring;
        return NULL;
}

static RingPath *find_ring(p2pbus *bus, const PacketId *id) {
        RingPath *ring = find(bus->rings.awake, id);

        return ring ? ring : find(bus->rings.asleep, id);
}

/* Offers have carried nothing yet, so they are asleep. */
static RingPath *find_offer(p2pbus *bus, const PacketId *offer) {
        RingPath *ring;

        DL_FOREACH (bus->rings.asleep, ring)
                if (!ring->is_open && memcmp(&ring->offer, offer, sizeof(*offer)) == 0)
                        return ring;
        return NULL;
}

static RingPath *find_answer_in(RingPath *list, const PacketId *answer) {
        RingPath *ring;

        DL_FOREACH (list, ring)
                if (ring->is_open && memcmp(&ring->offer, answer, sizeof(*answer)) == 0)
                        return ring;
        return NULL;
}

static RingPath *find_answer(p2pbus *bus, const PacketId *answer) {
        RingPath *ring = find_answer_in(bus->rings.awake, answer);

        return ring ? ring : find_answer_in(bus->rings.asleep, answer);
}

void introduction_remember(p2pbus *bus, const PacketId *id) {
        bus->rings.said[bus->rings.n_said++ % RINGS_SAID] = *id;
}

/* For a packet about rings. */
static PacketId new_id(p2pbus *bus) {
        PacketId id = bus_new_id(bus);

        introduction_remember(bus, &id);
        return id;
}

static bool was_said(const p2pbus *bus, const PacketId *id) {
        for (unsigned i = 0; i < MIN(bus->rings.n_said, (unsigned)RINGS_SAID); i++)
                if (packet_id_equal(&bus->rings.said[i], id))
                        return true;
        return false;
}

static void say(p2pbus *bus, const Control *word) {
        PacketId id;

        if (!bus->is_up)
                return;
        id = new_id(bus);
        /* Without memory it goes unsaid, and what ends the ring is its bell. */
        (void)connection_queue_control(bus->connection, word, &id);
}

static void say_end(p2pbus *bus, const PacketId *id, Address address, uint16_t code) {
        say(bus,
            &(Control){ .verb = CONTROL_RING_END, .code = code, .ref = *id, .address = address });
}

/* The pair is refused one: for now. */
static void put_off(Peer *peer) {
        Introduction *i = &peer->introduction;

        i->wait_usec = i->wait_usec == 0 ? INTRODUCTION_WAIT_USEC
                                         : MIN(2 * i->wait_usec, INTRODUCTION_WAIT_MAX_USEC);
        i->retry_usec = peer->bus->now_usec + i->wait_usec;
        i->n_packets = 0;
}

static void drop(Peer *peer) {
        bool was_open = peer->ring && peer->ring->is_open;

        peer->ring = ring_path_free(peer->ring);
        if (!was_open)
                return;
        peer->generation++;
        peer_update_path(peer);
        bus_happened(peer->bus);
}

/* Offering */

static bool may_offer(const Peer *peer) {
        const p2pbus *bus = peer->bus;

        return !peer->ring && !peer->mirror && peer->path == SESSION_PATH_LOCAL && bus->is_up &&
               (bus->hello_flags & HELLO_RINGS) && peer->has_key &&
               session_is_established(peer->session) &&
               peer->introduction.rule != P2PBUS_RING_NEVER &&
               bus->now_usec >= peer->introduction.retry_usec;
}

static void offer(Peer *peer) {
        p2pbus *bus = peer->bus;
        Control word = {
                .verb = CONTROL_RING_OFFER,
                .value = RING_PATH_SIZE,
                .address = peer->address,
        };
        int fd, r;

        r = ring_path_new(peer, &peer->ring, &fd);
        if (r < 0) {
                put_off(peer);
                return;
        }
        peer->ring->offer = new_id(bus);
        r = connection_queue_control_fds(bus->connection, &word, &peer->ring->offer, &fd, 1);
        if (r < 0) {
                (void)fd_close(fd);
                peer->ring = ring_path_free(peer->ring);
                put_off(peer);
        }
}

void introduction_consider(Peer *peer) {
        if (may_offer(peer) && (peer->introduction.rule == P2PBUS_RING_ALWAYS ||
                                peer->introduction.n_packets >= INTRODUCTION_PACKETS))
                offer(peer);
}

void introduction_count(Peer *peer) {
        Introduction *i = &peer->introduction;

        if (peer->ring && !peer->ring->is_open && peer->ring->is_gone &&
            peer->bus->now_usec - peer->ring->used_usec >= INTRODUCTION_WAIT_USEC)
                introduction_end(peer, CODE_GONE); /* what the daemon says of it was lost */
        if (peer->ring)
                return;
        if (peer->bus->now_usec - i->since_usec >= USEC_PER_SEC) {
                i->since_usec = peer->bus->now_usec;
                i->n_packets = 0;
        }
        i->n_packets++;
        introduction_consider(peer);
}

/* Ending */

void introduction_end(Peer *peer, uint16_t code) {
        RingPath *ring = peer->ring;

        if (!ring)
                return;
        /* What was committed is as good as before, unless the ring is broken. */
        for (unsigned i = 0; ring->is_open && code != CODE_VIOLATION && i < READS_MAX; i++)
                if (ring_path_read(ring) != 0)
                        break;
        /* Of some of it the other side has no copy; its question, lost or not, is on its way. */
        peer_pop(peer);
        if (ring->has_id)
                say_end(peer->bus, &ring->id, peer->address,
                        code == CODE_VIOLATION ? CODE_VIOLATION : CODE_OK);
        if (code == CODE_VIOLATION) {
                peer->bus->counters.bad_packets++;
                peer->introduction.rule = P2PBUS_RING_NEVER;
        }
        if (!ring->is_open)
                put_off(peer);
        drop(peer);
}

void introduction_leave(Peer *peer) {
        if (peer->ring && peer->ring->has_id)
                say_end(peer->bus, &peer->ring->id, peer->address, CODE_OK);
        peer->ring = ring_path_free(peer->ring);
}

uint64_t introduction_due(const Peer *peer) {
        return peer->introduction.rule == P2PBUS_RING_ALWAYS
                       ? USEC_NEVER
                       : peer->ring->used_usec + INTRODUCTION_IDLE_USEC;
}

void introduction_tire(Peer *peer) {
        RingPath *ring = peer->ring;

        if (ring && ring->is_open && peer->introduction.rule != P2PBUS_RING_ALWAYS &&
            peer->bus->now_usec - ring->used_usec >= INTRODUCTION_IDLE_USEC)
                introduction_end(peer, CODE_OK);
}

void introduction_forget_offers(p2pbus *bus) {
        RingPath *ring, *next;

        DL_FOREACH_SAFE (bus->rings.asleep, ring, next)
                if (!ring->is_open)
                        drop(ring->peer);
}

/* Keeping */

static void on_kept(p2pbus *bus, Ask *ask) {
        RingPath *ring = container_of(ask, RingPath, keep);
        uint16_t code = ask->code;

        daemon_drop(bus, ask);
        if (code == CODE_OK)
                return;
        put_off(ring->peer);
        ring->has_id = false; /* the daemon knows */
        introduction_end(ring->peer, CODE_OK);
}

static void keep(RingPath *ring) {
        if (ring->keep.prev)
                return; /* it is asked already, again and again */
        ring->keep = (Ask){
                .on_answer = on_kept,
                .control = {
                        .verb = CONTROL_RING_KEEP,
                        .value = ring->file.size,
                        .ref = ring->id,
                        .address = ring->peer->address,
                },
        };
        daemon_ask(ring->peer->bus, &ring->keep);
}

void introduction_keep_all(p2pbus *bus) {
        RingPath *ring;

        DL_FOREACH (bus->rings.awake, ring)
                keep(ring);
        DL_FOREACH (bus->rings.asleep, ring)
                if (ring->is_open)
                        keep(ring);
}

/* What the daemon says */

/* Some of a word's descriptors found no room in our table, which the other side need not know. */
static bool all_came(const int *fds, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                if (fds[i] < 0)
                        return false;
        return true;
}

/* Our offer is on its way to the other side. */
static void on_bells(p2pbus *bus, const Control *control, int fds[BELLS_FDS]) {
        PacketId offer;
        RingPath *ring;

        memcpy(&offer, control->body, sizeof(offer));
        ring = find_offer(bus, &offer);
        if (!ring || ring->has_id) {
                say_end(bus, &control->ref, control->address, CODE_OK); /* given up meanwhile */
                return;
        }
        ring->id = control->ref;
        ring->has_id = true;
        if (all_came(fds, BELLS_FDS) && ring_path_set_bells(ring, fds[0], fds[1]) == 0) {
                fds[0] = fds[1] = -EBADF;
                return;
        }
        introduction_end(ring->peer, CODE_OK);
}

/* The pair has its ring: from here on the path is that. */
static void opened(Peer *peer) {
        peer->generation++;
        peer->introduction.wait_usec = 0;
        peer->introduction.n_packets = 0;
        peer_update_path(peer);
        bus_happened(peer->bus);
}

static void on_answered(p2pbus *bus, const Control *control, const int *fd) {
        RingPath *ring = find_ring(bus, &control->ref);
        Peer *peer;
        int r;

        if (!ring || ring->is_open)
                return;
        peer = ring->peer;
        if (control->code != CODE_OK) {
                put_off(peer);
                drop(peer);
                return;
        }
        r = *fd < 0 ? -EMFILE : ring_path_open(ring, *fd, control->value);
        if (r != 0) {
                introduction_end(peer, r > 0 ? CODE_VIOLATION : CODE_OK);
                return;
        }
        opened(peer);
}

/* Return: CODE_OK, and the answer is said; or why not. */
static uint16_t accept_offer(Peer *peer, const Control *control, int fds[OFFERED_FDS]) {
        p2pbus *bus = peer->bus;
        Control answer = {
                .verb = CONTROL_RING_ANSWER,
                .value = RING_PATH_SIZE,
                .ref = control->ref,
                .address = peer->address,
        };
        _cleanup_(fd_closep) int fd = -EBADF;
        RingPath *ring;
        int r;

        if (!all_came(fds, OFFERED_FDS))
                return CODE_QUOTA;
        r = ring_path_new(peer, &peer->ring, &fd);
        if (r < 0)
                return CODE_QUOTA;
        ring = peer->ring;
        ring->id = control->ref;
        r = ring_path_open(ring, fds[0], control->value);
        if (r == 0)
                r = ring_path_set_bells(ring, fds[1], fds[2]);
        if (r == 0) {
                fds[1] = fds[2] = -EBADF;
                ring->offer = new_id(bus);
                r = connection_queue_control_fds(bus->connection, &answer, &ring->offer, &fd, 1);
        }
        if (r != 0) {
                peer->ring = ring_path_free(ring);
                return r > 0 ? CODE_VIOLATION : CODE_OVERLOAD;
        }
        fd = -EBADF;
        ring->has_id = true;
        opened(peer);
        return CODE_OK;
}

static void on_offered(p2pbus *bus, const Control *control, int fds[OFFERED_FDS]) {
        Peer *peer = peer_find(bus, control->address, NULL);
        uint16_t code = CODE_DENIED;

        /* Only with whom there is a session, so that a stranger makes us map nothing. */
        if (peer && !peer->mirror && peer->has_key && peer->path == SESSION_PATH_LOCAL &&
            session_is_established(peer->session) && peer->introduction.rule != P2PBUS_RING_NEVER &&
            !(peer->ring && peer->ring->is_open)) {
                drop(peer); /* an offer of ours that came too late */
                code = accept_offer(peer, control, fds);
        }
        if (code != CODE_OK)
                say(bus, &(Control){ .verb = CONTROL_RING_ANSWER,
                                     .code = code,
                                     .ref = control->ref,
                                     .address = control->address });
}

static void on_end(p2pbus *bus, const Control *control) {
        RingPath *ring = find_ring(bus, &control->ref);
        Peer *peer;

        if (!ring)
                return;
        peer = ring->peer;
        if (ring->is_open && control->code != CODE_OK && control->code != CODE_GONE)
                put_off(peer);
        ring->has_id = false; /* the daemon knows */
        introduction_end(peer, control->code == CODE_VIOLATION ? CODE_VIOLATION : CODE_OK);
}

bool introduction_on_error(p2pbus *bus, const PacketId *ref) {
        RingPath *ring = find_offer(bus, ref);

        if (ring) {
                /* BUSY: the other one was first, and its offer is on its way; or the daemon has not
                 * heard of the end of the last. */
                put_off(ring->peer);
                drop(ring->peer);
                return true;
        }
        ring = find_answer(bus, ref);
        if (ring) { /* the other side will never look into it */
                put_off(ring->peer);
                ring->has_id = false; /* the daemon knows */
                introduction_end(ring->peer, CODE_OK);
                return true;
        }
        return was_said(bus, ref);
}

void introduction_consume(p2pbus *bus, const Control *control) {
        int fds[FRAME_FDS_MAX];
        unsigned n_fds = connection_take_fds(bus->connection, fds);

        for (unsigned i = n_fds; i < FRAME_FDS_MAX; i++)
                fds[i] = -EBADF;
        switch (control->verb) {
        case CONTROL_RING_BELLS:
                if (n_fds == BELLS_FDS)
                        on_bells(bus, control, fds);
                break;
        case CONTROL_RING_OFFERED:
                if (n_fds == OFFERED_FDS)
                        on_offered(bus, control, fds);
                break;
        case CONTROL_RING_ANSWERED:
                on_answered(bus, control, fds);
                break;
        default:
                on_end(bus, control);
        }
        for (unsigned i = 0; i < FRAME_FDS_MAX; i++)
                (void)fd_close(fds[i]);
}

_public_ int p2pbus_set_ring(p2pbus *bus, const char *dest, int rule) {
        Peer *peer;
        int r;

        r = bus_enter(bus);
        if (r < 0)
                return r;
        if (rule != P2PBUS_RING_AUTO && rule != P2PBUS_RING_ALWAYS && rule != P2PBUS_RING_NEVER)
                return bus_leave(bus, reason_fail_errno(-EINVAL, "no such rule for rings"));
        r = destination_peer(bus, dest, &peer);
        if (r == 0 && !peer)
                r = reason_fail_errno(-EINVAL, "a ring is with one process, not with a name");
        if (r == 0) {
                peer->introduction = (Introduction){ .rule = (uint8_t)rule };
                if (rule == P2PBUS_RING_NEVER)
                        introduction_end(peer, CODE_OK);
                else
                        introduction_consider(peer);
        }
        return bus_leave(bus, r);
}
