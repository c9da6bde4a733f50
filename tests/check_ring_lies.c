/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rings whose other side breaks the rules: each impossible claim is found out, and the ring is
 * broken for good. What the other side may write is written through its own mapping.
 */

#include <stdlib.h>

#include "libcore/ring.h"
#include "libcore/util.h"
#include "tests/main.h"
#include "tests/ring-pair.h"

static RingPair pair;

static void pair_setup(void) {
        ring_pair_open(&pair, RING_SIZE_MIN, RING_SIZE_MIN);
}

static void pair_teardown(void) {
        ring_pair_close(&pair);
}

static void expect_broken_consumer(RingConsumer *c) {
        uint64_t consumed = c->own->consumed, wake_at = c->own->wake_at;

        for (unsigned i = 0; i < 3; i++) {
                ring_expect_no_entry(c, RING_E_VIOLATION);
                ck_assert(!ring_sleep(c)); /* but look: there it is told */
                ring_advance(c);
                ck_assert(!ring_release(c, ring_position(c)));
        }
        ck_assert_uint_eq(c->own->consumed, consumed);
        ck_assert_uint_eq(c->own->wake_at, wake_at);
}

static void expect_broken_producer(RingProducer *p) {
        uint64_t produced = p->own->produced, wake_at = p->own->wake_at;

        for (unsigned i = 0; i < 3; i++) {
                ring_expect_no_room(p, 1, RING_E_VIOLATION);
                ck_assert(ring_wait_for_room(p, 1)); /* but look: there it is told */
                ck_assert(!ring_publish(p));
        }
        ck_assert_uint_eq(p->own->produced, produced);
        ck_assert_uint_eq(p->own->wake_at, wake_at);
}

/* After 1,000 bytes were published and read, and 400 of them released. */
static const struct {
        const char *what;
        uint64_t produced;
        bool legal;
} produced_lies[] = {
        { "as it was", 1000, true },
        { "one entry more", 1016, true },
        { "all the room", 400 + RING_SIZE_MIN, true },
        { "over what is not released", 408 + RING_SIZE_MIN, false },
        { "beyond the size", 1000 + 2 * RING_SIZE_MIN, false },
        { "back by one entry", 984, false },
        { "back to what is released", 400, false },
        { "back to zero", 0, false },
        { "no multiple of 8", 1020, false },
        { "just below zero", UINT64_MAX - 7, false },
        { "the largest", UINT64_MAX, false },
        { "the sign", UINT64_C(1) << 63, false },
};

START_TEST(impossible_positions_of_a_producer_break_the_ring) {
        RingConsumer *c = &pair.b.consumer;
        uint64_t *produced = &pair.a.own.page->producer.produced;
        const uint8_t *entry;
        size_t n;
        int r;

        for (unsigned i = 0; i < 5; i++)
                ring_put(&pair.a.producer, 192, (uint8_t)i);
        ring_publish(&pair.a.producer);
        for (unsigned i = 0; i < 5; i++) {
                ring_expect_entry(c, 192, (uint8_t)i);
                if (i == 1)
                        ring_release(c, ring_position(c));
        }
        *(uint64_t *)(pair.a.own.data + 1000) = 8;
        *produced = produced_lies[_i].produced;
        r = ring_peek(c, &entry, &n);
        if (produced_lies[_i].legal) {
                ck_assert_msg(r != RING_E_VIOLATION, "refused: %s", produced_lies[_i].what);
                return;
        }
        ck_assert_msg(r == RING_E_VIOLATION, "accepted: %s", produced_lies[_i].what);
        *produced = 1016; /* honesty comes too late */
        expect_broken_consumer(c);
}
END_TEST

START_TEST(a_lie_while_going_to_sleep_does_not_put_to_sleep) {
        pair.a.own.page->producer.produced = produced_lies[_i].produced;
        if (produced_lies[_i].produced == 0)
                return;
        ck_assert(!ring_sleep(&pair.b.consumer));
}
END_TEST

/* After 1,000 bytes were published, and 400 of them released; 200 more are committed. */
static const struct {
        const char *what;
        uint64_t consumed;
        bool legal;
} consumed_lies[] = {
        { "as it was", 400, true },
        { "more", 408, true },
        { "all", 1000, true },
        { "what is not published", 1008, false },
        { "what is not written", 1208, false },
        { "back", 392, false },
        { "back to zero", 0, false },
        { "no multiple of 8", 401, false },
        { "just below zero", UINT64_MAX - 7, false },
        { "the largest", UINT64_MAX, false },
        { "the sign", UINT64_C(1) << 63, false },
};

START_TEST(impossible_positions_of_a_consumer_break_the_ring) {
        RingProducer *p = &pair.a.producer;
        uint64_t *consumed = &pair.b.own.page->consumer.consumed;
        uint8_t *entry;
        int r;

        for (unsigned i = 0; i < 5; i++)
                ring_put(p, 192, (uint8_t)i);
        ring_publish(p);
        ring_expect_entry(&pair.b.consumer, 192, 0);
        ring_expect_entry(&pair.b.consumer, 192, 1);
        ring_release(&pair.b.consumer, ring_position(&pair.b.consumer));
        ring_expect_no_room(p, RING_ENTRY_MAX, RING_E_FULL); /* has looked */
        ring_put(p, 192, 5);

        *consumed = consumed_lies[_i].consumed;
        r = ring_reserve(p, RING_ENTRY_MAX, &entry);
        if (consumed_lies[_i].legal) {
                ck_assert_msg(r == RING_E_FULL, "refused: %s", consumed_lies[_i].what);
                return;
        }
        ck_assert_msg(r == RING_E_VIOLATION, "accepted: %s", consumed_lies[_i].what);
        *consumed = 400;
        expect_broken_producer(p); /* the sixth entry is never published */
}
END_TEST

/* The first of two entries, 8 and 16 bytes; nothing else is published. */
static const struct {
        const char *what;
        uint32_t size, stamp;
        bool legal;
} head_lies[] = {
        { "as it was", 8, 0, true },
        { "to the last byte", 32, 0, true },
        { "into the padding", 1, 0, true },
        { "size zero", 0, 0, false },
        { "a byte more than there is", 33, 0, false },
        { "more than there is", 40, 0, false },
        { "the largest", RING_ENTRY_MAX, 0, false },
        { "over the largest", RING_ENTRY_MAX + 1, 0, false },
        { "beyond the ring", RING_SIZE_MIN, 0, false },
        { "negative", UINT32_MAX, 0, false },
        { "negative, rounded to zero", UINT32_MAX - 7, 0, false },
        { "written at another time", 8, 1, true },
        { "written at the end of all times", 8, UINT32_MAX, true },
        { "all ones", UINT32_MAX, UINT32_MAX, false },
};

START_TEST(an_impossible_head_breaks_the_ring) {
        RingConsumer *c = &pair.b.consumer;
        uint32_t *head = (uint32_t *)pair.a.own.data;
        const uint8_t *entry;
        size_t n;
        int r;

        ring_put(&pair.a.producer, 8, 1);
        ring_put(&pair.a.producer, 16, 2);
        ring_publish(&pair.a.producer);
        head[0] = head_lies[_i].size;
        head[1] = head_lies[_i].stamp;
        r = ring_peek(c, &entry, &n);
        if (head_lies[_i].legal) {
                ck_assert_msg(r == 0, "refused: %s", head_lies[_i].what);
                ck_assert_uint_eq(n, head_lies[_i].size);
                return;
        }
        ck_assert_msg(r == RING_E_VIOLATION, "accepted: %s", head_lies[_i].what);
        head[0] = 8;
        head[1] = 0;
        expect_broken_consumer(c);
}
END_TEST

START_TEST(any_wake_at_costs_only_bells) {
        static const uint64_t lies[] = { 0, 1, 7, 8, 16, 17, UINT64_MAX, UINT64_C(1) << 63 };

        for (unsigned i = 0; i < ELEMENTSOF(lies); i++) {
                pair.b.own.page->consumer.wake_at = lies[i];
                ring_put(&pair.a.producer, 8, (uint8_t)i);
                ck_assert(ring_publish(&pair.a.producer) ==
                          (lies[i] > 16 * i && lies[i] <= 16 * (i + 1)));
                ring_expect_entry(&pair.b.consumer, 8, (uint8_t)i);
        }
        pair.a.own.page->producer.wake_at = UINT64_MAX;
        ck_assert(!ring_release(&pair.b.consumer, ring_position(&pair.b.consumer)));
}
END_TEST

START_TEST(a_flood_of_bells_breaks_the_ring) {
        RingConsumer *c = &pair.b.consumer;
        const RingProducer *p = &pair.b.producer;
        uint64_t now = 5000000;
        unsigned n_flooded = 0;

        for (unsigned second = 0; second < 4; second++, now += USEC_PER_SEC)
                for (unsigned i = 0; i < RING_VAIN_MAX; i++)
                        n_flooded += ring_woken_in_vain(c, p, now + i);
        ck_assert_uint_eq(n_flooded, 0);
        ck_assert(ring_woken_in_vain(c, p, now - 1));                /* still the fourth second */
        ck_assert(ring_woken_in_vain(c, p, now + 9 * USEC_PER_SEC)); /* for ever */
        expect_broken_consumer(c);
}
END_TEST

START_TEST(a_late_bell_for_an_entry_that_was_found_without_it_is_no_flood) {
        unsigned n_flooded = 0;

        for (unsigned i = 0; i < 2 * RING_VAIN_MAX; i++) {
                ring_pass(&pair.a.producer, &pair.b.consumer, 8);
                n_flooded += ring_woken_in_vain(&pair.b.consumer, &pair.b.producer, 1);
        }
        ck_assert_uint_eq(n_flooded, 0);
}
END_TEST

START_TEST(a_late_bell_for_room_that_was_found_without_it_is_no_flood) {
        unsigned n_flooded = 0;

        for (unsigned i = 0; i < 2 * RING_VAIN_MAX; i++) {
                ring_pass(&pair.b.producer, &pair.a.consumer, 40000);
                if (!ring_wait_for_room(&pair.b.producer, 40000))
                        ck_abort();
                n_flooded += ring_woken_in_vain(&pair.b.consumer, &pair.b.producer, 1);
        }
        ck_assert_uint_eq(n_flooded, 0);
}
END_TEST

Suite *check_suite(void) {
        Suite *s = suite_create("ring-lies");
        TCase *t = tcase_create("lies");

        tcase_add_checked_fixture(t, pair_setup, pair_teardown);
        tcase_add_loop_test(t, impossible_positions_of_a_producer_break_the_ring, 0,
                            ELEMENTSOF(produced_lies));
        tcase_add_loop_test(t, a_lie_while_going_to_sleep_does_not_put_to_sleep, 0,
                            ELEMENTSOF(produced_lies));
        tcase_add_loop_test(t, impossible_positions_of_a_consumer_break_the_ring, 0,
                            ELEMENTSOF(consumed_lies));
        tcase_add_loop_test(t, an_impossible_head_breaks_the_ring, 0, ELEMENTSOF(head_lies));
        tcase_add_test(t, any_wake_at_costs_only_bells);
        tcase_add_test(t, a_flood_of_bells_breaks_the_ring);
        tcase_add_test(t, a_late_bell_for_an_entry_that_was_found_without_it_is_no_flood);
        tcase_add_test(t, a_late_bell_for_room_that_was_found_without_it_is_no_flood);
        suite_add_tcase(s, t);

        return s;
}
