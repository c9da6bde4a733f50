/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libcore/stream.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "libcore/stream-socket.h"
#include "tests/main.h"

/* A packet frame of @size bytes whose bytes behind the prefix count from @seed. */
static void frame_make(uint8_t *out, size_t size, uint8_t n_fds, uint8_t seed) {
        FramePrefix prefix = { .size = (uint32_t)size, .type = FRAME_PACKET, .n_fds = n_fds };

        frame_prefix_encode(&prefix, out);
        for (size_t i = FRAME_PREFIX_SIZE; i < size; i++)
                out[i] = (uint8_t)(seed + i);
}

static void frame_check(const StreamFrame *frame, size_t size, uint8_t seed) {
        size_t i = FRAME_PREFIX_SIZE;

        ck_assert_uint_eq(frame->size, size);
        /* One assertion for all: Check writes each of them down. */
        while (i < size && frame->data[i] == (uint8_t)(seed + i))
                i++;
        ck_assert_msg(i == size, "byte %zu of %zu", i, size);
}

/* As many reads as it takes; the descriptors come with the first. */
static int feed(Stream *s, const uint8_t *data, size_t n, const int *fds, size_t n_fds) {
        do {
                size_t n_room, here;
                uint8_t *room;
                int c;

                /* Once a byte in some tests, and Check writes each assertion down. */
                c = stream_input(s, &room, &n_room);
                if (c != 0 || n_room < STREAM_READ_LEAST)
                        ck_abort_msg("%d, room for %zu", c, n_room);
                here = MIN(n, n_room);
                memcpy(room, data, here);
                c = stream_fed(s, here, fds, n_fds);
                if (c != 0)
                        return c;
                data += here;
                n -= here;
                n_fds = 0;
        } while (n > 0);
        return 0;
}

static unsigned count_fds(void) {
        DIR *dir = opendir("/proc/self/fd");
        unsigned n = 0;

        ck_assert_ptr_nonnull(dir);
        while (readdir(dir))
                n++;
        closedir(dir);
        return n;
}

static int some_fd(void) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        ck_assert_int_ge(fd, 0);
        return fd;
}

static const size_t sizes[] = { PACKET_HEADER_SIZE, 73, 200, 2047, 2048, 16384, FRAME_SIZE_MAX };

START_TEST(frames_come_out_whole_however_they_came_in) {
        static const size_t steps[] = { 1, 7, 8, 71, 4096, 65536 };
        size_t step = steps[_i], n = 0;
        _cleanup_(stream_freep) Stream *s = NULL;
        _cleanup_(freep) uint8_t *all = malloc(ELEMENTSOF(sizes) * FRAME_SIZE_MAX);
        unsigned popped = 0;
        StreamFrame frame;
        int c;

        ck_assert_ptr_nonnull(all);
        for (unsigned i = 0; i < ELEMENTSOF(sizes); i++) {
                frame_make(all + n, sizes[i], 0, (uint8_t)i);
                n += sizes[i];
        }
        ck_assert_int_eq(stream_new(&s), 0);
        for (size_t at = 0; at < n; at += step) {
                c = feed(s, all + at, MIN(step, n - at), NULL, 0);
                if (c != 0)
                        ck_abort_msg("at %zu: %d", at, c);
                while ((c = stream_pop(s, &frame)) == 0) {
                        frame_check(&frame, sizes[popped], (uint8_t)popped);
                        popped++;
                }
                if (c != STREAM_E_EMPTY)
                        ck_abort_msg("at %zu: %d", at, c);
        }
        ck_assert_uint_eq(popped, ELEMENTSOF(sizes));
        ck_assert_uint_eq(stream_input_size(s), 0);
}
END_TEST

START_TEST(a_lent_buffer_keeps_what_is_unfinished) {
        size_t n_lent = FRAME_SIZE_MAX + STREAM_READ_SIZE, n = 0, at = 0;
        _cleanup_(freep) uint8_t *lent = malloc(n_lent), *all = malloc(3 * 40000);
        _cleanup_(stream_freep) Stream *s = NULL;
        unsigned popped = 0;
        StreamFrame frame;

        for (unsigned i = 0; i < 3; i++, n += 40000)
                frame_make(all + n, 40000, 0, (uint8_t)i);
        ck_assert_int_eq(stream_new(&s), 0);
        while (at < n) {
                size_t step = MIN((size_t)30011, n - at);

                stream_lend(s, lent, n_lent);
                ck_assert_int_eq(feed(s, all + at, step, NULL, 0), 0);
                at += step;
                while (stream_pop(s, &frame) == 0)
                        frame_check(&frame, 40000, (uint8_t)popped++);
                ck_assert_int_eq(stream_settle(s), 0);
                memset(lent, 0xee, n_lent); /* somebody else's now */
                ck_assert_uint_eq(stream_input_size(s), at % 40000);
        }
        ck_assert_uint_eq(popped, 3);
}
END_TEST

static const struct {
        const char *what;
        uint8_t prefix[FRAME_PREFIX_SIZE];
} bad[] = {
        { "size zero", { 0, 0, 0, 0, 3, 0, 0, 0 } },
        { "packet without its header", { 71, 0, 0, 0, 3, 0, 0, 0 } },
        { "size over the limit", { 1, 0, 1, 0, 3, 0, 0, 0 } },
        { "size of 4 GiB", { 0xff, 0xff, 0xff, 0xff, 3, 0, 0, 0 } },
        { "type zero", { 72, 0, 0, 0, 0, 0, 0, 0 } },
        { "unknown type", { 72, 0, 0, 0, 4, 0, 0, 0 } },
        { "five descriptors", { 72, 0, 0, 0, 3, 5, 0, 0 } },
        { "HELLO too long", { 89, 0, 0, 0, 1, 0, 0, 0 } },
        { "ATTACH too short", { 111, 0, 0, 0, 2, 0, 0, 0 } },
};

START_TEST(a_bad_prefix_is_a_violation_before_its_frame_has_come) {
        _cleanup_(stream_freep) Stream *s = NULL;
        StreamFrame frame;

        ck_assert_int_eq(stream_new(&s), 0);
        ck_assert_int_eq(feed(s, bad[_i].prefix, FRAME_PREFIX_SIZE, NULL, 0), 0);
        ck_assert_msg(stream_pop(s, &frame) == STREAM_E_VIOLATION, "accepted: %s", bad[_i].what);
}
END_TEST

START_TEST(descriptors_go_to_frames_in_order) {
        _cleanup_(stream_freep) Stream *s = NULL;
        uint8_t data[3 * 100];
        unsigned n_before = count_fds();
        int fds[3] = { some_fd(), some_fd(), some_fd() };
        StreamFrame frame;

        frame_make(data, 100, 1, 0);
        frame_make(data + 100, 100, 0, 1);
        frame_make(data + 200, 100, 2, 2);
        ck_assert_int_eq(stream_new(&s), 0);
        ck_assert_int_eq(feed(s, data, sizeof(data), fds, 3), 0);
        ck_assert_int_eq(stream_pop(s, &frame), 0);
        ck_assert_uint_eq(frame.prefix.n_fds, 1);
        ck_assert_int_eq(frame.fds[0], fds[0]);
        ck_assert_int_eq(stream_pop(s, &frame), 0);
        ck_assert_uint_eq(frame.prefix.n_fds, 0);
        ck_assert_int_eq(stream_pop(s, &frame), 0);
        ck_assert_uint_eq(frame.prefix.n_fds, 2);
        ck_assert_int_eq(frame.fds[0], fds[1]);
        ck_assert_int_eq(frame.fds[1], fds[2]);
        ck_assert_int_eq(stream_pop(s, &frame), STREAM_E_EMPTY);
        for (unsigned i = 0; i < 3; i++)
                close(fds[i]);
        ck_assert_uint_eq(count_fds(), n_before);
}
END_TEST

/* @n_came descriptors came with @n_bytes of a frame that announces @n_announced. */
static const struct {
        const char *what;
        uint8_t n_announced;
        size_t n_bytes;
        unsigned n_came;
        int expected;
} mismatches[] = {
        { "announced, none came", 1, 100, 0, STREAM_E_VIOLATION },
        { "two announced, one came", 2, 100, 1, STREAM_E_VIOLATION },
        { "two announced, one came, frame unfinished", 2, 99, 1, STREAM_E_VIOLATION },
        { "none announced", 0, 99, 1, STREAM_E_VIOLATION },
        { "five before the prefix", 0, 7, 5, STREAM_E_VIOLATION },
        { "with no byte at all", 0, 0, 1, STREAM_E_VIOLATION },
        { "four before the prefix", 4, 7, 4, STREAM_E_EMPTY },
        { "as announced, frame unfinished", 4, 99, 4, STREAM_E_EMPTY },
        { "as announced", 4, 100, 4, 0 },
};

START_TEST(descriptors_must_be_as_many_as_announced) {
        unsigned n_before = count_fds();
        _cleanup_(stream_freep) Stream *s = NULL;
        int fds[5] = { -1, -1, -1, -1, -1 }, c;
        uint8_t data[100];
        StreamFrame frame;

        for (unsigned i = 0; i < mismatches[_i].n_came; i++)
                fds[i] = some_fd();
        frame_make(data, sizeof(data), mismatches[_i].n_announced, 0);
        ck_assert_int_eq(stream_new(&s), 0);
        ck_assert_int_eq(feed(s, data, mismatches[_i].n_bytes, fds, mismatches[_i].n_came), 0);
        c = stream_pop(s, &frame);
        ck_assert_msg(c == mismatches[_i].expected, "%s: %d", mismatches[_i].what, c);
        if (c == 0)
                for (unsigned i = 0; i < frame.prefix.n_fds; i++)
                        close(frame.fds[i]);
        s = stream_free(s);
        ck_assert_uint_eq(count_fds(), n_before);
}
END_TEST

START_TEST(surplus_in_the_last_frame_is_a_violation_before_it_is_handed_out) {
        _cleanup_(stream_freep) Stream *s = NULL;
        uint8_t data[100];
        int fd = some_fd();
        StreamFrame frame;

        frame_make(data, sizeof(data), 0, 0);
        ck_assert_int_eq(stream_new(&s), 0);
        ck_assert_int_eq(feed(s, data, sizeof(data), &fd, 1), 0);
        ck_assert_int_eq(stream_pop(s, &frame), STREAM_E_VIOLATION);
}
END_TEST

START_TEST(more_descriptors_than_two_frames_have_are_closed) {
        unsigned n_before = count_fds();
        _cleanup_(stream_freep) Stream *s = NULL;
        int fds[STREAM_FDS_MAX + 1];
        uint8_t byte = 0;

        for (unsigned i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = some_fd();
        ck_assert_int_eq(stream_new(&s), 0);
        ck_assert_int_eq(feed(s, &byte, 1, fds, ELEMENTSOF(fds)), STREAM_E_VIOLATION);
        s = stream_free(s);
        ck_assert_uint_eq(count_fds(), n_before);
}
END_TEST

static void queue(Stream *s, size_t size, uint8_t seed, const int *fds, uint8_t n_fds) {
        uint8_t *data;

        ck_assert_int_eq(stream_queue(s, size, fds, n_fds, &data), 0);
        frame_make(data, size, n_fds, seed);
}

START_TEST(output_is_what_was_queued_in_pieces_of_any_size) {
        static const size_t steps[] = { 1, 100, 2048, 65537, SIZE_MAX };
        _cleanup_(stream_pool_freep) StreamPool *pool = NULL;
        _cleanup_(stream_freep) Stream *out = NULL, *in = NULL;
        struct iovec iov[STREAM_IOVECS];
        unsigned popped = 0, n_rounds = 40;
        size_t n_iov, n_fds, total = 0;
        StreamFrame frame;
        const int *fds;

        ck_assert_int_eq(stream_pool_new(&pool), 0);
        ck_assert_int_eq(stream_new(&out), 0);
        ck_assert_int_eq(stream_new(&in), 0);
        stream_set_pool(out, pool);
        for (unsigned i = 0; i < n_rounds; i++) {
                queue(out, sizes[i % ELEMENTSOF(sizes)], (uint8_t)i, NULL, 0);
                total += sizes[i % ELEMENTSOF(sizes)];
        }
        while (stream_peek(out, iov, &n_iov, &fds, &n_fds) == 0) {
                size_t n = MIN(steps[_i], iov[0].iov_len);

                if (stream_output_size(out) != total || n_fds != 0)
                        ck_abort_msg("%zu bytes, not %zu; %zu descriptors", stream_output_size(out),
                                     total, n_fds);
                for (size_t at = 0; at < n; at += STREAM_READ_SIZE) {
                        int c = feed(in, (uint8_t *)iov[0].iov_base + at,
                                     MIN(n - at, (size_t)STREAM_READ_SIZE), NULL, 0);

                        if (c != 0)
                                ck_abort_msg("%zu bytes before the end: %d", total - at, c);
                        for (; stream_pop(in, &frame) == 0; popped++)
                                frame_check(&frame, sizes[popped % ELEMENTSOF(sizes)],
                                            (uint8_t)popped);
                }
                stream_written(out, n);
                total -= n;
        }
        ck_assert_uint_eq(total, 0);
        ck_assert_uint_eq(popped, n_rounds);
}
END_TEST

static const uint8_t *share(StreamShared *shared, size_t size, uint8_t seed) {
        uint8_t *frame = stream_shared_add(shared, size);

        ck_assert_ptr_nonnull(frame);
        frame_make(frame, size, 0, seed);
        return frame;
}

/* Between frames of its own, in two streams that are written at different times. */
START_TEST(shared_frames_are_kept_until_the_last_stream_has_written_them) {
        Stream *in[2], *out[2];
        StreamShared *shared = stream_shared_new(8000);
        const uint8_t *first, *second;
        StreamFrame frame;

        ck_assert_ptr_nonnull(shared);
        first = share(shared, 5000, 2);
        second = share(shared, 3000, 4);
        ck_assert_ptr_null(stream_shared_add(shared, 1));
        for (unsigned i = 0; i < 2; i++) {
                ck_assert_int_eq(stream_new(&in[i]), 0);
                ck_assert_int_eq(stream_new(&out[i]), 0);
                queue(out[i], 100, 1, NULL, 0);
                ck_assert_int_eq(stream_queue_shared(out[i], shared, first, 5000), 0);
                ck_assert_int_eq(stream_queue_shared(out[i], shared, second, 3000), 0);
                ck_assert_int_eq(stream_queue_shared(out[i], shared, first, 5000), 0);
                queue(out[i], 200, 3, NULL, 0);
                ck_assert_uint_eq(stream_output_size(out[i]), 100 + 2 * 5000 + 3000 + 200);
        }
        ck_assert_uint_eq(shared->n_refs, 5);
        stream_shared_unref(shared);
        for (unsigned i = 0; i < 2; i++) {
                static const size_t expected[] = { 100, 5000, 3000, 5000, 200 };
                static const uint8_t seeds[] = { 1, 2, 4, 2, 3 };
                struct iovec iov[STREAM_IOVECS];
                size_t n_iov, n_fds;
                const int *fds;

                while (stream_peek(out[i], iov, &n_iov, &fds, &n_fds) == 0) {
                        size_t n = MIN(iov[0].iov_len, (size_t)700);

                        ck_assert_int_eq(feed(in[i], iov[0].iov_base, n, NULL, 0), 0);
                        stream_written(out[i], n);
                }
                for (unsigned k = 0; k < ELEMENTSOF(expected); k++) {
                        ck_assert_int_eq(stream_pop(in[i], &frame), 0);
                        frame_check(&frame, expected[k], seeds[k]);
                }
                if (i == 0)
                        ck_assert_uint_eq(shared->n_refs, 2);
                stream_free(in[i]);
                stream_free(out[i]);
        }
}
END_TEST

/* As many as come, also behind one that was written in part; a gap is another piece. */
START_TEST(shared_frames_that_follow_each_other_are_one_piece) {
        StreamShared *shared = stream_shared_new(10000);
        struct iovec iov[STREAM_IOVECS];
        const uint8_t *frame = NULL;
        size_t n_iov, n_fds;
        const int *fds;
        Stream *out;

        ck_assert_ptr_nonnull(shared);
        ck_assert_int_eq(stream_new(&out), 0);
        for (unsigned i = 0; i < 50; i++) {
                frame = share(shared, 100, (uint8_t)i);
                if (i == 40)
                        continue;
                ck_assert_int_eq(stream_queue_shared(out, shared, frame, 100), 0);
                if (i == 10)
                        stream_written(out, 250);
        }
        ck_assert_uint_eq(shared->n_refs, 3);
        ck_assert_int_eq(stream_peek(out, iov, &n_iov, &fds, &n_fds), 0);
        ck_assert_uint_eq(n_iov, 2);
        ck_assert_ptr_eq(iov[0].iov_base, shared->data + 250);
        ck_assert_uint_eq(iov[0].iov_len, 40 * 100 - 250);
        ck_assert_ptr_eq(iov[1].iov_base, shared->data + 41 * 100);
        ck_assert_uint_eq(iov[1].iov_len, 9 * 100);
        stream_free(out);
        ck_assert_uint_eq(shared->n_refs, 1);
        stream_shared_clear(shared);
        ck_assert_ptr_eq(stream_shared_add(shared, 10000), shared->data);
        ck_assert_ptr_null(stream_shared_unref(shared));
}
END_TEST

/*
 * Frames of all sizes, written in steps of any size. Some are shared, where those stand that other
 * streams get: before them, and between them.
 */
START_TEST(what_waits_can_be_walked_over_however_much_is_written) {
        static const size_t steps[] = { 1, 72, 100, 2047, 40000 };
        static const size_t waiting[] = { 72, 73, 200, 5000, 700, 72, 1900, 2047, 16384, 72, 72 };
        _cleanup_(stream_freep) Stream *s = NULL;
        StreamShared *shared = stream_shared_new(8000);
        size_t total = 0, first = 0, n_written = 0;

        ck_assert_int_eq(stream_new(&s), 0);
        ck_assert(!stream_walk(s, &(StreamWalk){ 0 }));
        ck_assert_ptr_nonnull(shared);
        (void)share(shared, 250, 0xee);
        for (unsigned i = 0; i < ELEMENTSOF(waiting); i++) {
                if (i == 3 || i == 4 || i == 6)
                        ck_assert_int_eq(stream_queue_shared(s, shared,
                                                             share(shared, waiting[i], (uint8_t)i),
                                                             waiting[i]),
                                         0);
                else
                        queue(s, waiting[i], (uint8_t)i, NULL, 0);
                if (i == 5)
                        (void)share(shared, 100, 0xee);
                total += waiting[i];
        }
        ck_assert_uint_eq(shared->n_refs, 3);
        stream_shared_unref(shared);
        while (total > 0) {
                size_t step = MIN(steps[_i], total);
                StreamWalk walk = { 0 };

                for (size_t i = first; i < ELEMENTSOF(waiting); i++) {
                        StreamFrame frame;

                        if (!stream_walk(s, &walk) || walk.size != waiting[i] ||
                            walk.n_written != (i == first ? n_written : 0))
                                ck_abort_msg("frame %zu with %zu bytes left in all", i, total);
                        frame = (StreamFrame){ .data = walk.data, .size = walk.size };
                        if (steps[_i] > 1)
                                frame_check(&frame, waiting[i], (uint8_t)i);
                }
                if (stream_walk(s, &walk))
                        ck_abort_msg("a frame too many with %zu bytes left", total);
                stream_written(s, step);
                total -= step;
                for (n_written += step; first < ELEMENTSOF(waiting) && n_written >= waiting[first];
                     first++)
                        n_written -= waiting[first];
        }
        ck_assert(!stream_walk(s, &(StreamWalk){ 0 }));
}
END_TEST

START_TEST(a_frame_that_is_dropped_takes_its_descriptors_along_and_no_others) {
        _cleanup_(stream_freep) Stream *s = NULL;
        unsigned n_before = count_fds();
        struct iovec iov[STREAM_IOVECS];
        int dropped[2] = { some_fd(), some_fd() }, kept = some_fd();
        size_t n_iov, n_fds;
        const int *fds;
        StreamWalk walk = { 0 };

        ck_assert_int_eq(stream_new(&s), 0);
        queue(s, 100, 0, NULL, 0);
        queue(s, 200, 1, dropped, 2);
        queue(s, 300, 2, &kept, 1);
        stream_written(s, 100);
        ck_assert(stream_walk(s, &walk));
        ck_assert_uint_eq(walk.size, 200);
        ck_assert_uint_eq(walk.n_written, 0);
        stream_written(s, walk.size);
        ck_assert_uint_eq(count_fds(), n_before + 1);
        ck_assert_int_eq(stream_peek(s, iov, &n_iov, &fds, &n_fds), 0);
        ck_assert_uint_eq(iov[0].iov_len, 300);
        ck_assert_uint_eq(n_fds, 1);
        ck_assert_int_eq(fds[0], kept);
}
END_TEST

/* Else each of its own frames between them would take memory for many. */
START_TEST(a_small_shared_frame_is_copied_to_where_there_is_room) {
        StreamShared *shared = stream_shared_new(2000);
        struct iovec iov[STREAM_IOVECS];
        const uint8_t *small, *large;
        size_t n_iov, n_fds;
        const int *fds;
        Stream *out;

        ck_assert_ptr_nonnull(shared);
        small = share(shared, 300, 1);
        large = share(shared, 1100, 2);
        ck_assert_int_eq(stream_new(&out), 0);
        queue(out, 100, 0, NULL, 0);
        ck_assert_int_eq(stream_queue_shared(out, shared, small, 300), 0);
        queue(out, 100, 0, NULL, 0);
        ck_assert_uint_eq(shared->n_refs, 1);
        ck_assert_int_eq(stream_queue_shared(out, shared, large, 1100), 0);
        ck_assert_uint_eq(shared->n_refs, 2);
        ck_assert_int_eq(stream_peek(out, iov, &n_iov, &fds, &n_fds), 0);
        ck_assert_uint_eq(n_iov, 2);
        ck_assert_uint_eq(iov[0].iov_len, 500);
        ck_assert_mem_eq((uint8_t *)iov[0].iov_base + 100, small, 300);
        ck_assert_ptr_eq(iov[1].iov_base, large);
        stream_free(out);
        ck_assert_ptr_null(stream_shared_unref(shared));
}
END_TEST

START_TEST(a_freed_stream_lets_go_of_what_it_shared) {
        StreamShared *shared = stream_shared_new(3000);
        Stream *out;

        ck_assert_ptr_nonnull(shared);
        ck_assert_int_eq(stream_new(&out), 0);
        ck_assert_int_eq(stream_queue_shared(out, shared, share(shared, 3000, 0), 3000), 0);
        ck_assert_uint_eq(shared->n_refs, 2);
        stream_free(out);
        ck_assert_uint_eq(shared->n_refs, 1);
        ck_assert_ptr_null(stream_shared_unref(shared));
}
END_TEST

START_TEST(a_write_never_runs_over_into_descriptors_of_a_later_frame) {
        _cleanup_(stream_freep) Stream *s = NULL;
        struct iovec iov[STREAM_IOVECS];
        size_t n_iov, n_fds;
        unsigned n_before = count_fds();
        int fd = some_fd();
        const int *fds;

        ck_assert_int_eq(stream_new(&s), 0);
        queue(s, 100, 0, NULL, 0);
        queue(s, 100, 1, &fd, 1);
        queue(s, 100, 2, NULL, 0);

        ck_assert_int_eq(stream_peek(s, iov, &n_iov, &fds, &n_fds), 0);
        ck_assert_uint_eq(n_iov, 1);
        ck_assert_uint_eq(iov[0].iov_len, 100);
        ck_assert_uint_eq(n_fds, 0);
        stream_written(s, 40);
        ck_assert_int_eq(stream_peek(s, iov, &n_iov, &fds, &n_fds), 0);
        ck_assert_uint_eq(iov[0].iov_len, 60);
        ck_assert_uint_eq(n_fds, 0);
        stream_written(s, 60);

        ck_assert_int_eq(stream_peek(s, iov, &n_iov, &fds, &n_fds), 0);
        ck_assert_uint_eq(iov[0].iov_len, 100);
        ck_assert_uint_eq(n_fds, 1);
        ck_assert_int_eq(fds[0], fd);
        stream_written(s, 1); /* they go with the first byte, and only once */
        ck_assert_int_eq(stream_peek(s, iov, &n_iov, &fds, &n_fds), 0);
        ck_assert_uint_eq(n_fds, 0);
        ck_assert_uint_eq(iov[0].iov_len, 199);
        ck_assert_uint_eq(count_fds(), n_before);
        stream_written(s, 199);
        ck_assert_int_eq(stream_peek(s, iov, &n_iov, &fds, &n_fds), STREAM_E_EMPTY);
}
END_TEST

START_TEST(free_closes_what_was_not_written) {
        unsigned n_before = count_fds();
        Stream *s = NULL;
        int fds[2] = { some_fd(), some_fd() };

        ck_assert_int_eq(stream_new(&s), 0);
        queue(s, 100, 0, fds, 2);
        s = stream_free(s);
        ck_assert_ptr_null(s);
        ck_assert_uint_eq(count_fds(), n_before);
}
END_TEST

/* The inode behind @fd, to see that it is the same file on the other side. */
static ino_t inode_of(int fd) {
        struct stat st;

        ck_assert_int_eq(fstat(fd, &st), 0);
        return st.st_ino;
}

/*
 * Reads are as small as @max. The kernel's promise that stream.c relies on: descriptors come with
 * the first byte of their frame, and none of a later frame come before that frame's first byte.
 */
static int read_at_most(Stream *s, int fd, size_t max) {
        union {
                struct cmsghdr align;
                uint8_t bytes[CMSG_SPACE(FRAME_FDS_MAX * sizeof(int))];
        } control;
        struct iovec iov;
        struct msghdr m = { .msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof(control) };
        int fds[FRAME_FDS_MAX];
        size_t n_fds = 0;
        uint8_t *data;
        ssize_t n;

        ck_assert_int_eq(stream_input(s, &data, &iov.iov_len), 0);
        iov.iov_base = data;
        iov.iov_len = MIN(iov.iov_len, max);
        n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
                return STREAM_SOCKET_E_AGAIN;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
                n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                memcpy(fds, CMSG_DATA(c), n_fds * sizeof(int));
        }
        ck_assert_int_eq(stream_fed(s, (size_t)n, fds, n_fds), 0);
        return n == 0 ? STREAM_SOCKET_E_CLOSED : 0;
}

START_TEST(descriptors_survive_a_socket_with_tiny_reads_and_short_writes) {
        static const size_t maxima[] = { 1, 3, 50, 100, 1000, 65536 };
        _cleanup_(stream_freep) Stream *out = NULL, *in = NULL;
        unsigned n_before = count_fds(), n_frames = 60, popped = 0;
        ino_t inodes[60][FRAME_FDS_MAX];
        int sockets[2], sndbuf = 4608, c = 0;
        StreamFrame frame;
        size_t n;

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
        /* The least the kernel allows: frames are cut into several pieces on the way. */
        ck_assert_int_eq(setsockopt(sockets[0], SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf)), 0);
        ck_assert_int_eq(stream_new(&out), 0);
        ck_assert_int_eq(stream_new(&in), 0);
        for (unsigned i = 0; i < n_frames; i++) {
                uint8_t n_fds = (uint8_t)(i % (FRAME_FDS_MAX + 1));
                int fds[FRAME_FDS_MAX];

                for (unsigned j = 0; j < n_fds; j++) {
                        int ends[2];

                        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
                        close(ends[1]);
                        fds[j] = ends[0];
                        inodes[i][j] = inode_of(fds[j]);
                }
                queue(out, i % 7 == 3 ? 20000 : 72 + i, (uint8_t)i, fds, n_fds);
        }
        while (popped < n_frames) {
                do
                        c = stream_socket_write(out, sockets[0], &n);
                while (c == 0 && n > 0);
                ck_assert(c == 0 || c == STREAM_SOCKET_E_AGAIN);
                while (read_at_most(in, sockets[1], maxima[_i]) == 0) {
                        while ((c = stream_pop(in, &frame)) == 0) {
                                frame_check(&frame, popped % 7 == 3 ? 20000 : 72 + popped,
                                            (uint8_t)popped);
                                ck_assert_uint_eq(frame.prefix.n_fds, popped % (FRAME_FDS_MAX + 1));
                                for (unsigned j = 0; j < frame.prefix.n_fds; j++) {
                                        ck_assert_uint_eq(inode_of(frame.fds[j]),
                                                          inodes[popped][j]);
                                        close(frame.fds[j]);
                                }
                                popped++;
                        }
                        if (c != STREAM_E_EMPTY)
                                ck_abort_msg("after %u: %d", popped, c);
                }
        }
        close(sockets[0]);
        ck_assert_int_eq(stream_socket_read(in, sockets[1], &n), STREAM_SOCKET_E_CLOSED);
        close(sockets[1]);
        ck_assert_uint_eq(count_fds(), n_before);
}
END_TEST

START_TEST(a_write_ends_where_it_is_to_end) {
        static const size_t most[] = { 1, 100, 200, 250, 20000, 16384 };
        _cleanup_(stream_freep) Stream *out = NULL, *in = NULL;
        unsigned popped = 0;
        int sockets[2];
        StreamFrame frame;
        size_t n;

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
        ck_assert_int_eq(stream_new(&out), 0);
        ck_assert_int_eq(stream_new(&in), 0);
        for (unsigned i = 0; i < 4; i++) /* chunks of several sizes */
                queue(out, i < 2 ? 100 : 18368, (uint8_t)i, NULL, 0);
        for (unsigned i = 0; i < ELEMENTSOF(most); i++) {
                size_t before = stream_output_size(out);

                ck_assert_int_eq(stream_socket_write_most(out, sockets[0], most[i], &n), 0);
                ck_assert_uint_eq(n, MIN(most[i], before));
                ck_assert_uint_eq(stream_output_size(out), before - n);
        }
        ck_assert_uint_eq(stream_output_size(out), 1);
        ck_assert_int_eq(stream_socket_write(out, sockets[0], &n), 0);
        while (popped < 4) {
                ck_assert_int_eq(stream_socket_read(in, sockets[1], &n), 0);
                for (; stream_pop(in, &frame) == 0; popped++)
                        frame_check(&frame, popped < 2 ? 100 : 18368, (uint8_t)popped);
        }
        close(sockets[0]);
        close(sockets[1]);
}
END_TEST

START_TEST(too_many_descriptors_in_one_message_are_a_violation_and_leak_nothing) {
        unsigned n_before = count_fds();
        _cleanup_(stream_freep) Stream *in = NULL;
        union {
                struct cmsghdr align;
                uint8_t bytes[CMSG_SPACE(100 * sizeof(int))];
        } control;
        uint8_t data[100];
        struct iovec iov = { data, sizeof(data) };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control };
        unsigned n_fds = (unsigned)_i;
        int sockets[2], fd = some_fd();
        size_t n;

        frame_make(data, sizeof(data), 4, 0);
        m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        memset(&control, 0, sizeof(control));
        CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
        CMSG_FIRSTHDR(&m)->cmsg_type = SCM_RIGHTS;
        CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        for (unsigned i = 0; i < n_fds; i++)
                memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)) + i * sizeof(int), &fd, sizeof(int));

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
        ck_assert_int_eq(stream_new(&in), 0);
        ck_assert_int_eq(sendmsg(sockets[0], &m, 0), sizeof(data));
        ck_assert_int_eq(stream_socket_read(in, sockets[1], &n), STREAM_SOCKET_E_VIOLATION);
        in = stream_free(in);
        close(sockets[0]);
        close(sockets[1]);
        close(fd);
        ck_assert_uint_eq(count_fds(), n_before);
}
END_TEST

/* Only if it was told that this may happen: else a peer would have us wait for ever. */
START_TEST(what_finds_no_room_in_our_table_is_missing_in_its_frame_alone) {
        unsigned n_before = count_fds(), spare = (unsigned)_i / 2;
        bool may_lose = _i % 2;
        _cleanup_(stream_freep) Stream *out = NULL, *in = NULL;
        struct rlimit limit, low;
        int sockets[2], next, c;
        StreamFrame frame;
        size_t n;

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
        ck_assert_int_eq(stream_new(&out), 0);
        ck_assert_int_eq(stream_new(&in), 0);
        if (may_lose)
                stream_let_lose_fds(in);
        queue(out, 100, 0, (int[]){ some_fd(), some_fd(), some_fd() }, 3);
        queue(out, 200, 1, (int[]){ some_fd(), some_fd() }, 2);
        while ((c = stream_socket_write(out, sockets[0], &n)) == 0 && n > 0)
                ;
        ck_assert_int_eq(c, 0);

        next = some_fd(); /* the lowest that is free */
        close(next);
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        low = limit;
        low.rlim_cur = (rlim_t)next + spare;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
        c = stream_socket_read(in, sockets[1], &n);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        if (!may_lose) {
                ck_assert_int_eq(c, STREAM_SOCKET_E_VIOLATION);
        } else {
                ck_assert_int_eq(c, 0);
                ck_assert_int_eq(stream_pop(in, &frame), 0);
                frame_check(&frame, 100, 0);
                for (unsigned i = 0; i < 3; i++)
                        if (i < spare)
                                close(frame.fds[i]);
                        else
                                ck_assert_int_eq(frame.fds[i], -EBADF);
                while ((c = stream_pop(in, &frame)) == STREAM_E_EMPTY)
                        ck_assert_int_eq(stream_socket_read(in, sockets[1], &n), 0);
                ck_assert_int_eq(c, 0);
                frame_check(&frame, 200, 1);
                ck_assert_int_eq(close(frame.fds[0]), 0);
                ck_assert_int_eq(close(frame.fds[1]), 0);
        }
        in = stream_free(in);
        close(sockets[0]);
        close(sockets[1]);
        ck_assert_uint_eq(count_fds(), n_before);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("stream");
        TCase *in = tcase_create("input"), *out = tcase_create("output"),
              *sockets = tcase_create("sockets");

        tcase_add_loop_test(in, frames_come_out_whole_however_they_came_in, 0, 6);
        tcase_add_test(in, a_lent_buffer_keeps_what_is_unfinished);
        tcase_add_loop_test(in, a_bad_prefix_is_a_violation_before_its_frame_has_come, 0,
                            ELEMENTSOF(bad));
        tcase_add_test(in, descriptors_go_to_frames_in_order);
        tcase_add_loop_test(in, descriptors_must_be_as_many_as_announced, 0,
                            ELEMENTSOF(mismatches));
        tcase_add_test(in, surplus_in_the_last_frame_is_a_violation_before_it_is_handed_out);
        tcase_add_test(in, more_descriptors_than_two_frames_have_are_closed);
        tcase_add_loop_test(out, output_is_what_was_queued_in_pieces_of_any_size, 0, 5);
        tcase_add_test(out, shared_frames_are_kept_until_the_last_stream_has_written_them);
        tcase_add_test(out, shared_frames_that_follow_each_other_are_one_piece);
        tcase_add_loop_test(out, what_waits_can_be_walked_over_however_much_is_written, 0, 5);
        tcase_add_test(out, a_frame_that_is_dropped_takes_its_descriptors_along_and_no_others);
        tcase_add_test(out, a_small_shared_frame_is_copied_to_where_there_is_room);
        tcase_add_test(out, a_freed_stream_lets_go_of_what_it_shared);
        tcase_add_test(out, a_write_never_runs_over_into_descriptors_of_a_later_frame);
        tcase_add_test(out, free_closes_what_was_not_written);
        tcase_add_test(sockets, a_write_ends_where_it_is_to_end);
        tcase_add_loop_test(sockets, descriptors_survive_a_socket_with_tiny_reads_and_short_writes,
                            0, 6);
        tcase_add_loop_test(sockets, what_finds_no_room_in_our_table_is_missing_in_its_frame_alone,
                            0, 6);
        tcase_add_loop_test(sockets,
                            too_many_descriptors_in_one_message_are_a_violation_and_leak_nothing, 5,
                            12);
        suite_add_tcase(suite, in);
        suite_add_tcase(suite, out);
        suite_add_tcase(suite, sockets);
        return suite;
}
