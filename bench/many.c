/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Many endpoints, spread over a few processes: what they cost, and what they do all at once
 *
 * With several buses each process, and so its share of the endpoints, is on one of them, and sends to
 * those on others only. A message says who sent it in which round; a table that all processes share
 * has a place for each, where its receiver writes itself: so what comes twice, or behind a later one
 * of the same pair, is seen. Two more kinds of lines follow then: burst-step, how many had come when,
 * and burst-memory, a line for each broker.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/measure.h"
#include "libcore/util.h"

#define N_WORKERS 4
#define LOST_USEC (5 * USEC_PER_SEC)      /* without a message: the rest was lost */
#define FAR_LOST_USEC (40 * USEC_PER_SEC) /* between hosts: longer than a message lives */
#define STEP_USEC (50 * USEC_PER_MSEC)
#define STEPS_MAX 8192
#define SWEEP_USEC (100 * USEC_PER_MSEC)

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

typedef struct Steps {
        uint32_t received[STEPS_MAX]; /* after each STEP_USEC */
        unsigned n;
} Steps;

/* @steps, if there is any, grows meanwhile. */
static void barrier_wait_for_all(const Barrier *b, const unsigned *received, Steps *steps) {
        uint64_t next = now_usec(CLOCK_MONOTONIC) + STEP_USEC;

        for (unsigned i = 0; i < N_WORKERS;) {
                struct pollfd fd = { .fd = b->ready[0], .events = POLLIN };
                uint64_t now = now_usec(CLOCK_MONOTONIC);
                char c;

                if (steps && now >= next) {
                        if (steps->n < STEPS_MAX)
                                steps->received[steps->n++] =
                                        __atomic_load_n(received, __ATOMIC_RELAXED);
                        next += STEP_USEC;
                        continue;
                }
                if (poll(&fd, 1, steps ? (int)((next - now) / USEC_PER_MSEC) + 1 : -1) <= 0)
                        continue;
                pipe_get(b->ready[0], &c, 1);
                i++;
        }
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

/* What all processes see. */
typedef struct Shared {
        unsigned n_received, n_sent, in_flight_max;
        unsigned n_doubled, n_disordered;
        char (*addresses)[SYSTEM_ADDRESS_SIZE];
        uint32_t *receivers; /* one more than who received it, by sender and round */
} Shared;

typedef struct Head {
        uint32_t from, round;
} Head;

typedef struct Burst {
        const Plan *plan;
        Shared *shared;
        Endpoint **endpoints;
        unsigned from, to; /* of this process */
        unsigned n, each;
        uint64_t lost_usec;
} Burst;

static void *must_share(size_t size) {
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
                die("mmap", -errno);
        return p;
}

/* Opens this worker's share of the endpoints; their addresses go into shared memory. */
static void burst_open(Burst *b, const char *path) {
        const System *system = b->plan->system;

        for (unsigned i = b->from; i < b->to; i++)
                must("open", system->open(&b->endpoints[i], path, i, b->shared->addresses[i]));
}

typedef struct Progress {
        unsigned received;
        uint64_t usec;
} Progress;

/* All have come, or some never will: the line then says how many did. */
static bool burst_is_over(const Burst *b, Progress *progress) {
        unsigned received = __atomic_load_n(&b->shared->n_received, __ATOMIC_RELAXED);
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (progress->usec == 0 || received != progress->received)
                *progress = (Progress){ received, now };
        return received >= b->n * b->each || now - progress->usec > b->lost_usec;
}

static void burst_note(Burst *b, unsigned receiver, const Head *head) {
        uint32_t *row = b->shared->receivers + (size_t)head->from * b->each;

        if (head->from >= b->n || head->round >= b->each)
                die("a message that nobody sent", -EBADMSG);
        if (row[head->round] != 0) {
                (void)__atomic_add_fetch(&b->shared->n_doubled, 1, __ATOMIC_RELAXED);
                return;
        }
        for (unsigned later = head->round + 1; later < b->each; later++)
                if (row[later] == receiver + 1) {
                        (void)__atomic_add_fetch(&b->shared->n_disordered, 1, __ATOMIC_RELAXED);
                        break;
                }
        row[head->round] = receiver + 1;
        (void)__atomic_add_fetch(&b->shared->n_received, 1, __ATOMIC_RELAXED);
}

static void burst_take(Burst *b, unsigned receiver, uint8_t *data) {
        Head head;
        size_t size;
        int r;

        while ((r = b->plan->system->poll(b->endpoints[receiver], data, b->plan->size + 16,
                                          &size)) == 0) {
                if (size != b->plan->size)
                        die("a message of another size", -EBADMSG);
                memcpy(&head, data, sizeof(head));
                burst_note(b, receiver, &head);
        }
        if (r != -EAGAIN)
                die("receive", r);
}

static unsigned burst_choose(const Burst *b, unsigned from, unsigned *seed) {
        unsigned to;

        do
                to = (unsigned)rand_r(seed) % b->n;
        while (b->plan->n_far > 0 ? to >= b->from && to < b->to : to == from);
        return to;
}

static void burst_send(Burst *b, uint8_t *data) {
        const System *system = b->plan->system;
        unsigned seed = b->from + 1, in_flight;

        for (unsigned round = 0; round < b->each; round++)
                for (unsigned i = b->from; i < b->to; i++) {
                        Head head = { .from = i, .round = round };
                        unsigned to = burst_choose(b, i, &seed);

                        memcpy(data, &head, sizeof(head));
                        must("send", system->send(b->endpoints[i], b->shared->addresses[to], data,
                                                  b->plan->size));
                        must("flush", system->flush(b->endpoints[i]));
                        (void)__atomic_add_fetch(&b->shared->n_sent, 1, __ATOMIC_RELAXED);
                }
        in_flight = __atomic_load_n(&b->shared->n_sent, __ATOMIC_RELAXED) -
                    __atomic_load_n(&b->shared->n_received, __ATOMIC_RELAXED);
        /* Of four that say it at about the same time: any order will do. */
        if (in_flight > __atomic_load_n(&b->shared->in_flight_max, __ATOMIC_RELAXED))
                __atomic_store_n(&b->shared->in_flight_max, in_flight, __ATOMIC_RELAXED);
}

static void burst_exchange(Burst *b) {
        const Plan *plan = b->plan;
        struct epoll_event events[256];
        uint8_t *data = must_alloc(plan->size + 16);
        int epoll = epoll_create1(EPOLL_CLOEXEC);
        uint64_t sweep = 0;
        Progress progress = { 0 };

        if (epoll < 0)
                die("epoll", -errno);
        for (unsigned i = b->from; i < b->to; i++) {
                struct epoll_event e = { .events = EPOLLIN, .data.u32 = i };

                if (epoll_ctl(epoll, EPOLL_CTL_ADD, plan->system->get_fd(b->endpoints[i]), &e) < 0)
                        die("epoll_ctl", -errno);
        }
        burst_send(b, data);
        while (!burst_is_over(b, &progress)) {
                int n = epoll_wait(epoll, events, ELEMENTSOF(events), 20);
                uint64_t now = now_usec(CLOCK_MONOTONIC);

                for (int i = 0; i < n; i++)
                        burst_take(b, events[i].data.u32, data);
                /* Some may want to say something again; no descriptor tells of that. */
                if (plan->system->wait && now - sweep > SWEEP_USEC) {
                        for (unsigned i = b->from; i < b->to; i++)
                                burst_take(b, i, data);
                        sweep = now;
                }
        }
        free(data);
        (void)close(epoll);
}

/* In a process of its own, with its share of the endpoints; does not come back. */
static void burst_work(Burst *b, unsigned worker, bool exchange, const Barrier *attached,
                       const Barrier *exchanged) {
        const Plan *plan = b->plan;
        unsigned bus = worker % (plan->n_far + 1);

        b->from = b->n / N_WORKERS * worker;
        b->to = worker + 1 == N_WORKERS ? b->n : b->n / N_WORKERS * (worker + 1);
        b->endpoints = must_alloc(b->n * sizeof(Endpoint *));
        burst_open(b, bus == 0 ? plan->path : plan->far[bus - 1]);
        barrier_reach(attached);
        if (exchange)
                burst_exchange(b);
        barrier_reach(exchanged);
        /* The end of the process is the end of its endpoints. */
        _exit(0);
}

/* KiB of each broker, at one of three times. */
typedef struct Memory {
        uint64_t before[BROKERS_MAX], attached[BROKERS_MAX], after[BROKERS_MAX];
} Memory;

/* Return: the sum. */
static uint64_t memory_look(const Plan *plan, uint64_t kib[static BROKERS_MAX]) {
        uint64_t sum = 0;

        for (unsigned i = 0; i < plan->n_brokers; i++)
                sum += kib[i] = process_memory_kib(plan->brokers[i]);
        return sum;
}

static void print_steps(const Plan *plan, const Steps *steps) {
        for (unsigned i = 0; i < steps->n; i++) {
                print_head(plan, "burst-step");
                printf(",\"at_s\":%.2f,\"received\":%u}\n", (double)((i + 1) * STEP_USEC) / 1e6,
                       steps->received[i]);
        }
}

static void print_memory(const Plan *plan, const Memory *m) {
        for (unsigned i = 0; i < plan->n_brokers; i++) {
                print_head(plan, "burst-memory");
                printf(",\"broker\":\"%d\",\"before_kib\":%llu,\"attached_kib\":%llu,"
                       "\"after_kib\":%llu}\n",
                       (int)plan->brokers[i], (unsigned long long)m->before[i],
                       (unsigned long long)m->attached[i], (unsigned long long)m->after[i]);
        }
}

static void many(const Plan *plan, bool burst) {
        unsigned n = plan->clients,
                 each = burst ? MAX((plan->count ? plan->count : 50000) / n, 1U) : 0;
        Steps *steps = must_alloc(sizeof(*steps));
        uint64_t before, after, t0, t1, t2, workers_kib = 0;
        pid_t workers[N_WORKERS];
        Barrier attached, exchanged;
        Memory memory;
        double broker, libraries = 0;
        Burst b = {
                .plan = plan,
                .shared = must_share(sizeof(Shared)),
                .n = n,
                .each = each,
                .lost_usec = plan->n_far > 0 ? FAR_LOST_USEC : LOST_USEC,
        };

        if (burst && plan->size < sizeof(Head))
                die("burst, of messages so small", -EINVAL);
        b.shared->addresses = must_share((size_t)n * SYSTEM_ADDRESS_SIZE);
        b.shared->receivers = must_share((size_t)n * MAX(each, 1U) * sizeof(uint32_t));
        attached = barrier_make();
        exchanged = barrier_make();

        before = memory_look(plan, memory.before);
        t0 = now_usec(CLOCK_MONOTONIC);
        for (unsigned w = 0; w < N_WORKERS; w++)
                if ((workers[w] = worker_start()) == 0)
                        burst_work(&b, w, burst, &attached, &exchanged);
        barrier_wait_for_all(&attached, NULL, NULL);
        t1 = now_usec(CLOCK_MONOTONIC);
        after = memory_look(plan, memory.attached);
        broker = broker_cpu_usec(plan);
        for (unsigned w = 0; w < N_WORKERS; w++)
                libraries -= process_cpu_usec(workers[w]);
        print_head(plan, burst ? "burst" : "idle");
        printf(",\"clients\":%u,\"attach_s\":%.3f,\"attaches_per_s\":%.0f,\"kib_per_client\":%.2f",
               n, (double)(t1 - t0) / 1e6, n / ((double)(t1 - t0) / 1e6),
               ((double)after - (double)before) / n);
        t1 = now_usec(CLOCK_MONOTONIC);
        barrier_release(&attached);
        barrier_wait_for_all(&exchanged, &b.shared->n_received, plan->n_far > 0 ? steps : NULL);
        if (burst) {
                unsigned lost = n * each - b.shared->n_received;

                t2 = now_usec(CLOCK_MONOTONIC) - (lost > 0 ? b.lost_usec : 0);
                (void)memory_look(plan, memory.after);
                for (unsigned w = 0; w < N_WORKERS; w++) {
                        workers_kib += process_memory_kib(workers[w]);
                        libraries += process_cpu_usec(workers[w]);
                }
                printf(",\"messages\":%u,\"lost\":%u,\"doubled\":%u,\"disordered\":%u,"
                       "\"in_flight\":%u,\"burst_s\":%.3f,\"broker_cpu_us\":%.2f,"
                       "\"library_cpu_us\":%.2f,\"library_kib\":%.2f",
                       n * each, lost, b.shared->n_doubled, b.shared->n_disordered,
                       b.shared->in_flight_max, (double)(t2 - t1) / 1e6,
                       (broker_cpu_usec(plan) - broker) / (n * each), libraries / (n * each),
                       (double)workers_kib / n);
        }
        printf("}\n");
        if (burst && plan->n_far > 0) {
                print_steps(plan, steps);
                print_memory(plan, &memory);
        }
        barrier_release(&exchanged);
        free(steps);
        while (wait(NULL) > 0)
                ;
}

void measure_idle(const Plan *plan) {
        many(plan, false);
}

void measure_burst(const Plan *plan) {
        many(plan, true);
}
