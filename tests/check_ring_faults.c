/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rings of the library when somebody else is at fault: a daemon that stands still or says no, and
 * another side that lies. One fault each, and what still has to work.
 */

#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libclient/bell.h"
#include "libclient/peer.h"
#include "tests/main.h"
#include "tests/partner.h"

static Daemon daemon_of_test;
static Daemon *const d = &daemon_of_test;
static const PartnerOptions echo = { .daemon = &daemon_of_test, .run = partner_echo };

static void start(void) {
        ck_assert_int_eq(unsetenv("P2PBUS_KEY"), 0);
        daemon_start(d, "--user", NULL);
}

static void stop(void) {
        daemon_stop(d);
}

static void reload(const char *config) {
        Client admin;

        daemon_configure(d, config);
        client_open(&admin, d, 0);
        client_say(&admin, &(Control){ .verb = CONTROL_RELOAD });
        expect_word(&admin, CONTROL_OK);
        client_close(&admin);
}

/* Who rings faster than we read must not keep us reading. */
START_TEST(a_bell_that_never_ends_is_heard_one_read_at_a_time) {
        static const char strokes[4096];
        int fds[2], n;

        ck_assert_int_eq(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
        ck_assert_int_eq(write(fds[1], strokes, sizeof(strokes)), sizeof(strokes));
        ck_assert_int_eq(bell_hush(fds[0]), 0);
        ck_assert_int_eq(ioctl(fds[0], FIONREAD, &n), 0);
        ck_assert_int_gt(n, 0);
        close(fds[1]);
        for (unsigned i = 0; bell_hush(fds[0]) != BELL_E_GONE; i++)
                ck_assert_uint_lt(i, sizeof(strokes));
        close(fds[0]);
}
END_TEST

START_TEST(who_lies_about_room_loses_the_ring_at_once) {
        static const struct ring_abi_consumer lie = { .consumed = 4 };
        p2pbus *bus = talk_open(d, 0);
        RingPath *ring;
        Partner p;

        partner_start(&p, &echo);
        talk_get_ring(bus, p.full);
        ring = bus->peers->ring;
        ring->out.other = &lie;
        ring->out.limit = ring->out.position;
        ring->waits_for_room = true;
        rings_wake(ring);
        ok(p2pbus_process(bus));
        ck_assert_int_eq(talk_path(bus, p.full), P2PBUS_PATH_LOCAL);
        (void)talk_ask(bus, p.full, "0");
        partner_stop(&p);
        p2pbus_unref(bus);
}
END_TEST

/* As much as four peers take is more than the daemon's socket and our queue. */
START_TEST(a_ring_does_not_wait_for_a_daemon_that_stands_still) {
        p2pbus *bus = talk_open(d, 0);
        Partner near, far[4];

        partner_start(&near, &echo);
        for (unsigned i = 0; i < ELEMENTSOF(far); i++) {
                partner_start(&far[i], &echo);
                (void)talk_ask(bus, far[i].full, "0");
                ok(p2pbus_set_ring(bus, far[i].full, P2PBUS_RING_NEVER));
        }
        talk_get_ring(bus, near.full);
        ck_assert_int_eq(kill(d->os_pid, SIGSTOP), 0);
        for (unsigned i = 0; i < ELEMENTSOF(far); i++)
                for (unsigned k = 0; talk_try_send(bus, far[i].full, k, 40000) == 0; k++)
                        ck_assert_uint_lt(k, 1000);
        ok(p2pbus_process(bus));
        ck_assert_uint_ge(connection_queued(bus->connection), BUS_OUTPUT_MAX);
        for (unsigned i = 0; i < 100; i++)
                (void)talk_ask(bus, near.full, "0");
        ck_assert_int_eq(kill(d->os_pid, SIGCONT), 0);
        ok(p2pbus_flush(bus, PATIENCE));
        partner_stop(&near);
        for (unsigned i = 0; i < ELEMENTSOF(far); i++)
                partner_stop(&far[i]);
        p2pbus_unref(bus);
}
END_TEST

/* Whoever answers an offer uses the ring before the daemon has passed the answer on. */
START_TEST(an_answer_that_is_refused_ends_the_ring) {
        p2pbus *bus = talk_open(d, 0);
        PacketId answer;
        Partner p;

        partner_start(&p, &echo);
        (void)talk_ask(bus, p.full, "rule 1");
        talk_until_path(bus, p.full, P2PBUS_PATH_RING);
        answer = bus->peers->ring->offer;
        ck_assert(introduction_on_error(bus, &answer));
        ck_assert_int_eq(talk_path(bus, p.full), P2PBUS_PATH_LOCAL);
        (void)talk_ask(bus, p.full, "0");
        ck_assert(introduction_on_error(bus, &answer)); /* said once more */
        partner_stop(&p);
        p2pbus_unref(bus);
}
END_TEST

/* Says in the ring that it is offered what it has to say, and tells its parent. */
static void say_last_words(p2pbus *bus, Partner *self) {
        char dest[P2PBUS_FULL_SIZE];
        p2pbus_message *m;

        ok(p2pbus_receive(bus, PATIENCE, &m));
        strcpy(dest, p2pbus_message_get_from(m));
        p2pbus_message_unref(m);
        while (talk_path(bus, dest) != P2PBUS_PATH_RING)
                ok(p2pbus_wait(bus, SECOND / 100));
        ok(talk_send(bus, dest, 7, 1000));
        ok(p2pbus_hand_over(bus, PATIENCE));
        partner_tell(self, 1);
        (void)partner_hear(self);
}

/* Its bell says that it is gone before the daemon has said that it answered. */
START_TEST(what_was_said_in_a_ring_before_it_was_opened_is_read) {
        const PartnerOptions options = { .daemon = d, .run = say_last_words };
        p2pbus *bus = talk_open(d, 0);
        Partner p;

        partner_start(&p, &options);
        ok(talk_send(bus, p.full, 0, 100));
        ok(p2pbus_flush(bus, PATIENCE));
        ck_assert_int_eq(kill(p.os_pid, SIGSTOP), 0);
        ok(p2pbus_set_ring(bus, p.full, P2PBUS_RING_ALWAYS));
        while (!bus->peers->ring->has_id)
                ok(p2pbus_process(bus));
        ck_assert_int_eq(kill(p.os_pid, SIGCONT), 0);
        ck_assert_uint_eq(partner_hear(&p), 1);
        partner_kill(&p);
        ck_assert_uint_eq(talk_receive(bus), 7);
        while (bus->peers->ring)
                (void)p2pbus_wait(bus, SECOND);
        p2pbus_unref(bus);
}
END_TEST

/* The offer is withdrawn before the daemon's ERROR about it has come. */
START_TEST(a_refused_offer_that_is_over_fails_no_message) {
        p2pbus *bus = talk_open(d, 0);
        Partner p;

        partner_start(&p, &echo);
        (void)talk_ask(bus, p.full, "0");
        reload("[Bus]\nRings=no\n");
        ok(p2pbus_set_ring(bus, p.full, P2PBUS_RING_ALWAYS));
        ok(p2pbus_set_ring(bus, p.full, P2PBUS_RING_NEVER));
        for (unsigned i = 0; i < 10; i++)
                (void)talk_ask(bus, p.full, "0");
        partner_stop(&p);
        p2pbus_unref(bus);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("ring-faults");
        TCase *bells = tcase_create("bells");
        TCase *others = tcase_create("others");
        TCase *daemons = tcase_create("daemons");

        tcase_add_test(bells, a_bell_that_never_ends_is_heard_one_read_at_a_time);
        suite_add_tcase(suite, bells);

        tcase_add_checked_fixture(others, start, stop);
        tcase_set_timeout(others, 120);
        tcase_add_test(others, who_lies_about_room_loses_the_ring_at_once);
        suite_add_tcase(suite, others);

        tcase_add_checked_fixture(daemons, start, stop);
        tcase_set_timeout(daemons, 120);
        tcase_add_test(daemons, a_ring_does_not_wait_for_a_daemon_that_stands_still);
        tcase_add_test(daemons, what_was_said_in_a_ring_before_it_was_opened_is_read);
        tcase_add_test(daemons, an_answer_that_is_refused_ends_the_ring);
        tcase_add_test(daemons, a_refused_offer_that_is_over_fails_no_message);
        suite_add_tcase(suite, daemons);
        return suite;
}
