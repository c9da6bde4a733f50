/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Back-off: how long to wait before the next attempt
 *
 * Doubles from least to greatest with each failure, and is drawn at random from its upper half, so
 * that a thousand bridges whose relay came back do not all knock at once. Pure.
 */

#include <stdint.h>

typedef struct Backoff {
        uint64_t least_usec;
        uint64_t greatest_usec;
        uint64_t next_usec; /* 0: no failure yet */
} Backoff;

/* After a failure: the time to wait. @random is any 64 random bits. */
uint64_t backoff_fail(Backoff *backoff, uint64_t random);
/* The failure is one that time alone does not mend: from here on the longest wait. */
void backoff_worst(Backoff *backoff);
/* It worked: the next failure counts as the first. */
void backoff_reset(Backoff *backoff);
