/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every question has the same form: a word of the list of denials that fits decides, and it is no;
 * otherwise a word of the list of what is allowed, and it is yes; otherwise it is no, and the line to
 * look at is the last of that list.
 */

#include "config.h"

#include "daemon/policy-answer.h"

#include <stdio.h>

#include "libcore/topic.h"
#include "libcore/util.h"

const char *policy_answer_place(const PolicyAnswer *answer, char out[static POLICY_ANSWER_MAX]) {
        if (answer->statement)
                (void)snprintf(out, POLICY_ANSWER_MAX, "%.450s:%u", answer->statement->path,
                               answer->statement->line);
        else
                (void)snprintf(out, POLICY_ANSWER_MAX, "-");
        return out;
}

const char *policy_answer_rule(const PolicyAnswer *answer, char out[static POLICY_ANSWER_MAX]) {
        const char *section = policy_slot_section(answer->slot);
        const char *key = policy_slot_key(answer->slot);

        /* Cut off is good enough. */
        if (!answer->statement)
                (void)snprintf(out, POLICY_ANSWER_MAX,
                               "no policy file gives %s[%s] %s=", answer->whose, section, key);
        else
                (void)snprintf(out, POLICY_ANSWER_MAX, "%s[%s] %s=%.200s%s", answer->whose, section,
                               key, answer->statement->text,
                               answer->is_missing ? " does not have it" : "");
        return out;
}

const char *policy_answer_text(const PolicyAnswer *answer, char out[static POLICY_ANSWER_MAX]) {
        char place[POLICY_ANSWER_MAX], rule[POLICY_ANSWER_MAX];

        (void)policy_answer_rule(answer, rule);
        if (answer->statement)
                (void)snprintf(out, POLICY_ANSWER_MAX, "%.160s: %.345s",
                               policy_answer_place(answer, place), rule);
        else
                (void)snprintf(out, POLICY_ANSWER_MAX, "%s", rule);
        return out;
}

static PolicyAnswer denied_by(PolicySlot slot, const Statement *statement, const char *whose) {
        return (PolicyAnswer){ .slot = slot, .statement = statement, .whose = whose };
}

static PolicyAnswer allowed_by(PolicySlot slot, const Statement *statement, const char *whose) {
        return (PolicyAnswer){
                .is_allowed = true, .slot = slot, .statement = statement, .whose = whose
        };
}

static PolicyAnswer missing_in(const Subject *subject, PolicySlot slot, const char *whose) {
        return (PolicyAnswer){
                .slot = slot,
                .statement = subject->said[slot].last,
                .is_missing = true,
                .whose = whose,
        };
}

/* --- names and topics --- */

/* What is asked for in a list of patterns. */
typedef struct Wanted {
        const char *user_name;
        const char *text;
        size_t n_text;
} Wanted;

typedef bool Fits(const char *pattern, const Wanted *wanted);

static bool fits_name(const char *pattern, const Wanted *wanted) {
        return name_pattern_fits(pattern, wanted->user_name, wanted->text, wanted->n_text);
}

static bool fits_topic(const char *pattern, const Wanted *wanted) {
        return topic_matches(pattern, strlen(pattern), wanted->text, wanted->n_text);
}

static bool covers_topics(const char *pattern, const Wanted *wanted) {
        return topic_covers(pattern, strlen(pattern), wanted->text, wanted->n_text);
}

static bool meets_topics(const char *pattern, const Wanted *wanted) {
        return topic_overlaps(pattern, strlen(pattern), wanted->text, wanted->n_text);
}

static const Statement *find(const Subject *subject, PolicySlot slot, Fits *fits,
                             const Wanted *wanted) {
        const StatementList *list = &subject->said[slot];

        /* Of several the last: that is the one that somebody wrote. */
        for (size_t i = list->n; i-- > 0;)
                for (size_t k = 0; k < list->items[i]->n_terms; k++)
                        if (fits(list->items[i]->terms[k].text, wanted))
                                return list->items[i];
        return NULL;
}

static PolicyAnswer decide(const Subject *subject, PolicySlot deny, Fits *denies, PolicySlot allow,
                           Fits *allows, const Wanted *wanted) {
        const Statement *found;

        found = find(subject, deny, denies, wanted);
        if (found)
                return denied_by(deny, found, "");
        found = find(subject, allow, allows, wanted);
        return found ? allowed_by(allow, found, "") : missing_in(subject, allow, "");
}

PolicyAnswer policy_own(const Subject *subject, const char *user_name, const char *name,
                        size_t n_name) {
        const Wanted wanted = { user_name, name, n_name };

        return decide(subject, POLICY_OWN_DENY, fits_name, POLICY_OWN_NAME, fits_name, &wanted);
}

PolicyAnswer policy_publish(const Subject *subject, const char *topic, size_t n_topic) {
        const Wanted wanted = { "", topic, n_topic };

        return decide(subject, POLICY_DENY_PUBLISH, fits_topic, POLICY_PUBLISH, fits_topic,
                      &wanted);
}

PolicyAnswer policy_publish_off_host(const Subject *subject, const char *topic, size_t n_topic) {
        const Wanted wanted = { "", topic, n_topic };

        return decide(subject, POLICY_DENY_NETWORK_TOPICS, fits_topic, POLICY_NETWORK_TOPICS,
                      fits_topic, &wanted);
}

PolicyAnswer policy_subscribe(const Subject *subject, const char *pattern, size_t n_pattern) {
        const Wanted wanted = { "", pattern, n_pattern };

        return decide(subject, POLICY_DENY_SUBSCRIBE, meets_topics, POLICY_SUBSCRIBE, covers_topics,
                      &wanted);
}

/* --- who talks with whom --- */

PolicyAnswer policy_talk(const Subject *from, const Subject *to) {
        static const char senders[] = "the sender's ", receivers[] = "the receiver's ";
        const Statement *found;

        found = subject_find_other(from, POLICY_DENY_SEND_TO, to);
        if (found)
                return denied_by(POLICY_DENY_SEND_TO, found, senders);
        found = subject_find_other(to, POLICY_DENY_RECEIVE_FROM, from);
        if (found)
                return denied_by(POLICY_DENY_RECEIVE_FROM, found, receivers);
        if (!subject_find_other(from, POLICY_SEND_TO, to))
                return missing_in(from, POLICY_SEND_TO, senders);
        found = subject_find_other(to, POLICY_RECEIVE_FROM, from);
        return found ? allowed_by(POLICY_RECEIVE_FROM, found, receivers)
                     : missing_in(to, POLICY_RECEIVE_FROM, receivers);
}

/* --- roles --- */

PolicyAnswer policy_role(const Subject *subject, PolicySlot role) {
        const Statement *last = subject->said[role].last;

        return subject_number(subject, role) > 0 ? allowed_by(role, last, "")
                                                 : denied_by(role, last, "");
}

static PolicyAnswer network_answer(const Subject *subject, PolicySlot denials, PolicySlot slot) {
        const StatementList *list = &subject->said[slot];
        const Statement *found = subject_find_remote(subject, denials);

        if (found)
                return denied_by(denials, found, "");
        for (size_t i = list->n; i-- > 0;)
                for (size_t k = 0; k < list->items[i]->n_terms; k++)
                        if (list->items[i]->terms[k].kind == TERM_ANY)
                                return allowed_by(slot, list->items[i], "");
        return missing_in(subject, slot, "");
}

PolicyAnswer policy_network_send(const Subject *subject) {
        return network_answer(subject, POLICY_DENY_SEND_TO, POLICY_NETWORK_SEND);
}

PolicyAnswer policy_network_receive(const Subject *subject) {
        return network_answer(subject, POLICY_DENY_RECEIVE_FROM, POLICY_NETWORK_RECEIVE);
}

PolicyAnswer policy_off_host(const Subject *subject) {
        const Statement *found;

        if (subject->caps.off_host || subject_number(subject, POLICY_NETWORK_PUBLISH) == 0)
                return policy_role(subject, POLICY_NETWORK_PUBLISH);
        if (!subject->has_relays)
                return denied_by(POLICY_NETWORK_RELAYS, subject->said[POLICY_NETWORK_RELAYS].last,
                                 "");
        /* It may be known elsewhere, but neither say nor hear anything. */
        found = subject_find_remote(subject, POLICY_DENY_SEND_TO);
        if (found)
                return denied_by(POLICY_DENY_SEND_TO, found, "");
        found = subject_find_remote(subject, POLICY_DENY_RECEIVE_FROM);
        if (found)
                return denied_by(POLICY_DENY_RECEIVE_FROM, found, "");
        return missing_in(subject, POLICY_NETWORK_SEND, "");
}
