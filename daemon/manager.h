/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Manager: the one object that owns everything of a daemon
 *
 * One thread, one loop. All connections are in an epoll set of the manager's own, which is one
 * source of sd-event: a connection costs no event source. Each wake-up is a turn: read from every
 * connection that has something, route what came, and at the end of the turn write to every
 * connection that got something, once. Objects that end during a turn are unlinked at once and
 * freed at its end, for others may still look at them.
 *
 * Whoever is called from the loop otherwise (timers, signals) ends with manager_end_turn().
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "daemon/barrier.h"
#include "daemon/gateway.h"
#include "daemon/listener.h"
#include "daemon/monitor.h"
#include "daemon/names.h"
#include "daemon/policy.h"
#include "daemon/quota.h"
#include "daemon/registry.h"
#include "daemon/remote-names.h"
#include "daemon/rings.h"
#include "daemon/settings.h"
#include "daemon/survey.h"
#include "daemon/topics.h"
#include "daemon/wants.h"
#include "libcore/control.h"
#include "libcore/log.h"
#include "libcore/stream.h"
#include "libsecure/attach.h"

#define MANAGER_READ_SIZE 262144 /* one buffer for all reads */

typedef struct Manager Manager;
typedef struct Peer Peer;

/* Nothing is refused or dropped without one of these. */
typedef struct Counters {
        uint64_t accepted;
        uint64_t turned_away; /* closed at once: a connection limit */
        uint64_t attached;
        uint64_t attach_timeouts;
        uint64_t violations;
        uint64_t packets_routed;
        uint64_t bytes_routed;
        uint64_t refused[_CODE_MAX];
        uint64_t words_dropped; /* control words for a process that does not read */
        uint64_t lost_at_close; /* packets in the queue of a process that left */
        uint64_t monitor_lost;
        uint64_t taps_lost;    /* of rings: left out by who put them there, as it says */
        uint64_t taps_dropped; /* of rings that the daemon does not know of, or not any more */
        uint64_t rings_made;
        uint64_t rings_declined;
        uint64_t ring_timeouts;   /* the other side did not answer */
        uint64_t ring_violations; /* reported by the other side */
        uint64_t topics_published;
        uint64_t topics_delivered;
        uint64_t topics_lost;    /* for want of room */
        uint64_t services_unread; /* of other hosts: more than are verified in a second */
        uint64_t wants_refused;  /* of other hosts, for want of room */
        uint64_t wants_not_told; /* of this host, for which a relay or the gateway has no room */
} Counters;

typedef struct ManagerOptions {
        bool user_bus;
        const char *socket_path; /* NULL: @listen_fd */
        int listen_fd;           /* -EBADF: make one */
        const char *config_path; /* may be NULL; read again by reload */
        ConfMissing config_missing;
        const char *state_path;
        PolicyFolders policy_folders;
} ManagerOptions;

struct Manager {
        Log log;
        ManagerOptions options;
        Config config; /* taken over */
        Policy *policy;
        char denial[CONTROL_TEXT_MAX +
                    1]; /* by which rule what is asked for now is denied, or "" */
        Quota quota;
        Registry registry;
        Names names;
        RemoteNames remote_names;
        Gateway gateway;
        Monitors monitors;
        Rings rings;
        Surveys surveys;
        Topics topics;
        Wants wants;
        Barrier barrier;
        Listener listener;
        Counters counters;

        sd_event *event;
        sd_event_source *io, *timer, *sigterm, *sigint, *sighup;
        int epoll_fd;
        StreamPool *pool;
        uint8_t *read_buffer;

        Peer *peers;      /* all that are not dead */
        Peer *unattached; /* of these, oldest first */
        Peer *dirty;      /* to be written at the end of the turn */
        Peer *dead;       /* to be freed then */
        uint32_t n_peers, n_peers_max;

        uint8_t instance[HELLO_INSTANCE_SIZE];
        uint64_t now_usec; /* monotonic, taken once a turn */
        uint64_t started_usec;
        uint64_t unique; /* for packet ids */
        uint64_t timer_usec;
        uint64_t space_usec; /* when those who wait for a share are told to try again */
        uint64_t stop_usec;  /* 0, or when we stop waiting for those who do not read */
};

/* Reads the policy that goes with @config. Return: as policy_new(). */
int manager_read_policy(const ManagerOptions *options, const Config *config, const Log *log,
                        Policy **ret, ConfError *ret_error);
/* Takes @config and @policy over, on success only. Return: 0; -errno, said in the log. */
int manager_new(Manager **ret, const Log *log, const ManagerOptions *options, Config *config,
                Policy **policy);
Manager *manager_free(Manager *manager);
DEFINE_CLEANUP(Manager, manager_free)

/* Runs until SIGTERM or SIGINT. Return: 0, -errno. */
int manager_run(Manager *manager);

/* Writes what was queued and frees what died. */
void manager_end_turn(Manager *manager);
/* Asks to be woken at @usec (monotonic) at the latest; on_time() of whoever wants it looks. */
void manager_wake_at(Manager *manager, uint64_t usec);
/* Reads configuration and policy again. Return: false if one is bad: the old ones stay, the log says
 * so. */
bool manager_reload(Manager *manager);

/* What HELLO, NOTICE and STATUS say of the bus now: HELLO_ flags. */
uint32_t manager_hello_flags(const Manager *manager);
/* Tells everybody that they changed. */
void manager_notice(Manager *manager);
PacketId manager_packet_id(Manager *manager);
/* Younger than SettleTime=. */
bool manager_is_young(const Manager *manager);
