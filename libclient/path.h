/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Path: records into packets, through the daemon
 *
 * Local packets carry records in the clear, sealed ones go to another host: as DATA if there are
 * keys in common, else as what makes them or as what needs none. A packet is queued on the handle's
 * connection; when it is written is loop.c's.
 */

#include "libclient/bus.h"

#define SEALED_LIFE_USEC (30 * USEC_PER_SEC) /* the session sends again what was not acknowledged */

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

/* For whom a packet is sealed. */
typedef struct PathSeal {
        Address to;
        const SignedRecord *lease; /* its signer is @to */
        Epochs *epochs;            /* with the same, or NULL: it will be a ONE */
        int64_t clock_offset_usec; /* of the peer's clock, as far as we know */
} PathSeal;

typedef struct PathSealed {
        PacketId id; /* always a fresh one */
        SealedType type;
        bool is_lease_ended; /* DATA, for want of a lease to seal an OPEN for */
} PathSealed;

/* The same, sealed. Return: 0, PATH_E_X, -errno. */
int path_send_sealed(p2pbus *bus, const PathSeal *seal, const uint8_t *records, size_t n_records,
                     PathSealed *ret);
/* A packet of kind SEALED with a payload that needs no sealing: NACK, ACCEPT. */
int path_send_raw(p2pbus *bus, Address to, const uint8_t *payload, size_t n_payload);
