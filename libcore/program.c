/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libcore/program.h"

#include <ctype.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "libcore/err.h"

int program_fail(const Program *program, int status, const char *format, ...) {
        va_list args;

        fprintf(stderr, "%s: ", program->name);
        va_start(args, format);
        vfprintf(stderr, format, args);
        va_end(args);
        fputc('\n', stderr);
        return status;
}

int program_fail_config(const Program *program, int status, const char *text) {
        return program_fail(program, status, "%s%s", text,
                            strchr(text, ';') ? "" : "; mend it, or name another with --config");
}

/* Of a bundle of letters the one that is wrong, else the word: getopt may not be past it yet. */
static int wrong_option(const Program *program, char *const *argv) {
        const char *word = argv[optind - 1];

        if (isgraph(optopt) && strncmp(word, "--", 2) != 0)
                return program_fail(program, PROGRAM_STATUS_USAGE, "-%c: no such option; %s",
                                    optopt, program->hint);
        return program_fail(program, PROGRAM_STATUS_USAGE, "%s: no such option; %s", word,
                            program->hint);
}

int program_take(Program *program, int c, char *const *argv) {
        switch (c) {
        case PROGRAM_OPT_CHECK_CONFIG:
                program->check_config = true;
                return PROGRAM_GO_ON;
        case 'v':
                program->verbosity++;
                return PROGRAM_GO_ON;
        case 'q':
                program->verbosity--;
                return PROGRAM_GO_ON;
        case 'h':
                program->help();
                return EXIT_SUCCESS;
        case 'V':
                printf("%s %s\n", program->name, PACKAGE_VERSION);
                return EXIT_SUCCESS;
        case ':':
                return program_fail(program, PROGRAM_STATUS_USAGE, "%s: needs a value; %s",
                                    argv[optind - 1], program->hint);
        default:
                return wrong_option(program, argv);
        }
}

void program_init_log(const Program *program, Log *log, LogSink *sink) {
        log_init(log, program->name, sink);
        if (program->verbosity > 0)
                log->level = LOG_LEVEL_DEBUG;
        else if (program->verbosity < 0)
                log->level = LOG_LEVEL_WARNING;
}

void program_block_signals(void) {
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        (void)sigprocmask(SIG_BLOCK, &set, NULL); /* the set is valid */
        (void)signal(SIGPIPE, SIG_IGN);
}

int program_make_folder(const char *path) {
        _cleanup_(freep) char *copy = strdup(path);

        if (!copy)
                return err_origin(-ENOMEM);
        for (char *p = copy; *p != '\0'; p++)
                if (*p == '/' && p > copy) {
                        *p = '\0';
                        if (mkdir(copy, 0755) < 0 && errno != EEXIST)
                                return err_origin(-errno);
                        *p = '/';
                }
        return mkdir(copy, 0700) == 0 || errno == EEXIST ? 0 : err_origin(-errno);
}

/* Whether somebody answers at @address. */
static bool is_alive(const struct sockaddr_un *address) {
        _cleanup_(fd_closep) int fd =
                socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        /* A full backlog (EAGAIN) is life too. */
        return fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
                           errno == EAGAIN);
}

int program_remove_stale_socket(const struct sockaddr_un *address) {
        const char *path = address->sun_path;
        struct stat st;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : err_origin(-errno);
        if (!S_ISSOCK(st.st_mode))
                return err_origin(-ENOTSOCK);
        if (is_alive(address))
                return err_origin(-EADDRINUSE);
        return unlink(path) == 0 || errno == ENOENT ? 0 : err_origin(-errno);
}
