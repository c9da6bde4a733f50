/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * stdout of the tools that run for long
 *
 * A reader may be slow, and nothing else must wait for it: pieces that a pipe takes at once are
 * written, in between connection_wait() does everybody else's work. A reader that has gone is no
 * error; the tool ends quietly.
 */

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#include "tools/connection.h"

enum {
        _OUTPUT_E_SUCCESS,

        OUTPUT_E_CLOSED = 100, /* nobody reads stdout any more; beside CONNECTION_E_X */
};

/* Writes all of @data. Return: 0, OUTPUT_E_CLOSED, CONNECTION_E_SIGNAL, CONNECTION_E_CLOSED, -errno. */
int output_write(Connection *connection, const void *data, size_t n);
/* To be among what a tool polls, if @watch: any revents tell that the reader has gone. */
struct pollfd output_pollfd(bool watch);
/* Says what output_write() returned and returns the status to end with: 0 if stdout was closed. */
int output_end(Connection *connection, int r);

/* For verbs that write once: writes and frees @text, NULL being "out of memory". Return: 0, or the
 * status to end with after having said why. */
int output_print(char *text, size_t n);
