/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Presence: the bridge's own signed record
 *
 * It certifies the X25519 key that the bridge proves in its handshakes, and names the relays that
 * it is on. It is made when it is first wanted, and anew when it has lived for
 * PRESENCE_RENEW_USEC or the relays are others; every handshake takes the one of the moment.
 */

#include <stdint.h>

#include "libcore/util.h"
#include "libsecure/identity.h"
#include "libsecure/key.h"
#include "libsecure/signed-record.h"

#define PRESENCE_RENEW_USEC (4 * 60 * USEC_PER_SEC)

typedef struct Presence Presence;

/* @identity is borrowed and outlives it. Return: 0, -ENOMEM, -ENOSYS. */
int presence_new(Presence **ret, const IdentityKey *identity);
/* Accepts NULL, returns NULL. */
Presence *presence_free(Presence *presence);
DEFINE_CLEANUP(Presence, presence_free)

/* The identity that signs, and the key that is certified. */
const IdentityKey *presence_identity(const Presence *presence);
const EncryptionKey *presence_key(const Presence *presence);

/* The bridge is on the relay with @key, or no longer; more than the record can name are left out. */
void presence_add_relay(Presence *presence, const PublicKey *key);
void presence_remove_relay(Presence *presence, const PublicKey *key);

/*
 * The record as it is now, wall clock @now_usec; valid until the next call.
 * Return: 0, -errno.
 */
int presence_get(Presence *presence, uint64_t now_usec, Slice *ret);
