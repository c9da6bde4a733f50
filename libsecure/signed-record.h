/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Signed records: what the directory holds and links exchange
 *
 * A record is a statement by the holder of a key, with a time of issue and an end (PROTOCOL.md,
 * "Signed records"). Whoever reads one checks it; nobody is believed for having passed it on.
 * Records travel and are stored as their original bytes; a SignedRecord is the reading of them.
 * (A session's records, libcore/record.h, are something else.)
 *
 * LEASE    a process: "reach me through this bridge, seal for me with this key"
 * PRESENCE a bridge: "I am linked to these relays"
 * RELAY    a relay: "I listen at these URLs"
 * SERVICE  a process: "I offer this name"
 * GRANT    a realm: "this key may do that"
 * TOMB     the key itself: "do not believe me any more"
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/util.h"
#include "libsecure/identity.h"
#include "libsecure/key.h"

#define SIGNED_RECORD_SIZE_MAX 1024
#define SIGNED_RECORD_LEASE_SIZE 200
#define SIGNED_RECORD_RELAYS_MAX 8
#define SIGNED_RECORD_URLS_MAX 4

#define SIGNED_RECORD_SKEW_USEC (5 * 60 * USEC_PER_SEC) /* what a clock may be fast */
#define SIGNED_RECORD_LEASE_LIFE_USEC (60 * 60 * USEC_PER_SEC)
#define SIGNED_RECORD_TRANSIENT_LIFE_USEC (5 * 60 * USEC_PER_SEC)
#define SIGNED_RECORD_PRESENCE_LIFE_USEC (10 * 60 * USEC_PER_SEC)
#define SIGNED_RECORD_RELAY_LIFE_USEC (3 * 60 * USEC_PER_SEC)

typedef enum SignedRecordType {
        SIGNED_RECORD_LEASE = 1,
        SIGNED_RECORD_PRESENCE = 2,
        SIGNED_RECORD_RELAY = 3,
        SIGNED_RECORD_SERVICE = 4,
        SIGNED_RECORD_GRANT = 5,
        SIGNED_RECORD_TOMB = 6,
        _SIGNED_RECORD_TYPE_MAX,
} SignedRecordType;

/* SignedRecord.flags */
enum {
        SIGNED_RECORD_WITHDRAWN = 1 << 0,
};

/* SignedRecord.lease.flags */
enum {
        LEASE_MAY_QUEUE = 1 << 0, /* has a mailbox */
        LEASE_LISTED = 1 << 1,
        LEASE_TRANSIENT = 1 << 2, /* ephemeral key: at most 5 min, never into a shared directory */
};

/* SignedRecord.relay.flags */
enum {
        RELAY_OPEN = 1 << 0,
        RELAY_CLUSTERED = 1 << 2,
};

typedef struct SignedRecord {
        SignedRecordType type;
        uint8_t flags;
        uint64_t issued_usec;    /* wall clock; also the sequence number */
        uint64_t not_after_usec; /* USEC_NEVER in a TOMB */
        PublicKey signer;
        union {
                struct {
                        uint8_t encpk[CRYPTO_DH_SIZE];
                        uint64_t enc_until_usec;
                        PublicKey bridge; /* zero: no route off-host */
                        uint32_t flags;
                } lease;
                struct {
                        uint8_t encpk[CRYPTO_DH_SIZE];
                        uint32_t flags;
                        uint16_t n_relays;
                        PublicKey relays[SIGNED_RECORD_RELAYS_MAX];
                } presence;
                struct {
                        uint8_t encpk[CRYPTO_DH_SIZE];
                        uint32_t flags;
                        uint32_t max_frame;
                        uint16_t load; /* 0 to 1000 */
                        uint16_t n_urls;
                        Slice urls[SIGNED_RECORD_URLS_MAX]; /* no NUL; borrowed, see decode */
                } relay;
                struct {
                        uint16_t priority;
                        uint16_t weight;
                        uint32_t flags;
                        Slice name, meta; /* borrowed */
                } service;
                struct {
                        PublicKey subject;
                        uint32_t rights;
                        Slice pattern; /* borrowed */
                } grant;
                struct {
                        uint32_t reason;
                        PublicKey successor; /* or zero */
                } tomb;
        };
} SignedRecord;

/* How strictly, and against what, a record is read. */
typedef struct SignedRecordCheck {
        SignedRecordType type; /* the only one wanted; 0: any */
        uint64_t now_usec;     /* wall clock */
        uint64_t slack_usec;   /* how long after its end it is still taken; relays: 5 min */
        Slice held;            /* the record that this one would replace, or none */
} SignedRecordCheck;

enum {
        _SIGNED_RECORD_E_SUCCESS,

        SIGNED_RECORD_E_MALFORMED, /* not a record, of another type, or against the table */
        SIGNED_RECORD_E_CLOCK,     /* issued in the future: one of the two clocks is wrong */
        SIGNED_RECORD_E_EXPIRED,
        SIGNED_RECORD_E_HELD, /* what the caller holds is the same or newer */
        SIGNED_RECORD_E_SIGNATURE,
        SIGNED_RECORD_E_FORKED,
};

/*
 * Size of the record that begins at @data, for splitting a row of them; reads 4 bytes.
 * Return: 0, SIGNED_RECORD_E_MALFORMED if no record of that size can be there.
 */
int signed_record_size(const uint8_t *data, size_t n_data, size_t *ret_size);

/*
 * Reads the table and nothing else: neither times nor signature are judged. URLs, names and
 * patterns in @ret point into @data.
 * Return: 0, SIGNED_RECORD_E_MALFORMED; @ret is untouched then.
 */
int signed_record_decode(const uint8_t *data, size_t n_data, SignedRecord *ret);

/*
 * Reads and checks everything, cheap things first: table, times, what is held, signature.
 * Return: 0, SIGNED_RECORD_E_MALFORMED, _CLOCK, _EXPIRED, _HELD, _SIGNATURE; @ret is untouched
 * then.
 */
int signed_record_verify(const uint8_t *data, size_t n_data, const SignedRecordCheck *check,
                         SignedRecord *ret);

/*
 * Writes and signs @record; its signer field is ignored, @identity signs.
 * Return: 0, SIGNED_RECORD_E_FORKED, -EINVAL if the table forbids such a record, -ENOBUFS.
 */
int signed_record_sign(const SignedRecord *record, const IdentityKey *identity, uint8_t *out,
                       size_t out_size, size_t *ret_n_out);

/*
 * Whether @a replaces @b, of the same signer, both well-formed: the later issue does; of two issued
 * at once the one with the greater hash, so that all readers agree; a TOMB replaces everything.
 */
bool signed_record_supersedes(Slice a, Slice b);
