/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/heartbeat.h"

void heartbeat_start(Heartbeat *h, uint64_t interval_usec, uint64_t now_usec) {
        *h = (Heartbeat){
                .interval_usec = interval_usec,
                .heard_usec = now_usec,
                .number = h->number, /* an answer of the life before must not fit */
        };
}

void heartbeat_doubt(Heartbeat *h, uint64_t now_usec) {
        h->heard_usec = now_usec - h->interval_usec;
        h->asked = false;
        h->pinged_usec = 0;
}

void heartbeat_heard(Heartbeat *h, uint64_t now_usec) {
        h->heard_usec = now_usec;
        h->asked = false;
}

void heartbeat_pong(Heartbeat *h, uint64_t number, uint64_t now_usec) {
        uint64_t sample;

        if (number != h->number || h->pinged_usec == 0 || h->answered)
                return;

        h->answered = true;
        sample = MAX(now_usec - h->pinged_usec, UINT64_C(1));
        if (h->round_trip_usec == 0)
                h->round_trip_usec = sample;
        else
                h->round_trip_usec = (7 * h->round_trip_usec + sample) / 8;
}

static uint64_t dead_at(const Heartbeat *h) {
        return h->asked ? h->heard_usec + 2 * h->interval_usec : USEC_NEVER;
}

static uint64_t ping_at(const Heartbeat *h) {
        return h->pinged_usec == 0 ? h->heard_usec : h->pinged_usec + h->interval_usec;
}

void heartbeat_moved(Heartbeat *h, uint64_t taken, uint64_t waiting, uint64_t now_usec) {
        if (h->asked && taken != h->taken && taken < h->arrived_at)
                h->heard_usec = MAX(h->heard_usec, now_usec - h->interval_usec);
        h->taken = taken;
        h->waiting = waiting;
}

HeartbeatAction heartbeat_check(Heartbeat *h, uint64_t now_usec, uint64_t *ret_number) {
        uint64_t deadline = heartbeat_deadline(h);

        if (now_usec < deadline)
                return HEARTBEAT_WAIT;
        if (now_usec - deadline > h->interval_usec / 2)
                h->heard_usec = now_usec - h->interval_usec; /* we slept */
        else if (now_usec >= dead_at(h))
                return HEARTBEAT_DEAD;

        if (!h->asked)
                h->arrived_at = h->taken + h->waiting;
        h->pinged_usec = now_usec;
        h->asked = true;
        h->answered = false;
        *ret_number = ++h->number;
        return HEARTBEAT_PING;
}

uint64_t heartbeat_deadline(const Heartbeat *h) {
        return MIN(ping_at(h), dead_at(h));
}
