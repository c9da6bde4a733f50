/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * SessionOut: the half of a session that sends
 *
 * A message goes from @queued to @sent when its first record is produced, which is when it gets
 * its sequence numbers, and from there to @finished when the peer's application took it. One that
 * is given up half-way waits in @skipping until the peer says what became of it; or, if that is of no
 * interest, another waits in its place, of which nobody hears.
 *
 * @cursor walks through @sent: at its end new records come out, and going back to what the peer
 * has not received makes them come out again; off-host, as far as @flight does not wait for them. See
 * session.h for the words.
 *
 * session-out.c keeps the lists and says what becomes of a message, session-out-next.c what comes out,
 * session-out-heard.c what follows from what is said of it.
 */

#include "libclient/flight.h"
#include "libclient/ranges.h"
#include "libclient/session.h"

#define SESSION_STAND_INS_MAX 4096 /* more than credit allows of the smallest; about 2 MB */

typedef struct SessionOut {
        uint16_t body_max;
        uint64_t message_max;
        SessionCounters *counters;

        Message *queued;
        Message *sent; /* in the order of their sequence numbers */
        Message *skipping;
        Message *finished;

        Message *cursor; /* the record that comes out next is number @cursor_at of it; or NULL */
        uint64_t cursor_at;
        Message *unreceived; /* the first of @sent that the peer does not have whole; or NULL */
        Message *named;      /* the one of @sent that was refused last; or NULL */
        Message *passed;     /* the first of @sent behind what this packet refused; or NULL */

        uint64_t next_seq;          /* of the next record that was never produced */
        uint64_t position;          /* bytes of all below */
        uint64_t received;          /* the peer has all below */
        uint64_t received_position; /* at least that many bytes */
        uint64_t taken;
        uint64_t limit;
        uint64_t passed_seq; /* this packet refused nothing from here on; 0: nothing at all */
        Ranges *ranges; /* it has these, too */
        Flight *flight; /* off-host: when what was sent, and how much more may be; else NULL */

        size_t waiting;        /* bytes of records that were never produced */
        size_t replies;        /* of these, of replies not begun */
        uint64_t n_skips;      /* numbers them */
        unsigned n_stand_ins;  /* of @skipping */
        bool skips_due;        /* some of @skipping are */
        uint64_t expire_at;    /* not later than the first deadline; USEC_NEVER: none */
        uint64_t blocked_since; /* since credit or the window holds the next back; USEC_NEVER: they do not */
        size_t memory;
} SessionOut;

void session_out_init(SessionOut *out, const SessionOptions *options, SessionCounters *counters);
void session_out_done(SessionOut *out);
/*
 * Begins anew with sequence number 0. Messages that were begun are finished as RESULT_UNKNOWN; but if
 * @again, those that may be repeated are queued again, in their order, in front of all others.
 */
void session_out_renew(SessionOut *out, bool again);
/*
 * Finishes all that was begun: with @result what is known not to have come, and as RESULT_UNKNOWN what
 * may have; what was given up before, and did not come, as that. session_out_renew() is to follow.
 */
void session_out_fail_sent(SessionOut *out, int result);
/* The same as session_out_fail_sent() with @result alone, for messages that were never begun. */
void session_out_fail_queued(SessionOut *out, int result);

/* Return: 0, SESSION_E_FULL, SESSION_E_TOO_BIG. */
int session_out_send(SessionOut *out, Message *message, uint64_t now_usec);
Message *session_out_pop_finished(SessionOut *out);
void session_out_abandon(SessionOut *out, Message *message, int result);
/* See session_take_back(). */
int session_out_take_back(SessionOut *out, Message *message, int result);

/* See session_has_sent() and session_refused(). */
bool session_out_has_sent(SessionOut *out, const PacketId *id);
void session_out_refused(SessionOut *out, const PacketId *id);
/* See session_unsent(). */
void session_out_unsent(SessionOut *out, const PacketId *id);
/* The first message that the peer is not known to have may be on its way, or there. */
bool session_out_may_meet(const SessionOut *out);

/*
 * The peer is done with this session, and has said before what it has. What it does not have whole,
 * of what began with record @from or later, is finished with @result, or with RESULT_PENDING, if there
 * is a copy, queued again; what came before may go to its next life, whatever it says of itself.
 * session_out_renew() is to follow.
 */
void session_out_spare(SessionOut *out, uint64_t from, int result);

/* Produce again what the peer is not known to have, and of which there is a copy. */
void session_out_go_back(SessionOut *out);
/* The same of what is not in flight. */
void session_out_repair(SessionOut *out);
/*
 * What the peer is not known to have, of the records before @end, may be lost: that of which there is
 * no copy is given up.
 */
void session_out_lose(SessionOut *out, uint64_t end, int result);

/* A message whose only record takes @n_record bytes would come out next, and now. */
bool session_out_may_commit(SessionOut *out, size_t n_record);
/*
 * Begins @message, for which session_out_may_commit() is true, and counts its record, @ret, as
 * produced; nothing of its payload is kept. Return: as session_out_send(), and SESSION_E_IDLE: it
 * is finished already, its deadline has passed.
 */
int session_out_commit(SessionOut *out, Message *message, uint64_t now_usec, Record *ret);

/*
 * The next MSG or PART that credit and flight allow, if it takes no more than @n_max bytes; the
 * same again until session_out_advance().
 * Return: 0, SESSION_E_IDLE; its message in @ret_message, borrowed.
 */
int session_out_next(SessionOut *out, size_t n_max, uint64_t now_usec,
                     Record *ret, Message **ret_message);
/* Whether there may be one: false is certain. */
static inline bool session_out_may_have_next(const SessionOut *out) {
        return out->queued || out->cursor;
}
/* Whether there is one, of whatever size. */
bool session_out_has_next(SessionOut *out, uint64_t now_usec);
/* The first record that the peer does not have; the cursor stays. Return: the same. */
int session_out_missing(SessionOut *out, size_t n_max, uint64_t now_usec,
                        Record *ret, Message **ret_message);
/* The record of session_out_next() was written. */
void session_out_advance(SessionOut *out);
/* What is written from here on goes in one packet. */
static inline void session_out_begin_packet(SessionOut *out, uint64_t now_usec) {
        if (out->flight)
                flight_begin(out->flight, now_usec);
}
/* The record of session_out_missing() was written. */
void session_out_sent_again(SessionOut *out, Message *message, const Record *record);

/* The next SKIP to be said. All records come without their session. Return: 0, SESSION_E_IDLE. */
int session_out_next_skip(SessionOut *out, Record *ret);
/* All SKIPs have to be said again. */
void session_out_repeat_skips(SessionOut *out);

/* @strict: no old ACK can arrive late. Return: 0, SESSION_E_VIOLATION; @ret_progress: news. */
int session_out_ack(SessionOut *out, const Record *record, bool strict, uint64_t now_usec,
                    bool *ret_progress);
/* Return: 0, SESSION_E_VIOLATION; @ret_progress: a SKIP was answered. */
int session_out_skipped(SessionOut *out, const Record *record, bool *ret_progress);

/* There is room for a reply that is not the last to its request, or for progress. */
static inline bool session_out_takes_parts(const SessionOut *out) {
        return out->waiting < SESSION_QUEUE_MAX && out->replies < SESSION_REPLIES_MAX;
}

/* Gives up what is past its deadline. */
void session_out_expire(SessionOut *out, uint64_t now_usec);

/* Some message was begun and is not finished. */
static inline bool session_out_is_unsettled(const SessionOut *out) {
        return out->sent || out->skipping;
}
/* A SKIP is unsaid. */
static inline bool session_out_has_skips(const SessionOut *out) {
        return out->skips_due && out->skipping;
}

/* For the three files that it is. */

/* @message is in no list any more: it is counted, and goes among the finished. */
void session_out_finish(SessionOut *out, Message *message, int result);
/* Takes it out of @sent; what of it was not produced never will be. */
void session_out_remove_sent(SessionOut *out, Message *message);
void session_out_remove_queued(SessionOut *out, Message *message);
/* Some record of it was never produced, or in no packet but what was refused. */
bool session_out_is_missing(const Message *message);
/*
 * Gives one of @sent up for @fate, and finishes it at once with @result: a stand-in waits for the peer,
 * who may never answer. Return: 0; -ENOMEM, -ENOBUFS: nothing has changed.
 */
int session_out_let_go(SessionOut *out, Message *message, int fate, int result);
static inline bool session_out_peer_has(const SessionOut *out, uint64_t seq) {
        return seq < out->received || ranges_have(out->ranges, seq);
}
