/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/session-way.h"

#include "libcore/util.h"

#define BURST_MAX 16

uint64_t chance_u64(Chance *chance) {
        uint64_t z = chance->state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

uint64_t chance_below(Chance *chance, uint64_t n) {
        return n > 0 ? chance_u64(chance) % n : 0;
}

bool chance_happens(Chance *chance, unsigned per_mille) {
        return chance_below(chance, 1000) < per_mille;
}

static bool loses(Way *way, Chance *chance, uint64_t now_usec) {
        if (now_usec >= way->dark_from && now_usec < way->dark_until)
                return true;
        if (way->burst_left > 0) {
                way->burst_left--;
                return true;
        }
        if (way->bursts > 0 && chance_happens(chance, way->bursts))
                way->burst_left = (unsigned)chance_below(chance, BURST_MAX);
        return chance_happens(chance, way->loss);
}

WayFate way_carry(Way *way, Chance *chance, uint64_t now_usec, size_t n, uint64_t *ret_due,
                  bool *ret_is_marked) {
        uint64_t due = now_usec;

        *ret_is_marked = false;
        if (way->rate > 0) {
                uint64_t wait = way->idle_at > now_usec ? way->idle_at - now_usec : 0;
                uint64_t queued = wait * way->rate / USEC_PER_SEC;

                if (queued > 0 && queued + n > way->queue_max) {
                        way->n_dropped++;
                        return WAY_DROPS;
                }
                *ret_is_marked = way->marks && queued + n > way->queue_max / 4;
                due = way->idle_at = now_usec + wait + n * USEC_PER_SEC / way->rate;
        }
        if (loses(way, chance, now_usec)) {
                way->n_lost++;
                return WAY_LOSES;
        }
        way->n_marked += *ret_is_marked;
        *ret_due = due + way->delay_usec + chance_below(chance, way->jitter_usec);
        return WAY_CARRIES;
}

bool air_launch(Air *air, const Flying *packet) {
        Flying *flying = &air->flying[air->n];

        if (air->n == AIR_MAX)
                return false;
        *flying = *packet;
        flying->number = air->n_packets++;
        flying->bytes = malloc(packet->n);
        if (!flying->bytes)
                return false;
        memcpy(flying->bytes, packet->bytes, packet->n);
        air->n++;
        return true;
}

bool air_land(Air *air, uint64_t now_usec, Flying *ret) {
        const Flying *best = NULL;

        for (unsigned i = 0; i < air->n; i++) {
                const Flying *f = &air->flying[i];

                if (f->due <= now_usec && (!best || f->due < best->due ||
                                           (f->due == best->due && f->number < best->number)))
                        best = f;
        }
        if (!best)
                return false;
        *ret = *best;
        air->flying[best - air->flying] = air->flying[--air->n];
        return true;
}

uint64_t air_due(const Air *air) {
        uint64_t due = UINT64_MAX;

        for (unsigned i = 0; i < air->n; i++)
                due = MIN(due, air->flying[i].due);
        return due;
}

void air_drop(Air *air, unsigned i) {
        free(air->flying[i].bytes);
        air->flying[i] = air->flying[--air->n];
}

void air_clear(Air *air) {
        while (air->n > 0)
                air_drop(air, 0);
}
