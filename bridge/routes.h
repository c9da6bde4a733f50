/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Routes: through which links processes elsewhere are known
 *
 * Learnt from two things: a link's positive answer about a destination, and a packet that came
 * through it. Both are worth ROUTES_LIFE_USEC; nothing negative is remembered here. Links are
 * slots, 0 to ROUTES_LINKS_MAX - 1, and sets of them bit masks.
 *
 * Of the links that know a destination the one with the shortest round trip carries what goes
 * there, and stays so until another is clearly shorter: each change reorders what is under way, and
 * round trips wander.
 *
 * Pure: no I/O, time is an argument (CLOCK_BOOTTIME). Bounded: the address that was heard of
 * longest ago makes room.
 */

#include <stdint.h>

#include "libcore/pid.h"
#include "libcore/util.h"

#define ROUTES_LINKS_MAX 8
#define ROUTES_LIFE_USEC (2 * 60 * USEC_PER_SEC)
#define ROUTES_ENTRIES_MAX 16384
#define ROUTES_CLEARLY_USEC (2 * USEC_PER_MSEC) /* shorter, and by a quarter as well */

typedef struct Routes Routes;

typedef struct Route {
        uint32_t known; /* the links that knew the address */
        int last;       /* the one that said so last, or -1 */
} Route;

/* Return: 0 or -ENOMEM. */
int routes_new(Routes **ret, unsigned entries_max);
Routes *routes_free(Routes *routes);
DEFINE_CLEANUP(Routes, routes_free)

/* Link @slot knows @address. Without memory the table stays as it was: it only saves a search. */
void routes_learn(Routes *routes, Address address, unsigned slot, uint64_t now_usec);
/* Link @slot said that it does not know @address after all. */
void routes_forget(Routes *routes, Address address, unsigned slot);
/* Link @slot is gone, with all it knew. */
void routes_forget_link(Routes *routes, unsigned slot);

/* What is known; an empty mask and -1 if nothing is. */
Route routes_find(const Routes *routes, Address address, uint64_t now_usec);
/*
 * By which of @links a packet to @address goes: of those that know it, or, if none does, of all.
 * @round_trip_usec is theirs, by slot; USEC_NEVER: not measured. @chosen: the last choice of a sender that
 * may not use all, or -1, and then this one; NULL: it is kept here. Return: the slot, -1 without links.
 */
int routes_choose(Routes *routes, Address address, uint32_t links,
                  const uint64_t round_trip_usec[static ROUTES_LINKS_MAX], uint64_t now_usec,
                  int *chosen);
unsigned routes_count(const Routes *routes);
