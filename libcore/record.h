/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Session records
 *
 * What two processes say to each other (PROTOCOL.md, "Records"): the payload of a PACKET_RECORDS
 * packet, and what is inside a sealed one, is a sequence of records, each a fixed header and a
 * body. Records of type MSG and PART carry messages and have sequence numbers, one count for each
 * direction of a session; the others steer it.
 *
 * This file turns bytes into a Record and back. What a record means for a session is session.c's.
 */

#include <stddef.h>
#include <stdint.h>

#include "libcore/packet.h"

#define RECORD_HEADER_SIZE 24
#define RECORD_BODY_MAX 61440 /* 60 KiB */
#define RECORD_MESSAGE_HEAD_SIZE 48
#define RECORD_START_SIZE 48
#define RECORD_ACK_SIZE 32
#define RECORD_ACK_RANGES_MAX 32
#define RECORD_SKIP_SIZE 24
#define RECORD_SKIPPED_SIZE 24
#define RECORD_PING_SIZE 16
#define RECORD_EXTENSION_CRITICAL 0x80

typedef enum RecordType {
        RECORD_PADDING = 0, /* no record: the rest of what was sealed */
        RECORD_START = 1,   /* first of each direction: who speaks, and first credit */
        RECORD_MSG = 2,     /* begins a message */
        RECORD_PART = 3,    /* goes on with it */
        RECORD_ACK = 4,     /* received, taken, limit */
        RECORD_SKIP = 5,    /* these sequence numbers will not come */
        RECORD_SKIPPED = 6, /* the answer: from here on they did not arrive */
        RECORD_CLOSE = 7,   /* no more from this side */
        RECORD_CANCEL = 8,  /* the sender no longer wants an answer to this request */
        RECORD_RESET = 9,   /* this session is unknown here */
        RECORD_PING = 10,   /* outside sessions: the library answers by itself */
        RECORD_PONG = 11,
        RECORD_PUBLISHED = 12, /* outside sessions: on a topic, to a subscriber on another host */
        _RECORD_TYPE_MAX,
} RecordType;

enum {
        RECORD_ACK_NOW = 1 << 0, /* flags: acknowledge as soon as this is taken */
        RECORD_ANSWER = 1 << 1,  /* flags of START: the other side began this session */
        RECORD_AGAIN = 1 << 2,   /* flags of START: earlier ones of the other side were heard */

        RECORD_RETAINED = 1 << 1, /* flags of PUBLISHED: from before that subscriber came */
};

typedef enum MessageKind {
        MESSAGE_ONE_WAY = 1,
        MESSAGE_REQUEST = 2,
        MESSAGE_REPLY = 3,
        MESSAGE_ERROR = 4,    /* a reply that says why there is none; the payload is text */
        MESSAGE_PROGRESS = 5, /* how far a request has come that goes on */
        _MESSAGE_KIND_MAX,
} MessageKind;

/* Whether a message of @kind begins something, and does not only answer. */
static inline bool message_kind_begins(unsigned kind) {
        return kind == MESSAGE_ONE_WAY || kind == MESSAGE_REQUEST;
}

enum {
        MESSAGE_MORE = 1 << 0, /* a reply: further ones follow; a request: they may */
        MESSAGE_END = 1 << 1,  /* the last of several replies */
        MESSAGE_IDEMPOTENT = 1 << 2,
        MESSAGE_MAYBE_REPEAT = 1 << 3,
        MESSAGE_COMPRESSED = 1 << 4,
        _MESSAGE_FLAGS_KNOWN = 0x1f,
};

/* Extensions of a message: u8 type, u16 size, bytes. Unknown ones are skipped if not critical. */
typedef enum MessageExtension {
        MESSAGE_EXT_TYPE = 1,    /* MIME type, text */
        MESSAGE_EXT_STATUS = 2,  /* u32: an error reply's code, e.g. an exit status */
        MESSAGE_EXT_TOPIC = 3,
        MESSAGE_EXT_SERVICE = 4,
        MESSAGE_EXT_TRACE = 5,
        MESSAGE_EXT_ENCODING = 6,
        MESSAGE_EXT_LOAD = 7, /* u16: requests that wait at the provider; u16: 0 */
        _MESSAGE_EXT_MAX,
} MessageExtension;

typedef struct RecordMessage {
        uint8_t kind; /* MessageKind */
        uint8_t flags;
        uint32_t lifetime_msec; /* counted from arrival; 0: for ever */
        PacketId id;
        PacketId reply_to;
        uint64_t total; /* bytes of the whole payload */
        const uint8_t *extensions;
        uint16_t n_extensions;
        const uint8_t *data; /* the payload's beginning; PARTs bring the rest */
        size_t n_data;
} RecordMessage;

/* Sequence numbers [first, last] that arrived behind a gap; for paths that reorder. */
typedef struct RecordRange {
        uint64_t first;
        uint64_t last;
} RecordRange;

typedef struct Record {
        uint8_t type; /* RecordType */
        uint8_t flags;
        uint64_t session;
        uint64_t seq;
        size_t size; /* of the encoded record, header included */
        union {
                struct {
                        uint8_t key[PID_KEY_SIZE]; /* the speaker's; fits the packet's source */
                        uint64_t opened_usec; /* speaker's wall clock; a later one replaces */
                        uint64_t limit;       /* first credit, a byte position */
                } start;
                RecordMessage message;
                struct {
                        const uint8_t *data;
                        size_t n_data;
                } part;
                struct {
                        uint64_t received; /* all below were received */
                        uint64_t taken;    /* all below were taken by the application */
                        uint64_t limit;    /* byte position up to which the peer may send */
                        uint16_t n_ranges;
                        uint16_t n_marked;   /* off-host: packets that came with CE, modulo 2^16 */
                        uint32_t delay_usec; /* off-host: since the last record came */
                        RecordRange ranges[RECORD_ACK_RANGES_MAX];
                } ack;
                struct {
                        uint64_t last;   /* seq is the first */
                        uint64_t end;    /* byte position behind the last */
                        uint16_t reason; /* ControlCode */
                } skip;
                struct {
                        uint64_t last;
                        uint64_t from;   /* seq up to from-1 arrived, from up to last did not */
                        uint16_t reason; /* ControlCode: the SKIP's, or why the receiver refuses */
                } skipped;
                uint16_t code;   /* CLOSE, RESET: ControlCode */
                PacketId id;     /* CANCEL */
                uint8_t ping[RECORD_PING_SIZE];
        };
} Record;

enum {
        _RECORD_E_SUCCESS,

        RECORD_E_END,         /* nothing left */
        RECORD_E_VIOLATION,   /* malformed: drop the packet, count it against its sender */
        RECORD_E_UNSUPPORTED, /* well-formed, but a type or critical extension of a later version */
};

/* How much of what was sealed is records: there may be padding behind them. */
size_t record_unpadded_size(const uint8_t *data, size_t n_data);
/*
 * Reads the record at @data[*at] and moves *@at behind it; pointers in @ret point into @data.
 *
 * Return: 0; RECORD_E_END at the end; RECORD_E_VIOLATION, with *@at where it was and nothing of use
 * in @ret; RECORD_E_UNSUPPORTED, with *@at behind
 * the record and type, session, seq and, for a message, id filled in, so that it can be refused.
 */
int record_decode(const uint8_t *data, size_t n_data, size_t *at, Record *ret);
/*
 * The same, of memory that another process may change meanwhile: what is parsed is first copied to
 * @copy, each byte once, and points there; a payload is looked into by nobody and stays in @shared.
 * @copy has RECORD_HEADER_SIZE + RECORD_BODY_MAX bytes and is the record's until the next call.
 */
int record_decode_shared(const uint8_t *shared, size_t n_shared, size_t *at, uint8_t *copy,
                         Record *ret);

/* Bytes that record_encode() will write. */
size_t record_size(const Record *record);

/* Writes @record, which must be valid, to @out with room for record_size() bytes. */
void record_encode(const Record *record, uint8_t *out);

/*
 * Finds extension @type among @extensions (checked by record_decode() before).
 * Return: the bytes, borrowed, and their size in @ret_size; NULL if it is not there.
 */
const uint8_t *record_extension(const uint8_t *extensions, size_t n_extensions, uint8_t type,
                                size_t *ret_size);
