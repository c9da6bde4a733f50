/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/bridge-relay.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcore/util.h"

static const TransportClass fake_class;

static FakeRelay *relay_of(Transport *transport) {
        return *(FakeRelay **)(transport + 1);
}

void relay_change_key(FakeRelay *relay) {
        relay->identity = identity_free(relay->identity);
        ck_assert_int_eq(identity_new_random(&relay->identity), 0);
}

void relay_init(FakeRelay *relay) {
        memset(relay, 0, sizeof(*relay));
        relay->driver.class = &fake_class;
        relay->port = 1;
        ck_assert_int_eq(crypto_init(), 0);
        ck_assert_int_eq(encryption_key_new_random(&relay->key), 0);
        relay_change_key(relay);
}

static void relay_clear(FakeRelay *relay) {
        relay->link = link_free(relay->link);
        relay->stream = stream_free(relay->stream);
        relay->opened = relay->wants_write = relay->paused = false;
}

void relay_done(FakeRelay *relay) {
        ck_assert_ptr_null(relay->transport);
        relay_clear(relay);
        encryption_key_free(relay->key);
        identity_free(relay->identity);
}

const char *relay_url(const FakeRelay *relay, bool pinned, char text[static 128]) {
        char key[KEY_TEXT_SIZE];

        snprintf(text, 128, "%s://relay.example:%u%s%s", pinned ? "ws" : "wss", relay->port,
                 pinned ? "#" : "",
                 pinned ? key_format(identity_public(relay->identity), key) : "");
        return text;
}

/* The bridge's view */

static int fake_open(TransportDriver *driver, const WsUrl *url, bool pinned,
                     const TransportHandlers *handlers, void *userdata, Transport **ret) {
        FakeRelay *relay = container_of(driver, FakeRelay, driver);
        Transport *t = malloc(sizeof(*t) + sizeof(relay));

        ck_assert_ptr_nonnull(t);
        ck_assert_ptr_null(relay->transport);
        ck_assert_str_eq(url->host, "relay.example");
        ck_assert(pinned == (url->fragment[0] != '\0'));
        t->class = &fake_class;
        *(FakeRelay **)(t + 1) = relay;
        relay->transport = t;
        relay->handlers = handlers;
        relay->userdata = userdata;
        relay->n_opened++;
        *ret = t;
        return 0;
}

static void fake_want_write(Transport *transport) {
        relay_of(transport)->wants_write = true;
}

static void relay_keep(FakeRelay *relay, const StreamFrame *frame) {
        RelayFrame *f = &relay->frames[relay->n_frames];

        ck_assert_int_eq(packet_header_decode(frame->data, frame->size, &f->header), 0);
        if (f->header.kind == PACKET_CONTROL) {
                ck_assert_int_eq(control_decode(frame->data + PACKET_HEADER_SIZE,
                                                frame->size - PACKET_HEADER_SIZE, &f->control),
                                 0);
                ck_assert_uint_eq(f->header.src.pid, PID_BRIDGE);
        } else {
                ck_assert_uint_eq(f->header.kind, PACKET_SEALED);
                /* Whole, and of one piece: each test packet is filled with its last id byte. */
                for (size_t i = PACKET_HEADER_SIZE; i < frame->size; i++)
                        if (frame->data[i] != f->header.id.bytes[15])
                                ck_abort_msg("byte %zu of a packet is not its own", i);
        }
        if (!relay->clear)
                relay->n_frames++;
        ck_assert_uint_lt(relay->n_frames, RELAY_FRAMES_MAX);
}

static void relay_feed(FakeRelay *relay, const uint8_t *plain, size_t n) {
        StreamFrame frame;
        uint8_t *room;
        size_t n_room;

        for (size_t at = 0; at < n; at += n_room) {
                ck_assert_int_eq(stream_input(relay->stream, &room, &n_room), 0);
                n_room = MIN(n_room, n - at);
                memcpy(room, plain + at, n_room);
                ck_assert_int_eq(stream_fed(relay->stream, n_room, NULL, 0), 0);
                while (stream_pop(relay->stream, &frame) == 0)
                        relay_keep(relay, &frame);
        }
}

static void relay_answer_msg1(FakeRelay *relay) {
        uint8_t message[LINK_HANDSHAKE_MAX];
        size_t n;

        ck_assert_int_eq(link_create(relay->link, message, sizeof(message), &n), 0);
        relay->handlers->on_message(message, n, relay->userdata);
}

static int fake_write(Transport *transport, uint8_t *buffer, size_t n) {
        FakeRelay *relay = relay_of(transport);
        uint8_t *message = buffer + TRANSPORT_HEADROOM;

        ck_assert_uint_gt(n, 0);
        ck_assert_uint_le(n, TRANSPORT_MESSAGE_MAX);
        relay->message_max = MAX(relay->message_max, n);
        if (link_state(relay->link) == LINK_UP) {
                relay->n_messages++;
                ck_assert_int_eq(link_decrypt(relay->link, message, n, message), 0);
                relay_feed(relay, message, n - LINK_OVERHEAD);
        } else {
                ck_assert_int_eq(link_consume(relay->link, message, n, now_usec(CLOCK_REALTIME)),
                                 0);
                if (link_state(relay->link) == LINK_PROVEN)
                        ck_assert_int_eq(link_accept(relay->link), 0);
        }
        memset(buffer, 0xee, TRANSPORT_HEADROOM + n); /* as a client's mask would */
        return 0;
}

static void fake_progress(const Transport *transport, uint64_t *ret_taken, uint64_t *ret_waiting) {
        const FakeRelay *relay = *(FakeRelay *const *)(transport + 1);

        *ret_taken = relay->taken;
        *ret_waiting = relay->waiting;
}

static void fake_pause(Transport *transport, bool paused) {
        relay_of(transport)->paused = paused;
}

static Transport *fake_free(Transport *transport) {
        FakeRelay *relay;

        if (!transport)
                return NULL;
        relay = relay_of(transport);
        relay->transport = NULL;
        relay_clear(relay);
        free(transport);
        return NULL;
}

static TransportDriver *fake_driver_free(TransportDriver *driver) {
        (void)driver;
        return NULL;
}

static const TransportClass fake_class = {
        .open = fake_open,
        .want_write = fake_want_write,
        .write = fake_write,
        .progress = fake_progress,
        .pause = fake_pause,
        .free = fake_free,
        .driver_free = fake_driver_free,
};

/* The test's view */

static void relay_open(FakeRelay *relay) {
        SignedRecord record = {
                .type = SIGNED_RECORD_RELAY,
                .issued_usec = now_usec(CLOCK_REALTIME),
                .relay = { .max_frame = FRAME_SIZE_MAX },
        };
        uint8_t bytes[SIGNED_RECORD_SIZE_MAX];
        LinkOptions options = {
                .initiator_role = LINK_ROLE_BRIDGE,
                .identity = relay->identity,
                .key = relay->key,
                .record = { .data = bytes },
        };

        record.not_after_usec = record.issued_usec + SIGNED_RECORD_RELAY_LIFE_USEC;
        memcpy(record.relay.encpk, encryption_key_public(relay->key), CRYPTO_DH_SIZE);
        ck_assert_int_eq(signed_record_sign(&record, relay->identity, bytes, sizeof(bytes),
                                            &options.record.size),
                         0);
        ck_assert_int_eq(link_new(&relay->link, &options), 0);
        ck_assert_int_eq(stream_new(&relay->stream), 0);
        relay->opened = true;
        relay->handlers->on_open(relay->userdata);
}

void relay_run(FakeRelay *relay) {
        if (relay->transport && !relay->opened) {
                if (relay->refuses) {
                        relay_hang_up(relay, "connection refused");
                        return;
                }
                relay_open(relay);
        }
        while (relay->transport && relay->opened) {
                if (relay->wants_write) {
                        relay->wants_write = false;
                        relay->handlers->on_writable(relay->userdata);
                } else if (link_state(relay->link) == LINK_SENDING) {
                        relay_answer_msg1(relay);
                } else {
                        break;
                }
        }
}

void relay_hang_up(FakeRelay *relay, const char *reason) {
        ck_assert_ptr_nonnull(relay->transport);
        relay->handlers->on_close(reason, relay->userdata);
}

void relay_send_raw(FakeRelay *relay, uint8_t *message, size_t n) {
        relay->handlers->on_message(message, n, relay->userdata);
}

void relay_send(FakeRelay *relay, const uint8_t *frames, size_t n) {
        uint8_t message[LINK_MESSAGE_MAX];

        for (size_t at = 0; at < n && relay->transport;) {
                size_t size = MIN(n - at, LINK_PLAIN_MAX);

                ck_assert_int_eq(link_encrypt(relay->link, frames + at, size, message), 0);
                at += size;
                relay_send_raw(relay, message, size + LINK_OVERHEAD);
        }
}

void relay_say(FakeRelay *relay, const Control *control, Address dst, const PacketId *id) {
        static const PacketId none;
        uint8_t bytes[4096];

        ck_assert_uint_le(control_packet_size(control), sizeof(bytes));
        control_packet_encode(control, (Address){ .pid = PID_RELAY }, dst, id ? id : &none, bytes);
        relay_send(relay, bytes, control_packet_size(control));
}

void relay_send_packet(FakeRelay *relay, Address src, Address dst, uint32_t size, uint8_t hops) {
        PacketHeader header = {
                .size = size,
                .hops = hops,
                .src = src,
                .dst = dst,
                .id = packet_id_make(now_usec(CLOCK_REALTIME), 1),
                .kind = PACKET_SEALED,
        };
        uint8_t *bytes = calloc(1, size);

        ck_assert_ptr_nonnull(bytes);
        packet_header_encode(&header, bytes);
        relay_send(relay, bytes, size);
        free(bytes);
}

unsigned relay_heard(const FakeRelay *relay, ControlVerb verb, const RelayFrame **ret) {
        unsigned n = 0;

        for (size_t i = 0; i < relay->n_frames; i++)
                if (relay->frames[i].header.kind == PACKET_CONTROL &&
                    relay->frames[i].control.verb == verb) {
                        n++;
                        if (ret)
                                *ret = &relay->frames[i];
                }
        return n;
}

unsigned relay_packets(const FakeRelay *relay, const RelayFrame **ret_last) {
        unsigned n = 0;

        for (size_t i = 0; i < relay->n_frames; i++)
                if (relay->frames[i].header.kind == PACKET_SEALED) {
                        n++;
                        if (ret_last)
                                *ret_last = &relay->frames[i];
                }
        return n;
}

void relay_forget(FakeRelay *relay) {
        relay->n_frames = 0;
}
