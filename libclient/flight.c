/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The peer is believed as far as it goes: what it names must have been sent, which is looked after
 * before, and a delay that it claims moves no estimate below the least that was ever measured. A peer
 * that acknowledges what it did not get makes us send faster to itself, and no more.
 */

#include "libclient/flight.h"

#include "libcore/err.h"
#include "libcore/util.h"

#define ROOM_FIRST 16
#define IN_VAIN_MAX 16U
#define PERSISTENT 3 /* losses that lie so many times our patience apart: RFC 9002, 7.6 */

int flight_new(Flight **ret, uint64_t answer_delay_usec) {
        Flight *flight;

        flight = calloc(1, sizeof(*flight));
        if (!flight)
                return err_origin(-ENOMEM);
        flight->pieces = calloc(ROOM_FIRST, sizeof(*flight->pieces));
        if (!flight->pieces) {
                free(flight);
                return err_origin(-ENOMEM);
        }
        flight->room = ROOM_FIRST;
        flight->answer_delay_usec = answer_delay_usec;
        flight->patience = 1;
        flight->lost_at = flight->doubtful_until = USEC_NEVER;
        congestion_init(&flight->congestion);
        *ret = flight;
        return 0;
}

Flight *flight_free(Flight *flight) {
        if (!flight)
                return NULL;
        free(flight->pieces);
        free(flight);
        return NULL;
}

void flight_forget(Flight *flight) {
        flight->n_pieces = 0;
        flight->n_bytes = flight->end = 0;
        flight->acked_packet = flight->packet;
        flight->lost_at = flight->doubtful_until = USEC_NEVER;
        flight->n_in_vain = 0;
        flight->knows_marked = false;
}

/* Sending */

/* Room for a piece and, in case it is needed, one that asks. */
static bool make_room(Flight *flight) {
        FlightPiece *pieces;

        if (flight->n_pieces + 2 <= flight->room)
                return true;
        if (flight->room == FLIGHT_PIECES_MAX)
                return false;
        pieces = realloc(flight->pieces, 2 * flight->room * sizeof(*pieces));
        if (!pieces)
                return false;
        flight->pieces = pieces;
        flight->room *= 2;
        return true;
}

bool flight_allows(Flight *flight, size_t size) {
        if (flight->n_pieces == 0)
                return true;
        return flight->n_bytes + size <= flight->congestion.window && make_room(flight);
}

void flight_begin(Flight *flight, uint64_t now_usec) {
        flight->is_begun = true;
        flight->begun_usec = now_usec;
        if (flight->n_pieces == 0 && flight->sent_usec > 0 &&
            now_usec - flight->sent_usec > flight_patience_usec(flight))
                congestion_on_idle(&flight->congestion);
}

static FlightPiece *find(Flight *flight, uint64_t seq) {
        for (unsigned i = 0; i < flight->n_pieces; i++) {
                unsigned at = (flight->hint + i) % flight->n_pieces;
                FlightPiece *piece = &flight->pieces[at];

                if (piece->first <= seq && seq <= piece->last) {
                        flight->hint = at;
                        return piece;
                }
        }
        return NULL;
}

void flight_add(Flight *flight, uint64_t seq, size_t size, bool again) {
        FlightPiece *last = flight->n_pieces > 0 ? &flight->pieces[flight->n_pieces - 1] : NULL;
        FlightPiece *earlier = seq < flight->end ? find(flight, seq) : NULL;
        bool is_repair = seq < flight->end && !earlier;

        if (earlier) {
                earlier->is_ambiguous = true;
                earlier->is_only = false;
        }
        if (flight->is_begun) {
                flight->packet++;
                flight->is_begun = false;
                last = NULL;
        }
        flight->sent_usec = flight->begun_usec;
        if (last && last->packet == flight->packet && last->last + 1 == seq &&
            last->is_ambiguous == again && last->is_repair == is_repair && !earlier) {
                last->last++;
                flight->end = MAX(flight->end, seq + 1);
                last->n_bytes += (uint32_t)size;
                flight->n_bytes += size;
                return;
        }
        if (flight->n_pieces == flight->room)
                return; /* one that asks, and without its piece tells less */
        flight->pieces[flight->n_pieces++] = (FlightPiece){
                .first = seq,
                .last = seq,
                .packet = flight->packet,
                .sent_usec = flight->begun_usec,
                .n_bytes = (uint32_t)size,
                .is_ambiguous = again,
                .is_only = seq >= flight->end,
                .is_repair = is_repair,
        };
        flight->n_bytes += size;
        flight->end = MAX(flight->end, seq + 1);
}

void flight_give_up(Flight *flight, uint64_t first, uint64_t last) {
        for (unsigned i = 0; i < flight->n_pieces; i++) {
                FlightPiece *piece = &flight->pieces[i];

                if (piece->first <= last && piece->last >= first)
                        piece->is_ambiguous = true;
        }
}

void flight_name(Flight *flight, const PacketId *id) {
        if (flight->is_begun)
                return;
        for (unsigned i = flight->n_pieces; i > 0; i--) {
                if (flight->pieces[i - 1].packet != flight->packet)
                        return;
                flight->pieces[i - 1].id = *id;
        }
}

static FlightPiece *find_packet(const Flight *flight, const PacketId *id) {
        if (packet_id_is_zero(id))
                return NULL;
        for (unsigned i = 0; i < flight->n_pieces; i++)
                if (packet_id_equal(&flight->pieces[i].id, id))
                        return &flight->pieces[i];
        return NULL;
}

bool flight_has_packet(const Flight *flight, const PacketId *id) {
        return find_packet(flight, id);
}

bool flight_take_packet(Flight *flight, const PacketId *id, uint64_t *ret_first,
                        uint64_t *ret_last) {
        FlightPiece *piece = find_packet(flight, id);

        if (!piece)
                return false;
        *ret_first = piece->first;
        *ret_last = piece->last;
        flight->refused_sent_usec = piece->sent_usec;
        piece->id = (PacketId){ { 0 } };
        return true;
}

bool flight_take_back(Flight *flight, uint64_t *ret_first, uint64_t *ret_last) {
        const FlightPiece *last =
                flight->n_pieces > 0 ? &flight->pieces[flight->n_pieces - 1] : NULL;

        if (!last || flight->is_begun || last->packet != flight->packet)
                return false;
        *ret_first = last->first;
        *ret_last = last->last;
        if (last->is_only && last->last + 1 == flight->end)
                flight->end = last->first; /* to go for the first time, still */
        flight->n_bytes -= last->n_bytes;
        flight->n_pieces--;
        return true;
}

bool flight_has(Flight *flight, uint64_t seq, uint64_t *ret_last) {
        const FlightPiece *piece = find(flight, seq);

        if (!piece)
                return false;
        *ret_last = piece->last;
        return true;
}

/* What became of it */

/* Packets that did not come, with none between them that did: the first and last time of sending. */
typedef struct Silence {
        uint64_t after_usec, before_usec; /* sent in between */
        uint64_t first_usec, last_usec;
} Silence;

static void note_silence(Silence *silence, const FlightPiece *piece) {
        if (piece->sent_usec > silence->after_usec)
                silence->first_usec = MIN(silence->first_usec, piece->sent_usec);
        if (piece->sent_usec < silence->before_usec)
                silence->last_usec = MAX(silence->last_usec, piece->sent_usec);
}

static uint64_t loss_wait_usec(const Flight *flight) {
        const RoundTrip *trip = &flight->round_trip;
        uint64_t usec = trip->smoothed_usec == 0 ? (uint64_t)ROUND_TRIP_FIRST_USEC
                                                 : MAX(trip->smoothed_usec, trip->latest_usec);
        uint64_t more = MAX(usec * flight->patience / 8, (uint64_t)ROUND_TRIP_GRAIN_USEC);

        return usec + (flight->is_reordering ? MAX(more, 4 * trip->variation_usec) : more);
}

/*
 * What names a repair may be about an earlier copy, and says nothing of the round trip. If that has become
 * longer, each copy is taken for lost when it is not: so each waits twice as long as the one before, as in
 * Karn's algorithm, until there is a sample, or one is answered in time.
 */
static uint64_t repair_wait_usec(const Flight *flight) {
        uint64_t wait = loss_wait_usec(flight);

        return MAX(wait, MIN(wait << flight->n_in_vain, (uint64_t)ROUND_TRIP_MAX_USEC));
}

/* Some were answered, and none too soon or too late: it seems that the way is not longer. */
static void note_repaired(Flight *flight, unsigned n_in_time, unsigned n_amiss) {
        if (n_in_time > 0 && n_amiss == 0)
                flight->n_in_vain /= 2;
}

static void note_vain(Flight *flight, uint64_t lost_repair) {
        if (lost_repair <= flight->vain_packet)
                return;
        flight->vain_packet = flight->packet;
        flight->n_in_vain = MIN(flight->n_in_vain + 1, IN_VAIN_MAX);
}

/* Later packets have come, and those that are still missing are not just slow. */
static bool detect(Flight *flight, Silence *silence, uint64_t now_usec) {
        const uint64_t waits[] = { loss_wait_usec(flight), repair_wait_usec(flight) };
        uint64_t lost_packet = 0, lost_repair = 0;
        unsigned n = 0;

        if (flight->doubtful_until <= now_usec) {
                flight->acked_packet = MAX(flight->acked_packet, flight->doubtful_packet);
                flight->doubtful_until = USEC_NEVER;
        } else if (flight->n_pieces == 0 || flight->pieces[0].packet > flight->doubtful_packet)
                flight->doubtful_until = USEC_NEVER;
        flight->lost_at = flight->doubtful_until;
        for (unsigned i = 0; i < flight->n_pieces; i++) {
                FlightPiece *piece = &flight->pieces[i];
                uint64_t wait = waits[piece->is_repair];

                if (piece->packet >= flight->acked_packet) {
                        flight->pieces[n++] = *piece;
                } else if (piece->sent_usec + wait > now_usec &&
                           (flight->is_reordering || !piece->is_only ||
                            piece->packet + FLIGHT_PACKETS_AHEAD > flight->acked_packet)) {
                        flight->lost_at = MIN(flight->lost_at, piece->sent_usec + wait);
                        flight->pieces[n++] = *piece;
                } else {
                        flight->n_bytes -= piece->n_bytes;
                        lost_packet = MAX(lost_packet, piece->packet);
                        if (piece->is_repair)
                                lost_repair = MAX(lost_repair, piece->packet);
                        note_silence(silence, piece);
                }
        }
        if (n == flight->n_pieces)
                return false;
        flight->n_pieces = n;
        note_vain(flight, lost_repair);
        (void)congestion_on_loss(&flight->congestion, lost_packet, flight->packet);
        if (flight->round_trip.smoothed_usec > 0 && silence->last_usec > silence->first_usec &&
            silence->last_usec - silence->first_usec > PERSISTENT * flight_patience_usec(flight))
                congestion_on_persistence(&flight->congestion);
        return true;
}

/* Return: whether all of @piece has come. What lies in its middle is not told apart. */
static bool cut(FlightPiece *piece, const Record *ack) {
        const RecordRange *range = ack->ack.ranges;

        piece->first = MAX(piece->first, ack->ack.received);
        for (unsigned i = 0; i < ack->ack.n_ranges && piece->first <= piece->last; i++, range++) {
                if (range->first <= piece->first && piece->first <= range->last)
                        piece->first = range->last + 1;
                else if (range->first <= piece->last && piece->last <= range->last)
                        piece->last = range->first - 1;
        }
        return piece->first > piece->last;
}

/* An answer that takes less than any before was to an earlier packet with the same records. */
static bool is_too_soon(const Flight *flight, const FlightPiece *piece, uint64_t now_usec) {
        uint64_t least = flight->round_trip.least_usec;

        return !piece->is_only &&
               now_usec - piece->sent_usec < (least > 0 ? least : (uint64_t)ROUND_TRIP_FIRST_USEC);
}

/*
 * What was taken for lost has come: wait for longer, and do not count packets any more. Unless the way
 * has become that fast: then what was sent before does not come, however long one waits.
 */
static void doubt(Flight *flight, const FlightPiece *piece, uint64_t now_usec) {
        if (piece->is_repair) {
                flight->is_reordering = true;
                flight->patience = MIN(flight->patience + 1, 8U);
        }
        flight->doubtful_packet = piece->packet;
        if (flight->doubtful_until == USEC_NEVER)
                flight->doubtful_until = now_usec + loss_wait_usec(flight);
}

static void note_marks(Flight *flight, uint16_t n_marked) {
        if (flight->knows_marked && (int16_t)(n_marked - flight->n_marked) > 0)
                (void)congestion_on_loss(&flight->congestion, flight->acked_packet, flight->packet);
        flight->n_marked = n_marked;
        flight->knows_marked = true;
}

bool flight_on_ack(Flight *flight, const Record *ack, uint64_t now_usec, bool *ret_progress) {
        Silence silence = { flight->acked_sent_usec, USEC_NEVER, USEC_NEVER, 0 };
        uint64_t in_flight = flight->n_bytes, recovery = flight->congestion.recovery;
        uint64_t n_acked = 0, wait = loss_wait_usec(flight);
        unsigned n = 0, n_in_time = 0, n_amiss = 0;
        FlightPiece newest = { 0 };
        bool lost;

        for (unsigned i = 0; i < flight->n_pieces; i++) {
                FlightPiece *piece = &flight->pieces[i];

                if (!cut(piece, ack)) {
                        flight->pieces[n++] = *piece;
                        continue;
                }
                flight->n_bytes -= piece->n_bytes;
                if (!congestion_is_recovering(&flight->congestion, piece->packet))
                        n_acked += piece->n_bytes;
                if (is_too_soon(flight, piece, now_usec)) {
                        n_amiss++;
                        doubt(flight, piece, now_usec);
                        continue;
                }
                if (piece->is_only) {
                        silence.before_usec = MIN(silence.before_usec, piece->sent_usec);
                        if (piece->packet < flight->acked_packet && !piece->is_ambiguous)
                                flight->is_reordering = true;
                }
                if (piece->is_repair && now_usec - piece->sent_usec <= wait)
                        n_in_time++;
                else if (piece->is_repair)
                        n_amiss++;
                if (newest.packet > 0 &&
                    !newest.is_only) /* it is the later one that came, as far as we know */
                        note_silence(&silence, &newest);
                newest = *piece;
        }
        *ret_progress = n < flight->n_pieces;
        flight->n_pieces = n;
        note_repaired(flight, n_in_time, n_amiss);

        flight->is_sampled = newest.packet > flight->acked_packet && !newest.is_ambiguous;
        if (newest.packet > flight->acked_packet) {
                if (flight->is_sampled) {
                        round_trip_sample(&flight->round_trip, now_usec - newest.sent_usec,
                                          ack->ack.delay_usec, flight->answer_delay_usec);
                        flight->n_in_vain = 0;
                }
                flight->acked_packet = newest.packet;
                flight->acked_sent_usec = newest.sent_usec;
                silence.before_usec = MIN(silence.before_usec, newest.sent_usec);
        }
        note_marks(flight, ack->ack.n_marked);
        lost = detect(flight, &silence, now_usec);
        if (n_acked > 0 && !lost && flight->congestion.recovery == recovery)
                congestion_on_ack(&flight->congestion, n_acked, in_flight);
        return lost;
}

void flight_on_refusal(Flight *flight) {
        if (flight->packet > 0)
                (void)congestion_on_loss(&flight->congestion, flight->packet, flight->packet);
}

bool flight_tick(Flight *flight, uint64_t now_usec) {
        Silence silence = { 0 };

        return flight->lost_at <= now_usec && detect(flight, &silence, now_usec);
}

uint64_t flight_patience_usec(const Flight *flight) {
        return round_trip_patience_usec(&flight->round_trip) + flight->answer_delay_usec;
}
