/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Frames and packet headers
 *
 * A stream, local socket or relay link, is a sequence of frames (PROTOCOL.md, "Frames"); nearly
 * all of them are packets (PROTOCOL.md, "Packet"). Bytes 16 to 71 of a packet's header are, byte
 * for byte, what end-to-end sealing authenticates, so no hop ever encodes a header again: hops
 * change only what lies before byte 16.
 */

#include <stddef.h>
#include <stdint.h>

#include "libcore/buf.h"
#include "libcore/pid.h"

#define FRAME_PREFIX_SIZE 8
#define FRAME_SIZE_MAX 65536 /* bytes of one frame, header included */
#define FRAME_FDS_MAX 4

#define PACKET_HEADER_SIZE 72
#define PACKET_PAYLOAD_MAX (FRAME_SIZE_MAX - PACKET_HEADER_SIZE)
#define PACKET_ID_SIZE 16
#define PACKET_AUTHENTICATED_AT 16 /* first byte of the header that sealing covers */

typedef enum FrameType {
        FRAME_HELLO = 1,
        FRAME_ATTACH = 2,
        FRAME_PACKET = 3,
        _FRAME_TYPE_MAX,
} FrameType;

/* What a packet's payload is. */
typedef enum PacketKind {
        PACKET_RECORDS = 1, /* session records in the clear: only ever inside one host */
        PACKET_SEALED = 2,  /* session records, sealed end to end */
        PACKET_CONTROL = 3, /* a word between neighbours: libcore/control.h */
        _PACKET_KIND_MAX,
} PacketKind;

/* What hops may change. */
enum {
        PACKET_REMOTE = 1 << 0, /* set by the daemon alone: came through the gateway */
        PACKET_CE = 1 << 1,     /* a forwarder's queue was long */
};

/* 8 bytes big-endian time of sending, then 8 that are unique for the sender's key. */
typedef struct PacketId {
        uint8_t bytes[PACKET_ID_SIZE];
} PacketId;

typedef struct FramePrefix {
        uint32_t size; /* of the whole frame, this prefix included */
        uint8_t type;  /* FrameType */
        uint8_t n_fds;
        uint8_t hflags;
        uint8_t hops;
} FramePrefix;

typedef struct PacketHeader {
        uint32_t size; /* header and payload */
        uint8_t n_fds;
        uint8_t hflags;
        uint8_t hops;
        Address src;
        Address dst;
        PacketId id;
        uint64_t deadline_usec; /* wall clock of the sender; 0: none */
        uint16_t kind;          /* PacketKind */
        uint16_t eflags;
        uint16_t fragment;
        uint16_t last_fragment; /* number of fragments less one */
} PacketHeader;

enum {
        _PACKET_E_SUCCESS,

        PACKET_E_SHORT,     /* not a whole prefix or header yet: read more */
        PACKET_E_VIOLATION, /* no version of us sends this: drop the peer */
};

/*
 * Reads the prefix of the frame that begins at @data. A size below the least of its type or over
 * FRAME_SIZE_MAX, an unknown type, or too many descriptors is a violation.
 *
 * Return: 0, PACKET_E_SHORT, PACKET_E_VIOLATION; @ret is untouched unless 0.
 */
int frame_prefix_decode(const uint8_t *data, size_t n_data, FramePrefix *ret);
void frame_prefix_encode(const FramePrefix *prefix, uint8_t out[static FRAME_PREFIX_SIZE]);

/*
 * Reads the header of the packet that fills @data, prefix included; @n_data may be less than the
 * packet's size, but must hold the header. Reserved bytes that are not zero, an unknown kind, and a
 * fragment number over the last are violations.
 *
 * Return: 0, PACKET_E_SHORT, PACKET_E_VIOLATION; @ret is untouched unless 0.
 */
int packet_header_decode(const uint8_t *data, size_t n_data, PacketHeader *ret);
void packet_header_encode(const PacketHeader *header, uint8_t out[static PACKET_HEADER_SIZE]);

/* For forwarders: rewrite in place what hops may change, without decoding the rest. */
static inline void packet_set_hop_fields(uint8_t *packet, uint8_t hflags, uint8_t hops) {
        packet[6] = hflags;
        packet[7] = hops;
}

/* For whoever queues a packet with descriptors. */
static inline void packet_set_n_fds(uint8_t *packet, size_t n_fds) {
        packet[5] = (uint8_t)n_fds;
}

/* Wall-clock time of sending, in microseconds, as the sender saw it. */
uint64_t packet_id_sent_at(const PacketId *id);
PacketId packet_id_make(uint64_t sent_at_usec, uint64_t unique);
/* What packet_id_make() had as @unique. */
static inline uint64_t packet_id_unique(const PacketId *id) {
        return load_be64(id->bytes + 8);
}
static inline bool packet_id_equal(const PacketId *a, const PacketId *b) {
        return memcmp(a, b, sizeof(*a)) == 0;
}
/* Of no packet. */
static inline bool packet_id_is_zero(const PacketId *id) {
        static const PacketId zero;

        return packet_id_equal(id, &zero);
}
/*
 * How long each hop may hold packet @id: its deadline is a span, from the time of sending; USEC_NEVER
 * without one. A packet that was "sent" after its deadline has no time left at all.
 */
uint64_t packet_span_usec(const PacketId *id, uint64_t deadline_usec);
/* Whether @id is of a later one than @than, of the same sender: it may have begun again at 0. */
bool packet_id_is_later(const PacketId *id, const PacketId *than);
