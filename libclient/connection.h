/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Connection: one attach to the daemon of this host, from connect() to the end
 *
 *      CONNECTING  -> the listener is somebody we may believe -> HELLO_WAIT
 *      HELLO_WAIT  -> HELLO names us                          -> signed ATTACH -> WELCOME_WAIT
 *      WELCOME_WAIT -> WELCOME                                -> UP
 *      any         -> end of file, violation, ERROR, refusal  -> DOWN, for good
 *
 * Its owner drives it: watches connection_fd() for connection_events(), then calls
 * connection_read() and pops packets until there are none, queues packets, and calls
 * connection_write(). Nothing blocks, no thread or timer is made. When it is DOWN the owner frees
 * it and makes another. The same code serves libp2pbus and the bridge's gateway end.
 *
 * The bytes are PROTOCOL.md's "Attach" and "Frames".
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/control.h"
#include "libcore/packet.h"
#include "libcore/stream.h"
#include "libcore/util.h"
#include "libsecure/identity.h"

#define CONNECTION_PATH_SIZE 108 /* of a socket's path, NUL included: sun_path */

typedef struct Connection Connection;

typedef struct ConnectionOptions {
        const char *path;            /* copied */
        const IdentityKey *identity; /* borrowed: outlives the connection */
        uint16_t flags;              /* ATTACH_X */
} ConnectionOptions;

/* What WELCOME says. */
typedef struct ConnectionWelcome {
        uint32_t flags; /* ATTACH_X that were granted */
        Address self;
        uint64_t message_max;
        uint64_t queue_bytes; /* that the daemon queues for this process */
        uint64_t age_usec;    /* of the daemon at that moment */
        uint32_t hello_flags; /* HELLO_X, from HELLO */
        uint8_t instance[16]; /* differs after a restart of the daemon */
} ConnectionWelcome;

/* Why a connection could not be made, or is down. Beside these: ControlCodes. */
enum {
        _CONNECTION_E_SUCCESS,

        CONNECTION_E_NO_SOCKET = 256, /* nothing at this path */
        CONNECTION_E_NO_LISTENER,     /* a socket, but nobody behind it */
        CONNECTION_E_NO_ACCESS,       /* the kernel forbids to connect */
        CONNECTION_E_CROWDED,         /* the listener's queue is full: try again in a moment */
        CONNECTION_E_NOT_TRUSTED,     /* the listener's user is not the bus's: nothing was signed */
        CONNECTION_E_WRONG_USER,      /* HELLO names other credentials: nothing was signed */
        CONNECTION_E_NOT_A_BUS,       /* speaks something else, or a protocol we do not know */
        CONNECTION_E_LOST,            /* it ended, or broke the protocol */
        CONNECTION_E_FORKED,          /* the identity is our parent's */

        CONNECTION_E_EMPTY, /* pop: nothing now; read: nothing to read */
        CONNECTION_E_DOWN,  /* read, write, pop: see connection_error() */
};

/*
 * Where the bus is: $P2PBUS_SOCKET, else $XDG_RUNTIME_DIR/p2pbus/bus if it is there and its folder
 * belongs to the caller, else /run/p2pbus/bus.
 * Return: 0; -ENAMETOOLONG.
 */
int connection_default_path(char ret_path[static CONNECTION_PATH_SIZE]);

/*
 * Connects; what remains is done by read and write.
 * Return: 0; one of CONNECTION_E_NO_SOCKET to CONNECTION_E_NOT_TRUSTED; -ENAMETOOLONG; -EMFILE and
 * other failures of our own.
 */
int connection_new(Connection **ret, const ConnectionOptions *options);
/* Closes; what was queued and not written is gone. Accepts NULL, returns NULL. */
Connection *connection_free(Connection *connection);
DEFINE_CLEANUP(Connection, connection_free)

int connection_fd(const Connection *connection);
/* EPOLLIN, and EPOLLOUT while something waits for room. */
uint32_t connection_events(const Connection *connection);
bool connection_is_up(const Connection *connection);
/* Why it is DOWN: a CONNECTION_E_X, or the ControlCode that the daemon gave; 0 if it is not. */
int connection_error(const Connection *connection);
/* Valid as soon as, and as long as, the connection was UP once. */
const ConnectionWelcome *connection_welcome(const Connection *connection);

/*
 * Reads once, many packets, and does what belongs to the attach; then pop until EMPTY.
 * Return: 0, CONNECTION_E_EMPTY, CONNECTION_E_DOWN (packets that came before can be popped),
 * -ENOMEM.
 */
int connection_read(Connection *connection);
/* Whether the last read filled its buffer, so that another one is likely to find something. */
bool connection_has_more(const Connection *connection);

/*
 * The next packet of the daemon; @ret_data (prefix included) is valid until the next call of read
 * or pop. WELCOME is not among them. Return: 0, CONNECTION_E_EMPTY, CONNECTION_E_DOWN.
 */
int connection_pop(Connection *connection, PacketHeader *ret_header, const uint8_t **ret_data);
/* The descriptors of the packet that was popped last, how many there are; they are the caller's.
 * Those that nobody takes are closed by the next pop. */
unsigned connection_take_fds(Connection *connection, int out[static FRAME_FDS_MAX]);

/*
 * Room for one packet of @size bytes at the end of the queue, which the caller fills at once,
 * before any other call. Only while UP. Return: 0 or -ENOMEM.
 */
int connection_queue(Connection *connection, size_t size, uint8_t **ret_data);
/* The same for a control word to the daemon; @id may be NULL. */
int connection_queue_control(Connection *connection, const Control *control, const PacketId *id);
/* The same with descriptors, which are the connection's on success. */
int connection_queue_control_fds(Connection *connection, const Control *control,
                                 const PacketId *id, const int *fds, size_t n_fds);
/* Bytes queued and not written. */
size_t connection_queued(const Connection *connection);
/*
 * Writes what the socket takes. Return: 0: all of it; CONNECTION_E_EMPTY: the socket is full, wait
 * for EPOLLOUT; CONNECTION_E_DOWN; -ENOMEM.
 */
int connection_write(Connection *connection);
