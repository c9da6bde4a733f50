/* SPDX-License-Identifier: Apache-2.0 */

#include "libclient/flight.h"

#include <stdlib.h>

#include "libcore/util.h"
#include "tests/main.h"

#define DELAY (20 * USEC_PER_MSEC)
#define TRIP (50 * USEC_PER_MSEC)
#define SIZE 1000

/* Packets of one record each, unless a test says otherwise; the record's number is its packet's. */

static uint64_t now = 1000 * USEC_PER_SEC;
static Flight *flight;

static void begin(void) {
        ck_assert_int_eq(flight_new(&flight, DELAY), 0);
}

static void end(void) {
        flight = flight_free(flight);
}

static void sends(uint64_t seq, bool again) {
        (void)flight_allows(flight, SIZE); /* which makes room; it may well not */
        flight_begin(flight, now);
        flight_add(flight, seq, SIZE, again);
}

/* Sequence numbers 1 to @n. */
static void sends_many(unsigned n) {
        for (unsigned i = 1; i <= n; i++)
                sends(i, false);
}

/* An ACK of all below @received and of @first to @last. Return: whether something is lost. */
static bool hears(uint64_t received, uint64_t first, uint64_t last) {
        Record ack = { .type = RECORD_ACK, .ack = { .received = received, .n_ranges = first > 0 } };
        bool progress;

        ack.ack.ranges[0] = (RecordRange){ first, last };
        return flight_on_ack(flight, &ack, now, &progress);
}

static bool has(uint64_t seq) {
        uint64_t last;

        return flight_has(flight, seq, &last);
}

/* One packet has come and gone, so that it is known how long that takes. */
static void measured(void) {
        begin();
        sends(0, false);
        now += TRIP;
        ck_assert(!hears(1, 0, 0));
        ck_assert_uint_eq(flight->round_trip.smoothed_usec, TRIP);
        flight->congestion.window = 2 * CONGESTION_WINDOW_FIRST; /* to see it halved */
}

START_TEST(what_was_sent_is_in_flight_until_it_came) {
        sends_many(3);
        ck_assert_uint_eq(flight->n_bytes, 3 * SIZE);
        ck_assert(has(1) && has(3) && !has(4));
        ck_assert(!hears(3, 0, 0));
        ck_assert_uint_eq(flight->n_bytes, SIZE);
        ck_assert(!has(2) && has(3));
        ck_assert(!hears(4, 0, 0));
        ck_assert(flight_is_empty(flight));
}
END_TEST

START_TEST(records_of_one_packet_are_one_piece) {
        uint64_t last;

        flight_begin(flight, now);
        for (unsigned i = 1; i <= 5; i++)
                flight_add(flight, i, SIZE, false);
        ck_assert_uint_eq(flight->n_pieces, 1);
        ck_assert_uint_eq(flight->packet, 2);
        ck_assert(flight_has(flight, 2, &last));
        ck_assert_uint_eq(last, 5);
        ck_assert(!hears(3, 5, 5)); /* a part of it is not the packet */
        ck_assert_uint_eq(flight->n_bytes, 5 * SIZE);
        ck_assert(has(3) && has(4) && !has(2) && !has(5));
}
END_TEST

START_TEST(what_three_later_packets_overtook_is_lost) {
        sends_many(4);
        ck_assert(!hears(1, 2, 3));
        ck_assert(has(1));
        ck_assert(hears(1, 2, 4));
        ck_assert(!has(1));
        ck_assert_uint_eq(flight->n_bytes, 0);
}
END_TEST

START_TEST(what_is_late_by_an_eighth_of_a_round_trip_is_lost) {
        sends_many(2);
        now += TRIP;
        ck_assert(!hears(1, 2, 2));
        ck_assert_uint_eq(flight->lost_at, now + TRIP / 8);
        now += TRIP / 8 - 1;
        ck_assert(!flight_tick(flight, now));
        now++;
        ck_assert(flight_tick(flight, now));
        ck_assert(!has(1));
        ck_assert_uint_eq(flight->lost_at, USEC_NEVER);
}
END_TEST

/* The first is sent again, and then what shows that it is late, but not how long the way is. */
static void repair_is_lost_after(uint64_t usec, uint64_t seq) {
        uint64_t sent = now;

        sends(1, true);
        sends(seq, true);
        now += TRIP;
        ck_assert(!hears(1, 2, seq));
        ck_assert_uint_eq(flight->lost_at, sent + usec);
        now = flight->lost_at;
        ck_assert(flight_tick(flight, now));
}

/* Karn: the round trip may be much longer than the last sample. */
START_TEST(each_repair_waits_twice_as_long_as_the_last_until_there_is_a_sample) {
        const uint64_t wait = TRIP + TRIP / 8;

        sends_many(4);
        now += TRIP;
        ck_assert(hears(1, 2, 4));
        for (unsigned i = 0; i < 5; i++)
                repair_is_lost_after(wait << i, 5 + i);
        sends(10, false);
        now += TRIP;
        ck_assert(!hears(1, 2, 10));
        repair_is_lost_after(wait, 11);
}
END_TEST

/* As when very much is lost: the way is as it was. */
START_TEST(a_repair_that_is_answered_in_time_halves_that) {
        unsigned n = (unsigned)_i;

        sends_many(5);
        now += TRIP;
        ck_assert(hears(1, 3, 5));
        for (unsigned i = 0; i < n; i++)
                repair_is_lost_after((TRIP + TRIP / 8) << i, 6 + i);
        ck_assert_uint_eq(flight->n_in_vain, n);
        sends(1, true);
        sends(2, true);
        now += TRIP;
        ck_assert(!hears(1, 2, 5 + n));
        ck_assert(has(1) && !has(2));
        ck_assert_uint_eq(flight->n_in_vain, n / 2);
}
END_TEST

/* Late, it may be that this is how long the way is; soon, it is about a copy that went before. */
START_TEST(a_repair_that_is_answered_at_another_time_does_not) {
        sends_many(5);
        now += TRIP;
        ck_assert(hears(1, 3, 5));
        repair_is_lost_after(TRIP + TRIP / 8, 6);
        sends(1, true);
        sends(2, true);
        now += _i == 0 ? 2 * TRIP : TRIP / 2;
        (void)hears(1, 2, 6);
        ck_assert(!has(2));
        ck_assert_uint_eq(flight->n_in_vain, 1);
}
END_TEST

/* One that is late beside one that is in time: the second may be about a copy that went before, too. */
START_TEST(a_repair_in_time_beside_one_that_is_not_does_not) {
        sends_many(5);
        now += TRIP;
        ck_assert(hears(1, 3, 5));
        repair_is_lost_after(TRIP + TRIP / 8, 6);
        sends(1, true);
        now += TRIP / 2;
        sends(2, true);
        now += TRIP;
        (void)hears(7, 0, 0);
        ck_assert(!has(1) && !has(2));
        ck_assert_uint_eq(flight->n_in_vain, 1);
}
END_TEST

START_TEST(repairs_of_one_round_are_in_vain_once) {
        sends_many(5);
        now += TRIP;
        ck_assert(hears(1, 3, 5));
        for (unsigned i = 1; i <= 2; i++, now += USEC_PER_MSEC)
                sends(i, true);
        sends(6, true);
        now += TRIP;
        ck_assert(!hears(1, 3, 6));
        while (has(2)) {
                now = flight->lost_at;
                (void)flight_tick(flight, now);
        }
        ck_assert(!has(1));
        ck_assert_uint_eq(flight->n_in_vain, 1);
}
END_TEST

START_TEST(nothing_behind_the_last_that_came_is_lost) {
        sends_many(10);
        now += 100 * TRIP;
        ck_assert(!hears(2, 0, 0));
        ck_assert_uint_eq(flight->lost_at, USEC_NEVER);
        ck_assert_uint_eq(flight->n_pieces, 9);
}
END_TEST

START_TEST(losses_of_one_round_halve_once) {
        uint64_t window = flight->congestion.window;

        sends_many(20);
        ck_assert(hears(1, 5, 8));
        ck_assert(hears(1, 15, 20));
        ck_assert_uint_eq(flight->congestion.window, window / 2);
}
END_TEST

START_TEST(what_was_sent_again_says_nothing_of_the_way) {
        sends_many(4);
        now += TRIP;
        ck_assert(hears(1, 2, 4));
        sends(1, true);
        now += 3 * TRIP;
        ck_assert(!hears(5, 0, 0));
        ck_assert_uint_eq(flight->round_trip.latest_usec, TRIP);
        ck_assert(flight_is_empty(flight));
}
END_TEST

START_TEST(what_was_asked_for_in_vain_says_nothing_either) {
        sends(1, false);
        now += 2 * TRIP;
        sends(1, true);
        ck_assert_uint_eq(flight->n_bytes, 2 * SIZE);
        now += TRIP;
        ck_assert(!hears(2, 0, 0));
        ck_assert_uint_eq(flight->round_trip.latest_usec, TRIP);
        ck_assert(flight_is_empty(flight));
}
END_TEST

/* Whether they came or not, the receiver has what comes behind a SKIP. */
START_TEST(what_was_given_up_says_nothing_either) {
        sends_many(3);
        now += 1000 * TRIP;
        flight_give_up(flight, 2, 3);
        now += TRIP;
        ck_assert(hears(1, 2, 3)); /* what went before is lost all the same */
        ck_assert(!flight->is_sampled);
        ck_assert_uint_eq(flight->round_trip.latest_usec, TRIP);
        ck_assert(flight_is_empty(flight));
}
END_TEST

START_TEST(a_part_that_was_given_up_is_enough) {
        flight_begin(flight, now);
        for (unsigned i = 1; i <= 9; i++)
                flight_add(flight, i, SIZE, false);
        sends(10, false);
        flight_give_up(flight, 4, 5);
        now += 2 * TRIP;
        ck_assert(!hears(10, 0, 0));
        ck_assert_uint_eq(flight->round_trip.latest_usec, TRIP);
        ck_assert(!hears(11, 0, 0)); /* which has nothing to do with it */
        ck_assert_uint_eq(flight->round_trip.latest_usec, 2 * TRIP);
}
END_TEST

START_TEST(a_skip_that_fills_a_gap_has_overtaken_nothing) {
        sends_many(3);
        now += TRIP;
        ck_assert(!hears(1, 2, 3));
        flight_give_up(flight, 1, 1);
        ck_assert(!hears(4, 0, 0));
        ck_assert(!flight->is_reordering);
}
END_TEST

START_TEST(an_answer_to_what_was_asked_shows_what_else_is_lost) {
        sends_many(3);
        now += 10 * TRIP;
        sends(1, true);
        now += TRIP;
        ck_assert(hears(2, 0, 0));
        ck_assert(flight_is_empty(flight)); /* 2 and 3 are to be sent again */
}
END_TEST

START_TEST(who_was_wrong_about_a_loss_waits_for_longer) {
        sends_many(4);
        now += TRIP;
        ck_assert(hears(1, 2, 4));
        sends(1, true);
        now += TRIP / 2; /* nobody answers that fast: it was the first one */
        ck_assert(!hears(5, 0, 0));
        ck_assert(flight->is_reordering);
        ck_assert_uint_eq(flight->patience, 2);
        now += TRIP;
        for (unsigned i = 5; i <= 10; i++)
                sends(i, false);
        now += TRIP;
        ck_assert(!hears(5, 6, 10)); /* five have overtaken it */
        ck_assert_uint_eq(flight->lost_at, now + 4 * flight->round_trip.variation_usec);
}
END_TEST

START_TEST(what_does_not_come_although_a_fast_answer_did_is_lost) {
        sends_many(3);
        now += 10 * TRIP;
        sends(1, true);
        now += TRIP / 10; /* the way has become a better one, or the first was late */
        ck_assert(!hears(2, 0, 0));
        ck_assert(has(2) && has(3));
        now = flight->lost_at;
        ck_assert(flight_tick(flight, now));
        ck_assert(flight_is_empty(flight));
}
END_TEST

START_TEST(silence_for_long_is_persistent_congestion) {
        uint64_t patience = flight_patience_usec(flight);

        sends_many(5);
        for (unsigned i = 0; i < 4; i++) {
                now += patience << i;
                sends(1, true);
        }
        now += TRIP;
        ck_assert(hears(2, 0, 0));
        ck_assert_uint_eq(flight->congestion.window, CONGESTION_WINDOW_MIN);
}
END_TEST

START_TEST(two_losses_far_apart_are_not_if_something_came_in_between) {
        uint64_t far = 4 * flight_patience_usec(flight);

        sends(1, false);
        now += far / 2;
        sends(2, false);
        now += far / 2;
        sends(3, false);
        sends(4, false);
        now += TRIP;
        ck_assert(hears(1, 2, 2));
        now += TRIP;
        ck_assert(hears(1, 4, 4) || flight_tick(flight, flight->lost_at));
        ck_assert_uint_eq(flight->congestion.window, CONGESTION_WINDOW_FIRST);
}
END_TEST

static void hears_marks(uint64_t received, uint16_t n_marked) {
        Record ack = { .type = RECORD_ACK, .ack = { .received = received, .n_marked = n_marked } };
        bool progress;

        ck_assert(!flight_on_ack(flight, &ack, now, &progress));
}

START_TEST(a_mark_halves_once_a_round_and_loses_nothing) {
        uint64_t window = flight->congestion.window;

        sends_many(9);
        hears_marks(3, 1);
        ck_assert_uint_eq(flight->congestion.window, window / 2);
        hears_marks(5, 2);
        hears_marks(6, 2);
        ck_assert_uint_eq(flight->congestion.window, window / 2);
        ck_assert_uint_eq(flight->n_pieces, 4);
        hears_marks(10, 2);
        sends(10, false);
        hears_marks(11, 3);
        ck_assert_uint_eq(flight->congestion.window, CONGESTION_WINDOW_MIN);
}
END_TEST

START_TEST(marks_are_counted_around_their_end) {
        uint64_t window = flight->congestion.window;

        flight->n_marked = UINT16_MAX;
        hears_marks(1, UINT16_MAX);
        ck_assert_uint_eq(flight->congestion.window, window);
        sends(1, false);
        hears_marks(2, 0);
        ck_assert_uint_lt(flight->congestion.window, window);
}
END_TEST

START_TEST(the_window_bounds_what_is_in_flight) {
        unsigned n = 0;

        ck_assert(flight_allows(flight, 3 * CONGESTION_WINDOW_FIRST)); /* the first always */
        while (flight_allows(flight, SIZE))
                sends(++n, false);
        ck_assert_uint_eq(n, 2 * CONGESTION_WINDOW_FIRST / SIZE);
        ck_assert_uint_le(flight->n_bytes, flight->congestion.window);
}
END_TEST

START_TEST(the_log_is_bounded) {
        unsigned n = 0;

        while (flight_allows(flight, 1)) {
                flight_begin(flight, now);
                flight_add(flight, ++n, 1, false);
        }
        ck_assert_uint_le(n, FLIGHT_PIECES_MAX);
        for (unsigned i = 0; i < 10; i++)
                sends(1, true);
        ck_assert_uint_le(flight->n_pieces, FLIGHT_PIECES_MAX);
        ck_assert(!hears(n + 1, 0, 0));
        ck_assert(flight_is_empty(flight));
        ck_assert_uint_eq(flight->n_bytes, 0);
}
END_TEST

START_TEST(after_idleness_the_window_is_as_at_first) {
        sends(1, false);
        ck_assert(!hears(2, 0, 0));
        ck_assert_uint_gt(flight->congestion.window, CONGESTION_WINDOW_FIRST);
        now += 10 * flight_patience_usec(flight);
        sends(2, false);
        ck_assert_uint_eq(flight->congestion.window, CONGESTION_WINDOW_FIRST);
}
END_TEST

START_TEST(a_refusal_halves_and_loses_nothing) {
        uint64_t window = flight->congestion.window;

        sends_many(3);
        flight_on_refusal(flight);
        flight_on_refusal(flight);
        ck_assert_uint_eq(flight->congestion.window, window / 2);
        ck_assert_uint_eq(flight->n_pieces, 3);
}
END_TEST

START_TEST(what_is_forgotten_is_no_loss) {
        uint64_t window = flight->congestion.window;

        sends_many(5);
        flight_forget(flight);
        ck_assert(flight_is_empty(flight));
        ck_assert_uint_eq(flight->n_bytes, 0);
        sends(1, true);
        ck_assert(!hears(6, 0, 0));
        ck_assert_uint_eq(flight->congestion.window, window);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("flight");
        TCase *all = tcase_create("all");

        tcase_add_checked_fixture(all, measured, end);
        tcase_add_test(all, what_was_sent_is_in_flight_until_it_came);
        tcase_add_test(all, records_of_one_packet_are_one_piece);
        tcase_add_test(all, what_three_later_packets_overtook_is_lost);
        tcase_add_test(all, what_is_late_by_an_eighth_of_a_round_trip_is_lost);
        tcase_add_test(all,
                       each_repair_waits_twice_as_long_as_the_last_until_there_is_a_sample);
        tcase_add_loop_test(all, a_repair_that_is_answered_in_time_halves_that, 1, 5);
        tcase_add_loop_test(all, a_repair_that_is_answered_at_another_time_does_not, 0, 2);
        tcase_add_test(all, a_repair_in_time_beside_one_that_is_not_does_not);
        tcase_add_test(all, repairs_of_one_round_are_in_vain_once);
        tcase_add_test(all, nothing_behind_the_last_that_came_is_lost);
        tcase_add_test(all, losses_of_one_round_halve_once);
        tcase_add_test(all, what_was_sent_again_says_nothing_of_the_way);
        tcase_add_test(all, what_was_asked_for_in_vain_says_nothing_either);
        tcase_add_test(all, what_was_given_up_says_nothing_either);
        tcase_add_test(all, a_part_that_was_given_up_is_enough);
        tcase_add_test(all, a_skip_that_fills_a_gap_has_overtaken_nothing);
        tcase_add_test(all, an_answer_to_what_was_asked_shows_what_else_is_lost);
        tcase_add_test(all, who_was_wrong_about_a_loss_waits_for_longer);
        tcase_add_test(all, what_does_not_come_although_a_fast_answer_did_is_lost);
        tcase_add_test(all, silence_for_long_is_persistent_congestion);
        tcase_add_test(all, two_losses_far_apart_are_not_if_something_came_in_between);
        tcase_add_test(all, a_mark_halves_once_a_round_and_loses_nothing);
        tcase_add_test(all, marks_are_counted_around_their_end);
        tcase_add_test(all, the_window_bounds_what_is_in_flight);
        tcase_add_test(all, the_log_is_bounded);
        tcase_add_test(all, after_idleness_the_window_is_as_at_first);
        tcase_add_test(all, a_refusal_halves_and_loses_nothing);
        tcase_add_test(all, what_is_forgotten_is_no_loss);
        suite_add_tcase(suite, all);
        return suite;
}
