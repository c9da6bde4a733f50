/* SPDX-License-Identifier: Apache-2.0 */

#include "tools/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/argument.h"
#include "tools/common.h"

#define FIRST_USEC USEC_PER_SEC
#define EVERY_USEC (200 * USEC_PER_MSEC)

static struct {
        bool begun;
        bool active; /* somebody may look */
        bool shown;  /* the cursor stands behind a line of ours */
        uint64_t begun_usec;
        uint64_t due_usec;
        uint64_t total;
} progress;

void progress_begin(uint64_t total) {
        progress.begun = true;
        progress.active = !common_is_quiet() && isatty(STDERR_FILENO);
        progress.total = total;
        progress.begun_usec = now_usec(CLOCK_MONOTONIC);
        progress.due_usec = progress.begun_usec + FIRST_USEC;
}

/* Bytes a second. */
static uint64_t rate_of(uint64_t done, uint64_t now) {
        uint64_t usec = MAX(now - progress.begun_usec, (uint64_t)1);

        return (uint64_t)((double)done * (double)USEC_PER_SEC / (double)usec);
}

void progress_update(uint64_t done) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        char line[160], bytes[32], rate[32], total[32];
        int n;

        if (!progress.active || now < progress.due_usec)
                return;
        progress.due_usec = now + EVERY_USEC;

        argument_format_size(done, bytes);
        argument_format_size(rate_of(done, now), rate);
        if (progress.total > 0)
                n = snprintf(line, sizeof(line), "\r%s of %s, %s/s, %u %%\033[K", bytes,
                             argument_format_size(progress.total, total), rate,
                             (unsigned)(MIN(done, progress.total) * 100 / progress.total));
        else
                n = snprintf(line, sizeof(line), "\r%s, %s/s\033[K", bytes, rate);
        (void)!write(STDERR_FILENO, line, (size_t)n); /* only for people */
        progress.shown = true;
}

void progress_end(uint64_t done) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        bool is_long = progress.active && now - progress.begun_usec >= FIRST_USEC;
        char rate[32];

        if (!progress.begun)
                return;
        progress.begun = progress.active = false;
        tell(is_long ? LEVEL_INFO : LEVEL_DEBUG, "%" PRIu64 " bytes delivered in %.3f s, %s/s",
             done, (double)(now - progress.begun_usec) / (double)USEC_PER_SEC,
             argument_format_size(rate_of(done, now), rate));
}

uint64_t progress_due(void) {
        return progress.active ? progress.due_usec : USEC_NEVER;
}

void progress_clear(void) {
        static const char erase[] = "\r\033[K";

        if (!progress.shown)
                return;
        progress.shown = false;
        (void)!write(STDERR_FILENO, erase, sizeof(erase) - 1); /* only for people */
}
