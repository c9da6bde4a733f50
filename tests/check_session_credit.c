/* SPDX-License-Identifier: Apache-2.0 */

/* What a session acknowledges, what it grants its peer, and what it refuses. */

#include "tests/session-pair.h"

#include "libcore/control.h"
#include "tests/main.h"

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
        finished(a, CODE_UNSUPPORTED);
        finished(a, RESULT_DELIVERED);
}
END_TEST

/* Each costs the sender a look at what it sent; those of one packet are found in one walk. */
START_TEST(refusals_out_of_order_wait_for_another_packet) {
        Record sent[3], r[4];
        uint64_t seqs[3];

        for (unsigned i = 0; i < 3; i++) {
                sends(a, 100, MESSAGE_ONE_WAY);
                ck_assert_uint_eq(said(a, &sent[i], 1), 1);
                seqs[i] = sent[i].seq;
                ck_assert_int_eq(session_refuse(b, &sent[i], CODE_DENIED, now), 0);
        }
        ck_assert_uint_eq(said(b, r, 4), 4);
        for (unsigned i = 0; i < 3; i++)
                ck_assert_uint_eq(r[1 + i].seq, seqs[i]);

        session_begin_packet(a, false);
        ck_assert_int_eq(session_consume(a, &r[0], now), 0);
        ck_assert_int_eq(session_consume(a, &r[3], now), 0);
        ck_assert_int_eq(session_consume(a, &r[1], now), 0);
        finished(a, CODE_DENIED);
        nothing_finished(a);
        for (unsigned i = 1; i < 3; i++) {
                session_begin_packet(a, false);
                ck_assert_int_eq(session_consume(a, &r[3 - i], now), 0);
                finished(a, CODE_DENIED);
        }
        nothing_finished(a);
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
        finished(a, CODE_DENIED);
        nothing_finished(a);

        sends(a, 7, MESSAGE_ONE_WAY);
        carry_all();
        time_goes(SESSION_PROBE_USEC);
        carry_all();
        delivered(1);
}
END_TEST

START_TEST(a_refusal_that_was_lost_is_said_again) {
        Record r;

        met(SESSION_PATH_OFF_HOST);
        sends(a, 100, MESSAGE_ONE_WAY);
        ck_assert_uint_eq(said(a, &r, 1), 1);
        ck_assert_int_eq(session_refuse(b, &r, CODE_DENIED, now), 0);
        ck_assert_uint_eq(carry(b, NULL), 2);
        sends(a, 7, MESSAGE_ONE_WAY);
        carry_all();
        time_goes(SESSION_ACK_DELAY_USEC);
        carry_all();
        finished(a, CODE_DENIED);
        take(b, popped(b));
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

START_TEST(what_was_refused_in_great_number_holds_up_little) {
        enum { MANY = 1900 };
        static Record r[MANY];
        unsigned n, n_rounds = 0;

        for (unsigned i = 0; i < MANY; i++)
                sends(a, 10, MESSAGE_ONE_WAY);
        while ((n = said(a, r, MANY)) > 0)
                for (unsigned i = 0; i < n; i++)
                        ck_assert_int_eq(session_refuse(b, &r[i], CODE_UNSUPPORTED, now), 0);
        sends(a, 11, MESSAGE_ONE_WAY);
        ck_assert_uint_gt(carry(a, b), 0);
        take(b, popped(b));
        session_flush(b, now);
        while (session_counters(a)->n_delivered < 2) { /* one was, when they met */
                while (carry(b, a) > 0)
                        ;
                while (carry(a, b) > 0)
                        ;
                n_rounds++;
        }
        ck_assert_uint_le(n_rounds, 40);
        ck_assert_uint_eq(session_counters(a)->n_refused, MANY);
}
END_TEST

/* More than fit into one packet. */
/* Loop: and once more on another way, for what was said on the first may be lost. */
START_TEST(who_ends_says_of_each_that_nobody_was_given_it) {
        enum { MANY = 3000 };
        unsigned n_packets = 0, n_said = 0, n = 0;
        static Record r[4000];

        for (unsigned i = 0; i < MANY; i++)
                sends(a, 1, MESSAGE_ONE_WAY);
        while (carry(a, b) > 0)
                ;
        session_close(b, CODE_GONE, now);
        if (_i) {
                ck_assert_uint_gt(said(b, r, ELEMENTSOF(r)), 0); /* lost */
                session_set_path(b, SESSION_PATH_LOCAL, 2, now);
        }
        do {
                n = said(b, r, ELEMENTSOF(r));
                ck_assert_uint_gt(n, 0);
                n_packets++;
                for (unsigned i = 0; i < n; i++) {
                        n_said += r[i].type == RECORD_SKIPPED;
                        (void)session_consume(a, &r[i], now);
                }
        } while (r[n - 1].type != RECORD_CLOSE);
        ck_assert_uint_le(n_packets, 4);
        ck_assert_uint_eq(n_said, MANY);
        for (unsigned i = 0; i < MANY; i++)
                finished(a, CODE_GONE);
        nothing_finished(a);
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
        finished(a, CODE_UNSUPPORTED);
        ck_assert_int_eq(session_consume(a, &again, now), 0);
        nothing_finished(a);
        carry_all(); /* the other side still waits for our SKIP */
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

Suite *check_suite(void) {
        Suite *suite = suite_create("session credit");
        TCase *local = tcase_create("local");

        tcase_add_checked_fixture(local, met_locally, none);
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
        tcase_add_test(local, large_messages_wait_for_room_in_their_order);
        tcase_add_test(local, who_announces_and_does_not_send_holds_up_nobody);
        tcase_add_test(local, who_is_slow_keeps_its_room_while_nobody_waits);
        tcase_add_test(local, what_is_too_big_for_the_receiver_is_refused);
        tcase_add_test(local, a_refused_message_says_why);
        tcase_add_test(local, what_stands_behind_a_refused_message_is_delivered);
        tcase_add_test(local, refusals_out_of_order_wait_for_another_packet);
        tcase_add_test(local, a_refusal_that_comes_twice_answers_no_skip);
        tcase_add_test(local, a_refusal_that_was_lost_is_said_again);
        tcase_add_test(local, one_is_refused_while_another_is_not_taken);
        tcase_add_test(local, what_was_refused_is_so_when_the_peer_ends);
        tcase_add_test(local, what_was_refused_in_great_number_holds_up_little);
        tcase_add_loop_test(local, who_ends_says_of_each_that_nobody_was_given_it, 0, 2);
        tcase_add_test(local, a_refusal_said_again_is_no_answer);
        tcase_add_test(local, requests_wait_while_many_replies_do);
        suite_add_tcase(suite, local);
        return suite;
}
