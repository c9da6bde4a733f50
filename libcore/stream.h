/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Stream: the framing of one connection
 *
 * Bytes and descriptors in, whole frames out; frames in, bytes and descriptors out. It does no
 * I/O: whoever owns the socket reads into stream_input(), tells stream_fed() what came, pops
 * frames until there are none, and writes what stream_peek() shows. The same code runs in the
 * daemon, in the library, behind a relay's link and in a fuzzer.
 *
 * Input: one buffer that grows from nothing to the size of the frame that is coming (at most
 * FRAME_SIZE_MAX) plus what one read brings along, and shrinks to nothing when it runs empty:
 * ten thousand idle connections hold no buffers. A popped frame is borrowed from that buffer. A
 * program with many streams lends them one big buffer in turn, and only what is unfinished after a
 * read is kept in memory of the stream's own.
 *
 * Output: a queue of bytes in chunks; small frames are copied together, so that one system call
 * carries many. Its size is known, so that its owner can charge and bound it. Chunks come from a
 * pool, if there is one: a busy forwarder allocates nothing for a frame.
 *
 * Descriptors: the frame's prefix says how many it carries. The kernel ties descriptors to the
 * bytes they were sent with; all that arrive before a frame is complete belong, in order, to it
 * or a later one. Parse all there is before reading more.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "libcore/packet.h"
#include "libcore/util.h"

#define STREAM_READ_SIZE 65536 /* room made for reads */
#define STREAM_READ_LEAST 4096 /* room offered for one */
#define STREAM_IOVECS 16
#define STREAM_FDS_MAX (2 * FRAME_FDS_MAX) /* the frame that is coming, and the one behind it */

typedef struct Stream Stream;
typedef struct StreamPool StreamPool;

typedef struct StreamFrame {
        FramePrefix prefix;
        const uint8_t *data; /* the whole frame, prefix included; valid until the next call */
        size_t size;
        int fds[FRAME_FDS_MAX]; /* owned by whoever popped the frame; -EBADF: lost */
} StreamFrame;

enum {
        _STREAM_E_SUCCESS,

        STREAM_E_EMPTY,     /* no whole frame, or nothing to write */
        STREAM_E_VIOLATION, /* malformed prefix, or descriptors that no frame announced: drop */
};

int stream_new(Stream **ret);
/* Closes descriptors that were never popped or written. Returns NULL. */
Stream *stream_free(Stream *stream);
DEFINE_CLEANUP(Stream, stream_free)

/* Empty chunks for the streams of one thread; it must outlive them. Return: 0 or -ENOMEM. */
int stream_pool_new(StreamPool **ret);
StreamPool *stream_pool_free(StreamPool *pool);
DEFINE_CLEANUP(StreamPool, stream_pool_free)
/* To be called before anything is queued. */
void stream_set_pool(Stream *stream, StreamPool *pool);

/*
 * Input from here on stands in @data, of at least FRAME_SIZE_MAX + STREAM_READ_SIZE bytes, until
 * stream_settle(); what is unfinished is copied there now.
 */
void stream_lend(Stream *stream, uint8_t *data, size_t size);
/* Takes what is unfinished out of the lent buffer. Return: 0 or -ENOMEM (the stream is useless). */
int stream_settle(Stream *stream);

/*
 * Room for input: at least STREAM_READ_LEAST bytes, or what is missing of the frame that is coming,
 * whichever is more; all that is left of a lent buffer. Return: 0 or -ENOMEM.
 */
int stream_input(Stream *stream, uint8_t **ret_data, size_t *ret_size);

/*
 * @n bytes were read into stream_input()'s room, together with @n_fds descriptors, which are now
 * the stream's. Return: 0; STREAM_E_VIOLATION if more than STREAM_FDS_MAX wait (@fds are closed).
 */
int stream_fed(Stream *stream, size_t n, const int *fds, size_t n_fds);

/*
 * A process that has no descriptor left gets a frame without those that did not fit. A stream takes
 * that for a fault of the peer's, unless it was told that it may happen.
 */
void stream_let_lose_fds(Stream *stream);
/* The frame whose bytes were fed last lacks some. Return: whether the stream can go on. */
bool stream_lost_fds(Stream *stream);

/*
 * The next whole frame. Whether the descriptors that came fit their frames is judged here; what is
 * inside a frame is not. Return: 0, STREAM_E_EMPTY, STREAM_E_VIOLATION; @ret is untouched unless 0.
 */
int stream_pop(Stream *stream, StreamFrame *ret);

/* Bytes of an unfinished frame: what a peer makes us hold on the input side. */
size_t stream_input_size(const Stream *stream);

/*
 * Reserves @size bytes at the end of the output for one frame, which the caller writes there.
 * @fds are duplicated by nobody: they are the stream's from here on, on success only.
 * Return: 0 or -ENOMEM.
 */
int stream_queue(Stream *stream, size_t size, const int *fds, size_t n_fds, uint8_t **ret_data);

/*
 * Frames for many streams, kept once, one behind the other. Each is filled in by who adds it before it is
 * queued the first time, and not changed after that. A stream that gets them all writes them as one piece,
 * and refers to them once. One thread.
 */
typedef struct StreamShared {
        uint32_t n_refs;
        uint32_t size, room;
        uint8_t data[];
} StreamShared;

/* Return: one with room for @room bytes, nothing in it, and one reference; or NULL. */
StreamShared *stream_shared_new(size_t room);
/* Frees with the last reference. Accepts NULL, returns NULL. */
StreamShared *stream_shared_unref(StreamShared *shared);
/* The place of one more frame of @size bytes; NULL: there is no room for it. */
uint8_t *stream_shared_add(StreamShared *shared, size_t size);
/* Nobody but the caller has it: all of its room is for other frames. */
void stream_shared_clear(StreamShared *shared);
/*
 * Queues a @frame of @shared as stream_queue() does, without descriptors, by reference; or as a copy, if
 * it is small and there is room behind what is queued, which would be wasted. Return: 0 or -ENOMEM.
 */
int stream_queue_shared(Stream *stream, StreamShared *shared, const uint8_t *frame, size_t size);

/* Bytes queued and not yet written. */
size_t stream_output_size(const Stream *stream);

/*
 * What to write next: up to STREAM_IOVECS pieces, and the descriptors that go with the first
 * byte (sendmsg() with SCM_RIGHTS); if there are any, the pieces end with their frame.
 * Return: 0, STREAM_E_EMPTY.
 */
int stream_peek(const Stream *stream, struct iovec iov[static STREAM_IOVECS], size_t *ret_n_iov,
                const int **ret_fds, size_t *ret_n_fds);

/* One frame of those that wait to be written. */
typedef struct StreamWalk {
        const uint8_t *data; /* all of it, prefix included */
        size_t size;
        size_t n_written; /* bytes of it that are gone: less than size */
        void *chunk;      /* the stream's own */
} StreamWalk;

/*
 * Walks over the frames that wait, the first of which may have been begun. @walk is all zero before
 * the first one; it is of no use any more once something was queued or written.
 * Return: false if none is left.
 */
bool stream_walk(Stream *stream, StreamWalk *walk);

/* The descriptors that stream_peek() showed cannot go: they are closed, and their frame goes without. */
void stream_drop_fds(Stream *stream);
/*
 * @n bytes of what stream_peek() showed were written; descriptors that went along are closed. So are
 * those of a whole frame that is dropped: to the stream it is one that was written.
 */
void stream_written(Stream *stream, size_t n);
