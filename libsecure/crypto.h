/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * The primitives, one suite and no choice: BLAKE2b, HMAC and HKDF over it, X25519,
 * ChaCha20-Poly1305, random bytes
 *
 * Thin names over libsodium, so that the rest of libsecure reads like the specification and the
 * public vectors test exactly what is used. Only HMAC and HKDF are written here: Noise wants
 * HMAC-BLAKE2b (RFC 2104, block 128), which is not BLAKE2b's own keyed mode.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRYPTO_LABEL_SIZE 16 /* a label is ASCII, padded with NUL to this */
#define CRYPTO_HASH_SIZE 64
#define CRYPTO_KEY_SIZE 32
#define CRYPTO_TAG_SIZE 16
#define CRYPTO_NONCE_SIZE 12
#define CRYPTO_DH_SIZE 32
#define CRYPTO_SIGNATURE_SIZE 64

/* Bytes that somebody else owns; several of them are read as one string. */
typedef struct Slice {
        const void *data;
        size_t size;
} Slice;

enum {
        _CRYPTO_E_SUCCESS,

        CRYPTO_E_REFUSED, /* a forged ciphertext, or a public key that yields no secret */
};

/* To be called before anything else of libsecure; cheap when repeated, any thread.
 * Return: 0, -ENOSYS if libsodium cannot work here. */
int crypto_init(void);

/* Fills @data from the kernel's generator; cannot fail. */
void crypto_random(void *data, size_t size);
uint64_t crypto_random_u64(void);
/* Overwrites with zeros what the compiler must not leave out. */
void crypto_wipe(void *data, size_t size);
/* Compares in time that does not depend on the contents. */
bool crypto_equal(const void *a, const void *b, size_t size);

/* Writes @label, at most 16 bytes of ASCII, padded with NUL. */
void crypto_label(const char *label, uint8_t out[static CRYPTO_LABEL_SIZE]);

/* BLAKE2b, unkeyed, of the parts one after the other; @out_size 1 to 64 selects the variant. */
void crypto_blake2b(uint8_t *out, size_t out_size, const Slice *parts, size_t n_parts);
/* HMAC-BLAKE2b-512; a key of more than 128 bytes is hashed first, as RFC 2104 says. */
void crypto_hmac(uint8_t out[static CRYPTO_HASH_SIZE], Slice key, const Slice *parts,
                 size_t n_parts);
/* Noise's HKDF: two outputs, or three if @out3 is not NULL. Outputs may overlay @chaining_key. */
void crypto_hkdf(const uint8_t chaining_key[static CRYPTO_HASH_SIZE], Slice input,
                 uint8_t out1[static CRYPTO_HASH_SIZE], uint8_t out2[static CRYPTO_HASH_SIZE],
                 uint8_t *out3);

/* X25519. Return: 0, CRYPTO_E_REFUSED if the result is all zero: @out holds zeros then. */
int crypto_dh(uint8_t out[static CRYPTO_DH_SIZE], const uint8_t secret[static CRYPTO_DH_SIZE],
              const uint8_t public[static CRYPTO_DH_SIZE]);
void crypto_dh_public(uint8_t out[static CRYPTO_DH_SIZE],
                      const uint8_t secret[static CRYPTO_DH_SIZE]);

/*
 * Ed25519 (RFC 8032), of one message in one piece; key_verify() is what has a label.
 * Return: 0, CRYPTO_E_REFUSED: not signed so, or key or signature are small-order or not canonical.
 */
int crypto_verify(const uint8_t public[static CRYPTO_KEY_SIZE], const uint8_t *data, size_t n_data,
                  const uint8_t signature[static CRYPTO_SIGNATURE_SIZE]);

/* ChaCha20-Poly1305 (RFC 8439). @out may be @plain; it gets n_plain + CRYPTO_TAG_SIZE bytes. */
void crypto_encrypt(uint8_t *out, const uint8_t key[static CRYPTO_KEY_SIZE],
                    const uint8_t nonce[static CRYPTO_NONCE_SIZE], Slice ad, const uint8_t *plain,
                    size_t n_plain);
/*
 * The reverse; writes @n_sealed - CRYPTO_TAG_SIZE bytes, and only after the tag was verified.
 * @out may be @sealed.
 * Return: 0, CRYPTO_E_REFUSED: @out holds no plaintext then.
 */
int crypto_decrypt(uint8_t *out, const uint8_t key[static CRYPTO_KEY_SIZE],
                   const uint8_t nonce[static CRYPTO_NONCE_SIZE], Slice ad, const uint8_t *sealed,
                   size_t n_sealed);
