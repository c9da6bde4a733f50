/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Tap: what goes into rings, shown to the daemon while a monitor is attached
 *
 * Only the sending side does it, so that everything is seen once, as the packets that it would have
 * been: each with at most one message or part. It is lossy: what the daemon does not take in time is
 * left out, counted, and told with the next (PROTOCOL.md, "Monitoring").
 */

#include "libclient/bus.h"

/* Whether anybody looks: asked for each entry. */
static inline bool tap_is_wanted(const p2pbus *bus) {
        return bus->hello_flags & HELLO_MONITORED;
}

/*
 * @records, whole and our own, go into the ring with @peer. @id: of the message that they are of,
 * if it is one; all zero else. @deadline_usec as for path_send_local().
 */
void tap_show(const Peer *peer, const uint8_t *records, size_t n_records, const PacketId *id,
              uint64_t deadline_usec);
