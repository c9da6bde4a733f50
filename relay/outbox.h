/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Outbox: what waits to be sent on one link
 *
 * Control words go first and are never dropped; whoever makes us answer more than is taken is not
 * read meanwhile (relay/link.c). Packets wait in a fair queue (libcore/fair-queue.h) whose sources
 * are the links they came from: the links take turns, and so do the pairs of processes of one. What
 * the queue marks is marked CE.
 *
 * Pure: no I/O, time is an argument. Memory comes from a pool that all outboxes of the relay share,
 * so that forwarding allocates nothing for each packet.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/fair-queue.h"
#include "libcore/packet.h"
#include "libcore/util.h"

#define OUTBOX_HOLD_MAX_USEC (30 * USEC_PER_SEC) /* nothing is held for longer */

typedef struct Outbox Outbox;
typedef struct Parcel Parcel;
typedef struct ParcelPool ParcelPool;

/* One packet that waits; the whole frame. */
struct Parcel {
        FairItem fair;
        Parcel *next;            /* of control words, and of the spare */
        uint64_t worthless_usec; /* when it need not be sent any more */
        uint32_t n_data;
        uint8_t size_class;
        uint8_t data[];
};

/* Return: 0 or -ENOMEM. */
int parcel_pool_new(ParcelPool **ret);
/* All parcels must be back. Accepts NULL, returns NULL. */
ParcelPool *parcel_pool_free(ParcelPool *pool);
DEFINE_CLEANUP(ParcelPool, parcel_pool_free)

/* An outbox costs a few dozen bytes while nothing waits in it. Return: 0 or -ENOMEM. */
int outbox_new(Outbox **ret, ParcelPool *pool, uint64_t bytes_max, uint64_t packets_max);
/* Accepts NULL, returns NULL. */
Outbox *outbox_free(Outbox *outbox);
DEFINE_CLEANUP(Outbox, outbox_free)
/* What waits in @from, but for its control words, waits in @outbox, which is empty, from here on. */
void outbox_inherit(Outbox *outbox, Outbox *from);

/* Room for a control word of @n bytes, for the caller to fill. Return: 0 or -ENOMEM. */
int outbox_push_control(Outbox *outbox, size_t n, uint8_t **ret_data);
/*
 * A copy of the packet @data, whose decoded header is @header, that came from the source @source.
 * Return: 0, -ENOMEM.
 */
int outbox_push(Outbox *outbox, uint64_t source, const PacketHeader *header, const uint8_t *data,
                uint64_t now_usec);
/*
 * After each push, until it returns NULL: the packets that do not fit, that one or others, for the
 * caller to tell their sources and give back.
 */
Parcel *outbox_overflow(Outbox *outbox);
/* The next frame to send, for the caller to give back; NULL: nothing waits. */
Parcel *outbox_pop(Outbox *outbox, uint64_t now_usec);
/* The next packet, whatever its age, for who gives up; NULL: only control words are left. */
Parcel *outbox_abandon(Outbox *outbox);
void parcel_free(ParcelPool *pool, Parcel *parcel);

bool outbox_is_empty(const Outbox *outbox);
size_t outbox_control_bytes(const Outbox *outbox);
size_t outbox_bytes(const Outbox *outbox); /* of packets */
size_t outbox_packets(const Outbox *outbox);
/* Packets that outbox_pop() dropped as worthless, since the last call. */
uint64_t outbox_take_expired(Outbox *outbox);
