/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "daemon/settings.h"

#include <stdio.h>

#include "libcore/err.h"
#include "libcore/name.h"

#define SYSTEM_SOCKET "/run/p2pbus/bus"
#define MIB (UINT64_C(1) << 20)

/* Whether the @n characters at @text are the full form of a key. */
static bool is_full(const char *text, size_t n) {
        char copy[KEY_TEXT_SIZE];
        KeyText key;

        if (n >= sizeof(copy))
                return false;
        memcpy(copy, text, n);
        copy[n] = '\0';
        return key_text_parse(copy, &key) == 0 && key.form == KEY_FORM_FULL;
}

static const char *next_word(const char *word) {
        word += strcspn(word, " \t");
        return word + strspn(word, " \t");
}

/* Pairs of words: a name, and a key. */
static int parse_pin(const char *value, const ConfOption *option, void *field,
                     const char **ret_reason) {
        for (const char *at = value; *at != '\0'; at = next_word(at)) {
                if (!name_is_pattern(at, strcspn(at, " \t"))) {
                        *ret_reason = "first the name, or a name and .* for all below it";
                        return CONF_E_BAD;
                }
                at = next_word(at);
                if (!is_full(at, strcspn(at, " \t"))) {
                        *ret_reason = "behind the name the full form of a key; see p2pbusctl id";
                        return CONF_E_BAD;
                }
        }
        return conf_parse_list(value, option, field, ret_reason);
}

static int parse_realm(const char *value, const ConfOption *option, void *field,
                       const char **ret_reason) {
        for (const char *at = value; *at != '\0'; at = next_word(at))
                if (!is_full(at, strcspn(at, " \t"))) {
                        *ret_reason = "the full form of a realm's key; see p2pbusctl id";
                        return CONF_E_BAD;
                }
        return conf_parse_list(value, option, field, ret_reason);
}

/* A list of one word, so that it is written as it was read. */
static int parse_trust(const char *value, const ConfOption *option, void *field,
                       const char **ret_reason) {
        int r;

        if (*value != '\0' && name_trust_mode(value) == NAME_DISTRUSTED) {
                *ret_reason = "pinned, granted or any";
                return CONF_E_BAD;
        }
        r = conf_parse_list("", option, field, ret_reason);
        return r != 0 ? r : conf_parse_list(value, option, field, ret_reason);
}

#define FIELD(member) offsetof(Config, member)
#define LIMIT(slot) (offsetof(Config, limits.max) + (slot) * sizeof(uint64_t))

/* clang-format off */
static const ConfOption options[] = {
        { "Bus", "MaxMessage", conf_parse_size, FIELD(max_message), 1, UINT64_C(1) << 40 },
        { "Bus", "AttachGroup", conf_parse_text, FIELD(attach_group), 0, 0 },
        { "Bus", "AttachTimeout", conf_parse_time, FIELD(attach_timeout_usec), 10 * USEC_PER_MSEC, 3600 * USEC_PER_SEC },
        { "Bus", "SettleTime", conf_parse_time, FIELD(settle_usec), 0, 3600 * USEC_PER_SEC },
        { "Bus", "LeaseTime", conf_parse_time, FIELD(lease_usec), 2 * USEC_PER_SEC, 24 * 3600 * USEC_PER_SEC },
        { "Bus", "Rings", conf_parse_bool, FIELD(rings), 0, 0 },
        { "Bus", "RingTimeout", conf_parse_time, FIELD(ring_timeout_usec), 10 * USEC_PER_MSEC, 3600 * USEC_PER_SEC },

        { "Names", "Pin", parse_pin, FIELD(pins), 0, 0 },
        { "Names", "RealmKey", parse_realm, FIELD(realm_keys), 0, 0 },
        { "Names", "TrustNames", parse_trust, FIELD(trust_names), 0, 0 },

        { "Limits", "Connections", conf_parse_number, LIMIT(QUOTA_CONNECTIONS), 1, UINT32_MAX },
        { "Limits", "Unattached", conf_parse_number, LIMIT(QUOTA_UNATTACHED), 1, UINT32_MAX },
        { "Limits", "AttachRate", conf_parse_number, FIELD(limits.attach_rate), 1, UINT32_MAX },
        { "Limits", "AttachBurst", conf_parse_number, FIELD(limits.attach_burst), 1, UINT32_MAX },
        { "Limits", "QueueBytes", conf_parse_size, LIMIT(QUOTA_BYTES), MIB, UINT64_C(1) << 40 },
        { "Limits", "QueueMessages", conf_parse_number, LIMIT(QUOTA_MESSAGES), 16, UINT32_MAX },
        { "Limits", "ConnectionQueue", conf_parse_size, FIELD(connection_queue), MIB / 4, UINT32_MAX },
        { "Limits", "Descriptors", conf_parse_number, LIMIT(QUOTA_FDS), 0, UINT32_MAX },
        { "Limits", "Names", conf_parse_number, LIMIT(QUOTA_NAMES), 0, UINT32_MAX },
        { "Limits", "Requests", conf_parse_number, LIMIT(QUOTA_REQUESTS), 1, UINT32_MAX },
        { "Limits", "Leases", conf_parse_number, LIMIT(QUOTA_LEASES), 0, UINT32_MAX },
        { "Limits", "Rings", conf_parse_number, LIMIT(QUOTA_RINGS), 0, UINT32_MAX },
        { "Limits", "RingBytes", conf_parse_size, LIMIT(QUOTA_RING_BYTES), 0, UINT64_C(1) << 40 },
        { "Limits", "Subscriptions", conf_parse_number, LIMIT(QUOTA_SUBSCRIPTIONS), 0, UINT32_MAX },
        { "Limits", "Retained", conf_parse_number, LIMIT(QUOTA_RETAINED), 0, UINT32_MAX },
        { "Limits", "Memory", conf_parse_size, FIELD(limits.memory), MIB, UINT64_C(1) << 50 },
};
/* clang-format on */

void config_init(Config *config) {
        *config = (Config){
                .max_message = 64 * MIB,
                .attach_timeout_usec = 5 * USEC_PER_SEC,
                .settle_usec = 5 * USEC_PER_SEC,
                .lease_usec = 3600 * USEC_PER_SEC,
                .rings = true,
                .ring_timeout_usec = 5 * USEC_PER_SEC,
                .connection_queue = 4 * MIB,
                .limits = {
                        .max = {
                                [QUOTA_BYTES] = 16 * MIB,
                                [QUOTA_MESSAGES] = 16384,
                                [QUOTA_FDS] = 64,
                                [QUOTA_CONNECTIONS] = 256,
                                [QUOTA_UNATTACHED] = 32,
                                [QUOTA_REQUESTS] = 4096,
                                [QUOTA_NAMES] = 64,
                                [QUOTA_LEASES] = 256,
                                [QUOTA_RINGS] = 256,
                                [QUOTA_RING_BYTES] = 64 * MIB,
                                [QUOTA_SUBSCRIPTIONS] = 1024,
                                [QUOTA_RETAINED] = 1024,
                        },
                        .attach_rate = 50,
                        .attach_burst = 200,
                        .memory = 512 * MIB,
                },
        };
}

void config_done(Config *config) {
        const char *reason;

        name_trust_done(&config->trust);
        /* conf.c knows the lists that it parses itself; an empty value empties any. */
        (void)conf_parse_list("", NULL, &config->pins, &reason);
        (void)conf_parse_list("", NULL, &config->realm_keys, &reason);
        (void)conf_parse_list("", NULL, &config->trust_names, &reason);
        conf_done(options, ELEMENTSOF(options), config);
}

int config_load(Config *config, const char *path, ConfMissing missing, ConfError *ret_error) {
        const char *reason;
        Config fresh;
        int r;

        config_init(&fresh);
        r = conf_load(path, missing, options, ELEMENTSOF(options), &fresh, ret_error);
        if (r == 0 && !fresh.trust_names)
                r = conf_parse_list("granted", NULL, &fresh.trust_names, &reason);
        if (r == 0)
                r = name_trust_init(&fresh.trust, fresh.pins, fresh.realm_keys, fresh.trust_names);
        if (r != 0) {
                config_done(&fresh);
                return r;
        }
        config_done(config);
        *config = fresh;
        return 0;
}

void config_write(FILE *out, const Config *config) {
        conf_write(out, options, ELEMENTSOF(options), config);
}

/* The value of @variable, which must be absolute to count, and @rest behind it. */
static char *below(const char *variable, const char *rest) {
        const char *folder = getenv(variable);
        char *path;

        if (!folder || folder[0] != '/') {
                errno = ENOENT;
                return NULL;
        }
        if (asprintf(&path, "%s%s", folder, rest) < 0) {
                errno = ENOMEM;
                return NULL;
        }
        return path;
}

static int fill(char **path, const char *variable, const char *rest, const char *home_rest,
                const char **ret_missing) {
        if (*path)
                return 0;
        *path = below(variable, rest);
        if (!*path && errno == ENOENT && home_rest)
                *path = below("HOME", home_rest);
        if (*path)
                return 0;
        *ret_missing = variable;
        return -errno;
}

static int fill_fixed(char **path, const char *fixed) {
        if (!*path)
                *path = strdup(fixed);
        return *path ? 0 : err_origin(-ENOMEM);
}

/* A user bus reads nothing that is the system's. */
static int fill_policy(Paths *paths, bool user_bus) {
        static const char *const system[POLICY_FOLDERS_MAX] = {
                P2PBUS_POLICYDIR,
                "/run/p2pbus/policy.d",
                P2PBUS_SYSCONFDIR "/p2pbus/policy.d",
        };
        const char *ignored;
        int r = 0;

        if (paths->policy_is_named)
                return 0;
        if (user_bus) {
                r = fill(&paths->policy[0], "XDG_CONFIG_HOME", "/p2pbus/policy.d",
                         "/.config/p2pbus/policy.d", &ignored);
                return r == -ENOENT ? 0 : r; /* no home, no files: what is compiled in */
        }
        for (unsigned i = 0; r == 0 && i < POLICY_FOLDERS_MAX; i++)
                r = fill_fixed(&paths->policy[i], system[i]);
        return r;
}

int paths_fill(Paths *paths, bool user_bus, const char **ret_missing) {
        const char *ignored;
        int r;

        /* The folder that systemd made for the service wins over any default. */
        if (!paths->state)
                paths->state = below("STATE_DIRECTORY", "");
        if (!paths->state && errno != ENOENT)
                return err_origin(-errno);
        r = fill_policy(paths, user_bus);
        if (r < 0)
                return r;

        if (!user_bus) {
                r = fill_fixed(&paths->socket, SYSTEM_SOCKET);
                if (r == 0)
                        r = fill_fixed(&paths->config, P2PBUS_SYSCONFDIR "/p2pbus/p2pbusd.conf");
                if (r == 0)
                        r = fill_fixed(&paths->state, P2PBUS_LOCALSTATEDIR "/lib/p2pbus");
                return r;
        }
        r = fill(&paths->socket, "XDG_RUNTIME_DIR", "/p2pbus/bus", NULL, ret_missing);
        if (r < 0)
                return r;
        r = fill(&paths->state, "XDG_STATE_HOME", "/p2pbus", "/.local/state/p2pbus", ret_missing);
        if (r < 0)
                return r;
        r = fill(&paths->config, "XDG_CONFIG_HOME", "/p2pbus/p2pbusd.conf",
                 "/.config/p2pbus/p2pbusd.conf", &ignored);
        return r == -ENOENT ? 0 : r; /* no home, no file: the defaults */
}

void paths_done(Paths *paths) {
        free(paths->socket);
        free(paths->config);
        free(paths->state);
        for (unsigned i = 0; i < POLICY_FOLDERS_MAX; i++)
                free(paths->policy[i]);
        *paths = (Paths){ .socket = NULL };
}
