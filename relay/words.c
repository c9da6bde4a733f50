/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Control words: what a bridge says to the relay, and what it is told
 *
 * A handler each. Answers to the bridge's own words always come; what is said because of a packet is
 * limited, for a stranger may have sent that.
 */

#include "libcore/control.h"
#include "relay/forward.h"
#include "relay/link-private.h"
#include "relay/service-words.h"
#include "relay/tombs.h"

static const Address to_bridge = { PID_BRIDGE, 0 };

/* ERROR to a word of the bridge itself. */
static void link_answer_error(RelayLink *link, const PacketHeader *header, uint16_t code) {
        Control answer = { .verb = CONTROL_ERROR, .code = code, .ref = header->id };

        if (!bucket_take(&link->errors, &link->limits->errors, 1, relay_mono_usec())) {
                count(&link->shared->counters, COUNT_ERRORS_SUPPRESSED);
                return;
        }
        count(&link->shared->counters, COUNT_ERRORS_SENT);
        relay_link_say(link, &answer, to_bridge);
}

static uint16_t put_code(int condition) {
        switch (condition) {
        case 0:
                return CODE_OK;
        case DIRECTORY_E_CLOCK:
                return CODE_CLOCK;
        case DIRECTORY_E_EXPIRED:
                return CODE_EXPIRED;
        case DIRECTORY_E_OLDER:
                return CODE_REPLACED;
        case DIRECTORY_E_OTHER_BRIDGE:
        case DIRECTORY_E_REVOKED:
                return CODE_DENIED;
        case DIRECTORY_E_QUOTA:
                return CODE_QUOTA;
        case DIRECTORY_E_SIGNATURE:
                return CODE_BAD_SIGNATURE;
        default:
                return CODE_VIOLATION;
        }
}

static void on_lease(RelayLink *link, const Control *control) {
        RelayShared *shared = link->shared;
        Control answer = { .verb = CONTROL_LEASED };
        uint64_t now = relay_mono_usec();
        DirectoryPut put;
        int r;

        if (!directory_knows(shared->directory, control->body, control->n_body)) {
                relay_link_charge_verify(link, now);
                count(&shared->counters, COUNT_LEASES_VERIFIED);
        }
        r = directory_put(shared->directory, &link->route, control->body, control->n_body,
                          relay_wall_usec(), now, &put);
        if (r < 0) {
                relay_link_close(link, WS_CLOSE_GOING_AWAY, COUNT_LEASES_REFUSED, "out of memory");
                return;
        }
        if (put.equivocal)
                count(&shared->counters, COUNT_LEASES_EQUIVOCAL);
        count(&shared->counters, r != 0          ? COUNT_LEASES_REFUSED
                                 : put.withdrawn ? COUNT_LEASES_WITHDRAWN
                                                 : COUNT_LEASES_TAKEN);
        answer.code = put.withdrawn ? CODE_GONE : put_code(r);
        answer.address = r == DIRECTORY_E_MALFORMED ? control->address : put.address;
        if (r == 0) /* what it wants comes along, or ends */
                relay_wants_drop(shared->wants, put.address, put.withdrawn ? NULL : &link->topics);
        if (r == 0) /* what it provides is where its lease is */
                relay_services_drop(shared->services, put.address, NULL, 0,
                                    put.withdrawn ? NULL : &link->services);
        relay_link_say(link, &answer, to_bridge);
}

/*
 * A revocation is kept for ever, in memory and in a file, so a stranger with as many keys as he
 * likes must not be able to hand them in.
 */
static void on_revoke(RelayLink *link, const PacketHeader *header, const Control *control) {
        RelayShared *shared = link->shared;
        uint64_t now = relay_mono_usec();
        SignedRecord record;
        int r;

        if (link->open) {
                link_answer_error(link, header, CODE_DENIED);
                return;
        }
        relay_link_charge_verify(link, now);
        r = directory_revoke(shared->directory, control->body, control->n_body, relay_wall_usec(),
                             now);
        if (r > 0 && r != DIRECTORY_E_OLDER)
                link_answer_error(link, header, CODE_BAD_SIGNATURE);
        if (r != 0)
                return;
        count(&shared->counters, COUNT_KEYS_REVOKED);
        if (signed_record_decode(control->body, control->n_body, &record) == 0) {
                relay_wants_drop(shared->wants, key_hash(&record.signer).address, NULL);
                relay_services_drop(shared->services, key_hash(&record.signer).address, NULL, 0,
                                    NULL);
        }
        r = tombs_append(shared->tombs, control->body);
        if (r < 0) /* it holds for this run, and whoever revoked the key will say so again */
                log_write(shared->log, LOG_LEVEL_ERROR, NULL, "%s: %s; a revocation is not kept",
                          shared->tombs, strerror(-r));
}

static void on_detached(RelayLink *link, const Control *control) {
        RelayShared *shared = link->shared;

        if (directory_detach(shared->directory, &link->route, control->address,
                             relay_mono_usec()) != 0)
                return;
        count(&shared->counters, COUNT_LEASES_WITHDRAWN);
        relay_wants_drop(shared->wants, control->address, NULL);
        relay_services_drop(shared->services, control->address, NULL, 0, NULL);
}

/* Whether the process at @address has its lease on this very link; @ret_key: NULL: whose it is. */
static bool is_leased(const RelayLink *link, Address address, PublicKey *ret_key) {
        DirectoryEntry *entry;

        if (directory_find(link->shared->directory, address, relay_wall_usec(), relay_mono_usec(),
                           &entry) != 0 ||
            entry->route != &link->route || !address_equal(entry->hash.address, address))
                return false;
        if (ret_key)
                *ret_key = entry->key;
        return true;
}

/* A bridge speaks for processes whose leases are on its link, and for no others. */
static void on_wanted(RelayLink *link, const PacketHeader *header, const Control *control) {
        RelayShared *shared = link->shared;
        WantedKind kind = wanted_kind(control);
        Control refusal = *control; /* that something begins, which is all that can be refused */
        PublicKey key;
        int r;

        (void)bucket_spend(&link->wants, &link->limits->wants, 1, relay_mono_usec());
        if (kind != WANTED_ONE && kind != WANTED_ALL) {
                relay_link_violated(link, "malformed word about a topic");
                return;
        }
        if (!is_leased(link, control->address, &key) ||
            memcmp(key.bytes, control->body, sizeof(key.bytes)) != 0) {
                count(&shared->counters, COUNT_WANTS_REFUSED);
                link_answer_error(link, header, CODE_NOT_LEASED);
                return;
        }
        refusal.value = WANTED_END;
        refusal.ref = header->id;
        r = relay_wants_put(shared->wants, &link->topics, control);
        if (r < 0 || r == WANTS_E_FULL || r == WANTS_E_KEY) {
                count(&shared->counters, COUNT_WANTS_REFUSED);
                refusal.code = r < 0 ? CODE_OVERLOAD : CODE_QUOTA;
                relay_link_say(link, &refusal, to_bridge);
        } else {
                count(&shared->counters, COUNT_WANTS_TAKEN);
        }
}

bool words_say_wanted(WantsRoute *route, const Control *word, const PacketId *id) {
        return relay_link_offer(container_of(route, RelayLink, topics), word, id);
}

static bool is_still_leased(Address address, const WantsRoute *route, void *userdata) {
        (void)userdata;
        return is_leased(container_of(route, RelayLink, topics), address, NULL);
}

void words_sweep_wanted(RelayShared *shared) {
        relay_wants_sweep(shared->wants, is_still_leased, NULL);
}

/* Of a second question before the first was answered nothing more is known than that it came. */
static void on_ping(RelayLink *link, const PacketHeader *header, const Control *control) {
        Control answer = { .verb = CONTROL_PONG, .ref = header->id };

        if (control->value == PING_ALL) {
                (void)bucket_spend(&link->wants, &link->limits->wants, 1, relay_mono_usec());
                if (relay_wants_ask(link->shared->wants, &link->topics, &header->id))
                        return;
        }
        relay_link_say(link, &answer, to_bridge);
}

static void on_service(RelayLink *link, const PacketHeader *header, const Control *control) {
        uint16_t code = service_words_take(link, control);

        if (code != CODE_OK)
                link_answer_error(link, header, code);
}

static void on_resolve(RelayLink *link, const PacketHeader *header, const Control *control) {
        RelayShared *shared = link->shared;
        Control answer = {
                .verb = CONTROL_RESOLVED,
                .value = RESOLVED_REMOTE,
                .ref = header->id,
                .address = control->address,
        };
        DirectoryEntry *entry;
        uint64_t now = relay_mono_usec();
        Counter unused;
        int r;

        count(&shared->counters, COUNT_LOOKUPS);
        if (!bucket_take(&link->lookups, &link->limits->lookups, 1, now)) {
                count(&shared->counters, COUNT_LOOKUPS_REFUSED);
                answer.code = CODE_RATE;
                relay_link_say(link, &answer, to_bridge);
                return;
        }
        r = directory_find(shared->directory, control->address, relay_wall_usec(), now, &entry);
        answer.code = forward_code(r, &unused);
        if (r == 0) {
                count(&shared->counters, COUNT_LOOKUPS_FOUND);
                answer.address = entry->hash.address;
                answer.body = entry->lease;
                answer.n_body = sizeof(entry->lease);
        }
        relay_link_say(link, &answer, to_bridge);
}

static void on_synced(RelayLink *link) {
        Control answer = { .verb = CONTROL_SYNCED };

        directory_route_synced(link->shared->directory, &link->route);
        relay_link_say(link, &answer, to_bridge);
        if (link->phase == PHASE_UP)
                relay_wants_sync(link->shared->wants, &link->topics);
}

static void on_unsupported(RelayLink *link, const PacketHeader *header) {
        count(&link->shared->counters, COUNT_CONTROL_UNSUPPORTED);
        link_answer_error(link, header, CODE_UNSUPPORTED);
}

void words_refuse(RelayLink *link, DirectoryEntry *source, const PacketHeader *header,
                  uint16_t code, uint32_t by) {
        Control error = {
                .verb = CONTROL_ERROR,
                .code = code,
                .value = by,
                .ref = header->id,
                .address = header->dst,
        };

        if (source->errors.refilled_usec == 0)
                bucket_init(&source->errors, &link->limits->errors, relay_mono_usec());
        if (!bucket_take(&source->errors, &link->limits->errors, 1, relay_mono_usec())) {
                count(&link->shared->counters, COUNT_ERRORS_SUPPRESSED);
                return;
        }
        count(&link->shared->counters, COUNT_ERRORS_SENT);
        relay_link_say(link, &error, header->src);
}

/*
 * A bridge's word that a packet got no further on its host goes on to the packet's source, in our
 * name. Only about an address that is leased on this very link: a bridge speaks for its own.
 */
static void on_error(RelayLink *link, const PacketHeader *header, const Control *control) {
        RelayShared *shared = link->shared;
        PacketHeader refused = { .src = header->dst, .dst = control->address, .id = control->ref };
        DirectoryEntry *subject, *source;
        uint64_t now = relay_mono_usec();

        if (pid_is_reserved(header->dst.pid) || control->code == CODE_OK ||
            control->code >= _CODE_MAX ||
            directory_find(shared->directory, control->address, relay_wall_usec(), now, &subject) !=
                    0 ||
            subject->route != &link->route ||
            directory_find(shared->directory, header->dst, relay_wall_usec(), now, &source) != 0)
                return; /* about one of our words, or nobody's business: never answered */
        words_refuse(container_of(source->route, RelayLink, route), source, &refused, control->code,
                     control->value == REFUSED_BY_FAR_DAEMON ? REFUSED_BY_FAR_DAEMON
                                                             : REFUSED_BY_FAR_BRIDGE);
}

void words_handle(RelayLink *link, const PacketHeader *header, const uint8_t *frame) {
        Control control;

        if (header->src.pid != PID_BRIDGE) {
                relay_link_violated(link, "control word of somebody else");
                return;
        }
        switch (control_decode(frame + PACKET_HEADER_SIZE, header->size - PACKET_HEADER_SIZE,
                               &control)) {
        case 0:
                break;
        case CONTROL_E_UNKNOWN:
                on_unsupported(link, header);
                return;
        default:
                relay_link_violated(link, "malformed control word");
                return;
        }

        if (header->dst.pid != PID_RELAY && control.verb != CONTROL_ERROR) {
                relay_link_violated(link, "control word for somebody else");
                return;
        }
        switch (control.verb) {
        case CONTROL_LEASE:
                on_lease(link, &control);
                break;
        case CONTROL_DETACHED:
                on_detached(link, &control);
                break;
        case CONTROL_REVOKE:
                on_revoke(link, header, &control);
                break;
        case CONTROL_RESOLVE:
                on_resolve(link, header, &control);
                break;
        case CONTROL_SERVICE:
                on_service(link, header, &control);
                break;
        case CONTROL_RESOLVE_NAME:
                service_words_answer(link, &header->id, &control);
                break;
        case CONTROL_SYNCED:
                on_synced(link);
                break;
        case CONTROL_WANTED:
                on_wanted(link, header, &control);
                break;
        case CONTROL_PING:
                on_ping(link, header, &control);
                break;
        case CONTROL_PONG:
                relay_wants_answer(link->shared->wants, &link->topics, &control);
                break;
        case CONTROL_ERROR:
                on_error(link, header, &control);
                break;
        case CONTROL_GOODBYE:
                relay_link_close(link, WS_CLOSE_NORMAL, COUNT_LINKS_CLOSED, "the bridge left");
                break;
        default: /* words of the local plane */
                on_unsupported(link, header);
        }
}

void words_refuse_unleased(RelayLink *link, const PacketHeader *header) {
        Control word = { .verb = CONTROL_UNLEASED, .ref = header->id, .address = header->src };

        if (!bucket_take(&link->errors, &link->limits->errors, 1, relay_mono_usec())) {
                count(&link->shared->counters, COUNT_ERRORS_SUPPRESSED);
                return;
        }
        count(&link->shared->counters, COUNT_ERRORS_SENT);
        relay_link_say(link, &word, to_bridge);
}
