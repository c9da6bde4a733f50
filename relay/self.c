/* SPDX-License-Identifier: Apache-2.0 */

#include "relay/self.h"

#include "libcore/err.h"
#include "libcore/packet.h"

#define FRESH_USEC (60 * USEC_PER_SEC) /* a record younger than this is used again */

struct Self {
        IdentityKey *identity;
        EncryptionKey *key;
        bool open;
        unsigned n_urls;
        char *urls[SIGNED_RECORD_URLS_MAX];
        uint64_t signed_usec; /* 0: never, or not as things are */
        size_t n_record;
        uint8_t record[SIGNED_RECORD_SIZE_MAX];
};

int self_new(Self **ret, IdentityKey *identity) {
        _cleanup_(self_freep) Self *self = NULL;
        int r;

        self = calloc(1, sizeof(*self));
        if (!self)
                return err_origin(-ENOMEM);
        r = encryption_key_new_random(&self->key);
        if (r < 0)
                return err_trace(r);
        self->identity = identity;
        *ret = TAKE_PTR(self);
        return 0;
}

Self *self_free(Self *self) {
        if (!self)
                return NULL;
        for (unsigned i = 0; i < self->n_urls; i++)
                free(self->urls[i]);
        encryption_key_free(self->key);
        identity_free(self->identity);
        free(self);
        return NULL;
}

int self_add_url(Self *self, const char *url) {
        if (self->n_urls == SIGNED_RECORD_URLS_MAX)
                return 0;
        self->urls[self->n_urls] = strdup(url);
        if (!self->urls[self->n_urls])
                return err_origin(-ENOMEM);
        self->n_urls++;
        self->signed_usec = 0;
        return 0;
}

void self_set_open(Self *self, bool open) {
        self->open = open;
        self->signed_usec = 0;
}

const IdentityKey *self_identity(const Self *self) {
        return self->identity;
}

const EncryptionKey *self_key(const Self *self) {
        return self->key;
}

int self_record(Self *self, uint64_t wall_usec, Slice *ret) {
        bool fresh = self->signed_usec != 0 && wall_usec >= self->signed_usec &&
                     wall_usec - self->signed_usec < FRESH_USEC;

        if (!fresh) {
                SignedRecord record = {
                        .type = SIGNED_RECORD_RELAY,
                        .issued_usec = wall_usec,
                        .not_after_usec = wall_usec + SIGNED_RECORD_RELAY_LIFE_USEC,
                        .relay = {
                                .flags = self->open ? RELAY_OPEN : 0,
                                .max_frame = FRAME_SIZE_MAX,
                                .n_urls = (uint16_t)self->n_urls,
                        },
                };
                int r;

                memcpy(record.relay.encpk, encryption_key_public(self->key), CRYPTO_DH_SIZE);
                for (unsigned i = 0; i < self->n_urls; i++)
                        record.relay.urls[i] = (Slice){ self->urls[i], strlen(self->urls[i]) };
                r = signed_record_sign(&record, self->identity, self->record, sizeof(self->record),
                                       &self->n_record);
                if (r != 0)
                        return r;
                self->signed_usec = wall_usec;
        }
        *ret = (Slice){ self->record, self->n_record };
        return 0;
}
