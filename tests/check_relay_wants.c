/* SPDX-License-Identifier: Apache-2.0 */

/* What links are told of each other's processes, by a table that has no network and no clock. */

#include "relay/wants.h"

#include <stdio.h>

#include "tests/main.h"

#define ROUTES 3

typedef struct End {
        WantsRoute route; /* first */
        unsigned room;    /* words that it still takes */
        bool is_read;
        Control words[256];
        PacketId ids[256];
        uint8_t bodies[256][CONTROL_KEY_SIZE + CONTROL_NAME_MAX];
        unsigned n;
} End;

static RelayWants *wants;
static End ends[ROUTES];

static bool say(WantsRoute *route, const Control *word, const PacketId *id) {
        static const PacketId none;
        End *end = (End *)route;

        if (end->room == 0)
                return false;
        end->room--;
        ck_assert_uint_lt(end->n, ELEMENTSOF(end->words));
        end->words[end->n] = *word;
        end->ids[end->n] = id ? *id : none;
        if (word->n_body > 0)
                memcpy(end->bodies[end->n], word->body, word->n_body);
        end->words[end->n].body = end->bodies[end->n];
        end->n++;
        return true;
}

static void setup(void) {
        ck_assert_int_eq(relay_wants_new(&wants, say), 0);
        for (unsigned i = 0; i < ROUTES; i++) {
                ends[i].room = UINT32_MAX;
                ends[i].n = 0;
                ends[i].is_read = true;
                relay_wants_open_route(wants, &ends[i].route, 100);
        }
}

static void teardown(void) {
        for (unsigned i = 0; i < ROUTES; i++)
                relay_wants_close_route(wants, &ends[i].route);
        ck_assert_uint_eq(relay_wants_size(wants), 0);
        relay_wants_free(wants);
}

static int put(unsigned i, uint32_t value, Pid pid, const char *pattern) {
        uint8_t body[CONTROL_KEY_SIZE + CONTROL_NAME_MAX];
        const Control word = {
                .verb = CONTROL_WANTED,
                .value = value,
                .address = { pid, 1 },
                .body = body,
                .n_body = CONTROL_KEY_SIZE + strlen(pattern),
        };

        memset(body, (int)pid, CONTROL_KEY_SIZE);
        memcpy(body + CONTROL_KEY_SIZE, pattern, strlen(pattern));
        return relay_wants_put(wants, &ends[i].route, &word);
}

static void sync_all(void) {
        for (unsigned i = 0; i < ROUTES; i++) {
                relay_wants_sync(wants, &ends[i].route);
                ends[i].n = 0;
        }
}

static void forget_first(End *end) {
        end->n--;
        memmove(end->words, end->words + 1, end->n * sizeof(end->words[0]));
        memmove(end->ids, end->ids + 1, end->n * sizeof(end->ids[0]));
        memmove(end->bodies, end->bodies + 1, end->n * sizeof(end->bodies[0]));
        for (unsigned k = 0; k < end->n; k++)
                end->words[k].body = end->bodies[k];
}

/* The oldest word that end @i was told and has not looked at; NULL for @pattern: it is of none. */
static void heard(unsigned i, uint32_t value, uint16_t code, Pid pid, const char *pattern) {
        End *end = &ends[i];
        const Control *word = &end->words[0];

        ck_assert_uint_gt(end->n, 0);
        ck_assert_uint_eq(word->verb, CONTROL_WANTED);
        ck_assert_uint_eq(word->value, value);
        ck_assert_uint_eq(word->code, code);
        ck_assert(word->address.pid == pid);
        if (pattern) {
                ck_assert_uint_eq(word->n_body, CONTROL_KEY_SIZE + strlen(pattern));
                ck_assert_mem_eq(word->body + CONTROL_KEY_SIZE, pattern, strlen(pattern));
        }
        forget_first(end);
}

static void silent(unsigned i) {
        ck_assert_uint_eq(ends[i].n, 0);
}

START_TEST(others_hear_it_and_the_speaker_does_not) {
        sync_all();
        ck_assert_int_eq(put(0, WANTED_BEGIN, 7, "a.*"), 0);
        silent(0);
        heard(1, WANTED_BEGIN, CODE_OK, 7, "a.*");
        heard(2, WANTED_BEGIN, CODE_OK, 7, "a.*");
        ck_assert_int_eq(put(0, WANTED_BEGIN, 7, "a.*"), WANTS_E_HELD);
        silent(1);
        ck_assert_int_eq(put(0, WANTED_END, 7, "a.*"), 0);
        heard(1, WANTED_END, CODE_OK, 7, "a.*");
        silent(0);
        ck_assert_int_eq(put(0, WANTED_END, 7, "a.*"), WANTS_E_HELD);
}
END_TEST

START_TEST(who_comes_later_hears_all_between_two_marks) {
        put(0, WANTED_BEGIN, 7, "a");
        put(0, WANTED_BEGIN, 7, "b");
        put(1, WANTED_BEGIN, 8, "c");
        silent(1);
        relay_wants_sync(wants, &ends[1].route);
        heard(1, WANTED_BEGIN, CODE_OK, PID_NONE, NULL);
        heard(1, WANTED_BEGIN, CODE_OK, 7, "a");
        heard(1, WANTED_BEGIN, CODE_OK, 7, "b");
        heard(1, WANTED_END, CODE_OK, PID_NONE, NULL);
        silent(1);
}
END_TEST

START_TEST(all_of_one_process_ends_at_once) {
        sync_all();
        put(0, WANTED_BEGIN, 7, "a");
        put(0, WANTED_BEGIN, 7, "b");
        put(0, WANTED_BEGIN, 9, "a");
        ends[1].n = 0;
        ck_assert_int_eq(put(0, WANTED_END, 7, ""), 0);
        heard(1, WANTED_END, CODE_OK, 7, "");
        silent(1);
        ck_assert_uint_eq(relay_wants_size(wants), 1);
        relay_wants_drop(wants, (Address){ 9, 1 }, NULL);
        heard(1, WANTED_END, CODE_OK, 9, "");
        ck_assert_uint_eq(relay_wants_size(wants), 0);
}
END_TEST

START_TEST(what_a_link_takes_along_may_come_back) {
        sync_all();
        put(0, WANTED_BEGIN, 7, "a");
        ends[1].n = 0;
        relay_wants_close_route(wants, &ends[0].route);
        heard(1, WANTED_END, CODE_SETTLING, 7, "");
        relay_wants_open_route(wants, &ends[0].route, 100);
        put(0, WANTED_BEGIN, 7, "a");
        heard(1, WANTED_BEGIN, CODE_OK, 7, "a");
}
END_TEST

START_TEST(a_process_on_another_link_has_left_the_first) {
        sync_all();
        put(0, WANTED_BEGIN, 7, "a");
        ends[2].n = 0;
        ck_assert_int_eq(put(1, WANTED_BEGIN, 7, "b"), 0);
        heard(2, WANTED_END, CODE_OK, 7, "");
        heard(2, WANTED_BEGIN, CODE_OK, 7, "b");
        silent(2);
        /* And the first one does not speak for it any more. */
        ck_assert_int_eq(put(0, WANTED_END, 7, "b"), WANTS_E_HELD);
        ck_assert_uint_eq(relay_wants_size(wants), 1);
}
END_TEST

START_TEST(a_link_without_room_goes_on_where_it_was) {
        sync_all();
        ends[1].room = 2;
        put(0, WANTED_BEGIN, 7, "a");
        put(0, WANTED_BEGIN, 7, "b");
        put(0, WANTED_BEGIN, 7, "c");
        put(0, WANTED_BEGIN, 7, "d");
        put(0, WANTED_END, 7, "c"); /* which it was not told of */
        heard(1, WANTED_BEGIN, CODE_OK, 7, "a");
        heard(1, WANTED_BEGIN, CODE_OK, 7, "b");
        silent(1);
        ends[1].room = 10;
        relay_wants_feed(wants, &ends[1].route);
        heard(1, WANTED_BEGIN, CODE_OK, 7, "d");
        silent(1);
}
END_TEST

START_TEST(an_end_without_room_has_all_told_anew) {
        sync_all();
        put(0, WANTED_BEGIN, 7, "a");
        put(0, WANTED_BEGIN, 7, "b");
        ends[1].n = ends[1].room = 0;
        put(0, WANTED_END, 7, "a");
        put(2, WANTED_BEGIN, 8, "c");
        silent(1);
        for (unsigned room = 0; room < 4; room++) { /* a word at a time */
                ends[1].room = 1;
                relay_wants_feed(wants, &ends[1].route);
                ck_assert_uint_eq(ends[1].n, room + 1);
        }
        heard(1, WANTED_BEGIN, CODE_OK, PID_NONE, NULL);
        heard(1, WANTED_BEGIN, CODE_OK, 7, "b");
        heard(1, WANTED_BEGIN, CODE_OK, 8, "c");
        heard(1, WANTED_END, CODE_OK, PID_NONE, NULL);
        ends[1].room = 1;
        relay_wants_feed(wants, &ends[1].route);
        silent(1);
}
END_TEST

START_TEST(a_link_has_its_share_and_no_more) {
        char pattern[16];

        for (unsigned i = 0; i < 100; i++) {
                (void)snprintf(pattern, sizeof(pattern), "t%u", i);
                ck_assert_int_eq(put(0, WANTED_BEGIN, 7 + i % 3, pattern), 0);
        }
        ck_assert_int_eq(put(0, WANTED_BEGIN, 7, "one.more"), WANTS_E_FULL);
        ck_assert_int_eq(put(1, WANTED_BEGIN, 50, "one.more"), 0);
        ck_assert_int_eq(put(0, WANTED_END, 7, "t0"), 0);
        ck_assert_int_eq(put(0, WANTED_BEGIN, 7, "one.more"), 0);
}
END_TEST

static bool is_not_7(Address address, const WantsRoute *route, void *userdata) {
        (void)route;
        (void)userdata;
        return address.pid != 7;
}

START_TEST(what_has_no_lease_any_more_is_swept) {
        sync_all();
        put(0, WANTED_BEGIN, 7, "a");
        put(0, WANTED_BEGIN, 8, "a");
        ends[1].n = 0;
        relay_wants_sweep(wants, is_not_7, NULL);
        heard(1, WANTED_END, CODE_OK, 7, "");
        silent(1);
        ck_assert_uint_eq(relay_wants_size(wants), 1);
}
END_TEST

/* The barrier */

static PacketId question(uint64_t number) {
        return packet_id_make(7, number);
}

static void ask(unsigned i, uint64_t number) {
        const PacketId id = question(number);

        ck_assert(relay_wants_ask(wants, &ends[i].route, &id));
}

/* The next word of end @i is a PING; returns its id. */
static PacketId asked(unsigned i) {
        PacketId id = ends[i].ids[0];

        ck_assert_uint_gt(ends[i].n, 0);
        ck_assert_uint_eq(ends[i].words[0].verb, CONTROL_PING);
        ck_assert_uint_eq(ends[i].words[0].value, PING_ALL);
        forget_first(&ends[i]);
        return id;
}

static void answer_with(unsigned i, PacketId id, uint32_t value) {
        const Control pong = { .verb = CONTROL_PONG, .value = value, .ref = id };

        relay_wants_answer(wants, &ends[i].route, &pong);
}

static void answer(unsigned i) {
        answer_with(i, asked(i), PING_ALL);
}

/* The next word of end @i is the PONG to its question @number. */
static void answered(unsigned i, uint64_t number, uint32_t value) {
        const PacketId id = question(number);

        ck_assert_uint_gt(ends[i].n, 0);
        ck_assert_uint_eq(ends[i].words[0].verb, CONTROL_PONG);
        ck_assert_uint_eq(ends[i].words[0].value, value);
        ck_assert_mem_eq(&ends[i].words[0].ref, &id, sizeof(id));
        forget_first(&ends[i]);
}

static void tick_all(void) {
        for (unsigned i = 0; i < ROUTES; i++)
                relay_wants_tick(wants, &ends[i].route, ends[i].is_read);
}

START_TEST(the_answer_comes_when_all_others_have_answered) {
        sync_all();
        ask(0, 1);
        answer(1);
        silent(0);
        answer(2);
        answered(0, 1, PING_ALL);
        for (unsigned i = 0; i < ROUTES; i++)
                silent(i);
}
END_TEST

START_TEST(who_is_alone_is_answered_at_once) {
        relay_wants_sync(wants, &ends[0].route);
        ends[0].n = 0;
        ask(0, 1);
        answered(0, 1, PING_ALL);
}
END_TEST

START_TEST(one_that_does_not_know_makes_it_unknown) {
        sync_all();
        ask(0, 1);
        answer_with(1, asked(1), 0);
        answer(2);
        answered(0, 1, 0);
        ask(0, 2);
        answer(1);
        answer(2);
        answered(0, 2, PING_ALL);
}
END_TEST

START_TEST(the_question_stands_behind_the_last_want) {
        sync_all();
        ends[1].room = 1;
        put(0, WANTED_BEGIN, 7, "a");
        put(0, WANTED_BEGIN, 7, "b"); /* waits in the table */
        ask(0, 1);
        heard(1, WANTED_BEGIN, CODE_OK, 7, "a");
        silent(1);
        for (unsigned i = 0; i < 2; i++) { /* a word at a time */
                ends[1].room = 1;
                relay_wants_feed(wants, &ends[1].route);
                ck_assert_uint_eq(ends[1].n, i + 1);
        }
        heard(1, WANTED_BEGIN, CODE_OK, 7, "b");
        answer(1);
        silent(0);
}
END_TEST

START_TEST(the_question_stands_behind_a_list_that_is_told_anew) {
        sync_all();
        put(0, WANTED_BEGIN, 7, "a");
        put(0, WANTED_BEGIN, 7, "b");
        ends[1].n = ends[1].room = 0;
        put(0, WANTED_END, 7, "a");
        ask(0, 1);
        for (unsigned i = 0; i < 4; i++) {
                ends[1].room = 1;
                relay_wants_feed(wants, &ends[1].route);
                ck_assert_uint_eq(ends[1].n, i + 1);
        }
        heard(1, WANTED_BEGIN, CODE_OK, PID_NONE, NULL);
        heard(1, WANTED_BEGIN, CODE_OK, 7, "b");
        heard(1, WANTED_END, CODE_OK, PID_NONE, NULL);
        answer(1);
}
END_TEST

START_TEST(a_link_that_is_not_synced_is_not_asked) {
        relay_wants_sync(wants, &ends[0].route);
        relay_wants_sync(wants, &ends[1].route);
        ends[0].n = ends[1].n = 0;
        ask(0, 1);
        silent(2);
        relay_wants_sync(wants, &ends[2].route); /* too late to be waited for */
        ends[2].n = 0;
        ask(1, 1);
        answer(0);
        answer(2); /* which is about that one */
        silent(0);
        answer(1);
        answered(1, 1, PING_ALL);
        answered(0, 1, PING_ALL);
        ask(0, 2);
        answer(1);
        silent(0);
        answer(2);
        answered(0, 2, PING_ALL);
}
END_TEST

START_TEST(who_goes_away_is_not_waited_for) {
        sync_all();
        ask(0, 1);
        ask(2, 1);
        answer(2);
        answer(0);
        relay_wants_close_route(wants, &ends[1].route);
        answered(0, 1, 0);
        answered(2, 1, 0);

        relay_wants_open_route(wants, &ends[1].route, 100); /* and is another one now */
        relay_wants_sync(wants, &ends[1].route);
        ends[1].n = 0;
        ask(0, 2);
        answer(2);
        silent(0);
        answer(1);
        answered(0, 2, PING_ALL);
}
END_TEST

START_TEST(who_asked_and_went_away_hears_nothing) {
        sync_all();
        ask(0, 1);
        relay_wants_close_route(wants, &ends[0].route);
        relay_wants_open_route(wants, &ends[0].route, 100);
        answer(1);
        answer(2);
        silent(0);
}
END_TEST

START_TEST(who_does_not_answer_is_waited_for_once) {
        sync_all();
        ask(0, 1);
        answer(2);
        asked(1);
        tick_all();
        silent(0);
        tick_all();
        answered(0, 1, 0);

        ask(0, 2);
        answer(2);
        answered(0, 2, 0);
        asked(1); /* it may be well again, */
        ask(0, 3);
        answer(2);
        answered(0, 3, 0);
        silent(1);                        /* but is not asked with each question, */
        for (unsigned i = 0; i < 10; i++) /* nor without one */
                tick_all();
        silent(1);

        ask(1, 1);
        answer(0);
        answer(2);
        answered(1, 1, PING_ALL);
        ask(0, 4);
        answer(2);
        answered(0, 4, 0);
        answer(1);
        ask(0, 5);
        answer(2);
        silent(0);
        answer(1);
        answered(0, 5, PING_ALL);
}
END_TEST

/* Asks for end 0, and lets 2 answer. Return: whether 1 is waited for. */
static bool waits_for_1(uint64_t number) {
        ask(0, number);
        answer(2);
        if (ends[0].n == 0)
                return true;
        answered(0, number, 0);
        return false;
}

/* It is waited for, and is late. */
static void is_late_with(uint64_t number) {
        ck_assert(waits_for_1(number));
        asked(1);
        tick_all();
        silent(0);
        tick_all();
        answered(0, number, 0);
}

/* @n times after @number it is not waited for, and answers. Return: the last number. */
static uint64_t makes_good(unsigned n, uint64_t number) {
        for (unsigned i = 0; i < n; i++) {
                ck_assert(!waits_for_1(++number));
                answer(1);
        }
        return number;
}

START_TEST(a_late_answer_is_none) {
        PacketId id;

        sync_all();
        ck_assert(waits_for_1(1));
        id = asked(1);
        for (unsigned i = 0; i < 5; i++)
                tick_all();
        answered(0, 1, 0);
        answer_with(1, id, PING_ALL);
        ck_assert(!waits_for_1(2));
        tick_all();
        tick_all();
        answer(1); /* likewise */
        ck_assert(!waits_for_1(3));
        answer(1);
        ck_assert(waits_for_1(4));
}
END_TEST

START_TEST(a_late_link_has_as_long_for_its_answer_as_any) {
        PacketId id;

        sync_all();
        is_late_with(1);
        ck_assert(!waits_for_1(2));
        id = asked(1);
        tick_all();
        ck_assert(!waits_for_1(3)); /* no other PING makes that answer count for nothing */
        silent(1);
        answer_with(1, id, PING_ALL);
        ck_assert(waits_for_1(4));
}
END_TEST

START_TEST(each_time_it_is_late_it_is_not_waited_for_twice_as_long) {
        uint64_t number = 0;

        sync_all();
        for (unsigned i = 0, price = 1; i < 9; i++, price = MIN(2 * price, 64U)) {
                is_late_with(++number);
                number = makes_good(price, number);
        }
        ck_assert(waits_for_1(++number));
}
END_TEST

START_TEST(only_answers_in_a_row_end_it) {
        uint64_t number = 0;

        sync_all();
        is_late_with(++number);
        number = makes_good(1, number);
        is_late_with(++number); /* and owes two */
        for (unsigned i = 0; i < 5; i++) {
                number = makes_good(1, number);
                ck_assert(!waits_for_1(++number));
                asked(1);
                tick_all();
                tick_all();
        }
        number = makes_good(2, number);
        ck_assert(waits_for_1(++number));
}
END_TEST

START_TEST(a_long_good_time_halves_it) {
        uint64_t number = 0;

        sync_all();
        for (unsigned price = 1; price <= 4; price *= 2) {
                is_late_with(++number);
                number = makes_good(price, number);
        }
        for (unsigned i = 0; i < PATIENCE_MAX; i++) {
                ck_assert(waits_for_1(++number));
                answer(1);
                answered(0, number, PING_ALL);
        }
        is_late_with(++number);
        number = makes_good(4, number); /* not 8 */
        ck_assert(waits_for_1(++number));
}
END_TEST

START_TEST(who_is_not_read_is_not_late_for_that_but_nobody_waits_longer) {
        sync_all();
        ck_assert(waits_for_1(1));
        asked(1);
        ends[1].is_read = false;
        tick_all();
        silent(0);
        tick_all();
        answered(0, 1, 0);
        ends[1].is_read = true;
        ck_assert(waits_for_1(2));
        answer(1);
        answered(0, 2, PING_ALL);
}
END_TEST

START_TEST(a_late_link_answers_for_no_question_that_does_not_wait_for_it) {
        PacketId id;

        sync_all();
        ask(0, 1);
        id = asked(1);
        answer(2);
        tick_all();
        tick_all();
        answered(0, 1, 0);
        ask(0, 2); /* waits for 2 alone */
        answer_with(1, id, PING_ALL);
        answer_with(1, asked(1), PING_ALL);
        silent(0);
        answer(2);
        answered(0, 2, 0);
}
END_TEST

START_TEST(a_late_link_that_goes_away_changes_nothing) {
        sync_all();
        ask(0, 1);
        answer(2);
        tick_all();
        tick_all();
        answered(0, 1, 0);
        ask(0, 2);
        relay_wants_close_route(wants, &ends[1].route);
        silent(0);
        answer(2);
        answered(0, 2, 0);
        relay_wants_open_route(wants, &ends[1].route, 100);
}
END_TEST

START_TEST(who_answers_each_time_before_the_second_tick_is_not_late) {
        sync_all();
        for (unsigned i = 1; i < 5; i++) {
                ask(0, i);
                tick_all();
                answer(1);
                answer(2);
                answered(0, i, PING_ALL);
        }
}
END_TEST

START_TEST(who_takes_nothing_is_late_too) {
        sync_all();
        ends[1].room = 0;
        put(0, WANTED_BEGIN, 7, "a");
        ends[2].n = 0;
        ask(0, 1);
        answer(2);
        tick_all();
        silent(0);
        tick_all();
        answered(0, 1, 0);
}
END_TEST

START_TEST(a_link_has_one_question_at_a_time) {
        const PacketId second = question(2);

        sync_all();
        ask(0, 1);
        ck_assert(!relay_wants_ask(wants, &ends[0].route, &second));
        answer(1);
        answer(2);
        answered(0, 1, PING_ALL);
        silent(1);
        ask(0, 3);
        asked(1);
        asked(2);
}
END_TEST

START_TEST(many_who_ask_cost_one_ping) {
        sync_all();
        ends[2].room = 0;
        ask(0, 1);
        ask(1, 1);
        answer(0);
        answer(1);
        ends[2].room = 1;
        relay_wants_feed(wants, &ends[2].route);
        answer(2);
        silent(2);
        answered(0, 1, PING_ALL);
        answered(1, 1, PING_ALL);
}
END_TEST

START_TEST(a_ping_answers_no_question_that_came_behind_it) {
        PacketId first, second;

        sync_all();
        ask(0, 1);
        first = asked(1);
        second = asked(2);
        ask(1, 1);
        silent(2);
        answer(0);
        answer_with(2, second, PING_ALL);
        silent(1);
        answer(2); /* the next one goes out when the first was answered */
        answered(1, 1, PING_ALL);
        silent(0);
        answer_with(1, first, PING_ALL);
        answered(0, 1, PING_ALL);
        silent(1);
        silent(2);
}
END_TEST

START_TEST(an_answer_waits_for_room_and_comes_once) {
        sync_all();
        ask(0, 1);
        ends[0].room = 0;
        answer(1);
        answer(2);
        silent(0);
        ends[0].room = 2;
        relay_wants_feed(wants, &ends[0].route);
        relay_wants_feed(wants, &ends[0].route);
        answered(0, 1, PING_ALL);
        silent(0);
}
END_TEST

START_TEST(what_answers_no_ping_of_ours_counts_for_nothing) {
        PacketId id;

        sync_all();
        ask(0, 1);
        answer(2);
        id = asked(1);
        answer_with(1, (PacketId){ 0 }, PING_ALL); /* a heartbeat's */
        answer_with(1, packet_id_make(0, 99), PING_ALL);
        silent(0);
        answer_with(1, id, PING_ALL);
        answered(0, 1, PING_ALL);
        answer_with(1, (PacketId){ 0 }, PING_ALL);
        silent(1);

        ends[1].room = 0; /* it was not even asked, and says again what it said */
        ask(0, 2);
        answer(2);
        tick_all();
        tick_all();
        answered(0, 2, 0);
        answer_with(1, id, PING_ALL);
        ask(0, 3);
        answer(2);
        answered(0, 3, 0);
}
END_TEST

static const struct {
        const char *what;
        uint32_t value;
        size_t n_body;
        Pid pid;
        const char *pattern;
        WantedKind kind;
} words[] = {
        // clang-format off
        { "a pattern begins",     1, 0,  7, "a.>",      WANTED_ONE },
        { "a pattern ends",       0, 0,  7, "a.*.b",    WANTED_ONE },
        { "all of a process end", 0, 32, 7, NULL,       WANTED_ALL },
        { "all follows",          1, 0,  0, NULL,       WANTED_LIST },
        { "that was all",         0, 0,  0, NULL,       WANTED_LIST },
        { "all of one begin",     1, 32, 7, NULL,       WANTED_INVALID },
        { "half a key",           0, 31, 7, NULL,       WANTED_INVALID },
        { "another value",        2, 0,  7, "a",        WANTED_INVALID },
        { "nobody's",             1, 0,  0, "a",        WANTED_INVALID },
        { "no pattern",           1, 0,  7, "a..b",     WANTED_INVALID },
        { "the daemon's topics",  1, 0,  7, "p2pbus.>", WANTED_INVALID },
        // clang-format on
};

START_TEST(words_are_of_three_kinds_or_none) {
        uint8_t body[64] = { 0 };
        Control word = { .value = words[_i].value, .n_body = words[_i].n_body, .body = body };

        word.address = (Address){ words[_i].pid << 48 | words[_i].pid, 1 };
        if (words[_i].pattern) {
                memcpy(body + CONTROL_KEY_SIZE, words[_i].pattern, strlen(words[_i].pattern));
                word.n_body = CONTROL_KEY_SIZE + strlen(words[_i].pattern);
        }
        ck_assert_msg(wanted_kind(&word) == words[_i].kind, "%s", words[_i].what);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("relay_wants");
        TCase *tcase = tcase_create("told");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, others_hear_it_and_the_speaker_does_not);
        tcase_add_test(tcase, who_comes_later_hears_all_between_two_marks);
        tcase_add_test(tcase, all_of_one_process_ends_at_once);
        tcase_add_test(tcase, what_a_link_takes_along_may_come_back);
        tcase_add_test(tcase, a_process_on_another_link_has_left_the_first);
        tcase_add_test(tcase, a_link_without_room_goes_on_where_it_was);
        tcase_add_test(tcase, an_end_without_room_has_all_told_anew);
        tcase_add_test(tcase, a_link_has_its_share_and_no_more);
        tcase_add_test(tcase, what_has_no_lease_any_more_is_swept);
        suite_add_tcase(suite, tcase);
        tcase = tcase_create("barrier");
        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, the_answer_comes_when_all_others_have_answered);
        tcase_add_test(tcase, who_is_alone_is_answered_at_once);
        tcase_add_test(tcase, one_that_does_not_know_makes_it_unknown);
        tcase_add_test(tcase, the_question_stands_behind_the_last_want);
        tcase_add_test(tcase, the_question_stands_behind_a_list_that_is_told_anew);
        tcase_add_test(tcase, a_link_that_is_not_synced_is_not_asked);
        tcase_add_test(tcase, who_goes_away_is_not_waited_for);
        tcase_add_test(tcase, who_asked_and_went_away_hears_nothing);
        tcase_add_test(tcase, who_does_not_answer_is_waited_for_once);
        tcase_add_test(tcase, a_late_answer_is_none);
        tcase_add_test(tcase, a_late_link_has_as_long_for_its_answer_as_any);
        tcase_add_test(tcase, each_time_it_is_late_it_is_not_waited_for_twice_as_long);
        tcase_add_test(tcase, only_answers_in_a_row_end_it);
        tcase_add_test(tcase, a_long_good_time_halves_it);
        tcase_add_test(tcase, who_is_not_read_is_not_late_for_that_but_nobody_waits_longer);
        tcase_add_test(tcase, a_late_link_answers_for_no_question_that_does_not_wait_for_it);
        tcase_add_test(tcase, a_late_link_that_goes_away_changes_nothing);
        tcase_add_test(tcase, who_answers_each_time_before_the_second_tick_is_not_late);
        tcase_add_test(tcase, who_takes_nothing_is_late_too);
        tcase_add_test(tcase, a_link_has_one_question_at_a_time);
        tcase_add_test(tcase, many_who_ask_cost_one_ping);
        tcase_add_test(tcase, a_ping_answers_no_question_that_came_behind_it);
        tcase_add_test(tcase, an_answer_waits_for_room_and_comes_once);
        tcase_add_test(tcase, what_answers_no_ping_of_ours_counts_for_nothing);
        suite_add_tcase(suite, tcase);
        tcase = tcase_create("words");
        tcase_add_loop_test(tcase, words_are_of_three_kinds_or_none, 0, ELEMENTSOF(words));
        suite_add_tcase(suite, tcase);
        return suite;
}
