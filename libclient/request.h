/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Requests of ours that wait for their reply
 *
 * A request ends once: with a reply, because its message could not be delivered, because its time
 * is over, because its receiver ended, or because it was cancelled. What comes before that reply is
 * answer-part.h's.
 */

#include "libclient/bus.h"

struct Request {
        p2pbus *bus;
        PacketId id;
        Message *message; /* as long as it is not settled; not owned */
        Peer *peer;       /* once it is settled: who has it, */
        bool is_owed;     /* and is to answer */
        Provider *provider;  /* to which it went, if it was sent to a name */
        Message *kept;       /* to be sent to another; with a reference; NULL: it will not be */
        uint64_t asked_usec; /* when it went to @provider, */
        unsigned n_front;    /* and how many were there before it */
        Timer timer;
        p2pbus_reply_callback callback; /* this and the next NULL: a thread waits, and owns this */
        p2pbus_stream_callback on_part; /* parts of an answer are welcome */
        void *userdata;
        uint64_t silence_usec;      /* how long the next part may take */
        Message *parts, *last_part; /* list: came, and were not given to the program; lent */
        bool is_listed;             /* in bus->calls */
        bool is_forgotten;          /* the handle ended while its callback ran, which frees it */
        bool is_over;
        int reason;     /* why there is no reply, or ERROR_REPLY; 0: there is one */
        Message *reply; /* with a reference */
        Request *prev, *next; /* in bus->calls */
        UT_hash_handle hh;
};

/* Its message was settled, delivered or not. */
void request_sent(p2pbus *bus, Message *message);
/* Who has it is not waited for any more. */
void request_is_not_owed(Request *request);
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
/* A new one that is called back as @as is. Return: as p2pbus_request_start(). */
int request_start_as(p2pbus *bus, const Request *as, const char *dest, p2pbus_message *message,
                     uint64_t timeout_usec, char ret_id[P2PBUS_ID_SIZE]);
/* Its callback is to run. */
void request_list(Request *request);
void request_free(Request *request);
/* Runs the first of bus->calls; unlocks meanwhile. */
void request_call_first(p2pbus *bus);
/* The handle ends: nobody is called any more. */
void request_forget_all(p2pbus *bus);
void request_free_all(p2pbus *bus);

/* Replies of ours: whether they can be sent. Return: 0, or the error to return, noted. */
int reply_check_given(const p2pbus_message *request, const p2pbus_message *message);
int reply_check(p2pbus *bus, const Message *request, const Message *reply);
/* Nobody waits for an answer to this request any more, or nobody could read the rest of it. */
bool reply_is_unwanted(const Message *request);
