/* SPDX-License-Identifier: Apache-2.0 */

#include "bench/connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libcore/err.h"
#include "libcore/util.h"

int buffer_reserve(Buffer *b, size_t n) {
        size_t size = MAX(b->size, (size_t)4096);
        uint8_t *grown;

        if (b->at == b->end)
                b->at = b->end = 0;
        if (b->size - b->end >= n)
                return 0;
        if (b->at > 0) {
                memmove(b->data, b->data + b->at, buffer_used(b));
                b->end -= b->at;
                b->at = 0;
        }
        if (b->size - b->end >= n)
                return 0;
        while (size < b->end + n)
                size *= 2;
        grown = realloc(b->data, size);
        if (!grown)
                return err_origin(-ENOMEM);
        b->data = grown;
        b->size = size;
        return 0;
}

int buffer_append(Buffer *b, const void *data, size_t n) {
        int r = buffer_reserve(b, n);

        if (r < 0)
                return err_trace(r);
        memcpy(b->data + b->end, data, n);
        b->end += n;
        return 0;
}

void buffer_free(Buffer *b) {
        free(b->data);
        *b = (Buffer){ 0 };
}

static int open_unix(Connection *c, const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        if (strlen(path) >= sizeof(address.sun_path))
                return err_origin(-ENAMETOOLONG);
        strcpy(address.sun_path, path);
        c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return err_origin(-errno);
        return 0;
}

static int open_tcp(Connection *c, const char *where, uint32_t source) {
        struct sockaddr_in address = { .sin_family = AF_INET };
        struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(source) };
        const char *colon = strrchr(where, ':');
        char host[INET_ADDRSTRLEN];
        int on = 1;

        if (!colon || (size_t)(colon - where) >= sizeof(host))
                return err_origin(-EINVAL);
        memcpy(host, where, (size_t)(colon - where));
        host[colon - where] = '\0';
        address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
        if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
                return err_origin(-EINVAL);

        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
                return err_origin(-errno);
        if (source != 0 && bind(c->fd, (struct sockaddr *)&from, sizeof(from)) < 0)
                return err_origin(-errno);
        if (connect(c->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return err_origin(-errno);
        return 0;
}

int connection_open(Connection *c, const char *where, uint32_t source) {
        int r;

        *c = (Connection){ .fd = -EBADF };
        r = where[0] == '/' ? open_unix(c, where) : open_tcp(c, where, source);
        if (r < 0)
                c->fd = fd_close(c->fd);
        return err_trace(r);
}

void connection_close(Connection *c) {
        c->fd = fd_close(c->fd);
        buffer_free(&c->in);
        buffer_free(&c->out);
}

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

int connection_flush(Connection *c) {
        int r = write_all(c->fd, c->out.data + c->out.at, buffer_used(&c->out));

        c->out.at = c->out.end = 0;
        return err_trace(r);
}

int connection_put(Connection *c, const void *data, size_t n) {
        int r;

        if (buffer_used(&c->out) > 0 && buffer_used(&c->out) + n > CONNECTION_GATHER) {
                r = connection_flush(c);
                if (r < 0)
                        return err_trace(r);
        }
        return n > CONNECTION_GATHER ? write_all(c->fd, data, n) : buffer_append(&c->out, data, n);
}

int connection_fill(Connection *c, bool wait) {
        ssize_t n;
        int r;

        if (wait && buffer_used(&c->out) > 0) {
                r = connection_flush(c);
                if (r < 0)
                        return err_trace(r);
        }
        r = buffer_reserve(&c->in, CONNECTION_READ);
        if (r < 0)
                return err_trace(r);
        n = recv(c->fd, c->in.data + c->in.end, CONNECTION_READ, wait ? 0 : MSG_DONTWAIT);
        if (n <= 0)
                return n < 0 ? -errno : err_origin(-EPIPE);
        c->in.end += (size_t)n;
        return 0;
}
