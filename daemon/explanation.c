/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A question says of whom it is, or it is of who asks; and what it is, or it is all that there is to
 * say of that one. Whoever asks of another user has to administer: the answer may tell what a process
 * of that user could do that is not there yet. Groups and account are said with the question: nothing
 * here asks the name service, which might block.
 */

#include "config.h"

#include "daemon/explanation.h"

#include <stdio.h>
#include <utlist.h>

#include "daemon/peer.h"
#include "daemon/query.h"
#include "daemon/rights.h"
#include "libcore/name.h"
#include "libcore/topic.h"

#define GROUPS_MAX 128

typedef struct Question {
        char text[CONTROL_QUESTION_MAX + 1]; /* what the others point into */

        bool is_of_another; /* than the process that asks */
        Credentials creds;
        uint32_t groups[GROUPS_MAX];
        const char *account;
        bool has_key;
        PublicKey key;

        const char *what; /* "own", "call" ...; NULL: everything */
        const char *value;
} Question;

static bool read_number(const char *text, char **ret_end, uint32_t *ret) {
        unsigned long v;

        if (*text < '0' || *text > '9')
                return false;
        v = strtoul(text, ret_end, 10);
        *ret = (uint32_t)v;
        return v < CREDENTIALS_NOBODY;
}

static bool read_groups(Question *q, char *text) {
        q->creds.groups = q->groups;
        while (*text != '\0') {
                if (q->creds.n_groups == GROUPS_MAX ||
                    !read_number(text, &text, &q->groups[q->creds.n_groups++]))
                        return false;
                text += *text == ' ';
        }
        return true;
}

static bool read_key(Question *q, const char *text) {
        KeyText key;

        q->has_key = key_text_parse(text, &key) == 0 && key.form == KEY_FORM_FULL;
        if (q->has_key)
                q->key = key.key;
        return q->has_key;
}

/* One line, WORD or WORD TAB VALUE. */
static bool read_line(Question *q, char *line) {
        static const char *const questions[] = {
                "own",     "call",    "publish", "publish-off-host", "subscribe",
                "monitor", "gateway", "admin",   "off-host"
        };
        char *value = strchr(line, '\t'), *end = NULL;

        if (value)
                *value++ = '\0';
        else
                value = line + strlen(line);
        for (unsigned i = 0; i < ELEMENTSOF(questions); i++)
                if (strcmp(line, questions[i]) == 0) {
                        if (q->what)
                                return false;
                        q->what = questions[i];
                        q->value = value;
                        return true;
                }
        q->is_of_another = true;
        if (strcmp(line, "uid") == 0)
                return read_number(value, &end, &q->creds.uid) && *end == '\0';
        if (strcmp(line, "gid") == 0)
                return read_number(value, &end, &q->creds.gid) && *end == '\0';
        if (strcmp(line, "groups") == 0)
                return read_groups(q, value);
        if (strcmp(line, "account") == 0)
                q->account = value;
        else if (strcmp(line, "unit") == 0)
                q->creds.unit = value;
        else
                return strcmp(line, "key") == 0 && read_key(q, value);
        return true;
}

/* Whatever is not said of another is as it is with the process that asks. */
static bool read_question(Peer *from, const Control *word, Question *q) {
        char *at = NULL;

        memset(q, 0, sizeof(*q));
        q->creds = from->creds;
        q->creds.n_groups = 0;
        q->creds.groups = NULL;
        if (memchr(word->body, '\0', word->n_body))
                return false;
        memcpy(q->text, word->body, word->n_body);
        for (char *line = strtok_r(q->text, "\n", &at); line; line = strtok_r(NULL, "\n", &at))
                if (!read_line(q, line))
                        return false;
        return true;
}

/* The subject that the question is of, with a reference; NULL: no memory. */
static Subject *subject_of(Peer *from, const Question *q) {
        Policy *policy = from->manager->policy;

        if (!q->is_of_another)
                return subject_ref(from->subject);
        policy_describe(policy, &q->creds, q->has_key ? &q->key : NULL);
        return policy_subject(policy);
}

/* --- one question --- */

static ControlCode ask_call_of_name(Peer *from, Subject *subject, const char *name,
                                    PolicyAnswer *ret) {
        const Name *found = names_find(&from->manager->names, name, strlen(name));
        const OwnedName *owned;

        if (!found || !found->owners)
                return CODE_NO_PROVIDER;
        *ret = (PolicyAnswer){ 0 };
        DL_FOREACH (found->owners, owned) {
                *ret = policy_talk(subject, owned->peer->subject);
                if (ret->is_allowed)
                        break;
        }
        return CODE_OK;
}

static ControlCode ask_call(Peer *from, Subject *subject, const char *dest, PolicyAnswer *ret) {
        ControlCode code;
        KeyText key;
        Peer *to;

        if (strchr(dest, '.'))
                return ask_call_of_name(from, subject, dest, ret);
        if (key_text_parse(dest, &key) != 0)
                return CODE_UNSUPPORTED;
        code = peer_find(from->manager, key.address, &to);
        if (code == CODE_OK && key.form == KEY_FORM_FULL && !key_equal(&to->key, &key.key))
                code = CODE_WRONG_KEY;
        if (code == CODE_OK)
                *ret = policy_talk(subject, to->subject);
        return code;
}

static ControlCode ask(Peer *from, const Question *q, Subject *subject, PolicyAnswer *ret) {
        const char *account =
                q->is_of_another ? (q->account ? q->account : "") : names_account(from->user);
        size_t n = strlen(q->value);

        if (strcmp(q->what, "call") == 0)
                return ask_call(from, subject, q->value, ret);
        if (strcmp(q->what, "own") == 0) {
                if (!name_is_valid(q->value, n))
                        return CODE_UNSUPPORTED;
                *ret = policy_own(subject, account, q->value, n);
        } else if (strcmp(q->what, "publish") == 0) {
                if (!topic_is_valid(q->value, n))
                        return CODE_UNSUPPORTED;
                *ret = policy_publish(subject, q->value, n);
        } else if (strcmp(q->what, "publish-off-host") == 0) {
                if (!topic_is_valid(q->value, n))
                        return CODE_UNSUPPORTED;
                *ret = policy_publish_off_host(subject, q->value, n);
        } else if (strcmp(q->what, "subscribe") == 0) {
                if (!topic_is_pattern(q->value, n))
                        return CODE_UNSUPPORTED;
                *ret = policy_subscribe(subject, q->value, n);
        } else if (strcmp(q->what, "off-host") == 0) {
                *ret = policy_off_host(subject);
        } else {
                *ret = policy_role(subject, strcmp(q->what, "monitor") == 0   ? POLICY_MONITOR
                                            : strcmp(q->what, "gateway") == 0 ? POLICY_GATEWAY
                                                                              : POLICY_ADMIN);
        }
        return CODE_OK;
}

static void write_answer(FILE *out, const PolicyAnswer *answer) {
        char place[POLICY_ANSWER_MAX], rule[POLICY_ANSWER_MAX];

        fprintf(out, "%s\t%s\t%s\n", answer->is_allowed ? "allowed" : "denied",
                policy_answer_place(answer, place), policy_answer_rule(answer, rule));
}

/* --- everything --- */

static void write_rule(FILE *out, const Statement *s) {
        fprintf(out, "%s\t%s\t%s\t%s:%u\n", policy_slot_section(s->slot), s->key, s->text, s->path,
                s->line);
}

/* Limits are the user's: other processes of it that are here may have brought some. */
static void write_limits(FILE *out, const Manager *manager, const Subject *subject) {
        const User *user = user_find(&manager->quota, subject->uid);
        const Statement *said[_POLICY_SLOTS];

        policy_find_limits(manager->policy, subject->uid, user ? user->brought : NULL, subject,
                           said);
        for (unsigned slot = _POLICY_ROLES; slot < _POLICY_SLOTS; slot++)
                if (said[slot])
                        write_rule(out, said[slot]);
}

static void write_all(FILE *out, const Manager *manager, const Subject *subject) {
        for (unsigned slot = _POLICY_MATCHES; slot < _POLICY_ROLES; slot++) {
                const StatementList *list = &subject->said[slot];

                for (size_t i = 0; i < list->n; i++)
                        write_rule(out, list->items[i]);
        }
        write_limits(out, manager, subject);
}

ControlCode explanation_answer(Peer *from, const Control *word, const PacketId *id) {
        char *text = NULL;
        size_t n_text = 0;
        PolicyAnswer answer, admin;
        ControlCode code = CODE_OK;
        Subject *subject;
        Question question;
        FILE *out;

        if (!read_question(from, word, &question))
                return CODE_UNSUPPORTED;
        if (question.creds.uid != from->creds.uid && !from->caps.admin) {
                admin = policy_role(from->subject, POLICY_ADMIN);
                rights_deny(from, "ask for the policy of another user", &admin);
                return CODE_DENIED;
        }
        subject = subject_of(from, &question);
        if (!subject)
                return CODE_OVERLOAD;
        if (question.what)
                code = ask(from, &question, subject, &answer);
        out = code == CODE_OK ? open_memstream(&text, &n_text) : NULL;
        if (out && question.what)
                write_answer(out, &answer);
        else if (out)
                write_all(out, from->manager, subject);
        else if (code == CODE_OK)
                code = CODE_OVERLOAD;
        if (out)
                code = query_send(from, id, out, &text, &n_text);
        subject_unref(subject);
        return code;
}
