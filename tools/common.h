/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What all tools share: exit statuses, one-line messages, small helpers
 *
 * stdout carries data only. People are spoken to on stderr, one write a line, each line beginning
 * with the program's name: "PROGRAM: WHAT: WHY; WHAT TO DO". Who ends with a status other than 0
 * says so once, through fail(); its result is the status, so that it can be returned at once.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#define _cleanup_(f) __attribute__((cleanup(f), unused))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define TAKE_PTR(p)                                                                                \
        ({                                                                                         \
                __typeof__(p) _taken = (p);                                                        \
                (p) = NULL;                                                                        \
                _taken;                                                                            \
        })

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC UINT64_C(1000000)
#define USEC_NEVER UINT64_MAX

/* The exit statuses of all tools; EXIT STATUS in each man page. */
typedef enum ExitStatus {
        STATUS_DONE = 0,
        STATUS_FAILED = 1,
        STATUS_USAGE = 2,
        STATUS_NOT_FOUND = 3,
        STATUS_TIMEOUT = 4,
        STATUS_REFUSED = 5,
        STATUS_NO_BUS = 6,
        STATUS_SIGNAL = 128, /* and the signal's number */
} ExitStatus;

typedef enum Level {
        LEVEL_ERROR,
        LEVEL_WARNING,
        LEVEL_INFO,
        LEVEL_DEBUG,
} Level;

/* First call of each main(): takes the name for messages and the level from $P2PBUS_LOG. */
void common_init(const char *program);
const char *common_program(void);
/* -v and -q: one step more, or errors only. */
void common_louder(void);
void common_quiet(void);
bool common_is_quiet(void);

/* Writes "PROGRAM: ..." in one write, whatever the level; clears a progress line before. Returns
 * @status. */
int fail(int status, const char *format, ...) _printf_(2, 3);
/* The same for what does not end the program, if the level allows. */
void tell(Level level, const char *format, ...) _printf_(2, 3);
/* A line of its own, without the program's name, in one write, whatever the level. */
void announce(const char *format, ...) _printf_(1, 2);

/* Puts a "?" for each control character: what others wrote must not drive our terminal. */
void common_make_printable(char *text);
/* Escape sequences are welcome on @fd: a terminal, no NO_COLOR, no TERM=dumb. */
bool common_colours(int fd);

static inline void freep(void *p) {
        free(*(void **)p);
}

/* Microseconds on @clock; none of the clocks in use can fail. */
static inline uint64_t now_usec(clockid_t clock) {
        struct timespec ts;

        (void)clock_gettime(clock, &ts);
        return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

/* @usec after now on CLOCK_MONOTONIC; USEC_NEVER stays what it is. */
static inline uint64_t deadline_after(uint64_t usec) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        return usec >= USEC_NEVER - now ? USEC_NEVER : now + usec;
}
