/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Ranges: what the peer has beyond `received`, as its ACKs have said
 *
 * What it has named once it keeps, so an ACK that was overtaken takes nothing back. Made with the
 * first ACK that names some: NULL is none.
 */

#include <stdbool.h>

#include "libcore/record.h"

typedef struct Ranges Ranges;

/*
 * Adds what @ack names, and drops what its `received` covers; beyond RECORD_ACK_RANGES_MAX ranges the
 * lowest stay. Without memory for them nothing is added: some may be sent once too often.
 */
void ranges_note(Ranges **ranges, const Record *ack);
void ranges_clear(Ranges *ranges);
Ranges *ranges_free(Ranges *ranges);

bool ranges_have(const Ranges *ranges, uint64_t seq);
/* The first number of the last range; 0: there is none. */
uint64_t ranges_last(const Ranges *ranges);
