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

/* Which of @links, whose round trips are those of @trips in ms (0: not measured), is chosen. */
static int choose_by(int *chosen, Address address, uint32_t links, const unsigned trips[3]) {
        uint64_t usec[ROUTES_LINKS_MAX] = { 0 };

        for (unsigned i = 0; i < 3; i++)
                usec[i] = trips[i] ? trips[i] * USEC_PER_MSEC : USEC_NEVER;
        return routes_choose(routes, address, links, usec, T, chosen);
}

static int choose(Address address, uint32_t links, const unsigned trips[3]) {
        return choose_by(NULL, address, links, trips);
}

#define TRIPS(...) ((const unsigned[3]){ __VA_ARGS__ })

START_TEST(the_shortest_of_those_that_know_is_chosen) {
        ck_assert_int_eq(choose(alice, 0, TRIPS(1, 2, 3)), -1);
        ck_assert_int_eq(choose(bob, 7, TRIPS(30, 20, 10)), 2); /* nobody knows him: of all */
        routes_learn(routes, alice, 0, T);
        routes_learn(routes, alice, 1, T);
        ck_assert_int_eq(choose(alice, 7, TRIPS(30, 20, 10)), 1);
        ck_assert_int_eq(choose(alice, 1, TRIPS(30, 20, 10)), 0);
        ck_assert_int_eq(choose(alice, 4, TRIPS(30, 20, 10)), 2);
}
END_TEST

START_TEST(what_was_measured_is_shorter_than_what_was_not) {
        routes_learn(routes, alice, 0, T);
        routes_learn(routes, alice, 1, T);
        ck_assert_int_eq(choose(alice, 3, TRIPS(0, 0, 0)), 0);
        ck_assert_int_eq(choose(alice, 3, TRIPS(0, 900, 0)), 1);
}
END_TEST

/* Link 0 is in use; when does link 1 take over? */
static const struct {
        unsigned trips[3];
        int chosen;
} changes[] = {
        { { 100, 76 }, 0 }, { { 100, 75 }, 1 }, /* a quarter */
        { { 4, 3 }, 0 },    { { 4, 2 }, 1 },    /* two milliseconds, too */
        { { 3, 2 }, 0 },    { { 100, 100 }, 0 }, { { 100, 0 }, 0 },
};

START_TEST(another_takes_over_only_if_it_is_clearly_shorter) {
        routes_learn(routes, alice, 0, T);
        routes_learn(routes, alice, 1, T);
        ck_assert_int_eq(choose(alice, 3, TRIPS(1, 100)), 0);
        ck_assert_int_eq(choose(alice, 3, changes[_i].trips), changes[_i].chosen);
}
END_TEST

START_TEST(round_trips_that_wander_change_nothing) {
        routes_learn(routes, alice, 0, T);
        routes_learn(routes, alice, 1, T);
        ck_assert_int_eq(choose(alice, 3, TRIPS(100, 50)), 1);
        for (unsigned i = 0; i < 50; i++)
                ck_assert_int_eq(choose(alice, 3, TRIPS(50 - i % 12, 50)), 1);
        ck_assert_int_eq(choose(alice, 3, TRIPS(37, 50)), 0);
        ck_assert_int_eq(choose(alice, 3, TRIPS(37, 30)), 0); /* and not back at once */
}
END_TEST

START_TEST(a_link_that_comes_back_takes_over_only_if_it_is_clearly_shorter) {
        routes_learn(routes, alice, 0, T);
        ck_assert_int_eq(choose(alice, 3, TRIPS(20, 22)), 0);
        routes_forget_link(routes, 0);
        ck_assert_int_eq(choose(alice, 2, TRIPS(20, 22)), 1);
        routes_learn(routes, alice, 1, T);
        routes_learn(routes, alice, 0, T);
        ck_assert_int_eq(choose(alice, 3, TRIPS(20, 22)), 1);
}
END_TEST

START_TEST(who_becomes_known_goes_on_as_before) {
        ck_assert_int_eq(choose(alice, 3, TRIPS(22, 20)), 1);
        routes_learn(routes, alice, 0, T);
        routes_learn(routes, alice, 1, T);
        ck_assert_int_eq(choose(alice, 3, TRIPS(19, 20)), 1);
}
END_TEST

START_TEST(who_may_not_use_all_has_a_choice_of_its_own) {
        int chosen = -1;

        ck_assert_int_eq(choose(alice, 7, TRIPS(10, 20, 21)), 0);
        ck_assert_int_eq(choose_by(&chosen, alice, 6, TRIPS(10, 20, 21)), 1);
        ck_assert_int_eq(choose(alice, 7, TRIPS(21, 20, 19)), 0); /* others stay where they were */
        ck_assert_int_eq(choose_by(&chosen, alice, 6, TRIPS(21, 20, 19)), 1); /* and so does it */
        ck_assert_int_eq(choose_by(&chosen, alice, 4, TRIPS(21, 20, 19)), 2);
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
        tcase_add_test(table, the_shortest_of_those_that_know_is_chosen);
        tcase_add_test(table, what_was_measured_is_shorter_than_what_was_not);
        tcase_add_loop_test(table, another_takes_over_only_if_it_is_clearly_shorter, 0,
                            ELEMENTSOF(changes));
        tcase_add_test(table, round_trips_that_wander_change_nothing);
        tcase_add_test(table, a_link_that_comes_back_takes_over_only_if_it_is_clearly_shorter);
        tcase_add_test(table, who_becomes_known_goes_on_as_before);
        tcase_add_test(table, who_may_not_use_all_has_a_choice_of_its_own);
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
