/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/settings.h"

#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bridge/heartbeat.h"
#include "bridge/routes.h"
#include "bridge/uplink.h"
#include "libcore/err.h"

#define BLANKS " \t"

static int parse_relays(const char *value, const ConfOption *option, void *field,
                        const char **ret_reason) {
        Settings *settings = container_of(field, Settings, relays);
        _cleanup_(freep) char *copy = strdup(value);
        char *at = NULL;
        int r;

        if (!copy)
                return err_origin(-ENOMEM);
        for (char *url = strtok_r(copy, BLANKS, &at); url; url = strtok_r(NULL, BLANKS, &at)) {
                *ret_reason = uplink_check_url(url, &settings->no_key);
                if (*ret_reason)
                        return CONF_E_BAD;
        }

        r = conf_parse_list(value, option, field, ret_reason);
        if (r == 0 && settings_n_relays(settings) > ROUTES_LINKS_MAX) {
                *ret_reason = "more than 8 relays";
                return CONF_E_BAD;
        }
        return r;
}

// clang-format off
static const ConfOption options[] = {
        { "Bridge", "Relay",     parse_relays,    offsetof(Settings, relays),         0, 0 },
        { "Bridge", "Key",       conf_parse_text, offsetof(Settings, key),            0, 0 },
        { "Bridge", "Heartbeat", conf_parse_time, offsetof(Settings, heartbeat_usec),
          HEARTBEAT_LEAST_USEC, HEARTBEAT_GREATEST_USEC },
        { "Bridge", "IdleDisconnect", conf_parse_time, offsetof(Settings, idle_usec), 0,
          SETTINGS_IDLE_GREATEST_USEC },
};
// clang-format on

int settings_load(Settings *ret, const char *path, ConfError *ret_error) {
        char file[PATH_MAX];

        *ret = (Settings){ .heartbeat_usec = HEARTBEAT_DEFAULT_USEC };
        if (path)
                return conf_load(path, CONF_MISSING_BAD, options, ELEMENTSOF(options), ret,
                                 ret_error);
        if (settings_default_file(file) < 0)
                return 0; /* no home: no file of our own */
        return conf_load(file, CONF_MISSING_FINE, options, ELEMENTSOF(options), ret, ret_error);
}

void settings_done(Settings *settings) {
        const char *reason;

        /* conf_done() knows its own lists only; an empty value empties this one. */
        (void)conf_parse_list("", &options[0], &settings->relays, &reason);
        conf_done(options, ELEMENTSOF(options), settings);
}

unsigned settings_n_relays(const Settings *settings) {
        unsigned n = 0;

        while (settings->relays && settings->relays[n])
                n++;
        return n;
}

int settings_add_relay(Settings *settings, const char *url) {
        const char *reason;

        return conf_parse_list(url, &options[0], &settings->relays, &reason);
}

/* A service of the system, as opposed to one of a user's own. */
static bool is_system(void) {
        const struct passwd *user;

        if (geteuid() == 0)
                return true;
        user = getpwuid(geteuid());
        return user && strcmp(user->pw_name, "p2pbus-bridge") == 0;
}

static int join(char *path, const char *folder, const char *name) {
        int n = snprintf(path, PATH_MAX, "%s%s", folder, name);

        return n < PATH_MAX ? 0 : err_origin(-ENAMETOOLONG);
}

/* Below $@variable, or below @fallback in the user's home. */
static int user_path(char *path, const char *variable, const char *fallback, const char *name) {
        const char *folder = getenv(variable), *home = getenv("HOME");
        char below_home[PATH_MAX];
        int r;

        if (folder && folder[0] == '/')
                return join(path, folder, name);
        if (!home || home[0] != '/')
                return err_origin(-ENOENT);
        r = join(below_home, home, fallback);
        if (r < 0)
                return err_trace(r);
        return join(path, below_home, name);
}

int settings_default_file(char ret_path[static PATH_MAX]) {
        if (is_system())
                return join(ret_path, SYSCONFDIR, "/p2pbus/bridge.conf");
        return user_path(ret_path, "XDG_CONFIG_HOME", "/.config", "/p2pbus/bridge.conf");
}

int settings_state_folder(char ret_path[static PATH_MAX]) {
        const char *state = getenv("STATE_DIRECTORY");

        if (state && state[0] == '/') {
                int r = join(ret_path, state, "");

                if (r == 0)
                        ret_path[strcspn(ret_path, ":")] = '\0'; /* systemd gives a list */
                return r;
        }
        if (is_system())
                return join(ret_path, LOCALSTATEDIR, "/lib/p2pbus-bridge");
        return user_path(ret_path, "XDG_STATE_HOME", "/.local/state", "/p2pbus");
}

int settings_default_key(char ret_path[static PATH_MAX]) {
        const char *credentials = getenv("CREDENTIALS_DIRECTORY");
        char folder[PATH_MAX];
        int r;

        if (credentials && credentials[0] == '/') {
                r = join(ret_path, credentials, "/bridge.key");
                if (r < 0 || access(ret_path, F_OK) == 0)
                        return r;
        }
        r = settings_state_folder(folder);
        if (r < 0)
                return err_trace(r);
        return join(ret_path, folder, "/bridge.key");
}

int settings_make_folder(const char *path) {
        char part[PATH_MAX];
        int r = join(part, path, "");

        if (r < 0)
                return err_trace(r);
        for (char *slash = strchr(part + 1, '/');; slash = strchr(slash + 1, '/')) {
                if (slash)
                        *slash = '\0';
                if (mkdir(part, 0700) < 0 && errno != EEXIST)
                        return err_origin(-errno);
                if (!slash)
                        return 0;
                *slash = '/';
        }
}
