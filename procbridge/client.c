/* SPDX-License-Identifier: Apache-2.0 */

#include "procbridge/client.h"

#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <utlist.h>

#include "libcore/err.h"
#include "procbridge/body.h"
#include "procbridge/calls.h"
#include "procbridge/transfer.h"

#define DRAIN_USEC (5 * USEC_PER_SEC)
#define DRAIN_BYTES (UINT64_C(64) << 20)
#define WHY_SIZE 512

typedef enum ClientState {
        CLIENT_READING,
        CLIENT_CALLING,
        CLIENT_WRITING,
        CLIENT_DRAINING,
} ClientState;

struct Client {
        Manager *manager;
        Client *prev, *next;
        Peer *peer;
        int fd;
        bool is_unix;
        ClientState state;
        sd_event_source *io, *timer;
        uint64_t began_usec;
        PbReader reader;
        PbVersion version; /* in which it is answered */
        Call *call;
        char *dest; /* of its call, for messages */
        Outgoing answer;
        uint64_t drain_left;
};

Client *client_next(const Client *client) {
        return client->next;
}

void client_free(Client *client) {
        Manager *m = client->manager;

        call_abandon(client->call);
        client->io = sd_event_source_disable_unref(client->io);
        client->timer = sd_event_source_disable_unref(client->timer);
        client->fd = fd_close(client->fd);
        if (client->peer) {
                DL_DELETE(m->clients, client);
                m->n_clients--;
                peers_leave(&m->peers, client->peer);
        }
        pb_reader_done(&client->reader);
        outgoing_done(&client->answer);
        free(client->dest);
        free(client);
}

static void client_log(const Client *client, const char *what) {
        char text[PEER_TEXT_SIZE];

        log_write(client->manager->log, LOG_LEVEL_DEBUG, NULL, "client %s: %s",
                  peer_format(client->peer, text), what);
}

static void client_watch(Client *client, uint32_t events) {
        (void)sd_event_source_set_io_events(client->io, events);
}

static void client_set_deadline(Client *client, uint64_t usec) {
        (void)sd_event_source_set_time(client->timer, usec);
        (void)sd_event_source_set_enabled(client->timer, SD_EVENT_ONESHOT);
}

/* Answering; "Careful": the client may be gone behind each of these. */

static void client_drain(Client *client) {
        if (transfer_drain(client->fd, &client->drain_left) == 0)
                client_free(client);
}

static void client_write(Client *client) {
        switch (transfer_write(client->fd, &client->answer)) {
        case 0:
                outgoing_done(&client->answer);
                (void)shutdown(client->fd, SHUT_WR); /* broken already: draining sees it */
                client->state = CLIENT_DRAINING;
                client->drain_left = DRAIN_BYTES;
                client_watch(client, EPOLLIN);
                client_set_deadline(client, now_usec(CLOCK_MONOTONIC) + DRAIN_USEC);
                client_drain(client);
                break;
        case TRANSFER_E_AGAIN:
                client_watch(client, EPOLLOUT);
                break;
        default:
                client->manager->counters.gone++;
                client_free(client);
        }
}

/* Takes @packet over. Return: 0; -EDQUOT: no room; nothing was begun then. */
static int client_answer(Client *client, char *packet, size_t n) {
        int r;

        if (!packet)
                return -EDQUOT;
        r = outgoing_init(&client->answer, &client->manager->budget, packet, n);
        if (r < 0)
                return r;
        pb_reader_done(&client->reader);
        client->state = CLIENT_WRITING;
        client_set_deadline(client,
                            now_usec(CLOCK_MONOTONIC) + client->manager->settings->request_usec);
        client_write(client);
        return 0;
}

static void client_answer_bad(Client *client, const char *message, size_t n_message) {
        char *packet;
        Text text;
        size_t n;

        client->manager->counters.bad++;
        pb_reader_done(&client->reader); /* perhaps that is what the memory has gone to */
        pb_packet_begin(&text);
        body_put_bad(&text, client->version, message, n_message);
        packet = pb_packet_end(&text, client->version, PB_BAD, &n);
        if (client_answer(client, packet, n) < 0)
                client_free(client); /* not even room for that */
}

static void client_refuse(Client *client, const char *why) {
        client_log(client, why);
        client_answer_bad(client, why, strlen(why));
}

static void client_answer_good(Client *client, p2pbus_message *reply) {
        const void *bytes = p2pbus_message_get_payload(reply);
        char *packet, why[WHY_SIZE];
        JsonText payload;
        Text text;
        size_t n;

        if (body_read_good(PB_1_1, bytes, p2pbus_message_get_size(reply), &payload) != 0) {
                (void)snprintf(why, sizeof(why), "%s: its reply is no answer to a call",
                               client->dest);
                client_refuse(client, why);
                return;
        }
        pb_packet_begin(&text);
        if (body_put_good(&text, client->version, payload) != 0) {
                text_done(&text);
                client_refuse(client, "the result is no object, and 1.0 has nothing else");
                return;
        }
        packet = pb_packet_end(&text, client->version, PB_GOOD, &n);
        client->manager->counters.good++;
        if (client_answer(client, packet, n) < 0) {
                client->manager->counters.good--;
                client_refuse(client, "the gateway is busy: no memory for the answer");
        }
}

/* Calling */

static void on_called(void *userdata, int error, p2pbus_message *reply, const char *why) {
        Client *client = userdata;
        char text[WHY_SIZE];

        client->call = NULL;
        if (error == 0) {
                client_answer_good(client, reply);
        } else if (error == -EREMOTEIO && p2pbus_message_get_size(reply) > 0) {
                client_answer_bad(client, p2pbus_message_get_payload(reply),
                                  p2pbus_message_get_size(reply));
        } else if (error == -EREMOTEIO) {
                (void)snprintf(text, sizeof(text), "error %" PRIu32,
                               p2pbus_message_get_status(reply));
                client_answer_bad(client, text, strlen(text));
        } else {
                (void)snprintf(text, sizeof(text), "%s: %s", client->dest, why);
                client_refuse(client, text);
        }
}

/* Whose method, and which. Return: 0; or NULL in @ret_dest: no such thing. -ENOMEM. */
static int split_method(const Settings *settings, const char *method, char **ret_dest,
                        const char **ret_method) {
        const char *slash = method ? strchr(method, '/') : NULL;
        char *dest;

        if (settings->service) {
                *ret_method = method;
                *ret_dest = strdup(settings->service);
                return *ret_dest ? 0 : err_origin(-ENOMEM);
        }
        if (!slash || slash[1] == '\0') {
                *ret_dest = NULL;
                return 0;
        }
        dest = strndup(method, (size_t)(slash - method));
        if (!dest)
                return err_origin(-ENOMEM);
        if (p2pbus_check_destination(dest) != P2PBUS_DESTINATION_NAME) {
                free(dest);
                dest = NULL;
        }
        *ret_method = slash + 1;
        *ret_dest = dest;
        return 0;
}

static void client_call(Client *client, const BodyRequest *request) {
        Manager *m = client->manager;
        const char *method = NULL;
        Text text = { 0 };
        char *body;
        size_t n;
        int r;

        r = split_method(m->settings, request->method, &client->dest, &method);
        if (r == 0 && !client->dest) {
                client_refuse(client, "no service in the method; write NAME/METHOD");
                return;
        }
        if (r == 0) {
                body_put_request(&text, method, request->payload);
                body = text_take(&text, &n);
                r = body ? call_new(&client->call, &m->calls, client->dest, body, n, on_called,
                                    client)
                         : -ENOMEM;
        }
        if (r < 0) {
                client_refuse(client, "the gateway is busy: no memory for the request");
                return;
        }
        pb_reader_done(&client->reader);
        client->state = CLIENT_CALLING;
        (void)sd_event_source_set_enabled(client->timer, SD_EVENT_OFF);
        client_watch(client, EPOLLRDHUP);
}

/* Reading */

static void client_take(Client *client) {
        const PbHeader *header = &client->reader.header;
        BodyRequest request;
        int r;

        client->version = (PbVersion)header->version;
        if (client->version == PB_1_0 && client->manager->settings->strict) {
                client->version = PB_1_1;
                client_refuse(client, "incompatible protocol version");
                return;
        }
        if (header->status != PB_REQUEST) {
                client_refuse(client, "invalid status code");
                return;
        }
        client->manager->counters.requests++;
        r = body_read_request(client->version, pb_reader_body(&client->reader), header->n_body,
                              &request);
        switch (r) {
        case 0:
                client_call(client, &request);
                free(request.method);
                break;
        case BODY_E_CLOSE:
                client_free(client);
                break;
        case BODY_E_INVALID:
                client_refuse(client, "invalid body");
                break;
        default:
                client_refuse(client, "the gateway is busy: no memory for the request");
        }
}

static void client_on_problem(Client *client, int problem) {
        char why[WHY_SIZE];

        switch (problem) {
        case PB_E_VERSION:
                client_refuse(client, "incompatible protocol version");
                break;
        case PB_E_TOO_BIG:
                if (client->reader.header.version == PB_1_0)
                        client->version = PB_1_0;
                (void)snprintf(why, sizeof(why),
                               "body of %" PRIu32 " bytes, this gateway takes %" PRIu64,
                               client->reader.header.n_body, client->manager->settings->max_body);
                client_refuse(client, why);
                break;
        case PB_E_BUDGET:
                if (client->reader.has_header) {
                        client_refuse(client, "the gateway is busy: no memory for the request");
                        break;
                }
                client_log(client, "no memory for its request, connection closed");
                client->manager->counters.gone++;
                client_free(client);
                break;
        default:
                client_log(client, "unrecognized protocol, connection closed");
                client->manager->counters.strangers++;
                client_free(client);
        }
}

/* It says no more, or not in time. */
static void client_on_incomplete(Client *client) {
        if (client->reader.has_header) {
                client_refuse(client, "incomplete data");
                return;
        }
        client_log(client, client->reader.n > 0 ? "incomplete data, connection closed"
                                                : "it asked nothing, connection closed");
        client->manager->counters.gone++;
        client_free(client);
}

static void client_read(Client *client) {
        bool began = client->reader.n > 0;
        int r, problem = 0;

        r = transfer_read(client->fd, &client->reader, &problem);
        switch (r) {
        case 0:
                client_take(client);
                break;
        case TRANSFER_E_AGAIN:
                if (!began && client->reader.n > 0)
                        client_set_deadline(client,
                                            client->began_usec +
                                                    client->manager->settings->request_usec);
                break;
        case TRANSFER_E_EOF:
                client_on_incomplete(client);
                break;
        case TRANSFER_E_PROBLEM:
                client_on_problem(client, problem);
                break;
        default:
                client->manager->counters.gone++;
                client_free(client);
        }
}

/*
 * It closed while we work for it. All that TCP shows is that it says no more, which every program does
 * that has ended, and hardly one that waits; a Unix socket tells the difference.
 */
static void client_on_hangup(Client *client, uint32_t events) {
        if (!(events & (EPOLLHUP | EPOLLERR)) &&
            (client->is_unix || client->manager->settings->half_close)) {
                client_watch(client, 0); /* the others are always reported */
                return;
        }
        client_log(client, "it went before its answer came, the call is cancelled");
        client->manager->counters.gone++;
        client_free(client);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Client *client = userdata;

        (void)source, (void)fd;
        switch (client->state) {
        case CLIENT_READING:
                client_read(client);
                break;
        case CLIENT_CALLING:
                client_on_hangup(client, events);
                break;
        case CLIENT_WRITING:
                client_write(client);
                break;
        case CLIENT_DRAINING:
                client_drain(client);
                break;
        }
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Client *client = userdata;

        (void)source, (void)usec;
        if (client->state == CLIENT_READING) {
                client->manager->counters.late++;
                client_on_incomplete(client);
        } else if (client->state != CLIENT_CALLING) {
                client->manager->counters.late += client->state == CLIENT_WRITING;
                client_free(client);
        }
        return 0;
}

void client_stop(Client *client) {
        if (client->state == CLIENT_READING && client->reader.n == 0)
                client_free(client);
}

DEFINE_CLEANUP(Client, client_free)

int client_new(Manager *manager, int fd, const struct sockaddr *address) {
        _cleanup_(client_freep) Client *client = NULL;
        int r, yes = 1;

        client = calloc(1, sizeof(*client));
        if (!client) {
                (void)fd_close(fd);
                return err_origin(-ENOMEM);
        }
        client->manager = manager;
        client->fd = fd;
        client->version = PB_1_1;
        client->is_unix = address->sa_family == AF_UNIX;
        client->began_usec = now_usec(CLOCK_MONOTONIC);
        pb_reader_init(&client->reader, manager->settings->max_body, &manager->budget);
        r = sd_event_add_io(manager->event, &client->io, fd, EPOLLIN, on_io, client);
        if (r < 0)
                return err_origin(r);
        r = sd_event_add_time(manager->event, &client->timer, CLOCK_MONOTONIC,
                              client->began_usec + manager->settings->first_usec, 1000, on_timer,
                              client);
        if (r < 0)
                return err_origin(r);
        r = peers_enter(&manager->peers, fd, address, manager->settings->max_peer, &client->peer);
        if (r < 0)
                return r;
        if (!client->is_unix)
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        DL_APPEND(manager->clients, client);
        manager->n_clients++;
        client = NULL;
        return 0;
}
