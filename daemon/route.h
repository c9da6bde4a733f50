/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Where a packet goes
 *
 * From an attached process to another, or to the gateway; from the gateway to a process. A packet
 * is copied once, from the buffer it was read into to the receiver's outbox. What cannot be
 * delivered is answered; nothing waits here. Out of the outbox some come back: those that are late, and
 * those of other hosts when their receiver ends.
 *
 *      RECORDS  to a process that is attached here; never to a gateway. Else NOT_LOCAL
 *      SEALED   to a process that is attached here, else to the gateway
 *      CONTROL  to the daemon: words.h
 */

#include "daemon/peer.h"
#include "libcore/stream.h"

/* Takes the frame's descriptors. @from may be dead afterwards. */
void route_packet(Peer *from, const StreamFrame *frame);
/* The packet was queued, and will not be written: tells its source, if that is still there. */
void route_give_back(Manager *manager, const uint8_t *packet, ControlCode code);
/* Whether the frame in an outbox is a packet that came through the gateway. */
bool route_is_remote(const uint8_t *packet);
/* By which rule @from may not send to @to, for people; the log hears it once. NULL: no memory. */
const char *route_denial(Peer *from, Peer *to);
/* What of @from's may go to @to, by policy. */
RouteVerdict route_judge(const Peer *from, const Peer *to);
