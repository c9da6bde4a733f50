/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Pair: two processes that know each other, an endpoint each
 *
 * The parent's is on the plan's bus, the child's on the far one if there is one. Calls that fail end
 * the process, as everywhere in a bench.
 */

#include "bench/measure.h"

typedef struct Pair {
        const Plan *plan;
        Endpoint *endpoint;
        char self[SYSTEM_ADDRESS_SIZE];
        char other[SYSTEM_ADDRESS_SIZE];
        pid_t child;
        bool is_child;
} Pair;

/* Forks; parent and child each open an endpoint, learn the other's address and connect to it. */
Pair pair_start(const Plan *plan);
/* Closes; the child does not come back, the parent waits for it. */
void pair_end(Pair *p);

void pair_send(Pair *p, uint8_t *data, size_t n);
void pair_flush(Pair *p);
/* Waits for one message. Return: its size. */
size_t pair_receive(Pair *p, uint8_t *data);

/* qsort()'s, of uint32_t. */
int pair_compare(const void *a, const void *b);
