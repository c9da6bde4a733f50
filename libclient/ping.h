/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Ping: whether a process answers
 *
 * A PING goes outside sessions, by whichever path whoever asks wants it to, and as often and for as
 * long as he wants to wait: p2pbus_ping() in admin.c, drain.c. The library of the other process
 * answers with PONG and the same data, whatever its application does. Here is what is waited for.
 */

#include "libclient/bus.h"
#include "libclient/peer.h"

struct Ping {
        uint8_t data[RECORD_PING_SIZE];
        Address address;
        PacketId id; /* of the packet that it went with last, on this host */
        bool is_answered;
        bool is_denied;
        char denial[CONTROL_TEXT_MAX + 1];
        Ping *prev, *next;
};

/*
 * From here on an answer to @ping, by @address, is waited for; it is to be said by the caller, whose
 * @ping stays until ping_end().
 */
void ping_begin(p2pbus *bus, Ping *ping, Address address);
void ping_end(p2pbus *bus, Ping *ping);
/* What is to be said. Return: its size. */
size_t ping_encode(const Ping *ping, uint8_t bytes[RECORD_HEADER_SIZE + RECORD_PING_SIZE]);

/* A packet was refused. Return: whether it was a ping of ours. */
bool ping_on_refused(p2pbus *bus, const Control *word);
/* An answer to a ping of ours, perhaps. */
void ping_on_pong(p2pbus *bus, const PeerSource *source, const uint8_t data[RECORD_PING_SIZE]);
