/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The parts of a ring that are not on every entry's way
 *
 * A broken ring looks full to its producer and empty to its consumer, so that the fast paths in
 * ring.h always end here, where that is told apart: they need no test of their own.
 */

#include "libcore/ring.h"

#include "libcore/util.h"

void ring_producer_init(RingProducer *p, uint8_t *data, uint32_t size,
                        struct ring_abi_producer *own, const struct ring_abi_consumer *other) {
        assert(ring_size_is_legal(size));
        *p = (RingProducer){
                .data = data,
                .size = size,
                .limit = size,
                .own = own,
                .other = other,
        };
}

void ring_consumer_init(RingConsumer *c, const uint8_t *data, uint32_t size,
                        struct ring_abi_consumer *own, const struct ring_abi_producer *other) {
        assert(ring_size_is_legal(size));
        *c = (RingConsumer){ .data = data, .size = size, .own = own, .other = other };
}

void ring_break_producer(RingProducer *p) {
        p->is_broken = true;
        p->limit = p->position;
}

void ring_break_consumer(RingConsumer *c) {
        c->is_broken = true;
        c->produced = c->position;
        c->next = c->position;
}

int ring_look_for_room(RingProducer *p, uint64_t n) {
        uint64_t consumed;

        if (p->is_broken)
                return RING_E_VIOLATION;
        /* Pairs with the release store in ring_release(): what lies before is no longer read. */
        consumed = ring_load_acquire(&p->other->consumed);
        /* Never back, and never past what we published. */
        if (consumed % 8 != 0 || consumed - p->consumed > p->published - p->consumed) {
                ring_break_producer(p);
                return RING_E_VIOLATION;
        }
        p->consumed = consumed;
        p->limit = consumed + p->size;
        return p->limit - p->position < n ? RING_E_FULL : 0;
}

bool ring_wait_for_room(RingProducer *p, size_t n_max) {
        uint64_t n = ring_entry_size(n_max);

        assert(n_max >= 1 && n_max <= RING_ENTRY_MAX);
        /* The consumer would sleep for want of entries, and we for want of room. */
        assert(p->published == p->position || p->is_broken);
        if (p->is_broken)
                return true;
        /* Pairs with the load in ring_release(). */
        ring_store_relaxed(&p->own->wake_at, p->position + n - p->size);
        /* Pairs with the fence there: either it sees our `wake_at`, or we its `consumed`. */
        ring_fence();
        return ring_look_for_room(p, n) != RING_E_FULL;
}

int ring_look_for_entry(RingConsumer *c) {
        uint64_t produced, n;

        if (c->is_broken)
                return RING_E_VIOLATION;
        /* Pairs with the release store in ring_publish(): what lies before is written. */
        produced = ring_load_acquire(&c->other->produced);
        if (produced == c->position)
                return RING_E_EMPTY;
        /* Never back, and never over what was not released. */
        n = produced - c->released;
        if (produced % 8 != 0 || n > c->size || n < c->position - c->released) {
                ring_break_consumer(c);
                return RING_E_VIOLATION;
        }
        c->produced = produced;
        return 0;
}

bool ring_sleep(RingConsumer *c) {
        if (c->produced != c->position || c->is_broken)
                return false;
        /* Pairs with the load in ring_publish(). */
        ring_store_relaxed(&c->own->wake_at, c->position + 1);
        /* Pairs with the fence there: either it sees our `wake_at`, or we its `produced`. */
        ring_fence();
        return ring_look_for_entry(c) == RING_E_EMPTY;
}

bool ring_woken_in_vain(RingConsumer *c, const RingProducer *p, uint64_t now_usec) {
        if (c->is_broken)
                return true;
        if (c->position != c->vain_position || p->consumed != c->vain_room) {
                /* The bell belonged to what we found without it. */
                c->vain_position = c->position;
                c->vain_room = p->consumed;
                return false;
        }
        if (now_usec - c->vain_since_usec >= USEC_PER_SEC) {
                c->vain_since_usec = now_usec;
                c->n_vain = 0;
        }
        if (++c->n_vain <= RING_VAIN_MAX)
                return false;
        ring_break_consumer(c);
        return true;
}

uint64_t ring_producer_fill(const RingProducer *p) {
        /* Pairs with nothing: a number to show. A consumer may lie about it. */
        return MIN(p->position - ring_load_relaxed(&p->other->consumed), p->size);
}

uint64_t ring_consumer_fill(const RingConsumer *c) {
        /* As above. */
        return MIN(ring_load_relaxed(&c->other->produced) - c->position, c->size);
}
