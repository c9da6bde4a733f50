/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/routes.h"

#include <assert.h>
#include <uthash.h>
#include <utlist.h>

#include "libcore/err.h"

typedef struct Entry Entry;

struct Entry {
        PackedAddress key;
        UT_hash_handle hh;
        Entry *prev, *next; /* by time of learning, the oldest first */
        uint64_t learnt_usec[ROUTES_LINKS_MAX];
        uint32_t known;
        int last;
        int chosen; /* what routes_choose() said, or -1 */
};

struct Routes {
        Entry *by_address;
        Entry *by_age;
        unsigned n_entries;
        unsigned entries_max;
        int chosen; /* for those of whom nothing is known */
};

int routes_new(Routes **ret, unsigned entries_max) {
        Routes *routes = calloc(1, sizeof(*routes));

        if (!routes)
                return err_origin(-ENOMEM);
        routes->entries_max = entries_max;
        routes->chosen = -1;
        *ret = routes;
        return 0;
}

static void entry_drop(Routes *routes, Entry *entry) {
        DL_DELETE(routes->by_age, entry);
        HASH_DELETE(hh, routes->by_address, entry);
        routes->n_entries--;
        free(entry);
}

Routes *routes_free(Routes *routes) {
        if (!routes)
                return NULL;

        while (routes->by_age)
                entry_drop(routes, routes->by_age);
        free(routes);
        return NULL;
}

static Entry *entry_find(const Routes *routes, Address address) {
        PackedAddress key = address_pack(address);
        Entry *entry;

        HASH_FIND(hh, routes->by_address, &key, sizeof(key), entry);
        return entry;
}

static Entry *entry_add(Routes *routes, Address address) {
        Entry *entry;

        if (routes->n_entries >= routes->entries_max)
                entry_drop(routes, routes->by_age);
        entry = calloc(1, sizeof(*entry));
        if (!entry)
                return NULL;
        entry->key = address_pack(address);
        entry->chosen = routes->chosen; /* what is under way goes that way */
        HASH_ADD(hh, routes->by_address, key, sizeof(entry->key), entry);
        DL_APPEND(routes->by_age, entry);
        routes->n_entries++;
        return entry;
}

void routes_learn(Routes *routes, Address address, unsigned slot, uint64_t now_usec) {
        Entry *entry = entry_find(routes, address);

        assert(slot < ROUTES_LINKS_MAX);
        if (!entry)
                entry = entry_add(routes, address);
        if (!entry)
                return;

        entry->known |= 1U << slot;
        entry->learnt_usec[slot] = now_usec;
        entry->last = (int)slot;
        DL_DELETE(routes->by_age, entry);
        DL_APPEND(routes->by_age, entry);
}

static void entry_forget(Routes *routes, Entry *entry, unsigned slot) {
        entry->known &= ~(1U << slot);
        if (entry->last == (int)slot)
                entry->last = -1;
        if (entry->chosen == (int)slot)
                entry->chosen = -1;
        if (entry->known == 0)
                entry_drop(routes, entry);
}

void routes_forget(Routes *routes, Address address, unsigned slot) {
        Entry *entry = entry_find(routes, address);

        assert(slot < ROUTES_LINKS_MAX);
        if (entry)
                entry_forget(routes, entry, slot);
}

void routes_forget_link(Routes *routes, unsigned slot) {
        Entry *entry, *next;

        assert(slot < ROUTES_LINKS_MAX);
        if (routes->chosen == (int)slot)
                routes->chosen = -1;
        DL_FOREACH_SAFE (routes->by_age, entry, next)
                entry_forget(routes, entry, slot);
}

static uint32_t entry_known(const Entry *entry, uint64_t now_usec) {
        uint32_t known = 0;

        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (entry->known & 1U << i && now_usec - entry->learnt_usec[i] < ROUTES_LIFE_USEC)
                        known |= 1U << i;
        return known;
}

Route routes_find(const Routes *routes, Address address, uint64_t now_usec) {
        const Entry *entry = entry_find(routes, address);
        Route route = { .last = -1 };

        if (!entry)
                return route;
        route.known = entry_known(entry, now_usec);
        if (entry->last >= 0 && route.known & 1U << entry->last)
                route.last = entry->last;
        return route;
}

static bool is_clearly_shorter(uint64_t round_trip_usec, uint64_t than_usec) {
        return round_trip_usec < than_usec &&
               than_usec - round_trip_usec >= MAX(than_usec / 4, ROUTES_CLEARLY_USEC);
}

/* Of @links, which are not none. */
static int shortest_of(uint32_t links, const uint64_t round_trip_usec[static ROUTES_LINKS_MAX]) {
        int best = -1;

        for (int i = 0; i < ROUTES_LINKS_MAX; i++)
                if (links & 1U << i && (best < 0 || round_trip_usec[i] < round_trip_usec[best]))
                        best = i;
        return best;
}

int routes_choose(Routes *routes, Address address, uint32_t links,
                  const uint64_t round_trip_usec[static ROUTES_LINKS_MAX], uint64_t now_usec,
                  int *chosen) {
        Entry *entry = entry_find(routes, address);
        uint32_t known = entry ? entry_known(entry, now_usec) & links : 0;
        int best;

        if (links == 0)
                return -1;
        if (!chosen)
                chosen = entry ? &entry->chosen : &routes->chosen;
        if (known != 0)
                links = known;
        best = shortest_of(links, round_trip_usec);
        if (*chosen < 0 || !(links & 1U << *chosen) ||
            is_clearly_shorter(round_trip_usec[best], round_trip_usec[*chosen]))
                *chosen = best;
        return *chosen;
}

unsigned routes_count(const Routes *routes) {
        return routes->n_entries;
}
