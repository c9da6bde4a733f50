/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Peer: one connection, and the process behind it
 *
 *      accept --> PEER_NEW --ATTACH verified--> PEER_ATTACHED --> PEER_DEAD
 *                    |                                               ^
 *                    +------ timeout, bad ATTACH, violation ---------+
 *
 * A connection that will take no more bytes is still read: what a process said before it went is
 * delivered. A dead peer is unlinked from everything at once (peer_kill() lists it) and freed at
 * the end of the turn.
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/manager.h"
#include "daemon/outbox.h"

#define PEER_COMM_SIZE 16
#define PEER_WORD_RESERVE 262144 /* bytes above the queue's limit, for control words alone */
#define PEER_FLUSH_SIZE 65536    /* so much is written before the turn ends */
#define PEER_WAITING_MAX 4096
#define PEER_SPACE_USEC (100 * USEC_PER_MSEC) /* a share that was used up is tried again */

typedef enum PeerState {
        PEER_NEW,      /* HELLO is sent */
        PEER_ATTACHED, /* has proven its key */
        PEER_DEAD,
} PeerState;

/* What stands in the way of a packet between two processes; found out once, kept in PeerRoute. */
typedef enum RouteVerdict {
        ROUTE_OPEN,
        ROUTE_ANSWERS, /* only answers pass */
        ROUTE_CLOSED,
} RouteVerdict;

/* Where the last packet went: most processes talk to one other for a while. */
typedef struct PeerRoute {
        uint8_t pid[8], tag[4]; /* as in the packet */
        bool told_local;        /* NOW_LOCAL was said */
        RouteVerdict verdict;
        uint64_t generation; /* of the registry; 0: nothing is kept */
        Peer *to;
        Usage *usage; /* of the sender at the receiver's */
} PeerRoute;

typedef struct Waiting Waiting;
typedef struct Lease Lease;

struct Peer {
        Manager *manager;
        Peer *prev, *next;                       /* manager->peers */
        Peer *prev_unattached, *next_unattached; /* manager->unattached */
        Peer *next_dirty, *next_dead;

        int fd;
        PeerState state;
        bool is_dirty;
        bool wants_out;   /* EPOLLOUT is asked for */
        bool output_dead; /* the other side reads no more */
        bool tells_space; /* at the end of the turn */
        bool ephemeral, off_host;
        bool no_monitor;    /* its payloads are not shown */
        bool asks_off_host; /* whether it is granted or not */
        bool was_denied;    /* a name or its like: it hears when policy is another one */
        unsigned n_unheard; /* that the log has since NETWORK was said */

        Stream *stream;
        Outbox outbox;
        size_t input_charged;

        User *user;
        Usage *self;       /* what the user holds on itself */
        Credentials creds; /* whole once it is attached */
        Subject *subject;  /* once it is attached: what policy takes it for */
        Capabilities caps; /* the subject's */
        char comm[PEER_COMM_SIZE];

        uint8_t *hello; /* while PEER_NEW */
        uint64_t connected_usec;

        RegistryEntry entry;
        PublicKey key;
        uint8_t src_pid[8], src_tag[4]; /* as every packet of this process must have them */
        uint64_t attached_wall_usec;
        PeerRoute route;

        Lease *lease; /* NULL: none was ever asked for */
        OwnedName *owned_names;
        NameWatch *name_watches;
        NameAsker *name_askers;
        unsigned n_services;    /* names that it tells other hosts of */
        uint64_t services_usec; /* till when what these cost was paid for */
        TopicReader topics;
        ToldTopics told; /* who reads elsewhere what it publishes */
        Waiter *waiters; /* questions to the gateway */
        BarrierAsker *barrier_askers;
        Monitor *monitor;
        Waiting *waiting; /* who was refused here with QUEUE_FULL */
        RingSide *rings;
        uint32_t n_offers; /* of rings, not answered yet */
        Survey *survey;    /* it asks; or NULL */
        SurveyReport *reports;
        Interview interview;
        uint64_t packets_in, packets_out, refused;
};

/* A fresh connection; HELLO goes out. Takes @fd on success only. Return: 0, -errno. */
int peer_new(Manager *manager, int fd, User *user, const Credentials *credentials, Peer **ret);
/* Unlinks it from everything. Careful: freed at the end of the turn. */
void peer_kill(Peer *peer);
/* For manager_end_turn(): frees it. */
Peer *peer_free(Peer *peer);

/* Who has @address. Return: CODE_OK; CODE_NOT_HERE, _AMBIGUOUS, _WRONG_KEY. */
ControlCode peer_find(const Manager *manager, Address address, Peer **ret);

/* @events of epoll. */
void peer_on_io(Peer *peer, uint32_t events);
/* Writes what the socket takes. */
void peer_flush(Peer *peer);
/* The same, and what follows from it; for manager_end_turn(). */
void peer_end_turn(Peer *peer);
/* To be called after something was put into the outbox. */
void peer_touch(Peer *peer);

/*
 * Queues a control word from the daemon. A process that does not read loses words beyond its
 * reserve; that is counted. Return: whether it was queued.
 */
bool peer_say(Peer *peer, const Control *word);
/* The same with a packet id, for words that are answered. */
bool peer_say_with_id(Peer *peer, const Control *word, const PacketId *id);
/* The same to another address than its own: an error for who is behind the gateway. */
bool peer_say_to(Peer *peer, const Control *word, Address dst);
/*
 * Queues a word with descriptors, at the cost of @usage; they are the outbox's if it returns
 * CODE_OK. Nothing is queued else: CODE_QUEUE_FULL, CODE_GONE, CODE_OVERLOAD.
 */
ControlCode peer_pass(Peer *peer, Usage *usage, const Control *word, const int *fds, size_t n_fds);
void peer_say_error(Peer *peer, ControlCode code, const PacketId *ref, Address address);
/* The same with the particulars, for people; @text may be NULL. */
void peer_say_refusal(Peer *peer, ControlCode code, const PacketId *ref, Address address,
                      const char *text);
/* Says why, logs it, closes. @text: what happened; @reason: name of the counter. */
void peer_refuse(Peer *peer, ControlCode code, const char *reason, const char *text);
/* GOODBYE and close. */
void peer_dismiss(Peer *peer, ControlCode code);

/* Bytes of others' packets that it may have. */
size_t peer_queue_limit(const Peer *peer);
/* May @size more bytes of others' packets be queued here? */
bool peer_has_room(const Peer *peer, size_t size);
/* @sender was refused a packet to @address, whose way is through this peer. */
void peer_wait(Peer *peer, Address sender, Address address);

/* Tells subscribers of the daemon's own @topic of it. */
void peer_announce(Peer *peer, const char *topic);
/* One line about this peer, if its user's rate allows; the rest is counted. */
_printf_(5, 6) void peer_log(Peer *peer, LogLevel level, const char *message_id, const char *reason,
                             const char *format, ...);
