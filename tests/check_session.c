/* SPDX-License-Identifier: Apache-2.0 */

/* Two sessions: how they begin, what they carry, how they end. */

#include "tests/session-pair.h"

#include <string.h>

#include "libcore/control.h"
#include "tests/main.h"

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
        both_go_by(SESSION_PATH_LOCAL, 2);
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
        delivered(2);

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

        both_go_by(SESSION_PATH_OFF_HOST, 1);
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
        TCase *plain = tcase_create("plain"), *local = tcase_create("local");

        tcase_add_checked_fixture(plain, two, none);
        tcase_add_test(plain, messages_may_share_a_payload);
        tcase_add_test(plain, a_message_arrives_and_is_delivered_when_it_was_taken);
        tcase_add_test(plain, what_was_not_given_out_in_time_is_expired);
        tcase_add_test(plain, what_has_expired_does_not_keep_a_session_for_ever);
        tcase_add_test(plain, what_has_no_copy_and_was_lost_holds_up_nothing);
        tcase_add_test(plain, many_sizes_arrive_whole_and_in_order);
        tcase_add_test(plain, a_closed_session_says_so_once);
        tcase_add_test(plain, start_is_in_front_until_it_was_answered);
        tcase_add_test(plain, an_answer_is_a_start_of_the_same_id);
        tcase_add_test(plain, if_both_open_the_smaller_id_stays);
        tcase_add_test(plain, another_key_is_a_violation);
        tcase_add_test(plain, a_first_contact_fails_at_once_or_waits_while_it_settles);
        tcase_add_test(plain, what_went_behind_a_start_is_unknown);
        suite_add_tcase(suite, plain);

        tcase_add_checked_fixture(local, met_locally, none);
        tcase_add_test(local, a_late_start_is_answered_reset);
        tcase_add_test(local, a_peer_that_begins_anew_leaves_what_was_begun_unknown);
        tcase_add_test(local, what_may_come_twice_goes_to_a_peer_that_begins_anew);
        tcase_add_test(local, what_may_have_come_once_is_unknown_whatever_comes_of_the_repeat);
        tcase_add_test(local, reset_begins_another_session);
        tcase_add_test(local, beginning_anew_again_and_again_holds_no_more);
        tcase_add_test(local, locally_nothing_is_said_twice);
        tcase_add_test(local, a_new_generation_says_again_what_may_be_lost);
        tcase_add_test(local, a_pause_holds_messages_and_ends_by_going_back);
        tcase_add_test(local, a_session_takes_not_here_as_a_hint);
        tcase_add_test(local, who_is_awaited_is_asked_whether_he_lives);
        tcase_add_test(local, who_has_sent_half_a_message_is_asked_whether_he_lives);
        tcase_add_loop_test(local, a_host_that_is_cut_off_is_waited_for_and_who_left_it_is_not, 0,
                            2);
        tcase_add_test(local, failing_finishes_everything_and_goes_on);
        tcase_add_test(local, an_idle_session_can_be_forgotten_after_a_minute);
        tcase_add_test(local, a_close_leaves_the_rest_for_a_new_session);
        tcase_add_test(local, who_leaves_has_given_nobody_what_it_has_not_read);
        tcase_add_test(local, half_of_a_message_was_given_to_nobody);
        suite_add_tcase(suite, local);
        return suite;
}
