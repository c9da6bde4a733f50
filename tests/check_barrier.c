/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The daemon between a gateway and processes that wait until other hosts have heard what they want, all
 * played here.
 */

#include "config.h"

#include <stdio.h>
#include <unistd.h>

#include "daemon/barrier.h"
#include "tests/harness.h"
#include "tests/main.h"

static Daemon d;
static Client gateway, a, b;
static PacketId asked; /* the last question to the gateway */

static void start(void) {
        daemon_start(&d, "--user", NULL);
        client_open_gateway(&gateway, &d);
        client_open(&a, &d, ATTACH_OFF_HOST);
        client_open(&b, &d, ATTACH_OFF_HOST);
}

static void stop(void) {
        client_close(&gateway);
        client_close(&a);
        client_close(&b);
        daemon_stop(&d);
}

static void give_lease(Client *who) {
        client_give_lease(who, NULL);
        (void)expect_word(&gateway, CONTROL_LEASE);
}

static void subscribe(Client *who, const char *pattern) {
        client_say(who, &(Control){ .verb = CONTROL_SUBSCRIBE,
                                    .value = SUBSCRIBE_BEGIN,
                                    .body = (const uint8_t *)pattern,
                                    .n_body = strlen(pattern) });
        (void)expect_word(who, CONTROL_OK);
}

static PacketId ping(Client *who) {
        return client_say(who, &(Control){ .verb = CONTROL_PING, .value = PING_ALL });
}

static void expect_pong(Client *who, const PacketId *id, uint32_t value) {
        const Control *word = expect_word(who, CONTROL_PONG);

        ck_assert_mem_eq(&word->ref, id, sizeof(*id));
        ck_assert_uint_eq(word->value, value);
}

/* Nobody was asked before @who, who has just said PING as @id, is answered. */
static void expect_pong_at_once(Client *who, const PacketId *id) {
        client_say(who, &(Control){ .verb = CONTROL_RESOLVE, .address = who->address });
        expect_pong(who, id, 0);
        (void)expect_word(who, CONTROL_RESOLVED);
}

static void expect_question(void) {
        const Control *word = expect_word(&gateway, CONTROL_PING);

        ck_assert_uint_eq(word->value, PING_ALL);
        asked = gateway.last.header.id;
}

static void answer(uint32_t value) {
        client_say(&gateway, &(Control){ .verb = CONTROL_PONG, .value = value, .ref = asked });
}

/* @who asks, and the gateway has its answer. */
static void ask_and_be_answered(Client *who) {
        PacketId id = ping(who);

        expect_question();
        answer(PING_ALL);
        expect_pong(who, &id, PING_ALL);
}

START_TEST(the_gateway_is_asked_behind_what_is_wanted) {
        PacketId id;

        start();
        give_lease(&a);
        for (uint32_t value = 0; value < 2; value++) { /* what it says is passed on */
                subscribe(&a, value == 0 ? "x" : "y");
                id = ping(&a);
                (void)expect_word(&gateway, CONTROL_WANTED);
                expect_question();
                expect_silence(&a);
                answer(value);
                expect_pong(&a, &id, value);
        }
        stop();
}
END_TEST

START_TEST(one_question_at_a_time_is_on_its_way) {
        PacketId first, second[3], other = { { 1 } };

        start();
        give_lease(&a);
        give_lease(&b);
        first = ping(&a);
        expect_question();
        second[0] = ping(&b);
        second[1] = ping(&a);
        second[2] = ping(&b);
        expect_silence(&a);
        expect_silence(&b);
        expect_silence(&gateway);
        client_say(&gateway, &(Control){ .verb = CONTROL_PONG, .value = PING_ALL, .ref = other });
        expect_silence(&gateway); /* that was about nothing */
        answer(PING_ALL);
        expect_pong(&a, &first, PING_ALL);
        expect_question();
        expect_silence(&a);
        expect_silence(&b);
        answer(PING_ALL);
        expect_pong(&a, &second[1], PING_ALL);
        expect_pong(&b, &second[0], PING_ALL);
        expect_pong(&b, &second[2], PING_ALL);
        answer(PING_ALL); /* once more */
        expect_silence(&gateway);
        stop();
}
END_TEST

START_TEST(who_has_no_lease_yet_waits_for_it) {
        PacketId early, late;

        start();
        give_lease(&b);
        subscribe(&b, "news");
        (void)expect_word(&gateway, CONTROL_WANTED);
        early = ping(&a);
        late = ping(&b);
        expect_question(); /* b's */
        answer(PING_ALL);
        expect_pong(&b, &late, PING_ALL);
        expect_silence(&gateway);
        (void)expect_word(&a, CONTROL_LEASE_REQUEST);
        expect_silence(&a);
        stop();

        start();
        client_say(&a, &(Control){ .verb = CONTROL_SUBSCRIBE,
                                   .value = SUBSCRIBE_BEGIN,
                                   .body = (const uint8_t *)"news",
                                   .n_body = 4 });
        early = ping(&a);
        give_lease(&a);
        (void)expect_word(&gateway, CONTROL_WANTED);
        expect_question();
        answer(PING_ALL);
        (void)expect_word(&a, CONTROL_OK);
        expect_pong(&a, &early, PING_ALL);
        stop();
}
END_TEST

START_TEST(who_need_not_wait_is_answered_at_once) {
        PacketId id;
        Client local;

        start();
        client_open(&local, &d, 0);
        id = ping(&local);
        expect_pong_at_once(&local, &id);
        give_lease(&a);
        id = client_say(&a, &(Control){ .verb = CONTROL_PING }); /* not about all */
        expect_pong_at_once(&a, &id);
        expect_silence(&gateway);
        client_close(&gateway);
        while (expect_word(&a, CONTROL_NOTICE)->value & HELLO_OFF_HOST)
                ;
        id = ping(&a);
        expect_pong_at_once(&a, &id);
        client_say(&a, &(Control){ .verb = CONTROL_PONG, .value = PING_ALL });
        (void)expect_error(&a, CODE_UNSUPPORTED);
        client_close(&local);
        client_open_gateway(&gateway, &d);
        stop();
}
END_TEST

START_TEST(when_the_gateway_leaves_all_are_answered) {
        PacketId ids[3];

        start();
        give_lease(&a);
        (void)expect_word(&b, CONTROL_LEASE_REQUEST); /* and gives none */
        ids[0] = ping(&a);
        expect_question();
        ids[1] = ping(&a);
        ids[2] = ping(&b);
        expect_silence(&a);
        expect_silence(&b);
        client_close(&gateway);
        /* At once: in front of NOTICE, which says so. */
        ck_assert_uint_eq(expect_packet(&a)->word.verb, CONTROL_PONG);
        ck_assert_mem_eq(&a.last.word.ref, &ids[0], sizeof(ids[0]));
        ck_assert_uint_eq(a.last.word.value, 0);
        ck_assert_uint_eq(expect_packet(&a)->word.verb, CONTROL_PONG);
        ck_assert_uint_eq(expect_packet(&b)->word.verb, CONTROL_PONG);
        ck_assert_mem_eq(&b.last.word.ref, &ids[2], sizeof(ids[2]));
        client_open_gateway(&gateway, &d);
        give_lease(&a);
        ask_and_be_answered(&a);
        stop();
}
END_TEST

START_TEST(who_waits_is_counted_until_it_leaves) {
        PacketId ids[2];

        if (geteuid() != 0) {
                printf("# SKIP what one user's processes wait for: needs root\n");
                return;
        }
        daemon_start(&d, "--system", "[Limits]\nRequests=2\n");
        client_open(&a, &d, 0);
        daemon_rule(&d, "50-test.policy",
                    "[Network]\nPublish=yes\nSend=any\nReceiveFrom=any\n[Role]\nGateway=yes\n");
        client_say(&a, &(Control){ .verb = CONTROL_RELOAD });
        (void)expect_word(&a, CONTROL_OK);
        client_close(&a);
        client_open_gateway(&gateway, &d);
        client_open_as(&a, &d, ATTACH_OFF_HOST, 12345);
        client_open_as(&b, &d, ATTACH_OFF_HOST, 12345);
        give_lease(&a);
        give_lease(&b);
        (void)ping(&a);
        expect_question();
        (void)ping(&a);
        (void)ping(&a);
        (void)expect_error(&a, CODE_QUOTA);
        client_close(&a);
        do
                (void)expect_packet(&gateway);
        while (gateway.last.word.verb != CONTROL_DETACHED);
        ids[0] = ping(&b);
        ids[1] = ping(&b);
        expect_silence(&b);
        answer(PING_ALL); /* to who has left */
        expect_question();
        answer(PING_ALL);
        expect_pong(&b, &ids[0], PING_ALL);
        expect_pong(&b, &ids[1], PING_ALL);
        client_open(&a, &d, 0);
        stop();
}
END_TEST

START_TEST(a_gateway_that_does_not_answer_is_waited_for_once) {
        PacketId ids[3];

        start();
        give_lease(&a);
        give_lease(&b);
        ids[0] = ping(&a);
        expect_question();
        ids[1] = ping(&b);
        expect_pong(&a, &ids[0], 0); /* after BARRIER_USEC */
        expect_pong(&b, &ids[1], 0);
        ids[2] = ping(&b);
        expect_pong_at_once(&b, &ids[2]);
        expect_silence(&gateway);
        answer(PING_ALL); /* at last */
        expect_silence(&gateway);
        ask_and_be_answered(&a);
        stop();
}
END_TEST

START_TEST(who_gives_no_lease_is_answered_all_the_same) {
        PacketId id;

        start();
        (void)expect_word(&a, CONTROL_LEASE_REQUEST);
        give_lease(&b);
        id = ping(&a);
        expect_pong(&a, &id, 0); /* after BARRIER_USEC */
        ask_and_be_answered(&b); /* the gateway is none the worse for it */
        stop();
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("barrier");
        TCase *tcase = tcase_create("barrier");

        tcase_add_test(tcase, the_gateway_is_asked_behind_what_is_wanted);
        tcase_add_test(tcase, one_question_at_a_time_is_on_its_way);
        tcase_add_test(tcase, who_has_no_lease_yet_waits_for_it);
        tcase_add_test(tcase, who_need_not_wait_is_answered_at_once);
        tcase_add_test(tcase, when_the_gateway_leaves_all_are_answered);
        tcase_add_test(tcase, who_waits_is_counted_until_it_leaves);
        tcase_add_test(tcase, a_gateway_that_does_not_answer_is_waited_for_once);
        tcase_add_test(tcase, who_gives_no_lease_is_answered_all_the_same);
        suite_add_tcase(suite, tcase);
        return suite;
}
