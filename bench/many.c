/* SPDX-License-Identifier: Apache-2.0 */

/* Many endpoints, spread over a few processes: what they cost, and what they do all at once. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/measure.h"
#include "libcore/util.h"

#define N_WORKERS 4
#define LOST_USEC (5 * USEC_PER_SEC) /* without a message: the rest was lost */

/*
 * A point that all workers reach before any of them goes on. Each is used once: a fast worker
 * must not take the word that lets a slow one go.
 */
typedef struct Barrier {
        int ready[2], go[2];
} Barrier;

static Barrier barrier_make(void) {
        Barrier b;

        if (pipe2(b.ready, O_CLOEXEC) < 0 || pipe2(b.go, O_CLOEXEC) < 0)
                die("pipe", -errno);
        return b;
}

static void barrier_wait_for_all(const Barrier *b) {
        char c;

        for (unsigned i = 0; i < N_WORKERS; i++)
                pipe_get(b->ready[0], &c, 1);
}

static void barrier_release(const Barrier *b) {
        for (unsigned i = 0; i < N_WORKERS; i++)
                pipe_put(b->go[1], "", 1);
}

static void barrier_reach(const Barrier *b) {
        char c;

        pipe_put(b->ready[1], "", 1);
        pipe_get(b->go[0], &c, 1);
}

typedef struct Burst {
        const Plan *plan;
        char (*addresses)[SYSTEM_ADDRESS_SIZE];
        Endpoint **endpoints;
        unsigned from, to;
} Burst;

/* Opens this worker's share of the endpoints; their addresses go into shared memory. */
static void burst_open(Burst *b) {
        const Plan *plan = b->plan;

        for (unsigned i = b->from; i < b->to; i++)
                must("open", plan->system->open(&b->endpoints[i], plan->path, i, b->addresses[i]));
}

typedef struct Progress {
        unsigned received;
        uint64_t usec;
} Progress;

/* All have come, or some never will: the line then says how many did. */
static bool burst_is_over(const unsigned *shared_received, unsigned wanted, Progress *progress) {
        unsigned received = __atomic_load_n(shared_received, __ATOMIC_RELAXED);
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (progress->usec == 0 || received != progress->received)
                *progress = (Progress){ received, now };
        return received >= wanted || now - progress->usec > LOST_USEC;
}

static void burst_take(Burst *b, Endpoint *endpoint, uint8_t *data, unsigned *shared_received) {
        size_t size;
        int r;

        while ((r = b->plan->system->poll(endpoint, data, b->plan->size + 16, &size)) == 0)
                (void)__atomic_add_fetch(shared_received, 1, __ATOMIC_RELAXED);
        if (r != -EAGAIN)
                die("receive", r);
}

static void burst_exchange(Burst *b, unsigned n_clients, unsigned each, unsigned *shared_received) {
        const Plan *plan = b->plan;
        struct epoll_event events[256];
        uint8_t *data = must_alloc(plan->size + 16);
        int epoll = epoll_create1(EPOLL_CLOEXEC);
        unsigned seed = b->from + 1;
        Progress progress = { 0 };

        if (epoll < 0)
                die("epoll", -errno);
        for (unsigned i = b->from; i < b->to; i++) {
                struct epoll_event e = { .events = EPOLLIN, .data.u32 = i };

                if (epoll_ctl(epoll, EPOLL_CTL_ADD, plan->system->get_fd(b->endpoints[i]), &e) < 0)
                        die("epoll_ctl", -errno);
        }
        for (unsigned round = 0; round < each; round++)
                for (unsigned i = b->from; i < b->to; i++) {
                        unsigned to = (unsigned)rand_r(&seed) % n_clients;

                        if (to == i)
                                to = (to + 1) % n_clients;
                        must("send", plan->system->send(b->endpoints[i], b->addresses[to], data,
                                                        plan->size));
                        must("flush", plan->system->flush(b->endpoints[i]));
                }
        while (!burst_is_over(shared_received, n_clients * each, &progress)) {
                int n = epoll_wait(epoll, events, ELEMENTSOF(events), 20);

                for (int i = 0; i < n; i++)
                        burst_take(b, b->endpoints[events[i].data.u32], data, shared_received);
        }
        free(data);
        (void)close(epoll);
}

static void many(const Plan *plan, bool burst) {
        unsigned n = plan->clients,
                 each = burst ? MAX((plan->count ? plan->count : 50000) / n, 1U) : 0;
        uint64_t before, after, t0, t1, t2;
        Barrier attached, exchanged;
        double broker;
        struct {
                unsigned received;
                char addresses[][SYSTEM_ADDRESS_SIZE];
        } * shared;

        /* Shared by inheritance across fork(). */
        {
                size_t size = sizeof(*shared) + (size_t)n * SYSTEM_ADDRESS_SIZE;
                FILE *f = tmpfile();

                if (!f || ftruncate(fileno(f), (off_t)size) < 0)
                        die("tmpfile", -errno);
                shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(f), 0);
                if (shared == MAP_FAILED)
                        die("mmap", -errno);
                fclose(f);
        }
        attached = barrier_make();
        exchanged = barrier_make();

        before = broker_memory_kib(plan);
        t0 = now_usec(CLOCK_MONOTONIC);
        for (unsigned w = 0; w < N_WORKERS; w++) {
                if (worker_start() == 0) {
                        Burst b = {
                                .plan = plan,
                                .addresses = shared->addresses,
                                .endpoints = must_alloc(n * sizeof(Endpoint *)),
                                .from = n / N_WORKERS * w,
                                .to = w + 1 == N_WORKERS ? n : n / N_WORKERS * (w + 1),
                        };

                        burst_open(&b);
                        barrier_reach(&attached);
                        if (burst)
                                burst_exchange(&b, n, each, &shared->received);
                        barrier_reach(&exchanged);
                        /* The end of the process is the end of its endpoints. */
                        _exit(0);
                }
        }
        barrier_wait_for_all(&attached);
        t1 = now_usec(CLOCK_MONOTONIC);
        after = broker_memory_kib(plan);
        broker = broker_cpu_usec(plan);
        print_head(plan, burst ? "burst" : "idle");
        printf(",\"clients\":%u,\"attach_s\":%.3f,\"attaches_per_s\":%.0f,\"kib_per_client\":%.2f",
               n, (double)(t1 - t0) / 1e6, n / ((double)(t1 - t0) / 1e6),
               ((double)after - (double)before) / n);
        t1 = now_usec(CLOCK_MONOTONIC);
        barrier_release(&attached);
        barrier_wait_for_all(&exchanged);
        if (burst) {
                unsigned lost = n * each - shared->received;

                t2 = now_usec(CLOCK_MONOTONIC) - (lost > 0 ? LOST_USEC : 0);
                printf(",\"messages\":%u,\"lost\":%u,\"burst_s\":%.3f,\"broker_cpu_us\":%.2f",
                       n * each, lost, (double)(t2 - t1) / 1e6,
                       (broker_cpu_usec(plan) - broker) / (n * each));
        }
        printf("}\n");
        barrier_release(&exchanged);
        while (wait(NULL) > 0)
                ;
}

void measure_idle(const Plan *plan) {
        many(plan, false);
}

void measure_burst(const Plan *plan) {
        many(plan, true);
}
