/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Who is attached: from an address to an entry
 *
 * The table is by KID, the 16 bytes that stand for a key. A second index goes from PID to the few
 * entries that share it: nearly always one. An address with a TAG means the entry that has both,
 * never the closest; one without means the only entry, if there is only one. An entry is embedded
 * in what it stands for.
 *
 * The registry also remembers some addresses that left, so that GONE can be told from NOT_HERE.
 */

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "libcore/pid.h"

#define REGISTRY_KID_SIZE 16
#define REGISTRY_SAME_PID_MAX 4
#define REGISTRY_DEPARTED_MAX 4096

typedef struct RegistryEntry RegistryEntry;
struct RegistryEntry {
        uint8_t kid[REGISTRY_KID_SIZE];
        Address address;
        Pid index; /* PID, or as much of it as this registry looks at */
        UT_hash_handle by_kid;
        UT_hash_handle by_index; /* only the first of those that share it is in the table */
        RegistryEntry *next;     /* same index */
};

typedef struct Departed Departed;

typedef struct Registry {
        RegistryEntry *by_kid;
        RegistryEntry *by_index;
        Pid index_mask;
        uint64_t generation; /* another number after every change: what was found may be kept */
        Departed *departed;  /* oldest first */
        unsigned n_departed;
} Registry;

enum {
        _REGISTRY_E_SUCCESS,

        REGISTRY_E_TAKEN, /* this key is here */
        REGISTRY_E_FULL,  /* too many keys with this PID */
        REGISTRY_E_NOT_HERE,
        REGISTRY_E_AMBIGUOUS, /* several, and no TAG to choose by */
        REGISTRY_E_WRONG_KEY, /* the PID is here, the TAG is not */
};

/* @n_pid_bytes: how much of a PID the index looks at, 8 except in tests of collisions. */
void registry_init(Registry *registry, unsigned n_pid_bytes);
void registry_done(Registry *registry);

/* @entry's kid and address are set. Return: 0, REGISTRY_E_TAKEN, REGISTRY_E_FULL, -ENOMEM. */
int registry_add(Registry *registry, RegistryEntry *entry);
/* Forgets @entry, and remembers that it was here. */
void registry_remove(Registry *registry, RegistryEntry *entry);

RegistryEntry *registry_find_kid(const Registry *registry, const uint8_t kid[static 16]);
/* Return: 0, REGISTRY_E_NOT_HERE, _AMBIGUOUS, _WRONG_KEY. */
int registry_find(const Registry *registry, Address address, RegistryEntry **ret);
/* Whether @address, with or without TAG, was here and is among those remembered. */
bool registry_has_left(const Registry *registry, Address address);
unsigned registry_size(const Registry *registry);
