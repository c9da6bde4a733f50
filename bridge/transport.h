/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Transport: what an uplink needs of the network
 *
 * Whole messages of up to TRANSPORT_MESSAGE_MAX bytes, in order or not at all, and back pressure in
 * both directions; nothing about encryption or packets. transport-ws.c is one, over WebSocket;
 * another, say QUIC, is one more file with a table like its own.
 *
 * Nothing is queued here: who has something to send asks with want_write(), and when on_writable
 * comes hands over one message that is made up only then. So the outbox, which knows who waits,
 * decides what goes next until the last moment.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/url.h"

#define TRANSPORT_MESSAGE_MAX 65535
#define TRANSPORT_HEADROOM 16 /* free bytes before a message that write() may use */

typedef struct Transport Transport;
typedef struct TransportDriver TransportDriver;
typedef struct TransportClass TransportClass;

/*
 * What happens on a transport; always from the event loop, never from within a call to it. A
 * transport may be freed in any of them.
 */
typedef struct TransportHandlers {
        void (*on_open)(void *userdata);
        /* A whole message; @data may be written to, and is valid until this returns. */
        void (*on_message)(uint8_t *data, size_t n_data, void *userdata);
        /* After want_write(), once: write() one message now, or leave it. */
        void (*on_writable)(void *userdata);
        /* Over, or never came to be; once, with a text for people. Nothing comes after it. */
        void (*on_close)(const char *reason, void *userdata);
} TransportHandlers;

enum {
        _TRANSPORT_E_SUCCESS,

        TRANSPORT_E_CLOSED, /* on_close is coming, or has been */
};

/* One kind of transport. */
struct TransportClass {
        /*
         * Begins to connect to @url; all else comes by @handlers, which outlives it as @userdata
         * does. @pinned: the relay proves its key inside, its certificate need not be valid.
         * Return: 0, -errno.
         */
        int (*open)(TransportDriver *driver, const WsUrl *url, bool pinned,
                    const TransportHandlers *handlers, void *userdata, Transport **ret);
        void (*want_write)(Transport *transport);
        /*
         * Only in on_writable, once: sends the @n bytes behind TRANSPORT_HEADROOM of @buffer, whose
         * content is spoiled. Return: 0, TRANSPORT_E_CLOSED.
         */
        int (*write)(Transport *transport, uint8_t *buffer, size_t n);
        /*
         * Bytes that the other end's kernel has taken so far, and those on their way there; 0 and 0
         * if that cannot be known.
         */
        void (*progress)(const Transport *transport, uint64_t *ret_taken, uint64_t *ret_waiting);
        /* Stops or resumes reading; some messages may still come. */
        void (*pause)(Transport *transport, bool paused);
        /* Closes politely if it is open, and frees. Accepts NULL, returns NULL. */
        Transport *(*free)(Transport *transport);
        /* No transport of it may be left. Accepts NULL, returns NULL. */
        TransportDriver *(*driver_free)(TransportDriver *driver);
};

/* What all transports of a kind share; each kind makes its own. */
struct TransportDriver {
        const TransportClass *class;
};

struct Transport {
        const TransportClass *class;
};
