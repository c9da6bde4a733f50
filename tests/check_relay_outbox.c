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
        outbox_free(outbox);
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
        outbox_free(outbox);
}
END_TEST

/* Whose turn it is, and who loses, is libcore/fair-queue.h's: links are its sources. */
START_TEST(links_take_turns_and_who_floods_loses) {
        unsigned n_dropped = 0, n_popped = 0;
        Outbox *outbox;
        Parcel *parcel;

        ck_assert_int_eq(outbox_new(&outbox, pool, 1 << 20, 1000), 0);
        for (unsigned i = 0; i < 600; i++) {
                ck_assert_int_eq(push(outbox, 1, header(1, 2, 500, i), NOW), 0);
                while ((parcel = outbox_overflow(outbox))) {
                        parcel_free(pool, parcel);
                        n_dropped++;
                }
        }
        ck_assert_uint_eq(n_dropped, 100);
        ck_assert_int_eq(push(outbox, 2, header(1, 2, 500, 999), NOW), 0); /* the same pair */
        ck_assert_ptr_null(outbox_overflow(outbox));
        ck_assert_uint_eq(outbox_packets(outbox), 501);
        ck_assert_uint_eq(outbox_bytes(outbox), 501 * 500);
        while (load_be64(pop(outbox, NOW).id.bytes + 8) != 999)
                ck_assert_uint_lt(++n_popped, 18);
        outbox_free(outbox);
}
END_TEST

START_TEST(congestion_is_marked) {
        Outbox *outbox;
        PacketHeader h;

        ck_assert_int_eq(outbox_new(&outbox, pool, 40000, 1000), 0);
        for (unsigned i = 0; i < 15; i++)
                ck_assert_int_eq(push(outbox, 1, header(1, 2, 1000, i), NOW), 0);
        /* The queue held over a quarter from the eleventh on. */
        for (unsigned i = 0; i < 15; i++) {
                h = pop(outbox, NOW + FAIR_LONG_USEC - 1);
                ck_assert_msg(!(h.hflags & PACKET_CE) == (i < 10), "packet %u", i);
        }
        ck_assert_int_eq(push(outbox, 1, header(1, 2, 1000, 0), NOW), 0);
        h = pop(outbox, NOW + FAIR_LONG_USEC);
        ck_assert(h.hflags & PACKET_CE);
        outbox_free(outbox);
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
        outbox_free(outbox);
}
END_TEST

START_TEST(every_size_fits_and_what_is_left_can_be_had) {
        static const uint32_t sizes[] = { 72, 512, 513, 2048, 2049, 8192, 8193, 65535, 65536 };
        Outbox *outbox, *heir;
        Parcel *parcel;
        uint8_t *data;

        ck_assert_int_eq(outbox_new(&outbox, pool, UINT64_C(1) << 30, 1000), 0);
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
                ck_assert_int_eq(push(outbox, 1, header(1, 2, sizes[i], i), NOW), 0);
        for (size_t i = 0; i < ELEMENTSOF(sizes) - 2; i++)
                ck_assert_uint_eq(pop(outbox, NOW).size, sizes[i]);
        ck_assert_int_eq(outbox_push_control(outbox, 108, &data), 0);
        ck_assert_int_eq(outbox_new(&heir, pool, UINT64_C(1) << 30, 1000), 0);
        outbox_inherit(heir, outbox);
        ck_assert_uint_eq(outbox_packets(outbox), 0);
        ck_assert_uint_eq(outbox_control_bytes(outbox), 108);
        outbox_free(outbox);
        ck_assert_uint_eq(outbox_packets(heir), 2);
        ck_assert_uint_eq(outbox_control_bytes(heir), 0);
        parcel = outbox_abandon(heir);
        ck_assert_uint_eq(parcel->n_data, 65535);
        parcel_free(pool, parcel);
        outbox_free(heir);
        ck_assert_ptr_null(outbox_free(NULL));
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("relay_outbox");
        TCase *tcase = tcase_create("relay_outbox");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, packets_of_a_pair_stay_in_order);
        tcase_add_test(tcase, control_words_go_first_and_are_never_refused);
        tcase_add_test(tcase, links_take_turns_and_who_floods_loses);
        tcase_add_test(tcase, congestion_is_marked);
        tcase_add_test(tcase, what_waited_too_long_is_dropped);
        tcase_add_test(tcase, every_size_fits_and_what_is_left_can_be_had);
        suite_add_tcase(suite, tcase);
        return suite;
}
