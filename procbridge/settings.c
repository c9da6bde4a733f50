/* SPDX-License-Identifier: Apache-2.0 */

#include "procbridge/settings.h"

#include "libcore/conf.h"

#define TIME_MAX_SEC UINT64_C(86400)

const Settings settings_default = {
        .rank = { .struct_size = sizeof(p2pbus_service), .priority = 100, .weight = 100 },
        .mode = 0600,
        .timeout_usec = 30 * USEC_PER_SEC,
        .first_usec = 10 * USEC_PER_SEC,
        .request_usec = 60 * USEC_PER_SEC,
        .max_body = UINT64_C(16) << 20,
        .max_memory = UINT64_C(256) << 20,
        .max_connections = 1024,
        .max_peer = 256,
        .max_calls = 256,
};

static const char *endpoint_problem(int r) {
        return r == ENDPOINT_E_TOO_LONG
                       ? "a socket path of more than 107 bytes; use a shorter one"
                       : "neither ADDR:PORT with a numeric address ([ADDR]:PORT for IPv6) nor a "
                         "path with a slash";
}

const char *settings_add_listen(Settings *settings, const char *value) {
        int r;

        if (settings->n_listen == SETTINGS_LISTEN_MAX)
                return "more than 16; start one more gateway";
        r = endpoint_parse(value, settings->listen + settings->n_listen);
        if (r != 0)
                return endpoint_problem(r);
        settings->n_listen++;
        return NULL;
}

const char *settings_add_provide(Settings *settings, const char *value) {
        const char *equals = strchr(value, '=');
        _cleanup_(freep) char *name = NULL;
        SettingsProvide *provide;
        int r;

        if (settings->n_provide == SETTINGS_PROVIDE_MAX)
                return "more than 64; start one more gateway";
        if (!equals)
                return "no '=' between the name and its server";
        name = strndup(value, (size_t)(equals - value));
        if (!name)
                return "out of memory";
        if (p2pbus_check_destination(name) != P2PBUS_DESTINATION_NAME)
                return "no service name before '='; write words with dots between them";
        for (unsigned i = 0; i < settings->n_provide; i++)
                if (strcmp(settings->provide[i].name, name) == 0)
                        return "a second server for this name; start one more gateway";
        provide = settings->provide + settings->n_provide;
        r = endpoint_parse(equals + 1, &provide->server);
        if (r != 0)
                return endpoint_problem(r);
        provide->name = TAKE_PTR(name);
        settings->n_provide++;
        return NULL;
}

const char *settings_set_service(Settings *settings, const char *value) {
        if (p2pbus_check_destination(value) != P2PBUS_DESTINATION_NAME)
                return "no service name; write words with dots between them";
        settings->service = value;
        return NULL;
}

static const char *read_rank(Settings *settings, const char *value, uint64_t least, uint16_t *ret) {
        const ConfOption option = { .min = least, .max = UINT16_MAX };
        const char *why = NULL;
        uint64_t n;

        settings->rank_given = true;
        if (conf_parse_number(value, &option, &n, &why) != 0)
                return why;
        *ret = (uint16_t)n;
        return NULL;
}

const char *settings_set_priority(Settings *settings, const char *value) {
        return read_rank(settings, value, 0, &settings->rank.priority);
}

const char *settings_set_weight(Settings *settings, const char *value) {
        return read_rank(settings, value, 1, &settings->rank.weight);
}

const char *settings_set_metadata(Settings *settings, const char *value) {
        settings->rank_given = true;
        if (strlen(value) > P2PBUS_METADATA_MAX)
                return "more than 512 bytes; write less";
        settings->rank.metadata = value;
        return NULL;
}

const char *settings_read_mode(const char *value, uint64_t *ret) {
        uint64_t mode = 0;

        if (*value == '\0' || strlen(value) > 4)
                return "not a mode, like 0660";
        for (; *value; value++) {
                if (*value < '0' || *value > '7')
                        return "not a mode, like 0660";
                mode = mode << 3 | (uint64_t)(*value - '0');
        }
        if (mode > 0777)
                return "not a mode, like 0660";
        *ret = mode;
        return NULL;
}

const char *settings_read_time(const char *value, uint64_t *ret_usec) {
        uint64_t sec = 0, usec = 0, unit = USEC_PER_SEC;
        const char *first = value;

        for (; *value >= '0' && *value <= '9'; value++)
                sec = MIN(10 * sec + (uint64_t)(*value - '0'), TIME_MAX_SEC + 1);
        if (*value == '.')
                for (value++; *value >= '0' && *value <= '9'; value++)
                        usec += (uint64_t)(*value - '0') * (unit /= 10);
        if (*value != '\0' || value == first || strcmp(first, ".") == 0)
                return "not a number of seconds, like 2 or 0.5";
        usec += sec * USEC_PER_SEC;
        if (usec == 0 || usec > TIME_MAX_SEC * USEC_PER_SEC)
                return "not within a microsecond and a day";
        *ret_usec = usec;
        return NULL;
}

const char *settings_read_size(const char *value, uint64_t *ret) {
        static const ConfOption option = { .min = 1, .max = UINT32_MAX };
        const char *why = NULL;

        return conf_parse_size(value, &option, ret, &why) == 0 ? NULL : why;
}

const char *settings_read_count(const char *value, uint64_t *ret) {
        static const ConfOption option = { .min = 1, .max = 1000000 };
        const char *why = NULL;

        return conf_parse_number(value, &option, ret, &why) == 0 ? NULL : why;
}

void settings_done(Settings *settings) {
        for (unsigned i = 0; i < settings->n_provide; i++)
                free(settings->provide[i].name);
        settings->n_provide = 0;
}
