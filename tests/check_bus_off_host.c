/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The library across two hosts: two real p2pbusd, and between them a gateway of this test's, which
 * sees what bridge and relay would see, and may lose, double, reorder and falsify it.
 */

#include "config.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "libclient/attachment.h"
#include "libclient/connection.h"
#include "libclient/p2pbus.h"
#include "libclient/peer.h"
#include "libclient/topic-remote.h"
#include "libcore/buf.h"
#include "libcore/topic.h"
#include "libsecure/signed-answer.h"
#include "libsecure/signed-record.h"
#include "tests/api.h"
#include "tests/harness.h"
#include "tests/main.h"

#define NACK_AGE_USEC (5 * 60 * USEC_PER_SEC)
#define PATIENCE (30 * SECOND)
#define STRANGER "0123456789abcdef"
#define SECRET "THE-SECRET-OF-THIS-TEST"
#define LEASES_MAX 16
#define REMEMBERED_MAX 256

/* What the one in the middle does to sealed packets. */
typedef enum Mischief {
        MISCHIEF_NONE,
        MISCHIEF_LOSE,     /* one of eight */
        MISCHIEF_SHUFFLE,  /* each in its turn: double it, or keep it back behind the next */
        MISCHIEF_FALSIFY,  /* one of four has one bit changed */
        MISCHIEF_SWALLOW,  /* all of them */
        MISCHIEF_REMEMBER, /* passed, and once more later: repeat_all() */
        MISCHIEF_ACCUSE,   /* swallowed at first, and of each is said that another met nobody */
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
        unsigned n_of[8];   /* atomic; by SealedType */
        unsigned n_resolved; /* atomic */
        struct {
                End *to;
                uint8_t *bytes;
                size_t n;
        } remembered[REMEMBERED_MAX];
        unsigned n_remembered;
        unsigned n_accused;
        uint8_t last_data[PACKET_HEADER_SIZE + 16]; /* for ends[1]: the clear part of a DATA */
        unsigned n_done; /* atomic; of what was asked of it through stop[] */
        bool saw_clear, saw_secret;
        bool lies;    /* atomic; that whoever wants something wants all */
        bool refuses; /* atomic; to let anybody want anything */
        uint64_t seed;
        uint32_t generation; /* atomic: PATH_CHANGED is said when it grows */
        uint32_t generation_said;
} Middle;

static Middle middle;
static p2pbus *a, *b; /* on the two hosts */

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

/* To the sender of @packet, about one that it did not send this way. */
static void accuse(End *to, const uint8_t *packet) {
        End *from = &middle.ends[to == &middle.ends[0] ? 1 : 0];
        Control error = { .verb = CONTROL_ERROR, .code = CODE_NOT_HERE };
        static const PacketId none;
        PacketHeader header;
        uint8_t *out;

        ck_assert_int_eq(packet_header_decode(packet, PACKET_HEADER_SIZE, &header), 0);
        error.address = header.dst;
        error.ref = header.id;
        error.ref.bytes[PACKET_ID_SIZE - 1] ^= 0x80;
        ck_assert_int_eq(connection_queue(from->c, control_packet_size(&error), &out), 0);
        control_packet_encode(&error, identity_hash(from->key)->address, header.src, &none, out);
}

static void pass_sealed(End *to, const uint8_t *packet, size_t n) {
        uint8_t false_packet[FRAME_SIZE_MAX];

        __atomic_fetch_add(&middle.n_sealed, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&middle.n_of[packet[PACKET_HEADER_SIZE] % ELEMENTSOF(middle.n_of)], 1,
                           __ATOMIC_RELAXED);
        if (to == &middle.ends[1] && packet[PACKET_HEADER_SIZE] == SEALED_DATA)
                memcpy(middle.last_data, packet, sizeof(middle.last_data));
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
        case MISCHIEF_REMEMBER:
                ck_assert_uint_lt(middle.n_remembered, REMEMBERED_MAX);
                middle.remembered[middle.n_remembered].to = to;
                middle.remembered[middle.n_remembered].n = n;
                middle.remembered[middle.n_remembered++].bytes = memcpy(malloc(n), packet, n);
                pass(to, packet, n);
                break;
        case MISCHIEF_ACCUSE:
                accuse(to, packet);
                if (middle.n_accused++ == 0)
                        return;
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

/* As bridges and relays do: to whichever host has the process that it is for. */
static void pass_error(const PacketHeader *header, const Control *error) {
        static const PacketId none;

        for (unsigned i = 0; i < 2; i++) {
                End *to = &middle.ends[i];
                uint8_t *out;

                ck_assert_int_eq(connection_queue(to->c, control_packet_size(error), &out), 0);
                control_packet_encode(error, identity_hash(to->key)->address, header->dst, &none,
                                      out);
        }
}

/* What a process behind one end wants, at the other. */
static void pass_wanted(End *from, End *to, const Control *control) {
        uint8_t body[CONTROL_KEY_SIZE + 1];
        Control lie = *control;

        if (__atomic_load_n(&middle.refuses, __ATOMIC_RELAXED)) {
                lie.value = WANTED_END;
                lie.code = CODE_QUOTA;
                say(from, &lie);
                return;
        }
        say(to, control);
        if (!__atomic_load_n(&middle.lies, __ATOMIC_RELAXED))
                return;
        memcpy(body, control->body, CONTROL_KEY_SIZE);
        body[CONTROL_KEY_SIZE] = '>';
        lie.body = body;
        lie.n_body = sizeof(body);
        say(to, &lie);
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
        case CONTROL_WANTED:
                pass_wanted(end, other, &control);
                break;
        case CONTROL_ERROR:
                pass_error(header, &control);
                break;
        case CONTROL_RESOLVE:
                __atomic_fetch_add(&middle.n_resolved, 1, __ATOMIC_RELAXED);
                on_resolve(end, other, header, &control);
                break;
        default:
                break;
        }
}

static void repeat_remembered(void) {
        for (unsigned i = 0; i < middle.n_remembered; i++) {
                pass(middle.remembered[i].to, middle.remembered[i].bytes,
                     middle.remembered[i].n);
                free(middle.remembered[i].bytes);
        }
        middle.n_remembered = 0;
}

/* To a, in b's name, that b does not know the epoch: @n of them, by a clock that is ahead by @offset;
 * every second one spoilt, if @is_spoilt. */
static void send_nacks(const IdentityKey *signer, unsigned n, int64_t offset_usec, bool is_spoilt) {
        const uint8_t *data = middle.last_data;
        SignedAnswer answer = {
                .type = SIGNED_ANSWER_NACK,
                .code = NACK_NO_SESSION,
                .ref = load_le32(data + PACKET_HEADER_SIZE + 4),
        };
        uint8_t packet[PACKET_HEADER_SIZE + SIGNED_ANSWER_SIZE];
        PacketHeader header;

        ck_assert_int_eq(packet_header_decode(data, sizeof(middle.last_data), &header), 0);
        answer.id = header.id;
        answer.now_usec = packet_id_sent_at(&header.id) + (uint64_t)offset_usec;
        for (unsigned i = 0; i < n; i++) {
                packet_header_encode(&(PacketHeader){ .size = sizeof(packet),
                                                      .src = header.dst,
                                                      .dst = header.src,
                                                      .id = packet_id_make(answer.now_usec, i),
                                                      .kind = PACKET_SEALED },
                                     packet);
                ck_assert_int_eq(signed_answer_sign(&answer, signer, header.src.pid, header.dst.pid,
                                                    packet + PACKET_HEADER_SIZE),
                                 0);
                if (is_spoilt && i % 2 == 0)
                        packet[sizeof(packet) - 1] ^= 1;
                pass(&middle.ends[0], packet, sizeof(packet));
        }
}

/* To b, in a's name and epoch, what a has not sealed. */
static void forge_data(void) {
        uint8_t packet[sizeof(middle.last_data) + CRYPTO_TAG_SIZE] = { 0 };
        uint8_t *counter = packet + PACKET_HEADER_SIZE + 8;

        memcpy(packet, middle.last_data, sizeof(middle.last_data));
        store_le32(packet, sizeof(packet));
        for (uint64_t i = 0; i < 3000; i++) {
                store_le64(counter, load_le64(counter) + 1);
                pass(&middle.ends[1], packet, sizeof(packet));
        }
}

/* To b, from somebody that it does not know: in an epoch that is not, and sealed by nobody. */
static void flood(void) {
        static const size_t sizes[] = { 32, 400 };
        uint8_t packet[PACKET_HEADER_SIZE + 400] = { 0 }, *payload = packet + PACKET_HEADER_SIZE;

        for (uint64_t i = 0; i < 6000; i++) {
                size_t n = sizes[i % 2];

                packet_header_encode(
                        &(PacketHeader){ .size = (uint32_t)(PACKET_HEADER_SIZE + n),
                                         .src = { .pid = UINT64_C(0x0123456789abcdef), .tag = 1 },
                                         .dst = middle.ends[1].leases[0].address,
                                         .id = packet_id_make(1, i),
                                         .kind = PACKET_SEALED },
                        packet);
                payload[0] = i % 2 == 0 ? SEALED_DATA : SEALED_ONE;
                payload[1] = 1;
                payload[4] = 1;
                pass(&middle.ends[1], packet, sizeof(packet) - 400 + n);
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
                        if (c == 'r')
                                repeat_remembered();
                        if (c == 'n')
                                send_nacks(middle.ends[0].key, 1000, 0, true);
                        if (c == 'o') {
                                send_nacks(b->identity, 1, -NACK_AGE_USEC, false);
                                send_nacks(b->identity, 1, NACK_AGE_USEC + 10 * USEC_PER_SEC,
                                           false);
                        }
                        if (c == 't')
                                send_nacks(b->identity, 1, 0, false);
                        if (c == 'f')
                                forge_data();
                        if (c == 's')
                                flood();
                        __atomic_fetch_add(&middle.n_done, 1, __ATOMIC_RELEASE);
                }
                for (unsigned i = 0; i < 2; i++)
                        if (fds[1 + i].revents)
                                move(&middle.ends[i], &middle.ends[1 - i]);
        }
}

static p2pbus *open_as(unsigned i, uint32_t flags, const char *key_file) {
        p2pbus_options options = {
                .struct_size = sizeof(options),
                .socket_path = middle.ends[i].d.socket,
                .key_file = key_file,
                .flags = flags,
        };
        p2pbus *bus = NULL;

        ok(p2pbus_open(&bus, &options));
        return bus;
}

static p2pbus *open_at(unsigned i, uint32_t flags) {
        return open_as(i, flags, NULL);
}

/* Has the one in the middle do something, and waits until its packets are on their way. */
static void tell_middle(char what) {
        unsigned n = __atomic_load_n(&middle.n_done, __ATOMIC_ACQUIRE);

        ck_assert_int_eq(write(middle.stop[1], &what, 1), 1);
        while (__atomic_load_n(&middle.n_done, __ATOMIC_ACQUIRE) == n)
                (void)sched_yield();
}

static unsigned count_of(SealedType type) {
        return __atomic_load_n(&middle.n_of[type], __ATOMIC_RELAXED);
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

/* Epochs that @bus makes from now on wear out sooner, and may follow each other at once. */
static void wear_out(p2pbus *bus, uint64_t rekey_packets) {
        pthread_mutex_lock(&bus->lock);
        bus->sealing.epochs.rekey_packets = rekey_packets;
        bus->sealing.epochs.open_wait_usec = bus->sealing.epochs.open_wait_max_usec = 1;
        pthread_mutex_unlock(&bus->lock);
}

static void set_mischief(Mischief mischief) {
        __atomic_store_n(&middle.mischief, (int)mischief, __ATOMIC_RELAXED);
}

/* A thread that takes what b gets: "0 SECRET", "1 SECRET", ... each once, in order; it answers. */
typedef struct Taker {
        pthread_t thread;
        unsigned n;
        bool moves; /* from host to host */
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
                if (!taker->moves)
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

/* @n requests, each answered before the next. */
static void ask(unsigned first, unsigned n) {
        for (unsigned i = first; i < first + n; i++) {
                p2pbus_message *m = numbered(i), *reply;

                ok(p2pbus_request(a, p2pbus_get_full(b), m, PATIENCE, &reply));
                p2pbus_message_unref(m);
                p2pbus_message_unref(reply);
        }
}

START_TEST(keys_are_made_with_the_first_packets_and_serve_all_others) {
        unsigned n_open, n_one, n_accept, n_data;
        Taker taker;

        taker_start(&taker);
        ask(0, 3);
        n_open = count_of(SEALED_OPEN);
        n_one = count_of(SEALED_ONE);
        n_accept = count_of(SEALED_ACCEPT);
        n_data = count_of(SEALED_DATA);
        ck_assert_uint_eq(n_open, 1);
        ck_assert_uint_eq(n_accept, 1);
        ask(3, 50);
        ck_assert_uint_eq(count_of(SEALED_OPEN), n_open);
        ck_assert_uint_eq(count_of(SEALED_ONE), n_one);
        ck_assert_uint_eq(count_of(SEALED_ACCEPT), n_accept);
        ck_assert_uint_ge(count_of(SEALED_DATA), n_data + 100);
        ck_assert_uint_eq(count_of(SEALED_NACK), 0);
        taker_stop(&taker);
        ck_assert_uint_eq(taker.n, 53);
}
END_TEST

/* T65 */
START_TEST(what_is_said_again_is_not_delivered_again) {
        p2pbus_counters counters = { .struct_size = sizeof(counters) };
        unsigned n_remembered;
        Taker taker;

        taker_start(&taker);
        set_mischief(MISCHIEF_REMEMBER);
        ask(0, 20);
        set_mischief(MISCHIEF_NONE);
        n_remembered = middle.n_remembered;
        ck_assert_uint_gt(n_remembered, 40);
        tell_middle('r');
        ask(20, 1); /* behind all of them */
        ok(p2pbus_get_counters(b, &counters));
        ck_assert_uint_gt(counters.bad_packets, 19);
        ck_assert_uint_eq(count_of(SEALED_NACK), 0);
        taker_stop(&taker);
        ck_assert_uint_eq(taker.n, 21);
}
END_TEST

/* T68 */
START_TEST(false_nacks_end_nothing) {
        p2pbus_counters counters = { .struct_size = sizeof(counters) };
        unsigned n_open;
        Taker taker;

        wear_out(a, UINT64_MAX);
        taker_start(&taker);
        ask(0, 5);
        n_open = count_of(SEALED_OPEN);
        tell_middle('n');
        ask(5, 5);
        ok(p2pbus_get_counters(a, &counters));
        ck_assert_uint_ge(counters.bad_packets, 1000);
        ck_assert_uint_eq(count_of(SEALED_OPEN), n_open);
        taker_stop(&taker);
        ck_assert_uint_eq(taker.n, 10);
}
END_TEST

/* T68: b itself has signed them. */
START_TEST(an_old_nack_ends_nothing_and_one_of_now_an_epoch) {
        p2pbus_counters counters = { .struct_size = sizeof(counters) };
        unsigned n_open;
        Taker taker;

        wear_out(a, UINT64_MAX);
        taker_start(&taker);
        ask(0, 5);
        n_open = count_of(SEALED_OPEN);
        tell_middle('o');
        ask(5, 5);
        ok(p2pbus_get_counters(a, &counters));
        ck_assert_uint_eq(counters.bad_packets, 2);
        ck_assert_uint_eq(count_of(SEALED_OPEN), n_open);
        tell_middle('t');
        ask(10, 5);
        ck_assert_uint_gt(count_of(SEALED_OPEN), n_open);
        taker_stop(&taker);
        ck_assert_uint_eq(taker.n, 15);
}
END_TEST

/* More than are tried in a second: true ones are dropped with them, and come again. */
START_TEST(false_data_takes_time_and_nothing_else) {
        p2pbus_counters counters = { .struct_size = sizeof(counters) };
        unsigned n_open;
        Taker taker;

        wear_out(a, UINT64_MAX);
        taker_start(&taker);
        ask(0, 5);
        n_open = count_of(SEALED_OPEN);
        tell_middle('f');
        ask(5, 5);
        ok(p2pbus_get_counters(b, &counters));
        ck_assert_uint_ge(counters.bad_packets, 3000);
        ck_assert_uint_eq(count_of(SEALED_OPEN), n_open);
        ck_assert_uint_eq(count_of(SEALED_NACK), 0);
        taker_stop(&taker);
        ck_assert_uint_eq(taker.n, 10);
}
END_TEST

static const struct {
        const char *what;
        Mischief mischief;
        unsigned n;
} wears[] = {
        { "nothing", MISCHIEF_NONE, 1000 },
        { "losing", MISCHIEF_LOSE, 40 },
        { "shuffling", MISCHIEF_SHUFFLE, 300 },
};

/* What all strangers share, one of them does not use up. */
START_TEST(a_stranger_that_floods_leaves_room_for_others) {
        p2pbus_counters counters = { .struct_size = sizeof(counters) };
        Taker taker;

        taker_start(&taker);
        ask(0, 1);
        tell_middle('s');
        ask(1, 5);
        ok(p2pbus_get_counters(b, &counters));
        ck_assert_uint_ge(counters.bad_packets, 3000);
        pthread_mutex_lock(&b->lock);
        ck_assert_uint_ge(b->open_budget.left, 500);
        ck_assert_uint_ge(b->nack_budget.left, 100);
        pthread_mutex_unlock(&b->lock);
        taker_stop(&taker);
        ck_assert_uint_eq(taker.n, 6);
}
END_TEST

/* T71 */
START_TEST(keys_are_changed_under_load_and_nothing_is_lost) {
        Taker taker;

        wear_out(a, 10);
        wear_out(b, 10);
        taker_start(&taker);
        set_mischief(wears[_i].mischief);
        send_numbers(0, wears[_i].n);
        ok(p2pbus_flush(a, 2 * PATIENCE));
        set_mischief(MISCHIEF_NONE);
        ask(wears[_i].n, 200);
        ck_assert_uint_gt(count_of(SEALED_OPEN), 10);
        ck_assert_uint_gt(count_of(SEALED_ACCEPT), 10);
        ck_assert_uint_gt(count_of(SEALED_DATA), 100);
        taker_stop(&taker);
        ck_assert_msg(taker.n == wears[_i].n + 200, "%s: %u", wears[_i].what, taker.n);
}
END_TEST

/* The same as a daemon that wants a lease; then there is a new key. */
static void change_key(p2pbus *bus) {
        uint8_t body[48], before[CRYPTO_DH_SIZE];
        Control control = { .verb = CONTROL_LEASE_REQUEST, .body = body, .n_body = sizeof(body) };
        BufWriter w = buf_writer(body, sizeof(body));

        pthread_mutex_lock(&bus->lock);
        memcpy(before, sealer_encpk(bus->sealer), sizeof(before));
        bus->sealing.key_life_usec = 0;
        buf_put_bytes(&w, identity_public(middle.ends[bus == b].key)->bytes, KEY_SIZE);
        buf_put_le64(&w, bus_wall(bus));
        buf_put_le64(&w, bus_wall(bus) + 60 * SECOND);
        attachment_on_lease_request(bus, &control);
        ck_assert_mem_ne(sealer_encpk(bus->sealer), before, sizeof(before));
        pthread_mutex_unlock(&bus->lock);
        ok(p2pbus_process(bus));
}

/* T70 */
START_TEST(what_others_seal_for_changes_under_load_and_nothing_is_lost) {
        Taker taker;

        wear_out(a, 10);
        wear_out(b, 10);
        taker_start(&taker);
        for (unsigned i = 0; i < 4; i++) {
                ask(i * 60, 20);
                send_numbers(i * 60 + 20, 20);
                change_key(i % 2 == 0 ? b : a);
                ask(i * 60 + 40, 20);
        }
        ok(p2pbus_flush(a, PATIENCE));
        taker_stop(&taker);
        ck_assert_uint_eq(taker.n, 240);
}
END_TEST

START_TEST(a_lease_that_has_ended_stops_nothing) {
        unsigned n_open, n_resolved = __atomic_load_n(&middle.n_resolved, __ATOMIC_RELAXED);
        Address address = { 0 };
        Taker taker;
        Peer *peer;

        wear_out(a, 50);
        taker_start(&taker);
        ask(0, 10);
        n_open = count_of(SEALED_OPEN);
        pthread_mutex_lock(&a->lock);
        address.pid = b->self.address.pid;
        peer = peer_find(a, address, NULL);
        ck_assert_ptr_nonnull(peer);
        peer->lease.issued_usec = peer->lease.lease.enc_until_usec = 1;
        pthread_mutex_unlock(&a->lock);
        ask(10, 100);
        ck_assert_uint_gt(count_of(SEALED_OPEN), n_open);
        ck_assert_uint_le(count_of(SEALED_ONE), 4); /* only while the keys were made */
        ck_assert_uint_le(__atomic_load_n(&middle.n_resolved, __ATOMIC_RELAXED), n_resolved + 2);
        taker_stop(&taker);
        ck_assert_uint_eq(taker.n, 110);
}
END_TEST

/* As send_numbers(), for a receiver that may die meanwhile. */
static void send_idempotent(const char *to, unsigned first, unsigned n) {
        for (unsigned i = first; i < first + n; i++) {
                p2pbus_message *m = numbered(i);

                ok(p2pbus_message_set_idempotent(m, 1));
                ok(p2pbus_send(a, to, m, 2 * PATIENCE, NULL));
                ok(p2pbus_process(a));
                p2pbus_message_unref(m);
        }
}

/* T67: of what its last life had not taken, nothing is lost; what it had comes no more. */
START_TEST(a_receiver_that_is_restarted_gets_what_the_last_one_did_not) {
        p2pbus_counters counters = { .struct_size = sizeof(counters) };
        char path[128], full[P2PBUS_FULL_SIZE];
        unsigned n_open;
        Taker taker;

        wear_out(a, UINT64_MAX);
        (void)snprintf(path, sizeof(path), "%s/key", middle.ends[1].d.folder);
        ok(p2pbus_key_generate(path, full));
        p2pbus_unref(b);
        b = open_as(1, P2PBUS_OFF_HOST, path);
        ok(p2pbus_wait_reachable(b, PATIENCE));
        taker_start(&taker);
        send_idempotent(full, 0, 10);
        ok(p2pbus_flush(a, PATIENCE));
        ask(10, 5);
        n_open = count_of(SEALED_OPEN);
        ck_assert_uint_eq(count_of(SEALED_NACK), 0);

        set_mischief(MISCHIEF_SWALLOW);
        send_idempotent(full, 15, 10);
        taker_stop(&taker);
        ck_assert_uint_eq(taker.n, 15);
        p2pbus_unref(b);
        tell_middle('p'); /* all that b has said is gone */
        b = open_as(1, P2PBUS_OFF_HOST, path);
        ok(p2pbus_wait_reachable(b, PATIENCE));
        set_mischief(MISCHIEF_NONE);
        ck_assert_int_eq(pthread_create(&taker.thread, NULL, take_in_order, &taker), 0);
        send_idempotent(full, 25, 10);
        ok(p2pbus_flush(a, 2 * PATIENCE));
        ck_assert_uint_ge(count_of(SEALED_NACK), 1);
        ck_assert_uint_gt(count_of(SEALED_OPEN), n_open);
        ok(p2pbus_get_counters(a, &counters));
        ck_assert_uint_eq(counters.delivered, counters.sent);
        taker_stop(&taker);
        ck_assert_uint_eq(taker.n, 35);
}
END_TEST

/* b's bus is another one from now on, as it is for a container that goes to another host. */
static void b_moves_to(unsigned i) {
        ok(bus_enter(b));
        (void)snprintf(b->path, sizeof(b->path), "%s", middle.ends[i].d.socket);
        attachment_lost(b, P2PBUS_REASON_LOST);
        ok(bus_leave(b, 0));
}

/* Goes on asking until a talks with b by @path. Return: the next number. */
static unsigned ask_until(unsigned n, int path) {
        p2pbus_peer_info info = { .struct_size = sizeof(info) };

        do {
                ask(n, 50);
                n += 50;
                ok(p2pbus_get_peer(a, p2pbus_get_full(b), &info));
        } while (info.path != path);
        return n;
}

/* The same two processes, on two hosts, on one, and on two again; streams are under way all along. */
START_TEST(who_comes_to_this_host_and_leaves_loses_nothing) {
        p2pbus_counters counters = { .struct_size = sizeof(counters) };
        unsigned n;
        Taker taker;

        taker_start(&taker);
        taker.moves = true;
        n = ask_until(0, P2PBUS_PATH_OFF_HOST);
        for (unsigned i = 0; i < 3; i++) {
                send_numbers(n, 300);
                b_moves_to(0);
                send_numbers(n + 300, 300);
                n = ask_until(n + 600, P2PBUS_PATH_RING);
                send_numbers(n, 300);
                b_moves_to(1);
                send_numbers(n + 300, 300);
                n = ask_until(n + 600, P2PBUS_PATH_OFF_HOST);
        }
        ok(p2pbus_flush(a, PATIENCE));
        ok(p2pbus_get_counters(a, &counters));
        ck_assert_uint_eq(counters.delivered, counters.sent);
        taker_stop(&taker);
        ck_assert_uint_eq(taker.n, n);
}
END_TEST

/* Packets of b that come late, to the host where b is now, are no false ones of the gateway's. */
START_TEST(what_comes_late_of_somebody_who_is_here_now_ends_nothing) {
        p2pbus_counters counters = { .struct_size = sizeof(counters) };
        Taker taker;

        taker_start(&taker);
        taker.moves = true;
        set_mischief(MISCHIEF_REMEMBER);
        ask(0, 20);
        set_mischief(MISCHIEF_NONE);
        b_moves_to(0);
        ask(20, 1);
        send_numbers(21, 20); /* not so many that they get a ring */
        tell_middle('r');
        send_numbers(41, 10);
        ok(p2pbus_flush(a, PATIENCE));
        ok(p2pbus_get_counters(a, &counters));
        ck_assert_uint_eq(counters.delivered, counters.sent);
        taker_stop(&taker);
        ck_assert_uint_eq(taker.n, 51);
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

/* --- with whom policy lets one talk --- */

/* Its library has heard of it when this returns. */
static void set_policy(unsigned i, p2pbus *bus, const char *text) {
        daemon_rule(&middle.ends[i].d, "50-test.policy", text);
        ok(p2pbus_reload(bus, PATIENCE));
}

static void expect_denied(p2pbus *bus, const char *to) {
        p2pbus_message *m = numbered(0);

        ck_assert_int_eq(p2pbus_send_wait(bus, to, m, PATIENCE), -EACCES);
        ck_assert_int_eq(p2pbus_get_reason(), P2PBUS_REASON_DENIED);
        p2pbus_message_unref(m);
}

/* A process that is there, and answers each request. */
typedef struct Server {
        p2pbus *bus;
        pthread_t thread;
        int is_over; /* atomic */
} Server;

static void *serve(void *userdata) {
        Server *server = userdata;
        p2pbus_message *m, *reply;

        while (!__atomic_load_n(&server->is_over, __ATOMIC_RELAXED)) {
                if (p2pbus_receive(server->bus, 10000, &m) < 0)
                        continue;
                reply = numbered(0);
                if (p2pbus_message_get_kind(m) == P2PBUS_KIND_REQUEST)
                        ok(p2pbus_reply(server->bus, m, reply));
                p2pbus_done(m);
                p2pbus_message_unref(reply);
                p2pbus_message_unref(m);
        }
        return NULL;
}

static void server_start(Server *server, p2pbus *bus) {
        *server = (Server){ .bus = bus };
        ck_assert_int_eq(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void server_stop(Server *server) {
        __atomic_store_n(&server->is_over, 1, __ATOMIC_RELAXED);
        ck_assert_int_eq(pthread_join(server->thread, NULL), 0);
}

static void ask_and_be_answered(p2pbus *from, p2pbus *to) {
        p2pbus_message *m = numbered(0), *reply;
        Server server;

        server_start(&server, to);
        ok(p2pbus_request(from, p2pbus_get_full(to), m, PATIENCE, &reply));
        server_stop(&server);
        p2pbus_message_unref(m);
        p2pbus_message_unref(reply);
}

/* @to is there, and refuses. */
static void be_refused(p2pbus *from, p2pbus *to) {
        Server server;

        server_start(&server, to);
        expect_denied(from, p2pbus_get_full(to));
        server_stop(&server);
}

START_TEST(who_may_not_be_sent_to_gets_nothing_but_answers) {
        unsigned n = __atomic_load_n(&middle.n_sealed, __ATOMIC_RELAXED);

        set_policy(0, a, "[Network]\nSend=none\nSend=pinned name:com.example.*\n");
        expect_denied(a, p2pbus_get_full(b));
        ck_assert_ptr_nonnull(strstr(p2pbus_get_explanation(), "[Network] Send="));
        expect_denied(a, p2pbus_get_pid(b)); /* nor is it pinned by being asked for */
        expect_denied(a, p2pbus_get_pid(b));
        ck_assert_uint_eq(__atomic_load_n(&middle.n_sealed, __ATOMIC_RELAXED), n);

        ask_and_be_answered(b, a);
        expect_denied(a, p2pbus_get_full(b));
        set_policy(0, a, NULL);
        ask_and_be_answered(a, b);
}
END_TEST

/* As an error that was said of a path of before, and is late. */
START_TEST(what_is_said_of_another_packet_ends_no_first_contact) {
        set_mischief(MISCHIEF_ACCUSE);
        ask_and_be_answered(a, b);
}
END_TEST

START_TEST(who_is_not_to_be_heard_is_told) {
        p2pbus *other = open_at(0, P2PBUS_OFF_HOST);
        char text[256];

        (void)snprintf(text, sizeof(text), "[Network]\nReceiveFrom=none\nReceiveFrom=key:%s\n",
                       p2pbus_get_full(a));
        set_policy(1, b, text);
        ok(p2pbus_wait_reachable(other, PATIENCE));
        be_refused(other, b);
        ask_and_be_answered(a, b);
        /* Whom one may send to may answer, and no more. */
        ask_and_be_answered(b, other);
        be_refused(other, b);
        p2pbus_unref(other);
}
END_TEST

START_TEST(a_new_policy_ends_a_conversation) {
        ask_and_be_answered(a, b);
        ask_and_be_answered(a, b);
        set_policy(1, b, "[Network]\nReceiveFrom=none\nSend=none\nSend=name:com.example.*\n");
        be_refused(a, b);
}
END_TEST

/* Topics */

/* @timeout_usec: the library's. */
static int try_publish(const char *topic, unsigned i, uint64_t timeout_usec) {
        char text[64];
        p2pbus_message *m;
        int r;

        (void)snprintf(text, sizeof(text), "%u " SECRET, i);
        ok(p2pbus_message_new(&m, text, strlen(text)));
        r = p2pbus_publish(a, topic, m, 0, timeout_usec);
        p2pbus_message_unref(m);
        return r;
}

/* And it is on its way, unless there is none. */
static void publish_number(const char *topic, unsigned i) {
        ok(try_publish(topic, i, PATIENCE));
        ok(p2pbus_hand_over(a, PATIENCE));
}

/* The number in the next message that @to gets, which a has published on @topic; -1: none in @timeout. */
static int take_number_at(p2pbus *to, const char *topic, uint64_t timeout_usec,
                          uint64_t *ret_lost) {
        p2pbus_message *m;
        int r, number;

        r = p2pbus_receive(to, timeout_usec, &m);
        if (r == -EAGAIN)
                return -1;
        ok(r);
        ck_assert_str_eq(p2pbus_message_get_topic(m), topic);
        ck_assert_str_eq(p2pbus_message_get_from(m), p2pbus_get_full(a));
        ck_assert_int_eq(p2pbus_message_is_remote(m), 1);
        ck_assert(p2pbus_message_get_size(m) > strlen(SECRET));
        *ret_lost = p2pbus_message_get_lost(m);
        number = (int)strtol(p2pbus_message_get_payload(m), NULL, 10);
        p2pbus_message_unref(m);
        return number;
}

static int take_number(const char *topic, uint64_t timeout_usec, uint64_t *ret_lost) {
        return take_number_at(b, topic, timeout_usec, ret_lost);
}

/* b wants @pattern, and what a publishes on @topic gets there: 0 has, but nothing else. */
static void subscribe_and_wait(const char *pattern, const char *topic) {
        int number = -1;
        uint64_t lost;

        ok(p2pbus_subscribe(b, pattern, 0, PATIENCE));
        while (number < 0) {
                publish_number(topic, 0);
                number = take_number(topic, SECOND / 100, &lost);
        }
        publish_number(topic, 1);
        while (number < 1)
                number = take_number(topic, PATIENCE, &lost);
        ck_assert_int_eq(number, 1);
}

START_TEST(what_is_published_comes_sealed_and_in_order) {
        uint64_t lost;

        subscribe_and_wait("weather.*", "weather.paris");
        for (unsigned i = 2; i < 300; i++)
                publish_number("weather.paris", i);
        for (int i = 2; i < 300; i++) {
                ck_assert_int_eq(take_number("weather.paris", PATIENCE, &lost), i);
                ck_assert_uint_eq(lost, 0);
        }
        ck_assert_uint_ge(count_of(SEALED_DATA), 290); /* with keys in common */

        /* Nobody wants it any more: what is next is on another topic. */
        ok(p2pbus_unsubscribe(b, "weather.*", PATIENCE));
        publish_number("weather.paris", 300);
        subscribe_and_wait("other", "other");
}
END_TEST

START_TEST(what_is_lost_on_the_way_is_counted) {
        unsigned n_sealed;
        uint64_t lost;

        subscribe_and_wait("weather", "weather");
        while (count_of(SEALED_ACCEPT) == 0)
                (void)sched_yield();
        n_sealed = __atomic_load_n(&middle.n_sealed, __ATOMIC_RELAXED);
        set_mischief(MISCHIEF_SWALLOW);
        for (unsigned i = 2; i < 9; i++)
                publish_number("weather", i);
        while (__atomic_load_n(&middle.n_sealed, __ATOMIC_RELAXED) < n_sealed + 7)
                (void)sched_yield();
        set_mischief(MISCHIEF_NONE);
        publish_number("weather", 9);
        ck_assert_int_eq(take_number("weather", PATIENCE, &lost), 9);
        ck_assert_uint_eq(lost, 7);
}
END_TEST

START_TEST(what_is_doubled_or_late_comes_once_or_is_lost) {
        uint64_t lost;
        int last = 1;

        subscribe_and_wait("weather", "weather");
        set_mischief(MISCHIEF_SHUFFLE);
        for (unsigned i = 2; i < 300; i++)
                publish_number("weather", i);
        set_mischief(MISCHIEF_NONE);
        publish_number("weather", 300);
        while (last < 300) {
                int number = take_number("weather", PATIENCE, &lost);

                ck_assert_int_eq(number, last + 1 + (int)lost);
                last = number;
        }
}
END_TEST

START_TEST(what_b_did_not_subscribe_to_it_does_not_get) {
        p2pbus_counters before = { .struct_size = sizeof(before) }, after = before;
        uint64_t lost;

        __atomic_store_n(&middle.lies, true, __ATOMIC_RELAXED);
        subscribe_and_wait("weather", "weather");
        ok(p2pbus_get_counters(b, &before));
        publish_number("not.weather", 2);
        publish_number("weather", 3);
        ck_assert_int_eq(take_number("weather", PATIENCE, &lost), 3);
        ok(p2pbus_get_counters(b, &after));
        ck_assert_uint_gt(after.bad_packets, before.bad_packets);
        __atomic_store_n(&middle.lies, false, __ATOMIC_RELAXED);
}
END_TEST

START_TEST(who_may_not_be_sent_to_is_not_published_to) {
        uint64_t lost;

        subscribe_and_wait("weather", "weather");
        set_policy(0, a, "[Network]\nSend=none\n");
        publish_number("weather", 2);
        publish_number("weather", 3);
        set_policy(0, a, NULL);
        publish_number("weather", 4);
        ck_assert_int_eq(take_number("weather", PATIENCE, &lost), 4);
        ck_assert_uint_eq(lost, 2);
}
END_TEST

START_TEST(a_reader_that_does_nothing_holds_up_nobody) {
        p2pbus *idle = open_at(1, P2PBUS_OFF_HOST);
        int number, last = -1;
        uint64_t lost;

        ok(p2pbus_wait_reachable(idle, PATIENCE));
        ok(p2pbus_subscribe(idle, "weather", 0, PATIENCE));
        subscribe_and_wait("weather", "weather");
        for (unsigned i = 2; i < 300; i++)
                ok(try_publish("weather", i, PATIENCE));
        for (int i = 2; i < 300; i++) {
                ck_assert_int_eq(take_number("weather", PATIENCE, &lost), i);
                ck_assert_uint_eq(lost, 0);
        }
        /* It has no keys in common with a, for which most of its messages wait at a. */
        ck_assert_uint_lt(count_of(SEALED_ONE) + count_of(SEALED_OPEN), 298);

        while (last < 299) {
                ok(p2pbus_process(a));
                number = take_number_at(idle, "weather", SECOND / 1000, &lost);
                if (number < 2)
                        continue;
                if (last >= 0)
                        ck_assert_int_eq(number, last + 1 + (int)lost);
                last = number;
        }
        p2pbus_unref(idle);
}
END_TEST

START_TEST(more_topics_than_are_remembered_lose_nothing) {
        char topic[32];
        uint64_t lost;
        int r;

        subscribe_and_wait("*", "weather");
        for (unsigned i = 2; i < 1000; i++) {
                (void)snprintf(topic, sizeof(topic), "t%u", i);
                /* Whose answers are to come; then it waits for these, and for nobody else. */
                while ((r = try_publish(topic, i, 0)) == -EAGAIN)
                        ok(p2pbus_wait(a, PATIENCE));
                ok(r);
        }
        ok(p2pbus_hand_over(a, PATIENCE));
        for (int i = 2; i < 1000; i++) {
                (void)snprintf(topic, sizeof(topic), "t%d", i);
                ck_assert_int_eq(take_number(topic, PATIENCE, &lost), i);
                ck_assert_uint_eq(lost, 0);
        }
        publish_number("weather", 1000); /* forgotten since */
        ck_assert_int_eq(take_number("weather", PATIENCE, &lost), 1000);
        ck_assert_uint_eq(lost, 0);
}
END_TEST

/* The daemon tells a no more who reads @topic. */
static void withdraw(const char *topic) {
        uint8_t body[1 + TOPIC_SIZE_MAX];
        const Control word = {
                .verb = CONTROL_READERS,
                .code = CODE_GONE,
                .body = body,
                .n_body = 1 + strlen(topic),
        };

        body[0] = (uint8_t)strlen(topic);
        memcpy(body + 1, topic, strlen(topic));
        pthread_mutex_lock(&a->lock);
        topic_remote_on_readers(a, &word);
        pthread_mutex_unlock(&a->lock);
}

START_TEST(what_waits_when_a_topic_is_withdrawn_is_not_lost) {
        uint64_t lost;

        subscribe_and_wait("*", "weather");
        withdraw("weather");
        publish_number("weather", 2);
        ok(try_publish("fresh", 3, 0)); /* the answer is to come */
        withdraw("fresh");
        ok(try_publish("fresh", 4, 0));
        ok(p2pbus_hand_over(a, PATIENCE));
        ck_assert_int_eq(take_number("weather", PATIENCE, &lost), 2);
        ck_assert_uint_eq(lost, 0);
        ck_assert_int_eq(take_number("fresh", PATIENCE, &lost), 3);
        ck_assert_uint_eq(lost, 0);
        ck_assert_int_eq(take_number("fresh", PATIENCE, &lost), 4);
        ck_assert_uint_eq(lost, 0);
}
END_TEST

START_TEST(what_waits_when_the_bus_goes_away_is_counted) {
        uint64_t lost;

        subscribe_and_wait("*", "weather");
        for (unsigned i = 2; i < 5; i++)
                ok(try_publish("fresh", i, 0)); /* the answer is to come */
        pthread_mutex_lock(&a->lock);
        topic_remote_forget(a); /* as after an attach */
        pthread_mutex_unlock(&a->lock);
        publish_number("fresh", 5);
        ck_assert_int_eq(take_number("fresh", PATIENCE, &lost), 5);
        ck_assert_uint_eq(lost, 3);
}
END_TEST

START_TEST(what_policy_keeps_on_the_host_is_not_sent) {
        unsigned n_sealed;
        uint64_t lost;

        subscribe_and_wait(">", "public.weather");
        set_policy(0, a, "[Network]\nTopics=\nTopics=public.>\n");
        while (count_of(SEALED_ACCEPT) == 0)
                (void)sched_yield();
        n_sealed = __atomic_load_n(&middle.n_sealed, __ATOMIC_RELAXED);
        for (unsigned i = 2; i < 10; i++)
                publish_number("private.weather", i);
        publish_number("public.weather", 10);
        ck_assert_int_eq(take_number("public.weather", PATIENCE, &lost), 10);
        ck_assert_uint_eq(lost, 0);
        ck_assert_uint_eq(__atomic_load_n(&middle.n_sealed, __ATOMIC_RELAXED), n_sealed + 1);
        ck_assert_int_eq(p2pbus_count_readers(a, "private.weather"), 0);
        ck_assert_int_eq(p2pbus_count_readers(a, "public.weather"), 1);
        set_policy(0, a, NULL);
}
END_TEST

START_TEST(a_publisher_can_wait_for_readers) {
        uint64_t lost;

        ck_assert_int_eq(p2pbus_count_readers(a, "weather"), -EAGAIN);
        ok(try_publish("weather", 1, PATIENCE));
        ck_assert_int_eq(p2pbus_count_readers(a, "weather"), 0);
        ok(p2pbus_subscribe(b, "weather", 0, PATIENCE));
        while (p2pbus_count_readers(a, "weather") == 0)
                ok(p2pbus_wait(a, PATIENCE));
        publish_number("weather", 2);
        ck_assert_int_eq(take_number("weather", PATIENCE, &lost), 2);
        ck_assert_uint_eq(lost, 0);
        ck_assert_int_eq(p2pbus_count_readers(a, "p2pbus.process.here"), 0);
        ck_assert_int_eq(p2pbus_count_readers(a, "*"), -EINVAL);
}
END_TEST

START_TEST(who_subscribes_hears_that_others_have_no_room) {
        p2pbus_counters counters = { .struct_size = sizeof(counters) };

        __atomic_store_n(&middle.refuses, true, __ATOMIC_RELAXED);
        ok(p2pbus_subscribe(b, "weather", 0, PATIENCE));
        while (counters.subscriptions_refused == 0) {
                ok(p2pbus_wait(b, PATIENCE));
                ok(p2pbus_get_counters(b, &counters));
        }
        ck_assert_uint_eq(counters.subscriptions_refused, 1);
        /* A program of before that was counted. */
        counters.struct_size = offsetof(p2pbus_counters, subscriptions_refused);
        counters.subscriptions_refused = 77;
        ok(p2pbus_get_counters(b, &counters));
        ck_assert_uint_eq(counters.subscriptions_refused, 77);
        counters.struct_size--;
        ck_assert_int_eq(p2pbus_get_counters(b, &counters), -EINVAL);
        __atomic_store_n(&middle.refuses, false, __ATOMIC_RELAXED);
}
END_TEST

START_TEST(a_publisher_that_is_here_is_heard_here) {
        p2pbus *near = open_at(1, P2PBUS_OFF_HOST), *back = a;
        p2pbus_message *m;

        subscribe_and_wait("weather", "weather");
        a = near;
        publish_number("weather", 2);
        ok(p2pbus_receive(b, PATIENCE, &m));
        ck_assert_int_eq(p2pbus_message_is_remote(m), 0);
        ck_assert_str_eq(p2pbus_message_get_from(m), p2pbus_get_full(near));
        p2pbus_message_unref(m);
        a = back;
        p2pbus_unref(near);
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
        tcase_add_test(tcase, keys_are_made_with_the_first_packets_and_serve_all_others);
        tcase_add_test(tcase, what_is_said_again_is_not_delivered_again);
        tcase_add_test(tcase, false_nacks_end_nothing);
        tcase_add_test(tcase, an_old_nack_ends_nothing_and_one_of_now_an_epoch);
        tcase_add_test(tcase, false_data_takes_time_and_nothing_else);
        tcase_add_test(tcase, a_stranger_that_floods_leaves_room_for_others);
        tcase_add_loop_test(tcase, keys_are_changed_under_load_and_nothing_is_lost, 0,
                            ELEMENTSOF(wears));
        tcase_add_test(tcase, what_others_seal_for_changes_under_load_and_nothing_is_lost);
        tcase_add_test(tcase, a_lease_that_has_ended_stops_nothing);
        tcase_add_test(tcase, a_receiver_that_is_restarted_gets_what_the_last_one_did_not);
        tcase_add_test(tcase, who_comes_to_this_host_and_leaves_loses_nothing);
        tcase_add_test(tcase, what_comes_late_of_somebody_who_is_here_now_ends_nothing);
        tcase_add_test(tcase, nobody_anywhere_is_said_at_once);
        tcase_add_test(tcase, without_off_host_nothing_leaves);
        tcase_add_test(tcase, who_may_not_be_sent_to_gets_nothing_but_answers);
        tcase_add_test(tcase, what_is_said_of_another_packet_ends_no_first_contact);
        tcase_add_test(tcase, who_is_not_to_be_heard_is_told);
        tcase_add_test(tcase, a_new_policy_ends_a_conversation);
        suite_add_tcase(suite, tcase);
        tcase = tcase_create("topics");
        tcase_add_checked_fixture(tcase, start, stop);
        tcase_add_test(tcase, what_is_published_comes_sealed_and_in_order);
        tcase_add_test(tcase, what_is_lost_on_the_way_is_counted);
        tcase_add_test(tcase, what_is_doubled_or_late_comes_once_or_is_lost);
        tcase_add_test(tcase, what_b_did_not_subscribe_to_it_does_not_get);
        tcase_add_test(tcase, who_may_not_be_sent_to_is_not_published_to);
        tcase_add_test(tcase, a_reader_that_does_nothing_holds_up_nobody);
        tcase_add_test(tcase, more_topics_than_are_remembered_lose_nothing);
        tcase_add_test(tcase, what_waits_when_a_topic_is_withdrawn_is_not_lost);
        tcase_add_test(tcase, what_waits_when_the_bus_goes_away_is_counted);
        tcase_add_test(tcase, what_policy_keeps_on_the_host_is_not_sent);
        tcase_add_test(tcase, a_publisher_can_wait_for_readers);
        tcase_add_test(tcase, who_subscribes_hears_that_others_have_no_room);
        tcase_add_test(tcase, a_publisher_that_is_here_is_heard_here);
        suite_add_tcase(suite, tcase);
        return suite;
}
