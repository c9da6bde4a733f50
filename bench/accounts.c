/* SPDX-License-Identifier: Apache-2.0 */

/* What a measurement cost, and how it ends when something fails. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/measure.h"

void die(const char *what, int r) {
        fprintf(stderr, "measure: %s: %s\n", what, strerror(-r));
        exit(1);
}

void must(const char *what, int r) {
        if (r < 0)
                die(what, r);
}

void *must_alloc(size_t n) {
        void *p = calloc(1, n);

        if (!p)
                die("memory", -ENOMEM);
        return p;
}

void pipe_put(int fd, const void *data, size_t n) {
        if (write(fd, data, n) != (ssize_t)n)
                die("pipe", -EPIPE);
}

void pipe_get(int fd, void *data, size_t n) {
        for (size_t at = 0; at < n;) {
                ssize_t m = read(fd, (char *)data + at, n - at);

                if (m <= 0)
                        die("pipe", -EPIPE);
                at += (size_t)m;
        }
}

double broker_cpu_usec(const Plan *plan) {
        double ticks = 0;

        for (unsigned i = 0; i < plan->n_brokers; i++) {
                char path[64], line[1024];
                unsigned long user, kernel;
                FILE *f;

                snprintf(path, sizeof(path), "/proc/%d/stat", (int)plan->brokers[i]);
                f = fopen(path, "re");
                if (!f || !fgets(line, sizeof(line), f) || !strrchr(line, ')') ||
                    sscanf(strrchr(line, ')'),
                           ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                           &kernel) != 2)
                        die("broker's /proc/PID/stat", -ESRCH);
                fclose(f);
                ticks += (double)(user + kernel);
        }
        return ticks * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

double usage_usec(int who) {
        struct rusage u;

        (void)getrusage(who, &u);
        return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
               (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

uint64_t broker_memory_kib(const Plan *plan) {
        uint64_t sum = 0;

        for (unsigned i = 0; i < plan->n_brokers; i++) {
                char path[64], line[256];
                unsigned long kib;
                FILE *f;

                snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)plan->brokers[i]);
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

void print_head(const Plan *plan, const char *bench) {
        printf("{\"bench\":\"%s\",\"system\":\"%s\",\"size\":%zu,\"one_cpu\":%s,\"far\":%s", bench,
               plan->system->name, plan->size, plan->one_cpu ? "true" : "false",
               plan->far ? "true" : "false");
}
