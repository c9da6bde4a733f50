/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "tools/job.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/common.h"

#define READ_SIZE 65536

extern char **environ;

static int close_fd(int fd) {
        if (fd >= 0)
                (void)close(fd); /* a pipe of our own */
        return -EBADF;
}

/* The caller's environment with @options' over it; the strings are borrowed. */
static char **make_environment(const JobOptions *options) {
        size_t n = 0, n_result = 0;
        char **result;

        while (environ[n])
                n++;
        result = calloc(n + options->n_environment + 1, sizeof(*result));
        if (!result)
                return NULL;

        for (size_t i = 0; i < n; i++) {
                bool replaced = false;

                for (size_t j = 0; j < options->n_environment; j++) {
                        const char *wish = options->environment[j];
                        size_t n_name = strcspn(wish, "=") + 1;

                        replaced = replaced || strncmp(environ[i], wish, n_name) == 0;
                }
                if (!replaced)
                        result[n_result++] = environ[i];
        }
        for (size_t j = 0; j < options->n_environment; j++)
                result[n_result++] = options->environment[j];
        return result;
}

/* Our end does not block; the command's is as anybody expects of a pipe. */
static int make_pipe(int fds[2], int ours) {
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        (void)fcntl(fds[ours], F_SETFL, O_NONBLOCK); /* cannot fail on a pipe just made */
        return 0;
}

static int spawn(Job *job, const JobOptions *options, int child_stdin, int child_stdout) {
        _cleanup_(freep) char **environment = NULL;
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t none, defaults;
        int r;

        environment = make_environment(options);
        if (!environment)
                return -ENOMEM;
        r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        r = posix_spawnattr_init(&attributes);
        if (r != 0) {
                (void)posix_spawn_file_actions_destroy(&actions); /* always succeeds */
                return -r;
        }

        /* The tools block what they read from a signalfd, and ignore SIGPIPE; no command expects
         * either. */
        (void)sigemptyset(&none);
        (void)sigemptyset(&defaults);
        (void)sigaddset(&defaults, SIGPIPE);
        (void)posix_spawnattr_setsigmask(&attributes, &none);
        (void)posix_spawnattr_setsigdefault(&attributes, &defaults);
        (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

        r = posix_spawn_file_actions_adddup2(&actions, child_stdin, STDIN_FILENO);
        if (r == 0 && child_stdout >= 0)
                r = posix_spawn_file_actions_adddup2(&actions, child_stdout, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawnp(&job->os_pid, options->argv[0], &actions, &attributes,
                                 options->argv, environment);
        if (r != 0)
                job->os_pid = 0;

        (void)posix_spawnattr_destroy(&attributes);
        (void)posix_spawn_file_actions_destroy(&actions);
        return -r;
}

static void job_freep(Job **job) {
        *job = job_free(*job);
}

int job_new(Job **ret, const JobOptions *options) {
        _cleanup_(job_freep) Job *job = NULL;
        int in[2] = { -EBADF, -EBADF }, out[2] = { -EBADF, -EBADF };
        int r;

        job = calloc(1, sizeof(*job));
        if (!job)
                return -ENOMEM;
        job->stdin_fd = job->stdout_fd = -EBADF;
        job->payload = options->payload;
        job->n_payload = options->n_payload;
        job->output_max = options->output_max;

        r = make_pipe(in, 1);
        if (r == 0 && options->capture)
                r = make_pipe(out, 0);
        job->stdin_fd = in[1];
        job->stdout_fd = out[0];
        if (r == 0)
                r = spawn(job, options, in[0], out[1]);
        (void)close_fd(in[0]);
        (void)close_fd(out[1]);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(job);
        return 0;
}

Job *job_free(Job *job) {
        if (!job)
                return NULL;
        if (job->os_pid > 0) {
                (void)kill(job->os_pid, SIGKILL); /* it is our child and not yet waited for */
                while (waitpid(job->os_pid, NULL, 0) < 0 && errno == EINTR)
                        continue;
        }
        (void)close_fd(job->stdin_fd);
        (void)close_fd(job->stdout_fd);
        free(job->output);
        free(job);
        return NULL;
}

void job_poll(const Job *job, struct pollfd fds[static JOB_POLLFDS]) {
        fds[0] = (struct pollfd){ .fd = job->stdin_fd, .events = POLLOUT };
        fds[1] = (struct pollfd){ .fd = job->stdout_fd, .events = POLLIN };
}

static void write_payload(Job *job) {
        while (job->stdin_fd >= 0 && job->n_written < job->n_payload) {
                ssize_t n = write(job->stdin_fd, job->payload + job->n_written,
                                  job->n_payload - job->n_written);

                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return;
                /* A command need not read its input: EPIPE is its right. */
                if (n < 0)
                        break;
                job->n_written += (size_t)n;
        }
        job->stdin_fd = close_fd(job->stdin_fd);
}

static int read_output(Job *job) {
        while (job->stdout_fd >= 0) {
                ssize_t n;

                if (job->n_allocated - job->n_output < READ_SIZE) {
                        size_t n_allocated = MAX(job->n_allocated * 2, job->n_output + READ_SIZE);
                        char *output = realloc(job->output, n_allocated);

                        if (!output)
                                return -ENOMEM;
                        job->output = output;
                        job->n_allocated = n_allocated;
                }
                n = read(job->stdout_fd, job->output + job->n_output, READ_SIZE);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return 0;
                if (n > 0)
                        job->n_output += (size_t)n;
                if (job->n_output > job->output_max)
                        job->overflow = true;
                if (n <= 0 || job->overflow)
                        job->stdout_fd = close_fd(job->stdout_fd);
        }
        return 0;
}

int job_drive(Job *job) {
        pid_t waited = 0;
        int r;

        if (job->done)
                return 0;
        write_payload(job);
        if (job->os_pid > 0)
                waited = waitpid(job->os_pid, &job->status, WNOHANG);

        /* Behind waitpid(): all that an ended command ever wrote is in the pipe now. */
        r = read_output(job);
        if (waited > 0) {
                job->os_pid = 0;
                job->done = true;
                job->stdin_fd = close_fd(job->stdin_fd);
                job->stdout_fd = close_fd(job->stdout_fd);
        }
        return r;
}

void job_terminate(Job *job) {
        if (job->os_pid > 0)
                (void)kill(job->os_pid, SIGTERM); /* our child, not yet waited for */
}

const char *job_status_text(int status, char text[static 80], uint32_t *ret_number) {
        if (WIFSIGNALED(status)) {
                (void)snprintf(text, 80, "was killed by signal %d (%s)", WTERMSIG(status),
                               strsignal(WTERMSIG(status)));
                *ret_number = 128 + (uint32_t)WTERMSIG(status);
        } else {
                (void)snprintf(text, 80, "ended with status %d", WEXITSTATUS(status));
                *ret_number = (uint32_t)WEXITSTATUS(status);
        }
        return text;
}

static int check_file(const char *path) {
        struct stat st;

        if (stat(path, &st) < 0)
                return errno == EACCES ? -EACCES : -ENOENT;
        return S_ISREG(st.st_mode) && access(path, X_OK) == 0 ? 0 : -EACCES;
}

int job_find_command(const char *command) {
        const char *folders = getenv("PATH");
        int r = -ENOENT;

        if (strchr(command, '/'))
                return check_file(command);
        if (!folders)
                folders = "/bin:/usr/bin";
        for (;;) {
                size_t n = strcspn(folders, ":");
                char path[PATH_MAX];
                int q;

                (void)snprintf(path, sizeof(path), "%.*s/%s", n > 0 ? (int)n : 1,
                               n > 0 ? folders : ".", command);
                q = check_file(path);
                if (q == 0)
                        return 0;
                if (q == -EACCES)
                        r = q;
                if (folders[n] == '\0')
                        return r;
                folders += n + 1;
        }
}
