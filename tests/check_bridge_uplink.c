/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/uplink.h"

#include <fcntl.h>
#include <stdio.h>

#include "bridge/outbox.h"
#include "tests/bridge-relay.h"
#include "tests/main.h"

static const Address alice = { 0x1111111111111111, 1 }, bob = { 0x2222222222222222, 2 },
                     far = { 0x3333333333333333, 3 };
static const Address to_bridge = { .pid = PID_BRIDGE };

static FakeRelay relay;
static IdentityKey *identity;
static Presence *presence;
static KnownRelays *known;
static ParcelPool *pool;
static Uplink *uplink;
static Log logger;
static char said[16384]; /* all that was logged */
static char known_path[64];

/* What the uplink told its owner. */
static unsigned n_proven, n_up, n_synced, n_measured, n_down, n_packets, n_controls, n_refused;
static uint16_t refused_code;
static uint8_t last_hops;

static void on_proven(Uplink *u, void *userdata) {
        (void)userdata;
        ck_assert(uplink_takes_leases(u));
        n_proven++;
}
static void on_up(Uplink *u, void *userdata) {
        (void)userdata;
        ck_assert(uplink_is_up(u));
        n_up++;
}
static void on_synced(Uplink *u, void *userdata) {
        (void)userdata;
        ck_assert(uplink_is_synced(u));
        n_synced++;
}
static void on_measured(Uplink *u, void *userdata) {
        (void)userdata;
        ck_assert_uint_ne(uplink_round_trip_usec(u), USEC_NEVER);
        n_measured++;
}
static void on_down(Uplink *u, void *userdata) {
        (void)userdata;
        ck_assert(!uplink_is_up(u));
        n_down++;
}
static void on_packet(Uplink *u, const PacketHeader *header, uint8_t *packet, void *userdata) {
        (void)u;
        (void)packet;
        (void)userdata;
        last_hops = header->hops;
        n_packets++;
}
static void on_control(Uplink *u, const PacketHeader *header, const Control *control,
                       void *userdata) {
        (void)u;
        (void)header;
        (void)control;
        (void)userdata;
        n_controls++;
}
static void on_refused(Uplink *u, Parcel *parcel, uint16_t code, void *userdata) {
        (void)u;
        (void)userdata;
        parcel_free(pool, parcel);
        refused_code = code;
        n_refused++;
}

static const UplinkHandlers handlers = {
        .on_proven = on_proven,
        .on_up = on_up,
        .on_synced = on_synced,
        .on_measured = on_measured,
        .on_down = on_down,
        .on_packet = on_packet,
        .on_control = on_control,
        .on_refused = on_refused,
};

static int keep_log(const struct iovec *iov, int n_iov) {
        for (int i = 0; i < n_iov; i++)
                if (iov[i].iov_len > 8 && memcmp(iov[i].iov_base, "MESSAGE=", 8) == 0)
                        snprintf(said + strlen(said), sizeof(said) - strlen(said), "%.*s\n",
                                 (int)iov[i].iov_len - 8, (const char *)iov[i].iov_base + 8);
        return 0;
}

static void uplink_make(const char *url) {
        UplinkOptions options = {
                .url = url,
                .driver = &relay.driver,
                .pool = pool,
                .presence = presence,
                .known = known,
                .log = &logger,
                .heartbeat_usec = 5 * USEC_PER_SEC,
                .handlers = &handlers,
        };

        uplink = uplink_free(uplink);
        ck_assert_int_eq(uplink_new(&uplink, &options), 0);
}

static void setup(void) {
        char url[128];
        unsigned line;
        int fd;

        strcpy(known_path, "/tmp/known_relays.XXXXXX");
        fd = mkstemp(known_path);
        ck_assert_int_ge(fd, 0);
        close(fd);
        logger = (Log){ .program = "test", .level = LOG_LEVEL_DEBUG, .sink = keep_log };
        relay_init(&relay);
        ck_assert_int_eq(identity_new_random(&identity), 0);
        ck_assert_int_eq(presence_new(&presence, identity), 0);
        ck_assert_int_eq(known_relays_new(&known, known_path, &line), 0);
        ck_assert_int_eq(parcel_pool_new(&pool), 0);
        uplink_make(relay_url(&relay, true, url));
}

static void teardown(void) {
        uplink = uplink_free(uplink);
        pool = parcel_pool_free(pool);
        known = known_relays_free(known);
        presence = presence_free(presence);
        identity = identity_free(identity);
        relay_done(&relay);
        unlink(known_path);
}

static void say(ControlVerb verb) {
        Control control = { .verb = verb };

        relay_say(&relay, &control, to_bridge, NULL);
        relay_run(&relay);
}

/* Time comes to what the uplink waits for. */
static void tick(void) {
        uplink_tick(uplink, uplink_deadline(uplink));
        relay_run(&relay);
}

static void bring_up(void) {
        tick();
        say(CONTROL_SYNCED);
        ck_assert_msg(uplink_is_synced(uplink), "it said: %s", said);
}

static Parcel *packet(Address src, Address dst, uint32_t size, uint8_t number, uint64_t life) {
        uint64_t now = now_usec(CLOCK_REALTIME);
        PacketHeader header = {
                .size = size,
                .src = src,
                .dst = dst,
                .id = packet_id_make(now, number),
                .deadline_usec = life == USEC_NEVER ? 0 : now + life,
                .kind = PACKET_SEALED,
        };
        uint8_t *bytes = malloc(size);
        Parcel *parcel;

        ck_assert_ptr_nonnull(bytes);
        memset(bytes, number, size);
        packet_header_encode(&header, bytes);
        ck_assert_int_eq(parcel_new(pool, &header, bytes, &parcel), 0);
        free(bytes);
        return parcel;
}

static void queue(Address src, Address dst, uint32_t size, uint8_t number) {
        uplink_queue(uplink, packet(src, dst, size, number, USEC_NEVER));
}

/* The way up */

START_TEST(it_comes_up_when_the_relay_speaks) {
        ck_assert_int_eq(uplink_state(uplink), UPLINK_WAITING);
        ck_assert_uint_eq(uplink_deadline(uplink), 0);
        uplink_tick(uplink, 1);
        ck_assert_int_eq(uplink_state(uplink), UPLINK_CONNECTING);
        relay_run(&relay);
        ck_assert_int_eq(uplink_state(uplink), UPLINK_PROVEN);
        ck_assert_uint_eq(n_proven, 1);
        ck_assert_uint_eq(n_up, 0);
        ck_assert_uint_eq(relay_heard(&relay, CONTROL_PING, NULL), 1); /* so that it speaks */

        say(CONTROL_PING);
        ck_assert_int_eq(uplink_state(uplink), UPLINK_UP);
        ck_assert_uint_eq(n_up, 1);
        ck_assert_ptr_nonnull(strstr(said, "link up ws://relay.example:1\n"));
        ck_assert_uint_eq(relay_heard(&relay, CONTROL_PONG, NULL), 1);

        say(CONTROL_SYNCED);
        say(CONTROL_SYNCED);
        ck_assert_int_eq(uplink_state(uplink), UPLINK_SYNCED);
        ck_assert_uint_eq(n_synced, 1);
        ck_assert_uint_eq(n_down, 0);
}
END_TEST

START_TEST(a_false_relay_never_learns_who_called) {
        char key[KEY_TEXT_SIZE], pinned[KEY_TEXT_SIZE], line[256];
        uint64_t now;

        key_format(identity_public(relay.identity), pinned);
        relay_change_key(&relay);
        key_format(identity_public(relay.identity), key);
        snprintf(line, sizeof(line),
                 "relay ws://relay.example:1: key %s does not match the pinned key %s\n", key,
                 pinned);

        tick();
        ck_assert_int_eq(uplink_state(uplink), UPLINK_WAITING);
        ck_assert_uint_eq(n_proven + n_up + n_down, 0);
        ck_assert_ptr_null(relay.transport); /* and relay.c saw msg1 only: it keeps no peer */
        ck_assert_msg(strstr(said, line) != NULL, "it said: %s", said);

        now = now_usec(CLOCK_BOOTTIME);
        ck_assert_uint_ge(uplink_deadline(uplink),
                          now + UPLINK_RETRY_GREATEST_USEC / 2 - USEC_PER_SEC);
        tick();
        ck_assert_uint_eq(relay.n_opened, 2);
}
END_TEST

START_TEST(the_first_key_of_a_wss_relay_is_kept) {
        KnownRelays *again;
        char url[128];
        unsigned line;

        uplink_make(relay_url(&relay, false, url));
        bring_up();
        ck_assert_ptr_nonnull(known_relays_find(known, "wss://relay.example:1"));
        ck_assert_int_eq(known_relays_new(&again, known_path, &line), 0);
        ck_assert(key_equal(known_relays_find(again, "wss://relay.example:1"),
                            identity_public(relay.identity)));
        known_relays_free(again);

        relay_hang_up(&relay, "gone");
        tick();
        say(CONTROL_PING);
        ck_assert_uint_eq(n_up, 2);

        relay_hang_up(&relay, "gone");
        relay_change_key(&relay);
        tick();
        ck_assert_int_eq(uplink_state(uplink), UPLINK_WAITING);
        ck_assert_ptr_nonnull(strstr(said, "does not match the pinned key"));
        ck_assert_ptr_nonnull(strstr(said, known_path));
}
END_TEST

START_TEST(a_relay_that_is_not_there_is_said_once) {
        const char *first;
        uint64_t wait = 0;

        relay.refuses = true;
        for (unsigned i = 0; i < 12; i++) {
                uint64_t before = now_usec(CLOCK_BOOTTIME);

                tick();
                wait = uplink_deadline(uplink) - before;
        }
        ck_assert_uint_eq(relay.n_opened, 12);
        ck_assert_uint_ge(wait, UPLINK_RETRY_GREATEST_USEC / 2);
        ck_assert_uint_le(wait, UPLINK_RETRY_GREATEST_USEC + USEC_PER_SEC);
        first = strstr(said, "connection refused");
        ck_assert_ptr_nonnull(first);

        uplink_hurry(uplink);
        ck_assert_uint_eq(uplink_deadline(uplink), 0);
}
END_TEST

START_TEST(a_silent_relay_is_given_up) {
        uplink_tick(uplink, 1);
        ck_assert_int_eq(uplink_state(uplink), UPLINK_CONNECTING);
        uplink_tick(uplink, uplink_deadline(uplink) - 1);
        ck_assert_int_eq(uplink_state(uplink), UPLINK_CONNECTING);
        uplink_tick(uplink, uplink_deadline(uplink));
        ck_assert_int_eq(uplink_state(uplink), UPLINK_WAITING);
        ck_assert_ptr_null(relay.transport);
}
END_TEST

START_TEST(a_bridge_that_is_not_admitted_says_what_to_do) {
        tick();
        relay_hang_up(&relay, "closed");
        ck_assert_ptr_nonnull(strstr(said, "does it admit this bridge"));
        ck_assert_uint_eq(n_down, 0);
}
END_TEST

static const struct {
        const char *url;
        bool fine, no_key;
} urls[] = {
        { "wss://relay.example", true, false },
        { "wss://relay.example:9/path", true, false },
        { "ws://relay.example:9", false, true },
        { "ws://relay.example:9#", false, false },
        { "ws://relay.example#e85004f63798e2c0", false, false },
        { "ws://relay.example#e85004f63798e2c0:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", true,
          false },
        { "ws://relay.example#e85004f63798e2c1:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", false,
          false },
        { "http://relay.example", false, false },
        { "relay.example", false, false },
        { "", false, false },
};

START_TEST(urls_are_judged) {
        bool no_key = true;
        const char *why = uplink_check_url(urls[_i].url, &no_key);

        ck_assert_msg((why == NULL) == urls[_i].fine, "%s", urls[_i].url);
        ck_assert_msg(no_key == urls[_i].no_key, "%s", urls[_i].url);
}
END_TEST

/* Out */

START_TEST(packets_cross_whole_whatever_their_size) {
        static const uint32_t sizes[] = {
                72, 73,  1000, FRAME_SIZE_MAX, LINK_PLAIN_MAX, FRAME_SIZE_MAX, FRAME_SIZE_MAX,
                72, 5000
        };
        const RelayFrame *last;

        bring_up();
        for (unsigned i = 0; i < ELEMENTSOF(sizes); i++)
                queue(alice, far, sizes[i], (uint8_t)(i + 1));
        relay_run(&relay);

        ck_assert_uint_eq(relay_packets(&relay, &last), ELEMENTSOF(sizes));
        ck_assert_uint_eq(last->header.id.bytes[15], ELEMENTSOF(sizes));
        ck_assert_uint_eq(last->header.size, 5000);
        ck_assert(!uplink_is_busy(uplink));
}
END_TEST

START_TEST(many_packets_share_a_message) {
        bring_up();
        relay.n_messages = 0;
        for (unsigned i = 0; i < 500; i++)
                queue(alice, far, 200, (uint8_t)i);
        relay_run(&relay);
        ck_assert_uint_eq(relay_packets(&relay, NULL), 500);
        ck_assert_uint_le(relay.n_messages, 3);
        ck_assert_uint_le(relay.message_max, LINK_MESSAGE_MAX);
}
END_TEST

START_TEST(a_lease_goes_before_packets_that_wait) {
        uint8_t lease[CONTROL_LEASE_SIZE] = { 0 };

        bring_up();
        relay_forget(&relay);
        queue(alice, far, 300, 1);
        uplink_present(uplink, alice, lease);
        relay_run(&relay);
        ck_assert_uint_eq(relay.n_frames, 2);
        ck_assert_uint_eq(relay.frames[0].control.verb, CONTROL_LEASE);
        ck_assert_uint_eq(relay.frames[1].header.kind, PACKET_SEALED);
}
END_TEST

START_TEST(who_leaves_is_reported_behind_his_last_packet) {
        bring_up();
        relay_forget(&relay);
        for (unsigned i = 0; i < 5; i++)
                queue(alice, far, FRAME_SIZE_MAX, (uint8_t)i);
        queue(bob, far, 100, 9);
        uplink_detach(uplink, alice);
        relay_run(&relay);

        ck_assert_uint_eq(relay_packets(&relay, NULL), 6);
        ck_assert_uint_eq(relay_heard(&relay, CONTROL_DETACHED, NULL), 1);
        ck_assert_uint_eq(relay.frames[6].control.verb, CONTROL_DETACHED);
        ck_assert(address_equal(relay.frames[6].control.address, alice));

        relay_forget(&relay);
        uplink_detach(uplink, bob); /* nothing waits */
        relay_run(&relay);
        ck_assert_uint_eq(relay_heard(&relay, CONTROL_DETACHED, NULL), 1);
}
END_TEST

START_TEST(who_comes_back_has_not_left) {
        uint8_t lease[CONTROL_LEASE_SIZE] = { 0 };

        bring_up();
        queue(alice, far, 5000, 1);
        uplink_detach(uplink, alice);
        uplink_present(uplink, alice, lease);
        relay_run(&relay);
        ck_assert_uint_eq(relay_heard(&relay, CONTROL_LEASE, NULL), 1);
        ck_assert_uint_eq(relay_heard(&relay, CONTROL_DETACHED, NULL), 0);
}
END_TEST

START_TEST(expired_packets_are_refused) {
        bring_up();
        uplink_queue(uplink, packet(alice, far, 100, 1, 0));
        queue(alice, far, 100, 2);
        relay_run(&relay);
        ck_assert_uint_eq(n_refused, 1);
        ck_assert_uint_eq(refused_code, CODE_EXPIRED);
        ck_assert_uint_eq(relay_packets(&relay, NULL), 1);
}
END_TEST

START_TEST(too_many_packets_are_refused) {
        bring_up();
        for (unsigned i = 0; i < OUTBOX_PACKETS_MAX / 2 + 7; i++)
                queue(alice, far, 100, (uint8_t)i);
        ck_assert_uint_eq(n_refused, 7);
        ck_assert_uint_eq(refused_code, CODE_OVERLOAD);
}
END_TEST

START_TEST(a_packet_can_be_taken_back_for_a_while) {
        PacketId id = packet_id_make(1, 2);
        Parcel *p = packet(alice, far, 100, 3, USEC_NEVER);
        PacketId sent = p->id;

        bring_up();
        uplink_queue(uplink, p);
        ck_assert_ptr_null(uplink_take_back(uplink, &sent)); /* it is not gone yet */
        relay_run(&relay);
        ck_assert_ptr_null(uplink_take_back(uplink, &id));
        p = uplink_take_back(uplink, &sent);
        ck_assert_ptr_nonnull(p);
        ck_assert_ptr_null(uplink_take_back(uplink, &sent));
        parcel_free(pool, p);

        p = packet(alice, far, 100, 4, USEC_NEVER);
        sent = p->id;
        uplink_queue(uplink, p);
        for (unsigned i = 0; i < 40; i++)
                queue(alice, far, FRAME_SIZE_MAX, 5);
        relay_run(&relay);
        ck_assert_ptr_null(uplink_take_back(uplink, &sent)); /* more has been sent since */
}
END_TEST

START_TEST(nothing_is_queued_on_a_link_that_is_not_up) {
        queue(alice, far, 100, 1);
        ck_assert_uint_eq(n_refused, 1);
        ck_assert_uint_eq(refused_code, CODE_NO_ROUTE);
        tick();
        queue(alice, far, 100, 1);
        ck_assert_uint_eq(n_refused, 2);
}
END_TEST

START_TEST(a_relay_that_asks_and_does_not_listen_gets_no_memory) {
        Control ping = { .verb = CONTROL_PING };

        bring_up();
        for (unsigned i = 0; i < 100000; i++)
                relay_say(&relay, &ping, to_bridge, NULL);
        relay_run(&relay);
        ck_assert_uint_lt(relay_heard(&relay, CONTROL_PONG, NULL), 1000);
        ck_assert_int_eq(uplink_state(uplink), UPLINK_SYNCED);
}
END_TEST

/* In */

START_TEST(packets_come_in_whatever_their_size) {
        bring_up();
        relay_send_packet(&relay, far, alice, 72, 2);
        relay_send_packet(&relay, far, alice, FRAME_SIZE_MAX, 3);
        relay_send_packet(&relay, far, alice, FRAME_SIZE_MAX, 4);
        ck_assert_uint_eq(n_packets, 3);
        ck_assert_uint_eq(last_hops, 4);
}
END_TEST

START_TEST(words_that_are_not_about_the_link_are_handed_on) {
        bring_up();
        say(CONTROL_LEASED);
        say(CONTROL_ERROR);
        ck_assert_uint_eq(n_controls, 2);
}
END_TEST

START_TEST(what_asks_for_others_is_handed_on_and_is_no_heartbeat) {
        Control ping = { .verb = CONTROL_PING, .value = PING_ALL };
        Control pong = { .verb = CONTROL_PONG };
        const RelayFrame *heartbeat;

        bring_up();
        ck_assert_uint_eq(relay_heard(&relay, CONTROL_PING, &heartbeat), 1);
        ck_assert_uint_eq(heartbeat->control.value, 0);
        relay_say(&relay, &ping, to_bridge, NULL);
        relay_run(&relay);
        ck_assert_uint_eq(n_controls, 1);
        ck_assert_uint_eq(relay_heard(&relay, CONTROL_PONG, NULL), 0);

        pong.ref = heartbeat->header.id;
        pong.ref.bytes[8] |= 0x80;
        relay_say(&relay, &pong, to_bridge, NULL);
        ck_assert_uint_eq(n_controls, 2);
        ck_assert_uint_eq(n_measured, 0);
        pong.ref = heartbeat->header.id;
        relay_say(&relay, &pong, to_bridge, NULL);
        ck_assert_uint_eq(n_controls, 2);
        ck_assert_uint_eq(n_measured, 1);
}
END_TEST

START_TEST(a_word_of_a_later_version_is_answered) {
        uint8_t bytes[PACKET_HEADER_SIZE + CONTROL_HEAD_SIZE];
        Control control = { .verb = 999 };
        PacketId id = packet_id_make(1, 2);
        const RelayFrame *answer;

        bring_up();
        control_packet_encode(&control, (Address){ .pid = PID_RELAY }, to_bridge, &id, bytes);
        relay_send(&relay, bytes, sizeof(bytes));
        relay_run(&relay);
        ck_assert_uint_eq(relay_heard(&relay, CONTROL_ERROR, &answer), 1);
        ck_assert_uint_eq(answer->control.code, CODE_UNSUPPORTED);
        ck_assert_int_eq(uplink_state(uplink), UPLINK_SYNCED);
}
END_TEST

/* Each of these ends the link, at once, and nothing else. */
static const struct {
        const char *what;
        PacketHeader header;
        size_t n_payload;
} bad_packets[] = {
        { "in the clear", { .kind = PACKET_RECORDS, .src = { 99999, 1 }, .dst = { 88888, 1 } }, 9 },
        { "sealed, of a reserved source", { .kind = PACKET_SEALED, .src = { PID_DAEMON, 0 } }, 9 },
        { "sealed, to the daemon",
          { .kind = PACKET_SEALED, .src = { 99999, 1 }, .dst = { PID_DAEMON, 0 } },
          9 },
        { "a word of a process",
          { .kind = PACKET_CONTROL, .src = { 99999, 1 } },
          CONTROL_HEAD_SIZE },
        { "a word of the daemon",
          { .kind = PACKET_CONTROL, .src = { PID_DAEMON, 0 } },
          CONTROL_HEAD_SIZE },
        { "half a word", { .kind = PACKET_CONTROL, .src = { PID_RELAY, 0 } }, 35 },
        { "with descriptors",
          { .kind = PACKET_SEALED, .src = { 99999, 1 }, .dst = { 88888, 1 }, .n_fds = 1 },
          9 },
};

START_TEST(what_no_relay_sends_ends_the_link) {
        uint8_t bytes[PACKET_HEADER_SIZE + 64] = { 0 };
        PacketHeader header = bad_packets[_i].header;

        bring_up();
        header.size = (uint32_t)(PACKET_HEADER_SIZE + bad_packets[_i].n_payload);
        packet_header_encode(&header, bytes);
        if (header.kind == PACKET_CONTROL)
                bytes[PACKET_HEADER_SIZE] = CONTROL_LEASED;
        relay_send(&relay, bytes, header.size);
        ck_assert_msg(uplink_state(uplink) == UPLINK_WAITING, "%s", bad_packets[_i].what);
        ck_assert_uint_eq(n_down, 1);
        ck_assert_uint_eq(n_packets + n_controls, 0);
        ck_assert_ptr_null(relay.transport);
}
END_TEST

START_TEST(frames_that_are_none_end_the_link) {
        static const uint8_t nonsense[] = { 0xff, 0xff, 0xff, 0xff, 3, 0, 0, 0 };

        bring_up();
        relay_send(&relay, nonsense, sizeof(nonsense));
        ck_assert_int_eq(uplink_state(uplink), UPLINK_WAITING);
}
END_TEST

START_TEST(forged_messages_end_the_link) {
        uint8_t message[64] = { 1, 2, 3 };

        bring_up();
        relay_send_raw(&relay, message, _i == 0 ? 64 : _i == 1 ? 16 : _i == 2 ? 15 : 1);
        ck_assert_int_eq(uplink_state(uplink), UPLINK_WAITING);
        ck_assert_uint_eq(n_down, 1);
}
END_TEST

START_TEST(a_handshake_that_is_none_ends_the_attempt) {
        uint8_t message[512] = { 1, 2, 3 };

        uplink_tick(uplink, 1);
        relay.handlers->on_message(message, 10, relay.userdata); /* before it is open */
        ck_assert_int_eq(uplink_state(uplink), UPLINK_CONNECTING);
        relay_run(&relay);
        relay_hang_up(&relay, "again");
        tick(); /* up to PROVEN: a bad transport message there */
        relay_send_raw(&relay, message, sizeof(message));
        ck_assert_int_eq(uplink_state(uplink), UPLINK_WAITING);
        ck_assert_uint_eq(n_up + n_down, 0);
}
END_TEST

/* Time */

START_TEST(pings_go_out_and_a_silent_link_is_dead) {
        const RelayFrame *ping;
        Control pong = { .verb = CONTROL_PONG };

        bring_up();
        ck_assert_uint_eq(uplink_round_trip_usec(uplink), USEC_NEVER);
        ck_assert_uint_eq(relay_heard(&relay, CONTROL_PING, &ping), 1);
        pong.ref = ping->header.id;
        relay_say(&relay, &pong, to_bridge, NULL);
        ck_assert_uint_lt(uplink_round_trip_usec(uplink), 60 * USEC_PER_SEC);

        tick();
        ck_assert_uint_eq(relay_heard(&relay, CONTROL_PING, NULL), 2);
        ck_assert_uint_eq(n_down, 0);
        tick();
        if (n_down == 0) /* it may have been one more PING, when both fell together */
                tick();
        ck_assert_uint_eq(n_down, 1);
        ck_assert_ptr_nonnull(strstr(said, "the relay no longer answers"));
}
END_TEST

START_TEST(goodbye_is_obeyed) {
        Control goodbye = { .verb = CONTROL_GOODBYE, .code = CODE_SHUTDOWN };

        bring_up();
        queue(alice, far, 100, 1);
        relay_say(&relay, &goodbye, to_bridge, NULL);
        ck_assert_int_eq(uplink_state(uplink), UPLINK_WAITING);
        ck_assert_uint_eq(n_down, 1);
        tick();
        say(CONTROL_PING);
        ck_assert_uint_eq(n_up, 2);
}
END_TEST

START_TEST(after_a_sleep_the_relay_is_asked_at_once) {
        unsigned n;

        bring_up();
        n = relay_heard(&relay, CONTROL_PING, NULL);
        uplink_resume(uplink, now_usec(CLOCK_BOOTTIME));
        tick();
        ck_assert_uint_eq(relay_heard(&relay, CONTROL_PING, NULL), n + 1);
        ck_assert_uint_eq(n_down, 0);

        relay_hang_up(&relay, "gone");
        ck_assert_uint_gt(uplink_deadline(uplink), 0);
        uplink_resume(uplink, now_usec(CLOCK_BOOTTIME));
        ck_assert_uint_eq(uplink_deadline(uplink), 0);
}
END_TEST

START_TEST(who_rests_is_left_alone_until_he_is_hurried) {
        bring_up();
        uplink_rest(uplink);
        ck_assert_ptr_null(relay.transport);
        ck_assert_uint_eq(n_down, 1);
        ck_assert_uint_eq(uplink_deadline(uplink), USEC_NEVER);
        uplink_rest(uplink);
        uplink_resume(uplink, now_usec(CLOCK_BOOTTIME));
        ck_assert_uint_eq(n_down, 1);
        ck_assert_uint_eq(uplink_deadline(uplink), USEC_NEVER);
        uplink_hurry(uplink);
        bring_up();
        ck_assert_uint_eq(n_up, 2);
}
END_TEST

START_TEST(a_link_is_made_anew_after_a_day) {
        uint64_t now = now_usec(CLOCK_BOOTTIME);

        bring_up();
        uplink_tick(uplink, now + LINK_LIFE_USEC * 3 / 4);
        ck_assert_uint_eq(n_down, 0);
        uplink_tick(uplink, now + LINK_LIFE_USEC + USEC_PER_SEC);
        ck_assert_uint_eq(n_down, 1);
}
END_TEST

START_TEST(a_paused_link_is_not_blamed_for_silence) {
        uint64_t t;

        bring_up();
        uplink_pause(uplink, true);
        ck_assert(relay.paused);
        for (unsigned i = 0; i < 20; i++) {
                t = uplink_deadline(uplink);
                uplink_tick(uplink, t);
        }
        ck_assert_uint_eq(n_down, 0);
        uplink_pause(uplink, false);
        ck_assert(!relay.paused);
}
END_TEST

/* Files */

static const struct {
        const char *what, *text;
        unsigned line; /* the bad one, 0: none */
} files[] = {
        { "empty", "", 0 },
        { "a comment", "# by hand\n\n", 0 },
        { "one", "wss://a.example e85004f63798e2c0:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\n",
          0 },
        { "no key", "#\nwss://a.example\n", 2 },
        { "a short key", "wss://a.example e85004f63798e2c0\n", 1 },
        { "no URL", "a.example e85004f63798e2c0:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\n", 1 },
        { "too much",
          "wss://a.example e85004f63798e2c0:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo x\n", 1 },
};

START_TEST(known_relays_are_read) {
        FILE *file = fopen(known_path, "w");
        KnownRelays *read = NULL;
        unsigned line = 0;
        int r;

        ck_assert_ptr_nonnull(file);
        ck_assert_int_ge(fputs(files[_i].text, file), 0);
        ck_assert_int_eq(fclose(file), 0);
        r = known_relays_new(&read, known_path, &line);
        ck_assert_msg(r == (files[_i].line ? KNOWN_RELAYS_E_MALFORMED : 0), "%s", files[_i].what);
        ck_assert_uint_eq(line, files[_i].line);
        if (files[_i].text[0] == 'w' && r == 0)
                ck_assert_ptr_nonnull(known_relays_find(read, "wss://a.example"));
        known_relays_free(read);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("bridge uplink");
        TCase *up = tcase_create("up"), *out = tcase_create("out"), *in = tcase_create("in"),
              *time = tcase_create("time");

        tcase_add_checked_fixture(up, setup, teardown);
        tcase_add_test(up, it_comes_up_when_the_relay_speaks);
        tcase_add_test(up, a_false_relay_never_learns_who_called);
        tcase_add_test(up, the_first_key_of_a_wss_relay_is_kept);
        tcase_add_test(up, a_relay_that_is_not_there_is_said_once);
        tcase_add_test(up, a_silent_relay_is_given_up);
        tcase_add_test(up, a_bridge_that_is_not_admitted_says_what_to_do);
        tcase_add_test(up, a_handshake_that_is_none_ends_the_attempt);
        tcase_add_loop_test(up, urls_are_judged, 0, ELEMENTSOF(urls));
        tcase_add_loop_test(up, known_relays_are_read, 0, ELEMENTSOF(files));
        suite_add_tcase(suite, up);

        tcase_add_checked_fixture(out, setup, teardown);
        tcase_add_test(out, packets_cross_whole_whatever_their_size);
        tcase_add_test(out, many_packets_share_a_message);
        tcase_add_test(out, a_lease_goes_before_packets_that_wait);
        tcase_add_test(out, who_leaves_is_reported_behind_his_last_packet);
        tcase_add_test(out, who_comes_back_has_not_left);
        tcase_add_test(out, expired_packets_are_refused);
        tcase_add_test(out, too_many_packets_are_refused);
        tcase_add_test(out, a_packet_can_be_taken_back_for_a_while);
        tcase_add_test(out, nothing_is_queued_on_a_link_that_is_not_up);
        tcase_add_test(out, a_relay_that_asks_and_does_not_listen_gets_no_memory);
        suite_add_tcase(suite, out);

        tcase_add_checked_fixture(in, setup, teardown);
        tcase_add_test(in, packets_come_in_whatever_their_size);
        tcase_add_test(in, words_that_are_not_about_the_link_are_handed_on);
        tcase_add_test(in, what_asks_for_others_is_handed_on_and_is_no_heartbeat);
        tcase_add_test(in, a_word_of_a_later_version_is_answered);
        tcase_add_loop_test(in, what_no_relay_sends_ends_the_link, 0, ELEMENTSOF(bad_packets));
        tcase_add_test(in, frames_that_are_none_end_the_link);
        tcase_add_loop_test(in, forged_messages_end_the_link, 0, 4);
        suite_add_tcase(suite, in);

        tcase_add_checked_fixture(time, setup, teardown);
        tcase_add_test(time, pings_go_out_and_a_silent_link_is_dead);
        tcase_add_test(time, goodbye_is_obeyed);
        tcase_add_test(time, after_a_sleep_the_relay_is_asked_at_once);
        tcase_add_test(time, who_rests_is_left_alone_until_he_is_hurried);
        tcase_add_test(time, a_link_is_made_anew_after_a_day);
        tcase_add_test(time, a_paused_link_is_not_blamed_for_silence);
        suite_add_tcase(suite, time);
        return suite;
}
