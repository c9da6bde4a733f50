/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Job: one run of the command behind --exec
 *
 * The command gets the payload on its stdin and may write a reply to its stdout; both pipes are
 * served whenever they are ready, so a command that writes before it has read, or never reads, is
 * no deadlock. The job is done when the command has ended, whoever else still holds its pipes:
 * what stood in the pipe by then is its output. No shell is involved.
 */

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define JOB_POLLFDS 2

typedef struct JobOptions {
        char *const *argv;        /* argv[0] is searched for in $PATH */
        char *const *environment; /* "NAME=VALUE", added to or replacing the caller's */
        size_t n_environment;
        const void *payload; /* borrowed until job_free() */
        size_t n_payload;
        bool capture;      /* stdout is collected; otherwise it is the caller's own */
        size_t output_max; /* bytes; more is a failure of the command */
} JobOptions;

typedef struct Job {
        pid_t os_pid; /* 0: none, or it has ended */
        int status;   /* as of waitpid(), once done */
        bool done;

        int stdin_fd;
        const char *payload;
        size_t n_payload;
        size_t n_written;

        int stdout_fd;
        char *output;
        size_t n_output;
        size_t n_allocated;
        size_t output_max;
        bool overflow; /* the command wrote more than output_max */
} Job;

/* Starts the command. Return: 0, or -errno, -ENOENT and -EACCES being the command's. */
int job_new(Job **ret, const JobOptions *options);
/* A command that still runs is killed. Accepts NULL, returns NULL. */
Job *job_free(Job *job);

/* What to poll for; -1 where there is nothing. SIGCHLD is the caller's to watch. */
void job_poll(const Job *job, struct pollfd fds[static JOB_POLLFDS]);
/* Does whatever can be done without waiting. Return: 0, job->done says more; or -ENOMEM. */
int job_drive(Job *job);
/* Asks the command to end, SIGTERM. */
void job_terminate(Job *job);

/* "ended with status 3", "was killed by signal 9 (Killed)": for people. @ret_number is what a
 * shell would have in $?. Returns @text. */
const char *job_status_text(int status, char text[static 80], uint32_t *ret_number);

/* Looks whether @command can be run at all. Return: 0, -ENOENT, -EACCES. */
int job_find_command(const char *command);
