/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbus through its public API: one-way messages in both directions
 *
 * Through the daemon, or through a ring: then nothing is measured before the library says so.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/system.h"
#include "libclient/p2pbus.h"
#include "libcore/err.h"
#include "libcore/util.h"

#define RING_USEC (5 * USEC_PER_SEC) /* to get one */

struct Endpoint {
        p2pbus *bus;
        uint64_t lifetime_usec; /* of messages; 0: the library's default */
};

static int bus_open(Endpoint **ret, const char *path, unsigned number,
                    char address[static SYSTEM_ADDRESS_SIZE]) {
        p2pbus_options options = {
                .struct_size = sizeof(options),
                .socket_path = path,
                /* With a gateway on the bus this is the road through bridges and relays. */
                .flags = getenv("P2PBUS_BENCH_OFF_HOST") ? P2PBUS_OFF_HOST : 0,
        };
        const char *lifetime = getenv("P2PBUS_BENCH_LIFETIME"); /* seconds */
        Endpoint *e = calloc(1, sizeof(*e));
        int r;

        (void)number;
        if (!e)
                return err_origin(-ENOMEM);
        if (lifetime)
                e->lifetime_usec = strtoull(lifetime, NULL, 10) * USEC_PER_SEC;
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
        while ((r = p2pbus_send(e->bus, address, m, e->lifetime_usec, NULL)) == -EAGAIN) {
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

static int bus_wait(Endpoint *e, uint64_t timeout_usec) {
        int r = p2pbus_wait(e->bus, timeout_usec);

        return r < 0 ? err_trace(r) : 0;
}

static int bus_settle(Endpoint *e, uint64_t timeout_usec) {
        return p2pbus_flush(e->bus, timeout_usec);
}

static int bus_subscribe(Endpoint *e, const char *topic) {
        return err_trace(p2pbus_subscribe(e->bus, topic, 0, 5 * USEC_PER_SEC));
}

static int bus_publish(Endpoint *e, const char *topic, const void *data, size_t n_data) {
        p2pbus_message *m;
        int r;

        r = p2pbus_message_new(&m, data, n_data);
        if (r < 0)
                return err_trace(r);
        while ((r = p2pbus_publish(e->bus, topic, m, 0, 0)) == -EAGAIN) {
                r = p2pbus_wait(e->bus, P2PBUS_FOREVER);
                if (r < 0)
                        break;
        }
        p2pbus_message_unref(m);
        return err_trace(r);
}

/* ---- Through a ring ---- */

/* A ring needs a conversation: a word in each direction. */
static int ring_connect(Endpoint *e, const char *address) {
        p2pbus_peer_info info = { .struct_size = sizeof(info) };
        uint64_t end = now_usec(CLOCK_MONOTONIC) + RING_USEC;
        char word;
        size_t n;
        int r;

        r = p2pbus_set_ring(e->bus, address, P2PBUS_RING_ALWAYS);
        if (r >= 0)
                r = bus_send(e, address, "", 1);
        if (r >= 0)
                r = bus_receive(e, &word, sizeof(word), &n);
        while (r >= 0) {
                r = p2pbus_get_peer(e->bus, address, &info);
                if (r < 0 || info.path == P2PBUS_PATH_RING)
                        break;
                if (now_usec(CLOCK_MONOTONIC) > end)
                        return err_origin(-ETIMEDOUT);
                r = p2pbus_wait(e->bus, USEC_PER_SEC / 100);
        }
        return r < 0 ? err_trace(r) : 0;
}

static int ring_open_sleep(Endpoint **ret, const char *path, unsigned number,
                           char address[static SYSTEM_ADDRESS_SIZE]) {
        int r = bus_open(ret, path, number, address);

        return r < 0 ? err_trace(r) : err_trace(p2pbus_set_spin((*ret)->bus, 0));
}

static int ring_receive_poll(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        int r;

        do
                r = bus_poll(e, data, n_max, ret_n);
        while (r == -EAGAIN);
        return err_trace(r);
}

static int ring_send_zero(Endpoint *e, const char *address, const void *data, size_t n_data) {
        p2pbus_message *m;
        void *payload;
        int r;

        while ((r = p2pbus_reserve(e->bus, address, n_data, &m, &payload)) == -EAGAIN) {
                r = p2pbus_wait(e->bus, P2PBUS_FOREVER);
                if (r < 0)
                        break;
        }
        if (r < 0)
                return err_trace(r);
        memcpy(payload, data, 1);
        while ((r = p2pbus_commit(e->bus, m, n_data, e->lifetime_usec, NULL)) == -EAGAIN) {
                r = p2pbus_wait(e->bus, P2PBUS_FOREVER);
                if (r < 0)
                        break;
        }
        p2pbus_message_unref(m);
        return err_trace(r);
}

static int ring_receive_zero(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        p2pbus_message *m;
        int r;

        (void)n_max;
        r = p2pbus_borrow(e->bus, P2PBUS_FOREVER, &m);
        if (r < 0)
                return err_trace(r);
        *ret_n = p2pbus_message_get_size(m);
        memcpy(data, p2pbus_message_get_payload(m), 1);
        p2pbus_message_unref(m);
        return 0;
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
        .wait = bus_wait,
        .settle = bus_settle,
        .subscribe = bus_subscribe,
        .publish = bus_publish,
        .flight_max = 0, /* credit is its own */
};

const System system_p2pbus_ring = {
        .name = "p2pbus-ring",
        .open = bus_open,
        .close = bus_close,
        .connect = ring_connect,
        .send = bus_send,
        .flush = bus_flush,
        .receive = bus_receive,
        .poll = bus_poll,
        .get_fd = bus_get_fd,
        .wait = bus_wait,
        .settle = bus_settle,
        .roams = true,
};

const System system_p2pbus_ring_poll = {
        .name = "p2pbus-ring-poll",
        .open = bus_open,
        .close = bus_close,
        .connect = ring_connect,
        .send = bus_send,
        .flush = bus_flush,
        .receive = ring_receive_poll,
        .poll = bus_poll,
        .get_fd = bus_get_fd,
        .wait = bus_wait,
        .settle = bus_settle,
};

const System system_p2pbus_ring_sleep = {
        .name = "p2pbus-ring-sleep",
        .open = ring_open_sleep,
        .close = bus_close,
        .connect = ring_connect,
        .send = bus_send,
        .flush = bus_flush,
        .receive = bus_receive,
        .poll = bus_poll,
        .get_fd = bus_get_fd,
        .wait = bus_wait,
        .settle = bus_settle,
};

const System system_p2pbus_ring_zero = {
        .name = "p2pbus-ring-zero",
        .open = bus_open,
        .close = bus_close,
        .connect = ring_connect,
        .send = ring_send_zero,
        .flush = bus_flush,
        .receive = ring_receive_zero,
        .poll = bus_poll,
        .get_fd = bus_get_fd,
        .wait = bus_wait,
        .settle = bus_settle,
        .roams = true,
};
