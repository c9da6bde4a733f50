/* SPDX-License-Identifier: Apache-2.0 */

#include "libclient/round-trip.h"

#include "libcore/util.h"

void round_trip_sample(RoundTrip *trip, uint64_t usec, uint64_t delay_usec,
                       uint64_t delay_max_usec) {
        uint64_t away;

        usec = MIN(MAX(usec, UINT64_C(1)), (uint64_t)ROUND_TRIP_MAX_USEC);
        trip->latest_usec = usec;
        if (trip->smoothed_usec == 0) {
                trip->least_usec = trip->smoothed_usec = usec;
                trip->variation_usec = usec / 2;
                return;
        }
        trip->least_usec = MIN(trip->least_usec, usec);
        delay_usec = MIN(delay_usec, delay_max_usec);
        if (usec >= trip->least_usec + delay_usec)
                usec -= delay_usec;
        away = usec > trip->smoothed_usec ? usec - trip->smoothed_usec : trip->smoothed_usec - usec;
        trip->variation_usec = (3 * trip->variation_usec + away) / 4;
        trip->smoothed_usec = MAX((7 * trip->smoothed_usec + usec) / 8, UINT64_C(1));
}

uint64_t round_trip_patience_usec(const RoundTrip *trip) {
        if (trip->smoothed_usec == 0)
                return 3 * ROUND_TRIP_FIRST_USEC;
        return trip->smoothed_usec + MAX(4 * trip->variation_usec, (uint64_t)ROUND_TRIP_GRAIN_USEC);
}
