/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What other hosts are told of a name that we provide
 *
 * A SERVICE record, signed here, and behind it the grant that the application was given for the name.
 * It lives as long as the lease, and is signed anew with each of these, at half of their life. Whoever
 * has a key for one run only has none: nobody could pin it, or grant it anything, and it would be gone
 * before most had heard of it.
 */

#include "libclient/bus.h"
#include "libcore/provider.h"
#include "libsecure/service-record.h"

typedef struct Announcement {
        uint64_t issued_usec; /* of the last; 0: nobody was told anything */
        uint8_t grant[GRANT_SIZE_MAX];
        size_t n_grant; /* 0: none */
} Announcement;

/* Says it, if there is somebody to say it to; else the next lease brings it. */
void announcement_say(p2pbus *bus, Announcement *announcement, const ProviderClaim *claim);
/* Takes it back, if it was said. */
void announcement_withdraw(p2pbus *bus, Announcement *announcement, const ProviderClaim *claim);
