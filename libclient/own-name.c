/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/own-name.h"

#include <utlist.h>

#include "libclient/announcement.h"
#include "libclient/daemon.h"
#include "libclient/reason.h"
#include "libclient/peer.h"
#include "libclient/rights.h"
#include "libclient/service.h"
#include "libcore/buf.h"
#include "libcore/err.h"
#include "libcore/name.h"

struct OwnName {
        ProviderClaim claim; /* of @body */
        uint8_t body[PROVIDER_CLAIM_MAX];
        size_t n_body;
        bool is_claimed;     /* the daemon has granted it once */
        unsigned n_claiming; /* threads that wait for its answer: what comes by it may be quicker */
        bool is_drained;     /* nothing more is taken by it */
        bool is_lost;        /* it was granted, and is denied now */
        Announcement announcement;
        Ask ask; /* claims it again */
        OwnName *next;
        char text[P2PBUS_NAME_MAX + 1];
        UT_hash_handle hh;
};

static OwnName *find(p2pbus *bus, const char *text, size_t n_text) {
        OwnName *own;

        HASH_FIND(hh, bus->own_names, text, n_text, own);
        return own;
}

static void own_free(p2pbus *bus, OwnName *own) {
        daemon_drop(bus, &own->ask);
        HASH_DELETE(hh, bus->own_names, own);
        free(own);
}

/* What was never granted, and is not asked for any more, is forgotten. */
static void own_put(p2pbus *bus, OwnName *own) {
        if (!own->is_claimed && own->n_claiming == 0)
                own_free(bus, own);
}

static void set_claim(OwnName *own, const ProviderClaim *claim) {
        own->n_body = provider_claim_encode(claim, own->body);
        (void)provider_claim_decode(own->body, own->n_body, &own->claim); /* it is what was put */
}

static Control claim_control(const OwnName *own) {
        return (Control){
                .verb = CONTROL_OWN,
                .value = OWN_CLAIM,
                .body = own->body,
                .n_body = own->n_body,
        };
}

/* Other hosts hear of what the daemon lets us provide, and of nothing else. */
static void announce(p2pbus *bus, OwnName *own) {
        if (own->is_claimed && !own->is_lost && !own->is_drained)
                announcement_say(bus, &own->announcement, &own->claim);
}

/* What is lost the daemon has withdrawn already, and what is drained we have. */
static void withdraw(p2pbus *bus, OwnName *own) {
        if (!own->is_lost && !own->is_drained)
                announcement_withdraw(bus, &own->announcement, &own->claim);
}

/* Refused now, it may be granted after the next attach, or when the policy changes. */
static void on_owned(p2pbus *bus, Ask *ask) {
        OwnName *own = container_of(ask, OwnName, ask);
        bool was_lost = own->is_lost;

        rights_answered(bus, P2PBUS_RIGHT_NAME, own->text, ask, &own->is_lost);
        daemon_drop(bus, ask);
        if (was_lost)
                announce(bus, own);
}

/* Without waiting for the answer. While the bus is away it goes before what was asked meanwhile, which
 * may be another claim. */
static void claim_again(p2pbus *bus, OwnName *own, bool is_attached) {
        daemon_drop(bus, &own->ask);
        own->ask.control = claim_control(own);
        own->ask.on_answer = on_owned;
        own->ask.is_answered = false;
        if (is_attached)
                daemon_ask(bus, &own->ask);
        else
                DL_PREPEND(bus->asks, &own->ask);
}

void own_name_claim_again(p2pbus *bus) {
        OwnName *own, *next;

        HASH_ITER (hh, bus->own_names, own, next)
                if (own->is_claimed)
                        claim_again(bus, own, false);
}

void own_name_announce(p2pbus *bus) {
        OwnName *own, *next;

        HASH_ITER (hh, bus->own_names, own, next)
                announce(bus, own);
}

void own_name_claim_lost(p2pbus *bus) {
        OwnName *own, *next;

        HASH_ITER (hh, bus->own_names, own, next)
                if (own->is_claimed && own->is_lost)
                        claim_again(bus, own, true);
}

void own_name_on_denied(p2pbus *bus, const char *name, const char *text) {
        OwnName *own = find(bus, name, strlen(name));

        if (own && own->is_claimed)
                rights_denied(bus, P2PBUS_RIGHT_NAME, own->text, text, &own->is_lost);
}

/* Claiming and releasing */

/* Return: 0; noted: -ENOMEM. */
static int get(p2pbus *bus, const ProviderClaim *claim, OwnName **ret) {
        OwnName *own = find(bus, claim->name, claim->n_name);

        if (!own) {
                own = calloc(1, sizeof(*own));
                if (!own)
                        return reason_fail_errno(-ENOMEM, "out of memory");
                memcpy(own->text, claim->name, claim->n_name);
                HASH_ADD_KEYPTR(hh, bus->own_names, own->text, claim->n_name, own);
        }
        *ret = own;
        return 0;
}

/* @grant: of @n_grant bytes, for other hosts; those before are of no use any more. */
static void remember(p2pbus *bus, OwnName *own, const ProviderClaim *claim, const uint8_t *grant,
                     size_t n_grant) {
        daemon_drop(bus, &own->ask); /* an older claim that is still asked for */
        own->is_claimed = true;
        own->is_drained = own->is_lost = false;
        set_claim(own, claim);
        memcpy(own->announcement.grant, grant, n_grant);
        own->announcement.n_grant = n_grant;
        announce(bus, own);
}

static int check_name(const char *name) {
        if (!name || !name_is_valid(name, strlen(name)))
                return reason_fail_text(P2PBUS_REASON_BAD_DESTINATION, "%.64s is no service name",
                                        name ? name : "(null)");
        return 0;
}

static int provide(p2pbus *bus, const ProviderClaim *claim, const uint8_t *grant, size_t n_grant,
                   uint64_t timeout_usec) {
        uint8_t body[PROVIDER_CLAIM_MAX];
        Ask ask = {
                .control = { .verb = CONTROL_OWN,
                             .value = OWN_CLAIM,
                             .body = body,
                             .n_body = provider_claim_encode(claim, body) },
        };
        OwnName *own = NULL;
        int r;

        r = bus_enter_blocking(bus);
        if (r < 0)
                return r;
        r = get(bus, claim, &own);
        if (r < 0)
                return bus_leave(bus, r);
        own->n_claiming++;
        r = daemon_ask_wait(bus, &ask, bus_deadline(bus, timeout_usec, P2PBUS_TIMEOUT_DEFAULT));
        daemon_drop(bus, &ask);
        own->n_claiming--;
        if (r == 0)
                remember(bus, own, claim, grant, n_grant);
        own_put(bus, own);
        return bus_leave(bus, r);
}

_public_ int p2pbus_provide(p2pbus *bus, const char *name, const p2pbus_service *service,
                            uint64_t timeout_usec) {
        ProviderClaim claim = {
                .name = name,
                .rank = { PROVIDER_PRIORITY_DEFAULT, PROVIDER_WEIGHT_DEFAULT, 0 },
        };
        uint8_t grant[GRANT_SIZE_MAX];
        size_t n_grant = 0;
        SignedRecord record;
        int r;

        r = check_name(name);
        if (r < 0)
                return r;
        claim.n_name = strlen(name);
        if (service) {
                if (service->struct_size != sizeof(*service))
                        return reason_fail_errno(-EINVAL, "p2pbus_service.struct_size is not set");
                claim.rank.priority = service->priority;
                claim.rank.weight = service->weight;
                claim.rank.flags = service->flags & P2PBUS_SERVICE_DRAIN ? PROVIDER_DRAIN : 0;
                claim.metadata = service->metadata;
                claim.n_metadata = service->metadata ? strlen(service->metadata) : 0;
                if (claim.rank.weight == 0 || (service->flags & ~(uint32_t)P2PBUS_SERVICE_DRAIN) ||
                    !provider_metadata_is_valid(claim.metadata, claim.n_metadata))
                        return reason_fail_errno(
                                -EINVAL,
                                "a weight of 0, unknown flags, or metadata that is "
                                "no text of up to %d bytes",
                                P2PBUS_METADATA_MAX);
                if (service->grant && grant_parse(service->grant, grant, &n_grant, &record) != 0)
                        return reason_fail_errno(-EINVAL, "that is no grant, or it is damaged");
                if (n_grant > 0 &&
                    !key_equal(&record.grant.subject, identity_public(bus->identity)))
                        return reason_fail_errno(-EINVAL, "the grant is for another key than %s",
                                                 bus->self_full);
                if (n_grant > 0 && !name_fits(record.grant.pattern.data, record.grant.pattern.size,
                                              name, claim.n_name))
                        return reason_fail_errno(-EINVAL, "the grant is for %.*s, not for %s",
                                                 (int)record.grant.pattern.size,
                                                 (const char *)record.grant.pattern.data, name);
        }
        return provide(bus, &claim, grant, n_grant, timeout_usec);
}

_public_ int p2pbus_own_name(p2pbus *bus, const char *name, uint64_t timeout_usec) {
        return p2pbus_provide(bus, name, NULL, timeout_usec);
}

_public_ int p2pbus_release_name(p2pbus *bus, const char *name, uint64_t timeout_usec) {
        Ask ask = { .control = { .verb = CONTROL_OWN, .value = OWN_RELEASE } };
        OwnName *own;
        int r;

        r = check_name(name);
        if (r < 0)
                return r;
        ask.control.body = (const uint8_t *)name;
        ask.control.n_body = strlen(name);
        r = bus_enter_blocking(bus);
        if (r < 0)
                return r;
        own = find(bus, name, strlen(name));
        if (own) /* first: afterwards it is not ours to say */
                withdraw(bus, own);
        r = daemon_ask_wait(bus, &ask, bus_deadline(bus, timeout_usec, P2PBUS_TIMEOUT_DEFAULT));
        daemon_drop(bus, &ask);
        own = find(bus, name, strlen(name));
        if (own && own->is_lost && r == -ENXIO)
                r = 0; /* the daemon took it back before us */
        if (r == 0 && own) {
                daemon_drop(bus, &own->ask);
                own->is_claimed = false;
                own_put(bus, own);
        }
        return bus_leave(bus, r);
}

/* Requests that came by a name, or otherwise, and are not over */

bool own_name_refuses(p2pbus *bus, const Record *record) {
        const RecordMessage *m = &record->message;
        const uint8_t *text;
        OwnName *own;
        size_t n;

        if (record->type != RECORD_MSG || m->n_extensions == 0 ||
            (m->kind != MESSAGE_REQUEST && m->kind != MESSAGE_ONE_WAY))
                return false;
        text = record_extension(m->extensions, m->n_extensions, MESSAGE_EXT_SERVICE, &n);
        if (!text)
                return false;
        own = find(bus, (const char *)text, n);
        if (!own)
                return true;
        /* What comes by a name while it is claimed may be quicker than the daemon's answer. */
        return own->n_claiming == 0 && (own->is_drained || (own->is_lost && !own->ask.prev));
}

void own_name_count(p2pbus *bus, Message *request) {
        if (request->kind != MESSAGE_REQUEST)
                return;
        request->is_counted = true;
        request->peer->n_owed++;
        bus->n_open++;
}

void own_name_discount(p2pbus *bus, Message *request) {
        if (!request->is_counted)
                return;
        request->is_counted = false;
        if (request->peer)
                request->peer->n_owed--;
        bus->n_open--;
        if (bus->n_open == 0)
                bus_happened(bus); /* p2pbus_drain() may wait for it */
}

_public_ uint64_t p2pbus_get_load(p2pbus *bus) {
        uint64_t n;

        if (bus_enter(bus) < 0)
                return 0;
        n = bus->n_open;
        (void)bus_leave(bus, 0);
        return n;
}

int own_name_put_load(p2pbus *bus, Message *reply) {
        uint8_t bytes[PROVIDER_LOAD_SIZE];
        BufWriter w = buf_writer(bytes, sizeof(bytes));
        size_t n;

        /* Of an answer that could not be queued and is tried again, the first load stays. */
        if (!bus->own_names ||
            record_extension(reply->extensions, reply->n_extensions, MESSAGE_EXT_LOAD, &n))
                return 0;
        n = bus->n_open > 0 ? bus->n_open - 1 : 0; /* without the one that it answers */
        buf_put_le16(&w, (uint16_t)MIN(n, (size_t)UINT16_MAX));
        buf_put_le16(&w, 0);
        return message_add_extension(reply, MESSAGE_EXT_LOAD, bytes, sizeof(bytes));
}

/* Draining */

bool own_name_begin_drain(p2pbus *bus) {
        OwnName *own, *next;
        ProviderClaim claim;
        uint8_t body[PROVIDER_CLAIM_MAX];
        bool any = false;

        HASH_ITER (hh, bus->own_names, own, next) {
                any = any || !own->is_drained;
                if (!own->is_claimed || (own->claim.rank.flags & PROVIDER_DRAIN))
                        continue;
                memcpy(body, own->body, own->n_body);
                (void)provider_claim_decode(body, own->n_body, &claim);
                claim.rank.flags |= PROVIDER_DRAIN;
                set_claim(own, &claim);
                claim_again(bus, own, true);
                announce(bus, own);
        }
        return any;
}

bool own_name_is_said(const p2pbus *bus) {
        OwnName *own, *next;

        HASH_ITER (hh, bus->own_names, own, next)
                if (bus->is_up && own->ask.prev && !own->ask.is_answered)
                        return false;
        return true;
}

void own_name_end_drain(p2pbus *bus) {
        OwnName *own, *next;

        HASH_ITER (hh, bus->own_names, own, next) {
                if (!own->is_drained)
                        withdraw(bus, own);
                own->is_drained = true;
        }
}

void own_name_free_all(p2pbus *bus) {
        OwnName *own, *next;

        HASH_ITER (hh, bus->own_names, own, next)
                own_free(bus, own);
}
