/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What the files of libws share about a connection; no other folder includes this
 *
 *      ws.c         connections: opening, messages in and out, closing
 *      ws-client.c  how a client's connection comes to be
 *      ws-listen.c  how a server's does: sockets, upgrade, plain HTTP requests
 *
 * A WsConnection and its wsi point at each other (the wsi through its opaque pointer) and part
 * when one of them ends: a wsi without a connection is closed at its next callback.
 */

#include <libwebsockets.h>
#include <netinet/in.h>

#include "libws/resolve.h"
#include "libws/ws.h"

typedef enum WsState {
        WS_OPENING, /* resolving, connecting, shaking hands, or a plain HTTP request */
        WS_OPEN,
        WS_CLOSING, /* ws_close() was called, or the peer breaks the rules */
        WS_OVER,    /* on_close was called, or need not be */
} WsState;

/* One message that waits for the socket. */
typedef struct WsOutgoing WsOutgoing;
struct WsOutgoing {
        WsOutgoing *next;
        size_t n_data;
        uint8_t data[]; /* LWS_PRE bytes of headroom, then the message */
};

typedef struct WsClient WsClient;

struct WsConnection {
        WsLoop *loop;
        struct lws *wsi; /* NULL: not yet, or over */
        const WsHandlers *handlers;
        void *userdata;
        WsState state;
        bool in_callback : 1;
        bool freed : 1; /* by its owner, while in a callback */
        bool wants_write : 1;
        bool paused : 1;
        bool server : 1;
        bool upgrading : 1; /* it asked for a WebSocket */

        uint8_t *assembly; /* of the loop, or NULL */
        size_t n_assembly;
        unsigned n_frames; /* of the message that is being assembled */
        size_t message_max;

        WsOutgoing *queue, *queue_last;
        size_t n_queued; /* bytes of messages */

        unsigned close_code;
        char *close_reason; /* ours; NULL: none */
        char *end_text;     /* what on_close will say; NULL: nothing special */
        uint64_t began_usec;
        sd_event_source *fuse; /* on once the peer was at fault */
        union {
                struct sockaddr any;
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;
        } peer;

        WsClient *client; /* until it is open */

        WsListener *listener;      /* that has it in a list, or NULL */
        WsConnection *prev, *next; /* in that list */
        WsReply *reply;            /* to a plain HTTP request */
};

extern const struct lws_protocols ws_protocols[];

WsConnection *ws_connection_new(WsLoop *loop);
/* Frees memory only: neither wsi nor list points at it any more. */
void ws_connection_destroy(WsConnection *connection);
void ws_connection_set_peer(WsConnection *connection, const struct sockaddr *peer);
/* Cuts connection and wsi apart and ends the wsi at once, from wherever we are. */
void ws_connection_abandon_wsi(WsConnection *connection);
/* Remembers what on_close is to say, unless something was said before. */
_printf_(2, 3) void ws_connection_explain(WsConnection *connection, const char *format, ...);
/* The end: tells the owner, once. Careful: @connection may be gone from here. */
void ws_connection_end(WsConnection *connection);
/*
 * Callbacks of the owner stand between these two. The second returns what the callback of
 * libwebsockets must return: -1 when the owner freed or closed the connection meanwhile.
 * Careful: @connection may be gone after it.
 */
void ws_connection_enter(WsConnection *connection);
int ws_connection_leave(WsConnection *connection);

void ws_client_free(WsClient *client);
/* This attempt to connect failed: from the loop, the next address is tried, or the owner told. */
void ws_client_failed(WsConnection *connection);
/* OpenSSL has looked at a certificate and may not like it: remembers why. */
int ws_client_certificate(WsConnection *connection, const void *x509_store_context, bool is_good);
/* The attempt failed, libwebsockets says with @text: explains it, better than that if it can. */
void ws_client_explain(WsConnection *connection, const char *text, size_t n_text);
/* No further attempt; the owner is told from the loop. */
void ws_client_give_up(WsConnection *connection);

/* protocols[0] of a listener: everything before the upgrade, and plain HTTP. */
int ws_on_http(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t n);
/* Offers an upgraded connection to the owner of the listener. */
void ws_listener_opened(WsConnection *connection);
/*
 * Takes it out of its listener's lists and says so there, with what ws_connection_explain() was
 * told; nothing if it is in none.
 */
void ws_listener_gone(WsConnection *connection);
