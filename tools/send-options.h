/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Send options: what p2pbus-send is told to do, by its arguments alone
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/input.h"
#include "tools/options.h"

typedef struct SendOptions {
        Options common;
        const char *dest;
        const char *text; /* MESSAGE, or NULL: stdin */
        const char *type;
        const char *topic; /* then there is no @dest; or NULL */
        bool retain;
        uint64_t timeout_usec;
        bool request;
        bool no_wait;
        bool idempotent;
        int provider_mode; /* enum p2pbus_mode */
        bool has_provider_mode;
        bool to_all;
        InputMode mode;
        size_t chunk_size;
} SendOptions;

void send_options_init(SendOptions *options);
/* Return: -1 to go on, else the status to end with. */
int send_options_parse(SendOptions *options, int argc, char **argv);
