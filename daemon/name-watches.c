/* SPDX-License-Identifier: Apache-2.0 */

#define HASH_NONFATAL_OOM 1

#include "daemon/name-watches.h"

#include <utlist.h>

#include "daemon/peer.h"
#include "daemon/remote-names.h"

#define ENTRIES_MAX (CONTROL_BODY_MAX / PROVIDER_ENTRY_SIZE)

/* Those of this host. Return: how many. */
static size_t put_local(const Name *name, uint8_t *body) {
        const OwnedName *owned;
        ProviderEntry entry;
        size_t n = 0;

        DL_FOREACH (name->owners, owned) {
                memcpy(entry.key, owned->peer->key.bytes, sizeof(entry.key));
                entry.rank = owned->rank;
                provider_entry_encode(&entry, body + n++ * PROVIDER_ENTRY_SIZE);
        }
        return n;
}

/* Nobody provides it, as far as is known. Return: whether it was queued. */
static bool answer_nobody(Peer *to, const char *text, size_t n_text, const PacketId *ref) {
        static const PacketId none;
        const Control word = {
                .verb = CONTROL_NAMED,
                .code = remote_names_is_settling(to, text, n_text) ? CODE_SETTLING
                                                                   : CODE_NO_PROVIDER,
                .ref = *ref,
        };

        return peer_say_with_id(to, &word, &none);
}

/* Return: whether it was queued. */
static bool answer(Peer *to, const Name *name, const PacketId *ref) {
        uint8_t body[ENTRIES_MAX * PROVIDER_ENTRY_SIZE];
        Control word = { .verb = CONTROL_NAMED, .ref = *ref, .body = body };
        size_t n = put_local(name, body);
        static const PacketId none;

        if (to->off_host) {
                n += remote_names_put(name, body + n * PROVIDER_ENTRY_SIZE, ENTRIES_MAX - n);
                if (remote_names_is_awaited(name))
                        word.value = NAMED_MORE;
        }
        if (n == 0 && word.value == NAMED_MORE)
                return true; /* they may be elsewhere: that will be said in a moment */
        if (n == 0)
                return answer_nobody(to, name->text, strlen(name->text), ref);
        word.n_body = n * PROVIDER_ENTRY_SIZE;
        return peer_say_with_id(to, &word, &none);
}

void name_watches_answer(Peer *to, const Name *name, const PacketId *ref) {
        (void)answer(to, name, ref); /* who does not read loses words */
}

static NameWatch *find(const Peer *peer, const Name *name) {
        NameWatch *watch;

        DL_FOREACH2 (peer->name_watches, watch, next_peer)
                if (watch->name == name)
                        return watch;
        return NULL;
}

static void watch_free(NameWatch *watch) {
        Peer *peer = watch->peer;
        Name *name = watch->name;

        DL_DELETE(name->watches, watch);
        DL_DELETE2(peer->name_watches, watch, prev_peer, next_peer);
        user_give(peer->user, QUOTA_SUBSCRIPTIONS, 1);
        free(watch);
        names_put(&peer->manager->names, name);
}

/* Return: CODE_OK; CODE_QUOTA. */
static ControlCode begin(Peer *peer, const Control *word, const PacketId *id) {
        Names *names = &peer->manager->names;
        NameWatch *watch = NULL;
        Name *name;

        name = names_get(names, (const char *)word->body, word->n_body);
        if (!name)
                return CODE_QUOTA;
        watch = find(peer, name);
        if (watch) {
                watch->ref = *id;
                return CODE_OK;
        }
        if (user_take(peer->user, QUOTA_SUBSCRIPTIONS, 1) == 0) {
                watch = calloc(1, sizeof(*watch));
                if (!watch)
                        user_give(peer->user, QUOTA_SUBSCRIPTIONS, 1);
        }
        if (!watch) {
                names_put(names, name);
                return CODE_QUOTA;
        }
        watch->name = name;
        watch->peer = peer;
        watch->ref = *id;
        DL_APPEND(name->watches, watch);
        DL_APPEND2(peer->name_watches, watch, prev_peer, next_peer);
        return CODE_OK;
}

/*
 * Asked once, and so answered once, with what links say now. They are waited for only if nobody of this
 * host provides it.
 * Return: CODE_OK; CODE_QUOTA, CODE_OVERLOAD.
 */
static ControlCode answer_once(Peer *from, const char *text, size_t n_text, const PacketId *id) {
        Names *names = &from->manager->names;
        Name *name = names_find(names, text, n_text);

        if ((!name || !name->owners) && remote_names_may_look(from, text, n_text)) {
                name = names_get(names, text, n_text);
                if (!name)
                        return CODE_OVERLOAD;
                if (remote_names_look(from, name))
                        return remote_names_wait(from, name, id);
        }
        if (!name) {
                (void)answer_nobody(from, text, n_text, id);
                return CODE_OK;
        }
        name_watches_answer(from, name, id);
        names_put(names, name);
        return CODE_OK;
}

ControlCode name_watches_resolve(Peer *from, const Control *word, const PacketId *id) {
        const char *text = (const char *)word->body;
        Names *names = &from->manager->names;
        ControlCode code = CODE_OK;
        NameWatch *watch = NULL;
        Name *name;

        if (!name_is_valid(text, word->n_body) || word->value > RESOLVE_NAME_END)
                return CODE_UNSUPPORTED;
        if (word->value == RESOLVE_NAME_ONCE)
                return answer_once(from, text, word->n_body, id);
        if (word->value == RESOLVE_NAME_WATCH)
                code = begin(from, word, id);
        if (code != CODE_OK)
                return code;
        name = names_find(names, text, word->n_body);
        watch = name ? find(from, name) : NULL;
        if (word->value == RESOLVE_NAME_END) {
                if (watch)
                        watch_free(watch);
                return CODE_OK;
        }
        (void)remote_names_look(from, name);
        if (!answer(from, name, id))
                watch->is_owed = true;
        return CODE_OK;
}

void name_watches_note(Names *names, Name *name) {
        if (name->is_changed || !name->watches)
                return;
        name->is_changed = true;
        LL_PREPEND2(names->changed, name, next_changed);
}

/* Nobody's queue gets long by others' coming and going: beyond its limit it has to wait. */
static void tell(NameWatch *watch) {
        Peer *to = watch->peer;

        watch->is_owed = !to->output_dead &&
                         (!peer_has_room(to, 0) || !answer(to, watch->name, &watch->ref));
}

void name_watches_tell(Manager *manager) {
        Names *names = &manager->names;
        NameWatch *watch;
        Name *name;

        while ((name = names->changed)) {
                LL_DELETE2(names->changed, name, next_changed);
                name->is_changed = false;
                if (manager->stop_usec == 0) /* else nobody leaves but us */
                        DL_FOREACH (name->watches, watch)
                                tell(watch);
                names_put(names, name);
        }
}

void name_watches_settle(Peer *peer) {
        NameWatch *watch;

        if (!peer_has_room(peer, 0))
                return;
        DL_FOREACH2 (peer->name_watches, watch, next_peer)
                if (watch->is_owed)
                        tell(watch);
}

void name_watches_look_again(Peer *peer) {
        NameWatch *watch;

        DL_FOREACH2(peer->name_watches, watch, next_peer) {
                (void)remote_names_look(peer, watch->name);
                name_watches_note(&peer->manager->names, watch->name);
        }
}

void name_watches_leave(Peer *peer) {
        while (peer->name_watches)
                watch_free(peer->name_watches);
}
