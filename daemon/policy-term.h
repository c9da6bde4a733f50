/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Term: one word of a policy file
 *
 * What kind of word a key takes is its TermGrammar. Names of accounts become numbers here, when the
 * file is read, and never later; one that does not exist becomes CREDENTIALS_NOBODY, which fits
 * nobody.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libsecure/key.h"

typedef enum TermKind {
        TERM_ANY,
        TERM_NONE, /* nobody; what the list had before is dropped, too */
        TERM_SAME_USER,
        TERM_USER,  /* @id */
        TERM_GROUP, /* @id */
        TERM_NAME,  /* @text: who owns a name that it fits */
        TERM_KEY,   /* @key */
        TERM_REMOTE,
        TERM_PINNED,
        TERM_GRANTED,
        TERM_PATTERN, /* @text, of names or of topics */
        TERM_UNIT,    /* @text, as fnmatch() has it */
        TERM_SYSTEM_BUS,
        TERM_USER_BUS,
        TERM_RELAY, /* @text, a URL */
} TermKind;

typedef struct Term {
        TermKind kind;
        bool is_negated; /* in [Match]: ! in front of it */
        uint32_t id;
        unsigned trait; /* of TERM_GROUP, _NAME, _KEY in [Talk]: its number in the book */
        PublicKey key;
        char *text; /* owned; the pattern, or the word as it stands */
} Term;

/* Where accounts are looked up; CREDENTIALS_NOBODY if there is none. */
typedef struct Accounts {
        uint32_t (*find_user)(const char *name);
        uint32_t (*find_group)(const char *name);
        uint32_t own_uid; /* of the daemon: %U */
} Accounts;

/* Of the name service, which may block. */
extern const Accounts accounts_of_system;

typedef enum TermGrammar {
        TERM_GRAMMAR_BUS,
        TERM_GRAMMAR_USER,
        TERM_GRAMMAR_GROUP,
        TERM_GRAMMAR_KEY,
        TERM_GRAMMAR_UNIT,
        TERM_GRAMMAR_OWN,     /* patterns of names, with %u */
        TERM_GRAMMAR_WHO,     /* [Talk] */
        TERM_GRAMMAR_TOPIC,   /* patterns of topics */
        TERM_GRAMMAR_SEND,    /* [Network] */
        TERM_GRAMMAR_RECEIVE, /* [Network] */
        TERM_GRAMMAR_RELAYS,  /* URLs */
} TermGrammar;

enum {
        _TERM_E_SUCCESS,

        TERM_E_BAD, /* @ret_reason says what is wrong, a string constant */
};

/* Reads @word. Return: 0, and term_done() is the caller's; TERM_E_BAD; -ENOMEM. */
int term_parse(const char *word, TermGrammar grammar, const Accounts *accounts, Term *ret,
               const char **ret_reason);
void term_done(Term *term);
/* Whether both mean the same. */
bool term_equal(const Term *a, const Term *b);

/*
 * Names: "com.example.orders"; "com.example.*", all below; "*", all. %u is the account's name, of whoever
 * asks, if it can be an element of a name.
 */
bool name_pattern_is_valid(const char *pattern);
/* @user_name: "" if it has none. */
bool name_pattern_fits(const char *pattern, const char *user_name, const char *name, size_t n_name);
