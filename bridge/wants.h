/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Wants: who on this host wants what is published on topics, and who elsewhere
 *
 * The daemon says what its processes with a lease want; each link hears it behind their leases. What a
 * relay says of the processes behind its other links the daemon hears once, however many relays say it,
 * and hears that it ended when none of them says so any more. What only got lost with a link is told as
 * such: CODE_SETTLING.
 *
 * A relay that had to leave words out begins anew: WANTED without a body, all that is wanted, and
 * WANTED without a body again. What it did not repeat in between is over.
 *
 * No I/O and no clock: words go out through WantsHandlers. Links are slots, as in bridge/routes.h.
 */

#include <stdbool.h>
#include <stdint.h>

#include "libcore/control.h"
#include "libcore/util.h"
#include "libcore/wants.h"

#define WANTS_MAX 16384 /* of this host; as many of others */
#define WANTS_ONE_MAX 1024

typedef struct Wants Wants;

typedef struct WantsHandlers {
        void (*say_daemon)(const Control *word, void *userdata);
        /* To all links that take leases, and may know the process. */
        void (*say_links)(const Control *word, void *userdata);
        void (*say_link)(unsigned slot, const Control *word, void *userdata);
} WantsHandlers;

/* Return: 0 or -ENOMEM. */
int wants_new(Wants **ret, const WantsHandlers *handlers, void *userdata);
Wants *wants_free(Wants *wants);
DEFINE_CLEANUP(Wants, wants_free)

/* A WANTED of the daemon's, about a process that has a lease. Return: whether something new is wanted. */
bool wants_on_daemon(Wants *wants, const Control *word);
/* The process has left. */
void wants_on_detached(Wants *wants, Address address);
/* The daemon has gone; what it does not say again before wants_purge() is over. */
void wants_unconfirm(Wants *wants);
void wants_purge(Wants *wants);
/* The daemon is there (again): it hears of all that is wanted elsewhere. */
void wants_tell_daemon(Wants *wants);

/* The link has the lease of this process now: it hears of all that the process wants. */
void wants_present(Wants *wants, unsigned slot, Address address);
/* The link may know nothing of this process any more: it hears that it wants nothing. */
void wants_withdraw(Wants *wants, unsigned slot, Address address);
/* A WANTED of the relay. Return: false if it is malformed. */
bool wants_on_link(Wants *wants, unsigned slot, const Control *word);
void wants_forget_link(Wants *wants, unsigned slot);
