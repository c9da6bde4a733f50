/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A bare WebSocket forwarder: the least that a relay on libwebsockets can do
 *
 * One thread, libwebsockets on its own libuv loop, messages that begin with the router's header
 * (bench/router.h), no names, no checks, no limits, no encryption of its own. Each message is
 * copied into the receiver's queue and written as one WebSocket message when the socket can. What
 * a relay adds to this is its price. The first message on a connection tells the client its number.
 *
 * Usage: forwarder [--poll] PORT       on 127.0.0.1; --poll: libwebsockets' own poll() loop, which
 *                                      is faster with a few connections and useless with many
 */

#include <libwebsockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/router.h"
#include "libcore/util.h"

#define READ_SIZE (64 * 1024 + LWS_PRE)
#define WRITES_MAX 8 /* in one WRITEABLE, before others get their turn */

typedef struct Outgoing Outgoing;
struct Outgoing {
        Outgoing *next;
        size_t n;
        uint8_t data[]; /* behind LWS_PRE bytes of headroom */
};

/* libwebsockets allocates it with the connection. */
typedef struct Client {
        struct lws *wsi;
        uint32_t id;
        Outgoing *first, *last;
        uint8_t *in; /* of a message that came in pieces */
        size_t n_in;
} Client;

static Client **clients;
static uint32_t n_clients, clients_size;

static void *must_realloc(void *p, size_t n) {
        p = realloc(p, n);
        if (!p)
                abort();
        return p;
}

static void client_queue(Client *c, const void *data, size_t n) {
        Outgoing *o = must_realloc(NULL, sizeof(*o) + LWS_PRE + n);

        o->next = NULL;
        o->n = n;
        memcpy(o->data + LWS_PRE, data, n);
        if (c->last)
                c->last->next = o;
        else
                c->first = o;
        c->last = o;
        lws_callback_on_writable(c->wsi);
}

static void client_enter(Client *c, struct lws *wsi) {
        if (n_clients == clients_size) {
                clients_size = MAX(clients_size * 2, 64U);
                clients = must_realloc(clients, clients_size * sizeof(*clients));
        }
        *c = (Client){ .wsi = wsi, .id = n_clients };
        clients[n_clients++] = c;
        client_queue(c, &c->id, sizeof(c->id));
}

static void client_leave(Client *c) {
        clients[c->id] = NULL;
        while (c->first) {
                Outgoing *o = c->first;

                c->first = o->next;
                free(o);
        }
        free(c->in);
}

static void forward(const uint8_t *message, size_t n) {
        RouterHeader h;

        if (n < sizeof(h))
                return;
        memcpy(&h, message, sizeof(h));
        if (h.to < n_clients && clients[h.to])
                client_queue(clients[h.to], message, n);
}

static void client_receive(Client *c, const uint8_t *data, size_t n) {
        bool whole = lws_is_final_fragment(c->wsi); /* of a frame as well, in this version */

        if (whole && c->n_in == 0) {
                forward(data, n);
                return;
        }
        c->in = must_realloc(c->in, c->n_in + n);
        memcpy(c->in + c->n_in, data, n);
        c->n_in += n;
        if (!whole)
                return;
        forward(c->in, c->n_in);
        free(c->in);
        c->in = NULL;
        c->n_in = 0;
}

static int client_write(Client *c) {
        for (unsigned i = 0; i < WRITES_MAX && c->first && !lws_partial_buffered(c->wsi); i++) {
                Outgoing *o = c->first;
                int r = lws_write(c->wsi, o->data + LWS_PRE, o->n, LWS_WRITE_BINARY);

                c->first = o->next;
                if (!c->first)
                        c->last = NULL;
                free(o);
                if (r < 0)
                        return -1;
        }
        if (c->first)
                lws_callback_on_writable(c->wsi);
        return 0;
}

static int on_ws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                 size_t n) {
        switch ((int)reason) {
        case LWS_CALLBACK_ESTABLISHED:
                client_enter(user, wsi);
                return 0;
        case LWS_CALLBACK_RECEIVE:
                client_receive(user, in, n);
                return 0;
        case LWS_CALLBACK_SERVER_WRITEABLE:
                return client_write(user);
        case LWS_CALLBACK_CLOSED:
                client_leave(user);
                return 0;
        default:
                return 0;
        }
}

int main(int argc, char **argv) {
        static const struct lws_protocols protocols[] = {
                { "bench", on_ws, sizeof(Client), READ_SIZE, 0, NULL, 0 },
                { NULL, NULL, 0, 0, 0, NULL, 0 },
        };
        bool own_poll = argc == 3 && strcmp(argv[1], "--poll") == 0;
        struct lws_context_creation_info info = {
                .iface = "127.0.0.1",
                .protocols = protocols,
                .pt_serv_buf_size = READ_SIZE,
                .options = own_poll ? 0 : LWS_SERVER_OPTION_LIBUV,
                .uid = -1,
                .gid = -1,
        };
        struct lws_context *context;
        struct rlimit limit;

        if (argc != (own_poll ? 3 : 2)) {
                fprintf(stderr, "usage: forwarder [--poll] PORT\n");
                return 2;
        }
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &limit);
        }
        info.port = (int)strtol(argv[argc - 1], NULL, 10);
        lws_set_log_level(0, NULL);
        context = lws_create_context(&info);
        if (!context) {
                fprintf(stderr, "forwarder: cannot listen on port %d\n", info.port);
                return 1;
        }
        /* libwebsockets catches them, and then turns in circles. */
        (void)signal(SIGTERM, SIG_DFL);
        (void)signal(SIGINT, SIG_DFL);
        fprintf(stderr, "Listening on 127.0.0.1:%d\n",
                lws_get_vhost_listen_port(lws_get_vhost_by_name(context, "default")));
        while (lws_service(context, 0) >= 0)
                ;
        lws_context_destroy(context);
        return 0;
}
