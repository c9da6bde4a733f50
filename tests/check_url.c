/* SPDX-License-Identifier: Apache-2.0 */

#include "libcore/url.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "libcore/util.h"
#include "tests/main.h"

#define FULL "e85004f63798e2c0:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"

static const struct {
        const char *text;
        WsUrl url;
} good[] = {
        { "ws://relay.example", { false, false, "relay.example", 80, "/", "" } },
        { "wss://relay.example", { true, false, "relay.example", 443, "/", "" } },
        { "wss://relay.example/", { true, false, "relay.example", 443, "/", "" } },
        { "ws://127.0.0.1:8080#" FULL, { false, false, "127.0.0.1", 8080, "/", FULL } },
        { "ws://[::1]:7#" FULL, { false, true, "::1", 7, "/", FULL } },
        { "wss://[2001:db8::7]/p2pbus", { true, true, "2001:db8::7", 443, "/p2pbus", "" } },
        { "wss://h_1-x.a:65535/a/b%20c#x", { true, false, "h_1-x.a", 65535, "/a/b%20c", "x" } },
        { "WSS://Relay.Example:1", { true, false, "Relay.Example", 1, "/", "" } },
};

START_TEST(url_is_taken_apart) {
        WsUrl url;

        ck_assert_msg(ws_url_parse(good[_i].text, &url) == 0, "refused: %s", good[_i].text);
        ck_assert(url.tls == good[_i].url.tls);
        ck_assert(url.literal_ipv6 == good[_i].url.literal_ipv6);
        ck_assert_str_eq(url.host, good[_i].url.host);
        ck_assert_uint_eq(url.port, good[_i].url.port);
        ck_assert_str_eq(url.path, good[_i].url.path);
        ck_assert_str_eq(url.fragment, good[_i].url.fragment);
}
END_TEST

static const char *const bad[] = {
        "",
        "ws:",
        "ws://",
        "ws:///path",
        "ws://:80",
        "http://relay.example",
        "javascript:alert(1)",
        "javascript://relay.example",
        " ws://relay.example",
        "ws://relay.example ",
        "ws://relay example",
        "ws://relay.example\r\nX-Header: 1",
        "ws://relay.example/\r\nX-Header: 1",
        "ws://relay.example/\npath",
        "ws://relay.example#x\r\n",
        "ws://relay.example/pa th",
        "ws://relay.example/\"",
        "ws://relay.example/p\xc3\xa9",
        "ws://r\xc3\xa9lay.example",
        "ws://user@relay.example",
        "ws://user:pass@relay.example",
        "ws://relay.example?query",
        "ws://relay..example",
        "ws://.example",
        "ws://relay.example.",
        "ws://-relay",
        "ws://relay.example:",
        "ws://relay.example:0",
        "ws://relay.example:65536",
        "ws://relay.example:099999",
        "ws://relay.example:+80",
        "ws://relay.example:80x",
        "ws://relay.example:80:80",
        "ws://relay.example#",
        "ws://relay.example#a#b",
        "ws://relay.example#a/b",
        "ws://[::1",
        "ws://[]",
        "ws://[::g]",
        "ws://[127.0.0.1]",
        "ws://[fe80::1%25eth0]",
        "ws://::1:80",
        "ws://[::1]x",
};

START_TEST(url_is_refused) {
        WsUrl url, before;

        memset(&before, 0x5a, sizeof(before));
        url = before;
        ck_assert_msg(ws_url_parse(bad[_i], &url) == WS_URL_E_MALFORMED, "accepted: %s", bad[_i]);
        ck_assert_mem_eq(&url, &before, sizeof(url));
}
END_TEST

/* "ws://" or "ws://h/" or "ws://h#" and then @n times @c. */
static int parse_long(const char *start, char c, size_t n) {
        char text[2 * WS_URL_MAX];
        WsUrl url;

        memcpy(text, start, strlen(start));
        memset(text + strlen(start), c, n);
        text[strlen(start) + n] = '\0';
        return ws_url_parse(text, &url);
}

START_TEST(lengths_have_limits) {
        ck_assert_int_eq(parse_long("ws://", 'a', 63), 0);
        ck_assert_int_eq(parse_long("ws://", 'a', 64), WS_URL_E_MALFORMED);
        ck_assert_int_eq(parse_long("ws://h/", 'a', WS_URL_PATH_MAX - 1), 0);
        ck_assert_int_eq(parse_long("ws://h/", 'a', WS_URL_PATH_MAX), WS_URL_E_MALFORMED);
        ck_assert_int_eq(parse_long("ws://h#", 'a', WS_URL_FRAGMENT_MAX), 0);
        ck_assert_int_eq(parse_long("ws://h#", 'a', WS_URL_FRAGMENT_MAX + 1), WS_URL_E_MALFORMED);
        ck_assert_int_eq(parse_long("ws://h:", '0', 900), WS_URL_E_MALFORMED);
        ck_assert_int_eq(parse_long("ws://h", '/', 900), WS_URL_E_MALFORMED);
}
END_TEST

static const struct {
        const char *a, *b;
        bool is_same;
} pairs[] = {
        { "wss://relay.example", "wss://relay.example", true },
        { "wss://relay.example", "wss://relay.example/", true },
        { "wss://relay.example", "wss://relay.example:443/", true },
        { "ws://relay.example#" FULL, "ws://relay.example:80", true },
        { "WSS://Relay.Example/x", "wss://relay.example/x", true },
        { "ws://[::1]:7", "ws://[0:0::1]:7", true },
        { "ws://relay.example:443", "wss://relay.example", false },
        { "wss://relay.example", "wss://relay.example:444", false },
        { "wss://relay.example", "wss://relay.example/x", false },
        { "wss://relay.example/X", "wss://relay.example/x", false },
        { "wss://relay.example", "wss://relay2.example", false },
        { "ws://[::1]:7", "ws://[::2]:7", false },
};

START_TEST(the_same_relay_may_be_spelt_in_several_ways) {
        WsUrl a, b;

        ck_assert_int_eq(ws_url_parse(pairs[_i].a, &a), 0);
        ck_assert_int_eq(ws_url_parse(pairs[_i].b, &b), 0);
        ck_assert_msg(ws_url_is_same_relay(&a, &b) == pairs[_i].is_same, "%s, %s", pairs[_i].a,
                      pairs[_i].b);
        ck_assert(ws_url_is_same_relay(&b, &a) == pairs[_i].is_same);
}
END_TEST

START_TEST(address_is_read_and_written) {
        static const char *const texts[] = { "127.0.0.1:0", "0.0.0.0:8443", "[::1]:7", "[::]:65535",
                                             "[2001:db8::7]:443" };
        struct sockaddr_storage address;
        char text[WS_ADDRESS_TEXT_SIZE];
        socklen_t size;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                ck_assert_int_eq(ws_address_parse(texts[i], &address, &size), 0);
                ck_assert_uint_eq(size, texts[i][0] == '[' ? sizeof(struct sockaddr_in6)
                                                           : sizeof(struct sockaddr_in));
                ck_assert_str_eq(ws_address_format((struct sockaddr *)&address, text), texts[i]);
        }
}
END_TEST

START_TEST(address_is_refused) {
        static const char *const texts[] = { "",
                                             "127.0.0.1",
                                             ":80",
                                             "localhost:80",
                                             "1.2.3:80",
                                             "::1:80",
                                             "[::1]",
                                             "[::1]80",
                                             "[::1]:",
                                             "[::1]:x",
                                             "127.0.0.1:65536",
                                             "[1.2.3.4]:80",
                                             "127.0.0.1:80 ",
                                             "127.0.0.1:-1" };
        struct sockaddr_storage address;
        socklen_t size;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                ck_assert_msg(ws_address_parse(texts[i], &address, &size) == WS_URL_E_MALFORMED,
                              "accepted: %s", texts[i]);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("url");
        TCase *tcase = tcase_create("url");

        tcase_add_loop_test(tcase, url_is_taken_apart, 0, ELEMENTSOF(good));
        tcase_add_loop_test(tcase, url_is_refused, 0, ELEMENTSOF(bad));
        tcase_add_test(tcase, lengths_have_limits);
        tcase_add_loop_test(tcase, the_same_relay_may_be_spelt_in_several_ways, 0,
                            ELEMENTSOF(pairs));
        tcase_add_test(tcase, address_is_read_and_written);
        tcase_add_test(tcase, address_is_refused);
        suite_add_tcase(suite, tcase);
        return suite;
}
