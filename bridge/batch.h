/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Batch: what goes out on one link, made up as late as possible, and what went lately
 *
 * Packets wait in an outbox. When the transport can take a message, control words go into it first,
 * then packets as the outbox says, until it is full or nothing waits. What was sent is kept for a
 * while: the relay may ask for it again, or not know its destination.
 *
 * A process that has left is told of only behind its last packet.
 */

#include "bridge/outbox.h"
#include "bridge/parcel.h"
#include "libcore/packet.h"
#include "libcore/stream.h"

typedef struct BatchLeaving BatchLeaving;

/* The batch must not be cleared in any of them. */
typedef struct BatchHandlers {
        /* @parcel will not be sent: @code says why. To be freed. */
        void (*on_refused)(Parcel *parcel, uint16_t code, void *userdata);
        /* The last packet of a process that batch_leave() named is gone. */
        void (*on_left)(Address address, void *userdata);
} BatchHandlers;

typedef struct Batch {
        ParcelPool *pool;
        const BatchHandlers *handlers;
        void *userdata;
        Outbox *outbox;
        Parcel *current;  /* begun in an earlier message */
        size_t n_current; /* bytes of it that are gone */
        Parcel *sent;     /* the oldest first */
        size_t n_sent_bytes;
        unsigned n_sent;
        BatchLeaving *leaving; /* they have left, while their packets still wait */
} Batch;

/* All is borrowed. Return: 0 or -errno; batch_done() copes with either. */
int batch_init(Batch *batch, ParcelPool *pool, const BatchHandlers *handlers, void *userdata);
void batch_done(Batch *batch);
/* Forgets everything, without its handlers. */
void batch_clear(Batch *batch);

/*
 * Takes @parcel over. May refuse it, or others that have to make room for it. Return: whether it
 * waits now.
 */
bool batch_queue(Batch *batch, Parcel *parcel, uint64_t now_usec);
/* The packet with @id, if it was sent not long ago; it is the caller's then. NULL: forgotten. */
Parcel *batch_take_back(Batch *batch, const PacketId *id);
/* Packets wait to be sent. */
bool batch_has_packets(const Batch *batch);

/*
 * Puts together what goes out next: words of @words, then packets, up to @room bytes at @to. Frames
 * may be cut at its end. Return: how many bytes; 0: nothing waits.
 */
size_t batch_fill(Batch *batch, Stream *words, uint8_t *to, size_t room, uint64_t now_usec);

/*
 * The process at @address has left. Return: whether on_left() tells when its last packet is gone;
 * else none waits.
 */
bool batch_leave(Batch *batch, Address address);
/* It is back. */
void batch_return(Batch *batch, Address address);
