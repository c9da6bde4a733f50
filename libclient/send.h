/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Messages out: what the application gave us, until its fate is known and told
 */

#include "libclient/bus.h"

/* What a text names. */
typedef struct Destination {
        int kind; /* enum p2pbus_destination */
        Address address;
        bool has_key;
        PublicKey key;
} Destination;

/* Return: 0; -EINVAL, noted. */
int destination_parse(const char *text, Destination *ret);
/* The peer that @text names, made if need be. Return: 0; noted: -EINVAL, -EAGAIN, -ENOMEM. */
int destination_peer(p2pbus *bus, const char *text, Peer **ret);

/*
 * Gives @message its id and sends it to whom @dest names. Its kind, waiter and request are set.
 * Return: 0; -EAGAIN; noted: -EINVAL, -EMSGSIZE, -ENOTCONN, -ENOMEM.
 */
int send_message(p2pbus *bus, const char *dest, Message *message, uint64_t timeout_usec);
/* Puts what was set by text into the bytes that travel. Return: 0; -ENOMEM, noted. */
int send_encode(Message *message);
/* The same to a peer, for replies. */
int send_to_peer(p2pbus *bus, Peer *peer, Message *message);
/* A session, or nobody at all, has settled it; takes over one reference. */
void send_finished(p2pbus *bus, Message *message);
/* It counts as sent, and is under way. */
void send_begun(p2pbus *bus, Message *message);

/* The handle ends: everything not settled is over. */
void send_fail_all(p2pbus *bus, int reason);
/* Frees what nobody fetched. */
void send_free_all(p2pbus *bus);
