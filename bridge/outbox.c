/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/outbox.h"

#include "libcore/err.h"

struct Outbox {
        ParcelPool *pool;
        FairQueue *queue;
};

static FairSource source_of(Address address) {
        return (FairSource){ { address.pid, address.tag } };
}

int outbox_new(Outbox **ret, ParcelPool *pool, size_t bytes_max, unsigned packets_max) {
        _cleanup_(outbox_freep) Outbox *outbox = calloc(1, sizeof(*outbox));
        int r;

        if (!outbox)
                return err_origin(-ENOMEM);
        outbox->pool = pool;
        r = fair_new(&outbox->queue, parcel_pool_sources(pool), bytes_max, packets_max);
        if (r < 0)
                return err_trace(r);
        *ret = TAKE_PTR(outbox);
        return 0;
}

Outbox *outbox_free(Outbox *outbox) {
        Parcel *p;

        if (!outbox)
                return NULL;

        while (outbox->queue && (p = outbox_pop(outbox, 0)))
                parcel_free(outbox->pool, p);
        fair_free(outbox->queue);
        free(outbox);
        return NULL;
}

int outbox_push(Outbox *outbox, Parcel *parcel, uint64_t now_usec) {
        if (parcel->since_usec == 0) /* else another link has had it */
                parcel->since_usec = now_usec;
        return err_trace(fair_push(outbox->queue, source_of(parcel->src),
                                   fair_flow(parcel->src, parcel->dst), &parcel->fair, parcel->size,
                                   now_usec));
}

static Parcel *parcel_of(FairItem *item) {
        return item ? container_of(item, Parcel, fair) : NULL;
}

Parcel *outbox_overflow(Outbox *outbox) {
        return parcel_of(fair_overflow(outbox->queue));
}

Parcel *outbox_pop(Outbox *outbox, uint64_t now_usec) {
        Parcel *parcel = parcel_of(fair_pop(outbox->queue, now_usec));

        if (parcel && parcel->fair.marked)
                packet_set_hop_fields(parcel->data, parcel->data[6] | PACKET_CE, parcel->data[7]);
        return parcel;
}

size_t outbox_bytes(const Outbox *outbox) {
        return fair_bytes(outbox->queue);
}

unsigned outbox_packets(const Outbox *outbox) {
        return (unsigned)fair_items(outbox->queue);
}

bool outbox_has(const Outbox *outbox, Address src) {
        return fair_has(outbox->queue, source_of(src));
}
