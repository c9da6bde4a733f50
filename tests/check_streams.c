/* SPDX-License-Identifier: Apache-2.0 */

/* Answers that come in parts: two handles by the public header, and a real p2pbusd. */

#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libclient/p2pbus.h"
#include "tests/api.h"
#include "tests/harness.h"
#include "tests/main.h"

#define PATIENCE (30 * SECOND) /* of waits that must not end by themselves */

static Daemon daemon_of_test;
static Daemon *const d = &daemon_of_test;

static void start(void) {
        ck_assert_int_eq(unsetenv("P2PBUS_KEY"), 0);
        daemon_start(d, "--user", NULL);
}

static void stop(void) {
        daemon_stop(d);
}

static p2pbus *open_bus(void) {
        return api_open(d, 0);
}

static p2pbus_message *message_of(const char *text) {
        p2pbus_message *m;

        ok(p2pbus_message_new(&m, text, strlen(text)));
        return m;
}

static int say_more(p2pbus *bus, p2pbus_message *request, const char *text) {
        p2pbus_message *m = message_of(text);
        int r = p2pbus_reply_more(bus, request, m);

        p2pbus_message_unref(m);
        return r;
}

static int say_progress(p2pbus *bus, p2pbus_message *request, const char *text) {
        p2pbus_message *m = message_of(text);
        int r = p2pbus_reply_progress(bus, request, m);

        p2pbus_message_unref(m);
        return r;
}

static int say_last(p2pbus *bus, p2pbus_message *request, const char *text) {
        p2pbus_message *m = message_of(text);
        int r = p2pbus_reply(bus, request, m);

        p2pbus_message_unref(m);
        return r;
}

/* What an asker heard: "part one, progress half, last two". */
typedef struct Heard {
        unsigned n;
        bool is_over;
        int error, reason;
        char story[512];
        const char *cancel; /* in the first part: this id */
        bool keeps;         /* references to the parts */
        p2pbus_message *kept[4096];
        unsigned n_kept;
        uint64_t n_bytes, next; /* of numbered ones */
} Heard;

static void on_event(p2pbus *bus, int event, int error, int reason, p2pbus_message *message,
                     void *userdata) {
        static const char *const words[] = { "?", "part", "progress", "last", "failed" };
        Heard *heard = userdata;
        size_t n = strlen(heard->story);

        ck_assert_msg(!heard->is_over, "called after the end: %s", heard->story);
        heard->n++;
        heard->is_over = event == P2PBUS_STREAM_LAST || event == P2PBUS_STREAM_FAILED;
        heard->error = error;
        heard->reason = reason;
        ck_assert_int_eq(error != 0, event == P2PBUS_STREAM_FAILED);
        ck_assert_int_eq(message != NULL, error == 0 || error == -EREMOTEIO);
        if (message && p2pbus_message_get_size(message) < 32)
                (void)snprintf(heard->story + n, sizeof(heard->story) - n, "%s%s %.*s",
                               n ? ", " : "", words[event], (int)p2pbus_message_get_size(message),
                               (const char *)p2pbus_message_get_payload(message));
        else if (!message)
                (void)snprintf(heard->story + n, sizeof(heard->story) - n, "%s%s", n ? ", " : "",
                               words[event]);
        if (heard->keeps && event == P2PBUS_STREAM_PART) {
                ck_assert_uint_lt(heard->n_kept, 4096);
                heard->kept[heard->n_kept++] = p2pbus_message_ref(message);
        }
        if (heard->cancel && heard->n == 1)
                ok(p2pbus_cancel(bus, heard->cancel));
}

static void until_over(p2pbus *bus, const Heard *heard) {
        while (!heard->is_over)
                ok(p2pbus_wait(bus, PATIENCE));
}

static void until_heard(p2pbus *bus, const Heard *heard, unsigned n) {
        while (heard->n < n)
                ok(p2pbus_wait(bus, PATIENCE));
}

/* @a asks @b, which has the request then. */
static p2pbus_message *ask(p2pbus *a, p2pbus *b, Heard *heard, char *id) {
        p2pbus_message *m = message_of("?"), *request;
        char ignored[P2PBUS_ID_SIZE];

        ok(p2pbus_request_stream(a, p2pbus_get_full(b), m, PATIENCE, on_event, heard,
                                 id ? id : ignored));
        p2pbus_message_unref(m);
        ok(p2pbus_process(a));
        ok(p2pbus_receive(b, PATIENCE, &request));
        ck_assert_int_eq(p2pbus_message_takes_parts(request), 1);
        ck_assert_int_eq(p2pbus_message_is_cancelled(request), 0);
        return request;
}

START_TEST(parts_and_progress_come_in_order_and_then_the_last) {
        p2pbus *a = open_bus(), *b = open_bus();
        Heard heard = { 0 };
        p2pbus_message *request = ask(a, b, &heard, NULL);

        ok(say_progress(b, request, "begun"));
        ok(say_more(b, request, "1"));
        ok(say_more(b, request, "2"));
        ok(say_progress(b, request, "half"));
        ok(say_more(b, request, ""));
        ok(say_last(b, request, "3"));
        fails(say_more(b, request, "4"), -EINVAL);
        fails(say_last(b, request, "4"), -EINVAL);
        ok(p2pbus_process(b));
        until_over(a, &heard);
        ck_assert_str_eq(heard.story,
                         "progress begun, part 1, part 2, progress half, part , last 3");
        p2pbus_message_unref(request);
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

START_TEST(who_takes_parts_takes_one_reply_too) {
        p2pbus *a = open_bus(), *b = open_bus();
        Heard heard = { 0 }, other = { 0 };
        p2pbus_message *request = ask(a, b, &heard, NULL);

        ok(say_last(b, request, "all"));
        p2pbus_message_unref(request);
        ok(p2pbus_process(b));
        until_over(a, &heard);
        ck_assert_str_eq(heard.story, "last all");

        request = ask(a, b, &other, NULL);
        ok(say_more(b, request, "1"));
        ok(p2pbus_reply_error(b, request, 7, "no more"));
        p2pbus_message_unref(request);
        ok(p2pbus_process(b));
        until_over(a, &other);
        ck_assert_str_eq(other.story, "part 1, failed no more");
        ck_assert_int_eq(other.error, -EREMOTEIO);
        ck_assert_int_eq(other.reason, P2PBUS_REASON_ERROR_REPLY);
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

static void on_reply(p2pbus *bus, int error, int reason, p2pbus_message *reply, void *userdata) {
        Heard *heard = userdata;

        (void)bus;
        heard->is_over = true;
        heard->error = error;
        heard->reason = reason;
        if (reply)
                (void)snprintf(heard->story, sizeof(heard->story), "%.*s",
                               (int)p2pbus_message_get_size(reply),
                               (const char *)p2pbus_message_get_payload(reply));
}

START_TEST(who_asks_for_one_reply_is_sent_no_parts) {
        p2pbus *a = open_bus(), *b = open_bus();
        p2pbus_message *m = message_of("?"), *request;
        Heard heard = { 0 };

        ok(p2pbus_request_start(a, p2pbus_get_full(b), m, PATIENCE, on_reply, &heard, NULL));
        ok(p2pbus_receive(b, PATIENCE, &request));
        ck_assert_int_eq(p2pbus_message_takes_parts(request), 0);
        fails(say_more(b, request, "1"), -EOPNOTSUPP);
        ok(say_progress(b, request, "half"));
        ok(say_last(b, request, "whole"));
        ok(p2pbus_process(b));
        until_over(a, &heard);
        ck_assert_int_eq(heard.error, 0);
        ck_assert_str_eq(heard.story, "whole");
        p2pbus_message_unref(request);
        p2pbus_message_unref(m);
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

START_TEST(a_part_that_was_not_sent_can_be_the_last) {
        p2pbus *a = open_bus(), *b = open_bus();
        p2pbus_message *m = message_of("?"), *request, *whole = message_of("whole");
        Heard heard = { 0 };

        ok(p2pbus_request_start(a, p2pbus_get_full(b), m, PATIENCE, on_reply, &heard, NULL));
        ok(p2pbus_receive(b, PATIENCE, &request));
        fails(p2pbus_reply_more(b, request, whole), -EOPNOTSUPP);
        ok(p2pbus_reply(b, request, whole));
        ok(p2pbus_process(b));
        until_over(a, &heard);
        ck_assert_str_eq(heard.story, "whole");
        p2pbus_message_unref(whole);
        p2pbus_message_unref(request);
        p2pbus_message_unref(m);
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

START_TEST(cancelling_tells_the_provider) {
        p2pbus *a = open_bus(), *b = open_bus();
        char id[P2PBUS_ID_SIZE];
        Heard heard = { 0 };
        p2pbus_message *request = ask(a, b, &heard, id);

        ok(say_more(b, request, "1"));
        ok(p2pbus_process(b));
        until_heard(a, &heard, 1);
        ok(p2pbus_cancel(a, id));
        until_over(a, &heard);
        ck_assert_int_eq(heard.error, -ECANCELED);
        ck_assert_str_eq(heard.story, "part 1, failed");
        ok(p2pbus_process(a));
        while (!p2pbus_message_is_cancelled(request))
                ok(p2pbus_wait(b, PATIENCE));
        fails(say_more(b, request, "2"), -ECANCELED);
        fails(say_progress(b, request, "2"), -ECANCELED);
        ok(say_last(b, request, "2")); /* nobody hears it */
        p2pbus_message_unref(request);
        fails(p2pbus_cancel(a, id), -ENOENT);
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

START_TEST(a_callback_may_cancel_and_hears_nothing_but_that) {
        p2pbus *a = open_bus(), *b = open_bus();
        char id[P2PBUS_ID_SIZE];
        Heard heard = { .cancel = id };
        p2pbus_message *request = ask(a, b, &heard, id);

        ok(say_more(b, request, "1"));
        ok(say_more(b, request, "2"));
        ok(say_last(b, request, "3"));
        ok(p2pbus_process(b));
        until_over(a, &heard);
        ck_assert_str_eq(heard.story, "part 1, failed");
        ck_assert_int_eq(heard.error, -ECANCELED);
        p2pbus_message_unref(request);
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

START_TEST(an_asker_that_ends_is_a_cancellation) {
        p2pbus *a = open_bus(), *b = open_bus();
        Heard heard = { 0 };
        p2pbus_message *request = ask(a, b, &heard, NULL);

        ok(say_more(b, request, "1"));
        ok(p2pbus_process(b));
        until_heard(a, &heard, 1);
        p2pbus_unref(a);
        while (!p2pbus_message_is_cancelled(request))
                ok(p2pbus_wait(b, PATIENCE));
        fails(say_more(b, request, "2"), -ECANCELED);
        p2pbus_message_unref(request);
        p2pbus_unref(b);
        ck_assert(!heard.is_over); /* nobody is called by a handle that was closed */
}
END_TEST

START_TEST(silence_ends_it_and_the_provider_hears_of_it) {
        p2pbus *a = open_bus(), *b = open_bus();
        p2pbus_message *m = message_of("?"), *request;
        Heard heard = { 0 };

        ok(p2pbus_request_stream(a, p2pbus_get_full(b), m, SECOND / 10, on_event, &heard, NULL));
        ok(p2pbus_receive(b, PATIENCE, &request));
        until_over(a, &heard);
        ck_assert_int_eq(heard.error, -ETIMEDOUT);
        ok(p2pbus_process(a));
        while (!p2pbus_message_is_cancelled(request))
                ok(p2pbus_wait(b, PATIENCE));
        p2pbus_message_unref(request);
        p2pbus_message_unref(m);
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

START_TEST(a_provider_that_ends_in_between_leaves_no_answer) {
        p2pbus *a = open_bus(), *b = open_bus();
        Heard heard = { 0 };
        p2pbus_message *request = ask(a, b, &heard, NULL);

        ok(say_more(b, request, "1"));
        ok(say_more(b, request, "2"));
        ok(p2pbus_process(b));
        until_heard(a, &heard, 2);
        p2pbus_unref(b);
        until_over(a, &heard);
        ck_assert_int_eq(heard.error, -ECONNRESET);
        ck_assert_int_eq(heard.reason, P2PBUS_REASON_NO_REPLY);
        ck_assert_str_eq(heard.story, "part 1, part 2, failed");
        p2pbus_message_unref(request);
        p2pbus_unref(a);
}
END_TEST

START_TEST(what_nobody_looked_at_goes_with_the_handle) {
        p2pbus *a = open_bus(), *b = open_bus();
        Heard heard = { .keeps = true };
        p2pbus_message *request = ask(a, b, &heard, NULL);

        ok(say_more(b, request, "1"));
        ok(p2pbus_process(b));
        until_heard(a, &heard, 1);
        for (unsigned i = 0; i < 100; i++)
                ok(say_more(b, request, "2"));
        ok(p2pbus_process(b));
        ok(p2pbus_process(a));
        p2pbus_close(a);
        p2pbus_unref(a);
        for (unsigned i = 0; i < heard.n_kept; i++)
                p2pbus_message_unref(heard.kept[i]); /* outlive it */
        p2pbus_message_unref(request);
        p2pbus_unref(b);
}
END_TEST

/* Another thread that provides: answers "N SIZE" with N numbered parts of SIZE bytes and a last one. */
typedef struct Provider {
        p2pbus *bus;
        pthread_t thread;
        unsigned n_again;
} Provider;

static p2pbus_message *numbered(uint64_t number, size_t size) {
        p2pbus_message *m;
        uint8_t *bytes = malloc(size);

        ck_assert_ptr_nonnull(bytes);
        memset(bytes, (int)(number & 0xff), size);
        memcpy(bytes, &number, sizeof(number));
        ok(p2pbus_message_new_take(&m, bytes, size));
        return m;
}

static void provide(Provider *provider, p2pbus_message *request) {
        unsigned long n = 0, size = 0;
        char text[64];
        int r = 0;

        (void)snprintf(text, sizeof(text), "%.*s", (int)p2pbus_message_get_size(request),
                       (const char *)p2pbus_message_get_payload(request));
        ck_assert_int_eq(sscanf(text, "%lu %lu", &n, &size), 2);
        for (unsigned long i = 0; r == 0 && i < n; i++) {
                p2pbus_message *m = numbered(i, size);

                while ((r = p2pbus_reply_more(provider->bus, request, m)) == -EAGAIN) {
                        provider->n_again++;
                        ok(p2pbus_wait(provider->bus, P2PBUS_FOREVER));
                }
                p2pbus_message_unref(m);
        }
        if (r == 0) {
                p2pbus_message *m = numbered(n, size);

                r = p2pbus_reply(provider->bus, request, m);
                p2pbus_message_unref(m);
        }
        ck_assert(r == 0 || r == -ECANCELED || r == -ENOTCONN);
}

static void *provider_run(void *userdata) {
        Provider *provider = userdata;
        p2pbus_message *m;
        int r;

        while ((r = p2pbus_receive(provider->bus, P2PBUS_FOREVER, &m)) == 0) {
                if (p2pbus_message_get_kind(m) == P2PBUS_KIND_REQUEST)
                        provide(provider, m);
                else
                        r = 1;
                p2pbus_message_unref(m);
                if (r == 1)
                        break;
        }
        return NULL;
}

static void provider_start(Provider *provider) {
        *provider = (Provider){ .bus = open_bus() };
        ck_assert_int_eq(pthread_create(&provider->thread, NULL, provider_run, provider), 0);
}

static void provider_stop(Provider *provider, p2pbus *bus) {
        p2pbus_message *end = message_of("end");

        ok(p2pbus_send_wait(bus, p2pbus_get_full(provider->bus), end, PATIENCE));
        p2pbus_message_unref(end);
        ck_assert_int_eq(pthread_join(provider->thread, NULL), 0);
        p2pbus_unref(provider->bus);
}

static void on_numbered(p2pbus *bus, int event, int error, int reason, p2pbus_message *message,
                        void *userdata) {
        Heard *heard = userdata;
        uint64_t number;

        (void)bus;
        ck_assert(!heard->is_over);
        heard->is_over = event == P2PBUS_STREAM_LAST || event == P2PBUS_STREAM_FAILED;
        heard->error = error;
        heard->reason = reason;
        if (!message)
                return;
        memcpy(&number, p2pbus_message_get_payload(message), sizeof(number));
        ck_assert_uint_eq(number, heard->next);
        heard->next++;
        heard->n_bytes += p2pbus_message_get_size(message);
        if (heard->keeps && event == P2PBUS_STREAM_PART) {
                ck_assert_uint_lt(heard->n_kept, 4096);
                heard->kept[heard->n_kept++] = p2pbus_message_ref(message);
        }
}

static void ask_for(p2pbus *bus, const char *dest, unsigned n, unsigned size, Heard *heard) {
        char text[64];
        p2pbus_message *m;

        (void)snprintf(text, sizeof(text), "%u %u", n, size);
        m = message_of(text);
        ok(p2pbus_request_stream(bus, dest, m, PATIENCE, on_numbered, heard, NULL));
        p2pbus_message_unref(m);
}

static const struct {
        const char *what;
        unsigned n, size;
        int ring;
} streams[] = {
        { "many small parts through the daemon", 20000, 64, P2PBUS_RING_NEVER },
        { "parts that are several records", 100, 200000, P2PBUS_RING_NEVER },
        { "parts over a window", 10, 1000000, P2PBUS_RING_NEVER },
        { "many small parts through a ring", 20000, 64, P2PBUS_RING_ALWAYS },
        { "large ones", 100, 200000, P2PBUS_RING_ALWAYS },
        { "from one way to the other in between", 20000, 256, P2PBUS_RING_AUTO },
};

START_TEST(all_parts_come_once_and_in_order) {
        Provider provider;
        p2pbus *a = open_bus();
        Heard *heard = calloc(1, sizeof(*heard));

        provider_start(&provider);
        ok(p2pbus_set_ring(a, p2pbus_get_full(provider.bus), streams[_i].ring));
        ok(p2pbus_set_ring(provider.bus, p2pbus_get_full(a), streams[_i].ring));
        ask_for(a, p2pbus_get_full(provider.bus), streams[_i].n, streams[_i].size, heard);
        until_over(a, heard);
        ck_assert_msg(heard->error == 0, "%s: %d", streams[_i].what, heard->error);
        ck_assert_uint_eq(heard->next, streams[_i].n + 1);
        ck_assert_uint_eq(heard->n_bytes, (uint64_t)(streams[_i].n + 1) * streams[_i].size);
        provider_stop(&provider, a);
        free(heard);
        p2pbus_unref(a);
}
END_TEST

START_TEST(a_slow_reader_slows_its_provider) {
        p2pbus *a = open_bus(), *b = open_bus();
        Heard *heard = calloc(1, sizeof(*heard));
        p2pbus_message *request, *part;
        unsigned n_sent = 0, n_held, n;
        int r = 0;

        heard->keeps = true;
        ask_for(a, p2pbus_get_full(b), 0, 0, heard);
        ok(p2pbus_receive(b, PATIENCE, &request));
        /* Until neither side can do anything more. */
        do {
                n = n_sent + heard->n_kept;
                while (n_sent < 4000) {
                        part = numbered(n_sent, 1024);
                        r = p2pbus_reply_more(b, request, part);
                        p2pbus_message_unref(part);
                        if (r < 0)
                                break;
                        n_sent++;
                }
                fails(r, -EAGAIN);
                ok(p2pbus_process(b));
                while (p2pbus_wait(a, SECOND / 10) == 1)
                        ;
                ok(p2pbus_process(b));
        } while (n_sent + heard->n_kept > n);
        n_held = heard->n_kept;
        ck_assert_uint_gt(n_held, 16);
        ck_assert_uint_le(n_held, 256 + 1);          /* the session's credit */
        ck_assert_uint_le(n_sent - n_held, 2 * 256); /* and what waits here */

        /* As it is done with them, the rest goes. */
        while (heard->n_kept < n_sent) {
                for (unsigned i = 0; i < heard->n_kept; i++)
                        p2pbus_done(heard->kept[i]);
                ok(p2pbus_wait(a, SECOND / 100));
                ok(p2pbus_process(b));
        }
        for (unsigned i = 0; i < heard->n_kept; i++)
                p2pbus_message_unref(heard->kept[i]);
        part = numbered(n_sent, 1024);
        ok(p2pbus_reply(b, request, part));
        p2pbus_message_unref(part);
        ok(p2pbus_process(b));
        until_over(a, heard);
        ck_assert_int_eq(heard->error, 0);
        p2pbus_message_unref(request);
        free(heard);
        p2pbus_unref(a);
        p2pbus_unref(b);
}
END_TEST

START_TEST(a_daemon_that_is_killed_costs_no_part) {
        Provider provider;
        p2pbus *a = open_bus();
        Heard *heard = calloc(1, sizeof(*heard));

        provider_start(&provider);
        ok(p2pbus_set_ring(a, p2pbus_get_full(provider.bus), P2PBUS_RING_NEVER));
        ok(p2pbus_set_ring(provider.bus, p2pbus_get_full(a), P2PBUS_RING_NEVER));
        ask_for(a, p2pbus_get_full(provider.bus), 30000, 64, heard);
        for (unsigned i = 1; i <= 3; i++) {
                while (heard->next < i * 5000)
                        ok(p2pbus_wait(a, PATIENCE));
                daemon_end(d);
                daemon_restart(d, "--user");
        }
        until_over(a, heard);
        ck_assert_int_eq(heard->error, 0);
        ck_assert_uint_eq(heard->next, 30001);
        provider_stop(&provider, a);
        free(heard);
        p2pbus_unref(a);
}
END_TEST

START_TEST(several_streams_of_one_provider_do_not_mix) {
        Provider provider;
        p2pbus *a = open_bus();
        Heard *heard = calloc(20, sizeof(*heard));

        provider_start(&provider);
        for (unsigned i = 0; i < 20; i++)
                ask_for(a, p2pbus_get_full(provider.bus), 100 * i, 100, heard + i);
        for (unsigned i = 0; i < 20; i++) {
                until_over(a, heard + i);
                ck_assert_int_eq(heard[i].error, 0);
                ck_assert_uint_eq(heard[i].next, 100 * i + 1);
        }
        provider_stop(&provider, a);
        free(heard);
        p2pbus_unref(a);
}
END_TEST

START_TEST(a_process_can_stream_to_itself) {
        p2pbus *a = open_bus();
        Heard heard = { 0 };
        p2pbus_message *request = ask(a, a, &heard, NULL);

        ok(say_more(a, request, "1"));
        ok(say_progress(a, request, "half"));
        ok(say_last(a, request, "2"));
        p2pbus_message_unref(request);
        until_over(a, &heard);
        ck_assert_str_eq(heard.story, "part 1, progress half, last 2");
        p2pbus_unref(a);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("streams");
        TCase *c = tcase_create("streams");

        tcase_add_checked_fixture(c, start, stop);
        tcase_add_test(c, parts_and_progress_come_in_order_and_then_the_last);
        tcase_add_test(c, who_takes_parts_takes_one_reply_too);
        tcase_add_test(c, who_asks_for_one_reply_is_sent_no_parts);
        tcase_add_test(c, a_part_that_was_not_sent_can_be_the_last);
        tcase_add_test(c, cancelling_tells_the_provider);
        tcase_add_test(c, a_callback_may_cancel_and_hears_nothing_but_that);
        tcase_add_test(c, an_asker_that_ends_is_a_cancellation);
        tcase_add_test(c, silence_ends_it_and_the_provider_hears_of_it);
        tcase_add_test(c, a_provider_that_ends_in_between_leaves_no_answer);
        tcase_add_test(c, what_nobody_looked_at_goes_with_the_handle);
        tcase_add_loop_test(c, all_parts_come_once_and_in_order, 0,
                            sizeof(streams) / sizeof(streams[0]));
        tcase_add_test(c, a_slow_reader_slows_its_provider);
        tcase_add_test(c, a_daemon_that_is_killed_costs_no_part);
        tcase_add_test(c, several_streams_of_one_provider_do_not_mix);
        tcase_add_test(c, a_process_can_stream_to_itself);
        suite_add_tcase(suite, c);
        return suite;
}
