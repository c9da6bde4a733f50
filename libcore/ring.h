/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Producer and consumer of one direction of a ring
 *
 * Bytes in, bytes out, over memory that somebody mapped (ring-file.h); no descriptors, no system
 * calls, no clock. The two sides are processes that do not trust each other. Each keeps its own
 * position private and only publishes it; a position or an entry's head of the other side is read
 * once into a local, checked there and used from there. An impossible claim breaks the ring for
 * good: RING_E_VIOLATION from then on, and nothing is published any more.
 *
 *      producer: reserve, write, commit, again, ...; publish    one store makes all of them visible
 *      consumer: peek, read, advance, again, ...; release       one store gives all their room back
 *
 * Entries are contiguous, because the data area is mapped twice back to back. What ring_peek() shows
 * lies in the other process's memory and may change while it is looked at: copy it, then parse the
 * copy. An entry that was passed with ring_advance() may be kept for as long as it is not released,
 * and later ones read meanwhile.
 *
 * Sleeping. Who has nothing to do says in its own file at which position of the other it wants to
 * be woken (`wake_at`), and looks once more; who has published looks whether it passed such a
 * position. Each does a store, a full fence and a load, so at least one of them sees the other: no
 * wake-up is lost (tests/ring-model.c tries every order of the steps). A bell may come for nothing:
 * when both saw each other, or when the sleeper was woken by something else. It is passed at most
 * once for each time somebody went to sleep.
 *
 * All functions of one RingProducer or RingConsumer are called from one thread.
 */

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/ring-abi.h"

#define RING_VAIN_MAX 10000 /* wake-ups for nothing in one second */

enum {
        _RING_E_SUCCESS,

        RING_E_EMPTY,     /* nothing unread */
        RING_E_FULL,      /* no room now */
        RING_E_VIOLATION, /* the other side broke the rules, now or earlier: give the ring up */
};

typedef struct RingProducer {
        uint8_t *data; /* mapped twice */
        uint64_t size;
        uint64_t position;  /* end of what is committed */
        uint64_t limit;     /* @consumed + @size: entries end here at most */
        uint64_t published; /* our word, as the other side sees it */
        uint64_t consumed;  /* the other side's word, when last looked at */
        uint64_t n_reserved;
        uint32_t stamp; /* the owner's: stands in the head of what is committed */
        bool is_broken;
        struct ring_abi_producer *own;         /* in our file */
        const struct ring_abi_consumer *other; /* in the other file */
} RingProducer;

typedef struct RingConsumer {
        const uint8_t *data; /* mapped twice */
        uint64_t size;
        uint64_t position; /* end of what was read */
        uint64_t next;     /* end of the entry that was peeked */
        uint64_t produced; /* the other side's word, when last looked at */
        uint64_t released; /* our word, as the other side sees it */
        uint32_t stamp;    /* of the entry that was peeked: anything at all, from a liar */
        bool is_broken;
        struct ring_abi_consumer *own;
        const struct ring_abi_producer *other;

        /* Wake-ups for nothing, see ring_woken_in_vain() */
        uint64_t vain_since_usec;
        uint64_t vain_position;
        uint64_t vain_room;
        uint32_t n_vain;
} RingConsumer;

/* May a ring have @size bytes of data? */
static inline bool ring_size_is_legal(uint64_t size) {
        return size >= RING_SIZE_MIN && size <= RING_SIZE_MAX && (size & (size - 1)) == 0;
}

/*
 * A producer of @data, @size bytes that are mapped twice, back to back; @size is legal. Both files are fresh: their positions are 0. The memory must
 * outlive the producer, which owns nothing.
 */
void ring_producer_init(RingProducer *p, uint8_t *data, uint32_t size,
                        struct ring_abi_producer *own, const struct ring_abi_consumer *other);
/* The same for the other end; @data and @other are in the other side's file. */
void ring_consumer_init(RingConsumer *c, const uint8_t *data, uint32_t size,
                        struct ring_abi_consumer *own, const struct ring_abi_producer *other);

/*
 * Contiguous room for an entry of at most @n_max bytes, 1 to RING_ENTRY_MAX, until ring_commit();
 * reserving again takes it back.
 * Return: 0; RING_E_FULL; RING_E_VIOLATION; @ret is untouched unless 0.
 */
static inline int ring_reserve(RingProducer *p, size_t n_max, uint8_t **ret);
/*
 * The entry that was reserved is written: it has @n bytes, from 1 to what was reserved. Any number
 * may be committed before they are published.
 */
static inline void ring_commit(RingProducer *p, size_t n);
/* Makes all that was committed visible. Return: true: ring the bell, the consumer sleeps. */
static inline bool ring_publish(RingProducer *p);
/*
 * Before sleeping for want of room for an entry of at most @n_max bytes, with all that was committed
 * published: asks for a bell. Return: true: do not sleep, there is room after all (or the ring is
 * broken): ring_reserve() tells.
 */
bool ring_wait_for_room(RingProducer *p, size_t n_max);

/*
 * The next unread entry, where it lies; its size was read once and checked. The same entry again
 * until ring_advance().
 * Return: 0; RING_E_EMPTY; RING_E_VIOLATION; @ret and @ret_n are untouched unless 0.
 */
static inline int ring_peek(RingConsumer *c, const uint8_t **ret, size_t *ret_n);
/* Goes past the entry that was peeked. Its memory stays as it is until ring_release(). */
static inline void ring_advance(RingConsumer *c);
/* Where the reader is: behind the entry that ring_advance() passed last; for ring_release(). */
static inline uint64_t ring_position(const RingConsumer *c);
/*
 * Gives the producer the room of all entries before @position, which lies between what was last
 * released and ring_position(). Costs a fence: not after each entry, but always before sleeping.
 * Return: true: ring the bell, the producer waits for room.
 */
static inline bool ring_release(RingConsumer *c, uint64_t position);
/*
 * Before sleeping: asks for a bell. Return: true: nothing is unread, sleep; false: look again, there
 * is an entry (or the ring is broken): ring_peek() tells.
 */
bool ring_sleep(RingConsumer *c);
/* Worth a ring_peek()? For spinning: a load that mostly hits this core's cache. */
static inline bool ring_has_entry(const RingConsumer *c);

/*
 * A bell was heard, and there was neither an entry for @c nor room that @p, the other direction,
 * waited for. An honest peer does that at most once after each thing it did; so what counts is
 * bells that follow a bell with nothing in between.
 * Return: true: more than RING_VAIN_MAX within a second. @c is broken from then on.
 */
bool ring_woken_in_vain(RingConsumer *c, const RingProducer *p, uint64_t now_usec);

/* Bytes that lie in the ring, heads and padding included; for status. */
uint64_t ring_producer_fill(const RingProducer *p);
uint64_t ring_consumer_fill(const RingConsumer *c);
static inline uint32_t ring_producer_size(const RingProducer *p) {
        return (uint32_t)p->size;
}
static inline uint32_t ring_consumer_size(const RingConsumer *c) {
        return (uint32_t)c->size;
}

/* What an entry of @n bytes takes in the ring: at most RING_HEAD_SIZE + RING_ENTRY_MAX. */
static inline uint64_t ring_entry_size(uint64_t n) {
        return (RING_HEAD_SIZE + n + 7) & ~UINT64_C(7);
}

/*
 * All access to memory that both sides use, payload aside. Who calls one of them says with what it
 * pairs.
 */

static inline uint64_t ring_load_relaxed(const uint64_t *p) {
        return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint64_t ring_load_acquire(const uint64_t *p) {
        return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void ring_store_relaxed(uint64_t *p, uint64_t v) {
        __atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static inline void ring_store_release(uint64_t *p, uint64_t v) {
        __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

/* ThreadSanitizer does not see fences; what it should see is ordered by acquire and release. */
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
static inline void ring_fence(void) {
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

/* Is @wake_at in (@old, @now]? Positions may wrap. */
static inline bool ring_passed(uint64_t wake_at, uint64_t old, uint64_t now) {
        return wake_at - old - 1 < now - old;
}

/* The rare part of ring_reserve(): looks at the other side's `consumed`. Return: as there. */
__attribute__((cold)) int ring_look_for_room(RingProducer *p, uint64_t n);
/* The rare part of ring_peek(): looks at the other side's `produced`. Return: as there. */
int ring_look_for_entry(RingConsumer *c);
/* RING_E_VIOLATION from here on. */
__attribute__((cold)) void ring_break_producer(RingProducer *p);
__attribute__((cold)) void ring_break_consumer(RingConsumer *c);

static inline int ring_reserve(RingProducer *p, size_t n_max, uint8_t **ret) {
        uint64_t n = ring_entry_size(n_max);
        int r;

        assert(n_max >= 1 && n_max <= RING_ENTRY_MAX);
        if (p->limit - p->position < n) {
                r = ring_look_for_room(p, n);
                if (r != 0)
                        return r;
        }
        p->n_reserved = n_max;
        *ret = p->data + (p->position & (p->size - 1)) + RING_HEAD_SIZE;
        return 0;
}

static inline void ring_commit(RingProducer *p, size_t n) {
        assert(n >= 1 && n <= p->n_reserved);
        /* Size and stamp; seen, like the payload, only once it is published. */
        ring_store_relaxed((uint64_t *)(p->data + (p->position & (p->size - 1))),
                           n | (uint64_t)p->stamp << 32);
        p->position += ring_entry_size(n);
        p->n_reserved = 0;
}

static inline bool ring_publish(RingProducer *p) {
        uint64_t old = p->published;

        if (p->position == old || p->is_broken)
                return false;
        p->published = p->position;
        /* Pairs with the acquire load in ring_look_for_entry(): what lies before `produced` is
         * written. */
        ring_store_release(&p->own->produced, p->position);
        /* Pairs with the fence in ring_sleep(): either we see its `wake_at`, or it our `produced`. */
        ring_fence();
        return ring_passed(ring_load_relaxed(&p->other->wake_at), old, p->position);
}

static inline int ring_peek(RingConsumer *c, const uint8_t **ret, size_t *ret_n) {
        const uint8_t *entry;
        uint64_t head, size;
        int r;

        if (c->produced == c->position) {
                r = ring_look_for_entry(c);
                if (r != 0)
                        return r;
        }
        entry = c->data + (c->position & (c->size - 1));
        /* Ordered by the acquire load of `produced`. A producer that lies may change it at any time:
         * from here on only the local counts. */
        head = ring_load_relaxed((const uint64_t *)entry);
        size = (uint32_t)head;
        if (size - 1 >= RING_ENTRY_MAX || ring_entry_size(size) > c->produced - c->position) {
                ring_break_consumer(c);
                return RING_E_VIOLATION;
        }
        c->next = c->position + ring_entry_size(size);
        c->stamp = (uint32_t)(head >> 32);
        *ret = entry + RING_HEAD_SIZE;
        *ret_n = size;
        return 0;
}

static inline void ring_advance(RingConsumer *c) {
        c->position = c->next;
}

static inline uint64_t ring_position(const RingConsumer *c) {
        return c->position;
}

static inline bool ring_release(RingConsumer *c, uint64_t position) {
        uint64_t old = c->released;

        assert(position - old <= c->position - old);
        if (position == old || c->is_broken)
                return false;
        c->released = position;
        /* Pairs with the acquire load in ring_look_for_room(): what lies before `consumed` is no
         * longer read. */
        ring_store_release(&c->own->consumed, position);
        /* Pairs with the fence in ring_wait_for_room(). */
        ring_fence();
        return ring_passed(ring_load_relaxed(&c->other->wake_at), old, position);
}

static inline bool ring_has_entry(const RingConsumer *c) {
        /* Pairs with nothing: ring_peek() loads it again, with acquire. */
        return c->produced != c->position || ring_load_relaxed(&c->other->produced) != c->position;
}
