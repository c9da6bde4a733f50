/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Explanation: what policy says, and which line of which file says so, for people
 */

#include "libcore/control.h"

typedef struct Peer Peer;

/* Handles EXPLAIN, in the packet @id. Return: CODE_OK: it was answered; else what to answer. */
ControlCode explanation_answer(Peer *from, const Control *word, const PacketId *id);
