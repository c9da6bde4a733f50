/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Reorder: the records of one direction that came before those in front of them
 *
 * They stand in ranges of neighbouring sequence numbers, of which there are at most
 * REORDER_RANGES_MAX: as many as an ACK can name. Most sessions never need one, so it is made with
 * the first record that is kept and freed with the last: an empty one is NULL. How much may be kept
 * is its owner's to know, by credit.
 */

#include "libcore/record.h"

#define REORDER_RANGES_MAX RECORD_ACK_RANGES_MAX

typedef struct Reorder Reorder;

/* A record that waits, encoded again. */
typedef struct ReorderRecord {
        struct ReorderRecord *next;
        uint8_t type;
        uint16_t refusal; /* a ControlCode: its owner does not want it; or 0 */
        uint64_t came_usec;
        size_t size;
        uint8_t bytes[];
} ReorderRecord;

enum {
        _REORDER_E_SUCCESS,

        REORDER_E_DOUBLE, /* it is here already */
        REORDER_E_FULL,   /* it would need one more range: as if it were lost */
};

Reorder *reorder_free(Reorder *reorder);

/* Copies @record, which came at @now_usec. Return: 0, REORDER_E_DOUBLE, REORDER_E_FULL, -ENOMEM. */
int reorder_keep(Reorder **reorder, const Record *record, uint16_t refusal, uint64_t now_usec);
/* The one with the lowest sequence number, and that; NULL if there is none. */
const ReorderRecord *reorder_first(const Reorder *reorder, uint64_t *ret_seq);
void reorder_drop_first(Reorder **reorder);
void reorder_drop_below(Reorder **reorder, uint64_t seq);

bool reorder_has(const Reorder *reorder, uint64_t seq);
/* Fills in at most REORDER_RANGES_MAX ranges, the lowest first; returns how many. */
unsigned reorder_ranges(const Reorder *reorder, RecordRange *out);
/* Bytes of all records, as they count for credit. */
size_t reorder_bytes(const Reorder *reorder);
/* Bytes of memory of the records. */
size_t reorder_memory(const Reorder *reorder);
