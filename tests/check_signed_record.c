/* SPDX-License-Identifier: Apache-2.0 */

#include "libsecure/signed-record.h"

#include <errno.h>
#include <string.h>

#include "libcore/util.h"
#include "libsecure/signed-answer.h"
#include "tests/main.h"
#include "tests/vectors.h"

#define NOW UINT64_C(0x0006474846204000) /* when the vectors were issued */
#define MINUTE_USEC (60 * USEC_PER_SEC)

static const struct {
        const char *path, *signer;
        SignedRecordType type;
        uint64_t life_max_usec;
} vectors[] = {
        { "records/lease_A", "A_process", SIGNED_RECORD_LEASE, 24 * 60 * MINUTE_USEC },
        { "records/presence_BR", "BR_bridge", SIGNED_RECORD_PRESENCE, 10 * MINUTE_USEC },
        { "records/relay_RL", "RL_relay", SIGNED_RECORD_RELAY, 10 * MINUTE_USEC },
        { "records/service_A", "A_process", SIGNED_RECORD_SERVICE, 24 * 60 * MINUTE_USEC },
        { "records/grant_A", "RM_realm", SIGNED_RECORD_GRANT, 400 * 24 * 60 * MINUTE_USEC },
        { "records/tomb_A", "A_process", SIGNED_RECORD_TOMB, 0 },
};

static json_t *json;

static void load(void) {
        json = vectors_load("p2pbus-draft.json");
}

static void unload(void) {
        json_decref(json);
}

static IdentityKey *identity_of(const char *name) {
        IdentityKey *identity = NULL;
        uint8_t seed[32];

        vectors_exactly(json_object_get(json_object_get(json, "identities"), name), "seed", seed,
                        sizeof(seed));
        ck_assert_int_eq(identity_new_from_seed(&identity, seed), 0);
        return identity;
}

static size_t record_of(const char *path, uint8_t out[static SIGNED_RECORD_SIZE_MAX]) {
        return vectors_bytes(json, path, out, SIGNED_RECORD_SIZE_MAX);
}

static int verify_at(const uint8_t *data, size_t n, uint64_t now_usec, SignedRecord *ret) {
        return signed_record_verify(data, n, &(SignedRecordCheck){ .now_usec = now_usec }, ret);
}

START_TEST(each_type_verifies_and_is_written_again_byte_by_byte) {
        uint8_t bytes[SIGNED_RECORD_SIZE_MAX], again[SIGNED_RECORD_SIZE_MAX];
        IdentityKey *signer = identity_of(vectors[_i].signer);
        size_t n = record_of(vectors[_i].path, bytes), n_again, size;
        SignedRecord record;

        ck_assert_int_eq(verify_at(bytes, n, NOW + 1, &record), 0);
        ck_assert_int_eq(record.type, vectors[_i].type);
        ck_assert_uint_eq(record.issued_usec, NOW);
        ck_assert(key_equal(&record.signer, identity_public(signer)));
        ck_assert_int_eq(signed_record_size(bytes, n, &size), 0);
        ck_assert_uint_eq(size, n);

        ck_assert_int_eq(signed_record_sign(&record, signer, again, sizeof(again), &n_again), 0);
        ck_assert_uint_eq(n_again, n);
        ck_assert_mem_eq(again, bytes, n);
        ck_assert_int_eq(signed_record_sign(&record, signer, again, n - 1, &n_again), -ENOBUFS);
        ck_assert_int_eq(signed_record_sign(&record, signer, again, n, &n_again), 0);
        identity_free(signer);
}
END_TEST

START_TEST(the_fields_are_where_the_table_says) {
        uint8_t bytes[SIGNED_RECORD_SIZE_MAX], key[32];
        SignedRecord r;

        ck_assert_int_eq(verify_at(bytes, record_of("records/lease_A", bytes), NOW, &r), 0);
        vectors_exactly(json, "identities/A_process/enc_pk", key, 32);
        ck_assert_mem_eq(r.lease.encpk, key, 32);
        vectors_exactly(json, "identities/BR_bridge/pk", key, 32);
        ck_assert_mem_eq(r.lease.bridge.bytes, key, 32);
        ck_assert_uint_eq(r.lease.flags, LEASE_MAY_QUEUE);
        ck_assert_uint_eq(r.not_after_usec - r.issued_usec, SIGNED_RECORD_LEASE_LIFE_USEC);
        ck_assert_uint_eq(r.lease.enc_until_usec - r.issued_usec, 14 * 24 * 60 * MINUTE_USEC);

        ck_assert_int_eq(verify_at(bytes, record_of("records/presence_BR", bytes), NOW, &r), 0);
        vectors_exactly(json, "identities/BR_bridge/enc_pk", key, 32);
        ck_assert_mem_eq(r.presence.encpk, key, 32);
        ck_assert_uint_eq(r.presence.n_relays, 1);
        vectors_exactly(json, "identities/RL_relay/pk", key, 32);
        ck_assert_mem_eq(r.presence.relays[0].bytes, key, 32);

        ck_assert_int_eq(verify_at(bytes, record_of("records/relay_RL", bytes), NOW, &r), 0);
        vectors_exactly(json, "identities/RL_relay/enc_pk", key, 32);
        ck_assert_mem_eq(r.relay.encpk, key, 32);
        ck_assert_uint_eq(r.relay.flags, 0);
        ck_assert_uint_eq(r.relay.max_frame, 1048576);
        ck_assert_uint_eq(r.relay.n_urls, 1);
        ck_assert_uint_eq(r.relay.urls[0].size, strlen("wss://relay1.example.net/p2pbus"));
        ck_assert_mem_eq(r.relay.urls[0].data, "wss://relay1.example.net/p2pbus",
                         r.relay.urls[0].size);

        ck_assert_int_eq(verify_at(bytes, record_of("records/service_A", bytes), NOW, &r), 0);
        ck_assert_uint_eq(r.service.priority, 10);
        ck_assert_uint_eq(r.service.weight, 100);
        ck_assert_uint_eq(r.service.name.size, strlen("org.example.db"));
        ck_assert_mem_eq(r.service.name.data, "org.example.db", r.service.name.size);
        ck_assert_uint_eq(r.service.meta.size, 0);

        ck_assert_int_eq(verify_at(bytes, record_of("records/grant_A", bytes), NOW, &r), 0);
        vectors_exactly(json, "identities/A_process/pk", key, 32);
        ck_assert_mem_eq(r.grant.subject.bytes, key, 32);
        ck_assert_uint_eq(r.grant.rights, 1);
        ck_assert_mem_eq(r.grant.pattern.data, "org.example.*", r.grant.pattern.size);

        ck_assert_int_eq(verify_at(bytes, record_of("records/tomb_A", bytes), NOW, &r), 0);
        ck_assert_uint_eq(r.not_after_usec, USEC_NEVER);
        ck_assert_uint_eq(r.tomb.reason, 1);
        ck_assert(key_is_zero(&r.tomb.successor));
}
END_TEST

/* T34 */
START_TEST(every_flipped_bit_is_refused) {
        uint8_t bytes[SIGNED_RECORD_SIZE_MAX];
        size_t n = record_of(vectors[_i].path, bytes);
        SignedRecord record = { .flags = 77 };

        for (size_t bit = 0; bit < n * 8; bit++) {
                bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
                ck_assert_msg(verify_at(bytes, n, NOW, &record) > 0, "bit %zu", bit);
                bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        ck_assert_uint_eq(record.flags, 77);
        ck_assert_int_eq(verify_at(bytes, n, NOW, &record), 0);
}
END_TEST

START_TEST(every_other_length_is_refused) {
        uint8_t bytes[SIGNED_RECORD_SIZE_MAX + 1] = { 0 };
        size_t n = record_of(vectors[_i].path, bytes);
        static const uint16_t lies[] = { 0, 1, 56, 119, 120, 199, 201, 1024, 1025, 65535 };
        SignedRecord record;

        for (size_t cut = 0; cut < n; cut++) {
                ck_assert_int_eq(verify_at(bytes, cut, NOW, &record), SIGNED_RECORD_E_MALFORMED);
                if (cut >= 4) { /* and with a len that fits */
                        uint8_t honest[SIGNED_RECORD_SIZE_MAX];

                        memcpy(honest, bytes, cut);
                        store_le16(honest + 2, (uint16_t)cut);
                        ck_assert_int_gt(verify_at(honest, cut, NOW, &record), 0);
                }
        }
        ck_assert_int_eq(verify_at(bytes, n + 1, NOW, &record), SIGNED_RECORD_E_MALFORMED);
        for (unsigned i = 0; i < ELEMENTSOF(lies); i++) {
                if (lies[i] == n)
                        continue;
                store_le16(bytes + 2, lies[i]);
                ck_assert_int_eq(verify_at(bytes, n, NOW, &record), SIGNED_RECORD_E_MALFORMED);
                ck_assert_int_gt(verify_at(bytes, sizeof(bytes), NOW, &record), 0);
        }
        store_le16(bytes + 2, (uint16_t)(n + 1)); /* a byte more inside */
        ck_assert_int_eq(verify_at(bytes, n + 1, NOW, &record), SIGNED_RECORD_E_MALFORMED);
}
END_TEST

START_TEST(the_size_of_the_next_record_is_never_beyond_the_data) {
        uint8_t bytes[SIGNED_RECORD_SIZE_MAX];
        size_t n = record_of("records/lease_A", bytes), size = 77;

        for (size_t cut = 0; cut < n; cut++)
                ck_assert_int_eq(signed_record_size(bytes, cut, &size), SIGNED_RECORD_E_MALFORMED);
        ck_assert_uint_eq(size, 77);
        ck_assert_int_eq(signed_record_size(bytes, sizeof(bytes), &size), 0);
        ck_assert_uint_eq(size, n);
}
END_TEST

/* T35 */
START_TEST(times_are_judged_before_the_signature) {
        uint8_t bytes[SIGNED_RECORD_SIZE_MAX];
        size_t n = record_of(vectors[_i].path, bytes);
        SignedRecord r;

        ck_assert_int_eq(verify_at(bytes, n, NOW - 5 * MINUTE_USEC, &r), 0);
        ck_assert_int_eq(verify_at(bytes, n, NOW - 5 * MINUTE_USEC - 1, &r), SIGNED_RECORD_E_CLOCK);
        ck_assert_int_eq(verify_at(bytes, n, 0, &r), SIGNED_RECORD_E_CLOCK);
        if (vectors[_i].type == SIGNED_RECORD_TOMB) {
                ck_assert_int_eq(verify_at(bytes, n, USEC_NEVER - 1, &r), 0);
                return;
        }
        ck_assert_int_eq(verify_at(bytes, n, NOW, &r), 0);
        ck_assert_int_eq(verify_at(bytes, n, r.not_after_usec - 1, &r), 0);
        ck_assert_int_eq(verify_at(bytes, n, r.not_after_usec, &r), SIGNED_RECORD_E_EXPIRED);
        ck_assert_int_eq(verify_at(bytes, n, USEC_NEVER, &r), SIGNED_RECORD_E_EXPIRED);
        ck_assert_int_eq(
                signed_record_verify(bytes, n,
                                     &(SignedRecordCheck){
                                             .now_usec = r.not_after_usec + 5 * MINUTE_USEC - 1,
                                             .slack_usec = 5 * MINUTE_USEC,
                                     },
                                     &r),
                0);
        ck_assert_int_eq(
                signed_record_verify(bytes, n,
                                     &(SignedRecordCheck){
                                             .now_usec = r.not_after_usec + 5 * MINUTE_USEC,
                                             .slack_usec = 5 * MINUTE_USEC,
                                     },
                                     &r),
                SIGNED_RECORD_E_EXPIRED);
}
END_TEST

START_TEST(no_record_lives_longer_than_its_type_may) {
        uint8_t bytes[SIGNED_RECORD_SIZE_MAX];
        IdentityKey *signer = identity_of(vectors[_i].signer);
        size_t n = record_of(vectors[_i].path, bytes);
        uint64_t max = vectors[_i].life_max_usec;
        SignedRecord r;

        ck_assert_int_eq(verify_at(bytes, n, NOW, &r), 0);
        if (vectors[_i].type == SIGNED_RECORD_TOMB) {
                r.not_after_usec--;
                ck_assert_int_eq(signed_record_sign(&r, signer, bytes, sizeof(bytes), &n), -EINVAL);
                identity_free(signer);
                return;
        }
        r.not_after_usec = r.issued_usec + max;
        ck_assert_int_eq(signed_record_sign(&r, signer, bytes, sizeof(bytes), &n), 0);
        ck_assert_int_eq(verify_at(bytes, n, NOW, &r), 0);

        store_le64(bytes + 16, NOW + max + 1);
        ck_assert_int_eq(verify_at(bytes, n, NOW, &r), SIGNED_RECORD_E_MALFORMED);
        store_le64(bytes + 16, USEC_NEVER);
        ck_assert_int_eq(verify_at(bytes, n, NOW, &r), SIGNED_RECORD_E_MALFORMED);
        store_le64(bytes + 16, NOW);
        ck_assert_int_eq(verify_at(bytes, n, NOW, &r), SIGNED_RECORD_E_MALFORMED);
        store_le64(bytes + 16, NOW - 1);
        ck_assert_int_eq(verify_at(bytes, n, NOW, &r), SIGNED_RECORD_E_MALFORMED);

        r.not_after_usec = r.issued_usec + max + 1;
        ck_assert_int_eq(signed_record_sign(&r, signer, bytes, sizeof(bytes), &n), -EINVAL);
        identity_free(signer);
}
END_TEST

START_TEST(a_transient_lease_lives_five_minutes) {
        IdentityKey *signer = identity_of("A_process");
        uint8_t bytes[SIGNED_RECORD_SIZE_MAX];
        SignedRecord r = {
                .type = SIGNED_RECORD_LEASE,
                .issued_usec = NOW,
                .not_after_usec = NOW + SIGNED_RECORD_TRANSIENT_LIFE_USEC,
                .lease.flags = LEASE_TRANSIENT,
        };
        size_t n;

        ck_assert_int_eq(signed_record_sign(&r, signer, bytes, sizeof(bytes), &n), 0);
        ck_assert_int_eq(verify_at(bytes, n, NOW, &r), 0);
        r.not_after_usec++;
        ck_assert_int_eq(signed_record_sign(&r, signer, bytes, sizeof(bytes), &n), -EINVAL);
        identity_free(signer);
}
END_TEST

START_TEST(a_signature_is_the_signer_s_own) {
        IdentityKey *b = identity_of("B_process");
        uint8_t bytes[SIGNED_RECORD_SIZE_MAX];
        size_t n = record_of("records/lease_A", bytes);
        SignedRecord r;

        memcpy(bytes + 24, identity_public(b)->bytes, 32); /* T36 */
        ck_assert_int_eq(verify_at(bytes, n, NOW, &r), SIGNED_RECORD_E_SIGNATURE);
        identity_free(b);
}
END_TEST

/* T37, T38, T39 */
START_TEST(the_later_issue_wins_whatever_comes_first) {
        IdentityKey *signer = identity_of("A_process");
        uint8_t older[SIGNED_RECORD_SIZE_MAX], newer[SIGNED_RECORD_SIZE_MAX],
                withdrawn[SIGNED_RECORD_SIZE_MAX], tomb[SIGNED_RECORD_SIZE_MAX];
        size_t n = record_of("records/lease_A", older), n_newer, n_withdrawn, n_tomb;
        SignedRecord r;

        ck_assert_int_eq(verify_at(older, n, NOW, &r), 0);
        r.issued_usec++;
        ck_assert_int_eq(signed_record_sign(&r, signer, newer, sizeof(newer), &n_newer), 0);
        r.issued_usec++;
        r.flags = SIGNED_RECORD_WITHDRAWN;
        ck_assert_int_eq(signed_record_sign(&r, signer, withdrawn, sizeof(withdrawn), &n_withdrawn),
                         -EINVAL); /* it still names a bridge */
        memset(&r.lease.bridge, 0, sizeof(r.lease.bridge));
        ck_assert_int_eq(signed_record_sign(&r, signer, withdrawn, sizeof(withdrawn), &n_withdrawn),
                         0);
        n_tomb = record_of("records/tomb_A", tomb);

        const Slice order[] = {
                { older, n }, { newer, n_newer }, { withdrawn, n_withdrawn }, { tomb, n_tomb }
        };
        for (unsigned a = 0; a < ELEMENTSOF(order); a++)
                for (unsigned b = 0; b < ELEMENTSOF(order); b++) {
                        ck_assert_int_eq(signed_record_supersedes(order[a], order[b]), a > b);
                        ck_assert_int_eq(signed_record_verify(order[a].data, order[a].size,
                                                              &(SignedRecordCheck){
                                                                      .now_usec = NOW,
                                                                      .held = order[b],
                                                              },
                                                              &r),
                                         a > b ? 0 : SIGNED_RECORD_E_HELD);
                }
        identity_free(signer);
}
END_TEST

START_TEST(of_two_issued_at_once_all_keep_the_same) {
        IdentityKey *signer = identity_of("A_process");
        uint8_t first[SIGNED_RECORD_SIZE_MAX], second[SIGNED_RECORD_SIZE_MAX], h[2][32];
        size_t n = record_of("records/lease_A", first), n_second;
        SignedRecord r;
        bool first_wins;

        ck_assert_int_eq(verify_at(first, n, NOW, &r), 0);
        r.lease.flags = 0;
        ck_assert_int_eq(signed_record_sign(&r, signer, second, sizeof(second), &n_second), 0);
        first_wins = signed_record_supersedes((Slice){ first, n }, (Slice){ second, n_second });
        ck_assert(first_wins !=
                  signed_record_supersedes((Slice){ second, n_second }, (Slice){ first, n }));
        crypto_blake2b(h[0], 32, &(Slice){ first, n }, 1);
        crypto_blake2b(h[1], 32, &(Slice){ second, n_second }, 1);
        ck_assert_int_eq(first_wins, memcmp(h[0], h[1], 32) > 0);
        ck_assert(!signed_record_supersedes((Slice){ first, n }, (Slice){ first, n }));
        identity_free(signer);
}
END_TEST

/* T40 */
START_TEST(a_record_is_nothing_but_its_own_type) {
        uint8_t bytes[SIGNED_RECORD_SIZE_MAX];
        size_t n = record_of(vectors[_i].path, bytes);
        SignedRecord r;

        for (unsigned type = 1; type < _SIGNED_RECORD_TYPE_MAX; type++) {
                ck_assert_int_eq(signed_record_verify(
                                         bytes, n,
                                         &(SignedRecordCheck){ .type = type, .now_usec = NOW }, &r),
                                 type == vectors[_i].type ? 0 : SIGNED_RECORD_E_MALFORMED);
                if (type != vectors[_i].type) {
                        bytes[0] = (uint8_t)type;
                        ck_assert_int_gt(verify_at(bytes, n, NOW, &r), 0);
                        bytes[0] = vectors[_i].type;
                }
        }
}
END_TEST

/* T42, and the other limits of the tables */
static const struct {
        const char *what, *path;
        size_t at;
        uint8_t value[4];
        size_t n;
} bad[] = {
        { "version 2", "records/lease_A", 1, { 2 }, 1 },
        { "suite 2", "records/lease_A", 4, { 2 }, 1 },
        { "unknown rflag", "records/lease_A", 5, { 2 }, 1 },
        { "zero field of the envelope", "records/lease_A", 6, { 1 }, 1 },
        { "type 0", "records/lease_A", 0, { 0 }, 1 },
        { "type 7", "records/lease_A", 0, { 7 }, 1 },
        { "type 255", "records/lease_A", 0, { 255 }, 1 },
        { "withdrawn with a bridge", "records/lease_A", 5, { 1 }, 1 },
        { "zero field of a lease", "records/lease_A", 135, { 1 }, 1 },
        { "9 relays", "records/presence_BR", 88, { 9 }, 1 },
        { "65535 relays", "records/presence_BR", 88, { 255, 255 }, 2 },
        { "no relays, but 32 bytes of them", "records/presence_BR", 88, { 0 }, 1 },
        { "2 relays", "records/presence_BR", 88, { 2 }, 1 },
        { "zero field of a presence", "records/presence_BR", 90, { 1 }, 1 },
        { "nurl 5", "records/relay_RL", 98, { 5 }, 1 },
        { "nurl 65535", "records/relay_RL", 98, { 255, 255 }, 2 },
        { "nurl 0 with a URL", "records/relay_RL", 98, { 0 }, 1 },
        { "nurl 2 with one URL", "records/relay_RL", 98, { 2 }, 1 },
        { "reserved flag of a relay", "records/relay_RL", 88, { 2 }, 1 },
        { "load 1001", "records/relay_RL", 96, { 0xe9, 0x03 }, 2 },
        { "zero field of a relay", "records/relay_RL", 100, { 1 }, 1 },
        { "URL longer than the record", "records/relay_RL", 104, { 255, 255 }, 2 },
        { "URL one byte longer", "records/relay_RL", 104, { 32 }, 1 },
        { "URL one byte shorter", "records/relay_RL", 104, { 30 }, 1 },
        { "URL empty", "records/relay_RL", 104, { 0 }, 1 },
        { "URL of another scheme", "records/relay_RL", 106, { 'x' }, 1 },
        { "URL with CR LF", "records/relay_RL", 120, { '\r', '\n' }, 2 },
        { "URL with a space", "records/relay_RL", 120, { ' ' }, 1 },
        { "URL with a NUL", "records/relay_RL", 120, { 0 }, 1 },
        { "URL with a high byte", "records/relay_RL", 120, { 0xc3 }, 1 },
        { "name of 255", "records/service_A", 64, { 255 }, 1 },
        { "name of 0", "records/service_A", 64, { 0 }, 1 },
        { "meta that is not there", "records/service_A", 66, { 1 }, 1 },
        { "meta over 512", "records/service_A", 66, { 1, 2 }, 2 },
        { "name with a capital", "records/service_A", 72, { 'O' }, 1 },
        { "name that begins with a digit", "records/service_A", 72, { '1' }, 1 },
        { "name with two dots", "records/service_A", 74, { '.' }, 1 },
        { "name that ends in a dot", "records/service_A", 85, { '.' }, 1 },
        { "name with a quote", "records/service_A", 80, { '\'' }, 1 },
        { "pattern that is not there", "records/grant_A", 92, { 14 }, 1 },
        { "pattern with a space", "records/grant_A", 97, { ' ' }, 1 },
        { "zero field of a tomb", "records/tomb_A", 60, { 1 }, 1 },
};

START_TEST(what_the_table_forbids_is_malformed) {
        uint8_t bytes[SIGNED_RECORD_SIZE_MAX];
        size_t n = record_of(bad[_i].path, bytes);
        SignedRecord r;

        memcpy(bytes + bad[_i].at, bad[_i].value, bad[_i].n);
        ck_assert_msg(verify_at(bytes, n, NOW, &r) == SIGNED_RECORD_E_MALFORMED, "%s",
                      bad[_i].what);
}
END_TEST

START_TEST(what_others_may_not_send_we_do_not_sign) {
        IdentityKey *signer = identity_of("A_process");
        static const char url[] = "ws://relay.example/", big[1024] = "ws://";
        uint8_t bytes[SIGNED_RECORD_SIZE_MAX];
        SignedRecord r = {
                .type = SIGNED_RECORD_RELAY,
                .issued_usec = NOW,
                .not_after_usec = NOW + SIGNED_RECORD_RELAY_LIFE_USEC,
                .relay = { .n_urls = 1, .urls = { { url, strlen(url) } } },
        };
        size_t n;

        ck_assert_int_eq(signed_record_sign(&r, signer, bytes, sizeof(bytes), &n), 0);
        r.relay.n_urls = 5;
        ck_assert_int_eq(signed_record_sign(&r, signer, bytes, sizeof(bytes), &n), -EINVAL);
        r.relay.n_urls = 1;
        r.relay.urls[0] = (Slice){ big, sizeof(big) };
        ck_assert_int_eq(signed_record_sign(&r, signer, bytes, sizeof(bytes), &n), -EINVAL);
        r.relay.urls[0] = (Slice){ "http://x", 8 };
        ck_assert_int_eq(signed_record_sign(&r, signer, bytes, sizeof(bytes), &n), -EINVAL);
        r.type = 0;
        ck_assert_int_eq(signed_record_sign(&r, signer, bytes, sizeof(bytes), &n), -EINVAL);
        r.type = _SIGNED_RECORD_TYPE_MAX;
        ck_assert_int_eq(signed_record_sign(&r, signer, bytes, sizeof(bytes), &n), -EINVAL);
        r = (SignedRecord){
                .type = SIGNED_RECORD_PRESENCE,
                .issued_usec = NOW,
                .not_after_usec = NOW + SIGNED_RECORD_PRESENCE_LIFE_USEC,
                .presence.n_relays = 9,
        };
        ck_assert_int_eq(signed_record_sign(&r, signer, bytes, sizeof(bytes), &n), -EINVAL);
        r.presence.n_relays = 8;
        ck_assert_int_eq(signed_record_sign(&r, signer, bytes, sizeof(bytes), &n), 0);
        ck_assert_uint_eq(n, 160 + 8 * 32);
        identity_free(signer);
}
END_TEST

static const struct {
        const char *path;
        SignedAnswerType type;
        uint16_t code;
        uint32_t ref;
} answers[] = {
        { "e2e/nack", SIGNED_ANSWER_NACK, NACK_NO_SESSION, 0x55667788 },
        { "e2e/receipt", SIGNED_ANSWER_RECEIPT, 0, 0 },
};

START_TEST(answers_are_those_of_the_vectors) {
        IdentityKey *a = identity_of("A_process"), *b = identity_of("B_process");
        Pid src = identity_hash(a)->address.pid, dst = identity_hash(b)->address.pid;
        uint8_t bytes[SIGNED_ANSWER_SIZE + SIGNED_RECORD_LEASE_SIZE + 1] = { 0 },
                                                                      again[SIGNED_ANSWER_SIZE];
        SignedAnswer answer = { .ref = 77 };

        vectors_exactly(json, answers[_i].path, bytes, SIGNED_ANSWER_SIZE);
        ck_assert_int_eq(signed_answer_verify(bytes, SIGNED_ANSWER_SIZE, src, dst, &answer), 0);
        ck_assert_int_eq(answer.type, answers[_i].type);
        ck_assert_uint_eq(answer.code, answers[_i].code);
        ck_assert_uint_eq(answer.ref, answers[_i].ref);
        ck_assert(key_equal(&answer.key, identity_public(b)));
        ck_assert_int_eq(signed_answer_sign(&answer, b, src, dst, again), 0);
        ck_assert_mem_eq(again, bytes, sizeof(again));

        /* T68, T81: another pair of processes, other bits, other lengths, the other type */
        answer.ref = 77;
        ck_assert_int_eq(signed_answer_verify(bytes, SIGNED_ANSWER_SIZE, dst, src, &answer),
                         SIGNED_ANSWER_E_SIGNATURE);
        for (size_t bit = 0; bit < SIGNED_ANSWER_SIZE * 8; bit++) {
                bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
                ck_assert_int_gt(signed_answer_verify(bytes, SIGNED_ANSWER_SIZE, src, dst, &answer),
                                 0);
                bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t n = 0; n < sizeof(bytes); n++)
                if (n != SIGNED_ANSWER_SIZE && (answers[_i].type != SIGNED_ANSWER_NACK ||
                                                n != SIGNED_ANSWER_SIZE + SIGNED_RECORD_LEASE_SIZE))
                        ck_assert_int_eq(signed_answer_verify(bytes, n, src, dst, &answer),
                                         SIGNED_ANSWER_E_MALFORMED);
        bytes[0] ^= SIGNED_ANSWER_NACK ^ SIGNED_ANSWER_RECEIPT;
        ck_assert_int_gt(signed_answer_verify(bytes, SIGNED_ANSWER_SIZE, src, dst, &answer), 0);
        ck_assert_uint_eq(answer.ref, 77);
        identity_free(a);
        identity_free(b);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("signed_record");
        TCase *tcase = tcase_create("signed_record");
        int n = ELEMENTSOF(vectors);

        tcase_add_checked_fixture(tcase, load, unload);
        tcase_add_loop_test(tcase, each_type_verifies_and_is_written_again_byte_by_byte, 0, n);
        tcase_add_test(tcase, the_fields_are_where_the_table_says);
        tcase_add_loop_test(tcase, every_flipped_bit_is_refused, 0, n);
        tcase_add_loop_test(tcase, every_other_length_is_refused, 0, n);
        tcase_add_test(tcase, the_size_of_the_next_record_is_never_beyond_the_data);
        tcase_add_loop_test(tcase, times_are_judged_before_the_signature, 0, n);
        tcase_add_loop_test(tcase, no_record_lives_longer_than_its_type_may, 0, n);
        tcase_add_test(tcase, a_transient_lease_lives_five_minutes);
        tcase_add_test(tcase, a_signature_is_the_signer_s_own);
        tcase_add_test(tcase, the_later_issue_wins_whatever_comes_first);
        tcase_add_test(tcase, of_two_issued_at_once_all_keep_the_same);
        tcase_add_loop_test(tcase, a_record_is_nothing_but_its_own_type, 0, n);
        tcase_add_loop_test(tcase, what_the_table_forbids_is_malformed, 0, ELEMENTSOF(bad));
        tcase_add_test(tcase, what_others_may_not_send_we_do_not_sign);
        tcase_add_loop_test(tcase, answers_are_those_of_the_vectors, 0, ELEMENTSOF(answers));
        suite_add_tcase(suite, tcase);
        return suite;
}
