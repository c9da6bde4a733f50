/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Directory: who can be reached through which link
 *
 * It holds the newest verified lease of each key and the route (a link of this relay) that
 * presented it. Nothing is believed that the process did not sign: a route may present a lease
 * only if the lease names the route's proven bridge, and an older lease never replaces a newer
 * one, whoever presents it. Keys are told apart by their KID; a PID that several keys share is
 * answered by rule (PROTOCOL.md, "Addresses"), never by who came first.
 *
 * A route that ends takes its addresses along, but their leases are remembered for a while: a
 * bridge that comes back pays no signature for them, and an old bridge cannot come back with what
 * was replaced. How many are remembered is bounded; the oldest go first.
 *
 * This is the interface of any back end. The one here, directory-embedded.c, answers from memory
 * and at once, so it keeps no negative answers; one that asks elsewhere does, for a second.
 *
 * No I/O and no clock: @now_usec is CLOCK_MONOTONIC, @wall_usec the wall clock.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/pid.h"
#include "libcore/util.h"
#include "libsecure/key.h"
#include "libsecure/signed-record.h"
#include "relay/limits.h"

#define DIRECTORY_SETTLING_USEC (5 * USEC_PER_SEC)
#define DIRECTORY_REMEMBERED_MAX 65536 /* leases without a route */
#define DIRECTORY_ENTRIES_MAX 1000000
#define DIRECTORY_SAME_PID_MAX 4

typedef struct Directory Directory;
typedef struct DirectoryEntry DirectoryEntry;

/* One link's part of the directory; embedded in whoever owns the link. */
typedef struct DirectoryRoute DirectoryRoute;
struct DirectoryRoute {
        PublicKey bridge; /* proven */
        uint64_t leases_max;
        uint64_t n_leases;
        DirectoryEntry *entries;
        uint64_t settling_until_usec; /* 0: its answers can be believed */
        DirectoryRoute *prev, *next;  /* while it settles */
};

struct DirectoryEntry {
        KeyHash hash;
        PublicKey key;
        DirectoryRoute *route; /* never NULL in what directory_find() gives */
        uint64_t issued_usec;
        uint64_t not_after_usec;
        Bucket errors; /* refusals told to this process */
        uint8_t lease[SIGNED_RECORD_LEASE_SIZE];
};

enum {
        _DIRECTORY_E_SUCCESS,

        /* directory_find(): nobody, and why */
        DIRECTORY_E_NOT_HERE,
        DIRECTORY_E_GONE,     /* was here and left */
        DIRECTORY_E_SETTLING, /* not here, but that may be too early to say */
        DIRECTORY_E_AMBIGUOUS,
        DIRECTORY_E_WRONG_KEY,

        /* directory_put(): refused, and why */
        DIRECTORY_E_MALFORMED,
        DIRECTORY_E_SIGNATURE,
        DIRECTORY_E_CLOCK,
        DIRECTORY_E_EXPIRED,
        DIRECTORY_E_OLDER,        /* a newer one is known */
        DIRECTORY_E_OTHER_BRIDGE, /* it does not name the route's bridge */
        DIRECTORY_E_REVOKED,
        DIRECTORY_E_QUOTA, /* of the route, of the directory, or of keys with this PID */
};

typedef struct DirectoryPut {
        Address address; /* of the signer; set on refusals too, unless malformed */
        bool withdrawn;  /* it was a withdrawal: the address is not here any more */
        bool equivocal;  /* another one with the same time of issue was known */
} DirectoryPut;

/* Return: 0 or -ENOMEM. */
int directory_new(Directory **ret, uint64_t now_usec);
/* All routes must be closed. Accepts NULL, returns NULL. */
Directory *directory_free(Directory *directory);
DEFINE_CLEANUP(Directory, directory_free)

/* Another hash than key_hash(): so that tests can have keys that share a PID. */
void directory_use_hash(Directory *directory, KeyHash (*hash)(const PublicKey *key));

/* A link is up; until it is synced, or for 5 seconds, "not here" is "settling". */
void directory_open_route(Directory *directory, DirectoryRoute *route, const PublicKey *bridge,
                          uint64_t leases_max, uint64_t now_usec);
void directory_route_synced(Directory *directory, DirectoryRoute *route);
/* "Not here" would be too early to say. */
bool directory_is_settling(Directory *directory, uint64_t now_usec);
/* The link is over. */
void directory_close_route(Directory *directory, DirectoryRoute *route, uint64_t now_usec);

/* Whether these very bytes are held already: then directory_put() verifies no signature. */
bool directory_knows(const Directory *directory, const uint8_t *lease, size_t n_lease);
/*
 * A route presents a lease, or a withdrawal. Return: 0 (@ret is set), -ENOMEM, or a refusal.
 */
int directory_put(Directory *directory, DirectoryRoute *route, const uint8_t *lease, size_t n_lease,
                  uint64_t wall_usec, uint64_t now_usec, DirectoryPut *ret);
/* The process has left its host. Return: 0, DIRECTORY_E_NOT_HERE (not on this route). */
int directory_detach(Directory *directory, DirectoryRoute *route, Address address,
                     uint64_t now_usec);

/*
 * Who has @address? The entry is valid until the directory is changed.
 * Return: 0, DIRECTORY_E_NOT_HERE, _GONE, _SETTLING, _AMBIGUOUS, _WRONG_KEY.
 */
int directory_find(Directory *directory, Address address, uint64_t wall_usec, uint64_t now_usec,
                   DirectoryEntry **ret);

/*
 * A key was revoked, by a TOMB that is verified here: whatever it signed is refused from now on,
 * and for ever.
 * Return: 0, -ENOMEM, DIRECTORY_E_MALFORMED, _SIGNATURE, _OLDER (known already).
 */
int directory_revoke(Directory *directory, const uint8_t *tomb, size_t n_tomb, uint64_t wall_usec,
                     uint64_t now_usec);

/* Looks at some entries and drops what has ended; to be called every second or so. */
void directory_sweep(Directory *directory, uint64_t wall_usec);

size_t directory_n_leases(const Directory *directory);     /* with a route */
size_t directory_n_remembered(const Directory *directory); /* without */
size_t directory_n_revoked(const Directory *directory);
