/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Where this stands in the life of a message: the library's connection has put it into the
 * session of its receiver, or a packet's records have come from its sender. SessionOut and
 * SessionIn keep the two directions; this file is what they share: the identity of the session, the
 * way, and the timers. session-state.h has the words, session-heard.c what comes in, session-packet.c
 * what comes out.
 */

#include "libclient/session-state.h"

#include "libcore/control.h"
#include "libcore/err.h"

#define HINT_PROBE_USEC (100 * USEC_PER_MSEC) /* first wait after "not here"; doubles */
#define HINT_PROBE_MAX_USEC USEC_PER_SEC      /* for a first contact */

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
        s->hinted_until = USEC_NEVER;
        session_probe_init(&s->probe);
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
        return session_out_is_unsettled(&s->out) || s->hinted_until != USEC_NEVER ||
               s->probe.maybe_lost || s->out.blocked_since != USEC_NEVER ||
               (s->heard && (s->is_awaited || session_is_receiving(s)));
}

/*
 * Off-host what may be lost is asked for as soon as its answer is overdue; what has arrived, and was not
 * taken, is only a question of whether the peer still lives.
 */
static uint64_t off_host_wait(const Session *s) {
        const Flight *flight = s->out.flight;

        if (s->out.received < s->out.next_seq || s->out.skipping ||
            s->out.blocked_since != USEC_NEVER)
                return MIN(flight_patience_usec(flight), (uint64_t)SESSION_PROBE_MAX_USEC);
        return MAX((uint64_t)SESSION_PROBE_USEC, 3 * flight->round_trip.smoothed_usec);
}

void session_arm_probe(Session *s, uint64_t now_usec) {
        if (s->path == SESSION_PATH_NONE || s->closed || !waits_for_peer(s))
                s->probe.at = USEC_NEVER;
        else if (s->out.flight)
                session_probe_arm(&s->probe, off_host_wait(s), true, now_usec);
        else if (s->probe.at == USEC_NEVER)
                session_probe_arm(&s->probe, SESSION_PROBE_USEC, false, now_usec);
}

void session_await(Session *session, bool is_awaited, uint64_t now_usec) {
        if (session->is_awaited == is_awaited)
                return;
        session->is_awaited = is_awaited;
        session_arm_probe(session, now_usec);
}

static void calm_probe(Session *s, uint64_t now_usec) {
        session_probe_calm(&s->probe, false);
        session_arm_probe(s, now_usec);
}

static void ask(Session *s, uint64_t now_usec) {
        s->probe.at = USEC_NEVER;
        session_arm_probe(s, now_usec);
        if (s->probe.at == USEC_NEVER)
                return;
        session_probe_ask(&s->probe, s->out.flight && s->out.received < s->out.next_seq, now_usec);
        s->asked_seq = s->out.next_seq;
        session_out_repeat_skips(&s->out);
}

/* Room comes back when other sessions are done with theirs: look now and then. */
void session_arm_reserve(Session *s, uint64_t now_usec) {
        if (!s->in.is_in_line)
                s->reserve_at = USEC_NEVER;
        else if (s->reserve_at == USEC_NEVER)
                s->reserve_at = now_usec + SESSION_ACK_DELAY_USEC;
}

/* Life and death of a session between the same two */

void session_go_back(Session *s) {
        session_out_go_back(&s->out);
        session_out_repeat_skips(&s->out);
        s->probe.with_one = s->probe.maybe_lost = false;
}

/* Without memory for what an off-host path needs there is none for a while. */
static bool begin_flight(Session *s, uint64_t now_usec) {
        if (s->path != SESSION_PATH_OFF_HOST || s->out.flight ||
            flight_new(&s->out.flight, SESSION_ACK_DELAY_USEC) == 0)
                return true;
        s->paused_until = now_usec + SESSION_ACK_DELAY_USEC;
        return false;
}

static void unpause(Session *s, uint64_t now_usec) {
        if (s->paused_until == 0)
                return;
        s->paused_until = 0;
        if (!begin_flight(s, now_usec))
                return;
        /* Off-host it is found out what was lost: it may be little. */
        if (!s->out.flight || !s->heard)
                session_go_back(s);
        session_arm_probe(s, now_usec);
}

void session_renew(Session *s, uint64_t id, bool again, uint64_t now_usec) {
        session_out_renew(&s->out, again);
        session_in_renew(&s->in);
        s->id = id;
        s->started = s->heard = s->answers = s->known = false;
        s->peer_closed = false;
        s->linger_until = USEC_NEVER;
        s->has_ignored_id = s->holds = false;
        s->paused_until = 0;
        s->hinted_until = USEC_NEVER;
        s->hint_wait = HINT_PROBE_USEC;
        s->probe.is_asked = s->probe.maybe_lost = false;
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

void session_renew_ourselves(Session *s, bool again, uint64_t now_usec) {
        session_renew(s, next_id(s), again, now_usec);
        s->opened_usec++;
}

/* A first contact that was refused */

/* The first says why it fails then, and the most pressing when. */
static void note_hint(Session *s, uint16_t code, uint64_t until_usec) {
        if (s->hinted_until == USEC_NEVER)
                s->hint_code = code;
        s->hinted_until = MIN(s->hinted_until, until_usec);
}

/* A first contact that was tried more than once: each packet gets an answer of its own. */
static bool may_still_meet(const Session *s) {
        return !s->heard && s->out.flight && session_out_may_meet(&s->out);
}

static void fail_or_hold(Session *s, uint16_t code, uint64_t patience_usec, uint64_t now_usec) {
        if (!may_still_meet(s)) {
                session_fail(s, code, now_usec);
                return;
        }
        note_hint(s, code, now_usec + patience_usec);
        s->holds = true;
}

/* What it waits for was refused, too, be it not for good, or given up. Return: whether it is over now. */
static bool fail_if_refused(Session *s, uint64_t now_usec) {
        if (!s->holds || may_still_meet(s))
                return false;
        session_fail(s, s->hint_code, now_usec);
        return true;
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
               session_may_send(session) && session_out_may_commit(&session->out, n_record);
}

int session_commit(Session *session, Message *message, uint64_t now_usec, Record *ret) {
        int c;

        c = session_out_commit(&session->out, message, now_usec, ret);
        if (c != 0)
                return c;
        ret->session = session_mark(session);
        session->peer_closed = false;
        session->idle_since = now_usec;
        session_arm_probe(session, now_usec);
        return 0;
}

void session_abandon(Session *session, Message *message, int result, uint64_t now_usec) {
        session_out_abandon(&session->out, message, result);
        (void)fail_if_refused(session, now_usec);
        session_arm_probe(session, now_usec);
}

int session_take_back(Session *session, Message *message, int result, uint64_t now_usec) {
        int r;

        r = session_out_take_back(&session->out, message, result);
        (void)fail_if_refused(session, now_usec);
        session_arm_probe(session, now_usec);
        return r;
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

Message *session_withdrawn(Session *session) {
        return TAKE_PTR(session->in.withdrawn);
}

bool session_expire(Session *session, Message *message) {
        return session_in_refuse(&session->in, message, CODE_EXPIRED);
}

bool session_return(Session *session, Message *message) {
        return session_in_refuse(&session->in, message, CODE_GONE);
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
        s->in.is_off_host = path == SESSION_PATH_OFF_HOST;
        if (s->close_due)
                s->in.refused_seq = 0; /* what was said may be lost */
        s->out.flight = flight_free(s->out.flight); /* nothing is known of the new one */
        if (path == SESSION_PATH_NONE) {
                s->probe.at = USEC_NEVER;
                return;
        }

        s->paused_until = 0;
        s->holds = false;
        (void)begin_flight(s, now_usec);
        if (s->hinted_until != USEC_NEVER) /* whoever said so did not mean this way */
                s->hinted_until = USEC_NEVER;
        session_out_lose(&s->out, UINT64_MAX, RESULT_UNKNOWN);
        session_go_back(s);
        if (s->heard)
                s->in.ack_due = true; /* the last may be lost, too */
        calm_probe(s, now_usec);
}

void session_resume(Session *session, uint64_t now_usec) {
        unpause(session, now_usec);
}

void session_sealed_as(Session *session, const PacketId *id) {
        if (session->out.flight)
                flight_name(session->out.flight, id);
}

bool session_has_sent(Session *session, const PacketId *id) {
        return session_out_has_sent(&session->out, id);
}

void session_refused(Session *session, const PacketId *id) {
        session_out_refused(&session->out, id);
}

void session_unsent(Session *session, const PacketId *id) {
        session_out_unsent(&session->out, id);
}

void session_fail(Session *session, int result, uint64_t now_usec) {
        session_out_fail_sent(&session->out, result);
        session_out_fail_queued(&session->out, result);
        session->hinted_until = USEC_NEVER;
        if (session->started || session->heard)
                session_renew_ourselves(session, false, now_usec);
}

/* What else is under way was sent by now: its answers take about as long as this one did, or it is lost. */
void session_deny(Session *session, uint16_t code, uint64_t now_usec) {
        const Flight *flight = session->out.flight;
        uint64_t sent_usec = 0;

        if (flight) /* the one that was refused may not be in flight any more */
                sent_usec = flight->refused_sent_usec > 0 ? flight->refused_sent_usec
                                                          : flight->sent_usec;
        fail_or_hold(session, code,
                     MIN(3 * (now_usec - sent_usec) + USEC_PER_SEC, (uint64_t)SESSION_HINT_USEC),
                     now_usec);
}

void session_hint(Session *session, uint16_t code, uint64_t patience_usec, uint64_t now_usec) {
        Session *s = session;

        if (!s->heard && code != CODE_SETTLING) {
                /* It may have met somebody whom a cut hides now. */
                fail_or_hold(s, code, patience_usec, now_usec);
                return;
        }
        if (fail_if_refused(s, now_usec))
                return;
        note_hint(s, code, now_usec + patience_usec);
        session_probe_doubt(&s->probe, HINT_PROBE_USEC, now_usec);
        /* A first contact has nothing to ask for: it tries the whole again. */
        if (!s->heard && s->paused_until == 0) {
                s->paused_until = now_usec + s->hint_wait;
                s->hint_wait = MIN(2 * s->hint_wait, HINT_PROBE_MAX_USEC);
        }
}

void session_pause(Session *session, uint64_t until_usec, uint64_t now_usec) {
        if (fail_if_refused(session, now_usec))
                return;
        if (session->out.flight)
                flight_on_refusal(session->out.flight);
        if (session->paused_until == 0 && until_usec > now_usec)
                session->paused_until = until_usec;
}

void session_close(Session *session, uint16_t code, uint64_t now_usec) {
        (void)now_usec;
        if (session->closed)
                return;
        session->close_due = true;
        session->close_code = code;
        session->in.refused_seq = 0; /* all of them, once more: there is no later time */
        if (code == CODE_GONE)
                session_in_refuse_rest(&session->in, code);
}

/* Time */

void session_tick(Session *session, uint64_t now_usec) {
        Session *s = session;

        s->seen_usec = now_usec;
        session_out_expire(&s->out, now_usec);
        (void)fail_if_refused(s, now_usec);
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
                (void)session_in_reserve(&s->in, now_usec); /* no memory: later */
                session_arm_reserve(s, now_usec);
        }
        if (s->in.lapse_at <= now_usec)
                session_in_lapse(&s->in, now_usec);
        if (s->paused_until > 0 && s->paused_until <= now_usec)
                unpause(s, now_usec);
        if (s->hinted_until <= now_usec)
                session_fail(s, s->hint_code, now_usec);
        if (s->out.flight && flight_tick(s->out.flight, now_usec))
                session_out_repair(&s->out);
        if (s->probe.at <= now_usec)
                ask(s, now_usec);
}

uint64_t session_due(const Session *session) {
        const Session *s = session;
        uint64_t due = MIN(MIN(s->out.expire_at, s->linger_until), MIN(s->probe.at, s->reserve_at));

        due = MIN(due, MIN(s->let_in_at, s->in.lapse_at));
        if (s->out.flight)
                due = MIN(due, s->out.flight->lost_at);
        if (!s->in.ack_due && s->path != SESSION_PATH_NONE)
                due = MIN(due, s->in.ack_at);
        if (s->paused_until > 0)
                due = MIN(due, s->paused_until);
        due = MIN(due, s->hinted_until);
        return due;
}

/* Questions */

bool session_is_writable(const Session *session) {
        return session->out.waiting < SESSION_QUEUE_MAX;
}

bool session_takes_parts(const Session *session) {
        return session_out_takes_parts(&session->out);
}

bool session_is_receiving(const Session *session) {
        const Message *m = session->in.assembly;

        return m && message_kind_begins(m->kind);
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
        return session->out.memory + session->in.memory + reorder_memory(session->in.reorder) +
               (session->out.flight ? flight_memory(session->out.flight) : 0);
}

size_t session_overhead(const Session *session) {
        return session->in.skips ? sizeof(SessionSkips) : 0;
}

size_t session_waiting_bytes(const Session *session) {
        return session->out.waiting;
}

uint64_t session_waiting_since(const Session *session) {
        return session->out.waiting > 0 ? session->out.blocked_since : USEC_NEVER;
}

uint64_t session_round_trip_usec(const Session *session) {
        return session->out.flight ? session->out.flight->round_trip.smoothed_usec : 0;
}

uint64_t session_congestion_window(const Session *session) {
        return session->out.flight ? session->out.flight->congestion.window : UINT64_MAX;
}

uint64_t session_in_flight(const Session *session) {
        return session->out.flight ? session->out.flight->n_bytes : 0;
}
