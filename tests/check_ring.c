/* SPDX-License-Identifier: Apache-2.0 */

#include "libcore/ring.h"

#include <stdlib.h>
#include <string.h>

#include "libcore/util.h"
#include "tests/main.h"
#include "tests/ring-pair.h"
#include "tests/wire.h"

/* The plain case */

static RingPair pair;

static void pair_setup(void) {
        ring_pair_open(&pair, RING_SIZE_MIN, RING_SIZE_MIN);
}

static void pair_teardown(void) {
        ring_pair_close(&pair);
}

START_TEST(entries_come_out_as_they_went_in) {
        static const size_t sizes[] = { 1, 7, 8, 9, 64, 4096, 40000 };

        ring_expect_no_entry(&pair.b.consumer, RING_E_EMPTY);
        for (unsigned i = 0; i < ELEMENTSOF(sizes); i++)
                ring_put(&pair.a.producer, sizes[i], (uint8_t)i);
        ring_publish(&pair.a.producer);
        for (unsigned i = 0; i < ELEMENTSOF(sizes); i++)
                ring_expect_entry(&pair.b.consumer, sizes[i], (uint8_t)i);
        ring_expect_no_entry(&pair.b.consumer, RING_E_EMPTY);
}
END_TEST

START_TEST(both_directions_are_apart) {
        ring_put(&pair.a.producer, 10, 1);
        ring_put(&pair.b.producer, 20, 2);
        ring_publish(&pair.a.producer);
        ring_publish(&pair.b.producer);
        ring_expect_entry(&pair.b.consumer, 10, 1);
        ring_expect_entry(&pair.a.consumer, 20, 2);
        ring_expect_no_entry(&pair.a.consumer, RING_E_EMPTY);
        ring_expect_no_entry(&pair.b.consumer, RING_E_EMPTY);
}
END_TEST

START_TEST(each_entry_has_the_stamp_of_when_it_was_committed) {
        static const uint32_t stamps[] = { 0, 1, INT32_MAX, UINT32_MAX };

        for (unsigned i = 0; i < ELEMENTSOF(stamps); i++) {
                pair.a.producer.stamp = stamps[i];
                ring_put(&pair.a.producer, 1 + i, (uint8_t)i);
        }
        ring_publish(&pair.a.producer);
        for (unsigned i = 0; i < ELEMENTSOF(stamps); i++) {
                ring_expect_entry(&pair.b.consumer, 1 + i, (uint8_t)i);
                ck_assert_uint_eq(pair.b.consumer.stamp, stamps[i]);
        }
}
END_TEST

START_TEST(less_may_be_committed_than_was_reserved) {
        uint8_t *entry = NULL;

        ck_assert_int_eq(ring_reserve(&pair.a.producer, 5000, &entry), 0);
        memcpy(entry, "\x05\x06\x07", 3);
        ring_commit(&pair.a.producer, 3);
        ring_put(&pair.a.producer, 1, 9);
        ring_publish(&pair.a.producer);
        ck_assert_uint_eq(pair.a.own.page->producer.produced, 32);
        ring_expect_entry(&pair.b.consumer, 3, 5);
        ring_expect_entry(&pair.b.consumer, 1, 9);
}
END_TEST

START_TEST(a_batch_is_published_with_one_store) {
        const uint64_t *produced = &pair.a.own.page->producer.produced;

        for (unsigned i = 0; i < 5; i++) {
                ring_put(&pair.a.producer, 16, (uint8_t)i);
                ck_assert_uint_eq(*produced, 0);
                ring_expect_no_entry(&pair.b.consumer, RING_E_EMPTY);
                ck_assert(!ring_has_entry(&pair.b.consumer));
        }
        ring_publish(&pair.a.producer);
        ck_assert_uint_eq(*produced, 5 * 24);
        ck_assert(ring_has_entry(&pair.b.consumer));
        for (unsigned i = 0; i < 5; i++)
                ring_expect_entry(&pair.b.consumer, 16, (uint8_t)i);
        ck_assert(!ring_has_entry(&pair.b.consumer));
}
END_TEST

START_TEST(a_peeked_entry_stays_until_it_is_passed) {
        const uint8_t *first, *again;
        size_t n;

        ring_put(&pair.a.producer, 3, 0);
        ring_publish(&pair.a.producer);
        ck_assert_int_eq(ring_peek(&pair.b.consumer, &first, &n), 0);
        ck_assert_int_eq(ring_peek(&pair.b.consumer, &again, &n), 0);
        ck_assert_ptr_eq(first, again);
        ring_advance(&pair.b.consumer);
        ring_advance(&pair.b.consumer); /* there is nothing to pass */
        ck_assert_uint_eq(ring_position(&pair.b.consumer), 16);
}
END_TEST

START_TEST(fill_and_size_are_known) {
        ring_put(&pair.a.producer, 100, 0);
        ck_assert_uint_eq(ring_producer_fill(&pair.a.producer), 112);
        ck_assert_uint_eq(ring_consumer_fill(&pair.b.consumer), 0);
        ring_publish(&pair.a.producer);
        ck_assert_uint_eq(ring_consumer_fill(&pair.b.consumer), 112);
        ring_expect_entry(&pair.b.consumer, 100, 0);
        ck_assert_uint_eq(ring_consumer_fill(&pair.b.consumer), 0);
        ck_assert_uint_eq(ring_producer_fill(&pair.a.producer), 112);
        ring_release(&pair.b.consumer, ring_position(&pair.b.consumer));
        ck_assert_uint_eq(ring_producer_fill(&pair.a.producer), 0);
        ck_assert_uint_eq(ring_producer_size(&pair.a.producer), RING_SIZE_MIN);
        ck_assert_uint_eq(ring_consumer_size(&pair.b.consumer), RING_SIZE_MIN);
}
END_TEST

START_TEST(file_and_entry_are_those_of_the_protocol) {
        size_t n_page, n_entry, n_record, n;
        _cleanup_(freep) uint8_t *page = wire_read("ring-page", &n_page);
        _cleanup_(freep) uint8_t *entry = wire_read("ring-entry", &n_entry);
        _cleanup_(freep) uint8_t *record = wire_read("record-msg", &n_record);
        const uint8_t *read;
        uint8_t *room;

        ck_assert_int_eq(ring_reserve(&pair.b.producer, 30, &room), 0);
        ring_commit(&pair.b.producer, 30);
        ring_publish(&pair.b.producer);
        ck_assert_int_eq(ring_reserve(&pair.a.producer, n_record, &room), 0);
        memcpy(room, record, n_record);
        ring_commit(&pair.a.producer, n_record);
        ring_publish(&pair.a.producer);

        /* The side of the dump read what the other said, and sleeps. */
        ck_assert_int_eq(ring_peek(&pair.a.consumer, &read, &n), 0);
        ring_advance(&pair.a.consumer);
        ring_release(&pair.a.consumer, ring_position(&pair.a.consumer));
        ck_assert(ring_sleep(&pair.a.consumer));

        ck_assert_uint_eq(n_page, 3 * RING_ABI_LINE_SIZE);
        ck_assert_mem_eq(pair.a.own.page, page, n_page);
        ck_assert_uint_eq(n_entry, ring_entry_size(n_record));
        ck_assert_mem_eq(pair.a.own.data, entry, n_entry);
}
END_TEST

/* Wrap and limits */

START_TEST(an_entry_is_contiguous_at_every_offset) {
        /* 40 bytes with its head, so the walk meets each multiple of 8 once. */
        for (unsigned i = 0; i < RING_SIZE_MIN / 8; i++) {
                ring_put(&pair.a.producer, 32, (uint8_t)i);
                ring_publish(&pair.a.producer);
                ring_expect_entry(&pair.b.consumer, 32, (uint8_t)i);
                ring_release(&pair.b.consumer, ring_position(&pair.b.consumer));
        }
        ck_assert_uint_eq(ring_position(&pair.b.consumer), 40 * RING_SIZE_MIN / 8);
}
END_TEST

START_TEST(the_largest_entry_fits_at_any_offset_of_the_smallest_ring) {
        for (unsigned i = 0; i < 64; i++) {
                ring_put(&pair.a.producer, 1032, (uint8_t)i);
                ring_publish(&pair.a.producer);
                ring_expect_no_room(&pair.a.producer, RING_ENTRY_MAX, RING_E_FULL);
                ring_expect_entry(&pair.b.consumer, 1032, (uint8_t)i);
                ring_release(&pair.b.consumer, ring_position(&pair.b.consumer));

                ring_put(&pair.a.producer, RING_ENTRY_MAX, (uint8_t)i);
                ring_publish(&pair.a.producer);
                ring_expect_no_room(&pair.a.producer, 1, RING_E_FULL);
                ring_expect_entry(&pair.b.consumer, RING_ENTRY_MAX, (uint8_t)i);
                ring_release(&pair.b.consumer, ring_position(&pair.b.consumer));
        }
}
END_TEST

START_TEST(a_full_ring_keeps_the_oldest) {
        unsigned n = RING_SIZE_MIN / 64;

        for (unsigned i = 0; i < n; i++)
                ring_put(&pair.a.producer, 56, (uint8_t)i);
        ring_expect_no_room(&pair.a.producer, 1, RING_E_FULL);
        ring_publish(&pair.a.producer);
        ring_expect_no_room(&pair.a.producer, 1, RING_E_FULL);
        for (unsigned i = 0; i < n; i++)
                ring_expect_entry(&pair.b.consumer, 56, (uint8_t)i);
        ring_expect_no_entry(&pair.b.consumer, RING_E_EMPTY);
}
END_TEST

START_TEST(room_comes_back_only_when_it_is_released) {
        uint64_t first;

        ring_put(&pair.a.producer, 32760, 1);
        ring_put(&pair.a.producer, 32760, 2);
        ring_publish(&pair.a.producer);
        ring_expect_entry(&pair.b.consumer, 32760, 1);
        first = ring_position(&pair.b.consumer);
        ring_expect_entry(&pair.b.consumer, 32760, 2);
        ring_expect_no_room(&pair.a.producer, 1, RING_E_FULL);

        ring_release(&pair.b.consumer, first); /* the second is still held */
        ring_expect_no_room(&pair.a.producer, 32761, RING_E_FULL);
        ring_put(&pair.a.producer, 32760, 3);
        ring_publish(&pair.a.producer);
        ring_expect_entry(&pair.b.consumer, 32760, 3);
}
END_TEST

START_TEST(positions_may_wrap_around_their_integer) {
        uint64_t start = UINT64_MAX - 40 * 1000 + 1;
        struct ring_abi_producer *produced = &pair.a.own.page->producer;
        struct ring_abi_consumer *consumed = &pair.b.own.page->consumer;

        start &= ~(uint64_t)7;
        produced->produced = consumed->consumed = start;
        pair.a.producer.position = pair.a.producer.published = pair.a.producer.consumed = start;
        pair.a.producer.limit = start + RING_SIZE_MIN;
        pair.b.consumer.position = pair.b.consumer.next = pair.b.consumer.produced = start;
        pair.b.consumer.released = start;
        for (unsigned i = 0; i < 4000; i++) {
                ck_assert(ring_sleep(&pair.b.consumer));
                ring_put(&pair.a.producer, 32, (uint8_t)i);
                ck_assert(ring_publish(&pair.a.producer));
                ring_expect_entry(&pair.b.consumer, 32, (uint8_t)i);
                ring_release(&pair.b.consumer, ring_position(&pair.b.consumer));
        }
        ck_assert_uint_lt(produced->produced, start);
}
END_TEST

/* Sleeping */

START_TEST(an_awake_consumer_gets_no_bell) {
        ring_put(&pair.a.producer, 8, 0);
        ck_assert(!ring_publish(&pair.a.producer));
        ck_assert(!ring_publish(&pair.a.producer)); /* nothing new */
}
END_TEST

START_TEST(a_sleeping_consumer_gets_one_bell) {
        ck_assert(ring_sleep(&pair.b.consumer));
        ring_put(&pair.a.producer, 8, 0);
        ring_put(&pair.a.producer, 8, 1);
        ck_assert(ring_publish(&pair.a.producer));
        ring_put(&pair.a.producer, 8, 2);
        ck_assert(!ring_publish(&pair.a.producer));
        for (unsigned i = 0; i < 3; i++)
                ring_expect_entry(&pair.b.consumer, 8, (uint8_t)i);
        /* It goes on without sleeping: what it left behind was passed. */
        ring_put(&pair.a.producer, 8, 3);
        ck_assert(!ring_publish(&pair.a.producer));
        ring_expect_entry(&pair.b.consumer, 8, 3);
        ck_assert(ring_sleep(&pair.b.consumer));
        ring_put(&pair.a.producer, 8, 4);
        ck_assert(ring_publish(&pair.a.producer));
}
END_TEST

START_TEST(nobody_sleeps_over_an_entry) {
        ring_put(&pair.a.producer, 8, 0);
        ring_put(&pair.a.producer, 8, 1);
        ring_publish(&pair.a.producer);
        ck_assert(!ring_sleep(&pair.b.consumer));
        ring_expect_entry(&pair.b.consumer, 8, 0);
        ck_assert(!ring_sleep(&pair.b.consumer));
        ring_expect_entry(&pair.b.consumer, 8, 1);
        ck_assert(ring_sleep(&pair.b.consumer));
}
END_TEST

START_TEST(a_producer_that_waits_gets_one_bell_when_there_is_room_enough) {
        for (unsigned i = 0; i < 4; i++)
                ring_put(&pair.a.producer, 16376, (uint8_t)i);
        ring_publish(&pair.a.producer);
        ring_expect_no_room(&pair.a.producer, 32760, RING_E_FULL);
        ck_assert(!ring_wait_for_room(&pair.a.producer, 32760));

        ring_expect_entry(&pair.b.consumer, 16376, 0);
        ck_assert(!ring_release(&pair.b.consumer, ring_position(&pair.b.consumer)));
        ring_expect_no_room(&pair.a.producer, 32760, RING_E_FULL);
        ring_expect_entry(&pair.b.consumer, 16376, 1);
        ck_assert(ring_release(&pair.b.consumer, ring_position(&pair.b.consumer)));
        ck_assert(!ring_release(&pair.b.consumer, ring_position(&pair.b.consumer)));
        ring_expect_entry(&pair.b.consumer, 16376, 2);
        ck_assert(!ring_release(&pair.b.consumer, ring_position(&pair.b.consumer)));
        ring_put(&pair.a.producer, 32760, 5);
}
END_TEST

START_TEST(nobody_waits_for_room_that_there_is) {
        ck_assert(ring_wait_for_room(&pair.a.producer, RING_ENTRY_MAX));
        ring_put(&pair.a.producer, RING_ENTRY_MAX, 0);
        ring_publish(&pair.a.producer);
        ring_expect_entry(&pair.b.consumer, RING_ENTRY_MAX, 0);
        ck_assert(!ring_wait_for_room(&pair.a.producer, 1));
        ring_release(&pair.b.consumer, ring_position(&pair.b.consumer));
        ck_assert(ring_wait_for_room(&pair.a.producer, RING_ENTRY_MAX));
        ring_put(&pair.a.producer, RING_ENTRY_MAX, 0);
}
END_TEST

Suite *check_suite(void) {
        Suite *s = suite_create("ring");
        TCase *t = tcase_create("entries");

        tcase_add_checked_fixture(t, pair_setup, pair_teardown);
        tcase_add_test(t, entries_come_out_as_they_went_in);
        tcase_add_test(t, both_directions_are_apart);
        tcase_add_test(t, each_entry_has_the_stamp_of_when_it_was_committed);
        tcase_add_test(t, less_may_be_committed_than_was_reserved);
        tcase_add_test(t, a_batch_is_published_with_one_store);
        tcase_add_test(t, a_peeked_entry_stays_until_it_is_passed);
        tcase_add_test(t, fill_and_size_are_known);
        tcase_add_test(t, file_and_entry_are_those_of_the_protocol);
        tcase_add_test(t, an_entry_is_contiguous_at_every_offset);
        tcase_add_test(t, the_largest_entry_fits_at_any_offset_of_the_smallest_ring);
        tcase_add_test(t, a_full_ring_keeps_the_oldest);
        tcase_add_test(t, room_comes_back_only_when_it_is_released);
        tcase_add_test(t, positions_may_wrap_around_their_integer);
        suite_add_tcase(s, t);

        t = tcase_create("sleep");
        tcase_add_checked_fixture(t, pair_setup, pair_teardown);
        tcase_add_test(t, an_awake_consumer_gets_no_bell);
        tcase_add_test(t, a_sleeping_consumer_gets_one_bell);
        tcase_add_test(t, nobody_sleeps_over_an_entry);
        tcase_add_test(t, a_producer_that_waits_gets_one_bell_when_there_is_room_enough);
        tcase_add_test(t, nobody_waits_for_room_that_there_is);
        suite_add_tcase(s, t);

        return s;
}
