/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * All: one message to all providers of a name, and what each of them answers
 *
 * Answers come from within the library's callbacks and wait for whoever writes them.
 */

#include <stdbool.h>

#include "libclient/p2pbus.h"
#include "tools/connection.h"

typedef struct AllAnswer AllAnswer;

typedef struct All {
        bool one_way;
        bool json;
        AllAnswer *answers; /* list: not written yet */
        bool is_over;       /* then, once all were written: */
        int error, reason;  /* of the first that failed, or of the whole; 0: all is well */
} All;

/* Return: as p2pbus_request_all(). @all stays where it is until the handle has ended. */
int all_start(All *all, p2pbus *bus, const char *name, p2pbus_message *message,
              uint64_t timeout_usec);
/* Writes what has come. Return: 0; OUTPUT_E_X, CONNECTION_E_X, -errno. */
int all_write(All *all, Connection *connection);
void all_done(All *all);
