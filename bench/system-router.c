/* SPDX-License-Identifier: Apache-2.0 */

/* A client of the bare router. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/connection.h"
#include "bench/router.h"
#include "bench/system.h"
#include "libcore/err.h"
#include "libcore/util.h"

struct Endpoint {
        Connection connection;
        uint32_t id;
};

static int router_open(Endpoint **ret, const char *path, unsigned number,
                       char address[static SYSTEM_ADDRESS_SIZE]) {
        Endpoint *e = calloc(1, sizeof(*e));
        Buffer *in;
        int r;

        (void)number;
        if (!e)
                return err_origin(-ENOMEM);
        in = &e->connection.in;
        r = connection_open(&e->connection, path, 0);
        while (r == 0 && buffer_used(in) < sizeof(e->id))
                r = connection_fill(&e->connection, true);
        if (r < 0)
                return err_trace(r);
        memcpy(&e->id, in->data + in->at, sizeof(e->id));
        in->at += sizeof(e->id);
        snprintf(address, SYSTEM_ADDRESS_SIZE, "%u", e->id);
        *ret = e;
        return 0;
}

static void router_close(Endpoint *e) {
        connection_close(&e->connection);
        free(e);
}

static int router_flush(Endpoint *e) {
        return connection_flush(&e->connection);
}

static int router_send(Endpoint *e, const char *address, const void *data, size_t n_data) {
        RouterHeader h = {
                .size = (uint32_t)(sizeof(h) + n_data),
                .from = e->id,
                .to = (uint32_t)strtoul(address, NULL, 10),
        };
        int r = connection_put(&e->connection, &h, sizeof(h));

        return r < 0 ? r : connection_put(&e->connection, data, n_data);
}

static int router_read(Endpoint *e, void *data, size_t n_max, size_t *ret_n, bool wait) {
        Buffer *in = &e->connection.in;
        RouterHeader h;
        int r;

        for (;;) {
                if (buffer_used(in) >= sizeof(h)) {
                        memcpy(&h, in->data + in->at, sizeof(h));
                        if (buffer_used(in) >= h.size) {
                                *ret_n = MIN(n_max, h.size - sizeof(h));
                                memcpy(data, in->data + in->at + sizeof(h), *ret_n);
                                in->at += h.size;
                                return 0;
                        }
                }
                r = connection_fill(&e->connection, wait);
                if (r < 0)
                        return r;
        }
}

static int router_receive(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        return router_read(e, data, n_max, ret_n, true);
}

static int router_poll(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        return router_read(e, data, n_max, ret_n, false);
}

static int router_get_fd(Endpoint *e) {
        return e->connection.fd;
}

const System system_router = {
        .name = "router",
        .open = router_open,
        .close = router_close,
        .send = router_send,
        .flush = router_flush,
        .receive = router_receive,
        .poll = router_poll,
        .get_fd = router_get_fd,
        .flight_max = 8 * 1024 * 1024,
};
