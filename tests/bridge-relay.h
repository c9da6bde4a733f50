/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * The other end of an uplink, without a network
 *
 * A TransportDriver whose transports end in a FakeRelay: real Noise, real frames, no sockets and no
 * loop. Nothing moves until relay_run() is called; then both sides send and receive until neither
 * has anything to say. What the bridge said is kept, in order, to be looked at.
 */

#include "bridge/transport.h"
#include "libcore/control.h"
#include "libcore/stream.h"
#include "libsecure/identity.h"
#include "libsecure/link.h"

#define RELAY_FRAMES_MAX 8192

typedef struct FakeRelay FakeRelay;

typedef struct RelayFrame {
        PacketHeader header;
        Control control; /* of a CONTROL packet; its body is not kept */
} RelayFrame;

struct FakeRelay {
        TransportDriver driver; /* what the uplink is made with */
        IdentityKey *identity;
        unsigned port; /* in its URL; 1 after relay_init() */

        bool refuses; /* closes every transport before it opens */
        bool clear;   /* keeps nothing in frames: for long runs */

        unsigned n_opened; /* transports, in all */
        Transport *transport;
        const TransportHandlers *handlers;
        void *userdata;
        bool opened, wants_write, paused;
        uint64_t taken, waiting; /* bytes, as the transport says */

        Link *link;
        EncryptionKey *key;
        Stream *stream;
        size_t n_messages;  /* transport messages that came from the bridge */
        size_t message_max; /* the biggest of them */

        RelayFrame frames[RELAY_FRAMES_MAX];
        size_t n_frames;
};

/* A relay with a fresh key. */
void relay_init(FakeRelay *relay);
void relay_done(FakeRelay *relay);
/* Another key from the next link on. */
void relay_change_key(FakeRelay *relay);
/* "ws://relay.example:PORT", with the key of the relay behind it if @pinned. */
const char *relay_url(const FakeRelay *relay, bool pinned, char text[static 128]);

/* Lets both sides talk until there is silence. */
void relay_run(FakeRelay *relay);
/* The transport ends. */
void relay_hang_up(FakeRelay *relay, const char *reason);

/* Says @control to the bridge; @dst PID_BRIDGE or a process. */
void relay_say(FakeRelay *relay, const Control *control, Address dst, const PacketId *id);
/* Sends @n bytes of frames as they are. */
void relay_send(FakeRelay *relay, const uint8_t *frames, size_t n);
/* Sends one transport message as it is. */
void relay_send_raw(FakeRelay *relay, uint8_t *message, size_t n);
/* Sends a SEALED packet of @size bytes. */
void relay_send_packet(FakeRelay *relay, Address src, Address dst, uint32_t size, uint8_t hops);

/* How many frames with this control verb came; *@ret, if not NULL, is the last. */
unsigned relay_heard(const FakeRelay *relay, ControlVerb verb, const RelayFrame **ret);
/* How many SEALED packets came. */
unsigned relay_packets(const FakeRelay *relay, const RelayFrame **ret_last);
void relay_forget(FakeRelay *relay);
