/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What the daemon shows to a monitor, until p2pbus_monitor_next() fetches it
 */

#include "libclient/bus.h"

void monitor_consume(p2pbus *bus, const Control *control);
void monitor_ask_again(p2pbus *bus);
/* When the policy has changed, if it was taken away. */
void monitor_ask_lost(p2pbus *bus);
/* The daemon takes it away, by the rule @text. */
void monitor_on_denied(p2pbus *bus, const char *text);
void monitor_free(p2pbus *bus);
