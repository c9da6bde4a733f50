/* SPDX-License-Identifier: Apache-2.0 */

/* A client of the bare router: gathers what it sends, reads much at once, as libp2pbus does. */

#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "bench/router.h"
#include "bench/system.h"
#include "libcore/err.h"
#include "libcore/util.h"

#define GATHER 32768
#define INPUT_SIZE (4 * 1024 * 1024)

struct Endpoint {
        int fd;
        uint32_t id;
        uint8_t out[GATHER];
        size_t n_out;
        uint8_t *in;
        size_t in_at, n_in;
};

static int write_all(int fd, const uint8_t *data, size_t n_data) {
        while (n_data > 0) {
                ssize_t n = send(fd, data, n_data, MSG_NOSIGNAL);

                if (n < 0)
                        return err_origin(-errno);
                data += n;
                n_data -= (size_t)n;
        }
        return 0;
}

static int router_open(Endpoint **ret, const char *path, char address[static SYSTEM_ADDRESS_SIZE]) {
        struct sockaddr_un sun = { .sun_family = AF_UNIX };
        Endpoint *e = calloc(1, sizeof(*e));

        if (!e || strlen(path) >= sizeof(sun.sun_path))
                return err_origin(-ENOMEM);
        strcpy(sun.sun_path, path);
        e->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (e->fd < 0 || connect(e->fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
                return err_origin(-errno);
        if (recv(e->fd, &e->id, sizeof(e->id), MSG_WAITALL) != sizeof(e->id))
                return err_origin(-EIO);
        snprintf(address, SYSTEM_ADDRESS_SIZE, "%u", e->id);
        *ret = e;
        return 0;
}

static void router_close(Endpoint *e) {
        (void)close(e->fd);
        free(e->in);
        free(e);
}

static int router_flush(Endpoint *e) {
        int r = write_all(e->fd, e->out, e->n_out);

        e->n_out = 0;
        return r;
}

static int router_send(Endpoint *e, const char *address, const void *data, size_t n_data) {
        RouterHeader h = {
                .size = (uint32_t)(sizeof(h) + n_data),
                .from = e->id,
                .to = (uint32_t)strtoul(address, NULL, 10),
        };
        int r;

        if (e->n_out + h.size > sizeof(e->out)) {
                r = router_flush(e);
                if (r < 0)
                        return r;
        }
        if (h.size > sizeof(e->out)) {
                r = write_all(e->fd, (const uint8_t *)&h, sizeof(h));
                return r < 0 ? r : write_all(e->fd, data, n_data);
        }
        memcpy(e->out + e->n_out, &h, sizeof(h));
        memcpy(e->out + e->n_out + sizeof(h), data, n_data);
        e->n_out += h.size;
        return 0;
}

static int router_read(Endpoint *e, void *data, size_t n_max, size_t *ret_n, int flags) {
        for (;;) {
                RouterHeader h;
                ssize_t n;

                if (e->n_in - e->in_at >= sizeof(h)) {
                        memcpy(&h, e->in + e->in_at, sizeof(h));
                        if (e->n_in - e->in_at >= h.size) {
                                *ret_n = MIN(n_max, h.size - sizeof(h));
                                memcpy(data, e->in + e->in_at + sizeof(h), *ret_n);
                                e->in_at += h.size;
                                return 0;
                        }
                }
                if (!e->in) {
                        e->in = malloc(INPUT_SIZE);
                        if (!e->in)
                                return err_origin(-ENOMEM);
                }
                if (e->in_at > 0) {
                        memmove(e->in, e->in + e->in_at, e->n_in - e->in_at);
                        e->n_in -= e->in_at;
                        e->in_at = 0;
                }
                if (!(flags & MSG_DONTWAIT)) {
                        int r = router_flush(e);

                        if (r < 0)
                                return r;
                }
                n = recv(e->fd, e->in + e->n_in, MIN((size_t)INPUT_SIZE - e->n_in, (size_t)262144), flags);
                if (n <= 0)
                        return err_origin(n < 0 ? -errno : -EPIPE);
                e->n_in += (size_t)n;
        }
}

static int router_receive(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        return router_read(e, data, n_max, ret_n, 0);
}

static int router_poll(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        return router_read(e, data, n_max, ret_n, MSG_DONTWAIT);
}

static int router_get_fd(Endpoint *e) {
        return e->fd;
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
