/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Session: the reliable, ordered, flow-controlled conversation of two processes
 *
 * A pure state machine: messages, records and the time go in; records to send, messages to
 * deliver and fates of sent messages come out. It does no I/O, knows no keys but the two it is
 * between, and never asks for the time. One implementation serves every path.
 *
 * Times are microseconds of CLOCK_BOOTTIME, passed in and not going back. Every call that may
 * create work is followed by the owner asking session_produce() until it is idle, session_pop()
 * and session_pop_finished() until they are empty, and session_due() for the next tick.
 *
 * Invariants, which the tests assert after every step:
 *  - each message that session_send() took is, in the end, exactly once among the finished;
 *  - messages are popped in the order in which the peer sent them, none twice;
 *  - unacknowledged bytes never exceed the peer's limit, and what is held for the peer never
 *    exceeds the limit that was granted to it plus one record;
 *  - sent = delivered + refused + expired + cancelled + unknown + queued.
 */

#include "libclient/message.h"

#define SESSION_WINDOW_FIRST 65536   /* bytes of credit in a START */
#define SESSION_WINDOW 262144        /* bytes of credit beyond what was taken, once running */
#define SESSION_FLIGHT_MAX 1048576   /* bytes sent and not yet received, on any path */
#define SESSION_QUEUE_MAX 1048576    /* bytes waiting before session_send() says FULL */
#define SESSION_ACK_DELAY_USEC 20000
#define SESSION_PROBE_USEC 1000000   /* first wait for a sign of life; doubles up to the next */
#define SESSION_PROBE_MAX_USEC 8000000
#define SESSION_IDLE_USEC (60 * USEC_PER_SEC)
#define SESSION_HINT_USEC (30 * USEC_PER_SEC) /* "not here" this long is the end of it; */
#define SESSION_GONE_USEC (5 * USEC_PER_SEC)  /* less if he is known to have left, */
#define SESSION_AWAY_USEC (600 * USEC_PER_SEC) /* more if his host may be cut off */
#define SESSION_BODY_MIN 1024 /* least body of a record that is not a message's last */
#define SESSION_REPLIES_MAX 262144 /* bytes of replies not yet sent that hold requests back */

typedef struct Session Session;

/*
 * What messages longer than SESSION_WINDOW reserve, whole, before their sender may send them;
 * shared by all sessions of a bus, served in the order in which their first records came. It must
 * outlive them. To be filled in as { .size = N, .left = N }.
 */
typedef struct SessionQuota {
        size_t size;
        size_t left;
        struct SessionIn *waiting; /* list; private */
} SessionQuota;

/* What a path promises; see PROTOCOL.md, "Paths". */
typedef enum SessionPath {
        SESSION_PATH_NONE,     /* nothing can be sent now: keep everything */
        SESSION_PATH_LOCAL,    /* in order, lossless while its generation lasts: no timer */
        SESSION_PATH_OFF_HOST, /* may lose, double and reorder: probe and send again */
} SessionPath;

typedef struct SessionOptions {
        uint8_t self_key[PID_KEY_SIZE];
        uint8_t peer_key[PID_KEY_SIZE]; /* all zero if only the PID is known: learnt from START */
        uint64_t id;                    /* random */
        uint64_t opened_usec;           /* wall clock, greater than of any earlier session to it;
                                         * in two lives of a process never the same */
        uint64_t message_max;           /* bytes of the largest message accepted or sent */
        SessionQuota *quota;            /* borrowed */
        uint16_t body_max; /* bytes of a record's body, SESSION_BODY_MIN..RECORD_BODY_MAX; 0: that */
} SessionOptions;

typedef struct SessionCounters {
        uint64_t n_sent;
        uint64_t n_delivered;
        uint64_t n_refused;
        uint64_t n_expired;
        uint64_t n_cancelled;
        uint64_t n_unknown;
        uint64_t n_received;
        uint64_t n_taken;
        uint64_t n_doubles;
        uint64_t n_resent; /* records */
} SessionCounters;

enum {
        _SESSION_E_SUCCESS,

        SESSION_E_FULL,      /* send: over SESSION_QUEUE_MAX; wait for session_is_writable() */
        SESSION_E_TOO_BIG,   /* send: over message_max */
        SESSION_E_IDLE,      /* produce: nothing to send now */
        SESSION_E_VIOLATION, /* consume: the peer breaks the protocol: kill the session */
        SESSION_E_UNKNOWN,   /* consume: of another session: answer with RESET(record->session) */
        SESSION_E_CLOSED,    /* consume: the peer closed and everything is settled: forget it */
};

int session_new(Session **ret, const SessionOptions *options, uint64_t now_usec);
/* Unrefs what it holds; messages not yet finished or popped are dropped. Returns NULL. */
Session *session_free(Session *session);
DEFINE_CLEANUP(Session, session_free)

/*
 * Takes a reference to @message, whose id, kind, payload, deadline are set. Messages that were
 * never begun and whose deadline passes are finished as CODE_EXPIRED without touching the wire.
 * Replies (MESSAGE_REPLY, MESSAGE_ERROR) are never refused as FULL, but for those that others follow
 * (MESSAGE_MORE) and MESSAGE_PROGRESS: these wait for session_takes_parts().
 *
 * Return: 0, SESSION_E_FULL, SESSION_E_TOO_BIG, or -ESHUTDOWN after session_close(); no reference
 * is taken unless 0.
 */
int session_send(Session *session, Message *message, uint64_t now_usec);

/*
 * For a message whose record stands already where session_produce() would put it. Nothing waits in
 * front of one of @n_record bytes, record header included, and it would come out now, alone.
 */
bool session_may_commit(Session *session, size_t n_record);
/*
 * Takes @message as session_send() does, if session_may_commit(), and begins it at once: its record,
 * to be encoded by the caller, is @ret. Its payload is not looked at again: should its record not be
 * known to have come when the path changes, it is abandoned as RESULT_UNKNOWN, and the answer of the
 * peer decides. Return: as session_send(), and SESSION_E_IDLE: it is expired, and finished.
 */
int session_commit(Session *session, Message *message, uint64_t now_usec, Record *ret);

/*
 * Gives a sent message up for @result (a ControlCode or RESULT_CANCELLED). If a record of it was
 * produced already, a SKIP tells the peer, and its answer decides: delivered, or @result.
 */
void session_abandon(Session *session, Message *message, int result, uint64_t now_usec);

/*
 * Gives it up at once, for its sender to send it elsewhere: with @result if it was never begun, else as
 * RESULT_UNKNOWN. The peer is told by a SKIP, and what it says of that is of no interest. Nothing
 * happens to one that is given up already. Return: 0; -ENOMEM, -ENOBUFS: it stays.
 */
int session_take_back(Session *session, Message *message, int result, uint64_t now_usec);

/*
 * Writes the records of one packet to @out: START if the peer has not answered yet, what is due
 * of ACK, SKIP, SKIPPED, CLOSE, then MSG and PART records as credit and flight allow: at most one
 * of these if @single, else as many as fit. @n_out is at least RECORD_HEADER_SIZE + body_max (of
 * the options) + 256: how a message is cut into records must not change when they are sent again.
 * @ret_id receives the id of the message if the packet carries records of exactly one, else it
 * is all zero; @ret_deadline_usec the deadline of it, else USEC_NEVER.
 *
 * Return: 0, SESSION_E_IDLE.
 */
int session_produce(Session *session, bool single, uint64_t now_usec, uint8_t *out, size_t n_out,
                    size_t *ret_n, PacketId *ret_id, uint64_t *ret_deadline_usec);

/*
 * What session_consume() is given from here on came in one packet; @is_marked: a queue on its way was
 * long, which is of use off-host: how soon to acknowledge, and what to say of it.
 */
void session_begin_packet(Session *session, bool is_marked);

/*
 * What session_consume() is given from here on was sent at @sent_usec, and its one message, if it has one
 * alone, ends at @ends_usec (USEC_NEVER: it does not say): by our clock, so in packets of this host only.
 * Without this, records count as sent when they are given.
 */
void session_set_sent(Session *session, uint64_t sent_usec, uint64_t ends_usec);

/*
 * The payload of the MSG that session_consume() is given next stands in memory that @loan keeps: its
 * message may take a reference instead of a copy. NULL: not any more.
 */
void session_lend(Session *session, Loan *loan);

/*
 * One record came from the peer, in the packet's order. The owner has checked the source.
 * PING, PONG and CANCEL are the owner's: nothing happens.
 *
 * Return: 0, SESSION_E_VIOLATION, SESSION_E_UNKNOWN, SESSION_E_CLOSED, or -ENOMEM, as if the
 * record had been lost.
 */
int session_consume(Session *session, const Record *record, uint64_t now_usec);

/*
 * The same for a MSG that is not wanted: record_decode() said UNSUPPORTED, or policy says DENIED.
 * Its records are thrown away as they come, and its sender finishes it as @code. Other types of
 * record have no effect.
 */
int session_refuse(Session *session, const Record *record, uint16_t code, uint64_t now_usec);

/*
 * The next message for the application, with a reference that is now the caller's; NULL if there
 * is none, or if it is a request and more than SESSION_REPLIES_MAX bytes of replies wait to be
 * sent; of these one a second is let through (session_due()), lest two wait for each other. @from and
 * @peer are the owner's to fill in.
 */
Message *session_pop(Session *session);
/*
 * After session_consume() of a SKIP: a message that was popped, but is_waiting, and which the peer has
 * given up: the application must not get it. NULL: none. Not a new reference.
 */
Message *session_withdrawn(Session *session);
/*
 * A popped message that the application has not been given, and shall not any more, because its
 * deadline_usec is over: its sender finishes it as CODE_EXPIRED. The caller drops its reference.
 * Return: whether that is to be said now; else its session is over.
 */
bool session_expire(Session *session, Message *message);
/* The same for one that nobody will be given, because its receiver ends: CODE_GONE. */
bool session_return(Session *session, Message *message);
/* The application is done with a popped message: its bytes become credit. In any order. Return:
 * whether that is to be said now, or session_due() is another. */
bool session_taken(Session *session, Message *message, uint64_t now_usec);
/* A sent message whose ->result is known, with the session's reference; NULL if there is none.
 * A message that is handed to a session again is a new one there. */
Message *session_pop_finished(Session *session);

/*
 * Whether one of the two applications waits for something of the other, be there nothing under way:
 * then this side asks now and then whether the peer still lives, as it does in the midst of a message
 * of the peer's.
 */
void session_await(Session *session, bool is_awaited, uint64_t now_usec);
/* The application asked for a message and there is none: say what was taken, now. Return: whether
 * there is anything to say. */
bool session_flush(Session *session, uint64_t now_usec);
/* session_produce() may have something; if not, it has nothing. */
bool session_may_produce(const Session *session);

/*
 * The path is @path from now on. A change, or the same path with another @generation, means that
 * records not known to be received may be lost: they are produced again.
 */
void session_set_path(Session *session, SessionPath path, uint64_t generation, uint64_t now_usec);
/* A packet was refused for want of space: hold MSG and PART records back until session_resume()
 * or @until_usec, then produce again what may be lost. Never more than one wait at a time. */
void session_pause(Session *session, uint64_t until_usec, uint64_t now_usec);
void session_resume(Session *session, uint64_t now_usec);
/*
 * It was for good, and the session fails with @code; but a first contact not before all packets that it
 * was tried with were refused, or what was in them was given up, or three times as long, and a second,
 * have passed as this answer took.
 */
void session_deny(Session *session, uint16_t code, uint64_t now_usec);
/* Somebody on the way said NOT_HERE, GONE or SETTLING. A session that has heard from its peer
 * takes it as a hint and fails after @patience_usec of nothing else; one that has not fails once
 * all its packets were refused, or then, unless @code is CODE_SETTLING. */
void session_hint(Session *session, uint16_t code, uint64_t patience_usec, uint64_t now_usec);
/* What was produced last went off-host as packet @id. */
void session_sealed_as(Session *session, const PacketId *id);
/*
 * Whether packet @id, as session_sealed_as() or, on a local path, session_produce() named it, went the
 * way that is in use, with messages that may still be under way.
 */
bool session_has_sent(Session *session, const PacketId *id);
/* What was produced last, with @id from there, went nowhere: it comes out again. */
void session_unsent(Session *session, const PacketId *id);
/*
 * Packet @id was refused, and did not come, whichever way it went. If the session fails, what was in no
 * other packet, and all behind it, is finished with its result.
 */
void session_refused(Session *session, const PacketId *id);
/*
 * Everything unfinished is finished with @result; what can be popped stays. Later messages go into
 * a new session. But what was begun, and may have arrived, is RESULT_UNKNOWN.
 */
void session_fail(Session *session, int result, uint64_t now_usec);

/*
 * Queues the final ACK and CLOSE; they come out of the next session_produce(), and nothing after
 * them. Messages that are not finished stay so: call session_fail() before to hear of them.
 *
 * @code: CODE_OK: there is nothing more to say for now; CODE_GONE: this side ends, and what it was
 * sent and did not pop its sender finishes as CODE_GONE.
 */
void session_close(Session *session, uint16_t code, uint64_t now_usec);

void session_tick(Session *session, uint64_t now_usec);
/* When session_tick() wants to be called; USEC_NEVER: not before something else happens. */
uint64_t session_due(const Session *session);

bool session_is_writable(const Session *session);
/* The same for parts of answers: fewer than SESSION_REPLIES_MAX bytes of them wait, too. */
bool session_takes_parts(const Session *session);
/* Some of a message came, and no answer: the rest is on its way. */
bool session_is_receiving(const Session *session);
/* Both directions taken, nothing waiting, idle for SESSION_IDLE_USEC: close and forget it. */
bool session_is_forgettable(const Session *session, uint64_t now_usec);
/* The peer closed, nothing is left to pop, to report or to send, and nothing of it can come late:
 * free it. */
bool session_is_closed(const Session *session);
/* The peer has answered in this session. */
bool session_is_established(const Session *session);
uint64_t session_id(const Session *session);
const SessionCounters *session_counters(const Session *session);
/* Bytes held: retained, queued, reassembled, not yet taken. */
size_t session_memory(const Session *session);
/* And beside messages, for what the peer has given up. */
size_t session_overhead(const Session *session);
/* Bytes of records that were never produced. */
size_t session_waiting_bytes(const Session *session);
/*
 * Since when the session waits for its peer before it sends more, for credit or, off-host, for what is
 * under way; USEC_NEVER if it does not.
 */
uint64_t session_waiting_since(const Session *session);
/* Off-host: how long an answer takes, about; 0: not known. */
uint64_t session_round_trip_usec(const Session *session);
/* Off-host: bytes of records sent of which nothing was heard yet, and how many there may be; on other
 * paths 0, and UINT64_MAX. */
uint64_t session_in_flight(const Session *session);
uint64_t session_congestion_window(const Session *session);
