/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Questions about others: who is there, how far away, how does it stand
 */

#include "libclient/bus.h"
#include "libclient/peer.h"

/* A packet was refused. Return: whether it was a ping of ours. */
bool admin_on_refused(p2pbus *bus, const Control *word);

struct Ping {
        uint8_t data[RECORD_PING_SIZE];
        Address address;
        PacketId id; /* of the packet that it went with last, on this host */
        bool is_answered;
        bool is_denied;
        char denial[CONTROL_TEXT_MAX + 1];
        Ping *prev, *next;
};

/* From here on an answer to @ping, by @address, is waited for; it is to be said by the caller. */
void ping_begin(p2pbus *bus, Ping *ping, Address address);
void ping_end(p2pbus *bus, Ping *ping);
/* What is to be said. Return: its size. */
size_t ping_encode(const Ping *ping, uint8_t bytes[RECORD_HEADER_SIZE + RECORD_PING_SIZE]);
/* An answer to a ping of ours, perhaps. */
void admin_on_pong(p2pbus *bus, const PeerSource *source, const uint8_t data[RECORD_PING_SIZE]);
