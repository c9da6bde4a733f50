/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Blocks of memory for messages
 *
 * Messages come and go in bursts, of as many as go into a packet or are acknowledged together, and
 * malloc() is quick for a handful of a size at a time. What is given back here is kept for the next
 * burst: BLOCK_POOL_MAX blocks at most, of the sizes that were used last, for all handles and threads of
 * the process; each finds it free or goes to malloc(), and nobody waits. Under a sanitizer that watches
 * what is freed nothing is kept.
 *
 * Any thread, also in a child after fork().
 */

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BLOCK_POOL_MAX 0
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define BLOCK_POOL_MAX 0
#endif
#ifndef BLOCK_POOL_MAX
#define BLOCK_POOL_MAX 4096
#endif
#define BLOCK_POOL_SIZE_MAX 1024 /* bytes; what is larger is malloc()'s alone */

/* Room for @size bytes, not cleared; NULL: no memory. */
void *block_new(size_t size);
/* Gives @block, which is not NULL, back. @size: as it was asked for. */
void block_free(void *block, size_t size);
/* Frees what is kept, unless another thread is at it. */
void block_pool_trim(void);
/* How many are kept. */
unsigned block_pool_size(void);
