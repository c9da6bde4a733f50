/* SPDX-License-Identifier: Apache-2.0 */

/* The byte layouts are the tables in PROTOCOL.md, "Attach". */

#include "libsecure/attach.h"

#include <assert.h>
#include <string.h>

#include "libcore/buf.h"

#define LABEL "p2pbus-attach-1"
#define SIGNED_SIZE 40 /* of ATTACH: all before the signature */

static const uint8_t magic[4] = { 'P', '2', 'P', 'B' };

static_assert(ATTACH_SIZE == SIGNED_SIZE + KEY_SIGNATURE_SIZE, "the signature ends it");

void hello_encode(const Hello *hello, uint8_t out[static HELLO_SIZE]) {
        BufWriter w = buf_writer(out, HELLO_SIZE);

        buf_put_bytes(&w, magic, sizeof(magic));
        buf_put_le16(&w, hello->proto_min);
        buf_put_le16(&w, hello->proto_max);
        buf_put_le32(&w, hello->os_pid);
        buf_put_le32(&w, hello->uid);
        buf_put_le32(&w, hello->gid);
        buf_put_le32(&w, hello->flags);
        buf_put_le64(&w, hello->now_usec);
        buf_put_bytes(&w, hello->instance, sizeof(hello->instance));
        buf_put_bytes(&w, hello->nonce, sizeof(hello->nonce));
        assert(!w.failed && w.at == HELLO_SIZE);
}

int hello_decode(const uint8_t *data, size_t n_data, Hello *ret) {
        BufReader r = buf_reader(data, n_data);
        uint8_t got[sizeof(magic)];
        Hello hello;

        buf_get_bytes(&r, got, sizeof(got));
        hello.proto_min = buf_get_le16(&r);
        hello.proto_max = buf_get_le16(&r);
        hello.os_pid = buf_get_le32(&r);
        hello.uid = buf_get_le32(&r);
        hello.gid = buf_get_le32(&r);
        hello.flags = buf_get_le32(&r);
        hello.now_usec = buf_get_le64(&r);
        buf_get_bytes(&r, hello.instance, sizeof(hello.instance));
        buf_get_bytes(&r, hello.nonce, sizeof(hello.nonce));
        if (!buf_reader_done(&r) || memcmp(got, magic, sizeof(magic)) != 0 ||
            hello.proto_min > hello.proto_max)
                return ATTACH_E_MALFORMED;
        *ret = hello;
        return 0;
}

int attach_sign(const IdentityKey *identity, const uint8_t hello_bytes[static HELLO_SIZE],
                uint16_t proto, uint16_t flags, uint8_t out[static ATTACH_SIZE]) {
        uint8_t attach[ATTACH_SIZE];
        BufWriter w = buf_writer(attach, sizeof(attach));
        Hello hello;

        if (hello_decode(hello_bytes, HELLO_SIZE, &hello) != 0)
                return ATTACH_E_MALFORMED;
        if (proto < hello.proto_min || proto > hello.proto_max)
                return ATTACH_E_PROTO;

        buf_put_le16(&w, proto);
        buf_put_le16(&w, flags);
        buf_put_zero(&w, 4);
        buf_put_bytes(&w, identity_public(identity)->bytes, KEY_SIZE);
        if (identity_sign(identity, LABEL,
                          (Slice[]){ { hello_bytes, HELLO_SIZE }, { attach, SIGNED_SIZE } }, 2,
                          buf_put(&w, KEY_SIGNATURE_SIZE)) != 0)
                return ATTACH_E_FORKED;
        memcpy(out, attach, sizeof(attach));
        return 0;
}

int attach_verify(const uint8_t hello_bytes[static HELLO_SIZE], const uint8_t *data, size_t n_data,
                  Attach *ret) {
        BufReader r = buf_reader(data, n_data);
        uint8_t signature[KEY_SIGNATURE_SIZE];
        Attach attach;
        Hello hello;

        attach.proto = buf_get_le16(&r);
        attach.flags = buf_get_le16(&r);
        buf_get_zero(&r, 4);
        buf_get_bytes(&r, attach.key.bytes, sizeof(attach.key.bytes));
        buf_get_bytes(&r, signature, sizeof(signature));
        if (!buf_reader_done(&r) || (attach.flags & ~_ATTACH_FLAGS_ALL) ||
            hello_decode(hello_bytes, HELLO_SIZE, &hello) != 0)
                return ATTACH_E_MALFORMED;
        if (attach.proto < hello.proto_min || attach.proto > hello.proto_max)
                return ATTACH_E_PROTO;
        attach.hash = key_hash(&attach.key);
        if (pid_is_reserved(attach.hash.address.pid))
                return ATTACH_E_RESERVED;
        if (key_verify(&attach.key, LABEL,
                       (Slice[]){ { hello_bytes, HELLO_SIZE }, { data, SIGNED_SIZE } }, 2,
                       signature) != 0)
                return ATTACH_E_SIGNATURE;
        *ret = attach;
        return 0;
}
