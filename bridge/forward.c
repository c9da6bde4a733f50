/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/forward-state.h"

#include <utlist.h>

#include "libcore/err.h"

_Static_assert(ROUTES_LINKS_MAX == CONTROL_LINKS_MAX, "the daemon is told of each link");

int forward_new(Forward **ret, const Log *log, ParcelPool *pool) {
        _cleanup_(forward_freep) Forward *f = NULL;
        int r;

        f = calloc(1, sizeof(*f));
        if (!f)
                return err_origin(-ENOMEM);
        *f = (Forward){
                .log = log,
                .pool = pool,
                .purge_usec = USEC_NEVER,
                .idle_usec = USEC_NEVER,
                .look_usec = USEC_NEVER,
                .barrier = { .deadline_usec = USEC_NEVER },
        };

        r = leases_new(&f->leases, LEASES_MAX);
        if (r == 0)
                r = routes_new(&f->routes, ROUTES_ENTRIES_MAX);
        if (r == 0)
                r = lookups_new(&f->lookups);
        if (r == 0)
                r = wants_new(&f->wants, &registrations_wants, f);
        if (r == 0)
                r = lookups_new(&f->name_lookups);
        if (r == 0)
                r = services_new(&f->services);
        if (r == 0)
                r = relay_lists_new(&f->relay_lists);
        if (r < 0)
                return err_trace(r);
        lookups_want_all(f->name_lookups, LOOKUP_NAME_TIMEOUT_USEC);
        *ret = TAKE_PTR(f);
        return 0;
}

Forward *forward_free(Forward *f) {
        if (!f)
                return NULL;

        wants_free(f->wants);
        services_free(f->services);
        lookups_free(f->name_lookups);
        lookups_free(f->lookups);
        routes_free(f->routes);
        leases_free(f->leases);
        relay_list_unref(f->next_relays);
        relay_lists_free(f->relay_lists);
        free(f);
        return NULL;
}

void forward_set_gateway(Forward *f, Gateway *gateway) {
        f->gateway = gateway;
}

/* The links */

uint32_t forward_links_where(const Forward *f, bool (*is)(const Uplink *uplink)) {
        uint32_t links = 0;

        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (f->uplinks[i] && is(f->uplinks[i]))
                        links |= 1U << i;
        return links;
}

uint32_t forward_links_up(const Forward *f) {
        return forward_links_where(f, uplink_is_up);
}

static bool is_configured(const Uplink *uplink) {
        return uplink;
}

uint32_t forward_links_of(const Forward *f, Address address) {
        const Lease *lease = leases_find(f->leases, address, 0);

        return lease ? lease_links(lease) : 0;
}

uint16_t forward_no_link(const Forward *f, uint32_t links) {
        return forward_links_where(f, is_configured) & links ? CODE_SETTLING : CODE_NO_ROUTE;
}

static unsigned count(uint32_t links) {
        return (unsigned)__builtin_popcount(links);
}

unsigned forward_n_up(const Forward *f) {
        return count(forward_links_up(f));
}

const ForwardCounters *forward_counters(const Forward *f) {
        return &f->counters;
}

unsigned forward_n_uplinks(const Forward *f) {
        unsigned n = 0;

        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                n += f->uplinks[i] ? 1 : 0;
        return n;
}

/* The link for a packet of @sender to @dst, or -1; not one of @tried. */
static int choose(Forward *f, Lease *sender, Address dst, uint32_t tried) {
        uint32_t links = forward_links_up(f) & lease_links(sender) & ~tried;
        uint64_t round_trips[ROUTES_LINKS_MAX];

        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                round_trips[i] =
                        links & 1U << i ? uplink_round_trip_usec(f->uplinks[i]) : USEC_NEVER;
        return routes_choose(f->routes, dst, links, round_trips, forward_clock_usec(),
                             sender->relays ? &sender->chosen : NULL);
}

static void carry(Forward *f, unsigned slot, Parcel *parcel) {
        f->carried_usec[slot] = forward_clock_usec();
        uplink_queue(f->uplinks[slot], parcel);
}

/* To the daemon and its processes */

static void say_link(Forward *f, unsigned slot) {
        uint8_t body[CONTROL_LINK_HEAD_SIZE + CONTROL_LINK_URL_MAX];
        const Uplink *uplink = f->uplinks[slot];
        Control control = { .verb = CONTROL_LINK, .value = slot, .body = body };

        if (uplink) {
                size_t n = strnlen(uplink_name(uplink), CONTROL_LINK_URL_MAX);

                control.code = uplink_is_up(uplink) ? CODE_OK : CODE_NO_ROUTE;
                f->told_usec[slot] = uplink_round_trip_usec(uplink);
                store_le64(body, f->told_usec[slot]);
                memcpy(body + CONTROL_LINK_HEAD_SIZE, uplink_name(uplink), n);
                control.n_body = CONTROL_LINK_HEAD_SIZE + n;
        }
        gateway_say(f->gateway, &control, to_daemon, NULL);
}

static void say_links(Forward *f) {
        Control control = {
                .verb = CONTROL_LINKS,
                .value = forward_n_up(f) | forward_n_uplinks(f) << 16,
        };

        gateway_say(f->gateway, &control, to_daemon, NULL);
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                say_link(f, i);
}

static void say_path_changed(Forward *f) {
        Control control = { .verb = CONTROL_PATH_CHANGED, .value = ++f->generation };

        gateway_say(f->gateway, &control, to_daemon, NULL);
}

/* Packet @id, of @src on this host, did not get to @dst. @by: REFUSED_BY_X. */
static void refuse(Forward *f, Address src, Address dst, const PacketId *id, uint16_t code,
                   uint32_t by) {
        Control control = {
                .verb = CONTROL_ERROR,
                .code = code,
                .value = by,
                .ref = *id,
                .address = dst,
        };

        f->counters.n_refused++;
        gateway_say(f->gateway, &control, src, NULL);
}

static void refuse_parcel(Forward *f, Parcel *parcel, uint16_t code, uint32_t by) {
        refuse(f, parcel->src, parcel->dst, &parcel->id, code, by);
        parcel_free(f->pool, parcel);
}

/* Packet @id, of @src elsewhere, did not get to @dst: the link it came by passes that on. */
static void refuse_remote(Uplink *uplink, Address src, Address dst, const PacketId *id,
                          uint16_t code, uint32_t by) {
        Control control = {
                .verb = CONTROL_ERROR,
                .code = code,
                .value = by,
                .ref = *id,
                .address = dst,
        };

        uplink_say_lossy(uplink, &control, src, NULL);
}

/* From the daemon */

/* Something that came over a link was refused here: back to where it came from. */
static void on_daemon_error(Forward *f, const PacketHeader *header, const Control *control) {
        uint32_t links;
        Route route;
        int slot;

        if (barrier_on_daemon_answer(f, control))
                return; /* it does not know the question */
        route = routes_find(f->routes, header->dst, forward_clock_usec());
        links = route.known & leases_links_to(f->leases, control->address);
        if (links == 0)
                return; /* about a word of our own, or the link is gone */
        slot = route.last;
        if (slot < 0 || !(links & 1U << slot)) /* the packet came by another one */
                slot = __builtin_ctz(links);
        refuse_remote(f->uplinks[slot], header->dst, control->address, &control->ref, control->code,
                      REFUSED_BY_FAR_DAEMON);
}

static void on_daemon_control(const PacketHeader *header, const Control *control, void *userdata) {
        Forward *f = userdata;

        switch (control->verb) {
        case CONTROL_RELAYS:
                registrations_on_relays(f, control);
                break;
        case CONTROL_LEASE:
                registrations_on_lease(f, control);
                break;
        case CONTROL_SYNCED:
                registrations_on_synced(f);
                break;
        case CONTROL_DETACHED:
                registrations_on_detached(f, control);
                break;
        case CONTROL_RESOLVE:
                questions_ask(f, header, control);
                break;
        case CONTROL_WANTED:
                registrations_on_wanted(f, control);
                break;
        case CONTROL_SERVICE:
                registrations_on_service(f, control);
                break;
        case CONTROL_RESOLVE_NAME:
                questions_ask_name(f, header, control);
                break;
        case CONTROL_ERROR:
                on_daemon_error(f, header, control);
                break;
        case CONTROL_PING:
                if (control->value == PING_ALL)
                        barrier_on_daemon_ping(f, header);
                break;
        case CONTROL_PONG:
                (void)barrier_on_daemon_answer(f, control);
                break;
        default: /* said to every process; nothing to a gateway */
                break;
        }
}

static void on_daemon_packet(const PacketHeader *header, const uint8_t *packet, void *userdata) {
        Forward *f = userdata;
        Lease *lease = leases_find(f->leases, header->src, now_usec(CLOCK_REALTIME));
        uint16_t code = CODE_OK;
        Parcel *parcel;
        int slot;

        forward_wake(f);
        slot = lease ? choose(f, lease, header->dst, 0) : -1;
        /* What a relay would close the link for is refused here: it is one process's fault. */
        if (header->n_fds > 0 || header->eflags != 0 || header->last_fragment != 0)
                code = CODE_UNSUPPORTED;
        else if (pid_is_reserved(header->dst.pid))
                code = CODE_NOT_HERE;
        else if (!lease && forward_links_up(f) != 0)
                code = CODE_NOT_LEASED;
        else if (slot < 0)
                code = forward_no_link(f, lease ? lease_links(lease) : RELAY_LISTS_ALL_LINKS);
        else if (header->hops >= FORWARD_HOPS_MAX)
                code = CODE_OVERLOAD; /* it goes round in circles */
        else if (parcel_new(f->pool, header, packet, &parcel) < 0)
                code = CODE_OVERLOAD;
        if (code != CODE_OK) {
                refuse(f, header->src, header->dst, &header->id, code, REFUSED_BY_BRIDGE);
                return;
        }

        packet_set_hop_fields(parcel->data, header->hflags & PACKET_CE,
                              (uint8_t)(header->hops + 1));
        f->counters.n_out++;
        carry(f, (unsigned)slot, parcel);
}

static void on_daemon_attached(void *userdata) {
        Forward *f = userdata;

        say_links(f);
}

/* Its processes live on and will be back; but who sends to them meanwhile is told to wait. */
static void on_daemon_detached_from(void *userdata) {
        Forward *f = userdata;

        f->daemon_synced = false;
        f->said_synced = false;
        f->purge_usec = USEC_NEVER;
        f->next_relays = relay_list_unref(f->next_relays);
        leases_unconfirm(f->leases);
        wants_unconfirm(f->wants);
        services_unconfirm(f->services);
        barrier_forget_daemon(f);
}

const GatewayHandlers forward_gateway_handlers = {
        .on_attached = on_daemon_attached,
        .on_detached = on_daemon_detached_from,
        .on_control = on_daemon_control,
        .on_packet = on_daemon_packet,
};

/* From a link */

static void on_link_proven(Uplink *uplink, void *userdata) {
        registrations_tell(userdata, uplink);
}

static void on_link_up(Uplink *uplink, void *userdata) {
        Forward *f = userdata;

        say_links(f);
        /* All that was sent meanwhile is lost, also of who may use this link alone. */
        if (f->lost ||
            relay_lists_have_only(f->relay_lists, forward_links_up(f), uplink_slot(uplink)))
                say_path_changed(f);
        f->lost = false;
}

static void on_link_synced(Uplink *uplink, void *userdata) {
        barrier_on_link_synced(userdata, uplink);
        registrations_say_synced(userdata);
}

/*
 * What was under way on a link is lost with it. What has no effect is not said: each session would
 * send again what goes well by another.
 */
static void say_what_was_lost(Forward *f, unsigned slot) {
        uint64_t carried_usec = f->carried_usec[slot];

        f->carried_usec[slot] = 0;
        if (carried_usec != 0 && forward_clock_usec() - carried_usec < FORWARD_FLIGHT_USEC)
                say_path_changed(f);
}

/* People look at it now and then; not each microsecond is news. */
static void on_link_measured(Uplink *uplink, void *userdata) {
        uint64_t usec = uplink_round_trip_usec(uplink);
        Forward *f = userdata;
        uint64_t told = f->told_usec[uplink_slot(uplink)];

        if (told == USEC_NEVER || (usec > told ? usec - told : told - usec) > told / 8)
                say_link(f, uplink_slot(uplink));
}

static void link_gone(Forward *f, unsigned slot) {
        Lease *lease;

        f->links_synced &= ~(1U << slot);
        routes_forget_link(f->routes, slot);
        lookups_forget_link(f->lookups, slot);
        wants_forget_link(f->wants, slot);
        lookups_forget_link(f->name_lookups, slot);
        barrier_forget_link(f, slot);
        DL_FOREACH (leases_first(f->leases), lease)
                if (lease->leased & 1U << slot) {
                        lease->leased &= ~(1U << slot);
                        registrations_say_leased(f, lease, CODE_OK);
                }
}

static void on_link_down(Uplink *uplink, void *userdata) {
        Forward *f = userdata;

        link_gone(f, uplink_slot(uplink));
        f->lost = forward_links_up(f) == 0;
        say_links(f);
        say_what_was_lost(f, uplink_slot(uplink));
        registrations_say_synced(f); /* it may have been the one we waited for */
}

static void on_link_packet(Uplink *uplink, const PacketHeader *header, uint8_t *packet,
                           void *userdata) {
        Forward *f = userdata;
        uint32_t by = REFUSED_BY_FAR_BRIDGE;
        uint16_t code = CODE_OK;

        forward_wake(f);
        routes_learn(f->routes, header->src, uplink_slot(uplink), forward_clock_usec());
        if (header->hops >= FORWARD_HOPS_MAX)
                code = CODE_OVERLOAD;
        else if (header->eflags != 0 || header->last_fragment != 0)
                /* The daemon would take it for a violation of ours, and cut this host off. */
                code = CODE_UNSUPPORTED;
        else if (!gateway_is_attached(f->gateway))
                code = CODE_SETTLING;
        else if (!(leases_links_to(f->leases, header->dst) & 1U << uplink_slot(uplink))) {
                /* As our daemon says it of who is not here: the link learns nothing. */
                code = CODE_NOT_HERE;
                by = REFUSED_BY_FAR_DAEMON;
        }
        if (code != CODE_OK) {
                f->counters.n_refused_remote++;
                refuse_remote(uplink, header->src, header->dst, &header->id, code, by);
                return;
        }
        packet_set_hop_fields(packet, header->hflags & PACKET_CE, (uint8_t)(header->hops + 1));
        f->counters.n_in++;
        gateway_pass(f->gateway, packet, header->size);
}

/* The relay has no lease of that process (any more): present it again and send once more. */
static void on_link_unleased(Forward *f, Uplink *uplink, const Control *control) {
        Lease *lease = leases_find(f->leases, control->address, now_usec(CLOCK_REALTIME));
        Parcel *parcel = uplink_take_back(uplink, &control->ref);

        if (lease && !(lease_links(lease) & 1U << uplink_slot(uplink)))
                lease = NULL; /* not for this relay any more */
        if (lease) {
                uplink_present(uplink, lease->address, lease->bytes);
                wants_present(f->wants, uplink_slot(uplink), lease->address);
                registrations_say_services(f, uplink, lease->address);
        }
        if (!parcel)
                return;
        if (!lease || parcel->repeated) {
                refuse_parcel(f, parcel, CODE_NOT_LEASED, REFUSED_BY_BRIDGE);
                return;
        }
        parcel->repeated = true;
        carry(f, uplink_slot(uplink), parcel);
}

/* This link does not have the destination: the next one may. */
static void try_next(Forward *f, Lease *sender, Uplink *uplink, const Control *control) {
        uint32_t bit = 1U << uplink_slot(uplink);
        Parcel *parcel = uplink_take_back(uplink, &control->ref);
        uint16_t code = control->code;
        int slot;

        routes_forget(f->routes, control->address, uplink_slot(uplink));
        if (!parcel) {
                /* Too long ago to be repeated. Others may know: the sender shall ask again. */
                if (forward_links_up(f) & lease_links(sender) & ~bit)
                        code = CODE_SETTLING;
                refuse(f, sender->address, control->address, &control->ref, code, control->value);
                return;
        }

        parcel->code = parcel->tried == 0 ? code : lookups_more_telling(parcel->code, code);
        parcel->tried |= bit;
        slot = choose(f, sender, parcel->dst, parcel->tried);
        if (slot >= 0)
                carry(f, (unsigned)slot, parcel);
        else /* what an earlier link said more of, a relay said */
                refuse_parcel(f, parcel, parcel->code,
                              parcel->code == code ? control->value : REFUSED_BY_RELAY);
}

/* Only about packets of processes that we carry; a relay has nothing to say to others. */
static void on_link_error(Forward *f, Uplink *uplink, const PacketHeader *header,
                          const Control *control) {
        uint32_t n_suppressed;
        Lease *sender;

        if (header->dst.pid == PID_BRIDGE &&
            log_rate_pass(&f->refusals, now_usec(CLOCK_MONOTONIC), &n_suppressed))
                log_write(f->log, LOG_LEVEL_WARNING,
                          &(LogFields){ .link = uplink_url(uplink), .reason = "word" },
                          "relay %s refuses a word of this bridge: %s (%u such lines left out)",
                          uplink_url(uplink), control_code_text(control->code), n_suppressed);
        sender = leases_find(f->leases, header->dst, 0);
        if (!sender)
                return;

        switch (control->code) {
        case CODE_NOT_HERE:
        case CODE_GONE:
        case CODE_SETTLING:
        case CODE_WRONG_KEY:
                try_next(f, sender, uplink, control);
                break;
        default:
                refuse(f, header->dst, control->address, &control->ref, control->code,
                       control->value);
        }
}

static void on_link_control(Uplink *uplink, const PacketHeader *header, const Control *control,
                            void *userdata) {
        Forward *f = userdata;

        switch (control->verb) {
        case CONTROL_LEASED:
                registrations_on_leased(f, uplink, control);
                break;
        case CONTROL_RESOLVED:
                questions_on_resolved(f, uplink, control);
                break;
        case CONTROL_SERVICES:
                questions_on_services(f, uplink, control);
                break;
        case CONTROL_UNLEASED:
                on_link_unleased(f, uplink, control);
                break;
        case CONTROL_WANTED: /* what is none is no more than that: links carry what others say */
                (void)wants_on_link(f->wants, uplink_slot(uplink), control);
                break;
        case CONTROL_ERROR:
                on_link_error(f, uplink, header, control);
                break;
        case CONTROL_PING:
                barrier_on_link_ping(f, uplink, header);
                break;
        case CONTROL_PONG:
                barrier_on_link_pong(f, uplink, control);
                break;
        default: /* known, but nothing a relay says to a bridge */
                break;
        }
}

static void on_link_refused(Uplink *uplink, Parcel *parcel, uint16_t code, void *userdata) {
        (void)uplink;
        refuse_parcel(userdata, parcel, code, REFUSED_BY_BRIDGE);
}

const UplinkHandlers forward_uplink_handlers = {
        .on_proven = on_link_proven,
        .on_up = on_link_up,
        .on_synced = on_link_synced,
        .on_measured = on_link_measured,
        .on_down = on_link_down,
        .on_packet = on_link_packet,
        .on_control = on_link_control,
        .on_refused = on_link_refused,
};

void forward_set_uplink(Forward *f, unsigned slot, Uplink *uplink) {
        bool was_up = f->uplinks[slot] && uplink_is_up(f->uplinks[slot]);

        f->uplinks[slot] = uplink;
        relay_lists_set_link(f->relay_lists, slot, uplink ? uplink_url(uplink) : NULL);
        link_gone(f, slot);
        say_links(f);
        if (was_up)
                say_what_was_lost(f, slot);
}

/* Time */

uint64_t forward_deadline(const Forward *f) {
        uint64_t usec = MIN(lookups_deadline(f->lookups), lookups_deadline(f->name_lookups));

        usec = MIN(usec, f->barrier.deadline_usec);
        return MIN(MIN(usec, f->purge_usec), f->look_usec);
}

/*
 * What moves with each packet would set the timer with each: so the deadline is a time to look, and
 * is moved when it has come.
 */
static void look_whether_idle(Forward *f, uint64_t now) {
        if (now < f->active_usec + f->idle_usec) {
                f->look_usec = f->active_usec + f->idle_usec;
                return;
        }
        f->look_usec = USEC_NEVER;
        f->resting = true;
        memset(f->carried_usec, 0, sizeof(f->carried_usec)); /* all has arrived by now */
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (f->uplinks[i])
                        uplink_rest(f->uplinks[i]);
}

void forward_wake(Forward *f) {
        f->active_usec = forward_clock_usec();
        if (!f->resting)
                return;
        f->resting = false;
        if (f->idle_usec != USEC_NEVER)
                f->look_usec = f->active_usec + f->idle_usec;
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (f->uplinks[i])
                        uplink_hurry(f->uplinks[i]);
}

void forward_set_idle(Forward *f, uint64_t idle_usec) {
        f->idle_usec = idle_usec;
        forward_wake(f);
        f->look_usec = idle_usec == USEC_NEVER ? USEC_NEVER : f->active_usec + idle_usec;
}

bool forward_is_resting(const Forward *f) {
        return f->resting;
}

void forward_tick(Forward *f, uint64_t now) {
        questions_tick(f, now);
        barrier_tick(f, now);
        if (now >= f->purge_usec) {
                f->purge_usec = USEC_NEVER;
                registrations_purge(f);
        }
        if (now >= f->look_usec)
                look_whether_idle(f, now);
}

void forward_settle(Forward *f) {
        size_t unread = gateway_output_size(f->gateway);
        bool paused = f->paused ? unread > FORWARD_RESUME_BYTES : unread > FORWARD_PAUSE_BYTES;

        if (paused == f->paused)
                return;
        f->paused = paused;
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (f->uplinks[i])
                        uplink_pause(f->uplinks[i], paused);
}
