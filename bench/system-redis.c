/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Redis pub/sub, by its text protocol
 *
 * One connection an endpoint, in version 3 of the protocol, where a subscriber may publish as well.
 * The server answers each PUBLISH with a number; it is read and dropped.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/connection.h"
#include "bench/system.h"
#include "libcore/err.h"
#include "libcore/util.h"

struct Endpoint {
        Connection connection;
};

/* One element of an answer: a line, and what stands behind it. */
typedef struct Element {
        uint8_t type;
        size_t n_line; /* bytes up to the end of the line */
        size_t number; /* of a bulk's bytes, of an aggregate's elements */
} Element;

/* Return: 0, -EAGAIN. */
static int element_decode(const uint8_t *data, size_t n_data, Element *ret) {
        const uint8_t *end = n_data > 0 ? memchr(data, '\n', n_data) : NULL;

        if (!end)
                return -EAGAIN;
        *ret = (Element){ .type = data[0], .n_line = (size_t)(end - data) + 1 };
        if (strchr("$*>~%", data[0]) && data[1] != '-') /* -1: nothing follows */
                ret->number = strtoul((const char *)data + 1, NULL, 10);
        return 0;
}

/*
 * Size of the element that begins at @data with all that is inside; its last bulk is told.
 * Return: 0, -EAGAIN.
 */
static int element_measure(const uint8_t *data, size_t n_data, size_t *ret_size,
                           const uint8_t **ret_bulk, size_t *ret_n_bulk) {
        size_t at = 0, n_left = 1; /* elements still to come */

        while (n_left > 0) {
                Element e;

                if (element_decode(data + at, n_data - at, &e) < 0)
                        return -EAGAIN;
                at += e.n_line;
                n_left--;
                if (e.type == '$') {
                        if (n_data - at < e.number + 2)
                                return -EAGAIN;
                        *ret_bulk = data + at;
                        *ret_n_bulk = e.number;
                        at += e.number + 2;
                } else {
                        n_left += e.type == '%' ? 2 * e.number : e.number;
                }
        }
        *ret_size = at;
        return 0;
}

/*
 * Handles what there is up to one push of kind @kind, whose last part goes to @data.
 * Return: 0, -EAGAIN, -EPROTO (the server has said -ERR or the like).
 */
static int consume(Endpoint *e, const char *kind, void *data, size_t n_max, size_t *ret_n) {
        Buffer *in = &e->connection.in;
        size_t n_kind = strlen(kind);

        for (;;) {
                const uint8_t *begin = in->data + in->at, *bulk = NULL;
                size_t size, n_bulk = 0;
                Element first;

                if (element_measure(begin, buffer_used(in), &size, &bulk, &n_bulk) < 0)
                        return -EAGAIN;
                in->at += size;
                if (begin[0] == '-') {
                        fprintf(stderr, "redis: %.*s", (int)size, (const char *)begin);
                        return err_origin(-EPROTO);
                }
                if (element_decode(begin, size, &first) < 0 || first.type != '>')
                        continue; /* an answer */
                /* ">3 $7 message $n channel $m payload": the kind stands behind two lines. */
                begin += first.n_line;
                if (element_decode(begin, size - first.n_line, &first) < 0 ||
                    first.number != n_kind || memcmp(begin + first.n_line, kind, n_kind) != 0)
                        continue;
                *ret_n = MIN(n_bulk, n_max);
                memcpy(data, bulk, *ret_n);
                return 0;
        }
}

static int read_one(Endpoint *e, const char *kind, void *data, size_t n_max, size_t *ret_n,
                    bool wait) {
        int r;

        while ((r = consume(e, kind, data, n_max, ret_n)) == -EAGAIN) {
                r = connection_fill(&e->connection, wait);
                if (r < 0)
                        return r;
        }
        return r;
}

static int redis_open(Endpoint **ret, const char *path, unsigned number,
                      char address[static SYSTEM_ADDRESS_SIZE]) {
        Endpoint *e = calloc(1, sizeof(*e));
        char hello[256], channel[SYSTEM_ADDRESS_SIZE];
        size_t n;
        int r;

        if (!e)
                return err_origin(-ENOMEM);
        r = connection_open(&e->connection, path, 0);
        if (r < 0)
                return err_trace(r);
        snprintf(address, SYSTEM_ADDRESS_SIZE, "b.%u", number);
        snprintf(hello, sizeof(hello), "HELLO 3\r\nSUBSCRIBE %s\r\n", address);
        r = connection_put(&e->connection, hello, strlen(hello));
        if (r == 0)
                r = read_one(e, "subscribe", channel, sizeof(channel), &n, true);
        if (r < 0)
                return err_trace(r);
        *ret = e;
        return 0;
}

static void redis_close(Endpoint *e) {
        connection_close(&e->connection);
        free(e);
}

static int redis_flush(Endpoint *e) {
        return connection_flush(&e->connection);
}

static int redis_send(Endpoint *e, const char *address, const void *data, size_t n_data) {
        char head[SYSTEM_ADDRESS_SIZE + 64];
        int n, r;

        n = snprintf(head, sizeof(head), "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%zu\r\n",
                     strlen(address), address, n_data);
        r = connection_put(&e->connection, head, (size_t)n);
        if (r == 0)
                r = connection_put(&e->connection, data, n_data);
        return r < 0 ? err_trace(r) : connection_put(&e->connection, "\r\n", 2);
}

static int redis_receive(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        return read_one(e, "message", data, n_max, ret_n, true);
}

static int redis_poll(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        return read_one(e, "message", data, n_max, ret_n, false);
}

static int redis_get_fd(Endpoint *e) {
        return e->connection.fd;
}

const System system_redis = {
        .name = "redis",
        .open = redis_open,
        .close = redis_close,
        .send = redis_send,
        .flush = redis_flush,
        .receive = redis_receive,
        .poll = redis_poll,
        .get_fd = redis_get_fd,
        .flight_max = 8 * 1024 * 1024,
};
