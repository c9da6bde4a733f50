/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Counters: everything that happened, and every reason why something was dropped
 *
 * One enum, one table of names (counters.c): the names are an interface, shown by /metrics and
 * used as P2PBUS_REASON in the log.
 */

#include <stdint.h>

typedef enum Counter {
        COUNT_SOCKETS_ACCEPTED,
        COUNT_SOCKETS_REFUSED, /* by a limit, before anything was read */
        COUNT_HANDSHAKES_FAILED,
        COUNT_HANDSHAKES_LATE,
        COUNT_LINKS_REFUSED, /* proven, but not welcome */
        COUNT_LINKS_OPENED,
        COUNT_LINKS_CLOSED,
        COUNT_LINKS_VIOLATED, /* closed for what the bridge sent */
        COUNT_LINKS_STALLED,  /* closed: took nothing for too long */
        COUNT_LINKS_SILENT,   /* closed: said nothing for too long */

        COUNT_MESSAGES_IN,
        COUNT_MESSAGES_OUT,
        COUNT_BYTES_IN,
        COUNT_BYTES_OUT,
        COUNT_PACKETS_IN,
        COUNT_PACKETS_FORWARDED,
        COUNT_PACKETS_OUT,

        COUNT_DROPPED_UNLEASED,
        COUNT_DROPPED_NOT_HERE, /* and GONE, SETTLING */
        COUNT_DROPPED_AMBIGUOUS,
        COUNT_DROPPED_WRONG_KEY,
        COUNT_DROPPED_OVERLOAD,
        COUNT_DROPPED_HOPS,
        COUNT_DROPPED_EXPIRED,
        COUNT_DROPPED_LINK_CLOSED, /* waited for a link that ended */
        COUNT_DROPPED_MEMORY,

        COUNT_ERRORS_SENT,
        COUNT_ERRORS_SUPPRESSED,
        COUNT_CONTROL_UNSUPPORTED,
        COUNT_PAUSED, /* reading of a link stopped for its rate */

        COUNT_LEASES_TAKEN,
        COUNT_LEASES_WITHDRAWN,
        COUNT_LEASES_REFUSED,
        COUNT_LEASES_VERIFIED, /* signatures, the dear part */
        COUNT_LEASES_EQUIVOCAL,
        COUNT_KEYS_REVOKED,
        COUNT_SERVICES_TAKEN,
        COUNT_SERVICES_REFUSED,

        COUNT_WANTS_TAKEN,
        COUNT_WANTS_REFUSED,

        COUNT_LOOKUPS,
        COUNT_LOOKUPS_FOUND,
        COUNT_LOOKUPS_REFUSED, /* over the rate */

        COUNT_HTTP_REQUESTS,
        _COUNTER_MAX,
} Counter;

typedef struct Counters {
        uint64_t values[_COUNTER_MAX];
} Counters;

/* "packets_forwarded": without prefix, suffix or unit. */
const char *counter_name(Counter counter);
/* One line for people. */
const char *counter_help(Counter counter);

static inline void count(Counters *counters, Counter counter) {
        counters->values[counter]++;
}

static inline void count_many(Counters *counters, Counter counter, uint64_t n) {
        counters->values[counter] += n;
}
