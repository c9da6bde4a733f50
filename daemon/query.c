/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "daemon/query.h"

#include <inttypes.h>
#include <stdio.h>
#include <utlist.h>

#include "daemon/metrics.h"
#include "daemon/peer.h"
#include "libcore/report.h"

#define ANSWER_MAX 60000 /* bytes of text in one packet */

static void write_link(FILE *out, const GatewayLink *link) {
        if (link->url[0] == '\0')
                return;
        fprintf(out, "link, %s\t%s\n", link->url, link->is_up ? "up" : "down");
        if (link->round_trip_usec != USEC_NEVER)
                fprintf(out, "link_round_trip_usec, %s\t%" PRIu64 "\n", link->url,
                        link->round_trip_usec);
}

static void write_status(FILE *out, const Manager *manager) {
        const Gateway *gateway = &manager->gateway;
        const Counters *counters = &manager->counters;
        char text[KEY_TEXT_SIZE];
        uint64_t refused = 0;

        fprintf(out, "version\t%s\ninstance\t", PACKAGE_VERSION);
        for (unsigned i = 0; i < sizeof(manager->instance); i++)
                fprintf(out, "%02x", manager->instance[i]);
        fprintf(out, "\nuptime_usec\t%" PRIu64 "\n", manager->now_usec - manager->started_usec);
        fprintf(out, "bus\t%s\n", manager->options.user_bus ? "user" : "system");
        fprintf(out, "processes\t%u\n", registry_size(&manager->registry));
        fprintf(out, "connections\t%" PRIu32 "\n", manager->n_peers);
        fprintf(out, "gateway\t%s\n", gateway->peer ? key_format(&gateway->peer->key, text) : "-");
        fprintf(out, "links\t%" PRIu32 "/%" PRIu32 "\n", gateway->links_up,
                gateway->links_configured);
        for (unsigned i = 0; i < ELEMENTSOF(gateway->links); i++)
                write_link(out, &gateway->links[i]);
        fprintf(out, "synced\t%s\n", gateway->synced ? "yes" : "no");
        fprintf(out, "monitors\t%u\n", manager->monitors.n);
        fprintf(out, "rings\t%u\n", rings_count(&manager->rings));
        fprintf(out, "ring_bytes\t%" PRIu64 "\n", manager->rings.bytes);
        fprintf(out, "queued_bytes\t%" PRIu64 "\n", manager->quota.memory_used);
        fprintf(out, "packets_routed\t%" PRIu64 "\n", counters->packets_routed);
        fprintf(out, "bytes_routed\t%" PRIu64 "\n", counters->bytes_routed);
        for (unsigned i = 0; i < _CODE_MAX; i++)
                refused += counters->refused[i];
        fprintf(out, "packets_refused\t%" PRIu64 "\n", refused);
        for (unsigned i = 0; i < _CODE_MAX; i++)
                if (counters->refused[i] > 0)
                        fprintf(out, "refused, %s\t%" PRIu64 "\n", control_code_text((uint16_t)i),
                                counters->refused[i]);
        fprintf(out, "accepted\t%" PRIu64 "\n", counters->accepted);
        fprintf(out, "attached\t%" PRIu64 "\n", counters->attached);
        fprintf(out, "turned_away\t%" PRIu64 "\n", counters->turned_away);
        fprintf(out, "attach_timeouts\t%" PRIu64 "\n", counters->attach_timeouts);
        fprintf(out, "violations\t%" PRIu64 "\n", counters->violations);
        fprintf(out, "words_dropped\t%" PRIu64 "\n", counters->words_dropped);
        fprintf(out, "lost_at_close\t%" PRIu64 "\n", counters->lost_at_close);
        fprintf(out, "monitor_lost\t%" PRIu64 "\n", counters->monitor_lost);
        fprintf(out, "taps_lost\t%" PRIu64 "\n", counters->taps_lost);
        fprintf(out, "taps_dropped\t%" PRIu64 "\n", counters->taps_dropped);
        fprintf(out, "rings_made\t%" PRIu64 "\n", counters->rings_made);
        fprintf(out, "rings_declined\t%" PRIu64 "\n", counters->rings_declined);
        fprintf(out, "ring_timeouts\t%" PRIu64 "\n", counters->ring_timeouts);
        fprintf(out, "ring_violations\t%" PRIu64 "\n", counters->ring_violations);
}

/* Comma-separated words, or "-" if there are none. */
static void write_word(FILE *out, bool *any, const char *word) {
        fprintf(out, "%s%s", *any ? "," : "", word);
        *any = true;
}

static void write_end_of_words(FILE *out, bool any) {
        fputs(any ? "\t" : "-\t", out);
}

static void write_list(FILE *out, const Manager *manager) {
        char text[KEY_TEXT_SIZE];
        const Peer *peer;

        DL_FOREACH (manager->peers, peer) {
                bool any = false;

                if (peer->state != PEER_ATTACHED)
                        continue;
                fprintf(out, "%s\t%" PRIu32 "\t%" PRIu32 "\t%s\t", key_format(&peer->key, text),
                        peer->user->uid, peer->creds.os_pid, peer->comm);
                if (peer->ephemeral)
                        write_word(out, &any, "ephemeral");
                if (peer->off_host)
                        write_word(out, &any, "off-host");
                if (gateway_is(&manager->gateway, peer))
                        write_word(out, &any, "gateway");
                if (peer->monitor)
                        write_word(out, &any, "monitor");
                write_end_of_words(out, any);
                any = false;
                for (const OwnedName *owned = peer->owned_names; owned; owned = owned->next_peer)
                        write_word(out, &any, owned->name->text);
                write_end_of_words(out, any);
                fprintf(out, "%" PRIu64 "\n", peer->attached_wall_usec);
        }
}

/* What the daemon itself knows of a process, without a newline. */
static void write_queue(FILE *out, const Peer *peer) {
        uint64_t since = outbox_since(&peer->outbox);
        char text[KEY_TEXT_SIZE];

        fprintf(out,
                "%s\t%" PRIu32 "\t%s\t%zu\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64
                "\t%" PRIu64,
                key_format(&peer->key, text), peer->creds.os_pid, peer->comm,
                outbox_size(&peer->outbox), peer->outbox.n_packets,
                since > 0 ? peer->manager->now_usec - since : 0, peer->packets_in,
                peer->packets_out, peer->refused);
}

static const char *report_word(const Survey *survey, const Peer *peer,
                               const SurveyReport *report) {
        static const char *const words[] = {
                [REPORT_AWAITED] = "silent", [REPORT_GIVEN] = "self", [REPORT_SILENT] = "silent",
                [REPORT_GARBLED] = "garbled", [REPORT_CUT] = "cut",
        };

        if (report)
                return words[report->state];
        return survey_may_see(survey->asker, peer) ? "-" : "hidden";
}

/* A line for each of its conversations, or one without. */
static void write_peer(FILE *out, const Survey *survey, const Peer *peer) {
        const SurveyReport *report = survey_report_of(survey, peer);
        const char *word = report_word(survey, peer, report);
        const char *line = report ? report->text : NULL;

        if (!line) {
                write_queue(out, peer);
                fprintf(out, "\t%s", word);
                for (unsigned i = 0; i < REPORT_FIELDS; i++)
                        fputs("\t-", out);
                fputc('\n', out);
        }
        while (line && *line) {
                size_t n = (size_t)(strchr(line, '\n') - line) + 1;

                write_queue(out, peer);
                fprintf(out, "\t%s\t", word);
                fwrite(line, 1, n, out);
                line += n;
        }
}

static void write_config(FILE *out, const Manager *manager) {
        config_write(out, &manager->config);
}

/* Cuts between lines: each packet holds whole ones. */
static void send_text(Peer *to, const PacketId *id, const char *text, size_t n_text) {
        do {
                Control word = { .verb = CONTROL_ANSWER,
                                 .ref = *id,
                                 .body = (const uint8_t *)text };
                const char *end;

                word.n_body = n_text;
                if (n_text > ANSWER_MAX) {
                        end = memrchr(text, '\n', ANSWER_MAX);
                        word.n_body = end ? (size_t)(end - text) + 1 : ANSWER_MAX;
                        word.value = 1;
                }
                peer_say(to, &word);
                text += word.n_body;
                n_text -= word.n_body;
        } while (n_text > 0);
}

ControlCode query_send(Peer *to, const PacketId *id, FILE *out, char *const *text,
                       const size_t *n_text) {
        ControlCode code = CODE_OK;

        if (fclose(out) != 0 || !peer_has_room(to, *n_text))
                code = CODE_QUOTA;
        else
                send_text(to, id, *text, *n_text);
        free(*text);
        return code;
}

static void on_survey_done(const Survey *survey) {
        ControlCode code = CODE_OVERLOAD;
        Peer *asker = survey->asker;
        char *text = NULL;
        size_t n_text = 0;
        const Peer *peer;
        FILE *out;

        out = open_memstream(&text, &n_text);
        if (out) {
                DL_FOREACH (asker->manager->peers, peer)
                        if (peer->state == PEER_ATTACHED)
                                write_peer(out, survey, peer);
                code = query_send(asker, &survey->ref, out, &text, &n_text);
        }
        if (code != CODE_OK)
                peer_say_error(asker, code, &survey->ref, (Address){ PID_NONE, 0 });
}

static void write_remote(FILE *out, const Name *name) {
        char text[KEY_TEXT_SIZE];
        const RemoteProvider *p;

        DL_FOREACH (remote_names_first(name), p)
                fprintf(out, "%s\t%s\t%" PRIu16 "\t%" PRIu16 "\tremote%s\t-\t%.*s\n", name->text,
                        key_format(&p->key, text), p->rank.priority, p->rank.weight,
                        p->rank.flags & PROVIDER_DRAIN ? ",drain" : "", (int)p->metadata.size,
                        (const char *)p->metadata.data);
}

/* Who provides what, a line each. */
static void write_services(FILE *out, const Manager *manager) {
        char text[KEY_TEXT_SIZE];
        const OwnedName *owned;
        Name *name, *next;

        HASH_ITER (hh, manager->names.table, name, next) {
                DL_FOREACH (name->owners, owned) {
                        const ProviderRank *rank = &owned->rank;

                        fprintf(out, "%s\t%s\t%" PRIu16 "\t%" PRIu16 "\t%s\t%" PRIu32 "\t%s\n",
                                name->text, key_format(&owned->peer->key, text), rank->priority,
                                rank->weight, rank->flags & PROVIDER_DRAIN ? "drain" : "-",
                                owned->peer->user->uid, owned->metadata ? owned->metadata : "");
                }
                write_remote(out, name);
        }
}

ControlCode query_answer(Peer *from, uint32_t what, const PacketId *id) {
        static void (*const writers[])(FILE *, const Manager *) = {
                [QUERY_STATUS] = write_status,
                [QUERY_LIST] = write_list,
                [QUERY_METRICS] = metrics_write,
                [QUERY_CONFIG] = write_config,
                [QUERY_SERVICES] = write_services,
        };
        char *text = NULL;
        size_t n_text = 0;
        FILE *out;

        if (what == QUERY_PEERS)
                return survey_begin(from, id, on_survey_done);
        if (what >= ELEMENTSOF(writers) || !writers[what])
                return CODE_UNSUPPORTED;
        out = open_memstream(&text, &n_text);
        if (!out)
                return CODE_OVERLOAD;
        writers[what](out, from->manager);
        return query_send(from, id, out, &text, &n_text);
}
