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

#include "libsecure/epoch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libcore/buf.h"
#include "libcore/err.h"
#include "libsecure/replay-window.h"
#include "libsecure/sealer.h"
#include "libsecure/secret.h"

#define DATA_HEAD_SIZE 16
#define AD_SIZE (PACKET_HEADER_SIZE + DATA_HEAD_SIZE)
#define ACCEPT_HEAD_SIZE 8
#define ACCEPT_CONTENT_SIZE 8            /* sid 4, flags 4 */
#define ROUTE_AT PACKET_AUTHENTICATED_AT /* in a header: both PIDs, both TAGs */
#define ROUTE_SIZE 24
#define ID_AT (ROUTE_AT + ROUTE_SIZE)

#define MINUTE_USEC (60 * USEC_PER_SEC)
#define PENDING_USEC MINUTE_USEC             /* an ACCEPT that comes later is not waited for */
#define OFFERED_USEC (10 * USEC_PER_SEC)     /* so long we leave it to the peer to confirm */
#define REKEY_GRACE_USEC (30 * USEC_PER_SEC) /* who opened the last one opens the next */

static_assert(EPOCH_DATA_OVERHEAD == DATA_HEAD_SIZE + CRYPTO_TAG_SIZE, "DATA");
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
typedef struct Keys {
        NoiseCipher send, receive;
} Keys;

typedef struct Epoch {
        bool is_ours;      /* we opened it */
        uint32_t sid;      /* in what comes */
        uint32_t peer_sid; /* in what we send */
        uint32_t crosses;  /* the sid of the one that the peer opened at the same time, or 0 */
        Keys *keys;
        uint64_t made_usec, used_usec;
        uint64_t drop_usec; /* an old one's end */
        uint64_t wall_offset;
        uint64_t n_bytes; /* sent */
        uint64_t n_forged;
        uint64_t first_id, last_id; /* of packets sent in it */
        ReplayWindow window;
        uint8_t open_tag[CRYPTO_TAG_SIZE]; /* what it answered, and how */
        uint32_t open_sid;
        uint8_t accept[EPOCH_ACCEPT_SIZE];
} Epoch;

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

static Epoch *epoch_free(Epoch *e) {
        if (!e)
                return NULL;
        secret_free(e->keys);
        crypto_wipe(e, sizeof(*e));
        free(e);
        return NULL;
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

/* A copied machine runs on with a clock that is set right sooner or later: its keys end then. */
static bool has_jumped(const Epochs *es, uint64_t offset, EpochTime time) {
        uint64_t now = time.wall_usec - time.now_usec, apart;

        apart = (int64_t)(now - offset) < 0 ? offset - now : now - offset;
        return apart > es->limits.jump_usec;
}

static bool has_ended(const Epochs *es, const Epoch *e, EpochTime time) {
        const EpochLimits *l = &es->limits;

        return !secret_is_alive(e->keys) || e->n_forged >= l->forged_max ||
               time.now_usec - e->used_usec > l->idle_usec ||
               time.now_usec - e->made_usec > l->life_usec + l->old_usec ||
               (e->drop_usec > 0 && time.now_usec >= e->drop_usec) ||
               has_jumped(es, e->wall_offset, time);
}

void epochs_expire(Epochs *es, EpochTime time) {
        Epoch **all[] = { &es->current, &es->offered, &es->old[0], &es->old[1] };

        static_assert(EPOCH_OLD_MAX == 2, "all of them");
        for (unsigned i = 0; i < ELEMENTSOF(all); i++)
                if (*all[i] && has_ended(es, *all[i], time))
                        *all[i] = epoch_free(*all[i]);
        if (es->pending && (!secret_is_alive(es->pending) ||
                            time.now_usec - es->pending->made_usec > PENDING_USEC ||
                            has_jumped(es, es->pending->wall_offset, time)))
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

/* Of a handshake that is complete, which is wiped. */
static Epoch *epoch_new(NoiseHandshake *handshake, EpochTime time) {
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
        const Epoch *e = es->current;

        return e && time.now_usec - e->made_usec < es->limits.life_usec &&
               e->keys->send.counter < es->limits.packets_max;
}

static bool is_worn(const Epochs *es, const Epoch *e, EpochTime time) {
        const EpochLimits *l = &es->limits;

        return e->keys->send.counter >= l->rekey_packets || e->n_bytes >= l->rekey_bytes ||
               time.now_usec - e->made_usec >= l->rekey_usec + (e->is_ours ? 0 : REKEY_GRACE_USEC);
}

SealedType epochs_next(Epochs *es, EpochTime time) {
        SealedType otherwise;
        bool is_offered;

        epochs_expire(es, time);
        otherwise = may_send(es, time) ? SEALED_DATA : SEALED_ONE;
        if (otherwise == SEALED_DATA && !is_worn(es, es->current, time))
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
        r = noise_create(&opening->handshake, &(Slice){ content, sizeof(content) }, 1,
                         accept + w.at, sizeof(accept) - w.at, &n);
        switch (r) {
        case 0:
                break;
        case NOISE_E_REFUSED:
                return EPOCH_E_FORGED;
        case NOISE_E_FORKED:
                return EPOCH_E_FORKED;
        default:
                return err_fold(r);
        }
        assert(w.at + n == sizeof(accept));
        e = epoch_new(&opening->handshake, time);
        if (!e)
                return err_origin(-ENOMEM);
        e->sid = sid;
        e->peer_sid = e->open_sid = opening->sid;
        memcpy(e->open_tag, opening->tag, sizeof(e->open_tag));
        memcpy(e->accept, accept, sizeof(e->accept));
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
        const Epoch *e = es->offered;

        if (!e || payload.size < SEAL_HEAD_MAX + sizeof(e->open_tag) || bytes[0] != SEALED_OPEN ||
            load_le32(bytes + 8) != e->open_sid ||
            memcmp(bytes + payload.size - sizeof(e->open_tag), e->open_tag, sizeof(e->open_tag)) !=
                    0)
                return false;
        memcpy(out, e->accept, sizeof(e->accept));
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
        c = noise_consume(&handshake,
                          (Slice){ (const uint8_t *)payload.data + ACCEPT_HEAD_SIZE,
                                   payload.size - ACCEPT_HEAD_SIZE },
                          content, sizeof(content), &n);
        switch (c) {
        case 0:
                break;
        case NOISE_E_REFUSED:
                return EPOCH_E_FORGED;
        case NOISE_E_FORKED:
                return EPOCH_E_FORKED;
        default:
                return err_fold(c);
        }
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

static void ad_make(uint8_t ad[static AD_SIZE], const uint8_t *header, const uint8_t *head) {
        crypto_label(SEAL_LABEL, ad);
        memcpy(ad + PACKET_AUTHENTICATED_AT, header + PACKET_AUTHENTICATED_AT,
               PACKET_HEADER_SIZE - PACKET_AUTHENTICATED_AT);
        memcpy(ad + PACKET_HEADER_SIZE, head, DATA_HEAD_SIZE);
}

int epochs_seal(Epochs *es, const uint8_t header[static PACKET_HEADER_SIZE], Slice content,
                EpochTime time, uint8_t *out, size_t out_size, size_t *ret_n_out) {
        BufWriter w = buf_writer(out, out_size);
        uint64_t id = load_be64(header + ID_AT + 8);
        uint8_t ad[AD_SIZE];
        Epoch *e;

        if (memcmp(header + ROUTE_AT, es->route_out, ROUTE_SIZE) != 0)
                return err_origin(-EINVAL);
        if (content.size > SEAL_CONTENT_MAX)
                return err_origin(-EMSGSIZE);
        if (content.size + EPOCH_DATA_OVERHEAD > out_size)
                return err_origin(-ENOBUFS);
        epochs_expire(es, time);
        if (!may_send(es, time))
                return EPOCH_E_NONE;
        e = es->current;

        buf_put_u8(&w, SEALED_DATA);
        buf_put_u8(&w, SEAL_SUITE);
        buf_put_le16(&w, 0);
        buf_put_le32(&w, e->peer_sid);
        buf_put_le64(&w, e->keys->send.counter);
        ad_make(ad, header, out);
        if (noise_encrypt(&e->keys->send, (Slice){ ad, sizeof(ad) }, content.data, content.size,
                          out + DATA_HEAD_SIZE) != 0)
                return EPOCH_E_NONE;
        if (e->keys->send.counter == 1)
                e->first_id = id;
        e->last_id = id;
        e->n_bytes += content.size;
        e->used_usec = time.now_usec;
        *ret_n_out = content.size + EPOCH_DATA_OVERHEAD;
        return 0;
}

static int data_decode(Slice payload, uint32_t *ret_sid, uint64_t *ret_counter) {
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

int epoch_data_sid(Slice payload, uint32_t *ret_sid) {
        uint64_t counter;

        return data_decode(payload, ret_sid, &counter);
}

int epochs_unseal(Epochs *es, const uint8_t header[static PACKET_HEADER_SIZE], Slice payload,
                  EpochTime time, uint8_t *out, size_t out_size, size_t *ret_n_out) {
        const uint8_t *bytes = payload.data;
        uint8_t ad[AD_SIZE];
        uint64_t counter;
        uint32_t sid;
        Epoch *e;
        int r;

        r = data_decode(payload, &sid, &counter);
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
        if (e == es->offered) {
                es->offered = NULL;
                promote(es, e, time);
        }
        *ret_n_out = payload.size - EPOCH_DATA_OVERHEAD;
        return 0;
}

bool epochs_disown(Epochs *es, uint32_t sid, const PacketId *id) {
        Epoch **all[] = { &es->current, &es->old[0], &es->old[1] };
        uint64_t unique = load_be64(id->bytes + 8);

        for (unsigned i = 0; i < ELEMENTSOF(all); i++) {
                const Epoch *e = *all[i];

                if (e && e->peer_sid == sid && secret_is_alive(e->keys) &&
                    e->keys->send.counter > 0 && unique - e->first_id <= e->last_id - e->first_id) {
                        *all[i] = epoch_free(*all[i]);
                        return true;
                }
        }
        return false;
}
