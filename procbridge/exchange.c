/* SPDX-License-Identifier: Apache-2.0 */

#include "procbridge/exchange.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <utlist.h>

#include "libcore/err.h"
#include "procbridge/body.h"
#include "procbridge/service.h"
#include "procbridge/transfer.h"

#define AGAIN_LEAST_USEC (5 * USEC_PER_MSEC)
#define AGAIN_MOST_USEC (200 * USEC_PER_MSEC)

typedef enum ExchangeState {
        EXCHANGE_CONNECTING,
        EXCHANGE_ASKING,
        EXCHANGE_LISTENING,
} ExchangeState;

struct Exchange {
        Service *service;
        Exchange *prev, *next;
        p2pbus_message *request;
        p2pbus_call_handle *call; /* as it is counted; NULL: it is not */
        ExchangeState state;
        int fd;
        sd_event_source *io, *timer, *again;
        uint64_t again_usec;
        Outgoing question;
        PbReader reader;
};

/* Says how it ended: @status of the reply, 0 for a good one. */
static void exchange_count(Exchange *exchange, uint32_t status) {
        if (exchange->call)
                p2pbus_call_end(TAKE_PTR(exchange->call), status);
}

void exchange_free(Exchange *exchange) {
        exchange_count(exchange, P2PBUS_CALL_CANCELLED);
        exchange->io = sd_event_source_disable_unref(exchange->io);
        exchange->timer = sd_event_source_disable_unref(exchange->timer);
        exchange->again = sd_event_source_disable_unref(exchange->again);
        exchange->fd = fd_close(exchange->fd);
        DL_DELETE(exchange->service->exchanges, exchange);
        exchange->service->n_exchanges--;
        p2pbus_message_unref(exchange->request);
        outgoing_done(&exchange->question);
        pb_reader_done(&exchange->reader);
        free(exchange);
}

/* It is over: @exchange is gone from here. */
static void exchange_end(Exchange *exchange) {
        Service *service = exchange->service;

        exchange_free(exchange);
        service_receive(service);
}

bool exchange_is_cancelled(const Exchange *exchange) {
        return p2pbus_message_is_cancelled(exchange->request) != 0;
}

Exchange *exchange_next(const Exchange *exchange) {
        return exchange->next;
}

_printf_(4, 5) static void refuse(Service *service, p2pbus_message *request, ServiceStatus status,
                                  const char *format, ...) {
        char text[256];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        service->manager->counters.failed++;
        (void)p2pbus_reply_error(service->bus, request, status, text); /* closed: nobody to tell */
}

static const char *server_of(const Exchange *exchange, char text[static ENDPOINT_TEXT_SIZE]) {
        return endpoint_format(&exchange->service->provide->server, text);
}

static void exchange_fail(Exchange *exchange, ServiceStatus status, const char *why) {
        char server[ENDPOINT_TEXT_SIZE];

        refuse(exchange->service, exchange->request, status, "server %s: %s",
               server_of(exchange, server), why);
        exchange_count(exchange, status);
        exchange_end(exchange);
}

/* Answering */

static void answer_good(Exchange *exchange, JsonText payload) {
        Service *service = exchange->service;
        p2pbus_message *reply = NULL;
        Text text = { 0 };
        char *bytes;
        size_t n;
        int r;

        (void)body_put_good(&text, PB_1_1, payload); /* 1.1 can say all */
        bytes = text_take(&text, &n);
        r = bytes ? p2pbus_message_new_take(&reply, bytes, n) : -ENOMEM;
        if (r < 0)
                free(bytes);
        if (r >= 0)
                r = p2pbus_message_set_type(reply, "application/json");
        if (r >= 0)
                r = p2pbus_reply(service->bus, exchange->request, reply);
        p2pbus_message_unref(reply);
        if (r < 0)
                exchange_fail(exchange,
                              r == -EMSGSIZE ? SERVICE_STATUS_TOO_BIG : SERVICE_STATUS_BUSY,
                              p2pbus_error_text(r));
        else {
                exchange_count(exchange, 0);
                exchange_end(exchange);
        }
}

static void answer_bad(Exchange *exchange, const char *message) {
        char text[P2PBUS_ERROR_TEXT_MAX + 1];
        size_t n = strlen(message);

        /* Cut between characters. */
        if (n > P2PBUS_ERROR_TEXT_MAX)
                for (n = P2PBUS_ERROR_TEXT_MAX; n > 0 && ((uint8_t)message[n] & 0xc0) == 0x80; n--)
                        ;
        memcpy(text, message, n);
        text[n] = '\0';
        (void)p2pbus_reply_error(exchange->service->bus, exchange->request,
                                 SERVICE_STATUS_BAD_RESPONSE, text);
        exchange_count(exchange, SERVICE_STATUS_BAD_RESPONSE);
        exchange_end(exchange);
}

static void exchange_take(Exchange *exchange) {
        const PbHeader *header = &exchange->reader.header;
        const uint8_t *body = pb_reader_body(&exchange->reader);
        _cleanup_(freep) char *message = NULL;
        PbVersion version = (PbVersion)header->version;
        JsonText payload;
        int r = BODY_E_INVALID;

        if (header->status == PB_GOOD) {
                r = body_read_good(version, body, header->n_body, &payload);
                if (r == 0) {
                        answer_good(exchange, payload);
                        return;
                }
        } else if (header->status == PB_BAD) {
                r = body_read_bad(version, body, header->n_body, &message);
                if (r == 0) {
                        answer_bad(exchange, message);
                        return;
                }
        }
        if (r < 0)
                exchange_fail(exchange, SERVICE_STATUS_BUSY, "no memory for its answer");
        else
                exchange_fail(exchange, SERVICE_STATUS_NO_ANSWER,
                              header->status == PB_GOOD || header->status == PB_BAD
                                      ? "invalid body"
                                      : "invalid status code");
}

/* Asking and listening */

static void exchange_on_problem(Exchange *exchange, int problem) {
        switch (problem) {
        case PB_E_TOO_BIG:
                exchange_fail(exchange, SERVICE_STATUS_TOO_BIG, "its answer is over --max-body");
                break;
        case PB_E_BUDGET:
                exchange_fail(exchange, SERVICE_STATUS_BUSY, "no memory for its answer");
                break;
        case PB_E_VERSION:
                exchange_fail(exchange, SERVICE_STATUS_NO_ANSWER, "incompatible protocol version");
                break;
        default:
                exchange_fail(exchange, SERVICE_STATUS_NO_ANSWER, "unrecognized protocol");
        }
}

static void exchange_listen(Exchange *exchange) {
        int problem = 0;

        switch (transfer_read(exchange->fd, &exchange->reader, &problem)) {
        case 0:
                exchange_take(exchange);
                break;
        case TRANSFER_E_AGAIN:
                break;
        case TRANSFER_E_PROBLEM:
                exchange_on_problem(exchange, problem);
                break;
        case TRANSFER_E_EOF:
        case TRANSFER_E_GONE:
                exchange_fail(exchange, SERVICE_STATUS_NO_ANSWER,
                              exchange->reader.n > 0 ? "incomplete data"
                                                     : "it closed without an answer");
                break;
        default:
                exchange_fail(exchange, SERVICE_STATUS_BUSY, "no memory for its answer");
        }
}

static void exchange_ask(Exchange *exchange) {
        if (transfer_write(exchange->fd, &exchange->question) == TRANSFER_E_AGAIN)
                return;
        /* Also if it wants no more of it: then perhaps it has said why. */
        outgoing_done(&exchange->question);
        exchange->state = EXCHANGE_LISTENING;
        (void)sd_event_source_set_io_events(exchange->io, EPOLLIN);
}

static void exchange_connected(Exchange *exchange) {
        socklen_t n = sizeof(int);
        int error = 0;

        if (getsockopt(exchange->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
                error = errno;
        if (error != 0) {
                exchange_fail(exchange, SERVICE_STATUS_NO_SERVER, strerror(error));
                return;
        }
        exchange->state = EXCHANGE_ASKING;
        (void)sd_event_source_set_io_events(exchange->io, EPOLLIN | EPOLLOUT);
        exchange_ask(exchange);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Exchange *exchange = userdata;

        (void)source, (void)fd;
        if (exchange->state == EXCHANGE_CONNECTING) {
                exchange_connected(exchange);
                return 0;
        }
        if (exchange->state == EXCHANGE_ASKING && events & EPOLLOUT)
                exchange_ask(exchange);
        if (events & ~(uint32_t)EPOLLOUT)
                exchange_listen(exchange);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Exchange *exchange = userdata;

        (void)source, (void)usec;
        exchange_fail(exchange, SERVICE_STATUS_TIMEOUT,
                      exchange->state == EXCHANGE_CONNECTING ? "no connection in time"
                                                             : "no answer in time");
        return 0;
}

/* Connecting */

static int exchange_connect(Exchange *exchange) {
        sd_event *event = exchange->service->manager->event;
        int r;

        r = endpoint_connect(&exchange->service->provide->server, &exchange->fd);
        if (r == ENDPOINT_E_BUSY) {
                /* Nothing tells when a Unix socket's queue has room. */
                exchange->again_usec =
                        MIN(2 * MAX(exchange->again_usec, AGAIN_LEAST_USEC / 2), AGAIN_MOST_USEC);
                r = sd_event_source_set_time_relative(exchange->again, exchange->again_usec);
                if (r >= 0)
                        r = sd_event_source_set_enabled(exchange->again, SD_EVENT_ONESHOT);
                return r;
        }
        if (r < 0)
                return r;
        return sd_event_add_io(event, &exchange->io, exchange->fd, EPOLLOUT, on_io, exchange);
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        Exchange *exchange = userdata;
        int r;

        (void)source, (void)usec;
        r = exchange_connect(exchange);
        if (r < 0)
                exchange_fail(exchange, SERVICE_STATUS_NO_SERVER, strerror(-r));
        return 0;
}

/* Reads the call and writes the packet. Return: 0; SERVICE_STATUS_X. */
static int make_question(p2pbus_message *message, Budget *budget, Outgoing *ret) {
        BodyRequest request;
        char *packet;
        Text text;
        size_t n;
        int r;

        r = body_read_request(PB_1_1, p2pbus_message_get_payload(message),
                              p2pbus_message_get_size(message), &request);
        if (r != 0)
                return r < 0 ? SERVICE_STATUS_BUSY : SERVICE_STATUS_NO_CALL;
        pb_packet_begin(&text);
        body_put_request(&text, request.method, request.payload);
        free(request.method);
        packet = pb_packet_end(&text, PB_1_1, PB_REQUEST, &n);
        if (!packet || outgoing_init(ret, budget, packet, n) < 0)
                return SERVICE_STATUS_BUSY;
        return 0;
}

static int exchange_begin(Exchange *exchange) {
        uint64_t lifetime = p2pbus_message_get_lifetime(exchange->request) * USEC_PER_MSEC;
        uint64_t timeout = exchange->service->manager->settings->timeout_usec;
        sd_event *event = exchange->service->manager->event;
        int r;

        if (lifetime > 0)
                timeout = MIN(timeout, lifetime);
        r = sd_event_add_time_relative(event, &exchange->timer, CLOCK_MONOTONIC, timeout, 1000,
                                       on_timer, exchange);
        if (r < 0)
                return err_origin(r);
        r = sd_event_add_time(event, &exchange->again, CLOCK_MONOTONIC, 0, 1000, on_again,
                              exchange);
        if (r < 0)
                return err_origin(r);
        r = sd_event_source_set_enabled(exchange->again, SD_EVENT_OFF);
        if (r < 0)
                return err_origin(r);
        return exchange_connect(exchange);
}

void exchange_new(Service *service, p2pbus_message *request) {
        Manager *m = service->manager;
        Outgoing question = { 0 };
        Exchange *exchange;
        int r;

        m->counters.exchanges++;
        r = make_question(request, &m->budget, &question);
        if (r == 0 && !(exchange = calloc(1, sizeof(*exchange))))
                r = SERVICE_STATUS_BUSY;
        if (r != 0) {
                outgoing_done(&question);
                refuse(service, request, r,
                       r == SERVICE_STATUS_NO_CALL
                               ? "no call: write {\"method\": \"NAME\", \"payload\": ANY}"
                               : "the gateway is busy: no memory for the request");
                return;
        }
        exchange->service = service;
        exchange->request = p2pbus_message_ref(request);
        (void)p2pbus_provider_begin(service->provider, request, NULL,
                                    &exchange->call); /* without memory it is not counted */
        exchange->fd = -EBADF;
        exchange->question = question;
        pb_reader_init(&exchange->reader, m->settings->max_body, &m->budget);
        DL_APPEND(service->exchanges, exchange);
        service->n_exchanges++;
        r = exchange_begin(exchange);
        if (r < 0) {
                char server[ENDPOINT_TEXT_SIZE];

                refuse(service, request, SERVICE_STATUS_NO_SERVER, "server %s: %s",
                       server_of(exchange, server), strerror(-r));
                exchange_count(exchange, SERVICE_STATUS_NO_SERVER);
                exchange_free(exchange); /* its caller goes on receiving */
        }
}
