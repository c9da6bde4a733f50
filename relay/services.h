/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Services: which processes behind the links of this relay provide which name
 *
 * What a process signed (SERVICE, and the GRANT that came with it) is kept as its bytes, by name, as
 * long as it lives and the link that brought it is there. Whether its signer has a lease on that link
 * the caller checks, when it comes and when it is given out. Nobody here decides who may have a name:
 * who asks gets all of them, and judges.
 *
 * Bounded: so many in all, by a link, by a process, and of one name; when a name is full, the link with
 * most providers of it makes room for one with fewer, so that nobody crowds out the others.
 *
 * What a link took along when it ended is remembered for a moment, without being given out: until then
 * the answer to who provides the name is "ask again".
 *
 * No I/O and no clock.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/pid.h"
#include "libcore/util.h"
#include "libsecure/key.h"
#include "libsecure/service-record.h"

#define RELAY_SERVICES_MAX 100000
#define RELAY_SERVICES_PROCESS_MAX 16
#define RELAY_SERVICES_NAME_MAX 128
#define RELAY_SERVICES_LOST_USEC (5 * USEC_PER_SEC)

typedef struct RelayServices RelayServices;
typedef struct RelayService RelayService;

/* One link's part; embedded in whoever owns the link. */
typedef struct ServicesRoute {
        uint64_t services_max;
        uint64_t n_services;
        RelayService *services; /* list */
} ServicesRoute;

struct RelayService {
        Address address;
        PublicKey key;
        ServicesRoute *route;
        uint64_t not_after_usec;
        const uint8_t *bytes; /* the record, and its grant */
        size_t n_bytes;
};

enum {
        _RELAY_SERVICES_E_SUCCESS,

        RELAY_SERVICES_E_HELD, /* the same, or a newer one, is known; or there is none to withdraw */
        RELAY_SERVICES_E_SIGNATURE,
        RELAY_SERVICES_E_CLOCK,
        RELAY_SERVICES_E_EXPIRED,
        RELAY_SERVICES_E_MALFORMED,
        RELAY_SERVICES_E_QUOTA,
};

typedef enum RelayServicesAnswer {
        RELAY_SERVICES_NONE,
        RELAY_SERVICES_LOST, /* there was one a moment ago, on a link that may come back */
        RELAY_SERVICES_SOME,
} RelayServicesAnswer;

/* Return: 0 or -ENOMEM. */
int relay_services_new(RelayServices **ret);
/* All routes must be closed. Accepts NULL, returns NULL. */
RelayServices *relay_services_free(RelayServices *services);
DEFINE_CLEANUP(RelayServices, relay_services_free)

void relay_services_open_route(ServicesRoute *route, uint64_t services_max);
void relay_services_close_route(RelayServices *services, ServicesRoute *route, uint64_t now_usec);

/* Whether these very bytes are held: then relay_services_put() verifies no signature. */
bool relay_services_knows(const RelayServices *services, const ServiceRecord *record);
/*
 * @record, whose signer has a lease on @route, comes by it; one that is WITHDRAWN ends the one before.
 * Return: 0, -ENOMEM, or a refusal.
 */
int relay_services_put(RelayServices *services, ServicesRoute *route, const ServiceRecord *record,
                       uint64_t wall_usec);
/* The process does not provide it any more. @name NULL: none, but on @keep. */
void relay_services_drop(RelayServices *services, Address address, const char *name, size_t n_name,
                         const ServicesRoute *keep);
/* Return: whether it counts, for its signer still has a lease there. */
typedef bool RelayServicesVisit(const RelayService *service, void *userdata);
/* Visits the providers of @name that are not on @except. Return: what there is to say. */
RelayServicesAnswer relay_services_find(const RelayServices *services, const char *name,
                                        size_t n_name, const ServicesRoute *except,
                                        uint64_t wall_usec, uint64_t now_usec,
                                        RelayServicesVisit *visit, void *userdata);

/* Looks at some and drops what has ended or is not @still_leased; to be called every second or so. */
void relay_services_sweep(RelayServices *services, uint64_t wall_usec, uint64_t now_usec,
                          bool (*still_leased)(const RelayService *service, void *userdata),
                          void *userdata);
size_t relay_services_size(const RelayServices *services); /* with a route */
