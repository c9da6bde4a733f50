/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Two sides of a ring in one process, each with its own file and mappings
 *
 * What fails, fails the running test.
 */

#include "libcore/ring-file.h"

typedef struct RingSide {
        RingFile own;
        RingView other;
        RingProducer producer;
        RingConsumer consumer;
} RingSide;

typedef struct RingPair {
        RingSide a, b;
} RingPair;

/* Sizes of what A and B produce. */
void ring_pair_open(RingPair *pair, uint32_t size_a, uint32_t size_b);
void ring_pair_close(RingPair *pair);

/* An entry of @n bytes that count from @seed; it must fit. Not published. */
void ring_put(RingProducer *p, size_t n, uint8_t seed);
/* The next entry is that; goes past it, and does not release it. */
void ring_expect_entry(RingConsumer *c, size_t n, uint8_t seed);
/* ring_peek() says @condition and touches nothing. */
void ring_expect_no_entry(RingConsumer *c, int condition);
/* So does ring_reserve(). */
void ring_expect_no_room(RingProducer *p, size_t n, int condition);
/* An entry of @n bytes, whatever they are, is published, read and released. */
void ring_pass(RingProducer *p, RingConsumer *c, size_t n);
