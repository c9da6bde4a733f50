/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/outbox.h"

#include "tests/main.h"

#define NOW UINT64_C(1000000)

static const Address alice = { 0x1111111111111111, 1 }, bob = { 0x2222222222222222, 2 },
                     carol = { 0x3333333333333333, 3 }, dave = { 0x4444444444444444, 4 };

static ParcelPool *pool;
static Outbox *outbox;
static uint64_t unique;

static void setup(void) {
        ck_assert_int_eq(parcel_pool_new(&pool), 0);
        ck_assert_int_eq(outbox_new(&outbox, pool, OUTBOX_BYTES_MAX, OUTBOX_PACKETS_MAX), 0);
}

static void small(size_t bytes_max, unsigned packets_max) {
        outbox_free(outbox);
        ck_assert_int_eq(outbox_new(&outbox, pool, bytes_max, packets_max), 0);
}

static void teardown(void) {
        outbox = outbox_free(outbox);
        pool = parcel_pool_free(pool);
}

/* A packet of @size bytes, whose id counts up; @life_usec 0: without a deadline. */
static Parcel *packet(Address src, Address dst, uint32_t size, uint64_t life_usec) {
        PacketHeader header = {
                .size = size,
                .src = src,
                .dst = dst,
                .id = packet_id_make(NOW, ++unique),
                .deadline_usec = life_usec ? NOW + life_usec : 0,
                .kind = PACKET_SEALED,
        };
        uint8_t *bytes = calloc(1, size);
        Parcel *parcel;

        ck_assert_ptr_nonnull(bytes);
        packet_header_encode(&header, bytes);
        ck_assert_int_eq(parcel_new(pool, &header, bytes, &parcel), 0);
        free(bytes);
        return parcel;
}

static uint64_t push(Address src, Address dst, uint32_t size) {
        ck_assert_int_eq(outbox_push(outbox, packet(src, dst, size, 0), NOW), 0);
        return unique;
}

static uint64_t number(const Parcel *parcel) {
        return load_be64(parcel->id.bytes + 8);
}

static bool has_ce(const Parcel *parcel) {
        return parcel->data[6] & PACKET_CE;
}

START_TEST(packets_of_one_flow_stay_in_order) {
        for (unsigned i = 0; i < 100; i++)
                push(alice, bob, 72 + i * 300);
        ck_assert_uint_eq(outbox_packets(outbox), 100);

        for (uint64_t i = unique - 99; i <= unique; i++) {
                Parcel *p = outbox_pop(outbox, NOW);

                ck_assert_ptr_nonnull(p);
                ck_assert_uint_eq(number(p), i);
                parcel_free(pool, p);
        }
        ck_assert_ptr_null(outbox_pop(outbox, NOW));
        ck_assert_uint_eq(outbox_bytes(outbox), 0);
        ck_assert_uint_eq(outbox_packets(outbox), 0);
}
END_TEST

/* Whose turn it is, and who loses, is libcore/fair-queue.h's: processes are its sources. */
START_TEST(processes_take_turns_and_who_floods_loses) {
        unsigned n_dropped = 0;
        Parcel *p;

        small(100 * 1000, 1000);
        for (unsigned i = 0; i < 60; i++) {
                push(alice, bob, 1000);
                while ((p = outbox_overflow(outbox))) {
                        ck_assert_uint_eq(number(p), unique);
                        parcel_free(pool, p);
                        n_dropped++;
                }
        }
        ck_assert_uint_eq(n_dropped, 10);
        push(carol, dave, 1000);
        ck_assert_ptr_null(outbox_overflow(outbox));
        ck_assert_uint_eq(outbox_packets(outbox), 51);
        ck_assert_uint_eq(outbox_bytes(outbox), 51000);
        for (unsigned i = 0;; i++) {
                bool is_carol;

                ck_assert_uint_lt(i, 10);
                p = outbox_pop(outbox, NOW);
                is_carol = address_equal(p->src, carol);
                parcel_free(pool, p);
                if (is_carol)
                        break;
        }
}
END_TEST

START_TEST(ce_after_a_long_wait) {
        Parcel *p;

        push(alice, bob, 100);
        push(alice, bob, 100);
        p = outbox_pop(outbox, NOW + FAIR_LONG_USEC - 1);
        ck_assert(!has_ce(p));
        parcel_free(pool, p);
        p = outbox_pop(outbox, NOW + FAIR_LONG_USEC);
        ck_assert(has_ce(p));
        parcel_free(pool, p);
}
END_TEST

START_TEST(it_knows_who_still_waits) {
        ck_assert(!outbox_has(outbox, alice));
        push(alice, bob, 100);
        ck_assert(outbox_has(outbox, alice));
        ck_assert(!outbox_has(outbox, bob));
        parcel_free(pool, outbox_pop(outbox, NOW));
        ck_assert(!outbox_has(outbox, alice));
}
END_TEST

static const struct {
        const char *what;
        uint64_t life_usec; /* 0: no deadline */
        uint64_t held_usec;
        bool expired;
} lives[] = {
        { "no deadline", 0, UINT64_C(1) << 50, false },
        { "in time", 1000, 1000, false },
        { "too late", 1000, 1001, true },
};

START_TEST(a_deadline_is_how_long_we_may_hold_it) {
        Parcel *p;

        ck_assert_int_eq(outbox_push(outbox, packet(alice, bob, 100, lives[_i].life_usec), NOW), 0);
        p = outbox_pop(outbox, NOW);
        ck_assert_msg(parcel_is_expired(p, NOW + lives[_i].held_usec) == lives[_i].expired, "%s",
                      lives[_i].what);
        parcel_free(pool, p);
}
END_TEST

/* It was given back by a relay that does not know where to, and goes to another. */
START_TEST(a_second_link_gives_no_more_time) {
        Parcel *p;

        ck_assert_int_eq(outbox_push(outbox, packet(alice, bob, 100, 1000), NOW), 0);
        p = outbox_pop(outbox, NOW);
        ck_assert_int_eq(outbox_push(outbox, p, NOW + 900), 0);
        p = outbox_pop(outbox, NOW + 900);
        ck_assert(!parcel_is_expired(p, NOW + 1000));
        ck_assert(parcel_is_expired(p, NOW + 1001));
        parcel_free(pool, p);
}
END_TEST

START_TEST(a_deadline_before_sending_leaves_no_time) {
        PacketHeader header = {
                .size = PACKET_HEADER_SIZE,
                .id = packet_id_make(NOW, 1),
                .deadline_usec = NOW - 1,
                .kind = PACKET_SEALED,
        };
        uint8_t bytes[PACKET_HEADER_SIZE];
        Parcel *parcel;

        packet_header_encode(&header, bytes);
        ck_assert_int_eq(parcel_new(pool, &header, bytes, &parcel), 0);
        parcel->since_usec = NOW;
        ck_assert(parcel_is_expired(parcel, NOW + 1));
        parcel_free(pool, parcel);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("bridge outbox");
        TCase *fair = tcase_create("fair");
        TCase *bounded = tcase_create("bounded");

        tcase_add_checked_fixture(fair, setup, teardown);
        tcase_add_test(fair, packets_of_one_flow_stay_in_order);
        tcase_add_test(fair, processes_take_turns_and_who_floods_loses);
        tcase_add_test(fair, it_knows_who_still_waits);
        suite_add_tcase(suite, fair);

        tcase_add_checked_fixture(bounded, setup, teardown);
        tcase_add_test(bounded, ce_after_a_long_wait);
        tcase_add_loop_test(bounded, a_deadline_is_how_long_we_may_hold_it, 0, ELEMENTSOF(lives));
        tcase_add_test(bounded, a_deadline_before_sending_leaves_no_time);
        tcase_add_test(bounded, a_second_link_gives_no_more_time);
        suite_add_tcase(suite, bounded);
        return suite;
}
