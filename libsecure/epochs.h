/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Key epochs: what two processes that talk on seal with, at a fiftieth of the cost of a ONE
 *
 * One Noise IK handshake gives an epoch: two keys, one a direction, known by the sids that each side
 * chose for what it receives (PROTOCOL.md, "Key epochs"). OPEN carries the first packet, ACCEPT
 * answers it, DATA is everything after. Epochs replace each other without a pause, and a session
 * knows nothing of them. An Epochs is all of them with one peer; epoch.h has one.
 *
 *      epochs_next()     what to seal the next packet as: DATA, OPEN, or a ONE (seal.h)
 *      epochs_open()     seals an OPEN             opening_read()    opens one, from anybody
 *      epochs_accept()   makes its ACCEPT          epochs_confirm()  takes the ACCEPT of ours
 *      epochs_seal()     seals DATA                epochs_unseal()   opens it
 *
 * No I/O and no clock: the time is a parameter. Only libclient includes this file. Not safe for
 * threads: the owner locks.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libsecure/epoch.h"
#include "libsecure/noise.h"
#include "libsecure/seal.h"

#define EPOCH_ACCEPT_SIZE 64
#define EPOCH_OLD_MAX 2 /* replaced epochs that still receive */

typedef struct Epochs Epochs;

/* What is used unless somebody chooses otherwise; the values are PROTOCOL.md's. */
extern const EpochLimits epoch_limits_default;

/* An OPEN that was opened, on its way to epochs_accept(); holds secrets until opening_done(). */
typedef struct Opening {
        NoiseHandshake handshake;
        uint32_t sid;
        uint64_t sent_at_usec;
        uint8_t tag[CRYPTO_TAG_SIZE];
        SealedSender sender;
} Opening;

/* Those with @peer; @sealer is borrowed, @limits copied. Return: 0, -ENOMEM. */
int epochs_new(Epochs **ret, Sealer *sealer, const PublicKey *peer, const EpochLimits *limits);
/* Wipes; accepts NULL, returns NULL. */
Epochs *epochs_free(Epochs *epochs);

/*
 * What the next packet is to be sealed as. Between an OPEN and its ACCEPT, and until an epoch that
 * the peer opened is confirmed, packets go in the epoch of before, or as ONEs: nothing waits.
 */
SealedType epochs_next(Epochs *epochs, EpochTime time);
/* Whether DATA can be sent now, whatever epochs_next() prefers. */
bool epochs_is_live(Epochs *epochs, EpochTime time);
/* Wipes what has ended; the other calls do so as well. */
void epochs_expire(Epochs *epochs, EpochTime time);
/* Bytes held. */
size_t epochs_memory(const Epochs *epochs);

/*
 * Seals @content as an OPEN, which needs SEAL_OPEN_OVERHEAD more; arguments and return as of
 * seal_one(). One that waits for its ACCEPT is given up.
 */
int epochs_open(Epochs *epochs, const uint8_t header[static PACKET_HEADER_SIZE],
                const SignedRecord *lease, Slice content, EpochTime time, uint8_t *out,
                size_t out_size, size_t *ret_n_out);
/*
 * Seals @content as DATA. @header is the encoded header of the packet, with its fresh id.
 * Return: 0, EPOCH_E_NONE, -EINVAL (the header is not from us to the peer), -EMSGSIZE, -ENOBUFS.
 */
int epochs_seal(Epochs *epochs, const uint8_t header[static PACKET_HEADER_SIZE], Slice content,
                EpochTime time, uint8_t *out, size_t out_size, size_t *ret_n_out);

/*
 * Opens an OPEN; arguments and return as of open_one(). Its content may be used whatever becomes of
 * the epoch.
 */
int opening_read(Opening *opening, Sealer *sealer, const uint8_t header[static PACKET_HEADER_SIZE],
                 Slice payload, uint64_t wall_usec, uint8_t *out, size_t out_size,
                 size_t *ret_n_out);
/* Wipes; after opening_read() in any case. */
void opening_done(Opening *opening);
/*
 * Makes an epoch of what the peer of @epochs has opened, and the payload of its ACCEPT.
 * Return: 0, EPOCH_E_OLD, EPOCH_E_FORKED, EPOCH_E_FORGED (a useless point), EPOCH_E_MALFORMED
 * (another peer's), -ENOMEM.
 */
int epochs_accept(Epochs *epochs, Opening *opening, EpochTime time,
                  uint8_t out[static EPOCH_ACCEPT_SIZE]);
/*
 * The same ACCEPT again, if @payload is the OPEN that it answered and the peer may lack it. To be
 * asked before opening_read(), which costs more. Return: whether @out was written.
 */
bool epochs_accept_again(const Epochs *epochs, Slice payload,
                         uint8_t out[static EPOCH_ACCEPT_SIZE]);

/*
 * Takes an ACCEPT. A false one changes nothing.
 * Return: 0, EPOCH_E_MALFORMED, EPOCH_E_UNKNOWN (nothing waits for it), EPOCH_E_FORGED,
 * EPOCH_E_FORKED, -ENOMEM.
 */
int epochs_confirm(Epochs *epochs, Slice payload, EpochTime time);

/*
 * Opens a DATA; @out needs n_payload bytes and must not overlap. It is the peer's, who has this
 * epoch: that may confirm it.
 * Return: 0, EPOCH_E_MALFORMED, _UNKNOWN, _REPEATED, _FORGED, _FORKED, -ENOBUFS; @out holds no
 * plaintext unless 0.
 */
int epochs_unseal(Epochs *epochs, const uint8_t header[static PACKET_HEADER_SIZE], Slice payload,
                  EpochTime time, uint8_t *out, size_t out_size, size_t *ret_n_out);

/*
 * The peer has said, signed, that it does not know @sid, in which we sent packet @id.
 * Return: whether that was so; then it is forgotten, and what was sent in it may be lost.
 */
bool epochs_disown(Epochs *epochs, uint32_t sid, const PacketId *id);

static inline void epochs_freep(Epochs **epochs) {
        *epochs = epochs_free(*epochs);
}
