/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One measurement of one system, one JSON line on stdout
 *
 *      measure roundtrip SYSTEM PATH [options]   one request outstanding, both sides block
 *      measure oneway    SYSTEM PATH [options]   the clock stops when the last one has come
 *      measure stream    SYSTEM PATH [options]   by a timetable: what came when; more lines
 *      measure idle      SYSTEM PATH [options]   attach many, then do nothing: rate and memory
 *      measure burst     SYSTEM PATH [options]   many processes send to random others at once
 *      measure publish   SYSTEM PATH [options]   one to many, as many messages as go through
 *      measure fanout    SYSTEM PATH [options]   one message at a time: until the last one has it
 *      measure allow     N                       Allow= lines for a relay that is measured
 *      measure has       SYSTEM                  whether it was built with this one
 *
 *      --size N          bytes of a message (64)
 *      --count N         messages (oneway, burst, publish, fanout); round trips, without a warm-up
 *      --clients N       endpoints (idle, burst), subscribers (publish, fanout)
 *      --seconds S       how long to measure (roundtrip without --count: 0.4), to send (stream)
 *      --rate N          messages in a second (stream); 0: as many as go through
 *      --one-cpu         everything on CPU 0; the broker must have been started there
 *      --two-cpus        a pair on CPU 0 and CPU 1, one each
 *      --broker PID      its CPU time and memory are counted; may be repeated
 *      --far PATH        the other side attaches to this bus instead; may be repeated for burst:
 *                        the endpoints are spread over these buses, and send to other buses only
 *      --idle N          among N further endpoints that are attached and silent (roundtrip)
 *      --group TEXT      what this is compared with; goes into the line as it is
 *
 * Two processes speak to each other; in idle and burst the endpoints, in publish and fanout the
 * subscribers are spread over four.
 */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/measure.h"
#include "libcore/util.h"

typedef struct Bench {
        const char *name;
        void (*run)(const Plan *plan);
} Bench;

static const Bench benches[] = {
        { "roundtrip", measure_roundtrip }, { "oneway", measure_oneway },
        { "stream", measure_stream },       { "idle", measure_idle },
        { "burst", measure_burst },         { "publish", measure_publish },
        { "fanout", measure_fanout },
};

static const Bench *bench_find(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(benches); i++)
                if (strcmp(benches[i].name, name) == 0)
                        return &benches[i];
        return NULL;
}

static int parse_argv(Plan *plan, const Bench **ret_bench, int argc, char **argv) {
        enum {
                SIZE = 256,
                COUNT,
                CLIENTS,
                SECONDS,
                RATE,
                ONE_CPU,
                TWO_CPUS,
                BROKER,
                FAR,
                IDLE,
                GROUP,
        };
        static const struct option options[] = {
                { "size", required_argument, NULL, SIZE },
                { "count", required_argument, NULL, COUNT },
                { "clients", required_argument, NULL, CLIENTS },
                { "seconds", required_argument, NULL, SECONDS },
                { "rate", required_argument, NULL, RATE },
                { "one-cpu", no_argument, NULL, ONE_CPU },
                { "two-cpus", no_argument, NULL, TWO_CPUS },
                { "broker", required_argument, NULL, BROKER },
                { "far", required_argument, NULL, FAR },
                { "idle", required_argument, NULL, IDLE },
                { "group", required_argument, NULL, GROUP },
                { 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case SIZE:
                        plan->size = strtoul(optarg, NULL, 10);
                        break;
                case COUNT:
                        plan->count = (unsigned)strtoul(optarg, NULL, 10);
                        break;
                case CLIENTS:
                        plan->clients = (unsigned)strtoul(optarg, NULL, 10);
                        break;
                case SECONDS:
                        plan->seconds = strtod(optarg, NULL);
                        break;
                case RATE:
                        plan->rate = strtod(optarg, NULL);
                        break;
                case ONE_CPU:
                        plan->one_cpu = true;
                        break;
                case TWO_CPUS:
                        plan->two_cpus = true;
                        break;
                case BROKER:
                        if (plan->n_brokers < BROKERS_MAX)
                                plan->brokers[plan->n_brokers++] = (pid_t)strtol(optarg, NULL, 10);
                        break;
                case FAR:
                        if (plan->n_far == FAR_MAX)
                                return -EINVAL;
                        plan->far[plan->n_far++] = optarg;
                        break;
                case IDLE:
                        plan->idle = (unsigned)strtoul(optarg, NULL, 10);
                        break;
                case GROUP:
                        plan->group = optarg;
                        break;
                default:
                        return -EINVAL;
                }
        if (argc - optind != 3 || plan->size == 0 || plan->clients == 0) {
                fprintf(stderr, "usage: measure BENCH SYSTEM PATH [options]\n");
                return -EINVAL;
        }
        *ret_bench = bench_find(argv[optind]);
        plan->system = system_find(argv[optind + 1]);
        plan->path = argv[optind + 2];
        if (!*ret_bench || !plan->system) {
                fprintf(stderr, "measure: no %s %s\n", *ret_bench ? "system" : "bench",
                        argv[optind + (*ret_bench ? 1 : 0)]);
                return -EINVAL;
        }
        return 0;
}

/* Ten thousand endpoints need as many descriptors. */
static void raise_limits(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &limit); /* as many as there are, then */
        }
}

int main(int argc, char **argv) {
        Plan plan = { .size = 64, .clients = 1000, .seconds = 0.4 };
        const Bench *bench;

        if (argc == 3 && strcmp(argv[1], "allow") == 0) {
                system_relay_print_allow((unsigned)strtoul(argv[2], NULL, 10));
                return 0;
        }
        if (argc == 3 && strcmp(argv[1], "has") == 0)
                return system_find(argv[2]) ? 0 : 1;
        if (parse_argv(&plan, &bench, argc, argv) < 0)
                return 2;
        raise_limits();
        if (plan.one_cpu)
                place(0, true);
        bench->run(&plan);
        return 0;
}
