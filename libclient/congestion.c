/* SPDX-License-Identifier: Apache-2.0 */

#include "libclient/congestion.h"

#include "libcore/util.h"

void congestion_init(Congestion *congestion) {
        *congestion = (Congestion){
                .window = CONGESTION_WINDOW_FIRST,
                .threshold = UINT64_MAX,
        };
}

void congestion_on_ack(Congestion *congestion, uint64_t bytes, uint64_t in_flight) {
        if (in_flight < congestion->window / 2)
                return;
        if (congestion->window < congestion->threshold) {
                congestion->window += bytes;
                return;
        }
        congestion->acked += bytes;
        if (congestion->acked >= congestion->window) {
                congestion->acked -= congestion->window;
                congestion->window += CONGESTION_PACKET;
        }
}

bool congestion_on_loss(Congestion *congestion, uint64_t packet, uint64_t last) {
        if (congestion_is_recovering(congestion, packet))
                return false;
        congestion->recovery = last;
        congestion->window = MAX(congestion->window / 2, (uint64_t)CONGESTION_WINDOW_MIN);
        congestion->threshold = congestion->window;
        congestion->acked = 0;
        return true;
}

void congestion_on_persistence(Congestion *congestion) {
        congestion->window = CONGESTION_WINDOW_MIN;
        congestion->recovery = 0;
        congestion->acked = 0;
}

void congestion_on_idle(Congestion *congestion) {
        congestion->window = MIN(congestion->window, (uint64_t)CONGESTION_WINDOW_FIRST);
        congestion->acked = 0;
}
