/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * The handle: everything that stands behind a p2pbus *
 *
 * One lock protects it all. A public call enters (bus_enter(): not forked, locked, the time read),
 * does its work on plain structures, and leaves (bus_leave(): what became ready to be sent is put
 * into packets, written if it is time, and whoever waits is woken). Nothing is ever called back
 * with the lock held.
 *
 * Waiting. Any number of threads may block in calls on one handle: the first leads, waits for the
 * socket and the timers and does the work for all; the others wait for bus->changed. Whoever was
 * served leaves and another leads. Threads that wait elsewhere, in poll() with p2pbus_get_fd(), are
 * woken through the outside eventfd.
 *
 *      bus.c         open, close, references, entering and leaving, state
 *      loop.c        leading and following, timers, any event loop
 *      attachment.c  the connection to the daemon, again and again; leases
 *      daemon.c      control words: questions to the daemon, its answers and hints
 *      peer.c        one remote process: its session and the path to it
 *      loopback.c    messages to oneself
 *      whereabouts.c where a peer is, as those say who know
 *      records.c     records that came, on their way to a session
 *      network-rules.c  with whom on other hosts we may talk
 *      path.c        records into packets, in the clear or sealed
 *      path-ring.c   records through shared memory
 *      introduction.c  when two processes get such a ring
 *      tap.c         what goes through rings, for monitors
 *      report.c      how it is with each peer, for who asks
 *      bell.c        what wakes the other side of a ring
 *      sealed.c      keys in common with a peer, sealed packets that came, and their refusals
 *      service.c     service names as destinations
 *      provider-set.c  who provides one of them
 *      provider-watch.c  what the application is told of that
 *      outcome.c     what was sent to one of them, and goes on to another
 *      balance.c     which of several providers is asked
 *      fan-out.c     all of them are
 *      own-name.c    service names that we provide
 *      drain.c       how we stop providing them
 *      announcement.c  what other hosts are told of them
 *      grant.c       and what gives them the right to believe that
 *      rights.c      what was granted, and is taken away
 *      send.c        messages out, and what became of them
 *      request.c     requests and replies
 *      answer-part.c  replies that come in parts
 *      reservation.c messages that are composed where the receiver reads them
 *      receive.c     messages in
 *      borrow.c, loan.c   messages that are read where they came
 *      topic.c         publish and subscribe
 *      topic-remote.c  the same between hosts
 *      remote-reader.c, remote-writer.c  who gets what there, and from whom we do
 *      ping.c        whether a process answers
 *      admin.c       resolve, ping, query, reload, counters
 *      monitor.c     what others say
 *      public-message.c, key-file.c, reason.c   the rest of p2pbus.h
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "libclient/connection.h"
#include "libclient/message.h"
#include "libclient/network-rules.h"
#include "libclient/p2pbus.h"
#include "libclient/known-peers.h"
#include "libclient/session.h"
#include "libclient/timer.h"
#include "libcore/control.h"
#include "libcore/packet.h"
#include "libcore/topic-tree.h"
#include "libsecure/epochs.h"
#include "libsecure/identity.h"
#include "libsecure/key.h"
#include "libsecure/seal.h"

#define BUS_SCRATCH_SIZE PACKET_PAYLOAD_MAX
#define BUS_GATHER_BYTES 32768     /* queued bytes that are written without waiting for more */
#define BUS_GATHER_USEC 200        /* after a write, the next small ones gather this long */
#define BUS_GATHER_ONE_USEC 2000   /* the same for what is sealed without keys in common */
#define BUS_GATHER_RING_USEC 10    /* the same for what goes into a ring, which costs a fence */
#define BUS_GATHER_RING_BYTES 8192 /* and no more than that gathers */
#define BUS_OUTPUT_MAX 262144      /* queued bytes beyond which sessions wait for the socket */
#define BUS_BUFFER_DEFAULT (UINT64_C(64) << 20)
#define BUS_SOURCES 64               /* budgets of those who are no peers, by hash */
#define BUS_RESULTS_MAX 65536      /* results that may wait for p2pbus_next_result() */
#define BUS_SPIN_USEC 50           /* a wake-up of another CPU costs about that */
#define BUS_DAY_USEC (24 * 60 * 60 * USEC_PER_SEC)
#define BUS_CONNECT_USEC (5 * USEC_PER_SEC)
#define BUS_KEY_LIFE_USEC (7 * BUS_DAY_USEC) /* of what others seal for */
#define BUS_KEY_LIFE_MIN_USEC (60 * 60 * USEC_PER_SEC)
#define BUS_KEY_LIFE_MAX_USEC (30 * BUS_DAY_USEC)

typedef struct Ask Ask;
typedef struct FanOut FanOut;
typedef struct MonitorQueue MonitorQueue;
typedef struct OwnName OwnName;
typedef struct OwnTopic OwnTopic;
typedef struct Ping Ping;
typedef struct RemoteReader RemoteReader;
typedef struct RemoteTopic RemoteTopic;
typedef struct RemoteWriter RemoteWriter;
typedef struct Request Request;
typedef struct RightChange RightChange;
typedef struct RingPath RingPath;
typedef struct Watch Watch;

/* All rings of a handle: path-ring.h. */
#define RINGS_SAID 64

typedef struct Rings {
        RingPath *awake, *asleep;
        RingPath *dead; /* to be freed when nobody leads */
        unsigned n;     /* awake and asleep */
        PacketId said[RINGS_SAID]; /* our last packets about rings: introduction.c */
        unsigned n_said;

        /* Looking for a while before sleeping: loop.c */
        uint64_t spin_usec;      /* 0: never */
        uint64_t cpus_read_usec; /* when it was last asked on how many CPUs we may run */
        bool has_cpus;           /* more than one */
        unsigned n_vain;         /* in a row, that ended without anything */
        unsigned n_skipped;      /* times of not looking, since the last that did */
} Rings;

/* What sealing is done by; the constants, unless a test has chosen. */
typedef struct Sealing {
        EpochLimits epochs;
        uint64_t key_life_usec;
} Sealing;

/* Tokens that come back with time: so many now, so many a second. */
typedef struct Budget {
        uint64_t filled_usec;
        uint32_t left;
} Budget;

/* Stopping to provide: drain.h. */
typedef struct Drain {
        Ping *pings; /* that were said; NULL: not yet, or they are answered */
        size_t n_pings;
        uint64_t until_usec; /* nobody is waited for any longer */
        Timer timer;
} Drain;

struct p2pbus {
        unsigned n_refs;  /* the user's; atomic */
        unsigned n_holds; /* one for all of these, one for each message received; atomic */
        void *alive;      /* secret_alloc(): reads zero in a forked child */

        pthread_mutex_t lock;
        pthread_cond_t changed;
        uint64_t now_usec;    /* CLOCK_BOOTTIME at bus_enter() or after waiting */
        uint64_t wall_offset; /* wall clock less that; wraps */
        uint64_t wall_read_usec;

        /* Waiting: loop.c */
        int epoll_fd, outside_fd, leader_fd;
        uint32_t epoll_events; /* registered for the connection */
        bool is_led;
        bool is_asleep; /* whoever leads is in poll() */
        bool leader_woken, outside_woken;
        uint64_t leader_until_usec, outside_until_usec; /* 0: does not wait */
        unsigned n_followers;
        uint64_t n_events;      /* counts whatever somebody may wait for */
        uint64_t n_events_told; /* to followers and those outside */
        uint64_t n_events_seen; /* by p2pbus_process() */
        Timers timers;

        /* Who we are */
        IdentityKey *identity;
        KnownPeers *known; /* whom we have met by a bare PID */
        KeyHash self;
        char self_full[KEY_TEXT_SIZE];
        char self_pid[PID_TEXT_SIZE];
        uint32_t flags; /* P2PBUS_OFF_HOST ... */
        bool is_ephemeral;

        /* The way to the daemon: attachment.c */
        char path[CONNECTION_PATH_SIZE];
        Connection *connection; /* NULL: away */
        bool is_up;             /* it is UP, and what belongs to that was done */
        bool is_closed;         /* for good */
        int away_reason;        /* P2PBUS_REASON_X */
        Timer connect_timer;    /* until it is tried again, or has taken too long */
        uint64_t connect_wait_usec;
        uint64_t n_attaches;
        uint64_t generation;   /* of paths: grows with each attach and each PATH_CHANGED */
        ConnectionWelcome welcome;
        uint64_t welcomed_usec;
        uint32_t hello_flags; /* HELLO_X now */
        uint32_t n_reachable; /* links that know us */
        uint32_t n_taps_lost; /* left out since the last one that was shown */
        uint64_t written_usec;
        bool is_pressed; /* what is to be sent is waited for: it gathers no longer */
        uint64_t socket_read_usec;
        Sealer *sealer; /* NULL without P2PBUS_OFF_HOST */
        Sealing sealing;
        bool has_lease;
        uint64_t lease_life_usec;
        uint8_t lease[SIGNED_RECORD_LEASE_SIZE];
        NetworkRules network;
        Ask *asks;
        Ping *pings;

        /* Peers: peer.c */
        Peer *peers;       /* by PID; of several with one PID, the others hang behind */
        unsigned n_peers;
        Peer *dirty;       /* list: have something to produce, pop or report */
        Peer *gathering;   /* list: dirty, but wait for more to seal in one packet */
        Peer *ready;       /* list: have messages for the application */
        unsigned n_borrowers; /* calls of p2pbus_borrow() that run */
        Peer *untold;      /* list: took messages that their peers may not know of */
        Rings rings;
        SessionQuota quota;
        uint64_t buffer_bytes;
        uint64_t memory;   /* of all sessions, as of their last look */
        Budget open_budget, nack_budget, answer_budget; /* shared by all */
        Budget open_sources[BUS_SOURCES], nack_sources[BUS_SOURCES], answer_sources[BUS_SOURCES];
        char last_dest[KEY_TEXT_SIZE];
        Peer *last_peer; /* that last_dest names */
        uint8_t *scratch;  /* BUS_SCRATCH_SIZE; records on their way to a packet */
        bool is_marked;    /* the sealed packet that is read now came with CE */
        uint8_t *sealed;   /* the same, sealed; with P2PBUS_OFF_HOST, as the next */
        uint8_t *opened;   /* records of a sealed packet that came */
        uint8_t *padded;   /* with P2PBUS_PAD: SEAL_CONTENT_MAX; what is to be sealed, and padding */

        /* Messages */
        uint64_t unique;     /* of the next packet id */
        uint64_t session_id; /* of the last session that was begun here, before it is mixed */
        Message *sent;   /* list, in the order of sending: not settled */
        uint64_t n_sent_ever;
        Message *results; /* list: settled, for p2pbus_next_result() */
        unsigned n_results;
        int failure; /* reason of the first failure since p2pbus_flush(), or 0 */
        Request *requests; /* by id */
        Request *calls;    /* list: callbacks to be run */
        Request *called;   /* whose callback runs, of those that may be called again; or NULL */
        bool is_calling;
        pthread_t caller;
        p2pbus_counters counters;
        SessionCounters past; /* of peers that were forgotten */

        /* Names and monitoring */
        Service *services;          /* that we send to, or watch */
        Provider *provider_changes; /* list: for the application */
        FanOut *fan_outs;  /* list: not over yet */
        OwnName *own_names;
        unsigned n_open; /* requests that came and are not over */
        Drain drain;
        uint64_t chance; /* where random numbers that need not be secret come from */
        struct {
                OwnTopic *own;      /* subscribed to */
                TopicTree patterns; /* the same */
                Message *inbox;     /* list, by bus_next */
                size_t n_inbox_bytes;
                size_t n_remote_bytes; /* of these, from other hosts */
                uint64_t n_lost;       /* since the last that came */
                uint64_t n_published;
                bool had_turn;       /* the application got one of these last */
                RemoteTopic *remote; /* published on, and who elsewhere reads it */
                RemoteReader *readers;
                size_t n_waiting_bytes; /* of what waits for these, and of what is retained */
                bool awaits_room;       /* some of it for the socket */
                RemoteTopic *retained;  /* list, the oldest first: with a message for readers to come */
                unsigned n_retained;
                size_t n_retained_bytes;
                Timer retained_timer;    /* asks who reads these */
                Timer owed_timer;        /* gives it to whom there was no room for */
                uint64_t retained_usec;  /* a second begins, */
                size_t n_retained_given; /* in which readers got so many bytes of it */
                RemoteWriter *writers;
                unsigned n_heard; /* topics of these */
        } topics;
        Watch *watches;
        MonitorQueue *monitor;
        struct {
                RightChange *changes; /* list: for the application */
                unsigned n_changes;
                RightChange *told; /* that it got last: it looks into it */
                bool is_monitor_lost;
                bool had_off_host, is_off_host_lost;
                char no_off_host[CONTROL_TEXT_MAX + 1]; /* by which rule; "" if it is not known */
        } rights;
};

/*
 * Every public call on a handle begins with it. Return: 0 and the handle is locked; or the error to
 * return, noted, and it is not.
 */
int bus_enter(p2pbus *bus);
/* The same for what happens with each message and may think that no time has passed. */
int bus_enter_timeless(p2pbus *bus);
/* The same for calls that may wait: not from within a callback. */
int bus_enter_blocking(p2pbus *bus);
/* Sends what is to be sent, wakes whom it may concern, unlocks. Returns @r. */
int bus_leave(p2pbus *bus, int r);
/* Something happened that somebody may wait for. */
static inline void bus_happened(p2pbus *bus) {
        bus->n_events++;
}
/* One more reason for the handle's memory to stay; any thread. */
void bus_hold(p2pbus *bus);
void bus_release(p2pbus *bus);
/* A forked child has the memory, but not the keys. */
bool bus_is_forked(const p2pbus *bus);
/* The end, with @reason: nothing is sent or waited for any more. Locked. */
void bus_end(p2pbus *bus, int reason);
/* A fresh packet or message id; its time is now. */
PacketId bus_new_id(p2pbus *bus);
/* An id for a new session: it will not meet one of another process, and that is all it has to. */
uint64_t bus_new_session_id(p2pbus *bus);
/* The wall clock, as of bus->now_usec. */
static inline uint64_t bus_wall(const p2pbus *bus) {
        return bus->now_usec + bus->wall_offset;
}
/* Both clocks, for what keeps keys. */
static inline EpochTime bus_epoch_time(const p2pbus *bus) {
        return (EpochTime){ .now_usec = bus->now_usec, .wall_usec = bus_wall(bus) };
}
/* @timeout_usec from now on bus->now_usec's clock; never wraps. 0 means @if_zero. */
uint64_t bus_deadline(const p2pbus *bus, uint64_t timeout_usec, uint64_t if_zero);
/*
 * Whether @size is that of a structure of p2pbus.h in some version: @first bytes in the first, and
 * whole fields of 8 bytes were appended up to @now.
 */
static inline bool struct_size_is_known(size_t size, size_t first, size_t now) {
        return size >= first && size <= now && (size - first) % 8 == 0;
}
/* Takes one token of at most @burst, of which @per_second come back. False: none left. */
bool budget_take(Budget *budget, uint64_t now_usec, uint32_t per_second, uint32_t burst);
/*
 * Takes one token of a source's own budget, @n_own a second, and one of what all share, @n_all; from
 * neither if one has none: nobody's flood is paid from what all share, but for what is his.
 */
bool budget_take_both(Budget *own, uint32_t n_own, Budget *all, uint32_t n_all, uint64_t now_usec);
/* Which of BUS_SOURCES budgets is that of @source, and of a 64th of all others. */
static inline Budget *budget_of(Budget *sources, Address source) {
        return &sources[(source.pid ^ source.tag) % BUS_SOURCES];
}
/* Whether one could be taken. */
bool budget_has(Budget *budget, uint64_t now_usec, uint32_t per_second, uint32_t burst);
