/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/leases.h"

#include <uthash.h>
#include <utlist.h>

#include "libcore/err.h"
#include "libsecure/key.h"
#include "libsecure/signed-record.h"

_Static_assert(CONTROL_LEASE_SIZE == SIGNED_RECORD_LEASE_SIZE, "LEASE's body is the record");

typedef struct Entry {
        Lease lease; /* first: a Lease that we gave out is its Entry */
        PackedAddress key;
        UT_hash_handle hh, by_pid;
} Entry;

struct Leases {
        Entry *by_address;
        Entry *by_pid;
        Lease *list;
        unsigned n;
        unsigned leases_max;
};

int leases_new(Leases **ret, unsigned leases_max) {
        Leases *leases = calloc(1, sizeof(*leases));

        if (!leases)
                return err_origin(-ENOMEM);
        leases->leases_max = leases_max;
        *ret = leases;
        return 0;
}

Leases *leases_free(Leases *leases) {
        if (!leases)
                return NULL;

        while (leases->list)
                leases_drop(leases, leases->list);
        free(leases);
        return NULL;
}

void leases_drop(Leases *leases, Lease *lease) {
        Entry *entry = container_of(lease, Entry, lease);

        DL_DELETE(leases->list, lease);
        HASH_DELETE(hh, leases->by_address, entry);
        HASH_DELETE(by_pid, leases->by_pid, entry);
        relay_list_unref(lease->relays);
        leases->n--;
        free(entry);
}

static Entry *entry_find(const Leases *leases, Address address) {
        PackedAddress key = address_pack(address);
        Entry *entry;

        HASH_FIND(hh, leases->by_address, &key, sizeof(key), entry);
        return entry;
}

static void drop_ended(Leases *leases, uint64_t now_usec) {
        Lease *lease, *next;

        DL_FOREACH_SAFE (leases->list, lease, next)
                if (lease->not_after_usec <= now_usec)
                        leases_drop(leases, lease);
}

static int entry_add(Leases *leases, Address address, uint64_t now_usec, Entry **ret) {
        Entry *entry;

        if (leases->n >= leases->leases_max)
                drop_ended(leases, now_usec);
        if (leases->n >= leases->leases_max)
                return LEASES_E_FULL;
        entry = calloc(1, sizeof(*entry));
        if (!entry)
                return err_origin(-ENOMEM);

        entry->key = address_pack(address);
        entry->lease.chosen = -1;
        HASH_ADD(hh, leases->by_address, key, sizeof(entry->key), entry);
        HASH_ADD(by_pid, leases->by_pid, key.pid, sizeof(entry->key.pid), entry);
        DL_APPEND(leases->list, &entry->lease);
        leases->n++;
        *ret = entry;
        return 0;
}

int leases_put(Leases *leases, const uint8_t bytes[static CONTROL_LEASE_SIZE], uint64_t now_usec,
               Lease **ret) {
        SignedRecord record;
        Address address;
        Entry *entry;
        int r;

        r = signed_record_decode(bytes, CONTROL_LEASE_SIZE, &record);
        if (r != 0 || record.type != SIGNED_RECORD_LEASE)
                return LEASES_E_MALFORMED;

        address = key_hash(&record.signer).address;
        entry = entry_find(leases, address);
        if (entry && entry->lease.issued_usec >= record.issued_usec) {
                entry->lease.confirmed = true;
                *ret = &entry->lease;
                return LEASES_E_HELD;
        }
        if (!entry) {
                r = entry_add(leases, address, now_usec, &entry);
                if (r != 0)
                        return r;
        }

        entry->lease.is_renewed = entry->lease.issued_usec != 0;
        entry->lease.address = address;
        memcpy(entry->lease.bytes, bytes, sizeof(entry->lease.bytes));
        entry->lease.issued_usec = record.issued_usec;
        entry->lease.not_after_usec = record.not_after_usec;
        entry->lease.leased = 0;
        entry->lease.confirmed = true;
        *ret = &entry->lease;
        return 0;
}

Lease *leases_find(Leases *leases, Address address, uint64_t now_usec) {
        Entry *entry = entry_find(leases, address);

        return entry && entry->lease.not_after_usec > now_usec ? &entry->lease : NULL;
}

uint32_t leases_links_to(const Leases *leases, Address address) {
        Entry *entry = entry_find(leases, address);

        if (!entry)
                HASH_FIND(by_pid, leases->by_pid, &address.pid, sizeof(address.pid), entry);
        return entry ? lease_links(&entry->lease) : RELAY_LISTS_ALL_LINKS;
}

void lease_set_relays(Lease *lease, RelayList *relays) {
        relay_list_unref(lease->relays);
        lease->relays = relays;
}

Lease *leases_first(Leases *leases) {
        return leases->list;
}

void leases_unconfirm(Leases *leases) {
        Lease *lease;

        DL_FOREACH (leases->list, lease)
                lease->confirmed = false;
}
