/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Which packets were opened already
 *
 * Nothing in a sealed packet itself stops somebody on the way from delivering it twice, so the
 * receiver remembers each by its sender's key and the last 8 bytes of its id until it could not
 * be accepted any more. A sender counts its ids up, so they are kept as blocks of 1024 bits: a
 * busy sender costs a bit a packet, and how fast it may send is not limited by what is remembered.
 *
 * No more than SEEN_BLOCKS_MAX blocks are kept, and no more than a quarter of them for one key.
 */

#include <stddef.h>
#include <stdint.h>

#include "libsecure/key.h"

#define SEEN_BLOCKS_MAX 16384
#define SEEN_BLOCKS_MAX_OF_ONE (SEEN_BLOCKS_MAX / 4)
#define SEEN_BLOCK_IDS 1024

typedef struct Seen Seen;

enum {
        _SEEN_E_SUCCESS,

        SEEN_E_REPEATED,
        SEEN_E_OVERLOAD, /* no room to remember it: it must not be accepted */
};

/* Return: 0, -ENOMEM. */
int seen_new(Seen **ret);
Seen *seen_free(Seen *seen);
/*
 * Notes packet @unique of @sender until @until_usec; @now_usec says what may be forgotten.
 * Return: 0 the first time, SEEN_E_REPEATED, SEEN_E_OVERLOAD, -ENOMEM.
 */
int seen_add(Seen *seen, const PublicKey *sender, uint64_t unique, uint64_t until_usec,
             uint64_t now_usec);
/* How many blocks are kept. */
size_t seen_n_blocks(const Seen *seen);

static inline void seen_freep(Seen **seen) {
        *seen = seen_free(*seen);
}
