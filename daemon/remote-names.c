/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A RemoteName is there as long as something is known, or somebody waits or watches. It is looked at
 * when its time has come, and nothing of it ends anywhere else.
 */

#define HASH_NONFATAL_OOM 1

#include "daemon/remote-names.h"

#include <utlist.h>

#include "daemon/name-watches.h"
#include "daemon/peer.h"

#define TURN_MAX 32 /* questions at once; a relay takes 200 a second of a bridge */
#define TURN_USEC (250 * USEC_PER_MSEC)
#define SETTLING_USEC (200 * USEC_PER_MSEC)
#define GONE_USEC (200 * USEC_PER_MSEC) /* a name is not asked for more often for that */

static void providers_free(Manager *manager, RemoteProvider **list) {
        RemoteProvider *p;

        while ((p = *list)) {
                DL_DELETE(*list, p);
                manager->remote_names.n_providers--;
                free(p);
        }
}

static void end_question(Manager *manager, RemoteName *remote) {
        if (remote->id != 0)
                HASH_DELETE(hh, manager->remote_names.by_id, remote);
        remote->id = 0;
        providers_free(manager, &remote->incoming);
        remote->n_incoming = 0;
        remote->is_cut = false;
}

/* Careful: the name may be gone after it. */
static void remote_free(Manager *manager, RemoteName *remote) {
        Name *name = remote->name;

        end_question(manager, remote);
        providers_free(manager, &remote->providers);
        DL_DELETE(manager->remote_names.all, remote);
        manager->remote_names.n--;
        name->remote = NULL;
        free(remote);
        names_put(&manager->names, name);
}

static bool is_watched(const Name *name) {
        const NameWatch *watch;

        DL_FOREACH (name->watches, watch)
                if (watch->peer->off_host)
                        return true;
        return false;
}

bool remote_names_may_look(const Peer *asker, const char *name, size_t n_name) {
        const Manager *manager = asker->manager;

        return asker->off_host && manager->gateway.peer && manager->gateway.peer != asker &&
               name_trust_is_possible(&manager->config.trust, name, n_name);
}

/* Nobody waits or watches, be it that he has left since: it is only remembered. */
static bool is_idle(const RemoteName *remote) {
        return !remote->askers && !is_watched(remote->name);
}

/* Return: whether there is room for one more; the oldest that is only remembered makes it. */
static bool make_room(Manager *manager) {
        RemoteName *remote;

        if (manager->remote_names.n < REMOTE_NAMES_MAX)
                return true;
        DL_FOREACH (manager->remote_names.all, remote)
                if (is_idle(remote)) {
                        remote_free(manager, remote);
                        return true;
                }
        return false;
}

static RemoteName *get(Manager *manager, Name *name) {
        RemoteName *remote = name->remote;

        if (remote)
                return remote;
        if (!make_room(manager))
                return NULL;
        remote = calloc(1, sizeof(*remote));
        if (!remote)
                return NULL;
        remote->name = name;
        remote->ask_usec = remote->wait_usec = USEC_NEVER;
        remote->is_stale = true;
        name->remote = remote;
        DL_APPEND(manager->remote_names.all, remote);
        manager->remote_names.n++;
        return remote;
}

static void ask(Manager *manager, RemoteName *remote) {
        Control word = {
                .verb = CONTROL_RESOLVE_NAME,
                .value = remote->wait_usec == USEC_NEVER ? RESOLVE_NAME_AGAIN : RESOLVE_NAME_ONCE,
                .body = (const uint8_t *)remote->name->text,
                .n_body = strlen(remote->name->text),
        };
        PacketId id = manager_packet_id(manager);

        remote->asked_usec = manager->now_usec;
        remote->ask_usec = manager->now_usec + REMOTE_NAMES_ANSWER_USEC;
        remote->id = packet_id_unique(&id);
        HASH_ADD(hh, manager->remote_names.by_id, id, sizeof(remote->id), remote);
        if (!remote->hh.tbl)
                remote->id = 0; /* no memory: as if no answer had come */
        else
                peer_say_with_id(manager->gateway.peer, &word, &id);
        manager_wake_at(manager, remote->ask_usec);
}

bool remote_names_look(Peer *asker, Name *name) {
        Manager *manager = asker->manager;
        RemoteName *remote;

        if (!remote_names_may_look(asker, name->text, strlen(name->text)))
                return false;
        remote = get(manager, name);
        if (!remote)
                return false;
        /* That there was nobody is old at once. */
        if (remote->providers && !remote->is_stale &&
            manager->now_usec - remote->known_usec < REMOTE_NAMES_FRESH_USEC)
                return false;
        if (remote->wait_usec == USEC_NEVER)
                remote->wait_usec = manager->now_usec + REMOTE_NAMES_WAIT_USEC;
        if (remote->id == 0)
                ask(manager, remote);
        manager_wake_at(manager, remote->wait_usec);
        return true;
}

bool remote_names_is_awaited(const Name *name) {
        return name->remote && name->remote->wait_usec != USEC_NEVER;
}

bool remote_names_is_settling(const Peer *asker, const char *text, size_t n_text) {
        const Manager *manager = asker->manager;
        const Name *name;

        if (!asker->off_host || !name_trust_is_possible(&manager->config.trust, text, n_text))
                return false;
        if (!manager->gateway.peer)
                return gateway_is_awaited(asker);
        name = names_find(&manager->names, text, n_text);
        if (!name || !name->remote)
                return manager->remote_names.n >= REMOTE_NAMES_MAX; /* nobody could be asked */
        return name->remote->is_stale;
}

/* Those who asked once */

static void asker_free(NameAsker *asker) {
        DL_DELETE(asker->remote->askers, asker);
        DL_DELETE2(asker->peer->name_askers, asker, prev_peer, next_peer);
        user_give(asker->peer->user, QUOTA_REQUESTS, 1);
        free(asker);
}

ControlCode remote_names_wait(Peer *peer, Name *name, const PacketId *ref) {
        NameAsker *asker;

        if (user_take(peer->user, QUOTA_REQUESTS, 1) != 0)
                return CODE_QUOTA;
        asker = calloc(1, sizeof(*asker));
        if (!asker) {
                user_give(peer->user, QUOTA_REQUESTS, 1);
                return CODE_OVERLOAD;
        }
        asker->remote = name->remote;
        asker->peer = peer;
        asker->ref = *ref;
        DL_APPEND(name->remote->askers, asker);
        DL_APPEND2(peer->name_askers, asker, prev_peer, next_peer);
        return CODE_OK;
}

void remote_names_forget_askers(Peer *peer) {
        while (peer->name_askers)
                asker_free(peer->name_askers);
}

/* Nobody waits any longer: what is known now is what there is. */
static void end_wait(Manager *manager, RemoteName *remote) {
        if (remote->wait_usec == USEC_NEVER)
                return;
        remote->wait_usec = USEC_NEVER;
        while (remote->askers) {
                NameAsker *asker = remote->askers;
                Peer *peer = asker->peer;
                PacketId ref = asker->ref;

                asker_free(asker);
                name_watches_answer(peer, remote->name, &ref);
        }
        name_watches_note(&manager->names, remote->name);
}

/* What is known */

static RemoteProvider *find(RemoteProvider *list, const PublicKey *key) {
        RemoteProvider *p;

        DL_FOREACH (list, p)
                if (key_equal(&p->key, key))
                        return p;
        return NULL;
}

static bool is_ranked_before(const RemoteProvider *a, const RemoteProvider *b) {
        if (a->reason != b->reason)
                return a->reason < b->reason;
        return a->rank.priority < b->rank.priority;
}

static bool is_alike(const RemoteProvider *a, const RemoteProvider *b) {
        return key_equal(&a->key, &b->key) && a->rank.priority == b->rank.priority &&
               a->rank.weight == b->rank.weight && a->rank.flags == b->rank.flags;
}

static bool are_alike(const RemoteProvider *a, const RemoteProvider *b) {
        for (; a && b; a = a->next, b = b->next)
                if (!is_alike(a, b))
                        return false;
        return !a && !b;
}

/* Of this host nobody needs to be told by others. */
static bool is_here(const Manager *manager, const PublicKey *key) {
        Peer *peer;

        return peer_find(manager, key_hash(key).address, &peer) == CODE_OK &&
               key_equal(&peer->key, key);
}

/* Each costs one or two verifications. */
static bool may_verify(Manager *manager) {
        const uint64_t each_usec = USEC_PER_SEC / REMOTE_NAMES_JUDGED_RATE;
        const uint64_t burst_usec = each_usec * REMOTE_NAMES_JUDGED_BURST;
        RemoteNames *names = &manager->remote_names;
        uint64_t now = manager->now_usec;

        names->judged_usec = MAX(names->judged_usec, now > burst_usec ? now - burst_usec : 0);
        if (names->judged_usec + each_usec > now)
                return false;
        names->judged_usec += each_usec;
        return true;
}

/* Return: why it is believed; NAME_DISTRUSTED. */
static NameTrustReason judge(Manager *manager, RemoteName *remote, const ServiceRecord *record) {
        const SignedRecordCheck check = {
                .type = SIGNED_RECORD_SERVICE,
                .now_usec = now_usec(CLOCK_REALTIME),
        };
        const RemoteProvider *known = find(remote->providers, &record->service.signer);
        NameTrustReason reason;

        /* Those very bytes were verified when they came first. */
        if (known && known->n_bytes == record->bytes.size &&
            memcmp(known->bytes, record->bytes.data, known->n_bytes) == 0)
                return check.now_usec < known->not_after_usec ? known->reason : NAME_DISTRUSTED;
        if (!name_trust_may_believe(&manager->config.trust, record))
                return NAME_DISTRUSTED;
        if (!may_verify(manager)) {
                remote->is_cut = true;
                manager->counters.services_unread++;
                return NAME_DISTRUSTED;
        }
        reason = name_trust_judge(&manager->config.trust, record, check.now_usec);
        if (reason != NAME_DISTRUSTED && service_record_verify(record, &check) != 0)
                reason = NAME_DISTRUSTED;
        return reason;
}

static void add(Manager *manager, RemoteName *remote, const ServiceRecord *record,
                NameTrustReason reason) {
        const SignedRecord *service = &record->service;
        RemoteProvider *held = find(remote->incoming, &service->signer), *p, *before;
        const uint8_t *bytes = record->bytes.data;

        if (held && service->issued_usec <= load_le64(held->bytes + 8))
                return; /* another relay had a newer one */
        if (remote->n_incoming >= REMOTE_NAMES_ONE_MAX ||
            manager->remote_names.n_providers >= REMOTE_NAMES_PROVIDERS_MAX)
                return;
        p = malloc(sizeof(*p) + record->bytes.size);
        if (!p)
                return;
        *p = (RemoteProvider){
                .key = service->signer,
                .address = key_hash(&service->signer).address,
                .rank = { service->service.priority, service->service.weight,
                          (service->service.flags & PROVIDER_DRAIN) | PROVIDER_REMOTE },
                .reason = reason,
                .not_after_usec = reason == NAME_GRANTED ? MIN(service->not_after_usec,
                                                               record->grant.not_after_usec)
                                                         : service->not_after_usec,
                .n_bytes = record->bytes.size,
        };
        memcpy(p->bytes, bytes, p->n_bytes);
        p->metadata = (Slice){
                p->bytes + ((const uint8_t *)service->service.meta.data - bytes),
                service->service.meta.size,
        };
        if (held) {
                DL_DELETE(remote->incoming, held);
                free(held);
        } else {
                remote->n_incoming++;
                manager->remote_names.n_providers++;
        }
        DL_FOREACH (remote->incoming, before)
                if (is_ranked_before(p, before))
                        break;
        DL_PREPEND_ELEM(remote->incoming, before, p);
}

/* What cannot be read ends the row: nobody knows where the next one begins. */
static void take(Manager *manager, RemoteName *remote, const uint8_t *data, size_t n_data) {
        const char *text = remote->name->text;
        size_t n_text = strlen(text);
        ServiceRecord record;
        NameTrustReason reason;

        for (size_t at = 0; at < n_data; at += record.bytes.size) {
                const Slice *name = &record.service.service.name;

                if (service_record_decode(data + at, n_data - at, &record) != 0)
                        return;
                if (name->size != n_text || memcmp(name->data, text, n_text) != 0 ||
                    (record.service.flags & SIGNED_RECORD_WITHDRAWN) ||
                    is_here(manager, &record.service.signer))
                        continue;
                reason = judge(manager, remote, &record);
                if (reason != NAME_DISTRUSTED)
                        add(manager, remote, &record, reason);
        }
}

static void replace(Manager *manager, RemoteName *remote) {
        RemoteProvider *old = remote->providers;
        bool is_changed = !are_alike(old, remote->incoming);

        remote->providers = remote->incoming;
        remote->incoming = NULL;
        remote->known_usec = manager->now_usec;
        remote->is_stale = false;
        providers_free(manager, &old);
        if (is_changed)
                name_watches_note(&manager->names, remote->name);
}

void remote_names_on_services(Manager *manager, const Control *word) {
        uint64_t id = packet_id_unique(&word->ref);
        RemoteName *remote;
        bool is_known, is_cut;

        HASH_FIND(hh, manager->remote_names.by_id, &id, sizeof(id), remote);
        if (!remote)
                return; /* too late */
        take(manager, remote, word->body, word->n_body);
        if (word->value & SERVICES_MORE)
                return;
        is_known = word->code == CODE_OK ||
                   (word->code == CODE_NO_PROVIDER && manager->gateway.synced);
        if (remote->is_cut && !remote->incoming)
                is_known = false; /* what was not verified may be true */
        is_cut = remote->is_cut;
        if (is_known)
                replace(manager, remote);
        else
                remote->is_stale = true;
        end_question(manager, remote);
        if (is_known)
                end_wait(manager, remote);
        if (is_idle(remote) && !remote->providers) {
                remote_free(manager, remote); /* that there was nobody is not remembered */
                return;
        }
        remote->ask_usec = manager->now_usec + (remote->wait_usec == USEC_NEVER && !is_cut
                                                        ? REMOTE_NAMES_AGAIN_USEC
                                                        : SETTLING_USEC);
        manager_wake_at(manager, remote->ask_usec);
}

/* Whoever has come to this host since the record was read is said once. */
static bool is_owner(const Name *name, const PublicKey *key) {
        const OwnedName *owned;

        DL_FOREACH (name->owners, owned)
                if (key_equal(&owned->peer->key, key))
                        return true;
        return false;
}

size_t remote_names_put(const Name *name, uint8_t *body, size_t n_max) {
        const RemoteProvider *p;
        ProviderEntry entry;
        size_t n = 0;

        DL_FOREACH (remote_names_first(name), p) {
                if (n == n_max)
                        break;
                if (is_owner(name, &p->key))
                        continue;
                memcpy(entry.key, p->key.bytes, sizeof(entry.key));
                entry.rank = p->rank;
                provider_entry_encode(&entry, body + n++ * PROVIDER_ENTRY_SIZE);
        }
        return n;
}

const RemoteProvider *remote_names_first(const Name *name) {
        return name->remote ? name->remote->providers : NULL;
}

/* The gateway comes and goes */

void remote_names_begin(Manager *manager) {
        RemoteName *remote;
        Name *name, *next;

        HASH_ITER (hh, manager->names.table, name, next) {
                if (!is_watched(name) || !manager->gateway.peer ||
                    !name_trust_is_possible(&manager->config.trust, name->text, strlen(name->text)))
                        continue;
                if (!name->remote && manager->remote_names.n >= REMOTE_NAMES_MAX)
                        continue; /* nobody makes room while names are gone through */
                remote = get(manager, name);
                if (remote)
                        remote->ask_usec = manager->now_usec;
        }
        manager_wake_at(manager, manager->now_usec);
}

void remote_names_end(Manager *manager) {
        RemoteName *remote, *next;

        DL_FOREACH_SAFE (manager->remote_names.all, remote, next) {
                end_question(manager, remote);
                end_wait(manager, remote);
                if (!remote->providers) {
                        remote_free(manager, remote);
                        continue;
                }
                remote->is_stale = true;
                remote->ask_usec = remote->known_usec + REMOTE_NAMES_KNOWN_USEC;
                manager_wake_at(manager, remote->ask_usec);
        }
}

void remote_names_done(Manager *manager) {
        while (manager->remote_names.all)
                remote_free(manager, manager->remote_names.all);
}

/* Drops those that @is_over says. */
static void drop(Manager *manager, RemoteName *remote,
                 bool (*is_over)(const Manager *manager, const RemoteProvider *p)) {
        RemoteProvider *p, *next;
        bool any = false;

        DL_FOREACH_SAFE (remote->providers, p, next)
                if (is_over(manager, p)) {
                        DL_DELETE(remote->providers, p);
                        manager->remote_names.n_providers--;
                        free(p);
                        any = true;
                }
        if (any)
                name_watches_note(&manager->names, remote->name);
}

static bool is_distrusted(const Manager *manager, const RemoteProvider *p) {
        ServiceRecord record;

        return service_record_decode(p->bytes, p->n_bytes, &record) != 0 ||
               name_trust_judge(&manager->config.trust, &record, now_usec(CLOCK_REALTIME)) ==
                       NAME_DISTRUSTED;
}

void remote_names_rejudge(Manager *manager) {
        RemoteName *remote;

        DL_FOREACH (manager->remote_names.all, remote) {
                drop(manager, remote, is_distrusted);
                remote->is_stale = true;
                providers_free(manager, &remote->incoming); /* judged by the old one */
                remote->n_incoming = 0;
        }
        remote_names_begin(manager);
}

/* Whoever asks from now on is told what links say now, and those who watch soon. */
static void doubt(Manager *manager, RemoteName *remote) {
        remote->is_stale = true;
        if (remote->id != 0)
                return;
        remote->ask_usec = MIN(remote->ask_usec, remote->asked_usec + GONE_USEC);
        manager_wake_at(manager, remote->ask_usec);
}

void remote_names_on_gone(Manager *manager, Address address) {
        const RemoteProvider *p;
        RemoteName *remote;

        DL_FOREACH (manager->remote_names.all, remote)
                DL_FOREACH (remote->providers, p)
                        if (p->address.pid == address.pid) {
                                doubt(manager, remote);
                                break;
                        }
}

/* Time */

static bool has_ended(const Manager *manager, const RemoteProvider *p) {
        (void)manager;
        return now_usec(CLOCK_REALTIME) >= p->not_after_usec;
}

static bool is_any(const Manager *manager, const RemoteProvider *p) {
        (void)manager;
        (void)p;
        return true;
}

/* Return: whether it is still there. */
static bool look_at(Manager *manager, RemoteName *remote, unsigned *n_asked) {
        bool is_old = manager->now_usec - remote->known_usec >= REMOTE_NAMES_KNOWN_USEC;
        bool is_wanted;

        drop(manager, remote, is_old ? is_any : has_ended);
        if (remote->wait_usec <= manager->now_usec)
                end_wait(manager, remote);
        if (remote->ask_usec > manager->now_usec)
                return true;
        end_question(manager, remote); /* if there is one, it was not answered */
        is_wanted = manager->gateway.peer && !is_idle(remote);
        if (is_wanted && *n_asked < TURN_MAX) {
                (*n_asked)++;
                ask(manager, remote);
        } else if (is_wanted) {
                remote->ask_usec = manager->now_usec + TURN_USEC;
        } else if (remote->providers) {
                remote->ask_usec = remote->known_usec + REMOTE_NAMES_KNOWN_USEC;
        } else {
                remote_free(manager, remote);
                return false;
        }
        return true;
}

void remote_names_on_time(Manager *manager) {
        uint64_t next_usec = USEC_NEVER;
        RemoteName *remote, *next;
        unsigned n_asked = 0;

        DL_FOREACH_SAFE (manager->remote_names.all, remote, next)
                if (look_at(manager, remote, &n_asked))
                        next_usec = MIN(next_usec, MIN(remote->ask_usec, remote->wait_usec));
        if (next_usec != USEC_NEVER)
                manager_wake_at(manager, MAX(next_usec, manager->now_usec + USEC_PER_MSEC));
}
