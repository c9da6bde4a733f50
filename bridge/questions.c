/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the processes of this host want to know of others: the daemon's questions to the links, and what
 * these answer. Whose relays are not all has them in its question. Of an address the first good answer
 * counts, of a name all links are heard.
 */

#include "bridge/forward-state.h"

static void answer_daemon(Forward *f, const LookupResult *result, const Control *from_link) {
        Control control = {
                .verb = CONTROL_RESOLVED,
                .code = result->code,
                .value = RESOLVED_REMOTE,
                .ref = result->ref,
                .address = result->address,
        };

        if (result->code == CODE_OK) {
                control.body = from_link->body;
                control.n_body = from_link->n_body;
        }
        gateway_say(f->gateway, &control, to_daemon, NULL);
}

static void end_lookup(Forward *f, const LookupResult *result) {
        answer_daemon(f, result, NULL);
}

static void end_name_lookup(Forward *f, const LookupResult *result) {
        Control control = {
                .verb = CONTROL_SERVICES,
                .code = result->code,
                .ref = result->ref,
        };

        gateway_say(f->gateway, &control, to_daemon, NULL);
}

/* Asks those of the links @allowed that can answer. */
static void ask_links(Forward *f, Lookups *lookups, const PacketHeader *header,
                      const Control *question, uint32_t allowed,
                      void (*end)(Forward *f, const LookupResult *no)) {
        uint32_t links = forward_links_where(f, uplink_is_synced) & allowed;
        LookupResult no = {
                .ref = header->id,
                .address = question->address,
                .code = forward_no_link(f, allowed),
        };
        uint64_t number;
        PacketId id;

        if (links != 0 && lookups_add(lookups, &header->id, question->address, links,
                                      links != (forward_links_up(f) & allowed),
                                      forward_clock_usec(), &number) != 0) {
                no.code = CODE_OVERLOAD;
                links = 0;
        }
        if (links == 0) {
                end(f, &no);
                return;
        }
        id = packet_id_make(now_usec(CLOCK_REALTIME), number);
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                if (links & 1U << i)
                        uplink_say(f->uplinks[i], question, to_relay, &id);
}

void questions_ask(Forward *f, const PacketHeader *header, const Control *control) {
        const Control question = { .verb = CONTROL_RESOLVE, .address = control->address };
        _cleanup_(relay_list_unrefp) RelayList *relays = NULL;

        forward_wake(f);
        if (control->n_body > 0)
                relays = relay_lists_get(f->relay_lists, control->body, control->n_body);
        ask_links(f, f->lookups, header, &question, relay_list_links(relays), end_lookup);
}

/* The daemon asks for all its processes, whatever their relays. Who only asks again wakes nobody. */
void questions_ask_name(Forward *f, const PacketHeader *header, const Control *control) {
        const Control question = {
                .verb = CONTROL_RESOLVE_NAME,
                .body = control->body,
                .n_body = control->n_body,
        };

        if (control->value != RESOLVE_NAME_AGAIN)
                forward_wake(f);
        ask_links(f, f->name_lookups, header, &question, RELAY_LISTS_ALL_LINKS, end_name_lookup);
}

void questions_on_resolved(Forward *f, Uplink *uplink, const Control *control) {
        uint64_t number = packet_id_unique(&control->ref);
        uint16_t code = control->code;
        LookupResult result;

        if (code == CODE_OK && control->n_body != CONTROL_LEASE_SIZE)
                code = CODE_SETTLING; /* an answer without its proof is none */
        if (code == CODE_OK)
                routes_learn(f->routes, control->address, uplink_slot(uplink),
                             forward_clock_usec());
        if (lookups_answer(f->lookups, number, uplink_slot(uplink), code, &result) == 0)
                answer_daemon(f, &result, control);
}

/* What a relay knows of a name goes on as it is: the daemon judges. */
void questions_on_services(Forward *f, Uplink *uplink, const Control *control) {
        uint64_t number = packet_id_unique(&control->ref);
        Control word = {
                .verb = CONTROL_SERVICES,
                .value = SERVICES_MORE,
                .body = control->body,
                .n_body = control->n_body,
        };
        LookupResult result;

        if (!lookups_await(f->name_lookups, number, uplink_slot(uplink), &word.ref))
                return;
        if (control->code == CODE_OK && control->n_body > 0)
                gateway_say(f->gateway, &word, to_daemon, NULL);
        if (control->value & SERVICES_MORE)
                return;
        if (lookups_answer(f->name_lookups, number, uplink_slot(uplink), control->code, &result) ==
            0)
                end_name_lookup(f, &result);
}

void questions_tick(Forward *f, uint64_t now) {
        LookupResult result;

        while (lookups_pop(f->lookups, now, &result) == 0)
                end_lookup(f, &result);
        while (lookups_pop(f->name_lookups, now, &result) == 0)
                end_name_lookup(f, &result);
}
