/* SPDX-License-Identifier: Apache-2.0 */

#include "libclient/session-probe.h"

#include "libclient/session.h"

void session_probe_init(SessionProbe *probe) {
        *probe = (SessionProbe){ .at = USEC_NEVER };
}

void session_probe_arm(SessionProbe *probe, uint64_t first_wait, bool sooner, uint64_t now_usec) {
        if (probe->at == USEC_NEVER)
                probe->at = now_usec + (probe->wait > 0 ? probe->wait : first_wait);
        else if (sooner && probe->wait == 0)
                probe->at = MIN(probe->at, now_usec + first_wait);
}

void session_probe_calm(SessionProbe *probe, bool keep_wait) {
        probe->is_due = probe->with_one = false;
        if (probe->maybe_lost) /* what was refused on the way is still to be asked for */
                return;
        if (!keep_wait || probe->for_life)
                probe->wait = 0;
        probe->at = USEC_NEVER;
}

void session_probe_ask(SessionProbe *probe, bool with_one, uint64_t now_usec) {
        uint64_t wait = probe->at - now_usec;

        probe->is_due = probe->is_asked = true;
        probe->with_one = with_one;
        probe->for_life = !with_one;
        probe->wait = MAX(wait, MIN(2 * wait, (uint64_t)SESSION_PROBE_MAX_USEC));
        probe->at = now_usec + probe->wait;
}

void session_probe_doubt(SessionProbe *probe, uint64_t wait, uint64_t now_usec) {
        if (probe->maybe_lost)
                return;
        probe->maybe_lost = true;
        probe->wait = wait;
        probe->at = now_usec + wait;
}
