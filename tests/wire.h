/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * The hexdumps in tests/vectors/wire: one for each frame, record and control word
 *
 * They were written from PROTOCOL.md's tables by other means than this code, and are what another
 * implementation can be tried with. A line is bytes in hex, or a comment after '#'.
 */

#include <stddef.h>
#include <stdint.h>

#define WIRE_SIZE_MAX 4096

/* Reads "NAME.hex"; the test fails if that is not possible. The result is to be free()d; it has
 * exactly its size, so that a sanitizer sees the byte too many. */
uint8_t *wire_read(const char *name, size_t *ret_n);

/* Names of the files that begin with @prefix, without ".hex", in order of the alphabet. The
 * result is static. Return: how many. */
size_t wire_list(const char *prefix, const char *const **ret_names);
