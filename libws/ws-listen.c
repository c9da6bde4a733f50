/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How a server's connection comes to be
 *
 * libwebsockets 4.1.6 cannot be given a listening socket, but accepted ones, so accepting is ours:
 * that is where sockets are counted and refused before they cost anything. From accept to upgrade
 * (or to the end of a plain HTTP request) a connection is pending. The pending ones are kept in
 * the order they came, so the oldest is always first, and one timer sweeps those whose time is up:
 * a client that sends a byte a second holds a place no longer than one that sends nothing.
 */

#include <fcntl.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <unistd.h>
#include <utlist.h>

#include "libcore/err.h"
#include "libws/ws-private.h"

#define ACCEPTS_MAX 64 /* in one event */
#define PENDING_MAX 1024
#define HANDSHAKE_USEC (10 * USEC_PER_SEC)

struct WsListener {
        WsLoop *loop;
        struct lws_vhost *vhost;
        const WsListenerHandlers *handlers;
        void *userdata;
        int fd;
        int spare_fd; /* given up to accept, and close, when the table is full */
        sd_event_source *io;
        sd_event_source *timer;
        WsConnection *pending; /* oldest first */
        WsConnection *others;  /* upgraded */
        unsigned n_pending;
        unsigned pending_max;
        uint64_t handshake_usec;
        bool tls;
};

static int listener_arm(WsListener *l) {
        if (!l->pending)
                return sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
        (void)sd_event_source_set_time(l->timer, l->pending->began_usec + l->handshake_usec);
        return sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
}

void ws_listener_gone(WsConnection *c) {
        WsListener *l = TAKE_PTR(c->listener);
        bool was_first;

        if (!l)
                return;
        if (c->state == WS_OPENING) {
                was_first = l->pending == c;
                DL_DELETE(l->pending, c);
                l->n_pending--;
                if (was_first)
                        (void)listener_arm(l); /* a wrong time costs one wake-up */
        } else {
                DL_DELETE(l->others, c);
        }
        if (l->handlers->on_gone && !c->handlers)
                l->handlers->on_gone(l, &c->peer.any, c->end_text, l->userdata);
}

void ws_listener_opened(WsConnection *c) {
        WsListener *l = c->listener;

        /* Its state is WS_OPEN already, its place still among the pending. */
        if (l) {
                DL_DELETE(l->pending, c);
                l->n_pending--;
                DL_APPEND(l->others, c);
                (void)listener_arm(l);
                if (l->handlers->on_open)
                        l->handlers->on_open(l, c, l->userdata);
        }
        if (!c->handlers && c->state == WS_OPEN) {
                c->state = WS_CLOSING;
                c->close_code = WS_CLOSE_POLICY;
        }
}

static int on_listener_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        WsListener *l = userdata;
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        (void)source, (void)usec;
        while (l->pending && l->pending->began_usec + l->handshake_usec <= now) {
                WsConnection *oldest = l->pending;

                ws_connection_explain(oldest, "no whole request in time");
                ws_connection_abandon_wsi(oldest);
                ws_listener_gone(oldest);
                ws_connection_destroy(oldest);
        }
        return listener_arm(l);
}

static void listener_adopt(WsListener *l, int fd, const struct sockaddr *peer) {
        lws_adopt_desc_t adopt = {
                .vh = l->vhost,
                .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | LWS_ADOPT_ALLOW_SSL,
                .fd = { .sockfd = fd },
        };
        WsConnection *c;

        c = ws_connection_new(l->loop);
        if (!c) {
                (void)fd_close(fd);
                return;
        }
        c->server = true;
        ws_connection_set_peer(c, peer);

        adopt.opaque = c;
        c->listener = l;
        DL_APPEND(l->pending, c);
        l->n_pending++;
        if (l->pending == c)
                (void)listener_arm(l);

        /* A failure closes the socket, and tells through WSI_DESTROY or not at all. */
        c->in_callback = true;
        c->wsi = lws_adopt_descriptor_vhost_via_info(&adopt);
        c->in_callback = false;
        if (!c->wsi) {
                ws_listener_gone(c);
                ws_connection_destroy(c);
        }
        ws_loop_kick(l->loop);
}

/* Without a free descriptor the backlog would keep us awake: accept one with the spare, drop it. */
static void listener_shed(WsListener *l) {
        l->spare_fd = fd_close(l->spare_fd);
        (void)fd_close(accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
        l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int on_listener_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        WsListener *l = userdata;

        (void)source, (void)revents;
        for (unsigned i = 0; i < ACCEPTS_MAX && l->fd >= 0; i++) {
                struct sockaddr_storage storage = { 0 };
                struct sockaddr *peer = (struct sockaddr *)&storage;
                socklen_t n_peer = sizeof(storage);
                int accepted;

                accepted = accept4(fd, peer, &n_peer, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (accepted < 0) {
                        if (errno == EMFILE || errno == ENFILE)
                                listener_shed(l);
                        else if (errno == ECONNABORTED || errno == EINTR)
                                continue;
                        return 0; /* EAGAIN, or something that another event may cure */
                }
                if (l->n_pending >= l->pending_max ||
                    (l->handlers->on_accept && !l->handlers->on_accept(l, peer, l->userdata))) {
                        (void)fd_close(accepted);
                        continue;
                }
                listener_adopt(l, accepted, peer);
        }
        return 0;
}

/* Head now, body when the socket can; the connection then closes: nothing else is in it for us. */
static int http_reply(struct lws *wsi, WsConnection *c, const char *path) {
        uint8_t head[LWS_PRE + 1024], *start = head + LWS_PRE, *p = start;
        uint8_t *end = head + sizeof(head) - 1;
        WsReply *reply;

        if (c->reply)
                return -1;
        reply = c->reply = calloc(1, sizeof(*reply));
        if (!reply)
                return -1;
        *reply = (WsReply){ .status = 404, .content_type = "text/plain" };
        if (lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) <= 0)
                reply->status = 405;
        else if (c->listener && c->listener->handlers->on_http)
                c->listener->handlers->on_http(c->listener, path, reply, c->listener->userdata);
        if (reply->status == 404 || reply->status == 405)
                ws_connection_explain(c, "HTTP request, status %u", reply->status);

        if (lws_add_http_header_status(wsi, reply->status, &p, end) != 0 ||
            lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE,
                                         (const unsigned char *)reply->content_type,
                                         (int)strlen(reply->content_type), &p, end) != 0 ||
            lws_add_http_header_content_length(wsi, reply->n_body, &p, end) != 0 ||
            lws_add_http_header_by_token(wsi, WSI_TOKEN_CONNECTION, (const unsigned char *)"close",
                                         5, &p, end) != 0 ||
            lws_finalize_write_http_header(wsi, start, &p, end) != 0)
                return -1;
        if (reply->n_body == 0)
                return -1;
        lws_callback_on_writable(wsi);
        return 0;
}

static int http_write_body(struct lws *wsi, WsConnection *c) {
        WsReply *reply = c->reply;

        if (!reply)
                return -1;
        if (reply->n_body > 0)
                (void)lws_write(wsi, (unsigned char *)reply->body, reply->n_body,
                                LWS_WRITE_HTTP_FINAL); /* the end is the same */
        return -1; /* closes after what is left in libwebsockets' buffer went out */
}

/* Whether a header's value, a list with commas, has @word. */
static bool list_has(char *list, const char *word) {
        char *at;

        for (char *one = strtok_r(list, ", \t", &at); one; one = strtok_r(NULL, ", \t", &at))
                if (strcmp(one, word) == 0)
                        return true;
        return false;
}

/* Whoever wants another subprotocol is told apart here: libwebsockets tells nobody. */
static int http_upgrade(struct lws *wsi, WsConnection *c) {
        char names[128] = "", list[sizeof(names)];

        if (!c)
                return -1;
        c->upgrading = true;
        (void)lws_hdr_copy(wsi, names, sizeof(names),
                           WSI_TOKEN_PROTOCOL); /* empty: none, or long */
        memcpy(list, names, sizeof(list));
        if (list_has(list, WS_SUBPROTOCOL))
                return 0;
        ws_connection_explain(
                c, names[0] ? "upgrade to subprotocol %s" : "upgrade to no subprotocol", names);
        return -1;
}

/* A mere connect is no rubbish: monitors do that. */
static bool sent_something(struct lws *wsi) {
        struct tcp_info info = { 0 };
        socklen_t n_info = sizeof(info);

        return getsockopt(lws_get_socket_fd(wsi), IPPROTO_TCP, TCP_INFO, &info, &n_info) == 0 &&
               info.tcpi_bytes_received > 1; /* its end counts as one */
}

/* The end of what never became a WebSocket: what was wrong with it, as far as that can be seen. */
static void http_explain(struct lws *wsi, WsConnection *c) {
        if (c->reply || c->end_text)
                return;
        if (c->upgrading)
                ws_connection_explain(c, "malformed upgrade");
        else if (sent_something(wsi))
                ws_connection_explain(c, c->listener && c->listener->tls
                                                 ? "no HTTP request over TLS"
                                                 : "no HTTP request");
}

static int http_over(struct lws *wsi, WsConnection *c) {
        if (!c)
                return 0;
        http_explain(wsi, c);
        lws_set_opaque_user_data(wsi, NULL);
        c->wsi = NULL;
        if (c->in_callback)
                return 0; /* listener_adopt() sees it */
        ws_listener_gone(c);
        ws_connection_destroy(c);
        return 0;
}

int ws_on_http(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t n) {
        WsConnection *c = wsi ? lws_get_opaque_user_data(wsi) : NULL;

        switch ((int)reason) {
        case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
                return -1; /* an upgrade without our subprotocol falls to protocols[0] */
        case LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION: /* the first vhost's is asked */
                return ws_client_certificate(c, user, n != 0);
        case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
                return http_upgrade(wsi, c);
        case LWS_CALLBACK_HTTP:
                return c ? http_reply(wsi, c, in) : -1;
        case LWS_CALLBACK_HTTP_WRITEABLE:
                return c ? http_write_body(wsi, c) : -1;
        case LWS_CALLBACK_CLOSED_HTTP:
        case LWS_CALLBACK_WSI_DESTROY:
                return http_over(wsi, c);
        default:
                return lws_callback_http_dummy(wsi, reason, user, in, n);
        }
}

static int listener_make_vhost(WsListener *l, const WsListenOptions *options) {
        struct lws_context_creation_info info = {
                .port = CONTEXT_PORT_NO_LISTEN_SERVER,
                .protocols = ws_protocols,
                .vhost_name = "listener", /* kept by reference, for as long as the context */
                .keepalive_timeout = 5,
        };

        if (options->cert_file || options->key_file) {
                if (!options->cert_file || !options->key_file)
                        return WS_E_TLS;
                if (access(options->cert_file, R_OK) < 0 || access(options->key_file, R_OK) < 0)
                        return err_origin(-errno);
                l->tls = true;
                info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
                info.ssl_cert_filepath = options->cert_file;
                info.ssl_private_key_filepath = options->key_file;
                info.alpn = "http/1.1"; /* WebSocket over h2 breaks in this version */
        }
        l->vhost = lws_create_vhost(ws_loop_context(l->loop), &info);
        if (!l->vhost)
                return l->tls ? WS_E_TLS : err_origin(-ENOMEM);
        return 0;
}

static int listener_bind(WsListener *l, const char *address) {
        _cleanup_(fd_closep) int fd = -EBADF;
        struct sockaddr_storage storage;
        socklen_t n_storage;
        int on = 1;

        if (ws_address_parse(address, &storage, &n_storage) != 0)
                return WS_E_ADDRESS;
        fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_origin(-errno);
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
                return err_origin(-errno);
        if (storage.ss_family == AF_INET6 &&
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
                return err_origin(-errno);
        if (bind(fd, (struct sockaddr *)&storage, n_storage) < 0 || listen(fd, SOMAXCONN) < 0)
                return err_origin(-errno);
        l->fd = TAKE_FD(fd);
        return 0;
}

int ws_listen(WsListener **ret, WsLoop *loop, const WsListenOptions *options,
              const WsListenerHandlers *handlers, void *userdata) {
        _cleanup_(ws_listener_freep) WsListener *l = NULL;
        sd_event *event = ws_loop_event(loop);
        int fd, r;

        l = calloc(1, sizeof(*l));
        if (!l)
                return err_origin(-ENOMEM);
        l->loop = loop;
        l->handlers = handlers;
        l->userdata = userdata;
        l->fd = -EBADF;
        l->pending_max = options->pending_max ? options->pending_max : PENDING_MAX;
        l->handshake_usec = options->handshake_usec ? options->handshake_usec : HANDSHAKE_USEC;
        l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (l->spare_fd < 0)
                return err_origin(-errno);

        if (options->address) {
                r = listener_bind(l, options->address);
                if (r != 0)
                        return r;
        }
        fd = options->address ? l->fd : options->fd;
        r = listener_make_vhost(l, options);
        if (r != 0)
                return r;
        r = sd_event_add_time(event, &l->timer, CLOCK_MONOTONIC, 0, 100 * USEC_PER_MSEC,
                              on_listener_timer, l);
        if (r < 0)
                return err_origin(r);
        r = sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
        if (r < 0)
                return err_origin(r);
        r = sd_event_add_io(event, &l->io, fd, EPOLLIN, on_listener_io, l);
        if (r < 0)
                return err_origin(r);
        l->fd = fd; /* last: until here the caller still owns one it gave */
        *ret = TAKE_PTR(l);
        return 0;
}

void ws_listener_stop(WsListener *l) {
        l->io = sd_event_source_disable_unref(l->io);
        l->fd = fd_close(l->fd);
        while (l->pending) {
                WsConnection *c = l->pending;

                ws_connection_abandon_wsi(c);
                ws_listener_gone(c);
                ws_connection_destroy(c);
        }
}

WsListener *ws_listener_free(WsListener *l) {
        if (!l)
                return NULL;
        ws_listener_stop(l);
        while (l->others) {
                WsConnection *c = l->others;

                DL_DELETE(l->others, c);
                c->listener = NULL;
        }
        l->timer = sd_event_source_disable_unref(l->timer);
        l->spare_fd = fd_close(l->spare_fd);
        free(l); /* its vhost lives as long as the loop: connections may still be on it */
        return NULL;
}

const char *ws_listener_format_url(const WsListener *l, char *text, size_t n_text) {
        struct sockaddr_storage storage = { 0 };
        socklen_t n_storage = sizeof(storage);
        char address[WS_ADDRESS_TEXT_SIZE];

        (void)getsockname(l->fd, (struct sockaddr *)&storage, &n_storage); /* family 0 is shown */
        (void)snprintf(text, n_text, "%s://%s", l->tls ? "wss" : "ws",
                       ws_address_format((struct sockaddr *)&storage, address));
        return text;
}
