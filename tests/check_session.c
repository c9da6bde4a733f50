/* SPDX-License-Identifier: Apache-2.0 */

#include "libclient/session.h"

#include <stdlib.h>
#include <string.h>

#include "libcore/control.h"
#include "tests/main.h"

#define ROOM (RECORD_HEADER_SIZE + RECORD_BODY_MAX + 256)

/*
 * Two sessions and no network: what one produces is carried to the other by hand, record by
 * record. The clock stands still unless a test moves it.
 */

static uint64_t now = 1000 * USEC_PER_SEC;
static SessionQuota quota_a, quota_b;
static Session *a, *b;
static uint64_t n_ids;

static Session *session(char name, SessionQuota *quota, uint64_t id, uint16_t body_max) {
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

static void two(void) {
        quota_a = quota_b = (SessionQuota){ .size = 1 << 21, .left = 1 << 21 };
        a = session('a', &quota_a, 1, 0);
        b = session('b', &quota_b, 2, 0);
        session_set_path(a, SESSION_PATH_LOCAL, 1, now);
        session_set_path(b, SESSION_PATH_LOCAL, 1, now);
}

static void none(void) {
        a = session_free(a);
        b = session_free(b);
        ck_assert_uint_eq(quota_a.left, quota_a.size);
        ck_assert_uint_eq(quota_b.left, quota_b.size);
}

static Message *message(size_t n_data, MessageKind kind) {
        Message *m;

        ck_assert_int_eq(message_new_with_size(&m, n_data, 0), 0);
        m->kind = (uint8_t)kind;
        m->id = packet_id_make(now, ++n_ids);
        for (size_t i = 0; i < n_data; i++)
                m->data[i] = (uint8_t)(i * 31 + n_ids);
        return m;
}

/* One packet from @from to @to. Return: how many records it had; 0: nothing to send. */
static unsigned carry(Session *from, Session *to) {
        uint8_t bytes[ROOM];
        uint64_t deadline;
        PacketId id;
        size_t n, at = 0;
        unsigned n_records = 0;
        Record r;

        if (session_produce(from, false, now, bytes, sizeof(bytes), &n, &id, &deadline) != 0)
                return 0;
        while (record_decode(bytes, n, &at, &r) == 0) {
                if (to)
                        ck_assert_int_eq(session_consume(to, &r, now), 0);
                n_records++;
        }
        ck_assert_uint_eq(at, n);
        return n_records;
}

static void carry_all(void) {
        while (carry(a, b) + carry(b, a) > 0)
                ;
}

static Message *popped(Session *s) {
        Message *m = session_pop(s);

        ck_assert_ptr_nonnull(m);
        return m;
}

static void take(Session *s, Message *m) {
        session_taken(s, m, now);
        message_unref(m);
}

START_TEST(a_message_arrives_and_is_delivered_when_it_was_taken) {
        Message *sent = message(100, MESSAGE_ONE_WAY), *got, *done;

        ck_assert_int_eq(session_send(a, sent, now), 0);
        ck_assert_uint_eq(carry(a, b), 2); /* START, MSG */
        got = popped(b);
        ck_assert_uint_eq(got->n_data, sent->n_data);
        ck_assert_mem_eq(got->data, sent->data, sent->n_data);
        ck_assert_mem_eq(got->id.bytes, sent->id.bytes, PACKET_ID_SIZE);
        ck_assert_ptr_null(session_pop(b));

        carry_all();
        ck_assert_ptr_null(session_pop_finished(a));
        take(b, got);
        session_flush(b, now);
        carry_all();
        done = session_pop_finished(a);
        ck_assert_ptr_eq(done, sent);
        ck_assert_int_eq(done->result, RESULT_DELIVERED);
        message_unref(done);
        message_unref(sent);
        ck_assert(session_is_established(a) && session_is_established(b));
        ck_assert_uint_eq(session_id(b), 1);
        ck_assert_uint_eq(session_memory(a), 0);
        ck_assert_uint_eq(session_memory(b), 0);
}
END_TEST

START_TEST(many_sizes_arrive_whole_and_in_order) {
        static const size_t sizes[] = { 0,      1,      61391,  61392,  61393,  61440,
                                        122832, 122833, 200000, 262144, 300000, 1 << 20 };

        for (unsigned i = 0; i < ELEMENTSOF(sizes); i++) {
                Message *m = message(sizes[i], MESSAGE_ONE_WAY);

                ck_assert_int_eq(session_send(a, m, now), 0);
                carry_all();
                while (session_pop_finished(a))
                        ck_abort_msg("finished before it was taken");
                {
                        Message *got = popped(b), *done;

                        ck_assert_uint_eq(got->n_data, m->n_data);
                        if (m->n_data > 0)
                                ck_assert_mem_eq(got->data, m->data, m->n_data);
                        take(b, got);
                        session_flush(b, now);
                        carry_all();
                        done = session_pop_finished(a);
                        ck_assert_ptr_eq(done, m);
                        message_unref(done);
                }
                message_unref(m);
        }
}
END_TEST

START_TEST(a_closed_session_says_so_once) {
        Message *m = message(10, MESSAGE_ONE_WAY);
        uint8_t bytes[ROOM];
        uint64_t deadline;
        PacketId id;
        size_t n, at = 0;
        Record r;
        int c = 0;

        ck_assert_int_eq(session_send(a, m, now), 0);
        message_unref(m);
        carry_all();
        take(b, popped(b));
        session_close(b, now);
        ck_assert_int_eq(session_produce(b, false, now, bytes, ROOM, &n, &id, &deadline), 0);
        while (record_decode(bytes, n, &at, &r) == 0)
                c = session_consume(a, &r, now);
        ck_assert_uint_eq(r.type, RECORD_CLOSE);
        ck_assert_int_eq(c, 0); /* the fate of the message is still to be heard of */
        ck_assert_int_eq(session_produce(b, false, now, bytes, ROOM, &n, &id, &deadline),
                         SESSION_E_IDLE);
        m = session_pop_finished(a);
        ck_assert_int_eq(m->result, RESULT_DELIVERED); /* by the ACK before CLOSE */
        message_unref(m);
        ck_assert(session_is_closed(a));
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("session");
        TCase *plain = tcase_create("plain");

        tcase_add_checked_fixture(plain, two, none);
        tcase_add_test(plain, a_message_arrives_and_is_delivered_when_it_was_taken);
        tcase_add_test(plain, many_sizes_arrive_whole_and_in_order);
        tcase_add_test(plain, a_closed_session_says_so_once);
        suite_add_tcase(suite, plain);
        return suite;
}
