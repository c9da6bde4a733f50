/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/* An error reply, in words */

#include "libclient/p2pbus.h"

#define ERROR_REPLY_SIZE 1100

/* "error reply 1001 unknown-method: TEXT": the name if calls have one for the number. Return: @out. */
const char *error_reply_text(p2pbus_message *reply, char out[static ERROR_REPLY_SIZE]);
/* Says that @whom, a destination or "line 3", was answered so. Return: the status to end with. */
int error_reply_fail(const char *whom, p2pbus_message *reply);
