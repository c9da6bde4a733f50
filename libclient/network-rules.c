/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/network-rules.h"

#include "libclient/service.h"
#include "libclient/peer.h"
#include "libclient/reason.h"
#include "libcore/buf.h"
#include "libcore/record.h"

struct NetworkRule {
        uint8_t list; /* NETWORK_SEND, NETWORK_RECEIVE */
        uint8_t kind; /* NETWORK_ANY ... */
        PublicKey key;
        char name[CONTROL_NAME_MAX + 1]; /* "com.example.x", "com.example.*" or "*" */
};

/* Return: whether it can be understood; one of kind WHY is no rule. */
static bool read_rule(BufReader *r, NetworkRule *rule, char why[static CONTROL_TEXT_MAX + 1]) {
        const uint8_t *value;
        size_t n;

        rule->list = buf_get_u8(r);
        rule->kind = buf_get_u8(r);
        n = buf_get_le16(r);
        value = buf_get(r, n);
        if (r->failed || (rule->list != NETWORK_SEND && rule->list != NETWORK_RECEIVE))
                return false;
        switch (rule->kind) {
        case NETWORK_ANY:
        case NETWORK_PINNED:
        case NETWORK_GRANTED:
                return n == 0;
        case NETWORK_KEY:
                if (n == KEY_SIZE)
                        memcpy(rule->key.bytes, value, KEY_SIZE);
                return n == KEY_SIZE;
        case NETWORK_NAME:
                if (n == 0 || n > CONTROL_NAME_MAX || memchr(value, '\0', n))
                        return false;
                memcpy(rule->name, value, n);
                return true;
        case NETWORK_WHY:
                reason_copy_text(value, n, why);
                return true;
        default:
                return false;
        }
}

void network_rules_done(NetworkRules *rules) {
        free(rules->rules);
        *rules = (NetworkRules){ .are_said = false };
}

void network_rules_set(NetworkRules *rules, const Control *word) {
        BufReader r = buf_reader(word->body, word->n_body);
        size_t n_most = word->n_body / CONTROL_NETWORK_ENTRY_SIZE;

        network_rules_done(rules);
        rules->are_said = word->value != NETWORK_ALL;
        if (!rules->are_said || n_most == 0)
                return;
        rules->rules = calloc(n_most, sizeof(NetworkRule));
        while (rules->rules && buf_left(&r) > 0) {
                NetworkRule *rule = &rules->rules[rules->n_rules];

                if (!read_rule(&r, rule, rules->why)) {
                        rules->n_rules = 0;
                        return;
                }
                rules->n_rules += rule->kind != NETWORK_WHY;
        }
}

/* A name, or what stands for all names below one: "com.example.*". */
static bool pattern_fits(const char *pattern, const char *name) {
        size_t n = strlen(pattern);

        if (n == 0 || pattern[n - 1] != '*')
                return strcmp(pattern, name) == 0;
        return strncmp(pattern, name, n - 1) == 0 && name[n - 1] != '\0';
}

static bool is_pinned(const p2pbus *bus, const PublicKey *key, Address address) {
        const PublicKey *known = known_peers_find(bus->known, address.pid);

        return known && key_equal(known, key);
}

static bool fits(p2pbus *bus, const NetworkRule *rule, const PublicKey *key, Address address) {
        switch (rule->kind) {
        case NETWORK_ANY:
                return true;
        case NETWORK_PINNED:
                return is_pinned(bus, key, address);
        case NETWORK_GRANTED: /* the daemon names only those whom a realm granted the name */
                return is_pinned(bus, key, address) ||
                       service_is_provided_by(bus, address, pattern_fits, "*");
        case NETWORK_KEY:
                return key_equal(&rule->key, key);
        default:
                return service_is_provided_by(bus, address, pattern_fits, rule->name);
        }
}

static bool allows(p2pbus *bus, uint8_t list, const PublicKey *key, Address address) {
        const NetworkRules *rules = &bus->network;

        for (size_t i = 0; i < rules->n_rules; i++)
                if (rules->rules[i].list == list && fits(bus, &rules->rules[i], key, address))
                        return true;
        return !rules->are_said;
}

bool network_may_send(p2pbus *bus, const Peer *peer) {
        return !bus->network.are_said || allows(bus, NETWORK_SEND, &peer->key, peer->address);
}

/* Nothing that begins anything: no one-way message, no request, nothing that is not of a session. */
static bool only_answers(const uint8_t *records, size_t n_records) {
        Record record;
        size_t at = 0;
        int r;

        while ((r = record_decode(records, n_records, &at, &record)) == 0)
                if (record.type > RECORD_PONG ||
                    (record.type == RECORD_MSG && message_kind_begins(record.message.kind)))
                        return false;
        return r == RECORD_E_END;
}

bool network_may_hear(p2pbus *bus, const PublicKey *key, Address address, const uint8_t *records,
                      size_t n_records) {
        if (!bus->network.are_said || allows(bus, NETWORK_RECEIVE, key, address))
                return true;
        return allows(bus, NETWORK_SEND, key, address) && only_answers(records, n_records);
}

void network_tell_unheard(p2pbus *bus, Address address) {
        const Control word = { .verb = CONTROL_UNHEARD, .address = address };
        NetworkRules *rules = &bus->network;

        if (!bus->is_up || rules->n_unheard == ELEMENTSOF(rules->unheard))
                return;
        for (size_t i = 0; i < rules->n_unheard; i++)
                if (address_equal(rules->unheard[i], address))
                        return;
        if (connection_queue_control(bus->connection, &word, NULL) == 0)
                rules->unheard[rules->n_unheard++] = address;
}
