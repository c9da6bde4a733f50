/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Somebody between bridge and relay replaces one message: first byte which, second how (0: the
 * input is the message; 1: it is laid over the true one, which keeps its length; 2: over the true
 * one cut to that length). Nothing that differs from what was sent gets through.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libsecure/link.h"
#include "tests/fuzz/fuzz.h"

#define NOW UINT64_C(0x0006474846204000)

typedef struct Side {
        IdentityKey *identity;
        EncryptionKey *key;
        uint8_t record[SIGNED_RECORD_SIZE_MAX];
        size_t n_record;
} Side;

static Side bridge, relay;

static void check(int r) {
        if (r != 0)
                abort();
}

static void side_make(Side *side, SignedRecordType type) {
        uint8_t secret[32] = { (uint8_t)type };
        SignedRecord record = {
                .type = type,
                .issued_usec = NOW,
                .not_after_usec = NOW + SIGNED_RECORD_RELAY_LIFE_USEC,
        };

        check(identity_new_from_seed(&side->identity, secret));
        check(encryption_key_new_from_secret(&side->key, secret));
        memcpy(type == SIGNED_RECORD_RELAY ? record.relay.encpk : record.presence.encpk,
               encryption_key_public(side->key), CRYPTO_DH_SIZE);
        check(signed_record_sign(&record, side->identity, side->record, sizeof(side->record),
                                 &side->n_record));
}

static Link *side_link(const Side *side, bool initiator) {
        Link *link = NULL;

        check(link_new(&link, &(LinkOptions){
                                      .initiator = initiator,
                                      .initiator_role = LINK_ROLE_BRIDGE,
                                      .identity = side->identity,
                                      .key = side->key,
                                      .record = { side->record, side->n_record },
                              }));
        return link;
}

/* Changes @message as the input says; returns whether it differs now. */
static bool disturb(const uint8_t *data, size_t n_data, unsigned how, uint8_t *message, size_t size,
                    size_t *n) {
        uint8_t before[LINK_HANDSHAKE_MAX];
        size_t n_before = *n, n_laid = n_data < *n ? n_data : *n;

        memcpy(before, message, n_before);
        if (how % 3 == 0) {
                *n = n_data < size ? n_data : size;
                if (*n > 0)
                        memcpy(message, data, *n);
        } else {
                for (size_t i = 0; i < n_laid; i++)
                        message[i] ^= data[i];
                if (how % 3 == 2)
                        *n = n_laid;
        }
        return *n != n_before || memcmp(before, message, n_before) != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data) {
        uint8_t message[LINK_HANDSHAKE_MAX], out[LINK_HANDSHAKE_MAX];
        Link *links[2];
        bool changed = false;
        size_t n = 0;
        int r = 0;

        if (n_data < 2)
                return 0;
        if (!bridge.identity) {
                side_make(&bridge, SIGNED_RECORD_PRESENCE);
                side_make(&relay, SIGNED_RECORD_RELAY);
        }
        links[0] = side_link(&bridge, true);
        links[1] = side_link(&relay, false);
        for (unsigned i = 0; i < 4 && r == 0; i++) {
                Link *from = links[i == 1], *to = links[i != 1];

                if (link_state(from) == LINK_PROVEN)
                        check(link_accept(from));
                if (link_state(to) == LINK_PROVEN)
                        check(link_accept(to));
                if (i < 3) {
                        r = link_create(from, message, sizeof(message), &n);
                        assert(r == 0 || (changed && r == LINK_E_VIOLATION));
                        if (r != 0)
                                break;
                } else {
                        memset(message, 'x', 64);
                        check(link_encrypt(from, message, 64, message));
                        n = 64 + LINK_OVERHEAD;
                }
                if (data[0] % 4 == i)
                        changed = disturb(data + 2, n_data - 2, data[1], message, sizeof(message),
                                          &n);
                r = i < 3 ? link_consume(to, message, n, NOW) : link_decrypt(to, message, n, out);
                if (r != 0)
                        assert(link_state(to) == LINK_DEAD);
                /* msg1 is not authenticated by itself: a change of it shows at msg2 */
                assert((r != 0) == (changed && (i > 0 || n != LINK_MSG1_SIZE)));
        }
        link_free(links[0]);
        link_free(links[1]);
        return 0;
}
