/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/session-pair.h"

#include <string.h>

#include "tests/main.h"

uint64_t now = 1000 * USEC_PER_SEC;
Session *a, *b;
PacketId last_id, last_packet;

SessionQuota quota_a, quota_b;
uint64_t n_ids;

Session *session(char name, SessionQuota *quota, uint64_t id, uint16_t body_max) {
        SessionOptions options = {
                .id = id,
                .opened_usec = now,
                .message_max = 1 << 20,
                .quota = quota,
                .body_max = body_max,
        };
        Session *s;

        memset(options.self_key, name, sizeof(options.self_key));
        memset(options.peer_key, name == 'a' ? 'b' : 'a', sizeof(options.peer_key));
        ck_assert_int_eq(session_new(&s, &options, now), 0);
        return s;
}

void both_go_by(SessionPath path, uint64_t generation) {
        session_set_path(a, path, generation, now);
        session_set_path(b, path, generation, now);
}

void two(void) {
        quota_a = quota_b = (SessionQuota){ .size = 1 << 21, .left = 1 << 21 };
        a = session('a', &quota_a, 1, 0);
        b = session('b', &quota_b, 2, 0);
        both_go_by(SESSION_PATH_LOCAL, 1);
}

void none(void) {
        a = session_free(a);
        b = session_free(b);
        ck_assert_uint_eq(quota_a.left, quota_a.size);
        ck_assert_uint_eq(quota_b.left, quota_b.size);
}

Message *message(size_t n_data, MessageKind kind) {
        Message *m;

        ck_assert_int_eq(message_new_with_size(&m, n_data, 0), 0);
        m->kind = (uint8_t)kind;
        m->id = last_id = packet_id_make(now, ++n_ids);
        for (size_t i = 0; i < n_data; i++)
                m->data[i] = (uint8_t)(i * 31 + n_ids);
        return m;
}

unsigned carry(Session *from, Session *to) {
        uint8_t bytes[ROOM];
        uint64_t deadline;
        PacketId id;
        size_t n, at = 0;
        unsigned n_records = 0;
        Record r;

        if (session_produce(from, false, now, bytes, sizeof(bytes), &n, &id, &deadline) != 0)
                return 0;
        last_packet = packet_id_make(now, ++n_ids);
        session_sealed_as(from, &last_packet);
        if (to)
                session_begin_packet(to, false);
        while (record_decode(bytes, n, &at, &r) == 0) {
                if (to)
                        ck_assert_int_eq(session_consume(to, &r, now), 0);
                n_records++;
        }
        ck_assert_uint_eq(at, n);
        return n_records;
}

void carry_all(void) {
        while (carry(a, b) + carry(b, a) > 0)
                ;
}

Message *popped(Session *s) {
        Message *m = session_pop(s);

        ck_assert_ptr_nonnull(m);
        return m;
}

void take(Session *s, Message *m) {
        session_taken(s, m, now);
        message_unref(m);
}

unsigned said(Session *from, Record *ret, unsigned n_ret) {
        static uint8_t bytes[ROOM];
        uint64_t deadline;
        PacketId id;
        size_t n, at = 0;
        unsigned n_records = 0;

        if (session_produce(from, false, now, bytes, sizeof(bytes), &n, &id, &deadline) != 0)
                return 0;
        while (n_records < n_ret && record_decode(bytes, n, &at, &ret[n_records]) == 0)
                n_records++;
        return n_records;
}

void sends(Session *s, size_t n_data, MessageKind kind) {
        Message *m = message(n_data, kind);

        ck_assert_int_eq(session_send(s, m, now), 0);
        message_unref(m);
}

void last_is_refused(Session *s) {
        session_refused(s, &last_id);
}

void delivered(unsigned n) {
        for (unsigned i = 0; i < n; i++)
                take(b, popped(b));
        session_flush(b, now);
        carry_all();
        for (unsigned i = 0; i < n; i++)
                finished(a, RESULT_DELIVERED);
}

void finished(Session *s, int result) {
        Message *m = session_pop_finished(s);

        ck_assert_ptr_nonnull(m);
        ck_assert_int_eq(m->result, result);
        message_unref(m);
}

void nothing_finished(Session *s) {
        ck_assert_ptr_null(session_pop_finished(s));
}

/* Both know of each other, nothing is under way. */
void met(SessionPath path) {
        both_go_by(path, 1);
        sends(a, 1, MESSAGE_ONE_WAY);
        carry_all();
        delivered(1);
        ck_assert_uint_eq(carry(a, b) + carry(b, a), 0);
}

void met_locally(void) {
        two();
        met(SESSION_PATH_LOCAL);
}

void met_off_host(void) {
        two();
        met(SESSION_PATH_OFF_HOST);
}

void time_goes(uint64_t usec) {
        now += usec;
        session_tick(a, now);
        session_tick(b, now);
}
