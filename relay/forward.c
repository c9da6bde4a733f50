/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The source is judged before the destination: a bridge that may not speak for somebody learns
 * nothing about anybody else.
 *
 * Where this stands in the life of a message: between the link it came on (relay/link.c) and the
 * queue of the link it goes to (relay/outbox.c).
 */

#include "relay/forward.h"

uint16_t forward_code(int condition, Counter *ret_counter) {
        *ret_counter = COUNT_DROPPED_NOT_HERE;
        switch (condition) {
        case 0:
                return CODE_OK;
        case DIRECTORY_E_GONE:
                return CODE_GONE;
        case DIRECTORY_E_SETTLING:
                return CODE_SETTLING;
        case DIRECTORY_E_AMBIGUOUS:
                *ret_counter = COUNT_DROPPED_AMBIGUOUS;
                return CODE_AMBIGUOUS;
        case DIRECTORY_E_WRONG_KEY:
                *ret_counter = COUNT_DROPPED_WRONG_KEY;
                return CODE_WRONG_KEY;
        default:
                return CODE_NOT_HERE;
        }
}

ForwardVerdict forward_judge(Directory *directory, const DirectoryRoute *route,
                             const PacketHeader *header, uint64_t wall_usec, uint64_t now_usec,
                             Forward *ret) {
        int r;

        *ret = (Forward){ .counter = COUNT_LINKS_VIOLATED };
        /* A bridge has packets of processes only, and only sealed ones: nothing else crosses. */
        if (header->kind != PACKET_SEALED || pid_is_reserved(header->src.pid) ||
            header->n_fds != 0 || (header->hflags & PACKET_REMOTE) || header->eflags != 0 ||
            header->last_fragment != 0)
                return FORWARD_VIOLATION;

        r = directory_find(directory, header->src, wall_usec, now_usec, &ret->source);
        if (r != 0 || ret->source->route != route ||
            !address_equal(ret->source->hash.address, header->src)) {
                ret->source = NULL;
                ret->counter = COUNT_DROPPED_UNLEASED;
                return FORWARD_UNLEASED;
        }
        if (header->hops >= FORWARD_HOPS_MAX) {
                ret->counter = COUNT_DROPPED_HOPS;
                ret->code = CODE_OVERLOAD;
                return FORWARD_REFUSE;
        }
        r = pid_is_reserved(header->dst.pid) ? DIRECTORY_E_NOT_HERE
                                             : directory_find(directory, header->dst, wall_usec,
                                                              now_usec, &ret->destination);
        if (r == 0)
                return FORWARD_PASS;
        ret->code = forward_code(r, &ret->counter);
        return FORWARD_REFUSE;
}
