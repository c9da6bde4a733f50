/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libcall/latency.h"

static const uint32_t bounds[LATENCY_BUCKETS - 1] = {
        10,    20,    50,     100,    200,    500,     1000,    2000,    5000,     10000,
        20000, 50000, 100000, 200000, 500000, 1000000, 2000000, 5000000, 10000000,
};

void latency_add(Latency *latency, uint64_t usec) {
        unsigned i = 0;

        while (i < LATENCY_BUCKETS - 1 && usec > bounds[i])
                i++;
        latency->n[i]++;
}

static json_t *append(json_t *list, uint64_t number) {
        if (list && json_array_append_new(list, json_integer((json_int_t)number)) < 0) {
                json_decref(list);
                return NULL;
        }
        return list;
}

json_t *latency_show(const Latency *latency) {
        json_t *list = json_array();

        for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
                list = append(list, latency->n[i]);
        return list;
}

json_t *latency_show_bounds(void) {
        json_t *list = json_array();

        for (unsigned i = 0; i < LATENCY_BUCKETS - 1; i++)
                list = append(list, bounds[i]);
        return list;
}
