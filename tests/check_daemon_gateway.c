/* SPDX-License-Identifier: Apache-2.0 */

/* What p2pbusd asks of its gateway, believes of it, and hands to it. */

#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "libcore/record.h"
#include "tests/bystanders.h"
#include "tests/main.h"

/* A lease of a process that lives elsewhere, with its key if that is asked for. */
static Address lease_from_elsewhere_with_key(uint8_t out[static CONTROL_LEASE_SIZE],
                                             PublicKey *ret_key) {
        uint8_t request[CONTROL_LEASE_REQUEST_SIZE] = { 7 };
        Client elsewhere;
        Address address;

        store_le64(request + 32, now_usec(CLOCK_REALTIME));
        store_le64(request + 40, now_usec(CLOCK_REALTIME) + 60 * USEC_PER_SEC);
        ck_assert_int_eq(identity_new_random(&elsewhere.key), 0);
        address = identity_hash(elsewhere.key)->address;
        client_make_lease(&elsewhere, request, 0, out);
        if (ret_key)
                *ret_key = *identity_public(elsewhere.key);
        identity_free(elsewhere.key);
        return address;
}

static Address lease_from_elsewhere(uint8_t out[static CONTROL_LEASE_SIZE]) {
        return lease_from_elsewhere_with_key(out, NULL);
}

/* The daemon, and a gateway that has heard from all its links. */
static void start_synced(Client *g) {
        bystanders_start(NULL);
        client_open_gateway(g, &d);
        client_say(g, &(Control){ .verb = CONTROL_SYNCED });
}

/* Whom other hosts may reach; its lease is asked for, and not given. */
static void open_without_lease(Client *c) {
        client_open(c, &d, ATTACH_OFF_HOST);
        expect_word(c, CONTROL_LEASE_REQUEST);
}

START_TEST(leases_are_asked_for_handed_over_and_kept_for_the_next_gateway) {
        uint8_t lease[CONTROL_LEASE_SIZE], seed[IDENTITY_SEED_SIZE] = { 77 };
        const Control *word;
        IdentityKey *key;
        Client a, late, g;

        bystanders_start(NULL);
        client_open(&a, &d, ATTACH_OFF_HOST);
        ck_assert_int_eq(identity_new_from_seed(&key, seed), 0);
        client_begin_gateway(&g, &d, key);
        expect_word(&g, CONTROL_SYNCED);
        client_give_lease(&a, lease);
        word = expect_word(&g, CONTROL_LEASE);
        ck_assert_mem_eq(word->body, lease, sizeof(lease));
        client_say(&g, &(Control){ .verb = CONTROL_LEASED, .value = 2, .address = a.address });
        ck_assert_uint_eq(expect_word(&a, CONTROL_REACHABLE)->value, 2);

        /* One that comes later; then it goes. */
        client_open(&late, &d, ATTACH_OFF_HOST | ATTACH_EPHEMERAL);
        ck_assert_uint_eq(load_le32(late.hello + 20), HELLO_OFF_HOST | HELLO_RINGS);
        client_give_lease(&late, lease);
        ck_assert_mem_eq(expect_word(&g, CONTROL_LEASE)->body, lease, sizeof(lease));
        client_close(&late);
        ck_assert(address_equal(expect_word(&g, CONTROL_DETACHED)->address, late.address));

        /* The gateway comes back: it gets the lease without asking the process again. */
        client_close(&g);
        do
                word = expect_word(&a, CONTROL_NOTICE);
        while (word->value & HELLO_OFF_HOST);
        ck_assert_int_eq(identity_new_from_seed(&key, seed), 0);
        client_begin_gateway(&g, &d, key);
        ck_assert(address_equal(expect_word(&g, CONTROL_LEASE)->address, a.address));
        expect_word(&g, CONTROL_SYNCED);
        expect_silence(&a);
        client_close(&g);
        client_close(&a);
        bystanders_stop();
}
END_TEST

START_TEST(bad_leases_are_refused) {
        uint8_t lease[CONTROL_LEASE_SIZE];
        Control say = { .verb = CONTROL_LEASE, .body = lease, .n_body = sizeof(lease) };
        const Control *word;
        Client a, g;

        bystanders_start(NULL);
        client_begin_gateway(&g, &d, NULL);
        client_open(&a, &d, ATTACH_OFF_HOST);
        word = expect_word(&a, CONTROL_LEASE_REQUEST);
        if (_i == 0) {
                client_make_lease(&a, word->body, 0, lease);
                lease[199] ^= 1;
                client_say(&a, &say);
                expect_error(&a, CODE_BAD_SIGNATURE);
                client_say(&a, &say); /* nobody asked */
                expect_error(&a, CODE_RATE);
        } else if (_i == 1) {
                client_make_lease(&x, word->body, 0, lease); /* of somebody else */
                client_say(&a, &say);
                expect_error(&a, CODE_BAD_SIGNATURE);
        } else if (_i == 2) {
                uint8_t request[CONTROL_LEASE_REQUEST_SIZE];

                memcpy(request, word->body, sizeof(request));
                request[0] ^= 1; /* another bridge */
                client_make_lease(&a, request, 0, lease);
                client_say(&a, &say);
                expect_error(&a, CODE_DENIED);
        } else {
                uint8_t request[CONTROL_LEASE_REQUEST_SIZE];

                memcpy(request, word->body, sizeof(request));
                store_le64(request + 40, load_le64(request + 40) + 1); /* longer than asked */
                client_make_lease(&a, request, 0, lease);
                client_say(&a, &say);
                expect_error(&a, CODE_DENIED);
        }
        expect_word(&g, CONTROL_SYNCED);
        expect_silence(&g);
        client_close(&a);
        client_close(&g);
        bystanders_stop();
}
END_TEST

START_TEST(leases_are_renewed_at_half_life) {
        uint8_t first[CONTROL_LEASE_SIZE], second[CONTROL_LEASE_SIZE];
        Client a, g;

        bystanders_start("[Bus]\nLeaseTime=2s\n");
        client_open_gateway(&g, &d);
        client_open(&a, &d, ATTACH_OFF_HOST);
        client_give_lease(&a, first);
        expect_word(&g, CONTROL_LEASE);
        client_give_lease(&a, second);
        ck_assert_mem_eq(expect_word(&g, CONTROL_LEASE)->body, second, sizeof(second));
        ck_assert_uint_gt(load_le64(second + 8), load_le64(first + 8));
        client_close(&a);
        client_close(&g);
        bystanders_stop();
}
END_TEST

START_TEST(the_gateway_says_where_others_are) {
        uint8_t lease[CONTROL_LEASE_SIZE];
        Address there = lease_from_elsewhere(lease), bare = { there.pid, 0 };
        Control found = { .verb = CONTROL_RESOLVED, .body = lease, .n_body = sizeof(lease) };
        const Control *word;
        PacketId ids[2];
        Client a, g;

        start_synced(&g);
        open_without_lease(&a);

        /* Two packets, one question. */
        ids[0] = client_send(&a, bare, PACKET_RECORDS, "1", 1);
        ids[1] = client_send(&a, bare, PACKET_RECORDS, "2", 1);
        word = expect_word(&g, CONTROL_RESOLVE);
        ck_assert(address_equal(word->address, bare));
        found.ref = g.last.header.id;
        client_say(&g, &found);
        for (unsigned i = 0; i < 2; i++) {
                word = expect_word(&a, CONTROL_NOT_LOCAL);
                ck_assert_uint_eq(word->code, CODE_OK);
                ck_assert_mem_eq(word->ref.bytes, ids[i].bytes, PACKET_ID_SIZE);
                ck_assert_mem_eq(word->body, lease, sizeof(lease));
        }
        /* Kept: the gateway is not asked again. */
        client_say(&a, &(Control){ .verb = CONTROL_RESOLVE, .address = bare });
        word = expect_word(&a, CONTROL_RESOLVED);
        ck_assert_uint_eq(word->value, RESOLVED_REMOTE);
        ck_assert_mem_eq(word->body, lease, sizeof(lease));
        expect_silence(&g);

        /* The plaintext never went there; what is sealed does, and a refusal finds its way back. */
        ids[0] = client_send(&a, there, PACKET_SEALED, "sealed", 6);
        expect_payload(&g, PACKET_SEALED, "sealed", 6);
        {
                Control refused = { .verb = CONTROL_ERROR,
                                    .code = CODE_NOT_HERE,
                                    .ref = ids[0],
                                    .address = there };
                uint8_t payload[CONTROL_HEAD_SIZE];
                PacketHeader header = { .src = { PID_BRIDGE, 0 },
                                        .dst = a.address,
                                        .kind = PACKET_CONTROL };

                control_encode(&refused, payload);
                ck_assert(client_send_header(&g, header, payload, sizeof(payload)));
        }
        word = expect_error(&a, CODE_NOT_HERE);
        ck_assert_mem_eq(word->ref.bytes, ids[0].bytes, PACKET_ID_SIZE);

        client_say(&g, &(Control){ .verb = CONTROL_PATH_CHANGED, .value = 5 });
        ck_assert_uint_eq(expect_word(&a, CONTROL_PATH_CHANGED)->value, 5);
        /* After that it is asked again; a process without OFF_HOST never is asked for. */
        client_send(&x, bare, PACKET_RECORDS, "1", 1);
        ck_assert_uint_eq(expect_word(&x, CONTROL_NOT_LOCAL)->code, CODE_NOT_HERE);
        client_send(&a, bare, PACKET_RECORDS, "1", 1);
        expect_word(&g, CONTROL_RESOLVE);
        client_say(&g, &(Control){ .verb = CONTROL_RESOLVED,
                                   .code = CODE_NOT_HERE,
                                   .ref = g.last.header.id });
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOT_LOCAL)->code, CODE_NOT_HERE);
        client_close(&a);
        client_close(&g);
        bystanders_stop();
}
END_TEST

/* Asks for @to, which the gateway is asked for. Return: that question. */
static PacketId ask_for(Client *from, Client *g, Address to) {
        client_say(from, &(Control){ .verb = CONTROL_RESOLVE, .address = to });
        (void)expect_word(g, CONTROL_RESOLVE);
        return g->last.header.id;
}

/* The gateway answers @question with a @lease, and @who hears of it. */
static void answer_with(const uint8_t *lease, Client *g, const PacketId *question, Client *who) {
        client_say(g, &(Control){ .verb = CONTROL_RESOLVED,
                                  .ref = *question,
                                  .body = lease,
                                  .n_body = CONTROL_LEASE_SIZE });
        ck_assert_uint_eq(expect_word(who, CONTROL_RESOLVED)->code, CODE_OK);
}

/* The gateway says that @who, elsewhere, wants @topic, and the daemon has heard it. */
static void say_wanted(Client *g, Address who, const PublicKey *key, char topic) {
        uint8_t body[CONTROL_KEY_SIZE + 1];

        memcpy(body, key->bytes, CONTROL_KEY_SIZE);
        body[CONTROL_KEY_SIZE] = (uint8_t)topic;
        client_say(g, &(Control){ .verb = CONTROL_WANTED,
                                  .value = WANTED_BEGIN,
                                  .address = who,
                                  .body = body,
                                  .n_body = sizeof(body) });
        expect_silence(g);
}

START_TEST(who_wants_something_anew_may_be_another_life_and_is_asked_for) {
        uint8_t lease[CONTROL_LEASE_SIZE];
        PacketId first, second;
        PublicKey key;
        Address there = lease_from_elsewhere_with_key(lease, &key);
        Client a, b, g;

        start_synced(&g);
        open_without_lease(&a);
        open_without_lease(&b);

        /* What is on its way is of before. */
        first = ask_for(&a, &g, there);
        say_wanted(&g, there, &key, 'x');
        second = ask_for(&b, &g, there);
        answer_with(lease, &g, &first, &a);
        client_say(&a, &(Control){ .verb = CONTROL_RESOLVE, .address = there });
        expect_silence(&a); /* nor is that kept */
        expect_silence(&b);
        answer_with(lease, &g, &second, &b);
        ck_assert_uint_eq(expect_word(&a, CONTROL_RESOLVED)->code, CODE_OK);

        /* So is what is kept. */
        client_say(&b, &(Control){ .verb = CONTROL_RESOLVE, .address = there });
        ck_assert_uint_eq(expect_word(&b, CONTROL_RESOLVED)->code, CODE_OK);
        say_wanted(&g, there, &key, 'y');
        first = ask_for(&b, &g, there);
        client_say(&g, &(Control){ .verb = CONTROL_RESOLVED, .code = CODE_NOT_HERE, .ref = first });
        ck_assert_uint_eq(expect_word(&b, CONTROL_RESOLVED)->code, CODE_NOT_HERE);
        client_close(&a);
        client_close(&b);
        client_close(&g);
        bystanders_stop();
}
END_TEST

START_TEST(lies_of_the_gateway_are_not_believed) {
        uint8_t lease[CONTROL_LEASE_SIZE], other[CONTROL_LEASE_SIZE];
        Address there = lease_from_elsewhere(lease);
        Control found = { .verb = CONTROL_RESOLVED, .body = lease, .n_body = sizeof(lease) };
        Client a, g;

        bystanders_start(NULL);
        client_open_gateway(&g, &d);
        open_without_lease(&a);

        client_send(&a, there, PACKET_RECORDS, "1", 1);
        expect_word(&g, CONTROL_RESOLVE);
        found.ref = g.last.header.id;
        lease[100] ^= 1;
        client_say(&g, &found);
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOT_LOCAL)->code, CODE_BAD_SIGNATURE);

        (void)lease_from_elsewhere(other);
        client_send(&a, there, PACKET_RECORDS, "1", 1);
        expect_word(&g, CONTROL_RESOLVE);
        found.ref = g.last.header.id;
        found.body = other;
        client_say(&g, &found);
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOT_LOCAL)->code, CODE_WRONG_KEY);

        /* It has not heard from all its links: "not here" is not the last word. */
        client_send(&a, there, PACKET_RECORDS, "1", 1);
        expect_word(&g, CONTROL_RESOLVE);
        client_say(&g, &(Control){ .verb = CONTROL_RESOLVED,
                                   .code = CODE_NOT_HERE,
                                   .ref = g.last.header.id });
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOT_LOCAL)->code, CODE_SETTLING);

        /* It leaves with a question open. */
        client_send(&a, there, PACKET_RECORDS, "1", 1);
        expect_word(&g, CONTROL_RESOLVE);
        client_close(&g);
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOT_LOCAL)->code, CODE_NO_ROUTE);
        client_close(&a);
        bystanders_stop();
}
END_TEST

START_TEST(there_is_one_gateway_and_it_speaks_for_strangers_alone) {
        PacketHeader header = { .src = { 0x4242424242424242, 7 }, .kind = PACKET_SEALED };
        const Received *got;
        Client a, g, second;

        bystanders_start(NULL);
        client_open(&a, &d, ATTACH_OFF_HOST);
        client_open_gateway(&g, &d);
        expect_word(&a, CONTROL_LEASE_REQUEST);
        client_open(&second, &d, 0);
        client_say(&second, &(Control){ .verb = CONTROL_GATEWAY });
        expect_error(&second, CODE_BUSY);

        header.dst = a.address;
        ck_assert(client_send_header(&g, header, "from afar", 9));
        got = expect_payload(&a, PACKET_SEALED, "from afar", 9);
        ck_assert_uint_eq(got->header.hflags, PACKET_REMOTE);
        ck_assert_uint_eq(got->header.hops, 1);
        ck_assert_uint_eq(got->header.src.pid, header.src.pid);

        /* Who did not ask to be reachable is not, and is not told apart from nobody. */
        header.dst = x.address;
        ck_assert(client_send_header(&g, header, "x", 1));
        expect_error(&g, CODE_NOT_HERE);
        ck_assert_uint_eq(g.last.header.dst.pid, header.src.pid);
        header.dst = NOWHERE;
        ck_assert(client_send_header(&g, header, "x", 1));
        expect_error(&g, CODE_NOT_HERE);

        header.dst = a.address;
        header.src = x.address; /* of this host */
        ck_assert(client_send_header(&g, header, "x", 1));
        expect_silence(&g); /* the error would be for x, who may have come here meanwhile */
        header.src = (Address){ 0x4242424242424242, 7 };
        header.hops = 8;
        ck_assert(client_send_header(&g, header, "x", 1));
        expect_error(&g, CODE_OVERLOAD);
        expect_silence(&a);
        client_say(&g, &(Control){ .verb = CONTROL_OWN,
                                   .value = OWN_CLAIM,
                                   .body = (const uint8_t *)"a.b",
                                   .n_body = 3 });
        expect_error(&g, CODE_DENIED);

        /* In the clear it brings nothing. */
        header.hops = 0;
        header.kind = PACKET_RECORDS;
        ck_assert(client_send_header(&g, header, "x", 1));
        expect_error(&g, CODE_VIOLATION);
        expect_closed(&g);
        client_close(&g);
        client_say(&second, &(Control){ .verb = CONTROL_GATEWAY });
        expect_word(&second, CONTROL_OK);
        client_close(&second);
        client_close(&a);
        bystanders_stop();
}
END_TEST

/* From now on @c may use these relays. */
static void rule(Client *g, const Client *c, const char *relays) {
        char key[KEY_TEXT_SIZE], text[512];

        (void)snprintf(text, sizeof(text), "[Match]\nKey=%s\n[Network]\nRelays=%s\n",
                       key_format(identity_public(c->key), key), relays);
        daemon_rule(&d, "50-test.policy", text);
        client_say(g, &(Control){ .verb = CONTROL_RELOAD });
        expect_word(g, CONTROL_OK);
}

#define RELAYS "wss://a.example\0ws://b:1" /* and a zero */

static void expect_relays(Client *g, const Client *c) {
        const Control *word = expect_word(g, CONTROL_RELAYS);

        ck_assert(address_equal(word->address, c->address));
        ck_assert_uint_eq(word->n_body, sizeof(RELAYS));
        ck_assert_mem_eq(word->body, RELAYS, sizeof(RELAYS));
}

START_TEST(relays_are_said_before_the_lease_and_follow_the_policy) {
        uint8_t lease[CONTROL_LEASE_SIZE], of_b[CONTROL_LEASE_SIZE];
        const Control *word;
        Client a, b, g;

        bystanders_start(NULL);
        client_open_gateway(&g, &d);
        client_open(&a, &d, ATTACH_OFF_HOST);
        rule(&g, &a, "wss://a.example ws://b:1");
        client_give_lease(&a, lease);
        expect_relays(&g, &a);
        ck_assert_mem_eq(expect_word(&g, CONTROL_LEASE)->body, lease, sizeof(lease));
        expect_word(&a, CONTROL_PATH_CHANGED); /* what it has sent may have gone elsewhere */
        client_open(&b, &d, ATTACH_OFF_HOST);
        client_give_lease(&b, of_b);
        expect_word(&g, CONTROL_LEASE); /* its relays are all */
        rule(&g, &a, "wss://a.example  ws://b:1");
        expect_silence(&g); /* nothing is another */

        daemon_rule(&d, "50-test.policy", NULL);
        client_say(&g, &(Control){ .verb = CONTROL_RELOAD });
        expect_word(&g, CONTROL_LEASE);
        ck_assert_mem_eq(g.last.word.body, lease, sizeof(lease));
        expect_word(&g, CONTROL_OK);
        expect_word(&a, CONTROL_PATH_CHANGED);
        daemon_rule(&d, "50-test.policy", "[Network]\nRelays=wss://a.example\nRelays=ws://b:1\n");
        client_say(&g, &(Control){ .verb = CONTROL_RELOAD });
        for (unsigned i = 0; i < 2; i++) {
                expect_relays(&g, i == 0 ? &a : &b);
                expect_word(&g, CONTROL_LEASE);
                expect_word(i == 0 ? &a : &b, CONTROL_PATH_CHANGED);
        }
        expect_word(&g, CONTROL_OK);
        expect_silence(&a);
        expect_silence(&b);
        client_close(&b);
        expect_word(&g, CONTROL_DETACHED);

        daemon_rule(&d, "50-test.policy", "[Network]\nRelays=none\n");
        client_say(&g, &(Control){ .verb = CONTROL_RELOAD });
        ck_assert(address_equal(expect_word(&g, CONTROL_DETACHED)->address, a.address));
        word = expect_word(&a, CONTROL_RIGHTS);
        ck_assert_uint_eq(word->code, CODE_DENIED);
        ck_assert_uint_eq(word->value, CONTROL_LEASE);
        ck_assert_ptr_nonnull(memmem(word->body, word->n_body, "[Network] Relays=none", 21));
        client_close(&a);
        client_close(&g);
        bystanders_stop();
}
END_TEST

START_TEST(who_may_not_use_all_relays_asks_for_itself) {
        uint8_t lease[CONTROL_LEASE_SIZE], payload[CONTROL_HEAD_SIZE];
        Address there = lease_from_elsewhere(lease);
        const Control question = { .verb = CONTROL_RESOLVE, .address = there };
        Control refused = { .verb = CONTROL_ERROR, .code = CODE_NOT_HERE, .address = there };
        Control found = { .verb = CONTROL_RESOLVED, .body = lease, .n_body = sizeof(lease) };
        Control absent = { .verb = CONTROL_RESOLVED, .code = CODE_NOT_HERE };
        PacketHeader header = { .src = { PID_BRIDGE, 0 }, .kind = PACKET_CONTROL };
        Client a, b, g;

        start_synced(&g);
        open_without_lease(&a);
        rule(&g, &a, "wss://a.example ws://b:1");
        expect_word(&a, CONTROL_PATH_CHANGED);
        open_without_lease(&b);

        client_say(&b, &question);
        ck_assert_uint_eq(expect_word(&g, CONTROL_RESOLVE)->n_body, 0);
        found.ref = g.last.header.id;
        client_say(&a, &question);
        ck_assert_uint_eq(expect_word(&g, CONTROL_RESOLVE)->n_body, sizeof(RELAYS));
        ck_assert_mem_eq(g.last.word.body, RELAYS, sizeof(RELAYS));
        absent.ref = g.last.header.id;
        client_say(&g, &found);
        ck_assert_uint_eq(expect_word(&b, CONTROL_RESOLVED)->code, CODE_OK);
        client_say(&a, &question); /* what b was told is not kept for it */
        expect_silence(&a);
        client_say(&g, &absent);
        for (unsigned i = 0; i < 2; i++)
                ck_assert_uint_eq(expect_word(&a, CONTROL_RESOLVED)->code, CODE_NOT_HERE);

        /* Nor does b lose what is kept because a does not get there. */
        control_encode(&refused, payload);
        header.dst = a.address;
        ck_assert(client_send_header(&g, header, payload, sizeof(payload)));
        expect_error(&a, CODE_NOT_HERE);
        client_say(&b, &question);
        ck_assert_uint_eq(expect_word(&b, CONTROL_RESOLVED)->code, CODE_OK);
        expect_silence(&g);
        client_close(&b);
        client_close(&a);
        client_close(&g);
        bystanders_stop();
}
END_TEST

START_TEST(what_who_asks_for_itself_knows_of_another_life_is_forgotten_too) {
        uint8_t lease[CONTROL_LEASE_SIZE];
        PacketId question;
        PublicKey key;
        Address there = lease_from_elsewhere_with_key(lease, &key);
        Client a, g;

        start_synced(&g);
        open_without_lease(&a);
        rule(&g, &a, "wss://a.example ws://b:1");
        expect_word(&a, CONTROL_PATH_CHANGED);

        for (unsigned i = 0; i < 2; i++) {
                question = ask_for(&a, &g, there);
                answer_with(lease, &g, &question, &a);
                say_wanted(&g, there, &key, i == 0 ? 'x' : 'y');
        }
        (void)ask_for(&a, &g, there); /* and what is on its way */
        say_wanted(&g, there, &key, 'z');
        (void)ask_for(&a, &g, there);
        client_close(&a);
        client_close(&g);
        bystanders_stop();
}
END_TEST

static char *status_of(Client *c) {
        const Control *word;

        client_say(c, &(Control){ .verb = CONTROL_QUERY, .value = QUERY_STATUS });
        word = expect_word(c, CONTROL_ANSWER);
        return strndup((const char *)word->body, word->n_body);
}

#define AFAR ((Address){ UINT64_C(0x4242424242424242), 7 })
#define FILLING 60000 /* bytes of a payload; a frame's size is that of its header more */
#define N_FILLING 50  /* so many are more than a socket takes, and less than a queue */
#define NO_TIME 1     /* a deadline that was over when the packet was sent */

/* @c: who sends it, in @src's name. */
static PacketId send_from(Client *c, Address src, Address dst, PacketKind kind, uint64_t deadline,
                          const void *payload, size_t n) {
        PacketHeader header = {
                .src = src,
                .dst = dst,
                .id = packet_id_make(now_usec(CLOCK_REALTIME), ++c->n_sent),
                .deadline_usec = deadline,
                .kind = (uint16_t)kind,
        };

        ck_assert(client_send_header(c, header, payload, n));
        return header.id;
}

static uint64_t in_a_minute(void) {
        return now_usec(CLOCK_REALTIME) + 60 * USEC_PER_SEC;
}

static void open_gateway_and(Client *g, Client *a) {
        bystanders_start(NULL);
        client_open_gateway(g, &d);
        open_without_lease(a);
        expect_silence(a);
}

/* More than a second passes for the daemon: it closes who connected now and said nothing. */
static void wait_for_a_second(void) {
        Client silent;

        daemon_configure(&d, "[Bus]\nAttachTimeout=1100ms\n");
        client_say(&y, &(Control){ .verb = CONTROL_RELOAD });
        expect_word(&y, CONTROL_OK);
        client_connect(&silent, &d, NULL);
        expect_error(&silent, CODE_TIMEOUT);
        expect_closed(&silent);
        client_close(&silent);
}

static void expect_refusal(Client *c, ControlCode code, const PacketId *id, Address src,
                           Address dst) {
        const Control *word = expect_error(c, code);

        ck_assert_mem_eq(word->ref.bytes, id->bytes, PACKET_ID_SIZE);
        ck_assert_uint_eq(word->value, REFUSED_BY_DAEMON);
        ck_assert(address_equal(word->address, dst));
        ck_assert(address_equal(c->last.header.dst, src));
}

START_TEST(what_has_waited_for_too_long_is_not_delivered_and_its_source_hears_of_it) {
        static const uint8_t filling[FILLING];
        PacketId late[3];
        char *status;
        Client a, g;

        open_gateway_and(&g, &a);
        for (unsigned i = 0; i < N_FILLING; i++)
                client_send(&x, a.address, PACKET_RECORDS, filling, sizeof(filling));
        expect_silence(&x);
        late[0] = send_from(&g, AFAR, a.address, PACKET_SEALED, NO_TIME, "late", 4);
        send_from(&g, AFAR, a.address, PACKET_SEALED, in_a_minute(), "from afar", 9);
        late[1] = send_from(&g, AFAR, a.address, PACKET_SEALED, NO_TIME, "late", 4);
        expect_silence(&g);
        late[2] = send_from(&x, x.address, a.address, PACKET_SEALED, NO_TIME, "late", 4);
        send_from(&x, x.address, a.address, PACKET_RECORDS, NO_TIME, "records", 7);
        send_from(&x, x.address, a.address, PACKET_SEALED, in_a_minute(), "from here", 9);
        send_from(&x, x.address, a.address, PACKET_SEALED, 0, "for ever", 8);
        expect_word(&x, CONTROL_NOW_LOCAL);
        expect_silence(&x);
        wait_for_a_second();

        for (unsigned i = 0; i < N_FILLING; i++)
                expect_payload(&a, PACKET_RECORDS, filling, sizeof(filling));
        expect_payload(&a, PACKET_SEALED, "from afar", 9);
        expect_payload(&a, PACKET_RECORDS, "records", 7);
        expect_payload(&a, PACKET_SEALED, "from here", 9);
        expect_payload(&a, PACKET_SEALED, "for ever", 8);
        expect_refusal(&g, CODE_EXPIRED, &late[0], AFAR, a.address);
        expect_refusal(&g, CODE_EXPIRED, &late[1], AFAR, a.address);
        expect_silence(&g);
        expect_refusal(&x, CODE_EXPIRED, &late[2], x.address, a.address);
        expect_silence(&x);
        status = status_of(&y);
        ck_assert_ptr_nonnull(strstr(status, "expired before it was delivered\t3\n"));
        free(status);
        client_close(&a);
        client_close(&g);
        bystanders_stop();
}
END_TEST

/* Both of whose process is gone and of one that reads no more. */
START_TEST(what_came_from_afar_for_who_ends_is_answered_as_if_it_came_now) {
        static const uint8_t filling[FILLING];
        const ControlCode code = _i == 0 ? CODE_NOT_HERE : CODE_GONE;
        PacketId ids[N_FILLING];
        unsigned n_whole;
        char lost[64], *status;
        int n_written;
        Client a, g;

        open_gateway_and(&g, &a);
        for (unsigned i = 0; i < N_FILLING; i++)
                ids[i] = send_from(&g, AFAR, a.address, PACKET_SEALED, in_a_minute(), filling,
                                   sizeof(filling));
        expect_silence(&g);
        client_send(&x, a.address, PACKET_SEALED, "from here", 9);
        expect_word(&x, CONTROL_NOW_LOCAL);

        /* What is in the socket is out of the daemon's hands; but not the one that is so in part. */
        ck_assert_int_eq(ioctl(a.fd, FIONREAD, &n_written), 0);
        n_whole = (unsigned)n_written / (PACKET_HEADER_SIZE + FILLING);
        ck_assert_uint_lt(n_whole, N_FILLING);
        if (_i == 0) {
                client_close(&a);
        } else {
                uint8_t buffer[65536];

                ck_assert_int_eq(shutdown(a.fd, SHUT_RD), 0);
                while (recv(a.fd, buffer, sizeof(buffer), 0) > 0)
                        ;
        }
        for (unsigned i = n_whole; i < N_FILLING; i++)
                expect_refusal(&g, code, &ids[i], AFAR, a.address);
        expect_silence(&g);
        expect_silence(&x); /* a session of this host sees for itself */
        (void)snprintf(lost, sizeof(lost), "\nlost_at_close\t%u\n", N_FILLING - n_whole + 1);
        status = status_of(&y);
        ck_assert_msg(strstr(status, lost), "not %s in %s", lost, status);
        free(status);
        if (_i == 1)
                client_close(&a);
        client_close(&g);
        bystanders_stop();
}
END_TEST

static void say_link(Client *g, uint32_t number, uint16_t code, uint64_t usec, const char *url) {
        uint8_t body[CONTROL_LINK_HEAD_SIZE + CONTROL_LINK_URL_MAX];
        Control word = { .verb = CONTROL_LINK, .code = code, .value = number, .body = body };

        store_le64(body, usec);
        memcpy(body + CONTROL_LINK_HEAD_SIZE, url, strlen(url));
        word.n_body = CONTROL_LINK_HEAD_SIZE + strlen(url);
        client_say(g, &word);
}

START_TEST(what_the_gateway_says_of_its_links_is_shown) {
        Client g;
        char *status;

        bystanders_start(NULL);
        client_open_gateway(&g, &d);
        say_link(&g, 0, CODE_OK, 4200, "wss://one.example");
        say_link(&g, 7, CODE_NO_ROUTE, USEC_NEVER, "wss://two.example");
        say_link(&g, 8, CODE_OK, 1, "wss://of.a.later.version");
        status = status_of(&g);
        ck_assert_ptr_nonnull(strstr(status, "\nlink, wss://one.example\tup\n"
                                             "link_round_trip_usec, wss://one.example\t4200\n"
                                             "link, wss://two.example\tdown\nsynced"));
        free(status);

        client_say(&g, &(Control){ .verb = CONTROL_LINK, .value = 0 }); /* it is no more */
        status = status_of(&g);
        ck_assert_ptr_null(strstr(status, "one.example"));
        free(status);

        client_close(&g);
        client_open(&g, &d, 0);
        status = status_of(&g);
        ck_assert_ptr_null(strstr(status, "link,"));
        free(status);
        client_close(&g);
        bystanders_stop();
}
END_TEST

static const char *const bad_urls[] = { "", "wss://a b", "wss://a\tb", "wss://\033[2J" };

START_TEST(what_a_terminal_would_not_bear_is_no_url) {
        Client g;

        bystanders_start(NULL);
        client_open_gateway(&g, &d);
        say_link(&g, 0, CODE_OK, 1, bad_urls[_i]);
        expect_error(&g, CODE_VIOLATION);
        expect_closed(&g);
        client_close(&g);
        bystanders_stop();
}
END_TEST

START_TEST(a_host_that_had_a_gateway_is_settling_after_a_restart) {
        Client a, g;

        daemon_start(&d, "--user", "[Bus]\nSettleTime=1h\n");
        client_open(&a, &d, ATTACH_OFF_HOST);
        client_send(&a, NOWHERE, PACKET_RECORDS, "x", 1);
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOT_LOCAL)->code, CODE_NOT_HERE);
        client_begin_gateway(&g, &d, NULL);
        client_close(&a);
        client_close(&g);
        daemon_end(&d);

        daemon_restart(&d, "--user");
        client_open(&a, &d, ATTACH_OFF_HOST);
        client_open(&g, &d, 0);
        client_send(&a, NOWHERE, PACKET_RECORDS, "x", 1);
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOT_LOCAL)->code, CODE_SETTLING);
        client_send(&g, NOWHERE, PACKET_RECORDS, "x", 1); /* only this host matters to it */
        ck_assert_uint_eq(expect_word(&g, CONTROL_NOT_LOCAL)->code, CODE_NOT_HERE);
        client_close(&a);
        client_close(&g);
        daemon_stop(&d);
}
END_TEST

/* Else it would be known to all of them. */
START_TEST(a_lease_is_not_given_without_its_relays) {
        enum { SLEEPERS = 12, PACKETS = 40 };
        const size_t sizes[] = { 60000, 16000, 3000 }; /* there is no room for RELAYS, and for LEASE there is */
        static uint8_t payload[60000];
        static char urls[8192], text[10000];
        uint8_t lease[CONTROL_LEASE_SIZE];
        Client a, b, g, sleeper[SLEEPERS];
        char key[KEY_TEXT_SIZE];
        const Control *got;
        size_t at = 0;

        bystanders_start("[Limits]\nMemory=2M\n");
        client_open_gateway(&g, &d);
        client_open(&a, &d, ATTACH_OFF_HOST);
        for (unsigned i = 0; i < 32; i++)
                at += (size_t)sprintf(urls + at, "%swss://relay%02u.example/%0200u",
                                      i == 0       ? ""
                                      : i % 4 == 0 ? "\nRelays="
                                                   : " ",
                                      i, i);
        (void)snprintf(text, sizeof(text), "[Match]\nKey=%s\n[Network]\nRelays=%s\n",
                       key_format(identity_public(a.key), key), urls);
        daemon_rule(&d, "50-test.policy", text);
        client_say(&g, &(Control){ .verb = CONTROL_RELOAD });
        expect_word(&g, CONTROL_OK);
        client_open(&b, &d, 0);
        for (unsigned i = 0; i < SLEEPERS; i++)
                client_open(&sleeper[i], &d, 0);
        for (unsigned k = 0; k < ELEMENTSOF(sizes); k++)
                for (unsigned i = 0; i < SLEEPERS; i++)
                        for (unsigned j = 0; j < PACKETS; j++) {
                                client_send(&b, sleeper[i].address, PACKET_RECORDS, payload,
                                            sizes[k]);
                                client_say(&b, &(Control){ .verb = CONTROL_RESOLVE,
                                                           .address = b.address });
                                do
                                        expect_packet(&b);
                                while (b.last.word.verb != CONTROL_RESOLVED);
                        }
        client_give_lease(&a, lease);
        client_say(&a, &(Control){ .verb = CONTROL_RESOLVE, .address = a.address });
        do
                expect_packet(&a);
        while (a.last.word.verb != CONTROL_RESOLVED); /* the lease has been seen to */
        send_from(&g, AFAR, a.address, PACKET_SEALED, 0, "hello", 5); /* by whatever relay */
        expect_error(&g, CODE_NOT_HERE);
        for (unsigned i = 0; i < SLEEPERS; i++)
                client_close(&sleeper[i]);
        got = expect_word(&g, CONTROL_RELAYS);
        ck_assert_uint_gt(got->n_body, 7000);
        got = expect_word(&g, CONTROL_LEASE);
        ck_assert_uint_eq(got->value, LEASE_RESTRICTED);
        ck_assert_mem_eq(got->body, lease, sizeof(lease));
        client_close(&a);
        client_close(&b);
        client_close(&g);
        bystanders_stop();
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("daemon gateway");
        TCase *gateway = tcase_create("gateway");

        tcase_add_test(gateway, leases_are_asked_for_handed_over_and_kept_for_the_next_gateway);
        tcase_add_test(gateway, a_lease_is_not_given_without_its_relays);
        tcase_add_loop_test(gateway, bad_leases_are_refused, 0, 4);
        tcase_add_test(gateway, leases_are_renewed_at_half_life);
        tcase_add_test(gateway, the_gateway_says_where_others_are);
        tcase_add_test(gateway, who_wants_something_anew_may_be_another_life_and_is_asked_for);
        tcase_add_test(gateway, lies_of_the_gateway_are_not_believed);
        tcase_add_test(gateway, there_is_one_gateway_and_it_speaks_for_strangers_alone);
        tcase_add_test(gateway,
                       what_has_waited_for_too_long_is_not_delivered_and_its_source_hears_of_it);
        tcase_add_loop_test(gateway, what_came_from_afar_for_who_ends_is_answered_as_if_it_came_now,
                            0, 2);
        tcase_add_test(gateway, what_the_gateway_says_of_its_links_is_shown);
        tcase_add_loop_test(gateway, what_a_terminal_would_not_bear_is_no_url, 0,
                            ELEMENTSOF(bad_urls));
        tcase_add_test(gateway, a_host_that_had_a_gateway_is_settling_after_a_restart);
        tcase_add_test(gateway, relays_are_said_before_the_lease_and_follow_the_policy);
        tcase_add_test(gateway, who_may_not_use_all_relays_asks_for_itself);
        tcase_add_test(gateway, what_who_asks_for_itself_knows_of_another_life_is_forgotten_too);

        suite_add_tcase(suite, gateway);
        return suite;
}
