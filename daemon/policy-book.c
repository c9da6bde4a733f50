/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "daemon/policy-book.h"

#include <fnmatch.h>
#include <stdio.h>
#include <utlist.h>

#include "libcore/control.h"
#include "libcore/err.h"
#include "libcore/util.h"

#define MIB (UINT64_C(1) << 20)
#define QUEUE_BYTES_TOO "Bytes" /* another word for QueueBytes= */

typedef struct Key Key;

/* Reads the value into @statement. Return: 0; CONF_E_BAD with @ret_reason; -ENOMEM. */
typedef int ParseValue(const PolicyBook *book, const Key *key, const char *value,
                       Statement *statement, const char **ret_reason);

struct Key {
        const char *section;
        const char *key;
        ParseValue *parse;
        TermGrammar grammar;
        uint64_t min, max;
};

static ParseValue parse_terms, parse_yes, parse_monitor, parse_count, parse_bytes;

/* clang-format off */
static const Key keys[_POLICY_SLOTS] = {
        [POLICY_MATCH_BUS] = { "Match", "Bus", parse_terms, TERM_GRAMMAR_BUS, 0, 0 },
        [POLICY_MATCH_USER] = { "Match", "User", parse_terms, TERM_GRAMMAR_USER, 0, 0 },
        [POLICY_MATCH_GROUP] = { "Match", "Group", parse_terms, TERM_GRAMMAR_GROUP, 0, 0 },
        [POLICY_MATCH_KEY] = { "Match", "Key", parse_terms, TERM_GRAMMAR_KEY, 0, 0 },
        [POLICY_MATCH_UNIT] = { "Match", "Unit", parse_terms, TERM_GRAMMAR_UNIT, 0, 0 },

        [POLICY_OWN_NAME] = { "Own", "Name", parse_terms, TERM_GRAMMAR_OWN, 0, 0 },
        [POLICY_OWN_DENY] = { "Own", "DenyName", parse_terms, TERM_GRAMMAR_OWN, 0, 0 },
        [POLICY_SEND_TO] = { "Talk", "SendTo", parse_terms, TERM_GRAMMAR_WHO, 0, 0 },
        [POLICY_RECEIVE_FROM] = { "Talk", "ReceiveFrom", parse_terms, TERM_GRAMMAR_WHO, 0, 0 },
        [POLICY_DENY_SEND_TO] = { "Talk", "DenySendTo", parse_terms, TERM_GRAMMAR_WHO, 0, 0 },
        [POLICY_DENY_RECEIVE_FROM] = { "Talk", "DenyReceiveFrom", parse_terms, TERM_GRAMMAR_WHO, 0, 0 },
        [POLICY_PUBLISH] = { "Topics", "Publish", parse_terms, TERM_GRAMMAR_TOPIC, 0, 0 },
        [POLICY_SUBSCRIBE] = { "Topics", "Subscribe", parse_terms, TERM_GRAMMAR_TOPIC, 0, 0 },
        [POLICY_DENY_PUBLISH] = { "Topics", "DenyPublish", parse_terms, TERM_GRAMMAR_TOPIC, 0, 0 },
        [POLICY_DENY_SUBSCRIBE] = { "Topics", "DenySubscribe", parse_terms, TERM_GRAMMAR_TOPIC, 0, 0 },
        [POLICY_NETWORK_SEND] = { "Network", "Send", parse_terms, TERM_GRAMMAR_SEND, 0, 0 },
        [POLICY_NETWORK_RECEIVE] = { "Network", "ReceiveFrom", parse_terms, TERM_GRAMMAR_RECEIVE, 0, 0 },
        [POLICY_NETWORK_TOPICS] = { "Network", "Topics", parse_terms, TERM_GRAMMAR_TOPIC, 0, 0 },
        [POLICY_DENY_NETWORK_TOPICS] = { "Network", "DenyTopics", parse_terms, TERM_GRAMMAR_TOPIC, 0, 0 },
        [POLICY_NETWORK_RELAYS] = { "Network", "Relays", parse_terms, TERM_GRAMMAR_RELAYS, 0, 0 },

        [POLICY_NETWORK_PUBLISH] = { "Network", "Publish", parse_yes, 0, 0, 0 },
        [POLICY_GATEWAY] = { "Role", "Gateway", parse_yes, 0, 0, 0 },
        [POLICY_MONITOR] = { "Role", "Monitor", parse_monitor, 0, 0, 0 },
        [POLICY_ADMIN] = { "Role", "Admin", parse_yes, 0, 0, 0 },

        [POLICY_CONNECTIONS] = { "Limits", "Connections", parse_count, 0, 1, UINT32_MAX },
        [POLICY_UNATTACHED] = { "Limits", "Unattached", parse_count, 0, 1, UINT32_MAX },
        [POLICY_ATTACH_RATE] = { "Limits", "AttachRate", parse_count, 0, 1, UINT32_MAX },
        [POLICY_ATTACH_BURST] = { "Limits", "AttachBurst", parse_count, 0, 1, UINT32_MAX },
        [POLICY_QUEUE_BYTES] = { "Limits", "QueueBytes", parse_bytes, 0, MIB, UINT64_C(1) << 40 },
        [POLICY_QUEUE_MESSAGES] = { "Limits", "QueueMessages", parse_count, 0, 16, UINT32_MAX },
        [POLICY_DESCRIPTORS] = { "Limits", "Descriptors", parse_count, 0, 0, UINT32_MAX },
        [POLICY_NAMES] = { "Limits", "Names", parse_count, 0, 0, UINT32_MAX },
        [POLICY_REQUESTS] = { "Limits", "Requests", parse_count, 0, 1, UINT32_MAX },
        [POLICY_LEASES] = { "Limits", "Leases", parse_count, 0, 0, UINT32_MAX },
        [POLICY_RINGS] = { "Limits", "Rings", parse_count, 0, 0, UINT32_MAX },
        [POLICY_RING_BYTES] = { "Limits", "RingBytes", parse_bytes, 0, 0, UINT64_C(1) << 40 },
        [POLICY_SUBSCRIPTIONS] = { "Limits", "Subscriptions", parse_count, 0, 0, UINT32_MAX },
        [POLICY_RETAINED] = { "Limits", "Retained", parse_count, 0, 0, UINT32_MAX },
};
/* clang-format on */

const char *policy_slot_section(PolicySlot slot) {
        return keys[slot].section;
}

const char *policy_slot_key(PolicySlot slot) {
        return keys[slot].key;
}

/* --- values --- */

static void statement_free(Statement *statement) {
        for (size_t i = 0; i < statement->n_terms; i++)
                term_done(&statement->terms[i]);
        free(statement->terms);
        free(statement->text);
        free(statement);
}

static void statement_freep(Statement **statement) {
        if (*statement)
                statement_free(*statement);
}

static int add_term(const PolicyBook *book, const Key *key, const char *word, Statement *statement,
                    const char **ret_reason) {
        Term *grown;
        Term term;
        int r;

        r = term_parse(word, key->grammar, &book->accounts, &term, ret_reason);
        if (r != 0)
                return r > 0 ? CONF_E_BAD : r;
        grown = realloc(statement->terms, (statement->n_terms + 1) * sizeof(term));
        if (!grown) {
                term_done(&term);
                return err_origin(-ENOMEM);
        }
        statement->terms = grown;
        statement->terms[statement->n_terms++] = term;
        return 0;
}

static int parse_terms(const PolicyBook *book, const Key *key, const char *value,
                       Statement *statement, const char **ret_reason) {
        _cleanup_(freep) char *words = strdup(value);
        char *at = NULL;
        int r;

        if (!words)
                return err_origin(-ENOMEM);
        for (char *word = strtok_r(words, " \t", &at); word; word = strtok_r(NULL, " \t", &at)) {
                r = add_term(book, key, word, statement, ret_reason);
                if (r != 0)
                        return r;
        }
        /* "none" is said to take back what was said, and not to add nothing to it. */
        for (size_t i = 0; i < statement->n_terms; i++)
                if (statement->terms[i].kind == TERM_NONE) {
                        if (statement->n_terms > 1) {
                                *ret_reason = "none stands alone";
                                return CONF_E_BAD;
                        }
                        statement->resets = true;
                }
        if (statement->n_terms == 0)
                statement->resets = true;
        return 0;
}

static int parse_yes(const PolicyBook *book, const Key *key, const char *value,
                     Statement *statement, const char **ret_reason) {
        bool yes = false;
        int r;

        (void)book;
        (void)key;
        r = conf_parse_bool(value, NULL, &yes, ret_reason);
        statement->number = yes;
        return r;
}

static int parse_monitor(const PolicyBook *book, const Key *key, const char *value,
                         Statement *statement, const char **ret_reason) {
        (void)book;
        (void)key;
        if (strcmp(value, "none") == 0)
                statement->number = 0;
        else if (strcmp(value, "headers") == 0)
                statement->number = MONITOR_HEADERS;
        else if (strcmp(value, "full") == 0)
                statement->number = MONITOR_FULL;
        else {
                *ret_reason = "neither none, headers nor full";
                return CONF_E_BAD;
        }
        return 0;
}

static int parse_count(const PolicyBook *book, const Key *key, const char *value,
                       Statement *statement, const char **ret_reason) {
        const ConfOption option = { .min = key->min, .max = key->max };

        (void)book;
        return conf_parse_number(value, &option, &statement->number, ret_reason);
}

static int parse_bytes(const PolicyBook *book, const Key *key, const char *value,
                       Statement *statement, const char **ret_reason) {
        const ConfOption option = { .min = key->min, .max = key->max };

        (void)book;
        return conf_parse_size(value, &option, &statement->number, ret_reason);
}

/* --- the book --- */

void policy_book_init(PolicyBook *book, bool user_bus, const Accounts *accounts) {
        *book = (PolicyBook){ .user_bus = user_bus, .accounts = *accounts };
}

static void file_free(PolicyFile *file) {
        Statement *statement, *next;

        LL_FOREACH_SAFE (file->statements, statement, next)
                statement_free(statement);
        free(file->name);
        free(file);
}

void policy_book_done(PolicyBook *book) {
        PolicyFile *file, *next;

        DL_FOREACH_SAFE (book->files, file, next)
                file_free(file);
        for (size_t i = 0; i < book->n_paths; i++)
                free(book->paths[i]);
        free(book->paths);
        free(book->traits);
        *book = (PolicyBook){ .files = NULL };
}

int policy_book_begin_file(PolicyBook *book, const char *name) {
        PolicyFile *file = calloc(1, sizeof(*file));

        if (!file)
                return err_origin(-ENOMEM);
        file->name = strdup(name);
        if (!file->name) {
                free(file);
                return err_origin(-ENOMEM);
        }
        DL_APPEND(book->files, file);
        book->n_files++;
        return 0;
}

static int add_path(PolicyBook *book, const char *path) {
        char **grown = realloc(book->paths, (book->n_paths + 1) * sizeof(char *));

        if (!grown)
                return err_origin(-ENOMEM);
        book->paths = grown;
        grown[book->n_paths] = strdup(path);
        return grown[book->n_paths] ? ((void)book->n_paths++, 0) : err_origin(-ENOMEM);
}

static int on_section(void *userdata, const char *section, unsigned line, const char **ret_reason) {
        static const char *const sections[] = { "Match",   "Own",  "Talk",  "Topics",
                                                "Network", "Role", "Limits" };
        PolicyBook *book = userdata;
        PolicyFile *file = book->files->prev;

        (void)line;
        for (unsigned i = 0; i < ELEMENTSOF(sections); i++) {
                if (strcmp(sections[i], section) != 0)
                        continue;
                if (file->sections & (1U << i)) {
                        *ret_reason = "stands in this file twice";
                        return CONF_E_BAD;
                }
                file->sections |= 1U << i;
                return 0;
        }
        return CONF_E_UNKNOWN;
}

/* The word of ours for @key, if that stands for @slot; NULL: it does not. */
static const char *find_word(PolicySlot slot, const char *section, const char *key) {
        if (strcmp(keys[slot].section, section) != 0)
                return NULL;
        if (strcmp(keys[slot].key, key) == 0)
                return keys[slot].key;
        return slot == POLICY_QUEUE_BYTES && strcmp(key, QUEUE_BYTES_TOO) == 0 ? QUEUE_BYTES_TOO
                                                                               : NULL;
}

static int on_value(void *userdata, const char *section, const char *key, const char *value,
                    unsigned line, const char **ret_reason) {
        _cleanup_(statement_freep) Statement *statement = NULL;
        PolicyBook *book = userdata;
        const char *word = NULL;
        unsigned slot = 0;
        int r;

        while (slot < _POLICY_SLOTS && !(word = find_word(slot, section, key)))
                slot++;
        if (slot == _POLICY_SLOTS)
                return CONF_E_UNKNOWN;
        statement = calloc(1, sizeof(*statement));
        if (!statement)
                return err_origin(-ENOMEM);
        statement->slot = slot;
        statement->key = word;
        statement->path = book->paths[book->n_paths - 1];
        statement->line = line;
        statement->text = strdup(value);
        if (!statement->text)
                return err_origin(-ENOMEM);
        for (char *p = statement->text; *p != '\0'; p++)
                if ((unsigned char)*p < ' ')
                        *p = ' '; /* it is shown in lines and fields */
        r = keys[slot].parse(book, &keys[slot], value, statement, ret_reason);
        if (r != 0)
                return r;
        LL_APPEND(book->files->prev->statements, statement);
        statement = NULL;
        return 0;
}

int policy_book_read(PolicyBook *book, const char *text, size_t n, const char *path,
                     ConfError *ret_error) {
        static const ConfHandler handler = { on_section, on_value };
        int r;

        r = add_path(book, path);
        if (r < 0)
                return r;
        book->files->prev->sections = 0;
        return conf_read_lines(text, n, path, &handler, book, ret_error);
}

/* Negated terms must not fit; of the others one must, if there are any. */
static bool key_fits(const Statement *first, bool (*fits)(const Term *, const void *),
                     const void *who) {
        bool any = false, found = false;

        for (const Statement *s = first; s; s = s->next) {
                if (s->slot != first->slot)
                        continue;
                for (size_t i = 0; i < s->n_terms; i++) {
                        const Term *term = &s->terms[i];

                        if (term->is_negated) {
                                if (fits(term, who))
                                        return false;
                                continue;
                        }
                        any = true;
                        found = found || fits(term, who);
                }
        }
        return found || !any;
}

static bool fits_bus(const Term *term, const void *user_bus) {
        return (term->kind == TERM_USER_BUS) == *(const bool *)user_bus;
}

static bool fits_user(const Term *term, const void *uid) {
        return term->id != CREDENTIALS_NOBODY && term->id == *(const uint32_t *)uid;
}

static bool fits_group(const Term *term, const void *credentials) {
        return credentials_are_in(credentials, term->id);
}

static bool fits_key(const Term *term, const void *key) {
        return key_equal(&term->key, key);
}

static bool fits_unit(const Term *term, const void *unit) {
        return fnmatch(term->text, unit, 0) == 0;
}

/* What counts of each key of [Match]: all since it was last assigned nothing. */
static void file_settle(const PolicyBook *book, PolicyFile *file) {
        Statement *s;

        LL_FOREACH (file->statements, s) {
                if (s->slot >= _POLICY_ROLES && !file->limit)
                        file->limit = s;
                if (s->slot >= _POLICY_ROLES && s->slot < _POLICY_EARLY_LIMITS &&
                    !file->early_limit)
                        file->early_limit = s;
                if (s->slot >= _POLICY_MATCHES)
                        continue;
                if (s->resets)
                        file->first[s->slot] = NULL;
                else if (!file->first[s->slot])
                        file->first[s->slot] = s;
        }
        file->is_of_users = !file->first[POLICY_MATCH_GROUP] && !file->first[POLICY_MATCH_KEY] &&
                            !file->first[POLICY_MATCH_UNIT];
        file->is_elsewhere = file->first[POLICY_MATCH_BUS] &&
                             !key_fits(file->first[POLICY_MATCH_BUS], fits_bus, &book->user_bus);
}

static int add_trait(PolicyBook *book, Term *term) {
        const Term **grown;

        for (term->trait = 0; term->trait < book->n_traits; term->trait++)
                if (term_equal(term, book->traits[term->trait]))
                        return 0;
        grown = realloc(book->traits, (book->n_traits + 1) * sizeof(*grown));
        if (!grown)
                return err_origin(-ENOMEM);
        book->traits = grown;
        grown[book->n_traits++] = term;
        book->has_name_traits = book->has_name_traits || term->kind == TERM_NAME;
        return 0;
}

static int add_traits(PolicyBook *book, Statement *s) {
        int r = 0;

        if (s->slot < POLICY_SEND_TO || s->slot > POLICY_DENY_RECEIVE_FROM)
                return 0;
        for (size_t i = 0; i < s->n_terms && r == 0; i++) {
                TermKind kind = s->terms[i].kind;

                if (kind == TERM_GROUP || kind == TERM_NAME || kind == TERM_KEY)
                        r = add_trait(book, &s->terms[i]);
        }
        return r;
}

/* All that is said of relays goes into one control word, whoever all of it is said of. */
static int add_relays(size_t *n_relays, const Statement *s, ConfError *ret_error) {
        if (s->slot != POLICY_NETWORK_RELAYS)
                return 0;
        for (size_t i = 0; i < s->n_terms; i++)
                *n_relays += strlen(s->terms[i].text) + 1;
        if (*n_relays <= CONTROL_RELAYS_MAX)
                return 0;
        (void)snprintf(ret_error->text, CONF_ERROR_MAX,
                       "%s:%u: Relays=: more than %d bytes of URLs in all files", s->path, s->line,
                       CONTROL_RELAYS_MAX);
        return CONF_E_BAD;
}

int policy_book_finish(PolicyBook *book, ConfError *ret_error) {
        PolicyFile *file, *next;
        size_t n_relays = 0;
        Statement *s;
        int r;

        DL_FOREACH_SAFE (book->files, file, next) {
                file_settle(book, file);
                if (file->early_limit && !file->is_of_users) {
                        (void)snprintf(ret_error->text, CONF_ERROR_MAX,
                                       "%s:%u: %s= is decided before a process has attached: "
                                       "beside it, [Match] may have User= and Bus= only",
                                       file->early_limit->path, file->early_limit->line,
                                       file->early_limit->key);
                        return CONF_E_BAD;
                }
                if (file->is_elsewhere) {
                        DL_DELETE(book->files, file);
                        book->n_files--;
                        file_free(file);
                        continue;
                }
                book->has_units = book->has_units || file->first[POLICY_MATCH_UNIT];
                LL_FOREACH (file->statements, s) {
                        r = add_traits(book, s);
                        if (r == 0)
                                r = add_relays(&n_relays, s, ret_error);
                        if (r != 0)
                                return r;
                }
        }
        return 0;
}

/* --- whom a file is for --- */

bool policy_file_fits_user(const PolicyFile *file, uint32_t uid) {
        const Statement *users = file->first[POLICY_MATCH_USER];

        return file->is_of_users && (!users || key_fits(users, fits_user, &uid));
}

bool policy_file_fits(const PolicyFile *file, const Credentials *credentials,
                      const PublicKey *key) {
        Statement *const *first = file->first;

        if (first[POLICY_MATCH_USER] &&
            !key_fits(first[POLICY_MATCH_USER], fits_user, &credentials->uid))
                return false;
        if (first[POLICY_MATCH_GROUP] &&
            !key_fits(first[POLICY_MATCH_GROUP], fits_group, credentials))
                return false;
        if (first[POLICY_MATCH_KEY] && (!key || !key_fits(first[POLICY_MATCH_KEY], fits_key, key)))
                return false;
        if (first[POLICY_MATCH_UNIT] &&
            (!credentials->unit ||
             !key_fits(first[POLICY_MATCH_UNIT], fits_unit, credentials->unit)))
                return false;
        return true;
}

static bool is_stranger(const Statement *s) {
        for (size_t i = 0; i < s->n_terms; i++)
                if ((s->terms[i].kind == TERM_USER || s->terms[i].kind == TERM_GROUP) &&
                    s->terms[i].id == CREDENTIALS_NOBODY)
                        return true;
        return false;
}

const Statement *policy_book_next_stranger(const PolicyBook *book, const Statement *at) {
        const PolicyFile *file;
        const Statement *s;

        DL_FOREACH (book->files, file)
                LL_FOREACH (file->statements, s) {
                        if (!at && is_stranger(s))
                                return s;
                        if (s == at)
                                at = NULL;
                }
        return NULL;
}
