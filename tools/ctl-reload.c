/* SPDX-License-Identifier: Apache-2.0 */

/* p2pbusctl reload: the daemon reads its configuration again; a bad file leaves the old settings */

#include "tools/common.h"
#include "tools/ctl.h"
#include "tools/json.h"
#include "tools/output.h"

int ctl_reload(Ctl *ctl) {
        JsonValue *object;
        char *text;
        int r, status;
        size_t n;

        status = ctl_open(ctl, false);
        if (status != 0)
                return status;
        r = p2pbus_reload(ctl->connection.bus, ctl->timeout_usec);
        if (r == -EINVAL)
                return fail(STATUS_FAILED,
                            "reload: the daemon refuses its new configuration and "
                            "keeps the old one; see its log, or p2pbusd --check-config");
        if (r < 0)
                return connection_fail(&ctl->connection, "reload", NULL, r, p2pbus_get_reason(),
                                       NULL);
        if (!ctl->options.json)
                return STATUS_DONE;
        object = json_begin();
        json_add_flag(object, "reloaded", true);
        text = json_finish(object, &n);
        return output_print(text, n);
}
