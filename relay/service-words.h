/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What a bridge says of the names that its processes provide, and asks about others
 *
 * A bridge speaks for processes whose leases are on its link, and for no others; a provider is given
 * out only as long as its lease is there.
 */

#include "relay/link-private.h"

/* SERVICE. Return: CODE_OK, or what to say in ERROR. */
uint16_t service_words_take(RelayLink *link, const Control *control);
/* RESOLVE_NAME, in the packet @id: answered with SERVICES. */
void service_words_answer(RelayLink *link, const PacketId *id, const Control *control);
/* Every second or so: what its processes have no lease for any more, or has ended, is dropped. */
void service_words_sweep(RelayShared *shared);
