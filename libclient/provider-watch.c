/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/provider-watch.h"

#include <utlist.h>

#include "libclient/reason.h"
#include "libclient/service.h"
#include "libcore/name.h"

static bool is_here(const Provider *p) {
        return p->is_listed && !p->is_unsure;
}

static bool is_remote(const ProviderRank *rank) {
        return rank->flags & PROVIDER_REMOTE;
}

/* It was told of at one place, and is at another. */
static bool has_moved(const Provider *p) {
        return is_remote(&p->told.rank) != is_remote(&p->entry.rank);
}

static bool is_as_told(const Provider *p) {
        const ProviderRank *told = &p->told.rank, *now = &p->entry.rank;

        if (!p->told.is_here || !is_here(p))
                return p->told.is_here == is_here(p);
        return told->priority == now->priority && told->weight == now->weight &&
               told->flags == now->flags;
}

void provider_watch_note(Provider *p) {
        p2pbus *bus = p->set->bus;
        bool is_noted = p->prev_change;
        bool is_news = p->set->is_followed && !is_as_told(p);

        if (is_news && !is_noted) {
                DL_APPEND2(bus->provider_changes, p, prev_change, next_change);
                bus_happened(bus);
        } else if (!is_news && is_noted) {
                DL_DELETE2(bus->provider_changes, p, prev_change, next_change);
                p->prev_change = p->next_change = NULL;
        }
}

void provider_watch_note_all(ProviderSet *set) {
        Provider *p;

        if (set->is_followed)
                DL_FOREACH (set->providers, p)
                        provider_watch_note(p);
}

void provider_watch_end(ProviderSet *set) {
        Provider *p, *next;

        set->is_followed = false;
        DL_FOREACH_SAFE (set->providers, p, next) {
                provider_ref(p);
                p->told.is_here = false;
                provider_watch_note(p);
                provider_unref(p); /* that it was told of may be all that kept it */
        }
}

/* The application */

/* @ret: all but its size. */
static void tell(Provider *p, p2pbus_provider_change *ret) {
        bool is_here_now = is_here(p) && !(p->told.is_here && has_moved(p));
        const ProviderRank *rank = is_here_now ? &p->entry.rank : &p->told.rank;

        if (!is_here_now)
                ret->event = P2PBUS_PROVIDER_GONE;
        else
                ret->event = p->told.is_here ? P2PBUS_PROVIDER_CHANGED : P2PBUS_PROVIDER_HERE;
        ret->remote = is_remote(rank);
        ret->priority = rank->priority;
        ret->weight = rank->weight;
        ret->flags = rank->flags & PROVIDER_DRAIN ? P2PBUS_SERVICE_DRAIN : 0;
        (void)key_format(&p->key, ret->full);
        strcpy(ret->name, service_of(p)->text);
        p->told.is_here = is_here_now;
        p->told.rank = *rank;
}

_public_ int p2pbus_next_provider_change(p2pbus *bus, p2pbus_provider_change *change) {
        Provider *p;
        int r;

        if (!change || change->struct_size != sizeof(*change))
                return reason_fail_errno(-EINVAL, "p2pbus_provider_change.struct_size is not set");
        r = bus_enter(bus);
        if (r < 0)
                return r;
        p = bus->provider_changes;
        if (!p)
                return bus_leave(bus, -EAGAIN);
        provider_ref(p);
        tell(p, change);
        provider_watch_note(p);
        provider_unref(p);
        return bus_leave(bus, 0);
}

/* bus_enter(), for something with @name. */
static int enter_for(p2pbus *bus, const char *name) {
        if (!name || !name_is_valid(name, strlen(name)))
                return reason_fail_text(P2PBUS_REASON_BAD_DESTINATION, "%.64s is no service name",
                                        name ? name : "(null)");
        return bus_enter(bus);
}

_public_ int p2pbus_watch(p2pbus *bus, const char *name) {
        int r = enter_for(bus, name);

        if (r < 0)
                return r;
        if (bus->is_closed)
                return bus_leave(bus, reason_fail(bus->away_reason));
        return bus_leave(bus, service_watch(bus, name));
}

_public_ int p2pbus_unwatch(p2pbus *bus, const char *name) {
        int r = enter_for(bus, name);

        if (r < 0)
                return r;
        return bus_leave(bus, service_unwatch(bus, name));
}
