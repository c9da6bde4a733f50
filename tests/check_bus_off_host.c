/* SPDX-License-Identifier: Apache-2.0 */

/* The library across two hosts, whatever the one in the middle does. */

#include "config.h"

#include <stdio.h>

#include "libclient/attachment.h"
#include "libclient/peer.h"
#include "libcore/buf.h"
#include "tests/api.h"
#include "tests/main.h"
#include "tests/two-hosts.h"

START_TEST(a_request_crosses_sealed_by_pid_alone) {
        p2pbus_peer_info info = { .struct_size = sizeof(info) };
        char full[P2PBUS_FULL_SIZE];
        p2pbus_message *m, *reply;
        int remote = 0;
        uint64_t usec;
        Taker taker;

        taker_start(&taker);
        m = numbered(0);
        ok(p2pbus_request(a, p2pbus_get_pid(b), m, 0, &reply));
        ck_assert_uint_eq(p2pbus_message_get_size(reply), p2pbus_message_get_size(m));
        ck_assert_str_eq(p2pbus_message_get_from(reply), p2pbus_get_full(b));
        ck_assert_int_eq(p2pbus_message_is_remote(reply), 1);
        p2pbus_message_unref(m);
        p2pbus_message_unref(reply);

        ok(p2pbus_resolve(a, p2pbus_get_pid(b), 0, full, &remote));
        ck_assert_str_eq(full, p2pbus_get_full(b));
        ck_assert_int_eq(remote, 1);
        ok(p2pbus_ping(a, full, 0, &usec, NULL, &remote));
        ck_assert_int_eq(remote, 1);
        ok(p2pbus_get_peer(a, full, &info));
        ck_assert_int_eq(info.path, P2PBUS_PATH_OFF_HOST);
        ck_assert_str_eq(info.full, full);
        ck_assert_uint_gt(middle.n_sealed, 0);
        taker_stop(&taker);
}
END_TEST

START_TEST(a_large_message_crosses) {
        const size_t size = 1 << 20;
        uint8_t *bytes = malloc(size);
        p2pbus_message *m, *reply;
        Taker taker;

        for (size_t i = 0; i < size; i++)
                bytes[i] = (uint8_t)(i * 2654435761U >> 24);
        taker_start(&taker);
        ok(p2pbus_message_new_take(&m, bytes, size));
        ok(p2pbus_request(a, p2pbus_get_full(b), m, 2 * PATIENCE, &reply));
        ck_assert_uint_eq(p2pbus_message_get_size(reply), size);
        ck_assert_int_eq(memcmp(p2pbus_message_get_payload(reply), bytes, size), 0);
        p2pbus_message_unref(m);
        p2pbus_message_unref(reply);
        taker_stop(&taker);
}
END_TEST

/* PROTOCOL.md, "Sealing": what comes is read alike, padded or not. */
START_TEST(who_asks_for_it_has_sizes_rounded_up) {
        Taker taker;

        p2pbus_unref(a);
        a = open_at(0, P2PBUS_OFF_HOST | P2PBUS_PAD);
        ok(p2pbus_wait_reachable(a, PATIENCE));
        taker_start(&taker);
        for (unsigned size = 64; size < 200000; size += size / 3 + 1) {
                p2pbus_message *m, *reply;
                uint8_t *bytes = malloc(size);

                memset(bytes, '0' + size % 10, size);
                ok(p2pbus_message_new(&m, bytes, size));
                ok(p2pbus_request(a, p2pbus_get_full(b), m, PATIENCE, &reply));
                ck_assert_uint_eq(p2pbus_message_get_size(reply), size);
                ck_assert_mem_eq(p2pbus_message_get_payload(reply), bytes, size);
                p2pbus_message_unref(m);
                p2pbus_message_unref(reply);
                free(bytes);
        }
        ck_assert_uint_gt(count_of(SEALED_DATA), 50);
        ck_assert_uint_eq(__atomic_load_n(&middle.n_uneven[1], __ATOMIC_RELAXED), 0);
        ck_assert_uint_gt(__atomic_load_n(&middle.n_uneven[0], __ATOMIC_RELAXED), 0);
        ck_assert_uint_eq(counters_of(b).bad_packets, 0);
        taker_stop(&taker);
}
END_TEST

static const struct {
        const char *what;
        Mischief mischief;
        unsigned n;
} mischiefs[] = {
        { "nothing", MISCHIEF_NONE, 5000 },
        { "losing", MISCHIEF_LOSE, 40 },
        { "shuffling", MISCHIEF_SHUFFLE, 500 },
        { "falsifying", MISCHIEF_FALSIFY, 20 },
};

START_TEST(whatever_the_middle_does_each_arrives_once_in_order) {
        Taker taker;

        taker_start(&taker);
        set_mischief(mischiefs[_i].mischief);
        send_numbers(0, mischiefs[_i].n);
        ok(p2pbus_flush(a, 2 * PATIENCE));
        ck_assert_uint_eq(counters_of(a).delivered, mischiefs[_i].n);
        set_mischief(MISCHIEF_NONE);
        taker_stop(&taker);
        ck_assert_msg(taker.n == mischiefs[_i].n, "%s: %u", mischiefs[_i].what, taker.n);
}
END_TEST

START_TEST(a_link_that_dies_is_no_reason_to_wait) {
        Taker taker;

        taker_start(&taker);
        send_numbers(0, 1);
        ok(p2pbus_flush(a, PATIENCE));
        set_mischief(MISCHIEF_SWALLOW);
        send_numbers(1, 10);
        set_mischief(MISCHIEF_NONE);
        __atomic_store_n(&middle.generation, 1, __ATOMIC_RELEASE);
        ck_assert_int_eq(write(middle.stop[1], "p", 1), 1);
        ok(p2pbus_flush(a, PATIENCE));
        taker_stop_after(&taker, 11);
}
END_TEST

START_TEST(keys_are_made_with_the_first_packets_and_serve_all_others) {
        unsigned n_open, n_one, n_accept, n_data;
        Taker taker;

        taker_start(&taker);
        ask(0, 3);
        n_open = count_of(SEALED_OPEN);
        n_one = count_of(SEALED_ONE);
        n_accept = count_of(SEALED_ACCEPT);
        n_data = count_of(SEALED_DATA);
        ck_assert_uint_eq(n_open, 1);
        ck_assert_uint_eq(n_accept, 1);
        ask(3, 50);
        ck_assert_uint_eq(count_of(SEALED_OPEN), n_open);
        ck_assert_uint_eq(count_of(SEALED_ONE), n_one);
        ck_assert_uint_eq(count_of(SEALED_ACCEPT), n_accept);
        ck_assert_uint_ge(count_of(SEALED_DATA), n_data + 100);
        ck_assert_uint_eq(count_of(SEALED_NACK), 0);
        taker_stop_after(&taker, 53);
}
END_TEST

/* T65 */
START_TEST(what_is_said_again_is_not_delivered_again) {
        unsigned n_remembered;
        Taker taker;

        taker_start(&taker);
        set_mischief(MISCHIEF_REMEMBER);
        ask(0, 20);
        set_mischief(MISCHIEF_NONE);
        n_remembered = middle.n_remembered;
        ck_assert_uint_gt(n_remembered, 40);
        tell_middle('r');
        ask(20, 1); /* behind all of them */
        ck_assert_uint_gt(counters_of(b).bad_packets, 19);
        ck_assert_uint_eq(count_of(SEALED_NACK), 0);
        taker_stop_after(&taker, 21);
}
END_TEST

/* More than are tried in a second: true ones are dropped with them, and come again. */
START_TEST(false_data_takes_time_and_nothing_else) {
        Taker taker;
        unsigned n_open = taker_meet(&taker);

        tell_middle('f');
        ask(5, 5);
        ck_assert_uint_ge(counters_of(b).bad_packets, 3000);
        ck_assert_uint_eq(count_of(SEALED_OPEN), n_open);
        ck_assert_uint_eq(count_of(SEALED_NACK), 0);
        taker_stop_after(&taker, 10);
}
END_TEST

static const struct {
        const char *what;
        Mischief mischief;
        unsigned n;
} wears[] = {
        { "nothing", MISCHIEF_NONE, 1000 },
        { "losing", MISCHIEF_LOSE, 40 },
        { "shuffling", MISCHIEF_SHUFFLE, 300 },
};

/* What all strangers share, one of them does not use up. */
START_TEST(a_stranger_that_floods_leaves_room_for_others) {
        Taker taker;

        taker_start(&taker);
        ask(0, 1);
        tell_middle('s');
        ask(1, 5);
        ck_assert_uint_ge(counters_of(b).bad_packets, 3000);
        pthread_mutex_lock(&b->lock);
        ck_assert_uint_ge(b->open_budget.left, 500);
        ck_assert_uint_ge(b->nack_budget.left, 100);
        pthread_mutex_unlock(&b->lock);
        taker_stop_after(&taker, 6);
}
END_TEST

/* T71 */
START_TEST(keys_are_changed_under_load_and_nothing_is_lost) {
        Taker taker;

        wear_out(a, 10);
        wear_out(b, 10);
        taker_start(&taker);
        set_mischief(wears[_i].mischief);
        send_numbers(0, wears[_i].n);
        ok(p2pbus_flush(a, 2 * PATIENCE));
        set_mischief(MISCHIEF_NONE);
        ask(wears[_i].n, 200);
        ck_assert_uint_gt(count_of(SEALED_OPEN), 10);
        ck_assert_uint_gt(count_of(SEALED_ACCEPT), 10);
        ck_assert_uint_gt(count_of(SEALED_DATA), 100);
        taker_stop(&taker);
        ck_assert_msg(taker.n == wears[_i].n + 200, "%s: %u", wears[_i].what, taker.n);
}
END_TEST

/* The same as a daemon that wants a lease, so much later. Return: whether it is for a new key. */
static bool renew_lease(p2pbus *bus, uint64_t later_usec) {
        uint8_t body[48], before[CRYPTO_DH_SIZE];
        Control control = { .verb = CONTROL_LEASE_REQUEST, .body = body, .n_body = sizeof(body) };
        BufWriter w = buf_writer(body, sizeof(body));

        memcpy(before, sealer_encpk(bus->sealer), sizeof(before));
        bus->wall_offset += later_usec;
        buf_put_bytes(&w, identity_public(middle.ends[bus == b].key)->bytes, KEY_SIZE);
        buf_put_le64(&w, bus_wall(bus));
        buf_put_le64(&w, bus_wall(bus) + 60 * SECOND);
        attachment_on_lease_request(bus, &control);
        bus->wall_offset -= later_usec;
        return memcmp(sealer_encpk(bus->sealer), before, sizeof(before)) != 0;
}

static void change_key(p2pbus *bus) {
        pthread_mutex_lock(&bus->lock);
        bus->sealing.key_life_usec = 0;
        ck_assert(renew_lease(bus, 0));
        pthread_mutex_unlock(&bus->lock);
        ok(p2pbus_process(bus));
}

START_TEST(what_others_seal_for_changes_as_often_as_was_asked_for) {
        p2pbus_options options = { .struct_size = sizeof(options),
                                   .socket_path = middle.ends[0].d.socket,
                                   .flags = P2PBUS_OFF_HOST,
                                   .key_life_usec = 3600 * SECOND };
        p2pbus *often;

        ok(p2pbus_open(&often, &options));
        ok(p2pbus_wait_reachable(often, PATIENCE));
        ck_assert(!renew_lease(often, 3590 * SECOND));
        ck_assert(renew_lease(often, 3610 * SECOND));
        p2pbus_unref(often);

        ck_assert(!renew_lease(a, 7 * 86400 * SECOND - 10 * SECOND));
        ck_assert(renew_lease(a, 7 * 86400 * SECOND + 10 * SECOND));
}
END_TEST

/* T70 */
START_TEST(what_others_seal_for_changes_under_load_and_nothing_is_lost) {
        Taker taker;

        wear_out(a, 10);
        wear_out(b, 10);
        taker_start(&taker);
        for (unsigned i = 0; i < 4; i++) {
                ask(i * 60, 20);
                send_numbers(i * 60 + 20, 20);
                change_key(i % 2 == 0 ? b : a);
                ask(i * 60 + 40, 20);
        }
        ok(p2pbus_flush(a, PATIENCE));
        taker_stop_after(&taker, 240);
}
END_TEST

START_TEST(a_lease_that_has_ended_stops_nothing) {
        unsigned n_open, n_resolved = count_resolved();
        Address address = { 0 };
        Taker taker;
        Peer *peer;

        wear_out(a, 50);
        taker_start(&taker);
        ask(0, 10);
        n_open = count_of(SEALED_OPEN);
        pthread_mutex_lock(&a->lock);
        address.pid = b->self.address.pid;
        peer = peer_find(a, address, NULL);
        ck_assert_ptr_nonnull(peer);
        peer->lease.issued_usec = peer->lease.lease.enc_until_usec = 1;
        pthread_mutex_unlock(&a->lock);
        ask(10, 100);
        ck_assert_uint_gt(count_of(SEALED_OPEN), n_open);
        ck_assert_uint_le(count_of(SEALED_ONE), 4); /* only while the keys were made */
        ck_assert_uint_le(count_resolved(), n_resolved + 2);
        taker_stop_after(&taker, 110);
}
END_TEST

/* As send_numbers(), for a b that may die meanwhile. */
static void send_idempotent(unsigned first, unsigned n) {
        for (unsigned i = first; i < first + n; i++) {
                p2pbus_message *m = numbered(i);

                ok(p2pbus_message_set_idempotent(m, 1));
                ok(p2pbus_send(a, p2pbus_get_full(b), m, 2 * PATIENCE, NULL));
                ok(p2pbus_process(a));
                p2pbus_message_unref(m);
        }
}

/* T67: of what its last life had not taken, nothing is lost; what it had comes no more. */
START_TEST(a_receiver_that_is_restarted_gets_what_the_last_one_did_not) {
        p2pbus_counters counters;
        unsigned n_open;
        Taker taker;

        wear_out(a, UINT64_MAX);
        keep_key_of_b();
        taker_start(&taker);
        send_idempotent(0, 10);
        ok(p2pbus_flush(a, PATIENCE));
        ask(10, 5);
        n_open = count_of(SEALED_OPEN);
        ck_assert_uint_eq(count_of(SEALED_NACK), 0);

        set_mischief(MISCHIEF_SWALLOW);
        send_idempotent(15, 10);
        taker_stop_after(&taker, 15);
        p2pbus_unref(b);
        tell_middle('p'); /* all that b has said is gone */
        b = open_as(1, P2PBUS_OFF_HOST, key_of_b);
        ok(p2pbus_wait_reachable(b, PATIENCE));
        set_mischief(MISCHIEF_NONE);
        ck_assert_int_eq(pthread_create(&taker.thread, NULL, take_in_order, &taker), 0);
        send_idempotent(25, 10);
        ok(p2pbus_flush(a, 2 * PATIENCE));
        ck_assert_uint_ge(count_of(SEALED_NACK), 1);
        ck_assert_uint_gt(count_of(SEALED_OPEN), n_open);
        counters = counters_of(a);
        ck_assert_uint_eq(counters.delivered, counters.sent);
        taker_stop_after(&taker, 35);
}
END_TEST

/* b's bus is another one from now on, as it is for a container that goes to another host. */
static void b_moves_to(unsigned i) {
        ok(bus_enter(b));
        (void)snprintf(b->path, sizeof(b->path), "%s", middle.ends[i].d.socket);
        attachment_lost(b, P2PBUS_REASON_LOST);
        ok(bus_leave(b, 0));
}

/* Goes on asking until a talks with b by @path. Return: the next number. */
static unsigned ask_until(unsigned n, int path) {
        p2pbus_peer_info info = { .struct_size = sizeof(info) };

        do {
                ask(n, 50);
                n += 50;
                ok(p2pbus_get_peer(a, p2pbus_get_full(b), &info));
        } while (info.path != path);
        return n;
}

/* The same two processes, on two hosts, on one, and on two again; streams are under way all along. */
START_TEST(who_comes_to_this_host_and_leaves_loses_nothing) {
        p2pbus_counters counters;
        unsigned n;
        Taker taker;

        taker_start(&taker);
        taker.moves = true;
        n = ask_until(0, P2PBUS_PATH_OFF_HOST);
        for (unsigned i = 0; i < 3; i++) {
                send_numbers(n, 300);
                b_moves_to(0);
                send_numbers(n + 300, 300);
                n = ask_until(n + 600, P2PBUS_PATH_RING);
                send_numbers(n, 300);
                b_moves_to(1);
                send_numbers(n + 300, 300);
                n = ask_until(n + 600, P2PBUS_PATH_OFF_HOST);
        }
        ok(p2pbus_flush(a, PATIENCE));
        counters = counters_of(a);
        ck_assert_uint_eq(counters.delivered, counters.sent);
        taker_stop_after(&taker, n);
}
END_TEST

/* Packets of b that come late, to the host where b is now, are no false ones of the gateway's. */
START_TEST(what_comes_late_of_somebody_who_is_here_now_ends_nothing) {
        p2pbus_counters counters;
        Taker taker;

        taker_start(&taker);
        taker.moves = true;
        set_mischief(MISCHIEF_REMEMBER);
        ask(0, 20);
        set_mischief(MISCHIEF_NONE);
        b_moves_to(0);
        ask(20, 1);
        send_numbers(21, 20); /* not so many that they get a ring */
        tell_middle('r');
        send_numbers(41, 10);
        ok(p2pbus_flush(a, PATIENCE));
        counters = counters_of(a);
        ck_assert_uint_eq(counters.delivered, counters.sent);
        taker_stop_after(&taker, 51);
}
END_TEST

START_TEST(nobody_anywhere_is_said_at_once) {
        p2pbus_message *m = numbered(0);

        ck_assert_int_eq(p2pbus_send_wait(a, STRANGER, m, PATIENCE), -EHOSTUNREACH);
        ck_assert_int_eq(p2pbus_get_reason(), P2PBUS_REASON_NOT_HERE);
        p2pbus_message_unref(m);
}
END_TEST

START_TEST(who_cannot_be_sealed_for_is_said_to_be_so) {
        p2pbus_message *m = numbered(0);

        __atomic_store_n(&middle.spoils, true, __ATOMIC_RELAXED);
        ck_assert_int_eq(p2pbus_send_wait(a, p2pbus_get_full(b), m, PATIENCE), -EHOSTUNREACH);
        ck_assert_int_eq(p2pbus_get_reason(), P2PBUS_REASON_WRONG_KEY);
        ck_assert_uint_eq(__atomic_load_n(&middle.n_sealed, __ATOMIC_RELAXED), 0);
        p2pbus_message_unref(m);
}
END_TEST

START_TEST(without_off_host_nothing_leaves) {
        p2pbus *local = open_at(0, 0);
        p2pbus_message *m = numbered(0);
        unsigned n = __atomic_load_n(&middle.n_sealed, __ATOMIC_RELAXED);
        char full[P2PBUS_FULL_SIZE];

        ck_assert_int_lt(p2pbus_send_wait(local, p2pbus_get_full(b), m, PATIENCE), 0);
        ck_assert_int_lt(p2pbus_resolve(local, p2pbus_get_full(b), PATIENCE, full, NULL), 0);
        ck_assert_int_eq(p2pbus_wait_reachable(local, PATIENCE), -ENETUNREACH);
        ck_assert_uint_eq(__atomic_load_n(&middle.n_sealed, __ATOMIC_RELAXED), n);
        p2pbus_message_unref(m);
        p2pbus_unref(local);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("bus off-host");
        TCase *tcase = tcase_create("two hosts");

        tcase_add_checked_fixture(tcase, two_hosts_start, two_hosts_stop);
        tcase_add_test(tcase, a_request_crosses_sealed_by_pid_alone);
        tcase_add_test(tcase, a_large_message_crosses);
        tcase_add_test(tcase, who_asks_for_it_has_sizes_rounded_up);
        tcase_add_loop_test(tcase, whatever_the_middle_does_each_arrives_once_in_order, 0,
                            ELEMENTSOF(mischiefs));
        tcase_add_test(tcase, a_link_that_dies_is_no_reason_to_wait);
        tcase_add_test(tcase, keys_are_made_with_the_first_packets_and_serve_all_others);
        tcase_add_test(tcase, what_is_said_again_is_not_delivered_again);
        tcase_add_test(tcase, false_data_takes_time_and_nothing_else);
        tcase_add_test(tcase, a_stranger_that_floods_leaves_room_for_others);
        tcase_add_loop_test(tcase, keys_are_changed_under_load_and_nothing_is_lost, 0,
                            ELEMENTSOF(wears));
        tcase_add_test(tcase, what_others_seal_for_changes_as_often_as_was_asked_for);
        tcase_add_test(tcase, what_others_seal_for_changes_under_load_and_nothing_is_lost);
        tcase_add_test(tcase, a_lease_that_has_ended_stops_nothing);
        tcase_add_test(tcase, a_receiver_that_is_restarted_gets_what_the_last_one_did_not);
        tcase_add_test(tcase, who_comes_to_this_host_and_leaves_loses_nothing);
        tcase_add_test(tcase, what_comes_late_of_somebody_who_is_here_now_ends_nothing);
        tcase_add_test(tcase, nobody_anywhere_is_said_at_once);
        tcase_add_test(tcase, who_cannot_be_sealed_for_is_said_to_be_so);
        tcase_add_test(tcase, without_off_host_nothing_leaves);
        suite_add_tcase(suite, tcase);
        return suite;
}
