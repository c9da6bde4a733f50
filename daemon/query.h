/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/* Answers to QUERY: lines of text, fields between TABs; p2pbusctl(1) shows them. */

#include <stdint.h>
#include <stdio.h>

#include "libcore/control.h"

typedef struct Peer Peer;

/* Queues all of the answer, at once or when others have answered (survey.h). Return: CODE_OK, or why
 * there is none. */
ControlCode query_answer(Peer *from, uint32_t what, const PacketId *id);
/*
 * Closes @out, an open_memstream() whose text is @text and @n_text then, and sends that as an answer to
 * the packet @id. Return: CODE_OK, or why it was not sent.
 */
ControlCode query_send(Peer *to, const PacketId *id, FILE *out, char *const *text,
                       const size_t *n_text);
