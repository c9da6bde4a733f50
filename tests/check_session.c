/* SPDX-License-Identifier: Apache-2.0 */

#include "libclient/session.h"

#include <stdlib.h>
#include <string.h>

#include "libclient/congestion.h"
#include "libcore/control.h"
#include "tests/main.h"

#define ROOM (RECORD_HEADER_SIZE + RECORD_BODY_MAX + 256)

/*
 * Two sessions and no network: what one produces is carried to the other by hand, record by
 * record. The clock stands still unless a test moves it.
 */

static uint64_t now = 1000 * USEC_PER_SEC;
static SessionQuota quota_a, quota_b;
static Session *a, *b;
static uint64_t n_ids;
static PacketId last_id, last_packet;

static Session *session(char name, SessionQuota *quota, uint64_t id, uint16_t body_max) {
        SessionOptions options = {
                .id = id,
                .opened_usec = now,
                .message_max = 1 << 20,
                .quota = quota,
                .body_max = body_max,
        };
        Session *s;

        memset(options.self_key, name, sizeof(options.self_key));
        memset(options.peer_key, name == 'a' ? 'b' : 'a', sizeof(options.peer_key));
        ck_assert_int_eq(session_new(&s, &options, now), 0);
        return s;
}

static void two(void) {
        quota_a = quota_b = (SessionQuota){ .size = 1 << 21, .left = 1 << 21 };
        a = session('a', &quota_a, 1, 0);
        b = session('b', &quota_b, 2, 0);
        session_set_path(a, SESSION_PATH_LOCAL, 1, now);
        session_set_path(b, SESSION_PATH_LOCAL, 1, now);
}

static void none(void) {
        a = session_free(a);
        b = session_free(b);
        ck_assert_uint_eq(quota_a.left, quota_a.size);
        ck_assert_uint_eq(quota_b.left, quota_b.size);
}

static Message *message(size_t n_data, MessageKind kind) {
        Message *m;

        ck_assert_int_eq(message_new_with_size(&m, n_data, 0), 0);
        m->kind = (uint8_t)kind;
        m->id = last_id = packet_id_make(now, ++n_ids);
        for (size_t i = 0; i < n_data; i++)
                m->data[i] = (uint8_t)(i * 31 + n_ids);
        return m;
}

/* One packet from @from to @to. Return: how many records it had; 0: nothing to send. */
static unsigned carry(Session *from, Session *to) {
        uint8_t bytes[ROOM];
        uint64_t deadline;
        PacketId id;
        size_t n, at = 0;
        unsigned n_records = 0;
        Record r;

        if (session_produce(from, false, now, bytes, sizeof(bytes), &n, &id, &deadline) != 0)
                return 0;
        last_packet = packet_id_make(now, ++n_ids);
        session_sealed_as(from, &last_packet);
        if (to)
                session_begin_packet(to, false);
        while (record_decode(bytes, n, &at, &r) == 0) {
                if (to)
                        ck_assert_int_eq(session_consume(to, &r, now), 0);
                n_records++;
        }
        ck_assert_uint_eq(at, n);
        return n_records;
}

static void carry_all(void) {
        while (carry(a, b) + carry(b, a) > 0)
                ;
}

static Message *popped(Session *s) {
        Message *m = session_pop(s);

        ck_assert_ptr_nonnull(m);
        return m;
}

static void take(Session *s, Message *m) {
        session_taken(s, m, now);
        message_unref(m);
}

START_TEST(messages_may_share_a_payload) {
        Message *first, *others[2];
        const uint8_t *data;

        ck_assert_int_eq(message_new_with_size(&first, 5, 0), 0);
        data = memcpy(first->data, "hello", 5);
        for (unsigned i = 0; i < 2; i++)
                ck_assert_int_eq(message_new_sharing(&others[i], first), 0);
        message_unref(first);
        message_unref(others[0]);
        ck_assert_ptr_eq(others[1]->data, data);
        ck_assert_mem_eq(others[1]->data, "hello", others[1]->n_data);
        message_unref(others[1]);
}
END_TEST

START_TEST(a_message_arrives_and_is_delivered_when_it_was_taken) {
        Message *sent = message(100, MESSAGE_ONE_WAY), *got, *done;

        ck_assert_int_eq(session_send(a, sent, now), 0);
        ck_assert_uint_eq(carry(a, b), 2); /* START, MSG */
        got = popped(b);
        ck_assert_uint_eq(got->n_data, sent->n_data);
        ck_assert_mem_eq(got->data, sent->data, sent->n_data);
        ck_assert_mem_eq(got->id.bytes, sent->id.bytes, PACKET_ID_SIZE);
        ck_assert_ptr_null(session_pop(b));

        carry_all();
        ck_assert_ptr_null(session_pop_finished(a));
        take(b, got);
        session_flush(b, now);
        carry_all();
        done = session_pop_finished(a);
        ck_assert_ptr_eq(done, sent);
        ck_assert_int_eq(done->result, RESULT_DELIVERED);
        message_unref(done);
        message_unref(sent);
        ck_assert(session_is_established(a) && session_is_established(b));
        ck_assert_uint_eq(session_id(b), 1);
        ck_assert_uint_eq(session_memory(a), 0);
        ck_assert_uint_eq(session_memory(b), 0);
}
END_TEST

/* By the receiver's clock: the sender has heard of nothing yet. */
START_TEST(what_was_not_given_out_in_time_is_expired) {
        Message *late = message(100, MESSAGE_ONE_WAY), *next = message(10, MESSAGE_ONE_WAY), *got;
        uint64_t sent_at = now;

        late->deadline_usec = now + 500 * USEC_PER_MSEC;
        ck_assert_int_eq(session_send(a, late, now), 0);
        ck_assert_int_eq(session_send(a, next, now), 0);
        carry(a, b);
        got = popped(b);
        got->is_waiting = true;
        ck_assert_uint_eq(got->deadline_usec, now + 500 * USEC_PER_MSEC);
        now += 500 * USEC_PER_MSEC;

        ck_assert(session_expire(b, got));
        message_unref(got);
        ck_assert(!session_is_closed(b));
        got = popped(b);
        ck_assert_uint_eq(got->n_data, 10);
        ck_assert_uint_eq(got->deadline_usec, USEC_NEVER);
        take(b, got);
        session_flush(b, now);
        now = sent_at;
        carry_all();

        for (unsigned i = 0; i < 2; i++)
                ck_assert_ptr_null(message_unref(session_pop_finished(a)));
        ck_assert_int_eq(late->result, CODE_EXPIRED);
        ck_assert_int_eq(next->result, RESULT_DELIVERED);
        ck_assert_uint_eq(session_counters(a)->n_expired, 1);
        ck_assert_uint_eq(session_counters(a)->n_delivered, 1);
        ck_assert_uint_eq(session_memory(a), 0);
        ck_assert_uint_eq(session_memory(b), 0);
        message_unref(late);
        message_unref(next);
}
END_TEST

/* Its sender does not come back: then there is nobody to tell. */
START_TEST(what_has_expired_does_not_keep_a_session_for_ever) {
        Message *late = message(100, MESSAGE_ONE_WAY), *got;

        late->deadline_usec = now + 1;
        ck_assert_int_eq(session_send(a, late, now), 0);
        carry(a, b);
        got = popped(b);
        got->is_waiting = true;
        ck_assert(!session_is_forgettable(b, now + 11 * SESSION_IDLE_USEC));
        ck_assert(session_expire(b, got));
        message_unref(got);
        ck_assert(session_is_forgettable(b, now + 11 * SESSION_IDLE_USEC));
        message_unref(late);
}
END_TEST

/* The receiver has read it and found no memory; what came behind it cannot wait for it. */
START_TEST(what_has_no_copy_and_was_lost_holds_up_nothing) {
        Message *first = message(10, MESSAGE_ONE_WAY), *lost = message(100, MESSAGE_ONE_WAY);
        Message *last = message(1000, MESSAGE_ONE_WAY), *done;
        Record r;

        ck_assert_int_eq(session_send(a, first, now), 0);
        carry_all();
        take(b, popped(b));
        session_flush(b, now);
        carry_all();
        message_unref(session_pop_finished(a));

        ck_assert(session_may_commit(a, 1000));
        ck_assert_int_eq(session_commit(a, lost, now, &r), 0);
        ck_assert_int_eq(session_send(a, last, now), 0);
        ck_assert_uint_eq(carry(a, b), 1);
        ck_assert_ptr_null(session_pop(b));
        now += SESSION_ACK_DELAY_USEC;
        session_tick(b, now);
        carry_all();
        take(b, popped(b));
        done = session_pop_finished(a);
        ck_assert_ptr_eq(done, lost);
        ck_assert_int_eq(done->result, RESULT_UNKNOWN);
        message_unref(done);
        session_flush(b, now);
        carry_all();
        done = session_pop_finished(a);
        ck_assert_ptr_eq(done, last);
        ck_assert_int_eq(done->result, RESULT_DELIVERED);
        message_unref(done);
        message_unref(first);
        message_unref(lost);
        message_unref(last);
}
END_TEST

START_TEST(many_sizes_arrive_whole_and_in_order) {
        static const size_t sizes[] = { 0,      1,      61391,  61392,  61393,  61440,
                                        122832, 122833, 200000, 262144, 300000, 1 << 20 };

        for (unsigned i = 0; i < ELEMENTSOF(sizes); i++) {
                Message *m = message(sizes[i], MESSAGE_ONE_WAY);

                ck_assert_int_eq(session_send(a, m, now), 0);
                carry_all();
                while (session_pop_finished(a))
                        ck_abort_msg("finished before it was taken");
                {
                        Message *got = popped(b), *done;

                        ck_assert_uint_eq(got->n_data, m->n_data);
                        if (m->n_data > 0)
                                ck_assert_mem_eq(got->data, m->data, m->n_data);
                        take(b, got);
                        session_flush(b, now);
                        carry_all();
                        done = session_pop_finished(a);
                        ck_assert_ptr_eq(done, m);
                        message_unref(done);
                }
                message_unref(m);
        }
}
END_TEST

START_TEST(a_closed_session_says_so_once) {
        Message *m = message(10, MESSAGE_ONE_WAY);
        uint8_t bytes[ROOM];
        uint64_t deadline;
        PacketId id;
        size_t n, at = 0;
        Record r;
        int c = 0;

        ck_assert_int_eq(session_send(a, m, now), 0);
        message_unref(m);
        carry_all();
        take(b, popped(b));
        session_close(b, CODE_OK, now);
        ck_assert_int_eq(session_produce(b, false, now, bytes, ROOM, &n, &id, &deadline), 0);
        while (record_decode(bytes, n, &at, &r) == 0)
                c = session_consume(a, &r, now);
        ck_assert_uint_eq(r.type, RECORD_CLOSE);
        ck_assert_int_eq(c, 0); /* the fate of the message is still to be heard of */
        ck_assert_int_eq(session_produce(b, false, now, bytes, ROOM, &n, &id, &deadline),
                         SESSION_E_IDLE);
        m = session_pop_finished(a);
        ck_assert_int_eq(m->result, RESULT_DELIVERED); /* by the ACK before CLOSE */
        message_unref(m);
        ck_assert(session_is_closed(a));
}
END_TEST

/* What one packet of @from says, without carrying it. Return: how many records, 0: nothing. */
static unsigned said(Session *from, Record *ret, unsigned n_ret) {
        static uint8_t bytes[ROOM];
        uint64_t deadline;
        PacketId id;
        size_t n, at = 0;
        unsigned n_records = 0;

        if (session_produce(from, false, now, bytes, sizeof(bytes), &n, &id, &deadline) != 0)
                return 0;
        while (n_records < n_ret && record_decode(bytes, n, &at, &ret[n_records]) == 0)
                n_records++;
        return n_records;
}

static void sends(Session *s, size_t n_data, MessageKind kind) {
        Message *m = message(n_data, kind);

        ck_assert_int_eq(session_send(s, m, now), 0);
        message_unref(m);
}

/* The daemon refuses the packet of what was sent last. */
static void last_is_refused(Session *s) {
        session_refused(s, &last_id);
}

static void finished(Session *s, int result) {
        Message *m = session_pop_finished(s);

        ck_assert_ptr_nonnull(m);
        ck_assert_int_eq(m->result, result);
        message_unref(m);
}

static void nothing_finished(Session *s) {
        ck_assert_ptr_null(session_pop_finished(s));
}

/* Both know of each other, nothing is under way. */
static void met(SessionPath path) {
        session_set_path(a, path, 1, now);
        session_set_path(b, path, 1, now);
        sends(a, 1, MESSAGE_ONE_WAY);
        carry_all();
        take(b, popped(b));
        session_flush(b, now);
        carry_all();
        finished(a, RESULT_DELIVERED);
        ck_assert_uint_eq(carry(a, b) + carry(b, a), 0);
}

static void met_locally(void) {
        two();
        met(SESSION_PATH_LOCAL);
}

static void met_off_host(void) {
        two();
        met(SESSION_PATH_OFF_HOST);
}

static void time_goes(uint64_t usec) {
        now += usec;
        session_tick(a, now);
        session_tick(b, now);
}

/* Opening */

START_TEST(start_is_in_front_until_it_was_answered) {
        Record r[4];

        for (unsigned i = 0; i < 3; i++) {
                sends(a, 1, MESSAGE_ONE_WAY);
                ck_assert_uint_eq(said(a, r, 4), 2);
                ck_assert_uint_eq(r[0].type, RECORD_START);
                ck_assert_uint_eq(r[0].flags, 0);
                ck_assert_uint_eq(r[0].start.limit, SESSION_WINDOW_FIRST);
                ck_assert_uint_eq(r[1].type, RECORD_MSG);
                ck_assert_uint_eq(r[1].seq, i);
        }
        session_set_path(a, SESSION_PATH_LOCAL, 2, now); /* all that was lost */
        while (carry(a, b) > 0)
                ;
        ck_assert(!session_is_established(a));
        session_flush(b, now);
        time_goes(SESSION_ACK_DELAY_USEC);
        ck_assert_uint_gt(carry(b, a), 0);
        ck_assert(session_is_established(a));
        sends(a, 1, MESSAGE_ONE_WAY);
        ck_assert_uint_eq(said(a, r, 4), 1);
        ck_assert_uint_eq(r[0].type, RECORD_MSG);
}
END_TEST

START_TEST(an_answer_is_a_start_of_the_same_id) {
        Record r[4];

        sends(a, 1, MESSAGE_REQUEST);
        carry(a, b);
        sends(b, 1, MESSAGE_REPLY);
        ck_assert_uint_eq(said(b, r, 4), 3);
        ck_assert_uint_eq(r[0].type, RECORD_START);
        ck_assert_uint_eq(r[0].flags, RECORD_ANSWER);
        ck_assert_uint_eq(r[0].session, 1);
        ck_assert_uint_eq(r[1].type, RECORD_ACK); /* rides in front */
        ck_assert_uint_eq(r[2].type, RECORD_MSG);
        ck_assert_uint_eq(r[2].session, 1 ^ now); /* marked with the time when it opened */
}
END_TEST

START_TEST(if_both_open_the_smaller_id_stays) {
        uint8_t bytes[2][ROOM];
        uint64_t deadline;
        PacketId id;
        size_t n[2], at;
        Record r;

        sends(a, 10, MESSAGE_ONE_WAY);
        sends(b, 20, MESSAGE_ONE_WAY);
        ck_assert_int_eq(session_produce(a, false, now, bytes[0], ROOM, &n[0], &id, &deadline), 0);
        ck_assert_int_eq(session_produce(b, false, now, bytes[1], ROOM, &n[1], &id, &deadline), 0);
        for (at = 0; record_decode(bytes[1], n[1], &at, &r) == 0;)
                ck_assert_int_eq(session_consume(a, &r, now), 0);
        for (at = 0; record_decode(bytes[0], n[0], &at, &r) == 0;)
                ck_assert_int_eq(session_consume(b, &r, now), 0);
        carry_all();
        ck_assert_uint_eq(session_id(a), 1);
        ck_assert_uint_eq(session_id(b), 1);
        take(a, popped(a));
        take(b, popped(b));
        ck_assert_ptr_null(session_pop(a));
        ck_assert_ptr_null(session_pop(b));
        session_flush(a, now);
        session_flush(b, now);
        carry_all();
        finished(a, RESULT_DELIVERED);
        finished(b, RESULT_DELIVERED);
}
END_TEST

START_TEST(a_late_start_is_answered_reset) {
        Record late = { .type = RECORD_START,
                        .session = 77,
                        .start = { .opened_usec = now - 1, .limit = SESSION_WINDOW_FIRST } };

        memset(late.start.key, 'a', PID_KEY_SIZE);
        ck_assert_int_eq(session_consume(b, &late, now), SESSION_E_UNKNOWN);
        late.start.opened_usec = now;
        ck_assert_int_eq(session_consume(b, &late, now), SESSION_E_UNKNOWN);
        late.flags = RECORD_ANSWER;
        late.start.opened_usec = now + 1;
        ck_assert_int_eq(session_consume(b, &late, now), SESSION_E_UNKNOWN);
        ck_assert_uint_eq(session_id(b), 1);
}
END_TEST

START_TEST(another_key_is_a_violation) {
        Record r = { .type = RECORD_START, .session = 1, .start.limit = SESSION_WINDOW_FIRST };

        memset(r.start.key, 'x', PID_KEY_SIZE);
        ck_assert_int_eq(session_consume(b, &r, now), SESSION_E_VIOLATION);
}
END_TEST

START_TEST(a_peer_that_begins_anew_leaves_what_was_begun_unknown) {
        Message *got;

        sends(b, 10, MESSAGE_ONE_WAY);
        carry_all();
        got = popped(a);
        sends(b, 11, MESSAGE_ONE_WAY); /* poppable */
        sends(a, 10, MESSAGE_ONE_WAY); /* begun */
        carry(b, a);
        ck_assert_uint_gt(carry(a, NULL), 0);
        session_set_path(a, SESSION_PATH_NONE, 1, now);
        sends(a, 12, MESSAGE_ONE_WAY); /* never begun */

        b = session_free(b);
        now++;
        b = session('b', &quota_b, 99, 0);
        session_set_path(b, SESSION_PATH_LOCAL, 1, now);
        session_set_path(a, SESSION_PATH_LOCAL, 2, now);
        sends(b, 13, MESSAGE_ONE_WAY);
        carry(b, a);
        finished(a, RESULT_UNKNOWN);
        nothing_finished(a);
        carry_all();
        ck_assert_uint_eq(session_id(a), 99);
        take(a, got); /* of a session that is over */
        got = popped(a);
        ck_assert_uint_eq(got->n_data, 11);
        take(a, got);
        got = popped(a);
        ck_assert_uint_eq(got->n_data, 13);
        take(a, got);
        got = popped(b);
        ck_assert_uint_eq(got->n_data, 12);
        take(b, got);
        session_flush(b, now);
        carry_all();
        finished(a, RESULT_DELIVERED);
}
END_TEST

static void sends_idempotent(Session *s, size_t n_data) {
        Message *m = message(n_data, MESSAGE_ONE_WAY);

        m->flags = MESSAGE_IDEMPOTENT;
        ck_assert_int_eq(session_send(s, m, now), 0);
        message_unref(m);
}

/* A new process with the other's key, of another session. */
static void b_begins_anew(void) {
        b = session_free(b);
        now++;
        b = session('b', &quota_b, 99, 0);
        session_set_path(b, SESSION_PATH_LOCAL, 1, now);
}

START_TEST(what_may_come_twice_goes_to_a_peer_that_begins_anew) {
        static const size_t sizes[] = { 10, 11, 100000, 13 }, order[] = { 10, 100000, 13, 14 };
        Message *got;

        for (unsigned i = 0; i < 4; i++) /* 11 alone must not */
                if (sizes[i] == 11)
                        sends(a, 11, MESSAGE_ONE_WAY);
                else
                        sends_idempotent(a, sizes[i]);
        carry_all();
        for (unsigned i = 0; i < 3; i++) {
                got = popped(b); /* not taken: it may have done anything */
                ck_assert_uint_eq(got->flags & MESSAGE_MAYBE_REPEAT, 0);
                message_unref(got);
        }
        sends(a, 14, MESSAGE_ONE_WAY);
        session_set_path(a, SESSION_PATH_NONE, 1, now);

        b_begins_anew();
        session_set_path(a, SESSION_PATH_LOCAL, 2, now);
        sends(b, 20, MESSAGE_ONE_WAY);
        carry(b, a);
        finished(a, RESULT_UNKNOWN); /* 11 */
        nothing_finished(a);
        carry_all();
        for (unsigned i = 0; i < 4; i++) {
                got = popped(b);
                ck_assert_uint_eq(got->n_data, order[i]);
                ck_assert_int_eq(!!(got->flags & MESSAGE_MAYBE_REPEAT), order[i] != 14);
                take(b, got);
        }
        session_flush(b, now);
        carry_all();
        for (unsigned i = 0; i < 4; i++)
                finished(a, RESULT_DELIVERED);
        take(a, popped(a));
        ck_assert_uint_eq(session_waiting_bytes(a), 0);
        ck_assert_uint_eq(session_memory(a), 0);
}
END_TEST

START_TEST(what_may_have_come_once_is_unknown_whatever_comes_of_the_repeat) {
        Record reset = { .type = RECORD_RESET };

        for (unsigned i = 0; i < 2; i++)
                sends_idempotent(a, 10);
        ck_assert_uint_gt(carry(a, NULL), 0);
        reset.session = session_id(a);
        ck_assert_int_eq(session_consume(a, &reset, now), 0);
        nothing_finished(a);
        ck_assert_uint_gt(carry(a, NULL), 0); /* begun again, both */
        reset.session = session_id(a);
        ck_assert_int_eq(session_consume(a, &reset, now), 0);
        nothing_finished(a);
        session_fail(a, CODE_NOT_HERE, now);
        finished(a, RESULT_UNKNOWN);
        finished(a, RESULT_UNKNOWN);
        nothing_finished(a);
}
END_TEST

START_TEST(reset_begins_another_session) {
        Record reset = { .type = RECORD_RESET, .session = session_id(a) };
        Record r[3];

        sends(a, 10, MESSAGE_ONE_WAY);
        ck_assert_uint_eq(said(a, r, 3), 1);
        ck_assert_int_eq(session_consume(a, &reset, now), 0);
        finished(a, RESULT_UNKNOWN);
        ck_assert_uint_eq(said(a, r, 3), 0); /* nothing to open it for */
        sends(a, 11, MESSAGE_ONE_WAY);
        ck_assert_uint_eq(said(a, r, 3), 2);
        ck_assert_uint_eq(r[0].type, RECORD_START);
        ck_assert_uint_ne(r[0].session, 1);
        ck_assert_uint_eq(r[0].flags, RECORD_AGAIN);
        ck_assert_int_eq(session_consume(a, &reset, now), 0); /* not ours any more */
        nothing_finished(a);
}
END_TEST

START_TEST(beginning_anew_again_and_again_holds_no_more) {
        for (unsigned i = 0; i < 20; i++) {
                b = session_free(b);
                now++;
                b = session('b', &quota_b, 100 + i, 0);
                session_set_path(b, SESSION_PATH_LOCAL, 1, now);
                for (unsigned k = 0; k < 60; k++)
                        sends(b, 1000, MESSAGE_ONE_WAY);
                carry_all();
        }
        ck_assert_uint_lt(session_memory(a), SESSION_WINDOW + 2 * SESSION_WINDOW);
        ck_assert_uint_gt(session_memory(a), SESSION_WINDOW);
}
END_TEST

/* Acknowledgements */

START_TEST(an_ack_goes_alone_after_20_ms) {
        Record r[2];

        sends(a, 10, MESSAGE_ONE_WAY);
        carry(a, b);
        ck_assert_uint_eq(said(b, r, 2), 0);
        ck_assert_uint_eq(session_due(b), now + SESSION_ACK_DELAY_USEC);
        time_goes(SESSION_ACK_DELAY_USEC - 1);
        ck_assert_uint_eq(said(b, r, 2), 0);
        time_goes(1);
        ck_assert_uint_eq(said(b, r, 2), 1);
        ck_assert_uint_eq(r[0].type, RECORD_ACK);
        ck_assert_uint_eq(r[0].ack.received, 2);
        ck_assert_uint_eq(r[0].ack.taken, 1);
        ck_assert_uint_eq(said(b, r, 2), 0);
}
END_TEST

START_TEST(an_ack_is_not_acknowledged) {
        sends(a, 10, MESSAGE_ONE_WAY);
        carry(a, b);
        time_goes(SESSION_ACK_DELAY_USEC);
        ck_assert_uint_eq(carry(b, a), 1);
        time_goes(SESSION_ACK_DELAY_USEC);
        ck_assert_uint_eq(carry(a, b), 0);
}
END_TEST

START_TEST(who_waits_for_the_delivery_hears_of_it_at_once) {
        Message *m = message(200000, MESSAGE_ONE_WAY);

        m->ack_now = true;
        ck_assert_int_eq(session_send(a, m, now), 0);
        message_unref(m);
        carry_all();
        nothing_finished(a);
        take(b, popped(b));
        carry_all();
        finished(a, RESULT_DELIVERED);
}
END_TEST

START_TEST(half_a_window_is_said_at_once) {
        Record r[2];
        unsigned n = 0;

        while (n * 1072 < SESSION_WINDOW / 2) {
                sends(a, 1000, MESSAGE_ONE_WAY);
                carry(a, b);
                take(b, popped(b));
                n++;
                if (n * 1072 < SESSION_WINDOW / 2 - 1072)
                        ck_assert_uint_eq(said(b, r, 2), 0);
        }
        ck_assert_uint_eq(said(b, r, 2), 1);
        ck_assert_uint_eq(r[0].ack.taken, 1 + n);
}
END_TEST

START_TEST(taken_counts_what_was_taken_in_any_order) {
        Message *got[3];
        Record r[2];

        for (unsigned i = 0; i < 3; i++)
                sends(a, 10 + i, MESSAGE_ONE_WAY);
        while (carry(a, b) > 0)
                ;
        for (unsigned i = 0; i < 3; i++)
                got[i] = popped(b);
        take(b, got[2]);
        take(b, got[1]);
        session_flush(b, now);
        ck_assert_uint_eq(said(b, r, 2), 0); /* nothing new to say */
        take(b, got[0]);
        session_flush(b, now);
        ck_assert_uint_eq(said(b, r, 2), 1);
        ck_assert_uint_eq(r[0].ack.taken, 4);
}
END_TEST

/* Lies; T88. @of: which count; the true ones are received 3, taken 1, limit as it is. */
static const struct {
        const char *what;
        uint64_t received, taken, limit_more;
        unsigned n_ranges;
        RecordRange range;
} lies[] = {
        { "beyond what was sent", 4, 1, 0, 0, { 0, 0 } },
        { "far beyond", UINT64_C(1) << 63, 1, 0, 0, { 0, 0 } },
        { "received goes back", 1, 1, 0, 0, { 0, 0 } },
        { "taken goes back", 3, 0, 0, 0, { 0, 0 } },
        { "the limit overflows", 3, 1, UINT64_C(1) << 63, 0, { 0, 0 } },
        { "a range beyond", 3, 1, 0, 1, { 3, 3 } },
        { "a range far beyond", 3, 1, 0, 1, { 3, UINT64_MAX } },
};

START_TEST(a_lying_ack_is_a_violation) {
        Record r = { .type = RECORD_ACK, .session = 1 ^ now };

        sends(a, 1, MESSAGE_ONE_WAY);
        sends(a, 1, MESSAGE_ONE_WAY);
        carry_all();
        r.ack.received = 3;
        r.ack.taken = 1;
        r.ack.limit = 1 << 20;
        ck_assert_int_eq(session_consume(a, &r, now), 0);
        r.ack.received = lies[_i].received;
        r.ack.taken = lies[_i].taken;
        r.ack.limit += lies[_i].limit_more;
        r.ack.n_ranges = (uint16_t)lies[_i].n_ranges;
        r.ack.ranges[0] = lies[_i].range;
        ck_assert_msg(session_consume(a, &r, now) == SESSION_E_VIOLATION, "believed: %s",
                      lies[_i].what);
}
END_TEST

static const struct {
        const char *what;
        Record record;
} impossible[] = {
        { "a jump of 2^63",
          { .type = RECORD_MSG, .seq = UINT64_C(1) << 63, .size = 72, .message.kind = 1 } },
        { "a jump to the end",
          { .type = RECORD_MSG, .seq = UINT64_MAX, .size = 72, .message.kind = 1 } },
        { "a number beyond the credit",
          { .type = RECORD_MSG, .seq = 20000, .size = 72, .message.kind = 1 } },
        { "a part of nothing",
          { .type = RECORD_PART, .seq = 1, .size = 25, .part = { (const uint8_t *)"x", 1 } } },
        { "SKIP of everything", { .type = RECORD_SKIP, .seq = 1, .skip.last = UINT64_MAX } },
        { "SKIP beyond the credit",
          { .type = RECORD_SKIP, .seq = 1, .skip = { .last = 1, .end = 1 << 20 } } },
        { "SKIP that goes back", { .type = RECORD_SKIP, .seq = 1, .skip = { 1, 72, 0 } } },
        { "SKIP that begins before it can",
          { .type = RECORD_SKIP, .seq = 0, .skip = { .last = 3, .end = 1000 } } },
        { "SKIPPED of what was never sent",
          { .type = RECORD_SKIPPED, .seq = 0, .skipped = { 5, 0, 0 } } },
};

START_TEST(an_impossible_record_is_a_violation) {
        Record r = impossible[_i].record;

        r.session = 1 ^ now;
        ck_assert_msg(session_consume(b, &r, now) == SESSION_E_VIOLATION, "believed: %s",
                      impossible[_i].what);
}
END_TEST

START_TEST(more_than_the_credit_is_a_violation) {
        static uint8_t payload[RECORD_BODY_MAX];
        Record r = { .type = RECORD_MSG, .session = 1 ^ now, .seq = 1 };
        int c = 0;

        r.message = (RecordMessage){ .kind = 1, .total = 60000, .data = payload, .n_data = 60000 };
        r.size = record_size(&r);
        for (unsigned i = 0; i < 4; i++, r.seq++)
                ck_assert_int_eq(session_consume(b, &r, now), 0);
        c = session_consume(b, &r, now);
        ck_assert_int_eq(c, SESSION_E_VIOLATION);
}
END_TEST

/* Credit and size */

START_TEST(without_credit_nothing_goes) {
        unsigned n = 0;

        for (unsigned i = 0; i < 40; i++)
                sends(a, 10000, MESSAGE_ONE_WAY);
        ck_assert_uint_eq(session_waiting_since(a), USEC_NEVER);
        while (carry(a, b) > 0)
                n++;
        ck_assert_uint_eq(session_waiting_since(a), now);
        carry_all();
        for (n = 0; n < 26; n++)
                take(b, popped(b));
        carry_all();
        ck_assert_uint_eq(session_waiting_since(a), USEC_NEVER);
}
END_TEST

START_TEST(a_full_queue_refuses_all_but_replies) {
        Message *m;

        session_set_path(a, SESSION_PATH_NONE, 1, now);
        for (unsigned i = 0; i < 11; i++) {
                ck_assert(session_is_writable(a));
                sends(a, 100000, MESSAGE_ONE_WAY);
        }
        ck_assert(!session_is_writable(a));
        m = message(1, MESSAGE_ONE_WAY);
        ck_assert_int_eq(session_send(a, m, now), SESSION_E_FULL);
        message_unref(m);
        m = message((1 << 20) + 1, MESSAGE_REPLY);
        ck_assert_int_eq(session_send(a, m, now), SESSION_E_TOO_BIG);
        message_unref(m);
        sends(a, 1, MESSAGE_REPLY);
        sends(a, 1, MESSAGE_ERROR);
}
END_TEST

START_TEST(a_large_message_reserves_its_whole_length) {
        Record r[2];

        sends(a, 1000000, MESSAGE_ONE_WAY);
        carry(a, b);
        ck_assert_uint_lt(quota_b.left, quota_b.size - 1000000);
        ck_assert_uint_eq(said(b, r, 2), 1);
        ck_assert_uint_gt(r[0].ack.limit, 1000000);
        ck_assert_int_eq(session_consume(a, &r[0], now), 0);
        carry_all();
        ck_assert_uint_lt(quota_b.left, quota_b.size - 1000000);
        take(b, popped(b));
        ck_assert_uint_eq(quota_b.left, quota_b.size);
}
END_TEST

START_TEST(large_messages_wait_for_room_in_their_order) {
        Session *c = session('b', &quota_b, 5, 0), *d = session('a', &quota_a, 4, 0);
        size_t taken_away = quota_b.left - 500000;
        Message *got;

        session_set_path(c, SESSION_PATH_LOCAL, 1, now);
        session_set_path(d, SESSION_PATH_LOCAL, 1, now);
        quota_b.left -= taken_away;
        sends(a, 900000, MESSAGE_ONE_WAY);
        carry_all();
        sends(d, 400000, MESSAGE_ONE_WAY); /* would fit, but came later */
        while (carry(d, c) + carry(c, d) > 0)
                ;
        ck_assert_uint_eq(quota_b.left, 500000);
        ck_assert_ptr_null(session_pop(b));
        ck_assert_ptr_null(session_pop(c));

        quota_b.left += taken_away;
        now += SESSION_ACK_DELAY_USEC;
        session_tick(c, now);
        ck_assert_uint_eq(quota_b.left, 500000 + taken_away); /* not before the first */
        time_goes(0);
        carry_all();
        got = popped(b);
        ck_assert_uint_eq(got->n_data, 900000);
        take(b, got);
        now += SESSION_ACK_DELAY_USEC;
        session_tick(c, now);
        while (carry(c, d) + carry(d, c) > 0)
                ;
        got = popped(c);
        ck_assert_uint_eq(got->n_data, 400000);
        session_taken(c, got, now);
        message_unref(got);
        session_free(c);
        session_free(d);
}
END_TEST

/* Of a message of 2 MB only the announcement comes. */
START_TEST(who_announces_and_does_not_send_holds_up_nobody) {
        Session *c = session('b', &quota_b, 5, 0), *d = session('a', &quota_a, 4, 0);
        uint64_t number = n_ids + 1;
        Message *got;

        session_set_path(c, SESSION_PATH_LOCAL, 1, now);
        session_set_path(d, SESSION_PATH_LOCAL, 1, now);
        quota_b.size = quota_b.left = 1100000;
        sends(a, 1000000, MESSAGE_ONE_WAY);
        carry(a, b);
        carry(b, a); /* all of it is granted */
        ck_assert_uint_lt(quota_b.left, 100000);

        sends(d, 900000, MESSAGE_ONE_WAY);
        while (carry(d, c) + carry(c, d) > 0)
                ;
        ck_assert_ptr_null(session_pop(c));
        now += 10 * USEC_PER_SEC;
        session_tick(b, now);
        ck_assert_uint_gt(session_due(b), now);
        ck_assert_uint_gt(quota_b.left, 900000);
        session_tick(c, now);
        while (carry(d, c) + carry(c, d) > 0)
                ;
        got = popped(c);
        ck_assert_uint_eq(got->n_data, 900000);

        /* It may go on, and what comes before there is room is lost. */
        carry(a, b);
        ck_assert_uint_lt(session_memory(b), 200000);
        session_taken(c, got, now);
        message_unref(got);
        for (unsigned i = 0; i < 20; i++) {
                time_goes(USEC_PER_SEC);
                carry_all();
        }
        got = popped(b);
        ck_assert_uint_eq(got->n_data, 1000000);
        for (size_t i = 0; i < got->n_data; i++)
                if (got->data[i] != (uint8_t)(i * 31 + number))
                        ck_abort_msg("byte %zu", i);
        take(b, got);
        ck_assert_uint_eq(quota_b.left, quota_b.size);
        session_free(c);
        session_free(d);
}
END_TEST

/* Nobody else needs the room. */
START_TEST(who_is_slow_keeps_its_room_while_nobody_waits) {
        sends(a, 1000000, MESSAGE_ONE_WAY);
        carry(a, b);
        now += 60 * USEC_PER_SEC;
        session_tick(b, now);
        ck_assert_uint_lt(quota_b.left, quota_b.size - 1000000);
        carry_all();
        take(b, popped(b));
}
END_TEST

START_TEST(what_is_too_big_for_the_receiver_is_refused) {
        Message *got;

        quota_b.size = quota_b.left = 400000;
        sends(a, 500000, MESSAGE_ONE_WAY);
        sends(a, 7, MESSAGE_ONE_WAY);
        carry_all();
        finished(a, CODE_TOO_BIG);
        got = popped(b);
        ck_assert_uint_eq(got->n_data, 7);
        take(b, got);
        ck_assert_ptr_null(session_pop(b));
        session_flush(b, now);
        carry_all();
        finished(a, RESULT_DELIVERED);
        ck_assert_uint_eq(session_counters(a)->n_refused, 1);
        ck_assert_uint_eq(session_memory(b), 0);
}
END_TEST

START_TEST(a_refused_message_says_why) {
        Record r[2];

        sends(a, 100, MESSAGE_ONE_WAY);
        ck_assert_uint_eq(said(a, r, 2), 1);
        ck_assert_int_eq(session_refuse(b, &r[0], CODE_UNSUPPORTED, now), 0);
        carry_all();
        finished(a, CODE_UNSUPPORTED);
        ck_assert_ptr_null(session_pop(b));
        ck_assert_uint_eq(session_memory(b), 0);
}
END_TEST

/* What came behind it was taken while the sender had yet to give it up. */
START_TEST(what_stands_behind_a_refused_message_is_delivered) {
        Record r[2];

        sends(a, 100, MESSAGE_ONE_WAY);
        sends(a, 7, MESSAGE_ONE_WAY);
        ck_assert_uint_eq(said(a, r, 2), 2);
        ck_assert_int_eq(session_refuse(b, &r[0], CODE_UNSUPPORTED, now), 0);
        ck_assert_int_eq(session_consume(b, &r[1], now), 0);
        take(b, popped(b));
        carry_all();
        finished(a, RESULT_DELIVERED);
        finished(a, CODE_UNSUPPORTED);
}
END_TEST

/* The same refusal twice, and our SKIP lost between them: the second one is no answer to it. */
START_TEST(a_refusal_that_comes_twice_answers_no_skip) {
        Record r[2], ack[2];

        met(SESSION_PATH_OFF_HOST);
        sends(a, 100, MESSAGE_ONE_WAY);
        ck_assert_uint_eq(said(a, r, 2), 1);
        ck_assert_int_eq(session_refuse(b, &r[0], CODE_DENIED, now), 0);
        ck_assert_uint_eq(said(b, ack, 2), 2);
        ck_assert_uint_eq(ack[1].type, RECORD_SKIPPED);
        for (unsigned i = 0; i < 2; i++)
                ck_assert_int_eq(session_consume(a, &ack[i], now), 0);
        carry(a, NULL);
        for (unsigned i = 0; i < 2; i++)
                ck_assert_int_eq(session_consume(a, &ack[i], now), 0);
        nothing_finished(a);

        sends(a, 7, MESSAGE_ONE_WAY);
        carry_all();
        time_goes(SESSION_PROBE_USEC);
        carry_all();
        finished(a, CODE_DENIED);
        take(b, popped(b));
        session_flush(b, now);
        carry_all();
        finished(a, RESULT_DELIVERED);
}
END_TEST

START_TEST(one_is_refused_while_another_is_not_taken) {
        Message *first;
        Record r[2];

        sends(a, 7, MESSAGE_REQUEST);
        carry_all();
        first = popped(b);
        sends(a, 100, MESSAGE_REQUEST);
        ck_assert_uint_eq(said(a, r, 2), 1);
        ck_assert_int_eq(session_refuse(b, &r[0], CODE_NO_PROVIDER, now), 0);
        carry_all();
        finished(a, CODE_NO_PROVIDER);
        take(b, first);
        session_flush(b, now);
        carry_all();
        finished(a, RESULT_DELIVERED);
        ck_assert_uint_eq(session_memory(b), 0);
}
END_TEST

/* Whoever has refused it and ends before our SKIP comes has not delivered it. */
START_TEST(what_was_refused_is_so_when_the_peer_ends) {
        Record r[4];
        unsigned n;

        sends(a, 100, MESSAGE_REQUEST);
        ck_assert_uint_eq(said(a, r, 4), 1);
        ck_assert_int_eq(session_refuse(b, &r[0], CODE_NO_PROVIDER, now), 0);
        session_close(b, CODE_OK, now);
        n = said(b, r, 4);
        ck_assert_uint_eq(n, 3);
        ck_assert_uint_eq(r[2].type, RECORD_CLOSE);
        for (unsigned i = 0; i < n; i++)
                (void)session_consume(a, &r[i], now);
        finished(a, CODE_NO_PROVIDER);
}
END_TEST

START_TEST(a_refusal_said_again_is_no_answer) {
        Record r[4], again = { 0 };
        Message *got;
        unsigned n;

        sends(a, 100, MESSAGE_ONE_WAY);
        ck_assert_uint_eq(said(a, r, 4), 1);
        ck_assert_int_eq(session_refuse(b, &r[0], CODE_UNSUPPORTED, now), 0);
        n = said(b, r, 4);
        for (unsigned i = 0; i < n; i++) {
                ck_assert_int_eq(session_consume(a, &r[i], now), 0);
                if (r[i].type == RECORD_SKIPPED)
                        again = r[i];
        }
        ck_assert_int_eq(again.type, RECORD_SKIPPED);
        ck_assert_int_eq(session_consume(a, &again, now), 0);
        ck_assert_ptr_null(session_pop_finished(a)); /* the other side still waits for our SKIP */
        carry_all();
        finished(a, CODE_UNSUPPORTED);
        ck_assert_uint_eq(session_memory(b), 0);
        sends(a, 7, MESSAGE_ONE_WAY);
        carry_all();
        got = popped(b);
        ck_assert_uint_eq(got->n_data, 7);
        take(b, got);
}
END_TEST

START_TEST(requests_wait_while_many_replies_do) {
        Message *got;

        session_set_path(b, SESSION_PATH_NONE, 1, now);
        for (unsigned i = 0; i < 3; i++)
                sends(b, 100000, MESSAGE_REPLY);
        sends(a, 1, MESSAGE_REQUEST);
        sends(a, 2, MESSAGE_REQUEST);
        while (carry(a, b) > 0)
                ;
        ck_assert_ptr_null(session_pop(b));
        time_goes(SESSION_PROBE_USEC);
        take(b, popped(b)); /* one a second */
        ck_assert_ptr_null(session_pop(b));
        session_set_path(b, SESSION_PATH_LOCAL, 2, now);
        carry_all();
        for (unsigned i = 0; i < 2; i++)
                take(a, popped(a));
        carry_all();
        got = popped(b);
        ck_assert_uint_eq(got->n_data, 2);
        take(b, got);
}
END_TEST

/* Loss */

START_TEST(locally_nothing_is_said_twice) {
        Record r[2];
        uint64_t wait = SESSION_PROBE_USEC;

        sends(a, 10, MESSAGE_ONE_WAY);
        carry(a, b);
        for (unsigned i = 0; i < 6; i++) {
                ck_assert_uint_eq(session_due(a), now + wait);
                now += wait;
                session_tick(a, now);
                ck_assert_uint_eq(said(a, r, 2), 1);
                ck_assert_uint_eq(r[0].type, RECORD_ACK); /* does it still live? */
                ck_assert_uint_eq(r[0].flags, RECORD_ACK_NOW);
                wait = MIN(2 * wait, SESSION_PROBE_MAX_USEC);
        }
        ck_assert_uint_eq(session_counters(a)->n_resent, 0);
}
END_TEST

START_TEST(a_new_generation_says_again_what_may_be_lost) {
        Message *got;

        sends(a, 10, MESSAGE_ONE_WAY);
        sends(a, 11, MESSAGE_ONE_WAY);
        carry(a, NULL);
        session_set_path(a, SESSION_PATH_LOCAL, 2, now);
        session_set_path(b, SESSION_PATH_LOCAL, 2, now);
        carry_all();
        for (size_t n = 10; n < 12; n++) {
                got = popped(b);
                ck_assert_uint_eq(got->n_data, n);
                take(b, got);
        }
        ck_assert_ptr_null(session_pop(b));
        ck_assert_uint_gt(session_counters(a)->n_resent, 0);
}
END_TEST

START_TEST(doubles_are_dropped_and_acknowledged_again) {
        Record r[2], ack[2];

        sends(a, 10, MESSAGE_ONE_WAY);
        ck_assert_uint_eq(said(a, r, 2), 1);
        ck_assert_int_eq(session_consume(b, &r[0], now), 0);
        time_goes(SESSION_ACK_DELAY_USEC);
        ck_assert_uint_eq(said(b, ack, 2), 1);
        ck_assert_int_eq(session_consume(b, &r[0], now), 0);
        ck_assert_uint_eq(said(b, ack, 2), 1);
        ck_assert_uint_eq(ack[0].ack.received, 2);
        ck_assert_uint_eq(session_counters(b)->n_doubles, 1);
        take(b, popped(b));
        ck_assert_ptr_null(session_pop(b));
}
END_TEST

/* Sends one more message, of @n_data bytes, in a packet of its own, which is lost or not. */
static void sends_packet(size_t n_data, bool arrives) {
        sends(a, n_data, MESSAGE_ONE_WAY);
        ck_assert_uint_ge(carry(a, arrives ? b : NULL), 1);
}

START_TEST(what_came_behind_a_gap_waits_and_only_what_is_missing_is_said_again) {
        Record r[8];

        for (size_t i = 1; i <= 4; i++) {
                sends_packet(10 + i, i != 1 && i != 3);
                ck_assert_uint_eq(carry(b, a), i != 1 && i != 3); /* it has a gap: at once */
        }
        ck_assert_ptr_null(session_pop(b));
        ck_assert_uint_eq(said(a, r, 8), 1); /* three came behind it */
        ck_assert_uint_eq(r[0].seq, 1);
        ck_assert_int_eq(session_consume(b, &r[0], now), 0);
        take(b, popped(b));
        take(b, popped(b));
        ck_assert_uint_eq(carry(b, a), 1);

        ck_assert_uint_lt(session_due(a), now + SESSION_ACK_DELAY_USEC);
        now = session_due(a); /* the other is just late */
        session_tick(a, now);
        ck_assert_uint_eq(said(a, r, 8), 1);
        ck_assert_uint_eq(r[0].seq, 3);
        ck_assert_int_eq(session_consume(b, &r[0], now), 0);
        for (size_t n = 13; n <= 14; n++) {
                Message *got = popped(b);

                ck_assert_uint_eq(got->n_data, n);
                take(b, got);
        }
        ck_assert_uint_eq(session_counters(a)->n_resent, 2);
        ck_assert_uint_eq(session_counters(b)->n_doubles, 0);
}
END_TEST

START_TEST(off_host_every_second_packet_is_acknowledged_at_once) {
        Record r[2];

        sends_packet(10, true);
        ck_assert_uint_eq(said(b, r, 2), 0);
        now += 5000;
        sends_packet(11, true);
        ck_assert_uint_eq(said(b, r, 2), 1);
        ck_assert_uint_eq(r[0].ack.received, 3);
        ck_assert_uint_eq(r[0].ack.delay_usec, 0);
        sends_packet(12, true);
        time_goes(SESSION_ACK_DELAY_USEC);
        ck_assert_uint_eq(said(b, r, 2), 1);
        ck_assert_uint_eq(r[0].ack.delay_usec, SESSION_ACK_DELAY_USEC);
}
END_TEST

START_TEST(off_host_no_answer_is_asked_for_with_a_record) {
        uint64_t wait;
        Record r[4];

        sends_packet(10, false);
        sends_packet(11, false);
        wait = session_due(a) - now;
        ck_assert_uint_lt(wait, 2 * SESSION_ACK_DELAY_USEC); /* it knows how long an answer takes */
        for (unsigned i = 0; i < 3; i++) {
                time_goes(wait);
                ck_assert_uint_eq(said(a, r, 4), 2);
                ck_assert_uint_eq(r[0].type, RECORD_ACK);
                ck_assert_uint_eq(r[0].flags, RECORD_ACK_NOW);
                ck_assert_uint_eq(r[1].seq, 1);
                wait *= 2;
                ck_assert_uint_eq(session_due(a), now + wait);
        }
        ck_assert_int_eq(session_consume(b, &r[0], now), 0);
        ck_assert_int_eq(session_consume(b, &r[1], now), 0);
        ck_assert_uint_eq(carry(b, a), 1);
        ck_assert_uint_eq(said(a, r, 4), 1); /* what else was lost */
        ck_assert_uint_eq(r[0].seq, 2);
        ck_assert_uint_eq(said(a, r, 4), 0);
}
END_TEST

/* SKIPs go in front, and may leave no room for it in the same packet. */
START_TEST(what_asks_comes_however_many_skips_there_are) {
        Message *m[8];
        Record r[32];
        unsigned n;

        sends(a, 61392, MESSAGE_ONE_WAY); /* fills a record */
        while (carry(a, NULL) > 0)
                ;
        for (unsigned i = 0; i < ELEMENTSOF(m); i++) {
                m[i] = message(1, MESSAGE_ONE_WAY);
                ck_assert_int_eq(session_send(a, m[i], now), 0);
        }
        while (carry(a, NULL) > 0)
                ;
        for (unsigned i = 0; i < ELEMENTSOF(m); i++) {
                session_abandon(a, m[i], RESULT_CANCELLED, now);
                message_unref(m[i]);
        }
        while (carry(a, NULL) > 0)
                ;
        now = session_due(a);
        session_tick(a, now);
        do
                n = said(a, r, ELEMENTSOF(r));
        while (n > 0 && r[n - 1].type != RECORD_MSG);
        ck_assert_uint_gt(n, 0);
        ck_assert_uint_eq(r[n - 1].message.total, 61392);
}
END_TEST

START_TEST(off_host_what_is_not_taken_is_no_loss) {
        sends_packet(10, true);
        time_goes(SESSION_ACK_DELAY_USEC);
        ck_assert_uint_eq(carry(b, a), 1);
        ck_assert_uint_eq(session_due(a), now + SESSION_PROBE_USEC);
}
END_TEST

START_TEST(marks_are_echoed_and_make_the_window_smaller) {
        uint64_t window = session_congestion_window(a);

        ck_assert_uint_lt(window / 2, CONGESTION_WINDOW_MIN);
        for (unsigned i = 0; i < 4; i++) {
                sends(a, 100, MESSAGE_ONE_WAY);
                session_begin_packet(b, true);
                carry(a, b);
        }
        time_goes(SESSION_ACK_DELAY_USEC);
        carry(b, a);
        ck_assert_uint_eq(session_congestion_window(a), CONGESTION_WINDOW_MIN);
        ck_assert_uint_eq(session_counters(a)->n_resent, 0);
}
END_TEST

/* More than the window lets out, in pieces of 10,000 bytes. Return: how many went. */
static unsigned fills_the_window(void) {
        unsigned n = 0;

        for (unsigned i = 0; i < 25; i++)
                sends(a, 9900, MESSAGE_ONE_WAY);
        while (carry(a, NULL) > 0)
                n++;
        return n;
}

START_TEST(no_more_is_in_flight_than_the_window_allows) {
        ck_assert_uint_ge(fills_the_window(), 2);
        ck_assert_uint_le(session_in_flight(a), session_congestion_window(a));
        ck_assert_uint_gt(session_in_flight(a) + 10000, session_congestion_window(a));
        ck_assert_uint_gt(session_waiting_bytes(a), 50000); /* although there is credit */
        ck_assert_uint_eq(session_waiting_since(a), now);
}
END_TEST

START_TEST(a_new_path_begins_with_a_new_window_at_once) {
        fills_the_window();
        session_pause(a, now + 1000, now);
        ck_assert_uint_lt(session_congestion_window(a), session_in_flight(a));
        session_set_path(a, SESSION_PATH_OFF_HOST, 2, now);
        session_set_path(b, SESSION_PATH_OFF_HOST, 2, now);
        ck_assert_uint_eq(session_in_flight(a), 0);
        ck_assert_uint_eq(session_round_trip_usec(a), 0);
        carry_all();
        for (unsigned i = 0; i < 25; i++)
                take(b, popped(b));
        carry_all();
        ck_assert_uint_eq(session_counters(b)->n_doubles, 0);
        session_set_path(a, SESSION_PATH_LOCAL, 3, now);
        ck_assert_uint_eq(session_congestion_window(a), UINT64_MAX);
}
END_TEST

START_TEST(off_host_a_pause_is_no_reason_to_say_all_again) {
        Record r[4];

        sends_packet(10, true);
        session_pause(a, now + 1000, now);
        sends(a, 11, MESSAGE_ONE_WAY);
        ck_assert_uint_eq(said(a, r, 4), 0);
        session_resume(a, now);
        ck_assert_uint_eq(said(a, r, 4), 1);
        ck_assert_uint_eq(r[0].seq, 2);
}
END_TEST

START_TEST(off_host_an_old_ack_is_no_news_and_no_lie) {
        Record old[2];

        sends(a, 10, MESSAGE_ONE_WAY);
        carry(a, b);
        time_goes(SESSION_ACK_DELAY_USEC);
        ck_assert_uint_eq(said(b, old, 2), 1);
        take(b, popped(b));
        session_flush(b, now);
        carry(b, a);
        finished(a, RESULT_DELIVERED);
        ck_assert_int_eq(session_consume(a, &old[0], now), 0);
        old[0].ack.received = 2;
        old[0].ack.taken = 0;
        old[0].ack.limit += 1 << 20;
        ck_assert_int_eq(session_consume(a, &old[0], now), SESSION_E_VIOLATION);
}
END_TEST

START_TEST(a_pause_holds_messages_and_ends_by_going_back) {
        Record r[4];

        sends(a, 10, MESSAGE_ONE_WAY);
        carry(a, NULL); /* refused for want of space */
        session_pause(a, now + 50000, now);
        sends(a, 11, MESSAGE_ONE_WAY);
        ck_assert_uint_eq(said(a, r, 4), 0);
        ck_assert_uint_eq(session_due(a), now + 50000);
        time_goes(50000);
        ck_assert_uint_eq(said(a, r, 4), 2);
        ck_assert_uint_eq(r[0].seq, 1);
        ck_assert_uint_eq(r[1].seq, 2);
        session_pause(a, now + 50000, now);
        session_resume(a, now);
        ck_assert_uint_eq(said(a, r, 4), 2);
        session_resume(a, now); /* nothing to resume */
        ck_assert_uint_eq(said(a, r, 4), 0);
}
END_TEST

START_TEST(a_first_contact_fails_at_once_or_waits_while_it_settles) {
        Record r[4];
        unsigned n;

        sends(a, 10, MESSAGE_ONE_WAY);
        carry(a, NULL);
        last_is_refused(a);
        session_hint(a, CODE_NOT_HERE, SESSION_HINT_USEC, now);
        finished(a, CODE_NOT_HERE);

        sends(a, 10, MESSAGE_ONE_WAY);
        carry(a, NULL);
        last_is_refused(a);
        session_hint(a, CODE_SETTLING, SESSION_HINT_USEC, now);
        nothing_finished(a);
        ck_assert_uint_eq(said(a, r, 4), 0);
        now = session_due(a);
        session_tick(a, now);
        n = said(a, r, 4);
        ck_assert_uint_ge(n, 2);
        ck_assert_uint_eq(r[0].type, RECORD_START); /* once more */
        ck_assert_uint_eq(r[n - 1].type, RECORD_MSG);
        last_is_refused(a);
        session_hint(a, CODE_SETTLING, SESSION_HINT_USEC, now);
        now += SESSION_HINT_USEC;
        session_tick(a, now);
        finished(a, CODE_SETTLING);
}
END_TEST

START_TEST(a_session_takes_not_here_as_a_hint) {
        Record r[4];

        sends(a, 10, MESSAGE_ONE_WAY);
        carry(a, NULL);
        session_hint(a, CODE_NOT_HERE, SESSION_HINT_USEC, now);
        nothing_finished(a);
        sends(a, 11, MESSAGE_ONE_WAY);
        ck_assert_uint_eq(said(a, r, 4), 0);
        now = session_due(a);
        session_tick(a, now);
        carry_all(); /* it is there again, and says what it lacks */
        take(b, popped(b));
        take(b, popped(b));
        session_flush(b, now);
        carry_all();
        finished(a, RESULT_DELIVERED);
        finished(a, RESULT_DELIVERED);

        sends(a, 12, MESSAGE_ONE_WAY);
        carry(a, NULL);
        last_is_refused(a);
        session_hint(a, CODE_GONE, SESSION_HINT_USEC, now);
        now += SESSION_HINT_USEC;
        session_tick(a, now);
        finished(a, CODE_GONE);
}
END_TEST

static unsigned n_asked_in(uint64_t usec) {
        uint64_t end = now + usec;
        unsigned n = 0;
        Record r[4];

        for (now = MIN(session_due(a), end); now < end; now = MIN(session_due(a), end)) {
                session_tick(a, now);
                while (said(a, r, 4) > 0)
                        n += r[0].type == RECORD_ACK && (r[0].flags & RECORD_ACK_NOW);
        }
        return n;
}

START_TEST(who_is_awaited_is_asked_whether_he_lives) {
        ck_assert_uint_eq(n_asked_in(SESSION_IDLE_USEC), 0);
        session_await(a, true, now);
        ck_assert_uint_eq(n_asked_in(SESSION_PROBE_USEC), 0);
        ck_assert_uint_eq(n_asked_in(SESSION_IDLE_USEC), 9); /* after 1, 3, 7, 15, 23 ... 55 s */
        session_await(a, false, now);
        ck_assert_uint_eq(n_asked_in(SESSION_IDLE_USEC), 0);
}
END_TEST

START_TEST(who_has_sent_half_a_message_is_asked_whether_he_lives) {
        Record r[4];
        unsigned n;

        sends(b, RECORD_BODY_MAX + 1, MESSAGE_ONE_WAY);
        n = said(b, r, 4);
        for (unsigned i = 0; i < n && r[i].type != RECORD_PART; i++)
                ck_assert_int_eq(session_consume(a, &r[i], now), 0);
        ck_assert(session_is_receiving(a));
        ck_assert_uint_eq(n_asked_in(SESSION_IDLE_USEC), 9);
        session_hint(a, CODE_GONE, SESSION_GONE_USEC, now);
        now += SESSION_GONE_USEC;
        session_tick(a, now);
        ck_assert(!session_is_receiving(a));
        ck_assert_uint_eq(n_asked_in(SESSION_IDLE_USEC), 0);
}
END_TEST

START_TEST(a_host_that_is_cut_off_is_waited_for_and_who_left_it_is_not) {
        bool has_left = _i;

        sends(a, 10, MESSAGE_ONE_WAY);
        carry(a, NULL);
        session_hint(a, CODE_NOT_HERE, SESSION_AWAY_USEC, now);
        for (unsigned i = 0; i < 20; i++) {
                now += SESSION_AWAY_USEC / 20 - 1;
                session_tick(a, now);
                nothing_finished(a);
                session_hint(a, CODE_SETTLING, SESSION_AWAY_USEC, now);
                if (has_left && i == 2)
                        break;
        }
        if (has_left)
                session_hint(a, CODE_GONE, SESSION_HINT_USEC, now);
        now += has_left ? SESSION_HINT_USEC : 20;
        session_tick(a, now);
        finished(a, RESULT_UNKNOWN);
}
END_TEST

/* It was taken by somebody who died of it: that those behind it were refused says nothing of it. */
START_TEST(what_may_have_arrived_is_not_called_refused) {
        PacketId second = last_id;

        for (unsigned i = 0; i < 3; i++) {
                sends(a, 10 + i, MESSAGE_ONE_WAY);
                carry(a, i == 0 ? b : NULL);
                if (i == 1)
                        second = last_id;
        }
        take(b, popped(b));
        session_refused(a, &second);
        sends(a, 14, MESSAGE_ONE_WAY);
        session_fail(a, CODE_DENIED, now);
        finished(a, RESULT_UNKNOWN);
        finished(a, CODE_DENIED);
        finished(a, CODE_DENIED);
        finished(a, CODE_DENIED); /* was never begun */
        nothing_finished(a);
}
END_TEST

START_TEST(what_had_gone_by_another_daemon_may_have_arrived) {
        PacketId first;

        sends(a, 10, MESSAGE_ONE_WAY);
        first = last_id;
        carry(a, b);
        take(b, popped(b));
        session_set_path(a, SESSION_PATH_LOCAL, 2, now);
        carry(a, NULL);
        sends(a, 11, MESSAGE_ONE_WAY);
        carry(a, NULL);
        session_refused(a, &first);
        session_refused(a, &last_id);
        session_fail(a, CODE_DENIED, now);
        finished(a, RESULT_UNKNOWN);
        finished(a, CODE_DENIED);
}
END_TEST

/* It waits there for the one in front, which came when it was said again. */
START_TEST(what_came_behind_a_refused_one_may_have_arrived) {
        sends(a, 10, MESSAGE_ONE_WAY);
        carry(a, NULL);
        last_is_refused(a);
        sends(a, 11, MESSAGE_ONE_WAY);
        carry(a, b);
        carry(b, a);
        session_set_path(a, SESSION_PATH_LOCAL, 2, now);
        carry(a, b);
        take(b, popped(b));
        take(b, popped(b));
        session_fail(a, CODE_GONE, now);
        finished(a, RESULT_UNKNOWN);
        finished(a, RESULT_UNKNOWN);
}
END_TEST

START_TEST(what_was_refused_and_said_again_may_have_arrived) {
        sends(a, 10, MESSAGE_ONE_WAY);
        carry(a, NULL);
        last_is_refused(a);
        session_set_path(a, SESSION_PATH_LOCAL, 2, now);
        carry(a, b);
        take(b, popped(b));
        session_fail(a, CODE_GONE, now);
        finished(a, RESULT_UNKNOWN);
}
END_TEST

/* Goes in a packet of its own, to @to or nowhere. Return: that one's id. */
static PacketId sends_alone(Session *from, Session *to) {
        sends(from, 10, MESSAGE_ONE_WAY);
        ck_assert_uint_gt(carry(from, to), 0);
        return last_packet;
}

/* And once more, because nobody answers. */
static PacketId asks(Session *from) {
        PacketId first = last_packet;

        while (memcmp(&first, &last_packet, sizeof(first)) == 0) {
                now = session_due(from);
                session_tick(from, now);
                carry(from, NULL);
        }
        return last_packet;
}

START_TEST(off_host_a_refused_packet_tells_what_did_not_come) {
        PacketId second;

        (void)sends_alone(a, b);
        second = sends_alone(a, NULL);
        (void)sends_alone(a, b); /* it waits there for the one before */
        take(b, popped(b));
        ck_assert_ptr_null(session_pop(b));
        session_refused(a, &second);
        sends(a, 14, MESSAGE_ONE_WAY);
        session_fail(a, CODE_DENIED, now);
        finished(a, RESULT_UNKNOWN);
        finished(a, CODE_DENIED);
        finished(a, CODE_DENIED);
        finished(a, CODE_DENIED); /* was never begun */
        nothing_finished(a);
}
END_TEST

START_TEST(off_host_what_had_gone_before_may_have_come) {
        PacketId again;

        (void)sends_alone(a, b);
        take(b, popped(b));
        again = asks(a);
        ck_assert(session_has_sent(a, &again));
        session_refused(a, &again);
        session_fail(a, CODE_DENIED, now);
        finished(a, RESULT_UNKNOWN);
}
END_TEST

START_TEST(off_host_what_went_twice_is_refused_when_both_were) {
        bool both = _i;
        PacketId first = sends_alone(a, NULL), again = asks(a);

        for (unsigned i = 0; i < 2; i++) /* said again, it counts once */
                session_refused(a, &first);
        if (both)
                session_refused(a, &again);
        session_fail(a, CODE_DENIED, now);
        finished(a, both ? CODE_DENIED : RESULT_UNKNOWN);
}
END_TEST

/* Off-host, and nobody has answered to the two packets. */
static void try_twice(PacketId *first, PacketId *again) {
        session_set_path(a, SESSION_PATH_OFF_HOST, 1, now);
        session_set_path(b, SESSION_PATH_OFF_HOST, 1, now);
        *first = sends_alone(a, NULL);
        *again = asks(a);
}

START_TEST(off_host_a_first_contact_fails_when_all_its_packets_were_refused) {
        PacketId first, again;
        Record r[4];
        unsigned n;

        try_twice(&first, &again);
        session_refused(a, &first);
        session_hint(a, CODE_NOT_HERE, SESSION_HINT_USEC, now);
        nothing_finished(a);
        now += 2 * SESSION_PROBE_USEC;
        session_tick(a, now);
        while ((n = said(a, r, 4)) > 0) /* to ask whether somebody is there is no harm */
                for (unsigned i = 0; i < n; i++)
                        ck_assert_uint_ne(r[i].type, RECORD_MSG);
        session_refused(a, &again);
        session_hint(a, CODE_NOT_HERE, SESSION_HINT_USEC, now);
        finished(a, CODE_NOT_HERE);
}
END_TEST

START_TEST(off_host_whom_a_first_contact_may_have_met_is_waited_for_through_a_cut) {
        PacketId first, again;

        try_twice(&first, &again);
        session_refused(a, &again);
        session_hint(a, CODE_NOT_HERE, SESSION_HINT_USEC, now);
        now += SESSION_HINT_USEC - 1;
        session_tick(a, now);
        nothing_finished(a);
        now++;
        session_tick(a, now);
        finished(a, RESULT_UNKNOWN);
}
END_TEST

/* The other one is lost, and nobody says so. */
START_TEST(off_host_a_first_contact_waits_for_another_answer_about_as_long_as_one_takes) {
        const uint64_t answer_usec = 200 * USEC_PER_MSEC;
        PacketId first, again;

        try_twice(&first, &again);
        now += answer_usec;
        session_refused(a, &again);
        session_deny(a, CODE_DENIED, now);
        ck_assert_uint_le(session_due(a), now + USEC_PER_SEC + 3 * answer_usec);
        now += 3 * answer_usec;
        session_tick(a, now);
        nothing_finished(a);
        now += USEC_PER_SEC;
        session_tick(a, now);
        finished(a, RESULT_UNKNOWN);
}
END_TEST

START_TEST(what_is_said_of_a_copy_before_a_close_is_not_said_of_the_next) {
        (void)sends_alone(a, b);
        take(b, popped(b));
        session_flush(b, now);
        carry_all();
        finished(a, RESULT_DELIVERED);
        (void)sends_alone(a, NULL);
        session_close(b, CODE_OK, now);
        carry(b, a);
        ck_assert_uint_gt(carry(a, NULL), 0); /* once more, in a new session */
        session_refused(a, &last_id);         /* the first: nobody was there to read it */
        session_fail(a, CODE_GONE, now);
        finished(a, RESULT_UNKNOWN);
}
END_TEST

START_TEST(what_is_said_again_in_part_has_not_come) {
        (void)sends_alone(a, b);
        take(b, popped(b));
        session_flush(b, now);
        carry_all();
        finished(a, RESULT_DELIVERED);
        sends(a, 2 * RECORD_BODY_MAX + 1000, MESSAGE_ONE_WAY);
        for (unsigned i = 0; i < 3; i++)
                ck_assert_uint_gt(carry(a, NULL), 0);
        session_close(b, CODE_OK, now);
        carry(b, a);
        ck_assert_uint_gt(carry(a, NULL), 0);
        session_fail(a, CODE_GONE, now);
        finished(a, CODE_GONE);
}
END_TEST

START_TEST(what_went_nowhere_has_not_come) {
        bool is_off_host = _i;
        Message *m = message(10, MESSAGE_ONE_WAY);
        uint8_t bytes[ROOM];
        uint64_t deadline;
        PacketId id;
        size_t n;

        if (is_off_host)
                session_set_path(a, SESSION_PATH_OFF_HOST, 1, now);
        ck_assert_int_eq(session_send(a, m, now), 0);
        ck_assert_int_eq(session_produce(a, true, now, bytes, sizeof(bytes), &n, &id, &deadline),
                         0);
        session_unsent(a, &id);
        ck_assert_uint_eq(session_in_flight(a), 0);
        session_fail(a, CODE_WRONG_KEY, now);
        finished(a, CODE_WRONG_KEY);
        message_unref(m);
}
END_TEST

START_TEST(what_went_nowhere_comes_out_again) {
        bool is_off_host = _i;
        uint8_t bytes[ROOM];
        uint64_t deadline;
        PacketId id;
        size_t n;

        if (is_off_host) {
                session_set_path(a, SESSION_PATH_OFF_HOST, 1, now);
                session_set_path(b, SESSION_PATH_OFF_HOST, 1, now);
        }
        (void)sends_alone(a, b);
        carry_all();
        sends(a, 11, MESSAGE_ONE_WAY);
        ck_assert_int_eq(session_produce(a, true, now, bytes, sizeof(bytes), &n, &id, &deadline),
                         0);
        session_unsent(a, &id);
        carry_all();
        take(b, popped(b));
        take(b, popped(b));
        session_flush(b, now);
        carry_all();
        finished(a, RESULT_DELIVERED);
        finished(a, RESULT_DELIVERED);
}
END_TEST

START_TEST(off_host_a_first_contact_that_is_answered_after_all_goes_on) {
        PacketId first;
        Message *m = message(10, MESSAGE_ONE_WAY);

        session_set_path(a, SESSION_PATH_OFF_HOST, 1, now);
        session_set_path(b, SESSION_PATH_OFF_HOST, 1, now);
        ck_assert_int_eq(session_send(a, m, now), 0);
        carry(a, NULL);
        first = last_packet;
        now = session_due(a);
        session_tick(a, now);
        ck_assert_uint_gt(carry(a, b), 0);
        session_refused(a, &first);
        session_hint(a, CODE_GONE, SESSION_HINT_USEC, now);
        nothing_finished(a);
        sends(a, 11, MESSAGE_ONE_WAY);
        carry_all();
        take(b, popped(b));
        take(b, popped(b));
        session_flush(b, now);
        carry_all();
        finished(a, RESULT_DELIVERED);
        finished(a, RESULT_DELIVERED);
        message_unref(m);
}
END_TEST

START_TEST(off_host_what_was_refused_twice_came_never) {
        PacketId packet = sends_alone(a, NULL);

        session_refused(a, &packet);
        session_set_path(a, SESSION_PATH_OFF_HOST, 2, now);
        ck_assert(!session_has_sent(a, &packet));
        ck_assert_uint_gt(carry(a, NULL), 0);
        session_refused(a, &last_packet);
        session_fail(a, CODE_DENIED, now);
        finished(a, CODE_DENIED);
}
END_TEST

START_TEST(off_host_a_packet_without_a_message_refuses_none) {
        (void)sends_alone(a, NULL);
        (void)sends_alone(b, a);
        take(a, popped(a));
        session_flush(a, now);
        ck_assert_uint_eq(carry(a, NULL), 1); /* an ACK */
        ck_assert(!session_has_sent(a, &last_packet));
        session_refused(a, &last_packet);
        session_fail(a, CODE_DENIED, now);
        finished(a, RESULT_UNKNOWN);
}
END_TEST

/* It is what held up the one behind it. */
START_TEST(off_host_behind_what_was_given_up_all_may_have_come) {
        Message *m = message(10, MESSAGE_ONE_WAY);

        ck_assert_int_eq(session_send(a, m, now), 0);
        carry(a, NULL);
        session_refused(a, &last_packet);
        (void)sends_alone(a, b);
        ck_assert_ptr_null(session_pop(b));
        session_abandon(a, m, RESULT_CANCELLED, now);
        carry(a, b);
        take(b, popped(b));
        session_fail(a, CODE_GONE, now);
        finished(a, RESULT_UNKNOWN);
        finished(a, RESULT_CANCELLED);
        message_unref(m);
}
END_TEST

START_TEST(what_was_given_up_may_have_arrived_unless_it_was_refused) {
        bool was_refused = _i;
        Message *m = message(10, MESSAGE_ONE_WAY);

        ck_assert_int_eq(session_send(a, m, now), 0);
        carry(a, was_refused ? NULL : b);
        if (was_refused)
                session_refused(a, &m->id);
        session_abandon(a, m, CODE_EXPIRED, now);
        session_fail(a, CODE_GONE, now);
        finished(a, was_refused ? CODE_EXPIRED : RESULT_UNKNOWN);
        message_unref(m);
}
END_TEST

/* Giving up */

START_TEST(what_was_never_begun_is_dropped_without_a_word) {
        Message *m = message(10, MESSAGE_ONE_WAY), *n = message(10, MESSAGE_ONE_WAY);
        Record r[2];

        session_set_path(a, SESSION_PATH_NONE, 1, now);
        m->deadline_usec = now + 1000;
        ck_assert_int_eq(session_send(a, m, now), 0);
        ck_assert_int_eq(session_send(a, n, now), 0);
        ck_assert_uint_eq(session_due(a), now + 1000);
        time_goes(1000);
        finished(a, CODE_EXPIRED);
        session_abandon(a, n, RESULT_CANCELLED, now);
        finished(a, RESULT_CANCELLED);
        session_set_path(a, SESSION_PATH_LOCAL, 1, now);
        ck_assert_uint_eq(said(a, r, 2) > 0 && r[0].type != RECORD_ACK, 0);
        sends(a, 1, MESSAGE_ONE_WAY);
        ck_assert_uint_ge(said(a, r, 2), 1);
        ck_assert_uint_eq(r[0].seq, 1); /* no number was used up */
        message_unref(m);
        message_unref(n);
}
END_TEST

START_TEST(a_begun_message_is_given_up_when_the_receiver_says_so) {
        Message *m[2] = { message(10, MESSAGE_ONE_WAY), message(11, MESSAGE_ONE_WAY) };
        Message *got;

        for (unsigned i = 0; i < 2; i++) {
                ck_assert_int_eq(session_send(a, m[i], now), 0);
                carry(a, b);
        }
        got = popped(b);
        for (unsigned i = 0; i < 2; i++) {
                session_abandon(a, m[i], RESULT_CANCELLED, now);
                session_abandon(a, m[i], CODE_EXPIRED, now); /* once is enough */
                message_unref(m[i]);
        }
        nothing_finished(a);
        carry_all();
        finished(a, RESULT_CANCELLED); /* was still waiting there, and is gone */
        finished(a, RESULT_DELIVERED); /* the application has it */
        ck_assert_ptr_null(session_pop(b));
        take(b, got);
}
END_TEST

START_TEST(skip_is_repeated_until_it_was_answered) {
        Message *m = message(10, MESSAGE_ONE_WAY);
        Record r[4];
        unsigned n;

        ck_assert_int_eq(session_send(a, m, now), 0);
        carry(a, NULL);
        session_abandon(a, m, CODE_EXPIRED, now);
        message_unref(m);
        ck_assert_uint_eq(said(a, r, 4), 1);
        ck_assert_uint_eq(r[0].type, RECORD_SKIP);
        ck_assert_uint_eq(r[0].skip.reason, CODE_EXPIRED);
        ck_assert_uint_eq(said(a, r, 4), 0);
        now += SESSION_PROBE_USEC;
        session_tick(a, now);
        n = said(a, r, 4);
        ck_assert_uint_eq(r[n - 1].type, RECORD_SKIP);
        session_set_path(a, SESSION_PATH_LOCAL, 2, now);
        session_set_path(b, SESSION_PATH_LOCAL, 2, now);
        carry_all();
        finished(a, CODE_EXPIRED);
        /* What never came is no loss of credit. */
        ck_assert_uint_eq(session_memory(b), 0);
        sends(a, 5, MESSAGE_ONE_WAY);
        carry_all();
        take(b, popped(b));
}
END_TEST

START_TEST(half_a_message_can_be_given_up) {
        Message *m = message(900000, MESSAGE_ONE_WAY);

        quota_b.left = 0; /* it will not come to its end */
        ck_assert_int_eq(session_send(a, m, now), 0);
        carry_all();
        ck_assert_uint_gt(session_memory(b), 100000);
        session_abandon(a, m, RESULT_CANCELLED, now);
        message_unref(m);
        sends(a, 5, MESSAGE_ONE_WAY);
        carry_all();
        finished(a, RESULT_CANCELLED);
        ck_assert_ptr_null(quota_b.waiting);
        take(b, popped(b));
        ck_assert_uint_eq(session_memory(b), 0);
        quota_b.left = quota_b.size;
}
END_TEST

START_TEST(failing_finishes_everything_and_goes_on) {
        Message *got;

        sends(a, 10, MESSAGE_ONE_WAY);
        carry(a, NULL);
        sends(b, 11, MESSAGE_ONE_WAY);
        carry(b, a);
        session_fail(a, CODE_TIMEOUT, now);
        finished(a, RESULT_UNKNOWN); /* nobody has said that it did not arrive */
        got = popped(a);             /* stays */
        take(a, got);
        sends(a, 12, MESSAGE_ONE_WAY);
        carry_all();
        got = popped(b);
        ck_assert_uint_eq(got->n_data, 12);
        take(b, got);
        finished(b, RESULT_UNKNOWN);
}
END_TEST

/* The end */

START_TEST(an_idle_session_can_be_forgotten_after_a_minute) {
        Record r[2];

        ck_assert(!session_is_forgettable(a, now + SESSION_IDLE_USEC - 1));
        ck_assert(session_is_forgettable(a, now + SESSION_IDLE_USEC));
        sends(b, 10, MESSAGE_ONE_WAY);
        ck_assert(!session_is_forgettable(b, now + 10 * SESSION_IDLE_USEC));
        carry(b, a);
        ck_assert(!session_is_forgettable(a, now + 10 * SESSION_IDLE_USEC)); /* not popped */
        session_close(a, CODE_OK, now);
        ck_assert_uint_eq(said(a, r, 2), 2);
        ck_assert_uint_eq(r[0].type, RECORD_ACK);
        ck_assert_uint_eq(r[1].type, RECORD_CLOSE);
        ck_assert_uint_eq(said(a, r, 2), 0);
        {
                Message *m = message(1, MESSAGE_ONE_WAY);

                ck_assert_int_eq(session_send(a, m, now), -ESHUTDOWN);
                message_unref(m);
        }
}
END_TEST

START_TEST(a_close_leaves_the_rest_for_a_new_session) {
        Record close = { .type = RECORD_CLOSE, .session = 1 ^ now };
        Record r[3];

        sends(a, 10, MESSAGE_ONE_WAY);
        carry(a, NULL);
        session_set_path(a, SESSION_PATH_NONE, 1, now);
        sends(a, 11, MESSAGE_ONE_WAY);
        ck_assert_int_eq(session_consume(a, &close, now), 0);
        nothing_finished(a);
        ck_assert(!session_is_closed(a)); /* there are messages yet */
        session_set_path(a, SESSION_PATH_LOCAL, 1, now);
        ck_assert_uint_eq(said(a, r, 3), 3);
        ck_assert_uint_eq(r[0].type, RECORD_START);
        ck_assert_uint_eq(r[1].message.total, 10); /* nobody was given it */
        ck_assert_uint_eq(r[1].message.flags, 0);
        ck_assert_uint_eq(r[2].message.total, 11);

        close.session = session_id(b) ^ now;
        ck_assert_int_eq(session_consume(b, &close, now), SESSION_E_CLOSED);
        ck_assert(session_is_closed(b));
}
END_TEST

/* What @from says at its end, without what @to had to say to that. */
static void leaves(Session *from, Session *to, uint16_t code) {
        Record r[8];
        unsigned n;

        session_close(from, code, now);
        n = said(from, r, 8);
        ck_assert_uint_gt(n, 1);
        ck_assert_uint_eq(r[n - 1].type, RECORD_CLOSE);
        ck_assert_uint_eq(r[n - 1].code, code);
        for (unsigned i = 0; i < n; i++)
                ck_assert_int_ge(session_consume(to, &r[i], now), 0);
}

/* Of each message that is finished; they are told apart by their sizes. */
static void all_finished(Session *s, int *results, unsigned n) {
        Message *m;

        for (unsigned i = 0; i < n; i++)
                results[i] = RESULT_PENDING;
        while ((m = session_pop_finished(s))) {
                ck_assert_uint_lt(m->n_data, n);
                ck_assert_int_eq(results[m->n_data], RESULT_PENDING);
                results[m->n_data] = m->result;
                message_unref(m);
        }
}

START_TEST(who_leaves_has_given_nobody_what_it_has_not_read) {
        int results[6];
        Message *held, *m;

        for (unsigned i = 1; i <= 5; i++) {
                if (i == 5) /* the last does not even begin */
                        session_pause(a, now + 1, now);
                sends(a, i, MESSAGE_REQUEST);
                carry(a, i <= 3 ? b : NULL);
        }
        held = popped(b);
        ck_assert_uint_eq(held->n_data, 1);
        m = popped(b);
        ck_assert(session_return(b, m)); /* nobody had asked for it */
        message_unref(m);
        leaves(b, a, CODE_GONE);
        all_finished(a, results, 6);
        ck_assert_int_eq(results[1], RESULT_UNKNOWN);
        for (unsigned i = 2; i <= 5; i++)
                ck_assert_int_eq(results[i], CODE_GONE);
        message_unref(held);
}
END_TEST

START_TEST(half_of_a_message_was_given_to_nobody) {
        sends(a, RECORD_BODY_MAX + 1, MESSAGE_ONE_WAY);
        {
                Record r[2];

                ck_assert_uint_gt(said(a, r, 2), 0);
                ck_assert_int_eq(session_consume(b, &r[0], now), 0);
        }
        ck_assert(session_is_receiving(b));
        leaves(b, a, CODE_GONE);
        finished(a, CODE_GONE);
        nothing_finished(a);
}
END_TEST

/* It might come late, and begin a session with who is there then. */
START_TEST(what_went_behind_a_start_is_unknown) {
        int results[4];

        session_set_path(a, SESSION_PATH_OFF_HOST, 1, now);
        session_set_path(b, SESSION_PATH_OFF_HOST, 1, now);
        sends(a, 1, MESSAGE_ONE_WAY);
        carry(a, b);
        sends(a, 2, MESSAGE_ONE_WAY);
        carry(a, NULL);
        session_flush(b, now);
        carry(b, a);
        sends(a, 3, MESSAGE_ONE_WAY);
        carry(a, NULL);
        leaves(b, a, CODE_GONE);
        all_finished(a, results, 4);
        ck_assert_int_eq(results[1], RESULT_UNKNOWN);
        ck_assert_int_eq(results[2], RESULT_UNKNOWN);
        ck_assert_int_eq(results[3], CODE_GONE);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("session");
        TCase *plain = tcase_create("plain");
        TCase *local = tcase_create("local");
        TCase *remote = tcase_create("off-host");

        tcase_add_checked_fixture(plain, two, none);
        tcase_add_test(plain, messages_may_share_a_payload);
        tcase_add_test(plain, a_message_arrives_and_is_delivered_when_it_was_taken);
        tcase_add_test(plain, many_sizes_arrive_whole_and_in_order);
        tcase_add_test(plain, what_was_not_given_out_in_time_is_expired);
        tcase_add_test(plain, what_has_expired_does_not_keep_a_session_for_ever);
        tcase_add_test(plain, what_has_no_copy_and_was_lost_holds_up_nothing);
        tcase_add_test(plain, a_closed_session_says_so_once);
        tcase_add_test(plain, start_is_in_front_until_it_was_answered);
        tcase_add_test(plain, an_answer_is_a_start_of_the_same_id);
        tcase_add_test(plain, if_both_open_the_smaller_id_stays);
        tcase_add_test(plain, another_key_is_a_violation);
        tcase_add_test(plain, a_first_contact_fails_at_once_or_waits_while_it_settles);
        tcase_add_test(plain, off_host_a_first_contact_fails_when_all_its_packets_were_refused);
        tcase_add_test(plain,
                       off_host_whom_a_first_contact_may_have_met_is_waited_for_through_a_cut);
        tcase_add_test(
                plain,
                off_host_a_first_contact_waits_for_another_answer_about_as_long_as_one_takes);
        tcase_add_test(plain, off_host_a_first_contact_that_is_answered_after_all_goes_on);
        tcase_add_loop_test(plain, what_went_nowhere_has_not_come, 0, 2);
        tcase_add_loop_test(plain, what_went_nowhere_comes_out_again, 0, 2);
        tcase_add_test(plain, what_went_behind_a_start_is_unknown);
        suite_add_tcase(suite, plain);

        tcase_add_checked_fixture(local, met_locally, none);
        tcase_add_test(local, a_late_start_is_answered_reset);
        tcase_add_test(local, a_peer_that_begins_anew_leaves_what_was_begun_unknown);
        tcase_add_test(local, what_may_come_twice_goes_to_a_peer_that_begins_anew);
        tcase_add_test(local, what_may_have_come_once_is_unknown_whatever_comes_of_the_repeat);
        tcase_add_test(local, reset_begins_another_session);
        tcase_add_test(local, beginning_anew_again_and_again_holds_no_more);
        tcase_add_test(local, an_ack_goes_alone_after_20_ms);
        tcase_add_test(local, an_ack_is_not_acknowledged);
        tcase_add_test(local, who_waits_for_the_delivery_hears_of_it_at_once);
        tcase_add_test(local, half_a_window_is_said_at_once);
        tcase_add_test(local, taken_counts_what_was_taken_in_any_order);
        tcase_add_loop_test(local, a_lying_ack_is_a_violation, 0, ELEMENTSOF(lies));
        tcase_add_loop_test(local, an_impossible_record_is_a_violation, 0, ELEMENTSOF(impossible));
        tcase_add_test(local, more_than_the_credit_is_a_violation);
        tcase_add_test(local, without_credit_nothing_goes);
        tcase_add_test(local, a_full_queue_refuses_all_but_replies);
        tcase_add_test(local, a_large_message_reserves_its_whole_length);
        tcase_add_test(local, who_announces_and_does_not_send_holds_up_nobody);
        tcase_add_test(local, who_is_slow_keeps_its_room_while_nobody_waits);
        tcase_add_test(local, large_messages_wait_for_room_in_their_order);
        tcase_add_test(local, what_is_too_big_for_the_receiver_is_refused);
        tcase_add_test(local, a_refused_message_says_why);
        tcase_add_test(local, what_stands_behind_a_refused_message_is_delivered);
        tcase_add_test(local, a_refusal_that_comes_twice_answers_no_skip);
        tcase_add_test(local, one_is_refused_while_another_is_not_taken);
        tcase_add_test(local, what_was_refused_is_so_when_the_peer_ends);
        tcase_add_test(local, a_refusal_said_again_is_no_answer);
        tcase_add_test(local, requests_wait_while_many_replies_do);
        tcase_add_test(local, locally_nothing_is_said_twice);
        tcase_add_test(local, a_new_generation_says_again_what_may_be_lost);
        tcase_add_test(local, a_pause_holds_messages_and_ends_by_going_back);
        tcase_add_test(local, a_session_takes_not_here_as_a_hint);
        tcase_add_test(local, who_is_awaited_is_asked_whether_he_lives);
        tcase_add_test(local, who_has_sent_half_a_message_is_asked_whether_he_lives);
        tcase_add_loop_test(local, a_host_that_is_cut_off_is_waited_for_and_who_left_it_is_not, 0,
                            2);
        tcase_add_test(local, what_may_have_arrived_is_not_called_refused);
        tcase_add_test(local, what_had_gone_by_another_daemon_may_have_arrived);
        tcase_add_test(local, what_came_behind_a_refused_one_may_have_arrived);
        tcase_add_test(local, what_was_refused_and_said_again_may_have_arrived);
        tcase_add_loop_test(local, what_was_given_up_may_have_arrived_unless_it_was_refused, 0, 2);
        tcase_add_test(local, what_was_never_begun_is_dropped_without_a_word);
        tcase_add_test(local, a_begun_message_is_given_up_when_the_receiver_says_so);
        tcase_add_test(local, skip_is_repeated_until_it_was_answered);
        tcase_add_test(local, half_a_message_can_be_given_up);
        tcase_add_test(local, failing_finishes_everything_and_goes_on);
        tcase_add_test(local, an_idle_session_can_be_forgotten_after_a_minute);
        tcase_add_test(local, a_close_leaves_the_rest_for_a_new_session);
        tcase_add_test(local, who_leaves_has_given_nobody_what_it_has_not_read);
        tcase_add_test(local, half_of_a_message_was_given_to_nobody);
        tcase_add_test(local, what_is_said_of_a_copy_before_a_close_is_not_said_of_the_next);
        tcase_add_test(local, what_is_said_again_in_part_has_not_come);
        suite_add_tcase(suite, local);

        tcase_add_checked_fixture(remote, met_off_host, none);
        tcase_add_test(remote, doubles_are_dropped_and_acknowledged_again);
        tcase_add_test(remote, what_came_behind_a_gap_waits_and_only_what_is_missing_is_said_again);
        tcase_add_test(remote, off_host_every_second_packet_is_acknowledged_at_once);
        tcase_add_test(remote, off_host_no_answer_is_asked_for_with_a_record);
        tcase_add_test(remote, what_asks_comes_however_many_skips_there_are);
        tcase_add_test(remote, off_host_what_is_not_taken_is_no_loss);
        tcase_add_test(remote, marks_are_echoed_and_make_the_window_smaller);
        tcase_add_test(remote, no_more_is_in_flight_than_the_window_allows);
        tcase_add_test(remote, a_new_path_begins_with_a_new_window_at_once);
        tcase_add_test(remote, off_host_a_pause_is_no_reason_to_say_all_again);
        tcase_add_test(remote, off_host_an_old_ack_is_no_news_and_no_lie);
        tcase_add_test(remote, off_host_a_refused_packet_tells_what_did_not_come);
        tcase_add_test(remote, off_host_what_had_gone_before_may_have_come);
        tcase_add_loop_test(remote, off_host_what_went_twice_is_refused_when_both_were, 0, 2);
        tcase_add_test(remote, off_host_what_was_refused_twice_came_never);
        tcase_add_test(remote, off_host_a_packet_without_a_message_refuses_none);
        tcase_add_test(remote, off_host_behind_what_was_given_up_all_may_have_come);
        suite_add_tcase(suite, remote);
        return suite;
}
