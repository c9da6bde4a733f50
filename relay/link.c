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

#include <stdio.h>
#include <utlist.h>

#include "libcore/control.h"
#include "libcore/err.h"
#include "relay/forward.h"
#include "relay/tombs.h"

#define CONTROL_HIGH (64 * 1024) /* bytes of answers that wait; the link is not read meanwhile */
#define CONTROL_LOW (16 * 1024)

typedef enum LinkPhase {
        PHASE_HANDSHAKE,
        PHASE_UP,
        PHASE_CLOSING,
} LinkPhase;

/* Why a link is not read; bits. */
enum {
        PAUSE_RATE = 1 << 0,
        PAUSE_CONTROL = 1 << 1,
};

struct RelayLink {
        RelayShared *shared;
        WsConnection *connection;
        LinkPhase phase;
        Link *secure;
        uint64_t id;
        const LinkLimits *limits;
        bool proven, open; /* as the address table counts it */
        bool pinged;
        bool waiting; /* something is to be written */
        unsigned pauses;
        DirectoryRoute route; /* while it is up */
        Stream *stream;       /* frames that were cut */
        Outbox *outbox;
        Parcel *cut;     /* sent in part */
        uint32_t cut_at; /* bytes of it that were sent */
        uint64_t heard_usec, progress_usec;
        Bucket packets, bytes, lookups, verifies, errors;
        sd_event_source *resume; /* made when it is first needed */
        RelayLink *prev, *next;
        UT_hash_handle hh; /* by the key of the bridge, while it is up */
        char peer[WS_ADDRESS_TEXT_SIZE];
};

static const BucketRate verifies_in_all = { RELAY_VERIFIES_IN_ALL, RELAY_VERIFIES_IN_ALL };
static const Address to_bridge = { PID_BRIDGE, 0 };
static const Address from_relay = { PID_RELAY, 0 };

static uint64_t mono(void) {
        return now_usec(CLOCK_MONOTONIC);
}

static uint64_t wall(void) {
        return now_usec(CLOCK_REALTIME);
}

RelayLink *relay_link_next(const RelayLink *link) {
        return link->next;
}

/* Out of everything by which others could find it. */
static void link_take_down(RelayLink *link) {
        RelayShared *shared = link->shared;
        uint64_t n_dropped = 0;

        if (link->phase == PHASE_UP) {
                HASH_DEL(shared->by_bridge, link);
                directory_close_route(shared->directory, &link->route, mono());
                shared->n_up--;
                if (link->open)
                        shared->n_open--;
                count(&shared->counters, COUNT_LINKS_CLOSED);
        }
        link->phase = PHASE_CLOSING;
        if (link->cut)
                parcel_free(shared->parcels, TAKE_PTR(link->cut));
        link->outbox = outbox_free(link->outbox, &n_dropped);
        count_many(&shared->counters, COUNT_DROPPED_LINK_CLOSED, n_dropped);
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
        if (log_rate_pass(&shared->handshake_rate, mono(), &n_suppressed))
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
static void link_close(RelayLink *link, unsigned code, Counter counter, const char *reason) {
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

static void link_violated(RelayLink *link, const char *what) {
        link_close(link, WS_CLOSE_PROTOCOL_ERROR, COUNT_LINKS_VIOLATED, what);
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
        if (link->pauses == 0)
                ws_resume(link->connection);
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
                link_close(link, WS_CLOSE_GOING_AWAY, COUNT_LINKS_STALLED, "out of memory");
}

/* Writing */

static void link_flush_later(RelayLink *link) {
        /* Progress is expected from when something begins to wait. */
        if (!link->waiting) {
                link->waiting = true;
                link->progress_usec = mono();
        }
        ws_want_write(link->connection);
}

static void link_say(RelayLink *link, const Control *control, Address to) {
        static const PacketId no_id;
        uint8_t *data;

        if (link->phase != PHASE_UP)
                return;
        if (outbox_push_control(link->outbox, control_packet_size(control), &data) < 0) {
                link_close(link, WS_CLOSE_GOING_AWAY, COUNT_LINKS_STALLED, "out of memory");
                return;
        }
        control_packet_encode(control, from_relay, to, &no_id, data);
        link_flush_later(link);
        if (outbox_control_bytes(link->outbox) > CONTROL_HIGH)
                link_pause(link, PAUSE_CONTROL);
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
        uint64_t now = mono();
        size_t n;
        int r;

        if (link->phase != PHASE_UP)
                return;
        n = link_fill(link, plain, now);
        count_many(&shared->counters, COUNT_DROPPED_EXPIRED, outbox_take_expired(link->outbox));
        link->progress_usec = now;
        if (outbox_control_bytes(link->outbox) < CONTROL_LOW)
                link_unpause(link, PAUSE_CONTROL);
        if (n > 0) {
                r = link_encrypt(link->secure, plain, n, plain);
                if (r == LINK_E_WORN_OUT) {
                        link_close(link, WS_CLOSE_GOING_AWAY, COUNT_LINKS_STALLED, "worn out");
                        return;
                }
                if (r != 0 || ws_write(connection, shared->out, n + LINK_OVERHEAD) != 0) {
                        link_close(link, WS_CLOSE_GOING_AWAY, COUNT_LINKS_STALLED,
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

/* Control words of the bridge */

/* ERROR to a word of the bridge itself. */
static void link_answer_error(RelayLink *link, const PacketHeader *header, uint16_t code) {
        Control answer = { .verb = CONTROL_ERROR, .code = code, .ref = header->id };

        if (!bucket_take(&link->errors, &link->limits->errors, 1, mono())) {
                count(&link->shared->counters, COUNT_ERRORS_SUPPRESSED);
                return;
        }
        count(&link->shared->counters, COUNT_ERRORS_SENT);
        link_say(link, &answer, to_bridge);
}

/* What a signature costs; the debt is looked at when the message was handled. */
static void link_charge_verify(RelayLink *link, uint64_t now) {
        (void)bucket_spend(&link->verifies, &link->limits->verifies, 1, now);
        (void)bucket_spend(&link->shared->verifies, &verifies_in_all, 1, now);
}

static uint16_t put_code(int condition) {
        switch (condition) {
        case 0:
                return CODE_OK;
        case DIRECTORY_E_CLOCK:
                return CODE_CLOCK;
        case DIRECTORY_E_EXPIRED:
                return CODE_EXPIRED;
        case DIRECTORY_E_OLDER:
                return CODE_REPLACED;
        case DIRECTORY_E_OTHER_BRIDGE:
        case DIRECTORY_E_REVOKED:
                return CODE_DENIED;
        case DIRECTORY_E_QUOTA:
                return CODE_QUOTA;
        case DIRECTORY_E_SIGNATURE:
                return CODE_BAD_SIGNATURE;
        default:
                return CODE_VIOLATION;
        }
}

static void on_lease(RelayLink *link, const Control *control) {
        RelayShared *shared = link->shared;
        Control answer = { .verb = CONTROL_LEASED };
        uint64_t now = mono();
        DirectoryPut put;
        int r;

        if (!directory_knows(shared->directory, control->body, control->n_body)) {
                link_charge_verify(link, now);
                count(&shared->counters, COUNT_LEASES_VERIFIED);
        }
        r = directory_put(shared->directory, &link->route, control->body, control->n_body, wall(),
                          now, &put);
        if (r < 0) {
                link_close(link, WS_CLOSE_GOING_AWAY, COUNT_LEASES_REFUSED, "out of memory");
                return;
        }
        if (put.equivocal)
                count(&shared->counters, COUNT_LEASES_EQUIVOCAL);
        count(&shared->counters, r != 0          ? COUNT_LEASES_REFUSED
                                 : put.withdrawn ? COUNT_LEASES_WITHDRAWN
                                                 : COUNT_LEASES_TAKEN);
        answer.code = put.withdrawn ? CODE_GONE : put_code(r);
        answer.address = r == DIRECTORY_E_MALFORMED ? control->address : put.address;
        link_say(link, &answer, to_bridge);
}

/*
 * A revocation is kept for ever, in memory and in a file, so a stranger with as many keys as he
 * likes must not be able to hand them in.
 */
static void on_revoke(RelayLink *link, const PacketHeader *header, const Control *control) {
        RelayShared *shared = link->shared;
        uint64_t now = mono();
        int r;

        if (link->open) {
                link_answer_error(link, header, CODE_DENIED);
                return;
        }
        link_charge_verify(link, now);
        r = directory_revoke(shared->directory, control->body, control->n_body, wall(), now);
        if (r > 0 && r != DIRECTORY_E_OLDER)
                link_answer_error(link, header, CODE_BAD_SIGNATURE);
        if (r != 0)
                return;
        count(&shared->counters, COUNT_KEYS_REVOKED);
        r = tombs_append(shared->tombs, control->body);
        if (r < 0) /* it holds for this run, and whoever revoked the key will say so again */
                log_write(shared->log, LOG_LEVEL_ERROR, NULL, "%s: %s; a revocation is not kept",
                          shared->tombs, strerror(-r));
}

static void on_detached(RelayLink *link, const Control *control) {
        RelayShared *shared = link->shared;

        if (directory_detach(shared->directory, &link->route, control->address, mono()) == 0)
                count(&shared->counters, COUNT_LEASES_WITHDRAWN);
}

static void on_resolve(RelayLink *link, const PacketHeader *header, const Control *control) {
        RelayShared *shared = link->shared;
        Control answer = {
                .verb = CONTROL_RESOLVED,
                .value = RESOLVED_REMOTE,
                .ref = header->id,
                .address = control->address,
        };
        DirectoryEntry *entry;
        uint64_t now = mono();
        Counter unused;
        int r;

        count(&shared->counters, COUNT_LOOKUPS);
        if (!bucket_take(&link->lookups, &link->limits->lookups, 1, now)) {
                count(&shared->counters, COUNT_LOOKUPS_REFUSED);
                answer.code = CODE_RATE;
                link_say(link, &answer, to_bridge);
                return;
        }
        r = directory_find(shared->directory, control->address, wall(), now, &entry);
        answer.code = forward_code(r, &unused);
        if (r == 0) {
                count(&shared->counters, COUNT_LOOKUPS_FOUND);
                answer.address = entry->hash.address;
                answer.body = entry->lease;
                answer.n_body = sizeof(entry->lease);
        }
        link_say(link, &answer, to_bridge);
}

static void on_synced(RelayLink *link) {
        Control answer = { .verb = CONTROL_SYNCED };

        directory_route_synced(link->shared->directory, &link->route);
        link_say(link, &answer, to_bridge);
}

static void on_unsupported(RelayLink *link, const PacketHeader *header) {
        count(&link->shared->counters, COUNT_CONTROL_UNSUPPORTED);
        link_answer_error(link, header, CODE_UNSUPPORTED);
}

/* Tells the source of @header, once in a while, that its packet got no further. */
static void link_refuse(RelayLink *link, DirectoryEntry *source, const PacketHeader *header,
                        uint16_t code) {
        Control error = {
                .verb = CONTROL_ERROR,
                .code = code,
                .ref = header->id,
                .address = header->dst,
        };

        if (source->errors.refilled_usec == 0)
                bucket_init(&source->errors, &link->limits->errors, mono());
        if (!bucket_take(&source->errors, &link->limits->errors, 1, mono())) {
                count(&link->shared->counters, COUNT_ERRORS_SUPPRESSED);
                return;
        }
        count(&link->shared->counters, COUNT_ERRORS_SENT);
        link_say(link, &error, header->src);
}

/*
 * A bridge's word that a packet got no further on its host goes on to the packet's source, in our
 * name. Only about an address that is leased on this very link: a bridge speaks for its own.
 */
static void on_error(RelayLink *link, const PacketHeader *header, const Control *control) {
        RelayShared *shared = link->shared;
        PacketHeader refused = { .src = header->dst, .dst = control->address, .id = control->ref };
        DirectoryEntry *subject, *source;
        uint64_t now = mono();

        if (pid_is_reserved(header->dst.pid) || control->code == CODE_OK ||
            control->code >= _CODE_MAX ||
            directory_find(shared->directory, control->address, wall(), now, &subject) != 0 ||
            subject->route != &link->route ||
            directory_find(shared->directory, header->dst, wall(), now, &source) != 0)
                return; /* about one of our words, or nobody's business: never answered */
        link_refuse(container_of(source->route, RelayLink, route), source, &refused, control->code);
}

static void on_control(RelayLink *link, const PacketHeader *header, const uint8_t *frame) {
        Control answer = { .verb = CONTROL_PONG, .ref = header->id };
        Control control;

        if (header->src.pid != PID_BRIDGE) {
                link_violated(link, "control word of somebody else");
                return;
        }
        switch (control_decode(frame + PACKET_HEADER_SIZE, header->size - PACKET_HEADER_SIZE,
                               &control)) {
        case 0:
                break;
        case CONTROL_E_UNKNOWN:
                on_unsupported(link, header);
                return;
        default:
                link_violated(link, "malformed control word");
                return;
        }

        if (header->dst.pid != PID_RELAY && control.verb != CONTROL_ERROR) {
                link_violated(link, "control word for somebody else");
                return;
        }
        switch (control.verb) {
        case CONTROL_LEASE:
                on_lease(link, &control);
                break;
        case CONTROL_DETACHED:
                on_detached(link, &control);
                break;
        case CONTROL_REVOKE:
                on_revoke(link, header, &control);
                break;
        case CONTROL_RESOLVE:
                on_resolve(link, header, &control);
                break;
        case CONTROL_SYNCED:
                on_synced(link);
                break;
        case CONTROL_PING:
                link_say(link, &answer, to_bridge);
                break;
        case CONTROL_PONG:
                break;
        case CONTROL_ERROR:
                on_error(link, header, &control);
                break;
        case CONTROL_GOODBYE:
                link_close(link, WS_CLOSE_NORMAL, COUNT_LINKS_CLOSED, "the bridge left");
                break;
        default: /* words of the local plane */
                on_unsupported(link, header);
        }
}

/* Packets */

static void link_refuse_unleased(RelayLink *link, const PacketHeader *header) {
        Control word = { .verb = CONTROL_UNLEASED, .ref = header->id, .address = header->src };

        if (!bucket_take(&link->errors, &link->limits->errors, 1, mono())) {
                count(&link->shared->counters, COUNT_ERRORS_SUPPRESSED);
                return;
        }
        count(&link->shared->counters, COUNT_ERRORS_SENT);
        link_say(link, &word, to_bridge);
}

static void on_packet(RelayLink *link, const PacketHeader *header, const uint8_t *frame,
                      uint64_t now) {
        RelayShared *shared = link->shared;
        Forward forward;
        RelayLink *to;
        int r;

        switch (forward_judge(shared->directory, &link->route, header, wall(), now, &forward)) {
        case FORWARD_PASS:
                break;
        case FORWARD_UNLEASED:
                count(&shared->counters, forward.counter);
                link_refuse_unleased(link, header);
                return;
        case FORWARD_REFUSE:
                count(&shared->counters, forward.counter);
                link_refuse(link, forward.source, header, forward.code);
                return;
        default:
                link_violated(link, "packet that no bridge sends");
                return;
        }

        to = container_of(forward.destination->route, RelayLink, route);
        r = outbox_push(to->outbox, link->id, header, frame, now);
        if (r != 0) {
                count(&shared->counters, r < 0 ? COUNT_DROPPED_MEMORY : COUNT_DROPPED_OVERLOAD);
                link_refuse(link, forward.source, header, CODE_OVERLOAD);
                return;
        }
        count(&shared->counters, COUNT_PACKETS_FORWARDED);
        link_flush_later(to);
}

/* One frame: only packets pass, and nothing carries descriptors. */
static void on_frame(RelayLink *link, const StreamFrame *frame, uint64_t now) {
        PacketHeader header;

        if (packet_header_decode(frame->data, frame->size, &header) != 0 || header.n_fds != 0) {
                link_violated(link, "malformed packet");
                return;
        }
        if (header.kind == PACKET_CONTROL)
                on_control(link, &header, frame->data);
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
        wait = MAX(wait, bucket_wait_usec(&link->verifies, &limits->verifies, now));
        wait = MAX(wait, bucket_wait_usec(&link->shared->verifies, &verifies_in_all, now));
        if (wait > 0)
                link_pause_for(link, wait);
}

static void link_receive(RelayLink *link, const uint8_t *message, size_t n_message) {
        RelayShared *shared = link->shared;
        uint64_t now = mono(), n_packets = 0;
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
                link_violated(link, "message that was not encrypted for this link");
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
                link_violated(link, "malformed frame");
                return;
        }
        if (stream_settle(link->stream) < 0) {
                link_close(link, WS_CLOSE_GOING_AWAY, COUNT_LINKS_STALLED, "out of memory");
                return;
        }
        count_many(&shared->counters, COUNT_PACKETS_IN, n_packets);
        link->heard_usec = now;
        link->pinged = false;
        link_pay(link, n_message, n_packets, now);
}

/* Handshake */

/* The same bridge again: its older link is most likely dead and does not know it yet. */
static void link_replace_older(RelayLink *link, const PublicKey *bridge) {
        RelayLink *older;

        HASH_FIND(hh, link->shared->by_bridge, bridge, sizeof(*bridge), older);
        if (older)
                relay_link_goodbye(older, CODE_REPLACED, "replaced by a newer link");
}

static int link_go_up(RelayLink *link, const PublicKey *bridge) {
        RelayShared *shared = link->shared;
        const LinkLimits *limits = link->limits = link->open ? &limits_open : &limits_admitted;
        uint64_t now = mono();
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
        link->heard_usec = now;

        link_replace_older(link, bridge);
        directory_open_route(shared->directory, &link->route, bridge, limits->leases, now);
        HASH_ADD(hh, shared->by_bridge, route.bridge, sizeof(*bridge), link);
        link->phase = PHASE_UP;
        shared->n_up++;
        if (link->open)
                shared->n_open++;
        ws_set_message_max(link->connection, WS_MESSAGE_MAX);
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
                link_close(link, WS_CLOSE_POLICY, COUNT_LINKS_REFUSED, refusal);
                return;
        }
        if (!address_table_prove(shared->addresses, ws_connection_peer(link->connection), open)) {
                link_close(link, WS_CLOSE_POLICY, COUNT_LINKS_REFUSED, "too many links");
                return;
        }
        link->proven = true;
        link->open = open;
        if (link_accept(link->secure) != 0 || link_go_up(link, &bridge) < 0) {
                link->route.bridge = bridge;
                link_close(link, WS_CLOSE_GOING_AWAY, COUNT_HANDSHAKES_FAILED, "out of memory");
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

static void link_shake(RelayLink *link, const uint8_t *message, size_t n_message) {
        uint8_t answer[LINK_HANDSHAKE_MAX];
        size_t n_answer;
        int r;

        r = link_consume(link->secure, message, n_message, wall());
        if (r != 0) {
                link_close(link, WS_CLOSE_PROTOCOL_ERROR, COUNT_HANDSHAKES_FAILED,
                           handshake_text(r));
                return;
        }
        if (link_state(link->secure) == LINK_PROVEN) {
                link_judge(link);
                return;
        }
        r = link_create(link->secure, answer, sizeof(answer), &n_answer);
        if (r != 0 || ws_send(link->connection, answer, n_answer) != 0) {
                link_close(link, WS_CLOSE_PROTOCOL_ERROR, COUNT_HANDSHAKES_FAILED,
                           handshake_text(LINK_E_VIOLATION));
                return;
        }
        ws_set_message_max(link->connection, LINK_HANDSHAKE_MAX);
}

static void on_link_message(WsConnection *connection, uint8_t *data, size_t n, void *userdata) {
        RelayLink *link = userdata;

        (void)connection;
        switch (link->phase) {
        case PHASE_HANDSHAKE:
                link_shake(link, data, n);
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

        r = self_record(shared->self, wall(), &options.record);
        if (r == 0)
                r = link_new(&link->secure, &options);
        if (r != 0) {
                relay_link_free(link);
                return r < 0 ? r : err_origin(-EKEYREJECTED);
        }
        ws_set_message_max(connection, LINK_MSG1_SIZE);
        return 0;
}

void relay_link_tick(RelayLink *link, uint64_t now) {
        Control ping = { .verb = CONTROL_PING };

        switch (link->phase) {
        case PHASE_HANDSHAKE:
                if (now >= ws_connection_began_usec(link->connection) + RELAY_HANDSHAKE_USEC)
                        link_close(link, WS_CLOSE_POLICY, COUNT_HANDSHAKES_LATE,
                                   "handshake took too long");
                break;
        case PHASE_UP:
                if (link->waiting && now >= link->progress_usec + RELAY_STALL_USEC)
                        link_close(link, WS_CLOSE_POLICY, COUNT_LINKS_STALLED,
                                   "it takes nothing any more");
                else if (link->pauses == 0 && now >= link->heard_usec + RELAY_SILENCE_USEC)
                        link_close(link, WS_CLOSE_POLICY, COUNT_LINKS_SILENT,
                                   "it says nothing any more");
                else if (!link->pinged && now >= link->heard_usec + RELAY_QUIET_USEC) {
                        link->pinged = true;
                        link_say(link, &ping, to_bridge);
                }
                break;
        case PHASE_CLOSING:
                break;
        }
}
