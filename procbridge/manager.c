/* SPDX-License-Identifier: Apache-2.0 */

#include "procbridge/manager.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#include "libcore/err.h"
#include "procbridge/client.h"
#include "procbridge/listener.h"
#include "procbridge/service.h"

#define FDS_RESERVE 64
#define STATUS_USEC USEC_PER_SEC

/* Return: whether all that had asked were answered. */
static bool manager_drain(Manager *m) {
        bool is_drained = m->n_clients == 0;

        for (Service *service = m->services; service; service = service->next) {
                service_drain(service);
                is_drained = is_drained && service_is_drained(service);
        }
        return is_drained;
}

static void manager_show_status(Manager *m) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (m->stopping || now - m->told_usec < STATUS_USEC)
                return;
        m->told_usec = now;
        (void)sd_notifyf(false,
                         "STATUS=%" PRIu64 " clients, %" PRIu64 " calls to the bus, %" PRIu64
                         " requests to servers",
                         m->n_clients, m->counters.requests, m->counters.exchanges);
}

/* Something has happened, so there may be room on the bus, or nothing left to do. */
static int on_post(sd_event_source *source, void *userdata) {
        Manager *m = userdata;

        (void)source;
        if (m->has_calls)
                calls_go_on(&m->calls);
        if (m->stopping && manager_drain(m))
                return sd_event_exit(m->event, 0);
        manager_show_status(m);
        return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *m = userdata;

        (void)source, (void)usec;
        log_write(m->log, LOG_LEVEL_WARNING, NULL, "time is up, some are not answered");
        return sd_event_exit(m->event, 0);
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        Manager *m = userdata;
        Client *next;
        int r;

        (void)source;
        if (m->stopping)
                return sd_event_exit(m->event, 0);
        m->stopping = true;
        log_write(m->log, LOG_LEVEL_INFO, NULL, "stopping on signal %u", si->ssi_signo);
        (void)sd_notify(false, "STOPPING=1\nSTATUS=Answering those who have asked");
        while (m->listeners)
                listener_free(m->listeners);
        for (Client *client = m->clients; client; client = next) {
                next = client_next(client);
                client_stop(client);
        }
        r = sd_event_add_time_relative(m->event, &m->deadline, CLOCK_MONOTONIC, MANAGER_STOP_USEC,
                                       1000, on_deadline, m);
        return r < 0 ? sd_event_exit(m->event, 0) : 0;
}

/* There is no file to read again. */
static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        Manager *m = userdata;

        (void)source, (void)si;
        log_write(m->log, LOG_LEVEL_INFO, NULL,
                  "SIGHUP: nothing to read again; options need a restart");
        return 0;
}

void manager_bus_closed(Manager *m, const Service *service) {
        int reason = 0;

        (void)p2pbus_get_state(service->bus, &reason);
        m->closed_reason = reason > 0 ? reason : P2PBUS_REASON_LOST;
        (void)sd_event_exit(m->event, 0);
}

static void manager_limit_clients(Manager *m) {
        uint64_t others = FDS_RESERVE + m->settings->max_calls * MAX(m->settings->n_provide, 0U);
        struct rlimit limit;

        m->n_clients_max = m->settings->max_connections;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* what we have must do then */
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= others + m->n_clients_max)
                return;
        m->n_clients_max =
                limit.rlim_cur > 2 * others ? limit.rlim_cur - others : limit.rlim_cur / 2;
        log_write(m->log, LOG_LEVEL_WARNING, NULL,
                  "%" PRIu64 " descriptors are too few: %" PRIu64 " connections at most",
                  (uint64_t)limit.rlim_cur, m->n_clients_max);
}

int manager_init(Manager *m, const Settings *settings, const Log *log) {
        static const int stops[] = { SIGTERM, SIGINT };
        int r;

        *m = (Manager){ .settings = settings, .log = log };
        m->budget.max = settings->max_memory;
        manager_limit_clients(m);
        r = sd_event_new(&m->event);
        for (unsigned i = 0; r >= 0 && i < ELEMENTSOF(stops); i++)
                r = sd_event_add_signal(m->event, NULL, stops[i], on_stop, m);
        if (r >= 0)
                r = sd_event_add_signal(m->event, NULL, SIGHUP, on_hangup, m);
        if (r >= 0)
                r = sd_event_add_post(m->event, NULL, on_post, m);
        if (r >= 0)
                r = sd_event_set_watchdog(m->event, true);
        return r < 0 ? err_origin(r) : 0;
}

static void manager_tell(const Manager *m) {
        const Counters *c = &m->counters;

        log_write(m->log, LOG_LEVEL_INFO, NULL,
                  "%" PRIu64 " connections, %" PRIu64 " turned away, %" PRIu64
                  " strangers, %" PRIu64 " gone, %" PRIu64 " late; %" PRIu64 " requests, %" PRIu64
                  " good, %" PRIu64 " bad; %" PRIu64 " to servers, %" PRIu64 " failed, %" PRIu64
                  " cancelled, %" PRIu64 " ignored",
                  c->accepted, c->turned_away, c->strangers, c->gone, c->late, c->requests, c->good,
                  c->bad, c->exchanges, c->failed, c->cancelled, c->ignored);
}

int manager_run(Manager *m) {
        int r;

        (void)sd_notify(false, "READY=1");
        r = sd_event_loop(m->event);
        if (m->closed_reason == 0)
                for (Service *service = m->services; service; service = service->next)
                        service_flush(service);
        manager_tell(m);
        return r < 0 ? err_origin(r) : 0;
}

void manager_done(Manager *m) {
        while (m->listeners)
                listener_free(m->listeners);
        while (m->clients)
                client_free(m->clients);
        if (m->has_calls)
                p2pbus_close(m->calls.bus);
        while (m->services)
                service_free(m->services);
        if (m->has_calls)
                calls_done(&m->calls);
        m->deadline = sd_event_source_disable_unref(m->deadline);
        m->event = sd_event_unref(m->event);
}
