/* SPDX-License-Identifier: Apache-2.0 */

#define HASH_NONFATAL_OOM 1

#include "daemon/names.h"

#include <pwd.h>
#include <stdio.h>
#include <utlist.h>

#include "daemon/name-watches.h"
#include "daemon/own-services.h"
#include "daemon/peer.h"
#include "daemon/rights.h"

Name *names_find(const Names *names, const char *text, size_t n_text) {
        Name *name;

        HASH_FIND(hh, names->table, text, n_text, name);
        return name;
}

Name *names_get(Names *names, const char *text, size_t n_text) {
        Name *name = names_find(names, text, n_text);

        if (name)
                return name;
        name = calloc(1, sizeof(*name) + n_text + 1);
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

void names_put(Names *names, Name *name) {
        if (name->owners || name->watches || name->is_changed || name->remote)
                return;
        HASH_DELETE(hh, names->table, name);
        free(name);
}

const char *names_account(User *user) {
        const struct passwd *account;

        if (!user->name) {
                account = getpwuid(user->uid);
                user->name = strdup(account ? account->pw_name : "");
        }
        return user->name ? user->name : "";
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
        own_services_end(owned);
        DL_DELETE2(peer->owned_names, owned, prev_peer, next_peer);
        DL_DELETE(name->owners, owned);
        name->n_owners--;
        user_give(peer->user, QUOTA_NAMES, 1);
        free(owned->metadata);
        free(owned);
        name_watches_note(&peer->manager->names, name);
        names_put(&peer->manager->names, name);
}

static OwnedName *find_owned(const Name *name, const Peer *peer) {
        OwnedName *owned;

        DL_FOREACH (name->owners, owned)
                if (owned->peer == peer)
                        return owned;
        return NULL;
}

/* Return: CODE_OK, CODE_OVERLOAD, and then it says of itself what it said before. */
static ControlCode describe(OwnedName *owned, const ProviderClaim *claim) {
        char *metadata = NULL;

        if (claim->n_metadata > 0) {
                metadata = strndup(claim->metadata, claim->n_metadata);
                if (!metadata)
                        return CODE_OVERLOAD;
        }
        free(owned->metadata);
        owned->metadata = metadata;
        owned->rank = claim->rank;
        return CODE_OK;
}

static bool has_rank(const OwnedName *owned, const ProviderRank *rank) {
        return owned->rank.priority == rank->priority && owned->rank.weight == rank->weight &&
               owned->rank.flags == rank->flags;
}

/* It provides the name already. Who asks for it hears of another rank, of other metadata nobody. */
static ControlCode claim_again(OwnedName *owned, const ProviderClaim *claim) {
        bool is_same = has_rank(owned, &claim->rank);
        ControlCode code = describe(owned, claim);

        if (code == CODE_OK && !is_same)
                name_watches_note(&owned->peer->manager->names, owned->name);
        return code;
}

static ControlCode claim(Peer *peer, const ProviderClaim *claim) {
        Names *names = &peer->manager->names;
        Name *name = names_find(names, claim->name, claim->n_name);
        OwnedName *owned = name ? find_owned(name, peer) : NULL;

        if (owned)
                return claim_again(owned, claim);
        if (name && name->owners && name->owners->peer->user != peer->user)
                return CODE_BUSY;
        if (name && name->n_owners >= NAMES_PROVIDERS_MAX)
                return CODE_QUOTA;
        if (user_take(peer->user, QUOTA_NAMES, 1) != 0)
                return CODE_QUOTA;

        name = names_get(names, claim->name, claim->n_name);
        owned = calloc(1, sizeof(*owned));
        if (!name || !owned || describe(owned, claim) != CODE_OK) {
                free(owned);
                if (name)
                        names_put(names, name);
                user_give(peer->user, QUOTA_NAMES, 1);
                return CODE_QUOTA;
        }
        owned->name = name;
        owned->peer = peer;
        DL_APPEND(name->owners, owned);
        name->n_owners++;
        DL_APPEND2(peer->owned_names, owned, prev_peer, next_peer);
        name_watches_note(names, name);
        announce(owned, TOPICS_OWN "name.here");
        return CODE_OK;
}

static ControlCode release(Peer *peer, const char *text, size_t n_text) {
        const Name *name = names_find(&peer->manager->names, text, n_text);
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
                rights_deny(peer, what, &answer);
        }
        return answer.is_allowed;
}

ControlCode names_own(Peer *peer, const Control *word) {
        ProviderClaim said;
        ControlCode code;

        if (provider_claim_decode(word->body, word->n_body, &said) != 0 ||
            (word->value != OWN_CLAIM && word->value != OWN_RELEASE) ||
            (word->value == OWN_RELEASE && word->n_body != said.n_name))
                return CODE_UNSUPPORTED;
        if (word->value == OWN_RELEASE) {
                code = release(peer, said.name, said.n_name);
        } else {
                if (gateway_is(&peer->manager->gateway, peer)) {
                        rights_explain(peer, "the gateway owns no names");
                        return CODE_DENIED;
                }
                if (!may_own(peer, said.name, said.n_name))
                        return CODE_DENIED;
                code = claim(peer, &said);
        }
        if (code == CODE_OK)
                rights_reclassify(peer);
        return code;
}

bool names_reevaluate(Peer *peer) {
        OwnedName *owned, *next;
        bool any = false;

        DL_FOREACH_SAFE2(peer->owned_names, owned, next, next_peer)
        if (!may_own(peer, owned->name->text, strlen(owned->name->text))) {
                rights_say_taken(peer, CONTROL_OWN, owned->name->text, strlen(owned->name->text));
                owned_free(owned);
                any = true;
        }
        return any;
}

void names_release_all(Peer *peer) {
        while (peer->owned_names)
                owned_free(peer->owned_names);
}
