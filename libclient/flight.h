/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Flight: what a session has sent off-host and not yet heard of
 *
 * Packets are numbered in the order of sending. A piece is a range of records that went in one packet;
 * a record that is sent again is in another piece, under another number. From what an ACK names
 * follow the round trip, what is lost, and how much more may be sent: loss as in RFC 9002, section 6,
 * and RFC 8985, by the order of sending and by time, the window by congestion.h.
 *
 * What is lost is forgotten here, so that a record that is neither here nor named by the peer is to be
 * sent again: this is how session-out.h finds it.
 */

#include "libclient/congestion.h"
#include "libclient/round-trip.h"
#include "libcore/record.h"

#define FLIGHT_PIECES_MAX 1024
#define FLIGHT_PACKETS_AHEAD 3 /* so many later packets came: it is lost, unless they overtake */

typedef struct FlightPiece {
        uint64_t first, last; /* sequence numbers; what came of them is cut off at both ends */
        uint64_t packet;
        PacketId id; /* of that packet; zero: not known, or known to be lost */
        uint64_t sent_usec;
        uint32_t n_bytes;
        bool is_ambiguous; /* what names it may be about another packet: no sample of time */
        bool is_only;      /* not of those here */
        bool is_repair;    /* sent because another seemed to be lost */
} FlightPiece;

typedef struct Flight {
        Congestion congestion;
        RoundTrip round_trip;
        uint64_t answer_delay_usec; /* for so long the peer may wait before it acknowledges */

        FlightPiece *pieces; /* in the order of sending */
        unsigned n_pieces, room;
        unsigned hint; /* where flight_has() looks first */
        uint64_t n_bytes;

        uint64_t end;        /* sequence numbers from here on were not sent yet, this way */
        uint64_t packet;     /* the last that was begun */
        bool is_begun;       /* it has no piece yet */
        uint64_t begun_usec; /* when */
        uint64_t sent_usec;  /* when the last piece was added */
        uint64_t lost_at;    /* when the next piece is lost by time; USEC_NEVER */
        uint64_t refused_sent_usec; /* when that was sent which was refused last; 0: it was not here */

        bool is_sampled;          /* the last ACK has shown the round trip */
        uint64_t acked_packet;    /* the last that is known to have come */
        uint64_t acked_sent_usec; /* the latest time at which one was sent that has come */
        uint64_t doubtful_packet; /* this one came, or an earlier one with the same records: if what */
        uint64_t doubtful_until;  /* was sent before is missing then, it was this; USEC_NEVER */
        unsigned patience;        /* by time, in eighths of a round trip, 1 to 8 */
        bool is_reordering;       /* packets overtake: how many did says nothing */
        unsigned n_in_vain;   /* rounds in which repairs were lost, too, and nothing said why, */
        uint64_t vain_packet; /* and the last packet of the last of these */

        uint16_t n_marked; /* as the peer counts */
        bool knows_marked;
} Flight;

/* Return: 0, -ENOMEM. */
int flight_new(Flight **ret, uint64_t answer_delay_usec);
Flight *flight_free(Flight *flight);
/* Nothing is in flight any more: all of it is sent again, or never was to this peer. */
void flight_forget(Flight *flight);

/* A record of @size bytes may be sent now. The first always may. */
bool flight_allows(Flight *flight, size_t size);
/* Records that are added from here on go in one packet. */
void flight_begin(Flight *flight, uint64_t now_usec);
/* The record @seq goes; @again: not for the first time. */
void flight_add(Flight *flight, uint64_t seq, size_t size, bool again);
/*
 * A SKIP goes for these records: an ACK that names them may be the answer to it, however long ago they
 * went, and whether or not they came.
 */
void flight_give_up(Flight *flight, uint64_t first, uint64_t last);
/* The packet that was begun last went under @id. */
void flight_name(Flight *flight, const PacketId *id);
/* Something of packet @id is in flight. */
bool flight_has_packet(const Flight *flight, const PacketId *id);
/*
 * Packet @id did not come: the next range of its records, and each once only.
 * Return: whether there was one.
 */
bool flight_take_packet(Flight *flight, const PacketId *id, uint64_t *ret_first, uint64_t *ret_last);
/*
 * The packet that was begun last never went: the next range of its records, which are in flight no more.
 * Return: whether there was one.
 */
bool flight_take_back(Flight *flight, uint64_t *ret_first, uint64_t *ret_last);
/* Whether record @seq is in flight; @ret_last: so are those up to this one. */
bool flight_has(Flight *flight, uint64_t seq, uint64_t *ret_last);

/*
 * @ack was sent by the peer, not before all that were given before. @ret_progress: something came.
 * Return: whether something is lost.
 */
bool flight_on_ack(Flight *flight, const Record *ack, uint64_t now_usec, bool *ret_progress);
/* Somebody on the way had no room for a packet. */
void flight_on_refusal(Flight *flight);
/* Return: whether something is lost, for want of time. */
bool flight_tick(Flight *flight, uint64_t now_usec);

/* Not hearing from the peer for so long is reason to ask. */
uint64_t flight_patience_usec(const Flight *flight);
static inline bool flight_is_empty(const Flight *flight) {
        return flight->n_pieces == 0;
}
static inline size_t flight_memory(const Flight *flight) {
        return sizeof(*flight) + flight->room * sizeof(FlightPiece);
}
