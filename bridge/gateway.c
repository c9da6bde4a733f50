/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One attempt after the other: connect and attach (libclient/connection.h), then the word GATEWAY,
 * then OK. Anything else ends the attempt, and a timer begins the next.
 *
 * What is said goes out when the loop has come round, as one write for many packets.
 */

#include "bridge/gateway.h"

#include <stdio.h>
#include <sys/epoll.h>

#include "bridge/backoff.h"
#include "libclient/connection.h"
#include "libcore/err.h"
#include "libsecure/crypto.h"

#define POPS_MAX 1024 /* packets in one go, before others have their turn */

struct Gateway {
        GatewayOptions options;
        char *socket;

        Connection *connection;
        sd_event_source *io;
        sd_event_source *flush; /* enabled while something was said and not written */
        sd_event_source *timer; /* enabled while there is no connection */
        uint32_t events;
        PacketId request; /* GATEWAY's */
        bool asked;
        bool attached; /* OK came */
        bool waiting;  /* we have said that we wait */
        Backoff backoff;
};

static void gateway_retry(Gateway *gateway);

/* Ends this attachment, whatever it had become. */
static void gateway_close(Gateway *gateway) {
        bool was_attached = gateway->attached;

        gateway->io = sd_event_source_disable_unref(gateway->io);
        gateway->connection = connection_free(gateway->connection);
        (void)sd_event_source_set_enabled(gateway->flush, SD_EVENT_OFF);
        gateway->asked = false;
        gateway->attached = false;
        if (was_attached)
                gateway->options.handlers->on_detached(gateway->options.userdata);
}

Gateway *gateway_free(Gateway *gateway) {
        if (!gateway)
                return NULL;

        gateway->attached = false; /* without callbacks */
        gateway_close(gateway);
        sd_event_source_disable_unref(gateway->flush);
        sd_event_source_disable_unref(gateway->timer);
        free(gateway->socket);
        free(gateway);
        return NULL;
}

static const char *connection_reason(int r) {
        switch (r) {
        case CONNECTION_E_NO_SOCKET:
                return "no bus there (is p2pbusd running?)";
        case CONNECTION_E_NO_LISTENER:
                return "nobody listens there (is p2pbusd running?)";
        case CONNECTION_E_NO_ACCESS:
                return "permission denied";
        case CONNECTION_E_CROWDED:
                return "too many are connecting at once";
        case CONNECTION_E_NOT_TRUSTED:
                return "it is served by a user that we have no reason to trust";
        case CONNECTION_E_WRONG_USER:
                return "it takes us for somebody else";
        case CONNECTION_E_NOT_A_BUS:
                return "this is not a bus, or of another version";
        case CONNECTION_E_LOST:
                return "the connection was lost";
        default:
                return r < 0 ? strerror(-r) : control_code_text((uint16_t)r);
        }
}

/* This attempt is over; that we wait is said once, until we were attached again. */
static void gateway_fail(Gateway *gateway, const char *reason) {
        log_write(gateway->options.log, gateway->waiting ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING,
                  NULL, "bus %s: %s; trying again until it works", gateway->socket, reason);
        gateway->waiting = true;
        gateway_close(gateway);
        gateway_retry(gateway);
}

/* In */

static void on_answer(Gateway *gateway, const Control *control) {
        if (control->verb == CONTROL_OK) {
                gateway->attached = true;
                gateway->waiting = false;
                backoff_reset(&gateway->backoff);
                log_write(gateway->options.log, LOG_LEVEL_INFO, NULL, "attached to the bus %s",
                          gateway->socket);
                gateway->options.handlers->on_attached(gateway->options.userdata);
                return;
        }
        gateway_fail(gateway, control->code == CODE_BUSY ? "it has another gateway already"
                              : control->code == CODE_DENIED
                                      ? "its policy does not allow us to be the gateway"
                                      : control_code_text(control->code));
}

/* Behind a zero byte: which line of which file says so. */
static void on_taken(Gateway *gateway, const Control *control) {
        size_t n_rule = control->n_body > 1 ? control->n_body - 1 : 0;
        char reason[CONTROL_TEXT_MAX + 64];

        (void)snprintf(reason, sizeof(reason),
                       "its policy does not allow us to be the gateway any more%s%.*s",
                       n_rule > 0 ? ": " : "", (int)n_rule,
                       n_rule > 0 ? (const char *)control->body + 1 : "");
        gateway_fail(gateway, reason);
}

static void on_control(Gateway *gateway, const PacketHeader *header, const uint8_t *packet) {
        Control control;
        int r;

        r = control_decode(packet + PACKET_HEADER_SIZE, header->size - PACKET_HEADER_SIZE,
                           &control);
        if (r == CONTROL_E_UNKNOWN)
                return; /* of a later daemon; nothing we could do about it */
        if (r != 0) {
                gateway_fail(gateway, "it sends malformed words");
                return;
        }

        if (control.verb == CONTROL_RIGHTS && control.code == CODE_DENIED &&
            control.value == CONTROL_GATEWAY)
                on_taken(gateway, &control);
        else if (control.verb == CONTROL_GOODBYE)
                gateway_fail(gateway, control_code_text(control.code));
        else if (!gateway->attached &&
                 (control.verb == CONTROL_OK || control.verb == CONTROL_ERROR) &&
                 packet_id_equal(&control.ref, &gateway->request))
                on_answer(gateway, &control);
        else if (gateway->attached)
                gateway->options.handlers->on_control(header, &control, gateway->options.userdata);
}

/* Asks for the role, as soon as we are attached. */
static void ask(Gateway *gateway) {
        Control control = { .verb = CONTROL_GATEWAY };

        gateway->asked = true;
        gateway->request = packet_id_make(now_usec(CLOCK_REALTIME), crypto_random_u64());
        if (connection_queue_control(gateway->connection, &control, &gateway->request) == 0)
                (void)sd_event_source_set_enabled(gateway->flush, SD_EVENT_ONESHOT);
}

/* Return: whether there may be more. Careful: the connection may be gone after each packet. */
static bool pop(Gateway *gateway) {
        const uint8_t *packet;
        PacketHeader header;
        int r;

        r = connection_pop(gateway->connection, &header, &packet);
        if (r != 0)
                return false;
        if (header.kind == PACKET_CONTROL)
                on_control(gateway, &header, packet);
        else if (header.kind == PACKET_SEALED && gateway->attached)
                gateway->options.handlers->on_packet(&header, packet, gateway->options.userdata);
        return gateway->connection;
}

static void watch(Gateway *gateway) {
        uint32_t events;

        if (!gateway->connection)
                return;
        events = connection_events(gateway->connection);
        if (events != gateway->events && sd_event_source_set_io_events(gateway->io, events) >= 0)
                gateway->events = events;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Gateway *gateway = userdata;
        int r = 0;

        (void)source;
        (void)fd;
        if (revents & EPOLLOUT)
                r = connection_write(gateway->connection);
        if (r >= 0 && revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
                r = connection_read(gateway->connection);

        if (connection_is_up(gateway->connection) && !gateway->asked)
                ask(gateway);
        for (unsigned i = 0; i < POPS_MAX && gateway->connection && pop(gateway); i++)
                ;
        if (gateway->connection && r < 0)
                gateway_fail(gateway, strerror(-r));
        else if (gateway->connection && connection_error(gateway->connection) != 0)
                gateway_fail(gateway, connection_reason(connection_error(gateway->connection)));
        watch(gateway);
        return 0;
}

/* Out */

static int on_flush(sd_event_source *source, void *userdata) {
        Gateway *gateway = userdata;

        (void)source;
        if (!gateway->connection)
                return 0;
        if (connection_write(gateway->connection) < 0)
                gateway_fail(gateway, "out of memory");
        else
                watch(gateway); /* a connection that is down shows that as input */
        return 0;
}

/* Room for one packet; without memory the packet is lost, as any hop may lose one. */
static uint8_t *gateway_room(Gateway *gateway, size_t size) {
        uint8_t *room;

        if (!gateway->attached || connection_queue(gateway->connection, size, &room) < 0)
                return NULL;
        (void)sd_event_source_set_enabled(gateway->flush, SD_EVENT_ONESHOT);
        return room;
}

void gateway_say(Gateway *gateway, const Control *control, Address dst, const PacketId *id) {
        static const PacketId none;
        uint8_t *room = gateway_room(gateway, control_packet_size(control));

        if (room)
                control_packet_encode(control, identity_hash(gateway->options.identity)->address,
                                      dst, id ? id : &none, room);
}

void gateway_pass(Gateway *gateway, const uint8_t *packet, size_t n_packet) {
        uint8_t *room = gateway_room(gateway, n_packet);

        if (room)
                memcpy(room, packet, n_packet);
}

size_t gateway_output_size(const Gateway *gateway) {
        return gateway->connection ? connection_queued(gateway->connection) : 0;
}

bool gateway_is_attached(const Gateway *gateway) {
        return gateway->attached;
}

/* Attempts */

static int gateway_connect(Gateway *gateway) {
        ConnectionOptions options = {
                .path = gateway->socket,
                .identity = gateway->options.identity,
        };
        int r;

        r = connection_new(&gateway->connection, &options);
        if (r != 0)
                return r;
        gateway->events = connection_events(gateway->connection);
        return sd_event_add_io(gateway->options.event, &gateway->io,
                               connection_fd(gateway->connection), gateway->events, on_io, gateway);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Gateway *gateway = userdata;
        int r;

        (void)source;
        (void)usec;
        r = gateway_connect(gateway);
        if (r != 0)
                gateway_fail(gateway, connection_reason(r));
        return 0;
}

static void gateway_retry(Gateway *gateway) {
        uint64_t wait = backoff_fail(&gateway->backoff, crypto_random_u64());

        if (sd_event_source_set_time(gateway->timer, now_usec(CLOCK_MONOTONIC) + wait) >= 0)
                (void)sd_event_source_set_enabled(gateway->timer, SD_EVENT_ONESHOT);
}

int gateway_new(Gateway **ret, const GatewayOptions *options) {
        _cleanup_(gateway_freep) Gateway *gateway = NULL;
        int r;

        gateway = calloc(1, sizeof(*gateway));
        if (!gateway)
                return err_origin(-ENOMEM);
        gateway->options = *options;
        gateway->backoff = (Backoff){
                .least_usec = GATEWAY_RETRY_LEAST_USEC,
                .greatest_usec = GATEWAY_RETRY_GREATEST_USEC,
        };
        gateway->socket = strdup(options->socket);
        if (!gateway->socket)
                return err_origin(-ENOMEM);

        r = sd_event_add_defer(options->event, &gateway->flush, on_flush, gateway);
        if (r >= 0)
                r = sd_event_source_set_enabled(gateway->flush, SD_EVENT_OFF);
        if (r >= 0) /* due at once */
                r = sd_event_add_time(options->event, &gateway->timer, CLOCK_MONOTONIC, 0, 1000,
                                      on_timer, gateway);
        if (r < 0)
                return err_origin(r);
        *ret = TAKE_PTR(gateway);
        return 0;
}
