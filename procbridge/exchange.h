/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Exchanges: one request of the bus, asked of a ProcBridge server
 *
 *      EXCHANGE_CONNECTING     also: the server's queue of connections is full, and is tried again
 *      EXCHANGE_ASKING         the request goes out; a server may answer before it has read all of it
 *      EXCHANGE_LISTENING      its answer comes in
 *
 * It ends with a reply, whatever happens, at the latest when whoever asked stops waiting. ProcBridge has no
 * word for a call that nobody waits for any more: its connection is closed, then.
 */

#include "procbridge/manager.h"

typedef struct Exchange Exchange;

/* Begins one for @request, of which it takes a reference; what cannot be begun is answered at once. */
void exchange_new(Service *service, p2pbus_message *request);
/* Whether nobody waits for it any more: its asker has cancelled it, or has left. */
bool exchange_is_cancelled(const Exchange *exchange);
/* The next of its service, or NULL. */
Exchange *exchange_next(const Exchange *exchange);
/* Breaks it off without an answer. */
void exchange_free(Exchange *exchange);
