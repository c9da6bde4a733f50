/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Names: which process provides which names, for people to read
 *
 * A copy of the daemon's list, asked for again when an unknown process shows up, and otherwise once
 * a second at most while somebody asks: processes claim names soon after they attach. Asking blocks
 * for a moment. A daemon that does not tell this user leaves the copy empty.
 */

#include <stdbool.h>
#include <stdint.h>

#include "libclient/p2pbus.h"

typedef struct NamesEntry NamesEntry;

typedef struct Names {
        p2pbus *bus;
        NamesEntry *entries; /* by PID */
        uint64_t asked_usec;
        bool refused;
} Names;

void names_init(Names *names, p2pbus *bus);
void names_done(Names *names);
/* Asks the daemon again if that is due. To be called before a message of @from and @to is looked at.
 */
void names_refresh(Names *names, const char *from, const char *to);
/* The names of @pid joined by commas, or NULL. Valid until names_refresh(). */
const char *names_of(const Names *names, const char *pid);
bool names_provides(const Names *names, const char *pid, const char *name);
