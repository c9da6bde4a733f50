/* SPDX-License-Identifier: Apache-2.0 */

#include "procbridge/packet.h"

#include "libcore/buf.h"
#include "libcore/err.h"

#define READER_FIRST 4096

static const uint8_t flag[2] = { 'p', 'b' };

int pb_header_decode(const uint8_t *data, size_t n, PbHeader *ret) {
        BufReader r = buf_reader(data, n);

        if (n == 0)
                return PB_E_MORE;
        if (memcmp(data, flag, MIN(n, sizeof(flag))) != 0)
                return PB_E_FLAG;
        if (n < PB_HEADER_SIZE)
                return PB_E_MORE;
        (void)buf_get(&r, sizeof(flag));
        ret->version = (uint16_t)(buf_get_u8(&r) << 8);
        ret->version |= buf_get_u8(&r);
        ret->status = buf_get_u8(&r);
        (void)buf_get(&r, 2);
        ret->n_body = buf_get_le32(&r);
        return 0;
}

void pb_header_encode(const PbHeader *header, uint8_t out[static PB_HEADER_SIZE]) {
        BufWriter w = buf_writer(out, PB_HEADER_SIZE);

        buf_put_bytes(&w, flag, sizeof(flag));
        buf_put_u8(&w, (uint8_t)(header->version >> 8));
        buf_put_u8(&w, (uint8_t)header->version);
        buf_put_u8(&w, header->status);
        buf_put_zero(&w, 2);
        buf_put_le32(&w, header->n_body);
}

void pb_reader_init(PbReader *reader, size_t body_max, Budget *budget) {
        *reader = (PbReader){ .body_max = body_max, .budget = budget };
}

void pb_reader_done(PbReader *reader) {
        budget_give(reader->budget, reader->allocated);
        free(reader->data);
        reader->data = NULL;
        reader->n = reader->allocated = 0;
}

static int reader_grow(PbReader *reader, size_t allocated) {
        uint8_t *data;

        if (!budget_take(reader->budget, allocated - reader->allocated))
                return PB_E_BUDGET;
        data = realloc(reader->data, allocated);
        if (!data) {
                budget_give(reader->budget, allocated - reader->allocated);
                return err_origin(-ENOMEM);
        }
        reader->data = data;
        reader->allocated = allocated;
        return 0;
}

int pb_reader_room(PbReader *reader, uint8_t **ret_room, size_t *ret_n) {
        size_t wanted = READER_FIRST;
        int r;

        if (reader->n == reader->allocated) {
                if (reader->has_header)
                        wanted = MIN(PB_HEADER_SIZE + (size_t)reader->header.n_body,
                                     2 * reader->allocated);
                r = reader_grow(reader, MAX(wanted, reader->n + 1));
                if (r != 0)
                        return r;
        }
        *ret_room = reader->data + reader->n;
        *ret_n = reader->allocated - reader->n;
        return 0;
}

int pb_reader_fed(PbReader *reader, size_t n) {
        int r;

        reader->n += n;
        if (!reader->has_header) {
                r = pb_header_decode(reader->data, reader->n, &reader->header);
                if (r != 0)
                        return r;
                reader->has_header = true;
        }
        if (reader->header.version != PB_1_0 && reader->header.version != PB_1_1)
                return PB_E_VERSION;
        if (reader->header.n_body > reader->body_max)
                return PB_E_TOO_BIG;
        return reader->n - PB_HEADER_SIZE < reader->header.n_body ? PB_E_MORE : 0;
}

void pb_packet_begin(Text *text) {
        *text = (Text){ 0 };
        (void)text_extend(text, PB_HEADER_SIZE); /* text_take() tells */
}

char *pb_packet_end(Text *text, PbVersion version, PbStatus status, size_t *ret_n) {
        PbHeader header = { .version = (uint16_t)version, .status = (uint8_t)status };
        char *packet;
        size_t n;

        packet = text_take(text, &n);
        if (!packet || n - PB_HEADER_SIZE > UINT32_MAX) {
                free(packet);
                return NULL;
        }
        header.n_body = (uint32_t)(n - PB_HEADER_SIZE);
        pb_header_encode(&header, (uint8_t *)packet);
        *ret_n = n;
        return packet;
}
