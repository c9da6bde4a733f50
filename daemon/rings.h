/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Rings: pairs of processes of this host that talk past the daemon
 *
 *      RING_OFFERED -----the other side answers, in time----> RING_MADE --> ended
 *      RING_KEPT_BY_ONE --the other side keeps it, in time--^
 *
 * A Ring is what the daemon remembers after it has introduced two processes (introduction.h): so
 * that it knows who pays, and can end it when policy or one of them goes. It holds neither the
 * files nor the bells.
 *
 * The file of each side is charged to its user, and the ring once to each user.
 */

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "libcore/control.h"

#define RINGS_MAX 65536 /* in all */

typedef struct Manager Manager;
typedef struct Peer Peer;
typedef struct Ring Ring;

typedef enum RingState {
        RING_OFFERED,
        RING_KEPT_BY_ONE, /* over a restart of the daemon; the other has not said so yet */
        RING_MADE,
} RingState;

typedef struct RingSide RingSide;
struct RingSide {
        Ring *ring;
        Peer *peer;            /* NULL: has not said yet that it keeps the ring */
        RingSide *prev, *next; /* of the same process */
        Address address;
        uint32_t size; /* bytes of data in its file, charged; 0: none yet */
        bool pays;     /* for the ring, too */
};

struct Ring {
        UT_hash_handle by_id, by_pair;
        PacketId id;
        uint8_t pair[24]; /* both addresses, the smaller first */
        RingState state;
        RingSide first, second; /* first: who offered it, or said first that it keeps it */
        PacketId ref;           /* of the packet in which it did */
        uint64_t since_usec;    /* when */
        Ring *prev, *next;      /* of those that wait for the second, oldest first */
};

typedef struct Rings {
        Ring *by_id, *by_pair;
        Ring *waiting;
        uint64_t bytes;
} Rings;

typedef struct RingOptions {
        RingState state; /* RING_OFFERED, RING_KEPT_BY_ONE */
        PacketId id;
        Address second;
        uint32_t size; /* of the first one's file */
        PacketId ref;
} RingOptions;

/* A ring of @first that waits for the second. Return: CODE_OK, CODE_QUOTA, CODE_OVERLOAD. */
ControlCode ring_new(Ring **ret, Peer *first, const RingOptions *options);
/* Ends it without a word. */
void ring_free(Ring *ring);
/*
 * Ends it and says so to both sides, or to all but @except, which hears it otherwise. Who waits to
 * hear whether it may keep the ring is answered with ERROR, the others with RING_END.
 */
void ring_end(Ring *ring, ControlCode code, const Peer *except);

/* From now on it ends when @peer leaves. */
void ring_set_second(Ring *ring, Peer *peer);
/* Charges the second's file to @peer's user. Return: CODE_OK, CODE_QUOTA. */
ControlCode ring_charge_second(Ring *ring, Peer *peer, uint32_t size);
/* The second has spoken, nobody waits any longer. */
void ring_set_made(Ring *ring);

Ring *rings_find(const Rings *rings, const PacketId *id);
Ring *rings_find_pair(const Rings *rings, Address a, Address b);
/* @peer's side, or NULL. */
RingSide *ring_side_of(Ring *ring, const Peer *peer);
RingSide *ring_side_across(const RingSide *side);

/* @peer leaves: its rings end. */
void rings_remove_all(Peer *peer);
/* Whether policy lets both send what they like to each other: else they have no ring. */
bool rings_allowed(const Peer *a, const Peer *b);
/* Ends those of @peer that policy no longer allows. */
void rings_reevaluate_of(Peer *peer);
/* Ends those that policy or settings no longer allow. */
void rings_reevaluate(Manager *manager);
/* Ends those whose second did not speak in time. */
void rings_on_time(Manager *manager);

static inline unsigned rings_count(const Rings *rings) {
        return HASH_CNT(by_id, rings->by_id);
}
