/* SPDX-License-Identifier: Apache-2.0 */

/* p2pbusctl id: the full form of a key file; needs no bus */

#include "tools/common.h"
#include "tools/ctl.h"

int ctl_id(Ctl *ctl) {
        const char *file = ctl->n_operands > 0 ? ctl->operands[0] : ctl->options.key;
        char full[P2PBUS_FULL_SIZE];
        int r;

        if (!file)
                return fail(STATUS_USAGE,
                            "FILE: missing; name a key file, or set -k or $P2PBUS_KEY");
        r = p2pbus_key_read(file, full);
        if (r < 0)
                return connection_fail_key(file, r, p2pbus_get_reason());
        return ctl_print_key(ctl, file, full);
}
