/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Whom this host believes that they provide a name, of those on other hosts
 *
 * Anybody may sign that he provides a name. He is believed if his key is pinned for it, or if a realm
 * of ours grants it to him, or, for development, always: [Names] of p2pbusd.conf(5). Without realm and
 * pin nobody is, and nobody is asked.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libsecure/service-record.h"

/* Who stands first in the answer. */
typedef enum NameTrustReason {
        NAME_DISTRUSTED,
        NAME_PINNED,
        NAME_GRANTED,
        NAME_ANYBODY,
} NameTrustReason;

typedef struct NamePin {
        const char *pattern; /* a name, or ".*" behind it */
        PublicKey key;
} NamePin;

typedef struct NameTrust {
        NameTrustReason most; /* the weakest reason that counts */
        NamePin *pins;
        size_t n_pins;
        PublicKey *realms;
        size_t n_realms;
} NameTrust;

/* Of the words pinned, granted (NULL means it, too) and any; else NAME_DISTRUSTED. */
NameTrustReason name_trust_mode(const char *word);
/*
 * From lists of words, of Pin= (pairs), RealmKey= and TrustNames=, that were checked; the pins' texts are
 * borrowed. Return: 0, -ENOMEM.
 */
int name_trust_init(NameTrust *trust, char *const *pins, char *const *realms, char *const *mode);
void name_trust_done(NameTrust *trust);

/* Whether anybody at all could be believed for @name. */
bool name_trust_is_possible(const NameTrust *trust, const char *name, size_t n_name);
/* Whether @record might be, if all its signatures are good: nothing is verified. */
bool name_trust_may_believe(const NameTrust *trust, const ServiceRecord *record);
/* Whether, and why, @record is believed; its own signature is not looked at. */
NameTrustReason name_trust_judge(const NameTrust *trust, const ServiceRecord *record,
                                 uint64_t wall_usec);
