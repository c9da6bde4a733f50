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
        Provider *provider;  /* to which it went, if it was sent to a name */
        Message *kept;       /* to be sent to another; with a reference; NULL: it will not be */
        uint64_t asked_usec; /* when it went to @provider, */
        unsigned n_front;    /* and how many were there before it */
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
/* One of the heap, for what follows; NULL: no memory. */
Request *request_new(p2pbus *bus);
/* @callback is to run with what @request, of request_new() and never begun, says of its end. */
void request_call(Request *request, p2pbus_reply_callback callback, void *userdata);
/*
 * Sends @message, whose kind and deadline are set, to one provider and to nobody else. A one-way
 * message is over when it was delivered. Return: as p2pbus_request_start().
 */
int request_start_at(Provider *provider, Message *message, p2pbus_reply_callback callback,
                     void *userdata, PacketId *ret_id);
/* Return: whether there was one. */
bool request_cancel(p2pbus *bus, const PacketId *id);
/* Runs the first of bus->calls; unlocks meanwhile. */
void request_call_first(p2pbus *bus);
/* The handle ends: nobody is called any more. */
void request_forget_all(p2pbus *bus);
void request_free_all(p2pbus *bus);
