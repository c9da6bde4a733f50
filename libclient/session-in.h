/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * SessionIn: the half of a session that receives
 *
 * Takes MSG, PART and SKIP in any order, puts them in the peer's order, makes messages of them,
 * and knows what to acknowledge and how much credit to give. See session.h for the words.
 *
 * A record behind a gap waits in @reorder. Complete messages stand in @inbox, in the peer's order,
 * until the application took them; a refused one stands there too, without its bytes, until the
 * sender gave it up: `taken` never passes it before. What few sessions need is made when it is.
 */

#include "libclient/reorder.h"
#include "libclient/session.h"

#define SESSION_SKIPS_MAX 128 /* SKIPs that a sender may have unanswered, counted in their order */
#define SESSION_REFUSALS_MAX 64 /* said with one ACK, while there is a next one */
#define SESSION_SKIPS_KEPT (2 * SESSION_SKIPS_MAX) /* answers that a receiver can repeat */

typedef struct SessionAnswer {
        uint64_t first, last, from;
} SessionAnswer;

typedef struct SessionSkips {
        SessionAnswer due[SESSION_SKIPS_MAX]; /* to be said */
        unsigned n_due;
        SessionAnswer kept[SESSION_SKIPS_KEPT]; /* said before; the oldest make room */
        unsigned n_kept;
} SessionSkips;

typedef struct SessionIn {
        uint64_t message_max;
        SessionQuota *quota;
        uint8_t peer_key[PID_KEY_SIZE];
        SessionCounters *counters;

        uint64_t next_seq; /* all below were received or skipped */
        uint64_t position; /* bytes of these */
        uint64_t granted;  /* the position that the peer may fill; only grows */

        Message *inbox;     /* complete or refused, not taken */
        Message *ready;     /* the first of @inbox that was not popped */
        Message *left_over; /* of earlier sessions with the same peer, not popped */
        size_t left_over_bytes;
        Message *assembly;   /* of which parts are still to come */
        size_t assembled;    /* bytes of it */
        uint64_t total;      /* bytes of it when it is whole */
        size_t need;         /* what it has to reserve; 0 if nothing (more) */
        Loan *loan;          /* what keeps the payload of the MSG that comes now, or NULL */
        Message *withdrawn;  /* was popped and waited when its sender gave it up; its owner's, or NULL */
        Message *discarding; /* the refused one whose parts come now */

        bool is_in_line;   /* in @quota->waiting */
        uint64_t lapse_at; /* when what @assembly has reserved is looked at, or USEC_NEVER */
        size_t lapse_mark; /* what had come of it the last time */

        Reorder *reorder; /* records behind a gap; or NULL */

        SessionSkips *skips; /* NULL until the first SKIP */

        uint64_t told_received, told_taken, told_position;
        bool ack_due;
        unsigned n_refused;   /* messages of @inbox that the sender must hear of */
        uint64_t refused_seq; /* the next to be said is not below */
        uint64_t ack_at;  /* CLOCK_BOOTTIME; USEC_NEVER: nothing to acknowledge */
        bool is_off_host; /* the path is: acknowledge sooner, and say more */
        bool is_begun;    /* a packet, of which no record was counted yet */
        unsigned n_unsaid;  /* packets with records since the last ACK */
        uint16_t n_marked;  /* packets that came with CE */
        uint64_t came_usec; /* when the last record came */
        uint64_t sent_usec; /* when what comes now was sent, USEC_NEVER: not known; */
        uint64_t ends_usec; /* and when its message, which comes next, is over */
        size_t memory;

        struct SessionIn *prev, *next; /* in @quota->waiting, while @is_in_line */
} SessionIn;

void session_in_init(SessionIn *in, const SessionOptions *options, SessionCounters *counters);
void session_in_done(SessionIn *in);
/* Begins anew with sequence number 0; what can be popped stays. */
void session_in_renew(SessionIn *in);

/* MSG or PART; @refusal: a ControlCode, or 0. Return: 0, SESSION_E_VIOLATION, -ENOMEM. */
int session_in_record(SessionIn *in, const Record *record, uint16_t refusal, uint64_t now_usec);
/* Return: 0, SESSION_E_VIOLATION, -ENOMEM. */
int session_in_skip(SessionIn *in, const Record *record, uint64_t now_usec);

Message *session_in_pop(SessionIn *in, bool hold_requests);
void session_in_taken(SessionIn *in, Message *message, uint64_t now_usec);
/* It was popped, and is refused after all. Return: whether that is to be said. */
bool session_in_refuse(SessionIn *in, Message *message, uint16_t code);
/* The end: what was not popped nobody will get. */
void session_in_refuse_rest(SessionIn *in, uint16_t code);

/* There may be room for the message that waits for it. Return: 0, -ENOMEM: try again later. */
int session_in_reserve(SessionIn *in, uint64_t now_usec);
/*
 * At @lapse_at: a message of which next to nothing came since the last look has reserved in vain, if
 * others wait: it keeps room for what it has, and gets in line again with its next record. What comes
 * before it has its turn is as if lost.
 */
void session_in_lapse(SessionIn *in, uint64_t now_usec);

/* Something is not yet acknowledged that may be. */
bool session_in_is_dirty(const SessionIn *in);
/* What was taken is to be said now. */
void session_in_flush(SessionIn *in);
/* Fills in the ACK that says how things are, and from here on they count as said. */
void session_in_acknowledge(SessionIn *in, uint64_t now_usec, Record *ret);
/* The records that come now are of one off-host packet. */
static inline void session_in_begin_packet(SessionIn *in, bool is_marked) {
        in->is_begun = true;
        in->n_marked = (uint16_t)(in->n_marked + is_marked);
}
/* The application has taken everything. Half a message does not count: a peer that wants to go on
 * with it asks every few seconds. */
bool session_in_is_idle(const SessionIn *in);
/* Some SKIP was not answered. */
static inline bool session_in_has_answers(const SessionIn *in) {
        return in->skips && in->skips->n_due > 0;
}
