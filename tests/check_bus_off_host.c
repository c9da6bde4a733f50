/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The library across two hosts: two real p2pbusd, and between them a gateway of this test's, which
 * sees what bridge and relay would see, and may lose, double, reorder and falsify it.
 */

#include "config.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "libclient/connection.h"
#include "libclient/p2pbus.h"
#include "libsecure/signed-record.h"
#include "tests/harness.h"
#include "tests/main.h"

#define SECOND UINT64_C(1000000)
#define PATIENCE (30 * SECOND)
#define STRANGER "0123456789abcdef"
#define SECRET "THE-SECRET-OF-THIS-TEST"
#define LEASES_MAX 16

/* What the one in the middle does to sealed packets. */
typedef enum Mischief {
        MISCHIEF_NONE,
        MISCHIEF_LOSE,     /* one of eight */
        MISCHIEF_SHUFFLE,  /* each in its turn: double it, or keep it back behind the next */
        MISCHIEF_FALSIFY,  /* one of four has one bit changed */
        MISCHIEF_SWALLOW,  /* all of them */
} Mischief;

typedef struct End {
        Daemon d;
        IdentityKey *key;
        Connection *c;
        bool is_gateway;
        struct {
                Address address;
                uint8_t bytes[CONTROL_LEASE_SIZE];
        } leases[LEASES_MAX];
        unsigned n_leases;
        uint8_t kept[FRAME_SIZE_MAX]; /* a packet for this end that comes late */
        size_t n_kept;
} End;

typedef struct Middle {
        End ends[2];
        pthread_t thread;
        int stop[2];
        int mischief;       /* atomic */
        unsigned n_sealed;  /* atomic */
        bool saw_clear, saw_secret;
        uint64_t seed;
        uint32_t generation; /* atomic: PATH_CHANGED is said when it grows */
        uint32_t generation_said;
} Middle;

static Middle middle;
static p2pbus *a, *b; /* on the two hosts */

#define ok(call)                                                                                   \
        do {                                                                                       \
                int ok_r = (call);                                                                 \
                ck_assert_msg(ok_r >= 0, "%s: %d, %s", #call, ok_r, p2pbus_get_explanation());     \
        } while (0)

static uint64_t draw(uint64_t below) {
        middle.seed = middle.seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        return (middle.seed >> 33) % below;
}

/* The one in the middle: runs in a thread of its own until stopped */

static void say(End *end, const Control *control) {
        ck_assert_int_eq(connection_queue_control(end->c, control, NULL), 0);
}

static void pass(End *to, const uint8_t *packet, size_t n) {
        uint8_t *out;

        ck_assert_int_eq(connection_queue(to->c, n, &out), 0);
        memcpy(out, packet, n);
        packet_set_hop_fields(out, 0, 3);
}

static void pass_sealed(End *to, const uint8_t *packet, size_t n) {
        uint8_t false_packet[FRAME_SIZE_MAX];

        __atomic_fetch_add(&middle.n_sealed, 1, __ATOMIC_RELAXED);
        switch (__atomic_load_n(&middle.mischief, __ATOMIC_RELAXED)) {
        case MISCHIEF_LOSE:
                if (draw(8) > 0)
                        pass(to, packet, n);
                return;
        case MISCHIEF_SWALLOW:
                return;
        case MISCHIEF_FALSIFY:
                memcpy(false_packet, packet, n);
                if (draw(4) == 0)
                        false_packet[PACKET_HEADER_SIZE + draw(n - PACKET_HEADER_SIZE)] ^= 1;
                pass(to, false_packet, n);
                return;
        case MISCHIEF_SHUFFLE:
                if (to->n_kept == 0 && draw(2) == 0) {
                        memcpy(to->kept, packet, n);
                        to->n_kept = n;
                        return;
                }
                pass(to, packet, n);
                pass(to, packet, n);
                break;
        default:
                pass(to, packet, n);
        }
        if (to->n_kept > 0)
                pass(to, to->kept, to->n_kept);
        to->n_kept = 0;
}

static void on_lease(End *end, const Control *control) {
        SignedRecord lease;
        Address address;
        unsigned i;

        ck_assert_int_eq(signed_record_decode(control->body, control->n_body, &lease), 0);
        address = key_hash(&lease.signer).address;
        for (i = 0; i < end->n_leases; i++)
                if (address_equal(end->leases[i].address, address))
                        break;
        ck_assert_uint_lt(i, LEASES_MAX);
        end->leases[i].address = address;
        memcpy(end->leases[i].bytes, control->body, CONTROL_LEASE_SIZE);
        end->n_leases = i == end->n_leases ? i + 1 : end->n_leases;
        say(end, &(Control){ .verb = CONTROL_LEASED, .value = 1, .address = address });
}

static void on_resolve(End *end, const End *other, const PacketHeader *header,
                       const Control *control) {
        Control answer = {
                .verb = CONTROL_RESOLVED,
                .code = CODE_NOT_HERE,
                .ref = header->id,
                .address = control->address,
        };

        for (unsigned i = 0; i < other->n_leases; i++)
                if (other->leases[i].address.pid == control->address.pid) {
                        answer.code = CODE_OK;
                        answer.body = other->leases[i].bytes;
                        answer.n_body = CONTROL_LEASE_SIZE;
                }
        say(end, &answer);
}

static void on_packet(End *end, End *other, const PacketHeader *header, const uint8_t *packet) {
        Control control;

        if (header->kind != PACKET_CONTROL) {
                middle.saw_clear = middle.saw_clear || header->kind != PACKET_SEALED;
                middle.saw_secret = middle.saw_secret ||
                        memmem(packet, header->size, SECRET, strlen(SECRET));
                pass_sealed(other, packet, header->size);
                return;
        }
        ck_assert_int_eq(control_decode(packet + PACKET_HEADER_SIZE,
                                        header->size - PACKET_HEADER_SIZE, &control),
                         0);
        switch (control.verb) {
        case CONTROL_OK:
                say(end, &(Control){ .verb = CONTROL_LINKS, .value = 1 | 1 << 16 });
                say(end, &(Control){ .verb = CONTROL_SYNCED });
                break;
        case CONTROL_LEASE:
                on_lease(end, &control);
                break;
        case CONTROL_RESOLVE:
                on_resolve(end, other, header, &control);
                break;
        default:
                break;
        }
}

static void move(End *end, End *other) {
        PacketHeader header;
        const uint8_t *packet;

        (void)connection_read(end->c);
        if (connection_is_up(end->c) && !end->is_gateway) {
                say(end, &(Control){ .verb = CONTROL_GATEWAY });
                end->is_gateway = true;
        }
        while (connection_pop(end->c, &header, &packet) == 0)
                on_packet(end, other, &header, packet);
}

static void *run_middle(void *userdata) {
        (void)userdata;
        for (;;) {
                struct pollfd fds[3] = { { .fd = middle.stop[0], .events = POLLIN } };
                uint32_t generation = __atomic_load_n(&middle.generation, __ATOMIC_ACQUIRE);

                for (unsigned i = 0; i < 2; i++) {
                        End *end = &middle.ends[i];

                        if (generation != middle.generation_said)
                                say(end, &(Control){ .verb = CONTROL_PATH_CHANGED,
                                                     .value = generation });
                        (void)connection_write(end->c);
                        fds[1 + i].fd = connection_fd(end->c);
                        fds[1 + i].events = POLLIN;
                        if (connection_events(end->c) & EPOLLOUT)
                                fds[1 + i].events |= POLLOUT;
                }
                middle.generation_said = generation;
                ck_assert_int_ge(poll(fds, 3, -1), 0);
                if (fds[0].revents) {
                        char c;

                        ck_assert_int_eq(read(middle.stop[0], &c, 1), 1);
                        if (c == 'q')
                                return NULL;
                }
                for (unsigned i = 0; i < 2; i++)
                        if (fds[1 + i].revents)
                                move(&middle.ends[i], &middle.ends[1 - i]);
        }
}

static p2pbus *open_at(unsigned i, uint32_t flags) {
        p2pbus_options options = {
                .struct_size = sizeof(options),
                .socket_path = middle.ends[i].d.socket,
                .flags = flags,
        };
        p2pbus *bus = NULL;

        ok(p2pbus_open(&bus, &options));
        return bus;
}

static void start(void) {
        middle.seed = 20261121;
        ck_assert_int_eq(pipe(middle.stop), 0);
        for (unsigned i = 0; i < 2; i++) {
                End *end = &middle.ends[i];

                daemon_start(&end->d, "--user", NULL);
                ck_assert_int_eq(identity_new_random(&end->key), 0);
                ck_assert_int_eq(connection_new(&end->c,
                                                &(ConnectionOptions){ .path = end->d.socket,
                                                                      .identity = end->key }),
                                 0);
        }
        ck_assert_int_eq(pthread_create(&middle.thread, NULL, run_middle, NULL), 0);
        a = open_at(0, P2PBUS_OFF_HOST);
        b = open_at(1, P2PBUS_OFF_HOST);
        while (!(p2pbus_get_state(a, NULL) & P2PBUS_STATE_GATEWAY))
                ok(p2pbus_wait(a, PATIENCE));
        while (!(p2pbus_get_state(b, NULL) & P2PBUS_STATE_GATEWAY))
                ok(p2pbus_wait(b, PATIENCE));
        ok(p2pbus_wait_reachable(a, PATIENCE));
        ok(p2pbus_wait_reachable(b, PATIENCE));
}

static void stop(void) {
        a = p2pbus_unref(a);
        b = p2pbus_unref(b);
        ck_assert_int_eq(write(middle.stop[1], "q", 1), 1);
        ck_assert_int_eq(pthread_join(middle.thread, NULL), 0);
        for (unsigned i = 0; i < 2; i++) {
                connection_free(middle.ends[i].c);
                identity_free(middle.ends[i].key);
                daemon_stop(&middle.ends[i].d);
        }
        ck_assert(!middle.saw_clear);
        ck_assert(!middle.saw_secret);
}

static void set_mischief(Mischief mischief) {
        __atomic_store_n(&middle.mischief, (int)mischief, __ATOMIC_RELAXED);
}

/* A thread that takes what b gets: "0 SECRET", "1 SECRET", ... each once, in order; it answers. */
typedef struct Taker {
        pthread_t thread;
        unsigned n;
} Taker;

static void *take_in_order(void *userdata) {
        Taker *taker = userdata;
        p2pbus_message *m, *reply;
        char text[64];
        int r;

        while ((r = p2pbus_receive(b, P2PBUS_FOREVER, &m)) == 0) {
                int n = snprintf(text, sizeof(text), "%u " SECRET, taker->n);

                if (p2pbus_message_get_size(m) < 64) {
                        ck_assert_msg(p2pbus_message_get_size(m) == (size_t)n &&
                                              memcmp(p2pbus_message_get_payload(m), text,
                                                     (size_t)n) == 0,
                                      "%.*s is not %s", (int)p2pbus_message_get_size(m),
                                      (const char *)p2pbus_message_get_payload(m), text);
                        taker->n++;
                }
                ck_assert_int_eq(p2pbus_message_is_remote(m), 1);
                ck_assert_str_eq(p2pbus_message_get_from(m), p2pbus_get_full(a));
                if (p2pbus_message_get_kind(m) == P2PBUS_KIND_REQUEST) {
                        ok(p2pbus_message_new(&reply, p2pbus_message_get_payload(m),
                                              p2pbus_message_get_size(m)));
                        ok(p2pbus_reply(b, m, reply));
                        p2pbus_message_unref(reply);
                }
                p2pbus_message_unref(m);
        }
        ck_assert_int_eq(r, -ENOTCONN);
        return NULL;
}

static void taker_start(Taker *taker) {
        *taker = (Taker){ .n = 0 };
        ck_assert_int_eq(pthread_create(&taker->thread, NULL, take_in_order, taker), 0);
}

static void taker_stop(Taker *taker) {
        p2pbus_close(b);
        ck_assert_int_eq(pthread_join(taker->thread, NULL), 0);
}

static p2pbus_message *numbered(unsigned i) {
        p2pbus_message *m;
        char text[64];
        int n = snprintf(text, sizeof(text), "%u " SECRET, i);

        ok(p2pbus_message_new(&m, text, (size_t)n));
        return m;
}

/* Each in a packet of its own, nearly. */
static void send_numbers(unsigned first, unsigned n) {
        for (unsigned i = first; i < first + n; i++) {
                p2pbus_message *m = numbered(i);
                int r;

                while ((r = p2pbus_send(a, p2pbus_get_full(b), m, 2 * PATIENCE, NULL)) == -EAGAIN)
                        ok(p2pbus_wait(a, PATIENCE));
                ok(r);
                ok(p2pbus_process(a));
                p2pbus_message_unref(m);
        }
}

START_TEST(a_request_crosses_sealed_by_pid_alone) {
        p2pbus_peer_info info = { .struct_size = sizeof(info) };
        char full[P2PBUS_FULL_SIZE];
        p2pbus_message *m, *reply;
        int remote = 0;
        uint64_t usec;
        Taker taker;

        taker_start(&taker);
        m = numbered(0);
        ok(p2pbus_request(a, p2pbus_get_pid(b), m, 0, &reply));
        ck_assert_uint_eq(p2pbus_message_get_size(reply), p2pbus_message_get_size(m));
        ck_assert_str_eq(p2pbus_message_get_from(reply), p2pbus_get_full(b));
        ck_assert_int_eq(p2pbus_message_is_remote(reply), 1);
        p2pbus_message_unref(m);
        p2pbus_message_unref(reply);

        ok(p2pbus_resolve(a, p2pbus_get_pid(b), 0, full, &remote));
        ck_assert_str_eq(full, p2pbus_get_full(b));
        ck_assert_int_eq(remote, 1);
        ok(p2pbus_ping(a, full, 0, &usec, NULL, &remote));
        ck_assert_int_eq(remote, 1);
        ok(p2pbus_get_peer(a, full, &info));
        ck_assert_int_eq(info.path, P2PBUS_PATH_OFF_HOST);
        ck_assert_str_eq(info.full, full);
        ck_assert_uint_gt(middle.n_sealed, 0);
        taker_stop(&taker);
}
END_TEST

START_TEST(a_large_message_crosses) {
        const size_t size = 1 << 20;
        uint8_t *bytes = malloc(size);
        p2pbus_message *m, *reply;
        Taker taker;

        for (size_t i = 0; i < size; i++)
                bytes[i] = (uint8_t)(i * 2654435761U >> 24);
        taker_start(&taker);
        ok(p2pbus_message_new_take(&m, bytes, size));
        ok(p2pbus_request(a, p2pbus_get_full(b), m, 2 * PATIENCE, &reply));
        ck_assert_uint_eq(p2pbus_message_get_size(reply), size);
        ck_assert_int_eq(memcmp(p2pbus_message_get_payload(reply), bytes, size), 0);
        p2pbus_message_unref(m);
        p2pbus_message_unref(reply);
        taker_stop(&taker);
}
END_TEST

static const struct {
        const char *what;
        Mischief mischief;
        unsigned n;
} mischiefs[] = {
        { "nothing", MISCHIEF_NONE, 5000 },
        { "losing", MISCHIEF_LOSE, 40 },
        { "shuffling", MISCHIEF_SHUFFLE, 500 },
        { "falsifying", MISCHIEF_FALSIFY, 20 },
};

START_TEST(whatever_the_middle_does_each_arrives_once_in_order) {
        p2pbus_counters counters = { .struct_size = sizeof(counters) };
        Taker taker;

        taker_start(&taker);
        set_mischief(mischiefs[_i].mischief);
        send_numbers(0, mischiefs[_i].n);
        ok(p2pbus_flush(a, 2 * PATIENCE));
        ok(p2pbus_get_counters(a, &counters));
        ck_assert_uint_eq(counters.delivered, mischiefs[_i].n);
        set_mischief(MISCHIEF_NONE);
        taker_stop(&taker);
        ck_assert_msg(taker.n == mischiefs[_i].n, "%s: %u", mischiefs[_i].what, taker.n);
}
END_TEST

START_TEST(a_link_that_dies_is_no_reason_to_wait) {
        Taker taker;

        taker_start(&taker);
        send_numbers(0, 1);
        ok(p2pbus_flush(a, PATIENCE));
        set_mischief(MISCHIEF_SWALLOW);
        send_numbers(1, 10);
        set_mischief(MISCHIEF_NONE);
        __atomic_store_n(&middle.generation, 1, __ATOMIC_RELEASE);
        ck_assert_int_eq(write(middle.stop[1], "p", 1), 1);
        ok(p2pbus_flush(a, PATIENCE));
        taker_stop(&taker);
        ck_assert_uint_eq(taker.n, 11);
}
END_TEST

START_TEST(nobody_anywhere_is_said_at_once) {
        p2pbus_message *m = numbered(0);

        ck_assert_int_eq(p2pbus_send_wait(a, STRANGER, m, PATIENCE), -EHOSTUNREACH);
        ck_assert_int_eq(p2pbus_get_reason(), P2PBUS_REASON_NOT_HERE);
        p2pbus_message_unref(m);
}
END_TEST

START_TEST(without_off_host_nothing_leaves) {
        p2pbus *local = open_at(0, 0);
        p2pbus_message *m = numbered(0);
        unsigned n = __atomic_load_n(&middle.n_sealed, __ATOMIC_RELAXED);
        char full[P2PBUS_FULL_SIZE];

        ck_assert_int_lt(p2pbus_send_wait(local, p2pbus_get_full(b), m, PATIENCE), 0);
        ck_assert_int_lt(p2pbus_resolve(local, p2pbus_get_full(b), PATIENCE, full, NULL), 0);
        ck_assert_int_eq(p2pbus_wait_reachable(local, PATIENCE), -ENETUNREACH);
        ck_assert_uint_eq(__atomic_load_n(&middle.n_sealed, __ATOMIC_RELAXED), n);
        p2pbus_message_unref(m);
        p2pbus_unref(local);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("bus off-host");
        TCase *tcase = tcase_create("two hosts");

        tcase_add_checked_fixture(tcase, start, stop);
        tcase_add_test(tcase, a_request_crosses_sealed_by_pid_alone);
        tcase_add_test(tcase, a_large_message_crosses);
        tcase_add_loop_test(tcase, whatever_the_middle_does_each_arrives_once_in_order, 0,
                            ELEMENTSOF(mischiefs));
        tcase_add_test(tcase, a_link_that_dies_is_no_reason_to_wait);
        tcase_add_test(tcase, nobody_anywhere_is_said_at_once);
        tcase_add_test(tcase, without_off_host_nothing_leaves);
        suite_add_tcase(suite, tcase);
        return suite;
}
