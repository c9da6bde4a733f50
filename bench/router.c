/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A bare router: the least that a broker between Unix sockets can do
 *
 * One thread, one epoll, 16-byte headers {size, from, to, zero}, no names, no checks, no limits.
 * It reads as much as there is, copies each message into the receiver's buffer, and writes each
 * buffer once a turn. What a bus adds to this is its price.
 *
 * Usage: router PATH
 */

#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/router.h"
#include "libcore/util.h"

#define BUFFER_START 256
#define READ_SIZE (256 * 1024)

typedef struct Client {
        int fd;
        uint8_t *in;
        size_t n_in, in_size;
        uint8_t *out;
        size_t n_out, out_at, out_size;
        bool dirty;
        bool blocked;
} Client;

static Client *clients;
static unsigned n_clients, clients_size;
static unsigned *dirty;
static unsigned n_dirty;
static int epoll_fd;

static void grow(uint8_t **data, size_t *size, size_t wanted) {
        size_t n = MAX(*size, (size_t)BUFFER_START);

        if (wanted <= *size)
                return;
        while (n < wanted)
                n *= 2;
        *data = realloc(*data, n);
        if (!*data)
                abort();
        *size = n;
}

static void watch(unsigned id, uint32_t events, int op) {
        struct epoll_event e = { .events = events, .data.u32 = id };

        if (epoll_ctl(epoll_fd, op, clients[id].fd, &e) < 0)
                abort();
}

static void flush(unsigned id) {
        Client *c = &clients[id];
        ssize_t n;

        n = send(c->fd, c->out + c->out_at, c->n_out - c->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
                c->out_at += (size_t)n;
        if (c->out_at == c->n_out) {
                c->n_out = c->out_at = 0;
                if (c->out_size > 65536) {
                        free(c->out);
                        c->out = NULL;
                        c->out_size = 0;
                }
        }
        if (c->blocked != (c->n_out > 0)) {
                c->blocked = c->n_out > 0;
                watch(id, EPOLLIN | (c->blocked ? EPOLLOUT : 0), EPOLL_CTL_MOD);
        }
}

static void forward(const uint8_t *message, size_t size) {
        RouterHeader h;
        Client *to;

        memcpy(&h, message, sizeof(h));
        if (h.to >= n_clients || clients[h.to].fd < 0)
                return;
        to = &clients[h.to];
        grow(&to->out, &to->out_size, to->n_out + size);
        memcpy(to->out + to->n_out, message, size);
        to->n_out += size;
        if (!to->dirty) {
                to->dirty = true;
                dirty[n_dirty++] = h.to;
        }
}

static void on_input(unsigned id) {
        static uint8_t chunk[READ_SIZE];
        Client *c = &clients[id];
        size_t at = 0;
        ssize_t n;

        n = recv(c->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                close(c->fd);
                free(c->in);
                free(c->out);
                *c = (Client){ .fd = -1, .dirty = c->dirty };
                return;
        }

        if (c->n_in == 0) {
                /* The usual case: whole messages, straight from the chunk. */
                RouterHeader h;

                while ((size_t)n - at >= sizeof(h)) {
                        memcpy(&h, chunk + at, sizeof(h));
                        if ((size_t)n - at < h.size)
                                break;
                        forward(chunk + at, h.size);
                        at += h.size;
                }
        }
        grow(&c->in, &c->in_size, c->n_in + (size_t)n - at);
        memcpy(c->in + c->n_in, chunk + at, (size_t)n - at);
        c->n_in += (size_t)n - at;
        at = 0;
        while (c->n_in - at >= sizeof(RouterHeader)) {
                RouterHeader h;

                memcpy(&h, c->in + at, sizeof(h));
                if (c->n_in - at < h.size)
                        break;
                forward(c->in + at, h.size);
                at += h.size;
        }
        memmove(c->in, c->in + at, c->n_in - at);
        c->n_in -= at;
        if (c->n_in == 0) {
                free(c->in);
                c->in = NULL;
                c->in_size = 0;
        }
}

static void on_connect(int listener) {
        int fd;

        while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
                uint32_t id = n_clients;

                if (n_clients == clients_size) {
                        clients_size = MAX(clients_size * 2, 64U);
                        clients = realloc(clients, clients_size * sizeof(*clients));
                        dirty = realloc(dirty, clients_size * sizeof(*dirty));
                        if (!clients || !dirty)
                                abort();
                }
                clients[n_clients++] = (Client){ .fd = fd };
                watch(id, EPOLLIN, EPOLL_CTL_ADD);
                if (send(fd, &id, sizeof(id), MSG_NOSIGNAL) != sizeof(id))
                        abort();
        }
}

int main(int argc, char **argv) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct epoll_event events[256];
        struct epoll_event e = { .events = EPOLLIN, .data.u32 = UINT32_MAX };
        struct rlimit limit;
        int listener;

        if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path)) {
                fprintf(stderr, "usage: router PATH\n");
                return 2;
        }
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &limit);
        }
        strcpy(address.sun_path, argv[1]);
        (void)unlink(argv[1]);
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(listener, 4096) < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e) < 0) {
                perror("router");
                return 1;
        }
        fprintf(stderr, "Listening on %s\n", argv[1]);

        for (;;) {
                int n = epoll_wait(epoll_fd, events, ELEMENTSOF(events), -1);

                for (int i = 0; i < n; i++) {
                        uint32_t id = events[i].data.u32;

                        if (id == UINT32_MAX) {
                                on_connect(listener);
                                continue;
                        }
                        if (clients[id].fd >= 0 && (events[i].events & EPOLLOUT))
                                flush(id);
                        if (clients[id].fd >= 0 && (events[i].events & ~(uint32_t)EPOLLOUT))
                                on_input(id);
                }
                for (unsigned i = 0; i < n_dirty; i++) {
                        clients[dirty[i]].dirty = false;
                        if (clients[dirty[i]].fd >= 0)
                                flush(dirty[i]);
                }
                n_dirty = 0;
        }
}
