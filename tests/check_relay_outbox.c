/* SPDX-License-Identifier: Apache-2.0 */

#include "relay/outbox.h"

#include <stdlib.h>

#include "tests/main.h"

#define NOW (UINT64_C(100) * USEC_PER_SEC)
#define SENT UINT64_C(1763700000000000)

static ParcelPool *pool;

static void setup(void) {
        ck_assert_int_eq(parcel_pool_new(&pool), 0);
}

static void teardown(void) {
        pool = parcel_pool_free(pool);
}

static uint8_t frame[FRAME_SIZE_MAX];

static PacketHeader header(uint64_t src, uint64_t dst, uint32_t size, uint64_t number) {
        return (PacketHeader){
                .size = size,
                .src = { src, 1 },
                .dst = { dst, 1 },
                .id = packet_id_make(SENT, number),
                .kind = PACKET_SEALED,
        };
}

static int push(Outbox *outbox, uint64_t source, PacketHeader h, uint64_t now) {
        packet_header_encode(&h, frame);
        return outbox_push(outbox, source, &h, frame, now);
}

/* Takes one and gives it back; its header, with size 0 if there was none. */
static PacketHeader pop(Outbox *outbox, uint64_t now) {
        Parcel *parcel = outbox_pop(outbox, now);
        PacketHeader h = { 0 };

        if (!parcel)
                return h;
        ck_assert_int_eq(packet_header_decode(parcel->data, parcel->n_data, &h), 0);
        parcel_free(pool, parcel);
        return h;
}

START_TEST(packets_of_a_pair_stay_in_order) {
        Outbox *outbox;

        ck_assert_int_eq(outbox_new(&outbox, pool, 1 << 20, 10000), 0);
        for (unsigned i = 0; i < 1000; i++)
                ck_assert_int_eq(push(outbox, 1 + i % 3,
                                      header(1000 + i % 3, 2000 + i % 2, 72 + i % 100, i), NOW),
                                 0);
        ck_assert_uint_eq(outbox_packets(outbox), 1000);
        {
                uint64_t last[3][2] = { 0 };

                for (unsigned i = 0; i < 1000; i++) {
                        PacketHeader h = pop(outbox, NOW);
                        uint64_t *seen = &last[h.src.pid - 1000][h.dst.pid - 2000];
                        uint64_t number = load_be64(h.id.bytes + 8);

                        ck_assert(number >= *seen);
                        *seen = number + 1;
                        ck_assert_uint_eq(h.hops, 1);
                }
        }
        ck_assert(outbox_is_empty(outbox));
        ck_assert_uint_eq(outbox_bytes(outbox), 0);
        ck_assert_uint_eq(pop(outbox, NOW).size, 0);
        outbox_free(outbox, NULL);
}
END_TEST

START_TEST(control_words_go_first_and_are_never_refused) {
        Outbox *outbox;
        Parcel *parcel;
        uint8_t *data;

        ck_assert_int_eq(outbox_new(&outbox, pool, 4096, 4), 0);
        ck_assert_int_eq(push(outbox, 1, header(1, 2, 1000, 0), NOW), 0);
        for (unsigned i = 0; i < 1000; i++) {
                ck_assert_int_eq(outbox_push_control(outbox, 108, &data), 0);
                memset(data, (int)i, 108);
        }
        ck_assert_uint_eq(outbox_control_bytes(outbox), 108000);
        for (unsigned i = 0; i < 1000; i++) {
                parcel = outbox_pop(outbox, NOW);
                ck_assert_uint_eq(parcel->n_data, 108);
                ck_assert_uint_eq(parcel->data[0], i & 0xff);
                parcel_free(pool, parcel);
        }
        ck_assert_uint_eq(pop(outbox, NOW).size, 1000);
        outbox_free(outbox, NULL);
}
END_TEST

/* Sources that came before, in packets each, of a bound of 1000; how many more one gets. */
static const struct {
        unsigned others[4];
        unsigned gets;
} shares[] = {
        { { 0 }, 500 },       /* alone: half */
        { { 500 }, 166 },     /* a second one: a third of what is left */
        { { 500, 166 }, 83 }, /* a third: a quarter of what is left */
        { { 1 }, 333 },       /* who holds little leaves much */
        { { 250, 250 }, 125 },
};

START_TEST(each_source_has_its_share) {
        unsigned n = 0;
        Outbox *outbox;

        ck_assert_int_eq(outbox_new(&outbox, pool, UINT64_C(1) << 30, 1000), 0);
        for (unsigned i = 0; i < 4; i++)
                for (unsigned k = 0; k < shares[_i].others[i]; k++)
                        ck_assert_int_eq(push(outbox, 10 + i, header(10 + i, 2, 100, k), NOW), 0);
        while (push(outbox, 99, header(99, 2, 100, n), NOW) == 0)
                n++;
        ck_assert_uint_eq(n, shares[_i].gets);
        outbox_free(outbox, NULL);
}
END_TEST

START_TEST(flood_takes_no_room_from_a_neighbour) {
        uint64_t n_flood = 0, n_refused = 0, n_popped = 0;
        Outbox *outbox;

        /* One source fills its share again and again; the other sends one at a time: all pass. */
        ck_assert_int_eq(outbox_new(&outbox, pool, 1 << 20, 1024), 0);
        for (unsigned round = 0; round < 1000; round++) {
                for (unsigned i = 0; i < 600; i++)
                        if (push(outbox, 1, header(1, 2, 500, i), NOW) == 0)
                                n_flood++;
                        else
                                n_refused++;
                ck_assert_int_eq(push(outbox, 2, header(3, 4, 500, round), NOW), 0);
                for (;;) {
                        PacketHeader h = pop(outbox, NOW);

                        ck_assert_uint_ne(h.size, 0);
                        n_popped++;
                        if (h.src.pid == 3)
                                break;
                }
        }
        ck_assert_uint_gt(n_refused, 0);
        /* Its turn comes after at most a quantum of the other: 132 packets of 500 bytes. */
        ck_assert_uint_le(n_popped, 1000 * 133);
        (void)n_flood;
        outbox_free(outbox, NULL);
}
END_TEST

START_TEST(sources_take_turns_by_bytes) {
        uint64_t n_bytes[2] = { 0 };
        Outbox *outbox;

        ck_assert_int_eq(outbox_new(&outbox, pool, UINT64_C(1) << 30, 1000000), 0);
        for (unsigned i = 0; i < 20000; i++)
                ck_assert_int_eq(push(outbox, 1, header(1, 2, 100, i), NOW), 0);
        for (unsigned i = 0; i < 200; i++)
                ck_assert_int_eq(push(outbox, 2, header(3, 4, 60000, i), NOW), 0);
        for (unsigned i = 0; n_bytes[0] + n_bytes[1] < 3000000; i++) {
                PacketHeader h = pop(outbox, NOW);

                n_bytes[h.src.pid == 3] += h.size;
        }
        ck_assert_uint_gt(n_bytes[0], 1300000);
        ck_assert_uint_gt(n_bytes[1], 1300000);
        outbox_free(outbox, NULL);
}
END_TEST

START_TEST(congestion_is_marked) {
        Outbox *outbox;
        PacketHeader h;

        ck_assert_int_eq(outbox_new(&outbox, pool, 40000, 1000), 0);
        for (unsigned i = 0; i < 15; i++)
                ck_assert_int_eq(push(outbox, 1, header(1, 2, 1000, i), NOW), 0);
        /* The queue held over a quarter from the twelfth on. */
        for (unsigned i = 0; i < 15; i++) {
                h = pop(outbox, NOW + OUTBOX_CE_USEC - 1);
                ck_assert_msg(!(h.hflags & PACKET_CE) == (i < 11), "packet %u", i);
        }
        ck_assert_int_eq(push(outbox, 1, header(1, 2, 1000, 0), NOW), 0);
        h = pop(outbox, NOW + OUTBOX_CE_USEC);
        ck_assert(h.hflags & PACKET_CE);
        outbox_free(outbox, NULL);
}
END_TEST

START_TEST(what_waited_too_long_is_dropped) {
        PacketHeader h = header(1, 2, 100, 0);
        Outbox *outbox;

        ck_assert_int_eq(outbox_new(&outbox, pool, 40000, 1000), 0);
        h.deadline_usec = SENT + USEC_PER_SEC; /* a span, wherever our clock stands */
        ck_assert_int_eq(push(outbox, 1, h, NOW), 0);
        ck_assert_int_eq(push(outbox, 1, h, NOW), 0);
        ck_assert_uint_eq(pop(outbox, NOW + USEC_PER_SEC).size, 100);
        ck_assert_uint_eq(pop(outbox, NOW + USEC_PER_SEC + 1).size, 0);
        ck_assert_uint_eq(outbox_take_expired(outbox), 1);
        ck_assert_uint_eq(outbox_take_expired(outbox), 0);

        h.deadline_usec = 0;
        ck_assert_int_eq(push(outbox, 1, h, NOW), 0);
        h.deadline_usec = UINT64_MAX;
        ck_assert_int_eq(push(outbox, 1, h, NOW), 0);
        ck_assert_uint_eq(pop(outbox, NOW + OUTBOX_HOLD_MAX_USEC + 1).size, 0);
        ck_assert_uint_eq(outbox_take_expired(outbox), 2);

        h.deadline_usec = SENT - 1; /* over before it was sent */
        ck_assert_int_eq(push(outbox, 1, h, NOW), 0);
        ck_assert_uint_eq(pop(outbox, NOW + 1).size, 0);
        outbox_free(outbox, NULL);
}
END_TEST

START_TEST(every_size_fits_and_what_is_left_is_counted) {
        static const uint32_t sizes[] = { 72, 512, 513, 2048, 2049, 8192, 8193, 65535, 65536 };
        uint64_t n_dropped;
        Outbox *outbox;

        ck_assert_int_eq(outbox_new(&outbox, pool, UINT64_C(1) << 30, 1000), 0);
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
                ck_assert_int_eq(push(outbox, 1, header(1, 2, sizes[i], i), NOW), 0);
        for (size_t i = 0; i < ELEMENTSOF(sizes) - 2; i++)
                ck_assert_uint_eq(pop(outbox, NOW).size, sizes[i]);
        outbox_free(outbox, &n_dropped);
        ck_assert_uint_eq(n_dropped, 2);
        ck_assert_ptr_null(outbox_free(NULL, NULL));
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("relay_outbox");
        TCase *tcase = tcase_create("relay_outbox");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, packets_of_a_pair_stay_in_order);
        tcase_add_test(tcase, control_words_go_first_and_are_never_refused);
        tcase_add_loop_test(tcase, each_source_has_its_share, 0, ELEMENTSOF(shares));
        tcase_add_test(tcase, flood_takes_no_room_from_a_neighbour);
        tcase_add_test(tcase, sources_take_turns_by_bytes);
        tcase_add_test(tcase, congestion_is_marked);
        tcase_add_test(tcase, what_waited_too_long_is_dropped);
        tcase_add_test(tcase, every_size_fits_and_what_is_left_is_counted);
        suite_add_tcase(suite, tcase);
        return suite;
}
