/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Providers of a name on other hosts
 *
 * The gateway is asked for a name that somebody with OFF_HOST asks for, if anybody elsewhere could be
 * believed at all (daemon/name-trust.h). What it answers is judged and verified here, and known for a
 * while, 30 seconds at most; as long as somebody watches the name it is asked for again every few
 * seconds, and at once when a provider was found to have left, so that who comes and goes is seen.
 *
 * Whoever asks first waits, a short while and only if nobody on this host provides the name: an answer
 * about this host is never kept waiting for others. It says then that more follows.
 */

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "daemon/name-trust.h"
#include "libcore/control.h"
#include "libcore/provider.h"

#define REMOTE_NAMES_MAX 4096
#define REMOTE_NAMES_PROVIDERS_MAX 16384 /* of all names */
#define REMOTE_NAMES_ONE_MAX 256         /* of one */
#define REMOTE_NAMES_KNOWN_USEC (30 * USEC_PER_SEC)
#define REMOTE_NAMES_JUDGED_RATE 1000 /* records a second that are verified; a relay may send any */
#define REMOTE_NAMES_JUDGED_BURST 256
#define REMOTE_NAMES_FRESH_USEC USEC_PER_SEC       /* not asked again for who asks meanwhile */
#define REMOTE_NAMES_AGAIN_USEC (5 * USEC_PER_SEC) /* while it is watched */
#define REMOTE_NAMES_WAIT_USEC (2 * USEC_PER_SEC)
#define REMOTE_NAMES_ANSWER_USEC                                                                   \
        (3 * USEC_PER_SEC) /* a gateway that does not answer is asked anew */

typedef struct Manager Manager;
typedef struct Name Name;
typedef struct NameAsker NameAsker;
typedef struct Peer Peer;
typedef struct RemoteName RemoteName;
typedef struct RemoteProvider RemoteProvider;

struct RemoteProvider {
        PublicKey key;
        Address address;
        ProviderRank rank;
        NameTrustReason reason;
        uint64_t not_after_usec; /* wall clock */
        RemoteProvider *prev, *next;
        Slice metadata; /* in @bytes */
        size_t n_bytes;
        uint8_t bytes[]; /* the record and its grant */
};

/* Somebody who asked once, and waits. */
struct NameAsker {
        RemoteName *remote;
        Peer *peer;
        PacketId ref;
        NameAsker *prev, *next;           /* the name's */
        NameAsker *prev_peer, *next_peer; /* the process's */
};

struct RemoteName {
        Name *name;
        RemoteProvider *providers; /* who stands first in an answer first */
        uint64_t known_usec;       /* as of when; 0: nothing is known */
        bool is_stale;             /* no link has said yet, or it may have changed: who asks waits */

        UT_hash_handle hh;
        uint64_t id; /* of the question; 0: none is under way */
        uint64_t asked_usec;
        RemoteProvider *incoming; /* of an answer that is not whole yet */
        bool is_cut;              /* more was said of it than could be verified */
        unsigned n_incoming;

        uint64_t ask_usec;  /* ask again then; USEC_NEVER */
        uint64_t wait_usec; /* till then somebody waits; USEC_NEVER: nobody does */
        NameAsker *askers;
        RemoteName *prev, *next;
};

typedef struct RemoteNames {
        RemoteName *all;
        RemoteName *by_id;
        unsigned n, n_providers;
        uint64_t judged_usec; /* up to when records were verified, if each took its share of a second */
} RemoteNames;

/*
 * @asker wants to know of @name. Return: whether more than what is known now will be known soon; then
 * name_watches_note() is called for it, and those of remote_names_wait() are answered.
 */
bool remote_names_look(Peer *asker, Name *name);
/* Whether anybody elsewhere could be a provider for @asker. */
bool remote_names_may_look(const Peer *asker, const char *name, size_t n_name);
bool remote_names_is_awaited(const Name *name);
/* Whether it cannot be known yet if anybody elsewhere provides it: nobody known is not nobody there. */
bool remote_names_is_settling(const Peer *asker, const char *name, size_t n_name);
/* @peer, which asked once, as @ref, waits for it. Return: CODE_OK; CODE_QUOTA, CODE_OVERLOAD. */
ControlCode remote_names_wait(Peer *peer, Name *name, const PacketId *ref);
void remote_names_forget_askers(Peer *peer);
/* Puts what is known behind each other, as entries of NAMED, at most @n_max. Return: how many. */
size_t remote_names_put(const Name *name, uint8_t *body, size_t n_max);
const RemoteProvider *remote_names_first(const Name *name);

/* SERVICES of the gateway. */
void remote_names_on_services(Manager *manager, const Control *word);
/* The gateway has heard from its links: it is asked for all that is watched. */
void remote_names_begin(Manager *manager);
/*
 * There is no gateway any more. One that is restarted must not cost what is under way: what was known
 * stays as long as it would without a new answer.
 */
void remote_names_end(Manager *manager);
/* The end: all processes have left. */
void remote_names_done(Manager *manager);
/* Whom to believe may be others: who is not believed any more is dropped, and all is asked anew. */
void remote_names_rejudge(Manager *manager);
/* Nobody on other hosts has @address (any more). */
void remote_names_on_gone(Manager *manager, Address address);
void remote_names_on_time(Manager *manager);
