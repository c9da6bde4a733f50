/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/transport-ws.h"

#include "libcore/err.h"
#include "libcore/util.h"
#include "libws/loop.h"
#include "libws/ws.h"

_Static_assert(TRANSPORT_MESSAGE_MAX == WS_MESSAGE_MAX, "a transport's message is a WebSocket's");
_Static_assert(TRANSPORT_HEADROOM >= WS_HEADROOM, "a WebSocket header fits before the message");

typedef struct WsDriver {
        TransportDriver base;
        WsLoop *loop;
} WsDriver;

typedef struct WsTransport {
        Transport base;
        WsConnection *connection;
        const TransportHandlers *handlers;
        void *userdata;
} WsTransport;

static const TransportClass ws_class;

static void on_ws_open(WsConnection *connection, void *userdata) {
        WsTransport *t = userdata;

        (void)connection;
        t->handlers->on_open(t->userdata);
}

static void on_ws_message(WsConnection *connection, uint8_t *data, size_t n_data, void *userdata) {
        WsTransport *t = userdata;

        (void)connection;
        t->handlers->on_message(data, n_data, t->userdata);
}

static void on_ws_writable(WsConnection *connection, void *userdata) {
        WsTransport *t = userdata;

        (void)connection;
        t->handlers->on_writable(t->userdata);
}

static void on_ws_close(WsConnection *connection, const char *reason, void *userdata) {
        WsTransport *t = userdata;

        (void)connection;
        t->handlers->on_close(reason, t->userdata);
}

static const WsHandlers ws_handlers = {
        .on_open = on_ws_open,
        .on_message = on_ws_message,
        .on_writable = on_ws_writable,
        .on_close = on_ws_close,
};

static int ws_transport_open(TransportDriver *driver, const WsUrl *url, bool pinned,
                             const TransportHandlers *handlers, void *userdata, Transport **ret) {
        WsConnectOptions options = {
                .url = url,
                .pinned = pinned,
                .pin_advice = "pin its key: add #FULL, as the relay prints it, to its URL",
        };
        WsTransport *t;
        int r;

        t = malloc(sizeof(*t));
        if (!t)
                return err_origin(-ENOMEM);
        *t = (WsTransport){
                .base.class = &ws_class,
                .handlers = handlers,
                .userdata = userdata,
        };

        r = ws_connect(&t->connection, container_of(driver, WsDriver, base)->loop, &options,
                       &ws_handlers, t);
        if (r != 0) {
                free(t);
                return err_fold(r); /* WS_E_TLS is about a file of authorities; we name none */
        }
        *ret = &t->base;
        return 0;
}

static void ws_transport_want_write(Transport *transport) {
        ws_want_write(container_of(transport, WsTransport, base)->connection);
}

static int ws_transport_write(Transport *transport, uint8_t *buffer, size_t n) {
        int r = ws_write(container_of(transport, WsTransport, base)->connection,
                         buffer + TRANSPORT_HEADROOM - WS_HEADROOM, n);

        /* Busy or too big would be our own mistakes: the link's counter has moved, so it is over. */
        return r == 0 ? 0 : TRANSPORT_E_CLOSED;
}

static void ws_transport_progress(const Transport *transport, uint64_t *ret_taken,
                                  uint64_t *ret_waiting) {
        ws_progress(container_of(transport, const WsTransport, base)->connection, ret_taken,
                    ret_waiting);
}

static void ws_transport_pause(Transport *transport, bool paused) {
        WsConnection *connection = container_of(transport, WsTransport, base)->connection;

        if (paused)
                ws_pause(connection);
        else
                ws_resume(connection);
}

static Transport *ws_transport_free(Transport *transport) {
        WsTransport *t = transport ? container_of(transport, WsTransport, base) : NULL;

        if (!t)
                return NULL;
        ws_connection_free(t->connection);
        free(t);
        return NULL;
}

static TransportDriver *ws_driver_free(TransportDriver *driver) {
        WsDriver *d = driver ? container_of(driver, WsDriver, base) : NULL;

        if (!d)
                return NULL;
        ws_loop_free(d->loop);
        free(d);
        return NULL;
}

static const TransportClass ws_class = {
        .open = ws_transport_open,
        .want_write = ws_transport_want_write,
        .write = ws_transport_write,
        .progress = ws_transport_progress,
        .pause = ws_transport_pause,
        .free = ws_transport_free,
        .driver_free = ws_driver_free,
};

int transport_ws_new(TransportDriver **ret, sd_event *event) {
        WsDriver *d;
        int r;

        d = malloc(sizeof(*d));
        if (!d)
                return err_origin(-ENOMEM);
        *d = (WsDriver){ .base.class = &ws_class };

        r = ws_loop_new(&d->loop, event);
        if (r != 0) {
                free(d);
                return r == WS_LOOP_E_PLUGIN ? TRANSPORT_WS_E_PLUGIN : err_fold(r);
        }
        *ret = &d->base;
        return 0;
}
