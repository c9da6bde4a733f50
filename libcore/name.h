/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Service names
 *
 * 1 to 255 bytes: elements of a-z 0-9 _ - joined by dots, at least two of them, none empty. The
 * first byte is a letter, and the first element is not 16 hex digits: a name is never mistaken for
 * a PID, because it has a dot, nor a PID for a name.
 */

#include <stdbool.h>
#include <stddef.h>

#define NAME_SIZE_MAX 255

bool name_is_valid(const char *name, size_t n_name);
/* Whether @pattern is a name, or one and ".*" behind it for all names below. */
bool name_is_pattern(const char *pattern, size_t n_pattern);
/* Whether @name is the one that @pattern, valid, is or stands for. */
bool name_fits(const char *pattern, size_t n_pattern, const char *name, size_t n_name);
