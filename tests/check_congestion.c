/* SPDX-License-Identifier: Apache-2.0 */

#include "libclient/congestion.h"
#include "libclient/round-trip.h"

#include "libcore/util.h"
#include "tests/main.h"

static Congestion c;

static void begin(void) {
        congestion_init(&c);
}

/* A full window was sent and has come. */
static void round_passes(void) {
        uint64_t window = c.window;

        for (uint64_t n = 0; n < window; n += CONGESTION_PACKET)
                congestion_on_ack(&c, CONGESTION_PACKET, window);
}

START_TEST(the_first_window_is_ten_packets) {
        ck_assert_uint_eq(c.window, 10 * CONGESTION_PACKET);
}
END_TEST

START_TEST(slow_start_doubles_each_round) {
        for (unsigned i = 0; i < 5; i++) {
                uint64_t window = c.window;

                round_passes();
                ck_assert_uint_eq(c.window, 2 * window);
        }
}
END_TEST

START_TEST(avoidance_adds_a_packet_each_round) {
        ck_assert(congestion_on_loss(&c, 1, 10));
        for (unsigned i = 0; i < 5; i++) {
                uint64_t window = c.window;

                round_passes();
                ck_assert_uint_eq(c.window, window + CONGESTION_PACKET);
        }
}
END_TEST

START_TEST(a_window_that_is_not_used_does_not_grow) {
        uint64_t window = c.window;

        congestion_on_ack(&c, CONGESTION_PACKET, window / 2 - 1);
        ck_assert_uint_eq(c.window, window);
        congestion_on_ack(&c, CONGESTION_PACKET, window / 2);
        ck_assert_uint_eq(c.window, window + CONGESTION_PACKET);
}
END_TEST

START_TEST(a_loss_halves_once_a_round) {
        uint64_t window;

        round_passes();
        window = c.window;
        ck_assert(congestion_on_loss(&c, 3, 10));
        ck_assert_uint_eq(c.window, window / 2);
        ck_assert_uint_eq(c.threshold, window / 2);
        ck_assert(!congestion_on_loss(&c, 4, 12));
        ck_assert(!congestion_on_loss(&c, 10, 12)); /* was sent before the halving */
        ck_assert_uint_eq(c.window, window / 2);
        ck_assert(congestion_is_recovering(&c, 10));
        ck_assert(!congestion_is_recovering(&c, 11));
}
END_TEST

START_TEST(a_loss_of_the_next_round_halves_again) {
        for (unsigned i = 0; i < 3; i++)
                round_passes();
        ck_assert(congestion_on_loss(&c, 3, 10));
        ck_assert(congestion_on_loss(&c, 11, 20));
        ck_assert_uint_eq(c.window, 8 * CONGESTION_WINDOW_FIRST / 4);
}
END_TEST

START_TEST(there_is_always_room_for_a_packet) {
        for (unsigned i = 1; i < 20; i++)
                (void)congestion_on_loss(&c, i, i);
        ck_assert_uint_eq(c.window, CONGESTION_WINDOW_MIN);
}
END_TEST

START_TEST(persistence_begins_with_the_least_and_slowly) {
        for (unsigned i = 0; i < 4; i++)
                round_passes();
        (void)congestion_on_loss(&c, 5, 9);
        congestion_on_persistence(&c);
        ck_assert_uint_eq(c.window, CONGESTION_WINDOW_MIN);
        ck_assert_uint_eq(c.threshold, 8 * CONGESTION_WINDOW_FIRST); /* slow start up to here */
        round_passes();
        ck_assert_uint_eq(c.window, 2 * CONGESTION_WINDOW_MIN);
}
END_TEST

START_TEST(idleness_takes_back_what_grew) {
        round_passes();
        round_passes();
        congestion_on_idle(&c);
        ck_assert_uint_eq(c.window, CONGESTION_WINDOW_FIRST);
        (void)congestion_on_loss(&c, 1, 1);
        congestion_on_idle(&c); /* and gives nothing */
        ck_assert_uint_eq(c.window, CONGESTION_WINDOW_MIN);
}
END_TEST

/* Round trips */

START_TEST(the_first_round_trip_is_the_estimate) {
        RoundTrip trip = { 0 };

        ck_assert_uint_eq(round_trip_patience_usec(&trip), 999000);
        round_trip_sample(&trip, 40000, 0, 20000);
        ck_assert_uint_eq(trip.smoothed_usec, 40000);
        ck_assert_uint_eq(trip.variation_usec, 20000);
        ck_assert_uint_eq(trip.least_usec, 40000);
        ck_assert_uint_eq(round_trip_patience_usec(&trip), 40000 + 4 * 20000);
}
END_TEST

START_TEST(what_the_peer_waited_is_not_the_way) {
        RoundTrip trip = { 0 };

        round_trip_sample(&trip, 40000, 0, 20000);
        round_trip_sample(&trip, 55000, 15000, 20000);
        ck_assert_uint_eq(trip.smoothed_usec, 40000);
        ck_assert_uint_eq(trip.variation_usec, 15000);
        round_trip_sample(&trip, 80000, 40000, 20000); /* believed up to 20 ms */
        ck_assert_uint_eq(trip.smoothed_usec, (7 * 40000 + 60000) / 8);
}
END_TEST

START_TEST(a_delay_that_would_make_it_less_than_ever_is_not_believed) {
        RoundTrip trip = { 0 };

        round_trip_sample(&trip, 40000, 0, 20000);
        round_trip_sample(&trip, 48000, 15000, 20000);
        ck_assert_uint_eq(trip.smoothed_usec, (7 * 40000 + 48000) / 8);
        ck_assert_uint_eq(trip.least_usec, 40000);
}
END_TEST

/* It may be the only one for long, and then what is lost would be missed as late as that. */
START_TEST(what_hung_for_long_on_its_way_is_no_measure_of_it) {
        RoundTrip trip = { 0 };

        round_trip_sample(&trip, 37 * USEC_PER_SEC, 0, 20000);
        ck_assert_uint_eq(trip.smoothed_usec, ROUND_TRIP_MAX_USEC);
        ck_assert_uint_eq(trip.latest_usec, ROUND_TRIP_MAX_USEC);
}
END_TEST

START_TEST(a_steady_round_trip_leaves_little_patience) {
        RoundTrip trip = { 0 };

        for (unsigned i = 0; i < 100; i++)
                round_trip_sample(&trip, 40000, 0, 20000);
        ck_assert_uint_eq(round_trip_patience_usec(&trip), 41000);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("congestion");
        TCase *window = tcase_create("window");
        TCase *trip = tcase_create("round trip");

        tcase_add_checked_fixture(window, begin, NULL);
        tcase_add_test(window, the_first_window_is_ten_packets);
        tcase_add_test(window, slow_start_doubles_each_round);
        tcase_add_test(window, avoidance_adds_a_packet_each_round);
        tcase_add_test(window, a_window_that_is_not_used_does_not_grow);
        tcase_add_test(window, a_loss_halves_once_a_round);
        tcase_add_test(window, a_loss_of_the_next_round_halves_again);
        tcase_add_test(window, there_is_always_room_for_a_packet);
        tcase_add_test(window, persistence_begins_with_the_least_and_slowly);
        tcase_add_test(window, idleness_takes_back_what_grew);
        suite_add_tcase(suite, window);

        tcase_add_test(trip, the_first_round_trip_is_the_estimate);
        tcase_add_test(trip, what_the_peer_waited_is_not_the_way);
        tcase_add_test(trip, a_delay_that_would_make_it_less_than_ever_is_not_believed);
        tcase_add_test(trip, what_hung_for_long_on_its_way_is_no_measure_of_it);
        tcase_add_test(trip, a_steady_round_trip_leaves_little_patience);
        suite_add_tcase(suite, trip);
        return suite;
}
