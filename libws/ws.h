/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * WebSocket connections that carry whole binary messages
 *
 * Bridge and relay see connections, listeners and callbacks, never a struct of libwebsockets. A
 * message is up to WS_MESSAGE_MAX bytes of subprotocol "p2pbus.v1"; text frames, extensions and
 * other subprotocols are refused. Nothing here knows what the bytes mean.
 *
 * A WsConnection belongs to whoever got it, from ws_connect() or in on_open of a listener, until
 * ws_connection_free(), which may be called at any time, inside its own callbacks too. After its
 * on_close nothing happens any more and it is only to be freed.
 *
 * All callbacks come from the loop, none before the call that registered it returned.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "libcore/url.h"
#include "libcore/util.h"
#include "libws/loop.h"

#define WS_MESSAGE_MAX 65535 /* bytes of one message, reassembled */
#define WS_FRAGMENTS_MAX 16  /* frames of one message */
#define WS_HEADROOM 16       /* free bytes that ws_write() needs before the message */
#define WS_REASON_MAX 123    /* bytes of a close reason */
#define WS_SUBPROTOCOL "p2pbus.v1"

/* Why a connection is closed, as the peer is told: RFC 6455, 7.4. */
enum {
        WS_CLOSE_NORMAL = 1000,
        WS_CLOSE_GOING_AWAY = 1001,
        WS_CLOSE_PROTOCOL_ERROR = 1002,
        WS_CLOSE_UNACCEPTABLE = 1003,
        WS_CLOSE_POLICY = 1008,
        WS_CLOSE_TOO_BIG = 1009,
};

typedef struct WsConnection WsConnection;
typedef struct WsListener WsListener;

typedef struct WsHandlers {
        /* The upgrade is done. Not called for connections of a listener, which has its own. */
        void (*on_open)(WsConnection *connection, void *userdata);
        /* A whole message; @data may be written to, and is valid until this returns. */
        void (*on_message)(WsConnection *connection, uint8_t *data, size_t n_data, void *userdata);
        /* ws_want_write() was called and the socket takes more; see ws_write(). */
        void (*on_writable)(WsConnection *connection, void *userdata);
        /* Over, or never came to be; once, with a text for people. */
        void (*on_close)(WsConnection *connection, const char *reason, void *userdata);
} WsHandlers;

/* An answer to a plain HTTP request; on_http fills it. */
typedef struct WsReply {
        unsigned status;
        const char *content_type; /* static */
        char *body;               /* from malloc(); libws frees it */
        size_t n_body;
} WsReply;

typedef struct WsListenerHandlers {
        /*
         * A socket was accepted. False: it is closed at once. NULL takes all. Each that was
         * admitted ends either as a connection that its owner took in on_open, or with on_gone,
         * whose @reason says, for people, what was wrong with what it sent; NULL: nothing, or it
         * sent nothing.
         */
        bool (*on_accept)(WsListener *listener, const struct sockaddr *peer, void *userdata);
        void (*on_gone)(WsListener *listener, const struct sockaddr *peer, const char *reason,
                        void *userdata);
        /* Upgraded: take it with ws_connection_take(), else it is closed. */
        void (*on_open)(WsListener *listener, WsConnection *connection, void *userdata);
        /* GET @path came without an upgrade. NULL: 404 for everything. */
        void (*on_http)(WsListener *listener, const char *path, WsReply *reply, void *userdata);
} WsListenerHandlers;

typedef struct WsConnectOptions {
        const WsUrl *url;
        bool pinned;            /* the peer proves its key inside: any certificate will do */
        const char *pin_advice; /* how a user pins it, for "certificate ...; ADVICE"; NULL: not */
        const char *ca_file;    /* instead of the system's authorities; NULL: those */
        uint64_t timeout_usec;  /* for everything up to on_open; 0: 10 seconds */
} WsConnectOptions;

typedef struct WsListenOptions {
        const char *address;   /* "ADDR:PORT", ws_address_parse() */
        int fd;                /* if address is NULL: a listening socket; taken over on success */
        const char *cert_file; /* PEM, both or none: both make it wss */
        const char *key_file;
        unsigned pending_max;    /* sockets that are not upgraded yet; 0: 1024 */
        uint64_t handshake_usec; /* from accept to upgrade or whole reply; 0: 10 seconds */
} WsListenOptions;

enum {
        _WS_E_SUCCESS,

        WS_E_CLOSED,  /* the connection is not open, or not any more */
        WS_E_TOO_BIG, /* over WS_MESSAGE_MAX */
        WS_E_BUSY,    /* ws_write(): earlier bytes are not gone yet */
        WS_E_ADDRESS, /* not a valid address */
        WS_E_TLS,     /* certificate or key do not load, or do not fit each other */
};

/*
 * Starts to connect to @options->url; everything else is told by @handlers, which must outlive
 * the connection, as @userdata must. Strings are copied.
 * Return: 0, -errno, WS_E_TLS (ca_file).
 */
int ws_connect(WsConnection **ret, WsLoop *loop, const WsConnectOptions *options,
               const WsHandlers *handlers, void *userdata);

/*
 * Listens. Port 0 takes a free port; ws_listener_format_url() tells it.
 * Return: 0, -errno (of bind and listen too), WS_E_ADDRESS, WS_E_TLS.
 */
int ws_listen(WsListener **ret, WsLoop *loop, const WsListenOptions *options,
              const WsListenerHandlers *handlers, void *userdata);
/* Stops accepting; sockets that are not upgraded are closed, open connections go on. */
void ws_listener_stop(WsListener *listener);
/* Connections that were taken stay; on_gone is not called any more. Accepts NULL. Return: NULL. */
WsListener *ws_listener_free(WsListener *listener);
DEFINE_CLEANUP(WsListener, ws_listener_free)
/* "ws://ADDR:PORT" or "wss://..." with the real port; returns @text. */
const char *ws_listener_format_url(const WsListener *listener, char *text, size_t n_text);

/* In on_open of a listener: the connection is the caller's from here on. */
void ws_connection_take(WsConnection *connection, const WsHandlers *handlers, void *userdata);

/* Queues a copy of @data as one message. Return: 0, -ENOMEM, WS_E_CLOSED, WS_E_TOO_BIG. */
int ws_send(WsConnection *connection, const void *data, size_t n_data);
/*
 * Only inside on_writable: sends the @n_data bytes behind the first WS_HEADROOM of @buffer at once
 * and without a queue; what the socket does not take is copied. The buffer's content is spoiled.
 * Return: 0, WS_E_CLOSED, WS_E_TOO_BIG, WS_E_BUSY.
 */
int ws_write(WsConnection *connection, uint8_t *buffer, size_t n_data);
/* Asks for on_writable, once; it comes after everything queued by ws_send() is gone. */
void ws_want_write(WsConnection *connection);
/*
 * Bytes that the other end's kernel has acknowledged, and those that ours holds until it does; 0 and
 * 0 if the connection is not open. Whoever waits for an answer sees by them whether his word arrived.
 */
void ws_progress(const WsConnection *connection, uint64_t *ret_taken, uint64_t *ret_waiting);
/* Bytes queued by ws_send() and not yet given to the socket. */
size_t ws_queued_bytes(const WsConnection *connection);

/* Stops and resumes reading; TCP passes it on to the sender. What was read may still come. */
void ws_pause(WsConnection *connection);
void ws_resume(WsConnection *connection);

/* A longer message closes the connection. WS_MESSAGE_MAX at first. */
void ws_set_message_max(WsConnection *connection, size_t n);

/*
 * Closes after what is queued, with @code and @reason (up to WS_REASON_MAX bytes, may be NULL), or
 * without ceremony after 5 seconds. No message comes any more; on_close comes when it is over.
 * WS_CLOSE_PROTOCOL_ERROR, _UNACCEPTABLE and _TOO_BIG say that the peer is at fault: it is told, but
 * no answer is awaited.
 */
void ws_close(WsConnection *connection, unsigned code, const char *reason);
/* No callback after this; an open connection is closed politely. Accepts NULL. Return: NULL. */
WsConnection *ws_connection_free(WsConnection *connection);
DEFINE_CLEANUP(WsConnection, ws_connection_free)

/* The other end; of a client's connection only once it is open. */
const struct sockaddr *ws_connection_peer(const WsConnection *connection);
/* CLOCK_MONOTONIC time at which it was accepted or the connect began. */
uint64_t ws_connection_began_usec(const WsConnection *connection);
