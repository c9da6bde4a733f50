/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Topics beyond this host: copies for readers elsewhere, and copies that came from there
 *
 * The daemon knows who elsewhere reads a topic, and says so the first time that something is published
 * on it and whenever that changes. Each reader gets a copy that is sealed for it alone, outside
 * sessions: nobody confirms it, and nothing is sent again. A message waits for the daemon's answer,
 * for a reader's lease, and for our own, a while and within limits; what does not get away is lost for
 * that reader, who finds it in the count.
 *
 * A reader whose way is said to be full gets less a second, and slowly more again.
 *
 * Where this stands: libclient/topic.c publishes and receives; libclient/sealed.c seals and opens.
 */

#include "libclient/bus.h"

#define TOPIC_REMOTE_TOPICS_MAX 256 /* whose readers are known */
#define TOPIC_REMOTE_READERS_MAX 1024
#define TOPIC_REMOTE_WRITERS_MAX 1024 /* whose numbers are known */
#define TOPIC_REMOTE_WAITING_MAX 4096 /* messages that wait for one answer */
#define TOPIC_REMOTE_WAITING_BYTES (1U << 20)
#define TOPIC_REMOTE_WAIT_USEC (10 * USEC_PER_SEC)

typedef struct Copy Copy;
typedef struct PeerSource PeerSource;
typedef struct RemoteReader RemoteReader;
typedef struct RemoteTopic RemoteTopic;
typedef struct RemoteWriter RemoteWriter;

/* Whether the daemon has to say who reads @topic. */
bool topic_remote_asks(p2pbus *bus, const char *topic);
/* @record, encoded, was given to the daemon, which was asked if need be: to readers elsewhere, too. */
void topic_remote_publish(p2pbus *bus, const char *topic, const uint8_t *record, size_t n_record);
/* Waits until nothing that was published waits here any more, a while at most. */
void topic_remote_wait(p2pbus *bus, uint64_t until_usec);

/* READERS. */
void topic_remote_on_readers(p2pbus *bus, const Control *word);
/* A packet to @address was refused with @code. */
void topic_remote_on_refused(p2pbus *bus, Address address, uint16_t code);
/* A PUBLISHED record came. */
void topic_remote_on_published(p2pbus *bus, const PeerSource *source, const Record *record);
/* After an attach: the daemon knows nothing of what we know. */
void topic_remote_forget(p2pbus *bus);
/* There are keys in common with @peer now. */
void topic_remote_on_keys(Peer *peer);
/* We have a lease now. */
void topic_remote_flush(p2pbus *bus);
void topic_remote_free_all(p2pbus *bus);
