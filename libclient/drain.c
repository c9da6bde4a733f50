/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/drain.h"

#include "libclient/loop.h"
#include "libclient/own-name.h"
#include "libclient/path.h"
#include "libclient/peer.h"
#include "libclient/ping.h"
#include "libclient/reason.h"

/* What has begun to come will be there when the rest is: it was not refused. */
static bool is_receiving(const p2pbus *bus) {
        PEER_FOREACH (bus, peer)
                if (session_is_receiving(peer_inbound(peer)))
                        return true;
        return false;
}

static bool is_idle(const p2pbus *bus) {
        return bus->n_open == 0 && !bus->ready && !is_receiving(bus);
}

void drain_end(p2pbus *bus) {
        Drain *d = &bus->drain;

        for (size_t i = 0; i < d->n_pings; i++)
                ping_end(bus, &d->pings[i]);
        free(d->pings);
        d->pings = NULL;
        d->n_pings = 0;
        timer_clear(&bus->timers, &d->timer);
}

static void say(p2pbus *bus, Ping *ping) {
        Peer *peer = peer_find(bus, ping->address, NULL);
        uint8_t bytes[RECORD_HEADER_SIZE + RECORD_PING_SIZE];
        size_t n;

        if (!peer)
                return;
        n = ping_encode(ping, bytes);
        if (peer->path == SESSION_PATH_LOCAL) {
                ping->id = bus_new_id(bus);
                (void)path_send_local(bus, peer->address, &ping->id, USEC_NEVER, bytes, n);
        } else
                (void)peer_send_sealed(peer, bytes, n, NULL);
}

/* Who was forgotten meanwhile has closed its session, or is gone. */
static bool is_awaited(p2pbus *bus, const Ping *ping) {
        return !ping->is_answered && !ping->is_denied && peer_find(bus, ping->address, NULL);
}

static bool is_asking(p2pbus *bus) {
        const Drain *d = &bus->drain;

        if (!bus->is_up || bus->now_usec >= d->until_usec)
                return false;
        for (size_t i = 0; i < d->n_pings; i++)
                if (is_awaited(bus, &d->pings[i]))
                        return true;
        return false;
}

static void on_drain_timer(Timer *timer, uint64_t now) {
        Drain *d = container_of(timer, Drain, timer);
        p2pbus *bus = container_of(d, p2pbus, drain);

        bus_happened(bus);
        if (!is_asking(bus))
                return;
        for (size_t i = 0; i < d->n_pings; i++)
                if (is_awaited(bus, &d->pings[i]))
                        say(bus, &d->pings[i]);
        (void)timer_set(&bus->timers, &d->timer, MIN(now + DRAIN_AGAIN_USEC, d->until_usec));
}

static bool may_have_sent(const Peer *peer) {
        return !peer->mirror && session_is_established(peer->session);
}

/* Without memory nobody is asked; what is then still on its way is told when we close. */
static void ask_all(p2pbus *bus) {
        Drain *d = &bus->drain;
        size_t n = 0;

        PEER_FOREACH (bus, peer)
                n += may_have_sent(peer);
        d->pings = n > 0 ? calloc(n, sizeof(*d->pings)) : NULL;
        if (!d->pings)
                return;
        PEER_FOREACH (bus, peer)
                if (may_have_sent(peer))
                        ping_begin(bus, &d->pings[d->n_pings++], peer->address);
        d->until_usec = bus->now_usec + DRAIN_USEC;
        d->timer.on_due = on_drain_timer;
        on_drain_timer(&d->timer, bus->now_usec);
}

/* Return: whether it is over. */
static bool go_on(p2pbus *bus) {
        Drain *d = &bus->drain;

        if (own_name_begin_drain(bus)) {
                drain_end(bus); /* of names that were provided anew, or are drained for the first time */
                if (!own_name_is_said(bus) || !is_idle(bus))
                        return false;
                own_name_end_drain(bus);
                ask_all(bus);
        }
        if (is_asking(bus) || !is_idle(bus))
                return false;
        if (d->pings)
                drain_end(bus);
        return true;
}

_public_ int p2pbus_drain(p2pbus *bus, uint64_t timeout_usec) {
        uint64_t until;
        int r;

        r = timeout_usec > 0 ? bus_enter_blocking(bus) : bus_enter(bus);
        if (r < 0)
                return r;
        if (bus->is_closed)
                return bus_leave(bus, reason_fail(bus->away_reason));
        until = bus_deadline(bus, timeout_usec, 0);
        while (r == 0 && !go_on(bus))
                r = timeout_usec > 0 ? loop_wait(bus, until) : -EAGAIN;
        if (r == -ETIMEDOUT)
                r = reason_fail(P2PBUS_REASON_TIMEOUT);
        return bus_leave(bus, r);
}
