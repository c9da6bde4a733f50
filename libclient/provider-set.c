/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Just after a restart of the daemon its providers have yet to come back: for the first seconds of its
 * life, if we have known a daemon before it, one that is missing is rested and not forgotten.
 */

#include "config.h"

#include "libclient/provider-set.h"

#include <utlist.h>

#include "libclient/attachment.h"
#include "libclient/introduction.h"
#include "libclient/peer.h"
#include "libclient/provider-watch.h"

/* splitmix64: nothing secret, but no two processes the same. */
static uint64_t next_chance(p2pbus *bus) {
        uint64_t z;

        if (bus->chance == 0)
                bus->chance = crypto_random_u64();
        z = bus->chance += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

static Provider *provider_of(BalanceEntry *entry) {
        return container_of(entry, Provider, entry);
}

static void provider_put(Provider *p) {
        ProviderSet *set = p->set;

        if (p->n_refs > 0 || p->is_listed)
                return;
        provider_watch_note(p);
        if (p->told.is_here)
                return; /* that it has gone is to be told */
        if (set->steady == p)
                set->steady = NULL;
        daemon_drop(set->bus, &p->ask);
        DL_DELETE(set->providers, p);
        free(p);
}

Provider *provider_ref(Provider *p) {
        p->n_refs++;
        return p;
}

void provider_unref(Provider *p) {
        p->n_refs--;
        provider_put(p);
}

static Provider *find_provider(const ProviderSet *set, const PublicKey *key) {
        Provider *p;

        DL_FOREACH (set->providers, p)
                if (key_equal(&p->key, key))
                        return p;
        return NULL;
}

static Provider *get_provider(ProviderSet *set, const PublicKey *key) {
        Provider *p = find_provider(set, key);

        if (p)
                return p;
        p = calloc(1, sizeof(*p));
        if (!p)
                return NULL;
        p->set = set;
        p->key = *key;
        p->address = key_hash(key).address;
        p->entry.number = set->n_ever++;
        p->entry.is_self = address_equal(p->address, set->bus->self.address);
        DL_APPEND(set->providers, p);
        return p;
}

/* It has died: what was under way to it is over, and its rings say nothing more. */
static void bury(Provider *p) {
        p2pbus *bus = p->set->bus;
        Peer *peer = peer_find(bus, p->address, &p->key);

        if (!peer || peer->mirror)
                return;
        introduction_end(peer, CODE_GONE);
        /* What it may have had is unknown all the same; a first contact off-host met nobody. */
        session_fail(peer->session, CODE_GONE, bus->now_usec);
        peer_mark(peer);
}

/* What is said of another host that is cut off, too. */
static bool may_come_back(const Provider *p, uint16_t code) {
        return code != CODE_GONE && (p->entry.rank.flags & PROVIDER_REMOTE);
}

static void on_whereabouts(p2pbus *bus, Ask *ask) {
        Provider *p = container_of(ask, Provider, ask);
        uint16_t code = ask->code;

        daemon_drop(bus, ask);
        switch (code) {
        case CODE_NOT_HERE:
        case CODE_GONE:
        case CODE_NO_ROUTE:
                if (attachment_is_settling(bus) || p->is_listed || p->n_refs == 0)
                        break;
                provider_ref(p);
                if (may_come_back(p, code))
                        p->set->on_away(p);
                else
                        bury(p);
                provider_unref(p);
                break;
        default: /* it has left the name, and finishes what it has; or nobody knows yet */
                if (!p->is_listed && p->n_refs > 0)
                        p->set->on_doubt(p->set, bus->now_usec + USEC_PER_SEC);
        }
}

/* It is not listed any more. */
static void ask_whereabouts(Provider *p) {
        if (p->ask.prev)
                return;
        p->ask = (Ask){
                .control = { .verb = CONTROL_RESOLVE, .address = p->address },
                .on_answer = on_whereabouts,
        };
        daemon_ask(p->set->bus, &p->ask);
}

static bool is_in(const uint8_t *body, size_t n_body, const Provider *p) {
        for (size_t at = 0; at + PROVIDER_ENTRY_SIZE <= n_body; at += PROVIDER_ENTRY_SIZE)
                if (memcmp(body + at, p->key.bytes, KEY_SIZE) == 0)
                        return true;
        return false;
}

void provider_set_drop_others(ProviderSet *set, const uint8_t *body, size_t n_body) {
        bool is_settling = attachment_is_settling(set->bus);
        Provider *p, *next;

        DL_FOREACH_SAFE (set->providers, p, next) {
                if (is_in(body, n_body, p))
                        continue;
                if (p->is_listed && is_settling) {
                        p->is_missed = true;
                        p->entry.failed_usec = set->bus->now_usec;
                        set->on_doubt(set, set->bus->now_usec + PROVIDER_SET_AGAIN_USEC);
                        continue;
                }
                p->is_listed = false;
                if (set->steady == p)
                        set->steady = NULL;
                if (p->n_refs > 0)
                        ask_whereabouts(p);
                else
                        provider_put(p);
        }
}

void provider_set_take(ProviderSet *set, const uint8_t *body, size_t n_body) {
        ProviderEntry entry;
        PublicKey key;
        Provider *p;

        for (size_t at = 0; at + PROVIDER_ENTRY_SIZE <= n_body; at += PROVIDER_ENTRY_SIZE) {
                provider_entry_decode(body + at, &entry);
                memcpy(key.bytes, entry.key, sizeof(key.bytes));
                p = get_provider(set, &key);
                if (!p)
                        continue; /* no memory: it is not asked */
                if (!p->is_listed || p->is_missed)
                        p->entry.failed_usec = 0;
                p->is_listed = true;
                p->is_missed = p->is_unsure = false;
                p->entry.rank = entry.rank;
        }
}

void provider_set_list(ProviderSet *set) {
        size_t n = 0;
        Provider *p;

        DL_FOREACH (set->providers, p)
                n += p->is_listed;
        free(set->listed);
        set->listed = n > 0 ? calloc(n, sizeof(*set->listed)) : NULL;
        set->n_listed = 0;
        if (set->listed)
                DL_FOREACH (set->providers, p)
                        if (p->is_listed)
                                set->listed[set->n_listed++] = &p->entry;
}

Provider *provider_set_choose(const ProviderSet *set, BalanceMode mode, bool any) {
        BalanceEntry *entry = balance_choose(set->listed, set->n_listed, mode, any,
                                             next_chance(set->bus), set->bus->now_usec);

        return entry ? provider_of(entry) : NULL;
}

void provider_set_clear(ProviderSet *set) {
        Provider *p, *next;

        provider_watch_end(set);
        DL_FOREACH_SAFE (set->providers, p, next) {
                p->is_listed = false;
                p->n_refs = 0;
                provider_put(p);
        }
        free(set->listed);
        set->listed = NULL;
        set->n_listed = 0;
}
