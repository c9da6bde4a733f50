/* SPDX-License-Identifier: Apache-2.0 */

#include "libclient/message-records.h"

/* Bytes of payload in its first record. */
static size_t first_part(const Message *m, uint16_t body_max) {
        return MIN(m->n_data, (size_t)body_max - RECORD_MESSAGE_HEAD_SIZE - m->n_extensions);
}

uint64_t message_records_count(const Message *m, uint16_t body_max) {
        return 1 + (m->n_data - first_part(m, body_max) + body_max - 1) / body_max;
}

size_t message_records_before(const Message *m, uint16_t body_max, uint64_t k) {
        if (k == 0)
                return 0;
        if (k >= m->n_records) /* which takes no look at how it is cut */
                return message_records_bytes(m);
        return (size_t)k * RECORD_HEADER_SIZE + RECORD_MESSAGE_HEAD_SIZE + m->n_extensions +
               first_part(m, body_max) + (size_t)(k - 1) * body_max;
}

static uint32_t lifetime(const Message *m, uint64_t now_usec) {
        uint64_t msec;

        if (m->deadline_usec == USEC_NEVER)
                return 0;
        msec = m->deadline_usec > now_usec ? (m->deadline_usec - now_usec) / USEC_PER_MSEC : 0;
        return (uint32_t)MIN(MAX(msec, UINT64_C(1)), (uint64_t)UINT32_MAX);
}

void message_records_fill(const Message *m, uint16_t body_max, uint64_t k, uint64_t now_usec,
                          Record *ret) {
        size_t first = first_part(m, body_max);

        ret->flags = m->ack_now && k + 1 == m->n_records ? RECORD_ACK_NOW : 0;
        ret->seq = m->first_seq + k;
        ret->size = message_records_size(m, body_max, k);
        if (k == 0) {
                ret->type = RECORD_MSG;
                ret->message = (RecordMessage){
                        .kind = m->kind,
                        .flags = m->flags,
                        .lifetime_msec = lifetime(m, now_usec),
                        .id = m->id,
                        .reply_to = m->reply_to,
                        .total = m->n_data,
                        .extensions = m->extensions,
                        .n_extensions = m->n_extensions,
                        .data = m->data,
                        .n_data = first,
                };
                return;
        }
        ret->type = RECORD_PART;
        ret->part.data = m->data + first + (size_t)(k - 1) * body_max;
        ret->part.n_data = ret->size - RECORD_HEADER_SIZE;
}
