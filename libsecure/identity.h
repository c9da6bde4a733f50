/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * The secret keys of one process
 *
 * IdentityKey signs: attach, leases, refusals. EncryptionKey, X25519, is what others seal for; a
 * lease certifies it, and it can be changed without changing who one is. Neither is ever derived
 * from the other. Both keep their secret in libsecure/secret.h memory and are useless in a forked
 * child.
 *
 * A key file is one line, "P2PBUS-SECRET-1:" and base64url of the seed and a checksum
 * (PROTOCOL.md, "Key files").
 */

#include <stddef.h>
#include <stdint.h>

#include "libcore/util.h"
#include "libsecure/key.h"

#define IDENTITY_SEED_SIZE 32
#define ENCRYPTION_ID_SIZE 4

typedef struct IdentityKey IdentityKey;
typedef struct EncryptionKey EncryptionKey;

enum {
        _IDENTITY_E_SUCCESS,

        IDENTITY_E_FORKED,      /* this is a child: its parent's keys are gone */
        IDENTITY_E_RESERVED,    /* the seed's PID is reserved: choose another */
        IDENTITY_E_NOT_REGULAR, /* the key file is a link, a folder, a device */
        IDENTITY_E_OWNER,       /* the key file belongs to neither the caller nor root */
        IDENTITY_E_MODE,        /* group or others have rights: `chmod 600 FILE` mends it */
        IDENTITY_E_MALFORMED,   /* not a key file, or its checksum is wrong */
};

/* A fresh key. Return: 0, -ENOMEM, -ENOSYS (no libsodium). */
int identity_new_random(IdentityKey **ret);
/* Copies @seed; the caller wipes its own. Return: 0, -ENOMEM, IDENTITY_E_RESERVED. */
int identity_new_from_seed(IdentityKey **ret, const uint8_t seed[static IDENTITY_SEED_SIZE]);
/* Wipes; accepts NULL, returns NULL. */
IdentityKey *identity_free(IdentityKey *identity);

const PublicKey *identity_public(const IdentityKey *identity);
const KeyHash *identity_hash(const IdentityKey *identity);

/*
 * Signs label || parts, together at most KEY_SIGNED_MAX bytes.
 * Return: 0, IDENTITY_E_FORKED; @ret is untouched then.
 */
int identity_sign(const IdentityKey *identity, const char *label, const Slice *parts,
                  size_t n_parts, uint8_t ret[static KEY_SIGNATURE_SIZE]);

/*
 * Reads a key file. It must be a regular file of the caller or root without rights for group and
 * others; below $CREDENTIALS_DIRECTORY systemd's owner and mode are accepted. A symbolic link is not
 * followed.
 * Return: 0, -errno (-ENOENT: there is none), IDENTITY_E_NOT_REGULAR, _OWNER, _MODE, _MALFORMED,
 * _RESERVED; nothing is held then.
 */
int identity_load(IdentityKey **ret, const char *path);
/*
 * Writes @identity to a new file, mode 0600, and syncs it. With @make_folder a missing folder is
 * made first (0700; only the last component). Never overwrites.
 * Return: 0, -errno (-EEXIST: left as it was), IDENTITY_E_FORKED.
 */
int identity_create_file(const IdentityKey *identity, const char *path, bool make_folder);

/* A fresh X25519 key. Return: 0, -ENOMEM, -ENOSYS. */
int encryption_key_new_random(EncryptionKey **ret);
/* Copies @secret, raw 32 bytes. Return: 0, -ENOMEM. */
int encryption_key_new_from_secret(EncryptionKey **ret,
                                   const uint8_t secret[static CRYPTO_DH_SIZE]);
EncryptionKey *encryption_key_free(EncryptionKey *key);
/* The 32 bytes that go into a lease as encpk; the first 4 are its ENCID. */
const uint8_t *encryption_key_public(const EncryptionKey *key);
/* X25519 with the secret. Return: 0, IDENTITY_E_FORKED, IDENTITY_E_MALFORMED if @public is a
 * point that yields no secret. */
int encryption_key_dh(const EncryptionKey *key, const uint8_t public[static CRYPTO_DH_SIZE],
                      uint8_t ret[static CRYPTO_DH_SIZE]);

static inline void identity_freep(IdentityKey **identity) {
        *identity = identity_free(*identity);
}

static inline void encryption_key_freep(EncryptionKey **key) {
        *key = encryption_key_free(*key);
}
