/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Endpoints: where ProcBridge is spoken, an address and port of TCP or the path of a Unix socket
 *
 * Addresses are numbers, so that nothing here ever waits for a name server. What has a slash is a path.
 */

#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#define ENDPOINT_TEXT_SIZE 128 /* "[ADDR]:PORT", or a path, with a NUL */

typedef struct Endpoint {
        union {
                struct sockaddr any;
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
                struct sockaddr_un un;
        } address;
        socklen_t size;
} Endpoint;

enum {
        _ENDPOINT_E_SUCCESS,

        ENDPOINT_E_MALFORMED, /* neither ADDR:PORT nor a path */
        ENDPOINT_E_TOO_LONG,  /* a path of more than 107 bytes */
        ENDPOINT_E_ALIVE,     /* somebody listens there */
        ENDPOINT_E_NO_SOCKET, /* a file that is no socket is there */
        ENDPOINT_E_BUSY,      /* its queue is full: try again in a moment */
};

/* Return: 0, ENDPOINT_E_MALFORMED, ENDPOINT_E_TOO_LONG; @ret is untouched then. */
int endpoint_parse(const char *text, Endpoint *ret);
/* What endpoint_parse() reads. Returns @text. */
const char *endpoint_format(const Endpoint *endpoint, char text[static ENDPOINT_TEXT_SIZE]);

/*
 * Listens without blocking; @mode is that of a Unix socket's file, in whose place a stale one may be.
 * Return: 0; ENDPOINT_E_ALIVE, ENDPOINT_E_NO_SOCKET; -errno.
 */
int endpoint_listen(const Endpoint *endpoint, mode_t mode, int *ret_fd);
/* Whose socket @fd is: port 0 has become a real one. Return: 0, -errno. */
int endpoint_of(int fd, Endpoint *ret);
/* Begins to connect, without blocking: it is done when @ret_fd can be written, and SO_ERROR is how.
 * Return: 0, ENDPOINT_E_BUSY, -errno. */
int endpoint_connect(const Endpoint *endpoint, int *ret_fd);
