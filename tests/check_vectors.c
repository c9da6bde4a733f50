/* SPDX-License-Identifier: Apache-2.0 */

/* Public vectors of the primitives, through the very functions that libsecure uses. */

#include <string.h>

#include "libcore/util.h"
#include "libsecure/crypto.h"
#include "libsecure/identity.h"
#include "libsecure/key.h"
#include "tests/main.h"
#include "tests/vectors.h"

#define BIG 4096

START_TEST(blake2b_matches_its_known_answers) {
        json_t *json = vectors_load("blake2b_kat.json"), *v;
        uint8_t in[BIG], want[CRYPTO_HASH_SIZE], out[CRYPTO_HASH_SIZE];
        size_t i, n_tried = 0;

        json_array_foreach(json_object_get(json, "vectors"), i, v) {
                size_t n = vectors_bytes(v, "in", in, sizeof(in));

                if (strlen(vectors_text(v, "key")) > 0)
                        continue; /* the keyed mode is not used */
                vectors_exactly(v, "out", want, sizeof(want));
                crypto_blake2b(out, sizeof(out),
                               (Slice[]){ { in, n / 2 }, { in + n / 2, n - n / 2 } }, 2);
                ck_assert_msg(memcmp(out, want, sizeof(out)) == 0, "vector %zu", i);
                n_tried++;
        }
        ck_assert_uint_ge(n_tried, 20);

        vectors_exactly(json, "rfc7693_appendix_A_abc", want, sizeof(want));
        crypto_blake2b(out, sizeof(out), &(Slice){ "abc", 3 }, 1);
        ck_assert_mem_eq(out, want, sizeof(out));
        json_decref(json);
}
END_TEST

START_TEST(hmac_and_hkdf_match_two_other_implementations) {
        json_t *json = vectors_load("hmac_hkdf_blake2b_generated.json"), *v;
        uint8_t key[BIG], data[BIG], want[3][CRYPTO_HASH_SIZE], out[3][CRYPTO_HASH_SIZE];
        size_t i;

        json_array_foreach(json_object_get(json, "hmac"), i, v) {
                size_t n_key = vectors_bytes(v, "key", key, sizeof(key));
                size_t n = vectors_bytes(v, "msg", data, sizeof(data));

                vectors_exactly(v, "mac", want[0], sizeof(want[0]));
                crypto_hmac(out[0], (Slice){ key, n_key }, &(Slice){ data, n }, 1);
                ck_assert_msg(memcmp(out[0], want[0], sizeof(out[0])) == 0, "hmac %zu", i);
        }
        ck_assert_uint_eq(i, 45);

        json_array_foreach(json_object_get(json, "hkdf"), i, v) {
                size_t n = vectors_bytes(v, "ikm", data, sizeof(data));

                vectors_exactly(v, "chaining_key", key, CRYPTO_HASH_SIZE);
                vectors_exactly(v, "out1", want[0], sizeof(want[0]));
                vectors_exactly(v, "out2", want[1], sizeof(want[1]));
                vectors_exactly(v, "out3", want[2], sizeof(want[2]));
                crypto_hkdf(key, (Slice){ data, n }, out[0], out[1], out[2]);
                ck_assert_msg(memcmp(out, want, sizeof(out)) == 0, "hkdf %zu", i);

                /* as Noise calls it: the first output replaces the chaining key */
                crypto_hkdf(key, (Slice){ data, n }, key, out[1], NULL);
                ck_assert_mem_eq(key, want[0], sizeof(want[0]));
                ck_assert_mem_eq(out[1], want[1], sizeof(want[1]));
        }
        ck_assert_uint_eq(i, 6);
        json_decref(json);
}
END_TEST

START_TEST(ed25519_verifies_rfc_8032) {
        json_t *json = vectors_load("ed25519_rfc8032_signinput.json"), *v;
        uint8_t seed[32], pk[32], data[BIG], sig[64];
        IdentityKey *identity = NULL;
        size_t i;

        json_array_foreach(json_object_get(json, "vectors"), i, v) {
                size_t n = vectors_bytes(v, "msg", data, sizeof(data));

                vectors_exactly(v, "seed", seed, sizeof(seed));
                vectors_exactly(v, "pk", pk, sizeof(pk));
                vectors_exactly(v, "sig", sig, sizeof(sig));
                ck_assert_int_eq(identity_new_from_seed(&identity, seed), 0);
                ck_assert_mem_eq(identity_public(identity)->bytes, pk, sizeof(pk));
                identity = identity_free(identity);
                ck_assert_msg(crypto_verify(pk, data, n, sig) == 0, "vector %zu", i);
                sig[i % 64] ^= 1;
                ck_assert_msg(crypto_verify(pk, data, n, sig) == CRYPTO_E_REFUSED, "vector %zu", i);
        }
        ck_assert_uint_eq(i, 73);
        json_decref(json);
}
END_TEST

START_TEST(ed25519_refuses_what_wycheproof_calls_invalid) {
        json_t *json = vectors_load("wycheproof_ed25519.json"), *v;
        uint8_t pk[32], data[BIG], sig[BIG];
        size_t i;

        json_array_foreach(json_object_get(json, "vectors"), i, v) {
                size_t n = vectors_bytes(v, "msg", data, sizeof(data));
                size_t n_sig = vectors_bytes(v, "sig", sig, sizeof(sig));
                bool valid = strcmp(vectors_text(v, "result"), "valid") == 0;

                vectors_exactly(v, "pk", pk, sizeof(pk));
                if (n_sig != 64) {
                        ck_assert(!valid); /* our layouts have no other size */
                        continue;
                }
                ck_assert_msg((crypto_verify(pk, data, n, sig) == 0) == valid, "vector %zu", i);
        }
        ck_assert_uint_eq(i, 151);
        json_decref(json);
}
END_TEST

START_TEST(ed25519_takes_one_of_the_twelve_speccheck_cases) {
        json_t *json = vectors_load("ed25519_speccheck.json"), *v;
        uint8_t pk[32], data[BIG], sig[64];
        size_t i;

        json_array_foreach(json_object_get(json, "vectors"), i, v) {
                size_t n = vectors_bytes(v, "message", data, sizeof(data));

                vectors_exactly(v, "pub_key", pk, sizeof(pk));
                vectors_exactly(v, "signature", sig, sizeof(sig));
                ck_assert_msg((crypto_verify(pk, data, n, sig) == 0) == (i == 3), "case %zu", i);
        }
        ck_assert_uint_eq(i, 12);
        json_decref(json);
}
END_TEST

START_TEST(x25519_matches_wycheproof_and_refuses_useless_points) {
        json_t *json = vectors_load("wycheproof_x25519.json"), *v;
        uint8_t public[32], private[32], want[32], out[32], poison[32];
        size_t i, n_useless = 0;

        json_array_foreach(json_object_get(json, "vectors"), i, v) {
                EncryptionKey *key = NULL;
                int c;

                vectors_exactly(v, "public", public, sizeof(public));
                vectors_exactly(v, "private", private, sizeof(private));
                vectors_exactly(v, "shared", want, sizeof(want));
                memset(poison, 0, sizeof(poison));

                c = crypto_dh(out, private, public);
                if (memcmp(want, poison, sizeof(want)) == 0) {
                        ck_assert_msg(c == CRYPTO_E_REFUSED, "accepted: %zu", i);
                        n_useless++;
                } else
                        ck_assert_msg(c == 0, "refused: %zu", i);
                ck_assert_msg(memcmp(out, want, sizeof(out)) == 0, "vector %zu", i);

                ck_assert_int_eq(encryption_key_new_from_secret(&key, private), 0);
                ck_assert_int_eq(encryption_key_dh(key, public, out),
                                 c == 0 ? 0 : IDENTITY_E_MALFORMED);
                ck_assert_mem_eq(out, want, sizeof(out));
                encryption_key_free(key);
        }
        ck_assert_uint_eq(i, 518);
        ck_assert_uint_eq(n_useless, 31);
        json_decref(json);
}
END_TEST

START_TEST(chacha20_poly1305_matches_wycheproof_and_shows_nothing_forged) {
        json_t *json = vectors_load("wycheproof_chacha20_poly1305_iv96.json"), *v;
        uint8_t key[32], nonce[12], ad[BIG], plain[BIG], sealed[BIG], out[BIG];
        size_t i;

        json_array_foreach(json_object_get(json, "vectors"), i, v) {
                size_t n_ad = vectors_bytes(v, "aad", ad, sizeof(ad));
                size_t n = vectors_bytes(v, "msg", plain, sizeof(plain));
                size_t n_ct = vectors_bytes(v, "ct", sealed, sizeof(sealed) - 16);
                bool valid = strcmp(vectors_text(v, "result"), "valid") == 0;

                vectors_exactly(v, "key", key, sizeof(key));
                vectors_exactly(v, "iv", nonce, sizeof(nonce));
                vectors_exactly(v, "tag", sealed + n_ct, 16);

                memset(out, 0xa5, sizeof(out));
                if (valid) {
                        ck_assert_msg(crypto_decrypt(out, key, nonce, (Slice){ ad, n_ad }, sealed,
                                                     n_ct + 16) == 0,
                                      "vector %zu", i);
                        ck_assert_mem_eq(out, plain, n);
                        ck_assert_uint_eq(out[n], 0xa5);
                        crypto_encrypt(out, key, nonce, (Slice){ ad, n_ad }, plain, n);
                        ck_assert_msg(memcmp(out, sealed, n + 16) == 0, "vector %zu", i);

                        memcpy(out, plain, n); /* and in place */
                        crypto_encrypt(out, key, nonce, (Slice){ ad, n_ad }, out, n);
                        ck_assert_mem_eq(out, sealed, n + 16);
                        ck_assert_int_eq(
                                crypto_decrypt(out, key, nonce, (Slice){ ad, n_ad }, out, n + 16),
                                0);
                        ck_assert_mem_eq(out, plain, n);
                } else {
                        ck_assert_msg(crypto_decrypt(out, key, nonce, (Slice){ ad, n_ad }, sealed,
                                                     n_ct + 16) == CRYPTO_E_REFUSED,
                                      "vector %zu", i);
                        for (size_t j = 0; j < n; j++) /* untouched or zero */
                                ck_assert(out[j] == 0xa5 || out[j] == 0);
                }
        }
        ck_assert_uint_eq(i, 316);
        json_decref(json);
}
END_TEST

START_TEST(sealed_bytes_shorter_than_a_tag_are_refused) {
        uint8_t key[32] = { 0 }, nonce[12] = { 0 }, sealed[16] = { 0 }, out[16];

        for (size_t n = 0; n < 16; n++)
                ck_assert_int_eq(crypto_decrypt(out, key, nonce, (Slice){ NULL, 0 }, sealed, n),
                                 CRYPTO_E_REFUSED);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("vectors");
        TCase *tcase = tcase_create("vectors");

        tcase_add_test(tcase, blake2b_matches_its_known_answers);
        tcase_add_test(tcase, hmac_and_hkdf_match_two_other_implementations);
        tcase_add_test(tcase, ed25519_verifies_rfc_8032);
        tcase_add_test(tcase, ed25519_refuses_what_wycheproof_calls_invalid);
        tcase_add_test(tcase, ed25519_takes_one_of_the_twelve_speccheck_cases);
        tcase_add_test(tcase, x25519_matches_wycheproof_and_refuses_useless_points);
        tcase_add_test(tcase, chacha20_poly1305_matches_wycheproof_and_shows_nothing_forged);
        tcase_add_test(tcase, sealed_bytes_shorter_than_a_tag_are_refused);
        suite_add_tcase(suite, tcase);
        return suite;
}
