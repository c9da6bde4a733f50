/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "daemon/credentials.h"

#include <poll.h>
#include <sys/socket.h>
#include <systemd/sd-login.h>

#include "libcore/err.h"
#include "libcore/util.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

int credentials_read(int fd, Credentials *ret) {
        struct ucred ucred;
        socklen_t n = sizeof(ucred);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &n) < 0)
                return err_origin(-errno);
        *ret = (Credentials){
                .os_pid = (uint32_t)ucred.pid,
                .uid = ucred.uid,
                .gid = ucred.gid,
        };
        return 0;
}

static int read_groups(int fd, Credentials *credentials) {
        _cleanup_(freep) uint32_t *groups = NULL;
        socklen_t n = 0;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &n) < 0 && errno != ERANGE)
                return err_origin(-errno);
        if (n == 0)
                return 0;
        groups = malloc(n);
        if (!groups)
                return err_origin(-ENOMEM);
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n) < 0)
                return err_origin(-errno);
        credentials->groups = TAKE_PTR(groups);
        credentials->n_groups = n / sizeof(uint32_t);
        return 0;
}

static int peer_pidfd(int fd) {
        int pidfd = -EBADF;
        socklen_t n = sizeof(pidfd);

        return getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &n) < 0 ? -EBADF : pidfd;
}

/*
 * A pidfd can be read when its process has ended. To ask with a signal would be no proof: what
 * forbids signals says the same of the living and the dead.
 */
static bool has_ended(int pidfd) {
        struct pollfd fd = { .fd = pidfd, .events = POLLIN };

        return poll(&fd, 1, 0) != 0;
}

/* What was read of the process id counts only if the process behind it is still the one. */
static char *read_unit(int fd, uint32_t os_pid, CredentialsUnit kind) {
        _cleanup_(fd_closep) int pidfd = -EBADF;
        char *unit = NULL;
        int r;

        /* Of another PID namespace, it has no number here: 0 would be ourselves. */
        if (os_pid == 0)
                return NULL;
        pidfd = peer_pidfd(fd);
        if (pidfd < 0)
                return NULL;
        r = kind == CREDENTIALS_USER_UNIT ? sd_pid_get_user_unit((pid_t)os_pid, &unit)
                                          : sd_pid_get_unit((pid_t)os_pid, &unit);
        if (r < 0)
                return NULL;
        if (has_ended(pidfd)) {
                free(unit);
                return NULL;
        }
        return unit;
}

void credentials_read_unit(int fd, CredentialsUnit unit, Credentials *credentials) {
        if (unit == CREDENTIALS_NO_UNIT || credentials->unit_was_read)
                return;
        credentials->unit = read_unit(fd, credentials->os_pid, unit);
        credentials->unit_was_read = true;
}

int credentials_read_all(int fd, CredentialsUnit unit, Credentials *ret) {
        Credentials credentials = { 0 };
        int r;

        r = credentials_read(fd, &credentials);
        if (r == 0)
                r = read_groups(fd, &credentials);
        if (r < 0)
                return err_trace(r);
        credentials_read_unit(fd, unit, &credentials);
        *ret = credentials;
        return 0;
}

int credentials_copy(const Credentials *from, Credentials *ret) {
        _cleanup_(freep) uint32_t *groups = NULL;
        size_t n = from->n_groups * sizeof(uint32_t);
        char *unit = NULL;

        if (n > 0) {
                groups = malloc(n);
                if (!groups)
                        return err_origin(-ENOMEM);
                memcpy(groups, from->groups, n);
        }
        if (from->unit) {
                unit = strdup(from->unit);
                if (!unit)
                        return err_origin(-ENOMEM);
        }
        *ret = *from;
        ret->groups = TAKE_PTR(groups);
        ret->unit = unit;
        return 0;
}

void credentials_done(Credentials *credentials) {
        free((void *)credentials->groups);
        free((void *)credentials->unit);
        credentials->groups = NULL;
        credentials->n_groups = 0;
        credentials->unit = NULL;
}

size_t credentials_memory(const Credentials *credentials) {
        return credentials->n_groups * sizeof(uint32_t) +
               (credentials->unit ? strlen(credentials->unit) + 1 : 0);
}

bool credentials_are_in(const Credentials *credentials, uint32_t gid) {
        if (gid == CREDENTIALS_NOBODY)
                return false;
        if (credentials->gid == gid)
                return true;
        for (size_t i = 0; i < credentials->n_groups; i++)
                if (credentials->groups[i] == gid)
                        return true;
        return false;
}

bool credentials_have_units(void) {
        _cleanup_(fd_closep) int a = -EBADF;
        _cleanup_(fd_closep) int b = -EBADF;
        _cleanup_(fd_closep) int pidfd = -EBADF;
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return false;
        a = pair[0];
        b = pair[1];
        pidfd = peer_pidfd(a);
        return pidfd >= 0;
}
