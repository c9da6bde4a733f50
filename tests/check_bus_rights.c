/* SPDX-License-Identifier: Apache-2.0 */

/* What a new policy takes from programs, and gives back: the public library and a real p2pbusd. */

#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/api.h"
#include "tests/main.h"

#define WAIT (30 * SECOND)

static Daemon d;
static p2pbus *admin, *a, *b;

/* It has the same key whenever it is opened: other hosts hear of what such a process provides. */
static p2pbus *open_with_key(uint32_t flags, char full[static P2PBUS_FULL_SIZE]) {
        char path[128];
        p2pbus_options options = {
                .struct_size = sizeof(options),
                .socket_path = d.socket,
                .key_file = path,
                .flags = flags,
        };
        p2pbus *bus;

        (void)snprintf(path, sizeof(path), "%s/key", d.folder);
        ok(p2pbus_key_generate(path, full));
        ok(p2pbus_open(&bus, &options));
        return bus;
}

static void start(void) {
        daemon_start(&d, "--user", NULL);
        admin = api_open(&d, 0);
        a = api_open(&d, 0);
        b = api_open(&d, P2PBUS_OFF_HOST);
}

static void stop(void) {
        p2pbus_unref(admin);
        p2pbus_unref(a);
        p2pbus_unref(b);
        daemon_stop(&d);
}

/* Policy is @text, or as it is compiled in: NULL. */
static void rule(const char *text) {
        daemon_rule(&d, "50-test.policy", text);
        ok(p2pbus_reload(admin, WAIT));
}

static p2pbus_right_change next_change(p2pbus *bus) {
        p2pbus_right_change change = { .struct_size = sizeof(change) };
        int r;

        while ((r = p2pbus_next_right_change(bus, &change)) == -EAGAIN)
                ok(p2pbus_wait(bus, WAIT));
        ok(r);
        return change;
}

static void expect_taken(p2pbus *bus, int right, const char *what, const char *by) {
        p2pbus_right_change change = next_change(bus);

        ck_assert_int_eq(change.right, right);
        ck_assert_int_eq(change.reason, P2PBUS_REASON_DENIED);
        ck_assert_str_eq(change.what, what);
        ck_assert_msg(strstr(change.explanation, by) != NULL, "%s", change.explanation);
}

static void expect_given(p2pbus *bus, int right, const char *what) {
        p2pbus_right_change change = next_change(bus);

        ck_assert_int_eq(change.right, right);
        ck_assert_int_eq(change.reason, 0);
        ck_assert_str_eq(change.what, what);
        ck_assert_str_eq(change.explanation, "");
}

/* The daemon's answer comes behind all that it has said before. */
static void hear(p2pbus *bus) {
        char *text;

        ok(p2pbus_query(bus, P2PBUS_QUERY_STATUS, WAIT, &text));
        free(text);
}

static void expect_no_change(p2pbus *bus) {
        p2pbus_right_change change = { .struct_size = sizeof(change) };

        hear(bus);
        hear(bus); /* and of what it has asked for then */
        fails(p2pbus_next_right_change(bus, &change), -EAGAIN);
}

static int send_to(const char *dest) {
        p2pbus_message *m;
        int r;

        ok(p2pbus_message_new(&m, "x", 1));
        r = p2pbus_send_wait(a, dest, m, WAIT);
        p2pbus_message_unref(m);
        return r;
}

static void *take_one(void *userdata) {
        p2pbus_message *m;

        ok(p2pbus_receive(userdata, WAIT, &m));
        p2pbus_message_unref(m);
        ok(p2pbus_process(userdata)); /* its sender hears that it was taken */
        return NULL;
}

static int send_to_who_takes(const char *dest, p2pbus *taker) {
        pthread_t thread;
        int r;

        ck_assert_int_eq(pthread_create(&thread, NULL, take_one, taker), 0);
        r = send_to(dest);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        return r;
}

static bool arrives(const char *name) {
        return send_to_who_takes(name, b) == 0;
}

/* Until its handle is closed. */
static void *get_nothing(void *userdata) {
        p2pbus_message *m;

        ck_assert_int_eq(p2pbus_receive(userdata, WAIT, &m), -ENOTCONN);
        return NULL;
}

static int publish(const char *topic) {
        p2pbus_message *m;
        int r;

        ok(p2pbus_message_new(&m, topic, strlen(topic)));
        r = p2pbus_publish(a, topic, m, 0, WAIT);
        p2pbus_message_unref(m);
        return r;
}

static void expect_rule(int r) {
        static const char rule_text[] =
                "50-test.policy:2: the sender's [Talk] DenySendTo=same-user";

        ck_assert_int_eq(r, -EACCES);
        ck_assert_int_eq(p2pbus_get_reason(), P2PBUS_REASON_DENIED);
        ck_assert_msg(strstr(p2pbus_get_explanation(), rule_text) != NULL, "%s",
                      p2pbus_get_explanation());
}

START_TEST(whoever_may_not_talk_is_told_by_which_rule) {
        const char *dest = p2pbus_get_full(b);
        p2pbus_message *m, *reply;

        rule("[Talk]\nDenySendTo=same-user\n");
        expect_rule(send_to(dest));
        ok(p2pbus_message_new(&m, "x", 1));
        expect_rule(p2pbus_request(a, dest, m, WAIT, &reply));
        p2pbus_message_unref(m);
        expect_rule(p2pbus_ping(a, dest, WAIT, NULL, NULL, NULL));
}
END_TEST

START_TEST(a_name_is_taken_and_given_back) {
        p2pbus_service service = {
                .struct_size = sizeof(service), .priority = 7, .weight = 3, .metadata = "blue"
        };
        char *text;

        ok(p2pbus_provide(b, "com.example.x", &service, WAIT));
        ok(p2pbus_own_name(b, "com.other.x", WAIT));
        ck_assert(arrives("com.example.x"));

        rule("[Own]\nDenyName=com.example.*\n");
        expect_taken(b, P2PBUS_RIGHT_NAME, "com.example.x",
                     "50-test.policy:2: [Own] DenyName=com.example.*");
        hear(a);
        fails(send_to("com.example.x"), -ENXIO);
        ck_assert(arrives("com.other.x"));
        rule("[Own]\nDenyName=com.example.x\n"); /* another line, but it is gone already */
        expect_no_change(b);

        rule(NULL);
        expect_given(b, P2PBUS_RIGHT_NAME, "com.example.x");
        ck_assert(arrives("com.example.x"));
        ok(p2pbus_query(admin, P2PBUS_QUERY_SERVICES, WAIT, &text));
        ck_assert_ptr_nonnull(strstr(text, "\t7\t3\t")); /* as it was said of it before */
        ck_assert_ptr_nonnull(strstr(text, "blue"));
        free(text);
        expect_no_change(b);
}
END_TEST

START_TEST(what_comes_by_a_name_that_was_taken_goes_to_another_provider) {
        p2pbus_service first = { .struct_size = sizeof(first), .priority = 1, .weight = 1 };
        char full[P2PBUS_FULL_SIZE], text[256];
        p2pbus *other = open_with_key(0, full);
        pthread_t thread;

        ok(p2pbus_provide(other, "com.example.x", &first, WAIT));
        ok(p2pbus_own_name(b, "com.example.x", WAIT));
        (void)snprintf(text, sizeof(text), "[Match]\nKey=%s\n[Own]\nDenyName=com.example.x\n",
                       full);
        ok(send_to_who_takes("com.example.x", other));
        rule(text);
        expect_taken(other, P2PBUS_RIGHT_NAME, "com.example.x", "50-test.policy:4:");
        /* Its sender has not heard of that yet. */
        ck_assert_int_eq(pthread_create(&thread, NULL, get_nothing, other), 0);
        ck_assert(arrives("com.example.x"));
        p2pbus_close(other);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        expect_no_change(b);
        p2pbus_unref(other);
}
END_TEST

START_TEST(other_hosts_hear_of_a_name_that_is_taken_and_given_back) {
        static const char name[] = "com.example.x";
        char full[P2PBUS_FULL_SIZE];
        const Control *word;
        Client gateway;

        p2pbus_unref(b);
        client_open_gateway(&gateway, &d);
        b = open_with_key(P2PBUS_OFF_HOST, full);
        ok(p2pbus_own_name(b, name, WAIT));
        hear(b); /* it has a lease, and has said what it provides */
        expect_word(&gateway, CONTROL_LEASE);
        ck_assert_uint_eq(expect_word(&gateway, CONTROL_SERVICE)->code, CODE_OK);

        rule("[Own]\nDenyName=com.example.*\n");
        word = expect_word(&gateway, CONTROL_SERVICE);
        ck_assert_uint_eq(word->code, CODE_GONE);
        ck_assert_uint_eq(word->n_body, strlen(name));
        ck_assert_mem_eq(word->body, name, strlen(name));
        expect_taken(b, P2PBUS_RIGHT_NAME, name, ":2:");
        rule(NULL);
        expect_given(b, P2PBUS_RIGHT_NAME, name);
        hear(b);
        ck_assert_uint_eq(expect_word(&gateway, CONTROL_SERVICE)->code, CODE_OK);
        expect_silence(&gateway);
        client_close(&gateway);
}
END_TEST

START_TEST(a_subscription_is_taken_and_given_back) {
        p2pbus_message *m;

        ok(p2pbus_subscribe(b, "x.>", 0, WAIT));
        ok(p2pbus_subscribe(b, "y.>", 0, WAIT));
        rule("[Topics]\nDenySubscribe=x.>\n");
        expect_taken(b, P2PBUS_RIGHT_TOPIC, "x.>", "50-test.policy:2: [Topics] DenySubscribe=x.>");
        ok(publish("x.1"));
        ok(publish("y.1"));
        ok(p2pbus_receive(b, WAIT, &m));
        ck_assert_str_eq(p2pbus_message_get_topic(m), "y.1");
        p2pbus_message_unref(m);
        rule(NULL);
        expect_given(b, P2PBUS_RIGHT_TOPIC, "x.>");
        ok(publish("x.2"));
        ok(p2pbus_receive(b, WAIT, &m));
        ck_assert_str_eq(p2pbus_message_get_topic(m), "x.2");
        p2pbus_message_unref(m);
}
END_TEST

START_TEST(what_was_taken_can_be_given_up) {
        ok(p2pbus_own_name(b, "com.example.x", WAIT));
        ok(p2pbus_subscribe(b, "x.>", 0, WAIT));
        rule("[Own]\nDenyName=com.example.*\n[Topics]\nDenySubscribe=x.>\n");
        expect_taken(b, P2PBUS_RIGHT_NAME, "com.example.x", ":2:");
        expect_taken(b, P2PBUS_RIGHT_TOPIC, "x.>", ":4:");
        ok(p2pbus_release_name(b, "com.example.x", WAIT));
        ok(p2pbus_unsubscribe(b, "x.>", WAIT));
        fails(p2pbus_release_name(b, "com.example.x", WAIT), -ENXIO);
        fails(p2pbus_unsubscribe(b, "x.>", WAIT), -ENXIO);
        rule(NULL);
        expect_no_change(b);
        fails(send_to("com.example.x"), -ENXIO);
}
END_TEST

START_TEST(whoever_asks_in_vain_is_not_told_afterwards) {
        rule("[Own]\nDenyName=com.example.*\n");
        fails(p2pbus_own_name(b, "com.example.x", WAIT), -EACCES);
        rule(NULL);
        expect_no_change(b);
        fails(send_to("com.example.x"), -ENXIO);
}
END_TEST

START_TEST(monitoring_is_taken_and_given_back) {
        p2pbus_seen seen = { .struct_size = sizeof(seen) };

        ok(p2pbus_monitor_start(b, 1, p2pbus_get_pid(a), WAIT));
        rule("[Role]\nMonitor=none\n");
        expect_taken(b, P2PBUS_RIGHT_MONITOR, "", "50-test.policy:2: [Role] Monitor=none");
        rule(NULL);
        expect_given(b, P2PBUS_RIGHT_MONITOR, "");
        ok(p2pbus_own_name(b, "com.example.x", WAIT));
        ck_assert(arrives("com.example.x"));
        ok(p2pbus_monitor_next(b, WAIT, &seen, NULL));
        ck_assert_str_eq(seen.from, p2pbus_get_pid(a));
}
END_TEST

START_TEST(other_hosts_are_taken_and_given_back) {
        ck_assert(p2pbus_get_state(b, NULL) & P2PBUS_STATE_OFF_HOST);
        rule("[Network]\nPublish=no\n");
        expect_taken(b, P2PBUS_RIGHT_OFF_HOST, "", "50-test.policy:2: [Network] Publish=no");
        ck_assert(!(p2pbus_get_state(b, NULL) & P2PBUS_STATE_OFF_HOST));
        fails(p2pbus_wait_reachable(b, 0), -ENETUNREACH);
        ck_assert_ptr_nonnull(strstr(p2pbus_get_explanation(), "50-test.policy:2:"));
        rule(NULL);
        expect_given(b, P2PBUS_RIGHT_OFF_HOST, "");
        ck_assert(p2pbus_get_state(b, NULL) & P2PBUS_STATE_OFF_HOST);
        expect_no_change(a); /* it has not asked for them */
}
END_TEST

START_TEST(what_was_never_had_is_no_loss) {
        p2pbus *late;

        rule("[Network]\nPublish=no\n");
        late = api_open(&d, P2PBUS_OFF_HOST);
        expect_no_change(late);
        fails(p2pbus_wait_reachable(late, 0), -ENETUNREACH);
        ck_assert_ptr_nonnull(strstr(p2pbus_get_explanation(), "50-test.policy:2:"));
        rule(NULL);
        expect_no_change(late);
        ck_assert(p2pbus_get_state(late, NULL) & P2PBUS_STATE_OFF_HOST); /* it is had even so */
        p2pbus_unref(late);
}
END_TEST

START_TEST(a_daemon_that_comes_back_with_another_policy_takes_too) {
        ok(p2pbus_own_name(b, "com.example.x", WAIT));
        ok(p2pbus_subscribe(b, "x.>", 0, WAIT));
        daemon_end(&d);
        daemon_rule(&d, "50-test.policy",
                    "[Own]\nDenyName=com.example.*\n[Topics]\nDenySubscribe=x.>\n[Network]\n"
                    "Publish=no\n");
        daemon_restart(&d, "--user");
        for (unsigned i = 0; i < 3; i++) {
                p2pbus_right_change change = next_change(b);

                ck_assert_int_eq(change.reason, P2PBUS_REASON_DENIED);
                ck_assert_ptr_nonnull(strstr(change.explanation, "50-test.policy:"));
        }
        rule(NULL);
        for (unsigned i = 0; i < 3; i++)
                ck_assert_int_eq(next_change(b).reason, 0);
        ck_assert(arrives("com.example.x"));
        expect_no_change(b);
}
END_TEST

START_TEST(only_so_many_changes_wait_for_a_program_that_does_not_look) {
        p2pbus_right_change change = { .struct_size = sizeof(change) };
        unsigned n = 0;

        ok(p2pbus_own_name(b, "com.example.x", WAIT));
        for (unsigned i = 0; i < 150; i++) {
                rule("[Own]\nDenyName=com.example.*\n");
                rule(NULL);
                hear(b); /* that it is gone, and may be claimed; */
                hear(b); /* that it is had again */
        }
        while (p2pbus_next_right_change(b, &change) == 0)
                n++;
        ck_assert_uint_eq(n, 256);
        ck_assert_int_eq(change.reason, 0);
        change.struct_size--;
        fails(p2pbus_next_right_change(b, &change), -EINVAL);
        fails(p2pbus_next_right_change(b, NULL), -EINVAL);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("bus_rights");
        TCase *tcase = tcase_create("rights");

        tcase_add_checked_fixture(tcase, start, stop);
        tcase_add_test(tcase, whoever_may_not_talk_is_told_by_which_rule);
        tcase_add_test(tcase, a_name_is_taken_and_given_back);
        tcase_add_test(tcase, what_comes_by_a_name_that_was_taken_goes_to_another_provider);
        tcase_add_test(tcase, other_hosts_hear_of_a_name_that_is_taken_and_given_back);
        tcase_add_test(tcase, a_subscription_is_taken_and_given_back);
        tcase_add_test(tcase, what_was_taken_can_be_given_up);
        tcase_add_test(tcase, whoever_asks_in_vain_is_not_told_afterwards);
        tcase_add_test(tcase, monitoring_is_taken_and_given_back);
        tcase_add_test(tcase, other_hosts_are_taken_and_given_back);
        tcase_add_test(tcase, what_was_never_had_is_no_loss);
        tcase_add_test(tcase, a_daemon_that_comes_back_with_another_policy_takes_too);
        tcase_add_test(tcase, only_so_many_changes_wait_for_a_program_that_does_not_look);
        suite_add_tcase(suite, tcase);
        return suite;
}
