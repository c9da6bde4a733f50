/* SPDX-License-Identifier: Apache-2.0 */

#include "tools/recv-options.h"

#include <string.h>

#include "tools/argument.h"
#include "tools/common.h"
#include "tools/job.h"

#define JOBS_MAX 1024

static const char help[] =
        "Usage: p2pbus-recv [OPTION]... [--exec CMD [ARG]...]\n"
        "Write each message that comes to stdout, or give it to CMD.\n"
        "\n"
        "  -n, --count COUNT   end after COUNT messages\n"
        "  -t, --timeout SECONDS\n"
        "                      end after so long (0: take what is there)\n"
        "      --name NAME     provide the service NAME too; may be repeated\n"
        "      --priority N    of these names: who has the lowest number is asked (default: 100)\n"
        "      --weight N      of these names: a share among those of one priority (default: 100)\n"
        "      --metadata TEXT of these names: what others may want to know of this provider\n"
        "      --grant FILE    a realm's grant of such a name, for other hosts; may be repeated\n"
        "      --topic PATTERN receive what is published on topics that fit: * stands for one "
        "word,\n"
        "                      > at the end for all that follow; may be repeated\n"
        "      --retained      with --topic: first what was retained on them\n"
        "      --format FORMAT line (the default), raw, json or hex\n"
        "      --jobs N        run up to N commands at a time (default: 1)\n"
        "      --exec CMD [ARG]...\n"
        "                      the last option: run CMD for each message, payload on stdin, "
        "stdout\n"
        "                      being the reply if one was asked for\n" OPTIONS_HELP "\n"
        "Exit status: 0 done, 1 failed, 2 usage, 4 timed out, 5 refused, 6 no bus. More in\n"
        "p2pbus-recv(1).\n";

void recv_options_init(RecvOptions *o) {
        *o = (RecvOptions){
                .timeout_usec = USEC_NEVER,
                .n_jobs = 1,
                .service = { .struct_size = sizeof(p2pbus_service),
                             .priority = 100,
                             .weight = 100 },
        };
        options_init(&o->common);
}

void recv_options_done(RecvOptions *o) {
        free(o->command);
        o->command = NULL;
}

enum {
        OPTION_NAME = _OPTION_FIRST_OWN,
        OPTION_PRIORITY,
        OPTION_WEIGHT,
        OPTION_METADATA,
        OPTION_TOPIC,
        OPTION_RETAINED,
        OPTION_FORMAT,
        OPTION_JOBS,
        OPTION_EXEC,
        OPTION_GRANT,
};

static int take_name(RecvOptions *o, const char *name) {
        if (p2pbus_check_destination(name) != P2PBUS_DESTINATION_NAME)
                return fail(STATUS_USAGE,
                            "--name %s: not a name; write words of letters, digits, - "
                            "and _ with a dot between, for example demo.clock",
                            name);
        if (o->n_names == RECV_NAMES_MAX)
                return fail(STATUS_USAGE, "--name %s: one name too many; %d are enough", name,
                            RECV_NAMES_MAX);
        o->names[o->n_names++] = name;
        return -1;
}

static int take_rank(RecvOptions *o, const char *option, const char *text, uint64_t least,
                     uint16_t *ret) {
        uint64_t n;

        o->service_given = true;
        if (argument_count(text, least, UINT16_MAX, &n) < 0)
                return fail(STATUS_USAGE, "%s %s: not such a number; write one from %u to %u",
                            option, text, (unsigned)least, UINT16_MAX);
        *ret = (uint16_t)n;
        return -1;
}

static int take_grant(RecvOptions *o, const char *file) {
        int status;

        if (o->n_grants == RECV_GRANTS_MAX)
                return fail(STATUS_USAGE, "--grant %s: one grant too many; %d are enough", file,
                            RECV_GRANTS_MAX);
        o->service_given = true;
        status = grant_load(&o->grants[o->n_grants], file);
        if (status != 0)
                return status;
        o->n_grants++;
        return -1;
}

/* Each is for one of the names. Return: -1 to go on, else the status to end with. */
static int check_grants(const RecvOptions *o) {
        for (size_t i = 0; i < o->n_grants; i++) {
                size_t k = 0;

                while (k < o->n_names && !grant_fits(&o->grants[i], o->names[k]))
                        k++;
                if (k == o->n_names)
                        return fail(STATUS_USAGE, "--grant: one is for %s; add --name for that",
                                    o->grants[i].read.name);
        }
        return -1;
}

static int take_topic(RecvOptions *o, const char *pattern) {
        if (p2pbus_check_topic(pattern) < 0)
                return fail(
                        STATUS_USAGE,
                        "--topic %s: not a pattern; write words, * and > with dots between, for "
                        "example weather.*.temperature",
                        pattern);
        if (o->n_topics == RECV_NAMES_MAX)
                return fail(STATUS_USAGE, "--topic %s: one pattern too many; %d are enough",
                            pattern, RECV_NAMES_MAX);
        o->topics[o->n_topics++] = pattern;
        return -1;
}

static int take_format(RecvOptions *o, const char *text) {
        o->format = format_from_text(text);
        o->format_given = true;
        if (o->format == _FORMAT_INVALID)
                return fail(STATUS_USAGE,
                            "--format %s: no such format; choose line, raw, json or "
                            "hex",
                            text);
        return -1;
}

static int take_count(RecvOptions *o, const char *text) {
        if (argument_count(text, 1, UINT64_MAX, &o->count) < 0)
                return fail(STATUS_USAGE, "-n %s: not a count; write a number from 1", text);
        return -1;
}

static int take_timeout(RecvOptions *o, const char *text) {
        if (argument_seconds(text, &o->timeout_usec) < 0)
                return fail(STATUS_USAGE, "-t %s: not a number of seconds; write for example 2.5",
                            text);
        return -1;
}

static int take_jobs(RecvOptions *o, const char *text) {
        o->jobs_given = true;
        if (argument_count(text, 1, JOBS_MAX, &o->n_jobs) < 0)
                return fail(STATUS_USAGE, "--jobs %s: not a number of jobs; write one from 1 to %d",
                            text, JOBS_MAX);
        return -1;
}

/* CMD is the option's value, its arguments are whatever stands behind it. */
static int take_exec(RecvOptions *o, char *command, char *const *arguments, size_t n) {
        o->command = calloc(n + 2, sizeof(*o->command));
        if (!o->command)
                return fail(STATUS_FAILED, "--exec: out of memory; try again");
        o->command[0] = command;
        for (size_t i = 0; i < n; i++)
                o->command[i + 1] = arguments[i];
        return -1;
}

/* Return: -1 to go on, else the status to end with. */
static int check_arguments(RecvOptions *o) {
        int r;

        if (o->command && (o->format_given || o->common.json))
                return fail(STATUS_USAGE,
                            "--format and --json: with --exec the messages go to CMD; "
                            "leave them out");
        if (o->retained && o->n_topics == 0)
                return fail(STATUS_USAGE, "--retained: only a topic retains; add --topic");
        if (o->service_given && o->n_names == 0)
                return fail(STATUS_USAGE, "--priority, --weight, --metadata and --grant: they are "
                                          "said of names; add --name");
        r = check_grants(o);
        if (r >= 0)
                return r;
        if (o->service.metadata && strlen(o->service.metadata) > P2PBUS_METADATA_MAX)
                return fail(STATUS_USAGE, "--metadata: %zu bytes; write at most %d",
                            strlen(o->service.metadata), P2PBUS_METADATA_MAX);
        if (o->jobs_given && !o->command)
                return fail(STATUS_USAGE, "--jobs: nothing to run; add --exec CMD");
        if (o->common.json && o->format_given && o->format != FORMAT_JSON)
                return fail(STATUS_USAGE, "--json: another --format is given too; leave one out");
        if (o->common.json)
                o->format = FORMAT_JSON;
        if (!o->command)
                return -1;

        r = job_find_command(o->command[0]);
        if (r < 0)
                return fail(STATUS_FAILED,
                            "--exec %s: %s; give a program of $PATH or its whole path",
                            o->command[0],
                            r == -ENOENT ? "there is no such command" : "it cannot be executed");
        return -1;
}

int recv_options_parse(RecvOptions *o, int argc, char **argv) {
        static const struct option long_options[] = {
                { "count", required_argument, NULL, 'n' },
                { "timeout", required_argument, NULL, 't' },
                { "name", required_argument, NULL, OPTION_NAME },
                { "priority", required_argument, NULL, OPTION_PRIORITY },
                { "weight", required_argument, NULL, OPTION_WEIGHT },
                { "metadata", required_argument, NULL, OPTION_METADATA },
                { "grant", required_argument, NULL, OPTION_GRANT },
                { "topic", required_argument, NULL, OPTION_TOPIC },
                { "retained", no_argument, NULL, OPTION_RETAINED },
                { "format", required_argument, NULL, OPTION_FORMAT },
                { "jobs", required_argument, NULL, OPTION_JOBS },
                { "exec", required_argument, NULL, OPTION_EXEC },
                OPTIONS_LONG,
                { 0 },
        };
        int c, status = -1;

        while (status < 0 && !o->command &&
               (c = getopt_long(argc, argv, "-:n:t:" OPTIONS_SHORT, long_options, NULL)) >= 0) {
                switch (c) {
                case 1:
                        status = fail(STATUS_USAGE,
                                      "%s: no operand is expected; see p2pbus-recv "
                                      "--help",
                                      optarg);
                        break;
                case 'n':
                        status = take_count(o, optarg);
                        break;
                case 't':
                        status = take_timeout(o, optarg);
                        break;
                case OPTION_NAME:
                        status = take_name(o, optarg);
                        break;
                case OPTION_PRIORITY:
                        status = take_rank(o, "--priority", optarg, 0, &o->service.priority);
                        break;
                case OPTION_WEIGHT:
                        status = take_rank(o, "--weight", optarg, 1, &o->service.weight);
                        break;
                case OPTION_METADATA:
                        o->service_given = true;
                        o->service.metadata = optarg;
                        break;
                case OPTION_GRANT:
                        status = take_grant(o, optarg);
                        break;
                case OPTION_TOPIC:
                        status = take_topic(o, optarg);
                        break;
                case OPTION_RETAINED:
                        o->retained = true;
                        break;
                case OPTION_FORMAT:
                        status = take_format(o, optarg);
                        break;
                case OPTION_JOBS:
                        status = take_jobs(o, optarg);
                        break;
                case OPTION_EXEC:
                        status = take_exec(o, optarg, argv + optind, (size_t)(argc - optind));
                        break;
                default:
                        status = options_take(&o->common, c, argv, help);
                }
        }
        if (status < 0 && !o->command && optind < argc)
                status = fail(STATUS_USAGE, "%s: no operand is expected; see p2pbus-recv --help",
                              argv[optind]);
        return status < 0 ? check_arguments(o) : status;
}
