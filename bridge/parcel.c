/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Blocks are powers of two from 256 bytes to a whole frame, so at most half of one is unused; a
 * little of what was given back is kept, the rest goes back to malloc().
 */

#include "bridge/parcel.h"

#include <utlist.h>

#include "libcore/err.h"

#define CLASS_LEAST 256
#define N_CLASSES 9 /* 256 << 8 is FRAME_SIZE_MAX */
#define KEPT_MAX (1024 * 1024)

_Static_assert(CLASS_LEAST << (N_CLASSES - 1) == FRAME_SIZE_MAX, "a frame fits the last class");

struct ParcelPool {
        Parcel *spare[N_CLASSES];
        size_t n_spare_bytes;
        size_t n_out; /* parcels that somebody holds */
        FairPool *sources;
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
                        Parcel *p = pool->spare[i];

                        LL_DELETE(pool->spare[i], p);
                        free(p);
                }
        fair_pool_free(pool->sources);
        free(pool);
        return NULL;
}

FairPool *parcel_pool_sources(ParcelPool *pool) {
        return pool->sources;
}

static unsigned class_of(size_t size) {
        unsigned c = 0;

        while ((size_t)CLASS_LEAST << c < size)
                c++;
        return c;
}

int parcel_new(ParcelPool *pool, const PacketHeader *header, const uint8_t *data, Parcel **ret) {
        unsigned c = class_of(header->size);
        Parcel *p = pool->spare[c];

        if (p) {
                LL_DELETE(pool->spare[c], p);
                pool->n_spare_bytes -= (size_t)CLASS_LEAST << c;
        } else {
                p = malloc(sizeof(*p) + ((size_t)CLASS_LEAST << c));
                if (!p)
                        return err_origin(-ENOMEM);
        }

        *p = (Parcel){
                .life_usec = packet_span_usec(&header->id, header->deadline_usec),
                .src = header->src,
                .dst = header->dst,
                .id = header->id,
                .size_class = (uint8_t)c,
                .size = header->size,
        };
        memcpy(p->data, data, header->size);
        pool->n_out++;
        *ret = p;
        return 0;
}

Parcel *parcel_free(ParcelPool *pool, Parcel *parcel) {
        size_t size;

        if (!parcel)
                return NULL;

        size = (size_t)CLASS_LEAST << parcel->size_class;
        pool->n_out--;
        if (pool->n_spare_bytes + size <= KEPT_MAX) {
                LL_PREPEND(pool->spare[parcel->size_class], parcel);
                pool->n_spare_bytes += size;
        } else {
                free(parcel);
        }
        return NULL;
}
