/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Questions about others: who is there, how far away, how does it stand
 */

#include "libclient/bus.h"
#include "libclient/peer.h"

/* A packet was refused. Return: whether it was a ping of ours. */
bool admin_on_refused(p2pbus *bus, const Control *word);
/* An answer to a ping of ours, perhaps. */
void admin_on_pong(p2pbus *bus, const PeerSource *source, const uint8_t data[RECORD_PING_SIZE]);
