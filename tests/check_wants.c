/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The daemon between a gateway and processes, all played here: what it says of this host, what it makes
 * of what others want, and whom it tells.
 */

#include "config.h"

#include <poll.h>
#include <stdio.h>

#include "daemon/wants.h"
#include "libcore/record.h"
#include "tests/harness.h"
#include "tests/main.h"

static Daemon d;
static Client gateway, a, b;
static IdentityKey *far[3];

static void start(void) {
        daemon_start(&d, "--user", NULL);
        client_open_gateway(&gateway, &d);
        client_open(&a, &d, ATTACH_OFF_HOST);
        client_open(&b, &d, 0);
        for (unsigned i = 0; i < ELEMENTSOF(far); i++)
                ck_assert_int_eq(identity_new_random(&far[i]), 0);
}

static void stop(void) {
        client_close(&gateway);
        client_close(&a);
        client_close(&b);
        for (unsigned i = 0; i < ELEMENTSOF(far); i++)
                identity_free(far[i]);
        daemon_stop(&d);
}

static void say_subscribe(Client *who, const char *pattern, uint32_t value) {
        client_say(who, &(Control){ .verb = CONTROL_SUBSCRIBE,
                                    .value = value,
                                    .body = (const uint8_t *)pattern,
                                    .n_body = strlen(pattern) });
}

static void subscribe(Client *who, const char *pattern, uint32_t value) {
        say_subscribe(who, pattern, value);
        (void)expect_word(who, CONTROL_OK);
}

/* The gateway is told that @who wants @pattern, or does not any more. */
static void expect_wanted(const Client *who, uint32_t value, const char *pattern) {
        const Control *word = expect_word(&gateway, CONTROL_WANTED);

        ck_assert_uint_eq(word->value, value);
        ck_assert(address_equal(word->address, who->address));
        ck_assert_uint_eq(word->n_body, CONTROL_KEY_SIZE + strlen(pattern));
        ck_assert_mem_eq(word->body, identity_public(who->key)->bytes, CONTROL_KEY_SIZE);
        ck_assert_mem_eq(word->body + CONTROL_KEY_SIZE, pattern, strlen(pattern));
}

/* The gateway says what @who wants; "": all that it wants. */
static void say_wanted(const IdentityKey *who, uint32_t value, uint16_t code, const char *pattern) {
        uint8_t body[CONTROL_KEY_SIZE + CONTROL_NAME_MAX];

        memcpy(body, identity_public(who)->bytes, CONTROL_KEY_SIZE);
        memcpy(body + CONTROL_KEY_SIZE, pattern, strlen(pattern));
        client_say(&gateway, &(Control){ .verb = CONTROL_WANTED,
                                         .code = code,
                                         .value = value,
                                         .address = identity_hash(who)->address,
                                         .body = body,
                                         .n_body = CONTROL_KEY_SIZE + strlen(pattern) });
}

/* The daemon has handled all that the gateway said. */
static void settle(void) {
        expect_silence(&gateway);
}

static PacketId published; /* the id of the last message */

static void publish(Client *who, const char *topic, uint32_t value) {
        static uint64_t n_published;
        uint8_t extension[3 + CONTROL_NAME_MAX], bytes[1024];
        Record r = {
                .type = RECORD_MSG,
                .message = {
                        .kind = MESSAGE_ONE_WAY,
                        .extensions = extension,
                        .n_extensions = (uint16_t)(3 + strlen(topic)),
                        .total = 1,
                        .data = (const uint8_t *)"x",
                        .n_data = 1,
                },
        };

        published = r.message.id = packet_id_make(0, ++n_published);
        extension[0] = MESSAGE_EXT_TOPIC;
        store_le16(extension + 1, (uint16_t)strlen(topic));
        memcpy(extension + 3, topic, strlen(topic));
        record_encode(&r, bytes);
        client_say(who, &(Control){ .verb = CONTROL_PUBLISH,
                                    .value = value,
                                    .body = bytes,
                                    .n_body = record_size(&r) });
}

static uint32_t begun[ELEMENTSOF(far)]; /* the numbers that came with take_readers() */

/* @who is told which of @far, a mask, read @topic. */
static unsigned take_readers(Client *who, const char *topic) {
        const Control *word = expect_word(who, CONTROL_READERS);
        size_t at = 1 + strlen(topic);
        unsigned found = 0;

        ck_assert_uint_eq(word->code, CODE_OK);
        ck_assert_uint_eq(word->body[0], strlen(topic));
        ck_assert_mem_eq(word->body + 1, topic, strlen(topic));
        for (; at < word->n_body; at += CONTROL_READER_SIZE)
                for (unsigned i = 0; i < ELEMENTSOF(far); i++)
                        if (memcmp(word->body + at, identity_public(far[i])->bytes,
                                   CONTROL_KEY_SIZE) == 0) {
                                found |= 1U << i;
                                begun[i] = load_le32(word->body + at + CONTROL_KEY_SIZE);
                        }
        ck_assert_uint_eq(at, word->n_body);
        ck_assert_uint_eq(word->value, (unsigned)__builtin_popcount(found));
        return found;
}

static void expect_readers(Client *who, const char *topic, unsigned mask) {
        ck_assert_uint_eq(take_readers(who, topic), mask);
}

START_TEST(what_is_wanted_here_follows_the_lease) {
        start();
        subscribe(&b, "stays.here", SUBSCRIBE_BEGIN); /* it does not go off-host */
        settle();
        client_give_lease(&a, NULL);
        (void)expect_word(&gateway, CONTROL_LEASE);
        subscribe(&a, "weather.*.>", SUBSCRIBE_BEGIN);
        expect_wanted(&a, WANTED_BEGIN, "weather.*.>");
        subscribe(&a, "p2pbus.process.*", SUBSCRIBE_BEGIN); /* the daemon's own stay here */
        subscribe(&a, "news", SUBSCRIBE_BEGIN);
        expect_wanted(&a, WANTED_BEGIN, "news");
        subscribe(&a, "news", SUBSCRIBE_END);
        expect_wanted(&a, WANTED_END, "news");
        settle();
        stop();
}
END_TEST

START_TEST(a_new_gateway_hears_all) {
        start();
        say_subscribe(&a, "early", SUBSCRIBE_BEGIN);
        client_give_lease(&a, NULL);
        (void)expect_word(&a, CONTROL_OK);
        (void)expect_word(&gateway, CONTROL_LEASE);
        expect_wanted(&a, WANTED_BEGIN, "early");
        client_close(&gateway);
        client_open_gateway(&gateway, &d);
        client_give_lease(&a, NULL); /* another bridge, another lease */
        (void)expect_word(&gateway, CONTROL_LEASE);
        expect_wanted(&a, WANTED_BEGIN, "early");
        stop();
}
END_TEST

START_TEST(who_publishes_is_told_who_reads) {
        start();
        say_wanted(far[0], WANTED_BEGIN, CODE_OK, "weather.*");
        say_wanted(far[1], WANTED_BEGIN, CODE_OK, ">");
        say_wanted(far[1], WANTED_BEGIN, CODE_OK, "weather.>"); /* once all the same */
        settle();
        publish(&a, "weather.paris", PUBLISH_READERS);
        (void)expect_word(&a, CONTROL_LEASE_REQUEST);
        expect_readers(&a, "weather.paris", 3);
        publish(&a, "news", PUBLISH_READERS);
        expect_readers(&a, "news", 2);
        publish(&a, "news", 0); /* it did not ask */
        expect_silence(&a);

        say_wanted(far[2], WANTED_BEGIN, CODE_OK, "news");
        expect_readers(&a, "news", 6);
        say_wanted(far[1], WANTED_END, CODE_OK, ">");
        expect_readers(&a, "news", 4);
        expect_silence(&a); /* of weather.paris nothing has changed */
        say_wanted(far[2], WANTED_END, CODE_OK, "");
        expect_readers(&a, "news", 0);
        stop();
}
END_TEST

START_TEST(who_publishes_is_told_who_wants_it_anew) {
        uint32_t first;

        start();
        say_wanted(far[0], WANTED_BEGIN, CODE_OK, "news");
        say_wanted(far[1], WANTED_BEGIN, CODE_OK, "news");
        settle();
        publish(&a, "news", PUBLISH_READERS);
        (void)expect_word(&a, CONTROL_LEASE_REQUEST);
        expect_readers(&a, "news", 3);
        first = begun[0];
        ck_assert_uint_ne(begun[0], begun[1]);

        say_wanted(far[1], WANTED_BEGIN, CODE_OK, "news"); /* said again */
        say_wanted(far[1], WANTED_BEGIN, CODE_OK, ">");    /* one more that fits */
        expect_readers(&a, "news", 3);
        ck_assert_uint_eq(begun[0], first);
        say_wanted(far[0], WANTED_END, CODE_OK, "news");
        say_wanted(far[0], WANTED_BEGIN, CODE_OK, "news");
        while (take_readers(&a, "news") != 3)
                ; /* if it was seen to be missing at all */
        ck_assert_uint_ne(begun[0], first);

        first = begun[0];
        say_wanted(far[0], WANTED_END, CODE_SETTLING, ""); /* a link is gone, and back */
        say_wanted(far[0], WANTED_BEGIN, CODE_OK, "news");
        expect_readers(&a, "news", 3);
        ck_assert_uint_ne(begun[0], first);
        stop();
}
END_TEST

static void say_readers(Client *who, const char *topic, size_t n_topic) {
        uint8_t body[1 + CONTROL_NAME_MAX];

        body[0] = (uint8_t)n_topic;
        memcpy(body + 1, topic, strlen(topic));
        client_say(
                who,
                &(Control){ .verb = CONTROL_READERS, .body = body, .n_body = 1 + strlen(topic) });
}

START_TEST(who_publishes_may_ask_without_publishing) {
        start();
        say_wanted(far[0], WANTED_BEGIN, CODE_OK, ">");
        settle();
        subscribe(&b, ">", SUBSCRIBE_BEGIN);
        say_readers(&a, "news", 4);
        (void)expect_word(&a, CONTROL_LEASE_REQUEST);
        expect_readers(&a, "news", 1);
        say_wanted(far[1], WANTED_BEGIN, CODE_OK, "news");
        expect_readers(&a, "news", 3);
        expect_silence(&b); /* nothing was published */

        say_readers(&a, "news", 5);
        (void)expect_error(&a, CODE_UNSUPPORTED);
        say_readers(&a, "a..b", 4);
        (void)expect_error(&a, CODE_UNSUPPORTED);
        say_readers(&a, "p2pbus.process.here", 19);
        (void)expect_error(&a, CODE_DENIED);
        stop();
}
END_TEST

/* @who is told that what it retained on @topic, in the message @id, is not. */
static void expect_replaced(Client *who, const char *topic, const PacketId *id) {
        const Control *word = expect_word(who, CONTROL_READERS);

        ck_assert_uint_eq(word->code, CODE_REPLACED);
        ck_assert_mem_eq(&word->ref, id, sizeof(*id));
        ck_assert_uint_eq(word->n_body, 1 + strlen(topic));
        ck_assert_mem_eq(word->body + 1, topic, strlen(topic));
}

START_TEST(who_retained_is_told_that_another_has_taken_its_place) {
        PacketId last;

        start();
        (void)expect_word(&a, CONTROL_LEASE_REQUEST);
        for (unsigned i = 0; i < 2; i++) { /* its own does not count */
                publish(&a, "news", PUBLISH_RETAIN | PUBLISH_ANSWER);
                (void)expect_word(&a, CONTROL_OK);
        }
        last = published;
        publish(&b, "news", 0);
        publish(&b, "news", PUBLISH_RETAIN);
        expect_replaced(&a, "news", &last);
        publish(&a, "news", PUBLISH_RETAIN | PUBLISH_ANSWER);
        (void)expect_word(&a, CONTROL_OK);
        expect_silence(&b); /* it keeps nothing for other hosts */
        stop();
}
END_TEST

static void set_policy(const char *text) {
        daemon_rule(&d, "50-test.policy", text);
        client_say(&a, &(Control){ .verb = CONTROL_RELOAD });
        (void)expect_word(&a, CONTROL_OK);
}

START_TEST(who_cannot_retain_is_told_without_asking) {
        Client user;

        if (geteuid() != 0) {
                printf("# SKIP who has no room to retain: needs root\n");
                return;
        }
        daemon_start(&d, "--system", "[Limits]\nRetained=1\n");
        client_open(&a, &d, 0);
        set_policy("[Network]\nPublish=yes\nSend=any\nReceiveFrom=any\n");
        client_open_as(&user, &d, ATTACH_OFF_HOST, 12345);
        publish(&user, "one", PUBLISH_RETAIN);
        publish(&user, "two", PUBLISH_RETAIN);
        expect_replaced(&user, "two", &published);
        (void)expect_error(&user, CODE_QUOTA); /* behind it */
        client_close(&user);
        client_close(&a);
        daemon_stop(&d);
}
END_TEST

START_TEST(what_policy_keeps_here_has_no_readers_elsewhere) {
        start();
        say_wanted(far[0], WANTED_BEGIN, CODE_OK, ">");
        settle();
        publish(&a, "secret.x", PUBLISH_READERS);
        (void)expect_word(&a, CONTROL_LEASE_REQUEST);
        expect_readers(&a, "secret.x", 1);
        set_policy("[Network]\nDenyTopics=secret.>\n");
        expect_readers(&a, "secret.x", 0);
        publish(&a, "secret.y", PUBLISH_READERS);
        expect_readers(&a, "secret.y", 0);
        publish(&a, "news", PUBLISH_READERS);
        expect_readers(&a, "news", 1);
        say_wanted(far[1], WANTED_BEGIN, CODE_OK, "secret.*"); /* whoever else asks for it */
        expect_silence(&a);
        set_policy("[Network]\nTopics=\n"); /* not even one */
        expect_readers(&a, "news", 0);
        set_policy(NULL);
        for (unsigned i = 0; i < 3; i++) {
                const Control *word = expect_word(&a, CONTROL_READERS);

                ck_assert_uint_eq(word->value, word->body[1] == 's' ? 2 : 1);
        }
        stop();
}
END_TEST

START_TEST(what_may_not_be_published_any_more_has_no_readers_elsewhere) {
        start();
        say_wanted(far[0], WANTED_BEGIN, CODE_OK, ">");
        settle();
        publish(&a, "secret", PUBLISH_READERS);
        (void)expect_word(&a, CONTROL_LEASE_REQUEST);
        expect_readers(&a, "secret", 1);
        set_policy("[Topics]\nDenyPublish=secret\n");
        expect_readers(&a, "secret", 0);
        say_wanted(far[1], WANTED_BEGIN, CODE_OK, "secret");
        expect_silence(&a);
        say_readers(&a, "secret", 6);
        expect_readers(&a, "secret", 0);
        publish(&a, "secret", PUBLISH_RETAIN);
        expect_replaced(&a, "secret", &published); /* nor is it retained for later */
        (void)expect_error(&a, CODE_DENIED);
        set_policy(NULL);
        expect_readers(&a, "secret", 3);
        stop();
}
END_TEST

START_TEST(who_may_not_go_to_other_hosts_now_is_told_what_was_replaced) {
        PacketId last;

        start();
        (void)expect_word(&a, CONTROL_LEASE_REQUEST);
        publish(&a, "news", PUBLISH_RETAIN | PUBLISH_ANSWER);
        (void)expect_word(&a, CONTROL_OK);
        last = published;
        daemon_rule(&d, "50-test.policy", "[Network]\nPublish=no\n");
        client_say(&b, &(Control){ .verb = CONTROL_RELOAD });
        (void)expect_word(&b, CONTROL_OK);
        (void)expect_word(&a, CONTROL_RIGHTS);
        publish(&b, "news", PUBLISH_RETAIN);
        expect_replaced(&a, "news", &last);
        stop();
}
END_TEST

START_TEST(who_wants_what_there_is_no_room_for_is_told) {
        const Control *word;

        start();
        client_give_lease(&a, NULL);
        (void)expect_word(&gateway, CONTROL_LEASE);
        subscribe(&a, "weather", SUBSCRIBE_BEGIN);
        expect_wanted(&a, WANTED_BEGIN, "weather");
        say_wanted(a.key, WANTED_END, CODE_QUOTA, "weather");
        word = expect_word(&a, CONTROL_WANTED);
        ck_assert_uint_eq(word->value, WANTED_END);
        ck_assert_uint_eq(word->code, CODE_QUOTA);
        ck_assert_mem_eq(word->body + CONTROL_KEY_SIZE, "weather", strlen("weather"));
        say_wanted(far[0], WANTED_END, CODE_QUOTA, "weather"); /* nobody here */
        settle();
        expect_silence(&a);
        stop();
}
END_TEST

START_TEST(who_stays_on_the_host_is_told_nothing) {
        const Control *word;

        start();
        say_wanted(far[0], WANTED_BEGIN, CODE_OK, ">");
        settle();
        publish(&b, "weather", PUBLISH_READERS);
        word = expect_word(&b, CONTROL_READERS);
        ck_assert_uint_eq(word->code, CODE_GONE);
        ck_assert_uint_eq(word->n_body, 1 + strlen("weather"));
        stop();
}
END_TEST

START_TEST(what_was_lost_with_a_link_stays_for_a_while) {
        start();
        say_wanted(far[0], WANTED_BEGIN, CODE_OK, "a");
        say_wanted(far[0], WANTED_END, CODE_SETTLING, "");
        settle();
        publish(&a, "a", PUBLISH_READERS);
        (void)expect_word(&a, CONTROL_LEASE_REQUEST);
        expect_readers(&a, "a", 1);
        client_close(&gateway);
        publish(&a, "a", PUBLISH_READERS);
        expect_readers(&a, "a", 1);
        client_open(&gateway, &d, 0);
        stop();
}
END_TEST

START_TEST(more_topics_than_are_kept_are_withdrawn) {
        char topic[32];

        start();
        (void)expect_word(&a, CONTROL_LEASE_REQUEST);
        for (unsigned i = 0; i <= WANTS_TOLD_ONE_MAX; i++) {
                (void)snprintf(topic, sizeof(topic), "t.%u", i);
                publish(&a, topic, PUBLISH_READERS);
                if (i == WANTS_TOLD_ONE_MAX) {
                        const Control *word = expect_word(&a, CONTROL_READERS);

                        ck_assert_uint_eq(word->code, CODE_GONE);
                        ck_assert_mem_eq(word->body + 1, "t.0", 3);
                }
                expect_readers(&a, topic, 0);
        }
        stop();
}
END_TEST

/* The gateway asks whether who publishes has heard all. */
static PacketId say_ping(void) {
        return client_say(&gateway, &(Control){ .verb = CONTROL_PING, .value = PING_ALL });
}

static void expect_pong(const PacketId *ref, uint32_t value) {
        const Control *word = expect_word(&gateway, CONTROL_PONG);

        ck_assert_uint_eq(word->value, value);
        ck_assert_mem_eq(&word->ref, ref, sizeof(*ref));
}

/* There is something in its socket now. */
static bool has_heard(const Client *who) {
        struct pollfd p = { .fd = who->fd, .events = POLLIN };

        return poll(&p, 1, 0) == 1;
}

START_TEST(the_gateway_hears_when_all_who_publish_have_heard) {
        static Client writers[100];
        PacketId id;

        start();
        for (unsigned i = 0; i < ELEMENTSOF(writers); i++) {
                client_open(&writers[i], &d, ATTACH_OFF_HOST);
                (void)expect_word(&writers[i], CONTROL_LEASE_REQUEST);
                publish(&writers[i], "news", PUBLISH_READERS);
                expect_readers(&writers[i], "news", 0);
        }
        id = say_ping();
        expect_pong(&id, PING_ALL);
        for (unsigned i = 0; i < ELEMENTSOF(far); i++) { /* the second look is not taken at once */
                say_wanted(far[i], WANTED_BEGIN, CODE_OK, "news");
                id = say_ping();
                expect_pong(&id, PING_ALL);
                for (unsigned j = 0; j < ELEMENTSOF(writers); j++)
                        ck_assert(has_heard(&writers[j]));
                for (unsigned j = 0; j < ELEMENTSOF(writers); j++)
                        expect_readers(&writers[j], "news", (2U << i) - 1);
        }
        for (unsigned i = 0; i < ELEMENTSOF(writers); i++)
                client_close(&writers[i]);
        stop();
}
END_TEST

START_TEST(each_ping_of_the_gateway_is_answered_once) {
        PacketId ids[3 * CONTROL_LINKS_MAX];
        unsigned seen[ELEMENTSOF(ids)] = { 0 }, n_true = 0;
        PacketId other;

        start();
        other = client_say(&gateway, &(Control){ .verb = CONTROL_PING });
        expect_pong(&other, 0);
        say_wanted(far[0], WANTED_BEGIN, CODE_OK, "news");
        for (unsigned i = 0; i < ELEMENTSOF(ids); i++)
                ids[i] = say_ping();
        for (unsigned i = 0; i < ELEMENTSOF(ids); i++) {
                const Control *word = expect_word(&gateway, CONTROL_PONG);

                n_true += word->value == PING_ALL;
                for (unsigned j = 0; j < ELEMENTSOF(ids); j++)
                        seen[j] += memcmp(&word->ref, &ids[j], sizeof(ids[j])) == 0;
        }
        for (unsigned i = 0; i < ELEMENTSOF(ids); i++)
                ck_assert_uint_eq(seen[i], 1);
        ck_assert_uint_ge(n_true, CONTROL_LINKS_MAX); /* the others it says nothing of */
        settle();
        stop();
}
END_TEST

START_TEST(who_had_no_room_for_its_readers_hears_of_them_later) {
        uint8_t payload[16384] = { 0 };
        Client user, sleeper;
        PacketId id;

        if (geteuid() != 0) {
                printf("# SKIP who has no room for its readers: needs root\n");
                return;
        }
        daemon_start(&d, "--system", "[Limits]\nQueueMessages=16\n");
        for (unsigned i = 0; i < ELEMENTSOF(far); i++)
                ck_assert_int_eq(identity_new_random(&far[i]), 0);
        client_open(&a, &d, 0);
        client_open(&b, &d, 0);
        set_policy("[Network]\nPublish=yes\nSend=any\nReceiveFrom=any\nTopics=>\n"
                   "[Role]\nGateway=yes\n");
        client_open_gateway(&gateway, &d);
        client_open_as(&user, &d, ATTACH_OFF_HOST, 12345);
        client_open_as(&sleeper, &d, 0, 12345);
        (void)expect_word(&user, CONTROL_LEASE_REQUEST);
        publish(&user, "news", PUBLISH_READERS);
        expect_readers(&user, "news", 0);

        while (daemon_status(&d, "refused, the receiver's queue is full") == 0)
                client_send(&user, sleeper.address, PACKET_RECORDS, payload, sizeof(payload));
        say_wanted(far[0], WANTED_BEGIN, CODE_OK, "news");
        id = say_ping();
        expect_pong(&id, 0);
        ck_assert(!has_heard(&user));
        client_close(&sleeper);
        expect_readers(&user, "news", 1);
        client_close(&user);
        stop();
}
END_TEST

START_TEST(only_the_gateway_may_say_so) {
        uint8_t body[CONTROL_KEY_SIZE + 1] = { 0 };

        start();
        body[CONTROL_KEY_SIZE] = 'a';
        client_say(&b, &(Control){ .verb = CONTROL_WANTED,
                                   .value = WANTED_BEGIN,
                                   .address = b.address,
                                   .body = body,
                                   .n_body = sizeof(body) });
        (void)expect_error(&b, CODE_UNSUPPORTED);
        /* And it only with the key of the address. */
        client_say(&gateway, &(Control){ .verb = CONTROL_WANTED,
                                         .value = WANTED_BEGIN,
                                         .address = b.address,
                                         .body = body,
                                         .n_body = sizeof(body) });
        expect_closed(&gateway);
        client_close(&gateway);
        client_open(&gateway, &d, 0);
        stop();
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("wants");
        TCase *tcase = tcase_create("wants");

        tcase_add_test(tcase, what_is_wanted_here_follows_the_lease);
        tcase_add_test(tcase, a_new_gateway_hears_all);
        tcase_add_test(tcase, who_publishes_is_told_who_reads);
        tcase_add_test(tcase, who_publishes_is_told_who_wants_it_anew);
        tcase_add_test(tcase, who_publishes_may_ask_without_publishing);
        tcase_add_test(tcase, who_retained_is_told_that_another_has_taken_its_place);
        tcase_add_test(tcase, who_cannot_retain_is_told_without_asking);
        tcase_add_test(tcase, what_policy_keeps_here_has_no_readers_elsewhere);
        tcase_add_test(tcase, what_may_not_be_published_any_more_has_no_readers_elsewhere);
        tcase_add_test(tcase, who_may_not_go_to_other_hosts_now_is_told_what_was_replaced);
        tcase_add_test(tcase, who_wants_what_there_is_no_room_for_is_told);
        tcase_add_test(tcase, who_stays_on_the_host_is_told_nothing);
        tcase_add_test(tcase, what_was_lost_with_a_link_stays_for_a_while);
        tcase_add_test(tcase, more_topics_than_are_kept_are_withdrawn);
        tcase_add_test(tcase, the_gateway_hears_when_all_who_publish_have_heard);
        tcase_add_test(tcase, each_ping_of_the_gateway_is_answered_once);
        tcase_add_test(tcase, who_had_no_room_for_its_readers_hears_of_them_later);
        tcase_add_test(tcase, only_the_gateway_may_say_so);
        suite_add_tcase(suite, tcase);
        return suite;
}
