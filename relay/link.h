/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Link: one bridge's connection
 *
 *      HANDSHAKE --msg3, welcome--> UP --------> CLOSING --> (freed)
 *          |                         |              ^
 *          +--- late, malformed, unwelcome ---------+
 *
 * A link that was silent for a heartbeat is asked whether it is there. One that then was silent for
 * another, or has taken nothing of what waits for it for two, is dead.
 *
 * In HANDSHAKE it holds nothing but the handshake itself and takes no message that is longer than
 * the one expected. UP, it has a route in the directory, presents leases, asks, sends packets, and
 * takes what others send to its processes.
 */

#include <uthash.h>

#include "libcore/log.h"
#include "libcore/stream.h"
#include "libsecure/link.h"
#include "libws/ws.h"
#include "relay/counters.h"
#include "relay/directory.h"
#include "relay/limits.h"
#include "relay/outbox.h"
#include "relay/self.h"
#include "relay/services.h"
#include "relay/wants.h"

#define RELAY_HANDSHAKE_USEC (10 * USEC_PER_SEC)
#define RELAY_VERIFIES_IN_ALL 5000 /* signatures a second, of all links */

typedef struct RelayLink RelayLink;

/* A key that may use this relay under the limits for admitted bridges. */
typedef struct AllowedKey {
        UT_hash_handle hh;
        PublicKey key;
} AllowedKey;

/* What all links share; the manager owns it. */
typedef struct RelayShared {
        const Log *log;
        sd_event *event;
        Self *self;
        Directory *directory;
        RelayWants *wants;
        RelayServices *services;
        AddressTable *addresses;
        ParcelPool *parcels;
        Counters counters;
        const char *tombs;   /* path of the file of revoked keys */
        AllowedKey *allowed; /* hash table */
        bool open;           /* others may come, too */
        uint64_t heartbeat_usec;
        bool draining;
        Bucket verifies;
        LogRate handshake_rate; /* of the line about handshakes that failed */

        RelayLink *links;     /* all, newest last */
        RelayLink *by_bridge; /* those that are up, by key */
        unsigned n_links, n_up, n_open;
        uint64_t last_id;

        uint8_t *in;  /* FRAME_SIZE_MAX + STREAM_READ_SIZE bytes, for the message that came */
        uint8_t *out; /* WS_HEADROOM + WS_MESSAGE_MAX bytes, for the message that goes */
} RelayShared;

/* Takes over @connection, which was just opened; on failure too. Return: 0 or -errno. */
int relay_link_new(RelayShared *shared, WsConnection *connection);
/* At once and without a word. Accepts NULL, returns NULL. */
RelayLink *relay_link_free(RelayLink *link);
/* GOODBYE with @code, then the connection is closed; it frees itself later. */
void relay_link_goodbye(RelayLink *link, uint16_t code, const char *reason);
/* GOODBYE, but the connection stays until the bridge leaves or the manager closes it. */
void relay_link_warn(RelayLink *link);
/* For relay_wants_new(). */
bool words_say_wanted(WantsRoute *route, const Control *word, const PacketId *id);
/* What is wanted by processes whose leases have ended ends, too. */
void words_sweep_wanted(RelayShared *shared);
/* Every second or so: what takes too long ends. Careful: @link may be gone after it. */
void relay_link_tick(RelayLink *link, uint64_t now_usec);
RelayLink *relay_link_next(const RelayLink *link);

/*
 * Counts, and says in the log unless others just filled it, that the socket from @peer came to be
 * no link: @reason is for people.
 */
void relay_no_link(RelayShared *shared, const char *peer, Counter counter, const char *reason);
