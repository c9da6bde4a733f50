/* SPDX-License-Identifier: Apache-2.0 */

#include "procbridge/endpoint.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>

#include "libcore/err.h"
#include "libcore/program.h"
#include "libcore/util.h"

#define BACKLOG 4096

static int parse_path(const char *text, Endpoint *ret) {
        Endpoint endpoint = { .address.un.sun_family = AF_UNIX,
                              .size = sizeof(struct sockaddr_un) };
        size_t n = strlen(text);

        if (n >= sizeof(endpoint.address.un.sun_path))
                return ENDPOINT_E_TOO_LONG;
        memcpy(endpoint.address.un.sun_path, text, n + 1);
        *ret = endpoint;
        return 0;
}

/* Return: -1: it is none. */
static int parse_port(const char *text) {
        int port = 0;

        if (*text == '\0' || strlen(text) > 5)
                return -1;
        for (; *text; text++) {
                if (*text < '0' || *text > '9')
                        return -1;
                port = 10 * port + *text - '0';
        }
        return port <= 65535 ? port : -1;
}

int endpoint_parse(const char *text, Endpoint *ret) {
        const char *colon = strrchr(text, ':');
        Endpoint endpoint = { 0 };
        char host[INET6_ADDRSTRLEN + 2];
        size_t n;
        int port;

        if (strchr(text, '/'))
                return parse_path(text, ret);
        if (!colon || (n = (size_t)(colon - text)) >= sizeof(host))
                return ENDPOINT_E_MALFORMED;
        port = parse_port(colon + 1);
        if (port < 0)
                return ENDPOINT_E_MALFORMED;
        memcpy(host, text, n);
        host[n] = '\0';
        if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
                host[n - 1] = '\0';
                endpoint.address.in6.sin6_family = AF_INET6;
                endpoint.address.in6.sin6_port = htons((uint16_t)port);
                endpoint.size = sizeof(endpoint.address.in6);
                if (inet_pton(AF_INET6, host + 1, &endpoint.address.in6.sin6_addr) != 1)
                        return ENDPOINT_E_MALFORMED;
        } else {
                endpoint.address.in.sin_family = AF_INET;
                endpoint.address.in.sin_port = htons((uint16_t)port);
                endpoint.size = sizeof(endpoint.address.in);
                if (inet_pton(AF_INET, host, &endpoint.address.in.sin_addr) != 1)
                        return ENDPOINT_E_MALFORMED;
        }
        *ret = endpoint;
        return 0;
}

const char *endpoint_format(const Endpoint *endpoint, char text[static ENDPOINT_TEXT_SIZE]) {
        char host[INET6_ADDRSTRLEN] = "?";

        switch (endpoint->address.any.sa_family) {
        case AF_UNIX:
                (void)snprintf(text, ENDPOINT_TEXT_SIZE, "%s", endpoint->address.un.sun_path);
                break;
        case AF_INET6:
                (void)inet_ntop(AF_INET6, &endpoint->address.in6.sin6_addr, host, sizeof(host));
                (void)snprintf(text, ENDPOINT_TEXT_SIZE, "[%s]:%u", host,
                               ntohs(endpoint->address.in6.sin6_port));
                break;
        default:
                (void)inet_ntop(AF_INET, &endpoint->address.in.sin_addr, host, sizeof(host));
                (void)snprintf(text, ENDPOINT_TEXT_SIZE, "%s:%u", host,
                               ntohs(endpoint->address.in.sin_port));
        }
        return text;
}

int endpoint_listen(const Endpoint *endpoint, mode_t mode, int *ret_fd) {
        int family = endpoint->address.any.sa_family, r, yes = 1;
        _cleanup_(fd_closep) int fd = -EBADF;
        mode_t mask = 0;

        if (family == AF_UNIX) {
                r = program_remove_stale_socket(&endpoint->address.un);
                if (r < 0)
                        return r == -EADDRINUSE ? ENDPOINT_E_ALIVE
                               : r == -ENOTSOCK ? ENDPOINT_E_NO_SOCKET
                                                : err_trace(r);
        }
        fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_origin(-errno);
        if (family != AF_UNIX && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0)
                return err_origin(-errno);
        if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes)) < 0)
                return err_origin(-errno);

        /* The file must never be open to more than @mode says, not even between two calls. */
        if (family == AF_UNIX)
                mask = umask(~mode & 0777);
        r = bind(fd, &endpoint->address.any, endpoint->size);
        if (r < 0)
                r = errno == EADDRINUSE ? ENDPOINT_E_ALIVE : err_origin(-errno);
        if (family == AF_UNIX)
                (void)umask(mask);
        if (r != 0)
                return r;
        if (listen(fd, BACKLOG) < 0)
                return errno == EADDRINUSE ? ENDPOINT_E_ALIVE : err_origin(-errno);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int endpoint_of(int fd, Endpoint *ret) {
        Endpoint endpoint = { .size = sizeof(endpoint.address) };

        if (getsockname(fd, &endpoint.address.any, &endpoint.size) < 0)
                return err_origin(-errno);
        *ret = endpoint;
        return 0;
}

int endpoint_connect(const Endpoint *endpoint, int *ret_fd) {
        int family = endpoint->address.any.sa_family, yes = 1;
        _cleanup_(fd_closep) int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
                return err_origin(-errno);
        if (family != AF_UNIX) /* a request is one write: nothing is gained by waiting for more */
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        if (connect(fd, &endpoint->address.any, endpoint->size) < 0 && errno != EINPROGRESS)
                return errno == EAGAIN ? ENDPOINT_E_BUSY : err_origin(-errno);
        *ret_fd = TAKE_FD(fd);
        return 0;
}
