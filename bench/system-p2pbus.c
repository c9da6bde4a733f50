/* SPDX-License-Identifier: Apache-2.0 */

/* p2pbus through its public API: one-way messages in both directions. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/system.h"
#include "libclient/p2pbus.h"
#include "libcore/err.h"
#include "libcore/util.h"

struct Endpoint {
        p2pbus *bus;
};

static int bus_open(Endpoint **ret, const char *path, unsigned number,
                    char address[static SYSTEM_ADDRESS_SIZE]) {
        p2pbus_options options = {
                .struct_size = sizeof(options),
                .socket_path = path,
                /* With a gateway on the bus this is the road through bridges and relays. */
                .flags = getenv("P2PBUS_BENCH_OFF_HOST") ? P2PBUS_OFF_HOST : 0,
        };
        Endpoint *e = calloc(1, sizeof(*e));
        int r;

        (void)number;
        if (!e)
                return err_origin(-ENOMEM);
        r = p2pbus_open(&e->bus, &options);
        if (r >= 0 && options.flags & P2PBUS_OFF_HOST)
                r = p2pbus_wait_reachable(e->bus, 5 * USEC_PER_SEC);
        if (r < 0) {
                fprintf(stderr, "%s\n", p2pbus_get_explanation());
                return err_trace(r);
        }
        snprintf(address, SYSTEM_ADDRESS_SIZE, "%s", p2pbus_get_full(e->bus));
        *ret = e;
        return 0;
}

static void bus_close(Endpoint *e) {
        p2pbus_unref(e->bus);
        free(e);
}

/* What two processes of one host would soon do by themselves is a system of its own here. */
static int bus_connect(Endpoint *e, const char *address) {
        return err_trace(p2pbus_set_ring(e->bus, address, P2PBUS_RING_NEVER));
}

static int bus_send(Endpoint *e, const char *address, const void *data, size_t n_data) {
        p2pbus_message *m;
        int r;

        r = p2pbus_message_new(&m, data, n_data);
        if (r < 0)
                return err_trace(r);
        while ((r = p2pbus_send(e->bus, address, m, 0, NULL)) == -EAGAIN) {
                r = p2pbus_wait(e->bus, P2PBUS_FOREVER);
                if (r < 0)
                        break;
        }
        p2pbus_message_unref(m);
        return err_trace(r);
}

static int bus_flush(Endpoint *e) {
        int r = p2pbus_process(e->bus);

        return r < 0 ? err_trace(r) : 0;
}

static int take(p2pbus_message *m, void *data, size_t n_max, size_t *ret_n) {
        *ret_n = MIN(n_max, p2pbus_message_get_size(m));
        if (*ret_n > 0)
                memcpy(data, p2pbus_message_get_payload(m), *ret_n);
        p2pbus_message_unref(m);
        return 0;
}

static int bus_receive(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        p2pbus_message *m;
        int r = p2pbus_receive(e->bus, P2PBUS_FOREVER, &m);

        return r < 0 ? err_trace(r) : take(m, data, n_max, ret_n);
}

static int bus_poll(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        p2pbus_message *m;
        int r;

        /* Without a time-out it reads what has come, and returns at once. */
        r = p2pbus_receive(e->bus, 0, &m);
        return r < 0 ? r : take(m, data, n_max, ret_n);
}

static int bus_get_fd(Endpoint *e) {
        return p2pbus_get_fd(e->bus);
}

const System system_p2pbus = {
        .name = "p2pbus",
        .open = bus_open,
        .close = bus_close,
        .connect = bus_connect,
        .send = bus_send,
        .flush = bus_flush,
        .receive = bus_receive,
        .poll = bus_poll,
        .get_fd = bus_get_fd,
        .flight_max = 0, /* credit is its own */
};
