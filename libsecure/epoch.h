/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Epoch: two keys that two processes have in common, and how much they were used
 *
 * What a Noise IK handshake ended in. It seals and opens DATA (PROTOCOL.md, "Key epochs"), knows
 * which counters came, and when it is worn out or over; which epoch is used for what is
 * epochs.h's, through which others use it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/packet.h"
#include "libsecure/noise.h"
#include "libsecure/replay-window.h"

#define EPOCH_DATA_OVERHEAD 32 /* bytes of a DATA beyond its content */

typedef struct EpochTime {
        uint64_t now_usec;  /* CLOCK_BOOTTIME; does not go back */
        uint64_t wall_usec; /* the wall clock of the same moment */
} EpochTime;

typedef struct EpochLimits {
        uint64_t rekey_packets; /* sent in one epoch, after which another is opened */
        uint64_t rekey_bytes;
        uint64_t rekey_usec;
        uint64_t packets_max; /* and after which it is not used any more, come what may */
        uint64_t life_usec;
        uint64_t idle_usec;      /* without use, after which it is forgotten */
        uint64_t old_usec;       /* how long a replaced one receives */
        uint64_t forged_max;     /* packets that did not open, after which it is forgotten */
        uint64_t open_wait_usec; /* between OPENs to one peer; doubles while none is answered */
        uint64_t open_wait_max_usec;
        uint64_t jump_usec; /* of the wall clock against CLOCK_BOOTTIME: was the machine copied? */
} EpochLimits;

/* In libsecure/secret.h memory. */
typedef struct EpochKeys {
        NoiseCipher send, receive;
} EpochKeys;

typedef struct Epoch {
        bool is_ours;       /* we opened it */
        uint32_t sid;       /* in what comes */
        uint32_t peer_sid;  /* in what we send */
        uint32_t crosses;   /* the sid of the one that the peer opened at the same time, or 0 */
        uint64_t drop_usec; /* the end of one that was replaced; 0: it was not */
        EpochKeys *keys;
        uint64_t made_usec, used_usec;
        uint64_t wall_offset;
        uint64_t n_bytes; /* sent */
        uint64_t n_forged;
        uint64_t first_id, last_id; /* of packets sent in it */
        ReplayWindow window;
} Epoch;

enum {
        _EPOCH_E_SUCCESS,

        EPOCH_E_NONE,      /* no epoch to send in: ask epochs_next() */
        EPOCH_E_MALFORMED, /* not what it should be, or of another pair: drop */
        EPOCH_E_UNKNOWN,   /* a sid that is not held (any more): NACK NO_SESSION */
        EPOCH_E_REPEATED,  /* opened before, or too late to tell: drop */
        EPOCH_E_FORGED,    /* does not open: drop */
        EPOCH_E_OLD,    /* an OPEN that is not newer than the last: its content counts, no more */
        EPOCH_E_FORKED, /* keys are gone */
};

/* Of a handshake that is complete, which is wiped. NULL: no memory. */
Epoch *epoch_new(NoiseHandshake *handshake, EpochTime time);
/* Wipes; accepts NULL, returns NULL. */
Epoch *epoch_free(Epoch *epoch);

/* How the clocks stand to each other has changed by more than @limits allow since it was @offset. */
bool epoch_clock_jumped(uint64_t offset, const EpochLimits *limits, EpochTime time);
/* It is to be wiped. */
bool epoch_has_ended(const Epoch *epoch, const EpochLimits *limits, EpochTime time);
/* It may be sent in. */
bool epoch_may_send(const Epoch *epoch, const EpochLimits *limits, EpochTime time);
/* Another one should be opened. */
bool epoch_is_worn(const Epoch *epoch, const EpochLimits *limits, EpochTime time);
/* A packet with the last 8 bytes @unique of its id may have been sent in it. */
bool epoch_may_have_sent(const Epoch *epoch, uint64_t unique);

/* A DATA's head. Return: 0, EPOCH_E_MALFORMED. */
int epoch_data_decode(Slice payload, uint32_t *ret_sid, uint64_t *ret_counter);
/*
 * Writes a DATA: @content.size + EPOCH_DATA_OVERHEAD bytes.
 * Return: 0, EPOCH_E_NONE (all counters are used up).
 */
int epoch_seal(Epoch *epoch, const uint8_t header[static PACKET_HEADER_SIZE], Slice content,
               EpochTime time, uint8_t *out);
/*
 * Opens one whose head was decoded; writes EPOCH_DATA_OVERHEAD bytes less, unless it fails.
 * Return: 0, EPOCH_E_REPEATED, EPOCH_E_FORGED.
 */
int epoch_unseal(Epoch *epoch, const uint8_t header[static PACKET_HEADER_SIZE], Slice payload,
                 uint64_t counter, EpochTime time, uint8_t *out);
