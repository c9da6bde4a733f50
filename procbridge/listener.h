/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Listeners: where clients connect
 *
 * Over a limit a connection is accepted and closed at once, so that nobody waits for a gateway that will
 * not answer; when descriptors run out, a reserve is given up for just that long.
 */

#include "procbridge/manager.h"

/* Takes over @fd, which listens; @path is removed at the end, NULL: none. Return: 0, -errno. */
int listener_new(Manager *manager, int fd, const char *path);
/* Stops listening. Return: NULL. */
Listener *listener_free(Listener *listener);
/* One line on stderr for each, which scripts wait for. */
void listeners_announce(const Manager *manager);
