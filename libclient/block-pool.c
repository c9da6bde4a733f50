/* SPDX-License-Identifier: Apache-2.0 */

#include "libclient/block-pool.h"

#include <stdbool.h>
#include <stdlib.h>

#include "libcore/util.h"

#define GRAIN 128 /* sizes are rounded up to a multiple */
#define N_CLASSES (BLOCK_POOL_SIZE_MAX / GRAIN)

typedef struct Block Block;
struct Block {
        Block *next;
};

static struct {
        bool is_taken; /* somebody is at it; in a child of fork() it may stay so */
        unsigned n_blocks;
        unsigned n_spare[N_CLASSES];
        Block *spare[N_CLASSES];
} pool;

static bool pool_take(void) {
        return !__atomic_test_and_set(&pool.is_taken, __ATOMIC_ACQUIRE);
}

static void pool_give(void) {
        __atomic_clear(&pool.is_taken, __ATOMIC_RELEASE);
}

/* N_CLASSES or more: none. */
static size_t class_of(size_t size) {
        return (size - 1) / GRAIN;
}

static Block *take_spare(size_t class) {
        Block *block = pool.spare[class];

        if (block) {
                pool.spare[class] = block->next;
                pool.n_spare[class]--;
                pool.n_blocks--;
        }
        return block;
}

void *block_new(size_t size) {
        size_t class = class_of(size);
        Block *block = NULL;

        if (class >= N_CLASSES)
                return malloc(size);
        if (pool_take()) {
                block = take_spare(class);
                pool_give();
        }
        return block ? block : malloc(BLOCK_POOL_MAX > 0 ? (class + 1) * GRAIN : size);
}

/* The class of which most are kept. */
static size_t most_kept(void) {
        size_t most = 0;

        for (size_t class = 1; class < N_CLASSES; class ++)
                if (pool.n_spare[class] > pool.n_spare[most])
                        most = class;
        return most;
}

void block_free(void *data, size_t size) {
        size_t class = class_of(size);
        Block *block = data, *other = NULL;

        if (BLOCK_POOL_MAX > 0 && class < N_CLASSES && pool_take()) {
                if (pool.n_blocks == BLOCK_POOL_MAX)
                        other = take_spare(most_kept());
                block->next = pool.spare[class];
                pool.spare[class] = block;
                pool.n_spare[class]++;
                pool.n_blocks++;
                pool_give();
                block = other;
        }
        free(block);
}

/* The last is done when the library is unloaded. */
__attribute__((destructor)) void block_pool_trim(void) {
        Block *block;

        if (!pool_take())
                return;
        for (size_t class = 0; class < N_CLASSES; class ++)
                while ((block = take_spare(class)))
                        free(block);
        pool_give();
}

unsigned block_pool_size(void) {
        return __atomic_load_n(&pool.n_blocks, __ATOMIC_RELAXED);
}
