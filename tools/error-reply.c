/* SPDX-License-Identifier: Apache-2.0 */

#include "tools/error-reply.h"

#include <inttypes.h>
#include <stdio.h>

#include "libcall/p2pbus-call.h"
#include "tools/common.h"

#define TEXT_MAX 1000

const char *error_reply_text(p2pbus_message *reply, char out[static ERROR_REPLY_SIZE]) {
        uint32_t status = p2pbus_message_get_status(reply);
        const char *name = p2pbus_call_status_text(status);
        const char *text = p2pbus_message_get_payload(reply);
        size_t n = text ? MIN(p2pbus_message_get_size(reply), (size_t)TEXT_MAX) : 0;

        (void)snprintf(out, ERROR_REPLY_SIZE, "error reply %" PRIu32 "%s%s: %.*s", status,
                       name ? " " : "", name ? name : "", (int)n, text ? text : "");
        return out;
}

int error_reply_fail(const char *whom, p2pbus_message *reply) {
        char text[ERROR_REPLY_SIZE];

        return fail(STATUS_FAILED, "%s: %s; see the receiver", whom, error_reply_text(reply, text));
}
