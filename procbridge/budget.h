/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Budget: the bytes of bodies that may be held at a time, of all connections together
 *
 * Whoever allocates for a body takes the room first, and gives it back with the body.
 */

#include <stdbool.h>
#include <stddef.h>

typedef struct Budget {
        size_t used, max;
} Budget;

/* Return: false: there is no room; nothing was taken. */
static inline bool budget_take(Budget *budget, size_t n) {
        if (n > budget->max - budget->used)
                return false;
        budget->used += n;
        return true;
}

static inline void budget_give(Budget *budget, size_t n) {
        budget->used -= n;
}
