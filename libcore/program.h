/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Program: what the mains of the daemons have in common
 *
 * The options that each of them takes, the one line on stderr with which it ends when something is
 * wrong ("PROGRAM: WHAT: WHY; WHAT TO DO"), how much it logs, and the signals that its loop takes.
 * What a daemon is about stays in its own main.c.
 *
 *      static Program program = { .name = PROGRAM, .hint = "see --help", .help = help };
 *      ...
 *      static const struct option options[] = { { "key", ... }, PROGRAM_OPTIONS, { 0 } };
 *
 *      while (status < 0 && (c = getopt_long(argc, argv, PROGRAM_LETTERS, options, NULL)) >= 0)
 *              switch (c) {
 *              case OPT_KEY: ...
 *              default:
 *                      status = program_take(&program, c, argv);
 *              }
 */

#include <getopt.h>
#include <stdbool.h>
#include <sys/un.h>

#include "libcore/log.h"
#include "libcore/util.h"

#define PROGRAM_STATUS_USAGE 2
#define PROGRAM_GO_ON (-1) /* of functions that return an exit status: none yet */

enum {
        PROGRAM_OPT_CHECK_CONFIG = 0x100,
        _PROGRAM_OPT_FIRST_OWN, /* where a daemon's own long options begin */
};

#define PROGRAM_LETTERS ":vqhV"
/* clang-format off */
#define PROGRAM_OPTIONS                                                        \
        { "check-config", no_argument, NULL, PROGRAM_OPT_CHECK_CONFIG },       \
        { "verbose",      no_argument, NULL, 'v' },                            \
        { "quiet",        no_argument, NULL, 'q' },                            \
        { "help",         no_argument, NULL, 'h' },                            \
        { "version",      no_argument, NULL, 'V' }
/* clang-format on */

typedef struct Program {
        const char *name;
        const char *hint;   /* what to do about a wrong option */
        void (*help)(void); /* prints the usage */
        bool check_config;
        int verbosity; /* -v less -q */
} Program;

/* Says why @program ends, in one line on stderr. Return: @status. */
_printf_(3, 4) int program_fail(const Program *program, int status, const char *format, ...);

/*
 * The same for a configuration file, or a part of it, that is missing or bad: @text, a ConfError's,
 * says where and why, and perhaps what to do about it behind a semicolon.
 */
int program_fail_config(const Program *program, int status, const char *text);

/*
 * Takes option @c as getopt_long() returned it, with `opterr` 0 or a ":" before the letters. What
 * is in none of the tables is a wrong option.
 * Return: PROGRAM_GO_ON, or the exit status.
 */
int program_take(Program *program, int c, char *const *argv);

/* Prepares @log as log_init() does; -v and -q go before $P2PBUS_LOG. */
void program_init_log(const Program *program, Log *log, LogSink *sink);

/* SIGTERM, SIGINT and SIGHUP are the loop's from here on, in threads too; SIGPIPE nobody's. */
void program_block_signals(void);

/*
 * Makes folder @path for a daemon's own files (0700), with its parents: the first start on a fresh
 * host has none of them. One that is there is left as it is. Return: 0 or -errno.
 */
int program_make_folder(const char *path);

/*
 * Makes room for a Unix socket at @address: removes one that nobody listens on any more.
 * Return: 0; -EADDRINUSE: somebody does; -ENOTSOCK: a file of another kind is there; the kernel's
 * -errno.
 */
int program_remove_stale_socket(const struct sockaddr_un *address);
