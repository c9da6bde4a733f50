/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What the kernel says of who connected: numbers that do not change as long as the connection lives
 *
 * The unit is what systemd calls the service that the process belongs to. A process id may be
 * another's by the time it is looked at, so a unit is known only where the kernel hands over a pidfd
 * of whoever connected (SO_PEERPIDFD, Linux 6.5) that tells the two apart.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CREDENTIALS_NOBODY UINT32_MAX /* an account that does not exist fits nobody */

typedef struct Credentials {
        uint32_t os_pid;
        uint32_t uid;
        uint32_t gid;
        const uint32_t
                *groups; /* the supplementary ones; owned, if credentials_read_all() read them */
        size_t n_groups;
        const char *unit; /* NULL: none, or not known; owned likewise */
        bool unit_was_read;
} Credentials;

typedef enum CredentialsUnit {
        CREDENTIALS_NO_UNIT, /* nobody asks for it */
        CREDENTIALS_SYSTEM_UNIT,
        CREDENTIALS_USER_UNIT, /* of the user's own service manager */
} CredentialsUnit;

/* Who connected @fd: the three numbers alone. Return: 0, -errno. */
int credentials_read(int fd, Credentials *ret);
/* The same with groups and unit; credentials_done() it. Return: 0, -errno. */
int credentials_read_all(int fd, CredentialsUnit unit, Credentials *ret);
/* The unit alone, into what credentials_read_all() gave, if it was not asked for then. */
void credentials_read_unit(int fd, CredentialsUnit unit, Credentials *credentials);
/* All of @from, in memory of its own. Return: 0, -ENOMEM. */
int credentials_copy(const Credentials *from, Credentials *ret);
void credentials_done(Credentials *credentials);
/* Bytes that a copy takes beside the structure. */
size_t credentials_memory(const Credentials *credentials);

bool credentials_are_in(const Credentials *credentials, uint32_t gid);
/* Whether this kernel can tell the unit of who connects. */
bool credentials_have_units(void);
