/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Lookups: one question of the daemon's, asked on every link
 *
 * The first link that knows the address answers for all. "Not here" is said only when every link
 * that was asked said so: a relay knows only its own bridges. Of several refusals the most useful
 * one counts (lookups_more_telling()). A link that dies or stays silent is not
 * waited for, but it makes a "not here" a SETTLING: it might have known.
 *
 * Who provides a name is another matter: there each link's answer adds to the others', so all are
 * waited for, and found is what any of them knew (lookups_want_all()).
 *
 * Pure: no I/O, time is an argument (CLOCK_BOOTTIME). At most LOOKUPS_MAX at a time.
 */

#include <stdbool.h>
#include <stdint.h>

#include "libcore/control.h"
#include "libcore/pid.h"
#include "libcore/util.h"

#define LOOKUPS_MAX 1024
#define LOOKUP_TIMEOUT_USEC (3 * USEC_PER_SEC)
#define LOOKUP_NAME_TIMEOUT_USEC                                                                   \
        (1500 * USEC_PER_MSEC) /* who asks goes on without, after 2 seconds */

typedef struct Lookups Lookups;

/* A lookup that came to its end. */
typedef struct LookupResult {
        PacketId ref; /* the daemon's request */
        Address address;
        uint16_t
                code; /* CODE_OK: the link that ended it sent the lease; of names: some link knew */
} LookupResult;

enum {
        _LOOKUPS_E_SUCCESS,

        LOOKUPS_E_FULL,    /* too many at once */
        LOOKUPS_E_PENDING, /* others have not answered yet */
        LOOKUPS_E_UNKNOWN, /* an answer to nothing that was asked, or asked of that link */
        LOOKUPS_E_NONE,    /* none has come to its end */
};

/* Of two refusals the one that says more; a code that is none counts as SETTLING. */
uint16_t lookups_more_telling(uint16_t a, uint16_t b);

/* Return: 0 or -ENOMEM. */
int lookups_new(Lookups **ret);
Lookups *lookups_free(Lookups *lookups);
DEFINE_CLEANUP(Lookups, lookups_free)

/* Of all that is asked here all links are to answer, within @timeout_usec; it is empty. */
void lookups_want_all(Lookups *lookups, uint64_t timeout_usec);
/*
 * The daemon asks, as @ref, for @address; the caller asks all of @links, a mask that is not empty,
 * under @ret_id. With @settling a link exists that could not be asked.
 * Return: 0, LOOKUPS_E_FULL, -ENOMEM.
 */
int lookups_add(Lookups *lookups, const PacketId *ref, Address address, uint32_t links,
                bool settling, uint64_t now_usec, uint64_t *ret_id);
/*
 * Link @slot answered @id with @code. With 0 the lookup is over and *@ret says for whom; later
 * answers to it are unknown.
 * Return: 0, LOOKUPS_E_PENDING, LOOKUPS_E_UNKNOWN.
 */
int lookups_answer(Lookups *lookups, uint64_t id, unsigned slot, uint16_t code, LookupResult *ret);
/* Whether the answer of link @slot to @id is still waited for; @ret: the daemon's request. */
bool lookups_await(const Lookups *lookups, uint64_t id, unsigned slot, PacketId *ret);
/* Link @slot is gone; lookups that waited for nobody else are ready for lookups_pop(). */
void lookups_forget_link(Lookups *lookups, unsigned slot);
/* The next that is over, by lookups_forget_link() or by its age. Return: 0, LOOKUPS_E_NONE. */
int lookups_pop(Lookups *lookups, uint64_t now_usec, LookupResult *ret);
/* When lookups_pop() has something to say; USEC_NEVER if nothing is pending. */
uint64_t lookups_deadline(const Lookups *lookups);
