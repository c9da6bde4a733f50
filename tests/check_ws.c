/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Both ends of each connection, or one end and a raw socket, on one sd-event in one process.
 * Nothing is timed: wait_until() runs the loop until its condition holds and fails the test after
 * a while.
 */

#include "libws/ws.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tests/main.h"

#define PATIENCE_USEC (20 * USEC_PER_SEC)

typedef struct End {
        WsConnection *connection;
        unsigned n_opened, n_closed, n_messages, n_writable;
        size_t n_bytes;
        char reason[256];
        uint8_t last[WS_MESSAGE_MAX];
        size_t n_last;
        bool echo, free_on_message, free_on_close, close_on_message;
        size_t to_write; /* messages of 64 bytes, written from on_writable */
} End;

static struct {
        sd_event *event;
        WsLoop *loop;
        WsListener *listener;
        char url[128];
        End server, client;
        unsigned n_accepted, n_taken, n_gone, n_http;
        char why_gone[256];
        bool refuse;
} w;

static bool (*condition)(void);

static void wait_until(bool (*is)(void), const char *what) {
        uint64_t end = now_usec(CLOCK_MONOTONIC) + PATIENCE_USEC;

        condition = is;
        while (!condition()) {
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < end, "waited in vain: %s", what);
                ck_assert_int_ge(sd_event_run(w.event, 20 * USEC_PER_MSEC), 0);
        }
}
#define WAIT_UNTIL(is) wait_until(is, #is)

static void on_open(WsConnection *c, void *userdata) {
        End *end = userdata;

        (void)c;
        end->n_opened++;
}

static void on_message(WsConnection *c, uint8_t *data, size_t n, void *userdata) {
        End *end = userdata;

        end->n_messages++;
        end->n_bytes += n;
        memcpy(end->last, data, n);
        end->n_last = n;
        if (end->echo)
                ck_assert_int_eq(ws_send(c, data, n), 0);
        if (end->close_on_message)
                ws_close(c, 4001, "enough");
        if (end->free_on_message)
                end->connection = ws_connection_free(c);
}

static void on_writable(WsConnection *c, void *userdata) {
        uint8_t buffer[WS_HEADROOM + 64];
        End *end = userdata;

        end->n_writable++;
        if (end->to_write == 0)
                return;
        memset(buffer + WS_HEADROOM, (int)(end->to_write & 0xff), 64);
        if (ws_write(c, buffer, 64) == 0)
                end->to_write--;
        if (end->to_write > 0)
                ws_want_write(c);
}

static void on_close(WsConnection *c, const char *reason, void *userdata) {
        End *end = userdata;

        end->n_closed++;
        snprintf(end->reason, sizeof(end->reason), "%s", reason);
        if (end->free_on_close)
                end->connection = ws_connection_free(c);
}

static const WsHandlers handlers = { on_open, on_message, on_writable, on_close };

static bool on_accept(WsListener *l, const struct sockaddr *peer, void *userdata) {
        (void)l, (void)userdata;
        ck_assert(peer->sa_family == AF_INET || peer->sa_family == AF_INET6);
        if (w.refuse)
                return false;
        w.n_accepted++;
        return true;
}

static void on_gone(WsListener *l, const struct sockaddr *peer, const char *reason,
                    void *userdata) {
        (void)l, (void)peer, (void)userdata;
        w.n_gone++;
        snprintf(w.why_gone, sizeof(w.why_gone), "%s", reason ? reason : "");
}

static void on_listener_open(WsListener *l, WsConnection *c, void *userdata) {
        (void)l, (void)userdata;
        if (w.server.connection && w.server.n_closed == 0)
                return; /* one is enough: nobody takes the others */
        ws_connection_free(w.server.connection);
        w.server.connection = c;
        w.server.n_opened++;
        w.n_taken++;
        ws_connection_take(c, &handlers, &w.server);
}

static void on_http(WsListener *l, const char *path, WsReply *reply, void *userdata) {
        (void)l, (void)userdata;
        w.n_http++;
        if (strcmp(path, "/healthz") == 0) {
                reply->status = 200;
                reply->body = strdup("ok\n");
                reply->n_body = 3;
        } else if (strcmp(path, "/big") == 0) {
                reply->status = 200;
                reply->n_body = 3000000;
                reply->body = malloc(reply->n_body);
                memset(reply->body, 'b', reply->n_body);
        }
}

static const WsListenerHandlers listener_handlers = { on_accept, on_gone, on_listener_open,
                                                      on_http };

static void start_loop(void) {
        memset(&w, 0, sizeof(w));
        ck_assert_int_eq(sd_event_new(&w.event), 0);
        ck_assert_int_eq(ws_loop_new(&w.loop, w.event), 0);
}

static void start_listening(const WsListenOptions *options) {
        start_loop();
        ck_assert_int_eq(ws_listen(&w.listener, w.loop, options, &listener_handlers, NULL), 0);
        ws_listener_format_url(w.listener, w.url, sizeof(w.url));
}

static void start(void) {
        start_listening(&(WsListenOptions){ .address = "127.0.0.1:0" });
}

static void stop(void) {
        w.client.connection = ws_connection_free(w.client.connection);
        w.server.connection = ws_connection_free(w.server.connection);
        w.listener = ws_listener_free(w.listener);
        w.loop = ws_loop_free(w.loop);
        w.event = sd_event_unref(w.event);
}

static void connect_with(const char *text, WsConnectOptions options) {
        WsUrl url;

        ck_assert_int_eq(ws_url_parse(text, &url), 0);
        options.url = &url;
        ck_assert_int_eq(ws_connect(&w.client.connection, w.loop, &options, &handlers, &w.client),
                         0);
        ck_assert_uint_eq(w.client.n_opened + w.client.n_closed, 0);
}

static End neighbour;

static bool both_open(void) {
        return w.client.n_opened == 1 && w.server.n_opened == 1;
}

static bool client_closed(void) {
        return w.client.n_closed > 0;
}

static bool server_closed(void) {
        return w.server.n_closed > 0;
}

static bool both_closed(void) {
        return client_closed() && server_closed();
}

static void start_pair(void) {
        start();
        connect_with(w.url, (WsConnectOptions){ 0 });
        WAIT_UNTIL(both_open);
}

static unsigned n_expected;

static bool client_got_all(void) {
        return w.client.n_messages >= n_expected;
}

static bool server_got_all(void) {
        return w.server.n_messages >= n_expected;
}

static bool nothing_left(void) {
        return w.n_accepted == w.n_taken + w.n_gone;
}

/* Turns the loop for whatever is ready, a few times: what should not happen had its chance. */
static void let_settle(void) {
        for (unsigned i = 0; i < 50; i++)
                ck_assert_int_ge(sd_event_run(w.event, 2 * USEC_PER_MSEC), 0);
}

START_TEST(message_comes_back) {
        static const size_t sizes[] = { 0, 1, 125, 126, 4096, 16384, 65534, 65535 };
        uint8_t *data = malloc(WS_MESSAGE_MAX + 1);

        start_pair();
        w.server.echo = true;
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                for (size_t k = 0; k < sizes[i]; k++)
                        data[k] = (uint8_t)(k * 7 + i);
                ck_assert_int_eq(ws_send(w.client.connection, data, sizes[i]), 0);
                n_expected = (unsigned)i + 1;
                WAIT_UNTIL(client_got_all);
                ck_assert_uint_eq(w.client.n_last, sizes[i]);
                ck_assert_mem_eq(w.client.last, data, sizes[i]);
        }
        ck_assert_int_eq(ws_send(w.client.connection, data, WS_MESSAGE_MAX + 1), WS_E_TOO_BIG);
        free(data);
        stop();
}
END_TEST

START_TEST(many_messages_come_in_order) {
        uint32_t i;

        start_pair();
        w.server.echo = true;
        for (i = 0; i < 20000; i++)
                ck_assert_int_eq(ws_send(w.client.connection, &i, sizeof(i)), 0);
        ck_assert_uint_eq(ws_queued_bytes(w.client.connection), 20000 * sizeof(i));
        n_expected = 20000;
        WAIT_UNTIL(client_got_all);
        ck_assert_uint_eq(ws_queued_bytes(w.client.connection), 0);
        memcpy(&i, w.client.last, sizeof(i));
        ck_assert_uint_eq(i, 19999);
        stop();
}
END_TEST

START_TEST(big_messages_keep_their_order_and_bytes) {
        uint8_t *data = malloc(WS_MESSAGE_MAX);

        start_pair();
        w.server.echo = true;
        for (unsigned i = 0; i < 200; i++) {
                memset(data, (int)i, WS_MESSAGE_MAX);
                ck_assert_int_eq(ws_send(w.client.connection, data, WS_MESSAGE_MAX - i), 0);
        }
        n_expected = 200;
        WAIT_UNTIL(client_got_all);
        ck_assert_uint_eq(w.client.n_last, WS_MESSAGE_MAX - 199);
        memset(data, 199, WS_MESSAGE_MAX);
        ck_assert_mem_eq(w.client.last, data, w.client.n_last);
        free(data);
        stop();
}
END_TEST

START_TEST(owner_writes_when_the_socket_can) {
        start_pair();
        w.server.to_write = 5000;
        ws_want_write(w.server.connection);
        n_expected = 5000;
        WAIT_UNTIL(client_got_all);
        ck_assert_uint_eq(w.client.n_bytes, 5000 * 64);
        ck_assert_uint_eq(w.client.last[0], 1);

        /* Not asked for: it does not come. */
        w.server.n_writable = 0;
        let_settle();
        ck_assert_uint_eq(w.server.n_writable, 0);
        stop();
}
END_TEST

START_TEST(one_loop_serves_many_connections) {
        start_pair();
        for (unsigned i = 0; i < 5; i++) {
                w.client.connection = ws_connection_free(w.client.connection);
                WAIT_UNTIL(server_closed);
                w.server.connection = ws_connection_free(w.server.connection);
                memset(&w.client, 0, sizeof(w.client));
                memset(&w.server, 0, sizeof(w.server));
                connect_with(w.url, (WsConnectOptions){ 0 });
                WAIT_UNTIL(both_open);
        }
        stop();
}
END_TEST

START_TEST(close_tells_code_and_reason) {
        start_pair();
        ck_assert_int_eq(ws_send(w.client.connection, "last", 4), 0);
        ws_close(w.client.connection, 4001, "that's it");
        ck_assert_int_eq(ws_send(w.client.connection, "late", 4), WS_E_CLOSED);
        ck_assert_uint_eq(w.client.n_closed, 0);
        WAIT_UNTIL(both_closed);
        ck_assert_uint_eq(w.server.n_messages, 1);
        ck_assert_str_eq(w.server.reason, "closed by the peer: 4001 that's it");
        ck_assert_str_eq(w.client.reason, "that's it");
        WAIT_UNTIL(nothing_left);
        let_settle();
        ck_assert_uint_eq(w.server.n_closed, 1);
        ck_assert_uint_eq(w.client.n_closed, 1);
        stop();
}
END_TEST

START_TEST(server_closes_from_its_callback) {
        start_pair();
        w.server.close_on_message = true;
        ck_assert_int_eq(ws_send(w.client.connection, "x", 1), 0);
        WAIT_UNTIL(both_closed);
        ck_assert_str_eq(w.client.reason, "closed by the peer: 4001 enough");
        stop();
}
END_TEST

START_TEST(freeing_an_end_closes_the_other) {
        start_pair();
        switch (_i) {
        case 0: /* outside callbacks */
                w.server.connection = ws_connection_free(w.server.connection);
                break;
        case 1: /* inside on_message */
                w.server.free_on_message = true;
                ck_assert_int_eq(ws_send(w.client.connection, "x", 1), 0);
                break;
        case 2: /* inside on_message of a message in pieces */
                w.server.free_on_message = true;
                ck_assert_int_eq(ws_send(w.client.connection, w.client.last, 65535), 0);
                break;
        case 3: /* while it is paused and holds input */
                ws_pause(w.server.connection);
                for (unsigned i = 0; i < 100; i++)
                        ck_assert_int_eq(ws_send(w.client.connection, w.client.last, 65535), 0);
                let_settle();
                w.server.connection = ws_connection_free(w.server.connection);
                break;
        }
        w.client.free_on_close = true;
        WAIT_UNTIL(client_closed);
        WAIT_UNTIL(nothing_left);
        ck_assert_uint_eq(w.server.n_closed, 0);
        ck_assert_uint_eq(w.client.n_closed, 1);
        stop();
}
END_TEST

START_TEST(refused_connection_is_reported_once) {
        char url[128];

        start();
        memcpy(url, w.url, sizeof(url));
        w.listener = ws_listener_free(w.listener); /* nobody listens there now */
        connect_with(url, (WsConnectOptions){ 0 });
        WAIT_UNTIL(client_closed);
        let_settle();
        ck_assert_uint_eq(w.client.n_closed, 1);
        ck_assert_uint_eq(w.client.n_opened, 0);
        ck_assert_msg(w.client.reason[0] != '\0', "no reason");
        stop();
}
END_TEST

START_TEST(connect_to_silence_times_out) {
        struct sockaddr_in address = { .sin_family = AF_INET };
        socklen_t n = sizeof(address);
        char url[64];
        int fd;

        /* A socket that listens and never answers. */
        start();
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, n), 0);
        ck_assert_int_eq(listen(fd, 5), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &n), 0);
        snprintf(url, sizeof(url), "ws://127.0.0.1:%u", ntohs(address.sin_port));
        connect_with(url, (WsConnectOptions){ .timeout_usec = 100 * USEC_PER_MSEC });
        WAIT_UNTIL(client_closed);
        ck_assert_str_eq(w.client.reason, "timed out");
        let_settle();
        ck_assert_uint_eq(w.client.n_closed, 1);
        fd_close(fd);
        stop();
}
END_TEST

START_TEST(connect_can_be_given_up) {
        start();
        switch (_i) {
        case 0: /* at once */
                connect_with(w.url, (WsConnectOptions){ 0 });
                break;
        case 1: /* a name, in the hands of the resolver */
                connect_with("ws://nobody.invalid", (WsConnectOptions){ 0 });
                break;
        case 2: /* half-way */
                connect_with(w.url, (WsConnectOptions){ 0 });
                ck_assert_int_ge(sd_event_run(w.event, 0), 0);
                ck_assert_int_ge(sd_event_run(w.event, 0), 0);
                break;
        case 3: /* by ws_close(): this one is told */
                connect_with(w.url, (WsConnectOptions){ 0 });
                ws_close(w.client.connection, WS_CLOSE_NORMAL, "not now");
                WAIT_UNTIL(client_closed);
                ck_assert_str_eq(w.client.reason, "not now");
                break;
        }
        w.client.connection = ws_connection_free(w.client.connection);
        let_settle();
        ck_assert_uint_eq(w.client.n_closed, _i == 3);
        ck_assert_uint_eq(w.client.n_opened, 0);
        stop();
}
END_TEST

START_TEST(name_is_resolved) {
        char url[128];

        start();
        snprintf(url, sizeof(url), "ws://localhost%s", strrchr(w.url, ':'));
        connect_with(url, (WsConnectOptions){ 0 }); /* ::1 may come first, and is refused */
        WAIT_UNTIL(both_open);
        stop();
}
END_TEST

START_TEST(ipv6_works) {
        int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        bool have = fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0;

        fd_close(fd);
        if (!have)
                return; /* this kernel has no IPv6; check_url covers the text */
        start_listening(&(WsListenOptions){ .address = "[::1]:0" });
        ck_assert_int_eq(strncmp(w.url, "ws://[::1]:", 11), 0);
        connect_with(w.url, (WsConnectOptions){ 0 });
        WAIT_UNTIL(both_open);
        ck_assert_int_eq(ws_connection_peer(w.server.connection)->sa_family, AF_INET6);
        stop();
}
END_TEST

START_TEST(paused_end_slows_its_peer) {
        static uint8_t data[65535];
        size_t n_seen;

        start_pair();
        ws_pause(w.server.connection);
        for (unsigned i = 0; i < 400; i++)
                ck_assert_int_eq(ws_send(w.client.connection, data, sizeof(data)), 0);
        let_settle();
        n_seen = w.server.n_bytes;
        ck_assert_uint_lt(n_seen, 10 * sizeof(data)); /* what was read before the pause */
        ck_assert_uint_gt(ws_queued_bytes(w.client.connection), 0);
        let_settle();
        ck_assert_uint_eq(w.server.n_bytes, n_seen);

        ws_resume(w.server.connection);
        n_expected = 400;
        WAIT_UNTIL(server_got_all);
        ck_assert_uint_eq(w.server.n_bytes, 400 * sizeof(data));
        stop();
}
END_TEST

START_TEST(message_over_the_set_limit_closes) {
        start_pair();
        ws_set_message_max(w.server.connection, 32);
        ck_assert_int_eq(ws_send(w.client.connection, w.client.last, 32), 0);
        n_expected = 1;
        WAIT_UNTIL(server_got_all);
        ck_assert_int_eq(ws_send(w.client.connection, w.client.last, 33), 0);
        WAIT_UNTIL(both_closed);
        ck_assert_uint_eq(w.server.n_messages, 1);
        ck_assert_str_eq(w.server.reason, "message too long");
        ck_assert_str_eq(w.client.reason, "closed by the peer: 1009 message too long");
        stop();
}
END_TEST

/* TLS */

static char tls_dir[32];

static void run(const char *format, ...) {
        char command[1024];
        va_list ap;

        va_start(ap, format);
        vsnprintf(command, sizeof(command), format, ap);
        va_end(ap);
        ck_assert_msg(system(command) == 0, "failed: %s", command);
}

static void make_certificate(const char *names) {
        strcpy(tls_dir, "./check_ws.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(tls_dir));
        run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
            "-subj /CN=check_ws -addext subjectAltName=%s -keyout %s/key.pem -out %s/cert.pem "
            "2>%s/log || { cat %s/log; exit 1; }",
            names, tls_dir, tls_dir, tls_dir, tls_dir);
}

/* The same key and names, but it has ended: only a certification authority can say so. */
static void expire_certificate(const char *names) {
        run("printf '%%s\\n' '[ca]' default_ca=x '[x]' database=%s/index new_certs_dir=%s "
            "default_md=sha256 policy=p copy_extensions=copy rand_serial=yes '[p]' "
            "commonName=supplied >%s/ca.conf; : >%s/index",
            tls_dir, tls_dir, tls_dir, tls_dir);
        run("openssl req -new -key %s/key.pem -subj /CN=check_ws -addext subjectAltName=%s "
            "-addext basicConstraints=CA:TRUE -out %s/request.pem 2>%s/log",
            tls_dir, names, tls_dir, tls_dir);
        run("openssl ca -batch -notext -selfsign -config %s/ca.conf -keyfile %s/key.pem "
            "-startdate 20200101000000Z -enddate 20200102000000Z -in %s/request.pem "
            "-out %s/cert.pem 2>%s/log",
            tls_dir, tls_dir, tls_dir, tls_dir, tls_dir);
}

#define ANOTHER_HOST                                                                               \
        "its certificate is not for host 127.0.0.1; write the host that it is for, or pin it"

static const struct {
        const char *what;
        const char *names; /* in the certificate */
        bool expired, pinned, ca;
        const char *why; /* it does not open; NULL: it does */
} tls_cases[] = {
        { "an authority we trust, the right address", "IP:127.0.0.1", false, false, true, NULL },
        { "an unknown authority", "IP:127.0.0.1", false, false, false,
          "its certificate is self-signed, and not one that this host trusts; install its "
          "authority on this host, or pin it" },
        { "another address", "IP:127.0.0.2", false, false, true, ANOTHER_HOST },
        { "a name only", "DNS:localhost", false, false, true, ANOTHER_HOST },
        { "one that has ended", "IP:127.0.0.1", true, false, true,
          "its certificate has expired; renew it there, or set this host's clock, or pin it" },
        { "an unknown authority, but pinned", "IP:127.0.0.1", false, true, false, NULL },
        { "another host, but pinned", "DNS:other.example", false, true, false, NULL },
        { "one that has ended, but pinned", "IP:127.0.0.1", true, true, false, NULL },
};

START_TEST(certificate_decides_unless_pinned) {
        char cert[64], key[64];

        make_certificate(tls_cases[_i].names);
        if (tls_cases[_i].expired)
                expire_certificate(tls_cases[_i].names);
        snprintf(cert, sizeof(cert), "%s/cert.pem", tls_dir);
        snprintf(key, sizeof(key), "%s/key.pem", tls_dir);
        start_listening(
                &(WsListenOptions){ .address = "127.0.0.1:0", .cert_file = cert, .key_file = key });
        ck_assert_int_eq(strncmp(w.url, "wss://", 6), 0);
        connect_with(w.url, (WsConnectOptions){ .pinned = tls_cases[_i].pinned,
                                                .pin_advice = "pin it",
                                                .ca_file = tls_cases[_i].ca ? cert : NULL });
        if (!tls_cases[_i].why) {
                WAIT_UNTIL(both_open);
                w.server.echo = true;
                for (unsigned i = 0; i < 50; i++)
                        ck_assert_int_eq(ws_send(w.client.connection, w.client.last, 65535), 0);
                n_expected = 50;
                WAIT_UNTIL(client_got_all);
                ck_assert_uint_eq(w.client.n_bytes, 50 * 65535);
                ws_close(w.client.connection, WS_CLOSE_NORMAL, NULL);
                WAIT_UNTIL(both_closed);
        } else {
                WAIT_UNTIL(client_closed);
                ck_assert_msg(w.client.n_opened == 0, "opened: %s", tls_cases[_i].what);
                ck_assert_str_eq(w.client.reason, tls_cases[_i].why);
                ck_assert_uint_eq(w.server.n_opened, 0);
                WAIT_UNTIL(nothing_left);
        }
        stop();
        run("rm -r %s", tls_dir);
}
END_TEST

/* The context keeps what it made for one set of authorities; another must not be given it. */
START_TEST(authorities_of_one_client_are_not_anothers) {
        char cert[64], key[64], other[64], other_dir[sizeof(tls_dir)];

        make_certificate("IP:127.0.0.1");
        memcpy(other_dir, tls_dir, sizeof(tls_dir));
        snprintf(other, sizeof(other), "%s/cert.pem", other_dir);
        make_certificate("IP:127.0.0.1");
        snprintf(cert, sizeof(cert), "%s/cert.pem", tls_dir);
        snprintf(key, sizeof(key), "%s/key.pem", tls_dir);
        start_listening(
                &(WsListenOptions){ .address = "127.0.0.1:0", .cert_file = cert, .key_file = key });

        for (unsigned i = 0; i < 6; i++) {
                const char *authorities[] = { cert, other, NULL };

                memset(&w.client, 0, sizeof(w.client));
                memset(&w.server, 0, sizeof(w.server));
                connect_with(w.url, (WsConnectOptions){ .ca_file = authorities[i % 3] });
                if (i % 3 == 0) {
                        WAIT_UNTIL(both_open);
                        ws_close(w.client.connection, WS_CLOSE_NORMAL, NULL);
                        WAIT_UNTIL(both_closed);
                } else {
                        WAIT_UNTIL(client_closed);
                        ck_assert_uint_eq(w.client.n_opened, 0);
                }
                w.client.connection = ws_connection_free(w.client.connection);
                w.server.connection = ws_connection_free(w.server.connection);
        }
        stop();
        run("rm -r %s %s", tls_dir, other_dir);
}
END_TEST

START_TEST(plain_client_gets_nowhere_on_tls) {
        char cert[64], key[64], url[160];

        make_certificate("IP:127.0.0.1");
        snprintf(cert, sizeof(cert), "%s/cert.pem", tls_dir);
        snprintf(key, sizeof(key), "%s/key.pem", tls_dir);
        start_listening(
                &(WsListenOptions){ .address = "127.0.0.1:0", .cert_file = cert, .key_file = key });
        snprintf(url, sizeof(url), "ws%s", strstr(w.url, "://"));
        connect_with(url, (WsConnectOptions){ 0 });
        WAIT_UNTIL(client_closed);
        ck_assert_uint_eq(w.client.n_opened, 0);
        stop();
        run("rm -r %s", tls_dir);
}
END_TEST

START_TEST(listen_says_what_is_wrong) {
        WsListener *second = NULL;
        const char *address;

        start();
        ck_assert_int_eq(ws_listen(&second, w.loop, &(WsListenOptions){ .address = "nowhere" },
                                   &listener_handlers, NULL),
                         WS_E_ADDRESS);
        address = strstr(w.url, "127");
        ck_assert_int_eq(ws_listen(&second, w.loop, &(WsListenOptions){ .address = address },
                                   &listener_handlers, NULL),
                         -EADDRINUSE);
        ck_assert_int_eq(ws_listen(&second, w.loop,
                                   &(WsListenOptions){ .address = "127.0.0.1:0",
                                                       .cert_file = "/nonexistent",
                                                       .key_file = "/nonexistent" },
                                   &listener_handlers, NULL),
                         -ENOENT);
        ck_assert_int_eq(ws_listen(&second, w.loop,
                                   &(WsListenOptions){ .address = "127.0.0.1:0",
                                                       .cert_file = "/dev/null",
                                                       .key_file = "/dev/null" },
                                   &listener_handlers, NULL),
                         WS_E_TLS);
        ck_assert_int_eq(
                ws_listen(&second, w.loop,
                          &(WsListenOptions){ .address = "127.0.0.1:0", .cert_file = "/dev/null" },
                          &listener_handlers, NULL),
                WS_E_TLS);
        ck_assert_ptr_null(second);
        stop();
}
END_TEST

/* A raw client: what it sends is exactly what the test says. */

static struct {
        int fd;
        uint8_t got[8192];
        size_t n_got;
        size_t n_total;
        bool eof;
} raw;

static bool raw_pump(void) {
        ssize_t n;

        while (!raw.eof) {
                if (raw.n_got == sizeof(raw.got))
                        raw.n_got = 0; /* only the tail matters where this happens */
                n = recv(raw.fd, raw.got + raw.n_got, sizeof(raw.got) - raw.n_got, MSG_DONTWAIT);
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n <= 0)
                        raw.eof = true;
                else
                        raw.n_got += (size_t)n;
                if (n > 0)
                        raw.n_total += (size_t)n;
        }
        return raw.eof;
}

static bool raw_eof(void) {
        return raw_pump();
}

static bool raw_got_head(void) {
        raw_pump();
        return memmem(raw.got, raw.n_got, "\r\n\r\n", 4) != NULL || raw.eof;
}

static void raw_connect(void) {
        struct sockaddr_storage address;
        socklen_t n;

        ck_assert_int_eq(ws_address_parse(strstr(w.url, "//") + 2, &address, &n), 0);
        memset(&raw, 0, sizeof(raw));
        raw.fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(raw.fd, (struct sockaddr *)&address, n), 0);
}

static bool accepted_two(void) {
        return w.n_accepted == 2;
}

START_TEST(every_socket_is_taken_or_gone) {
        start_pair();
        ck_assert_uint_eq(w.n_taken, 1);
        w.client.connection = ws_connection_free(w.client.connection);
        WAIT_UNTIL(server_closed);
        ck_assert_uint_eq(w.n_gone, 0);

        w.refuse = true;
        memset(&w.client, 0, sizeof(w.client));
        connect_with(w.url, (WsConnectOptions){ 0 });
        WAIT_UNTIL(client_closed);
        ck_assert_uint_eq(w.n_accepted, 1);
        ck_assert_uint_eq(w.n_gone, 0);

        w.refuse = false;
        w.client.connection = ws_connection_free(w.client.connection);
        raw_connect();
        WAIT_UNTIL(accepted_two);
        fd_close(raw.fd);
        WAIT_UNTIL(nothing_left);
        ck_assert_uint_eq(w.n_gone, 1);
        stop();
}
END_TEST

/* The loop may have to read before all fits into the socket. A closed one takes no more. */
static void raw_send(const void *data, size_t n_data) {
        size_t at = 0;
        ssize_t n;

        while (at < n_data) {
                n = send(raw.fd, (const char *)data + at, n_data - at, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n > 0)
                        at += (size_t)n;
                else if (errno != EAGAIN)
                        return;
                ck_assert_int_ge(sd_event_run(w.event, 0), 0);
        }
}

#define UPGRADE_WITHOUT_PROTOCOL                                                                   \
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"               \
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
#define UPGRADE UPGRADE_WITHOUT_PROTOCOL "Sec-WebSocket-Protocol: p2pbus.v1\r\n"

static void raw_upgrade(void) {
        uint8_t *end;

        raw_connect();
        raw_send(UPGRADE "\r\n", strlen(UPGRADE "\r\n"));
        WAIT_UNTIL(raw_got_head);
        ck_assert_int_eq(memcmp(raw.got, "HTTP/1.1 101 ", 13), 0);
        end = (uint8_t *)memmem(raw.got, raw.n_got, "\r\n\r\n", 4) + 4;
        raw.n_got -= (size_t)(end - raw.got);
        memmove(raw.got, end, raw.n_got);
}

#define BYTES(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

#define BAD_CONTINUATION "continuation without a start, or a start without an end"
#define RESERVED_BITS "reserved bits of a frame are set"
#define UNKNOWN_KIND "frame of an unknown kind"

/* T48: what a client may send after the upgrade, and may not. */
static const struct {
        const char *what;
        const uint8_t *bytes;
        size_t n_bytes;
        unsigned code; /* of the close frame; 0: closed without one */
        const char *reason;
} broken_frames[] = {
        { "64-bit length with its top bit", BYTES(0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0), 0,
          "malformed frame" },
        { "16 EiB announced",
          BYTES(0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 9), 1009,
          "message too long" },
        { "64 KiB announced", BYTES(0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4, 9), 1009,
          "message too long" },
        { "control frame of 126 bytes", BYTES(0x89, 0xfe, 0, 126), 0, "malformed frame" },
        { "fragmented control frame", BYTES(0x09, 0x80, 0, 0, 0, 0), 1002,
          "control frame in pieces" },
        { "continuation without a start", BYTES(0x80, 0x81, 0, 0, 0, 0, 1), 1002,
          BAD_CONTINUATION },
        { "a start before the last message ended",
          BYTES(0x02, 0x81, 0, 0, 0, 0, 1, 0x82, 0x81, 0, 0, 0, 0, 1), 1002, BAD_CONTINUATION },
        { "text frame", BYTES(0x81, 0x81, 0, 0, 0, 0, 'x'), 1003, "text frame" },
        { "empty text frame", BYTES(0x81, 0x80, 0, 0, 0, 0), 1003, "text frame" },
        { "reserved bit 1", BYTES(0xc2, 0x81, 0, 0, 0, 0, 1), 1002, RESERVED_BITS },
        { "reserved bit 3", BYTES(0x92, 0x81, 0, 0, 0, 0, 1), 1002, RESERVED_BITS },
        { "reserved data opcode", BYTES(0x83, 0x81, 0, 0, 0, 0, 1), 1002, UNKNOWN_KIND },
        { "reserved control opcode", BYTES(0x8b, 0x80, 0, 0, 0, 0), 1002, UNKNOWN_KIND },
};

START_TEST(broken_frame_closes_that_connection_only) {
        static const uint8_t whole[] = { 0x82, 0x81, 0, 0, 0, 0, 1 };

        start_pair(); /* a well-behaved neighbour, who sees nothing of it */
        neighbour = w.server;
        memset(&w.server, 0, sizeof(w.server));
        ws_connection_take(neighbour.connection, &handlers, &neighbour);
        neighbour.echo = true;

        raw_upgrade();
        n_expected = 1;
        raw_send(whole, sizeof(whole));
        WAIT_UNTIL(server_got_all);
        raw_send(broken_frames[_i].bytes, broken_frames[_i].n_bytes);
        WAIT_UNTIL(server_closed); /* a broken client answers no close frame, nor is it asked to */
        WAIT_UNTIL(raw_eof);
        ck_assert_str_eq(w.server.reason, broken_frames[_i].reason);
        ck_assert_msg(w.server.n_messages == 1, "delivered: %s", broken_frames[_i].what);
        if (broken_frames[_i].code != 0) {
                ck_assert_msg(raw.n_got >= 4 && raw.got[0] == 0x88, "no close frame: %s",
                              broken_frames[_i].what);
                ck_assert_uint_eq(raw.got[2] << 8 | raw.got[3], broken_frames[_i].code);
        }
        fd_close(raw.fd);

        ck_assert_int_eq(ws_send(w.client.connection, "still here?", 11), 0);
        n_expected = 1;
        WAIT_UNTIL(client_got_all);
        ck_assert_uint_eq(w.client.n_closed + neighbour.n_closed, 0);
        neighbour.connection = ws_connection_free(neighbour.connection);
        stop();
}
END_TEST

static bool raw_got_close_behind_pong(void) {
        raw_pump();
        return raw.eof || (raw.n_got >= 8 && raw.got[4] == 0x88);
}

START_TEST(fragments_are_counted) {
        static const uint8_t first[] = { 0x02, 0x81, 1, 2, 3, 4, 1 ^ 0 };
        static const uint8_t next[] = { 0x00, 0x81, 0, 0, 0, 0, 7 };
        static const uint8_t last[] = { 0x80, 0x81, 0, 0, 0, 0, 7 };
        static const uint8_t empty[] = { 0x00, 0x80, 0, 0, 0, 0 };
        static const uint8_t ping[] = { 0x89, 0x82, 0, 0, 0, 0, 'h', 'i' };

        start();
        raw_upgrade();
        /* Sixteen, with a ping in between, are a message. */
        raw_send(first, sizeof(first));
        for (unsigned i = 0; i < 14; i++)
                raw_send(next, sizeof(next));
        raw_send(ping, sizeof(ping));
        raw_send(last, sizeof(last));
        n_expected = 1;
        WAIT_UNTIL(server_got_all);
        ck_assert_uint_eq(w.server.n_last, 16);
        ck_assert_uint_eq(w.server.last[0], 0);
        ck_assert_uint_eq(w.server.last[15], 7);

        /* A million empty ones are not: it ends after sixteen. */
        raw_send(first, sizeof(first));
        for (unsigned i = 0; i < 1000000 && !raw_got_close_behind_pong(); i++)
                raw_send(empty, sizeof(empty));
        shutdown(raw.fd, SHUT_WR);
        WAIT_UNTIL(server_closed);
        ck_assert_str_eq(w.server.reason, "too many fragments");
        WAIT_UNTIL(raw_eof);
        ck_assert_uint_eq(w.server.n_messages, 1);
        fd_close(raw.fd);
        stop();
}
END_TEST

static bool raw_got_pong(void) {
        raw_pump();
        return raw.n_got >= 4;
}

START_TEST(ping_is_answered) {
        static const uint8_t ping[] = { 0x89, 0x82, 0, 0, 0, 0, 'h', 'i' };

        start();
        raw_upgrade();
        raw_send(ping, sizeof(ping));
        WAIT_UNTIL(raw_got_pong);
        ck_assert_mem_eq(raw.got, "\x8a\x02hi", 4);
        ck_assert_uint_eq(w.server.n_messages, 0);
        fd_close(raw.fd);
        stop();
}
END_TEST

START_TEST(flood_of_pings_and_closes_ends) {
        static const uint8_t ping[] = { 0x89, 0x80, 0, 0, 0, 0 };
        static const uint8_t close_frame[] = { 0x88, 0x84, 0, 0, 0, 0, 0x0f, 0xa1, 0xff, 0xfe };

        start();
        raw_upgrade();
        for (unsigned i = 0; i < 10000; i++)
                raw_send(ping, sizeof(ping));
        ck_assert_uint_eq(w.server.n_closed, 0);
        for (unsigned i = 0; i < 1000; i++)
                raw_send(close_frame, sizeof(close_frame));
        WAIT_UNTIL(server_closed);
        ck_assert_str_eq(w.server.reason, "closed by the peer: 4001 ??"); /* not UTF-8, not ASCII */
        WAIT_UNTIL(raw_eof);
        fd_close(raw.fd);
        stop();
}
END_TEST

/*
 * libwebsockets 4.1.6 takes unmasked frames and tells nobody. What is in them reaches the owner as
 * any message does; there it has to pass the link's encryption.
 */
START_TEST(unmasked_frame_is_just_a_message) {
        static const uint8_t frame[] = { 0x82, 0x01, 'x' };

        start();
        raw_upgrade();
        raw_send(frame, sizeof(frame));
        n_expected = 1;
        WAIT_UNTIL(server_got_all);
        ck_assert_uint_eq(w.server.n_last, 1);
        fd_close(raw.fd);
        WAIT_UNTIL(server_closed);
        stop();
}
END_TEST

/* Heads that never become a connection. */
static const struct {
        const char *what;
        const char *head;
        const char *status; /* NULL: closed without an answer, or with whatever */
        const char *why;    /* as the owner is told */
} heads[] = {
        { "no subprotocol", UPGRADE_WITHOUT_PROTOCOL "\r\n", NULL, "upgrade to no subprotocol" },
        { "another subprotocol", UPGRADE_WITHOUT_PROTOCOL "Sec-WebSocket-Protocol: chat\r\n\r\n",
          NULL, "upgrade to subprotocol chat" },
        { "the subprotocol of plain HTTP",
          UPGRADE_WITHOUT_PROTOCOL "Sec-WebSocket-Protocol: http\r\n\r\n", NULL,
          "upgrade to subprotocol http" },
        { "no Upgrade",
          "GET / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Version: 13\r\n"
          "Sec-WebSocket-Protocol: p2pbus.v1\r\n\r\n",
          "404", "HTTP request, status 404" },
        { "no key",
          "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: p2pbus.v1\r\n\r\n",
          NULL, "malformed upgrade" },
        { "not HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", NULL,
          "no HTTP request" },
        { "an unknown path", "GET /secret HTTP/1.1\r\nHost: x\r\n\r\n", "404",
          "HTTP request, status 404" },
        { "a known path", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "200", "" },
        { "a method that is not GET",
          "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "405",
          "HTTP request, status 405" },
};

START_TEST(head_never_becomes_a_connection) {
        char status[32];

        start();
        raw_connect();
        raw_send(heads[_i].head, strlen(heads[_i].head));
        WAIT_UNTIL(raw_eof);
        ck_assert_msg(w.server.n_opened == 0, "opened: %s", heads[_i].what);
        if (heads[_i].status) {
                snprintf(status, sizeof(status), "HTTP/1.1 %s", heads[_i].status);
                ck_assert_msg(memcmp(raw.got, status, strlen(status)) == 0, "%s: got %.40s",
                              heads[_i].what, (const char *)raw.got);
        }
        WAIT_UNTIL(nothing_left);
        ck_assert_str_eq(w.why_gone, heads[_i].why);
        fd_close(raw.fd);

        connect_with(w.url, (WsConnectOptions){ 0 });
        WAIT_UNTIL(both_open);
        stop();
}
END_TEST

START_TEST(mere_connect_is_no_rubbish) {
        start();
        raw_connect();
        ck_assert_int_eq(shutdown(raw.fd, SHUT_WR), 0);
        WAIT_UNTIL(raw_eof);
        WAIT_UNTIL(nothing_left);
        ck_assert_uint_eq(w.n_gone, 1);
        ck_assert_str_eq(w.why_gone, "");
        fd_close(raw.fd);
        stop();
}
END_TEST

START_TEST(nine_kib_of_headers_are_too_much) {
        char line[1024];

        start();
        raw_connect();
        raw_send(UPGRADE, strlen(UPGRADE));
        memset(line, 'a', sizeof(line));
        memcpy(line, "Cookie: ", 8);
        memcpy(line + sizeof(line) - 2, "\r\n", 2);
        for (unsigned i = 0; i < 9; i++) {
                line[_i ? 0 : 8] = (char)('a' + i); /* nine of one header, or nine unknown ones */
                raw_send(line, sizeof(line));
        }
        raw_send("\r\n", 2);
        WAIT_UNTIL(raw_eof);
        WAIT_UNTIL(nothing_left);
        ck_assert_uint_eq(w.server.n_opened, 0);
        fd_close(raw.fd);

        connect_with(w.url, (WsConnectOptions){ 0 });
        WAIT_UNTIL(both_open);
        stop();
}
END_TEST

START_TEST(body_comes_whole) {
        static const char request[] = "GET /big HTTP/1.1\r\nHost: x\r\n\r\n";

        start();
        raw_connect();
        raw_send(request, strlen(request));
        WAIT_UNTIL(raw_eof);
        ck_assert_uint_gt(raw.n_total, 3000000);
        ck_assert_uint_lt(raw.n_total, 3000500);
        fd_close(raw.fd);
        stop();
}
END_TEST

START_TEST(slow_handshake_ends) {
        static const char head[] = UPGRADE;

        start_listening(&(WsListenOptions){ .address = "127.0.0.1:0",
                                            .handshake_usec = 150 * USEC_PER_MSEC });
        raw_connect();
        for (size_t i = 0; i < sizeof(head) && !raw_eof(); i++) {
                raw_send(head + i, _i ? 1 : 0);
                ck_assert_int_ge(sd_event_run(w.event, 20 * USEC_PER_MSEC), 0);
        }
        WAIT_UNTIL(raw_eof);
        WAIT_UNTIL(nothing_left);
        ck_assert_uint_eq(w.n_accepted, 1);
        fd_close(raw.fd);
        stop();
}
END_TEST

START_TEST(pending_sockets_are_limited) {
        int fds[5];

        start_listening(&(WsListenOptions){ .address = "127.0.0.1:0", .pending_max = 4 });
        for (unsigned i = 0; i < 5; i++) {
                raw_connect();
                fds[i] = raw.fd;
        }
        WAIT_UNTIL(raw_eof); /* the fifth */
        ck_assert_uint_eq(w.n_accepted, 4);
        for (unsigned i = 0; i < 5; i++)
                fd_close(fds[i]);
        WAIT_UNTIL(nothing_left);
        connect_with(w.url, (WsConnectOptions){ 0 });
        WAIT_UNTIL(both_open);
        stop();
}
END_TEST

static bool raw_got_close(void) {
        raw_pump();
        return raw.eof || (raw.n_got >= 4 && raw.got[0] == 0x88);
}

START_TEST(untaken_connection_is_closed) {
        start_pair();
        raw_upgrade();
        WAIT_UNTIL(raw_got_close);
        shutdown(raw.fd, SHUT_WR);
        WAIT_UNTIL(raw_eof);
        ck_assert_uint_eq(raw.got[2] << 8 | raw.got[3], 1008);
        fd_close(raw.fd);
        ck_assert_uint_eq(w.client.n_closed, 0);
        stop();
}
END_TEST

static unsigned count_fds(void) {
        DIR *dir = opendir("/proc/self/fd");
        unsigned n = 0;

        while (readdir(dir))
                n++;
        closedir(dir);
        return n;
}

START_TEST(nothing_is_left_open) {
        unsigned n_before = 0;

        for (unsigned round = 0; round < 3; round++) {
                if (round == 1) /* libraries open what they keep at first use */
                        n_before = count_fds();
                start_pair();
                raw_connect();
                ck_assert_int_ge(sd_event_run(w.event, 0), 0);
                stop();
                fd_close(raw.fd);
                if (round >= 1)
                        ck_assert_uint_eq(count_fds(), n_before);
        }
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("ws");
        TCase *tcase = tcase_create("ws");

        tcase_add_test(tcase, message_comes_back);
        tcase_add_test(tcase, many_messages_come_in_order);
        tcase_add_test(tcase, big_messages_keep_their_order_and_bytes);
        tcase_add_test(tcase, owner_writes_when_the_socket_can);
        tcase_add_test(tcase, one_loop_serves_many_connections);
        tcase_add_test(tcase, close_tells_code_and_reason);
        tcase_add_test(tcase, server_closes_from_its_callback);
        tcase_add_loop_test(tcase, freeing_an_end_closes_the_other, 0, 4);
        tcase_add_test(tcase, refused_connection_is_reported_once);
        tcase_add_test(tcase, connect_to_silence_times_out);
        tcase_add_loop_test(tcase, connect_can_be_given_up, 0, 4);
        tcase_add_test(tcase, name_is_resolved);
        tcase_add_test(tcase, ipv6_works);
        tcase_add_test(tcase, paused_end_slows_its_peer);
        tcase_add_test(tcase, message_over_the_set_limit_closes);
        tcase_add_test(tcase, every_socket_is_taken_or_gone);
        tcase_add_loop_test(tcase, certificate_decides_unless_pinned, 0, ELEMENTSOF(tls_cases));
        tcase_add_test(tcase, authorities_of_one_client_are_not_anothers);
        tcase_add_test(tcase, plain_client_gets_nowhere_on_tls);
        tcase_add_test(tcase, listen_says_what_is_wrong);
        tcase_add_loop_test(tcase, broken_frame_closes_that_connection_only, 0,
                            ELEMENTSOF(broken_frames));
        tcase_add_test(tcase, fragments_are_counted);
        tcase_add_test(tcase, ping_is_answered);
        tcase_add_test(tcase, flood_of_pings_and_closes_ends);
        tcase_add_test(tcase, unmasked_frame_is_just_a_message);
        tcase_add_loop_test(tcase, head_never_becomes_a_connection, 0, ELEMENTSOF(heads));
        tcase_add_test(tcase, mere_connect_is_no_rubbish);
        tcase_add_loop_test(tcase, nine_kib_of_headers_are_too_much, 0, 2);
        tcase_add_test(tcase, body_comes_whole);
        tcase_add_loop_test(tcase, slow_handshake_ends, 0, 2);
        tcase_add_test(tcase, pending_sockets_are_limited);
        tcase_add_test(tcase, untaken_connection_is_closed);
        tcase_add_test(tcase, nothing_is_left_open);
        suite_add_tcase(suite, tcase);
        return suite;
}
