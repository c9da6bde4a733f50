/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * How a message is cut into records: it follows from its size and @body_max, the largest body of a record,
 * alone, so that any record can be produced again at any time from its number in the message. The bytes
 * are PROTOCOL.md's "MSG" and "PART".
 */

#include "libclient/message.h"

/* How many there are. */
uint64_t message_records_count(const Message *message, uint16_t body_max);
/* Bytes of all before number @k; its n_records is set. */
size_t message_records_before(const Message *message, uint16_t body_max, uint64_t k);
/* Number @k, whose message has n_records and first_seq set; it borrows from the message. */
void message_records_fill(const Message *message, uint16_t body_max, uint64_t k, uint64_t now_usec,
                          Record *ret);

/* Bytes of all. */
static inline size_t message_records_bytes(const Message *m) {
        return (size_t)m->n_records * RECORD_HEADER_SIZE + RECORD_MESSAGE_HEAD_SIZE +
               m->n_extensions + m->n_data;
}

/* Bytes of number @k. */
static inline size_t message_records_size(const Message *m, uint16_t body_max, uint64_t k) {
        if (m->n_records == 1) /* nearly all of them */
                return message_records_bytes(m);
        return message_records_before(m, body_max, k + 1) - message_records_before(m, body_max, k);
}
