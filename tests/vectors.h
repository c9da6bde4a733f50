/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * tests/vectors/: reading them, and fixed randomness to replay them
 *
 * Everything here fails the running test if a file or field is not as expected.
 */

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* The whole of tests/vectors/NAME; the caller owns the reference. */
json_t *vectors_load(const char *name);
/* The string at PATH, keys separated by '/'. */
const char *vectors_text(const json_t *object, const char *path);
/* The hex string at @path as bytes; returns how many. */
size_t vectors_bytes(const json_t *object, const char *path, uint8_t *out, size_t out_size);
/* The same where exactly @size bytes are expected. */
void vectors_exactly(const json_t *object, const char *path, uint8_t *out, size_t size);

/*
 * From now on the next libsodium calls for 32 random bytes get what was pushed, in order; after
 * that, and for other sizes, they get real randomness. So an ephemeral key can be fixed in a test
 * without a hook in what is installed.
 */
void fixed_random_push(const uint8_t bytes[static 32]);
/* The same for calls for 4 random bytes. */
void fixed_random_push_small(const uint8_t bytes[static 4]);
/* How many were pushed and not used. */
size_t fixed_random_left(void);
