/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Attach: how a process proves to the daemon who it is
 *
 * The daemon says HELLO with a fresh nonce and what its kernel told it of the client; the client
 * answers ATTACH, its key and a signature over both (PROTOCOL.md, "Attach"). Both are the bodies
 * of frames, behind their 8-byte prefix. Pure functions: who may attach is the daemon's to say,
 * and whether this daemon may be believed is the client's (hello.uid and gid, the listener's
 * credentials) before it signs.
 */

#include <stddef.h>
#include <stdint.h>

#include "libcore/control.h"
#include "libsecure/identity.h"
#include "libsecure/key.h"

#define HELLO_SIZE 80
#define ATTACH_SIZE 104
#define HELLO_INSTANCE_SIZE 16
#define HELLO_NONCE_SIZE 32

/* Hello.flags and Attach.flags are HELLO_X and ATTACH_X of control.h: unknown ones are ignored
 * in the one and refused in the other. */
enum {
        _ATTACH_FLAGS_ALL = _ATTACH_KNOWN,
};

typedef struct Hello {
        uint16_t proto_min;
        uint16_t proto_max;
        uint32_t os_pid; /* of the client, by the daemon's kernel, as uid and gid */
        uint32_t uid;
        uint32_t gid;
        uint32_t flags;
        uint64_t now_usec;
        uint8_t instance[HELLO_INSTANCE_SIZE]; /* random at each start of the daemon */
        uint8_t nonce[HELLO_NONCE_SIZE];       /* random for each connection */
} Hello;

typedef struct Attach {
        uint16_t proto;
        uint16_t flags;
        PublicKey key;
        KeyHash hash;
} Attach;

enum {
        _ATTACH_E_SUCCESS,

        ATTACH_E_MALFORMED, /* another size, magic, reserved field or unknown flag */
        ATTACH_E_PROTO,     /* a protocol outside the range of the HELLO */
        ATTACH_E_RESERVED,  /* the key's PID is reserved */
        ATTACH_E_SIGNATURE,
        ATTACH_E_FORKED,
};

void hello_encode(const Hello *hello, uint8_t out[static HELLO_SIZE]);
/* Return: 0, ATTACH_E_MALFORMED (also: proto_min over proto_max); @ret is untouched then. */
int hello_decode(const uint8_t *data, size_t n_data, Hello *ret);

/*
 * Answers @hello, the bytes as received, with @proto and @flags.
 * Return: 0, ATTACH_E_PROTO (@proto is not in its range), ATTACH_E_MALFORMED, ATTACH_E_FORKED.
 */
int attach_sign(const IdentityKey *identity, const uint8_t hello[static HELLO_SIZE], uint16_t proto,
                uint16_t flags, uint8_t out[static ATTACH_SIZE]);
/*
 * Checks @data against the HELLO that was sent, the daemon's own copy.
 * Return: 0, ATTACH_E_MALFORMED, _PROTO, _RESERVED, _SIGNATURE; @ret is untouched then.
 */
int attach_verify(const uint8_t hello[static HELLO_SIZE], const uint8_t *data, size_t n_data,
                  Attach *ret);
