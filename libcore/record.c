/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One decode and one encode function for each record type, in the order of PROTOCOL.md's tables;
 * the sizes of fixed bodies are exact. A decoder that finds more or less than its table says
 * reports a violation, so nothing of a record is used before all of it was found good.
 */

#include "libcore/record.h"

#include <assert.h>

#include "libcore/buf.h"

static bool extensions_fit(const uint8_t *extensions, size_t n_extensions, bool *ret_supported) {
        BufReader r = buf_reader(extensions, n_extensions);
        bool supported = true;

        while (buf_left(&r) > 0) {
                uint8_t type = buf_get_u8(&r);

                (void)buf_get(&r, buf_get_le16(&r)); /* skipped: only its size is looked at here */
                if (type & RECORD_EXTENSION_CRITICAL)
                        supported = false;
        }
        *ret_supported = supported;
        return !r.failed;
}

static int message_decode(BufReader *r, RecordMessage *m) {
        const uint8_t *head = buf_get(r, RECORD_MESSAGE_HEAD_SIZE);
        bool supported = true;

        if (!head)
                return RECORD_E_VIOLATION;
        m->kind = head[0];
        m->flags = head[1];
        m->n_extensions = load_le16(head + 2);
        m->lifetime_msec = load_le32(head + 4);
        memcpy(m->id.bytes, head + 8, sizeof(m->id.bytes));
        memcpy(m->reply_to.bytes, head + 24, sizeof(m->reply_to.bytes));
        m->total = load_le64(head + 40);
        m->extensions = buf_get(r, m->n_extensions);
        m->n_data = buf_left(r);
        m->data = buf_get(r, m->n_data);

        if (r->failed || m->kind == 0 || m->n_data > m->total ||
            (m->n_extensions > 0 &&
             !extensions_fit(m->extensions, m->n_extensions, &supported)))
                return RECORD_E_VIOLATION;
        if (!supported || m->kind >= _MESSAGE_KIND_MAX || (m->flags & ~_MESSAGE_FLAGS_KNOWN))
                return RECORD_E_UNSUPPORTED;
        return 0;
}

static int ack_decode(BufReader *r, Record *record) {
        const uint8_t *head = buf_get(r, RECORD_ACK_SIZE);

        if (!head)
                return RECORD_E_VIOLATION;
        record->ack.received = load_le64(head);
        record->ack.taken = load_le64(head + 8);
        record->ack.limit = load_le64(head + 16);
        record->ack.n_ranges = load_le16(head + 24);
        record->ack.n_marked = load_le16(head + 26);
        record->ack.delay_usec = load_le32(head + 28);
        if (record->ack.n_ranges > RECORD_ACK_RANGES_MAX ||
            record->ack.taken > record->ack.received)
                return RECORD_E_VIOLATION;

        for (unsigned i = 0; i < record->ack.n_ranges; i++) {
                RecordRange *range = &record->ack.ranges[i];

                range->first = buf_get_le64(r);
                range->last = buf_get_le64(r);
                if (range->first > range->last || range->first < record->ack.received ||
                    (i > 0 && range->first <= record->ack.ranges[i - 1].last))
                        return RECORD_E_VIOLATION;
        }
        return 0;
}

static int skip_decode(BufReader *r, Record *record) {
        record->skip.last = buf_get_le64(r);
        record->skip.end = buf_get_le64(r);
        record->skip.reason = buf_get_le16(r);
        buf_get_zero(r, 6);
        return record->skip.last < record->seq ? RECORD_E_VIOLATION : 0;
}

static int skipped_decode(BufReader *r, Record *record) {
        record->skipped.last = buf_get_le64(r);
        record->skipped.from = buf_get_le64(r);
        record->skipped.reason = buf_get_le16(r);
        buf_get_zero(r, 6);
        if (record->skipped.last < record->seq || record->skipped.from < record->seq ||
            (record->skipped.from > record->skipped.last &&
             record->skipped.from - 1 != record->skipped.last))
                return RECORD_E_VIOLATION;
        return 0;
}

static int body_decode(BufReader *r, Record *record) {
        switch (record->type) {
        case RECORD_START:
                buf_get_bytes(r, record->start.key, sizeof(record->start.key));
                record->start.opened_usec = buf_get_le64(r);
                record->start.limit = buf_get_le64(r);
                return 0;
        case RECORD_MSG:
        case RECORD_PUBLISHED:
                return message_decode(r, &record->message);
        case RECORD_PART:
                record->part.n_data = buf_left(r);
                record->part.data = buf_get(r, record->part.n_data);
                return record->part.n_data == 0 ? RECORD_E_VIOLATION : 0;
        case RECORD_ACK:
                return ack_decode(r, record);
        case RECORD_SKIP:
                return skip_decode(r, record);
        case RECORD_SKIPPED:
                return skipped_decode(r, record);
        case RECORD_CLOSE:
        case RECORD_RESET:
                record->code = buf_get_le16(r);
                buf_get_zero(r, 6);
                return 0;
        case RECORD_CANCEL:
                buf_get_bytes(r, record->id.bytes, sizeof(record->id.bytes));
                return 0;
        case RECORD_PING:
        case RECORD_PONG:
                buf_get_bytes(r, record->ping, sizeof(record->ping));
                return 0;
        default:
                return RECORD_E_UNSUPPORTED;
        }
}

size_t record_unpadded_size(const uint8_t *data, size_t n_data) {
        size_t at = 0;

        while (at < n_data && data[at] != RECORD_PADDING) {
                if (n_data - at < RECORD_HEADER_SIZE)
                        return n_data;
                at += RECORD_HEADER_SIZE + load_le16(data + at + 2);
        }
        return MIN(at, n_data);
}

int record_decode(const uint8_t *data, size_t n_data, size_t *at, Record *ret) {
        BufReader r, body;
        const uint8_t *head, *bytes;
        size_t n_body;
        int c;

        if (*at >= n_data)
                return RECORD_E_END;

        r = buf_reader(data + *at, n_data - *at);
        head = buf_get(&r, RECORD_HEADER_SIZE);
        if (!head)
                return RECORD_E_VIOLATION;
        n_body = load_le16(head + 2);
        bytes = buf_get(&r, n_body);
        if (!bytes || head[0] == RECORD_PADDING || n_body > RECORD_BODY_MAX || load_le32(head + 4) != 0)
                return RECORD_E_VIOLATION;
        ret->type = head[0];
        ret->flags = head[1];
        ret->session = load_le64(head + 8);
        ret->seq = load_le64(head + 16);
        ret->size = RECORD_HEADER_SIZE + n_body;

        body = buf_reader(bytes, n_body);
        c = body_decode(&body, ret);
        if (c == RECORD_E_VIOLATION || (c == 0 && !buf_reader_done(&body)))
                return RECORD_E_VIOLATION;
        *at += ret->size;
        return c;
}

/* How much of a body with @n_body bytes is parsed; @body has what is copied so far. */
static size_t parsed_size(uint8_t type, const uint8_t *body, size_t n_copied, size_t n_body) {
        size_t n;

        switch (type) {
        case RECORD_PART:
                return 0;
        case RECORD_MSG:
                n = MIN(n_body, (size_t)RECORD_MESSAGE_HEAD_SIZE);
                if (n_copied == RECORD_MESSAGE_HEAD_SIZE)
                        n += load_le16(body + 2); /* the extensions */
                return MIN(n, n_body);
        default:
                return n_body;
        }
}

int record_decode_shared(const uint8_t *shared, size_t n_shared, size_t *at, uint8_t *copy,
                         Record *ret) {
        const uint8_t *from = shared + *at;
        size_t left = n_shared - *at, at_copy = 0, n_copied = 0, n_body, n;
        uint8_t *body = copy + RECORD_HEADER_SIZE;
        int c;

        if (left == 0)
                return RECORD_E_END;
        if (left < RECORD_HEADER_SIZE)
                return RECORD_E_VIOLATION;
        memcpy(copy, from, RECORD_HEADER_SIZE);
        n_body = load_le16(copy + 2);
        if (n_body > left - RECORD_HEADER_SIZE || n_body > RECORD_BODY_MAX)
                return RECORD_E_VIOLATION;
        while ((n = parsed_size(copy[0], body, n_copied, n_body)) > n_copied) {
                memcpy(body + n_copied, from + RECORD_HEADER_SIZE + n_copied, n - n_copied);
                n_copied = n;
        }

        c = record_decode(copy, RECORD_HEADER_SIZE + n_body, &at_copy, ret);
        if (c == RECORD_E_VIOLATION)
                return c;
        *at += at_copy;
        if (ret->type == RECORD_MSG)
                ret->message.data = from + (ret->message.data - copy);
        else if (ret->type == RECORD_PART)
                ret->part.data = from + (ret->part.data - copy);
        return c;
}

static size_t other_size(const Record *record) {
        switch (record->type) {
        case RECORD_START:
                return RECORD_START_SIZE;
        case RECORD_PART:
                return record->part.n_data;
        case RECORD_ACK:
                return RECORD_ACK_SIZE + sizeof(RecordRange) * record->ack.n_ranges;
        case RECORD_SKIP:
                return RECORD_SKIP_SIZE;
        case RECORD_SKIPPED:
                return RECORD_SKIPPED_SIZE;
        case RECORD_CLOSE:
        case RECORD_RESET:
                return 8;
        case RECORD_CANCEL:
                return PACKET_ID_SIZE;
        case RECORD_PING:
        case RECORD_PONG:
                return RECORD_PING_SIZE;
        default:
                assert(!"a record type of our own that record_encode() does not know");
                return 0;
        }
}

/* Nearly all are messages. */
static inline size_t body_size(const Record *record) {
        if (record->type == RECORD_MSG || record->type == RECORD_PUBLISHED)
                return RECORD_MESSAGE_HEAD_SIZE + record->message.n_extensions +
                       record->message.n_data;
        return other_size(record);
}

size_t record_size(const Record *record) {
        return RECORD_HEADER_SIZE + body_size(record);
}

static void message_encode(BufWriter *w, const RecordMessage *m) {
        uint8_t *head = buf_put(w, RECORD_MESSAGE_HEAD_SIZE), *data;

        head[0] = m->kind;
        head[1] = m->flags;
        store_le16(head + 2, m->n_extensions);
        store_le32(head + 4, m->lifetime_msec);
        memcpy(head + 8, m->id.bytes, sizeof(m->id.bytes));
        memcpy(head + 24, m->reply_to.bytes, sizeof(m->reply_to.bytes));
        store_le64(head + 40, m->total);
        buf_put_bytes(w, m->extensions, m->n_extensions);
        data = buf_put(w, m->n_data);
        if (m->n_data > 0 && data != m->data)
                memcpy(data, m->data, m->n_data);
}

static void ack_encode(BufWriter *w, const Record *record) {
        uint8_t *head = buf_put(w, RECORD_ACK_SIZE);

        store_le64(head, record->ack.received);
        store_le64(head + 8, record->ack.taken);
        store_le64(head + 16, record->ack.limit);
        store_le16(head + 24, record->ack.n_ranges);
        store_le16(head + 26, record->ack.n_marked);
        store_le32(head + 28, record->ack.delay_usec);
        for (unsigned i = 0; i < record->ack.n_ranges; i++) {
                buf_put_le64(w, record->ack.ranges[i].first);
                buf_put_le64(w, record->ack.ranges[i].last);
        }
}

void record_encode(const Record *record, uint8_t *out) {
        size_t n_body = body_size(record);
        BufWriter w = buf_writer(out, RECORD_HEADER_SIZE + n_body);
        uint8_t *head = buf_put(&w, RECORD_HEADER_SIZE);

        assert(n_body <= RECORD_BODY_MAX);
        head[0] = record->type;
        head[1] = record->flags;
        store_le16(head + 2, (uint16_t)n_body);
        store_le32(head + 4, 0);
        store_le64(head + 8, record->session);
        store_le64(head + 16, record->seq);

        switch (record->type) {
        case RECORD_START:
                buf_put_bytes(&w, record->start.key, sizeof(record->start.key));
                buf_put_le64(&w, record->start.opened_usec);
                buf_put_le64(&w, record->start.limit);
                break;
        case RECORD_MSG:
        case RECORD_PUBLISHED:
                message_encode(&w, &record->message);
                break;
        case RECORD_PART:
                buf_put_bytes(&w, record->part.data, record->part.n_data);
                break;
        case RECORD_ACK:
                ack_encode(&w, record);
                break;
        case RECORD_SKIP:
                buf_put_le64(&w, record->skip.last);
                buf_put_le64(&w, record->skip.end);
                buf_put_le16(&w, record->skip.reason);
                buf_put_zero(&w, 6);
                break;
        case RECORD_SKIPPED:
                buf_put_le64(&w, record->skipped.last);
                buf_put_le64(&w, record->skipped.from);
                buf_put_le16(&w, record->skipped.reason);
                buf_put_zero(&w, 6);
                break;
        case RECORD_CLOSE:
        case RECORD_RESET:
                buf_put_le16(&w, record->code);
                buf_put_zero(&w, 6);
                break;
        case RECORD_CANCEL:
                buf_put_bytes(&w, record->id.bytes, sizeof(record->id.bytes));
                break;
        case RECORD_PING:
        case RECORD_PONG:
                buf_put_bytes(&w, record->ping, sizeof(record->ping));
                break;
        }
        assert(!w.failed && w.at == w.size);
}

const uint8_t *record_extension(const uint8_t *extensions, size_t n_extensions, uint8_t type,
                                size_t *ret_size) {
        BufReader r = buf_reader(extensions, n_extensions);

        while (buf_left(&r) > 0) {
                uint8_t found = buf_get_u8(&r);
                uint16_t size = buf_get_le16(&r);
                const uint8_t *bytes = buf_get(&r, size);

                if (bytes && found == type) {
                        *ret_size = size;
                        return bytes;
                }
        }
        return NULL;
}
