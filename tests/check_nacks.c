/* SPDX-License-Identifier: Apache-2.0 */

/* What a peer on another host refuses, and what others say that it does. */

#include "config.h"

#include "libclient/peer.h"
#include "tests/api.h"
#include "tests/main.h"
#include "tests/two-hosts.h"

/* T68 */
START_TEST(false_nacks_end_nothing) {
        Taker taker;
        unsigned n_open = taker_meet(&taker);

        tell_middle('n');
        ask(5, 5);
        ck_assert_uint_ge(counters_of(a).bad_packets, 1000);
        ck_assert_uint_eq(count_of(SEALED_OPEN), n_open);
        taker_stop_after(&taker, 10);
}
END_TEST

/* T68: b itself has signed them. */
START_TEST(an_old_nack_ends_nothing_and_one_of_now_an_epoch) {
        Taker taker;
        unsigned n_open = taker_meet(&taker);

        tell_middle('o');
        ask(5, 5);
        ck_assert_uint_eq(counters_of(a).bad_packets, 2);
        ck_assert_uint_eq(count_of(SEALED_OPEN), n_open);
        tell_middle('t');
        ask(10, 5);
        ck_assert_uint_gt(count_of(SEALED_OPEN), n_open);
        taker_stop_after(&taker, 15);
}
END_TEST

/* What a sends is swallowed, until the next tell_middle() at the least. */
static p2pbus_message *send_into_nothing(unsigned n) {
        p2pbus_message *m = NULL;

        set_mischief(MISCHIEF_SWALLOW);
        for (unsigned i = 0; i < n; i++) {
                p2pbus_message_unref(m);
                m = numbered(i);
                ok(p2pbus_send(a, p2pbus_get_full(b), m, PATIENCE, NULL));
                do
                        ok(p2pbus_process(a));
                while (count_swallowed() <= i);
        }
        return m;
}

static Peer *peer_of_a(void) {
        Address address = { .pid = b->self.address.pid };
        Peer *peer = peer_find(a, address, NULL);

        ck_assert_ptr_nonnull(peer);
        return peer;
}

/* a has read all that the one in the middle has passed so far: the answer to a question comes behind it. */
static void until_heard(void) {
        unsigned n = count_resolved();
        char full[P2PBUS_FULL_SIZE];

        ck_assert_int_lt(p2pbus_resolve(a, STRANGER, PATIENCE, full, NULL), 0);
        ck_assert_uint_gt(count_resolved(), n);
}

static unsigned generation(void) {
        unsigned generation;

        until_heard();
        ok(bus_enter(a));
        generation = (unsigned)peer_of_a()->generation;
        ok(bus_leave(a, 0));
        return generation;
}

static uint64_t conversation(void) {
        uint64_t id;

        until_heard();
        ok(bus_enter(a));
        id = session_id(peer_of_a()->session);
        ok(bus_leave(a, 0));
        return id;
}

START_TEST(of_all_that_was_stale_the_first_is_reason_to_begin_again) {
        unsigned before;
        Taker taker;

        p2pbus_message_unref(send_into_nothing(10));
        before = generation();
        set_mischief(MISCHIEF_NONE);
        tell_middle('y');
        ck_assert_uint_eq(generation(), before + 1);
        tell_middle('k');
        ck_assert_uint_eq(generation(), before + 1);
        taker_start(&taker);
        ok(p2pbus_flush(a, PATIENCE));
        taker_stop_after(&taker, 10);
}
END_TEST

/* A link has died, say: for that reason all goes again already. */
START_TEST(what_was_stale_on_the_way_of_before_is_no_reason) {
        unsigned before;
        Taker taker;

        p2pbus_message_unref(send_into_nothing(10));
        before = generation();
        set_mischief(MISCHIEF_NONE);
        __atomic_store_n(&middle.generation, 1, __ATOMIC_RELEASE);
        tell_middle('p');
        until_heard();
        tell_middle('y');
        ck_assert_uint_eq(generation(), before);
        taker_start(&taker);
        ok(p2pbus_flush(a, PATIENCE));
        taker_stop_after(&taker, 10);
}
END_TEST

START_TEST(a_nack_that_was_kept_ends_nothing) {
        p2pbus_message *m = send_into_nothing(1);
        uint64_t id;
        Taker taker;

        tell_middle('x');
        ck_assert_int_eq(p2pbus_flush(a, PATIENCE), -EACCES);
        ck_assert_int_eq(p2pbus_message_get_reason(m), P2PBUS_REASON_DENIED);
        p2pbus_message_unref(m);

        set_mischief(MISCHIEF_NONE);
        taker_start(&taker);
        ask(0, 3);
        id = conversation();
        tell_middle('k');
        ck_assert_uint_eq(conversation(), id);
        ask(3, 3);
        taker_stop_after(&taker, 6);
}
END_TEST

/* b's last life may have taken the first, and a relay have shown it to the next one. */
START_TEST(what_was_stale_may_have_come_whatever_becomes_of_it_then) {
        p2pbus_message *m = send_into_nothing(1);

        tell_middle('y');
        while (count_swallowed() == 0)
                ok(p2pbus_process(a));
        tell_middle('x');
        ck_assert_int_eq(p2pbus_flush(a, PATIENCE), -ECONNRESET);
        ck_assert_int_eq(p2pbus_message_get_reason(m), P2PBUS_REASON_UNKNOWN);
        p2pbus_message_unref(m);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("nacks");
        TCase *tcase = tcase_create("two hosts");

        tcase_add_checked_fixture(tcase, two_hosts_start, two_hosts_stop);
        tcase_add_test(tcase, false_nacks_end_nothing);
        tcase_add_test(tcase, an_old_nack_ends_nothing_and_one_of_now_an_epoch);
        tcase_add_test(tcase, of_all_that_was_stale_the_first_is_reason_to_begin_again);
        tcase_add_test(tcase, what_was_stale_on_the_way_of_before_is_no_reason);
        tcase_add_test(tcase, a_nack_that_was_kept_ends_nothing);
        tcase_add_test(tcase, what_was_stale_may_have_come_whatever_becomes_of_it_then);
        suite_add_tcase(suite, tcase);
        return suite;
}
