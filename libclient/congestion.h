/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Congestion: how many bytes may be in flight on an off-host path
 *
 * NewReno as RFC 9002, section 7, has it: slow start, congestion avoidance, one halving a round trip
 * however much is lost or marked in it, persistent congestion. Pure arithmetic: packets are numbers
 * in the order of sending, from 1, and whoever calls knows what became of them.
 *
 * What RFC 9002 calls the size of a datagram is CONGESTION_PACKET here, by which the first window and
 * avoidance are measured. A packet may take up to 64 KiB, and the least window is two of these.
 */

#include <stdbool.h>
#include <stdint.h>

#define CONGESTION_PACKET 16384
#define CONGESTION_WINDOW_FIRST (10 * CONGESTION_PACKET)
#define CONGESTION_WINDOW_MIN 131072

typedef struct Congestion {
        uint64_t window;    /* bytes */
        uint64_t threshold; /* slow start up to here */
        uint64_t recovery;  /* packets up to this one were sent before the window was halved */
        uint64_t acked;     /* bytes since avoidance made the window larger */
} Congestion;

void congestion_init(Congestion *congestion);
static inline bool congestion_is_recovering(const Congestion *congestion, uint64_t packet) {
        return packet <= congestion->recovery;
}
/*
 * @bytes of packets after the recovery have come. @in_flight: how many were under way before that; a
 * window that is not half used does not grow.
 */
void congestion_on_ack(Congestion *congestion, uint64_t bytes, uint64_t in_flight);
/*
 * Packet @packet was lost, refused or marked; @last is the last that was sent. Return: whether this is
 * news, and not one more of the same round trip.
 */
bool congestion_on_loss(Congestion *congestion, uint64_t packet, uint64_t last);
/* Nothing came through for so long that nothing is known any more. */
void congestion_on_persistence(Congestion *congestion);
/* Nothing was under way for so long that the window says nothing. */
void congestion_on_idle(Congestion *congestion);
