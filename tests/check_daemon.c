/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "tests/harness.h"
#include "tests/main.h"

START_TEST(a_packet_goes_to_the_process_it_names) {
        Daemon d;
        Client a, b;
        PacketId id;
        const Received *got;

        daemon_start(&d, "--user", NULL);
        client_open(&a, &d, 0);
        client_open(&b, &d, 0);
        id = client_send(&a, b.address, PACKET_RECORDS, "hello", 5);
        got = expect_payload(&b, PACKET_RECORDS, "hello", 5);
        ck_assert(address_equal(got->header.src, a.address));
        ck_assert_mem_eq(got->header.id.bytes, id.bytes, PACKET_ID_SIZE);
        ck_assert_uint_eq(got->header.hflags, 0);
        client_send(&b, (Address){ a.address.pid, 0 }, PACKET_RECORDS, "", 0);
        expect_payload(&a, PACKET_RECORDS, "", 0);
        client_close(&a);
        client_close(&b);
        daemon_stop(&d);
}
END_TEST

START_TEST(who_is_not_here_is_said_at_once) {
        Daemon d;
        Client a, b;
        PacketId id;
        const Control *word;

        daemon_start(&d, "--user", NULL);
        client_open(&a, &d, ATTACH_OFF_HOST);
        client_open(&b, &d, 0);
        id = client_send(&a, (Address){ 0x1234567812345678, 0 }, PACKET_RECORDS, "x", 1);
        word = expect_word(&a, CONTROL_NOT_LOCAL);
        ck_assert_uint_eq(word->code, CODE_NOT_HERE);
        ck_assert_mem_eq(word->ref.bytes, id.bytes, PACKET_ID_SIZE);
        ck_assert_uint_eq(word->address.pid, 0x1234567812345678);
        client_send(&a, (Address){ b.address.pid, b.address.tag ^ 1 }, PACKET_RECORDS, "x", 1);
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOT_LOCAL)->code, CODE_WRONG_KEY);
        client_send(&a, (Address){ 0x1234567812345678, 0 }, PACKET_SEALED, "x", 1);
        expect_error(&a, CODE_NO_ROUTE);
        client_close(&a);
        client_close(&b);
        daemon_stop(&d);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("daemon");
        TCase *tcase = tcase_create("routing");

        tcase_add_test(tcase, a_packet_goes_to_the_process_it_names);
        tcase_add_test(tcase, who_is_not_here_is_said_at_once);
        suite_add_tcase(suite, tcase);
        return suite;
}
