/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The relay as its neighbours see it: the program itself, and bridges that keep the rules or break
 * them. The names T44 to T58 are those of the design's list of abuses.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "libsecure/service-record.h"
#include "tests/main.h"
#include "tests/relay-bridge.h"

static TestRelay relay;
static TestBridge a, b;
static IdentityKey *alice, *bob;
static Address alice_address, bob_address;

static void start_with(const char *option) {
        static char keys[2][KEY_TEXT_SIZE];

        bridge_init(&a, 1);
        bridge_init(&b, 2);
        bridge_key(&a, keys[0]);
        bridge_key(&b, keys[1]);
        if (option)
                relay_start(&relay, "--listen", "127.0.0.1:0", option, NULL);
        else
                relay_start(&relay, "--listen", "127.0.0.1:0", "--allow", keys[0], "--allow",
                            keys[1], NULL);
        alice = process_of(1);
        bob = process_of(2);
        alice_address = identity_hash(alice)->address;
        bob_address = identity_hash(bob)->address;
}

static void start(void) {
        start_with(NULL);
}

static void stop(void) {
        bridge_done(&a);
        bridge_done(&b);
        identity_free(alice);
        identity_free(bob);
        relay_stop(&relay);
}

/* Both bridges are up, alice is behind a, bob behind b. */
static void start_pair(void) {
        start();
        bridge_up(&a, &relay);
        bridge_up(&b, &relay);
        bridge_lease(&a, alice, CODE_OK);
        bridge_lease(&b, bob, CODE_OK);
}

/* A PING and its PONG: everything before was handled, and the relay is well. */
static void ping(TestBridge *bridge) {
        Control control = { .verb = CONTROL_PING };
        PacketId id = bridge_say(bridge, &control);
        const TestFrame *pong = expect_word(bridge, CONTROL_PONG);

        ck_assert_mem_eq(&pong->control.ref, &id, sizeof(id));
}

static bool relay_said_it(void *text) {
        return relay_said(&relay, text);
}

START_TEST(packet_goes_from_bridge_to_bridge) {
        static const size_t sizes[] = { 0, 1, 200, 60000, PACKET_PAYLOAD_MAX };
        const TestFrame *f;
        PacketId id;

        start_pair();
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                id = bridge_send(&a, alice_address, bob_address, sizes[i]);
                f = expect_packet(&b);
                ck_assert_mem_eq(&f->header.id, &id, sizeof(id));
                ck_assert(address_equal(f->header.src, alice_address));
                ck_assert(address_equal(f->header.dst, bob_address));
                ck_assert_uint_eq(f->n_payload, sizes[i]);
                ck_assert_uint_eq(f->header.hops, 1);
                for (size_t k = 0; k < MIN(sizes[i], sizeof(f->body)); k++)
                        ck_assert_int_eq(f->body[k], 'p');
        }
        /* And back, to the PID alone. */
        bridge_send(&b, bob_address, (Address){ alice_address.pid, 0 }, 5);
        ck_assert_uint_eq(expect_packet(&a)->n_payload, 5);
        stop();
}
END_TEST

static bool b_got_all(void *userdata) {
        return b.n_packets >= *(uint64_t *)userdata;
}

START_TEST(many_packets_go_in_few_messages) {
        static uint8_t batch[LINK_PLAIN_MAX];
        uint64_t n_sent = 0, last = 0;
        size_t n;

        start_pair();
        for (unsigned round = 0; round < 20; round++) {
                for (n = 0; n + PACKET_HEADER_SIZE + 100 <= sizeof(batch); n_sent++)
                        n += bridge_packet(&a, alice_address, bob_address, 100, batch + n);
                bridge_send_bytes(&a, batch, n);
                WAIT_FOR(b_got_all, &n_sent);
        }
        ck_assert_uint_eq(b.n_packets, n_sent);
        for (size_t i = 0; i < b.n_frames; i++)
                if (b.frames[i].header.kind == PACKET_SEALED) {
                        uint64_t number = load_be64(b.frames[i].header.id.bytes + 8);

                        ck_assert_uint_gt(number, last);
                        last = number;
                }
        stop();
}
END_TEST

START_TEST(frames_may_be_cut_anywhere) {
        uint8_t two[2048];
        size_t n;

        start_pair();
        n = bridge_packet(&a, alice_address, bob_address, 300, two);
        n += bridge_packet(&a, alice_address, bob_address, 301, two + n);
        for (size_t cut = 1; cut < n; cut += 37) {
                bridge_send_bytes(&a, two, cut);
                bridge_send_bytes(&a, two + cut, n - cut);
                ck_assert_uint_eq(expect_packet(&b)->n_payload, 300);
                ck_assert_uint_eq(expect_packet(&b)->n_payload, 301);
        }
        stop();
}
END_TEST

START_TEST(nobody_there_is_said_at_once) {
        IdentityKey *nobody = process_of(77);
        Address address = identity_hash(nobody)->address;
        Control resolve = { .verb = CONTROL_RESOLVE, .address = address };
        Control synced = { .verb = CONTROL_SYNCED };
        const TestFrame *f;
        PacketId id;

        start_pair();
        id = bridge_send(&a, alice_address, address, 10);
        f = expect_word(&a, CONTROL_ERROR);
        ck_assert_mem_eq(&f->control.ref, &id, sizeof(id));
        ck_assert(address_equal(f->control.address, address));
        ck_assert(address_equal(f->header.dst, alice_address)); /* for the process */
        ck_assert_uint_eq(f->control.code, CODE_SETTLING);      /* it has only just started */
        ck_assert_uint_eq(f->control.value, REFUSED_BY_RELAY);

        (void)bridge_say(&a, &synced);
        expect_word(&a, CONTROL_SYNCED);
        (void)bridge_say(&b, &synced);
        expect_word(&b, CONTROL_SYNCED);
        id = bridge_say(&a, &resolve);
        f = expect_word(&a, CONTROL_RESOLVED);
        ck_assert_mem_eq(&f->control.ref, &id, sizeof(id));
        ck_assert_uint_eq(f->control.n_body, 0);
        ck_assert(f->control.code == CODE_SETTLING || f->control.code == CODE_NOT_HERE);

        bridge_send(&a, alice_address, (Address){ bob_address.pid, bob_address.tag ^ 1 }, 10);
        ck_assert_uint_eq(expect_word(&a, CONTROL_ERROR)->control.code, CODE_WRONG_KEY);
        identity_free(nobody);
        stop();
}
END_TEST

START_TEST(question_is_answered_with_the_lease) {
        Control resolve = { .verb = CONTROL_RESOLVE };
        SignedRecord record;
        const TestFrame *f;

        start_pair();
        for (unsigned i = 0; i < 2; i++) {
                resolve.address = (Address){ bob_address.pid, i == 0 ? 0 : bob_address.tag };
                (void)bridge_say(&a, &resolve);
                f = expect_word(&a, CONTROL_RESOLVED);
                ck_assert_uint_eq(f->control.code, CODE_OK);
                ck_assert_uint_eq(f->control.value, RESOLVED_REMOTE);
                ck_assert(address_equal(f->control.address, bob_address));
                ck_assert_int_eq(
                        signed_record_verify(
                                f->body, f->control.n_body,
                                &(SignedRecordCheck){ .type = SIGNED_RECORD_LEASE,
                                                      .now_usec = now_usec(CLOCK_REALTIME) },
                                &record),
                        0);
                ck_assert(key_equal(&record.signer, identity_public(bob)));
        }
        stop();
}
END_TEST

START_TEST(detached_process_is_gone) {
        Control detached = { .verb = CONTROL_DETACHED, .address = bob_address };

        start_pair();
        detached.address = bob_address;
        (void)bridge_say(&a, &detached); /* not a's to say */
        ping(&a);
        bridge_send(&a, alice_address, bob_address, 1);
        expect_packet(&b);
        (void)bridge_say(&b, &detached);
        ping(&b);
        bridge_send(&a, alice_address, bob_address, 1);
        ck_assert_uint_eq(expect_word(&a, CONTROL_ERROR)->control.code, CODE_GONE);
        bridge_lease(&b, bob, CODE_OK);
        bridge_send(&a, alice_address, bob_address, 2);
        ck_assert_uint_eq(expect_packet(&b)->n_payload, 2);
        stop();
}
END_TEST

START_TEST(bridge_that_comes_back_takes_over) {
        start_pair();
        {
                static TestBridge again;

                bridge_init(&again, 2); /* the same key */
                bridge_up(&again, &relay);
                ck_assert_uint_eq(expect_word(&b, CONTROL_GOODBYE)->control.code, CODE_REPLACED);
                WAIT_FOR(bridge_is_closed, &b);
                bridge_lease(&again, bob, CODE_OK);
                bridge_send(&a, alice_address, bob_address, 3);
                ck_assert_uint_eq(expect_packet(&again)->n_payload, 3);
                bridge_done(&again);
        }
        stop();
}
END_TEST

START_TEST(lost_bridge_leaves_its_processes_settling) {
        start_pair();
        bridge_down(&b);
        for (;;) {
                const TestFrame *f;

                bridge_send(&a, alice_address, bob_address, 1);
                ping(&a);
                f = &a.frames[a.n_frames - 1];
                for (size_t i = 0; i < a.n_frames; i++)
                        if (a.frames[i].header.kind == PACKET_CONTROL &&
                            a.frames[i].control.verb == CONTROL_ERROR)
                                f = &a.frames[i];
                if (f->control.verb == CONTROL_ERROR) {
                        ck_assert_uint_eq(f->control.code, CODE_SETTLING);
                        break;
                }
        }
        bridge_up(&b, &relay);
        bridge_lease(&b, bob, CODE_OK);
        bridge_send(&a, alice_address, bob_address, 9);
        ck_assert_uint_eq(expect_packet(&b)->n_payload, 9);
        stop();
}
END_TEST

/* T36, T37: whose lease it is. */
START_TEST(lease_must_name_the_link_that_presents_it) {
        uint8_t lease[SIGNED_RECORD_LEASE_SIZE];
        Control control = { .verb = CONTROL_LEASE, .body = lease, .n_body = sizeof(lease) };
        const TestFrame *f;

        start_pair();
        lease_of(bob, &b, 1, lease);
        (void)bridge_say(&a, &control);
        ck_assert_uint_eq(expect_word(&a, CONTROL_LEASED)->control.code, CODE_DENIED);

        lease_of(bob, &a, -60, lease); /* older than the one b has presented */
        (void)bridge_say(&a, &control);
        f = expect_word(&a, CONTROL_LEASED);
        ck_assert_uint_eq(f->control.code, CODE_REPLACED);
        ck_assert(address_equal(f->control.address, bob_address));

        lease_of(bob, &a, 6 * 60, lease);
        (void)bridge_say(&a, &control);
        ck_assert_uint_eq(expect_word(&a, CONTROL_LEASED)->control.code, CODE_CLOCK);

        lease_of(bob, &a, -2 * 3600, lease);
        (void)bridge_say(&a, &control);
        ck_assert_uint_eq(expect_word(&a, CONTROL_LEASED)->control.code, CODE_EXPIRED);

        lease_of(bob, &a, 2, lease);
        lease[150] ^= 1;
        (void)bridge_say(&a, &control);
        ck_assert_uint_eq(expect_word(&a, CONTROL_LEASED)->control.code, CODE_BAD_SIGNATURE);

        /* Nothing of it has moved bob. */
        bridge_send(&a, alice_address, bob_address, 4);
        ck_assert_uint_eq(expect_packet(&b)->n_payload, 4);

        /* But he may move himself. */
        lease_of(bob, &a, 2, lease);
        (void)bridge_say(&a, &control);
        ck_assert_uint_eq(expect_word(&a, CONTROL_LEASED)->control.code, CODE_OK);
        bridge_send(&a, bob_address, alice_address, 5);
        ck_assert_uint_eq(expect_packet(&a)->n_payload, 5);
        stop();
}
END_TEST

/* T39 */
START_TEST(revocation_is_kept) {
        SignedRecord record = { .type = SIGNED_RECORD_TOMB,
                                .issued_usec = now_usec(CLOCK_REALTIME),
                                .not_after_usec = USEC_NEVER };
        uint8_t tomb[SIGNED_RECORD_SIZE_MAX], kept[CONTROL_TOMB_SIZE + 1];
        Control control = { .verb = CONTROL_REVOKE, .body = tomb, .n_body = CONTROL_TOMB_SIZE };
        char path[96];
        size_t n;
        FILE *f;

        start_pair();
        ck_assert_int_eq(signed_record_sign(&record, bob, tomb, sizeof(tomb), &n), 0);
        ck_assert_uint_eq(n, CONTROL_TOMB_SIZE);
        tomb[100] ^= 1;
        (void)bridge_say(&a, &control);
        ck_assert_uint_eq(expect_word(&a, CONTROL_ERROR)->control.code, CODE_BAD_SIGNATURE);
        bridge_send(&a, alice_address, bob_address, 1);
        expect_packet(&b);

        tomb[100] ^= 1;
        (void)bridge_say(&a, &control); /* signed by bob: anybody may carry it */
        (void)bridge_say(&a, &control);
        ping(&a);
        bridge_send(&a, alice_address, bob_address, 1);
        ck_assert_uint_eq(expect_word(&a, CONTROL_ERROR)->control.code, CODE_GONE);
        bridge_lease(&b, bob, CODE_DENIED);

        snprintf(path, sizeof(path), "%s/tombs", relay.folder);
        f = fopen(path, "r");
        ck_assert_ptr_nonnull(f);
        ck_assert_uint_eq(fread(kept, 1, sizeof(kept), f), CONTROL_TOMB_SIZE);
        ck_assert_mem_eq(kept, tomb, CONTROL_TOMB_SIZE);
        fclose(f);
        stop();
}
END_TEST

START_TEST(stranger_cannot_hand_in_revocations) {
        SignedRecord record = { .type = SIGNED_RECORD_TOMB,
                                .issued_usec = now_usec(CLOCK_REALTIME),
                                .not_after_usec = USEC_NEVER };
        uint8_t tomb[SIGNED_RECORD_SIZE_MAX];
        Control control = { .verb = CONTROL_REVOKE, .body = tomb, .n_body = CONTROL_TOMB_SIZE };
        size_t n;

        start_with("--open");
        bridge_up(&a, &relay);
        ck_assert_int_eq(signed_record_sign(&record, bob, tomb, sizeof(tomb), &n), 0);
        (void)bridge_say(&a, &control);
        ck_assert_uint_eq(expect_word(&a, CONTROL_ERROR)->control.code, CODE_DENIED);
        bridge_lease(&a, bob, CODE_OK);
        stop();
}
END_TEST

/* T52 */
START_TEST(packet_of_an_unleased_source_is_dropped) {
        IdentityKey *carol = process_of(3);
        const TestFrame *f;
        PacketId id;

        start_pair();
        id = bridge_send(&b, alice_address, bob_address, 1); /* alice is a's */
        f = expect_word(&b, CONTROL_UNLEASED);
        ck_assert_mem_eq(&f->control.ref, &id, sizeof(id));
        ck_assert(address_equal(f->control.address, alice_address));
        bridge_send(&a, identity_hash(carol)->address, bob_address, 1);
        expect_word(&a, CONTROL_UNLEASED);
        bridge_lease(&a, carol, CODE_OK);
        bridge_send(&a, identity_hash(carol)->address, bob_address, 7);
        ck_assert_uint_eq(expect_packet(&b)->n_payload, 7); /* and none before it */
        ck_assert_uint_eq(b.n_packets, 1);
        identity_free(carol);
        stop();
}
END_TEST

/* T57: however many packets fail, answers are few; errors are never answered. */
START_TEST(errors_are_rate_limited) {
        Control error = { .verb = CONTROL_ERROR, .code = CODE_OVERLOAD };
        IdentityKey *nobody = process_of(77);
        unsigned n_errors = 0;

        start_pair();
        for (unsigned i = 0; i < 1000; i++)
                bridge_send(&a, alice_address, identity_hash(nobody)->address, 0);
        for (unsigned i = 0; i < 1000; i++)
                (void)bridge_say(&a, &error);
        ping(&a);
        for (size_t i = 0; i < a.n_frames; i++)
                if (a.frames[i].header.kind == PACKET_CONTROL &&
                    a.frames[i].control.verb == CONTROL_ERROR)
                        n_errors++;
        ck_assert_uint_ge(n_errors, 10);
        ck_assert_uint_le(n_errors, 40); /* ten, and ten a second that it took */
        identity_free(nobody);
        stop();
}
END_TEST

/* b says that a packet of alice's to @about got no further on its host, and @by whom. */
static void b_refuses(Address about, uint32_t by) {
        Control error = {
                .verb = CONTROL_ERROR, .code = CODE_DENIED, .value = by, .address = about
        };
        uint8_t bytes[PACKET_HEADER_SIZE + CONTROL_HEAD_SIZE];
        static const PacketId id;

        control_packet_encode(&error, (Address){ PID_BRIDGE, 0 }, alice_address, &id, bytes);
        bridge_send_bytes(&b, bytes, sizeof(bytes));
}

START_TEST(a_bridge_refuses_for_its_own_host_alone) {
        const TestFrame *f;

        start_pair();
        b_refuses(alice_address, REFUSED_BY_FAR_DAEMON); /* who is not there */
        b_refuses(bob_address, REFUSED_BY_RELAY);        /* which it is not */
        f = expect_word(&a, CONTROL_ERROR);
        ck_assert(address_equal(f->control.address, bob_address));
        ck_assert(address_equal(f->header.dst, alice_address));
        ck_assert_uint_eq(f->control.value, REFUSED_BY_FAR_BRIDGE);
        b_refuses(bob_address, REFUSED_BY_FAR_DAEMON);
        ck_assert_uint_eq(expect_word(&a, CONTROL_ERROR)->control.value, REFUSED_BY_FAR_DAEMON);
        stop();
}
END_TEST

/* T58 */
START_TEST(lookups_are_rate_limited) {
        Control resolve = { .verb = CONTROL_RESOLVE };
        unsigned n_answered = 0, n_refused = 0;

        start_pair();
        resolve.address = bob_address;
        for (unsigned i = 0; i < 2000; i++)
                (void)bridge_say(&a, &resolve);
        ping(&a);
        for (size_t i = 0; i < a.n_frames; i++)
                if (a.frames[i].header.kind == PACKET_CONTROL &&
                    a.frames[i].control.verb == CONTROL_RESOLVED) {
                        if (a.frames[i].control.code == CODE_OK)
                                n_answered++;
                        else if (a.frames[i].control.code == CODE_RATE)
                                n_refused++;
                }
        ck_assert_uint_eq(n_answered + n_refused, 2000);
        ck_assert_uint_ge(n_answered, 200);
        ck_assert_uint_ge(n_refused, 200);
        stop();
}
END_TEST

/* T53 */
#define CLOCK "org.example.clock"

/* @process says by @bridge that it provides the clock. */
static void say_service(TestBridge *bridge, const IdentityKey *process, uint8_t flags, int issued) {
        uint64_t now =
                now_usec(CLOCK_REALTIME) + (uint64_t)((int64_t)issued * (int64_t)USEC_PER_SEC);
        const SignedRecord record = {
                .type = SIGNED_RECORD_SERVICE,
                .flags = flags,
                .issued_usec = now,
                .not_after_usec = now + SIGNED_RECORD_LEASE_LIFE_USEC,
                .service = { .weight = 1, .name = { CLOCK, strlen(CLOCK) } },
        };
        uint8_t bytes[SERVICE_RECORD_SIZE_MAX];
        Control word = { .verb = CONTROL_SERVICE, .body = bytes };

        ck_assert_int_eq(service_record_sign(&record, process, NULL, 0, bytes, &word.n_body), 0);
        (void)bridge_say(bridge, &word);
}

/* Who provides the clock? */
static const TestFrame *ask_clock(TestBridge *bridge) {
        const Control word = { .verb = CONTROL_RESOLVE_NAME,
                               .body = (const uint8_t *)CLOCK,
                               .n_body = strlen(CLOCK) };
        PacketId id = bridge_say(bridge, &word);
        const TestFrame *f = expect_word(bridge, CONTROL_SERVICES);

        ck_assert_mem_eq(&f->control.ref, &id, sizeof(id));
        ck_assert_uint_eq(f->control.value, 0);
        return f;
}

static void expect_clock(TestBridge *bridge, const IdentityKey *process) {
        const TestFrame *f = ask_clock(bridge);
        ServiceRecord record;

        ck_assert_uint_eq(f->control.code, CODE_OK);
        ck_assert_int_eq(service_record_decode_whole(f->body, f->control.n_body, &record), 0);
        ck_assert(key_equal(&record.service.signer, identity_public(process)));
}

/* Nobody that the other bridge could hear of, as far as a relay that started just now can say. */
static void expect_no_clock(TestBridge *bridge) {
        const TestFrame *f = ask_clock(bridge);

        ck_assert(f->control.code == CODE_SETTLING || f->control.code == CODE_NO_PROVIDER);
        ck_assert_uint_eq(f->control.n_body, 0);
}

START_TEST(names_are_found_on_other_links_as_long_as_they_are_provided) {
        start_pair();
        expect_no_clock(&a);
        say_service(&b, bob, 0, 0);
        ping(&b);
        expect_clock(&a, bob);
        expect_no_clock(&b); /* its own it knows */
        say_service(&b, bob, SIGNED_RECORD_WITHDRAWN, 1);
        ping(&b);
        expect_no_clock(&a);

        say_service(&b, bob, 0, 2);
        ping(&b);
        expect_clock(&a, bob);
        (void)bridge_say(&b, &(Control){ .verb = CONTROL_SERVICE,
                                         .code = CODE_GONE,
                                         .address = bob_address,
                                         .body = (const uint8_t *)CLOCK,
                                         .n_body = strlen(CLOCK) });
        ping(&b);
        expect_no_clock(&a);

        say_service(&b, bob, 0, 3);
        ping(&b);
        expect_clock(&a, bob);
        (void)bridge_say(&b, &(Control){ .verb = CONTROL_DETACHED, .address = bob_address });
        ping(&b);
        expect_no_clock(&a);
        stop();
}
END_TEST

START_TEST(a_bridge_speaks_for_names_of_its_own_processes_alone) {
        IdentityKey *nobody = process_of(77);

        start_pair();
        say_service(&a, nobody, 0, 0); /* who has no lease at all */
        ck_assert_uint_eq(expect_word(&a, CONTROL_ERROR)->control.code, CODE_NOT_LEASED);
        say_service(&a, bob, 0, 0); /* whose lease is on another link */
        ck_assert_uint_eq(expect_word(&a, CONTROL_ERROR)->control.code, CODE_NOT_LEASED);
        expect_no_clock(&a);
        say_service(&b, bob, 0, 0);
        ping(&b);
        (void)bridge_say(&a, &(Control){ .verb = CONTROL_SERVICE,
                                         .code = CODE_GONE,
                                         .address = bob_address,
                                         .body = (const uint8_t *)CLOCK,
                                         .n_body = strlen(CLOCK) });
        ck_assert_uint_eq(expect_word(&a, CONTROL_ERROR)->control.code, CODE_NOT_LEASED);
        expect_clock(&a, bob);
        (void)bridge_say(&a, &(Control){ .verb = CONTROL_SERVICE,
                                         .body = (const uint8_t *)"no record",
                                         .n_body = 9 });
        ck_assert_uint_eq(expect_word(&a, CONTROL_ERROR)->control.code, CODE_VIOLATION);
        say_service(&a, alice, 0, 3600);
        ck_assert_uint_eq(expect_word(&a, CONTROL_ERROR)->control.code, CODE_CLOCK);
        (void)bridge_say(&a, &(Control){ .verb = CONTROL_RESOLVE_NAME,
                                         .body = (const uint8_t *)"clock",
                                         .n_body = 5 });
        ck_assert_uint_eq(expect_word(&a, CONTROL_SERVICES)->control.code, CODE_UNSUPPORTED);
        identity_free(nobody);
        stop();
}
END_TEST

START_TEST(names_go_with_their_link_and_with_their_lease) {
        start_pair();
        say_service(&b, bob, 0, 0);
        ping(&b);
        expect_clock(&a, bob);
        bridge_down(&b);
        WAIT_FOR(relay_said_it, (void *)"link down");
        ck_assert_uint_eq(ask_clock(&a)->control.code, CODE_SETTLING); /* it may come back */
        bridge_up(&b, &relay);
        bridge_lease(&b, bob, CODE_OK);
        say_service(&b, bob, 0, 1);
        ping(&b);
        expect_clock(&a, bob);

        /* The process has gone over to the other host, and says nothing there of the name. */
        {
                uint8_t lease[SIGNED_RECORD_LEASE_SIZE];

                lease_of(bob, &a, 2, lease);
                (void)bridge_say(&a, &(Control){ .verb = CONTROL_LEASE,
                                                 .body = lease,
                                                 .n_body = sizeof(lease) });
                ck_assert_uint_eq(expect_word(&a, CONTROL_LEASED)->control.code, CODE_OK);
        }
        expect_no_clock(&b);
        expect_no_clock(&a);
        stop();
}
END_TEST

START_TEST(who_is_revoked_provides_nothing) {
        const SignedRecord record = {
                .type = SIGNED_RECORD_TOMB,
                .issued_usec = now_usec(CLOCK_REALTIME),
                .not_after_usec = USEC_NEVER,
        };
        uint8_t tomb[CONTROL_TOMB_SIZE];
        size_t n;

        start_pair();
        say_service(&b, bob, 0, 0);
        ping(&b);
        expect_clock(&a, bob);
        ck_assert_int_eq(signed_record_sign(&record, bob, tomb, sizeof(tomb), &n), 0);
        (void)bridge_say(&a, &(Control){ .verb = CONTROL_REVOKE, .body = tomb, .n_body = n });
        ping(&a);
        expect_no_clock(&a);
        say_service(&b, bob, 0, 1);
        ck_assert_uint_eq(expect_word(&b, CONTROL_ERROR)->control.code, CODE_NOT_LEASED);
        stop();
}
END_TEST

/* Alice wants something, and her bridge asks whether the others know; its id. */
static PacketId want_and_ask(void) {
        const Control ping = { .verb = CONTROL_PING, .value = PING_ALL };
        uint8_t body[CONTROL_KEY_SIZE + 1];

        memcpy(body, identity_public(alice)->bytes, CONTROL_KEY_SIZE);
        body[CONTROL_KEY_SIZE] = 't';
        (void)bridge_say(&a, &(Control){ .verb = CONTROL_WANTED,
                                         .value = WANTED_BEGIN,
                                         .address = alice_address,
                                         .body = body,
                                         .n_body = sizeof(body) });
        return bridge_say(&a, &ping);
}

static void start_synced(void) {
        const Control synced = { .verb = CONTROL_SYNCED };

        start_pair();
        (void)bridge_say(&a, &synced);
        (void)bridge_say(&b, &synced);
        (void)expect_word(&a, CONTROL_SYNCED);
        (void)expect_word(&b, CONTROL_SYNCED);
        ping(&b); /* which was told that nothing is wanted yet */
}

static void expect_pong(PacketId id, uint32_t value) {
        const TestFrame *pong = expect_word(&a, CONTROL_PONG);

        ck_assert_mem_eq(&pong->control.ref, &id, sizeof(id));
        ck_assert_uint_eq(pong->control.value, value);
}

START_TEST(a_bridge_hears_when_all_others_have_what_it_said) {
        Control pong = { .verb = CONTROL_PONG, .value = PING_ALL };
        const TestFrame *f;
        PacketId id;

        start_synced();
        id = want_and_ask();
        ck_assert_uint_eq(expect_word(&b, CONTROL_WANTED)->control.n_body, CONTROL_KEY_SIZE + 1);
        f = expect_word(&b, CONTROL_PING);
        ck_assert_uint_eq(f->control.value, PING_ALL);
        ping(&a); /* whose own heartbeat has nothing to do with it: the first PONG is this one's */
        pong.ref = f->header.id;
        (void)bridge_say(&b, &pong);
        expect_pong(id, PING_ALL);
        stop();
}
END_TEST

START_TEST(a_bridge_is_answered_when_the_other_one_is_lost) {
        PacketId id;

        start_synced();
        id = want_and_ask();
        (void)expect_word(&b, CONTROL_PING);
        bridge_die(&b);
        expect_pong(id, 0);
        stop();
}
END_TEST

/* Its first process may publish as soon as it has one. */
START_TEST(a_bridge_without_a_lease_is_waited_for_too) {
        Control pong = { .verb = CONTROL_PONG, .value = PING_ALL };
        PacketId id;

        start_synced();
        (void)bridge_say(&b, &(Control){ .verb = CONTROL_DETACHED, .address = bob_address });
        ping(&b);
        id = want_and_ask();
        pong.ref = expect_word(&b, CONTROL_PING)->header.id;
        (void)bridge_say(&b, &pong);
        expect_pong(id, PING_ALL);
        stop();
}
END_TEST

START_TEST(a_bridge_is_answered_when_the_other_one_says_nothing) {
        PacketId id;

        start_synced();
        id = want_and_ask();
        expect_pong(id, 0);
        id = want_and_ask();
        expect_pong(id, 0);
        stop();
}
END_TEST

START_TEST(open_bridge_has_few_leases) {
        start_with("--open");
        bridge_up(&a, &relay);
        ck_assert(relay_said(&relay, "under the small limits"));
        for (unsigned i = 0; i < 70; i++) {
                IdentityKey *process = process_of((uint8_t)(10 + i));

                bridge_lease(&a, process, i < 64 ? CODE_OK : CODE_QUOTA);
                identity_free(process);
        }
        stop();
}
END_TEST

/* T54: who floods a link loses his own packets, and is told; a neighbour's pass. */
START_TEST(flood_to_one_link_leaves_room_for_others) {
        static TestBridge c;
        static uint8_t batch[LINK_PLAIN_MAX];
        IdentityKey *carol = process_of(3);
        char key_a[KEY_TEXT_SIZE], key_b[KEY_TEXT_SIZE], key_c[KEY_TEXT_SIZE];
        Address carol_address = identity_hash(carol)->address;
        size_t n;

        bridge_init(&a, 1);
        bridge_init(&b, 2);
        bridge_init(&c, 3);
        relay_start(&relay, "--listen", "127.0.0.1:0", "--allow", bridge_key(&a, key_a), "--allow",
                    bridge_key(&b, key_b), "--allow", bridge_key(&c, key_c), NULL);
        alice = process_of(1);
        bob = process_of(2);
        alice_address = identity_hash(alice)->address;
        bob_address = identity_hash(bob)->address;
        bridge_up(&a, &relay);
        bridge_up(&b, &relay);
        bridge_up(&c, &relay);
        bridge_lease(&a, alice, CODE_OK);
        bridge_lease(&b, bob, CODE_OK);
        bridge_lease(&c, carol, CODE_OK);

        /* b reads nothing; a sends until the relay says that it is too much. */
        ws_pause(b.connection);
        for (;;) {
                bool overload = false;

                for (n = 0; n + PACKET_HEADER_SIZE + 1000 <= sizeof(batch);)
                        n += bridge_packet(&a, alice_address, bob_address, 1000, batch + n);
                bridge_send_bytes(&a, batch, n);
                ping(&a);
                for (size_t i = 0; i < a.n_frames; i++)
                        overload = overload || (a.frames[i].header.kind == PACKET_CONTROL &&
                                                a.frames[i].control.verb == CONTROL_ERROR &&
                                                a.frames[i].control.code == CODE_OVERLOAD);
                if (overload)
                        break;
                ck_assert(!b.closed);
        }
        /* c has sent nothing yet: its packet finds room, and comes through. */
        bridge_send(&c, carol_address, bob_address, 33);
        ping(&c);
        ck_assert_uint_eq(c.n_frames, c.n_seen); /* no ERROR behind the PONG */
        ws_resume(b.connection);
        for (;;) {
                const TestFrame *f = expect_packet(&b);

                if (address_equal(f->header.src, carol_address)) {
                        ck_assert_uint_eq(f->n_payload, 33);
                        break;
                }
                if (b.n_frames == TEST_FRAMES_MAX)
                        b.n_frames = b.n_seen = 0;
        }
        ck_assert(!b.closed);
        bridge_done(&c);
        identity_free(carol);
        stop();
}
END_TEST

/* Of @code about a packet of @src, among what @bridge got; the earlier are forgotten. */
static bool heard_error(TestBridge *bridge, Address src, uint16_t code) {
        for (size_t i = 0; i < bridge->n_frames; i++) {
                const TestFrame *f = &bridge->frames[i];

                if (f->header.kind == PACKET_CONTROL && f->control.verb == CONTROL_ERROR &&
                    f->control.code == code && address_equal(f->header.dst, src))
                        return true;
        }
        bridge->n_frames = bridge->n_seen = 0;
        return false;
}

static Address carol_address;

/*
 * b reads nothing; alice sends to bob until it is too much; then carol, behind a as she is, sends
 * him one more, which finds room.
 */
static void fill_queue_of_b(void) {
        static uint8_t batch[LINK_PLAIN_MAX];
        IdentityKey *carol = process_of(3);
        size_t n;

        start_pair();
        carol_address = identity_hash(carol)->address;
        bridge_lease(&a, carol, CODE_OK);
        ws_pause(b.connection);
        do {
                for (n = 0; n + PACKET_HEADER_SIZE + 1000 <= sizeof(batch);)
                        n += bridge_packet(&a, alice_address, bob_address, 1000, batch + n);
                bridge_send_bytes(&a, batch, n);
                ping(&a);
        } while (!heard_error(&a, alice_address, CODE_OVERLOAD));
        bridge_send(&a, carol_address, bob_address, 33);
        ping(&a);
        ck_assert(!heard_error(&a, carol_address, CODE_OVERLOAD));
        identity_free(carol);
}

static bool a_heard_of_carol(void *userdata) {
        (void)userdata;
        return heard_error(&a, carol_address, CODE_SETTLING);
}

START_TEST(what_waits_for_a_link_that_dies_is_told_to_its_sender) {
        fill_queue_of_b();
        bridge_die(&b);
        WAIT_FOR(a_heard_of_carol, NULL);
        stop();
}
END_TEST

static bool carol_came_through(void *userdata) {
        TestBridge *bridge = userdata;

        for (size_t i = 0; i < bridge->n_frames; i++)
                if (bridge->frames[i].header.kind == PACKET_SEALED &&
                    address_equal(bridge->frames[i].header.src, carol_address))
                        return true;
        return false;
}

START_TEST(what_waits_for_a_bridge_that_comes_back_goes_to_its_newer_link) {
        static TestBridge again;

        fill_queue_of_b();
        bridge_init(&again, 2); /* the same key */
        bridge_up(&again, &relay);
        WAIT_FOR(carol_came_through, &again);
        bridge_done(&again);
        stop();
}
END_TEST

START_TEST(bridge_that_takes_nothing_is_cut) {
        Control word = { .verb = CONTROL_PING };
        static uint8_t batch[LINK_PLAIN_MAX];
        size_t n;

        ck_assert_int_eq(setenv("CHECK_RELAY_CONF", "Heartbeat=1s", 1), 0);
        start_pair();
        ws_pause(b.connection);
        while (!relay_said(&relay, "takes nothing")) {
                bridge_say(&b, &word); /* it is there, and says so */
                for (n = 0; n + PACKET_HEADER_SIZE + 1000 <= sizeof(batch);)
                        n += bridge_packet(&a, alice_address, bob_address, 1000, batch + n);
                bridge_send_bytes(&a, batch, n);
                ping(&a);
                a.n_frames = a.n_seen = 0;
        }
        ping(&a);
        stop();
}
END_TEST

START_TEST(bridge_that_says_nothing_is_asked_and_then_cut) {
        ck_assert_int_eq(setenv("CHECK_RELAY_CONF", "Heartbeat=1s", 1), 0);
        start_pair();
        expect_word(&a, CONTROL_PING);
        WAIT_FOR(relay_said_it, (void *)"says nothing");
        WAIT_FOR(bridge_is_closed, &a);
        stop();
}
END_TEST

/* The handshake */

static bool a_answered(void *userdata) {
        (void)userdata;
        return a.n_message > 0 || a.closed;
}

/* Sends msg1 and waits for msg2, which a.link consumes. */
static void shake_half(void) {
        uint8_t message[LINK_HANDSHAKE_MAX];
        size_t n;

        bridge_connect(&a, &relay, true);
        ck_assert_int_eq(link_create(a.link, message, sizeof(message), &n), 0);
        ck_assert_int_eq(ws_send(a.connection, message, n), 0);
        WAIT_FOR(a_answered, NULL);
        ck_assert(!a.closed);
        ck_assert_int_eq(link_consume(a.link, a.message, a.n_message, now_usec(CLOCK_REALTIME)), 0);
}

START_TEST(unwelcome_bridge_is_told_so) {
        start();
        bridge_done(&a);
        bridge_init(&a, 50); /* not on the list */
        bridge_connect(&a, &relay, false);
        WAIT_FOR(bridge_is_closed, &a);
        ck_assert_msg(strstr(a.reason, "is not allowed"), "%s", a.reason);
        bridge_up(&b, &relay);
        stop();
}
END_TEST

/* T46, T49: first messages that are none. */
static const struct {
        const char *what;
        size_t n;
        uint8_t fill;
} first_messages[] = {
        { "empty", 0, 0 },     { "31 bytes", 31, 0x55 }, { "33 bytes", 33, 0x55 },
        { "all zero", 32, 0 }, { "a frame", 72, 1 },     { "64 KiB", 65535, 0xff },
};

START_TEST(first_message_must_be_a_key) {
        static uint8_t message[65535];

        start();
        bridge_connect(&a, &relay, true);
        memset(message, first_messages[_i].fill, sizeof(message));
        ck_assert_int_eq(ws_send(a.connection, message, first_messages[_i].n), 0);
        WAIT_FOR(bridge_is_closed, &a);
        ck_assert_msg(a.n_message == 0, "answered: %s", first_messages[_i].what);
        bridge_up(&b, &relay);
        stop();
}
END_TEST

/* T46: points that yield no secret, from the list of Wycheproof. */
static const char *const low_order[] = {
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

START_TEST(low_order_point_is_no_key) {
        uint8_t point[32];

        start();
        for (unsigned i = 0; i < 32; i++) {
                unsigned byte;

                ck_assert_int_eq(sscanf(low_order[_i] + 2 * i, "%2x", &byte), 1);
                point[i] = (uint8_t)byte;
        }
        bridge_connect(&a, &relay, true);
        ck_assert_int_eq(ws_send(a.connection, point, sizeof(point)), 0);
        WAIT_FOR(bridge_is_closed, &a);
        ck_assert_uint_eq(a.n_message, 0);
        bridge_up(&b, &relay);
        stop();
}
END_TEST

START_TEST(changed_third_message_is_refused) {
        uint8_t message[LINK_HANDSHAKE_MAX];
        size_t n;

        start();
        shake_half();
        ck_assert_int_eq(link_create(a.link, message, sizeof(message), &n), 0);
        message[(size_t)_i * (n - 1) / 7] ^= 1; /* the ends, and in between */
        ck_assert_int_eq(ws_send(a.connection, message, n), 0);
        WAIT_FOR(bridge_is_closed, &a);
        bridge_up(&b, &relay);
        stop();
}
END_TEST

START_TEST(overlong_third_message_is_refused) {
        uint8_t message[LINK_HANDSHAKE_MAX + 1] = { 0 };

        start();
        shake_half();
        ck_assert_int_eq(ws_send(a.connection, message, sizeof(message)), 0);
        WAIT_FOR(bridge_is_closed, &a);
        ck_assert_str_eq(a.reason, "closed by the peer: 1009 message too long");
        stop();
}
END_TEST

/* T47 */
START_TEST(replayed_third_message_is_refused) {
        uint8_t message[LINK_HANDSHAKE_MAX];
        size_t n;

        start();
        shake_half();
        ck_assert_int_eq(link_create(a.link, message, sizeof(message), &n), 0);
        bridge_down(&a);
        shake_half();
        ck_assert_int_eq(ws_send(a.connection, message, n), 0);
        WAIT_FOR(bridge_is_closed, &a);
        stop();
}
END_TEST

/* T44: a link whose initiator says it is a relay has another prologue. */
START_TEST(wrong_role_is_refused) {
        uint8_t message[LINK_HANDSHAKE_MAX];
        SignedRecord record = {
                .type = SIGNED_RECORD_RELAY,
                .issued_usec = now_usec(CLOCK_REALTIME),
                .not_after_usec = now_usec(CLOCK_REALTIME) + SIGNED_RECORD_RELAY_LIFE_USEC,
                .relay = { .max_frame = FRAME_SIZE_MAX },
        };
        uint8_t bytes[SIGNED_RECORD_SIZE_MAX];
        size_t n;

        start();
        bridge_connect(&a, &relay, true);
        memcpy(record.relay.encpk, encryption_key_public(a.key), CRYPTO_DH_SIZE);
        ck_assert_int_eq(signed_record_sign(&record, a.identity, bytes, sizeof(bytes), &n), 0);
        a.link = link_free(a.link);
        ck_assert_int_eq(link_new(&a.link, &(LinkOptions){ .initiator = true,
                                                           .initiator_role = LINK_ROLE_RELAY,
                                                           .identity = a.identity,
                                                           .key = a.key,
                                                           .record = { bytes, n } }),
                         0);
        ck_assert_int_eq(link_create(a.link, message, sizeof(message), &n), 0);
        ck_assert_int_eq(ws_send(a.connection, message, n), 0);
        WAIT_FOR(a_answered, NULL);
        ck_assert_int_eq(link_consume(a.link, a.message, a.n_message, now_usec(CLOCK_REALTIME)),
                         LINK_E_VIOLATION);
        bridge_up(&b, &relay);
        stop();
}
END_TEST

/* T50 */
START_TEST(transport_message_must_be_the_next_one) {
        uint8_t message[2][PACKET_HEADER_SIZE + CONTROL_HEAD_SIZE + LINK_OVERHEAD];
        Control control = { .verb = CONTROL_PING };
        const size_t n = control_packet_size(&control);
        PacketId id = { { 0 } };

        start();
        bridge_up(&a, &relay);
        for (unsigned i = 0; i < 2; i++) {
                control_packet_encode(&control, (Address){ PID_BRIDGE, 0 },
                                      (Address){ PID_RELAY, 0 }, &id, message[i]);
                ck_assert_int_eq(link_encrypt(a.link, message[i], n, message[i]), 0);
        }
        switch (_i) {
        case 0: /* a flipped bit */
                message[0][40] ^= 4;
                ck_assert_int_eq(ws_send(a.connection, message[0], sizeof(message[0])), 0);
                break;
        case 1: /* sent twice */
                ck_assert_int_eq(ws_send(a.connection, message[0], sizeof(message[0])), 0);
                ck_assert_int_eq(ws_send(a.connection, message[0], sizeof(message[0])), 0);
                break;
        case 2: /* out of order */
                ck_assert_int_eq(ws_send(a.connection, message[1], sizeof(message[1])), 0);
                break;
        case 3: /* cut */
                ck_assert_int_eq(ws_send(a.connection, message[0], LINK_OVERHEAD - 1), 0);
                break;
        case 4: /* empty */
                ck_assert_int_eq(ws_send(a.connection, message[0], 0), 0);
                break;
        }
        WAIT_FOR(bridge_is_closed, &a);
        bridge_up(&b, &relay);
        stop();
}
END_TEST

/* What is well encrypted and still no bridge's to send. */
static const struct {
        const char *what;
        size_t at; /* of the packet below; the byte is set to @value */
        uint8_t value;
        const char *said;
} bad_frames[] = {
        { "size zero", 0, 0, "malformed frame" },
        { "size over the limit", 2, 2, "malformed frame" },
        { "type zero", 4, 0, "malformed frame" },
        { "HELLO", 4, 1, "malformed" },
        { "unknown type", 4, 9, "malformed frame" },
        { "descriptors", 5, 1, "malformed frame" },
        { "reserved byte", 9, 1, "malformed packet" },
        { "kind RECORDS", 64, 1, "packet that no bridge sends" },
        { "unknown kind", 64, 7, "malformed packet" },
        { "CONTROL of a process", 64, 3, "control word of somebody else" },
        { "REMOTE", 6, 1, "packet that no bridge sends" },
        { "fragment over the last", 68, 1, "malformed packet" },
};

START_TEST(bad_frame_closes_the_link) {
        uint8_t bytes[PACKET_HEADER_SIZE + CONTROL_HEAD_SIZE + 8];
        size_t n;

        start_pair();
        n = bridge_packet(&a, alice_address, bob_address, CONTROL_HEAD_SIZE + 8, bytes);
        bytes[bad_frames[_i].at] = bad_frames[_i].value;
        bridge_send_bytes(&a, bytes, n);
        WAIT_FOR(bridge_is_closed, &a);
        WAIT_FOR(relay_said_it, (void *)bad_frames[_i].said);
        ping(&b);
        ck_assert_uint_eq(b.n_packets, 0);
        stop();
}
END_TEST

START_TEST(control_word_the_relay_does_not_take) {
        Control control = { .verb = CONTROL_GATEWAY };
        uint8_t bytes[PACKET_HEADER_SIZE + CONTROL_HEAD_SIZE];
        const TestFrame *f;
        PacketId id;

        start();
        bridge_up(&a, &relay);
        id = bridge_say(&a, &control); /* of the local plane */
        f = expect_word(&a, CONTROL_ERROR);
        ck_assert_uint_eq(f->control.code, CODE_UNSUPPORTED);
        ck_assert_mem_eq(&f->control.ref, &id, sizeof(id));
        control.verb = 999; /* of a later version */
        (void)bridge_say(&a, &control);
        ck_assert_uint_eq(expect_word(&a, CONTROL_ERROR)->control.code, CODE_UNSUPPORTED);
        ping(&a);

        /* A body that does not fit its verb is a violation. */
        control.verb = CONTROL_PING;
        control_packet_encode(&control, (Address){ PID_BRIDGE, 0 }, (Address){ PID_RELAY, 0 }, &id,
                              bytes);
        bytes[PACKET_HEADER_SIZE] = CONTROL_LEASE;
        bridge_send_bytes(&a, bytes, sizeof(bytes));
        WAIT_FOR(bridge_is_closed, &a);
        stop();
}
END_TEST

/* Limits before the handshake */

static int raw_connect(void) {
        struct sockaddr_storage address;
        socklen_t n;
        char text[WS_ADDRESS_TEXT_SIZE];
        int fd;

        snprintf(text, sizeof(text), "%.*s", (int)strcspn(strstr(relay.url, "//") + 2, "#/"),
                 strstr(relay.url, "//") + 2);
        ck_assert_int_eq(ws_address_parse(text, &address, &n), 0);
        fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, n), 0);
        return fd;
}

START_TEST(address_without_a_key_gets_few_sockets) {
        int fds[40];
        char byte;
        unsigned n_alive = 0;

        start_with("--open");
        bridge_up(&a, &relay);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = raw_connect();
        ping(&a); /* the relay has accepted, or not, what came before */
        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                if (recv(fds[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN)
                        n_alive++;
                fd_close(fds[i]);
        }
        ck_assert_uint_ge(n_alive, 8);
        ck_assert_uint_le(n_alive, 20);
        ping(&a);
        stop();
}
END_TEST

/* T48: what is below the handshake. */

#define WANTS_SUBPROTOCOL(name)                                                                    \
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"               \
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"             \
        "Sec-WebSocket-Protocol: " name "\r\n\r\n"
#define UPGRADE WANTS_SUBPROTOCOL("p2pbus.v1")
#define BYTES(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

static const struct {
        const char *what;
        const char *head;
        const uint8_t *bytes; /* once the relay has answered; or NULL */
        size_t n_bytes;
        const char *why; /* in the log */
} rubbish[] = {
        { "a text frame", UPGRADE, BYTES(0x81, 0x81, 0, 0, 0, 0, 'x'), "text frame" },
        { "a continuation of nothing", UPGRADE, BYTES(0x80, 0x81, 0, 0, 0, 0, 1),
          "continuation without a start, or a start without an end" },
        { "a frame that is longer than any", UPGRADE,
          BYTES(0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4, 9), "message too long" },
        { "a length of 64 bits and one more", UPGRADE, BYTES(0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0),
          "malformed frame" },
        /* libwebsockets takes these; they still have to be Noise. */
        { "a frame that is not masked", UPGRADE, BYTES(0x82, 0x05, 1, 2, 3, 4, 5),
          "malformed handshake" },
        { "another subprotocol", WANTS_SUBPROTOCOL("chat"), NULL, 0,
          "upgrade to subprotocol chat" },
        { "a request for something else", "GET /secret HTTP/1.1\r\nHost: x\r\n\r\n", NULL, 0,
          "HTTP request, status 404" },
        { "no HTTP", "SSH-2.0-OpenSSH_9.2\r\n", NULL, 0, "no HTTP request" },
};

/* "no link from ADDRESS: WHY" */
static const char *expected_line(int fd, const char *why) {
        static char line[256];
        struct sockaddr_storage self = { 0 };
        socklen_t n = sizeof(self);
        char address[WS_ADDRESS_TEXT_SIZE];

        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&self, &n), 0);
        (void)snprintf(line, sizeof(line), "no link from %s: %s (",
                       ws_address_format((struct sockaddr *)&self, address), why);
        return line;
}

START_TEST(rubbish_closes_its_own_connection_and_is_logged) {
        static char got[4096];
        size_t n_got = 0;
        ssize_t n = 1;
        int fd;

        start_pair();
        fd = raw_connect();
        ck_assert_int_gt(send(fd, rubbish[_i].head, strlen(rubbish[_i].head), 0), 0);
        if (rubbish[_i].bytes) {
                while (n > 0 && !memmem(got, n_got, "\r\n\r\n", 4)) {
                        n = recv(fd, got + n_got, sizeof(got) - n_got, 0);
                        n_got += n > 0 ? (size_t)n : 0;
                }
                ck_assert_int_eq(memcmp(got, "HTTP/1.1 101 ", 13), 0);
                ck_assert_int_gt(send(fd, rubbish[_i].bytes, rubbish[_i].n_bytes, 0), 0);
        }
        while (recv(fd, got, sizeof(got), 0) > 0) /* until it is closed, whatever we do not say */
                ;
        WAIT_FOR(relay_said_it, (void *)expected_line(fd, rubbish[_i].why));
        fd_close(fd);

        bridge_send(&a, alice_address, bob_address, 1);
        expect_packet(&b);
        ping(&a);
        stop();
}
END_TEST

/* HTTP */

static void http_get(const char *path, char *out, size_t n_out) {
        char request[128];
        int fd = raw_connect();
        size_t n = 0;
        ssize_t k;

        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
        ck_assert_int_eq(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
        while (n < n_out - 1 && (k = recv(fd, out + n, n_out - 1 - n, 0)) > 0)
                n += (size_t)k;
        out[n] = '\0';
        fd_close(fd);
}

START_TEST(metrics_count) {
        static char text[65536];

        start_pair();
        bridge_send(&a, alice_address, bob_address, 1);
        expect_packet(&b);
        http_get("/healthz", text, sizeof(text));
        ck_assert_msg(strstr(text, "HTTP/1.1 200 ") && strstr(text, "\r\n\r\nok\n"), "%s", text);
        http_get("/metrics", text, sizeof(text));
        ck_assert_ptr_nonnull(strstr(text, "content-type: application/openmetrics-text; "
                                           "version=1.0.0; charset=utf-8\r\n"));
        ck_assert_ptr_nonnull(strstr(text, "\np2pbus_relay_links 2\n"));
        ck_assert_ptr_nonnull(strstr(text, "\np2pbus_relay_leases 2\n"));
        ck_assert_ptr_nonnull(strstr(text, "\np2pbus_relay_packets_forwarded_total 1\n"));
        ck_assert_ptr_nonnull(strstr(text, "# TYPE p2pbus_relay_dropped_overload counter\n"));
        ck_assert_str_eq(text + strlen(text) - 6, "# EOF\n");
        http_get("/", text, sizeof(text));
        ck_assert_ptr_nonnull(strstr(text, "HTTP/1.1 404 "));
        stop();
}
END_TEST

START_TEST(link_works_over_tls) {
        char names[3][KEY_TEXT_SIZE + 64], command[1024], folder[] = "./check_relay.XXXXXX";

        bridge_init(&a, 1);
        bridge_init(&b, 2);
        ck_assert_ptr_nonnull(mkdtemp(folder));
        snprintf(command, sizeof(command),
                 "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
                 "-days 2 -subj /CN=relay -keyout %s/key.pem -out %s/cert.pem 2>%s/log",
                 folder, folder, folder);
        ck_assert_int_eq(system(command), 0);
        snprintf(names[0], sizeof(names[0]), "--tls-cert=%s/cert.pem", folder);
        snprintf(names[1], sizeof(names[1]), "--tls-key=%s/key.pem", folder);
        relay_start(&relay, "--listen", "127.0.0.1:0", "--open", names[0], names[1], NULL);
        ck_assert_int_eq(strncmp(relay.url, "wss://127.0.0.1:", 16), 0);
        alice = process_of(1);
        bob = process_of(2);
        bridge_up(&a, &relay);
        bridge_up(&b, &relay);
        bridge_lease(&a, alice, CODE_OK);
        bridge_lease(&b, bob, CODE_OK);
        bridge_send(&a, identity_hash(alice)->address, identity_hash(bob)->address, 60000);
        ck_assert_uint_eq(expect_packet(&b)->n_payload, 60000);
        snprintf(command, sizeof(command), "rm -r %s", folder);
        ck_assert_int_eq(system(command), 0);
        stop();
}
END_TEST

/* Start and stop */

START_TEST(reload_changes_who_may_come) {
        char path[96], key[KEY_TEXT_SIZE], allow[KEY_TEXT_SIZE + 8];
        FILE *f;

        bridge_init(&a, 1);
        bridge_init(&b, 2);
        alice = process_of(1);
        bob = process_of(2);
        snprintf(allow, sizeof(allow), "Allow=%s", bridge_key(&a, key));
        ck_assert_int_eq(setenv("CHECK_RELAY_CONF", allow, 1), 0);
        relay_start(&relay, "--listen", "127.0.0.1:0", NULL);
        snprintf(path, sizeof(path), "%s/relay.conf", relay.folder);
        bridge_up(&a, &relay);
        bridge_connect(&b, &relay, false);
        WAIT_FOR(bridge_is_closed, &b);

        f = fopen(path, "w");
        fprintf(f, "[Relay]\nAllow=%s\n", bridge_key(&b, key));
        fclose(f);
        ck_assert_int_eq(kill(relay.os_pid, SIGHUP), 0);
        WAIT_FOR(relay_said_it, (void *)"configuration read again");
        bridge_down(&b);
        bridge_up(&b, &relay);
        ping(&a); /* whose link it keeps */

        f = fopen(path, "w");
        fprintf(f, "[Relay]\nAlow=x\n");
        fclose(f);
        ck_assert_int_eq(kill(relay.os_pid, SIGHUP), 0);
        WAIT_FOR(relay_said_it, (void *)"stays as it was");
        ck_assert(relay_said(&relay, "relay.conf:2: "));
        bridge_down(&b);
        bridge_up(&b, &relay);
        stop();
}
END_TEST

static bool heard(int fd, const char *text, char *said, size_t n_said) {
        size_t n = strlen(said);
        ssize_t k;

        while (n < n_said - 2 && (k = recv(fd, said + n, n_said - 2 - n, MSG_DONTWAIT)) > 0) {
                n += (size_t)k;
                said[n++] = '\n';
                said[n] = '\0';
        }
        return strstr(said, text) != NULL;
}

static struct {
        int fd;
        const char *text;
        char said[8192];
} notified;

static bool manager_heard(void *userdata) {
        (void)userdata;
        return heard(notified.fd, notified.text, notified.said, sizeof(notified.said));
}

START_TEST(service_manager_is_told) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        socklen_t n;

        memset(&notified, 0, sizeof(notified));
        n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                        (size_t)snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
                                         "check_relay.%d", (int)getpid()));
        notified.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(bind(notified.fd, (struct sockaddr *)&address, n), 0);
        address.sun_path[0] = '@';
        ck_assert_int_eq(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
        ck_assert_int_eq(setenv("WATCHDOG_USEC", "400000", 1), 0);
        start();
        notified.text = "READY=1";
        WAIT_FOR(manager_heard, NULL);
        notified.text = "WATCHDOG=1";
        WAIT_FOR(manager_heard, NULL);
        bridge_up(&a, &relay);
        bridge_lease(&a, alice, CODE_OK);
        notified.text = "STATUS=1 links, 1 addresses";
        WAIT_FOR(manager_heard, NULL);
        ck_assert_int_eq(kill(relay.os_pid, SIGTERM), 0);
        notified.text = "STOPPING=1";
        WAIT_FOR(manager_heard, NULL);
        fd_close(notified.fd);
        stop();
}
END_TEST

START_TEST(goodbye_comes_before_the_end) {
        start_pair();
        ck_assert_int_eq(kill(relay.os_pid, SIGTERM), 0);
        ck_assert_uint_eq(expect_word(&a, CONTROL_GOODBYE)->control.code, CODE_SHUTDOWN);
        ck_assert_uint_eq(expect_word(&b, CONTROL_GOODBYE)->control.code, CODE_SHUTDOWN);
        bridge_send(&a, alice_address, bob_address, 6); /* packets still pass */
        ck_assert_uint_eq(expect_packet(&b)->n_payload, 6);

        /* a leaves, b does not: it is closed in the end. */
        bridge_down(&a);
        WAIT_FOR(bridge_is_closed, &b);
        stop(); /* which waits, and sees status 0 */
}
END_TEST

START_TEST(key_is_made_once_and_kept) {
        char path[96], first[KEY_TEXT_SIZE];
        IdentityKey *identity;

        start();
        ck_assert(relay_said(&relay, "made key "));
        snprintf(path, sizeof(path), "%s/key", relay.folder);
        ck_assert_int_eq(identity_load(&identity, path), 0);
        ck_assert_str_eq(key_format(identity_public(identity), first), strchr(relay.url, '#') + 1);
        identity_free(identity);
        stop();
}
END_TEST

static const struct {
        const char *options[4];
        int status;
        const char *said;
} wrong_starts[] = {
        { { "--listen", "127.0.0.1:0" }, 2, "nobody may connect" },
        { { "--open", "--listen", "nowhere" }, 2, "--listen nowhere: not ADDR:PORT" },
        { { "--open", "--listen", "127.0.0.1:99999" }, 2, "not ADDR:PORT" },
        { { "--allow", "e85004f63798e2c0" }, 2, "not a whole key" },
        { { "--allow", "xyz" }, 2, "not a key" },
        { { "--open", "--tls-cert", "/dev/null" }, 2, "TLS needs both" },
        { { "--open", "--config", "/nonexistent/relay.conf" }, 1, "/nonexistent/relay.conf" },
        { { "--open", "--key", "/dev/null" }, 1, "not a regular file" },
        { { "--open", "extra" }, 2, "no operand" },
        { { "--open", "--unknown" }, 2, "unknown" },
};

START_TEST(wrong_start_says_what_is_wrong) {
        const char *const *o = wrong_starts[_i].options;
        int status = relay_try(&relay, o[0], o[1], o[2], o[3], NULL);

        ck_assert_msg(status == wrong_starts[_i].status, "%d: %s", status, relay.said);
        ck_assert_msg(relay_said(&relay, wrong_starts[_i].said), "%s", relay.said);
        ck_assert_ptr_nonnull(strstr(relay.said, "p2pbus-relay"));
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("relay");
        TCase *tcase = tcase_create("relay");

        tcase_add_test(tcase, packet_goes_from_bridge_to_bridge);
        tcase_add_test(tcase, many_packets_go_in_few_messages);
        tcase_add_test(tcase, frames_may_be_cut_anywhere);
        tcase_add_test(tcase, nobody_there_is_said_at_once);
        tcase_add_test(tcase, question_is_answered_with_the_lease);
        tcase_add_test(tcase, detached_process_is_gone);
        tcase_add_test(tcase, bridge_that_comes_back_takes_over);
        tcase_add_test(tcase, lost_bridge_leaves_its_processes_settling);
        tcase_add_test(tcase, lease_must_name_the_link_that_presents_it);
        tcase_add_test(tcase, revocation_is_kept);
        tcase_add_test(tcase, stranger_cannot_hand_in_revocations);
        tcase_add_test(tcase, packet_of_an_unleased_source_is_dropped);
        tcase_add_test(tcase, errors_are_rate_limited);
        tcase_add_test(tcase, a_bridge_refuses_for_its_own_host_alone);
        tcase_add_test(tcase, lookups_are_rate_limited);
        tcase_add_test(tcase, names_are_found_on_other_links_as_long_as_they_are_provided);
        tcase_add_test(tcase, a_bridge_speaks_for_names_of_its_own_processes_alone);
        tcase_add_test(tcase, names_go_with_their_link_and_with_their_lease);
        tcase_add_test(tcase, who_is_revoked_provides_nothing);
        tcase_add_test(tcase, a_bridge_hears_when_all_others_have_what_it_said);
        tcase_add_test(tcase, a_bridge_is_answered_when_the_other_one_is_lost);
        tcase_add_test(tcase, a_bridge_without_a_lease_is_waited_for_too);
        tcase_add_test(tcase, a_bridge_is_answered_when_the_other_one_says_nothing);
        tcase_add_test(tcase, open_bridge_has_few_leases);
        tcase_add_test(tcase, flood_to_one_link_leaves_room_for_others);
        tcase_add_test(tcase, what_waits_for_a_link_that_dies_is_told_to_its_sender);
        tcase_add_test(tcase, what_waits_for_a_bridge_that_comes_back_goes_to_its_newer_link);
        tcase_add_test(tcase, bridge_that_takes_nothing_is_cut);
        tcase_add_test(tcase, bridge_that_says_nothing_is_asked_and_then_cut);
        tcase_add_test(tcase, unwelcome_bridge_is_told_so);
        tcase_add_loop_test(tcase, first_message_must_be_a_key, 0, ELEMENTSOF(first_messages));
        tcase_add_loop_test(tcase, low_order_point_is_no_key, 0, ELEMENTSOF(low_order));
        tcase_add_loop_test(tcase, changed_third_message_is_refused, 0, 8);
        tcase_add_test(tcase, overlong_third_message_is_refused);
        tcase_add_test(tcase, replayed_third_message_is_refused);
        tcase_add_test(tcase, wrong_role_is_refused);
        tcase_add_loop_test(tcase, transport_message_must_be_the_next_one, 0, 5);
        tcase_add_loop_test(tcase, bad_frame_closes_the_link, 0, ELEMENTSOF(bad_frames));
        tcase_add_test(tcase, control_word_the_relay_does_not_take);
        tcase_add_test(tcase, address_without_a_key_gets_few_sockets);
        tcase_add_loop_test(tcase, rubbish_closes_its_own_connection_and_is_logged, 0,
                            ELEMENTSOF(rubbish));
        tcase_add_test(tcase, metrics_count);
        tcase_add_test(tcase, link_works_over_tls);
        tcase_add_test(tcase, reload_changes_who_may_come);
        tcase_add_test(tcase, service_manager_is_told);
        tcase_add_test(tcase, goodbye_comes_before_the_end);
        tcase_add_test(tcase, key_is_made_once_and_kept);
        tcase_add_loop_test(tcase, wrong_start_says_what_is_wrong, 0, ELEMENTSOF(wrong_starts));
        suite_add_tcase(suite, tcase);
        return suite;
}
