/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What this process says of its conversations, to the daemon and to its own application
 *
 * Rates are over the last second or two: counters are compared with what they were at some earlier
 * look, and a look is taken at most once a second, when a peer is looked at anyway. No message
 * costs more than an addition, and nothing reads a clock for it.
 */

#include "libclient/bus.h"
#include "libcore/report.h"

typedef struct TrafficSample {
        uint64_t usec;
        uint64_t messages_out, messages_in, bytes_out, bytes_in;
} TrafficSample;

/* What passed between us and one peer. */
typedef struct Traffic {
        uint64_t bytes_out, bytes_in; /* of records */
        TrafficSample last, before;   /* before: a second before the last, or more */
} Traffic;

/* Time passes for @peer. */
void report_take_sample(Peer *peer);
static inline bool report_is_sample_due(const Traffic *traffic, uint64_t now_usec) {
        return now_usec - traffic->last.usec >= USEC_PER_SEC;
}

/* @peer is forgotten, but not what was sent to it. */
void report_remember(const Peer *peer);

/* How it is with @peer now. */
void report_peer(const Peer *peer, Report *ret);
/* REPORT, in the packet @id, has come. */
void report_answer(p2pbus *bus, const PacketId *id);
