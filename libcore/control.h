/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Control words
 *
 * What neighbours say to each other: process and daemon, daemon and gateway, bridge and relay.
 * Every word has the same head (PROTOCOL.md, "Control"): a verb, a code, a number, the packet it
 * is about, the address it is about; some have a body of their own. The table in control.c says
 * for each verb how long its body may be, and control_decode() holds senders to it.
 *
 * A control word never travels further than one neighbour; whoever passes its meaning on says it
 * again in its own name.
 */

#include <stddef.h>
#include <stdint.h>

#include "libcore/packet.h"

#define CONTROL_HEAD_SIZE 36
#define CONTROL_BODY_MAX (PACKET_PAYLOAD_MAX - CONTROL_HEAD_SIZE)

#define CONTROL_LEASE_SIZE 200
#define CONTROL_TOMB_SIZE 160
#define CONTROL_KEY_SIZE 32
#define CONTROL_NAME_MAX 255
#define CONTROL_SERVICE_MAX 1536 /* a SERVICE record 1024, a GRANT 512 */
#define CONTROL_TEXT_MAX 511     /* of ERROR: which rule, for people */
#define CONTROL_QUESTION_MAX 1024 /* of EXPLAIN */
#define CONTROL_RIGHTS_MAX (CONTROL_NAME_MAX + 1 + CONTROL_TEXT_MAX) /* what, zero 1, which rule */
#define CONTROL_NETWORK_ENTRY_SIZE 4 /* list 1, kind 1, size 2; the key or name follows */
#define CONTROL_UNHEARD_MAX 4 /* so many are told of between one NETWORK and the next */
#define CONTROL_LEASE_REQUEST_SIZE 48 /* bridge key 32, issued 8, not_after 8 */
#define CONTROL_WELCOME_SIZE 24       /* largest message 8, queue bytes 8, instance's age 8 */
#define CONTROL_LINK_HEAD_SIZE 8      /* round trip 8; the URL follows */
#define CONTROL_LINK_URL_MAX 255
#define CONTROL_RELAYS_MAX 8192       /* URLs, each with its zero */
#define CONTROL_LINKS_MAX 8           /* links of a gateway that it tells of one by one */
#define CONTROL_MONITORED_HEAD_SIZE 8 /* time 8; a packet's header and payload follow */
#define CONTROL_MONITORED_LOST_MAX (UINT32_MAX / MONITORED_LOST) /* more are counted as so many */
#define CONTROL_RING_BELLS_SIZE 16    /* id of the packet with the offer */
/* Who READERS names: key, number 4. */
#define CONTROL_READERS_MAX 64
#define CONTROL_READER_SIZE (CONTROL_KEY_SIZE + 4)

/* In the order of PROTOCOL.md's table, which says who sends each and what its fields mean. */
typedef enum ControlVerb {
        CONTROL_WELCOME = 1,
        CONTROL_ERROR = 2,
        CONTROL_OK = 3,
        CONTROL_GOODBYE = 4,
        CONTROL_NOTICE = 5,

        CONTROL_NOT_LOCAL = 10,
        CONTROL_NOW_LOCAL = 11,
        CONTROL_QUEUE_SPACE = 12,
        CONTROL_RESOLVE = 13,
        CONTROL_RESOLVED = 14,
        CONTROL_PATH_CHANGED = 15,

        CONTROL_LEASE_REQUEST = 20,
        CONTROL_LEASE = 21,
        CONTROL_LEASED = 22,
        CONTROL_REACHABLE = 23,
        CONTROL_DETACHED = 24,
        CONTROL_UNLEASED = 25,
        CONTROL_REVOKE = 26,
        CONTROL_RELAYS = 27,

        CONTROL_GATEWAY = 30,
        CONTROL_SYNCED = 31,
        CONTROL_LINKS = 32,
        CONTROL_PING = 33,
        CONTROL_PONG = 34,
        CONTROL_LINK = 35,

        CONTROL_OWN = 40,
        CONTROL_RESOLVE_NAME = 41,
        CONTROL_NAMED = 42,
        CONTROL_SERVICE = 43,
        CONTROL_SERVICES = 44,

        CONTROL_MONITOR = 50,
        CONTROL_MONITORED = 51,
        CONTROL_QUERY = 52,
        CONTROL_ANSWER = 53,
        CONTROL_RELOAD = 54,
        CONTROL_EXPLAIN = 55,
        CONTROL_NETWORK = 56,
        CONTROL_RIGHTS = 57,
        CONTROL_UNHEARD = 58,

        CONTROL_RING_OFFER = 60,
        CONTROL_RING_BELLS = 61,
        CONTROL_RING_OFFERED = 62,
        CONTROL_RING_ANSWER = 63,
        CONTROL_RING_ANSWERED = 64,
        CONTROL_RING_END = 65,
        CONTROL_RING_KEEP = 66,
        CONTROL_RING_TAP = 67,

        CONTROL_REPORT = 70,
        CONTROL_REPORTED = 71,

        CONTROL_SUBSCRIBE = 80,
        CONTROL_PUBLISH = 81,
        CONTROL_PUBLISHED = 82,
        CONTROL_TOPIC_LOST = 83,
        CONTROL_WANTED = 84,
        CONTROL_READERS = 85,
        _CONTROL_VERB_MAX,
} ControlVerb;

/* Why something did not happen; one list for every hop, and for the library's errors. */
typedef enum ControlCode {
        CODE_OK = 0,
        CODE_NOT_HERE = 1,   /* nobody with this address, as far as the answerer knows */
        CODE_GONE = 2,       /* was here in the answerer's life, and left */
        CODE_SETTLING = 3,   /* the answerer has not heard from everybody yet: ask again */
        CODE_NO_ROUTE = 4,   /* not on this host, and no gateway or no relay to ask */
        CODE_AMBIGUOUS = 5,  /* several keys share the PID: send with a TAG */
        CODE_WRONG_KEY = 6,  /* the PID is here, the TAG is not */
        CODE_DENIED = 7,     /* policy */
        CODE_QUOTA = 8,      /* the sender's share of something is used up */
        CODE_QUEUE_FULL = 9, /* the receiver's queue is; QUEUE_SPACE follows */
        CODE_TOO_BIG = 10,
        CODE_EXPIRED = 11,
        CODE_OVERLOAD = 12, /* a forwarder's queue or budget */
        CODE_BUSY = 13,     /* the key is attached already, the role is taken */
        CODE_BAD_SIGNATURE = 14,
        CODE_BAD_CREDENTIALS = 15,
        CODE_VIOLATION = 16, /* no version of us sends this */
        CODE_UNSUPPORTED = 17,
        CODE_RATE = 18,     /* too many in too short a time */
        CODE_REPLACED = 19, /* the same key attached again, with TAKEOVER */
        CODE_SHUTDOWN = 20,
        CODE_CLOCK = 21, /* a record was issued in the future; value is unused */
        CODE_NO_PROVIDER = 22,
        CODE_TIMEOUT = 23,
        CODE_NOT_LEASED = 24, /* the source has no lease on this link */
        _CODE_MAX,
} ControlCode;

/* Bits of HELLO's hflags, ATTACH's aflags, WELCOME's and NOTICE's value. */
enum {
        HELLO_OFF_HOST = 1 << 0, /* a gateway is attached */
        HELLO_RINGS = 1 << 1,    /* the daemon makes them */
        HELLO_MONITORED = 1 << 2,
        HELLO_MONITORED_FULL = 1 << 3, /* some monitor may see payloads */

        ATTACH_EPHEMERAL = 1 << 0,
        ATTACH_TAKEOVER = 1 << 1,
        ATTACH_OFF_HOST = 1 << 2,
        ATTACH_NO_MONITOR = 1 << 3, /* monitors see the headers of its packets only */
        _ATTACH_KNOWN = ATTACH_EPHEMERAL | ATTACH_TAKEOVER | ATTACH_OFF_HOST | ATTACH_NO_MONITOR,

        MONITOR_HEADERS = 1, /* MONITOR's value; 0 ends it */
        MONITOR_FULL = 2,

        MONITORED_CUT = 1 << 0,           /* MONITORED's and RING_TAP's value: not the whole payload */
        MONITORED_SELF_REPORTED = 1 << 1, /* MONITORED's: what the source says it put into a ring */
        MONITORED_LOST = 1 << 2,          /* times how many the source left out before this one */

        QUERY_STATUS = 1, /* QUERY's value */
        QUERY_LIST = 2,
        QUERY_PEERS = 3,
        QUERY_METRICS = 4,
        QUERY_CONFIG = 5,
        QUERY_SERVICES = 6,

        NETWORK_SOME = 0, /* NETWORK's value: only what its entries allow, */
        NETWORK_ALL = 1,  /* or everything */
        NETWORK_SEND = 1, /* an entry's list */
        NETWORK_RECEIVE = 2,
        NETWORK_ANY = 1, /* and its kind */
        NETWORK_PINNED = 2,
        NETWORK_GRANTED = 3,
        NETWORK_KEY = 4,
        NETWORK_NAME = 5,
        NETWORK_WHY = 6, /* allows nothing: the line that leaves out all others, for people */

        RIGHTS_CHANGED = 0, /* RIGHTS's value, if no verb: what was denied may be asked for again */

        OWN_RELEASE = 0, /* OWN's value */
        OWN_CLAIM = 1,

        RESOLVE_NAME_ONCE = 0, /* RESOLVE_NAME's value */
        RESOLVE_NAME_WATCH = 1,
        RESOLVE_NAME_END = 2,
        RESOLVE_NAME_AGAIN = 1, /* to gateway and bridge: links that rest are not woken for it */

        NAMED_MORE = 1 << 0,    /* NAMED's value: who is elsewhere follows in another one */
        SERVICES_MORE = 1 << 0, /* SERVICES' value: so many fitted into one */

        REFUSED_BY_DAEMON = 1, /* ERROR's value, where it is about a packet: of the sender's host */
        REFUSED_BY_BRIDGE = 2,
        REFUSED_BY_RELAY = 3,
        REFUSED_BY_FAR_BRIDGE = 4, /* of the receiver's host */
        REFUSED_BY_FAR_DAEMON = 5,
        _REFUSED_BY_MAX,

        SUBSCRIBE_END = 0, /* SUBSCRIBE's value */
        SUBSCRIBE_BEGIN = 1,
        SUBSCRIBE_RETAINED = 2, /* the same, and what was retained first */

        PUBLISH_ANSWER = 1 << 0, /* PUBLISH's value: OK or ERROR is wanted */
        PUBLISH_RETAIN = 1 << 1, /* keep it for who subscribes later; without a payload: no more */

        PUBLISH_READERS = 1 << 2, /* say who on other hosts reads it */

        PING_ALL = 1, /* PING's and PONG's value: all behind who answers have what was said before */

        WANTED_END = 0,   /* WANTED's value; without a body: that was all that is wanted */
        WANTED_BEGIN = 1, /* without a body: all that is wanted follows, anew */

        RESOLVED_REMOTE = 0, /* RESOLVED's value: the body is a lease, or a key */
        RESOLVED_LOCAL = 1,

        LEASE_RESTRICTED = 1, /* LEASE's value, d-g: RELAYS stands in front of it */
};

typedef struct Control {
        uint16_t verb;
        uint16_t code;
        uint32_t value;
        PacketId ref; /* in words about a ring that has one: its id */
        Address address;
        const uint8_t *body; /* borrowed */
        size_t n_body;
} Control;

enum {
        _CONTROL_E_SUCCESS,

        CONTROL_E_VIOLATION, /* malformed: drop the neighbour */
        CONTROL_E_UNKNOWN,   /* a verb of a later version: answer UNSUPPORTED, go on */
};

/*
 * Reads the payload of a control packet; @ret->body points into @payload.
 * Return: 0, CONTROL_E_VIOLATION, CONTROL_E_UNKNOWN; @ret is untouched unless 0.
 */
int control_decode(const uint8_t *payload, size_t n_payload, Control *ret);

/* Writes head and body; @out has room for CONTROL_HEAD_SIZE + control->n_body. */
void control_encode(const Control *control, uint8_t *out);

/*
 * Writes a whole control packet, header included, from @src to @dst with packet id @id, which may
 * be all zero where nobody answers it. @out has room for control_packet_size(control) bytes.
 */
void control_packet_encode(const Control *control, Address src, Address dst, const PacketId *id,
                           uint8_t *out);
static inline size_t control_packet_size(const Control *control) {
        return PACKET_HEADER_SIZE + CONTROL_HEAD_SIZE + control->n_body;
}

/* "no such destination": a short text for people, never NULL, in English and without a dot. */
const char *control_code_text(uint16_t code);
