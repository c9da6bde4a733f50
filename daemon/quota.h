/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Who pays for what the daemon holds
 *
 * Everything that a process can make the daemon hold is charged to a User, the uid. What lies in
 * somebody's queue is charged to the receiver's User *on behalf of* the sender's: that pair is a
 * Usage. A sender gets only a share of what is left, smaller the more uids hold shares, so that no
 * stranger can fill a queue; charges on behalf of oneself are limited only by the total:
 *
 *      (n + 1) * (share + charge) - share <= remaining         n: uids that hold a share
 *
 * On a user bus there are no strangers: only the memory of the whole daemon, the number of
 * connections, and descriptors on their way count there.
 */

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "libcore/log.h"

typedef enum QuotaSlot {
        /* Shared: held in queues, charged through a Usage. */
        QUOTA_BYTES,
        QUOTA_MESSAGES,
        QUOTA_FDS,
        _QUOTA_SHARED,

        /* One's own. */
        QUOTA_CONNECTIONS = _QUOTA_SHARED,
        QUOTA_UNATTACHED, /* of the connections, those that have not attached yet */
        QUOTA_REQUESTS,   /* questions that wait for the gateway */
        QUOTA_NAMES,
        QUOTA_LEASES,
        QUOTA_RINGS,
        QUOTA_RING_BYTES, /* of data, in the files of its processes */
        QUOTA_SUBSCRIPTIONS,
        QUOTA_RETAINED, /* messages kept for later subscribers */
        _QUOTA_SLOTS,
} QuotaSlot;

#define QUOTA_ROOT_FACTOR 8
#define QUOTA_USERS_KEPT 1024 /* that are not here any more, for their rates */

typedef struct QuotaLimits {
        bool per_user; /* false on a user bus */
        uint64_t max[_QUOTA_SLOTS];
        uint64_t attach_rate; /* a second */
        uint64_t attach_burst;
        uint64_t memory; /* bytes in all queues of all users */
} QuotaLimits;

/* What holds for one user: of these, or what policy says. */
typedef struct UserLimits {
        uint64_t max[_QUOTA_SLOTS];
        uint64_t attach_rate, attach_burst;
} UserLimits;

typedef struct Quota Quota;
typedef struct Usage Usage;
typedef struct User User;
typedef struct Subject Subject;

/* Changes what holds for @user. */
typedef void QuotaAdjust(void *userdata, const User *user, UserLimits *limits);

struct User {
        Quota *quota;
        UT_hash_handle hh;
        uint32_t uid;
        uint32_t n_refs;
        uint32_t n_attached; /* processes; as the next, for rights.c */
        Subject *brought; /* subjects of these, with a reference, that files with limits are for */
        UserLimits limits;
        uint64_t used[_QUOTA_SLOTS];
        Usage *usages;      /* of others and of itself, by the actor's uid */
        uint32_t n_sharing; /* usages that hold something */
        LogRate log_rate;
        uint64_t attach_tokens; /* millionths */
        uint64_t attach_refilled_usec;
        uint32_t n_ring_violations;
        char *name; /* the account's, once somebody asked; "" if it has none */
};

struct Usage {
        User *user;
        UT_hash_handle hh;
        uint32_t actor;
        uint32_t n_refs;
        uint64_t share[_QUOTA_SHARED];
};

struct Quota {
        QuotaLimits limits;
        QuotaAdjust *adjust; /* or NULL */
        void *adjust_userdata;
        User *users;
        uint64_t memory_used;
};

enum {
        _QUOTA_E_SUCCESS,

        QUOTA_E_EXCEEDED,
};

/* The formula above, for one slot; false also if it would overflow. */
bool quota_share_fits(uint64_t remaining, uint64_t n_sharing, uint64_t share, uint64_t charge);

void quota_init(Quota *quota, const QuotaLimits *limits);
/* Other limits, from now on, for users that are here, too; what they hold beyond them they keep. */
void quota_set_limits(Quota *quota, const QuotaLimits *limits, QuotaAdjust *adjust, void *userdata);
/* All users must have been given back. */
void quota_done(Quota *quota);

/* The user with this uid, made if new. Return: 0, -ENOMEM. */
int user_get(Quota *quota, uint32_t uid, User **ret);
User *user_unref(User *user);
/* The user with this uid, if it is here; NULL else. */
const User *user_find(const Quota *quota, uint32_t uid);
/* Finds its limits out again: what adjusts them may say something else. What it holds it keeps. */
void user_set_limits(User *user);
static inline uint64_t user_limit(const User *user, QuotaSlot slot) {
        return user->limits.max[slot];
}

/* Takes @n of a slot of one's own. Return: 0, QUOTA_E_EXCEEDED. */
int user_take(User *user, QuotaSlot slot, uint64_t n);
void user_give(User *user, QuotaSlot slot, uint64_t n);
/* Whether one more ATTACH may succeed now (monotonic). */
bool user_attach_passes(User *user, uint64_t now_usec);

/* What @actor holds on @user; the caller gets a reference. Return: 0, -ENOMEM. */
int usage_get(User *user, uint32_t actor, Usage **ret);
/* May be called while something is still charged: it then goes with the last release. */
Usage *usage_unref(Usage *usage);
/* All or nothing. Return: 0, QUOTA_E_EXCEEDED. */
int usage_charge(Usage *usage, uint64_t bytes, uint64_t messages, uint64_t fds);
/* For what cannot be refused (half a frame that was read): counted, never refused. */
void usage_charge_anyway(Usage *usage, uint64_t bytes, uint64_t messages, uint64_t fds);
/* Careful: @usage may be gone from here if the caller holds no reference. */
void usage_release(Usage *usage, uint64_t bytes, uint64_t messages, uint64_t fds);
