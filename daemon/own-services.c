/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/own-services.h"

#include <utlist.h>

#include "daemon/lease.h"
#include "daemon/peer.h"
#include "libsecure/service-record.h"

struct OwnService {
        size_t n_bytes;
        uint8_t bytes[];
};

static void say(const Peer *peer, const uint8_t *body, size_t n_body, uint16_t code) {
        const Control word = {
                .verb = CONTROL_SERVICE,
                .code = code,
                .address = peer->entry.address,
                .body = body,
                .n_body = n_body,
        };

        if (lease_is_given(peer))
                peer_say(peer->manager->gateway.peer, &word);
}

void own_services_give(Peer *peer) {
        const OwnedName *owned;

        DL_FOREACH2(peer->owned_names, owned, next_peer)
        if (owned->service)
                say(peer, owned->service->bytes, owned->service->n_bytes, CODE_OK);
}

static void forget(OwnedName *owned) {
        if (owned->service)
                owned->peer->n_services--;
        free(owned->service);
        owned->service = NULL;
}

void own_services_end(OwnedName *owned) {
        if (owned->service)
                say(owned->peer, (const uint8_t *)owned->name->text, strlen(owned->name->text),
                    CODE_GONE);
        forget(owned);
}

/* Each costs a verification. */
static bool passes(Peer *peer) {
        uint64_t now = peer->manager->now_usec;
        uint64_t least = now > OWN_SERVICES_BURST * USEC_PER_SEC / OWN_SERVICES_RATE
                                 ? now - OWN_SERVICES_BURST * USEC_PER_SEC / OWN_SERVICES_RATE
                                 : 0;

        peer->services_usec = MAX(peer->services_usec, least);
        if (peer->services_usec + USEC_PER_SEC / OWN_SERVICES_RATE > now)
                return false;
        peer->services_usec += USEC_PER_SEC / OWN_SERVICES_RATE;
        return true;
}

static OwnedName *find(const Peer *peer, const Slice *text) {
        OwnedName *owned;

        DL_FOREACH2(peer->owned_names, owned, next_peer)
        if (strlen(owned->name->text) == text->size &&
            memcmp(owned->name->text, text->data, text->size) == 0)
                return owned;
        return NULL;
}

static ControlCode verify(const ServiceRecord *record, const OwnService *held) {
        SignedRecordCheck check = {
                .type = SIGNED_RECORD_SERVICE,
                .now_usec = now_usec(CLOCK_REALTIME),
        };
        size_t n = 0;

        if (held && signed_record_size(held->bytes, held->n_bytes, &n) == 0)
                check.held = (Slice){ held->bytes, n };
        return lease_record_code(service_record_verify(record, &check));
}

ControlCode own_services_accept(Peer *peer, const Control *word) {
        ServiceRecord record;
        OwnService *service;
        OwnedName *owned;
        ControlCode code;

        if (!peer->off_host || peer->ephemeral || gateway_is(&peer->manager->gateway, peer))
                return CODE_DENIED;
        if (service_record_decode_whole(word->body, word->n_body, &record) != 0)
                return CODE_UNSUPPORTED;
        if (!key_equal(&record.service.signer, &peer->key))
                return CODE_BAD_SIGNATURE;
        owned = find(peer, &record.service.service.name);
        if (!owned)
                return CODE_NO_PROVIDER;
        if (!owned->service && peer->n_services >= OWN_SERVICES_MAX)
                return CODE_QUOTA;
        if (!passes(peer))
                return CODE_RATE;
        code = verify(&record, owned->service);
        if (code != CODE_OK)
                return code;
        if (record.service.flags & SIGNED_RECORD_WITHDRAWN) {
                if (owned->service)
                        say(peer, word->body, word->n_body, CODE_OK);
                forget(owned);
                return CODE_OK;
        }
        service = malloc(sizeof(*service) + word->n_body);
        if (!service)
                return CODE_OVERLOAD;
        service->n_bytes = word->n_body;
        memcpy(service->bytes, word->body, word->n_body);
        forget(owned);
        owned->service = service;
        peer->n_services++;
        say(peer, service->bytes, service->n_bytes, CODE_OK);
        return CODE_OK;
}
