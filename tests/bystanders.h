/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * A real p2pbusd, and two processes that must not notice anything of what a test does to the others.
 */

#include "tests/harness.h"

#define ATTACH_FRAME (FRAME_PREFIX_SIZE + ATTACH_SIZE)
#define NOWHERE ((Address){ UINT64_C(0x1234567812345678), 0 })

extern Daemon d;
extern Client x, y; /* the bystanders */

/* @config: see daemon_start(). */
void bystanders_start(const char *config);
void bystanders_are_well(void);
void bystanders_stop(void);

/* The daemon has said @what so often altogether. Of what comes after the burst, one is told in a while. */
void expect_logged(const char *what, unsigned n);
void send_with_fds(Client *from, Address dst, const int *fds, uint8_t n_fds);
/* If not, @what is left out, and that is said. */
bool is_root(const char *what);
