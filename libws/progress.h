/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * How far the bytes of a TCP connection have come
 *
 * On a slow network a word stands behind much that was sent before it, and its answer is long in
 * coming; that the other end takes bytes meanwhile is what tells slow from dead.
 */

#include <stdint.h>

/*
 * Bytes that the other end's kernel has acknowledged so far, and those that ours holds until it
 * does; both 0 if @fd is no TCP connection.
 */
void progress_of(int fd, uint64_t *ret_taken, uint64_t *ret_waiting);
