/* SPDX-License-Identifier: Apache-2.0 */

#include "libclient/ranges.h"

#include "libcore/util.h"

struct Ranges {
        unsigned n;
        RecordRange range[RECORD_ACK_RANGES_MAX]; /* the lowest first, none touches the next */
};

/* Behind those that are there already, of which none begins later. */
static void append(Ranges *ranges, const RecordRange *range) {
        RecordRange *last = ranges->n > 0 ? &ranges->range[ranges->n - 1] : NULL;

        if (last && range->first <= last->last + 1)
                last->last = MAX(last->last, range->last);
        else if (ranges->n < RECORD_ACK_RANGES_MAX)
                ranges->range[ranges->n++] = *range;
}

void ranges_note(Ranges **ranges, const Record *ack) {
        unsigned n_old = *ranges ? (*ranges)->n : 0, n_new = ack->ack.n_ranges, i = 0, k = 0;
        RecordRange old[RECORD_ACK_RANGES_MAX];

        if (n_old == 0 && n_new == 0)
                return;
        if (!*ranges)
                *ranges = calloc(1, sizeof(**ranges));
        if (!*ranges)
                return;
        if (n_old > 0)
                memcpy(old, (*ranges)->range, n_old * sizeof(*old));
        (*ranges)->n = 0;
        while (i < n_old || k < n_new) {
                const RecordRange *next;

                if (k == n_new || (i < n_old && old[i].first <= ack->ack.ranges[k].first))
                        next = &old[i++];
                else
                        next = &ack->ack.ranges[k++];
                if (next->last >= ack->ack.received)
                        append(*ranges, next);
        }
}

void ranges_clear(Ranges *ranges) {
        if (ranges)
                ranges->n = 0;
}

Ranges *ranges_free(Ranges *ranges) {
        free(ranges);
        return NULL;
}

bool ranges_have(const Ranges *ranges, uint64_t seq) {
        for (unsigned i = 0; ranges && i < ranges->n; i++)
                if (seq >= ranges->range[i].first && seq <= ranges->range[i].last)
                        return true;
        return false;
}

uint64_t ranges_last(const Ranges *ranges) {
        return ranges && ranges->n > 0 ? ranges->range[ranges->n - 1].first : 0;
}
