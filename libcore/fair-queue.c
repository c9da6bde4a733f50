/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Two rounds, one inside the other. The head of a round has the turn. Whose deficit does not cover
 * the next item gets a quantum and goes to the end.
 *
 * All is done in a time that neither the number of items nor that of sources makes longer: a source
 * over its share is always the one that was just pushed to, and its longest flow is one of sixteen.
 */

#include "libcore/fair-queue.h"

#include <assert.h>
#include <uthash.h>
#include <utlist.h>

#include "libcore/err.h"

#define SPARE_MAX 256

typedef struct Flow {
        FairItem *items;
        uint64_t bytes;
        uint32_t deficit;
} Flow;

typedef struct Source Source;
struct Source {
        UT_hash_handle hh;
        FairSource key;
        Source *prev, *next; /* in the round, or by next among the spare */
        uint64_t bytes, n_items;
        uint32_t deficit;
        uint16_t busy; /* flows that hold something, by bit */
        uint8_t turn;  /* the flow that has it */
        Flow flows[FAIR_FLOWS];
};

struct FairPool {
        Source *spare;
        unsigned n_spare;
};

struct FairQueue {
        FairPool *pool;
        uint64_t bytes_max, items_max;
        Source *by_key;
        Source *round;
        Source *pushed; /* the last one that was, if it is there still */
        uint64_t bytes, n_items;
};

int fair_pool_new(FairPool **ret) {
        *ret = calloc(1, sizeof(**ret));
        return *ret ? 0 : err_origin(-ENOMEM);
}

FairPool *fair_pool_free(FairPool *pool) {
        if (!pool)
                return NULL;
        while (pool->spare) {
                Source *source = pool->spare;

                pool->spare = source->next;
                free(source);
        }
        free(pool);
        return NULL;
}

int fair_new(FairQueue **ret, FairPool *pool, uint64_t bytes_max, uint64_t items_max) {
        FairQueue *queue = calloc(1, sizeof(*queue));

        if (!queue)
                return err_origin(-ENOMEM);
        queue->pool = pool;
        queue->bytes_max = bytes_max;
        queue->items_max = items_max;
        *ret = queue;
        return 0;
}

FairQueue *fair_free(FairQueue *queue) {
        if (!queue)
                return NULL;
        assert(!queue->round);
        free(queue);
        return NULL;
}

static Source *source_find(const FairQueue *queue, const FairSource *key) {
        Source *source = queue->pushed;

        /* Most of what comes is of one source, again and again. */
        if (source && memcmp(&source->key, key, sizeof(*key)) == 0)
                return source;
        HASH_FIND(hh, queue->by_key, key, sizeof(*key), source);
        return source;
}

static Source *source_new(FairQueue *queue, const FairSource *key) {
        FairPool *pool = queue->pool;
        Source *source = pool->spare;

        if (source) {
                pool->spare = source->next;
                pool->n_spare--;
                memset(source, 0, sizeof(*source));
        } else {
                source = calloc(1, sizeof(*source));
                if (!source)
                        return NULL;
        }
        source->key = *key;
        source->deficit = FAIR_QUANTUM; /* its turn comes after one of each of the others */
        HASH_ADD(hh, queue->by_key, key, sizeof(source->key), source);
        DL_APPEND(queue->round, source);
        return source;
}

static void source_drop(FairQueue *queue, Source *source) {
        FairPool *pool = queue->pool;

        if (queue->pushed == source)
                queue->pushed = NULL;
        DL_DELETE(queue->round, source);
        HASH_DEL(queue->by_key, source);
        if (pool->n_spare >= SPARE_MAX) {
                free(source);
                return;
        }
        source->next = pool->spare;
        pool->spare = source;
        pool->n_spare++;
}

int fair_push(FairQueue *queue, FairSource key, unsigned number, FairItem *item, uint32_t size,
              uint64_t now_usec) {
        Source *source = source_find(queue, &key);
        Flow *flow;

        assert(number < FAIR_FLOWS);
        if (!source)
                source = source_new(queue, &key);
        if (!source)
                return err_origin(-ENOMEM);
        queue->pushed = source;
        flow = &source->flows[number];

        item->queued_usec = now_usec;
        item->size = size;
        item->marked = flow->items && (queue->bytes + size > queue->bytes_max / 4 ||
                                       queue->n_items + 1 > queue->items_max / 4);
        DL_APPEND(flow->items, item);
        source->busy |= (uint16_t)(1U << number);
        flow->bytes += size;
        source->bytes += size;
        queue->bytes += size;
        source->n_items++;
        queue->n_items++;
        return 0;
}

/* Careful: @source is gone from here if that was its last. */
static void take_out(FairQueue *queue, Source *source, unsigned number, FairItem *item) {
        Flow *flow = &source->flows[number];

        DL_DELETE(flow->items, item);
        flow->bytes -= item->size;
        source->bytes -= item->size;
        queue->bytes -= item->size;
        source->n_items--;
        queue->n_items--;
        if (!flow->items) {
                source->busy &= (uint16_t) ~(1U << number);
                flow->deficit = 0; /* nobody saves up turns by being silent */
        }
        if (source->n_items == 0)
                source_drop(queue, source);
}

/*
 * A source may hold s if n * s <= max - used, where n sources hold used, this one with its s. Alone
 * it gets the half, a second one then a third of what is left, and so on.
 */
static bool share_allows(uint64_t max, uint64_t used, uint64_t n, uint64_t share) {
        return used <= max && n * share <= max - used;
}

FairItem *fair_overflow(FairQueue *queue) {
        Source *source = queue->pushed;
        uint64_t n = HASH_COUNT(queue->by_key);
        unsigned longest = 0;
        FairItem *item;

        if (!source || (share_allows(queue->bytes_max, queue->bytes, n, source->bytes) &&
                        share_allows(queue->items_max, queue->n_items, n, source->n_items)))
                return NULL;
        for (unsigned i = 1; i < FAIR_FLOWS; i++)
                if (source->flows[i].bytes > source->flows[longest].bytes)
                        longest = i;
        item = source->flows[longest].items->prev; /* utlist's head points back to its tail */
        take_out(queue, source, longest, item);
        return item;
}

/* The flow whose turn it is; @source has something. */
static unsigned source_turn(Source *source) {
        for (;;) {
                Flow *flow = &source->flows[source->turn];
                uint32_t later;

                if (flow->items && flow->deficit >= flow->items->size)
                        return source->turn;
                /* The next one that is busy, round the end; the same again if there is no other. */
                later = source->busy & ~((UINT32_C(2) << source->turn) - 1);
                source->turn = (uint8_t)__builtin_ctz(later ? later : source->busy);
                source->flows[source->turn].deficit += FAIR_QUANTUM;
        }
}

FairItem *fair_pop(FairQueue *queue, uint64_t now_usec) {
        for (;;) {
                Source *source = queue->round;
                FairItem *item;
                unsigned number;

                if (!source)
                        return NULL;
                number = source_turn(source);
                item = source->flows[number].items;
                if (source->deficit < item->size) {
                        source->deficit += FAIR_QUANTUM;
                        DL_DELETE(queue->round, source);
                        DL_APPEND(queue->round, source);
                        continue;
                }
                source->flows[number].deficit -= item->size;
                source->deficit -= item->size;
                take_out(queue, source, number, item);
                if (now_usec >= item->queued_usec + FAIR_LONG_USEC)
                        item->marked = true;
                return item;
        }
}

uint64_t fair_bytes(const FairQueue *queue) {
        return queue->bytes;
}

uint64_t fair_items(const FairQueue *queue) {
        return queue->n_items;
}

bool fair_has(const FairQueue *queue, FairSource source) {
        return source_find(queue, &source) != NULL;
}
