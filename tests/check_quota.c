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

/* An outbox of a user, at whose own cost packets without a payload wait. */
typedef struct Queue {
        User *user;
        Usage *usage;
        Stream *stream;
        Outbox outbox;
} Queue;

static void queue_open(Queue *q) {
        ck_assert_int_eq(user_get(&quota, 1000, &q->user), 0);
        ck_assert_int_eq(usage_get(q->user, 1000, &q->usage), 0);
        ck_assert_int_eq(stream_new(&q->stream), 0);
        outbox_init(&q->outbox, q->stream);
}

static void queue_close(Queue *q) {
        outbox_done(&q->outbox);
        stream_free(q->stream);
        usage_unref(q->usage);
        user_unref(q->user);
}

/* @span_usec: USEC_NEVER for one without a deadline. */
static void queue_packet_of(Queue *q, Usage *usage, PacketKind kind, uint64_t span_usec,
                            const int *fds, size_t n_fds, uint64_t now_usec) {
        PacketHeader header = {
                .size = PACKET_HEADER_SIZE,
                .n_fds = (uint8_t)n_fds,
                .id = packet_id_make(1000, 1),
                .deadline_usec = span_usec == USEC_NEVER ? 0 : 1000 + span_usec,
                .kind = (uint16_t)kind,
        };
        uint8_t *data;

        ck_assert_int_eq(
                outbox_reserve(&q->outbox, usage, header.size, fds, n_fds, now_usec, &data), 0);
        packet_header_encode(&header, data);
}

static void queue_packet(Queue *q, PacketKind kind, uint64_t span_usec, const int *fds,
                         size_t n_fds, uint64_t now_usec) {
        queue_packet_of(q, q->usage, kind, span_usec, fds, n_fds, now_usec);
}

static void queue_written(Queue *q, size_t n) {
        stream_written(q->stream, n);
        outbox_written(&q->outbox, n);
}

#define QUEUED_USEC (100 * USEC_PER_SEC)

static const struct {
        const char *what;
        PacketKind kind;
        uint64_t span_usec;
        size_t n_begun;
        uint64_t in_time_usec; /* after it was queued; one more is too long */
} spans[] = {
        { "none at all", PACKET_SEALED, 0, 0, OUTBOX_SLACK_USEC },
        { "five seconds", PACKET_SEALED, 5 * USEC_PER_SEC, 0,
          5 * USEC_PER_SEC + OUTBOX_SLACK_USEC },
        { "no deadline", PACKET_SEALED, USEC_NEVER, 0, USEC_NEVER },
        { "begun", PACKET_SEALED, 0, 1, USEC_NEVER },
        { "records", PACKET_RECORDS, 0, 0, USEC_NEVER },
        { "a word", PACKET_CONTROL, 0, 0, USEC_NEVER },
};

START_TEST(a_sealed_packet_is_late_when_its_span_is_over_and_no_sooner) {
        const size_t left = PACKET_HEADER_SIZE - spans[_i].n_begun;
        const uint8_t *late = NULL;
        Queue q;

        queue_open(&q);
        queue_packet(&q, spans[_i].kind, spans[_i].span_usec, NULL, 0, QUEUED_USEC);
        queue_written(&q, spans[_i].n_begun);
        if (spans[_i].in_time_usec == USEC_NEVER) {
                ck_assert_uint_eq(outbox_in_time(&q.outbox, USEC_NEVER / 2, &late), left);
        } else {
                uint64_t last_usec = QUEUED_USEC + spans[_i].in_time_usec;

                ck_assert_uint_ge(outbox_in_time(&q.outbox, last_usec, &late), left);
                ck_assert_uint_eq(outbox_in_time(&q.outbox, last_usec + 1, &late), 0);
                ck_assert_uint_eq(late[64], PACKET_SEALED);
        }
        queue_close(&q);
}
END_TEST

START_TEST(a_packet_is_not_late_because_one_before_it_waits_for_long) {
        const uint8_t *late;
        Queue q;

        queue_open(&q);
        ck_assert_uint_eq(outbox_in_time(&q.outbox, QUEUED_USEC, &late), SIZE_MAX);
        queue_packet(&q, PACKET_RECORDS, 0, NULL, 0, QUEUED_USEC);
        queue_packet(&q, PACKET_SEALED, 0, NULL, 0, QUEUED_USEC + OUTBOX_SLACK_USEC);
        ck_assert_uint_eq(q.outbox.n_runs, 1);
        queue_packet(&q, PACKET_SEALED, 0, NULL, 0, QUEUED_USEC + OUTBOX_SLACK_USEC + 1);
        ck_assert_uint_eq(q.outbox.n_runs, 2);
        queue_written(&q, 2 * (size_t)PACKET_HEADER_SIZE);
        ck_assert_uint_eq(outbox_in_time(&q.outbox, QUEUED_USEC + 2 * OUTBOX_SLACK_USEC + 1, &late),
                          SIZE_MAX);
        ck_assert_uint_eq(outbox_in_time(&q.outbox, QUEUED_USEC + 2 * OUTBOX_SLACK_USEC + 2, &late),
                          0);
        queue_close(&q);
}
END_TEST

/* Else each packet would be a write of its own, when there is most to be written. */
START_TEST(what_waits_of_several_payers_may_be_written_together) {
        const size_t one = PACKET_HEADER_SIZE;
        const uint8_t *late;
        Usage *other;
        Queue q;

        queue_open(&q);
        ck_assert_int_eq(usage_get(q.user, 4711, &other), 0);
        for (unsigned i = 0; i < 5; i++)
                queue_packet_of(&q, i % 2 ? other : q.usage, PACKET_SEALED,
                                i == 3 ? 0 : USEC_NEVER, NULL, 0, QUEUED_USEC);
        ck_assert_uint_eq(q.outbox.n_runs, 5);
        ck_assert_uint_eq(
                outbox_in_time(&q.outbox, QUEUED_USEC + 2 * OUTBOX_SLACK_USEC, &late), 3 * one);
        queue_written(&q, 3 * one);
        ck_assert_uint_eq(
                outbox_in_time(&q.outbox, QUEUED_USEC + 2 * OUTBOX_SLACK_USEC, &late), 0);
        outbox_drop_first(&q.outbox);
        ck_assert_uint_eq(
                outbox_in_time(&q.outbox, QUEUED_USEC + 2 * OUTBOX_SLACK_USEC, &late), one);
        queue_written(&q, one);
        usage_unref(other);
        queue_close(&q);
}
END_TEST

/* Not when all of its age have gone. */
START_TEST(what_is_dropped_is_released_at_once) {
        const size_t one = PACKET_HEADER_SIZE;
        Queue q;

        queue_open(&q);
        for (unsigned i = 0; i < 3; i++)
                queue_packet(&q, PACKET_SEALED, 0, NULL, 0, QUEUED_USEC);
        ck_assert_uint_eq(q.outbox.n_runs, 1);
        for (unsigned i = 3; i > 0; i--) {
                ck_assert_uint_eq(q.outbox.n_packets, i);
                ck_assert_uint_eq(q.user->used[QUOTA_MESSAGES], i);
                ck_assert_uint_eq(q.user->used[QUOTA_BYTES], i * one);
                outbox_drop_first(&q.outbox);
        }
        ck_assert_uint_eq(q.outbox.n_packets, 0);
        ck_assert_uint_eq(q.user->used[QUOTA_BYTES], 0);
        queue_close(&q);
}
END_TEST

START_TEST(what_is_late_goes_wherever_it_stands_and_nothing_else_does) {
        const uint64_t now_usec = QUEUED_USEC + 10 * USEC_PER_SEC;
        const size_t one = PACKET_HEADER_SIZE;
        const uint8_t *late;
        int ends[2];
        Queue q;

        queue_open(&q);
        ck_assert_int_eq(pipe(ends), 0);
        queue_packet(&q, PACKET_SEALED, 0, &ends[1], 1, QUEUED_USEC);
        queue_packet(&q, PACKET_SEALED, USEC_PER_SEC, NULL, 0, QUEUED_USEC);
        queue_packet(&q, PACKET_RECORDS, 0, NULL, 0, QUEUED_USEC);
        queue_packet(&q, PACKET_SEALED, 60 * USEC_PER_SEC, NULL, 0, QUEUED_USEC);
        queue_packet(&q, PACKET_SEALED, 2 * USEC_PER_SEC, NULL, 0, QUEUED_USEC);
        queue_packet(&q, PACKET_SEALED, 0, NULL, 0, now_usec);
        ck_assert_uint_eq(q.user->used[QUOTA_FDS], 1);

        for (unsigned i = 0; i < 2; i++) {
                ck_assert_uint_eq(outbox_in_time(&q.outbox, now_usec, &late), 0);
                outbox_drop_first(&q.outbox);
        }
        ck_assert_int_eq(read(ends[0], &(char){ 0 }, 1), 0); /* the other end was closed */
        ck_assert_uint_eq(outbox_in_time(&q.outbox, now_usec, &late), 2 * one);
        queue_written(&q, one + 1); /* one is begun */
        ck_assert_uint_eq(outbox_in_time(&q.outbox, now_usec, &late), one - 1);
        queue_written(&q, one - 1);
        ck_assert_uint_eq(outbox_in_time(&q.outbox, now_usec, &late), 0);
        outbox_drop_first(&q.outbox);
        /* That was all of one age: nothing is held for it any more. */
        ck_assert_uint_eq(q.outbox.n_packets, 1);
        ck_assert_uint_eq(outbox_size(&q.outbox), one);
        ck_assert_uint_eq(q.user->used[QUOTA_BYTES], one);
        ck_assert_uint_eq(q.user->used[QUOTA_MESSAGES], 1);
        ck_assert_uint_eq(q.user->used[QUOTA_FDS], 0);
        ck_assert_uint_eq(outbox_in_time(&q.outbox, now_usec, &late), SIZE_MAX);
        queue_written(&q, one);
        ck_assert_uint_eq(q.outbox.n_packets, 0);
        ck_assert_uint_eq(q.user->used[QUOTA_BYTES], 0);
        close(ends[0]);
        queue_close(&q);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("quota");
        TCase *tcase = tcase_create("formula"), *users = tcase_create("users"),
              *late = tcase_create("late");

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
        tcase_add_checked_fixture(late, setup, teardown);
        tcase_add_loop_test(late, a_sealed_packet_is_late_when_its_span_is_over_and_no_sooner, 0,
                            ELEMENTSOF(spans));
        tcase_add_test(late, a_packet_is_not_late_because_one_before_it_waits_for_long);
        tcase_add_test(late, what_waits_of_several_payers_may_be_written_together);
        tcase_add_test(late, what_is_dropped_is_released_at_once);
        tcase_add_test(late, what_is_late_goes_wherever_it_stands_and_nothing_else_does);
        suite_add_tcase(suite, tcase);
        suite_add_tcase(suite, users);
        suite_add_tcase(suite, late);
        return suite;
}
