/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The kernel ends a read behind the bytes that brought descriptors, so one read brings at most
 * those of one frame: room for more would only be room for a peer that lies. What does not fit is
 * closed by the kernel, which says so with MSG_CTRUNC.
 *
 * A user has no more descriptors under way, in sockets that nobody reads, than one of its processes
 * may have open: ETOOMANYREFS. Somebody else's fault must not end this connection, so the frame goes
 * without its descriptors, whose receiver sees that it is of no use.
 */

#include "libcore/stream-socket.h"

#include <sys/socket.h>

#include "libcore/err.h"

typedef union ControlBuffer {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(FRAME_FDS_MAX * sizeof(int))];
} ControlBuffer;

/* What an errno of recvmsg() or sendmsg() means for the connection. */
static int translate_errno(void) {
        switch (errno) {
        case EAGAIN:
        case EINTR:
                return STREAM_SOCKET_E_AGAIN;
        case EPIPE:
        case ECONNRESET:
        case ENOTCONN:
                return STREAM_SOCKET_E_CLOSED;
        default:
                return err_origin(-errno);
        }
}

int stream_socket_read(Stream *stream, int fd, size_t *ret_n) {
        ControlBuffer control;
        int fds[FRAME_FDS_MAX +
                1]; /* CMSG_SPACE rounds up: the kernel may find room for one more */
        size_t n_fds = 0;
        struct iovec iov;
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        uint8_t *data;
        ssize_t n;
        int r;

        *ret_n = 0;
        r = stream_input(stream, &data, &iov.iov_len);
        if (r < 0)
                return err_trace(r);
        iov.iov_base = data;

        n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
                return translate_errno();

        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                memcpy(fds, CMSG_DATA(c), n_fds * sizeof(int));
        }
        r = stream_fed(stream, (size_t)n, fds, n_fds);
        if (r != 0)
                return STREAM_SOCKET_E_VIOLATION;
        /* Either the peer sent too many, or we had no room in our table of descriptors. */
        if ((message.msg_flags & MSG_CTRUNC) &&
            (n_fds >= FRAME_FDS_MAX || !stream_lost_fds(stream)))
                return STREAM_SOCKET_E_VIOLATION;
        if (n == 0)
                return STREAM_SOCKET_E_CLOSED;
        *ret_n = (size_t)n;
        return 0;
}

/* Return: how many of the pieces hold the first @most bytes; the last is cut to fit. */
static size_t cut_pieces(struct iovec *iov, size_t n_iov, size_t most) {
        size_t i = 0;

        for (; i < n_iov && most > 0; i++) {
                iov[i].iov_len = MIN(iov[i].iov_len, most);
                most -= iov[i].iov_len;
        }
        return i;
}

/* Inlined twice: a write without a bound, as nearly all are, looks at none. */
static inline __attribute__((always_inline)) int write_most(Stream *stream, int fd, size_t most,
                                                            size_t *ret_n) {
        struct iovec iov[STREAM_IOVECS];
        struct msghdr message = { .msg_iov = iov };
        ControlBuffer control;
        const int *fds;
        size_t n_fds;
        ssize_t n;
        int r;

        *ret_n = 0;
        r = stream_peek(stream, iov, &message.msg_iovlen, &fds, &n_fds);
        if (r == STREAM_E_EMPTY)
                return 0;
        if (most < SIZE_MAX)
                message.msg_iovlen = cut_pieces(iov, message.msg_iovlen, most);

        if (n_fds > 0) {
                struct cmsghdr *c;

                memset(&control, 0, sizeof(control));
                message.msg_control = &control;
                message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                c = CMSG_FIRSTHDR(&message);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
                memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
        }
        n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == ETOOMANYREFS && n_fds > 0) {
                stream_drop_fds(stream); /* the next attempt goes without */
                return 0;
        }
        if (n < 0)
                return translate_errno();
        stream_written(stream, (size_t)n);
        *ret_n = (size_t)n;
        return 0;
}

int stream_socket_write(Stream *stream, int fd, size_t *ret_n) {
        return write_most(stream, fd, SIZE_MAX, ret_n);
}

int stream_socket_write_most(Stream *stream, int fd, size_t most, size_t *ret_n) {
        return write_most(stream, fd, most, ret_n);
}
