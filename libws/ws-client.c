/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How a client's connection comes to be
 *
 *      resolve (a thread) -> for each address: connect, TLS, upgrade -> open
 *                                               | failed: the next address, then on_close
 *
 * One timer bounds the whole. Nothing of it calls the owner from inside ws_connect(), and no
 * failure is reported from inside libwebsockets: both go through a defer source of the loop.
 */

#include <net/if.h>
#include <netdb.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcore/err.h"
#include "libws/ws-private.h"

#define CONNECT_USEC (10 * USEC_PER_SEC)

struct WsClient {
        WsUrl url;
        bool pinned;
        const char *pin_advice;
        int certificate_error; /* X509_V_ERR_X, of the last attempt; 0: none */
        struct lws_vhost *vhost;
        ResolveQuery *query;
        ResolveResult addresses;
        size_t next; /* of the addresses */
        sd_event_source *timer;
        sd_event_source *next_step; /* defer, on while an attempt is over */
};

void ws_client_free(WsClient *client) {
        client->query = resolve_query_free(client->query);
        client->timer = sd_event_source_disable_unref(client->timer);
        client->next_step = sd_event_source_disable_unref(client->next_step);
        free(client);
}

static void client_step_later(WsClient *client) {
        (void)sd_event_source_set_enabled(client->next_step, SD_EVENT_ONESHOT);
}

void ws_client_failed(WsConnection *c) {
        client_step_later(c->client);
}

void ws_client_give_up(WsConnection *c) {
        c->client->query = resolve_query_free(c->client->query);
        c->client->next = c->client->addresses.n;
        ws_connection_abandon_wsi(c);
        client_step_later(c->client);
}

int ws_client_certificate(WsConnection *c, const void *x509_store_context, bool is_good) {
        if (c && c->client && !is_good && x509_store_context)
                c->client->certificate_error =
                        X509_STORE_CTX_get_error((X509_STORE_CTX *)x509_store_context);
        return 0; /* its judgement stands */
}

/* What is wrong with the certificate, and what its owner, or we, can do about it. */
static void explain_certificate(WsConnection *c) {
        const WsClient *client = c->client;
        const char *what, *advice;
        char for_host[WS_URL_HOST_MAX + 32];

        switch (client->certificate_error) {
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
                what = "is self-signed, and not one that this host trusts";
                advice = "install its authority on this host";
                break;
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
                what = "is of an authority that this host does not trust";
                advice = "install that authority on this host";
                break;
        case X509_V_ERR_CERT_HAS_EXPIRED:
                what = "has expired";
                advice = "renew it there, or set this host's clock";
                break;
        case X509_V_ERR_CERT_NOT_YET_VALID:
                what = "is not valid yet";
                advice = "set the clocks";
                break;
        case X509_V_ERR_HOSTNAME_MISMATCH:
        case X509_V_ERR_IP_ADDRESS_MISMATCH:
                (void)snprintf(for_host, sizeof(for_host), "is not for host %s", client->url.host);
                what = for_host;
                advice = "write the host that it is for";
                break;
        default:
                what = X509_verify_cert_error_string(client->certificate_error);
                advice = "replace it there";
        }
        ws_connection_explain(c, "its certificate %s; %s%s%s", what, advice,
                              client->pin_advice ? ", or " : "",
                              client->pin_advice ? client->pin_advice : "");
}

void ws_client_explain(WsConnection *c, const char *text, size_t n_text) {
        if (c->client->certificate_error != 0)
                explain_certificate(c);
        else if (text)
                ws_connection_explain(c, "%.*s", (int)n_text, text);
}

/* The Host header is the URL's own host; the connection goes to the address. */
static void client_connect_to(WsConnection *c, const struct sockaddr *address) {
        WsClient *client = c->client;
        char text[INET6_ADDRSTRLEN + IF_NAMESIZE], host[WS_URL_HOST_MAX + 16];
        struct lws_client_connect_info info = {
                .context = ws_loop_context(c->loop),
                .vhost = client->vhost,
                .address = text,
                .port = client->url.port,
                .path = client->url.path,
                .host = host,
                .protocol = WS_SUBPROTOCOL,
                .alpn = "http/1.1",
                .opaque_user_data = c,
                .pwsi = &c->wsi, /* set before the first callback */
                .ssl_connection = LCCSCF_HTTP_NO_FOLLOW_REDIRECT,
        };

        if (getnameinfo(address,
                        address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                       : sizeof(struct sockaddr_in),
                        text, sizeof(text), NULL, 0, NI_NUMERICHOST) != 0) {
                client_step_later(c->client);
                return;
        }
        (void)snprintf(host, sizeof(host), client->url.literal_ipv6 ? "[%s]:%u" : "%s:%u",
                       client->url.host, client->url.port);
        if (client->url.tls)
                info.ssl_connection |= LCCSCF_USE_SSL;
        /*
         * Whoever pinned the peer's key learns from the handshake inside whom it talks to; an
         * expired or self-made certificate must not keep it from that. Without a pin nothing of
         * this is allowed. (libwebsockets cuts a host at its first colon, so the certificate of a
         * literal IPv6 address never fits: that needs a pin.)
         */
        if (client->url.tls && client->pinned)
                info.ssl_connection |= LCCSCF_ALLOW_SELFSIGNED | LCCSCF_ALLOW_EXPIRED |
                                       LCCSCF_ALLOW_INSECURE |
                                       LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK;

        ws_connection_set_peer(c, address);
        client->certificate_error = 0;
        c->wsi = NULL;
        if (!lws_client_connect_via_info(&info)) {
                c->wsi = NULL;
                client_step_later(c->client);
        }
        ws_loop_kick(c->loop);
}

static int on_client_step(sd_event_source *source, void *userdata) {
        WsConnection *c = userdata;
        WsClient *client = c->client;

        (void)source;
        if (client->next < client->addresses.n)
                client_connect_to(
                        c, (const struct sockaddr *)&client->addresses.addresses[client->next++]);
        else
                ws_connection_end(c);
        /* Careful: @c may be gone from here. */
        return 0;
}

static void on_client_resolved(const ResolveResult *result, void *userdata) {
        WsConnection *c = userdata;
        WsClient *client = c->client;

        client->addresses = *result;
        if (result->n == 0)
                ws_connection_explain(c, "%s: %s", client->url.host, result->error);
        client->query = resolve_query_free(client->query);
        client_step_later(client);
}

static int on_client_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        WsConnection *c = userdata;

        (void)source, (void)usec;
        ws_connection_explain(c, "timed out");
        ws_client_give_up(c);
        return 0;
}

/* One vhost for each set of authorities; they live as long as the loop. */
static int client_find_vhost(WsLoop *loop, const char *ca_file, struct lws_vhost **ret) {
        struct lws_context *context = ws_loop_context(loop);
        size_t n_name = strlen("client:") + strlen(ca_file ? ca_file : "") + 1;
        _cleanup_(freep) WsLoopText *name = malloc(sizeof(*name) + n_name);
        struct lws_context_creation_info info = {
                .port = CONTEXT_PORT_NO_LISTEN,
                .protocols = ws_protocols + 1,
                .options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
                .alpn = "http/1.1",
                .client_ssl_ca_filepath = ca_file,
        };

        if (!name)
                return err_origin(-ENOMEM);
        (void)snprintf(name->text, n_name, "client:%s", ca_file ? ca_file : ""); /* always fits */
        *ret = lws_get_vhost_by_name(context, name->text);
        if (*ret)
                return 0;
        info.vhost_name = name->text;
        if (ca_file) {
                info.options |= LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
                if (access(ca_file, R_OK) < 0)
                        return err_origin(-errno);
        }
        *ret = lws_create_vhost(context, &info);
        if (!*ret)
                return WS_E_TLS;
        ws_loop_keep(loop, TAKE_PTR(name)); /* the vhost points to it */
        return 0;
}

static int client_new(WsConnection *c, const WsConnectOptions *options) {
        sd_event *event = ws_loop_event(c->loop);
        uint64_t timeout_usec = options->timeout_usec ? options->timeout_usec : CONNECT_USEC;
        WsClient *client;
        int r;

        client = c->client = calloc(1, sizeof(*client));
        if (!client)
                return err_origin(-ENOMEM);
        client->url = *options->url;
        client->pinned = options->pinned;
        client->pin_advice = options->pin_advice;

        r = client_find_vhost(c->loop, options->ca_file, &client->vhost);
        if (r != 0)
                return r;
        r = sd_event_add_time_relative(event, &client->timer, CLOCK_MONOTONIC, timeout_usec,
                                       10 * USEC_PER_MSEC, on_client_timer, c);
        if (r < 0)
                return err_origin(r);
        r = sd_event_add_defer(event, &client->next_step, on_client_step, c);
        if (r < 0)
                return err_origin(r);
        r = sd_event_source_set_enabled(client->next_step, SD_EVENT_OFF);
        if (r < 0)
                return err_origin(r);
        return resolve_query_new(&client->query, event, client->url.host, client->url.port,
                                 on_client_resolved, c);
}

int ws_connect(WsConnection **ret, WsLoop *loop, const WsConnectOptions *options,
               const WsHandlers *handlers, void *userdata) {
        WsConnection *c;
        int r;

        c = ws_connection_new(loop);
        if (!c)
                return err_origin(-ENOMEM);
        c->handlers = handlers;
        c->userdata = userdata;

        r = client_new(c, options);
        if (r != 0) {
                ws_connection_destroy(c);
                return r;
        }
        *ret = c;
        return 0;
}
