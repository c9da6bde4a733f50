/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rings between threads: a liar that changes its file while it is looked at, and honest ones, which
 * must lose nothing and sleep over nothing. Worth a run with --enable-sanitizers=thread.
 */

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcore/ring.h"
#include "libcore/util.h"
#include "tests/main.h"
#include "tests/ring-pair.h"

static RingPair pair;

static void pair_setup(void) {
        ring_pair_open(&pair, RING_SIZE_MIN, RING_SIZE_MIN);
}

static void pair_teardown(void) {
        ring_pair_close(&pair);
}

/* Liars */

/* Changes two words of the other side's file to anything, as fast as it can. */
typedef struct Racer {
        uint64_t *words[2];
        uint64_t values[2][8];
        bool over;
} Racer;

static void *race(void *data) {
        Racer *racer = data;
        uint64_t i = 0;

        while (!__atomic_load_n(&racer->over, __ATOMIC_RELAXED)) {
                i++;
                ring_store_relaxed(racer->words[0], racer->values[0][i % 8]);
                ring_store_relaxed(racer->words[1], racer->values[1][i / 3 % 8]);
        }
        return NULL;
}

START_TEST(a_size_that_changes_between_check_and_use_is_used_as_it_was_checked) {
        RingConsumer *c = &pair.b.consumer;
        Racer racer = {
                .words = { (uint64_t *)pair.a.own.data, &pair.a.own.page->producer.produced },
                .values = { { 8, 0, UINT64_MAX, RING_ENTRY_MAX, 1, 40, UINT64_C(1) << 32 | 8, 504 },
                            { 512, 512, 0, 520, 512, 65536, UINT64_MAX, 16 } },
        };
        unsigned n_good = 0, n_bad = 0, n_empty = 0;
        pthread_t thread;

        ck_assert_int_eq(pthread_create(&thread, NULL, race, &racer), 0);
        for (unsigned i = 0; i < 1000000; i++) {
                const uint8_t *entry = NULL;
                bool is_right = true;
                size_t n = 0;

                switch (ring_peek(c, &entry, &n)) {
                case 0:
                        is_right = entry == c->data + RING_HEAD_SIZE && n >= 1 &&
                                   n <= RING_ENTRY_MAX && c->produced <= RING_SIZE_MIN &&
                                   ring_entry_size(n) <= c->produced;
                        ring_advance(c);
                        is_right = is_right && ring_position(c) == ring_entry_size(n);
                        n_good++;
                        break;
                case RING_E_EMPTY:
                        n_empty++;
                        break;
                case RING_E_VIOLATION:
                        is_right = c->is_broken;
                        n_bad++;
                        break;
                default:
                        ck_abort();
                }
                /* An assertion costs a system call even if it holds. */
                if (!is_right)
                        ck_abort_msg("round %u", i);
                /* a ring of which nothing was read */
                ring_consumer_init(c, pair.b.other.data, RING_SIZE_MIN, c->own, c->other);
        }
        __atomic_store_n(&racer.over, true, __ATOMIC_RELAXED);
        pthread_join(thread, NULL);
        ck_assert_uint_eq(n_good + n_bad + n_empty, 1000000);
}
END_TEST

START_TEST(a_consumed_that_changes_while_room_is_sought_never_gives_too_much) {
        RingProducer *p = &pair.a.producer;
        Racer racer = {
                .words = { &pair.b.own.page->consumer.consumed,
                           &pair.b.own.page->consumer.wake_at },
                .values = { { 0, 0, 16, 8, 24, 0, UINT64_MAX, 4 }, { 1, 2, 3, 16, 17, 0, 8, 9 } },
        };
        pthread_t thread;
        uint8_t *entry;

        ck_assert_int_eq(pthread_create(&thread, NULL, race, &racer), 0);
        for (unsigned i = 0; i < 1000000; i++) {
                int r;

                if (ring_reserve(p, 8, &entry) != 0)
                        ck_abort();
                ring_commit(p, 8);
                (void)ring_publish(p);
                r = ring_reserve(p, RING_ENTRY_MAX, &entry);
                if (r == 0 ? p->consumed != 16 : r == RING_E_FULL ? p->consumed > 8 : !p->is_broken)
                        ck_abort_msg("round %u: %d", i, r);
                ring_producer_init(p, pair.a.own.data, RING_SIZE_MIN, p->own, p->other);
        }
        __atomic_store_n(&racer.over, true, __ATOMIC_RELAXED);
        pthread_join(thread, NULL);
}
END_TEST

/* Honest ones */

#define N_ENTRIES 1000000
#define N_HELD 4 /* entries that the consumer keeps while it reads on */

/* What both threads know without saying it: entry @i of a seed. */
typedef struct Plan {
        uint64_t random;
        uint8_t bytes[2 * RING_SIZE_MIN];
} Plan;

typedef struct Honest {
        uint64_t seed;
        RingProducer *producer;
        RingConsumer *consumer;
        int entry_bell[2]; /* rung by the producer */
        int room_bell[2];
        uint64_t n_slept[2];
} Honest;

/* splitmix64 */
static uint64_t random_next(uint64_t *state) {
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

static Plan *plan_new(uint64_t seed) {
        Plan *plan = malloc(sizeof(*plan));

        ck_assert_ptr_nonnull(plan);
        plan->random = seed;
        for (size_t i = 0; i < sizeof(plan->bytes); i++)
                plan->bytes[i] = (uint8_t)random_next(&plan->random);
        return plan;
}

/* Most are small, some wrap often, a few fill the ring. */
static const uint8_t *plan_next(Plan *plan, size_t *ret_n) {
        uint64_t r = random_next(&plan->random);
        size_t n_max = r % 1024 == 0 ? RING_ENTRY_MAX : r % 64 == 0 ? 5000 : 200;

        *ret_n = 1 + (r >> 16) % n_max;
        return plan->bytes + (r >> 40) % RING_SIZE_MIN;
}

static void bell_ring(const int bell[2]) {
        ssize_t n = write(bell[1], "", 1);

        if (n != 1 && errno != EAGAIN) /* full: there is a bell already */
                ck_abort();
}

static void bell_wait(const int bell[2]) {
        struct pollfd poll_fd = { .fd = bell[0], .events = POLLIN };
        char bytes[64];

        while (poll(&poll_fd, 1, -1) < 0)
                if (errno != EINTR)
                        ck_abort();
        if (read(bell[0], bytes, sizeof(bytes)) <= 0)
                ck_abort();
}

static void *produce(void *data) {
        Honest *h = data;
        RingProducer *p = h->producer;
        _cleanup_(freep) Plan *plan = plan_new(h->seed);
        uint64_t random = ~h->seed;

        for (unsigned i = 0; i < N_ENTRIES; i++) {
                const uint8_t *bytes;
                uint8_t *room;
                size_t n;
                int r;

                bytes = plan_next(plan, &n);
                while ((r = ring_reserve(p, n, &room)) == RING_E_FULL) {
                        if (ring_publish(p))
                                bell_ring(h->entry_bell);
                        if (ring_wait_for_room(p, n))
                                continue;
                        h->n_slept[0]++;
                        bell_wait(h->room_bell);
                }
                if (r != 0)
                        ck_abort();
                memcpy(room, bytes, n);
                ring_commit(p, n);
                if (random_next(&random) % 4 == 0 && ring_publish(p))
                        bell_ring(h->entry_bell);
        }
        if (ring_publish(p))
                bell_ring(h->entry_bell);
        return NULL;
}

typedef struct Held {
        const uint8_t *entry, *bytes;
        size_t n;
        uint64_t end;
} Held;

/* Only now are they looked at: nobody may have written there meanwhile. */
static void let_go(Honest *h, const Held *held, unsigned n_held) {
        for (unsigned i = 0; i < n_held; i++)
                if (memcmp(held[i].entry, held[i].bytes, held[i].n) != 0)
                        ck_abort_msg("seed %llu: an entry changed", (unsigned long long)h->seed);
        if (n_held > 0 && ring_release(h->consumer, held[n_held - 1].end))
                bell_ring(h->room_bell);
}

static void consume(Honest *h) {
        RingConsumer *c = h->consumer;
        _cleanup_(freep) Plan *plan = plan_new(h->seed);
        Held held[N_HELD];
        unsigned n_held = 0;

        for (unsigned i = 0; i < N_ENTRIES; i++) {
                Held *e = &held[n_held];
                size_t n;
                int r;

                while ((r = ring_peek(c, &e->entry, &e->n)) == RING_E_EMPTY) {
                        let_go(h, held, n_held);
                        n_held = 0;
                        e = held;
                        if (!ring_sleep(c))
                                continue;
                        h->n_slept[1]++;
                        bell_wait(h->entry_bell);
                }
                if (r != 0)
                        ck_abort();
                e->bytes = plan_next(plan, &n);
                if (e->n != n)
                        ck_abort_msg("seed %llu: entry %u has %zu bytes, not %zu",
                                     (unsigned long long)h->seed, i, e->n, n);
                ring_advance(c);
                e->end = ring_position(c);
                if (++n_held == N_HELD) {
                        let_go(h, held, n_held);
                        n_held = 0;
                }
        }
        let_go(h, held, n_held);
}

/*
 * Row 0: each side through its own mappings, as processes do. Row 1: both through the same ones,
 * because ThreadSanitizer knows memory by its address.
 */
START_TEST(two_threads_lose_nothing_and_sleep_over_nothing) {
        const char *seed = getenv("SEED");
        Honest h = {
                .seed = seed ? strtoull(seed, NULL, 10) : 1,
                .producer = &pair.a.producer,
                .consumer = &pair.b.consumer,
        };
        pthread_t thread;

        if (_i == 1) {
                ring_consumer_init(h.consumer, pair.a.own.data, RING_SIZE_MIN,
                                   &pair.b.own.page->consumer, &pair.a.own.page->producer);
                ring_producer_init(h.producer, pair.a.own.data, RING_SIZE_MIN,
                                   &pair.a.own.page->producer, &pair.b.own.page->consumer);
        }
        ck_assert_int_eq(pipe2(h.entry_bell, O_CLOEXEC), 0);
        ck_assert_int_eq(pipe2(h.room_bell, O_CLOEXEC), 0);
        ck_assert_int_eq(fcntl(h.entry_bell[1], F_SETFL, O_NONBLOCK), 0);
        ck_assert_int_eq(fcntl(h.room_bell[1], F_SETFL, O_NONBLOCK), 0);

        ck_assert_int_eq(pthread_create(&thread, NULL, produce, &h), 0);
        consume(&h);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        printf("# seed %llu: %d entries, slept for room %llu times, for entries %llu times\n",
               (unsigned long long)h.seed, N_ENTRIES, (unsigned long long)h.n_slept[0],
               (unsigned long long)h.n_slept[1]);
        ck_assert_uint_eq(ring_consumer_fill(h.consumer), 0);
        ck_assert_uint_eq(ring_producer_fill(h.producer), 0);
        for (unsigned i = 0; i < 2; i++) {
                close(h.entry_bell[i]);
                close(h.room_bell[i]);
        }
}
END_TEST

Suite *check_suite(void) {
        Suite *s = suite_create("ring-race");
        TCase *t = tcase_create("liars");

        tcase_add_checked_fixture(t, pair_setup, pair_teardown);
        tcase_add_test(t, a_size_that_changes_between_check_and_use_is_used_as_it_was_checked);
        tcase_add_test(t, a_consumed_that_changes_while_room_is_sought_never_gives_too_much);
        suite_add_tcase(s, t);

        t = tcase_create("honest");
        tcase_add_checked_fixture(t, pair_setup, pair_teardown);
        tcase_add_loop_test(t, two_threads_lose_nothing_and_sleep_over_nothing, 0, 2);
        suite_add_tcase(s, t);
        return s;
}
