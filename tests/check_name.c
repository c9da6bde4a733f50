/* SPDX-License-Identifier: Apache-2.0 */

#include "libcore/name.h"

#include <string.h>

#include "tests/main.h"

static const struct {
        const char *name;
        bool valid;
} names[] = {
        { "a.b", true },
        { "com.example.orders", true },
        { "billing.invoices-2_x", true },
        { "a.0", true },
        { "e85004f63798e2c0x.b", true },
        { "e85004f63798e2cz.b", true },
        { "e85004f63798e2c.b", true },
        { "x.e85004f63798e2c0", true },
        { "e85004f63798e2c0.b", false }, /* looks like a PID */
        { "", false },
        { "a", false },
        { ".", false },
        { "..", false },
        { "a..b", false },
        { ".a.b", false },
        { "a.b.", false },
        { "A.b", false },
        { "a.B", false },
        { "1a.b", false },
        { "-a.b", false },
        { "a b.c", false },
        { "a.b\n", false },
        { "caf\xc3\xa9.menu", false },
        { "a/b.c", false },
};

START_TEST(the_grammar_holds) {
        ck_assert_msg(name_is_valid(names[_i].name, strlen(names[_i].name)) == names[_i].valid,
                      "\"%s\"", names[_i].name);
}
END_TEST

START_TEST(names_have_at_most_255_bytes_and_no_nul) {
        char name[NAME_SIZE_MAX + 1];

        memset(name, 'x', sizeof(name));
        name[1] = '.';
        ck_assert(name_is_valid(name, NAME_SIZE_MAX));
        ck_assert(!name_is_valid(name, NAME_SIZE_MAX + 1));
        name[5] = '\0';
        ck_assert(!name_is_valid(name, NAME_SIZE_MAX));
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("name");
        TCase *tcase = tcase_create("name");

        tcase_add_loop_test(tcase, the_grammar_holds, 0, sizeof(names) / sizeof(names[0]));
        tcase_add_test(tcase, names_have_at_most_255_bytes_and_no_nul);
        suite_add_tcase(suite, tcase);
        return suite;
}
