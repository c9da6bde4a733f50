/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/barrier.h"

#include <utlist.h>

#include "daemon/lease.h"
#include "daemon/peer.h"

struct BarrierAsker {
        Peer *peer;
        BarrierAsker *prev, *next;           /* all */
        BarrierAsker *prev_peer, *next_peer; /* of the same process */
        PacketId ref;
        uint64_t until_usec;
        bool is_sent; /* with the question that is on its way */
};

static void say_pong(Peer *peer, const PacketId *ref, uint32_t value) {
        peer_say(peer, &(Control){ .verb = CONTROL_PONG, .value = value, .ref = *ref });
}

static void asker_free(BarrierAsker *asker) {
        DL_DELETE(asker->peer->manager->barrier.askers, asker);
        DL_DELETE2(asker->peer->barrier_askers, asker, prev_peer, next_peer);
        user_give(asker->peer->user, QUOTA_REQUESTS, 1);
        free(asker);
}

static void answer(BarrierAsker *asker, uint32_t value) {
        Peer *peer = asker->peer;
        PacketId ref = asker->ref;

        asker_free(asker);
        say_pong(peer, &ref, value);
}

/* Those who wait for nothing but the gateway. */
static void answer_given(Manager *manager) {
        BarrierAsker *asker, *next;

        DL_FOREACH_SAFE (manager->barrier.askers, asker, next)
                if (lease_is_given(asker->peer))
                        answer(asker, 0);
}

static bool is_anybody_given(const Manager *manager) {
        const BarrierAsker *asker;

        DL_FOREACH (manager->barrier.askers, asker)
                if (lease_is_given(asker->peer))
                        return true;
        return false;
}

void barrier_go(Manager *manager) {
        const Control word = { .verb = CONTROL_PING, .value = PING_ALL };
        Barrier *barrier = &manager->barrier;
        BarrierAsker *asker;

        if (barrier->is_asked || !is_anybody_given(manager))
                return;
        barrier->id = manager_packet_id(manager);
        if (!peer_say_with_id(manager->gateway.peer, &word, &barrier->id)) {
                answer_given(manager);
                return;
        }
        barrier->is_asked = true;
        barrier->until_usec = manager->now_usec + BARRIER_USEC;
        manager_wake_at(manager, barrier->until_usec);
        DL_FOREACH (barrier->askers, asker)
                asker->is_sent = lease_is_given(asker->peer);
}

ControlCode barrier_ask(Peer *peer, const PacketId *id) {
        Manager *manager = peer->manager;
        Barrier *barrier = &manager->barrier;
        BarrierAsker *asker;

        /* Without a lease it will get none: it heard why. */
        if (!manager->gateway.peer || !peer->lease || barrier->is_late) {
                say_pong(peer, id, 0);
                return CODE_OK;
        }
        if (user_take(peer->user, QUOTA_REQUESTS, 1) != 0)
                return CODE_QUOTA;
        asker = calloc(1, sizeof(*asker));
        if (!asker) {
                user_give(peer->user, QUOTA_REQUESTS, 1);
                return CODE_OVERLOAD;
        }
        asker->peer = peer;
        asker->ref = *id;
        asker->until_usec = manager->now_usec + BARRIER_USEC;
        DL_APPEND(barrier->askers, asker);
        DL_APPEND2(peer->barrier_askers, asker, prev_peer, next_peer);
        manager_wake_at(manager, asker->until_usec);
        barrier_go(manager);
        return CODE_OK;
}

void barrier_on_pong(Manager *manager, const Control *word) {
        Barrier *barrier = &manager->barrier;
        BarrierAsker *asker, *next;

        if (!barrier->is_asked || !packet_id_equal(&word->ref, &barrier->id))
                return;
        barrier->is_asked = barrier->is_late = false;
        DL_FOREACH_SAFE (barrier->askers, asker, next)
                if (asker->is_sent)
                        answer(asker, word->value);
        barrier_go(manager);
}

void barrier_leave(Peer *peer) {
        while (peer->barrier_askers)
                asker_free(peer->barrier_askers);
}

void barrier_end(Manager *manager) {
        Barrier *barrier = &manager->barrier;

        barrier->is_asked = barrier->is_late = false;
        while (barrier->askers)
                answer(barrier->askers, 0);
}

void barrier_on_time(Manager *manager) {
        Barrier *barrier = &manager->barrier;

        if (barrier->is_asked && !barrier->is_late) {
                barrier->is_late = manager->now_usec >= barrier->until_usec;
                if (barrier->is_late)
                        answer_given(manager);
                else
                        manager_wake_at(manager, barrier->until_usec);
        }
        while (barrier->askers && manager->now_usec >= barrier->askers->until_usec)
                answer(barrier->askers, 0);
        if (barrier->askers)
                manager_wake_at(manager, barrier->askers->until_usec);
}
