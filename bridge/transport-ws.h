/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/* The transport over WebSockets, ws:// and wss://: bridge/transport.h on top of libws. */

#include <systemd/sd-event.h>

#include "bridge/transport.h"

enum {
        _TRANSPORT_WS_E_SUCCESS,

        TRANSPORT_WS_E_PLUGIN, /* libwebsockets' libuv plugin is not installed */
};

/* Return: 0, -errno, TRANSPORT_WS_E_PLUGIN. */
int transport_ws_new(TransportDriver **ret, sd_event *event);
