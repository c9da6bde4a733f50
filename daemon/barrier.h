/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Barrier: who waits until other hosts have heard what it subscribed to
 *
 * A process that asks so, with PING, is answered when the gateway has answered the same: behind what the
 * process said before, its lease first, since what it wants is said behind that. The gateway is asked one
 * thing at a time, and all who ask meanwhile share the next one.
 *
 * Each is answered: also after BARRIER_USEC, or because the gateway left. A gateway that did not answer in
 * time, since it is of before this was made, or hangs, is not waited for until it does.
 */

#include <stdbool.h>
#include <stdint.h>

#include "libcore/control.h"
#include "libcore/util.h"

#define BARRIER_USEC (3 * USEC_PER_SEC)

typedef struct Manager Manager;
typedef struct Peer Peer;
typedef struct BarrierAsker BarrierAsker;

typedef struct Barrier {
        BarrierAsker *askers; /* oldest first */
        bool is_asked;        /* the gateway; its answer is to come */
        bool is_late;         /* and was not there in time */
        PacketId id;          /* of that question */
        uint64_t until_usec;  /* when it is late */
} Barrier;

/* @peer asks, in the packet @id. Return: CODE_OK: it is answered, or will be; CODE_QUOTA, CODE_OVERLOAD. */
ControlCode barrier_ask(Peer *peer, const PacketId *id);
/* What processes with a lease wait for can be asked: one was just given to the gateway. */
void barrier_go(Manager *manager);
/* PONG of the gateway. */
void barrier_on_pong(Manager *manager, const Control *word);
/* @peer waits no longer. */
void barrier_leave(Peer *peer);
/* The gateway left. */
void barrier_end(Manager *manager);
void barrier_on_time(Manager *manager);
