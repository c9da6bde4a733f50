/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Memory for keys
 *
 * Every long-lived secret of a process lies in a few mappings of its own, between guard pages,
 * locked if the limit allows it, left out of core dumps, and wiped by the kernel in a forked
 * child. Each mapping carries a canary that reads zero in a child, so every use of a key can see
 * that it is no longer ours: a nonce must not be used twice because somebody forked.
 */

#include <stdbool.h>
#include <stddef.h>

#define SECRET_SIZE_MAX 2048

/*
 * Zeroed memory, at most SECRET_SIZE_MAX bytes, aligned to 64. Any thread.
 * Return: NULL if there is no memory (errno says why: ENOMEM, EINVAL for the size).
 */
void *secret_alloc(size_t size);
/* Wipes and gives back; NULL is ignored. Works in a forked child too. Returns NULL. */
void *secret_free(void *secret);
/* False in a child that was forked after secret_alloc(): the memory reads zero there. */
bool secret_is_alive(const void *secret);
