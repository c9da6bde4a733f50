/* SPDX-License-Identifier: Apache-2.0 */

#include "relay/outbox.h"

#include "libcore/err.h"

static const uint32_t class_sizes[] = { 512, 2048, 8192, FRAME_SIZE_MAX };
#define N_CLASSES ELEMENTSOF(class_sizes)
#define SPARE_BYTES_MAX (1024 * 1024) /* of each class */

typedef struct Fifo {
        Parcel *first, *last;
} Fifo;

struct ParcelPool {
        Parcel *spare[N_CLASSES];
        size_t n_spare[N_CLASSES];
        FairPool *sources;
};

struct Outbox {
        ParcelPool *pool;
        FairQueue *queue;
        Fifo control;
        size_t control_bytes;
        uint64_t n_expired;
};

int parcel_pool_new(ParcelPool **ret) {
        _cleanup_(parcel_pool_freep) ParcelPool *pool = calloc(1, sizeof(*pool));
        int r;

        if (!pool)
                return err_origin(-ENOMEM);
        r = fair_pool_new(&pool->sources);
        if (r < 0)
                return err_trace(r);
        *ret = TAKE_PTR(pool);
        return 0;
}

ParcelPool *parcel_pool_free(ParcelPool *pool) {
        if (!pool)
                return NULL;
        for (unsigned i = 0; i < N_CLASSES; i++)
                while (pool->spare[i]) {
                        Parcel *parcel = pool->spare[i];

                        pool->spare[i] = parcel->next;
                        free(parcel);
                }
        fair_pool_free(pool->sources);
        free(pool);
        return NULL;
}

static Parcel *parcel_new(ParcelPool *pool, size_t n_data) {
        unsigned class = 0;
        Parcel *parcel;

        while (class_sizes[class] < n_data)
                class ++;
        parcel = pool->spare[class];
        if (parcel) {
                pool->spare[class] = parcel->next;
                pool->n_spare[class]--;
        } else {
                parcel = malloc(sizeof(*parcel) + class_sizes[class]);
                if (!parcel)
                        return NULL;
        }
        parcel->next = NULL;
        parcel->n_data = (uint32_t)n_data;
        parcel->size_class = (uint8_t) class;
        return parcel;
}

void parcel_free(ParcelPool *pool, Parcel *parcel) {
        unsigned class = parcel->size_class;

        if (pool->n_spare[class] * class_sizes[class] >= SPARE_BYTES_MAX) {
                free(parcel);
                return;
        }
        parcel->next = pool->spare[class];
        pool->spare[class] = parcel;
        pool->n_spare[class]++;
}

static void fifo_push(Fifo *fifo, Parcel *parcel) {
        if (fifo->last)
                fifo->last->next = parcel;
        else
                fifo->first = parcel;
        fifo->last = parcel;
}

static Parcel *fifo_pop(Fifo *fifo) {
        Parcel *parcel = fifo->first;

        fifo->first = parcel->next;
        if (!fifo->first)
                fifo->last = NULL;
        return parcel;
}

int outbox_new(Outbox **ret, ParcelPool *pool, uint64_t bytes_max, uint64_t packets_max) {
        _cleanup_(outbox_freep) Outbox *outbox = calloc(1, sizeof(*outbox));
        int r;

        if (!outbox)
                return err_origin(-ENOMEM);
        outbox->pool = pool;
        r = fair_new(&outbox->queue, pool->sources, bytes_max, packets_max);
        if (r < 0)
                return err_trace(r);
        *ret = TAKE_PTR(outbox);
        return 0;
}

static Parcel *parcel_of(FairItem *item) {
        return item ? container_of(item, Parcel, fair) : NULL;
}

Parcel *outbox_abandon(Outbox *outbox) {
        return parcel_of(fair_pop(outbox->queue, 0));
}

Outbox *outbox_free(Outbox *outbox) {
        Parcel *parcel;

        if (!outbox)
                return NULL;
        while (outbox->control.first)
                parcel_free(outbox->pool, fifo_pop(&outbox->control));
        while (outbox->queue && (parcel = outbox_abandon(outbox)))
                parcel_free(outbox->pool, parcel);
        fair_free(outbox->queue);
        free(outbox);
        return NULL;
}

void outbox_inherit(Outbox *outbox, Outbox *from) {
        FairQueue *queue = outbox->queue;

        outbox->queue = from->queue;
        from->queue = queue;
}

int outbox_push_control(Outbox *outbox, size_t n, uint8_t **ret_data) {
        Parcel *parcel = parcel_new(outbox->pool, n);

        if (!parcel)
                return err_origin(-ENOMEM);
        fifo_push(&outbox->control, parcel);
        outbox->control_bytes += n;
        *ret_data = parcel->data;
        return 0;
}

static uint64_t worthless_usec(const PacketHeader *h, uint64_t now_usec) {
        return now_usec + MIN(packet_span_usec(&h->id, h->deadline_usec), OUTBOX_HOLD_MAX_USEC);
}

int outbox_push(Outbox *outbox, uint64_t source, const PacketHeader *header, const uint8_t *data,
                uint64_t now_usec) {
        Parcel *parcel = parcel_new(outbox->pool, header->size);
        int r;

        if (!parcel)
                return err_origin(-ENOMEM);
        r = fair_push(outbox->queue, (FairSource){ { source, 0 } },
                      fair_flow(header->src, header->dst), &parcel->fair, header->size, now_usec);
        if (r < 0) {
                parcel_free(outbox->pool, parcel);
                return err_trace(r);
        }
        memcpy(parcel->data, data, header->size);
        parcel->worthless_usec = worthless_usec(header, now_usec);
        packet_set_hop_fields(parcel->data, header->hflags, (uint8_t)(header->hops + 1));
        return 0;
}

Parcel *outbox_overflow(Outbox *outbox) {
        return parcel_of(fair_overflow(outbox->queue));
}

Parcel *outbox_pop(Outbox *outbox, uint64_t now_usec) {
        Parcel *parcel;

        if (outbox->control.first) {
                parcel = fifo_pop(&outbox->control);
                outbox->control_bytes -= parcel->n_data;
                return parcel;
        }
        while ((parcel = parcel_of(fair_pop(outbox->queue, now_usec)))) {
                if (now_usec > parcel->worthless_usec) {
                        outbox->n_expired++;
                        parcel_free(outbox->pool, parcel);
                        continue;
                }
                if (parcel->fair.marked)
                        packet_set_hop_fields(parcel->data, parcel->data[6] | PACKET_CE,
                                              parcel->data[7]);
                return parcel;
        }
        return NULL;
}

bool outbox_is_empty(const Outbox *outbox) {
        return !outbox->control.first && fair_items(outbox->queue) == 0;
}

size_t outbox_control_bytes(const Outbox *outbox) {
        return outbox->control_bytes;
}

size_t outbox_bytes(const Outbox *outbox) {
        return fair_bytes(outbox->queue);
}

size_t outbox_packets(const Outbox *outbox) {
        return fair_items(outbox->queue);
}

uint64_t outbox_take_expired(Outbox *outbox) {
        uint64_t n = outbox->n_expired;

        outbox->n_expired = 0;
        return n;
}
