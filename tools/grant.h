/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Grant: a file with a realm's word that a key may have a name, as p2pbusctl realm grant writes it
 */

#include <stdbool.h>

#include "libclient/p2pbus.h"

typedef struct Grant {
        char text[P2PBUS_GRANT_SIZE];
        p2pbus_grant read;
} Grant;

/* Return: 0; else the status to end with, said by fail(). */
int grant_load(Grant *grant, const char *file);
/* Whether it is for @name, a valid one. */
bool grant_fits(const Grant *grant, const char *name);
