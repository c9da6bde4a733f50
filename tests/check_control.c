/* SPDX-License-Identifier: Apache-2.0 */

#include "libcore/control.h"
#include "libcore/provider.h"

#include <stdlib.h>
#include <string.h>

#include "libcore/util.h"
#include "tests/main.h"
#include "tests/wire.h"

static uint8_t *bytes;
static size_t n_bytes;

static Control decoded(const char *name) {
        Control c;

        free(bytes);
        bytes = wire_read(name, &n_bytes);
        ck_assert_msg(control_decode(bytes, n_bytes, &c) == 0, "refused: %s", name);
        ck_assert_uint_eq(c.n_body, n_bytes - CONTROL_HEAD_SIZE);
        return c;
}

static void nothing_left(void) {
        free(bytes);
        bytes = NULL;
}

static const Address somebody = { UINT64_C(0xe85004f63798e2c0), 0x27e87175 };

START_TEST(encoding_gives_the_same_bytes) {
        const char *const *names;
        size_t n_names = wire_list("control-", &names);

        for (size_t i = 0; i < n_names; i++) {
                Control c = decoded(names[i]);
                uint8_t again[WIRE_SIZE_MAX];

                memset(again, 0xaa, sizeof(again));
                control_encode(&c, again);
                ck_assert_msg(memcmp(again, bytes, n_bytes) == 0, "differs: %s", names[i]);
        }
}
END_TEST

START_TEST(every_field_has_its_place) {
        Control c = decoded("control-monitored");

        ck_assert_uint_eq(c.verb, CONTROL_MONITORED);
        ck_assert_uint_eq(c.value, 1);
        ck_assert_ptr_eq(c.body, bytes + CONTROL_HEAD_SIZE);
        c = decoded("control-error");
        ck_assert_uint_eq(c.verb, CONTROL_ERROR);
        ck_assert_uint_eq(c.code, CODE_QUEUE_FULL);
        ck_assert_uint_eq(c.value, 0);
        ck_assert_mem_eq(c.ref.bytes, bytes + 8, PACKET_ID_SIZE);
        ck_assert_uint_eq(packet_id_sent_at(&c.ref), UINT64_C(0x0006010203040506));
        ck_assert(address_equal(c.address, somebody));
        ck_assert_uint_eq(c.n_body, 0);
        c = decoded("control-links");
        ck_assert_uint_eq(c.value, 1 | 2 << 16);
        c = decoded("control-link");
        ck_assert_uint_eq(c.verb, CONTROL_LINK);
        ck_assert_uint_eq(c.code, CODE_OK);
        ck_assert_uint_eq(c.value, 1);
        ck_assert_uint_eq(load_le64(c.body), 42000);
        ck_assert_mem_eq(c.body + CONTROL_LINK_HEAD_SIZE, "wss://relay.example", 19);
        c = decoded("control-ring-offered");
        ck_assert_uint_eq(c.verb, CONTROL_RING_OFFERED);
        ck_assert_uint_eq(c.value, 65536);
        ck_assert_uint_eq(c.ref.bytes[15], 0x7f);
        ck_assert(address_equal(c.address, somebody));
        c = decoded("control-ring-bells");
        ck_assert_uint_eq(c.verb, CONTROL_RING_BELLS);
        ck_assert_mem_eq(c.ref.bytes, bytes + 8, PACKET_ID_SIZE);
        ck_assert_ptr_eq(c.body, bytes + CONTROL_HEAD_SIZE);
        ck_assert_uint_eq(c.body[0], 0x00);
        ck_assert_uint_eq(c.body[15], 0x38);
        c = decoded("control-ring-tap");
        ck_assert_uint_eq(c.verb, CONTROL_RING_TAP);
        ck_assert_uint_eq(c.value, MONITORED_CUT + 3 * MONITORED_LOST);
        ck_assert_uint_eq(c.n_body, PACKET_HEADER_SIZE);
        c = decoded("control-reported");
        ck_assert_uint_eq(c.verb, CONTROL_REPORTED);
        ck_assert_mem_eq(c.ref.bytes, bytes + 8, PACKET_ID_SIZE);
}
END_TEST

START_TEST(each_verb_has_its_file) {
        const char *const *names;
        size_t n_names = wire_list("control-", &names);
        bool seen[_CONTROL_VERB_MAX] = { false };

        for (size_t i = 0; i < n_names; i++)
                seen[decoded(names[i]).verb] = true;
        for (unsigned verb = 1; verb < _CONTROL_VERB_MAX; verb++) {
                uint8_t none[CONTROL_HEAD_SIZE] = { (uint8_t)verb };
                Control c;
                bool known = control_decode(none, sizeof(none), &c) != CONTROL_E_UNKNOWN;

                ck_assert_msg(seen[verb] == known, "verb %u", verb);
        }
}
END_TEST

START_TEST(a_packet_of_it_is_header_and_word) {
        size_t n;
        uint8_t *packet = wire_read("packet-control", &n), again[WIRE_SIZE_MAX];
        PacketHeader header;
        Control c;

        ck_assert_int_eq(packet_header_decode(packet, n, &header), 0);
        ck_assert_int_eq(control_decode(packet + PACKET_HEADER_SIZE, n - PACKET_HEADER_SIZE, &c),
                         0);
        ck_assert_uint_eq(c.verb, CONTROL_NOW_LOCAL);
        ck_assert_uint_eq(control_packet_size(&c), n);
        memset(again, 0xaa, sizeof(again));
        control_packet_encode(&c, header.src, header.dst, &header.id, again);
        ck_assert_mem_eq(again, packet, n);
        free(packet);
}
END_TEST

static void refuses(const uint8_t *data, size_t n, int with, const char *what) {
        Control c, untouched;

        memset(&c, 0xaa, sizeof(c));
        untouched = c;
        ck_assert_msg(control_decode(data, n, &c) == with, "%s", what);
        ck_assert_mem_eq(&c, &untouched, sizeof(c));
}

START_TEST(a_short_head_is_a_violation_at_each_length) {
        uint8_t *exact = malloc((size_t)_i + 1);

        (void)decoded("control-ok"); /* for its bytes */
        ck_assert_ptr_nonnull(exact);
        exact = realloc(exact, _i > 0 ? (size_t)_i : 1);
        ck_assert_ptr_nonnull(exact);
        memcpy(exact, bytes, (size_t)_i);
        refuses(exact, (size_t)_i, CONTROL_E_VIOLATION, "short");
        free(exact);
}
END_TEST

/* The least and the greatest body of each verb, as PROTOCOL.md's table has it. */
static const struct {
        ControlVerb verb;
        size_t least, greatest;
} bodies[] = {
        { CONTROL_WELCOME, 24, 24 },
        { CONTROL_ERROR, 0, 511 },
        { CONTROL_OK, 0, 0 },
        { CONTROL_GOODBYE, 0, 0 },
        { CONTROL_NOTICE, 0, 0 },
        { CONTROL_NOT_LOCAL, 0, 200 },
        { CONTROL_NOW_LOCAL, 0, 0 },
        { CONTROL_QUEUE_SPACE, 0, 0 },
        { CONTROL_RESOLVE, 0, 8192 },
        { CONTROL_RESOLVED, 0, 200 },
        { CONTROL_PATH_CHANGED, 0, 0 },
        { CONTROL_LEASE_REQUEST, 48, 48 },
        { CONTROL_LEASE, 200, 200 },
        { CONTROL_LEASED, 0, 0 },
        { CONTROL_REACHABLE, 0, 0 },
        { CONTROL_DETACHED, 0, 0 },
        { CONTROL_UNLEASED, 0, 0 },
        { CONTROL_REVOKE, 160, 160 },
        { CONTROL_RELAYS, 0, 8192 },
        { CONTROL_GATEWAY, 0, 0 },
        { CONTROL_SYNCED, 0, 0 },
        { CONTROL_LINKS, 0, 0 },
        { CONTROL_PING, 0, 0 },
        { CONTROL_PONG, 0, 0 },
        { CONTROL_LINK, 0, 263 },
        { CONTROL_OWN, 1, PROVIDER_CLAIM_MAX },
        { CONTROL_RESOLVE_NAME, 1, 255 },
        { CONTROL_NAMED, 0, CONTROL_BODY_MAX },
        { CONTROL_SERVICE, 1, CONTROL_SERVICE_MAX },
        { CONTROL_SERVICES, 0, CONTROL_BODY_MAX },
        { CONTROL_MONITOR, 0, 0 },
        { CONTROL_MONITORED, 80, CONTROL_BODY_MAX },
        { CONTROL_QUERY, 0, 0 },
        { CONTROL_ANSWER, 0, CONTROL_BODY_MAX },
        { CONTROL_RELOAD, 0, 0 },
        { CONTROL_EXPLAIN, 0, 1024 },
        { CONTROL_NETWORK, 0, CONTROL_BODY_MAX },
        { CONTROL_RIGHTS, 0, 255 + 1 + 511 },
        { CONTROL_UNHEARD, 0, 0 },
        { CONTROL_RING_OFFER, 0, 0 },
        { CONTROL_RING_BELLS, 16, 16 },
        { CONTROL_RING_OFFERED, 0, 0 },
        { CONTROL_RING_ANSWER, 0, 0 },
        { CONTROL_RING_ANSWERED, 0, 0 },
        { CONTROL_RING_END, 0, 0 },
        { CONTROL_RING_KEEP, 0, 0 },
        { CONTROL_RING_TAP, 72, CONTROL_BODY_MAX },
        { CONTROL_REPORT, 0, 0 },
        { CONTROL_REPORTED, 0, CONTROL_BODY_MAX },
};

START_TEST(bodies_have_limits) {
        uint8_t *data = calloc(1, CONTROL_HEAD_SIZE + CONTROL_BODY_MAX + 1);
        size_t least = CONTROL_HEAD_SIZE + bodies[_i].least;
        size_t greatest = CONTROL_HEAD_SIZE + bodies[_i].greatest;
        Control c;

        ck_assert_ptr_nonnull(data);
        store_le16(data, (uint16_t)bodies[_i].verb);
        ck_assert_int_eq(control_decode(data, least, &c), 0);
        ck_assert_uint_eq(c.n_body, bodies[_i].least);
        ck_assert_int_eq(control_decode(data, greatest, &c), 0);
        ck_assert_uint_eq(c.n_body, bodies[_i].greatest);
        refuses(data, least - 1, CONTROL_E_VIOLATION, "a body too short");
        refuses(data, greatest + 1, CONTROL_E_VIOLATION, "a body too long");
        free(data);
}
END_TEST

START_TEST(verb_zero_is_a_violation_and_others_are_unknown) {
        static const uint16_t unknown[] = {
                6, 9, 16, 28, 36, 45, 59, _CONTROL_VERB_MAX, 256, 0xffff
        };
        uint8_t data[CONTROL_HEAD_SIZE] = { 0 };

        refuses(data, sizeof(data), CONTROL_E_VIOLATION, "verb zero");
        for (unsigned i = 0; i < ELEMENTSOF(unknown); i++) {
                store_le16(data, unknown[i]);
                refuses(data, sizeof(data), CONTROL_E_UNKNOWN, "a verb that nobody knows");
        }
}
END_TEST

START_TEST(every_code_has_a_text_of_its_own) {
        for (uint16_t i = 0; i < _CODE_MAX; i++) {
                ck_assert_ptr_nonnull(control_code_text(i));
                ck_assert_str_ne(control_code_text(i), "unknown reason");
                for (uint16_t k = 0; k < i; k++)
                        ck_assert_str_ne(control_code_text(i), control_code_text(k));
        }
        ck_assert_str_eq(control_code_text(_CODE_MAX), "unknown reason");
        ck_assert_str_eq(control_code_text(UINT16_MAX), "unknown reason");
}
END_TEST

/* Whole frames: prefix, header and what is behind them. */
START_TEST(frames_and_packets_are_as_written) {
        static const char *const frames[] = { "frame-hello", "frame-attach" };
        static const char *const packets[] = { "packet-records", "packet-sealed",
                                               "packet-control" };
        uint8_t again[PACKET_HEADER_SIZE], *data;
        FramePrefix prefix;
        PacketHeader header;
        size_t n;

        for (unsigned i = 0; i < ELEMENTSOF(frames); i++) {
                data = wire_read(frames[i], &n);
                ck_assert_int_eq(frame_prefix_decode(data, n, &prefix), 0);
                ck_assert_uint_eq(prefix.size, n);
                frame_prefix_encode(&prefix, again);
                ck_assert_mem_eq(again, data, FRAME_PREFIX_SIZE);
                free(data);
        }
        for (unsigned i = 0; i < ELEMENTSOF(packets); i++) {
                data = wire_read(packets[i], &n);
                ck_assert_int_eq(packet_header_decode(data, n, &header), 0);
                ck_assert_uint_eq(header.size, n);
                packet_header_encode(&header, again);
                ck_assert_mem_eq(again, data, PACKET_HEADER_SIZE);
                free(data);
        }
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("control");
        TCase *fields = tcase_create("fields");
        TCase *refuse = tcase_create("refuse");

        tcase_add_checked_fixture(fields, NULL, nothing_left);
        tcase_add_test(fields, encoding_gives_the_same_bytes);
        tcase_add_test(fields, every_field_has_its_place);
        tcase_add_test(fields, each_verb_has_its_file);
        tcase_add_test(fields, a_packet_of_it_is_header_and_word);
        tcase_add_test(fields, frames_and_packets_are_as_written);
        tcase_add_test(fields, every_code_has_a_text_of_its_own);
        suite_add_tcase(suite, fields);

        tcase_add_checked_fixture(refuse, NULL, nothing_left);
        tcase_add_loop_test(refuse, a_short_head_is_a_violation_at_each_length, 0,
                            CONTROL_HEAD_SIZE);
        tcase_add_loop_test(refuse, bodies_have_limits, 0, ELEMENTSOF(bodies));
        tcase_add_test(refuse, verb_zero_is_a_violation_and_others_are_unknown);
        suite_add_tcase(suite, refuse);
        return suite;
}
