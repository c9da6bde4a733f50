/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/path.h"

#include "libcore/err.h"

int path_send_local(p2pbus *bus, Address to, const PacketId *id, uint64_t deadline_usec,
                    const uint8_t *records, size_t n_records) {
        PacketHeader header = {
                .size = (uint32_t)(PACKET_HEADER_SIZE + n_records),
                .src = bus->self.address,
                .dst = to,
                .kind = PACKET_RECORDS,
        };
        uint8_t *out;
        int r;

        if (!bus->is_up)
                return PATH_E_AWAY;
        r = connection_queue(bus->connection, header.size, &out);
        if (r < 0)
                return err_trace(r);
        header.id = packet_id_is_zero(id) ? bus_new_id(bus) : *id;
        header.deadline_usec = deadline_usec == USEC_NEVER ? 0 : deadline_usec + bus->wall_offset;
        packet_header_encode(&header, out);
        memcpy(out + PACKET_HEADER_SIZE, records, n_records);
        return 0;
}

/*
 * Padmé: of a size as many leading bits count as it takes to write how many it has; the others are
 * rounded up. That is at most 12 % more, and less the larger it is.
 */
static size_t padded_size(size_t n) {
        unsigned exponent = 0, n_bits = 1;
        size_t mask;

        while (n >> exponent > 1)
                exponent++;
        while (exponent >> n_bits > 0)
                n_bits++;
        mask = exponent > n_bits ? ((size_t)1 << (exponent - n_bits)) - 1 : 0;
        return (n + mask) & ~mask;
}

static Slice pad(p2pbus *bus, Slice content) {
        size_t n = MIN(padded_size(content.size), (size_t)SEAL_CONTENT_MAX);

        if (!bus->padded || n <= content.size)
                return content;
        memcpy(bus->padded, content.data, content.size);
        memset(bus->padded + content.size, RECORD_PADDING, n - content.size);
        return (Slice){ bus->padded, n };
}

/* Seals into bus->sealed. Return: as seal_one(). */
static int seal_as(p2pbus *bus, SealedType type, const PathSeal *seal, const uint8_t *header,
                   Slice content, size_t *ret_n) {
        EpochTime time = bus_epoch_time(bus);

        switch (type) {
        case SEALED_DATA:
                return epochs_seal(seal->epochs, header, content, time, bus->sealed,
                                   BUS_SCRATCH_SIZE, ret_n) == 0
                               ? 0
                               : SEAL_E_FORKED; /* epochs_next() knew of nothing else */
        case SEALED_OPEN:
                return epochs_open(seal->epochs, header, seal->lease, content, time, bus->sealed,
                                   BUS_SCRATCH_SIZE, ret_n);
        default:
                return seal_one(bus->sealer, header, seal->lease, content, time.wall_usec,
                                bus->sealed, BUS_SCRATCH_SIZE, ret_n);
        }
}

int path_send_sealed(p2pbus *bus, const PathSeal *seal, const uint8_t *records, size_t n_records,
                     PathSealed *ret) {
        uint64_t sent_at = bus_wall(bus) + (uint64_t)seal->clock_offset_usec;
        PacketHeader header = {
                .size = PACKET_HEADER_SIZE,
                .src = bus->self.address,
                .dst = seal->to,
                .kind = PACKET_SEALED,
                .deadline_usec = sent_at + SEALED_LIFE_USEC,
        };
        Slice content = pad(bus, (Slice){ records, n_records });
        uint8_t bytes[PACKET_HEADER_SIZE], *out;
        PathSealed sealed = { .type = SEALED_ONE };
        size_t n;
        int r;

        if (!bus->is_up)
                return PATH_E_AWAY;
        if (!bus->sealer || !bus->has_lease)
                return PATH_E_NO_WAY;
        if (seal->epochs)
                sealed.type = epochs_next(seal->epochs, bus_epoch_time(bus));
        sealed.id = header.id = packet_id_make(sent_at, bus->unique++);
        packet_header_encode(&header, bytes);

        r = seal_as(bus, sealed.type, seal, bytes, content, &n);
        if (r == SEAL_E_EXPIRED && sealed.type == SEALED_OPEN &&
            epochs_is_live(seal->epochs, bus_epoch_time(bus))) {
                sealed.type = SEALED_DATA;
                sealed.is_lease_ended = true;
                r = seal_as(bus, sealed.type, seal, bytes, content, &n);
        }
        switch (r) {
        case 0:
                break;
        case SEAL_E_EXPIRED:
                return PATH_E_EXPIRED;
        case SEAL_E_SENDER:
                return PATH_E_USELESS;
        case SEAL_E_FORKED:
        case -EINVAL:
                return PATH_E_NO_WAY;
        default:
                return err_fold(r);
        }
        header.size = (uint32_t)(PACKET_HEADER_SIZE + n);
        r = connection_queue(bus->connection, header.size, &out);
        if (r < 0)
                return err_trace(r);
        packet_header_encode(&header, out); /* what is sealed of it is as it was */
        memcpy(out + PACKET_HEADER_SIZE, bus->sealed, n);
        *ret = sealed;
        return 0;
}

int path_send_raw(p2pbus *bus, Address to, const uint8_t *payload, size_t n_payload) {
        PacketHeader header = {
                .size = (uint32_t)(PACKET_HEADER_SIZE + n_payload),
                .src = bus->self.address,
                .dst = to,
                .kind = PACKET_SEALED,
                .id = bus_new_id(bus),
                .deadline_usec = bus_wall(bus) + SEALED_LIFE_USEC,
        };
        uint8_t *out;
        int r;

        if (!bus->is_up)
                return PATH_E_AWAY;
        r = connection_queue(bus->connection, header.size, &out);
        if (r < 0)
                return err_trace(r);
        packet_header_encode(&header, out);
        memcpy(out + PACKET_HEADER_SIZE, payload, n_payload);
        return 0;
}
