/* SPDX-License-Identifier: Apache-2.0 */

/* Calls as text: what is one, what is none, and what is too much. */

#include "config.h"

#include "libcall/envelope.h"

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "libcall/latency.h"
#include "libcall/p2pbus-call.h"
#include "tests/main.h"

static const struct {
        const char *what;
        const char *text;
        int result;
        const char *method;  /* NULL: none */
        const char *payload; /* as JSON */
} requests[] = {
        { "a method and a payload", "{\"method\": \"echo\", \"payload\": 123}", 0, "echo", "123" },
        { "a method alone", "{\"method\":\"echo\"}", 0, "echo", "null" },
        { "neither", "{}", 0, NULL, "null" },
        { "null for either", "{\"method\":null,\"payload\":null}", 0, NULL, "null" },
        { "what is not known", "{\"method\":\"a\",\"more\":[1]}", 0, "a", "null" },
        { "raw UTF-8", "{\"method\":\"\xc3\xa9\"}", 0, "\xc3\xa9", "null" },
        { "the same, escaped", "{\"method\":\"\\u00e9\"}", 0, "\xc3\xa9", "null" },
        { "a pair of surrogates", "{\"method\":\"\\ud83d\\ude04\"}", 0, "\xf0\x9f\x98\x84",
          "null" },
        { "blanks around", " \n{\"method\":\"a\"}\t ", 0, "a", "null" },
        { "brackets in a text", "{\"method\":\"[[{{\\\"[\"}", 0, "[[{{\"[", "null" },
        { "nothing", "", ENVELOPE_E_MALFORMED, NULL, NULL },
        { "no JSON", "hello", ENVELOPE_E_MALFORMED, NULL, NULL },
        { "half of it", "{\"method\":\"a\"", ENVELOPE_E_MALFORMED, NULL, NULL },
        { "more behind it", "{\"method\":\"a\"}{}", ENVELOPE_E_MALFORMED, NULL, NULL },
        { "a list", "[1]", ENVELOPE_E_MALFORMED, NULL, NULL },
        { "a text", "\"a\"", ENVELOPE_E_MALFORMED, NULL, NULL },
        { "a number as method", "{\"method\":1}", ENVELOPE_E_MALFORMED, NULL, NULL },
        { "a list as method", "{\"method\":[]}", ENVELOPE_E_MALFORMED, NULL, NULL },
        { "a key twice", "{\"method\":\"a\",\"method\":\"b\"}", ENVELOPE_E_MALFORMED, NULL, NULL },
        { "a NUL in a text", "{\"method\":\"a\\u0000b\"}", ENVELOPE_E_MALFORMED, NULL, NULL },
        { "half a pair", "{\"method\":\"\\ud83d\"}", ENVELOPE_E_MALFORMED, NULL, NULL },
        { "bytes that are no UTF-8", "{\"method\":\"\xff\"}", ENVELOPE_E_MALFORMED, NULL, NULL },
        { "a byte order mark", "\xef\xbb\xbf{}", ENVELOPE_E_MALFORMED, NULL, NULL },
        { "a number that is too large", "{\"payload\":1e999}", ENVELOPE_E_MALFORMED, NULL, NULL },
        { "a closing bracket too many", "{}]", ENVELOPE_E_MALFORMED, NULL, NULL },
};

START_TEST(requests_are_told_from_the_rest) {
        char why[ENVELOPE_WHY_SIZE] = "", *payload;
        Envelope envelope = { 0 };
        int r;

        r = envelope_decode_request(requests[_i].text, strlen(requests[_i].text), &envelope, why);
        ck_assert_msg(r == requests[_i].result, "%s: %d, %s", requests[_i].what, r, why);
        if (r != 0) {
                ck_assert_ptr_null(envelope.whole);
                ck_assert_str_ne(why, "");
                for (const char *c = why; *c; c++)
                        ck_assert(*c >= ' ' && *c <= '~');
                return;
        }
        if (requests[_i].method)
                ck_assert_str_eq(envelope.method, requests[_i].method);
        else
                ck_assert_ptr_null(envelope.method);
        payload = json_dumps(envelope.payload, JSON_ENCODE_ANY);
        ck_assert_str_eq(payload, requests[_i].payload);
        free(payload);
        envelope_done(&envelope);
}
END_TEST

/* {"payload": [[[...]]]} with so many lists */
static char *nested(size_t n) {
        char *text = malloc(2 * n + 32), *p = text;

        ck_assert_ptr_nonnull(text);
        p = stpcpy(p, "{\"payload\":");
        memset(p, '[', n);
        memset(p + n, ']', n);
        strcpy(p + 2 * n, "}");
        return text;
}

START_TEST(depth_has_a_limit) {
        char why[ENVELOPE_WHY_SIZE];
        Envelope envelope = { 0 };
        char *text = nested(P2PBUS_CALL_DEPTH_MAX - 1);

        ck_assert_int_eq(envelope_decode_request(text, strlen(text), &envelope, why), 0);
        envelope_done(&envelope);
        free(text);
        text = nested(P2PBUS_CALL_DEPTH_MAX);
        ck_assert_int_eq(envelope_decode_request(text, strlen(text), &envelope, why),
                         ENVELOPE_E_TOO_BIG);
        free(text);
        text = nested(1000000); /* would be a stack that is too deep */
        ck_assert_int_eq(envelope_decode_answer(text, strlen(text), &envelope, why),
                         ENVELOPE_E_TOO_BIG);
        free(text);
}
END_TEST

START_TEST(values_have_a_limit) {
        size_t n = P2PBUS_CALL_VALUES_MAX;
        char *text = malloc(2 * n + 64), *p;
        char why[ENVELOPE_WHY_SIZE];
        Envelope envelope = { 0 };

        p = stpcpy(text, "{\"payload\":[0");
        for (size_t i = 0; i < n; i++)
                p = stpcpy(p, ",0");
        strcpy(p, "]}");
        ck_assert_int_eq(envelope_decode_request(text, strlen(text), &envelope, why),
                         ENVELOPE_E_TOO_BIG);
        strcpy(p - 10, "]}");
        ck_assert_int_eq(envelope_decode_request(text, strlen(text), &envelope, why), 0);
        envelope_done(&envelope);
        free(text);
}
END_TEST

START_TEST(size_has_a_limit) {
        size_t n = P2PBUS_CALL_SIZE_MAX + 1;
        char *text = malloc(n), why[ENVELOPE_WHY_SIZE];
        Envelope envelope = { 0 };

        memset(text, ' ', n);
        memcpy(text, "{}", 2);
        ck_assert_int_eq(envelope_decode_request(text, n, &envelope, why), ENVELOPE_E_TOO_BIG);
        ck_assert_int_eq(envelope_decode_request(text, n - 1, &envelope, why), 0);
        envelope_done(&envelope);
        free(text);
}
END_TEST

START_TEST(a_method_name_has_a_limit) {
        char name[P2PBUS_CALL_METHOD_MAX + 2], why[ENVELOPE_WHY_SIZE], *text;
        Envelope envelope = { 0 };
        size_t n;

        memset(name, 'a', sizeof(name));
        name[P2PBUS_CALL_METHOD_MAX + 1] = '\0';
        text = envelope_encode_request(name, NULL, &n);
        ck_assert_int_eq(envelope_decode_request(text, n, &envelope, why), ENVELOPE_E_MALFORMED);
        free(text);
        text = envelope_encode_request(name + 1, NULL, &n);
        ck_assert_int_eq(envelope_decode_request(text, n, &envelope, why), 0);
        envelope_done(&envelope);
        free(text);
}
END_TEST

START_TEST(what_is_said_is_what_others_say) {
        size_t n;
        char *text = envelope_encode_request("sum", json_pack("[i,i]", 1, 2), &n);

        ck_assert_str_eq(text, "{\"method\":\"sum\",\"payload\":[1,2]}");
        ck_assert_uint_eq(n, strlen(text));
        free(text);
        text = envelope_encode_request("none", NULL, &n);
        ck_assert_str_eq(text, "{\"method\":\"none\"}");
        free(text);
        text = envelope_encode_answer(json_integer(3), &n);
        ck_assert_str_eq(text, "{\"payload\":3}");
        free(text);
        text = envelope_encode_answer(NULL, &n);
        ck_assert_str_eq(text, "{}");
        free(text);
}
END_TEST

START_TEST(latencies_fall_into_fixed_buckets) {
        static const struct {
                uint64_t usec;
                unsigned bucket;
        } points[] = {
                { 0, 0 },    { 10, 0 },        { 11, 1 },        { 20, 1 },          { 1000, 6 },
                { 1001, 7 }, { 10000000, 18 }, { 10000001, 19 }, { UINT64_MAX, 19 },
        };
        json_t *list;

        for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
                Latency latency = { 0 };

                latency_add(&latency, points[i].usec);
                list = latency_show(&latency);
                ck_assert_uint_eq(json_array_size(list), LATENCY_BUCKETS);
                for (unsigned k = 0; k < LATENCY_BUCKETS; k++)
                        ck_assert_int_eq(json_integer_value(json_array_get(list, k)),
                                         k == points[i].bucket);
                json_decref(list);
        }
        list = latency_show_bounds();
        ck_assert_uint_eq(json_array_size(list), LATENCY_BUCKETS - 1);
        json_decref(list);
}
END_TEST

START_TEST(each_status_has_its_name) {
        ck_assert_str_eq(p2pbus_call_status_text(P2PBUS_CALL_BAD_REQUEST), "bad-request");
        ck_assert_str_eq(p2pbus_call_status_text(P2PBUS_CALL_FAILED), "failed");
        for (uint32_t s = P2PBUS_CALL_BAD_REQUEST; s <= P2PBUS_CALL_FAILED; s++)
                ck_assert_ptr_nonnull(p2pbus_call_status_text(s));
        ck_assert_ptr_null(p2pbus_call_status_text(0));
        ck_assert_ptr_null(p2pbus_call_status_text(P2PBUS_CALL_BAD_REQUEST - 1));
        ck_assert_ptr_null(p2pbus_call_status_text(P2PBUS_CALL_FAILED + 1));
        ck_assert_ptr_null(p2pbus_call_status_text(UINT32_MAX));
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("envelope");
        TCase *c = tcase_create("envelope");

        tcase_add_loop_test(c, requests_are_told_from_the_rest, 0,
                            sizeof(requests) / sizeof(requests[0]));
        tcase_add_test(c, depth_has_a_limit);
        tcase_add_test(c, values_have_a_limit);
        tcase_add_test(c, size_has_a_limit);
        tcase_add_test(c, a_method_name_has_a_limit);
        tcase_add_test(c, what_is_said_is_what_others_say);
        tcase_add_test(c, latencies_fall_into_fixed_buckets);
        tcase_add_test(c, each_status_has_its_name);
        suite_add_tcase(suite, c);
        return suite;
}
