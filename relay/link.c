/* SPDX-License-Identifier: Apache-2.0 */

/*
 * In: a WebSocket message is decrypted into one buffer that all links share, right behind the end
 * of a frame that was cut; frames are handled where they lie. A bridge pays for a message after it
 * was handled: when a bucket is overdrawn the link is not read until the debt is gone, and TCP
 * slows the bridge down.
 *
 * Out: frames wait in the outbox. When the socket can take something, and not before, as many as
 * fit are put together, encrypted and written as one message. While the loop has packets to read
 * it does not come to that, so batches grow with the load by themselves.
 *
 * Where this stands in the life of a message: the only forwarder between two bridges.
 */

#include "relay/link.h"

#include <utlist.h>

#include "libcore/control.h"
#include "libcore/err.h"
#include "relay/forward.h"
#include "relay/link-private.h"

#define CONTROL_HIGH (64 * 1024) /* bytes of answers that wait; the link is not read meanwhile */
#define CONTROL_LOW (16 * 1024)

static const BucketRate verifies_in_all = { RELAY_VERIFIES_IN_ALL, RELAY_VERIFIES_IN_ALL };
static const Address to_bridge = { PID_BRIDGE, 0 };
static const Address from_relay = { PID_RELAY, 0 };

RelayLink *relay_link_next(const RelayLink *link) {
        return link->next;
}

/* @parcel will not be sent; its source, which may have left since, is told why. */
static void refuse_parcel(RelayShared *shared, Parcel *parcel, const PacketHeader *header,
                          uint16_t code) {
        DirectoryEntry *source;

        if (directory_find(shared->directory, header->src, relay_wall_usec(), relay_mono_usec(),
                           &source) == 0)
                words_refuse(container_of(source->route, RelayLink, route), source, header, code,
                             REFUSED_BY_RELAY);
        parcel_free(shared->parcels, parcel);
}

/*
 * @parcel waited for a link that is gone. Who sent it hears at once what a later packet would be
 * told, so that his bridge can give it to another relay.
 */
static void link_abandon(RelayShared *shared, Parcel *parcel) {
        DirectoryEntry *destination;
        PacketHeader header;
        Counter unused;
        int r;

        if (packet_header_decode(parcel->data, parcel->n_data, &header) != 0 ||
            header.kind == PACKET_CONTROL) {
                parcel_free(shared->parcels, parcel);
                return;
        }
        count(&shared->counters, COUNT_DROPPED_LINK_CLOSED);
        r = directory_find(shared->directory, header.dst, relay_wall_usec(), relay_mono_usec(),
                           &destination);
        refuse_parcel(shared, parcel, &header, r == 0 ? CODE_SETTLING : forward_code(r, &unused));
}

/* Out of everything by which others could find it. */
static void link_take_down(RelayLink *link) {
        RelayShared *shared = link->shared;
        Outbox *outbox = TAKE_PTR(link->outbox);

        if (link->phase == PHASE_UP) {
                HASH_DEL(shared->by_bridge, link);
                directory_close_route(shared->directory, &link->route, relay_mono_usec());
                relay_wants_close_route(shared->wants, &link->topics);
                relay_services_close_route(shared->services, &link->services, relay_mono_usec());
                shared->n_up--;
                if (link->open)
                        shared->n_open--;
                count(&shared->counters, COUNT_LINKS_CLOSED);
        }
        link->phase = PHASE_CLOSING;
        if (link->cut)
                link_abandon(shared, TAKE_PTR(link->cut));
        for (Parcel *parcel; outbox && (parcel = outbox_abandon(outbox));)
                link_abandon(shared, parcel);
        outbox_free(outbox);
        link->resume = sd_event_source_disable_unref(link->resume);
        link->secure = link_free(link->secure);
        link->stream = stream_free(link->stream);
}

RelayLink *relay_link_free(RelayLink *link) {
        RelayShared *shared;

        if (!link)
                return NULL;
        shared = link->shared;
        link_take_down(link);
        address_table_leave(shared->addresses, ws_connection_peer(link->connection), link->proven,
                            link->open);
        DL_DELETE(shared->links, link);
        shared->n_links--;
        ws_connection_free(link->connection);
        free(link);
        return NULL;
}

void relay_no_link(RelayShared *shared, const char *peer, Counter counter, const char *reason) {
        LogFields fields = { .link = peer, .reason = counter_name(counter) };
        uint32_t n_suppressed = 0;

        count(&shared->counters, counter);
        if (log_rate_pass(&shared->handshake_rate, relay_mono_usec(), &n_suppressed))
                log_write(shared->log, LOG_LEVEL_INFO, &fields,
                          "no link from %s: %s (%u more not shown)", peer, reason, n_suppressed);
}

/* The end of one that was proven. */
static void link_say_down(const RelayLink *link, Counter counter, const char *reason) {
        LogFields fields = { .link = link->peer, .reason = counter_name(counter) };
        char key[KEY_TEXT_SIZE];

        log_write(link->shared->log, LOG_LEVEL_INFO, &fields, "link down: %s from %s: %s",
                  key_format(&link->route.bridge, key), link->peer, reason);
}

/* @counter: why; the log line is the reason for people. */
void relay_link_close(RelayLink *link, unsigned code, Counter counter, const char *reason) {
        if (link->phase == PHASE_CLOSING)
                return;
        if (link->proven) {
                if (counter != COUNT_LINKS_CLOSED) /* which counts itself */
                        count(&link->shared->counters, counter);
                link_say_down(link, counter, reason);
        } else {
                relay_no_link(link->shared, link->peer, counter, reason);
        }
        link_take_down(link);
        ws_close(link->connection, code, reason);
}

void relay_link_violated(RelayLink *link, const char *what) {
        relay_link_close(link, WS_CLOSE_PROTOCOL_ERROR, COUNT_LINKS_VIOLATED, what);
}

/* Reading */

static void link_pause(RelayLink *link, unsigned why) {
        if (link->pauses == 0) {
                count(&link->shared->counters, COUNT_PAUSED);
                ws_pause(link->connection);
        }
        link->pauses |= why;
}

static void link_unpause(RelayLink *link, unsigned why) {
        if (!(link->pauses & why))
                return;
        link->pauses &= ~why;
        if (link->pauses == 0) {
                link->heard_usec = relay_mono_usec(); /* it was we who did not listen */
                link->pinged_usec = 0;
                ws_resume(link->connection);
        }
}

static int on_link_resume(sd_event_source *source, uint64_t usec, void *userdata) {
        (void)source, (void)usec;
        link_unpause(userdata, PAUSE_RATE);
        return 0;
}

/* Not read for @wait_usec; without a timer, which only a lack of memory denies, until a tick. */
static void link_pause_for(RelayLink *link, uint64_t wait_usec) {
        int r;

        link_pause(link, PAUSE_RATE);
        if (!link->resume) {
                r = sd_event_add_time_relative(link->shared->event, &link->resume, CLOCK_MONOTONIC,
                                               wait_usec, USEC_PER_MSEC, on_link_resume, link);
        } else {
                r = sd_event_source_set_time_relative(link->resume, wait_usec);
                if (r >= 0)
                        r = sd_event_source_set_enabled(link->resume, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                relay_link_close(link, WS_CLOSE_GOING_AWAY, COUNT_LINKS_STALLED, "out of memory");
}

void relay_link_charge_verify(RelayLink *link, uint64_t now) {
        (void)bucket_spend(&link->verifies, &link->limits->verifies, 1, now);
        (void)bucket_spend(&link->shared->verifies, &verifies_in_all, 1, now);
}

/* Writing */

void relay_link_flush_later(RelayLink *link) {
        /* Progress is expected from when something begins to wait. */
        if (!link->waiting) {
                link->waiting = true;
                link->progress_usec = relay_mono_usec();
        }
        ws_want_write(link->connection);
}

void relay_link_say(RelayLink *link, const Control *control, Address to) {
        static const PacketId no_id;
        uint8_t *data;

        if (link->phase != PHASE_UP)
                return;
        if (outbox_push_control(link->outbox, control_packet_size(control), &data) < 0) {
                relay_link_close(link, WS_CLOSE_GOING_AWAY, COUNT_LINKS_STALLED, "out of memory");
                return;
        }
        control_packet_encode(control, from_relay, to, &no_id, data);
        relay_link_flush_later(link);
        if (outbox_control_bytes(link->outbox) > CONTROL_HIGH)
                link_pause(link, PAUSE_CONTROL);
}

bool relay_link_offer(RelayLink *link, const Control *control, const PacketId *id) {
        static const PacketId no_id;
        uint8_t *data;

        if (link->phase != PHASE_UP || outbox_control_bytes(link->outbox) > CONTROL_LOW ||
            outbox_push_control(link->outbox, control_packet_size(control), &data) < 0)
                return false;
        control_packet_encode(control, from_relay, to_bridge, id ? id : &no_id, data);
        relay_link_flush_later(link);
        return true;
}

/* As much as fits of what waits; a frame is cut only if it is longer than any message. */
static size_t link_fill(RelayLink *link, uint8_t *plain, uint64_t now) {
        size_t n = 0;

        for (;;) {
                Parcel *parcel = link->cut ? link->cut : outbox_pop(link->outbox, now);
                size_t n_left, n_room = LINK_PLAIN_MAX - n;

                if (!parcel)
                        break;
                n_left = parcel->n_data - link->cut_at;
                link->cut = parcel;
                if (n_left > n_room && n > 0)
                        break;
                n_left = MIN(n_left, n_room);
                memcpy(plain + n, parcel->data + link->cut_at, n_left);
                n += n_left;
                link->cut_at += (uint32_t)n_left;
                if (link->cut_at < parcel->n_data)
                        break;
                parcel_free(link->shared->parcels, TAKE_PTR(link->cut));
                link->cut_at = 0;
                count(&link->shared->counters, COUNT_PACKETS_OUT);
        }
        return n;
}

static void on_link_writable(WsConnection *connection, void *userdata) {
        RelayLink *link = userdata;
        RelayShared *shared = link->shared;
        uint8_t *plain = shared->out + WS_HEADROOM;
        uint64_t now = relay_mono_usec();
        size_t n;
        int r;

        if (link->phase != PHASE_UP)
                return;
        n = link_fill(link, plain, now);
        count_many(&shared->counters, COUNT_DROPPED_EXPIRED, outbox_take_expired(link->outbox));
        link->progress_usec = now;
        if (outbox_control_bytes(link->outbox) < CONTROL_LOW)
                link_unpause(link, PAUSE_CONTROL);
        relay_wants_feed(shared->wants, &link->topics);
        if (n > 0) {
                r = link_encrypt(link->secure, plain, n, plain);
                if (r == LINK_E_WORN_OUT) {
                        relay_link_close(link, WS_CLOSE_GOING_AWAY, COUNT_LINKS_STALLED,
                                         "worn out");
                        return;
                }
                if (r != 0 || ws_write(connection, shared->out, n + LINK_OVERHEAD) != 0) {
                        relay_link_close(link, WS_CLOSE_GOING_AWAY, COUNT_LINKS_STALLED,
                                         "cannot be written to");
                        return;
                }
                count(&shared->counters, COUNT_MESSAGES_OUT);
                count_many(&shared->counters, COUNT_BYTES_OUT, n + LINK_OVERHEAD);
        }
        if (link->cut || !outbox_is_empty(link->outbox))
                ws_want_write(connection);
        else
                link->waiting = false;
}

/* GOODBYE overtakes what waits: it is a message of its own. */
static void link_send_goodbye(RelayLink *link, uint16_t code) {
        uint8_t message[PACKET_HEADER_SIZE + CONTROL_HEAD_SIZE + LINK_OVERHEAD];
        Control control = { .verb = CONTROL_GOODBYE, .code = code };
        static const PacketId no_id;
        size_t n = control_packet_size(&control);

        if (link->phase != PHASE_UP)
                return;
        control_packet_encode(&control, from_relay, to_bridge, &no_id, message);
        if (link_encrypt(link->secure, message, n, message) == 0)
                (void)ws_send(link->connection, message, n + LINK_OVERHEAD); /* a courtesy */
}

void relay_link_goodbye(RelayLink *link, uint16_t code, const char *reason) {
        link_send_goodbye(link, code);
        if (link->phase != PHASE_CLOSING) {
                link_take_down(link);
                ws_close(link->connection, WS_CLOSE_GOING_AWAY, reason);
        }
}

/*
 * Not while a frame is cut: its rest has to come next. Then the bridge learns it from the close of
 * the WebSocket, a moment later.
 */
void relay_link_warn(RelayLink *link) {
        if (!link->cut || link->cut_at == 0)
                link_send_goodbye(link, CODE_SHUTDOWN);
}

/* Packets */

/* Careful: a link may be closing when its process was told, this one, too. */
static void link_drop_overflow(RelayLink *link) {
        RelayShared *shared = link->shared;
        PacketHeader header;
        Parcel *parcel;

        while (link->phase == PHASE_UP && (parcel = outbox_overflow(link->outbox))) {
                count(&shared->counters, COUNT_DROPPED_OVERLOAD);
                (void)packet_header_decode(parcel->data, parcel->n_data, &header); /* as it came */
                refuse_parcel(shared, parcel, &header, CODE_OVERLOAD);
        }
}

static void on_packet(RelayLink *link, const PacketHeader *header, const uint8_t *frame,
                      uint64_t now) {
        RelayShared *shared = link->shared;
        Forward forward;
        RelayLink *to;
        int r;

        switch (forward_judge(shared->directory, &link->route, header, relay_wall_usec(), now,
                              &forward)) {
        case FORWARD_PASS:
                break;
        case FORWARD_UNLEASED:
                count(&shared->counters, forward.counter);
                words_refuse_unleased(link, header);
                return;
        case FORWARD_REFUSE:
                count(&shared->counters, forward.counter);
                words_refuse(link, forward.source, header, forward.code, REFUSED_BY_RELAY);
                return;
        default:
                relay_link_violated(link, "packet that no bridge sends");
                return;
        }

        to = container_of(forward.destination->route, RelayLink, route);
        r = outbox_push(to->outbox, link->id, header, frame, now);
        if (r < 0) {
                count(&shared->counters, COUNT_DROPPED_MEMORY);
                words_refuse(link, forward.source, header, CODE_OVERLOAD, REFUSED_BY_RELAY);
                return;
        }
        count(&shared->counters, COUNT_PACKETS_FORWARDED);
        relay_link_flush_later(to);
        link_drop_overflow(to);
}

/* One frame: only packets pass, and nothing carries descriptors. */
static void on_frame(RelayLink *link, const StreamFrame *frame, uint64_t now) {
        PacketHeader header;

        if (packet_header_decode(frame->data, frame->size, &header) != 0 || header.n_fds != 0) {
                relay_link_violated(link, "malformed packet");
                return;
        }
        if (header.kind == PACKET_CONTROL)
                words_handle(link, &header, frame->data);
        else
                on_packet(link, &header, frame->data, now);
}

/* The debt of a message, after it was handled. */
static void link_pay(RelayLink *link, uint64_t n_bytes, uint64_t n_packets, uint64_t now) {
        const LinkLimits *limits = link->limits;
        uint64_t wait;

        (void)bucket_spend(&link->bytes, &limits->bytes, n_bytes, now);
        (void)bucket_spend(&link->packets, &limits->packets, n_packets, now);
        wait = bucket_wait_usec(&link->bytes, &limits->bytes, now);
        wait = MAX(wait, bucket_wait_usec(&link->packets, &limits->packets, now));
        wait = MAX(wait, bucket_wait_usec(&link->wants, &limits->wants, now));
        wait = MAX(wait, bucket_wait_usec(&link->verifies, &limits->verifies, now));
        wait = MAX(wait, bucket_wait_usec(&link->shared->verifies, &verifies_in_all, now));
        if (wait > 0)
                link_pause_for(link, wait);
}

static void link_receive(RelayLink *link, const uint8_t *message, size_t n_message) {
        RelayShared *shared = link->shared;
        uint64_t now = relay_mono_usec(), n_packets = 0;
        StreamFrame frame;
        uint8_t *room;
        size_t n_room;
        int r;

        count(&shared->counters, COUNT_MESSAGES_IN);
        count_many(&shared->counters, COUNT_BYTES_IN, n_message);
        stream_lend(link->stream, shared->in, FRAME_SIZE_MAX + STREAM_READ_SIZE);
        if (stream_input(link->stream, &room, &n_room) < 0 || n_message < LINK_OVERHEAD ||
            n_message - LINK_OVERHEAD > n_room ||
            link_decrypt(link->secure, message, n_message, room) != 0) {
                relay_link_violated(link, "message that was not encrypted for this link");
                return;
        }
        r = stream_fed(link->stream, n_message - LINK_OVERHEAD, NULL, 0);
        while (r == 0) {
                r = stream_pop(link->stream, &frame);
                if (r != 0)
                        break;
                n_packets++;
                on_frame(link, &frame, now);
                if (link->phase != PHASE_UP)
                        return;
        }
        if (r == STREAM_E_VIOLATION) {
                relay_link_violated(link, "malformed frame");
                return;
        }
        if (stream_settle(link->stream) < 0) {
                relay_link_close(link, WS_CLOSE_GOING_AWAY, COUNT_LINKS_STALLED, "out of memory");
                return;
        }
        count_many(&shared->counters, COUNT_PACKETS_IN, n_packets);
        link->heard_usec = now;
        link->pinged_usec = 0;
        link_pay(link, n_message, n_packets, now);
}

static void on_link_message(WsConnection *connection, uint8_t *data, size_t n, void *userdata) {
        RelayLink *link = userdata;

        (void)connection;
        switch (link->phase) {
        case PHASE_HANDSHAKE:
                handshake_receive(link, data, n);
                break;
        case PHASE_UP:
                link_receive(link, data, n);
                break;
        case PHASE_CLOSING:
                break;
        }
}

static void on_link_close(WsConnection *connection, const char *reason, void *userdata) {
        RelayLink *link = userdata;

        (void)connection;
        if (link->phase == PHASE_UP)
                link_say_down(link, COUNT_LINKS_CLOSED, reason);
        else if (link->phase == PHASE_HANDSHAKE)
                relay_no_link(link->shared, link->peer, COUNT_HANDSHAKES_FAILED, reason);
        relay_link_free(link);
}

static const WsHandlers link_handlers = {
        .on_message = on_link_message,
        .on_writable = on_link_writable,
        .on_close = on_link_close,
};

int relay_link_new(RelayShared *shared, WsConnection *connection) {
        LinkOptions options = {
                .initiator_role = LINK_ROLE_BRIDGE,
                .identity = self_identity(shared->self),
                .key = self_key(shared->self),
        };
        RelayLink *link;
        int r;

        link = calloc(1, sizeof(*link));
        if (!link) {
                address_table_leave(shared->addresses, ws_connection_peer(connection), false,
                                    false);
                ws_connection_free(connection);
                return err_origin(-ENOMEM);
        }
        link->shared = shared;
        link->connection = connection;
        link->id = ++shared->last_id;
        (void)ws_address_format(ws_connection_peer(connection), link->peer);
        DL_APPEND(shared->links, link);
        shared->n_links++;
        ws_connection_take(connection, &link_handlers, link);

        r = self_record(shared->self, relay_wall_usec(), &options.record);
        if (r == 0)
                r = link_new(&link->secure, &options);
        if (r != 0) {
                relay_link_free(link);
                return r < 0 ? r : err_origin(-EKEYREJECTED);
        }
        ws_set_message_max(connection, LINK_MSG1_SIZE);
        return 0;
}

/* A slow network takes long for what we have written, and is not dead for that. */
static bool link_is_stalled(RelayLink *link, uint64_t now) {
        uint64_t taken, waiting;

        if (!link->waiting || now < link->progress_usec + link->shared->heartbeat_usec)
                return false;
        ws_progress(link->connection, &taken, &waiting);
        if (taken != link->taken) {
                link->taken = taken;
                link->progress_usec = now;
        }
        return now >= link->progress_usec + 2 * link->shared->heartbeat_usec;
}

void relay_link_tick(RelayLink *link, uint64_t now) {
        uint64_t heartbeat = link->shared->heartbeat_usec;
        Control ping = { .verb = CONTROL_PING };

        switch (link->phase) {
        case PHASE_HANDSHAKE:
                if (now >= ws_connection_began_usec(link->connection) + RELAY_HANDSHAKE_USEC)
                        relay_link_close(link, WS_CLOSE_POLICY, COUNT_HANDSHAKES_LATE,
                                         "handshake took too long");
                break;
        case PHASE_UP:
                relay_wants_tick(link->shared->wants, &link->topics, !(link->pauses & PAUSE_RATE));
                if (link_is_stalled(link, now))
                        relay_link_close(link, WS_CLOSE_POLICY, COUNT_LINKS_STALLED,
                                         "it takes nothing any more");
                else if (link->pauses == 0 && link->pinged_usec > 0 &&
                         now >= link->pinged_usec + heartbeat)
                        relay_link_close(link, WS_CLOSE_POLICY, COUNT_LINKS_SILENT,
                                         "it says nothing any more");
                else if (link->pinged_usec == 0 && now >= link->heard_usec + heartbeat) {
                        link->pinged_usec = now; /* whoever is cut was asked, however late we are */
                        relay_link_say(link, &ping, to_bridge);
                }
                break;
        case PHASE_CLOSING:
                break;
        }
}
