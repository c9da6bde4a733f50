/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Services: which names the processes of this host provide, in their own signed words
 *
 * The daemon hands the records over, verified, behind the leases of their processes; each link gets all
 * of them before its SYNCED, and again when its relay has taken the lease. As leases they outlive the
 * daemon for a while (services_unconfirm()).
 *
 * Pure: no I/O.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/pid.h"
#include "libcore/util.h"

#define SERVICES_MAX 16384
#define SERVICES_ONE_MAX 16

typedef struct Services Services;
typedef struct ServicesProcess ServicesProcess;
typedef struct Service Service;

struct Service {
        ServicesProcess *process;
        Address address;
        bool confirmed;               /* by the daemon that we are attached to now */
        Service *prev, *next;         /* all */
        Service *prev_own, *next_own; /* of the same process */
        size_t n_name;
        size_t n_bytes;
        uint64_t issued_usec;
        uint8_t bytes[]; /* the record and its grant, then the name */
};

enum {
        _SERVICES_E_SUCCESS,

        SERVICES_E_MALFORMED,
        SERVICES_E_HELD, /* the same one, or an older one than we have; it counts as confirmed */
        SERVICES_E_WITHDRAWN, /* it ended one */
        SERVICES_E_FULL,
};

/* Return: 0 or -ENOMEM. */
int services_new(Services **ret);
Services *services_free(Services *services);
DEFINE_CLEANUP(Services, services_free)

/* Return: 0, SERVICES_E_MALFORMED, _HELD, _WITHDRAWN, _FULL, -ENOMEM. */
int services_put(Services *services, const uint8_t *bytes, size_t n_bytes);
static inline const char *service_name(const Service *service) {
        return (const char *)service->bytes + service->n_bytes;
}
/* NULL: there is none. */
Service *services_find(const Services *services, Address address, const char *name, size_t n_name);
void services_drop(Services *services, Service *service);

/* All of them, for DL_FOREACH(); of one process, for DL_FOREACH2() with next_own. */
Service *services_first(const Services *services);
Service *services_first_of(const Services *services, Address address);
/* The daemon is gone: nothing counts as confirmed any more. */
void services_unconfirm(Services *services);
