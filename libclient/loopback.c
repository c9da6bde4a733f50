/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Messages to oneself: two sessions in one peer, which hand each other what they produce
 *
 * So order, credit and "taken" are what they are with anybody else, and neither the daemon nor its
 * absence plays a part.
 */

#include "config.h"

#include "libclient/peer.h"

#include "libclient/receive.h"

/* Return: whether anything was produced. */
static bool pass(Peer *peer, Session *from, Session *to) {
        p2pbus *bus = peer->bus;
        size_t n, at = 0;
        uint64_t deadline;
        PacketId id;
        Record record;

        if (session_produce(from, true, bus->now_usec, bus->scratch, BUS_SCRATCH_SIZE, &n, &id,
                            &deadline) != 0)
                return false;
        session_begin_packet(to, false);
        /* What we have said ourselves is never malformed; without memory it is lost, and asked for
         * again. */
        while (record_decode(bus->scratch, n, &at, &record) == 0)
                if (session_consume(to, &record, bus->now_usec) == 0 && record.type == RECORD_SKIP)
                        receive_withdraw(peer);
        return true;
}

void peer_loop_back(Peer *peer) {
        bool out, back;

        do {
                out = pass(peer, peer->session, peer->mirror);
                back = pass(peer, peer->mirror, peer->session);
        } while (out || back);
}
