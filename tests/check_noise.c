/* SPDX-License-Identifier: Apache-2.0 */

#include "libsecure/noise.h"

#include <string.h>

#include "libcore/util.h"
#include "tests/main.h"
#include "tests/vectors.h"

static const struct {
        const char *name;
        NoisePattern pattern;
        unsigned n_messages;
} patterns[] = {
        { "Noise_X_25519_ChaChaPoly_BLAKE2b", NOISE_X, 1 },
        { "Noise_IK_25519_ChaChaPoly_BLAKE2b", NOISE_IK, 2 },
        { "Noise_XX_25519_ChaChaPoly_BLAKE2b", NOISE_XX, 3 },
};

static const char *const files[] = {
        "noise_25519_ChaChaPoly_BLAKE2b_cacophony.json",
        "noise_25519_ChaChaPoly_BLAKE2b_snow.json",
        "noise_25519_ChaChaPoly_BLAKE2b_noise-c-basic.json",
};

/* Both sides of one handshake, and the keys they borrow. */
typedef struct Pair {
        EncryptionKey *keys[2];
        NoiseHandshake sides[2];
} Pair;

static void pair_done(Pair *pair) {
        for (unsigned i = 0; i < 2; i++) {
                noise_done(&pair->sides[i]);
                encryption_key_free(pair->keys[i]);
        }
}

/* As a vector says; the responder's prologue ends with @n_extra bytes more. */
static void pair_init(Pair *pair, NoisePattern pattern, const json_t *v, size_t n_extra) {
        uint8_t prologue[256] = { 0 }, secret[32], rs[32] = { 0 };
        size_t n;

        vectors_exactly(v, "init_static", secret, 32);
        ck_assert_int_eq(encryption_key_new_from_secret(&pair->keys[0], secret), 0);
        vectors_exactly(v, "resp_static", secret, 32);
        ck_assert_int_eq(encryption_key_new_from_secret(&pair->keys[1], secret), 0);
        if (json_object_get(v, "init_remote_static"))
                vectors_exactly(v, "init_remote_static", rs, 32);

        n = vectors_bytes(v, "init_prologue", prologue, sizeof(prologue));
        noise_init(&pair->sides[0], &(NoiseOptions){
                                            .pattern = pattern,
                                            .initiator = true,
                                            .prologue = { prologue, n },
                                            .s = pair->keys[0],
                                            .rs = rs,
                                    });
        n = vectors_bytes(v, "resp_prologue", prologue, sizeof(prologue) - n_extra);
        noise_init(&pair->sides[1], &(NoiseOptions){
                                            .pattern = pattern,
                                            .initiator = false,
                                            .prologue = { prologue, n + n_extra },
                                            .s = pair->keys[1],
                                    });
}

/* The next random bytes that a side asks for are its ephemeral key. */
static void push_ephemerals(const json_t *v) {
        uint8_t e[32];

        vectors_exactly(v, "init_ephemeral", e, 32);
        fixed_random_push(e);
        if (json_object_get(v, "resp_ephemeral")) {
                vectors_exactly(v, "resp_ephemeral", e, 32);
                fixed_random_push(e);
        }
}

/* The vector of pattern @name in file @file. */
static json_t *vector_of(const char *file, const char *name, json_t **ret_file) {
        size_t i;
        json_t *v;

        *ret_file = vectors_load(file);
        json_array_foreach(json_object_get(*ret_file, "vectors"), i,
                           v) if (strcmp(vectors_text(v, "protocol_name"), name) == 0) return v;
        ck_abort_msg("no %s in %s", name, file);
        return NULL;
}

static void transport(NoiseCipher *from, NoiseCipher *to, const uint8_t *payload, size_t n,
                      const uint8_t *want, size_t n_want) {
        uint8_t sealed[1024], opened[1024];

        ck_assert_uint_eq(n + 16, n_want);
        ck_assert_int_eq(noise_encrypt(from, (Slice){ NULL, 0 }, payload, n, sealed), 0);
        ck_assert_mem_eq(sealed, want, n_want);
        ck_assert_int_eq(noise_decrypt(to, (Slice){ NULL, 0 }, sealed, n_want, opened), 0);
        ck_assert_mem_eq(opened, payload, n);
}

/* Runs the whole vector, message after message, byte by byte. */
static void replay(const json_t *v, NoisePattern pattern, unsigned n_messages) {
        NoiseCipher send[2], receive[2];
        const json_t *message;
        uint8_t hash[64];
        Pair pair = { 0 };
        size_t i;

        pair_init(&pair, pattern, v, 0);
        push_ephemerals(v);
        json_array_foreach(json_object_get(v, "messages"), i, message) {
                uint8_t payload[1024], want[1024], out[1024], got[1024];
                size_t n = vectors_bytes(message, "payload", payload, sizeof(payload)), n_out,
                       n_got;
                size_t n_want = vectors_bytes(message, "ciphertext", want, sizeof(want));
                unsigned from = pattern == NOISE_X ? 0 : i % 2;

                if (i >= n_messages) {
                        transport(&send[from], &receive[!from], payload, n, want, n_want);
                        continue;
                }
                ck_assert(noise_is_my_turn(&pair.sides[from]));
                ck_assert(!noise_is_my_turn(&pair.sides[!from]));
                ck_assert_uint_eq(noise_overhead(&pair.sides[from]), n_want - n);
                ck_assert_int_eq(noise_create(&pair.sides[from],
                                              (Slice[]){ { payload, n / 2 },
                                                         { payload + n / 2, n - n / 2 } },
                                              2, out, sizeof(out), &n_out),
                                 0);
                ck_assert_uint_eq(n_out, n_want);
                ck_assert_mem_eq(out, want, n_want);
                ck_assert_int_eq(noise_consume(&pair.sides[!from], (Slice){ out, n_out }, got,
                                               sizeof(got), &n_got),
                                 0);
                ck_assert_uint_eq(n_got, n);
                ck_assert_mem_eq(got, payload, n);

                if (i + 1 < n_messages)
                        continue;
                for (unsigned side = 0; side < 2; side++) {
                        ck_assert(noise_is_complete(&pair.sides[side]));
                        if (json_object_get(v, "handshake_hash")) {
                                vectors_exactly(v, "handshake_hash", hash, sizeof(hash));
                                ck_assert_mem_eq(noise_hash(&pair.sides[side]), hash, sizeof(hash));
                        }
                        if (side == 1 || pattern != NOISE_X)
                                ck_assert_mem_eq(noise_remote_static(&pair.sides[side]),
                                                 encryption_key_public(pair.keys[!side]), 32);
                        noise_split(&pair.sides[side], &send[side], &receive[side]);
                }
        }
        ck_assert_uint_gt(i, n_messages);
        pair_done(&pair);
}

START_TEST(public_vectors_are_replayed_byte_by_byte) {
        unsigned f = (unsigned)_i / ELEMENTSOF(patterns), p = (unsigned)_i % ELEMENTSOF(patterns);
        json_t *json, *v = vector_of(files[f], patterns[p].name, &json);

        replay(v, patterns[p].pattern, patterns[p].n_messages);
        json_decref(json);
}
END_TEST

/* Plays up to the first message that is refused; returns whether there was one. */
static bool handshake_fails(Pair *pair, const json_t *v, unsigned n_messages) {
        for (unsigned i = 0; i < n_messages; i++) {
                uint8_t payload[1024], out[1024], got[1024];
                size_t n, n_out, n_got;
                int c;

                n = vectors_bytes(json_array_get(json_object_get(v, "messages"), i), "payload",
                                  payload, sizeof(payload));
                ck_assert_int_eq(noise_create(&pair->sides[i % 2], &(Slice){ payload, n }, 1, out,
                                              sizeof(out), &n_out),
                                 0);
                c = noise_consume(&pair->sides[!(i % 2)], (Slice){ out, n_out }, got, sizeof(got),
                                  &n_got);
                if (c != 0) {
                        ck_assert_int_eq(c, NOISE_E_REFUSED);
                        return true;
                }
        }
        return false;
}

START_TEST(a_wrong_prologue_ends_every_handshake) {
        unsigned f = (unsigned)_i / ELEMENTSOF(patterns), p = (unsigned)_i % ELEMENTSOF(patterns);
        json_t *json, *v = vector_of(files[f], patterns[p].name, &json);
        Pair pair = { 0 };

        pair_init(&pair, patterns[p].pattern, v, 1);
        ck_assert(handshake_fails(&pair, v, patterns[p].n_messages));
        pair_done(&pair);
        pair_init(&pair, patterns[p].pattern, v, 0);
        ck_assert(!handshake_fails(&pair, v, patterns[p].n_messages));
        pair_done(&pair);
        json_decref(json);
}
END_TEST

static void check_state(const NoiseHandshake *hs, const json_t *step) {
        uint8_t want[64];

        vectors_exactly(step, "h", want, 64);
        ck_assert_mem_eq(hs->h, want, 64);
        vectors_exactly(step, "ck", want, 64);
        ck_assert_mem_eq(hs->ck, want, 64);
        if (!json_object_get(step, "k") || strlen(vectors_text(step, "k")) == 0) {
                ck_assert(!hs->cipher.has_key);
                return;
        }
        vectors_exactly(step, "k", want, 32);
        ck_assert_mem_eq(hs->cipher.key, want, 32);
        ck_assert_uint_eq(hs->cipher.counter,
                          (uint64_t)json_integer_value(json_object_get(step, "n")));
}

START_TEST(intermediate_states_are_those_of_the_trace) {
        json_t *json, *traces, *v = vector_of(files[0], patterns[_i].name, &json);
        json_t *trace = json_object_get(
                vector_of("noise_trace_generated.json", patterns[_i].name, &traces), "trace");
        unsigned n_messages = patterns[_i].n_messages;
        NoiseCipher send, receive;
        Pair pair = { 0 };
        uint8_t want[32];

        ck_assert_uint_eq(json_array_size(trace), n_messages + 2);
        pair_init(&pair, patterns[_i].pattern, v, 0);
        push_ephemerals(v);
        check_state(&pair.sides[0], json_array_get(trace, 0));
        check_state(&pair.sides[1], json_array_get(trace, 0));
        for (unsigned i = 0; i < n_messages; i++) {
                uint8_t payload[1024], out[1024], got[1024];
                size_t n, n_out, n_got;

                n = vectors_bytes(json_array_get(json_object_get(v, "messages"), i), "payload",
                                  payload, sizeof(payload));
                ck_assert_int_eq(noise_create(&pair.sides[i % 2], &(Slice){ payload, n }, 1, out,
                                              sizeof(out), &n_out),
                                 0);
                ck_assert_int_eq(noise_consume(&pair.sides[!(i % 2)], (Slice){ out, n_out }, got,
                                               sizeof(got), &n_got),
                                 0);
                check_state(&pair.sides[0], json_array_get(trace, i + 1));
                check_state(&pair.sides[1], json_array_get(trace, i + 1));
        }
        noise_split(&pair.sides[0], &send, &receive);
        vectors_exactly(json_array_get(trace, n_messages + 1), "k1", want, 32);
        ck_assert_mem_eq(send.key, want, 32);
        vectors_exactly(json_array_get(trace, n_messages + 1), "k2", want, 32);
        ck_assert_mem_eq(receive.key, want, 32);
        pair_done(&pair);
        json_decref(json);
        json_decref(traces);
}
END_TEST

static bool is_wiped(const NoiseHandshake *hs) {
        NoiseHandshake blank = { .dead = true };
        const uint8_t *a = (const uint8_t *)hs, *b = (const uint8_t *)&blank;

        for (size_t i = offsetof(NoiseHandshake, cipher); i < sizeof(*hs); i++)
                if (a[i] != b[i])
                        return false;
        return hs->dead && !hs->s;
}

/* Message @at, made by an honest side, not yet read by the other. */
static size_t honest_message(Pair *pair, unsigned at, uint8_t *out, size_t size) {
        uint8_t got[1024];
        size_t n_out = 0, n_got;

        for (unsigned i = 0; i <= at; i++) {
                ck_assert_int_eq(noise_create(&pair->sides[i % 2], &(Slice){ "abc", 3 }, 1, out,
                                              size, &n_out),
                                 0);
                if (i < at)
                        ck_assert_int_eq(noise_consume(&pair->sides[!(i % 2)],
                                                       (Slice){ out, n_out }, got, sizeof(got),
                                                       &n_got),
                                         0);
        }
        return n_out;
}

START_TEST(every_flipped_bit_ends_the_handshake_and_wipes_it) {
        json_t *json, *v = vector_of(files[0], patterns[_i].name, &json);
        unsigned last = patterns[_i].n_messages - 1;
        uint8_t out[1024], got[1024];
        size_t n, n_got = 77;
        Pair pair = { 0 };

        pair_init(&pair, patterns[_i].pattern, v, 0);
        n = honest_message(&pair, last, out, sizeof(out));
        for (size_t bit = 0; bit < n * 8; bit++) {
                NoiseHandshake hs = pair.sides[!(last % 2)];

                /* The top bit of a point does not count in X25519, but is hashed. */
                out[bit / 8] ^= (uint8_t)(1 << bit % 8);
                memset(got, 0xa5, sizeof(got));
                ck_assert_int_eq(noise_consume(&hs, (Slice){ out, n }, got, sizeof(got), &n_got),
                                 NOISE_E_REFUSED);
                ck_assert_uint_eq(n_got, 77);
                ck_assert_mem_ne(got, "abc", 3);
                ck_assert(is_wiped(&hs));
                ck_assert_int_eq(noise_consume(&hs, (Slice){ out, n }, got, sizeof(got), &n_got),
                                 -EINVAL);
                out[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t cut = 0; cut < n; cut++) {
                NoiseHandshake hs = pair.sides[!(last % 2)];

                ck_assert_int_eq(noise_consume(&hs, (Slice){ out, cut }, got, sizeof(got), &n_got),
                                 NOISE_E_REFUSED);
                ck_assert(is_wiped(&hs));
        }
        ck_assert_int_eq(noise_consume(&pair.sides[!(last % 2)], (Slice){ out, n }, got,
                                       sizeof(got), &n_got),
                         0);
        ck_assert_mem_eq(got, "abc", 3);
        pair_done(&pair);
        json_decref(json);
}
END_TEST

START_TEST(points_that_yield_no_secret_are_refused) {
        json_t *points = vectors_load("wycheproof_x25519.json"), *json, *p;
        json_t *v = vector_of(files[0], patterns[0].name, &json);
        static const uint8_t zero[32];
        size_t i, n_tried = 0;

        json_array_foreach(json_object_get(points, "vectors"), i, p) {
                uint8_t shared[32], message[96] = { 0 }, got[96];
                Pair pair = { 0 };
                size_t n_got;

                vectors_exactly(p, "shared", shared, 32);
                if (memcmp(shared, zero, 32) != 0)
                        continue;
                pair_init(&pair, NOISE_X, v, 0);
                vectors_exactly(p, "public", message, 32);
                ck_assert_int_eq(noise_consume(&pair.sides[1], (Slice){ message, sizeof(message) },
                                               got, sizeof(got), &n_got),
                                 NOISE_E_REFUSED);
                ck_assert(is_wiped(&pair.sides[1]));

                /* and as the key one would seal for */
                noise_init(&pair.sides[0], &(NoiseOptions){
                                                   .pattern = NOISE_X,
                                                   .initiator = true,
                                                   .s = pair.keys[0],
                                                   .rs = message,
                                           });
                ck_assert_int_eq(noise_create(&pair.sides[0], NULL, 0, got, sizeof(got), &n_got),
                                 NOISE_E_REFUSED);
                ck_assert(is_wiped(&pair.sides[0]));
                pair_done(&pair);
                n_tried++;
        }
        ck_assert_uint_eq(n_tried, 31);
        json_decref(points);
        json_decref(json);
}
END_TEST

START_TEST(out_of_turn_and_too_small_is_our_mistake) {
        json_t *json, *v = vector_of(files[0], patterns[2].name, &json);
        uint8_t out[1024], got[1024];
        size_t n;
        Pair pair = { 0 };

        pair_init(&pair, NOISE_XX, v, 0);
        ck_assert_int_eq(noise_create(&pair.sides[1], NULL, 0, out, sizeof(out), &n), -EINVAL);
        ck_assert(is_wiped(&pair.sides[1]));
        ck_assert_int_eq(noise_create(&pair.sides[0], NULL, 0, out, 31, &n), -ENOBUFS);
        ck_assert(is_wiped(&pair.sides[0]));
        pair_done(&pair);

        pair_init(&pair, NOISE_XX, v, 0);
        ck_assert_int_eq(noise_create(&pair.sides[0], &(Slice){ "abc", 3 }, 1, out, 35, &n), 0);
        ck_assert_uint_eq(n, 35);
        ck_assert_int_eq(noise_consume(&pair.sides[1], (Slice){ out, 35 }, got, 2, &n), -ENOBUFS);
        ck_assert_int_eq(noise_consume(&pair.sides[0], (Slice){ out, 35 }, got, 3, &n),
                         NOISE_E_REFUSED);
        pair_done(&pair);
        json_decref(json);
}
END_TEST

START_TEST(the_last_nonce_is_never_used) {
        NoiseCipher a = { .counter = UINT64_MAX - 1, .has_key = true }, b = a;
        uint8_t sealed[17], out[1] = { 0 };

        ck_assert_int_eq(noise_encrypt(&a, (Slice){ NULL, 0 }, out, 1, sealed), 0);
        ck_assert_int_eq(noise_decrypt(&b, (Slice){ NULL, 0 }, sealed, 17, out), 0);
        ck_assert_int_eq(noise_encrypt(&a, (Slice){ NULL, 0 }, out, 1, sealed), NOISE_E_REFUSED);
        ck_assert_int_eq(noise_decrypt(&b, (Slice){ NULL, 0 }, sealed, 17, out), NOISE_E_REFUSED);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("noise");
        TCase *tcase = tcase_create("noise");
        int n = ELEMENTSOF(patterns);

        tcase_add_loop_test(tcase, public_vectors_are_replayed_byte_by_byte, 0,
                            (int)ELEMENTSOF(files) * n);
        tcase_add_loop_test(tcase, a_wrong_prologue_ends_every_handshake, 0,
                            (int)ELEMENTSOF(files) * n);
        tcase_add_loop_test(tcase, intermediate_states_are_those_of_the_trace, 0, n);
        tcase_add_loop_test(tcase, every_flipped_bit_ends_the_handshake_and_wipes_it, 0, n);
        tcase_add_test(tcase, points_that_yield_no_secret_are_refused);
        tcase_add_test(tcase, out_of_turn_and_too_small_is_our_mistake);
        tcase_add_test(tcase, the_last_nonce_is_never_used);
        suite_add_tcase(suite, tcase);
        return suite;
}
