/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Timers: things to do at a time, a heap of them
 *
 * No clock and no loop: the owner asks when the first is due and pops those that are. A Timer is
 * embedded in what it is for; its zero state is "not set".
 */

#include <stddef.h>
#include <stdint.h>

#include "libcore/util.h"

typedef struct Timer Timer;
typedef struct Timers Timers;

struct Timer {
        uint64_t due_usec;
        size_t at; /* place in the heap, counted from 1; 0: not set */
        void (*on_due)(Timer *timer, uint64_t now_usec); /* it is no longer set then */
};

struct Timers {
        Timer **heap;
        size_t n, n_max;
};

/* Sets, moves, or with USEC_NEVER clears. Return: 0 or -ENOMEM, which leaves it as it was. */
int timer_set(Timers *timers, Timer *timer, uint64_t due_usec);
/* Never fails. */
void timer_clear(Timers *timers, Timer *timer);
/* When the first is due; USEC_NEVER if there is none. */
uint64_t timers_due(const Timers *timers);
/* Takes out the first if it is due at @now_usec, else NULL. */
Timer *timers_pop(Timers *timers, uint64_t now_usec);
/* All of them are cleared by now. */
void timers_done(Timers *timers);
