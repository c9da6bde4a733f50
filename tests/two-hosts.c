/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "tests/two-hosts.h"

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "libclient/peer.h"
#include "libsecure/epoch.h"
#include "libsecure/signed-record.h"
#include "tests/api.h"
#include "tests/main.h"

Middle middle;
p2pbus *a, *b, *home;
char key_of_b[128];

static bool is_cut(void) {
        return __atomic_load_n(&middle.mischief, __ATOMIC_RELAXED) == MISCHIEF_CUT;
}

static uint64_t draw(uint64_t below) {
        middle.seed = middle.seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        return (middle.seed >> 33) % below;
}

/* The one in the middle: runs in a thread of its own until stopped */

static void say(End *end, const Control *control) {
        ck_assert_int_eq(connection_queue_control(end->c, control, NULL), 0);
}

static void say_with_id(End *end, const Control *control, const PacketId *id) {
        ck_assert_int_eq(connection_queue_control(end->c, control, id), 0);
}

static void pass(End *to, const uint8_t *packet, size_t n) {
        uint8_t *out;

        ck_assert_int_eq(connection_queue(to->c, n, &out), 0);
        memcpy(out, packet, n);
        packet_set_hop_fields(out, 0, 3);
}

/* To the sender of @packet: that it met nobody, or, if @lies, that another did not, which was not sent. */
static void deny(End *to, const uint8_t *packet, bool lies) {
        End *from = &middle.ends[to == &middle.ends[0] ? 1 : 0];
        Control error = { .verb = CONTROL_ERROR, .code = CODE_NOT_HERE };
        static const PacketId none;
        PacketHeader header;
        uint8_t *out;

        ck_assert_int_eq(packet_header_decode(packet, PACKET_HEADER_SIZE, &header), 0);
        error.address = header.dst;
        error.ref = header.id;
        if (lies)
                error.ref.bytes[PACKET_ID_SIZE - 1] ^= 0x80;
        ck_assert_int_eq(connection_queue(from->c, control_packet_size(&error), &out), 0);
        control_packet_encode(&error, identity_hash(from->key)->address, header.src, &none, out);
}

static void swallow(const End *to, const uint8_t *packet) {
        unsigned n = middle.n_swallowed;

        if (to != &middle.ends[1] || n == SWALLOWED_MAX)
                return;
        memcpy(middle.swallowed[n], packet, PACKET_HEADER_SIZE);
        __atomic_store_n(&middle.n_swallowed, n + 1, __ATOMIC_RELEASE);
}

/* Padmé: of the bits behind the first there are no more than it takes to write how many those are. */
static bool is_even(size_t n_content) {
        unsigned exponent = 31 - (unsigned)__builtin_clz((unsigned)n_content);
        unsigned n_bits = 32 - (unsigned)__builtin_clz(exponent);

        return n_content == SEAL_CONTENT_MAX || n_content % (1U << (exponent - n_bits)) == 0;
}

static void pass_sealed(End *to, const uint8_t *packet, size_t n) {
        /* Before it is counted: who waits for that may choose another. */
        Mischief mischief = (Mischief)__atomic_load_n(&middle.mischief, __ATOMIC_ACQUIRE);
        uint8_t false_packet[FRAME_SIZE_MAX];

        __atomic_fetch_add(&middle.n_sealed, 1, __ATOMIC_RELEASE);
        __atomic_fetch_add(&middle.n_of[packet[PACKET_HEADER_SIZE] % ELEMENTSOF(middle.n_of)], 1,
                           __ATOMIC_RELAXED);
        if (to == &middle.ends[1] && packet[PACKET_HEADER_SIZE] == SEALED_DATA)
                memcpy(middle.last_data, packet, sizeof(middle.last_data));
        if (packet[PACKET_HEADER_SIZE] == SEALED_DATA &&
            !is_even(n - PACKET_HEADER_SIZE - EPOCH_DATA_OVERHEAD))
                __atomic_fetch_add(&middle.n_uneven[to == &middle.ends[1]], 1, __ATOMIC_RELAXED);
        switch (mischief) {
        case MISCHIEF_LOSE:
                if (draw(8) > 0)
                        pass(to, packet, n);
                return;
        case MISCHIEF_CUT:
                deny(to, packet, false);
                return;
        case MISCHIEF_SWALLOW:
                swallow(to, packet);
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
                deny(to, packet, true);
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

/* As if b had signed that it can be sealed for with no key at all. */
static void spoil_lease(uint8_t bytes[static CONTROL_LEASE_SIZE]) {
        SignedRecord lease;
        size_t n;

        ck_assert_int_eq(signed_record_decode(bytes, CONTROL_LEASE_SIZE, &lease), 0);
        memset(lease.lease.encpk, 0, sizeof(lease.lease.encpk));
        ck_assert_int_eq(signed_record_sign(&lease, b->identity, bytes, CONTROL_LEASE_SIZE, &n), 0);
}

static void on_resolve(End *end, End *other, const PacketHeader *header, const Control *control) {
        Control answer = {
                .verb = CONTROL_RESOLVED,
                .code = CODE_NOT_HERE,
                .ref = header->id,
                .address = control->address,
        };

        for (unsigned i = 0; i < other->n_leases && !is_cut(); i++)
                if (other->leases[i].address.pid == control->address.pid) {
                        answer.code = CODE_OK;
                        if (__atomic_load_n(&middle.spoils, __ATOMIC_RELAXED))
                                spoil_lease(other->leases[i].bytes);
                        answer.body = other->leases[i].bytes;
                        answer.n_body = CONTROL_LEASE_SIZE;
                }
        say(end, &answer);
}

static bool is_of(const uint8_t *record, size_t n, const uint8_t *name, size_t n_name) {
        ServiceRecord said;

        ck_assert_int_eq(service_record_decode_whole(record, n, &said), 0);
        return said.service.service.name.size == n_name &&
               memcmp(said.service.service.name.data, name, n_name) == 0;
}

/* One end has one process with names. */
static void on_service(End *end, const Control *control) {
        unsigned n = end->n_services;
        ServiceRecord said;

        ck_assert_int_eq(service_record_decode_whole(control->body, control->n_body, &said), 0);
        for (unsigned i = 0; i < n; i++)
                if (is_of(end->services[i].bytes, end->services[i].n,
                          said.service.service.name.data, said.service.service.name.size))
                        n = i;
        ck_assert_uint_lt(n, SERVICES_MAX);
        memcpy(end->services[n].bytes, control->body, control->n_body);
        end->services[n].n = control->n_body;
        if (n == end->n_services)
                __atomic_store_n(&end->n_services, n + 1, __ATOMIC_RELEASE);
}

static void on_resolve_name(End *end, const End *other, const PacketHeader *header,
                            const Control *control) {
        Control answer = { .verb = CONTROL_SERVICES, .code = CODE_NO_PROVIDER, .ref = header->id };

        if (__atomic_load_n(&middle.settles, __ATOMIC_ACQUIRE)) {
                answer.code = CODE_SETTLING;
                __atomic_fetch_add(&middle.n_named, 1, __ATOMIC_RELEASE);
        }
        for (unsigned i = 0; i < other->n_services && !is_cut() && answer.code != CODE_SETTLING; i++)
                if (is_of(other->services[i].bytes, other->services[i].n, control->body,
                          control->n_body)) {
                        answer.code = CODE_OK;
                        answer.body = other->services[i].bytes;
                        answer.n_body = other->services[i].n;
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

/* Who has left wants nothing. */
static void pass_detached(const End *from, End *to, Address address) {
        Control word = { .verb = CONTROL_WANTED, .value = WANTED_END, .address = address };
        SignedRecord lease;

        for (unsigned i = 0; i < from->n_leases; i++)
                if (address_equal(from->leases[i].address, address)) {
                        ck_assert_int_eq(signed_record_decode(from->leases[i].bytes,
                                                              CONTROL_LEASE_SIZE, &lease),
                                         0);
                        word.body = lease.signer.bytes;
                        word.n_body = CONTROL_KEY_SIZE;
                        say(to, &word);
                }
}

/* The daemon at the other end is the only one behind us; it answers with the same id. */
static void pass_ping(End *from, End *to, const PacketId *id, uint32_t value) {
        const Control ping = { .verb = CONTROL_PING, .value = value };

        __atomic_fetch_add(&middle.n_pings, 1, __ATOMIC_RELEASE);
        if (is_cut())
                say(from, &(Control){ .verb = CONTROL_PONG, .ref = *id });
        else
                say_with_id(to, &ping, id);
}

static void on_packet(End *end, End *other, const PacketHeader *header, const uint8_t *packet) {
        Control control;

        if (header->kind != PACKET_CONTROL) {
                middle.saw_clear = middle.saw_clear || header->kind != PACKET_SEALED;
                middle.saw_secret =
                        middle.saw_secret || memmem(packet, header->size, SECRET, strlen(SECRET));
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
        case CONTROL_DETACHED:
                pass_detached(end, other, control.address);
                break;
        case CONTROL_PING:
                pass_ping(end, other, &header->id, control.value);
                break;
        case CONTROL_PONG:
                say(other, &control);
                break;
        case CONTROL_ERROR:
                pass_error(header, &control);
                break;
        case CONTROL_RESOLVE:
                __atomic_fetch_add(&middle.n_resolved, 1, __ATOMIC_RELAXED);
                on_resolve(end, other, header, &control);
                break;
        case CONTROL_SERVICE:
                on_service(end, &control);
                break;
        case CONTROL_RESOLVE_NAME:
                on_resolve_name(end, other, header, &control);
                break;
        default:
                break;
        }
}

static void repeat_remembered(void) {
        for (unsigned i = 0; i < middle.n_remembered; i++) {
                pass(middle.remembered[i].to, middle.remembered[i].bytes, middle.remembered[i].n);
                free(middle.remembered[i].bytes);
        }
        middle.n_remembered = 0;
}

/* What @signer says of the packet with @header, which was sent from a to b, by a clock that is ahead by
 * @offset. */
static void make_nack(const IdentityKey *signer, const uint8_t header[static PACKET_HEADER_SIZE],
                      NackCode code, uint32_t ref, int64_t offset_usec,
                      uint8_t packet[static PACKET_HEADER_SIZE + SIGNED_ANSWER_SIZE]) {
        SignedAnswer answer = { .type = SIGNED_ANSWER_NACK, .code = code, .ref = ref };
        PacketHeader of;

        ck_assert_int_eq(packet_header_decode(header, PACKET_HEADER_SIZE, &of), 0);
        answer.id = of.id;
        answer.now_usec = packet_id_sent_at(&of.id) + (uint64_t)offset_usec;
        packet_header_encode(
                &(PacketHeader){ .size = PACKET_HEADER_SIZE + SIGNED_ANSWER_SIZE,
                                 .src = of.dst,
                                 .dst = of.src,
                                 .id = packet_id_make(answer.now_usec, draw(UINT32_MAX)),
                                 .kind = PACKET_SEALED },
                packet);
        ck_assert_int_eq(signed_answer_sign(&answer, signer, of.src.pid, of.dst.pid,
                                            packet + PACKET_HEADER_SIZE),
                         0);
}

/* That b does not know the epoch: @n times; every second one spoilt, if @is_spoilt. */
static void send_nacks(const IdentityKey *signer, unsigned n, int64_t offset_usec, bool is_spoilt) {
        const uint8_t *data = middle.last_data;
        uint8_t packet[PACKET_HEADER_SIZE + SIGNED_ANSWER_SIZE];

        for (unsigned i = 0; i < n; i++) {
                make_nack(signer, data, NACK_NO_SESSION, load_le32(data + PACKET_HEADER_SIZE + 4),
                          offset_usec, packet);
                if (is_spoilt && i % 2 == 0)
                        packet[sizeof(packet) - 1] ^= 1;
                pass(&middle.ends[0], packet, sizeof(packet));
        }
}

/* In b's own words, of each packet that was swallowed. */
static void refuse_swallowed(NackCode code) {
        unsigned n = middle.n_swallowed;

        for (unsigned i = 0; i < n; i++) {
                uint8_t *packet = middle.nacks[i];

                make_nack(b->identity, middle.swallowed[i], code, 0, 0, packet);
                pass(&middle.ends[0], packet, sizeof(middle.nacks[i]));
        }
        middle.n_nacks = n;
        __atomic_store_n(&middle.n_swallowed, 0, __ATOMIC_RELEASE);
}

static void repeat_nacks(void) {
        for (unsigned i = 0; i < middle.n_nacks; i++)
                pass(&middle.ends[0], middle.nacks[i], sizeof(middle.nacks[i]));
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
                        if (c == 'y')
                                refuse_swallowed(NACK_STALE);
                        if (c == 'x')
                                refuse_swallowed(NACK_REFUSED);
                        if (c == 'k')
                                repeat_nacks();
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

p2pbus *open_as(unsigned i, uint32_t flags, const char *key_file) {
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

p2pbus *open_at(unsigned i, uint32_t flags) {
        return open_as(i, flags, NULL);
}

/* Has the one in the middle do something, and waits until its packets are on their way. */
void tell_middle(char what) {
        unsigned n = __atomic_load_n(&middle.n_done, __ATOMIC_ACQUIRE);

        ck_assert_int_eq(write(middle.stop[1], &what, 1), 1);
        while (__atomic_load_n(&middle.n_done, __ATOMIC_ACQUIRE) == n)
                (void)sched_yield();
}

unsigned count_swallowed(void) {
        return __atomic_load_n(&middle.n_swallowed, __ATOMIC_ACQUIRE);
}

unsigned count_of(SealedType type) {
        return __atomic_load_n(&middle.n_of[type], __ATOMIC_RELAXED);
}

void two_hosts_start(void) {
        middle.seed = 20261121;
        ck_assert_int_eq(pipe(middle.stop), 0);
        for (unsigned i = 0; i < 2; i++) {
                End *end = &middle.ends[i];

                daemon_start(&end->d, "--user", "[Names]\nTrustNames=any\n");
                ck_assert_int_eq(identity_new_random(&end->key), 0);
                ck_assert_int_eq(
                        connection_new(&end->c, &(ConnectionOptions){ .path = end->d.socket,
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

void keep_key_of_b(void) {
        char full[P2PBUS_FULL_SIZE];

        (void)snprintf(key_of_b, sizeof(key_of_b), "%s/key", middle.ends[1].d.folder);
        ok(p2pbus_key_generate(key_of_b, full));
        p2pbus_unref(b);
        b = open_as(1, P2PBUS_OFF_HOST, key_of_b);
        ok(p2pbus_wait_reachable(b, PATIENCE));
}

void two_hosts_start_for_names(void) {
        two_hosts_start();
        keep_key_of_b();
        home = open_at(0, 0);
}

void two_hosts_stop(void) {
        a = p2pbus_unref(a);
        b = p2pbus_unref(b);
        home = p2pbus_unref(home);
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
void wear_out(p2pbus *bus, uint64_t rekey_packets) {
        pthread_mutex_lock(&bus->lock);
        bus->sealing.epochs.rekey_packets = rekey_packets;
        bus->sealing.epochs.open_wait_usec = bus->sealing.epochs.open_wait_max_usec = 1;
        pthread_mutex_unlock(&bus->lock);
}

void set_mischief(Mischief mischief) {
        __atomic_store_n(&middle.mischief, (int)mischief, __ATOMIC_RELAXED);
}

void cut(void) {
        set_mischief(MISCHIEF_CUT);
}

void mend(void) {
        set_mischief(MISCHIEF_NONE);
        __atomic_add_fetch(&middle.generation, 1, __ATOMIC_RELEASE);
        tell_middle('.');
}

unsigned count_resolved(void) {
        return __atomic_load_n(&middle.n_resolved, __ATOMIC_RELAXED);
}

void until_said(unsigned i, p2pbus *bus, unsigned n) {
        while (__atomic_load_n(&middle.ends[i].n_services, __ATOMIC_ACQUIRE) < n) {
                ok(p2pbus_process(bus));
                (void)sched_yield();
        }
}

/* A thread that takes what b gets: "0 SECRET", "1 SECRET", ... each once, in order; it answers. */
void *take_in_order(void *userdata) {
        Taker *taker = userdata;
        p2pbus_message *m, *reply;
        char text[64];
        int r;

        while ((r = p2pbus_receive(b, P2PBUS_FOREVER, &m)) == 0) {
                int n = snprintf(text, sizeof(text), "%u " SECRET, taker->n);

                if (p2pbus_message_get_size(m) < 64) {
                        ck_assert_msg(
                                p2pbus_message_get_size(m) == (size_t)n &&
                                        memcmp(p2pbus_message_get_payload(m), text, (size_t)n) == 0,
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

void taker_start(Taker *taker) {
        *taker = (Taker){ .n = 0 };
        ck_assert_int_eq(pthread_create(&taker->thread, NULL, take_in_order, taker), 0);
}

void taker_stop(Taker *taker) {
        p2pbus_close(b);
        ck_assert_int_eq(pthread_join(taker->thread, NULL), 0);
}

void taker_stop_after(Taker *taker, unsigned n) {
        taker_stop(taker);
        ck_assert_uint_eq(taker->n, n);
}

p2pbus_message *numbered(unsigned i) {
        p2pbus_message *m;
        char text[64];
        int n = snprintf(text, sizeof(text), "%u " SECRET, i);

        ok(p2pbus_message_new(&m, text, (size_t)n));
        return m;
}

/* Each in a packet of its own, nearly. */
void send_numbers(unsigned first, unsigned n) {
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

/* @n requests, each answered before the next. */
void ask(unsigned first, unsigned n) {
        for (unsigned i = first; i < first + n; i++) {
                p2pbus_message *m = numbered(i), *reply;

                ok(p2pbus_request(a, p2pbus_get_full(b), m, PATIENCE, &reply));
                p2pbus_message_unref(m);
                p2pbus_message_unref(reply);
        }
}

unsigned taker_meet(Taker *taker) {
        wear_out(a, UINT64_MAX);
        taker_start(taker);
        ask(0, 5);
        return count_of(SEALED_OPEN);
}

/* Its library has heard of it when this returns. */
void set_policy(unsigned i, p2pbus *bus, const char *text) {
        daemon_rule(&middle.ends[i].d, "50-test.policy", text);
        ok(p2pbus_reload(bus, PATIENCE));
}

void expect_denied(p2pbus *bus, const char *to) {
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

void ask_and_be_answered(p2pbus *from, p2pbus *to) {
        p2pbus_message *m = numbered(0), *reply;
        Server server;

        server_start(&server, to);
        ok(p2pbus_request(from, p2pbus_get_full(to), m, PATIENCE, &reply));
        server_stop(&server);
        p2pbus_message_unref(m);
        p2pbus_message_unref(reply);
}

/* @to is there, and refuses. */
void be_refused(p2pbus *from, p2pbus *to) {
        Server server;

        server_start(&server, to);
        expect_denied(from, p2pbus_get_full(to));
        server_stop(&server);
}
