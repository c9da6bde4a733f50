/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Relay URLs and listening addresses
 *
 * `ws[s]://HOST[:PORT][/PATH][#FULL]`, taken apart and checked byte by byte: what passes holds no
 * control character, no blank and nothing that could end a header line. Names are not resolved
 * and the fragment is not understood here; whoever knows keys parses it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define WS_URL_MAX 512      /* bytes of a whole URL, without its NUL */
#define WS_URL_HOST_MAX 253 /* bytes of a host name */
#define WS_URL_PATH_MAX 255
#define WS_URL_FRAGMENT_MAX 128
#define WS_ADDRESS_TEXT_SIZE 64 /* "[IPv6]:PORT" and a NUL */

typedef struct WsUrl {
        bool tls;
        bool literal_ipv6;                      /* the host stood in brackets */
        char host[WS_URL_HOST_MAX + 1];         /* without brackets */
        uint16_t port;                          /* 80 or 443 where none was given */
        char path[WS_URL_PATH_MAX + 1];         /* begins with a slash */
        char fragment[WS_URL_FRAGMENT_MAX + 1]; /* empty where none was given */
} WsUrl;

enum {
        _WS_URL_E_SUCCESS,

        WS_URL_E_MALFORMED, /* not of that form, or too long */
};

/* Takes @text apart. Return: 0, WS_URL_E_MALFORMED; @ret is untouched then. */
int ws_url_parse(const char *text, WsUrl *ret);
/* Whether both lead to the same relay, however they are spelt: all but the fragment is the same. */
bool ws_url_is_same_relay(const WsUrl *a, const WsUrl *b);

/*
 * Reads "ADDR:PORT": an IPv4 address, or an IPv6 address in brackets, both numeric, and a port of
 * which 0 means "take a free one".
 * Return: 0, WS_URL_E_MALFORMED; the results are untouched then.
 */
int ws_address_parse(const char *text, struct sockaddr_storage *ret_address, socklen_t *ret_size);

/* Writes what ws_address_parse() reads; returns @text. */
const char *ws_address_format(const struct sockaddr *address,
                              char text[static WS_ADDRESS_TEXT_SIZE]);
