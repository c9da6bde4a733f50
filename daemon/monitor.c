/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/monitor.h"

#include <utlist.h>

#include "daemon/peer.h"
#include "libcore/buf.h"

#define QUEUE_MAX (1U << 20) /* bytes; beyond, a monitor loses packets */

ControlCode monitor_set(Peer *peer, uint32_t level, Address address, uint32_t *ret_level) {
        Monitors *monitors = &peer->manager->monitors;

        if (level > MONITOR_FULL)
                return CODE_UNSUPPORTED;
        if (level == 0) {
                monitor_remove(peer);
                *ret_level = 0;
                return CODE_OK;
        }
        if (peer->caps.monitor == 0)
                return CODE_DENIED;
        if (!peer->monitor) {
                peer->monitor = calloc(1, sizeof(*peer->monitor));
                if (!peer->monitor)
                        return CODE_QUOTA;
                peer->monitor->peer = peer;
                DL_APPEND(monitors->list, peer->monitor);
                if (monitors->n++ == 0)
                        manager_notice(peer->manager);
        }
        peer->monitor->level = MIN(level, peer->caps.monitor);
        peer->monitor->address = address;
        *ret_level = peer->monitor->level;
        return CODE_OK;
}

void monitor_remove(Peer *peer) {
        Monitors *monitors = &peer->manager->monitors;

        if (!peer->monitor)
                return;
        DL_DELETE(monitors->list, peer->monitor);
        free(peer->monitor);
        peer->monitor = NULL;
        if (--monitors->n == 0)
                manager_notice(peer->manager);
}

static bool fits(Address filter, Address address) {
        return filter.pid == address.pid && (filter.tag == 0 || filter.tag == address.tag);
}

static void show(Monitor *monitor, const PacketHeader *header, const uint8_t *packet, size_t size) {
        size_t n = monitor->level == MONITOR_FULL ? size : PACKET_HEADER_SIZE;
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
        word.value = n < size;
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

void monitor_show(Manager *manager, const uint8_t *packet, size_t size) {
        PacketHeader header;
        Monitor *monitor;

        if (packet_header_decode(packet, size, &header) != 0)
                return;
        DL_FOREACH (manager->monitors.list, monitor)
                show(monitor, &header, packet, size);
}
