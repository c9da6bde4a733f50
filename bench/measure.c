/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One measurement of one system, one JSON line on stdout
 *
 *      measure roundtrip SYSTEM PATH [options]   one request outstanding, both sides block
 *      measure oneway    SYSTEM PATH [options]   the clock stops when the last one has come
 *      measure idle      SYSTEM PATH [options]   attach many, then do nothing: rate and memory
 *      measure burst     SYSTEM PATH [options]   many processes send to random others at once
 *
 *      --size N          bytes of a message (64)
 *      --count N         messages (oneway, burst), endpoints (idle, burst: --clients)
 *      --clients N       endpoints (idle, burst)
 *      --seconds S       how long to measure (roundtrip: 0.4)
 *      --one-cpu         everything on CPU 0; the broker must have been started there
 *      --broker PID      its CPU time and memory are counted; may be repeated
 *      --far PATH        the other side attaches to this bus instead
 *
 * Two processes speak to each other; in idle and burst the endpoints are spread over four.
 */

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/system.h"
#include "libcore/util.h"

#define N_WORKERS 4
#define BROKERS_MAX 8
#define WARM_UP_USEC 100000
#define LAST 1 /* first byte of the last message of a stream */

static const System *arg_system;
static const char *arg_path, *arg_far;
static size_t arg_size = 64;
static unsigned arg_count, arg_clients = 1000;
static double arg_seconds = 0.4;
static bool arg_one_cpu;
static pid_t arg_brokers[BROKERS_MAX];
static unsigned n_brokers;

static void die(const char *what, int r) {
        fprintf(stderr, "measure: %s: %s: %s\n", arg_system->name, what, strerror(-r));
        exit(1);
}

static void must(const char *what, int r) {
        if (r < 0)
                die(what, r);
}

static void *must_alloc(size_t n) {
        void *p = calloc(1, n);

        if (!p)
                die("memory", -ENOMEM);
        return p;
}

/* Everything that crosses a pipe here is far below PIPE_BUF, so it is whole or an error. */
static void put(int fd, const void *data, size_t n) {
        if (write(fd, data, n) != (ssize_t)n)
                die("pipe", -EPIPE);
}

static void get(int fd, void *data, size_t n) {
        for (size_t at = 0; at < n;) {
                ssize_t m = read(fd, (char *)data + at, n - at);

                if (m <= 0)
                        die("pipe", -EPIPE);
                at += (size_t)m;
        }
}

static double broker_cpu_usec(void) {
        double ticks = 0;

        for (unsigned i = 0; i < n_brokers; i++) {
                char path[64], line[1024];
                unsigned long user, kernel;
                FILE *f;

                snprintf(path, sizeof(path), "/proc/%d/stat", (int)arg_brokers[i]);
                f = fopen(path, "re");
                if (!f || !fgets(line, sizeof(line), f) || !strrchr(line, ')') ||
                    sscanf(strrchr(line, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                           &user, &kernel) != 2)
                        die("broker's /proc/PID/stat", -ESRCH);
                fclose(f);
                ticks += (double)(user + kernel);
        }
        return ticks * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static double usage_usec(int who) {
        struct rusage u;

        (void)getrusage(who, &u);
        return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
               (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* Private and shared memory of the brokers, in KiB. */
static uint64_t broker_memory(void) {
        uint64_t sum = 0;

        for (unsigned i = 0; i < n_brokers; i++) {
                char path[64], line[256];
                unsigned long kib;
                FILE *f;

                snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)arg_brokers[i]);
                f = fopen(path, "re");
                if (!f)
                        die("broker's /proc/PID/smaps_rollup", -errno);
                while (fgets(line, sizeof(line), f))
                        if (sscanf(line, "Pss: %lu", &kib) == 1)
                                sum += kib;
                fclose(f);
        }
        return sum;
}

static int compare(const void *a, const void *b) {
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

        return x < y ? -1 : x > y;
}

static void print_head(const char *bench) {
        printf("{\"bench\":\"%s\",\"system\":\"%s\",\"size\":%zu,\"one_cpu\":%s,\"far\":%s", bench,
               arg_system->name, arg_size, arg_one_cpu ? "true" : "false", arg_far ? "true" : "false");
}

typedef struct Pair {
        Endpoint *endpoint;
        char self[SYSTEM_ADDRESS_SIZE];
        char other[SYSTEM_ADDRESS_SIZE];
        pid_t child;
        bool is_child;
} Pair;

/* Forks; parent and child each open an endpoint and learn the other's address. */
static Pair pair_start(void) {
        int up[2], down[2];
        Pair p = { 0 };

        if (pipe2(up, O_CLOEXEC) < 0 || pipe2(down, O_CLOEXEC) < 0)
                die("pipe", -errno);
        p.child = fork();
        if (p.child < 0)
                die("fork", -errno);
        p.is_child = p.child == 0;
        must("open", arg_system->open(&p.endpoint, p.is_child && arg_far ? arg_far : arg_path, p.self));
        put(p.is_child ? up[1] : down[1], p.self, sizeof(p.self));
        get(p.is_child ? down[0] : up[0], p.other, sizeof(p.other));
        return p;
}

static void pair_end(Pair *p) {
        int status;

        if (p->is_child) {
                arg_system->close(p->endpoint);
                exit(0);
        }
        if (waitpid(p->child, &status, 0) < 0 || status != 0)
                die("the other side failed", -ECHILD);
        arg_system->close(p->endpoint);
}

static void send_one(Pair *p, uint8_t *data, size_t n) {
        must("send", arg_system->send(p->endpoint, p->other, data, n));
}

static size_t receive_one(Pair *p, uint8_t *data) {
        size_t n;

        must("receive", arg_system->receive(p->endpoint, data, arg_size + 16, &n));
        return n;
}

static void roundtrip(void) {
        uint8_t *data = must_alloc(arg_size + 16);
        size_t n_max = 10 * 1000 * 1000, n = 0;
        uint32_t *nsec = must_alloc(n_max * sizeof(*nsec));
        uint64_t begin, end;
        double cpu, broker;
        Pair p = pair_start();

        if (p.is_child) {
                for (;;) {
                        size_t size = receive_one(&p, data);

                        if (data[0] == LAST)
                                break;
                        send_one(&p, data, size);
                        must("flush", arg_system->flush(p.endpoint));
                }
                pair_end(&p);
        }

        begin = now_usec(CLOCK_MONOTONIC) + WARM_UP_USEC;
        while (now_usec(CLOCK_MONOTONIC) < begin) {
                send_one(&p, data, arg_size);
                (void)receive_one(&p, data);
        }
        broker = broker_cpu_usec();
        cpu = usage_usec(RUSAGE_SELF);
        begin = now_usec(CLOCK_MONOTONIC);
        end = begin + (uint64_t)(arg_seconds * 1e6);
        while (n < n_max) {
                struct timespec a, b;

                (void)clock_gettime(CLOCK_MONOTONIC, &a);
                send_one(&p, data, arg_size);
                if (receive_one(&p, data) != arg_size)
                        die("a reply of another size", -EBADMSG);
                (void)clock_gettime(CLOCK_MONOTONIC, &b);
                nsec[n++] = (uint32_t)((b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec);
                if ((uint64_t)b.tv_sec * USEC_PER_SEC + (uint64_t)b.tv_nsec / 1000 >= end)
                        break;
        }
        cpu = usage_usec(RUSAGE_SELF) - cpu;
        broker = broker_cpu_usec() - broker;
        data[0] = LAST;
        send_one(&p, data, 1);
        must("flush", arg_system->flush(p.endpoint));
        pair_end(&p);

        qsort(nsec, n, sizeof(*nsec), compare);
        print_head("roundtrip");
        printf(",\"n\":%zu,\"p50_us\":%.2f,\"p99_us\":%.2f,\"p999_us\":%.2f,\"client_cpu_us\":%.2f,"
               "\"broker_cpu_us\":%.2f}\n",
               n, nsec[n / 2] / 1e3, nsec[n * 99 / 100] / 1e3, nsec[n * 999 / 1000] / 1e3,
               cpu / (double)n, broker / (double)n);
        free(nsec);
        free(data);
}

static void oneway(void) {
        uint8_t *data = must_alloc(arg_size + 16);
        size_t step = MAX(MIN(4096, arg_system->flight_max / MAX(arg_size, (size_t)1)) / 2, (size_t)1);
        unsigned count = arg_count ? arg_count : 200000, in_flight = 0;
        double usec, cpu, broker;
        uint64_t begin;
        Pair p = pair_start();

        if (p.is_child) {
                unsigned n = 0;

                while (n < count) {
                        if (receive_one(&p, data) != arg_size)
                                die("a message of another size", -EBADMSG);
                        n++;
                        if (arg_system->flight_max > 0 && n % step == 0) {
                                send_one(&p, data, 1);
                                must("flush", arg_system->flush(p.endpoint));
                        }
                }
                data[0] = LAST;
                send_one(&p, data, 1);
                must("flush", arg_system->flush(p.endpoint));
                /* Stay until the sender has it: its end is ours. */
                (void)receive_one(&p, data);
                pair_end(&p);
        }

        broker = broker_cpu_usec();
        cpu = usage_usec(RUSAGE_SELF);
        begin = now_usec(CLOCK_MONOTONIC);
        for (unsigned i = 0; i < count; i++) {
                send_one(&p, data, arg_size);
                if (arg_system->flight_max > 0 && ++in_flight >= 2 * step) {
                        (void)receive_one(&p, data);
                        in_flight -= (unsigned)step;
                        data[0] = 0;
                }
        }
        must("flush", arg_system->flush(p.endpoint));
        do
                (void)receive_one(&p, data);
        while (data[0] != LAST);
        usec = (double)(now_usec(CLOCK_MONOTONIC) - begin);
        cpu = usage_usec(RUSAGE_SELF) - cpu;
        broker = broker_cpu_usec() - broker;
        send_one(&p, data, 1);
        must("flush", arg_system->flush(p.endpoint));
        pair_end(&p);

        print_head("oneway");
        printf(",\"n\":%u,\"msgs_per_s\":%.0f,\"mb_per_s\":%.1f,\"sender_cpu_us\":%.3f,"
               "\"receiver_cpu_us\":%.3f,\"broker_cpu_us\":%.3f}\n",
               count, count / usec * 1e6, (double)count * (double)arg_size / usec, cpu / count,
               usage_usec(RUSAGE_CHILDREN) / count, broker / count);
        free(data);
}

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
                get(b->ready[0], &c, 1);
}

static void barrier_release(const Barrier *b) {
        for (unsigned i = 0; i < N_WORKERS; i++)
                put(b->go[1], "", 1);
}

static void barrier_reach(const Barrier *b) {
        char c;

        put(b->ready[1], "", 1);
        get(b->go[0], &c, 1);
}

typedef struct Burst {
        char (*addresses)[SYSTEM_ADDRESS_SIZE];
        Endpoint **endpoints;
        unsigned from, to;
} Burst;

/* Opens this worker's share of the endpoints; their addresses go into shared memory. */
static void burst_open(Burst *b) {
        for (unsigned i = b->from; i < b->to; i++)
                must("open", arg_system->open(&b->endpoints[i], arg_path, b->addresses[i]));
}

static void burst_exchange(Burst *b, unsigned n_clients, unsigned each, unsigned *shared_received) {
        struct epoll_event events[256];
        uint8_t *data = must_alloc(arg_size + 16);
        int epoll = epoll_create1(EPOLL_CLOEXEC);
        unsigned seed = b->from + 1;

        if (epoll < 0)
                die("epoll", -errno);
        for (unsigned i = b->from; i < b->to; i++) {
                struct epoll_event e = { .events = EPOLLIN, .data.u32 = i };

                if (epoll_ctl(epoll, EPOLL_CTL_ADD, arg_system->get_fd(b->endpoints[i]), &e) < 0)
                        die("epoll_ctl", -errno);
        }
        for (unsigned round = 0; round < each; round++)
                for (unsigned i = b->from; i < b->to; i++) {
                        unsigned to = (unsigned)rand_r(&seed) % n_clients;

                        if (to == i)
                                to = (to + 1) % n_clients;
                        must("send", arg_system->send(b->endpoints[i], b->addresses[to], data, arg_size));
                        must("flush", arg_system->flush(b->endpoints[i]));
                }
        while (__atomic_load_n(shared_received, __ATOMIC_RELAXED) < n_clients * each) {
                int n = epoll_wait(epoll, events, ELEMENTSOF(events), 20);

                for (int i = 0; i < n; i++) {
                        size_t size;

                        while (arg_system->poll(b->endpoints[events[i].data.u32], data, arg_size + 16,
                                                &size) == 0)
                                (void)__atomic_add_fetch(shared_received, 1, __ATOMIC_RELAXED);
                }
        }
        free(data);
        (void)close(epoll);
}

static void many(bool burst) {
        unsigned n = arg_clients, each = burst ? MAX((arg_count ? arg_count : 50000) / n, 1U) : 0;
        uint64_t before, after, t0, t1, t2;
        Barrier attached, exchanged;
        double broker;
        struct {
                unsigned received;
                char addresses[][SYSTEM_ADDRESS_SIZE];
        } *shared;

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

        before = broker_memory();
        t0 = now_usec(CLOCK_MONOTONIC);
        for (unsigned w = 0; w < N_WORKERS; w++) {
                pid_t pid = fork();

                if (pid < 0)
                        die("fork", -errno);
                if (pid == 0) {
                        Burst b = {
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
        after = broker_memory();
        broker = broker_cpu_usec();
        print_head(burst ? "burst" : "idle");
        printf(",\"clients\":%u,\"attach_s\":%.3f,\"attaches_per_s\":%.0f,\"kib_per_client\":%.2f", n,
               (double)(t1 - t0) / 1e6, n / ((double)(t1 - t0) / 1e6), ((double)after - (double)before) / n);
        t1 = now_usec(CLOCK_MONOTONIC);
        barrier_release(&attached);
        barrier_wait_for_all(&exchanged);
        if (burst) {
                t2 = now_usec(CLOCK_MONOTONIC);
                printf(",\"messages\":%u,\"received\":%u,\"burst_s\":%.3f,\"broker_cpu_us\":%.2f", n * each,
                       shared->received, (double)(t2 - t1) / 1e6, (broker_cpu_usec() - broker) / (n * each));
        }
        printf("}\n");
        barrier_release(&exchanged);
        while (wait(NULL) > 0)
                ;
}

int main(int argc, char **argv) {
        enum { SIZE = 256, COUNT, CLIENTS, SECONDS, ONE_CPU, BROKER, FAR };
        static const struct option options[] = {
                { "size", required_argument, NULL, SIZE },
                { "count", required_argument, NULL, COUNT },
                { "clients", required_argument, NULL, CLIENTS },
                { "seconds", required_argument, NULL, SECONDS },
                { "one-cpu", no_argument, NULL, ONE_CPU },
                { "broker", required_argument, NULL, BROKER },
                { "far", required_argument, NULL, FAR },
                { 0 },
        };
        struct rlimit limit;
        cpu_set_t cpus;
        int c;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case SIZE:
                        arg_size = strtoul(optarg, NULL, 10);
                        break;
                case COUNT:
                        arg_count = (unsigned)strtoul(optarg, NULL, 10);
                        break;
                case CLIENTS:
                        arg_clients = (unsigned)strtoul(optarg, NULL, 10);
                        break;
                case SECONDS:
                        arg_seconds = strtod(optarg, NULL);
                        break;
                case ONE_CPU:
                        arg_one_cpu = true;
                        break;
                case BROKER:
                        if (n_brokers < BROKERS_MAX)
                                arg_brokers[n_brokers++] = (pid_t)strtol(optarg, NULL, 10);
                        break;
                case FAR:
                        arg_far = optarg;
                        break;
                default:
                        return 2;
                }
        if (argc - optind != 3 || arg_size == 0 || arg_clients == 0)
                return fprintf(stderr, "usage: measure roundtrip|oneway|idle|burst SYSTEM PATH [options]\n"), 2;
        arg_system = system_find(argv[optind + 1]);
        arg_path = argv[optind + 2];
        if (!arg_system)
                return fprintf(stderr, "measure: no system %s\n", argv[optind + 1]), 2;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &limit);
        }
        if (arg_one_cpu) {
                CPU_ZERO(&cpus);
                CPU_SET(0, &cpus);
                if (sched_setaffinity(0, sizeof(cpus), &cpus) < 0)
                        die("affinity", -errno);
        }
        if (strcmp(argv[optind], "roundtrip") == 0)
                roundtrip();
        else if (strcmp(argv[optind], "oneway") == 0)
                oneway();
        else if (strcmp(argv[optind], "idle") == 0 || strcmp(argv[optind], "burst") == 0)
                many(argv[optind][0] == 'b');
        else
                return fprintf(stderr, "measure: no bench %s\n", argv[optind]), 2;
        return 0;
}
