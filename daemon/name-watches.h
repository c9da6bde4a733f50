/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Who asked for a name's providers, and is told when they change
 *
 * Whoever sends to a name wants to know at once who has come, gone, or takes no more. A process watches
 * a name at most once, which is charged to its user like a subscription. All changes of a turn are one
 * answer; one that finds no room in the watcher's queue is given once there is some again, and then
 * says how it is by then. So nobody holds more than one answer of ours for a name.
 */

#include "daemon/names.h"

struct NameWatch {
        Name *name;
        Peer *peer;
        PacketId ref;                     /* the question's */
        bool is_owed;                     /* the last answer found no room */
        NameWatch *prev, *next;           /* the name's */
        NameWatch *prev_peer, *next_peer; /* the process's */
};

/* Handles RESOLVE_NAME, in the packet @id. Answers with NAMED; or returns what to say in ERROR. */
ControlCode name_watches_resolve(Peer *from, const Control *word, const PacketId *id);
/* Answers a question that was asked once. */
void name_watches_answer(Peer *to, const Name *name, const PacketId *ref);
/* @name's providers changed. */
void name_watches_note(Names *names, Name *name);
/* The end of the turn: tells of all that changed in it. */
void name_watches_tell(Manager *manager);
/* Other hosts were granted to a process that watches, or taken: it is told anew. */
void name_watches_look_again(Peer *peer);
/* The queue of a process that watches has room: what it is owed. */
void name_watches_settle(Peer *peer);
/* Ends all of a process's. */
void name_watches_leave(Peer *peer);
