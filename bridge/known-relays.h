/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Known relays: trust on first use
 *
 * A wss:// relay whose key is not pinned in its URL proves its name by its certificate, and its key
 * is kept when it is first seen; another key later is refused. The file known_relays in the state
 * directory has one line for each, "URL FULL"; it is only ever appended to, and an operator takes
 * a line out by hand.
 */

#include "libcore/util.h"
#include "libsecure/key.h"

#define KNOWN_RELAYS_MAX 1024 /* lines */

typedef struct KnownRelays KnownRelays;

enum {
        _KNOWN_RELAYS_E_SUCCESS,

        KNOWN_RELAYS_E_MALFORMED, /* a line is not "URL FULL": @ret_line says which */
};

/*
 * Reads @path, which need not exist. With NULL nothing is kept beyond this life.
 * Return: 0, -errno, KNOWN_RELAYS_E_MALFORMED.
 */
int known_relays_new(KnownRelays **ret, const char *path, unsigned *ret_line);
KnownRelays *known_relays_free(KnownRelays *known);
DEFINE_CLEANUP(KnownRelays, known_relays_free)

/* The key that the relay at @url, written without fragment, was first seen with, or NULL. */
const PublicKey *known_relays_find(const KnownRelays *known, const char *url);
/*
 * Keeps @key for @url, on disk before it returns. Return: 0, -errno: it holds for this life then.
 */
int known_relays_add(KnownRelays *known, const char *url, const PublicKey *key);
/* For messages; NULL if nothing is kept. */
const char *known_relays_path(const KnownRelays *known);
