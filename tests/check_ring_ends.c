/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How the library's rings end: a process is killed, the daemon is, or no longer allows them. Whoever
 * is left hears of it, has all that was committed, keeps nothing, and talks on. Kills at any point,
 * again and again, are check_ring_kills.c's.
 */

#include "config.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/main.h"
#include "tests/partner.h"

#define TURNS_MAX 100000
#define TURN_USEC (SECOND / 100)
#define N_COMMITTED 300 /* several times what is read in one turn, less than the first credit */

static Daemon daemon_of_test;
static Daemon *const d = &daemon_of_test;
static const PartnerOptions echo = { .daemon = &daemon_of_test, .run = partner_echo };
static char key_file[128];

static void start(void) {
        char full[P2PBUS_FULL_SIZE];

        ck_assert_int_eq(unsetenv("P2PBUS_KEY"), 0);
        daemon_start(d, "--user", NULL);
        (void)snprintf(key_file, sizeof(key_file), "%s/key", d->folder);
        ok(p2pbus_key_generate(key_file, full));
}

static void stop(void) {
        daemon_stop(d);
}

/* Turns of @bus until @condition; each is short, so that nobody has to wait for anybody. */
#define turn_until(bus, condition)                                                                 \
        for (unsigned n_turns = 0; !(condition); n_turns++) {                                      \
                partner_claim(n_turns < TURNS_MAX, "it never comes to that");                      \
                ok(p2pbus_wait(bus, TURN_USEC));                                                   \
        }

static void reload(const char *config) {
        Client c;

        daemon_configure(d, config);
        client_open(&c, d, 0);
        client_say(&c, &(Control){ .verb = CONTROL_RELOAD });
        expect_word(&c, CONTROL_OK);
        client_close(&c);
}

/*
 * A process with this key is there again. What is said to it before we know is said to the life
 * before, and nobody knows whether that one heard it.
 */
static void ask_again(p2pbus *bus, const char *dest) {
        p2pbus_message *question, *reply;
        int r;

        for (unsigned i = 0;; i++) {
                ok(p2pbus_message_new(&question, "0", 1));
                r = p2pbus_request(bus, dest, question, PATIENCE, &reply);
                p2pbus_message_unref(question);
                if (r == 0)
                        break;
                ck_assert_msg((r == -ECONNRESET || r == -EHOSTUNREACH) && i < 10, "%d", r);
        }
        p2pbus_message_unref(reply);
}

/* ---- One of the two is killed ---- */

/*
 * Takes numbers, which grow, says the first one to its parent, and kills itself when it has taken as
 * many as it was told; 0: at the one that says so, UINT64_MAX.
 */
static void take(p2pbus *bus, Partner *self) {
        uint64_t n = partner_hear(self), number = talk_receive(bus), last = number;

        partner_tell(self, number);
        for (uint64_t i = 1; i != n; i++) {
                number = talk_receive(bus);
                if (number == UINT64_MAX)
                        break;
                partner_claim(number > last, "%" PRIu64 " after %" PRIu64, number, last);
                last = number;
        }
        if (n != 0)
                (void)raise(SIGKILL);
        partner_tell(self, last);
}

START_TEST(a_receiver_that_is_killed_in_mid_stream_comes_back_and_goes_on) {
        const PartnerOptions options = { .daemon = d, .run = take, .key_file = key_file };
        const uint64_t n_taken = 20000;
        p2pbus_counters counters = { .struct_size = sizeof(counters) };
        p2pbus *bus = talk_open(d, 0);
        unsigned n_fds;
        uint64_t n = 0, number, again;
        Partner p;
        int r;

        partner_start(&p, &options);
        partner_tell(&p, n_taken);
        ok(talk_send(bus, p.full, n++, 100));
        ok(p2pbus_flush(bus, PATIENCE));
        n_fds = talk_count_fds(0);
        ok(p2pbus_set_ring(bus, p.full, P2PBUS_RING_ALWAYS));
        while (talk_path(bus, p.full) != P2PBUS_PATH_RING)
                ok(talk_send(bus, p.full, n++, 100));
        ck_assert_uint_lt(n, n_taken);

        /* It takes no more: no call blocks, and the end of the ring is how it is heard of. */
        while (talk_path(bus, p.full) == P2PBUS_PATH_RING) {
                r = talk_try_send(bus, p.full, n, n % 500);
                ck_assert_msg(r == 0 || r == -EAGAIN, "%d", r);
                n += r == 0;
                if (r == -EAGAIN)
                        ok(p2pbus_wait(bus, TURN_USEC));
                ck_assert_uint_lt(n, 100 * n_taken);
        }
        ck_assert_uint_eq(partner_hear(&p), 0);
        partner_bury(&p);
        ck_assert_uint_gt(n, n_taken);
        turn_until(bus, talk_count_maps(0) == 0);        /* it may have offered another one */
        ck_assert_uint_eq(talk_count_fds(0), n_fds - 2); /* the partner's pipes */
        talk_until_rings(d, 0);

        /* What was under way is reported, not said twice; what had not begun goes to the new life. */
        partner_start(&p, &options);
        partner_tell(&p, 0);
        ok(talk_send(bus, p.full, n++, 100));
        ok(talk_send(bus, p.full, UINT64_MAX, 100));
        turn_until(bus, partner_hear_now(&p, &number));
        ck_assert_uint_ge(number, n_taken);
        turn_until(bus, partner_hear_now(&p, &again));
        ck_assert_uint_eq(again, n - 1);
        (void)p2pbus_flush(bus, PATIENCE); /* says what failed, which is told below */
        ok(p2pbus_get_counters(bus, &counters));
        ck_assert_uint_eq(counters.queued, 0);
        ck_assert_uint_eq(counters.delivered + counters.unknown, n + 1);
        ck_assert_uint_le(counters.unknown, number);
        partner_stop(&p);
        p2pbus_unref(bus);
}
END_TEST

START_TEST(whoever_comes_back_gets_a_ring_again) {
        PartnerOptions options = echo;
        p2pbus *bus = talk_open(d, 0);
        Partner p;

        options.key_file = key_file;
        for (unsigned i = 0; i < 20; i++) {
                partner_start(&p, &options);
                ask_again(bus, p.full);
                talk_get_ring(bus, p.full);
                ck_assert_uint_eq(daemon_status(d, "rings"), 1);
                for (unsigned k = 0; k < 10; k++)
                        ok(talk_send(bus, p.full, k, 1000));
                ck_assert_uint_eq(talk_ask(bus, p.full, "count"), 10);
                partner_kill(&p);
        }
        turn_until(bus, talk_path(bus, p.full) != P2PBUS_PATH_RING);
        turn_until(bus, talk_count_maps(0) == 0);
        p2pbus_unref(bus);
        talk_until_rings(d, 0);
}
END_TEST

static void commit_one(p2pbus *bus, const char *dest, uint64_t number) {
        p2pbus_message *m;
        uint64_t *data;

        ok(p2pbus_reserve(bus, dest, 2 * sizeof(*data), &m, (void **)&data));
        data[0] = data[1] = number; /* the checksum of nothing is the number */
        ok(p2pbus_commit(bus, m, 2 * sizeof(*data), 0, NULL));
        p2pbus_message_unref(m);
}

/* Numbers to whoever it hears from, all in the ring; told how many, and how, it ends at once. */
static void commit_and_die(p2pbus *bus, Partner *self) {
        char to[P2PBUS_FULL_SIZE];
        p2pbus_message *m;
        uint64_t n, is_composed;

        ok(p2pbus_receive(bus, PATIENCE, &m));
        strcpy(to, p2pbus_message_get_from(m));
        p2pbus_message_unref(m);
        ok(p2pbus_set_ring(bus, to, P2PBUS_RING_ALWAYS));
        turn_until(bus, talk_path(bus, to) == P2PBUS_PATH_RING);
        partner_tell(self, 0);
        n = partner_hear(self);
        is_composed = partner_hear(self);
        for (uint64_t i = 0; i < n; i++)
                if (is_composed)
                        commit_one(bus, to, i);
                else
                        ok(talk_try_send(bus, to, i, 1 + i % 100));
        if (!is_composed) /* else each was published as it was committed */
                ok(p2pbus_hand_over(bus, PATIENCE));
        (void)raise(SIGKILL);
}

START_TEST(what_was_committed_before_a_kill_is_read) {
        const PartnerOptions options = { .daemon = d, .run = commit_and_die };
        p2pbus *bus = talk_open(d, 0);
        unsigned n_fds = talk_count_fds(0);
        uint64_t said;
        Partner p;

        partner_start(&p, &options);
        ok(talk_send(bus, p.full, 0, 0));
        turn_until(bus, partner_hear_now(&p, &said) && talk_path(bus, p.full) == P2PBUS_PATH_RING);
        partner_tell(&p, N_COMMITTED);
        partner_tell(&p, (uint64_t)_i);
        partner_bury(&p); /* it is dead before anything of it is read */
        for (uint64_t i = 0; i < N_COMMITTED; i++)
                ck_assert_uint_eq(talk_receive(bus), i);
        turn_until(bus, talk_path(bus, p.full) != P2PBUS_PATH_RING);
        ck_assert_uint_eq(talk_count_fds(0), n_fds);
        ck_assert_uint_eq(talk_count_maps(0), 0);
        talk_until_rings(d, 0);
        p2pbus_unref(bus);
}
END_TEST

static void die_when_told(p2pbus *bus, Partner *self) {
        uint64_t said;

        turn_until(bus, partner_hear_now(self, &said));
        (void)raise(SIGKILL);
}

/* A call that waits for its answer: it hears in time that none will come. */
START_TEST(who_waits_for_a_process_that_is_killed_waits_no_longer_than_it_said) {
        const PartnerOptions options = { .daemon = d, .run = die_when_told };
        p2pbus *bus = talk_open(d, 0);
        p2pbus_message *question, *reply = NULL;
        Partner p;
        int r;

        partner_start(&p, &options);
        ok(p2pbus_message_new(&question, "?", 1));
        ok(talk_send(bus, p.full, 0, 0));
        ok(p2pbus_set_ring(bus, p.full, P2PBUS_RING_ALWAYS));
        turn_until(bus, talk_path(bus, p.full) == P2PBUS_PATH_RING);
        partner_tell(&p, 0);
        r = p2pbus_request(bus, p.full, question, SECOND, &reply);
        ck_assert_msg(r == -ETIMEDOUT || r == -ECONNRESET || r == -EHOSTUNREACH, "%d", r);
        ck_assert_ptr_null(reply);
        ck_assert_int_ne(talk_path(bus, p.full), P2PBUS_PATH_RING);
        partner_bury(&p);
        p2pbus_message_unref(question);
        p2pbus_unref(bus);
        talk_until_rings(d, 0);
}
END_TEST

START_TEST(the_end_of_a_forked_child_is_not_ours) {
        p2pbus *bus = talk_open(d, 0);
        uint64_t made;
        Partner p;
        pid_t child;
        int status;

        partner_start(&p, &echo);
        talk_get_ring(bus, p.full);
        made = daemon_status(d, "rings_made");
        for (unsigned i = 0; i < 10; i++) {
                child = test_fork();
                if (child == 0) {
                        if (i % 2 == 0)
                                (void)raise(SIGKILL);
                        p2pbus_unref(bus);
                        _exit(0);
                }
                ck_assert_int_eq(waitpid(child, &status, 0), child);
                (void)talk_ask(bus, p.full, "0");
                ck_assert_int_eq(talk_path(bus, p.full), P2PBUS_PATH_RING);
                ck_assert_uint_eq(talk_ask(bus, p.full, "path"), P2PBUS_PATH_RING);
        }
        ck_assert_uint_eq(daemon_status(d, "rings_made"), made);
        ck_assert_uint_eq(daemon_status(d, "rings"), 1);
        partner_stop(&p);
        p2pbus_unref(bus);
}
END_TEST

/* ---- The daemon ---- */

static void kill_daemon(void) {
        int status;

        ck_assert_int_eq(kill(d->os_pid, SIGKILL), 0);
        ck_assert_int_eq(waitpid(d->os_pid, &status, 0), d->os_pid);
}

START_TEST(a_ring_outlives_a_daemon_that_is_killed) {
        p2pbus *bus = talk_open(d, P2PBUS_RESULTS), *stranger;
        p2pbus_counters counters = { .struct_size = sizeof(counters) };
        p2pbus_message *result, *m;
        char pid[P2PBUS_PID_SIZE];
        uint64_t n = 0;
        Partner p;

        partner_start(&p, &echo);
        strcpy(pid, p2pbus_get_pid(bus));
        ok(p2pbus_own_name(bus, "test.survivor", PATIENCE));
        talk_get_ring(bus, p.full);
        for (unsigned life = 1; life <= 3; life++) {
                ok(talk_send(bus, p.full, n++, 1000));
                kill_daemon();
                for (unsigned i = 0; i < 500; i++)
                        ok(talk_send(bus, p.full, n++, i));
                turn_until(bus, !(p2pbus_get_state(bus, NULL) & P2PBUS_STATE_ATTACHED));
                for (unsigned i = 0; i < 500; i++) {
                        ok(talk_send(bus, p.full, n++, i));
                        (void)talk_ask(bus, p.full, "0");
                }
                ck_assert_uint_eq(talk_ask(bus, p.full, "count"), n);
                ck_assert_uint_eq(talk_ask(bus, p.full, "path"), P2PBUS_PATH_RING);

                daemon_restart(d, "--user");
                turn_until(bus, p2pbus_get_state(bus, NULL) & P2PBUS_STATE_ATTACHED);
                turn_until(bus, daemon_status(d, "rings") == 1);
                ck_assert_int_eq(talk_path(bus, p.full), P2PBUS_PATH_RING);
                ck_assert_uint_eq(talk_ask(bus, p.full, "path"), P2PBUS_PATH_RING);
                ck_assert_str_eq(p2pbus_get_pid(bus), pid);
                ok(p2pbus_get_counters(bus, &counters));
                ck_assert_uint_eq(counters.attaches, life + 1);

                /* The name is there again as well. */
                stranger = talk_open(d, 0);
                ok(talk_send(stranger, "test.survivor", life, 10));
                turn_until(bus, p2pbus_process(stranger) >= 0 && p2pbus_receive(bus, 0, &m) == 0);
                ck_assert_uint_eq(talk_number(m), life);
                p2pbus_message_unref(m);
                p2pbus_unref(stranger);
        }
        ck_assert_uint_eq(talk_ask(bus, p.full, "count"), n);
        ok(p2pbus_flush(bus, PATIENCE));
        for (; p2pbus_next_result(bus, &result) == 0; p2pbus_message_unref(result))
                ck_assert_int_eq(p2pbus_message_get_result(result), 0);
        partner_stop(&p);
        p2pbus_unref(bus);
        talk_until_rings(d, 0);
}
END_TEST

/* Whoever is left alone while the daemon is away hears it by the bell. */
START_TEST(a_kill_while_the_daemon_is_away_is_noticed) {
        p2pbus *bus = talk_open(d, 0);
        unsigned n_fds;
        PartnerOptions options = echo;
        Partner p;

        options.key_file = key_file;
        partner_start(&p, &options);
        (void)talk_ask(bus, p.full, "0");
        n_fds = talk_count_fds(0);
        talk_get_ring(bus, p.full);
        kill_daemon();
        turn_until(bus, !(p2pbus_get_state(bus, NULL) & P2PBUS_STATE_ATTACHED));
        partner_kill(&p);
        turn_until(bus, talk_path(bus, p.full) != P2PBUS_PATH_RING);
        ck_assert_uint_eq(talk_count_maps(0), 0);
        daemon_restart(d, "--user");
        turn_until(bus, p2pbus_get_state(bus, NULL) & P2PBUS_STATE_ATTACHED);
        turn_until(bus, talk_count_maps(0) == 0);
        ck_assert_uint_eq(talk_count_fds(0), n_fds - 2);
        ck_assert_uint_eq(daemon_status(d, "rings"), 0);
        partner_start(&p, &options);
        ask_again(bus, p.full);
        talk_get_ring(bus, p.full);
        ck_assert_uint_eq(daemon_status(d, "rings"), 1);
        partner_stop(&p);
        p2pbus_unref(bus);
}
END_TEST

/* One of the two died with the daemon: the other's RING_KEEP is not answered by a second. */
START_TEST(a_ring_whose_other_side_does_not_come_back_is_given_up) {
        p2pbus *bus = talk_open(d, 0);
        PartnerOptions options = echo;
        Partner p, still;

        options.key_file = key_file;
        partner_start(&p, &options);
        partner_start(&still, &echo);
        talk_get_ring(bus, p.full);
        talk_get_ring(bus, still.full);
        kill_daemon();
        partner_kill(&p);
        daemon_restart(d, "--user");
        turn_until(bus, talk_path(bus, p.full) != P2PBUS_PATH_RING);
        turn_until(bus, daemon_status(d, "rings") == 1);
        ck_assert_uint_eq(talk_ask(bus, still.full, "path"), P2PBUS_PATH_RING);
        partner_stop(&still);
        p2pbus_unref(bus);
        talk_until_rings(d, 0);
}
END_TEST

/* ---- Settings ---- */

START_TEST(a_reload_ends_rings_that_are_no_longer_allowed) {
        p2pbus *bus = talk_open(d, P2PBUS_RESULTS);
        p2pbus_message *result;
        unsigned n_fds, n = 0;
        Partner p;

        partner_start(&p, &echo);
        (void)talk_ask(bus, p.full, "0");
        n_fds = talk_count_fds(0);
        talk_get_ring(bus, p.full);
        while (n < 1000)
                ok(talk_send(bus, p.full, n++, 100));
        reload("[Bus]\nRings=no\n");
        while (talk_path(bus, p.full) == P2PBUS_PATH_RING) {
                ok(talk_send(bus, p.full, n++, 100));
                ck_assert_uint_lt(n, TURNS_MAX);
        }
        while (n % 1000 != 0)
                ok(talk_send(bus, p.full, n++, 100));
        ck_assert_uint_eq(talk_ask(bus, p.full, "count"), n);
        for (unsigned i = 0; talk_ask(bus, p.full, "path") != P2PBUS_PATH_LOCAL; i++)
                ck_assert_uint_lt(i, TURNS_MAX);
        ok(p2pbus_flush(bus, PATIENCE));
        while (p2pbus_next_result(bus, &result) == 0) {
                ck_assert_int_eq(p2pbus_message_get_result(result), 0);
                p2pbus_message_unref(result);
        }
        ck_assert_uint_eq(daemon_status(d, "rings"), 0);
        ck_assert_uint_eq(talk_count_fds(0), n_fds);
        ck_assert_uint_eq(talk_count_maps(0), 0);
        ck_assert_uint_eq(talk_count_maps(p.os_pid), 0);

        /* Allowed again, and asked for again, there is one again. */
        reload("");
        talk_get_ring(bus, p.full);
        partner_stop(&p);
        p2pbus_unref(bus);
        talk_until_rings(d, 0);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("ring ends");
        TCase *killed = tcase_create("killed");
        TCase *daemon = tcase_create("daemon");

        tcase_add_checked_fixture(killed, start, stop);
        tcase_set_timeout(killed, 120);
        tcase_add_test(killed, a_receiver_that_is_killed_in_mid_stream_comes_back_and_goes_on);
        tcase_add_test(killed, whoever_comes_back_gets_a_ring_again);
        tcase_add_loop_test(killed, what_was_committed_before_a_kill_is_read, 0, 2);
        tcase_add_test(killed, who_waits_for_a_process_that_is_killed_waits_no_longer_than_it_said);
        tcase_add_test(killed, the_end_of_a_forked_child_is_not_ours);
        suite_add_tcase(suite, killed);

        tcase_add_checked_fixture(daemon, start, stop);
        tcase_set_timeout(daemon, 120);
        tcase_add_test(daemon, a_ring_outlives_a_daemon_that_is_killed);
        tcase_add_test(daemon, a_kill_while_the_daemon_is_away_is_noticed);
        tcase_add_test(daemon, a_ring_whose_other_side_does_not_come_back_is_given_up);
        tcase_add_test(daemon, a_reload_ends_rings_that_are_no_longer_allowed);
        suite_add_tcase(suite, daemon);
        return suite;
}
