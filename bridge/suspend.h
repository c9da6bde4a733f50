/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Suspend: tells that the machine was asleep, as soon as it is awake
 *
 * CLOCK_MONOTONIC stands still meanwhile and CLOCK_BOOTTIME does not: the difference is how long.
 * The moment comes from the kernel, which sets the wall clock at each resume and cancels the timers
 * that ask for that; no timer of ours need be due.
 */

#include <stdint.h>
#include <systemd/sd-event.h>

#include "libcore/util.h"

#define SUSPEND_LEAST_USEC (500 * USEC_PER_MSEC) /* nobody notices less */

typedef struct Suspend Suspend;

/* Return: 0 or -errno; without such timers -errno of the kernel. */
int suspend_new(Suspend **ret, sd_event *event,
                void (*on_resume)(uint64_t asleep_usec, void *userdata), void *userdata);
/* Accepts NULL, returns NULL. */
Suspend *suspend_free(Suspend *suspend);
DEFINE_CLEANUP(Suspend, suspend_free)

/*
 * How long the machine was asleep since the last call; 0: not that anybody noticed. @offset_usec is
 * what it remembers, 0 before the first call. Pure.
 */
uint64_t suspend_measure(uint64_t *offset_usec, uint64_t boottime_usec, uint64_t monotonic_usec);
