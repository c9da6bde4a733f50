/* SPDX-License-Identifier: Apache-2.0 */

/* Packets through p2pbusd: where they go, what it costs whom, and the descriptors with them. */

#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/select.h>

#include "libcore/record.h"
#include "libsecure/crypto.h"
#include "tests/bystanders.h"
#include "tests/main.h"

START_TEST(a_packet_goes_to_the_process_it_names) {
        const Received *got;
        PacketId id;

        bystanders_start(NULL);
        id = client_send(&x, y.address, PACKET_RECORDS, "hello", 5);
        got = expect_payload(&y, PACKET_RECORDS, "hello", 5);
        ck_assert(address_equal(got->header.src, x.address));
        ck_assert_mem_eq(got->header.id.bytes, id.bytes, PACKET_ID_SIZE);
        ck_assert_uint_eq(got->header.hflags, 0);
        client_send(&y, (Address){ x.address.pid, 0 }, PACKET_RECORDS, "", 0);
        expect_payload(&x, PACKET_RECORDS, "", 0);
        client_send(&x, x.address, PACKET_RECORDS, "to myself", 9);
        expect_payload(&x, PACKET_RECORDS, "to myself", 9);
        bystanders_stop();
}
END_TEST

START_TEST(packets_of_every_size_arrive_in_order) {
        static const size_t sizes[] = { 0, 1, 64, 1000, 4096, 40000, PACKET_PAYLOAD_MAX };
        uint8_t payload[PACKET_PAYLOAD_MAX];

        bystanders_start(NULL);
        for (unsigned i = 0; i < 200; i++) {
                memset(payload, (int)i, sizeof(payload));
                client_send(&x, y.address, PACKET_RECORDS, payload, sizes[i % ELEMENTSOF(sizes)]);
                if (i % 20 < 19)
                        continue;
                for (unsigned j = i - 19; j <= i; j++) {
                        memset(payload, (int)j, sizeof(payload));
                        expect_payload(&y, PACKET_RECORDS, payload, sizes[j % ELEMENTSOF(sizes)]);
                }
        }
        bystanders_stop();
}
END_TEST

START_TEST(who_is_not_here_is_said_at_once) {
        const Control *word;
        PacketId id;
        Client a, gone;
        Address left;

        bystanders_start(NULL);
        client_open(&a, &d, ATTACH_OFF_HOST);
        id = client_send(&a, NOWHERE, PACKET_RECORDS, "x", 1);
        word = expect_word(&a, CONTROL_NOT_LOCAL);
        ck_assert_uint_eq(word->code, CODE_NOT_HERE);
        ck_assert_mem_eq(word->ref.bytes, id.bytes, PACKET_ID_SIZE);
        ck_assert_uint_eq(word->address.pid, NOWHERE.pid);

        client_send(&a, (Address){ x.address.pid, x.address.tag ^ 1 }, PACKET_RECORDS, "x", 1);
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOT_LOCAL)->code, CODE_WRONG_KEY);
        client_send(&a, NOWHERE, PACKET_SEALED, "x", 1);
        expect_error(&a, CODE_NO_ROUTE);
        client_send(&x, NOWHERE, PACKET_SEALED, "x", 1);
        expect_error(&x, CODE_DENIED); /* it did not ask for OFF_HOST */

        client_open(&gone, &d, 0);
        left = gone.address;
        client_close(&gone);
        client_send(&a, left, PACKET_RECORDS, "x", 1);
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOT_LOCAL)->code, CODE_GONE);
        client_close(&a);
        bystanders_stop();
}
END_TEST

START_TEST(sealed_for_this_host_is_delivered_and_hinted_once) {
        bystanders_start(NULL);
        client_send(&x, y.address, PACKET_SEALED, "s1", 2);
        client_send(&x, y.address, PACKET_SEALED, "s2", 2);
        ck_assert(address_equal(expect_word(&x, CONTROL_NOW_LOCAL)->address, y.address));
        expect_payload(&y, PACKET_SEALED, "s1", 2);
        expect_payload(&y, PACKET_SEALED, "s2", 2);
        expect_silence(&x);
        bystanders_stop();
}
END_TEST

START_TEST(a_foreign_source_ends_the_connection) {
        bystanders_start(NULL);
        for (unsigned i = 0; i < 5; i++) {
                PacketHeader header = { .kind = PACKET_RECORDS };
                Client c;

                client_open(&c, &d, 0);
                header.src = i == 0   ? x.address
                             : i == 1 ? (Address){ c.address.pid, c.address.tag ^ 1 }
                             : i == 2 ? (Address){ c.address.pid, 0 }
                                      : (Address){ PID_DAEMON, 0 };
                header.dst = y.address;
                header.kind = i == 4 ? PACKET_SEALED : PACKET_RECORDS;
                ck_assert(client_send_header(&c, header, "spoof", 5));
                expect_error(&c, CODE_VIOLATION);
                expect_closed(&c);
                expect_silence(&y);
                expect_logged("source not its own", i + 1);
                client_close(&c);
        }
        bystanders_stop();
}
END_TEST

/* One byte of a good packet is another. */
static const struct {
        const char *what;
        unsigned at;
        uint8_t value;
} bad_packets[] = {
        { "type of frame", 4, 9 },
        { "HELLO's type", 4, FRAME_HELLO },
        { "announced descriptor", 5, 1 },
        { "five descriptors", 5, 5 },
        { "size below the header", 0, 71 },
        { "reserved", 8, 1 },
        { "reserved", 15, 1 },
        { "kind 0", 64, 0 },
        { "kind 4", 64, 4 },
        { "high kind", 65, 1 },
        { "eflags", 66, 1 },
        { "fragment", 68, 1 },
        { "last fragment", 70, 1 },
};

START_TEST(a_malformed_packet_ends_its_connection_alone) {
        bystanders_start(NULL);
        for (unsigned i = 0; i < ELEMENTSOF(bad_packets); i++) {
                PacketHeader header = { .size = PACKET_HEADER_SIZE + 4, .kind = PACKET_RECORDS };
                uint8_t packet[PACKET_HEADER_SIZE + 4] = { 0 };
                Client c;

                client_open(&c, &d, 0);
                header.src = c.address;
                header.dst = y.address;
                packet_header_encode(&header, packet);
                packet[bad_packets[i].at] = bad_packets[i].value;
                ck_assert(client_write(&c, packet, sizeof(packet)));
                expect_error(&c, CODE_VIOLATION);
                expect_closed(&c);
                expect_logged("disconnecting", i + 1);
                expect_silence(&y);
                client_close(&c);
        }
        bystanders_stop();
}
END_TEST

START_TEST(a_malformed_word_ends_its_connection_and_an_unknown_one_does_not) {
        uint8_t payload[CONTROL_HEAD_SIZE + 4] = { 0 };
        Client c;

        bystanders_start(NULL);
        client_open(&c, &d, 0);
        store_le16(payload, 999); /* of a later version */
        client_send(&c, (Address){ PID_DAEMON, 0 }, PACKET_CONTROL, payload, sizeof(payload));
        expect_error(&c, CODE_UNSUPPORTED);
        store_le16(payload, CONTROL_LINKS); /* only a gateway says it */
        client_send(&c, (Address){ PID_DAEMON, 0 }, PACKET_CONTROL, payload, CONTROL_HEAD_SIZE);
        expect_error(&c, CODE_UNSUPPORTED);
        if (_i == 0) /* a body where none may be */
                client_send(&c, (Address){ PID_DAEMON, 0 }, PACKET_CONTROL, payload,
                            sizeof(payload));
        else if (_i == 1) /* half a head */
                client_send(&c, (Address){ PID_DAEMON, 0 }, PACKET_CONTROL, payload, 20);
        else /* to a process */
                client_send(&c, y.address, PACKET_CONTROL, payload, CONTROL_HEAD_SIZE);
        expect_error(&c, CODE_VIOLATION);
        expect_closed(&c);
        client_close(&c);
        bystanders_stop();
}
END_TEST

START_TEST(random_bytes_hurt_nobody_else) {
        uint64_t seed = crypto_random_u64();
        uint8_t bytes[4096];

        printf("# seed %llu\n", (unsigned long long)seed);
        bystanders_start(NULL);
        for (unsigned round = 0; round < 100; round++) {
                Client c;

                client_open(&c, &d, 0);
                for (unsigned i = 0; i < sizeof(bytes); i++) {
                        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                        bytes[i] = (uint8_t)(seed >> 56);
                }
                /* Half of them behind a prefix that is good. */
                if (round % 2 == 0)
                        frame_prefix_encode(&(FramePrefix){ .size = 1000, .type = FRAME_PACKET },
                                            bytes);
                (void)client_write(&c, bytes, sizeof(bytes));
                expect_closed(&c);
                client_close(&c);
        }
        bystanders_stop();
}
END_TEST

START_TEST(what_was_said_before_the_end_is_delivered) {
        Client c;

        bystanders_start(NULL);
        client_open(&c, &d, 0);
        for (unsigned i = 0; i < 100; i++)
                client_send(&c, y.address, PACKET_RECORDS, &i, sizeof(i));
        /* Answers that it will never read, too. */
        client_send(&c, NOWHERE, PACKET_RECORDS, "x", 1);
        client_send(&c, y.address, PACKET_RECORDS, "last", 4);
        client_close(&c);
        for (unsigned i = 0; i < 100; i++)
                expect_payload(&y, PACKET_RECORDS, &i, sizeof(i));
        expect_payload(&y, PACKET_RECORDS, "last", 4);
        bystanders_stop();
}
END_TEST

/* --- queues --- */

START_TEST(a_receiver_that_never_reads_costs_its_senders_alone) {
        uint8_t payload[16384] = { 0 };
        unsigned n_refused = 0, n_sent = 0, n_delivered = 0;
        Client sleeper, sender;

        bystanders_start(NULL);
        client_open(&sleeper, &d, 0);
        client_open(&sender, &d, 0);
        while (n_refused == 0) {
                struct timespec none = { 0 };
                fd_set set;

                client_send(&sender, sleeper.address, PACKET_RECORDS, payload, sizeof(payload));
                n_sent++;
                ck_assert_uint_lt(n_sent, 2000); /* 32 MB: more than any queue */
                FD_ZERO(&set);
                FD_SET(sender.fd, &set);
                if (pselect(sender.fd + 1, &set, NULL, NULL, &none, NULL) > 0) {
                        expect_error(&sender, CODE_QUEUE_FULL);
                        n_refused++;
                }
        }
        bystanders_are_well();
        /* The sender is free to talk to others. */
        client_send(&sender, y.address, PACKET_RECORDS, "hi", 2);
        expect_payload(&y, PACKET_RECORDS, "hi", 2);
        /* All its packets were judged when the next question is answered. */
        client_say(&sender, &(Control){ .verb = CONTROL_RESOLVE, .address = sender.address });
        while (expect_packet(&sender)->word.verb != CONTROL_RESOLVED) {
                ck_assert_uint_eq(sender.last.word.code, CODE_QUEUE_FULL);
                n_refused++;
        }
        /* It wakes up, reads all there is, and the sender hears of the room. */
        while (n_delivered < n_sent - n_refused) {
                expect_payload(&sleeper, PACKET_RECORDS, payload, sizeof(payload));
                n_delivered++;
        }
        ck_assert(
                address_equal(expect_word(&sender, CONTROL_QUEUE_SPACE)->address, sleeper.address));
        client_send(&sender, sleeper.address, PACKET_RECORDS, "again", 5);
        expect_payload(&sleeper, PACKET_RECORDS, "again", 5);
        client_close(&sleeper);
        client_close(&sender);
        bystanders_stop();
}
END_TEST

START_TEST(a_full_quota_of_one_user_leaves_room_for_another) {
        uint8_t payload[40000] = { 0 };
        unsigned n_sent = 0;
        Client sleeper[3], root, own;

        if (!is_root("quota of two users"))
                return;
        /* 4 MiB in all for uid 12345, each connection 1 MiB. */
        daemon_start(&d, "--system", "[Limits]\nQueueBytes=4M\nConnectionQueue=1M\n");
        for (unsigned i = 0; i < 3; i++)
                client_open_as(&sleeper[i], &d, 0, 12345);
        client_open(&root, &d, 0);
        client_open_as(&own, &d, 0, 12345);

        /* Root, a stranger here, gets half of what there is and no more: 2 of 3 queues. */
        for (unsigned i = 0; i < 3; i++)
                for (unsigned j = 0; j < 120; j++, n_sent++)
                        client_send(&root, sleeper[i].address, PACKET_RECORDS, payload, 16384);
        ck_assert_uint_gt(daemon_status(&d, "refused, the receiver's queue is full"), 0);
        ck_assert_uint_gt(daemon_status(&d, "queued_bytes"), 1 << 20);
        ck_assert_uint_lt(daemon_status(&d, "queued_bytes"), 5 << 19);

        /*
         * Nor to a queue that is empty; it is told to try again all the same. Two full queues are
         * within 24 KiB of root's half.
         */
        client_send(&root, own.address, PACKET_RECORDS, payload, sizeof(payload));
        do
                expect_packet(&root);
        while (root.last.word.verb != CONTROL_QUEUE_SPACE ||
               !address_equal(root.last.word.address, own.address));

        /* The user itself still passes. */
        client_send(&own, own.address, PACKET_RECORDS, "mine", 4);
        expect_payload(&own, PACKET_RECORDS, "mine", 4);
        for (unsigned i = 0; i < 3; i++)
                client_close(&sleeper[i]);
        client_close(&root);
        client_close(&own);
        daemon_stop(&d);
}
END_TEST

START_TEST(strangers_are_denied_and_answers_to_questions_pass) {
        uint8_t bytes[256];
        Record record = { .type = RECORD_MSG,
                          .session = 1,
                          .message = { .kind = MESSAGE_REQUEST } };
        Client root, user, other;

        if (!is_root("policy between users"))
                return;
        daemon_start(&d, "--system", NULL);
        client_open(&root, &d, 0);
        client_open_as(&user, &d, ATTACH_OFF_HOST, 12345);
        client_open_as(&other, &d, 0, 12346);

        record_encode(&record, bytes);
        client_send(&user, other.address, PACKET_RECORDS, bytes, record_size(&record));
        expect_error(&user, CODE_DENIED);
        client_send(&user, root.address, PACKET_RECORDS, bytes, record_size(&record));
        expect_error(&user, CODE_DENIED);
        client_send(&user, root.address, PACKET_SEALED, bytes, record_size(&record));
        expect_error(&user, CODE_DENIED);

        client_send(&root, user.address, PACKET_RECORDS, bytes, record_size(&record));
        expect_payload(&user, PACKET_RECORDS, bytes, record_size(&record));
        record.message.kind = MESSAGE_REPLY;
        record_encode(&record, bytes);
        client_send(&user, root.address, PACKET_RECORDS, bytes, record_size(&record));
        expect_payload(&root, PACKET_RECORDS, bytes, record_size(&record));

        /* Asking for OFF_HOST is not enough. */
        client_send(&user, NOWHERE, PACKET_SEALED, "x", 1);
        expect_error(&user, CODE_DENIED);
        client_say(&user, &(Control){ .verb = CONTROL_MONITOR, .value = MONITOR_HEADERS });
        expect_error(&user, CODE_DENIED);
        client_say(&user, &(Control){ .verb = CONTROL_GATEWAY });
        expect_error(&user, CODE_DENIED);
        client_say(&user, &(Control){ .verb = CONTROL_RELOAD });
        expect_error(&user, CODE_DENIED);
        client_say(&root, &(Control){ .verb = CONTROL_MONITOR, .value = MONITOR_FULL });
        ck_assert_uint_eq(expect_word(&root, CONTROL_OK)->value, MONITOR_HEADERS);
        client_close(&root);
        client_close(&user);
        client_close(&other);
        daemon_stop(&d);
}
END_TEST

/* --- descriptors --- */

START_TEST(descriptors_go_along) {
        int ends[2], fds[FRAME_FDS_MAX];
        const Received *got;
        uint8_t byte = 'z';

        bystanders_start(NULL);
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        for (unsigned i = 0; i < FRAME_FDS_MAX; i++)
                fds[i] = ends[1];
        for (unsigned round = 0; round < 100; round++) {
                uint8_t n = (uint8_t)(round % (FRAME_FDS_MAX + 1));

                send_with_fds(&x, y.address, fds, n);
                got = expect_payload(&y, PACKET_RECORDS, "fds", 3);
                ck_assert_uint_eq(got->header.n_fds, n);
                for (unsigned i = 0; i < n; i++) {
                        ck_assert_int_eq(write(got->fds[i], &byte, 1), 1);
                        ck_assert_int_eq(read(ends[0], &byte, 1), 1);
                        close(got->fds[i]);
                }
        }
        /* Of those who are not there, too, nothing stays behind. */
        send_with_fds(&x, NOWHERE, fds, 4);
        ck_assert_uint_eq(expect_word(&x, CONTROL_NOT_LOCAL)->code, CODE_NOT_HERE);
        close(ends[1]);
        ck_assert_int_eq(read(ends[0], &byte, 1), 0);
        close(ends[0]);
        bystanders_stop();
}
END_TEST

START_TEST(the_bus_itself_cannot_be_sent_through_the_bus) {
        bystanders_start(NULL);
        send_with_fds(&x, y.address, &x.fd, 1);
        expect_error(&x, CODE_DENIED);
        expect_silence(&y);
        bystanders_stop();
}
END_TEST

START_TEST(unannounced_and_too_many_descriptors_are_violations) {
        int fds[5], ends[2];
        uint8_t byte;
        Client c;

        bystanders_start(NULL);
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        for (unsigned i = 0; i < 5; i++)
                fds[i] = ends[1];
        client_open(&c, &d, 0);
        if (_i == 0)
                send_with_fds(&c, y.address, fds, 5);
        else {
                PacketHeader header = { .size = PACKET_HEADER_SIZE,
                                        .src = c.address,
                                        .dst = y.address,
                                        .kind = PACKET_RECORDS };
                uint8_t packet[PACKET_HEADER_SIZE];

                packet_header_encode(&header, packet);
                ck_assert(client_write_fds(&c, packet, sizeof(packet), fds, 1));
        }
        expect_error(&c, CODE_VIOLATION);
        expect_closed(&c);
        close(ends[1]);
        expect_silence(&y);
        ck_assert_int_eq(read(ends[0], &byte, 1), 0);
        close(ends[0]);
        client_close(&c);
        bystanders_stop();
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("daemon routing");
        TCase *routing = tcase_create("routing"), *queues = tcase_create("queues"),
              *fds = tcase_create("descriptors");

        tcase_add_test(routing, a_packet_goes_to_the_process_it_names);
        tcase_add_test(routing, packets_of_every_size_arrive_in_order);
        tcase_add_test(routing, who_is_not_here_is_said_at_once);
        tcase_add_test(routing, sealed_for_this_host_is_delivered_and_hinted_once);
        tcase_add_test(routing, a_foreign_source_ends_the_connection);
        tcase_add_test(routing, a_malformed_packet_ends_its_connection_alone);
        tcase_add_loop_test(routing,
                            a_malformed_word_ends_its_connection_and_an_unknown_one_does_not, 0, 3);
        tcase_add_test(routing, random_bytes_hurt_nobody_else);
        tcase_add_test(routing, what_was_said_before_the_end_is_delivered);

        tcase_add_test(queues, a_receiver_that_never_reads_costs_its_senders_alone);
        tcase_add_test(queues, a_full_quota_of_one_user_leaves_room_for_another);
        tcase_add_test(queues, strangers_are_denied_and_answers_to_questions_pass);

        tcase_add_test(fds, descriptors_go_along);
        tcase_add_test(fds, the_bus_itself_cannot_be_sent_through_the_bus);
        tcase_add_loop_test(fds, unannounced_and_too_many_descriptors_are_violations, 0, 2);

        suite_add_tcase(suite, routing);
        suite_add_tcase(suite, queues);
        suite_add_tcase(suite, fds);
        return suite;
}
