/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Arguments of options: text in, numbers out
 *
 * All of these take the whole text or nothing: no signs, no blanks, no trailing letters. They say
 * nothing; the caller knows the option and has the words.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal seconds with up to a fraction, "2", "0.25", ".5"; what is finer than a microsecond is
 * cut off. Return: 0, -EINVAL, -ERANGE (over 100 years). */
int argument_seconds(const char *text, uint64_t *ret_usec);
/* A whole number in @least..@greatest. Return: 0, -EINVAL, -ERANGE. */
int argument_count(const char *text, uint64_t least, uint64_t greatest, uint64_t *ret);
/* Bytes: a whole number from 1, alone or with K, M or G (1024), in either case, and at will "iB"
 * or "B" behind. Return: 0, -EINVAL, -ERANGE. */
int argument_size(const char *text, size_t *ret);
/* "64 KiB", "1.5 MiB", "17 bytes": for people. Returns @text. */
const char *argument_format_size(uint64_t size, char text[static 32]);
