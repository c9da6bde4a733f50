/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/batch.h"

#include <utlist.h>

#include "libcore/control.h"
#include "libcore/err.h"

#define SENT_BYTES_MAX (1024 * 1024)
#define SENT_PACKETS_MAX 1024

struct BatchLeaving {
        BatchLeaving *prev, *next;
        Address address;
};

int batch_init(Batch *batch, ParcelPool *pool, const BatchHandlers *handlers, void *userdata) {
        *batch = (Batch){ .pool = pool, .handlers = handlers, .userdata = userdata };
        return err_trace(outbox_new(&batch->outbox, pool, OUTBOX_BYTES_MAX, OUTBOX_PACKETS_MAX));
}

void batch_clear(Batch *batch) {
        BatchLeaving *leaving, *next_leaving;
        Parcel *parcel, *next;

        if (!batch->outbox)
                return;
        while ((parcel = outbox_pop(batch->outbox, 0)))
                parcel_free(batch->pool, parcel);
        batch->current = parcel_free(batch->pool, batch->current);
        DL_FOREACH_SAFE (batch->sent, parcel, next)
                parcel_free(batch->pool, parcel);
        batch->sent = NULL;
        batch->n_sent = 0;
        batch->n_sent_bytes = 0;
        DL_FOREACH_SAFE (batch->leaving, leaving, next_leaving)
                free(leaving);
        batch->leaving = NULL;
}

void batch_done(Batch *batch) {
        batch_clear(batch);
        batch->outbox = outbox_free(batch->outbox);
}

static void refuse(Batch *batch, Parcel *parcel, uint16_t code) {
        batch->handlers->on_refused(parcel, code, batch->userdata);
}

bool batch_queue(Batch *batch, Parcel *parcel, uint64_t now_usec) {
        Parcel *dropped;

        if (outbox_push(batch->outbox, parcel, now_usec) < 0) {
                refuse(batch, parcel, CODE_OVERLOAD);
                return false;
        }
        while ((dropped = outbox_overflow(batch->outbox)))
                refuse(batch, dropped, CODE_OVERLOAD);
        return true;
}

bool batch_has_packets(const Batch *batch) {
        return batch->current || outbox_packets(batch->outbox) > 0;
}

/* Who has left */

static bool has_packets_of(const Batch *batch, Address src) {
        return outbox_has(batch->outbox, src) ||
               (batch->current && address_equal(batch->current->src, src));
}

bool batch_leave(Batch *batch, Address address) {
        BatchLeaving *leaving;

        if (!has_packets_of(batch, address))
                return false;
        leaving = malloc(sizeof(*leaving));
        if (!leaving)
                return false; /* told too early is better than never */
        *leaving = (BatchLeaving){ .address = address };
        DL_APPEND(batch->leaving, leaving);
        return true;
}

void batch_return(Batch *batch, Address address) {
        BatchLeaving *leaving, *next;

        DL_FOREACH_SAFE (batch->leaving, leaving, next)
                if (address_equal(leaving->address, address)) {
                        DL_DELETE(batch->leaving, leaving);
                        free(leaving);
                }
}

/* Those whose last packet has just gone. */
static void let_go(Batch *batch) {
        BatchLeaving *leaving, *next;

        DL_FOREACH_SAFE (batch->leaving, leaving, next)
                if (!has_packets_of(batch, leaving->address)) {
                        batch->handlers->on_left(leaving->address, batch->userdata);
                        DL_DELETE(batch->leaving, leaving);
                        free(leaving);
                }
}

/* What was sent */

static Parcel *sent_remove(Batch *batch, Parcel *parcel) {
        DL_DELETE(batch->sent, parcel);
        batch->n_sent--;
        batch->n_sent_bytes -= parcel->size;
        return parcel;
}

static void sent_keep(Batch *batch, Parcel *parcel) {
        DL_APPEND(batch->sent, parcel);
        batch->n_sent++;
        batch->n_sent_bytes += parcel->size;
        while (batch->n_sent > SENT_PACKETS_MAX || batch->n_sent_bytes > SENT_BYTES_MAX)
                parcel_free(batch->pool, sent_remove(batch, batch->sent));
}

Parcel *batch_take_back(Batch *batch, const PacketId *id) {
        Parcel *parcel;

        DL_FOREACH (batch->sent, parcel)
                if (packet_id_equal(&parcel->id, id))
                        return sent_remove(batch, parcel);
        return NULL;
}

/* What goes out */

/* The next packet to be sent, or NULL; the expired are refused on the way. */
static Parcel *next_parcel(Batch *batch, uint64_t now_usec) {
        Parcel *parcel;

        while ((parcel = outbox_pop(batch->outbox, now_usec))) {
                if (!parcel_is_expired(parcel, now_usec))
                        return parcel;
                refuse(batch, parcel, CODE_EXPIRED);
                let_go(batch);
        }
        return NULL;
}

static size_t fill_with_words(Stream *words, uint8_t *to, size_t room) {
        struct iovec iov[STREAM_IOVECS];
        size_t n_iov, n_fds, n = 0;
        const int *fds;

        if (stream_peek(words, iov, &n_iov, &fds, &n_fds) != 0)
                return 0;
        for (size_t i = 0; i < n_iov && n < room; i++) {
                size_t size = MIN(iov[i].iov_len, room - n);

                memcpy(to + n, iov[i].iov_base, size);
                n += size;
        }
        stream_written(words, n);
        return n;
}

static size_t fill_with_current(Batch *batch, uint8_t *to, size_t room) {
        Parcel *parcel = batch->current;
        size_t n = MIN(parcel->size - batch->n_current, room);

        memcpy(to, parcel->data + batch->n_current, n);
        batch->n_current += n;
        if (batch->n_current == parcel->size) {
                batch->current = NULL;
                sent_keep(batch, parcel);
                let_go(batch);
        }
        return n;
}

/*
 * Frames may be cut between messages but not mixed: what was begun is finished first. A word is
 * only ever cut while words are all that is sent, so words need no memory of that.
 */
size_t batch_fill(Batch *batch, Stream *words, uint8_t *to, size_t room, uint64_t now_usec) {
        size_t n = 0;

        while (n < room) {
                if (batch->current) {
                        n += fill_with_current(batch, to + n, room - n);
                } else if (stream_output_size(words) > 0) {
                        n += fill_with_words(words, to + n, room - n);
                } else {
                        batch->current = next_parcel(batch, now_usec);
                        batch->n_current = 0;
                        if (!batch->current && stream_output_size(words) == 0)
                                break;
                }
        }
        return n;
}
