/* SPDX-License-Identifier: Apache-2.0 */

#define HASH_NONFATAL_OOM 1

#include "config.h"

#include "daemon/gateway.h"

#include <fcntl.h>
#include <stdio.h>
#include <utlist.h>

#include "daemon/lease.h"
#include "daemon/peer.h"
#include "daemon/rights.h"
#include "libcore/buf.h"
#include "libsecure/signed-record.h"

/*
 * What is asked for, and by whom: nobody stands for all who may use all relays. Others ask and know each for
 * itself. A key of tables: no padding.
 */
typedef struct QuestionKey {
        uint64_t pid, by_pid;
        uint32_t tag, by_tag;
} QuestionKey;

/* A question to the gateway; all who ask for one address, and may use all relays, share it. */
struct Pending {
        UT_hash_handle by_id, by_key;
        uint64_t id; /* the unique half of our packet's id */
        QuestionKey key;
        Address address;
        bool is_old; /* not to be found by its key any more */
        uint64_t deadline_usec;
        Waiter *waiters;
};

struct CachedLease {
        UT_hash_handle hh;
        QuestionKey key; /* as it was asked for, with or without TAG */
        uint64_t until_usec;
        uint8_t bytes[CONTROL_LEASE_SIZE];
};

/* @asker: NULL: nobody. */
static QuestionKey question_key(Address address, const Peer *asker) {
        Address by =
                asker && asker->subject->has_some_relays ? asker->entry.address : (Address){ 0 };

        return (QuestionKey){ address.pid, by.pid, address.tag, by.tag };
}

/* Of one process alone. */
static bool key_is_own(const QuestionKey *key) {
        return key->by_pid != 0;
}

static bool key_is_about(const QuestionKey *key, Address address) {
        return key->pid == address.pid && (key->tag == 0 || key->tag == address.tag);
}

/* The note of the life before: STATE/gateway-seen. */
static int note_path(const Manager *manager, char *out, size_t n_out) {
        int n = snprintf(out, n_out, "%s/gateway-seen", manager->options.state_path);

        return n > 0 && (size_t)n < n_out ? 0 : -ENAMETOOLONG;
}

static void note_write(const Manager *manager) {
        char path[4096];

        /* Without the note the next life answers sooner than it should: no more than that. */
        if (note_path(manager, path, sizeof(path)) == 0)
                (void)fd_close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
}

void gateway_init(Manager *manager) {
        char path[4096];

        manager->gateway = (Gateway){
                .expected = note_path(manager, path, sizeof(path)) == 0 && access(path, F_OK) == 0,
        };
}

static void cache_remove(Gateway *gateway, CachedLease *cached) {
        HASH_DELETE(hh, gateway->cache, cached);
        gateway->n_own -= key_is_own(&cached->key);
        free(cached);
}

static void cache_clear(Gateway *gateway) {
        CachedLease *cached, *next;

        HASH_ITER (hh, gateway->cache, cached, next)
                cache_remove(gateway, cached);
}

void gateway_done(Manager *manager) {
        char path[4096];

        cache_clear(&manager->gateway);
        if (!manager->gateway.was_here && note_path(manager, path, sizeof(path)) == 0)
                (void)unlink(path); /* it may not be there */
}

bool gateway_is(const Gateway *gateway, const Peer *peer) {
        return gateway->peer == peer;
}

/* Says what became of a packet or a question. @lease: NULL unless CODE_OK. */
static void answer(Peer *peer, bool is_question, const PacketId *ref, Address address,
                   ControlCode code, const uint8_t *lease) {
        Control word = {
                .verb = is_question ? CONTROL_RESOLVED : CONTROL_NOT_LOCAL,
                .code = (uint16_t)code,
                .value = RESOLVED_REMOTE,
                .ref = *ref,
                .address = address,
                .body = lease,
                .n_body = lease ? CONTROL_LEASE_SIZE : 0,
        };

        if (code != CODE_OK) {
                peer->refused++;
                peer->manager->counters.refused[code]++;
        }
        peer_say(peer, &word);
}

static void waiter_free(Manager *manager, Waiter *waiter) {
        DL_DELETE(waiter->pending->waiters, waiter);
        DL_DELETE2(waiter->peer->waiters, waiter, prev_peer, next_peer);
        user_give(waiter->peer->user, QUOTA_REQUESTS, 1);
        manager->gateway.n_waiters--;
        free(waiter);
}

/* Whoever asks from now on asks anew. */
static void pending_hide(Gateway *gateway, Pending *pending) {
        if (!pending->is_old)
                HASH_DELETE(by_key, gateway->by_key, pending);
        pending->is_old = true;
}

static void pending_free(Gateway *gateway, Pending *pending) {
        HASH_DELETE(by_id, gateway->by_id, pending);
        pending_hide(gateway, pending);
        gateway->n_own -= key_is_own(&pending->key);
        free(pending);
}

/* Answers everybody who asked and forgets the question. */
static void pending_answer(Manager *manager, Pending *pending, ControlCode code,
                           const uint8_t *lease) {
        while (pending->waiters) {
                Waiter *waiter = pending->waiters;
                Peer *peer = waiter->peer;
                bool is_question = waiter->is_question;
                PacketId ref = waiter->ref;

                waiter_free(manager, waiter);
                answer(peer, is_question, &ref, pending->address, code, lease);
        }
        pending_free(&manager->gateway, pending);
}

void gateway_forget_waiters(Peer *peer) {
        /* A question that nobody waits for any more ends with its answer or its time. */
        while (peer->waiters)
                waiter_free(peer->manager, peer->waiters);
}

static void forget_links(Gateway *gateway) {
        gateway->links_up = gateway->links_configured = 0;
        memset(gateway->links, 0, sizeof(gateway->links));
}

ControlCode gateway_claim(Peer *peer) {
        Gateway *gateway = &peer->manager->gateway;

        if (!peer->caps.gateway) {
                const PolicyAnswer answer = policy_role(peer->subject, POLICY_GATEWAY);

                rights_deny(peer, "be the gateway", &answer);
                return CODE_DENIED;
        }
        if (peer->owned_names) {
                rights_explain(peer, "who owns names is no gateway");
                return CODE_DENIED;
        }
        if (gateway->peer == peer)
                return CODE_OK;
        if (gateway->peer)
                return CODE_BUSY;
        gateway->peer = peer;
        gateway->was_here = true;
        gateway->synced = false;
        forget_links(gateway);
        note_write(peer->manager);
        return CODE_OK;
}

void gateway_start(Manager *manager) {
        Peer *gateway = manager->gateway.peer, *peer;
        char text[PID_TAGGED_SIZE];

        DL_FOREACH (manager->peers, peer)
                if (peer->state == PEER_ATTACHED && peer != gateway)
                        lease_hand_over(peer);
        peer_say(gateway, &(Control){ .verb = CONTROL_SYNCED });
        manager_notice(manager);
        log_write(&manager->log, LOG_LEVEL_INFO,
                  &(LogFields){ .peer = address_format(gateway->entry.address, text) },
                  "gateway attached");
}

void gateway_remove(Peer *peer) {
        Manager *manager = peer->manager;
        Gateway *gateway = &manager->gateway;
        Pending *pending, *next;
        char text[PID_TAGGED_SIZE];

        if (gateway->peer != peer)
                return;
        gateway->peer = NULL;
        gateway->synced = false;
        forget_links(gateway);
        HASH_ITER (by_id, gateway->by_id, pending, next)
                pending_answer(manager, pending, CODE_NO_ROUTE, NULL);
        cache_clear(gateway);
        barrier_end(manager);
        wants_doubt_all(manager);
        remote_names_end(manager);
        manager_notice(manager);
        log_write(&manager->log, LOG_LEVEL_INFO,
                  &(LogFields){ .peer = address_format(peer->entry.address, text) },
                  "gateway left");
}

void gateway_forget_answers(Manager *manager) {
        cache_clear(&manager->gateway);
}

bool gateway_is_awaited(const Peer *asker) {
        const Gateway *gateway = &asker->manager->gateway;

        return asker->off_host && !gateway->peer && gateway->expected && !gateway->was_here &&
               manager_is_young(asker->manager);
}

/* What can be said of an address that is neither here nor can be asked for. */
static ControlCode absence(const Peer *asker, Address address) {
        const Manager *manager = asker->manager;
        const Gateway *gateway = &manager->gateway;

        if (gateway_is_awaited(asker))
                return CODE_SETTLING;
        if (registry_has_left(&manager->registry, address))
                return CODE_GONE;
        return asker->off_host && gateway->was_here ? CODE_NO_ROUTE : CODE_NOT_HERE;
}

static CachedLease *cache_find(const Manager *manager, const QuestionKey *key) {
        CachedLease *cached;

        HASH_FIND(hh, manager->gateway.cache, key, sizeof(*key), cached);
        return cached && cached->until_usec > manager->now_usec ? cached : NULL;
}

static void cache_forget(Gateway *gateway, QuestionKey key) {
        CachedLease *cached;

        for (unsigned i = 0; i < 2; i++) {
                HASH_FIND(hh, gateway->cache, &key, sizeof(key), cached);
                if (cached)
                        cache_remove(gateway, cached);
                key.tag = 0;
        }
}

/* What those know and ask who do so for themselves. */
static void forget_own_of(Gateway *gateway, Address address) {
        Pending *pending, *next_pending;
        CachedLease *cached, *next;

        HASH_ITER (hh, gateway->cache, cached, next)
                if (key_is_own(&cached->key) && key_is_about(&cached->key, address))
                        cache_remove(gateway, cached);
        HASH_ITER (by_id, gateway->by_id, pending, next_pending)
                if (key_is_own(&pending->key) && key_is_about(&pending->key, address))
                        pending_hide(gateway, pending);
}

void gateway_forget_lease(Manager *manager, Address address) {
        Gateway *gateway = &manager->gateway;
        QuestionKey key = question_key(address, NULL);
        Pending *pending;

        cache_forget(gateway, key);
        for (unsigned i = 0; i < 2; i++) { /* with TAG and without */
                HASH_FIND(by_key, gateway->by_key, &key, sizeof(key), pending);
                if (pending)
                        pending_hide(gateway, pending);
                key.tag = 0;
        }
        if (gateway->n_own > 0)
                forget_own_of(gateway, address);
}

/* Best effort: what is not kept is asked for again. */
static void cache_add(Manager *manager, const Pending *pending, const uint8_t *lease,
                      const SignedRecord *record) {
        Gateway *gateway = &manager->gateway;
        uint64_t wall_usec = now_usec(CLOCK_REALTIME);
        CachedLease *cached;

        cache_forget(gateway, pending->key);
        if (HASH_COUNT(gateway->cache) >= GATEWAY_CACHE_MAX)
                cache_remove(gateway, gateway->cache);
        cached = calloc(1, sizeof(*cached));
        if (!cached)
                return;
        cached->key = pending->key;
        cached->until_usec =
                manager->now_usec + MIN(GATEWAY_CACHE_USEC, record->not_after_usec - wall_usec);
        memcpy(cached->bytes, lease, CONTROL_LEASE_SIZE);
        HASH_ADD(hh, gateway->cache, key, sizeof(cached->key), cached);
        if (!cached->hh.tbl)
                free(cached);
        else
                gateway->n_own += key_is_own(&pending->key);
}

/* Asks the gateway. Return: NULL if there is no memory. */
static Pending *pending_new(const Peer *asker, Address address) {
        Manager *manager = asker->manager;
        Gateway *gateway = &manager->gateway;
        Pending *pending = calloc(1, sizeof(*pending));
        uint8_t relays[CONTROL_RELAYS_MAX];
        Control word = { .verb = CONTROL_RESOLVE, .address = address, .body = relays };
        PacketId id;

        if (!pending)
                return NULL;
        id = manager_packet_id(manager);
        pending->id = packet_id_unique(&id);
        pending->address = address;
        pending->deadline_usec = manager->now_usec + GATEWAY_ANSWER_USEC;
        pending->key = question_key(address, asker);
        HASH_ADD(by_id, gateway->by_id, id, sizeof(pending->id), pending);
        if (!pending->by_id.tbl) {
                free(pending);
                return NULL;
        }
        HASH_ADD(by_key, gateway->by_key, key, sizeof(pending->key), pending);
        if (!pending->by_key.tbl) {
                HASH_DELETE(by_id, gateway->by_id, pending);
                free(pending);
                return NULL;
        }
        gateway->n_own += key_is_own(&pending->key);
        if (asker->subject->has_some_relays)
                word.n_body = policy_write_relays(asker->subject, relays);
        peer_say_with_id(gateway->peer, &word, &id);
        manager_wake_at(manager, pending->deadline_usec);
        return pending;
}

static ControlCode wait_for_answer(Peer *asker, Address address, const PacketId *ref,
                                   bool is_question) {
        Manager *manager = asker->manager;
        Gateway *gateway = &manager->gateway;
        QuestionKey key = question_key(address, asker);
        Pending *pending;
        Waiter *waiter;

        if (gateway->n_waiters >= GATEWAY_WAITERS_MAX)
                return CODE_OVERLOAD;
        if (user_take(asker->user, QUOTA_REQUESTS, 1) != 0)
                return CODE_QUOTA;
        HASH_FIND(by_key, gateway->by_key, &key, sizeof(key), pending);
        waiter = calloc(1, sizeof(*waiter));
        if (waiter && !pending)
                pending = pending_new(asker, address);
        if (!waiter || !pending) {
                free(waiter);
                user_give(asker->user, QUOTA_REQUESTS, 1);
                return CODE_OVERLOAD;
        }
        waiter->pending = pending;
        waiter->peer = asker;
        waiter->ref = *ref;
        waiter->is_question = is_question;
        DL_APPEND(pending->waiters, waiter);
        DL_APPEND2(asker->waiters, waiter, prev_peer, next_peer);
        gateway->n_waiters++;
        return CODE_OK;
}

void gateway_resolve(Peer *asker, Address address, const PacketId *ref, bool is_question) {
        Manager *manager = asker->manager;
        const CachedLease *cached;
        ControlCode code;
        QuestionKey key;

        if (!asker->off_host || !manager->gateway.peer || pid_is_reserved(address.pid)) {
                answer(asker, is_question, ref, address, absence(asker, address), NULL);
                return;
        }
        key = question_key(address, asker);
        cached = cache_find(manager, &key);
        if (cached) {
                answer(asker, is_question, ref, address, CODE_OK, cached->bytes);
                return;
        }
        code = wait_for_answer(asker, address, ref, is_question);
        if (code != CODE_OK)
                answer(asker, is_question, ref, address, code, NULL);
}

/* Checks the lease that answers @pending. Return: CODE_OK, or what is wrong. */
static ControlCode check_lease(Manager *manager, const Pending *pending, const Control *word) {
        Address address = pending->address;
        SignedRecordCheck check = {
                .type = SIGNED_RECORD_LEASE,
                .now_usec = now_usec(CLOCK_REALTIME),
        };
        SignedRecord record;
        KeyHash hash;

        switch (signed_record_verify(word->body, word->n_body, &check, &record)) {
        case 0:
                break;
        case SIGNED_RECORD_E_CLOCK:
                return CODE_CLOCK;
        case SIGNED_RECORD_E_EXPIRED:
                return CODE_NOT_HERE;
        default:
                return CODE_BAD_SIGNATURE;
        }
        hash = key_hash(&record.signer);
        if (hash.address.pid != address.pid ||
            (address.tag != 0 && hash.address.tag != address.tag))
                return CODE_WRONG_KEY;
        if ((record.flags & SIGNED_RECORD_WITHDRAWN) || key_is_zero(&record.lease.bridge))
                return CODE_NOT_HERE;
        cache_add(manager, pending, word->body, &record);
        return CODE_OK;
}

void gateway_on_resolved(Manager *manager, const Control *word) {
        uint64_t id = packet_id_unique(&word->ref);
        ControlCode code = word->code < _CODE_MAX ? (ControlCode)word->code : CODE_NO_ROUTE;
        Gateway *gateway = &manager->gateway;
        Pending *pending;

        HASH_FIND(by_id, gateway->by_id, &id, sizeof(id), pending);
        if (!pending)
                return; /* too late: those who asked were answered */
        if (code == CODE_OK)
                code = check_lease(manager, pending, word);
        if (pending->is_old)
                cache_forget(gateway, pending->key);
        if ((code == CODE_NOT_HERE || code == CODE_NO_ROUTE) && !gateway->synced)
                code = CODE_SETTLING;
        if (code == CODE_NOT_HERE && registry_has_left(&manager->registry, pending->address))
                code = CODE_GONE;
        if (code == CODE_NOT_HERE || code == CODE_GONE)
                remote_names_on_gone(manager, pending->address);
        pending_answer(manager, pending, code, code == CODE_OK ? word->body : NULL);
}

void gateway_on_time(Manager *manager) {
        Gateway *gateway = &manager->gateway;
        Pending *pending, *next;

        /* In the order in which they were made, which is that of their deadlines. */
        HASH_ITER (by_id, gateway->by_id, pending, next) {
                if (pending->deadline_usec > manager->now_usec) {
                        manager_wake_at(manager, pending->deadline_usec);
                        return;
                }
                pending_answer(manager, pending, CODE_TIMEOUT, NULL);
        }
}

void gateway_on_synced(Manager *manager) {
        manager->gateway.synced = true;
        remote_names_begin(manager);
}

void gateway_on_links(Manager *manager, uint32_t value) {
        manager->gateway.links_up = value & 0xffff;
        manager->gateway.links_configured = value >> 16;
}

bool gateway_on_link(Manager *manager, const Control *word) {
        BufReader r = buf_reader(word->body, word->n_body);
        GatewayLink *link;
        const uint8_t *url;
        uint64_t usec;
        size_t n;

        usec = buf_get_le64(&r);
        n = buf_left(&r);
        url = buf_get(&r, n);
        if (word->n_body > 0 && n == 0)
                return false;
        for (size_t i = 0; i < n; i++)
                if (url[i] <= ' ' || url[i] > '~') /* it goes to terminals */
                        return false;
        if (word->value >= CONTROL_LINKS_MAX)
                return true; /* of a later version */
        link = &manager->gateway.links[word->value];
        *link = (GatewayLink){ .is_up = word->code == CODE_OK };
        if (n > 0) {
                link->round_trip_usec = usec;
                memcpy(link->url, url, n);
        }
        return true;
}

void gateway_on_leased(Manager *manager, const Control *word) {
        RegistryEntry *entry;

        if (registry_find(&manager->registry, word->address, &entry) != 0)
                return; /* it left meanwhile */
        lease_on_leased(container_of(entry, Peer, entry), word->code, word->value);
}

void gateway_on_path_changed(Manager *manager, uint32_t generation) {
        Peer *peer;

        cache_clear(&manager->gateway);
        DL_FOREACH (manager->peers, peer)
                if (peer->state == PEER_ATTACHED && peer->off_host && peer != manager->gateway.peer)
                        peer_say(peer,
                                 &(Control){ .verb = CONTROL_PATH_CHANGED, .value = generation });
}

void gateway_on_error(Manager *manager, const Control *word, Address to) {
        RegistryEntry *entry;
        Peer *peer = NULL;

        if (registry_find(&manager->registry, to, &entry) == 0)
                peer = container_of(entry, Peer, entry);
        cache_forget(&manager->gateway, question_key(word->address, peer));
        if (word->code == CODE_NOT_HERE || word->code == CODE_GONE)
                remote_names_on_gone(manager, word->address);
        if (!peer) {
                manager->counters.words_dropped++;
                return;
        }
        peer_say(peer, &(Control){ .verb = CONTROL_ERROR,
                                   .code = word->code < _CODE_MAX ? word->code : CODE_NO_ROUTE,
                                   .value = word->value < _REFUSED_BY_MAX ? word->value : 0,
                                   .ref = word->ref,
                                   .address = word->address });
}
