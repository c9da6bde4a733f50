/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Names on this host, and who provides them
 *
 * A name may have several providers, all of one uid. Each is one OwnedName, in the list of the
 * name's and in the list of its process's, with what it says of itself. Who is asked first, and how
 * often, those decide who ask.
 */

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "daemon/quota.h"
#include "libcore/control.h"
#include "libcore/provider.h"

#define NAMES_PROVIDERS_MAX 256 /* of one name, on this host */

typedef struct Manager Manager;
typedef struct NameWatch NameWatch;
typedef struct OwnService OwnService;
typedef struct RemoteName RemoteName;
typedef struct Peer Peer;
typedef struct Name Name;
typedef struct OwnedName OwnedName;

struct OwnedName {
        Name *name;
        Peer *peer;
        ProviderRank rank;
        OwnService *service;              /* what it tells other hosts; NULL: nothing */
        char *metadata;                   /* ends in a NUL; NULL: none */
        OwnedName *prev, *next;           /* the name's, in the order of claiming */
        OwnedName *prev_peer, *next_peer; /* the process's */
};

struct Name {
        UT_hash_handle hh;
        OwnedName *owners;
        uint32_t n_owners;
        NameWatch *watches;
        RemoteName *remote; /* who provides it elsewhere, if anybody asked */
        bool is_changed;    /* in the list of those whose watchers are to be told */
        Name *next_changed;
        char text[]; /* ends in a NUL */
};

typedef struct Names {
        Name *table;
        Name *changed; /* list, until the end of the turn */
} Names;

/* Handles OWN: policy, limits, grammar. Return: what to answer; CODE_OK. */
ControlCode names_own(Peer *peer, const Control *word);
/* Takes from a process what its policy does not let it own any more. Return: whether that was any. */
bool names_reevaluate(Peer *peer);
/* Releases all of a process's. */
void names_release_all(Peer *peer);
/* The name of the account, which the name service is asked for once a user; "" if it has none. */
const char *names_account(User *user);
/* @name's entry, or NULL. */
Name *names_find(const Names *names, const char *name, size_t n_name);
/* The same, made if it is not there yet; NULL: no memory. */
Name *names_get(Names *names, const char *name, size_t n_name);
/* Frees it if nobody provides or watches it, and nothing is known of others. */
void names_put(Names *names, Name *name);
