/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the peer says: whether it is of this session, what of it steers the session, and to which half the
 * rest goes.
 *
 * Until it is known, our START is in front of every packet; until the peer's was heard, nothing else
 * of it counts. Whoever has heard marks all records but START with the session's id and the time
 * when the answering side opened, together: no record that was meant for a process that died can
 * reach its successor, which may well have a START of the same id from a packet that was late.
 *
 * Both opened at once means that a START with another id comes while ours was not answered. Then
 * the smaller id stays; whoever had the larger one takes the smaller over and produces everything
 * again, which is nothing new to the other. In all other cases a newer START with another id means
 * that the peer began anew.
 */

#include "libclient/session-state.h"

#include "libcore/control.h"

static void ignore_id(Session *s, uint64_t id) {
        s->ignored_id = id;
        s->has_ignored_id = true;
}

static void hear(Session *s, uint64_t now_usec) {
        s->holds = false;
        s->idle_since = now_usec;
        s->hinted_until = USEC_NEVER;
}

/* From here on no START stands in front of what is said. */
static void note_known(Session *s) {
        if (!s->known)
                s->known_seq = s->out.next_seq;
        s->known = true;
}

/* Before the peer had our answer, it could not mark its records with it. */
static bool is_ours(const Session *s, uint64_t session) {
        return session == session_mark(s) || (s->answers && session == s->id);
}

static int consume_start(Session *s, const Record *r, uint64_t now_usec) {
        if (s->knows_peer_key && memcmp(s->in.peer_key, r->start.key, PID_KEY_SIZE) != 0)
                return SESSION_E_VIOLATION;
        if (r->start.limit > INT64_MAX)
                return SESSION_E_VIOLATION;

        if (r->session == s->id) {
                if (s->heard && s->peer_opened_usec > 0 &&
                    r->start.opened_usec > s->peer_opened_usec) {
                        /* It answers for one that died, of whom we may have heard. */
                        session_renew_ourselves(s, true, now_usec);
                        return 0;
                }
        } else {
                if (r->flags & RECORD_ANSWER) /* by one of us who has died */
                        return SESSION_E_UNKNOWN;
                if (s->peer_opened_usec > 0 && r->start.opened_usec <= s->peer_opened_usec)
                        return SESSION_E_UNKNOWN; /* a late double, or of a session that is over */
                if (s->started && !s->heard) {
                        if (s->id < r->session) {
                                /* Ours may have gone to the peer's predecessor: once more. */
                                if (!s->has_ignored_id || s->ignored_id != r->session)
                                        session_go_back(s);
                                s->probe.is_due = true;
                                ignore_id(s, r->session);
                                return 0;
                        }
                        if (r->flags & RECORD_AGAIN) /* it may have had what we have begun */
                                session_out_renew(&s->out, true);
                        s->id = r->session;
                        s->has_ignored_id = false;
                        session_go_back(s);
                } else
                        session_renew(s, r->session, true, now_usec);
                s->answers = true;
        }

        memcpy(s->in.peer_key, r->start.key, PID_KEY_SIZE);
        s->knows_peer_key = true;
        s->peer_opened_usec = MAX(s->peer_opened_usec, r->start.opened_usec);
        s->out.limit = MAX(s->out.limit, r->start.limit);
        s->heard = true;
        if (!s->answers)
                note_known(s);
        hear(s, now_usec);
        return 0;
}

static void consume_reset(Session *s, uint64_t now_usec) {
        /*
         * Without an answer of the peer: it may have ended this session before we heard of it; or
         * it knows a later START of ours, because our clock was ahead in an earlier life. Then it
         * takes a few attempts to be ahead of that.
         */
        if (!s->heard) {
                s->opened_usec += s->catch_up_usec;
                s->catch_up_usec = MIN(2 * s->catch_up_usec, UINT64_C(1) << 48);
        }
        session_renew_ourselves(s, true, now_usec);
}

/*
 * Its last ACK, just before, said what the peer has: the rest it has not given to anybody, and never
 * will. But what went behind a START may begin a session with its next life.
 */
static void spare_unreceived(Session *s, uint16_t code) {
        session_out_spare(&s->out, s->known ? s->known_seq : UINT64_MAX,
                          code == CODE_GONE ? CODE_GONE : RESULT_PENDING);
        if (code == CODE_GONE) /* it would not read the next START */
                session_out_fail_queued(&s->out, CODE_GONE);
}

static int consume_close(Session *s, uint16_t code, uint64_t now_usec) {
        bool may_be_late = s->may_be_late;

        spare_unreceived(s, code);
        session_renew_ourselves(s, true, now_usec);
        s->peer_closed = true;
        /* What is late would begin the session once more if nobody remembered it. */
        if (may_be_late)
                s->linger_until = now_usec + SESSION_PROBE_MAX_USEC;
        return session_is_closed(s) ? SESSION_E_CLOSED : 0;
}

static int consume_ack(Session *s, const Record *r, uint64_t now_usec) {
        bool progress;
        int c;

        c = session_out_ack(&s->out, r, !s->may_be_late, now_usec, &progress);
        if (c != 0)
                return c;
        if (r->flags & RECORD_ACK_NOW)
                s->in.ack_due = true;
        if (session_probe_answered(&s->probe)) {
                if (s->out.received < s->out.next_seq && s->paused_until == 0 && !s->out.flight) {
                        /* What has no copy and went before the question was read, and not kept. */
                        session_out_lose(&s->out, s->asked_seq, RESULT_UNKNOWN);
                        session_go_back(s);
                }
                s->probe.maybe_lost = false;
        }
        if (progress)
                session_probe_calm(&s->probe, s->out.flight && !s->out.flight->is_sampled);
        return 0;
}

static int consume_skipped(Session *s, const Record *r) {
        bool progress;
        int c;

        c = session_out_skipped(&s->out, r, &progress);
        if (c == 0 && progress)
                session_probe_calm(&s->probe, false);
        return c;
}

static int consume(Session *s, const Record *r, uint16_t refusal, uint64_t now_usec) {
        int c;

        s->seen_usec = now_usec;
        switch (r->type) {
        case RECORD_START:
                return consume_start(s, r, now_usec);
        case RECORD_MSG:
        case RECORD_PART:
        case RECORD_ACK:
        case RECORD_SKIP:
        case RECORD_SKIPPED:
                break;
        case RECORD_CLOSE:
                return s->heard && is_ours(s, r->session) ? consume_close(s, r->code, now_usec) : 0;
        case RECORD_RESET:
                if ((s->started || s->heard) &&
                    (r->session == s->id || r->session == session_mark(s)))
                        consume_reset(s, now_usec);
                return 0;
        default:
                return 0;
        }

        if (s->has_ignored_id && r->session == s->ignored_id)
                return 0;
        if (!s->heard || !is_ours(s, r->session)) /* all that the peer says is behind its START */
                return SESSION_E_UNKNOWN;
        if (r->session == session_mark(s))
                note_known(s);
        hear(s, now_usec);

        switch (r->type) {
        case RECORD_ACK:
                c = consume_ack(s, r, now_usec);
                break;
        case RECORD_SKIP:
                c = session_in_skip(&s->in, r, now_usec);
                break;
        case RECORD_SKIPPED:
                c = consume_skipped(s, r);
                break;
        default:
                c = session_in_record(&s->in, r, refusal, now_usec);
        }
        if (c == 0) {
                session_arm_probe(s, now_usec);
                session_arm_reserve(s, now_usec);
        }
        return c;
}

int session_consume(Session *session, const Record *record, uint64_t now_usec) {
        return consume(session, record, 0, now_usec);
}

void session_begin_packet(Session *session, bool is_marked) {
        session->out.passed = NULL;
        session->out.passed_seq = 0;
        if (session->in.is_off_host)
                session_in_begin_packet(&session->in, is_marked);
}

void session_set_sent(Session *session, uint64_t sent_usec, uint64_t ends_usec) {
        session->in.sent_usec = sent_usec;
        session->in.ends_usec = ends_usec;
}

void session_lend(Session *session, Loan *loan) {
        session->in.loan = loan;
}

int session_refuse(Session *session, const Record *record, uint16_t code, uint64_t now_usec) {
        return record->type == RECORD_MSG ? consume(session, record, code, now_usec) : 0;
}
