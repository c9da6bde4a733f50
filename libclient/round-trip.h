/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * RoundTrip: how long the answer of an off-host peer takes, estimated as RFC 9002, section 5, does
 *
 * All times are microseconds; 0: there was no sample yet.
 */

#include <stdint.h>

#define ROUND_TRIP_FIRST_USEC 333000 /* assumed before the first sample: a probe comes after 1 s */
#define ROUND_TRIP_MAX_USEC 8000000  /* what took longer hung somewhere on its way */
#define ROUND_TRIP_GRAIN_USEC 1000   /* no timer is finer */

typedef struct RoundTrip {
        uint64_t latest_usec;
        uint64_t least_usec;
        uint64_t smoothed_usec;
        uint64_t variation_usec;
} RoundTrip;

/*
 * An answer came after @usec; the peer says that it waited @delay_usec of it, which is believed up to
 * @delay_max_usec, and not if the rest would be less than ever before.
 */
void round_trip_sample(RoundTrip *trip, uint64_t usec, uint64_t delay_usec,
                       uint64_t delay_max_usec);
/* An answer that has not come in this time, and the peer's delay, is overdue. */
uint64_t round_trip_patience_usec(const RoundTrip *trip);
