/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/lookups.h"

#include <uthash.h>
#include <utlist.h>

#include "libcore/err.h"

typedef struct Lookup Lookup;

struct Lookup {
        uint64_t id;
        UT_hash_handle hh;
        Lookup *prev, *next; /* by age */
        PacketId ref;
        Address address;
        uint32_t waiting; /* links that have not answered */
        uint16_t code;    /* the best refusal so far */
        bool found;       /* of those that want all: a link knew something */
        uint64_t deadline_usec;
};

struct Lookups {
        Lookup *by_id;
        Lookup *by_age;
        unsigned n;
        bool wants_all;
        uint64_t timeout_usec;
        bool ready; /* a link went away: some may wait for nobody now */
        uint64_t last_id;
};

/*
 * Which refusal says more: something the user can mend, then "ask again", then "nobody". GONE is
 * only a link's view: where others never heard of the process it may still appear.
 */
static int weight(uint16_t code) {
        switch (code) {
        case CODE_AMBIGUOUS:
                return 6;
        case CODE_WRONG_KEY:
                return 5;
        case CODE_SETTLING:
                return 4;
        case CODE_RATE:
        case CODE_OVERLOAD:
                return 3;
        case CODE_GONE:
                return 2;
        case CODE_NOT_HERE:
        case CODE_NO_PROVIDER:
                return 1;
        default: /* of a later version, or nonsense: the link could not say */
                return 0;
        }
}

uint16_t lookups_more_telling(uint16_t a, uint16_t b) {
        if (weight(a) == 0)
                a = CODE_SETTLING;
        if (weight(b) == 0)
                b = CODE_SETTLING;
        return weight(a) >= weight(b) ? a : b;
}

static void lookup_refused(Lookup *lookup, uint16_t code) {
        lookup->code = lookups_more_telling(lookup->code, code);
}

int lookups_new(Lookups **ret) {
        Lookups *lookups = calloc(1, sizeof(*lookups));

        if (!lookups)
                return err_origin(-ENOMEM);
        lookups->timeout_usec = LOOKUP_TIMEOUT_USEC;
        *ret = lookups;
        return 0;
}

void lookups_want_all(Lookups *lookups, uint64_t timeout_usec) {
        lookups->wants_all = true;
        lookups->timeout_usec = timeout_usec;
}

static void lookup_drop(Lookups *lookups, Lookup *lookup) {
        DL_DELETE(lookups->by_age, lookup);
        HASH_DELETE(hh, lookups->by_id, lookup);
        lookups->n--;
        free(lookup);
}

Lookups *lookups_free(Lookups *lookups) {
        if (!lookups)
                return NULL;

        while (lookups->by_age)
                lookup_drop(lookups, lookups->by_age);
        free(lookups);
        return NULL;
}

int lookups_add(Lookups *lookups, const PacketId *ref, Address address, uint32_t links,
                bool settling, uint64_t now_usec, uint64_t *ret_id) {
        Lookup *lookup;

        if (lookups->n >= LOOKUPS_MAX)
                return LOOKUPS_E_FULL;
        lookup = malloc(sizeof(*lookup));
        if (!lookup)
                return err_origin(-ENOMEM);

        *lookup = (Lookup){
                .id = ++lookups->last_id,
                .ref = *ref,
                .address = address,
                .waiting = links,
                .code = settling             ? CODE_SETTLING
                        : lookups->wants_all ? CODE_NO_PROVIDER
                                             : CODE_NOT_HERE,
                .deadline_usec = now_usec + lookups->timeout_usec,
        };
        HASH_ADD(hh, lookups->by_id, id, sizeof(lookup->id), lookup);
        DL_APPEND(lookups->by_age, lookup);
        lookups->n++;
        *ret_id = lookup->id;
        return 0;
}

static void lookup_end(Lookups *lookups, Lookup *lookup, uint16_t code, LookupResult *ret) {
        *ret = (LookupResult){
                .ref = lookup->ref,
                .address = lookup->address,
                .code = lookup->found ? CODE_OK : code,
        };
        lookup_drop(lookups, lookup);
}

int lookups_answer(Lookups *lookups, uint64_t id, unsigned slot, uint16_t code, LookupResult *ret) {
        Lookup *lookup;

        HASH_FIND(hh, lookups->by_id, &id, sizeof(id), lookup);
        if (!lookup || !(lookup->waiting & 1U << slot))
                return LOOKUPS_E_UNKNOWN;

        lookup->waiting &= ~(1U << slot);
        if (code == CODE_OK && !lookups->wants_all) {
                lookup_end(lookups, lookup, CODE_OK, ret);
                return 0;
        }
        if (code == CODE_OK)
                lookup->found = true;
        else
                lookup_refused(lookup, code);
        if (lookup->waiting != 0)
                return LOOKUPS_E_PENDING;
        lookup_end(lookups, lookup, lookup->code, ret);
        return 0;
}

bool lookups_await(const Lookups *lookups, uint64_t id, unsigned slot, PacketId *ret) {
        const Lookup *lookup;

        HASH_FIND(hh, lookups->by_id, &id, sizeof(id), lookup);
        if (!lookup || !(lookup->waiting & 1U << slot))
                return false;
        *ret = lookup->ref;
        return true;
}

void lookups_forget_link(Lookups *lookups, unsigned slot) {
        Lookup *lookup;

        DL_FOREACH (lookups->by_age, lookup)
                if (lookup->waiting & 1U << slot) {
                        lookup->waiting &= ~(1U << slot);
                        lookup_refused(lookup, CODE_SETTLING);
                        lookups->ready = true;
                }
}

int lookups_pop(Lookups *lookups, uint64_t now_usec, LookupResult *ret) {
        Lookup *lookup;

        DL_FOREACH (lookups->by_age, lookup)
                if (lookup->waiting == 0 || now_usec >= lookup->deadline_usec) {
                        if (lookup->waiting != 0)
                                lookup_refused(lookup, CODE_SETTLING);
                        lookup_end(lookups, lookup, lookup->code, ret);
                        return 0;
                }
        lookups->ready = false;
        return LOOKUPS_E_NONE;
}

uint64_t lookups_deadline(const Lookups *lookups) {
        if (lookups->ready)
                return 0;
        return lookups->by_age ? lookups->by_age->deadline_usec : USEC_NEVER;
}
