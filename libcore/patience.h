/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Patience: whether somebody is waited for who may not answer, or not in time
 *
 * Who was late is asked on, and not waited for until it has answered in time again: once, and each time
 * that it is late anew twice as often, in a row. Being good for long halves that. So who is slow, or means
 * harm, costs others their time at one question of PATIENCE_MAX in the end, and a hiccup costs little.
 *
 * Pure. All zero: it is waited for, and never was late.
 */

#include <stdbool.h>

#include "libcore/util.h"

#define PATIENCE_MAX 64U

typedef struct Patience {
        bool is_late;    /* it is not waited for */
        unsigned price;  /* answers in a row that its last lateness cost, or will */
        unsigned n_good; /* answers since it was late, well again, or forgiven half of that */
} Patience;

/* It has answered in time. */
static inline void patience_answered(Patience *patience) {
        if (++patience->n_good < (patience->is_late ? patience->price : PATIENCE_MAX))
                return;
        patience->n_good = 0;
        if (patience->is_late)
                patience->is_late = false;
        else
                patience->price /= 2;
}

/* It has not. */
static inline void patience_missed(Patience *patience) {
        if (!patience->is_late)
                patience->price = MIN(MAX(2 * patience->price, 1U), PATIENCE_MAX);
        patience->is_late = true;
        patience->n_good = 0;
}
