/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What the processes of this host tell other hosts of the names that they provide
 *
 * A process with a lease signs a SERVICE record for each of its names. The daemon checks that it is its
 * own, of a name that this very connection provides, keeps it with the name, and hands it to the gateway
 * behind the lease; and all to a gateway that attaches. When the name is given back or taken away, the
 * gateway hears that.
 */

#include "daemon/names.h"

#define OWN_SERVICES_MAX 16 /* names that one process tells other hosts of */
#define OWN_SERVICES_BURST                                                                         \
        64 /* verifications that one may cost at once, and so many a second then: */
#define OWN_SERVICES_RATE 4

typedef struct OwnService OwnService;

/* Handles SERVICE. Return: CODE_OK, or what is wrong with it. */
ControlCode own_services_accept(Peer *peer, const Control *word);
/* The gateway has @peer's lease: it gets the records, too. */
void own_services_give(Peer *peer);
/* @owned is about to end, or its process says no more of it. */
void own_services_end(OwnedName *owned);
