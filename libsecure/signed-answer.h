/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Signed answers to sealed packets: NACK and RECEIPT
 *
 * NACK says why a sealed packet was refused, RECEIPT that a stored one was kept (PROTOCOL.md,
 * "Sealing"). Both are signed by the receiver and in the clear, so that those who cannot
 * open a packet can judge the answer; both are the payload of a packet of kind PACKET_SEALED.
 * A NACK counts only if the packet it names is still outstanding: that is the caller's to check.
 */

#include <stddef.h>
#include <stdint.h>

#include "libcore/packet.h"
#include "libsecure/identity.h"
#include "libsecure/key.h"

#define SIGNED_ANSWER_SIZE 128

typedef enum SignedAnswerType {
        SIGNED_ANSWER_NACK = 5,
        SIGNED_ANSWER_RECEIPT = 6,
} SignedAnswerType;

typedef enum NackCode {
        NACK_NO_SESSION = 1,
        NACK_NEED_LEASE = 2,
        NACK_STALE = 3,
        NACK_OVERLOAD = 4,
        NACK_UNKNOWN_KEY = 5,
        NACK_REFUSED = 6,
        NACK_EXPIRED = 7,
} NackCode;

typedef struct SignedAnswer {
        SignedAnswerType type;
        uint16_t code; /* NackCode; 0 in a RECEIPT; unknown ones are handed on */
        uint32_t ref;  /* NACK_NO_SESSION: the unknown session; else 0 */
        PacketId id;   /* of the packet it answers */
        uint64_t now_usec;
        PublicKey key; /* who signed */
} SignedAnswer;

enum {
        _SIGNED_ANSWER_E_SUCCESS,

        SIGNED_ANSWER_E_MALFORMED,
        SIGNED_ANSWER_E_SIGNATURE,
        SIGNED_ANSWER_E_FORKED,
};

/*
 * Signs @answer (its key is ignored) to a packet that went from @src to @dst.
 * Return: 0, SIGNED_ANSWER_E_FORKED.
 */
int signed_answer_sign(const SignedAnswer *answer, const IdentityKey *identity, Pid src, Pid dst,
                       uint8_t out[static SIGNED_ANSWER_SIZE]);
/*
 * Checks table and signature of an answer to a packet that went from @src to @dst. Behind the
 * SIGNED_ANSWER_SIZE bytes of a NACK exactly one lease may follow, which is not judged here. That @ret->key is the one expected, that @ret->id is
 * outstanding and that @ret->now_usec is near are the caller's to check.
 * Return: 0, SIGNED_ANSWER_E_MALFORMED, _SIGNATURE; @ret is untouched then.
 */
int signed_answer_verify(const uint8_t *data, size_t n_data, Pid src, Pid dst, SignedAnswer *ret);
