/* SPDX-License-Identifier: Apache-2.0 */

#include "relay/counters.h"

static const struct {
        const char *name;
        const char *help;
} table[_COUNTER_MAX] = {
        // clang-format off
        [COUNT_SOCKETS_ACCEPTED] = { "sockets_accepted",
                "TCP connections admitted" },
        [COUNT_SOCKETS_REFUSED] = { "sockets_refused",
                "TCP connections closed by a limit" },
        [COUNT_HANDSHAKES_FAILED] = { "handshakes_failed",
                "Links that broke off before they were up" },
        [COUNT_HANDSHAKES_LATE] = { "handshakes_late",
                "Links not up in time" },
        [COUNT_LINKS_REFUSED] = { "links_refused",
                "Bridges with a proven key that may not use this relay" },
        [COUNT_LINKS_OPENED] = { "links_opened",
                "Links that came up" },
        [COUNT_LINKS_CLOSED] = { "links_closed",
                "Links that ended" },
        [COUNT_LINKS_VIOLATED] = { "links_violated",
                "Links closed for a violation of the protocol" },
        [COUNT_LINKS_STALLED] = { "links_stalled",
                "Links closed because they took nothing" },
        [COUNT_LINKS_SILENT] = { "links_silent",
                "Links closed because they answered nothing" },
        [COUNT_MESSAGES_IN] = { "messages_in",
                "Transport messages received" },
        [COUNT_MESSAGES_OUT] = { "messages_out",
                "Transport messages sent" },
        [COUNT_BYTES_IN] = { "bytes_in",
                "Bytes of transport messages received" },
        [COUNT_BYTES_OUT] = { "bytes_out",
                "Bytes of transport messages sent" },
        [COUNT_PACKETS_IN] = { "packets_in",
                "Packets received, control words included" },
        [COUNT_PACKETS_FORWARDED] = { "packets_forwarded",
                "Packets queued for another link" },
        [COUNT_PACKETS_OUT] = { "packets_out",
                "Packets sent, control words included" },
        [COUNT_DROPPED_UNLEASED] = { "dropped_unleased",
                "Packets whose source has no lease on their link" },
        [COUNT_DROPPED_NOT_HERE] = { "dropped_not_here",
                "Packets to an address without a route" },
        [COUNT_DROPPED_AMBIGUOUS] = { "dropped_ambiguous",
                "Packets to a PID that several keys share" },
        [COUNT_DROPPED_WRONG_KEY] = { "dropped_wrong_key",
                "Packets to a PID whose key is another" },
        [COUNT_DROPPED_OVERLOAD] = { "dropped_overload",
                "Packets to a link whose queue was full" },
        [COUNT_DROPPED_HOPS] = { "dropped_hops",
                "Packets that passed too many forwarders" },
        [COUNT_DROPPED_EXPIRED] = { "dropped_expired",
                "Packets that waited longer than their sender allows" },
        [COUNT_DROPPED_LINK_CLOSED] = { "dropped_link_closed",
                "Packets that waited for a link that ended" },
        [COUNT_DROPPED_MEMORY] = { "dropped_memory",
                "Packets dropped for want of memory" },
        [COUNT_ERRORS_SENT] = { "errors_sent",
                "Refusals told to senders" },
        [COUNT_ERRORS_SUPPRESSED] = { "errors_suppressed",
                "Refusals not told, because of their rate" },
        [COUNT_CONTROL_UNSUPPORTED] = { "control_unsupported",
                "Control words that a relay does not take" },
        [COUNT_PAUSED] = { "paused",
                "Times that reading of a link was paused" },
        [COUNT_LEASES_TAKEN] = { "leases_taken",
                "Leases accepted, repeated ones included" },
        [COUNT_LEASES_WITHDRAWN] = { "leases_withdrawn",
                "Leases withdrawn, or their process detached" },
        [COUNT_LEASES_REFUSED] = { "leases_refused",
                "Leases refused" },
        [COUNT_LEASES_VERIFIED] = { "leases_verified",
                "Signatures of leases verified" },
        [COUNT_LEASES_EQUIVOCAL] = { "leases_equivocal",
                "Different leases of one key issued at one time" },
        [COUNT_KEYS_REVOKED] = { "keys_revoked_now",
                "Revocations that were new" },
        [COUNT_LOOKUPS] = { "lookups",
                "Questions for an address" },
        [COUNT_LOOKUPS_FOUND] = { "lookups_found",
                "Questions answered with a lease" },
        [COUNT_LOOKUPS_REFUSED] = { "lookups_refused",
                "Questions over the rate" },
        [COUNT_HTTP_REQUESTS] = { "http_requests",
                "Plain HTTP requests" },
        // clang-format on
};

const char *counter_name(Counter counter) {
        return table[counter].name;
}

const char *counter_help(Counter counter) {
        return table[counter].help;
}
