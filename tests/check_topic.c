/* SPDX-License-Identifier: Apache-2.0 */

#include "libcore/topic.h"

#include <string.h>

#include "libcore/util.h"
#include "tests/main.h"

static const struct {
        const char *text;
        bool is_topic, is_pattern;
} texts[] = {
        { "a", true, true },
        { "Orders.EU.new", true, true },
        { "a.b-c_d.0/1:2#3", true, true },
        { "~.!", true, true },
        { "*", false, true },
        { ">", false, true },
        { "a.*", false, true },
        { "*.b", false, true },
        { "a.*.c.>", false, true },
        { "*.*.*", false, true },
        { "", false, false },
        { ".", false, false },
        { ".a", false, false },
        { "a.", false, false },
        { "a..b", false, false },
        { ">.a", false, false },
        { "a.>.b", false, false },
        { "a*", false, false },
        { "**", false, false },
        { "a.b>", false, false },
        { ">>", false, false },
        { "a b", false, false },
        { "a\n", false, false },
        { "a\x7f", false, false },
        { "\xc3\xa4", false, false },
};

START_TEST(a_text_is_a_topic_or_a_pattern_or_neither) {
        size_t n = strlen(texts[_i].text);

        ck_assert_msg(topic_is_valid(texts[_i].text, n) == texts[_i].is_topic, "topic '%s'",
                      texts[_i].text);
        ck_assert_msg(topic_is_pattern(texts[_i].text, n) == texts[_i].is_pattern, "pattern '%s'",
                      texts[_i].text);
}
END_TEST

START_TEST(what_is_too_long_is_neither) {
        char text[TOPIC_SIZE_MAX + 2];
        char elements[2 * TOPIC_ELEMENTS_MAX + 2];

        memset(text, 'a', sizeof(text));
        ck_assert(topic_is_valid(text, TOPIC_SIZE_MAX));
        ck_assert(!topic_is_valid(text, TOPIC_SIZE_MAX + 1));
        ck_assert(!topic_is_valid("a\0b", 3));

        for (size_t i = 0; i < sizeof(elements); i++)
                elements[i] = i % 2 ? '.' : 'a';
        ck_assert(topic_is_valid(elements, 2 * TOPIC_ELEMENTS_MAX - 1));
        ck_assert(!topic_is_valid(elements, 2 * TOPIC_ELEMENTS_MAX + 1));
}
END_TEST

static const struct {
        const char *pattern, *topic;
        bool matches;
} pairs[] = {
        { "a", "a", true },         { "a", "b", false },         { "a", "ab", false },
        { "ab", "a", false },       { "a", "a.b", false },       { "a.b", "a", false },
        { "a.b", "a.b", true },     { "a.b", "A.b", false },     { "*", "a", true },
        { "*", "a.b", false },      { "a.*", "a.b", true },      { "a.*", "a", false },
        { "a.*", "a.b.c", false },  { "*.b", "a.b", true },      { "*.b", "a.c", false },
        { "a.*.c", "a.x.c", true }, { "a.*.c", "a.x.d", false }, { ">", "a", true },
        { ">", "a.b.c", true },     { "a.>", "a", false },       { "a.>", "a.b", true },
        { "a.>", "a.b.c", true },   { "a.>", "b.b", false },     { "*.>", "a", false },
        { "*.>", "a.b", true },     { "a.*.>", "a.b", false },   { "a.*.>", "a.b.c.d", true },
};

START_TEST(a_pattern_stands_for_topics) {
        ck_assert_msg(topic_matches(pairs[_i].pattern, strlen(pairs[_i].pattern), pairs[_i].topic,
                                    strlen(pairs[_i].topic)) == pairs[_i].matches,
                      "%s, %s", pairs[_i].pattern, pairs[_i].topic);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("topic");
        TCase *topics = tcase_create("topics");

        tcase_add_loop_test(topics, a_text_is_a_topic_or_a_pattern_or_neither, 0,
                            ELEMENTSOF(texts));
        tcase_add_test(topics, what_is_too_long_is_neither);
        tcase_add_loop_test(topics, a_pattern_stands_for_topics, 0, ELEMENTSOF(pairs));
        suite_add_tcase(suite, topics);
        return suite;
}
