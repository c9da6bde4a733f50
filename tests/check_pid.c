/* SPDX-License-Identifier: Apache-2.0 */

#include "libcore/pid.h"

#include <stdlib.h>
#include <string.h>

#include "libcore/util.h"
#include "tests/main.h"

#define PID UINT64_C(0xe85004f63798e2c0)
#define TAG UINT32_C(0x27e87175)

START_TEST(text_is_16_lower_case_digits) {
        char text[PID_TEXT_SIZE];

        ck_assert_str_eq(pid_format(PID, text), "e85004f63798e2c0");
        ck_assert_ptr_eq(pid_format(PID_NONE, text), text);
        ck_assert_str_eq(text, "0000000000000000");
        ck_assert_str_eq(pid_format(PID_RELAY, text), "0000000000000003");
        ck_assert_str_eq(pid_format(PID_EVERYONE, text), "ffffffffffffffff");
}
END_TEST

START_TEST(address_text_has_its_tag_if_it_knows_one) {
        char text[PID_TAGGED_SIZE];

        ck_assert_str_eq(address_format((Address){ PID, TAG }, text), "e85004f63798e2c0-27e87175");
        ck_assert_str_eq(address_format((Address){ PID, 1 }, text), "e85004f63798e2c0-00000001");
        ck_assert_str_eq(address_format((Address){ PID, 0 }, text), "e85004f63798e2c0");
}
END_TEST

static const struct {
        const char *text;
        Address address;
} good[] = {
        { "e85004f63798e2c0", { PID, 0 } },
        { "E85004F63798E2C0", { PID, 0 } },
        { "e85004F63798e2C0", { PID, 0 } },
        { "e850-04f6-3798-e2c0", { PID, 0 } },
        { "E850-04F6-3798-E2C0", { PID, 0 } },
        { "e85004f63798e2c0-27e87175", { PID, TAG } },
        { "E85004F63798E2C0-27E87175", { PID, TAG } },
        { "e850-04f6-3798-e2c0-27e87175", { PID, TAG } },
        { "e85004f63798e2c0-00000000", { PID, 0 } },
        { "0000000000000000", { PID_NONE, 0 } },
        { "0000000000000001", { PID_DAEMON, 0 } },
        { "ffffffffffffffff", { PID_EVERYONE, 0 } },
        { "ffff-ffff-ffff-ffff-ffffffff", { PID_EVERYONE, UINT32_MAX } },
};

START_TEST(address_forms_are_read) {
        Address address;

        ck_assert_msg(address_parse(good[_i].text, &address) == 0, "refused: %s", good[_i].text);
        ck_assert_msg(address_equal(address, good[_i].address), "misread: %s", good[_i].text);
}
END_TEST

START_TEST(pid_forms_are_read_and_tags_are_not_pids) {
        Pid pid = 42;
        int r = pid_parse(good[_i].text, &pid);

        if (strlen(good[_i].text) <= strlen("e850-04f6-3798-e2c0")) {
                ck_assert_int_eq(r, 0);
                ck_assert_uint_eq(pid, good[_i].address.pid);
        } else {
                ck_assert_int_eq(r, PID_E_MALFORMED);
                ck_assert_uint_eq(pid, 42);
        }
}
END_TEST

static const char *const bad[] = {
        "",
        "e",
        "e85004f63798e2c",
        "e85004f63798e2c00",
        "e85004f63798e2c0 ",
        " e85004f63798e2c0",
        "0xe85004f63798e2c0",
        "+e85004f63798e2c0",
        "e85004f63798e2cg",
        "e85004f63798e2c`",
        "e85004f63798e2c/",
        "e85004f63798e2c:",
        "e85004f63798e2c@",
        "e85004f63798e2cG",
        "e85004f63798e2c\xc3",
        "e85004f63798e2c0\n",
        "e85004f63798e2c0.",
        "e85004f63798e2c0-",
        "e85004f63798e2c0-27e8717",
        "e85004f63798e2c0-27e871755",
        "e85004f63798e2c0-27e8-7175",
        "e85004f63798e2c0-27e8717g",
        "e85004f63798e2c0--27e87175",
        "e85004f63798e2c0:27e87175",
        "e85004f63798e2c0-27e87175-27e87175",
        "e85004f63798e2c0-27e87175 ",
        "e85004f63798e2c027e87175",
        "-e85004f63798e2c0",
        "e850-04f6-3798",
        "e850-04f6-3798-",
        "e850-04f6-3798-e2c",
        "e850-04f6-3798-e2c0-",
        "e850-04f6-3798e2c0",
        "e85004f6-3798e2c0",
        "e850:04f6:3798:e2c0",
        "e850 04f6 3798 e2c0",
        "e850--04f6-3798-e2c0",
        "e8-5004-f637-98e2-c0",
        "-e850-04f6-3798-e2c0",
        /* The full form begins with a PID, but what it means only libsecure can say. */
        "e85004f63798e2c0:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "billing.invoices",
};

START_TEST(anything_else_is_refused_and_leaves_the_result_alone) {
        Address address = { 42, 43 };
        Pid pid = 42;

        ck_assert_msg(pid_parse(bad[_i], &pid) == PID_E_MALFORMED, "a PID: '%s'", bad[_i]);
        ck_assert_msg(address_parse(bad[_i], &address) == PID_E_MALFORMED, "an address: '%s'",
                      bad[_i]);
        ck_assert_uint_eq(pid, 42);
        ck_assert_uint_eq(address.pid, 42);
        ck_assert_uint_eq(address.tag, 43);
}
END_TEST

/* Each length in a block of its own size, so that a sanitizer sees the byte too many. */
START_TEST(no_byte_behind_the_end_is_read) {
        static const char *const texts[] = { "e85004f63798e2c0-27e87175",
                                             "e850-04f6-3798-e2c0-27e87175" };

        for (unsigned t = 0; t < ELEMENTSOF(texts); t++)
                for (size_t n = 0; n <= strlen(texts[t]); n++) {
                        _cleanup_(freep) char *text = strndup(texts[t], n);
                        Address address = { 42, 43 };
                        Pid pid;

                        ck_assert_ptr_nonnull(text);
                        (void)pid_parse(text, &pid); /* only for what it reads */
                        if (address_parse(text, &address) != 0)
                                ck_assert(address.pid == 42 && address.tag == 43);
                        else
                                ck_assert_uint_eq(address.pid, PID);
                }
}
END_TEST

START_TEST(what_is_written_can_be_read) {
        static const Address addresses[] = {
                { PID, TAG }, { PID, 0 },          { 0, 0 }, { 1, 1 }, { UINT64_MAX, UINT32_MAX },
                { 1, 0 },     { INT64_MAX, 1U << 31 },
        };
        char text[PID_TAGGED_SIZE];
        Address address;

        ck_assert_int_eq(address_parse(address_format(addresses[_i], text), &address), 0);
        ck_assert(address_equal(address, addresses[_i]));
}
END_TEST

START_TEST(the_first_and_last_65536_are_nobodys) {
        ck_assert(pid_is_reserved(PID_NONE));
        ck_assert(pid_is_reserved(PID_DAEMON));
        ck_assert(pid_is_reserved(PID_BRIDGE));
        ck_assert(pid_is_reserved(PID_RELAY));
        ck_assert(pid_is_reserved(0xffff));
        ck_assert(!pid_is_reserved(0x10000));
        ck_assert(!pid_is_reserved(PID));
        ck_assert(!pid_is_reserved(UINT64_C(0xfffffffffffeffff)));
        ck_assert(pid_is_reserved(UINT64_C(0xffffffffffff0000)));
        ck_assert(pid_is_reserved(PID_EVERYONE));
}
END_TEST

START_TEST(addresses_are_equal_in_both_parts) {
        Address a = { PID, TAG };

        ck_assert(address_equal(a, a));
        ck_assert(!address_equal(a, (Address){ PID, 0 }));
        ck_assert(!address_equal(a, (Address){ PID + 1, TAG }));
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("pid");
        TCase *text = tcase_create("text");
        TCase *number = tcase_create("number");

        tcase_add_test(text, text_is_16_lower_case_digits);
        tcase_add_test(text, address_text_has_its_tag_if_it_knows_one);
        tcase_add_loop_test(text, address_forms_are_read, 0, ELEMENTSOF(good));
        tcase_add_loop_test(text, pid_forms_are_read_and_tags_are_not_pids, 0, ELEMENTSOF(good));
        tcase_add_loop_test(text, anything_else_is_refused_and_leaves_the_result_alone, 0,
                            ELEMENTSOF(bad));
        tcase_add_test(text, no_byte_behind_the_end_is_read);
        tcase_add_loop_test(text, what_is_written_can_be_read, 0, 7);
        suite_add_tcase(suite, text);

        tcase_add_test(number, the_first_and_last_65536_are_nobodys);
        tcase_add_test(number, addresses_are_equal_in_both_parts);
        suite_add_tcase(suite, number);
        return suite;
}
