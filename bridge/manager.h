/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Manager: owns everything that a running bridge is, and its loop
 *
 * Signals, one timer for all that waits, the set of uplinks as configured, and what the service
 * manager is told. It decides nothing about packets: that is bridge/forward.h.
 */

#include <systemd/sd-event.h>

#include "bridge/known-relays.h"
#include "bridge/settings.h"
#include "libcore/log.h"
#include "libcore/util.h"
#include "libsecure/identity.h"

#define MANAGER_STOP_USEC USEC_PER_SEC /* for what still waits to be sent */

typedef struct Manager Manager;

typedef struct ManagerOptions {
        const Log *log;
        const char *socket;
        const IdentityKey *identity;
        KnownRelays *known;
        const Settings *settings; /* as it is now */
        const char *file;         /* to be read again at SIGHUP; NULL: the default */
        bool keep_relays;         /* they were given on the command line */
} ManagerOptions;

enum {
        _MANAGER_E_SUCCESS,

        MANAGER_E_PLUGIN, /* libwebsockets' libuv plugin is not installed */
};

/*
 * Sets everything up; signals must be blocked before. All that @options points to is borrowed for
 * the manager's life, but for @settings.
 * Return: 0, -errno, MANAGER_E_PLUGIN.
 */
int manager_new(Manager **ret, const ManagerOptions *options);
/* Accepts NULL, returns NULL. */
Manager *manager_free(Manager *manager);
DEFINE_CLEANUP(Manager, manager_free)

/* Until SIGTERM or SIGINT. Return: 0, -errno. */
int manager_run(Manager *manager);
