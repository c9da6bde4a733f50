/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What waits to be written to one process, and who pays for it
 *
 * The bytes are in the Stream. Beside them stand runs, in the same order: so many bytes and packets
 * on behalf of this Usage, queued since then. A run is released when its last byte was written;
 * neighbours of one payer are joined up to a size, so that a long stream is released as it goes, and
 * up to a difference in age: how long a packet has waited is known to within OUTBOX_SLACK_USEC.
 */

#include <stdint.h>

#include "daemon/quota.h"
#include "libcore/stream.h"

#define OUTBOX_RUN_MAX 65536 /* bytes; a single packet may be more */
#define OUTBOX_RUNS_INLINE 2
#define OUTBOX_SLACK_USEC USEC_PER_SEC
#define OUTBOX_LOOK_MAX 262144 /* bytes that outbox_in_time() looks through; more than a socket takes */

typedef struct OutboxRun {
        Usage *usage;
        uint32_t bytes; /* not yet written */
        uint32_t charged;
        uint32_t packets;
        uint32_t fds;
        uint64_t since_usec;
} OutboxRun;

typedef struct Outbox {
        Stream *stream;  /* the connection's, borrowed */
        OutboxRun *runs; /* a ring: inline_runs, or on the heap */
        uint32_t n_room, first, n_runs;
        uint64_t n_packets;
        OutboxRun inline_runs[OUTBOX_RUNS_INLINE];
} Outbox;

enum {
        _OUTBOX_E_SUCCESS,

        OUTBOX_E_QUOTA,
};

void outbox_init(Outbox *outbox, Stream *stream);
/* Releases all charges; the stream is its owner's to free. */
void outbox_done(Outbox *outbox);

/*
 * Charges @usage and reserves @size bytes for one frame. @fds are the stream's on success only.
 * Return: 0, OUTBOX_E_QUOTA, -ENOMEM.
 */
int outbox_reserve(Outbox *outbox, Usage *usage, size_t size, const int *fds, size_t n_fds,
                   uint64_t now_usec, uint8_t **ret_data);
/* The same for a @frame of @shared, which others have as well: it is charged in full to each. */
int outbox_share(Outbox *outbox, Usage *usage, StreamShared *shared, const uint8_t *frame,
                 size_t size, uint64_t now_usec);
/* The stream has written @n bytes: releases what was charged for them. */
void outbox_written(Outbox *outbox, size_t n);
/*
 * What may be written at @now_usec: SEALED packets whose span (packet_span_usec()) they have waited
 * here may not. One is late up to OUTBOX_SLACK_USEC after its span, never before, and not once it was
 * begun.
 *
 * Return: so many bytes, then this is to be asked again (SIZE_MAX: all); 0: the first packet is late,
 * it is at @ret_late.
 */
size_t outbox_in_time(Outbox *outbox, uint64_t now_usec, const uint8_t **ret_late);
/* Drops the first packet, of which nothing was written. */
void outbox_drop_first(Outbox *outbox);
/* Nobody will read them: drops all. */
void outbox_discard(Outbox *outbox);

static inline size_t outbox_size(const Outbox *outbox) {
        return stream_output_size(outbox->stream);
}

/* When the oldest byte that waits was queued; 0 if nothing waits. */
static inline uint64_t outbox_since(const Outbox *outbox) {
        return outbox->n_runs > 0 ? outbox->runs[outbox->first].since_usec : 0;
}
