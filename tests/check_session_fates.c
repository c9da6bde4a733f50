/* SPDX-License-Identifier: Apache-2.0 */

/* What becomes of a message that was refused, given up, or may have arrived. */

#include "tests/session-pair.h"

#include <string.h>

#include "libclient/session-out.h"
#include "libcore/control.h"
#include "tests/main.h"

/* Of three that were begun, and one that was not. */
static void only_the_first_may_have_come(void) {
        sends(a, 14, MESSAGE_ONE_WAY);
        session_fail(a, CODE_DENIED, now);
        finished(a, RESULT_UNKNOWN);
        finished(a, CODE_DENIED);
        finished(a, CODE_DENIED);
        finished(a, CODE_DENIED); /* was never begun */
        nothing_finished(a);
}

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
        only_the_first_may_have_come();
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
        only_the_first_may_have_come();
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

/* The packet came back, for nobody was there. */
static void met_nobody(const PacketId *packet) {
        session_refused(a, packet);
        session_hint(a, CODE_NOT_HERE, SESSION_HINT_USEC, now);
}

/* Off-host, and nobody has answered to the two packets. */
static void try_twice(PacketId *first, PacketId *again) {
        both_go_by(SESSION_PATH_OFF_HOST, 1);
        *first = sends_alone(a, NULL);
        *again = asks(a);
}

START_TEST(off_host_a_first_contact_fails_when_all_its_packets_were_refused) {
        PacketId first, again;
        Record r[4];
        unsigned n;

        try_twice(&first, &again);
        met_nobody(&first);
        nothing_finished(a);
        now += 2 * SESSION_PROBE_USEC;
        session_tick(a, now);
        while ((n = said(a, r, 4)) > 0) /* to ask whether somebody is there is no harm */
                for (unsigned i = 0; i < n; i++)
                        ck_assert_uint_ne(r[i].type, RECORD_MSG);
        met_nobody(&again);
        finished(a, CODE_NOT_HERE);
}
END_TEST

START_TEST(off_host_whom_a_first_contact_may_have_met_is_waited_for_through_a_cut) {
        PacketId first, again;

        try_twice(&first, &again);
        met_nobody(&again);
        now += SESSION_HINT_USEC - 1;
        session_tick(a, now);
        nothing_finished(a);
        now++;
        session_tick(a, now);
        finished(a, RESULT_UNKNOWN);
}
END_TEST

/* The other is refused for want of room, or because nobody can know yet. */
START_TEST(off_host_a_first_contact_of_which_nothing_is_left_does_not_wait) {
        PacketId first, again;

        try_twice(&first, &again);
        met_nobody(&first);
        nothing_finished(a);
        session_refused(a, &again);
        if (_i == 0)
                session_pause(a, now + USEC_PER_SEC, now);
        else
                session_hint(a, CODE_SETTLING, SESSION_HINT_USEC, now);
        finished(a, CODE_NOT_HERE);
        sends(a, 10, MESSAGE_ONE_WAY); /* and the next is not held up by it */
        ck_assert_uint_gt(carry(a, NULL), 0);
        time_goes(SESSION_HINT_USEC - 1);
        nothing_finished(a);
}
END_TEST

/* Its only message is wanted no more, or by somebody else. */
START_TEST(off_host_a_first_contact_without_its_message_does_not_wait) {
        Message *m = message(10, MESSAGE_ONE_WAY);
        PacketId first;
        Record r[2];

        both_go_by(SESSION_PATH_OFF_HOST, 1);
        if (_i == 2)
                m->deadline_usec = now + 2 * SESSION_PROBE_USEC;
        ck_assert_int_eq(session_send(a, m, now), 0);
        carry(a, NULL);
        first = last_packet;
        (void)asks(a);
        met_nobody(&first);
        nothing_finished(a);
        switch (_i) {
        case 0:
                ck_assert_int_eq(session_take_back(a, m, CODE_NOT_HERE, now), 0);
                finished(a, RESULT_UNKNOWN);
                break;
        case 1:
                session_abandon(a, m, RESULT_CANCELLED, now);
                finished(a, RESULT_UNKNOWN); /* one of its packets may have come */
                break;
        default:
                time_goes(2 * SESSION_PROBE_USEC);
                finished(a, RESULT_UNKNOWN);
        }
        message_unref(m);
        sends(a, 11, MESSAGE_ONE_WAY);
        ck_assert_uint_eq(said(a, r, 2), 2);
        ck_assert_uint_eq(r[0].type, RECORD_START);
        ck_assert_uint_eq(r[1].type, RECORD_MSG);
}
END_TEST

/* It had no message, or was given up for lost; another was refused long ago. */
START_TEST(off_host_a_denial_of_what_is_not_in_flight_is_no_reason_to_wait_for_longer) {
        static const PacketId stranger = { { 77 } };
        PacketId first, again;

        try_twice(&first, &again);
        now += 200 * USEC_PER_MSEC;
        session_refused(a, &first);
        session_refused(a, &stranger);
        session_deny(a, CODE_DENIED, now);
        now += USEC_PER_SEC + 3 * 200 * USEC_PER_MSEC;
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
        delivered(1);
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
        delivered(1);
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

/* What a produces is not sent after all. */
static void goes_nowhere(void) {
        uint8_t bytes[ROOM];
        uint64_t deadline;
        PacketId id;
        size_t n;

        ck_assert_int_eq(session_produce(a, true, now, bytes, sizeof(bytes), &n, &id, &deadline),
                         0);
        session_unsent(a, &id);
}

START_TEST(what_went_nowhere_has_not_come) {
        bool is_off_host = _i;
        Message *m = message(10, MESSAGE_ONE_WAY);

        if (is_off_host)
                session_set_path(a, SESSION_PATH_OFF_HOST, 1, now);
        ck_assert_int_eq(session_send(a, m, now), 0);
        goes_nowhere();
        ck_assert_uint_eq(session_in_flight(a), 0);
        session_fail(a, CODE_WRONG_KEY, now);
        finished(a, CODE_WRONG_KEY);
        message_unref(m);
}
END_TEST

START_TEST(what_went_nowhere_comes_out_again) {
        bool is_off_host = _i;

        if (is_off_host)
                both_go_by(SESSION_PATH_OFF_HOST, 1);
        (void)sends_alone(a, b);
        carry_all();
        sends(a, 11, MESSAGE_ONE_WAY);
        goes_nowhere();
        carry_all();
        delivered(2);
}
END_TEST

START_TEST(off_host_a_first_contact_that_is_answered_after_all_goes_on) {
        PacketId first;
        Message *m = message(10, MESSAGE_ONE_WAY);

        both_go_by(SESSION_PATH_OFF_HOST, 1);
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
        delivered(2);
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
        both_go_by(SESSION_PATH_LOCAL, 2);
        carry_all();
        finished(a, CODE_EXPIRED);
        /* What never came is no loss of credit. */
        ck_assert_uint_eq(session_memory(b), 0);
        sends(a, 5, MESSAGE_ONE_WAY);
        carry_all();
        take(b, popped(b));
}
END_TEST

/* The first may have come, or have been lost; the second was never begun. */
START_TEST(what_is_taken_back_is_its_senders_at_once) {
        bool is_lost = _i;
        Message *begun = message(300000, MESSAGE_ONE_WAY), *new = message(10, MESSAGE_ONE_WAY);
        const SessionCounters *c = session_counters(a);

        ck_assert_int_eq(session_send(a, begun, now), 0);
        ck_assert_int_eq(session_send(a, new, now), 0);
        carry(a, is_lost ? NULL : b);
        ck_assert_int_eq(session_take_back(a, begun, CODE_NOT_HERE, now), 0);
        ck_assert_int_eq(session_take_back(a, new, CODE_NOT_HERE, now), 0);
        finished(a, RESULT_UNKNOWN);
        finished(a, CODE_NOT_HERE);
        ck_assert_uint_eq(c->n_unknown, 1);
        ck_assert_uint_eq(c->n_refused, 1);
        ck_assert_uint_eq(begun->n_refs, 1);
        message_unref(begun);
        message_unref(new);

        sends(a, 5, MESSAGE_ONE_WAY);
        if (is_lost)
                both_go_by(SESSION_PATH_LOCAL, 2);
        carry_all();
        delivered(1); /* nothing is left of it there, and what is behind it comes */
        nothing_finished(a);
        ck_assert_uint_eq(c->n_delivered + c->n_unknown + c->n_refused, c->n_sent);
        ck_assert_uint_eq(session_memory(a), 0);
        ck_assert_uint_eq(session_memory(b), 0);
}
END_TEST

START_TEST(what_is_taken_back_and_had_come_is_said_of_once) {
        Message *m = message(10, MESSAGE_ONE_WAY);

        ck_assert_int_eq(session_send(a, m, now), 0);
        carry(a, b);
        take(b, popped(b));
        ck_assert_int_eq(session_take_back(a, m, CODE_NOT_HERE, now), 0);
        finished(a, RESULT_UNKNOWN);
        ck_assert_int_eq(session_take_back(a, m, CODE_NOT_HERE, now), 0);
        message_unref(m);
        session_flush(b, now);
        carry_all();
        session_fail(a, CODE_GONE, now);
        nothing_finished(a);
        ck_assert_uint_eq(session_memory(a), 0);
}
END_TEST

/* A round trip for each of so many would keep what stands behind them for very long. */
START_TEST(off_host_what_was_taken_back_in_great_number_holds_up_little) {
        enum { MANY = 1900 };
        static Message *many[MANY];
        unsigned n_rounds = 0;
        Message *m;

        for (unsigned i = 0; i < MANY; i++) {
                many[i] = message(10, MESSAGE_ONE_WAY);
                ck_assert_int_eq(session_send(a, many[i], now), 0);
        }
        while (carry(a, NULL) > 0)
                ;
        for (unsigned i = 0; i < MANY; i++) {
                ck_assert_uint_eq(many[i]->n_records_sent, 1);
                ck_assert_int_eq(session_take_back(a, many[i], CODE_NOT_HERE, now), 0);
                finished(a, RESULT_UNKNOWN);
                message_unref(many[i]);
        }
        sends(a, 5, MESSAGE_ONE_WAY);
        both_go_by(SESSION_PATH_OFF_HOST, 2);
        do {
                while (carry(b, a) > 0)
                        ;
                while (carry(a, b) > 0)
                        ;
                n_rounds++;
        } while (!(m = session_pop(b)));
        ck_assert_uint_le(n_rounds, 20);
        take(b, m);
}
END_TEST

/* One that has refused it, and never answers the SKIP. */
START_TEST(of_who_answers_no_skip_only_so_many_refusals_are_told_at_once) {
        unsigned n_finished = 0;
        Message *m;
        Record r;

        for (uint64_t i = 1; i <= 2 * SESSION_STAND_INS_MAX; i++) {
                Record ack = { .type = RECORD_ACK }, refusal = { .type = RECORD_SKIPPED, .seq = i };

                sends(a, 10, MESSAGE_ONE_WAY);
                while (said(a, &r, 1) > 0)
                        ack.session = refusal.session = r.session;
                ack.ack.received = i + 1;
                ack.ack.taken = 1;
                ack.ack.limit = UINT64_C(1) << 40;
                session_begin_packet(a, false);
                ck_assert_int_eq(session_consume(a, &ack, now), 0);
                refusal.skipped.last = refusal.skipped.from = i;
                refusal.skipped.reason = CODE_UNSUPPORTED;
                ck_assert_int_eq(session_consume(a, &refusal, now), 0);
                while ((m = session_pop_finished(a))) {
                        ck_assert_int_eq(m->result, CODE_UNSUPPORTED);
                        message_unref(m);
                        n_finished++;
                }
        }
        ck_assert_uint_eq(n_finished, SESSION_STAND_INS_MAX);
        session_fail(a, CODE_GONE, now);
        for (unsigned i = 0; i < SESSION_STAND_INS_MAX; i++)
                finished(a, CODE_UNSUPPORTED);
        nothing_finished(a);
        ck_assert_uint_eq(session_memory(a), 0);
}
END_TEST

/* Else each packet that is lost from there on would cost as much as in a cut. */
START_TEST(off_host_an_answered_skip_is_a_sign_of_life) {
        Message *m = message(10, MESSAGE_ONE_WAY);

        ck_assert_int_eq(session_send(a, m, now), 0);
        ck_assert_uint_gt(carry(a, NULL), 0);
        sends(a, 11, MESSAGE_ONE_WAY);
        ck_assert_uint_gt(carry(a, NULL), 0);
        session_abandon(a, m, RESULT_CANCELLED, now);
        message_unref(m);
        while (now < UINT64_C(10000) * USEC_PER_SEC && session_due(a) - now < SESSION_PROBE_MAX_USEC) {
                now = session_due(a);
                session_tick(a, now);
                while (carry(a, NULL) > 0)
                        ;
        }
        ck_assert_uint_ge(session_due(a) - now, SESSION_PROBE_MAX_USEC);
        now = session_due(a);
        session_tick(a, now);
        ck_assert_uint_gt(carry(a, b), 0);
        ck_assert_uint_gt(carry(b, a), 0);
        finished(a, RESULT_CANCELLED);
        ck_assert_uint_le(session_due(a) - now, SESSION_PROBE_USEC);
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

Suite *check_suite(void) {
        Suite *suite = suite_create("session fates");
        TCase *plain = tcase_create("plain"), *local = tcase_create("local"),
              *remote = tcase_create("off-host");

        tcase_add_checked_fixture(plain, two, none);
        tcase_add_test(plain, off_host_a_first_contact_fails_when_all_its_packets_were_refused);
        tcase_add_test(plain,
                       off_host_whom_a_first_contact_may_have_met_is_waited_for_through_a_cut);
        tcase_add_test(
                plain,
                off_host_a_first_contact_waits_for_another_answer_about_as_long_as_one_takes);
        tcase_add_loop_test(plain, off_host_a_first_contact_of_which_nothing_is_left_does_not_wait,
                            0, 2);
        tcase_add_loop_test(plain, off_host_a_first_contact_without_its_message_does_not_wait, 0, 3);
        tcase_add_test(
                plain,
                off_host_a_denial_of_what_is_not_in_flight_is_no_reason_to_wait_for_longer);
        tcase_add_loop_test(plain, what_went_nowhere_has_not_come, 0, 2);
        tcase_add_loop_test(plain, what_went_nowhere_comes_out_again, 0, 2);
        tcase_add_test(plain, off_host_a_first_contact_that_is_answered_after_all_goes_on);
        suite_add_tcase(suite, plain);

        tcase_add_checked_fixture(local, met_locally, none);
        tcase_add_test(local, what_may_have_arrived_is_not_called_refused);
        tcase_add_test(local, what_had_gone_by_another_daemon_may_have_arrived);
        tcase_add_test(local, what_came_behind_a_refused_one_may_have_arrived);
        tcase_add_test(local, what_was_refused_and_said_again_may_have_arrived);
        tcase_add_test(local, what_is_said_of_a_copy_before_a_close_is_not_said_of_the_next);
        tcase_add_test(local, what_is_said_again_in_part_has_not_come);
        tcase_add_loop_test(local, what_was_given_up_may_have_arrived_unless_it_was_refused, 0, 2);
        tcase_add_test(local, what_was_never_begun_is_dropped_without_a_word);
        tcase_add_test(local, a_begun_message_is_given_up_when_the_receiver_says_so);
        tcase_add_test(local, skip_is_repeated_until_it_was_answered);
        tcase_add_loop_test(local, what_is_taken_back_is_its_senders_at_once, 0, 2);
        tcase_add_test(local, what_is_taken_back_and_had_come_is_said_of_once);
        tcase_add_test(local, of_who_answers_no_skip_only_so_many_refusals_are_told_at_once);
        tcase_add_test(local, half_a_message_can_be_given_up);
        suite_add_tcase(suite, local);

        tcase_add_checked_fixture(remote, met_off_host, none);
        tcase_add_test(remote, off_host_an_answered_skip_is_a_sign_of_life);
        tcase_add_test(remote, off_host_what_was_taken_back_in_great_number_holds_up_little);
        tcase_add_test(remote, off_host_a_refused_packet_tells_what_did_not_come);
        tcase_add_test(remote, off_host_what_had_gone_before_may_have_come);
        tcase_add_loop_test(remote, off_host_what_went_twice_is_refused_when_both_were, 0, 2);
        tcase_add_test(remote, off_host_what_was_refused_twice_came_never);
        tcase_add_test(remote, off_host_a_packet_without_a_message_refuses_none);
        tcase_add_test(remote, off_host_behind_what_was_given_up_all_may_have_come);
        suite_add_tcase(suite, remote);
        return suite;
}
