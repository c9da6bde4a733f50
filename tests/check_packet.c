/* SPDX-License-Identifier: Apache-2.0 */

#include "libcore/packet.h"

#include <stdlib.h>
#include <string.h>

#include "libcore/util.h"
#include "tests/main.h"

/* Every byte says where it belongs: fields in the order of PROTOCOL.md, "Packet". */
static const uint8_t good[PACKET_HEADER_SIZE] = {
        0x48, 0x01, 0x00, 0x00, /* size: 328 */
        0x03,                   /* type: FRAME_PACKET */
        0x02,                   /* descriptors */
        0x03,                   /* hflags: REMOTE, CE */
        0x04,                   /* hops */
        0,    0,    0,    0,    0,    0,    0,    0,    /* reserved */
        0xe8, 0x50, 0x04, 0xf6, 0x37, 0x98, 0xe2, 0xc0, /* source PID, hash order */
        0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, /* destination PID */
        0x27, 0xe8, 0x71, 0x75,                         /* source TAG */
        0x21, 0x22, 0x23, 0x24,                         /* destination TAG */
        0x00, 0x06, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, /* id: time of sending */
        0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, /* id: unique part */
        0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, /* deadline, little-endian */
        0x02, 0x00,                                     /* kind: PACKET_SEALED */
        0x51, 0x52,                                     /* eflags */
        0x61, 0x62,                                     /* fragment */
        0x71, 0x72,                                     /* last fragment */
};

START_TEST(each_field_has_its_place) {
        PacketHeader h;

        ck_assert_int_eq(packet_header_decode(good, sizeof(good), &h), 0);
        ck_assert_uint_eq(h.size, 328);
        ck_assert_uint_eq(h.n_fds, 2);
        ck_assert_uint_eq(h.hflags, PACKET_REMOTE | PACKET_CE);
        ck_assert_uint_eq(h.hops, 4);
        ck_assert_uint_eq(h.src.pid, UINT64_C(0xe85004f63798e2c0));
        ck_assert_uint_eq(h.dst.pid, UINT64_C(0x1112131415161718));
        ck_assert_uint_eq(h.src.tag, 0x27e87175);
        ck_assert_uint_eq(h.dst.tag, 0x21222324);
        ck_assert_mem_eq(h.id.bytes, good + 40, PACKET_ID_SIZE);
        ck_assert_uint_eq(packet_id_sent_at(&h.id), UINT64_C(0x0006010203040506));
        ck_assert_uint_eq(h.deadline_usec, UINT64_C(0x4847464544434241));
        ck_assert_uint_eq(h.kind, PACKET_SEALED);
        ck_assert_uint_eq(h.eflags, 0x5251);
        ck_assert_uint_eq(h.fragment, 0x6261);
        ck_assert_uint_eq(h.last_fragment, 0x7271);
}
END_TEST

START_TEST(encoding_gives_the_same_bytes) {
        uint8_t bytes[PACKET_HEADER_SIZE];
        PacketHeader h;

        ck_assert_int_eq(packet_header_decode(good, sizeof(good), &h), 0);
        memset(bytes, 0xaa, sizeof(bytes));
        packet_header_encode(&h, bytes);
        ck_assert_mem_eq(bytes, good, sizeof(bytes));
}
END_TEST

START_TEST(the_payload_need_not_be_there_yet) {
        uint8_t bytes[328] = { 0 };
        PacketHeader h;

        memcpy(bytes, good, sizeof(good));
        for (size_t n = PACKET_HEADER_SIZE; n <= sizeof(bytes); n++)
                ck_assert_int_eq(packet_header_decode(bytes, n, &h), 0);
}
END_TEST

/* The input stands in a block of its own size, so that a sanitizer sees the byte too many. */
START_TEST(short_input_is_short_at_each_length) {
        _cleanup_(freep) uint8_t *bytes = malloc((size_t)_i + 1);
        PacketHeader h, untouched;
        FramePrefix p, untouched_prefix;

        ck_assert_ptr_nonnull(bytes);
        bytes = realloc(bytes, _i > 0 ? (size_t)_i : 1);
        ck_assert_ptr_nonnull(bytes);
        memcpy(bytes, good, (size_t)_i);
        memset(&h, 0xaa, sizeof(h));
        memset(&p, 0xaa, sizeof(p));
        untouched = h;
        untouched_prefix = p;

        ck_assert_int_eq(packet_header_decode(bytes, (size_t)_i, &h), PACKET_E_SHORT);
        ck_assert_mem_eq(&h, &untouched, sizeof(h));
        if (_i < FRAME_PREFIX_SIZE) {
                ck_assert_int_eq(frame_prefix_decode(bytes, (size_t)_i, &p), PACKET_E_SHORT);
                ck_assert_mem_eq(&p, &untouched_prefix, sizeof(p));
        } else
                ck_assert_int_eq(frame_prefix_decode(bytes, (size_t)_i, &p), 0);
}
END_TEST

static const struct {
        const char *what;
        unsigned at;
        uint8_t value;
} bad[] = {
        { "type zero", 4, 0 },
        { "a type that nobody knows", 4, _FRAME_TYPE_MAX },
        { "type 255", 4, 255 },
        { "an attach frame", 4, FRAME_ATTACH },
        { "five descriptors", 5, FRAME_FDS_MAX + 1 },
        { "255 descriptors", 5, 255 },
        { "first reserved byte", 8, 1 },
        { "reserved byte 2", 9, 1 },
        { "reserved byte 3", 10, 1 },
        { "reserved byte 4", 11, 1 },
        { "reserved byte 5", 12, 1 },
        { "reserved byte 6", 13, 1 },
        { "reserved byte 7", 14, 1 },
        { "last reserved byte", 15, 0x80 },
        { "kind zero", 64, 0 },
        { "a kind that nobody knows", 64, _PACKET_KIND_MAX },
        { "a kind in the high byte", 65, 1 },
        { "a fragment behind the last", 71, 0x61 },
};

START_TEST(what_no_version_sends_is_a_violation) {
        uint8_t bytes[PACKET_HEADER_SIZE];
        PacketHeader h, untouched;

        memcpy(bytes, good, sizeof(bytes));
        bytes[bad[_i].at] = bad[_i].value;
        memset(&h, 0xaa, sizeof(h));
        untouched = h;

        ck_assert_msg(packet_header_decode(bytes, sizeof(bytes), &h) == PACKET_E_VIOLATION,
                      "accepted: %s", bad[_i].what);
        ck_assert_mem_eq(&h, &untouched, sizeof(h));
}
END_TEST

START_TEST(fragments_count_up_to_the_last) {
        PacketHeader h;
        uint8_t bytes[PACKET_HEADER_SIZE];

        ck_assert_int_eq(packet_header_decode(good, sizeof(good), &h), 0);
        h.fragment = h.last_fragment;
        packet_header_encode(&h, bytes);
        ck_assert_int_eq(packet_header_decode(bytes, sizeof(bytes), &h), 0);
        h.fragment = (uint16_t)(h.last_fragment + 1);
        packet_header_encode(&h, bytes);
        ck_assert_int_eq(packet_header_decode(bytes, sizeof(bytes), &h), PACKET_E_VIOLATION);
        h.fragment = h.last_fragment = UINT16_MAX;
        packet_header_encode(&h, bytes);
        ck_assert_int_eq(packet_header_decode(bytes, sizeof(bytes), &h), 0);
}
END_TEST

/* Attach frames have exactly one size; their bodies are stated in PROTOCOL.md, "Frames". */
static const struct {
        FrameType type;
        uint32_t size;
        int result;
} sizes[] = {
        { FRAME_HELLO, 0, PACKET_E_VIOLATION },
        { FRAME_HELLO, FRAME_PREFIX_SIZE, PACKET_E_VIOLATION },
        { FRAME_HELLO, FRAME_PREFIX_SIZE + 79, PACKET_E_VIOLATION },
        { FRAME_HELLO, FRAME_PREFIX_SIZE + 80, 0 },
        { FRAME_HELLO, FRAME_PREFIX_SIZE + 81, PACKET_E_VIOLATION },
        { FRAME_ATTACH, FRAME_PREFIX_SIZE + 103, PACKET_E_VIOLATION },
        { FRAME_ATTACH, FRAME_PREFIX_SIZE + 104, 0 },
        { FRAME_ATTACH, FRAME_PREFIX_SIZE + 105, PACKET_E_VIOLATION },
        { FRAME_PACKET, 0, PACKET_E_VIOLATION },
        { FRAME_PACKET, PACKET_HEADER_SIZE - 1, PACKET_E_VIOLATION },
        { FRAME_PACKET, PACKET_HEADER_SIZE, 0 },
        { FRAME_PACKET, FRAME_SIZE_MAX, 0 },
        { FRAME_PACKET, FRAME_SIZE_MAX + 1, PACKET_E_VIOLATION },
        { FRAME_PACKET, UINT32_MAX, PACKET_E_VIOLATION },
};

START_TEST(sizes_have_limits) {
        FramePrefix p = { .size = sizes[_i].size, .type = (uint8_t)sizes[_i].type };
        FramePrefix ret = { .size = 42 };
        uint8_t bytes[FRAME_PREFIX_SIZE];

        frame_prefix_encode(&p, bytes);
        ck_assert_int_eq(frame_prefix_decode(bytes, sizeof(bytes), &ret), sizes[_i].result);
        ck_assert_uint_eq(ret.size, sizes[_i].result == 0 ? sizes[_i].size : 42);
}
END_TEST

START_TEST(an_attach_frame_is_no_packet) {
        FramePrefix p = { .size = FRAME_PREFIX_SIZE + 80, .type = FRAME_HELLO };
        uint8_t bytes[FRAME_PREFIX_SIZE + 80] = { 0 };
        PacketHeader h;

        frame_prefix_encode(&p, bytes);
        ck_assert_int_eq(packet_header_decode(bytes, sizeof(bytes), &h), PACKET_E_VIOLATION);
}
END_TEST

START_TEST(hops_change_nothing_that_sealing_covers) {
        uint8_t bytes[PACKET_HEADER_SIZE];
        PacketHeader h;

        memcpy(bytes, good, sizeof(bytes));
        packet_set_hop_fields(bytes, PACKET_CE, 9);
        ck_assert_int_eq(packet_header_decode(bytes, sizeof(bytes), &h), 0);
        ck_assert_uint_eq(h.hflags, PACKET_CE);
        ck_assert_uint_eq(h.hops, 9);
        ck_assert_mem_eq(bytes, good, 6);
        ck_assert_mem_eq(bytes + PACKET_AUTHENTICATED_AT, good + PACKET_AUTHENTICATED_AT,
                         sizeof(bytes) - PACKET_AUTHENTICATED_AT);
}
END_TEST

START_TEST(an_id_is_the_time_and_something_unique) {
        PacketId id = packet_id_make(UINT64_C(0x0006010203040506), UINT64_C(0x3132333435363738));

        ck_assert_mem_eq(id.bytes, good + 40, sizeof(id.bytes));
        ck_assert_uint_eq(packet_id_sent_at(&id), UINT64_C(0x0006010203040506));
}
END_TEST

START_TEST(a_deadline_is_a_span_from_the_time_of_sending) {
        PacketId id = packet_id_make(1000, 7);

        ck_assert_uint_eq(packet_span_usec(&id, 1500), 500);
        ck_assert_uint_eq(packet_span_usec(&id, 1000), 0);
        ck_assert_uint_eq(packet_span_usec(&id, 1), 0); /* over before it was sent */
        ck_assert_uint_eq(packet_span_usec(&id, 0), USEC_NEVER);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("packet");
        TCase *header = tcase_create("header");
        TCase *refuse = tcase_create("refuse");
        TCase *help = tcase_create("help");

        tcase_add_test(header, each_field_has_its_place);
        tcase_add_test(header, encoding_gives_the_same_bytes);
        tcase_add_test(header, the_payload_need_not_be_there_yet);
        suite_add_tcase(suite, header);

        tcase_add_loop_test(refuse, short_input_is_short_at_each_length, 0, PACKET_HEADER_SIZE);
        tcase_add_loop_test(refuse, what_no_version_sends_is_a_violation, 0, ELEMENTSOF(bad));
        tcase_add_test(refuse, fragments_count_up_to_the_last);
        tcase_add_loop_test(refuse, sizes_have_limits, 0, ELEMENTSOF(sizes));
        tcase_add_test(refuse, an_attach_frame_is_no_packet);
        suite_add_tcase(suite, refuse);

        tcase_add_test(help, hops_change_nothing_that_sealing_covers);
        tcase_add_test(help, an_id_is_the_time_and_something_unique);
        tcase_add_test(help, a_deadline_is_a_span_from_the_time_of_sending);
        suite_add_tcase(suite, help);
        return suite;
}
