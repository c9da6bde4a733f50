/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Watches: what the application is told of who provides a name
 *
 * A name that the application watches (p2pbus_watch()) is a service that is never idle. Each of its
 * providers remembers what was last told of it, and stands in the list of changes while it is otherwise
 * now. So what waits for the application is no more than the providers there are and those it knows,
 * however often they change, and what it hears last is how it is.
 */

#include "libclient/provider-set.h"

/* Something of @provider may be otherwise than it was told; or is told to nobody any more. */
void provider_watch_note(Provider *provider);
/* Of any of them. */
void provider_watch_note_all(ProviderSet *set);
/* Nothing more is told of them, and nothing was. */
void provider_watch_end(ProviderSet *set);
