/* SPDX-License-Identifier: Apache-2.0 */

#define HASH_NONFATAL_OOM 1

#include "daemon/registry.h"

#include "libcore/err.h"
#include "libcore/util.h"

/* One that left. A hash in insertion order: its first element is the oldest. */
struct Departed {
        Pid pid;
        uint32_t tag;
        UT_hash_handle hh;
};

void registry_init(Registry *registry, unsigned n_pid_bytes) {
        *registry = (Registry){
                .index_mask = n_pid_bytes >= 8 ? UINT64_MAX : ~(UINT64_MAX >> (8 * n_pid_bytes)),
                .generation = 1,
        };
}

void registry_done(Registry *registry) {
        Departed *departed, *next;

        HASH_ITER (hh, registry->departed, departed, next) {
                HASH_DELETE(hh, registry->departed, departed);
                free(departed);
        }
}

static RegistryEntry *find_index(const Registry *registry, Pid pid) {
        RegistryEntry *entry;

        pid &= registry->index_mask;
        HASH_FIND(by_index, registry->by_index, &pid, sizeof(pid), entry);
        return entry;
}

static void departed_forget(Registry *registry, Pid pid) {
        Departed *departed;

        HASH_FIND(hh, registry->departed, &pid, sizeof(pid), departed);
        if (!departed)
                return;
        HASH_DELETE(hh, registry->departed, departed);
        registry->n_departed--;
        free(departed);
}

/* Best effort: whoever is forgotten is merely NOT_HERE. */
static void departed_remember(Registry *registry, Address address) {
        Departed *departed;

        departed_forget(registry, address.pid);
        if (registry->n_departed >= REGISTRY_DEPARTED_MAX)
                departed_forget(registry, registry->departed->pid);
        departed = calloc(1, sizeof(*departed));
        if (!departed)
                return;
        departed->pid = address.pid;
        departed->tag = address.tag;
        HASH_ADD(hh, registry->departed, pid, sizeof(departed->pid), departed);
        if (!departed->hh.tbl) {
                free(departed);
                return;
        }
        registry->n_departed++;
}

int registry_add(Registry *registry, RegistryEntry *entry) {
        RegistryEntry *first;
        unsigned n = 0;

        if (registry_find_kid(registry, entry->kid))
                return REGISTRY_E_TAKEN;
        entry->index = entry->address.pid & registry->index_mask;
        entry->next = NULL;
        first = find_index(registry, entry->address.pid);
        for (RegistryEntry *other = first; other; other = other->next)
                n++;
        if (n >= REGISTRY_SAME_PID_MAX)
                return REGISTRY_E_FULL;

        HASH_ADD(by_kid, registry->by_kid, kid, REGISTRY_KID_SIZE, entry);
        if (!entry->by_kid.tbl)
                return err_origin(-ENOMEM);
        if (first) {
                entry->next = first->next;
                first->next = entry;
        } else {
                HASH_ADD(by_index, registry->by_index, index, sizeof(entry->index), entry);
                if (!entry->by_index.tbl) {
                        HASH_DELETE(by_kid, registry->by_kid, entry);
                        return err_origin(-ENOMEM);
                }
        }
        departed_forget(registry, entry->address.pid);
        registry->generation++;
        return 0;
}

void registry_remove(Registry *registry, RegistryEntry *entry) {
        RegistryEntry *first = find_index(registry, entry->address.pid);

        HASH_DELETE(by_kid, registry->by_kid, entry);
        if (first == entry) {
                /* In this order the table never runs empty, and so needs no memory. */
                if (entry->next)
                        HASH_ADD(by_index, registry->by_index, index, sizeof(entry->index),
                                 entry->next);
                HASH_DELETE(by_index, registry->by_index, entry);
        } else {
                while (first->next != entry)
                        first = first->next;
                first->next = entry->next;
        }
        entry->next = NULL;
        departed_remember(registry, entry->address);
        registry->generation++;
}

RegistryEntry *registry_find_kid(const Registry *registry, const uint8_t kid[static 16]) {
        RegistryEntry *entry;

        HASH_FIND(by_kid, registry->by_kid, kid, REGISTRY_KID_SIZE, entry);
        return entry;
}

int registry_find(const Registry *registry, Address address, RegistryEntry **ret) {
        RegistryEntry *first = find_index(registry, address.pid);

        if (!first)
                return REGISTRY_E_NOT_HERE;
        if (address.tag == 0) {
                if (first->next)
                        return REGISTRY_E_AMBIGUOUS;
                *ret = first;
                return 0;
        }
        for (RegistryEntry *entry = first; entry; entry = entry->next)
                if (entry->address.tag == address.tag) {
                        *ret = entry;
                        return 0;
                }
        return REGISTRY_E_WRONG_KEY;
}

bool registry_has_left(const Registry *registry, Address address) {
        Departed *departed;

        HASH_FIND(hh, registry->departed, &address.pid, sizeof(address.pid), departed);
        return departed && (address.tag == 0 || departed->tag == address.tag);
}

unsigned registry_size(const Registry *registry) {
        return HASH_CNT(by_kid, registry->by_kid);
}
