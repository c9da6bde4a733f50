/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Subject: all processes that policy treats alike
 *
 * Of one user, with the same policy files for them, and the same of what others' rules ask for (their
 * traits: groups, names, keys). What may pass between two processes depends on their subjects alone, so
 * it is found out once for each pair of subjects and kept, and no word is compared while messages pass.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "daemon/policy-book.h"

typedef struct Policy Policy;

typedef struct Capabilities {
        uint32_t monitor; /* 0, MONITOR_HEADERS, MONITOR_FULL */
        bool admin;
        bool gateway;
        bool off_host; /* if it also asks for it */
} Capabilities;

/* What counts of one key, in the order in which it was said. */
typedef struct StatementList {
        const Statement **items;
        size_t n;
        const Statement *last; /* that said anything of it, or took it back; NULL: nothing does */
} StatementList;

typedef struct Subject {
        Policy *policy;
        UT_hash_handle hh;
        unsigned n_refs;
        uint32_t uid;
        const uint64_t *traits; /* a bit each; in @key */
        StatementList said[_POLICY_SLOTS];
        Capabilities caps;
        bool publishes_all, subscribes_all; /* no topic has to be compared */
        bool network_is_open; /* [Network] and the denials of remote leave nothing out */
        bool has_relays;      /* that it may use; all, if not has_some_relays */
        bool has_some_relays; /* [Network] Relays= says which */
        bool knows_itself;    /* may_send_to_itself was found out */
        bool may_send_to_itself;
        uint64_t denied_slots; /* that were logged, a bit each */
        bool brings_limits;    /* a file that is not for all processes of the user has [Limits] */
        bool is_brought;       /* among those of User.brought */
        struct Subject *next_brought;
        size_t n_key;
        uint64_t key[]; /* uid, a bit for each file, a bit for each trait */
} Subject;

/* Words of @book's bits, and their place in a key. */
static inline size_t subject_words(unsigned n_bits) {
        return (n_bits + 63) / 64;
}

/* Whether the book's file @i is for it. */
static inline bool subject_has_file(const Subject *subject, unsigned i) {
        return subject->key[1 + i / 64] >> (i % 64) & 1;
}

static inline bool subject_has_trait(const Subject *subject, unsigned trait) {
        return subject->traits[trait / 64] >> (trait % 64) & 1;
}

/* For policy.c: a subject of this key, @n_words long, with no reference. NULL: no memory. */
Subject *subject_new(Policy *policy, const PolicyBook *book, const uint64_t *key, size_t n_words);
Subject *subject_free(Subject *subject);

/*
 * The statement of @slot, a list of [Talk], that has a word for @other; NULL: none.
 */
const Statement *subject_find_other(const Subject *subject, PolicySlot slot, const Subject *other);
/* Whether a list of [Talk] has "any" or "remote", which in a list of denials stand for other hosts. */
const Statement *subject_find_remote(const Subject *subject, PolicySlot slot);
/* The number of a value; 0 if nothing says it. */
uint64_t subject_number(const Subject *subject, PolicySlot slot);
