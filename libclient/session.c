/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Where this stands in the life of a message: the library's connection has put it into the
 * session of its receiver, or a packet's records have come from its sender. SessionOut and
 * SessionIn keep the two directions; this file is what they share: the identity of the session,
 * START and RESET and CLOSE, the timers, and the order in which records go into a packet.
 *
 *      started   our START was produced under this id
 *      heard     the peer's START came under this id: the session is established
 *      answers   it was the peer that began it
 *      known     the peer has our START
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
 *
 * A probe is an ACK that wants an ACK. Local paths lose nothing while their generation lasts, so
 * there it only asks whether the peer still lives; but when its answer shows that records are
 * missing, they are missing on any path.
 */

#include "libclient/session.h"

#include "libclient/session-in.h"
#include "libclient/session-out.h"
#include "libcore/buf.h"
#include "libcore/control.h"
#include "libcore/err.h"

#define HINT_PROBE_USEC (100 * USEC_PER_MSEC) /* first wait after "not here"; doubles */
#define HINT_PROBE_MAX_USEC USEC_PER_SEC      /* for a first contact */

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
        bool peer_closed;
        uint64_t linger_until; /* after that; USEC_NEVER: not at all */
        bool close_due;
        bool closed; /* CLOSE was produced */

        SessionPath path;
        uint64_t generation;
        bool may_be_late;      /* old records may come behind newer ones, in this session */
        uint64_t paused_until; /* 0: not paused */
        uint64_t hinted_since; /* USEC_NEVER: the peer is where it was */
        uint16_t hint_code;
        bool probe_due;
        bool is_probing;   /* asked, not answered */
        bool maybe_lost;   /* somebody on the way refused something */
        unsigned n_probes; /* in a row, unanswered */
        bool resend_one;   /* no answer: one record goes with the next probe */
        uint64_t probe_at;
        uint64_t probe_wait;
        uint64_t hint_wait;     /* of a first contact */
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

int session_new(Session **ret, const SessionOptions *options, uint64_t now_usec) {
        static const uint8_t no_key[PID_KEY_SIZE];
        Session *s;

        s = calloc(1, sizeof(*s));
        if (!s)
                return err_origin(-ENOMEM);
        memcpy(s->self_key, options->self_key, sizeof(s->self_key));
        s->knows_peer_key = memcmp(options->peer_key, no_key, sizeof(no_key)) != 0;
        s->id = options->id;
        s->opened_usec = options->opened_usec;
        s->hinted_since = USEC_NEVER;
        s->probe_at = USEC_NEVER;
        s->probe_wait = SESSION_PROBE_USEC;
        s->hint_wait = HINT_PROBE_USEC;
        s->reserve_at = USEC_NEVER;
        s->catch_up_usec = USEC_PER_SEC;
        s->linger_until = s->let_in_at = USEC_NEVER;
        s->seen_usec = now_usec;
        s->idle_since = now_usec;
        session_out_init(&s->out, options, &s->counters);
        session_in_init(&s->in, options, &s->counters);
        *ret = s;
        return 0;
}

Session *session_free(Session *session) {
        if (!session)
                return NULL;
        session_out_done(&session->out);
        session_in_done(&session->in);
        free(session);
        return NULL;
}

/* The probe timer */

/* Something depends on the peer. */
static bool waits_for_peer(const Session *s) {
        return session_out_is_unsettled(&s->out) || s->hinted_since != USEC_NEVER ||
               s->maybe_lost || s->out.blocked_since != USEC_NEVER;
}

static void arm_probe(Session *s, uint64_t now_usec) {
        if (s->path == SESSION_PATH_NONE || s->closed || !waits_for_peer(s))
                s->probe_at = USEC_NEVER;
        else if (s->probe_at == USEC_NEVER)
                s->probe_at = now_usec + s->probe_wait;
}

/* The peer is there and goes on. */
static void calm_probe(Session *s, uint64_t now_usec) {
        s->n_probes = 0;
        s->probe_due = s->resend_one = false;
        if (s->maybe_lost) /* what was refused on the way is still to be asked for */
                return;
        s->probe_wait = SESSION_PROBE_USEC;
        s->probe_at = USEC_NEVER;
        arm_probe(s, now_usec);
}

static void probe(Session *s, uint64_t now_usec) {
        s->probe_due = s->is_probing = true;
        s->resend_one = ++s->n_probes > 1 && s->path == SESSION_PATH_OFF_HOST;
        s->probe_wait = MIN(2 * s->probe_wait, SESSION_PROBE_MAX_USEC);
        s->probe_at = now_usec + s->probe_wait;
        session_out_repeat_skips(&s->out);
}

/* Room comes back when other sessions are done with theirs: look now and then. */
static void arm_reserve(Session *s, uint64_t now_usec) {
        if (s->in.need == 0)
                s->reserve_at = USEC_NEVER;
        else if (s->reserve_at == USEC_NEVER)
                s->reserve_at = now_usec + SESSION_ACK_DELAY_USEC;
}

/* Life and death of a session between the same two */

static void go_back(Session *s) {
        session_out_go_back(&s->out);
        session_out_repeat_skips(&s->out);
        s->resend_one = s->maybe_lost = false;
}

static void unpause(Session *s, uint64_t now_usec) {
        if (s->paused_until == 0)
                return;
        s->paused_until = 0;
        go_back(s);
        arm_probe(s, now_usec);
}

/* Both directions begin anew under @id; see session_out_renew(). */
static void renew(Session *s, uint64_t id, int result, bool again, uint64_t now_usec) {
        session_out_renew(&s->out, result, again);
        session_in_renew(&s->in);
        s->id = id;
        s->started = s->heard = s->answers = s->known = false;
        s->peer_closed = false;
        s->linger_until = USEC_NEVER;
        s->has_ignored_id = false;
        s->paused_until = 0;
        s->hinted_since = USEC_NEVER;
        s->hint_wait = HINT_PROBE_USEC;
        s->is_probing = s->maybe_lost = false;
        s->may_be_late = s->path == SESSION_PATH_OFF_HOST;
        calm_probe(s, now_usec);
}

/* Both sides may go on from the same id and must not come to the same one, nor one of them twice. */
static uint64_t next_id(const Session *s) {
        uint64_t z = s->id + load_le64(s->self_key) + s->opened_usec;

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

/* The next session from our side: the peer will take it as newer than the last. */
static void renew_ourselves(Session *s, int result, bool again, uint64_t now_usec) {
        renew(s, next_id(s), result, again, now_usec);
        s->opened_usec++;
}

static void ignore_id(Session *s, uint64_t id) {
        s->ignored_id = id;
        s->has_ignored_id = true;
}

static void hear(Session *s, uint64_t now_usec) {
        s->idle_since = now_usec;
        s->hinted_since = USEC_NEVER;
}

/* What records of this session carry, ours and the peer's, once both know of each other. */
static uint64_t mark(const Session *s) {
        if (!s->heard)
                return s->id;
        return s->id ^ (s->answers ? s->opened_usec : s->peer_opened_usec);
}

/* Before the peer had our answer, it could not mark its records with it. */
static bool is_ours(const Session *s, uint64_t session) {
        return session == mark(s) || (s->answers && session == s->id);
}

/* Records that steer the session */

static int consume_start(Session *s, const Record *r, uint64_t now_usec) {
        if (s->knows_peer_key && memcmp(s->in.peer_key, r->start.key, PID_KEY_SIZE) != 0)
                return SESSION_E_VIOLATION;
        if (r->start.limit > INT64_MAX)
                return SESSION_E_VIOLATION;

        if (r->session == s->id) {
                if (s->heard && s->peer_opened_usec > 0 &&
                    r->start.opened_usec > s->peer_opened_usec) {
                        /* It answers for one that died, of whom we may have heard. */
                        renew_ourselves(s, RESULT_UNKNOWN, true, now_usec);
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
                                        go_back(s);
                                s->probe_due = true;
                                ignore_id(s, r->session);
                                return 0;
                        }
                        if (r->flags & RECORD_AGAIN) /* it may have had what we have begun */
                                session_out_renew(&s->out, RESULT_UNKNOWN, true);
                        s->id = r->session;
                        s->has_ignored_id = false;
                        go_back(s);
                } else
                        renew(s, r->session, RESULT_UNKNOWN, true, now_usec);
                s->answers = true;
        }

        memcpy(s->in.peer_key, r->start.key, PID_KEY_SIZE);
        s->knows_peer_key = true;
        s->peer_opened_usec = MAX(s->peer_opened_usec, r->start.opened_usec);
        s->out.limit = MAX(s->out.limit, r->start.limit);
        s->heard = true;
        if (!s->answers)
                s->known = true;
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
        renew_ourselves(s, RESULT_UNKNOWN, true, now_usec);
}

static int consume_close(Session *s, uint64_t now_usec) {
        bool may_be_late = s->may_be_late;

        renew_ourselves(s, RESULT_UNKNOWN, true, now_usec);
        s->peer_closed = true;
        /* What is late would begin the session once more if nobody remembered it. */
        if (may_be_late)
                s->linger_until = now_usec + SESSION_PROBE_MAX_USEC;
        return session_is_closed(s) ? SESSION_E_CLOSED : 0;
}

static int consume_ack(Session *s, const Record *r, uint64_t now_usec) {
        bool progress;
        int c;

        c = session_out_ack(&s->out, r, !s->may_be_late, &progress);
        if (c != 0)
                return c;
        if (r->flags & RECORD_ACK_NOW)
                s->in.ack_due = true;
        if (s->is_probing) {
                s->is_probing = false;
                s->n_probes = 0;
                s->maybe_lost = false;
                if (s->out.received < s->out.next_seq && s->paused_until == 0)
                        go_back(s);
        }
        if (progress)
                calm_probe(s, now_usec);
        return 0;
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
                return s->heard && is_ours(s, r->session) ? consume_close(s, now_usec) : 0;
        case RECORD_RESET:
                if ((s->started || s->heard) && (r->session == s->id || r->session == mark(s)))
                        consume_reset(s, now_usec);
                return 0;
        default:
                return 0;
        }

        if (s->has_ignored_id && r->session == s->ignored_id)
                return 0;
        if (!s->heard || !is_ours(s, r->session)) /* all that the peer says is behind its START */
                return SESSION_E_UNKNOWN;
        if (r->session == mark(s))
                s->known = true;
        hear(s, now_usec);

        switch (r->type) {
        case RECORD_ACK:
                c = consume_ack(s, r, now_usec);
                break;
        case RECORD_SKIP:
                c = session_in_skip(&s->in, r, now_usec);
                break;
        case RECORD_SKIPPED:
                c = session_out_skipped(&s->out, r);
                break;
        default:
                c = session_in_record(&s->in, r, refusal, now_usec);
        }
        if (c == 0) {
                arm_probe(s, now_usec);
                arm_reserve(s, now_usec);
        }
        return c;
}

int session_consume(Session *session, const Record *record, uint64_t now_usec) {
        return consume(session, record, 0, now_usec);
}

void session_lend(Session *session, Loan *loan) {
        session->in.loan = loan;
}

int session_refuse(Session *session, const Record *record, uint16_t code, uint64_t now_usec) {
        return record->type == RECORD_MSG ? consume(session, record, code, now_usec) : 0;
}

/* Producing */

static bool put(const Session *s, BufWriter *w, Record *r) {
        size_t size = record_size(r);
        uint8_t *p;

        if (r->type != RECORD_START)
                r->session = mark(s);
        if (size > w->size - w->at)
                return false;
        p = buf_put(w, size);
        record_encode(r, p);
        return true;
}

static void put_start(Session *s, BufWriter *w) {
        Record r = {
                .type = RECORD_START,
                .flags = s->answers                ? RECORD_ANSWER
                         : s->peer_opened_usec > 0 ? RECORD_AGAIN
                                                   : 0,
                .session = s->id,
                .start = { .opened_usec = s->opened_usec, .limit = SESSION_WINDOW_FIRST },
        };

        memcpy(r.start.key, s->self_key, PID_KEY_SIZE);
        (void)put(s, w, &r); /* the first: there is room */
        s->started = true;
}

static void put_ack(Session *s, BufWriter *w) {
        Record r;
        size_t n_most =
                RECORD_HEADER_SIZE + RECORD_ACK_SIZE + sizeof(RecordRange) * RECORD_ACK_RANGES_MAX;

        if (n_most > w->size - w->at)
                return;
        session_in_acknowledge(&s->in, &r);
        if (s->probe_due)
                r.flags |= RECORD_ACK_NOW;
        s->probe_due = false;
        (void)put(s, w, &r); /* was looked after */

        if (s->in.refusal_due) {
                const Message *m = s->in.inbox;
                Record refused = {
                        .type = RECORD_SKIPPED,
                        .seq = m->first_seq,
                        .skipped = { m->first_seq, m->first_seq, m->refusal },
                };

                if (put(s, w, &refused))
                        s->in.refusal_due = false;
        }
}

static void put_answers(Session *s, BufWriter *w) {
        while (session_in_has_answers(&s->in)) {
                const SessionAnswer *a = &s->in.skips->due[s->in.skips->n_due - 1];
                Record r = {
                        .type = RECORD_SKIPPED,
                        .seq = a->first,
                        .skipped = { a->last, a->from, a->reason },
                };

                if (!put(s, w, &r))
                        return;
                s->in.skips->n_due--;
        }
}

static void put_skips(Session *s, BufWriter *w) {
        Record r;

        while (w->size - w->at >= RECORD_HEADER_SIZE + RECORD_SKIP_SIZE &&
               session_out_next_skip(&s->out, &r) == 0)
                (void)put(s, w, &r); /* was looked after */
}

static void put_close(Session *s, BufWriter *w) {
        Record r = { .type = RECORD_CLOSE, .code = CODE_OK };

        if (put(s, w, &r)) {
                s->closed = true;
                s->close_due = false;
        }
}

static bool may_send_messages(const Session *s) {
        return s->paused_until == 0 && (s->hinted_since == USEC_NEVER || !s->heard) &&
               !s->close_due && !s->closed;
}

/* Messages, as many as fit; their id if they are one. */
static void put_messages(Session *s, bool single, uint64_t now_usec, BufWriter *w, PacketId *ret_id,
                         uint64_t *ret_deadline_usec) {
        const Message *only = NULL;
        bool several = false, done = false;
        Message *m;
        Record r;

        if (s->resend_one && session_out_missing(&s->out, w->size - w->at, now_usec, &r, &m) == 0) {
                (void)put(s, w, &r); /* was looked after */
                s->counters.n_resent++;
                only = m;
                done = single;
        }
        s->resend_one = false;

        while (!done && session_out_next(&s->out, w->size - w->at, now_usec, &r, &m) == 0) {
                (void)put(s, w, &r); /* was looked after */
                session_out_advance(&s->out);
                several = several || (only && only != m);
                only = m;
                done = single;
        }
        *ret_id = only && !several ? only->id : (PacketId){ { 0 } };
        *ret_deadline_usec = only && !several ? only->deadline_usec : USEC_NEVER;
}

static bool has_message(Session *s, uint64_t now_usec) {
        Message *m;
        Record r;

        if (!may_send_messages(s))
                return false;
        return (s->resend_one && session_out_missing(&s->out, SIZE_MAX, now_usec, &r, &m) == 0) ||
               session_out_has_next(&s->out, now_usec);
}

bool session_may_produce(const Session *session) {
        const Session *s = session;

        return s->in.ack_due || s->out.queued || s->out.cursor || s->probe_due || s->resend_one ||
               s->close_due || session_in_has_answers(&s->in) || session_out_has_skips(&s->out);
}

int session_produce(Session *session, bool single, uint64_t now_usec, uint8_t *out, size_t n_out,
                    size_t *ret_n, PacketId *ret_id, uint64_t *ret_deadline_usec) {
        Session *s = session;
        BufWriter w = buf_writer(out, n_out);
        bool messages;

        if (s->path == SESSION_PATH_NONE || s->closed)
                return SESSION_E_IDLE;
        if (s->close_due && !s->started && !s->heard) { /* nobody knows of us */
                s->closed = true;
                return SESSION_E_IDLE;
        }
        messages = has_message(s, now_usec);
        if (!messages && !s->in.ack_due && !s->probe_due && !session_in_has_answers(&s->in) &&
            !session_out_has_skips(&s->out) && !s->close_due)
                return SESSION_E_IDLE;

        if (!s->known)
                put_start(s, &w);
        put_answers(s, &w);
        if (session_in_is_dirty(&s->in) || s->probe_due || s->close_due)
                put_ack(s, &w);
        put_skips(s, &w);
        if (s->close_due)
                put_close(s, &w);
        *ret_id = (PacketId){ { 0 } };
        *ret_deadline_usec = USEC_NEVER;
        if (messages)
                put_messages(s, single, now_usec, &w, ret_id, ret_deadline_usec);

        /* All that is due may be what has just been found to be nothing. */
        if (w.at == 0)
                return SESSION_E_IDLE;
        if (messages)
                s->idle_since = now_usec;
        arm_probe(s, now_usec);
        *ret_n = w.at;
        return 0;
}

/* The application's side */

int session_send(Session *session, Message *message, uint64_t now_usec) {
        int c;

        if (session->close_due || session->closed)
                return err_origin(-ESHUTDOWN);
        c = session_out_send(&session->out, message, now_usec);
        if (c == 0)
                session->peer_closed = false; /* then it goes into another session */
        return c;
}

bool session_may_commit(Session *session, size_t n_record) {
        return session->path == SESSION_PATH_LOCAL && session->heard && session->known &&
               may_send_messages(session) && session_out_may_commit(&session->out, n_record);
}

int session_commit(Session *session, Message *message, uint64_t now_usec, Record *ret) {
        int c;

        c = session_out_commit(&session->out, message, now_usec, ret);
        if (c != 0)
                return c;
        ret->session = mark(session);
        session->peer_closed = false;
        session->idle_since = now_usec;
        arm_probe(session, now_usec);
        return 0;
}

void session_abandon(Session *session, Message *message, int result, uint64_t now_usec) {
        session_out_abandon(&session->out, message, result);
        arm_probe(session, now_usec);
}

/*
 * Requests wait while too many replies do. If both sides do that, each with requests in front of
 * the other's replies, nothing moves any more: then one request a second gets through.
 */
Message *session_pop(Session *session) {
        Session *s = session;
        bool hold = s->out.replies > SESSION_REPLIES_MAX;
        Message *m;

        m = session_in_pop(&s->in, hold && !s->let_one_in);
        if (m && hold && m->kind == MESSAGE_REQUEST) {
                s->let_one_in = false;
                s->let_in_at = s->seen_usec + SESSION_PROBE_USEC;
        } else if (!m && hold && s->let_in_at == USEC_NEVER)
                s->let_in_at = s->seen_usec + SESSION_PROBE_USEC;
        return m;
}

bool session_taken(Session *session, Message *message, uint64_t now_usec) {
        uint64_t ack_at = session->in.ack_at;

        session_in_taken(&session->in, message, now_usec);
        return session->in.ack_due || session->in.ack_at != ack_at;
}

Message *session_pop_finished(Session *session) {
        return session_out_pop_finished(&session->out);
}

bool session_flush(Session *session, uint64_t now_usec) {
        (void)now_usec;
        session_in_flush(&session->in);
        return session->in.ack_due;
}

/* The way and those on it */

void session_set_path(Session *session, SessionPath path, uint64_t generation, uint64_t now_usec) {
        Session *s = session;

        if (path == s->path && generation == s->generation)
                return;
        /* What is on its way on a local path still comes when the next one is in use. */
        if (path == SESSION_PATH_OFF_HOST || s->path == SESSION_PATH_LOCAL)
                s->may_be_late = true;
        s->path = path;
        s->generation = generation;
        if (path == SESSION_PATH_NONE) {
                s->probe_at = USEC_NEVER;
                return;
        }

        s->paused_until = 0;
        if (s->hinted_since != USEC_NEVER) /* whoever said so did not mean this way */
                s->hinted_since = USEC_NEVER;
        session_out_lose(&s->out, UINT64_MAX, RESULT_UNKNOWN);
        go_back(s);
        if (s->heard)
                s->in.ack_due = true; /* the last may be lost, too */
        calm_probe(s, now_usec);
}

void session_pause(Session *session, uint64_t until_usec, uint64_t now_usec) {
        if (session->paused_until == 0 && until_usec > now_usec)
                session->paused_until = until_usec;
}

void session_resume(Session *session, uint64_t now_usec) {
        unpause(session, now_usec);
}

void session_fail(Session *session, int result, uint64_t now_usec) {
        session_out_fail_queued(&session->out, result);
        session->hinted_since = USEC_NEVER;
        if (session->started || session->heard)
                renew_ourselves(session, result, false, now_usec);
}

void session_hint(Session *session, uint16_t code, uint64_t now_usec) {
        Session *s = session;

        if (!s->heard && code != CODE_SETTLING) {
                session_fail(s, code, now_usec);
                return;
        }
        if (s->hinted_since == USEC_NEVER) {
                s->hinted_since = now_usec;
                s->hint_code = code;
        }
        if (!s->maybe_lost) {
                s->maybe_lost = true;
                s->probe_wait = HINT_PROBE_USEC;
                s->probe_at = now_usec + s->probe_wait;
        }
        /* A first contact has nothing to ask for: it tries the whole again. */
        if (!s->heard && s->paused_until == 0) {
                s->paused_until = now_usec + s->hint_wait;
                s->hint_wait = MIN(2 * s->hint_wait, HINT_PROBE_MAX_USEC);
        }
}

void session_close(Session *session, uint64_t now_usec) {
        (void)now_usec;
        if (!session->closed)
                session->close_due = true;
}

/* Time */

void session_tick(Session *session, uint64_t now_usec) {
        Session *s = session;

        s->seen_usec = now_usec;
        session_out_expire(&s->out, now_usec);
        if (s->let_in_at <= now_usec) {
                s->let_in_at = USEC_NEVER;
                s->let_one_in = true;
        }
        if (s->linger_until <= now_usec)
                s->linger_until = USEC_NEVER;
        if (s->in.ack_at <= now_usec)
                s->in.ack_due = true;
        if (s->reserve_at <= now_usec) {
                s->reserve_at = USEC_NEVER;
                (void)session_in_reserve(&s->in); /* no memory: later */
                arm_reserve(s, now_usec);
        }
        if (s->paused_until > 0 && s->paused_until <= now_usec)
                unpause(s, now_usec);
        if (s->hinted_since != USEC_NEVER && s->hinted_since + SESSION_HINT_USEC <= now_usec)
                session_fail(s, s->hint_code, now_usec);
        if (s->probe_at <= now_usec) {
                s->probe_at = USEC_NEVER;
                arm_probe(s, now_usec);
                if (s->probe_at != USEC_NEVER)
                        probe(s, now_usec);
        }
}

uint64_t session_due(const Session *session) {
        const Session *s = session;
        uint64_t due = MIN(MIN(s->out.expire_at, s->linger_until), MIN(s->probe_at, s->reserve_at));

        due = MIN(due, s->let_in_at);

        if (!s->in.ack_due && s->path != SESSION_PATH_NONE)
                due = MIN(due, s->in.ack_at);
        if (s->paused_until > 0)
                due = MIN(due, s->paused_until);
        if (s->hinted_since != USEC_NEVER)
                due = MIN(due, s->hinted_since + SESSION_HINT_USEC);
        return due;
}

/* Questions */

bool session_is_writable(const Session *session) {
        return session->out.waiting < SESSION_QUEUE_MAX;
}

static bool is_settled(const Session *s) {
        return !s->out.queued && !s->out.finished && !session_out_is_unsettled(&s->out) &&
               session_in_is_idle(&s->in);
}

bool session_is_closed(const Session *session) {
        return session->peer_closed && session->linger_until == USEC_NEVER && is_settled(session);
}

bool session_is_forgettable(const Session *session, uint64_t now_usec) {
        /* A peer that does not know of us may still have something to say in this session. */
        uint64_t wait =
                session->heard && !session->known ? 10 * SESSION_IDLE_USEC : SESSION_IDLE_USEC;

        return is_settled(session) && now_usec - session->idle_since >= wait;
}

bool session_is_established(const Session *session) {
        return session->heard;
}

uint64_t session_id(const Session *session) {
        return session->id;
}

const SessionCounters *session_counters(const Session *session) {
        return &session->counters;
}

size_t session_memory(const Session *session) {
        return session->out.memory + session->in.memory + reorder_memory(session->in.reorder);
}

size_t session_waiting_bytes(const Session *session) {
        return session->out.waiting;
}

uint64_t session_waiting_since(const Session *session) {
        return session->out.waiting > 0 ? session->out.blocked_since : USEC_NEVER;
}
