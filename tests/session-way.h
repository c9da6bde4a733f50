/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * The simulated way between two sessions
 *
 * Chance comes from a seed, time from the caller. A Way is one direction: a queue in front of a link
 * of some rate, which drops what it cannot hold and marks packets when it is a quarter full, then a
 * delay, the same for all or not. It may lose single packets, several in a row, or all for a while.
 * The Air holds what is under way, in both directions.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/packet.h"

#define AIR_MAX 4096

typedef struct Chance {
        uint64_t state;
} Chance;

uint64_t chance_u64(Chance *chance);
/* 0 to @n - 1; 0 if @n is 0. */
uint64_t chance_below(Chance *chance, uint64_t n);
bool chance_happens(Chance *chance, unsigned per_mille);

typedef struct Way {
        uint64_t rate; /* bytes a second; 0: no queue */
        uint64_t queue_max;
        bool marks;
        uint64_t delay_usec;
        uint64_t jitter_usec;
        unsigned loss;   /* per mille */
        unsigned bursts; /* per mille: so many packets begin a row of up to 16 that are lost */

        uint64_t dark_from, dark_until; /* in between it lets nothing through */
        uint64_t idle_at;               /* when the link has sent what it has */
        unsigned burst_left;
        uint64_t n_lost, n_dropped, n_marked; /* dropped: by the queue */
} Way;

typedef enum WayFate {
        WAY_CARRIES,
        WAY_LOSES,
        WAY_DROPS,
} WayFate;

/* A packet of @n bytes enters now; @ret_due: when it comes out. */
WayFate way_carry(Way *way, Chance *chance, uint64_t now_usec, size_t n, uint64_t *ret_due,
                  bool *ret_is_marked);

typedef struct Flying {
        uint8_t *bytes;
        size_t n;
        unsigned from; /* side */
        unsigned life; /* of who sent it */
        bool is_marked;
        uint64_t due, number;

        PacketId id;
        unsigned serial; /* the same of all its doubles */
        bool is_local;
        unsigned word; /* it is what is said of a packet of the other side, in that @life; 0: it is one */
        uint16_t code;
} Flying;

typedef struct Air {
        Flying flying[AIR_MAX];
        unsigned n;
        uint64_t n_packets;
} Air;

/* Copies @packet and its bytes. Return: false: there are too many, or no memory. */
bool air_launch(Air *air, const Flying *packet);
/* The one that comes next, of equals the older, if it is due: its bytes are the caller's. */
bool air_land(Air *air, uint64_t now_usec, Flying *ret);
/* When; UINT64_MAX: never. */
uint64_t air_due(const Air *air);
void air_drop(Air *air, unsigned i);
void air_clear(Air *air);
