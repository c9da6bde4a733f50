/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Attachment: the handle's connection to the daemon, made again whenever it is lost
 */

#include "libclient/bus.h"

/* Tries to connect now. Return: 0 or a CONNECTION_E_X, -errno; the timer is set to try again. */
int attachment_connect(p2pbus *bus);
/* After connection_read(): what a change of its state means. */
void attachment_update(p2pbus *bus);
/* For other hosts, which were granted. */
void attachment_make_sealer(p2pbus *bus);
/* The connection is over for @reason, and is made again unless that is final. */
void attachment_lost(p2pbus *bus, int reason);
/*
 * The daemon was restarted moments ago, and others whom we knew may not be back yet: what it does
 * not know now it may know soon.
 */
bool attachment_is_settling(const p2pbus *bus);
/* The daemon wants a lease: signs and sends it. */
void attachment_on_lease_request(p2pbus *bus, const Control *control);
