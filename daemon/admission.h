/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Admission: how a connection becomes a process of the bus
 *
 *      HELLO --> ATTACH, whose signature proves the key --> WELCOME
 *
 * Until then nothing is read of it but ATTACH, and nothing is kept for it but this.
 */

#include "libcore/stream.h"

typedef struct Peer Peer;

/* Queues HELLO. Return: 0, -ENOBUFS. */
int admission_greet(Peer *peer);
/* ATTACH, the first and only thing that is read of a new connection: it is attached, or refused. */
void admission_on_attach(Peer *peer, const StreamFrame *frame);
