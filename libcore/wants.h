/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Wants: which processes want what is published elsewhere
 *
 * A want is a process, by its key, and a pattern of topics; WantSet is a table of them, in the order in
 * which they came, with all of one process together. Daemon, bridge and relay each keep such tables of
 * items of their own, of which the Want is the first member, and bound them: by a number in all, and one
 * for each process.
 *
 * A want is named by the body of the word WANTED: key 32, pattern. Two keys that share a PID and a TAG
 * are one too many: the later one is refused.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "libcore/control.h"
#include "libcore/pid.h"
#include "libcore/util.h"

typedef struct Want Want;
typedef struct Wanter Wanter;

/* All that one process wants; lives as long as that is anything. */
struct Wanter {
        UT_hash_handle hh;
        PackedAddress packed;
        Address address;
        uint8_t key[CONTROL_KEY_SIZE];
        Want *wants;
        unsigned n;
};

struct Want {
        UT_hash_handle hh; /* by @body */
        Wanter *wanter;
        Want *prev, *next;               /* of the set, in the order in which they came */
        Want *prev_wanter, *next_wanter; /* of the process */
        uint64_t number;                 /* counts them; never 0 */
        size_t n_body;
        const uint8_t *body; /* key 32, pattern; part of the item */
};

typedef struct WantSet {
        size_t item_size;
        unsigned max, max_one;
        Want *list;
        Want *by_body;
        Wanter *wanters;
        unsigned n;
        uint64_t last_number;
} WantSet;

enum {
        _WANTS_E_SUCCESS,

        WANTS_E_HELD, /* it is there already */
        WANTS_E_FULL, /* in all, or of this process */
        WANTS_E_KEY,  /* somebody else has this address */
};

/* What a WANTED is about. */
typedef enum WantedKind {
        WANTED_INVALID,
        WANTED_LIST, /* without a body: about all that this neighbour says */
        WANTED_ALL,  /* a key: all that this process wants */
        WANTED_ONE,  /* key and pattern */
} WantedKind;

/* Which it is; INVALID also if something begins that may not, or stands for the daemon's own topics. */
WantedKind wanted_kind(const Control *word);

/* Whether it says that what is about to begin does not, for a limit: its code says which. */
static inline bool wanted_is_refusal(const Control *word) {
        return word->value == WANTED_END &&
               (word->code == CODE_QUOTA || word->code == CODE_OVERLOAD);
}

static inline const char *want_pattern(const Want *want) {
        return (const char *)want->body + CONTROL_KEY_SIZE;
}
static inline size_t want_pattern_size(const Want *want) {
        return want->n_body - CONTROL_KEY_SIZE;
}

/* Items have @item_size bytes, of which a Want is the first part; at most @max, @max_one of a process. */
void wants_init(WantSet *set, size_t item_size, unsigned max, unsigned max_one);
/* Drops all. */
void wants_done(WantSet *set);
/*
 * Adds what @body names, of who has @address; the rest of the item is zero.
 * Return: 0, WANTS_E_HELD (*@ret is the one that is there), WANTS_E_FULL, WANTS_E_KEY, -ENOMEM.
 */
int wants_put(WantSet *set, Address address, const uint8_t *body, size_t n_body, Want **ret);
/* NULL: there is none. */
Want *wants_find(const WantSet *set, const uint8_t *body, size_t n_body);
Wanter *wants_of(const WantSet *set, Address address);
/* Frees it, and its process with the last one. */
void wants_drop(WantSet *set, Want *want);
