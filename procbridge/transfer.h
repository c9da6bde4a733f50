/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Transfer: packets between memory and a socket, as far as it goes without waiting
 */

#include "procbridge/packet.h"

enum {
        _TRANSFER_E_SUCCESS,

        TRANSFER_E_AGAIN,   /* wait for the socket */
        TRANSFER_E_EOF,     /* the other side says no more */
        TRANSFER_E_GONE,    /* the connection broke */
        TRANSFER_E_PROBLEM, /* PB_E_X of the reader is in @ret_problem */
};

/* A packet on its way out. */
typedef struct Outgoing {
        char *data;
        size_t n, at;
        size_t n_charged;
        Budget *budget;
} Outgoing;

/* Takes @data over. Return: 0, -EDQUOT: no room in the budget; @data is freed then. */
int outgoing_init(Outgoing *out, Budget *budget, char *data, size_t n);
/* Frees it; again is harmless. */
void outgoing_done(Outgoing *out);

/* Reads on, up to so much that others have their turn. Return: 0: the packet is whole; TRANSFER_E_X;
 * -ENOMEM. */
int transfer_read(int fd, PbReader *reader, int *ret_problem);
/* Writes on. Return: 0: all is written; TRANSFER_E_AGAIN, TRANSFER_E_GONE. */
int transfer_write(int fd, Outgoing *out);
/* Reads and forgets. @left is how much of that is still put up with. Return: 0: nothing is to come, or
 * it is too much; TRANSFER_E_AGAIN. */
int transfer_drain(int fd, uint64_t *left);
