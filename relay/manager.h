/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Manager: owns the loop, the listeners, the links and what they share
 */

#include "libcore/log.h"
#include "libsecure/identity.h"
#include "relay/settings.h"

#define MANAGER_DRAIN_USEC (2 * USEC_PER_SEC) /* for bridges to move, after GOODBYE */
#define MANAGER_STOP_USEC (4 * USEC_PER_SEC)  /* then whatever is left is cut off */

typedef struct Manager Manager;

typedef struct ManagerOptions {
        const Log *log;
        const Settings *settings; /* borrowed while manager_new() runs */
        const char *state_dir;
        const char *config; /* read again on SIGHUP; NULL: the default file */
        bool keep_allow;    /* the command line has replaced Allow= */
        bool keep_open;     /* the command line said --open */
} ManagerOptions;

/* What went wrong, for people; empty if -errno says it all. */
typedef struct ManagerError {
        char text[512];
} ManagerError;

enum {
        _MANAGER_E_SUCCESS,

        MANAGER_E_SETUP, /* said in the ManagerError */
};

/*
 * Opens everything: from here on sockets are accepted. Takes over @identity, on failure too.
 * Return: 0, -errno, MANAGER_E_SETUP.
 */
int manager_new(Manager **ret, const ManagerOptions *options, IdentityKey *identity,
                ManagerError *ret_error);
/* Runs until SIGTERM or SIGINT and the drain after it. Return: 0 or -errno. */
int manager_run(Manager *manager);
/* Accepts NULL, returns NULL. */
Manager *manager_free(Manager *manager);
DEFINE_CLEANUP(Manager, manager_free)
