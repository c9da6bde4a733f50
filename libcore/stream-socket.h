/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Between a Stream and a Unix stream socket
 *
 * One system call each, many frames in each, descriptors included. The socket is the caller's and
 * non-blocking (MSG_DONTWAIT is used anyway); when to call is the caller's too.
 */

#include <stddef.h>

#include "libcore/stream.h"

enum {
        _STREAM_SOCKET_E_SUCCESS,

        STREAM_SOCKET_E_AGAIN,     /* nothing to read, no room to write: wait for the socket */
        STREAM_SOCKET_E_CLOSED,    /* the other side is gone */
        STREAM_SOCKET_E_VIOLATION, /* more descriptors than frames may have: drop the peer */
};

/*
 * Reads once into the stream; pop all frames before the next call.
 * Return: 0, STREAM_SOCKET_E_AGAIN, _CLOSED, _VIOLATION, -errno; @ret_n is how much, 0 unless 0.
 */
int stream_socket_read(Stream *stream, int fd, size_t *ret_n);

/*
 * Writes once of what is queued. Return: 0 (also if nothing was queued), STREAM_SOCKET_E_AGAIN,
 * _CLOSED, -errno (-ETOOMANYREFS: too many descriptors of this user are in flight); @ret_n as above.
 */
int stream_socket_write(Stream *stream, int fd, size_t *ret_n);
/* The same, but no more than the first @most bytes. */
int stream_socket_write_most(Stream *stream, int fd, size_t most, size_t *ret_n);
