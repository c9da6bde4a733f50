/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Stopping: SIGTERM stops listening and says GOODBYE on every link, while packets still pass. The
 * bridges move to another relay and close. Who has not after two seconds is closed; after four the
 * loop ends in any case. A second signal ends it at once.
 */

#include "relay/manager.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "libcore/control.h"
#include "libcore/err.h"
#include "relay/http.h"
#include "relay/link.h"
#include "relay/service-words.h"
#include "relay/tombs.h"

#define TICK_USEC USEC_PER_SEC
#define WANTS_SWEEP_USEC (60 * USEC_PER_SEC)

struct Manager {
        RelayShared shared;
        const Log *log;
        char *config;
        char *tombs; /* path */
        bool keep_allow, keep_open;
        WsLoop *loop;
        WsListener **listeners;
        size_t n_listeners;
        sd_event_source *tick;
        sd_event_source *deadline; /* of the drain */
        bool drained;              /* all links were told to close */
        unsigned shown_links;      /* in the last STATUS */
        size_t shown_leases;
        uint64_t wants_usec; /* when leases are next looked up for what is wanted */
};

_printf_(2, 3) static int explain(ManagerError *error, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(error->text, sizeof(error->text), format, ap);
        va_end(ap);
        return MANAGER_E_SETUP;
}

/* Who may come */

static void allowed_clear(AllowedKey **allowed) {
        AllowedKey *key, *next;

        HASH_ITER (hh, *allowed, key, next) {
                HASH_DEL(*allowed, key);
                free(key);
        }
}

static int allowed_set(AllowedKey **allowed, char *const *texts) {
        AllowedKey *fresh = NULL;

        for (; texts && *texts; texts++) {
                AllowedKey *key, *there;
                KeyText parsed;

                if (key_text_parse(*texts, &parsed) != 0)
                        continue; /* was checked when it was read */
                HASH_FIND(hh, fresh, &parsed.key, sizeof(parsed.key), there);
                if (there)
                        continue;
                key = calloc(1, sizeof(*key));
                if (!key) {
                        allowed_clear(&fresh);
                        return err_origin(-ENOMEM);
                }
                key->key = parsed.key;
                HASH_ADD(hh, fresh, key, sizeof(key->key), key);
        }
        allowed_clear(allowed);
        *allowed = fresh;
        return 0;
}

static const SocketLimits *socket_limits(bool open) {
        return open ? &limits_sockets_open : &limits_sockets_closed;
}

/* Listeners */

static bool on_accept(WsListener *listener, const struct sockaddr *peer, void *userdata) {
        Manager *m = userdata;
        bool admitted = address_table_enter(m->shared.addresses, peer, now_usec(CLOCK_MONOTONIC));

        (void)listener;
        count(&m->shared.counters, admitted ? COUNT_SOCKETS_ACCEPTED : COUNT_SOCKETS_REFUSED);
        return admitted;
}

static void on_gone(WsListener *listener, const struct sockaddr *peer, const char *reason,
                    void *userdata) {
        char text[WS_ADDRESS_TEXT_SIZE];
        Manager *m = userdata;

        (void)listener;
        address_table_leave(m->shared.addresses, peer, false, false);
        if (reason)
                relay_no_link(&m->shared, ws_address_format(peer, text), COUNT_HANDSHAKES_FAILED,
                              reason);
}

static void on_open(WsListener *listener, WsConnection *connection, void *userdata) {
        Manager *m = userdata;
        int r;

        (void)listener;
        r = relay_link_new(&m->shared, connection);
        if (r < 0)
                log_write(m->log, LOG_LEVEL_WARNING, NULL, "no link: %s", strerror(-r));
}

static void on_http(WsListener *listener, const char *path, WsReply *reply, void *userdata) {
        Manager *m = userdata;

        (void)listener;
        count(&m->shared.counters, COUNT_HTTP_REQUESTS);
        http_answer(&m->shared, path, reply);
}

static const WsListenerHandlers listener_handlers = { on_accept, on_gone, on_open, on_http };

static int manager_listen(Manager *m, WsListenOptions options, const Settings *settings,
                          const char *name, ManagerError *error) {
        char url[WS_ADDRESS_TEXT_SIZE + 8];
        WsListener **grown, *listener;
        int r;

        options.cert_file = settings->tls_cert;
        options.key_file = settings->tls_key;
        options.pending_max = (unsigned)socket_limits(m->shared.open)->unproven;
        options.handshake_usec = RELAY_HANDSHAKE_USEC;

        grown = reallocarray(m->listeners, m->n_listeners + 1, sizeof(*grown));
        if (!grown)
                return err_origin(-ENOMEM);
        m->listeners = grown;
        r = ws_listen(&listener, m->loop, &options, &listener_handlers, m);
        if (r == WS_E_TLS)
                return explain(error,
                               "%s: not a PEM certificate with its key in %s; name others with "
                               "--tls-cert and --tls-key",
                               settings->tls_cert, settings->tls_key);
        if (r != 0)
                return explain(error, "cannot listen on %s: %s; name another with --listen", name,
                               r < 0 ? strerror(-r) : "not an address");
        m->listeners[m->n_listeners++] = listener;
        return self_add_url(m->shared.self, ws_listener_format_url(listener, url, sizeof(url)));
}

/* Sockets of systemd come first; only without them are there any of our own. */
static int manager_listen_all(Manager *m, const Settings *settings, ManagerError *error) {
        static char *const by_default[] = { (char *)SETTINGS_LISTEN_DEFAULT, NULL };
        char *const *addresses =
                settings->listen && settings->listen[0] ? settings->listen : by_default;
        int n_passed = sd_listen_fds(true), r = 0;

        for (int i = 0; r == 0 && i < n_passed; i++)
                r = manager_listen(m, (WsListenOptions){ .fd = SD_LISTEN_FDS_START + i }, settings,
                                   "the socket of systemd", error);
        if (n_passed > 0)
                return r;
        for (; r == 0 && *addresses; addresses++)
                r = manager_listen(m, (WsListenOptions){ .address = *addresses }, settings,
                                   *addresses, error);
        return r;
}

/* The line that scripts wait for: one write, at the start of a line. */
static void manager_announce(const Manager *m) {
        char url[WS_ADDRESS_TEXT_SIZE + 8], full[KEY_TEXT_SIZE];
        char line[sizeof(url) + sizeof(full) + 16];
        int n;

        for (size_t i = 0; i < m->n_listeners; i++) {
                n = snprintf(line, sizeof(line), "relay %s#%s\n",
                             ws_listener_format_url(m->listeners[i], url, sizeof(url)),
                             key_format(identity_public(self_identity(m->shared.self)), full));
                (void)!write(STDERR_FILENO, line, (size_t)n); /* a closed stderr is no fault */
        }
}

/* Stopping */

static bool manager_is_empty(const Manager *m) {
        return m->shared.n_links == 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *m = userdata;

        (void)usec;
        if (m->drained || manager_is_empty(m))
                return sd_event_exit(m->shared.event, 0);
        m->drained = true;
        for (RelayLink *link = m->shared.links; link; link = relay_link_next(link))
                relay_link_goodbye(link, CODE_SHUTDOWN, "the relay stops");
        (void)sd_event_source_set_time_relative(source, MANAGER_STOP_USEC - MANAGER_DRAIN_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* While it drains: as soon as all have left, it is over. */
static int on_prepare(sd_event_source *source, void *userdata) {
        Manager *m = userdata;

        (void)source;
        return m->shared.draining && manager_is_empty(m) ? sd_event_exit(m->shared.event, 0) : 0;
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        Manager *m = userdata;

        (void)source;
        if (m->shared.draining)
                return sd_event_exit(m->shared.event, 0);
        m->shared.draining = true;
        log_write(m->log, LOG_LEVEL_INFO, NULL, "stopping on signal %u, %u links to say goodbye to",
                  si->ssi_signo, m->shared.n_up);
        (void)sd_notify(false, "STOPPING=1\nSTATUS=Saying goodbye");
        for (size_t i = 0; i < m->n_listeners; i++)
                ws_listener_stop(m->listeners[i]);
        for (RelayLink *link = m->shared.links; link; link = relay_link_next(link))
                relay_link_warn(link);
        return sd_event_add_time_relative(m->shared.event, &m->deadline, CLOCK_MONOTONIC,
                                          MANAGER_DRAIN_USEC, 10 * USEC_PER_MSEC, on_deadline, m);
}

/* Running */

static void manager_show_status(Manager *m) {
        size_t n_leases = directory_n_leases(m->shared.directory);

        if (m->shared.draining || (m->shown_links == m->shared.n_up && m->shown_leases == n_leases))
                return;
        m->shown_links = m->shared.n_up;
        m->shown_leases = n_leases;
        (void)sd_notifyf(false, "STATUS=%u links, %zu addresses", m->shown_links, m->shown_leases);
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        Manager *m = userdata;
        RelayLink *next;

        (void)usec;
        for (RelayLink *link = m->shared.links; link; link = next) {
                next = relay_link_next(link);
                relay_link_tick(link, now);
        }
        directory_sweep(m->shared.directory, now_usec(CLOCK_REALTIME));
        if (now >= m->wants_usec) {
                m->wants_usec = now + WANTS_SWEEP_USEC;
                words_sweep_wanted(&m->shared);
        }
        service_words_sweep(&m->shared);
        address_table_sweep(m->shared.addresses, now);
        manager_show_status(m);
        (void)sd_event_source_set_time_relative(source, TICK_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* Listeners and keys stay as they are: they need a restart, which bridges hardly notice. */
static int on_reload(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        Manager *m = userdata;
        Settings settings;
        ConfError error;
        int r;

        (void)source, (void)si;
        (void)sd_notify(false, "RELOADING=1");
        r = settings_load(&settings, m->config, &error);
        if (r == 0 && !m->keep_allow)
                r = allowed_set(&m->shared.allowed, settings.allow);
        if (r == 0) {
                m->shared.heartbeat_usec = settings.heartbeat_usec;
                if (!m->keep_open)
                        m->shared.open = settings.open;
                self_set_open(m->shared.self, m->shared.open);
                address_table_set_limits(m->shared.addresses, socket_limits(m->shared.open));
                log_write(m->log, LOG_LEVEL_INFO, NULL, "configuration read again");
        } else {
                log_write(m->log, LOG_LEVEL_ERROR, NULL, "configuration stays as it was: %s",
                          r < 0 ? strerror(-r) : error.text);
        }
        settings_done(&settings);
        r = tombs_load(m->tombs, m->shared.directory, now_usec(CLOCK_REALTIME),
                       now_usec(CLOCK_MONOTONIC));
        if (r != 0)
                log_write(m->log, LOG_LEVEL_ERROR, NULL, "%s: %s", m->tombs,
                          r < 0 ? strerror(-r) : "damaged");
        (void)sd_notify(false, "READY=1");
        return 0;
}

static int manager_add_sources(Manager *m) {
        sd_event *event = m->shared.event;
        int r;

        r = sd_event_add_signal(event, NULL, SIGTERM, on_stop, m);
        if (r < 0)
                return err_origin(r);
        r = sd_event_add_signal(event, NULL, SIGINT, on_stop, m);
        if (r < 0)
                return err_origin(r);
        r = sd_event_add_signal(event, NULL, SIGHUP, on_reload, m);
        if (r < 0)
                return err_origin(r);
        r = sd_event_add_time_relative(event, &m->tick, CLOCK_MONOTONIC, TICK_USEC,
                                       100 * USEC_PER_MSEC, on_tick, m);
        if (r < 0)
                return err_origin(r);
        r = sd_event_source_set_prepare(m->tick, on_prepare);
        if (r < 0)
                return err_origin(r);
        r = sd_event_set_watchdog(event, true);
        return r < 0 ? err_origin(r) : 0;
}

static int manager_setup(Manager *m, const ManagerOptions *options, IdentityKey *identity,
                         ManagerError *error) {
        static const BucketRate verifies = { RELAY_VERIFIES_IN_ALL, RELAY_VERIFIES_IN_ALL };
        RelayShared *s = &m->shared;
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        int r;

        m->log = s->log = options->log;
        m->keep_allow = options->keep_allow;
        m->keep_open = options->keep_open;
        if ((options->config && !(m->config = strdup(options->config))) ||
            asprintf(&m->tombs, "%s/tombs", options->state_dir) < 0)
                return err_origin(-ENOMEM);
        s->tombs = m->tombs;
        s->in = malloc(FRAME_SIZE_MAX + STREAM_READ_SIZE);
        s->out = malloc(WS_HEADROOM + WS_MESSAGE_MAX);
        if (!s->in || !s->out)
                return err_origin(-ENOMEM);

        s->open = options->settings->open;
        s->heartbeat_usec = options->settings->heartbeat_usec;
        bucket_init(&s->verifies, &verifies, now);
        r = allowed_set(&s->allowed, options->settings->allow);
        if (r == 0)
                r = address_table_new(&s->addresses, socket_limits(s->open), now);
        if (r == 0)
                r = parcel_pool_new(&s->parcels);
        if (r == 0)
                r = directory_new(&s->directory, now);
        if (r == 0)
                r = relay_wants_new(&s->wants, words_say_wanted);
        if (r == 0)
                r = relay_services_new(&s->services);
        if (r == 0)
                r = sd_event_default(&s->event);
        if (r < 0)
                return err_trace(r);
        r = tombs_load(m->tombs, s->directory, now_usec(CLOCK_REALTIME), now);
        if (r != 0)
                return explain(error, "%s: %s; restore it, or name another folder with --state-dir",
                               m->tombs, r < 0 ? strerror(-r) : "holds what is no revocation");

        r = ws_loop_new(&m->loop, s->event);
        if (r == WS_LOOP_E_PLUGIN)
                return explain(error, "libwebsockets: it has no libuv plugin; install "
                                      "libwebsockets-evlib-uv");
        if (r < 0)
                return err_trace(r);
        r = self_new(&s->self, identity);
        if (r < 0)
                return err_trace(r);
        self_set_open(s->self, s->open);
        r = manager_add_sources(m);
        if (r < 0)
                return err_trace(r);
        return manager_listen_all(m, options->settings, error);
}

int manager_new(Manager **ret, const ManagerOptions *options, IdentityKey *identity,
                ManagerError *ret_error) {
        _cleanup_(manager_freep) Manager *m = NULL;
        int r;

        ret_error->text[0] = '\0';
        m = calloc(1, sizeof(*m));
        if (!m) {
                identity_free(identity);
                return err_origin(-ENOMEM);
        }
        r = manager_setup(m, options, identity, ret_error);
        if (r != 0) {
                if (!m->shared.self)
                        identity_free(identity);
                return r;
        }
        *ret = TAKE_PTR(m);
        return 0;
}

int manager_run(Manager *m) {
        int r;

        manager_announce(m);
        (void)sd_notify(false, "READY=1\nSTATUS=0 links, 0 addresses");
        r = sd_event_loop(m->shared.event);
        return r < 0 ? err_origin(r) : 0;
}

Manager *manager_free(Manager *m) {
        RelayShared *s = &m->shared;

        if (!m)
                return NULL;
        while (s->links)
                relay_link_free(s->links);
        for (size_t i = 0; i < m->n_listeners; i++)
                ws_listener_free(m->listeners[i]);
        free(m->listeners);
        m->loop = ws_loop_free(m->loop);
        m->tick = sd_event_source_disable_unref(m->tick);
        m->deadline = sd_event_source_disable_unref(m->deadline);
        directory_free(s->directory);
        relay_wants_free(s->wants);
        relay_services_free(s->services);
        parcel_pool_free(s->parcels);
        address_table_free(s->addresses);
        self_free(s->self);
        allowed_clear(&s->allowed);
        sd_event_unref(s->event);
        free(s->in);
        free(s->out);
        free(m->config);
        free(m->tombs);
        free(m);
        return NULL;
}
