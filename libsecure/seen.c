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

#define SWEEP 4                      /* old blocks looked at for each new one */
#define EVICT (SEEN_BLOCKS_MAX / 16) /* so many go when there is no room */

typedef struct Block Block;
typedef struct Sender Sender;

typedef struct BlockKey {
        PublicKey sender;
        uint64_t number; /* of the block: id / SEEN_BLOCK_IDS */
} BlockKey;

struct Block {
        BlockKey key;
        Sender *sender;
        uint64_t sent_usec; /* the latest of its packets */
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
        uint64_t floor_usec;      /* what was sent by then may be among what was forgotten */
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

static bool has_ended(const Block *block, uint64_t now_usec) {
        return now_usec >= block->sent_usec && now_usec - block->sent_usec >= SEEN_LIFE_USEC;
}

/* Forgets what has ended among the next few blocks and puts the others to the end of the row. */
static void seen_sweep(Seen *seen, uint64_t now_usec) {
        for (unsigned i = 0; i < SWEEP && seen->row; i++) {
                Block *block = seen->row;

                if (has_ended(block, now_usec)) {
                        block_free(seen, block);
                        continue;
                }
                DL_DELETE(seen->row, block);
                DL_APPEND(seen->row, block);
        }
}

static bool has_share(Seen *seen, const PublicKey *key) {
        Sender *sender;

        HASH_FIND(hh, seen->senders, key, sizeof(*key), sender);
        return !sender || sender->n_blocks < SEEN_BLOCKS_MAX_OF_ONE;
}

/* Looks at every block if need be, but not again before one of them ends. */
static bool make_share(Seen *seen, const PublicKey *key, uint64_t now_usec) {
        Block *block, *next;

        if (has_share(seen, key))
                return true;
        if (now_usec < seen->full_until_usec)
                return false;
        seen->full_until_usec = USEC_NEVER;
        DL_FOREACH_SAFE (seen->row, block, next) {
                if (has_ended(block, now_usec))
                        block_free(seen, block);
                else
                        seen->full_until_usec =
                                MIN(seen->full_until_usec, block->sent_usec + SEEN_LIFE_USEC);
        }
        return has_share(seen, key);
}

static int sent_earlier(const Block *a, const Block *b) {
        return (a->sent_usec > b->sent_usec) - (a->sent_usec < b->sent_usec);
}

/* Forgets what was sent first: of that time nothing can be told apart any more. */
static void seen_evict(Seen *seen) {
        DL_SORT(seen->row, sent_earlier);
        for (unsigned i = 0; i < EVICT && seen->row; i++) {
                seen->floor_usec = MAX(seen->floor_usec, seen->row->sent_usec);
                block_free(seen, seen->row);
        }
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

        seen_sweep(seen, now_usec);
        if (!make_share(seen, &key->sender, now_usec))
                return SEEN_E_OVERLOAD;
        if (HASH_COUNT(seen->blocks) >= SEEN_BLOCKS_MAX)
                seen_evict(seen);
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

/* Could @sent_usec be that of a packet that was forgotten, or keep a block from being it? */
static bool is_of_no_use(const Seen *seen, uint64_t sent_usec, uint64_t now_usec) {
        if (sent_usec <= seen->floor_usec)
                return true;
        if (sent_usec <= now_usec)
                return now_usec - sent_usec >= SEEN_LIFE_USEC;
        return sent_usec - now_usec > SEEN_AHEAD_USEC && HASH_COUNT(seen->blocks) >= SEEN_AHEAD_MAX;
}

int seen_add(Seen *seen, const PublicKey *sender, uint64_t unique, uint64_t sent_usec,
             uint64_t now_usec) {
        BlockKey key = { .sender = *sender, .number = unique / SEEN_BLOCK_IDS };
        unsigned at = unique % SEEN_BLOCK_IDS;
        Block *block;
        int r;

        HASH_FIND(hh, seen->blocks, &key, sizeof(key), block);
        if (block && block->bits[at / 8] & 1U << at % 8)
                return SEEN_E_REPEATED;
        if (is_of_no_use(seen, sent_usec, now_usec))
                return SEEN_E_STALE;
        if (!block) {
                r = block_new(seen, &key, now_usec, &block);
                if (r != 0)
                        return err_trace(r);
        }
        block->bits[at / 8] |= (uint8_t)(1U << at % 8);
        block->sent_usec = MAX(block->sent_usec, sent_usec);
        return 0;
}
