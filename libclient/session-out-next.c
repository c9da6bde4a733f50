/* SPDX-License-Identifier: Apache-2.0 */

/* What comes out: new records at the end of what was sent, again what the peer may lack, and SKIPs. */

#include "libclient/session-out.h"

#include <assert.h>
#include <utlist.h>

#include "libclient/message-records.h"
#include "libclient/session-in.h"
#include "libcore/control.h"

void session_out_repair(SessionOut *out) {
        out->cursor = out->unreceived;
        out->cursor_at = 0;
}

void session_out_go_back(SessionOut *out) {
        if (out->flight)
                flight_forget(out->flight);
        session_out_repair(out);
}

/* Past those of the cursor's message that are not to be sent again now. Seldom, hence kept apart. */
static __attribute__((noinline)) void pass_over(SessionOut *out) {
        const Message *m = out->cursor;
        uint64_t last;

        /* In one step, as far as it is simple: a message may have very many. */
        if (out->received > m->first_seq + out->cursor_at)
                out->cursor_at = MIN(out->received - m->first_seq, m->n_records_sent);
        while (out->cursor_at < m->n_records_sent) {
                last = m->first_seq + out->cursor_at;
                if (!session_out_peer_has(out, last) &&
                    !(out->flight && flight_has(out->flight, last, &last)))
                        return;
                out->cursor_at = MIN(last + 1 - m->first_seq, m->n_records_sent);
        }
}

static void pass_message(SessionOut *out) {
        out->cursor = out->cursor->next;
        out->cursor_at = 0;
}

/* Moves the cursor to a record that the peer may lack. Return: false at the end of @sent. */
static bool find_record(SessionOut *out) {
        while (out->cursor) {
                Message *m = out->cursor;

                if (out->cursor_at < m->n_records_sent)
                        pass_over(out);
                if (out->cursor_at < m->n_records && !m->is_unretained)
                        return true;
                pass_message(out);
        }
        return false;
}

static void begin_message(SessionOut *out) {
        Message *m = out->queued;

        session_out_remove_queued(out, m);
        m->first_seq = out->next_seq;
        m->last_seq = m->first_seq + m->n_records - 1;
        m->first_position = m->last_position = out->position;
        m->place = MESSAGE_SENT;
        DL_APPEND(out->sent, m);
        out->cursor = m;
        out->cursor_at = 0;
        if (!out->unreceived)
                out->unreceived = m;
}

static void note_blocked(SessionOut *out, uint64_t now_usec) {
        if (out->blocked_since == USEC_NEVER)
                out->blocked_since = now_usec;
}

/*
 * The message whose record comes next, if it takes no more than @n_max bytes and credit and flight
 * allow it; or NULL.
 */
static Message *find_next(SessionOut *out, size_t n_max, uint64_t now_usec) {
        Message *m;
        size_t size;
        bool is_new;

        while (!find_record(out) && out->queued && out->queued->deadline_usec <= now_usec)
                session_out_abandon(out, out->queued, CODE_EXPIRED);

        m = out->cursor ? out->cursor : out->queued;
        if (!m)
                return NULL;
        is_new = !out->cursor || out->cursor_at == m->n_records_sent;
        size = message_records_size(m, out->body_max, out->cursor ? out->cursor_at : 0);
        if (is_new && out->position + size > out->limit) {
                note_blocked(out, now_usec);
                return NULL;
        }
        if (is_new && out->position + size > out->received_position + SESSION_FLIGHT_MAX)
                return NULL;
        if (out->flight && !flight_allows(out->flight, size)) {
                if (is_new)
                        note_blocked(out, now_usec);
                return NULL;
        }
        return size <= n_max ? m : NULL;
}

bool session_out_has_next(SessionOut *out, uint64_t now_usec) {
        return find_next(out, SIZE_MAX, now_usec);
}

int session_out_next(SessionOut *out, size_t n_max, uint64_t now_usec, Record *ret,
                     Message **ret_message) {
        Message *m = find_next(out, n_max, now_usec);

        if (!m)
                return SESSION_E_IDLE;
        if (!out->cursor)
                m->first_seq = out->next_seq; /* if it is begun now */
        message_records_fill(m, out->body_max, out->cursor ? out->cursor_at : 0, now_usec, ret);
        *ret_message = m;
        return 0;
}

int session_out_missing(SessionOut *out, size_t n_max, uint64_t now_usec, Record *ret,
                        Message **ret_message) {
        Message *m = out->unreceived;
        uint64_t k;

        if (!m)
                return SESSION_E_IDLE;
        k = out->received > m->first_seq ? out->received - m->first_seq : 0;
        if (k >= m->n_records_sent || message_records_size(m, out->body_max, k) > n_max ||
            m->is_unretained)
                return SESSION_E_IDLE;
        message_records_fill(m, out->body_max, k, now_usec, ret);
        *ret_message = m;
        return 0;
}

void session_out_sent_again(SessionOut *out, Message *m, const Record *record) {
        m->n_doubtful++;
        out->counters->n_resent++;
        if (out->flight)
                flight_add(out->flight, record->seq, record->size, true);
}

void session_out_advance(SessionOut *out) {
        Message *m;
        uint64_t seq;
        size_t size;
        bool again;

        if (!out->cursor)
                begin_message(out);
        m = out->cursor;
        seq = m->first_seq + out->cursor_at;
        size = message_records_size(m, out->body_max, out->cursor_at);
        again = out->cursor_at < m->n_records_sent;
        m->n_doubtful++;
        if (again)
                out->counters->n_resent++;
        else {
                m->n_records_sent++;
                m->last_position += size;
                out->next_seq++;
                out->position += size;
                out->waiting -= size;
                out->blocked_since = USEC_NEVER;
        }
        if (out->flight)
                flight_add(out->flight, seq, size, again);
        if (++out->cursor_at == m->n_records)
                pass_message(out);
}

bool session_out_may_commit(SessionOut *out, size_t n_record) {
        return !find_record(out) && !out->queued &&
               n_record <= RECORD_HEADER_SIZE + (size_t)out->body_max &&
               out->position + n_record <= out->limit &&
               out->position + n_record <= out->received_position + SESSION_FLIGHT_MAX;
}

int session_out_commit(SessionOut *out, Message *m, uint64_t now_usec, Record *ret) {
        Message *next;
        int c;

        c = session_out_send(out, m, now_usec);
        if (c != 0 || m->place != MESSAGE_QUEUED)
                return c != 0 ? c : SESSION_E_IDLE;
        c = session_out_next(out, SIZE_MAX, now_usec, ret, &next);
        assert(c == 0 && next == m && m->n_records == 1);
        session_out_advance(out);
        m->is_unretained = true;
        m->data = NULL;
        return 0;
}

/* What may be lost in a ring is not taken back from whoever has it: that it came is good news. */
static uint16_t skip_reason(const Message *m) {
        if (m->fate == RESULT_UNKNOWN)
                return CODE_GONE;
        return m->fate < _CODE_MAX ? (uint16_t)m->fate : CODE_OK;
}

int session_out_next_skip(SessionOut *out, Record *ret) {
        Message *m;

        if (!out->skips_due)
                return SESSION_E_IDLE;
        DL_FOREACH (out->skipping, m) {
                if (m->skip_number >= out->skipping->skip_number + SESSION_SKIPS_MAX)
                        break;
                if (!m->skip_due)
                        continue;
                m->skip_due = false;
                ret->type = RECORD_SKIP;
                ret->flags = 0;
                ret->seq = m->first_seq;
                ret->skip.last = m->last_seq;
                ret->skip.end = m->last_position;
                ret->skip.reason = skip_reason(m);
                return 0;
        }
        out->skips_due = false;
        return SESSION_E_IDLE;
}

void session_out_repeat_skips(SessionOut *out) {
        Message *m;

        DL_FOREACH (out->skipping, m) {
                if (m->skip_number >= out->skipping->skip_number + SESSION_SKIPS_MAX)
                        break;
                m->skip_due = out->skips_due = true;
        }
}
