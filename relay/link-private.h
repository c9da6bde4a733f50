/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What the files of a link share; nobody else includes this
 *
 *      link.c       its life, reading, writing, packets
 *      handshake.c  how a connection becomes a link, or does not
 *      words.c      what its bridge says to the relay, and what is said in return
 *      service-words.c  the same of names that processes provide
 */

#include "libcore/control.h"
#include "relay/link.h"

typedef enum LinkPhase {
        PHASE_HANDSHAKE,
        PHASE_UP,
        PHASE_CLOSING,
} LinkPhase;

/* Why a link is not read; bits. */
enum {
        PAUSE_RATE = 1 << 0,
        PAUSE_CONTROL = 1 << 1,
};

struct RelayLink {
        RelayShared *shared;
        WsConnection *connection;
        LinkPhase phase;
        Link *secure;
        uint64_t id;
        const LinkLimits *limits;
        bool proven, open; /* as the address table counts it */
        bool waiting; /* something is to be written */
        unsigned pauses;
        DirectoryRoute route; /* while it is up */
        WantsRoute topics;    /* likewise */
        ServicesRoute services;
        Stream *stream;       /* frames that were cut */
        Outbox *outbox;
        Parcel *cut;     /* sent in part */
        uint32_t cut_at; /* bytes of it that were sent */
        uint64_t heard_usec, progress_usec;
        uint64_t pinged_usec; /* it was asked for a word then; 0: not since it said the last */
        uint64_t taken; /* bytes, by the other end's kernel, when it was last looked at */
        Bucket packets, bytes, lookups, verifies, errors, wants;
        sd_event_source *resume; /* made when it is first needed */
        RelayLink *prev, *next;
        UT_hash_handle hh; /* by the key of the bridge, while it is up */
        char peer[WS_ADDRESS_TEXT_SIZE];
};

static inline uint64_t relay_mono_usec(void) {
        return now_usec(CLOCK_MONOTONIC);
}

static inline uint64_t relay_wall_usec(void) {
        return now_usec(CLOCK_REALTIME);
}

/*
 * Ends it: the bridge is told @code and @reason, the log @reason, and @counter counts. Nothing of it
 * but the connection is left when this returns.
 */
void relay_link_close(RelayLink *link, unsigned code, Counter counter, const char *reason);
/* For what no bridge may do. */
void relay_link_violated(RelayLink *link, const char *what);
/* Queues a control word for @to, if it is up; Careful: @link may be closing after it. */
void relay_link_say(RelayLink *link, const Control *control, Address to);
/*
 * The same, to its bridge, for a word that can wait: false, and nothing is queued, while others do. @id:
 * NULL for one that is not answered.
 */
bool relay_link_offer(RelayLink *link, const Control *control, const PacketId *id);
/* Something waits in its outbox. */
void relay_link_flush_later(RelayLink *link);
/* What a signature costs; the debt is looked at when the message was handled. */
void relay_link_charge_verify(RelayLink *link, uint64_t now_usec);

/* The next message of a link in its handshake. It is up, closing, or waits for another then. */
void handshake_receive(RelayLink *link, const uint8_t *message, size_t n_message);

/* A CONTROL packet, whole, whose header was read. Careful: @link may be closing after it. */
void words_handle(RelayLink *link, const PacketHeader *header, const uint8_t *frame);
/* Tells the source of @header, once in a while, that its packet got no further; @by: REFUSED_BY_X. */
void words_refuse(RelayLink *link, DirectoryEntry *source, const PacketHeader *header,
                  uint16_t code, uint32_t by);
/* Tells the bridge, once in a while, that the source of @header has no lease here. */
void words_refuse_unleased(RelayLink *link, const PacketHeader *header);
