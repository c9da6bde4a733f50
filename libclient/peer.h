/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Peer: one remote process, its session, and the path that the session runs on now
 *
 * A first contact is local: the daemon delivers, or says NOT_LOCAL with the lease to seal for.
 * From then on the path changes whenever somebody who knows says so: the daemon (NOT_LOCAL,
 * NOW_LOCAL), the peer itself (a sealed packet, a signed NACK), time (its lease ends: ask the
 * daemon again, which is a packet on the local path). The session is told and sends again what
 * may be lost.
 *
 * What goes off-host is sealed with the keys of an epoch (libsecure/epochs.h) once there is one.
 *
 * A local peer may have a ring (introduction.h); then that is the path, and stays it when the daemon
 * is away.
 *
 * Peers stand in a table by PID. As long as only the PID of a peer is known (tag 0), the first
 * answer of a process with that PID settles who it is.
 */

#include "libclient/bus.h"
#include "libclient/daemon.h"
#include "libclient/introduction.h"
#include "libclient/path-ring.h"
#include "libclient/report.h"

#define PEER_SEALED_IDS 32 /* sealed packets of which a NACK is believed */

struct Peer {
        p2pbus *bus;
        Address address; /* tag 0: not known */
        bool has_key;
        PublicKey key;
        Session *session;
        Session *mirror;     /* ourselves as a peer: the other end of session; else NULL */
        uint64_t session_id; /* as of the last look: another one means that it began anew */
        uint64_t inbound_id; /* the same, of who took what came in it */
        Timer timer;

        SessionPath path; /* LOCAL or OFF_HOST; the session's is NONE while the bus is away */
        uint64_t generation;
        RingPath *ring;      /* path LOCAL: shared memory, once it is open; or NULL */
        Introduction introduction;
        SignedRecord lease; /* path OFF_HOST: to seal for */
        bool has_lease;
        Epochs *epochs;           /* keys in common; or NULL: it never was off-host */
        Ask lease_ask;            /* for a newer lease, while DATA goes on */
        uint64_t lease_asked_usec;
        int64_t clock_offset_usec; /* what its NACK STALE taught us to add to our clock */
        PacketId *sealed_ids;      /* PEER_SEALED_IDS, a ring; not of DATA */
        unsigned n_sealed_ids;     /* since it was all begun anew: */
        uint64_t sealed_generation; /* the session's, when that was */
        uint64_t changed_usec;     /* when its path last changed */
        uint64_t full_wait_usec;   /* back-off after QUEUE_FULL and the like */
        Budget open_budget, nack_budget, forged_budget;
        bool is_known; /* a sealed packet of it was opened, or it answered */

        Traffic traffic;
        uint16_t refusal;   /* the ControlCode that came last for what we sent to it, */
        uint8_t refused_by; /* and from whom: P2PBUS_BY_X */
        char *refusal_text; /* and by which rule, if that was said; or NULL */
        uint64_t round_trip_usec; /* of the last ping; 0: there was none */

        uint64_t memory; /* of its session, as counted in bus->memory */
        unsigned n_unsettled; /* messages in bus->sent */
        unsigned n_owed;      /* answers that it owes us, or we owe it */
        Message *inbox;  /* list: popped, for the application */
        Message *lent;   /* list: the application holds them, done or not */
        uint64_t heard_attach;    /* our n_attaches, when the daemon last gave us something of it */
        uint64_t handed_end, handed_path; /* p2pbus_hand_over() confirmed this many, this way */
        bool was_full;   /* somebody was told -EAGAIN: room is news */
        bool was_full_of_parts; /* the same for parts of answers */
        uint64_t sealed_usec; /* when the last packet to it was sealed */
        SealedType sealed_as; /* and as what */
        uint64_t published_usec; /* when a message on a topic went to it, or came from it */
        bool is_gathering;    /* in that list, and not in the dirty one; is_dirty all the same */
        bool is_dirty, is_ready, is_untold;
        Peer *dirty_prev, *dirty_next;
        Peer *ready_prev, *ready_next;
        Peer *untold_prev, *untold_next;

        Peer *same_pid; /* the next with this PID */
        UT_hash_handle hh;
};

/*
 * For each peer of @bus, declared as Peer *@peer; it is one loop, for break and continue, too. Whoever
 * frees a peer in it leaves it then.
 */
#define PEER_FOREACH(bus, peer)                                                                    \
        for (Peer *peer = (bus)->peers, *peer##_first = peer; peer;                                \
             peer = peer->same_pid ? peer->same_pid : (peer##_first = peer##_first->hh.next))

/* The peer with @address (tag 0: any with the PID) and, if not NULL, @key; or NULL. */
Peer *peer_find(p2pbus *bus, Address address, const PublicKey *key);
/*
 * The same, made if it is not there yet.
 * Return: 0; -ENOMEM; -ENOBUFS: over buffer_bytes, with nobody to forget.
 */
int peer_get(p2pbus *bus, Address address, const PublicKey *key, Peer **ret);
/* Closes its session without waiting and frees it; messages it has are settled as unknown. */
Peer *peer_free(Peer *peer);
void peer_free_all(p2pbus *bus);
/* The handle ends: all rings do. */
void peer_leave_rings(p2pbus *bus);

/* Its records go through shared memory now. */
static inline bool peer_is_on_ring(const Peer *peer) {
        return peer->ring && peer->ring->is_open;
}

/* Hands @message to its session. Return: 0, SESSION_E_FULL, SESSION_E_TOO_BIG, -errno. */
int peer_send(Peer *peer, Message *message);
/* Its session has taken @message, by peer_send() or otherwise. */
void peer_began(Peer *peer, Message *message);
/* The application is done with @message, which it got from this peer. */
void peer_taken(Peer *peer, Message *message);

/* Something may have become ready: look at it in loop_send(). */
void peer_mark(Peer *peer);
void peer_unmark(Peer *peer);
/* Whether more is likely to come that can be sealed together with what there is. */
bool peer_is_gathering(const Peer *peer);
/*
 * Produces packets until the session is idle or the output is long; pops messages and results.
 * Careful: frees the peer if its session is over. Return: whether it should be looked at again.
 */
bool peer_pump(Peer *peer);
/* Whether its session is another one by now: the requests that came before cannot go on. */
void peer_look_at_session(Peer *peer);
/* What came and is whole goes to the application's side, where nobody takes it back. */
void peer_pop(Peer *peer);
/* Passes on what the two sessions of a peer that is ourselves have to say (loopback.c). */
void peer_loop_back(Peer *peer);
/* Where its messages are popped and taken. */
static inline Session *peer_inbound(const Peer *peer) {
        return peer->mirror ? peer->mirror : peer->session;
}

/* Whose records they are: proven by the daemon's word on @address, or also by a seal. */
typedef struct PeerSource {
        Address address;
        const PublicKey *key;      /* that a seal has proven; NULL: in the clear */
        const SignedRecord *lease; /* that came with it; NULL: none, it was DATA or in the clear */
        bool is_remote;
        Peer *peer; /* not NULL: they stand in a ring with this one, who may change them */
        Loan *loan; /* what keeps them there, or NULL */
        uint64_t sent_usec; /* when the packet was sent, by a clock of this host; 0: not known */
        uint64_t ends_usec; /* the end of its only message; 0: it has several, or does not say */
} PeerSource;

/* A packet of records in the clear, from a process of this host. */
void peer_on_records(p2pbus *bus, const PacketHeader *header, const uint8_t *packet);
/* A sealed packet (sealed.c). */
void peer_on_sealed(p2pbus *bus, const PacketHeader *header, const uint8_t *packet);
/* Records, opened if they were sealed. */
void peer_consume(p2pbus *bus, const PeerSource *source, const uint8_t *records, size_t n_records);
/* It is @key's; what was settled before is compared. Return: false: it is somebody else. */
bool peer_settle(Peer *peer, Address address, const PublicKey *key);
/* The keys in common with it, which are none at first; NULL: no memory, or it is not known who. */
Epochs *peer_epochs(Peer *peer);
/* Seals a packet for it and queues that; @ret_id may be NULL. Return: as path_send_sealed(). */
int peer_send_sealed(Peer *peer, const uint8_t *records, size_t n_records, PacketId *ret_id);
/* Asks for its current lease, without leaving the path of now. */
void peer_renew_lease(Peer *peer);
/* The same way anew: what went before, and was not heard of, may be lost. */
void peer_go_again(Peer *peer);
/* Seals for @lease from now on. */
void peer_go_off_host(Peer *peer, const SignedRecord *lease);
/* Asks the daemon where it is, by the next packet. */
void peer_go_local(Peer *peer);
/* Queues a packet outside its session, on the path of now. */
void peer_send_records(Peer *peer, const uint8_t *records, size_t n_records);

/* What the daemon says. */
void peer_on_not_local(p2pbus *bus, const Control *word);
void peer_on_now_local(p2pbus *bus, Address address);
void peer_on_refused(p2pbus *bus, const Control *word);
void peer_on_queue_space(p2pbus *bus, Address address);
/* We refuse to send to it ourselves, by [Network] Send=. */
void peer_note_network_refusal(Peer *peer);
/* The bus is there again or away, our lease is new, or relays changed. */
void peer_update_path(Peer *peer);
void peer_update_all_paths(p2pbus *bus, bool off_host_only);
