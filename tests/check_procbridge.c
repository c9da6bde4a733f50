/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "procbridge/body.h"
#include "procbridge/endpoint.h"
#include "procbridge/packet.h"
#include "procbridge/peers.h"
#include "procbridge/settings.h"
#include "tests/main.h"
#include "tests/wire.h"

#define BODY_MAX 1000

static Budget budget;

static void fresh_budget(void) {
        budget = (Budget){ .max = 1 << 20 };
}

/* Feeds @piece bytes at a time, and returns what was said last. */
static int feed(PbReader *reader, const uint8_t *data, size_t n, size_t piece) {
        int r = PB_E_MORE;

        for (size_t at = 0, taken; at < n && r == PB_E_MORE; at += taken) {
                uint8_t *room;
                size_t n_room;

                ck_assert_int_eq(pb_reader_room(reader, &room, &n_room), 0);
                ck_assert_uint_gt(n_room, 0);
                taken = MIN(MIN(n_room, piece), n - at);
                memcpy(room, data + at, taken);
                r = pb_reader_fed(reader, taken);
        }
        return r;
}

static uint8_t *read_vector(const char *name, size_t *ret_n) {
        char path[100];

        (void)snprintf(path, sizeof(path), "../procbridge/%s", name);
        return wire_read(path, ret_n);
}

/* The golden vectors; NULL: not there. */
static const struct {
        const char *name;
        PbVersion version;
        PbStatus status;
        const char *method, *payload, *message;
        bool as_we_write_it;
} vectors[] = {
        { "request-echo", PB_1_1, PB_REQUEST, "echo", "123", NULL, true },
        { "request-none", PB_1_1, PB_REQUEST, NULL, NULL, NULL, true },
        { "request-utf8", PB_1_1, PB_REQUEST, "echo", "\"é😄\"", NULL, false },
        { "request-sum", PB_1_1, PB_REQUEST, "sum", "[1,2,3,4]", NULL, false },
        { "good-10", PB_1_1, PB_GOOD, NULL, "10", NULL, true },
        { "good-none", PB_1_1, PB_GOOD, NULL, NULL, NULL, true },
        { "bad", PB_1_1, PB_BAD, NULL, NULL, "generated error", true },
        { "request-1-0", PB_1_0, PB_REQUEST, "add", "{\"a\": 1}", NULL, false },
        { "good-1-0", PB_1_0, PB_GOOD, NULL, "{\"sum\": 3}", NULL, true },
        { "bad-1-0", PB_1_0, PB_BAD, NULL, NULL, "generated error", true },
};

static void assert_json(JsonText found, const char *expected) {
        if (!expected) {
                ck_assert_ptr_null(found.data);
                return;
        }
        ck_assert_uint_eq(found.n, strlen(expected));
        ck_assert(memcmp(found.data, expected, found.n) == 0);
}

START_TEST(vector_is_read_and_written_again) {
        _cleanup_(freep) uint8_t *bytes = NULL;
        _cleanup_(freep) char *message = NULL, *packet = NULL;
        BodyRequest request = { 0 };
        JsonText payload = { 0 };
        PbReader reader;
        Text text;
        size_t n, n_packet;

        bytes = read_vector(vectors[_i].name, &n);
        pb_reader_init(&reader, BODY_MAX, &budget);
        ck_assert_int_eq(feed(&reader, bytes, n, 3), 0);
        ck_assert_uint_eq(reader.header.version, vectors[_i].version);
        ck_assert_uint_eq(reader.header.status, vectors[_i].status);
        ck_assert_uint_eq(reader.header.n_body, n - PB_HEADER_SIZE);

        pb_packet_begin(&text);
        switch (vectors[_i].status) {
        case PB_REQUEST:
                ck_assert_int_eq(body_read_request(vectors[_i].version, pb_reader_body(&reader),
                                                   reader.header.n_body, &request),
                                 0);
                assert_json(request.payload, vectors[_i].payload);
                ck_assert_pstr_eq(request.method, vectors[_i].method);
                body_put_request(&text, request.method, request.payload);
                break;
        case PB_GOOD:
                ck_assert_int_eq(body_read_good(vectors[_i].version, pb_reader_body(&reader),
                                                reader.header.n_body, &payload),
                                 0);
                assert_json(payload, vectors[_i].payload);
                ck_assert_int_eq(body_put_good(&text, vectors[_i].version, payload), 0);
                break;
        case PB_BAD:
                ck_assert_int_eq(body_read_bad(vectors[_i].version, pb_reader_body(&reader),
                                               reader.header.n_body, &message),
                                 0);
                ck_assert_str_eq(message, vectors[_i].message);
                body_put_bad(&text, vectors[_i].version, message, strlen(message));
        }
        packet = pb_packet_end(&text, vectors[_i].version, vectors[_i].status, &n_packet);
        ck_assert_ptr_nonnull(packet);
        if (vectors[_i].as_we_write_it) {
                ck_assert_uint_eq(n_packet, n);
                ck_assert(memcmp(packet, bytes, n) == 0);
        }
        free(request.method);
        pb_reader_done(&reader);
        ck_assert_uint_eq(budget.used, 0);
}
END_TEST

START_TEST(close_of_1_0_is_a_word_of_its_own) {
        _cleanup_(freep) uint8_t *bytes = NULL;
        BodyRequest request;
        size_t n;

        bytes = read_vector("close-1-0", &n);
        ck_assert_int_eq(
                body_read_request(PB_1_0, bytes + PB_HEADER_SIZE, n - PB_HEADER_SIZE, &request),
                BODY_E_CLOSE);
        /* 1.1 has no such thing: "api" is a name that it does not know. */
        ck_assert_int_eq(
                body_read_request(PB_1_1, bytes + PB_HEADER_SIZE, n - PB_HEADER_SIZE, &request), 0);
        ck_assert_ptr_null(request.method);
}
END_TEST

START_TEST(packet_is_whole_with_its_last_byte) {
        _cleanup_(freep) uint8_t *bytes = NULL;
        size_t n;

        bytes = read_vector("request-echo", &n);
        for (size_t i = 0; i < n; i++) {
                PbReader reader;

                pb_reader_init(&reader, BODY_MAX, &budget);
                ck_assert_int_eq(feed(&reader, bytes, i, i + 1), PB_E_MORE);
                ck_assert(reader.has_header == (i >= PB_HEADER_SIZE));
                pb_reader_done(&reader);
        }
}
END_TEST

static const struct {
        const char *what;
        const char *bytes;
        size_t n;
        int expected;
} packets[] = {
        { "first byte of the flag", "x", 1, PB_E_FLAG },
        { "second byte of the flag", "pc", 2, PB_E_FLAG },
        { "nothing more than the flag", "pb", 2, PB_E_MORE },
        { "major version", "pb\2\0\0\0\0\2\0\0\0", 11, PB_E_VERSION },
        { "minor version", "pb\1\2\0\0\0\2\0\0\0", 11, PB_E_VERSION },
        { "any reserved bytes", "pb\1\1\0\x12\x34\2\0\0\0{}", 13, 0 },
        { "any status, which is not for the reader", "pb\1\1\11\0\0\2\0\0\0{}", 13, 0 },
        { "no body", "pb\1\1\0\0\0\0\0\0\0", 11, 0 },
        { "the largest body", "pb\1\1\0\0\0\xe8\3\0\0", 11, PB_E_MORE },
        { "one byte more", "pb\1\1\0\0\0\xe9\3\0\0", 11, PB_E_TOO_BIG },
        { "all that 32 bits can say", "pb\1\1\0\0\0\xff\xff\xff\xff", 11, PB_E_TOO_BIG },
        { "the corrupt stream of the Python server", "pb\1\1\1\0\0pb\1\1\2\0\0", 14, PB_E_TOO_BIG },
        { "a second packet behind it", "pb\1\1\0\0\0\2\0\0\0{}pb\1\1", 17, 0 },
};

START_TEST(header_says) {
        PbReader reader;

        pb_reader_init(&reader, BODY_MAX, &budget);
        ck_assert_msg(feed(&reader, (const uint8_t *)packets[_i].bytes, packets[_i].n, SIZE_MAX) ==
                              packets[_i].expected,
                      "%s", packets[_i].what);
        pb_reader_done(&reader);
}
END_TEST

START_TEST(memory_comes_with_the_bytes) {
        static const uint8_t header[] = { 'p', 'b', 1, 1, 0, 0, 0, 0, 0, 0, 1 }; /* 16 MiB */
        PbReader reader;
        uint8_t *room;
        size_t n;

        pb_reader_init(&reader, 1 << 24, &budget);
        ck_assert_int_eq(feed(&reader, header, sizeof(header), SIZE_MAX), PB_E_MORE);
        ck_assert_uint_le(reader.allocated, 4096);
        /* And ends where the budget does. */
        while (pb_reader_room(&reader, &room, &n) == 0) {
                memset(room, ' ', n);
                ck_assert_int_eq(pb_reader_fed(&reader, n), PB_E_MORE);
        }
        ck_assert_int_eq(pb_reader_room(&reader, &room, &n), PB_E_BUDGET);
        ck_assert_uint_eq(budget.used, reader.allocated);
        ck_assert_uint_le(budget.used, budget.max);
        pb_reader_done(&reader);
        ck_assert_uint_eq(budget.used, 0);
}
END_TEST

/* Requests of 1.1: what they say, or that they are none. */
static const struct {
        const char *what, *body;
        int expected;
        const char *method, *payload;
} requests[] = {
        { "nothing", "{}", 0, NULL, NULL },
        { "blanks around", " \t\r\n{ } ", 0, NULL, NULL },
        { "explicit nulls", "{\"method\":null,\"payload\":null}", 0, NULL, NULL },
        { "what nobody knows", "{\"x\":[{}],\"method\":\"m\"}", 0, "m", NULL },
        { "a number for a method", "{\"method\":5}", 0, "5", NULL },
        { "a word for a method", "{\"method\":true}", 0, "true", NULL },
        { "an empty method", "{\"method\":\"\"}", 0, "", NULL },
        { "an escaped name", "{\"m\\u0065thod\":\"m\"}", 0, "m", NULL },
        { "escapes", "{\"method\":\"\\u00e9\\ud83d\\ude04\\n\\/\"}", 0, "é😄\n/", NULL },
        { "twice: the last counts", "{\"payload\":1,\"payload\":2}", 0, NULL, "2" },
        { "numbers as they came", "{\"payload\":[1.10,1E+400,123456789012345678901234567890,-0]}",
          0, NULL, "[1.10,1E+400,123456789012345678901234567890,-0]" },
        { "escapes as they came", "{\"payload\":\"\\u0041\\ud83d\"}", 0, NULL,
          "\"\\u0041\\ud83d\"" },
        { "blanks inside as they came", "{\"payload\": [ 1 ,\n2 ] }", 0, NULL, "[ 1 ,\n2 ]" },
        { "no body", "", BODY_E_INVALID, NULL, NULL },
        { "a list", "[1]", BODY_E_INVALID, NULL, NULL },
        { "a number", "1", BODY_E_INVALID, NULL, NULL },
        { "no JSON", "hello", BODY_E_INVALID, NULL, NULL },
        { "not ended", "{\"method\":\"m\"", BODY_E_INVALID, NULL, NULL },
        { "a comma too many", "{\"method\":\"m\",}", BODY_E_INVALID, NULL, NULL },
        { "no comma", "{\"method\":\"m\" \"payload\":1}", BODY_E_INVALID, NULL, NULL },
        { "more behind it", "{}{}", BODY_E_INVALID, NULL, NULL },
        { "bad behind what is good", "{\"method\":\"m\",\"payload\":}", BODY_E_INVALID, NULL,
          NULL },
        { "a byte order mark", "\xef\xbb\xbf{}", BODY_E_INVALID, NULL, NULL },
        { "no UTF-8", "{\"method\":\"\xff\"}", BODY_E_INVALID, NULL, NULL },
        { "an overlong form", "{\"method\":\"\xc0\xaf\"}", BODY_E_INVALID, NULL, NULL },
        { "a surrogate in UTF-8", "{\"method\":\"\xed\xa0\x80\"}", BODY_E_INVALID, NULL, NULL },
        { "beyond Unicode", "{\"method\":\"\xf4\x90\x80\x80\"}", BODY_E_INVALID, NULL, NULL },
        { "a cut sequence", "{\"method\":\"\xe2\x82\"}", BODY_E_INVALID, NULL, NULL },
        { "a control character", "{\"method\":\"\n\"}", BODY_E_INVALID, NULL, NULL },
        { "half a pair", "{\"method\":\"\\ud83d\"}", BODY_E_INVALID, NULL, NULL },
        { "a NUL in a method", "{\"method\":\"a\\u0000b\"}", BODY_E_INVALID, NULL, NULL },
        { "an object for a method", "{\"method\":{}}", BODY_E_INVALID, NULL, NULL },
        { "a leading zero", "{\"payload\":01}", BODY_E_INVALID, NULL, NULL },
        { "a plus", "{\"payload\":+1}", BODY_E_INVALID, NULL, NULL },
        { "a bare point", "{\"payload\":1.}", BODY_E_INVALID, NULL, NULL },
        { "a bare exponent", "{\"payload\":1e}", BODY_E_INVALID, NULL, NULL },
        { "NaN", "{\"payload\":NaN}", BODY_E_INVALID, NULL, NULL },
        { "single quotes", "{'payload':1}", BODY_E_INVALID, NULL, NULL },
        { "an unknown escape", "{\"payload\":\"\\x41\"}", BODY_E_INVALID, NULL, NULL },
        { "brackets that do not fit", "{\"payload\":[1}", BODY_E_INVALID, NULL, NULL },
};

START_TEST(request_says) {
        const char *body = requests[_i].body;
        BodyRequest request = { 0 };

        ck_assert_msg(body_read_request(PB_1_1, body, strlen(body), &request) ==
                              requests[_i].expected,
                      "%s", requests[_i].what);
        ck_assert_pstr_eq(request.method, requests[_i].method);
        if (requests[_i].expected == 0)
                assert_json(request.payload, requests[_i].payload);
        free(request.method);
}
END_TEST

/* What we take is what a JSON library takes, but for its limits of numbers. */
START_TEST(jansson_agrees) {
        const char *body = requests[_i].body;
        json_error_t error;
        BodyRequest request = { 0 };
        json_t *json;

        json = json_loadb(body, strlen(body), JSON_ALLOW_NUL, &error);
        if (json_is_object(json) && requests[_i].expected != 0)
                ck_assert_msg(json_object_get(json, "method") != NULL, "%s", requests[_i].what);
        if (!json && body_read_request(PB_1_1, body, strlen(body), &request) == 0)
                ck_assert_msg(strstr(requests[_i].what, "as they came") != NULL, "%s",
                              requests[_i].what);
        free(request.method);
        json_decref(json);
}
END_TEST

static const struct {
        const char *what, *body;
        int expected;
} old_requests[] = {
        { "no body is an empty one", "{\"api\":\"a\"}", 0 },
        { "no api", "{\"body\":{}}", BODY_E_INVALID },
        { "an empty api", "{\"api\":\"\"}", BODY_E_INVALID },
        { "an api that is no text", "{\"api\":1}", BODY_E_INVALID },
        { "a body that is no object", "{\"api\":\"a\",\"body\":[]}", BODY_E_INVALID },
};

START_TEST(request_of_1_0_says) {
        const char *body = old_requests[_i].body;
        BodyRequest request = { 0 };

        ck_assert_msg(body_read_request(PB_1_0, body, strlen(body), &request) ==
                              old_requests[_i].expected,
                      "%s", old_requests[_i].what);
        if (old_requests[_i].expected == 0)
                assert_json(request.payload, "{}");
        free(request.method);
}
END_TEST

START_TEST(depth_has_an_end) {
        static const struct {
                unsigned depth;
                int expected;
        } depths[] = { { JSON_TEXT_DEPTH_MAX, 0 }, { JSON_TEXT_DEPTH_MAX + 1, BODY_E_INVALID } };

        for (unsigned i = 0; i < ELEMENTSOF(depths); i++) {
                _cleanup_(freep) char *body = NULL;
                Text text = { 0 };
                JsonText payload;
                size_t n;

                text_puts(&text, "{\"payload\":");
                for (unsigned k = 0; k < depths[i].depth; k++)
                        text_puts(&text, "[");
                for (unsigned k = 0; k < depths[i].depth; k++)
                        text_puts(&text, "]");
                text_puts(&text, "}");
                body = text_take(&text, &n);
                ck_assert_ptr_nonnull(body);
                ck_assert_int_eq(body_read_good(PB_1_1, body, n, &payload), depths[i].expected);
        }
}
END_TEST

START_TEST(only_objects_are_told_in_1_0) {
        Text text = { 0 };

        ck_assert_int_eq(body_put_good(&text, PB_1_0, (JsonText){ "[]", 2 }), BODY_E_INVALID);
        ck_assert_int_eq(body_put_good(&text, PB_1_0, (JsonText){ 0 }), 0);
        ck_assert_uint_eq(text.n, strlen("{\"body\": {}}"));
        ck_assert(memcmp(text.data, "{\"body\": {}}", text.n) == 0);
        text_done(&text);
}
END_TEST

START_TEST(any_bytes_become_a_message) {
        static const char bytes[] = "a\"\\\n\x01\xff\xc3\xa9\xe2\x82";
        _cleanup_(freep) char *message = NULL, *body = NULL;
        Text text = { 0 };
        size_t n;

        body_put_bad(&text, PB_1_1, bytes, sizeof(bytes) - 1);
        body = text_take(&text, &n);
        ck_assert_ptr_nonnull(body);
        ck_assert_int_eq(body_read_bad(PB_1_1, body, n, &message), 0);
        ck_assert_str_eq(message, "a\"\\\n\x01?\xc3\xa9??");
}
END_TEST

START_TEST(missing_message_is_an_unknown_error) {
        static const char *const bodies[] = { "{}", "{\"message\":null}", "{\"message\":[]}" };

        for (unsigned i = 0; i < ELEMENTSOF(bodies); i++) {
                _cleanup_(freep) char *message = NULL;

                ck_assert_int_eq(body_read_bad(PB_1_1, bodies[i], strlen(bodies[i]), &message), 0);
                ck_assert_str_eq(message, "unknown server error");
        }
}
END_TEST

static const struct {
        const char *text;
        int expected;
        const char *formatted;
} endpoints[] = {
        { "127.0.0.1:8000", 0, "127.0.0.1:8000" },
        { "0.0.0.0:0", 0, "0.0.0.0:0" },
        { "[::1]:65535", 0, "[::1]:65535" },
        { "/run/x.sock", 0, "/run/x.sock" },
        { "./x", 0, "./x" },
        { "", ENDPOINT_E_MALFORMED, NULL },
        { "8000", ENDPOINT_E_MALFORMED, NULL },
        { ":8000", ENDPOINT_E_MALFORMED, NULL },
        { "127.0.0.1:", ENDPOINT_E_MALFORMED, NULL },
        { "127.0.0.1:65536", ENDPOINT_E_MALFORMED, NULL },
        { "127.0.0.1:-1", ENDPOINT_E_MALFORMED, NULL },
        { "127.0.0.1:8000x", ENDPOINT_E_MALFORMED, NULL },
        { "localhost:8000", ENDPOINT_E_MALFORMED, NULL },
        { "::1:8000", ENDPOINT_E_MALFORMED, NULL },
        { "[::1]", ENDPOINT_E_MALFORMED, NULL },
        { "[]:1", ENDPOINT_E_MALFORMED, NULL },
        { "/234567890123456789012345678901234567890123456789012345678901234567890123456789012345678"
          "90"
          "1234567890123456789",
          ENDPOINT_E_TOO_LONG, NULL },
};

START_TEST(endpoint_is_read) {
        char text[ENDPOINT_TEXT_SIZE];
        Endpoint endpoint;

        ck_assert_msg(endpoint_parse(endpoints[_i].text, &endpoint) == endpoints[_i].expected, "%s",
                      endpoints[_i].text);
        if (endpoints[_i].formatted)
                ck_assert_str_eq(endpoint_format(&endpoint, text), endpoints[_i].formatted);
}
END_TEST

static const struct {
        const char *text;
        uint64_t usec; /* 0: refused */
} times[] = {
        { "1", 1000000 },  { "0.25", 250000 }, { ".5", 500000 }, { "86400", 86400000000 },
        { "2.", 2000000 }, { "", 0 },          { ".", 0 },       { "0", 0 },
        { "86400.1", 0 },  { "-1", 0 },        { "1s", 0 },      { "99999999999999999999", 0 },
};

START_TEST(time_is_read) {
        uint64_t usec = 0;

        ck_assert_msg(!settings_read_time(times[_i].text, &usec) == (times[_i].usec > 0), "%s",
                      times[_i].text);
        ck_assert_uint_eq(usec, times[_i].usec);
}
END_TEST

/* Who is counted as one: the second is from the same peer as the first, or not. */
static const struct {
        const char *first, *second;
        bool same;
} neighbours[] = {
        { "192.0.2.1", "192.0.2.1", true },
        { "192.0.2.1", "192.0.2.2", false },
        { "2001:db8::1", "2001:db8::2", true },
        { "2001:db8::1", "2001:db8:0:1::1", false },
        { "::ffff:192.0.2.1", "::ffff:192.0.2.2", false },
        { "::ffff:192.0.2.1", "192.0.2.1", true },
};

static int enter(Peers *peers, const char *address, Peer **ret) {
        union {
                struct sockaddr any;
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
        } from = { 0 };

        if (inet_pton(AF_INET, address, &from.in.sin_addr) == 1) {
                from.any.sa_family = AF_INET;
        } else {
                ck_assert_int_eq(inet_pton(AF_INET6, address, &from.in6.sin6_addr), 1);
                from.any.sa_family = AF_INET6;
        }
        return peers_enter(peers, -EBADF, &from.any, 1, ret);
}

START_TEST(neighbour_is_counted_as) {
        Peer *first, *second = NULL;
        Peers peers = { 0 };

        ck_assert_int_eq(enter(&peers, neighbours[_i].first, &first), 0);
        ck_assert_int_eq(enter(&peers, neighbours[_i].second, &second),
                         neighbours[_i].same ? -EDQUOT : 0);
        peers_leave(&peers, first);
        if (second)
                peers_leave(&peers, second);
        ck_assert_ptr_null(peers.table);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("procbridge");
        TCase *packet = tcase_create("packet"), *body = tcase_create("body"),
              *settings = tcase_create("settings"), *peers = tcase_create("peers");

        tcase_add_checked_fixture(packet, fresh_budget, NULL);
        tcase_add_loop_test(packet, vector_is_read_and_written_again, 0, ELEMENTSOF(vectors));
        tcase_add_test(packet, packet_is_whole_with_its_last_byte);
        tcase_add_loop_test(packet, header_says, 0, ELEMENTSOF(packets));
        tcase_add_test(packet, memory_comes_with_the_bytes);
        suite_add_tcase(suite, packet);

        tcase_add_test(body, close_of_1_0_is_a_word_of_its_own);
        tcase_add_loop_test(body, request_says, 0, ELEMENTSOF(requests));
        tcase_add_loop_test(body, jansson_agrees, 0, ELEMENTSOF(requests));
        tcase_add_loop_test(body, request_of_1_0_says, 0, ELEMENTSOF(old_requests));
        tcase_add_test(body, depth_has_an_end);
        tcase_add_test(body, only_objects_are_told_in_1_0);
        tcase_add_test(body, any_bytes_become_a_message);
        tcase_add_test(body, missing_message_is_an_unknown_error);
        suite_add_tcase(suite, body);

        tcase_add_loop_test(settings, endpoint_is_read, 0, ELEMENTSOF(endpoints));
        tcase_add_loop_test(settings, time_is_read, 0, ELEMENTSOF(times));
        suite_add_tcase(suite, settings);

        tcase_add_loop_test(peers, neighbour_is_counted_as, 0, ELEMENTSOF(neighbours));
        suite_add_tcase(suite, peers);
        return suite;
}
