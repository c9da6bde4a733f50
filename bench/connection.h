/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Connection: one socket to a broker
 *
 * What clients of the bare router, of text protocols and of WebSockets have in common. They gather
 * what they send, and write it when CONNECTION_GATHER bytes wait, when they are flushed, or before
 * they block; they read much at once. libp2pbus and libnats do the same, so that what is compared
 * is brokers and protocols, and not how clever a client is. Sockets block.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONNECTION_GATHER 32768
#define CONNECTION_READ 262144 /* bytes of one read, at most */

/* Bytes from @at to @end are in use; memory comes when it is first needed. */
typedef struct Buffer {
        uint8_t *data;
        size_t at, end, size;
} Buffer;

typedef struct Connection {
        int fd;
        Buffer in, out;
} Connection;

/* Room for @n bytes behind @end. Return: 0 or -ENOMEM. */
int buffer_reserve(Buffer *b, size_t n);
int buffer_append(Buffer *b, const void *data, size_t n);
void buffer_free(Buffer *b);

static inline size_t buffer_used(const Buffer *b) {
        return b->end - b->at;
}

/*
 * Connects to @where, the path of a Unix socket or "ADDR:PORT" of IPv4, there from the address
 * @source, in the host's byte order, unless it is 0. Return: 0, -errno.
 */
int connection_open(Connection *c, const char *where, uint32_t source);
void connection_close(Connection *c);

/* Gathers @n bytes. Return: 0, -errno of a write. */
int connection_put(Connection *c, const void *data, size_t n);
int connection_flush(Connection *c);
/*
 * Reads what there is behind in.end. With @wait it flushes, and blocks until there is something.
 * Return: 0, -EAGAIN (without @wait), -EPIPE (the broker closed), -errno.
 */
int connection_fill(Connection *c, bool wait);
