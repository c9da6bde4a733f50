/* SPDX-License-Identifier: Apache-2.0 */

#define HASH_NONFATAL_OOM 1

#include "daemon/wants.h"

#include <utlist.h>

#include "daemon/lease.h"
#include "daemon/peer.h"
#include "libcore/buf.h"

/* Something elsewhere. */
typedef struct RemoteWant {
        Want want; /* first: an item of the set */
        TopicLeaf leaf;
        uint64_t doubt_usec; /* when it is dropped, for it was lost; 0: it was not */
        uint32_t begun;      /* counts: a later one has a greater number */
} RemoteWant;

/* A topic whose readers a process knows. */
struct ToldTopic {
        UT_hash_handle hh; /* of the process, by @topic */
        ToldTopic *prev, *next;
        Peer *peer;
        uint64_t digest; /* of what it knows */
        size_t n_topic;
        char topic[];
};

typedef struct Reader {
        const uint8_t *key;
        uint32_t begun; /* of what it wanted last, of all that fits */
} Reader;

typedef struct Readers {
        const Manager *manager;
        Reader list[CONTROL_READERS_MAX];
        unsigned n;
        unsigned n_more; /* that found no room */
        uint64_t digest;
} Readers;

void wants_start(Wants *wants) {
        *wants = (Wants){ .doubt_usec = USEC_NEVER, .look_usec = USEC_NEVER };
        wants_init(&wants->set, sizeof(RemoteWant), WANTS_MAX, WANTS_ONE_MAX);
}

static RemoteWant *remote_of(Want *want) {
        return container_of(want, RemoteWant, want);
}

static void remote_drop(Wants *wants, Want *want) {
        topic_tree_remove(&wants->tree, &remote_of(want)->leaf);
        wants_drop(&wants->set, want);
}

void wants_end(Wants *wants) {
        while (wants->set.list)
                remote_drop(wants, wants->set.list);
}

/* Ours */

void wants_say(Peer *peer, uint32_t value, const char *pattern, size_t n_pattern) {
        uint8_t body[CONTROL_KEY_SIZE + TOPIC_SIZE_MAX];
        const Control word = {
                .verb = CONTROL_WANTED,
                .value = value,
                .address = peer->entry.address,
                .body = body,
                .n_body = CONTROL_KEY_SIZE + n_pattern,
        };

        if (!lease_is_given(peer) || topic_is_own(pattern, n_pattern))
                return;
        memcpy(body, peer->key.bytes, CONTROL_KEY_SIZE);
        memcpy(body + CONTROL_KEY_SIZE, pattern, n_pattern);
        peer_say(peer->manager->gateway.peer, &word);
}

/* Somebody on the way has no room for what one of ours wants: it hears so. */
static void on_refused(Manager *manager, const Control *word, const PublicKey *key) {
        RegistryEntry *entry;
        Peer *peer;

        if (registry_find(&manager->registry, word->address, &entry) != 0)
                return;
        peer = container_of(entry, Peer, entry);
        if (!key_equal(&peer->key, key))
                return;
        manager->counters.wants_not_told++;
        peer_log(peer, LOG_LEVEL_WARNING, NULL, "topic",
                 "not all hosts know that it wants %.*s: %s",
                 (int)(word->n_body - CONTROL_KEY_SIZE),
                 (const char *)word->body + CONTROL_KEY_SIZE, control_code_text(word->code));
        peer_say(peer, word);
}

/* Who reads */

static void on_reader(TopicLeaf *leaf, void *userdata) {
        const RemoteWant *remote = container_of(leaf, RemoteWant, leaf);
        const Wanter *wanter = remote->want.wanter;
        Readers *readers = userdata;
        RegistryEntry *entry;

        /* Attached here, it has the daemon's copy. */
        if (registry_find(&readers->manager->registry, wanter->address, &entry) == 0)
                return;
        for (unsigned i = 0; i < readers->n; i++) {
                Reader *reader = &readers->list[i];

                if (memcmp(reader->key, wanter->key, CONTROL_KEY_SIZE) != 0)
                        continue;
                reader->begun = MAX(reader->begun, remote->begun);
                return;
        }
        if (readers->n == CONTROL_READERS_MAX) {
                readers->n_more++;
                return;
        }
        readers->list[readers->n++] = (Reader){ .key = wanter->key, .begun = remote->begun };
}

/*
 * What it may not publish at all nobody reads: it may have been allowed when it asked. Whoever publishes on
 * topics does so often: the log hears it once.
 */
static bool may_leave(Peer *peer, const char *topic, size_t n_topic) {
        PolicyAnswer answer;
        char text[POLICY_ANSWER_MAX];

        if (!peer->subject)
                return false; /* no memory for its policy: it is on its way out */
        if (!peer->subject->publishes_all &&
            !policy_publish(peer->subject, topic, n_topic).is_allowed)
                return false; /* it hears so when it tries */
        answer = policy_publish_off_host(peer->subject, topic, n_topic);
        if (!answer.is_allowed && !policy_is_old_denial(peer->subject, POLICY_NETWORK_TOPICS))
                peer_log(peer, LOG_LEVEL_NOTICE, NULL, "policy",
                         "may not publish on %.*s for other hosts, where it is wanted: %s",
                         (int)n_topic, topic, policy_answer_text(&answer, text));
        return answer.is_allowed;
}

static void find_readers(Peer *peer, const char *topic, size_t n_topic, Readers *ret) {
        Manager *manager = peer->manager;

        *ret = (Readers){ .manager = manager };
        topic_tree_walk(&manager->wants.tree, topic, n_topic, false, on_reader, ret);
        if (ret->n > 0 && !may_leave(peer, topic, n_topic))
                *ret = (Readers){ .manager = manager };
        for (unsigned i = 0; i < ret->n; i++)
                ret->digest +=
                        (load_le64(ret->list[i].key) | 1) * (2 * (uint64_t)ret->list[i].begun + 1);
}

/* Return: whether it will hear it. */
static bool say_word(Peer *peer, ControlCode code, const char *topic, size_t n_topic,
                     const PacketId *ref, const Readers *readers) {
        uint8_t body[1 + TOPIC_SIZE_MAX + CONTROL_READERS_MAX * CONTROL_READER_SIZE];
        BufWriter w = buf_writer(body, sizeof(body));
        static const PacketId none;
        Control word = {
                .verb = CONTROL_READERS,
                .code = code,
                .ref = ref ? *ref : none,
                .value = readers ? readers->n + readers->n_more : 0,
                .body = body,
        };

        buf_put_u8(&w, (uint8_t)n_topic);
        buf_put_bytes(&w, topic, n_topic);
        for (unsigned i = 0; readers && i < readers->n; i++) {
                buf_put_bytes(&w, readers->list[i].key, CONTROL_KEY_SIZE);
                buf_put_le32(&w, readers->list[i].begun);
        }
        word.n_body = w.at;
        return peer_say_with_id(peer, &word, &none);
}

/* @readers: NULL: it is told no more, and shall ask again. Return: as above. */
static bool say_readers(Peer *peer, const char *topic, size_t n_topic, const PacketId *ref,
                        const Readers *readers) {
        return say_word(peer, readers ? CODE_OK : CODE_GONE, topic, n_topic, ref, readers);
}

static void told_free(Wants *wants, ToldTopic *told) {
        HASH_DELETE(hh, told->peer->told.topics, told);
        told->peer->told.n--;
        DL_DELETE(wants->told, told);
        wants->n_told--;
        free(told);
}

/* It forgets what it was told of @told, and asks again when it needs it. */
static void told_withdraw(Wants *wants, ToldTopic *told) {
        (void)say_readers(told->peer, told->topic, told->n_topic, NULL, NULL);
        told_free(wants, told);
}

static ToldTopic *oldest_of(const Wants *wants, const Peer *peer) {
        ToldTopic *told;

        DL_FOREACH (wants->told, told)
                if (told->peer == peer)
                        return told;
        return NULL;
}

static ToldTopic *told_new(Peer *peer, const char *topic, size_t n_topic) {
        Wants *wants = &peer->manager->wants;
        ToldTopic *told;

        if (peer->told.n >= WANTS_TOLD_ONE_MAX)
                told_withdraw(wants, oldest_of(wants, peer));
        else if (wants->n_told >= WANTS_TOLD_MAX)
                told_withdraw(wants, wants->told);
        told = calloc(1, sizeof(*told) + n_topic);
        if (!told)
                return NULL;
        told->peer = peer;
        told->n_topic = n_topic;
        memcpy(told->topic, topic, n_topic);
        HASH_ADD_KEYPTR(hh, peer->told.topics, told->topic, n_topic, told);
        if (!told->hh.tbl) {
                free(told);
                return NULL;
        }
        peer->told.n++;
        DL_APPEND(wants->told, told);
        wants->n_told++;
        return told;
}

static void say_crowded(Manager *manager, const char *topic, size_t n_topic, unsigned n_more) {
        uint32_t n_suppressed;

        if (n_more > 0 &&
            log_rate_pass(&manager->wants.crowded_rate, manager->now_usec, &n_suppressed))
                log_write(&manager->log, LOG_LEVEL_WARNING, NULL,
                          "topic %.*s has more than %d readers on other hosts: %u get nothing",
                          (int)n_topic, topic, CONTROL_READERS_MAX, n_more);
}

void wants_say_readers(Peer *peer, const char *topic, size_t n_topic, const PacketId *id) {
        Manager *manager = peer->manager;
        ToldTopic *told;
        Readers readers;

        HASH_FIND(hh, peer->told.topics, topic, n_topic, told);
        if (!told && peer->off_host)
                told = told_new(peer, topic, n_topic);
        if (!told) {
                (void)say_readers(peer, topic, n_topic, id, NULL);
                return;
        }
        find_readers(peer, topic, n_topic, &readers);
        told->digest = readers.digest;
        if (!say_readers(peer, topic, n_topic, id, &readers))
                told_free(&manager->wants, told);
        say_crowded(manager, topic, n_topic, readers.n_more);
}

void wants_say_replaced(Peer *peer, const char *topic, size_t n_topic, const PacketId *id) {
        if (peer->asks_off_host) /* who is not granted it now keeps what it has */
                (void)say_word(peer, CODE_REPLACED, topic, n_topic, id, NULL);
}

void wants_leave(Peer *peer) {
        while (peer->told.topics)
                told_free(&peer->manager->wants, peer->told.topics);
}

void wants_revoke(Peer *peer) {
        while (peer->told.topics)
                told_withdraw(&peer->manager->wants, peer->told.topics);
}

/* Return: whether somebody has not been told, for want of room. */
static bool tell_anew(Manager *manager) {
        Wants *wants = &manager->wants;
        bool is_owed = false;
        ToldTopic *told, *next;
        Readers readers;

        DL_FOREACH_SAFE (wants->told, told, next) {
                find_readers(told->peer, told->topic, told->n_topic, &readers);
                if (readers.digest == told->digest)
                        continue;
                told->digest = readers.digest;
                if (!say_readers(told->peer, told->topic, told->n_topic, NULL, &readers)) {
                        told->digest--; /* the next look tries again */
                        is_owed = is_owed || !told->peer->output_dead;
                }
                say_crowded(manager, told->topic, told->n_topic, readers.n_more);
        }
        return is_owed;
}

/* Theirs */

static void changed(Manager *manager) {
        Wants *wants = &manager->wants;

        if (wants->look_usec != USEC_NEVER)
                return;
        wants->look_usec = MAX(manager->now_usec, wants->rested_usec);
        manager_wake_at(manager, wants->look_usec);
}

void wants_reevaluate(Manager *manager) {
        changed(manager);
}

static void begun(Manager *manager, RemoteWant *remote) {
        remote->doubt_usec = 0;
        remote->begun = ++manager->wants.n_begun;
        gateway_forget_lease(manager, remote->want.wanter->address);
        changed(manager);
}

static void on_begin(Manager *manager, const Control *word) {
        Wants *wants = &manager->wants;
        RemoteWant *remote;
        TopicNode *node;
        bool with_rest;
        Want *want;
        int r;

        r = wants_put(&wants->set, word->address, word->body, word->n_body, &want);
        if (r == WANTS_E_HELD) {
                /* What was lost and is back may be wanted by another life of that process. */
                if (remote_of(want)->doubt_usec != 0)
                        begun(manager, remote_of(want));
                return;
        }
        if (r != 0) {
                manager->counters.wants_refused++;
                return;
        }
        remote = remote_of(want);
        node = topic_tree_get(&wants->tree, want_pattern(want), want_pattern_size(want),
                              &with_rest);
        if (!node) {
                manager->counters.wants_refused++;
                wants_drop(&wants->set, want);
                return;
        }
        topic_tree_add(node, with_rest, &remote->leaf);
        begun(manager, remote);
}

static void doubt(Manager *manager, Want *want) {
        Wants *wants = &manager->wants;

        remote_of(want)->doubt_usec = manager->now_usec + WANTS_DOUBT_USEC;
        wants->doubt_usec = MIN(wants->doubt_usec, remote_of(want)->doubt_usec);
        manager_wake_at(manager, wants->doubt_usec);
}

static void end(Manager *manager, Want *want, uint16_t code) {
        if (code == CODE_SETTLING) {
                doubt(manager, want);
                return;
        }
        remote_drop(&manager->wants, want);
        changed(manager);
}

static void end_all(Manager *manager, const Control *word) {
        Wanter *wanter = wants_of(&manager->wants.set, word->address);
        Want *want, *next;

        if (!wanter)
                return;
        DL_FOREACH_SAFE2(wanter->wants, want, next, next_wanter)
        end(manager, want, word->code); /* careful: @wanter goes with its last */
}

bool wants_on_word(Manager *manager, const Control *word) {
        Want *want;
        PublicKey key;

        switch (wanted_kind(word)) {
        case WANTED_LIST:
                return true; /* nothing to us: the gateway takes back what it does not repeat */
        case WANTED_ALL:
                end_all(manager, word);
                return true;
        case WANTED_ONE:
                break;
        default:
                return false;
        }
        memcpy(key.bytes, word->body, sizeof(key.bytes));
        if (!address_equal(key_hash(&key).address, word->address))
                return false;
        if (wanted_is_refusal(word)) {
                on_refused(manager, word, &key);
                return true;
        }
        want = wants_find(&manager->wants.set, word->body, word->n_body);
        if (word->value == WANTED_BEGIN)
                on_begin(manager, word);
        else if (want)
                end(manager, want, word->code);
        return true;
}

/* Though it may be over the limit of its queue: it waits for that. */
static void say_pong(Manager *manager, const PacketId *ref, uint32_t value) {
        const Control word = { .verb = CONTROL_PONG, .value = value, .ref = *ref };
        static const PacketId none;

        (void)peer_say_with_id(manager->gateway.peer, &word, &none);
}

void wants_on_ping(Manager *manager, const PacketId *id) {
        Wants *wants = &manager->wants;

        if (wants->look_usec == USEC_NEVER)
                say_pong(manager, id, PING_ALL);
        else if (wants->n_pings == ELEMENTSOF(wants->pings))
                say_pong(manager, id, 0); /* it asks once for each of its links, and no more */
        else
                wants->pings[wants->n_pings++] = *id;
}

/* Behind what those who were told read: else the gateway's would be written first. */
static void answer_pings(Manager *manager, bool is_all) {
        Wants *wants = &manager->wants;
        const ToldTopic *told;

        if (wants->n_pings == 0)
                return;
        DL_FOREACH (wants->told, told) {
                peer_flush(told->peer);
                is_all = is_all && !told->peer->wants_out;
        }
        for (unsigned i = 0; i < wants->n_pings; i++)
                say_pong(manager, &wants->pings[i], is_all ? PING_ALL : 0);
        wants->n_pings = 0;
}

void wants_doubt_all(Manager *manager) {
        Want *want;

        manager->wants.n_pings = 0;
        DL_FOREACH (manager->wants.set.list, want)
                doubt(manager, want);
}

static void drop_doubtful(Manager *manager) {
        Wants *wants = &manager->wants;
        Want *want, *next;

        wants->doubt_usec = USEC_NEVER;
        DL_FOREACH_SAFE (wants->set.list, want, next) {
                uint64_t doubt_usec = remote_of(want)->doubt_usec;

                if (doubt_usec != 0 && doubt_usec <= manager->now_usec)
                        end(manager, want, CODE_GONE);
                else if (doubt_usec != 0)
                        wants->doubt_usec = MIN(wants->doubt_usec, doubt_usec);
        }
}

void wants_on_time(Manager *manager) {
        Wants *wants = &manager->wants;
        uint64_t begun_usec, ended_usec;
        bool is_owed;

        if (manager->now_usec >= wants->doubt_usec)
                drop_doubtful(manager);
        if (manager->now_usec >= wants->look_usec) {
                wants->look_usec = USEC_NEVER;
                begun_usec = now_usec(CLOCK_MONOTONIC);
                is_owed = tell_anew(manager);
                answer_pings(manager, !is_owed);
                ended_usec = now_usec(CLOCK_MONOTONIC);
                wants->rested_usec =
                        ended_usec + MAX(WANTS_GATHER_USEC, WANTS_REST * (ended_usec - begun_usec));
                if (is_owed)
                        changed(manager);
        }
        if (wants->doubt_usec != USEC_NEVER)
                manager_wake_at(manager, wants->doubt_usec);
        if (wants->look_usec != USEC_NEVER)
                manager_wake_at(manager, wants->look_usec);
}
