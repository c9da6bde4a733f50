/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/topic-frame.h"

#include "tests/main.h"

#define SIZE 200

static TopicPages pages;

static void begin(void) {
        pages = (TopicPages){ .page = NULL };
}

static void end(void) {
        topic_pages_done(&pages);
}

static TopicFrame published(const char *topic, size_t size) {
        TopicFrame frame;

        ck_assert_int_eq(topic_frame_new(&pages, topic, strlen(topic), size, &frame), 0);
        ck_assert_uint_eq(frame.size, size);
        memset(frame.data, 0xaa, size);
        return frame;
}

START_TEST(what_follows_on_a_topic_stands_in_one_page) {
        TopicFrame frames[3 * TOPIC_PAGE_MAX / SIZE];
        unsigned n_pages = 1;

        for (unsigned i = 0; i < ELEMENTSOF(frames); i++) {
                frames[i] = published("a.b", SIZE);
                if (i > 0 && frames[i].page != frames[i - 1].page)
                        n_pages++;
                else if (i > 0)
                        ck_assert_ptr_eq(frames[i].data, frames[i - 1].data + SIZE);
        }
        /* 1, 2, 4 ... frames, and then TOPIC_PAGE_MAX / SIZE */
        ck_assert_uint_le(n_pages, 10);
        for (unsigned i = 0; i < ELEMENTSOF(frames); i++)
                topic_frame_done(&frames[i]);
}
END_TEST

START_TEST(a_page_that_nobody_has_any_more_is_filled_anew) {
        TopicFrame frame = published("a.b", SIZE), other;
        const uint8_t *first = frame.data;

        topic_frame_done(&frame);
        other = published("another.topic", SIZE);
        ck_assert_ptr_eq(other.data, first);
        frame = published("another.topic", SIZE); /* there is one */
        ck_assert_ptr_ne(frame.page, other.page);
        topic_frame_done(&frame);
        topic_frame_done(&other);
}
END_TEST

START_TEST(a_page_ends_with_its_topic_and_when_there_may_be_other_readers) {
        bool is_turned = _i;
        TopicFrame held[3], next;

        for (unsigned i = 0; i < ELEMENTSOF(held); i++) /* there is room for a fourth */
                held[i] = published("a", SIZE);
        if (is_turned)
                topic_pages_turn(&pages);
        next = published(is_turned ? "a" : "b", SIZE);
        ck_assert_ptr_ne(next.page, held[2].page);
        ck_assert_uint_eq(next.page->room, SIZE);
        topic_frame_done(&next);
        for (unsigned i = 0; i < ELEMENTSOF(held); i++)
                topic_frame_done(&held[i]);
}
END_TEST

START_TEST(a_large_frame_is_alone_and_its_page_is_not_used_again) {
        TopicFrame large = published("a", TOPIC_PAGE_MAX + 1), small;

        ck_assert_uint_eq(large.page->room, TOPIC_PAGE_MAX + 1);
        topic_frame_done(&large);
        small = published("a", SIZE);
        ck_assert_uint_le(small.page->room, TOPIC_PAGE_MAX);
        topic_frame_done(&small);
}
END_TEST

/* Who may not have one of two publishers' holds no page of the other's. */
START_TEST(who_holds_a_page_and_misses_a_frame_ends_it) {
        TopicHolder all = { 0 }, some = { 0 };
        TopicFrame first = published("a", SIZE), second = published("a", SIZE), third, fourth;

        ck_assert(topic_frame_is_to_share(&pages, &second, &all));
        ck_assert(topic_frame_is_to_share(&pages, &second, &some));
        third = published("a", SIZE);
        ck_assert_ptr_eq(third.page, second.page);
        topic_frame_missed(&pages, &third, &some);
        ck_assert(topic_frame_is_to_share(&pages, &third, &all)); /* whoever comes behind it */
        fourth = published("a", SIZE);
        ck_assert_ptr_ne(fourth.page, third.page);
        ck_assert(topic_frame_is_to_share(&pages, &fourth, &some));
        topic_frame_done(&first);
        topic_frame_done(&second);
        topic_frame_done(&third);
        topic_frame_done(&fourth);
}
END_TEST

START_TEST(who_missed_a_frame_gets_copies_until_there_is_another_page) {
        TopicHolder all = { 0 }, slow = { 0 };
        TopicFrame first = published("a", SIZE), second = published("a", SIZE), third, fourth;

        topic_frame_missed(&pages, &second, &slow);
        ck_assert(topic_frame_is_to_share(&pages, &second, &all));
        third = published("a", SIZE); /* it held nothing, so the page goes on */
        ck_assert_ptr_eq(third.page, second.page);
        ck_assert(!topic_frame_is_to_share(&pages, &third, &slow));
        ck_assert(topic_frame_is_to_share(&pages, &third, &all));
        topic_pages_turn(&pages);
        fourth = published("a", SIZE);
        ck_assert(topic_frame_is_to_share(&pages, &fourth, &slow));
        topic_frame_done(&first);
        topic_frame_done(&second);
        topic_frame_done(&third);
        topic_frame_done(&fourth);
}
END_TEST

START_TEST(a_frame_that_is_kept_for_long_is_alone) {
        TopicHolder holder = { 0 };
        TopicFrame kept, copy, frame = published("a", SIZE);

        ck_assert_int_eq(topic_frame_new_alone(SIZE, &kept), 0);
        ck_assert_uint_eq(kept.page->room, SIZE);
        ck_assert_ptr_ne(kept.page, frame.page);
        topic_frame_missed(&pages, &kept, &holder);
        ck_assert(topic_frame_is_to_share(&pages, &kept, &holder));
        copy = topic_frame_ref(&kept);
        topic_frame_done(&kept);
        ck_assert_uint_eq(copy.page->n_refs, 1);
        topic_frame_done(&copy);
        ck_assert_ptr_null(copy.page);
        topic_frame_done(&frame);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("topic frames");
        TCase *all = tcase_create("pages");

        tcase_add_checked_fixture(all, begin, end);
        tcase_add_test(all, what_follows_on_a_topic_stands_in_one_page);
        tcase_add_test(all, a_page_that_nobody_has_any_more_is_filled_anew);
        tcase_add_loop_test(all, a_page_ends_with_its_topic_and_when_there_may_be_other_readers, 0,
                            2);
        tcase_add_test(all, a_large_frame_is_alone_and_its_page_is_not_used_again);
        tcase_add_test(all, who_holds_a_page_and_misses_a_frame_ends_it);
        tcase_add_test(all, who_missed_a_frame_gets_copies_until_there_is_another_page);
        tcase_add_test(all, a_frame_that_is_kept_for_long_is_alone);
        suite_add_tcase(suite, all);
        return suite;
}
