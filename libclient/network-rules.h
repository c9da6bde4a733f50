/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Network rules: with whom on other hosts this process may talk
 *
 * The daemon decides whether a process is known to other hosts at all; with whom it may talk there only
 * the library can see to, for only the library has the other's proven key. The daemon says with NETWORK
 * what the policy is; until it has, and where it has nothing to say, everything is allowed.
 *
 * Whoever may be sent to may answer, and whoever may be heard may be answered.
 */

#include <stdbool.h>
#include <stddef.h>

#include "libcore/control.h"
#include "libsecure/key.h"

typedef struct p2pbus p2pbus;
typedef struct Peer Peer;
typedef struct NetworkRule NetworkRule;

typedef struct NetworkRules {
        bool are_said; /* else everything is allowed */
        NetworkRule *rules;
        size_t n_rules;
        char why[CONTROL_TEXT_MAX + 1]; /* whoever may not be sent to may not; "" if it is not known */
        Address unheard[CONTROL_UNHEARD_MAX]; /* whom the daemon was told of */
        size_t n_unheard;
} NetworkRules;

/* Takes what NETWORK says; of a body that cannot be understood nothing is allowed. */
void network_rules_set(NetworkRules *rules, const Control *word);
void network_rules_done(NetworkRules *rules);

/* May we begin to talk with @peer, whose key is known? By its key, or a name that it provides. */
bool network_may_send(p2pbus *bus, const Peer *peer);
/*
 * May these opened records of @key be heard? @address: its. All of them if policy lets it talk to us;
 * only what answers if policy lets us talk to it.
 */
bool network_may_hear(p2pbus *bus, const PublicKey *key, Address address, const uint8_t *records,
                      size_t n_records);
/*
 * @address was not heard: tells the daemon, whose log says by which line. Once of each, and of a few
 * only, whoever comes with how many keys.
 */
void network_tell_unheard(p2pbus *bus, Address address);
