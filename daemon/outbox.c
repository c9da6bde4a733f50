/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/outbox.h"

#include "libcore/err.h"

void outbox_init(Outbox *outbox, Stream *stream) {
        *outbox = (Outbox){
                .stream = stream,
                .runs = outbox->inline_runs,
                .n_room = OUTBOX_RUNS_INLINE,
        };
}

static OutboxRun *run_at(Outbox *outbox, uint32_t i) {
        return &outbox->runs[(outbox->first + i) % outbox->n_room];
}

static void run_release(OutboxRun *run) {
        usage_release(run->usage, run->charged, run->packets, run->fds);
}

void outbox_done(Outbox *outbox) {
        for (uint32_t i = 0; i < outbox->n_runs; i++)
                run_release(run_at(outbox, i));
        if (outbox->runs != outbox->inline_runs)
                free(outbox->runs);
        outbox_init(outbox, outbox->stream);
}

static int outbox_grow(Outbox *outbox) {
        uint32_t n_room = MAX(outbox->n_room, OUTBOX_RUNS_INLINE) * 4;
        OutboxRun *runs = malloc(n_room * sizeof(*runs));

        if (!runs)
                return err_origin(-ENOMEM);
        for (uint32_t i = 0; i < outbox->n_runs; i++)
                runs[i] = *run_at(outbox, i);
        if (outbox->runs != outbox->inline_runs)
                free(outbox->runs);
        outbox->runs = runs;
        outbox->n_room = n_room;
        outbox->first = 0;
        return 0;
}

/* The run that @size more bytes of @usage go to; NULL: a new one, for which there is room. */
static inline int find_run(Outbox *outbox, const Usage *usage, size_t size, uint64_t now_usec,
                                  OutboxRun **ret) {
        OutboxRun *last = outbox->n_runs > 0 ? run_at(outbox, outbox->n_runs - 1) : NULL;
        int r;

        if (!last || last->usage != usage || last->charged + size > OUTBOX_RUN_MAX ||
            now_usec - last->since_usec > OUTBOX_SLACK_USEC) {
                if (outbox->n_runs == outbox->n_room) {
                        r = outbox_grow(outbox);
                        if (r < 0)
                                return err_trace(r);
                }
                last = NULL;
        }
        *ret = last;
        return 0;
}

static inline void note(Outbox *outbox, OutboxRun *run, Usage *usage, size_t size, size_t n_fds,
                        uint64_t now_usec) {
        if (!run) {
                run = run_at(outbox, outbox->n_runs++);
                *run = (OutboxRun){ .usage = usage, .since_usec = now_usec };
        }
        run->bytes += (uint32_t)size;
        run->charged += (uint32_t)size;
        run->packets++;
        run->fds += (uint32_t)n_fds;
        outbox->n_packets++;
}

int outbox_reserve(Outbox *outbox, Usage *usage, size_t size, const int *fds, size_t n_fds,
                   uint64_t now_usec, uint8_t **ret_data) {
        OutboxRun *run;
        int r;

        r = find_run(outbox, usage, size, now_usec, &run);
        if (r < 0)
                return err_trace(r);
        if (usage_charge(usage, size, 1, n_fds) != 0)
                return OUTBOX_E_QUOTA;
        r = stream_queue(outbox->stream, size, fds, n_fds, ret_data);
        if (r < 0) {
                usage_release(usage, size, 1, n_fds);
                return err_trace(r);
        }
        note(outbox, run, usage, size, n_fds, now_usec);
        return 0;
}

int outbox_share(Outbox *outbox, Usage *usage, StreamShared *shared, const uint8_t *frame,
                 size_t size, uint64_t now_usec) {
        OutboxRun *run;
        int r;

        r = find_run(outbox, usage, size, now_usec, &run);
        if (r < 0)
                return err_trace(r);
        if (usage_charge(usage, size, 1, 0) != 0)
                return OUTBOX_E_QUOTA;
        r = stream_queue_shared(outbox->stream, shared, frame, size);
        if (r < 0) {
                usage_release(usage, size, 1, 0);
                return err_trace(r);
        }
        note(outbox, run, usage, size, 0, now_usec);
        return 0;
}

void outbox_written(Outbox *outbox, size_t n) {
        while (n > 0) {
                OutboxRun *run = run_at(outbox, 0);
                size_t here = n < run->bytes ? n : run->bytes;

                run->bytes -= (uint32_t)here;
                n -= here;
                if (run->bytes > 0)
                        break;
                outbox->n_packets -= run->packets;
                run_release(run);
                outbox->first = (outbox->first + 1) % outbox->n_room;
                outbox->n_runs--;
        }
        if (outbox->n_runs == 0 && outbox->runs != outbox->inline_runs) {
                free(outbox->runs);
                outbox_init(outbox, outbox->stream);
        }
}

static bool is_late(const StreamWalk *frame, uint64_t held_usec) {
        PacketHeader header;

        return frame->n_written == 0 &&
               packet_header_decode(frame->data, frame->size, &header) == 0 &&
               header.kind == PACKET_SEALED &&
               packet_span_usec(&header.id, header.deadline_usec) < held_usec;
}

size_t outbox_in_time(Outbox *outbox, uint64_t now_usec, const uint8_t **ret_late) {
        StreamWalk walk = { 0 };
        size_t n = 0, end = 0;

        for (uint32_t i = 0; i < outbox->n_runs && n < OUTBOX_LOOK_MAX; i++) {
                const OutboxRun *run = run_at(outbox, i);

                if (now_usec - run->since_usec <= OUTBOX_SLACK_USEC)
                        return SIZE_MAX; /* and those behind it are younger */
                for (end += run->bytes; n < end && stream_walk(outbox->stream, &walk);
                     n += walk.size - walk.n_written)
                        if (is_late(&walk, now_usec - run->since_usec - OUTBOX_SLACK_USEC)) {
                                *ret_late = walk.data;
                                return n;
                        }
        }
        return n > 0 ? n : SIZE_MAX;
}

void outbox_drop_first(Outbox *outbox) {
        OutboxRun *run = run_at(outbox, 0);
        StreamWalk walk = { 0 };
        FramePrefix prefix;

        if (!stream_walk(outbox->stream, &walk) ||
            frame_prefix_decode(walk.data, walk.size, &prefix) != 0)
                return;
        stream_written(outbox->stream, walk.size);
        /* Else the run's end releases it. */
        if (run->packets > 1) {
                run->packets--;
                run->charged -= (uint32_t)walk.size;
                run->fds -= prefix.n_fds;
                outbox->n_packets--;
                usage_release(run->usage, walk.size, 1, prefix.n_fds);
        }
        outbox_written(outbox, walk.size);
}

void outbox_discard(Outbox *outbox) {
        struct iovec iov[STREAM_IOVECS];
        size_t n_iov, n_fds;
        const int *fds;

        while (stream_peek(outbox->stream, iov, &n_iov, &fds, &n_fds) == 0) {
                size_t n = 0;

                for (size_t i = 0; i < n_iov; i++)
                        n += iov[i].iov_len;
                stream_written(outbox->stream, n);
                outbox_written(outbox, n);
        }
}
