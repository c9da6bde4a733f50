/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * relay.conf(5): what an operator may set, and where files are
 */

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "libcore/conf.h"
#include "libcore/util.h"

#define SETTINGS_LISTEN_DEFAULT "0.0.0.0:7683"
#define SETTINGS_HEARTBEAT_DEFAULT_USEC (5 * USEC_PER_SEC)
#define SETTINGS_HEARTBEAT_LEAST_USEC USEC_PER_SEC /* links are looked at each second */
#define SETTINGS_HEARTBEAT_GREATEST_USEC (5 * 60 * USEC_PER_SEC)

typedef struct Settings {
        char **listen; /* "ADDR:PORT"; NULL: SETTINGS_LISTEN_DEFAULT */
        char **allow;  /* full keys of bridges */
        bool open;
        uint64_t heartbeat_usec;
        char *key; /* file */
        char *state_dir;
        char *tls_cert, *tls_key;
} Settings;

/*
 * Reads @path, or the default file, which may be missing. Return: 0, CONF_E_BAD, -ENOMEM; @ret is
 * to be given to settings_done() in any case.
 */
int settings_load(Settings *ret, const char *path, ConfError *ret_error);
void settings_done(Settings *settings);
/* Replaces a list of the file by what the command line says. Return: 0 or -ENOMEM. */
int settings_replace_list(char ***list, char *const *values, size_t n_values);

/* NULL, or why @text cannot be listened on, or is no full key. */
const char *settings_check_listen(const char *text);
const char *settings_check_allow(const char *text);

/* The state directory if nobody names one: systemd's, root's or the user's. Return: 0, -errno. */
int settings_default_state(char path[static PATH_MAX]);
/* "relay.key" among systemd's credentials, if there is one, else "key" in @state_dir. */
int settings_default_key(const char *state_dir, char path[static PATH_MAX]);
