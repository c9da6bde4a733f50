/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The first byte says what the rest is: 0 a payload for a process that expects sealed packets, 1
 * something laid over a true sealed packet, its header included. Nothing opens but what was sealed.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libsecure/seal.h"
#include "tests/fuzz/fuzz.h"

#define NOW UINT64_C(0x0006474846204000)

typedef struct Side {
        IdentityKey *identity;
        Sealer *sealer;
        SignedRecord lease;
} Side;

static Side from, to;

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data) {
        static uint64_t unique;
        uint8_t packet[PACKET_HEADER_SIZE + 2048], before[sizeof(packet)], out[sizeof(packet)];
        size_t n_sealed = 0, n_out;
        SealedSender sender;
        int r;

        if (n_data < 1)
                return 0;
        if (!from.identity) {
                side_make(&from, 1);
                side_make(&to, 2);
        }
        packet_header_encode(
                &(PacketHeader){
                        .size = PACKET_HEADER_SIZE,
                        .src = identity_hash(from.identity)->address,
                        .dst = identity_hash(to.identity)->address,
                        .id = packet_id_make(NOW, unique++),
                        .deadline_usec = NOW + USEC_PER_SEC,
                        .kind = PACKET_SEALED,
                },
                packet);
        check(seal_one(from.sealer, packet, &to.lease, (Slice){ "content", 7 }, NOW,
                       packet + PACKET_HEADER_SIZE, sizeof(packet) - PACKET_HEADER_SIZE,
                       &n_sealed));
        memcpy(before, packet, PACKET_HEADER_SIZE + n_sealed);
        if (data[0] % 2 == 0) {
                n_sealed = n_data - 1 < 2048 ? n_data - 1 : 2048;
                memcpy(packet + PACKET_HEADER_SIZE, data + 1, n_sealed);
                r = open_one(to.sealer, packet, (Slice){ packet + PACKET_HEADER_SIZE, n_sealed },
                             NOW, out, sizeof(out), &n_out, &sender);
                assert(r > 0);
                return 0;
        }
        for (size_t i = 0; i < n_data - 1 && i < PACKET_HEADER_SIZE + n_sealed; i++)
                packet[i] ^= data[1 + i];
        r = open_one(to.sealer, packet, (Slice){ packet + PACKET_HEADER_SIZE, n_sealed }, NOW, out,
                     sizeof(out), &n_out, &sender);
        if (memcmp(packet + PACKET_AUTHENTICATED_AT, before + PACKET_AUTHENTICATED_AT,
                   PACKET_HEADER_SIZE - PACKET_AUTHENTICATED_AT + n_sealed) == 0)
                assert(r == 0 && n_out == 7 && memcmp(out, "content", 7) == 0);
        else
                assert(r > 0);
        return 0;
}
