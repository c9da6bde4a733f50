/* SPDX-License-Identifier: Apache-2.0 */

#include "procbridge/listener.h"

#include <fcntl.h>
#include <stdio.h>
#include <utlist.h>

#include "libcore/err.h"
#include "procbridge/client.h"

#define ACCEPT_BATCH 64

struct Listener {
        Manager *manager;
        Listener *prev, *next;
        int fd, reserve_fd;
        sd_event_source *io;
        char *path;
};

static void turn_away(Manager *m, const char *why) {
        LogFields fields = { .reason = "turned_away" };
        uint32_t n_suppressed;

        m->counters.turned_away++;
        if (log_rate_pass(&m->turned_away_rate, now_usec(CLOCK_MONOTONIC), &n_suppressed))
                log_write(m->log, LOG_LEVEL_WARNING, &fields,
                          "%s, connection closed at once (%u more not shown)", why, n_suppressed);
}

/* Takes @fd over. */
static void welcome(Manager *m, int fd, const struct sockaddr *address) {
        int r;

        m->counters.accepted++;
        if (m->n_clients >= m->n_clients_max) {
                (void)fd_close(fd);
                turn_away(m, "too many connections");
                return;
        }
        r = client_new(m, fd, address);
        if (r == -EDQUOT)
                turn_away(m, "too many connections of this client");
        else if (r < 0)
                turn_away(m, strerror(-r));
}

static void turn_away_with_reserve(Listener *listener) {
        listener->reserve_fd = fd_close(listener->reserve_fd);
        (void)fd_close(accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
        listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        listener->manager->counters.accepted++;
        turn_away(listener->manager, "no descriptors left");
}

static int on_connect(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Listener *listener = userdata;

        (void)source, (void)events;
        for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
                struct sockaddr_storage address = { 0 };
                socklen_t n = sizeof(address);
                int accepted;

                accepted =
                        accept4(fd, (struct sockaddr *)&address, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (accepted >= 0)
                        welcome(listener->manager, accepted, (struct sockaddr *)&address);
                else if (errno == EMFILE || errno == ENFILE)
                        turn_away_with_reserve(listener);
                else if (errno != EINTR && errno != ECONNABORTED)
                        break; /* EAGAIN; anything else comes again, or is gone */
        }
        return 0;
}

int listener_new(Manager *manager, int fd, const char *path) {
        Listener *listener;
        int r, flags;

        listener = calloc(1, sizeof(*listener));
        if (!listener) {
                (void)fd_close(fd);
                return err_origin(-ENOMEM);
        }
        listener->manager = manager;
        listener->fd = fd;
        listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        listener->path = path ? strdup(path) : NULL;
        DL_APPEND(manager->listeners, listener);

        flags = fcntl(fd, F_GETFL);
        r = flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
        if (r == 0)
                r = path && !listener->path ? -ENOMEM : 0;
        if (r == 0)
                r = sd_event_add_io(manager->event, &listener->io, fd, EPOLLIN, on_connect,
                                    listener);
        if (r < 0) {
                listener_free(listener);
                return err_origin(r);
        }
        return 0;
}

Listener *listener_free(Listener *listener) {
        DL_DELETE(listener->manager->listeners, listener);
        listener->io = sd_event_source_disable_unref(listener->io);
        if (listener->path)
                (void)unlink(listener->path); /* somebody may have been quicker */
        (void)fd_close(listener->fd);
        (void)fd_close(listener->reserve_fd);
        free(listener->path);
        free(listener);
        return NULL;
}

void listeners_announce(const Manager *manager) {
        char text[ENDPOINT_TEXT_SIZE], line[ENDPOINT_TEXT_SIZE + 16];
        const Listener *listener;
        Endpoint endpoint;
        int n;

        DL_FOREACH (manager->listeners, listener) {
                if (endpoint_of(listener->fd, &endpoint) < 0)
                        continue;
                n = snprintf(line, sizeof(line), "listening on %s\n",
                             endpoint_format(&endpoint, text));
                (void)!write(STDERR_FILENO, line, (size_t)n); /* a closed stderr is no fault */
        }
}
