/* SPDX-License-Identifier: Apache-2.0 */

#include "tools/output.h"

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/common.h"

/* A write of at most PIPE_BUF never blocks where poll() has said POLLOUT; a file never waits for
 * anybody, and takes all. */
static size_t piece_size(void) {
        static size_t size;
        struct stat st;

        if (size == 0)
                size = fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode) ? SSIZE_MAX : PIPE_BUF;
        return size;
}

int output_write(Connection *connection, const void *data, size_t n) {
        const char *p = data;

        while (n > 0) {
                struct pollfd fd = { .fd = STDOUT_FILENO, .events = POLLOUT };
                ssize_t n_written;
                int r;

                if (poll(&fd, 1, 0) < 0 && errno != EINTR)
                        return -errno;
                if (fd.revents == 0) {
                        r = connection_wait(connection, &fd, 1, USEC_NEVER);
                        if (r != 0)
                                return r;
                        continue;
                }
                n_written = write(STDOUT_FILENO, p, MIN(n, piece_size()));
                if (n_written < 0 && (errno == EINTR || errno == EAGAIN))
                        continue;
                if (n_written < 0)
                        return errno == EPIPE ? OUTPUT_E_CLOSED : -errno;
                p += n_written;
                n -= (size_t)n_written;
        }
        return 0;
}

struct pollfd output_pollfd(bool watch) {
        return (struct pollfd){ .fd = watch ? STDOUT_FILENO : -1 };
}

int output_end(Connection *connection, int r) {
        if (r == OUTPUT_E_CLOSED)
                return STATUS_DONE;
        if (r < 0)
                return fail(STATUS_FAILED, "stdout: %s; see where it goes to", strerror(-r));
        return connection_end(connection, r);
}

int output_print(char *text, size_t n) {
        _cleanup_(freep) char *owned = text;

        if (!text)
                return fail(STATUS_FAILED, "output: out of memory; try again");
        for (size_t at = 0; at < n;) {
                ssize_t n_written = write(STDOUT_FILENO, text + at, n - at);

                if (n_written < 0 && errno == EINTR)
                        continue;
                if (n_written < 0 && errno == EPIPE)
                        return STATUS_DONE;
                if (n_written < 0)
                        return fail(STATUS_FAILED, "stdout: %s; see where it goes to",
                                    strerror(errno));
                at += (size_t)n_written;
        }
        return STATUS_DONE;
}
