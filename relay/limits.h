/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Limits: what strangers and bridges may cost
 *
 * Buckets hold allowances that refill with time; time is an argument, CLOCK_MONOTONIC in
 * microseconds. AddressTable counts the sockets of each network address from accept on: it is what
 * stands between a flood of connections and the first cryptographic operation.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "libcore/util.h"

/*
 * A bucket may be overdrawn by bucket_spend(): whoever reads what came in one piece pays for it
 * afterwards, and reads no more until the debt is gone. The balance is in millionths, so that any
 * rate refills smoothly.
 */
typedef struct Bucket {
        int64_t balance;
        uint64_t refilled_usec;
} Bucket;

/* @rate a second, @burst at most at once; 0 means without a limit. */
typedef struct BucketRate {
        uint64_t rate;
        uint64_t burst;
} BucketRate;

/* A full bucket. */
void bucket_init(Bucket *bucket, const BucketRate *rate, uint64_t now_usec);
/* Takes @n if the bucket has them. */
bool bucket_take(Bucket *bucket, const BucketRate *rate, uint64_t n, uint64_t now_usec);
/* Takes @n in any case; false if the bucket is overdrawn now. */
bool bucket_spend(Bucket *bucket, const BucketRate *rate, uint64_t n, uint64_t now_usec);
/* How long until it is not overdrawn any more; 0: it is not. */
uint64_t bucket_wait_usec(Bucket *bucket, const BucketRate *rate, uint64_t now_usec);

/* What one link may do. There are two sets: for bridges that were admitted, and for any other. */
typedef struct LinkLimits {
        BucketRate packets; /* in */
        BucketRate bytes;   /* in */
        BucketRate lookups;
        BucketRate verifies; /* signatures of leases */
        BucketRate errors;   /* told to one source */
        BucketRate wants;    /* words about topics, which others are told */
        uint64_t leases;
        uint64_t topics;      /* patterns that its processes want */
        uint64_t services;    /* names that its processes provide, in all */
        uint64_t queue_bytes; /* out */
        uint64_t queue_packets;
} LinkLimits;

extern const LinkLimits limits_admitted;
extern const LinkLimits limits_open;

typedef struct SocketLimits {
        BucketRate per_address; /* new sockets */
        BucketRate in_all;
        uint64_t unproven;             /* sockets that are not links yet, in all */
        uint64_t unproven_per_address; /* so that one address cannot take all of these */
        uint64_t open_per_address;     /* links of bridges that were not admitted */
} SocketLimits;

extern const SocketLimits limits_sockets_closed; /* only admitted bridges may come */
extern const SocketLimits limits_sockets_open;

#define ADDRESS_TABLE_MAX 65536 /* addresses remembered at a time */

typedef struct AddressTable AddressTable;

/* @limits is copied. Return: 0 or -ENOMEM. */
int address_table_new(AddressTable **ret, const SocketLimits *limits, uint64_t now_usec);
AddressTable *address_table_free(AddressTable *table);
DEFINE_CLEANUP(AddressTable, address_table_free)
/* From a reload on; what is there already stays. */
void address_table_set_limits(AddressTable *table, const SocketLimits *limits);

/* A socket was accepted: true, and it counts until address_table_leave(); or close it. */
bool address_table_enter(AddressTable *table, const struct sockaddr *address, uint64_t now_usec);
/* Its link is proven. @open: of a bridge that was not admitted; false if those are too many. */
bool address_table_prove(AddressTable *table, const struct sockaddr *address, bool open);
/* It is gone; @proven and @open as they were when it went. */
void address_table_leave(AddressTable *table, const struct sockaddr *address, bool proven,
                         bool open);
/* Forgets addresses without sockets whose allowance is full again; now and then. */
void address_table_sweep(AddressTable *table, uint64_t now_usec);
size_t address_table_size(const AddressTable *table);
uint64_t address_table_n_unproven(const AddressTable *table);
