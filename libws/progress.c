/* SPDX-License-Identifier: Apache-2.0 */

#include "libws/progress.h"

/* The C library's own header of that name has a shorter struct tcp_info. */
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

void progress_of(int fd, uint64_t *ret_taken, uint64_t *ret_waiting) {
        struct tcp_info info = { 0 };
        socklen_t size = sizeof(info);
        int waiting = 0;

        *ret_taken = *ret_waiting = 0;
        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 ||
            ioctl(fd, SIOCOUTQ, &waiting) < 0 || waiting < 0)
                return;
        *ret_taken = info.tcpi_bytes_acked; /* 0 where the kernel does not know it */
        *ret_waiting = (uint64_t)waiting;
}
