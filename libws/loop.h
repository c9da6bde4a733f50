/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * libwebsockets on an sd-event loop
 *
 * Debian's libwebsockets 4.1.6 knows neither an external poll loop nor a custom one; what it has
 * is its libuv plugin, which takes a foreign uv loop. That loop's epoll descriptor and its next
 * timeout become one io source and one timer source of the sd-event. This file is the adapter and
 * nothing else; connections are in ws.h, the only header that other folders need beside this one.
 *
 * One thread: everything in libws is called from the thread that runs the sd-event.
 */

#include <systemd/sd-event.h>

#include "libcore/util.h"

typedef struct WsLoop WsLoop;

struct lws_context;

enum {
        _WS_LOOP_E_SUCCESS,

        WS_LOOP_E_PLUGIN, /* libwebsockets' libuv plugin is not installed */
};

/*
 * Makes a context of libwebsockets that runs on @event, of which it takes a reference.
 * Return: 0, -errno, WS_LOOP_E_PLUGIN.
 */
int ws_loop_new(WsLoop **ret, sd_event *event);

/*
 * Ends every connection that is left, without their callbacks, and frees all. All WsConnection and
 * WsListener objects must be freed before. Accepts NULL. Return: NULL.
 */
WsLoop *ws_loop_free(WsLoop *loop);
DEFINE_CLEANUP(WsLoop, ws_loop_free)

/* For libws itself. */
struct lws_context *ws_loop_context(WsLoop *loop);
sd_event *ws_loop_event(WsLoop *loop);

/*
 * For libws itself, after any call of libwebsockets that sets a timer (a connect, a timeout, rx
 * flow): outside its own callbacks such a timer is queued but never armed.
 */
void ws_loop_kick(WsLoop *loop);

/*
 * For libws itself: a text that libwebsockets has by reference (a vhost's name), freed with @loop.
 * It comes from malloc(), and is taken over.
 */
typedef struct WsLoopText WsLoopText;
struct WsLoopText {
        WsLoopText *next;
        char text[];
};
void ws_loop_keep(WsLoop *loop, WsLoopText *text);

/*
 * For libws itself: a buffer for one message in the making, of WS_LOOP_BUFFER_SIZE bytes. A few
 * are kept for the next one, whichever connection it is on. NULL: no memory.
 */
#define WS_LOOP_BUFFER_SIZE 65536
uint8_t *ws_loop_get_buffer(WsLoop *loop);
void ws_loop_put_buffer(WsLoop *loop, uint8_t *buffer);
