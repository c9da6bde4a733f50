/* SPDX-License-Identifier: Apache-2.0 */

/* Names, monitors and questions. */

#include "config.h"

#include <fcntl.h>
#include <stdio.h>

#include "libcore/provider.h"
#include "tests/bystanders.h"
#include "tests/main.h"

static void say_name(Client *c, ControlVerb verb, uint32_t value, const char *name) {
        client_say(c, &(Control){ .verb = (uint16_t)verb,
                                  .value = value,
                                  .body = (const uint8_t *)name,
                                  .n_body = strlen(name) });
}

START_TEST(names_have_providers) {
        static const char *const bad[] = {
                "x", "..", "a..b", "Upper.case", "caf\xc3\xa9.x", "e85004f63798e2c0.x"
        };
        const Control *word;

        bystanders_start(NULL);
        say_name(&x, CONTROL_RESOLVE_NAME, 0, "com.example.a");
        ck_assert_uint_eq(expect_word(&x, CONTROL_NAMED)->code, CODE_NO_PROVIDER);
        say_name(&y, CONTROL_OWN, OWN_CLAIM, "com.example.a");
        expect_word(&y, CONTROL_OK);
        say_name(&y, CONTROL_OWN, OWN_CLAIM, "com.example.a");
        expect_word(&y, CONTROL_OK); /* again: the same */
        say_name(&x, CONTROL_OWN, OWN_CLAIM, "com.example.a");
        expect_word(&x, CONTROL_OK);
        say_name(&x, CONTROL_RESOLVE_NAME, 0, "com.example.a");
        word = expect_word(&x, CONTROL_NAMED);
        ck_assert_uint_eq(word->n_body, 2 * PROVIDER_ENTRY_SIZE);
        ck_assert_mem_eq(word->body, identity_public(y.key)->bytes, KEY_SIZE);
        say_name(&y, CONTROL_OWN, OWN_RELEASE, "com.example.a");
        expect_word(&y, CONTROL_OK);
        say_name(&y, CONTROL_OWN, OWN_RELEASE, "com.example.a");
        expect_error(&y, CODE_NO_PROVIDER);
        say_name(&x, CONTROL_RESOLVE_NAME, 0, "com.example.a");
        ck_assert_mem_eq(expect_word(&x, CONTROL_NAMED)->body, identity_public(x.key)->bytes,
                         KEY_SIZE);
        for (unsigned i = 0; i < ELEMENTSOF(bad); i++) {
                say_name(&x, CONTROL_OWN, OWN_CLAIM, bad[i]);
                expect_error(&x, CODE_UNSUPPORTED);
        }
        bystanders_stop();
}
END_TEST

static void claim(Client *c, const char *name, ProviderRank rank) {
        const ProviderClaim said = { .name = name, .n_name = strlen(name), .rank = rank };
        uint8_t body[PROVIDER_CLAIM_MAX];

        client_say(c, &(Control){ .verb = CONTROL_OWN,
                                  .value = OWN_CLAIM,
                                  .body = body,
                                  .n_body = provider_claim_encode(&said, body) });
        expect_word(c, CONTROL_OK);
}

/* The only provider that NAMED tells of, in answer to @ref. */
static ProviderEntry expect_only(Client *c, const PacketId *ref) {
        const Control *word = expect_word(c, CONTROL_NAMED);
        ProviderEntry entry;

        ck_assert_mem_eq(&word->ref, ref, sizeof(*ref));
        ck_assert_uint_eq(word->n_body, PROVIDER_ENTRY_SIZE);
        provider_entry_decode(word->body, &entry);
        return entry;
}

static PacketId watch(Client *c, uint32_t value, const char *name) {
        return client_say(c, &(Control){ .verb = CONTROL_RESOLVE_NAME,
                                         .value = value,
                                         .body = (const uint8_t *)name,
                                         .n_body = strlen(name) });
}

START_TEST(who_watches_a_name_hears_of_each_change) {
        ProviderEntry entry;
        PacketId ref;

        bystanders_start(NULL);
        ref = watch(&x, RESOLVE_NAME_WATCH, "com.example.a");
        ck_assert_uint_eq(expect_word(&x, CONTROL_NAMED)->code, CODE_NO_PROVIDER);
        claim(&y, "com.example.a", (ProviderRank){ 10, 20, 0 });
        entry = expect_only(&x, &ref);
        ck_assert_mem_eq(entry.key, identity_public(y.key)->bytes, KEY_SIZE);
        ck_assert_uint_eq(entry.rank.priority, 10);
        ck_assert_uint_eq(entry.rank.weight, 20);
        claim(&y, "com.example.a", (ProviderRank){ 10, 20, 0 });
        claim(&y, "com.example.a", (ProviderRank){ 10, 20, PROVIDER_DRAIN });
        ck_assert_uint_eq(expect_only(&x, &ref).rank.flags,
                          PROVIDER_DRAIN); /* one change, not two */

        /* Asked again, it is the same watch, with another ref. */
        ref = watch(&x, RESOLVE_NAME_WATCH, "com.example.a");
        (void)expect_only(&x, &ref);
        client_close(&y);
        ck_assert_uint_eq(expect_word(&x, CONTROL_NAMED)->code, CODE_NO_PROVIDER);
        expect_silence(&x);

        (void)watch(&x, RESOLVE_NAME_END, "com.example.a");
        (void)watch(&x, RESOLVE_NAME_END, "com.example.never");
        claim(&x, "com.example.a", (ProviderRank){ 1, 1, 0 });
        expect_silence(&x);
        (void)watch(&x, RESOLVE_NAME_END + 1, "com.example.a");
        expect_error(&x, CODE_UNSUPPORTED);
        client_close(&x);
        daemon_stop(&d);
}
END_TEST

START_TEST(watches_have_a_limit) {
        char name[32];
        Client user;

        if (!is_root("limits of another user"))
                return;
        daemon_start(&d, "--system", "[Limits]\nSubscriptions=8\n");
        client_open_as(&user, &d, 0, 1);
        for (unsigned i = 0; i < 8; i++) {
                (void)snprintf(name, sizeof(name), "com.example.n%u", i);
                (void)watch(&user, RESOLVE_NAME_WATCH, name);
                ck_assert_uint_eq(expect_word(&user, CONTROL_NAMED)->code, CODE_NO_PROVIDER);
        }
        (void)watch(&user, RESOLVE_NAME_WATCH, "com.example.more");
        expect_error(&user, CODE_QUOTA);
        (void)watch(&user, RESOLVE_NAME_ONCE, "com.example.more");
        ck_assert_uint_eq(expect_word(&user, CONTROL_NAMED)->code, CODE_NO_PROVIDER);
        (void)watch(&user, RESOLVE_NAME_END, "com.example.n3");
        (void)watch(&user, RESOLVE_NAME_WATCH, "com.example.more");
        ck_assert_uint_eq(expect_word(&user, CONTROL_NAMED)->code, CODE_NO_PROVIDER);
        client_close(&user);
        daemon_stop(&d);
}
END_TEST

START_TEST(names_of_others_and_too_many_are_refused) {
        char name[64];
        Client root, user;

        if (!is_root("names of two users"))
                return;
        daemon_start(&d, "--system", NULL);
        client_open(&root, &d, 0);
        client_open_as(&user, &d, 0, 1); /* "daemon", an account of every Debian */
        say_name(&user, CONTROL_OWN, OWN_CLAIM, "com.example.a");
        expect_error(&user, CODE_DENIED);
        say_name(&user, CONTROL_OWN, OWN_CLAIM, "user.daemonic.a");
        expect_error(&user, CODE_DENIED);
        say_name(&root, CONTROL_OWN, OWN_CLAIM, "user.daemon.a");
        expect_word(&root, CONTROL_OK);
        say_name(&user, CONTROL_OWN, OWN_CLAIM, "user.daemon.a");
        expect_error(&user, CODE_BUSY); /* owned, by another user */
        for (unsigned i = 0; i < 64; i++) {
                (void)snprintf(name, sizeof(name), "user.daemon.n%u", i);
                say_name(&user, CONTROL_OWN, OWN_CLAIM, name);
                expect_word(&user, CONTROL_OK);
        }
        say_name(&user, CONTROL_OWN, OWN_CLAIM, "user.daemon.more");
        expect_error(&user, CODE_QUOTA);
        client_close(&user); /* and all are free again */
        do
                say_name(&root, CONTROL_RESOLVE_NAME, 0, "user.daemon.n1");
        while (expect_word(&root, CONTROL_NAMED)->code != CODE_NO_PROVIDER);
        client_close(&root);
        daemon_stop(&d);
}
END_TEST

START_TEST(a_monitor_sees_packets_and_everybody_knows) {
        const Received *got;
        const Control *word;
        Client m;

        bystanders_start(NULL);
        client_open(&m, &d, 0);
        client_say(&m, &(Control){ .verb = CONTROL_MONITOR, .value = MONITOR_FULL });
        ck_assert_uint_eq(expect_word(&m, CONTROL_OK)->value, MONITOR_FULL);
        ck_assert_uint_eq(expect_word(&x, CONTROL_NOTICE)->value,
                          HELLO_MONITORED | HELLO_MONITORED_FULL | HELLO_RINGS);
        client_send(&x, y.address, PACKET_RECORDS, "seen", 4);
        got = expect_payload(&y, PACKET_RECORDS, "seen", 4);
        word = expect_word(&m, CONTROL_MONITORED);
        ck_assert_uint_eq(word->value, 0);
        ck_assert_uint_eq(word->n_body, CONTROL_MONITORED_HEAD_SIZE + PACKET_HEADER_SIZE + 4);
        ck_assert_mem_eq(word->body + CONTROL_MONITORED_HEAD_SIZE, got->bytes,
                         PACKET_HEADER_SIZE + 4);

        client_say(&m, &(Control){ .verb = CONTROL_MONITOR,
                                   .value = MONITOR_HEADERS,
                                   .address = { y.address.pid, 0 } });
        expect_word(&m, CONTROL_OK);
        client_send(&x, x.address, PACKET_RECORDS, "not this", 8);
        expect_payload(&x, PACKET_RECORDS, "not this", 8);
        client_send(&x, y.address, PACKET_RECORDS, "seen", 4);
        expect_payload(&y, PACKET_RECORDS, "seen", 4);
        word = expect_word(&m, CONTROL_MONITORED);
        ck_assert_uint_eq(word->value, 1); /* the payload was left out */
        ck_assert_uint_eq(word->n_body, CONTROL_MONITORED_HEAD_SIZE + PACKET_HEADER_SIZE);

        client_say(&m, &(Control){ .verb = CONTROL_MONITOR });
        expect_word(&m, CONTROL_OK);
        ck_assert_uint_eq(expect_word(&x, CONTROL_NOTICE)->value, HELLO_RINGS);
        client_close(&m);
        bystanders_stop();
}
END_TEST

START_TEST(a_monitor_that_stalls_loses_packets_and_slows_nobody) {
        uint8_t payload[16384] = { 0 };
        Client m;

        bystanders_start(NULL);
        client_open(&m, &d, 0);
        client_say(&m, &(Control){ .verb = CONTROL_MONITOR, .value = MONITOR_FULL });
        for (unsigned i = 0; i < 300; i++) {
                client_send(&x, y.address, PACKET_RECORDS, payload, sizeof(payload));
                expect_payload(&y, PACKET_RECORDS, payload, sizeof(payload));
        }
        ck_assert_uint_gt(daemon_status(&d, "monitor_lost"), 0);
        client_close(&m);
        bystanders_stop();
}
END_TEST

START_TEST(long_answers_come_in_several_packets_of_whole_lines) {
        Client *c = calloc(1000, sizeof(*c));
        const Control *word;
        unsigned n_lines = 0, n_packets = 0;

        bystanders_start(NULL);
        for (unsigned i = 0; i < 1000; i++)
                client_open(&c[i], &d, 0);
        client_say(&x, &(Control){ .verb = CONTROL_QUERY, .value = QUERY_LIST });
        do {
                word = expect_word(&x, CONTROL_ANSWER);
                for (size_t i = 0; i < word->n_body; i++)
                        n_lines += word->body[i] == '\n';
                ck_assert_uint_eq(word->body[word->n_body - 1], '\n');
                n_packets++;
        } while (word->value == 1);
        ck_assert_uint_eq(n_lines, 1002);
        ck_assert_uint_gt(n_packets, 1);
        client_say(&x, &(Control){ .verb = CONTROL_QUERY, .value = QUERY_PEERS });
        (void)expect_word(&x, CONTROL_REPORT);
        (void)expect_word(&y, CONTROL_REPORT);
        do
                word = expect_word(&x, CONTROL_ANSWER);
        while (word->value == 1);
        client_say(&x, &(Control){ .verb = CONTROL_QUERY, .value = 99 });
        expect_error(&x, CODE_UNSUPPORTED);
        for (unsigned i = 0; i < 1000; i++)
                client_close(&c[i]);
        free(c);
        bystanders_stop();
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("daemon roles");
        TCase *roles = tcase_create("roles");

        tcase_add_test(roles, names_have_providers);
        tcase_add_test(roles, who_watches_a_name_hears_of_each_change);
        tcase_add_test(roles, watches_have_a_limit);
        tcase_add_test(roles, names_of_others_and_too_many_are_refused);
        tcase_add_test(roles, a_monitor_sees_packets_and_everybody_knows);
        tcase_add_test(roles, a_monitor_that_stalls_loses_packets_and_slows_nobody);
        tcase_add_test(roles, long_answers_come_in_several_packets_of_whole_lines);

        suite_add_tcase(suite, roles);
        return suite;
}
