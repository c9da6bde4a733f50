/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Latency: how long calls took, in buckets that never change
 *
 * Whoever asks twice and subtracts has what happened in between; the bounds are the same in all
 * providers, so that their counts can be added.
 */

#include <stdint.h>

#include <jansson.h>

#define LATENCY_BUCKETS 20

typedef struct Latency {
        uint64_t n[LATENCY_BUCKETS];
} Latency;

void latency_add(Latency *latency, uint64_t usec);
/* A list of the counts, and one of the upper bounds in microseconds, of which the last bucket has none.
 * Return: NULL: no memory. */
json_t *latency_show(const Latency *latency);
json_t *latency_show_bounds(void);
