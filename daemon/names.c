/* SPDX-License-Identifier: Apache-2.0 */

#define HASH_NONFATAL_OOM 1

#include "daemon/names.h"

#include <pwd.h>
#include <stdio.h>
#include <utlist.h>

#include "daemon/peer.h"
#include "libcore/name.h"

static Name *find(const Names *names, const char *text, size_t n_text) {
        Name *name;

        HASH_FIND(hh, names->table, text, n_text, name);
        return name;
}

const Name *names_find(const Names *names, const char *text, size_t n_text) {
        return find(names, text, n_text);
}

const char *names_account(User *user) {
        const struct passwd *account;

        if (!user->name) {
                account = getpwuid(user->uid);
                user->name = strdup(account ? account->pw_name : "");
        }
        return user->name ? user->name : "";
}

static Name *name_new(Names *names, const char *text, size_t n_text) {
        Name *name = calloc(1, sizeof(*name) + n_text + 1);

        if (!name)
                return NULL;
        memcpy(name->text, text, n_text);
        HASH_ADD_KEYPTR(hh, names->table, name->text, n_text, name);
        if (!name->hh.tbl) {
                free(name);
                return NULL;
        }
        return name;
}

static void name_maybe_free(Names *names, Name *name) {
        if (name->owners)
                return;
        HASH_DELETE(hh, names->table, name);
        free(name);
}

static void announce(const OwnedName *owned, const char *topic) {
        char text[KEY_TEXT_SIZE];

        topics_announce(owned->peer->manager, topic, "%s\t%s", owned->name->text,
                        key_format(&owned->peer->key, text));
}

static void owned_free(OwnedName *owned) {
        Peer *peer = owned->peer;
        Name *name = owned->name;

        announce(owned, TOPICS_OWN "name.gone");
        DL_DELETE2(peer->owned_names, owned, prev_peer, next_peer);
        DL_DELETE(name->owners, owned);
        name->n_owners--;
        user_give(peer->user, QUOTA_NAMES, 1);
        free(owned);
        name_maybe_free(&peer->manager->names, name);
}

static OwnedName *find_owned(Name *name, const Peer *peer) {
        OwnedName *owned;

        DL_FOREACH (name->owners, owned)
                if (owned->peer == peer)
                        return owned;
        return NULL;
}

static ControlCode claim(Peer *peer, const char *text, size_t n_text) {
        Names *names = &peer->manager->names;
        Name *name = find(names, text, n_text);
        OwnedName *owned;

        if (name && find_owned(name, peer))
                return CODE_OK;
        if (name && name->owners->peer->user != peer->user)
                return CODE_BUSY;
        if (name && name->n_owners >= NAMES_PROVIDERS_MAX)
                return CODE_QUOTA;
        if (user_take(peer->user, QUOTA_NAMES, 1) != 0)
                return CODE_QUOTA;

        owned = calloc(1, sizeof(*owned));
        if (!name)
                name = name_new(names, text, n_text);
        if (!name || !owned) {
                free(owned);
                if (name)
                        name_maybe_free(names, name);
                user_give(peer->user, QUOTA_NAMES, 1);
                return CODE_QUOTA;
        }
        owned->name = name;
        owned->peer = peer;
        DL_APPEND(name->owners, owned);
        name->n_owners++;
        DL_APPEND2(peer->owned_names, owned, prev_peer, next_peer);
        announce(owned, TOPICS_OWN "name.here");
        return CODE_OK;
}

static ControlCode release(Peer *peer, const char *text, size_t n_text) {
        Name *name = find(&peer->manager->names, text, n_text);
        OwnedName *owned = name ? find_owned(name, peer) : NULL;

        if (!owned)
                return CODE_NO_PROVIDER;
        owned_free(owned);
        return CODE_OK;
}

static bool may_own(Peer *peer, const char *text, size_t n_text) {
        PolicyAnswer answer = policy_own(peer->subject, names_account(peer->user), text, n_text);
        char what[NAME_SIZE_MAX + 16];

        if (!answer.is_allowed) {
                (void)snprintf(what, sizeof(what), "own %.*s", (int)n_text, text);
                peer_deny(peer, what, &answer);
        }
        return answer.is_allowed;
}

ControlCode names_own(Peer *peer, uint32_t value, const char *text, size_t n_text) {
        ControlCode code;

        if (!name_is_valid(text, n_text) || (value != OWN_CLAIM && value != OWN_RELEASE))
                return CODE_UNSUPPORTED;
        if (value == OWN_RELEASE) {
                code = release(peer, text, n_text);
        } else {
                if (gateway_is(&peer->manager->gateway, peer) || !may_own(peer, text, n_text))
                        return CODE_DENIED;
                code = claim(peer, text, n_text);
        }
        if (code == CODE_OK)
                peer_reclassify(peer);
        return code;
}

bool names_reevaluate(Peer *peer) {
        OwnedName *owned, *next;
        bool any = false;

        DL_FOREACH_SAFE2(peer->owned_names, owned, next, next_peer)
        if (!may_own(peer, owned->name->text, strlen(owned->name->text))) {
                owned_free(owned);
                any = true;
        }
        return any;
}

void names_release_all(Peer *peer) {
        while (peer->owned_names)
                owned_free(peer->owned_names);
}
