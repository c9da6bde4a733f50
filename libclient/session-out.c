/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The lists, and what becomes of a message. Nothing here looks at more than the messages that an event
 * is about, except session_out_expire(), which looks at all of them at most once in EXPIRE_STEP_USEC.
 */

#include "libclient/session-out.h"

#include <assert.h>
#include <utlist.h>

#include "libclient/message-records.h"
#include "libcore/control.h"
#include "libcore/err.h"

#define EXPIRE_STEP_USEC (10 * USEC_PER_MSEC)

void session_out_init(SessionOut *out, const SessionOptions *options, SessionCounters *counters) {
        *out = (SessionOut){
                .body_max = options->body_max > 0 ? options->body_max : RECORD_BODY_MAX,
                .message_max = options->message_max,
                .counters = counters,
                .limit = SESSION_WINDOW_FIRST,
                .expire_at = USEC_NEVER,
                .blocked_since = USEC_NEVER,
        };
        assert(out->body_max >= SESSION_BODY_MIN && out->body_max <= RECORD_BODY_MAX);
}

static bool is_reply(const Message *m) {
        return !message_kind_begins(m->kind);
}

/* Something more comes after it: whoever makes it can wait. */
static bool is_part(const Message *m) {
        return m->kind == MESSAGE_PROGRESS || (is_reply(m) && (m->flags & MESSAGE_MORE));
}

void session_out_finish(SessionOut *out, Message *m, int result) {
        uint64_t *counter;

        out->memory -= message_memory(m);
        if (m->is_stand_in) {
                out->n_stand_ins--;
                message_unref(m);
                return;
        }
        if (result != RESULT_DELIVERED && (m->flags & MESSAGE_MAYBE_REPEAT))
                result = RESULT_UNKNOWN; /* an earlier session may have delivered it */
        switch (result) {
        case RESULT_DELIVERED:
                counter = &out->counters->n_delivered;
                break;
        case RESULT_UNKNOWN:
                counter = &out->counters->n_unknown;
                break;
        case RESULT_CANCELLED:
                counter = &out->counters->n_cancelled;
                break;
        case CODE_EXPIRED:
                counter = &out->counters->n_expired;
                break;
        default:
                counter = &out->counters->n_refused;
        }
        (*counter)++;
        m->result = result;
        m->place = MESSAGE_FINISHED;
        DL_APPEND(out->finished, m);
}

/* The session that it was begun in is over, and with it the answer. */
static bool may_repeat(const Message *m, bool again) {
        return again && (m->flags & MESSAGE_IDEMPOTENT) && !m->is_unretained;
}

static void queue_again(SessionOut *out, Message *m, Message **list) {
        size_t bytes = message_records_bytes(m);

        /* What is said of a copy that went before may come late, and must not be taken for the next one's:
         * n_doubtful stays. */
        m->n_records_sent = 0;
        m->place = MESSAGE_QUEUED;
        out->waiting += bytes;
        if (is_reply(m))
                out->replies += bytes;
        DL_APPEND(*list, m);
}

/* The other side may have it from the session before: whatever else comes of it is unknown. */
static void begin_again(SessionOut *out, Message *m, Message **list) {
        m->flags |= MESSAGE_MAYBE_REPEAT;
        queue_again(out, m, list);
}

void session_out_remove_queued(SessionOut *out, Message *m) {
        DL_DELETE(out->queued, m);
        if (is_reply(m))
                out->replies -= message_records_bytes(m);
}

bool session_out_is_missing(const Message *m) {
        return m->n_records_sent < m->n_records || m->n_doubtful < m->n_records;
}

void session_out_remove_sent(SessionOut *out, Message *m) {
        out->waiting -= message_records_bytes(m) -
                        message_records_before(m, out->body_max, m->n_records_sent);
        if (out->cursor == m) {
                out->cursor = m->next;
                out->cursor_at = 0;
        }
        if (out->unreceived == m)
                out->unreceived = m->next;
        if (out->named == m)
                out->named = m->next;
        if (out->passed == m)
                out->passed = m->next;
        DL_DELETE(out->sent, m);
}

int session_out_send(SessionOut *out, Message *m, uint64_t now_usec) {
        size_t bytes;

        assert(m->place == MESSAGE_NOWHERE && m->result == RESULT_PENDING);
        if (m->n_data > out->message_max ||
            m->n_extensions > out->body_max - RECORD_MESSAGE_HEAD_SIZE)
                return SESSION_E_TOO_BIG;
        if (out->waiting >= SESSION_QUEUE_MAX && !is_reply(m))
                return SESSION_E_FULL;
        if (is_part(m) && !session_out_takes_parts(out))
                return SESSION_E_FULL;

        message_ref(m);
        out->counters->n_sent++;
        out->memory += message_memory(m);
        if (m->deadline_usec <= now_usec) {
                session_out_finish(out, m, CODE_EXPIRED);
                return 0;
        }
        m->n_records = message_records_count(m, out->body_max);
        m->n_records_sent = m->n_doubtful = 0;
        bytes = message_records_bytes(m);
        out->waiting += bytes;
        if (is_reply(m))
                out->replies += bytes;
        out->expire_at = MIN(out->expire_at, m->deadline_usec);
        m->place = MESSAGE_QUEUED;
        DL_APPEND(out->queued, m);
        return 0;
}

void session_out_abandon(SessionOut *out, Message *m, int result) {
        if (m->place == MESSAGE_QUEUED) {
                session_out_remove_queued(out, m);
                out->waiting -= message_records_bytes(m);
                session_out_finish(out, m, result);
        } else if (m->place == MESSAGE_SENT) {
                session_out_remove_sent(out, m);
                m->last_seq = m->first_seq + m->n_records_sent - 1;
                m->fate = result;
                m->skip_number = out->n_skips++;
                m->skip_due = out->skips_due = true;
                m->place = MESSAGE_SKIPPING;
                DL_APPEND(out->skipping, m);
        }
}

/* What a SKIP says of @m, and its id, by which session_has_sent() knows its packets. */
static void take_place(SessionOut *out, Message *stand_in, const Message *m) {
        stand_in->is_stand_in = true;
        stand_in->place = m->place;
        stand_in->id = m->id;
        stand_in->fate = m->fate;
        stand_in->skip_due = m->skip_due;
        stand_in->skip_number = m->skip_number;
        stand_in->first_seq = m->first_seq;
        stand_in->last_seq = m->last_seq;
        stand_in->last_position = m->last_position;
        out->memory += message_memory(stand_in);
        out->n_stand_ins++;
}

int session_out_let_go(SessionOut *out, Message *m, int fate, int result) {
        Message *stand_in;
        int r;

        if (out->n_stand_ins == SESSION_STAND_INS_MAX)
                return err_origin(-ENOBUFS);
        r = message_new(&stand_in);
        if (r < 0)
                return err_trace(r);
        session_out_abandon(out, m, fate);
        take_place(out, stand_in, m);
        DL_REPLACE_ELEM(out->skipping, m, stand_in);
        session_out_finish(out, m, result);
        return 0;
}

int session_out_take_back(SessionOut *out, Message *m, int result) {
        if (m->place == MESSAGE_SENT)
                return session_out_let_go(out, m, RESULT_CANCELLED, RESULT_UNKNOWN);
        session_out_abandon(out, m, result);
        return 0;
}

/* Messages are handed out in their order: of what did not come, and of all behind it, none was. */
void session_out_fail_sent(SessionOut *out, int result) {
        bool is_behind = false;

        while (out->sent) {
                Message *m = out->sent;

                is_behind = is_behind || session_out_is_missing(m);
                session_out_remove_sent(out, m);
                session_out_finish(out, m, is_behind ? result : RESULT_UNKNOWN);
        }
        while (out->skipping) {
                Message *m = out->skipping;

                DL_DELETE(out->skipping, m);
                session_out_finish(out, m,
                                   m->was_refused || session_out_is_missing(m) ? m->fate
                                                                               : RESULT_UNKNOWN);
        }
}

void session_out_fail_queued(SessionOut *out, int result) {
        while (out->queued)
                session_out_abandon(out, out->queued, result);
}

void session_out_spare(SessionOut *out, uint64_t from, int result) {
        Message *m, *next, *queued = NULL;

        DL_FOREACH (out->skipping, m)
                if (m->first_seq >= from)
                        m->was_refused = m->was_refused || m->last_seq >= out->received;
                else if (m->fate == CODE_GONE)
                        m->was_refused = false;
        for (m = out->unreceived; m; m = next) {
                next = m->next;
                if (m->first_seq < from)
                        continue;
                session_out_remove_sent(out, m);
                if (result == RESULT_PENDING && !m->is_unretained) {
                        queue_again(out, m, &queued);
                        continue;
                }
                m->was_refused = true;
                session_out_finish(out, m, result == RESULT_PENDING ? CODE_GONE : result);
        }
        DL_CONCAT(queued, out->queued);
        out->queued = queued;
}

void session_out_renew(SessionOut *out, bool again) {
        Message *repeated = NULL, *m, *next;

        DL_FOREACH_SAFE (out->sent, m, next)
                if (may_repeat(m, again)) {
                        session_out_remove_sent(out, m);
                        begin_again(out, m, &repeated);
                }
        DL_CONCAT(repeated, out->queued);
        out->queued = repeated;
        session_out_fail_sent(out, RESULT_UNKNOWN);
        out->next_seq = out->position = 0;
        out->received = out->received_position = out->taken = 0;
        out->limit = SESSION_WINDOW_FIRST;
        ranges_clear(out->ranges);
        if (out->flight)
                flight_forget(out->flight);
        out->passed = NULL;
        out->passed_seq = 0;
        out->skips_due = false;
        out->blocked_since = USEC_NEVER;
}

Message *session_out_pop_finished(SessionOut *out) {
        Message *m = out->finished;

        if (m) {
                DL_DELETE(out->finished, m);
                m->place = MESSAGE_NOWHERE;
        }
        return m;
}

void session_out_done(SessionOut *out) {
        Message *m;

        session_out_renew(out, false);
        session_out_fail_queued(out, RESULT_UNKNOWN);
        while ((m = session_out_pop_finished(out)))
                message_unref(m);
        out->ranges = ranges_free(out->ranges);
        out->flight = flight_free(out->flight);
}

void session_out_expire(SessionOut *out, uint64_t now_usec) {
        Message *m, *tmp;

        if (out->expire_at > now_usec)
                return;
        out->expire_at = USEC_NEVER;
        DL_FOREACH_SAFE (out->sent, m, tmp) {
                if (m->deadline_usec <= now_usec)
                        session_out_abandon(out, m, CODE_EXPIRED);
                else
                        out->expire_at = MIN(out->expire_at, m->deadline_usec);
        }
        DL_FOREACH_SAFE (out->queued, m, tmp) {
                if (m->deadline_usec <= now_usec)
                        session_out_abandon(out, m, CODE_EXPIRED);
                else
                        out->expire_at = MIN(out->expire_at, m->deadline_usec);
        }
        if (out->expire_at != USEC_NEVER)
                out->expire_at = MAX(out->expire_at, now_usec + EXPIRE_STEP_USEC);
}
