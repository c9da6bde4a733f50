/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the kernel promises here: SHRINK and GROW keep the size; FUTURE_WRITE forbids new writable
 * mappings, mprotect() of the others, write() and holes, while the maker's own mapping stays
 * writable; SEAL keeps all that. So the order is: size, memory, mapping, seals. tests/check_ring.c
 * holds the kernel to each of these.
 */

#include "libcore/ring-file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "libcore/err.h"
#include "libcore/util.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

static size_t file_size(uint32_t size) {
        return RING_ABI_PAGE_SIZE + (size_t)size;
}

static size_t map_size(uint32_t size) {
        return RING_ABI_PAGE_SIZE + 2 * (size_t)size;
}

/* Page and data, and behind them the data again. */
static int map_twice(int fd, uint32_t size, int protection, uint8_t **ret) {
        uint8_t *map, *again;
        int r;

        /* The data begins behind 4096 bytes: with larger pages it cannot be mapped by itself. */
        if (sysconf(_SC_PAGESIZE) != RING_ABI_PAGE_SIZE)
                return err_origin(-EOPNOTSUPP);
        map = mmap(NULL, map_size(size), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                   0);
        if (map == MAP_FAILED)
                return err_origin(-errno);
        again = map + file_size(size);
        if (mmap(map, file_size(size), protection, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED ||
            mmap(again, size, protection, MAP_SHARED | MAP_FIXED, fd, RING_ABI_PAGE_SIZE) ==
                    MAP_FAILED) {
                r = -errno;
                (void)munmap(map, map_size(size)); /* cannot fail: it is ours */
                return err_origin(r);
        }
        *ret = map;
        return 0;
}

/* Beyond RLIMIT_FSIZE the kernel raises SIGXFSZ, which a library must not bring upon its program. */
static bool file_is_too_large(uint32_t size) {
        struct rlimit limit;

        return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
               file_size(size) > limit.rlim_cur;
}

static int make_memory(uint32_t size, int *ret_fd) {
        _cleanup_(fd_closep) int fd = -EBADF;
        int r;

        if (file_is_too_large(size))
                return err_origin(-EFBIG);
        fd = memfd_create("p2pbus-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
        if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
                fd = memfd_create("p2pbus-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return err_origin(-errno);
        if (ftruncate(fd, (off_t)file_size(size)) < 0)
                return err_origin(-errno);
        do {
                r = fallocate(fd, 0, 0, (off_t)file_size(size)) < 0 ? -errno : 0;
        } while (r == -EINTR);
        if (r < 0)
                return err_origin(r);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int ring_file_make(RingFile *ret, uint32_t size, int *ret_fd) {
        _cleanup_(fd_closep) int fd = -EBADF;
        RingFile file = { .size = size };
        uint8_t *map = NULL;
        int r;

        if (!ring_size_is_legal(size))
                return err_origin(-EINVAL);
        r = make_memory(size, &fd);
        if (r < 0)
                return err_trace(r);
        r = map_twice(fd, size, PROT_READ | PROT_WRITE, &map);
        if (r < 0)
                return err_trace(r);
        file.page = (struct ring_abi_page *)map;
        file.data = map + RING_ABI_PAGE_SIZE;
        file.page->head = (struct ring_abi_head){
                .magic = RING_ABI_MAGIC,
                .version = RING_ABI_VERSION,
                .size = size,
        };
        if (fcntl(fd, F_ADD_SEALS, SEALS) < 0) {
                r = -errno;
                ring_file_done(&file);
                return err_origin(r);
        }
        *ret = file;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

void ring_file_done(RingFile *file) {
        if (file->page)
                (void)munmap(file->page, map_size(file->size)); /* cannot fail: it is ours */
        *file = (RingFile){ 0 };
}

int ring_file_check(int fd, uint32_t size, uint32_t size_max) {
        struct statfs fs;
        struct stat st;
        int flags, seals;

        /* Not a memfd: EINVAL; opened with O_PATH: EBADF. The descriptor is the peer's choice, so
         * that is, too. */
        seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || (seals & SEALS) != SEALS)
                return RING_FILE_E_VIOLATION;
        flags = fcntl(fd, F_GETFL);
        if (flags < 0)
                return err_origin(-errno);
        if ((flags & O_ACCMODE) == O_WRONLY) /* cannot be mapped */
                return RING_FILE_E_VIOLATION;
        if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
                return err_origin(-errno);
        if (!S_ISREG(st.st_mode) || !ring_size_is_legal(size) || size > size_max ||
            st.st_size != (off_t)file_size(size))
                return RING_FILE_E_VIOLATION;
        /* A hole is memory that nobody was charged for yet, and that may not be there later. */
        if (st.st_blocks < st.st_size / 512)
                return RING_FILE_E_VIOLATION;
        /* Huge pages can be sealed as well, but reading them may end in SIGBUS. */
        if (fs.f_type != TMPFS_MAGIC)
                return RING_FILE_E_VIOLATION;
        return 0;
}

/* The page is the other side's to change at any time, so this is a courtesy to honest ones. */
static int check_head(const struct ring_abi_page *page, uint32_t size) {
        struct ring_abi_head head = page->head;

        if (head.magic != RING_ABI_MAGIC || head.zero != 0 || head.size != size)
                return RING_FILE_E_VIOLATION;
        if (head.version != RING_ABI_VERSION || head.features != 0)
                return RING_FILE_E_UNSUPPORTED;
        return 0;
}

int ring_view_open(RingView *ret, int fd, uint32_t size, uint32_t size_max) {
        RingView view = { .size = size };
        uint8_t *map = NULL;
        int r;

        r = ring_file_check(fd, size, size_max);
        if (r != 0)
                return r < 0 ? err_trace(r) : r;
        r = map_twice(fd, size, PROT_READ, &map);
        if (r < 0)
                return err_trace(r);
        view.page = (const struct ring_abi_page *)map;
        view.data = map + RING_ABI_PAGE_SIZE;
        r = check_head(view.page, size);
        if (r != 0) {
                ring_view_done(&view);
                return r;
        }
        *ret = view;
        return 0;
}

void ring_view_done(RingView *view) {
        if (view->page)
                (void)munmap((void *)view->page, map_size(view->size)); /* as above */
        *view = (RingView){ 0 };
}

void ring_file_connect(const RingFile *own, const RingView *other, RingProducer *ret_producer,
                       RingConsumer *ret_consumer) {
        ring_producer_init(ret_producer, own->data, own->size, &own->page->producer,
                           &other->page->consumer);
        ring_consumer_init(ret_consumer, other->data, other->size, &own->page->consumer,
                           &other->page->producer);
}
