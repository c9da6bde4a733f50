/* SPDX-License-Identifier: Apache-2.0 */

#include "libsecure/seen.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "libcore/err.h"
#include "libcore/util.h"

/*
 * Ids and keys are chosen by strangers: an unkeyed hash would let them fill one bucket. The macro
 * finds the variable @seen where the table is used.
 */
#define HASH_FUNCTION(key, n_key, hash) ((hash) = seen_hash(seen, (key), (n_key)))
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#define SWEEP 4 /* old blocks looked at for each new one */

typedef struct Block Block;
typedef struct Sender Sender;

typedef struct BlockKey {
        PublicKey sender;
        uint64_t number; /* of the block: id / SEEN_BLOCK_IDS */
} BlockKey;

struct Block {
        BlockKey key;
        Sender *sender;
        uint64_t until_usec; /* the latest of its ids */
        uint8_t bits[SEEN_BLOCK_IDS / 8];
        UT_hash_handle hh;
        Block *prev, *next; /* in the row */
};

struct Sender {
        PublicKey key;
        size_t n_blocks;
        UT_hash_handle hh;
};

struct Seen {
        uint8_t hash_key[crypto_shorthash_KEYBYTES];
        Block *blocks;
        Block *row; /* the same blocks; the first is the next to be looked at */
        Sender *senders;
        uint64_t full_until_usec; /* nothing ends before: not worth a look */
};

static unsigned seen_hash(const Seen *seen, const void *key, size_t n_key) {
        uint8_t hash[crypto_shorthash_BYTES];

        (void)crypto_shorthash(hash, key, n_key, seen->hash_key);
        return load_le32(hash);
}

int seen_new(Seen **ret) {
        Seen *seen = calloc(1, sizeof(*seen));

        if (!seen)
                return err_origin(-ENOMEM);
        crypto_random(seen->hash_key, sizeof(seen->hash_key));
        *ret = seen;
        return 0;
}

static void sender_put(Seen *seen, Sender *sender) {
        if (sender->n_blocks > 0)
                return;
        HASH_DEL(seen->senders, sender);
        free(sender);
}

static void block_free(Seen *seen, Block *block) {
        Sender *sender = block->sender;

        DL_DELETE(seen->row, block);
        HASH_DEL(seen->blocks, block);
        free(block);
        sender->n_blocks--;
        sender_put(seen, sender);
}

Seen *seen_free(Seen *seen) {
        if (!seen)
                return NULL;
        while (seen->row)
                block_free(seen, seen->row);
        free(seen);
        return NULL;
}

size_t seen_n_blocks(const Seen *seen) {
        return HASH_COUNT(seen->blocks);
}

/* Forgets what has ended among the next few blocks and puts the others to the end of the row. */
static void seen_sweep(Seen *seen, uint64_t now_usec) {
        for (unsigned i = 0; i < SWEEP && seen->row; i++) {
                Block *block = seen->row;

                if (block->until_usec <= now_usec) {
                        block_free(seen, block);
                        continue;
                }
                DL_DELETE(seen->row, block);
                DL_APPEND(seen->row, block);
        }
}

static bool seen_has_room(Seen *seen, const PublicKey *key) {
        Sender *sender;

        HASH_FIND(hh, seen->senders, key, sizeof(*key), sender);
        return HASH_COUNT(seen->blocks) < SEEN_BLOCKS_MAX &&
               (!sender || sender->n_blocks < SEEN_BLOCKS_MAX_OF_ONE);
}

/* Looks at every block if need be, but not again before one of them ends. */
static bool seen_make_room(Seen *seen, const PublicKey *key, uint64_t now_usec) {
        Block *block, *next;

        seen_sweep(seen, now_usec);
        if (seen_has_room(seen, key))
                return true;
        if (now_usec < seen->full_until_usec)
                return false;
        seen->full_until_usec = USEC_NEVER;
        DL_FOREACH_SAFE (seen->row, block, next) {
                if (block->until_usec <= now_usec)
                        block_free(seen, block);
                else
                        seen->full_until_usec = MIN(seen->full_until_usec, block->until_usec);
        }
        return seen_has_room(seen, key);
}

/* The entry of @key, made if it is new. */
static Sender *sender_get(Seen *seen, const PublicKey *key) {
        Sender *sender;

        HASH_FIND(hh, seen->senders, key, sizeof(*key), sender);
        if (sender)
                return sender;
        sender = calloc(1, sizeof(*sender));
        if (!sender)
                return NULL;
        sender->key = *key;
        HASH_ADD(hh, seen->senders, key, sizeof(sender->key), sender);
        if (!sender->hh.tbl) {
                free(sender);
                return NULL;
        }
        return sender;
}

static int block_new(Seen *seen, const BlockKey *key, uint64_t now_usec, Block **ret) {
        Sender *sender;
        Block *block;

        if (!seen_make_room(seen, &key->sender, now_usec))
                return SEEN_E_OVERLOAD;
        sender = sender_get(seen, &key->sender);
        if (!sender)
                return err_origin(-ENOMEM);

        block = calloc(1, sizeof(*block));
        if (block) {
                block->key = *key;
                HASH_ADD(hh, seen->blocks, key, sizeof(block->key), block);
                if (!block->hh.tbl) {
                        free(block);
                        block = NULL;
                }
        }
        if (!block) {
                sender_put(seen, sender);
                return err_origin(-ENOMEM);
        }
        DL_APPEND(seen->row, block);
        block->sender = sender;
        sender->n_blocks++;
        *ret = block;
        return 0;
}

int seen_add(Seen *seen, const PublicKey *sender, uint64_t unique, uint64_t until_usec,
             uint64_t now_usec) {
        BlockKey key = { .sender = *sender, .number = unique / SEEN_BLOCK_IDS };
        unsigned at = unique % SEEN_BLOCK_IDS;
        Block *block;
        int r;

        HASH_FIND(hh, seen->blocks, &key, sizeof(key), block);
        if (!block) {
                r = block_new(seen, &key, now_usec, &block);
                if (r != 0)
                        return err_trace(r);
        }
        if (block->bits[at / 8] & 1U << at % 8)
                return SEEN_E_REPEATED;
        block->bits[at / 8] |= (uint8_t)(1U << at % 8);
        block->until_usec = MAX(block->until_usec, until_usec);
        return 0;
}
