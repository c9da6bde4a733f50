/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Drain: the end of a provider that nobody notices
 *
 *      said     the daemon knows that our names drain, and so will all who ask for them
 *      idle     what came is answered; from here on messages to our names are refused
 *      asked    everybody who talks with us was pinged
 *      over     and has answered
 *
 * A ping goes by the daemon, which has told of the names before, to who is on this host, and the answer
 * comes the way that messages come: behind all that was sent by somebody who had not heard. That was
 * refused, and its sender knows. Who is gone or silent is not waited for longer than DRAIN_USEC.
 */

#include "libclient/bus.h"

#define DRAIN_USEC (3 * USEC_PER_SEC)
#define DRAIN_AGAIN_USEC (500 * USEC_PER_MSEC) /* a ping may be lost, or find no room */

/* The handle ends. */
void drain_end(p2pbus *bus);
