/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/report.h"

#include "libclient/peer.h"

#define BASE_MIN_USEC (USEC_PER_SEC / 2) /* a sample that is younger says little */
#define BASE_MAX_USEC (4 * USEC_PER_SEC) /* one that is older is about something else */
#define RATE_MIN_USEC (USEC_PER_SEC / 10)

static TrafficSample sample(const Peer *peer) {
        const SessionCounters *counters = session_counters(peer->session);

        return (TrafficSample){
                .usec = peer->bus->now_usec,
                .messages_out = counters->n_sent,
                .messages_in = counters->n_received,
                .bytes_out = peer->traffic.bytes_out,
                .bytes_in = peer->traffic.bytes_in,
        };
}

void report_take_sample(Peer *peer) {
        peer->traffic.before = peer->traffic.last;
        peer->traffic.last = sample(peer);
}

static void fill_rates(const Peer *peer, Report *report) {
        const Traffic *traffic = &peer->traffic;
        TrafficSample now = sample(peer), base = traffic->last;
        uint64_t usec;

        if (now.usec - base.usec < BASE_MIN_USEC && now.usec - traffic->before.usec < BASE_MAX_USEC)
                base = traffic->before;
        usec = MAX(now.usec - base.usec, RATE_MIN_USEC);
        report->messages_out = (now.messages_out - base.messages_out) * USEC_PER_SEC / usec;
        report->messages_in = (now.messages_in - base.messages_in) * USEC_PER_SEC / usec;
        report->bytes_out = (now.bytes_out - base.bytes_out) * USEC_PER_SEC / usec;
        report->bytes_in = (now.bytes_in - base.bytes_in) * USEC_PER_SEC / usec;
}

/* A ring goes on while the daemon is away. */
static ReportPath path_of(const Peer *peer) {
        if (peer_is_on_ring(peer))
                return REPORT_PATH_RING;
        if (!peer->bus->is_up)
                return REPORT_PATH_NONE;
        return peer->path == SESSION_PATH_OFF_HOST ? REPORT_PATH_OFF_HOST : REPORT_PATH_DAEMON;
}

/* For credit, or for room in the ring; USEC_NEVER: for neither. */
static uint64_t waiting_since(const Peer *peer) {
        uint64_t since = session_waiting_since(peer->session);

        if (peer_is_on_ring(peer) && peer->ring->waits_for_room && peer->n_unsettled > 0)
                since = MIN(since, peer->ring->full_usec);
        return since;
}

static void fill_counts(const SessionCounters *counters, Report *report) {
        report->n_sent = counters->n_sent;
        report->n_delivered = counters->n_delivered;
        report->n_refused = counters->n_refused;
        report->n_expired = counters->n_expired;
        report->n_cancelled = counters->n_cancelled;
        report->n_unknown = counters->n_unknown;
        report->n_received = counters->n_received;
        report->n_taken = counters->n_taken;
}

void report_remember(const Peer *peer) {
        const SessionCounters *counters = session_counters(peer->session);
        SessionCounters *past = &peer->bus->past;

        if (peer->mirror)
                return;
        past->n_sent += counters->n_sent;
        past->n_delivered += counters->n_delivered;
        past->n_refused += counters->n_refused;
        past->n_expired += counters->n_expired;
        past->n_cancelled += counters->n_cancelled;
        past->n_unknown += counters->n_unknown;
        past->n_received += counters->n_received;
        past->n_taken += counters->n_taken;
}

/* All with whom nothing is under way, in one. */
static void report_past(const p2pbus *bus, Report *ret) {
        *ret = (Report){
                .peer = PID_NONE,
                .path = REPORT_PATH_NONE,
                .ring_size = REPORT_NONE,
                .ring_out = REPORT_NONE,
                .ring_in = REPORT_NONE,
                .round_trip_usec = REPORT_NONE,
        };
        fill_counts(&bus->past, ret);
}

/* As the last ping measured it, or else as the session does. */
static uint64_t round_trip(const Peer *peer) {
        uint64_t usec = peer->round_trip_usec > 0 ? peer->round_trip_usec
                                                  : session_round_trip_usec(peer->session);

        return usec > 0 ? usec : REPORT_NONE;
}

void report_peer(const Peer *peer, Report *ret) {
        uint64_t since = waiting_since(peer), now = peer->bus->now_usec;

        *ret = (Report){
                .peer = peer->address.pid,
                .path = path_of(peer),
                .is_established = session_is_established(peer->session),
                .queued_messages = peer->n_unsettled,
                .queued_bytes = session_memory(peer->session),
                .waiting_usec = since == USEC_NEVER ? 0 : MAX(now - since, 1U),
                .ring_size = REPORT_NONE,
                .ring_out = REPORT_NONE,
                .ring_in = REPORT_NONE,
                .round_trip_usec = round_trip(peer),
        };
        fill_rates(peer, ret);
        fill_counts(session_counters(peer->session), ret);
        if (!peer_is_on_ring(peer))
                return;
        ret->ring_size = ring_producer_size(&peer->ring->out);
        ret->ring_out = ring_producer_fill(&peer->ring->out);
        ret->ring_in = ring_consumer_fill(&peer->ring->in);
}

/* Return: false: we are silent then. */
static bool say(p2pbus *bus, Control *word, bool more) {
        word->value = more;
        if (connection_queue_control(bus->connection, word, NULL) < 0)
                return false;
        word->n_body = 0;
        return true;
}

static bool add(p2pbus *bus, Control *word, const Report *report) {
        if (word->n_body + REPORT_LINE_MAX > CONTROL_BODY_MAX && !say(bus, word, true))
                return false;
        word->n_body += report_format(report, (char *)bus->scratch + word->n_body);
        return true;
}

void report_answer(p2pbus *bus, const PacketId *id) {
        Control word = { .verb = CONTROL_REPORTED, .ref = *id, .body = bus->scratch };
        Report report;

        if (bus->past.n_sent > 0 || bus->past.n_received > 0) {
                report_past(bus, &report);
                (void)add(bus, &word, &report); /* the first: there is room */
        }
        PEER_FOREACH (bus, peer) {
                if (peer->mirror) /* what we say to ourselves goes nowhere */
                        continue;
                report_peer(peer, &report);
                if (!add(bus, &word, &report))
                        return;
        }
        (void)say(bus, &word, false);
}
