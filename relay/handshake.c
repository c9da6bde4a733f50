/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How a connection becomes a link
 *
 * Three messages of Noise, then the judgement: is this bridge admitted by name, or are others, too,
 * and has its address room for one more? Only then does it get what costs memory: a stream, an
 * outbox, a route.
 */

#include <stdio.h>

#include "libcore/err.h"
#include "relay/link-private.h"

/*
 * The same bridge again: its older link is most likely dead and does not know it yet. Packets that
 * wait for it are for this one as well; control words are about what was said on the older one.
 */
static void link_replace_older(RelayLink *link, const PublicKey *bridge) {
        RelayLink *older;

        HASH_FIND(hh, link->shared->by_bridge, bridge, sizeof(*bridge), older);
        if (!older)
                return;
        if (older->limits == link->limits)
                outbox_inherit(link->outbox, older->outbox);
        relay_link_goodbye(older, CODE_REPLACED, "replaced by a newer link");
}

static int link_go_up(RelayLink *link, const PublicKey *bridge) {
        RelayShared *shared = link->shared;
        const LinkLimits *limits = link->limits = link->open ? &limits_open : &limits_admitted;
        uint64_t now = relay_mono_usec();
        int r;

        r = stream_new(&link->stream);
        if (r < 0)
                return err_trace(r);
        r = outbox_new(&link->outbox, shared->parcels, limits->queue_bytes, limits->queue_packets);
        if (r < 0)
                return err_trace(r);
        bucket_init(&link->packets, &limits->packets, now);
        bucket_init(&link->bytes, &limits->bytes, now);
        bucket_init(&link->lookups, &limits->lookups, now);
        bucket_init(&link->verifies, &limits->verifies, now);
        bucket_init(&link->errors, &limits->errors, now);
        bucket_init(&link->wants, &limits->wants, now);
        link->heard_usec = now;

        link_replace_older(link, bridge);
        directory_open_route(shared->directory, &link->route, bridge, limits->leases, now);
        relay_wants_open_route(shared->wants, &link->topics, (unsigned)limits->topics);
        relay_services_open_route(&link->services, limits->services);
        HASH_ADD(hh, shared->by_bridge, route.bridge, sizeof(*bridge), link);
        link->phase = PHASE_UP;
        shared->n_up++;
        if (link->open)
                shared->n_open++;
        ws_set_message_max(link->connection, WS_MESSAGE_MAX);
        if (!outbox_is_empty(link->outbox))
                relay_link_flush_later(link);
        return 0;
}

/* The bridge has proven its key; is it welcome? */
static void link_judge(RelayLink *link) {
        RelayShared *shared = link->shared;
        const PublicKey bridge = link_peer(link->secure)->signer;
        LogFields fields = { .link = link->peer };
        char text[KEY_TEXT_SIZE], refusal[KEY_TEXT_SIZE + 64];
        AllowedKey *allowed;
        bool open;

        HASH_FIND(hh, shared->allowed, &bridge, sizeof(bridge), allowed);
        open = !allowed;
        if (open && !shared->open) {
                (void)snprintf(refusal, sizeof(refusal), "bridge %s is not allowed",
                               key_format(&bridge, text));
                relay_link_close(link, WS_CLOSE_POLICY, COUNT_LINKS_REFUSED, refusal);
                return;
        }
        if (!address_table_prove(shared->addresses, ws_connection_peer(link->connection), open)) {
                relay_link_close(link, WS_CLOSE_POLICY, COUNT_LINKS_REFUSED, "too many links");
                return;
        }
        link->proven = true;
        link->open = open;
        if (link_accept(link->secure) != 0 || link_go_up(link, &bridge) < 0) {
                link->route.bridge = bridge;
                relay_link_close(link, WS_CLOSE_GOING_AWAY, COUNT_HANDSHAKES_FAILED,
                                 "out of memory");
                return;
        }
        count(&shared->counters, COUNT_LINKS_OPENED);
        log_write(shared->log, LOG_LEVEL_INFO, &fields, "link up: %s from %s%s",
                  key_format(&bridge, text), link->peer, open ? ", under the small limits" : "");
}

static const char *handshake_text(int condition) {
        switch (condition) {
        case LINK_E_RECORD:
                return "its record does not certify its key";
        case LINK_E_CLOCK:
                return "its record is of the future: one of the clocks is wrong";
        case LINK_E_EXPIRED:
                return "its record has ended: one of the clocks is wrong";
        default:
                return "malformed handshake";
        }
}

void handshake_receive(RelayLink *link, const uint8_t *message, size_t n_message) {
        uint8_t answer[LINK_HANDSHAKE_MAX];
        size_t n_answer;
        int r;

        r = link_consume(link->secure, message, n_message, relay_wall_usec());
        if (r != 0) {
                relay_link_close(link, WS_CLOSE_PROTOCOL_ERROR, COUNT_HANDSHAKES_FAILED,
                                 handshake_text(r));
                return;
        }
        if (link_state(link->secure) == LINK_PROVEN) {
                link_judge(link);
                return;
        }
        r = link_create(link->secure, answer, sizeof(answer), &n_answer);
        if (r != 0 || ws_send(link->connection, answer, n_answer) != 0) {
                relay_link_close(link, WS_CLOSE_PROTOCOL_ERROR, COUNT_HANDSHAKES_FAILED,
                                 handshake_text(LINK_E_VIOLATION));
                return;
        }
        ws_set_message_max(link->connection, LINK_HANDSHAKE_MAX);
}
