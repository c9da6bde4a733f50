/* SPDX-License-Identifier: Apache-2.0 */

/* What the peer says of what it was sent, and what those on the way say. */

#include "libclient/session-out.h"

#include <utlist.h>

#include "libclient/message-records.h"
#include "libclient/session-in.h"
#include "libcore/control.h"

#define LIMIT_MAX (UINT64_C(1) << 62) /* no honest peer grants that much */

/* A SKIP that came before what lies in front of it was passed over: now it fits. */
static void repeat_reached_skips(SessionOut *out, uint64_t before) {
        Message *m;

        DL_FOREACH (out->skipping, m) {
                if (m->skip_number >= out->skipping->skip_number + SESSION_SKIPS_MAX)
                        break;
                if (m->first_seq >= before && m->first_seq <= out->received)
                        m->skip_due = out->skips_due = true;
        }
}

static void note_received(SessionOut *out, uint64_t received) {
        uint64_t before = out->received;

        out->received = received;
        while (out->unreceived && out->unreceived->last_seq < received) {
                out->received_position = out->unreceived->last_position;
                out->unreceived = out->unreceived->next;
        }
        if (received == out->next_seq)
                out->received_position = out->position;
        else if (out->unreceived && out->unreceived->first_seq <= received)
                out->received_position =
                        out->unreceived->first_position +
                        message_records_before(out->unreceived, out->body_max,
                                               received - out->unreceived->first_seq);
        if (out->skipping)
                repeat_reached_skips(out, before);
}

static void note_taken(SessionOut *out, uint64_t taken) {
        out->taken = taken;
        while (out->sent && out->sent->last_seq < taken) {
                Message *m = out->sent;

                session_out_remove_sent(out, m);
                session_out_finish(out, m, RESULT_DELIVERED);
        }
}

int session_out_ack(SessionOut *out, const Record *r, bool strict, uint64_t now_usec,
                    bool *ret_progress) {
        uint64_t received = r->ack.received, taken = r->ack.taken, limit = r->ack.limit;
        bool older = received < out->received || taken < out->taken || limit < out->limit;
        bool newer = received > out->received || taken > out->taken || limit > out->limit;
        bool arrived = false;

        *ret_progress = false;
        if (received > out->next_seq || taken > received || limit > LIMIT_MAX ||
            (older && (newer || strict)) ||
            (r->ack.n_ranges > 0 && r->ack.ranges[r->ack.n_ranges - 1].last >= out->next_seq))
                return SESSION_E_VIOLATION;
        if (older)
                return 0; /* overtaken by a later one */

        if (received != out->received)
                note_received(out, received);
        if (taken != out->taken)
                note_taken(out, taken);
        out->limit = limit;
        /* A ring keeps the order, and another path had ended it: what is missing in front of a later
         * record was read, and found no memory. It does not come again. */
        if (out->ranges || r->ack.n_ranges > 0) {
                ranges_note(&out->ranges, r);
                session_out_lose(out, ranges_last(out->ranges), RESULT_UNKNOWN);
        }
        if (out->flight && flight_on_ack(out->flight, r, now_usec, &arrived))
                session_out_repair(out);
        *ret_progress = newer || arrived;
        return 0;
}

/* Its peer never delivers it; but one that ends cannot speak for its next life, which may. */
static void refuse(SessionOut *out, Message *m, uint16_t reason) {
        if (reason != CODE_GONE && session_out_let_go(out, m, reason, reason) == 0)
                return;
        session_out_abandon(out, m, reason);
        m->was_refused = true;
}

/*
 * Refusals of one packet come in the order of what they refuse, so all of them are found in one walk: who
 * has been granted much has sent much, and a packet of nonsense must not cost a walk for each of its words.
 * What is out of order is not found, and said again.
 */
int session_out_skipped(SessionOut *out, const Record *r, bool *ret_progress) {
        Message *m;

        *ret_progress = false;
        if (r->skipped.last >= out->next_seq)
                return SESSION_E_VIOLATION;

        DL_FOREACH (out->skipping, m) {
                if (m->skip_number >= out->skipping->skip_number + SESSION_SKIPS_MAX)
                        break;
                if (m->first_seq != r->seq)
                        continue;
                if (m->last_seq != r->skipped.last || r->skipped.reason != 0)
                        return 0; /* a refusal that our SKIP has met, or is yet to meet */
                *ret_progress = true;
                DL_DELETE(out->skipping, m);
                out->skips_due = true; /* those behind may go now */
                session_out_finish(out, m,
                                   r->skipped.from > m->last_seq ? RESULT_DELIVERED : m->fate);
                return 0;
        }

        /* A refusal: `taken` cannot pass it, and it is said again until we have given it up. */
        if (r->skipped.reason == 0 || r->seq >= out->received)
                return 0;
        if (r->seq < out->passed_seq)
                return 0;
        m = out->passed_seq > 0 ? out->passed : out->sent;
        while (m && m->first_seq < r->seq)
                m = m->next;
        out->passed = m;
        out->passed_seq = r->seq + 1;
        if (m && m->first_seq == r->seq)
                refuse(out, m, r->skipped.reason);
        return 0;
}

void session_out_lose(SessionOut *out, uint64_t end, int result) {
        Message *m, *next;

        for (m = out->unreceived; m && m->first_seq < end; m = next) {
                next = m->next;
                if (m->is_unretained && !session_out_peer_has(out, m->first_seq))
                        session_out_abandon(out, m, result);
        }
}

/* What was refused */

/* From where the last was found: they are refused in the order in which they went. */
static Message *find_id(SessionOut *out, const PacketId *id) {
        Message *first = out->named ? out->named : out->sent, *m;

        for (m = first; m; m = m->next)
                if (packet_id_equal(&m->id, id))
                        return out->named = m;
        for (m = out->sent; m != first; m = m->next)
                if (packet_id_equal(&m->id, id))
                        return out->named = m;
        DL_FOREACH (out->skipping, m)
                if (packet_id_equal(&m->id, id))
                        return m;
        return NULL;
}

bool session_out_has_sent(SessionOut *out, const PacketId *id) {
        return out->flight ? flight_has_packet(out->flight, id) : find_id(out, id) != NULL;
}

/* Of how many of @m's records from @first to @last one more copy did not come. */
static void note_refusal(Message *m, uint64_t first, uint64_t last) {
        if (m->first_seq <= last && m->last_seq >= first)
                m->n_doubtful -=
                        MIN(m->n_doubtful, MIN(m->last_seq, last) + 1 - MAX(m->first_seq, first));
}

static void note_refusals(SessionOut *out, uint64_t first, uint64_t last) {
        Message *m;

        for (m = out->unreceived; m && m->first_seq <= last; m = m->next)
                note_refusal(m, first, last);
        DL_FOREACH (out->skipping, m)
                note_refusal(m, first, last);
}

/* On a local path a packet has one record. */
static void refused_on_host(SessionOut *out, const PacketId *id) {
        Message *m = find_id(out, id);

        if (m && m->n_doubtful > 0)
                m->n_doubtful--;
}

void session_out_refused(SessionOut *out, const PacketId *id) {
        uint64_t first, last;

        if (out->flight)
                out->flight->refused_sent_usec = 0;
        if (!out->flight || !flight_has_packet(out->flight, id))
                refused_on_host(out, id);
        else
                while (flight_take_packet(out->flight, id, &first, &last))
                        note_refusals(out, first, last);
}

void session_out_unsent(SessionOut *out, const PacketId *id) {
        uint64_t first, last;

        if (!out->flight)
                refused_on_host(out, id);
        else
                while (flight_take_back(out->flight, &first, &last))
                        note_refusals(out, first, last);
        session_out_repair(out);
}

bool session_out_may_meet(const SessionOut *out) {
        return out->unreceived && !session_out_is_missing(out->unreceived);
}
