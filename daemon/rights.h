/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Rights: what policy takes a process for, and what becomes of what it has when that changes
 *
 * What is asked for is judged where it is asked for, by the process's subject (daemon/subject.h).
 */

#include <stdbool.h>

#include "daemon/policy-answer.h"

typedef struct Peer Peer;

/*
 * Makes it a subject of the policy that there is now. Without memory it is nobody's, which ends it.
 * Return: whether it is another subject than before.
 */
bool rights_classify(Peer *peer);
/* It owns another name, or one less: others' rules may ask for that. */
void rights_reclassify(Peer *peer);
/* Judges it by a policy that is new; what it may not have any more it loses. */
void rights_reevaluate(Peer *peer);
/* What it asks for is denied by @answer: the log hears, and so does who asks, with the reply. */
void rights_deny(Peer *peer, const char *what, const PolicyAnswer *answer);
/* What it may send off-host and receive from there, which its library sees to. */
void rights_say_network(Peer *peer);
