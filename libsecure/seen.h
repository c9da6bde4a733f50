/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Which packets were opened already
 *
 * Nothing in a sealed packet itself stops somebody on the way from delivering it twice, so the
 * receiver remembers each by its sender's key and the last 8 bytes of its id until it is too old to
 * be accepted. A sender counts its ids up, so they are kept as blocks of 1024 bits: a busy sender
 * costs a bit a packet, and how fast it may send is not limited by what is remembered.
 *
 * No more than SEEN_BLOCKS_MAX blocks are kept. No more than a quarter of them for one key, which is
 * its own loss; but keys cost nothing, so when many take all, the blocks whose packets were sent
 * first go, and with them everything sent by then is refused from now on: what is forgotten is never
 * taken again, and whoever sends anew by our clock is heard. So that nobody can move that time into
 * the future, what is ahead of our clock never takes more than a quarter of the blocks.
 */

#include <stddef.h>
#include <stdint.h>

#include "libcore/util.h"
#include "libsecure/key.h"

#define SEEN_BLOCKS_MAX 16384
#define SEEN_BLOCKS_MAX_OF_ONE (SEEN_BLOCKS_MAX / 4)
#define SEEN_BLOCK_IDS 1024
#define SEEN_LIFE_USEC (15 * 60 * USEC_PER_SEC) /* older ones are not taken */
#define SEEN_AHEAD_USEC (2 * USEC_PER_SEC)      /* what was sent later than so is ahead, */
#define SEEN_AHEAD_MAX (SEEN_BLOCKS_MAX / 4)    /* and refused with so many blocks */

typedef struct Seen Seen;

enum {
        _SEEN_E_SUCCESS,

        SEEN_E_REPEATED,
        SEEN_E_STALE,    /* may be one that was forgotten, or too far ahead: send it anew */
        SEEN_E_OVERLOAD, /* its sender has its share: it must not be accepted */
};

/* Return: 0, -ENOMEM. */
int seen_new(Seen **ret);
Seen *seen_free(Seen *seen);
/*
 * Notes packet @unique of @sender, sent at @sent_usec by that one's word; wall clocks.
 * Return: 0 the first time, SEEN_E_REPEATED, SEEN_E_STALE, SEEN_E_OVERLOAD, -ENOMEM.
 */
int seen_add(Seen *seen, const PublicKey *sender, uint64_t unique, uint64_t sent_usec,
             uint64_t now_usec);
/* How many blocks are kept. */
size_t seen_n_blocks(const Seen *seen);

static inline void seen_freep(Seen **seen) {
        *seen = seen_free(*seen);
}
