/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A real p2pbusd and clients that behave badly. What each test shows of the others stands in
 * bystanders: two processes that must not notice anything.
 */

#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/wait.h>

#include "libcore/log.h"
#include "libcore/provider.h"
#include "libcore/record.h"
#include "libsecure/crypto.h"
#include "libsecure/signed-record.h"
#include "tests/harness.h"
#include "tests/main.h"

#define NOWHERE ((Address){ UINT64_C(0x1234567812345678), 0 })

static Daemon d;
static Client x, y; /* the bystanders */

static void start(const char *config) {
        daemon_start(&d, "--user", config);
        client_open(&x, &d, 0);
        client_open(&y, &d, 0);
}

static void bystanders_are_well(void) {
        client_send(&x, y.address, PACKET_RECORDS, "ping", 4);
        expect_payload(&y, PACKET_RECORDS, "ping", 4);
        client_send(&y, x.address, PACKET_RECORDS, "pong", 4);
        expect_payload(&x, PACKET_RECORDS, "pong", 4);
}

static void stop(void) {
        bystanders_are_well();
        client_close(&x);
        client_close(&y);
        daemon_stop(&d);
}

/* A client that says @frame instead of its ATTACH is told @code and closed. */
static void expect_attach_refused(Client *c, const void *frame, size_t n, ControlCode code) {
        (void)client_write(c, frame, n); /* it may be closed before the end */
        expect_error(c, code);
        expect_closed(c);
        client_close(c);
}

/* So often altogether. Of what comes after the burst, one is told in a while. */
static void expect_logged(const char *what, unsigned n) {
        ck_assert_uint_ge(daemon_said_times(&d, what), MIN(n, (unsigned)LOG_RATE_BURST));
        ck_assert_uint_le(daemon_said_times(&d, what), n);
}

static void send_with_fds(Client *from, Address dst, const int *fds, uint8_t n_fds) {
        PacketHeader header = {
                .size = PACKET_HEADER_SIZE + 3,
                .n_fds = n_fds,
                .src = from->address,
                .dst = dst,
                .kind = PACKET_RECORDS,
        };
        uint8_t packet[PACKET_HEADER_SIZE + 3];

        packet_header_encode(&header, packet);
        memcpy(packet + PACKET_HEADER_SIZE, "fds", 3);
        ck_assert(client_write_fds(from, packet, sizeof(packet), fds, n_fds));
}

/* --- attach --- */

#define ATTACH_FRAME (FRAME_PREFIX_SIZE + ATTACH_SIZE)

START_TEST(no_bit_of_an_attach_may_be_another) {
        start(NULL);
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
        stop();
}
END_TEST

START_TEST(no_bit_of_the_hello_that_was_signed_may_be_another) {
        start(NULL);
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
        stop();
}
END_TEST

START_TEST(a_replayed_attach_is_refused_on_a_new_connection_and_after_a_restart) {
        uint8_t frame[ATTACH_FRAME];
        Client c;

        start(NULL);
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

        start(NULL);
        client_connect(&c, &d, NULL);
        client_make_attach(&c, 0, frame);
        ck_assert_int_eq(identity_new_random(&other), 0);
        memcpy(frame + FRAME_PREFIX_SIZE + 8, identity_public(other)->bytes, KEY_SIZE);
        identity_free(other);
        expect_attach_refused(&c, frame, sizeof(frame), CODE_BAD_SIGNATURE);
        stop();
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
        start(NULL);
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
        stop();
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
        start(NULL);
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
        stop();
}
END_TEST

START_TEST(descriptors_sent_with_attach_are_closed) {
        uint8_t frame[ATTACH_FRAME];
        int ends[2];
        uint8_t byte;
        Client c;

        start(NULL);
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
        stop();
}
END_TEST

START_TEST(a_second_attach_is_a_violation) {
        uint8_t frame[ATTACH_FRAME];
        Client c;

        start(NULL);
        client_open(&c, &d, 0);
        client_make_attach(&c, 0, frame);
        expect_attach_refused(&c, frame, sizeof(frame), CODE_VIOLATION);
        stop();
}
END_TEST

START_TEST(who_does_not_attach_in_time_is_closed) {
        uint8_t frame[ATTACH_FRAME];
        Client silent, slow;

        start(NULL);
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
        stop();
}
END_TEST

START_TEST(a_key_is_attached_once_unless_it_takes_over) {
        uint8_t seed[IDENTITY_SEED_SIZE] = { 42 }, frame[ATTACH_FRAME];
        IdentityKey *keys[3];
        Client a, b;

        start(NULL);
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
        stop();
}
END_TEST

static bool is_root(const char *what) {
        if (geteuid() == 0)
                return true;
        printf("# SKIP %s: needs root\n", what);
        return false;
}

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
        start(NULL);
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
        stop();
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

        start(NULL);
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
        stop();
}
END_TEST

/* --- routing --- */

START_TEST(a_packet_goes_to_the_process_it_names) {
        const Received *got;
        PacketId id;

        start(NULL);
        id = client_send(&x, y.address, PACKET_RECORDS, "hello", 5);
        got = expect_payload(&y, PACKET_RECORDS, "hello", 5);
        ck_assert(address_equal(got->header.src, x.address));
        ck_assert_mem_eq(got->header.id.bytes, id.bytes, PACKET_ID_SIZE);
        ck_assert_uint_eq(got->header.hflags, 0);
        client_send(&y, (Address){ x.address.pid, 0 }, PACKET_RECORDS, "", 0);
        expect_payload(&x, PACKET_RECORDS, "", 0);
        client_send(&x, x.address, PACKET_RECORDS, "to myself", 9);
        expect_payload(&x, PACKET_RECORDS, "to myself", 9);
        stop();
}
END_TEST

START_TEST(packets_of_every_size_arrive_in_order) {
        static const size_t sizes[] = { 0, 1, 64, 1000, 4096, 40000, PACKET_PAYLOAD_MAX };
        uint8_t payload[PACKET_PAYLOAD_MAX];

        start(NULL);
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
        stop();
}
END_TEST

START_TEST(who_is_not_here_is_said_at_once) {
        const Control *word;
        PacketId id;
        Client a, gone;
        Address left;

        start(NULL);
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
        stop();
}
END_TEST

START_TEST(sealed_for_this_host_is_delivered_and_hinted_once) {
        start(NULL);
        client_send(&x, y.address, PACKET_SEALED, "s1", 2);
        client_send(&x, y.address, PACKET_SEALED, "s2", 2);
        ck_assert(address_equal(expect_word(&x, CONTROL_NOW_LOCAL)->address, y.address));
        expect_payload(&y, PACKET_SEALED, "s1", 2);
        expect_payload(&y, PACKET_SEALED, "s2", 2);
        expect_silence(&x);
        stop();
}
END_TEST

START_TEST(a_foreign_source_ends_the_connection) {
        start(NULL);
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
        stop();
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
        start(NULL);
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
        stop();
}
END_TEST

START_TEST(a_malformed_word_ends_its_connection_and_an_unknown_one_does_not) {
        uint8_t payload[CONTROL_HEAD_SIZE + 4] = { 0 };
        Client c;

        start(NULL);
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
        stop();
}
END_TEST

START_TEST(random_bytes_hurt_nobody_else) {
        uint64_t seed = crypto_random_u64();
        uint8_t bytes[4096];

        printf("# seed %llu\n", (unsigned long long)seed);
        start(NULL);
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
        stop();
}
END_TEST

START_TEST(what_was_said_before_the_end_is_delivered) {
        Client c;

        start(NULL);
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
        stop();
}
END_TEST

/* --- queues --- */

START_TEST(a_receiver_that_never_reads_costs_its_senders_alone) {
        uint8_t payload[16384] = { 0 };
        unsigned n_refused = 0, n_sent = 0, n_delivered = 0;
        Client sleeper, sender;

        start(NULL);
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
        stop();
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

        start(NULL);
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
        stop();
}
END_TEST

START_TEST(the_bus_itself_cannot_be_sent_through_the_bus) {
        start(NULL);
        send_with_fds(&x, y.address, &x.fd, 1);
        expect_error(&x, CODE_DENIED);
        expect_silence(&y);
        stop();
}
END_TEST

START_TEST(unannounced_and_too_many_descriptors_are_violations) {
        int fds[5], ends[2];
        uint8_t byte;
        Client c;

        start(NULL);
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
        stop();
}
END_TEST

/* --- gateway --- */

/* Signs what LEASE_REQUEST asks for. */
static void lease_make(const Client *c, const uint8_t *request, uint32_t flags,
                       uint8_t out[static CONTROL_LEASE_SIZE]) {
        SignedRecord record = {
                .type = SIGNED_RECORD_LEASE,
                .issued_usec = load_le64(request + 32),
                .not_after_usec = load_le64(request + 40),
                .lease = { .flags = flags, .encpk = { 9 } },
        };
        size_t n;

        record.lease.enc_until_usec = record.not_after_usec;
        memcpy(record.lease.bridge.bytes, request, KEY_SIZE);
        ck_assert_int_eq(signed_record_sign(&record, c->key, out, CONTROL_LEASE_SIZE, &n), 0);
        ck_assert_uint_eq(n, CONTROL_LEASE_SIZE);
}

/* A lease of a process that lives elsewhere. */
static Address lease_from_elsewhere(uint8_t out[static CONTROL_LEASE_SIZE]) {
        uint8_t request[CONTROL_LEASE_REQUEST_SIZE] = { 7 };
        Client elsewhere;
        Address address;

        store_le64(request + 32, now_usec(CLOCK_REALTIME));
        store_le64(request + 40, now_usec(CLOCK_REALTIME) + 60 * USEC_PER_SEC);
        ck_assert_int_eq(identity_new_random(&elsewhere.key), 0);
        address = identity_hash(elsewhere.key)->address;
        lease_make(&elsewhere, request, 0, out);
        identity_free(elsewhere.key);
        return address;
}

static void become_gateway(Client *g) {
        client_say(g, &(Control){ .verb = CONTROL_GATEWAY });
        expect_word(g, CONTROL_OK);
}

static void answer_lease_request(Client *c, uint8_t lease[static CONTROL_LEASE_SIZE]) {
        const Control *word = expect_word(c, CONTROL_LEASE_REQUEST);
        Control say = { .verb = CONTROL_LEASE, .body = lease, .n_body = CONTROL_LEASE_SIZE };

        lease_make(c, word->body, word->value, lease);
        client_say(c, &say);
}

START_TEST(leases_are_asked_for_handed_over_and_kept_for_the_next_gateway) {
        uint8_t lease[CONTROL_LEASE_SIZE], seed[IDENTITY_SEED_SIZE] = { 77 };
        const Control *word;
        IdentityKey *key;
        Client a, late, g;

        start(NULL);
        client_open(&a, &d, ATTACH_OFF_HOST);
        ck_assert_int_eq(identity_new_from_seed(&key, seed), 0);
        client_connect(&g, &d, key);
        client_attach(&g, 0);
        become_gateway(&g);
        expect_word(&g, CONTROL_SYNCED);
        answer_lease_request(&a, lease);
        word = expect_word(&g, CONTROL_LEASE);
        ck_assert_mem_eq(word->body, lease, sizeof(lease));
        client_say(&g, &(Control){ .verb = CONTROL_LEASED, .value = 2, .address = a.address });
        ck_assert_uint_eq(expect_word(&a, CONTROL_REACHABLE)->value, 2);

        /* One that comes later; then it goes. */
        client_open(&late, &d, ATTACH_OFF_HOST | ATTACH_EPHEMERAL);
        ck_assert_uint_eq(load_le32(late.hello + 20), HELLO_OFF_HOST | HELLO_RINGS);
        answer_lease_request(&late, lease);
        ck_assert_mem_eq(expect_word(&g, CONTROL_LEASE)->body, lease, sizeof(lease));
        client_close(&late);
        ck_assert(address_equal(expect_word(&g, CONTROL_DETACHED)->address, late.address));

        /* The gateway comes back: it gets the lease without asking the process again. */
        client_close(&g);
        do
                word = expect_word(&a, CONTROL_NOTICE);
        while (word->value & HELLO_OFF_HOST);
        ck_assert_int_eq(identity_new_from_seed(&key, seed), 0);
        client_connect(&g, &d, key);
        client_attach(&g, 0);
        client_say(&g, &(Control){ .verb = CONTROL_GATEWAY });
        expect_word(&g, CONTROL_OK);
        ck_assert(address_equal(expect_word(&g, CONTROL_LEASE)->address, a.address));
        expect_word(&g, CONTROL_SYNCED);
        expect_silence(&a);
        client_close(&g);
        client_close(&a);
        stop();
}
END_TEST

START_TEST(bad_leases_are_refused) {
        uint8_t lease[CONTROL_LEASE_SIZE];
        Control say = { .verb = CONTROL_LEASE, .body = lease, .n_body = sizeof(lease) };
        const Control *word;
        Client a, g;

        start(NULL);
        client_open(&g, &d, 0);
        become_gateway(&g);
        client_open(&a, &d, ATTACH_OFF_HOST);
        word = expect_word(&a, CONTROL_LEASE_REQUEST);
        if (_i == 0) {
                lease_make(&a, word->body, 0, lease);
                lease[199] ^= 1;
                client_say(&a, &say);
                expect_error(&a, CODE_BAD_SIGNATURE);
                client_say(&a, &say); /* nobody asked */
                expect_error(&a, CODE_RATE);
        } else if (_i == 1) {
                lease_make(&x, word->body, 0, lease); /* of somebody else */
                client_say(&a, &say);
                expect_error(&a, CODE_BAD_SIGNATURE);
        } else if (_i == 2) {
                uint8_t request[CONTROL_LEASE_REQUEST_SIZE];

                memcpy(request, word->body, sizeof(request));
                request[0] ^= 1; /* another bridge */
                lease_make(&a, request, 0, lease);
                client_say(&a, &say);
                expect_error(&a, CODE_DENIED);
        } else {
                uint8_t request[CONTROL_LEASE_REQUEST_SIZE];

                memcpy(request, word->body, sizeof(request));
                store_le64(request + 40, load_le64(request + 40) + 1); /* longer than asked */
                lease_make(&a, request, 0, lease);
                client_say(&a, &say);
                expect_error(&a, CODE_DENIED);
        }
        expect_word(&g, CONTROL_SYNCED);
        expect_silence(&g);
        client_close(&a);
        client_close(&g);
        stop();
}
END_TEST

START_TEST(leases_are_renewed_at_half_life) {
        uint8_t first[CONTROL_LEASE_SIZE], second[CONTROL_LEASE_SIZE];
        Client a, g;

        start("[Bus]\nLeaseTime=2s\n");
        client_open(&g, &d, 0);
        become_gateway(&g);
        expect_word(&g, CONTROL_SYNCED);
        client_open(&a, &d, ATTACH_OFF_HOST);
        answer_lease_request(&a, first);
        expect_word(&g, CONTROL_LEASE);
        answer_lease_request(&a, second);
        ck_assert_mem_eq(expect_word(&g, CONTROL_LEASE)->body, second, sizeof(second));
        ck_assert_uint_gt(load_le64(second + 8), load_le64(first + 8));
        client_close(&a);
        client_close(&g);
        stop();
}
END_TEST

START_TEST(the_gateway_says_where_others_are) {
        uint8_t lease[CONTROL_LEASE_SIZE];
        Address there = lease_from_elsewhere(lease), bare = { there.pid, 0 };
        Control found = { .verb = CONTROL_RESOLVED, .body = lease, .n_body = sizeof(lease) };
        const Control *word;
        PacketId ids[2];
        Client a, g;

        start(NULL);
        client_open(&g, &d, 0);
        become_gateway(&g);
        expect_word(&g, CONTROL_SYNCED);
        client_say(&g, &(Control){ .verb = CONTROL_SYNCED });
        client_open(&a, &d, ATTACH_OFF_HOST);
        expect_word(&a, CONTROL_LEASE_REQUEST);

        /* Two packets, one question. */
        ids[0] = client_send(&a, bare, PACKET_RECORDS, "1", 1);
        ids[1] = client_send(&a, bare, PACKET_RECORDS, "2", 1);
        word = expect_word(&g, CONTROL_RESOLVE);
        ck_assert(address_equal(word->address, bare));
        found.ref = g.last.header.id;
        client_say(&g, &found);
        for (unsigned i = 0; i < 2; i++) {
                word = expect_word(&a, CONTROL_NOT_LOCAL);
                ck_assert_uint_eq(word->code, CODE_OK);
                ck_assert_mem_eq(word->ref.bytes, ids[i].bytes, PACKET_ID_SIZE);
                ck_assert_mem_eq(word->body, lease, sizeof(lease));
        }
        /* Kept: the gateway is not asked again. */
        client_say(&a, &(Control){ .verb = CONTROL_RESOLVE, .address = bare });
        word = expect_word(&a, CONTROL_RESOLVED);
        ck_assert_uint_eq(word->value, RESOLVED_REMOTE);
        ck_assert_mem_eq(word->body, lease, sizeof(lease));
        expect_silence(&g);

        /* The plaintext never went there; what is sealed does, and a refusal finds its way back. */
        ids[0] = client_send(&a, there, PACKET_SEALED, "sealed", 6);
        expect_payload(&g, PACKET_SEALED, "sealed", 6);
        {
                Control refused = { .verb = CONTROL_ERROR,
                                    .code = CODE_NOT_HERE,
                                    .ref = ids[0],
                                    .address = there };
                uint8_t payload[CONTROL_HEAD_SIZE];
                PacketHeader header = { .src = { PID_BRIDGE, 0 },
                                        .dst = a.address,
                                        .kind = PACKET_CONTROL };

                control_encode(&refused, payload);
                ck_assert(client_send_header(&g, header, payload, sizeof(payload)));
        }
        word = expect_error(&a, CODE_NOT_HERE);
        ck_assert_mem_eq(word->ref.bytes, ids[0].bytes, PACKET_ID_SIZE);

        client_say(&g, &(Control){ .verb = CONTROL_PATH_CHANGED, .value = 5 });
        ck_assert_uint_eq(expect_word(&a, CONTROL_PATH_CHANGED)->value, 5);
        /* After that it is asked again; a process without OFF_HOST never is asked for. */
        client_send(&x, bare, PACKET_RECORDS, "1", 1);
        ck_assert_uint_eq(expect_word(&x, CONTROL_NOT_LOCAL)->code, CODE_NOT_HERE);
        client_send(&a, bare, PACKET_RECORDS, "1", 1);
        expect_word(&g, CONTROL_RESOLVE);
        client_say(&g, &(Control){ .verb = CONTROL_RESOLVED,
                                   .code = CODE_NOT_HERE,
                                   .ref = g.last.header.id });
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOT_LOCAL)->code, CODE_NOT_HERE);
        client_close(&a);
        client_close(&g);
        stop();
}
END_TEST

START_TEST(lies_of_the_gateway_are_not_believed) {
        uint8_t lease[CONTROL_LEASE_SIZE], other[CONTROL_LEASE_SIZE];
        Address there = lease_from_elsewhere(lease);
        Control found = { .verb = CONTROL_RESOLVED, .body = lease, .n_body = sizeof(lease) };
        Client a, g;

        start(NULL);
        client_open(&g, &d, 0);
        become_gateway(&g);
        expect_word(&g, CONTROL_SYNCED);
        client_open(&a, &d, ATTACH_OFF_HOST);
        expect_word(&a, CONTROL_LEASE_REQUEST);

        client_send(&a, there, PACKET_RECORDS, "1", 1);
        expect_word(&g, CONTROL_RESOLVE);
        found.ref = g.last.header.id;
        lease[100] ^= 1;
        client_say(&g, &found);
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOT_LOCAL)->code, CODE_BAD_SIGNATURE);

        (void)lease_from_elsewhere(other);
        client_send(&a, there, PACKET_RECORDS, "1", 1);
        expect_word(&g, CONTROL_RESOLVE);
        found.ref = g.last.header.id;
        found.body = other;
        client_say(&g, &found);
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOT_LOCAL)->code, CODE_WRONG_KEY);

        /* It has not heard from all its links: "not here" is not the last word. */
        client_send(&a, there, PACKET_RECORDS, "1", 1);
        expect_word(&g, CONTROL_RESOLVE);
        client_say(&g, &(Control){ .verb = CONTROL_RESOLVED,
                                   .code = CODE_NOT_HERE,
                                   .ref = g.last.header.id });
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOT_LOCAL)->code, CODE_SETTLING);

        /* It leaves with a question open. */
        client_send(&a, there, PACKET_RECORDS, "1", 1);
        expect_word(&g, CONTROL_RESOLVE);
        client_close(&g);
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOT_LOCAL)->code, CODE_NO_ROUTE);
        client_close(&a);
        stop();
}
END_TEST

START_TEST(there_is_one_gateway_and_it_speaks_for_strangers_alone) {
        PacketHeader header = { .src = { 0x4242424242424242, 7 }, .kind = PACKET_SEALED };
        const Received *got;
        Client a, g, second;

        start(NULL);
        client_open(&a, &d, ATTACH_OFF_HOST);
        client_open(&g, &d, 0);
        become_gateway(&g);
        expect_word(&g, CONTROL_SYNCED);
        expect_word(&a, CONTROL_LEASE_REQUEST);
        client_open(&second, &d, 0);
        client_say(&second, &(Control){ .verb = CONTROL_GATEWAY });
        expect_error(&second, CODE_BUSY);

        header.dst = a.address;
        ck_assert(client_send_header(&g, header, "from afar", 9));
        got = expect_payload(&a, PACKET_SEALED, "from afar", 9);
        ck_assert_uint_eq(got->header.hflags, PACKET_REMOTE);
        ck_assert_uint_eq(got->header.hops, 1);
        ck_assert_uint_eq(got->header.src.pid, header.src.pid);

        /* Who did not ask to be reachable is not, and is not told apart from nobody. */
        header.dst = x.address;
        ck_assert(client_send_header(&g, header, "x", 1));
        expect_error(&g, CODE_NOT_HERE);
        ck_assert_uint_eq(g.last.header.dst.pid, header.src.pid);
        header.dst = NOWHERE;
        ck_assert(client_send_header(&g, header, "x", 1));
        expect_error(&g, CODE_NOT_HERE);

        header.dst = a.address;
        header.src = x.address; /* of this host */
        ck_assert(client_send_header(&g, header, "x", 1));
        expect_silence(&g); /* the error would be for x, who may have come here meanwhile */
        header.src = (Address){ 0x4242424242424242, 7 };
        header.hops = 8;
        ck_assert(client_send_header(&g, header, "x", 1));
        expect_error(&g, CODE_OVERLOAD);
        expect_silence(&a);
        client_say(&g, &(Control){ .verb = CONTROL_OWN,
                                   .value = OWN_CLAIM,
                                   .body = (const uint8_t *)"a.b",
                                   .n_body = 3 });
        expect_error(&g, CODE_DENIED);

        /* In the clear it brings nothing. */
        header.hops = 0;
        header.kind = PACKET_RECORDS;
        ck_assert(client_send_header(&g, header, "x", 1));
        expect_error(&g, CODE_VIOLATION);
        expect_closed(&g);
        client_close(&g);
        become_gateway(&second);
        client_close(&second);
        client_close(&a);
        stop();
}
END_TEST

static char *status_of(Client *c) {
        const Control *word;

        client_say(c, &(Control){ .verb = CONTROL_QUERY, .value = QUERY_STATUS });
        word = expect_word(c, CONTROL_ANSWER);
        return strndup((const char *)word->body, word->n_body);
}

static void say_link(Client *g, uint32_t number, uint16_t code, uint64_t usec, const char *url) {
        uint8_t body[CONTROL_LINK_HEAD_SIZE + CONTROL_LINK_URL_MAX];
        Control word = { .verb = CONTROL_LINK, .code = code, .value = number, .body = body };

        store_le64(body, usec);
        memcpy(body + CONTROL_LINK_HEAD_SIZE, url, strlen(url));
        word.n_body = CONTROL_LINK_HEAD_SIZE + strlen(url);
        client_say(g, &word);
}

START_TEST(what_the_gateway_says_of_its_links_is_shown) {
        Client g;
        char *status;

        start(NULL);
        client_open(&g, &d, 0);
        become_gateway(&g);
        expect_word(&g, CONTROL_SYNCED);
        say_link(&g, 0, CODE_OK, 4200, "wss://one.example");
        say_link(&g, 7, CODE_NO_ROUTE, USEC_NEVER, "wss://two.example");
        say_link(&g, 8, CODE_OK, 1, "wss://of.a.later.version");
        status = status_of(&g);
        ck_assert_ptr_nonnull(strstr(status, "\nlink, wss://one.example\tup\n"
                                             "link_round_trip_usec, wss://one.example\t4200\n"
                                             "link, wss://two.example\tdown\nsynced"));
        free(status);

        client_say(&g, &(Control){ .verb = CONTROL_LINK, .value = 0 }); /* it is no more */
        status = status_of(&g);
        ck_assert_ptr_null(strstr(status, "one.example"));
        free(status);

        client_close(&g);
        client_open(&g, &d, 0);
        status = status_of(&g);
        ck_assert_ptr_null(strstr(status, "link,"));
        free(status);
        client_close(&g);
        stop();
}
END_TEST

static const char *const bad_urls[] = { "", "wss://a b", "wss://a\tb", "wss://\033[2J" };

START_TEST(what_a_terminal_would_not_bear_is_no_url) {
        Client g;

        start(NULL);
        client_open(&g, &d, 0);
        become_gateway(&g);
        expect_word(&g, CONTROL_SYNCED);
        say_link(&g, 0, CODE_OK, 1, bad_urls[_i]);
        expect_error(&g, CODE_VIOLATION);
        expect_closed(&g);
        client_close(&g);
        stop();
}
END_TEST

START_TEST(a_host_that_had_a_gateway_is_settling_after_a_restart) {
        Client a, g;

        daemon_start(&d, "--user", "[Bus]\nSettleTime=1h\n");
        client_open(&a, &d, ATTACH_OFF_HOST);
        client_send(&a, NOWHERE, PACKET_RECORDS, "x", 1);
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOT_LOCAL)->code, CODE_NOT_HERE);
        client_open(&g, &d, 0);
        become_gateway(&g);
        client_close(&a);
        client_close(&g);
        daemon_end(&d);

        daemon_restart(&d, "--user");
        client_open(&a, &d, ATTACH_OFF_HOST);
        client_open(&g, &d, 0);
        client_send(&a, NOWHERE, PACKET_RECORDS, "x", 1);
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOT_LOCAL)->code, CODE_SETTLING);
        client_send(&g, NOWHERE, PACKET_RECORDS, "x", 1); /* only this host matters to it */
        ck_assert_uint_eq(expect_word(&g, CONTROL_NOT_LOCAL)->code, CODE_NOT_HERE);
        client_close(&a);
        client_close(&g);
        daemon_stop(&d);
}
END_TEST

/* --- names, monitors, questions --- */

static void say_name(Client *c, ControlVerb verb, uint32_t value, const char *name) {
        client_say(c, &(Control){ .verb = (uint16_t)verb,
                                  .value = value,
                                  .body = (const uint8_t *)name,
                                  .n_body = strlen(name) });
}

START_TEST(names_have_providers) {
        static const char *const bad[] = {
                "x", "..", "a..b", "Upper.case", "caf\xc3\xa9.x", "e85004f63798e2c0.x"
        };
        const Control *word;

        start(NULL);
        say_name(&x, CONTROL_RESOLVE_NAME, 0, "com.example.a");
        ck_assert_uint_eq(expect_word(&x, CONTROL_NAMED)->code, CODE_NO_PROVIDER);
        say_name(&y, CONTROL_OWN, OWN_CLAIM, "com.example.a");
        expect_word(&y, CONTROL_OK);
        say_name(&y, CONTROL_OWN, OWN_CLAIM, "com.example.a");
        expect_word(&y, CONTROL_OK); /* again: the same */
        say_name(&x, CONTROL_OWN, OWN_CLAIM, "com.example.a");
        expect_word(&x, CONTROL_OK);
        say_name(&x, CONTROL_RESOLVE_NAME, 0, "com.example.a");
        word = expect_word(&x, CONTROL_NAMED);
        ck_assert_uint_eq(word->n_body, 2 * PROVIDER_ENTRY_SIZE);
        ck_assert_mem_eq(word->body, identity_public(y.key)->bytes, KEY_SIZE);
        say_name(&y, CONTROL_OWN, OWN_RELEASE, "com.example.a");
        expect_word(&y, CONTROL_OK);
        say_name(&y, CONTROL_OWN, OWN_RELEASE, "com.example.a");
        expect_error(&y, CODE_NO_PROVIDER);
        say_name(&x, CONTROL_RESOLVE_NAME, 0, "com.example.a");
        ck_assert_mem_eq(expect_word(&x, CONTROL_NAMED)->body, identity_public(x.key)->bytes,
                         KEY_SIZE);
        for (unsigned i = 0; i < ELEMENTSOF(bad); i++) {
                say_name(&x, CONTROL_OWN, OWN_CLAIM, bad[i]);
                expect_error(&x, CODE_UNSUPPORTED);
        }
        stop();
}
END_TEST

static void claim(Client *c, const char *name, ProviderRank rank) {
        const ProviderClaim said = { .name = name, .n_name = strlen(name), .rank = rank };
        uint8_t body[PROVIDER_CLAIM_MAX];

        client_say(c, &(Control){ .verb = CONTROL_OWN,
                                  .value = OWN_CLAIM,
                                  .body = body,
                                  .n_body = provider_claim_encode(&said, body) });
        expect_word(c, CONTROL_OK);
}

/* The only provider that NAMED tells of, in answer to @ref. */
static ProviderEntry expect_only(Client *c, const PacketId *ref) {
        const Control *word = expect_word(c, CONTROL_NAMED);
        ProviderEntry entry;

        ck_assert_mem_eq(&word->ref, ref, sizeof(*ref));
        ck_assert_uint_eq(word->n_body, PROVIDER_ENTRY_SIZE);
        provider_entry_decode(word->body, &entry);
        return entry;
}

static PacketId watch(Client *c, uint32_t value, const char *name) {
        return client_say(c, &(Control){ .verb = CONTROL_RESOLVE_NAME,
                                         .value = value,
                                         .body = (const uint8_t *)name,
                                         .n_body = strlen(name) });
}

START_TEST(who_watches_a_name_hears_of_each_change) {
        ProviderEntry entry;
        PacketId ref;

        start(NULL);
        ref = watch(&x, RESOLVE_NAME_WATCH, "com.example.a");
        ck_assert_uint_eq(expect_word(&x, CONTROL_NAMED)->code, CODE_NO_PROVIDER);
        claim(&y, "com.example.a", (ProviderRank){ 10, 20, 0 });
        entry = expect_only(&x, &ref);
        ck_assert_mem_eq(entry.key, identity_public(y.key)->bytes, KEY_SIZE);
        ck_assert_uint_eq(entry.rank.priority, 10);
        ck_assert_uint_eq(entry.rank.weight, 20);
        claim(&y, "com.example.a", (ProviderRank){ 10, 20, 0 });
        claim(&y, "com.example.a", (ProviderRank){ 10, 20, PROVIDER_DRAIN });
        ck_assert_uint_eq(expect_only(&x, &ref).rank.flags, PROVIDER_DRAIN); /* one change, not two */

        /* Asked again, it is the same watch, with another ref. */
        ref = watch(&x, RESOLVE_NAME_WATCH, "com.example.a");
        (void)expect_only(&x, &ref);
        client_close(&y);
        ck_assert_uint_eq(expect_word(&x, CONTROL_NAMED)->code, CODE_NO_PROVIDER);
        expect_silence(&x);

        (void)watch(&x, RESOLVE_NAME_END, "com.example.a");
        (void)watch(&x, RESOLVE_NAME_END, "com.example.never");
        claim(&x, "com.example.a", (ProviderRank){ 1, 1, 0 });
        expect_silence(&x);
        (void)watch(&x, RESOLVE_NAME_END + 1, "com.example.a");
        expect_error(&x, CODE_UNSUPPORTED);
        client_close(&x);
        daemon_stop(&d);
}
END_TEST

START_TEST(watches_have_a_limit) {
        char name[32];
        Client user;

        if (!is_root("limits of another user"))
                return;
        daemon_start(&d, "--system", "[Limits]\nSubscriptions=8\n");
        client_open_as(&user, &d, 0, 1);
        for (unsigned i = 0; i < 8; i++) {
                (void)snprintf(name, sizeof(name), "com.example.n%u", i);
                (void)watch(&user, RESOLVE_NAME_WATCH, name);
                ck_assert_uint_eq(expect_word(&user, CONTROL_NAMED)->code, CODE_NO_PROVIDER);
        }
        (void)watch(&user, RESOLVE_NAME_WATCH, "com.example.more");
        expect_error(&user, CODE_QUOTA);
        (void)watch(&user, RESOLVE_NAME_ONCE, "com.example.more");
        ck_assert_uint_eq(expect_word(&user, CONTROL_NAMED)->code, CODE_NO_PROVIDER);
        (void)watch(&user, RESOLVE_NAME_END, "com.example.n3");
        (void)watch(&user, RESOLVE_NAME_WATCH, "com.example.more");
        ck_assert_uint_eq(expect_word(&user, CONTROL_NAMED)->code, CODE_NO_PROVIDER);
        client_close(&user);
        daemon_stop(&d);
}
END_TEST

START_TEST(names_of_others_and_too_many_are_refused) {
        char name[64];
        Client root, user;

        if (!is_root("names of two users"))
                return;
        daemon_start(&d, "--system", NULL);
        client_open(&root, &d, 0);
        client_open_as(&user, &d, 0, 1); /* "daemon", an account of every Debian */
        say_name(&user, CONTROL_OWN, OWN_CLAIM, "com.example.a");
        expect_error(&user, CODE_DENIED);
        say_name(&user, CONTROL_OWN, OWN_CLAIM, "user.daemonic.a");
        expect_error(&user, CODE_DENIED);
        say_name(&root, CONTROL_OWN, OWN_CLAIM, "user.daemon.a");
        expect_word(&root, CONTROL_OK);
        say_name(&user, CONTROL_OWN, OWN_CLAIM, "user.daemon.a");
        expect_error(&user, CODE_BUSY); /* owned, by another user */
        for (unsigned i = 0; i < 64; i++) {
                (void)snprintf(name, sizeof(name), "user.daemon.n%u", i);
                say_name(&user, CONTROL_OWN, OWN_CLAIM, name);
                expect_word(&user, CONTROL_OK);
        }
        say_name(&user, CONTROL_OWN, OWN_CLAIM, "user.daemon.more");
        expect_error(&user, CODE_QUOTA);
        client_close(&user); /* and all are free again */
        do
                say_name(&root, CONTROL_RESOLVE_NAME, 0, "user.daemon.n1");
        while (expect_word(&root, CONTROL_NAMED)->code != CODE_NO_PROVIDER);
        client_close(&root);
        daemon_stop(&d);
}
END_TEST

START_TEST(a_monitor_sees_packets_and_everybody_knows) {
        const Received *got;
        const Control *word;
        Client m;

        start(NULL);
        client_open(&m, &d, 0);
        client_say(&m, &(Control){ .verb = CONTROL_MONITOR, .value = MONITOR_FULL });
        ck_assert_uint_eq(expect_word(&m, CONTROL_OK)->value, MONITOR_FULL);
        ck_assert_uint_eq(expect_word(&x, CONTROL_NOTICE)->value,
                          HELLO_MONITORED | HELLO_MONITORED_FULL | HELLO_RINGS);
        client_send(&x, y.address, PACKET_RECORDS, "seen", 4);
        got = expect_payload(&y, PACKET_RECORDS, "seen", 4);
        word = expect_word(&m, CONTROL_MONITORED);
        ck_assert_uint_eq(word->value, 0);
        ck_assert_uint_eq(word->n_body, CONTROL_MONITORED_HEAD_SIZE + PACKET_HEADER_SIZE + 4);
        ck_assert_mem_eq(word->body + CONTROL_MONITORED_HEAD_SIZE, got->bytes,
                         PACKET_HEADER_SIZE + 4);

        client_say(&m, &(Control){ .verb = CONTROL_MONITOR,
                                   .value = MONITOR_HEADERS,
                                   .address = { y.address.pid, 0 } });
        expect_word(&m, CONTROL_OK);
        client_send(&x, x.address, PACKET_RECORDS, "not this", 8);
        expect_payload(&x, PACKET_RECORDS, "not this", 8);
        client_send(&x, y.address, PACKET_RECORDS, "seen", 4);
        expect_payload(&y, PACKET_RECORDS, "seen", 4);
        word = expect_word(&m, CONTROL_MONITORED);
        ck_assert_uint_eq(word->value, 1); /* the payload was left out */
        ck_assert_uint_eq(word->n_body, CONTROL_MONITORED_HEAD_SIZE + PACKET_HEADER_SIZE);

        client_say(&m, &(Control){ .verb = CONTROL_MONITOR });
        expect_word(&m, CONTROL_OK);
        ck_assert_uint_eq(expect_word(&x, CONTROL_NOTICE)->value, HELLO_RINGS);
        client_close(&m);
        stop();
}
END_TEST

START_TEST(a_monitor_that_stalls_loses_packets_and_slows_nobody) {
        uint8_t payload[16384] = { 0 };
        Client m;

        start(NULL);
        client_open(&m, &d, 0);
        client_say(&m, &(Control){ .verb = CONTROL_MONITOR, .value = MONITOR_FULL });
        for (unsigned i = 0; i < 300; i++) {
                client_send(&x, y.address, PACKET_RECORDS, payload, sizeof(payload));
                expect_payload(&y, PACKET_RECORDS, payload, sizeof(payload));
        }
        ck_assert_uint_gt(daemon_status(&d, "monitor_lost"), 0);
        client_close(&m);
        stop();
}
END_TEST

START_TEST(long_answers_come_in_several_packets_of_whole_lines) {
        Client *c = calloc(1000, sizeof(*c));
        const Control *word;
        unsigned n_lines = 0, n_packets = 0;

        start(NULL);
        for (unsigned i = 0; i < 1000; i++)
                client_open(&c[i], &d, 0);
        client_say(&x, &(Control){ .verb = CONTROL_QUERY, .value = QUERY_LIST });
        do {
                word = expect_word(&x, CONTROL_ANSWER);
                for (size_t i = 0; i < word->n_body; i++)
                        n_lines += word->body[i] == '\n';
                ck_assert_uint_eq(word->body[word->n_body - 1], '\n');
                n_packets++;
        } while (word->value == 1);
        ck_assert_uint_eq(n_lines, 1002);
        ck_assert_uint_gt(n_packets, 1);
        client_say(&x, &(Control){ .verb = CONTROL_QUERY, .value = QUERY_PEERS });
        (void)expect_word(&x, CONTROL_REPORT);
        (void)expect_word(&y, CONTROL_REPORT);
        do
                word = expect_word(&x, CONTROL_ANSWER);
        while (word->value == 1);
        client_say(&x, &(Control){ .verb = CONTROL_QUERY, .value = 99 });
        expect_error(&x, CODE_UNSUPPORTED);
        for (unsigned i = 0; i < 1000; i++)
                client_close(&c[i]);
        free(c);
        stop();
}
END_TEST

/* --- start, reload, stop --- */

static uint64_t welcome_max_message(void) {
        uint8_t frame[ATTACH_FRAME];
        uint64_t max;
        Client c;

        client_connect(&c, &d, NULL);
        client_make_attach(&c, 0, frame);
        ck_assert(client_write(&c, frame, sizeof(frame)));
        max = load_le64(expect_word(&c, CONTROL_WELCOME)->body);
        client_close(&c);
        return max;
}

START_TEST(a_reload_takes_good_settings_and_keeps_the_old_ones_for_bad) {
        start("[Bus]\nMaxMessage=1M\n");
        ck_assert_uint_eq(welcome_max_message(), 1 << 20);
        daemon_configure(&d, "[Bus]\nMaxMessage=2M\n");
        client_say(&x, &(Control){ .verb = CONTROL_RELOAD });
        expect_word(&x, CONTROL_OK);
        ck_assert_uint_eq(welcome_max_message(), 2 << 20);
        daemon_configure(&d, "[Bus]\nMaxMessage=3M\nMaxMassage=4M\n");
        client_say(&x, &(Control){ .verb = CONTROL_RELOAD });
        expect_word(&x, CONTROL_ERROR);
        ck_assert_uint_eq(welcome_max_message(), 2 << 20);
        ck_assert_uint_eq(daemon_said_times(&d, "p2pbusd.conf:3: unknown key MaxMassage= in "
                                                "section [Bus]; the old settings stay"),
                          1);

        /* The same by signal: the answer to the next question comes after it. */
        daemon_configure(&d, "[Bus]\nMaxMessage=5M\n");
        ck_assert_int_eq(kill(d.os_pid, SIGHUP), 0);
        while (welcome_max_message() != 5 << 20)
                ;
        stop();
}
END_TEST

START_TEST(a_stop_says_goodbye_whoever_does_not_read) {
        uint8_t payload[16384] = { 0 };
        Client sleeper, fresh;

        start(NULL);
        client_open(&sleeper, &d, 0);
        client_connect(&fresh, &d, NULL);
        for (unsigned i = 0; i < 100; i++)
                client_send(&x, sleeper.address, PACKET_RECORDS, payload, sizeof(payload));
        bystanders_are_well();
        daemon_end(&d);
        ck_assert_uint_eq(expect_word(&x, CONTROL_GOODBYE)->code, CODE_SHUTDOWN);
        expect_closed(&x);
        expect_word(&y, CONTROL_GOODBYE);
        expect_word(&fresh, CONTROL_GOODBYE);
        ck_assert_int_ne(access(d.socket, F_OK), 0);

        client_close(&x);
        client_close(&y);
        client_close(&fresh);
        client_close(&sleeper);
        daemon_restart(&d, "--user");
        daemon_stop(&d);
}
END_TEST

START_TEST(a_stale_socket_is_replaced_and_a_live_one_is_not) {
        char command[512];
        int status;

        start(NULL);
        (void)snprintf(
                command, sizeof(command),
                "%s/p2pbusd --user --socket %s --state-dir %s/other 2>%s/second; [ $? = 1 ] && "
                "grep -q 'a bus is running there' %s/second",
                getenv("top_builddir"), d.socket, d.folder, d.folder, d.folder);
        ck_assert_int_eq(system(command), 0);
        bystanders_are_well();
        client_close(&x);
        client_close(&y);

        ck_assert_int_eq(kill(d.os_pid, SIGKILL), 0);
        ck_assert_int_eq(waitpid(d.os_pid, &status, 0), d.os_pid);
        ck_assert_int_eq(access(d.socket, F_OK), 0);
        daemon_restart(&d, "--user");
        daemon_stop(&d);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("daemon");
        TCase *attach = tcase_create("attach"), *routing = tcase_create("routing"),
              *queues = tcase_create("queues"), *fds = tcase_create("descriptors"),
              *gateway = tcase_create("gateway"), *roles = tcase_create("roles"),
              *life = tcase_create("life");

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

        tcase_add_test(gateway, leases_are_asked_for_handed_over_and_kept_for_the_next_gateway);
        tcase_add_loop_test(gateway, bad_leases_are_refused, 0, 4);
        tcase_add_test(gateway, leases_are_renewed_at_half_life);
        tcase_add_test(gateway, the_gateway_says_where_others_are);
        tcase_add_test(gateway, lies_of_the_gateway_are_not_believed);
        tcase_add_test(gateway, there_is_one_gateway_and_it_speaks_for_strangers_alone);
        tcase_add_test(gateway, what_the_gateway_says_of_its_links_is_shown);
        tcase_add_loop_test(gateway, what_a_terminal_would_not_bear_is_no_url, 0,
                            ELEMENTSOF(bad_urls));
        tcase_add_test(gateway, a_host_that_had_a_gateway_is_settling_after_a_restart);

        tcase_add_test(roles, names_have_providers);
        tcase_add_test(roles, who_watches_a_name_hears_of_each_change);
        tcase_add_test(roles, watches_have_a_limit);
        tcase_add_test(roles, names_of_others_and_too_many_are_refused);
        tcase_add_test(roles, a_monitor_sees_packets_and_everybody_knows);
        tcase_add_test(roles, a_monitor_that_stalls_loses_packets_and_slows_nobody);
        tcase_add_test(roles, long_answers_come_in_several_packets_of_whole_lines);

        tcase_add_test(life, a_reload_takes_good_settings_and_keeps_the_old_ones_for_bad);
        tcase_add_test(life, a_stop_says_goodbye_whoever_does_not_read);
        tcase_add_test(life, a_stale_socket_is_replaced_and_a_live_one_is_not);

        suite_add_tcase(suite, attach);
        suite_add_tcase(suite, routing);
        suite_add_tcase(suite, queues);
        suite_add_tcase(suite, fds);
        suite_add_tcase(suite, gateway);
        suite_add_tcase(suite, roles);
        suite_add_tcase(suite, life);
        return suite;
}
