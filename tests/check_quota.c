/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/quota.h"

#include "daemon/outbox.h"
#include "libcore/util.h"
#include "tests/main.h"

/* (n + 1) * (share + charge) - share <= remaining, worked out by hand. */
static const struct {
        uint64_t remaining, n, share, charge;
        bool fits;
} formula[] = {
        { 100, 1, 0, 50, true }, /* alone: half of what is left */
        { 100, 1, 0, 51, false },
        { 50, 1, 50, 0, true }, /* that half is held now: no more */
        { 50, 1, 50, 1, false },
        { 100, 2, 0, 33, true }, /* two: a third */
        { 100, 2, 0, 34, false },
        { 67, 2, 33, 0, true },
        { 67, 2, 33, 1, false },
        { 100, 9, 0, 10, true }, /* nine: a tenth */
        { 100, 9, 0, 11, false },
        { 0, 1, 0, 0, true },
        { 0, 1, 0, 1, false },
        { 0, 5, 10, 0, false }, /* holds more than its share already: not even nothing */
        { UINT64_MAX, 1, 0, UINT64_MAX, false }, /* no wrap-around */
        { UINT64_MAX, 1, UINT64_MAX, 1, false },
        { UINT64_MAX, UINT64_MAX, 1, 1, false },
        { UINT64_MAX, 1, 0, UINT64_MAX / 2, true },
};

START_TEST(a_share_is_what_the_formula_says) {
        ck_assert_msg(quota_share_fits(formula[_i].remaining, formula[_i].n, formula[_i].share,
                                       formula[_i].charge) == formula[_i].fits,
                      "row %d", _i);
}
END_TEST

static const QuotaLimits limits = {
        .per_user = true,
        .max = {
                [QUOTA_BYTES] = 1000,
                [QUOTA_MESSAGES] = 100,
                [QUOTA_FDS] = 4,
                [QUOTA_CONNECTIONS] = 3,
        },
        .attach_rate = 2,
        .attach_burst = 3,
        .memory = 100000,
};

static Quota quota;

static void setup(void) {
        quota_init(&quota, &limits);
}

static void teardown(void) {
        quota_done(&quota);
}

START_TEST(oneself_is_limited_by_the_total_alone) {
        User *user;
        Usage *self;

        ck_assert_int_eq(user_get(&quota, 1000, &user), 0);
        ck_assert_int_eq(usage_get(user, 1000, &self), 0);
        ck_assert_int_eq(usage_charge(self, 1000, 1, 0), 0);
        ck_assert_int_eq(usage_charge(self, 1, 1, 0), QUOTA_E_EXCEEDED);
        usage_release(self, 1, 0, 0);
        ck_assert_int_eq(usage_charge(self, 1, 1, 0), 0);
        usage_release(self, 1000, 2, 0);
        ck_assert_uint_eq(quota.memory_used, 0);
        usage_unref(self);
        user_unref(user);
}
END_TEST

/* How much @actor can have on @user, byte by byte. */
static uint64_t fill(Usage *usage) {
        uint64_t n = 0;

        while (usage_charge(usage, 1, 0, 0) == 0)
                n++;
        return n;
}

START_TEST(one_uid_fills_its_share_and_a_second_still_passes) {
        Usage *a, *b, *self;
        User *user;
        uint64_t n_a, n_b, n_self;

        ck_assert_int_eq(user_get(&quota, 1000, &user), 0);
        ck_assert_int_eq(usage_get(user, 1, &a), 0);
        ck_assert_int_eq(usage_get(user, 2, &b), 0);
        ck_assert_int_eq(usage_get(user, 1000, &self), 0);
        n_a = fill(a);
        ck_assert_uint_eq(n_a, 500);
        n_b = fill(b); /* 3 s - s <= 500 - s, for the last byte: s + 1 */
        ck_assert_uint_ge(n_b, 1000 / 9);
        ck_assert_uint_le(n_b, 1000 / 3);
        ck_assert_uint_eq(fill(a), 0);
        n_self = fill(self);
        ck_assert_uint_eq(n_self, 1000 - n_a - n_b);
        usage_release(a, n_a, 0, 0);
        usage_release(b, n_b, 0, 0);
        usage_release(self, n_self, 0, 0);
        ck_assert_uint_eq(user->n_sharing, 0);
        usage_unref(a);
        usage_unref(b);
        usage_unref(self);
        user_unref(user);
}
END_TEST

START_TEST(a_refused_charge_leaves_nothing_behind) {
        Usage *usage;
        User *user;

        ck_assert_int_eq(user_get(&quota, 1000, &user), 0);
        ck_assert_int_eq(usage_get(user, 1, &usage), 0);
        ck_assert_int_eq(usage_charge(usage, 10, 1, 3), QUOTA_E_EXCEEDED); /* descriptors */
        ck_assert_int_eq(usage_charge(usage, 10, 51, 0), QUOTA_E_EXCEEDED);
        ck_assert_uint_eq(user->used[QUOTA_BYTES], 0);
        ck_assert_uint_eq(user->used[QUOTA_MESSAGES], 0);
        ck_assert_uint_eq(user->n_sharing, 0);
        usage_unref(usage);
        user_unref(user);
}
END_TEST

START_TEST(root_has_eight_times_as_much) {
        User *root, *user;

        ck_assert_int_eq(user_get(&quota, 0, &root), 0);
        ck_assert_int_eq(user_get(&quota, 1000, &user), 0);
        ck_assert_int_eq(user_take(root, QUOTA_CONNECTIONS, 24), 0);
        ck_assert_int_eq(user_take(root, QUOTA_CONNECTIONS, 1), QUOTA_E_EXCEEDED);
        ck_assert_int_eq(user_take(user, QUOTA_CONNECTIONS, 3), 0);
        ck_assert_int_eq(user_take(user, QUOTA_CONNECTIONS, 1), QUOTA_E_EXCEEDED);
        user_give(root, QUOTA_CONNECTIONS, 24);
        user_give(user, QUOTA_CONNECTIONS, 3);
        user_unref(root);
        user_unref(user);
}
END_TEST

START_TEST(on_a_user_bus_only_memory_and_descriptors_count) {
        Usage *usage;
        User *user;

        quota.limits.per_user = false;
        ck_assert_int_eq(user_get(&quota, 1000, &user), 0);
        ck_assert_int_eq(usage_get(user, 1, &usage), 0);
        ck_assert_int_eq(user_take(user, QUOTA_CONNECTIONS, 100), 0);
        ck_assert_int_eq(usage_charge(usage, 100000, 100000, 0), 0);
        ck_assert_int_eq(usage_charge(usage, 1, 1, 0), QUOTA_E_EXCEEDED);
        usage_release(usage, 1, 1, 0);
        ck_assert_int_eq(usage_charge(usage, 1, 1, 3), QUOTA_E_EXCEEDED);
        ck_assert_int_eq(usage_charge(usage, 1, 1, 2), 0); /* of 4: half */
        for (unsigned i = 0; i < 1000; i++)
                ck_assert(user_attach_passes(user, 1));
        usage_release(usage, 100000, 100000, 2);
        user_give(user, QUOTA_CONNECTIONS, 100);
        usage_unref(usage);
        user_unref(user);
}
END_TEST

START_TEST(attaches_come_in_a_burst_and_then_at_their_rate) {
        uint64_t now = 5 * USEC_PER_SEC;
        User *user;

        ck_assert_int_eq(user_get(&quota, 1000, &user), 0);
        for (unsigned i = 0; i < 3; i++)
                ck_assert(user_attach_passes(user, now));
        ck_assert(!user_attach_passes(user, now));
        ck_assert(!user_attach_passes(user, now + USEC_PER_SEC / 2 - 1));
        now += USEC_PER_SEC / 2; /* two a second */
        ck_assert(user_attach_passes(user, now));
        ck_assert(!user_attach_passes(user, now));
        now += 3600 * USEC_PER_SEC;
        for (unsigned i = 0; i < 3; i++)
                ck_assert(user_attach_passes(user, now));
        ck_assert(!user_attach_passes(user, now));
        user_unref(user);
}
END_TEST

START_TEST(what_is_charged_outlives_who_charged_it) {
        Usage *usage;
        User *user;

        ck_assert_int_eq(user_get(&quota, 1000, &user), 0);
        ck_assert_int_eq(usage_get(user, 1, &usage), 0);
        ck_assert_int_eq(usage_charge(usage, 7, 1, 0), 0);
        usage_unref(usage);
        user_unref(user);
        ck_assert_ptr_nonnull(quota.users);
        usage_release(usage, 7, 1, 0); /* frees both */
        ck_assert_ptr_null(quota.users);
}
END_TEST

START_TEST(an_outbox_releases_as_it_is_written) {
        Stream *stream = NULL;
        Usage *usages[2];
        Outbox outbox;
        User *user;
        uint64_t total = 0;

        ck_assert_int_eq(user_get(&quota, 1000, &user), 0);
        ck_assert_int_eq(usage_get(user, 1, &usages[0]), 0);
        ck_assert_int_eq(usage_get(user, 1000, &usages[1]), 0);
        ck_assert_int_eq(stream_new(&stream), 0);
        outbox_init(&outbox, stream);
        for (unsigned i = 0; i < 20; i++) {
                uint8_t *data;

                ck_assert_int_eq(
                        outbox_reserve(&outbox, usages[i % 3 == 0], 10, NULL, 0, i + 1, &data), 0);
                memset(data, 0, 10);
                total += 10;
        }
        ck_assert_uint_eq(outbox.n_packets, 20);
        ck_assert_uint_eq(outbox_since(&outbox), 1);
        while (outbox_size(&outbox) > 0) {
                size_t n = MIN((size_t)7, outbox_size(&outbox));

                stream_written(stream, n);
                outbox_written(&outbox, n);
                total -= n;
                ck_assert_uint_ge(user->used[QUOTA_BYTES], total);
        }
        ck_assert_uint_eq(user->used[QUOTA_BYTES], 0);
        ck_assert_uint_eq(user->used[QUOTA_MESSAGES], 0);
        ck_assert_uint_eq(outbox.n_packets, 0);
        ck_assert_uint_eq(outbox_since(&outbox), 0);

        /* What is thrown away is released too. */
        for (unsigned i = 0; i < 5; i++) {
                uint8_t *data;

                ck_assert_int_eq(outbox_reserve(&outbox, usages[i % 2], 10, NULL, 0, 1, &data), 0);
        }
        outbox_done(&outbox);
        ck_assert_uint_eq(user->used[QUOTA_BYTES], 0);
        stream_free(stream);
        usage_unref(usages[0]);
        usage_unref(usages[1]);
        user_unref(user);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("quota");
        TCase *tcase = tcase_create("formula"), *users = tcase_create("users");

        tcase_add_loop_test(tcase, a_share_is_what_the_formula_says, 0, ELEMENTSOF(formula));
        tcase_add_checked_fixture(users, setup, teardown);
        tcase_add_test(users, oneself_is_limited_by_the_total_alone);
        tcase_add_test(users, one_uid_fills_its_share_and_a_second_still_passes);
        tcase_add_test(users, a_refused_charge_leaves_nothing_behind);
        tcase_add_test(users, root_has_eight_times_as_much);
        tcase_add_test(users, on_a_user_bus_only_memory_and_descriptors_count);
        tcase_add_test(users, attaches_come_in_a_burst_and_then_at_their_rate);
        tcase_add_test(users, what_is_charged_outlives_who_charged_it);
        tcase_add_test(users, an_outbox_releases_as_it_is_written);
        suite_add_tcase(suite, tcase);
        suite_add_tcase(suite, users);
        return suite;
}
