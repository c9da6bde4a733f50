/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Services: ProcBridge servers, offered on the bus
 *
 * A service is a process of the bus with a name, behind which there is one server. Each request that comes
 * is an Exchange: a connection of its own, as ProcBridge has it. Beyond so many at a time requests stay
 * where they are, at their senders, by the bus's credit.
 */

#include "procbridge/manager.h"

/* Numbers of the error replies that a service gives: those of the bus's JSON calls. */
typedef enum ServiceStatus {
        SERVICE_STATUS_NO_CALL = 1000,   /* the request is no call in JSON */
        SERVICE_STATUS_NO_ANSWER = 1003, /* the server broke off, or its answer is none */
        SERVICE_STATUS_TIMEOUT = 1005,
        SERVICE_STATUS_BUSY = 1008,         /* no memory in this gateway */
        SERVICE_STATUS_TOO_BIG = 1009,      /* the answer */
        SERVICE_STATUS_NO_SERVER = 1010,    /* it cannot be reached */
        SERVICE_STATUS_BAD_RESPONSE = 1013, /* the server's own word */
} ServiceStatus;

/* Offers @provide, or, if that is NULL, is there to call others only. @bus is referenced, and moved by the
 * loop from here on. Return: 0, -errno. */
int service_new(Service **ret, Manager *manager, p2pbus *bus, const SettingsProvide *provide);
/* Ends all that is under way. Return: NULL. */
Service *service_free(Service *service);
/* Waits for the bus's answer. Return: as p2pbus_own_name(). */
int service_claim(Service *service);
/* Gives the name back; what has come is still answered. */
void service_stop(Service *service);
/* Takes requests as far as there is room. */
void service_receive(Service *service);
/* One exchange less. */
void service_exchange_ended(Service *service);
bool service_is_idle(const Service *service);
/* What was answered goes out, for a second at most. */
void service_flush(Service *service);
