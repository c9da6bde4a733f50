/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/* Key files, for users: libsecure/identity.h with reasons in words */

#include "libsecure/identity.h"

/* Return: 0; noted: -ENOKEY, -EKEYREJECTED. */
int key_file_load(const char *path, IdentityKey **ret);
