/* SPDX-License-Identifier: Apache-2.0 */

#include "relay/http.h"

#include <stdio.h>

#define METRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

static void write_gauge(FILE *f, const char *name, const char *help, uint64_t value) {
        fprintf(f, "# TYPE p2pbus_relay_%s gauge\n# HELP p2pbus_relay_%s %s.\n", name, name, help);
        fprintf(f, "p2pbus_relay_%s %llu\n", name, (unsigned long long)value);
}

static void write_counter(FILE *f, const char *name, const char *help, uint64_t value) {
        fprintf(f, "# TYPE p2pbus_relay_%s counter\n# HELP p2pbus_relay_%s %s.\n", name, name,
                help);
        fprintf(f, "p2pbus_relay_%s_total %llu\n", name, (unsigned long long)value);
}

static void write_metrics(FILE *f, const RelayShared *s) {
        write_gauge(f, "links", "Links that are up", s->n_up);
        write_gauge(f, "links_open", "Links of bridges that were not admitted by name", s->n_open);
        write_gauge(f, "sockets_unproven", "Sockets that are not links yet",
                    address_table_n_unproven(s->addresses));
        write_gauge(f, "leases", "Addresses with a route", directory_n_leases(s->directory));
        write_gauge(f, "wants", "Patterns of topics that processes want",
                    relay_wants_size(s->wants));
        write_gauge(f, "leases_remembered", "Leases without a route",
                    directory_n_remembered(s->directory));
        write_gauge(f, "services", "Names that processes provide, each counted for each of them",
                    relay_services_size(s->services));
        write_gauge(f, "keys_revoked", "Keys that are refused for ever",
                    directory_n_revoked(s->directory));
        write_gauge(f, "draining", "1 while the relay is about to stop", s->draining);
        for (Counter i = 0; i < _COUNTER_MAX; i++)
                write_counter(f, counter_name(i), counter_help(i), s->counters.values[i]);
        fputs("# EOF\n", f);
}

void http_answer(const RelayShared *shared, const char *path, WsReply *reply) {
        FILE *f;

        if (strcmp(path, "/healthz") == 0) {
                reply->status = shared->draining ? 503 : 200;
                reply->body = strdup(shared->draining ? "draining\n" : "ok\n");
                reply->n_body = reply->body ? strlen(reply->body) : 0;
        } else if (strcmp(path, "/metrics") == 0) {
                f = open_memstream(&reply->body, &reply->n_body);
                if (!f) {
                        reply->status = 503;
                        return;
                }
                write_metrics(f, shared);
                reply->status = 200;
                reply->content_type = METRICS_TYPE;
                if (fclose(f) != 0) { /* out of memory on the way */
                        free(reply->body);
                        reply->body = NULL;
                        reply->n_body = 0;
                        reply->status = 503;
                }
        }
}
