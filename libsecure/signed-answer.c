/* SPDX-License-Identifier: Apache-2.0 */

/* The byte layout is the table in PROTOCOL.md, "Sealing". */

#include "libsecure/signed-answer.h"

#include <assert.h>
#include <string.h>

#include "libcore/buf.h"
#include "libsecure/signed-record.h"

#define SUITE 1
#define SIGNED_SIZE 64

static_assert(SIGNED_ANSWER_SIZE == SIGNED_SIZE + KEY_SIGNATURE_SIZE, "the signature ends it");

static const char *label_of(SignedAnswerType type) {
        return type == SIGNED_ANSWER_NACK ? "p2pbus-nack-1" : "p2pbus-rcpt-1";
}

/* The two PIDs of the packet that is answered, as they stand in its header. */
static void pids_encode(Pid src, Pid dst, uint8_t out[static 16]) {
        store_be64(out, src);
        store_be64(out + 8, dst);
}

int signed_answer_sign(const SignedAnswer *answer, const IdentityKey *identity, Pid src, Pid dst,
                       uint8_t out[static SIGNED_ANSWER_SIZE]) {
        uint8_t bytes[SIGNED_ANSWER_SIZE], pids[16];
        BufWriter w = buf_writer(bytes, sizeof(bytes));

        buf_put_u8(&w, (uint8_t)answer->type);
        buf_put_u8(&w, SUITE);
        buf_put_le16(&w, answer->code);
        buf_put_le32(&w, answer->ref);
        buf_put_bytes(&w, answer->id.bytes, sizeof(answer->id.bytes));
        buf_put_le64(&w, answer->now_usec);
        buf_put_bytes(&w, identity_public(identity)->bytes, KEY_SIZE);
        pids_encode(src, dst, pids);
        if (identity_sign(identity, label_of(answer->type),
                          (Slice[]){ { pids, sizeof(pids) }, { bytes, SIGNED_SIZE } }, 2,
                          buf_put(&w, KEY_SIGNATURE_SIZE)) != 0)
                return SIGNED_ANSWER_E_FORKED;
        memcpy(out, bytes, sizeof(bytes));
        return 0;
}

int signed_answer_verify(const uint8_t *data, size_t n_data, Pid src, Pid dst, SignedAnswer *ret) {
        uint8_t signature[KEY_SIGNATURE_SIZE], pids[16], type, suite;
        BufReader r = buf_reader(data, n_data);
        SignedAnswer answer;

        type = buf_get_u8(&r);
        suite = buf_get_u8(&r);
        answer.code = buf_get_le16(&r);
        answer.ref = buf_get_le32(&r);
        buf_get_bytes(&r, answer.id.bytes, sizeof(answer.id.bytes));
        answer.now_usec = buf_get_le64(&r);
        buf_get_bytes(&r, answer.key.bytes, KEY_SIZE);
        buf_get_bytes(&r, signature, sizeof(signature));
        if (r.failed || suite != SUITE)
                return SIGNED_ANSWER_E_MALFORMED;
        switch (type) {
        case SIGNED_ANSWER_NACK:
                if (answer.code == 0 ||
                    (buf_left(&r) != 0 && buf_left(&r) != SIGNED_RECORD_LEASE_SIZE))
                        return SIGNED_ANSWER_E_MALFORMED;
                break;
        case SIGNED_ANSWER_RECEIPT:
                if (answer.code != 0 || answer.ref != 0 || buf_left(&r) != 0)
                        return SIGNED_ANSWER_E_MALFORMED;
                break;
        default:
                return SIGNED_ANSWER_E_MALFORMED;
        }
        answer.type = type;

        pids_encode(src, dst, pids);
        if (key_verify(&answer.key, label_of(answer.type),
                       (Slice[]){ { pids, sizeof(pids) }, { data, SIGNED_SIZE } }, 2,
                       signature) != 0)
                return SIGNED_ANSWER_E_SIGNATURE;
        *ret = answer;
        return 0;
}
