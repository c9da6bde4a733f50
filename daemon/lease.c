/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/lease.h"

#include <utlist.h>

#include "daemon/own-services.h"
#include "daemon/peer.h"
#include "libsecure/crypto.h"
#include "libsecure/signed-record.h"

#define RETRY_USEC (30 * USEC_PER_SEC) /* a process that did not answer is asked again */
#define OWED_USEC USEC_PER_SEC         /* and a gateway that had no room told again */

struct Lease {
        uint8_t bytes[CONTROL_LEASE_SIZE];
        bool is_held;
        bool is_asked_for;
        bool is_owed;            /* to the gateway, who had no room for it */
        PublicKey bridge;        /* of the lease that is held, or was asked for */
        uint64_t issued_usec;    /* wall clock; of the last request */
        uint64_t not_after_usec; /* wall clock; of the lease that is held */
        uint64_t next_usec;      /* monotonic: ask then, or give it */
};

static uint64_t lease_life(const Peer *peer) {
        uint64_t life = peer->manager->config.lease_usec;

        return peer->ephemeral ? MIN(life, SIGNED_RECORD_TRANSIENT_LIFE_USEC) : life;
}

/* Half of its life, give or take a tenth: not everybody at once. */
static uint64_t renewal_usec(const Manager *manager, uint64_t life) {
        return manager->now_usec + life * 2 / 5 + crypto_random_u64() % (life / 5 + 1);
}

static void lease_request(Peer *peer) {
        Manager *manager = peer->manager;
        Lease *lease = peer->lease;
        uint64_t life = lease_life(peer);
        uint8_t body[CONTROL_LEASE_REQUEST_SIZE];
        Control word = {
                .verb = CONTROL_LEASE_REQUEST,
                .value = peer->ephemeral ? LEASE_TRANSIENT : 0,
                .address = peer->entry.address,
                .body = body,
                .n_body = sizeof(body),
        };

        lease->bridge = manager->gateway.peer->key;
        lease->issued_usec = MAX(lease->issued_usec + 1, now_usec(CLOCK_REALTIME));
        lease->is_asked_for = true;
        lease->next_usec = manager->now_usec + MIN(RETRY_USEC, life / 2);
        manager_wake_at(manager, lease->next_usec);

        memcpy(body, lease->bridge.bytes, KEY_SIZE);
        store_le64(body + 32, lease->issued_usec);
        store_le64(body + 40, lease->issued_usec + life);
        peer_say(peer, &word);
}

static bool is_for_gateway(const Peer *peer) {
        const Lease *lease = peer->lease;
        const Peer *gateway = peer->manager->gateway.peer;

        return lease && lease->is_held && gateway && gateway != peer &&
               key_equal(&lease->bridge, &gateway->key);
}

bool lease_is_given(const Peer *peer) {
        return is_for_gateway(peer) && !peer->lease->is_owed;
}

/* Through which relays it is to be known; nothing: through all. Return: whether that was said. */
static bool say_relays(Peer *peer) {
        uint8_t body[CONTROL_RELAYS_MAX];
        const Control word = {
                .verb = CONTROL_RELAYS,
                .address = peer->entry.address,
                .body = body,
                .n_body = policy_write_relays(peer->subject, body),
        };

        return !peer->subject->has_some_relays || peer_say(peer->manager->gateway.peer, &word);
}

/* And with it what others need to know of the process. */
static void lease_give(Peer *peer) {
        Manager *manager = peer->manager;
        Lease *lease = peer->lease;
        Control word = {
                .verb = CONTROL_LEASE,
                .value = peer->subject->has_some_relays ? LEASE_RESTRICTED : 0,
                .address = peer->entry.address,
                .body = lease->bytes,
                .n_body = CONTROL_LEASE_SIZE,
        };

        /* One without the other would make it known to relays that it is to be kept from. */
        lease->is_owed = !say_relays(peer) || !peer_say(manager->gateway.peer, &word);
        if (lease->is_owed) {
                lease->next_usec = MIN(lease->next_usec, manager->now_usec + OWED_USEC);
                manager_wake_at(manager, lease->next_usec);
                return;
        }
        topics_say_wants(peer);
        own_services_give(peer);
        barrier_go(peer->manager);
}

void lease_hand_over(Peer *peer) {
        Manager *manager = peer->manager;
        Lease *lease = peer->lease;

        if (!peer->off_host || !manager->gateway.peer || manager->gateway.peer == peer)
                return;
        if (!lease) {
                if (user_take(peer->user, QUOTA_LEASES, 1) != 0) {
                        manager->counters.refused[CODE_QUOTA]++;
                        peer_log(peer, LOG_LEVEL_WARNING, NULL, "lease_quota",
                                 "too many processes of this user ask to be reachable off-host");
                        return;
                }
                lease = peer->lease = calloc(1, sizeof(*lease));
                if (!lease) {
                        user_give(peer->user, QUOTA_LEASES, 1);
                        return;
                }
        }
        if (lease->is_held && key_equal(&lease->bridge, &manager->gateway.peer->key) &&
            lease->not_after_usec > now_usec(CLOCK_REALTIME)) {
                lease_give(peer);
                return;
        }
        lease->is_held = false;
        lease_request(peer);
}

void lease_give_again(Peer *peer) {
        if (is_for_gateway(peer))
                lease_give(peer);
}

ControlCode lease_record_code(int verdict) {
        switch (verdict) {
        case 0:
                return CODE_OK;
        case SIGNED_RECORD_E_CLOCK:
                return CODE_CLOCK;
        case SIGNED_RECORD_E_EXPIRED:
        case SIGNED_RECORD_E_HELD:
                return CODE_EXPIRED;
        default:
                return CODE_BAD_SIGNATURE;
        }
}

ControlCode lease_accept(Peer *peer, const uint8_t *bytes, size_t n_bytes) {
        Manager *manager = peer->manager;
        Lease *lease = peer->lease;
        SignedRecordCheck check = {
                .type = SIGNED_RECORD_LEASE,
                .now_usec = now_usec(CLOCK_REALTIME),
        };
        SignedRecord record;
        ControlCode code;

        /* Each costs a verification: only those that were asked for. */
        if (!lease || !lease->is_asked_for)
                return CODE_RATE;
        if (lease->is_held)
                check.held = (Slice){ lease->bytes, sizeof(lease->bytes) };
        lease->is_asked_for = false;
        code = lease_record_code(signed_record_verify(bytes, n_bytes, &check, &record));
        if (code != CODE_OK)
                return code;
        if (!key_equal(&record.signer, &peer->key))
                return CODE_BAD_SIGNATURE;
        if (!key_equal(&record.lease.bridge, &lease->bridge) ||
            (record.flags & SIGNED_RECORD_WITHDRAWN) ||
            record.not_after_usec - record.issued_usec > lease_life(peer) ||
            (peer->ephemeral && !(record.lease.flags & LEASE_TRANSIENT)))
                return CODE_DENIED;

        memcpy(lease->bytes, bytes, sizeof(lease->bytes));
        lease->is_held = true;
        lease->not_after_usec = record.not_after_usec;
        lease->next_usec = renewal_usec(manager, record.not_after_usec - record.issued_usec);
        manager_wake_at(manager, lease->next_usec);
        if (manager->gateway.peer && key_equal(&lease->bridge, &manager->gateway.peer->key))
                lease_give(peer);
        return CODE_OK;
}

void lease_on_leased(Peer *peer, uint16_t code, uint32_t n_links) {
        Control word = {
                .verb = CONTROL_REACHABLE,
                .code = code,
                .value = code == CODE_OK ? n_links : 0,
        };

        if (peer->lease)
                peer_say(peer, &word);
}

void lease_remove(Peer *peer) {
        Peer *gateway = peer->manager->gateway.peer;

        if (!peer->lease)
                return;
        if (peer->lease->is_held && gateway && gateway != peer)
                peer_say(gateway,
                         &(Control){ .verb = CONTROL_DETACHED, .address = peer->entry.address });
        user_give(peer->user, QUOTA_LEASES, 1);
        free(peer->lease);
        peer->lease = NULL;
}

static void renew(Peer *peer) {
        Lease *lease = peer->lease;

        if (!lease->is_owed || !is_for_gateway(peer)) {
                lease_request(peer);
                return;
        }
        lease->next_usec = renewal_usec(peer->manager, lease_life(peer));
        lease_give(peer);
}

void lease_on_time(Manager *manager) {
        uint64_t next_usec = USEC_NEVER;
        Peer *peer;

        if (!manager->gateway.peer)
                return; /* the next one will ask for what is missing */
        DL_FOREACH (manager->peers, peer) {
                if (!peer->lease || peer == manager->gateway.peer)
                        continue;
                if (peer->lease->next_usec <= manager->now_usec)
                        renew(peer);
                next_usec = MIN(next_usec, peer->lease->next_usec);
        }
        /* A second's grain: renewals of many processes share a look at the list. */
        if (next_usec != USEC_NEVER)
                manager_wake_at(manager, MAX(next_usec, manager->now_usec + USEC_PER_SEC));
}
