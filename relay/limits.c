/* SPDX-License-Identifier: Apache-2.0 */

/*
 * IPv6 gives everybody 2^64 addresses, so addresses are counted by their /64. The table cannot
 * grow beyond ADDRESS_TABLE_MAX: an entry lives as long as it has sockets, and then as long as its
 * bucket is not full, which is seconds; meanwhile all new sockets together are bound by a rate.
 */

#include "relay/limits.h"

#include <netinet/in.h>
#include <uthash.h>

#include "libcore/err.h"

#define MICRO INT64_C(1000000)

// clang-format off
const LinkLimits limits_admitted = {
        .packets       = { 500000, 500000 },
        .bytes         = { 256 << 20, 256 << 20 },
        .lookups       = { 200, 200 },
        .verifies      = { 1000, 1000 },
        .errors        = { 10, 10 },
        .wants         = { 1000, 10000 },
        .leases        = 10000,
        .topics        = 10000,
        .services      = 2000,
        .queue_bytes   = 4 << 20,
        .queue_packets = 16384, /* 1024 would be two milliseconds of the packets above */
};

const LinkLimits limits_open = {
        .packets       = { 200, 200 },
        .bytes         = { 1 << 20, 1 << 20 },
        .lookups       = { 20, 20 },
        .verifies      = { 100, 100 },
        .errors        = { 3, 3 },
        .wants         = { 20, 200 },
        .leases        = 64,
        .topics        = 64,
        .services      = 64,
        .queue_bytes   = 512 << 10,
        .queue_packets = 512, /* twice a burst of one source: shares are halves at most */
};

const SocketLimits limits_sockets_closed = {
        .per_address          = { 20, 40 },
        .in_all               = { 500, 500 },
        .unproven             = 1024,
        .unproven_per_address = 128,
        .open_per_address     = 8,
};

const SocketLimits limits_sockets_open = {
        .per_address          = { 2, 20 },
        .in_all               = { 500, 500 },
        .unproven             = 1024,
        .unproven_per_address = 16,
        .open_per_address     = 8,
};
// clang-format on

void bucket_init(Bucket *bucket, const BucketRate *rate, uint64_t now_usec) {
        bucket->balance = (int64_t)rate->burst * MICRO;
        bucket->refilled_usec = now_usec;
}

static void bucket_refill(Bucket *bucket, const BucketRate *rate, uint64_t now_usec) {
        int64_t full = (int64_t)rate->burst * MICRO, missing = full - bucket->balance;
        uint64_t elapsed;

        if (now_usec <= bucket->refilled_usec)
                return;
        elapsed = now_usec - bucket->refilled_usec;
        bucket->refilled_usec = now_usec;
        /* rate a second is rate millionths a microsecond */
        if (missing <= 0 || elapsed > (uint64_t)missing / MAX(rate->rate, UINT64_C(1)))
                bucket->balance = full;
        else
                bucket->balance += (int64_t)(elapsed * rate->rate);
}

bool bucket_take(Bucket *bucket, const BucketRate *rate, uint64_t n, uint64_t now_usec) {
        if (rate->rate == 0)
                return true;
        bucket_refill(bucket, rate, now_usec);
        if (bucket->balance < (int64_t)n * MICRO)
                return false;
        bucket->balance -= (int64_t)n * MICRO;
        return true;
}

bool bucket_spend(Bucket *bucket, const BucketRate *rate, uint64_t n, uint64_t now_usec) {
        if (rate->rate == 0)
                return true;
        bucket_refill(bucket, rate, now_usec);
        bucket->balance -= (int64_t)n * MICRO;
        return bucket->balance >= 0;
}

uint64_t bucket_wait_usec(Bucket *bucket, const BucketRate *rate, uint64_t now_usec) {
        if (rate->rate == 0)
                return 0;
        bucket_refill(bucket, rate, now_usec);
        if (bucket->balance >= 0)
                return 0;
        return (uint64_t)-bucket->balance / rate->rate + 1;
}

/* What is counted as one: an IPv4 address, or an IPv6 /64. */
typedef struct AddressKey {
        uint8_t bytes[8];
        uint8_t family;
} AddressKey;

typedef struct AddressEntry {
        UT_hash_handle hh;
        AddressKey key;
        Bucket bucket;
        uint32_t n_unproven, n_proven, n_open;
} AddressEntry;

struct AddressTable {
        SocketLimits limits;
        Bucket bucket;
        uint64_t n_unproven;
        AddressEntry *entries;
};

static AddressKey address_key(const struct sockaddr *address) {
        AddressKey key;

        memset(&key, 0, sizeof(key)); /* it is hashed and compared with its padding */
        if (address->sa_family == AF_INET) {
                const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;

                key.family = 4;
                memcpy(key.bytes, &v4->sin_addr, 4);
        } else if (address->sa_family == AF_INET6) {
                const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

                key.family = 6;
                memcpy(key.bytes, &v6->sin6_addr, 8);
                if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
                        key.family = 4;
                        memset(key.bytes, 0, 8);
                        memcpy(key.bytes, v6->sin6_addr.s6_addr + 12, 4);
                }
        }
        return key;
}

static AddressEntry *table_find(AddressTable *table, const struct sockaddr *address) {
        AddressKey key = address_key(address);
        AddressEntry *entry;

        HASH_FIND(hh, table->entries, &key, sizeof(key), entry);
        return entry;
}

int address_table_new(AddressTable **ret, const SocketLimits *limits, uint64_t now_usec) {
        AddressTable *table = calloc(1, sizeof(*table));

        if (!table)
                return err_origin(-ENOMEM);
        table->limits = *limits;
        bucket_init(&table->bucket, &limits->in_all, now_usec);
        *ret = table;
        return 0;
}

AddressTable *address_table_free(AddressTable *table) {
        AddressEntry *entry, *next;

        if (!table)
                return NULL;
        HASH_ITER (hh, table->entries, entry, next) {
                HASH_DEL(table->entries, entry);
                free(entry);
        }
        free(table);
        return NULL;
}

void address_table_set_limits(AddressTable *table, const SocketLimits *limits) {
        table->limits = *limits;
}

bool address_table_enter(AddressTable *table, const struct sockaddr *address, uint64_t now_usec) {
        const SocketLimits *limits = &table->limits;
        AddressEntry *entry;

        if (table->n_unproven >= limits->unproven)
                return false;
        entry = table_find(table, address);
        if (!entry) {
                if (HASH_COUNT(table->entries) >= ADDRESS_TABLE_MAX)
                        return false;
                entry = calloc(1, sizeof(*entry));
                if (!entry)
                        return false;
                entry->key = address_key(address);
                bucket_init(&entry->bucket, &limits->per_address, now_usec);
                HASH_ADD(hh, table->entries, key, sizeof(entry->key), entry);
        }
        if (entry->n_unproven >= limits->unproven_per_address ||
            !bucket_take(&entry->bucket, &limits->per_address, 1, now_usec) ||
            !bucket_take(&table->bucket, &limits->in_all, 1, now_usec))
                return false;
        entry->n_unproven++;
        table->n_unproven++;
        return true;
}

bool address_table_prove(AddressTable *table, const struct sockaddr *address, bool open) {
        AddressEntry *entry = table_find(table, address);

        if (!entry || (open && entry->n_open >= table->limits.open_per_address))
                return false;
        entry->n_unproven--;
        table->n_unproven--;
        entry->n_proven++;
        if (open)
                entry->n_open++;
        return true;
}

void address_table_leave(AddressTable *table, const struct sockaddr *address, bool proven,
                         bool open) {
        AddressEntry *entry = table_find(table, address);

        if (!entry)
                return;
        if (!proven) {
                entry->n_unproven--;
                table->n_unproven--;
                return;
        }
        entry->n_proven--;
        if (open)
                entry->n_open--;
}

void address_table_sweep(AddressTable *table, uint64_t now_usec) {
        AddressEntry *entry, *next;

        HASH_ITER (hh, table->entries, entry, next) {
                bucket_refill(&entry->bucket, &table->limits.per_address, now_usec);
                if (entry->n_unproven + entry->n_proven > 0 ||
                    entry->bucket.balance < (int64_t)table->limits.per_address.burst * MICRO)
                        continue;
                HASH_DEL(table->entries, entry);
                free(entry);
        }
}

size_t address_table_size(const AddressTable *table) {
        return HASH_COUNT(table->entries);
}

uint64_t address_table_n_unproven(const AddressTable *table) {
        return table->n_unproven;
}
