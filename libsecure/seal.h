/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * End-to-end sealing: what leaves the host is readable by one process alone
 *
 * A ONE is a Noise X message that needs no earlier contact, bound to bytes 16 to 71 of its packet's
 * header, with the sender's lease inside (PROTOCOL.md, "Sealing"). Opening it yields the content,
 * the sender's full key and its lease, all verified; a packet seen before is told apart. Policy on
 * the sender is the caller's. Two processes that talk on use epochs.h, which costs less.
 *
 * Where this stands in the life of a message: behind libclient/session.c at the sender, before it
 * at the receiver. Only libclient includes this file: daemon, bridge and relay cannot open anything.
 *
 * Not safe for threads: the owner locks.
 */

#include <stddef.h>
#include <stdint.h>

#include "libcore/packet.h"
#include "libsecure/identity.h"
#include "libsecure/key.h"
#include "libsecure/signed-record.h"

#define SEAL_OVERHEAD (104 + SIGNED_RECORD_LEASE_SIZE)      /* bytes of a ONE beyond its content */
#define SEAL_OPEN_OVERHEAD (112 + SIGNED_RECORD_LEASE_SIZE) /* the same of an OPEN */
#define SEAL_CONTENT_MAX                                                                           \
        (PACKET_PAYLOAD_MAX - SEAL_OPEN_OVERHEAD) /* fits whatever it is sealed as */
#define SEAL_LIFE_MAX_USEC (7 * 24 * 60 * 60 * USEC_PER_SEC)
#define SEAL_LIFE_DEFAULT_USEC (10 * 60 * USEC_PER_SEC) /* of a packet without a deadline */
#define SEAL_KEYS_MAX 8

/* First byte of a sealed packet's payload. */
typedef enum SealedType {
        SEALED_ONE = 1,
        SEALED_OPEN = 2,
        SEALED_ACCEPT = 3,
        SEALED_DATA = 4,
        SEALED_NACK = 5,    /* libsecure/signed-answer.h */
        SEALED_RECEIPT = 6, /* likewise */
} SealedType;

typedef struct Sealer Sealer;

/* Who sent what was opened, and how to answer. */
typedef struct SealedSender {
        PublicKey key;
        KeyHash hash;
        SignedRecord lease; /* borrows nothing */
        uint8_t lease_bytes[SIGNED_RECORD_LEASE_SIZE];
} SealedSender;

enum {
        _SEAL_E_SUCCESS,

        SEAL_E_MALFORMED,   /* not what it should be, not for us, or with impossible times: drop */
        SEAL_E_UNKNOWN_KEY, /* sealed for a key not held (any more): NACK UNKNOWN_KEY */
        SEAL_E_FORGED,      /* does not open: drop */
        SEAL_E_SENDER,      /* opens, but lease, key and source do not belong together: drop */
        SEAL_E_NEED_LEASE, /* opens, but the lease inside is missing or has ended: NACK NEED_LEASE */
        SEAL_E_STALE, /* sent before we attached, too long ago, or in the future: NACK STALE */
        SEAL_E_EXPIRED, /* its deadline is over: NACK EXPIRED; or the lease to seal for has ended */
        SEAL_E_REPEATED, /* opened before: drop, nothing to answer */
        SEAL_E_OVERLOAD, /* too many of this sender to remember: NACK OVERLOAD */
        SEAL_E_FORKED,   /* keys are gone */
};

/*
 * @identity is borrowed. @attached_usec, wall clock, is when this process attached first: packets
 * sent more than 2 s before it are STALE, since an earlier life may have seen them. If the clock is set
 * back to before it, that is when. The sealer is born with a key that no other has, nor had: a NACK
 * REFUSED relies on that.
 * Return: 0, -ENOMEM, -ENOSYS.
 */
int sealer_new(Sealer **ret, const IdentityKey *identity, uint64_t attached_usec);
/* Wipes; accepts NULL, returns NULL. */
Sealer *sealer_free(Sealer *sealer);

/* The X25519 key for the next lease: the newest one. A sealer is born with one. */
const uint8_t *sealer_encpk(const Sealer *sealer);
/*
 * Takes @key, which becomes the newest; older ones still open. Beyond SEAL_KEYS_MAX the oldest is
 * wiped.
 * Return: 0, -EEXIST (another key with this ENCID is held: make a new one; @key stays the caller's).
 */
int sealer_add_key(Sealer *sealer, EncryptionKey *key);
/*
 * Changes keys: wipes those whose leases have all ended, and if the newest was first in a lease
 * @life_usec ago, makes another. @now_usec is the wall clock. To be called before a lease is signed.
 * Return: 0, -ENOMEM, -ENOSYS, -EEXIST; the keys of before stay good.
 */
int sealer_rotate(Sealer *sealer, uint64_t now_usec, uint64_t life_usec);
/*
 * Our own current lease, put into everything sealed from now on; copied. What is sealed proves the
 * key that it certifies, which need not be the newest.
 * Return: 0, -EINVAL if it is not ours, or for no key that is held.
 */
int sealer_set_lease(Sealer *sealer, const uint8_t *lease, size_t n_lease);

/*
 * Seals @content for @peer, a verified LEASE, into @out: n_content + SEAL_OVERHEAD bytes. @header
 * is the encoded header of the packet, from us to @peer, both with their tags, kind PACKET_SEALED;
 * its first 16 bytes are not covered and may be set later. @now_usec is the wall clock. A deadline
 * lies within SEAL_LIFE_MAX_USEC of the time of sending; 0 counts as SEAL_LIFE_DEFAULT_USEC.
 * Return: 0, SEAL_E_EXPIRED (the lease's encryption key has ended), SEAL_E_SENDER (the peer's key
 * is a useless point), SEAL_E_FORKED, -EINVAL (the header is not from us to @peer, or no lease of
 * ours is set), -EMSGSIZE, -ENOBUFS, -ENOMEM.
 */
int seal_one(Sealer *sealer, const uint8_t header[static PACKET_HEADER_SIZE],
             const SignedRecord *peer, Slice content, uint64_t now_usec, uint8_t *out,
             size_t out_size, size_t *ret_n_out);
/*
 * Opens the payload of a packet; @out needs n_payload bytes and must not overlap. Whatever fails,
 * @out holds no plaintext afterwards; ret_n_out and @ret_sender are untouched.
 * Return: 0, SEAL_E_MALFORMED, _UNKNOWN_KEY, _FORGED, _SENDER, _NEED_LEASE, _STALE, _EXPIRED,
 * _REPEATED, _OVERLOAD, _FORKED, -ENOBUFS (@out_size), -ENOMEM.
 */
int open_one(Sealer *sealer, const uint8_t header[static PACKET_HEADER_SIZE], Slice payload,
             uint64_t now_usec, uint8_t *out, size_t out_size, size_t *ret_n_out,
             SealedSender *ret_sender);

static inline void sealer_freep(Sealer **sealer) {
        *sealer = sealer_free(*sealer);
}
