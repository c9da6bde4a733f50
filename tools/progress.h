/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Progress of a long transfer, for people
 *
 * One line on stderr, written over and over: bytes, rate, percent. Only if stderr is a terminal and
 * -q was not given, only from the second second on, at most five times a second. Whoever writes
 * another line to stderr clears this one first; fail() and its like do. What stays is the line at
 * the end.
 */

#include <stdint.h>

/* A transfer of @total bytes begins; 0: nobody knows how many. */
void progress_begin(uint64_t total);
/* So many bytes have arrived at the other side. */
void progress_update(uint64_t done);
/* All @done bytes have arrived: says so, with time and rate, if progress was shown by now;
 * with -v in any case. */
void progress_end(uint64_t done);
/* Until when the next update would show nothing, on CLOCK_MONOTONIC; USEC_NEVER: no progress. */
uint64_t progress_due(void);
void progress_clear(void);
