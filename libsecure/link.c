/* SPDX-License-Identifier: Apache-2.0 */

/* The messages are the table in PROTOCOL.md, "Link". */

#include "libsecure/link.h"

#include <assert.h>
#include <string.h>

#include "libcore/buf.h"
#include "libcore/err.h"
#include "libsecure/noise.h"
#include "libsecure/secret.h"

#define LABEL "p2pbus-link-1"
#define PROLOGUE_SIZE 24
#define MESSAGES_MAX (UINT64_C(1) << 32)

/* In libsecure/secret.h memory. */
typedef struct Secrets {
        NoiseHandshake handshake;
        NoiseCipher send, receive;
} Secrets;

struct Link {
        bool initiator;
        bool has_pinned;
        bool has_peer;
        LinkState state;
        unsigned n_messages; /* of the handshake, so far */
        LinkRole peer_role;
        PublicKey pinned;
        Secrets *secrets;
        size_t n_record, n_peer_record;
        uint8_t *record;      /* ours; gone when the handshake is over */
        uint8_t *peer_record; /* @peer points into it */
        SignedRecord peer;
};

static_assert(sizeof(Secrets) <= SECRET_SIZE_MAX, "one allocation");

static SignedRecordType record_type_of(LinkRole role) {
        return role == LINK_ROLE_BRIDGE ? SIGNED_RECORD_PRESENCE : SIGNED_RECORD_RELAY;
}

/* The X25519 key that a PRESENCE or RELAY certifies. */
static const uint8_t *encpk_of(const SignedRecord *record) {
        return record->type == SIGNED_RECORD_PRESENCE ? record->presence.encpk
                                                      : record->relay.encpk;
}

static void prologue_make(uint8_t out[static PROLOGUE_SIZE], LinkRole initiator_role) {
        BufWriter w = buf_writer(out, PROLOGUE_SIZE);

        crypto_label(LABEL, buf_put(&w, CRYPTO_LABEL_SIZE));
        buf_put_le16(&w, LINK_PROTO);
        buf_put_u8(&w, (uint8_t)initiator_role);
        buf_put_u8(&w, LINK_ROLE_RELAY);
        buf_put_le32(&w, 0);
        assert(!w.failed && w.at == PROLOGUE_SIZE);
}

int link_new(Link **ret, const LinkOptions *options) {
        _cleanup_(link_freep) Link *link = NULL;
        LinkRole role = options->initiator ? options->initiator_role : LINK_ROLE_RELAY;
        uint8_t prologue[PROLOGUE_SIZE];
        SignedRecord own;

        if (signed_record_decode(options->record.data, options->record.size, &own) != 0 ||
            own.type != record_type_of(role) ||
            !key_equal(&own.signer, identity_public(options->identity)) ||
            !crypto_equal(encpk_of(&own), encryption_key_public(options->key), CRYPTO_DH_SIZE))
                return err_origin(-EINVAL);

        link = calloc(1, sizeof(*link));
        if (!link)
                return err_origin(-ENOMEM);
        link->secrets = secret_alloc(sizeof(*link->secrets));
        if (!link->secrets)
                return err_origin(-ENOMEM);
        link->initiator = options->initiator;
        link->state = options->initiator ? LINK_SENDING : LINK_RECEIVING;
        link->peer_role = options->initiator ? LINK_ROLE_RELAY : options->initiator_role;
        link->record = malloc(options->record.size);
        if (!link->record)
                return err_origin(-ENOMEM);
        link->n_record = options->record.size;
        memcpy(link->record, options->record.data, options->record.size);
        if (options->pinned) {
                link->has_pinned = true;
                link->pinned = *options->pinned;
        }

        prologue_make(prologue, options->initiator_role);
        noise_init(&link->secrets->handshake, &(NoiseOptions){
                                                      .pattern = NOISE_XX,
                                                      .initiator = options->initiator,
                                                      .prologue = { prologue, sizeof(prologue) },
                                                      .s = options->key,
                                              });
        *ret = TAKE_PTR(link);
        return 0;
}

Link *link_free(Link *link) {
        if (!link)
                return NULL;
        secret_free(link->secrets);
        free(link->record);
        free(link->peer_record);
        free(link);
        return NULL;
}

LinkState link_state(const Link *link) {
        return link->state;
}

/* Nothing goes through this link any more; its keys are gone. */
static int link_kill(Link *link, int r) {
        crypto_wipe(link->secrets, sizeof(*link->secrets));
        noise_done(&link->secrets->handshake);
        link->state = LINK_DEAD;
        return r;
}

/* All three messages are through: from here on there are only transport ciphers. */
static void link_split(Link *link) {
        noise_split(&link->secrets->handshake, &link->secrets->send, &link->secrets->receive);
        free(TAKE_PTR(link->record));
        link->n_record = 0;
}

int link_create(Link *link, uint8_t *out, size_t out_size, size_t *ret_n_out) {
        Slice payload = { link->record, link->n_record };
        int r;

        if (link->state != LINK_SENDING)
                return err_origin(-EINVAL);
        if (!secret_is_alive(link->secrets))
                return LINK_E_FORKED;
        if (link->n_messages == 0)
                payload.size = 0; /* nobody has proven anything yet */
        if (payload.size + noise_overhead(&link->secrets->handshake) > out_size)
                return err_origin(-ENOBUFS);

        r = noise_create(&link->secrets->handshake, &payload, 1, out, out_size, ret_n_out);
        switch (r) {
        case 0:
                break;
        case NOISE_E_REFUSED:
                return link_kill(link, LINK_E_VIOLATION);
        case NOISE_E_FORKED:
                return link_kill(link, LINK_E_FORKED);
        default:
                return link_kill(link, err_fold(r));
        }

        link->n_messages++;
        link->state = LINK_RECEIVING;
        if (noise_is_complete(&link->secrets->handshake)) {
                link_split(link);
                link->state = LINK_UP;
        }
        return 0;
}

/* Judges the record that came as the payload of a message: is it the peer's, and alive? */
static int link_learn(Link *link, uint64_t now_usec) {
        SignedRecordCheck check = {
                .type = record_type_of(link->peer_role),
                .now_usec = now_usec,
                .slack_usec = SIGNED_RECORD_SKEW_USEC,
        };
        SignedRecord peer;

        switch (signed_record_verify(link->peer_record, link->n_peer_record, &check, &peer)) {
        case 0:
                break;
        case SIGNED_RECORD_E_CLOCK:
                return LINK_E_CLOCK;
        case SIGNED_RECORD_E_EXPIRED:
                return LINK_E_EXPIRED;
        default:
                return LINK_E_RECORD;
        }
        /* A replayed record names a key that only its owner could have proven just now. */
        if (!crypto_equal(encpk_of(&peer), noise_remote_static(&link->secrets->handshake),
                          CRYPTO_DH_SIZE) ||
            !key_is_usable(&peer.signer))
                return LINK_E_RECORD;

        link->peer = peer;
        link->has_peer = true;
        if (!link->has_pinned)
                return 0;
        return key_equal(&link->pinned, &peer.signer) ? 0 : LINK_E_OTHER_KEY;
}

/* Keeps the payload of a message for link_learn(), at its own size: links live long. */
static int link_keep(Link *link, const uint8_t *record, size_t n_record) {
        link->peer_record = malloc(MAX(n_record, (size_t)1));
        if (!link->peer_record)
                return err_origin(-ENOMEM);
        memcpy(link->peer_record, record, n_record);
        link->n_peer_record = n_record;
        return 0;
}

int link_consume(Link *link, const uint8_t *message, size_t n_message, uint64_t now_usec) {
        uint8_t payload[SIGNED_RECORD_SIZE_MAX];
        size_t n_payload;
        int r;

        if (link->state == LINK_DEAD)
                return LINK_E_VIOLATION;
        if (!secret_is_alive(link->secrets))
                return LINK_E_FORKED;
        if (link->state != LINK_RECEIVING || n_message > LINK_HANDSHAKE_MAX ||
            (link->n_messages == 0 && n_message != LINK_MSG1_SIZE))
                return link_kill(link, LINK_E_VIOLATION);

        r = noise_consume(&link->secrets->handshake, (Slice){ message, n_message }, payload,
                          sizeof(payload), &n_payload);
        switch (r) {
        case 0:
                break;
        case NOISE_E_REFUSED:
        case -ENOBUFS: /* a payload that is longer than any record */
                return link_kill(link, LINK_E_VIOLATION);
        case NOISE_E_FORKED:
                return link_kill(link, LINK_E_FORKED);
        default:
                return link_kill(link, err_fold(r));
        }

        link->n_messages++;
        if (link->n_messages == 1) {
                link->state = LINK_SENDING;
                return 0;
        }
        r = link_keep(link, payload, n_payload);
        if (r == 0)
                r = link_learn(link, now_usec);
        if (r != 0)
                return link_kill(link, r);
        link->state = LINK_PROVEN;
        return link->has_pinned ? link_accept(link) : 0;
}

int link_accept(Link *link) {
        if (link->state != LINK_PROVEN)
                return err_origin(-EINVAL);
        if (link->initiator)
                link->state = LINK_SENDING;
        else {
                link_split(link);
                link->state = LINK_UP;
        }
        return 0;
}

const SignedRecord *link_peer(const Link *link) {
        return link->has_peer ? &link->peer : NULL;
}

Slice link_peer_bytes(const Link *link) {
        return (Slice){ link->peer_record, link->has_peer ? link->n_peer_record : 0 };
}

int link_encrypt(Link *link, const uint8_t *plain, size_t n_plain, uint8_t *out) {
        if (link->state != LINK_UP || n_plain > LINK_PLAIN_MAX)
                return err_origin(-EINVAL);
        if (!secret_is_alive(link->secrets))
                return LINK_E_FORKED;
        if (link->secrets->send.counter >= MESSAGES_MAX)
                return LINK_E_WORN_OUT;
        if (noise_encrypt(&link->secrets->send, (Slice){ NULL, 0 }, plain, n_plain, out) != 0)
                return LINK_E_WORN_OUT;
        return 0;
}

int link_decrypt(Link *link, const uint8_t *message, size_t n_message, uint8_t *out) {
        if (link->state == LINK_DEAD)
                return LINK_E_VIOLATION;
        if (!secret_is_alive(link->secrets))
                return LINK_E_FORKED;
        if (link->state != LINK_UP || n_message > LINK_MESSAGE_MAX)
                return link_kill(link, LINK_E_VIOLATION);
        if (link->secrets->receive.counter >= MESSAGES_MAX)
                return link_kill(link, LINK_E_WORN_OUT);
        if (noise_decrypt(&link->secrets->receive, (Slice){ NULL, 0 }, message, n_message, out) !=
            0)
                return link_kill(link, LINK_E_VIOLATION);
        return 0;
}
