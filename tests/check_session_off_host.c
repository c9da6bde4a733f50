/* SPDX-License-Identifier: Apache-2.0 */

/* A session over a way that loses, doubles and delays. */

#include "tests/session-pair.h"

#include "libclient/congestion.h"
#include "tests/main.h"

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
        both_go_by(SESSION_PATH_OFF_HOST, 2);
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

Suite *check_suite(void) {
        Suite *suite = suite_create("session off-host");
        TCase *remote = tcase_create("off-host");

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
        suite_add_tcase(suite, remote);
        return suite;
}
