/* SPDX-License-Identifier: Apache-2.0 */

#include "libsecure/crypto.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "libcore/err.h"
#include "libcore/util.h"

#define HMAC_BLOCK_SIZE 128

static_assert(CRYPTO_HASH_SIZE == crypto_generichash_blake2b_BYTES_MAX, "BLAKE2b-512");
static_assert(CRYPTO_NONCE_SIZE == crypto_aead_chacha20poly1305_ietf_NPUBBYTES, "nonce");
static_assert(CRYPTO_TAG_SIZE == crypto_aead_chacha20poly1305_ietf_ABYTES, "Poly1305 tag");

int crypto_init(void) {
        return sodium_init() < 0 ? err_origin(-ENOSYS) : 0;
}

void crypto_random(void *data, size_t size) {
        randombytes_buf(data, size);
}

uint64_t crypto_random_u64(void) {
        uint8_t bytes[8];

        randombytes_buf(bytes, sizeof(bytes));
        return load_le64(bytes);
}

void crypto_wipe(void *data, size_t size) {
        sodium_memzero(data, size);
}

bool crypto_equal(const void *a, const void *b, size_t size) {
        return sodium_memcmp(a, b, size) == 0;
}

void crypto_label(const char *label, uint8_t out[static CRYPTO_LABEL_SIZE]) {
        size_t n = strlen(label);

        assert(n <= CRYPTO_LABEL_SIZE);
        memset(out, 0, CRYPTO_LABEL_SIZE);
        memcpy(out, label, n);
}

static void hash_update(crypto_generichash_blake2b_state *state, const Slice *parts,
                        size_t n_parts) {
        for (size_t i = 0; i < n_parts; i++)
                (void)crypto_generichash_blake2b_update(state, parts[i].data, parts[i].size);
}

void crypto_blake2b(uint8_t *out, size_t out_size, const Slice *parts, size_t n_parts) {
        crypto_generichash_blake2b_state state;

        assert(out_size >= 1 && out_size <= CRYPTO_HASH_SIZE);
        (void)crypto_generichash_blake2b_init(&state, NULL, 0, out_size);
        hash_update(&state, parts, n_parts);
        (void)crypto_generichash_blake2b_final(&state, out, out_size);
        sodium_memzero(&state, sizeof(state));
}

void crypto_hmac(uint8_t out[static CRYPTO_HASH_SIZE], Slice key, const Slice *parts,
                 size_t n_parts) {
        uint8_t pad[HMAC_BLOCK_SIZE] = { 0 }, inner[CRYPTO_HASH_SIZE];
        crypto_generichash_blake2b_state state;

        if (key.size > sizeof(pad))
                crypto_blake2b(pad, CRYPTO_HASH_SIZE, &key, 1);
        else if (key.size > 0)
                memcpy(pad, key.data, key.size);

        for (size_t i = 0; i < sizeof(pad); i++)
                pad[i] ^= 0x36;
        (void)crypto_generichash_blake2b_init(&state, NULL, 0, CRYPTO_HASH_SIZE);
        hash_update(&state, &(Slice){ pad, sizeof(pad) }, 1);
        hash_update(&state, parts, n_parts);
        (void)crypto_generichash_blake2b_final(&state, inner, sizeof(inner));

        for (size_t i = 0; i < sizeof(pad); i++)
                pad[i] ^= 0x36 ^ 0x5c;
        crypto_blake2b(out, CRYPTO_HASH_SIZE,
                       (Slice[]){ { pad, sizeof(pad) }, { inner, sizeof(inner) } }, 2);

        sodium_memzero(pad, sizeof(pad));
        sodium_memzero(inner, sizeof(inner));
        sodium_memzero(&state, sizeof(state));
}

void crypto_hkdf(const uint8_t chaining_key[static CRYPTO_HASH_SIZE], Slice input,
                 uint8_t out1[static CRYPTO_HASH_SIZE], uint8_t out2[static CRYPTO_HASH_SIZE],
                 uint8_t *out3) {
        uint8_t temp[CRYPTO_HASH_SIZE];
        uint8_t count = 1;

        crypto_hmac(temp, (Slice){ chaining_key, CRYPTO_HASH_SIZE }, &input, 1);
        crypto_hmac(out1, (Slice){ temp, sizeof(temp) }, &(Slice){ &count, 1 }, 1);
        count = 2;
        crypto_hmac(out2, (Slice){ temp, sizeof(temp) },
                    (Slice[]){ { out1, CRYPTO_HASH_SIZE }, { &count, 1 } }, 2);
        if (out3) {
                count = 3;
                crypto_hmac(out3, (Slice){ temp, sizeof(temp) },
                            (Slice[]){ { out2, CRYPTO_HASH_SIZE }, { &count, 1 } }, 2);
        }
        sodium_memzero(temp, sizeof(temp));
}

int crypto_dh(uint8_t out[static CRYPTO_DH_SIZE], const uint8_t secret[static CRYPTO_DH_SIZE],
              const uint8_t public[static CRYPTO_DH_SIZE]) {
        /* Noise lets an all-zero result pass; a peer that sends such a point wants no secrecy. */
        if (crypto_scalarmult_curve25519(out, secret, public) != 0) {
                memset(out, 0, CRYPTO_DH_SIZE);
                return CRYPTO_E_REFUSED;
        }
        return 0;
}

void crypto_dh_public(uint8_t out[static CRYPTO_DH_SIZE],
                      const uint8_t secret[static CRYPTO_DH_SIZE]) {
        (void)crypto_scalarmult_curve25519_base(out, secret);
}

int crypto_verify(const uint8_t public[static CRYPTO_KEY_SIZE], const uint8_t *data, size_t n_data,
                  const uint8_t signature[static CRYPTO_SIGNATURE_SIZE]) {
        return crypto_sign_verify_detached(signature, data, n_data, public) == 0 ? 0
                                                                                 : CRYPTO_E_REFUSED;
}

void crypto_encrypt(uint8_t *out, const uint8_t key[static CRYPTO_KEY_SIZE],
                    const uint8_t nonce[static CRYPTO_NONCE_SIZE], Slice ad, const uint8_t *plain,
                    size_t n_plain) {
        (void)crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain, n_plain, ad.data, ad.size,
                                                        NULL, nonce, key);
}

int crypto_decrypt(uint8_t *out, const uint8_t key[static CRYPTO_KEY_SIZE],
                   const uint8_t nonce[static CRYPTO_NONCE_SIZE], Slice ad, const uint8_t *sealed,
                   size_t n_sealed) {
        if (n_sealed < CRYPTO_TAG_SIZE)
                return CRYPTO_E_REFUSED;
        if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, n_sealed, ad.data,
                                                      ad.size, nonce, key) != 0)
                return CRYPTO_E_REFUSED;
        return 0;
}
