/* SPDX-License-Identifier: Apache-2.0 */

#include "relay/service-words.h"

#include "libcore/name.h"

static const Address to_bridge = { PID_BRIDGE, 0 };

static RelayLink *link_of(const ServicesRoute *route) {
        return container_of(route, RelayLink, services);
}

/* Whether the process with @key, at @address, has its lease on @link. */
static bool is_leased(const RelayLink *link, Address address, const PublicKey *key) {
        DirectoryEntry *entry;

        return directory_find(link->shared->directory, address, relay_wall_usec(),
                              relay_mono_usec(), &entry) == 0 &&
               entry->route == &link->route && key_equal(&entry->key, key);
}

static bool is_still_leased(const RelayService *service, void *userdata) {
        (void)userdata;
        return is_leased(link_of(service->route), service->address, &service->key);
}

void service_words_sweep(RelayShared *shared) {
        relay_services_sweep(shared->services, relay_wall_usec(), relay_mono_usec(),
                             is_still_leased, NULL);
}

static uint16_t put_code(int condition) {
        switch (condition) {
        case 0:
        case RELAY_SERVICES_E_HELD: /* links that come back say all again */
                return CODE_OK;
        case RELAY_SERVICES_E_CLOCK:
                return CODE_CLOCK;
        case RELAY_SERVICES_E_EXPIRED:
                return CODE_EXPIRED;
        case RELAY_SERVICES_E_SIGNATURE:
                return CODE_BAD_SIGNATURE;
        case RELAY_SERVICES_E_QUOTA:
                return CODE_QUOTA;
        case RELAY_SERVICES_E_MALFORMED:
                return CODE_VIOLATION;
        default:
                return CODE_OVERLOAD;
        }
}

static uint16_t take(RelayLink *link, const Control *control) {
        RelayServices *services = link->shared->services;
        ServiceRecord record;

        if (control->code == CODE_GONE) {
                DirectoryEntry *entry;

                if (directory_find(link->shared->directory, control->address, relay_wall_usec(),
                                   relay_mono_usec(), &entry) != 0 ||
                    entry->route != &link->route)
                        return CODE_NOT_LEASED;
                relay_services_drop(services, entry->hash.address, (const char *)control->body,
                                    control->n_body, NULL);
                return CODE_OK;
        }
        if (service_record_decode_whole(control->body, control->n_body, &record) != 0)
                return CODE_VIOLATION;
        if (!is_leased(link, key_hash(&record.service.signer).address, &record.service.signer))
                return CODE_NOT_LEASED;
        if (!relay_services_knows(services, &record))
                relay_link_charge_verify(link, relay_mono_usec());
        return put_code(relay_services_put(services, &link->services, &record, relay_wall_usec()));
}

uint16_t service_words_take(RelayLink *link, const Control *control) {
        uint16_t code = take(link, control);

        count(&link->shared->counters,
              code == CODE_OK ? COUNT_SERVICES_TAKEN : COUNT_SERVICES_REFUSED);
        return code;
}

/* An answer under way: records, as many as fit into one word. */
typedef struct Answer {
        RelayLink *link;
        Control word;
        uint8_t body[CONTROL_BODY_MAX];
} Answer;

static bool add(const RelayService *service, void *userdata) {
        Answer *answer = userdata;

        if (!is_still_leased(service, NULL))
                return false;
        if (answer->word.n_body + service->n_bytes > sizeof(answer->body)) {
                answer->word.value = SERVICES_MORE;
                relay_link_say(answer->link, &answer->word, to_bridge);
                answer->word.value = 0;
                answer->word.n_body = 0;
        }
        memcpy(answer->body + answer->word.n_body, service->bytes, service->n_bytes);
        answer->word.n_body += service->n_bytes;
        return true;
}

void service_words_answer(RelayLink *link, const PacketId *id, const Control *control) {
        RelayShared *shared = link->shared;
        const char *name = (const char *)control->body;
        uint64_t now = relay_mono_usec();
        RelayServicesAnswer found = RELAY_SERVICES_NONE;
        static Answer answer; /* one at a time; too big for the stack of a link */

        answer.link = link;
        answer.word = (Control){ .verb = CONTROL_SERVICES, .ref = *id, .body = answer.body };
        count(&shared->counters, COUNT_LOOKUPS);
        if (!name_is_valid(name, control->n_body)) {
                answer.word.code = CODE_UNSUPPORTED;
        } else if (!bucket_take(&link->lookups, &link->limits->lookups, 1, now)) {
                count(&shared->counters, COUNT_LOOKUPS_REFUSED);
                answer.word.code = CODE_RATE;
        } else {
                found = relay_services_find(shared->services, name, control->n_body,
                                            &link->services, relay_wall_usec(), now, add, &answer);
                if (found == RELAY_SERVICES_SOME)
                        count(&shared->counters, COUNT_LOOKUPS_FOUND);
                else if (found == RELAY_SERVICES_LOST ||
                         directory_is_settling(shared->directory, now))
                        answer.word.code = CODE_SETTLING;
                else
                        answer.word.code = CODE_NO_PROVIDER;
        }
        relay_link_say(link, &answer.word, to_bridge);
}
