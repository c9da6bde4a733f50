/* SPDX-License-Identifier: Apache-2.0 */

/*
 * NATS, by its text protocol, over TCP or inside a WebSocket
 *
 * One connection an endpoint, a subject of its own for what comes to it. PUBs are gathered as
 * libnats does it; it writes them from a thread of its own, which is left out here. Inside a
 * WebSocket what is gathered is one binary message; the server cuts as it likes.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/connection.h"
#include "bench/system.h"
#include "bench/websocket.h"
#include "libcore/err.h"
#include "libcore/util.h"

#define LINE_SIZE_MAX 8192 /* INFO is the longest */

struct Endpoint {
        Connection connection;
        bool websocket;
        Buffer in, out; /* the text inside the WebSocket; unused without */
};

static Buffer *text_in(Endpoint *e) {
        return e->websocket ? &e->in : &e->connection.in;
}

static int nats_flush(Endpoint *e) {
        int r = 0;

        if (e->websocket && buffer_used(&e->out) > 0) {
                r = websocket_put(&e->connection, e->out.data, buffer_used(&e->out));
                e->out.end = 0;
        }
        return r < 0 ? err_trace(r) : connection_flush(&e->connection);
}

static int put(Endpoint *e, const void *data, size_t n) {
        if (!e->websocket)
                return connection_put(&e->connection, data, n);
        if (buffer_used(&e->out) > 0 && buffer_used(&e->out) + n > CONNECTION_GATHER) {
                int r = nats_flush(e);

                if (r < 0)
                        return err_trace(r);
        }
        return buffer_append(&e->out, data, n);
}

static int fill(Endpoint *e, bool wait) {
        uint8_t *data;
        size_t n;
        int r;

        if (wait) {
                r = nats_flush(e);
                if (r < 0)
                        return err_trace(r);
        }
        if (!e->websocket)
                return connection_fill(&e->connection, wait);
        while ((r = websocket_next(&e->connection, &data, &n)) == -EAGAIN) {
                r = connection_fill(&e->connection, wait);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : buffer_append(&e->in, data, n);
}

/* The length of the line that begins the input, its end included; 0: it is not there as a whole. */
static size_t line_size(const Buffer *in) {
        const uint8_t *begin = in->data + in->at;
        const uint8_t *end = in->at < in->end ? memchr(begin, '\n', buffer_used(in)) : NULL;

        return end ? (size_t)(end - begin) + 1 : 0;
}

/* "MSG subject sid size\r\n": the number at its end. */
static size_t message_size(const uint8_t *line, size_t n_line) {
        size_t at = n_line - 2, size = 0;

        while (at > 0 && line[at - 1] != ' ')
                at--;
        for (; at < n_line - 2; at++)
                size = size * 10 + (size_t)(line[at] - '0');
        return size;
}

/*
 * Handles what there is up to one MSG, whose payload goes to @data, or with @data NULL up to PONG.
 * Return: 0, -EAGAIN, -EPROTO (the server has said -ERR).
 */
static int consume(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        Buffer *in = text_in(e);
        size_t n;

        while ((n = line_size(in)) > 0) {
                const uint8_t *line = in->data + in->at;
                int r;

                if (n > 4 && memcmp(line, "MSG ", 4) == 0) {
                        size_t size = message_size(line, n);

                        if (buffer_used(in) < n + size + 2)
                                return -EAGAIN;
                        in->at += n + size + 2;
                        if (!data)
                                continue;
                        *ret_n = MIN(size, n_max);
                        memcpy(data, line + n, *ret_n);
                        return 0;
                }
                in->at += n;
                if (memcmp(line, "PONG", 4) == 0 && !data)
                        return 0;
                if (memcmp(line, "PING", 4) == 0) {
                        r = put(e, "PONG\r\n", 6);
                        if (r == 0)
                                r = nats_flush(e);
                        if (r < 0)
                                return err_trace(r);
                } else if (line[0] == '-') {
                        fprintf(stderr, "nats: %.*s", (int)n, (const char *)line);
                        return err_origin(-EPROTO);
                }
        }
        return buffer_used(in) > LINE_SIZE_MAX ? err_origin(-EPROTO) : -EAGAIN;
}

static int read_one(Endpoint *e, void *data, size_t n_max, size_t *ret_n, bool wait) {
        int r;

        while ((r = consume(e, data, n_max, ret_n)) == -EAGAIN) {
                r = fill(e, wait);
                if (r < 0)
                        return r;
        }
        return r;
}

static int nats_open(Endpoint **ret, const char *path, unsigned number, bool websocket,
                     char address[static SYSTEM_ADDRESS_SIZE]) {
        Endpoint *e = calloc(1, sizeof(*e));
        char hello[256];
        int r;

        if (!e)
                return err_origin(-ENOMEM);
        e->websocket = websocket;
        r = connection_open(&e->connection, path, 0);
        if (r == 0 && websocket)
                r = websocket_upgrade(&e->connection, NULL);
        if (r < 0)
                return err_trace(r);
        snprintf(address, SYSTEM_ADDRESS_SIZE, "b.%u", number);
        snprintf(hello, sizeof(hello),
                 "CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1}\r\n"
                 "SUB %s 1\r\nPING\r\n",
                 address);
        r = put(e, hello, strlen(hello));
        if (r == 0)
                r = read_one(e, NULL, 0, NULL, true);
        if (r < 0)
                return err_trace(r);
        *ret = e;
        return 0;
}

static int nats_open_tcp(Endpoint **ret, const char *path, unsigned number,
                         char address[static SYSTEM_ADDRESS_SIZE]) {
        return nats_open(ret, path, number, false, address);
}

static int nats_open_websocket(Endpoint **ret, const char *path, unsigned number,
                               char address[static SYSTEM_ADDRESS_SIZE]) {
        return nats_open(ret, path, number, true, address);
}

static void nats_close(Endpoint *e) {
        connection_close(&e->connection);
        buffer_free(&e->in);
        buffer_free(&e->out);
        free(e);
}

static int nats_send(Endpoint *e, const char *address, const void *data, size_t n_data) {
        char head[SYSTEM_ADDRESS_SIZE + 32];
        int n, r;

        n = snprintf(head, sizeof(head), "PUB %s %zu\r\n", address, n_data);
        r = put(e, head, (size_t)n);
        if (r == 0)
                r = put(e, data, n_data);
        return r < 0 ? err_trace(r) : put(e, "\r\n", 2);
}

static int nats_subscribe(Endpoint *e, const char *topic) {
        char line[SYSTEM_ADDRESS_SIZE + 32];
        int n, r;

        n = snprintf(line, sizeof(line), "SUB %s 2\r\nPING\r\n", topic);
        r = put(e, line, (size_t)n);
        return r < 0 ? err_trace(r) : read_one(e, NULL, 0, NULL, true);
}

static int nats_receive(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        return read_one(e, data, n_max, ret_n, true);
}

static int nats_poll(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        return read_one(e, data, n_max, ret_n, false);
}

static int nats_get_fd(Endpoint *e) {
        return e->connection.fd;
}

const System system_nats = {
        .name = "nats",
        .open = nats_open_tcp,
        .close = nats_close,
        .send = nats_send,
        .flush = nats_flush,
        .receive = nats_receive,
        .poll = nats_poll,
        .get_fd = nats_get_fd,
        .subscribe = nats_subscribe,
        .publish = nats_send,
        .flight_max = 8 * 1024 * 1024,
};

const System system_nats_ws = {
        .name = "nats-ws",
        .open = nats_open_websocket,
        .close = nats_close,
        .send = nats_send,
        .flush = nats_flush,
        .receive = nats_receive,
        .poll = nats_poll,
        .get_fd = nats_get_fd,
        .flight_max = 8 * 1024 * 1024,
};
