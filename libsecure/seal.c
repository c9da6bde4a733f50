/* SPDX-License-Identifier: Apache-2.0 */

/* The byte layout is the table in PROTOCOL.md, "Sealing". */

#include "libsecure/seal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "libcore/buf.h"
#include "libcore/err.h"
#include "libsecure/sealer.h"
#include "libsecure/seen.h"

#define ONE_HEAD_SIZE 8
#define OPEN_HEAD_SIZE SEAL_HEAD_MAX
#define NOISE_OVERHEAD (2 * CRYPTO_DH_SIZE + 2 * CRYPTO_TAG_SIZE) /* e, s, two tags */
#define PROLOGUE_MAX (PACKET_HEADER_SIZE + OPEN_HEAD_SIZE + KEY_SIZE)
#define ATTACHED_SLACK_USEC (2 * USEC_PER_SEC)
#define SKEW_USEC SEAL_SKEW_USEC

static_assert(SEEN_LIFE_USEC == SEAL_LIFE_DEFAULT_USEC + SEAL_SKEW_USEC, "PROTOCOL.md");

static_assert(CRYPTO_LABEL_SIZE == PACKET_AUTHENTICATED_AT, "a header with its label is an AAD72");
static_assert(SEAL_OVERHEAD == ONE_HEAD_SIZE + NOISE_OVERHEAD + SIGNED_RECORD_LEASE_SIZE, "ONE");
static_assert(SEAL_OPEN_OVERHEAD == OPEN_HEAD_SIZE + NOISE_OVERHEAD + SIGNED_RECORD_LEASE_SIZE,
              "OPEN");

static size_t head_size(SealedType type) {
        return type == SEALED_ONE ? ONE_HEAD_SIZE : OPEN_HEAD_SIZE;
}

static NoisePattern pattern_of(SealedType type) {
        return type == SEALED_ONE ? NOISE_X : NOISE_IK;
}

/*
 * Binds a first message to its packet and to one receiver: AAD72, its own head, the receiver's key.
 * Return: how many bytes were written.
 */
static size_t prologue_make(uint8_t out[static PROLOGUE_MAX],
                            const uint8_t header[static PACKET_HEADER_SIZE], Slice head,
                            const PublicKey *receiver) {
        BufWriter w = buf_writer(out, PROLOGUE_MAX);

        crypto_label(SEAL_LABEL, buf_put(&w, CRYPTO_LABEL_SIZE));
        buf_put_bytes(&w, header + PACKET_AUTHENTICATED_AT,
                      PACKET_HEADER_SIZE - PACKET_AUTHENTICATED_AT);
        buf_put_bytes(&w, head.data, head.size);
        buf_put_bytes(&w, receiver->bytes, KEY_SIZE);
        assert(!w.failed);
        return w.at;
}

/*
 * When a packet is worthless, by the wall clock of its sender.
 * Return: false if no honest sender chooses such times.
 */
static bool packet_end(const PacketHeader *h, uint64_t *ret_usec) {
        uint64_t sent_at = packet_id_sent_at(&h->id);

        if (sent_at > USEC_NEVER - SEAL_LIFE_MAX_USEC - SKEW_USEC)
                return false;
        if (h->deadline_usec == 0)
                *ret_usec = sent_at + SEAL_LIFE_DEFAULT_USEC;
        else if (h->deadline_usec < sent_at || h->deadline_usec - sent_at > SEAL_LIFE_MAX_USEC)
                return false;
        else
                *ret_usec = h->deadline_usec;
        return true;
}

/* Reads what sealing covers of a header; what hops may change need not be there yet. */
static int covered_decode(const uint8_t header[static PACKET_HEADER_SIZE], PacketHeader *ret) {
        FramePrefix prefix = { .size = PACKET_HEADER_SIZE, .type = FRAME_PACKET };
        uint8_t copy[PACKET_HEADER_SIZE] = { 0 };

        frame_prefix_encode(&prefix, copy);
        memcpy(copy + PACKET_AUTHENTICATED_AT, header + PACKET_AUTHENTICATED_AT,
               sizeof(copy) - PACKET_AUTHENTICATED_AT);
        return packet_header_decode(copy, sizeof(copy), ret);
}

/* Is @header that of a packet that @sealer may send to @peer? */
static bool may_send(const Sealer *sealer, const uint8_t *header, const SignedRecord *peer) {
        PacketHeader h;
        uint64_t end_usec;

        return sealer->lease_key && peer->type == SIGNED_RECORD_LEASE &&
               covered_decode(header, &h) == 0 && packet_end(&h, &end_usec) &&
               address_equal(h.src, identity_hash(sealer->identity)->address) &&
               address_equal(h.dst, key_hash(&peer->signer).address);
}

int seal_first(Sealer *sealer, SealFirst *first, const uint8_t header[static PACKET_HEADER_SIZE],
               const SignedRecord *peer, Slice content, uint64_t now_usec, uint8_t *out,
               size_t out_size, size_t *ret_n_out) {
        SealShared shared = seal_shared(sealer, sealer->lease_key);
        uint8_t prologue[PROLOGUE_MAX], head[SEAL_HEAD_MAX];
        size_t n_head = head_size(first->type), n_prologue, n;
        BufWriter w = buf_writer(head, sizeof(head));
        int r;

        if (!may_send(sealer, header, peer))
                return err_origin(-EINVAL);
        if (content.size > SEAL_CONTENT_MAX)
                return err_origin(-EMSGSIZE);
        if (content.size + n_head + NOISE_OVERHEAD + SIGNED_RECORD_LEASE_SIZE > out_size)
                return err_origin(-ENOBUFS);
        if (now_usec >= peer->lease.enc_until_usec)
                return SEAL_E_EXPIRED;

        buf_put_u8(&w, (uint8_t)first->type);
        buf_put_u8(&w, SEAL_SUITE);
        buf_put_le16(&w, SEAL_FLAG_LEASE);
        buf_put_bytes(&w, peer->lease.encpk, ENCRYPTION_ID_SIZE);
        buf_put_le32(&w, first->sid);
        buf_put_le32(&w, 0);
        n_prologue = prologue_make(prologue, header, (Slice){ head, n_head }, &peer->signer);

        noise_init(first->handshake, &(NoiseOptions){
                                             .pattern = pattern_of(first->type),
                                             .initiator = true,
                                             .prologue = { prologue, n_prologue },
                                             .s = shared.own,
                                             .rs = peer->lease.encpk,
                                             .shared = &shared.noise,
                                     });
        memcpy(out, head, n_head);
        r = noise_create(first->handshake,
                         (Slice[]){ { sealer->lease, sizeof(sealer->lease) }, content }, 2,
                         out + n_head, out_size - n_head, &n);
        first->handshake->shared = NULL; /* it ends here; later messages have no use for it */
        switch (r) {
        case 0:
                (void)sealer_learn_pair(sealer, shared.own, peer->lease.encpk,
                                        noise_static_shared(first->handshake));
                *ret_n_out = n_head + n;
                return 0;
        case NOISE_E_REFUSED:
                return SEAL_E_SENDER;
        case NOISE_E_FORKED:
                return SEAL_E_FORKED;
        default:
                return err_fold(r);
        }
}

int seal_one(Sealer *sealer, const uint8_t header[static PACKET_HEADER_SIZE],
             const SignedRecord *peer, Slice content, uint64_t now_usec, uint8_t *out,
             size_t out_size, size_t *ret_n_out) {
        NoiseHandshake handshake = { .dead = true };
        SealFirst first = { .type = SEALED_ONE, .handshake = &handshake };
        int r;

        r = seal_first(sealer, &first, header, peer, content, now_usec, out, out_size, ret_n_out);
        noise_done(&handshake);
        return r;
}

/* What stands before the Noise message. Return: 0, SEAL_E_MALFORMED, SEAL_E_UNKNOWN_KEY. */
static int head_decode(const Sealer *sealer, Slice payload, SealFirst *first, uint16_t *ret_flags,
                       const EncryptionKey **ret_key) {
        BufReader r = buf_reader(payload.data, payload.size);
        uint8_t id[ENCRYPTION_ID_SIZE], type, suite;
        uint32_t sid = 0, zero = 0;
        uint16_t flags;

        type = buf_get_u8(&r);
        suite = buf_get_u8(&r);
        flags = buf_get_le16(&r);
        buf_get_bytes(&r, id, sizeof(id));
        if (first->type == SEALED_OPEN) {
                sid = buf_get_le32(&r);
                zero = buf_get_le32(&r);
        }
        if (r.failed || type != first->type || suite != SEAL_SUITE || zero != 0 ||
            (flags & ~SEAL_FLAG_LEASE) ||
            buf_left(&r) <
                    NOISE_OVERHEAD + (flags & SEAL_FLAG_LEASE ? SIGNED_RECORD_LEASE_SIZE : 0U))
                return SEAL_E_MALFORMED;
        first->sid = sid;
        *ret_key = sealer_find_key(sealer, id);
        *ret_flags = flags;
        return *ret_key ? 0 : SEAL_E_UNKNOWN_KEY;
}

/* Takes the Noise message apart. */
static int noise_open(Sealer *sealer, const SealFirst *first, const uint8_t *header, Slice payload,
                      const EncryptionKey *own, uint8_t *out, size_t out_size, size_t *ret_n) {
        SealShared shared = seal_shared(sealer, own);
        size_t n_head = head_size(first->type), n_prologue;
        const uint8_t *bytes = payload.data;
        uint8_t prologue[PROLOGUE_MAX];
        int r;

        n_prologue = prologue_make(prologue, header, (Slice){ bytes, n_head },
                                   identity_public(sealer->identity));
        noise_init(first->handshake, &(NoiseOptions){
                                             .pattern = pattern_of(first->type),
                                             .initiator = false,
                                             .prologue = { prologue, n_prologue },
                                             .s = own,
                                             .shared = &shared.noise,
                                     });
        r = noise_consume(first->handshake, (Slice){ bytes + n_head, payload.size - n_head }, out,
                          out_size, ret_n);
        first->handshake->shared = NULL;
        switch (r) {
        case 0:
                return 0;
        case NOISE_E_REFUSED:
                return SEAL_E_FORGED;
        case NOISE_E_FORKED:
                return SEAL_E_FORKED;
        default:
                return err_fold(r);
        }
}

/* Reads and checks a lease that came inside, unless @pair brought the very same before. */
static int lease_read(const SealPair *pair, const uint8_t *lease, uint64_t now_usec,
                      SealedSender *ret) {
        SignedRecordCheck check = {
                .type = SIGNED_RECORD_LEASE,
                .now_usec = now_usec,
                .slack_usec = SKEW_USEC,
        };

        if (pair && pair->has_sender &&
            memcmp(pair->sender.lease_bytes, lease, SIGNED_RECORD_LEASE_SIZE) == 0 &&
            now_usec < pair->sender.lease.not_after_usec) {
                *ret = pair->sender;
                return 0;
        }
        switch (signed_record_verify(lease, SIGNED_RECORD_LEASE_SIZE, &check, &ret->lease)) {
        case 0:
                break;
        case SIGNED_RECORD_E_CLOCK:
                return SEAL_E_STALE;
        case SIGNED_RECORD_E_EXPIRED:
                return SEAL_E_NEED_LEASE;
        default:
                return SEAL_E_SENDER;
        }
        memcpy(ret->lease_bytes, lease, SIGNED_RECORD_LEASE_SIZE);
        ret->key = ret->lease.signer;
        ret->hash = key_hash(&ret->key);
        return 0;
}

/* Who sent it: from the lease inside, or the one that came with this key before. */
static int sender_find(const SealPair *pair, const uint8_t *lease, uint64_t now_usec,
                       SealedSender *ret) {
        if (lease)
                return lease_read(pair, lease, now_usec, ret);
        if (!pair || !pair->has_sender || now_usec >= pair->sender.lease.not_after_usec)
                return SEAL_E_NEED_LEASE;
        *ret = pair->sender;
        return 0;
}

/* May a packet of these times be taken, and was it not before? */
static int check_replay(Sealer *sealer, const PacketHeader *h, uint64_t end_usec,
                        const PublicKey *sender, uint64_t now_usec) {
        uint64_t sent_at = packet_id_sent_at(&h->id), until_usec = end_usec + SKEW_USEC;
        int r;

        if (sent_at > now_usec && sent_at - now_usec > SKEW_USEC)
                return SEAL_E_STALE;
        /* It was before now, so the clock was set back; what was seen is kept until it catches up. */
        sealer->attached_usec = MIN(sealer->attached_usec, now_usec);
        if (sent_at < sealer->attached_usec &&
            sealer->attached_usec - sent_at > ATTACHED_SLACK_USEC)
                return SEAL_E_STALE;
        if (now_usec >= until_usec)
                return SEAL_E_EXPIRED;

        r = seen_add(sealer->seen, sender, load_be64(h->id.bytes + 8), sent_at, now_usec);
        switch (r) {
        case 0:
                return 0;
        case SEEN_E_REPEATED:
                return SEAL_E_REPEATED;
        case SEEN_E_STALE:
                return SEAL_E_STALE;
        case SEEN_E_OVERLOAD:
                return SEAL_E_OVERLOAD;
        default:
                return err_fold(r);
        }
}

/* Everything that is judged after it was opened; @lease is NULL if none was inside. */
static int judge(Sealer *sealer, const SealFirst *first, const PacketHeader *h, uint64_t end_usec,
                 const SealPair *pair, const uint8_t *lease, uint64_t now_usec, SealedSender *ret) {
        const uint8_t *rs = noise_remote_static(first->handshake);
        uint64_t sent_at = packet_id_sent_at(&h->id);
        int r;

        r = sender_find(pair, lease, now_usec, ret);
        if (r != 0)
                return r;
        if (!crypto_equal(ret->lease.lease.encpk, rs, CRYPTO_DH_SIZE) ||
            !address_equal(ret->hash.address, h->src) || pid_is_reserved(h->src.pid))
                return SEAL_E_SENDER;
        /* Nobody waits that long for an ACCEPT. */
        if (first->type == SEALED_OPEN && sent_at < now_usec && now_usec - sent_at > SKEW_USEC)
                return SEAL_E_STALE;
        return check_replay(sealer, h, end_usec, &ret->key, now_usec);
}

int open_first(Sealer *sealer, SealFirst *first, const uint8_t header[static PACKET_HEADER_SIZE],
               Slice payload, uint64_t now_usec, uint8_t *out, size_t out_size, size_t *ret_n_out,
               SealedSender *ret_sender) {
        Address own = identity_hash(sealer->identity)->address;
        const EncryptionKey *key;
        SealedSender sender;
        const uint8_t *rs;
        uint64_t end_usec;
        PacketHeader h;
        uint16_t flags;
        size_t n, n_lease;
        SealPair *pair;
        int r;

        if (covered_decode(header, &h) != 0 || h.dst.pid != own.pid ||
            (h.dst.tag != 0 && h.dst.tag != own.tag) || !packet_end(&h, &end_usec))
                return SEAL_E_MALFORMED;
        r = head_decode(sealer, payload, first, &flags, &key);
        if (r != 0)
                return r;
        r = noise_open(sealer, first, header, payload, key, out, out_size, &n);
        if (r != 0)
                return err_trace(r);

        n_lease = flags & SEAL_FLAG_LEASE ? SIGNED_RECORD_LEASE_SIZE : 0;
        rs = noise_remote_static(first->handshake);
        r = judge(sealer, first, &h, end_usec, sealer_find_pair(sealer, key, rs),
                  n_lease > 0 ? out : NULL, now_usec, &sender);
        if (r != 0) {
                crypto_wipe(out, n);
                return err_trace(r);
        }
        pair = sealer_learn_pair(sealer, key, rs, noise_static_shared(first->handshake));
        if (pair) {
                pair->sender = sender;
                pair->has_sender = true;
        }
        memmove(out, out + n_lease, n - n_lease);
        *ret_n_out = n - n_lease;
        *ret_sender = sender;
        return 0;
}

int open_one(Sealer *sealer, const uint8_t header[static PACKET_HEADER_SIZE], Slice payload,
             uint64_t now_usec, uint8_t *out, size_t out_size, size_t *ret_n_out,
             SealedSender *ret_sender) {
        NoiseHandshake handshake = { .dead = true };
        SealFirst first = { .type = SEALED_ONE, .handshake = &handshake };
        int r;

        r = open_first(sealer, &first, header, payload, now_usec, out, out_size, ret_n_out,
                       ret_sender);
        noise_done(&handshake);
        return r;
}
