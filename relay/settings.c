/* SPDX-License-Identifier: Apache-2.0 */

#include "relay/settings.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcore/err.h"
#include "libcore/url.h"
#include "libsecure/key.h"

#define BLANKS " \t"

const char *settings_check_listen(const char *text) {
        struct sockaddr_storage address;
        socklen_t size;

        return ws_address_parse(text, &address, &size) == 0
                       ? NULL
                       : "not ADDR:PORT with a numeric address ([ADDR]:PORT for IPv6)";
}

const char *settings_check_allow(const char *text) {
        KeyText key;

        switch (key_text_parse(text, &key)) {
        case 0:
                return key.form == KEY_FORM_FULL
                               ? NULL
                               : "not a whole key; take the line that p2pbusctl id prints";
        case KEY_E_MISMATCH:
                return "the PID is not that of the key";
        default:
                return "not a key";
        }
}

/* A list whose words @check all passes. */
static int parse_checked(const char *value, const ConfOption *option, void *field,
                         const char **ret_reason, const char *(*check)(const char *text)) {
        _cleanup_(freep) char *copy = strdup(value);
        char *at = NULL;

        if (!copy)
                return err_origin(-ENOMEM);
        for (char *word = strtok_r(copy, BLANKS, &at); word; word = strtok_r(NULL, BLANKS, &at)) {
                *ret_reason = check(word);
                if (*ret_reason)
                        return CONF_E_BAD;
        }
        return conf_parse_list(value, option, field, ret_reason);
}

static int parse_listen(const char *value, const ConfOption *option, void *field,
                        const char **ret_reason) {
        return parse_checked(value, option, field, ret_reason, settings_check_listen);
}

static int parse_allow(const char *value, const ConfOption *option, void *field,
                       const char **ret_reason) {
        return parse_checked(value, option, field, ret_reason, settings_check_allow);
}

// clang-format off
static const ConfOption options[] = {
        { "Relay", "Listen",         parse_listen,    offsetof(Settings, listen),    0, 0 },
        { "Relay", "Allow",          parse_allow,     offsetof(Settings, allow),     0, 0 },
        { "Relay", "Open",           conf_parse_bool, offsetof(Settings, open),      0, 0 },
        { "Relay", "Heartbeat",      conf_parse_time, offsetof(Settings, heartbeat_usec),
          SETTINGS_HEARTBEAT_LEAST_USEC, SETTINGS_HEARTBEAT_GREATEST_USEC },
        { "Relay", "Key",            conf_parse_text, offsetof(Settings, key),       0, 0 },
        { "Relay", "StateDirectory", conf_parse_text, offsetof(Settings, state_dir), 0, 0 },
        { "Relay", "TLSCertificate", conf_parse_text, offsetof(Settings, tls_cert),  0, 0 },
        { "Relay", "TLSKey",         conf_parse_text, offsetof(Settings, tls_key),   0, 0 },
};
// clang-format on

/* A user's relay reads nothing below /etc. */
static int default_file(char path[static PATH_MAX]) {
        const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
        int n;

        if (geteuid() == 0 || getenv("STATE_DIRECTORY"))
                n = snprintf(path, PATH_MAX, "%s/p2pbus/relay.conf", SYSCONFDIR);
        else if (config && config[0] == '/')
                n = snprintf(path, PATH_MAX, "%s/p2pbus/relay.conf", config);
        else if (home && home[0] == '/')
                n = snprintf(path, PATH_MAX, "%s/.config/p2pbus/relay.conf", home);
        else
                return err_origin(-ENOENT);
        return n < PATH_MAX ? 0 : err_origin(-ENAMETOOLONG);
}

int settings_load(Settings *ret, const char *path, ConfError *ret_error) {
        char file[PATH_MAX];

        *ret = (Settings){ .heartbeat_usec = SETTINGS_HEARTBEAT_DEFAULT_USEC };
        if (path)
                return conf_load(path, CONF_MISSING_BAD, options, ELEMENTSOF(options), ret,
                                 ret_error);
        if (default_file(file) < 0)
                return 0; /* no home: no file of one's own */
        return conf_load(file, CONF_MISSING_FINE, options, ELEMENTSOF(options), ret, ret_error);
}

void settings_done(Settings *settings) {
        /* conf.c knows the lists that it parses itself; an empty value empties any. */
        (void)settings_replace_list(&settings->listen, NULL, 0);
        (void)settings_replace_list(&settings->allow, NULL, 0);
        conf_done(options, ELEMENTSOF(options), settings);
}

int settings_replace_list(char ***list, char *const *values, size_t n_values) {
        const char *reason;
        int r;

        r = conf_parse_list("", NULL, list, &reason); /* empties it */
        for (size_t i = 0; r == 0 && i < n_values; i++)
                r = conf_parse_list(values[i], NULL, list, &reason);
        return r < 0 ? err_trace(r) : 0;
}

int settings_default_state(char path[static PATH_MAX]) {
        const char *systemd = getenv("STATE_DIRECTORY"), *state = getenv("XDG_STATE_HOME");
        const char *home = getenv("HOME");
        int n;

        if (systemd)
                n = snprintf(path, PATH_MAX, "%s", systemd);
        else if (geteuid() == 0)
                n = snprintf(path, PATH_MAX, "%s/lib/p2pbus-relay", LOCALSTATEDIR);
        else if (state && state[0] == '/')
                n = snprintf(path, PATH_MAX, "%s/p2pbus-relay", state);
        else if (home && home[0] == '/')
                n = snprintf(path, PATH_MAX, "%s/.local/state/p2pbus-relay", home);
        else
                return err_origin(-ENOENT);
        return n < PATH_MAX ? 0 : err_origin(-ENAMETOOLONG);
}

int settings_default_key(const char *state_dir, char path[static PATH_MAX]) {
        const char *credentials = getenv("CREDENTIALS_DIRECTORY");
        int n;

        if (credentials) {
                n = snprintf(path, PATH_MAX, "%s/relay.key", credentials);
                if (n < PATH_MAX && access(path, F_OK) == 0)
                        return 0;
        }
        n = snprintf(path, PATH_MAX, "%s/key", state_dir);
        return n < PATH_MAX ? 0 : err_origin(-ENAMETOOLONG);
}
