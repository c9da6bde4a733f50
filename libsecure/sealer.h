/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * The inside of a Sealer, for those who seal with it: seal.c, epoch.c and epochs.c
 *
 * What a process seals and opens with: its X25519 keys, its lease, what it has seen, and what need
 * not be computed again. Only libsecure includes this file; seal.h is for others.
 */

#include "libsecure/noise.h"
#include "libsecure/seal.h"
#include "libsecure/seen.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define SEAL_LABEL "p2pbus-e2e-1"
#define SEAL_SUITE 1
#define SEAL_FLAG_LEASE 1
#define SEAL_SKEW_USEC SIGNED_RECORD_SKEW_USEC
#define SEAL_HEAD_MAX 16

typedef struct SealPairKey {
        uint8_t own[CRYPTO_DH_SIZE];
        uint8_t theirs[CRYPTO_DH_SIZE];
} SealPairKey;

/*
 * What need not be computed again for a pair of X25519 keys: their DH, which is two thirds of the
 * work of opening, and the check of the lease that came with it, if one did.
 */
typedef struct SealPair {
        SealPairKey key;
        uint8_t *ss; /* in libsecure/secret.h memory */
        bool has_sender;
        SealedSender sender;
        UT_hash_handle hh; /* its order: as they came, the oldest first */
} SealPair;

typedef struct SealKey {
        EncryptionKey *key;
        uint64_t since_usec; /* its first lease was issued; 0: it had none yet */
        uint64_t until_usec; /* the last of its leases ends */
} SealKey;

struct Sealer {
        const IdentityKey *identity;
        uint64_t attached_usec;
        SealKey keys[SEAL_KEYS_MAX]; /* the newest last */
        size_t n_keys;
        EncryptionKey *lease_key; /* the one of @keys that @lease certifies, or NULL */
        uint8_t lease[SIGNED_RECORD_LEASE_SIZE];
        Seen *seen;
        SealPair *pairs;
};

/* Finds remembered DH results for one of our keys. */
typedef struct SealShared {
        NoiseShared noise;
        Sealer *sealer;
        const EncryptionKey *own;
} SealShared;

SealShared seal_shared(Sealer *sealer, const EncryptionKey *own);
/* The key whose public part begins with @id, or NULL. */
EncryptionKey *sealer_find_key(const Sealer *sealer, const uint8_t id[static ENCRYPTION_ID_SIZE]);
/* The entry for a pair of keys, or NULL. */
SealPair *sealer_find_pair(Sealer *sealer, const EncryptionKey *own,
                           const uint8_t theirs[static CRYPTO_DH_SIZE]);
/* The same, made if need be with their DH; NULL: that there is no memory only costs time. */
SealPair *sealer_learn_pair(Sealer *sealer, const EncryptionKey *own,
                            const uint8_t theirs[static CRYPTO_DH_SIZE],
                            const uint8_t ss[static CRYPTO_DH_SIZE]);

/*
 * A ONE and an OPEN are the same Noise message, of X and of IK, behind heads of 8 and 16 bytes. The
 * handshake is the caller's to end with noise_done(), in any case; that of an OPEN goes on.
 */
typedef struct SealFirst {
        SealedType type; /* SEALED_ONE or SEALED_OPEN */
        uint32_t sid;    /* of an OPEN */
        NoiseHandshake *handshake;
} SealFirst;

/* As seal_one(). */
int seal_first(Sealer *sealer, SealFirst *first, const uint8_t header[static PACKET_HEADER_SIZE],
               const SignedRecord *peer, Slice content, uint64_t now_usec, uint8_t *out,
               size_t out_size, size_t *ret_n_out);
/* As open_one(), and its sid becomes known. */
int open_first(Sealer *sealer, SealFirst *first, const uint8_t header[static PACKET_HEADER_SIZE],
               Slice payload, uint64_t now_usec, uint8_t *out, size_t out_size, size_t *ret_n_out,
               SealedSender *ret_sender);
