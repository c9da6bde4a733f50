/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a session has to say, in the order in which it goes into a packet: START, ACK, answers to
 * SKIPs, SKIPs, CLOSE, messages. Nothing is said here that was not decided elsewhere.
 */

#include "libclient/session-state.h"

#include <utlist.h>

#include "libcore/buf.h"
#include "libcore/control.h"

static bool put(const Session *s, BufWriter *w, Record *r) {
        size_t size = record_size(r);
        uint8_t *p;

        if (r->type != RECORD_START)
                r->session = session_mark(s);
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

/*
 * As many at a time as SESSION_REFUSALS_MAX, and then those behind, until the sender gives them up; at the
 * end all of them, for as many packets as it takes. Return: whether some are left for the next.
 */
static bool put_refusals(Session *s, BufWriter *w) {
        unsigned n = 0;
        Message *m;

        DL_FOREACH (s->in.inbox, m) {
                Record refused = {
                        .type = RECORD_SKIPPED,
                        .seq = m->first_seq,
                        .skipped = { m->first_seq, m->first_seq, m->refusal },
                };

                if (m->refusal == 0 || m->first_seq < s->in.refused_seq)
                        continue;
                if ((n++ == SESSION_REFUSALS_MAX && !s->close_due) || !put(s, w, &refused))
                        return true;
                s->in.refused_seq = m->first_seq + 1;
        }
        if (!s->close_due)
                s->in.refused_seq = 0;
        return false;
}

/* Return: as put_refusals(). */
static bool put_ack(Session *s, uint64_t now_usec, BufWriter *w) {
        Record r;
        size_t n_most =
                RECORD_HEADER_SIZE + RECORD_ACK_SIZE + sizeof(RecordRange) * RECORD_ACK_RANGES_MAX;

        if (n_most > w->size - w->at)
                return true;
        session_in_acknowledge(&s->in, now_usec, &r);
        if (s->probe.is_due)
                r.flags |= RECORD_ACK_NOW;
        s->probe.is_due = false;
        (void)put(s, w, &r); /* was looked after */
        return s->in.n_refused > 0 && put_refusals(s, w);
}

static void put_answers(Session *s, BufWriter *w) {
        while (session_in_has_answers(&s->in)) {
                const SessionAnswer *a = &s->in.skips->due[s->in.skips->n_due - 1];
                Record r = {
                        .type = RECORD_SKIPPED,
                        .seq = a->first,
                        .skipped = { a->last, a->from, CODE_OK },
                };

                if (!put(s, w, &r))
                        return;
                s->in.skips->n_due--;
        }
}

static void put_skips(Session *s, BufWriter *w) {
        Record r;

        while (w->size - w->at >= RECORD_HEADER_SIZE + RECORD_SKIP_SIZE &&
               session_out_next_skip(&s->out, &r) == 0) {
                (void)put(s, w, &r); /* was looked after */
                if (s->out.flight)
                        flight_give_up(s->out.flight, r.seq, r.skip.last);
        }
}

static void put_close(Session *s, BufWriter *w) {
        Record r = { .type = RECORD_CLOSE, .code = s->close_code };

        if (put(s, w, &r)) {
                s->closed = true;
                s->close_due = false;
        }
}

/* Messages, as many as fit; their id if they are one. Return: whether the one that asks is still to go. */
static bool put_messages(Session *s, bool single, uint64_t now_usec, BufWriter *w, PacketId *ret_id,
                         uint64_t *ret_deadline_usec) {
        const Message *only = NULL;
        bool several = false, done = false;
        Message *m;
        Record r;

        if (s->probe.with_one && session_out_missing(&s->out, SIZE_MAX, now_usec, &r, &m) == 0) {
                if (r.size > w->size - w->at)
                        return true; /* SKIPs had the room: in the next packet */
                (void)put(s, w, &r); /* was looked after */
                session_out_sent_again(&s->out, m, &r);
                only = m;
                done = single;
        }

        while (!done && session_out_may_have_next(&s->out) &&
               session_out_next(&s->out, w->size - w->at, now_usec, &r, &m) == 0) {
                (void)put(s, w, &r); /* was looked after */
                session_out_advance(&s->out);
                several = several || (only && only != m);
                only = m;
                done = single;
        }
        *ret_id = only && !several ? only->id : (PacketId){ { 0 } };
        *ret_deadline_usec = only && !several ? only->deadline_usec : USEC_NEVER;
        return false;
}

static bool has_message(Session *s, uint64_t now_usec) {
        Message *m;
        Record r;

        if (!session_may_send(s))
                return false;
        return (s->probe.with_one &&
                session_out_missing(&s->out, SIZE_MAX, now_usec, &r, &m) == 0) ||
               session_out_has_next(&s->out, now_usec);
}

bool session_may_produce(const Session *session) {
        const Session *s = session;

        return s->in.ack_due || session_out_may_have_next(&s->out) || s->probe.is_due ||
               s->probe.with_one || s->close_due || session_in_has_answers(&s->in) ||
               session_out_has_skips(&s->out);
}

int session_produce(Session *session, bool single, uint64_t now_usec, uint8_t *out, size_t n_out,
                    size_t *ret_n, PacketId *ret_id, uint64_t *ret_deadline_usec) {
        Session *s = session;
        BufWriter w = buf_writer(out, n_out);
        bool messages, asks_later = false, are_left = false;

        if (s->path == SESSION_PATH_NONE || s->closed)
                return SESSION_E_IDLE;
        if (s->close_due && !s->started && !s->heard) { /* nobody knows of us */
                s->closed = true;
                return SESSION_E_IDLE;
        }
        messages = has_message(s, now_usec);
        if (!messages && !s->in.ack_due && !s->probe.is_due && !session_in_has_answers(&s->in) &&
            !session_out_has_skips(&s->out) && !s->close_due)
                return SESSION_E_IDLE;

        session_out_begin_packet(&s->out, now_usec);
        if (!s->known)
                put_start(s, &w);
        if (session_in_is_dirty(&s->in) || s->probe.is_due || s->close_due)
                are_left = put_ack(s, now_usec, &w);
        put_answers(s, &w); /* behind `taken`, by which a refusal is told from an answer */
        put_skips(s, &w);
        if (s->close_due && !are_left)
                put_close(s, &w);
        *ret_id = (PacketId){ { 0 } };
        *ret_deadline_usec = USEC_NEVER;
        if (messages) {
                bool is_first = s->out.flight && flight_is_empty(s->out.flight);

                asks_later = put_messages(s, single, now_usec, &w, ret_id, ret_deadline_usec);
                if (is_first && s->probe.for_life) /* which is another question */
                        session_probe_calm(&s->probe, false);
        }

        s->probe.with_one = asks_later; /* else now or never: it belongs to the question */

        /* All that is due may be what has just been found to be nothing. */
        if (w.at == 0)
                return SESSION_E_IDLE;
        if (messages)
                s->idle_since = now_usec;
        session_arm_probe(s, now_usec);
        *ret_n = w.at;
        return 0;
}
