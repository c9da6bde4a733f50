/* SPDX-License-Identifier: Apache-2.0 */

#include "libclient/bell.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "libcore/err.h"

#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x100 /* Linux 6.18 */
#endif

/*
 * A library must not touch how its program handles SIGPIPE, and a pipe has no MSG_NOSIGNAL. Where
 * the kernel does not know RWF_NOSIGNAL the signal is blocked for this thread, and taken out again
 * if it was raised and not pending before.
 */
static int write_without_signal(int fd) {
        static const struct timespec now;
        sigset_t pipe_only, before, pending;
        bool was_pending;
        int error = 0;

        (void)sigemptyset(&pipe_only);
        (void)sigaddset(&pipe_only, SIGPIPE);
        (void)sigpending(&pending);
        was_pending = sigismember(&pending, SIGPIPE);
        if (pthread_sigmask(SIG_BLOCK, &pipe_only, &before) != 0)
                return EINVAL;
        if (write(fd, "", 1) < 0)
                error = errno;
        if (error == EPIPE && !was_pending)
                (void)sigtimedwait(&pipe_only, NULL, &now);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        return error;
}

int bell_ring(int fd) {
        static bool is_old_kernel; /* any thread may find out; all find the same */
        struct iovec stroke = { .iov_base = (char[]){ 0 }, .iov_len = 1 };
        int error = 0;

        if (!__atomic_load_n(&is_old_kernel, __ATOMIC_RELAXED)) {
                if (pwritev2(fd, &stroke, 1, -1, RWF_NOSIGNAL) >= 0)
                        return 0;
                error = errno;
                if (error == EOPNOTSUPP || error == EINVAL || error == ENOSYS)
                        __atomic_store_n(&is_old_kernel, true, __ATOMIC_RELAXED);
        }
        if (__atomic_load_n(&is_old_kernel, __ATOMIC_RELAXED))
                error = write_without_signal(fd);
        return error == EPIPE || error == EBADF ? BELL_E_GONE : 0;
}

int bell_hush(int fd) {
        char strokes[512];
        ssize_t n;

        do
                n = read(fd, strokes, sizeof(strokes));
        while (n < 0 && errno == EINTR);
        return n == 0 ? BELL_E_GONE : 0;
}
