/* SPDX-License-Identifier: Apache-2.0 */

/* Who may attach to p2pbusd, and how often. */

#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "tests/bystanders.h"
#include "tests/main.h"

/* A client that says @frame instead of its ATTACH is told @code and closed. */
static void expect_attach_refused(Client *c, const void *frame, size_t n, ControlCode code) {
        (void)client_write(c, frame, n); /* it may be closed before the end */
        expect_error(c, code);
        expect_closed(c);
        client_close(c);
}

START_TEST(no_bit_of_an_attach_may_be_another) {
        bystanders_start(NULL);
        for (unsigned i = 0; i < ATTACH_SIZE; i++) {
                uint8_t frame[ATTACH_FRAME];
                const Control *word;
                Client c;

                client_connect(&c, &d, NULL);
                client_make_attach(&c, 0, frame);
                frame[FRAME_PREFIX_SIZE + i] ^= (uint8_t)(1U << i % 8);
                ck_assert(client_write(&c, frame, sizeof(frame)));
                word = expect_word(&c, CONTROL_ERROR);
                ck_assert_msg(word->code == CODE_BAD_SIGNATURE || word->code == CODE_VIOLATION ||
                                      word->code == CODE_UNSUPPORTED,
                              "byte %u: %s", i, control_code_text(word->code));
                expect_closed(&c);
                client_close(&c);
        }
        bystanders_stop();
}
END_TEST

START_TEST(no_bit_of_the_hello_that_was_signed_may_be_another) {
        bystanders_start(NULL);
        for (unsigned i = 0; i < HELLO_SIZE; i++) {
                uint8_t frame[ATTACH_FRAME];
                Client c;

                client_connect(&c, &d, NULL);
                c.hello[i] ^= (uint8_t)(1U << i % 8);
                /* A HELLO that our own library would refuse is signed by hand. */
                {
                        FramePrefix prefix = { .size = sizeof(frame), .type = FRAME_ATTACH };
                        Slice parts[2] = { { c.hello, HELLO_SIZE },
                                           { frame + FRAME_PREFIX_SIZE, 40 } };

                        memset(frame, 0, sizeof(frame));
                        frame_prefix_encode(&prefix, frame);
                        store_le16(frame + FRAME_PREFIX_SIZE, 1);
                        memcpy(frame + FRAME_PREFIX_SIZE + 8, identity_public(c.key)->bytes,
                               KEY_SIZE);
                        ck_assert_int_eq(identity_sign(c.key, "p2pbus-attach-1", parts, 2,
                                                       frame + FRAME_PREFIX_SIZE + 40),
                                         0);
                }
                expect_attach_refused(&c, frame, sizeof(frame), CODE_BAD_SIGNATURE);
        }
        bystanders_stop();
}
END_TEST

START_TEST(a_replayed_attach_is_refused_on_a_new_connection_and_after_a_restart) {
        uint8_t frame[ATTACH_FRAME];
        Client c;

        bystanders_start(NULL);
        client_connect(&c, &d, NULL);
        client_make_attach(&c, 0, frame);
        ck_assert(client_write(&c, frame, sizeof(frame)));
        expect_word(&c, CONTROL_WELCOME);
        client_close(&c);

        client_connect(&c, &d, NULL);
        expect_attach_refused(&c, frame, sizeof(frame), CODE_BAD_SIGNATURE);
        bystanders_are_well();
        client_close(&x);
        client_close(&y);

        daemon_end(&d);
        daemon_restart(&d, "--user");
        client_connect(&c, &d, NULL);
        expect_attach_refused(&c, frame, sizeof(frame), CODE_BAD_SIGNATURE);
        daemon_stop(&d);
}
END_TEST

START_TEST(a_signature_of_another_key_is_refused) {
        uint8_t frame[ATTACH_FRAME];
        IdentityKey *other;
        Client c;

        bystanders_start(NULL);
        client_connect(&c, &d, NULL);
        client_make_attach(&c, 0, frame);
        ck_assert_int_eq(identity_new_random(&other), 0);
        memcpy(frame + FRAME_PREFIX_SIZE + 8, identity_public(other)->bytes, KEY_SIZE);
        identity_free(other);
        expect_attach_refused(&c, frame, sizeof(frame), CODE_BAD_SIGNATURE);
        bystanders_stop();
}
END_TEST

/* Signed as it stands: only the field is wrong. */
static const struct {
        const char *what;
        unsigned at;
        uint8_t value;
        ControlCode code;
} bad_fields[] = {
        { "protocol 0", 0, 0, CODE_UNSUPPORTED },  { "protocol 2", 0, 2, CODE_UNSUPPORTED },
        { "unknown flag", 2, 16, CODE_VIOLATION }, { "unknown high flag", 3, 0x80, CODE_VIOLATION },
        { "reserved byte", 4, 1, CODE_VIOLATION }, { "reserved byte", 7, 1, CODE_VIOLATION },
};

START_TEST(a_wrong_field_is_refused_though_signed) {
        bystanders_start(NULL);
        for (unsigned i = 0; i < ELEMENTSOF(bad_fields); i++) {
                uint8_t frame[ATTACH_FRAME];
                Client c;
                Slice parts[2] = { { c.hello, HELLO_SIZE }, { frame + FRAME_PREFIX_SIZE, 40 } };

                client_connect(&c, &d, NULL);
                client_make_attach(&c, 0, frame);
                frame[FRAME_PREFIX_SIZE + bad_fields[i].at] = bad_fields[i].value;
                ck_assert_int_eq(identity_sign(c.key, "p2pbus-attach-1", parts, 2,
                                               frame + FRAME_PREFIX_SIZE + 40),
                                 0);
                expect_attach_refused(&c, frame, sizeof(frame), bad_fields[i].code);
        }
        bystanders_stop();
}
END_TEST

/* What comes in place of ATTACH: a prefix and so many bytes. */
static const struct {
        const char *what;
        uint32_t size;
        uint8_t type;
        uint8_t n_fds;
        size_t n;
} not_attach[] = {
        { "ATTACH of 103 bytes", 111, FRAME_ATTACH, 0, 111 },
        { "ATTACH of 105 bytes", 113, FRAME_ATTACH, 0, 113 },
        { "ATTACH that announces a descriptor", 112, FRAME_ATTACH, 1, 112 },
        { "HELLO", 88, FRAME_HELLO, 0, 88 },
        { "packet", 72, FRAME_PACKET, 0, 72 },
        { "packet of which only a part comes", 65536, FRAME_PACKET, 0, 200 },
        { "1 MiB", 0x100000, FRAME_ATTACH, 0, 0x100000 },
        { "size zero", 0, FRAME_ATTACH, 0, 8 },
        { "size 4 GiB", UINT32_MAX, FRAME_PACKET, 0, 8 },
        { "type 0", 112, 0, 0, 112 },
        { "type 4", 112, 4, 0, 112 },
};

START_TEST(nothing_else_is_read_before_attach) {
        bystanders_start(NULL);
        for (unsigned i = 0; i < ELEMENTSOF(not_attach); i++) {
                size_t n = not_attach[i].n;
                FramePrefix prefix = { .size = not_attach[i].size,
                                       .type = not_attach[i].type,
                                       .n_fds = not_attach[i].n_fds };
                uint8_t *bytes = calloc(1, n);
                Client c;

                frame_prefix_encode(&prefix, bytes);
                client_connect(&c, &d, NULL);
                expect_attach_refused(&c, bytes, n, CODE_VIOLATION);
                free(bytes);
                expect_logged("disconnecting", i + 1);
                expect_logged("reason=violation", i + 1);
        }
        bystanders_stop();
}
END_TEST

START_TEST(descriptors_sent_with_attach_are_closed) {
        uint8_t frame[ATTACH_FRAME];
        int ends[2];
        uint8_t byte;
        Client c;

        bystanders_start(NULL);
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        client_connect(&c, &d, NULL);
        client_make_attach(&c, 0, frame);
        ck_assert(client_write_fds(&c, frame, sizeof(frame), &ends[1], 1));
        close(ends[1]);
        expect_error(&c, CODE_VIOLATION);
        expect_closed(&c);
        ck_assert_int_eq(read(ends[0], &byte, 1), 0); /* the end: nobody holds it any more */
        close(ends[0]);
        client_close(&c);
        bystanders_stop();
}
END_TEST

START_TEST(a_second_attach_is_a_violation) {
        uint8_t frame[ATTACH_FRAME];
        Client c;

        bystanders_start(NULL);
        client_open(&c, &d, 0);
        client_make_attach(&c, 0, frame);
        expect_attach_refused(&c, frame, sizeof(frame), CODE_VIOLATION);
        bystanders_stop();
}
END_TEST

START_TEST(who_does_not_attach_in_time_is_closed) {
        uint8_t frame[ATTACH_FRAME];
        Client silent, slow;

        bystanders_start(NULL);
        /* Only now: however slow this machine is, the bystanders are in. */
        daemon_configure(&d, "[Bus]\nAttachTimeout=100ms\n");
        client_say(&x, &(Control){ .verb = CONTROL_RELOAD });
        expect_word(&x, CONTROL_OK);
        client_connect(&silent, &d, NULL);
        client_connect(&slow, &d, NULL);
        client_make_attach(&slow, 0, frame);
        for (unsigned i = 0; i < ATTACH_FRAME - 1; i++)
                (void)client_write(&slow, frame + i, 1); /* may be too slow for that already */
        expect_error(&silent, CODE_TIMEOUT);
        expect_closed(&silent);
        expect_error(&slow, CODE_TIMEOUT);
        expect_closed(&slow);
        client_close(&silent);
        client_close(&slow);
        bystanders_stop();
}
END_TEST

START_TEST(a_key_is_attached_once_unless_it_takes_over) {
        uint8_t seed[IDENTITY_SEED_SIZE] = { 42 }, frame[ATTACH_FRAME];
        IdentityKey *keys[3];
        Client a, b;

        bystanders_start(NULL);
        for (unsigned i = 0; i < 3; i++)
                ck_assert_int_eq(identity_new_from_seed(&keys[i], seed), 0);
        client_connect(&a, &d, keys[0]);
        client_attach(&a, 0);
        client_connect(&b, &d, keys[1]);
        client_make_attach(&b, 0, frame);
        expect_attach_refused(&b, frame, sizeof(frame), CODE_BUSY);
        expect_silence(&a); /* it did not notice */

        client_connect(&b, &d, keys[2]);
        client_attach(&b, ATTACH_TAKEOVER);
        ck_assert_uint_eq(expect_word(&a, CONTROL_GOODBYE)->code, CODE_REPLACED);
        expect_closed(&a);
        client_send(&x, b.address, PACKET_RECORDS, "to the new one", 14);
        expect_payload(&b, PACKET_RECORDS, "to the new one", 14);
        client_close(&a);
        client_close(&b);
        bystanders_stop();
}
END_TEST

START_TEST(another_user_with_the_same_key_is_denied_and_noted) {
        uint8_t seed[IDENTITY_SEED_SIZE] = { 43 }, frame[ATTACH_FRAME];
        IdentityKey *keys[2];
        Client a, b;

        if (!is_root("same key, other user"))
                return;
        daemon_start(&d, "--system", NULL);
        for (unsigned i = 0; i < 2; i++)
                ck_assert_int_eq(identity_new_from_seed(&keys[i], seed), 0);
        client_connect(&a, &d, keys[0]);
        client_attach(&a, 0);
        client_connect_as(&b, &d, keys[1], 12345);
        client_make_attach(&b, ATTACH_TAKEOVER, frame);
        expect_attach_refused(&b, frame, sizeof(frame), CODE_DENIED);
        expect_silence(&a);
        ck_assert_uint_eq(daemon_said_times(&d, "stolen?"), 1);
        client_close(&a);
        daemon_stop(&d);
}
END_TEST

START_TEST(connections_over_a_limit_are_closed_at_once) {
        Client c[9], more;

        if (!is_root("limits of connections"))
                return;
        daemon_start(&d, "--system", "[Limits]\nUnattached=8\nConnections=9\n");
        for (unsigned i = 0; i < 8; i++)
                client_connect_as(&c[i], &d, NULL, 12345);
        for (unsigned i = 0; i < 5; i++) {
                uint8_t byte;
                int fd = client_connect_raw(&d, 12345);

                ck_assert_int_eq(read(fd, &byte, 1), 0); /* no HELLO */
                close(fd);
        }
        /* Who attaches makes room; another user has its own. */
        client_attach(&c[0], 0);
        client_connect_as(&c[8], &d, NULL, 12345);
        client_open(&more, &d, 0);
        client_close(&more);
        ck_assert_uint_eq(daemon_status(&d, "turned_away"), 5);
        for (unsigned i = 0; i < 9; i++)
                client_close(&c[i]);
        daemon_stop(&d);
}
END_TEST

START_TEST(without_descriptors_left_new_connections_are_closed_and_old_ones_live) {
        struct rlimit limit = { 160, 160 };
        const unsigned n_max = 80;
        Client *c, last;
        unsigned n = 0;

        if (setrlimit(RLIMIT_NOFILE, &limit) < 0) { /* the daemon's, and ours; not under valgrind */
                printf("# SKIP descriptors run out: needs to set their limit\n");
                return;
        }
        c = calloc(n_max, sizeof(*c));
        bystanders_start(NULL);
        for (;;) {
                ck_assert_uint_lt(n, n_max);
                if (!client_try_open(&c[n], &d))
                        break;
                n++;
        }
        ck_assert_uint_gt(n, 10);
        bystanders_are_well();
        send_with_fds(&x, y.address, (int[]){ x.fd == 0 ? 1 : 0 }, 1);
        close(expect_payload(&y, PACKET_RECORDS, "fds", 3)->fds[0]);

        /* One goes, one may come. */
        client_close(&c[--n]);
        while (!client_try_open(&last, &d))
                ;
        client_close(&last);
        while (n > 0)
                client_close(&c[--n]);
        free(c);
        bystanders_stop();
}
END_TEST

START_TEST(attaches_have_a_rate_and_only_good_ones_count) {
        uint8_t frame[ATTACH_FRAME];
        Client c;

        if (!is_root("attach rate"))
                return;
        daemon_start(&d, "--system", "[Limits]\nAttachRate=1\nAttachBurst=2\n");
        for (unsigned i = 0; i < 5; i++) {
                client_connect_as(&c, &d, NULL, 12345);
                client_make_attach(&c, 0, frame);
                frame[sizeof(frame) - 1] ^= 1;
                expect_attach_refused(&c, frame, sizeof(frame), CODE_BAD_SIGNATURE);
        }
        for (unsigned i = 0; i < 2; i++) {
                client_open_as(&c, &d, 0, 12345);
                client_close(&c);
        }
        /* On a slow machine a token may come back meanwhile; not ten. */
        for (unsigned i = 0;; i++) {
                const Control *word;

                ck_assert_uint_lt(i, 10);
                client_connect_as(&c, &d, NULL, 12345);
                client_make_attach(&c, 0, frame);
                ck_assert(client_write(&c, frame, sizeof(frame)));
                expect_packet(&c);
                word = &c.last.word;
                client_close(&c);
                if (word->verb == CONTROL_ERROR && word->code == CODE_RATE)
                        break;
        }
        daemon_stop(&d);
}
END_TEST

START_TEST(a_thousand_who_never_speak_hurt_nobody) {
        Client *c = calloc(1000, sizeof(*c));

        bystanders_start(NULL);
        for (unsigned i = 0; i < 1000; i++)
                client_connect(&c[i], &d, NULL);
        bystanders_are_well();
        daemon_configure(&d, "[Bus]\nAttachTimeout=10ms\n");
        client_say(&x, &(Control){ .verb = CONTROL_RELOAD });
        expect_word(&x, CONTROL_OK);
        for (unsigned i = 0; i < 1000; i++) {
                expect_error(&c[i], CODE_TIMEOUT);
                expect_closed(&c[i]);
                client_close(&c[i]);
        }
        free(c);
        ck_assert_uint_le(daemon_said_times(&d, "no ATTACH in time"), 10);
        bystanders_stop();
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("daemon attach");
        TCase *attach = tcase_create("attach");

        tcase_add_test(attach, no_bit_of_an_attach_may_be_another);
        tcase_add_test(attach, no_bit_of_the_hello_that_was_signed_may_be_another);
        tcase_add_test(attach,
                       a_replayed_attach_is_refused_on_a_new_connection_and_after_a_restart);
        tcase_add_test(attach, a_signature_of_another_key_is_refused);
        tcase_add_test(attach, a_wrong_field_is_refused_though_signed);
        tcase_add_test(attach, nothing_else_is_read_before_attach);
        tcase_add_test(attach, descriptors_sent_with_attach_are_closed);
        tcase_add_test(attach, a_second_attach_is_a_violation);
        tcase_add_test(attach, who_does_not_attach_in_time_is_closed);
        tcase_add_test(attach, a_key_is_attached_once_unless_it_takes_over);
        tcase_add_test(attach, another_user_with_the_same_key_is_denied_and_noted);
        tcase_add_test(attach, connections_over_a_limit_are_closed_at_once);
        tcase_add_test(attach,
                       without_descriptors_left_new_connections_are_closed_and_old_ones_live);
        tcase_add_test(attach, attaches_have_a_rate_and_only_good_ones_count);
        tcase_add_test(attach, a_thousand_who_never_speak_hurt_nobody);

        suite_add_tcase(suite, attach);
        return suite;
}
