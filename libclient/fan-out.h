/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * One message to all providers of a name, and what each of them answers
 *
 * Each gets a copy of its own, as a request that goes to it and to nobody else. The application hears
 * of each, and then of the end: when all have answered or failed, or enough have, or the time is over.
 */

#include "libclient/bus.h"
#include "libclient/service.h"

/* @fan_out waits in @list for the providers of @service. */
void fan_out_wait(FanOut **list, Service *service, FanOut *fan_out);
/* Takes the first that waits out; NULL: none. */
FanOut *fan_out_pop(FanOut **list);
/* Asks one provider; then, when all were asked: */
void fan_out_ask(FanOut *fan_out, Provider *provider);
void fan_out_asked(FanOut *fan_out);
void fan_out_free_all(p2pbus *bus);
