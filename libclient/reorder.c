/* SPDX-License-Identifier: Apache-2.0 */

#include "libclient/reorder.h"

#include <stdlib.h>
#include <string.h>

#include "libcore/err.h"

typedef struct Range {
        uint64_t first, last;
        ReorderRecord *head, *tail;
} Range;

struct Reorder {
        unsigned n;
        size_t bytes;
        size_t n_records;
        Range ranges[REORDER_RANGES_MAX];
};

static void remove_range(Reorder *reorder, Range *range) {
        reorder->n--;
        memmove(range, range + 1, (size_t)(reorder->ranges + reorder->n - range) * sizeof(*range));
}

void reorder_drop_first(Reorder **reorder) {
        Reorder *o = *reorder;
        Range *range = &o->ranges[0];
        ReorderRecord *record = range->head;

        range->head = record->next;
        range->first++;
        o->bytes -= record->size;
        o->n_records--;
        free(record);
        if (!range->head)
                remove_range(o, range);
        if (o->n == 0) {
                free(o);
                *reorder = NULL;
        }
}

void reorder_drop_below(Reorder **reorder, uint64_t seq) {
        while (*reorder && (*reorder)->ranges[0].first < seq)
                reorder_drop_first(reorder);
}

Reorder *reorder_free(Reorder *reorder) {
        reorder_drop_below(&reorder, UINT64_MAX);
        return NULL;
}

static ReorderRecord *record_copy(const Record *record, uint16_t refusal, uint64_t now_usec) {
        ReorderRecord *copy = malloc(sizeof(*copy) + record->size);

        if (!copy)
                return NULL;
        copy->next = NULL;
        copy->type = record->type;
        copy->refusal = refusal;
        copy->came_usec = now_usec;
        copy->size = record->size;
        record_encode(record, copy->bytes);
        return copy;
}

/* Puts @record, number @seq, in front of range @i, behind the one before, or between them. */
static void insert(Reorder *o, unsigned i, uint64_t seq, ReorderRecord *record) {
        Range *range = &o->ranges[i], *before = i > 0 ? range - 1 : NULL;
        bool joins_behind = i < o->n && range->first == seq + 1;

        if (before && before->last + 1 == seq) {
                before->tail->next = record;
                before->tail = record;
                before->last = seq;
                if (joins_behind) {
                        record->next = range->head;
                        before->tail = range->tail;
                        before->last = range->last;
                        remove_range(o, range);
                }
        } else if (joins_behind) {
                record->next = range->head;
                range->head = record;
                range->first = seq;
        } else {
                memmove(range + 1, range, (size_t)(o->ranges + o->n - range) * sizeof(*range));
                *range = (Range){ seq, seq, record, record };
                o->n++;
        }
}

int reorder_keep(Reorder **reorder, const Record *record, uint16_t refusal, uint64_t now_usec) {
        Reorder *o = *reorder;
        ReorderRecord *copy;
        uint64_t seq = record->seq;
        unsigned i = 0;

        while (o && i < o->n && o->ranges[i].last < seq)
                i++;
        if (o && i < o->n && o->ranges[i].first <= seq)
                return REORDER_E_DOUBLE;
        if (o && o->n == REORDER_RANGES_MAX && !(i > 0 && o->ranges[i - 1].last + 1 == seq) &&
            !(i < o->n && o->ranges[i].first == seq + 1))
                return REORDER_E_FULL;

        copy = record_copy(record, refusal, now_usec);
        if (!copy)
                return err_origin(-ENOMEM);
        if (!o) {
                o = calloc(1, sizeof(*o));
                if (!o) {
                        free(copy);
                        return err_origin(-ENOMEM);
                }
                *reorder = o;
        }
        insert(o, i, seq, copy);
        o->bytes += copy->size;
        o->n_records++;
        return 0;
}

const ReorderRecord *reorder_first(const Reorder *reorder, uint64_t *ret_seq) {
        if (!reorder)
                return NULL;
        *ret_seq = reorder->ranges[0].first;
        return reorder->ranges[0].head;
}

bool reorder_has(const Reorder *reorder, uint64_t seq) {
        for (unsigned i = 0; reorder && i < reorder->n && reorder->ranges[i].first <= seq; i++)
                if (seq <= reorder->ranges[i].last)
                        return true;
        return false;
}

unsigned reorder_ranges(const Reorder *reorder, RecordRange *out) {
        if (!reorder)
                return 0;
        for (unsigned i = 0; i < reorder->n; i++)
                out[i] = (RecordRange){ reorder->ranges[i].first, reorder->ranges[i].last };
        return reorder->n;
}

size_t reorder_bytes(const Reorder *reorder) {
        return reorder ? reorder->bytes : 0;
}

size_t reorder_memory(const Reorder *reorder) {
        if (!reorder)
                return 0;
        return reorder->n_records * sizeof(ReorderRecord) + reorder->bytes;
}
