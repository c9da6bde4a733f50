/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/uplink.h"

#include <stdarg.h>
#include <stdio.h>

#include "bridge/uplink-private.h"
#include "libcore/err.h"
#include "libsecure/crypto.h"

#define WORDS_MAX (16 * 1024 * 1024) /* bytes of control words that a relay may leave unread */
#define LOSSY_WORDS_MAX (64 * 1024)
#define REASON_SIZE 1024

static const BatchHandlers batch_handlers;
static const Address to_relay = { .pid = PID_RELAY };
static const Address from_bridge = { .pid = PID_BRIDGE };

/* Life and death */

const char *uplink_check_url(const char *url, bool *ret_no_key) {
        KeyText key;
        WsUrl parsed;

        *ret_no_key = false;
        if (ws_url_parse(url, &parsed) != 0)
                return "not a URL of a relay; write ws[s]://HOST[:PORT][/PATH][#FULL]";
        if (parsed.fragment[0] != '\0') {
                if (key_text_parse(parsed.fragment, &key) != 0 || key.form != KEY_FORM_FULL)
                        return "behind # stands no full key; write PID:KEY, as the relay prints it";
        } else if (!parsed.tls) {
                *ret_no_key = true;
                return "ws:// does not prove who answers; add #FULL, as the relay prints it";
        }
        return NULL;
}

int uplink_new(Uplink **ret, const UplinkOptions *options) {
        _cleanup_(uplink_freep) Uplink *uplink = NULL;
        bool no_key;
        KeyText key;
        int r;

        if (uplink_check_url(options->url, &no_key))
                return UPLINK_E_URL;

        uplink = calloc(1, sizeof(*uplink));
        if (!uplink)
                return err_origin(-ENOMEM);
        uplink->options = *options;
        uplink->url = strdup(options->url);
        uplink->name = strndup(options->url, strcspn(options->url, "#"));
        if (!uplink->url || !uplink->name)
                return err_origin(-ENOMEM);
        uplink->options.url = uplink->url;
        (void)ws_url_parse(uplink->url, &uplink->parsed); /* checked above, as is the key */
        if (uplink->parsed.fragment[0] != '\0') {
                (void)key_text_parse(uplink->parsed.fragment, &key);
                uplink->pin = key.key;
                uplink->has_pin = true;
        }
        uplink->backoff = (Backoff){
                .least_usec = UPLINK_RETRY_LEAST_USEC,
                .greatest_usec = UPLINK_RETRY_GREATEST_USEC,
        };
        uplink->round_trip_usec = USEC_NEVER;

        r = batch_init(&uplink->batch, options->pool, &batch_handlers, uplink);
        if (r < 0)
                return err_trace(r);

        *ret = TAKE_PTR(uplink);
        return 0;
}

/* Everything of this life of the link; what follows is uplink_fail()'s decision. */
static void uplink_clear(Uplink *uplink) {
        if (uplink->transport)
                uplink->transport->class->free(TAKE_PTR(uplink->transport));
        uplink->link = link_free(uplink->link);
        uplink->stream = stream_free(uplink->stream);
        uplink->n_handshake = 0;
        batch_clear(&uplink->batch);
}

Uplink *uplink_free(Uplink *uplink) {
        if (!uplink)
                return NULL;

        uplink_clear(uplink);
        if (uplink->state >= UPLINK_PROVEN)
                presence_remove_relay(uplink->options.presence, &uplink->relay);
        batch_done(&uplink->batch);
        free(uplink->name);
        free(uplink->url);
        free(uplink);
        return NULL;
}

void uplink_log(const Uplink *uplink, LogLevel level, const char *format, ...) {
        LogFields fields = { .link = uplink->name };
        char text[REASON_SIZE];
        va_list args;

        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        log_write(uplink->options.log, level, &fields, "%s", text);
}

static void uplink_wait(Uplink *uplink, uint64_t usec) {
        uplink->state = UPLINK_WAITING;
        uplink->deadline_usec = uplink_clock_usec() + usec;
}

/* A repeated failure is not news. */
void uplink_fail(Uplink *uplink, const char *reason) {
        UplinkState before = uplink->state;
        uint64_t wait;

        if (before == UPLINK_WAITING)
                return;
        if (before >= UPLINK_PROVEN)
                presence_remove_relay(uplink->options.presence, &uplink->relay);

        wait = backoff_fail(&uplink->backoff, crypto_random_u64());
        uplink_clear(uplink);
        uplink_wait(uplink, wait);

        uplink_log(uplink, uplink->failing ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING,
                   "%s %s: %s; trying again in %.1f s", before >= UPLINK_UP ? "link down" : "relay",
                   uplink->name, reason, (double)wait / USEC_PER_SEC);
        uplink->failing = true;
        if (before >= UPLINK_UP)
                uplink->options.handlers->on_down(uplink, uplink->options.userdata);
}

/* Out */

void uplink_want_write(Uplink *uplink) {
        if (uplink->transport && uplink->state >= UPLINK_HANDSHAKE)
                uplink->transport->class->want_write(uplink->transport);
}

static void say(Uplink *uplink, const Control *control, Address dst, const PacketId *id,
                size_t max) {
        static const PacketId none;
        uint8_t *data;

        if (uplink->state < UPLINK_PROVEN)
                return;
        if (stream_output_size(uplink->stream) > max) {
                if (max == WORDS_MAX)
                        uplink->deadline_usec = 0; /* ends in uplink_tick(), not under our caller */
                return;
        }
        if (stream_queue(uplink->stream, control_packet_size(control), NULL, 0, &data) < 0) {
                uplink->deadline_usec = 0;
                return;
        }
        control_packet_encode(control, from_bridge, dst, id ? id : &none, data);
        uplink_want_write(uplink);
}

void uplink_say(Uplink *uplink, const Control *control, Address dst, const PacketId *id) {
        say(uplink, control, dst, id, WORDS_MAX);
}

void uplink_say_lossy(Uplink *uplink, const Control *control, Address dst, const PacketId *id) {
        say(uplink, control, dst, id, LOSSY_WORDS_MAX);
}

void uplink_present(Uplink *uplink, Address address, const uint8_t *lease) {
        Control control = {
                .verb = CONTROL_LEASE,
                .address = address,
                .body = lease,
                .n_body = CONTROL_LEASE_SIZE,
        };

        batch_return(&uplink->batch, address);
        uplink_say(uplink, &control, to_relay, NULL);
}

static void say_detached(Uplink *uplink, Address address) {
        Control control = { .verb = CONTROL_DETACHED, .address = address };

        uplink_say(uplink, &control, to_relay, NULL);
}

static void on_batch_left(Address address, void *userdata) {
        say_detached(userdata, address);
}

static void on_batch_refused(Parcel *parcel, uint16_t code, void *userdata) {
        Uplink *uplink = userdata;

        uplink->options.handlers->on_refused(uplink, parcel, code, uplink->options.userdata);
}

static const BatchHandlers batch_handlers = {
        .on_refused = on_batch_refused,
        .on_left = on_batch_left,
};

void uplink_detach(Uplink *uplink, Address address) {
        if (uplink->state >= UPLINK_PROVEN && !batch_leave(&uplink->batch, address))
                say_detached(uplink, address);
}

void uplink_queue(Uplink *uplink, Parcel *parcel) {
        if (uplink->state < UPLINK_UP) {
                on_batch_refused(parcel, CODE_NO_ROUTE, uplink);
                return;
        }
        if (batch_queue(&uplink->batch, parcel, uplink_clock_usec()))
                uplink_want_write(uplink);
}

Parcel *uplink_take_back(Uplink *uplink, const PacketId *id) {
        return batch_take_back(&uplink->batch, id);
}

static bool has_output(const Uplink *uplink) {
        return batch_has_packets(&uplink->batch) ||
               (uplink->stream && stream_output_size(uplink->stream) > 0);
}

bool uplink_is_busy(const Uplink *uplink) {
        return uplink->state >= UPLINK_UP && has_output(uplink);
}

static void on_transport_writable(void *userdata) {
        Uplink *uplink = userdata;
        const TransportClass *class = uplink->transport->class;
        uint8_t *message = uplink->buffer + TRANSPORT_HEADROOM;
        size_t n;
        int r;

        if (uplink->n_handshake > 0) {
                r = class->write(uplink->transport, uplink->handshake, uplink->n_handshake);
                uplink->n_handshake = 0;
        } else if (uplink->state >= UPLINK_PROVEN &&
                   (n = batch_fill(&uplink->batch, uplink->stream, message, LINK_PLAIN_MAX,
                                   uplink_clock_usec())) > 0) {
                if (link_encrypt(uplink->link, message, n, message) != 0) {
                        uplink_fail(uplink, "the link is worn out");
                        return;
                }
                r = class->write(uplink->transport, uplink->buffer, n + LINK_OVERHEAD);
        } else {
                return;
        }
        if (r != 0)
                return; /* on_close is coming and says why */
        if (uplink->state >= UPLINK_PROVEN && has_output(uplink))
                class->want_write(uplink->transport);
}

void uplink_beat(Uplink *uplink, uint64_t now) {
        Control ping = { .verb = CONTROL_PING };
        PacketId id;
        uint64_t number, taken, waiting;

        uplink->transport->class->progress(uplink->transport, &taken, &waiting);
        heartbeat_moved(&uplink->heartbeat, taken, waiting, now);
        if (uplink->paused)
                heartbeat_heard(&uplink->heartbeat, now); /* it is we who do not listen */
        switch (heartbeat_check(&uplink->heartbeat, now, &number)) {
        case HEARTBEAT_WAIT:
                break;
        case HEARTBEAT_PING:
                id = packet_id_make(now_usec(CLOCK_REALTIME), number);
                uplink_say(uplink, &ping, to_relay, &id);
                break;
        case HEARTBEAT_DEAD:
                uplink_fail(uplink, "the relay no longer answers");
                break;
        }
}

/* In */

static void hand_on(Uplink *uplink, const PacketHeader *header, const Control *control) {
        uplink->options.handlers->on_control(uplink, header, control, uplink->options.userdata);
}

static void on_ping(Uplink *uplink, const PacketHeader *header, const Control *control) {
        Control pong = { .verb = CONTROL_PONG, .ref = header->id };

        if (control->value == PING_ALL)
                hand_on(uplink, header, control);
        else
                uplink_say_lossy(uplink, &pong, to_relay, NULL);
}

static void on_pong(Uplink *uplink, const PacketHeader *header, const Control *control) {
        uint64_t number = packet_id_unique(&control->ref);

        if (number & UPLINK_NO_HEARTBEAT) {
                hand_on(uplink, header, control);
                return;
        }
        heartbeat_pong(&uplink->heartbeat, number, uplink_clock_usec());
        if (uplink->heartbeat.round_trip_usec > 0) {
                uplink->round_trip_usec = uplink->heartbeat.round_trip_usec;
                uplink->options.handlers->on_measured(uplink, uplink->options.userdata);
        }
}

static void on_goodbye(Uplink *uplink, const Control *control) {
        uplink_fail(uplink, control->code == CODE_SHUTDOWN ? "the relay is going away"
                                                           : control_code_text(control->code));
}

static void on_link_control(Uplink *uplink, const PacketHeader *header, const uint8_t *frame) {
        Control control;
        int r;

        r = control_decode(frame + PACKET_HEADER_SIZE, header->size - PACKET_HEADER_SIZE, &control);
        if (r == CONTROL_E_UNKNOWN) {
                Control error = {
                        .verb = CONTROL_ERROR,
                        .code = CODE_UNSUPPORTED,
                        .ref = header->id,
                };

                uplink_say_lossy(uplink, &error, to_relay, NULL);
                return;
        }
        if (r != 0 || header->src.pid != PID_RELAY) {
                uplink_fail(uplink, "malformed control word");
                return;
        }

        switch (control.verb) {
        case CONTROL_PING:
                on_ping(uplink, header, &control);
                break;
        case CONTROL_PONG:
                on_pong(uplink, header, &control);
                break;
        case CONTROL_GOODBYE:
                on_goodbye(uplink, &control);
                break;
        case CONTROL_SYNCED:
                if (uplink->state == UPLINK_UP) {
                        uplink->state = UPLINK_SYNCED;
                        uplink->options.handlers->on_synced(uplink, uplink->options.userdata);
                }
                break;
        default:
                hand_on(uplink, header, &control);
        }
}

static void on_frame(Uplink *uplink, const StreamFrame *frame) {
        PacketHeader header;

        if (packet_header_decode(frame->data, frame->size, &header) != 0 || header.n_fds > 0) {
                uplink_fail(uplink, "malformed packet");
                return;
        }
        switch (header.kind) {
        case PACKET_CONTROL:
                on_link_control(uplink, &header, frame->data);
                break;
        case PACKET_SEALED:
                if (pid_is_reserved(header.src.pid) || pid_is_reserved(header.dst.pid)) {
                        uplink_fail(uplink, "packet of nobody");
                        return;
                }
                /* The stream's buffer is ours until the next feed. */
                uplink->options.handlers->on_packet(uplink, &header, (uint8_t *)frame->data,
                                                    uplink->options.userdata);
                break;
        default:
                uplink_fail(uplink, "packet in the clear");
        }
}

/* Careful: after each frame the link may be gone, and its stream with it. */
static void pop_frames(Uplink *uplink) {
        while (uplink->state >= UPLINK_UP) {
                StreamFrame frame;
                int r = stream_pop(uplink->stream, &frame);

                if (r == STREAM_E_EMPTY)
                        return;
                if (r != 0) {
                        uplink_fail(uplink, "malformed frame");
                        return;
                }
                on_frame(uplink, &frame);
        }
}

static void on_link_message(Uplink *uplink, uint8_t *data, size_t n_data) {
        size_t n_plain, at = 0;

        if (link_decrypt(uplink->link, data, n_data, data) != 0) {
                uplink_fail(uplink, "forged message");
                return;
        }
        n_plain = n_data - LINK_OVERHEAD;
        if (uplink->state == UPLINK_PROVEN)
                handshake_done(uplink);
        heartbeat_heard(&uplink->heartbeat, uplink_clock_usec());

        while (at < n_plain && uplink->state >= UPLINK_UP) {
                uint8_t *room;
                size_t n_room;

                if (stream_input(uplink->stream, &room, &n_room) < 0) {
                        uplink_fail(uplink, "out of memory");
                        return;
                }
                n_room = MIN(n_room, n_plain - at);
                memcpy(room, data + at, n_room);
                at += n_room;
                (void)stream_fed(uplink->stream, n_room, NULL, 0); /* without fds it takes all */
                pop_frames(uplink);
        }
}

static void on_transport_open(void *userdata) {
        handshake_begin(userdata);
}

static void on_transport_message(uint8_t *data, size_t n_data, void *userdata) {
        Uplink *uplink = userdata;

        switch (uplink->state) {
        case UPLINK_HANDSHAKE:
                handshake_judge(uplink, data, n_data);
                break;
        case UPLINK_PROVEN:
        case UPLINK_UP:
        case UPLINK_SYNCED:
                on_link_message(uplink, data, n_data);
                break;
        default: /* before it is open, or after we gave up: not ours */
                break;
        }
}

static void on_transport_close(const char *reason, void *userdata) {
        Uplink *uplink = userdata;

        if (uplink->state == UPLINK_PROVEN)
                uplink_log(uplink, uplink->failing ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING,
                           "relay %s closed the link before it said anything; "
                           "does it admit this bridge (--allow, --open)?",
                           uplink->name);
        uplink_fail(uplink, reason);
}

static const TransportHandlers transport_handlers = {
        .on_open = on_transport_open,
        .on_message = on_transport_message,
        .on_writable = on_transport_writable,
        .on_close = on_transport_close,
};

/* Time */

static void uplink_connect(Uplink *uplink, uint64_t now) {
        const TransportClass *class = uplink->options.driver->class;
        int r;

        uplink->state = UPLINK_CONNECTING;
        uplink->deadline_usec = now + UPLINK_HANDSHAKE_USEC;
        r = class->open(uplink->options.driver, &uplink->parsed, uplink->has_pin,
                        &transport_handlers, uplink, &uplink->transport);
        if (r < 0)
                uplink_fail(uplink, strerror(-r));
}

uint64_t uplink_deadline(const Uplink *uplink) {
        if (uplink->state < UPLINK_UP || uplink->deadline_usec == 0)
                return uplink->deadline_usec;
        return MIN(heartbeat_deadline(&uplink->heartbeat), uplink->reborn_usec);
}

void uplink_tick(Uplink *uplink, uint64_t now) {
        if (now < uplink_deadline(uplink))
                return;

        switch (uplink->state) {
        case UPLINK_WAITING:
                uplink_connect(uplink, now);
                break;
        case UPLINK_CONNECTING:
        case UPLINK_HANDSHAKE:
        case UPLINK_PROVEN:
                uplink_fail(uplink, uplink->deadline_usec == 0 ? "the relay does not read"
                                                               : "no answer in 10 seconds");
                break;
        case UPLINK_UP:
        case UPLINK_SYNCED:
                if (uplink->deadline_usec == 0)
                        uplink_fail(uplink, "the relay does not read");
                else if (now >= uplink->reborn_usec)
                        uplink_fail(uplink, "keys are a day old, beginning anew");
                else
                        uplink_beat(uplink, now);
        }
}

void uplink_hurry(Uplink *uplink) {
        if (uplink->state != UPLINK_WAITING)
                return;
        backoff_reset(&uplink->backoff);
        uplink->deadline_usec = 0;
}

void uplink_resume(Uplink *uplink, uint64_t now) {
        if (uplink->state >= UPLINK_UP)
                heartbeat_doubt(&uplink->heartbeat, now);
        else if (uplink->deadline_usec != USEC_NEVER)
                uplink_hurry(uplink);
}

void uplink_rest(Uplink *uplink) {
        bool was_up = uplink->state >= UPLINK_UP;

        if (uplink->state >= UPLINK_PROVEN)
                presence_remove_relay(uplink->options.presence, &uplink->relay);
        uplink_clear(uplink);
        uplink->state = UPLINK_WAITING;
        uplink->deadline_usec = USEC_NEVER;
        if (!was_up)
                return;
        uplink_log(uplink, LOG_LEVEL_INFO, "link closed %s: nothing to carry", uplink->name);
        uplink->options.handlers->on_down(uplink, uplink->options.userdata);
}

void uplink_pause(Uplink *uplink, bool paused) {
        if (uplink->paused == paused)
                return;
        uplink->paused = paused;
        if (uplink->state >= UPLINK_UP)
                uplink->transport->class->pause(uplink->transport, paused);
}

/* What it is */

unsigned uplink_slot(const Uplink *uplink) {
        return uplink->options.slot;
}

const char *uplink_url(const Uplink *uplink) {
        return uplink->url;
}

const char *uplink_name(const Uplink *uplink) {
        return uplink->name;
}

UplinkState uplink_state(const Uplink *uplink) {
        return uplink->state;
}

uint64_t uplink_round_trip_usec(const Uplink *uplink) {
        return uplink->round_trip_usec;
}

void uplink_set_heartbeat(Uplink *uplink, uint64_t heartbeat_usec) {
        uplink->options.heartbeat_usec = heartbeat_usec;
        uplink->heartbeat.interval_usec = heartbeat_usec;
}
