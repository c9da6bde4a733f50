/* SPDX-License-Identifier: Apache-2.0 */

/* The byte layout is the table in PROTOCOL.md, "Sealing". */

#include "libsecure/seal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libcore/buf.h"
#include "libcore/err.h"
#include "libsecure/noise.h"
#include "libsecure/secret.h"
#include "libsecure/seen.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define LABEL "p2pbus-e2e-1"
#define SUITE 1
#define FLAG_LEASE 1
#define ONE_HEADER_SIZE 8
#define ONE_OVERHEAD (SEAL_OVERHEAD - SIGNED_RECORD_LEASE_SIZE) /* of a ONE without a lease */
#define PROLOGUE_SIZE (PACKET_HEADER_SIZE + ONE_HEADER_SIZE + KEY_SIZE)
#define ATTACHED_SLACK_USEC (2 * USEC_PER_SEC)
#define SKEW_USEC SIGNED_RECORD_SKEW_USEC
#define PEERS_MAX 256

static_assert(CRYPTO_LABEL_SIZE == PACKET_AUTHENTICATED_AT, "a header with its label is an AAD72");
static_assert(ONE_OVERHEAD ==
                      ONE_HEADER_SIZE + CRYPTO_DH_SIZE + CRYPTO_DH_SIZE + 2 * CRYPTO_TAG_SIZE,
              "header, e, s, two tags");

typedef struct PeerKey {
        uint8_t own[CRYPTO_DH_SIZE];
        uint8_t theirs[CRYPTO_DH_SIZE];
} PeerKey;

/*
 * What need not be computed again for a pair of X25519 keys: their DH, which is two thirds of the
 * work of opening, and the check of the lease that came with it, if one did.
 */
typedef struct Peer {
        PeerKey key;
        uint8_t *ss; /* in libsecure/secret.h memory */
        bool has_sender;
        SealedSender sender;
        UT_hash_handle hh; /* its order: as they came, the oldest first */
} Peer;

struct Sealer {
        const IdentityKey *identity;
        uint64_t attached_usec;
        EncryptionKey *keys[SEAL_KEYS_MAX]; /* the newest last */
        size_t n_keys;
        EncryptionKey *lease_key; /* the one of @keys that @lease certifies, or NULL */
        uint8_t lease[SIGNED_RECORD_LEASE_SIZE];
        Seen *seen;
        Peer *peers;
};

/* Finds remembered DH results for one of our keys. */
typedef struct Shared {
        NoiseShared noise;
        Sealer *sealer;
        const EncryptionKey *own;
} Shared;

static void peer_free(Sealer *sealer, Peer *peer) {
        HASH_DEL(sealer->peers, peer);
        secret_free(peer->ss);
        free(peer);
}

static PeerKey peer_key(const EncryptionKey *own, const uint8_t theirs[static CRYPTO_DH_SIZE]) {
        PeerKey key;

        memcpy(key.own, encryption_key_public(own), sizeof(key.own));
        memcpy(key.theirs, theirs, sizeof(key.theirs));
        return key;
}

/* The entry for a pair of keys, or NULL. */
static Peer *peer_find(Sealer *sealer, const EncryptionKey *own,
                       const uint8_t theirs[static CRYPTO_DH_SIZE]) {
        PeerKey key = peer_key(own, theirs);
        Peer *peer;

        HASH_FIND(hh, sealer->peers, &key, sizeof(key), peer);
        return peer;
}

/* Remembers a DH; that there is no memory for it only costs time. */
static Peer *peer_learn(Sealer *sealer, const EncryptionKey *own,
                        const uint8_t theirs[static CRYPTO_DH_SIZE],
                        const uint8_t ss[static CRYPTO_DH_SIZE]) {
        Peer *peer = peer_find(sealer, own, theirs);

        if (peer)
                return peer;
        if (HASH_COUNT(sealer->peers) >= PEERS_MAX)
                peer_free(sealer, sealer->peers);
        peer = calloc(1, sizeof(*peer));
        if (!peer)
                return NULL;
        peer->key = peer_key(own, theirs);
        peer->ss = secret_alloc(CRYPTO_DH_SIZE);
        if (peer->ss) {
                memcpy(peer->ss, ss, CRYPTO_DH_SIZE);
                HASH_ADD(hh, sealer->peers, key, sizeof(peer->key), peer);
                if (peer->hh.tbl)
                        return peer;
        }
        secret_free(peer->ss);
        free(peer);
        return NULL;
}

static bool shared_find(NoiseShared *noise, const uint8_t rs[static CRYPTO_DH_SIZE],
                        uint8_t ret[static CRYPTO_DH_SIZE]) {
        Shared *shared = container_of(noise, Shared, noise);
        Peer *peer = peer_find(shared->sealer, shared->own, rs);

        if (!peer || !secret_is_alive(peer->ss))
                return false;
        memcpy(ret, peer->ss, CRYPTO_DH_SIZE);
        return true;
}

int sealer_new(Sealer **ret, const IdentityKey *identity, uint64_t attached_usec) {
        _cleanup_(sealer_freep) Sealer *sealer = NULL;
        int r;

        sealer = calloc(1, sizeof(*sealer));
        if (!sealer)
                return err_origin(-ENOMEM);
        sealer->identity = identity;
        sealer->attached_usec = attached_usec;
        r = seen_new(&sealer->seen);
        if (r < 0)
                return err_trace(r);
        r = encryption_key_new_random(&sealer->keys[0]);
        if (r < 0)
                return err_trace(r);
        sealer->n_keys = 1;
        *ret = TAKE_PTR(sealer);
        return 0;
}

Sealer *sealer_free(Sealer *sealer) {
        if (!sealer)
                return NULL;
        while (sealer->peers)
                peer_free(sealer, sealer->peers);
        for (size_t i = 0; i < sealer->n_keys; i++)
                encryption_key_free(sealer->keys[i]);
        seen_free(sealer->seen);
        free(sealer);
        return NULL;
}

const uint8_t *sealer_encpk(const Sealer *sealer) {
        return encryption_key_public(sealer->keys[sealer->n_keys - 1]);
}

/* The key whose public part begins with @id, or NULL. */
static EncryptionKey *find_key(const Sealer *sealer, const uint8_t id[static ENCRYPTION_ID_SIZE]) {
        for (size_t i = 0; i < sealer->n_keys; i++)
                if (memcmp(encryption_key_public(sealer->keys[i]), id, ENCRYPTION_ID_SIZE) == 0)
                        return sealer->keys[i];
        return NULL;
}

/* Wipes the oldest key and all that was computed with it. */
static void drop_oldest_key(Sealer *sealer) {
        Peer *peer, *next;

        HASH_ITER (hh, sealer->peers, peer, next)
                if (memcmp(peer->key.own, encryption_key_public(sealer->keys[0]),
                           sizeof(peer->key.own)) == 0)
                        peer_free(sealer, peer);
        if (sealer->lease_key == sealer->keys[0])
                sealer->lease_key = NULL;
        encryption_key_free(sealer->keys[0]);
        sealer->n_keys--;
        memmove(sealer->keys, sealer->keys + 1, sealer->n_keys * sizeof(sealer->keys[0]));
}

int sealer_add_key(Sealer *sealer, EncryptionKey *key) {
        if (find_key(sealer, encryption_key_public(key)))
                return err_origin(-EEXIST);
        if (sealer->n_keys == SEAL_KEYS_MAX)
                drop_oldest_key(sealer);
        sealer->keys[sealer->n_keys++] = key;
        return 0;
}

int sealer_set_lease(Sealer *sealer, const uint8_t *lease, size_t n_lease) {
        EncryptionKey *key;
        SignedRecord record;

        if (signed_record_decode(lease, n_lease, &record) != 0 ||
            record.type != SIGNED_RECORD_LEASE ||
            !key_equal(&record.signer, identity_public(sealer->identity)))
                return err_origin(-EINVAL);
        key = find_key(sealer, record.lease.encpk);
        if (!key || !crypto_equal(encryption_key_public(key), record.lease.encpk, CRYPTO_DH_SIZE))
                return err_origin(-EINVAL);
        memcpy(sealer->lease, lease, sizeof(sealer->lease));
        sealer->lease_key = key;
        return 0;
}

/* Binds a ONE to its packet and to one receiver: AAD72, its own header, the receiver's key. */
static void prologue_make(uint8_t out[static PROLOGUE_SIZE],
                          const uint8_t header[static PACKET_HEADER_SIZE],
                          const uint8_t one[static ONE_HEADER_SIZE], const PublicKey *receiver) {
        BufWriter w = buf_writer(out, PROLOGUE_SIZE);

        crypto_label(LABEL, buf_put(&w, CRYPTO_LABEL_SIZE));
        buf_put_bytes(&w, header + PACKET_AUTHENTICATED_AT,
                      PACKET_HEADER_SIZE - PACKET_AUTHENTICATED_AT);
        buf_put_bytes(&w, one, ONE_HEADER_SIZE);
        buf_put_bytes(&w, receiver->bytes, KEY_SIZE);
        assert(!w.failed && w.at == PROLOGUE_SIZE);
}

/*
 * When a packet is worthless, by the wall clock of its sender. Its deadline is a span for the
 * application; for us it is also the end of remembering it.
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

int seal_one(Sealer *sealer, const uint8_t header[static PACKET_HEADER_SIZE],
             const SignedRecord *peer, Slice content, uint64_t now_usec, uint8_t *out,
             size_t out_size, size_t *ret_n_out) {
        Shared shared = { { shared_find }, sealer, sealer->lease_key };
        uint8_t prologue[PROLOGUE_SIZE], one[ONE_HEADER_SIZE];
        BufWriter w = buf_writer(one, sizeof(one));
        NoiseHandshake handshake;
        size_t n;
        int r;

        if (!may_send(sealer, header, peer))
                return err_origin(-EINVAL);
        if (content.size > SEAL_CONTENT_MAX)
                return err_origin(-EMSGSIZE);
        if (content.size + SEAL_OVERHEAD > out_size)
                return err_origin(-ENOBUFS);
        if (now_usec >= peer->lease.enc_until_usec)
                return SEAL_E_EXPIRED;

        buf_put_u8(&w, SEALED_ONE);
        buf_put_u8(&w, SUITE);
        buf_put_le16(&w, FLAG_LEASE);
        buf_put_bytes(&w, peer->lease.encpk, ENCRYPTION_ID_SIZE);
        prologue_make(prologue, header, one, &peer->signer);

        noise_init(&handshake, &(NoiseOptions){
                                       .pattern = NOISE_X,
                                       .initiator = true,
                                       .prologue = { prologue, sizeof(prologue) },
                                       .s = shared.own,
                                       .rs = peer->lease.encpk,
                                       .shared = &shared.noise,
                               });
        memcpy(out, one, sizeof(one));
        r = noise_create(&handshake, (Slice[]){ { sealer->lease, sizeof(sealer->lease) }, content },
                         2, out + sizeof(one), out_size - sizeof(one), &n);
        if (r == 0)
                (void)peer_learn(sealer, shared.own, peer->lease.encpk,
                                 noise_static_shared(&handshake));
        noise_done(&handshake);
        switch (r) {
        case 0:
                *ret_n_out = sizeof(one) + n;
                return 0;
        case NOISE_E_REFUSED:
                return SEAL_E_SENDER;
        case NOISE_E_FORKED:
                return SEAL_E_FORKED;
        default:
                return err_fold(r);
        }
}

/* The outside of a ONE. Return: 0, SEAL_E_MALFORMED, SEAL_E_UNKNOWN_KEY. */
static int one_decode(const Sealer *sealer, Slice payload, uint16_t *ret_flags,
                      const EncryptionKey **ret_key) {
        BufReader r = buf_reader(payload.data, payload.size);
        uint8_t id[ENCRYPTION_ID_SIZE], type, suite;
        uint16_t flags;

        type = buf_get_u8(&r);
        suite = buf_get_u8(&r);
        flags = buf_get_le16(&r);
        buf_get_bytes(&r, id, sizeof(id));
        if (r.failed || type != SEALED_ONE || suite != SUITE || (flags & ~FLAG_LEASE) ||
            payload.size < ONE_OVERHEAD + (flags & FLAG_LEASE ? SIGNED_RECORD_LEASE_SIZE : 0))
                return SEAL_E_MALFORMED;
        *ret_key = find_key(sealer, id);
        *ret_flags = flags;
        return *ret_key ? 0 : SEAL_E_UNKNOWN_KEY;
}

/* Takes the Noise message apart; @ret_rs is the key that its sender proved. */
static int one_open(Sealer *sealer, const uint8_t *header, Slice payload, const EncryptionKey *own,
                    uint8_t *out, size_t out_size, size_t *ret_n,
                    uint8_t ret_rs[static CRYPTO_DH_SIZE], uint8_t ret_ss[static CRYPTO_DH_SIZE]) {
        Shared shared = { { shared_find }, sealer, own };
        const uint8_t *bytes = payload.data;
        uint8_t prologue[PROLOGUE_SIZE];
        NoiseHandshake handshake;
        int r;

        prologue_make(prologue, header, bytes, identity_public(sealer->identity));
        noise_init(&handshake, &(NoiseOptions){
                                       .pattern = NOISE_X,
                                       .initiator = false,
                                       .prologue = { prologue, sizeof(prologue) },
                                       .s = own,
                                       .shared = &shared.noise,
                               });
        r = noise_consume(&handshake,
                          (Slice){ bytes + ONE_HEADER_SIZE, payload.size - ONE_HEADER_SIZE }, out,
                          out_size, ret_n);
        if (r == 0) {
                memcpy(ret_rs, noise_remote_static(&handshake), CRYPTO_DH_SIZE);
                memcpy(ret_ss, noise_static_shared(&handshake), CRYPTO_DH_SIZE);
        }
        noise_done(&handshake);
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

/* Reads and checks a lease that came inside, unless @peer brought the very same before. */
static int lease_read(const Peer *peer, const uint8_t *lease, uint64_t now_usec,
                      SealedSender *ret) {
        SignedRecordCheck check = {
                .type = SIGNED_RECORD_LEASE,
                .now_usec = now_usec,
                .slack_usec = SKEW_USEC,
        };

        if (peer && peer->has_sender &&
            memcmp(peer->sender.lease_bytes, lease, SIGNED_RECORD_LEASE_SIZE) == 0 &&
            now_usec < peer->sender.lease.not_after_usec) {
                *ret = peer->sender;
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
static int sender_find(const Peer *peer, const uint8_t *lease, uint64_t now_usec,
                       SealedSender *ret) {
        if (lease)
                return lease_read(peer, lease, now_usec, ret);
        if (!peer || !peer->has_sender || now_usec >= peer->sender.lease.not_after_usec)
                return SEAL_E_NEED_LEASE;
        *ret = peer->sender;
        return 0;
}

/* May a packet of these times be taken, and was it not before? */
static int check_replay(Sealer *sealer, const PacketHeader *h, uint64_t end_usec,
                        const PublicKey *sender, uint64_t now_usec) {
        uint64_t sent_at = packet_id_sent_at(&h->id), until_usec = end_usec + SKEW_USEC;
        int r;

        if (sent_at > now_usec && sent_at - now_usec > SKEW_USEC)
                return SEAL_E_STALE;
        if (sent_at < sealer->attached_usec &&
            sealer->attached_usec - sent_at > ATTACHED_SLACK_USEC)
                return SEAL_E_STALE;
        if (now_usec >= until_usec)
                return SEAL_E_EXPIRED;

        r = seen_add(sealer->seen, sender, load_be64(h->id.bytes + 8), until_usec, now_usec);
        switch (r) {
        case 0:
                return 0;
        case SEEN_E_REPEATED:
                return SEAL_E_REPEATED;
        case SEEN_E_OVERLOAD:
                return SEAL_E_OVERLOAD;
        default:
                return err_fold(r);
        }
}

/* Everything that is judged after a ONE was opened; @lease is NULL if none was inside. */
static int one_judge(Sealer *sealer, const PacketHeader *h, uint64_t end_usec, const Peer *peer,
                     const uint8_t *rs, const uint8_t *lease, uint64_t now_usec,
                     SealedSender *ret) {
        int r;

        r = sender_find(peer, lease, now_usec, ret);
        if (r != 0)
                return r;
        if (!crypto_equal(ret->lease.lease.encpk, rs, CRYPTO_DH_SIZE) ||
            !address_equal(ret->hash.address, h->src) || pid_is_reserved(h->src.pid))
                return SEAL_E_SENDER;
        return check_replay(sealer, h, end_usec, &ret->key, now_usec);
}

int open_one(Sealer *sealer, const uint8_t header[static PACKET_HEADER_SIZE], Slice payload,
             uint64_t now_usec, uint8_t *out, size_t out_size, size_t *ret_n_out,
             SealedSender *ret_sender) {
        Address own = identity_hash(sealer->identity)->address;
        uint8_t rs[CRYPTO_DH_SIZE], ss[CRYPTO_DH_SIZE];
        const EncryptionKey *key;
        SealedSender sender;
        uint64_t end_usec;
        PacketHeader h;
        uint16_t flags;
        size_t n, n_lease;
        Peer *peer;
        int r;

        if (covered_decode(header, &h) != 0 || h.dst.pid != own.pid ||
            (h.dst.tag != 0 && h.dst.tag != own.tag) || !packet_end(&h, &end_usec))
                return SEAL_E_MALFORMED;
        r = one_decode(sealer, payload, &flags, &key);
        if (r != 0)
                return r;
        r = one_open(sealer, header, payload, key, out, out_size, &n, rs, ss);
        if (r != 0)
                return err_trace(r);

        n_lease = flags & FLAG_LEASE ? SIGNED_RECORD_LEASE_SIZE : 0;
        r = one_judge(sealer, &h, end_usec, peer_find(sealer, key, rs), rs,
                      n_lease > 0 ? out : NULL, now_usec, &sender);
        peer = r == 0 ? peer_learn(sealer, key, rs, ss) : NULL;
        if (peer) {
                peer->sender = sender;
                peer->has_sender = true;
        }
        crypto_wipe(ss, sizeof(ss));
        if (r != 0) {
                crypto_wipe(out, n);
                return err_trace(r);
        }
        memmove(out, out + n_lease, n - n_lease);
        *ret_n_out = n - n_lease;
        *ret_sender = sender;
        return 0;
}
