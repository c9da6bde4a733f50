/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Forward: which way each packet and each question goes
 *
 * Between one gateway and up to ROUTES_LINKS_MAX uplinks stand the leases of this host, what is
 * known about others (bridge/routes.h), and the questions that wait for answers (bridge/lookups.h).
 *
 * To elsewhere: to a link that knows the destination, the one with the shortest round trip; if none
 * does, to the one with the shortest of all. A link that does not have it after all gives the packet to
 * the next, and its sender hears of it only when all links that are up said so.
 *
 * Who may use some relays only ([Network] Relays=) is known to these alone: all that is said of it, and all
 * that it sends and asks, goes by links that its list allows (bridge/relay-lists.h), and what comes for it
 * by another is refused as if it were not here.
 *
 * Who wants which topics passes through, from the daemon to all links and from these to the daemon
 * (bridge/wants.h).
 *
 * If nothing was carried for a while (IdleDisconnect=), the links are closed; what is to be sent, or
 * who is new on this host, has them dialled again. Meanwhile the answer is SETTLING, for the sender
 * to wait.
 *
 * From elsewhere: to the daemon. While that does not keep up, links are not read.
 *
 * A link that dies takes what was queued on it along; the sessions are told (PATH_CHANGED), unless
 * it has carried nothing for as long as a packet is under way, and send it again over the links that
 * are left.
 */

#include <stdbool.h>
#include <stdint.h>

#include "bridge/gateway.h"
#include "bridge/uplink.h"
#include "libcore/log.h"
#include "libcore/util.h"

#define FORWARD_HOPS_MAX 8
#define FORWARD_UNCONFIRMED_USEC (10 * USEC_PER_SEC)
#define FORWARD_PAUSE_BYTES (4 * 1024 * 1024) /* unread by the daemon: links are not read */
#define FORWARD_RESUME_BYTES (1 * 1024 * 1024)
#define FORWARD_FLIGHT_USEC (30 * USEC_PER_SEC) /* no packet is under way for longer */

typedef struct Forward Forward;

/* Packets, in all. */
typedef struct ForwardCounters {
        uint64_t n_out;            /* of this host's processes, into an outbox */
        uint64_t n_in;             /* from elsewhere, to the daemon */
        uint64_t n_refused;        /* of this host's processes, by us or further on */
        uint64_t n_refused_remote; /* from elsewhere, by us */
} ForwardCounters;

/* What its gateway and its uplinks are made with, @userdata being the Forward. */
extern const GatewayHandlers forward_gateway_handlers;
extern const UplinkHandlers forward_uplink_handlers;

/* @log and @pool are borrowed. Return: 0 or -ENOMEM. */
int forward_new(Forward **ret, const Log *log, ParcelPool *pool);
/* Gateway and uplinks are the caller's to free, before. Accepts NULL, returns NULL. */
Forward *forward_free(Forward *forward);
DEFINE_CLEANUP(Forward, forward_free)

void forward_set_gateway(Forward *forward, Gateway *gateway);
/* Puts an uplink into its slot; NULL empties it, as if its link had died. */
void forward_set_uplink(Forward *forward, unsigned slot, Uplink *uplink);

/* After how long without a packet the links rest; USEC_NEVER: never. */
void forward_set_idle(Forward *forward, uint64_t idle_usec);
/* There is something to carry, or somebody thinks so. */
void forward_wake(Forward *forward);
bool forward_is_resting(const Forward *forward);

/* When forward_tick() is to be called, CLOCK_BOOTTIME. */
uint64_t forward_deadline(const Forward *forward);
void forward_tick(Forward *forward, uint64_t now_usec);
/* To be called when the loop has done its round: stops and resumes the reading of links. */
void forward_settle(Forward *forward);

const ForwardCounters *forward_counters(const Forward *forward);
/* For the status line. */
unsigned forward_n_up(const Forward *forward);
unsigned forward_n_uplinks(const Forward *forward);
