/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * A real p2pbus-relay, and scripted bridges that may do what no bridge does
 *
 * relay_start() runs the program and reads its stderr; bridge_connect() is a WebSocket with a link
 * of libsecure in it, whose steps can be taken one by one. Everything lives on one sd-event;
 * WAIT_FOR() turns it until a condition holds and fails the test after a while.
 */

#include <check.h>
#include <systemd/sd-event.h>

#include "libcore/control.h"
#include "libcore/stream.h"
#include "libsecure/identity.h"
#include "libsecure/link.h"
#include "libsecure/signed-record.h"
#include "libws/ws.h"

#define RELAY_PATIENCE_USEC (30 * USEC_PER_SEC)
#define TEST_FRAMES_MAX 4096

typedef struct TestRelay {
        pid_t os_pid;
        int fd; /* its stderr */
        char folder[64];
        char said[65536];
        size_t n_said;
        char url[256]; /* as announced, with the key */
        PublicKey key;
} TestRelay;

/* One frame that a bridge got. */
typedef struct TestFrame {
        PacketHeader header;
        Control control;                        /* if it is a control word */
        uint8_t body[SIGNED_RECORD_LEASE_SIZE]; /* of the control word, or the payload's begin */
        size_t n_payload;
} TestFrame;

typedef struct TestBridge {
        IdentityKey *identity;
        EncryptionKey *key;
        size_t n_record;
        uint8_t record[SIGNED_RECORD_SIZE_MAX]; /* its PRESENCE */
        WsConnection *connection;
        Link *link;
        Stream *stream;
        bool opened, closed;
        bool by_hand; /* the test takes the steps of the handshake itself */
        char reason[256];
        size_t n_message; /* the last one that came, of the handshake or by hand */
        uint8_t message[WS_MESSAGE_MAX];
        TestFrame frames[TEST_FRAMES_MAX];
        size_t n_frames, n_seen; /* expect_word() looks behind what was seen */
        uint64_t n_packets;      /* SEALED ones, counted even when frames are full */
        uint64_t last_id;
} TestBridge;

/* What everything runs on; made by relay_start(). */
extern sd_event *test_event;
extern WsLoop *test_loop;

/*
 * Starts a relay in a folder of its own with these further options, ended by NULL. Its
 * configuration is folder/relay.conf: empty, or the line $CHECK_RELAY_CONF.
 */
void relay_start(TestRelay *relay, ...);
/* SIGTERM: it must end with 0. */
void relay_stop(TestRelay *relay);
/* Runs it with these options until it ends by itself; returns its exit status. */
int relay_try(TestRelay *relay, ...);
bool relay_said(const TestRelay *relay, const char *text);

/* A bridge with the key of this number; nothing is connected yet. */
void bridge_init(TestBridge *bridge, uint8_t number);
void bridge_done(TestBridge *bridge);
/* Full form of its key. */
const char *bridge_key(const TestBridge *bridge, char text[static KEY_TEXT_SIZE]);
/* Opens the WebSocket; with @by_hand the handshake is left to the test. */
void bridge_connect(TestBridge *bridge, const TestRelay *relay, bool by_hand);
/* Connects, shakes hands, and waits until the relay has answered a PING. */
void bridge_up(TestBridge *bridge, const TestRelay *relay);
/* Ends the connection, whatever state it is in. */
void bridge_down(TestBridge *bridge);
/* As if its process was killed: it does not even read what lies in its socket, as a polite end may. */
void bridge_die(TestBridge *bridge);

/* Sends frames, whole or not, as one transport message. */
void bridge_send_bytes(TestBridge *bridge, const uint8_t *plain, size_t n_plain);
/* Sends a control word; returns the id it went with. */
PacketId bridge_say(TestBridge *bridge, const Control *control);
/* Sends a sealed packet with @n_payload bytes of nothing. */
PacketId bridge_send(TestBridge *bridge, Address src, Address dst, size_t n_payload);
/* Writes such a packet; @out has room for it. Returns its size. */
size_t bridge_packet(TestBridge *bridge, Address src, Address dst, size_t n_payload, uint8_t *out);

/* Waits for the next control word with @verb; others before it are passed over. */
const TestFrame *expect_word(TestBridge *bridge, ControlVerb verb);
/* Waits for the next sealed packet. */
const TestFrame *expect_packet(TestBridge *bridge);

/* A process with the key of this number. */
IdentityKey *process_of(uint8_t number);
/* Its lease by way of @bridge, issued @issued seconds from now. */
void lease_of(const IdentityKey *process, const TestBridge *bridge, int issued,
              uint8_t out[static SIGNED_RECORD_LEASE_SIZE]);
/* Presents it and expects LEASED with @code. */
void bridge_lease(TestBridge *bridge, const IdentityKey *process, uint16_t code);

void wait_for(bool (*is)(void *userdata), void *userdata, const char *what);
bool bridge_is_closed(void *bridge);
#define WAIT_FOR(is, userdata) wait_for(is, userdata, #is)
