/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What moves a handle: reading, timers, and waiting for them (libclient/bus.h, "Waiting")
 */

#include "libclient/bus.h"

/* Return: 0, -errno. */
int loop_init(p2pbus *bus);
void loop_done(p2pbus *bus);
/* The connection was made, its wishes may have changed, or it is about to be freed. */
int loop_watch(p2pbus *bus, int fd);
void loop_unwatch(p2pbus *bus, int fd);
void loop_update(p2pbus *bus);
/* The bell of a ring, whose RingPath is @ring. Return: 0, -errno. */
int loop_watch_bell(p2pbus *bus, int fd, RingPath *ring);
void loop_unwatch_bell(p2pbus *bus, int fd);

void loop_read_clock(p2pbus *bus);
/* When the handle wants to be moved again. */
uint64_t loop_due(const p2pbus *bus);
/* Produces, pops and reports for all dirty peers; writes if there is enough, or if @now. */
void loop_send(p2pbus *bus, bool now);
/* Reads, runs timers, sends. Never waits. */
void loop_work(p2pbus *bus);
/* Reads what is there, unless that was done a moment ago. Never waits. */
void loop_catch_up(p2pbus *bus);
/* Wakes those who wait for something that has happened, or would wait too long. */
void loop_tell(p2pbus *bus);
/*
 * Waits until something may have happened, at most until @until_usec; unlocks meanwhile. Runs
 * callbacks. To be called in a loop over the caller's condition.
 * Return: 0; -ETIMEDOUT: it is @until_usec; -ENOTCONN, noted: the handle has ended.
 */
int loop_wait(p2pbus *bus, uint64_t until_usec);
