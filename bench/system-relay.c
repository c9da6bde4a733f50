/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbus-relay alone, between links that say what bridges say
 *
 * Each endpoint is a link as a bridge has it: a WebSocket, the handshake of libsecure with a
 * PRESENCE, the lease of one process, taken by the relay. What it sends are packets of kind SEALED
 * whose payload is the message itself: a relay cannot tell. Packets are gathered into one message
 * of the link, as a bridge does it. There is no daemon and no sealing, so that this is the relay's
 * price and nobody else's; the WebSocket is bench/websocket.c's, as for the peers.
 *
 * The keys are those of the endpoint's number, so that a configuration can admit them, and each
 * link comes from a network address of its own, as bridges do.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/system.h"
#include "bench/websocket.h"
#include "libcore/control.h"
#include "libcore/err.h"
#include "libcore/stream.h"
#include "libcore/util.h"
#include "libsecure/identity.h"
#include "libsecure/link.h"
#include "libsecure/signed-record.h"

#define URL_SCHEME "ws://"
#define TRIES_MAX 100
#define PAUSE_USEC 20000
#define SOURCE_FIRST 0x7f010000 /* 127.1.0.0, and up */

struct Endpoint {
        Connection connection;
        Link *link;
        Stream *stream;
        Address self;
        uint64_t last_id;
        uint8_t plain[CONNECTION_GATHER]; /* whole packets, one message of the link */
        size_t n_plain;
};

enum {
        KEY_BRIDGE = 1,
        KEY_PROCESS = 2,
};

static int key_of(IdentityKey **ret, unsigned number, uint8_t whose) {
        uint8_t seed[IDENTITY_SEED_SIZE] = { 'b', 'e', 'n', 'c', 'h', whose };

        store_le32(seed + 8, number);
        return identity_new_from_seed(ret, seed);
}

void system_relay_print_allow(unsigned n) {
        char text[KEY_TEXT_SIZE];

        if (crypto_init() < 0)
                return;
        for (unsigned i = 0; i < n; i++) {
                _cleanup_(identity_freep) IdentityKey *bridge = NULL;

                if (key_of(&bridge, i, KEY_BRIDGE) == 0)
                        printf("Allow=%s\n", key_format(identity_public(bridge), text));
        }
}

/* Conditions of libsecure are about what the relay sent, or about our own records. */
static int expect_success(int r) {
        return r > 0 ? err_origin(-EPROTO) : err_trace(r);
}

static int write_message(Endpoint *e, const uint8_t *plain, size_t n_plain) {
        uint8_t message[CONNECTION_GATHER + LINK_OVERHEAD];
        int r;

        r = expect_success(link_encrypt(e->link, plain, n_plain, message));
        if (r == 0)
                r = websocket_put(&e->connection, message, n_plain + LINK_OVERHEAD);
        return r < 0 ? err_trace(r) : connection_flush(&e->connection);
}

static int relay_flush(Endpoint *e) {
        size_t n = e->n_plain;

        e->n_plain = 0;
        return n > 0 ? write_message(e, e->plain, n) : 0;
}

/* The next WebSocket message. */
static int next_message(Endpoint *e, uint8_t **ret_data, size_t *ret_n, bool wait) {
        int r;

        if (wait) {
                r = relay_flush(e);
                if (r < 0)
                        return err_trace(r);
        }
        while ((r = websocket_next(&e->connection, ret_data, ret_n)) == -EAGAIN) {
                r = connection_fill(&e->connection, wait);
                if (r < 0)
                        return r;
        }
        return r;
}

static int say(Endpoint *e, const Control *control) {
        static const Address bridge = { PID_BRIDGE, 0 }, relay = { PID_RELAY, 0 };
        PacketId id = packet_id_make(now_usec(CLOCK_REALTIME), ++e->last_id);
        uint8_t packet[PACKET_HEADER_SIZE + CONTROL_HEAD_SIZE + CONTROL_LEASE_SIZE];

        control_packet_encode(control, bridge, relay, &id, packet);
        return write_message(e, packet, control_packet_size(control));
}

/*
 * What the relay said: PING is answered; a refusal of what was sent ends the measurement.
 * Return: 0 (go on), 1 (our lease was taken), -errno.
 */
static int on_control(Endpoint *e, const StreamFrame *frame, const PacketHeader *header) {
        Control pong = { .verb = CONTROL_PONG, .ref = header->id };
        Control control;

        if (control_decode(frame->data + PACKET_HEADER_SIZE, frame->size - PACKET_HEADER_SIZE,
                           &control) != 0)
                return err_origin(-EBADMSG);
        switch (control.verb) {
        case CONTROL_PING:
                return say(e, &pong);
        case CONTROL_LEASED:
                if (control.code == CODE_OK)
                        return 1;
                break;
        case CONTROL_ERROR:
        case CONTROL_UNLEASED:
        case CONTROL_GOODBYE:
                break;
        default:
                return 0;
        }
        fprintf(stderr, "relay: %s\n", control_code_text(control.code));
        return err_origin(-EPROTO);
}

/* The next packet whose payload is a message; with @data NULL, until the lease was taken. */
static int relay_read(Endpoint *e, void *data, size_t n_max, size_t *ret_n, bool wait) {
        for (;;) {
                StreamFrame frame;
                PacketHeader header;
                uint8_t *message, *room;
                size_t n, n_room;
                int r;

                while (stream_pop(e->stream, &frame) == 0) {
                        if (packet_header_decode(frame.data, frame.size, &header) != 0)
                                return err_origin(-EBADMSG);
                        if (header.kind == PACKET_CONTROL) {
                                r = on_control(e, &frame, &header);
                                if (r < 0 || (r == 1 && !data))
                                        return MIN(r, 0);
                                continue;
                        }
                        if (!data)
                                continue; /* of an earlier measurement */
                        *ret_n = MIN(frame.size - PACKET_HEADER_SIZE, n_max);
                        memcpy(data, frame.data + PACKET_HEADER_SIZE, *ret_n);
                        return 0;
                }
                r = next_message(e, &message, &n, wait);
                if (r < 0)
                        return r;
                r = stream_input(e->stream, &room, &n_room);
                if (r < 0)
                        return err_trace(r);
                if (n < LINK_OVERHEAD || n - LINK_OVERHEAD > n_room)
                        return err_origin(-EBADMSG);
                r = expect_success(link_decrypt(e->link, message, n, room));
                if (r == 0)
                        r = expect_success(stream_fed(e->stream, n - LINK_OVERHEAD, NULL, 0));
                if (r < 0)
                        return r;
        }
}

/* "ws://ADDR:PORT#KEY", as the relay says it. */
static int parse_url(const char *url, char where[static 64], KeyText *ret_key) {
        const char *hash = strchr(url, '#');
        size_t n_scheme = strlen(URL_SCHEME);

        if (strncmp(url, URL_SCHEME, n_scheme) != 0 || !hash ||
            key_text_parse(hash + 1, ret_key) != 0 || ret_key->form != KEY_FORM_FULL)
                return err_origin(-EINVAL);
        snprintf(where, 64, "%.*s", (int)(hash - url - (ptrdiff_t)n_scheme), url + n_scheme);
        return 0;
}

/* The handshake: libsecure/link.h has its steps. */
static int shake(Endpoint *e, const IdentityKey *bridge, const PublicKey *relay) {
        uint64_t now = now_usec(CLOCK_REALTIME);
        SignedRecord presence = {
                .type = SIGNED_RECORD_PRESENCE,
                .issued_usec = now,
                .not_after_usec = now + SIGNED_RECORD_PRESENCE_LIFE_USEC,
        };
        LinkOptions options = {
                .initiator = true,
                .initiator_role = LINK_ROLE_BRIDGE,
                .identity = bridge,
                .pinned = relay,
        };
        uint8_t record[SIGNED_RECORD_SIZE_MAX], message[LINK_HANDSHAKE_MAX], *answer;
        _cleanup_(encryption_key_freep) EncryptionKey *key = NULL;
        size_t n;
        int r;

        r = encryption_key_new_random(&key);
        if (r < 0)
                return err_trace(r);
        memcpy(presence.presence.encpk, encryption_key_public(key), CRYPTO_DH_SIZE);
        r = expect_success(signed_record_sign(&presence, bridge, record, sizeof(record), &n));
        if (r < 0)
                return r;
        options.key = key;
        options.record = (Slice){ record, n };
        r = link_new(&e->link, &options);
        if (r < 0)
                return err_trace(r);
        while (link_state(e->link) != LINK_UP) {
                if (link_state(e->link) == LINK_RECEIVING) {
                        r = next_message(e, &answer, &n, true);
                        if (r == 0)
                                r = expect_success(link_consume(e->link, answer, n, now));
                        if (r < 0)
                                return r;
                }
                r = expect_success(link_create(e->link, message, sizeof(message), &n));
                if (r == 0)
                        r = websocket_put(&e->connection, message, n);
                if (r == 0)
                        r = connection_flush(&e->connection);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The lease of one process, taken by the relay. */
static int present(Endpoint *e, const IdentityKey *process, const IdentityKey *bridge) {
        uint8_t bytes[SIGNED_RECORD_LEASE_SIZE];
        Control control = { .verb = CONTROL_LEASE, .body = bytes, .n_body = sizeof(bytes) };
        uint64_t now = now_usec(CLOCK_REALTIME);
        SignedRecord lease = {
                .type = SIGNED_RECORD_LEASE,
                .issued_usec = now,
                .not_after_usec = now + SIGNED_RECORD_LEASE_LIFE_USEC,
                .lease.encpk = { 9 }, /* any point: nobody seals for it */
                .lease.enc_until_usec = now + SIGNED_RECORD_LEASE_LIFE_USEC,
                .lease.bridge = *identity_public(bridge),
        };
        size_t n;
        int r;

        e->self = identity_hash(process)->address;
        r = expect_success(signed_record_sign(&lease, process, bytes, sizeof(bytes), &n));
        if (r == 0)
                r = say(e, &control);
        return r < 0 ? r : relay_read(e, NULL, 0, NULL, true);
}

static int try_open(Endpoint **ret, const char *path, unsigned number,
                    char address[static SYSTEM_ADDRESS_SIZE]) {
        _cleanup_(identity_freep) IdentityKey *bridge = NULL, *process = NULL;
        Endpoint *e = calloc(1, sizeof(*e));
        char where[64];
        KeyText relay;
        int r;

        if (!e)
                return err_origin(-ENOMEM);
        r = crypto_init();
        if (r == 0)
                r = stream_new(&e->stream);
        if (r == 0)
                r = expect_success(key_of(&bridge, number, KEY_BRIDGE));
        if (r == 0)
                r = expect_success(key_of(&process, number, KEY_PROCESS));
        if (r == 0)
                r = parse_url(path, where, &relay);
        if (r == 0)
                r = connection_open(&e->connection, where, SOURCE_FIRST + 1 + number);
        if (r == 0)
                r = websocket_upgrade(&e->connection, "p2pbus.v1");
        if (r == 0)
                r = shake(e, bridge, &relay.key);
        if (r == 0)
                r = present(e, process, bridge);
        if (r < 0)
                return err_trace(r);
        (void)address_format(e->self, address);
        *ret = e;
        return 0;
}

/* The relay closes connections that come too fast; as a bridge does, we come again. */
static int relay_open(Endpoint **ret, const char *path, unsigned number,
                      char address[static SYSTEM_ADDRESS_SIZE]) {
        int r;

        for (unsigned i = 0; i < TRIES_MAX; i++) {
                r = try_open(ret, path, number, address);
                if (r != -ECONNRESET && r != -EPIPE)
                        break;
                (void)usleep(PAUSE_USEC);
        }
        return r;
}

static void relay_close(Endpoint *e) {
        connection_close(&e->connection);
        link_free(e->link);
        stream_free(e->stream);
        free(e);
}

static int relay_send(Endpoint *e, const char *address, const void *data, size_t n_data) {
        PacketHeader header = {
                .size = (uint32_t)(PACKET_HEADER_SIZE + n_data),
                .src = e->self,
                .id = packet_id_make(now_usec(CLOCK_REALTIME), ++e->last_id),
                .kind = PACKET_SEALED,
        };
        int r;

        if (header.size > sizeof(e->plain))
                return err_origin(-EMSGSIZE);
        if (address_parse(address, &header.dst) != 0)
                return err_origin(-EINVAL);
        if (e->n_plain + header.size > sizeof(e->plain)) {
                r = relay_flush(e);
                if (r < 0)
                        return err_trace(r);
        }
        packet_header_encode(&header, e->plain + e->n_plain);
        memcpy(e->plain + e->n_plain + PACKET_HEADER_SIZE, data, n_data);
        e->n_plain += header.size;
        return 0;
}

static int relay_receive(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        return relay_read(e, data, n_max, ret_n, true);
}

static int relay_poll(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        return relay_read(e, data, n_max, ret_n, false);
}

static int relay_get_fd(Endpoint *e) {
        return e->connection.fd;
}

const System system_relay = {
        .name = "p2pbus-relay",
        .open = relay_open,
        .close = relay_close,
        .send = relay_send,
        .flush = relay_flush,
        .receive = relay_receive,
        .poll = relay_poll,
        .get_fd = relay_get_fd,
        .flight_max = 2 * 1024 * 1024, /* a relay drops what is over 4 MiB for one link */
};
