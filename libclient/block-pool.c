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

void *block_new(size_t size) {
        size_t class = class_of(size);
        Block *block = NULL;

        if (class >= N_CLASSES)
                return malloc(size);
        if (pool_take()) {
                block = pool.spare[class];
                if (block) {
                        pool.spare[class] = block->next;
                        pool.n_blocks--;
                }
                pool_give();
        }
        return block ? block : malloc(BLOCK_POOL_MAX > 0 ? (class + 1) * GRAIN : size);
}

void block_free(void *data, size_t size) {
        size_t class = class_of(size);
        Block *block = data;

        if (class < N_CLASSES && pool_take()) {
                if (pool.n_blocks < BLOCK_POOL_MAX) {
                        block->next = pool.spare[class];
                        pool.spare[class] = block;
                        pool.n_blocks++;
                        block = NULL;
                }
                pool_give();
        }
        free(block);
}

void block_pool_trim(void) {
        if (!pool_take())
                return;
        for (size_t class = 0; class < N_CLASSES; class ++)
                while (pool.spare[class]) {
                        Block *block = pool.spare[class];

                        pool.spare[class] = block->next;
                        free(block);
                }
        pool.n_blocks = 0;
        pool_give();
}

unsigned block_pool_size(void) {
        return __atomic_load_n(&pool.n_blocks, __ATOMIC_RELAXED);
}
