/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Fair queue: what waits for one link, and whose turn it is
 *
 * Items wait by their source, and within a source by their flow, sixteen queues by hash. Sources
 * take turns, and so do the flows of one: deficit round robin in bytes, so that neither many small
 * items nor many flows buy a greater share, and a turn is a quantum and less than an item more.
 *
 * It is bounded in bytes and items. Of n sources each may hold between 1/n and 1/n^2 of the bound,
 * so that one which comes new finds room, whatever the others do. What is over a source's share is
 * taken from its longest flow, newest first: whoever floods loses what is his own.
 *
 * An item that met a long queue before its own, over a quarter of the bound in all, or that waited
 * for 50 ms, is marked: its sender is to slow down. One whose own flow was empty is not at fault.
 *
 * Pure: no I/O, time is an argument. Items are part of what their owner queues; memory is needed for
 * sources alone, while something of theirs waits, and comes from a pool that queues share.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/pid.h"
#include "libcore/util.h"

#define FAIR_QUANTUM 8192
#define FAIR_FLOWS 16
#define FAIR_LONG_USEC (50 * USEC_PER_MSEC)

typedef struct FairQueue FairQueue;
typedef struct FairPool FairPool;
typedef struct FairItem FairItem;

struct FairItem {
        FairItem *prev, *next;
        uint64_t queued_usec;
        uint32_t size;
        bool marked; /* of what fair_pop() gives */
};

/* Who sends; hashed as bytes, so without padding. */
typedef struct FairSource {
        uint64_t id[2];
} FairSource;

/* Return: 0 or -ENOMEM. */
int fair_pool_new(FairPool **ret);
/* All queues must be empty. Accepts NULL, returns NULL. */
FairPool *fair_pool_free(FairPool *pool);

/* @pool outlives the queue. Return: 0 or -ENOMEM. */
int fair_new(FairQueue **ret, FairPool *pool, uint64_t bytes_max, uint64_t items_max);
/* It must be empty. Accepts NULL, returns NULL. */
FairQueue *fair_free(FairQueue *queue);

/* The flow of packets from @src to @dst; those of different pairs may be the same. */
static inline unsigned fair_flow(Address src, Address dst) {
        uint64_t x = (src.pid ^ (dst.pid << 1 | dst.pid >> 63)) + src.tag + dst.tag;

        return (unsigned)(x * UINT64_C(0x9e3779b97f4a7c15) >> 60);
}

/* @item is the queue's until it is given out again, on success only. Return: 0 or -ENOMEM. */
int fair_push(FairQueue *queue, FairSource source, unsigned flow, FairItem *item, uint32_t size,
              uint64_t now_usec);
/* After each push, until it returns NULL: the items that do not fit, the one just pushed or others. */
FairItem *fair_overflow(FairQueue *queue);
/* Whose turn it is. Return: NULL if there is nothing. */
FairItem *fair_pop(FairQueue *queue, uint64_t now_usec);

uint64_t fair_bytes(const FairQueue *queue);
uint64_t fair_items(const FairQueue *queue);
/* Whether anything of @source waits. */
bool fair_has(const FairQueue *queue, FairSource source);
