/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Two rings, one inside the other: the sources with something to send, and for each of them its
 * flows (one a destination). Whose deficit does not cover his next packet gets a quantum and goes
 * to the end of his ring; so no turn is longer than a packet more than a quantum.
 *
 * A flow that runs empty leaves its ring but is remembered for a while: a conversation comes and
 * goes with each packet, and should not allocate each time.
 */

#include "bridge/outbox.h"

#include <uthash.h>
#include <utlist.h>

#include "libcore/err.h"

#define QUANTUM 8192
#define IDLE_FLOWS_MAX 256

typedef struct Flow Flow;
typedef struct Source Source;

/* Hashed as bytes: no padding. */
typedef struct AddressKey {
        uint64_t pid;
        uint64_t tag;
} AddressKey;

typedef struct FlowKey {
        AddressKey src;
        AddressKey dst;
} FlowKey;

struct Flow {
        FlowKey key;
        UT_hash_handle hh;
        Flow *prev, *next; /* of its source's ring, or of the outbox's idle list */
        Source *source;
        Parcel *queue;
        size_t bytes;
        size_t deficit;
};

struct Source {
        AddressKey key;
        UT_hash_handle hh;
        Source *prev, *next; /* of the ring, if flows is not NULL */
        Flow *flows;         /* those with something to send */
        unsigned n_flows;    /* idle ones too */
        size_t bytes;
        size_t deficit;
};

struct Outbox {
        ParcelPool *pool;
        size_t bytes_max;
        unsigned packets_max;
        Flow *by_key;
        Source *by_address;
        Source *ring;
        Flow *idle; /* the longest idle first */
        unsigned n_idle;
        size_t bytes;
        unsigned n_packets;
};

static AddressKey address_key(Address a) {
        return (AddressKey){ .pid = a.pid, .tag = a.tag };
}

int outbox_new(Outbox **ret, ParcelPool *pool, size_t bytes_max, unsigned packets_max) {
        Outbox *outbox = calloc(1, sizeof(*outbox));

        if (!outbox)
                return err_origin(-ENOMEM);
        *outbox = (Outbox){ .pool = pool, .bytes_max = bytes_max, .packets_max = packets_max };
        *ret = outbox;
        return 0;
}

static void source_forget(Outbox *outbox, Source *source) {
        HASH_DELETE(hh, outbox->by_address, source);
        free(source);
}

/* Only of an idle flow. */
static void flow_forget(Outbox *outbox, Flow *flow) {
        DL_DELETE(outbox->idle, flow);
        outbox->n_idle--;
        HASH_DELETE(hh, outbox->by_key, flow);
        if (--flow->source->n_flows == 0)
                source_forget(outbox, flow->source);
        free(flow);
}

Outbox *outbox_free(Outbox *outbox) {
        Parcel *p;

        if (!outbox)
                return NULL;

        while ((p = outbox_pop(outbox, 0)))
                parcel_free(outbox->pool, p);
        while (outbox->idle)
                flow_forget(outbox, outbox->idle);
        free(outbox);
        return NULL;
}

static int source_get(Outbox *outbox, AddressKey key, Source **ret) {
        Source *source;

        HASH_FIND(hh, outbox->by_address, &key, sizeof(key), source);
        if (!source) {
                source = calloc(1, sizeof(*source));
                if (!source)
                        return err_origin(-ENOMEM);
                source->key = key;
                HASH_ADD(hh, outbox->by_address, key, sizeof(key), source);
        }
        *ret = source;
        return 0;
}

static int flow_get(Outbox *outbox, const Parcel *parcel, Flow **ret) {
        FlowKey key = { address_key(parcel->src), address_key(parcel->dst) };
        Source *source;
        Flow *flow;
        int r;

        HASH_FIND(hh, outbox->by_key, &key, sizeof(key), flow);
        if (flow) {
                *ret = flow;
                return 0;
        }

        r = source_get(outbox, key.src, &source);
        if (r < 0)
                return err_trace(r);
        flow = calloc(1, sizeof(*flow));
        if (!flow) {
                if (source->n_flows == 0)
                        source_forget(outbox, source);
                return err_origin(-ENOMEM);
        }
        flow->key = key;
        flow->source = source;
        source->n_flows++;
        HASH_ADD(hh, outbox->by_key, key, sizeof(key), flow);
        DL_APPEND(outbox->idle, flow);
        outbox->n_idle++;
        *ret = flow;
        return 0;
}

static void flow_activate(Outbox *outbox, Flow *flow) {
        Source *source = flow->source;

        DL_DELETE(outbox->idle, flow);
        outbox->n_idle--;
        if (!source->flows)
                DL_APPEND(outbox->ring, source);
        DL_APPEND(source->flows, flow);
}

/* An empty queue keeps no deficit: nobody saves up turns by being silent. */
static void flow_deactivate(Outbox *outbox, Flow *flow) {
        Source *source = flow->source;

        flow->deficit = 0;
        DL_DELETE(source->flows, flow);
        if (!source->flows) {
                source->deficit = 0;
                DL_DELETE(outbox->ring, source);
        }
        DL_APPEND(outbox->idle, flow);
        if (++outbox->n_idle > IDLE_FLOWS_MAX)
                flow_forget(outbox, outbox->idle);
}

static void mark_ce(Parcel *parcel) {
        packet_set_hop_fields(parcel->data, parcel->data[6] | PACKET_CE, parcel->data[7]);
}

int outbox_push(Outbox *outbox, Parcel *parcel, uint64_t now_usec) {
        Flow *flow;
        int r;

        r = flow_get(outbox, parcel, &flow);
        if (r < 0)
                return err_trace(r);

        if (!flow->queue)
                flow_activate(outbox, flow);
        parcel->queued_usec = now_usec;
        DL_APPEND(flow->queue, parcel);
        flow->bytes += parcel->size;
        flow->source->bytes += parcel->size;
        outbox->bytes += parcel->size;
        outbox->n_packets++;

        if (outbox->bytes > outbox->bytes_max / 4 || outbox->n_packets > outbox->packets_max / 4)
                mark_ce(parcel);
        return 0;
}

static void take_out(Outbox *outbox, Flow *flow, Parcel *parcel) {
        DL_DELETE(flow->queue, parcel);
        flow->bytes -= parcel->size;
        flow->source->bytes -= parcel->size;
        outbox->bytes -= parcel->size;
        outbox->n_packets--;
        if (!flow->queue)
                flow_deactivate(outbox, flow); /* Careful: @flow may be gone from here */
}

Parcel *outbox_overflow(Outbox *outbox) {
        Source *source, *longest_source = NULL;
        Flow *flow, *longest = NULL;
        Parcel *parcel;

        if (outbox->bytes <= outbox->bytes_max && outbox->n_packets <= outbox->packets_max)
                return NULL;

        DL_FOREACH (outbox->ring, source)
                if (!longest_source || source->bytes > longest_source->bytes)
                        longest_source = source;
        DL_FOREACH (longest_source->flows, flow)
                if (!longest || flow->bytes > longest->bytes)
                        longest = flow;

        parcel = longest->queue->prev; /* the newest: utlist's head points back to its tail */
        take_out(outbox, longest, parcel);
        return parcel;
}

Parcel *outbox_pop(Outbox *outbox, uint64_t now_usec) {
        for (;;) {
                Source *source = outbox->ring;
                Parcel *parcel;
                Flow *flow;

                if (!source)
                        return NULL;
                flow = source->flows;
                parcel = flow->queue;

                if (flow->deficit < parcel->size) {
                        flow->deficit += QUANTUM;
                        DL_DELETE(source->flows, flow);
                        DL_APPEND(source->flows, flow);
                        continue;
                }
                if (source->deficit < parcel->size) {
                        source->deficit += QUANTUM;
                        DL_DELETE(outbox->ring, source);
                        DL_APPEND(outbox->ring, source);
                        continue;
                }

                flow->deficit -= parcel->size;
                source->deficit -= parcel->size;
                take_out(outbox, flow, parcel);
                if (now_usec > parcel->queued_usec + OUTBOX_CE_USEC)
                        mark_ce(parcel);
                return parcel;
        }
}

size_t outbox_bytes(const Outbox *outbox) {
        return outbox->bytes;
}

unsigned outbox_packets(const Outbox *outbox) {
        return outbox->n_packets;
}

bool outbox_has(const Outbox *outbox, Address src) {
        AddressKey key = address_key(src);
        Source *source;

        HASH_FIND(hh, outbox->by_address, &key, sizeof(key), source);
        return source && source->flows;
}
