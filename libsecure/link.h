/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Link: the encrypted connection of a bridge and a relay
 *
 * Noise XX inside the messages of a WebSocket (PROTOCOL.md, "Link"). Each side sends the signed
 * record that certifies the key it proves: a relay its RELAY, a bridge its PRESENCE. No I/O: bytes
 * of whole messages go in and out.
 *
 *      bridge (initiator)                     relay (responder)
 *      SENDING   create msg1      ------->    RECEIVING  consume msg1
 *      RECEIVING consume msg2     <-------    SENDING    create msg2
 *      PROVEN    link_accept(), create msg3 ->  RECEIVING  consume msg3
 *      UP                                     PROVEN     link_accept()
 *                                             UP
 *
 * PROVEN means that the other holds the key which its record names; whether that key is welcome is
 * the owner's decision, by link_accept() or link_free(). Where a key is pinned, link.c decides. So a
 * bridge never sends msg3, and thus never names itself, to a relay that it does not want. Any bad
 * message makes the link DEAD for good.
 *
 * Then each message carries up to LINK_PLAIN_MAX bytes of a stream of frames: frames may be cut
 * anywhere between two messages.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libsecure/identity.h"
#include "libsecure/key.h"
#include "libsecure/signed-record.h"

#define LINK_MESSAGE_MAX 65535
#define LINK_OVERHEAD 16
#define LINK_PLAIN_MAX (LINK_MESSAGE_MAX - LINK_OVERHEAD)
#define LINK_HANDSHAKE_MAX 2048 /* bytes of any handshake message */
#define LINK_MSG1_SIZE 32
#define LINK_LIFE_USEC (24 * 60 * 60 * USEC_PER_SEC)
#define LINK_PROTO 1

typedef struct Link Link;

typedef enum LinkRole {
        LINK_ROLE_BRIDGE = 1,
        LINK_ROLE_RELAY = 2,
} LinkRole;

typedef enum LinkState {
        LINK_SENDING,   /* link_create() is next */
        LINK_RECEIVING, /* link_consume() is next */
        LINK_PROVEN,    /* link_accept() is next */
        LINK_UP,
        LINK_DEAD,
} LinkState;

typedef struct LinkOptions {
        bool initiator;
        LinkRole initiator_role;     /* the responder is always a relay */
        const IdentityKey *identity; /* must be the signer of @record */
        const EncryptionKey *key;    /* its public part stands in @record; borrowed while the
                                           handshake lasts */
        Slice record;                /* our PRESENCE or RELAY; copied */
        const PublicKey *pinned;     /* the one key wanted at the other end, copied; or NULL */
} LinkOptions;

enum {
        _LINK_E_SUCCESS,

        LINK_E_VIOLATION, /* forged, malformed, or not the next message: close */
        LINK_E_RECORD,    /* its record is bad, of another type, or certifies another key */
        LINK_E_CLOCK,     /* its record is of the future: a clock is wrong */
        LINK_E_EXPIRED,   /* its record has ended: a clock is wrong, or it is a replay */
        LINK_E_OTHER_KEY, /* proven, but not the pinned key; link_peer() says who */
        LINK_E_FORKED,
        LINK_E_WORN_OUT, /* 2^32 messages: make a new link */
};

/* Return: 0, -ENOMEM, -EINVAL (record and keys do not belong together). */
int link_new(Link **ret, const LinkOptions *options);
/* Wipes; accepts NULL, returns NULL. */
Link *link_free(Link *link);

LinkState link_state(const Link *link);

/*
 * Writes the next handshake message; LINK_HANDSHAKE_MAX bytes always suffice.
 * Return: 0, LINK_E_VIOLATION (the other's key is a useless point), LINK_E_FORKED, -EINVAL (not
 * our turn, or not accepted yet), -ENOBUFS.
 */
int link_create(Link *link, uint8_t *out, size_t out_size, size_t *ret_n_out);
/*
 * Reads the next handshake message; @now_usec is the wall clock. Afterwards the state says what
 * is next.
 * Return: 0, LINK_E_VIOLATION, _RECORD, _CLOCK, _EXPIRED, _OTHER_KEY, _FORKED, -ENOMEM: dead then.
 */
int link_consume(Link *link, const uint8_t *message, size_t n_message, uint64_t now_usec);
/* The owner wants the proven peer. Return: 0, -EINVAL (there is none). */
int link_accept(Link *link);

/* The peer's verified record, from PROVEN on and after LINK_E_OTHER_KEY; else NULL. */
const SignedRecord *link_peer(const Link *link);
/* The same as bytes, to keep or pass on; empty if there is none. */
Slice link_peer_bytes(const Link *link);

/*
 * One transport message; @out needs n_plain + LINK_OVERHEAD bytes and may be @plain.
 * Return: 0, LINK_E_WORN_OUT, LINK_E_FORKED, -EINVAL (not up, or more than LINK_PLAIN_MAX).
 */
int link_encrypt(Link *link, const uint8_t *plain, size_t n_plain, uint8_t *out);
/*
 * The reverse; @out needs n_message - LINK_OVERHEAD bytes and may be @message.
 * Return: 0, LINK_E_VIOLATION (also when not up), LINK_E_WORN_OUT, LINK_E_FORKED: dead then.
 */
int link_decrypt(Link *link, const uint8_t *message, size_t n_message, uint8_t *out);

static inline void link_freep(Link **link) {
        *link = link_free(*link);
}
