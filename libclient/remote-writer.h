/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Remote writers: processes on other hosts whose messages on topics come here
 *
 * Each counts what it publishes for us, sent or not, so that we know how much we missed
 * (libclient/remote-reader.h is its side).
 *
 * What a writer retained comes flagged, whenever it hears anew that we read the topic: also when we have
 * had it, or when we never asked for it. So for topics on which we did ask, each writer's last message is
 * remembered by number, and what is not newer is passed over.
 */

#include "libclient/bus.h"

#define REMOTE_WRITERS_MAX 1024     /* whose numbers are known */
#define REMOTE_HEARD_ONE_MAX 1024   /* topics whose last message is remembered, of one writer */
#define REMOTE_HEARD_ALL_MAX 16384U /* and of all */

typedef struct PeerSource PeerSource;

/* A PUBLISHED record came. */
void remote_writer_on_published(p2pbus *bus, const PeerSource *source, const Record *record);
/* A subscription to @pattern that asked for what was retained has ended: the next one asks anew. */
void remote_writer_forget(p2pbus *bus, const char *pattern);
void remote_writer_free_all(p2pbus *bus);
