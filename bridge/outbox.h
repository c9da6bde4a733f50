/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Outbox: what waits for one link
 *
 * A fair queue (libcore/fair-queue.h) whose sources are the processes of this host: they take turns,
 * and within a process its destinations do. Whoever floods loses his own packets, is told so, and
 * his session sends them again. What the queue marks is marked CE.
 *
 * Pure: no I/O, time is an argument (CLOCK_BOOTTIME).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bridge/parcel.h"
#include "libcore/fair-queue.h"
#include "libcore/packet.h"
#include "libcore/util.h"

#define OUTBOX_BYTES_MAX (16 * 1024 * 1024)
#define OUTBOX_PACKETS_MAX 8192

typedef struct Outbox Outbox;

/* Parcels go back to @pool, which outlives the outbox. Return: 0 or -ENOMEM. */
int outbox_new(Outbox **ret, ParcelPool *pool, size_t bytes_max, unsigned packets_max);
/* Gives back all parcels. Accepts NULL, returns NULL. */
Outbox *outbox_free(Outbox *outbox);
DEFINE_CLEANUP(Outbox, outbox_free)

/* The parcel is the outbox's from here on, on success only. Return: 0 or -ENOMEM. */
int outbox_push(Outbox *outbox, Parcel *parcel, uint64_t now_usec);
/*
 * After each push, until it returns NULL: the parcels that do not fit. They are the caller's, to
 * tell their sources and give back.
 */
Parcel *outbox_overflow(Outbox *outbox);
/* Whose turn it is; the caller's from here on. Return: NULL if there is nothing. */
Parcel *outbox_pop(Outbox *outbox, uint64_t now_usec);

size_t outbox_bytes(const Outbox *outbox);
unsigned outbox_packets(const Outbox *outbox);
/* Whether packets of @src wait here. */
bool outbox_has(const Outbox *outbox, Address src);
