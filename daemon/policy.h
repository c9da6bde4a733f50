/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Who may do what
 *
 *      files --policy-folder--> PolicyBook --policy_subject()--> Subject --policy_may_send()--> verdict
 *
 * A Policy is what the files say at one time; reading them again makes another. A process has a Subject
 * from when it attaches; policy-answer.h has the questions that can be asked of it. What may pass from
 * one subject to another is asked with each message, so the answers are kept here. When a process owns a
 * name that others' rules ask for, or gives it up, it becomes another subject.
 *
 * Answers pass where questions do: between two processes of which one may send to the other, records
 * that only answer or steer a session pass in the other direction too.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/policy-answer.h"
#include "daemon/policy-folder.h"
#include "daemon/quota.h"
#include "daemon/subject.h"
#include "libcore/control.h"

#define POLICY_SUBJECTS_KEPT 4096  /* that no process has any more */
#define POLICY_VERDICTS_KEPT 65536 /* of pairs */

typedef struct PolicyOptions {
        bool user_bus;
        const Accounts *accounts; /* NULL: the name service's */
        uint32_t own_uid;
        PolicyFolders folders;
        const char *attach_group; /* AttachGroup=; NULL: everybody may attach */
} PolicyOptions;

/*
 * Reads the policy; looks accounts up, which may block on the name service. What is odd, but no error,
 * is said to @log, unless that is NULL. Return: 0; CONF_E_BAD with @ret_error; -ENOMEM.
 */
int policy_new(Policy **ret, const PolicyOptions *options, const Log *log, ConfError *ret_error);
/* All subjects must have been given back. */
Policy *policy_free(Policy *policy);
DEFINE_CLEANUP(Policy, policy_free)

const PolicyBook *policy_book(const Policy *policy);
/* What has to be read of each process, for [Match] Unit=. */
CredentialsUnit policy_wanted_unit(const Policy *policy);

/* AttachGroup=: root, the daemon's own user, and members. */
bool policy_may_attach(const Policy *policy, const Credentials *credentials);
/*
 * What files say of [Limits] for @uid: those for all its processes, and those for any of @brought, a
 * list, or for @also, which may be NULL. @ret_said: of each limit the statement that counts, or NULL.
 */
void policy_find_limits(const Policy *policy, uint32_t uid, const Subject *brought,
                        const Subject *also, const Statement *ret_said[static _POLICY_SLOTS]);
/* It takes the place of what is in @limits. */
void policy_adjust_limits(const Policy *policy, uint32_t uid, const Subject *brought,
                          UserLimits *limits);

/*
 * A process is described: who it is, then each name that it owns; then policy_subject() is what it is
 * here, with a reference. NULL: no memory. @key: may be NULL, then no Key= fits.
 */
void policy_describe(Policy *policy, const Credentials *credentials, const PublicKey *key);
void policy_describe_name(Policy *policy, const char *name, size_t n_name);
Subject *policy_subject(Policy *policy);
/* Gives it back. Accepts NULL, returns NULL. */
Subject *subject_unref(Subject *subject);
static inline Subject *subject_ref(Subject *subject) {
        subject->n_refs++;
        return subject;
}

/* May @from send to @to what it likes? As policy_talk(), kept. */
bool policy_may_send(Subject *from, Subject *to);
/* Why not, for people. @ret_is_news: it was not asked before. NULL: no memory. */
const char *policy_denial(Subject *from, Subject *to, bool *ret_is_news);
/* Whether a denial of @slot to @subject is one more of those that were said. */
bool policy_is_old_denial(Subject *subject, PolicySlot slot);

/* What libraries enforce of [Network], the body of NETWORK; nothing in it: nothing is allowed. Return: its
 * size. */
size_t policy_write_network(const Subject *subject, uint8_t *out, size_t n_out);

/* What the bridge enforces of it, the body of RELAYS; only if it has some relays. Return: its size. */
size_t policy_write_relays(const Subject *subject, uint8_t out[static CONTROL_RELAYS_MAX]);
/* Whether both may use the same relays, said in the same way. */
bool policy_has_same_relays(const Subject *a, const Subject *b);

/* Whether the records in @payload only answer or steer: no one-way message, no request. */
bool policy_is_answer(const uint8_t *payload, size_t n_payload);
