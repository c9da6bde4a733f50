/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Messages in: from the session to the application, and back as credit
 *
 * Peers with messages stand in a row; each call takes one message of the first, which goes to the
 * end: nobody's stream hides another's request.
 */

#include "libclient/bus.h"

/* A one-way message or a request, for the application; takes over the reference. */
void receive_put(Peer *peer, Message *message);
/* p2pbus_receive(), locked; @borrow: what stands in a ring may stay there. */
int receive_next(p2pbus *bus, uint64_t timeout_usec, bool borrow, p2pbus_message **ret);
/* After session_consume() of a SKIP: what the application has not asked for yet is not its any more. */
void receive_withdraw(Peer *peer);
/* The peer no longer wants an answer to its request. */
void receive_cancel(Peer *peer, const PacketId *id);
/* The handle ends: what the application has not asked for goes back. */
void receive_return(Peer *peer);
/* The session with @peer is over: what was begun in it cannot go on. */
void receive_session_ended(Peer *peer);
/* @message is among what the application holds of @peer, or will be soon. */
void receive_lend(Peer *peer, Message *message);
/* It does not hold it any more, or never will; drops the reference. */
void receive_drop(p2pbus *bus, Message *message);
/* The application is done with @message. */
void receive_done(p2pbus *bus, Message *message);
/* Nothing was asked for that is there: tell the peers what was taken. */
void receive_tell(p2pbus *bus);
/* @peer is about to be freed. */
void receive_forget(Peer *peer);
/* Hands @message to the application, with one reference of its own; takes over one of ours. */
p2pbus_message *receive_hand_out(Message *message);
