/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Introduction: how two processes get a ring, and lose it
 *
 * The daemon asks policy, checks the file that each side has made and passes it on, with the bells
 * that it makes for the two; then it steps aside, and a Ring (rings.h) is all that stays here. It
 * maps nothing. A ring outlives the daemon: its sides say RING_KEEP to the next one.
 */

#include "libcore/control.h"

#define INTRODUCTION_OFFERS_MAX 16 /* of one process, not answered yet */

typedef struct Peer Peer;

/*
 * Handle RING_OFFER, _ANSWER and _KEEP. @file is the descriptor, -EBADF unless exactly one came;
 * taken only if it was passed on. @id: of the packet. Return: CODE_OK, and all that is to be said
 * was said; or the code of the ERROR to be said.
 */
ControlCode introduction_offer(Peer *from, const Control *word, const PacketId *id, int *file);
ControlCode introduction_answer(Peer *from, const Control *word, int *file);
ControlCode introduction_keep(Peer *from, const Control *word, const PacketId *id);
/* Handles RING_END. */
void introduction_end(Peer *from, const Control *word);
