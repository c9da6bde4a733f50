/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Outbox: what waits for one link
 *
 * Sources take turns, and within a source its destinations do: deficit round robin in bytes, so
 * that neither many small packets nor many destinations buy a greater share. It is bounded in
 * bytes and packets. What is too much is taken from the longest queue, newest first: whoever
 * floods loses his own packets, is told so, and his session sends them again. A packet that met a
 * queue over a quarter of the limit, or waited 50 ms, is marked CE.
 *
 * Pure: no I/O, time is an argument (CLOCK_BOOTTIME).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bridge/parcel.h"
#include "libcore/packet.h"
#include "libcore/util.h"

#define OUTBOX_BYTES_MAX (16 * 1024 * 1024)
#define OUTBOX_PACKETS_MAX 4096
#define OUTBOX_CE_USEC (50 * USEC_PER_MSEC)

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
