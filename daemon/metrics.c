/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "daemon/metrics.h"

#include <inttypes.h>

static void write_family(FILE *out, const char *name, const char *type, const char *help) {
        fprintf(out, "# TYPE p2pbusd_%s %s\n# HELP p2pbusd_%s %s.\n", name, type, name, help);
}

static void write_gauge(FILE *out, const char *name, const char *help, uint64_t value) {
        write_family(out, name, "gauge", help);
        fprintf(out, "p2pbusd_%s %" PRIu64 "\n", name, value);
}

static void write_counter(FILE *out, const char *name, const char *help, uint64_t value) {
        write_family(out, name, "counter", help);
        fprintf(out, "p2pbusd_%s_total %" PRIu64 "\n", name, value);
}

/* By reason, those that never came about too: a series must not begin in the middle. */
static void write_refused(FILE *out, const Counters *counters) {
        write_family(out, "refused", "counter", "Packets and words refused, by reason");
        for (unsigned i = CODE_OK + 1; i < _CODE_MAX; i++)
                fprintf(out, "p2pbusd_refused_total{reason=\"%s\"} %" PRIu64 "\n",
                        control_code_text((uint16_t)i), counters->refused[i]);
}

/* A label's value, between quotes. */
static void write_label(FILE *out, const char *text) {
        for (; *text; text++) {
                if (*text == '"' || *text == '\\')
                        fputc('\\', out);
                fputc(*text, out);
        }
}

static void write_links(FILE *out, const Gateway *gateway) {
        write_family(out, "link_up", "gauge", "1 while the link to this relay is up");
        for (unsigned i = 0; i < ELEMENTSOF(gateway->links); i++) {
                const GatewayLink *link = &gateway->links[i];

                if (link->url[0] == '\0')
                        continue;
                fputs("p2pbusd_link_up{url=\"", out);
                write_label(out, link->url);
                fprintf(out, "\"} %d\n", link->is_up);
        }
        write_family(out, "link_round_trip_seconds", "gauge", "Smoothed round trip to this relay");
        for (unsigned i = 0; i < ELEMENTSOF(gateway->links); i++) {
                const GatewayLink *link = &gateway->links[i];

                if (link->url[0] == '\0' || link->round_trip_usec == USEC_NEVER)
                        continue;
                fputs("p2pbusd_link_round_trip_seconds{url=\"", out);
                write_label(out, link->url);
                fprintf(out, "\"} %.6f\n", (double)link->round_trip_usec / USEC_PER_SEC);
        }
}

static void write_gauges(FILE *out, const Manager *manager) {
        const Gateway *gateway = &manager->gateway;

        write_gauge(out, "uptime_seconds", "Since the daemon started",
                    (manager->now_usec - manager->started_usec) / USEC_PER_SEC);
        write_gauge(out, "processes", "Processes attached", registry_size(&manager->registry));
        write_gauge(out, "connections", "Connections, attached or not", manager->n_peers);
        write_gauge(out, "monitors", "Processes that see what passes", manager->monitors.n);
        write_gauge(out, "queued_bytes", "Memory in use for what waits to be read",
                    manager->quota.memory_used);
        write_gauge(out, "rings", "Rings between processes of this host",
                    rings_count(&manager->rings));
        write_gauge(out, "ring_bytes", "Memory of these", manager->rings.bytes);
        write_gauge(out, "subscriptions", "Patterns that processes subscribed to",
                    manager->topics.n_subscriptions);
        write_gauge(out, "wants", "Patterns that processes of other hosts subscribed to",
                    manager->wants.set.n);
        write_gauge(out, "retained", "Messages kept for later subscribers",
                    manager->topics.n_retained);
        write_gauge(out, "gateway", "1 while a gateway to other hosts is attached",
                    gateway->peer != NULL);
        write_gauge(out, "links_up", "Relays that the gateway is connected to", gateway->links_up);
        write_gauge(out, "links_configured", "Relays that it should be connected to",
                    gateway->links_configured);
        write_links(out, gateway);
}

void metrics_write(FILE *out, const Manager *manager) {
        const Counters *counters = &manager->counters;

        write_gauges(out, manager);
        write_counter(out, "packets_routed", "Packets passed on", counters->packets_routed);
        write_counter(out, "bytes_routed", "Bytes of these", counters->bytes_routed);
        write_refused(out, counters);
        write_counter(out, "accepted", "Connections accepted", counters->accepted);
        write_counter(out, "turned_away", "Connections over a limit", counters->turned_away);
        write_counter(out, "attached", "Processes that attached", counters->attached);
        write_counter(out, "attach_timeouts", "Connections that did not attach in time",
                      counters->attach_timeouts);
        write_counter(out, "violations", "Connections closed for what they sent",
                      counters->violations);
        write_counter(out, "words_dropped", "Control words for processes that do not read",
                      counters->words_dropped);
        write_counter(out, "lost_at_close", "Packets in queues of processes that left",
                      counters->lost_at_close);
        write_counter(out, "monitor_lost", "Copies that monitors did not read in time",
                      counters->monitor_lost);
        write_counter(out, "rings_made", "Rings made", counters->rings_made);
        write_counter(out, "rings_declined", "Offers of a ring that were declined",
                      counters->rings_declined);
        write_counter(out, "ring_timeouts", "Offers of a ring not answered in time",
                      counters->ring_timeouts);
        write_counter(out, "ring_violations", "Rings ended for what the other side did in them",
                      counters->ring_violations);
        write_counter(out, "topics_published", "Messages published on topics",
                      counters->topics_published);
        write_counter(out, "topics_delivered", "Copies of these, one for each subscriber",
                      counters->topics_delivered);
        write_counter(out, "topics_lost", "Copies that subscribers had no room for",
                      counters->topics_lost);
        write_counter(out, "services_unread",
                      "Records of who provides a name elsewhere that came too fast to be verified",
                      counters->services_unread);
        write_counter(out, "wants_refused", "Patterns of other hosts that there was no room for",
                      counters->wants_refused);
        write_counter(out, "wants_not_told",
                      "Patterns of this host that a relay or the gateway had no room for",
                      counters->wants_not_told);
        fputs("# EOF\n", out);
}
