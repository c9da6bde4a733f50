/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "daemon/subject.h"

#include <utlist.h>

#include "libcore/err.h"
#include "libcore/util.h"

static int list_add(StatementList *list, const Statement *statement) {
        const Statement **grown = realloc(list->items, (list->n + 1) * sizeof(*grown));

        if (!grown)
                return err_origin(-ENOMEM);
        list->items = grown;
        list->items[list->n++] = statement;
        return 0;
}

static int say(Subject *subject, const Statement *statement) {
        StatementList *list = &subject->said[statement->slot];

        if (statement->slot < _POLICY_MATCHES)
                return 0;
        list->last = statement;
        /* Values are lists of which only the last counts. */
        if (statement->resets || statement->slot >= _POLICY_LISTS)
                list->n = 0;
        if (statement->slot == POLICY_NETWORK_RELAYS) /* without any of it: all */
                return statement->n_terms > 0 ? list_add(list, statement) : 0;
        return statement->resets ? 0 : list_add(list, statement);
}

uint64_t subject_number(const Subject *subject, PolicySlot slot) {
        const StatementList *list = &subject->said[slot];

        return list->n > 0 ? list->items[0]->number : 0;
}

/* Whether a list of topics is ">", whatever else it has. */
static bool has_all_topics(const StatementList *list) {
        for (size_t i = 0; i < list->n; i++)
                for (size_t k = 0; k < list->items[i]->n_terms; k++)
                        if (strcmp(list->items[i]->terms[k].text, ">") == 0)
                                return true;
        return false;
}

static bool has_kind(const StatementList *list, TermKind kind) {
        for (size_t i = 0; i < list->n; i++)
                for (size_t k = 0; k < list->items[i]->n_terms; k++)
                        if (list->items[i]->terms[k].kind == kind)
                                return true;
        return false;
}

static void settle(Subject *subject) {
        const StatementList *said = subject->said;
        bool sends = said[POLICY_NETWORK_SEND].n > 0 &&
                     !subject_find_remote(subject, POLICY_DENY_SEND_TO);
        bool receives = said[POLICY_NETWORK_RECEIVE].n > 0 &&
                        !subject_find_remote(subject, POLICY_DENY_RECEIVE_FROM);

        subject->has_some_relays = said[POLICY_NETWORK_RELAYS].n > 0;
        subject->has_relays =
                !subject->has_some_relays || has_kind(&said[POLICY_NETWORK_RELAYS], TERM_RELAY);
        subject->caps = (Capabilities){
                .monitor = (uint32_t)subject_number(subject, POLICY_MONITOR),
                .admin = subject_number(subject, POLICY_ADMIN) > 0,
                .gateway = subject_number(subject, POLICY_GATEWAY) > 0,
                .off_host = subject_number(subject, POLICY_NETWORK_PUBLISH) > 0 &&
                            (sends || receives) && subject->has_relays,
        };
        subject->network_is_open = sends && receives &&
                                   has_kind(&said[POLICY_NETWORK_SEND], TERM_ANY) &&
                                   has_kind(&said[POLICY_NETWORK_RECEIVE], TERM_ANY);
        subject->publishes_all =
                said[POLICY_DENY_PUBLISH].n == 0 && has_all_topics(&said[POLICY_PUBLISH]);
        subject->subscribes_all =
                said[POLICY_DENY_SUBSCRIBE].n == 0 && has_all_topics(&said[POLICY_SUBSCRIBE]);
}

Subject *subject_new(Policy *policy, const PolicyBook *book, const uint64_t *key, size_t n_words) {
        Subject *subject = calloc(1, sizeof(*subject) + n_words * sizeof(uint64_t));
        const PolicyFile *file;
        const Statement *s;
        unsigned i = 0;
        int r = 0;

        if (!subject)
                return NULL;
        memcpy(subject->key, key, n_words * sizeof(uint64_t));
        subject->n_key = n_words * sizeof(uint64_t);
        subject->policy = policy;
        subject->uid = (uint32_t)key[0];
        subject->traits = subject->key + 1 + subject_words(book->n_files);
        DL_FOREACH (book->files, file) {
                if (subject_has_file(subject, i)) {
                        subject->brings_limits |= file->limit && !file->is_of_users;
                        LL_FOREACH (file->statements, s)
                                if (r == 0)
                                        r = say(subject, s);
                }
                i++;
        }
        if (r < 0)
                return subject_free(subject);
        settle(subject);
        return subject;
}

Subject *subject_free(Subject *subject) {
        if (!subject)
                return NULL;
        for (unsigned i = 0; i < _POLICY_SLOTS; i++)
                free(subject->said[i].items);
        free(subject);
        return NULL;
}

static bool fits(const Term *term, const Subject *self, const Subject *other) {
        switch (term->kind) {
        case TERM_ANY:
                return true;
        case TERM_SAME_USER:
                return self->uid == other->uid;
        case TERM_USER:
                return term->id != CREDENTIALS_NOBODY && other->uid == term->id;
        case TERM_GROUP:
        case TERM_NAME:
        case TERM_KEY:
                return subject_has_trait(other, term->trait);
        default:
                return false; /* remote: nobody on this host */
        }
}

const Statement *subject_find_other(const Subject *subject, PolicySlot slot, const Subject *other) {
        const StatementList *list = &subject->said[slot];

        for (size_t i = list->n; i-- > 0;) /* as policy-answer.c, from the end */
                for (size_t k = 0; k < list->items[i]->n_terms; k++)
                        if (fits(&list->items[i]->terms[k], subject, other))
                                return list->items[i];
        return NULL;
}

const Statement *subject_find_remote(const Subject *subject, PolicySlot slot) {
        const StatementList *list = &subject->said[slot];

        for (size_t i = 0; i < list->n; i++)
                for (size_t k = 0; k < list->items[i]->n_terms; k++)
                        if (list->items[i]->terms[k].kind == TERM_ANY ||
                            list->items[i]->terms[k].kind == TERM_REMOTE)
                                return list->items[i];
        return NULL;
}
