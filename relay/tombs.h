/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Tombs: the file of revoked keys, STATE/tombs
 *
 * TOMB records, 160 bytes each, back to back. It only ever grows: what it says holds for ever, and
 * a relay that starts again must not revive a key. A record at the end that was cut, by a crash in
 * the middle of a write, is overwritten by the next one.
 */

#include "libcore/util.h"
#include "relay/directory.h"

#define TOMB_SIZE 160

enum {
        _TOMBS_E_SUCCESS,

        TOMBS_E_MALFORMED, /* something in it is no TOMB: somebody has edited it */
};

/*
 * Tells @directory all revocations of @path; a missing file has none.
 * Return: 0, -errno, TOMBS_E_MALFORMED.
 */
int tombs_load(const char *path, Directory *directory, uint64_t wall_usec, uint64_t now_usec);
/* Adds one, which the directory has verified, and syncs it. Return: 0 or -errno. */
int tombs_append(const char *path, const uint8_t tomb[static TOMB_SIZE]);
