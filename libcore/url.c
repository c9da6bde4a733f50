/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A URL comes from a command line, a configuration file, or a record that a stranger signed. So
 * the parser knows sets of allowed bytes and no forbidden ones, and copies only what it checked.
 */

#include "libcore/url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "libcore/util.h"

static bool is_alnum(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_one_of(char c, const char *set) {
        return c != '\0' && strchr(set, c) != NULL;
}

static bool is_name_byte(char c) {
        return is_alnum(c) || is_one_of(c, "-_.");
}

static bool is_path_byte(char c) {
        return is_alnum(c) || is_one_of(c, "/-._~%!$&'()*+,;=:@");
}

static bool is_fragment_byte(char c) {
        return is_alnum(c) || is_one_of(c, ":-_");
}

/* The length of the longest beginning of @text whose bytes all pass @is. */
static size_t span(const char *text, bool (*is)(char c)) {
        size_t n = 0;

        while (is(text[n]))
                n++;
        return n;
}

/* Labels of 1 to 63 bytes; a final dot would make two spellings of one host. */
static bool name_is_valid(const char *name, size_t n) {
        size_t n_label = 0;

        if (n == 0 || n > WS_URL_HOST_MAX)
                return false;
        for (size_t i = 0; i < n; i++) {
                if (name[i] != '.') {
                        if (++n_label > 63)
                                return false;
                        continue;
                }
                if (n_label == 0)
                        return false;
                n_label = 0;
        }
        return n_label > 0 && name[0] != '-';
}

/* Decimal, no sign, no blank, at most five digits. Returns the bytes read, 0 if it is none. */
static size_t port_parse(const char *text, uint16_t *ret) {
        unsigned value = 0;
        size_t n = 0;

        for (; n < 5 && text[n] >= '0' && text[n] <= '9'; n++)
                value = value * 10 + (unsigned)(text[n] - '0');
        if (n == 0 || value > 65535 || (text[n] >= '0' && text[n] <= '9'))
                return 0;
        *ret = (uint16_t)value;
        return n;
}

/* "[ADDRESS]" at the start of @text. Returns the bytes read, 0 if it is none. */
static size_t bracketed_parse(const char *text, char *ret_host, struct in6_addr *ret) {
        const char *end = strchr(text, ']');
        size_t n;

        if (text[0] != '[' || !end)
                return 0;
        n = (size_t)(end - text) - 1;
        if (n == 0 || n >= INET6_ADDRSTRLEN)
                return 0;
        memcpy(ret_host, text + 1, n);
        ret_host[n] = '\0';
        return inet_pton(AF_INET6, ret_host, ret) == 1 ? n + 2 : 0;
}

static int host_parse(const char **text, WsUrl *url) {
        struct in6_addr unused;
        size_t n;

        if (**text == '[') {
                n = bracketed_parse(*text, url->host, &unused);
                if (n == 0)
                        return WS_URL_E_MALFORMED;
                url->literal_ipv6 = true;
        } else {
                n = span(*text, is_name_byte);
                if (!name_is_valid(*text, n))
                        return WS_URL_E_MALFORMED;
                memcpy(url->host, *text, n);
                url->host[n] = '\0';
        }
        *text += n;
        return 0;
}

int ws_url_parse(const char *text, WsUrl *ret) {
        WsUrl url = { .path = "/" };
        size_t n;

        if (strnlen(text, WS_URL_MAX + 1) > WS_URL_MAX)
                return WS_URL_E_MALFORMED;

        if (strncasecmp(text, "ws://", 5) == 0) {
                url.port = 80;
                text += 5;
        } else if (strncasecmp(text, "wss://", 6) == 0) {
                url.tls = true;
                url.port = 443;
                text += 6;
        } else {
                return WS_URL_E_MALFORMED;
        }

        if (host_parse(&text, &url) != 0)
                return WS_URL_E_MALFORMED;

        if (*text == ':') {
                n = port_parse(text + 1, &url.port);
                if (n == 0 || url.port == 0)
                        return WS_URL_E_MALFORMED;
                text += 1 + n;
        }
        if (*text == '/') {
                n = span(text, is_path_byte);
                if (n > WS_URL_PATH_MAX)
                        return WS_URL_E_MALFORMED;
                memcpy(url.path, text, n);
                url.path[n] = '\0';
                text += n;
        }
        if (*text == '#') {
                n = span(++text, is_fragment_byte);
                if (n == 0 || n > WS_URL_FRAGMENT_MAX)
                        return WS_URL_E_MALFORMED;
                memcpy(url.fragment, text, n);
                url.fragment[n] = '\0';
                text += n;
        }
        if (*text != '\0')
                return WS_URL_E_MALFORMED;
        *ret = url;
        return 0;
}

/* Names have no case, and an IPv6 address has many spellings. */
static bool is_same_host(const WsUrl *a, const WsUrl *b) {
        struct in6_addr address_a, address_b;

        if (a->literal_ipv6 != b->literal_ipv6)
                return false;
        if (!a->literal_ipv6)
                return strcasecmp(a->host, b->host) == 0;
        return inet_pton(AF_INET6, a->host, &address_a) == 1 &&
               inet_pton(AF_INET6, b->host, &address_b) == 1 &&
               memcmp(&address_a, &address_b, sizeof(address_a)) == 0;
}

bool ws_url_is_same_relay(const WsUrl *a, const WsUrl *b) {
        return a->tls == b->tls && a->port == b->port && strcmp(a->path, b->path) == 0 &&
               is_same_host(a, b);
}

int ws_address_parse(const char *text, struct sockaddr_storage *ret_address, socklen_t *ret_size) {
        struct sockaddr_in v4 = { .sin_family = AF_INET };
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
        char host[INET6_ADDRSTRLEN];
        uint16_t port;
        size_t n;

        if (text[0] == '[') {
                n = bracketed_parse(text, host, &v6.sin6_addr);
                if (n == 0)
                        return WS_URL_E_MALFORMED;
        } else {
                n = strcspn(text, ":");
                if (n == 0 || n >= sizeof(host))
                        return WS_URL_E_MALFORMED;
                memcpy(host, text, n);
                host[n] = '\0';
                if (inet_pton(AF_INET, host, &v4.sin_addr) != 1)
                        return WS_URL_E_MALFORMED;
        }
        if (text[n] != ':')
                return WS_URL_E_MALFORMED;
        text += n + 1;
        n = port_parse(text, &port);
        if (n == 0 || text[n] != '\0')
                return WS_URL_E_MALFORMED;

        memset(ret_address, 0, sizeof(*ret_address));
        if (host[0] != '\0' && strchr(host, ':')) {
                v6.sin6_port = htons(port);
                memcpy(ret_address, &v6, sizeof(v6));
                *ret_size = sizeof(v6);
        } else {
                v4.sin_port = htons(port);
                memcpy(ret_address, &v4, sizeof(v4));
                *ret_size = sizeof(v4);
        }
        return 0;
}

const char *ws_address_format(const struct sockaddr *address,
                              char text[static WS_ADDRESS_TEXT_SIZE]) {
        char host[INET6_ADDRSTRLEN];

        if (address->sa_family == AF_INET) {
                const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;

                (void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host)); /* always fits */
                (void)snprintf(text, WS_ADDRESS_TEXT_SIZE, "%s:%u", host, ntohs(v4->sin_port));
        } else if (address->sa_family == AF_INET6) {
                const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

                (void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
                (void)snprintf(text, WS_ADDRESS_TEXT_SIZE, "[%s]:%u", host, ntohs(v6->sin6_port));
        } else {
                (void)snprintf(text, WS_ADDRESS_TEXT_SIZE, "family %u", address->sa_family);
        }
        return text;
}
