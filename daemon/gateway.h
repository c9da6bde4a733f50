/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * The gateway: the one process that takes packets for other hosts
 *
 * The daemon asks it who is elsewhere, hands it the leases of this host's processes, and passes
 * its news on. Questions that wait for it are counted and bounded; each is answered, by the
 * gateway, by a time-out, or because the gateway left. Leases it answers with are verified here
 * and kept for a short while.
 */

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "libcore/control.h"

#define GATEWAY_WAITERS_MAX 65536 /* in all */
#define GATEWAY_CACHE_MAX 4096
#define GATEWAY_CACHE_USEC (30 * USEC_PER_SEC)
#define GATEWAY_ANSWER_USEC (10 * USEC_PER_SEC)

typedef struct Manager Manager;
typedef struct Peer Peer;
typedef struct Pending Pending;
typedef struct CachedLease CachedLease;

/* One process that waits for one answer. */
typedef struct Waiter Waiter;
struct Waiter {
        Pending *pending;
        Peer *peer;
        Waiter *prev, *next;           /* of the same question */
        Waiter *prev_peer, *next_peer; /* of the same process */
        PacketId ref;
        bool is_question; /* RESOLVE, else a packet that was not delivered */
};

/* One link of the gateway, as it says. */
typedef struct GatewayLink {
        char url[CONTROL_LINK_URL_MAX + 1]; /* empty: there is none */
        bool is_up;
        uint64_t round_trip_usec; /* USEC_NEVER: not measured */
} GatewayLink;

typedef struct Gateway {
        Peer *peer;    /* NULL: none */
        bool synced;   /* it has heard from all its links */
        bool was_here; /* at some time of this life */
        bool expected; /* at some time of the life before */
        uint32_t links_up, links_configured;
        GatewayLink links[CONTROL_LINKS_MAX];
        Pending *by_id;
        Pending *by_key;
        unsigned n_waiters;
        CachedLease *cache; /* oldest first */
        unsigned n_own;     /* questions and leases that are one process's alone */
} Gateway;

/* @state_path: the folder where it is noted that this host has a gateway. */
void gateway_init(Manager *manager);
void gateway_done(Manager *manager);

bool gateway_is(const Gateway *gateway, const Peer *peer);
/* A daemon that had a gateway in its last life, and is young, has none yet: one will attach in a moment. */
bool gateway_is_awaited(const Peer *asker);
/* Handles GATEWAY. Return: what to answer; after CODE_OK call gateway_start(). */
ControlCode gateway_claim(Peer *peer);
/* Hands all leases over, asks for those that are missing, tells everybody. */
void gateway_start(Manager *manager);
/* It left: everybody who waits for it is answered. */
void gateway_remove(Peer *peer);

/*
 * Answers @asker where @address, which is not attached here, can be reached: at once, or when the
 * gateway has answered. @is_question: with RESOLVED, else with NOT_LOCAL.
 */
void gateway_resolve(Peer *asker, Address address, const PacketId *ref, bool is_question);
/* @peer waits no longer. */
void gateway_forget_waiters(Peer *peer);
/* There may be another life of the process with @address: its lease is asked for anew. */
void gateway_forget_lease(Manager *manager, Address address);

/* Words of the gateway. */
void gateway_on_resolved(Manager *manager, const Control *word);
/* Whom others may reach, and by which relays, is another matter now: what was found is asked for again. */
void gateway_forget_answers(Manager *manager);
void gateway_on_synced(Manager *manager);
void gateway_on_links(Manager *manager, uint32_t value);
/* Return: false if it is malformed. */
bool gateway_on_link(Manager *manager, const Control *word);
void gateway_on_leased(Manager *manager, const Control *word);
void gateway_on_path_changed(Manager *manager, uint32_t generation);
/* A packet of the process @to was refused further on. */
void gateway_on_error(Manager *manager, const Control *word, Address to);
void gateway_on_time(Manager *manager);
