/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Two rounds, one inside the other, both deficit round robin: a turn gives QUANTUM bytes of
 * credit, a frame costs its length, and who has nothing left to send or no credit for it yields.
 * A quantum is a whole frame of the largest kind, so each turn sends at least one.
 *
 * Sources exist only while something of theirs waits. Their records, like parcels, come out of
 * the pool and go back.
 */

#include "relay/outbox.h"

#include <uthash.h>
#include <utlist.h>

#include "libcore/err.h"

#define QUANTUM FRAME_SIZE_MAX
#define PAIRS 16 /* queues of a source */

static const uint32_t class_sizes[] = { 512, 2048, 8192, FRAME_SIZE_MAX };
#define N_CLASSES ELEMENTSOF(class_sizes)
#define SPARE_BYTES_MAX (1024 * 1024) /* of each class */

typedef struct Fifo {
        Parcel *first, *last;
        uint32_t deficit;
} Fifo;

typedef struct Source Source;
struct Source {
        UT_hash_handle hh;
        uint64_t id;
        Source *prev, *next; /* in the round; the first has the turn */
        uint32_t deficit;
        unsigned turn; /* of the pairs */
        uint64_t n_packets, n_bytes;
        Fifo pairs[PAIRS];
};

struct ParcelPool {
        Parcel *spare[N_CLASSES];
        size_t n_spare[N_CLASSES];
        Source *spare_sources; /* by next */
        size_t n_spare_sources;
};

struct Outbox {
        ParcelPool *pool;
        uint64_t bytes_max, packets_max;
        Fifo control;
        size_t control_bytes;
        Source *sources; /* by id */
        Source *round;
        uint64_t n_packets, n_bytes;
        uint64_t n_expired;
};

int parcel_pool_new(ParcelPool **ret) {
        *ret = calloc(1, sizeof(**ret));
        return *ret ? 0 : err_origin(-ENOMEM);
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
        while (pool->spare_sources) {
                Source *source = pool->spare_sources;

                pool->spare_sources = source->next;
                free(source);
        }
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
        Outbox *outbox = calloc(1, sizeof(*outbox));

        if (!outbox)
                return err_origin(-ENOMEM);
        outbox->pool = pool;
        outbox->bytes_max = bytes_max;
        outbox->packets_max = packets_max;
        *ret = outbox;
        return 0;
}

static Source *source_new(Outbox *outbox, uint64_t id) {
        Source *source = outbox->pool->spare_sources;

        if (source) {
                outbox->pool->spare_sources = source->next;
                outbox->pool->n_spare_sources--;
                memset(source, 0, sizeof(*source));
        } else {
                source = calloc(1, sizeof(*source));
                if (!source)
                        return NULL;
        }
        source->id = id;
        source->deficit = QUANTUM; /* its turn comes after one of each of the others */
        HASH_ADD(hh, outbox->sources, id, sizeof(source->id), source);
        DL_APPEND(outbox->round, source);
        return source;
}

static void source_drop(Outbox *outbox, Source *source) {
        ParcelPool *pool = outbox->pool;

        DL_DELETE(outbox->round, source);
        HASH_DEL(outbox->sources, source);
        if (pool->n_spare_sources >= 256) {
                free(source);
                return;
        }
        source->next = pool->spare_sources;
        pool->spare_sources = source;
        pool->n_spare_sources++;
}

Outbox *outbox_free(Outbox *outbox, uint64_t *ret_n_dropped) {
        if (!outbox)
                return NULL;
        if (ret_n_dropped)
                *ret_n_dropped = outbox->n_packets;
        while (outbox->control.first)
                parcel_free(outbox->pool, fifo_pop(&outbox->control));
        while (outbox->round) {
                Source *source = outbox->round;

                for (unsigned i = 0; i < PAIRS; i++)
                        while (source->pairs[i].first)
                                parcel_free(outbox->pool, fifo_pop(&source->pairs[i]));
                source_drop(outbox, source);
        }
        free(outbox);
        return NULL;
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

/* (n + 1) * (share + charge) - share <= what is left; n counts those who hold a share. */
static bool share_allows(uint64_t max, uint64_t used, uint64_t n, uint64_t share, uint64_t charge) {
        return used <= max && (n + 1) * (share + charge) - share <= max - used;
}

static unsigned pair_of(const PacketHeader *h) {
        uint64_t x = (h->src.pid ^ (h->dst.pid << 1 | h->dst.pid >> 63)) + h->src.tag + h->dst.tag;

        return (unsigned)(x * UINT64_C(0x9e3779b97f4a7c15) >> 60);
}

static uint64_t worthless_usec(const PacketHeader *h, uint64_t now_usec) {
        uint64_t sent_at = packet_id_sent_at(&h->id), span = OUTBOX_HOLD_MAX_USEC;

        if (h->deadline_usec != 0)
                span = h->deadline_usec > sent_at ? MIN(span, h->deadline_usec - sent_at) : 0;
        return now_usec + span;
}

int outbox_push(Outbox *outbox, uint64_t source_id, const PacketHeader *header, const uint8_t *data,
                uint64_t now_usec) {
        uint64_t n_sources = HASH_COUNT(outbox->sources), share_packets = 0, share_bytes = 0;
        Source *source;
        Parcel *parcel;

        HASH_FIND(hh, outbox->sources, &source_id, sizeof(source_id), source);
        if (source) {
                share_packets = source->n_packets;
                share_bytes = source->n_bytes;
        } else {
                n_sources++;
        }
        if (!share_allows(outbox->packets_max, outbox->n_packets, n_sources, share_packets, 1) ||
            !share_allows(outbox->bytes_max, outbox->n_bytes, n_sources, share_bytes, header->size))
                return OUTBOX_E_FULL;

        parcel = parcel_new(outbox->pool, header->size);
        if (!parcel)
                return err_origin(-ENOMEM);
        if (!source) {
                source = source_new(outbox, source_id);
                if (!source) {
                        parcel_free(outbox->pool, parcel);
                        return err_origin(-ENOMEM);
                }
        }
        memcpy(parcel->data, data, header->size);
        parcel->queued_usec = now_usec;
        parcel->worthless_usec = worthless_usec(header, now_usec);
        packet_set_hop_fields(parcel->data,
                              outbox->n_bytes > outbox->bytes_max / 4 ? header->hflags | PACKET_CE
                                                                      : header->hflags,
                              (uint8_t)(header->hops + 1));
        fifo_push(&source->pairs[pair_of(header)], parcel);
        source->n_packets++;
        source->n_bytes += header->size;
        outbox->n_packets++;
        outbox->n_bytes += header->size;
        return 0;
}

/* The pair whose turn it is within @source, which has at least one packet. */
static Fifo *source_turn(Source *source) {
        for (;;) {
                Fifo *pair = &source->pairs[source->turn];

                if (pair->first && pair->deficit >= pair->first->n_data)
                        return pair;
                if (!pair->first)
                        pair->deficit = 0;
                source->turn = (source->turn + 1) % PAIRS;
                if (source->pairs[source->turn].first)
                        source->pairs[source->turn].deficit += QUANTUM;
        }
}

static Parcel *outbox_pop_packet(Outbox *outbox) {
        for (;;) {
                Source *source = outbox->round;
                Fifo *pair = source_turn(source);
                uint32_t n_data = pair->first->n_data;
                Parcel *parcel;

                if (source->deficit < n_data) {
                        /* Its turn is over; it gets new credit when it comes round again. */
                        source->deficit += QUANTUM;
                        DL_DELETE(outbox->round, source);
                        DL_APPEND(outbox->round, source);
                        continue;
                }
                parcel = fifo_pop(pair);
                pair->deficit -= n_data;
                source->deficit -= n_data;
                source->n_packets--;
                source->n_bytes -= n_data;
                outbox->n_packets--;
                outbox->n_bytes -= n_data;
                if (source->n_packets == 0)
                        source_drop(outbox, source);
                return parcel;
        }
}

Parcel *outbox_pop(Outbox *outbox, uint64_t now_usec) {
        Parcel *parcel;

        if (outbox->control.first) {
                parcel = fifo_pop(&outbox->control);
                outbox->control_bytes -= parcel->n_data;
                return parcel;
        }
        while (outbox->round) {
                parcel = outbox_pop_packet(outbox);
                if (now_usec > parcel->worthless_usec) {
                        outbox->n_expired++;
                        parcel_free(outbox->pool, parcel);
                        continue;
                }
                if (now_usec >= parcel->queued_usec + OUTBOX_CE_USEC)
                        packet_set_hop_fields(parcel->data, parcel->data[6] | PACKET_CE,
                                              parcel->data[7]);
                return parcel;
        }
        return NULL;
}

bool outbox_is_empty(const Outbox *outbox) {
        return !outbox->control.first && outbox->n_packets == 0;
}

size_t outbox_control_bytes(const Outbox *outbox) {
        return outbox->control_bytes;
}

size_t outbox_bytes(const Outbox *outbox) {
        return outbox->n_bytes;
}

size_t outbox_packets(const Outbox *outbox) {
        return outbox->n_packets;
}

uint64_t outbox_take_expired(Outbox *outbox) {
        uint64_t n = outbox->n_expired;

        outbox->n_expired = 0;
        return n;
}
