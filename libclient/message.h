/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Message: what an application sends or receives
 *
 * Reference counted, because the application, a session's retention and a waiting request may all
 * hold it. An outgoing message is filled in by its maker and does not change once a session has
 * it, except for @result. An incoming one is filled in by the session that reassembles it. The
 * bytes on the wire are PROTOCOL.md's "MSG".
 *
 * A message belongs to one bus and is protected by its lock; the public getters read only fields
 * that never change after the application has the message.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/record.h"
#include "libcore/util.h"

typedef struct Message Message;
typedef struct Peer Peer;

/* Beside the ControlCodes: what can become of a message that was sent. */
enum {
        RESULT_PENDING = 0x10000, /* nothing known yet */
        RESULT_DELIVERED = 0,     /* taken by the receiver, confirmed by its library */
        RESULT_UNKNOWN = 0x10001, /* the peer or its session ended before an answer */
        RESULT_CANCELLED = 0x10002,
};

struct Message {
        unsigned n_refs;

        uint8_t kind;  /* MessageKind */
        uint8_t flags; /* MESSAGE_MORE ... */
        PacketId id;
        PacketId reply_to;
        uint32_t lifetime_msec; /* as sent; 0: none */
        uint8_t *extensions;    /* owned; encoded */
        uint16_t n_extensions;
        uint8_t *data; /* owned, malloc()ed; NULL if n_data is 0 */
        size_t n_data;

        uint8_t from_key[PID_KEY_SIZE]; /* incoming: the verified key of its sender */
        Address from;
        Peer *peer;        /* whose session it came by or goes by; NULL once that is gone */
        uint64_t last_seq; /* incoming: of its last record, for session_taken() */
        bool taken;        /* incoming: session_taken() was called for it */

        /* Outgoing only. */
        bool ack_now;           /* somebody waits for the delivery: no delayed acknowledgement */
        uint64_t deadline_usec; /* CLOCK_BOOTTIME; USEC_NEVER: none */
        uint64_t first_seq;     /* last_seq is the last; valid once it was begun */
        uint64_t n_records_sent; /* records of it that were ever produced */
        int result;              /* RESULT_X or a ControlCode */
        void *waiter;            /* whoever waits for the result; not owned */

        Message *prev, *next; /* in one queue of its session at a time */
};

/* Return: 0 or -ENOMEM. The new message has one reference and is all zero, result pending. */
int message_new(Message **ret);
Message *message_ref(Message *message);
/* Frees with the last reference. Accepts NULL, returns NULL. */
Message *message_unref(Message *message);
DEFINE_CLEANUP(Message, message_unref)
