/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Path: records into packets, through the daemon
 *
 * Local packets carry records in the clear, sealed ones go to another host. A packet is queued on
 * the handle's connection; when it is written is loop.c's.
 */

#include "libclient/bus.h"

enum {
        _PATH_E_SUCCESS,

        PATH_E_AWAY,    /* no daemon now */
        PATH_E_NO_WAY,  /* sealed: we have no lease of our own yet */
        PATH_E_EXPIRED, /* sealed: the peer's lease has ended: resolve it again */
        PATH_E_USELESS, /* sealed: the peer's lease cannot be sealed for */
};

/*
 * Queues a packet with @records to @to, in the clear. @id all zero: a fresh one. @deadline_usec on
 * bus->now_usec's clock, or USEC_NEVER. Return: 0, PATH_E_AWAY, -ENOMEM.
 */
int path_send_local(p2pbus *bus, Address to, const PacketId *id, uint64_t deadline_usec,
                    const uint8_t *records, size_t n_records);
/*
 * The same, sealed for @lease, whose signer is @to. @ret_id: the packet's id, always fresh.
 * Return: 0, PATH_E_X, -errno.
 */
int path_send_sealed(p2pbus *bus, Address to, const SignedRecord *lease, int64_t clock_offset_usec,
                     const uint8_t *records, size_t n_records, PacketId *ret_id);
/* A packet of kind SEALED with a payload that needs no sealing: NACK. */
int path_send_raw(p2pbus *bus, Address to, const uint8_t *payload, size_t n_payload);
