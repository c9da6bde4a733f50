/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/uplink.h"

#include <stdarg.h>
#include <stdio.h>
#include <utlist.h>

#include "bridge/backoff.h"
#include "bridge/heartbeat.h"
#include "bridge/outbox.h"
#include "libcore/err.h"
#include "libcore/stream.h"
#include "libsecure/crypto.h"
#include "libsecure/link.h"

#define WORDS_MAX (16 * 1024 * 1024) /* bytes of control words that a relay may leave unread */
#define LOSSY_WORDS_MAX (64 * 1024)
#define SENT_BYTES_MAX (1024 * 1024)
#define SENT_PACKETS_MAX 1024
#define REASON_SIZE 256

static const Address to_relay = { .pid = PID_RELAY };
static const Address from_bridge = { .pid = PID_BRIDGE };

/* A process that has left, while its packets still wait. */
typedef struct Leaving Leaving;

struct Leaving {
        Leaving *prev, *next;
        Address address;
};

struct Uplink {
        UplinkOptions options;
        char *url;  /* as configured */
        char *name; /* without fragment: for people, and for known_relays */
        WsUrl parsed;
        PublicKey pin;
        bool has_pin; /* in the URL */

        UplinkState state;
        uint64_t deadline_usec; /* of WAITING, and of the way up */
        uint64_t reborn_usec;   /* when an old link is to be replaced */
        Backoff backoff;
        bool failing; /* already said so: retries are not news */
        bool paused;

        Transport *transport;
        Link *link;
        Stream *stream; /* frames that come in, control words that go out */
        PublicKey relay;
        uint8_t handshake[TRANSPORT_HEADROOM + LINK_HANDSHAKE_MAX];
        size_t n_handshake; /* to be sent */

        Outbox *outbox;
        Parcel *current;  /* begun in an earlier message */
        size_t n_current; /* bytes of it that are gone */
        Parcel *sent;     /* the oldest first */
        size_t n_sent_bytes;
        unsigned n_sent;
        Leaving *leaving;

        Heartbeat heartbeat;
        uint64_t round_trip_usec; /* of the life before, until this one is measured */
        uint8_t buffer[TRANSPORT_HEADROOM + LINK_MESSAGE_MAX];
};

static uint64_t clock_usec(void) {
        return now_usec(CLOCK_BOOTTIME);
}

/* Life and death */

const char *uplink_check_url(const char *url, bool *ret_no_key) {
        KeyText key;
        WsUrl parsed;

        *ret_no_key = false;
        if (ws_url_parse(url, &parsed) != 0)
                return "not of the form ws[s]://HOST[:PORT][/PATH][#FULL]";
        if (parsed.fragment[0] != '\0') {
                if (key_text_parse(parsed.fragment, &key) != 0 || key.form != KEY_FORM_FULL)
                        return "behind # stands no full key (PID:KEY)";
        } else if (!parsed.tls) {
                *ret_no_key = true;
                return "ws:// does not prove who answers: add #FULL, as the relay prints it";
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

        r = outbox_new(&uplink->outbox, options->pool, OUTBOX_BYTES_MAX, OUTBOX_PACKETS_MAX);
        if (r < 0)
                return err_trace(r);

        *ret = TAKE_PTR(uplink);
        return 0;
}

/* Everything of this life of the link; what follows is uplink_fail()'s decision. */
static void uplink_clear(Uplink *uplink) {
        Leaving *leaving, *next_leaving;
        Parcel *parcel, *next;

        if (uplink->transport)
                uplink->transport->class->free(TAKE_PTR(uplink->transport));
        uplink->link = link_free(uplink->link);
        uplink->stream = stream_free(uplink->stream);
        uplink->n_handshake = 0;

        while ((parcel = outbox_pop(uplink->outbox, 0)))
                parcel_free(uplink->options.pool, parcel);
        uplink->current = parcel_free(uplink->options.pool, uplink->current);
        DL_FOREACH_SAFE (uplink->sent, parcel, next)
                parcel_free(uplink->options.pool, parcel);
        uplink->sent = NULL;
        uplink->n_sent = 0;
        uplink->n_sent_bytes = 0;
        DL_FOREACH_SAFE (uplink->leaving, leaving, next_leaving)
                free(leaving);
        uplink->leaving = NULL;
}

Uplink *uplink_free(Uplink *uplink) {
        if (!uplink)
                return NULL;

        if (uplink->outbox)
                uplink_clear(uplink);
        if (uplink->state >= UPLINK_PROVEN)
                presence_remove_relay(uplink->options.presence, &uplink->relay);
        outbox_free(uplink->outbox);
        free(uplink->name);
        free(uplink->url);
        free(uplink);
        return NULL;
}

/* Logs an event of this link; the URL goes before the text. */
_printf_(3, 4) static void uplink_log(const Uplink *uplink, LogLevel level, const char *format,
                                      ...) {
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
        uplink->deadline_usec = clock_usec() + usec;
}

/* This attempt or link is over; another is made after a while. A repeated failure is not news. */
static void uplink_fail(Uplink *uplink, const char *reason) {
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

static void want_write(Uplink *uplink) {
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
        want_write(uplink);
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
        Leaving *leaving, *next;

        DL_FOREACH_SAFE (uplink->leaving, leaving, next)
                if (address_equal(leaving->address, address)) {
                        DL_DELETE(uplink->leaving, leaving);
                        free(leaving);
                }
        uplink_say(uplink, &control, to_relay, NULL);
}

static void say_detached(Uplink *uplink, Address address) {
        Control control = { .verb = CONTROL_DETACHED, .address = address };

        uplink_say(uplink, &control, to_relay, NULL);
}

static bool has_packets_of(const Uplink *uplink, Address src) {
        return outbox_has(uplink->outbox, src) ||
               (uplink->current && address_equal(uplink->current->src, src));
}

void uplink_detach(Uplink *uplink, Address address) {
        Leaving *leaving;

        if (uplink->state < UPLINK_PROVEN)
                return;
        leaving = has_packets_of(uplink, address) ? malloc(sizeof(*leaving)) : NULL;
        if (!leaving) {
                say_detached(uplink, address); /* without memory too: better early than never */
                return;
        }
        *leaving = (Leaving){ .address = address };
        DL_APPEND(uplink->leaving, leaving);
}

/* Those whose last packet has just gone. */
static void let_go(Uplink *uplink) {
        Leaving *leaving, *next;

        DL_FOREACH_SAFE (uplink->leaving, leaving, next)
                if (!has_packets_of(uplink, leaving->address)) {
                        say_detached(uplink, leaving->address);
                        DL_DELETE(uplink->leaving, leaving);
                        free(leaving);
                }
}

void uplink_queue(Uplink *uplink, Parcel *parcel) {
        Parcel *dropped;

        if (uplink->state < UPLINK_UP) {
                uplink->options.handlers->on_refused(uplink, parcel, CODE_NO_ROUTE,
                                                     uplink->options.userdata);
                return;
        }
        if (outbox_push(uplink->outbox, parcel, clock_usec()) < 0) {
                uplink->options.handlers->on_refused(uplink, parcel, CODE_OVERLOAD,
                                                     uplink->options.userdata);
                return;
        }
        while ((dropped = outbox_overflow(uplink->outbox)))
                uplink->options.handlers->on_refused(uplink, dropped, CODE_OVERLOAD,
                                                     uplink->options.userdata);
        want_write(uplink);
}

static Parcel *sent_remove(Uplink *uplink, Parcel *parcel) {
        DL_DELETE(uplink->sent, parcel);
        uplink->n_sent--;
        uplink->n_sent_bytes -= parcel->size;
        return parcel;
}

/* Kept for a while: the relay may ask for it again, or not know its destination. */
static void sent_keep(Uplink *uplink, Parcel *parcel) {
        DL_APPEND(uplink->sent, parcel);
        uplink->n_sent++;
        uplink->n_sent_bytes += parcel->size;
        while (uplink->n_sent > SENT_PACKETS_MAX || uplink->n_sent_bytes > SENT_BYTES_MAX)
                parcel_free(uplink->options.pool, sent_remove(uplink, uplink->sent));
}

Parcel *uplink_take_back(Uplink *uplink, const PacketId *id) {
        Parcel *parcel;

        DL_FOREACH (uplink->sent, parcel)
                if (memcmp(&parcel->id, id, sizeof(*id)) == 0)
                        return sent_remove(uplink, parcel);
        return NULL;
}

/* The next packet to be sent, or NULL; the expired are refused on the way. */
static Parcel *next_parcel(Uplink *uplink) {
        uint64_t now = clock_usec();
        Parcel *parcel;

        while ((parcel = outbox_pop(uplink->outbox, now))) {
                if (!parcel_is_expired(parcel, now))
                        return parcel;
                uplink->options.handlers->on_refused(uplink, parcel, CODE_EXPIRED,
                                                     uplink->options.userdata);
                let_go(uplink);
        }
        return NULL;
}

static size_t fill_with_words(Uplink *uplink, uint8_t *to, size_t room) {
        struct iovec iov[STREAM_IOVECS];
        size_t n_iov, n_fds, n = 0;
        const int *fds;

        if (stream_peek(uplink->stream, iov, &n_iov, &fds, &n_fds) != 0)
                return 0;
        for (size_t i = 0; i < n_iov && n < room; i++) {
                size_t size = MIN(iov[i].iov_len, room - n);

                memcpy(to + n, iov[i].iov_base, size);
                n += size;
        }
        stream_written(uplink->stream, n);
        return n;
}

static size_t fill_with_current(Uplink *uplink, uint8_t *to, size_t room) {
        Parcel *parcel = uplink->current;
        size_t n = MIN(parcel->size - uplink->n_current, room);

        memcpy(to, parcel->data + uplink->n_current, n);
        uplink->n_current += n;
        if (uplink->n_current == parcel->size) {
                uplink->current = NULL;
                sent_keep(uplink, parcel);
                let_go(uplink);
        }
        return n;
}

/*
 * Frames may be cut between messages but not mixed: what was begun is finished first. A word is
 * only ever cut while words are all that is sent, so words need no memory of that.
 */
static size_t fill(Uplink *uplink, uint8_t *plain) {
        size_t n = 0;

        while (n < LINK_PLAIN_MAX) {
                if (uplink->current) {
                        n += fill_with_current(uplink, plain + n, LINK_PLAIN_MAX - n);
                } else if (stream_output_size(uplink->stream) > 0) {
                        n += fill_with_words(uplink, plain + n, LINK_PLAIN_MAX - n);
                } else {
                        uplink->current = next_parcel(uplink);
                        uplink->n_current = 0;
                        if (!uplink->current && stream_output_size(uplink->stream) == 0)
                                break;
                }
        }
        return n;
}

static bool has_output(const Uplink *uplink) {
        return uplink->current || outbox_packets(uplink->outbox) > 0 ||
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
        } else if (uplink->state >= UPLINK_PROVEN && (n = fill(uplink, message)) > 0) {
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

/* Asks whether the relay is still there, if it is time to. */
static void beat(Uplink *uplink, uint64_t now) {
        Control ping = { .verb = CONTROL_PING };
        PacketId id;
        uint64_t number;

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

/* The way up */

static void on_transport_open(void *userdata) {
        Uplink *uplink = userdata;
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
        want_write(uplink);
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

/* Step 2 of the handshake came: judge the relay, then name ourselves in step 3. */
static void on_handshake_message(Uplink *uplink, const uint8_t *data, size_t n_data) {
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
                clock_usec() + LINK_LIFE_USEC - crypto_random_u64() % (LINK_LIFE_USEC / 8);
        presence_add_relay(uplink->options.presence, &uplink->relay);
        want_write(uplink);
        uplink->options.handlers->on_proven(uplink, uplink->options.userdata);

        /* Without a bus there is nothing to present yet; the first PING makes the relay speak. */
        heartbeat_start(&uplink->heartbeat, uplink->options.heartbeat_usec, clock_usec());
        beat(uplink, clock_usec());
}

/* The relay's first words: it took us. */
static void link_is_up(Uplink *uplink) {
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

/* In */

static void on_ping(Uplink *uplink, const PacketHeader *header) {
        Control pong = { .verb = CONTROL_PONG, .ref = header->id };

        uplink_say_lossy(uplink, &pong, to_relay, NULL);
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
                on_ping(uplink, header);
                break;
        case CONTROL_PONG:
                heartbeat_pong(&uplink->heartbeat, load_be64(control.ref.bytes + 8), clock_usec());
                if (uplink->heartbeat.round_trip_usec > 0)
                        uplink->round_trip_usec = uplink->heartbeat.round_trip_usec;
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
                uplink->options.handlers->on_control(uplink, header, &control,
                                                     uplink->options.userdata);
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
                link_is_up(uplink);
        heartbeat_heard(&uplink->heartbeat, clock_usec());

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

static void on_transport_message(uint8_t *data, size_t n_data, void *userdata) {
        Uplink *uplink = userdata;

        switch (uplink->state) {
        case UPLINK_HANDSHAKE:
                on_handshake_message(uplink, data, n_data);
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
                        beat(uplink, now);
        }
}

void uplink_hurry(Uplink *uplink) {
        if (uplink->state != UPLINK_WAITING)
                return;
        backoff_reset(&uplink->backoff);
        uplink->deadline_usec = 0;
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
