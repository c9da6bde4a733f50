/* SPDX-License-Identifier: Apache-2.0 */

/* The table of peers: several may have one PID, as long as their tags differ. */

#include "config.h"

#include "libclient/bus.h"
#include "libclient/peer.h"
#include "tests/api.h"
#include "tests/harness.h"
#include "tests/main.h"

#define N_PIDS 4 /* PID 1 has one peer, PID 2 two, and so on */
#define N_PEERS 10

static Daemon d;
static p2pbus *bus;

static void start(void) {
        daemon_start(&d, "--user", NULL);
        bus = api_open(&d, 0);
        ck_assert_int_eq(bus_enter(bus), 0);
        for (uint32_t tag = 1; tag <= N_PIDS; tag++)
                for (uint64_t pid = tag; pid <= N_PIDS; pid++) {
                        Peer *peer;

                        ck_assert_int_eq(peer_get(bus, (Address){ pid, tag }, NULL, &peer), 0);
                }
}

static void stop(void) {
        peer_free_all(bus);
        ck_assert_int_eq(bus_leave(bus, 0), 0);
        p2pbus_unref(bus);
        daemon_stop(&d);
}

/* Each that is there is met once, and nobody else. */
static void expect_walk(unsigned n_expected) {
        bool is_met[N_PIDS + 1][N_PIDS + 1] = { 0 };
        unsigned n = 0;

        PEER_FOREACH (bus, peer) {
                bool *met = &is_met[peer->address.pid][peer->address.tag];

                ck_assert(!*met);
                *met = true;
                n++;
        }
        ck_assert_uint_eq(n, n_expected);
        ck_assert_uint_eq(bus->n_peers, n_expected);
}

START_TEST(each_peer_is_walked_once_with_those_of_the_same_pid) {
        expect_walk(N_PEERS);
        peer_free_all(bus);
        expect_walk(0);
}
END_TEST

START_TEST(a_walk_is_one_loop) {
        unsigned n = 0, n_second = 0;

        PEER_FOREACH (bus, peer) {
                n++;
                if (peer->address.pid < 2)
                        continue;
                n_second++;
                break; /* others with its PID stand behind it */
        }
        ck_assert_uint_eq(n_second, 1);
        ck_assert_uint_eq(n, 2);
}
END_TEST

/* The peer that stands @nth, whoever it is: also one that others hang behind. */
static void free_nth(unsigned nth) {
        PEER_FOREACH (bus, peer)
                if (nth-- == 0) {
                        peer_free(peer);
                        return;
                }
        ck_abort_msg("no such peer");
}

START_TEST(who_frees_a_peer_leaves_the_walk_and_the_others_stay) {
        for (unsigned n = N_PEERS; n > 0; n--) {
                free_nth((unsigned)_i % n);
                expect_walk(n - 1);
        }
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("peer");
        TCase *walk = tcase_create("walk");

        tcase_add_checked_fixture(walk, start, stop);
        tcase_add_test(walk, each_peer_is_walked_once_with_those_of_the_same_pid);
        tcase_add_test(walk, a_walk_is_one_loop);
        tcase_add_loop_test(walk, who_frees_a_peer_leaves_the_walk_and_the_others_stay, 0, N_PEERS);
        suite_add_tcase(suite, walk);
        return suite;
}
