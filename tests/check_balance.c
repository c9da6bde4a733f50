/* SPDX-License-Identifier: Apache-2.0 */

/* Which of several providers is asked: by tables, and in a simulation with a seed. */

#include "libclient/balance.h"

#include <stdlib.h>

#include "tests/main.h"

#define NOW (100 * USEC_PER_SEC)
#define DRAWS 20000
#define PROVIDERS 4

static BalanceEntry e[PROVIDERS];
static BalanceEntry *all[PROVIDERS] = { &e[0], &e[1], &e[2], &e[3] };

static void reset(void) {
        for (unsigned i = 0; i < PROVIDERS; i++)
                e[i] = (BalanceEntry){ .rank = { 100, 100, 0 }, .number = i };
}

static uint64_t next(uint64_t *state) {
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

/* How often each of the first @n is chosen. */
static void draw(size_t n, BalanceMode mode, unsigned hits[static PROVIDERS]) {
        uint64_t seed = 1;

        for (unsigned i = 0; i < PROVIDERS; i++)
                hits[i] = 0;
        for (unsigned i = 0; i < DRAWS; i++)
                hits[balance_choose(all, n, mode, false, next(&seed), NOW) - e]++;
}

START_TEST(nobody_is_chosen_of_none) {
        reset();
        ck_assert_ptr_null(balance_choose(all, 0, BALANCE_SHARE, true, 1, NOW));
        for (unsigned i = 0; i < PROVIDERS; i++)
                e[i].rank.flags = PROVIDER_DRAIN;
        ck_assert_ptr_null(balance_choose(all, PROVIDERS, BALANCE_SHARE, true, 1, NOW));
        ck_assert_ptr_null(balance_choose(all, PROVIDERS, BALANCE_FAILOVER, true, 1, NOW));
}
END_TEST

START_TEST(the_lowest_priority_number_counts) {
        unsigned hits[PROVIDERS];

        reset();
        e[0].rank.priority = e[1].rank.priority = 200;
        e[1].rank.weight = 65535;
        draw(PROVIDERS, BALANCE_SHARE, hits);
        ck_assert_uint_eq(hits[0] + hits[1], 0);
        /* But not if they drain, or could not be reached. */
        e[2].rank.flags = PROVIDER_DRAIN;
        e[3].failed_usec = NOW - 1;
        draw(PROVIDERS, BALANCE_SHARE, hits);
        ck_assert_uint_eq(hits[2] + hits[3], 0);
        e[3].failed_usec = NOW - BALANCE_REST_USEC;
        draw(PROVIDERS, BALANCE_SHARE, hits);
        ck_assert_uint_eq(hits[3], DRAWS);
}
END_TEST

START_TEST(one_that_failed_is_better_than_none) {
        reset();
        e[0].failed_usec = NOW;
        ck_assert_ptr_null(balance_choose(all, 1, BALANCE_SHARE, false, 1, NOW));
        ck_assert_ptr_eq(balance_choose(all, 1, BALANCE_SHARE, true, 1, NOW), &e[0]);
}
END_TEST

START_TEST(who_is_near_and_idle_is_asked_and_others_help_out) {
        unsigned hits[PROVIDERS];

        reset();
        e[0].rank.flags = e[1].rank.flags = PROVIDER_REMOTE;
        draw(PROVIDERS, BALANCE_SHARE, hits);
        ck_assert_uint_eq(hits[0] + hits[1], 0);
        ck_assert_uint_gt(hits[2], 0);
        ck_assert_uint_gt(hits[3], 0);
        draw(PROVIDERS, BALANCE_FAILOVER, hits);
        ck_assert_uint_eq(hits[2], DRAWS); /* although others came before */
        /* Each near one takes 1 ms and has 10 requests in front of the next; a far one takes 3. */
        for (unsigned i = 0; i < PROVIDERS; i++) {
                e[i].latency_usec = i < 2 ? 3000 : 1000;
                e[i].latency_at_usec = e[i].busy_usec = NOW;
                e[i].n_outstanding = i < 2 ? 0 : 10;
        }
        draw(PROVIDERS, BALANCE_SHARE, hits);
        ck_assert_uint_eq(hits[0] + hits[1], DRAWS);
        e[2].n_outstanding = e[3].n_outstanding = 1; /* 2 ms */
        draw(PROVIDERS, BALANCE_SHARE, hits);
        ck_assert_uint_eq(hits[0] + hits[1], 0);
        /* Of the lowest priority number all the same. */
        e[0].rank.priority = 1;
        draw(PROVIDERS, BALANCE_SHARE, hits);
        ck_assert_uint_eq(hits[0], DRAWS);
}
END_TEST

START_TEST(ourselves_are_asked_last) {
        unsigned hits[PROVIDERS];

        reset();
        e[0].is_self = true;
        e[1].rank.priority = 900;
        draw(2, BALANCE_SHARE, hits);
        ck_assert_uint_eq(hits[1], DRAWS);
        ck_assert_ptr_eq(balance_choose(all, 1, BALANCE_SHARE, false, 1, NOW), &e[0]);
}
END_TEST

START_TEST(failover_keeps_to_the_first_that_came) {
        unsigned hits[PROVIDERS];

        reset();
        e[0].number = 9;
        e[1].n_outstanding = 1000;
        draw(PROVIDERS, BALANCE_FAILOVER, hits);
        ck_assert_uint_eq(hits[1], DRAWS);
        e[1].failed_usec = NOW;
        draw(PROVIDERS, BALANCE_FAILOVER, hits);
        ck_assert_uint_eq(hits[2], DRAWS);
}
END_TEST

START_TEST(idle_ones_share_by_weight) {
        unsigned hits[PROVIDERS];

        reset();
        e[1].rank.weight = 300;
        draw(2, BALANCE_SHARE, hits);
        ck_assert_uint_ge(hits[1], DRAWS * 74 / 100);
        ck_assert_uint_le(hits[1], DRAWS * 76 / 100);
        reset();
        draw(PROVIDERS, BALANCE_SHARE, hits);
        for (unsigned i = 0; i < PROVIDERS; i++)
                ck_assert_uint_ge(hits[i], DRAWS * 24 / 100);
        e[0].rank.weight = 1;
        e[1].rank.weight = e[2].rank.weight = e[3].rank.weight = 65535;
        draw(PROVIDERS, BALANCE_SHARE, hits);
        ck_assert_uint_le(hits[0], DRAWS / 100);
}
END_TEST

/* What makes the first of two the worse one. */
static const struct {
        const char *what;
        BalanceEntry entry;
} worse[] = {
        { "it is slower", { .latency_usec = 10000, .latency_at_usec = NOW } },
        { "more of ours wait there",
          { .latency_usec = 1000, .latency_at_usec = NOW, .n_outstanding = 2, .busy_usec = NOW } },
        { "more of others wait there",
          { .latency_usec = 1000, .latency_at_usec = NOW, .n_others = 2, .load_usec = NOW - 1 } },
        { "it keeps us waiting",
          { .latency_usec = 1000,
            .latency_at_usec = NOW,
            .n_outstanding = 1,
            .busy_usec = NOW - 50000 } },
        { "nothing of it is known, and it has one of ours",
          { .n_outstanding = 1, .busy_usec = NOW } },
};

START_TEST(the_better_of_two_is_chosen) {
        unsigned hits[PROVIDERS];

        reset();
        e[0] = worse[_i].entry;
        e[0].rank = e[1].rank;
        e[1].latency_usec = 1000;
        e[1].latency_at_usec = NOW;
        draw(2, BALANCE_SHARE, hits);
        ck_assert_msg(hits[1] == DRAWS, "%s, and it was chosen %u times", worse[_i].what, hits[0]);
}
END_TEST

START_TEST(a_reported_load_is_not_believed_for_long) {
        unsigned hits[PROVIDERS];

        reset();
        (void)balance_begin(&e[0], NOW);
        (void)balance_begin(&e[0], NOW);
        balance_load(&e[0], 7, NOW);
        ck_assert_uint_eq(e[0].n_others, 5);
        balance_load(&e[0], 1, NOW);
        ck_assert_uint_eq(e[0].n_others, 0);
        reset();
        e[0].n_others = 100;
        e[0].load_usec = NOW - BALANCE_LOAD_USEC;
        draw(2, BALANCE_SHARE, hits);
        ck_assert_uint_ge(hits[0], DRAWS * 48 / 100);
}
END_TEST

START_TEST(an_error_makes_nobody_look_faster) {
        reset();
        (void)balance_begin(&e[0], NOW);
        balance_answered(&e[0], 1000, 0, false, NOW);
        ck_assert_uint_eq(e[0].latency_usec, 1000);
        (void)balance_begin(&e[0], NOW);
        balance_answered(&e[0], 10, 0, true, NOW);
        ck_assert_uint_eq(e[0].latency_usec, 1000);
        (void)balance_begin(&e[0], NOW);
        balance_answered(&e[0], 3000, 0, true, NOW);
        ck_assert_uint_eq(e[0].latency_usec, 2000);
        (void)balance_begin(&e[0], NOW);
        balance_answered(&e[0], 400, 0, false, NOW);
        ck_assert_uint_eq(e[0].latency_usec, 1800);
        ck_assert_uint_eq(e[0].n_outstanding, 0);
        balance_end(&e[0]);
        ck_assert_uint_eq(e[0].n_outstanding, 0);
}
END_TEST

START_TEST(who_was_slow_is_tried_again_in_time) {
        unsigned hits[PROVIDERS], tried = 0;
        uint64_t seed = 1, now = NOW;

        reset();
        e[0].latency_usec = 10000;
        e[0].latency_at_usec = NOW;
        for (; tried == 0 && now < NOW + 60 * USEC_PER_SEC; now += 10000) {
                BalanceEntry *chosen =
                        balance_choose(all, 2, BALANCE_SHARE, false, next(&seed), now);

                (void)balance_begin(chosen, now);
                balance_answered(chosen, 1000, 0, false, now);
                tried += chosen == &e[0];
        }
        ck_assert_uint_eq(tried, 1);
        ck_assert_uint_ge(now, NOW + 2 * BALANCE_FADE_USEC);
        draw(2, BALANCE_SHARE, hits); /* and is one of two again: it was fast */
        ck_assert_uint_gt(hits[0], 0);
}
END_TEST

/* One server after the other: when each is free again. */
typedef struct Server {
        uint64_t work_usec;
        uint64_t free_usec;
} Server;

typedef struct Job {
        BalanceEntry *to;
        unsigned n_front;
        uint64_t began_usec, ends_usec;
} Job;

static int by_number(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

/*
 * @n callers, each asks again as soon as it has its answer. Return: the 99th percentile of the times that
 * the second half of all took.
 */
static uint64_t simulate(Server *servers, size_t n_servers, unsigned n_callers, uint64_t seed) {
        enum { JOBS = 20000 };
        static uint64_t took[JOBS];
        Job jobs[16] = { 0 };
        uint64_t now = NOW;
        unsigned done = 0;

        reset();
        for (unsigned i = 0; i < n_callers; i++)
                jobs[i].ends_usec = NOW + i;
        while (done < JOBS) {
                Job *job = &jobs[0];
                Server *server;

                for (unsigned i = 1; i < n_callers; i++)
                        if (jobs[i].ends_usec < job->ends_usec)
                                job = &jobs[i];
                now = job->ends_usec;
                if (job->to) {
                        took[done++] = now - job->began_usec;
                        balance_answered(job->to, now - job->began_usec, job->n_front, false, now);
                }
                job->to = balance_choose(all, n_servers, BALANCE_SHARE, false, next(&seed), now);
                job->n_front = balance_begin(job->to, now);
                server = &servers[job->to - e];
                job->began_usec = now;
                server->free_usec = MAX(server->free_usec, now) +
                                    server->work_usec * (90 + next(&seed) % 21) / 100;
                job->ends_usec = server->free_usec;
        }
        qsort(took + JOBS / 2, JOBS / 2, sizeof(took[0]), by_number);
        return took[JOBS / 2 + JOBS / 2 * 99 / 100];
}

START_TEST(a_slow_one_hardly_shows) {
        uint64_t seed = UINT64_C(0x5eed) + (uint64_t)_i;
        Server fast[] = { { 1000, 0 }, { 1000, 0 }, { 1000, 0 } };
        Server mixed[] = { { 1000, 0 }, { 1000, 0 }, { 1000, 0 }, { 10000, 0 } };
        uint64_t without = simulate(fast, 3, 1 + (unsigned)_i % 8, seed);
        uint64_t with = simulate(mixed, 4, 1 + (unsigned)_i % 8, seed);

        ck_assert_msg(with <= 2 * without,
                      "seed %#llx, %d callers: p99 %llu us, %llu us without the slow one",
                      (unsigned long long)seed, 1 + _i % 8, (unsigned long long)with,
                      (unsigned long long)without);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("balance");
        TCase *tcase = tcase_create("choice");

        tcase_add_test(tcase, nobody_is_chosen_of_none);
        tcase_add_test(tcase, the_lowest_priority_number_counts);
        tcase_add_test(tcase, one_that_failed_is_better_than_none);
        tcase_add_test(tcase, who_is_near_and_idle_is_asked_and_others_help_out);
        tcase_add_test(tcase, ourselves_are_asked_last);
        tcase_add_test(tcase, failover_keeps_to_the_first_that_came);
        tcase_add_test(tcase, idle_ones_share_by_weight);
        tcase_add_loop_test(tcase, the_better_of_two_is_chosen, 0, (int)ELEMENTSOF(worse));
        tcase_add_test(tcase, a_reported_load_is_not_believed_for_long);
        tcase_add_test(tcase, an_error_makes_nobody_look_faster);
        tcase_add_test(tcase, who_was_slow_is_tried_again_in_time);
        tcase_add_loop_test(tcase, a_slow_one_hardly_shows, 0, 32);
        suite_add_tcase(suite, tcase);
        return suite;
}
