/* SPDX-License-Identifier: Apache-2.0 */

/* Where a measurement runs, what it cost, and how it ends when something fails. */

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "bench/measure.h"

void die(const char *what, int r) {
        fprintf(stderr, "measure: %s: %s\n", what, strerror(-r));
        exit(1);
}

void place(int cpu, bool stay) {
        cpu_set_t all, one;

        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (sched_getaffinity(0, sizeof(all), &all) < 0 ||
            sched_setaffinity(0, sizeof(one), &one) < 0 ||
            (!stay && sched_setaffinity(0, sizeof(all), &all) < 0))
                die("affinity", -errno);
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

/* Workers wait for each other in pipes and in the systems themselves; none would notice. */
static void on_worker_end(int number, siginfo_t *info, void *context) {
        static const char killed[] = "measure: a worker was killed\n";

        (void)number;
        (void)context;
        if (info->si_code == CLD_EXITED && info->si_status == 0)
                return;
        if (info->si_code != CLD_EXITED)
                (void)!write(STDERR_FILENO, killed, sizeof(killed) - 1);
        _exit(1);
}

pid_t worker_start(void) {
        struct sigaction action = {
                .sa_sigaction = on_worker_end,
                .sa_flags = SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP,
        };
        pid_t parent = getpid(), pid;

        if (sigaction(SIGCHLD, &action, NULL) < 0)
                die("sigaction", -errno);
        pid = fork();
        if (pid < 0)
                die("fork", -errno);
        if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
                _exit(1);
        return pid;
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

double process_cpu_usec(pid_t pid) {
        struct timespec t;
        clockid_t clock;
        int r;

        r = clock_getcpuclockid(pid, &clock);
        if (r != 0 || clock_gettime(clock, &t) < 0)
                die("CPU time", r != 0 ? -r : -errno);
        return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

uint64_t process_memory_kib(pid_t pid) {
        char path[64], line[256];
        unsigned long kib, sum = 0;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
        f = fopen(path, "re");
        if (!f)
                die("/proc/PID/smaps_rollup", -errno);
        while (fgets(line, sizeof(line), f))
                if (sscanf(line, "Pss: %lu", &kib) == 1)
                        sum += kib;
        fclose(f);
        return sum;
}

uint64_t broker_memory_kib(const Plan *plan) {
        uint64_t sum = 0;

        for (unsigned i = 0; i < plan->n_brokers; i++)
                sum += process_memory_kib(plan->brokers[i]);
        return sum;
}

void print_head(const Plan *plan, const char *bench) {
        printf("{\"bench\":\"%s\",\"system\":\"%s\",\"size\":%zu,\"one_cpu\":%s,\"two_cpus\":%s,"
               "\"far\":%s",
               bench, plan->system->name, plan->size, plan->one_cpu ? "true" : "false",
               plan->two_cpus ? "true" : "false", plan->n_far > 0 ? "true" : "false");
        if (plan->idle > 0)
                printf(",\"idle\":%u", plan->idle);
        if (plan->group)
                printf(",\"group\":\"%s\"", plan->group);
}
