/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * SessionProbe: when a session asks its peer whether it is there, and what came
 *
 * A probe is an ACK that wants an ACK. Local paths lose nothing while their generation lasts, so
 * there it only asks whether the peer still lives; but when its answer shows that records are
 * missing, they are missing on any path. Off-host a record goes with it, which is taken for the one
 * that is missing, and whose arrival shows what else is (flight.h): RFC 9002's probe timeout.
 */

#include "libcore/util.h"

typedef struct SessionProbe {
        bool is_due;     /* the next packet asks */
        bool is_asked;   /* and was not answered */
        bool with_one;   /* one record goes with it */
        bool for_life;   /* the last asked for a sign of life: nothing was missing */
        bool maybe_lost; /* somebody on the way refused something, which is to be asked for */
        uint64_t at;     /* when to ask; USEC_NEVER: there is no reason to */
        uint64_t wait;   /* from one to the next; 0: the first */
} SessionProbe;

void session_probe_init(SessionProbe *probe);
/* @first_wait is for what there is to ask now; @sooner: it may come before what was reason so far. */
void session_probe_arm(SessionProbe *probe, uint64_t first_wait, bool sooner, uint64_t now_usec);
/*
 * The peer is there and goes on; arm it again. @keep_wait: perhaps it was only slow, and we asked too
 * soon; until it is known for how long to wait, that stays (Karn).
 */
void session_probe_calm(SessionProbe *probe, bool keep_wait);
/* It is time: ask now, and not at @at, and wait twice as long for the next. */
void session_probe_ask(SessionProbe *probe, bool with_one, uint64_t now_usec);
/* Something was refused: ask after @wait. */
void session_probe_doubt(SessionProbe *probe, uint64_t wait, uint64_t now_usec);
/* Return: whether what is missing, is so for certain: the peer has answered. */
static inline bool session_probe_answered(SessionProbe *probe) {
        bool was_asked = probe->is_asked;

        probe->is_asked = false;
        return was_asked;
}
