/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The directory in this relay's memory
 *
 * One hash table by PID. The entries of keys that share a PID, in honest life never more than one,
 * are chained behind the one that is in the table; a KID begins with its PID, so the chain serves
 * lookups by KID too. Every entry is either in the list of its route or in the list of remembered
 * ones, oldest first.
 *
 * Where this stands in the life of a message: relay/link.c asks here whether a packet's source may
 * speak on its link, and which link its destination is on.
 */

#include <uthash.h>
#include <utlist.h>

#include "libcore/err.h"
#include "relay/directory.h"

#define SWEEP_ENTRIES 1000

typedef struct Item Item;
struct Item {
        DirectoryEntry entry; /* first: an entry is its item */
        UT_hash_handle hh;    /* by PID; only the first of a chain is in the table */
        Item *chain;          /* others with the same PID */
        Item *prev, *next;    /* of the route's list, or of the remembered ones */
        bool left;            /* withdrawn or detached, as opposed to lost with its route */
        uint64_t left_usec;
};

typedef struct Revoked {
        UT_hash_handle hh;
        PublicKey key;
} Revoked;

struct Directory {
        KeyHash (*hash)(const PublicKey *key);
        Item *items;
        Item *remembered;
        Revoked *revoked;
        DirectoryRoute *settling; /* in the order they opened */
        size_t n_items, n_remembered;
        uint64_t settled_usec;
};

static Item *item_of(DirectoryEntry *entry) {
        return container_of(entry, Item, entry);
}

int directory_new(Directory **ret, uint64_t now_usec) {
        Directory *d = calloc(1, sizeof(*d));

        if (!d)
                return err_origin(-ENOMEM);
        d->hash = key_hash;
        d->settled_usec = now_usec + DIRECTORY_SETTLING_USEC;
        *ret = d;
        return 0;
}

void directory_use_hash(Directory *d, KeyHash (*hash)(const PublicKey *key)) {
        d->hash = hash;
}

static Item *chain_of(const Directory *d, Pid pid) {
        Item *item;

        HASH_FIND(hh, d->items, &pid, sizeof(pid), item);
        return item;
}

static Item *item_find(const Directory *d, const KeyHash *hash) {
        Item *item = chain_of(d, hash->address.pid);

        while (item && memcmp(item->entry.hash.kid, hash->kid, sizeof(hash->kid)) != 0)
                item = item->chain;
        return item;
}

static void item_add(Directory *d, Item *item) {
        Item *first = chain_of(d, item->entry.hash.address.pid);

        if (first) {
                item->chain = first->chain;
                first->chain = item;
        } else {
                HASH_ADD(hh, d->items, entry.hash.address.pid, sizeof(Pid), item);
        }
        d->n_items++;
}

/* Takes it out of its route, or of the remembered ones: for a moment it is in no list. */
static void item_unlist(Directory *d, Item *item) {
        DirectoryRoute *route = item->entry.route;

        if (route) {
                Item *head = route->entries ? item_of(route->entries) : NULL;

                DL_DELETE(head, item);
                route->entries = head ? &head->entry : NULL;
                route->n_leases--;
                item->entry.route = NULL;
        } else {
                DL_DELETE(d->remembered, item);
                d->n_remembered--;
        }
}

static void item_drop(Directory *d, Item *item) {
        Item *first = chain_of(d, item->entry.hash.address.pid);

        item_unlist(d, item);
        if (first == item) {
                HASH_DEL(d->items, item);
                if (item->chain)
                        HASH_ADD(hh, d->items, entry.hash.address.pid, sizeof(Pid), item->chain);
        } else {
                while (first->chain != item)
                        first = first->chain;
                first->chain = item->chain;
        }
        d->n_items--;
        free(item);
}

static void item_join(DirectoryRoute *route, Item *item) {
        Item *head = route->entries ? item_of(route->entries) : NULL;

        DL_APPEND(head, item);
        route->entries = &head->entry;
        route->n_leases++;
        item->entry.route = route;
}

static void item_remember(Directory *d, Item *item, bool left, uint64_t now_usec) {
        item->left = left;
        item->left_usec = now_usec;
        DL_APPEND(d->remembered, item);
        if (++d->n_remembered > DIRECTORY_REMEMBERED_MAX)
                item_drop(d, d->remembered);
}

Directory *directory_free(Directory *d) {
        Revoked *revoked, *next;

        if (!d)
                return NULL;
        while (d->remembered)
                item_drop(d, d->remembered);
        HASH_ITER (hh, d->revoked, revoked, next) {
                HASH_DEL(d->revoked, revoked);
                free(revoked);
        }
        free(d);
        return NULL;
}

void directory_open_route(Directory *d, DirectoryRoute *route, const PublicKey *bridge,
                          uint64_t leases_max, uint64_t now_usec) {
        *route = (DirectoryRoute){
                .bridge = *bridge,
                .leases_max = leases_max,
                .settling_until_usec = now_usec + DIRECTORY_SETTLING_USEC,
        };
        DL_APPEND(d->settling, route);
}

void directory_route_synced(Directory *d, DirectoryRoute *route) {
        if (route->settling_until_usec == 0)
                return;
        DL_DELETE(d->settling, route);
        route->settling_until_usec = 0;
}

void directory_close_route(Directory *d, DirectoryRoute *route, uint64_t now_usec) {
        directory_route_synced(d, route);
        while (route->entries) {
                Item *item = item_of(route->entries);

                item_unlist(d, item);
                item_remember(d, item, false, now_usec);
        }
}

bool directory_is_settling(Directory *d, uint64_t now_usec) {
        while (d->settling && d->settling->settling_until_usec <= now_usec)
                directory_route_synced(d, d->settling);
        return d->settling || now_usec < d->settled_usec;
}

static bool key_is_revoked(const Directory *d, const PublicKey *key) {
        Revoked *revoked;

        HASH_FIND(hh, d->revoked, key, sizeof(*key), revoked);
        return revoked != NULL;
}

static Item *item_of_lease(const Directory *d, const uint8_t *lease, size_t n_lease,
                           SignedRecord *ret_record, KeyHash *ret_hash) {
        if (n_lease != SIGNED_RECORD_LEASE_SIZE ||
            signed_record_decode(lease, n_lease, ret_record) != 0 ||
            ret_record->type != SIGNED_RECORD_LEASE)
                return NULL;
        *ret_hash = d->hash(&ret_record->signer);
        return item_find(d, ret_hash);
}

bool directory_knows(const Directory *d, const uint8_t *lease, size_t n_lease) {
        SignedRecord record;
        KeyHash hash;
        Item *item = item_of_lease(d, lease, n_lease, &record, &hash);

        return item && memcmp(item->entry.lease, lease, n_lease) == 0;
}

/* All of the record, dear things last. What is held was verified when it came. */
static int lease_verify(const Item *held, const uint8_t *lease, size_t n_lease, uint64_t wall_usec,
                        SignedRecord *ret) {
        SignedRecordCheck check = {
                .type = SIGNED_RECORD_LEASE,
                .now_usec = wall_usec,
                .slack_usec = SIGNED_RECORD_SKEW_USEC,
        };

        if (held && memcmp(held->entry.lease, lease, n_lease) == 0)
                return wall_usec >= held->entry.not_after_usec + SIGNED_RECORD_SKEW_USEC
                               ? DIRECTORY_E_EXPIRED
                               : 0;
        if (held)
                check.held = (Slice){ held->entry.lease, sizeof(held->entry.lease) };
        switch (signed_record_verify(lease, n_lease, &check, ret)) {
        case 0:
                return 0;
        case SIGNED_RECORD_E_CLOCK:
                return DIRECTORY_E_CLOCK;
        case SIGNED_RECORD_E_EXPIRED:
                return DIRECTORY_E_EXPIRED;
        case SIGNED_RECORD_E_HELD:
                return DIRECTORY_E_OLDER;
        case SIGNED_RECORD_E_SIGNATURE:
                return DIRECTORY_E_SIGNATURE;
        default:
                return DIRECTORY_E_MALFORMED;
        }
}

/* A new item, in no list, if there is room for one more key. */
static int item_new(Directory *d, const SignedRecord *record, const KeyHash *hash, Item **ret) {
        Item *item, *oldest = NULL;
        unsigned n = 0;

        for (item = chain_of(d, hash->address.pid); item; item = item->chain) {
                n++;
                if (!item->entry.route)
                        oldest = item;
        }
        if (n >= DIRECTORY_SAME_PID_MAX) {
                if (!oldest)
                        return DIRECTORY_E_QUOTA;
                item_drop(d, oldest);
        }
        if (d->n_items >= DIRECTORY_ENTRIES_MAX) {
                if (!d->remembered)
                        return DIRECTORY_E_QUOTA;
                item_drop(d, d->remembered);
        }

        item = calloc(1, sizeof(*item));
        if (!item)
                return err_origin(-ENOMEM);
        item->entry.hash = *hash;
        item->entry.key = record->signer;
        item_add(d, item);
        *ret = item;
        return 0;
}

int directory_put(Directory *d, DirectoryRoute *route, const uint8_t *lease, size_t n_lease,
                  uint64_t wall_usec, uint64_t now_usec, DirectoryPut *ret) {
        SignedRecord record = { 0 };
        KeyHash hash = { 0 };
        bool withdrawn;
        Item *item;
        int r;

        *ret = (DirectoryPut){ 0 };
        item = item_of_lease(d, lease, n_lease, &record, &hash);
        if (record.type != SIGNED_RECORD_LEASE || !key_is_usable(&record.signer))
                return DIRECTORY_E_MALFORMED;
        ret->address = hash.address;
        withdrawn = record.flags & SIGNED_RECORD_WITHDRAWN;

        /* Cheap refusals first: a stranger's lease must not cost a signature. */
        if (!withdrawn && !key_equal(&record.lease.bridge, &route->bridge))
                return DIRECTORY_E_OTHER_BRIDGE;
        if (key_is_revoked(d, &record.signer))
                return DIRECTORY_E_REVOKED;
        if (!withdrawn && (!item || item->entry.route != route) &&
            route->n_leases >= route->leases_max)
                return DIRECTORY_E_QUOTA;
        r = lease_verify(item, lease, n_lease, wall_usec, &record);
        if (r != 0)
                return r;

        ret->withdrawn = withdrawn;
        ret->equivocal = item && item->entry.issued_usec == record.issued_usec &&
                         memcmp(item->entry.lease, lease, n_lease) != 0;
        if (item) {
                item_unlist(d, item);
        } else {
                r = item_new(d, &record, &hash, &item);
                if (r != 0)
                        return r;
        }
        item->entry.issued_usec = record.issued_usec;
        item->entry.not_after_usec = record.not_after_usec;
        memcpy(item->entry.lease, lease, n_lease);
        if (withdrawn)
                item_remember(d, item, true, now_usec);
        else
                item_join(route, item);
        return 0;
}

int directory_detach(Directory *d, DirectoryRoute *route, Address address, uint64_t now_usec) {
        for (Item *item = chain_of(d, address.pid); item; item = item->chain)
                if (item->entry.route == route && item->entry.hash.address.tag == address.tag) {
                        item_unlist(d, item);
                        item_remember(d, item, true, now_usec);
                        return 0;
                }
        return DIRECTORY_E_NOT_HERE;
}

/*
 * With a TAG: the one with both, or WRONG_KEY, never the closest. Without: the only one there is,
 * or AMBIGUOUS. Two keys with 96 bits in common are ambiguous with a TAG, too.
 */
int directory_find(Directory *d, Address address, uint64_t wall_usec, uint64_t now_usec,
                   DirectoryEntry **ret) {
        Item *found = NULL, *gone = NULL;
        bool other = false;

        for (Item *item = chain_of(d, address.pid); item; item = item->chain) {
                bool live = item->entry.route &&
                            wall_usec < item->entry.not_after_usec + SIGNED_RECORD_SKEW_USEC;

                if (address.tag != 0 && item->entry.hash.address.tag != address.tag) {
                        other = other || live;
                } else if (!live) {
                        gone = item;
                } else {
                        if (found)
                                return DIRECTORY_E_AMBIGUOUS;
                        found = item;
                }
        }
        if (found) {
                *ret = &found->entry;
                return 0;
        }
        if (gone && (gone->left || gone->entry.route)) /* its lease has ended */
                return DIRECTORY_E_GONE;
        /* Lost with its link: the bridge will most likely come back with it; if it takes longer, its
         * host is cut off, and nobody here knows whether the process lives. */
        if (gone)
                return now_usec < gone->left_usec + DIRECTORY_SETTLING_USEC ? DIRECTORY_E_SETTLING
                                                                            : DIRECTORY_E_NOT_HERE;
        if (other)
                return DIRECTORY_E_WRONG_KEY;
        return directory_is_settling(d, now_usec) ? DIRECTORY_E_SETTLING : DIRECTORY_E_NOT_HERE;
}

int directory_revoke(Directory *d, const uint8_t *tomb, size_t n_tomb, uint64_t wall_usec,
                     uint64_t now_usec) {
        SignedRecordCheck check = { .type = SIGNED_RECORD_TOMB, .now_usec = wall_usec };
        SignedRecord record;
        Revoked *revoked;
        KeyHash hash;
        Item *item;

        switch (signed_record_verify(tomb, n_tomb, &check, &record)) {
        case 0:
                break;
        case SIGNED_RECORD_E_SIGNATURE:
                return DIRECTORY_E_SIGNATURE;
        default:
                return DIRECTORY_E_MALFORMED;
        }
        if (key_is_revoked(d, &record.signer))
                return DIRECTORY_E_OLDER;
        revoked = calloc(1, sizeof(*revoked));
        if (!revoked)
                return err_origin(-ENOMEM);
        revoked->key = record.signer;
        HASH_ADD(hh, d->revoked, key, sizeof(revoked->key), revoked);

        hash = d->hash(&record.signer);
        item = item_find(d, &hash);
        if (item && item->entry.route) {
                item_unlist(d, item);
                item_remember(d, item, true, now_usec);
        }
        return 0;
}

/* The table is in order of insertion: what was looked at goes behind, so all get their turn. */
void directory_sweep(Directory *d, uint64_t wall_usec) {
        size_t n = MIN(HASH_COUNT(d->items), (size_t)SWEEP_ENTRIES);

        while (n-- > 0 && d->items) {
                Item *first = d->items, *item, *next;

                HASH_DEL(d->items, first);
                HASH_ADD(hh, d->items, entry.hash.address.pid, sizeof(Pid), first);
                for (item = first; item; item = next) {
                        next = item->chain;
                        if (wall_usec >= item->entry.not_after_usec + SIGNED_RECORD_SKEW_USEC)
                                item_drop(d, item);
                }
        }
}

size_t directory_n_leases(const Directory *d) {
        return d->n_items - d->n_remembered;
}

size_t directory_n_remembered(const Directory *d) {
        return d->n_remembered;
}

size_t directory_n_revoked(const Directory *d) {
        return HASH_COUNT(d->revoked);
}
