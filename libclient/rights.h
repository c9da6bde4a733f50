/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Rights: what the bus had granted, and takes away
 *
 * A name, a subscription, monitoring and other hosts are granted when they are asked for. A new
 * policy may take them (RIGHTS), and a daemon that comes after a restart may refuse them. Then they
 * are lost: whoever keeps them marks them so, asks for them again when the policy changes and after
 * each attach, and the application can hear of both with p2pbus_next_right_change().
 */

#include "libclient/bus.h"
#include "libclient/daemon.h"

#define RIGHT_CHANGES_MAX 256 /* that wait for the application; beyond, the oldest goes */

/* RIGHTS has come. */
void rights_consume(p2pbus *bus, const Control *word);
/* The daemon has answered @ask, which asked for it again: it is lost, had again, or as before. */
void rights_answered(p2pbus *bus, int right, const char *what, const Ask *ask, bool *is_lost);
/* Policy takes it, by the rule @text. */
void rights_denied(p2pbus *bus, int right, const char *what, const char *text, bool *is_lost);
/* After an attach: whether other hosts were granted is known. */
void rights_attached(p2pbus *bus);
void rights_free_all(p2pbus *bus);
