/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The byte layouts are the tables in PROTOCOL.md, "Frames" and "Packet"; the functions below
 * follow them line by line.
 */

#include "libcore/packet.h"

#include "libcore/buf.h"
#include "libcore/util.h"

#define HELLO_SIZE 80
#define ATTACH_SIZE 104

/* The least and the greatest size of each type; attach frames have exactly one. */
static const struct {
        uint32_t least;
        uint32_t greatest;
} frame_sizes[_FRAME_TYPE_MAX] = {
        [FRAME_HELLO] = { FRAME_PREFIX_SIZE + HELLO_SIZE, FRAME_PREFIX_SIZE + HELLO_SIZE },
        [FRAME_ATTACH] = { FRAME_PREFIX_SIZE + ATTACH_SIZE, FRAME_PREFIX_SIZE + ATTACH_SIZE },
        [FRAME_PACKET] = { PACKET_HEADER_SIZE, FRAME_SIZE_MAX },
};

int frame_prefix_decode(const uint8_t *data, size_t n_data, FramePrefix *ret) {
        BufReader r = buf_reader(data, n_data);
        FramePrefix prefix;

        prefix.size = buf_get_le32(&r);
        prefix.type = buf_get_u8(&r);
        prefix.n_fds = buf_get_u8(&r);
        prefix.hflags = buf_get_u8(&r);
        prefix.hops = buf_get_u8(&r);
        if (r.failed)
                return PACKET_E_SHORT;

        if (prefix.type == 0 || prefix.type >= _FRAME_TYPE_MAX || prefix.n_fds > FRAME_FDS_MAX ||
            prefix.size < frame_sizes[prefix.type].least ||
            prefix.size > frame_sizes[prefix.type].greatest)
                return PACKET_E_VIOLATION;
        *ret = prefix;
        return 0;
}

void frame_prefix_encode(const FramePrefix *prefix, uint8_t out[static FRAME_PREFIX_SIZE]) {
        BufWriter w = buf_writer(out, FRAME_PREFIX_SIZE);

        buf_put_le32(&w, prefix->size);
        buf_put_u8(&w, prefix->type);
        buf_put_u8(&w, prefix->n_fds);
        buf_put_u8(&w, prefix->hflags);
        buf_put_u8(&w, prefix->hops);
}

int packet_header_decode(const uint8_t *data, size_t n_data, PacketHeader *ret) {
        FramePrefix prefix;
        PacketHeader h;
        BufReader r;
        int c;

        c = frame_prefix_decode(data, n_data, &prefix);
        if (c != 0)
                return c;
        if (prefix.type != FRAME_PACKET)
                return PACKET_E_VIOLATION;
        if (n_data < PACKET_HEADER_SIZE)
                return PACKET_E_SHORT;

        h.size = prefix.size;
        h.n_fds = prefix.n_fds;
        h.hflags = prefix.hflags;
        h.hops = prefix.hops;

        r = buf_reader(data + FRAME_PREFIX_SIZE, PACKET_HEADER_SIZE - FRAME_PREFIX_SIZE);
        buf_get_zero(&r, 8);
        h.src.pid = buf_get_be64(&r);
        h.dst.pid = buf_get_be64(&r);
        h.src.tag = buf_get_be32(&r);
        h.dst.tag = buf_get_be32(&r);
        buf_get_bytes(&r, h.id.bytes, sizeof(h.id.bytes));
        h.deadline_usec = buf_get_le64(&r);
        h.kind = buf_get_le16(&r);
        h.eflags = buf_get_le16(&r);
        h.fragment = buf_get_le16(&r);
        h.last_fragment = buf_get_le16(&r);

        if (!buf_reader_done(&r) || h.kind == 0 || h.kind >= _PACKET_KIND_MAX ||
            h.fragment > h.last_fragment)
                return PACKET_E_VIOLATION;
        *ret = h;
        return 0;
}

void packet_header_encode(const PacketHeader *h, uint8_t out[static PACKET_HEADER_SIZE]) {
        FramePrefix prefix = {
                .size = h->size,
                .type = FRAME_PACKET,
                .n_fds = h->n_fds,
                .hflags = h->hflags,
                .hops = h->hops,
        };
        BufWriter w = buf_writer(out + FRAME_PREFIX_SIZE, PACKET_HEADER_SIZE - FRAME_PREFIX_SIZE);

        frame_prefix_encode(&prefix, out);
        buf_put_zero(&w, 8);
        buf_put_be64(&w, h->src.pid);
        buf_put_be64(&w, h->dst.pid);
        buf_put_be32(&w, h->src.tag);
        buf_put_be32(&w, h->dst.tag);
        buf_put_bytes(&w, h->id.bytes, sizeof(h->id.bytes));
        buf_put_le64(&w, h->deadline_usec);
        buf_put_le16(&w, h->kind);
        buf_put_le16(&w, h->eflags);
        buf_put_le16(&w, h->fragment);
        buf_put_le16(&w, h->last_fragment);
}

uint64_t packet_id_sent_at(const PacketId *id) {
        return load_be64(id->bytes);
}

PacketId packet_id_make(uint64_t sent_at_usec, uint64_t unique) {
        PacketId id;

        store_be64(id.bytes, sent_at_usec);
        store_be64(id.bytes + 8, unique);
        return id;
}

uint64_t packet_span_usec(const PacketId *id, uint64_t deadline_usec) {
        uint64_t sent_at = packet_id_sent_at(id);

        if (deadline_usec == 0)
                return USEC_NEVER;
        return deadline_usec > sent_at ? deadline_usec - sent_at : 0;
}

bool packet_id_is_later(const PacketId *id, const PacketId *than) {
        return (int64_t)(packet_id_unique(id) - packet_id_unique(than)) > 0;
}
