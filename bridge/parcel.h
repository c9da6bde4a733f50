/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Parcel: one packet that the bridge holds
 *
 * A packet from the daemon becomes a parcel when it enters an outbox, and stays one until it has
 * gone into a link's message and is old enough that no answer about it will come. Parcels come out
 * of a pool with a few sizes, so that forwarding does not allocate for each packet.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/fair-queue.h"
#include "libcore/packet.h"
#include "libcore/util.h"

typedef struct Parcel Parcel;
typedef struct ParcelPool ParcelPool;

struct Parcel {
        FairItem fair;       /* in an outbox */
        Parcel *prev, *next; /* utlist, when it is in none */
        uint64_t since_usec; /* CLOCK_BOOTTIME, when it first came into an outbox; 0: not yet */
        uint64_t life_usec;  /* how long we may hold it; USEC_NEVER: for ever */
        Address src;
        Address dst;
        PacketId id;
        uint32_t tried; /* links, by slot, that answered NOT_HERE or the like */
        uint16_t code;  /* the most useful of their answers */
        bool repeated;  /* was sent a second time, after UNLEASED */
        uint8_t size_class;
        uint32_t size;
        uint8_t data[]; /* the whole packet, header included */
};

/* Return: 0 or -ENOMEM. */
int parcel_pool_new(ParcelPool **ret);
/* All parcels must have been given back. Accepts NULL, returns NULL. */
ParcelPool *parcel_pool_free(ParcelPool *pool);
DEFINE_CLEANUP(ParcelPool, parcel_pool_free)
/* For the fair queues that hold its parcels. */
FairPool *parcel_pool_sources(ParcelPool *pool);

/*
 * Copies the packet at @data, whose decoded header is @header, into a parcel that is the caller's.
 * Return: 0 or -ENOMEM.
 */
int parcel_new(ParcelPool *pool, const PacketHeader *header, const uint8_t *data, Parcel **ret);
/* Gives back a parcel that is in no queue. Accepts NULL, returns NULL. */
Parcel *parcel_free(ParcelPool *pool, Parcel *parcel);

/* The sender's deadline is a span; what we have held for longer is worthless. */
static inline bool parcel_is_expired(const Parcel *parcel, uint64_t now_usec) {
        return parcel->life_usec != USEC_NEVER && now_usec > parcel->since_usec &&
               now_usec - parcel->since_usec > parcel->life_usec;
}
