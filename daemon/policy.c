/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/policy.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>

#include "libcore/control.h"
#include "libcore/name.h"
#include "libcore/record.h"

static uint32_t find_uid(const char *name) {
        const struct passwd *account = getpwnam(name);

        return account ? account->pw_uid : POLICY_NOBODY;
}

static uint32_t find_gid(const char *name) {
        const struct group *group = getgrnam(name);

        return group ? group->gr_gid : POLICY_NOBODY;
}

void policy_init(Policy *policy, bool user_bus, uint32_t own_uid, const char *attach_group) {
        *policy = (Policy){
                .user_bus = user_bus,
                .own_uid = own_uid,
                .gateway_uid = user_bus ? POLICY_NOBODY : find_uid(POLICY_GATEWAY_USER),
                .net_gid = user_bus ? POLICY_NOBODY : find_gid(POLICY_NET_GROUP),
                .attach_gid = attach_group ? find_gid(attach_group) : POLICY_NOBODY,
                .attach_is_narrow = attach_group != NULL,
        };
}

static bool is_member(const Credentials *credentials, uint32_t gid) {
        if (gid == POLICY_NOBODY)
                return false;
        if (credentials->gid == gid)
                return true;
        for (size_t i = 0; i < credentials->n_groups; i++)
                if (credentials->groups[i] == gid)
                        return true;
        return false;
}

Capabilities policy_evaluate(const Policy *policy, const Credentials *credentials) {
        bool root = credentials->uid == 0, own = credentials->uid == policy->own_uid;
        bool master = policy->user_bus && own;

        return (Capabilities){
                .attach = !policy->attach_is_narrow || root || own ||
                          is_member(credentials, policy->attach_gid),
                .own = root || master ? OWN_ANYTHING : OWN_BELOW_USER,
                .monitor = master ? MONITOR_FULL
                           : root ? MONITOR_HEADERS
                                  : 0,
                .admin = root || master,
                .gateway = master || (policy->gateway_uid != POLICY_NOBODY &&
                                      credentials->uid == policy->gateway_uid),
                .off_host = master || is_member(credentials, policy->net_gid),
        };
}

bool policy_may_send(const Policy *policy, uint32_t src_uid, uint32_t dst_uid) {
        (void)policy; /* both kinds of bus agree on this */
        return src_uid == dst_uid || src_uid == 0;
}

bool policy_may_own(OwnRule rule, const char *user_name, const char *name, size_t n_name) {
        char prefix[NAME_SIZE_MAX + 1];
        int n;

        if (rule == OWN_ANYTHING)
                return true;
        if (rule == OWN_NOTHING || user_name[0] == '\0')
                return false;
        n = snprintf(prefix, sizeof(prefix), "user.%s", user_name);
        return n > 0 && (size_t)n < sizeof(prefix) && name_is_below(name, n_name, prefix);
}

bool policy_is_answer(const uint8_t *payload, size_t n_payload) {
        size_t at = 0;

        for (;;) {
                Record record;

                switch (record_decode(payload, n_payload, &at, &record)) {
                case 0:
                        if (record.type == RECORD_MSG && record.message.kind != MESSAGE_REPLY &&
                            record.message.kind != MESSAGE_ERROR)
                                return false;
                        break;
                case RECORD_E_END:
                        return true;
                default:
                        return false;
                }
        }
}
