/* SPDX-License-Identifier: Apache-2.0 */

#include "libcore/record.h"

#include <stdlib.h>
#include <string.h>

#include "libcore/control.h"
#include "libcore/util.h"
#include "tests/main.h"
#include "tests/wire.h"

static uint8_t *bytes;
static size_t n_bytes;

/* Decodes the one record of a hexdump; its bytes stay in @bytes. */
static Record decoded(const char *name) {
        size_t at = 0;
        Record r;

        free(bytes);
        bytes = wire_read(name, &n_bytes);
        ck_assert_msg(record_decode(bytes, n_bytes, &at, &r) == 0, "refused: %s", name);
        ck_assert_uint_eq(at, n_bytes);
        ck_assert_uint_eq(r.size, n_bytes);
        return r;
}

static void nothing_left(void) {
        free(bytes);
        bytes = NULL;
}

START_TEST(encoding_gives_the_same_bytes) {
        const char *const *names;
        size_t n_names = wire_list("record-", &names);
        unsigned types = 0;

        for (size_t i = 0; i < n_names; i++) {
                Record r = decoded(names[i]);
                uint8_t again[WIRE_SIZE_MAX];

                ck_assert_uint_eq(record_size(&r), n_bytes);
                memset(again, 0xaa, sizeof(again));
                record_encode(&r, again);
                ck_assert_msg(memcmp(again, bytes, n_bytes) == 0, "differs: %s", names[i]);
                types |= 1u << r.type;
        }
        ck_assert_uint_eq(types, (1u << _RECORD_TYPE_MAX) - 2); /* each has its file */
}
END_TEST

START_TEST(every_head_has_session_flags_and_number) {
        Record r = decoded("record-msg-error-reply");

        ck_assert_uint_eq(r.type, RECORD_MSG);
        ck_assert_uint_eq(r.flags, RECORD_ACK_NOW);
        ck_assert_uint_eq(r.session, UINT64_C(0x0102030405060708));
        ck_assert_uint_eq(r.seq, 7);
}
END_TEST

START_TEST(start_says_key_time_and_credit) {
        Record r = decoded("record-start");

        ck_assert_mem_eq(r.start.key, bytes + RECORD_HEADER_SIZE, PID_KEY_SIZE);
        ck_assert_uint_eq(r.start.opened_usec, UINT64_C(0x0006474846204000));
        ck_assert_uint_eq(r.start.limit, 65536);
        ck_assert_uint_eq(r.flags, 0);
        ck_assert_uint_eq(decoded("record-start-answer").flags, RECORD_ANSWER);
}
END_TEST

START_TEST(a_message_has_all_its_fields) {
        Record r = decoded("record-msg-error-reply");
        const RecordMessage *m = &r.message;
        const uint8_t *found;
        size_t n;

        ck_assert_uint_eq(m->kind, MESSAGE_ERROR);
        ck_assert_uint_eq(m->flags, MESSAGE_END);
        ck_assert_uint_eq(m->lifetime_msec, 30000);
        ck_assert_mem_eq(m->id.bytes, bytes + 32, PACKET_ID_SIZE);
        ck_assert_mem_eq(m->reply_to.bytes, bytes + 48, PACKET_ID_SIZE);
        ck_assert_uint_eq(m->total, 2);
        ck_assert_uint_eq(m->n_data, 2);
        ck_assert_mem_eq(m->data, "no", 2);
        ck_assert_uint_eq(m->n_extensions, 20);

        found = record_extension(m->extensions, m->n_extensions, MESSAGE_EXT_TYPE, &n);
        ck_assert_ptr_nonnull(found);
        ck_assert_uint_eq(n, 10);
        ck_assert_mem_eq(found, "text/plain", 10);
        found = record_extension(m->extensions, m->n_extensions, MESSAGE_EXT_STATUS, &n);
        ck_assert_ptr_nonnull(found);
        ck_assert_uint_eq(n, 4);
        ck_assert_uint_eq(load_le32(found), 3);
        ck_assert_ptr_null(record_extension(m->extensions, m->n_extensions, MESSAGE_EXT_TOPIC, &n));
        ck_assert_ptr_null(record_extension(NULL, 0, MESSAGE_EXT_TYPE, &n));
}
END_TEST

START_TEST(the_first_of_several_says_how_long_the_whole_is) {
        Record r = decoded("record-msg-first-of-several");

        ck_assert_uint_eq(r.message.kind, MESSAGE_REQUEST);
        ck_assert_uint_eq(r.message.flags, MESSAGE_IDEMPOTENT);
        ck_assert_uint_eq(r.message.total, 100000);
        ck_assert_uint_eq(r.message.n_data, 4);
        r = decoded("record-part");
        ck_assert_uint_eq(r.seq, 9);
        ck_assert_uint_eq(r.part.n_data, 8);
        ck_assert_ptr_eq(r.part.data, bytes + RECORD_HEADER_SIZE);
}
END_TEST

START_TEST(an_ack_has_three_counts_and_ranges) {
        Record r = decoded("record-ack-ranges");

        ck_assert_uint_eq(r.flags, RECORD_ACK_NOW);
        ck_assert_uint_eq(r.ack.received, 10);
        ck_assert_uint_eq(r.ack.taken, 8);
        ck_assert_uint_eq(r.ack.limit, 262145);
        ck_assert_uint_eq(r.ack.n_ranges, 2);
        ck_assert_uint_eq(r.ack.n_marked, 3);
        ck_assert_uint_eq(r.ack.delay_usec, 1500);
        ck_assert_uint_eq(r.ack.ranges[0].first, 12);
        ck_assert_uint_eq(r.ack.ranges[0].last, 12);
        ck_assert_uint_eq(r.ack.ranges[1].first, 14);
        ck_assert_uint_eq(r.ack.ranges[1].last, 20);
        ck_assert_uint_eq(decoded("record-ack").ack.n_ranges, 0);
}
END_TEST

START_TEST(skip_and_skipped_have_range_end_and_reason) {
        Record r = decoded("record-skip");

        ck_assert_uint_eq(r.seq, 10);
        ck_assert_uint_eq(r.skip.last, 12);
        ck_assert_uint_eq(r.skip.end, 4096);
        ck_assert_uint_eq(r.skip.reason, CODE_EXPIRED);
        r = decoded("record-skipped");
        ck_assert_uint_eq(r.seq, 10);
        ck_assert_uint_eq(r.skipped.last, 12);
        ck_assert_uint_eq(r.skipped.from, 10);
        ck_assert_uint_eq(r.skipped.reason, CODE_EXPIRED);
        r = decoded("record-skipped-arrived");
        ck_assert_uint_eq(r.seq, 0);
        ck_assert_uint_eq(r.skipped.from, 1);
}
END_TEST

START_TEST(the_others_have_one_field) {
        Record r = decoded("record-close");

        ck_assert_uint_eq(r.code, CODE_OK);
        r = decoded("record-reset");
        ck_assert_uint_eq(r.session, UINT64_C(0xfffefdfcfbfaf9f8));
        r = decoded("record-cancel");
        ck_assert_mem_eq(r.id.bytes, bytes + RECORD_HEADER_SIZE, PACKET_ID_SIZE);
        r = decoded("record-ping");
        ck_assert_mem_eq(r.ping, bytes + RECORD_HEADER_SIZE, RECORD_PING_SIZE);
        r = decoded("record-pong");
        ck_assert_uint_eq(r.type, RECORD_PONG);
}
END_TEST

START_TEST(records_follow_each_other) {
        size_t n, at = 0;
        uint8_t *packet = wire_read("packet-records", &n);
        Record r;

        ck_assert_int_eq(
                record_decode(packet + PACKET_HEADER_SIZE, n - PACKET_HEADER_SIZE, &at, &r), 0);
        ck_assert_uint_eq(r.type, RECORD_START);
        ck_assert_int_eq(
                record_decode(packet + PACKET_HEADER_SIZE, n - PACKET_HEADER_SIZE, &at, &r), 0);
        ck_assert_uint_eq(r.type, RECORD_MSG);
        ck_assert_int_eq(
                record_decode(packet + PACKET_HEADER_SIZE, n - PACKET_HEADER_SIZE, &at, &r),
                RECORD_E_END);
        free(packet);
}
END_TEST

/* Refused in whichever way, the reader stays where it was. */
static void refuses(const uint8_t *data, size_t n, const char *what) {
        size_t at = 0;
        Record r;

        ck_assert_msg(record_decode(data, n, &at, &r) == RECORD_E_VIOLATION, "accepted: %s", what);
        ck_assert_uint_eq(at, 0);
}

/* Each file of records, with its payloads where they are and all else copied. */
START_TEST(shared_memory_is_parsed_in_a_copy) {
        static uint8_t copy[RECORD_HEADER_SIZE + RECORD_BODY_MAX];
        const char *const *names;
        size_t n_names = wire_list("record-", &names);
        unsigned n_payloads = 0;

        for (size_t i = 0; i < n_names; i++) {
                size_t n, at = 0, at_shared = 0;
                uint8_t *original = wire_read(names[i], &n);
                Record r, shared;
                int c = record_decode(original, n, &at, &r);

                memset(copy, 0xaa, sizeof(copy));
                ck_assert_int_eq(record_decode_shared(original, n, &at_shared, copy, &shared), c);
                ck_assert_uint_eq(at_shared, at);
                ck_assert_uint_eq(shared.type, r.type);
                ck_assert_uint_eq(shared.seq, r.seq);
                ck_assert_uint_eq(shared.size, r.size);
                if (r.type == RECORD_MSG) {
                        ck_assert_ptr_eq(shared.message.data, r.message.data);
                        ck_assert_uint_eq(shared.message.n_data, r.message.n_data);
                        ck_assert_ptr_eq(shared.message.extensions,
                                         copy + RECORD_HEADER_SIZE + RECORD_MESSAGE_HEAD_SIZE);
                        ck_assert_mem_eq(shared.message.extensions, r.message.extensions,
                                         r.message.n_extensions);
                        n_payloads++;
                } else if (r.type == RECORD_PART) {
                        ck_assert_ptr_eq(shared.part.data, r.part.data);
                        ck_assert_uint_eq(shared.part.n_data, r.part.n_data);
                        ck_assert_uint_eq(copy[RECORD_HEADER_SIZE], 0xaa);
                        n_payloads++;
                }
                /* One byte less is a violation, as everywhere. */
                for (size_t k = 1; k < r.size; k++) {
                        at_shared = 0;
                        ck_assert_int_eq(
                                record_decode_shared(original, r.size - k, &at_shared, copy, &shared),
                                RECORD_E_VIOLATION);
                }
                free(original);
        }
        ck_assert_uint_gt(n_payloads, 1);
}
END_TEST

START_TEST(short_input_is_a_violation_at_each_length) {
        const char *const *names;
        size_t n_names = wire_list("record-", &names);

        for (size_t i = 0; i < n_names; i++) {
                (void)decoded(names[i]); /* for its bytes */
                for (size_t n = 1; n < n_bytes; n++) {
                        uint8_t *exact = malloc(n);

                        ck_assert_ptr_nonnull(exact);
                        memcpy(exact, bytes, n);
                        refuses(exact, n, names[i]);
                        free(exact);
                }
        }
}
END_TEST

START_TEST(nothing_is_the_end) {
        size_t at = 0;
        Record r;

        ck_assert_int_eq(record_decode(NULL, 0, &at, &r), RECORD_E_END);
        at = 5;
        ck_assert_int_eq(record_decode((const uint8_t *)"12345", 5, &at, &r), RECORD_E_END);
}
END_TEST

/* PROTOCOL.md, "Sealing". Only what was sealed may have it: a type of 0 is a violation. */
START_TEST(what_was_sealed_has_padding_behind_its_records) {
        uint8_t data[3 * RECORD_HEADER_SIZE + 40] = { 0 };
        const Record record = { .type = RECORD_PING };
        size_t size = record_size(&record);

        ck_assert_uint_eq(record_unpadded_size(data, sizeof(data)), 0);
        ck_assert_uint_eq(record_unpadded_size(data, 0), 0);
        record_encode(&record, data);
        ck_assert_uint_eq(record_unpadded_size(data, size), size);
        for (size_t n = size; n < sizeof(data); n++)
                ck_assert_uint_eq(record_unpadded_size(data, n), size);
        data[size] = RECORD_PING; /* a head that is cut, and one that says more than there is */
        ck_assert_uint_eq(record_unpadded_size(data, size + 1), size + 1);
        data[size + 2] = 41;
        ck_assert_uint_eq(record_unpadded_size(data, size + RECORD_HEADER_SIZE + 40),
                          size + RECORD_HEADER_SIZE + 40);
}
END_TEST

/* One byte of a good record changed. */
static const struct {
        const char *name;
        const char *what;
        unsigned at;
        uint8_t value;
} bad[] = {
        { "record-msg", "type zero", 0, 0 },
        { "record-msg", "a body over the end", 2, 54 },
        { "record-msg", "first reserved byte", 4, 1 },
        { "record-msg", "last reserved byte", 7, 0x80 },
        { "record-msg", "kind zero", 24, 0 },
        { "record-msg", "more data than in all", 64, 4 },
        { "record-msg", "extensions over the end", 26, 6 },
        { "record-msg-error-reply", "an extension that ends amid the next", 26, 21 },
        { "record-msg-error-reply", "an extension over the end", 73, 18 },
        { "record-ack", "taken beyond received", 32, 11 },
        { "record-ack", "a range that is not there", 48, 1 },
        { "record-ack", "33 ranges", 48, RECORD_ACK_RANGES_MAX + 1 },
        { "record-ack-ranges", "a range below received", 56, 9 },
        { "record-ack-ranges", "a reversed range", 56, 13 },
        { "record-ack-ranges", "overlapping ranges", 72, 12 },
        { "record-ack-ranges", "one range less", 48, 1 },
        { "record-skip", "a reversed range", 24, 9 },
        { "record-skip", "reserved", 42, 1 },
        { "record-skipped", "a reversed range", 24, 9 },
        { "record-skipped", "from before the range", 32, 9 },
        { "record-skipped", "from far behind the range", 32, 14 },
        { "record-skipped", "reserved", 47, 1 },
        { "record-close", "reserved", 26, 1 },
        { "record-reset", "reserved", 31, 1 },
};

START_TEST(what_no_version_sends_is_a_violation) {
        (void)decoded(bad[_i].name); /* for its bytes */
        bytes[bad[_i].at] = bad[_i].value;
        refuses(bytes, n_bytes, bad[_i].what);
}
END_TEST

START_TEST(a_part_without_bytes_is_a_violation) {
        (void)decoded("record-part"); /* for its bytes */
        bytes[2] = 0;
        refuses(bytes, RECORD_HEADER_SIZE, "an empty part");
}
END_TEST

START_TEST(fixed_bodies_have_one_size) {
        static const char *const names[] = { "record-start", "record-ack",   "record-skip",
                                             "record-close", "record-reset", "record-skipped",
                                             "record-ping",  "record-pong",  "record-cancel" };

        for (unsigned i = 0; i < ELEMENTSOF(names); i++) {
                uint8_t longer[WIRE_SIZE_MAX] = { 0 };

                (void)decoded(names[i]); /* for its bytes */
                memcpy(longer, bytes, n_bytes);
                longer[2]++;
                refuses(longer, n_bytes + 1, names[i]);
        }
}
END_TEST

START_TEST(bodies_have_a_limit) {
        uint8_t *large = calloc(1, RECORD_HEADER_SIZE + RECORD_BODY_MAX + 1);
        size_t at = 0;
        Record r;

        ck_assert_ptr_nonnull(large);
        large[0] = RECORD_PART;
        store_le16(large + 2, RECORD_BODY_MAX);
        ck_assert_int_eq(record_decode(large, RECORD_HEADER_SIZE + RECORD_BODY_MAX, &at, &r), 0);
        ck_assert_uint_eq(r.part.n_data, RECORD_BODY_MAX);
        store_le16(large + 2, RECORD_BODY_MAX + 1);
        refuses(large, RECORD_HEADER_SIZE + RECORD_BODY_MAX + 1, "a body over the limit");
        free(large);
}
END_TEST

/* Well-formed, of a later version: passed over, and a message can be refused by its number. */
static const struct {
        const char *name;
        const char *what;
        unsigned at;
        uint8_t value;
} later[] = {
        { "record-msg", "a type of record", 0, _RECORD_TYPE_MAX },
        { "record-msg", "type 255", 0, 255 },
        { "record-msg", "a kind of message", 24, _MESSAGE_KIND_MAX },
        { "record-msg", "kind 255", 24, 255 },
        { "record-msg", "a flag of a message", 25, 0x20 },
        { "record-msg-error-reply", "a critical extension", 72, 0x81 },
};

START_TEST(what_is_of_a_later_version_is_passed_over) {
        size_t at = 0;
        Record r;

        (void)decoded(later[_i].name); /* for its bytes */
        bytes[later[_i].at] = later[_i].value;
        ck_assert_msg(record_decode(bytes, n_bytes, &at, &r) == RECORD_E_UNSUPPORTED, "not so: %s",
                      later[_i].what);
        ck_assert_uint_eq(at, n_bytes);
        ck_assert_uint_eq(r.session, UINT64_C(0x0102030405060708));
        ck_assert_uint_eq(r.seq, load_le64(bytes + 16));
        if (r.type == RECORD_MSG)
                ck_assert_mem_eq(r.message.id.bytes, bytes + 32, PACKET_ID_SIZE);
}
END_TEST

START_TEST(an_extension_that_nobody_knows_is_skipped) {
        size_t at = 0, n;
        Record r;

        (void)decoded("record-msg-error-reply"); /* for its bytes */
        bytes[72] = 0x7f;
        ck_assert_int_eq(record_decode(bytes, n_bytes, &at, &r), 0);
        ck_assert_ptr_nonnull(
                record_extension(r.message.extensions, r.message.n_extensions, 0x7f, &n));
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("record");
        TCase *fields = tcase_create("fields");
        TCase *refuse = tcase_create("refuse");

        tcase_add_checked_fixture(fields, NULL, nothing_left);
        tcase_add_test(fields, encoding_gives_the_same_bytes);
        tcase_add_test(fields, every_head_has_session_flags_and_number);
        tcase_add_test(fields, start_says_key_time_and_credit);
        tcase_add_test(fields, a_message_has_all_its_fields);
        tcase_add_test(fields, the_first_of_several_says_how_long_the_whole_is);
        tcase_add_test(fields, an_ack_has_three_counts_and_ranges);
        tcase_add_test(fields, skip_and_skipped_have_range_end_and_reason);
        tcase_add_test(fields, the_others_have_one_field);
        tcase_add_test(fields, records_follow_each_other);
        suite_add_tcase(suite, fields);

        tcase_add_checked_fixture(refuse, NULL, nothing_left);
        tcase_add_test(refuse, shared_memory_is_parsed_in_a_copy);
        tcase_add_test(refuse, short_input_is_a_violation_at_each_length);
        tcase_add_test(refuse, nothing_is_the_end);
        tcase_add_test(refuse, what_was_sealed_has_padding_behind_its_records);
        tcase_add_loop_test(refuse, what_no_version_sends_is_a_violation, 0, ELEMENTSOF(bad));
        tcase_add_test(refuse, a_part_without_bytes_is_a_violation);
        tcase_add_test(refuse, fixed_bodies_have_one_size);
        tcase_add_test(refuse, bodies_have_a_limit);
        tcase_add_loop_test(refuse, what_is_of_a_later_version_is_passed_over, 0,
                            ELEMENTSOF(later));
        tcase_add_test(refuse, an_extension_that_nobody_knows_is_skipped);
        suite_add_tcase(suite, refuse);
        return suite;
}
