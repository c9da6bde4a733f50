/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Configuration of the bridge: bridge.conf(5), and where its files are
 *
 * As a service of the system (root, or the user p2pbus-bridge) it reads and writes below /etc and
 * /var/lib; for anybody else below the user's own folders.
 */

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "libcore/conf.h"
#include "libcore/util.h"

#define SETTINGS_IDLE_GREATEST_USEC (24 * 3600 * USEC_PER_SEC)

typedef struct Settings {
        char **relays; /* URLs, valid; NULL: none */
        bool no_key;   /* what is wrong with one of them is a ws:// without its relay's key */
        char *key;     /* file, or NULL: the default */
        uint64_t heartbeat_usec;
        uint64_t idle_usec; /* 0: the links are never closed for that */
} Settings;

/*
 * Reads @path, or the default file if it is NULL.
 * Return: 0, CONF_E_BAD (@ret->no_key may say more), -ENOMEM; @ret is to be freed in any case.
 */
int settings_load(Settings *ret, const char *path, ConfError *ret_error);
void settings_done(Settings *settings);

/* Adds a URL that was checked. Return: 0 or -ENOMEM. */
int settings_add_relay(Settings *settings, const char *url);
unsigned settings_n_relays(const Settings *settings);

/* Return: 0, -ENAMETOOLONG, -ENOENT (no home). */
int settings_default_file(char ret_path[static PATH_MAX]);
/* $STATE_DIRECTORY, or where the state of this user is. Return: as above. */
int settings_state_folder(char ret_path[static PATH_MAX]);
/*
 * The key file: $CREDENTIALS_DIRECTORY/bridge.key if it is there, else bridge.key in the state
 * folder. Return: as above.
 */
int settings_default_key(char ret_path[static PATH_MAX]);
/* Makes a folder and what is missing above it, 0700. Return: 0, -errno. */
int settings_make_folder(const char *path);
