/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Connection: a tool's end of the bus, with everything else it waits for
 *
 * Tools have one thread and one place where they wait, connection_wait(). It polls the bus, SIGINT,
 * SIGTERM and SIGCHLD, and whatever the tool adds, and lets the library work; so the library answers
 * its peers also while a slow reader holds up stdout. A bus that goes away is told once, and it is
 * waited for; a bus that is not there at the start is the end.
 *
 * Before connection_watch(), and again after connection_blocking(), a signal ends the tool on the
 * spot, so that calls that block need no care.
 */

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libclient/p2pbus.h"
#include "tools/options.h"

typedef struct Connection {
        p2pbus *bus;
        const Options *options;
        bool attached; /* as far as was told */
        int signal_fd;
        int signal; /* SIGINT or SIGTERM, once it came */
        struct pollfd *fds;
        size_t n_fds;
} Connection;

enum {
        _CONNECTION_E_SUCCESS,

        CONNECTION_E_SIGNAL,  /* connection->signal says which; end */
        CONNECTION_E_CLOSED,  /* the bus has closed for good; end */
        CONNECTION_E_TIMEOUT, /* the deadline has passed and nothing else happened */
};

/* From now on SIGINT and SIGTERM end the tool at once with a line and 128 + number. First call after
 * common_init(). */
void connection_init(Connection *connection);
/* Opens the bus with P2PBUS_X @flags, and off-host unless --local. Return: 0, or the status to end
 * with after having said why. */
int connection_open(Connection *connection, const Options *options, uint32_t flags);
/* From now on signals are what connection_wait() returns. Return: 0, or the status to end with. */
int connection_watch(Connection *connection);
/* Forgets a signal that came: the next one will be heard of. Return: its number. */
int connection_take_signal(Connection *connection);
/* Closes; received messages that were not confirmed stay so. */
void connection_done(Connection *connection);

/*
 * Waits for the bus, a signal, one of @fds, or @deadline_usec on CLOCK_MONOTONIC (USEC_NEVER), and
 * lets the library work. revents of @fds are set.
 *
 * Return: 0: look around; CONNECTION_E_SIGNAL, CONNECTION_E_CLOSED, CONNECTION_E_TIMEOUT, -errno.
 */
int connection_wait(Connection *connection, struct pollfd *fds, size_t n_fds,
                    uint64_t deadline_usec);
/* Waits for SIGCHLD alone, at most until @deadline_usec. */
void connection_wait_child(Connection *connection, uint64_t deadline_usec);
/* Signals end the tool on the spot again: before calls that block. Says so if one has come. */
int connection_blocking(Connection *connection);

/* Says what connection_wait() returned, or another -errno, and returns the status to end with. */
int connection_end(Connection *connection, int r);

/* The exit status that stands for an error of the library. */
int connection_status(int error, int reason);
/*
 * Says "PROGRAM: WHAT: WHY; WHAT TO DO" for an error of the library about @dest, which may be NULL;
 * @text is the explanation, NULL for the usual words. Return: the status to end with.
 */
int connection_fail(Connection *connection, const char *what, const char *dest, int error,
                    int reason, const char *text);

/* The same about a message that was sent to @what, and who has refused it, by which rule. */
int connection_fail_message(Connection *connection, const char *what, p2pbus_message *message,
                            int error, int reason);

/* Says why a key file cannot be used. Return: the status to end with. */
int connection_fail_key(const char *file, int error, int reason);
