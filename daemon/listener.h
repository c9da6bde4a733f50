/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * The listening socket
 *
 * Either systemd's or our own. Over a limit a connection is accepted and closed at once, so that
 * nobody waits for a daemon that will not answer; when descriptors run out, a reserve is given up
 * for just that long. The listener never pauses.
 */

#include <stdint.h>
#include <systemd/sd-event.h>

typedef struct Manager Manager;

typedef struct Listener {
        Manager *manager;
        int fd;
        int reserve_fd;
        sd_event_source *io;
        char *path; /* to be removed at the end; NULL: systemd's */
} Listener;

/*
 * Listens on @fd, or makes a socket at @path: a stale file there is replaced, its folder made if
 * missing. Return: 0; -EADDRINUSE if a bus lives there; -errno.
 */
int listener_init(Listener *listener, Manager *manager, int fd, const char *path);
void listener_done(Listener *listener);
