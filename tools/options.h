/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * The options that all tools have
 *
 * Each tool puts OPTIONS_SHORT and OPTIONS_LONG into its own getopt tables and hands what it does
 * not know to options_take(). Short option strings begin with "-:": operands come in their order
 * as option 1, so that options and operands may be mixed and yet what stands behind --exec is left
 * alone.
 */

#include <getopt.h>
#include <stdbool.h>

#define OPTIONS_SHORT "S:k:vqhV"
/* clang-format off */
#define OPTIONS_LONG                                        \
        { "socket",  required_argument, NULL, 'S' },        \
        { "key",     required_argument, NULL, 'k' },        \
        { "json",    no_argument,       NULL, OPTION_JSON }, \
        { "local",   no_argument,       NULL, OPTION_LOCAL }, \
        { "verbose", no_argument,       NULL, 'v' },        \
        { "quiet",   no_argument,       NULL, 'q' },        \
        { "help",    no_argument,       NULL, 'h' },        \
        { "version", no_argument,       NULL, 'V' }
/* clang-format on */

/* Their lines of --help. */
#define OPTIONS_HELP                                                                               \
        "  -S, --socket PATH   the bus's socket (default: $P2PBUS_SOCKET, your user bus if it "    \
        "is\n"                                                                                     \
        "                      there, /run/p2pbus/bus)\n"                                          \
        "  -k, --key FILE      be the process of this key (default: $P2PBUS_KEY, a fresh key)\n"   \
        "      --local         stay on this host\n"                                                \
        "      --json          JSON on stdout\n"                                                   \
        "  -v, --verbose       say more on stderr\n"                                               \
        "  -q, --quiet         say nothing but errors on stderr\n"                                 \
        "  -h, --help          show this\n"                                                        \
        "  -V, --version       show the version\n"

enum {
        OPTION_JSON = 0x100,
        OPTION_LOCAL,
        _OPTION_FIRST_OWN, /* where a tool's own long options begin */
};

typedef struct Options {
        const char *socket; /* NULL: the usual places */
        const char *key;    /* NULL: a fresh key */
        bool json;
        bool local;
} Options;

/* The environment's part; options_take() goes over it. */
void options_init(Options *options);

/*
 * Takes option @c, as getopt_long() returned it; @help is printed for -h. -h and -V print to
 * stdout and end the tool.
 *
 * Return: -1 to go on, else the status to end with.
 */
int options_take(Options *options, int c, char *const *argv, const char *help);
