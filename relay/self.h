/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What this relay says about itself: its key, and the signed RELAY record that certifies the
 * encryption key of this run
 */

#include "libsecure/identity.h"
#include "libsecure/signed-record.h"

typedef struct Self Self;

/* Takes over @identity, on success only. Return: 0, -ENOMEM, -ENOSYS. */
int self_new(Self **ret, IdentityKey *identity);
/* Accepts NULL, returns NULL. */
Self *self_free(Self *self);
DEFINE_CLEANUP(Self, self_free)

/* A URL for the record, copied; from the fifth on it is left out. Return: 0 or -ENOMEM. */
int self_add_url(Self *self, const char *url);
void self_set_open(Self *self, bool open);

const IdentityKey *self_identity(const Self *self);
const EncryptionKey *self_key(const Self *self);
/*
 * The record, signed anew when it is getting old; valid until the next call.
 * Return: 0, -errno, a condition of signed_record_sign().
 */
int self_record(Self *self, uint64_t wall_usec, Slice *ret);
