/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Heartbeat: whether a link still lives, and how long its round trip is
 *
 * A PING is due every interval, and a link that was asked and has let two intervals pass without a
 * word, of whatever kind, is dead. The first PING is due at once: it measures the round trip by
 * which links are chosen. Whoever is called much later than he asked to be was asleep (the clock
 * counts suspends), and cannot blame the link: it is asked again and has one interval to answer. As
 * long as a PING stands behind what was sent before it, and the other end takes of that, the silence
 * is the network's, which is slow.
 *
 * Pure: time is an argument (CLOCK_BOOTTIME, never 0).
 */

#include <stdbool.h>
#include <stdint.h>

#include "libcore/util.h"

#define HEARTBEAT_DEFAULT_USEC (5 * USEC_PER_SEC)
#define HEARTBEAT_LEAST_USEC (100 * USEC_PER_MSEC)
#define HEARTBEAT_GREATEST_USEC (5 * 60 * USEC_PER_SEC)

typedef enum HeartbeatAction {
        HEARTBEAT_WAIT,
        HEARTBEAT_PING, /* send one now, with the number heartbeat_check() gave */
        HEARTBEAT_DEAD,
} HeartbeatAction;

typedef struct Heartbeat {
        uint64_t interval_usec;
        uint64_t heard_usec;
        uint64_t pinged_usec;     /* when the last PING went out; 0: none yet */
        uint64_t number;          /* of that PING */
        bool asked;               /* one went out since we heard something */
        bool answered;            /* the last one was */
        uint64_t round_trip_usec; /* smoothed; 0: not measured yet */
        uint64_t taken, waiting;  /* bytes, as of the last heartbeat_moved() */
        uint64_t arrived_at;      /* so many are taken when the PING that is open has arrived */
} Heartbeat;

/* The link has just come up. */
void heartbeat_start(Heartbeat *heartbeat, uint64_t interval_usec, uint64_t now_usec);
/* Nobody knows whether it still lives: it is asked at once, and has one interval to answer. */
void heartbeat_doubt(Heartbeat *heartbeat, uint64_t now_usec);
/* Something came in. */
void heartbeat_heard(Heartbeat *heartbeat, uint64_t now_usec);
/* PONG with @number came in; one that answers no open PING measures nothing. */
void heartbeat_pong(Heartbeat *heartbeat, uint64_t number, uint64_t now_usec);
/*
 * The other end's kernel has taken @taken bytes of this link, and @waiting are on their way; to be
 * said before heartbeat_check(). 0 and 0: nobody knows.
 */
void heartbeat_moved(Heartbeat *heartbeat, uint64_t taken, uint64_t waiting, uint64_t now_usec);
/* What is to be done now; HEARTBEAT_PING counts as done. */
HeartbeatAction heartbeat_check(Heartbeat *heartbeat, uint64_t now_usec, uint64_t *ret_number);
/* When heartbeat_check() has something to say. */
uint64_t heartbeat_deadline(const Heartbeat *heartbeat);
