/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * The key of a daemon: a file that is made when it is missing, and what to do about one that
 * cannot be used
 */

#include <limits.h>

#include "libsecure/identity.h"

#define OWN_KEY_TEXT_SIZE (2 * PATH_MAX + 128)

/*
 * Makes a key and its file at @path, with its folder.
 * Return: 0, -errno, IDENTITY_E_FORKED, IDENTITY_E_RESERVED.
 */
int own_key_make(IdentityKey **ret, const char *path);

/*
 * What is wrong with the key file @path, and what to do: "WHAT: WHY; WHAT TO DO". @r is what
 * identity_load() or own_key_make() returned. Returns @text.
 */
const char *own_key_explain(const char *path, int r, char text[static OWN_KEY_TEXT_SIZE]);
