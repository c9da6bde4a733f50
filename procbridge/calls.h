/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Calls: requests to services of the bus, so many at a time
 *
 * What is beyond the limit, or what the bus has no room for now, waits in its order; who asks for a slow
 * service stays behind while others pass. Each call ends by its deadline, which began when it was made.
 */

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "libclient/p2pbus.h"
#include "procbridge/budget.h"

typedef struct Call Call;

/*
 * How a call ended, once: @error and @reply as p2pbus_reply_callback has them, @why in words if there is no
 * reply. Never from within call_new().
 */
typedef void (*CallHandler)(void *userdata, int error, p2pbus_message *reply, const char *why);

typedef struct Calls {
        p2pbus *bus;
        Budget *budget;
        uint64_t timeout_usec;
        uint64_t n_max, n_running;
        uint64_t n_made; /* ever */
        Call *waiting, *running, *ended;
        sd_event_source *timer; /* of the first that waits */
        sd_event_source *later; /* of those that have ended and were not told */
} Calls;

/* Return: 0, -errno. */
int calls_init(Calls *calls, p2pbus *bus, sd_event *event, Budget *budget, uint64_t timeout_usec,
               uint64_t n_max);
/* After the bus's handle is closed: no handler is called any more. */
void calls_done(Calls *calls);
/* Starts what waits, as far as it can. To be called when something has happened on the bus. */
void calls_go_on(Calls *calls);

/* A call of @dest. Takes @text, @n bytes from malloc(), in any case. Return: 0, -EDQUOT: no room in the
 * budget; -ENOMEM. */
int call_new(Call **ret, Calls *calls, const char *dest, char *text, size_t n, CallHandler handler,
             void *userdata);
/* Nobody waits any more: the provider is told, and the handler is not called. NULL is ignored. */
void call_abandon(Call *call);
