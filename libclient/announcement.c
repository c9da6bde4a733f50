/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/announcement.h"

static void say(p2pbus *bus, Announcement *a, const ProviderClaim *claim, uint8_t flags) {
        uint64_t issued = MAX(a->issued_usec + 1, bus_wall(bus));
        const SignedRecord service = {
                .type = SIGNED_RECORD_SERVICE,
                .flags = flags,
                .issued_usec = issued,
                .not_after_usec = issued + bus->lease_life_usec,
                .service = { .priority = claim->rank.priority,
                             .weight = claim->rank.weight,
                             .flags = claim->rank.flags & PROVIDER_DRAIN,
                             .name = { claim->name, claim->n_name },
                             .meta = { claim->metadata, claim->n_metadata } },
        };
        uint8_t bytes[SERVICE_RECORD_SIZE_MAX];
        size_t n;

        if (!bus->is_up || !bus->has_lease || bus->is_ephemeral ||
            service_record_sign(&service, bus->identity, a->grant, a->n_grant, bytes, &n) != 0)
                return; /* on this host the name is provided all the same */
        a->issued_usec = issued;
        (void)connection_queue_control(bus->connection,
                                       &(Control){ .verb = CONTROL_SERVICE,
                                                   .address = bus->self.address,
                                                   .body = bytes,
                                                   .n_body = n },
                                       NULL);
}

void announcement_say(p2pbus *bus, Announcement *a, const ProviderClaim *claim) {
        say(bus, a, claim, 0);
}

void announcement_withdraw(p2pbus *bus, Announcement *a, const ProviderClaim *claim) {
        if (a->issued_usec > 0)
                say(bus, a, claim, SIGNED_RECORD_WITHDRAWN);
}
