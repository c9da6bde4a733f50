/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Known peers: trust on first use
 *
 * Whoever sends to a bare PID on another host knows 64 bits of a hash. The first key that proves to
 * be behind them is kept, and another one later is refused: somebody may have made a key for this
 * PID. Full forms and tagged ones are not looked up here, nor is what is on this host, for which the
 * daemon vouches.
 *
 * The file has one full form a line; lines that begin with "#" are comments. It is appended to by
 * whoever meets somebody new, so two programs that meet the same may both write a line; the first
 * one counts. Keys that are made for one run are kept in memory alone. Not safe for threads: the
 * owner locks.
 */

#include "libcore/pid.h"
#include "libcore/util.h"
#include "libsecure/key.h"

#define KNOWN_PEERS_MAX 65536 /* keys; the rest is met anew each time */

typedef struct KnownPeers KnownPeers;

/*
 * Reads @path, which need not exist; with NULL nothing is kept beyond this handle's life.
 * Return: 0; noted: -EINVAL (a line is no full form, or it cannot be read), -ENOMEM.
 */
int known_peers_new(KnownPeers **ret, const char *path);
KnownPeers *known_peers_free(KnownPeers *known);
DEFINE_CLEANUP(KnownPeers, known_peers_free)

/* The key that @pid was first met with, or NULL. */
const PublicKey *known_peers_find(const KnownPeers *known, Pid pid);
/*
 * Keeps @key as that of its PID if there is none; in the file, too, unless it is @transient. Failures
 * to write are no reason to send nothing: it is known for this handle's life then.
 */
void known_peers_add(KnownPeers *known, const PublicKey *key, bool transient);
