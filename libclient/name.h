/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Service names: those that messages are sent to, and those that this process provides
 *
 * A name that is sent to is looked up once, and messages to it wait for that. All go to the same
 * provider as long as it is not heard to have gone, so that they stay in order.
 */

#include "libclient/bus.h"

/* As send_to_peer(), for a valid name. */
int name_send(p2pbus *bus, const char *name, Message *message);
/* A message that still waits for its name's provider is over. */
void name_withdraw(p2pbus *bus, Message *message, int result);
/* @address turned out to be no provider any more: look up again. */
void name_forget_provider(p2pbus *bus, Address address);
/*
 * The provider that messages go to now. Blocks. Return: 0; noted: -ENXIO, -ETIMEDOUT, ...
 */
int name_resolve_wait(p2pbus *bus, const char *name, uint64_t until_usec, Address *ret);

/* The provider that messages to @name go to, if one is known now. */
bool name_provider(p2pbus *bus, const char *name, Address *ret);

/* Whether messages to a name that @fits(@pattern, name) go to @address. */
bool name_is_provided_by(p2pbus *bus, Address address,
                         bool (*fits)(const char *pattern, const char *name), const char *pattern);

void name_claim_again(p2pbus *bus);
void name_fail_all(p2pbus *bus, int result);
void name_free_all(p2pbus *bus);
