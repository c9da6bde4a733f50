/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Leases of this host's processes
 *
 * A process that asked for OFF_HOST, and may, is asked to sign a lease for the gateway that is
 * attached, and again at half of its life. The daemon keeps the lease as long as the process is
 * attached, so that a gateway that comes back gets it without asking.
 */

#include <stdbool.h>
#include <stdint.h>

#include "libcore/control.h"

typedef struct Manager Manager;
typedef struct Peer Peer;
typedef struct Lease Lease;

/* Gives the gateway @peer's lease, or asks @peer for one; nothing if it is not OFF_HOST. */
void lease_hand_over(Peer *peer);
/* @peer's policy has other relays: the gateway, if it has its lease, is given it again with these. */
void lease_give_again(Peer *peer);
/* Handles LEASE: checks, keeps and hands over. Return: CODE_OK, or what is wrong with it. */
ControlCode lease_accept(Peer *peer, const uint8_t *bytes, size_t n_bytes);
/* What a process hears of a record of its own of which signed_record_verify() says @verdict. */
ControlCode lease_record_code(int verdict);
/* Whether the gateway that is attached has @peer's lease. */
bool lease_is_given(const Peer *peer);
/* The gateway says on how many links @peer is known. */
void lease_on_leased(Peer *peer, uint16_t code, uint32_t n_links);
/* @peer leaves: the gateway is told. */
void lease_remove(Peer *peer);
/* Renewals. */
void lease_on_time(Manager *manager);
