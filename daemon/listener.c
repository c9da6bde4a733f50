/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "daemon/listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "daemon/peer.h"
#include "libcore/err.h"
#include "libcore/program.h"

#define ACCEPT_BATCH 64
#define BACKLOG 4096

/* Too many: said once in a while, then silence. */
static void turn_away(Manager *manager, User *user, const char *why) {
        LogFields fields = { .reason = "turned_away", .uid = &user->uid };
        uint32_t n_suppressed;

        manager->counters.turned_away++;
        if (log_rate_pass(&user->log_rate, manager->now_usec, &n_suppressed))
                log_write(&manager->log, LOG_LEVEL_WARNING, &fields,
                          "%s, connection closed at once (%u more about this user not shown)", why,
                          n_suppressed);
}

/* Takes @fd over. */
static void welcome(Manager *manager, int fd) {
        _cleanup_(fd_closep) int owned = fd;
        Credentials credentials = { .uid = CREDENTIALS_NOBODY };
        User *user = NULL;
        Peer *peer;
        int r;

        manager->counters.accepted++;
        if (credentials_read(fd, &credentials) < 0 ||
            user_get(&manager->quota, credentials.uid, &user) < 0) {
                manager->counters.turned_away++;
                return;
        }
        if (manager->n_peers >= manager->n_peers_max) {
                turn_away(manager, user, "no descriptors left for more connections");
        } else {
                r = peer_new(manager, fd, user, &credentials, &peer);
                if (r == 0)
                        owned = -EBADF;
                else
                        turn_away(manager, user,
                                  r == -EDQUOT ? "too many connections of this user"
                                               : "no memory for a connection");
        }
        user_unref(user);
}

/* No descriptor is left: the reserve lets one connection in, to be closed at once. */
static void turn_away_with_reserve(Listener *listener) {
        Manager *manager = listener->manager;

        listener->reserve_fd = fd_close(listener->reserve_fd);
        (void)fd_close(accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
        listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        manager->counters.accepted++;
        manager->counters.turned_away++;
}

static int on_connect(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Listener *listener = userdata;
        Manager *manager = listener->manager;

        (void)source;
        (void)events;
        manager->now_usec = now_usec(CLOCK_MONOTONIC);
        for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
                int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (accepted >= 0)
                        welcome(manager, accepted);
                else if (errno == EMFILE || errno == ENFILE)
                        turn_away_with_reserve(listener);
                else if (errno != EINTR && errno != ECONNABORTED)
                        break; /* EAGAIN; anything else comes again, or is gone */
        }
        manager_end_turn(manager);
        return 0;
}

static int make_folder(const char *path, mode_t mode) {
        _cleanup_(freep) char *folder = strdup(path);
        char *slash;

        if (!folder)
                return err_origin(-ENOMEM);
        slash = strrchr(folder, '/');
        if (!slash || slash == folder)
                return 0;
        *slash = '\0';
        return mkdir(folder, mode) == 0 || errno == EEXIST ? 0 : err_origin(-errno);
}

static int listener_make(Listener *listener, const char *path) {
        bool user_bus = listener->manager->options.user_bus;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int r;

        if (strlen(path) >= sizeof(address.sun_path))
                return err_origin(-ENAMETOOLONG);
        memcpy(address.sun_path, path, strlen(path) + 1);
        r = make_folder(path, user_bus ? 0700 : 0755);
        if (r < 0)
                return err_trace(r);

        r = program_remove_stale_socket(&address);
        if (r < 0)
                return err_trace(r);
        listener->path = strdup(path);
        if (!listener->path)
                return err_origin(-ENOMEM);
        listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (listener->fd < 0 ||
            bind(listener->fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
                r = err_origin(-errno);
                free(listener->path); /* not ours to remove */
                listener->path = NULL;
                return r;
        }
        if (chmod(path, user_bus ? 0600 : 0666) < 0 || listen(listener->fd, BACKLOG) < 0)
                return err_origin(-errno);
        return 0;
}

int listener_init(Listener *listener, Manager *manager, int fd, const char *path) {
        int r, flags;

        *listener = (Listener){ .manager = manager, .fd = -EBADF };
        listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
                flags = fcntl(fd, F_GETFL);
                if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                        return err_origin(-errno);
                listener->fd = fd;
        } else {
                r = listener_make(listener, path);
                if (r < 0)
                        return err_trace(r);
        }
        r = sd_event_add_io(manager->event, &listener->io, listener->fd, EPOLLIN, on_connect,
                            listener);
        return r < 0 ? err_origin(r) : 0;
}

void listener_done(Listener *listener) {
        listener->io = sd_event_source_disable_unref(listener->io);
        if (listener->path)
                (void)unlink(listener->path); /* somebody may have been quicker */
        free(listener->path);
        listener->path = NULL;
        listener->fd = fd_close(listener->fd);
        listener->reserve_fd = fd_close(listener->reserve_fd);
}
