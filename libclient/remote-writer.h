/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Remote writers: processes on other hosts whose messages on topics come here
 *
 * Each counts what it publishes for us, sent or not, so that we know how much we missed
 * (libclient/remote-reader.h is its side).
 */

#include "libclient/bus.h"

#define REMOTE_WRITERS_MAX 1024 /* whose numbers are known */

typedef struct PeerSource PeerSource;

/* A PUBLISHED record came. */
void remote_writer_on_published(p2pbus *bus, const PeerSource *source, const Record *record);
void remote_writer_free_all(p2pbus *bus);
