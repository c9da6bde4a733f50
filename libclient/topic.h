/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Topics: what this process publishes, subscribes to, and has got
 *
 * Topics are outside sessions: nobody confirms, nothing is sent again. Messages wait for the
 * application in one row of at most TOPIC_INBOX_MAX bytes; what does not fit is counted, and so is
 * what the daemon had no room for.
 */

#include "libclient/bus.h"
#include "libclient/peer.h"

#define TOPIC_INBOX_MAX (4U << 20)
#define TOPIC_INBOX_REMOTE_MAX (TOPIC_INBOX_MAX / 2) /* of that, from other hosts */
#define TOPIC_OTHERS_USEC (3 * USEC_PER_SEC) /* who subscribes waits for other hosts no longer */
#define TOPIC_OUTPUT_MAX                                                                           \
        (1U << 20) /* bytes that wait for the socket before publishing says EAGAIN */

/* PUBLISHED and TOPIC_LOST. */
void topic_on_published(p2pbus *bus, const Control *word);
void topic_on_lost(p2pbus *bus, const Control *word);
/* WANTED: a pattern of ours is not known to all other hosts. */
void topic_on_refused(p2pbus *bus, const Control *word);
/* The next message for the application, with a reference that is now the caller's; NULL: none. */
Message *topic_take(p2pbus *bus);
static inline bool topic_has_messages(const p2pbus *bus) {
        return bus->topics.inbox != NULL;
}
/* The most that we subscribed to with a pattern that fits: a value of SUBSCRIBE. */
uint32_t topic_wanted(const p2pbus *bus, const char *topic, size_t n_topic);
/*
 * A message for the application; @source: who published it. Without room it is lost, and counted.
 * Return: whether it is not.
 */
bool topic_put(p2pbus *bus, const Record *record, const char *topic, size_t n_topic,
               const PeerSource *source);
/* After an attach: daemon_ask_again() follows. */
void topic_subscribe_again(p2pbus *bus);
/* Those that are lost, when the policy has changed. */
void topic_subscribe_lost(p2pbus *bus);
/* The daemon ends a subscription, by the rule @text. */
void topic_on_denied(p2pbus *bus, const char *pattern, const char *text);
void topic_free_all(p2pbus *bus);
