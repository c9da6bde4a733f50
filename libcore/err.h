/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * The error rule
 *
 *      0       success.
 *      < 0     -errno: we or the kernel failed. Nobody matches on it; it is returned unchanged up
 *              to main(), or up to the edge of the library.
 *      > 0     OBJ_E_X: the peer did something, or there is nothing to do. Documented by that one
 *              function; its direct caller handles it and never forwards it.
 *
 * A bus must answer "drop the peer or stop the program?" at every call; the sign is the answer. A
 * failure that we can live with (EMFILE in accept, a full disk) becomes a condition where the
 * system call is made.
 *
 * err_origin() stands where a failure is born, err_trace() where it passes, err_fold() in the
 * default of a switch over conditions, so that a forgotten condition is loud instead of silent.
 * With -DP2PBUS_TRACE_ERRORS each prints its place; otherwise they cost nothing.
 */

#include <errno.h>

#ifdef P2PBUS_TRACE_ERRORS
#include <stdio.h>
static inline int err_report(int r, const char *what, const char *file, int line) {
        if (r < 0)
                fprintf(stderr, "%s:%d: %s: error %d\n", file, line, what, -r);
        return r;
}
#define err_origin(r) err_report((r), "origin", __FILE__, __LINE__)
#define err_trace(r) err_report((r), "trace", __FILE__, __LINE__)
#else
#define err_origin(r) (r)
#define err_trace(r) (r)
#endif

/* A condition that its caller did not know: our own mistake, never a peer's. */
static inline int err_fold(int r) {
        return r > 0 ? err_origin(-ENOTRECOVERABLE) : err_trace(r);
}
