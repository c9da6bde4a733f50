/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What forward.c, registrations.c and questions.c of a Forward see of it, and of each other
 */

#include "bridge/forward.h"
#include "bridge/leases.h"
#include "bridge/lookups.h"
#include "bridge/relay-lists.h"
#include "bridge/routes.h"
#include "bridge/services.h"
#include "bridge/wants.h"

static const Address to_daemon = { .pid = PID_DAEMON };
static const Address to_relay = { .pid = PID_RELAY };

struct Forward {
        const Log *log;
        ParcelPool *pool;
        Gateway *gateway;
        Uplink *uplinks[ROUTES_LINKS_MAX];
        uint64_t carried_usec[ROUTES_LINKS_MAX]; /* when a packet last went there; 0: never */

        Leases *leases;
        Routes *routes;
        Lookups *lookups;
        Wants *wants;
        Lookups *name_lookups;
        Services *services;
        RelayLists *relay_lists;
        RelayList *next_relays; /* what RELAYS said of the LEASE that follows; or NULL */
        Address next_relays_of;

        bool daemon_synced;                   /* it has handed over all its leases */
        uint64_t purge_usec;                  /* when leases it did not confirm are dropped */
        bool said_synced;                     /* to the daemon */
        uint32_t links_synced;                /* links to which we have said SYNCED */
        uint32_t generation;                  /* of the paths */
        uint64_t told_usec[ROUTES_LINKS_MAX]; /* the round trips that the daemon knows */
        bool lost;                            /* the last link died, and none came back since */
        bool resting;         /* the links were closed, for there was nothing to carry */
        uint64_t idle_usec;   /* how long that takes; USEC_NEVER: for ever */
        uint64_t active_usec; /* when there was */
        uint64_t look_usec;   /* when to look whether there was */
        bool paused;
        LogRate refusals;
        ForwardCounters counters;
};

static inline uint64_t forward_clock_usec(void) {
        return now_usec(CLOCK_BOOTTIME);
}

/* Links, a bit each: those that are up, or of which @is holds. */
uint32_t forward_links_where(const Forward *forward, bool (*is)(const Uplink *uplink));
uint32_t forward_links_up(const Forward *forward);
/* Links that the process with this address may use, be they up or not: none if it has no lease. */
uint32_t forward_links_of(const Forward *forward, Address address);
/* Why nobody can be reached if none of @links is up: one may come, or none is configured. */
uint16_t forward_no_link(const Forward *forward, uint32_t links);

/* What the processes of this host say of themselves (registrations.c) */
extern const WantsHandlers registrations_wants;
void registrations_on_relays(Forward *forward, const Control *control);
void registrations_on_lease(Forward *forward, const Control *control);
void registrations_on_wanted(Forward *forward, const Control *control);
void registrations_on_service(Forward *forward, const Control *control);
void registrations_on_synced(Forward *forward);
void registrations_on_detached(Forward *forward, const Control *control);
/* A link is new: it is told all. */
void registrations_tell(Forward *forward, Uplink *uplink);
void registrations_say_services(Forward *forward, Uplink *uplink, Address address);
/* What a link says of a lease. */
void registrations_on_leased(Forward *forward, Uplink *uplink, const Control *control);
void registrations_say_leased(Forward *forward, const Lease *lease, uint16_t code);
/* Once in each attachment, as soon as every link that is up has judged our leases. */
void registrations_say_synced(Forward *forward);
/* Drops what the daemon has not confirmed. */
void registrations_purge(Forward *forward);

/* What they want to know of others (questions.c) */
void questions_ask(Forward *forward, const PacketHeader *header, const Control *control);
void questions_ask_name(Forward *forward, const PacketHeader *header, const Control *control);
void questions_on_resolved(Forward *forward, Uplink *uplink, const Control *control);
void questions_on_services(Forward *forward, Uplink *uplink, const Control *control);
/* Answers those whose time is over. */
void questions_tick(Forward *forward, uint64_t now_usec);
