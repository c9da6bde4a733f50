/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The first byte says what the rest is: 0 a payload for a process that has an epoch and waits for an
 * ACCEPT; else something laid over a true packet, its header included: 1 an OPEN, 2 an ACCEPT, 3 a
 * DATA. Nothing opens but what was sealed, and what opens is what went in.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libsecure/epochs.h"
#include "tests/fuzz/fuzz.h"

#define NOW UINT64_C(0x0006474846204000)
#define SIZE_HERE 2048

typedef struct Side {
        IdentityKey *identity;
        Sealer *sealer;
        SignedRecord lease;
        Epochs *epochs;
} Side;

typedef struct Packet {
        uint8_t bytes[PACKET_HEADER_SIZE + SIZE_HERE];
        size_t n; /* of the payload */
} Packet;

static const EpochTime now = { .now_usec = USEC_PER_SEC, .wall_usec = NOW };
static Side from, to;
static uint64_t unique;
static uint8_t out[SIZE_HERE];
static size_t n_out;

static void check(int r) {
        if (r != 0)
                abort();
}

static void side_make(Side *side, uint8_t number) {
        uint8_t secret[32] = { number }, bytes[SIGNED_RECORD_LEASE_SIZE];
        size_t n;

        check(identity_new_from_seed(&side->identity, secret));
        check(sealer_new(&side->sealer, side->identity, NOW));
        side->lease = (SignedRecord){
                .type = SIGNED_RECORD_LEASE,
                .issued_usec = NOW,
                .not_after_usec = NOW + SIGNED_RECORD_LEASE_LIFE_USEC,
                .signer = *identity_public(side->identity),
                .lease.enc_until_usec = NOW + SIGNED_RECORD_LEASE_LIFE_USEC,
        };
        memcpy(side->lease.lease.encpk, sealer_encpk(side->sealer), CRYPTO_DH_SIZE);
        check(signed_record_sign(&side->lease, side->identity, bytes, sizeof(bytes), &n));
        check(sealer_set_lease(side->sealer, bytes, n));
}

static void meet(void) {
        epochs_free(from.epochs);
        epochs_free(to.epochs);
        check(epochs_new(&from.epochs, from.sealer, identity_public(to.identity),
                         &epoch_limits_default));
        check(epochs_new(&to.epochs, to.sealer, identity_public(from.identity),
                         &epoch_limits_default));
}

static Slice payload_of(const Packet *packet) {
        return (Slice){ packet->bytes + PACKET_HEADER_SIZE, packet->n };
}

static void seal(SealedType type, Packet *ret) {
        const Slice content = { "content", 7 };
        uint8_t *payload = ret->bytes + PACKET_HEADER_SIZE;

        packet_header_encode(
                &(PacketHeader){
                        .size = PACKET_HEADER_SIZE,
                        .src = identity_hash(from.identity)->address,
                        .dst = identity_hash(to.identity)->address,
                        .id = packet_id_make(NOW + unique, unique),
                        .deadline_usec = NOW + unique + USEC_PER_SEC,
                        .kind = PACKET_SEALED,
                },
                ret->bytes);
        unique++;
        if (type == SEALED_OPEN)
                check(epochs_open(from.epochs, ret->bytes, &to.lease, content, now, payload,
                                  SIZE_HERE, &ret->n));
        else
                check(epochs_seal(from.epochs, ret->bytes, content, now, payload, SIZE_HERE,
                                  &ret->n));
}

static int accept_open(const Packet *packet, Packet *answer) {
        Opening opening;
        int r;

        r = opening_read(&opening, to.sealer, packet->bytes, payload_of(packet), NOW + unique, out,
                         sizeof(out), &n_out);
        if (r == 0)
                check(epochs_accept(to.epochs, &opening, now, answer->bytes + PACKET_HEADER_SIZE));
        opening_done(&opening);
        answer->n = r == 0 ? EPOCH_ACCEPT_SIZE : 0;
        return r;
}

static int confirm(const Packet *answer) {
        return epochs_confirm(from.epochs, payload_of(answer), now);
}

static int unseal(const Packet *packet) {
        return epochs_unseal(to.epochs, packet->bytes, payload_of(packet), now, out, sizeof(out),
                             &n_out);
}

/* Return: whether anything that counts was changed; of an ACCEPT, the header does not. */
static bool lay_over(Packet *packet, bool header, const uint8_t *data, size_t n_data) {
        Packet before = *packet;
        size_t first = header ? PACKET_AUTHENTICATED_AT : PACKET_HEADER_SIZE;

        for (size_t i = 0; i < n_data && i < PACKET_HEADER_SIZE + packet->n; i++)
                packet->bytes[i] ^= data[i];
        return memcmp(packet->bytes + first, before.bytes + first,
                      PACKET_HEADER_SIZE + packet->n - first) != 0;
}

static void check_opened(bool changed, int r) {
        if (changed)
                assert(r > 0);
        else
                assert(r == 0 && n_out == 7 && memcmp(out, "content", 7) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data) {
        static Packet packet, answer;
        uint8_t accept[EPOCH_ACCEPT_SIZE];
        bool changed;
        int r;

        if (n_data < 1)
                return 0;
        if (!from.identity) {
                side_make(&from, 1);
                side_make(&to, 2);
        }
        meet();
        seal(SEALED_OPEN, &packet);
        if (data[0] % 4 == 1) {
                changed = lay_over(&packet, true, data + 1, n_data - 1);
                r = accept_open(&packet, &answer);
                check_opened(changed, r);
                assert(epochs_accept_again(to.epochs, payload_of(&packet), accept) == (r == 0));
                return 0;
        }
        check(accept_open(&packet, &answer));
        if (data[0] % 4 == 2) {
                changed = lay_over(&answer, false, data + 1, n_data - 1);
                assert((confirm(&answer) > 0) == changed);
                assert(epochs_is_live(from.epochs, now) != changed);
                return 0;
        }
        check(confirm(&answer));
        seal(SEALED_DATA, &packet);
        if (data[0] % 4 == 3) {
                changed = lay_over(&packet, true, data + 1, n_data - 1);
                check_opened(changed, unseal(&packet));
                return 0;
        }
        check(unseal(&packet));
        seal(SEALED_OPEN, &packet); /* so that somebody waits */
        packet.n = n_data - 1 < SIZE_HERE ? n_data - 1 : SIZE_HERE;
        memcpy(packet.bytes + PACKET_HEADER_SIZE, data + 1, packet.n);
        assert(accept_open(&packet, &answer) > 0);
        assert(confirm(&packet) > 0);
        assert(unseal(&packet) > 0);
        (void)epochs_accept_again(to.epochs, payload_of(&packet), accept);
        return 0;
}
