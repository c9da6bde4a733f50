/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Manager: the loop, and all that one gateway has
 *
 * At SIGTERM or SIGINT it stops listening, and its services drain: others are asked for them, whoever asked
 * before is still answered, for ten seconds at most. A second signal ends it at once.
 */

#include <systemd/sd-event.h>

#include "libcall/p2pbus-call.h"
#include "libclient/p2pbus.h"
#include "libcore/log.h"
#include "libcore/util.h"
#include "procbridge/budget.h"
#include "procbridge/calls.h"
#include "procbridge/peers.h"
#include "procbridge/settings.h"

#define MANAGER_STOP_USEC (10 * USEC_PER_SEC)

typedef struct Client Client;
typedef struct Exchange Exchange;
typedef struct Listener Listener;
typedef struct Manager Manager;
typedef struct Service Service;

/* What has happened; told at the end, and with -v while it runs. */
typedef struct Counters {
        uint64_t accepted, turned_away; /* connections */
        uint64_t strangers;             /* that speak no ProcBridge */
        uint64_t gone;                  /* that ended before they were answered */
        uint64_t late;                  /* whose time was up */
        uint64_t requests, good, bad;   /* of clients, and how they were answered */
        uint64_t exchanges, failed;     /* requests to servers, and those that we had to answer */
        uint64_t cancelled;             /* that nobody waited for any more */
        uint64_t ignored;               /* messages of the bus that ask nothing */
} Counters;

/* A process of the bus; service.h. */
struct Service {
        Manager *manager;
        Service *prev, *next;
        p2pbus *bus;
        struct p2pbus_event *event;
        const SettingsProvide *provide; /* NULL: it only calls */
        p2pbus_provider *provider;      /* with @provide, once it has its name */
        bool is_drained;
        sd_event_source *look; /* after those that nobody waits for any more */
        Exchange *exchanges;
        uint64_t n_exchanges;
};

struct Manager {
        const Settings *settings;
        const Log *log;
        sd_event *event;
        Budget budget;
        Peers peers;
        Counters counters;
        Calls calls;
        Client *clients;
        uint64_t n_clients, n_clients_max;
        Listener *listeners;
        Service *services; /* the first makes the clients' calls */
        sd_event_source *deadline;
        bool stopping;
        bool has_calls;
        int closed_reason; /* P2PBUS_REASON_X why the bus is closed for good; 0: it is not */
        LogRate turned_away_rate;
        uint64_t told_usec;
};

/* Raises the limit of descriptors and makes the loop. Return: 0, -errno. */
int manager_init(Manager *manager, const Settings *settings, const Log *log);
void manager_done(Manager *manager);
/* The bus is there and so is everything else: runs until it is stopped. Return: 0, -errno. */
int manager_run(Manager *manager);
/* The handle of @service is closed for good: the end. */
void manager_bus_closed(Manager *manager, const Service *service);
