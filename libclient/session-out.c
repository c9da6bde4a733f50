/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How a message is cut into records follows from its size and @body_max alone, so that any record
 * can be produced again at any time from its number in the message. Nothing here looks at more
 * than the messages that an event is about, except session_out_expire(), which looks at all of
 * them at most once in EXPIRE_STEP_USEC.
 */

#include "libclient/session-out.h"

#include <assert.h>
#include <utlist.h>

#include "libclient/session-in.h"
#include "libcore/control.h"

#define EXPIRE_STEP_USEC (10 * USEC_PER_MSEC)
#define LIMIT_MAX (UINT64_C(1) << 62) /* no honest peer grants that much */

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

/* Records of a message */

/* Bytes of payload in its first record. */
static size_t first_part(const SessionOut *out, const Message *m) {
        return MIN(m->n_data, (size_t)out->body_max - RECORD_MESSAGE_HEAD_SIZE - m->n_extensions);
}

static uint64_t count_records(const SessionOut *out, const Message *m) {
        return 1 + (m->n_data - first_part(out, m) + out->body_max - 1) / out->body_max;
}

/* Bytes of its records before number @k. */
static size_t bytes_before(const SessionOut *out, const Message *m, uint64_t k) {
        if (k == 0)
                return 0;
        if (k >= m->n_records) /* which takes no look at how it is cut */
                return (size_t)m->n_records * RECORD_HEADER_SIZE + RECORD_MESSAGE_HEAD_SIZE +
                       m->n_extensions + m->n_data;
        return (size_t)k * RECORD_HEADER_SIZE + RECORD_MESSAGE_HEAD_SIZE + m->n_extensions +
               first_part(out, m) + (size_t)(k - 1) * out->body_max;
}

static size_t bytes_of(const SessionOut *out, const Message *m, uint64_t k) {
        if (m->n_records == 1) /* nearly all of them */
                return RECORD_HEADER_SIZE + RECORD_MESSAGE_HEAD_SIZE + m->n_extensions + m->n_data;
        return bytes_before(out, m, k + 1) - bytes_before(out, m, k);
}

static uint32_t lifetime(const Message *m, uint64_t now_usec) {
        uint64_t msec;

        if (m->deadline_usec == USEC_NEVER)
                return 0;
        msec = m->deadline_usec > now_usec ? (m->deadline_usec - now_usec) / USEC_PER_MSEC : 0;
        return (uint32_t)MIN(MAX(msec, UINT64_C(1)), (uint64_t)UINT32_MAX);
}

static void fill_record(const SessionOut *out, const Message *m, uint64_t k, uint64_t now_usec,
                        Record *ret) {
        size_t first = first_part(out, m);

        ret->flags = m->ack_now && k + 1 == m->n_records ? RECORD_ACK_NOW : 0;
        ret->seq = m->first_seq + k;
        ret->size = bytes_of(out, m, k);
        if (k == 0) {
                ret->type = RECORD_MSG;
                ret->message = (RecordMessage){
                        .kind = m->kind,
                        .flags = m->flags,
                        .lifetime_msec = lifetime(m, now_usec),
                        .id = m->id,
                        .reply_to = m->reply_to,
                        .total = m->n_data,
                        .extensions = m->extensions,
                        .n_extensions = m->n_extensions,
                        .data = m->data,
                        .n_data = first,
                };
                return;
        }
        ret->type = RECORD_PART;
        ret->part.data = m->data + first + (size_t)(k - 1) * out->body_max;
        ret->part.n_data = ret->size - RECORD_HEADER_SIZE;
}

static bool is_reply(const Message *m) {
        return !message_kind_begins(m->kind);
}

/* Something more comes after it: whoever makes it can wait. */
static bool is_part(const Message *m) {
        return m->kind == MESSAGE_PROGRESS || (is_reply(m) && (m->flags & MESSAGE_MORE));
}

/* From list to list */

static void finish(SessionOut *out, Message *m, int result) {
        uint64_t *counter;

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
        out->memory -= message_memory(m);
        DL_APPEND(out->finished, m);
}

/* The session that it was begun in is over, and with it the answer. */
static bool may_repeat(const Message *m, bool again) {
        return again && (m->flags & MESSAGE_IDEMPOTENT) && !m->is_unretained;
}

static void queue_again(SessionOut *out, Message *m, Message **list) {
        size_t bytes = bytes_before(out, m, m->n_records);

        m->n_records_sent = m->n_doubtful = 0;
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

static void remove_from_queued(SessionOut *out, Message *m) {
        DL_DELETE(out->queued, m);
        if (is_reply(m))
                out->replies -= bytes_before(out, m, m->n_records);
}

/* Some record of it was never produced, or in no packet but what was refused. */
static bool is_missing(const Message *m) {
        return m->n_doubtful < m->n_records;
}

/* What of it was not produced never will be. */
static void remove_from_sent(SessionOut *out, Message *m) {
        out->waiting -=
                bytes_before(out, m, m->n_records) - bytes_before(out, m, m->n_records_sent);
        if (out->cursor == m) {
                out->cursor = m->next;
                out->cursor_at = 0;
        }
        if (out->unreceived == m)
                out->unreceived = m->next;
        if (out->named == m)
                out->named = m->next;
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
                finish(out, m, CODE_EXPIRED);
                return 0;
        }
        m->n_records = count_records(out, m);
        m->n_records_sent = m->n_doubtful = 0;
        bytes = bytes_before(out, m, m->n_records);
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
                remove_from_queued(out, m);
                out->waiting -= bytes_before(out, m, m->n_records);
                finish(out, m, result);
        } else if (m->place == MESSAGE_SENT) {
                remove_from_sent(out, m);
                m->last_seq = m->first_seq + m->n_records_sent - 1;
                m->fate = result;
                m->skip_number = out->n_skips++;
                m->skip_due = out->skips_due = true;
                m->place = MESSAGE_SKIPPING;
                DL_APPEND(out->skipping, m);
        }
}

/* Messages are handed out in their order: of what did not come, and of all behind it, none was. */
void session_out_fail_sent(SessionOut *out, int result) {
        bool is_behind = false;

        while (out->sent) {
                Message *m = out->sent;

                is_behind = is_behind || is_missing(m);
                remove_from_sent(out, m);
                finish(out, m, is_behind ? result : RESULT_UNKNOWN);
        }
        while (out->skipping) {
                Message *m = out->skipping;

                DL_DELETE(out->skipping, m);
                finish(out, m, m->was_refused || is_missing(m) ? m->fate : RESULT_UNKNOWN);
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
                remove_from_sent(out, m);
                if (result == RESULT_PENDING && !m->is_unretained) {
                        queue_again(out, m, &queued);
                        continue;
                }
                m->was_refused = true;
                finish(out, m, result == RESULT_PENDING ? CODE_GONE : result);
        }
        DL_CONCAT(queued, out->queued);
        out->queued = queued;
}

void session_out_renew(SessionOut *out, bool again) {
        Message *repeated = NULL, *m, *next;

        DL_FOREACH_SAFE (out->sent, m, next)
                if (may_repeat(m, again)) {
                        remove_from_sent(out, m);
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

/* Producing */

void session_out_repair(SessionOut *out) {
        out->cursor = out->unreceived;
        out->cursor_at = 0;
}

void session_out_go_back(SessionOut *out) {
        if (out->flight)
                flight_forget(out->flight);
        session_out_repair(out);
}

static bool peer_has(const SessionOut *out, uint64_t seq) {
        return seq < out->received || ranges_have(out->ranges, seq);
}

/* What was refused */

/* From where the last was found: they are refused in the order in which they went. */
static Message *find_id(SessionOut *out, const PacketId *id) {
        Message *first = out->named ? out->named : out->sent, *m;

        for (m = first; m; m = m->next)
                if (memcmp(&m->id, id, sizeof(*id)) == 0)
                        return out->named = m;
        for (m = out->sent; m != first; m = m->next)
                if (memcmp(&m->id, id, sizeof(*id)) == 0)
                        return out->named = m;
        DL_FOREACH (out->skipping, m)
                if (memcmp(&m->id, id, sizeof(*id)) == 0)
                        return m;
        return NULL;
}

bool session_out_has_sent(SessionOut *out, const PacketId *id) {
        return out->flight ? flight_has_packet(out->flight, id) : find_id(out, id) != NULL;
}

/* Of how many of @m's records from @first to @last one more copy did not come. */
static void note_refusal(Message *m, uint64_t first, uint64_t last) {
        if (m->first_seq <= last && m->last_seq >= first)
                m->n_doubtful -=
                        MIN(m->n_doubtful, MIN(m->last_seq, last) + 1 - MAX(m->first_seq, first));
}

void session_out_refused(SessionOut *out, const PacketId *id) {
        uint64_t first, last;
        Message *m;

        if (!out->flight || !flight_has_packet(out->flight, id)) {
                m = find_id(out, id); /* on a local path a packet has one record */
                if (m && m->n_doubtful > 0)
                        m->n_doubtful--;
                return;
        }
        while (flight_take_packet(out->flight, id, &first, &last)) {
                for (m = out->unreceived; m && m->first_seq <= last; m = m->next)
                        note_refusal(m, first, last);
                DL_FOREACH (out->skipping, m)
                        note_refusal(m, first, last);
        }
}

bool session_out_may_meet(const SessionOut *out) {
        return out->unreceived && !is_missing(out->unreceived);
}

void session_out_sent_again(SessionOut *out, Message *m, const Record *record) {
        m->n_doubtful++;
        out->counters->n_resent++;
        if (out->flight)
                flight_add(out->flight, record->seq, record->size, true);
}

void session_out_lose(SessionOut *out, uint64_t end, int result) {
        Message *m, *next;

        for (m = out->unreceived; m && m->first_seq < end; m = next) {
                next = m->next;
                if (m->is_unretained && !peer_has(out, m->first_seq))
                        session_out_abandon(out, m, result);
        }
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
                if (!peer_has(out, last) && !(out->flight && flight_has(out->flight, last, &last)))
                        return;
                out->cursor_at = MIN(last + 1 - m->first_seq, m->n_records_sent);
        }
}

/* Moves the cursor to a record that the peer may lack. Return: false at the end of @sent. */
static bool find_record(SessionOut *out) {
        while (out->cursor) {
                Message *m = out->cursor;

                if (out->cursor_at < m->n_records_sent)
                        pass_over(out);
                if (out->cursor_at < m->n_records && !m->is_unretained)
                        return true;
                out->cursor = m->next;
                out->cursor_at = 0;
        }
        return false;
}

static void begin_message(SessionOut *out) {
        Message *m = out->queued;

        remove_from_queued(out, m);
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
        size = bytes_of(out, m, out->cursor ? out->cursor_at : 0);
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
        fill_record(out, m, out->cursor ? out->cursor_at : 0, now_usec, ret);
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
        if (k >= m->n_records_sent || bytes_of(out, m, k) > n_max || m->is_unretained)
                return SESSION_E_IDLE;
        fill_record(out, m, k, now_usec, ret);
        *ret_message = m;
        return 0;
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
        size = bytes_of(out, m, out->cursor_at);
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
        out->cursor_at++;
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

/* What the peer says */

/* A SKIP that came before what lies in front of it was passed over: now it fits. */
static void repeat_reached_skips(SessionOut *out, uint64_t before) {
        Message *m;

        DL_FOREACH (out->skipping, m) {
                if (m->skip_number >= out->skipping->skip_number + SESSION_SKIPS_MAX)
                        break;
                if (m->first_seq >= before && m->first_seq <= out->received)
                        m->skip_due = out->skips_due = true;
        }
}

static void note_received(SessionOut *out, uint64_t received) {
        uint64_t before = out->received;

        out->received = received;
        while (out->unreceived && out->unreceived->last_seq < received) {
                out->received_position = out->unreceived->last_position;
                out->unreceived = out->unreceived->next;
        }
        if (received == out->next_seq)
                out->received_position = out->position;
        else if (out->unreceived && out->unreceived->first_seq <= received)
                out->received_position =
                        out->unreceived->first_position +
                        bytes_before(out, out->unreceived, received - out->unreceived->first_seq);
        if (out->skipping)
                repeat_reached_skips(out, before);
}

static void note_taken(SessionOut *out, uint64_t taken) {
        out->taken = taken;
        while (out->sent && out->sent->last_seq < taken) {
                Message *m = out->sent;

                remove_from_sent(out, m);
                finish(out, m, RESULT_DELIVERED);
        }
}

int session_out_ack(SessionOut *out, const Record *r, bool strict, uint64_t now_usec,
                    bool *ret_progress) {
        uint64_t received = r->ack.received, taken = r->ack.taken, limit = r->ack.limit;
        bool older = received < out->received || taken < out->taken || limit < out->limit;
        bool newer = received > out->received || taken > out->taken || limit > out->limit;
        bool arrived = false;

        *ret_progress = false;
        if (received > out->next_seq || taken > received || limit > LIMIT_MAX ||
            (older && (newer || strict)) ||
            (r->ack.n_ranges > 0 && r->ack.ranges[r->ack.n_ranges - 1].last >= out->next_seq))
                return SESSION_E_VIOLATION;
        if (older)
                return 0; /* overtaken by a later one */

        if (received != out->received)
                note_received(out, received);
        if (taken != out->taken)
                note_taken(out, taken);
        out->limit = limit;
        /* A ring keeps the order, and another path had ended it: what is missing in front of a later
         * record was read, and found no memory. It does not come again. */
        if (out->ranges || r->ack.n_ranges > 0) {
                ranges_note(&out->ranges, r);
                session_out_lose(out, ranges_last(out->ranges), RESULT_UNKNOWN);
        }
        if (out->flight && flight_on_ack(out->flight, r, now_usec, &arrived))
                session_out_repair(out);
        *ret_progress = newer || arrived;
        return 0;
}

int session_out_skipped(SessionOut *out, const Record *r) {
        Message *m;

        if (r->skipped.last >= out->next_seq)
                return SESSION_E_VIOLATION;

        DL_FOREACH (out->skipping, m) {
                if (m->skip_number >= out->skipping->skip_number + SESSION_SKIPS_MAX)
                        break;
                if (m->first_seq != r->seq)
                        continue;
                if (m->last_seq != r->skipped.last || r->skipped.reason != 0)
                        return 0; /* a refusal that our SKIP has met, or is yet to meet */
                DL_DELETE(out->skipping, m);
                out->skips_due = true; /* those behind may go now */
                finish(out, m, r->skipped.from > m->last_seq ? RESULT_DELIVERED : m->fate);
                return 0;
        }

        /* A refusal: `taken` cannot pass it, and it is said again until we have given it up. */
        if (r->skipped.reason == 0 || r->seq >= out->received)
                return 0;
        DL_FOREACH (out->sent, m) {
                if (m->first_seq > r->seq)
                        break;
                if (m->first_seq != r->seq)
                        continue;
                session_out_abandon(out, m, r->skipped.reason);
                m->was_refused = true;
                break;
        }
        return 0;
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
