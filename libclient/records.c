/* SPDX-License-Identifier: Apache-2.0 */

/* Records that came, from whichever path, on their way to the session that they are for. */

#include "config.h"

#include "libclient/peer.h"

#include "libclient/introduction.h"
#include "libclient/own-name.h"
#include "libclient/path-ring.h"
#include "libclient/path.h"
#include "libclient/ping.h"
#include "libclient/receive.h"
#include "libclient/remote-writer.h"
#include "libcore/err.h"

#define ANSWER_ALL 1000 /* a second */
#define ANSWER_ONE 500  /* a second, of one source */

/* Who sent DATA is a peer, of whom we have a lease from before. */
static void answer_sealed(p2pbus *bus, const PeerSource *source, Peer *peer, const uint8_t *bytes,
                          size_t n) {
        const PathSeal seal = {
                .to = source->address,
                .lease = source->lease             ? source->lease
                         : peer && peer->has_lease ? &peer->lease
                                                   : NULL,
                .epochs = peer && peer->has_key ? peer->epochs : NULL,
                .clock_offset_usec = peer ? peer->clock_offset_usec : 0,
        };
        PathSealed sealed;

        if (seal.lease)
                (void)path_send_sealed(bus, &seal, bytes, n, &sealed);
}

/* To a stranger, or to a peer about a session that is not ours. */
static void answer(p2pbus *bus, const PeerSource *source, const Record *record) {
        Peer *peer = peer_find(bus, source->address, source->key);
        Budget *own = budget_of(bus->answer_sources, source->address);
        uint8_t bytes[RECORD_HEADER_SIZE + 64];
        static const PacketId fresh;

        if (!budget_take_both(own, ANSWER_ONE, &bus->answer_budget, ANSWER_ALL, bus->now_usec))
                return;
        record_encode(record, bytes);
        if (source->key && source->is_remote)
                answer_sealed(bus, source, peer, bytes, record_size(record));
        else if (!peer || !peer_is_on_ring(peer) ||
                 !ring_path_send(peer->ring, bytes, record_size(record)))
                (void)path_send_local(bus, source->address, &fresh, USEC_NEVER, bytes,
                                      record_size(record));
}

static void answer_reset(p2pbus *bus, const PeerSource *source, uint64_t session) {
        answer(bus, source, &(Record){ .type = RECORD_RESET, .session = session });
}

/* The speaker says its key: is it the source's, and who is that here? NULL: nobody to talk with. */
static Peer *consume_start(p2pbus *bus, const PeerSource *source, const Record *record,
                           Peer *peer) {
        PublicKey key;
        Address address;

        memcpy(key.bytes, record->start.key, sizeof(key.bytes));
        if (source->key && !key_equal(source->key, &key))
                return NULL;
        if (peer && peer->has_key && key_equal(&peer->key, &key))
                return peer;
        address = key_hash(&key).address;
        if (!address_equal(address, source->address))
                return NULL;
        if (!peer && peer_get(bus, address, &key, &peer) < 0)
                return NULL;
        return peer_settle(peer, address, &key) ? peer : NULL;
}

/* A sealed packet says where its sender is; if it needed no earlier one, it brings its lease. */
static void learn_path(Peer *peer, const PeerSource *source) {
        bool moved = peer->path != SESSION_PATH_OFF_HOST;

        if (!source->key || !source->is_remote || peer_is_on_ring(peer))
                return;
        peer->is_known = true;
        if (source->lease &&
            (moved || !peer->has_lease || source->lease->issued_usec > peer->lease.issued_usec)) {
                peer->lease = *source->lease;
                peer->has_lease = true;
        }
        /* Whoever asks for a lease because the last one has ended waits for the answer. */
        if (moved && peer->has_lease && bus_wall(peer->bus) < peer->lease.lease.enc_until_usec)
                peer_go_off_host(peer, &peer->lease);
}

/* Return: the peer, which may be new now, or NULL: the rest of the packet is of no use. */
static Peer *consume_record(p2pbus *bus, const PeerSource *source, const Record *record,
                            Peer *peer) {
        int r;

        switch (record->type) {
        case RECORD_START:
                peer = consume_start(bus, source, record, peer);
                if (!peer) {
                        bus->counters.bad_packets++;
                        return NULL;
                }
                learn_path(peer, source);
                break;
        case RECORD_RESET:
        case RECORD_CLOSE:
                if (!peer)
                        return NULL;
                break;
        default:
                if (!peer) {
                        answer_reset(bus, source, record->session);
                        return NULL;
                }
                if (!peer->has_key)
                        return NULL; /* who it is has not been settled: its START will come */
        }

        session_set_sent(peer->session, source->sent_usec > 0 ? source->sent_usec : USEC_NEVER,
                         source->ends_usec > 0 ? source->ends_usec : USEC_NEVER);
        if (source->loan && record->type == RECORD_MSG)
                session_lend(peer->session, source->loan);
        r = session_consume(peer->session, record, bus->now_usec);
        if (source->loan)
                session_lend(peer->session, NULL);
        if (record->type == RECORD_SKIP)
                receive_withdraw(peer);
        switch (r) {
        case SESSION_E_VIOLATION:
                bus->counters.bad_packets++;
                answer_reset(bus, source, record->session);
                session_fail(peer->session, CODE_VIOLATION, bus->now_usec);
                peer_mark(peer);
                return NULL;
        case SESSION_E_UNKNOWN:
                answer_reset(bus, source, record->session);
                return NULL;
        default: /* CLOSED is found by peer_pump(); without memory it is as if it were lost */
                return peer;
        }
}

/* @peer may be new afterwards. Return: whether the rest of the packet is of use. */
static bool consume_one(p2pbus *bus, const PeerSource *source, Record *record, bool unsupported,
                        Peer **peer) {
        switch (record->type) {
        case RECORD_PING:
                record->type = RECORD_PONG;
                answer(bus, source, record);
                return true;
        case RECORD_PONG:
                ping_on_pong(bus, source, record->ping);
                return true;
        case RECORD_PUBLISHED:
                if (unsupported)
                        bus->counters.bad_packets++;
                else
                        remote_writer_on_published(bus, source, record);
                return true;
        case RECORD_CANCEL:
                if (*peer) {
                        peer_pop(*peer); /* the request may have come just before it */
                        receive_cancel(*peer, &record->id);
                }
                return true;
        default:
                break;
        }
        if (*peer && (*peer)->mirror)
                return false; /* nobody but ourselves can say this, and we never do */
        if (unsupported || (*peer && own_name_refuses(bus, record))) {
                if (*peer)
                        (void)session_refuse((*peer)->session, record,
                                             unsupported ? CODE_UNSUPPORTED : CODE_NO_PROVIDER,
                                             bus->now_usec);
                return true;
        }
        *peer = consume_record(bus, source, record, *peer);
        if (!*peer)
                return false;
        peer_mark(*peer);
        return true;
}

void peer_consume(p2pbus *bus, const PeerSource *source, const uint8_t *records, size_t n) {
        Peer *peer = source->peer;
        size_t at = 0;
        Record record;
        int r;

        if (!peer)
                peer = peer_find(bus, source->address, source->key);
        if (peer) {
                learn_path(peer, source);
                session_begin_packet(peer->session, source->key && bus->is_marked);
                peer->full_wait_usec = 0;
                peer->traffic.bytes_in += n;
                peer_mark(peer);
        }
        for (;;) {
                r = source->peer ? record_decode_shared(records, n, &at, bus->scratch, &record)
                                 : record_decode(records, n, &at, &record);
                if (r == RECORD_E_END)
                        return;
                if (r == RECORD_E_VIOLATION) {
                        bus->counters.bad_packets++;
                        return;
                }
                if (!consume_one(bus, source, &record, r == RECORD_E_UNSUPPORTED, &peer))
                        return;
        }
}

/* By the clock of this host's processes; what they say of the future is not believed. */
static uint64_t local_usec(const p2pbus *bus, uint64_t wall_usec) {
        uint64_t wall = bus_wall(bus);

        return bus->now_usec - (wall_usec < wall ? MIN(wall - wall_usec, bus->now_usec - 1) : 0);
}

void peer_on_records(p2pbus *bus, const PacketHeader *header, const uint8_t *packet) {
        PeerSource source = { .address = header->src };
        Peer *peer;

        /* How long it was in queues counts. One message alone has given the packet its own id, older
         * than the packet, and its own end. */
        if (header->deadline_usec == 0)
                source.sent_usec = local_usec(bus, load_be64(header->id.bytes));
        else if (header->deadline_usec <= bus_wall(bus))
                source.ends_usec = local_usec(bus, header->deadline_usec);

        /* No daemon of ours lets them in from outside. */
        if (header->hflags & PACKET_REMOTE) {
                bus->counters.bad_packets++;
                return;
        }
        peer_consume(bus, &source, packet + PACKET_HEADER_SIZE, header->size - PACKET_HEADER_SIZE);
        peer = peer_find(bus, source.address, NULL);
        if (!peer)
                return;
        peer->heard_attach = bus->n_attaches;
        introduction_count(peer);
}
