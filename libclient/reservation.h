/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Reservation: a message that its sender composes where the receiver will read it
 *
 * p2pbus_reserve() finds the place in a ring where the payload of the next record will stand, behind
 * the heads of entry, record and message; p2pbus_commit() writes these and publishes. Nothing else
 * goes into the ring meanwhile, so there is one reservation a ring. Where anything is in the way, at
 * either call, the message has memory of its own and is sent as all are: the bytes of a place that
 * cannot be used any more are copied out of it.
 *
 * A message that was committed in place has no copy (session_commit()).
 */

#include "libclient/bus.h"

typedef struct Reservation {
        size_t size;
        RingPath *ring; /* held; NULL: the payload is in the message's own memory */
        uint8_t *place; /* of the record */
        char dest[];
} Reservation;

/* The application has dropped its last reference without committing. Unrefs @message. */
void reservation_give_up(Message *message);
