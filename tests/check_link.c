/* SPDX-License-Identifier: Apache-2.0 */

/* The source, not the header: only inside can a counter be put near its end. */
#include "libsecure/link.c"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcore/util.h"
#include "libsecure/noise.h"
#include "tests/main.h"
#include "tests/vectors.h"

#define NOW UINT64_C(0x0006474846204000)
#define BRIDGE 0
#define RELAY 1

/* What the vectors hold of a bridge and a relay. */
typedef struct Side {
        IdentityKey *identity;
        EncryptionKey *key;
        uint8_t record[SIGNED_RECORD_SIZE_MAX];
        size_t n_record;
} Side;

static json_t *json;
static Side sides[2];

static void side_load(Side *side, const char *name, const char *record) {
        const json_t *v = json_object_get(json_object_get(json, "identities"), name);
        uint8_t secret[32];

        vectors_exactly(v, "seed", secret, 32);
        ck_assert_int_eq(identity_new_from_seed(&side->identity, secret), 0);
        vectors_exactly(v, "enc_sk", secret, 32);
        ck_assert_int_eq(encryption_key_new_from_secret(&side->key, secret), 0);
        side->n_record = vectors_bytes(json, record, side->record, sizeof(side->record));
}

static void load(void) {
        json = vectors_load("p2pbus-draft.json");
        side_load(&sides[BRIDGE], "BR_bridge", "records/presence_BR");
        side_load(&sides[RELAY], "RL_relay", "records/relay_RL");
}

static void unload(void) {
        for (unsigned i = 0; i < 2; i++) {
                sides[i].identity = identity_free(sides[i].identity);
                sides[i].key = encryption_key_free(sides[i].key);
        }
        json_decref(json);
}

static LinkOptions options_of(unsigned i) {
        return (LinkOptions){
                .initiator = i == BRIDGE,
                .initiator_role = LINK_ROLE_BRIDGE,
                .identity = sides[i].identity,
                .key = sides[i].key,
                .record = { sides[i].record, sides[i].n_record },
        };
}

static Link *link_of(unsigned i, const PublicKey *pinned) {
        LinkOptions options = options_of(i);
        Link *link = NULL;

        options.pinned = pinned;
        ck_assert_int_eq(link_new(&link, &options), 0);
        return link;
}

static const PublicKey *key_of(unsigned i) {
        return identity_public(sides[i].identity);
}

/* A handshake message of @from; returns what reading it gave @to. */
static int pass(Link *from, Link *to, uint64_t now_usec) {
        uint8_t message[LINK_HANDSHAKE_MAX];
        size_t n;

        ck_assert_int_eq(link_create(from, message, sizeof(message), &n), 0);
        return link_consume(to, message, n, now_usec);
}

/* Two links that are up. */
static void pair_up(Link *pair[static 2]) {
        pair[BRIDGE] = link_of(BRIDGE, key_of(RELAY));
        pair[RELAY] = link_of(RELAY, NULL);
        ck_assert_int_eq(pass(pair[BRIDGE], pair[RELAY], NOW), 0);
        ck_assert_int_eq(pass(pair[RELAY], pair[BRIDGE], NOW), 0);
        ck_assert_int_eq(pass(pair[BRIDGE], pair[RELAY], NOW), 0);
        ck_assert_int_eq(link_accept(pair[RELAY]), 0);
}

static void pair_free(Link *pair[static 2]) {
        link_free(pair[BRIDGE]);
        link_free(pair[RELAY]);
}

/* @path of the vectors as a message, passed on after it was compared. */
static void pass_as_in(const char *path, Link *from, Link *to) {
        uint8_t want[LINK_HANDSHAKE_MAX], message[LINK_HANDSHAKE_MAX];
        size_t n_want = vectors_bytes(json, path, want, sizeof(want)), n;

        ck_assert_int_eq(link_create(from, message, sizeof(message), &n), 0);
        ck_assert_uint_eq(n, n_want);
        ck_assert_mem_eq(message, want, n);
        ck_assert_int_eq(link_consume(to, message, n, NOW), 0);
}

START_TEST(the_handshake_is_that_of_the_vectors) {
        NoiseCipher ciphers[2] = { { .has_key = true }, { .has_key = true } };
        Link *pair[2] = { link_of(BRIDGE, NULL), link_of(RELAY, NULL) };
        uint8_t e[32], sealed[64], want[64];

        vectors_exactly(json, "link/e_i", e, 32);
        fixed_random_push(e);
        vectors_exactly(json, "link/e_r", e, 32);
        fixed_random_push(e);

        ck_assert_int_eq(link_state(pair[BRIDGE]), LINK_SENDING);
        ck_assert_int_eq(link_state(pair[RELAY]), LINK_RECEIVING);
        pass_as_in("link/msg1", pair[BRIDGE], pair[RELAY]);
        ck_assert_ptr_null(link_peer(pair[RELAY]));
        pass_as_in("link/msg2", pair[RELAY], pair[BRIDGE]);
        ck_assert_int_eq(link_state(pair[BRIDGE]), LINK_PROVEN);
        ck_assert(key_equal(&link_peer(pair[BRIDGE])->signer, key_of(RELAY)));
        ck_assert_uint_eq(link_peer(pair[BRIDGE])->relay.n_urls, 1);
        ck_assert_int_eq(link_accept(pair[BRIDGE]), 0);
        pass_as_in("link/msg3", pair[BRIDGE], pair[RELAY]);
        ck_assert_int_eq(link_state(pair[BRIDGE]), LINK_UP);
        ck_assert_int_eq(link_state(pair[RELAY]), LINK_PROVEN);
        ck_assert(key_equal(&link_peer(pair[RELAY])->signer, key_of(BRIDGE)));
        ck_assert_uint_eq(link_peer_bytes(pair[RELAY]).size, sides[BRIDGE].n_record);
        ck_assert_mem_eq(link_peer_bytes(pair[RELAY]).data, sides[BRIDGE].record,
                         sides[BRIDGE].n_record);
        ck_assert_int_eq(link_accept(pair[RELAY]), 0);
        ck_assert_int_eq(link_state(pair[RELAY]), LINK_UP);
        ck_assert_uint_eq(fixed_random_left(), 0);

        vectors_exactly(json, "link/k_i2r", ciphers[BRIDGE].key, 32);
        vectors_exactly(json, "link/k_r2i", ciphers[RELAY].key, 32);
        for (unsigned i = 0; i < 2; i++) {
                ck_assert_int_eq(link_encrypt(pair[i], (const uint8_t *)"frames", 6, sealed), 0);
                ck_assert_int_eq(noise_encrypt(&ciphers[i], (Slice){ NULL, 0 },
                                               (const uint8_t *)"frames", 6, want),
                                 0);
                ck_assert_mem_eq(sealed, want, 6 + LINK_OVERHEAD);
                ck_assert_int_eq(link_decrypt(pair[!i], sealed, 6 + LINK_OVERHEAD, want), 0);
                ck_assert_mem_eq(want, "frames", 6);
        }
        pair_free(pair);
}
END_TEST

START_TEST(messages_of_every_size_go_both_ways_in_place) {
        static const size_t some[] = { 0, 1, 15, 16, 17, 1000, LINK_PLAIN_MAX - 1, LINK_PLAIN_MAX };
        static uint8_t plain[LINK_MESSAGE_MAX], buffer[LINK_MESSAGE_MAX + 1];
        Link *pair[2];

        for (size_t i = 0; i < sizeof(plain); i++)
                plain[i] = (uint8_t)(i * 7);
        pair_up(pair);
        for (unsigned i = 0; i < ELEMENTSOF(some); i++)
                for (unsigned from = 0; from < 2; from++) {
                        memcpy(buffer, plain, some[i]);
                        ck_assert_int_eq(link_encrypt(pair[from], buffer, some[i], buffer), 0);
                        ck_assert_int_eq(
                                link_decrypt(pair[!from], buffer, some[i] + LINK_OVERHEAD, buffer),
                                0);
                        ck_assert_mem_eq(buffer, plain, some[i]);
                }
        ck_assert_int_eq(link_encrypt(pair[0], buffer, LINK_PLAIN_MAX + 1, buffer), -EINVAL);
        ck_assert_int_eq(link_state(pair[0]), LINK_UP);
        ck_assert_int_eq(link_decrypt(pair[0], buffer, LINK_MESSAGE_MAX + 1, buffer),
                         LINK_E_VIOLATION);
        ck_assert_int_eq(link_state(pair[0]), LINK_DEAD);
        pair_free(pair);
}
END_TEST

START_TEST(records_and_keys_must_belong_together) {
        LinkOptions options = options_of(BRIDGE);
        Link *link = NULL;

        options.identity = sides[RELAY].identity;
        ck_assert_int_eq(link_new(&link, &options), -EINVAL);
        options = options_of(BRIDGE);
        options.key = sides[RELAY].key;
        ck_assert_int_eq(link_new(&link, &options), -EINVAL);
        options = options_of(BRIDGE);
        options.record = (Slice){ sides[RELAY].record, sides[RELAY].n_record };
        ck_assert_int_eq(link_new(&link, &options), -EINVAL);
        options = options_of(BRIDGE);
        options.record.size--;
        ck_assert_int_eq(link_new(&link, &options), -EINVAL);
        options = options_of(BRIDGE);
        options.initiator_role = LINK_ROLE_RELAY;
        ck_assert_int_eq(link_new(&link, &options), -EINVAL);
        ck_assert_ptr_null(link);
}
END_TEST

START_TEST(two_relays_can_link) {
        LinkOptions a = options_of(RELAY), b = options_of(RELAY);
        Link *pair[2];

        a.initiator = true;
        a.initiator_role = b.initiator_role = LINK_ROLE_RELAY;
        b.pinned = key_of(RELAY);
        ck_assert_int_eq(link_new(&pair[0], &a), 0);
        ck_assert_int_eq(link_new(&pair[1], &b), 0);
        ck_assert_int_eq(pass(pair[0], pair[1], NOW), 0);
        ck_assert_int_eq(pass(pair[1], pair[0], NOW), 0);
        ck_assert_int_eq(link_accept(pair[0]), 0);
        ck_assert_int_eq(pass(pair[0], pair[1], NOW), 0);
        ck_assert_int_eq(link_state(pair[1]), LINK_UP);
        pair_free(pair);
}
END_TEST

/* T44: another role is another prologue */
START_TEST(a_wrong_role_ends_at_msg2) {
        LinkOptions options = options_of(RELAY);
        Link *pair[2] = { link_of(BRIDGE, NULL) };

        options.initiator_role = LINK_ROLE_RELAY;
        ck_assert_int_eq(link_new(&pair[RELAY], &options), 0);
        ck_assert_int_eq(pass(pair[BRIDGE], pair[RELAY], NOW), 0);
        ck_assert_int_eq(pass(pair[RELAY], pair[BRIDGE], NOW), LINK_E_VIOLATION);
        ck_assert_int_eq(link_state(pair[BRIDGE]), LINK_DEAD);
        pair_free(pair);
}
END_TEST

/* T44: a bridge says nothing more to a relay that is not the pinned one. */
START_TEST(an_unpinned_relay_never_gets_msg3) {
        uint8_t message[LINK_HANDSHAKE_MAX];
        Link *pair[2] = { link_of(BRIDGE, key_of(BRIDGE)), link_of(RELAY, NULL) };
        size_t n;

        ck_assert_int_eq(pass(pair[BRIDGE], pair[RELAY], NOW), 0);
        ck_assert_int_eq(pass(pair[RELAY], pair[BRIDGE], NOW), LINK_E_OTHER_KEY);
        ck_assert_int_eq(link_state(pair[BRIDGE]), LINK_DEAD);
        ck_assert(key_equal(&link_peer(pair[BRIDGE])->signer, key_of(RELAY)));
        ck_assert_int_eq(link_create(pair[BRIDGE], message, sizeof(message), &n), -EINVAL);
        ck_assert_int_eq(link_accept(pair[BRIDGE]), -EINVAL);
        pair_free(pair);
}
END_TEST

START_TEST(without_a_pin_nothing_goes_before_link_accept) {
        uint8_t message[LINK_HANDSHAKE_MAX];
        Link *pair[2] = { link_of(BRIDGE, NULL), link_of(RELAY, NULL) };
        size_t n;

        ck_assert_int_eq(link_accept(pair[BRIDGE]), -EINVAL);
        ck_assert_int_eq(pass(pair[BRIDGE], pair[RELAY], NOW), 0);
        ck_assert_int_eq(pass(pair[RELAY], pair[BRIDGE], NOW), 0);
        ck_assert_int_eq(link_create(pair[BRIDGE], message, sizeof(message), &n), -EINVAL);
        ck_assert_int_eq(link_encrypt(pair[BRIDGE], message, 1, message), -EINVAL);
        ck_assert_int_eq(link_accept(pair[BRIDGE]), 0);
        ck_assert_int_eq(pass(pair[BRIDGE], pair[RELAY], NOW), 0);

        /* The bridge is up and may send; the relay takes nothing before its owner agreed (T49). */
        ck_assert_int_eq(link_encrypt(pair[BRIDGE], message, 1, message), 0);
        ck_assert_int_eq(link_encrypt(pair[RELAY], message, 1, message), -EINVAL);
        ck_assert_int_eq(link_decrypt(pair[RELAY], message, 17, message), LINK_E_VIOLATION);
        ck_assert_int_eq(link_state(pair[RELAY]), LINK_DEAD);
        pair_free(pair);
}
END_TEST

START_TEST(a_bridge_that_is_not_the_pinned_one_is_refused) {
        Link *pair[2] = { link_of(BRIDGE, NULL), link_of(RELAY, key_of(RELAY)) };

        ck_assert_int_eq(pass(pair[BRIDGE], pair[RELAY], NOW), 0);
        ck_assert_int_eq(pass(pair[RELAY], pair[BRIDGE], NOW), 0);
        ck_assert_int_eq(link_accept(pair[BRIDGE]), 0);
        ck_assert_int_eq(pass(pair[BRIDGE], pair[RELAY], NOW), LINK_E_OTHER_KEY);
        ck_assert_int_eq(link_state(pair[RELAY]), LINK_DEAD);
        ck_assert(key_equal(&link_peer(pair[RELAY])->signer, key_of(BRIDGE)));
        pair_free(pair);
}
END_TEST

START_TEST(old_and_future_records_are_told_apart) {
        static const struct {
                uint64_t now_usec;
                int condition;
        } times[] = {
                { NOW - 6 * 60 * USEC_PER_SEC, LINK_E_CLOCK },
                { NOW + 24 * 60 * 60 * USEC_PER_SEC, LINK_E_EXPIRED },
        };

        for (unsigned i = 0; i < ELEMENTSOF(times); i++) {
                Link *pair[2] = { link_of(BRIDGE, NULL), link_of(RELAY, NULL) };

                ck_assert_int_eq(pass(pair[BRIDGE], pair[RELAY], 0), 0);
                ck_assert_int_eq(pass(pair[RELAY], pair[BRIDGE], times[i].now_usec),
                                 times[i].condition);
                ck_assert_ptr_null(link_peer(pair[BRIDGE]));
                pair_free(pair);

                pair[BRIDGE] = link_of(BRIDGE, key_of(RELAY));
                pair[RELAY] = link_of(RELAY, NULL);
                ck_assert_int_eq(pass(pair[BRIDGE], pair[RELAY], NOW), 0);
                ck_assert_int_eq(pass(pair[RELAY], pair[BRIDGE], NOW), 0);
                ck_assert_int_eq(pass(pair[BRIDGE], pair[RELAY], times[i].now_usec),
                                 times[i].condition);
                pair_free(pair);
        }
}
END_TEST

/* What an impostor has: the true record, but not its secret. */
static NoiseHandshake responder(EncryptionKey *key) {
        static const uint8_t prologue[24] = "p2pbus-link-1\0\0\0\1\0\1\2";
        NoiseHandshake hs;

        noise_init(&hs, &(NoiseOptions){
                                .pattern = NOISE_XX,
                                .initiator = false,
                                .prologue = { prologue, sizeof(prologue) },
                                .s = key,
                        });
        return hs;
}

/* T44, T45: msg2 with this payload, from a relay that proves @key. */
static int msg2_with(EncryptionKey *key, Slice payload) {
        uint8_t msg1[LINK_MSG1_SIZE], msg2[4096];
        Link *bridge = link_of(BRIDGE, NULL);
        NoiseHandshake hs = responder(key);
        size_t n;
        int c;

        ck_assert_int_eq(link_create(bridge, msg1, sizeof(msg1), &n), 0);
        ck_assert_int_eq(noise_consume(&hs, (Slice){ msg1, n }, NULL, 0, &n), 0);
        ck_assert_int_eq(noise_create(&hs, &payload, 1, msg2, sizeof(msg2), &n), 0);
        c = link_consume(bridge, msg2, n, NOW);
        ck_assert_int_eq(link_state(bridge), c == 0 ? LINK_PROVEN : LINK_DEAD);
        link_free(bridge);
        noise_done(&hs);
        return c;
}

START_TEST(a_record_counts_only_with_its_key) {
        uint8_t record[SIGNED_RECORD_SIZE_MAX + 1] = { 0 };
        size_t n = sides[RELAY].n_record;
        EncryptionKey *other = NULL;

        memcpy(record, sides[RELAY].record, n);
        ck_assert_int_eq(msg2_with(sides[RELAY].key, (Slice){ record, n }), 0);
        ck_assert_int_eq(encryption_key_new_random(&other), 0);
        ck_assert_int_eq(msg2_with(other, (Slice){ record, n }), LINK_E_RECORD);
        encryption_key_free(other);

        ck_assert_int_eq(msg2_with(sides[RELAY].key, (Slice){ record, 0 }), LINK_E_RECORD);
        ck_assert_int_eq(msg2_with(sides[RELAY].key, (Slice){ record, n - 1 }), LINK_E_RECORD);
        ck_assert_int_eq(msg2_with(sides[RELAY].key, (Slice){ record, n + 1 }), LINK_E_RECORD);
        ck_assert_int_eq(msg2_with(sides[RELAY].key, (Slice){ record, sizeof(record) }),
                         LINK_E_VIOLATION);
        ck_assert_int_eq(msg2_with(sides[BRIDGE].key,
                                   (Slice){ sides[BRIDGE].record, sides[BRIDGE].n_record }),
                         LINK_E_RECORD); /* a bridge is no relay */
        record[n - 1] ^= 1;
        ck_assert_int_eq(msg2_with(sides[RELAY].key, (Slice){ record, n }), LINK_E_RECORD);
}
END_TEST

/* T46 */
START_TEST(msg1_is_32_bytes_and_a_real_point) {
        json_t *points = vectors_load("wycheproof_x25519.json"), *p;
        uint8_t msg1[LINK_HANDSHAKE_MAX + 1] = { 9 }, out[LINK_HANDSHAKE_MAX], shared[32];
        static const size_t sizes[] = { 0, 1, 31, 33, 64, LINK_HANDSHAKE_MAX, sizeof(msg1) };
        static const uint8_t zero[32];
        size_t i, n, n_tried = 0;
        Link *relay;

        for (i = 0; i < ELEMENTSOF(sizes); i++) {
                relay = link_of(RELAY, NULL);
                ck_assert_int_eq(link_consume(relay, msg1, sizes[i], NOW), LINK_E_VIOLATION);
                ck_assert_int_eq(link_state(relay), LINK_DEAD);
                ck_assert_int_eq(link_consume(relay, msg1, 32, NOW), LINK_E_VIOLATION);
                link_free(relay);
        }
        json_array_foreach(json_object_get(points, "vectors"), i, p) {
                vectors_exactly(p, "shared", shared, 32);
                if (memcmp(shared, zero, 32) != 0)
                        continue;
                vectors_exactly(p, "public", msg1, 32);
                relay = link_of(RELAY, NULL);
                ck_assert_int_eq(link_consume(relay, msg1, 32, NOW), 0);
                ck_assert_int_eq(link_create(relay, out, sizeof(out), &n), LINK_E_VIOLATION);
                ck_assert_int_eq(link_state(relay), LINK_DEAD);
                link_free(relay);
                n_tried++;
        }
        ck_assert_uint_eq(n_tried, 31);
        json_decref(points);
}
END_TEST

/* T47 */
START_TEST(a_recorded_handshake_opens_nothing) {
        uint8_t msg1[64], msg2[LINK_HANDSHAKE_MAX], msg3[LINK_HANDSHAKE_MAX];
        Link *pair[2] = { link_of(BRIDGE, key_of(RELAY)), link_of(RELAY, NULL) };
        size_t n1, n2, n3;

        ck_assert_int_eq(link_create(pair[BRIDGE], msg1, sizeof(msg1), &n1), 0);
        ck_assert_int_eq(link_consume(pair[RELAY], msg1, n1, NOW), 0);
        ck_assert_int_eq(link_create(pair[RELAY], msg2, sizeof(msg2), &n2), 0);
        ck_assert_int_eq(link_consume(pair[BRIDGE], msg2, n2, NOW), 0);
        ck_assert_int_eq(link_create(pair[BRIDGE], msg3, sizeof(msg3), &n3), 0);
        ck_assert_int_eq(link_consume(pair[RELAY], msg3, n3, NOW), 0);
        pair_free(pair);

        pair[RELAY] = link_of(RELAY, NULL);
        ck_assert_int_eq(link_consume(pair[RELAY], msg1, n1, NOW), 0);
        ck_assert_int_eq(link_create(pair[RELAY], msg2, sizeof(msg2), &n2), 0);
        ck_assert_int_eq(link_consume(pair[RELAY], msg3, n3, NOW), LINK_E_VIOLATION);
        ck_assert_int_eq(link_state(pair[RELAY]), LINK_DEAD);
        link_free(pair[RELAY]);
}
END_TEST

START_TEST(every_changed_handshake_byte_kills_the_link) {
        uint8_t message[LINK_HANDSHAKE_MAX];
        size_t n = 1000;

        for (unsigned which = 2; which <= 3; which++)
                for (size_t at = 0; at < n; at++) {
                        Link *pair[2] = { link_of(BRIDGE, key_of(RELAY)), link_of(RELAY, NULL) };
                        Link *from = pair[which == 2 ? RELAY : BRIDGE];
                        Link *to = pair[which == 2 ? BRIDGE : RELAY];

                        ck_assert_int_eq(pass(pair[BRIDGE], pair[RELAY], NOW), 0);
                        if (which == 3)
                                ck_assert_int_eq(pass(pair[RELAY], pair[BRIDGE], NOW), 0);
                        ck_assert_int_eq(link_create(from, message, sizeof(message), &n), 0);
                        message[at] ^= (uint8_t)(1 << at % 8);
                        ck_assert_int_eq(link_consume(to, message, n, NOW), LINK_E_VIOLATION);
                        ck_assert_int_eq(link_state(to), LINK_DEAD);
                        ck_assert_ptr_null(which == 2 ? link_peer(to) : NULL);
                        pair_free(pair);
                }
}
END_TEST

static const struct {
        const char *what;
        unsigned first, second; /* the messages that are read, of two */
        size_t cut;
        unsigned flipped; /* bit of the second */
} disturbed[] = {
        { "flipped", 0, 1, 0, 1 },
        { "flipped tag", 0, 1, 0, 80 },
        { "doubled", 0, 0, 0, 0 },
        { "swapped", 1, 0, 0, 0 },
        { "one lost", 1, 1, 0, 0 },
        { "truncated", 0, 1, 1, 0 },
        { "shorter than a tag", 0, 1, 12, 0 },
        { "empty", 0, 1, 26, 0 },
};

/* T50 */
START_TEST(a_disturbed_transport_message_kills_the_link) {
        uint8_t messages[2][26], out[26];
        Link *pair[2];
        int c;

        pair_up(pair);
        for (unsigned i = 0; i < 2; i++)
                ck_assert_int_eq(
                        link_encrypt(pair[BRIDGE], (const uint8_t *)"0123456789", 10, messages[i]),
                        0);
        c = link_decrypt(pair[RELAY], messages[disturbed[_i].first], 26, out);
        if (c == 0) {
                if (disturbed[_i].flipped)
                        messages[disturbed[_i].second][disturbed[_i].flipped / 8] ^= 2;
                memset(out, 0xa5, sizeof(out));
                c = link_decrypt(pair[RELAY], messages[disturbed[_i].second],
                                 26 - disturbed[_i].cut, out);
                ck_assert_mem_ne(out, "0123456789", 10);
        }
        ck_assert_msg(c == LINK_E_VIOLATION, "%s", disturbed[_i].what);
        ck_assert_int_eq(link_state(pair[RELAY]), LINK_DEAD);
        ck_assert_int_eq(link_decrypt(pair[RELAY], messages[0], 26, out), LINK_E_VIOLATION);
        ck_assert_int_eq(link_encrypt(pair[RELAY], messages[0], 10, out), -EINVAL);
        pair_free(pair);
}
END_TEST

START_TEST(a_link_is_worn_out_after_2_32_messages) {
        uint8_t message[26], out[26];
        Link *pair[2];

        pair_up(pair);
        pair[BRIDGE]->secrets->send.counter = MESSAGES_MAX - 1;
        pair[RELAY]->secrets->receive.counter = MESSAGES_MAX - 1;
        ck_assert_int_eq(link_encrypt(pair[BRIDGE], (const uint8_t *)"0123456789", 10, message), 0);
        ck_assert_int_eq(link_decrypt(pair[RELAY], message, 26, out), 0);
        ck_assert_int_eq(link_encrypt(pair[BRIDGE], out, 10, message), LINK_E_WORN_OUT);
        ck_assert_int_eq(link_decrypt(pair[RELAY], message, 26, out), LINK_E_WORN_OUT);
        ck_assert_int_eq(link_state(pair[RELAY]), LINK_DEAD);
        pair_free(pair);
}
END_TEST

START_TEST(a_message_comes_back_to_nobody) {
        uint8_t message[26], out[26];
        Link *pair[2];

        pair_up(pair);
        ck_assert_int_eq(link_encrypt(pair[BRIDGE], (const uint8_t *)"0123456789", 10, message), 0);
        ck_assert_int_eq(link_decrypt(pair[BRIDGE], message, 26, out), LINK_E_VIOLATION);
        pair_free(pair);
}
END_TEST

START_TEST(a_forked_child_cannot_use_a_link) {
        uint8_t message[64] = { 0 }, out[64];
        Link *pair[2], *fresh = link_of(BRIDGE, NULL);
        int status;
        pid_t os_pid;

        pair_up(pair);
        os_pid = test_fork();
        if (os_pid == 0) {
                size_t n;
                bool ok = link_encrypt(pair[BRIDGE], message, 10, out) == LINK_E_FORKED &&
                          link_decrypt(pair[BRIDGE], message, 26, out) == LINK_E_FORKED &&
                          link_create(fresh, out, sizeof(out), &n) == LINK_E_FORKED;

                pair_free(pair);
                link_free(fresh);
                _exit(ok ? 0 : 1);
        }
        ck_assert_int_eq(waitpid(os_pid, &status, 0), os_pid);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        ck_assert_int_eq(link_encrypt(pair[BRIDGE], message, 10, out), 0);
        ck_assert_int_eq(link_decrypt(pair[RELAY], out, 26, out), 0);
        pair_free(pair);
        link_free(fresh);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("link");
        TCase *tcase = tcase_create("link");

        tcase_add_checked_fixture(tcase, load, unload);
        tcase_add_test(tcase, the_handshake_is_that_of_the_vectors);
        tcase_add_test(tcase, messages_of_every_size_go_both_ways_in_place);
        tcase_add_test(tcase, records_and_keys_must_belong_together);
        tcase_add_test(tcase, two_relays_can_link);
        tcase_add_test(tcase, a_wrong_role_ends_at_msg2);
        tcase_add_test(tcase, an_unpinned_relay_never_gets_msg3);
        tcase_add_test(tcase, without_a_pin_nothing_goes_before_link_accept);
        tcase_add_test(tcase, a_bridge_that_is_not_the_pinned_one_is_refused);
        tcase_add_test(tcase, old_and_future_records_are_told_apart);
        tcase_add_test(tcase, a_record_counts_only_with_its_key);
        tcase_add_test(tcase, msg1_is_32_bytes_and_a_real_point);
        tcase_add_test(tcase, a_recorded_handshake_opens_nothing);
        tcase_add_test(tcase, every_changed_handshake_byte_kills_the_link);
        tcase_add_loop_test(tcase, a_disturbed_transport_message_kills_the_link, 0,
                            ELEMENTSOF(disturbed));
        tcase_add_test(tcase, a_link_is_worn_out_after_2_32_messages);
        tcase_add_test(tcase, a_message_comes_back_to_nobody);
        tcase_add_test(tcase, a_forked_child_cannot_use_a_link);
        suite_add_tcase(suite, tcase);
        return suite;
}
