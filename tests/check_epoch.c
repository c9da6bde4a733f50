/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Two processes and what they seal for each other; the test is what lies between them. A packet goes
 * out as epochs_next() wants it, as the library would send it.
 */

#include "libsecure/epochs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcore/util.h"
#include "libsecure/replay-window.h"
#include "tests/main.h"
#include "tests/vectors.h"
#include "tests/wire.h"

#define NOW UINT64_C(0x0006474846204000)
#define BOOT (1000 * USEC_PER_SEC)
#define MINUTE_USEC (60 * USEC_PER_SEC)
#define SIZE_MAX_HERE 2048
#define A 0 /* has the larger key */
#define B 1

typedef struct Side {
        IdentityKey *identity;
        Sealer *sealer;
        uint8_t lease[SIGNED_RECORD_LEASE_SIZE];
        SignedRecord record;
        Epochs *epochs; /* with the other one */
} Side;

typedef struct Packet {
        uint8_t header[PACKET_HEADER_SIZE];
        uint8_t payload[SIZE_MAX_HERE];
        size_t n;
} Packet;

static json_t *json;
static Side sides[2];
static EpochTime now;
static EpochLimits limits;
static uint64_t unique;
static uint8_t opened[SIZE_MAX_HERE];
static size_t n_opened;

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

static void meet(unsigned i) {
        sides[i].epochs = epochs_free(sides[i].epochs);
        ck_assert_int_eq(epochs_new(&sides[i].epochs, sides[i].sealer,
                                    identity_public(sides[1 - i].identity), &limits),
                         0);
}

static void load(void) {
        json = vectors_load("p2pbus-draft.json");
        side_load(&sides[A], "A_process", "records/lease_A");
        side_load(&sides[B], "B_process", "records/lease_B");
        now = (EpochTime){ .now_usec = BOOT, .wall_usec = NOW };
        limits = epoch_limits_default;
        unique = 1;
        meet(A);
        meet(B);
}

static void unload(void) {
        for (unsigned i = 0; i < 2; i++) {
                sides[i].epochs = epochs_free(sides[i].epochs);
                sides[i].sealer = sealer_free(sides[i].sealer);
                sides[i].identity = identity_free(sides[i].identity);
        }
        json_decref(json);
}

static void pass_time(uint64_t usec) {
        now.now_usec += usec;
        now.wall_usec += usec;
}

static void header_make(unsigned from, uint8_t *header) {
        packet_header_encode(
                &(PacketHeader){
                        .size = PACKET_HEADER_SIZE,
                        .src = identity_hash(sides[from].identity)->address,
                        .dst = identity_hash(sides[1 - from].identity)->address,
                        .id = packet_id_make(now.wall_usec, unique++),
                        .deadline_usec = now.wall_usec + 30 * USEC_PER_SEC,
                        .kind = PACKET_SEALED,
                },
                header);
}

/* @from seals @content as @type. */
static int seal_as(unsigned from, SealedType type, const char *content, Packet *ret) {
        Side *side = &sides[from];
        Slice slice = { content, strlen(content) };

        header_make(from, ret->header);
        switch (type) {
        case SEALED_DATA:
                return epochs_seal(side->epochs, ret->header, slice, now, ret->payload,
                                   sizeof(ret->payload), &ret->n);
        case SEALED_OPEN:
                return epochs_open(side->epochs, ret->header, &sides[1 - from].record, slice, now,
                                   ret->payload, sizeof(ret->payload), &ret->n);
        default:
                return seal_one(side->sealer, ret->header, &sides[1 - from].record, slice,
                                now.wall_usec, ret->payload, sizeof(ret->payload), &ret->n);
        }
}

/* The same as it should be sealed now. Return: what that was. */
static SealedType seal(unsigned from, const char *content, Packet *ret) {
        SealedType type = epochs_next(sides[from].epochs, now);

        ck_assert_int_eq(seal_as(from, type, content, ret), 0);
        ck_assert_uint_eq(ret->payload[0], type);
        return type;
}

/* @to opens a packet; of an OPEN, @answer becomes the ACCEPT, or empty. */
static int unseal(unsigned to, const Packet *packet, Packet *answer) {
        Side *side = &sides[to];
        Slice payload = { packet->payload, packet->n };
        SealedSender sender;
        Opening opening;
        int r;

        switch (packet->n > 0 ? packet->payload[0] : 0) {
        case SEALED_DATA:
                return epochs_unseal(side->epochs, packet->header, payload, now, opened,
                                     sizeof(opened), &n_opened);
        case SEALED_ACCEPT:
                return epochs_confirm(side->epochs, payload, now);
        case SEALED_OPEN:
                answer->n = 0;
                if (epochs_accept_again(side->epochs, payload, answer->payload)) {
                        answer->n = EPOCH_ACCEPT_SIZE;
                        return SEAL_E_REPEATED;
                }
                r = opening_read(&opening, side->sealer, packet->header, payload, now.wall_usec,
                                 opened, sizeof(opened), &n_opened);
                if (r == 0) {
                        ck_assert(key_equal(&opening.sender.key,
                                            identity_public(sides[1 - to].identity)));
                        if (epochs_accept(side->epochs, &opening, now, answer->payload) == 0)
                                answer->n = EPOCH_ACCEPT_SIZE;
                }
                opening_done(&opening);
                return r;
        default:
                return open_one(side->sealer, packet->header, payload, now.wall_usec, opened,
                                sizeof(opened), &n_opened, &sender);
        }
}

/* A packet crosses, and its answer goes back. Return: what it was sealed as. */
static SealedType talk(unsigned from) {
        static Packet packet, answer;
        SealedType type = seal(from, "content", &packet);

        answer.n = 0;
        ck_assert_int_eq(unseal(1 - from, &packet, &answer), 0);
        ck_assert_uint_eq(n_opened, 7);
        ck_assert_mem_eq(opened, "content", 7);
        if (answer.n > 0)
                ck_assert_int_eq(unseal(from, &answer, NULL), 0);
        return type;
}

/* Both are in an epoch that A opened, and send in it. */
static void establish(void) {
        ck_assert_int_eq(talk(A), SEALED_OPEN);
        ck_assert_int_eq(talk(A), SEALED_DATA);
        ck_assert_int_eq(talk(B), SEALED_DATA);
}

static bool is_live(unsigned i) {
        return epochs_is_live(sides[i].epochs, now);
}

static void check_dump(const char *name, const Packet *packet) {
        size_t n;
        uint8_t *bytes = wire_read(name, &n);

        ck_assert_uint_eq(packet->n, n);
        ck_assert_mem_eq(packet->payload, bytes, n);
        free(bytes);
}

START_TEST(open_accept_and_data_are_those_of_the_vectors) {
        static Packet open, accept, data;
        uint8_t want[512], e[32], aad[88];
        size_t n;

        vectors_exactly(json, "e2e/one/aad", aad, 72);
        memcpy(open.header + 16, aad + 16, 56);
        vectors_exactly(json, "e2e/e_A", e, 32);
        fixed_random_push(e);
        fixed_random_push_small((const uint8_t[]){ 0x44, 0x33, 0x22, 0x11 });
        ck_assert_int_eq(epochs_open(sides[A].epochs, open.header, &sides[B].record,
                                     (Slice){ "hello, p2pbus", 13 }, now, open.payload,
                                     sizeof(open.payload), &open.n),
                         0);
        n = vectors_bytes(json, "e2e/open/sealed", want, sizeof(want));
        ck_assert_uint_eq(open.n, n);
        ck_assert_mem_eq(open.payload, want, n);

        vectors_exactly(json, "e2e/e_B", e, 32);
        fixed_random_push(e);
        fixed_random_push_small((const uint8_t[]){ 0x88, 0x77, 0x66, 0x55 });
        ck_assert_int_eq(unseal(B, &open, &accept), 0);
        ck_assert_uint_eq(n_opened, 13);
        ck_assert_mem_eq(opened, "hello, p2pbus", 13);
        vectors_exactly(json, "e2e/accept", want, EPOCH_ACCEPT_SIZE);
        ck_assert_uint_eq(accept.n, EPOCH_ACCEPT_SIZE);
        ck_assert_mem_eq(accept.payload, want, EPOCH_ACCEPT_SIZE);
        ck_assert_uint_eq(fixed_random_left(), 0);
        ck_assert_int_eq(unseal(A, &accept, NULL), 0);

        vectors_exactly(json, "e2e/data0/aad", aad, 88);
        memcpy(data.header + 16, aad + 16, 56);
        ck_assert_int_eq(epochs_seal(sides[A].epochs, data.header, (Slice){ "hello, p2pbus", 13 },
                                     now, data.payload, sizeof(data.payload), &data.n),
                         0);
        n = vectors_bytes(json, "e2e/data0/sealed", want, sizeof(want));
        ck_assert_uint_eq(data.n, n);
        ck_assert_mem_eq(data.payload, want, n);
        ck_assert_int_eq(unseal(B, &data, NULL), 0);
        ck_assert_mem_eq(opened, "hello, p2pbus", 13);

        check_dump("sealed-open", &open);
        check_dump("sealed-accept", &accept);
        check_dump("sealed-data", &data);
}
END_TEST

START_TEST(the_first_packet_opens_and_nothing_waits_for_the_answer) {
        Packet first, second, accept;

        ck_assert(!is_live(A));
        ck_assert_int_eq(seal(A, "first", &first), SEALED_OPEN);
        ck_assert_int_eq(seal(A, "second", &second), SEALED_ONE);
        ck_assert_int_eq(unseal(B, &second, NULL), 0);
        ck_assert_int_eq(unseal(B, &first, &accept), 0);
        ck_assert_uint_eq(n_opened, 5);
        ck_assert_mem_eq(opened, "first", 5);
        ck_assert_uint_eq(accept.n, EPOCH_ACCEPT_SIZE);

        /* That somebody opened proves nothing yet: it may be a replay. */
        ck_assert_int_eq(talk(B), SEALED_ONE);
        ck_assert_int_eq(unseal(A, &accept, NULL), 0);
        ck_assert_int_eq(talk(B), SEALED_ONE);
        ck_assert_int_eq(talk(A), SEALED_DATA);
        ck_assert_int_eq(talk(B), SEALED_DATA);
        ck_assert(is_live(A) && is_live(B));
        ck_assert_uint_gt(epochs_memory(sides[A].epochs), 1024);
}
END_TEST

/* Does not open, and shows nothing of what was inside (T75). */
static void check_refused(unsigned to, const Packet *packet) {
        static Packet answer;

        memset(opened, 0xa5, sizeof(opened));
        n_opened = 77;
        answer.n = 0;
        ck_assert_int_gt(unseal(to, packet, &answer), 0);
        ck_assert_uint_eq(n_opened, 77);
        ck_assert_uint_eq(answer.n, 0);
        ck_assert_ptr_null(memmem(opened, 512, "content", 7));
}

/* T62, T63: each bit that is covered, each length. */
static void check_covered(unsigned to, Packet *packet, bool header) {
        size_t n = packet->n;

        for (size_t bit = header ? 0 : 56 * 8; bit < (56 + n) * 8; bit++) {
                uint8_t *byte = bit / 8 < 56 ? &packet->header[16 + bit / 8]
                                             : &packet->payload[bit / 8 - 56];

                *byte ^= (uint8_t)(1 << bit % 8);
                check_refused(to, packet);
                *byte ^= (uint8_t)(1 << bit % 8);
        }
        for (packet->n = 0; packet->n < n; packet->n++)
                check_refused(to, packet);
        packet->n = n + 1;
        check_refused(to, packet);
        packet->n = n;
        memset(packet->header, 0xff, 16); /* what hops may change */
}

START_TEST(every_bit_of_an_open_counts) {
        Packet packet, accept;

        ck_assert_int_eq(seal(A, "content", &packet), SEALED_OPEN);
        check_covered(B, &packet, true);
        ck_assert_int_eq(unseal(B, &packet, &accept), 0);
        ck_assert_uint_eq(accept.n, EPOCH_ACCEPT_SIZE);
}
END_TEST

START_TEST(every_bit_of_an_accept_counts_and_a_false_one_does_no_harm) {
        Packet packet, accept;

        ck_assert_int_eq(seal(A, "content", &packet), SEALED_OPEN);
        ck_assert_int_eq(unseal(B, &packet, &accept), 0);
        check_covered(A, &accept, false);
        ck_assert(!is_live(A));
        ck_assert_int_eq(unseal(A, &accept, NULL), 0);
        ck_assert(is_live(A));
        ck_assert_int_eq(unseal(A, &accept, NULL), EPOCH_E_UNKNOWN);
}
END_TEST

START_TEST(every_bit_of_a_data_counts) {
        Packet packet;

        establish();
        ck_assert_int_eq(seal(A, "content", &packet), SEALED_DATA);
        ck_assert_uint_eq(packet.n, 7 + EPOCH_DATA_OVERHEAD);
        for (unsigned at = 16; at < 40; at++) { /* of another pair, whoever has sealed it */
                packet.header[at] ^= 1;
                ck_assert_int_eq(unseal(B, &packet, NULL), EPOCH_E_MALFORMED);
                packet.header[at] ^= 1;
        }
        check_covered(B, &packet, true);
        ck_assert_int_eq(unseal(B, &packet, NULL), 0);
}
END_TEST

START_TEST(every_size_up_to_the_largest_packet) {
        static const size_t some[] = { 0, 1, 63, 64, 65, 4096, SEAL_CONTENT_MAX };
        static uint8_t content[SEAL_CONTENT_MAX + 1], sealed[PACKET_PAYLOAD_MAX];
        static uint8_t out[PACKET_PAYLOAD_MAX];
        uint8_t header[PACKET_HEADER_SIZE];
        size_t n, n_out;

        for (size_t i = 0; i < sizeof(content); i++)
                content[i] = (uint8_t)(i * 11);
        establish();
        for (unsigned i = 0; i < ELEMENTSOF(some); i++) {
                header_make(A, header);
                ck_assert_int_eq(epochs_seal(sides[A].epochs, header, (Slice){ content, some[i] },
                                             now, sealed, sizeof(sealed), &n),
                                 0);
                ck_assert_uint_eq(n, some[i] + EPOCH_DATA_OVERHEAD);
                if (some[i] > 0)
                        ck_assert_int_eq(epochs_unseal(sides[B].epochs, header,
                                                       (Slice){ sealed, n }, now, out, some[i] - 1,
                                                       &n_out),
                                         -ENOBUFS);
                ck_assert_int_eq(epochs_unseal(sides[B].epochs, header, (Slice){ sealed, n }, now,
                                               out, sizeof(out), &n_out),
                                 0);
                ck_assert_uint_eq(n_out, some[i]);
                ck_assert_mem_eq(out, content, some[i]);
        }
        header_make(A, header);
        ck_assert_int_eq(epochs_seal(sides[A].epochs, header,
                                     (Slice){ content, SEAL_CONTENT_MAX + 1 }, now, sealed,
                                     sizeof(sealed), &n),
                         -EMSGSIZE);
        ck_assert_int_eq(epochs_seal(sides[A].epochs, header, (Slice){ content, 10 }, now, sealed,
                                     10 + EPOCH_DATA_OVERHEAD - 1, &n),
                         -ENOBUFS);
        /* An OPEN of the same content fits as well. */
        pass_time(20 * MINUTE_USEC);
        header_make(A, header);
        ck_assert_int_eq(epochs_next(sides[A].epochs, now), SEALED_OPEN);
        ck_assert_int_eq(epochs_open(sides[A].epochs, header, &sides[B].record,
                                     (Slice){ content, SEAL_CONTENT_MAX }, now, sealed,
                                     sizeof(sealed), &n),
                         0);
        ck_assert_uint_eq(n, PACKET_PAYLOAD_MAX);
}
END_TEST

START_TEST(only_our_own_packets_to_the_peer_are_sealed) {
        Packet packet;

        establish();
        header_make(A, packet.header);
        for (unsigned at = 16; at < 40; at++) {
                packet.header[at] ^= 1;
                ck_assert_int_eq(epochs_seal(sides[A].epochs, packet.header, (Slice){ "x", 1 }, now,
                                             packet.payload, sizeof(packet.payload), &packet.n),
                                 -EINVAL);
                packet.header[at] ^= 1;
        }
        ck_assert_int_eq(epochs_open(sides[A].epochs, packet.header, &sides[A].record,
                                     (Slice){ "x", 1 }, now, packet.payload, sizeof(packet.payload),
                                     &packet.n),
                         -EINVAL);
}
END_TEST

/* T65 */
START_TEST(data_is_opened_once_and_8192_behind_is_too_late) {
        static Packet kept[REPLAY_WINDOW + 2];
        Packet packet;

        establish();
        for (unsigned i = 0; i < ELEMENTSOF(kept); i++)
                seal(A, "content", &kept[i]);
        ck_assert_int_eq(unseal(B, &kept[REPLAY_WINDOW + 1], NULL), 0);
        ck_assert_int_eq(unseal(B, &kept[REPLAY_WINDOW + 1], NULL), EPOCH_E_REPEATED);
        ck_assert_int_eq(unseal(B, &kept[0], NULL), EPOCH_E_REPEATED); /* 8193 behind */
        ck_assert_int_eq(unseal(B, &kept[1], NULL), EPOCH_E_REPEATED); /* 8192 */
        ck_assert_int_eq(unseal(B, &kept[2], NULL), 0);                /* 8191 */
        ck_assert_int_eq(unseal(B, &kept[2], NULL), EPOCH_E_REPEATED);
        ck_assert_int_eq(unseal(B, &kept[3], NULL), 0);

        packet = kept[3];
        memset(packet.payload + 8, 0xff, 8); /* counter 2^64-1 */
        check_refused(B, &packet);
        memset(packet.payload + 8, 0xfe, 8); /* far ahead, and forged: the window stays */
        check_refused(B, &packet);
        ck_assert_int_eq(unseal(B, &kept[4], NULL), 0);
}
END_TEST

START_TEST(the_window_knows_what_came) {
        static uint8_t came[40000];
        static ReplayWindow window;
        uint64_t newest = 0, seed = 4711;
        unsigned n_wrong = 0;

        for (unsigned i = 0; i < 60000; i++) {
                uint64_t ahead, counter;
                int expected;

                seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
                ahead = seed >> 33;
                /* near the newest, one window behind, or a jump */
                if (i % 1000 == 0)
                        counter = newest + ahead % 9000;
                else if (ahead & 1)
                        counter = newest + ahead % 4;
                else
                        counter = newest - MIN(newest, ahead % (REPLAY_WINDOW + 40));
                if (counter >= sizeof(came))
                        break;
                if (counter + REPLAY_WINDOW <= newest && window.end > 0)
                        expected = REPLAY_WINDOW_E_LATE;
                else
                        expected = came[counter] ? REPLAY_WINDOW_E_REPEATED : 0;
                n_wrong += replay_window_check(&window, counter) != expected;
                if (expected == 0) {
                        replay_window_note(&window, counter);
                        came[counter] = 1;
                        newest = MAX(newest, counter);
                }
        }
        ck_assert_uint_eq(n_wrong, 0);
        ck_assert_uint_gt(newest, 3 * REPLAY_WINDOW);

        /* Over more than it holds, at once. */
        replay_window_note(&window, UINT64_C(1) << 60);
        for (uint64_t i = 1; i < REPLAY_WINDOW; i++)
                n_wrong += replay_window_check(&window, (UINT64_C(1) << 60) - i) != 0;
        ck_assert_uint_eq(n_wrong, 0);
}
END_TEST

START_TEST(the_same_open_gets_the_same_accept_and_is_not_delivered) {
        Packet open, accept, again;

        ck_assert_int_eq(seal(A, "content", &open), SEALED_OPEN);
        ck_assert_int_eq(unseal(B, &open, &accept), 0);
        ck_assert_int_eq(unseal(B, &open, &again), SEAL_E_REPEATED);
        ck_assert_uint_eq(again.n, EPOCH_ACCEPT_SIZE);
        ck_assert_mem_eq(again.payload, accept.payload, EPOCH_ACCEPT_SIZE);
        ck_assert_int_eq(unseal(A, &again, NULL), 0);

        /* Once it is confirmed, who says it again lacks nothing. */
        ck_assert_int_eq(talk(A), SEALED_DATA);
        check_refused(B, &open);
        ck_assert_int_eq(talk(B), SEALED_DATA);
}
END_TEST

/* T65: a replayed OPEN diverts nothing. */
START_TEST(a_replayed_open_switches_nothing) {
        Packet open, accept;

        ck_assert_int_eq(seal(A, "content", &open), SEALED_OPEN);
        ck_assert_int_eq(unseal(B, &open, &accept), 0);
        ck_assert_int_eq(unseal(A, &accept, NULL), 0);
        ck_assert_int_eq(talk(A), SEALED_DATA);
        for (unsigned i = 0; i < 3; i++) {
                check_refused(B, &open);
                ck_assert_int_eq(talk(B), SEALED_DATA);
                pass_time(4 * MINUTE_USEC);
        }
        /* Also by a B who knows A no more, and was told of the packet no earlier than that. */
        meet(B);
        check_refused(B, &open);
}
END_TEST

START_TEST(an_open_that_is_not_newer_is_content_and_no_more) {
        Packet first, second, accept;

        ck_assert_int_eq(seal(A, "first", &first), SEALED_OPEN);
        pass_time(limits.open_wait_usec);
        ck_assert_int_eq(seal(A, "second", &second), SEALED_OPEN);
        ck_assert_int_eq(unseal(B, &second, &accept), 0);
        ck_assert_int_eq(unseal(A, &accept, NULL), 0);
        ck_assert_int_eq(unseal(B, &first, &accept), 0);
        ck_assert_mem_eq(opened, "first", 5);
        ck_assert_uint_eq(accept.n, 0);
        ck_assert_int_eq(talk(A), SEALED_DATA);
}
END_TEST

static const struct {
        const char *what;
        int64_t sent_at, now; /* seconds after NOW, when both attached */
        int condition;
} ages[] = {
        { "at once", 0, 0, 0 },
        { "2 s before the receiver attached", -2, 0, 0 },
        { "3 s before", -3, 0, SEAL_E_STALE },
        { "5 min old", 0, 300, 0 },
        { "older", 0, 301, SEAL_E_STALE },
        { "5 min in the future", 300, 0, 0 },
        { "more", 301, 0, SEAL_E_STALE },
};

START_TEST(the_age_of_an_open_decides) {
        Packet open, accept;
        int c;

        now.wall_usec = NOW + (uint64_t)ages[_i].sent_at * USEC_PER_SEC;
        ck_assert_int_eq(seal(A, "content", &open), SEALED_OPEN);
        now.wall_usec = NOW + (uint64_t)ages[_i].now * USEC_PER_SEC;
        c = unseal(B, &open, &accept);
        ck_assert_msg(c == ages[_i].condition, "%s: %d", ages[_i].what, c);
}
END_TEST

/* A hears that B does not know the epoch of @packet, a DATA of its own. */
static bool disown(const Packet *packet) {
        PacketId id;

        memcpy(id.bytes, packet->header + 40, sizeof(id.bytes));
        return epochs_disown(sides[A].epochs, load_le32(packet->payload + 4), &id);
}

START_TEST(opens_are_rare_while_none_is_answered) {
        uint64_t wait = 2 * USEC_PER_SEC;
        Packet packet, accept;

        for (unsigned i = 0; i < 8; i++) {
                ck_assert_int_eq(seal(A, "content", &packet), SEALED_OPEN);
                pass_time(wait - 1);
                ck_assert_int_eq(seal(A, "content", &packet), SEALED_ONE);
                pass_time(1);
                wait = MIN(2 * wait, MINUTE_USEC);
        }
        ck_assert_uint_eq(wait, MINUTE_USEC);
        ck_assert_int_eq(seal(A, "content", &packet), SEALED_OPEN);
        ck_assert_int_eq(unseal(B, &packet, &accept), 0);
        ck_assert_int_eq(unseal(A, &accept, NULL), 0);

        /* Answered; and yet not two within 2 s, whatever is said of the first (T68). */
        for (unsigned i = 0; i < 3; i++) {
                ck_assert_int_eq(seal(A, "content", &packet), SEALED_DATA);
                ck_assert(disown(&packet));
                ck_assert(!disown(&packet));
                ck_assert_int_eq(seal(A, "content", &packet), SEALED_ONE);
                pass_time(2 * USEC_PER_SEC);
                ck_assert_int_eq(talk(A), SEALED_OPEN);
        }
}
END_TEST

START_TEST(a_sid_is_disowned_for_packets_that_went_in_its_epoch) {
        Packet before, packet, other;

        ck_assert_int_eq(seal(A, "before", &before), SEALED_OPEN);
        pass_time(limits.open_wait_usec);
        establish();
        ck_assert_int_eq(seal(A, "content", &packet), SEALED_DATA);
        other = packet;
        memcpy(other.header, before.header, sizeof(other.header));
        ck_assert(!disown(&other));
        other = packet;
        other.payload[4] ^= 1;
        ck_assert(!disown(&other));
        ck_assert(is_live(A));
        ck_assert(disown(&packet));
        ck_assert(!is_live(A));
}
END_TEST

static const struct {
        const char *what;
        EpochLimits worn; /* fields that are not 0 replace the defaults */
        unsigned n_packets;
        uint64_t wait_usec;
} wears[] = {
        { "packets", { .rekey_packets = 5 }, 5, 0 },
        { "bytes", { .rekey_bytes = 7 * 4 + 1 }, 5, 0 },
        { "age", { .rekey_usec = 3 * MINUTE_USEC }, 1, 3 * MINUTE_USEC },
};

/* T71 */
START_TEST(a_worn_epoch_is_replaced_without_a_pause) {
        static Packet open, accept, old, packet;

        if (wears[_i].worn.rekey_packets > 0)
                limits.rekey_packets = wears[_i].worn.rekey_packets;
        if (wears[_i].worn.rekey_bytes > 0)
                limits.rekey_bytes = wears[_i].worn.rekey_bytes;
        if (wears[_i].worn.rekey_usec > 0)
                limits.rekey_usec = wears[_i].worn.rekey_usec;
        meet(A);
        meet(B);
        ck_assert_int_eq(talk(A), SEALED_OPEN);
        for (unsigned i = 0; i < wears[_i].n_packets; i++)
                ck_assert_int_eq(talk(A), SEALED_DATA);
        pass_time(MAX(limits.open_wait_usec, wears[_i].wait_usec));

        ck_assert_int_eq(talk(B), SEALED_DATA);
        ck_assert_int_eq(seal(A, "content", &old), SEALED_OPEN);
        open = old;
        ck_assert_int_eq(seal(A, "content", &old), SEALED_DATA); /* in the epoch of before */
        ck_assert_int_eq(unseal(B, &open, &accept), 0);
        ck_assert_int_eq(talk(B), SEALED_DATA); /* likewise: the new one is not confirmed */
        ck_assert_int_eq(talk(A), SEALED_DATA);
        ck_assert_int_eq(unseal(A, &accept, NULL), 0);
        ck_assert_int_eq(seal(A, "content", &packet), SEALED_DATA);
        ck_assert_mem_ne(packet.payload + 4, old.payload + 4, 4);
        ck_assert_int_eq(unseal(B, &packet, NULL), 0);
        ck_assert_int_eq(talk(B), SEALED_DATA);
        ck_assert_int_eq(unseal(B, &old, NULL), 0); /* it was late */
        ck_assert_int_eq(unseal(B, &old, NULL), EPOCH_E_REPEATED);
}
END_TEST

START_TEST(a_worn_epoch_goes_on_until_its_end_if_nobody_answers) {
        Packet packet, late[2];

        limits.rekey_packets = 2;
        limits.packets_max = 6;
        meet(A);
        establish();
        pass_time(MINUTE_USEC);
        ck_assert_int_eq(seal(A, "content", &packet), SEALED_DATA);
        ck_assert_int_eq(seal(A, "content", &packet), SEALED_OPEN);
        for (unsigned i = 0; i < 4; i++)
                ck_assert_int_eq(seal(A, "content", &packet), SEALED_DATA);
        ck_assert_int_eq(seal(A, "content", &packet), SEALED_ONE);
        ck_assert_int_eq(seal_as(A, SEALED_DATA, "content", &packet), EPOCH_E_NONE);

        pass_time(MINUTE_USEC);
        establish();
        pass_time(60 * MINUTE_USEC - 1);
        ck_assert(!is_live(A)); /* 30 min without use */
        pass_time(MINUTE_USEC);
        establish();
        for (unsigned i = 0; i < 3; i++) {
                pass_time(19 * MINUTE_USEC);
                ck_assert_int_eq(seal_as(B, SEALED_DATA, "content", &packet), 0);
                ck_assert_int_eq(unseal(A, &packet, NULL), 0);
        }
        ck_assert(is_live(B));
        ck_assert_int_eq(seal_as(B, SEALED_DATA, "content", &late[0]), 0);
        ck_assert_int_eq(seal_as(B, SEALED_DATA, "content", &late[1]), 0);
        pass_time(3 * MINUTE_USEC);
        ck_assert(!is_live(B));
        ck_assert_int_eq(seal_as(B, SEALED_DATA, "content", &packet), EPOCH_E_NONE);
        pass_time(5 * MINUTE_USEC);
        ck_assert_int_eq(unseal(A, &late[0], NULL), 0);
        pass_time(1);
        ck_assert_int_eq(unseal(A, &late[1], NULL), EPOCH_E_UNKNOWN);
}
END_TEST

START_TEST(who_opened_the_last_one_opens_the_next) {
        establish();
        pass_time(limits.rekey_usec);
        ck_assert_int_eq(epochs_next(sides[B].epochs, now), SEALED_DATA);
        ck_assert_int_eq(epochs_next(sides[A].epochs, now), SEALED_OPEN);
        pass_time(MINUTE_USEC);
        ck_assert_int_eq(epochs_next(sides[B].epochs, now), SEALED_OPEN);
}
END_TEST

START_TEST(two_old_epochs_receive_for_five_minutes) {
        static Packet late[4];

        for (unsigned i = 0; i < 4; i++) {
                pass_time(MINUTE_USEC);
                if (i > 0) {
                        Packet open, accept;

                        ck_assert_int_eq(seal_as(A, SEALED_OPEN, "content", &open), 0);
                        ck_assert_int_eq(unseal(B, &open, &accept), 0);
                        ck_assert_int_eq(unseal(A, &accept, NULL), 0);
                        ck_assert_int_eq(talk(A), SEALED_DATA);
                } else
                        establish();
                seal(A, "content", &late[i]);
        }
        ck_assert_int_eq(unseal(B, &late[3], NULL), 0);
        ck_assert_int_eq(unseal(B, &late[2], NULL), 0);
        ck_assert_int_eq(unseal(B, &late[0], NULL), EPOCH_E_UNKNOWN);
        pass_time(4 * MINUTE_USEC - 1); /* replaced 5 minutes ago, nearly */
        ck_assert_int_eq(unseal(B, &late[1], NULL), 0);
        seal(A, "content", &late[0]);
        pass_time(1);
        ck_assert_int_eq(unseal(B, &late[1], NULL), EPOCH_E_UNKNOWN);
        ck_assert_int_eq(unseal(B, &late[2], NULL), EPOCH_E_REPEATED);
        ck_assert_int_eq(unseal(B, &late[0], NULL), 0);
}
END_TEST

START_TEST(too_many_forgeries_end_an_epoch) {
        Packet packet, forged;

        limits.forged_max = 10;
        meet(B);
        establish();
        ck_assert_int_eq(seal(A, "content", &packet), SEALED_DATA);
        forged = packet;
        forged.payload[forged.n - 1] ^= 1;
        for (unsigned i = 0; i < 10; i++)
                ck_assert_int_eq(unseal(B, &forged, NULL), EPOCH_E_FORGED);
        ck_assert_int_eq(unseal(B, &packet, NULL), EPOCH_E_UNKNOWN);
        ck_assert(!is_live(B));
}
END_TEST

/* The wall clock of each side alone is seen to jump; T61. */
START_TEST(a_clock_that_jumps_ends_all_keys) {
        Packet open, accept;

        establish();
        now.wall_usec += 30 * USEC_PER_SEC;
        ck_assert(is_live(A));
        now.wall_usec -= 60 * USEC_PER_SEC;
        ck_assert(is_live(A));
        now.wall_usec -= 1;
        ck_assert(!is_live(A));
        now.wall_usec += 30 * USEC_PER_SEC;
        ck_assert(!is_live(A));
        pass_time(limits.open_wait_usec);
        ck_assert_int_eq(seal(A, "content", &open), SEALED_OPEN);
        ck_assert_int_eq(unseal(B, &open, &accept), 0);
        now.wall_usec += MINUTE_USEC;
        ck_assert_int_eq(unseal(A, &accept, NULL), EPOCH_E_UNKNOWN);
}
END_TEST

START_TEST(an_accept_for_a_key_that_is_gone_is_nothing) {
        Packet open, accept;

        ck_assert_int_eq(seal(A, "content", &open), SEALED_OPEN);
        ck_assert_int_eq(unseal(B, &open, &accept), 0);
        for (unsigned i = 0; i < SEAL_KEYS_MAX; i++) {
                EncryptionKey *key = NULL;

                ck_assert_int_eq(encryption_key_new_random(&key), 0);
                ck_assert_int_eq(sealer_add_key(sides[A].sealer, key), 0);
        }
        ck_assert_int_eq(unseal(A, &accept, NULL), EPOCH_E_UNKNOWN);
}
END_TEST

START_TEST(an_open_of_another_pair_makes_no_epoch) {
        uint8_t accept[EPOCH_ACCEPT_SIZE];
        Epochs *other = NULL;
        Packet packet;
        Opening opening;

        ck_assert_int_eq(
                epochs_new(&other, sides[B].sealer, identity_public(sides[B].identity), &limits),
                0);
        ck_assert_int_eq(seal(A, "content", &packet), SEALED_OPEN);
        ck_assert_int_eq(opening_read(&opening, sides[B].sealer, packet.header,
                                      (Slice){ packet.payload, packet.n }, now.wall_usec, opened,
                                      sizeof(opened), &n_opened),
                         0);
        ck_assert_int_eq(epochs_accept(other, &opening, now, accept), EPOCH_E_MALFORMED);
        opening_done(&opening);
        epochs_free(other);
}
END_TEST

START_TEST(a_forked_child_has_no_epochs) {
        Packet packet;
        int status;
        pid_t os_pid;

        establish();
        ck_assert_int_eq(seal(A, "content", &packet), SEALED_DATA);
        os_pid = test_fork();
        if (os_pid == 0)
                _exit(unseal(B, &packet, NULL) == EPOCH_E_FORKED && !is_live(A) &&
                                      seal_as(A, SEALED_DATA, "x", &packet) == EPOCH_E_NONE &&
                                      seal_as(A, SEALED_OPEN, "x", &packet) == SEAL_E_FORKED
                              ? 0
                              : 1);
        ck_assert_int_eq(waitpid(os_pid, &status, 0), os_pid);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        ck_assert_int_eq(unseal(B, &packet, NULL), 0);
}
END_TEST

static uint64_t draw(uint64_t *seed, uint64_t below) {
        *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        return (*seed >> 33) % below;
}

static const uint8_t *sending_sid(unsigned i, Packet *packet) {
        ck_assert_int_eq(seal(i, "content", packet), SEALED_DATA);
        return packet->payload + 4;
}

/* T69 */
START_TEST(both_open_at_once_and_come_to_send_in_one) {
        static Packet open[2], accept[2], data[2];
        uint64_t seed = 20261126;

        for (unsigned round = 0; round < 1000; round++) {
                unsigned first = (unsigned)draw(&seed, 2), second = (unsigned)draw(&seed, 2);

                pass_time(USEC_PER_SEC);
                meet(A);
                meet(B);
                for (unsigned i = 0; i < 2; i++)
                        ck_assert_int_eq(seal(i, "content", &open[i]), SEALED_OPEN);
                for (unsigned i = 0; i < 2; i++) {
                        unsigned to = i == 0 ? first : 1 - first;

                        ck_assert_int_eq(unseal(to, &open[1 - to], &accept[to]), 0);
                        ck_assert_uint_eq(accept[to].n, EPOCH_ACCEPT_SIZE);
                }
                for (unsigned i = 0; i < 2; i++) {
                        unsigned to = i == 0 ? second : 1 - second;

                        ck_assert_int_eq(unseal(to, &accept[1 - to], NULL), 0);
                        if (draw(&seed, 2) == 0)
                                continue;
                        /* what is sent now comes at once, or with what follows */
                        ck_assert_int_eq(seal(to, "content", &data[to]), SEALED_DATA);
                        ck_assert_int_eq(unseal(1 - to, &data[to], NULL), 0);
                }
                for (unsigned i = 0; i < 2; i++)
                        for (unsigned to = 0; to < 2; to++) {
                                ck_assert_int_eq(seal(1 - to, "content", &data[to]), SEALED_DATA);
                                ck_assert_int_eq(unseal(to, &data[to], NULL), 0);
                        }
                /* The smaller key is B's: the sid that A sends is the one of B's OPEN. */
                ck_assert_mem_eq(sending_sid(A, &data[0]), open[B].payload + 8, 4);
                ck_assert_mem_ne(sending_sid(B, &data[1]), open[A].payload + 8, 4);
        }
}
END_TEST

#define HELD 24

/*
 * A network that loses, doubles and reorders, epochs that wear out after a few packets, and sides
 * that forget everything now and then: each packet opens once at most, unchanged, and what is left
 * alone opens.
 */
#ifdef __SANITIZE_ADDRESS__ /* nearly all of it is spent in libsodium, at which nothing looks */
#define N_STEPS 4000
#else
#define N_STEPS 20000
#endif

START_TEST(whatever_is_lost_or_doubled_each_opens_once) {
        static Packet held[HELD], answer;
        static uint8_t came[200000];
        unsigned n_opened_in_all = 0, n_data = 0, n_forgotten = 0;
        uint64_t seed = 42 + (uint64_t)_i;

        limits.rekey_packets = 7;
        limits.packets_max = 20;
        limits.open_wait_usec = 1000;
        limits.open_wait_max_usec = 8000;
        meet(A);
        meet(B);
        for (unsigned step = 0; step < N_STEPS; step++) {
                Packet *at = &held[draw(&seed, HELD)];
                unsigned from = (unsigned)draw(&seed, 2), to;
                char content[32];
                int r;

                pass_time(draw(&seed, 300));
                if (draw(&seed, N_STEPS / 10) == 0) {
                        meet(from);
                        n_forgotten++;
                }
                (void)snprintf(content, sizeof(content), "%u %llu", from,
                               (unsigned long long)unique);
                (void)seal(from, content, at); /* what was there is lost */
                at = &held[draw(&seed, HELD)];
                if (at->n == 0)
                        continue;
                to = load_be64(at->header + 16) == identity_hash(sides[A].identity)->address.pid
                             ? B
                             : A;
                n_opened = 0;
                answer.n = 0;
                r = unseal(to, at, &answer);
                ck_assert_int_ge(r, 0);
                if (answer.n > 0 && draw(&seed, 4) > 0)
                        (void)unseal(1 - to, &answer, NULL);
                if (r != 0)
                        continue;
                n_opened_in_all++;
                n_data += at->payload[0] == SEALED_DATA;
                (void)snprintf(content, sizeof(content), "%u %llu", 1 - to,
                               (unsigned long long)load_be64(at->header + 48));
                ck_assert_uint_eq(n_opened, strlen(content));
                ck_assert_mem_eq(opened, content, n_opened);
                ck_assert_uint_eq(came[load_be64(at->header + 48)]++, 0);
        }
        ck_assert_uint_gt(n_opened_in_all, N_STEPS / 4);
        ck_assert_uint_gt(n_data, N_STEPS / 20);
        ck_assert_uint_gt(n_forgotten, 0);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("epoch");
        TCase *tcase = tcase_create("epoch");

        tcase_add_checked_fixture(tcase, load, unload);
        tcase_add_test(tcase, open_accept_and_data_are_those_of_the_vectors);
        tcase_add_test(tcase, the_first_packet_opens_and_nothing_waits_for_the_answer);
        tcase_add_test(tcase, every_bit_of_an_open_counts);
        tcase_add_test(tcase, every_bit_of_an_accept_counts_and_a_false_one_does_no_harm);
        tcase_add_test(tcase, every_bit_of_a_data_counts);
        tcase_add_test(tcase, every_size_up_to_the_largest_packet);
        tcase_add_test(tcase, only_our_own_packets_to_the_peer_are_sealed);
        tcase_add_test(tcase, data_is_opened_once_and_8192_behind_is_too_late);
        tcase_add_test(tcase, the_same_open_gets_the_same_accept_and_is_not_delivered);
        tcase_add_test(tcase, a_replayed_open_switches_nothing);
        tcase_add_test(tcase, an_open_that_is_not_newer_is_content_and_no_more);
        tcase_add_loop_test(tcase, the_age_of_an_open_decides, 0, ELEMENTSOF(ages));
        tcase_add_test(tcase, opens_are_rare_while_none_is_answered);
        tcase_add_test(tcase, a_sid_is_disowned_for_packets_that_went_in_its_epoch);
        tcase_add_loop_test(tcase, a_worn_epoch_is_replaced_without_a_pause, 0, ELEMENTSOF(wears));
        tcase_add_test(tcase, a_worn_epoch_goes_on_until_its_end_if_nobody_answers);
        tcase_add_test(tcase, who_opened_the_last_one_opens_the_next);
        tcase_add_test(tcase, two_old_epochs_receive_for_five_minutes);
        tcase_add_test(tcase, too_many_forgeries_end_an_epoch);
        tcase_add_test(tcase, a_clock_that_jumps_ends_all_keys);
        tcase_add_test(tcase, an_accept_for_a_key_that_is_gone_is_nothing);
        tcase_add_test(tcase, an_open_of_another_pair_makes_no_epoch);
        tcase_add_test(tcase, a_forked_child_has_no_epochs);
        tcase_add_test(tcase, both_open_at_once_and_come_to_send_in_one);
        tcase_add_loop_test(tcase, whatever_is_lost_or_doubled_each_opens_once, 0, 4);
        suite_add_tcase(suite, tcase);

        tcase = tcase_create("replay window");
        tcase_add_test(tcase, the_window_knows_what_came);
        suite_add_tcase(suite, tcase);
        return suite;
}
