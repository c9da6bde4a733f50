/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/backoff.h"

#include "libcore/util.h"

uint64_t backoff_fail(Backoff *backoff, uint64_t random) {
        uint64_t span;

        if (backoff->next_usec == 0)
                backoff->next_usec = backoff->least_usec;
        span = backoff->next_usec;
        backoff->next_usec = MIN(span * 2, backoff->greatest_usec);
        return span - random % (span / 2 + 1);
}

void backoff_worst(Backoff *backoff) {
        backoff->next_usec = backoff->greatest_usec;
}

void backoff_reset(Backoff *backoff) {
        backoff->next_usec = 0;
}
