/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Topics beyond this host: who elsewhere wants what, and what ours want of others
 *
 * Processes with a lease are made known with what they subscribed to: the gateway is told, and tells
 * other hosts. What it says of theirs is kept here, apart from the subscriptions of this host, in a
 * table of fixed size, for the gateway has no user to pay for it.
 *
 * Nothing is sent from here. A process that publishes and goes off-host is told who reads its topic,
 * and seals a copy for each by itself: the first time it asks, and from then on whenever that changes,
 * also when a reader has begun anew to want the topic: it may want what was retained.
 * Changes gather for WANTS_GATHER_USEC, so that many of them cost one look; and for WANTS_REST times what
 * the last look took, for one bridge elsewhere may want ten thousand patterns, and change its mind all
 * the time.
 *
 * What was lost with a link or with the gateway stays for WANTS_DOUBT_USEC: most likely it comes back,
 * and publishers go on counting for it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "libcore/control.h"
#include "libcore/log.h"
#include "libcore/topic-tree.h"
#include "libcore/wants.h"

#define WANTS_MAX 16384
#define WANTS_ONE_MAX 1024 /* of one process */
#define WANTS_DOUBT_USEC (30 * USEC_PER_SEC)
#define WANTS_GATHER_USEC (50 * USEC_PER_MSEC)
#define WANTS_REST 10
#define WANTS_TOLD_MAX 4096    /* topics whose publishers were told; in all */
#define WANTS_TOLD_ONE_MAX 256 /* and one process */

typedef struct Manager Manager;
typedef struct Peer Peer;
typedef struct ToldTopic ToldTopic;

/* Of other hosts. */
typedef struct Wants {
        WantSet set;
        TopicTree tree;
        uint32_t n_begun; /* patterns so far, so that what is wanted anew can be told apart */
        ToldTopic *told;  /* oldest first */
        unsigned n_told;
        uint64_t doubt_usec;  /* when what is in doubt is dropped; USEC_NEVER: nothing is */
        uint64_t look_usec;   /* when those who were told are told anew; USEC_NEVER: no change */
        uint64_t rested_usec; /* when that may be done again */
        PacketId pings[CONTROL_LINKS_MAX]; /* of the gateway, answered behind that */
        unsigned n_pings;
        LogRate crowded_rate;
} Wants;

/* What a process that publishes was told. */
typedef struct ToldTopics {
        ToldTopic *topics;
        unsigned n;
} ToldTopics;

void wants_start(Wants *wants);
/* The end: all processes have left. */
void wants_end(Wants *wants);

/* @peer wants @pattern, or does not any more: tells the gateway, if @peer goes off-host. */
void wants_say(Peer *peer, uint32_t value, const char *pattern, size_t n_pattern);
/* A word of the gateway's. Return: false if it is malformed. */
bool wants_on_word(Manager *manager, const Control *word);
/*
 * The gateway asks, in the packet @id, whether all who publish have heard what it said of others: it is
 * answered PING_ALL when their sockets have it, and 0 if one of them had no room.
 */
void wants_on_ping(Manager *manager, const PacketId *id);
/* The gateway left. */
void wants_doubt_all(Manager *manager);
/*
 * Tells @peer, who asked so in the packet @id, who on other hosts reads @topic: nobody, if policy says
 * that what it publishes there stays here.
 */
void wants_say_readers(Peer *peer, const char *topic, size_t n_topic, const PacketId *id);
/*
 * What @peer retained on @topic, in the message @id, it is to forget: it was not retained, or another
 * process of its user has taken its place.
 */
void wants_say_replaced(Peer *peer, const char *topic, size_t n_topic, const PacketId *id);
/* There is a new policy: whose topics may leave this host is looked at again. */
void wants_reevaluate(Manager *manager);
/* @peer is told no more: it leaves. */
void wants_leave(Peer *peer);
/* The same, and that there are no readers: it may not go off-host any more. */
void wants_revoke(Peer *peer);
void wants_on_time(Manager *manager);
