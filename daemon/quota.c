/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A Usage lives while somebody refers to it or it holds something; a User while somebody refers to
 * it or it has Usages. Both are made on demand; a User that has used some of its rates stays on
 * for a while, or whoever is over them would only have to come back.
 */

#include "daemon/quota.h"

#include <assert.h>

#include "libcore/err.h"
#include "libcore/util.h"

bool quota_share_fits(uint64_t remaining, uint64_t n_sharing, uint64_t share, uint64_t charge) {
        uint64_t sum, n;

        return !__builtin_add_overflow(share, charge, &sum) &&
               !__builtin_add_overflow(n_sharing, 1, &n) && !__builtin_mul_overflow(sum, n, &sum) &&
               sum - share <= remaining;
}

void quota_init(Quota *quota, const QuotaLimits *limits) {
        *quota = (Quota){ .limits = *limits };
}

void user_set_limits(User *user) {
        const Quota *quota = user->quota;
        uint64_t factor = user->uid == 0 ? QUOTA_ROOT_FACTOR : 1;

        for (unsigned i = 0; i < _QUOTA_SLOTS; i++)
                user->limits.max[i] = quota->limits.max[i] * factor;
        user->limits.attach_rate = quota->limits.attach_rate * factor;
        user->limits.attach_burst = quota->limits.attach_burst * factor;
        if (quota->adjust)
                quota->adjust(quota->adjust_userdata, user, &user->limits);
}

void quota_set_limits(Quota *quota, const QuotaLimits *limits, QuotaAdjust *adjust,
                      void *userdata) {
        User *user, *next;

        quota->limits = *limits;
        quota->adjust = adjust;
        quota->adjust_userdata = userdata;
        HASH_ITER (hh, quota->users, user, next)
                user_set_limits(user);
}

static void user_free(User *user) {
        assert(user->n_attached == 0 && !user->brought);
        HASH_DELETE(hh, user->quota->users, user);
        free(user->name);
        free(user);
}

void quota_done(Quota *quota) {
        User *user, *next;

        HASH_ITER (hh, quota->users, user, next) {
                assert(user->n_refs == 0 && !user->usages);
                user_free(user);
        }
        assert(quota->memory_used == 0);
}

static User *find(const Quota *quota, uint32_t uid) {
        User *user;

        HASH_FIND(hh, quota->users, &uid, sizeof(uid), user);
        return user;
}

const User *user_find(const Quota *quota, uint32_t uid) {
        return find(quota, uid);
}

int user_get(Quota *quota, uint32_t uid, User **ret) {
        User *user = find(quota, uid);

        if (!user) {
                user = calloc(1, sizeof(*user));
                if (!user)
                        return err_origin(-ENOMEM);
                user->quota = quota;
                user->uid = uid;
                user_set_limits(user);
                user->attach_tokens = user->limits.attach_burst * USEC_PER_SEC;
                HASH_ADD(hh, quota->users, uid, sizeof(uid), user);
        }
        user->n_refs++;
        *ret = user;
        return 0;
}

static void user_maybe_free(User *user) {
        if (user->n_refs > 0 || user->usages)
                return;
        for (unsigned i = 0; i < _QUOTA_SLOTS; i++)
                assert(user->used[i] == 0);
        if ((user->attach_refilled_usec > 0 || user->log_rate.started) &&
            HASH_COUNT(user->quota->users) <= QUOTA_USERS_KEPT)
                return;
        user_free(user);
}

User *user_unref(User *user) {
        if (!user)
                return NULL;
        user->n_refs--;
        user_maybe_free(user);
        return NULL;
}

int user_take(User *user, QuotaSlot slot, uint64_t n) {
        uint64_t limit = user_limit(user, slot);

        if (user->quota->limits.per_user &&
            (user->used[slot] > limit || n > limit - user->used[slot]))
                return QUOTA_E_EXCEEDED;
        user->used[slot] += n;
        return 0;
}

void user_give(User *user, QuotaSlot slot, uint64_t n) {
        assert(user->used[slot] >= n);
        user->used[slot] -= n;
}

bool user_attach_passes(User *user, uint64_t now_usec) {
        const UserLimits *limits = &user->limits;
        uint64_t full, gained;

        if (!user->quota->limits.per_user)
                return true;
        full = limits->attach_burst * USEC_PER_SEC;
        if (user->attach_refilled_usec == 0) {
                user->attach_tokens = full;
        } else if (__builtin_mul_overflow(now_usec - user->attach_refilled_usec,
                                          limits->attach_rate, &gained) ||
                   gained > full - MIN(full, user->attach_tokens)) {
                user->attach_tokens = full;
        } else {
                user->attach_tokens += gained;
        }
        user->attach_refilled_usec = now_usec;

        if (user->attach_tokens < USEC_PER_SEC)
                return false;
        user->attach_tokens -= USEC_PER_SEC;
        return true;
}

int usage_get(User *user, uint32_t actor, Usage **ret) {
        Usage *usage;

        HASH_FIND(hh, user->usages, &actor, sizeof(actor), usage);
        if (!usage) {
                usage = calloc(1, sizeof(*usage));
                if (!usage)
                        return err_origin(-ENOMEM);
                usage->user = user;
                usage->actor = actor;
                HASH_ADD(hh, user->usages, actor, sizeof(actor), usage);
        }
        usage->n_refs++;
        *ret = usage;
        return 0;
}

static bool usage_holds(const Usage *usage) {
        return usage->share[QUOTA_BYTES] > 0 || usage->share[QUOTA_MESSAGES] > 0 ||
               usage->share[QUOTA_FDS] > 0;
}

static void usage_maybe_free(Usage *usage) {
        User *user = usage->user;

        if (usage->n_refs > 0 || usage_holds(usage))
                return;
        HASH_DELETE(hh, user->usages, usage);
        free(usage);
        user_maybe_free(user);
}

Usage *usage_unref(Usage *usage) {
        if (!usage)
                return NULL;
        usage->n_refs--;
        usage_maybe_free(usage);
        return NULL;
}

/* Whether @usage may grow by @charge in one slot. */
static bool usage_fits(const Usage *usage, QuotaSlot slot, uint64_t n_sharing, uint64_t charge) {
        const User *user = usage->user;
        uint64_t limit = user_limit(user, slot), used = user->used[slot];
        uint64_t remaining = used < limit ? limit - used : 0;

        if (usage->actor == user->uid)
                return charge <= remaining;
        return quota_share_fits(remaining, n_sharing, usage->share[slot], charge);
}

void usage_charge_anyway(Usage *usage, uint64_t bytes, uint64_t messages, uint64_t fds) {
        User *user = usage->user;

        if (!usage_holds(usage) && bytes + messages + fds > 0)
                user->n_sharing++;
        usage->share[QUOTA_BYTES] += bytes;
        usage->share[QUOTA_MESSAGES] += messages;
        usage->share[QUOTA_FDS] += fds;
        user->used[QUOTA_BYTES] += bytes;
        user->used[QUOTA_MESSAGES] += messages;
        user->used[QUOTA_FDS] += fds;
        user->quota->memory_used += bytes;
}

int usage_charge(Usage *usage, uint64_t bytes, uint64_t messages, uint64_t fds) {
        User *user = usage->user;
        Quota *quota = user->quota;

        if (quota->memory_used > quota->limits.memory ||
            bytes > quota->limits.memory - quota->memory_used)
                return QUOTA_E_EXCEEDED;
        if (quota->limits.per_user || fds > 0) {
                /* The actor counts among those who share from its first byte on. */
                uint64_t n = user->n_sharing + (usage_holds(usage) ? 0 : 1);

                if (quota->limits.per_user && (!usage_fits(usage, QUOTA_BYTES, n, bytes) ||
                                               !usage_fits(usage, QUOTA_MESSAGES, n, messages)))
                        return QUOTA_E_EXCEEDED;
                /* Ours run out on a user bus too, and then nobody could connect. */
                if (fds > 0 && !usage_fits(usage, QUOTA_FDS, n, fds))
                        return QUOTA_E_EXCEEDED;
        }
        usage_charge_anyway(usage, bytes, messages, fds);
        return 0;
}

void usage_release(Usage *usage, uint64_t bytes, uint64_t messages, uint64_t fds) {
        User *user = usage->user;
        bool held = usage_holds(usage);

        assert(usage->share[QUOTA_BYTES] >= bytes && usage->share[QUOTA_MESSAGES] >= messages &&
               usage->share[QUOTA_FDS] >= fds);
        usage->share[QUOTA_BYTES] -= bytes;
        usage->share[QUOTA_MESSAGES] -= messages;
        usage->share[QUOTA_FDS] -= fds;
        user->used[QUOTA_BYTES] -= bytes;
        user->used[QUOTA_MESSAGES] -= messages;
        user->used[QUOTA_FDS] -= fds;
        user->quota->memory_used -= bytes;
        if (held && !usage_holds(usage)) {
                user->n_sharing--;
                usage_maybe_free(usage);
        }
}
