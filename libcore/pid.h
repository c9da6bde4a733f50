/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Addresses of processes
 *
 * A PID is the first 64 bits of a hash of a process's key, a TAG the next 32 (PROTOCOL.md,
 * "Addresses"). On the wire both are raw bytes in hash order; in memory both are integers that
 * were read big-endian, so that "%016" PRIx64 and "%08" PRIx32 print the text form. This file
 * knows the numbers, the reserved ones and their text; how a key becomes a PID is libsecure's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PID_TEXT_SIZE 17    /* 16 hex digits and a NUL */
#define PID_TAGGED_SIZE 26  /* "PID-TAG" and a NUL */
#define PID_KEY_SIZE 32     /* an Ed25519 public key */

#define PID_NONE UINT64_C(0)
#define PID_DAEMON UINT64_C(1)
#define PID_BRIDGE UINT64_C(2)
#define PID_RELAY UINT64_C(3)
#define PID_EVERYONE UINT64_MAX

typedef uint64_t Pid;

/* Where a packet goes or comes from. @tag 0 means that the sender knows only the PID. */
typedef struct Address {
        Pid pid;
        uint32_t tag;
} Address;

/* First 48 bits all zero or all one: never the PID of a key (PROTOCOL.md, "Addresses"). */
static inline bool pid_is_reserved(Pid pid) {
        return pid <= UINT64_C(0xffff) || pid >= UINT64_C(0xffffffffffff0000);
}

static inline bool address_equal(Address a, Address b) {
        return a.pid == b.pid && a.tag == b.tag;
}

/* An address as a key of tables, which are hashed as bytes: no padding. */
typedef struct PackedAddress {
        uint64_t pid, tag;
} PackedAddress;

static inline PackedAddress address_pack(Address address) {
        return (PackedAddress){ address.pid, address.tag };
}

enum {
        _PID_E_SUCCESS,

        PID_E_MALFORMED, /* not a PID in any of the accepted forms */
};

/* Writes the 16 digits and a NUL; returns @text. */
const char *pid_format(Pid pid, char text[static PID_TEXT_SIZE]);
/* Writes "PID-TAG", or only the PID if @address has no tag; returns @text. */
const char *address_format(Address address, char text[static PID_TAGGED_SIZE]);
/* Reads 16 hex digits, of any case, plain or grouped 4-4-4-4, followed by nothing.
 * Return: 0, PID_E_MALFORMED; @ret is untouched then. */
int pid_parse(const char *text, Pid *ret);
/* Reads a PID, alone or with "-" and 8 more digits. Return: 0, PID_E_MALFORMED. */
int address_parse(const char *text, Address *ret);
