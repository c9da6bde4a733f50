/* SPDX-License-Identifier: Apache-2.0 */

/* A real p2pbusd shows monitors what two raw clients say that they put into their ring. */

#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/harness.h"
#include "tests/main.h"

#define RING_SIZE 65536U
#define ALL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)
#define ALL_FLAGS (HELLO_RINGS | HELLO_MONITORED | HELLO_MONITORED_FULL)

static Daemon d;
static Client a, b, m;
static PacketId ring; /* of a and b */

/* --- a ring --- */

static PacketId say_with_file(Client *from, const Control *word) {
        uint8_t packet[PACKET_HEADER_SIZE + CONTROL_HEAD_SIZE];
        PacketId id = packet_id_make(now_usec(CLOCK_REALTIME), ++from->n_sent);
        int fd = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(posix_fallocate(fd, 0, 4096 + (off_t)RING_SIZE), 0);
        ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, ALL_SEALS), 0);
        control_packet_encode(word, from->address, (Address){ PID_DAEMON, 0 }, &id, packet);
        packet_set_n_fds(packet, 1);
        ck_assert(client_write_fds(from, packet, sizeof(packet), &fd, 1));
        close(fd);
        return id;
}

static void expect_with_fds(Client *who, ControlVerb verb) {
        ring = expect_word(who, verb)->ref;
        for (unsigned i = 0; i < who->last.header.n_fds; i++)
                close(who->last.fds[i]);
}

static void offer_ring(void) {
        say_with_file(&a, &(Control){ .verb = CONTROL_RING_OFFER,
                                      .value = RING_SIZE,
                                      .address = b.address });
        expect_with_fds(&a, CONTROL_RING_BELLS);
        expect_with_fds(&b, CONTROL_RING_OFFERED);
}

static void make_ring(void) {
        offer_ring();
        say_with_file(&b, &(Control){ .verb = CONTROL_RING_ANSWER,
                                      .value = RING_SIZE,
                                      .ref = ring });
        expect_with_fds(&a, CONTROL_RING_ANSWERED);
}

/* --- taps --- */

static uint8_t tap_bytes[PACKET_HEADER_SIZE + 4];

/* As a packet from @from to @to with these four bytes would have been. */
static Control tap(const Client *from, Address to) {
        PacketHeader header = {
                .size = sizeof(tap_bytes),
                .src = from->address,
                .dst = to,
                .id = packet_id_make(1, 2),
                .kind = PACKET_RECORDS,
        };

        packet_header_encode(&header, tap_bytes);
        memcpy(tap_bytes + PACKET_HEADER_SIZE, "seen", 4);
        return (Control){ .verb = CONTROL_RING_TAP,
                          .body = tap_bytes,
                          .n_body = sizeof(tap_bytes) };
}

static void say_tap(Client *from, Address to, uint32_t value, size_t n) {
        Control word = tap(from, to);

        word.value = value;
        word.n_body = n;
        client_say(from, &word);
}

static void watch(Client *who, uint32_t level, Address address) {
        client_say(who,
                   &(Control){ .verb = CONTROL_MONITOR, .value = level, .address = address });
        ck_assert_uint_eq(expect_word(who, CONTROL_OK)->value, level);
}

static void expect_seen(uint32_t value, size_t n) {
        const Control *word = expect_word(&m, CONTROL_MONITORED);

        ck_assert_uint_eq(word->value, value);
        ck_assert_uint_eq(word->n_body, CONTROL_MONITORED_HEAD_SIZE + n);
        ck_assert_mem_eq(word->body + CONTROL_MONITORED_HEAD_SIZE, tap_bytes, n);
}

static void start(void) {
        daemon_start(&d, "--user", NULL);
        client_open(&a, &d, 0);
        client_open(&b, &d, 0);
        client_open(&m, &d, 0);
}

static void stop(void) {
        client_close(&a);
        client_close(&b);
        client_close(&m);
        daemon_stop(&d);
}

/* --- the plain case --- */

START_TEST(a_monitor_sees_what_went_into_a_ring) {
        make_ring();
        watch(&m, MONITOR_FULL, (Address){ PID_NONE, 0 });
        say_tap(&a, b.address, 0, sizeof(tap_bytes));
        expect_seen(MONITORED_SELF_REPORTED, sizeof(tap_bytes));
        say_tap(&b, (Address){ a.address.pid, 0 }, 0, sizeof(tap_bytes));
        expect_seen(MONITORED_SELF_REPORTED, sizeof(tap_bytes));
        expect_silence(&a); /* nobody answers */
        expect_silence(&b);
}
END_TEST

START_TEST(nobody_sees_payloads_of_who_shows_none) {
        Client *ends[2] = { &a, &b };

        client_close(&b);
        client_connect(&b, &d, NULL);
        ck_assert_uint_eq(client_attach(&b, ATTACH_NO_MONITOR), ATTACH_NO_MONITOR);
        make_ring();
        watch(&m, MONITOR_FULL, (Address){ PID_NONE, 0 });
        for (unsigned i = 0; i < 2; i++) {
                say_tap(ends[i], ends[!i]->address, 0, sizeof(tap_bytes));
                expect_seen(MONITORED_SELF_REPORTED | MONITORED_CUT, PACKET_HEADER_SIZE);
                client_send(ends[i], ends[!i]->address, PACKET_RECORDS, "seen", 4);
                expect_payload(ends[!i], PACKET_RECORDS, "seen", 4);
                ck_assert_uint_eq(expect_word(&m, CONTROL_MONITORED)->value, MONITORED_CUT);
                ck_assert_uint_eq(m.last.word.n_body,
                                  CONTROL_MONITORED_HEAD_SIZE + PACKET_HEADER_SIZE);
        }
        client_send(&a, m.address, PACKET_RECORDS, "seen", 4);
        expect_payload(&m, PACKET_RECORDS, "seen", 4);
        ck_assert_uint_eq(expect_word(&m, CONTROL_MONITORED)->value, 0); /* others are seen */
}
END_TEST

START_TEST(a_monitor_of_headers_sees_headers) {
        make_ring();
        watch(&m, MONITOR_HEADERS, (Address){ PID_NONE, 0 });
        say_tap(&a, b.address, 0, sizeof(tap_bytes));
        expect_seen(MONITORED_SELF_REPORTED | MONITORED_CUT, PACKET_HEADER_SIZE);
        say_tap(&a, b.address, MONITORED_CUT, PACKET_HEADER_SIZE);
        expect_seen(MONITORED_SELF_REPORTED | MONITORED_CUT, PACKET_HEADER_SIZE);
}
END_TEST

START_TEST(what_was_cut_or_left_out_is_told) {
        make_ring();
        watch(&m, MONITOR_FULL, (Address){ PID_NONE, 0 });
        say_tap(&a, b.address, MONITORED_CUT + 5 * MONITORED_LOST, PACKET_HEADER_SIZE + 1);
        expect_seen((MONITORED_SELF_REPORTED | MONITORED_CUT) + 5 * MONITORED_LOST,
                    PACKET_HEADER_SIZE + 1);
        say_tap(&a, b.address, 2 * MONITORED_LOST, sizeof(tap_bytes));
        expect_seen(MONITORED_SELF_REPORTED + 2 * MONITORED_LOST, sizeof(tap_bytes));
        ck_assert_uint_eq(daemon_status(&d, "taps_lost"), 7);
}
END_TEST

START_TEST(a_monitor_of_one_process_sees_its_rings_alone) {
        make_ring();
        watch(&m, MONITOR_FULL, m.address);
        say_tap(&a, b.address, 0, sizeof(tap_bytes));
        expect_silence(&a);
        expect_silence(&m);
        watch(&m, MONITOR_FULL, (Address){ b.address.pid, 0 });
        say_tap(&a, b.address, 0, sizeof(tap_bytes));
        expect_seen(MONITORED_SELF_REPORTED, sizeof(tap_bytes));
}
END_TEST

static void expect_flags(uint32_t flags) {
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOTICE)->value, flags);
}

START_TEST(everybody_knows_whether_anybody_may_see_payloads) {
        Client late;

        watch(&m, MONITOR_HEADERS, (Address){ PID_NONE, 0 });
        expect_flags(HELLO_RINGS | HELLO_MONITORED);
        watch(&b, MONITOR_FULL, (Address){ PID_NONE, 0 });
        expect_flags(ALL_FLAGS);
        client_open(&late, &d, 0);
        ck_assert_uint_eq(load_le32(late.hello + 20), ALL_FLAGS);
        client_close(&late);
        watch(&m, MONITOR_FULL, (Address){ PID_NONE, 0 });
        watch(&b, MONITOR_HEADERS, (Address){ PID_NONE, 0 });
        client_say(&b, &(Control){ .verb = CONTROL_MONITOR });
        expect_word(&b, CONTROL_OK);
        watch(&m, MONITOR_HEADERS, (Address){ PID_NONE, 0 });
        expect_flags(HELLO_RINGS | HELLO_MONITORED);
        client_close(&m);
        expect_flags(HELLO_RINGS);
        client_open(&m, &d, 0);
}
END_TEST

/* --- abuse --- */

START_TEST(without_a_ring_nothing_is_shown) {
        Client c;

        client_open(&c, &d, 0);
        watch(&m, MONITOR_FULL, (Address){ PID_NONE, 0 });
        say_tap(&a, b.address, 0, sizeof(tap_bytes)); /* no ring yet */
        offer_ring();
        say_tap(&a, b.address, 0, sizeof(tap_bytes)); /* one that is not made */
        expect_silence(&a);
        client_say(&b, &(Control){ .verb = CONTROL_RING_ANSWER,
                                   .code = CODE_DENIED,
                                   .ref = ring });
        expect_word(&a, CONTROL_RING_ANSWERED);
        make_ring();
        say_tap(&a, c.address, 0, sizeof(tap_bytes)); /* with somebody else */
        say_tap(&c, b.address, 0, sizeof(tap_bytes));
        say_tap(&a, (Address){ 0x1234, 0 }, 0, sizeof(tap_bytes)); /* with nobody */
        say_tap(&a, a.address, 0, sizeof(tap_bytes));
        client_say(&b, &(Control){ .verb = CONTROL_RING_END, .ref = ring });
        expect_word(&a, CONTROL_RING_END);
        say_tap(&a, b.address, 0, sizeof(tap_bytes)); /* one that is over */
        expect_silence(&a);
        expect_silence(&c);
        expect_silence(&m);
        ck_assert_uint_eq(daemon_status(&d, "taps_dropped"), 7);
        client_close(&c);
}
END_TEST

START_TEST(a_tap_while_nobody_watches_is_dropped) {
        make_ring();
        say_tap(&a, b.address, 0, sizeof(tap_bytes));
        expect_silence(&a);
        watch(&m, MONITOR_FULL, (Address){ PID_NONE, 0 });
        expect_silence(&m);
}
END_TEST

/* What no version of us says: a byte of the header, or of the word. */
static const struct {
        const char *what;
        size_t at;
        uint8_t value;
} lies[] = {
        { "the source's PID", 16, 0xff },
        { "the source's TAG", 32, 0xff },
        { "kind SEALED", 64, PACKET_SEALED },
        { "kind CONTROL", 64, PACKET_CONTROL },
        { "kind 0", 64, 0 },
        { "eflags", 66, 1 },
        { "fragments", 70, 1 },
        { "descriptors", 5, 1 },
        { "REMOTE", 6, PACKET_REMOTE },
        { "hops", 7, 1 },
        { "reserved bytes", 8, 1 },
        { "a size less than it has", 0, sizeof(tap_bytes) - 1 },
        { "more than it has, and not cut", 0, sizeof(tap_bytes) + 1 },
        { "a size below the least", 0, PACKET_HEADER_SIZE - 1 },
        { "no packet", 4, 1 },
};

START_TEST(a_tap_that_lies_costs_the_connection) {
        Control word;

        make_ring();
        watch(&m, MONITOR_FULL, (Address){ PID_NONE, 0 });
        word = tap(&a, b.address);
        if (lies[_i].at == 16 || lies[_i].at == 32)
                tap_bytes[lies[_i].at] ^= lies[_i].value;
        else
                tap_bytes[lies[_i].at] = lies[_i].value;
        client_say(&a, &word);
        ck_assert_msg(expect_error(&a, CODE_VIOLATION) != NULL, "taken: %s", lies[_i].what);
        expect_closed(&a);
        expect_silence(&m);
}
END_TEST

static const struct {
        const char *what;
        uint32_t value;
        size_t n;
} bad_words[] = {
        { "cut, and whole", MONITORED_CUT, sizeof(tap_bytes) },
        { "marked by the source", MONITORED_SELF_REPORTED, sizeof(tap_bytes) },
        { "less than a header", MONITORED_CUT, PACKET_HEADER_SIZE - 1 },
        { "nothing", 0, 0 },
};

START_TEST(a_malformed_tap_costs_the_connection) {
        make_ring();
        watch(&m, MONITOR_FULL, (Address){ PID_NONE, 0 });
        say_tap(&a, b.address, bad_words[_i].value, bad_words[_i].n);
        ck_assert_msg(expect_error(&a, CODE_VIOLATION) != NULL, "taken: %s", bad_words[_i].what);
        expect_closed(&a);
        expect_silence(&m);
}
END_TEST

START_TEST(in_the_name_of_another_costs_the_connection) {
        make_ring();
        watch(&m, MONITOR_FULL, (Address){ PID_NONE, 0 });
        /* b's word, from a: to b, with whom a has a ring, and to a itself. */
        client_say(&a, &(Control){ .verb = CONTROL_RING_TAP,
                                   .body = tap(&b, a.address).body,
                                   .n_body = sizeof(tap_bytes) });
        expect_error(&a, CODE_VIOLATION);
        expect_closed(&a);
        expect_silence(&m);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("monitor");
        TCase *rings = tcase_create("rings"), *abuse = tcase_create("abuse");

        tcase_add_test(rings, a_monitor_sees_what_went_into_a_ring);
        tcase_add_test(rings, nobody_sees_payloads_of_who_shows_none);
        tcase_add_test(rings, a_monitor_of_headers_sees_headers);
        tcase_add_test(rings, what_was_cut_or_left_out_is_told);
        tcase_add_test(rings, a_monitor_of_one_process_sees_its_rings_alone);
        tcase_add_test(rings, everybody_knows_whether_anybody_may_see_payloads);

        tcase_add_test(abuse, without_a_ring_nothing_is_shown);
        tcase_add_test(abuse, a_tap_while_nobody_watches_is_dropped);
        tcase_add_loop_test(abuse, a_tap_that_lies_costs_the_connection, 0, ELEMENTSOF(lies));
        tcase_add_loop_test(abuse, a_malformed_tap_costs_the_connection, 0, ELEMENTSOF(bad_words));
        tcase_add_test(abuse, in_the_name_of_another_costs_the_connection);

        tcase_add_checked_fixture(rings, start, stop);
        tcase_add_checked_fixture(abuse, start, stop);
        suite_add_tcase(suite, rings);
        suite_add_tcase(suite, abuse);
        return suite;
}
