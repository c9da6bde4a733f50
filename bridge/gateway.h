/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Gateway: the bridge as a process of the bus, with the role that takes what is not for this host
 *
 * Attaches with the bridge's key, asks for the role, and does so again, with back-off, whenever the
 * daemon went away, is not there, or has another gateway; that it must wait is said once. What the
 * words mean is forward.c's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "libcore/control.h"
#include "libcore/log.h"
#include "libcore/packet.h"
#include "libcore/util.h"
#include "libsecure/identity.h"

#define GATEWAY_RETRY_LEAST_USEC (100 * USEC_PER_MSEC)
#define GATEWAY_RETRY_GREATEST_USEC (5 * USEC_PER_SEC)

typedef struct Gateway Gateway;

/* The gateway must not be freed in any of them. */
typedef struct GatewayHandlers {
        void (*on_attached)(void *userdata); /* the role is ours */
        void (*on_detached)(void *userdata); /* it was */
        /* A word of the daemon's that is not about attaching. */
        void (*on_control)(const PacketHeader *header, const Control *control, void *userdata);
        /* A SEALED packet for somebody who is not on this host. */
        void (*on_packet)(const PacketHeader *header, const uint8_t *packet, void *userdata);
} GatewayHandlers;

typedef struct GatewayOptions {
        sd_event *event;
        const char *socket; /* copied */
        const IdentityKey *identity;
        const Log *log;
        const GatewayHandlers *handlers;
        void *userdata;
} GatewayOptions;

/* All that @options points to is borrowed, but for the path. Return: 0, -errno. */
int gateway_new(Gateway **ret, const GatewayOptions *options);
/* Detaches, without callbacks. Accepts NULL, returns NULL. */
Gateway *gateway_free(Gateway *gateway);
DEFINE_CLEANUP(Gateway, gateway_free)

bool gateway_is_attached(const Gateway *gateway);
/* Says @control to the daemon, or, passed on by it, to @dst. Nothing happens while detached. */
void gateway_say(Gateway *gateway, const Control *control, Address dst, const PacketId *id);
/* Gives the daemon a packet that came over a link. Nothing happens while detached. */
void gateway_pass(Gateway *gateway, const uint8_t *packet, size_t n_packet);
/* Bytes that the daemon has not read yet. */
size_t gateway_output_size(const Gateway *gateway);
