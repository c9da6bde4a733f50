/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What forward.c, registrations.c, questions.c and barrier.c of a Forward see of it, and of each other
 */

#include "bridge/forward.h"
#include "bridge/leases.h"
#include "bridge/lookups.h"
#include "bridge/relay-lists.h"
#include "bridge/routes.h"
#include "bridge/services.h"
#include "bridge/wants.h"
#include "libcore/patience.h"

static const Address to_daemon = { .pid = PID_DAEMON };
static const Address to_relay = { .pid = PID_RELAY };

/* For a link's PONG: a relay has up to 2 seconds for its own, who subscribes goes on after 3. */
#define BARRIER_USEC (2500 * USEC_PER_MSEC)

/* What a link is asked (barrier.c). */
typedef struct BarrierNear {
        Patience patience;
        PacketId id;         /* of our PING on its way */
        uint64_t until_usec; /* till when its answer is in time; 0: there is none */
} BarrierNear;

/* What it asks the daemon. */
typedef struct BarrierFar {
        bool asks;
        bool is_passed_on; /* or it waits for the daemon's SYNCED */
        PacketId ref;      /* of its PING */
        PacketId id;       /* of ours */
} BarrierFar;

/* What the daemon asks the links, and they ask it. */
typedef struct Barrier {
        uint64_t n_asked;       /* PINGs of ours, by which they are numbered */
        uint64_t deadline_usec; /* of the daemon's question; USEC_NEVER: there is none */
        PacketId ref;           /* of its PING */
        uint32_t waiting;       /* links that have not answered theirs */
        bool is_so;             /* those that did said that all have it */
        BarrierNear near[ROUTES_LINKS_MAX];
        BarrierFar far[ROUTES_LINKS_MAX];
} Barrier;

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
        Barrier barrier;
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

/* Whether all have what was said before (barrier.c): PINGs with PING_ALL, and their answers */
void barrier_on_daemon_ping(Forward *forward, const PacketHeader *header);
void barrier_on_link_pong(Forward *forward, const Uplink *uplink, const Control *control);
void barrier_on_link_synced(Forward *forward, const Uplink *uplink);
/* Answers the daemon if its time is over. */
void barrier_tick(Forward *forward, uint64_t now_usec);
void barrier_on_link_ping(Forward *forward, const Uplink *uplink, const PacketHeader *header);
void barrier_on_daemon_synced(Forward *forward);
/* A PONG or ERROR. Return: false if it is the answer to no PING of ours. */
bool barrier_on_daemon_answer(Forward *forward, const Control *control);
void barrier_forget_link(Forward *forward, unsigned slot);
void barrier_forget_daemon(Forward *forward);
