/* SPDX-License-Identifier: Apache-2.0 */

/* p2pbusctl forget: whoever has a PID now may have another key than before; needs no bus */

#include "tools/common.h"
#include "tools/ctl.h"

int ctl_forget(Ctl *ctl) {
        const char *dest = ctl->operands[0];
        char file[4096];
        int r;

        r = p2pbus_default_known_peers(file, sizeof(file));
        if (r < 0)
                return fail(STATUS_FAILED, "known peers: %s; set $XDG_STATE_HOME",
                            p2pbus_get_explanation());
        if (strchr(dest, '.') || ctl_check_destination(dest) >= 0)
                return fail(STATUS_USAGE, "%s: no PID; names are not kept, see the PIDs in %s",
                            dest, file);
        r = p2pbus_forget_peer(file, dest);
        if (r == -ENOENT)
                return fail(STATUS_NOT_FOUND, "%s: not among the known peers; see %s", dest, file);
        if (r < 0)
                return fail(STATUS_FAILED, "%s; see who owns it", p2pbus_get_explanation());
        return STATUS_DONE;
}
