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

/* Links that hear of the process with this address. */
static uint32_t links_for(const Forward *f, Address address) {
        return forward_links_where(f, uplink_takes_leases) & forward_links_of(f, address);
}

/* Of the process with its address. */
static void say_to_links(Forward *f, const Control *control) {
        uint32_t links = links_for(f, control->address);

        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (links & 1U << i)
                        uplink_say(f->uplinks[i], control, to_relay, NULL);
}

static void on_wants_links(const Control *word, void *userdata) {
        say_to_links(userdata, word);
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

static Control provided_no_more(const Service *service) {
        return (Control){
                .verb = CONTROL_SERVICE,
                .code = CODE_GONE,
                .address = service->address,
                .body = (const uint8_t *)service_name(service),
                .n_body = service->n_name,
        };
}

/* It provides the name no more, and did not say so itself. */
static void end_service(Forward *f, Service *service) {
        const Control control = provided_no_more(service);

        say_to_links(f, &control);
        services_drop(f->services, service);
}

/* The link is to know nothing of the process any more. */
static void withdraw(Forward *f, Lease *lease, unsigned slot) {
        const Service *service;

        wants_withdraw(f->wants, slot, lease->address);
        DL_FOREACH2(services_first_of(f->services, lease->address), service, next_own) {
                const Control control = provided_no_more(service);

                uplink_say(f->uplinks[slot], &control, to_relay, NULL);
        }
        uplink_detach(f->uplinks[slot], lease->address);
        lease->leased &= ~(1U << slot);
}

void registrations_on_relays(Forward *f, const Control *control) {
        relay_list_unref(f->next_relays);
        f->next_relays = relay_lists_get(f->relay_lists, control->body, control->n_body);
        f->next_relays_of = control->address;
}

/*
 * What was said of the relays of the process whose lease has come, with the reference. If it should have
 * been, and was not, none: a word that is missing must not give it all.
 */
static RelayList *take_relays(Forward *f, const Lease *lease, bool is_restricted) {
        RelayList *relays = TAKE_PTR(f->next_relays);

        if (!address_equal(f->next_relays_of, lease->address))
                relays = relay_list_unref(relays);
        return relays || !is_restricted ? relays : relay_lists_get_none(f->relay_lists);
}

void registrations_on_lease(Forward *f, const Control *control) {
        uint32_t before, links;
        Lease *lease;
        int r;

        r = leases_put(f->leases, control->body, now_usec(CLOCK_REALTIME), &lease);
        if (r != 0 && r != LEASES_E_HELD) {
                f->next_relays = relay_list_unref(f->next_relays);
                log_write(f->log, LOG_LEVEL_WARNING, NULL, "a lease cannot be kept: %s",
                          r == LEASES_E_FULL ? "too many processes"
                          : r < 0            ? strerror(-r)
                                             : "malformed");
                return;
        }
        if (r == 0 && !lease->is_renewed)
                forward_wake(f);
        before = r == 0 && !lease->is_renewed ? 0 : links_for(f, lease->address);
        lease_set_relays(lease, take_relays(f, lease, control->value == LEASE_RESTRICTED));
        links = links_for(f, lease->address);
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (before & ~links & 1U << i)
                        withdraw(f, lease, i);
                else if (links & 1U << i && (r == 0 || !(before & 1U << i)))
                        uplink_present(f->uplinks[i], lease->address, lease->bytes);
        if (r == LEASES_E_HELD)
                registrations_say_leased(f, lease, CODE_OK);
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
        barrier_on_daemon_synced(f);
        registrations_say_synced(f);
}

static void lease_end(Forward *f, Lease *lease) {
        Address address = lease->address;
        uint32_t links = forward_links_of(f, address);
        Service *service;

        wants_on_detached(f->wants, address);
        /* Said of each, for if the process is back before a link hears of its leaving it never does. */
        while ((service = services_first_of(f->services, address)))
                end_service(f, service);
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (f->uplinks[i] && links & 1U << i)
                        uplink_detach(f->uplinks[i], address);
        leases_drop(f->leases, lease);
}

void registrations_on_detached(Forward *f, const Control *control) {
        Lease *lease = leases_find(f->leases, control->address, 0);

        if (lease)
                lease_end(f, lease);
}

void registrations_tell(Forward *f, Uplink *uplink) {
        uint64_t now = now_usec(CLOCK_REALTIME);
        uint32_t bit = 1U << uplink_slot(uplink);
        Lease *lease;

        DL_FOREACH (leases_first(f->leases), lease)
                if (lease->not_after_usec > now && lease_links(lease) & bit) {
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

        if (!lease || !(lease_links(lease) & bit))
                return; /* it has left since, or the link */
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
