/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a slow provider of a name costs those who call it
 *
 * Three providers that work for a millisecond on each request, one after the other, and with --slow a
 * fourth that takes ten. So many calls are under way all the time, and each takes from its request to
 * its reply. Printed is a line of JSON, as of bench/measure.
 */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libclient/p2pbus.h"

#define NAME "bench.balance"
#define WORK_USEC 1000
#define SLOW_USEC 10000
#define FAST_PROVIDERS 3
#define WARM_UP 500 /* calls that are not counted: nobody is known yet */
#define FOREVER ((uint64_t)60 * 1000000)

typedef struct Call {
        uint64_t began_usec;
        bool is_under_way;
} Call;

static uint64_t *took;
static unsigned n_begun, n_ended, n_calls;

static void must(const char *what, int r) {
        if (r >= 0)
                return;
        fprintf(stderr, "balance: %s: %d, %s\n", what, r, p2pbus_get_explanation());
        exit(1);
}

static uint64_t now(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static p2pbus *open_bus(const char *socket) {
        p2pbus_options options;
        p2pbus *bus;

        memset(&options, 0, sizeof(options));
        options.struct_size = sizeof(options);
        options.socket_path = socket;
        must("open", p2pbus_open(&bus, &options));
        return bus;
}

/* Never returns: it is killed with the parent. */
static void provide(const char *socket, unsigned usec, int ready) {
        const struct timespec work = { .tv_nsec = (long)usec * 1000 };
        p2pbus_message *request, *reply;
        p2pbus *bus;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)prctl(PR_SET_TIMERSLACK, 1UL);
        bus = open_bus(socket);
        must("name", p2pbus_own_name(bus, NAME, FOREVER));
        if (write(ready, "", 1) != 1)
                exit(1);
        for (;;) {
                if (p2pbus_receive(bus, FOREVER, &request) < 0)
                        continue;
                (void)nanosleep(&work, NULL);
                must("message", p2pbus_message_new(&reply, NULL, 0));
                must("reply", p2pbus_reply(bus, request, reply));
                p2pbus_message_unref(reply);
                p2pbus_message_unref(request);
        }
}

static pid_t start_provider(const char *socket, unsigned usec) {
        int ready[2];
        pid_t pid;
        char c;

        if (pipe(ready) < 0 || (pid = fork()) < 0)
                exit(1);
        if (pid == 0)
                provide(socket, usec, ready[1]);
        (void)close(ready[1]);
        if (read(ready[0], &c, 1) != 1)
                exit(1);
        (void)close(ready[0]);
        return pid;
}

static void on_reply(p2pbus *bus, int error, int reason, p2pbus_message *reply, void *userdata) {
        Call *call = userdata;

        (void)bus;
        (void)reason;
        (void)reply;
        must("call", error);
        call->is_under_way = false;
        took[n_ended++] = now() - call->began_usec;
}

static void begin(p2pbus *bus, Call *call) {
        p2pbus_message *m;

        must("message", p2pbus_message_new(&m, "work", 4));
        call->began_usec = now();
        call->is_under_way = true;
        must("request", p2pbus_request_start(bus, NAME, m, FOREVER, on_reply, call, NULL));
        p2pbus_message_unref(m);
        n_begun++;
}

static int by_number(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

static void measure(const char *socket, unsigned n_under_way, bool slow) {
        Call *calls = calloc(n_under_way, sizeof(*calls));
        p2pbus *bus = open_bus(socket);
        unsigned n = n_calls - WARM_UP;
        uint64_t began;

        took = calloc(n_calls, sizeof(*took));
        if (!calls || !took)
                exit(1);
        began = now();
        while (n_ended < n_calls) {
                for (unsigned i = 0; i < n_under_way && n_begun < n_calls; i++)
                        if (!calls[i].is_under_way)
                                begin(bus, &calls[i]);
                must("wait", p2pbus_wait(bus, FOREVER));
        }
        began = now() - began;
        qsort(took + WARM_UP, n, sizeof(*took), by_number);
        printf("{\"bench\":\"balance\",\"system\":\"%s\",\"clients\":%u,\"p50_us\":%" PRIu64
               ",\"p99_us\":%" PRIu64 ",\"p999_us\":%" PRIu64 ",\"msgs_per_s\":%" PRIu64 "}\n",
               slow ? "with-slow" : "without", n_under_way, took[WARM_UP + n / 2],
               took[WARM_UP + (uint64_t)n * 99 / 100], took[WARM_UP + (uint64_t)n * 999 / 1000],
               (uint64_t)n_calls * 1000000 / began);
        p2pbus_unref(bus);
        free(calls);
        free(took);
}

int main(int argc, char **argv) {
        pid_t providers[FAST_PROVIDERS + 1];
        unsigned n_providers = 0, n_under_way;
        bool slow = argc == 5 && strcmp(argv[4], "--slow") == 0;

        if ((argc != 4 && !slow) || (n_calls = (unsigned)strtoul(argv[2], NULL, 10)) <= WARM_UP ||
            (n_under_way = (unsigned)strtoul(argv[3], NULL, 10)) == 0) {
                fprintf(stderr,
                        "Usage: balance SOCKET CALLS UNDER-WAY [--slow]; more than %d "
                        "calls\n",
                        WARM_UP);
                return 2;
        }
        for (; n_providers < FAST_PROVIDERS; n_providers++)
                providers[n_providers] = start_provider(argv[1], WORK_USEC);
        if (slow)
                providers[n_providers++] = start_provider(argv[1], SLOW_USEC);
        measure(argv[1], n_under_way, slow);
        while (n_providers > 0) {
                (void)kill(providers[--n_providers], SIGKILL);
                (void)waitpid(providers[n_providers], NULL, 0);
        }
        return 0;
}
