/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Service names that this process provides
 *
 * What was claimed is claimed again after each attach, with what was said of it. A message that was
 * sent to a name says so (extension SERVICE): one that has been given back meanwhile, or is drained, is
 * refused with NO_PROVIDER, and its sender's library goes to another provider. So nothing is lost
 * between the last moment of a provider and the moment when everybody has heard of it.
 */

#include "libclient/bus.h"
#include "libcore/provider.h"

/* A message that begins with @record is for a name that is not ours any more. */
bool own_name_refuses(p2pbus *bus, const Record *record);
/* Puts into a reply how many other requests wait here, if we provide anything. Return: 0, -ENOMEM. */
int own_name_put_load(p2pbus *bus, Message *reply);
/* A request came, or is over: answered, or given up by the application. */
void own_name_count(p2pbus *bus, Message *request);
void own_name_discount(p2pbus *bus, Message *request);

/* All our names say that they drain. Return: whether something is still taken by one of them. */
bool own_name_begin_drain(p2pbus *bus);
/*
 * The daemon has heard what was last said of them. One that is away names nobody, and one that comes
 * hears of the names and of this at once.
 */
bool own_name_is_said(const p2pbus *bus);
/* From here on nothing is taken by them. */
void own_name_end_drain(p2pbus *bus);

/* There is a lease, a new one: other hosts are told of all that we provide. */
void own_name_announce(p2pbus *bus);
/* After an attach: daemon_ask_again() follows. */
void own_name_claim_again(p2pbus *bus);
/* Those that are lost, when the policy has changed. */
void own_name_claim_lost(p2pbus *bus);
/* The daemon takes it away, by the rule @text. */
void own_name_on_denied(p2pbus *bus, const char *name, const char *text);
void own_name_free_all(p2pbus *bus);
