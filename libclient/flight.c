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
        flight->lost_at = USEC_NEVER;
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
        flight->n_bytes = 0;
        flight->acked_packet = flight->packet;
        flight->lost_at = USEC_NEVER;
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
        FlightPiece *earlier = again ? find(flight, seq) : NULL;
        bool is_repair = again && !earlier;

        if (earlier)
                earlier->is_ambiguous = true;
        if (flight->is_begun) {
                flight->packet++;
                flight->is_begun = false;
                last = NULL;
        }
        flight->sent_usec = flight->begun_usec;
        if (last && last->packet == flight->packet && last->last + 1 == seq &&
            last->is_ambiguous == again && last->is_repair == is_repair) {
                last->last++;
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
                .is_repair = is_repair,
        };
        flight->n_bytes += size;
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

        return usec + MAX(usec * flight->patience / 8, (uint64_t)ROUND_TRIP_GRAIN_USEC);
}

/* Later packets have come, and those that are still missing are not just slow. */
static bool detect(Flight *flight, Silence *silence, uint64_t now_usec) {
        uint64_t wait = loss_wait_usec(flight), lost_packet = 0;
        unsigned n = 0;

        flight->lost_at = USEC_NEVER;
        for (unsigned i = 0; i < flight->n_pieces; i++) {
                FlightPiece *piece = &flight->pieces[i];

                if (piece->packet >= flight->acked_packet) {
                        flight->pieces[n++] = *piece;
                } else if (piece->sent_usec + wait > now_usec &&
                           (flight->is_reordering ||
                            piece->packet + FLIGHT_PACKETS_AHEAD > flight->acked_packet)) {
                        flight->lost_at = MIN(flight->lost_at, piece->sent_usec + wait);
                        flight->pieces[n++] = *piece;
                } else {
                        flight->n_bytes -= piece->n_bytes;
                        lost_packet = MAX(lost_packet, piece->packet);
                        note_silence(silence, piece);
                }
        }
        if (n == flight->n_pieces)
                return false;
        flight->n_pieces = n;
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
        return piece->is_ambiguous && now_usec - piece->sent_usec < flight->round_trip.least_usec;
}

/* What was taken for lost has come: wait for longer, and do not count packets any more. */
static void learn_patience(Flight *flight) {
        flight->is_reordering = true;
        flight->patience = MIN(flight->patience + 1, 8U);
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
        uint64_t n_acked = 0;
        FlightPiece newest = { 0 };
        unsigned n = 0;
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
                        if (piece->is_repair)
                                learn_patience(flight);
                        continue;
                }
                if (!piece->is_ambiguous)
                        silence.before_usec = MIN(silence.before_usec, piece->sent_usec);
                if (newest.is_ambiguous) /* it is the later one that came, as far as we know */
                        note_silence(&silence, &newest);
                newest = *piece;
        }
        *ret_progress = n < flight->n_pieces;
        flight->n_pieces = n;

        if (newest.packet > flight->acked_packet) {
                if (!newest.is_ambiguous)
                        round_trip_sample(&flight->round_trip, now_usec - newest.sent_usec,
                                          ack->ack.delay_usec, flight->answer_delay_usec);
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
