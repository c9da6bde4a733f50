/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Wants: what processes behind the links want of what is published on topics
 *
 * A bridge says what its processes want, and is told what those behind all other links want, from its
 * SYNCED on. Only processes that have a lease on that link can want anything here, and what they want
 * ends with the lease, or moves with it.
 *
 * What one bridge says may have to be told to hundreds, and not all of them read: so a link has no queue
 * of these words. It has a place in the table up to which it was told, and goes on when it has room. If
 * there was no room to tell that something ended, it is told all anew, between two words without a body.
 *
 * The barrier. A bridge that says PING with PING_ALL is answered when all others have what it said before.
 * Questions are numbered. Every other link that is synced is asked, behind the last it is to be told, with
 * a PING that stands for all questions so far; its PONG answers these, and the next PING goes out if there
 * are newer ones. So a link has one question and one PING on its way, however many ask, and a question has
 * no more to it than how many links it waits for. Who goes away is not waited for; who has no lease is, for
 * its first process may publish as soon as it has one. Who is late, having let two ticks pass, is not again
 * until it has earned it (libcore/patience.h): questions that come later have it asked, one PING in two
 * ticks, and do not count it.
 *
 * No I/O and no clock: words go out through WantsSay.
 */

#include <stdbool.h>
#include <stdint.h>

#include "libcore/control.h"
#include "libcore/patience.h"
#include "libcore/util.h"
#include "libcore/wants.h"

#define WANTS_MAX 65536
#define WANTS_ONE_MAX 1024 /* of one process */

typedef struct RelayWants RelayWants;
typedef struct RelayWant RelayWant;

/* One link's part; embedded in whoever owns the link. */
typedef struct WantsRoute WantsRoute;
struct WantsRoute {
        unsigned max, n;
        RelayWant *wants;
        bool is_synced;
        bool begins;     /* it is to be told all anew */
        bool is_listing; /* it is being told */
        const Want *at;  /* what it is told next; NULL: it knows all */

        uint64_t asks; /* the number of its own question; 0: none */
        PacketId asks_id;
        unsigned n_waiting; /* links that are to answer that; 0: PONG is to be said */
        bool is_so;         /* those that did said that all have it */

        uint64_t needed;   /* others' last question to it */
        uint64_t heard;    /* nobody waits for it with a question up to this */
        uint64_t probe;    /* its PING, not answered yet, stands for all up to this; 0: none */
        unsigned n_ticks;  /* that others have waited for it, or would if it were not late */
        Patience patience; /* theirs with it */

        WantsRoute *prev, *next;
};

/*
 * @id: NULL for a word that nobody answers. Return: false if there is no room now: relay_wants_feed()
 * follows. It must not close anything.
 */
typedef bool (*WantsSay)(WantsRoute *route, const Control *word, const PacketId *id);

/* Return: 0 or -ENOMEM. */
int relay_wants_new(RelayWants **ret, WantsSay say);
/* All routes must be closed. Accepts NULL, returns NULL. */
RelayWants *relay_wants_free(RelayWants *wants);

void relay_wants_open_route(RelayWants *wants, WantsRoute *route, unsigned max);
/* The link is over, and with it what its processes wanted; they may come back. */
void relay_wants_close_route(RelayWants *wants, WantsRoute *route);
/* The link is to be told what others want. */
void relay_wants_sync(RelayWants *wants, WantsRoute *route);
/* It has room again. */
void relay_wants_feed(RelayWants *wants, WantsRoute *route);
/*
 * Every second or so: has it room, is it late? @is_read: or its answer may have come, and we do not look:
 * nobody waits longer for that, but it is not its fault.
 */
void relay_wants_tick(RelayWants *wants, WantsRoute *route, bool is_read);

/*
 * A PING with PING_ALL, and @id, came by it: PONG follows.
 * Return: false if the one before is not answered yet: nothing follows to this one.
 */
bool relay_wants_ask(RelayWants *wants, WantsRoute *route, const PacketId *id);
/* A PONG came by it, to whichever PING. */
void relay_wants_answer(RelayWants *wants, WantsRoute *route, const Control *pong);

/*
 * Somebody behind @route, who has a lease there, wants something, or does not any more; @word is a
 * WANTED that names its own pattern, or, to end, all.
 * Return: 0, WANTS_E_HELD (nothing changes), WANTS_E_FULL, WANTS_E_KEY, -ENOMEM.
 */
int relay_wants_put(RelayWants *wants, WantsRoute *route, const Control *word);
/* Its lease is over, or, with @route, is on that link now: what it wanted behind another one is over. */
void relay_wants_drop(RelayWants *wants, Address address, const WantsRoute *route);
/* Calls @is_leased for each process, and drops those for which it says no; now and then. */
void relay_wants_sweep(RelayWants *wants,
                       bool (*is_leased)(Address address, const WantsRoute *route, void *userdata),
                       void *userdata);

size_t relay_wants_size(const RelayWants *wants);
