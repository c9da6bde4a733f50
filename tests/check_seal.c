/* SPDX-License-Identifier: Apache-2.0 */

#include "libsecure/seal.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcore/util.h"
#include "libsecure/noise.h"
#include "libsecure/seen.h"
#include "tests/main.h"
#include "tests/vectors.h"

#define NOW UINT64_C(0x0006474846204000)
#define MINUTE_USEC (60 * USEC_PER_SEC)
#define A 0
#define B 1

/* Two processes of the vectors; each sealer holds the key that its lease certifies. */
typedef struct Side {
        IdentityKey *identity;
        Sealer *sealer;
        uint8_t lease[SIGNED_RECORD_LEASE_SIZE];
        SignedRecord record;
} Side;

static json_t *json;
static Side sides[2];
static uint8_t header[PACKET_HEADER_SIZE], sealed[PACKET_PAYLOAD_MAX], opened[PACKET_PAYLOAD_MAX];
static size_t n_sealed, n_opened;
static SealedSender sender;

static void side_load(Side *side, const char *name, const char *lease) {
        const json_t *v = json_object_get(json_object_get(json, "identities"), name);
        EncryptionKey *key = NULL;
        uint8_t secret[32];

        vectors_exactly(v, "seed", secret, 32);
        ck_assert_int_eq(identity_new_from_seed(&side->identity, secret), 0);
        ck_assert_int_eq(sealer_new(&side->sealer, side->identity, NOW), 0);
        vectors_exactly(v, "enc_sk", secret, 32);
        ck_assert_int_eq(encryption_key_new_from_secret(&key, secret), 0);
        ck_assert_int_eq(sealer_add_key(side->sealer, key), 0);
        vectors_exactly(json, lease, side->lease, sizeof(side->lease));
        ck_assert_int_eq(sealer_set_lease(side->sealer, side->lease, sizeof(side->lease)), 0);
        ck_assert_int_eq(signed_record_decode(side->lease, sizeof(side->lease), &side->record), 0);
}

static void load(void) {
        json = vectors_load("p2pbus-draft.json");
        side_load(&sides[A], "A_process", "records/lease_A");
        side_load(&sides[B], "B_process", "records/lease_B");
}

static void unload(void) {
        for (unsigned i = 0; i < 2; i++) {
                sides[i].sealer = sealer_free(sides[i].sealer);
                sides[i].identity = identity_free(sides[i].identity);
        }
        json_decref(json);
}

/* Writes the header of A's packet @unique to B. */
static void header_make(uint64_t sent_at_usec, uint64_t unique, uint64_t deadline_usec) {
        packet_header_encode(
                &(PacketHeader){
                        .size = PACKET_HEADER_SIZE,
                        .src = identity_hash(sides[A].identity)->address,
                        .dst = identity_hash(sides[B].identity)->address,
                        .id = packet_id_make(sent_at_usec, unique),
                        .deadline_usec = deadline_usec,
                        .kind = PACKET_SEALED,
                },
                header);
}

static int seal(const char *content, uint64_t now_usec) {
        return seal_one(sides[A].sealer, header, &sides[B].record,
                        (Slice){ content, strlen(content) }, now_usec, sealed, sizeof(sealed),
                        &n_sealed);
}

static int unseal(uint64_t now_usec) {
        return open_one(sides[B].sealer, header, (Slice){ sealed, n_sealed }, now_usec, opened,
                        sizeof(opened), &n_opened, &sender);
}

/* From A to B, all at one time. */
static int send_at(uint64_t sent_at_usec, uint64_t unique, uint64_t deadline_usec,
                   uint64_t now_usec) {
        header_make(sent_at_usec, unique, deadline_usec);
        ck_assert_int_eq(seal("content", sent_at_usec), 0);
        return unseal(now_usec);
}

START_TEST(a_sealed_packet_is_that_of_the_vectors) {
        uint8_t aad[72], e[32], want[512];
        size_t n_want = vectors_bytes(json, "e2e/one/sealed", want, sizeof(want));

        vectors_exactly(json, "e2e/one/aad", aad, sizeof(aad));
        memset(header, 0, sizeof(header)); /* what hops may change is not covered */
        memcpy(header + PACKET_AUTHENTICATED_AT, aad + 16, 56);
        vectors_exactly(json, "e2e/e_A", e, 32);
        fixed_random_push(e);
        ck_assert_int_eq(seal("hello, p2pbus", NOW), 0);
        ck_assert_uint_eq(fixed_random_left(), 0);
        ck_assert_uint_eq(n_sealed, n_want);
        ck_assert_mem_eq(sealed, want, n_want);

        ck_assert_int_eq(unseal(NOW), 0);
        ck_assert_uint_eq(n_opened, 13);
        ck_assert_mem_eq(opened, "hello, p2pbus", 13);
        ck_assert(key_equal(&sender.key, identity_public(sides[A].identity)));
        ck_assert_mem_eq(sender.hash.kid, identity_hash(sides[A].identity)->kid, KEY_ID_SIZE);
        ck_assert_mem_eq(sender.lease_bytes, sides[A].lease, sizeof(sides[A].lease));
        ck_assert_mem_eq(sender.lease.lease.encpk, sides[A].record.lease.encpk, 32);
}
END_TEST

START_TEST(every_size_up_to_the_largest_packet) {
        static const size_t some[] = { 0, 1, 63, 64, 65, 4096, 61440, SEAL_CONTENT_MAX };
        static uint8_t content[SEAL_CONTENT_MAX + 1];

        for (size_t i = 0; i < sizeof(content); i++)
                content[i] = (uint8_t)(i * 11);
        for (unsigned i = 0; i < ELEMENTSOF(some); i++) {
                header_make(NOW, i, NOW + MINUTE_USEC);
                ck_assert_int_eq(seal_one(sides[A].sealer, header, &sides[B].record,
                                          (Slice){ content, some[i] }, NOW, sealed, sizeof(sealed),
                                          &n_sealed),
                                 0);
                ck_assert_uint_eq(n_sealed, some[i] + SEAL_OVERHEAD);
                ck_assert_int_eq(unseal(NOW), 0);
                ck_assert_uint_eq(n_opened, some[i]);
                ck_assert_mem_eq(opened, content, some[i]);
        }
        ck_assert_int_eq(seal_one(sides[A].sealer, header, &sides[B].record,
                                  (Slice){ content, SEAL_CONTENT_MAX + 1 }, NOW, sealed,
                                  sizeof(sealed), &n_sealed),
                         -EMSGSIZE);
        ck_assert_int_eq(seal_one(sides[A].sealer, header, &sides[B].record, (Slice){ content, 10 },
                                  NOW, sealed, SEAL_OVERHEAD + 9, &n_sealed),
                         -ENOBUFS);
}
END_TEST

START_TEST(only_our_own_packets_to_the_right_peer_are_sealed) {
        header_make(NOW, 1, 0);
        ck_assert_int_eq(seal("x", NOW), 0);
        for (unsigned at = 16; at < 40; at++) {
                header[at] ^= 1;
                ck_assert_int_eq(seal("x", NOW), -EINVAL);
                header[at] ^= 1;
        }
        header_make(NOW, 1, NOW - 1);
        ck_assert_int_eq(seal("x", NOW), -EINVAL);
        header_make(NOW, 1, NOW + SEAL_LIFE_MAX_USEC + 1);
        ck_assert_int_eq(seal("x", NOW), -EINVAL);
        header_make(USEC_NEVER, 1, 0);
        ck_assert_int_eq(seal("x", NOW), -EINVAL);
        header_make(NOW, 1, 0);
        ck_assert_int_eq(seal("x", sides[B].record.lease.enc_until_usec - 1), 0);
        ck_assert_int_eq(seal("x", sides[B].record.lease.enc_until_usec), SEAL_E_EXPIRED);
        sides[B].record.type = SIGNED_RECORD_PRESENCE;
        ck_assert_int_eq(seal("x", NOW), -EINVAL);
}
END_TEST

START_TEST(a_lease_must_be_ours_and_for_a_key_we_hold) {
        Sealer *fresh = NULL;
        EncryptionKey *same = NULL;
        uint8_t secret[32];

        ck_assert_int_eq(sealer_set_lease(sides[A].sealer, sides[B].lease, 200), -EINVAL);
        ck_assert_int_eq(sealer_set_lease(sides[A].sealer, sides[A].lease, 199), -EINVAL);
        ck_assert_int_eq(sealer_new(&fresh, sides[A].identity, NOW), 0);
        ck_assert_int_eq(sealer_set_lease(fresh, sides[A].lease, 200), -EINVAL);
        header_make(NOW, 1, 0);
        ck_assert_int_eq(seal_one(fresh, header, &sides[B].record, (Slice){ "x", 1 }, NOW, sealed,
                                  sizeof(sealed), &n_sealed),
                         -EINVAL);
        sealer_free(fresh);

        vectors_exactly(json, "identities/A_process/enc_sk", secret, 32);
        ck_assert_int_eq(encryption_key_new_from_secret(&same, secret), 0);
        ck_assert_int_eq(sealer_add_key(sides[A].sealer, same), -EEXIST);
        encryption_key_free(same);
}
END_TEST

/* Fails to open, says so, and shows nothing of what was inside (T75). */
static void check_refused(int condition, uint64_t now_usec) {
        n_opened = 77;
        memset(&sender, 0xa5, sizeof(sender));
        memset(opened, 0xa5, sizeof(opened));
        if (condition > 0)
                ck_assert_int_eq(unseal(now_usec), condition);
        else
                ck_assert_int_gt(unseal(now_usec), 0);
        ck_assert_uint_eq(n_opened, 77);
        ck_assert_uint_eq(sender.key.bytes[0], 0xa5);
        ck_assert_ptr_null(memmem(opened, 512, "content", 7));
}

/* T62 */
START_TEST(every_bit_that_is_covered_counts) {
        header_make(NOW, 1, NOW + MINUTE_USEC);
        ck_assert_int_eq(seal("content", NOW), 0);
        for (size_t bit = 0; bit < (56 + n_sealed) * 8; bit++) {
                uint8_t *byte = bit / 8 < 56 ? &header[16 + bit / 8] : &sealed[bit / 8 - 56];

                *byte ^= (uint8_t)(1 << bit % 8);
                check_refused(0, NOW);
                *byte ^= (uint8_t)(1 << bit % 8);
        }
        memset(header + 4, 0xff, 12); /* what hops may change */
        ck_assert_int_eq(unseal(NOW), 0);
        check_refused(SEAL_E_REPEATED, NOW);
}
END_TEST

/* T63 */
START_TEST(every_other_length_is_refused) {
        size_t n;

        header_make(NOW, 1, NOW + MINUTE_USEC);
        ck_assert_int_eq(seal("content", NOW), 0);
        n = n_sealed;
        for (n_sealed = 0; n_sealed < n; n_sealed++)
                check_refused(n_sealed < SEAL_OVERHEAD ? SEAL_E_MALFORMED : SEAL_E_FORGED, NOW);
        n_sealed = n + 1;
        check_refused(SEAL_E_FORGED, NOW);
        n_sealed = n;
        ck_assert_int_eq(unseal(NOW), 0);
}
END_TEST

START_TEST(an_output_that_is_too_small_is_our_mistake) {
        header_make(NOW, 1, NOW + MINUTE_USEC);
        ck_assert_int_eq(seal("content", NOW), 0);
        ck_assert_int_eq(open_one(sides[B].sealer, header, (Slice){ sealed, n_sealed }, NOW, opened,
                                  206, &n_opened, &sender),
                         -ENOBUFS);
        ck_assert_int_eq(unseal(NOW), 0);
}
END_TEST

/* T64 */
START_TEST(a_key_that_is_not_held_is_told_apart) {
        uint8_t zero_e[32] = { 0 };

        header_make(NOW, 1, NOW + MINUTE_USEC);
        ck_assert_int_eq(seal("content", NOW), 0);
        sealed[4] ^= 1;
        check_refused(SEAL_E_UNKNOWN_KEY, NOW);
        sealed[4] ^= 1;
        memcpy(sealed + 8, zero_e, 32);
        check_refused(SEAL_E_FORGED, NOW);
}
END_TEST

/* Seals by hand what seal_one() would not: this lease, proving this key. */
static void seal_by_hand(const EncryptionKey *key, const uint8_t *lease) {
        uint8_t prologue[112] = "p2pbus-e2e-1", one[8] = { 1, 1, lease ? 1 : 0 };
        NoiseHandshake hs;

        memcpy(one + 4, sides[B].record.lease.encpk, 4);
        memcpy(prologue + 16, header + 16, 56);
        memcpy(prologue + 72, one, 8);
        memcpy(prologue + 80, identity_public(sides[B].identity)->bytes, 32);
        noise_init(&hs, &(NoiseOptions){
                                .pattern = NOISE_X,
                                .initiator = true,
                                .prologue = { prologue, sizeof(prologue) },
                                .s = key,
                                .rs = sides[B].record.lease.encpk,
                        });
        memcpy(sealed, one, 8);
        ck_assert_int_eq(noise_create(&hs,
                                      (Slice[]){ { lease, lease ? 200 : 0 }, { "content", 7 } }, 2,
                                      sealed + 8, sizeof(sealed) - 8, &n_sealed),
                         0);
        n_sealed += 8;
        noise_done(&hs);
}

/* A lease of @side for @key, changed by its caller. */
static void lease_make(SignedRecord *record, const Side *side, const EncryptionKey *key,
                       uint8_t out[static SIGNED_RECORD_LEASE_SIZE]) {
        size_t n;

        if (key)
                memcpy(record->lease.encpk, encryption_key_public(key), 32);
        ck_assert_int_eq(
                signed_record_sign(record, side->identity, out, SIGNED_RECORD_LEASE_SIZE, &n), 0);
}

START_TEST(lease_key_and_source_must_belong_together) {
        uint8_t secret[32], lease[SIGNED_RECORD_LEASE_SIZE];
        EncryptionKey *key = NULL, *other = NULL;
        SignedRecord record = sides[A].record;

        vectors_exactly(json, "identities/A_process/enc_sk", secret, 32);
        ck_assert_int_eq(encryption_key_new_from_secret(&key, secret), 0);
        ck_assert_int_eq(encryption_key_new_random(&other), 0);
        header_make(NOW, 1, NOW + MINUTE_USEC);

        /* no lease yet seen, none inside */
        seal_by_hand(key, NULL);
        check_refused(SEAL_E_NEED_LEASE, NOW);
        /* a true lease, but the sender proved another key */
        seal_by_hand(other, sides[A].lease);
        check_refused(SEAL_E_SENDER, NOW);
        /* B's own lease, and A's key under the name of B */
        seal_by_hand(key, sides[B].lease);
        check_refused(SEAL_E_SENDER, NOW);
        /* a true lease of somebody else, for its own key, under A's address */
        lease_make(&record, &sides[B], other, lease);
        seal_by_hand(other, lease);
        check_refused(SEAL_E_SENDER, NOW);
        /* a lease that nobody signed */
        memcpy(lease, sides[A].lease, sizeof(lease));
        lease[199] ^= 1;
        seal_by_hand(key, lease);
        check_refused(SEAL_E_SENDER, NOW);
        /* one that has ended, and one of the future */
        record = sides[A].record;
        record.issued_usec -= 120 * MINUTE_USEC;
        record.not_after_usec -= 120 * MINUTE_USEC;
        lease_make(&record, &sides[A], key, lease);
        seal_by_hand(key, lease);
        check_refused(SEAL_E_NEED_LEASE, NOW);
        record.issued_usec += 130 * MINUTE_USEC;
        record.not_after_usec += 130 * MINUTE_USEC;
        lease_make(&record, &sides[A], key, lease);
        seal_by_hand(key, lease);
        check_refused(SEAL_E_STALE, NOW);

        /* nothing of this was remembered; now it is */
        seal_by_hand(key, sides[A].lease);
        ck_assert_int_eq(unseal(NOW), 0);
        header_make(NOW, 2, NOW + MINUTE_USEC);
        seal_by_hand(key, NULL);
        ck_assert_int_eq(unseal(NOW), 0);
        ck_assert_uint_eq(n_opened, 7);
        ck_assert(key_equal(&sender.key, identity_public(sides[A].identity)));
        header_make(NOW, 3, 0);
        seal_by_hand(key, NULL);
        check_refused(SEAL_E_NEED_LEASE, sides[A].record.not_after_usec);
        encryption_key_free(key);
        encryption_key_free(other);
}
END_TEST

START_TEST(a_packet_for_somebody_else_is_not_opened) {
        header_make(NOW, 1, NOW + MINUTE_USEC);
        ck_assert_int_eq(seal("content", NOW), 0);
        ck_assert_int_eq(open_one(sides[A].sealer, header, (Slice){ sealed, n_sealed }, NOW, opened,
                                  sizeof(opened), &n_opened, &sender),
                         SEAL_E_MALFORMED);
}
END_TEST

static const struct {
        const char *what;
        int64_t sent_at, deadline, now; /* seconds after NOW, when B attached; deadline 0: none */
        int condition;
} times[] = {
        { "at once", 0, 30, 0, 0 },
        { "2 s before B attached", -2, 30, 0, 0 },
        { "3 s before B attached", -3, 30, 0, SEAL_E_STALE },
        { "the clock was set back by a minute", -60, 30, -60, 0 },
        { "2 s before that", -62, 30, -60, 0 },
        { "3 s before that", -63, 30, -60, SEAL_E_STALE },
        { "sent 5 min in the future", 300, 330, 0, 0 },
        { "sent 6 min in the future", 360, 390, 0, SEAL_E_STALE },
        { "at its deadline", 0, 30, 30, 0 },
        { "within the skew of a clock", 0, 30, 329, 0 },
        { "after it", 0, 30, 330, SEAL_E_EXPIRED },
        { "no deadline", 0, 0, 899, 0 },
        { "no deadline, but 15 min old", 0, 0, 900, SEAL_E_EXPIRED },
        { "a week", 0, 7 * 86400, 0, 0 },
        { "a week, 15 min old", 0, 7 * 86400, 899, 0 },
        { "a week, but older", 0, 7 * 86400, 900, SEAL_E_STALE },
};

START_TEST(times_decide) {
        int c = send_at(NOW + (uint64_t)times[_i].sent_at * USEC_PER_SEC, 1,
                        times[_i].deadline == 0 ? 0
                                                : NOW + (uint64_t)times[_i].deadline * USEC_PER_SEC,
                        NOW + (uint64_t)times[_i].now * USEC_PER_SEC);

        ck_assert_msg(c == times[_i].condition, "%s: %d", times[_i].what, c);
}
END_TEST

/* T65 */
START_TEST(a_packet_is_opened_once) {
        uint64_t end = NOW + 30 * USEC_PER_SEC;

        ck_assert_int_eq(send_at(NOW, 7, end, NOW), 0);
        check_refused(SEAL_E_REPEATED, NOW);
        check_refused(SEAL_E_REPEATED, NOW - MINUTE_USEC); /* the clock was set back */
        check_refused(SEAL_E_REPEATED, end);
        check_refused(SEAL_E_REPEATED, end + 5 * MINUTE_USEC - 1);
        check_refused(SEAL_E_EXPIRED, end + 5 * MINUTE_USEC);

        /* sealed anew under the same last 8 bytes, a little later: still the same */
        header_make(NOW + 5, 7, end);
        ck_assert_int_eq(seal("content", NOW), 0);
        check_refused(SEAL_E_REPEATED, NOW);
        ck_assert_int_eq(send_at(NOW, 8, end, NOW), 0);
        ck_assert_int_eq(send_at(NOW, 0, end, NOW), 0);
        ck_assert_int_eq(send_at(NOW, UINT64_MAX, end, NOW), 0);
        check_refused(SEAL_E_REPEATED, NOW);
}
END_TEST

START_TEST(after_a_restart_old_packets_are_stale) {
        header_make(NOW, 7, NOW + MINUTE_USEC);
        ck_assert_int_eq(seal("content", NOW), 0);
        ck_assert_int_eq(unseal(NOW), 0);

        /* The receiver starts anew, with the same keys, 2 s and a bit after the packet. */
        sealer_free(sides[B].sealer);
        identity_free(sides[B].identity);
        side_load(&sides[B], "B_process", "records/lease_B");
        sealer_free(sides[B].sealer);
        sides[B].sealer = NULL;
        ck_assert_int_eq(
                sealer_new(&sides[B].sealer, sides[B].identity, NOW + 2 * USEC_PER_SEC + 1), 0);
        {
                EncryptionKey *key = NULL;
                uint8_t secret[32];

                vectors_exactly(json, "identities/B_process/enc_sk", secret, 32);
                ck_assert_int_eq(encryption_key_new_from_secret(&key, secret), 0);
                ck_assert_int_eq(sealer_add_key(sides[B].sealer, key), 0);
        }
        check_refused(SEAL_E_STALE, NOW + 3 * USEC_PER_SEC);

        /* sealed again with a new time and the same last 8 bytes it is taken */
        header_make(NOW + 3 * USEC_PER_SEC, 7, NOW + MINUTE_USEC);
        ck_assert_int_eq(seal("content", NOW), 0);
        ck_assert_int_eq(unseal(NOW + 3 * USEC_PER_SEC), 0);
}
END_TEST

START_TEST(keys_change_without_losing_what_is_under_way) {
        EncryptionKey *key = NULL;
        SignedRecord record = sides[B].record;
        uint8_t lease[SIGNED_RECORD_LEASE_SIZE];
        uint8_t newest[32];

        header_make(NOW, 1, NOW + MINUTE_USEC);
        ck_assert_int_eq(seal("content", NOW), 0); /* for the old key */

        ck_assert_int_eq(encryption_key_new_random(&key), 0);
        record.issued_usec++;
        lease_make(&record, &sides[B], key, lease);
        memcpy(newest, encryption_key_public(key), 32);
        ck_assert_int_eq(sealer_add_key(sides[B].sealer, key), 0);
        ck_assert_mem_eq(sealer_encpk(sides[B].sealer), newest, 32);
        ck_assert_int_eq(sealer_set_lease(sides[B].sealer, lease, sizeof(lease)), 0);
        ck_assert_int_eq(unseal(NOW), 0);

        ck_assert_int_eq(signed_record_decode(lease, sizeof(lease), &sides[B].record), 0);
        ck_assert_int_eq(send_at(NOW, 2, NOW + MINUTE_USEC, NOW), 0);

        for (unsigned i = 0; i < SEAL_KEYS_MAX; i++) {
                ck_assert_int_eq(unseal(NOW), SEAL_E_REPEATED);
                ck_assert_int_eq(encryption_key_new_random(&key), 0);
                ck_assert_int_eq(sealer_add_key(sides[B].sealer, key), 0);
        }
        check_refused(SEAL_E_UNKNOWN_KEY, NOW);
}
END_TEST

static void lease_again(Side *side, uint64_t issued_usec) {
        uint8_t lease[SIGNED_RECORD_LEASE_SIZE];

        memcpy(side->record.lease.encpk, sealer_encpk(side->sealer), CRYPTO_DH_SIZE);
        side->record.issued_usec = issued_usec;
        side->record.not_after_usec = side->record.lease.enc_until_usec =
                issued_usec + 60 * MINUTE_USEC;
        lease_make(&side->record, side, NULL, lease);
        ck_assert_int_eq(sealer_set_lease(side->sealer, lease, sizeof(lease)), 0);
}

static void live_anew(Side *side) {
        sealer_free(side->sealer);
        side->sealer = NULL;
        ck_assert_int_eq(sealer_new(&side->sealer, side->identity, NOW), 0);
}

/* So what says that it was opened, and was not wanted, is of the life that it was sealed for. */
START_TEST(what_was_sealed_for_one_life_no_other_opens) {
        live_anew(&sides[B]);
        lease_again(&sides[B], NOW);
        ck_assert_int_eq(send_at(NOW, 1, NOW + MINUTE_USEC, NOW), 0);
        live_anew(&sides[B]);
        check_refused(SEAL_E_UNKNOWN_KEY, NOW);
        lease_again(&sides[B], NOW);
        check_refused(SEAL_E_UNKNOWN_KEY, NOW);
        ck_assert_int_eq(send_at(NOW, 2, NOW + MINUTE_USEC, NOW), 0);
}
END_TEST

/* T70 */
START_TEST(a_key_that_is_old_is_replaced_and_wiped_when_its_leases_end) {
        const uint64_t life = 100 * MINUTE_USEC;
        uint64_t now = NOW;
        uint8_t first[CRYPTO_DH_SIZE];

        sealer_free(sides[B].sealer);
        sides[B].sealer = NULL;
        ck_assert_int_eq(sealer_new(&sides[B].sealer, sides[B].identity, now), 0);
        ck_assert_int_eq(sealer_rotate(sides[B].sealer, now + life, life), 0); /* no lease yet */
        lease_again(&sides[B], now);
        ck_assert_int_eq(sealer_rotate(sides[B].sealer, now + life - 1, life), 0);
        lease_again(&sides[B], now + life - 1);
        memcpy(first, sides[B].record.lease.encpk, sizeof(first));
        ck_assert_mem_eq(sealer_encpk(sides[B].sealer), first, sizeof(first));
        ck_assert_int_eq(sealer_rotate(sides[B].sealer, now + life, life), 0);
        ck_assert_mem_ne(sealer_encpk(sides[B].sealer), first, sizeof(first));
        lease_again(&sides[B], now + life);

        /* What was sealed for the old one opens until nobody may seal for it, and a little later. */
        now += life + 60 * MINUTE_USEC - 2;
        lease_again(&sides[A], now);
        header_make(now, 1, now + 10 * MINUTE_USEC);
        memcpy(sides[B].record.lease.encpk, first, sizeof(first));
        ck_assert_int_eq(seal("content", now), 0);
        ck_assert_int_eq(sealer_rotate(sides[B].sealer, now + 5 * MINUTE_USEC, life), 0);
        ck_assert_int_eq(unseal(now + 5 * MINUTE_USEC), 0);
        header_make(now, 2, now + 10 * MINUTE_USEC);
        ck_assert_int_eq(seal("content", now), 0);
        ck_assert_int_eq(sealer_rotate(sides[B].sealer, now + 5 * MINUTE_USEC + 1, life), 0);
        check_refused(SEAL_E_UNKNOWN_KEY, now + 5 * MINUTE_USEC + 1);

        memcpy(sides[B].record.lease.encpk, sealer_encpk(sides[B].sealer), sizeof(first));
        ck_assert_int_eq(send_at(now, 3, now + MINUTE_USEC, now), 0);
}
END_TEST

START_TEST(a_key_that_somebody_may_seal_for_makes_no_room_for_another) {
        uint8_t newest[CRYPTO_DH_SIZE];
        uint64_t now = NOW;

        live_anew(&sides[B]);
        lease_again(&sides[B], now);
        header_make(NOW, 1, NOW + 10 * MINUTE_USEC);
        ck_assert_int_eq(seal("content", NOW), 0);
        for (unsigned i = 0; i < SEAL_KEYS_MAX + 2; i++) {
                memcpy(newest, sealer_encpk(sides[B].sealer), sizeof(newest));
                now += MINUTE_USEC;
                ck_assert_int_eq(sealer_rotate(sides[B].sealer, now, MINUTE_USEC), 0);
                ck_assert_int_eq(memcmp(sealer_encpk(sides[B].sealer), newest, sizeof(newest)) == 0,
                                 i >= SEAL_KEYS_MAX - 1);
                lease_again(&sides[B], now);
        }
        ck_assert_int_eq(unseal(now), 0);
}
END_TEST

START_TEST(many_peers_come_and_go) {
        header_make(NOW, 1, NOW + MINUTE_USEC);
        for (unsigned i = 0; i < 600; i++) { /* more than are remembered */
                EncryptionKey *key = NULL;
                SignedRecord record = sides[A].record;
                uint8_t lease[SIGNED_RECORD_LEASE_SIZE];

                ck_assert_int_eq(encryption_key_new_random(&key), 0);
                record.issued_usec += i;
                lease_make(&record, &sides[A], key, lease);
                header_make(NOW, i, NOW + MINUTE_USEC);
                seal_by_hand(key, lease);
                ck_assert_int_eq(unseal(NOW), 0);
                ck_assert_uint_eq(sender.lease.issued_usec, record.issued_usec);
                encryption_key_free(key);
        }
        ck_assert_int_eq(send_at(NOW, 1000, NOW + MINUTE_USEC, NOW), 0);
}
END_TEST

START_TEST(a_forked_child_can_neither_seal_nor_open) {
        int status;
        pid_t os_pid;

        ck_assert_int_eq(send_at(NOW, 1, NOW + MINUTE_USEC, NOW), 0); /* so that all is cached */
        header_make(NOW, 2, NOW + MINUTE_USEC);
        ck_assert_int_eq(seal("content", NOW), 0);
        os_pid = test_fork();
        if (os_pid == 0)
                _exit(unseal(NOW) == SEAL_E_FORKED && seal("content", NOW) == SEAL_E_FORKED ? 0
                                                                                            : 1);
        ck_assert_int_eq(waitpid(os_pid, &status, 0), os_pid);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        ck_assert_int_eq(unseal(NOW), 0);
}
END_TEST

static PublicKey stranger(unsigned i) {
        PublicKey key = { { 0 } };

        store_le32(key.bytes, i);
        return key;
}

START_TEST(ids_in_a_row_cost_a_bit_each) {
        PublicKey key = stranger(1);
        Seen *seen = NULL;

        ck_assert_int_eq(seen_new(&seen), 0);
        for (unsigned round = 0; round < 2; round++) {
                int expected = round == 0 ? 0 : SEEN_E_REPEATED;
                unsigned n = 0;

                /* One assertion for all: Check writes each of them down. */
                for (uint64_t id = 0; id < 100 * SEEN_BLOCK_IDS; id++)
                        n += seen_add(seen, &key, id, NOW, NOW) == expected;
                ck_assert_uint_eq(n, 100 * SEEN_BLOCK_IDS);
        }
        ck_assert_uint_eq(seen_n_blocks(seen), 100);
        seen_free(seen);
}
END_TEST

START_TEST(one_key_cannot_take_all_the_room) {
        PublicKey loud = stranger(1), quiet = stranger(2);
        uint64_t end = NOW + SEEN_LIFE_USEC;
        Seen *seen = NULL;

        ck_assert_int_eq(seen_new(&seen), 0);
        for (uint64_t i = 0; i < SEEN_BLOCKS_MAX_OF_ONE; i++)
                ck_assert_int_eq(seen_add(seen, &loud, i * SEEN_BLOCK_IDS, NOW, NOW), 0);
        ck_assert_int_eq(seen_add(seen, &loud, UINT64_MAX, NOW, NOW), SEEN_E_OVERLOAD);
        ck_assert_int_eq(seen_add(seen, &loud, 1, NOW, NOW), 0); /* beside one that is there */
        ck_assert_int_eq(seen_add(seen, &quiet, UINT64_MAX, NOW, NOW), 0);
        ck_assert_int_eq(seen_add(seen, &quiet, UINT64_MAX, NOW, NOW), SEEN_E_REPEATED);

        ck_assert_int_eq(seen_add(seen, &loud, UINT64_MAX, end, end - 1), SEEN_E_OVERLOAD);
        ck_assert_int_eq(seen_add(seen, &loud, UINT64_MAX, end, end), 0); /* all have ended */
        ck_assert_uint_lt(seen_n_blocks(seen), SEEN_BLOCKS_MAX_OF_ONE);
        ck_assert_int_eq(seen_add(seen, &loud, UINT64_MAX, end, end), SEEN_E_REPEATED);
        seen_free(seen);
}
END_TEST

START_TEST(four_keys_do_not_lock_out_the_fifth) {
        PublicKey quiet = stranger(9);
        Seen *seen = NULL;

        ck_assert_int_eq(seen_new(&seen), 0);
        for (uint64_t i = 0; i < SEEN_BLOCKS_MAX; i++) {
                PublicKey loud = stranger(i % 4);

                ck_assert_int_eq(seen_add(seen, &loud, i * SEEN_BLOCK_IDS, NOW + i, NOW + i), 0);
        }
        ck_assert_uint_eq(seen_n_blocks(seen), SEEN_BLOCKS_MAX);
        ck_assert_int_eq(seen_add(seen, &quiet, 1, NOW + SEEN_BLOCKS_MAX, NOW + SEEN_BLOCKS_MAX),
                         0);
        ck_assert_int_eq(seen_add(seen, &quiet, 1, NOW + SEEN_BLOCKS_MAX, NOW + SEEN_BLOCKS_MAX),
                         SEEN_E_REPEATED);
        seen_free(seen);
}
END_TEST

/* Each of @n keys says one thing, a millisecond apart; somebody else is heard all the while. */
static void flood(Seen *seen, unsigned n, uint64_t *now) {
        PublicKey honest = stranger(UINT32_MAX);

        for (unsigned i = 0; i < n; i++, *now += USEC_PER_MSEC) {
                PublicKey key = stranger(i);
                int c = seen_add(seen, &key, i, *now, *now);

                if (c != 0)
                        ck_abort_msg("stranger %u: %d", i, c);
                if (i % 512 != 0)
                        continue;
                /* Its packet was a second on the way. */
                c = seen_add(seen, &honest, i, *now - USEC_PER_SEC, *now);
                if (c != 0)
                        ck_abort_msg("beside stranger %u: %d", i, c);
        }
}

START_TEST(what_is_forgotten_for_want_of_room_is_never_taken_again) {
        const unsigned n = 3 * SEEN_BLOCKS_MAX;
        unsigned n_taken = 0, n_stale = 0, n_repeated = 0;
        uint64_t now = NOW;
        Seen *seen = NULL;

        ck_assert_int_eq(seen_new(&seen), 0);
        flood(seen, n, &now);
        ck_assert_uint_le(seen_n_blocks(seen), SEEN_BLOCKS_MAX);
        for (unsigned i = 0; i < n; i++) {
                PublicKey key = stranger(i);

                switch (seen_add(seen, &key, i, NOW + i * USEC_PER_MSEC, now)) {
                case SEEN_E_STALE:
                        n_stale++;
                        break;
                case SEEN_E_REPEATED:
                        n_repeated++;
                        break;
                default:
                        n_taken++;
                }
        }
        ck_assert_uint_eq(n_taken, 0);
        ck_assert_uint_gt(n_stale, SEEN_BLOCKS_MAX);
        ck_assert_uint_gt(n_repeated, SEEN_BLOCKS_MAX / 2);
        seen_free(seen);
}
END_TEST

/* Packets of the future cannot make all the present ones look old. */
START_TEST(a_clock_that_is_ahead_moves_nobody_elses) {
        uint64_t now = NOW, ahead = NOW + 5 * MINUTE_USEC;
        Seen *seen = NULL;

        ck_assert_int_eq(seen_new(&seen), 0);
        for (unsigned i = 0; i < 2 * SEEN_BLOCKS_MAX; i++) {
                PublicKey key = stranger(1000000 + i);
                int c = seen_add(seen, &key, i, ahead, now);

                if (c != (i < SEEN_AHEAD_MAX ? 0 : SEEN_E_STALE))
                        ck_abort_msg("stranger %u: %d", i, c);
        }
        flood(seen, 3 * SEEN_BLOCKS_MAX, &now);
        seen_free(seen);
}
END_TEST

START_TEST(what_is_too_old_is_to_be_sent_anew) {
        PublicKey key = stranger(1);
        Seen *seen = NULL;

        ck_assert_int_eq(seen_new(&seen), 0);
        ck_assert_int_eq(seen_add(seen, &key, 1, NOW, NOW + SEEN_LIFE_USEC), SEEN_E_STALE);
        ck_assert_int_eq(seen_add(seen, &key, 1, NOW, NOW + SEEN_LIFE_USEC - 1), 0);
        ck_assert_int_eq(seen_add(seen, &key, 1, NOW, NOW + SEEN_LIFE_USEC), SEEN_E_REPEATED);
        seen_free(seen);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("seal");
        TCase *tcase = tcase_create("seal");

        tcase_add_checked_fixture(tcase, load, unload);
        tcase_add_test(tcase, a_sealed_packet_is_that_of_the_vectors);
        tcase_add_test(tcase, every_size_up_to_the_largest_packet);
        tcase_add_test(tcase, only_our_own_packets_to_the_right_peer_are_sealed);
        tcase_add_test(tcase, a_lease_must_be_ours_and_for_a_key_we_hold);
        tcase_add_test(tcase, every_bit_that_is_covered_counts);
        tcase_add_test(tcase, every_other_length_is_refused);
        tcase_add_test(tcase, an_output_that_is_too_small_is_our_mistake);
        tcase_add_test(tcase, a_key_that_is_not_held_is_told_apart);
        tcase_add_test(tcase, lease_key_and_source_must_belong_together);
        tcase_add_test(tcase, a_packet_for_somebody_else_is_not_opened);
        tcase_add_loop_test(tcase, times_decide, 0, ELEMENTSOF(times));
        tcase_add_test(tcase, a_packet_is_opened_once);
        tcase_add_test(tcase, after_a_restart_old_packets_are_stale);
        tcase_add_test(tcase, what_was_sealed_for_one_life_no_other_opens);
        tcase_add_test(tcase, keys_change_without_losing_what_is_under_way);
        tcase_add_test(tcase, a_key_that_is_old_is_replaced_and_wiped_when_its_leases_end);
        tcase_add_test(tcase, a_key_that_somebody_may_seal_for_makes_no_room_for_another);
        tcase_add_test(tcase, many_peers_come_and_go);
        tcase_add_test(tcase, a_forked_child_can_neither_seal_nor_open);
        suite_add_tcase(suite, tcase);

        tcase = tcase_create("seen");
        tcase_add_test(tcase, ids_in_a_row_cost_a_bit_each);
        tcase_add_test(tcase, one_key_cannot_take_all_the_room);
        tcase_add_test(tcase, four_keys_do_not_lock_out_the_fifth);
        tcase_add_test(tcase, what_is_forgotten_for_want_of_room_is_never_taken_again);
        tcase_add_test(tcase, a_clock_that_is_ahead_moves_nobody_elses);
        tcase_add_test(tcase, what_is_too_old_is_to_be_sent_anew);
        suite_add_tcase(suite, tcase);
        return suite;
}
