/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What a session is, for the three files that are it: session.c, which steers, session-heard.c, which
 * listens, and session-packet.c, which speaks.
 *
 *      started   our START was produced under this id
 *      heard     the peer's START came under this id: the session is established
 *      answers   it was the peer that began it
 *      known     the peer has our START
 */

#include "libclient/session-in.h"
#include "libclient/session-out.h"
#include "libclient/session-probe.h"

struct Session {
        uint8_t self_key[PID_KEY_SIZE];
        bool knows_peer_key; /* in.peer_key */
        uint64_t id;
        uint64_t opened_usec;
        uint64_t peer_opened_usec; /* the newest that was accepted */
        uint64_t ignored_id;       /* of a START that has no effect: neither have its records */
        bool has_ignored_id;
        bool started;
        bool heard;
        bool answers;
        bool known;
        uint64_t known_seq; /* the first that went without our START in front */
        bool is_awaited; /* the peer, by our application or its own */
        bool peer_closed;
        uint64_t linger_until; /* after that; USEC_NEVER: not at all */
        bool close_due;
        uint16_t close_code;
        bool closed; /* CLOSE was produced */

        SessionPath path;
        uint64_t generation;
        bool may_be_late;      /* old records may come behind newer ones, in this session */
        uint64_t paused_until; /* 0: not paused */
        uint64_t hinted_until; /* then it is over; USEC_NEVER: the peer is where it was */
        uint16_t hint_code;
        SessionProbe probe;
        uint64_t asked_seq;     /* records below went before the last question */
        uint64_t hint_wait;     /* of a first contact */
        bool holds;             /* it was refused, and waits for what else is under way */
        uint64_t reserve_at;    /* when to ask again for room for a large message */
        uint64_t catch_up_usec; /* what to add to opened_usec if the peer calls it old */
        uint64_t idle_since;
        uint64_t seen_usec; /* the latest time that we were told */
        uint64_t let_in_at; /* when one request may pass, although many replies wait */
        bool let_one_in;

        SessionOut out;
        SessionIn in;
        SessionCounters counters;
};

/* What records of this session carry, ours and the peer's, once both know of each other. */
static inline uint64_t session_mark(const Session *s) {
        if (!s->heard)
                return s->id;
        return s->id ^ (s->answers ? s->opened_usec : s->peer_opened_usec);
}

/* MSG and PART are not held back. */
static inline bool session_may_send(const Session *s) {
        return s->paused_until == 0 && !s->holds && (s->hinted_until == USEC_NEVER || !s->heard) &&
               !s->close_due && !s->closed;
}

/* Something was produced or heard: when to ask next may have changed. */
void session_arm_probe(Session *session, uint64_t now_usec);
/* The same of when to ask again for room for a large message. */
void session_arm_reserve(Session *session, uint64_t now_usec);
/* What the peer is not known to have comes out again. */
void session_go_back(Session *session);
/* Both directions begin anew under @id; @again: see session_out_renew(). */
void session_renew(Session *session, uint64_t id, bool again, uint64_t now_usec);
/* The same from our side: the peer will take it as newer than the last. */
void session_renew_ourselves(Session *session, bool again, uint64_t now_usec);
