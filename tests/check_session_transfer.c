/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How much of a way one session uses, and what it costs
 *
 * One side sends as much as it may for a long time, the other takes all at once; nothing else
 * happens. Time is simulated, so what comes out is the same on any machine.
 *
 * P2PBUS_SEED=n repeats one of the random ways, P2PBUS_TRACE=1 prints what came of each.
 */

#include "libclient/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcore/util.h"
#include "tests/main.h"
#include "tests/session-way.h"

#define ROOM (RECORD_HEADER_SIZE + RECORD_BODY_MAX + 256)
#define BEGIN (1000 * USEC_PER_SEC)
#define KB UINT64_C(1000)
#define MB UINT64_C(1000000)
#define MSEC USEC_PER_MSEC
#define WAYS 60 /* random ones */

static Chance chance;
static uint64_t now;
static Way ways[2];
static Air air;
static Session *sides[2];
static SessionQuota quotas[2];

typedef struct Transfer {
        size_t n_message;  /* bytes of one */
        uint64_t n_in_all; /* bytes */
        uint64_t usec;     /* how long it took */
        uint64_t n_records, n_resent, n_doubles;
        uint64_t changes_at; /* the path has another generation; 0: it does not */
        unsigned percent;    /* of the link's rate */
} Transfer;

static void pump(unsigned i) {
        Session *s = sides[i];
        uint8_t bytes[ROOM];
        uint64_t deadline;
        PacketId id;

        for (;;) {
                Flying f = { .bytes = bytes, .from = i };

                if (session_produce(s, false, now, bytes, ROOM, &f.n, &id, &deadline) != 0)
                        return;
                if (way_carry(&ways[i], &chance, now, f.n, &f.due, &f.is_marked) == WAY_CARRIES)
                        ck_assert(air_launch(&air, &f));
        }
}

static void take_all(Session *s) {
        Message *m;

        while ((m = session_pop(s))) {
                session_taken(s, m, now);
                message_unref(m);
        }
        session_flush(s, now);
}

static void arrive(const Flying *f) {
        Session *s = sides[1 - f->from];
        size_t at = 0;
        Record r;

        session_begin_packet(s, f->is_marked);
        while (record_decode(f->bytes, f->n, &at, &r) == 0)
                ck_assert_int_eq(session_consume(s, &r, now), 0);
        take_all(s);
}

static void begin(void) {
        now = BEGIN;
        memset(&air, 0, sizeof(air));
        for (unsigned i = 0; i < 2; i++) {
                SessionOptions options = {
                        .id = i + 1,
                        .opened_usec = now,
                        .message_max = 1 << 26,
                        .quota = &quotas[i],
                };

                quotas[i] = (SessionQuota){ .size = 1 << 27, .left = 1 << 27 };
                memset(options.self_key, 'a' + (int)i, PID_KEY_SIZE);
                memset(options.peer_key, 'b' - (int)i, PID_KEY_SIZE);
                ck_assert_int_eq(session_new(&sides[i], &options, now), 0);
                session_set_path(sides[i], SESSION_PATH_OFF_HOST, 1, now);
        }
}

/* As much as may wait. */
static uint64_t send_some(size_t n_message, uint64_t most) {
        uint64_t n_all = 0;
        Message *m;

        while (n_all < most && session_is_writable(sides[0])) {
                ck_assert_int_eq(message_new_with_size(&m, n_message, 0), 0);
                memset(m->data, 'x', n_message);
                m->kind = MESSAGE_ONE_WAY;
                ck_assert_int_eq(session_send(sides[0], m, now), 0);
                message_unref(m);
                n_all += n_message;
        }
        return n_all;
}

static void settle(void) {
        Message *m;

        while ((m = session_pop_finished(sides[0]))) {
                ck_assert_int_eq(m->result, RESULT_DELIVERED);
                message_unref(m);
        }
}

static void change_path(Transfer *t) {
        now = t->changes_at;
        t->changes_at = 0;
        air_clear(&air);
        for (unsigned i = 0; i < 2; i++) {
                ways[i].idle_at = 0;
                session_set_path(sides[i], SESSION_PATH_OFF_HOST, 2, now);
        }
}

static void run(Transfer *t) {
        uint64_t sent = 0;

        begin();
        for (;;) {
                const SessionCounters *c = session_counters(sides[0]);
                Flying f;

                sent += send_some(t->n_message, t->n_in_all - MIN(sent, t->n_in_all));
                pump(0);
                pump(1);
                settle();
                if (sent >= t->n_in_all && c->n_delivered == c->n_sent)
                        break;
                now = MIN(air_due(&air), MIN(session_due(sides[0]), session_due(sides[1])));
                if (t->changes_at > 0 && now >= t->changes_at)
                        change_path(t);
                ck_assert_msg(now - BEGIN < 3600 * USEC_PER_SEC, "no progress");
                if (air_land(&air, now, &f)) {
                        arrive(&f);
                        free(f.bytes);
                }
                session_tick(sides[0], now);
                session_tick(sides[1], now);
        }
        t->usec = now - BEGIN;
        t->n_resent = session_counters(sides[0])->n_resent;
        t->n_doubles = session_counters(sides[1])->n_doubles;
        t->n_records = t->n_in_all / MIN(t->n_message, (size_t)RECORD_BODY_MAX);
        t->percent =
                (unsigned)(sent * 100 * USEC_PER_SEC / t->usec / MAX(ways[0].rate, UINT64_C(1)));
        if (getenv("P2PBUS_TRACE"))
                fprintf(stderr,
                        "rate %" PRIu64 " delay %" PRIu64 "+%" PRIu64 " jitter %" PRIu64
                        " queue %" PRIu64 " messages %zu: %u %%, %" PRIu64 " resent, %" PRIu64
                        " doubles, %" PRIu64 " dropped, %" PRIu64 " lost, %" PRIu64
                        " marked, round trip %" PRIu64 " window %" PRIu64 " %" PRIu64 " ms\n",
                        ways[0].rate, ways[0].delay_usec, ways[1].delay_usec, ways[0].jitter_usec,
                        ways[0].queue_max, t->n_message, t->percent, t->n_resent, t->n_doubles,
                        ways[0].n_dropped, ways[0].n_lost, ways[0].n_marked,
                        session_round_trip_usec(sides[0]), session_congestion_window(sides[0]),
                        t->usec / 1000);
        air_clear(&air);
        for (unsigned i = 0; i < 2; i++) {
                sides[i] = session_free(sides[i]);
                ck_assert_uint_eq(quotas[i].left, quotas[i].size);
        }
}

static void ways_are(Way there, Way back) {
        chance.state = 1;
        ways[0] = there;
        ways[1] = back;
}

static const struct {
        uint64_t rate, delay, queue, n_in_all;
} clean[] = {
        { 100 * KB, 10 * MSEC, 1 * MB, 5 * MB },  { 1 * MB, 10 * MSEC, 1 * MB, 20 * MB },
        { 1 * MB, 50 * MSEC, 1 * MB, 20 * MB },   { 5 * MB, 10 * MSEC, 1 * MB, 50 * MB },
        { 20 * MB, 1 * MSEC, 1 * MB, 100 * MB },  { 100 * MB, 100, 1 * MB, 200 * MB },
        { 1 * MB, 10 * MSEC, 512 * KB, 20 * MB }, { 300 * KB, 100 * MSEC, 512 * KB, 20 * MB },
        { 2 * MB, 50 * MSEC, 512 * KB, 50 * MB },
};

/* As much as row @i of clean[] says, by ways of its rate and delay; the rest of @w is kept. */
static Transfer transfer(int i, Way w) {
        Transfer t = { .n_message = 50000, .n_in_all = clean[i].n_in_all };

        w.rate = clean[i].rate;
        w.delay_usec = clean[i].delay;
        ways_are(w, w);
        run(&t);
        return t;
}

START_TEST(a_clean_way_is_used_to_three_quarters_and_nothing_is_sent_twice) {
        Transfer t = transfer(_i, (Way){ .queue_max = clean[_i].queue, .marks = true });

        ck_assert_uint_eq(ways[0].n_dropped, 0);
        ck_assert_uint_eq(t.n_resent, 0);
        ck_assert_uint_ge(t.percent, 75);
}
END_TEST

/* Queues that drop what does not fit, and mark nothing: losses in rows. */
START_TEST(a_queue_that_only_drops_is_used_to_three_quarters) {
        Transfer t = transfer(_i, (Way){ .queue_max = 150 * KB });

        ck_assert_uint_eq(t.n_resent, ways[0].n_dropped); /* just these */
        ck_assert_uint_ge(t.percent, 75);
}
END_TEST

START_TEST(one_percent_of_loss_leaves_more_than_half) {
        Transfer t = transfer(_i, (Way){ .queue_max = 1 * MB, .marks = true, .loss = 10 });

        ck_assert_uint_le(t.n_resent, ways[0].n_lost + ways[0].n_lost / 4 + 2);
        ck_assert_uint_ge(t.percent, 60);
}
END_TEST

static uint64_t between(uint64_t least, uint64_t most) {
        return least + chance_below(&chance, most - least + 1);
}

/* Ways of which a window of credit can fill at least what the link holds. */
static void random_way(uint64_t seed) {
        Transfer t = { .n_message = seed % 4 == 0 ? 3000 : 60000 };
        Way w = { .rate = UINT64_C(30000) << (seed % 10) };
        uint64_t held, n_most;

        chance.state = seed;
        w.rate += between(0, w.rate);
        held = between(1000, 200000); /* bytes on their way, both ways */
        w.delay_usec = MIN(held * USEC_PER_SEC / w.rate / 2, UINT64_C(500000));
        w.queue_max = between(512 * 1024, 4096 * 1024); /* as relays have them */
        w.marks = chance_happens(&chance, 600);
        t.n_in_all = MAX(5 * MB, 2 * w.rate);
        ways[0] = ways[1] = w;
        run(&t);
        ck_assert_msg(t.percent >= 70, "seed %" PRIu64 ": %u %%", seed, t.percent);
        /* Slow ones answer later than one waits at first: a few doubles, a packet at most. */
        n_most = (ways[0].n_dropped + 1) * (ROOM / t.n_message) + 8;
        ck_assert_msg(t.n_resent <= n_most, "seed %" PRIu64 ": %" PRIu64 " resent", seed,
                      t.n_resent);
}

START_TEST(any_way_without_loss_is_used_to_seventy_percent) {
        const char *one = getenv("P2PBUS_SEED");

        for (uint64_t seed = 1; !one && seed <= WAYS; seed++)
                random_way(seed);
        if (one)
                random_way(strtoull(one, NULL, 0));
}
END_TEST

static void live_until(uint64_t until) {
        for (;;) {
                Flying f;

                pump(0);
                pump(1);
                now = MIN(air_due(&air), MIN(session_due(sides[0]), session_due(sides[1])));
                if (now > until)
                        break;
                if (air_land(&air, now, &f)) {
                        arrive(&f);
                        free(f.bytes);
                }
                session_tick(sides[0], now);
                session_tick(sides[1], now);
        }
        now = until;
}

/* The SKIP goes until it is answered, and says of the record before it that it need not come any more. */
START_TEST(what_was_given_up_in_a_night_is_no_round_trip) {
        Way w = { .delay_usec = 20 * MSEC };
        Message *m;

        ways_are(w, w);
        begin();
        (void)send_some(1000, 1000);
        live_until(BEGIN + USEC_PER_SEC);
        settle();
        ck_assert_uint_eq(session_round_trip_usec(sides[0]), 40 * MSEC);

        ways[0].dark_until = BEGIN + 31 * USEC_PER_SEC;
        ck_assert_int_eq(message_new_with_size(&m, 1000, 0), 0);
        m->kind = MESSAGE_ONE_WAY;
        ck_assert_int_eq(session_send(sides[0], m, now), 0);
        message_unref(m);
        live_until(now + MSEC);
        session_abandon(sides[0], m, RESULT_CANCELLED, now);
        live_until(BEGIN + 61 * USEC_PER_SEC);
        m = session_pop_finished(sides[0]);
        ck_assert_ptr_nonnull(m);
        ck_assert_int_eq(m->result, RESULT_CANCELLED);
        message_unref(m);
        ck_assert_uint_eq(session_round_trip_usec(sides[0]), 40 * MSEC);

        air_clear(&air);
        for (unsigned i = 0; i < 2; i++)
                sides[i] = session_free(sides[i]);
}
END_TEST

/* Seconds to minutes. */
static const uint64_t nights[] = { 1, 5, 30, 120 };

START_TEST(after_a_night_it_goes_on_within_the_longest_wait) {
        Transfer t = { .n_message = 50000, .n_in_all = 20 * MB };
        Way w = { .rate = 1 * MB, .delay_usec = 20 * MSEC, .queue_max = 512 * KB, .marks = true };
        uint64_t night = nights[_i] * USEC_PER_SEC, light;

        ways_are(w, w);
        run(&t);
        light = t.usec;
        ways_are(w, w);
        ways[0].dark_until = BEGIN + 3 * USEC_PER_SEC + night;
        ways[1].dark_until = ways[0].dark_until;
        ways[0].dark_from = ways[1].dark_from = BEGIN + 3 * USEC_PER_SEC;
        run(&t);
        ck_assert_uint_le(t.usec, light + night + SESSION_PROBE_MAX_USEC + 3 * USEC_PER_SEC);
        ck_assert_uint_le(t.n_doubles, 20);
}
END_TEST

START_TEST(over_another_relay_it_goes_on_at_once) {
        Transfer t = { .n_message = 50000, .n_in_all = 20 * MB };
        Way w = { .rate = 1 * MB, .delay_usec = 20 * MSEC, .queue_max = 512 * KB, .marks = true };
        uint64_t undisturbed;

        ways_are(w, w);
        run(&t);
        undisturbed = t.usec;
        ways_are(w, w);
        ways[0].dark_from = ways[1].dark_from = BEGIN + 3 * USEC_PER_SEC;
        ways[0].dark_until = ways[1].dark_until = BEGIN + 4 * USEC_PER_SEC;
        t.changes_at = BEGIN + 4 * USEC_PER_SEC;
        run(&t);
        ck_assert_uint_le(t.usec, undisturbed + USEC_PER_SEC + USEC_PER_SEC / 2);
}
END_TEST

/* A few bytes each, hundreds in a packet. */
START_TEST(small_messages_use_it_as_well) {
        Transfer t = { .n_message = 100, .n_in_all = 3 * MB };
        Way w = { .rate = 1 * MB, .delay_usec = 20 * MSEC, .queue_max = 512 * KB, .marks = true };

        ways_are(w, w);
        run(&t);
        ck_assert_uint_eq(t.n_resent, 0);
        ck_assert_uint_ge(t.percent, 50); /* two thirds are headers */
}
END_TEST

START_TEST(a_slow_way_back_holds_up_little) {
        Transfer t = { .n_message = 50000, .n_in_all = 20 * MB };
        Way there = {
                .rate = 2 * MB, .delay_usec = 5 * MSEC, .queue_max = 512 * KB, .marks = true
        };
        Way back = { .rate = 20 * KB, .delay_usec = 50 * MSEC, .queue_max = 64 * KB };

        ways_are(there, back);
        run(&t);
        ck_assert_uint_eq(t.n_resent, 0);
        ck_assert_uint_ge(t.percent, 70);
}
END_TEST

START_TEST(overtaking_costs_few_doubles) {
        Transfer t = { .n_message = 5000, .n_in_all = 10 * MB };
        Way w = {
                .rate = 1 * MB,
                .delay_usec = 20 * MSEC,
                .jitter_usec = 40 * MSEC,
                .queue_max = 1 * MB,
                .marks = true,
        };

        ways_are(w, w);
        run(&t);
        ck_assert_uint_le(t.n_doubles, t.n_records / 50);
        ck_assert_uint_ge(t.percent, 60);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("session-transfer");
        TCase *all = tcase_create("all");

        tcase_add_loop_test(all, a_clean_way_is_used_to_three_quarters_and_nothing_is_sent_twice, 0,
                            ELEMENTSOF(clean));
        tcase_add_loop_test(all, a_queue_that_only_drops_is_used_to_three_quarters, 0,
                            ELEMENTSOF(clean));
        tcase_add_loop_test(all, one_percent_of_loss_leaves_more_than_half, 0, ELEMENTSOF(clean));
        tcase_add_test(all, any_way_without_loss_is_used_to_seventy_percent);
        tcase_add_test(all, what_was_given_up_in_a_night_is_no_round_trip);
        tcase_add_loop_test(all, after_a_night_it_goes_on_within_the_longest_wait, 0,
                            ELEMENTSOF(nights));
        tcase_add_test(all, over_another_relay_it_goes_on_at_once);
        tcase_add_test(all, small_messages_use_it_as_well);
        tcase_add_test(all, a_slow_way_back_holds_up_little);
        tcase_add_test(all, overtaking_costs_few_doubles);
        suite_add_tcase(suite, all);
        return suite;
}
