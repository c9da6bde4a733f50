/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Packets are kept as they came and read when they are fetched: reading is as slow as the user.
 * They may have been cut anywhere by the daemon, so that only as much is believed of a record as is
 * there.
 */

#include "config.h"

#include "libclient/monitor.h"

#include <utlist.h>

#include "libclient/daemon.h"
#include "libclient/loop.h"
#include "libclient/reason.h"
#include "libclient/rights.h"
#include "libclient/send.h"
#include "libcore/buf.h"
#include "libcore/err.h"

#define QUEUE_MAX (4U << 20)
#define WATCHES_MAX 64

typedef struct Seen Seen;
struct Seen {
        Seen *prev, *next;
        uint64_t time_usec;
        uint32_t value; /* of MONITORED */
        size_t n_packet;
        uint8_t packet[];
};

struct MonitorQueue {
        Seen *seen; /* list */
        size_t n_bytes;
        uint64_t n_lost;
        Seen *last; /* that p2pbus_monitor_next() gave out: the user looks into it */
        char type[P2PBUS_TYPE_MAX + 1];
};

/* What was asked for, and is asked for again after each attach. */
struct Watch {
        uint32_t value;
        Address address;
        Ask ask;
        Watch *next;
};

void monitor_consume(p2pbus *bus, const Control *control) {
        MonitorQueue *q = bus->monitor;
        BufReader body = buf_reader(control->body, control->n_body);
        Seen *seen;
        size_t n;

        if (!q || control->n_body < CONTROL_MONITORED_HEAD_SIZE + PACKET_HEADER_SIZE)
                return;
        q->n_lost += control->value / MONITORED_LOST;
        n = control->n_body - CONTROL_MONITORED_HEAD_SIZE;
        seen = q->n_bytes + n + sizeof(*seen) > QUEUE_MAX ? NULL : malloc(sizeof(*seen) + n);
        if (!seen) {
                q->n_lost++;
                return;
        }
        seen->time_usec = buf_get_le64(&body);
        seen->value = control->value;
        seen->n_packet = n;
        buf_get_bytes(&body, seen->packet, n);
        q->n_bytes += sizeof(*seen) + n;
        DL_APPEND(q->seen, seen);
        bus_happened(bus);
}

static Control watch_control(uint32_t value, Address address) {
        return (Control){ .verb = CONTROL_MONITOR, .value = value, .address = address };
}

static void on_watched(p2pbus *bus, Ask *ask) {
        rights_answered(bus, P2PBUS_RIGHT_MONITOR, "", ask, &bus->rights.is_monitor_lost);
        daemon_drop(bus, ask);
}

static void prepare_again(p2pbus *bus, Watch *watch) {
        daemon_drop(bus, &watch->ask);
        watch->ask.control = watch_control(watch->value, watch->address);
        watch->ask.on_answer = on_watched;
        watch->ask.is_answered = false;
}

void monitor_ask_again(p2pbus *bus) {
        Watch *watch;

        LL_FOREACH(bus->watches, watch) {
                prepare_again(bus, watch);
                DL_APPEND(bus->asks, &watch->ask); /* daemon_ask_again() follows */
        }
}

void monitor_ask_lost(p2pbus *bus) {
        Watch *watch;

        if (!bus->rights.is_monitor_lost)
                return;
        LL_FOREACH (bus->watches, watch) {
                prepare_again(bus, watch);
                daemon_ask(bus, &watch->ask);
        }
}

void monitor_on_denied(p2pbus *bus, const char *text) {
        if (bus->watches)
                rights_denied(bus, P2PBUS_RIGHT_MONITOR, "", text, &bus->rights.is_monitor_lost);
}

void monitor_free(p2pbus *bus) {
        MonitorQueue *q = bus->monitor;

        while (bus->watches) {
                Watch *watch = bus->watches;

                daemon_drop(bus, &watch->ask);
                bus->watches = watch->next;
                free(watch);
        }
        if (!q)
                return;
        while (q->seen) {
                Seen *seen = q->seen;

                DL_DELETE(q->seen, seen);
                free(seen);
        }
        free(q->last);
        free(q);
        bus->monitor = NULL;
}

static int watch_add(p2pbus *bus, uint32_t value, Address address) {
        Watch *watch;
        int n = 0;

        LL_FOREACH(bus->watches, watch) {
                n++;
                if (watch->value == value && address_equal(watch->address, address))
                        return 0;
        }
        if (n >= WATCHES_MAX)
                return reason_fail_errno(-EINVAL, "at most %d processes can be watched",
                                         WATCHES_MAX);
        watch = calloc(1, sizeof(*watch));
        if (!watch)
                return reason_fail_errno(-ENOMEM, "out of memory");
        watch->value = value;
        watch->address = address;
        LL_PREPEND(bus->watches, watch);
        return 0;
}

_public_ int p2pbus_monitor_start(p2pbus *bus, int full, const char *peer, uint64_t timeout_usec) {
        uint32_t value = full ? MONITOR_FULL : MONITOR_HEADERS;
        Destination to = { .address = { .pid = PID_NONE } };
        Ask ask = { 0 };
        int r;

        if (peer) {
                r = destination_parse(peer, &to);
                if (r == 0 && to.kind == P2PBUS_DESTINATION_NAME)
                        r = reason_fail_text(P2PBUS_REASON_BAD_DESTINATION, "%.64s is no PID",
                                             peer);
                if (r < 0)
                        return r;
        }
        r = bus_enter_blocking(bus);
        if (r < 0)
                return r;
        if (!bus->monitor) {
                bus->monitor = calloc(1, sizeof(*bus->monitor));
                if (!bus->monitor)
                        return bus_leave(bus, reason_fail_errno(-ENOMEM, "out of memory"));
        }
        ask.control = watch_control(value, to.address);
        r = daemon_ask_wait(bus, &ask, bus_deadline(bus, timeout_usec, P2PBUS_TIMEOUT_DEFAULT));
        daemon_drop(bus, &ask);
        if (r == 0)
                r = watch_add(bus, value, to.address);
        if (r == 0)
                bus->rights.is_monitor_lost = false;
        return bus_leave(bus, r);
}

/* Reading */

static void read_type(MonitorQueue *q, const uint8_t *extensions, size_t n, p2pbus_seen *seen) {
        BufReader r = buf_reader(extensions, n);

        while (buf_left(&r) > 0) {
                uint8_t type = buf_get_u8(&r);
                uint16_t size = buf_get_le16(&r);
                const uint8_t *text = buf_get(&r, size);

                if (!text)
                        return;
                if (type == MESSAGE_EXT_TYPE && size > 0 && size <= P2PBUS_TYPE_MAX) {
                        memcpy(q->type, text, size);
                        q->type[size] = '\0';
                        seen->type = q->type;
                }
        }
}

static void read_message(MonitorQueue *q, BufReader *r, p2pbus_seen *seen) {
        const uint8_t *extensions;
        PacketId id, reply_to;
        uint16_t n_extensions;

        seen->kind = buf_get_u8(r);
        (void)buf_get_u8(r);
        n_extensions = buf_get_le16(r);
        (void)buf_get_le32(r);
        buf_get_bytes(r, &id, sizeof(id));
        buf_get_bytes(r, &reply_to, sizeof(reply_to));
        seen->message_bytes = buf_get_le64(r);
        if (r->failed) {
                seen->kind = 0;
                seen->message_bytes = 0;
                return;
        }
        (void)message_format_id(&id, seen->id);
        if (reply_to.bytes[0] | reply_to.bytes[PACKET_ID_SIZE - 1] | load_le64(reply_to.bytes + 8))
                (void)message_format_id(&reply_to, seen->reply_to);
        if (n_extensions == 0)
                return;
        extensions = buf_get(r, MIN((size_t)n_extensions, buf_left(r)));
        if (extensions)
                read_type(q, extensions, n_extensions, seen);
}

/* The record that carries payload, if there is one: in the clear a packet has at most one. */
static void read_records(MonitorQueue *q, const uint8_t *data, size_t n, p2pbus_seen *seen) {
        BufReader r = buf_reader(data, n);

        seen->seen = n > 0 ? P2PBUS_SEEN_SESSION : P2PBUS_SEEN_RECORDS;
        while (buf_left(&r) >= RECORD_HEADER_SIZE) {
                uint8_t type = buf_get_u8(&r);
                uint16_t size;

                (void)buf_get_u8(&r);
                size = buf_get_le16(&r);
                (void)buf_get(&r, RECORD_HEADER_SIZE - 4);
                if (type != RECORD_MSG && type != RECORD_PART) {
                        (void)buf_get(&r, size);
                        continue;
                }
                seen->seen = type == RECORD_MSG ? P2PBUS_SEEN_MESSAGE : P2PBUS_SEEN_PART;
                if (type == RECORD_MSG)
                        read_message(q, &r, seen);
                seen->n_payload = buf_left(&r);
                seen->payload = seen->n_payload > 0 ? buf_get(&r, seen->n_payload) : NULL;
                return;
        }
}

static int path_of(const PacketHeader *header, uint32_t value) {
        if (header->kind == PACKET_SEALED || header->hflags & PACKET_REMOTE)
                return P2PBUS_PATH_OFF_HOST;
        return value & MONITORED_SELF_REPORTED ? P2PBUS_PATH_RING : P2PBUS_PATH_LOCAL;
}

static int read_packet(MonitorQueue *q, const Seen *s, p2pbus_seen *ret) {
        PacketHeader header;

        if (packet_header_decode(s->packet, s->n_packet, &header) != 0)
                return -EPROTO;
        *ret = (p2pbus_seen){
                .struct_size = sizeof(*ret),
                .remote = header.hflags & PACKET_REMOTE ? 1 : 0,
                .truncated = s->value & MONITORED_CUT ? 1 : 0,
                .path = path_of(&header, s->value),
                .time_usec = s->time_usec,
                .packet_bytes = header.size,
                .packet = s->packet,
                .n_packet = s->n_packet,
        };
        (void)pid_format(header.src.pid, ret->from);
        (void)pid_format(header.dst.pid, ret->to);
        (void)message_format_id(&header.id, ret->id);
        switch (header.kind) {
        case PACKET_SEALED:
                ret->seen = P2PBUS_SEEN_SEALED;
                break;
        case PACKET_CONTROL:
                ret->seen = P2PBUS_SEEN_CONTROL;
                break;
        default:
                read_records(q, s->packet + PACKET_HEADER_SIZE, s->n_packet - PACKET_HEADER_SIZE,
                             ret);
        }
        return 0;
}

static int next(p2pbus *bus, uint64_t until, p2pbus_seen *ret) {
        MonitorQueue *q = bus->monitor;
        int r = 0;

        do {
                while (r == 0 && !q->seen)
                        r = loop_wait(bus, until);
                if (!q->seen)
                        return r == -ETIMEDOUT ? -EAGAIN : r;
                free(q->last);
                q->last = q->seen;
                DL_DELETE(q->seen, q->last);
                q->n_bytes -= sizeof(*q->last) + q->last->n_packet;
                r = 0;
        } while (read_packet(q, q->last, ret) < 0);
        return 0;
}

_public_ int p2pbus_monitor_next(p2pbus *bus, uint64_t timeout_usec, p2pbus_seen *seen,
                                 uint64_t *ret_lost) {
        p2pbus_seen found;
        int r;

        if (!seen || !struct_size_is_known(seen->struct_size, offsetof(p2pbus_seen, path),
                                           sizeof(*seen)))
                return reason_fail_errno(-EINVAL, "p2pbus_seen.struct_size is not set");
        r = timeout_usec > 0 ? bus_enter_blocking(bus) : bus_enter(bus);
        if (r < 0)
                return r;
        if (!bus->monitor)
                return bus_leave(bus, reason_fail_errno(-EINVAL, "nothing is watched yet"));
        r = next(bus, bus_deadline(bus, timeout_usec, 0), &found);
        if (r == 0) {
                found.struct_size = seen->struct_size;
                memcpy(seen, &found, found.struct_size);
        }
        if (r == 0 && ret_lost) {
                *ret_lost = bus->monitor->n_lost;
                bus->monitor->n_lost = 0;
        }
        return bus_leave(bus, r);
}
