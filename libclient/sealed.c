/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sealed packets come from anybody on earth who knows our lease, and opening one costs a hundred
 * times what sending it does, unless it is DATA: strangers share a budget, and each source has its
 * own. Whoever has talked with us before has a larger one. DATA has none, but for what does not open.
 *
 * The first packet for a peer is an OPEN, which makes keys in common, and what follows are ONEs until
 * it is answered: so nothing waits, and what is lost is the session's to find out.
 *
 * A NACK is believed only from the key that we sealed for, and about a packet that we sent lately.
 */

#include "config.h"

#include "libclient/path.h"
#include "libclient/peer.h"
#include "libclient/topic-remote.h"
#include "libcore/err.h"
#include "libsecure/signed-answer.h"

#define OPEN_STRANGERS 1000 /* a second, all together */
#define OPEN_STRANGER 100   /* a second, of one source */
#define OPEN_KNOWN 2000     /* a second, of one peer */
#define FORGED_ONE 1000     /* a second, of one peer: that it was who sealed them is not known */
#define NACK_ALL 200
#define NACK_ONE 20
#define NACK_AGE_USEC (5 * 60 * USEC_PER_SEC)
#define NACK_WAIT_USEC (500 * USEC_PER_MSEC)

Epochs *peer_epochs(Peer *peer) {
        p2pbus *bus = peer->bus;

        if (!peer->epochs && peer->has_key && !peer->mirror && bus->sealer)
                (void)epochs_new(&peer->epochs, bus->sealer, &peer->key, &bus->sealing.epochs);
        return peer->epochs;
}

int peer_send_sealed(Peer *peer, const uint8_t *records, size_t n_records, PacketId *ret_id) {
        const PathSeal seal = {
                .to = peer->address,
                .lease = &peer->lease,
                .epochs = peer_epochs(peer),
                .clock_offset_usec = peer->clock_offset_usec,
        };
        PathSealed sealed;
        int r;

        r = path_send_sealed(peer->bus, &seal, records, n_records, &sealed);
        if (r != 0)
                return r;
        peer->sealed_usec = peer->bus->now_usec;
        peer->sealed_as = sealed.type;
        if (peer->sealed_ids && sealed.type != SEALED_DATA)
                peer->sealed_ids[peer->n_sealed_ids++ % PEER_SEALED_IDS] = sealed.id;
        if (sealed.is_lease_ended)
                peer_renew_lease(peer);
        if (ret_id)
                *ret_id = sealed.id;
        return 0;
}

static bool may_open(p2pbus *bus, Peer *peer, Address source) {
        Budget *own = peer ? &peer->open_budget : budget_of(bus->open_sources, source);

        if (peer && peer->is_known && session_is_established(peer->session))
                return budget_take(own, bus->now_usec, OPEN_KNOWN, OPEN_KNOWN);
        return budget_take_both(own, OPEN_STRANGER, &bus->open_budget, OPEN_STRANGERS,
                                bus->now_usec);
}

/* One more answer to @peer, or to a stranger. */
static bool may_nack(p2pbus *bus, Peer *peer, Address source) {
        Budget *own = peer ? &peer->nack_budget : budget_of(bus->nack_sources, source);

        return budget_take_both(own, NACK_ONE, &bus->nack_budget, NACK_ALL, bus->now_usec);
}

static void nack(p2pbus *bus, Peer *peer, const PacketHeader *header, NackCode code, uint32_t ref) {
        const SignedAnswer answer = {
                .type = SIGNED_ANSWER_NACK,
                .code = code,
                .ref = ref,
                .id = header->id,
                .now_usec = bus_wall(bus),
        };
        uint8_t bytes[SIGNED_ANSWER_SIZE + SIGNED_RECORD_LEASE_SIZE];
        size_t n = SIGNED_ANSWER_SIZE;

        if (!may_nack(bus, peer, header->src))
                return;
        if (signed_answer_sign(&answer, bus->identity, header->src.pid, header->dst.pid, bytes))
                return;
        if (code == NACK_UNKNOWN_KEY && bus->has_lease) {
                memcpy(bytes + n, bus->lease, sizeof(bus->lease));
                n += sizeof(bus->lease);
        }
        (void)path_send_raw(bus, header->src, bytes, n);
}

/* Once only: whoever keeps a NACK does not disturb with it what comes later. */
static bool take_sent_lately(Peer *peer, const PacketId *id) {
        static const PacketId none;

        if (!peer->sealed_ids || memcmp(id, &none, sizeof(none)) == 0)
                return false;
        for (unsigned i = 0; i < MIN(peer->n_sealed_ids, PEER_SEALED_IDS); i++)
                if (packet_id_equal(&peer->sealed_ids[i], id)) {
                        peer->sealed_ids[i] = none;
                        return true;
                }
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
            key_equal(&lease.signer, &peer->key) && lease.issued_usec >= peer->lease.issued_usec) {
                /* The same: the packet was sealed for the one before. */
                if (lease.issued_usec > peer->lease.issued_usec)
                        peer_go_off_host(peer, &lease);
        } else
                peer_go_local(peer);
}

/* A NACK for NO_SESSION names the epoch, and is about any packet that went in it. */
static bool take_believable(Peer *peer, const SignedAnswer *answer, uint64_t now) {
        bool was_sent;

        if (!key_equal(&answer->key, &peer->key) || answer->now_usec > now + NACK_AGE_USEC ||
            answer->now_usec + NACK_AGE_USEC < now)
                return false;
        if (answer->code == NACK_NO_SESSION)
                return peer->epochs && epochs_disown(peer->epochs, answer->ref, &answer->id);
        was_sent = session_has_sent(peer->session, &answer->id);
        return take_sent_lately(peer, &answer->id) || was_sent;
}

static void on_nack(p2pbus *bus, const PacketHeader *header, const uint8_t *payload, size_t n) {
        Peer *peer = peer_find(bus, header->src, NULL);
        uint64_t now = bus_wall(bus);
        SignedAnswer answer;

        if (!peer || !peer->has_key || n < SIGNED_ANSWER_SIZE ||
            signed_answer_verify(payload, n, bus->self.address.pid, header->src.pid, &answer) ||
            answer.type != SIGNED_ANSWER_NACK || !take_believable(peer, &answer, now)) {
                bus->counters.bad_packets++;
                return;
        }
        switch (answer.code) {
        case NACK_NO_SESSION:
                /* It is another process, or has forgotten us: what we sent last may be lost. */
                peer_go_again(peer);
                topic_remote_on_again(peer);
                break;
        case NACK_UNKNOWN_KEY:
                adopt_lease(peer, payload + SIGNED_ANSWER_SIZE, n - SIGNED_ANSWER_SIZE);
                topic_remote_on_again(peer);
                break;
        case NACK_STALE:
                /* Its clock is ahead of ours, or it attached just now: seal by its clock. */
                peer->clock_offset_usec = (int64_t)(answer.now_usec - now);
                peer_go_again(peer);
                topic_remote_on_again(peer);
                break;
        case NACK_REFUSED:
                /* It was opened, and is no double: for this life of the peer alone it was sealed, and this
                 * life had not seen it. All others may be about a double of what came, to an earlier life. */
                session_refused(peer->session, &answer.id);
                peer->refusal = CODE_OK; /* nobody on the way it was */
                session_deny(peer->session, CODE_DENIED, bus->now_usec);
                break;
        default:
                /* Overloaded, expired on the way, our lease ended: all of them pass. */
                session_pause(peer->session, bus->now_usec + NACK_WAIT_USEC, bus->now_usec);
        }
        peer_mark(peer);
}

/* What is wrong with a ONE or an OPEN: @condition is seal.h's. */
static void refuse(p2pbus *bus, Peer *peer, const PacketHeader *header, int condition) {
        bus->counters.bad_packets++;
        switch (condition) {
        case SEAL_E_UNKNOWN_KEY:
                nack(bus, peer, header, NACK_UNKNOWN_KEY, 0);
                break;
        case SEAL_E_NEED_LEASE:
                nack(bus, peer, header, NACK_NEED_LEASE, 0);
                break;
        case SEAL_E_STALE:
                nack(bus, peer, header, NACK_STALE, 0);
                break;
        case SEAL_E_EXPIRED:
                nack(bus, peer, header, NACK_EXPIRED, 0);
                break;
        case SEAL_E_OVERLOAD:
                nack(bus, peer, header, NACK_OVERLOAD, 0);
                break;
        default:
                break;
        }
}

/* Records in bus->opened, of who has proven to be @sender. */
static void consume(p2pbus *bus, const PacketHeader *header, const SealedSender *sender, size_t n) {
        const PeerSource source = {
                .address = sender->hash.address,
                .key = &sender->key,
                .lease = &sender->lease,
                .is_remote = header->hflags & PACKET_REMOTE,
        };

        peer_consume(bus, &source, bus->opened, n);
}

/*
 * By [Network] ReceiveFrom=; the sender hears that it is not wanted, and this host's log by which line:
 * the daemon has that before the sender hears anything.
 */
static bool may_hear(p2pbus *bus, Peer *peer, const PacketHeader *header, const PublicKey *sender,
                     Address address, size_t n) {
        if (network_may_hear(bus, sender, address, bus->opened, n))
                return true;
        network_tell_unheard(bus, address);
        nack(bus, peer, header, NACK_REFUSED, 0);
        return false;
}

static void on_one(p2pbus *bus, const PacketHeader *header, const uint8_t *packet, Slice payload) {
        Peer *peer = peer_find(bus, header->src, NULL);
        SealedSender sender;
        size_t n;
        int r;

        if (!may_open(bus, peer, header->src)) {
                nack(bus, peer, header, NACK_OVERLOAD, 0);
                return;
        }
        r = open_one(bus->sealer, packet, payload, bus_wall(bus), bus->opened, BUS_SCRATCH_SIZE, &n,
                     &sender);
        if (r == 0)
                n = record_unpadded_size(bus->opened, n);
        if (r == 0 && !may_hear(bus, peer, header, &sender.key, sender.hash.address, n))
                return;
        if (r == 0)
                consume(bus, header, &sender, n);
        else
                refuse(bus, peer, header, r);
}

/* Without memory for a peer or for keys there are none in common; what came counts all the same. */
static void accept_opening(p2pbus *bus, Opening *opening) {
        const SealedSender *sender = &opening->sender;
        uint8_t accept[EPOCH_ACCEPT_SIZE];
        Epochs *epochs;
        Peer *peer;

        if (peer_get(bus, sender->hash.address, &sender->key, &peer) != 0 ||
            !peer_settle(peer, sender->hash.address, &sender->key))
                return;
        epochs = peer_epochs(peer);
        if (epochs && epochs_accept(epochs, opening, bus_epoch_time(bus), accept) == 0)
                (void)path_send_raw(bus, peer->address, accept, sizeof(accept));
}

static void on_open(p2pbus *bus, const PacketHeader *header, const uint8_t *packet, Slice payload) {
        Peer *peer = peer_find(bus, header->src, NULL);
        uint8_t accept[EPOCH_ACCEPT_SIZE];
        Opening opening;
        size_t n;
        int r;

        if (peer && peer->epochs && epochs_accept_again(peer->epochs, payload, accept)) {
                if (may_nack(bus, peer, header->src))
                        (void)path_send_raw(bus, peer->address, accept, sizeof(accept));
                return;
        }
        if (!may_open(bus, peer, header->src)) {
                nack(bus, peer, header, NACK_OVERLOAD, 0);
                return;
        }
        r = opening_read(&opening, bus->sealer, packet, payload, bus_wall(bus), bus->opened,
                         BUS_SCRATCH_SIZE, &n);
        if (r == 0)
                n = record_unpadded_size(bus->opened, n);
        if (r == 0 &&
            may_hear(bus, peer, header, &opening.sender.key, opening.sender.hash.address, n)) {
                accept_opening(bus, &opening);
                consume(bus, header, &opening.sender, n);
        } else if (r != 0)
                refuse(bus, peer, header, r);
        opening_done(&opening);
}

static void on_accept(p2pbus *bus, const PacketHeader *header, Slice payload) {
        Peer *peer = peer_find(bus, header->src, NULL);

        if (!peer || !peer->epochs || !may_open(bus, peer, header->src) ||
            epochs_confirm(peer->epochs, payload, bus_epoch_time(bus)) != 0)
                bus->counters.bad_packets++;
        else {
                peer_mark(peer);
                topic_remote_on_keys(peer);
        }
}

static void on_data(p2pbus *bus, const PacketHeader *header, const uint8_t *packet, Slice payload) {
        Peer *peer = peer_find(bus, header->src, NULL);
        PeerSource source = { .is_remote = header->hflags & PACKET_REMOTE };
        uint64_t counter;
        uint32_t sid;
        size_t n;
        int r;

        r = epoch_data_decode(payload, &sid, &counter);
        if (r == 0 && peer &&
            !budget_has(&peer->forged_budget, bus->now_usec, FORGED_ONE, FORGED_ONE))
                r = EPOCH_E_FORGED;
        else if (r == 0)
                r = peer && peer->epochs
                            ? epochs_unseal(peer->epochs, packet, payload, bus_epoch_time(bus),
                                            bus->opened, BUS_SCRATCH_SIZE, &n)
                            : EPOCH_E_UNKNOWN;
        switch (r) {
        case 0:
                n = record_unpadded_size(bus->opened, n);
                /* The policy may be newer than the epoch. */
                if (!may_hear(bus, peer, header, &peer->key, peer->address, n))
                        return;
                source.address = peer->address;
                source.key = &peer->key;
                peer_consume(bus, &source, bus->opened, n);
                return;
        case EPOCH_E_UNKNOWN:
                nack(bus, peer, header, NACK_NO_SESSION, sid);
                break;
        case EPOCH_E_FORGED:
                (void)budget_take(&peer->forged_budget, bus->now_usec, FORGED_ONE, FORGED_ONE);
                break;
        default:
                break;
        }
        bus->counters.bad_packets++;
}

void peer_on_sealed(p2pbus *bus, const PacketHeader *header, const uint8_t *packet) {
        const Slice payload = { packet + PACKET_HEADER_SIZE, header->size - PACKET_HEADER_SIZE };

        if (!bus->sealer || payload.size == 0 || pid_is_reserved(header->src.pid)) {
                bus->counters.bad_packets++;
                return;
        }
        switch (packet[PACKET_HEADER_SIZE]) {
        case SEALED_ONE:
                on_one(bus, header, packet, payload);
                break;
        case SEALED_OPEN:
                on_open(bus, header, packet, payload);
                break;
        case SEALED_ACCEPT:
                on_accept(bus, header, payload);
                break;
        case SEALED_DATA:
                on_data(bus, header, packet, payload);
                break;
        case SEALED_NACK:
                on_nack(bus, header, payload.data, payload.size);
                break;
        default:
                bus->counters.bad_packets++;
        }
}
