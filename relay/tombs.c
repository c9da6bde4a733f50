/* SPDX-License-Identifier: Apache-2.0 */

#include "relay/tombs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcore/err.h"

/* All of @n bytes at @at, or how many there were. */
static int read_at(int fd, uint8_t *data, size_t n, off_t at, size_t *ret_n) {
        size_t n_read = 0;

        while (n_read < n) {
                ssize_t k = pread(fd, data + n_read, n - n_read, at + (off_t)n_read);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return err_origin(-errno);
                if (k == 0)
                        break;
                n_read += (size_t)k;
        }
        *ret_n = n_read;
        return 0;
}

int tombs_load(const char *path, Directory *directory, uint64_t wall_usec, uint64_t now_usec) {
        _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        uint8_t tomb[TOMB_SIZE];
        size_t n = 0;
        int r;

        if (fd < 0)
                return errno == ENOENT ? 0 : err_origin(-errno);
        for (off_t at = 0;; at += TOMB_SIZE) {
                r = read_at(fd, tomb, sizeof(tomb), at, &n);
                if (r < 0)
                        return r;
                if (n < sizeof(tomb))
                        return 0;
                r = directory_revoke(directory, tomb, sizeof(tomb), wall_usec, now_usec);
                if (r < 0)
                        return err_trace(r);
                if (r != 0 && r != DIRECTORY_E_OLDER)
                        return TOMBS_E_MALFORMED;
        }
}

int tombs_append(const char *path, const uint8_t tomb[static TOMB_SIZE]) {
        _cleanup_(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        struct stat st;
        off_t at;

        if (fd < 0 || fstat(fd, &st) < 0)
                return err_origin(-errno);
        at = st.st_size - st.st_size % TOMB_SIZE;
        for (size_t n = 0; n < TOMB_SIZE;) {
                ssize_t k = pwrite(fd, tomb + n, TOMB_SIZE - n, at + (off_t)n);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return err_origin(-errno);
                n += (size_t)k;
        }
        return fdatasync(fd) < 0 ? err_origin(-errno) : 0;
}
