/* SPDX-License-Identifier: Apache-2.0 */

/* Questions about others: who is there, how far away, how does it stand. */

#include "config.h"

#include "libclient/daemon.h"
#include "libclient/loop.h"
#include "libclient/path.h"
#include "libclient/peer.h"
#include "libclient/ping.h"
#include "libclient/reason.h"
#include "libclient/send.h"
#include "libclient/service.h"
#include "libcore/err.h"

#define ASK_AGAIN_USEC (100 * USEC_PER_MSEC)
#define PING_AGAIN_USEC USEC_PER_SEC

/* Who answers to a destination, proven. */
typedef struct Resolved {
        PublicKey key;
        Address address;
        bool is_remote;
        SignedRecord lease; /* if remote */
} Resolved;

/* Waits until @at at least, unless @until comes first. Return: 0, noted errors. */
static int wait_until(p2pbus *bus, uint64_t at, uint64_t until) {
        int r = 0;

        while (r == 0 && bus->now_usec < at && bus->now_usec < until)
                r = loop_wait(bus, MIN(at, until));
        if (r == -ETIMEDOUT)
                r = 0;
        if (r == 0 && bus->now_usec >= until)
                r = reason_fail(P2PBUS_REASON_TIMEOUT);
        return r;
}

/* What the daemon says is checked: a key by its hash, a lease by its signature. */
static int verify(p2pbus *bus, const Ask *ask, const Destination *to, Resolved *ret) {
        const SignedRecordCheck check = {
                .type = SIGNED_RECORD_LEASE,
                .now_usec = bus_wall(bus),
        };

        ret->is_remote = ask->value != RESOLVED_LOCAL;
        if (!ret->is_remote) {
                if (ask->n_body != KEY_SIZE)
                        return reason_fail(P2PBUS_REASON_VIOLATION);
                memcpy(ret->key.bytes, ask->body, KEY_SIZE);
        } else {
                if (signed_record_verify(ask->body, ask->n_body, &check, &ret->lease) != 0)
                        return reason_fail_text(P2PBUS_REASON_NOT_HERE,
                                                "its lease cannot be verified");
                ret->key = ret->lease.signer;
        }
        ret->address = key_hash(&ret->key).address;
        if (ret->address.pid != to->address.pid ||
            (to->address.tag != 0 && ret->address.tag != to->address.tag) ||
            (to->has_key && !key_equal(&to->key, &ret->key)))
                return reason_fail(P2PBUS_REASON_WRONG_KEY);
        if (ret->is_remote && !(bus->welcome.flags & ATTACH_OFF_HOST))
                return reason_fail_text(P2PBUS_REASON_NO_ROUTE,
                                        "on another host, and off-host is not granted");
        return 0;
}

/* Met by a bare PID, now or before. */
static int check_known(p2pbus *bus, const Resolved *found) {
        const PublicKey *known = known_peers_find(bus->known, found->address.pid);
        char was[KEY_TEXT_SIZE], is[KEY_TEXT_SIZE];

        if (!known && found->is_remote)
                known_peers_add(bus->known, &found->key,
                                found->lease.lease.flags & LEASE_TRANSIENT);
        if (!known || key_equal(known, &found->key))
                return 0;
        return reason_fail_text(P2PBUS_REASON_WRONG_KEY,
                                "it is %s, but was %s when it was first met", key_format(&found->key, is),
                                key_format(known, was));
}

static int resolve_name(p2pbus *bus, const char *name, uint64_t until, Address *ret) {
        int r;

        while ((r = service_resolve_wait(bus, name, until, ret)) == -EHOSTUNREACH &&
               p2pbus_get_reason() == P2PBUS_REASON_SETTLING) {
                r = wait_until(bus, bus->now_usec + ASK_AGAIN_USEC, until);
                if (r < 0)
                        break;
        }
        return r;
}

static int resolve(p2pbus *bus, const char *dest, uint64_t until, Resolved *ret) {
        Destination to;
        int r;

        r = destination_parse(dest, &to);
        if (r < 0)
                return r;
        if (to.kind == P2PBUS_DESTINATION_NAME) {
                r = resolve_name(bus, dest, until, &to.address);
                if (r < 0)
                        return r;
        }
        for (;;) {
                Ask ask = { .control = { .verb = CONTROL_RESOLVE, .address = to.address } };

                r = daemon_ask_wait(bus, &ask, until);
                if (r == 0)
                        r = verify(bus, &ask, &to, ret);
                if (r == 0 && to.kind == P2PBUS_DESTINATION_PID)
                        r = check_known(bus, ret);
                daemon_drop(bus, &ask);
                if (r == 0 || !ask.is_answered || ask.code != CODE_SETTLING)
                        return r;
                r = wait_until(bus, bus->now_usec + ASK_AGAIN_USEC, until);
                if (r < 0)
                        return r;
        }
}

_public_ int p2pbus_resolve(p2pbus *bus, const char *dest, uint64_t timeout_usec,
                            char ret_full[P2PBUS_FULL_SIZE], int *ret_remote) {
        Resolved resolved;
        int r;

        r = bus_enter_blocking(bus);
        if (r < 0)
                return r;
        r = resolve(bus, dest, bus_deadline(bus, timeout_usec, P2PBUS_TIMEOUT_DEFAULT), &resolved);
        if (r == 0) {
                (void)key_format(&resolved.key, ret_full);
                if (ret_remote)
                        *ret_remote = resolved.is_remote;
        }
        return bus_leave(bus, r);
}

/* Ping */

static void say_ping(p2pbus *bus, Ping *ping, const Resolved *to) {
        uint8_t bytes[RECORD_HEADER_SIZE + RECORD_PING_SIZE];
        size_t n = ping_encode(ping, bytes);
        const Peer *peer = peer_find(bus, to->address, &to->key);
        const PathSeal seal = {
                .to = to->address,
                .lease = &to->lease,
                .epochs = peer && peer->has_key ? peer->epochs : NULL,
                .clock_offset_usec = peer ? peer->clock_offset_usec : 0,
        };
        PathSealed sealed;

        /* Lost or not sent, it is sent again. */
        if (to->is_remote)
                (void)path_send_sealed(bus, &seal, bytes, n, &sealed);
        else if (!peer || !peer_is_on_ring(peer) ||
                 !ring_path_send(peer->ring, bytes, n)) {
                ping->id = bus_new_id(bus);
                (void)path_send_local(bus, to->address, &ping->id, USEC_NEVER, bytes, n);
        }
}

static int await_pong(p2pbus *bus, const Resolved *to, uint64_t until, uint64_t *ret_usec) {
        Ping ping;
        uint64_t sent = 0;
        Peer *peer;
        int r = 0;

        ping_begin(bus, &ping, to->address);
        while (r == 0 && !ping.is_answered && !ping.is_denied) {
                if (bus->is_up && (sent == 0 || bus->now_usec - sent >= PING_AGAIN_USEC)) {
                        sent = bus->now_usec;
                        say_ping(bus, &ping, to);
                }
                r = loop_wait(bus, MIN(until, bus->now_usec + PING_AGAIN_USEC));
                if (r == -ETIMEDOUT)
                        r = bus->now_usec < until ? 0 : reason_fail(P2PBUS_REASON_TIMEOUT);
        }
        ping_end(bus, &ping);
        if (ping.is_answered) {
                *ret_usec = bus->now_usec - sent;
                peer = peer_find(bus, to->address, &to->key);
                if (peer)
                        peer->round_trip_usec = MAX(*ret_usec, 1U);
                return 0;
        }
        if (ping.is_denied)
                return reason_fail_denied(ping.denial);
        return r;
}

_public_ int p2pbus_ping(p2pbus *bus, const char *dest, uint64_t timeout_usec, uint64_t *ret_usec,
                         char ret_full[P2PBUS_FULL_SIZE], int *ret_remote) {
        uint64_t until, usec = 0;
        Resolved to;
        int r;

        r = bus_enter_blocking(bus);
        if (r < 0)
                return r;
        until = bus_deadline(bus, timeout_usec, P2PBUS_TIMEOUT_DEFAULT);
        r = resolve(bus, dest, until, &to);
        if (r == 0)
                r = await_pong(bus, &to, until, &usec);
        if (r == 0) {
                if (ret_usec)
                        *ret_usec = usec;
                if (ret_full)
                        (void)key_format(&to.key, ret_full);
                if (ret_remote)
                        *ret_remote = to.is_remote;
        }
        return bus_leave(bus, r);
}

/* The daemon */

/* @ret_text: the answer's body. */
static int ask_text(p2pbus *bus, Ask *ask, uint64_t timeout_usec, char **ret_text) {
        int r;

        r = bus_enter_blocking(bus);
        if (r < 0)
                return r;
        r = daemon_ask_wait(bus, ask, bus_deadline(bus, timeout_usec, P2PBUS_TIMEOUT_DEFAULT));
        if (r == 0)
                *ret_text = (char *)TAKE_PTR(ask->body);
        daemon_drop(bus, ask);
        return bus_leave(bus, r);
}

_public_ int p2pbus_query(p2pbus *bus, int kind, uint64_t timeout_usec, char **ret_text) {
        Ask ask = { .control = { .verb = CONTROL_QUERY, .value = (uint32_t)kind } };

        if (kind < P2PBUS_QUERY_STATUS || kind > P2PBUS_QUERY_SERVICES)
                return reason_fail_errno(-EINVAL, "no such query");
        return ask_text(bus, &ask, timeout_usec, ret_text);
}

_public_ int p2pbus_explain(p2pbus *bus, const char *question, uint64_t timeout_usec,
                            char **ret_text) {
        size_t n = question ? strlen(question) : 0;
        Ask ask = {
                .control = {
                        .verb = CONTROL_EXPLAIN,
                        .body = (const uint8_t *)question,
                        .n_body = n,
                },
        };

        if (n > CONTROL_QUESTION_MAX)
                return reason_fail_errno(-EINVAL, "the question is too long");
        return ask_text(bus, &ask, timeout_usec, ret_text);
}

_public_ int p2pbus_reload(p2pbus *bus, uint64_t timeout_usec) {
        Ask ask = { .control = { .verb = CONTROL_RELOAD } };
        int r;

        r = bus_enter_blocking(bus);
        if (r < 0)
                return r;
        r = daemon_ask_wait(bus, &ask, bus_deadline(bus, timeout_usec, P2PBUS_TIMEOUT_DEFAULT));
        if (r < 0 && ask.is_answered && ask.code != CODE_DENIED)
                r = reason_fail_errno(-EINVAL, "the daemon keeps its old configuration%s%s",
                                      ask.n_body > 0 ? ": " : "",
                                      ask.n_body > 0 ? (const char *)ask.body : "");
        daemon_drop(bus, &ask);
        return bus_leave(bus, r);
}

/* What we know ourselves */

static uint64_t number_or_zero(uint64_t number) {
        return number == REPORT_NONE ? 0 : number;
}

static void fill_peer(const Peer *peer, p2pbus_peer_info *info) {
        static const int paths[_REPORT_PATH_MAX] = {
                [REPORT_PATH_NONE] = P2PBUS_PATH_NONE,
                [REPORT_PATH_DAEMON] = P2PBUS_PATH_LOCAL,
                [REPORT_PATH_RING] = P2PBUS_PATH_RING,
                [REPORT_PATH_OFF_HOST] = P2PBUS_PATH_OFF_HOST,
        };
        const SessionCounters *c = session_counters(peer->session);
        Report report;

        report_peer(peer, &report);
        *info = (p2pbus_peer_info){
                .path = paths[report.path],
                .queued_messages = report.queued_messages,
                .memory_bytes = report.queued_bytes,
                .waiting_usec = report.waiting_usec,
                .sent = c->n_sent,
                .delivered = c->n_delivered,
                .refused = c->n_refused,
                .expired = c->n_expired,
                .cancelled = c->n_cancelled,
                .unknown = c->n_unknown,
                .received = c->n_received,
                .taken = c->n_taken,
                .doubles = c->n_doubles,
                .resent_records = c->n_resent,
                .ring_size = number_or_zero(report.ring_size),
                .ring_fill = number_or_zero(report.ring_out),
                .ring_fill_in = number_or_zero(report.ring_in),
                .round_trip_usec = number_or_zero(report.round_trip_usec),
        };
        if (peer->has_key)
                (void)key_format(&peer->key, info->full);
}

_public_ int p2pbus_get_peer(p2pbus *bus, const char *dest, p2pbus_peer_info *info) {
        p2pbus_peer_info found;
        Destination to;
        Peer *peer;
        int r;

        if (!info || !struct_size_is_known(info->struct_size, offsetof(p2pbus_peer_info, ring_size),
                                           sizeof(*info)))
                return reason_fail_errno(-EINVAL, "p2pbus_peer_info.struct_size is not set");
        r = destination_parse(dest, &to);
        if (r < 0)
                return r;
        r = bus_enter(bus);
        if (r < 0)
                return r;
        if (to.kind == P2PBUS_DESTINATION_NAME && !service_provider(bus, dest, &to.address))
                peer = NULL;
        else
                peer = peer_find(bus, to.address, to.has_key ? &to.key : NULL);
        if (peer) {
                fill_peer(peer, &found);
                found.struct_size = info->struct_size;
                memcpy(info, &found, found.struct_size);
        } else
                r = reason_fail_errno(-ENOENT, "no conversation with it");
        return bus_leave(bus, r);
}

_public_ int p2pbus_get_counters(p2pbus *bus, p2pbus_counters *counters) {
        p2pbus_counters all;
        int r;

        if (!counters ||
            !struct_size_is_known(counters->struct_size,
                                  offsetof(p2pbus_counters, subscriptions_refused), sizeof(all)))
                return reason_fail_errno(-EINVAL, "p2pbus_counters.struct_size is not set");
        r = bus_enter(bus);
        if (r < 0)
                return r;
        all = bus->counters;
        all.struct_size = counters->struct_size;
        all.attaches = bus->n_attaches;
        all.peers = bus->n_peers;
        memcpy(counters, &all, all.struct_size);
        return bus_leave(bus, 0);
}
