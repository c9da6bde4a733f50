/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/* Control words that processes say to the daemon: one handler each, in one table. */

#include <stddef.h>
#include <stdint.h>

typedef struct Peer Peer;

/* @packet is a control packet, header included. @from may be dead afterwards. */
void words_handle(Peer *from, const uint8_t *packet, size_t size);
