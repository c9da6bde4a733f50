/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Rights: what policy takes a process for, and what becomes of what it has when that changes
 *
 * What is asked for is judged where it is asked for, by the process's subject (daemon/subject.h). A
 * process that was denied a name, a subscription or monitoring hears of the next policy, and can
 * ask again.
 */

#include <stdbool.h>
#include <stddef.h>

#include "daemon/policy-answer.h"
#include "libcore/control.h"

typedef struct Peer Peer;
typedef struct User User;

/*
 * Makes it a subject of the policy that there is now. Without memory it is nobody's, which ends it.
 * Return: whether it is another subject than before.
 */
bool rights_classify(Peer *peer);
/* It has attached: limits in files for it are its user's, till no process of the user is attached. */
void rights_enter(Peer *peer);
/* It is attached no more. */
void rights_leave(Peer *peer);
/* Forgets which limits processes of @user brought; those that it has stay until they are set again. */
void rights_forget_limits(User *user);
/* It owns another name, or one less: others' rules may ask for that. */
void rights_reclassify(Peer *peer);
/* Judges it by a policy that is new; what it may not have any more it loses, and hears of that. */
void rights_reevaluate(Peer *peer);
/* What it asks for is denied by @answer: the log hears, and so does who asks, with the reply. */
void rights_deny(Peer *peer, const char *what, const PolicyAnswer *answer);
/* The same for what it may ask for often: the log hears once of each of its kind. */
void rights_deny_often(Peer *peer, const char *what, const PolicyAnswer *answer);
/* What it asks for it may not have for another reason than policy: @text, for people. */
void rights_explain(Peer *peer, const char *text);
/*
 * It was denied, just now, what it has by @verb, to which @what belongs: a name, a pattern, or
 * nothing. Says so to it.
 */
void rights_say_taken(Peer *peer, ControlVerb verb, const char *what, size_t n_what);
/*
 * After WELCOME: why it may not talk with other hosts, if it has asked for that, or with whom it
 * may, which its library sees to.
 */
void rights_say_off_host(Peer *peer);
/*
 * Its library has refused @address, of another host, by what NETWORK told it: the log hears by which
 * line. Whatever is said, those are CONTROL_UNHEARD_MAX lines at most till NETWORK is said again.
 */
void rights_on_unheard(Peer *peer, Address address);
