/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Clients: ProcBridge programs that connected
 *
 *      CLIENT_READING      nothing yet, or a part of its request
 *      CLIENT_CALLING      its request was taken and is a call on the bus
 *      CLIENT_WRITING      its answer goes out
 *      CLIENT_DRAINING     the answer is out; whatever it still says is read and forgotten, since closing
 *                          a socket with unread bytes takes away what the other side has not read
 *
 * One request a connection. Each state has its time, so that nobody holds a place for longer.
 */

#include "procbridge/manager.h"

/* A client at @fd, which is taken over in any case. Return: 0; -EDQUOT: too many of this peer; -errno. */
int client_new(Manager *manager, int fd, const struct sockaddr *address);
/* Closes at once. */
void client_free(Client *client);
/* The gateway stops: whoever has not asked is sent away. @client may be gone then. */
void client_stop(Client *client);
Client *client_next(const Client *client);
