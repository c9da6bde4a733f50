/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Policy files and a real daemon: what it lets processes do, what it tells them, and what it takes away
 * when the files are others.
 */

#include "config.h"

#include <stdio.h>

#include "libcore/record.h"
#include "tests/harness.h"
#include "tests/main.h"

#define OTHER_UID 65534

static Daemon d;
static Client a, b;

static void start(const char *kind) {
        daemon_start(&d, kind, NULL);
        client_open(&a, &d, 0);
        client_open(&b, &d, 0);
}

static void stop(void) {
        client_close(&a);
        client_close(&b);
        daemon_stop(&d);
}

static PacketId say_text(Client *c, ControlVerb verb, uint32_t value, const char *text) {
        return client_say(c, &(Control){ .verb = (uint16_t)verb,
                                         .value = value,
                                         .body = (const uint8_t *)text,
                                         .n_body = strlen(text) });
}

/* The last word's text has @what. */
static void said(const Client *c, const char *what) {
        const Control *word = &c->last.word;

        ck_assert_msg(memmem(word->body, word->n_body, what, strlen(what)), "not '%s' but '%.*s'",
                      what, (int)word->n_body, (const char *)word->body);
}

static void expect_denied(Client *c, const char *by) {
        expect_error(c, CODE_DENIED);
        said(c, by);
}

/* What policy took from @c, which it had by @verb, and by which line. */
static void expect_taken(Client *c, ControlVerb verb, const char *what, const char *by) {
        const Control *word = expect_word(c, CONTROL_RIGHTS);
        size_t n = strlen(what) + 1;

        ck_assert_uint_eq(word->code, CODE_DENIED);
        ck_assert_uint_eq(word->value, verb);
        ck_assert_uint_gt(word->n_body, n);
        ck_assert_mem_eq(word->body, what, n);
        said(c, by);
}

static void expect_given(Client *c, uint32_t value) {
        const Control *word = expect_word(c, CONTROL_RIGHTS);

        ck_assert_uint_eq(word->code, CODE_OK);
        ck_assert_uint_eq(word->value, value);
        ck_assert_uint_eq(word->n_body, 0);
}

/* @c administers, as the owner of a user bus and root do. */
static void reload(Client *c) {
        client_say(c, &(Control){ .verb = CONTROL_RELOAD });
        expect_word(c, CONTROL_OK);
}

/* This is the policy from here on. */
static void rule(const char *text) {
        daemon_rule(&d, "50-test.policy", text);
        reload(&a);
}

static void own(Client *c, const char *name) {
        (void)say_text(c, CONTROL_OWN, OWN_CLAIM, name);
        expect_word(c, CONTROL_OK);
}

static bool is_provided(Client *c, const char *name) {
        (void)say_text(c, CONTROL_RESOLVE_NAME, 0, name);
        return expect_word(c, CONTROL_NAMED)->code == CODE_OK;
}

static void subscribe(Client *c, const char *pattern) {
        (void)say_text(c, CONTROL_SUBSCRIBE, SUBSCRIBE_BEGIN, pattern);
        expect_word(c, CONTROL_OK);
}

static void publish(Client *c, const char *topic) {
        uint8_t extension[64] = { MESSAGE_EXT_TOPIC, (uint8_t)strlen(topic), 0 }, bytes[512];
        Record record = {
                .type = RECORD_MSG,
                .message = { .kind = MESSAGE_ONE_WAY,
                             .extensions = extension,
                             .n_extensions = (uint16_t)(3 + strlen(topic)) },
        };

        memcpy(extension + 3, topic, strlen(topic));
        record_encode(&record, bytes);
        client_say(c, &(Control){ .verb = CONTROL_PUBLISH,
                                  .value = PUBLISH_ANSWER,
                                  .body = bytes,
                                  .n_body = record_size(&record) });
}

static bool is_root(const char *what) {
        if (geteuid() == 0)
                return true;
        printf("# SKIP %s: needs root\n", what);
        return false;
}

/* --- what is denied, and by what --- */

START_TEST(denials_name_the_line) {
        start("--user");
        rule("[Own]\nDenyName=com.example.*\n[Topics]\nDenyPublish=x.>\n"
             "DenySubscribe=y.>\n[Role]\nMonitor=none\nGateway=no\n");
        (void)say_text(&a, CONTROL_OWN, OWN_CLAIM, "com.example.x");
        expect_denied(&a, "50-test.policy:2: [Own] DenyName=com.example.*");
        publish(&a, "x.1");
        expect_denied(&a, "50-test.policy:4: [Topics] DenyPublish=x.>");
        (void)say_text(&a, CONTROL_SUBSCRIBE, SUBSCRIBE_BEGIN, "*.1");
        expect_denied(&a, "50-test.policy:5: [Topics] DenySubscribe=y.>");
        client_say(&a, &(Control){ .verb = CONTROL_MONITOR, .value = MONITOR_HEADERS });
        expect_denied(&a, "50-test.policy:7: [Role] Monitor=none");
        client_say(&a, &(Control){ .verb = CONTROL_GATEWAY });
        expect_denied(&a, "50-test.policy:8: [Role] Gateway=no");
        ck_assert_uint_eq(daemon_said_times(&d, "may not own com.example.x: "), 1);
        own(&a, "com.other.x");
        publish(&a, "z.1");
        expect_word(&a, CONTROL_OK);
        stop();
}
END_TEST

START_TEST(a_publisher_is_logged_once_and_told_each_time) {
        start("--user");
        rule("[Topics]\nDenyPublish=x.>\n");
        for (unsigned i = 0; i < 3; i++) {
                publish(&a, "x.1");
                expect_denied(&a, "50-test.policy:2:");
        }
        ck_assert_uint_eq(daemon_said_times(&d, "may not publish on x.1"), 1);
        stop();
}
END_TEST

START_TEST(a_pair_that_is_denied_is_logged_once_and_told_each_time) {
        static const uint8_t payload[4] = { 0 };

        start("--user");
        rule("[Talk]\nDenySendTo=same-user\n");
        for (unsigned i = 0; i < 3; i++) {
                client_send(&a, b.address, PACKET_RECORDS, payload, sizeof(payload));
                expect_denied(&a, "50-test.policy:2: the sender's [Talk] DenySendTo=same-user");
        }
        ck_assert_uint_eq(daemon_said_times(&d, "may not send to "), 1);
        expect_silence(&b);
        stop();
}
END_TEST

START_TEST(users_are_apart_until_a_file_says_otherwise) {
        static const uint8_t payload[4] = { 0 };
        Client other;

        if (!is_root("users_are_apart_until_a_file_says_otherwise"))
                return;
        start("--system");
        client_open_as(&other, &d, 0, OTHER_UID);
        client_send(&other, a.address, PACKET_RECORDS, payload, sizeof(payload));
        expect_denied(&other, "(built-in) 00-default.policy:10: the receiver's [Talk] "
                              "ReceiveFrom=same-user root does not have it");
        (void)say_text(&other, CONTROL_EXPLAIN, 0, "uid\t0\n");
        expect_denied(&other, "(built-in) 00-default.policy:25: [Role] Admin=no");

        rule("[Match]\nUser=root\n[Talk]\nReceiveFrom=user:65534\n");
        client_send(&other, a.address, PACKET_RECORDS, payload, sizeof(payload));
        expect_payload(&a, PACKET_RECORDS, payload, sizeof(payload));

        /* Only who owns a name: what was found out about the pair is not kept then. */
        daemon_rule(&d, "50-test.policy",
                    "[Match]\nUser=root\n[Talk]\n"
                    "ReceiveFrom=name:user.*\n[Own]\n");
        daemon_rule(&d, "60-test.policy", "[Own]\nName=user.x.y\n");
        reload(&a);
        client_send(&other, a.address, PACKET_RECORDS, payload, sizeof(payload));
        expect_denied(&other, "50-test.policy:4:");
        own(&other, "user.x.y");
        client_send(&other, a.address, PACKET_RECORDS, payload, sizeof(payload));
        expect_payload(&a, PACKET_RECORDS, payload, sizeof(payload));
        (void)say_text(&other, CONTROL_OWN, OWN_RELEASE, "user.x.y");
        expect_word(&other, CONTROL_OK);
        client_send(&other, a.address, PACKET_RECORDS, payload, sizeof(payload));
        expect_denied(&other, "50-test.policy:4:");
        expect_silence(&a);
        client_close(&other);
        stop();
}
END_TEST

/* --- what a reload takes away, and gives --- */

START_TEST(a_reload_takes_names_subscriptions_and_roles) {
        start("--user");
        own(&b, "com.example.x");
        own(&b, "com.other.x");
        subscribe(&b, "x.>");
        subscribe(&b, "z.*");
        client_say(&b, &(Control){ .verb = CONTROL_MONITOR, .value = MONITOR_FULL });
        expect_word(&b, CONTROL_OK);
        ck_assert_uint_eq(daemon_status(&d, "monitors"), 1);

        rule("[Own]\nDenyName=com.example.*\n[Topics]\n"
             "DenySubscribe=x.a\n[Role]\nMonitor=none\n");
        expect_taken(&b, CONTROL_OWN, "com.example.x",
                     "50-test.policy:2: [Own] DenyName=com.example.*");
        expect_taken(&b, CONTROL_SUBSCRIBE, "x.>", "50-test.policy:4: [Topics] DenySubscribe=x.a");
        expect_taken(&b, CONTROL_MONITOR, "", "50-test.policy:6: [Role] Monitor=none");
        ck_assert(!is_provided(&a, "com.example.x"));
        ck_assert(is_provided(&a, "com.other.x"));
        ck_assert_uint_eq(daemon_status(&d, "monitors"), 0);
        publish(&a, "x.b");
        expect_word(&a, CONTROL_OK);
        expect_silence(&b);
        publish(&a, "z.b");
        expect_word(&a, CONTROL_OK);
        expect_word(&b, CONTROL_PUBLISHED);

        rule(NULL);
        expect_given(&b, RIGHTS_CHANGED);
        own(&b, "com.example.x");
        reload(&a);
        expect_silence(&b); /* it was told, and has not been denied anything since */
        expect_silence(&a);
        stop();
}
END_TEST

START_TEST(whoever_was_denied_hears_of_the_next_policy) {
        start("--user");
        rule("[Own]\nDenyName=com.example.*\n");
        (void)say_text(&b, CONTROL_OWN, OWN_CLAIM, "com.example.x");
        expect_denied(&b, "50-test.policy:2:");
        rule(NULL);
        expect_given(&b, RIGHTS_CHANGED);
        expect_silence(&a);
        stop();
}
END_TEST

START_TEST(a_monitor_sees_what_it_may_see_now) {
        static const uint8_t payload[4] = { 0 };
        Client watcher;

        start("--user");
        client_open(&watcher, &d, 0);
        client_say(&watcher, &(Control){ .verb = CONTROL_MONITOR, .value = MONITOR_FULL });
        ck_assert_uint_eq(expect_word(&watcher, CONTROL_OK)->value, MONITOR_FULL);
        for (unsigned i = 0; i < 3; i++) {
                bool is_full = i != 1;

                client_send(&a, b.address, PACKET_RECORDS, payload, sizeof(payload));
                expect_payload(&b, PACKET_RECORDS, payload, sizeof(payload));
                expect_word(&watcher, CONTROL_MONITORED);
                ck_assert_uint_eq(watcher.last.word.value, is_full ? 0 : MONITORED_CUT);
                ck_assert_uint_eq(watcher.last.word.n_body,
                                  CONTROL_MONITORED_HEAD_SIZE + PACKET_HEADER_SIZE +
                                          (is_full ? sizeof(payload) : 0));
                rule(is_full ? "[Role]\nMonitor=headers\n" : NULL);
        }
        client_close(&watcher);
        stop();
}
END_TEST

START_TEST(the_gateway_that_may_not_be_it_any_more_attaches_again) {
        Client gateway;

        start("--user");
        client_open_gateway(&gateway, &d);
        rule("[Role]\nGateway=no\n");
        expect_taken(&gateway, CONTROL_GATEWAY, "", "50-test.policy:2: [Role] Gateway=no");
        ck_assert_uint_eq(expect_word(&gateway, CONTROL_GOODBYE)->code, CODE_DENIED);
        expect_closed(&gateway);
        client_close(&gateway);
        client_open(&gateway, &d, 0);
        client_say(&gateway, &(Control){ .verb = CONTROL_GATEWAY });
        expect_denied(&gateway, "50-test.policy:2: [Role] Gateway=no");
        client_close(&gateway);
        stop();
}
END_TEST

START_TEST(roles_that_exclude_each_other_say_so) {
        Client gateway;

        start("--user");
        own(&b, "com.example.x");
        client_say(&b, &(Control){ .verb = CONTROL_GATEWAY });
        expect_denied(&b, "who owns names is no gateway");
        client_open_gateway(&gateway, &d);
        (void)say_text(&gateway, CONTROL_OWN, OWN_CLAIM, "com.example.y");
        expect_denied(&gateway, "the gateway owns no names");
        (void)say_text(&gateway, CONTROL_SUBSCRIBE, SUBSCRIBE_BEGIN, "x");
        expect_denied(&gateway, "the gateway subscribes to nothing");
        client_close(&gateway);
        stop();
}
END_TEST

START_TEST(a_bad_file_leaves_the_old_policy) {
        start("--user");
        rule("[Own]\nDenyName=com.example.*\n");
        daemon_rule(&d, "60-test.policy", "[Own]\nDenyNames=\n");
        client_say(&a, &(Control){ .verb = CONTROL_RELOAD });
        expect_error(&a, CODE_UNSUPPORTED);
        (void)say_text(&a, CONTROL_OWN, OWN_CLAIM, "com.example.x");
        expect_denied(&a, "50-test.policy:2:");
        ck_assert_uint_eq(daemon_said_times(&d, "60-test.policy:2: unknown key DenyNames= in "
                                                "section [Own]; the old settings stay"),
                          1);
        stop();
}
END_TEST

START_TEST(the_last_that_leaves_leaves_no_trace) {
        start("--user");
        own(&b, "com.example.x");
        client_close(&b);
        reload(&a);
        client_open(&b, &d, 0);
        stop();
}
END_TEST

START_TEST(what_is_retained_is_judged_by_the_new_policy) {
        uint8_t extension[] = { MESSAGE_EXT_TOPIC, 1, 0, 't' }, bytes[128];
        const Record record = {
                .type = RECORD_MSG,
                .message = { .kind = MESSAGE_ONE_WAY,
                             .extensions = extension,
                             .n_extensions = sizeof(extension),
                             .data = (const uint8_t *)"x",
                             .n_data = 1,
                             .total = 1 },
        };

        start("--user");
        record_encode(&record, bytes);
        client_say(&b, &(Control){ .verb = CONTROL_PUBLISH,
                                   .value = PUBLISH_ANSWER | PUBLISH_RETAIN,
                                   .body = bytes,
                                   .n_body = record_size(&record) });
        expect_word(&b, CONTROL_OK);
        client_close(&b); /* it goes, and what it said stays */
        rule("[Talk]\nDenyReceiveFrom=same-user\n");
        (void)say_text(&a, CONTROL_SUBSCRIBE, SUBSCRIBE_RETAINED, "t");
        expect_word(&a, CONTROL_OK);
        rule(NULL);
        (void)say_text(&a, CONTROL_SUBSCRIBE, SUBSCRIBE_RETAINED, "t");
        expect_word(&a, CONTROL_PUBLISHED);
        expect_word(&a, CONTROL_OK);
        client_open(&b, &d, 0);
        stop();
}
END_TEST

/* --- other hosts --- */

START_TEST(rules_for_other_hosts_go_to_who_asks_for_them) {
        Client off, local;

        start("--user");
        client_open(&off, &d, ATTACH_OFF_HOST);
        expect_silence(&off); /* there is nothing to say */
        rule("[Network]\nReceiveFrom=none\nReceiveFrom=pinned\n");
        ck_assert_uint_eq(expect_word(&off, CONTROL_NETWORK)->value, NETWORK_SOME);
        ck_assert_uint_eq(off.last.word.n_body, 8);
        ck_assert_mem_eq(off.last.word.body, "\x01\x01\x00\x00\x02\x02\x00\x00", 8);
        expect_silence(&b);

        client_open(&local, &d, 0);
        expect_silence(&local);
        client_close(&local);
        client_connect(&local, &d, NULL);
        ck_assert_uint_eq(client_attach(&local, ATTACH_OFF_HOST), ATTACH_OFF_HOST);
        expect_word(&local, CONTROL_NETWORK);

        rule(NULL);
        ck_assert_uint_eq(expect_word(&off, CONTROL_NETWORK)->value, NETWORK_ALL);
        client_close(&local);
        rule("[Network]\nPublish=no\n");
        expect_taken(&off, CONTROL_LEASE, "", "50-test.policy:2: [Network] Publish=no");
        client_send(&off, (Address){ 1, 2 }, PACKET_SEALED, "1234", 4);
        expect_denied(&off, "50-test.policy:2: [Network] Publish=no");
        client_send(&b, (Address){ 1, 2 }, PACKET_SEALED, "1234", 4);
        ck_assert_uint_eq(expect_error(&b, CODE_DENIED)->n_body, 0); /* it has not asked */
        expect_silence(&b);

        client_connect(&local, &d, NULL);
        ck_assert_uint_eq(client_attach(&local, ATTACH_OFF_HOST), 0);
        said(&local, "50-test.policy:2: [Network] Publish=no");
        rule("[Network]\nSend=none\nSend=pinned\n");
        expect_given(&local, CONTROL_LEASE);
        ck_assert_uint_eq(expect_word(&local, CONTROL_NETWORK)->value, NETWORK_SOME);
        expect_given(&off, CONTROL_LEASE);
        expect_word(&off, CONTROL_NETWORK);
        expect_silence(&b);
        client_close(&local);
        client_close(&off);
        stop();
}
END_TEST

/* The library of @c says @n times that it refused somebody, each time another one. */
static void refuse_remote(Client *c, unsigned n) {
        for (unsigned i = 1; i <= n; i++)
                client_say(c, &(Control){ .verb = CONTROL_UNHEARD, .address = { i, i } });
        expect_silence(c); /* nor is it answered */
}

START_TEST(whom_a_library_refused_is_logged_with_the_rule) {
        static const char line[] = "may not receive from ", denial[] = "[Talk] DenyReceiveFrom=any";
        Client off;

        start("--user");
        client_open(&off, &d, ATTACH_OFF_HOST);
        refuse_remote(&off, 1);
        ck_assert_uint_eq(daemon_said_times(&d, line), 0); /* no rule refuses anybody */
        daemon_rule(&d, "50-test.policy", "[Network]\nReceiveFrom=none\nReceiveFrom=pinned\n");
        reload(&a);
        expect_word(&off, CONTROL_NETWORK);
        refuse_remote(&b, 1);
        ck_assert_uint_eq(daemon_said_times(&d, line), 0); /* whom other hosts cannot reach */
        refuse_remote(&off, 1);
        ck_assert_uint_eq(daemon_said_times(&d, line), 1);
        ck_assert_uint_eq(daemon_said_times(&d, "50-test.policy:3: [Network] ReceiveFrom=pinned"
                                                " does not have it"),
                          1);
        /* Whatever a library says, its process fills no log, until the policy may be another one. */
        refuse_remote(&off, 100);
        ck_assert_uint_eq(daemon_said_times(&d, line), CONTROL_UNHEARD_MAX);
        daemon_rule(&d, "50-test.policy", "[Talk]\nDenyReceiveFrom=any\n");
        reload(&a);
        expect_word(&off, CONTROL_NETWORK);
        refuse_remote(&off, 1);
        ck_assert_uint_eq(daemon_said_times(&d, line), CONTROL_UNHEARD_MAX + 1);
        ck_assert_uint_eq(daemon_said_times(&d, denial), 1);
        client_close(&off);
        stop();
}
END_TEST

/* --- limits --- */

START_TEST(limits_of_a_user_are_in_the_policy) {
        if (!is_root("limits_of_a_user_are_in_the_policy"))
                return;
        start("--system");
        own(&a, "com.example.a");
        rule("[Match]\nUser=root\n[Limits]\nNames=2\n");
        own(&a, "com.example.b");
        (void)say_text(&a, CONTROL_OWN, OWN_CLAIM, "com.example.c");
        expect_error(&a, CODE_QUOTA);
        stop();
}
END_TEST

/* Of a process of the test's own; the same each time. */
static IdentityKey *key_of(unsigned n) {
        const uint8_t seed[32] = { (uint8_t)n };
        IdentityKey *key;

        ck_assert_int_eq(identity_new_from_seed(&key, seed), 0);
        return key;
}

/* The file @name is for processes with key @n, and has these limits. */
static void limit_key(const char *name, unsigned n, const char *limits) {
        char text[256], full[KEY_TEXT_SIZE];
        IdentityKey *key = key_of(n);

        (void)snprintf(text, sizeof(text), "[Match]\nKey=%s\n[Limits]\n%s\n",
                       key_format(identity_public(key), full), limits);
        identity_free(key);
        daemon_rule(&d, name, text);
}

static void open_keyed(Client *c, unsigned n, uid_t uid) {
        client_connect_as(c, &d, key_of(n), uid);
        (void)client_attach(c, 0);
}

/* The daemon has seen it go; @a listens for that. */
static void leave(Client *c) {
        client_close(c);
        expect_word(&a, CONTROL_PUBLISHED);
}

static void expect_full(Client *c, const char *pattern) {
        (void)say_text(c, CONTROL_SUBSCRIBE, SUBSCRIBE_BEGIN, pattern);
        expect_error(c, CODE_QUOTA);
}

START_TEST(a_key_brings_limits_for_its_user_until_the_last_has_left) {
        Client one, keyed;

        if (!is_root("a_key_brings_limits_for_its_user_until_the_last_has_left"))
                return;
        start("--system");
        subscribe(&a, "p2pbus.process.gone");
        limit_key("50-test.policy", 1, "Subscriptions=1");
        reload(&a);
        client_open_as(&one, &d, 0, OTHER_UID);
        subscribe(&one, "x.1");
        subscribe(&one, "x.2");

        open_keyed(&keyed, 1, OTHER_UID);
        expect_full(&one, "x.3");
        expect_full(&keyed, "x.3");
        subscribe(&b, "x.3"); /* another user */
        subscribe(&b, "x.4");
        publish(&a, "x.2"); /* what it has it keeps */
        expect_word(&a, CONTROL_OK);
        expect_word(&one, CONTROL_PUBLISHED);

        leave(&keyed);
        expect_full(&one, "x.3");
        (void)say_text(&one, CONTROL_SUBSCRIBE, SUBSCRIBE_END, "x.1");
        expect_word(&one, CONTROL_OK);
        expect_full(&one, "x.3");
        (void)say_text(&one, CONTROL_SUBSCRIBE, SUBSCRIBE_END, "x.2");
        expect_word(&one, CONTROL_OK);
        subscribe(&one, "x.3");
        expect_full(&one, "x.4");

        leave(&one);
        client_open_as(&one, &d, 0, OTHER_UID);
        subscribe(&one, "x.1");
        subscribe(&one, "x.2");
        client_close(&one);
        stop();
}
END_TEST

START_TEST(limits_are_the_same_whoever_attaches_first) {
        Client first, second;

        if (!is_root("limits_are_the_same_whoever_attaches_first"))
                return;
        start("--system");
        limit_key("50-test.policy", 1, "Subscriptions=2");
        limit_key("60-test.policy", 2, "Subscriptions=1");
        reload(&a);
        open_keyed(&first, _i == 0 ? 1 : 2, OTHER_UID);
        open_keyed(&second, _i == 0 ? 2 : 1, OTHER_UID);
        subscribe(&first, "x.1");
        expect_full(&first, "x.2");
        expect_full(&second, "x.2");
        client_close(&first);
        client_close(&second);
        stop();
}
END_TEST

START_TEST(a_process_that_takes_over_brings_its_limits_again) {
        Client old, taker;

        if (!is_root("a_process_that_takes_over_brings_its_limits_again"))
                return;
        start("--system");
        limit_key("50-test.policy", 1, "Subscriptions=1");
        reload(&a);
        open_keyed(&old, 1, OTHER_UID);
        client_connect_as(&taker, &d, key_of(1), OTHER_UID);
        (void)client_attach(&taker, ATTACH_TAKEOVER);
        subscribe(&taker, "x.1");
        expect_full(&taker, "x.2");
        client_close(&old);
        client_close(&taker);
        stop();
}
END_TEST

START_TEST(a_reload_judges_anew_who_brings_limits) {
        Client one, keyed;

        if (!is_root("a_reload_judges_anew_who_brings_limits"))
                return;
        start("--system");
        subscribe(&a, "p2pbus.process.gone");
        client_open_as(&one, &d, 0, OTHER_UID);
        open_keyed(&keyed, 1, OTHER_UID);
        subscribe(&one, "x.1");

        /* Who is here already brings what is new, */
        limit_key("50-test.policy", 1, "Subscriptions=1");
        reload(&a);
        expect_full(&one, "x.2");
        /* and what is another, */
        limit_key("50-test.policy", 1, "Subscriptions=2");
        reload(&a);
        subscribe(&one, "x.2");
        expect_full(&one, "x.3");
        /* and who has left brings nothing any more. */
        leave(&keyed);
        expect_full(&one, "x.3");
        reload(&a);
        subscribe(&one, "x.3");

        /* Nor does a file that is gone. */
        open_keyed(&keyed, 1, OTHER_UID);
        expect_full(&one, "x.4");
        rule(NULL);
        subscribe(&one, "x.4");
        client_close(&one);
        client_close(&keyed);
        stop();
}
END_TEST

/* --- explanations --- */

/* clang-format off */
static const struct {
        const char *question, *answer;
} explained[] = {
        { "own\tcom.example.x\n", "denied\t50-test.policy:2\t[Own] DenyName=com.example.*\n" },
        { "own\tcom.other.x\n", "allowed\t(built-in) 40-owner.policy:9\t[Own] Name=*\n" },
        { "monitor\n", "allowed\t(built-in) 40-owner.policy:19\t[Role] Monitor=full\n" },
        { "gateway\n", "allowed\t(built-in) 40-owner.policy:18\t[Role] Gateway=yes\n" },
        { "admin\n", "allowed\t(built-in) 40-owner.policy:20\t[Role] Admin=yes\n" },
        { "publish\tx.y\n", "allowed\t(built-in) 00-default.policy:13\t[Topics] Publish=>\n" },
        { "publish-off-host\tx.y\n", "allowed\t(built-in) 40-owner.policy:15\t[Network] Topics=>\n" },
        { "subscribe\tx.*\n", "allowed\t(built-in) 00-default.policy:14\t[Topics] Subscribe=>\n" },
        { "off-host\n", "allowed\t(built-in) 40-owner.policy:12\t[Network] Publish=yes\n" },
        { "call\tcom.other.y\n", "allowed\t(built-in) 00-default.policy:10\tthe receiver's [Talk] ReceiveFrom=same-user root\n" },
        { "uid\t4000000\nadmin\n", "denied\t(built-in) 00-default.policy:25\t[Role] Admin=no\n" },
        { "uid\t4000000\ngid\t1\ngroups\t1 2 3\naccount\tx\nown\tuser.x.y\n", "allowed\t(built-in) 00-default.policy:6\t[Own] Name=user.%u.*\n" },
        { "uid\t4000000\ncall\tcom.other.y\n", "denied\t(built-in) 00-default.policy:10\tthe receiver's [Talk] ReceiveFrom=same-user root does not have it\n" },
};
/* clang-format on */

START_TEST(each_question_is_explained) {
        char text[512], *at;
        size_t n;

        start("--user");
        rule("[Own]\nDenyName=com.example.*\n");
        own(&b, "com.other.y");
        (void)say_text(&a, CONTROL_EXPLAIN, 0, explained[_i].question);
        expect_word(&a, CONTROL_ANSWER);
        n = MIN(a.last.word.n_body, sizeof(text) - 1);
        memcpy(text, a.last.word.body, n);
        text[n] = '\0';
        /* Its folder has another name each time. */
        at = strstr(text, d.policy);
        if (at)
                memmove(at, at + strlen(d.policy) + 1, strlen(at + strlen(d.policy)));
        ck_assert_str_eq(text, explained[_i].answer);
        stop();
}
END_TEST

static const struct {
        const char *question;
        ControlCode code;
} unexplained[] = {
        { "nonsense\n", CODE_UNSUPPORTED },
        { "own\tNo.Name\n", CODE_UNSUPPORTED },
        { "own\ta.b\nadmin\n", CODE_UNSUPPORTED },
        { "uid\t-1\n", CODE_UNSUPPORTED },
        { "uid\t4294967295\n", CODE_UNSUPPORTED },
        { "uid\t99999999999999999999\n", CODE_UNSUPPORTED },
        { "groups\t1,2\n", CODE_UNSUPPORTED },
        { "key\te85004f63798e2c0\n", CODE_UNSUPPORTED },
        { "publish\ta.*\n", CODE_UNSUPPORTED },
        { "subscribe\ta..b\n", CODE_UNSUPPORTED },
        { "call\tnot-a-pid\n", CODE_UNSUPPORTED },
        { "call\tcom.nobody.x\n", CODE_NO_PROVIDER },
        { "call\te85004f63798e2c0\n", CODE_NOT_HERE },
};

START_TEST(what_is_no_question_is_refused) {
        start("--user");
        (void)say_text(&a, CONTROL_EXPLAIN, 0, unexplained[_i].question);
        expect_error(&a, unexplained[_i].code);
        client_say(&a, &(Control){ .verb = CONTROL_EXPLAIN,
                                   .body = (const uint8_t *)"ad\0min",
                                   .n_body = 6 });
        expect_error(&a, CODE_UNSUPPORTED);
        stop();
}
END_TEST

START_TEST(without_a_question_all_that_holds_is_told) {
        start("--user");
        rule("[Network]\nRelays=wss://a.example  ws://b\n");
        client_say(&a, &(Control){ .verb = CONTROL_EXPLAIN });
        expect_word(&a, CONTROL_ANSWER);
        said(&a, "Own\tName\tuser.%u.*\t(built-in) 00-default.policy:6\n");
        said(&a, "Own\tName\t*\t(built-in) 40-owner.policy:9\n");
        said(&a, "Network\tRelays\twss://a.example  ws://b\t");
        rule("[Network]\nRelays=none\n");
        client_say(&a, &(Control){ .verb = CONTROL_EXPLAIN });
        expect_word(&a, CONTROL_ANSWER);
        said(&a, "Network\tRelays\tnone\t");
        said(&a, "Role\tAdmin\tyes\t(built-in) 40-owner.policy:20\n");
        stop();
}
END_TEST

/* Whether all that holds for who @whom says has @line, whose end is the place. */
static bool is_told(const char *whom, const char *line) {
        const Control *word;

        (void)say_text(&a, CONTROL_EXPLAIN, 0, whom);
        word = expect_word(&a, CONTROL_ANSWER);
        return memmem(word->body, word->n_body, line, strlen(line));
}

START_TEST(limits_are_told_that_count_now) {
        static const char bytes[] = "Limits\tBytes\t32M\t", rings[] = "Limits\tRings\t7\t";
        char of_keyed[256], full[KEY_TEXT_SIZE];
        IdentityKey *key = key_of(1);
        Client keyed;

        (void)snprintf(of_keyed, sizeof(of_keyed), "key\t%s\n",
                       key_format(identity_public(key), full));
        identity_free(key);
        start("--user");
        daemon_rule(&d, "50-test.policy", "[Limits]\nRings=7\n");
        limit_key("60-test.policy", 1, "Bytes=32M\nRings=8");
        reload(&a);
        ck_assert(is_told("", rings));
        ck_assert(!is_told("", bytes));
        ck_assert(is_told(of_keyed, bytes)); /* it would bring them */
        ck_assert(!is_told(of_keyed, rings));

        client_connect(&keyed, &d, key_of(1));
        (void)client_attach(&keyed, 0);
        ck_assert(is_told("", bytes));
        ck_assert(!is_told("", rings));
        ck_assert(!is_told("uid\t4000000\n", bytes));
        subscribe(&a, "p2pbus.process.gone");
        leave(&keyed);
        ck_assert(is_told("", bytes)); /* its user is still here */
        reload(&a);
        ck_assert(is_told("", rings));
        stop();
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("policies");
        TCase *tcase = tcase_create("policies");

        tcase_add_test(tcase, denials_name_the_line);
        tcase_add_test(tcase, a_publisher_is_logged_once_and_told_each_time);
        tcase_add_test(tcase, a_pair_that_is_denied_is_logged_once_and_told_each_time);
        tcase_add_test(tcase, users_are_apart_until_a_file_says_otherwise);
        tcase_add_test(tcase, a_reload_takes_names_subscriptions_and_roles);
        tcase_add_test(tcase, whoever_was_denied_hears_of_the_next_policy);
        tcase_add_test(tcase, a_monitor_sees_what_it_may_see_now);
        tcase_add_test(tcase, the_gateway_that_may_not_be_it_any_more_attaches_again);
        tcase_add_test(tcase, roles_that_exclude_each_other_say_so);
        tcase_add_test(tcase, a_bad_file_leaves_the_old_policy);
        tcase_add_test(tcase, the_last_that_leaves_leaves_no_trace);
        tcase_add_test(tcase, what_is_retained_is_judged_by_the_new_policy);
        tcase_add_test(tcase, rules_for_other_hosts_go_to_who_asks_for_them);
        tcase_add_test(tcase, whom_a_library_refused_is_logged_with_the_rule);
        tcase_add_test(tcase, limits_of_a_user_are_in_the_policy);
        tcase_add_test(tcase, a_key_brings_limits_for_its_user_until_the_last_has_left);
        tcase_add_loop_test(tcase, limits_are_the_same_whoever_attaches_first, 0, 2);
        tcase_add_test(tcase, a_process_that_takes_over_brings_its_limits_again);
        tcase_add_test(tcase, a_reload_judges_anew_who_brings_limits);
        tcase_add_loop_test(tcase, each_question_is_explained, 0, ELEMENTSOF(explained));
        tcase_add_loop_test(tcase, what_is_no_question_is_refused, 0, ELEMENTSOF(unexplained));
        tcase_add_test(tcase, without_a_question_all_that_holds_is_told);
        tcase_add_test(tcase, limits_are_told_that_count_now);
        suite_add_tcase(suite, tcase);
        return suite;
}
