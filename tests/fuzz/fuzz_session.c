/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A peer that says whatever it likes, to an application that sends, pops and takes
 *
 * Each step is a byte that chooses and some more for its numbers, so that the search stays near
 * records that mean something: sequence numbers close to those in use, marks that fit. Nothing
 * may crash, spin, or make the session hold more than its limits.
 */

#include "libclient/session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libcore/buf.h"
#include "libcore/control.h"
#include "tests/fuzz/fuzz.h"

#define ROOM (RECORD_HEADER_SIZE + RECORD_BODY_MAX + 256)
#define QUOTA 500000
#define HELD_MAX 16
#define STEPS_MAX 4096
#define OPENED 5 /* our wall clock */

static uint64_t now, peer_opened, n_produced;
static Message *held[HELD_MAX], *sent;
static unsigned n_held;

/* Small numbers are near what is in use, others far from it. */
static uint64_t number(BufReader *r) {
        uint8_t what = buf_get_u8(r);

        if (what < 0xc0)
                return what;
        if (what < 0xf0)
                return n_produced + what - 0xd8;
        if (what < 0xfc)
                return (uint64_t)what << (what - 0xf0) * 5;
        return buf_get_le64(r);
}

static uint64_t mark(BufReader *r, const Session *s) {
        uint8_t what = buf_get_u8(r);

        if (what < 0x60)
                return session_id(s) ^ OPENED;
        if (what < 0xc0)
                return session_id(s) ^ peer_opened;
        if (what < 0xe0)
                return session_id(s);
        return what;
}

static Record record(BufReader *r, const Session *s, uint8_t type) {
        static uint8_t payload[RECORD_BODY_MAX];
        Record record = { .type = type, .flags = buf_get_u8(r) & 7, .session = mark(r, s) };

        switch (type) {
        case RECORD_START:
                record.session = record.flags & RECORD_ANSWER ? session_id(s) : buf_get_u8(r);
                memset(record.start.key, 'p', PID_KEY_SIZE);
                record.start.opened_usec = peer_opened = number(r);
                record.start.limit = number(r) << 10;
                break;
        case RECORD_MSG:
                record.seq = number(r);
                record.message = (RecordMessage){
                        .kind = 1 + (buf_get_u8(r) & 3),
                        .total = number(r) << (buf_get_u8(r) & 31),
                        .data = payload,
                };
                record.message.n_data = MIN(record.message.total, number(r) & 0x3fff);
                break;
        case RECORD_PART:
                record.seq = number(r);
                record.part.data = payload;
                record.part.n_data = 1 + (number(r) & 0x3fff);
                break;
        case RECORD_ACK:
                record.ack.received = number(r);
                record.ack.taken = number(r);
                record.ack.limit = 4 * SESSION_WINDOW_FIRST + (number(r) << 8);
                record.ack.n_ranges = buf_get_u8(r) & 3;
                for (unsigned i = 0; i < record.ack.n_ranges; i++) {
                        record.ack.ranges[i].first = number(r);
                        record.ack.ranges[i].last = number(r);
                }
                break;
        case RECORD_SKIP:
                record.seq = number(r);
                record.skip.last = number(r);
                record.skip.end = number(r) << (buf_get_u8(r) & 7);
                break;
        case RECORD_SKIPPED:
                record.seq = number(r);
                record.skipped.last = number(r);
                record.skipped.from = number(r);
                record.skipped.reason = buf_get_u8(r);
                break;
        default:
                break;
        }
        return record;
}

/* As it comes from the wire: what does not decode never gets to a session. */
static int say(BufReader *r, Session *s, uint8_t type) {
        static uint8_t bytes[RECORD_HEADER_SIZE + RECORD_BODY_MAX];
        Record out = record(r, s, type), in;
        size_t at = 0;

        if (record_size(&out) > sizeof(bytes))
                return 0;
        record_encode(&out, bytes);
        if (record_decode(bytes, record_size(&out), &at, &in) != 0)
                return 0;
        return buf_get_u8(r) == 0xff ? session_refuse(s, &in, CODE_DENIED, now)
                                     : session_consume(s, &in, now);
}

static void produce(Session *s, bool single) {
        static uint8_t bytes[ROOM];
        uint64_t deadline;
        unsigned n_packets = 0;
        PacketId id;
        size_t n;

        while (session_produce(s, single, now, bytes, sizeof(bytes), &n, &id, &deadline) == 0) {
                size_t at = 0;
                Record r;
                int c;

                assert(++n_packets < 5000 && n > 0 && n <= sizeof(bytes));
                while ((c = record_decode(bytes, n, &at, &r)) == 0)
                        if (r.type == RECORD_MSG || r.type == RECORD_PART)
                                n_produced = r.seq + 1;
                assert(c == RECORD_E_END);
        }
}

static void send_one(BufReader *r, Session *s) {
        Message *m;

        if (message_new_with_size(&m, (size_t)(number(r) & 0x3ffff), 0) < 0)
                return;
        if (m->n_data > 0)
                memset(m->data, 0, m->n_data);
        m->kind = 1 + (buf_get_u8(r) & 3);
        m->ack_now = m->kind & 1;
        if (buf_get_u8(r) & 1)
                m->deadline_usec = now + number(r) * 1000;
        if (session_send(s, m, now) == 0) {
                message_unref(sent);
                sent = m;
        } else
                message_unref(m);
}

static int step(BufReader *r, Session *s) {
        uint8_t what = buf_get_u8(r);
        Message *m;

        switch (what & 0x1f) {
        case 0:
                send_one(r, s);
                break;
        case 1:
                m = n_held < HELD_MAX ? session_pop(s) : NULL;
                if (m)
                        held[n_held++] = m;
                break;
        case 2:
                if (n_held > 0) {
                        unsigned i = what >> 5 < n_held ? what >> 5 : 0;

                        session_taken(s, held[i], now);
                        message_unref(held[i]);
                        held[i] = held[--n_held];
                }
                break;
        case 3:
                if (sent && (what & 0x80))
                        (void)session_take_back(s, sent, CODE_NOT_HERE, now);
                else if (sent)
                        session_abandon(s, sent, RESULT_CANCELLED, now);
                break;
        case 4:
                now += number(r) << (what >> 4);
                session_tick(s, now);
                assert(session_due(s) > now);
                break;
        case 5:
                session_set_path(s, (SessionPath)(buf_get_u8(r) % 3), buf_get_u8(r) & 3, now);
                break;
        case 6:
                session_pause(s, now + number(r), now);
                break;
        case 7:
                session_resume(s, now);
                break;
        case 8:
                session_hint(s, what & 0x80 ? CODE_SETTLING : CODE_GONE, SESSION_HINT_USEC, now);
                break;
        case 9:
                session_flush(s, now);
                break;
        case 10:
                session_fail(s, RESULT_UNKNOWN, now);
                break;
        case 11:
                if (what == 0xeb)
                        session_close(s, CODE_OK, now);
                break;
        default:
                return say(r, s, (uint8_t)(1 + (what & 0x1f) % (_RECORD_TYPE_MAX - 1)));
        }
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data) {
        SessionQuota quota = { .size = QUOTA, .left = QUOTA };
        SessionOptions options = {
                .id = 1,
                .opened_usec = OPENED,
                .message_max = 400000,
                .quota = &quota,
                .body_max = SESSION_BODY_MIN,
        };
        BufReader r = buf_reader(data, n_data);
        Session *s;
        Message *m;

        memset(options.self_key, 's', PID_KEY_SIZE);
        now = 1000 * USEC_PER_SEC;
        peer_opened = n_produced = n_held = 0;
        sent = NULL;
        if (session_new(&s, &options, now) < 0)
                return 0;
        session_set_path(s, SESSION_PATH_OFF_HOST, 1, now);

        for (unsigned i = 0; i < STEPS_MAX && buf_left(&r) > 0; i++) {
                int c = step(&r, s);

                if (c != 0 && c != SESSION_E_UNKNOWN)
                        break;
                produce(s, data[0] & 1);
                while ((m = session_pop_finished(s)))
                        message_unref(m);
                /* Its own queue, what was granted, and a struct for each of the smallest records. */
                assert(session_memory(s) < 20 * SESSION_QUEUE_MAX + QUOTA);
                assert(quota.left <= QUOTA);
        }

        while (n_held > 0)
                message_unref(held[--n_held]);
        sent = message_unref(sent);
        session_free(s);
        assert(quota.left == QUOTA && !quota.waiting);
        return 0;
}
