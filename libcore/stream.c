/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Input is "do I have a prefix? do I have the whole frame?" over one run of bytes. That run stands
 * in memory of the stream's own, or in a buffer somebody lent; begin and end are offsets into
 * either.
 *
 * Output is a list of chunks. Frames that many streams have are chunks of their own, which refer to
 * them. No frame crosses from one chunk to the next, so that it can be written in place. The first
 * chunk of an empty queue is small and the next ones grow: most queues hold one small answer, a few
 * hold megabytes.
 *
 * Descriptors to be written are kept beside the chunks, each group with the position, counted from
 * the stream's beginning, of the first byte of its frame. A write stops before such a position or
 * begins at it.
 */

#include "libcore/stream.h"

#include <assert.h>
#include <utlist.h>

#include "libcore/buf.h"
#include "libcore/err.h"

/* Sizes of chunks, header included; the last takes any frame. */
static const size_t chunk_sizes[] = { 2048, 16384, FRAME_SIZE_MAX + 1024 };
/* How many of each a pool keeps: some 5 MiB in all. */
static const unsigned pool_limits[] = { 256, 64, 64 };

#define N_CLASSES ELEMENTSOF(chunk_sizes)
#define SHARED_COPY_MAX 1024

typedef struct Chunk Chunk;
struct Chunk {
        Chunk *next;
        StreamShared *shared; /* or NULL: then it is in data[] */
        unsigned class;
        uint32_t begin, end; /* what is queued of it */
        uint8_t data[];
};

typedef struct FdGroup FdGroup;
struct FdGroup {
        FdGroup *next;
        uint64_t position; /* of the frame's first byte */
        size_t frame_size;
        size_t n_fds;
        int fds[FRAME_FDS_MAX];
};

struct StreamPool {
        Chunk *spare[N_CLASSES];
        unsigned n_spare[N_CLASSES];
};

struct Stream {
        uint8_t *in; /* own memory, or lent */
        size_t in_size, in_begin, in_end;
        bool lent;
        uint8_t n_in_fds;
        int in_fds[STREAM_FDS_MAX];
        bool may_lose_fds;
        bool has_lost_fds;     /* of one frame, the last that has some: what is left of it are */
        uint8_t n_before_lost; /* the last of these descriptors */

        StreamPool *pool;
        Chunk *out_first, *out_last;
        size_t out_size;
        uint64_t out_position; /* of the next byte to be written */
        uint64_t out_frame;    /* of a frame's first byte: stream_walk() was there */
        FdGroup *out_fds;
};

static size_t chunk_room(const Chunk *chunk) {
        return chunk->shared ? 0 : chunk_sizes[chunk->class] - sizeof(Chunk) - chunk->end;
}

static uint8_t *chunk_data(Chunk *chunk) {
        return chunk->shared ? chunk->shared->data : chunk->data;
}

static Chunk *chunk_new(StreamPool *pool, unsigned class) {
        Chunk *chunk;

        if (pool && pool->spare[class]) {
                chunk = pool->spare[class];
                pool->spare[class] = chunk->next;
                pool->n_spare[class]--;
        } else {
                chunk = malloc(chunk_sizes[class]);
                if (!chunk)
                        return NULL;
        }
        chunk->next = NULL;
        chunk->shared = NULL;
        chunk->class = class;
        chunk->begin = chunk->end = 0;
        return chunk;
}

static void chunk_free(StreamPool *pool, Chunk *chunk) {
        if (chunk->shared) {
                stream_shared_unref(chunk->shared);
                free(chunk);
        } else if (pool && pool->n_spare[chunk->class] < pool_limits[chunk->class]) {
                chunk->next = pool->spare[chunk->class];
                pool->spare[chunk->class] = chunk;
                pool->n_spare[chunk->class]++;
        } else {
                free(chunk);
        }
}

static void fds_close(const int *fds, size_t n_fds) {
        for (size_t i = 0; i < n_fds; i++)
                (void)fd_close(fds[i]);
}

int stream_pool_new(StreamPool **ret) {
        StreamPool *pool = calloc(1, sizeof(*pool));

        if (!pool)
                return err_origin(-ENOMEM);
        *ret = pool;
        return 0;
}

StreamPool *stream_pool_free(StreamPool *pool) {
        if (!pool)
                return NULL;
        for (unsigned i = 0; i < N_CLASSES; i++)
                while (pool->spare[i]) {
                        Chunk *chunk = pool->spare[i];

                        pool->spare[i] = chunk->next;
                        free(chunk);
                }
        free(pool);
        return NULL;
}

int stream_new(Stream **ret) {
        Stream *stream = calloc(1, sizeof(*stream));

        if (!stream)
                return err_origin(-ENOMEM);
        *ret = stream;
        return 0;
}

Stream *stream_free(Stream *stream) {
        FdGroup *group, *next;

        if (!stream)
                return NULL;
        if (!stream->lent)
                free(stream->in);
        fds_close(stream->in_fds, stream->n_in_fds);

        while (stream->out_first) {
                Chunk *chunk = stream->out_first;

                stream->out_first = chunk->next;
                chunk_free(stream->pool, chunk);
        }
        LL_FOREACH_SAFE (stream->out_fds, group, next) {
                fds_close(group->fds, group->n_fds);
                free(group);
        }
        free(stream);
        return NULL;
}

void stream_set_pool(Stream *stream, StreamPool *pool) {
        stream->pool = pool;
}

void stream_lend(Stream *stream, uint8_t *data, size_t size) {
        size_t n = stream->in_end - stream->in_begin;

        if (n > 0)
                memcpy(data, stream->in + stream->in_begin, n);
        if (!stream->lent)
                free(stream->in);
        stream->in = data;
        stream->in_size = size;
        stream->in_begin = 0;
        stream->in_end = n;
        stream->lent = true;
}

int stream_settle(Stream *stream) {
        size_t n = stream->in_end - stream->in_begin;
        uint8_t *own = NULL;

        if (!stream->lent)
                return 0;
        if (n > 0) {
                own = malloc(n);
                if (own)
                        memcpy(own, stream->in + stream->in_begin, n);
        }
        stream->lent = false;
        stream->in = own;
        stream->in_begin = 0;
        stream->in_size = stream->in_end = own ? n : 0;
        return n > 0 && !own ? err_origin(-ENOMEM) : 0;
}

int stream_input(Stream *stream, uint8_t **ret_data, size_t *ret_size) {
        size_t n = stream->in_end - stream->in_begin;
        size_t least = n + STREAM_READ_LEAST, wanted = n + STREAM_READ_SIZE;
        FramePrefix prefix;

        if (n > 0 && frame_prefix_decode(stream->in + stream->in_begin, n, &prefix) == 0) {
                least = MAX(least, prefix.size);
                wanted = MAX(wanted, prefix.size);
        }

        if (stream->in_begin > 0) {
                memmove(stream->in, stream->in + stream->in_begin, n);
                stream->in_begin = 0;
                stream->in_end = n;
        }
        /* Not for every byte: what is left of the room of the read before is often enough. */
        if (!stream->lent && stream->in_size < least) {
                uint8_t *in = realloc(stream->in, wanted);

                if (!in)
                        return err_origin(-ENOMEM);
                stream->in = in;
                stream->in_size = wanted;
        }
        *ret_data = stream->in + n;
        *ret_size = stream->in_size - n;
        return 0;
}

int stream_fed(Stream *stream, size_t n, const int *fds, size_t n_fds) {
        stream->in_end += n;
        if (n_fds > STREAM_FDS_MAX - (size_t)stream->n_in_fds) {
                fds_close(fds, n_fds);
                return STREAM_E_VIOLATION;
        }
        for (size_t i = 0; i < n_fds; i++)
                stream->in_fds[stream->n_in_fds++] = fds[i];
        return 0;
}

void stream_let_lose_fds(Stream *stream) {
        stream->may_lose_fds = true;
}

bool stream_lost_fds(Stream *stream) {
        if (!stream->may_lose_fds || stream->has_lost_fds)
                return false;
        stream->has_lost_fds = true;
        stream->n_before_lost = stream->n_in_fds;
        return true;
}

/* Descriptors for a frame that has @n of them. Return: false: they are not there. */
static bool stream_take_fds(Stream *stream, size_t n, int *out) {
        size_t n_there = n;

        if (stream->has_lost_fds && n > stream->n_before_lost) {
                n_there = stream->n_before_lost;
                stream->has_lost_fds = false;
        }
        if (n_there > stream->n_in_fds)
                return false;
        for (size_t i = 0; i < n; i++)
                out[i] = i < n_there ? stream->in_fds[i] : -EBADF;
        stream->n_in_fds -= n_there;
        stream->n_before_lost -= MIN(n_there, (size_t)stream->n_before_lost);
        memmove(stream->in_fds, stream->in_fds + n_there, stream->n_in_fds * sizeof(int));
        return true;
}

/*
 * No whole frame is left. Descriptors come with the first byte of their frame, so those that wait
 * now are exactly those of the frame that has begun.
 */
static int stream_ran_empty(Stream *stream, const FramePrefix *begun) {
        if (stream->in_begin == stream->in_end) {
                stream->in_begin = stream->in_end = 0;
                if (!stream->lent) {
                        free(stream->in);
                        stream->in = NULL;
                        stream->in_size = 0;
                }
                return stream->n_in_fds == 0 ? STREAM_E_EMPTY : STREAM_E_VIOLATION;
        }
        if (stream->n_in_fds > FRAME_FDS_MAX ||
            (begun && !stream->has_lost_fds && stream->n_in_fds != begun->n_fds))
                return STREAM_E_VIOLATION;
        return STREAM_E_EMPTY;
}

int stream_pop(Stream *stream, StreamFrame *ret) {
        size_t n = stream->in_end - stream->in_begin;
        const uint8_t *data;
        FramePrefix prefix;
        int c;

        if (n == 0)
                return stream_ran_empty(stream, NULL);
        data = stream->in + stream->in_begin;
        c = frame_prefix_decode(data, n, &prefix);
        if (c == PACKET_E_SHORT)
                return stream_ran_empty(stream, NULL);
        if (c != 0)
                return STREAM_E_VIOLATION;
        if (n < prefix.size)
                return stream_ran_empty(stream, &prefix);
        /* Too few; or too many, and no later frame has begun that they could belong to. */
        if ((n == prefix.size && prefix.n_fds < stream->n_in_fds) ||
            !stream_take_fds(stream, prefix.n_fds, ret->fds))
                return STREAM_E_VIOLATION;

        ret->prefix = prefix;
        ret->data = data;
        ret->size = prefix.size;
        stream->in_begin += prefix.size;
        return 0;
}

size_t stream_input_size(const Stream *stream) {
        return stream->in_end - stream->in_begin;
}

static void append_chunk(Stream *stream, Chunk *chunk) {
        if (stream->out_last)
                stream->out_last->next = chunk;
        else
                stream->out_first = chunk;
        stream->out_last = chunk;
}

StreamShared *stream_shared_new(size_t room) {
        StreamShared *shared = malloc(sizeof(*shared) + room);

        if (shared)
                *shared = (StreamShared){ .n_refs = 1, .room = (uint32_t)room };
        return shared;
}

uint8_t *stream_shared_add(StreamShared *shared, size_t size) {
        uint8_t *frame = shared->data + shared->size;

        if (size > shared->room - shared->size)
                return NULL;
        shared->size += (uint32_t)size;
        return frame;
}

void stream_shared_clear(StreamShared *shared) {
        assert(shared->n_refs == 1);
        shared->size = 0;
}

StreamShared *stream_shared_unref(StreamShared *shared) {
        if (shared && --shared->n_refs == 0)
                free(shared);
        return NULL;
}

int stream_queue_shared(Stream *stream, StreamShared *shared, const uint8_t *frame, size_t size) {
        uint32_t begin = (uint32_t)(frame - shared->data);
        Chunk *chunk = stream->out_last;

        if (chunk && size <= SHARED_COPY_MAX && chunk_room(chunk) >= size) {
                memcpy(chunk->data + chunk->end, frame, size);
                chunk->end += (uint32_t)size;
                stream->out_size += size;
                return 0;
        }
        if (!chunk || chunk->shared != shared || chunk->end != begin) {
                chunk = calloc(1, sizeof(*chunk));
                if (!chunk)
                        return err_origin(-ENOMEM);
                shared->n_refs++;
                chunk->shared = shared;
                chunk->begin = begin;
                append_chunk(stream, chunk);
        }
        chunk->end = begin + (uint32_t)size;
        stream->out_size += size;
        return 0;
}

static int stream_add_chunk(Stream *stream, size_t size) {
        Chunk *chunk = stream->out_last;
        unsigned class = chunk && !chunk->shared ? MIN(chunk->class + 1, N_CLASSES - 1) : 0;

        while (chunk_sizes[class] - sizeof(Chunk) < size)
                class ++;
        chunk = chunk_new(stream->pool, class);
        if (!chunk)
                return err_origin(-ENOMEM);
        append_chunk(stream, chunk);
        return 0;
}

int stream_queue(Stream *stream, size_t size, const int *fds, size_t n_fds, uint8_t **ret_data) {
        _cleanup_(freep) FdGroup *group = NULL;
        int r;

        if (size > FRAME_SIZE_MAX || n_fds > FRAME_FDS_MAX)
                return err_origin(-EINVAL);
        if (n_fds > 0) {
                group = calloc(1, sizeof(*group));
                if (!group)
                        return err_origin(-ENOMEM);
                group->position = stream->out_position + stream->out_size;
                group->frame_size = size;
                group->n_fds = n_fds;
                memcpy(group->fds, fds, n_fds * sizeof(int));
        }
        if (!stream->out_last || chunk_room(stream->out_last) < size) {
                r = stream_add_chunk(stream, size);
                if (r < 0)
                        return err_trace(r);
        }
        if (group) {
                LL_APPEND(stream->out_fds, group);
                group = NULL;
        }
        *ret_data = stream->out_last->data + stream->out_last->end;
        stream->out_last->end += (uint32_t)size;
        stream->out_size += size;
        return 0;
}

size_t stream_output_size(const Stream *stream) {
        return stream->out_size;
}

int stream_peek(const Stream *stream, struct iovec iov[static STREAM_IOVECS], size_t *ret_n_iov,
                const int **ret_fds, size_t *ret_n_fds) {
        const FdGroup *group = stream->out_fds;
        size_t left = stream->out_size, n_iov = 0;

        if (left == 0)
                return STREAM_E_EMPTY;

        *ret_fds = NULL;
        *ret_n_fds = 0;
        if (group && group->position == stream->out_position) {
                *ret_fds = group->fds;
                *ret_n_fds = group->n_fds;
                left = group->frame_size;
        } else if (group) {
                left = (size_t)(group->position - stream->out_position);
        }

        for (Chunk *chunk = stream->out_first; left > 0 && n_iov < STREAM_IOVECS;
             chunk = chunk->next) {
                size_t n = MIN(left, (size_t)(chunk->end - chunk->begin));

                iov[n_iov++] = (struct iovec){ chunk_data(chunk) + chunk->begin, n };
                left -= n;
        }
        *ret_n_iov = n_iov;
        return 0;
}

/*
 * What was written of a chunk stays in it until all is, so the begin of a frame is still there. Of one
 * that is shared others may have what stands before that; it is small.
 */
static uint32_t find_first_frame(Stream *stream) {
        Chunk *chunk = stream->out_first;
        uint64_t chunk_position = stream->out_position - chunk->begin;
        const uint8_t *data = chunk_data(chunk);
        uint32_t at = 0, size;

        if (!chunk->shared && stream->out_frame > chunk_position)
                at = (uint32_t)(stream->out_frame - chunk_position);
        while (size = load_le32(data + at), at + size <= chunk->begin)
                at += size;
        stream->out_frame = chunk_position + at;
        return at;
}

bool stream_walk(Stream *stream, StreamWalk *walk) {
        Chunk *chunk = walk->chunk;
        uint32_t at;

        if (!chunk) {
                chunk = stream->out_first;
                if (!chunk)
                        return false;
                at = find_first_frame(stream);
        } else {
                at = (uint32_t)(walk->data - chunk_data(chunk) + walk->size);
                if (at == chunk->end) {
                        chunk = chunk->next;
                        if (!chunk)
                                return false;
                        at = chunk->begin;
                }
        }
        *walk = (StreamWalk){
                .data = chunk_data(chunk) + at,
                .size = load_le32(chunk_data(chunk) + at),
                .n_written = at < chunk->begin ? chunk->begin - at : 0,
                .chunk = chunk,
        };
        return true;
}

/* Those that belong to the next byte. */
static void close_first_fds(Stream *stream) {
        FdGroup *group = stream->out_fds;

        fds_close(group->fds, group->n_fds);
        LL_DELETE(stream->out_fds, group);
        free(group);
}

static bool has_fds_now(const Stream *stream) {
        return stream->out_fds && stream->out_fds->position == stream->out_position;
}

void stream_drop_fds(Stream *stream) {
        if (!has_fds_now(stream))
                return;
        packet_set_n_fds(stream->out_first->data + stream->out_first->begin, 0);
        close_first_fds(stream);
}

void stream_written(Stream *stream, size_t n) {
        if (n > 0 && has_fds_now(stream))
                close_first_fds(stream);
        stream->out_position += n;
        stream->out_size -= n;
        while (n > 0) {
                Chunk *chunk = stream->out_first;
                size_t here = MIN(n, (size_t)(chunk->end - chunk->begin));

                chunk->begin += (uint32_t)here;
                n -= here;
                if (chunk->begin < chunk->end)
                        continue;
                stream->out_first = chunk->next;
                if (!stream->out_first)
                        stream->out_last = NULL;
                chunk_free(stream->pool, chunk);
        }
}
