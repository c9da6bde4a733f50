/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Monitors: processes that watch packets go by
 *
 * A monitor gets copies, lossily: one that does not read slows nobody, it loses packets, which is
 * counted. Everybody is told when the first one comes and when the last one goes, and whether any
 * may see payloads.
 *
 * What two processes say through their ring the daemon never sees. While somebody watches, the
 * sender shows it, as a packet that it would have been; whether that is true only the sender knows.
 */

#include <stdint.h>

#include "libcore/control.h"

typedef struct Manager Manager;
typedef struct Peer Peer;

typedef struct Monitor Monitor;
struct Monitor {
        Monitor *prev, *next;
        Peer *peer;
        uint32_t asked;  /* MONITOR_HEADERS, MONITOR_FULL */
        uint32_t level;  /* the same, as far as policy allows */
        Address address; /* only packets from or to it; PID_NONE: all */
};

typedef struct Monitors {
        Monitor *list;
        unsigned n, n_full; /* n_full: of these, who may see payloads */
} Monitors;

/* Handles MONITOR. @ret_level: what was granted. Return: what to answer; CODE_OK. */
ControlCode monitor_set(Peer *peer, uint32_t level, Address address, uint32_t *ret_level);
void monitor_remove(Peer *peer);
/* By a policy that is new: it sees what it may see now of what it has asked for. */
void monitor_reevaluate(Peer *peer);
/* Shows @packet, as it goes to its receiver, to everybody who watches. */
void monitor_show(Manager *manager, const uint8_t *packet, size_t size);
/*
 * Handles RING_TAP: shows what @from says of its ring. What it says of a ring that is over, or not
 * yet made, is dropped and counted. Return: CODE_OK; CODE_VIOLATION: no version of us says this.
 */
ControlCode monitor_tap(Peer *from, const Control *word);
