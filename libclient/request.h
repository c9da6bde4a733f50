/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Requests of ours that wait for their reply
 *
 * A request ends once: with a reply, because its message could not be delivered, because its time
 * is over, because its receiver ended, or because it was cancelled.
 */

#include "libclient/bus.h"

struct Request {
        p2pbus *bus;
        PacketId id;
        Message *message; /* as long as it is not settled; not owned */
        Peer *peer;       /* once it is settled: who has it */
        Timer timer;
        p2pbus_reply_callback callback; /* NULL: a thread waits, and owns this */
        void *userdata;
        bool is_over;
        int reason;     /* why there is no reply, or ERROR_REPLY; 0: there is one */
        Message *reply; /* with a reference */
        Request *prev, *next; /* in bus->calls */
        UT_hash_handle hh;
};

/* Its message was settled, delivered or not. */
void request_sent(p2pbus *bus, Message *message);
/* A reply came from @peer; takes over the reference. */
void request_on_reply(Peer *peer, Message *reply);
/* What was delivered to @peer and is not answered, it never will answer. */
void request_peer_ended(Peer *peer);
/* Return: whether there was one. */
bool request_cancel(p2pbus *bus, const PacketId *id);
/* Runs the first of bus->calls; unlocks meanwhile. */
void request_call_first(p2pbus *bus);
/* The handle ends: nobody is called any more. */
void request_forget_all(p2pbus *bus);
void request_free_all(p2pbus *bus);
