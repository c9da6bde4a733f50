/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbusctl resolve: who answers to a destination now
 *
 * "FULL local" or "FULL remote", and status 0 only if a message sent now has a route. That there is
 * none is an answer too: with --json it is written like the other.
 */

#include <stdio.h>

#include "tools/common.h"
#include "tools/ctl.h"
#include "tools/json.h"
#include "tools/output.h"

static int print_json(const char *dest, const char *full, const char *path, const char *reason) {
        JsonValue *object = json_begin();
        char *text;
        size_t n;

        json_add_text(object, "destination", dest);
        json_add_text(object, "full", full);
        json_add_text(object, "path", path);
        if (reason)
                json_add_text(object, "reason", reason);
        text = json_finish(object, &n);
        return output_print(text, n);
}

int ctl_resolve(Ctl *ctl) {
        const char *dest = ctl->operands[0];
        char full[P2PBUS_FULL_SIZE], line[P2PBUS_FULL_SIZE + 16];
        int r, status, n, remote = 0;

        status = ctl_check_destination(dest);
        if (status < 0)
                status = ctl_open(ctl, true);
        if (status != 0)
                return status;

        r = p2pbus_resolve(ctl->connection.bus, dest, ctl->timeout_usec, full, &remote);
        if (r < 0) {
                int reason = p2pbus_get_reason();

                if (ctl->options.json && connection_status(r, reason) == STATUS_NOT_FOUND) {
                        status = print_json(dest, NULL, NULL, p2pbus_reason_text(reason));
                        if (status != 0)
                                return status;
                }
                return connection_fail(&ctl->connection, dest, NULL, r, reason,
                                       reason == P2PBUS_REASON_WRONG_KEY ? p2pbus_get_explanation()
                                                                         : NULL);
        }
        if (ctl->options.json)
                return print_json(dest, full, remote ? "remote" : "local", NULL);
        n = snprintf(line, sizeof(line), "%s %s\n", full, remote ? "remote" : "local");
        return output_print(strdup(line), (size_t)n);
}
