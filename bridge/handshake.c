/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The way up
 *
 * Three messages: our ephemeral key; the relay's, and its record; our record. The relay is judged
 * between the second and the third, so that an impostor never learns who called: it is the one that
 * the URL pins, or the one we knew, or, at the first time and behind a valid certificate, any. What
 * the relay thinks of us shows when it speaks, or does not.
 */

#include "bridge/uplink-private.h"
#include "libsecure/crypto.h"

void handshake_begin(Uplink *uplink) {
        LinkOptions options = {
                .initiator = true,
                .initiator_role = LINK_ROLE_BRIDGE,
                .identity = presence_identity(uplink->options.presence),
                .key = presence_key(uplink->options.presence),
                .pinned = uplink->has_pin ? &uplink->pin
                                          : known_relays_find(uplink->options.known, uplink->name),
        };
        int r;

        r = presence_get(uplink->options.presence, now_usec(CLOCK_REALTIME), &options.record);
        if (r == 0)
                r = link_new(&uplink->link, &options);
        if (r == 0)
                r = link_create(uplink->link, uplink->handshake + TRANSPORT_HEADROOM,
                                LINK_HANDSHAKE_MAX, &uplink->n_handshake);
        if (r == 0)
                r = stream_new(&uplink->stream);
        if (r != 0) {
                uplink_fail(uplink, r < 0 ? strerror(-r) : "no handshake");
                return;
        }
        uplink->state = UPLINK_HANDSHAKE;
        uplink_want_write(uplink);
}

/* It is somebody else. Time alone will not mend that; only a person can. */
static void other_key(Uplink *uplink) {
        const PublicKey *expected =
                uplink->has_pin ? &uplink->pin
                                : known_relays_find(uplink->options.known, uplink->name);
        char is[KEY_TEXT_SIZE], should[KEY_TEXT_SIZE];

        key_format(&link_peer(uplink->link)->signer, is);
        key_format(expected, should);
        uplink_log(uplink, LOG_LEVEL_ERROR, "relay %s: key %s does not match the pinned key %s",
                   uplink->name, is, should);
        if (!uplink->has_pin && known_relays_path(uplink->options.known))
                uplink_log(uplink, LOG_LEVEL_ERROR,
                           "relay %s: if it was given a new key, remove its line from %s",
                           uplink->name, known_relays_path(uplink->options.known));
        backoff_worst(&uplink->backoff);
        uplink_fail(uplink, "not the relay that we know");
}

static const char *handshake_reason(int r) {
        switch (r) {
        case LINK_E_RECORD:
                return "its record is not valid";
        case LINK_E_CLOCK:
                return "its clock is ahead of ours by more than 5 minutes; check both";
        case LINK_E_EXPIRED:
                return "its record has ended: its clock or ours is wrong; check both";
        default:
                return "the handshake failed";
        }
}

void handshake_judge(Uplink *uplink, const uint8_t *data, size_t n_data) {
        bool first_seen =
                !uplink->has_pin && !known_relays_find(uplink->options.known, uplink->name);
        int r;

        r = link_consume(uplink->link, data, n_data, now_usec(CLOCK_REALTIME));
        if (r == LINK_E_OTHER_KEY) {
                other_key(uplink);
                return;
        }
        if (r != 0) {
                uplink_fail(uplink, handshake_reason(r));
                return;
        }

        uplink->relay = link_peer(uplink->link)->signer;
        if (first_seen) {
                r = known_relays_add(uplink->options.known, uplink->name, &uplink->relay);
                if (r < 0)
                        uplink_log(uplink, LOG_LEVEL_WARNING,
                                   "relay %s: cannot keep its key in %s: %s", uplink->name,
                                   known_relays_path(uplink->options.known), strerror(-r));
        }
        if (link_state(uplink->link) == LINK_PROVEN) /* else it is the one that we pinned */
                r = link_accept(uplink->link);
        if (r == 0)
                r = link_create(uplink->link, uplink->handshake + TRANSPORT_HEADROOM,
                                LINK_HANDSHAKE_MAX, &uplink->n_handshake);
        if (r != 0) {
                uplink_fail(uplink, handshake_reason(r));
                return;
        }

        uplink->state = UPLINK_PROVEN;
        uplink->reborn_usec =
                uplink_clock_usec() + LINK_LIFE_USEC - crypto_random_u64() % (LINK_LIFE_USEC / 8);
        presence_add_relay(uplink->options.presence, &uplink->relay);
        uplink_want_write(uplink);
        uplink->options.handlers->on_proven(uplink, uplink->options.userdata);

        /* Without a bus there is nothing to present yet; the first PING makes the relay speak. */
        heartbeat_start(&uplink->heartbeat, uplink->options.heartbeat_usec, uplink_clock_usec());
        uplink_beat(uplink, uplink_clock_usec());
}

void handshake_done(Uplink *uplink) {
        char key[KEY_TEXT_SIZE];

        uplink->state = UPLINK_UP;
        uplink->failing = false;
        backoff_reset(&uplink->backoff);
        uplink_log(uplink, LOG_LEVEL_INFO, "link up %s", uplink->name);
        uplink_log(uplink, LOG_LEVEL_DEBUG, "relay %s has key %s", uplink->name,
                   key_format(&uplink->relay, key));
        if (uplink->paused)
                uplink->transport->class->pause(uplink->transport, true);
        uplink->options.handlers->on_up(uplink, uplink->options.userdata);
}
