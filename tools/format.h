/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/* How a received message looks on stdout. */

#include <stddef.h>

#include "libclient/p2pbus.h"

typedef enum Format {
        FORMAT_LINE, /* the payload, and a newline unless it ends in one */
        FORMAT_RAW,  /* the payload */
        FORMAT_JSON, /* one object a line */
        FORMAT_HEX,  /* two digits a byte, one line a message */
        _FORMAT_INVALID = -1,
} Format;

/* Return: the format of this name, _FORMAT_INVALID. */
Format format_from_text(const char *text);

/* What to write for @message, received as the process of PID @to. *ret_data is the message's own
 * memory or *ret_owned, to be freed. Return: 0 or -ENOMEM. */
int format_message(Format format, p2pbus_message *message, const char *to, const char **ret_data,
                   size_t *ret_n, char **ret_owned);
