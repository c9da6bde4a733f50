/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * The client's end of a WebSocket on a Connection
 *
 * As much of RFC 6455 as a bench needs, the same for all relays that are measured. Frames are
 * gathered like everything else. The server is not proven: its Sec-WebSocket-Accept is not read.
 */

#include "bench/connection.h"

/*
 * Upgrades; @protocol may be NULL. What came behind the answer stays in the connection's input.
 * Return: 0, -EPROTO (the server refused), -errno.
 */
int websocket_upgrade(Connection *c, const char *protocol);
/* Gathers one binary message. Return: 0, -errno. */
int websocket_put(Connection *c, const void *data, size_t n);
/*
 * The next message that is there as a whole, valid until the connection is filled.
 * Return: 0, -EAGAIN, -EPIPE (the server closes), -EBADMSG (cut into frames, or masked).
 */
int websocket_next(Connection *c, uint8_t **ret_data, size_t *ret_n);
