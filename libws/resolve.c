/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The query belongs to the loop, the Job to loop and thread together: whoever is second to let go
 * frees it. The thread writes the result into the job, then one byte into the pipe; write() and
 * read() order the two. If the loop let go first, the write fails with EPIPE and nobody cares:
 * SIGPIPE is blocked in the thread.
 */

#include "libws/resolve.h"

#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#include "libcore/err.h"

typedef struct Job {
        atomic_int n_holders;
        int done_fd; /* the thread's end of the pipe */
        uint16_t port;
        ResolveResult result;
        char host[256];
} Job;

struct ResolveQuery {
        Job *job;
        int fd;
        sd_event_source *io;
        sd_event_source *defer; /* numeric hosts: no thread, no pipe */
        ResolveFunc on_resolved;
        void *userdata;
};

static void job_release(Job *job) {
        if (!job || atomic_fetch_sub(&job->n_holders, 1) != 1)
                return;
        job->done_fd = fd_close(job->done_fd);
        free(job);
}

static void job_lookup(Job *job, int flags) {
        struct addrinfo hints = {
                .ai_family = AF_UNSPEC,
                .ai_socktype = SOCK_STREAM,
                .ai_flags = AI_NUMERICSERV | flags,
        };
        struct addrinfo *found = NULL;
        char port[6];
        int r;

        (void)snprintf(port, sizeof(port), "%u", job->port);
        r = getaddrinfo(job->host, port, &hints, &found);
        if (r != 0) {
                job->result.error = gai_strerror(r);
                return;
        }
        for (const struct addrinfo *a = found; a && job->result.n < RESOLVE_ADDRESSES_MAX;
             a = a->ai_next)
                if (a->ai_addrlen <= sizeof(struct sockaddr_storage))
                        memcpy(&job->result.addresses[job->result.n++], a->ai_addr, a->ai_addrlen);
        freeaddrinfo(found);
        if (job->result.n == 0)
                job->result.error = "no usable address";
}

static void *resolve_thread(void *userdata) {
        Job *job = userdata;
        ssize_t unused;

        job_lookup(job, AI_ADDRCONFIG);
        unused = write(job->done_fd, "", 1);
        (void)unused; /* EPIPE: nobody waits any more */
        job_release(job);
        return NULL;
}

static int on_resolve_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        ResolveQuery *query = userdata;
        char byte;

        (void)revents;
        if (read(fd, &byte, 1) < 0)
                return 0; /* EINTR, EAGAIN: it comes again */
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        query->on_resolved(&query->job->result, query->userdata);
        /* Careful: @query may be gone from here. */
        return 0;
}

static int on_resolve_defer(sd_event_source *source, void *userdata) {
        ResolveQuery *query = userdata;

        (void)source;
        query->on_resolved(&query->job->result, query->userdata);
        /* Careful: @query may be gone from here. */
        return 0;
}

static int query_start_thread(ResolveQuery *query, sd_event *event) {
        sigset_t all, saved;
        pthread_attr_t attr;
        pthread_t thread;
        int fds[2];
        int r;

        if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return err_origin(-errno);
        query->fd = fds[0];
        query->job->done_fd = fds[1];

        r = sd_event_add_io(event, &query->io, query->fd, EPOLLIN, on_resolve_io, query);
        if (r < 0)
                return err_origin(r);

        r = pthread_attr_init(&attr);
        if (r != 0)
                return err_origin(-r);
        (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED); /* cannot fail */

        /* Signals are the loop's: a thread inherits the mask of who starts it. */
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &saved);
        atomic_fetch_add(&query->job->n_holders, 1);
        r = pthread_create(&thread, &attr, resolve_thread, query->job);
        if (r != 0)
                job_release(query->job);
        (void)pthread_sigmask(SIG_SETMASK, &saved, NULL);
        (void)pthread_attr_destroy(&attr);
        return err_origin(-r);
}

int resolve_query_new(ResolveQuery **ret, sd_event *event, const char *host, uint16_t port,
                      ResolveFunc on_resolved, void *userdata) {
        _cleanup_(resolve_query_freep) ResolveQuery *query = NULL;
        int r;

        query = calloc(1, sizeof(*query));
        if (!query)
                return err_origin(-ENOMEM);
        query->fd = -EBADF;
        query->on_resolved = on_resolved;
        query->userdata = userdata;

        query->job = calloc(1, sizeof(*query->job));
        if (!query->job)
                return err_origin(-ENOMEM);
        atomic_init(&query->job->n_holders, 1);
        query->job->done_fd = -EBADF;
        query->job->port = port;
        if (strlen(host) >= sizeof(query->job->host))
                return err_origin(-EINVAL);
        memcpy(query->job->host, host, strlen(host) + 1);

        job_lookup(query->job, AI_NUMERICHOST);
        if (query->job->result.n > 0) {
                r = sd_event_add_defer(event, &query->defer, on_resolve_defer, query);
                if (r < 0)
                        return err_origin(r);
        } else {
                query->job->result = (ResolveResult){ 0 };
                r = query_start_thread(query, event);
                if (r < 0)
                        return err_trace(r);
        }
        *ret = TAKE_PTR(query);
        return 0;
}

ResolveQuery *resolve_query_free(ResolveQuery *query) {
        if (!query)
                return NULL;
        query->io = sd_event_source_disable_unref(query->io);
        query->defer = sd_event_source_disable_unref(query->defer);
        query->fd = fd_close(query->fd);
        job_release(query->job);
        free(query);
        return NULL;
}
