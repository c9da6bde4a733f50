/* SPDX-License-Identifier: Apache-2.0 */

#include "libsecure/sealer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libcore/err.h"
#include "libsecure/secret.h"

#define PAIRS_MAX 256

static void pair_free(Sealer *sealer, SealPair *pair) {
        HASH_DEL(sealer->pairs, pair);
        secret_free(pair->ss);
        free(pair);
}

static SealPairKey pair_key(const EncryptionKey *own, const uint8_t theirs[static CRYPTO_DH_SIZE]) {
        SealPairKey key;

        memcpy(key.own, encryption_key_public(own), sizeof(key.own));
        memcpy(key.theirs, theirs, sizeof(key.theirs));
        return key;
}

SealPair *sealer_find_pair(Sealer *sealer, const EncryptionKey *own,
                           const uint8_t theirs[static CRYPTO_DH_SIZE]) {
        SealPairKey key = pair_key(own, theirs);
        SealPair *pair;

        HASH_FIND(hh, sealer->pairs, &key, sizeof(key), pair);
        return pair;
}

SealPair *sealer_learn_pair(Sealer *sealer, const EncryptionKey *own,
                            const uint8_t theirs[static CRYPTO_DH_SIZE],
                            const uint8_t ss[static CRYPTO_DH_SIZE]) {
        SealPair *pair = sealer_find_pair(sealer, own, theirs);

        if (pair)
                return pair;
        if (HASH_COUNT(sealer->pairs) >= PAIRS_MAX)
                pair_free(sealer, sealer->pairs);
        pair = calloc(1, sizeof(*pair));
        if (!pair)
                return NULL;
        pair->key = pair_key(own, theirs);
        pair->ss = secret_alloc(CRYPTO_DH_SIZE);
        if (pair->ss) {
                memcpy(pair->ss, ss, CRYPTO_DH_SIZE);
                HASH_ADD(hh, sealer->pairs, key, sizeof(pair->key), pair);
                if (pair->hh.tbl)
                        return pair;
        }
        secret_free(pair->ss);
        free(pair);
        return NULL;
}

static bool shared_find(NoiseShared *noise, const uint8_t rs[static CRYPTO_DH_SIZE],
                        uint8_t ret[static CRYPTO_DH_SIZE]) {
        SealShared *shared = container_of(noise, SealShared, noise);
        SealPair *pair = sealer_find_pair(shared->sealer, shared->own, rs);

        if (!pair || !secret_is_alive(pair->ss))
                return false;
        memcpy(ret, pair->ss, CRYPTO_DH_SIZE);
        return true;
}

SealShared seal_shared(Sealer *sealer, const EncryptionKey *own) {
        return (SealShared){ { shared_find }, sealer, own };
}

int sealer_new(Sealer **ret, const IdentityKey *identity, uint64_t attached_usec) {
        _cleanup_(sealer_freep) Sealer *sealer = NULL;
        int r;

        sealer = calloc(1, sizeof(*sealer));
        if (!sealer)
                return err_origin(-ENOMEM);
        sealer->identity = identity;
        sealer->attached_usec = attached_usec;
        r = seen_new(&sealer->seen);
        if (r < 0)
                return err_trace(r);
        r = encryption_key_new_random(&sealer->keys[0].key);
        if (r < 0)
                return err_trace(r);
        sealer->n_keys = 1;
        *ret = TAKE_PTR(sealer);
        return 0;
}

Sealer *sealer_free(Sealer *sealer) {
        if (!sealer)
                return NULL;
        while (sealer->pairs)
                pair_free(sealer, sealer->pairs);
        for (size_t i = 0; i < sealer->n_keys; i++)
                encryption_key_free(sealer->keys[i].key);
        seen_free(sealer->seen);
        free(sealer);
        return NULL;
}

static SealKey *newest_key(const Sealer *sealer) {
        return (SealKey *)&sealer->keys[sealer->n_keys - 1];
}

const uint8_t *sealer_encpk(const Sealer *sealer) {
        return encryption_key_public(newest_key(sealer)->key);
}

EncryptionKey *sealer_find_key(const Sealer *sealer, const uint8_t id[static ENCRYPTION_ID_SIZE]) {
        for (size_t i = 0; i < sealer->n_keys; i++)
                if (memcmp(encryption_key_public(sealer->keys[i].key), id, ENCRYPTION_ID_SIZE) == 0)
                        return sealer->keys[i].key;
        return NULL;
}

/* Wipes a key and all that was computed with it. */
static void drop_key(Sealer *sealer, size_t at) {
        EncryptionKey *key = sealer->keys[at].key;
        SealPair *pair, *next;

        HASH_ITER (hh, sealer->pairs, pair, next)
                if (memcmp(pair->key.own, encryption_key_public(key), sizeof(pair->key.own)) == 0)
                        pair_free(sealer, pair);
        if (sealer->lease_key == key)
                sealer->lease_key = NULL;
        encryption_key_free(key);
        sealer->n_keys--;
        memmove(sealer->keys + at, sealer->keys + at + 1,
                (sealer->n_keys - at) * sizeof(sealer->keys[0]));
}

int sealer_add_key(Sealer *sealer, EncryptionKey *key) {
        if (sealer_find_key(sealer, encryption_key_public(key)))
                return err_origin(-EEXIST);
        if (sealer->n_keys == SEAL_KEYS_MAX)
                drop_key(sealer, 0);
        sealer->keys[sealer->n_keys++] = (SealKey){ .key = key };
        return 0;
}

int sealer_rotate(Sealer *sealer, uint64_t now_usec, uint64_t life_usec) {
        _cleanup_(encryption_key_freep) EncryptionKey *key = NULL;
        const SealKey *newest;
        int r;

        /* The newest stays, and what our lease says; others until nobody may seal for them. */
        for (size_t i = 0; i + 1 < sealer->n_keys;)
                if (sealer->keys[i].key != sealer->lease_key && sealer->keys[i].until_usec > 0 &&
                    now_usec >= sealer->keys[i].until_usec + SEAL_SKEW_USEC)
                        drop_key(sealer, i);
                else
                        i++;

        newest = newest_key(sealer);
        if (newest->since_usec == 0 || now_usec < newest->since_usec ||
            now_usec - newest->since_usec < life_usec)
                return 0;
        if (sealer->n_keys == SEAL_KEYS_MAX)
                return 0; /* somebody may seal for each of them */
        r = encryption_key_new_random(&key);
        if (r < 0)
                return err_trace(r);
        r = sealer_add_key(sealer, key);
        if (r < 0)
                return err_trace(r);
        TAKE_PTR(key);
        return 0;
}

int sealer_set_lease(Sealer *sealer, const uint8_t *lease, size_t n_lease) {
        EncryptionKey *key;
        SignedRecord record;

        if (signed_record_decode(lease, n_lease, &record) != 0 ||
            record.type != SIGNED_RECORD_LEASE ||
            !key_equal(&record.signer, identity_public(sealer->identity)))
                return err_origin(-EINVAL);
        key = sealer_find_key(sealer, record.lease.encpk);
        if (!key || !crypto_equal(encryption_key_public(key), record.lease.encpk, CRYPTO_DH_SIZE))
                return err_origin(-EINVAL);
        memcpy(sealer->lease, lease, sizeof(sealer->lease));
        sealer->lease_key = key;
        for (size_t i = 0; i < sealer->n_keys; i++)
                if (sealer->keys[i].key == key) {
                        if (sealer->keys[i].since_usec == 0)
                                sealer->keys[i].since_usec = record.issued_usec;
                        sealer->keys[i].until_usec =
                                MAX(sealer->keys[i].until_usec, record.lease.enc_until_usec);
                }
        return 0;
}
