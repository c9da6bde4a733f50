/* SPDX-License-Identifier: Apache-2.0 */

#include "libcore/provider.h"

#include <string.h>

#include "libcore/util.h"
#include "tests/main.h"

static const uint8_t full[] = "a.b\0\x0a\0\x2c\1\1\0\0\0zone=a";

START_TEST(a_name_alone_is_a_claim) {
        ProviderClaim claim;

        ck_assert_int_eq(provider_claim_decode((const uint8_t *)"a.b", 3, &claim), 0);
        ck_assert_uint_eq(claim.n_name, 3);
        ck_assert_uint_eq(claim.rank.priority, 100);
        ck_assert_uint_eq(claim.rank.weight, 100);
        ck_assert_uint_eq(claim.rank.flags, 0);
        ck_assert_uint_eq(claim.n_metadata, 0);
}
END_TEST

START_TEST(all_fields_come_through) {
        uint8_t out[PROVIDER_CLAIM_MAX];
        ProviderClaim claim;

        ck_assert_int_eq(provider_claim_decode(full, sizeof(full) - 1, &claim), 0);
        ck_assert_mem_eq(claim.name, "a.b", 3);
        ck_assert_uint_eq(claim.n_name, 3);
        ck_assert_uint_eq(claim.rank.priority, 10);
        ck_assert_uint_eq(claim.rank.weight, 300);
        ck_assert_uint_eq(claim.rank.flags, PROVIDER_DRAIN);
        ck_assert_uint_eq(claim.n_metadata, 6);
        ck_assert_mem_eq(claim.metadata, "zone=a", 6);
        ck_assert_uint_eq(provider_claim_encode(&claim, out), sizeof(full) - 1);
        ck_assert_mem_eq(out, full, sizeof(full) - 1);
}
END_TEST

START_TEST(a_short_one_is_malformed) {
        ProviderClaim claim = { .n_name = 77 };

        for (size_t n = 0; n < 12; n++)
                if (n != 3)
                        ck_assert_msg(provider_claim_decode(full, n, &claim) ==
                                              PROVIDER_E_MALFORMED,
                                      "accepted: %zu bytes", n);
        ck_assert_uint_eq(claim.n_name, 77);
        ck_assert_int_eq(provider_claim_decode(full, 12, &claim), 0);
}
END_TEST

static const struct {
        const char *what;
        size_t at;
        uint8_t value;
} bad[] = {
        { "no name", 0, 'A' },
        { "no dot", 1, '-' },
        { "an unknown flag", 8, 3 },
        { "REMOTE, which it cannot say", 8, 2 },
        { "a TAB in what it says", 12, '\t' },
        { "a NUL there", 12, 0 },
        { "DEL there", 12, 0x7f },
        { "half a character there", 17, 0xc3 },
};

START_TEST(what_nobody_may_say_is_malformed) {
        uint8_t bytes[sizeof(full)];
        ProviderClaim claim;

        memcpy(bytes, full, sizeof(full));
        bytes[bad[_i].at] = bad[_i].value;
        ck_assert_msg(provider_claim_decode(bytes, sizeof(full) - 1, &claim) ==
                              PROVIDER_E_MALFORMED,
                      "accepted: %s", bad[_i].what);
}
END_TEST

START_TEST(weight_zero_is_malformed) {
        uint8_t bytes[sizeof(full)];
        ProviderClaim claim;

        memcpy(bytes, full, sizeof(full));
        bytes[6] = bytes[7] = 0;
        ck_assert_int_eq(provider_claim_decode(bytes, sizeof(full) - 1, &claim),
                         PROVIDER_E_MALFORMED);
}
END_TEST

static const struct {
        const char *text;
        bool valid;
} texts[] = {
        { "", true },
        { "zone=a, h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x84", true },
        { "\xf4\x8f\xbf\xbf", true },
        { "\xf4\x90\x80\x80", false }, /* beyond Unicode */
        { "\xed\xa0\x80", false },     /* half a surrogate pair */
        { "\xc0\xaf", false },         /* longer than it need be */
        { "\xe0\x80\xaf", false },
        { "\xc2\x85", false }, /* a control character of the second kind */
        { "\x80", false },
        { "\xe2\x82", false },
        { "\xff", false },
        { "\x1b[31m", false },
};

START_TEST(metadata_is_printable_text) {
        ck_assert_msg(provider_metadata_is_valid(texts[_i].text, strlen(texts[_i].text)) ==
                              texts[_i].valid,
                      "text %d", _i);
}
END_TEST

START_TEST(metadata_has_its_limit) {
        char text[PROVIDER_METADATA_MAX + 1];

        memset(text, 'x', sizeof(text));
        ck_assert(provider_metadata_is_valid(text, PROVIDER_METADATA_MAX));
        ck_assert(!provider_metadata_is_valid(text, PROVIDER_METADATA_MAX + 1));
}
END_TEST

START_TEST(an_entry_comes_through) {
        const ProviderEntry entry = {
                .key = { 1, 2, 3 },
                .rank = { .priority = 65535,
                          .weight = 1,
                          .flags = PROVIDER_DRAIN | PROVIDER_REMOTE },
        };
        uint8_t bytes[PROVIDER_ENTRY_SIZE];
        ProviderEntry found;

        provider_entry_encode(&entry, bytes);
        provider_entry_decode(bytes, &found);
        ck_assert_mem_eq(&found, &entry, sizeof(entry));
        memset(bytes + 34, 0, 2);
        memset(bytes + 36, 0xff, 4);
        provider_entry_decode(bytes, &found);
        ck_assert_uint_eq(found.rank.weight, 1);
        ck_assert_uint_eq(found.rank.flags, PROVIDER_DRAIN | PROVIDER_REMOTE);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("provider");
        TCase *tcase = tcase_create("bytes");

        tcase_add_test(tcase, a_name_alone_is_a_claim);
        tcase_add_test(tcase, all_fields_come_through);
        tcase_add_test(tcase, a_short_one_is_malformed);
        tcase_add_loop_test(tcase, what_nobody_may_say_is_malformed, 0, (int)ELEMENTSOF(bad));
        tcase_add_test(tcase, weight_zero_is_malformed);
        tcase_add_loop_test(tcase, metadata_is_printable_text, 0, (int)ELEMENTSOF(texts));
        tcase_add_test(tcase, metadata_has_its_limit);
        tcase_add_test(tcase, an_entry_comes_through);
        suite_add_tcase(suite, tcase);
        return suite;
}
