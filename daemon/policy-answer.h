/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What policy says to one question, and which line of which file says so
 */

#include "daemon/subject.h"

#define POLICY_ANSWER_MAX 512 /* bytes of its text, a NUL included */

typedef struct PolicyAnswer {
        bool is_allowed;
        PolicySlot slot;            /* of the key that decides */
        const Statement *statement; /* that decides; NULL: no file says anything of it */
        bool is_missing; /* denied because the list, of which @statement is the last, does not have it */
        const char *whose; /* "the receiver's ", or "" */
} PolicyAnswer;

/* "FILE:LINE: [Own] DenyName=com.example.*", and what is wrong with it. Returns @out. */
const char *policy_answer_text(const PolicyAnswer *answer, char out[static POLICY_ANSWER_MAX]);
/* The same without the place. */
const char *policy_answer_rule(const PolicyAnswer *answer, char out[static POLICY_ANSWER_MAX]);
/* "FILE:LINE" alone; "-" if no file says anything. */
const char *policy_answer_place(const PolicyAnswer *answer, char out[static POLICY_ANSWER_MAX]);

/* --- the questions: pure functions of one or two subjects --- */

/* @user_name: the account's, "" if it has none. */
PolicyAnswer policy_own(const Subject *subject, const char *user_name, const char *name,
                        size_t n_name);
/* May @from send to @to what it likes? */
PolicyAnswer policy_talk(const Subject *from, const Subject *to);
PolicyAnswer policy_publish(const Subject *subject, const char *topic, size_t n_topic);
/* May what it publishes on @topic leave this host, to whoever it may send to there? */
PolicyAnswer policy_publish_off_host(const Subject *subject, const char *topic, size_t n_topic);
PolicyAnswer policy_subscribe(const Subject *subject, const char *pattern, size_t n_pattern);
/* POLICY_GATEWAY, _MONITOR, _ADMIN. */
PolicyAnswer policy_role(const Subject *subject, PolicySlot role);
/* May it send to somebody on another host whom its lists do not have? And hear one? */
PolicyAnswer policy_network_send(const Subject *subject);
PolicyAnswer policy_network_receive(const Subject *subject);
/* May it be reached off-host, and reach? */
PolicyAnswer policy_off_host(const Subject *subject);
