/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/relay-bridge.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libws/ws-private.h"
#include "tests/main.h"

sd_event *test_event;
WsLoop *test_loop;

static const Address to_relay = { PID_RELAY, 0 };
static const Address from_bridge = { PID_BRIDGE, 0 };

void wait_for(bool (*is)(void *userdata), void *userdata, const char *what) {
        uint64_t end = now_usec(CLOCK_MONOTONIC) + RELAY_PATIENCE_USEC;

        while (!is(userdata)) {
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < end, "waited in vain: %s", what);
                ck_assert_int_ge(sd_event_run(test_event, 20 * USEC_PER_MSEC), 0);
        }
}

/* The relay */

static int on_stderr(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        TestRelay *relay = userdata;
        ssize_t n;

        (void)revents;
        if (relay->n_said >= sizeof(relay->said) - 1)
                relay->n_said = 0; /* only what was said last matters that late */
        n = read(fd, relay->said + relay->n_said, sizeof(relay->said) - 1 - relay->n_said);
        if (n > 0) {
                (void)!write(STDERR_FILENO, relay->said + relay->n_said, (size_t)n);
                relay->n_said += (size_t)n;
                relay->said[relay->n_said] = '\0';
        } else if (n == 0 || errno != EAGAIN) {
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        }
        return 0;
}

bool relay_said(const TestRelay *relay, const char *text) {
        return strstr(relay->said, text) != NULL;
}

static void relay_spawn(TestRelay *relay, va_list ap) {
        const char *build = getenv("top_builddir");
        char program[4096], state[96], config[96];
        char *argv[32] = { program };
        unsigned n = 1;
        int fds[2];
        FILE *f;

        *relay = (TestRelay){ .folder = "./check_relay.XXXXXX" };
        ck_assert_ptr_nonnull(mkdtemp(relay->folder));
        snprintf(program, sizeof(program), "%s/p2pbus-relay", build ? build : ".");
        snprintf(state, sizeof(state), "--state-dir=%s", relay->folder);
        snprintf(config, sizeof(config), "--config=%s/relay.conf", relay->folder);
        f = fopen(config + strlen("--config="), "w");
        ck_assert_ptr_nonnull(f);
        if (getenv("CHECK_RELAY_CONF"))
                fprintf(f, "[Relay]\n%s\n", getenv("CHECK_RELAY_CONF"));
        ck_assert_int_eq(fclose(f), 0);
        argv[n++] = state;
        argv[n++] = config;
        while ((argv[n] = va_arg(ap, char *)))
                ck_assert_uint_lt(++n, ELEMENTSOF(argv));

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        relay->os_pid = test_fork();
        if (relay->os_pid == 0) {
                (void)dup2(fds[1], STDERR_FILENO);
                (void)fcntl(STDERR_FILENO, F_SETFL, 0);
                execv(program, argv);
                _exit(127);
        }
        fd_close(fds[1]);
        relay->fd = fds[0];
        if (!test_event) {
                ck_assert_int_eq(crypto_init(), 0);
                ck_assert_int_eq(sd_event_new(&test_event), 0);
                ck_assert_int_eq(ws_loop_new(&test_loop, test_event), 0);
        }
        ck_assert_int_ge(sd_event_add_io(test_event, NULL, relay->fd, EPOLLIN, on_stderr, relay),
                         0);
}

static bool relay_is_ready(void *userdata) {
        TestRelay *relay = userdata;
        char *line = strstr(relay->said, "relay ws");

        if (!line || !strchr(line, '\n'))
                return false;
        ck_assert(line == relay->said || line[-1] == '\n');
        ck_assert_int_eq(sscanf(line, "relay %255s", relay->url), 1);
        return true;
}

void relay_start(TestRelay *relay, ...) {
        KeyText key;
        va_list ap;

        va_start(ap, relay);
        relay_spawn(relay, ap);
        va_end(ap);
        WAIT_FOR(relay_is_ready, relay);
        ck_assert_int_eq(key_text_parse(strchr(relay->url, '#') + 1, &key), 0);
        relay->key = key.key;
}

/* Until it has ended and all it said was read; its exit status. */
static int relay_wait(TestRelay *relay) {
        char command[128];
        int status = 0;
        ssize_t n;

        ck_assert_int_eq(waitpid(relay->os_pid, &status, 0), relay->os_pid);
        while (relay->n_said < sizeof(relay->said) - 1 &&
               (n = read(relay->fd, relay->said + relay->n_said,
                         sizeof(relay->said) - 1 - relay->n_said)) > 0)
                relay->n_said += (size_t)n;
        relay->said[relay->n_said] = '\0';
        relay->fd = fd_close(relay->fd);
        snprintf(command, sizeof(command), "rm -r %s", relay->folder);
        ck_assert_int_eq(system(command), 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void loop_stop(void) {
        test_loop = ws_loop_free(test_loop);
        test_event = sd_event_unref(test_event);
}

void relay_stop(TestRelay *relay) {
        loop_stop();
        ck_assert_int_eq(kill(relay->os_pid, SIGTERM), 0);
        ck_assert_msg(relay_wait(relay) == 0, "it said:\n%s", relay->said);
}

int relay_try(TestRelay *relay, ...) {
        va_list ap;

        va_start(ap, relay);
        relay_spawn(relay, ap);
        va_end(ap);
        loop_stop();
        return relay_wait(relay);
}

/* Bridges */

IdentityKey *process_of(uint8_t number) {
        uint8_t seed[IDENTITY_SEED_SIZE] = { number, 2 };
        IdentityKey *identity;

        ck_assert_int_eq(identity_new_from_seed(&identity, seed), 0);
        return identity;
}

static void bridge_make_record(TestBridge *bridge) {
        uint64_t now = now_usec(CLOCK_REALTIME);
        SignedRecord record = {
                .type = SIGNED_RECORD_PRESENCE,
                .issued_usec = now,
                .not_after_usec = now + SIGNED_RECORD_PRESENCE_LIFE_USEC,
        };

        memcpy(record.presence.encpk, encryption_key_public(bridge->key), CRYPTO_DH_SIZE);
        ck_assert_int_eq(signed_record_sign(&record, bridge->identity, bridge->record,
                                            sizeof(bridge->record), &bridge->n_record),
                         0);
}

void bridge_init(TestBridge *bridge, uint8_t number) {
        memset(bridge, 0, sizeof(*bridge));
        ck_assert_int_eq(crypto_init(), 0);
        bridge->identity = process_of((uint8_t)(200 + number));
        ck_assert_int_eq(encryption_key_new_random(&bridge->key), 0);
        bridge_make_record(bridge);
}

void bridge_down(TestBridge *bridge) {
        bridge->connection = ws_connection_free(bridge->connection);
        bridge->link = link_free(bridge->link);
        bridge->stream = stream_free(bridge->stream);
        bridge->opened = bridge->closed = bridge->by_hand = false;
        bridge->n_frames = bridge->n_seen = 0;
        bridge->n_packets = 0;
        bridge->n_message = 0;
}

void bridge_die(TestBridge *bridge) {
        ck_assert_int_eq(shutdown(lws_get_socket_fd(bridge->connection->wsi), SHUT_RDWR), 0);
}

void bridge_done(TestBridge *bridge) {
        bridge_down(bridge);
        identity_free(bridge->identity);
        encryption_key_free(bridge->key);
}

const char *bridge_key(const TestBridge *bridge, char text[static KEY_TEXT_SIZE]) {
        return key_format(identity_public(bridge->identity), text);
}

static void bridge_shake(TestBridge *bridge) {
        uint8_t message[LINK_HANDSHAKE_MAX];
        size_t n;

        ck_assert_int_eq(link_create(bridge->link, message, sizeof(message), &n), 0);
        ck_assert_int_eq(ws_send(bridge->connection, message, n), 0);
}

static void on_bridge_open(WsConnection *connection, void *userdata) {
        TestBridge *bridge = userdata;

        (void)connection;
        bridge->opened = true;
        if (!bridge->by_hand)
                bridge_shake(bridge);
}

static void bridge_keep(TestBridge *bridge, const StreamFrame *frame) {
        TestFrame *kept = &bridge->frames[bridge->n_frames];
        TestFrame scratch;

        if (bridge->n_frames == TEST_FRAMES_MAX)
                kept = &scratch; /* counted only */
        else
                bridge->n_frames++;
        memset(kept, 0, sizeof(*kept));
        ck_assert_int_eq(packet_header_decode(frame->data, frame->size, &kept->header), 0);
        kept->n_payload = frame->size - PACKET_HEADER_SIZE;
        if (kept->header.kind != PACKET_CONTROL) {
                memcpy(kept->body, frame->data + PACKET_HEADER_SIZE,
                       MIN(kept->n_payload, sizeof(kept->body)));
                bridge->n_packets++;
                return;
        }
        ck_assert_int_eq(
                control_decode(frame->data + PACKET_HEADER_SIZE, kept->n_payload, &kept->control),
                0);
        ck_assert_uint_eq(kept->header.src.pid, PID_RELAY);
        memcpy(kept->body, kept->control.body, MIN(kept->control.n_body, sizeof(kept->body)));
        kept->control.body = kept->body;
}

static void on_bridge_message(WsConnection *connection, uint8_t *data, size_t n, void *userdata) {
        TestBridge *bridge = userdata;
        StreamFrame frame;
        uint8_t *room;
        size_t n_room;

        (void)connection;
        if (bridge->by_hand || link_state(bridge->link) != LINK_UP) {
                memcpy(bridge->message, data, n);
                bridge->n_message = n;
                if (bridge->by_hand)
                        return;
                ck_assert_int_eq(link_consume(bridge->link, data, n, now_usec(CLOCK_REALTIME)), 0);
                bridge_shake(bridge); /* the relay's key is pinned, so it was accepted */
                return;
        }
        ck_assert_int_eq(stream_input(bridge->stream, &room, &n_room), 0);
        ck_assert_uint_ge(n_room, n - LINK_OVERHEAD);
        ck_assert_int_eq(link_decrypt(bridge->link, data, n, room), 0);
        ck_assert_int_eq(stream_fed(bridge->stream, n - LINK_OVERHEAD, NULL, 0), 0);
        while (stream_pop(bridge->stream, &frame) == 0)
                bridge_keep(bridge, &frame);
}

static void on_bridge_close(WsConnection *connection, const char *reason, void *userdata) {
        TestBridge *bridge = userdata;

        (void)connection;
        bridge->closed = true;
        snprintf(bridge->reason, sizeof(bridge->reason), "%s", reason);
}

static const WsHandlers bridge_handlers = {
        .on_open = on_bridge_open,
        .on_message = on_bridge_message,
        .on_close = on_bridge_close,
};

bool bridge_is_closed(void *bridge) {
        return ((TestBridge *)bridge)->closed;
}

static bool bridge_is_open(void *userdata) {
        TestBridge *bridge = userdata;

        return bridge->opened || bridge->closed;
}

static bool bridge_is_up(void *userdata) {
        TestBridge *bridge = userdata;

        return link_state(bridge->link) == LINK_UP || bridge->closed;
}

void bridge_connect(TestBridge *bridge, const TestRelay *relay, bool by_hand) {
        LinkOptions options = {
                .initiator = true,
                .initiator_role = LINK_ROLE_BRIDGE,
                .identity = bridge->identity,
                .key = bridge->key,
                .record = { bridge->record, bridge->n_record },
                .pinned = &relay->key,
        };
        WsUrl url;

        ck_assert_int_eq(ws_url_parse(relay->url, &url), 0);
        ck_assert_int_eq(link_new(&bridge->link, &options), 0);
        ck_assert_int_eq(stream_new(&bridge->stream), 0);
        bridge->by_hand = by_hand;
        ck_assert_int_eq(ws_connect(&bridge->connection, test_loop,
                                    &(WsConnectOptions){ .url = &url, .pinned = true },
                                    &bridge_handlers, bridge),
                         0);
        WAIT_FOR(bridge_is_open, bridge);
}

void bridge_up(TestBridge *bridge, const TestRelay *relay) {
        Control ping = { .verb = CONTROL_PING };
        const TestFrame *pong;
        PacketId id;

        bridge_connect(bridge, relay, false);
        WAIT_FOR(bridge_is_up, bridge);
        ck_assert_msg(!bridge->closed, "closed: %s", bridge->reason);
        id = bridge_say(bridge, &ping);
        pong = expect_word(bridge, CONTROL_PONG);
        ck_assert_mem_eq(&pong->control.ref, &id, sizeof(id));
}

void bridge_send_bytes(TestBridge *bridge, const uint8_t *plain, size_t n_plain) {
        static uint8_t message[LINK_MESSAGE_MAX];

        ck_assert_int_eq(link_encrypt(bridge->link, plain, n_plain, message), 0);
        (void)ws_send(bridge->connection, message, n_plain + LINK_OVERHEAD); /* or it is closed */
}

PacketId bridge_say(TestBridge *bridge, const Control *control) {
        PacketId id = packet_id_make(now_usec(CLOCK_REALTIME), ++bridge->last_id);
        uint8_t bytes[2048];

        ck_assert_uint_le(control_packet_size(control), sizeof(bytes));
        control_packet_encode(control, from_bridge, to_relay, &id, bytes);
        bridge_send_bytes(bridge, bytes, control_packet_size(control));
        return id;
}

size_t bridge_packet(TestBridge *bridge, Address src, Address dst, size_t n_payload, uint8_t *out) {
        PacketHeader header = {
                .size = (uint32_t)(PACKET_HEADER_SIZE + n_payload),
                .src = src,
                .dst = dst,
                .id = packet_id_make(now_usec(CLOCK_REALTIME), ++bridge->last_id),
                .kind = PACKET_SEALED,
        };

        packet_header_encode(&header, out);
        memset(out + PACKET_HEADER_SIZE, 'p', n_payload);
        return header.size;
}

PacketId bridge_send(TestBridge *bridge, Address src, Address dst, size_t n_payload) {
        static uint8_t bytes[FRAME_SIZE_MAX];
        PacketHeader header;
        size_t n;

        n = bridge_packet(bridge, src, dst, n_payload, bytes);
        ck_assert_int_eq(packet_header_decode(bytes, n, &header), 0);
        for (size_t at = 0; at < n; at += LINK_PLAIN_MAX)
                bridge_send_bytes(bridge, bytes + at, MIN(n - at, (size_t)LINK_PLAIN_MAX));
        return header.id;
}

typedef struct Expectation {
        TestBridge *bridge;
        bool packet;
        ControlVerb verb;
        const TestFrame *found;
} Expectation;

static bool frame_came(void *userdata) {
        Expectation *e = userdata;

        while (e->bridge->n_seen < e->bridge->n_frames) {
                const TestFrame *f = &e->bridge->frames[e->bridge->n_seen++];

                if (e->packet ? f->header.kind == PACKET_SEALED
                              : f->header.kind == PACKET_CONTROL && f->control.verb == e->verb) {
                        e->found = f;
                        return true;
                }
        }
        ck_assert_msg(!e->bridge->closed, "closed meanwhile: %s", e->bridge->reason);
        return false;
}

const TestFrame *expect_word(TestBridge *bridge, ControlVerb verb) {
        Expectation e = { .bridge = bridge, .verb = verb };

        WAIT_FOR(frame_came, &e);
        return e.found;
}

const TestFrame *expect_packet(TestBridge *bridge) {
        Expectation e = { .bridge = bridge, .packet = true };

        WAIT_FOR(frame_came, &e);
        return e.found;
}

void lease_of(const IdentityKey *process, const TestBridge *bridge, int issued,
              uint8_t out[static SIGNED_RECORD_LEASE_SIZE]) {
        uint64_t now = now_usec(CLOCK_REALTIME);
        SignedRecord record = {
                .type = SIGNED_RECORD_LEASE,
                .issued_usec = now + (uint64_t)((int64_t)issued * (int64_t)USEC_PER_SEC),
        };
        size_t n;

        record.not_after_usec = record.issued_usec + SIGNED_RECORD_LEASE_LIFE_USEC;
        record.lease.encpk[0] = 9;
        record.lease.enc_until_usec = record.not_after_usec;
        record.lease.bridge = *identity_public(bridge->identity);
        ck_assert_int_eq(signed_record_sign(&record, process, out, SIGNED_RECORD_LEASE_SIZE, &n),
                         0);
}

void bridge_lease(TestBridge *bridge, const IdentityKey *process, uint16_t code) {
        uint8_t lease[SIGNED_RECORD_LEASE_SIZE];
        Control control = { .verb = CONTROL_LEASE, .body = lease, .n_body = sizeof(lease) };
        const TestFrame *answer;

        lease_of(process, bridge, 0, lease);
        (void)bridge_say(bridge, &control);
        answer = expect_word(bridge, CONTROL_LEASED);
        ck_assert_uint_eq(answer->control.code, code);
        ck_assert(address_equal(answer->control.address, identity_hash(process)->address));
}
