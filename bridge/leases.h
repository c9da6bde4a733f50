/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Leases: the processes of this host that may be carried, and which links know them
 *
 * The daemon hands them over, already verified, at attach and whenever one is signed anew; each
 * link gets all of them that it may know before anything else. Links are slots, as in bridge/routes.h.
 *
 * When the daemon goes away its processes live on and come back with it, so their leases stay; but
 * those that it has not handed over again after a while belong to processes that are no more.
 *
 * Through which relays a process may be known and send is a part of its lease here, though not of its bytes.
 *
 * Pure: no I/O, time is an argument (wall clock, since a lease's end is one).
 */

#include <stdbool.h>
#include <stdint.h>

#include "bridge/relay-lists.h"
#include "libcore/control.h"
#include "libcore/pid.h"
#include "libcore/util.h"

#define LEASES_MAX 16384

typedef struct Leases Leases;
typedef struct Lease Lease;

struct Lease {
        Address address;
        uint8_t bytes[CONTROL_LEASE_SIZE];
        uint64_t issued_usec;
        uint64_t not_after_usec;
        uint32_t leased;   /* links that have confirmed it */
        RelayList *relays; /* that it may use; NULL: all */
        int chosen;        /* if not all: by which it sent last (routes_choose()), or -1 */
        bool confirmed;    /* by the daemon that we are attached to now */
        bool is_renewed;   /* there was an earlier one of this process */
        Lease *prev, *next;
};

enum {
        _LEASES_E_SUCCESS,

        LEASES_E_MALFORMED, /* not a lease */
        LEASES_E_HELD,      /* the same one, or an older one than we have */
        LEASES_E_FULL,
};

/* Return: 0 or -ENOMEM. */
int leases_new(Leases **ret, unsigned leases_max);
Leases *leases_free(Leases *leases);
DEFINE_CLEANUP(Leases, leases_free)

/*
 * Takes over one. A new one replaces the one before of the same process, and no link has
 * confirmed it. Leases that are over are dropped on the way.
 * Return: 0, LEASES_E_MALFORMED, LEASES_E_HELD (it counts as confirmed again), LEASES_E_FULL,
 * -ENOMEM; *@ret is the lease after 0 and LEASES_E_HELD, untouched otherwise.
 */
int leases_put(Leases *leases, const uint8_t bytes[static CONTROL_LEASE_SIZE], uint64_t now_usec,
               Lease **ret);
/* NULL if there is none, or if it is over. */
Lease *leases_find(Leases *leases, Address address, uint64_t now_usec);
/*
 * Links that may bring something for @address: those of the process; if none has just this one, those of one
 * that has its PID, for that it has another TAG says that it is here; if there is none, all.
 */
uint32_t leases_links_to(const Leases *leases, Address address);
/* The process may use these relays from now on; the reference is the lease's. NULL: all. */
void lease_set_relays(Lease *lease, RelayList *relays);
/* The process has left. */
void leases_drop(Leases *leases, Lease *lease);

/*
 * The links that the process may use, be they up or not: nothing else decides where it is known, where it
 * sends and asks, and from where it is sent to.
 */
static inline uint32_t lease_links(const Lease *lease) {
        return relay_list_links(lease->relays);
}

/* All of them, for DL_FOREACH(). */
Lease *leases_first(Leases *leases);

/* The daemon is gone: nothing counts as confirmed any more. */
void leases_unconfirm(Leases *leases);
