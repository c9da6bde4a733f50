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

typedef struct Loan Loan; /* loan.h */
typedef struct Provider Provider; /* provider-set.h */
typedef struct Service Service;   /* service.h */

/* Which of its session's lists holds a message; the session's own business. */
typedef enum MessagePlace {
        MESSAGE_NOWHERE,
        MESSAGE_QUEUED,
        MESSAGE_SENT,
        MESSAGE_SKIPPING,
        MESSAGE_FINISHED,
        MESSAGE_INBOX,
        MESSAGE_LEFT_OVER,
} MessagePlace;

struct Message {
        unsigned n_refs; /* atomic */

        uint8_t kind;  /* MessageKind */
        uint8_t flags; /* MESSAGE_MORE ... */
        uint16_t n_extensions;
        uint8_t *extensions; /* encoded; owned, malloc()ed or inside @bytes */
        uint8_t *data;       /* owned, malloc()ed or inside @bytes; NULL if n_data is 0 */
        size_t n_data;
        PacketId id;
        PacketId reply_to;
        uint32_t lifetime_msec; /* incoming: from arrival, 0: none; outgoing: see @deadline_usec */
        bool is_shared;         /* @data is not owned: it stands in a ring, or is another's */
        bool is_unretained;     /* outgoing: @data is gone, it cannot be produced again */
        bool taken;     /* incoming: session_taken() has nothing to do for it (any more) */
        bool ack_now;   /* outgoing: somebody waits for the delivery: no delayed acknowledgement */
        Loan *loan;     /* incoming: what keeps @data; it is shared then */
        Message *payload_of; /* outgoing: whose @data it is, held; it is shared then */

        uint8_t from_key[PID_KEY_SIZE]; /* incoming: the verified key of its sender */
        Address from;                   /* incoming: filled in by the session's owner */
        Peer *peer;     /* whose session it came by or goes by; NULL once that is gone */

        const char *topic;      /* incoming: what it was published on, inside @bytes; or NULL */
        uint64_t n_lost;        /* incoming: messages on topics that were lost before this one */

        /* Set by its maker. */
        uint64_t deadline_usec; /* CLOCK_BOOTTIME; USEC_NEVER: none; incoming as well */
        void *waiter;           /* outgoing: whoever waits for the result; not owned */

        int result;         /* RESULT_X or a ControlCode */
        uint8_t refused_by; /* P2PBUS_BY_X, if it is one of these */
        uint8_t mode;       /* outgoing: P2PBUS_MODE_X, if it is sent to a name */
        char *refusal_text; /* owned: by which rule, if that was said; or NULL */

        /* The session's own. */
        MessagePlace place;
        int fate;                 /* outgoing, abandoned: the result if it did not arrive */
        uint16_t refusal;         /* incoming: a ControlCode; the rest of it is thrown away */
        bool popped;              /* incoming */
        bool skip_due;            /* outgoing: its SKIP has to be said (again) */
        bool was_refused;         /* outgoing: by its peer, who therefore never delivers it */
        bool is_stand_in;         /* outgoing, abandoned: for one that is finished; nobody waits for it */
        uint64_t skip_number;     /* outgoing, abandoned: counts them */
        uint64_t first_seq;       /* its records have first_seq .. last_seq, */
        uint64_t last_seq;
        uint64_t first_position;  /* and the bytes from here ... */
        uint64_t last_position;   /* ... to before here; outgoing: of those sent so far */
        uint64_t n_records;       /* outgoing: in all */
        uint64_t n_records_sent;  /* outgoing: that were ever produced */
        uint64_t n_doubtful;      /* outgoing: times that one of them went, less those refused */
        size_t reserved;          /* incoming: taken from the quota for large messages */
        Message *prev, *next;     /* in one list of its session at a time */

        /* The handle's own. */
        unsigned n_users;          /* atomic: references of the application, one of n_refs in all */
        bool is_given;             /* sent once, or received: it does not change any more */
        bool is_remote;            /* incoming: from another host */
        bool is_waiting;           /* incoming: popped, and not yet asked for by the application */
        bool is_lent;              /* incoming: in its peer's list of what the application holds */
        struct p2pbus *bus;        /* incoming: held; outgoing: borrowed while it is in bus->sent */
        Message *bus_prev, *bus_next;
        uint64_t number;           /* outgoing: in the order of sending */
        bool is_answered;          /* a request that was received: replied to */
        bool is_unwanted;          /* its sender cancelled it */
        bool is_counted;           /* a request that was received: among those not over yet */
        bool is_bound;             /* outgoing: it goes to no other than @provider */
        bool is_begun;             /* parts of an answer to it were sent */
        bool is_cut_off;           /* the session that it came in is over: no more parts go there */
        Service *service;          /* outgoing: it was sent to this name and is not settled */
        Provider *provider;        /* and went to this one; NULL: it waits for one */
        unsigned n_attempts;       /* times that it was begun before, with somebody else */
        unsigned n_doubts;         /* times that the daemon was asked whether there is somebody else */
        Message *next_part;        /* incoming: in what a request of ours got and nobody has seen */
        struct Request *request;   /* outgoing: it is the message of this */
        struct Reservation *reservation; /* outgoing: made by p2pbus_reserve(), not committed */
        struct MessageText *text;  /* what the public getters return; made when first asked for */
        char *type;                /* outgoing: the MIME type, until it is encoded */
        void *userdata;

        size_t n_bytes; /* of the room that message_new_with_size() made */
        uint8_t bytes[] __attribute__((aligned(16)));
};

/*
 * Return: 0 or -ENOMEM. The new message has one reference and is all zero; no deadline, result
 * pending.
 */
int message_new(Message **ret);
/* The same with the payload of @from, which does not change any more and is kept for it. */
int message_new_sharing(Message **ret, Message *from);
/*
 * The same with room for a payload of @n_data and extensions of @n_extensions bytes in one block
 * with it; data and extensions point there, not yet filled. They may be replaced by malloc()ed
 * ones.
 */
int message_new_with_size(Message **ret, size_t n_data, uint16_t n_extensions);
/* Appends to the extensions of one that was not sent yet. Return: 0, -ENOMEM. */
int message_add_extension(Message *message, uint8_t type, const void *data, size_t n_data);
/* Takes the last one, which has @n_data bytes, away again. */
void message_drop_extension(Message *message, size_t n_data);
Message *message_ref(Message *message);
/* Frees with the last reference. Accepts NULL, returns NULL. */
Message *message_unref(Message *message);
DEFINE_CLEANUP(Message, message_unref)

/* Bytes of memory that it stands for in a session's books: they do not change once it is filled. */
size_t message_memory(const Message *message);

/* 32 hex digits and a NUL; returns @text. */
const char *message_format_id(const PacketId *id, char text[static 2 * PACKET_ID_SIZE + 1]);
bool message_parse_id(const char *text, PacketId *ret);
