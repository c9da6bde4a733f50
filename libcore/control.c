/* SPDX-License-Identifier: Apache-2.0 */

#include "libcore/control.h"

#include "libcore/buf.h"
#include "libcore/provider.h"

#define BODY_ANY CONTROL_BODY_MAX

/* The bodies of PROTOCOL.md's table: none, exactly one size, or a range. */
static const struct {
        bool known;
        size_t least;
        size_t greatest;
} bodies[_CONTROL_VERB_MAX] = {
        [CONTROL_WELCOME] = { true, CONTROL_WELCOME_SIZE, CONTROL_WELCOME_SIZE },
        [CONTROL_ERROR] = { true, 0, CONTROL_TEXT_MAX },
        [CONTROL_OK] = { true, 0, 0 },
        [CONTROL_GOODBYE] = { true, 0, 0 },
        [CONTROL_NOTICE] = { true, 0, 0 },
        [CONTROL_NOT_LOCAL] = { true, 0, CONTROL_LEASE_SIZE },
        [CONTROL_NOW_LOCAL] = { true, 0, 0 },
        [CONTROL_QUEUE_SPACE] = { true, 0, 0 },
        [CONTROL_RESOLVE] = { true, 0, CONTROL_RELAYS_MAX },
        [CONTROL_RESOLVED] = { true, 0, CONTROL_LEASE_SIZE },
        [CONTROL_PATH_CHANGED] = { true, 0, 0 },
        [CONTROL_LEASE_REQUEST] = { true, CONTROL_LEASE_REQUEST_SIZE, CONTROL_LEASE_REQUEST_SIZE },
        [CONTROL_LEASE] = { true, CONTROL_LEASE_SIZE, CONTROL_LEASE_SIZE },
        [CONTROL_LEASED] = { true, 0, 0 },
        [CONTROL_REACHABLE] = { true, 0, 0 },
        [CONTROL_DETACHED] = { true, 0, 0 },
        [CONTROL_UNLEASED] = { true, 0, 0 },
        [CONTROL_REVOKE] = { true, CONTROL_TOMB_SIZE, CONTROL_TOMB_SIZE },
        [CONTROL_RELAYS] = { true, 0, CONTROL_RELAYS_MAX },
        [CONTROL_GATEWAY] = { true, 0, 0 },
        [CONTROL_SYNCED] = { true, 0, 0 },
        [CONTROL_LINKS] = { true, 0, 0 },
        [CONTROL_PING] = { true, 0, 0 },
        [CONTROL_PONG] = { true, 0, 0 },
        [CONTROL_LINK] = { true, 0, CONTROL_LINK_HEAD_SIZE + CONTROL_LINK_URL_MAX },
        [CONTROL_OWN] = { true, 1, PROVIDER_CLAIM_MAX },
        [CONTROL_RESOLVE_NAME] = { true, 1, CONTROL_NAME_MAX },
        [CONTROL_NAMED] = { true, 0, BODY_ANY },
        [CONTROL_SERVICE] = { true, 1, CONTROL_SERVICE_MAX },
        [CONTROL_SERVICES] = { true, 0, BODY_ANY },
        [CONTROL_MONITOR] = { true, 0, 0 },
        [CONTROL_MONITORED] = { true, CONTROL_MONITORED_HEAD_SIZE + PACKET_HEADER_SIZE, BODY_ANY },
        [CONTROL_QUERY] = { true, 0, 0 },
        [CONTROL_ANSWER] = { true, 0, BODY_ANY },
        [CONTROL_RELOAD] = { true, 0, 0 },
        [CONTROL_EXPLAIN] = { true, 0, CONTROL_QUESTION_MAX },
        [CONTROL_NETWORK] = { true, 0, BODY_ANY },
        [CONTROL_RIGHTS] = { true, 0, CONTROL_RIGHTS_MAX },
        [CONTROL_UNHEARD] = { true, 0, 0 },
        [CONTROL_RING_OFFER] = { true, 0, 0 },
        [CONTROL_RING_BELLS] = { true, CONTROL_RING_BELLS_SIZE, CONTROL_RING_BELLS_SIZE },
        [CONTROL_RING_OFFERED] = { true, 0, 0 },
        [CONTROL_RING_ANSWER] = { true, 0, 0 },
        [CONTROL_RING_ANSWERED] = { true, 0, 0 },
        [CONTROL_RING_END] = { true, 0, 0 },
        [CONTROL_RING_KEEP] = { true, 0, 0 },
        [CONTROL_RING_TAP] = { true, PACKET_HEADER_SIZE, BODY_ANY },
        [CONTROL_REPORT] = { true, 0, 0 },
        [CONTROL_REPORTED] = { true, 0, BODY_ANY },
        [CONTROL_SUBSCRIBE] = { true, 1, CONTROL_NAME_MAX },
        [CONTROL_PUBLISH] = { true, 1, BODY_ANY },
        [CONTROL_PUBLISHED] = { true, CONTROL_KEY_SIZE + 1, BODY_ANY },
        [CONTROL_TOPIC_LOST] = { true, 0, 0 },
        [CONTROL_WANTED] = { true, 0, CONTROL_KEY_SIZE + CONTROL_NAME_MAX },
        [CONTROL_READERS] = { true, 2,
                              1 + CONTROL_NAME_MAX + CONTROL_READERS_MAX *CONTROL_READER_SIZE },
};

int control_decode(const uint8_t *payload, size_t n_payload, Control *ret) {
        BufReader r = buf_reader(payload, n_payload);
        Control c;

        c.verb = buf_get_le16(&r);
        c.code = buf_get_le16(&r);
        c.value = buf_get_le32(&r);
        buf_get_bytes(&r, c.ref.bytes, sizeof(c.ref.bytes));
        c.address.pid = buf_get_be64(&r);
        c.address.tag = buf_get_be32(&r);
        c.n_body = buf_left(&r);
        c.body = buf_get(&r, c.n_body);
        if (r.failed || c.verb == 0)
                return CONTROL_E_VIOLATION;

        if (c.verb >= _CONTROL_VERB_MAX || !bodies[c.verb].known)
                return CONTROL_E_UNKNOWN;
        if (c.n_body < bodies[c.verb].least || c.n_body > bodies[c.verb].greatest)
                return CONTROL_E_VIOLATION;
        *ret = c;
        return 0;
}

void control_encode(const Control *c, uint8_t *out) {
        BufWriter w = buf_writer(out, CONTROL_HEAD_SIZE + c->n_body);

        buf_put_le16(&w, c->verb);
        buf_put_le16(&w, c->code);
        buf_put_le32(&w, c->value);
        buf_put_bytes(&w, c->ref.bytes, sizeof(c->ref.bytes));
        buf_put_be64(&w, c->address.pid);
        buf_put_be32(&w, c->address.tag);
        buf_put_bytes(&w, c->body, c->n_body);
}

void control_packet_encode(const Control *c, Address src, Address dst, const PacketId *id,
                           uint8_t *out) {
        PacketHeader header = {
                .size = (uint32_t)control_packet_size(c),
                .src = src,
                .dst = dst,
                .id = *id,
                .kind = PACKET_CONTROL,
        };

        packet_header_encode(&header, out);
        control_encode(c, out + PACKET_HEADER_SIZE);
}

const char *control_code_text(uint16_t code) {
        static const char *const texts[_CODE_MAX] = {
                [CODE_OK] = "done",
                [CODE_NOT_HERE] = "no such destination",
                [CODE_GONE] = "the destination has left",
                [CODE_SETTLING] = "the bus is still starting",
                [CODE_NO_ROUTE] = "not on this host, and no relay to ask",
                [CODE_AMBIGUOUS] = "several processes share this PID; use the tagged or full form",
                [CODE_WRONG_KEY] = "a process with this PID is here, but with another key",
                [CODE_DENIED] = "refused by policy",
                [CODE_QUOTA] = "over the quota of this user",
                [CODE_QUEUE_FULL] = "the receiver's queue is full",
                [CODE_TOO_BIG] = "message too big",
                [CODE_EXPIRED] = "expired before it was delivered",
                [CODE_OVERLOAD] = "a relay or bridge is overloaded",
                [CODE_BUSY] = "already in use",
                [CODE_BAD_SIGNATURE] = "the signature does not verify",
                [CODE_BAD_CREDENTIALS] = "the credentials do not match",
                [CODE_VIOLATION] = "protocol violation",
                [CODE_UNSUPPORTED] = "not supported by the other side",
                [CODE_RATE] = "too many in too short a time",
                [CODE_REPLACED] = "replaced by another process with the same key",
                [CODE_SHUTDOWN] = "shutting down",
                [CODE_CLOCK] = "the clocks differ too much",
                [CODE_NO_PROVIDER] = "nobody provides this name",
                [CODE_TIMEOUT] = "timed out",
                [CODE_NOT_LEASED] = "the source is not leased to this bridge",
        };

        return code < _CODE_MAX && texts[code] ? texts[code] : "unknown reason";
}
