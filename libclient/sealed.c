/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sealed packets come from anybody on earth who knows our lease, and opening one costs a hundred
 * times what sending it does: strangers share a budget, and each source has its own. Whoever has
 * talked with us before has a larger one.
 *
 * A NACK is believed only from the key that we sealed for, and about a packet that we sent lately.
 */

#include "config.h"

#include "libclient/path.h"
#include "libclient/peer.h"
#include "libcore/err.h"
#include "libsecure/signed-answer.h"

#define OPEN_STRANGERS 1000 /* a second, all together */
#define OPEN_STRANGER 100   /* a second, of one source */
#define OPEN_KNOWN 2000     /* a second, of one peer */
#define NACK_ALL 200
#define NACK_ONE 20
#define NACK_AGE_USEC (5 * 60 * USEC_PER_SEC)
#define NACK_WAIT_USEC (500 * USEC_PER_MSEC)

static bool may_open(p2pbus *bus, Peer *peer) {
        uint32_t rate = OPEN_STRANGER;

        if (peer && peer->is_known && session_is_established(peer->session))
                rate = OPEN_KNOWN;
        else if (!budget_take(&bus->open_budget, bus->now_usec, OPEN_STRANGERS, OPEN_STRANGERS))
                return false;
        return !peer || budget_take(&peer->open_budget, bus->now_usec, rate, rate);
}

static void nack(p2pbus *bus, Peer *peer, const PacketHeader *header, NackCode code) {
        const SignedAnswer answer = {
                .type = SIGNED_ANSWER_NACK,
                .code = code,
                .id = header->id,
                .now_usec = bus_wall(bus),
        };
        uint8_t bytes[SIGNED_ANSWER_SIZE + SIGNED_RECORD_LEASE_SIZE];
        size_t n = SIGNED_ANSWER_SIZE;

        if (!budget_take(&bus->nack_budget, bus->now_usec, NACK_ALL, NACK_ALL) ||
            (peer && !budget_take(&peer->nack_budget, bus->now_usec, NACK_ONE, NACK_ONE)))
                return;
        if (signed_answer_sign(&answer, bus->identity, header->src.pid, header->dst.pid, bytes))
                return;
        if (code == NACK_UNKNOWN_KEY && bus->has_lease) {
                memcpy(bytes + n, bus->lease, sizeof(bus->lease));
                n += sizeof(bus->lease);
        }
        (void)path_send_raw(bus, header->src, bytes, n);
}

static bool sent_lately(const Peer *peer, const PacketId *id) {
        if (!peer->sealed_ids)
                return false;
        for (unsigned i = 0; i < MIN(peer->n_sealed_ids, PEER_SEALED_IDS); i++)
                if (memcmp(&peer->sealed_ids[i], id, sizeof(*id)) == 0)
                        return true;
        return false;
}

/* The peer was right to refuse, and says what to seal for instead. */
static void adopt_lease(Peer *peer, const uint8_t *bytes, size_t n_bytes) {
        const SignedRecordCheck check = {
                .type = SIGNED_RECORD_LEASE,
                .now_usec = bus_wall(peer->bus),
        };
        SignedRecord lease;

        if (n_bytes > 0 && signed_record_verify(bytes, n_bytes, &check, &lease) == 0 &&
            key_equal(&lease.signer, &peer->key) && lease.issued_usec > peer->lease.issued_usec)
                peer_go_off_host(peer, &lease);
        else
                peer_go_local(peer);
}

static void on_nack(p2pbus *bus, const PacketHeader *header, const uint8_t *payload, size_t n) {
        Peer *peer = peer_find(bus, header->src, NULL);
        uint64_t now = bus_wall(bus);
        SignedAnswer answer;

        if (!peer || !peer->has_key || n < SIGNED_ANSWER_SIZE ||
            signed_answer_verify(payload, n, bus->self.address.pid, header->src.pid, &answer) ||
            answer.type != SIGNED_ANSWER_NACK || !key_equal(&answer.key, &peer->key) ||
            !sent_lately(peer, &answer.id) || answer.now_usec > now + NACK_AGE_USEC ||
            answer.now_usec + NACK_AGE_USEC < now) {
                bus->counters.bad_packets++;
                return;
        }
        switch (answer.code) {
        case NACK_UNKNOWN_KEY:
                adopt_lease(peer, payload + SIGNED_ANSWER_SIZE, n - SIGNED_ANSWER_SIZE);
                break;
        case NACK_STALE:
                /* Its clock is ahead of ours, or it attached just now: seal by its clock. */
                peer->clock_offset_usec = (int64_t)(answer.now_usec - now);
                peer->generation++;
                peer_update_path(peer);
                break;
        case NACK_REFUSED:
                session_fail(peer->session, CODE_DENIED, bus->now_usec);
                break;
        default:
                /* Overloaded, expired on the way, our lease ended: all of them pass. */
                session_pause(peer->session, bus->now_usec + NACK_WAIT_USEC, bus->now_usec);
        }
        peer_mark(peer);
}

static void on_one(p2pbus *bus, const PacketHeader *header, const uint8_t *packet, size_t n) {
        Peer *peer = peer_find(bus, header->src, NULL);
        SealedSender sender;
        PeerSource source = {
                .sealed = &sender,
                .is_remote = header->hflags & PACKET_REMOTE,
        };
        size_t n_opened;
        int r;

        if (!may_open(bus, peer)) {
                nack(bus, peer, header, NACK_OVERLOAD);
                return;
        }
        r = open_one(bus->sealer, packet, (Slice){ packet + PACKET_HEADER_SIZE, n }, bus_wall(bus),
                     bus->opened, BUS_SCRATCH_SIZE, &n_opened, &sender);
        switch (r) {
        case 0:
                source.address = sender.hash.address;
                peer_consume(bus, &source, bus->opened, n_opened);
                return;
        case SEAL_E_UNKNOWN_KEY:
                nack(bus, peer, header, NACK_UNKNOWN_KEY);
                break;
        case SEAL_E_NEED_LEASE:
                nack(bus, peer, header, NACK_NEED_LEASE);
                break;
        case SEAL_E_STALE:
                nack(bus, peer, header, NACK_STALE);
                break;
        case SEAL_E_EXPIRED:
                nack(bus, peer, header, NACK_EXPIRED);
                break;
        case SEAL_E_OVERLOAD:
                nack(bus, peer, header, NACK_OVERLOAD);
                break;
        default:
                break;
        }
        bus->counters.bad_packets++;
}

void peer_on_sealed(p2pbus *bus, const PacketHeader *header, const uint8_t *packet) {
        const uint8_t *payload = packet + PACKET_HEADER_SIZE;
        size_t n = header->size - PACKET_HEADER_SIZE;

        if (!bus->sealer || n == 0 || pid_is_reserved(header->src.pid))
                bus->counters.bad_packets++;
        else if (payload[0] == SEALED_NACK)
                on_nack(bus, header, payload, n);
        else
                on_one(bus, header, packet, n);
}
