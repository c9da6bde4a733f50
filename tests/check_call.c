/* SPDX-License-Identifier: Apache-2.0 */

/* Providers of methods, and their callers, with a real p2pbusd. */

#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcall/p2pbus-call.h"
#include "tests/api.h"
#include "tests/harness.h"
#include "tests/main.h"

#define PATIENCE (30 * SECOND)
#define NAME "test.calls"

static Daemon daemon_of_test;
static Daemon *const d = &daemon_of_test;

static p2pbus *open_bus(void) {
        return api_open(d, 0);
}

/* The methods of the provider, which runs in a thread of its own. */

static p2pbus_provider *provider;
static p2pbus_call_handle *later;
static int seen_cancelled;

static int on_echo(p2pbus_call_handle *call, json_t *payload, void *userdata) {
        ck_assert_ptr_eq(userdata, &provider);
        ck_assert_str_eq(p2pbus_call_get_method(call), "echo");
        return p2pbus_call_reply(call, json_incref(payload));
}

static int on_fail(p2pbus_call_handle *call, json_t *payload, void *userdata) {
        (void)userdata;
        return p2pbus_call_fail(call, (uint32_t)json_integer_value(payload), "as you wish");
}

static int on_broken(p2pbus_call_handle *call, json_t *payload, void *userdata) {
        (void)call, (void)payload, (void)userdata;
        return -ENOENT;
}

/* Answered when "now" is called. */
static int on_later(p2pbus_call_handle *call, json_t *payload, void *userdata) {
        (void)payload, (void)userdata;
        later = call;
        return 0;
}

static int on_now(p2pbus_call_handle *call, json_t *payload, void *userdata) {
        (void)userdata;
        ck_assert_ptr_nonnull(later);
        ok(p2pbus_call_reply(later, json_incref(payload)));
        later = NULL;
        return p2pbus_call_reply(call, NULL);
}

static int on_count(p2pbus_call_handle *call, json_t *payload, void *userdata) {
        json_int_t n = json_integer_value(payload);
        int r = 0;

        (void)userdata;
        ok(p2pbus_call_progress(call, json_string("begun")));
        for (json_int_t i = 0; r == 0 && i < n; i++)
                r = p2pbus_call_part(call, json_integer(i), PATIENCE);
        if (r == -ECANCELED)
                __atomic_store_n(&seen_cancelled, 1, __ATOMIC_RELEASE);
        return r < 0 ? r : p2pbus_call_reply(call, json_integer(n));
}

static int on_huge(p2pbus_call_handle *call, json_t *payload, void *userdata) {
        size_t n = (size_t)p2pbus_get_message_max(userdata) + 1;
        char *text = malloc(n + 1);

        (void)payload;
        ck_assert_ptr_nonnull(text);
        memset(text, 'x', n);
        text[n] = '\0';
        fails(p2pbus_call_reply(call, json_string_nocheck(text)), -EMSGSIZE);
        free(text);
        return 0;
}

static int on_stop(p2pbus_call_handle *call, json_t *payload, void *userdata) {
        (void)payload, (void)userdata;
        ok(p2pbus_call_reply(call, NULL));
        p2pbus_provider_stop(provider);
        return 0;
}

static pthread_t thread;
static p2pbus *provider_bus;

static void *run(void *userdata) {
        (void)userdata;
        ok(p2pbus_provider_run(provider, P2PBUS_FOREVER));
        /* What was answered is on its way when the handle closes. */
        ok(p2pbus_hand_over(provider_bus, PATIENCE));
        return NULL;
}

static void start(void) {
        p2pbus_provider_options options = { .struct_size = sizeof(options), .name = NAME };

        ck_assert_int_eq(unsetenv("P2PBUS_KEY"), 0);
        daemon_start(d, "--user", NULL);
        provider_bus = open_bus();
        {
                const p2pbus_method methods[] = {
                        { "echo", on_echo, &provider, "says the same" },
                        { "fail", on_fail, NULL, NULL },
                        { "broken", on_broken, NULL, NULL },
                        { "later", on_later, NULL, NULL },
                        { "now", on_now, NULL, NULL },
                        { "count", on_count, NULL, "counts in parts" },
                        { "huge", on_huge, provider_bus, NULL },
                        { "stop", on_stop, NULL, NULL },
                };

                options.metadata = json_pack("{s:s}", "room", "12");
                ok(p2pbus_provider_new(&provider, provider_bus, methods,
                                       sizeof(methods) / sizeof(methods[0]), &options));
                json_decref(options.metadata);
        }
        ck_assert_int_eq(pthread_create(&thread, NULL, run, NULL), 0);
}

static void stop(void) {
        p2pbus *bus = open_bus();
        json_t *result;

        ok(p2pbus_call(bus, NAME, "stop", NULL, PATIENCE, &result, NULL));
        json_decref(result);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        provider = p2pbus_provider_free(provider);
        p2pbus_unref(provider_bus);
        p2pbus_unref(bus);
        daemon_stop(d);
}

/* A call whose answer, or error "STATUS-NAME: TEXT", is this. */
static void expect(p2pbus *bus, const char *method, json_t *payload, const char *answer) {
        p2pbus_call_error error;
        char *text = NULL;
        json_t *result;
        int r;

        r = p2pbus_call(bus, NAME, method, payload, PATIENCE, &result, &error);
        if (r == 0) {
                text = json_dumps(result, JSON_ENCODE_ANY | JSON_COMPACT);
                json_decref(result);
        } else {
                ck_assert_int_eq(r, -EREMOTEIO);
                ck_assert_int_gt(asprintf(&text, "%s: %s", error.name, error.text), 0);
        }
        ck_assert_str_eq(text, answer);
        free(text);
}

START_TEST(a_call_gets_its_answer) {
        p2pbus *bus = open_bus();

        expect(bus, "echo", json_pack("{s:[i,n,b,f]}", "a", 1, 1, 0.5),
               "{\"a\":[1,null,true,0.5]}");
        expect(bus, "echo", NULL, "null");
        expect(bus, "echo", json_string("\xc3\xa9\xf0\x9f\x98\x84"),
               "\"\xc3\xa9\xf0\x9f\x98\x84\"");
        p2pbus_unref(bus);
}
END_TEST

START_TEST(errors_have_a_type) {
        p2pbus *bus = open_bus();

        expect(bus, "nothing", NULL, "unknown-method: no such method; p2pbus.Info lists them");
        expect(bus, "p2pbus.Other", NULL, "unknown-method: no such method; p2pbus.Info lists them");
        expect(bus, "fail", json_integer(P2PBUS_CALL_NOT_FOUND), "not-found: as you wish");
        expect(bus, "fail", json_integer(70000), ": as you wish");
        expect(bus, "broken", NULL, "internal: not known");
        expect(bus, "huge", NULL, "too-big: the answer is too big for this bus");
        p2pbus_unref(bus);
}
END_TEST

static const struct {
        const char *what;
        const char *text;
        uint32_t status;
} bad[] = {
        { "nothing", "", P2PBUS_CALL_BAD_REQUEST },
        { "no JSON", "\x01\x02", P2PBUS_CALL_BAD_REQUEST },
        { "no object", "[]", P2PBUS_CALL_BAD_REQUEST },
        { "half of it", "{\"method\":", P2PBUS_CALL_BAD_REQUEST },
        { "no text as method", "{\"method\":{}}", P2PBUS_CALL_BAD_REQUEST },
        { "no method", "{}", P2PBUS_CALL_UNKNOWN_METHOD },
        { "too deep",
          "{\"payload\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
          P2PBUS_CALL_TOO_BIG },
};

START_TEST(what_is_no_call_is_an_error_and_disturbs_nobody) {
        p2pbus *bus = open_bus();
        p2pbus_message *m, *reply = NULL;

        ok(p2pbus_message_new(&m, bad[_i].text, strlen(bad[_i].text)));
        fails(p2pbus_request(bus, NAME, m, PATIENCE, &reply), -EREMOTEIO);
        ck_assert_msg(p2pbus_message_get_status(reply) == bad[_i].status, "%s: %u", bad[_i].what,
                      p2pbus_message_get_status(reply));
        p2pbus_message_unref(reply);
        p2pbus_message_unref(m);
        expect(bus, "echo", json_true(), "true");
        p2pbus_unref(bus);
}
END_TEST

START_TEST(a_request_of_many_megabytes_is_an_error) {
        p2pbus *bus = open_bus();
        p2pbus_message *m, *reply = NULL;
        size_t n = P2PBUS_CALL_SIZE_MAX + 1;
        char *text = malloc(n);

        memset(text, '[', n);
        ok(p2pbus_message_new_take(&m, text, n));
        fails(p2pbus_request(bus, NAME, m, PATIENCE, &reply), -EREMOTEIO);
        ck_assert_uint_eq(p2pbus_message_get_status(reply), P2PBUS_CALL_TOO_BIG);
        p2pbus_message_unref(reply);
        p2pbus_message_unref(m);
        p2pbus_unref(bus);
}
END_TEST

typedef struct Heard {
        unsigned n_parts, n_progress;
        bool is_over;
        int error;
        json_int_t last;
        const char *cancel; /* at the first part */
} Heard;

static void on_event(p2pbus *bus, int event, int error, json_t *payload,
                     const p2pbus_call_error *said, void *userdata) {
        Heard *heard = userdata;

        (void)said;
        ck_assert(!heard->is_over);
        switch (event) {
        case P2PBUS_STREAM_PROGRESS:
                heard->n_progress++;
                return;
        case P2PBUS_STREAM_PART:
                ck_assert_int_eq(json_integer_value(payload), heard->n_parts);
                heard->n_parts++;
                if (heard->cancel)
                        ok(p2pbus_cancel(bus, heard->cancel));
                heard->cancel = NULL;
                return;
        default:
                heard->is_over = true;
                heard->error = error;
                heard->last = json_integer_value(payload);
        }
}

START_TEST(an_answer_comes_in_parts_or_as_a_list) {
        p2pbus *bus = open_bus();
        Heard heard = { 0 };
        p2pbus_calling calling = { .callback = on_event, .userdata = &heard };

        ok(p2pbus_call_start(bus, &calling, NAME, "count", json_integer(1000), PATIENCE, NULL));
        while (!heard.is_over)
                ok(p2pbus_wait(bus, PATIENCE));
        ck_assert_int_eq(heard.error, 0);
        ck_assert_uint_eq(heard.n_parts, 1000);
        ck_assert_uint_eq(heard.n_progress, 1);
        ck_assert_int_eq(heard.last, 1000);
        expect(bus, "count", json_integer(3), "[0,1,2,3]");
        expect(bus, "count", json_integer(0), "0");
        p2pbus_unref(bus);
}
END_TEST

START_TEST(a_call_may_be_answered_later) {
        p2pbus *bus = open_bus();
        Heard heard = { 0 };
        p2pbus_calling calling = { .callback = on_event, .userdata = &heard };

        ok(p2pbus_call_start(bus, &calling, NAME, "later", NULL, PATIENCE, NULL));
        expect(bus, "now", json_integer(7), "null");
        while (!heard.is_over)
                ok(p2pbus_wait(bus, PATIENCE));
        ck_assert_int_eq(heard.error, 0);
        ck_assert_int_eq(heard.last, 7);
        p2pbus_unref(bus);
}
END_TEST

START_TEST(a_caller_may_cancel) {
        p2pbus *bus = open_bus();
        char id[P2PBUS_ID_SIZE];
        Heard heard = { .cancel = id };
        p2pbus_calling calling = { .callback = on_event, .userdata = &heard };

        ok(p2pbus_call_start(bus, &calling, NAME, "count", json_integer(1000000000), PATIENCE, id));
        while (!heard.is_over)
                ok(p2pbus_wait(bus, PATIENCE));
        ck_assert_int_eq(heard.error, -ECANCELED);
        ck_assert_uint_eq(heard.n_parts, 1);
        ok(p2pbus_process(bus));
        expect(bus, "echo", NULL, "null"); /* the provider is free again */
        ck_assert_int_eq(__atomic_load_n(&seen_cancelled, __ATOMIC_ACQUIRE), 1);
        p2pbus_unref(bus);
}
END_TEST

START_TEST(a_provider_tells_of_itself) {
        p2pbus *bus = open_bus();
        json_t *result, *method;
        const char *name;
        size_t n = 0;

        expect(bus, "p2pbus.Ping", json_pack("[i]", 5), "[5]");
        ok(p2pbus_call(bus, NAME, "p2pbus.Info", NULL, PATIENCE, &result, NULL));
        ck_assert_str_eq(json_string_value(json_object_get(result, "name")), NAME);
        ck_assert_int_eq(json_integer_value(json_object_get(result, "convention")), 1);
        ck_assert_int_eq(json_integer_value(json_object_get(result, "os_pid")), getpid());
        ck_assert_str_eq(json_string_value(json_object_get(result, "full")),
                         p2pbus_get_full(provider_bus));
        ck_assert_str_eq(
                json_string_value(json_object_get(json_object_get(result, "metadata"), "room")),
                "12");
        method = json_array_get(json_object_get(result, "methods"), 0);
        ck_assert_str_eq(json_string_value(json_object_get(method, "name")), "echo");
        ck_assert_str_eq(json_string_value(json_object_get(method, "description")),
                         "says the same");
        json_decref(result);

        expect(bus, "echo", NULL, "null");
        expect(bus, "echo", NULL, "null");
        expect(bus, "fail", json_integer(P2PBUS_CALL_BUSY), "busy: as you wish");
        ok(p2pbus_call(bus, NAME, "p2pbus.Stats", NULL, PATIENCE, &result, NULL));
        ck_assert_int_eq(json_integer_value(json_object_get(result, "calls")), 3);
        ck_assert_int_eq(json_integer_value(json_object_get(result, "errors")), 1);
        ck_assert_int_eq(json_integer_value(json_object_get(result, "outstanding")), 0);
        json_object_foreach(json_object_get(result, "methods"), name, method) n +=
                (size_t)json_integer_value(json_object_get(method, "calls"));
        ck_assert_uint_eq(n, 3);
        json_decref(result);
        p2pbus_unref(bus);
}
END_TEST

START_TEST(what_is_not_answered_is_at_the_end) {
        p2pbus *bus = open_bus(), *other = open_bus();
        const p2pbus_method methods[] = { { "later", on_later, NULL, NULL } };
        Heard heard = { 0 };
        p2pbus_calling calling = { .callback = on_event, .userdata = &heard };
        p2pbus_provider *own;

        ok(p2pbus_provider_new(&own, other, methods, 1, NULL));
        ok(p2pbus_call_start(bus, &calling, p2pbus_get_full(other), "later", NULL, PATIENCE, NULL));
        while (!later) {
                ok(p2pbus_process(bus));
                ok(p2pbus_provider_run(own, SECOND / 10));
        }
        ck_assert_uint_gt(p2pbus_call_get_time_left(later), 0);
        ck_assert_int_eq(p2pbus_call_is_cancelled(later), 0);
        later = NULL;
        p2pbus_provider_free(own);
        ok(p2pbus_process(other));
        while (!heard.is_over)
                ok(p2pbus_wait(bus, PATIENCE));
        ck_assert_int_eq(heard.error, -EREMOTEIO);
        p2pbus_unref(other);
        p2pbus_unref(bus);
}
END_TEST

START_TEST(a_table_of_methods_has_rules) {
        static const struct {
                const char *what;
                p2pbus_method methods[2];
        } tables[] = {
                { "no name", { { NULL, on_echo, NULL, NULL }, { "a", on_echo, NULL, NULL } } },
                { "an empty name", { { "", on_echo, NULL, NULL }, { "a", on_echo, NULL, NULL } } },
                { "no function", { { "b", NULL, NULL, NULL }, { "a", on_echo, NULL, NULL } } },
                { "twice the same", { { "a", on_now, NULL, NULL }, { "a", on_echo, NULL, NULL } } },
                { "no UTF-8", { { "\xff", on_now, NULL, NULL }, { "a", on_echo, NULL, NULL } } },
                { "a description in Latin-1",
                  { { "b", on_now, NULL, "z\xe4hlt" }, { "a", on_echo, NULL, NULL } } },
                { "one of ours",
                  { { "p2pbus.Ping", on_now, NULL, NULL }, { "a", on_echo, NULL, NULL } } },
        };
        p2pbus *bus = open_bus();
        p2pbus_provider *none = NULL;

        for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
                int r = p2pbus_provider_new(&none, bus, tables[i].methods, 2, NULL);

                ck_assert_msg(r == -EINVAL, "%s: %d", tables[i].what, r);
        }
        ck_assert_ptr_null(none);
        p2pbus_unref(bus);
}
END_TEST

START_TEST(requests_that_a_program_answers_itself_are_counted) {
        p2pbus *bus = open_bus(), *other = open_bus();
        p2pbus_provider *own;
        p2pbus_message *m, *request;
        p2pbus_call_handle *call;
        Heard heard = { 0 };
        p2pbus_calling calling = { .callback = on_event, .userdata = &heard };

        ok(p2pbus_provider_new(&own, other, NULL, 0, NULL));
        ok(p2pbus_call_start(bus, &calling, p2pbus_get_full(other), "p2pbus.Stats", NULL, PATIENCE,
                             NULL));
        ok(p2pbus_process(bus));
        ok(p2pbus_receive(other, PATIENCE, &request));
        ck_assert_int_eq(p2pbus_provider_handle_own(own, request), 1);
        p2pbus_message_unref(request);
        ok(p2pbus_process(other));
        while (!heard.is_over)
                ok(p2pbus_wait(bus, PATIENCE));
        ck_assert_int_eq(heard.error, 0);

        heard.is_over = false;
        ok(p2pbus_call_start(bus, &calling, p2pbus_get_full(other), "other p2pbus.", NULL, PATIENCE,
                             NULL));
        ok(p2pbus_process(bus));
        ok(p2pbus_receive(other, PATIENCE, &request));
        ck_assert_int_eq(p2pbus_provider_handle_own(own, request), 0);
        ok(p2pbus_provider_begin(own, request, NULL, &call));
        ok(p2pbus_message_new(&m, "{}", 2));
        ok(p2pbus_reply(other, request, m));
        p2pbus_message_unref(m);
        p2pbus_call_end(call, 0);
        p2pbus_message_unref(request);
        ok(p2pbus_process(other));
        while (!heard.is_over)
                ok(p2pbus_wait(bus, PATIENCE));
        ck_assert_int_eq(heard.error, 0);
        p2pbus_provider_free(own);
        p2pbus_unref(other);
        p2pbus_unref(bus);
}
END_TEST

static void on_stats(p2pbus *bus, int event, int error, json_t *payload,
                     const p2pbus_call_error *said, void *userdata) {
        json_t **ret = userdata;

        (void)bus, (void)event, (void)said;
        ck_assert_int_eq(error, 0);
        *ret = json_incref(payload);
}

/* What waits in the library is work, too: of it callers hear with each reply. */
START_TEST(the_workload_is_what_is_not_over) {
        p2pbus *bus = open_bus(), *other = open_bus();
        json_t *stats = NULL;
        Heard heard[3] = { { 0 } };
        p2pbus_calling calling[3], asking = { .callback = on_stats, .userdata = &stats };
        p2pbus_message *begun, *request;
        p2pbus_call_handle *call;
        p2pbus_provider *own;

        ok(p2pbus_provider_new(&own, other, NULL, 0, NULL));
        for (size_t i = 0; i < ELEMENTSOF(calling); i++) {
                calling[i] = (p2pbus_calling){ .callback = on_event, .userdata = &heard[i] };
                if (i == 1)
                        ok(p2pbus_call_start(bus, &asking, p2pbus_get_full(other), "p2pbus.Stats",
                                             NULL, PATIENCE, NULL));
                ok(p2pbus_call_start(bus, &calling[i], p2pbus_get_full(other), "work", NULL,
                                     PATIENCE, NULL));
        }
        while (p2pbus_get_load(other) < 4) {
                ok(p2pbus_process(bus));
                ok(p2pbus_process(other));
        }
        ok(p2pbus_receive(other, 0, &begun));
        ok(p2pbus_provider_begin(own, begun, NULL, &call));
        ok(p2pbus_receive(other, 0, &request));
        ck_assert_int_eq(p2pbus_provider_handle_own(own, request), 1);
        p2pbus_message_unref(request);
        ck_assert_uint_eq(p2pbus_get_load(other), 3);
        ok(p2pbus_process(other));
        while (!stats)
                ok(p2pbus_wait(bus, PATIENCE));
        ck_assert_int_eq(json_integer_value(json_object_get(stats, "workload")), 3);
        ck_assert_int_eq(json_integer_value(json_object_get(stats, "outstanding")), 1);
        json_decref(stats);

        ok(p2pbus_call_reply(call, NULL));
        p2pbus_message_unref(begun);
        ck_assert_uint_eq(p2pbus_get_load(other), 2);
        for (unsigned i = 0; i < 2; i++) { /* given up */
                ok(p2pbus_receive(other, 0, &request));
                p2pbus_message_unref(request);
        }
        ck_assert_uint_eq(p2pbus_get_load(other), 0);
        p2pbus_provider_free(own);
        p2pbus_unref(other);
        p2pbus_unref(bus);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("call");
        TCase *c = tcase_create("call");

        tcase_add_checked_fixture(c, start, stop);
        tcase_add_test(c, a_call_gets_its_answer);
        tcase_add_test(c, errors_have_a_type);
        tcase_add_loop_test(c, what_is_no_call_is_an_error_and_disturbs_nobody, 0,
                            sizeof(bad) / sizeof(bad[0]));
        tcase_add_test(c, a_request_of_many_megabytes_is_an_error);
        tcase_add_test(c, an_answer_comes_in_parts_or_as_a_list);
        tcase_add_test(c, a_call_may_be_answered_later);
        tcase_add_test(c, a_caller_may_cancel);
        tcase_add_test(c, a_provider_tells_of_itself);
        tcase_add_test(c, what_is_not_answered_is_at_the_end);
        tcase_add_test(c, a_table_of_methods_has_rules);
        tcase_add_test(c, requests_that_a_program_answers_itself_are_counted);
        tcase_add_test(c, the_workload_is_what_is_not_over);
        suite_add_tcase(suite, c);
        return suite;
}
