/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Answers that come in parts
 *
 * A request says whether its asker takes them (MESSAGE_MORE). Then any number of replies that say
 * that more follow, and of words about progress, may come before the last reply, in order, as
 * messages of the session: what the asker has not looked at is not taken, so it is the asker's
 * credit that makes the provider wait.
 *
 * Parts that came stand in the request until its callback has seen them. The time in which the next
 * one must come runs only while there are none: a program that is slow itself is not told that the
 * other side was.
 *
 * A stream has no holes. It is one session's: if that ends, the asker's request does, and the
 * provider's is cut off.
 */

#include "libclient/request.h"

/* Another answer to the same request follows @message, or it is no answer at all. */
bool answer_part_is_one(const Message *message);
/* One came for @request, which takes parts; takes over the reference. */
void answer_part_put(Request *request, Message *part);
/* Runs the callback with the first; unlocks meanwhile. @request may be freed then. */
void answer_part_call(Request *request);
/* Runs it for the last time, with @reply or NULL. Unlocked. */
void answer_part_call_last(Request *request, p2pbus_message *reply);
/* Nobody will see them. */
void answer_part_drop_all(Request *request);
