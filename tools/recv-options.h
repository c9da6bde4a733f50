/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Recv options: what p2pbus-recv is told to do, by its arguments and the files that they name
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libclient/p2pbus.h"
#include "tools/format.h"
#include "tools/grant.h"
#include "tools/options.h"

#define RECV_NAMES_MAX 64
#define RECV_GRANTS_MAX 16

typedef struct RecvOptions {
        Options common;
        uint64_t count; /* 0: no end */
        uint64_t timeout_usec;
        const char *names[RECV_NAMES_MAX];
        size_t n_names;
        p2pbus_service service; /* what is said of all of them */
        bool service_given;
        Grant grants[RECV_GRANTS_MAX];
        size_t n_grants;
        const char *topics[RECV_NAMES_MAX];
        size_t n_topics;
        bool retained;
        Format format;
        bool format_given;
        char **command; /* NULL: to stdout */
        uint64_t n_jobs;
        bool jobs_given;
} RecvOptions;

void recv_options_init(RecvOptions *options);
void recv_options_done(RecvOptions *options);
/* Return: -1 to go on, else the status to end with. */
int recv_options_parse(RecvOptions *options, int argc, char **argv);
