/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Outgoing: messages on their way, in the order of sending
 *
 * The row's head decides: what is settled well leaves it there, and a failed head is the first failure in
 * the order of the input, which is the one that is told.
 */

#include <stdbool.h>
#include <stdint.h>

#include "libclient/p2pbus.h"
#include "tools/connection.h"
#include "tools/send-options.h"

typedef struct Outgoing Outgoing;
typedef struct OutgoingRow OutgoingRow;

struct Outgoing {
        Outgoing *next;
        OutgoingRow *row;
        uint64_t number; /* from 1 */
        uint64_t deadline_usec;
        uint64_t too_big; /* its size, if it is over the limit: there is no message then */
        p2pbus_message *message;
        p2pbus_message *reply;
        bool settled;
        int error; /* once settled */
        int reason;
};

struct OutgoingRow {
        const SendOptions *options;
        Connection *connection;
        Outgoing *first;
        Outgoing **end;
        uint64_t n_bytes_done; /* of settled messages, for the progress line */
        bool failed;           /* something in it has failed */
};

Outgoing *outgoing_free(Outgoing *out);
/* It goes behind all others. */
void outgoing_append(OutgoingRow *row, Outgoing *out);
void outgoing_settle(Outgoing *out, int error, int reason);

/* Bytes of the largest message that goes where these go. */
uint64_t outgoing_message_max(const OutgoingRow *row);
/* Return: the status to end with. */
int outgoing_fail_too_big(OutgoingRow *row, uint64_t number, uint64_t size);

/* Settles those of which the library has said what became of them. */
void outgoing_take_results(OutgoingRow *row);
/*
 * The library gives a message up in time, but its account closes only when the receiver has said
 * which came first, and a stopped receiver says nothing. The head's deadline is the earliest.
 */
void outgoing_settle_late(OutgoingRow *row);
/* Writes the reply, or with --json what became of it. Return: 0, OUTPUT_E_X, -errno. */
int outgoing_print(OutgoingRow *row, const Outgoing *out);
/* Takes what is settled off the head. Return: -1 to go on, else the status to end with. */
int outgoing_drop_settled(OutgoingRow *row);
