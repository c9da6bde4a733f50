/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "daemon/manager.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <utlist.h>

#include "daemon/lease.h"
#include "daemon/name-watches.h"
#include "daemon/peer.h"
#include "daemon/rights.h"
#include "libcore/err.h"
#include "libsecure/crypto.h"

#define EVENTS_MAX 256
#define STOP_USEC (3 * USEC_PER_SEC) /* for those who still read */
#define FDS_RESERVE 64               /* of the limit; for everything that is no connection, */
#define FDS_RESERVE_SHARE 8          /* and this part of it for descriptors on their way */
#define TIMER_ACCURACY_USEC (10 * USEC_PER_MSEC)

uint32_t manager_hello_flags(const Manager *manager) {
        return (manager->gateway.peer ? HELLO_OFF_HOST : 0) |
               (manager->config.rings ? HELLO_RINGS : 0) |
               (manager->monitors.n > 0 ? HELLO_MONITORED : 0) |
               (manager->monitors.n_full > 0 ? HELLO_MONITORED_FULL : 0);
}

static void update_status(Manager *manager) {
        (void)sd_notifyf(false, "STATUS=%u processes attached, %s",
                         registry_size(&manager->registry),
                         manager->gateway.peer ? "gateway present" : "no gateway");
}

void manager_notice(Manager *manager) {
        Control word = { .verb = CONTROL_NOTICE, .value = manager_hello_flags(manager) };
        Peer *peer;

        if (manager->stop_usec > 0)
                return;
        DL_FOREACH (manager->peers, peer)
                if (peer->state == PEER_ATTACHED)
                        peer_say(peer, &word);
}

PacketId manager_packet_id(Manager *manager) {
        return packet_id_make(now_usec(CLOCK_REALTIME), ++manager->unique);
}

bool manager_is_young(const Manager *manager) {
        return manager->now_usec - manager->started_usec < manager->config.settle_usec;
}

void manager_wake_at(Manager *manager, uint64_t usec) {
        if (usec >= manager->timer_usec || usec == USEC_NEVER)
                return;
        manager->timer_usec = usec;
        /* Neither can fail for a source that exists. */
        (void)sd_event_source_set_time(manager->timer, usec);
        (void)sd_event_source_set_enabled(manager->timer, SD_EVENT_ONESHOT);
}

void manager_end_turn(Manager *manager) {
        name_watches_tell(manager);
        while (manager->dirty) {
                Peer *peer = manager->dirty;

                manager->dirty = peer->next_dirty;
                peer->is_dirty = false;
                peer_end_turn(peer);
        }
        while (manager->dead) {
                Peer *peer = manager->dead;

                manager->dead = peer->next_dead;
                peer_free(peer);
        }
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct epoll_event events[EVENTS_MAX];
        Manager *manager = userdata;
        int n;

        (void)source;
        (void)revents;
        manager->now_usec = now_usec(CLOCK_MONOTONIC);
        n = epoll_wait(fd, events, EVENTS_MAX, 0);
        for (int i = 0; i < n; i++)
                peer_on_io(events[i].data.ptr, events[i].events);
        manager_end_turn(manager);
        return 0;
}

/* Those who connected and did not attach in time; they stand in the order of their coming. */
static void end_slow_attaches(Manager *manager) {
        uint64_t timeout_usec = manager->config.attach_timeout_usec;

        while (manager->unattached) {
                Peer *peer = manager->unattached;

                if (peer->connected_usec + timeout_usec > manager->now_usec) {
                        manager_wake_at(manager, peer->connected_usec + timeout_usec);
                        return;
                }
                manager->counters.attach_timeouts++;
                peer_refuse(peer, CODE_TIMEOUT, "attach_timeout", "no ATTACH in time");
        }
}

/*
 * Who was refused because of a user's total, not of one queue: nothing shows here when that has
 * room again, so everybody may try again after a while.
 */
static void tell_space(Manager *manager) {
        Peer *peer;

        if (manager->space_usec > manager->now_usec) {
                manager_wake_at(manager, manager->space_usec);
                return;
        }
        manager->space_usec = USEC_NEVER;
        DL_FOREACH (manager->peers, peer)
                if (peer->waiting)
                        peer_touch(peer);
}

/* Nobody who reads is still owed a byte, or time is up. */
static void maybe_exit(Manager *manager) {
        bool pending = false;
        Peer *peer;

        DL_FOREACH (manager->peers, peer)
                pending = pending || (outbox_size(&peer->outbox) > 0 && !peer->output_dead);
        if (!pending || manager->now_usec >= manager->stop_usec)
                (void)sd_event_exit(manager->event, 0);
        else
                manager_wake_at(manager, manager->stop_usec);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *manager = userdata;

        (void)source;
        (void)usec;
        manager->now_usec = now_usec(CLOCK_MONOTONIC);
        manager->timer_usec = USEC_NEVER;
        end_slow_attaches(manager);
        tell_space(manager);
        gateway_on_time(manager);
        lease_on_time(manager);
        remote_names_on_time(manager);
        rings_on_time(manager);
        wants_on_time(manager);
        barrier_on_time(manager);
        survey_on_time(manager);
        manager_end_turn(manager);
        if (manager->stop_usec > 0)
                maybe_exit(manager);
        return 0;
}

/* While stopping: only writing, until nothing is left. */
static int on_io_stopping(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct epoll_event events[EVENTS_MAX];
        Manager *manager = userdata;
        int n;

        (void)source;
        (void)revents;
        manager->now_usec = now_usec(CLOCK_MONOTONIC);
        n = epoll_wait(fd, events, EVENTS_MAX, 0);
        for (int i = 0; i < n; i++) {
                Peer *peer = events[i].data.ptr;

                if (events[i].events & (EPOLLHUP | EPOLLERR))
                        peer_kill(peer);
                else
                        peer_flush(peer);
        }
        manager_end_turn(manager);
        maybe_exit(manager);
        return 0;
}

/* GOODBYE to everybody; what they were owed before it goes out too, if they read. */
static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Manager *manager = userdata;
        Peer *peer, *next;
        int fd = manager->epoll_fd, r;

        (void)source;
        if (manager->stop_usec > 0)
                return 0;
        log_write(&manager->log, LOG_LEVEL_INFO, NULL, "stopping on signal %u", info->ssi_signo);
        (void)sd_notify(false, "STOPPING=1\nSTATUS=Saying goodbye");
        manager->now_usec = now_usec(CLOCK_MONOTONIC);
        manager->stop_usec = manager->now_usec + STOP_USEC;
        listener_done(&manager->listener);

        DL_FOREACH_SAFE (manager->peers, peer, next) {
                struct epoll_event event = { .events = EPOLLOUT, .data.ptr = peer };

                if (peer->state == PEER_NEW) {
                        peer_dismiss(peer, CODE_SHUTDOWN);
                        continue;
                }
                peer_say(peer, &(Control){ .verb = CONTROL_GOODBYE, .code = CODE_SHUTDOWN });
                peer_flush(peer);
                /* Nobody is read any more; only those who are owed something are watched. */
                if (outbox_size(&peer->outbox) == 0 || peer->output_dead)
                        peer_kill(peer);
                else
                        (void)epoll_ctl(fd, EPOLL_CTL_MOD, peer->fd, &event);
        }
        manager_end_turn(manager);
        manager->io = sd_event_source_disable_unref(manager->io);
        r = sd_event_add_io(manager->event, &manager->io, fd, EPOLLIN, on_io_stopping, manager);
        if (r < 0)
                return sd_event_exit(manager->event, 0);
        maybe_exit(manager);
        return 0;
}

int manager_read_policy(const ManagerOptions *options, const Config *config, const Log *log,
                        Policy **ret, ConfError *ret_error) {
        const PolicyOptions policy = {
                .user_bus = options->user_bus,
                .own_uid = geteuid(),
                .folders = options->policy_folders,
                .attach_group = config->attach_group,
        };

        return policy_new(ret, &policy, log, ret_error);
}

static void adjust_limits(void *userdata, const User *user, UserLimits *limits) {
        policy_adjust_limits(((const Manager *)userdata)->policy, user->uid, user->brought, limits);
}

static void apply_config(Manager *manager) {
        manager->config.limits.per_user = !manager->options.user_bus;
        quota_set_limits(&manager->quota, &manager->config.limits, adjust_limits, manager);
}

/* Both files at once, or neither. */
static int read_again(Manager *manager, Config *ret_config, Policy **ret_policy,
                      ConfError *ret_error) {
        const ManagerOptions *options = &manager->options;
        int r = 0;

        config_init(ret_config);
        if (options->config_path)
                r = config_load(ret_config, options->config_path, options->config_missing,
                                ret_error);
        if (r == 0)
                r = manager_read_policy(options, ret_config, &manager->log, ret_policy, ret_error);
        if (r != 0)
                config_done(ret_config);
        return r;
}

/* All that holds something by the old policy is judged by the new one, and loses what it may not have. */
static void apply_policy(Manager *manager, Policy *policy) {
        Policy *old = manager->policy;
        Peer *peer, *next;
        User *user;

        manager->policy = policy;
        for (user = manager->quota.users; user; user = user->hh.next)
                rights_forget_limits(user); /* they were the old one's */
        manager->registry.generation++; /* what was found out about pairs is not true any more */
        gateway_forget_answers(manager);
        DL_FOREACH_SAFE (manager->peers, peer, next)
                rights_reevaluate(peer);
        topics_reevaluate(manager);
        wants_reevaluate(manager);
        rings_reevaluate(manager);
        /* Nobody asks any more what those may do who left in this turn. */
        LL_FOREACH2(manager->dead, peer, next_dead)
        peer->subject = subject_unref(peer->subject);
        policy_free(old);
}

bool manager_reload(Manager *manager) {
        uint32_t flags = manager_hello_flags(manager);
        Policy *policy = NULL;
        ConfError error;
        Config config;
        int r;

        (void)sd_notify(false, "RELOADING=1");
        r = read_again(manager, &config, &policy, &error);
        if (r == 0) {
                config_done(&manager->config);
                manager->config = config;
                apply_policy(manager, policy);
                apply_config(manager);
                remote_names_rejudge(manager);
                if (flags != manager_hello_flags(manager))
                        manager_notice(manager);
                manager_wake_at(manager, manager->now_usec); /* time-outs may be others now */
                log_write(&manager->log, LOG_LEVEL_INFO, NULL,
                          "configuration and policy read again");
        } else {
                log_write(&manager->log, LOG_LEVEL_ERROR, &(LogFields){ .reason = "bad_config" },
                          "%s; the old settings stay", r > 0 ? error.text : strerror(-r));
        }
        (void)sd_notify(false, "READY=1");
        update_status(manager);
        return r == 0;
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Manager *manager = userdata;

        (void)source;
        (void)info;
        manager->now_usec = now_usec(CLOCK_MONOTONIC);
        (void)manager_reload(manager); /* it said what is wrong */
        manager_end_turn(manager);
        return 0;
}

/* As many descriptors as we may have: one a connection. */
static uint32_t raise_fd_limit(void) {
        struct rlimit limit;
        uint64_t n = 1024;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &limit); /* what we have must do then */
        }
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
                n = MIN(limit.rlim_cur, (rlim_t)UINT32_MAX);
        n -= n / FDS_RESERVE_SHARE;
        return n > 2 * FDS_RESERVE ? (uint32_t)n - FDS_RESERVE : (uint32_t)n / 2;
}

static int manager_add_sources(Manager *manager) {
        sigset_t mask;
        int r;

        (void)sigemptyset(&mask);
        (void)sigaddset(&mask, SIGTERM);
        (void)sigaddset(&mask, SIGINT);
        (void)sigaddset(&mask, SIGHUP);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return err_origin(-errno);
        r = sd_event_add_signal(manager->event, &manager->sigterm, SIGTERM, on_stop, manager);
        if (r >= 0)
                r = sd_event_add_signal(manager->event, &manager->sigint, SIGINT, on_stop, manager);
        if (r >= 0)
                r = sd_event_add_signal(manager->event, &manager->sighup, SIGHUP, on_reload,
                                        manager);
        if (r >= 0)
                r = sd_event_add_time(manager->event, &manager->timer, CLOCK_MONOTONIC, 0,
                                      TIMER_ACCURACY_USEC, on_timer, manager);
        if (r >= 0)
                r = sd_event_source_set_enabled(manager->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_io(manager->event, &manager->io, manager->epoll_fd, EPOLLIN, on_io,
                                    manager);
        if (r >= 0)
                r = sd_event_set_watchdog(manager->event, true);
        return r < 0 ? err_origin(r) : 0;
}

int manager_new(Manager **ret, const Log *log, const ManagerOptions *options, Config *config,
                Policy **policy) {
        _cleanup_(manager_freep) Manager *manager = NULL;
        int r;

        manager = calloc(1, sizeof(*manager));
        if (!manager)
                return err_origin(-ENOMEM);
        manager->log = *log;
        manager->options = *options;
        manager->epoll_fd = -EBADF;
        manager->listener.fd = manager->listener.reserve_fd = -EBADF;
        manager->now_usec = manager->started_usec = now_usec(CLOCK_MONOTONIC);
        manager->timer_usec = manager->space_usec = USEC_NEVER;
        manager->unique = crypto_random_u64();
        manager->n_peers_max = raise_fd_limit();
        crypto_random(manager->instance, sizeof(manager->instance));
        registry_init(&manager->registry, 8);
        quota_init(&manager->quota, &config->limits);
        gateway_init(manager);
        wants_start(&manager->wants);

        manager->read_buffer = malloc(MANAGER_READ_SIZE);
        if (!manager->read_buffer)
                return err_origin(-ENOMEM);
        r = stream_pool_new(&manager->pool);
        if (r < 0)
                return err_trace(r);
        manager->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (manager->epoll_fd < 0)
                return err_origin(-errno);
        r = sd_event_new(&manager->event);
        if (r < 0)
                return err_origin(r);
        r = manager_add_sources(manager);
        if (r < 0)
                return err_trace(r);
        r = listener_init(&manager->listener, manager, options->listen_fd, options->socket_path);
        if (r < 0)
                return err_trace(r);

        manager->config = *config; /* last: until here the caller still owns both */
        config_init(config);
        manager->policy = TAKE_PTR(*policy);
        apply_config(manager);
        *ret = TAKE_PTR(manager);
        return 0;
}

Manager *manager_free(Manager *manager) {
        if (!manager)
                return NULL;
        manager->stop_usec = manager->now_usec; /* no notices to those who go */
        while (manager->peers)
                peer_kill(manager->peers);
        manager->dirty = NULL;
        manager_end_turn(manager);
        listener_done(&manager->listener);
        gateway_done(manager);
        registry_done(&manager->registry);
        topics_done(&manager->topics);
        wants_end(&manager->wants);
        remote_names_done(manager);
        policy_free(manager->policy);
        quota_done(&manager->quota);
        manager->sigterm = sd_event_source_disable_unref(manager->sigterm);
        manager->sigint = sd_event_source_disable_unref(manager->sigint);
        manager->sighup = sd_event_source_disable_unref(manager->sighup);
        manager->timer = sd_event_source_disable_unref(manager->timer);
        manager->io = sd_event_source_disable_unref(manager->io);
        sd_event_unref(manager->event);
        manager->epoll_fd = fd_close(manager->epoll_fd);
        stream_pool_free(manager->pool);
        free(manager->read_buffer);
        config_done(&manager->config);
        free(manager);
        return NULL;
}

int manager_run(Manager *manager) {
        int r;

        (void)sd_notify(false, "READY=1");
        update_status(manager);
        r = sd_event_loop(manager->event);
        return r < 0 ? err_origin(r) : 0;
}
