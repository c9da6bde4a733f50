/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A peer that attaches, talks and gets its ring as everybody does, and then lies in its file, with
 * its bells or with what it writes. Both are handles of this process, which takes turns for them as
 * it likes; the liar's words are changed behind its library's back.
 *
 * The honest side ends the ring if a rule was broken, says so, and nothing else happens: the
 * conversation goes on through the daemon, and so does a ring with a third process.
 */

#include "config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libclient/bell.h"
#include "libclient/loop.h"
#include "libclient/path-ring.h"
#include "libclient/peer.h"
#include "tests/main.h"
#include "tests/partner.h"

#define TURNS_MAX 100000

/* One of the two, and how far the numbers are that it sends and takes. */
typedef struct Side {
        p2pbus *bus;
        const char *other;
        uint64_t n_sent, n_came;
} Side;

static Daemon daemon_of_test;
static Daemon *const d = &daemon_of_test;
static Side honest, liar;
static Partner third;
static unsigned n_fds; /* before there were rings */

/* ---- Both sides ---- */

static void turn(Side *s) {
        p2pbus_message *m;

        ok(p2pbus_process(s->bus));
        for (; p2pbus_receive(s->bus, 0, &m) == 0; p2pbus_message_unref(m)) {
                if (strcmp(p2pbus_message_get_from(m), s->other) != 0)
                        continue; /* of one before */
                ck_assert_uint_eq(talk_number(m), s->n_came);
                s->n_came++;
        }
}

/* Return: whether there was room. */
static bool say(Side *s, size_t size) {
        int r = talk_try_send(s->bus, s->other, s->n_sent, size);

        ck_assert_msg(r == 0 || r == -EAGAIN, "%d", r);
        s->n_sent += r == 0;
        return r == 0;
}

#define turn_both_until(condition)                                                                 \
        for (unsigned n_turns = 0; !(condition); n_turns++) {                                      \
                ck_assert_uint_lt(n_turns, TURNS_MAX);                                             \
                turn(&liar);                                                                       \
                turn(&honest);                                                                     \
                if (n_turns > 100)                                                                 \
                        ok(p2pbus_wait(honest.bus, SECOND / 1000));                                \
        }

/* @n numbers each way, in order, none twice. */
static void exchange(unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                turn_both_until(say(&honest, i % 300));
                turn_both_until(say(&liar, i % 300));
        }
        turn_both_until(honest.n_came == liar.n_sent && liar.n_came == honest.n_sent);
}

static int path_of(const Side *s) {
        return talk_path(s->bus, s->other);
}

static void get_ring(void) {
        exchange(1);
        ok(p2pbus_set_ring(liar.bus, liar.other, P2PBUS_RING_ALWAYS));
        turn_both_until(path_of(&honest) == P2PBUS_PATH_RING && path_of(&liar) == P2PBUS_PATH_RING);
}

/* The liar's end; it has no other. */
static RingPath *liar_ring(void) {
        const Rings *rings = &liar.bus->rings;

        ck_assert_uint_eq(rings->n, 1);
        return rings->awake ? rings->awake : rings->asleep;
}

static void start(void) {
        static const PartnerOptions echo = { .daemon = &daemon_of_test, .run = partner_echo };

        ck_assert_int_eq(unsetenv("P2PBUS_KEY"), 0);
        daemon_start(d, "--user", NULL);
        honest = (Side){ .bus = talk_open(d, 0) };
        liar = (Side){ .bus = talk_open(d, 0) };
        honest.other = p2pbus_get_full(liar.bus);
        liar.other = p2pbus_get_full(honest.bus);
        partner_start(&third, &echo);
        exchange(1);
        (void)talk_ask(honest.bus, third.full, "0");
        n_fds = talk_count_fds(0);
        talk_get_ring(honest.bus, third.full);
        get_ring();
}

static void expect_third_undisturbed(void) {
        (void)talk_ask(honest.bus, third.full, "0");
        ck_assert_int_eq(talk_path(honest.bus, third.full), P2PBUS_PATH_RING);
        ck_assert_uint_eq(talk_ask(honest.bus, third.full, "path"), P2PBUS_PATH_RING);
}

static void stop(void) {
        expect_third_undisturbed();
        partner_stop(&third);
        p2pbus_unref(liar.bus);
        for (unsigned i = 0; talk_count_maps(0) > 0 || talk_count_fds(0) > n_fds; i++) {
                ck_assert_uint_lt(i, TURNS_MAX);
                ok(p2pbus_wait(honest.bus, SECOND / 1000));
        }
        p2pbus_unref(honest.bus);
        talk_until_rings(d, 0);
        daemon_stop(d);
}

/* Only the honest side has turns, until it has noticed. */
static void expect_violation(void) {
        for (unsigned i = 0; path_of(&honest) == P2PBUS_PATH_RING; i++) {
                ck_assert_uint_lt(i, TURNS_MAX);
                turn(&honest);
        }
        for (unsigned i = 0; daemon_status(d, "ring_violations") == 0; i++) {
                ck_assert_uint_lt(i, TURNS_MAX);
                turn(&honest);
        }
        expect_third_undisturbed();
        turn_both_until(path_of(&liar) != P2PBUS_PATH_RING);
        exchange(100);
        ok(p2pbus_set_ring(liar.bus, liar.other, P2PBUS_RING_ALWAYS));
        exchange(100);
        ck_assert_int_eq(path_of(&honest), P2PBUS_PATH_LOCAL);
        ck_assert_int_eq(path_of(&liar), P2PBUS_PATH_LOCAL);
        ck_assert_uint_eq(daemon_status(d, "ring_violations"), 1);
        ck_assert_uint_eq(daemon_status(d, "rings"), 1); /* the third's */
}

static void expect_ring_stays(void) {
        exchange(100);
        ck_assert_int_eq(path_of(&honest), P2PBUS_PATH_RING);
        ck_assert_int_eq(path_of(&liar), P2PBUS_PATH_RING);
        ck_assert_uint_eq(daemon_status(d, "ring_violations"), 0);
}

/* ---- In the file ---- */

static void publish(RingPath *ring, uint64_t produced) {
        ring_store_release(&ring->file.page->producer.produced, produced);
        (void)bell_ring(ring->bell_out);
}

/* Added to where it is: some bytes behind 0. */
static const struct {
        const char *what;
        uint64_t more;
} produced_lies[] = {
        { "more than the ring holds", RING_PATH_SIZE + 8 },
        { "far beyond", UINT64_C(1) << 40 },
        { "no multiple of 8", 4 },
        { "one byte", 1 },
        { "back by one entry", -UINT64_C(8) },
        { "below zero", UINT64_C(1) << 63 },
};

START_TEST(impossible_ends_of_what_was_produced) {
        RingPath *ring;

        exchange(20);
        ring = liar_ring();
        publish(ring, ring->out.position + produced_lies[_i].more);
        expect_violation();
}
END_TEST

START_TEST(what_was_produced_goes_back_to_the_beginning) {
        exchange(20);
        publish(liar_ring(), 0);
        expect_violation();
}
END_TEST

static const struct {
        const char *what;
        uint64_t head;
} head_lies[] = {
        { "nothing in it", 0 },           { "one byte too large", RING_ENTRY_MAX + 1 },
        { "all ones", UINT64_MAX },       { "the sign", UINT64_C(1) << 31 },
        { "more than was produced", 57 }, { "much more than was produced", 60000 },
};

START_TEST(impossible_sizes_of_entries) {
        RingPath *ring = liar_ring();
        uint64_t at = ring->out.position;

        ring_store_relaxed((uint64_t *)(ring->file.data + at % RING_PATH_SIZE), head_lies[_i].head);
        publish(ring, at + 64);
        expect_violation();
}
END_TEST

static const struct {
        const char *what;
        enum { ADD, BACK_TO } how;
        uint64_t value;
} consumed_lies[] = {
        { "more than was published", ADD, UINT64_C(1) << 30 },
        { "no multiple of 8", ADD, 4 },
        { "below zero", ADD, UINT64_C(1) << 63 },
        { "back to zero", BACK_TO, 0 },
};

/* It is looked at when room is wanted. */
START_TEST(impossible_ends_of_what_was_consumed) {
        RingPath *ring;
        uint64_t *consumed;

        /* More than goes in at once: the honest side has looked. */
        for (unsigned i = 0; i < 50; i++)
                turn_both_until(say(&honest, 20000));
        exchange(1);
        ring = liar_ring();
        consumed = &ring->file.page->consumer.consumed;
        ring_store_release(consumed, consumed_lies[_i].how == ADD
                                             ? *consumed + consumed_lies[_i].value
                                             : consumed_lies[_i].value);
        for (unsigned i = 0; path_of(&honest) == P2PBUS_PATH_RING; i++) {
                ck_assert_uint_lt(i, TURNS_MAX);
                (void)say(&honest, 20000);
                turn(&honest);
        }
        expect_violation();
}
END_TEST

/* What the other side waits for is its own business: at worst it is woken for nothing, or not. */
START_TEST(wishes_to_be_woken_may_be_anything) {
        static const uint64_t wishes[] = { 0, 1, UINT64_C(1) << 63, UINT64_MAX };

        for (unsigned i = 0; i < ELEMENTSOF(wishes); i++) {
                struct ring_abi_page *page = liar_ring()->file.page;

                ring_store_relaxed(&page->producer.wake_at, wishes[i]);
                ring_store_relaxed(&page->consumer.wake_at, wishes[i]);
                expect_ring_stays();
        }
}
END_TEST

/* ---- In the records ---- */

static const struct {
        const char *what;
        size_t n;
        uint8_t bytes[80];
} bad_records[] = {
        { "a piece of a header", 3, { RECORD_ACK, 0, 32 } },
        { "size below the header", 24, { RECORD_ACK, 0, 8 } },
        { "size zero", 24, { RECORD_MSG } },
        { "size beyond the entry", 32, { RECORD_MSG, 0, 0xff, 0xff } },
        { "no type", 32, { 0, 0, 32 } },
        { "a message without its head", 24, { RECORD_MSG, 0, 24 } },
        { "somebody else's START", 72, { RECORD_START, 0, 48 + 24 } },
};

START_TEST(malformed_records_are_dropped) {
        p2pbus_counters before = { .struct_size = sizeof(before) }, after = before;

        ok(p2pbus_get_counters(honest.bus, &before));
        ck_assert(ring_path_send(liar_ring(), bad_records[_i].bytes, bad_records[_i].n));
        turn_both_until(p2pbus_get_counters(honest.bus, &after) == 0 &&
                        after.bad_packets > before.bad_packets);
        expect_ring_stays();
}
END_TEST

START_TEST(records_of_unknown_sessions_are_answered_and_change_nothing) {
        static const Record records[] = {
                { .type = RECORD_ACK, .session = 1, .ack = { .limit = UINT64_MAX } },
                { .type = RECORD_PART, .session = 2 },
                { .type = RECORD_CLOSE, .session = 3 },
                { .type = RECORD_RESET, .session = 4 },
                { .type = RECORD_SKIP, .session = 5, .skip = { .last = UINT64_MAX } },
        };
        uint8_t bytes[256];

        for (unsigned i = 0; i < ELEMENTSOF(records); i++) {
                ck_assert_uint_le(record_size(&records[i]), sizeof(bytes));
                record_encode(&records[i], bytes);
                for (unsigned k = 0; k < 50; k++)
                        turn_both_until(
                                ring_path_send(liar_ring(), bytes, record_size(&records[i])));
                expect_ring_stays();
        }
}
END_TEST

typedef struct Scribbler {
        uint8_t *data;
        uint64_t state;
        bool is_over;
} Scribbler;

static void *scribble(void *userdata) {
        Scribbler *s = userdata;

        while (!__atomic_load_n(&s->is_over, __ATOMIC_RELAXED)) {
                uint64_t r = talk_random(&s->state);

                /* Mostly where something is likely to be read just now, and small numbers. */
                __atomic_store_n(s->data + r % (r >> 60 == 0 ? RING_PATH_SIZE : 16384),
                                 (uint8_t)(r >> 32 & (r >> 58 & 1 ? 0xff : 0x07)),
                                 __ATOMIC_RELAXED);
        }
        return NULL;
}

/* Anything may come of it, but no harm. */
static void turn_or_not(p2pbus *bus) {
        p2pbus_message *m;
        uint8_t sum = 0;

        ok(p2pbus_process(bus));
        for (; p2pbus_receive(bus, 0, &m) == 0; p2pbus_message_unref(m))
                for (size_t i = 0; i < p2pbus_message_get_size(m); i++)
                        sum ^= ((const uint8_t *)p2pbus_message_get_payload(m))[i];
        (void)sum;
}

static void scribble_for_a_while(uint64_t seed) {
        RingPath *ring = liar_ring();
        Scribbler s = { .data = ring->file.data, .state = seed };
        pthread_t thread;
        int r;

        ring->n_holds++; /* its memory stays for as long as the other thread writes to it */
        ck_assert_int_eq(pthread_create(&thread, NULL, scribble, &s), 0);
        for (unsigned i = 0; i < 300 && path_of(&honest) == P2PBUS_PATH_RING; i++) {
                for (unsigned k = 0; k < 20; k++) {
                        r = talk_try_send(liar.bus, liar.other, k, 10 * k);
                        ck_assert_msg(r == 0 || r == -EAGAIN, "%d", r);
                }
                ok(p2pbus_process(liar.bus));
                turn_or_not(honest.bus);
                turn_or_not(liar.bus);
        }
        __atomic_store_n(&s.is_over, true, __ATOMIC_RELAXED);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ring->n_holds--;
        if (ring->is_dead)
                rings_bury(liar.bus);
}

START_TEST(records_that_change_while_they_are_read_do_no_harm) {
        unsigned n_rings = 0;

        for (unsigned i = 0; i < 30; i++) {
                /* Nothing of it may be known to the next one, so the liar comes as another one. */
                scribble_for_a_while(i);
                n_rings++;
                p2pbus_unref(liar.bus);
                liar = (Side){ .bus = talk_open(d, 0), .other = liar.other };
                honest.other = p2pbus_get_full(liar.bus);
                honest.n_sent = honest.n_came = 0;
                if (i % 10 == 0)
                        expect_third_undisturbed();
                get_ring();
        }
        ck_assert_uint_eq(n_rings, 30);
}
END_TEST

static void write_pong(void) {
        uint8_t bytes[RECORD_HEADER_SIZE + RECORD_PING_SIZE];

        record_encode(&(Record){ .type = RECORD_PONG }, bytes);
        ck_assert(ring_path_send(liar_ring(), bytes, sizeof(bytes)));
}

START_TEST(a_ring_that_is_never_empty_stops_no_clock) {
        p2pbus *bus = honest.bus;

        ok(p2pbus_set_spin(bus, 0));
        write_pong();
        ok(p2pbus_process(bus)); /* so it is not waited for by its bell */
        write_pong();
        ok(bus_enter(bus));
        ck_assert_ptr_nonnull(bus->rings.awake);
        bus->now_usec = 1; /* no timer is due that early */
        ok(loop_wait(bus, USEC_NEVER));
        ck_assert_uint_gt(bus->now_usec, 1);
        ok(bus_leave(bus, 0));
        expect_ring_stays();
}
END_TEST

/* ---- With what is not said in it ---- */

START_TEST(bells_without_end_end_the_ring) {
        for (unsigned i = 0; path_of(&honest) == P2PBUS_PATH_RING; i++) {
                ck_assert_uint_lt(i, 2000000);
                (void)bell_ring(liar_ring()->bell_out);
                ok(p2pbus_process(honest.bus));
        }
        expect_violation();
}
END_TEST

/* Who does not read is no liar. The other one is told to wait, at once, and what it gives up it
 * gives up in time. */
START_TEST(room_that_is_never_released_stops_the_sender_and_nobody_else) {
        p2pbus_message *m;
        unsigned n_refused = 0;

        while (n_refused < 1000) {
                n_refused += !say(&honest, 5000);
                turn(&honest);
        }
        ck_assert_int_eq(path_of(&honest), P2PBUS_PATH_RING);
        expect_third_undisturbed();
        ok(p2pbus_message_new(&m, "late", 4));
        ck_assert_int_eq(p2pbus_send_wait(honest.bus, honest.other, m, SECOND / 10), -ETIMEDOUT);
        p2pbus_message_unref(m);
        expect_third_undisturbed();
        expect_ring_stays(); /* now it reads */
}
END_TEST

START_TEST(whoever_closes_its_bells_has_left_the_ring) {
        bool in = _i != 1, out = _i != 2;
        RingPath *ring = liar_ring();

        (void)signal(SIGPIPE, SIG_DFL);
        if (in) {
                loop_unwatch_bell(liar.bus, ring->bell_in);
                (void)close(ring->bell_in);
                ring->bell_in = -EBADF;
        }
        if (out) {
                (void)close(ring->bell_out);
                ring->bell_out = -EBADF;
        }
        ok(p2pbus_set_ring(liar.bus, liar.other, P2PBUS_RING_AUTO));
        for (unsigned i = 0; path_of(&honest) == P2PBUS_PATH_RING; i++) {
                ck_assert_uint_lt(i, TURNS_MAX);
                turn(&liar);
                ok(p2pbus_wait(liar.bus, SECOND / 1000)); /* it asks for a bell */
                (void)say(&honest, 100);
                turn(&honest);
        }
        exchange(100);
        ck_assert_uint_eq(daemon_status(d, "ring_violations"), 0);
}
END_TEST

/* ---- When it is made ---- */

/* Both are without one. */
static void give_back(void) {
        ok(p2pbus_set_ring(liar.bus, liar.other, P2PBUS_RING_NEVER));
        turn_both_until(path_of(&honest) != P2PBUS_PATH_RING && path_of(&liar) != P2PBUS_PATH_RING);
        exchange(10);
}

static const struct {
        const char *what;
        struct ring_abi_head head;
} page_lies[] = {
        { "no magic", { 0, RING_ABI_VERSION, 0, RING_PATH_SIZE, 0, { 0 } } },
        { "a later version", { RING_ABI_MAGIC, 2, 0, RING_PATH_SIZE, 0, { 0 } } },
        { "zero that is none", { RING_ABI_MAGIC, RING_ABI_VERSION, 1, RING_PATH_SIZE, 0, { 0 } } },
        { "another size", { RING_ABI_MAGIC, RING_ABI_VERSION, 0, 2 * RING_PATH_SIZE, 0, { 0 } } },
        { "a feature", { RING_ABI_MAGIC, RING_ABI_VERSION, 0, RING_PATH_SIZE, 1, { 0 } } },
};

START_TEST(an_offer_whose_file_is_none_is_declined) {
        give_back();
        ok(p2pbus_set_ring(liar.bus, liar.other, P2PBUS_RING_ALWAYS));
        liar_ring()->file.page->head = page_lies[_i].head;
        turn_both_until(liar.bus->rings.n == 0);
        ck_assert_uint_eq(daemon_status(d, "rings_declined"), 1);
        ok(p2pbus_set_ring(honest.bus, honest.other,
                           P2PBUS_RING_NEVER)); /* its own would be good */
        exchange(100);
        ck_assert_int_eq(path_of(&honest), P2PBUS_PATH_LOCAL);
}
END_TEST

START_TEST(an_answer_whose_file_is_none_ends_the_offer) {
        give_back();
        ok(p2pbus_set_ring(liar.bus, liar.other, P2PBUS_RING_AUTO));
        ok(p2pbus_set_ring(honest.bus, honest.other, P2PBUS_RING_ALWAYS));
        for (unsigned i = 0; liar.bus->rings.n == 0; i++) {
                ck_assert_uint_lt(i, TURNS_MAX);
                ok(p2pbus_wait(honest.bus, SECOND / 1000));
                ok(p2pbus_wait(liar.bus, SECOND / 1000));
        }
        liar_ring()->file.page->head = page_lies[_i].head;
        ok(p2pbus_set_ring(liar.bus, liar.other, P2PBUS_RING_NEVER));
        exchange(100);
        ck_assert_int_eq(path_of(&honest), P2PBUS_PATH_LOCAL);
}
END_TEST

/* A descriptor of a file that is mapped, as its owner might have kept one. */
static int open_mapping(const RingFile *file) {
        const size_t size = RING_ABI_PAGE_SIZE + RING_PATH_SIZE;
        char path[128];

        (void)snprintf(path, sizeof(path), "/proc/self/map_files/%" PRIxPTR "-%" PRIxPTR,
                       (uintptr_t)file->page, (uintptr_t)file->page + size);
        return open(path, O_RDWR | O_CLOEXEC);
}

START_TEST(nobody_takes_the_memory_away) {
        int fd = open_mapping(&liar_ring()->file);

        if (fd < 0) {
                printf("# SKIP the file of a ring: needs root\n");
                return;
        }
        ck_assert_int_lt(ftruncate(fd, 0), 0);
        ck_assert_int_eq(errno, EPERM);
        ck_assert_int_lt(ftruncate(fd, 1 << 20), 0);
        ck_assert_int_eq(errno, EPERM);
        ck_assert_int_lt(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 65536), 0);
        ck_assert_int_eq(errno, EPERM);
        ck_assert_ptr_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
        ck_assert_int_eq(errno, EPERM);
        ck_assert_int_lt(pwrite(fd, "x", 1, 0), 0);
        (void)close(fd);
        expect_ring_stays();
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("ring liar");
        TCase *file = tcase_create("file");
        TCase *records = tcase_create("records");
        TCase *bells = tcase_create("bells");
        TCase *making = tcase_create("making");

        tcase_add_checked_fixture(file, start, stop);
        tcase_set_timeout(file, 120);
        tcase_add_loop_test(file, impossible_ends_of_what_was_produced, 0,
                            ELEMENTSOF(produced_lies));
        tcase_add_test(file, what_was_produced_goes_back_to_the_beginning);
        tcase_add_loop_test(file, impossible_sizes_of_entries, 0, ELEMENTSOF(head_lies));
        tcase_add_loop_test(file, impossible_ends_of_what_was_consumed, 0,
                            ELEMENTSOF(consumed_lies));
        tcase_add_test(file, wishes_to_be_woken_may_be_anything);
        suite_add_tcase(suite, file);

        tcase_add_checked_fixture(records, start, stop);
        tcase_set_timeout(records, 120);
        tcase_add_loop_test(records, malformed_records_are_dropped, 0, ELEMENTSOF(bad_records));
        tcase_add_test(records, records_of_unknown_sessions_are_answered_and_change_nothing);
        tcase_add_test(records, records_that_change_while_they_are_read_do_no_harm);
        tcase_add_test(records, a_ring_that_is_never_empty_stops_no_clock);
        suite_add_tcase(suite, records);

        tcase_add_checked_fixture(bells, start, stop);
        tcase_set_timeout(bells, 120);
        tcase_add_test(bells, bells_without_end_end_the_ring);
        tcase_add_test(bells, room_that_is_never_released_stops_the_sender_and_nobody_else);
        tcase_add_loop_test(bells, whoever_closes_its_bells_has_left_the_ring, 0, 3);
        suite_add_tcase(suite, bells);

        tcase_add_checked_fixture(making, start, stop);
        tcase_set_timeout(making, 120);
        tcase_add_loop_test(making, an_offer_whose_file_is_none_is_declined, 0,
                            ELEMENTSOF(page_lies));
        tcase_add_loop_test(making, an_answer_whose_file_is_none_ends_the_offer, 0,
                            ELEMENTSOF(page_lies));
        tcase_add_test(making, nobody_takes_the_memory_away);
        suite_add_tcase(suite, making);
        return suite;
}
