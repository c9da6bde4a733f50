/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/lookups.h"
#include "bridge/routes.h"

#include "tests/main.h"

#define T UINT64_C(1000000000)

static const Address alice = { 0x1111111111111111, 1 }, bob = { 0x2222222222222222, 2 };

static Routes *routes;
static Lookups *lookups;

static void setup(void) {
        ck_assert_int_eq(routes_new(&routes, ROUTES_ENTRIES_MAX), 0);
        ck_assert_int_eq(lookups_new(&lookups), 0);
}

static void teardown(void) {
        routes = routes_free(routes);
        lookups = lookups_free(lookups);
}

START_TEST(nothing_is_known_at_first) {
        Route route = routes_find(routes, alice, T);

        ck_assert_uint_eq(route.known, 0);
        ck_assert_int_eq(route.last, -1);
}
END_TEST

START_TEST(several_links_may_know_an_address) {
        Route route;

        routes_learn(routes, alice, 0, T);
        routes_learn(routes, alice, 3, T + 1);
        route = routes_find(routes, alice, T + 2);
        ck_assert_uint_eq(route.known, 1U << 0 | 1U << 3);
        ck_assert_int_eq(route.last, 3);
        ck_assert_uint_eq(routes_find(routes, bob, T).known, 0);
        ck_assert_uint_eq(routes_find(routes, (Address){ alice.pid, 9 }, T).known, 0);
}
END_TEST

START_TEST(each_link_is_believed_for_two_minutes) {
        Route route;

        routes_learn(routes, alice, 0, T);
        routes_learn(routes, alice, 1, T + 10);
        route = routes_find(routes, alice, T + ROUTES_LIFE_USEC - 1);
        ck_assert_uint_eq(route.known, 3);
        route = routes_find(routes, alice, T + ROUTES_LIFE_USEC);
        ck_assert_uint_eq(route.known, 2);
        ck_assert_int_eq(route.last, 1);
        route = routes_find(routes, alice, T + ROUTES_LIFE_USEC + 10);
        ck_assert_uint_eq(route.known, 0);
        ck_assert_int_eq(route.last, -1);
}
END_TEST

START_TEST(what_a_link_denies_is_forgotten_of_it_alone) {
        routes_learn(routes, alice, 0, T);
        routes_learn(routes, alice, 1, T);
        routes_forget(routes, alice, 1);
        ck_assert_uint_eq(routes_find(routes, alice, T).known, 1);
        ck_assert_int_eq(routes_find(routes, alice, T).last, -1);
        routes_forget(routes, alice, 0);
        ck_assert_uint_eq(routes_count(routes), 0);
        routes_forget(routes, bob, 0); /* never heard of */
}
END_TEST

START_TEST(a_dead_link_knows_nobody) {
        routes_learn(routes, alice, 0, T);
        routes_learn(routes, alice, 1, T);
        routes_learn(routes, bob, 1, T);
        routes_forget_link(routes, 1);
        ck_assert_uint_eq(routes_find(routes, alice, T).known, 1);
        ck_assert_uint_eq(routes_find(routes, bob, T).known, 0);
        ck_assert_uint_eq(routes_count(routes), 1);
}
END_TEST

START_TEST(the_longest_unheard_makes_room) {
        Routes *few;

        ck_assert_int_eq(routes_new(&few, 3), 0);
        for (unsigned i = 0; i < 3; i++)
                routes_learn(few, (Address){ 100000 + i, 0 }, 0, T + i);
        routes_learn(few, (Address){ 100000, 0 }, 1, T + 3); /* heard of again */
        routes_learn(few, (Address){ 100009, 0 }, 0, T + 4);
        ck_assert_uint_eq(routes_count(few), 3);
        ck_assert_uint_eq(routes_find(few, (Address){ 100000, 0 }, T + 4).known, 3);
        ck_assert_uint_eq(routes_find(few, (Address){ 100001, 0 }, T + 4).known, 0);
        ck_assert_uint_eq(routes_find(few, (Address){ 100009, 0 }, T + 4).known, 1);
        routes_free(few);
}
END_TEST

static uint64_t ask(uint32_t links, bool settling) {
        PacketId ref = packet_id_make(T, 77);
        uint64_t id;

        ck_assert_int_eq(lookups_add(lookups, &ref, alice, links, settling, T, &id), 0);
        return id;
}

START_TEST(the_first_that_knows_answers_for_all) {
        uint64_t id = ask(7, false);
        LookupResult result;

        ck_assert_int_eq(lookups_answer(lookups, id, 0, CODE_NOT_HERE, &result), LOOKUPS_E_PENDING);
        ck_assert_int_eq(lookups_answer(lookups, id, 1, CODE_OK, &result), 0);
        ck_assert_uint_eq(result.code, CODE_OK);
        ck_assert(address_equal(result.address, alice));
        ck_assert_uint_eq(load_be64(result.ref.bytes + 8), 77);
        ck_assert_int_eq(lookups_answer(lookups, id, 2, CODE_OK, &result), LOOKUPS_E_UNKNOWN);
        ck_assert_uint_eq(lookups_deadline(lookups), USEC_NEVER);
}
END_TEST

static const struct {
        const char *what;
        bool settling;
        uint16_t first, second, verdict;
} refusals[] = {
        { "all say no", false, CODE_NOT_HERE, CODE_NOT_HERE, CODE_NOT_HERE },
        { "one saw it leave", false, CODE_NOT_HERE, CODE_GONE, CODE_GONE },
        { "one is settling", false, CODE_SETTLING, CODE_NOT_HERE, CODE_SETTLING },
        { "one could not be asked", true, CODE_NOT_HERE, CODE_NOT_HERE, CODE_SETTLING },
        { "one has another key", false, CODE_NOT_HERE, CODE_WRONG_KEY, CODE_WRONG_KEY },
        { "one has several", true, CODE_AMBIGUOUS, CODE_SETTLING, CODE_AMBIGUOUS },
        { "one has no time", false, CODE_RATE, CODE_NOT_HERE, CODE_RATE },
        { "one says what we do not know", false, 999, CODE_NOT_HERE, CODE_SETTLING },
};

START_TEST(of_several_refusals_the_most_telling_counts) {
        uint64_t id = ask(1 << 2 | 1 << 5, refusals[_i].settling);
        LookupResult result = { .code = 1234 };

        ck_assert_int_eq(lookups_answer(lookups, id, 2, refusals[_i].first, &result),
                         LOOKUPS_E_PENDING);
        ck_assert_uint_eq(result.code, 1234);
        ck_assert_int_eq(lookups_answer(lookups, id, 5, refusals[_i].second, &result), 0);
        ck_assert_msg(result.code == refusals[_i].verdict, "%s: %u", refusals[_i].what,
                      result.code);
}
END_TEST

START_TEST(answers_nobody_asked_for_change_nothing) {
        uint64_t id = ask(1, false);
        LookupResult result;

        ck_assert_int_eq(lookups_answer(lookups, id + 1, 0, CODE_OK, &result), LOOKUPS_E_UNKNOWN);
        ck_assert_int_eq(lookups_answer(lookups, id, 1, CODE_OK, &result), LOOKUPS_E_UNKNOWN);
        ck_assert_int_eq(lookups_answer(lookups, id, 0, CODE_NOT_HERE, &result), 0);
        ck_assert_int_eq(lookups_answer(lookups, id, 0, CODE_NOT_HERE, &result), LOOKUPS_E_UNKNOWN);
}
END_TEST

START_TEST(a_silent_link_might_have_known) {
        uint64_t id = ask(3, false);
        LookupResult result;

        ck_assert_int_eq(lookups_answer(lookups, id, 0, CODE_NOT_HERE, &result), LOOKUPS_E_PENDING);
        ck_assert_uint_eq(lookups_deadline(lookups), T + LOOKUP_TIMEOUT_USEC);
        ck_assert_int_eq(lookups_pop(lookups, T + LOOKUP_TIMEOUT_USEC - 1, &result),
                         LOOKUPS_E_NONE);
        ck_assert_int_eq(lookups_pop(lookups, T + LOOKUP_TIMEOUT_USEC, &result), 0);
        ck_assert_uint_eq(result.code, CODE_SETTLING);
        ck_assert_int_eq(lookups_pop(lookups, T + LOOKUP_TIMEOUT_USEC, &result), LOOKUPS_E_NONE);
}
END_TEST

START_TEST(nobody_waits_for_a_dead_link) {
        uint64_t id = ask(3, false), other = ask(2, false);
        LookupResult result;

        lookups_forget_link(lookups, 0);
        ck_assert_int_eq(lookups_pop(lookups, T, &result), LOOKUPS_E_NONE);
        lookups_forget_link(lookups, 1);
        ck_assert_uint_eq(lookups_deadline(lookups), 0);
        ck_assert_int_eq(lookups_pop(lookups, T, &result), 0);
        ck_assert_uint_eq(result.code, CODE_SETTLING);
        ck_assert_int_eq(lookups_pop(lookups, T, &result), 0);
        ck_assert_int_eq(lookups_pop(lookups, T, &result), LOOKUPS_E_NONE);
        ck_assert_uint_eq(lookups_deadline(lookups), USEC_NEVER);
        ck_assert_uint_ne(id, other);
}
END_TEST

START_TEST(lookups_are_bounded) {
        PacketId ref = { 0 };
        uint64_t id;

        for (unsigned i = 0; i < LOOKUPS_MAX; i++)
                (void)ask(1, false);
        ck_assert_int_eq(lookups_add(lookups, &ref, alice, 1, false, T, &id), LOOKUPS_E_FULL);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("bridge routes");
        TCase *table = tcase_create("routes");
        TCase *questions = tcase_create("lookups");

        tcase_add_checked_fixture(table, setup, teardown);
        tcase_add_test(table, nothing_is_known_at_first);
        tcase_add_test(table, several_links_may_know_an_address);
        tcase_add_test(table, each_link_is_believed_for_two_minutes);
        tcase_add_test(table, what_a_link_denies_is_forgotten_of_it_alone);
        tcase_add_test(table, a_dead_link_knows_nobody);
        tcase_add_test(table, the_longest_unheard_makes_room);
        suite_add_tcase(suite, table);

        tcase_add_checked_fixture(questions, setup, teardown);
        tcase_add_test(questions, the_first_that_knows_answers_for_all);
        tcase_add_loop_test(questions, of_several_refusals_the_most_telling_counts, 0,
                            ELEMENTSOF(refusals));
        tcase_add_test(questions, answers_nobody_asked_for_change_nothing);
        tcase_add_test(questions, a_silent_link_might_have_known);
        tcase_add_test(questions, nobody_waits_for_a_dead_link);
        tcase_add_test(questions, lookups_are_bounded);
        suite_add_tcase(suite, questions);
        return suite;
}
