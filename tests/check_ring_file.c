/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Files of rings, and what the kernel promises about them: libcore/ring-file.c relies on each of
 * these promises, because a peer's file that changes its size under our reads would kill us.
 */

#include "libcore/ring-file.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "libcore/util.h"
#include "tests/main.h"
#include "tests/ring-pair.h"

#define ALL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)
#define FILE_SIZE (RING_ABI_PAGE_SIZE + RING_SIZE_MIN)

static unsigned count_fds(void) {
        DIR *dir = opendir("/proc/self/fd");
        unsigned n = 0;

        ck_assert_ptr_nonnull(dir);
        while (readdir(dir))
                n++;
        closedir(dir);
        return n;
}

static unsigned count_mappings(void) {
        FILE *f = fopen("/proc/self/maps", "re");
        char line[4096];
        unsigned n = 0;

        ck_assert_ptr_nonnull(f);
        while (fgets(line, sizeof(line), f))
                n += strstr(line, "p2pbus-ring") != NULL;
        (void)fclose(f); /* only read */
        return n;
}

/* What a peer may pass: as a good file, but for one thing. */
static const struct {
        const char *what;
        int seals;          /* 0: all */
        unsigned flags;     /* of memfd_create() */
        off_t size;         /* 0: as announced */
        uint32_t announced; /* 0: RING_SIZE_MIN */
        uint32_t size_max;  /* 0: RING_SIZE_MAX */
        bool sparse;
        size_t at; /* of the byte of the head that is changed to @byte, if that is not 0 */
        uint8_t byte;
        const char *path; /* opened with @open_flags instead */
        int open_flags;
        int expected; /* 0: RING_FILE_E_VIOLATION */
} files[] = {
        /* clang-format off */
        { "no F_SEAL_SHRINK", .seals = ALL_SEALS & ~F_SEAL_SHRINK },
        { "no F_SEAL_GROW", .seals = ALL_SEALS & ~F_SEAL_GROW },
        { "no F_SEAL_FUTURE_WRITE", .seals = ALL_SEALS & ~F_SEAL_FUTURE_WRITE },
        { "no F_SEAL_SEAL", .seals = ALL_SEALS & ~F_SEAL_SEAL },
        { "F_SEAL_WRITE for F_SEAL_FUTURE_WRITE", .seals = (ALL_SEALS & ~F_SEAL_FUTURE_WRITE) | F_SEAL_WRITE },
        { "a device", .path = "/dev/zero", .open_flags = O_RDONLY },
        { "a folder", .path = "/", .open_flags = O_RDONLY },
        { "a plain file", .path = "/tmp", .open_flags = O_TMPFILE | O_RDWR },
        { "opened with O_PATH", .path = "self", .open_flags = O_PATH },
        { "opened for writing", .path = "self", .open_flags = O_WRONLY },
        { "huge pages", .flags = MFD_HUGETLB, .size = 2097152, .sparse = true },
        { "a byte short", .size = FILE_SIZE - 1 },
        { "a byte long", .size = FILE_SIZE + 1 },
        { "a page long", .size = FILE_SIZE + 4096 },
        { "twice what was announced", .size = RING_ABI_PAGE_SIZE + 2 * RING_SIZE_MIN },
        { "half of what was announced", .size = FILE_SIZE, .announced = 2 * RING_SIZE_MIN },
        { "empty", .size = -1 },
        { "sparse", .sparse = true },
        { "over the cap", .announced = 2 * RING_SIZE_MIN, .size_max = RING_SIZE_MIN },
        { "over the largest", .announced = 2 * RING_SIZE_MAX, .size_max = UINT32_MAX },
        { "below the smallest", .announced = RING_SIZE_MIN / 2 },
        { "no power of two", .announced = RING_SIZE_MIN + 4096 },
        { "another magic", .at = 0, .byte = 'p' },
        { "zero is not", .at = 6, .byte = 1 },
        { "another size in the head", .at = 8, .byte = 1 },
        { "a later version", .at = 4, .byte = 2, .expected = RING_FILE_E_UNSUPPORTED },
        { "an unknown feature", .at = 12, .byte = 1, .expected = RING_FILE_E_UNSUPPORTED },
        /* clang-format on */
};

static int make_file(int row) {
        uint32_t announced = files[row].announced ? files[row].announced : RING_SIZE_MIN;
        off_t size = RING_ABI_PAGE_SIZE + (off_t)announced;
        struct ring_abi_head head = { .magic = RING_ABI_MAGIC, .version = RING_ABI_VERSION };
        char self[64];
        int fd, again;

        if (files[row].path && strcmp(files[row].path, "self") != 0) {
                fd = open(files[row].path, files[row].open_flags | O_CLOEXEC, 0600);
                return fd; /* not every file system has O_TMPFILE: see below */
        }
        fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING | files[row].flags);
        ck_assert_int_ge(fd, 0);
        if (files[row].size != 0)
                size = MAX(files[row].size, 0);
        head.size = announced;
        if (files[row].byte != 0)
                ((uint8_t *)&head)[files[row].at] = files[row].byte;
        ck_assert_int_eq(ftruncate(fd, size), 0);
        if (!files[row].sparse && size > 0)
                ck_assert_int_eq(fallocate(fd, 0, 0, size), 0);
        if (!(files[row].flags & MFD_HUGETLB) && size > 0) /* there write() does not work */
                ck_assert_int_eq(pwrite(fd, &head, sizeof(head), 0), sizeof(head));
        if (files[row].path) {
                (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
                again = open(self, files[row].open_flags | O_CLOEXEC);
                ck_assert_int_ge(again, 0);
        }
        ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, files[row].seals ? files[row].seals : ALL_SEALS),
                         0);
        if (files[row].path) {
                close(fd);
                return again;
        }
        return fd;
}

START_TEST(a_file_that_is_not_what_it_must_be_is_refused) {
        unsigned n_fds = count_fds(), n_mappings = count_mappings();
        int fd = make_file(_i);
        int expected = files[_i].expected ? files[_i].expected : RING_FILE_E_VIOLATION;
        RingView view = { .size = 77 };
        int r;

        if (fd < 0) {
                ck_assert_int_eq(errno, EOPNOTSUPP);
                fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC); /* a plain file as well */
        }
        r = ring_view_open(&view, fd, files[_i].announced ? files[_i].announced : RING_SIZE_MIN,
                           files[_i].size_max ? files[_i].size_max : RING_SIZE_MAX);
        ck_assert_msg(r == expected, "%s: %d", files[_i].what, r);
        ck_assert_uint_eq(view.size, 77);
        ck_assert_ptr_null(view.page);
        ck_assert_int_eq(close(fd), 0); /* it stayed ours */
        ck_assert_uint_eq(count_fds(), n_fds);
        ck_assert_uint_eq(count_mappings(), n_mappings);
}
END_TEST

START_TEST(a_good_file_is_taken_at_every_size) {
        uint32_t size = RING_SIZE_MIN << _i;
        unsigned n_fds = count_fds(), n_mappings = count_mappings();
        RingFile file;
        RingView view;
        int fd;

        ck_assert_int_eq(ring_file_make(&file, size, &fd), 0);
        ck_assert_int_eq(ring_file_check(fd, size, size), 0);
        ck_assert_int_eq(ring_view_open(&view, fd, size, size), 0);
        ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
        close(fd);
        file.data[size - 1] = 7;
        ck_assert_uint_eq(view.data[size - 1], 7);
        ring_view_done(&view);
        ring_view_done(&view);
        ring_file_done(&file);
        ring_file_done(&file);
        ck_assert_uint_eq(count_fds(), n_fds);
        ck_assert_uint_eq(count_mappings(), n_mappings);
}
END_TEST

START_TEST(a_file_of_no_legal_size_is_not_made) {
        static const uint32_t sizes[] = { 0,
                                          1,
                                          RING_SIZE_MIN - 1,
                                          RING_SIZE_MIN + 1,
                                          RING_SIZE_MIN / 2,
                                          RING_SIZE_MIN + 4096,
                                          RING_SIZE_MAX + 1,
                                          2 * RING_SIZE_MAX,
                                          UINT32_MAX };

        for (unsigned i = 0; i < ELEMENTSOF(sizes); i++) {
                RingFile file = { .size = 77 };
                int fd = 77;

                ck_assert_int_eq(ring_file_make(&file, sizes[i], &fd), -EINVAL);
                ck_assert_uint_eq(file.size, 77);
                ck_assert_int_eq(fd, 77);
        }
}
END_TEST

/* Without the look at the limit this ends in SIGXFSZ. */
START_TEST(where_files_must_be_small_none_is_made) {
        const struct rlimit limit = { .rlim_cur = FILE_SIZE, .rlim_max = FILE_SIZE };
        unsigned n_fds = count_fds();
        RingFile file;
        int fd;

        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        ck_assert_int_eq(ring_file_make(&file, 2 * RING_SIZE_MIN, &fd), -EFBIG);
        ck_assert_uint_eq(count_fds(), n_fds);
        ck_assert_uint_eq(count_mappings(), 0);
        ck_assert_int_eq(ring_file_make(&file, RING_SIZE_MIN, &fd), 0);
        ring_file_done(&file);
        close(fd);
}
END_TEST

START_TEST(the_data_follows_itself) {
        RingPair pair;

        ring_pair_open(&pair, RING_SIZE_MIN, RING_SIZE_MIN);
        for (size_t i = 0; i < RING_SIZE_MIN; i += 997) {
                pair.a.own.data[i] = (uint8_t)i;
                ck_assert_uint_eq(pair.a.own.data[RING_SIZE_MIN + i], (uint8_t)i);
                ck_assert_uint_eq(pair.b.other.data[i], (uint8_t)i);
                pair.a.own.data[RING_SIZE_MIN + i] = (uint8_t)~i;
                ck_assert_uint_eq(pair.a.own.data[i], (uint8_t)~i);
                ck_assert_uint_eq(pair.b.other.data[RING_SIZE_MIN + i], (uint8_t)~i);
        }
        /* and nothing of it is in the page */
        for (size_t i = 0; i < sizeof(pair.a.own.page->reserved); i++)
                ck_assert_uint_eq(pair.a.own.page->reserved[i], 0);
        ring_pair_close(&pair);
}
END_TEST

/* What a peer cannot do to a file that it has passed, not even as its maker. */

static void expect_errno(int result, int expected, const char *what) {
        ck_assert_msg(result < 0 && errno == expected, "%s: %s", what,
                      result < 0 ? strerror(errno) : "done");
}

START_TEST(a_passed_file_keeps_its_size_and_memory) {
        RingFile file;
        int fd;

        ck_assert_int_eq(ring_file_make(&file, RING_SIZE_MIN, &fd), 0);
        expect_errno(ftruncate(fd, 0), EPERM, "shrink");
        expect_errno(ftruncate(fd, FILE_SIZE + 4096), EPERM, "grow");
        expect_errno(fallocate(fd, 0, 0, FILE_SIZE + 4096), EPERM, "grow by fallocate");
        expect_errno(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), EPERM,
                     "hole");
        expect_errno(madvise(file.data, 4096, MADV_REMOVE), EPERM, "hole through the mapping");
        expect_errno((int)pwrite(fd, "x", 1, 0), EPERM, "write");
        expect_errno(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM, "more seals");
        file.data[0] = 1; /* while its maker can still write */
        ck_assert_int_eq(ring_file_check(fd, RING_SIZE_MIN, RING_SIZE_MIN), 0);
        close(fd);
        ring_file_done(&file);
}
END_TEST

START_TEST(a_passed_file_cannot_be_mapped_for_writing) {
        char self[64];
        RingFile file;
        int fd, again;
        void *map;

        ck_assert_int_eq(ring_file_make(&file, RING_SIZE_MIN, &fd), 0);
        ck_assert_ptr_eq(mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0),
                         MAP_FAILED);
        ck_assert_int_eq(errno, EPERM);

        map = mmap(NULL, FILE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
        ck_assert_ptr_ne(map, MAP_FAILED);
        expect_errno(mprotect(map, FILE_SIZE, PROT_READ | PROT_WRITE), EACCES, "mprotect");
        ck_assert_int_eq(munmap(map, FILE_SIZE), 0);

        (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
        again = open(self, O_RDWR | O_CLOEXEC);
        ck_assert_int_ge(again, 0);
        ck_assert_ptr_eq(mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0),
                         MAP_FAILED);
        ck_assert_int_eq(errno, EPERM);
        close(again);
        close(fd);
        ring_file_done(&file);
}
END_TEST

START_TEST(who_writes_to_the_other_sides_file_dies_alone) {
        RingPair pair;
        pid_t child;
        int status;

        ring_pair_open(&pair, RING_SIZE_MIN, RING_SIZE_MIN);
        child = test_fork();
        if (child == 0) {
                (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer would make it an exit status */
                *(volatile uint64_t *)&pair.a.other.page->consumer.consumed = 8;
                _exit(EXIT_SUCCESS);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
        ck_assert_uint_eq(pair.b.own.page->consumer.consumed, 0);
        ring_pair_close(&pair);
}
END_TEST

START_TEST(a_mapping_survives_the_death_of_its_maker) {
        int sockets[2], status;
        RingView view;
        RingFile file;
        pid_t child;
        int fd;

        /* The memory was mapped before the fork, so the child is its maker's equal. */
        ck_assert_int_eq(ring_file_make(&file, RING_SIZE_MIN, &fd), 0);
        ck_assert_int_eq(ring_view_open(&view, fd, RING_SIZE_MIN, RING_SIZE_MIN), 0);
        close(fd);
        ck_assert_int_eq(pipe2(sockets, O_CLOEXEC), 0);
        child = test_fork();
        if (child == 0) {
                file.data[100] = 42;
                (void)!write(sockets[1], "", 1);
                (void)pause();
                _exit(EXIT_SUCCESS);
        }
        ck_assert_int_eq(read(sockets[0], &status, 1), 1);
        ring_file_done(&file);
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        for (size_t i = 0; i < 2 * RING_SIZE_MIN; i++)
                ck_assert_uint_eq(view.data[i], i % RING_SIZE_MIN == 100 ? 42 : 0);
        ring_view_done(&view);
        close(sockets[0]);
        close(sockets[1]);
}
END_TEST

Suite *check_suite(void) {
        Suite *s = suite_create("ring-file");
        TCase *t = tcase_create("files");

        tcase_add_loop_test(t, a_file_that_is_not_what_it_must_be_is_refused, 0, ELEMENTSOF(files));
        tcase_add_loop_test(t, a_good_file_is_taken_at_every_size, 0, 9);
        tcase_add_test(t, a_file_of_no_legal_size_is_not_made);
        tcase_add_test(t, where_files_must_be_small_none_is_made);
        tcase_add_test(t, the_data_follows_itself);
        suite_add_tcase(s, t);

        t = tcase_create("kernel");
        tcase_add_test(t, a_passed_file_keeps_its_size_and_memory);
        tcase_add_test(t, a_passed_file_cannot_be_mapped_for_writing);
        tcase_add_test(t, who_writes_to_the_other_sides_file_dies_alone);
        tcase_add_test(t, a_mapping_survives_the_death_of_its_maker);
        suite_add_tcase(s, t);
        return s;
}
