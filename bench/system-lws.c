/* SPDX-License-Identifier: Apache-2.0 */

/* A client of the bare WebSocket forwarder: the router's messages, each a WebSocket message. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/router.h"
#include "bench/system.h"
#include "bench/websocket.h"
#include "libcore/err.h"
#include "libcore/util.h"

struct Endpoint {
        Connection connection;
        uint32_t id;
        Buffer message; /* in the making */
};

/* The next message, whatever it is. */
static int next(Endpoint *e, uint8_t **ret_data, size_t *ret_n, bool wait) {
        int r;

        while ((r = websocket_next(&e->connection, ret_data, ret_n)) == -EAGAIN) {
                r = connection_fill(&e->connection, wait);
                if (r < 0)
                        return r;
        }
        return r;
}

static int lws_open(Endpoint **ret, const char *path, unsigned number,
                    char address[static SYSTEM_ADDRESS_SIZE]) {
        Endpoint *e = calloc(1, sizeof(*e));
        uint8_t *data = NULL;
        size_t n = 0;
        int r;

        (void)number;
        if (!e)
                return err_origin(-ENOMEM);
        r = connection_open(&e->connection, path, 0);
        if (r == 0)
                r = websocket_upgrade(&e->connection, "bench");
        if (r == 0)
                r = next(e, &data, &n, true);
        if (r < 0)
                return err_trace(r);
        if (n != sizeof(e->id))
                return err_origin(-EBADMSG);
        memcpy(&e->id, data, sizeof(e->id));
        snprintf(address, SYSTEM_ADDRESS_SIZE, "%u", e->id);
        *ret = e;
        return 0;
}

static void lws_close(Endpoint *e) {
        connection_close(&e->connection);
        buffer_free(&e->message);
        free(e);
}

static int lws_flush(Endpoint *e) {
        return connection_flush(&e->connection);
}

static int lws_send(Endpoint *e, const char *address, const void *data, size_t n_data) {
        RouterHeader h = {
                .size = (uint32_t)(sizeof(h) + n_data),
                .from = e->id,
                .to = (uint32_t)strtoul(address, NULL, 10),
        };
        int r;

        e->message.end = 0;
        r = buffer_append(&e->message, &h, sizeof(h));
        if (r == 0)
                r = buffer_append(&e->message, data, n_data);
        return r < 0 ? err_trace(r) : websocket_put(&e->connection, e->message.data, h.size);
}

static int lws_read(Endpoint *e, void *data, size_t n_max, size_t *ret_n, bool wait) {
        uint8_t *message;
        size_t n;
        int r;

        r = next(e, &message, &n, wait);
        if (r < 0)
                return r;
        if (n < sizeof(RouterHeader))
                return err_origin(-EBADMSG);
        *ret_n = MIN(n - sizeof(RouterHeader), n_max);
        memcpy(data, message + sizeof(RouterHeader), *ret_n);
        return 0;
}

static int lws_receive(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        return lws_read(e, data, n_max, ret_n, true);
}

static int lws_poll(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        return lws_read(e, data, n_max, ret_n, false);
}

static int lws_get_fd(Endpoint *e) {
        return e->connection.fd;
}

const System system_lws = {
        .name = "lws",
        .open = lws_open,
        .close = lws_close,
        .send = lws_send,
        .flush = lws_flush,
        .receive = lws_receive,
        .poll = lws_poll,
        .get_fd = lws_get_fd,
        .flight_max = 2 * 1024 * 1024,
};
