/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Forward between a gateway that is played here (gateway.h's functions below stand in for
 * bridge/gateway.c) and two uplinks to fake relays.
 */

#include "bridge/forward.h"

#include <stdio.h>

#include "bridge/routes.h"
#include "libsecure/service-record.h"
#include "tests/bridge-relay.h"
#include "tests/main.h"

#define N 2

static const Address far = { 0x3333333333333333, 3 }, to_bridge = { .pid = PID_BRIDGE };

static FakeRelay relays[N];
static Uplink *uplinks[N];
static IdentityKey *bridge_key, *alice_key;
static Address alice;
static Presence *presence;
static KnownRelays *known;
static ParcelPool *pool;
static Forward *forward;
static Log logger;

/* The daemon: what it was told and given. */
static bool attached;
static size_t unread;
static RelayFrame words[4096];
static uint8_t told_links[CONTROL_LINKS_MAX][CONTROL_LINK_HEAD_SIZE + CONTROL_LINK_URL_MAX];
static unsigned n_words, n_passed;
static PacketHeader passed;

bool gateway_is_attached(const Gateway *gateway) {
        (void)gateway;
        return attached;
}
void gateway_say(Gateway *gateway, const Control *control, Address dst, const PacketId *id) {
        static const PacketId none;

        (void)gateway;
        if (!attached)
                return;
        ck_assert_uint_lt(n_words, ELEMENTSOF(words));
        words[n_words].control = *control;
        if (control->verb == CONTROL_LINK) { /* whose body is the speaker's */
                memcpy(told_links[control->value], control->body, control->n_body);
                words[n_words].control.body = told_links[control->value];
        }
        words[n_words].header = (PacketHeader){ .dst = dst, .id = id ? *id : none };
        n_words++;
}
void gateway_pass(Gateway *gateway, const uint8_t *packet, size_t n_packet) {
        (void)gateway;
        ck_assert(attached);
        ck_assert_int_eq(packet_header_decode(packet, n_packet, &passed), 0);
        n_passed++;
}
size_t gateway_output_size(const Gateway *gateway) {
        (void)gateway;
        return unread;
}
Gateway *gateway_free(Gateway *gateway) {
        (void)gateway;
        return NULL;
}
int gateway_new(Gateway **ret, const GatewayOptions *options) {
        (void)ret;
        (void)options;
        return -ENOTSUP;
}

static unsigned heard(ControlVerb verb, const RelayFrame **ret) {
        unsigned n = 0;

        for (unsigned i = 0; i < n_words; i++)
                if (words[i].control.verb == verb) {
                        n++;
                        if (ret)
                                *ret = &words[i];
                }
        return n;
}

static void daemon_says(const Control *control, Address dst, uint64_t number) {
        PacketHeader header = {
                .dst = dst,
                .id = packet_id_make(7, number),
                .kind = PACKET_CONTROL,
        };

        forward_gateway_handlers.on_control(&header, control, forward);
}

static void daemon_goes(void) {
        attached = false;
        forward_gateway_handlers.on_detached(forward);
}

static void daemon_comes(void) {
        attached = true;
        forward_gateway_handlers.on_attached(forward);
}

static void run(void) {
        for (unsigned i = 0; i < N; i++)
                relay_run(&relays[i]);
}

static void relay_says(unsigned i, const Control *control, Address dst) {
        relay_say(&relays[i], control, dst, NULL);
        run();
}

static void relay_leases(unsigned i) {
        const Control leased = { .verb = CONTROL_LEASED, .address = alice };

        relay_says(i, &leased, to_bridge);
}

static void bring_up(unsigned i) {
        Control synced = { .verb = CONTROL_SYNCED };

        uplink_tick(uplinks[i], uplink_deadline(uplinks[i]));
        run();
        relay_says(i, &synced, to_bridge);
        ck_assert(uplink_is_synced(uplinks[i]));
}

static void hang_up(unsigned i) {
        relay_hang_up(&relays[i], "killed");
}

static void setup(void) {
        char url[128];
        unsigned line;

        logger = (Log){ .program = "test", .level = LOG_LEVEL_ERROR };
        ck_assert_int_eq(crypto_init(), 0);
        ck_assert_int_eq(identity_new_random(&bridge_key), 0);
        ck_assert_int_eq(identity_new_random(&alice_key), 0);
        alice = identity_hash(alice_key)->address;
        ck_assert_int_eq(presence_new(&presence, bridge_key), 0);
        ck_assert_int_eq(known_relays_new(&known, NULL, &line), 0);
        ck_assert_int_eq(parcel_pool_new(&pool), 0);
        ck_assert_int_eq(forward_new(&forward, &logger, pool), 0);
        attached = true;
        for (unsigned i = 0; i < N; i++) {
                UplinkOptions options = {
                        .slot = i,
                        .driver = &relays[i].driver,
                        .pool = pool,
                        .presence = presence,
                        .known = known,
                        .log = &logger,
                        .heartbeat_usec = 5 * USEC_PER_SEC,
                        .handlers = &forward_uplink_handlers,
                        .userdata = forward,
                };

                relay_init(&relays[i]);
                relays[i].port = i + 1;
                options.url = relay_url(&relays[i], true, url);
                ck_assert_int_eq(uplink_new(&uplinks[i], &options), 0);
                forward_set_uplink(forward, i, uplinks[i]);
        }
}

static void teardown(void) {
        for (unsigned i = 0; i < N; i++) {
                uplinks[i] = uplink_free(uplinks[i]);
                relay_done(&relays[i]);
        }
        forward = forward_free(forward);
        pool = parcel_pool_free(pool);
        known = known_relays_free(known);
        presence = presence_free(presence);
        alice_key = identity_free(alice_key);
        bridge_key = identity_free(bridge_key);
}

static void lease_with(uint64_t issued_usec, uint32_t value) {
        SignedRecord record = {
                .type = SIGNED_RECORD_LEASE,
                .issued_usec = issued_usec,
                .not_after_usec = issued_usec + SIGNED_RECORD_LEASE_LIFE_USEC,
                .lease = {
                        .enc_until_usec = issued_usec + SIGNED_RECORD_LEASE_LIFE_USEC,
                        .bridge = *identity_public(bridge_key),
                },
        };
        uint8_t bytes[SIGNED_RECORD_LEASE_SIZE];
        Control control = { .verb = CONTROL_LEASE, .value = value, .body = bytes };

        memset(record.lease.encpk, 9, sizeof(record.lease.encpk));
        ck_assert_int_eq(
                signed_record_sign(&record, alice_key, bytes, sizeof(bytes), &control.n_body), 0);
        ck_assert_uint_eq(control.n_body, CONTROL_LEASE_SIZE);
        daemon_says(&control, alice, 0);
        run();
}

static void lease(uint64_t issued_usec) {
        lease_with(issued_usec, 0);
}

/* @who wants "t"; @body is what the word says it with. */
static Control wanted_by(const IdentityKey *who, uint8_t body[static CONTROL_KEY_SIZE + 1]) {
        memcpy(body, identity_public(who)->bytes, CONTROL_KEY_SIZE);
        body[CONTROL_KEY_SIZE] = 't';
        return (Control){
                .verb = CONTROL_WANTED,
                .value = WANTED_BEGIN,
                .address = identity_hash(who)->address,
                .body = body,
                .n_body = CONTROL_KEY_SIZE + 1,
        };
}

static void want(void) {
        uint8_t body[CONTROL_KEY_SIZE + 1];
        const Control wanted = wanted_by(alice_key, body);

        daemon_says(&wanted, to_bridge, 0);
}

static void daemon_synced(void) {
        Control synced = { .verb = CONTROL_SYNCED };

        daemon_says(&synced, alice, 0);
        run();
}

/* Everything in place: leases, both links. */
static void ready(void) {
        lease(now_usec(CLOCK_REALTIME));
        daemon_synced();
        for (unsigned i = 0; i < N; i++) {
                bring_up(i);
                relay_leases(i);
                relay_forget(&relays[i]);
        }
        n_words = 0;
}

static PacketId send_packet_with(Address dst, uint8_t hops, uint8_t n_fds, uint8_t number) {
        PacketHeader header = {
                .size = 300,
                .n_fds = n_fds,
                .hops = hops,
                .src = alice,
                .dst = dst,
                .id = packet_id_make(now_usec(CLOCK_REALTIME), number),
                .kind = PACKET_SEALED,
        };
        uint8_t bytes[300];

        memset(bytes, number, sizeof(bytes));
        packet_header_encode(&header, bytes);
        forward_gateway_handlers.on_packet(&header, bytes, forward);
        run();
        return header.id;
}

static PacketId send_packet(Address dst, uint8_t hops, uint8_t number) {
        return send_packet_with(dst, hops, 0, number);
}

/* The relay that has got the packet. */
static unsigned carrier(void) {
        return relay_packets(&relays[0], NULL) > 0 ? 0 : 1;
}

static void relay_refuses(unsigned i, uint16_t code, const PacketId *id, Address dst) {
        Control error = {
                .verb = CONTROL_ERROR,
                .code = code,
                .value = REFUSED_BY_FAR_DAEMON, /* as the relay heard it */
                .ref = *id,
                .address = dst,
        };

        relay_says(i, &error, alice);
}

static uint64_t resolve(Address address) {
        Control control = { .verb = CONTROL_RESOLVE, .address = address };

        daemon_says(&control, to_bridge, 55);
        run();
        return 55;
}

static void relay_resolves(unsigned i, uint16_t code) {
        uint8_t bytes[CONTROL_LEASE_SIZE] = { 0 };
        Control answer = { .verb = CONTROL_RESOLVED, .code = code, .address = far };
        const RelayFrame *question = NULL;

        ck_assert_uint_gt(relay_heard(&relays[i], CONTROL_RESOLVE, &question), 0);
        answer.ref = question->header.id;
        if (code == CODE_OK) {
                answer.body = bytes;
                answer.n_body = sizeof(bytes);
        }
        relay_says(i, &answer, to_bridge);
}

/* Leases */

START_TEST(leases_are_presented_before_synced) {
        lease(now_usec(CLOCK_REALTIME));
        uplink_tick(uplinks[0], 1);
        run();
        ck_assert_uint_eq(relays[0].frames[0].control.verb, CONTROL_LEASE);
        /* The daemon has not said that these are all. */
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_SYNCED, NULL), 0);
        daemon_synced();
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_SYNCED, NULL), 1);

        uplink_tick(uplinks[1], 1);
        run();
        ck_assert_uint_eq(relays[1].frames[0].control.verb, CONTROL_LEASE);
        ck_assert_uint_eq(relays[1].frames[1].control.verb, CONTROL_SYNCED);
}
END_TEST

START_TEST(the_daemon_hears_on_how_many_links_a_process_is_known) {
        const RelayFrame *word = NULL;

        lease(now_usec(CLOCK_REALTIME));
        daemon_synced();
        bring_up(0);
        bring_up(1);
        relay_leases(0);
        ck_assert_uint_eq(heard(CONTROL_LEASED, &word), 1);
        ck_assert_uint_eq(word->control.value, 1);
        ck_assert(address_equal(word->control.address, alice));
        relay_leases(1);
        heard(CONTROL_LEASED, &word);
        ck_assert_uint_eq(word->control.value, 2);

        hang_up(0);
        heard(CONTROL_LEASED, &word);
        ck_assert_uint_eq(word->control.value, 1);
}
END_TEST

START_TEST(a_renewed_lease_is_presented_everywhere_an_old_one_nowhere) {
        uint64_t now = now_usec(CLOCK_REALTIME);

        ready();
        lease(now - 1000);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_LEASE, NULL), 0);
        ck_assert_uint_eq(heard(CONTROL_LEASED, NULL), 1); /* what we know of it */
        lease(now_usec(CLOCK_REALTIME) + 1000);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_LEASE, NULL), 1);
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_LEASE, NULL), 1);
}
END_TEST

START_TEST(what_is_wanted_is_said_to_each_link_that_has_taken_the_lease) {
        const Control full = { .verb = CONTROL_LEASED, .code = CODE_RATE, .address = alice };

        ready();
        want();
        run();
        for (unsigned i = 0; i < N; i++) {
                ck_assert_uint_eq(relay_heard(&relays[i], CONTROL_WANTED, NULL), 1);
                relay_forget(&relays[i]);
        }

        lease(now_usec(CLOCK_REALTIME));
        relay_says(0, &full, to_bridge);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_WANTED, NULL), 0);
        for (unsigned i = 0; i < 2; i++) {
                relay_leases(0);
                ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_WANTED, NULL), 1);
        }
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_WANTED, NULL), 0);

        hang_up(1);
        bring_up(1);
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_WANTED, NULL), 0);
        relay_leases(1);
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_WANTED, NULL), 1);
}
END_TEST

START_TEST(who_leaves_is_reported_to_all) {
        Control detached = { .verb = CONTROL_DETACHED };

        ready();
        detached.address = alice;
        daemon_says(&detached, to_bridge, 0);
        run();
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_DETACHED, NULL), 1);
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_DETACHED, NULL), 1);
}
END_TEST

START_TEST(who_does_not_come_back_with_the_daemon_is_dropped) {
        ready();
        daemon_goes();
        ck_assert_uint_eq(forward_deadline(forward), USEC_NEVER);
        daemon_comes();
        daemon_synced();
        ck_assert_uint_ne(forward_deadline(forward), USEC_NEVER);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_DETACHED, NULL), 0);
        forward_tick(forward, forward_deadline(forward));
        run();
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_DETACHED, NULL), 1);
}
END_TEST

START_TEST(who_comes_back_with_the_daemon_stays) {
        uint64_t now = now_usec(CLOCK_REALTIME);

        lease(now);
        ready();
        daemon_goes();
        daemon_comes();
        lease(now_usec(CLOCK_REALTIME) + 5);
        daemon_synced();
        forward_tick(forward, forward_deadline(forward));
        run();
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_DETACHED, NULL), 0);
}
END_TEST

/* To elsewhere */

START_TEST(a_packet_goes_one_way_only) {
        const RelayFrame *sent = NULL;

        ready();
        send_packet(far, 3, 1);
        ck_assert_uint_eq(relay_packets(&relays[0], &sent) + relay_packets(&relays[1], &sent), 1);
        ck_assert_uint_eq(sent->header.hops, 4);
        ck_assert_uint_eq(sent->header.hflags, 0);
}
END_TEST

START_TEST(a_link_that_knows_the_destination_is_taken) {
        ready();
        for (unsigned i = 0; i < N; i++) {
                Address dst = { far.pid + i, 4 };

                relay_send_packet(&relays[i], dst, alice, 100, 0); /* it came by there */
                send_packet(dst, 0, (uint8_t)(10 + i));
                ck_assert_uint_eq(relay_packets(&relays[i], NULL), 1);
        }
}
END_TEST

START_TEST(the_next_link_is_tried_then_the_sender_hears_of_it) {
        const RelayFrame *word = NULL;
        PacketId id;
        unsigned first;

        ready();
        id = send_packet(far, 0, 1);
        first = carrier();
        relay_refuses(first, CODE_NOT_HERE, &id, far);
        ck_assert_uint_eq(relay_packets(&relays[1 - first], NULL), 1);
        ck_assert_uint_eq(heard(CONTROL_ERROR, NULL), 0);

        relay_refuses(1 - first, CODE_NOT_HERE, &id, far);
        ck_assert_uint_eq(relay_packets(&relays[first], NULL), 1); /* not again */
        ck_assert_uint_eq(heard(CONTROL_ERROR, &word), 1);
        ck_assert_uint_eq(word->control.code, CODE_NOT_HERE);
        ck_assert_uint_eq(word->control.value, REFUSED_BY_FAR_DAEMON);
        ck_assert(address_equal(word->header.dst, alice));
        ck_assert(address_equal(word->control.address, far));
        ck_assert_mem_eq(&word->control.ref, &id, sizeof(id));
}
END_TEST

START_TEST(settling_outweighs_not_here) {
        const RelayFrame *word = NULL;
        PacketId id;
        unsigned first;

        ready();
        id = send_packet(far, 0, 1);
        first = carrier();
        relay_refuses(first, CODE_SETTLING, &id, far);
        relay_refuses(1 - first, CODE_NOT_HERE, &id, far);
        ck_assert_uint_eq(heard(CONTROL_ERROR, &word), 1);
        ck_assert_uint_eq(word->control.code, CODE_SETTLING);
}
END_TEST

START_TEST(other_refusals_go_straight_to_the_sender) {
        const RelayFrame *word = NULL;
        PacketId id;
        unsigned first;

        ready();
        id = send_packet(far, 0, 1);
        first = carrier();
        relay_refuses(first, CODE_OVERLOAD, &id, far);
        ck_assert_uint_eq(heard(CONTROL_ERROR, &word), 1);
        ck_assert_uint_eq(word->control.code, CODE_OVERLOAD);
        ck_assert_uint_eq(word->control.value, REFUSED_BY_FAR_DAEMON);
}
END_TEST

START_TEST(a_relay_cannot_talk_to_processes_it_does_not_carry) {
        Control error = { .verb = CONTROL_ERROR, .code = CODE_OVERLOAD, .address = far };

        ready();
        relay_says(0, &error, (Address){ 0x7777777777777777, 1 });
        ck_assert_uint_eq(n_words, 0);
}
END_TEST

START_TEST(unleased_is_presented_again_and_sent_once_more) {
        Control unleased = { .verb = CONTROL_UNLEASED };
        const RelayFrame *word = NULL;
        unsigned first;

        ready();
        unleased.ref = send_packet(far, 0, 1);
        unleased.address = alice;
        first = carrier();
        relay_forget(&relays[first]);
        relay_says(first, &unleased, to_bridge);
        ck_assert_uint_eq(relays[first].n_frames, 2);
        ck_assert_uint_eq(relays[first].frames[0].control.verb, CONTROL_LEASE);
        ck_assert_uint_eq(relays[first].frames[1].header.kind, PACKET_SEALED);
        ck_assert_uint_eq(heard(CONTROL_ERROR, NULL), 0);

        relay_says(first, &unleased, to_bridge);
        ck_assert_uint_eq(relay_packets(&relays[first], NULL), 1);
        ck_assert_uint_eq(heard(CONTROL_ERROR, &word), 1);
        ck_assert_uint_eq(word->control.code, CODE_NOT_LEASED);
}
END_TEST

static const struct {
        const char *what;
        bool up, leased;
        uint8_t hops, n_fds;
        Pid dst;
        uint16_t code;
} refusals[] = {
        { "no link", false, true, 0, 0, 0x3333333333333333, CODE_SETTLING },
        { "no lease", true, false, 0, 0, 0x3333333333333333, CODE_NOT_LEASED },
        { "in circles", true, true, FORWARD_HOPS_MAX, 0, 0x3333333333333333, CODE_OVERLOAD },
        { "with descriptors", true, true, 0, 1, 0x3333333333333333, CODE_UNSUPPORTED },
        { "to the relay itself", true, true, 0, 0, PID_RELAY, CODE_NOT_HERE },
        { "to everyone", true, true, 0, 0, PID_EVERYONE, CODE_NOT_HERE },
};

START_TEST(what_cannot_be_sent_is_refused) {
        const RelayFrame *word = NULL;

        if (refusals[_i].leased)
                lease(now_usec(CLOCK_REALTIME));
        if (refusals[_i].up)
                bring_up(0);
        send_packet_with((Address){ refusals[_i].dst, 3 }, refusals[_i].hops, refusals[_i].n_fds,
                         1);
        ck_assert_uint_eq(relay_packets(&relays[0], NULL), 0);
        ck_assert_msg(heard(CONTROL_ERROR, &word) == 1, "%s", refusals[_i].what);
        ck_assert_msg(word->control.code == refusals[_i].code, "%s", refusals[_i].what);
        ck_assert_uint_eq(word->control.value, REFUSED_BY_BRIDGE);
        ck_assert(address_equal(word->header.dst, alice));
}
END_TEST

/* From elsewhere */

START_TEST(packets_from_elsewhere_reach_the_daemon) {
        ready();
        relay_send_packet(&relays[1], far, alice, 200, 2);
        ck_assert_uint_eq(n_passed, 1);
        ck_assert_uint_eq(passed.hops, 3);
        ck_assert(address_equal(passed.src, far));
}
END_TEST

START_TEST(without_a_daemon_the_sender_elsewhere_is_told_to_wait) {
        const RelayFrame *word = NULL;

        ready();
        attached = false;
        relay_send_packet(&relays[1], far, alice, 200, 2);
        run();
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_ERROR, &word), 1);
        ck_assert_uint_eq(word->control.code, CODE_SETTLING);
        ck_assert_uint_eq(word->control.value, REFUSED_BY_FAR_BRIDGE);
        ck_assert(address_equal(word->header.dst, far));
        ck_assert(address_equal(word->control.address, alice));
}
END_TEST

START_TEST(bits_that_mean_nothing_yet_do_not_reach_the_daemon) {
        PacketHeader header = {
                .size = 100,
                .src = far,
                .dst = alice,
                .id = packet_id_make(now_usec(CLOCK_REALTIME), 1),
                .kind = PACKET_SEALED,
        };
        const RelayFrame *word = NULL;
        uint8_t bytes[100] = { 0 };

        ready();
        header.eflags = _i == 0 ? 1 : 0;
        header.last_fragment = _i == 1 ? 1 : 0;
        packet_header_encode(&header, bytes);
        relay_send(&relays[1], bytes, sizeof(bytes));
        run();
        ck_assert_uint_eq(n_passed, 0);
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_ERROR, &word), 1);
        ck_assert_uint_eq(word->control.code, CODE_UNSUPPORTED);

        forward_gateway_handlers.on_packet(&header, bytes, forward); /* nor the relay */
        run();
        ck_assert_uint_eq(relay_packets(&relays[0], NULL) + relay_packets(&relays[1], NULL), 0);
        ck_assert_uint_eq(heard(CONTROL_ERROR, &word), 1);
        ck_assert_uint_eq(word->control.code, CODE_UNSUPPORTED);
}
END_TEST

START_TEST(a_refusal_of_the_daemon_goes_back_where_the_packet_came_from) {
        Control error = { .verb = CONTROL_ERROR, .code = CODE_NOT_HERE };
        const RelayFrame *word = NULL;

        ready();
        error.address = alice;
        relay_send_packet(&relays[1], far, alice, 200, 2);
        daemon_says(&error, far, 1);
        run();
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_ERROR, NULL), 0);
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_ERROR, &word), 1);
        ck_assert_uint_eq(word->control.code, CODE_NOT_HERE);
        ck_assert_uint_eq(word->control.value, REFUSED_BY_FAR_DAEMON);
        ck_assert(address_equal(word->header.dst, far));
}
END_TEST

START_TEST(links_are_not_read_while_the_daemon_does_not_keep_up) {
        ready();
        forward_settle(forward);
        ck_assert(!relays[0].paused);
        unread = FORWARD_PAUSE_BYTES + 1;
        forward_settle(forward);
        ck_assert(relays[0].paused && relays[1].paused);
        unread = FORWARD_RESUME_BYTES + 1;
        forward_settle(forward);
        ck_assert(relays[0].paused);
        unread = 0;
        forward_settle(forward);
        ck_assert(!relays[0].paused && !relays[1].paused);
}
END_TEST

/* Questions */

START_TEST(a_question_goes_to_every_link) {
        const RelayFrame *word = NULL;
        uint64_t ref;

        ready();
        ref = resolve(far);
        relay_resolves(0, CODE_NOT_HERE);
        ck_assert_uint_eq(heard(CONTROL_RESOLVED, NULL), 0);
        relay_resolves(1, CODE_OK);
        ck_assert_uint_eq(heard(CONTROL_RESOLVED, &word), 1);
        ck_assert_uint_eq(word->control.code, CODE_OK);
        ck_assert_uint_eq(word->control.n_body, CONTROL_LEASE_SIZE);
        ck_assert_uint_eq(load_be64(word->control.ref.bytes + 8), ref);
        ck_assert(address_equal(word->control.address, far));

        send_packet(far, 0, 1); /* and the packet goes where the answer came from */
        ck_assert_uint_eq(relay_packets(&relays[1], NULL), 1);
}
END_TEST

START_TEST(not_here_only_when_all_say_so) {
        const RelayFrame *word = NULL;

        ready();
        resolve(far);
        relay_resolves(1, CODE_NOT_HERE);
        relay_resolves(0, CODE_NOT_HERE);
        ck_assert_uint_eq(heard(CONTROL_RESOLVED, &word), 1);
        ck_assert_uint_eq(word->control.code, CODE_NOT_HERE);
}
END_TEST

START_TEST(without_a_link_that_could_answer_the_answer_is_settling) {
        const RelayFrame *word = NULL;

        daemon_synced();
        resolve(far);
        ck_assert_uint_eq(heard(CONTROL_RESOLVED, &word), 1);
        ck_assert_uint_eq(word->control.code, CODE_SETTLING);
}
END_TEST

START_TEST(a_link_that_dies_is_not_waited_for) {
        const RelayFrame *word = NULL;

        ready();
        resolve(far);
        relay_resolves(1, CODE_NOT_HERE);
        hang_up(0);
        forward_tick(forward, MAX(forward_deadline(forward), UINT64_C(1)));
        ck_assert_uint_eq(heard(CONTROL_RESOLVED, &word), 1);
        ck_assert_uint_eq(word->control.code, CODE_SETTLING);
}
END_TEST

/* Names */

/* The daemon hands over what alice says of a name. */
static void service(const char *name, uint64_t issued_usec, uint8_t flags) {
        const SignedRecord record = {
                .type = SIGNED_RECORD_SERVICE,
                .flags = flags,
                .issued_usec = issued_usec,
                .not_after_usec = issued_usec + SIGNED_RECORD_LEASE_LIFE_USEC,
                .service = { .weight = 1, .name = { name, strlen(name) } },
        };
        uint8_t bytes[SERVICE_RECORD_SIZE_MAX];
        Control control = { .verb = CONTROL_SERVICE, .address = alice, .body = bytes };

        ck_assert_int_eq(service_record_sign(&record, alice_key, NULL, 0, bytes, &control.n_body),
                         0);
        daemon_says(&control, alice, 0);
        run();
}

static void resolve_name(uint32_t value) {
        Control control = { .verb = CONTROL_RESOLVE_NAME,
                            .value = value,
                            .body = (const uint8_t *)"a.b",
                            .n_body = 3 };

        daemon_says(&control, to_bridge, 66);
        run();
}

static void relay_answers(unsigned i, uint16_t code, uint32_t value, const char *body) {
        Control answer = { .verb = CONTROL_SERVICES,
                           .code = code,
                           .value = value,
                           .body = (const uint8_t *)body,
                           .n_body = body ? strlen(body) : 0 };
        const RelayFrame *question = NULL;

        ck_assert_uint_gt(relay_heard(&relays[i], CONTROL_RESOLVE_NAME, &question), 0);
        answer.ref = question->header.id;
        relay_says(i, &answer, to_bridge);
}

/* The @n-th word, counted from 1, is the last, of this. */
static void expect_services(unsigned n, uint16_t code, uint32_t value, size_t n_body) {
        const RelayFrame *word = NULL;

        ck_assert_uint_eq(heard(CONTROL_SERVICES, &word), n);
        ck_assert_uint_eq(word->control.code, code);
        ck_assert_uint_eq(word->control.value, value);
        ck_assert_uint_eq(word->control.n_body, n_body);
        ck_assert_uint_eq(load_be64(word->control.ref.bytes + 8), 66);
}

START_TEST(names_follow_the_lease_before_synced) {
        uint64_t now = now_usec(CLOCK_REALTIME);

        service("a.b", now, 0); /* nobody's, as yet */
        lease(now);
        service("a.b", now, 0);
        daemon_synced();
        uplink_tick(uplinks[0], 1);
        run();
        ck_assert_uint_eq(relays[0].frames[0].control.verb, CONTROL_LEASE);
        ck_assert_uint_eq(relays[0].frames[1].control.verb, CONTROL_SERVICE);
        ck_assert_uint_eq(relays[0].frames[2].control.verb, CONTROL_SYNCED);
}
END_TEST

START_TEST(names_are_said_once_and_again_to_who_has_the_lease_only_now) {
        uint64_t now = now_usec(CLOCK_REALTIME);

        ready();
        service("a.b", now, 0);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_SERVICE, NULL), 1);
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_SERVICE, NULL), 1);
        service("a.b", now, 0);
        service("a.b", now - 1, 0);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_SERVICE, NULL), 1);
        lease(now_usec(CLOCK_REALTIME) + 1000);
        relay_leases(0);
        relay_leases(0);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_SERVICE, NULL), 2);
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_SERVICE, NULL), 1);
}
END_TEST

START_TEST(names_that_end_are_over_everywhere) {
        uint64_t now = now_usec(CLOCK_REALTIME);
        const RelayFrame *word = NULL;

        ready();
        service("a.b", now, 0);
        service("a.c", now, 0);
        service("a.d", now, 0);
        service("a.b", now + 1, SIGNED_RECORD_WITHDRAWN);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_SERVICE, &word), 4);
        ck_assert_uint_eq(word->control.code, CODE_OK); /* in its own words */
        daemon_says(&(Control){ .verb = CONTROL_SERVICE,
                                .code = CODE_GONE,
                                .address = alice,
                                .body = (const uint8_t *)"a.c",
                                .n_body = 3 },
                    to_bridge, 0);
        run();
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_SERVICE, &word), 5);
        ck_assert_uint_eq(word->control.code, CODE_GONE);
        /* With its process all goes, even if that comes back at once; a link that comes hears of nothing. */
        daemon_says(&(Control){ .verb = CONTROL_DETACHED, .address = alice }, to_bridge, 0);
        run();
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_SERVICE, &word), 6);
        ck_assert_uint_eq(word->control.code, CODE_GONE);
        hang_up(0);
        relay_forget(&relays[0]);
        bring_up(0);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_SERVICE, NULL), 0);
}
END_TEST

START_TEST(names_that_do_not_come_back_with_the_daemon_are_dropped) {
        uint64_t now = now_usec(CLOCK_REALTIME);
        const RelayFrame *word = NULL;

        ready();
        service("a.b", now, 0);
        service("a.c", now, 0);
        daemon_goes();
        daemon_comes();
        lease(now_usec(CLOCK_REALTIME));
        service("a.c", now, 0);
        daemon_synced();
        relay_forget(&relays[0]);
        forward_tick(forward, forward_deadline(forward));
        run();
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_SERVICE, &word), 1);
        ck_assert_uint_eq(word->control.code, CODE_GONE);
        ck_assert_uint_eq(word->control.n_body, 3);
}
END_TEST

START_TEST(what_all_links_know_of_a_name_goes_to_the_daemon) {
        ready();
        resolve_name(0);
        relay_answers(0, CODE_OK, SERVICES_MORE, "first");
        expect_services(1, CODE_OK, SERVICES_MORE, 5);
        relay_answers(0, CODE_OK, 0, "more of it");
        expect_services(2, CODE_OK, SERVICES_MORE, 10);
        relay_answers(0, CODE_OK, 0, "and too late");
        ck_assert_uint_eq(heard(CONTROL_SERVICES, NULL), 2);
        relay_answers(1, CODE_NO_PROVIDER, 0, NULL);
        expect_services(3, CODE_OK, 0, 0);
}
END_TEST

START_TEST(nobody_is_said_only_when_all_links_say_so) {
        ready();
        resolve_name(0);
        relay_answers(0, CODE_NO_PROVIDER, 0, NULL);
        ck_assert_uint_eq(heard(CONTROL_SERVICES, NULL), 0);
        relay_answers(1, CODE_NO_PROVIDER, 0, NULL);
        expect_services(1, CODE_NO_PROVIDER, 0, 0);
        resolve_name(0);
        relay_answers(0, CODE_NO_PROVIDER, 0, NULL);
        hang_up(1);
        forward_tick(forward, MAX(forward_deadline(forward), UINT64_C(1)));
        expect_services(2, CODE_SETTLING, 0, 0);
}
END_TEST

START_TEST(a_silent_link_is_not_waited_for_long) {
        ready();
        resolve_name(0);
        relay_answers(0, CODE_OK, 0, "known");
        forward_tick(forward, now_usec(CLOCK_BOOTTIME) + 2 * USEC_PER_SEC);
        expect_services(2, CODE_OK, 0, 0);
}
END_TEST

/* Links */

START_TEST(the_daemon_is_told_of_links) {
        const RelayFrame *word = NULL;

        daemon_synced();
        bring_up(0);
        ck_assert_uint_gt(heard(CONTROL_LINKS, &word), 0);
        ck_assert_uint_eq(word->control.value, 1 | 2 << 16);
        ck_assert_uint_eq(heard(CONTROL_SYNCED, NULL), 1);
        bring_up(1);
        heard(CONTROL_LINKS, &word);
        ck_assert_uint_eq(word->control.value, 2 | 2 << 16);
        ck_assert_uint_eq(heard(CONTROL_SYNCED, NULL), 1); /* once is enough */
        ck_assert_uint_eq(heard(CONTROL_PATH_CHANGED, NULL), 0);
}
END_TEST

START_TEST(synced_waits_for_all_links_that_are_up) {
        Control ping = { .verb = CONTROL_PING };

        for (unsigned i = 0; i < N; i++) {
                uplink_tick(uplinks[i], 1);
                run();
                relay_says(i, &ping, to_bridge);
        }
        daemon_synced();
        ck_assert_uint_eq(heard(CONTROL_SYNCED, NULL), 0);
        relay_says(0, &(Control){ .verb = CONTROL_SYNCED }, to_bridge);
        ck_assert_uint_eq(heard(CONTROL_SYNCED, NULL), 0);
        relay_says(1, &(Control){ .verb = CONTROL_SYNCED }, to_bridge);
        ck_assert_uint_eq(heard(CONTROL_SYNCED, NULL), 1);
}
END_TEST

START_TEST(a_dead_link_changes_the_path_and_others_carry_on) {
        const RelayFrame *word = NULL;
        unsigned left;

        ready();
        send_packet(far, 0, 1);
        left = 1 - carrier();
        hang_up(1 - left);
        ck_assert_uint_eq(heard(CONTROL_PATH_CHANGED, &word), 1);
        ck_assert_uint_eq(word->control.value, 1);
        heard(CONTROL_LINKS, &word);
        ck_assert_uint_eq(word->control.value, 1 | 2 << 16);
        send_packet(far, 0, 2);
        ck_assert_uint_eq(relay_packets(&relays[left], NULL), 1);

        hang_up(left);
        ck_assert_uint_eq(heard(CONTROL_PATH_CHANGED, &word), 2);
        bring_up(left);
        ck_assert_uint_eq(heard(CONTROL_PATH_CHANGED, &word), 3); /* send what you have */
        ck_assert_uint_eq(word->control.value, 3);
}
END_TEST

/* What the daemon heard of link @slot last. */
static void expect_link(unsigned slot, uint16_t code, bool is_measured) {
        const Control *last = NULL;

        for (unsigned i = 0; i < n_words; i++)
                if (words[i].control.verb == CONTROL_LINK && words[i].control.value == slot)
                        last = &words[i].control;
        ck_assert_ptr_nonnull(last);
        ck_assert_uint_eq(last->code, code);
        ck_assert_uint_eq(last->n_body, CONTROL_LINK_HEAD_SIZE + strlen("ws://relay.example:1"));
        ck_assert_mem_eq(last->body + CONTROL_LINK_HEAD_SIZE, "ws://relay.example:", 19);
        ck_assert_uint_eq(last->body[CONTROL_LINK_HEAD_SIZE + 19], '1' + slot);
        ck_assert(is_measured == (load_le64(last->body) != USEC_NEVER));
}

START_TEST(the_shorter_link_is_preferred) {
        const RelayFrame *word = NULL;

        for (unsigned i = 0; i < N; i++) {
                Control pong = { .verb = CONTROL_PONG };
                const RelayFrame *ping = NULL;

                bring_up(i);
                ck_assert_uint_eq(relay_heard(&relays[i], CONTROL_PING, &ping), 1);
                pong.ref = ping->header.id;
                if (i == 1) /* only this one answers: the other was never measured */
                        relay_says(i, &pong, to_bridge);
                ck_assert_uint_gt(heard(CONTROL_LINK, &word), 0);
        }
        expect_link(0, CODE_OK, false);
        expect_link(1, CODE_OK, true);
        lease(now_usec(CLOCK_REALTIME));
        send_packet(far, 0, 1);
        ck_assert_uint_eq(relay_packets(&relays[1], NULL), 1);
}
END_TEST

START_TEST(a_link_that_carried_nothing_loses_nothing) {
        ready();
        send_packet(far, 0, 1);
        hang_up(1 - carrier());
        ck_assert_uint_eq(heard(CONTROL_PATH_CHANGED, NULL), 0);
}
END_TEST

/* Time comes to where the links would rest if nothing was carried. */
static void idle(void) {
        forward_tick(forward, forward_deadline(forward));
        run();
}

#define HOUR (3600 * USEC_PER_SEC)

/* Nothing else is due. */
static void ready_for_idling(void) {
        ready();
        while (forward_deadline(forward) != USEC_NEVER)
                forward_tick(forward, forward_deadline(forward));
        forward_set_idle(forward, HOUR);
}

static void rest(void) {
        ready_for_idling();
        idle();
        for (unsigned i = 0; i < N; i++)
                ck_assert(!uplink_is_up(uplinks[i]));
        ck_assert(forward_is_resting(forward));
        n_words = 0;
}

static void expect_awake(void) {
        ck_assert(!forward_is_resting(forward));
        for (unsigned i = 0; i < N; i++) {
                ck_assert_uint_eq(uplink_deadline(uplinks[i]), 0);
                bring_up(i);
        }
}

START_TEST(without_traffic_the_links_rest) {
        const RelayFrame *word = NULL;

        ready_for_idling();
        idle();
        for (unsigned i = 0; i < N; i++) {
                ck_assert_ptr_null(relays[i].transport);
                ck_assert_uint_eq(uplink_deadline(uplinks[i]), USEC_NEVER); /* for good */
        }
        ck_assert_uint_gt(heard(CONTROL_LINKS, &word), 0);
        ck_assert_uint_eq(word->control.value, 0 | 2 << 16);
        heard(CONTROL_LEASED, &word);
        ck_assert_uint_eq(word->control.value, 0); /* alice is known nowhere now */
        ck_assert_uint_eq(heard(CONTROL_PATH_CHANGED, NULL), 0);
        ck_assert_uint_eq(forward_deadline(forward), USEC_NEVER);
}
END_TEST

START_TEST(traffic_keeps_the_links) {
        uint64_t before;

        ready_for_idling();
        before = forward_deadline(forward);
        while (now_usec(CLOCK_BOOTTIME) + HOUR <= before)
                ;
        if (_i == 0)
                send_packet(far, 0, 1);
        else
                relay_send_packet(&relays[1], far, alice, 200, 2);
        idle();
        ck_assert(!forward_is_resting(forward));
        ck_assert_uint_gt(forward_deadline(forward), before);
        ck_assert(uplink_is_up(uplinks[0]));
}
END_TEST

START_TEST(a_packet_wakes_the_links) {
        const RelayFrame *word = NULL;

        rest();
        send_packet(far, 0, 1);
        ck_assert_uint_eq(heard(CONTROL_ERROR, &word), 1);
        ck_assert_uint_eq(word->control.code, CODE_SETTLING); /* to be sent again */
        expect_awake();
        ck_assert_uint_ge(heard(CONTROL_PATH_CHANGED, NULL), 1); /* now */
        send_packet(far, 0, 2);
        ck_assert_uint_eq(relay_packets(&relays[0], NULL) + relay_packets(&relays[1], NULL), 1);
}
END_TEST

START_TEST(a_question_wakes_the_links) {
        const RelayFrame *word = NULL;

        rest();
        resolve(far);
        ck_assert_uint_eq(heard(CONTROL_RESOLVED, &word), 1);
        ck_assert_uint_eq(word->control.code, CODE_SETTLING);
        expect_awake();
}
END_TEST

START_TEST(a_name_that_is_asked_for_again_wakes_no_links) {
        rest();
        resolve_name(RESOLVE_NAME_AGAIN);
        expect_services(1, CODE_SETTLING, 0, 0);
        ck_assert(forward_is_resting(forward));
        resolve_name(RESOLVE_NAME_ONCE);
        expect_services(2, CODE_SETTLING, 0, 0);
        expect_awake();
}
END_TEST

START_TEST(who_is_new_wakes_the_links_and_who_renews_his_lease_does_not) {
        rest();
        lease(now_usec(CLOCK_REALTIME) + 1);
        ck_assert(forward_is_resting(forward));
        daemon_says(&(Control){ .verb = CONTROL_DETACHED, .address = alice }, to_bridge, 1);
        ck_assert(forward_is_resting(forward));
        lease(now_usec(CLOCK_REALTIME) + 2);
        expect_awake();
}
END_TEST

START_TEST(a_relay_that_is_no_longer_configured_counts_as_dead) {
        const RelayFrame *word = NULL;
        unsigned gone;

        ready();
        send_packet(far, 0, 1);
        gone = carrier();
        forward_set_uplink(forward, gone, NULL);
        ck_assert_uint_eq(heard(CONTROL_PATH_CHANGED, NULL), 1);
        heard(CONTROL_LINKS, &word);
        ck_assert_uint_eq(word->control.value, 1 | 1 << 16);
        heard(CONTROL_LEASED, &word);
        ck_assert_uint_eq(word->control.value, 1);
}
END_TEST

/* Who may use some relays only: alice, in most of these the second */

#define FIRST "ws://relay.example:1"
#define SECOND "WS://Relay.Example:2/" /* as somebody may spell it */
#define ANOTHER "wss://another.example/p2pbus"
#define LIST(urls) urls, sizeof(urls) /* zeros between, and one behind */

static uint64_t issued;

static void relays_are(const char *urls, size_t n_urls) {
        const Control control = {
                .verb = CONTROL_RELAYS,
                .address = alice,
                .body = (const uint8_t *)urls,
                .n_body = n_urls,
        };

        daemon_says(&control, alice, 0);
}

/* Both links are up, and alice's lease, her name and what she wants were said where they are known. */
static void ready_with_relays(const char *urls, size_t n_urls) {
        issued = now_usec(CLOCK_REALTIME);
        if (urls)
                relays_are(urls, n_urls);
        lease(issued);
        service("a.b", issued, 0);
        want();
        daemon_synced();
        for (unsigned i = 0; i < N; i++)
                bring_up(i);
        n_words = 0;
}

/* How many frames are about alice, or by her. */
static unsigned relay_knows(unsigned slot) {
        unsigned n = 0;

        for (size_t i = 0; i < relays[slot].n_frames; i++) {
                const RelayFrame *f = &relays[slot].frames[i];

                n += f->header.kind == PACKET_CONTROL ? address_equal(f->control.address, alice)
                                                      : address_equal(f->header.src, alice);
        }
        return n;
}

static void expect_refused(const PacketId *id, uint16_t code) {
        const RelayFrame *word = NULL;

        ck_assert_uint_gt(heard(CONTROL_ERROR, &word), 0);
        ck_assert_mem_eq(&word->control.ref, id, sizeof(*id));
        ck_assert_uint_eq(word->control.code, code);
        n_words = 0;
}

START_TEST(who_may_use_one_relay_is_never_known_to_another) {
        const Control detached = { .verb = CONTROL_DETACHED, .address = alice };

        ready_with_relays(LIST(ANOTHER "\0" SECOND));
        relay_leases(0); /* of whom it cannot know */
        relay_leases(1);
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_LEASE, NULL), 1);
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_WANTED, NULL), 1);
        ck_assert_uint_gt(relay_heard(&relays[1], CONTROL_SERVICE, NULL), 0);
        service("a.b", issued + 1, 0);
        relays_are(LIST(SECOND "\0" ANOTHER));
        lease(issued + 1);
        daemon_says(&detached, to_bridge, 0);
        run();
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_LEASE, NULL), 2);
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_DETACHED, NULL), 1);
        ck_assert_uint_eq(relay_knows(0), 0);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_SYNCED, NULL), 1);
}
END_TEST

START_TEST(what_is_no_url_is_no_relay) {
        ready_with_relays(LIST("\0relay.example:1\0" FIRST "/x\0wss://relay.example:1"));
        ck_assert_uint_eq(relay_knows(0) + relay_knows(1), 0);
}
END_TEST

START_TEST(its_packets_take_no_other_relay_however_near) {
        Control pong = { .verb = CONTROL_PONG };
        const RelayFrame *ping = NULL, *word = NULL;
        PacketId id;

        ready_with_relays(LIST(SECOND));
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_PING, &ping), 1);
        pong.ref = ping->header.id;
        relay_says(0, &pong, to_bridge);                   /* the other was never measured */
        relay_send_packet(&relays[0], far, alice, 200, 1); /* and does not know far */
        id = send_packet(far, 0, 1);
        ck_assert_uint_eq(relay_packets(&relays[1], NULL), 1);
        n_words = 0;
        relay_refuses(1, CODE_NOT_HERE, &id, far);
        ck_assert_uint_eq(heard(CONTROL_ERROR, &word), 1);
        ck_assert_uint_eq(word->control.code, CODE_NOT_HERE);
        ck_assert_uint_eq(relay_packets(&relays[0], NULL), 0);
}
END_TEST

START_TEST(while_its_relay_is_down_it_has_none) {
        PacketId id;

        ready_with_relays(LIST(SECOND));
        hang_up(1);
        id = send_packet(far, 0, 1);
        expect_refused(&id, CODE_SETTLING); /* it may come back */
        bring_up(1);
        ck_assert_uint_eq(heard(CONTROL_PATH_CHANGED, NULL), 1); /* as the last one would */
        id = send_packet(far, 0, 2);
        ck_assert_uint_eq(relay_packets(&relays[1], NULL), 1);
        ck_assert_uint_eq(relay_knows(0), 0);

        forward_set_uplink(forward, 1, NULL);
        id = send_packet(far, 0, 3);
        expect_refused(&id, CODE_NO_ROUTE);
        forward_set_uplink(forward, 1, uplinks[1]);
        id = send_packet(far, 0, 4);
        ck_assert_uint_eq(relay_packets(&relays[1], NULL), 2);
}
END_TEST

/* Asked for a process that may use these. */
static void resolve_by(const char *urls, size_t n_urls) {
        const Control control = {
                .verb = CONTROL_RESOLVE,
                .address = far,
                .body = (const uint8_t *)urls,
                .n_body = n_urls,
        };

        daemon_says(&control, to_bridge, 55);
        run();
}

START_TEST(its_questions_go_nowhere_else) {
        const RelayFrame *word = NULL;

        ready_with_relays(NULL, 0);
        resolve_by(LIST(SECOND));
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_RESOLVE, NULL), 0);
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_RESOLVE, &word), 1);
        ck_assert_uint_eq(word->control.n_body, 0); /* it is not told for whom */
        relay_resolves(1, CODE_NOT_HERE);
        ck_assert_uint_eq(heard(CONTROL_RESOLVED, &word), 1);
        ck_assert_uint_eq(word->control.code, CODE_NOT_HERE); /* nobody else is waited for */

        resolve_by(LIST(ANOTHER));
        ck_assert_uint_eq(heard(CONTROL_RESOLVED, &word), 2);
        ck_assert_uint_eq(word->control.code, CODE_NO_ROUTE);
        hang_up(1);
        resolve_by(LIST(SECOND));
        ck_assert_uint_eq(heard(CONTROL_RESOLVED, &word), 3);
        ck_assert_uint_eq(word->control.code, CODE_SETTLING);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_RESOLVE, NULL), 0);
}
END_TEST

START_TEST(what_comes_for_it_by_another_relay_is_not_given_to_it) {
        const Address to[] = { alice, { .pid = alice.pid }, { alice.pid, alice.tag ^ 1 } };

        ready_with_relays(LIST(SECOND));
        for (unsigned i = 0; i < ELEMENTSOF(to); i++)
                relay_send_packet(&relays[0], far, to[i], 200, 1);
        run();
        ck_assert_uint_eq(n_passed, 0);
        for (unsigned i = 0; i < ELEMENTSOF(to); i++)
                relay_send_packet(&relays[1], far, to[i], 200, 1);
        ck_assert_uint_eq(n_passed, ELEMENTSOF(to));
}
END_TEST

START_TEST(another_relay_hears_of_it_what_it_hears_of_nobody) {
        const Address nobody = { 0x4444444444444444, 5 };
        const Control not_here = {
                .verb = CONTROL_ERROR,
                .code = CODE_NOT_HERE,
                .value = REFUSED_BY_DAEMON,
                .ref = packet_id_make(9, 9),
                .address = nobody,
        };
        const RelayFrame *of_alice = NULL, *of_nobody = NULL;

        ready_with_relays(LIST(SECOND));
        relay_send_packet(&relays[0], far, nobody, 200, 1);
        ck_assert_uint_eq(n_passed, 1);
        daemon_says(&not_here, far, 0);
        run();
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_ERROR, &of_nobody), 1);
        relay_send_packet(&relays[0], far, alice, 200, 1);
        run();
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_ERROR, &of_alice), 2);
        ck_assert_uint_eq(of_alice->control.code, of_nobody->control.code);
        ck_assert_uint_eq(of_alice->control.value, of_nobody->control.value);
        ck_assert(address_equal(of_alice->control.address, alice));
        ck_assert(address_equal(of_alice->header.dst, of_nobody->header.dst));
        ck_assert_uint_eq(of_alice->control.n_body, of_nobody->control.n_body);
}
END_TEST

START_TEST(a_refusal_does_not_tell_another_relay_of_it) {
        const Control error = { .verb = CONTROL_ERROR, .code = CODE_QUEUE_FULL, .address = alice };

        ready_with_relays(LIST(SECOND));
        relay_send_packet(&relays[1], far, alice, 200, 1);
        relay_send_packet(&relays[0], far, (Address){ 0x4444444444444444, 5 }, 200, 1);
        daemon_says(&error, far, 0);
        run();
        ck_assert_uint_eq(relay_knows(0), 0);
        /* But the one that brought it, though the other was the last to bring something from there. */
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_ERROR, NULL), 1);
}
END_TEST

START_TEST(a_new_policy_takes_it_from_a_relay_and_gives_it_back) {
        Control unleased = { .verb = CONTROL_UNLEASED, .address = alice };
        const RelayFrame *word = NULL;

        ready_with_relays(NULL, 0);
        for (unsigned i = 0; i < N; i++) {
                relay_leases(i);
                relay_forget(&relays[i]);
        }
        relays_are(LIST(SECOND));
        lease(issued);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_DETACHED, NULL), 1);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_WANTED, &word), 1);
        ck_assert_uint_eq(word->control.value, WANTED_END);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_SERVICE, &word), 1);
        ck_assert_uint_eq(word->control.code, CODE_GONE);
        ck_assert_uint_eq(relay_knows(1), 0); /* there all is as it was */
        ck_assert_uint_gt(heard(CONTROL_LEASED, &word), 0);
        ck_assert_uint_eq(word->control.value, 1);
        relay_says(0, &unleased, to_bridge);
        hang_up(0);
        bring_up(0);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_LEASE, NULL), 0);

        relay_forget(&relays[0]);
        lease(issued); /* nothing is said of relays: all */
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_LEASE, NULL), 1);
        relay_leases(0);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_WANTED, NULL), 1);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_SERVICE, NULL), 1);
        ck_assert_uint_eq(relay_knows(1), 0);
        heard(CONTROL_LEASED, &word);
        ck_assert_uint_eq(word->control.value, 2);
}
END_TEST

START_TEST(relays_are_said_of_one_lease_and_of_one_process) {
        Control relays_of = { .verb = CONTROL_RELAYS, .address = { 0x4444444444444444, 5 } };

        ready_with_relays(LIST(SECOND));
        daemon_says(&relays_of, alice, 0); /* of somebody else */
        lease(issued);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_LEASE, NULL), 1);
        relays_are(LIST(SECOND));
        forward_gateway_handlers.on_detached(forward); /* whose lease never came */
        lease(issued);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_DETACHED, NULL), 0);
}
END_TEST

START_TEST(whose_relays_were_not_said_though_they_should_have_been_may_use_none) {
        const Control relays_of = { .verb = CONTROL_RELAYS, .address = { 0x4444444444444444, 5 } };
        const RelayFrame *word = NULL;

        issued = now_usec(CLOCK_REALTIME);
        bring_up(0);
        bring_up(1);
        lease_with(issued, LEASE_RESTRICTED);
        daemon_says(&relays_of, alice, 0); /* of somebody else */
        lease_with(issued, LEASE_RESTRICTED);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_LEASE, NULL), 0);
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_LEASE, NULL), 0);
        send_packet(far, 0, 1);
        ck_assert_uint_eq(heard(CONTROL_ERROR, &word), 1);
        ck_assert_uint_eq(word->control.code, CODE_NO_ROUTE);

        relays_are(LIST(SECOND));
        lease_with(issued, LEASE_RESTRICTED);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_LEASE, NULL), 0);
        ck_assert_uint_eq(relay_heard(&relays[1], CONTROL_LEASE, &word), 1);
        ck_assert_uint_eq(word->control.value, 0);
}
END_TEST

/* The barrier */

static const Control ping_all = { .verb = CONTROL_PING, .value = PING_ALL };

static void daemon_asks(uint64_t number) {
        daemon_says(&ping_all, to_bridge, number);
        run();
}

/* Whether the daemon has heard @n PONGs in all, and the last one is to question @number. */
static void daemon_ponged(unsigned n, uint64_t number, uint32_t value) {
        const PacketId ref = packet_id_make(7, number);
        const RelayFrame *pong = NULL;

        ck_assert_uint_eq(heard(CONTROL_PONG, &pong), n);
        if (n == 0)
                return;
        ck_assert_mem_eq(&pong->control.ref, &ref, sizeof(ref));
        ck_assert_uint_eq(pong->control.value, value);
        ck_assert_uint_eq(pong->header.dst.pid, PID_DAEMON);
}

/* PINGs that relay @i was asked with; those of the heartbeat are none. */
static unsigned relay_asked(unsigned i, PacketId *ret_last) {
        unsigned n = 0;

        for (size_t k = 0; k < relays[i].n_frames; k++) {
                const RelayFrame *frame = &relays[i].frames[k];

                if (frame->header.kind != PACKET_CONTROL || frame->control.verb != CONTROL_PING ||
                    frame->control.value != PING_ALL)
                        continue;
                n++;
                if (ret_last)
                        *ret_last = frame->header.id;
        }
        return n;
}

static void relay_pongs_to(unsigned i, PacketId id, uint32_t value) {
        relay_says(i, &(Control){ .verb = CONTROL_PONG, .value = value, .ref = id }, to_bridge);
}

static void relay_pongs(unsigned i) {
        PacketId id;

        ck_assert_uint_gt(relay_asked(i, &id), 0);
        relay_pongs_to(i, id, PING_ALL);
}

/* It is up, but the relay has not judged its leases. */
static void bring_half_up(unsigned i) {
        uplink_tick(uplinks[i], uplink_deadline(uplinks[i]));
        run();
        relay_says(i, &(Control){ .verb = CONTROL_PING }, to_bridge);
        ck_assert(uplink_is_up(uplinks[i]) && !uplink_is_synced(uplinks[i]));
}

START_TEST(the_daemon_hears_when_all_links_have_answered) {
        ready();
        want();
        daemon_asks(1);
        for (unsigned i = 0; i < N; i++) { /* behind what it is about */
                ck_assert_uint_eq(relays[i].frames[0].control.verb, CONTROL_WANTED);
                ck_assert_uint_eq(relays[i].frames[1].control.verb, CONTROL_PING);
                ck_assert_uint_eq(relay_asked(i, NULL), 1);
        }
        relay_pongs(0);
        relay_pongs(0);
        daemon_ponged(0, 0, 0);
        relay_pongs(1);
        daemon_ponged(1, 1, PING_ALL);
        relay_pongs(1);
        daemon_ponged(1, 1, PING_ALL);
}
END_TEST

START_TEST(a_relay_that_does_not_know_makes_it_unknown) {
        PacketId id;

        ready();
        daemon_asks(1);
        ck_assert_uint_eq(relay_asked(0, &id), 1);
        relay_pongs_to(0, id, 0); /* as one of an earlier version does */
        relay_pongs(1);
        daemon_ponged(1, 1, 0);
        daemon_asks(2);
        relay_pongs(0);
        relay_pongs(1);
        daemon_ponged(2, 2, PING_ALL);
}
END_TEST

START_TEST(a_link_that_does_not_answer_is_waited_for_once) {
        uint64_t now = now_usec(CLOCK_BOOTTIME), deadline;

        ready();
        daemon_asks(1);
        relay_pongs(1);
        deadline = forward_deadline(forward);
        ck_assert_uint_ge(deadline, now + 2500 * USEC_PER_MSEC); /* a relay has 2 s for its own */
        ck_assert_uint_le(deadline, now_usec(CLOCK_BOOTTIME) + 2500 * USEC_PER_MSEC);
        forward_tick(forward, deadline - 1);
        daemon_ponged(0, 0, 0);
        forward_tick(forward, deadline);
        daemon_ponged(1, 1, 0);
        ck_assert_uint_gt(forward_deadline(forward), deadline);

        daemon_asks(2);
        relay_pongs(1);
        daemon_ponged(2, 2, 0);
        ck_assert_uint_eq(relay_asked(0, NULL), 1);

        relay_pongs(0); /* after all */
        daemon_asks(3);
        relay_pongs(1);
        daemon_ponged(3, 3, 0);
        relay_pongs(0); /* in time */
        daemon_asks(4);
        relay_pongs(1);
        daemon_ponged(3, 3, 0);
        relay_pongs(0);
        daemon_ponged(4, 4, PING_ALL);
}
END_TEST

START_TEST(each_time_a_relay_is_late_it_is_not_waited_for_twice_as_long) {
        unsigned number = 0;

        ready();
        for (unsigned i = 0, price = 1; i < 8; i++, price = MIN(2 * price, 64U)) {
                daemon_asks(++number);
                relay_pongs(1);
                daemon_ponged(number - 1, number - 1, 0); /* it is waited for */
                forward_tick(forward, forward_deadline(forward));
                daemon_ponged(number, number, 0);
                relay_pongs(0);
                for (unsigned k = 0; k < price; k++) {
                        relay_forget(&relays[0]);
                        relay_forget(&relays[1]);
                        daemon_asks(++number);
                        relay_pongs(1);
                        daemon_ponged(number, number, 0);
                        relay_pongs(0);
                }
        }
}
END_TEST

START_TEST(a_relay_that_may_know_nobody_here_is_not_asked) {
        ready_with_relays(LIST(SECOND));
        daemon_asks(1);
        ck_assert_uint_eq(relay_asked(0, NULL), 0);
        daemon_ponged(0, 0, 0);
        relay_pongs(1);
        daemon_ponged(1, 1, PING_ALL);
        relays_are(LIST(ANOTHER));
        lease(issued + 1);
        daemon_asks(2); /* who knows of nobody is nobody's proof */
        daemon_ponged(2, 2, 0);
}
END_TEST

START_TEST(an_answer_is_about_its_own_question) {
        PacketId first;

        ready();
        daemon_asks(1);
        ck_assert_uint_eq(relay_asked(0, &first), 1);
        relay_pongs(0);
        relay_pongs(1);
        daemon_asks(2);
        relay_pongs(1);
        relay_pongs_to(0, first, PING_ALL);
        daemon_ponged(1, 1, PING_ALL);
        relay_pongs(0);
        daemon_ponged(2, 2, PING_ALL);
}
END_TEST

START_TEST(a_link_that_is_lost_is_not_waited_for) {
        ready();
        daemon_asks(1);
        relay_pongs(1);
        hang_up(0);
        daemon_ponged(1, 1, 0);
        daemon_asks(2);
        relay_pongs(1);
        daemon_ponged(2, 2, PING_ALL);
}
END_TEST

START_TEST(a_link_is_asked_when_it_is_synced) {
        ready();
        hang_up(0);
        bring_half_up(0);
        relay_forget(&relays[0]);
        daemon_asks(1);
        relay_pongs(1);
        ck_assert_uint_eq(relay_asked(0, NULL), 0);
        daemon_ponged(0, 0, 0);
        relay_says(0, &(Control){ .verb = CONTROL_SYNCED }, to_bridge);
        ck_assert_uint_eq(relay_asked(0, NULL), 1);
        relay_pongs(0);
        daemon_ponged(1, 1, PING_ALL);
}
END_TEST

START_TEST(a_link_that_does_not_come_to_be_synced_is_waited_for_once) {
        ready();
        hang_up(0);
        bring_half_up(0);
        daemon_asks(1);
        relay_pongs(1);
        forward_tick(forward, forward_deadline(forward));
        daemon_ponged(1, 1, 0);
        daemon_asks(2);
        relay_pongs(1);
        daemon_ponged(2, 2, 0);
        relay_says(0, &(Control){ .verb = CONTROL_SYNCED }, to_bridge);
        ck_assert_uint_eq(relay_asked(0, NULL), 0);
        daemon_asks(3);
        relay_pongs(1);
        daemon_ponged(2, 2, 0);
        relay_pongs(0);
        daemon_ponged(3, 3, PING_ALL);
}
END_TEST

START_TEST(a_link_that_was_late_is_another_one_when_it_comes_back) {
        ready();
        daemon_asks(1);
        relay_pongs(1);
        forward_tick(forward, forward_deadline(forward));
        daemon_ponged(1, 1, 0);
        hang_up(0);
        bring_half_up(0);
        daemon_asks(2);
        relay_pongs(1);
        daemon_ponged(1, 1, 0);
        relay_says(0, &(Control){ .verb = CONTROL_SYNCED }, to_bridge);
        relay_pongs(0);
        daemon_ponged(2, 2, PING_ALL);
}
END_TEST

START_TEST(a_link_that_comes_later_is_not_waited_for) {
        ready();
        hang_up(0);
        daemon_asks(1);
        bring_up(0);
        ck_assert_uint_eq(relay_asked(0, NULL), 0);
        relay_pongs(1);
        daemon_ponged(1, 1, PING_ALL);
}
END_TEST

START_TEST(without_a_link_the_daemon_is_answered_at_once) {
        if (_i == 0)
                daemon_synced();
        else
                rest();
        daemon_asks(1);
        daemon_ponged(1, 1, 0);
}
END_TEST

START_TEST(the_daemon_has_one_question_at_a_time) {
        ready();
        daemon_asks(1);
        daemon_asks(2);
        daemon_ponged(1, 2, 0);
        ck_assert_uint_eq(relay_asked(0, NULL), 1);
        relay_pongs(0);
        relay_pongs(1);
        daemon_ponged(2, 1, PING_ALL);
}
END_TEST

START_TEST(what_a_daemon_asked_goes_with_it) {
        ready();
        daemon_asks(1);
        daemon_goes();
        ck_assert_uint_eq(forward_deadline(forward), USEC_NEVER);
        daemon_comes();
        relay_pongs(0);
        relay_pongs(1);
        daemon_ponged(0, 0, 0);
        daemon_asks(2);
        relay_pongs(0);
        relay_pongs(1);
        daemon_ponged(1, 2, PING_ALL);
}
END_TEST

/* The other way */

static void relay_asks(unsigned i, uint64_t number) {
        const PacketId id = packet_id_make(8, number);

        relay_say(&relays[i], &ping_all, to_bridge, &id);
        run();
}

/* Whether relay @i has heard @n PONGs in all, and the last one is to its question @number. */
static void relay_ponged(unsigned i, unsigned n, uint64_t number, uint32_t value) {
        const PacketId ref = packet_id_make(8, number);
        const RelayFrame *pong = NULL;

        ck_assert_uint_eq(relay_heard(&relays[i], CONTROL_PONG, &pong), n);
        if (n == 0)
                return;
        ck_assert_mem_eq(&pong->control.ref, &ref, sizeof(ref));
        ck_assert_uint_eq(pong->control.value, value);
}

/* What the daemon heard last is a PING. */
static PacketId daemon_asked(void) {
        ck_assert_uint_gt(n_words, 0);
        ck_assert_uint_eq(words[n_words - 1].control.verb, CONTROL_PING);
        ck_assert_uint_eq(words[n_words - 1].control.value, PING_ALL);
        ck_assert_uint_eq(words[n_words - 1].header.dst.pid, PID_DAEMON);
        return words[n_words - 1].header.id;
}

static void daemon_answers(PacketId id, uint32_t value) {
        daemon_says(&(Control){ .verb = CONTROL_PONG, .value = value, .ref = id }, to_bridge, 0);
        run();
}

/* Somebody behind relay @i wants something. */
static void far_want(unsigned i) {
        uint8_t body[CONTROL_KEY_SIZE + 1];
        const Control wanted = wanted_by(bridge_key, body);

        relay_says(i, &wanted, to_bridge);
}

START_TEST(a_relay_hears_when_the_daemon_has_answered) {
        PacketId id;

        ready();
        far_want(1);
        relay_asks(1, 1);
        id = daemon_asked();
        ck_assert_uint_eq(words[n_words - 2].control.verb, CONTROL_WANTED);
        relay_ponged(1, 0, 0, 0);
        daemon_answers(id, PING_ALL);
        relay_ponged(1, 1, 1, PING_ALL);
        relay_ponged(0, 0, 0, 0);
        daemon_answers(id, PING_ALL);
        relay_ponged(1, 1, 1, PING_ALL);

        relay_asks(1, 2);
        daemon_answers(daemon_asked(), 0); /* which has no room for more, say */
        relay_ponged(1, 2, 2, 0);
}
END_TEST

/* More waits for it than what may be left out then. */
static void make_relay_busy(unsigned i) {
        static const uint8_t body[CONTROL_RELAYS_MAX];
        const Control word = { .verb = CONTROL_RELAYS, .body = body, .n_body = sizeof(body) };

        for (unsigned k = 0; k < 16; k++)
                uplink_say(uplinks[i], &word, to_bridge, NULL);
}

START_TEST(a_relay_hears_the_answer_behind_however_many_words) {
        Control answer = { .verb = CONTROL_PONG, .value = PING_ALL };

        ready();
        relay_asks(0, 1);
        answer.ref = daemon_asked();
        make_relay_busy(0);
        daemon_says(&answer, to_bridge, 0);
        run();
        relay_ponged(0, 1, 1, PING_ALL);

        relay_asks(0, 2);
        make_relay_busy(0);
        daemon_goes();
        run();
        relay_ponged(0, 2, 2, 0);
}
END_TEST

START_TEST(each_relay_has_its_own_question_and_one_at_a_time) {
        PacketId first, second;

        ready();
        relay_asks(0, 1);
        first = daemon_asked();
        relay_asks(1, 1);
        second = daemon_asked();
        relay_asks(0, 2);
        relay_ponged(0, 1, 2, 0);
        ck_assert_uint_eq(heard(CONTROL_PING, NULL), 2);
        daemon_answers(second, PING_ALL);
        relay_ponged(1, 1, 1, PING_ALL);
        relay_ponged(0, 1, 2, 0);
        daemon_answers(first, PING_ALL);
        relay_ponged(0, 2, 1, PING_ALL);
}
END_TEST

START_TEST(the_daemon_is_asked_when_it_has_been_told_all) {
        bring_up(0);
        relay_forget(&relays[0]);
        far_want(0);
        relay_asks(0, 1);
        ck_assert_uint_eq(heard(CONTROL_PING, NULL), 0);
        relay_ponged(0, 0, 0, 0);
        daemon_answers((PacketId){ 0 }, PING_ALL); /* as it was not asked */
        relay_ponged(0, 0, 0, 0);
        n_words = 0;
        daemon_synced();
        ck_assert_uint_eq(words[0].control.verb, CONTROL_WANTED);
        ck_assert_uint_eq(words[1].control.verb, CONTROL_PING);
        ck_assert_uint_eq(heard(CONTROL_PING, NULL), 1);
        daemon_answers(words[1].header.id, PING_ALL);
        relay_ponged(0, 1, 1, PING_ALL);
}
END_TEST

START_TEST(without_a_daemon_a_relay_is_answered_at_once) {
        ready();
        relay_asks(0, 1); /* it leaves before it has answered */
        daemon_goes();
        run();
        relay_ponged(0, 1, 1, 0);
        relay_asks(0, 2);
        relay_ponged(0, 2, 2, 0);

        daemon_comes();
        daemon_synced();
        relay_asks(0, 3);
        daemon_answers(daemon_asked(), PING_ALL);
        relay_ponged(0, 3, 3, PING_ALL);
}
END_TEST

START_TEST(a_daemon_that_does_not_know_the_question_has_answered) {
        Control error = {
                .verb = CONTROL_ERROR,
                .code = CODE_UNSUPPORTED,
                .value = REFUSED_BY_DAEMON,
        };

        ready();
        relay_asks(0, 1);
        error.ref = daemon_asked();
        daemon_says(&error, to_bridge, 0);
        run();
        relay_ponged(0, 1, 1, 0);
        ck_assert_uint_eq(relay_heard(&relays[0], CONTROL_ERROR, NULL), 0);
}
END_TEST

START_TEST(what_a_lost_link_asked_is_not_answered_on_the_next) {
        PacketId first;

        ready();
        relay_asks(0, 1);
        first = daemon_asked();
        hang_up(0);
        bring_up(0);
        relay_forget(&relays[0]);
        n_words = 0;
        relay_asks(0, 2);
        daemon_answers(first, PING_ALL);
        relay_ponged(0, 0, 0, 0);
        daemon_answers(daemon_asked(), PING_ALL);
        relay_ponged(0, 1, 2, PING_ALL);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("bridge forward");
        TCase *leases = tcase_create("leases"), *out = tcase_create("out"),
              *in = tcase_create("in"), *questions = tcase_create("questions"),
              *links = tcase_create("links"), *names = tcase_create("names"),
              *some = tcase_create("some relays"), *barrier = tcase_create("barrier");

        tcase_add_checked_fixture(leases, setup, teardown);
        tcase_add_test(leases, leases_are_presented_before_synced);
        tcase_add_test(leases, the_daemon_hears_on_how_many_links_a_process_is_known);
        tcase_add_test(leases, a_renewed_lease_is_presented_everywhere_an_old_one_nowhere);
        tcase_add_test(leases, what_is_wanted_is_said_to_each_link_that_has_taken_the_lease);
        tcase_add_test(leases, who_leaves_is_reported_to_all);
        tcase_add_test(leases, who_does_not_come_back_with_the_daemon_is_dropped);
        tcase_add_test(leases, who_comes_back_with_the_daemon_stays);
        suite_add_tcase(suite, leases);

        tcase_add_checked_fixture(out, setup, teardown);
        tcase_add_test(out, a_packet_goes_one_way_only);
        tcase_add_test(out, a_link_that_knows_the_destination_is_taken);
        tcase_add_test(out, the_next_link_is_tried_then_the_sender_hears_of_it);
        tcase_add_test(out, settling_outweighs_not_here);
        tcase_add_test(out, other_refusals_go_straight_to_the_sender);
        tcase_add_test(out, a_relay_cannot_talk_to_processes_it_does_not_carry);
        tcase_add_test(out, unleased_is_presented_again_and_sent_once_more);
        tcase_add_loop_test(out, what_cannot_be_sent_is_refused, 0, ELEMENTSOF(refusals));
        suite_add_tcase(suite, out);

        tcase_add_checked_fixture(in, setup, teardown);
        tcase_add_test(in, packets_from_elsewhere_reach_the_daemon);
        tcase_add_test(in, without_a_daemon_the_sender_elsewhere_is_told_to_wait);
        tcase_add_loop_test(in, bits_that_mean_nothing_yet_do_not_reach_the_daemon, 0, 2);
        tcase_add_test(in, a_refusal_of_the_daemon_goes_back_where_the_packet_came_from);
        tcase_add_test(in, links_are_not_read_while_the_daemon_does_not_keep_up);
        suite_add_tcase(suite, in);

        tcase_add_checked_fixture(questions, setup, teardown);
        tcase_add_test(questions, a_question_goes_to_every_link);
        tcase_add_test(questions, not_here_only_when_all_say_so);
        tcase_add_test(questions, without_a_link_that_could_answer_the_answer_is_settling);
        tcase_add_test(questions, a_link_that_dies_is_not_waited_for);
        suite_add_tcase(suite, questions);

        tcase_add_checked_fixture(names, setup, teardown);
        tcase_add_test(names, names_follow_the_lease_before_synced);
        tcase_add_test(names, names_are_said_once_and_again_to_who_has_the_lease_only_now);
        tcase_add_test(names, names_that_end_are_over_everywhere);
        tcase_add_test(names, names_that_do_not_come_back_with_the_daemon_are_dropped);
        tcase_add_test(names, what_all_links_know_of_a_name_goes_to_the_daemon);
        tcase_add_test(names, nobody_is_said_only_when_all_links_say_so);
        tcase_add_test(names, a_silent_link_is_not_waited_for_long);
        suite_add_tcase(suite, names);

        tcase_add_checked_fixture(links, setup, teardown);
        tcase_add_test(links, the_daemon_is_told_of_links);
        tcase_add_test(links, synced_waits_for_all_links_that_are_up);
        tcase_add_test(links, a_dead_link_changes_the_path_and_others_carry_on);
        tcase_add_test(links, a_link_that_carried_nothing_loses_nothing);
        tcase_add_test(links, the_shorter_link_is_preferred);
        tcase_add_test(links, without_traffic_the_links_rest);
        tcase_add_loop_test(links, traffic_keeps_the_links, 0, 2);
        tcase_add_test(links, a_packet_wakes_the_links);
        tcase_add_test(links, a_question_wakes_the_links);
        tcase_add_test(links, a_name_that_is_asked_for_again_wakes_no_links);
        tcase_add_test(links, who_is_new_wakes_the_links_and_who_renews_his_lease_does_not);
        tcase_add_test(links, a_relay_that_is_no_longer_configured_counts_as_dead);
        suite_add_tcase(suite, links);

        tcase_add_checked_fixture(some, setup, teardown);
        tcase_add_test(some, who_may_use_one_relay_is_never_known_to_another);
        tcase_add_test(some, what_is_no_url_is_no_relay);
        tcase_add_test(some, its_packets_take_no_other_relay_however_near);
        tcase_add_test(some, while_its_relay_is_down_it_has_none);
        tcase_add_test(some, its_questions_go_nowhere_else);
        tcase_add_test(some, what_comes_for_it_by_another_relay_is_not_given_to_it);
        tcase_add_test(some, another_relay_hears_of_it_what_it_hears_of_nobody);
        tcase_add_test(some, a_refusal_does_not_tell_another_relay_of_it);
        tcase_add_test(some, a_new_policy_takes_it_from_a_relay_and_gives_it_back);
        tcase_add_test(some, relays_are_said_of_one_lease_and_of_one_process);
        tcase_add_test(some, whose_relays_were_not_said_though_they_should_have_been_may_use_none);
        suite_add_tcase(suite, some);

        tcase_add_checked_fixture(barrier, setup, teardown);
        tcase_add_test(barrier, the_daemon_hears_when_all_links_have_answered);
        tcase_add_test(barrier, a_relay_that_does_not_know_makes_it_unknown);
        tcase_add_test(barrier, a_link_that_does_not_answer_is_waited_for_once);
        tcase_add_test(barrier, each_time_a_relay_is_late_it_is_not_waited_for_twice_as_long);
        tcase_add_test(barrier, a_relay_that_may_know_nobody_here_is_not_asked);
        tcase_add_test(barrier, an_answer_is_about_its_own_question);
        tcase_add_test(barrier, a_link_that_is_lost_is_not_waited_for);
        tcase_add_test(barrier, a_link_is_asked_when_it_is_synced);
        tcase_add_test(barrier, a_link_that_does_not_come_to_be_synced_is_waited_for_once);
        tcase_add_test(barrier, a_link_that_was_late_is_another_one_when_it_comes_back);
        tcase_add_test(barrier, a_link_that_comes_later_is_not_waited_for);
        tcase_add_loop_test(barrier, without_a_link_the_daemon_is_answered_at_once, 0, 2);
        tcase_add_test(barrier, the_daemon_has_one_question_at_a_time);
        tcase_add_test(barrier, what_a_daemon_asked_goes_with_it);
        tcase_add_test(barrier, a_relay_hears_when_the_daemon_has_answered);
        tcase_add_test(barrier, a_relay_hears_the_answer_behind_however_many_words);
        tcase_add_test(barrier, each_relay_has_its_own_question_and_one_at_a_time);
        tcase_add_test(barrier, the_daemon_is_asked_when_it_has_been_told_all);
        tcase_add_test(barrier, without_a_daemon_a_relay_is_answered_at_once);
        tcase_add_test(barrier, a_daemon_that_does_not_know_the_question_has_answered);
        tcase_add_test(barrier, what_a_lost_link_asked_is_not_answered_on_the_next);
        suite_add_tcase(suite, barrier);
        return suite;
}
