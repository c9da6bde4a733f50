/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * A real p2pbusd, and raw clients that may do what the library never would
 *
 * A test reads like a short story: daemon_start(&d, ...); client_open(&a, &d, ...); client_send();
 * expect_word(); daemon_stop(&d). Nothing sleeps: each wait is for an event, at most EXPECT_MSEC,
 * and a wait that ends otherwise fails the test.
 */

#include <check.h>
#include <stdbool.h>
#include <sys/types.h>

#include "libcore/control.h"
#include "libcore/stream.h"
#include "libsecure/attach.h"
#include "libsecure/identity.h"

#define EXPECT_MSEC 30000

typedef struct Daemon {
        pid_t os_pid;
        char folder[64]; /* holds everything below */
        char socket[96];
        char config[96];
        char policy[96]; /* its only folder of policy files; made by daemon_rule() */
        char log[96];    /* what it said on stderr */
} Daemon;

/* One frame, its bytes copied. */
typedef struct Received {
        PacketHeader header;
        Control word; /* if it is a control word */
        uint8_t bytes[FRAME_SIZE_MAX];
        int fds[FRAME_FDS_MAX];
} Received;

typedef struct Client {
        int fd;
        Stream *stream;
        IdentityKey *key;
        Address address;
        uint8_t hello[HELLO_SIZE];
        uint64_t n_sent;
        Received last;
} Client;

/* Starts a daemon in a folder of its own and waits for READY. @kind: "--user" or "--system";
 * @config: text of its configuration file, or NULL. $daemon_wrapper, if set, is what runs it, with
 * its options: valgrind. */
void daemon_start(Daemon *d, const char *kind, const char *config);
/* SIGTERM: it must end with 0. Removes its folder. */
void daemon_stop(Daemon *d);
/* The same, but it keeps its folder and socket path, for a daemon that comes back. */
void daemon_end(Daemon *d);
void daemon_restart(Daemon *d, const char *kind);
void daemon_configure(const Daemon *d, const char *config);
/* Makes the policy file @name, or removes it: @text NULL. Heard at the next start or reload. */
void daemon_rule(const Daemon *d, const char *name, const char *text);
/* What it said on stderr; the caller frees. */
char *daemon_said(const Daemon *d);
unsigned daemon_said_times(const Daemon *d, const char *what);
/* A number of QUERY_STATUS. */
uint64_t daemon_status(const Daemon *d, const char *key);

/* Connects and reads HELLO. @key: NULL for a fresh one; else taken. */
void client_connect(Client *c, const Daemon *d, IdentityKey *key);
/* The same from a process of another user; needs root. */
void client_connect_as(Client *c, const Daemon *d, IdentityKey *key, uid_t uid);
/* Only the descriptor, before anything was read. */
int client_connect_raw(const Daemon *d, uid_t uid);
/* Proves the key; expects WELCOME, and why if other hosts are denied. Return: flags granted. */
uint32_t client_attach(Client *c, uint16_t flags);
void client_open(Client *c, const Daemon *d, uint16_t flags);
/* False, and nothing is open, if the daemon closes the connection instead of saying HELLO. */
bool client_try_open(Client *c, const Daemon *d);
void client_open_as(Client *c, const Daemon *d, uint16_t flags, uid_t uid);
/* As the gateway, before anything is said to it. @key: as in client_connect(). */
void client_begin_gateway(Client *c, const Daemon *d, IdentityKey *key);
/* As the gateway of a daemon that knows of no lease. */
void client_open_gateway(Client *c, const Daemon *d);
void client_close(Client *c);

/* A good ATTACH frame for the HELLO that was read. */
void client_make_attach(const Client *c, uint16_t flags,
                        uint8_t out[static FRAME_PREFIX_SIZE + ATTACH_SIZE]);
/* The lease of @c that @request, the body of a LEASE_REQUEST, asks for. */
void client_make_lease(const Client *c, const uint8_t *request, uint32_t flags,
                       uint8_t out[static CONTROL_LEASE_SIZE]);
/* Expects LEASE_REQUEST and gives what it asks for. @ret_lease: NULL, or CONTROL_LEASE_SIZE bytes for it. */
void client_give_lease(Client *c, uint8_t *ret_lease);
/* Bytes as they are, until all are written or the other side has gone (which returns false). */
bool client_write(Client *c, const void *data, size_t n);
bool client_write_fds(Client *c, const void *data, size_t n, const int *fds, size_t n_fds);

/* A packet from the client's own address. Return: its id. */
PacketId client_send(Client *c, Address dst, PacketKind kind, const void *payload, size_t n);
/* Any header; @header's size is set. Return: false if the other side has gone. */
bool client_send_header(Client *c, PacketHeader header, const void *payload, size_t n);
PacketId client_say(Client *c, const Control *word);

/* The next frame, which must be a packet. Return: &c->last. */
const Received *expect_packet(Client *c);
/* The next packet that is @verb; NOTICEs before it are skipped, anything else fails. */
const Control *expect_word(Client *c, ControlVerb verb);
/* ERROR with @code. */
const Control *expect_error(Client *c, ControlCode code);
/* The next packet that is no NOTICE must be RECORDS or SEALED with this payload. */
const Received *expect_payload(Client *c, PacketKind kind, const void *payload, size_t n);
/* End of the connection, with nothing before it but control words. */
void expect_closed(Client *c);
/* Nothing unread lies before the answer to a question asked now. */
void expect_silence(Client *c);
