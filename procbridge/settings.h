/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Settings: what the command line says, and what holds where it says nothing
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "libclient/p2pbus.h"
#include "libcore/util.h"
#include "procbridge/endpoint.h"

#define SETTINGS_LISTEN_MAX 16
#define SETTINGS_PROVIDE_MAX 64

typedef struct SettingsProvide {
        char *name;
        Endpoint server;
} SettingsProvide;

typedef struct Settings {
        Endpoint listen[SETTINGS_LISTEN_MAX];
        unsigned n_listen;
        SettingsProvide provide[SETTINGS_PROVIDE_MAX];
        unsigned n_provide;
        p2pbus_service rank; /* what is said of all of them */
        bool rank_given;
        const char *service; /* of all clients' calls; NULL: methods are NAME/METHOD */
        const char *socket;
        const char *key;
        bool local;
        bool strict;              /* 1.1 alone */
        bool half_close;          /* a client that has closed its sending side still waits */
        uint64_t mode;            /* of Unix sockets */
        uint64_t timeout_usec;    /* of a call */
        uint64_t first_usec;      /* to a client's first byte */
        uint64_t request_usec;    /* to its last; and to write it its answer */
        uint64_t max_body;        /* bytes of a body that is read */
        uint64_t max_memory;      /* bytes of bodies in all */
        uint64_t max_connections; /* of clients */
        uint64_t max_peer;        /* of one uid or address */
        uint64_t max_calls;       /* at a time, of all clients; and to each server */
} Settings;

extern const Settings settings_default;

/* Each reads the value of an option. Return: NULL, or what is wrong with it: a constant. */
const char *settings_add_listen(Settings *settings, const char *value);
/* NAME=ENDPOINT */
const char *settings_add_provide(Settings *settings, const char *value);
const char *settings_set_service(Settings *settings, const char *value);
const char *settings_set_priority(Settings *settings, const char *value);
const char *settings_set_weight(Settings *settings, const char *value);
const char *settings_set_metadata(Settings *settings, const char *value);
/* Octal. */
const char *settings_read_mode(const char *value, uint64_t *ret);
/* Seconds, with up to a fraction. */
const char *settings_read_time(const char *value, uint64_t *ret_usec);
const char *settings_read_size(const char *value, uint64_t *ret);
const char *settings_read_count(const char *value, uint64_t *ret);

void settings_done(Settings *settings);
