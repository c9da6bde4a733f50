/* SPDX-License-Identifier: Apache-2.0 */

/* Two processes: one message in flight at a time, or as many as the system lets through. */

#include "bench/pair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcore/util.h"

#define WARM_UP_USEC 100000
#define CROWD_MAX 2500 /* silent endpoints in one process: some take several descriptors */
#define LAST 1         /* first byte of the last message of a stream */

int pair_compare(const void *a, const void *b) {
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

        return x < y ? -1 : x > y;
}

/* The silent ones, in processes of their own, which end with this one. */
static void crowd_start(const Plan *plan) {
        char address[SYSTEM_ADDRESS_SIZE], c;
        Endpoint *endpoint;
        int ready[2];

        if (pipe2(ready, O_CLOEXEC) < 0)
                die("pipe", -errno);
        for (unsigned from = 0; from < plan->idle; from += CROWD_MAX)
                if (worker_start() == 0) {
                        for (unsigned i = from; i < MIN(from + CROWD_MAX, plan->idle); i++)
                                must("open",
                                     plan->system->open(&endpoint, plan->path, 2 + i, address));
                        pipe_put(ready[1], "", 1);
                        for (;;)
                                (void)pause();
                }
        for (unsigned from = 0; from < plan->idle; from += CROWD_MAX)
                pipe_get(ready[0], &c, 1);
}

Pair pair_start(const Plan *plan) {
        int up[2], down[2];
        Pair p = { .plan = plan };

        if (plan->system->prepare)
                must("prepare", plan->system->prepare());
        if (pipe2(up, O_CLOEXEC) < 0 || pipe2(down, O_CLOEXEC) < 0)
                die("pipe", -errno);
        p.child = worker_start();
        p.is_child = p.child == 0;
        if (plan->two_cpus)
                place(p.is_child ? 1 : 0, !plan->system->roams);
        must("open", plan->system->open(&p.endpoint,
                                        p.is_child && plan->n_far > 0 ? plan->far[0] : plan->path,
                                        p.is_child ? 1 : 0, p.self));
        pipe_put(p.is_child ? up[1] : down[1], p.self, sizeof(p.self));
        pipe_get(p.is_child ? down[0] : up[0], p.other, sizeof(p.other));
        if (plan->system->connect)
                must("connect", plan->system->connect(p.endpoint, p.other));
        return p;
}

void pair_end(Pair *p) {
        int status;

        if (p->is_child) {
                p->plan->system->close(p->endpoint);
                exit(0);
        }
        while (waitpid(p->child, &status, 0) < 0)
                if (errno != EINTR)
                        die("waitpid", -errno);
        if (status != 0)
                die("the other side failed", -ECHILD);
        p->plan->system->close(p->endpoint);
}

void pair_send(Pair *p, uint8_t *data, size_t n) {
        must("send", p->plan->system->send(p->endpoint, p->other, data, n));
}

void pair_flush(Pair *p) {
        must("flush", p->plan->system->flush(p->endpoint));
}

size_t pair_receive(Pair *p, uint8_t *data) {
        size_t n;

        must("receive", p->plan->system->receive(p->endpoint, data, p->plan->size + 16, &n));
        return n;
}

typedef struct Costs {
        double self, other, broker; /* CPU microseconds */
} Costs;

static Costs costs_so_far(const Pair *p) {
        return (Costs){ process_cpu_usec(0), process_cpu_usec(p->child), broker_cpu_usec(p->plan) };
}

/* Of each of @n messages since @before. */
static Costs costs_each(const Pair *p, Costs before, double n) {
        Costs now = costs_so_far(p);

        return (Costs){ (now.self - before.self) / n, (now.other - before.other) / n,
                        (now.broker - before.broker) / n };
}

static double in_usec(uint32_t nsec) {
        return nsec / 1e3;
}

void measure_roundtrip(const Plan *plan) {
        uint8_t *data = must_alloc(plan->size + 16);
        size_t n_max = 10 * 1000 * 1000, n = 0;
        uint32_t *nsec = must_alloc(n_max * sizeof(*nsec));
        uint64_t begin, end;
        Costs costs;
        Pair p;

        crowd_start(plan);
        p = pair_start(plan);

        if (p.is_child) {
                for (;;) {
                        size_t size = pair_receive(&p, data);

                        if (data[0] == LAST)
                                break;
                        pair_send(&p, data, size); /* receiving flushes it, as on our side */
                }
                pair_end(&p);
        }

        begin = now_usec(CLOCK_MONOTONIC) + WARM_UP_USEC;
        while (plan->count == 0 && now_usec(CLOCK_MONOTONIC) < begin) {
                pair_send(&p, data, plan->size);
                (void)pair_receive(&p, data);
        }
        costs = costs_so_far(&p);
        begin = now_usec(CLOCK_MONOTONIC);
        end = begin + (uint64_t)(plan->seconds * 1e6);
        while (n < (plan->count ? MIN(plan->count, n_max) : n_max)) {
                struct timespec a, b;

                (void)clock_gettime(CLOCK_MONOTONIC, &a);
                pair_send(&p, data, plan->size);
                if (pair_receive(&p, data) != plan->size)
                        die("a reply of another size", -EBADMSG);
                (void)clock_gettime(CLOCK_MONOTONIC, &b);
                nsec[n++] = (uint32_t)((b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec);
                if (plan->count == 0 &&
                    (uint64_t)b.tv_sec * USEC_PER_SEC + (uint64_t)b.tv_nsec / 1000 >= end)
                        break;
        }
        costs = costs_each(&p, costs, (double)n);
        data[0] = LAST;
        pair_send(&p, data, 1);
        pair_flush(&p);
        pair_end(&p);

        qsort(nsec, n, sizeof(*nsec), pair_compare);
        print_head(plan, "roundtrip");
        printf(",\"n\":%zu,\"p50_us\":%.2f,\"p99_us\":%.2f,\"p999_us\":%.2f,\"cpu_us\":%.2f,"
               "\"client_cpu_us\":%.2f,\"broker_cpu_us\":%.2f}\n",
               n, in_usec(nsec[n / 2]), in_usec(nsec[n * 99 / 100]), in_usec(nsec[n * 999 / 1000]),
               costs.self + costs.other + costs.broker, costs.self, costs.broker);
        free(nsec);
        free(data);
}

void measure_oneway(const Plan *plan) {
        uint8_t *data = must_alloc(plan->size + 16);
        size_t step = MAX(MIN(4096, plan->system->flight_max / MAX(plan->size, (size_t)1)) / 2,
                          (size_t)1);
        unsigned count = plan->count ? plan->count : 200000, in_flight = 0;
        double usec;
        Costs costs;
        uint64_t begin;
        Pair p = pair_start(plan);

        if (p.is_child) {
                unsigned n = 0;

                while (n < count) {
                        if (pair_receive(&p, data) != plan->size)
                                die("a message of another size", -EBADMSG);
                        n++;
                        if (plan->system->flight_max > 0 && n % step == 0) {
                                pair_send(&p, data, 1);
                                pair_flush(&p);
                        }
                }
                data[0] = LAST;
                pair_send(&p, data, 1);
                pair_flush(&p);
                /* Stay until the sender has it: its end is ours. */
                (void)pair_receive(&p, data);
                pair_end(&p);
        }

        costs = costs_so_far(&p);
        begin = now_usec(CLOCK_MONOTONIC);
        for (unsigned i = 0; i < count; i++) {
                pair_send(&p, data, plan->size);
                if (plan->system->flight_max > 0 && ++in_flight >= 2 * step) {
                        (void)pair_receive(&p, data);
                        in_flight -= (unsigned)step;
                        data[0] = 0;
                }
        }
        pair_flush(&p);
        do
                (void)pair_receive(&p, data);
        while (data[0] != LAST);
        usec = (double)(now_usec(CLOCK_MONOTONIC) - begin);
        costs = costs_each(&p, costs, count);
        pair_send(&p, data, 1);
        pair_flush(&p);
        pair_end(&p);

        print_head(plan, "oneway");
        printf(",\"n\":%u,\"msgs_per_s\":%.0f,\"mb_per_s\":%.1f,\"cpu_us\":%.3f,"
               "\"sender_cpu_us\":%.3f,\"receiver_cpu_us\":%.3f,\"broker_cpu_us\":%.3f}\n",
               count, count / usec * 1e6, (double)count * (double)plan->size / usec,
               costs.self + costs.other + costs.broker, costs.self, costs.other, costs.broker);
        free(data);
}
