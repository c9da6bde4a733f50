/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Topics on this host: who subscribed to what, and what was retained
 *
 * A process whose patterns (libcore/topic-tree.h) fit more than once gets one copy. Nothing is promised:
 * whoever does not read misses some, and is told how many before the next.
 * What it gets is kept once for all (topic-frame.h).
 */

#include <stdint.h>

#include "daemon/topic-frame.h"
#include "libcore/control.h"
#include "libcore/topic-tree.h"
#include "libcore/util.h"

#define TOPICS_OWN TOPIC_OWN

typedef struct Manager Manager;
typedef struct Peer Peer;
typedef struct Subscription Subscription;
typedef struct Retained Retained;

typedef struct Topics {
        TopicTree tree;
        TopicPages pages;
        Retained *retained;
        uint64_t n_subscriptions;
        uint64_t n_retained;
        uint64_t round; /* numbers what is published, so that nobody gets it twice */
} Topics;

/* What a process has here. */
typedef struct TopicReader {
        Subscription *subscriptions;
        uint64_t round;  /* it got the message of this round */
        uint64_t n_lost; /* since it was told last */
        TopicHolder holder;
} TopicReader;

/* Handles SUBSCRIBE. Return: what to answer. */
ControlCode topics_subscribe(Peer *peer, uint32_t value, const char *pattern, size_t n_pattern);
/* Handles PUBLISH, a MSG record in @word's body, in the packet @id. Return: CODE_OK, or why not. */
ControlCode topics_publish(Peer *from, const Control *word, const PacketId *id);
/* Handles READERS, of who asks, in the packet @id. Return: CODE_OK, and it is answered; or why not. */
ControlCode topics_say_readers(Peer *from, const Control *word, const PacketId *id);
/* What the daemon itself has to say on @topic, TOPICS_OWN "...": a line of text. */
_printf_(3, 4) void topics_announce(Manager *manager, const char *topic, const char *format, ...);
/* Ends those subscriptions of a process that its policy does not allow any more. */
void topics_reevaluate_of(Peer *peer);
/* After all processes: what is retained is judged by the new policy, too. */
void topics_reevaluate(Manager *manager);
/* Tells the gateway what @peer wants: it has got its lease. */
void topics_say_wants(Peer *peer);
/* Ends all subscriptions of a process. */
void topics_leave(Peer *peer);
/* The end: all processes have left. */
void topics_done(Topics *topics);
