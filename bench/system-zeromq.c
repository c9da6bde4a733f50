/* SPDX-License-Identifier: Apache-2.0 */

/* ZeroMQ: a PAIR socket on each side, over a Unix socket at the path, without limits of its own. */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#include "bench/system.h"
#include "libcore/err.h"
#include "libcore/util.h"

struct Endpoint {
        void *context, *socket;
        bool connects; /* the other one has bound */
};

static int zeromq_open(Endpoint **ret, const char *path, unsigned number,
                       char address[static SYSTEM_ADDRESS_SIZE]) {
        Endpoint *e = calloc(1, sizeof(*e));
        int unlimited = 0;

        if (!e)
                return err_origin(-ENOMEM);
        e->context = zmq_ctx_new();
        e->socket = e->context ? zmq_socket(e->context, ZMQ_PAIR) : NULL;
        if (!e->socket ||
            zmq_setsockopt(e->socket, ZMQ_SNDHWM, &unlimited, sizeof(unlimited)) < 0 ||
            zmq_setsockopt(e->socket, ZMQ_RCVHWM, &unlimited, sizeof(unlimited)) < 0)
                return err_origin(-errno);
        snprintf(address, SYSTEM_ADDRESS_SIZE, "ipc://%s", path);
        e->connects = number > 0;
        if (!e->connects && zmq_bind(e->socket, address) < 0)
                return err_origin(-errno);
        *ret = e;
        return 0;
}

static int zeromq_connect(Endpoint *e, const char *address) {
        return e->connects && zmq_connect(e->socket, address) < 0 ? err_origin(-errno) : 0;
}

static void zeromq_close(Endpoint *e) {
        (void)zmq_close(e->socket);
        (void)zmq_ctx_term(e->context); /* when all has left */
        free(e);
}

static int zeromq_send(Endpoint *e, const char *address, const void *data, size_t n_data) {
        (void)address;
        return zmq_send(e->socket, data, n_data, 0) < 0 ? err_origin(-errno) : 0;
}

static int zeromq_flush(Endpoint *e) {
        (void)e; /* a thread of the library's does it */
        return 0;
}

static int zeromq_take(Endpoint *e, void *data, size_t n_max, size_t *ret_n, int flags) {
        int n = zmq_recv(e->socket, data, n_max, flags);

        if (n < 0)
                return -errno;
        *ret_n = MIN((size_t)n, n_max);
        return 0;
}

static int zeromq_receive(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        return zeromq_take(e, data, n_max, ret_n, 0);
}

static int zeromq_poll(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        return zeromq_take(e, data, n_max, ret_n, ZMQ_DONTWAIT);
}

static int zeromq_get_fd(Endpoint *e) {
        int fd;
        size_t n = sizeof(fd);

        return zmq_getsockopt(e->socket, ZMQ_FD, &fd, &n) < 0 ? err_origin(-errno) : fd;
}

const System system_zeromq = {
        .name = "zeromq",
        .open = zeromq_open,
        .close = zeromq_close,
        .connect = zeromq_connect,
        .send = zeromq_send,
        .flush = zeromq_flush,
        .receive = zeromq_receive,
        .poll = zeromq_poll,
        .get_fd = zeromq_get_fd,
        .flight_max = 8 * 1024 * 1024,
};
