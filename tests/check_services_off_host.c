/* SPDX-License-Identifier: Apache-2.0 */

/* What was asked of a name whose provider is on another host, while that is cut off. */

#include "config.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "libclient/bus.h"
#include "libclient/service.h"
#include "tests/api.h"
#include "tests/main.h"
#include "tests/two-hosts.h"

#define NAME "test.far"
#define OTHER_NAME "test.other"
#define LARGE 300000 /* bytes: more than a session sends before it hears */
#define BUSES 3

typedef struct Call {
        unsigned n; /* times that it ended */
        int error;
        char text[32]; /* the answer */
} Call;

/* Waits until something happens to one of the three, and lets all do what they have to. */
static void turn(void) {
        p2pbus *buses[BUSES] = { a, b, home };
        struct pollfd fds[BUSES];
        uint64_t usec, least = PATIENCE;

        for (unsigned i = 0; i < BUSES; i++) {
                fds[i] = (struct pollfd){ .fd = p2pbus_get_fd(buses[i]), .events = POLLIN };
                ok(p2pbus_get_timeout(buses[i], &usec));
                least = MIN(least, usec);
        }
        (void)poll(fds, BUSES, (int)((least + 999) / 1000));
        for (unsigned i = 0; i < BUSES; i++)
                ok(p2pbus_process(buses[i]));
}

static void on_reply(p2pbus *bus, int error, int reason, p2pbus_message *reply, void *userdata) {
        Call *call = userdata;

        (void)bus;
        (void)reason;
        call->n++;
        call->error = error;
        if (reply)
                (void)snprintf(call->text, sizeof(call->text), "%s",
                               (const char *)p2pbus_message_get_payload(reply));
}

/* Asks @dest @text, with @n_more bytes of no meaning behind its NUL. */
static void ask_of(Call *call, const char *dest, const char *text, size_t n_more,
                   bool is_idempotent) {
        static char bytes[LARGE + 32];
        size_t n = strlen(text) + 1;
        p2pbus_message *m;

        *call = (Call){ .n = 0 };
        memset(bytes, 0, sizeof(bytes));
        memcpy(bytes, text, n);
        ok(p2pbus_message_new(&m, bytes, n + n_more));
        ok(p2pbus_message_set_idempotent(m, is_idempotent));
        ok(p2pbus_request_start(a, dest, m, 2 * PATIENCE, on_reply, call, NULL));
        p2pbus_message_unref(m);
}

/* The next request that @bus gets, and which it has taken: it owes an answer. */
static p2pbus_message *hear_any(p2pbus *bus) {
        p2pbus_message *m;

        while (p2pbus_receive(bus, 0, &m) < 0)
                turn();
        p2pbus_done(m);
        return m;
}

/* The same, and it is @text. */
static p2pbus_message *hear(p2pbus *bus, const char *text) {
        p2pbus_message *m = hear_any(bus);

        ck_assert_str_eq((const char *)p2pbus_message_get_payload(m), text);
        return m;
}

static void answer(p2pbus *bus, p2pbus_message *request) {
        const char *text = p2pbus_message_get_payload(request);
        p2pbus_message *m;

        ok(p2pbus_message_new(&m, text, strlen(text) + 1));
        ok(p2pbus_reply(bus, request, m));
        p2pbus_message_unref(m);
        p2pbus_message_unref(request);
}

static void hears_and_answers(p2pbus *bus, const char *text) {
        answer(bus, hear(bus, text));
}

static void is_answered(const Call *call, const char *text) {
        while (call->n == 0)
                turn();
        ck_assert_int_eq(call->error, 0);
        ck_assert_str_eq(call->text, text);
        ck_assert_uint_eq(call->n, 1);
}

static void hears_no_more(p2pbus *bus) {
        p2pbus_message *m;

        ck_assert_int_lt(p2pbus_receive(bus, 0, &m), 0);
}

static void provide_far(const char *name, unsigned n_names) {
        ok(p2pbus_provide(b, name, NULL, PATIENCE));
        until_said(1, b, n_names);
}

/* Until a has heard that what it asked for is owed to it. */
static void until_owed(void) {
        while (a->sent)
                turn();
}

/* The name is asked for again, and then where b is: a has heard that nobody knows, when this returns. */
static void until_missed(void) {
        unsigned n = count_resolved();

        while (count_resolved() == n)
                turn();
        /* Asked behind it, and answered behind it. */
        ck_assert_int_lt(p2pbus_resolve(a, STRANGER, PATIENCE, NULL, NULL), 0);
}

START_TEST(what_may_be_repeated_waits_if_nobody_else_is_there) {
        p2pbus_message *request;
        Call owed, begun;

        provide_far(NAME, 1);
        ask_of(&owed, NAME, "owed", 0, true);
        request = hear(b, "owed");
        until_owed();
        cut();
        ask_of(&begun, NAME, "begun", 0, true);
        until_missed();
        ck_assert_uint_eq(owed.n + begun.n, 0);
        mend();
        answer(b, request);
        hears_and_answers(b, "begun");
        is_answered(&owed, "owed");
        is_answered(&begun, "begun");
        hears_no_more(b);
}
END_TEST

/* Once each: b is asked for by its address and by two names, and has a part of what cannot be repeated. */
START_TEST(who_is_cut_off_keeps_only_what_no_other_may_do) {
        p2pbus_message *requests[4];
        Call owed, repeatable, by_address, by_other_name;
        Call begun, begun_repeatable, not_begun;

        provide_far(NAME, 1);
        provide_far(OTHER_NAME, 2);
        ask_of(&owed, NAME, "owed", 0, false);
        ask_of(&repeatable, NAME, "repeatable", 0, true);
        requests[0] = hear(b, "owed");
        requests[1] = hear(b, "repeatable");
        ask_of(&by_address, p2pbus_get_full(b), "by address", 0, true);
        ask_of(&by_other_name, OTHER_NAME, "by other name", 0, true);
        requests[2] = hear(b, "by address");
        requests[3] = hear(b, "by other name");
        until_owed();

        cut();
        ask_of(&begun_repeatable, NAME, "begun, repeatable", 0, true);
        ask_of(&begun, NAME, "begun", LARGE, false);
        ask_of(&not_begun, NAME, "not begun", 0, false);
        ok(p2pbus_process(a));
        ok(p2pbus_provide(home, NAME, NULL, PATIENCE));
        for (unsigned i = 0; i < 3; i++)
                answer(home, hear_any(home));
        is_answered(&repeatable, "repeatable");
        is_answered(&begun_repeatable, "begun, repeatable");
        is_answered(&not_begun, "not begun");
        hears_no_more(home);
        ck_assert_uint_eq(owed.n + by_address.n + by_other_name.n + begun.n, 0);

        mend();
        for (unsigned i = 0; i < 4; i++)
                answer(b, requests[i]);
        hears_and_answers(b, "begun");
        is_answered(&owed, "owed");
        is_answered(&by_address, "by address");
        is_answered(&by_other_name, "by other name");
        is_answered(&begun, "begun");
        ck_assert_uint_eq(repeatable.n, 1); /* its late answer is none */
        hears_no_more(b);
}
END_TEST

typedef struct Stream {
        unsigned n_parts, n_last;
} Stream;

static void on_part(p2pbus *bus, int event, int error, int reason, p2pbus_message *m,
                    void *userdata) {
        Stream *stream = userdata;

        (void)bus;
        (void)reason;
        (void)m;
        ck_assert_int_eq(error, 0);
        stream->n_parts += event == P2PBUS_STREAM_PART;
        stream->n_last += event == P2PBUS_STREAM_LAST;
}

/* The parts of two answers, of one who was asked twice, could not be told apart. */
START_TEST(what_asks_for_parts_waits_for_whom_it_asked) {
        p2pbus_message *m, *request, *sign;
        Stream stream = { 0 };
        Call call;

        provide_far(NAME, 1);
        ok(p2pbus_message_new(&m, "parts", 6));
        ok(p2pbus_message_set_idempotent(m, true));
        ok(p2pbus_request_stream(a, NAME, m, 2 * PATIENCE, on_part, &stream, NULL));
        p2pbus_message_unref(m);
        request = hear(b, "parts");
        ask_of(&call, NAME, "call", 0, true);
        sign = hear(b, "call");
        until_owed();
        cut();
        ok(p2pbus_provide(home, NAME, NULL, PATIENCE));
        hears_and_answers(home, "call"); /* what else it was asked has gone on */
        is_answered(&call, "call");
        hears_no_more(home);
        mend();
        p2pbus_message_unref(sign);
        ok(p2pbus_message_new(&m, "first", 6));
        ok(p2pbus_reply_more(b, request, m));
        p2pbus_message_unref(m);
        answer(b, request);
        while (stream.n_last == 0)
                turn();
        ck_assert_uint_eq(stream.n_parts, 1);
}
END_TEST

/* As a sees it: home could not be reached just now. */
static void home_has_failed(void) {
        Provider *p;
        Service *s;

        HASH_FIND_STR(a->services, NAME, s);
        DL_FOREACH (s->set.providers, p)
                if (!(p->entry.rank.flags & PROVIDER_REMOTE))
                        p->entry.failed_usec = a->now_usec;
}

START_TEST(who_failed_a_moment_ago_is_asked_once_he_has_rested) {
        const p2pbus_service second = {
                .struct_size = sizeof(second),
                .priority = 200,
                .weight = 100,
        };
        p2pbus_message *request;
        unsigned n_resolved;
        Call call;

        provide_far(NAME, 1);
        ask_of(&call, NAME, "call", 0, true);
        request = hear(b, "call");
        until_owed();
        ok(p2pbus_provide(home, NAME, &second, PATIENCE));
        cut();
        n_resolved = count_resolved();
        while (count_resolved() == n_resolved) {
                home_has_failed();
                turn();
        }
        home_has_failed();
        ck_assert_int_lt(p2pbus_resolve(a, STRANGER, PATIENCE, NULL, NULL), 0);
        ok(p2pbus_process(home));
        hears_no_more(home);
        ck_assert_uint_eq(call.n, 0);
        hears_and_answers(home, "call");
        is_answered(&call, "call");
        p2pbus_message_unref(request);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("services off-host");
        TCase *cuts = tcase_create("cuts");

        tcase_add_checked_fixture(cuts, two_hosts_start_for_names, two_hosts_stop);
        tcase_set_timeout(cuts, 60);
        tcase_add_test(cuts, what_may_be_repeated_waits_if_nobody_else_is_there);
        tcase_add_test(cuts, who_is_cut_off_keeps_only_what_no_other_may_do);
        tcase_add_test(cuts, what_asks_for_parts_waits_for_whom_it_asked);
        tcase_add_test(cuts, who_failed_a_moment_ago_is_asked_once_he_has_rested);
        suite_add_tcase(suite, cuts);
        return suite;
}
