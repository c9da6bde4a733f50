/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Policy book: all policy files, as they were read
 *
 *      book -- file (00-default.policy and its drop-ins)
 *                 -- statement (one line, Key=value) -- term (one word of it)
 *
 * Nothing is decided here but whom a file is for. A statement knows where it stands, so that whoever
 * is refused can be told by which line. All of it stays as it is once it was finished.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/credentials.h"
#include "daemon/policy-term.h"
#include "libcore/conf.h"

/* Keys of a policy file, in the order of its sections. */
typedef enum PolicySlot {
        POLICY_MATCH_BUS,
        POLICY_MATCH_USER,
        POLICY_MATCH_GROUP,
        POLICY_MATCH_KEY,
        POLICY_MATCH_UNIT,
        _POLICY_MATCHES,

        /* Lists: words are added to what was said before. */
        POLICY_OWN_NAME = _POLICY_MATCHES,
        POLICY_OWN_DENY,
        POLICY_SEND_TO,
        POLICY_RECEIVE_FROM,
        POLICY_DENY_SEND_TO,
        POLICY_DENY_RECEIVE_FROM,
        POLICY_PUBLISH,
        POLICY_SUBSCRIBE,
        POLICY_DENY_PUBLISH,
        POLICY_DENY_SUBSCRIBE,
        POLICY_NETWORK_SEND,
        POLICY_NETWORK_RECEIVE,
        POLICY_NETWORK_TOPICS,
        POLICY_DENY_NETWORK_TOPICS,
        POLICY_NETWORK_RELAYS, /* where none, unlike nothing, is a word that counts */
        _POLICY_LISTS,

        /* Values: what is said last counts. */
        POLICY_NETWORK_PUBLISH = _POLICY_LISTS,
        POLICY_GATEWAY,
        POLICY_MONITOR, /* 0, MONITOR_HEADERS, MONITOR_FULL */
        POLICY_ADMIN,
        _POLICY_ROLES,

        /* Limits: those decided before a process has attached are first. */
        POLICY_CONNECTIONS = _POLICY_ROLES,
        POLICY_UNATTACHED,
        POLICY_ATTACH_RATE,
        POLICY_ATTACH_BURST,
        _POLICY_EARLY_LIMITS,

        POLICY_QUEUE_BYTES = _POLICY_EARLY_LIMITS,
        POLICY_QUEUE_MESSAGES,
        POLICY_DESCRIPTORS,
        POLICY_NAMES,
        POLICY_REQUESTS,
        POLICY_LEASES,
        POLICY_RINGS,
        POLICY_RING_BYTES,
        POLICY_SUBSCRIPTIONS,
        POLICY_RETAINED,
        _POLICY_SLOTS,
} PolicySlot;

typedef struct Statement Statement;
struct Statement {
        PolicySlot slot;
        const char *key;  /* as it stands: Bytes= is QueueBytes= */
        const char *path; /* the book's */
        unsigned line;
        char *text;  /* the value as it stands */
        bool resets; /* a list: what was said before counts no longer */
        Term *terms; /* of lists and matches */
        size_t n_terms;
        uint64_t number; /* of values */
        Statement *next; /* in its file */
};

typedef struct PolicyFile PolicyFile;
struct PolicyFile {
        char *name;
        Statement *statements;
        Statement *first[_POLICY_MATCHES]; /* of each key of [Match]: what counts of it, or NULL */
        unsigned sections;                 /* a bit each, of the text that is read now */
        const Statement *limit;            /* the first of [Limits], or NULL */
        const Statement *early_limit;      /* the first that is decided before ATTACH, or NULL */
        bool is_of_users;  /* [Match] asks for nothing but users: it can be told by the uid */
        bool is_elsewhere; /* it is for the other kind of bus */
        PolicyFile *prev, *next;
};

/* What of a process decides about others' rules for it: groups, names and keys in [Talk]. */
typedef struct PolicyBook {
        bool user_bus;
        Accounts accounts;
        PolicyFile *files;
        unsigned n_files;
        char **paths;
        size_t n_paths;
        const Term **traits;
        unsigned n_traits;
        bool has_name_traits;
        bool has_units; /* some file asks for the unit */
} PolicyBook;

void policy_book_init(PolicyBook *book, bool user_bus, const Accounts *accounts);
void policy_book_done(PolicyBook *book);
/* The next file, by the order of names; its text and those of its drop-ins follow. */
int policy_book_begin_file(PolicyBook *book, const char *name);
/* Return: 0; CONF_E_BAD with @ret_error; -ENOMEM. The book is of no use then. */
int policy_book_read(PolicyBook *book, const char *text, size_t n, const char *path,
                     ConfError *ret_error);
/* All was read. Return: the same. */
int policy_book_finish(PolicyBook *book, ConfError *ret_error);

/* Whether @file is for who has these. @key: NULL: none is known, no Key= fits. */
bool policy_file_fits(const PolicyFile *file, const Credentials *credentials, const PublicKey *key);
/* Whether it is for all processes of @uid; false also if that is not all it asks for. */
bool policy_file_fits_user(const PolicyFile *file, uint32_t uid);
/* The next account in the book that does not exist after @at, which is NULL at first; NULL: no more. */
const Statement *policy_book_next_stranger(const PolicyBook *book, const Statement *at);

/* "Talk" and "SendTo". */
const char *policy_slot_section(PolicySlot slot);
const char *policy_slot_key(PolicySlot slot);
