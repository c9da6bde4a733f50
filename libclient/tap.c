/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/tap.h"

#include <sys/epoll.h>

#include "libclient/loop.h"
#include "libclient/peer.h"
#include "libcore/err.h"
#include "libcore/record.h"

#define QUEUE_MAX 131072 /* bytes waiting for the daemon; beyond, taps are left out */

static void leave_out(p2pbus *bus) {
        bus->n_taps_lost = MIN(bus->n_taps_lost + 1, CONTROL_MONITORED_LOST_MAX);
}

/* A burst may be longer than the queue, and the daemon quick enough for it: write in between. */
static bool has_room(p2pbus *bus) {
        if (connection_queued(bus->connection) > QUEUE_MAX &&
            !(connection_events(bus->connection) & EPOLLOUT)) {
                (void)connection_write(bus->connection); /* its end is found when it is read */
                loop_update(bus);
        }
        return connection_queued(bus->connection) <= QUEUE_MAX;
}

/* One packet's worth of records. */
static void show_packet(const Peer *peer, const uint8_t *records, size_t n_records,
                        const PacketId *id, uint64_t deadline_usec) {
        p2pbus *bus = peer->bus;
        bool shows_all =
                bus->hello_flags & HELLO_MONITORED_FULL && !(bus->flags & P2PBUS_NO_MONITOR);
        size_t n_shown = shows_all ? n_records : 0;
        PacketHeader seen = {
                .size = (uint32_t)(PACKET_HEADER_SIZE + n_records),
                .src = bus->self.address,
                .dst = peer->address,
                .id = *id,
                .deadline_usec = deadline_usec == USEC_NEVER ? 0 : deadline_usec + bus->wall_offset,
                .kind = PACKET_RECORDS,
        };
        PacketHeader header = {
                .size = (uint32_t)(PACKET_HEADER_SIZE + CONTROL_HEAD_SIZE + PACKET_HEADER_SIZE +
                                   n_shown),
                .src = bus->self.address,
                .dst = { PID_DAEMON, 0 },
                .kind = PACKET_CONTROL,
        };
        Control word = {
                .verb = CONTROL_RING_TAP,
                .value = (n_shown < n_records ? MONITORED_CUT : 0) +
                         bus->n_taps_lost * MONITORED_LOST,
        };
        uint8_t *out;

        if (!has_room(bus) ||
            connection_queue(bus->connection, header.size, &out) < 0) {
                leave_out(bus);
                return;
        }
        bus->n_taps_lost = 0;
        packet_header_encode(&header, out);
        out += PACKET_HEADER_SIZE;
        control_encode(&word, out);
        out += CONTROL_HEAD_SIZE;
        packet_header_encode(&seen, out);
        memcpy(out + PACKET_HEADER_SIZE, records, n_shown);
}

void tap_show(const Peer *peer, const uint8_t *records, size_t n_records, const PacketId *id,
              uint64_t deadline_usec) {
        size_t at = 0, begin;

        while (peer->bus->is_up && at < n_records) {
                PacketId packet_id = *id;
                bool is_full = false;
                Record record;

                begin = at;
                while (!is_full && record_decode(records, n_records, &at, &record) == 0) {
                        is_full = record.type == RECORD_MSG || record.type == RECORD_PART;
                        if (record.type == RECORD_MSG)
                                packet_id = record.message.id;
                }
                if (at == begin)
                        return; /* nothing of ours is malformed, but nor would it loop here */
                if (packet_id_is_zero(&packet_id))
                        packet_id = bus_new_id(peer->bus);
                show_packet(peer, records + begin, at - begin, &packet_id, deadline_usec);
        }
}
