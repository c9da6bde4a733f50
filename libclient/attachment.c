/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The first attach belongs to p2pbus_open(): whatever goes wrong ends the handle. Later ones are
 * made again for ever, with growing waits, and only three things end the handle: another process
 * took its key over, the user did not want to reconnect, or the keys are a parent's.
 */

#include "config.h"

#include "libclient/attachment.h"

#include "libclient/daemon.h"
#include "libclient/introduction.h"
#include "libclient/loop.h"
#include "libclient/monitor.h"
#include "libclient/own-name.h"
#include "libclient/peer.h"
#include "libclient/reason.h"
#include "libclient/rights.h"
#include "libclient/topic-remote.h"
#include "libclient/topic.h"
#include "libcore/buf.h"
#include "libcore/err.h"

#define WAIT_FIRST_USEC (20 * USEC_PER_MSEC)
#define WAIT_MAX_USEC USEC_PER_SEC
#define SETTLING_USEC (5 * USEC_PER_SEC)

/* Clients that lost the same daemon shall not come back all at once. */
static void try_later(p2pbus *bus) {
        uint64_t wait = bus->connect_wait_usec;

        wait = wait / 2 + crypto_random_u64() % (wait / 2 + 1);
        bus->connect_wait_usec = MIN(2 * bus->connect_wait_usec, WAIT_MAX_USEC);
        (void)timer_set(&bus->timers, &bus->connect_timer, bus->now_usec + wait);
}

static void on_connect_timer(Timer *timer, uint64_t now) {
        p2pbus *bus = container_of(timer, p2pbus, connect_timer);

        (void)now;
        if (bus->connection && !bus->is_up)
                attachment_lost(bus, P2PBUS_REASON_TIMEOUT);
        else if (!bus->connection)
                (void)attachment_connect(bus);
}

static uint16_t attach_flags(const p2pbus *bus) {
        uint16_t flags = 0;

        flags |= bus->is_ephemeral ? ATTACH_EPHEMERAL : 0;
        flags |= bus->flags & P2PBUS_TAKEOVER ? ATTACH_TAKEOVER : 0;
        flags |= bus->flags & P2PBUS_OFF_HOST ? ATTACH_OFF_HOST : 0;
        flags |= bus->flags & P2PBUS_NO_MONITOR ? ATTACH_NO_MONITOR : 0;
        return flags;
}

int attachment_connect(p2pbus *bus) {
        const ConnectionOptions options = {
                .path = bus->path,
                .identity = bus->identity,
                .flags = attach_flags(bus),
        };
        int r;

        bus->connect_timer.on_due = on_connect_timer;
        if (bus->connect_wait_usec == 0)
                bus->connect_wait_usec = WAIT_FIRST_USEC;

        r = connection_new(&bus->connection, &options);
        if (r == 0) {
                r = loop_watch(bus, connection_fd(bus->connection));
                if (r < 0)
                        bus->connection = connection_free(bus->connection);
        }
        if (r != 0) {
                if (r > 0)
                        bus->away_reason = reason_of(r);
                try_later(bus);
                return r;
        }
        (void)timer_set(&bus->timers, &bus->connect_timer, bus->now_usec + BUS_CONNECT_USEC);
        return 0;
}

/* One message of the largest size can always be received, with what its records add. */
static void make_room_for_largest(p2pbus *bus) {
        uint64_t need = bus->welcome.message_max + bus->welcome.message_max / 16 + 4096;

        if (need > bus->quota.size) {
                bus->quota.left += need - bus->quota.size;
                bus->quota.size = need;
        }
}

void attachment_make_sealer(p2pbus *bus) {
        if (!bus->sealer && sealer_new(&bus->sealer, bus->identity, bus_wall(bus)) < 0)
                bus->counters.bad_packets++; /* sealed ones are, without it */
}

static void on_welcome(p2pbus *bus) {
        bool is_restart;

        bus->is_up = true;
        bus->away_reason = 0;
        is_restart = memcmp(bus->welcome.instance, connection_welcome(bus->connection)->instance,
                            sizeof(bus->welcome.instance)) != 0;
        bus->welcome = *connection_welcome(bus->connection);
        bus->welcomed_usec = bus->now_usec;
        bus->hello_flags = bus->welcome.hello_flags;
        network_rules_done(&bus->network); /* this daemon says its own, before the first lease */
        bus->n_reachable = 0;
        bus->connect_wait_usec = WAIT_FIRST_USEC;
        bus->n_attaches++;
        timer_clear(&bus->timers, &bus->connect_timer);
        if (is_restart)
                bus->has_lease = false; /* it will ask for another */

        if (bus->welcome.flags & ATTACH_OFF_HOST)
                attachment_make_sealer(bus);
        rights_attached(bus);

        make_room_for_largest(bus);

        own_name_claim_again(bus);
        topic_subscribe_again(bus);
        topic_remote_forget(bus);
        monitor_ask_again(bus);
        daemon_ask_again(bus);
        introduction_keep_all(bus);
        bus->generation++;
        peer_update_all_paths(bus, false);
        bus_happened(bus);
}

void attachment_update(p2pbus *bus) {
        if (!bus->is_up && connection_is_up(bus->connection))
                on_welcome(bus);
}

static bool is_final(const p2pbus *bus, int reason) {
        return bus->n_attaches == 0 || (bus->flags & P2PBUS_NO_RECONNECT) ||
                reason == P2PBUS_REASON_REPLACED || reason == P2PBUS_REASON_FORKED;
}

void attachment_lost(p2pbus *bus, int reason) {
        if (bus->is_closed)
                return;
        loop_unwatch(bus, connection_fd(bus->connection));
        bus->connection = connection_free(bus->connection);
        bus->is_up = false;
        bus->away_reason = reason;
        bus->hello_flags = 0;
        bus->n_reachable = 0;
        introduction_forget_offers(bus);
        bus_happened(bus);

        if (is_final(bus, reason)) {
                bus_end(bus, reason);
                return;
        }
        peer_update_all_paths(bus, false);
        try_later(bus);
}

bool attachment_is_settling(const p2pbus *bus) {
        return bus->n_attaches > 1 &&
                bus->welcome.age_usec + (bus->now_usec - bus->welcomed_usec) < SETTLING_USEC;
}

/* Leases */

void attachment_on_lease_request(p2pbus *bus, const Control *control) {
        BufReader body = buf_reader(control->body, control->n_body);
        SignedRecord lease = {
                .type = SIGNED_RECORD_LEASE,
                .lease.flags = control->value & (LEASE_MAY_QUEUE | LEASE_LISTED | LEASE_TRANSIENT),
        };
        uint64_t now = bus_wall(bus);
        uint8_t bytes[SIGNED_RECORD_LEASE_SIZE];
        size_t n;

        if (!bus->sealer)
                return;
        /* It came between HELLO and our attach, too late for the one and too early for a NOTICE. */
        bus->hello_flags |= HELLO_OFF_HOST;
        bus_happened(bus);
        buf_get_bytes(&body, lease.lease.bridge.bytes, KEY_SIZE);
        lease.issued_usec = buf_get_le64(&body);
        lease.not_after_usec = buf_get_le64(&body);
        /* Whoever asks on behalf of a bridge gets our word for now and a day, not for ever. */
        if (!buf_reader_done(&body) || lease.issued_usec > now + SIGNED_RECORD_SKEW_USEC ||
            lease.issued_usec + SIGNED_RECORD_SKEW_USEC < now ||
            lease.not_after_usec <= lease.issued_usec ||
            lease.not_after_usec - lease.issued_usec > 24 * SIGNED_RECORD_LEASE_LIFE_USEC) {
                bus->counters.bad_packets++;
                return;
        }
        if (bus->is_ephemeral) {
                lease.lease.flags |= LEASE_TRANSIENT;
                lease.not_after_usec = MIN(lease.not_after_usec,
                                           lease.issued_usec + SIGNED_RECORD_TRANSIENT_LIFE_USEC);
        }
        (void)sealer_rotate(bus->sealer, now, bus->sealing.key_life_usec); /* else the old one */
        memcpy(lease.lease.encpk, sealer_encpk(bus->sealer), sizeof(lease.lease.encpk));
        lease.lease.enc_until_usec = lease.not_after_usec;

        if (signed_record_sign(&lease, bus->identity, bytes, sizeof(bytes), &n) != 0 ||
            sealer_set_lease(bus->sealer, bytes, n) < 0)
                return;
        memcpy(bus->lease, bytes, sizeof(bytes));
        bus->has_lease = true;
        bus->lease_life_usec = lease.not_after_usec - lease.issued_usec;
        (void)connection_queue_control(bus->connection,
                                       &(Control){ .verb = CONTROL_LEASE,
                                                   .address = bus->self.address,
                                                   .body = bytes,
                                                   .n_body = n },
                                       NULL);
        own_name_announce(bus);
        peer_update_all_paths(bus, true);
        topic_remote_flush(bus);
}
