/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/monitor.h"

#include <utlist.h>

#include "daemon/peer.h"
#include "daemon/rights.h"
#include "libcore/buf.h"

#define QUEUE_MAX (1U << 20) /* bytes; beyond, a monitor loses packets */

/* Changes what @monitor may see, or whether it is one, and tells everybody if that is news. */
static void set_level(Monitor *monitor, uint32_t level) {
        Manager *manager = monitor->peer->manager;
        uint32_t flags = manager_hello_flags(manager);

        manager->monitors.n += (level > 0) - (monitor->level > 0);
        manager->monitors.n_full += (level == MONITOR_FULL) - (monitor->level == MONITOR_FULL);
        monitor->level = level;
        if (flags != manager_hello_flags(manager))
                manager_notice(manager);
}

static bool may_monitor(Peer *peer) {
        PolicyAnswer answer;

        if (peer->caps.monitor > 0)
                return true;
        answer = policy_role(peer->subject, POLICY_MONITOR);
        rights_deny(peer, "monitor", &answer);
        return false;
}

ControlCode monitor_set(Peer *peer, uint32_t level, Address address, uint32_t *ret_level) {
        if (level > MONITOR_FULL)
                return CODE_UNSUPPORTED;
        if (level == 0) {
                monitor_remove(peer);
                *ret_level = 0;
                return CODE_OK;
        }
        if (!may_monitor(peer))
                return CODE_DENIED;
        if (!peer->monitor) {
                peer->monitor = calloc(1, sizeof(*peer->monitor));
                if (!peer->monitor)
                        return CODE_QUOTA;
                peer->monitor->peer = peer;
                DL_APPEND(peer->manager->monitors.list, peer->monitor);
        }
        peer->monitor->asked = level;
        set_level(peer->monitor, MIN(level, peer->caps.monitor));
        peer->monitor->address = address;
        *ret_level = peer->monitor->level;
        return CODE_OK;
}

void monitor_remove(Peer *peer) {
        if (!peer->monitor)
                return;
        DL_DELETE(peer->manager->monitors.list, peer->monitor);
        set_level(peer->monitor, 0);
        free(peer->monitor);
        peer->monitor = NULL;
}

void monitor_reevaluate(Peer *peer) {
        Monitor *monitor = peer->monitor;

        if (!monitor)
                return;
        if (may_monitor(peer)) {
                set_level(monitor, MIN(monitor->asked, peer->caps.monitor));
        } else {
                monitor_remove(peer);
                rights_say_taken(peer, CONTROL_MONITOR, NULL, 0);
        }
}

static bool fits(Address filter, Address address) {
        return filter.pid == address.pid && (filter.tag == 0 || filter.tag == address.tag);
}

/* @packet: as much of it as there is. @value: of MONITORED. */
static void show(Monitor *monitor, const PacketHeader *header, const uint8_t *packet,
                 size_t n_packet, uint32_t value) {
        size_t n = monitor->level == MONITOR_FULL ? n_packet : PACKET_HEADER_SIZE;
        Peer *peer = monitor->peer;
        Control word = { .verb = CONTROL_MONITORED };
        PacketHeader out = {
                .src = { PID_DAEMON, 0 },
                .dst = peer->entry.address,
                .id = header->id,
                .kind = PACKET_CONTROL,
        };
        uint8_t *data;

        if (monitor->address.pid != PID_NONE && !fits(monitor->address, header->src) &&
            !fits(monitor->address, header->dst))
                return;
        n = MIN(n, (size_t)CONTROL_BODY_MAX - CONTROL_MONITORED_HEAD_SIZE);
        out.size = (uint32_t)(PACKET_HEADER_SIZE + CONTROL_HEAD_SIZE + CONTROL_MONITORED_HEAD_SIZE +
                              n);
        word.value = value | (n < header->size ? MONITORED_CUT : 0);
        if (outbox_size(&peer->outbox) > QUEUE_MAX || peer->output_dead ||
            outbox_reserve(&peer->outbox, peer->self, out.size, NULL, 0, peer->manager->now_usec,
                           &data) != 0) {
                peer->manager->counters.monitor_lost++;
                return;
        }
        packet_header_encode(&out, data);
        control_encode(&word, data + PACKET_HEADER_SIZE);
        data += PACKET_HEADER_SIZE + CONTROL_HEAD_SIZE;
        store_le64(data, now_usec(CLOCK_REALTIME));
        memcpy(data + CONTROL_MONITORED_HEAD_SIZE, packet, n);
        peer_touch(peer);
}

static bool keeps_payloads(const Manager *manager, Address address) {
        Peer *peer;

        return peer_find(manager, address, &peer) == CODE_OK && peer->no_monitor;
}

/* How much of a packet of @n bytes may be seen at all: one of the two may show no payloads. */
static size_t visible(const Manager *manager, const PacketHeader *header, size_t n) {
        return keeps_payloads(manager, header->src) || keeps_payloads(manager, header->dst)
                       ? PACKET_HEADER_SIZE
                       : n;
}

void monitor_show(Manager *manager, const uint8_t *packet, size_t size) {
        PacketHeader header;
        Monitor *monitor;

        if (packet_header_decode(packet, size, &header) != 0)
                return;
        size = visible(manager, &header, size);
        DL_FOREACH (manager->monitors.list, monitor)
                show(monitor, &header, packet, size, 0);
}

/* A packet that this process could have sent to one of this host, or the beginning of it. */
static bool is_tap(const Peer *from, const Control *word, const PacketHeader *header) {
        bool is_cut = word->value & MONITORED_CUT;

        return header->kind == PACKET_RECORDS && header->n_fds == 0 && header->hflags == 0 &&
               header->hops == 0 && header->eflags == 0 && header->last_fragment == 0 &&
               address_equal(header->src, from->entry.address) && word->n_body <= header->size &&
               is_cut == (word->n_body < header->size) &&
               !(word->value & MONITORED_SELF_REPORTED);
}

ControlCode monitor_tap(Peer *from, const Control *word) {
        Manager *manager = from->manager;
        uint32_t value = word->value | MONITORED_SELF_REPORTED;
        PacketHeader header;
        const Ring *ring;
        Monitor *monitor;
        size_t n;
        Peer *to;

        if (packet_header_decode(word->body, word->n_body, &header) != 0 ||
            !is_tap(from, word, &header))
                return CODE_VIOLATION;
        manager->counters.taps_lost += word->value / MONITORED_LOST;
        ring = peer_find(manager, header.dst, &to) == CODE_OK
                       ? rings_find_pair(&manager->rings, from->entry.address, to->entry.address)
                       : NULL;
        if (!ring || ring->state != RING_MADE) {
                manager->counters.taps_dropped++;
                return CODE_OK;
        }
        n = visible(manager, &header, word->n_body);
        DL_FOREACH (manager->monitors.list, monitor)
                show(monitor, &header, word->body, n, value);
        return CODE_OK;
}
