/* SPDX-License-Identifier: Apache-2.0 */

/* The byte layout is the table in PROTOCOL.md, "Sealing". */

#include "libsecure/epoch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libcore/buf.h"
#include "libcore/err.h"
#include "libsecure/sealer.h"
#include "libsecure/secret.h"

#define DATA_HEAD_SIZE 16
#define AD_SIZE (PACKET_HEADER_SIZE + DATA_HEAD_SIZE)
#define UNIQUE_AT 48                         /* in a header: the last 8 bytes of the id */
#define REKEY_GRACE_USEC (30 * USEC_PER_SEC) /* who opened the last one opens the next */

static_assert(EPOCH_DATA_OVERHEAD == DATA_HEAD_SIZE + CRYPTO_TAG_SIZE, "DATA");

Epoch *epoch_new(NoiseHandshake *handshake, EpochTime time) {
        Epoch *e = calloc(1, sizeof(*e));

        if (!e)
                return NULL;
        e->keys = secret_alloc(sizeof(*e->keys));
        if (!e->keys) {
                free(e);
                return NULL;
        }
        noise_split(handshake, &e->keys->send, &e->keys->receive);
        e->made_usec = e->used_usec = time.now_usec;
        e->wall_offset = time.wall_usec - time.now_usec;
        return e;
}

Epoch *epoch_free(Epoch *e) {
        if (!e)
                return NULL;
        secret_free(e->keys);
        free(e);
        return NULL;
}

/* A copied machine runs on with a clock that is set right sooner or later: its keys end then. */
bool epoch_clock_jumped(uint64_t offset, const EpochLimits *l, EpochTime time) {
        uint64_t now = time.wall_usec - time.now_usec;

        return ((int64_t)(now - offset) < 0 ? offset - now : now - offset) > l->jump_usec;
}

bool epoch_has_ended(const Epoch *e, const EpochLimits *l, EpochTime time) {
        return !secret_is_alive(e->keys) || e->n_forged >= l->forged_max ||
               time.now_usec - e->used_usec > l->idle_usec ||
               time.now_usec - e->made_usec > l->life_usec + l->old_usec ||
               (e->drop_usec > 0 && time.now_usec >= e->drop_usec) ||
               epoch_clock_jumped(e->wall_offset, l, time);
}

bool epoch_may_send(const Epoch *e, const EpochLimits *l, EpochTime time) {
        return time.now_usec - e->made_usec < l->life_usec &&
               e->keys->send.counter < l->packets_max;
}

bool epoch_is_worn(const Epoch *e, const EpochLimits *l, EpochTime time) {
        return e->keys->send.counter >= l->rekey_packets || e->n_bytes >= l->rekey_bytes ||
               time.now_usec - e->made_usec >= l->rekey_usec + (e->is_ours ? 0 : REKEY_GRACE_USEC);
}

bool epoch_may_have_sent(const Epoch *e, uint64_t unique) {
        return secret_is_alive(e->keys) && e->keys->send.counter > 0 &&
               unique - e->first_id <= e->last_id - e->first_id;
}

static void ad_make(uint8_t ad[static AD_SIZE], const uint8_t *header, const uint8_t *head) {
        crypto_label(SEAL_LABEL, ad);
        memcpy(ad + PACKET_AUTHENTICATED_AT, header + PACKET_AUTHENTICATED_AT,
               PACKET_HEADER_SIZE - PACKET_AUTHENTICATED_AT);
        memcpy(ad + PACKET_HEADER_SIZE, head, DATA_HEAD_SIZE);
}

int epoch_data_decode(Slice payload, uint32_t *ret_sid, uint64_t *ret_counter) {
        BufReader r = buf_reader(payload.data, payload.size);
        uint8_t type, suite;
        uint16_t zero;

        type = buf_get_u8(&r);
        suite = buf_get_u8(&r);
        zero = buf_get_le16(&r);
        *ret_sid = buf_get_le32(&r);
        *ret_counter = buf_get_le64(&r);
        if (r.failed || buf_left(&r) < CRYPTO_TAG_SIZE || type != SEALED_DATA ||
            suite != SEAL_SUITE || zero != 0 || *ret_counter == UINT64_MAX)
                return EPOCH_E_MALFORMED;
        return 0;
}

int epoch_seal(Epoch *e, const uint8_t header[static PACKET_HEADER_SIZE], Slice content,
               EpochTime time, uint8_t *out) {
        BufWriter w = buf_writer(out, DATA_HEAD_SIZE);
        uint64_t unique = load_be64(header + UNIQUE_AT);
        uint8_t ad[AD_SIZE];

        buf_put_u8(&w, SEALED_DATA);
        buf_put_u8(&w, SEAL_SUITE);
        buf_put_le16(&w, 0);
        buf_put_le32(&w, e->peer_sid);
        buf_put_le64(&w, e->keys->send.counter);
        assert(!w.failed && w.at == DATA_HEAD_SIZE);
        ad_make(ad, header, out);
        if (noise_encrypt(&e->keys->send, (Slice){ ad, sizeof(ad) }, content.data, content.size,
                          out + DATA_HEAD_SIZE) != 0)
                return EPOCH_E_NONE;
        if (e->keys->send.counter == 1)
                e->first_id = unique;
        e->last_id = unique;
        e->n_bytes += content.size;
        e->used_usec = time.now_usec;
        return 0;
}

int epoch_unseal(Epoch *e, const uint8_t header[static PACKET_HEADER_SIZE], Slice payload,
                 uint64_t counter, EpochTime time, uint8_t *out) {
        const uint8_t *bytes = payload.data;
        uint8_t ad[AD_SIZE];

        if (replay_window_check(&e->window, counter) != 0)
                return EPOCH_E_REPEATED;
        ad_make(ad, header, bytes);
        e->keys->receive.counter = counter;
        if (noise_decrypt(&e->keys->receive, (Slice){ ad, sizeof(ad) }, bytes + DATA_HEAD_SIZE,
                          payload.size - DATA_HEAD_SIZE, out) != 0) {
                e->n_forged++;
                return EPOCH_E_FORGED;
        }
        replay_window_note(&e->window, counter);
        e->used_usec = time.now_usec;
        return 0;
}
