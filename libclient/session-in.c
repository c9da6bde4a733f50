/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Credit is counted in byte positions: every MSG and PART moves the position by its header and
 * body, and so does a SKIP for records that never came, which is why it says where they ended.
 * What the peer may make us hold follows from one comparison, position against granted: records
 * behind a gap lie below granted as well, so their number and bytes are bounded by it before any
 * of them is stored.
 *
 * Everything in a record is the peer's word. What no honest peer says is SESSION_E_VIOLATION, and
 * is found before anything is changed.
 */

#include "libclient/session-in.h"

#include <assert.h>
#include <utlist.h>

#include "libclient/loan.h"
#include "libcore/control.h"
#include "libcore/err.h"

#define PACKETS_UNSAID 2   /* off-host: so many are acknowledged at once, */
#define BYTES_UNSAID 32768 /* or, if they are large, so many bytes */

#define LAPSE_USEC (10 * USEC_PER_SEC) /* what has reserved is to send so much in this time */
#define LAPSE_BYTES SESSION_WINDOW_FIRST

void session_in_init(SessionIn *in, const SessionOptions *options, SessionCounters *counters) {
        *in = (SessionIn){
                .sent_usec = USEC_NEVER,
                .ends_usec = USEC_NEVER,
                .message_max = options->message_max,
                .quota = options->quota,
                .counters = counters,
                .granted = SESSION_WINDOW_FIRST,
                .ack_at = USEC_NEVER,
                .lapse_at = USEC_NEVER,
        };
        memcpy(in->peer_key, options->peer_key, sizeof(in->peer_key));
}

/* Where the sender's account of what was taken stands: sequence number and position. */
static void taken_so_far(const SessionIn *in, uint64_t *ret_seq, uint64_t *ret_position) {
        const Message *oldest = in->inbox ? in->inbox : in->assembly;

        *ret_seq = oldest ? oldest->first_seq : in->next_seq;
        *ret_position = oldest ? oldest->first_position : in->position;
}

static uint64_t limit_now(const SessionIn *in) {
        uint64_t taken, position, limit;

        taken_so_far(in, &taken, &position);
        limit = position + SESSION_WINDOW;
        if (in->assembly && in->assembly->reserved > 0)
                limit = MAX(limit, in->assembly->first_position + in->assembly->reserved);
        return MAX(limit, in->granted);
}

static void unacknowledged(SessionIn *in, uint64_t now_usec) {
        if (in->ack_at == USEC_NEVER)
                in->ack_at = now_usec + SESSION_ACK_DELAY_USEC;
        if (in->position - in->told_position >= SESSION_WINDOW ||
            limit_now(in) - in->granted >= SESSION_WINDOW / 2)
                in->ack_due = true;
}

bool session_in_is_dirty(const SessionIn *in) {
        return in->ack_due || in->ack_at != USEC_NEVER;
}

bool session_in_is_idle(const SessionIn *in) {
        const Message *m;

        /* What was refused waits for its sender only, who may be gone for good. */
        DL_FOREACH (in->inbox, m)
                if (m->refusal == 0 && !m->taken)
                        return false;
        return !in->left_over;
}

void session_in_flush(SessionIn *in) {
        uint64_t taken, position;

        taken_so_far(in, &taken, &position);
        if (taken != in->told_taken)
                in->ack_due = true;
}

void session_in_acknowledge(SessionIn *in, uint64_t now_usec, Record *ret) {
        uint64_t position;

        taken_so_far(in, &in->told_taken, &position);
        in->granted = limit_now(in);
        in->told_received = in->next_seq;
        in->told_position = in->position;
        in->ack_due = false;
        in->ack_at = USEC_NEVER;
        in->n_unsaid = 0;

        ret->type = RECORD_ACK;
        ret->flags = 0;
        ret->seq = 0;
        ret->ack.received = in->told_received;
        ret->ack.taken = in->told_taken;
        ret->ack.limit = in->granted;
        ret->ack.n_marked = 0;
        ret->ack.delay_usec = 0;
        if (in->is_off_host) {
                ret->ack.n_marked = in->n_marked;
                ret->ack.delay_usec = (uint32_t)MIN(now_usec - in->came_usec, (uint64_t)UINT32_MAX);
        }
        ret->ack.n_ranges = (uint16_t)reorder_ranges(in->reorder, ret->ack.ranges);
}

/* Large messages */

/*
 * Most bytes that the records of a message may take: its sender may cut it into bodies of
 * SESSION_BODY_MIN. @total is not over message_max.
 */
static size_t bytes_of_records(const RecordMessage *m) {
        return (size_t)m->total + m->n_extensions + RECORD_MESSAGE_HEAD_SIZE +
               RECORD_HEADER_SIZE * ((size_t)m->total / SESSION_BODY_MIN + 2);
}

static void get_in_line(SessionIn *in) {
        if (!in->is_in_line)
                DL_APPEND(in->quota->waiting, in);
        in->is_in_line = true;
}

static void leave_line(SessionIn *in) {
        if (in->is_in_line)
                DL_DELETE(in->quota->waiting, in);
        in->is_in_line = false;
        in->need = 0;
}

static bool has_lapsed(const SessionIn *in) {
        return in->need > 0 && in->assembly->reserved > 0;
}

int session_in_reserve(SessionIn *in, uint64_t now_usec) {
        uint8_t *data;

        if (in->need == 0 || in->quota->waiting != in || in->need > in->quota->left)
                return 0;

        data = realloc(in->assembly->data, in->total);
        if (!data)
                return err_origin(-ENOMEM);
        in->assembly->data = data;
        in->memory += in->total - in->assembly->n_data;
        in->assembly->n_data = in->total;

        in->assembly->reserved += in->need;
        in->quota->left -= in->need;
        leave_line(in);
        in->lapse_at = now_usec + LAPSE_USEC;
        in->lapse_mark = in->assembled;
        in->ack_due = true;
        return 0;
}

void session_in_lapse(SessionIn *in, uint64_t now_usec) {
        Message *m = in->assembly;
        bool is_slow = in->assembled - in->lapse_mark < LAPSE_BYTES;
        size_t kept;
        uint8_t *data;

        in->lapse_at = now_usec + LAPSE_USEC;
        in->lapse_mark = in->assembled;
        if (!is_slow || !in->quota->waiting)
                return;
        kept = (size_t)(in->position - m->first_position) + reorder_bytes(in->reorder);
        if (kept >= m->reserved)
                return; /* all of it has come, behind a gap */
        data = realloc(m->data, in->assembled);
        if (!data)
                return;
        m->data = data;
        in->memory -= m->n_data - in->assembled;
        m->n_data = in->assembled;

        in->need = m->reserved - kept;
        in->quota->left += in->need;
        m->reserved = kept;
        in->lapse_at = USEC_NEVER;
}

static void give_back(SessionIn *in, Message *message) {
        in->quota->left += message->reserved;
        message->reserved = 0;
}

static void drop_assembly(SessionIn *in) {
        if (!in->assembly)
                return;
        leave_line(in);
        in->lapse_at = USEC_NEVER;
        give_back(in, in->assembly);
        in->memory -= message_memory(in->assembly);
        in->assembly = message_unref(in->assembly);
}

/* Messages */

static void put_in_inbox(SessionIn *in, Message *message) {
        message->place = MESSAGE_INBOX;
        DL_APPEND(in->inbox, message);
        if (!in->ready)
                in->ready = message;
}

static void remove_from_inbox(SessionIn *in, Message *message) {
        if (in->ready == message)
                in->ready = message->next;
        DL_DELETE(in->inbox, message);
        message->place = MESSAGE_NOWHERE;
        in->memory -= message_memory(message);
        in->n_refused -= message->refusal != 0;
        give_back(in, message);
        message_unref(message);
}

/* What the application was done with before, and stood behind what has just gone. */
static void remove_taken(SessionIn *in) {
        while (in->inbox && in->inbox->taken)
                remove_from_inbox(in, in->inbox);
}

static int refuse_message(SessionIn *in, const Record *r, uint16_t refusal) {
        Message *m;
        int c;

        c = message_new(&m);
        if (c < 0)
                return err_trace(c);
        m->refusal = refusal;
        m->first_seq = m->last_seq = r->seq;
        m->first_position = in->position;
        m->last_position = in->position + r->size;
        in->memory += message_memory(m);
        put_in_inbox(in, m);
        in->n_refused++;
        in->discarding = m;
        in->ack_due = true;
        return 0;
}

static void message_is_whole(SessionIn *in, Message *message) {
        in->counters->n_received++;
        put_in_inbox(in, message);
}

static int begin_message(SessionIn *in, const Record *r, uint16_t refusal, uint64_t came_usec) {
        const RecordMessage *head = &r->message;
        Loan *loan = in->loan;
        size_t n_block, need;
        Message *m;
        bool is_lent;
        int c;

        in->loan = NULL; /* what was kept behind a gap has its own memory */

        if (refusal == 0 && head->total > in->message_max)
                refusal = CODE_TOO_BIG;
        if (refusal != 0)
                return refuse_message(in, r, refusal);
        need = bytes_of_records(head);
        if (need <= SESSION_WINDOW)
                need = 0;
        else if (need > in->quota->size) /* would wait for ever */
                return refuse_message(in, r, CODE_TOO_BIG);

        /* A large one may send a window before it has its room, and grows when it gets that. */
        is_lent = loan && head->n_data == head->total && head->n_data > 0 &&
                  message_kind_begins(head->kind);
        n_block = need == 0 && !is_lent ? (size_t)head->total : 0;
        c = message_new_with_size(&m, n_block, head->n_extensions);
        if (c < 0)
                return err_trace(c);
        if (is_lent) {
                m->data = (uint8_t *)head->data;
                m->n_data = head->n_data;
                m->is_shared = true;
                m->loan = loan_ref(loan);
        } else if (need > 0) {
                m->n_data = MIN((size_t)head->total, (size_t)SESSION_WINDOW);
                m->data = malloc(m->n_data);
                if (!m->data) {
                        message_unref(m);
                        return err_origin(-ENOMEM);
                }
        }

        m->kind = head->kind;
        m->flags = head->flags;
        m->id = head->id;
        m->reply_to = head->reply_to;
        m->lifetime_msec = head->lifetime_msec;
        if (head->lifetime_msec > 0) {
                m->deadline_usec = MIN(came_usec, in->sent_usec);
                m->deadline_usec += head->lifetime_msec * USEC_PER_MSEC;
                m->deadline_usec = MIN(m->deadline_usec, in->ends_usec);
        }
        in->ends_usec = USEC_NEVER;
        if (head->n_extensions > 0)
                memcpy(m->extensions, head->extensions, head->n_extensions);
        if (head->n_data > 0 && !is_lent)
                memcpy(m->data, head->data, head->n_data);
        memcpy(m->from_key, in->peer_key, sizeof(m->from_key));
        m->ack_now = r->flags & RECORD_ACK_NOW;
        m->first_seq = m->last_seq = r->seq;
        m->first_position = in->position;
        m->last_position = in->position + r->size;
        in->memory += message_memory(m);
        in->discarding = NULL;

        if (head->n_data == head->total) {
                message_is_whole(in, m);
                return 0;
        }
        in->assembly = m;
        in->assembled = head->n_data;
        in->total = head->total;
        in->need = need;
        if (need > 0) {
                get_in_line(in);
                (void)session_in_reserve(in, came_usec); /* no memory now: it stays waiting */
        }
        /* What the message lacks is there to be given: do not let its sender wait for the timer. */
        if (m->first_position + bytes_of_records(head) > in->granted && limit_now(in) > in->granted)
                in->ack_due = true;
        return 0;
}

/* One that waits for its room may use up what was granted before. */
static int grow_assembly(SessionIn *in, size_t n_data) {
        Message *m = in->assembly;
        uint8_t *data;

        n_data = MIN(MAX(n_data, 2 * m->n_data), (size_t)in->total);
        data = realloc(m->data, n_data);
        if (!data)
                return err_origin(-ENOMEM);
        in->memory += n_data - m->n_data;
        m->data = data;
        m->n_data = n_data;
        return 0;
}

static int continue_message(SessionIn *in, const Record *r) {
        Message *m = in->assembly;
        int c;

        if (in->discarding) {
                in->discarding->last_seq = r->seq;
                in->discarding->last_position = in->position + r->size;
                return 0;
        }
        if (!m || r->part.n_data > in->total - in->assembled)
                return SESSION_E_VIOLATION;
        if (in->assembled + r->part.n_data > m->n_data) {
                c = grow_assembly(in, in->assembled + r->part.n_data);
                if (c < 0)
                        return err_trace(c);
        }

        memcpy(m->data + in->assembled, r->part.data, r->part.n_data);
        in->assembled += r->part.n_data;
        if (r->flags & RECORD_ACK_NOW)
                m->ack_now = true;
        m->last_seq = r->seq;
        m->last_position = in->position + r->size;
        if (in->assembled == in->total) {
                /* It fitted into the window after all: then it needs no room. */
                leave_line(in);
                in->lapse_at = USEC_NEVER;
                in->assembly = NULL;
                message_is_whole(in, m);
        }
        return 0;
}

/* The record at @next_seq. */
static int accept_record(SessionIn *in, const Record *r, uint16_t refusal, uint64_t came_usec) {
        int c;

        if (r->size > in->granted - in->position)
                return SESSION_E_VIOLATION;
        c = r->type == RECORD_MSG ? begin_message(in, r, refusal, came_usec)
                                  : continue_message(in, r);
        if (c != 0)
                return c;
        in->next_seq++;
        in->position += r->size;
        return 0;
}

/* Records behind a gap */

/*
 * A message begins while parts of another are missing: its sender gave that one up. Nothing more can
 * be accepted before the SKIP has come that says so.
 */
static bool waits_for_skip(const SessionIn *in, uint8_t type) {
        return type == RECORD_MSG && in->assembly;
}

/* What waited for that which has just come. */
static int drain(SessionIn *in) {
        const ReorderRecord *first;
        uint64_t seq;

        reorder_drop_below(&in->reorder, in->next_seq);
        while ((first = reorder_first(in->reorder, &seq)) && seq == in->next_seq &&
               !waits_for_skip(in, first->type)) {
                Record record;
                size_t at = 0;
                int c;

                /* A refused one may be of a type of extension that decoding does not know. */
                (void)record_decode(first->bytes, first->size, &at, &record);
                c = accept_record(in, &record, first->refusal, first->came_usec);
                if (c != 0)
                        return c;
                reorder_drop_first(&in->reorder);
        }
        return 0;
}

static int keep(SessionIn *in, const Record *r, uint16_t refusal, uint64_t now_usec) {
        uint64_t room = in->granted - in->position;
        int c;

        if (reorder_has(in->reorder, r->seq)) {
                in->counters->n_doubles++;
                return 0;
        }
        /* All that is missing before it takes at least its headers. */
        if (r->seq - in->next_seq > room / RECORD_HEADER_SIZE ||
            reorder_bytes(in->reorder) + r->size > room)
                return SESSION_E_VIOLATION;
        c = reorder_keep(&in->reorder, r, refusal, now_usec);
        return c == REORDER_E_FULL ? 0 : err_trace(c); /* full: it will come again */
}

/* A gap is news, what fills one too, and the second packet since the last ACK is enough. */
static bool is_news(SessionIn *in, const Record *r, uint64_t now_usec) {
        in->came_usec = now_usec;
        if (in->is_begun) {
                in->is_begun = false;
                in->n_unsaid++;
        }
        return in->n_unsaid >= PACKETS_UNSAID || in->reorder || r->seq > in->next_seq ||
               in->position + r->size - in->told_position >= BYTES_UNSAID;
}

int session_in_record(SessionIn *in, const Record *record, uint16_t refusal, uint64_t now_usec) {
        int c;

        if (in->is_off_host && is_news(in, record, now_usec))
                in->ack_due = true;
        /* Beginning anew again and again must not make us hold more and more: as if lost. */
        if (in->left_over_bytes > SESSION_WINDOW)
                return 0;
        if (record->seq < in->next_seq) {
                in->counters->n_doubles++;
                in->ack_due = true; /* our word on it was lost */
                return 0;
        }
        if (has_lapsed(in)) {
                get_in_line(in);
                c = session_in_reserve(in, now_usec);
                if (c < 0 || in->need > 0)
                        return c;
        }
        if (record->seq > in->next_seq || waits_for_skip(in, record->type))
                c = keep(in, record, refusal, now_usec);
        else {
                c = accept_record(in, record, refusal, now_usec);
                if (c == 0)
                        c = drain(in);
        }
        if (c != 0)
                return c;
        unacknowledged(in, now_usec);
        return 0;
}

/* What the sender gave up */

static bool was_skipped(const SessionIn *in, uint64_t first) {
        const SessionSkips *skips = in->skips;

        for (unsigned i = 0; i < MIN(skips->n_kept, (unsigned)SESSION_SKIPS_KEPT); i++)
                if (skips->kept[i].first == first)
                        return true;
        return false;
}

static void answer(SessionIn *in, const Record *r, bool arrived) {
        SessionAnswer a = {
                .first = r->seq,
                .last = r->skip.last,
                .from = arrived ? r->skip.last + 1 : r->seq,
        };

        in->skips->due[in->skips->n_due++] = a;
        if (!arrived && !was_skipped(in, r->seq))
                in->skips->kept[in->skips->n_kept++ % SESSION_SKIPS_KEPT] = a;
}

/* Some of the message never came. */
static int skip_missing(SessionIn *in, const Record *r) {
        uint64_t room = in->granted - in->position;
        uint64_t n_less_one = r->skip.last - in->next_seq;

        if (n_less_one >= room / RECORD_HEADER_SIZE || r->skip.end > in->granted ||
            r->skip.end < in->position ||
            r->skip.end - in->position < (n_less_one + 1) * RECORD_HEADER_SIZE)
                return SESSION_E_VIOLATION;
        if (r->seq < in->next_seq && !(in->assembly && in->assembly->first_seq == r->seq) &&
            !(in->discarding && in->discarding->first_seq == r->seq))
                return SESSION_E_VIOLATION; /* it begins amid a message, or before an earlier one */
        if (r->seq == in->next_seq && in->assembly)
                return 0; /* the SKIP of that one comes first */

        drop_assembly(in);
        if (in->discarding && in->discarding->first_seq == r->seq)
                remove_from_inbox(in, in->discarding);
        in->discarding = NULL;
        reorder_drop_below(&in->reorder, r->skip.last + 1);
        in->next_seq = r->skip.last + 1;
        in->position = r->skip.end;
        answer(in, r, false);
        return drain(in);
}

/* All of it came: then it depends on whether the application has it. */
static int skip_received(SessionIn *in, const Record *r) {
        Message *m;

        if (was_skipped(in, r->seq)) {
                answer(in, r, false);
                return 0;
        }
        if (in->assembly && in->assembly->first_seq == r->seq) {
                drop_assembly(in);
                answer(in, r, false);
                return drain(in);
        }

        /* Given up are rather the youngest. */
        m = in->inbox ? in->inbox->prev : NULL;
        while (m && m->first_seq > r->seq)
                m = m != in->inbox ? m->prev : NULL;
        if (!m || m->first_seq != r->seq ||
            (m->popped && (!m->is_waiting || r->skip.reason == CODE_GONE))) {
                answer(in, r, true);
                return 0;
        }
        if (m->popped)
                in->withdrawn = m;
        if (in->discarding == m)
                in->discarding = NULL;
        remove_from_inbox(in, m);
        remove_taken(in);
        answer(in, r, false);
        return 0;
}

int session_in_skip(SessionIn *in, const Record *record, uint64_t now_usec) {
        int c;

        /* What comes before it has to come first, and answers have to go: it will be repeated. */
        if (record->seq > in->next_seq)
                return 0;
        if (!in->skips) {
                in->skips = calloc(1, sizeof(*in->skips));
                if (!in->skips)
                        return err_origin(-ENOMEM);
        }
        if (in->skips->n_due == SESSION_SKIPS_MAX)
                return 0;
        for (unsigned i = 0; i < in->skips->n_due; i++)
                if (in->skips->due[i].first == record->seq)
                        return 0;

        if (record->skip.last >= in->next_seq)
                c = skip_missing(in, record);
        else
                c = skip_received(in, record);
        if (c != 0)
                return c;
        in->ack_due = true;
        unacknowledged(in, now_usec);
        return 0;
}

/* The application's side */

Message *session_in_pop(SessionIn *in, bool hold_requests) {
        Message *m = in->left_over;

        if (m) {
                if (hold_requests && m->kind == MESSAGE_REQUEST)
                        return NULL;
                DL_DELETE(in->left_over, m);
                m->place = MESSAGE_NOWHERE;
                m->popped = true;
                in->left_over_bytes -= message_memory(m);
                in->memory -= message_memory(m);
                give_back(in, m);
                return m;
        }

        while (in->ready && in->ready->refusal != 0)
                in->ready = in->ready->next;
        m = in->ready;
        if (!m || (hold_requests && m->kind == MESSAGE_REQUEST))
                return NULL;
        in->ready = m->next;
        m->popped = true;
        return message_ref(m);
}

void session_in_taken(SessionIn *in, Message *message, uint64_t now_usec) {
        if (message->taken || message->place != MESSAGE_INBOX)
                return;
        message->taken = true;
        in->counters->n_taken++;
        if (message->ack_now)
                in->ack_due = true;
        remove_taken(in);
        unacknowledged(in, now_usec);
}

bool session_in_refuse(SessionIn *in, Message *message, uint16_t code) {
        if (message->place != MESSAGE_INBOX || message->taken)
                return false;
        message->popped = false;
        message->refusal = code;
        in->n_refused++;
        in->refused_seq = MIN(in->refused_seq, message->first_seq); /* it has its turn, too */
        in->ack_due = true;
        return true;
}

void session_in_refuse_rest(SessionIn *in, uint16_t code) {
        Message *m;

        DL_FOREACH (in->inbox, m)
                if (!m->popped && m->refusal == 0)
                        (void)session_in_refuse(in, m, code);
}

void session_in_renew(SessionIn *in) {
        drop_assembly(in);
        in->reorder = reorder_free(in->reorder);

        while (in->inbox) {
                Message *m = in->inbox;

                if (m->popped || m->refusal != 0) {
                        m->taken = true;
                        remove_from_inbox(in, m);
                        continue;
                }
                DL_DELETE(in->inbox, m);
                DL_APPEND(in->left_over, m);
                m->place = MESSAGE_LEFT_OVER;
                m->taken = true;
                in->left_over_bytes += message_memory(m);
        }
        in->ready = in->discarding = NULL;
        free(in->skips);
        in->skips = NULL;
        in->next_seq = in->position = 0;
        in->granted = SESSION_WINDOW_FIRST;
        in->told_received = in->told_taken = in->told_position = 0;
        in->ack_due = false;
        in->refused_seq = 0;
        in->ack_at = USEC_NEVER;
        in->n_unsaid = in->n_marked = 0;
}

void session_in_done(SessionIn *in) {
        Message *m;

        session_in_renew(in);
        while ((m = session_in_pop(in, false)))
                message_unref(m);
}
