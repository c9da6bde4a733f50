/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Introduction: when two processes of one host get a ring, and when they give it back
 *
 * Rule. A pair gets a ring when its two processes have exchanged INTRODUCTION_PACKETS packets within
 * a second, either way, or when one of them asks (p2pbus_set_ring()); unless one forbids it. The
 * one that notices first offers. It gives the ring back after INTRODUCTION_IDLE_USEC in which
 * nothing passed. A refusal is taken for a while: the wait doubles with each.
 *
 * The session knows nothing of it: the path has another generation, and what may be lost is said
 * again. Until its answer has come a ring carries nothing.
 */

#include "libclient/bus.h"

#define INTRODUCTION_PACKETS 64
#define INTRODUCTION_IDLE_USEC (30 * USEC_PER_SEC)
#define INTRODUCTION_WAIT_USEC USEC_PER_SEC /* after a refusal, doubling */
#define INTRODUCTION_WAIT_MAX_USEC (64 * USEC_PER_SEC)

/* What a Peer remembers of it. */
typedef struct Introduction {
        uint8_t rule; /* P2PBUS_RING_X */
        uint32_t n_packets;
        uint64_t since_usec;
        uint64_t retry_usec, wait_usec;
} Introduction;

/* A packet went to or came from @peer through the daemon. May make an offer. */
void introduction_count(Peer *peer);
/* The rule may want one now: after p2pbus_set_ring(), after an attach. */
void introduction_consider(Peer *peer);
/* Its ring has been idle for long: gives it back. */
void introduction_tire(Peer *peer);
/*
 * @peer's ring is over: what came is read, its path is the daemon's again, and unless the daemon
 * said so it is told. @code: OK: given back; GONE; VIOLATION. Harmless if there is none.
 */
void introduction_end(Peer *peer, uint16_t code);
/* The same for a peer that is about to be freed, or when the handle ends: nothing more is read. */
void introduction_leave(Peer *peer);
/* When introduction_tire() wants to look again at a peer with a ring. */
uint64_t introduction_due(const Peer *peer);
/* Attached again: the daemon learns which rings there are. */
void introduction_keep_all(p2pbus *bus);
/* @id is a packet about a ring of which nobody else keeps track. */
void introduction_remember(p2pbus *bus, const PacketId *id);
/* The connection is lost: offers that were not answered are, too. */
void introduction_forget_offers(p2pbus *bus);

/* A RING word has come; the connection has its descriptors. */
void introduction_consume(p2pbus *bus, const Control *control);
/*
 * An ERROR about packet @ref. Return: whether that was about a ring, be it one that is over: then it
 * says nothing about messages to that peer.
 */
bool introduction_on_error(p2pbus *bus, const PacketId *ref);
