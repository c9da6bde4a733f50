/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/manager.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

#include "bridge/forward.h"
#include "bridge/gateway.h"
#include "bridge/presence.h"
#include "bridge/routes.h"
#include "bridge/suspend.h"
#include "bridge/transport-ws.h"
#include "bridge/uplink.h"
#include "libcore/err.h"

#define STATUS_SIZE 64

struct Manager {
        ManagerOptions options;
        uint64_t heartbeat_usec;

        sd_event *event;
        Suspend *suspend;
        sd_event_source *post;  /* after each round of the loop */
        sd_event_source *timer; /* for uplinks and forward */
        uint64_t due_usec;      /* what it is set to */

        ParcelPool *pool;
        TransportDriver *driver;
        Presence *presence;
        Forward *forward;
        Gateway *gateway;
        Uplink *uplinks[ROUTES_LINKS_MAX];

        bool ready;
        bool stopping;
        uint64_t stop_usec; /* when waiting ends */
        char status[STATUS_SIZE];
};

static uint64_t clock_usec(void) {
        return now_usec(CLOCK_BOOTTIME);
}

/* The set of uplinks */

static int manager_add_uplink(Manager *m, const char *url) {
        UplinkOptions options = {
                .url = url,
                .driver = m->driver,
                .pool = m->pool,
                .presence = m->presence,
                .known = m->options.known,
                .log = m->options.log,
                .heartbeat_usec = m->heartbeat_usec,
                .handlers = &forward_uplink_handlers,
                .userdata = m->forward,
        };
        int r;

        while (options.slot < ROUTES_LINKS_MAX && m->uplinks[options.slot])
                options.slot++;
        if (options.slot == ROUTES_LINKS_MAX)
                return err_origin(-ENOBUFS);

        r = uplink_new(&m->uplinks[options.slot], &options);
        if (r != 0)
                return err_fold(r); /* its URL was checked */
        forward_set_uplink(m->forward, options.slot, m->uplinks[options.slot]);
        return 0;
}

static void manager_drop_uplink(Manager *m, unsigned slot) {
        forward_set_uplink(m->forward, slot, NULL);
        m->uplinks[slot] = uplink_free(m->uplinks[slot]);
}

static bool is_wanted(const Settings *settings, const char *url) {
        for (unsigned i = 0; i < settings_n_relays(settings); i++)
                if (strcmp(settings->relays[i], url) == 0)
                        return true;
        return false;
}

static bool is_there(const Manager *m, const char *url) {
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (m->uplinks[i] && strcmp(uplink_url(m->uplinks[i]), url) == 0)
                        return true;
        return false;
}

/* Links to relays that stay are left alone. */
static int manager_set_relays(Manager *m, const Settings *settings) {
        int r;

        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (m->uplinks[i] && !is_wanted(settings, uplink_url(m->uplinks[i])))
                        manager_drop_uplink(m, i);
        for (unsigned i = 0; i < settings_n_relays(settings); i++) {
                if (is_there(m, settings->relays[i]))
                        continue;
                r = manager_add_uplink(m, settings->relays[i]);
                if (r < 0)
                        return err_trace(r);
        }
        return 0;
}

/* What the service manager is told */

static void manager_notify(Manager *m) {
        char status[STATUS_SIZE];

        if (m->stopping || !(m->ready || gateway_is_attached(m->gateway)))
                return;
        snprintf(status, sizeof(status), "%s%s%u of %u relays",
                 gateway_is_attached(m->gateway) ? "" : "waiting for the bus, ",
                 forward_is_resting(m->forward) ? "nothing to carry, " : "",
                 forward_n_up(m->forward), forward_n_uplinks(m->forward));
        if (m->ready && strcmp(status, m->status) == 0)
                return;
        memcpy(m->status, status, sizeof(status));
        (void)sd_notifyf(0, "%sSTATUS=%s", m->ready ? "" : "READY=1\n", status);
        m->ready = true;
}

/* Time */

static uint64_t manager_deadline(const Manager *m) {
        uint64_t deadline = forward_deadline(m->forward);

        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (m->uplinks[i])
                        deadline = MIN(deadline, uplink_deadline(m->uplinks[i]));
        if (m->stopping)
                deadline = MIN(deadline, m->stop_usec);
        return deadline;
}

static int manager_arm(Manager *m) {
        uint64_t due = manager_deadline(m);
        int r;

        if (due == m->due_usec)
                return 0;
        m->due_usec = due;
        if (due == USEC_NEVER)
                return sd_event_source_set_enabled(m->timer, SD_EVENT_OFF);
        r = sd_event_source_set_time(m->timer, due);
        if (r < 0)
                return err_origin(r);
        return sd_event_source_set_enabled(m->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *m = userdata;
        uint64_t now = clock_usec();

        (void)source;
        (void)usec;
        m->due_usec = USEC_NEVER; /* spent */
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (m->uplinks[i])
                        uplink_tick(m->uplinks[i], now);
        forward_tick(m->forward, now);
        return 0;
}

/* What was true of the links before may not be so any more. */
static void on_resume(uint64_t asleep_usec, void *userdata) {
        Manager *m = userdata;
        uint64_t now = clock_usec();

        log_write(m->options.log, LOG_LEVEL_INFO, NULL,
                  "the machine was asleep for %.0f s; asking the relays",
                  (double)asleep_usec / USEC_PER_SEC);
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (m->uplinks[i])
                        uplink_resume(m->uplinks[i], now);
}

/* Signals */

static bool is_busy(const Manager *m) {
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (m->uplinks[i] && uplink_is_busy(m->uplinks[i]))
                        return true;
        return false;
}

static void manager_log_counters(const Manager *m) {
        const ForwardCounters *n = forward_counters(m->forward);

        log_write(m->options.log, LOG_LEVEL_INFO, NULL,
                  "carried %" PRIu64 " packets out and %" PRIu64 " in, refused %" PRIu64
                  " of this host and %" PRIu64 " of others",
                  n->n_out, n->n_in, n->n_refused, n->n_refused_remote);
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Manager *m = userdata;

        (void)source;
        (void)info;
        if (m->stopping) /* again: at once, then */
                return sd_event_exit(m->event, 0);
        manager_log_counters(m);
        m->stopping = true;
        m->stop_usec = clock_usec() + MANAGER_STOP_USEC;
        (void)sd_notify(0, "STOPPING=1\nSTATUS=stopping");
        return 0;
}

static uint64_t idle_of(const Settings *settings) {
        return settings->idle_usec > 0 ? settings->idle_usec : USEC_NEVER;
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Manager *m = userdata;
        ConfError error;
        Settings settings;
        int r;

        (void)source;
        (void)info;
        (void)sd_notify(0, "RELOADING=1");
        r = settings_load(&settings, m->options.file, &error);
        if (r != 0) {
                log_write(m->options.log, LOG_LEVEL_ERROR, NULL, "%s; the old settings stay",
                          r < 0 ? strerror(-r) : error.text);
        } else {
                m->heartbeat_usec = settings.heartbeat_usec;
                forward_set_idle(m->forward, idle_of(&settings));
                for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                        if (m->uplinks[i]) {
                                uplink_set_heartbeat(m->uplinks[i], m->heartbeat_usec);
                                uplink_hurry(m->uplinks[i]);
                        }
                if (!m->options.keep_relays && settings_n_relays(&settings) == 0)
                        log_write(m->options.log, LOG_LEVEL_ERROR, NULL,
                                  "no Relay= any more; the old relays stay");
                else if (!m->options.keep_relays)
                        r = manager_set_relays(m, &settings);
                log_write(m->options.log, LOG_LEVEL_INFO, NULL, "settings were read again");
        }
        settings_done(&settings);
        (void)sd_notify(0, "READY=1");
        return r < 0 ? r : 0;
}

/* After each round: settle what changed, and ask to be woken in time. */
static int on_post(sd_event_source *source, void *userdata) {
        Manager *m = userdata;

        (void)source;
        forward_settle(m->forward);
        manager_notify(m);
        if (m->stopping && (!is_busy(m) || clock_usec() >= m->stop_usec))
                return sd_event_exit(m->event, 0);
        return manager_arm(m);
}

/* Life */

static int manager_add_sources(Manager *m) {
        int r;

        r = sd_event_add_signal(m->event, NULL, SIGTERM, on_stop, m);
        if (r >= 0)
                r = sd_event_add_signal(m->event, NULL, SIGINT, on_stop, m);
        if (r >= 0)
                r = sd_event_add_signal(m->event, NULL, SIGHUP, on_reload, m);
        if (r >= 0) /* due at once: the first round arms it */
                r = sd_event_add_time(m->event, &m->timer, CLOCK_BOOTTIME, 0, 1000, on_timer, m);
        if (r >= 0)
                r = sd_event_add_post(m->event, &m->post, on_post, m);
        if (r >= 0)
                r = sd_event_set_watchdog(m->event, true);
        if (r < 0)
                return err_origin(r);
        /* Without it a link that did not survive is found by its heartbeat, as any. */
        (void)suspend_new(&m->suspend, m->event, on_resume, m);
        return 0;
}

int manager_new(Manager **ret, const ManagerOptions *options) {
        _cleanup_(manager_freep) Manager *m = NULL;
        GatewayOptions gateway = {
                .socket = options->socket,
                .identity = options->identity,
                .log = options->log,
                .handlers = &forward_gateway_handlers,
        };
        int r;

        m = calloc(1, sizeof(*m));
        if (!m)
                return err_origin(-ENOMEM);
        m->options = *options;
        m->options.settings = NULL;
        m->heartbeat_usec = options->settings->heartbeat_usec;
        m->due_usec = USEC_NEVER;

        r = sd_event_new(&m->event);
        if (r < 0)
                return err_origin(r);
        r = manager_add_sources(m);
        if (r < 0)
                return err_trace(r);
        r = transport_ws_new(&m->driver, m->event);
        if (r != 0)
                return r == TRANSPORT_WS_E_PLUGIN ? MANAGER_E_PLUGIN : err_fold(r);
        r = parcel_pool_new(&m->pool);
        if (r == 0)
                r = presence_new(&m->presence, options->identity);
        if (r == 0)
                r = forward_new(&m->forward, options->log, m->pool);
        if (r < 0)
                return err_trace(r);

        gateway.event = m->event;
        gateway.userdata = m->forward;
        r = gateway_new(&m->gateway, &gateway);
        if (r < 0)
                return err_trace(r);
        forward_set_gateway(m->forward, m->gateway);
        forward_set_idle(m->forward, idle_of(options->settings));
        r = manager_set_relays(m, options->settings);
        if (r < 0)
                return err_trace(r);
        *ret = TAKE_PTR(m);
        return 0;
}

Manager *manager_free(Manager *m) {
        if (!m)
                return NULL;

        gateway_free(m->gateway);
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                uplink_free(m->uplinks[i]);
        forward_free(m->forward);
        presence_free(m->presence);
        parcel_pool_free(m->pool);
        if (m->driver)
                m->driver->class->driver_free(m->driver);
        suspend_free(m->suspend);
        sd_event_source_disable_unref(m->post);
        sd_event_source_disable_unref(m->timer);
        sd_event_unref(m->event);
        free(m);
        return NULL;
}

int manager_run(Manager *m) {
        int r = sd_event_loop(m->event);

        return r < 0 ? err_origin(r) : 0;
}
