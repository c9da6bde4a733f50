/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Forwarding: what becomes of a packet that a bridge sent
 *
 * Pure: the directory knows who is where, the verdict says what to do. relay/link.c does it.
 */

#include "libcore/control.h"
#include "libcore/packet.h"
#include "relay/counters.h"
#include "relay/directory.h"

#define FORWARD_HOPS_MAX 8

typedef enum ForwardVerdict {
        FORWARD_PASS,      /* queue it on the destination's route */
        FORWARD_UNLEASED,  /* its source has no lease on its link: tell the bridge */
        FORWARD_REFUSE,    /* tell its source, with the code */
        FORWARD_VIOLATION, /* no bridge sends this: close its link */
} ForwardVerdict;

typedef struct Forward {
        DirectoryEntry *source;      /* of PASS and REFUSE */
        DirectoryEntry *destination; /* of PASS */
        uint16_t code;               /* ControlCode, of REFUSE */
        Counter counter;             /* of whatever is not PASS */
} Forward;

/*
 * Judges the packet with @header, which came on @route and is not control. The entries in @ret are
 * valid until the directory is changed.
 */
ForwardVerdict forward_judge(Directory *directory, const DirectoryRoute *route,
                             const PacketHeader *header, uint64_t wall_usec, uint64_t now_usec,
                             Forward *ret);

/* What a condition of directory_find() is on the wire, and which counter it moves. */
uint16_t forward_code(int condition, Counter *ret_counter);
