/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the processes of this host say of themselves: leases, services, what they want to hear; from the
 * daemon to all links, and to each link that comes
 */

#include "bridge/forward-state.h"

#include <utlist.h>

void registrations_say_synced(Forward *f) {
        uint32_t up = forward_links_up(f);
        Control control = { .verb = CONTROL_SYNCED };

        if (f->said_synced || !f->daemon_synced || up == 0 ||
            forward_links_where(f, uplink_is_synced) != up)
                return;
        f->said_synced = true;
        gateway_say(f->gateway, &control, to_daemon, NULL);
}

void registrations_say_leased(Forward *f, const Lease *lease, uint16_t code) {
        Control control = {
                .verb = CONTROL_LEASED,
                .code = code,
                .value = (unsigned)__builtin_popcount(lease->leased),
                .address = lease->address,
        };

        gateway_say(f->gateway, &control, to_daemon, NULL);
}

static void on_wants_daemon(const Control *word, void *userdata) {
        Forward *f = userdata;

        /* What is wanted elsewhere it hears when it is synced. */
        if (f->daemon_synced || wanted_is_refusal(word))
                gateway_say(f->gateway, word, to_daemon, NULL);
}

static void on_wants_link(unsigned slot, const Control *word, void *userdata) {
        Forward *f = userdata;

        uplink_say(f->uplinks[slot], word, to_relay, NULL);
}

static void on_wants_links(const Control *word, void *userdata) {
        Forward *f = userdata;

        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (f->uplinks[i] && uplink_takes_leases(f->uplinks[i]))
                        on_wants_link(i, word, f);
}

void registrations_on_lease(Forward *f, const Control *control) {
        Lease *lease;
        int r;

        r = leases_put(f->leases, control->body, now_usec(CLOCK_REALTIME), &lease);
        if (r == LEASES_E_HELD) {
                registrations_say_leased(f, lease, CODE_OK);
                return;
        }
        if (r != 0) {
                log_write(f->log, LOG_LEVEL_WARNING, NULL, "a lease cannot be kept: %s",
                          r == LEASES_E_FULL ? "too many processes"
                          : r < 0            ? strerror(-r)
                                             : "malformed");
                return;
        }
        if (!lease->is_renewed)
                forward_wake(f);
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (f->uplinks[i] && uplink_takes_leases(f->uplinks[i]))
                        uplink_present(f->uplinks[i], lease->address, lease->bytes);
}

void registrations_on_wanted(Forward *f, const Control *control) {
        if (leases_find(f->leases, control->address, now_usec(CLOCK_REALTIME)) &&
            wants_on_daemon(f->wants, control))
                forward_wake(f);
}

static void say_service(Uplink *uplink, const Service *service) {
        const Control control = {
                .verb = CONTROL_SERVICE,
                .address = service->address,
                .body = service->bytes,
                .n_body = service->n_bytes,
        };

        uplink_say(uplink, &control, to_relay, NULL);
}

void registrations_say_services(Forward *f, Uplink *uplink, Address address) {
        const Service *service;

        DL_FOREACH2(services_first_of(f->services, address), service, next_own)
        say_service(uplink, service);
}

static void say_to_links(Forward *f, const Control *control) {
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (f->uplinks[i] && uplink_takes_leases(f->uplinks[i]))
                        uplink_say(f->uplinks[i], control, to_relay, NULL);
}

/* It provides the name no more, and did not say so itself. */
static void end_service(Forward *f, Service *service) {
        const Control control = {
                .verb = CONTROL_SERVICE,
                .code = CODE_GONE,
                .address = service->address,
                .body = (const uint8_t *)service_name(service),
                .n_body = service->n_name,
        };

        say_to_links(f, &control);
        services_drop(f->services, service);
}

void registrations_on_service(Forward *f, const Control *control) {
        const Control word = {
                .verb = CONTROL_SERVICE,
                .address = control->address,
                .body = control->body,
                .n_body = control->n_body,
        };
        Service *service;

        if (control->code == CODE_GONE) {
                service = services_find(f->services, control->address, (const char *)control->body,
                                        control->n_body);
                if (service)
                        end_service(f, service);
                return;
        }
        /* Behind the lease, or not at all: our daemon says it in this order. */
        if (!leases_find(f->leases, control->address, now_usec(CLOCK_REALTIME)))
                return;
        switch (services_put(f->services, control->body, control->n_body)) {
        case 0:
        case SERVICES_E_WITHDRAWN:
                say_to_links(f, &word);
        }
}

static void link_synced(Forward *f, Uplink *uplink) {
        Control control = { .verb = CONTROL_SYNCED };
        uint32_t bit = 1U << uplink_slot(uplink);

        if (!f->daemon_synced || f->links_synced & bit)
                return;
        f->links_synced |= bit;
        uplink_say(uplink, &control, to_relay, NULL);
}

void registrations_on_synced(Forward *f) {
        f->daemon_synced = true;
        f->purge_usec = forward_clock_usec() + FORWARD_UNCONFIRMED_USEC;
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (f->uplinks[i] && uplink_takes_leases(f->uplinks[i]))
                        link_synced(f, f->uplinks[i]);
        wants_tell_daemon(f->wants);
        registrations_say_synced(f);
}

static void lease_end(Forward *f, Lease *lease) {
        Address address = lease->address;
        Service *service;

        leases_drop(f->leases, lease);
        wants_on_detached(f->wants, address);
        /* Said of each, for if the process is back before a link hears of its leaving it never does. */
        while ((service = services_first_of(f->services, address)))
                end_service(f, service);
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (f->uplinks[i])
                        uplink_detach(f->uplinks[i], address);
}

void registrations_on_detached(Forward *f, const Control *control) {
        Lease *lease = leases_find(f->leases, control->address, 0);

        if (lease)
                lease_end(f, lease);
}

void registrations_tell(Forward *f, Uplink *uplink) {
        uint64_t now = now_usec(CLOCK_REALTIME);
        Lease *lease;

        DL_FOREACH (leases_first(f->leases), lease)
                if (lease->not_after_usec > now) {
                        uplink_present(uplink, lease->address, lease->bytes);
                        registrations_say_services(f, uplink, lease->address);
                }
        link_synced(f, uplink);
}

void registrations_on_leased(Forward *f, Uplink *uplink, const Control *control) {
        Lease *lease = leases_find(f->leases, control->address, 0);
        uint32_t bit = 1U << uplink_slot(uplink);
        char text[PID_TAGGED_SIZE];
        uint32_t n_suppressed;

        if (!lease)
                return; /* it has left since */
        if (control->code == CODE_OK) {
                /* What the relay heard before it had this lease it may have refused, or dropped. */
                if (!(lease->leased & bit)) {
                        wants_present(f->wants, uplink_slot(uplink), lease->address);
                        registrations_say_services(f, uplink, lease->address);
                }
                lease->leased |= bit;
        } else if (log_rate_pass(&f->refusals, now_usec(CLOCK_MONOTONIC), &n_suppressed))
                log_write(f->log, LOG_LEVEL_WARNING,
                          &(LogFields){ .link = uplink_url(uplink), .reason = "lease" },
                          "relay %s refuses the lease of %s: %s (%u such lines left out)",
                          uplink_url(uplink), address_format(control->address, text),
                          control_code_text(control->code), n_suppressed);
        registrations_say_leased(f, lease, control->code);
}

void registrations_purge(Forward *f) {
        Service *service, *next_service;
        Lease *lease, *next;

        DL_FOREACH_SAFE (leases_first(f->leases), lease, next)
                if (!lease->confirmed)
                        lease_end(f, lease);
        wants_purge(f->wants);
        DL_FOREACH_SAFE (services_first(f->services), service, next_service)
                if (!service->confirmed)
                        end_service(f, service);
}

const WantsHandlers registrations_wants = {
        .say_daemon = on_wants_daemon,
        .say_links = on_wants_links,
        .say_link = on_wants_link,
};
