/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Services: ProcBridge servers, offered on the bus
 *
 * A service is a process of the bus with a name, behind which there is one server. Each request that comes
 * is an Exchange: a connection of its own, as ProcBridge has it. Beyond so many at a time requests stay
 * where they are, at their senders, by the bus's credit. What every provider answers, p2pbus.Ping,
 * p2pbus.Info and p2pbus.Stats, is answered here, without the server.
 */

#include "procbridge/manager.h"

/* Numbers of the error replies that a service gives: those of the bus's calls in JSON. */
typedef enum ServiceStatus {
        SERVICE_STATUS_NO_CALL = P2PBUS_CALL_BAD_REQUEST, /* the request is no call in JSON */
        SERVICE_STATUS_NO_ANSWER =
                P2PBUS_CALL_INTERNAL, /* the server broke off, or answers nothing */
        SERVICE_STATUS_TIMEOUT = P2PBUS_CALL_DEADLINE,
        SERVICE_STATUS_BUSY = P2PBUS_CALL_BUSY,             /* no memory in this gateway */
        SERVICE_STATUS_TOO_BIG = P2PBUS_CALL_TOO_BIG,       /* the answer */
        SERVICE_STATUS_NO_SERVER = P2PBUS_CALL_UNAVAILABLE, /* it cannot be reached */
        SERVICE_STATUS_BAD_RESPONSE = P2PBUS_CALL_FAILED,   /* the server's own word */
} ServiceStatus;

/* Offers @provide, or, if that is NULL, is there to call others only. @bus is referenced, and moved by the
 * loop from here on. Return: 0, -errno. */
int service_new(Service **ret, Manager *manager, p2pbus *bus, const SettingsProvide *provide);
/* Ends all that is under way. Return: NULL. */
Service *service_free(Service *service);
/* Waits for the bus's answer. Return: as p2pbus_provide(). */
int service_claim(Service *service);
/* Others are asked from now on; what has come is still answered. To be called again whenever something
 * has happened, until service_is_drained(). */
void service_drain(Service *service);
bool service_is_drained(const Service *service);
/* Takes requests as far as there is room. */
void service_receive(Service *service);
/* What was answered goes out, for a second at most. */
void service_flush(Service *service);
