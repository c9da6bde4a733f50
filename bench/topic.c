/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One publisher, and subscribers in a few processes
 *
 * Systems answer a slow subscriber in different ways: they drop, queue without end, or cut it off. What is
 * compared is how fast they are while nobody is slow, so the bench keeps the publisher at most two steps
 * ahead of the slowest process; a step is as many messages as make WINDOW_BYTES at all subscribers. Each
 * process says so through a pipe, and costs the same for each system. What is lost stops the bench.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/measure.h"
#include "bench/pair.h"
#include "libcore/util.h"

#define TOPIC "bench.topic"
#define WORKERS_MAX 4
#define WINDOW_BYTES (4U << 20)
#define OVERHEAD 256 /* of a message in a queue, about */
#define STEP_MAX 256
#define LOST_MSEC 10000
#define WARM_UP 20

typedef struct Topic {
        const Plan *plan;
        unsigned step, n_messages;
        unsigned n_workers;
        pid_t workers[WORKERS_MAX];
        int steps[WORKERS_MAX][2];
} Topic;

static unsigned share_of(const Topic *t, unsigned worker) {
        return t->plan->clients / t->n_workers + (worker < t->plan->clients % t->n_workers);
}

/* In a process of its own; does not come back. */
static void subscribe_work(const Topic *t, unsigned worker) {
        const System *system = t->plan->system;
        unsigned share = share_of(t, worker);
        uint64_t n_left = (uint64_t)share * t->n_messages, n_taken = 0;
        Endpoint **endpoints = must_alloc(share * sizeof(Endpoint *));
        uint8_t *data = must_alloc(t->plan->size + 16);
        int epoll = epoll_create1(EPOLL_CLOEXEC);
        char address[SYSTEM_ADDRESS_SIZE];

        if (epoll < 0)
                die("epoll", -errno);
        for (unsigned i = 0; i < share; i++) {
                struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

                must("open", system->open(&endpoints[i], t->plan->path,
                                          1 + worker + WORKERS_MAX * i, address));
                must("subscribe", system->subscribe(endpoints[i], TOPIC));
                if (epoll_ctl(epoll, EPOLL_CTL_ADD, system->get_fd(endpoints[i]), &event) < 0)
                        die("epoll_ctl", -errno);
        }
        pipe_put(t->steps[worker][1], "", 1);
        while (n_left > 0) {
                struct epoll_event events[256];
                int n = epoll_wait(epoll, events, ELEMENTSOF(events), -1), r;

                for (int i = 0; i < n; i++) {
                        size_t size;

                        while ((r = system->poll(endpoints[events[i].data.u32], data,
                                                 t->plan->size + 16, &size)) == 0) {
                                if (size != t->plan->size)
                                        die("a message of another size", -EBADMSG);
                                n_left--;
                                if (++n_taken % ((uint64_t)share * t->step) == 0)
                                        pipe_put(t->steps[worker][1], "", 1);
                        }
                        if (r != -EAGAIN)
                                die("receive", r);
                }
        }
        _exit(0);
}

static void topic_start(Topic *t) {
        for (unsigned w = 0; w < t->n_workers; w++)
                if (pipe2(t->steps[w], O_CLOEXEC) < 0)
                        die("pipe", -errno);
        for (unsigned w = 0; w < t->n_workers; w++)
                if ((t->workers[w] = worker_start()) == 0)
                        subscribe_work(t, w);
}

/* Until worker @w says something. What has a wait() of its own has more to write, perhaps, than its socket
 * took at once. */
static void topic_wait_for(const Topic *t, Endpoint *endpoint, unsigned w) {
        const System *system = t->plan->system;
        struct pollfd fds[] = {
                { .fd = t->steps[w][0], .events = POLLIN },
                { .fd = endpoint && system->wait ? system->get_fd(endpoint) : -1,
                  .events = POLLIN },
        };
        char c;

        while (fds[0].revents == 0) {
                int r = poll(fds, ELEMENTSOF(fds), LOST_MSEC);

                if (r < 0 && errno == EINTR)
                        continue; /* another one has ended, with all it wanted */
                if (r <= 0)
                        die("some messages did not come", r < 0 ? -errno : -ETIMEDOUT);
                if (fds[1].revents != 0)
                        must("flush", system->flush(endpoint));
        }
        pipe_get(t->steps[w][0], &c, 1);
}

/* Until each process has taken one step more, or, without @endpoint, has subscribed. */
static void topic_wait(const Topic *t, Endpoint *endpoint) {
        for (unsigned w = 0; w < t->n_workers; w++)
                topic_wait_for(t, endpoint, w);
}

static void topic_end(void) {
        while (wait(NULL) > 0)
                ;
}

static void check_plan(const Plan *plan) {
        if (!plan->system->publish || !plan->system->subscribe)
                die("topics", -ENOTSUP);
}

/* As many as go through. */
void measure_publish(const Plan *plan) {
        size_t one = (size_t)plan->clients * (plan->size + OVERHEAD);
        Topic t = {
                .plan = plan,
                .step = (unsigned)MAX(MIN(WINDOW_BYTES / one, (size_t)STEP_MAX), (size_t)1),
                .n_workers = MIN(plan->clients, (unsigned)WORKERS_MAX),
        };
        unsigned n_steps = MAX((plan->count ? plan->count : 100000) / t.step, 1U);
        const System *system = plan->system;
        char address[SYSTEM_ADDRESS_SIZE];
        uint8_t *data = must_alloc(plan->size);
        double usec, n_deliveries, broker, publisher;
        Endpoint *endpoint;
        uint64_t begin;

        check_plan(plan);
        t.n_messages = n_steps * t.step;
        n_deliveries = (double)t.n_messages * plan->clients;
        topic_start(&t);
        must("open", system->open(&endpoint, plan->path, 0, address));
        topic_wait(&t, NULL);

        broker = broker_cpu_usec(plan);
        publisher = process_cpu_usec(getpid());
        begin = now_usec(CLOCK_MONOTONIC);
        for (unsigned i = 0; i < n_steps; i++) {
                if (i >= 2)
                        topic_wait(&t, endpoint);
                for (unsigned k = 0; k < t.step; k++)
                        must("publish", system->publish(endpoint, TOPIC, data, plan->size));
                must("flush", system->flush(endpoint));
        }
        for (unsigned i = 0; i < MIN(n_steps, 2U); i++)
                topic_wait(&t, endpoint);
        usec = (double)(now_usec(CLOCK_MONOTONIC) - begin);
        publisher = process_cpu_usec(getpid()) - publisher;
        broker = broker_cpu_usec(plan) - broker;
        topic_end();

        print_head(plan, "publish");
        printf(",\"subscribers\":%u,\"n\":%u,\"msgs_per_s\":%.0f,\"deliveries_per_s\":%.0f,"
               "\"mb_per_s\":%.1f,\"sender_cpu_us\":%.3f,\"broker_cpu_us\":%.3f}\n",
               plan->clients, t.n_messages, t.n_messages / usec * 1e6, n_deliveries / usec * 1e6,
               n_deliveries * (double)plan->size / usec, publisher / t.n_messages,
               broker / n_deliveries);
        system->close(endpoint);
        free(data);
}

/* One at a time: how long until the last subscriber has it. */
void measure_fanout(const Plan *plan) {
        Topic t = {
                .plan = plan,
                .step = 1,
                .n_workers = MIN(plan->clients, (unsigned)WORKERS_MAX),
        };
        unsigned n = plan->count ? plan->count : 500;
        const System *system = plan->system;
        char address[SYSTEM_ADDRESS_SIZE];
        uint8_t *data = must_alloc(plan->size);
        uint32_t *usec = must_alloc(n * sizeof(*usec));
        Endpoint *endpoint;
        double broker = 0;

        check_plan(plan);
        t.n_messages = WARM_UP + n;
        topic_start(&t);
        must("open", system->open(&endpoint, plan->path, 0, address));
        topic_wait(&t, NULL);
        for (unsigned i = 0; i < t.n_messages; i++) {
                uint64_t begin;

                if (i == WARM_UP)
                        broker = broker_cpu_usec(plan);
                begin = now_usec(CLOCK_MONOTONIC);
                must("publish", system->publish(endpoint, TOPIC, data, plan->size));
                must("flush", system->flush(endpoint));
                topic_wait(&t, endpoint);
                if (i >= WARM_UP)
                        usec[i - WARM_UP] = (uint32_t)(now_usec(CLOCK_MONOTONIC) - begin);
        }
        broker = broker_cpu_usec(plan) - broker;
        topic_end();
        qsort(usec, n, sizeof(*usec), pair_compare);

        print_head(plan, "fanout");
        printf(",\"subscribers\":%u,\"n\":%u,\"p50_us\":%u,\"p99_us\":%u,\"broker_cpu_us\":%.3f}\n",
               plan->clients, n, usec[n / 2], usec[(uint64_t)n * 99 / 100],
               broker / ((double)n * plan->clients));
        system->close(endpoint);
        free(usec);
        free(data);
}
