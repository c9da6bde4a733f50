/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "daemon/policy-term.h"

#include <grp.h>
#include <pwd.h>

#include "daemon/credentials.h"
#include "libcore/err.h"
#include "libcore/name.h"
#include "libcore/topic.h"
#include "libcore/url.h"
#include "libcore/util.h"

static uint32_t find_user(const char *name) {
        const struct passwd *account = getpwnam(name);

        return account ? account->pw_uid : CREDENTIALS_NOBODY;
}

static uint32_t find_group(const char *name) {
        const struct group *group = getgrnam(name);

        return group ? group->gr_gid : CREDENTIALS_NOBODY;
}

const Accounts accounts_of_system = {
        .find_user = find_user,
        .find_group = find_group,
        .own_uid = CREDENTIALS_NOBODY,
};

/* --- names --- */

bool name_pattern_is_valid(const char *pattern) {
        char name[NAME_SIZE_MAX + 1];
        size_t n = 0;

        if (strcmp(pattern, "*") == 0)
                return true;
        /* It is one if a name comes out of it: %u and * stand for an element, or a part of it. */
        for (const char *p = pattern; *p != '\0'; p++) {
                char c = *p;

                if (n >= sizeof(name))
                        return false;
                if (p[0] == '%' && p[1] == 'u') {
                        c = 'u';
                        p++;
                } else if (p[0] == '*') {
                        if (p == pattern || p[-1] != '.' || p[1] != '\0')
                                return false;
                        c = 'x';
                }
                name[n++] = c;
        }
        return name_is_valid(name, n);
}

static bool is_name_element(const char *text) {
        size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-");

        return n > 0 && text[n] == '\0';
}

bool name_pattern_fits(const char *pattern, const char *user_name, const char *name,
                       size_t n_name) {
        size_t at = 0, n;

        if (strcmp(pattern, "*") == 0)
                return true;
        for (; *pattern != '\0'; pattern++) {
                if (pattern[0] == '*')
                        return at < n_name; /* it is the last, behind a dot */
                if (pattern[0] != '%') {
                        if (at >= n_name || name[at++] != *pattern)
                                return false;
                        continue;
                }
                n = strlen(user_name);
                if (!is_name_element(user_name) || n > n_name - at ||
                    memcmp(name + at, user_name, n) != 0)
                        return false;
                at += n;
                pattern++; /* the u */
        }
        return at == n_name;
}

/* --- words --- */

static int bad(const char **ret_reason, const char *reason) {
        *ret_reason = reason;
        return TERM_E_BAD;
}

static bool read_number(const char *text, uint32_t *ret) {
        uint64_t v = 0;

        if (*text == '\0' || strlen(text) > 10)
                return false;
        for (; *text >= '0' && *text <= '9'; text++)
                v = v * 10 + (uint64_t)(*text - '0');
        if (*text != '\0' || v >= CREDENTIALS_NOBODY)
                return false;
        *ret = (uint32_t)v;
        return true;
}

static int read_user(const char *text, const Accounts *accounts, Term *term,
                     const char **ret_reason) {
        if (*text == '\0')
                return bad(ret_reason, "a user is missing");
        term->kind = TERM_USER;
        if (strcmp(text, "%U") == 0)
                term->id = accounts->own_uid;
        else if (strcmp(text, "root") == 0)
                term->id = 0;
        else if (!read_number(text, &term->id))
                term->id = accounts->find_user(text);
        return 0;
}

static int read_group(const char *text, const Accounts *accounts, Term *term,
                      const char **ret_reason) {
        if (*text == '\0')
                return bad(ret_reason, "a group is missing");
        term->kind = TERM_GROUP;
        if (!read_number(text, &term->id))
                term->id = accounts->find_group(text);
        return 0;
}

static int read_key(const char *text, Term *term, const char **ret_reason) {
        KeyText key;

        if (key_text_parse(text, &key) != 0)
                return bad(ret_reason, "not the full form of a key");
        if (key.form != KEY_FORM_FULL)
                return bad(ret_reason, "a PID stands for no key; write the full form");
        term->kind = TERM_KEY;
        term->key = key.key;
        return 0;
}

/* What stands behind @prefix in @word, or NULL. */
static const char *behind(const char *word, const char *prefix) {
        size_t n = strlen(prefix);

        return strncmp(word, prefix, n) == 0 ? word + n : NULL;
}

/* In @term->text from @text on stands a pattern of names without %u. */
static int read_name(const char *text, Term *term, const char **ret_reason) {
        term->kind = TERM_NAME;
        return strchr(text, '%') || !name_pattern_is_valid(text)
                       ? bad(ret_reason,
                             "neither a name nor a pattern of names, like com.example.*")
                       : 0;
}

static int read_fixed(const char *word, unsigned allowed, Term *term) {
        static const struct {
                const char *word;
                TermKind kind;
        } fixed[] = {
                { "any", TERM_ANY },       { "none", TERM_NONE },
                { "remote", TERM_REMOTE }, { "same-user", TERM_SAME_USER },
                { "pinned", TERM_PINNED }, { "granted", TERM_GRANTED },
                { "user", TERM_USER_BUS }, { "system", TERM_SYSTEM_BUS },
        };

        for (unsigned i = 0; i < ELEMENTSOF(fixed); i++)
                if ((allowed & (1U << fixed[i].kind)) && strcmp(fixed[i].word, word) == 0) {
                        term->kind = fixed[i].kind;
                        return 0;
                }
        return TERM_E_BAD;
}

#define KINDS(kind) (1U << (kind))

static int read_who(const char *word, const Accounts *accounts, Term *term,
                    const char **ret_reason) {
        const char *rest;

        if (read_fixed(word,
                       KINDS(TERM_ANY) | KINDS(TERM_NONE) | KINDS(TERM_REMOTE) |
                               KINDS(TERM_SAME_USER),
                       term) == 0)
                return 0;
        if (strcmp(word, "root") == 0)
                return read_user(word, accounts, term, ret_reason);
        if ((rest = behind(word, "user:")))
                return read_user(rest, accounts, term, ret_reason);
        if ((rest = behind(word, "group:")))
                return read_group(rest, accounts, term, ret_reason);
        if ((rest = behind(word, "name:")))
                return read_name(rest, term, ret_reason);
        if ((rest = behind(word, "key:")))
                return read_key(rest, term, ret_reason);
        return bad(ret_reason,
                   "neither any, none, same-user, root, remote nor user:, group:, name: "
                   "or key: with a value");
}

static int read_network(const char *word, bool is_send, Term *term, const char **ret_reason) {
        const char *rest;

        if (read_fixed(word,
                       KINDS(TERM_ANY) | KINDS(TERM_NONE) | KINDS(TERM_PINNED) |
                               KINDS(TERM_GRANTED),
                       term) == 0)
                return 0;
        if ((rest = behind(word, "key:")))
                return read_key(rest, term, ret_reason);
        if (is_send && (rest = behind(word, "name:")))
                return read_name(rest, term, ret_reason);
        return bad(ret_reason,
                   is_send ? "neither any, none, pinned, granted nor key: or name: with "
                             "a value"
                           : "neither any, none, pinned, granted nor key: with a value");
}

static int read_relay(const char *word, Term *term, const char **ret_reason) {
        WsUrl url;

        if (read_fixed(word, KINDS(TERM_NONE), term) == 0)
                return 0;
        term->kind = TERM_RELAY;
        if (ws_url_parse(word, &url) != 0)
                return bad(ret_reason, "neither none nor a URL, ws[s]://HOST[:PORT][/PATH]");
        return url.fragment[0] == '\0'
                       ? 0
                       : bad(ret_reason, "the key of a relay stands in the bridge's "
                                         "configuration; leave out # and it");
}

static int read_pattern(const char *word, TermGrammar grammar, Term *term,
                        const char **ret_reason) {
        term->kind = TERM_PATTERN;
        if (grammar == TERM_GRAMMAR_TOPIC)
                return topic_is_pattern(word, strlen(word))
                               ? 0
                               : bad(ret_reason, "neither a topic nor a pattern of topics");
        return name_pattern_is_valid(word)
                       ? 0
                       : bad(ret_reason,
                             "neither a name nor a pattern of names, like com.example.* or *");
}

static int read_word(const char *word, TermGrammar grammar, const Accounts *accounts, Term *term,
                     const char **ret_reason) {
        switch (grammar) {
        case TERM_GRAMMAR_BUS:
                return read_fixed(word, KINDS(TERM_SYSTEM_BUS) | KINDS(TERM_USER_BUS), term) == 0
                               ? 0
                               : bad(ret_reason, "neither system nor user");
        case TERM_GRAMMAR_USER:
                return read_user(word, accounts, term, ret_reason);
        case TERM_GRAMMAR_GROUP:
                return read_group(word, accounts, term, ret_reason);
        case TERM_GRAMMAR_KEY:
                return read_key(word, term, ret_reason);
        case TERM_GRAMMAR_UNIT:
                term->kind = TERM_UNIT;
                return *word ? 0 : bad(ret_reason, "a unit is missing");
        case TERM_GRAMMAR_WHO:
                return read_who(word, accounts, term, ret_reason);
        case TERM_GRAMMAR_SEND:
        case TERM_GRAMMAR_RECEIVE:
                return read_network(word, grammar == TERM_GRAMMAR_SEND, term, ret_reason);
        case TERM_GRAMMAR_RELAYS:
                return read_relay(word, term, ret_reason);
        default:
                return read_pattern(word, grammar, term, ret_reason);
        }
}

int term_parse(const char *word, TermGrammar grammar, const Accounts *accounts, Term *ret,
               const char **ret_reason) {
        Term term = { .is_negated = grammar <= TERM_GRAMMAR_UNIT && word[0] == '!' };
        int r;

        if (term.is_negated)
                word++;
        r = read_word(word, grammar, accounts, &term, ret_reason);
        if (r != 0)
                return r;
        term.text = strdup(term.kind == TERM_NAME ? strchr(word, ':') + 1 : word);
        if (!term.text)
                return err_origin(-ENOMEM);
        *ret = term;
        return 0;
}

void term_done(Term *term) {
        free(term->text);
        term->text = NULL;
}

bool term_equal(const Term *a, const Term *b) {
        if (a->kind != b->kind)
                return false;
        switch (a->kind) {
        case TERM_USER:
        case TERM_GROUP:
                return a->id == b->id;
        case TERM_KEY:
                return key_equal(&a->key, &b->key);
        default:
                return strcmp(a->text, b->text) == 0;
        }
}
