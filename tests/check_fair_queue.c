/* SPDX-License-Identifier: Apache-2.0 */

#include "libcore/fair-queue.h"

#include <stdlib.h>

#include "tests/main.h"

#define NOW (UINT64_C(100) * USEC_PER_SEC)
#define PLENTY (UINT64_C(1) << 40)

/* What the tests queue: who sent it, in which flow, and as which of that flow's. */
typedef struct Thing {
        FairItem item;
        unsigned source, flow, number;
} Thing;

static FairPool *pool;
static FairQueue *queue;
static unsigned n_pushed[8][FAIR_FLOWS];

static void setup(void) {
        ck_assert_int_eq(fair_pool_new(&pool), 0);
}

static void make(uint64_t bytes_max, uint64_t items_max) {
        ck_assert_int_eq(fair_new(&queue, pool, bytes_max, items_max), 0);
}

static FairSource source_of(unsigned source) {
        return (FairSource){ { source, 7 } };
}

static void push_at(unsigned source, unsigned flow, uint32_t size, uint64_t now) {
        Thing *thing = calloc(1, sizeof(*thing));

        ck_assert_ptr_nonnull(thing);
        thing->source = source;
        thing->flow = flow;
        thing->number = n_pushed[source][flow]++;
        ck_assert_int_eq(fair_push(queue, source_of(source), flow, &thing->item, size, now), 0);
}

static void push(unsigned source, unsigned flow, uint32_t size) {
        push_at(source, flow, size, NOW);
}

/* Takes what the queue gave out; source 0 for nothing. */
static Thing take(FairItem *item) {
        Thing copy = { .source = 0 };

        if (!item)
                return copy;
        copy = *container_of(item, Thing, item);
        free(container_of(item, Thing, item));
        return copy;
}

static Thing pop(void) {
        return take(fair_pop(queue, NOW));
}

static Thing overflow(void) {
        return take(fair_overflow(queue));
}

static void teardown(void) {
        while (pop().source != 0)
                ;
        ck_assert_uint_eq(fair_bytes(queue), 0);
        ck_assert_uint_eq(fair_items(queue), 0);
        queue = fair_free(queue);
        pool = fair_pool_free(pool);
}

/* Turns */

START_TEST(a_flow_stays_in_order) {
        unsigned next[4][FAIR_FLOWS] = { { 0 } };

        make(PLENTY, PLENTY);
        for (unsigned i = 0; i < 2000; i++)
                push(1 + i % 3, i % 5, 72 + i * 37 % 9000);
        ck_assert_uint_eq(fair_items(queue), 2000);
        for (unsigned i = 0; i < 2000; i++) {
                Thing t = pop();

                ck_assert_uint_eq(t.number, next[t.source][t.flow]++);
        }
        ck_assert_uint_eq(pop().source, 0);
}
END_TEST

/* How much goes before the one small item of source 2, flow 1, while source 1 floods. */
static uint64_t delay_of_a_neighbour(unsigned source, uint32_t flood_size) {
        uint64_t bytes = 0;

        for (unsigned i = 0; i < 1000; i++)
                push(1, 0, flood_size);
        for (unsigned i = 0; i < 7; i++)
                ck_assert_uint_eq(pop().source, 1); /* in the midst of it */
        push(source, 1, 100);
        for (;;) {
                Thing t = pop();

                if (t.flow == 1)
                        return bytes;
                bytes += t.item.size;
        }
}

static const uint32_t flood_sizes[] = { 72, 1000, FAIR_QUANTUM, 20000, 65536 };

START_TEST(a_flood_delays_another_source_by_its_quantum) {
        uint32_t size = flood_sizes[_i];

        make(PLENTY, PLENTY);
        ck_assert_uint_le(delay_of_a_neighbour(2, size), FAIR_QUANTUM + size);
}
END_TEST

START_TEST(a_flood_delays_another_flow_of_its_source_by_its_quantum) {
        uint32_t size = flood_sizes[_i];

        make(PLENTY, PLENTY);
        ck_assert_uint_le(delay_of_a_neighbour(1, size), FAIR_QUANTUM + size);
}
END_TEST

/* Bytes that @source gets of the first @bytes that leave. */
static uint64_t share_of(unsigned source, uint64_t bytes) {
        uint64_t n = 0, n_source = 0;

        while (n < bytes) {
                Thing t = pop();

                ck_assert_uint_ne(t.source, 0);
                n += t.item.size;
                if (t.source == source)
                        n_source += t.item.size;
        }
        return n_source;
}

START_TEST(big_and_small_items_get_the_same_bytes) {
        make(PLENTY, PLENTY);
        for (unsigned i = 0; i < 40; i++)
                push(1, 0, 65536);
        for (unsigned i = 0; i < 30000; i++)
                push(2, 0, 100);
        ck_assert_uint_ge(share_of(2, 2000000), 900000);
        ck_assert_uint_ge(share_of(1, 2000000), 900000);
}
END_TEST

START_TEST(many_flows_buy_no_greater_share) {
        make(PLENTY, PLENTY);
        for (unsigned i = 0; i < 2000; i++)
                push(1, i % FAIR_FLOWS, 1000);
        for (unsigned i = 0; i < 2000; i++)
                push(2, 3, 1000);
        ck_assert_uint_ge(share_of(2, 1000000), 490000);
}
END_TEST

/* Bounds */

/* What others hold, in items, of a bound of 1000, and how many more a source gets. */
static const struct {
        unsigned others[3];
        unsigned gets;
} shares[] = {
        { { 0 }, 500 },       /* alone: half */
        { { 500 }, 166 },     /* a second one: a third of what is left */
        { { 500, 166 }, 83 }, /* a third one: a quarter */
        { { 1 }, 333 },       /* who holds little leaves much */
        { { 250, 250 }, 125 },
};

static unsigned fill(unsigned source) {
        unsigned n = 0;

        for (;; n++) {
                push(source, 0, 100);
                if (overflow().source != 0)
                        return n;
        }
}

START_TEST(each_source_has_its_share) {
        make(_i % 2 ? PLENTY : 100 * 1000, _i % 2 ? 1000 : PLENTY); /* of bytes, or of items */
        for (unsigned i = 0; i < 3; i++)
                for (unsigned k = 0; k < shares[_i / 2].others[i]; k++)
                        push(1 + i, 0, 100);
        ck_assert_uint_eq(fill(5), shares[_i / 2].gets);
        ck_assert_uint_eq(overflow().source, 0);
}
END_TEST

START_TEST(the_longest_flow_loses_its_newest) {
        Thing dropped;

        make(100 * 1000, PLENTY);
        for (unsigned i = 0; i < 40; i++)
                push(1, 2, 1000);
        for (unsigned i = 0; i < 10; i++)
                push(1, 9, 1000);
        ck_assert_uint_eq(overflow().source, 0);

        push(1, 9, 2500); /* an innocent flow's stays, and makes room for itself */
        for (unsigned i = 0; i < 3; i++) {
                dropped = overflow();
                ck_assert_uint_eq(dropped.flow, 2);
                ck_assert_uint_eq(dropped.number, 39 - i);
        }
        ck_assert_uint_eq(overflow().source, 0);
        push(1, 2, 1000);
        dropped = overflow();
        ck_assert_uint_eq(dropped.flow, 2);
        ck_assert_uint_eq(dropped.number, 40); /* the flooder's own */
        ck_assert_uint_eq(overflow().source, 0);
}
END_TEST

START_TEST(a_flood_takes_no_room_from_a_neighbour) {
        unsigned n_dropped = 0;

        make(1024 * 1024, 1024);
        for (unsigned round = 0; round < 1000; round++) {
                Thing t;

                for (unsigned i = 0; i < 100; i++) {
                        push(1, i % 3, 500);
                        while ((t = overflow()).source != 0)
                                n_dropped++;
                }
                push(2, 0, 500);
                ck_assert_uint_eq(overflow().source, 0);
                while (pop().source == 1)
                        ;
        }
        ck_assert_uint_gt(n_dropped, 0);
}
END_TEST

START_TEST(an_item_over_the_bound_is_dropped_whoever_sends_it) {
        make(1000, PLENTY);
        push(1, 0, 1001);
        ck_assert_uint_eq(overflow().source, 1);
        ck_assert_uint_eq(overflow().source, 0);
        ck_assert(!fair_has(queue, source_of(1)));
}
END_TEST

/* Marks */

START_TEST(who_meets_a_long_queue_of_his_own_is_marked) {
        make(_i == 0 ? 40000 : PLENTY, _i == 0 ? PLENTY : 40);
        for (unsigned i = 0; i < 15; i++)
                push(1, 0, 1000);
        for (unsigned i = 0; i < 15; i++) {
                Thing t = pop();

                ck_assert_msg(t.item.marked == (i > 9), "item %u", i);
        }
}
END_TEST

START_TEST(who_meets_only_the_queues_of_others_is_not) {
        make(40000, PLENTY);
        for (unsigned i = 0; i < 15; i++)
                push(1, 0, 1000);
        push(1, 1, 100);
        push(2, 1, 100);
        for (unsigned n = 0; n < 2;) {
                Thing t = pop();

                if (t.flow == 1) {
                        ck_assert(!t.item.marked);
                        n++;
                }
        }
}
END_TEST

START_TEST(who_waits_for_long_is_marked) {
        make(PLENTY, PLENTY);
        push(1, 0, 100);
        push(1, 0, 100);
        ck_assert(!take(fair_pop(queue, NOW + FAIR_LONG_USEC - 1)).item.marked);
        ck_assert(take(fair_pop(queue, NOW + FAIR_LONG_USEC)).item.marked);
}
END_TEST

/* Sources */

START_TEST(it_knows_who_still_waits) {
        make(PLENTY, PLENTY);
        ck_assert(!fair_has(queue, source_of(1)));
        push(1, 0, 100);
        push(2, 0, 100);
        ck_assert(fair_has(queue, source_of(1)));
        ck_assert(fair_has(queue, source_of(2)));
        ck_assert(!fair_has(queue, source_of(3)));
        pop();
        ck_assert(!fair_has(queue, source_of(1)));
        ck_assert(fair_has(queue, source_of(2)));
}
END_TEST

START_TEST(sources_come_and_go) {
        make(PLENTY, PLENTY);
        for (unsigned round = 0; round < 3; round++) {
                for (unsigned i = 0; i < 2000; i++) {
                        Thing *thing = calloc(1, sizeof(*thing));

                        ck_assert_ptr_nonnull(thing);
                        thing->source = 1;
                        ck_assert_int_eq(fair_push(queue, source_of(i), i % FAIR_FLOWS,
                                                   &thing->item, 100 + i % 900, NOW),
                                         0);
                }
                for (unsigned i = 0; i < 2000; i++)
                        ck_assert_uint_eq(pop().source, 1);
                ck_assert_uint_eq(pop().source, 0);
        }
}
END_TEST

START_TEST(pairs_are_spread_over_all_flows) {
        unsigned n[FAIR_FLOWS] = { 0 };

        for (uint64_t i = 0; i < 1600; i++)
                n[fair_flow((Address){ i * UINT64_C(0x9e3779b97f4a7c15), 1 },
                            (Address){ i * UINT64_C(0xbf58476d1ce4e5b9), 2 })]++;
        for (unsigned i = 0; i < FAIR_FLOWS; i++)
                ck_assert_msg(n[i] > 50 && n[i] < 200, "flow %u has %u of 1600", i, n[i]);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("fair queue");
        TCase *turns = tcase_create("turns"), *bounds = tcase_create("bounds"),
              *marks = tcase_create("marks"), *sources = tcase_create("sources");

        tcase_add_checked_fixture(turns, setup, teardown);
        tcase_add_test(turns, a_flow_stays_in_order);
        tcase_add_loop_test(turns, a_flood_delays_another_source_by_its_quantum, 0,
                            ELEMENTSOF(flood_sizes));
        tcase_add_loop_test(turns, a_flood_delays_another_flow_of_its_source_by_its_quantum, 0,
                            ELEMENTSOF(flood_sizes));
        tcase_add_test(turns, big_and_small_items_get_the_same_bytes);
        tcase_add_test(turns, many_flows_buy_no_greater_share);
        suite_add_tcase(suite, turns);

        tcase_add_checked_fixture(bounds, setup, teardown);
        tcase_add_loop_test(bounds, each_source_has_its_share, 0, 2 * ELEMENTSOF(shares));
        tcase_add_test(bounds, the_longest_flow_loses_its_newest);
        tcase_add_test(bounds, a_flood_takes_no_room_from_a_neighbour);
        tcase_add_test(bounds, an_item_over_the_bound_is_dropped_whoever_sends_it);
        suite_add_tcase(suite, bounds);

        tcase_add_checked_fixture(marks, setup, teardown);
        tcase_add_loop_test(marks, who_meets_a_long_queue_of_his_own_is_marked, 0, 2);
        tcase_add_test(marks, who_meets_only_the_queues_of_others_is_not);
        tcase_add_test(marks, who_waits_for_long_is_marked);
        suite_add_tcase(suite, marks);

        tcase_add_checked_fixture(sources, setup, teardown);
        tcase_add_test(sources, it_knows_who_still_waits);
        tcase_add_test(sources, sources_come_and_go);
        suite_add_tcase(suite, sources);

        sources = tcase_create("flows");
        tcase_add_test(sources, pairs_are_spread_over_all_flows);
        suite_add_tcase(suite, sources);
        return suite;
}
