/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The byte layout is the table in PROTOCOL.md, "Sealing".
 *
 *      pending   we sent an OPEN; its ACCEPT makes an epoch that is current at once
 *      offered   the peer sent an OPEN, and we an ACCEPT: receives, and is current from the first
 *                DATA in it on, since only that proves that the OPEN was no replay
 *      current   sends and receives
 *      old       was current; receives for a while
 *
 * When OPENs cross, both epochs are good, and both sides come to send in the one whose opener has
 * the smaller key. What has ended is found whenever somebody calls: nothing here needs a timer.
 */

#include "libsecure/epochs.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libcore/buf.h"
#include "libcore/err.h"
#include "libsecure/sealer.h"
#include "libsecure/secret.h"

#define ACCEPT_HEAD_SIZE 8
#define ACCEPT_CONTENT_SIZE 8            /* sid 4, flags 4 */
#define ROUTE_AT PACKET_AUTHENTICATED_AT /* in a header: both PIDs, both TAGs */
#define ROUTE_SIZE 24
#define ID_AT (ROUTE_AT + ROUTE_SIZE)

#define MINUTE_USEC (60 * USEC_PER_SEC)
#define PENDING_USEC MINUTE_USEC         /* an ACCEPT that comes later is not waited for */
#define OFFERED_USEC (10 * USEC_PER_SEC) /* so long we leave it to the peer to confirm */

static_assert(EPOCH_ACCEPT_SIZE ==
                      ACCEPT_HEAD_SIZE + CRYPTO_DH_SIZE + ACCEPT_CONTENT_SIZE + CRYPTO_TAG_SIZE,
              "ACCEPT");

const EpochLimits epoch_limits_default = {
        .rekey_packets = UINT64_C(1) << 20,
        .rekey_bytes = UINT64_C(1) << 36,
        .rekey_usec = 15 * MINUTE_USEC,
        .packets_max = UINT64_C(1) << 32,
        .life_usec = 60 * MINUTE_USEC,
        .idle_usec = 30 * MINUTE_USEC,
        .old_usec = 5 * MINUTE_USEC,
        .forged_max = UINT64_C(1) << 20,
        .open_wait_usec = 2 * USEC_PER_SEC,
        .open_wait_max_usec = MINUTE_USEC,
        .jump_usec = 30 * USEC_PER_SEC,
};

/* In libsecure/secret.h memory. */
typedef struct Pending {
        NoiseHandshake handshake;
        uint8_t own[CRYPTO_DH_SIZE]; /* the public part of the handshake's static key */
        uint32_t sid;
        uint32_t crosses;
        uint64_t made_usec;
        uint64_t wall_offset;
} Pending;

struct Epochs {
        Sealer *sealer;
        PublicKey peer;
        bool is_smaller; /* our key than the peer's */
        uint8_t route_out[ROUTE_SIZE], route_in[ROUTE_SIZE];
        EpochLimits limits;
        Epoch *current, *offered, *old[EPOCH_OLD_MAX];
        uint32_t open_sid; /* what the offered one answered, and how */
        uint8_t open_tag[CRYPTO_TAG_SIZE];
        uint8_t accept[EPOCH_ACCEPT_SIZE];
        Pending *pending;
        uint64_t opened_usec;   /* when the last OPEN that we took was sent, by the peer's clock */
        uint64_t may_open_usec; /* not before */
        uint64_t open_wait_usec;
};

/* Life and death */

static void route_make(uint8_t out[static ROUTE_SIZE], Address src, Address dst) {
        BufWriter w = buf_writer(out, ROUTE_SIZE);

        buf_put_be64(&w, src.pid);
        buf_put_be64(&w, dst.pid);
        buf_put_be32(&w, src.tag);
        buf_put_be32(&w, dst.tag);
        assert(!w.failed && w.at == ROUTE_SIZE);
}

int epochs_new(Epochs **ret, Sealer *sealer, const PublicKey *peer, const EpochLimits *limits) {
        Address own = identity_hash(sealer->identity)->address, theirs = key_hash(peer).address;
        Epochs *es;

        es = calloc(1, sizeof(*es));
        if (!es)
                return err_origin(-ENOMEM);
        es->sealer = sealer;
        es->peer = *peer;
        es->is_smaller =
                memcmp(identity_public(sealer->identity)->bytes, peer->bytes, KEY_SIZE) < 0;
        route_make(es->route_out, own, theirs);
        route_make(es->route_in, theirs, own);
        es->limits = *limits;
        es->open_wait_usec = limits->open_wait_usec;
        *ret = es;
        return 0;
}

static Pending *pending_free(Pending *pending) {
        return secret_free(pending);
}

Epochs *epochs_free(Epochs *es) {
        if (!es)
                return NULL;
        epoch_free(es->current);
        epoch_free(es->offered);
        for (unsigned i = 0; i < EPOCH_OLD_MAX; i++)
                epoch_free(es->old[i]);
        pending_free(es->pending);
        free(es);
        return NULL;
}

size_t epochs_memory(const Epochs *es) {
        size_t n = sizeof(*es) + (es->pending ? sizeof(*es->pending) : 0);

        n += ((es->current ? 1U : 0U) + (es->offered ? 1U : 0U)) * sizeof(Epoch);
        for (unsigned i = 0; i < EPOCH_OLD_MAX; i++)
                n += es->old[i] ? sizeof(Epoch) : 0;
        return n;
}

void epochs_expire(Epochs *es, EpochTime time) {
        Epoch **all[] = { &es->current, &es->offered, &es->old[0], &es->old[1] };

        static_assert(EPOCH_OLD_MAX == 2, "all of them");
        for (unsigned i = 0; i < ELEMENTSOF(all); i++)
                if (*all[i] && epoch_has_ended(*all[i], &es->limits, time))
                        *all[i] = epoch_free(*all[i]);
        if (es->pending && (!secret_is_alive(es->pending) ||
                            time.now_usec - es->pending->made_usec > PENDING_USEC ||
                            epoch_clock_jumped(es->pending->wall_offset, &es->limits, time)))
                es->pending = pending_free(es->pending);
}

static Epoch *find(const Epochs *es, uint32_t sid) {
        Epoch *all[] = { es->current, es->offered, es->old[0], es->old[1] };

        for (unsigned i = 0; i < ELEMENTSOF(all); i++)
                if (all[i] && all[i]->sid == sid)
                        return all[i];
        return NULL;
}

static uint32_t new_sid(const Epochs *es) {
        uint8_t bytes[4];
        uint32_t sid;

        do {
                crypto_random(bytes, sizeof(bytes));
                sid = load_le32(bytes);
        } while (sid == 0 || find(es, sid) || (es->pending && es->pending->sid == sid));
        return sid;
}

/* Choosing */

static void retire(Epochs *es, Epoch *e, EpochTime time) {
        epoch_free(es->old[EPOCH_OLD_MAX - 1]);
        memmove(es->old + 1, es->old, (EPOCH_OLD_MAX - 1) * sizeof(es->old[0]));
        es->old[0] = e;
        e->drop_usec = time.now_usec + es->limits.old_usec;
}

static bool do_cross(const Epoch *a, const Epoch *b) {
        return a->crosses == b->sid || b->crosses == a->sid;
}

/* Both sides have @e: it is what we send in, unless it crossed one that goes before it. */
static void promote(Epochs *es, Epoch *e, EpochTime time) {
        Epoch *before = es->current;

        if (before && do_cross(before, e) && before->is_ours == es->is_smaller) {
                retire(es, e, time);
                return;
        }
        if (before)
                retire(es, before, time);
        es->current = e;
}

static bool may_send(const Epochs *es, EpochTime time) {
        return es->current && epoch_may_send(es->current, &es->limits, time);
}

SealedType epochs_next(Epochs *es, EpochTime time) {
        SealedType otherwise;
        bool is_offered;

        epochs_expire(es, time);
        otherwise = may_send(es, time) ? SEALED_DATA : SEALED_ONE;
        if (otherwise == SEALED_DATA && !epoch_is_worn(es->current, &es->limits, time))
                return SEALED_DATA;
        is_offered = es->offered && time.now_usec - es->offered->made_usec < OFFERED_USEC;
        return is_offered || time.now_usec < es->may_open_usec ? otherwise : SEALED_OPEN;
}

bool epochs_is_live(Epochs *es, EpochTime time) {
        epochs_expire(es, time);
        return may_send(es, time);
}

/* The handshake */

int epochs_open(Epochs *es, const uint8_t header[static PACKET_HEADER_SIZE],
                const SignedRecord *lease, Slice content, EpochTime time, uint8_t *out,
                size_t out_size, size_t *ret_n_out) {
        SealFirst first = { .type = SEALED_OPEN, .sid = new_sid(es) };
        Pending *pending;
        int r;

        if (!key_equal(&lease->signer, &es->peer))
                return err_origin(-EINVAL);
        pending = secret_alloc(sizeof(*pending));
        if (!pending)
                return err_origin(-ENOMEM);
        first.handshake = &pending->handshake;
        r = seal_first(es->sealer, &first, header, lease, content, time.wall_usec, out, out_size,
                       ret_n_out);
        if (r != 0) {
                pending_free(pending);
                return r;
        }
        memcpy(pending->own, encryption_key_public(es->sealer->lease_key), sizeof(pending->own));
        pending->sid = first.sid;
        pending->made_usec = time.now_usec;
        pending->wall_offset = time.wall_usec - time.now_usec;
        pending_free(es->pending);
        es->pending = pending;
        es->may_open_usec = time.now_usec + es->open_wait_usec;
        es->open_wait_usec = MIN(2 * es->open_wait_usec, es->limits.open_wait_max_usec);
        return 0;
}

int opening_read(Opening *opening, Sealer *sealer, const uint8_t header[static PACKET_HEADER_SIZE],
                 Slice payload, uint64_t wall_usec, uint8_t *out, size_t out_size,
                 size_t *ret_n_out) {
        SealFirst first = { .type = SEALED_OPEN, .handshake = &opening->handshake };
        const uint8_t *bytes = payload.data;
        int r;

        opening->handshake = (NoiseHandshake){ .dead = true };
        r = open_first(sealer, &first, header, payload, wall_usec, out, out_size, ret_n_out,
                       &opening->sender);
        if (r != 0)
                return r;
        opening->sid = first.sid;
        opening->sent_at_usec = load_be64(header + ID_AT);
        memcpy(opening->tag, bytes + payload.size - sizeof(opening->tag), sizeof(opening->tag));
        return 0;
}

void opening_done(Opening *opening) {
        noise_done(&opening->handshake);
}

/* What ends a handshake, in the words of epochs. Return: 0, EPOCH_E_FORGED, EPOCH_E_FORKED, -errno. */
static int from_noise(int r) {
        switch (r) {
        case 0:
                return 0;
        case NOISE_E_REFUSED:
                return EPOCH_E_FORGED;
        case NOISE_E_FORKED:
                return EPOCH_E_FORKED;
        default:
                return err_fold(r);
        }
}

int epochs_accept(Epochs *es, Opening *opening, EpochTime time,
                  uint8_t out[static EPOCH_ACCEPT_SIZE]) {
        uint8_t content[ACCEPT_CONTENT_SIZE] = { 0 }, accept[EPOCH_ACCEPT_SIZE];
        BufWriter w = buf_writer(accept, sizeof(accept));
        uint32_t sid = new_sid(es);
        Epoch *e;
        size_t n;
        int r;

        if (!key_equal(&opening->sender.key, &es->peer))
                return EPOCH_E_MALFORMED;
        if (opening->sent_at_usec <= es->opened_usec)
                return EPOCH_E_OLD;
        buf_put_u8(&w, SEALED_ACCEPT);
        buf_put_u8(&w, SEAL_SUITE);
        buf_put_le16(&w, 0);
        buf_put_le32(&w, opening->sid);
        store_le32(content, sid);
        r = from_noise(noise_create(&opening->handshake, &(Slice){ content, sizeof(content) }, 1,
                                    accept + w.at, sizeof(accept) - w.at, &n));
        if (r != 0)
                return r;
        assert(w.at + n == sizeof(accept));
        e = epoch_new(&opening->handshake, time);
        if (!e)
                return err_origin(-ENOMEM);
        e->sid = sid;
        e->peer_sid = es->open_sid = opening->sid;
        memcpy(es->open_tag, opening->tag, sizeof(es->open_tag));
        memcpy(es->accept, accept, sizeof(es->accept));
        if (es->pending)
                es->pending->crosses = sid;
        es->opened_usec = opening->sent_at_usec;
        epoch_free(es->offered); /* who opens again had no ACCEPT, or has forgotten it */
        es->offered = e;
        memcpy(out, accept, sizeof(accept));
        return 0;
}

bool epochs_accept_again(const Epochs *es, Slice payload, uint8_t out[static EPOCH_ACCEPT_SIZE]) {
        const uint8_t *bytes = payload.data;

        if (!es->offered || payload.size < SEAL_HEAD_MAX + sizeof(es->open_tag) ||
            bytes[0] != SEALED_OPEN || load_le32(bytes + 8) != es->open_sid ||
            memcmp(bytes + payload.size - sizeof(es->open_tag), es->open_tag,
                   sizeof(es->open_tag)) != 0)
                return false;
        memcpy(out, es->accept, sizeof(es->accept));
        return true;
}

/* The handshake that waits for @sid, copied, lest a false ACCEPT ruins it. Return: whether. */
static bool pending_copy(const Epochs *es, uint32_t sid, NoiseHandshake *ret) {
        const Pending *pending = es->pending;
        const EncryptionKey *own;

        if (!pending || pending->sid != sid)
                return false;
        own = sealer_find_key(es->sealer, pending->own); /* it may have been changed and wiped */
        if (!own || memcmp(encryption_key_public(own), pending->own, sizeof(pending->own)) != 0)
                return false;
        *ret = pending->handshake;
        ret->s = own;
        return true;
}

int epochs_confirm(Epochs *es, Slice payload, EpochTime time) {
        BufReader r = buf_reader(payload.data, payload.size);
        uint8_t content[ACCEPT_CONTENT_SIZE], type, suite;
        NoiseHandshake handshake;
        uint32_t sid, peer_sid;
        uint16_t zero;
        Epoch *e;
        size_t n;
        int c;

        type = buf_get_u8(&r);
        suite = buf_get_u8(&r);
        zero = buf_get_le16(&r);
        sid = buf_get_le32(&r);
        if (r.failed || payload.size != EPOCH_ACCEPT_SIZE || type != SEALED_ACCEPT ||
            suite != SEAL_SUITE || zero != 0)
                return EPOCH_E_MALFORMED;
        epochs_expire(es, time);
        if (!pending_copy(es, sid, &handshake))
                return EPOCH_E_UNKNOWN;
        c = from_noise(noise_consume(&handshake,
                                     (Slice){ (const uint8_t *)payload.data + ACCEPT_HEAD_SIZE,
                                              payload.size - ACCEPT_HEAD_SIZE },
                                     content, sizeof(content), &n));
        if (c != 0)
                return c;
        peer_sid = load_le32(content);
        if (n != sizeof(content) || peer_sid == 0 || load_le32(content + 4) != 0) {
                noise_done(&handshake);
                return EPOCH_E_MALFORMED;
        }
        e = epoch_new(&handshake, time);
        noise_done(&handshake);
        if (!e)
                return err_origin(-ENOMEM);
        e->is_ours = true;
        e->sid = sid;
        e->peer_sid = peer_sid;
        e->crosses = es->pending->crosses;
        es->open_wait_usec = es->limits.open_wait_usec;
        es->may_open_usec = es->pending->made_usec + es->open_wait_usec;
        es->pending = pending_free(es->pending);
        promote(es, e, time);
        return 0;
}

/* DATA */

int epochs_seal(Epochs *es, const uint8_t header[static PACKET_HEADER_SIZE], Slice content,
                EpochTime time, uint8_t *out, size_t out_size, size_t *ret_n_out) {
        int r;

        if (memcmp(header + ROUTE_AT, es->route_out, ROUTE_SIZE) != 0)
                return err_origin(-EINVAL);
        if (content.size > SEAL_CONTENT_MAX)
                return err_origin(-EMSGSIZE);
        if (content.size + EPOCH_DATA_OVERHEAD > out_size)
                return err_origin(-ENOBUFS);
        epochs_expire(es, time);
        if (!may_send(es, time))
                return EPOCH_E_NONE;
        r = epoch_seal(es->current, header, content, time, out);
        if (r != 0)
                return r;
        *ret_n_out = content.size + EPOCH_DATA_OVERHEAD;
        return 0;
}

int epochs_unseal(Epochs *es, const uint8_t header[static PACKET_HEADER_SIZE], Slice payload,
                  EpochTime time, uint8_t *out, size_t out_size, size_t *ret_n_out) {
        uint64_t counter;
        uint32_t sid;
        Epoch *e;
        int r;

        r = epoch_data_decode(payload, &sid, &counter);
        if (r != 0)
                return r;
        if (memcmp(header + ROUTE_AT, es->route_in, ROUTE_SIZE) != 0)
                return EPOCH_E_MALFORMED;
        if (payload.size - EPOCH_DATA_OVERHEAD > out_size)
                return err_origin(-ENOBUFS);
        e = find(es, sid);
        if (e && !secret_is_alive(e->keys))
                return EPOCH_E_FORKED;
        epochs_expire(es, time);
        e = find(es, sid);
        if (!e)
                return EPOCH_E_UNKNOWN;
        r = epoch_unseal(e, header, payload, counter, time, out);
        if (r != 0)
                return r;
        if (e == es->offered) {
                es->offered = NULL;
                promote(es, e, time);
        }
        *ret_n_out = payload.size - EPOCH_DATA_OVERHEAD;
        return 0;
}

bool epochs_disown(Epochs *es, uint32_t sid, const PacketId *id) {
        Epoch **all[] = { &es->current, &es->old[0], &es->old[1] };

        for (unsigned i = 0; i < ELEMENTSOF(all); i++)
                if (*all[i] && (*all[i])->peer_sid == sid &&
                    epoch_may_have_sent(*all[i], load_be64(id->bytes + 8))) {
                        *all[i] = epoch_free(*all[i]);
                        return true;
                }
        return false;
}
