/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The barrier: whether all have what was said before
 *
 * The daemon asks whether those behind the links have what it said of this host: each link that is up is
 * asked, when it is SYNCED, for only then has it been told all. One that does not answer in time is not
 * waited for again until it does; nor is it asked meanwhile, for no word is lost: its answer will come.
 *
 * A link asks whether the daemon has what it said of other hosts: the daemon is asked, when it is SYNCED,
 * for the same reason. How long that takes is its own business: the relay has a limit.
 *
 * Each of them has one question at a time; to a second one the answer is that nothing is known.
 */

#include "bridge/forward-state.h"

static PacketId next_id(Barrier *b) {
        return packet_id_make(now_usec(CLOCK_REALTIME), UPLINK_NO_HEARTBEAT | ++b->n_asked);
}

static bool answers(const Control *answer, const PacketId *id) {
        return memcmp(&answer->ref, id, sizeof(*id)) == 0;
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

static void ask_links(Forward *f, uint32_t links) {
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (links & 1U << i)
                        uplink_say(f->uplinks[i], &ping, to_relay, &f->barrier.id);
}

/* If nobody is waited for any more. */
static void settle(Forward *f) {
        Barrier *b = &f->barrier;

        if (b->deadline_usec == USEC_NEVER || b->waiting != 0)
                return;
        b->deadline_usec = USEC_NEVER;
        answer_daemon(f, &b->ref, b->is_so);
}

void barrier_on_daemon_ping(Forward *f, const PacketHeader *header) {
        uint32_t up = forward_links_up(f);
        Barrier *b = &f->barrier;

        if (b->deadline_usec != USEC_NEVER) {
                answer_daemon(f, &header->id, false);
                return;
        }
        b->ref = header->id;
        b->id = next_id(b);
        b->deadline_usec = forward_clock_usec() + BARRIER_USEC;
        b->waiting = up & ~b->late;
        b->is_so = up != 0 && b->waiting == up;
        ask_links(f, b->waiting & forward_links_where(f, uplink_is_synced));
        settle(f);
}

void barrier_on_link_synced(Forward *f, const Uplink *uplink) {
        uint32_t bit = 1U << uplink_slot(uplink);

        f->barrier.late &= ~bit; /* it was not asked yet */
        ask_links(f, f->barrier.waiting & bit);
}

void barrier_on_link_pong(Forward *f, const Uplink *uplink, const Control *control) {
        uint32_t bit = 1U << uplink_slot(uplink);
        Barrier *b = &f->barrier;

        b->late &= ~bit;
        if (!(b->waiting & bit) || !answers(control, &b->id))
                return;
        b->waiting &= ~bit;
        b->is_so = b->is_so && control->value == PING_ALL;
        settle(f);
}

void barrier_tick(Forward *f, uint64_t now) {
        Barrier *b = &f->barrier;

        if (now < b->deadline_usec)
                return;
        b->late |= b->waiting;
        b->waiting = 0;
        b->is_so = false;
        settle(f);
}

/* A link asks the daemon */

static void answer_link(Forward *f, unsigned slot, const PacketId *ref, bool is_so) {
        const Control word = pong(ref, is_so);

        uplink_say_lossy(f->uplinks[slot], &word, to_relay, NULL);
}

static void ask_daemon(Forward *f, BarrierFar *far) {
        far->is_passed_on = true;
        far->id = next_id(&f->barrier);
        gateway_say(f->gateway, &ping, to_daemon, &far->id);
}

void barrier_on_link_ping(Forward *f, const Uplink *uplink, const PacketHeader *header) {
        BarrierFar *far = &f->barrier.far[uplink_slot(uplink)];

        if (far->asks || !gateway_is_attached(f->gateway)) {
                answer_link(f, uplink_slot(uplink), &header->id, false);
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

                if (!far->asks || !far->is_passed_on || !answers(control, &far->id))
                        continue;
                far->asks = false;
                answer_link(f, i, &far->ref,
                            control->verb == CONTROL_PONG && control->value == PING_ALL);
                return true;
        }
        return false;
}

/* Their ends */

void barrier_forget_link(Forward *f, unsigned slot) {
        Barrier *b = &f->barrier;
        uint32_t bit = 1U << slot;

        b->far[slot].asks = false;
        b->late &= ~bit;
        if (!(b->waiting & bit))
                return;
        b->waiting &= ~bit;
        b->is_so = false;
        settle(f);
}

void barrier_forget_daemon(Forward *f) {
        f->barrier.deadline_usec = USEC_NEVER;
        f->barrier.waiting = 0;
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++) {
                BarrierFar *far = &f->barrier.far[i];

                if (far->asks)
                        answer_link(f, i, &far->ref, false);
                far->asks = false;
        }
}
