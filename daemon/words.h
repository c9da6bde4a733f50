/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/* Control words that processes say to the daemon: one handler each, in one table. */

#include "libcore/stream.h"

typedef struct Peer Peer;

/* @frame is a control packet; takes its descriptors. @from may be dead afterwards. */
void words_handle(Peer *from, const StreamFrame *frame);
