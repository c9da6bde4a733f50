/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/presence.h"

#include "libcore/err.h"

struct Presence {
        const IdentityKey *identity;
        EncryptionKey *key;
        PublicKey relays[SIGNED_RECORD_RELAYS_MAX];
        uint16_t n_relays;
        uint64_t issued_usec;
        uint8_t bytes[SIGNED_RECORD_SIZE_MAX];
        size_t n_bytes; /* 0: to be made */
};

int presence_new(Presence **ret, const IdentityKey *identity) {
        _cleanup_(presence_freep) Presence *presence = NULL;
        int r;

        presence = calloc(1, sizeof(*presence));
        if (!presence)
                return err_origin(-ENOMEM);
        presence->identity = identity;
        r = encryption_key_new_random(&presence->key);
        if (r < 0)
                return err_trace(r);
        *ret = TAKE_PTR(presence);
        return 0;
}

Presence *presence_free(Presence *presence) {
        if (!presence)
                return NULL;
        encryption_key_free(presence->key);
        free(presence);
        return NULL;
}

const IdentityKey *presence_identity(const Presence *presence) {
        return presence->identity;
}

const EncryptionKey *presence_key(const Presence *presence) {
        return presence->key;
}

void presence_add_relay(Presence *presence, const PublicKey *key) {
        for (unsigned i = 0; i < presence->n_relays; i++)
                if (key_equal(&presence->relays[i], key))
                        return;
        if (presence->n_relays == SIGNED_RECORD_RELAYS_MAX)
                return;
        presence->relays[presence->n_relays++] = *key;
        presence->n_bytes = 0;
}

void presence_remove_relay(Presence *presence, const PublicKey *key) {
        for (unsigned i = 0; i < presence->n_relays; i++)
                if (key_equal(&presence->relays[i], key)) {
                        presence->relays[i] = presence->relays[--presence->n_relays];
                        presence->n_bytes = 0;
                        return;
                }
}

/* `issued` is also the sequence number: it grows even when the clock does not. */
static int presence_make(Presence *presence, uint64_t now_usec) {
        SignedRecord record = {
                .type = SIGNED_RECORD_PRESENCE,
                .issued_usec = MAX(now_usec, presence->issued_usec + 1),
                .presence.n_relays = presence->n_relays,
        };
        int r;

        record.not_after_usec = record.issued_usec + SIGNED_RECORD_PRESENCE_LIFE_USEC;
        memcpy(record.presence.encpk, encryption_key_public(presence->key), CRYPTO_DH_SIZE);
        memcpy(record.presence.relays, presence->relays, sizeof(presence->relays));

        r = signed_record_sign(&record, presence->identity, presence->bytes,
                               sizeof(presence->bytes), &presence->n_bytes);
        if (r != 0) {
                presence->n_bytes = 0;
                return err_fold(r); /* we never fork */
        }
        presence->issued_usec = record.issued_usec;
        return 0;
}

int presence_get(Presence *presence, uint64_t now_usec, Slice *ret) {
        bool stale = now_usec < presence->issued_usec ||
                     now_usec - presence->issued_usec > PRESENCE_RENEW_USEC;

        if (presence->n_bytes == 0 || stale) {
                int r = presence_make(presence, now_usec);

                if (r < 0)
                        return err_trace(r);
        }
        *ret = (Slice){ .data = presence->bytes, .size = presence->n_bytes };
        return 0;
}
