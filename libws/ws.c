/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Connections
 *
 * libwebsockets tells everything through one function with a reason; on_ws() turns reasons into
 * named functions and has no other line. What this version (4.1.6) does that its users would not
 * guess, each beside the line that lives with it:
 *
 *   - a message comes in pieces, of one frame or of several;
 *   - WRITEABLE comes without a reason at times, so a write always looks into the queue first;
 *   - a client masks its buffer in place: what was written is spoiled;
 *   - only WSI_DESTROY follows every kind of end, so the last word is said there;
 *   - -1 from WRITEABLE closes without the closing handshake, from RECEIVE with it;
 *   - a frame that it refuses by itself shows only in DROP_PROTOCOL, which comes to connections with
 *     session data alone, and then it waits 5 seconds for an answer to its close frame;
 *   - it takes frames of a client that are not masked, and nothing tells them from masked ones;
 *   - a timer set outside a callback of libwebsockets is not armed without ws_loop_kick().
 *
 * Where this stands in the life of a message: below the link, which seals batches of frames into
 * the messages that cross here.
 */

#include "libws/ws.h"

#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <utlist.h>

#include "libcore/err.h"
#include "libws/progress.h"
#include "libws/ws-private.h"

#define CLOSE_SEC 5                      /* for a polite end */
#define FAULT_USEC (100 * USEC_PER_MSEC) /* for a close frame to leave that needs no answer */
#define UNSENT_MAX (128 * 1024) /* bytes the kernel takes before the network took the rest */
#define WRITES_MAX 8            /* messages in one WRITEABLE, before others get their turn */

static_assert(WS_HEADROOM == LWS_PRE, "headroom of libwebsockets");
static_assert(WS_MESSAGE_MAX <= WS_LOOP_BUFFER_SIZE, "a message must fit the loop's buffer");

WsConnection *ws_connection_new(WsLoop *loop) {
        WsConnection *c;

        c = calloc(1, sizeof(*c));
        if (!c)
                return NULL;
        c->loop = loop;
        c->message_max = WS_MESSAGE_MAX;
        c->began_usec = now_usec(CLOCK_MONOTONIC);
        return c;
}

static void connection_drop_queue(WsConnection *c) {
        while (c->queue) {
                WsOutgoing *first = c->queue;

                c->queue = first->next;
                free(first);
        }
        c->queue_last = NULL;
        c->n_queued = 0;
}

static void connection_drop_assembly(WsConnection *c) {
        if (c->assembly)
                ws_loop_put_buffer(c->loop, TAKE_PTR(c->assembly));
        c->n_assembly = 0;
        c->n_frames = 0;
}

void ws_connection_destroy(WsConnection *c) {
        connection_drop_queue(c);
        connection_drop_assembly(c);
        if (c->client)
                ws_client_free(TAKE_PTR(c->client));
        if (c->reply)
                free(c->reply->body);
        free(c->reply);
        (void)sd_event_source_disable_unref(c->fuse);
        free(c->close_reason);
        free(c->end_text);
        free(c);
}

void ws_connection_set_peer(WsConnection *c, const struct sockaddr *peer) {
        memset(&c->peer, 0, sizeof(c->peer));
        if (peer->sa_family == AF_INET)
                memcpy(&c->peer, peer, sizeof(c->peer.v4));
        else if (peer->sa_family == AF_INET6)
                memcpy(&c->peer, peer, sizeof(c->peer.v6));
        else
                c->peer.any.sa_family = peer->sa_family;
}

void ws_connection_explain(WsConnection *c, const char *format, ...) {
        va_list ap;
        int n;

        if (c->end_text)
                return;
        va_start(ap, format);
        n = vasprintf(&c->end_text, format, ap);
        va_end(ap);
        if (n < 0)
                c->end_text = NULL; /* without memory there is no explanation */
        for (char *p = c->end_text; p && *p; p++)
                if (*p < ' ' || *p > '~')
                        *p = '?'; /* the text may be the peer's, and goes to a terminal */
}

void ws_connection_end(WsConnection *c) {
        void (*on_close)(WsConnection *, const char *, void *);

        c->wsi = NULL;
        if (c->state == WS_OVER)
                return;
        c->state = WS_OVER;
        connection_drop_queue(c);
        connection_drop_assembly(c);
        c->fuse = sd_event_source_disable_unref(c->fuse);
        if (c->client)
                ws_client_free(TAKE_PTR(c->client));

        on_close = c->handlers ? c->handlers->on_close : NULL;
        if (on_close) {
                ws_connection_enter(c);
                on_close(c, c->end_text ? c->end_text : "connection lost", c->userdata);
                (void)ws_connection_leave(c); /* nothing left to close */
        }
}

void ws_connection_abandon_wsi(WsConnection *c) {
        struct lws *wsi = TAKE_PTR(c->wsi);

        if (!wsi)
                return;
        lws_set_opaque_user_data(wsi, NULL);
        lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
        ws_loop_kick(c->loop);
}

/* The closing frame is part of the wsi from here on; it goes out when the wsi closes. */
static void wsi_set_close_reason(struct lws *wsi, unsigned code, const char *reason) {
        unsigned char text[WS_REASON_MAX];
        size_t n = reason ? strnlen(reason, sizeof(text)) : 0;

        if (n > 0)
                memcpy(text, reason, n);
        lws_close_reason(wsi, (enum lws_close_status)code, text, n);
}

void ws_connection_enter(WsConnection *c) {
        c->in_callback = true;
}

int ws_connection_leave(WsConnection *c) {
        struct lws *wsi = c->wsi;

        c->in_callback = false;
        if (c->freed) {
                ws_listener_gone(c);
                if (wsi) {
                        lws_set_opaque_user_data(wsi, NULL);
                        if (c->state == WS_OPEN || c->state == WS_CLOSING)
                                wsi_set_close_reason(wsi, WS_CLOSE_GOING_AWAY, NULL);
                }
                ws_connection_destroy(c);
                return -1;
        }
        if (c->state == WS_CLOSING && !c->queue && wsi) {
                wsi_set_close_reason(wsi, c->close_code, c->close_reason);
                return -1;
        }
        return c->state == WS_OVER ? -1 : 0;
}

static int on_connection_fuse(sd_event_source *source, uint64_t usec, void *userdata) {
        WsConnection *c = userdata;

        (void)source, (void)usec;
        if (c->wsi) {
                lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
                ws_loop_kick(c->loop);
        }
        return 0;
}

/*
 * The peer broke the rules: it is told so, and nothing is read from it any more, an answer neither
 * (RFC 6455, 7.1.7). Without a timer it would only take as long as a polite end.
 */
static void connection_end_soon(WsConnection *c) {
        if (!c->fuse)
                (void)sd_event_add_time_relative(ws_loop_event(c->loop), &c->fuse, CLOCK_MONOTONIC,
                                                 FAULT_USEC, 10 * USEC_PER_MSEC, on_connection_fuse,
                                                 c);
}

/* For faults of the peer, inside a callback of libwebsockets: what is queued does not matter. */
static int connection_refuse(WsConnection *c, unsigned code, const char *why) {
        ws_connection_explain(c, "%s", why);
        c->state = WS_CLOSING;
        connection_end_soon(c);
        wsi_set_close_reason(c->wsi, code, why);
        return -1;
}

/*
 * What stands in the kernel cannot be overtaken any more: a heartbeat would wait behind megabytes,
 * and the owner's queue, which knows whose turn it is, would never fill. Without either option it
 * only works less well.
 */
static void connection_tune(struct lws *wsi) {
        int on = 1, unsent = UNSENT_MAX, fd = lws_get_socket_fd(wsi);

        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

static int connection_opened(struct lws *wsi, WsConnection *c) {
        if (!c)
                return -1;
        connection_tune(wsi);
        c->wsi = wsi;
        c->state = WS_OPEN;
        if (c->client)
                ws_client_free(TAKE_PTR(c->client));

        ws_connection_enter(c);
        if (c->server)
                ws_listener_opened(c); /* closes it if nobody takes it */
        else if (c->handlers->on_open)
                c->handlers->on_open(c, c->userdata);
        return ws_connection_leave(c);
}

static int connection_deliver(WsConnection *c, uint8_t *data, size_t n) {
        ws_connection_enter(c);
        if (c->state == WS_OPEN && c->handlers->on_message)
                c->handlers->on_message(c, data, n, c->userdata);
        return ws_connection_leave(c);
}

/*
 * One piece of a message. Flags, not counts, say where a message begins and ends; a frame ends
 * where nothing of its payload remains. Most messages are one piece and are handed on where they
 * lie; only others are copied together.
 */
static int connection_receive(struct lws *wsi, WsConnection *c, uint8_t *data, size_t n) {
        bool first, final;
        size_t n_remaining;
        int r;

        if (!c || c->state != WS_OPEN)
                return c ? 0 : -1; /* a closing connection reads on for the peer's close frame */
        if (!lws_frame_is_binary(wsi))
                return connection_refuse(c, WS_CLOSE_UNACCEPTABLE, "text frame");

        first = lws_is_first_fragment(wsi);
        final = lws_is_final_fragment(wsi);
        n_remaining = lws_remaining_packet_payload(wsi);
        if (first)
                connection_drop_assembly(c);
        if (n_remaining == 0 && ++c->n_frames >= WS_FRAGMENTS_MAX && !final)
                return connection_refuse(c, WS_CLOSE_PROTOCOL_ERROR, "too many fragments");
        if (n > c->message_max - c->n_assembly || n_remaining > c->message_max - c->n_assembly - n)
                return connection_refuse(c, WS_CLOSE_TOO_BIG, "message too long");
        if (first && final)
                return connection_deliver(c, data, n);

        if (!c->assembly)
                c->assembly = ws_loop_get_buffer(c->loop);
        if (!c->assembly)
                return connection_refuse(c, WS_CLOSE_TOO_BIG, "out of memory");
        if (n > 0)
                memcpy(c->assembly + c->n_assembly, data, n);
        c->n_assembly += n;
        if (!final)
                return 0;

        {
                WsLoop *loop = c->loop;
                uint8_t *whole = TAKE_PTR(c->assembly);

                n = c->n_assembly;
                connection_drop_assembly(c);
                r = connection_deliver(c, whole, n);
                /* Careful: @c may be gone from here. */
                ws_loop_put_buffer(loop, whole);
        }
        return r;
}

static int connection_write_first(WsConnection *c) {
        WsOutgoing *first = c->queue;
        int r;

        r = lws_write(c->wsi, first->data + LWS_PRE, first->n_data, LWS_WRITE_BINARY);
        c->queue = first->next;
        if (!c->queue)
                c->queue_last = NULL;
        c->n_queued -= first->n_data;
        free(first);
        return r < 0 ? -1 : 0;
}

/*
 * Begins the closing handshake in WRITEABLE, where returning -1 would not: this build closes such
 * a wsi twice, and the second time without ceremony. Careful: the connection may be gone after it.
 */
static int writable_close(struct lws *wsi) {
        lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
        return 0;
}

/* What was queued goes first; then the owner may write. The receiver is the boss. */
static int connection_writable(struct lws *wsi, WsConnection *c) {
        int r;

        if (!c) {
                wsi_set_close_reason(wsi, WS_CLOSE_GOING_AWAY, NULL);
                return writable_close(wsi);
        }
        for (unsigned i = 0; i < WRITES_MAX && !lws_partial_buffered(wsi); i++) {
                if (c->queue) {
                        r = connection_write_first(c);
                        if (r < 0)
                                return r;
                } else if (c->wants_write && c->state == WS_OPEN && c->handlers->on_writable) {
                        c->wants_write = false;
                        ws_connection_enter(c);
                        c->handlers->on_writable(c, c->userdata);
                        if (ws_connection_leave(c) < 0)
                                return writable_close(wsi); /* @c may be gone */
                } else {
                        break;
                }
        }
        if (c->state == WS_CLOSING && !c->queue) {
                wsi_set_close_reason(wsi, c->close_code, c->close_reason);
                return writable_close(wsi);
        }
        if (c->queue || c->wants_write)
                lws_callback_on_writable(wsi);
        return 0;
}

static int connection_peer_closes(WsConnection *c, const uint8_t *data, size_t n) {
        if (!c)
                return 0;
        if (n >= 2)
                ws_connection_explain(c, "closed by the peer: %u%s%.*s", data[0] << 8 | data[1],
                                      n > 2 ? " " : "", (int)(n - 2), (const char *)data + 2);
        else
                ws_connection_explain(c, "closed by the peer");
        return 0;
}

/* The server's answer must name our subprotocol; libwebsockets lets it leave it out. */
static int connection_check_answer(struct lws *wsi) {
        char name[sizeof(WS_SUBPROTOCOL)] = "";

        return lws_hdr_copy(wsi, name, sizeof(name), WSI_TOKEN_PROTOCOL) > 0 &&
                               strcmp(name, WS_SUBPROTOCOL) == 0
                       ? 0
                       : -1;
}

/* What libwebsockets says in its close frame, in words that a log can do with. */
static const char *fault_text(const uint8_t *word, size_t n_word) {
        static const struct {
                const char *word, *text;
        } faults[] = {
                { "bad cont", "continuation without a start, or a start without an end" },
                { "bad fin", "a message before the last one ended" },
                { "bad opc", "frame of an unknown kind" },
                { "frag ctl", "control frame in pieces" },
                { "rsv bits", "reserved bits of a frame are set" },
        };

        for (size_t i = 0; i < ELEMENTSOF(faults); i++)
                if (n_word == strlen(faults[i].word) && memcmp(word, faults[i].word, n_word) == 0)
                        return faults[i].text;
        return "malformed frame";
}

/* Whether the socket's other end is there. Over TLS that is not to be seen. */
static bool peer_is_there(struct lws *wsi) {
        char byte;
        ssize_t n = recv(lws_get_socket_fd(wsi), &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT);

        return n > 0 || (n < 0 && errno == EAGAIN);
}

/*
 * libwebsockets is about to end a connection. If neither we nor the peer wanted that, the peer sent
 * what no WebSocket sends, with a close frame to follow or without.
 */
static int connection_dropped(struct lws *wsi, WsConnection *c) {
        int n = lws_get_close_length(wsi);

        if (!c || c->state != WS_OPEN || c->end_text)
                return 0;
        if (n >= 2)
                ws_connection_explain(c, "%s",
                                      fault_text(lws_get_close_payload(wsi) + 2, (size_t)n - 2));
        else if (!lws_is_ssl(wsi) && peer_is_there(wsi))
                ws_connection_explain(c, "malformed frame");
        else
                return 0;
        c->state = WS_CLOSING;
        connection_drop_assembly(c);
        connection_end_soon(c);
        return 0;
}

static int connection_over(struct lws *wsi, WsConnection *c) {
        if (!c)
                return 0;
        lws_set_opaque_user_data(wsi, NULL);
        c->wsi = NULL;
        if (c->server && c->state == WS_OPENING) /* bound to this protocol, and then refused */
                ws_connection_explain(c, "malformed upgrade");
        ws_listener_gone(c);
        if (c->client)
                ws_client_failed(c);
        else if (c->server && !c->handlers)
                ws_connection_destroy(c); /* nobody took it */
        else
                ws_connection_end(c);
        return 0;
}

static int on_ws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                 size_t n) {
        WsConnection *c = wsi ? lws_get_opaque_user_data(wsi) : NULL;

        switch ((int)reason) {
        case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH:
                return connection_check_answer(wsi);
        case LWS_CALLBACK_ESTABLISHED:
        case LWS_CALLBACK_CLIENT_ESTABLISHED:
                return connection_opened(wsi, c);
        case LWS_CALLBACK_RECEIVE:
        case LWS_CALLBACK_CLIENT_RECEIVE:
                return connection_receive(wsi, c, in, n);
        case LWS_CALLBACK_SERVER_WRITEABLE:
        case LWS_CALLBACK_CLIENT_WRITEABLE:
                return connection_writable(wsi, c);
        case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
                return connection_peer_closes(c, in, n);
        case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL:
        case LWS_CALLBACK_WS_CLIENT_DROP_PROTOCOL:
                return connection_dropped(wsi, c);
        case LWS_CALLBACK_CLIENT_CONNECTION_ERROR: /* not for every failure */
                if (c && c->client)
                        ws_client_explain(c, in, n);
                return connection_over(wsi, c);
        case LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION: /* @n: it is good so far */
                return ws_client_certificate(c, user, n != 0);
        case LWS_CALLBACK_CLOSED:
        case LWS_CALLBACK_CLIENT_CLOSED:
        case LWS_CALLBACK_WSI_DESTROY:
                return connection_over(wsi, c);
        default:
                return 0;
        }
}

/*
 * A listener's vhost uses both, in this order; a client's only the second. Its session data are not
 * used, but see the head of this file.
 */
const struct lws_protocols ws_protocols[] = {
        { "http", ws_on_http, 0, 0, 0, NULL, 0 },
        { WS_SUBPROTOCOL, on_ws, 1, WS_LOOP_BUFFER_SIZE, 0, NULL, 0 },
        { NULL, NULL, 0, 0, 0, NULL, 0 },
};

void ws_connection_take(WsConnection *c, const WsHandlers *handlers, void *userdata) {
        c->handlers = handlers;
        c->userdata = userdata;
}

int ws_send(WsConnection *c, const void *data, size_t n_data) {
        WsOutgoing *last;

        if (c->state != WS_OPEN)
                return WS_E_CLOSED;
        if (n_data > WS_MESSAGE_MAX)
                return WS_E_TOO_BIG;
        last = malloc(sizeof(*last) + LWS_PRE + n_data);
        if (!last)
                return err_origin(-ENOMEM);
        last->next = NULL;
        last->n_data = n_data;
        if (n_data > 0)
                memcpy(last->data + LWS_PRE, data, n_data);
        if (c->queue_last)
                c->queue_last->next = last;
        else
                c->queue = last;
        c->queue_last = last;
        c->n_queued += n_data;
        lws_callback_on_writable(c->wsi);
        return 0;
}

int ws_write(WsConnection *c, uint8_t *buffer, size_t n_data) {
        if (c->state != WS_OPEN)
                return WS_E_CLOSED;
        if (n_data > WS_MESSAGE_MAX)
                return WS_E_TOO_BIG;
        if (c->queue || lws_partial_buffered(c->wsi))
                return WS_E_BUSY;
        if (lws_write(c->wsi, buffer + WS_HEADROOM, n_data, LWS_WRITE_BINARY) < 0) {
                ws_connection_explain(c, "write failed");
                ws_close(c, WS_CLOSE_GOING_AWAY, NULL);
                return WS_E_CLOSED;
        }
        return 0;
}

void ws_want_write(WsConnection *c) {
        if (c->wants_write || c->state != WS_OPEN)
                return;
        c->wants_write = true;
        lws_callback_on_writable(c->wsi);
}

void ws_progress(const WsConnection *c, uint64_t *ret_taken, uint64_t *ret_waiting) {
        *ret_taken = *ret_waiting = 0;
        if (c->state == WS_OPEN)
                progress_of(lws_get_socket_fd(c->wsi), ret_taken, ret_waiting);
}

size_t ws_queued_bytes(const WsConnection *c) {
        return c->n_queued;
}

static void connection_set_flow(WsConnection *c, bool paused) {
        if (c->state != WS_OPEN || c->paused == paused)
                return;
        c->paused = paused;
        (void)lws_rx_flow_control(c->wsi, !paused); /* a failure closes the wsi by itself */
        ws_loop_kick(c->loop);
}

void ws_pause(WsConnection *c) {
        connection_set_flow(c, true);
}

void ws_resume(WsConnection *c) {
        connection_set_flow(c, false);
}

void ws_set_message_max(WsConnection *c, size_t n) {
        c->message_max = MIN(n, (size_t)WS_MESSAGE_MAX);
}

void ws_close(WsConnection *c, unsigned code, const char *reason) {
        if (c->state == WS_OPENING && c->client) {
                ws_connection_explain(c, "%s", reason ? reason : "given up");
                ws_client_give_up(c);
                return;
        }
        if (c->state != WS_OPEN)
                return;
        connection_set_flow(c, false); /* or the peer's close frame would not be read */
        c->state = WS_CLOSING;
        c->close_code = code;
        if (reason)
                c->close_reason = strndup(reason, WS_REASON_MAX);
        ws_connection_explain(c, "%s", reason ? reason : "closed");
        connection_drop_assembly(c);
        if (code == WS_CLOSE_PROTOCOL_ERROR || code == WS_CLOSE_UNACCEPTABLE ||
            code == WS_CLOSE_TOO_BIG)
                connection_end_soon(c);
        lws_callback_on_writable(c->wsi);
        lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_OK, CLOSE_SEC);
        ws_loop_kick(c->loop);
}

WsConnection *ws_connection_free(WsConnection *c) {
        struct lws *wsi;

        if (!c)
                return NULL;
        if (c->in_callback) {
                c->freed = true; /* ws_connection_leave() goes on */
                return NULL;
        }
        wsi = c->wsi;
        if (wsi && (c->state == WS_OPEN || c->state == WS_CLOSING)) {
                connection_set_flow(c, false);
                lws_set_opaque_user_data(wsi, NULL);
                lws_callback_on_writable(wsi); /* which closes it, having no connection */
                lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, CLOSE_SEC);
                ws_loop_kick(c->loop);
        } else {
                ws_connection_abandon_wsi(c);
        }
        ws_listener_gone(c);
        ws_connection_destroy(c);
        return NULL;
}

const struct sockaddr *ws_connection_peer(const WsConnection *c) {
        return &c->peer.any;
}

uint64_t ws_connection_began_usec(const WsConnection *c) {
        return c->began_usec;
}
