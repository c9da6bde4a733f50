/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The barrier: whether all have what was said before
 *
 * The daemon asks whether those behind the links have what it said of this host: each link that is up and
 * may know somebody here is asked, when it is SYNCED, for only then has it been told all. One that does not
 * answer in time is not waited for again until it has earned it (libcore/patience.h): the next question has
 * it asked, once its answer to the one before has come, for no word is lost, and does not count it.
 *
 * A link asks whether the daemon has what it said of other hosts: the daemon is asked, when it is SYNCED,
 * for the same reason. How long that takes is its own business: the relay has a limit.
 *
 * Each of them has one question at a time; to a second one the answer is that nothing is known.
 */

#include "bridge/forward-state.h"

#include <utlist.h>

#define TOO_LATE 1 /* an until_usec that is over */

static PacketId next_id(Barrier *b) {
        return packet_id_make(now_usec(CLOCK_REALTIME), UPLINK_NO_HEARTBEAT | ++b->n_asked);
}

static Control pong(const PacketId *ref, bool is_so) {
        return (Control){ .verb = CONTROL_PONG, .value = is_so ? PING_ALL : 0, .ref = *ref };
}

static const Control ping = { .verb = CONTROL_PING, .value = PING_ALL };

/* The daemon asks the links */

static void answer_daemon(Forward *f, const PacketId *ref, bool is_so) {
        const Control word = pong(ref, is_so);

        gateway_say(f->gateway, &word, to_daemon, NULL);
}

/* The answer is in time until @until_usec. */
static void ask_link(Forward *f, unsigned slot, uint64_t until_usec) {
        BarrierNear *near = &f->barrier.near[slot];

        near->id = next_id(&f->barrier);
        near->until_usec = until_usec;
        uplink_say(f->uplinks[slot], &ping, to_relay, &near->id);
}

/* Links that may know somebody of this host, and so were told what there is to be told. */
static uint32_t links_of_all(Forward *f) {
        uint32_t links = 0;
        const Lease *lease;

        DL_FOREACH (leases_first(f->leases), lease)
                links |= lease_links(lease);
        return links;
}

static uint32_t links_late(const Barrier *b) {
        uint32_t late = 0;

        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (b->near[i].patience.is_late)
                        late |= 1U << i;
        return late;
}

/* If nobody is waited for any more. */
static void settle(Forward *f) {
        Barrier *b = &f->barrier;

        if (b->deadline_usec == USEC_NEVER || b->waiting != 0)
                return;
        b->deadline_usec = USEC_NEVER;
        answer_daemon(f, &b->ref, b->is_so);
}

/* Link @slot is not waited for any more, if it was: it said, or shows, whether @is_so. */
static void release(Forward *f, unsigned slot, bool is_so) {
        Barrier *b = &f->barrier;
        uint32_t bit = 1U << slot;

        if (!(b->waiting & bit))
                return;
        b->waiting &= ~bit;
        b->is_so = b->is_so && is_so;
        settle(f);
}

void barrier_on_daemon_ping(Forward *f, const PacketHeader *header) {
        uint32_t links = forward_links_up(f) & links_of_all(f);
        uint32_t synced = links & forward_links_where(f, uplink_is_synced);
        uint64_t until = forward_clock_usec() + BARRIER_USEC;
        Barrier *b = &f->barrier;

        if (b->deadline_usec != USEC_NEVER) {
                answer_daemon(f, &header->id, false);
                return;
        }
        b->ref = header->id;
        b->deadline_usec = until;
        b->waiting = links & ~links_late(b);
        b->is_so = links != 0 && b->waiting == links;
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (synced & 1U << i && (b->waiting & 1U << i || b->near[i].until_usec == 0))
                        ask_link(f, i, until);
        settle(f);
}

void barrier_on_link_synced(Forward *f, const Uplink *uplink) {
        unsigned slot = uplink_slot(uplink);
        Barrier *b = &f->barrier;

        b->near[slot].patience.is_late = false; /* it was not asked yet */
        if (b->waiting & 1U << slot)
                ask_link(f, slot, b->deadline_usec);
}

void barrier_on_link_pong(Forward *f, const Uplink *uplink, const Control *control) {
        unsigned slot = uplink_slot(uplink);
        BarrierNear *near = &f->barrier.near[slot];

        if (near->until_usec == 0 || !packet_id_equal(&control->ref, &near->id))
                return;
        if (forward_clock_usec() < near->until_usec)
                patience_answered(&near->patience);
        else
                patience_missed(&near->patience);
        near->until_usec = 0;
        release(f, slot, control->value == PING_ALL);
}

void barrier_tick(Forward *f, uint64_t now) {
        Barrier *b = &f->barrier;

        if (now < b->deadline_usec)
                return;
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (b->waiting & 1U << i) {
                        patience_missed(&b->near[i].patience);
                        b->near[i].until_usec = MIN(b->near[i].until_usec, TOO_LATE);
                }
        b->waiting = 0;
        b->is_so = false;
        settle(f);
}

/* A link asks the daemon */

/* That question of link @slot which we kept: one at a time, so it is said however many words wait. */
static void answer_link(Forward *f, unsigned slot, bool is_so) {
        BarrierFar *far = &f->barrier.far[slot];
        const Control word = pong(&far->ref, is_so);

        far->asks = false;
        uplink_say(f->uplinks[slot], &word, to_relay, NULL);
}

static void ask_daemon(Forward *f, BarrierFar *far) {
        far->is_passed_on = true;
        far->id = next_id(&f->barrier);
        gateway_say(f->gateway, &ping, to_daemon, &far->id);
}

void barrier_on_link_ping(Forward *f, const Uplink *uplink, const PacketHeader *header) {
        unsigned slot = uplink_slot(uplink);
        BarrierFar *far = &f->barrier.far[slot];
        const Control unknown = pong(&header->id, false);

        if (far->asks || !gateway_is_attached(f->gateway)) {
                uplink_say_lossy(f->uplinks[slot], &unknown, to_relay, NULL);
                return;
        }
        *far = (BarrierFar){ .asks = true, .ref = header->id };
        if (f->daemon_synced)
                ask_daemon(f, far);
}

void barrier_on_daemon_synced(Forward *f) {
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (f->barrier.far[i].asks)
                        ask_daemon(f, &f->barrier.far[i]);
}

bool barrier_on_daemon_answer(Forward *f, const Control *control) {
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++) {
                BarrierFar *far = &f->barrier.far[i];

                if (!far->asks || !far->is_passed_on || !packet_id_equal(&control->ref, &far->id))
                        continue;
                answer_link(f, i, control->verb == CONTROL_PONG && control->value == PING_ALL);
                return true;
        }
        return false;
}

/* Their ends */

void barrier_forget_link(Forward *f, unsigned slot) {
        Barrier *b = &f->barrier;

        b->far[slot].asks = false;
        b->near[slot].patience.is_late = false; /* the price stays for when it is back */
        b->near[slot].until_usec = 0;
        release(f, slot, false);
}

void barrier_forget_daemon(Forward *f) {
        f->barrier.deadline_usec = USEC_NEVER;
        f->barrier.waiting = 0;
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (f->barrier.far[i].asks)
                        answer_link(f, i, false);
}
