/* SPDX-License-Identifier: Apache-2.0 */

/* p2pbusctl keygen: a new key in a new file; needs no bus */

#include "tools/common.h"
#include "tools/ctl.h"
#include "tools/quote.h"

int ctl_keygen(Ctl *ctl) {
        const char *file = ctl->operands[0];
        char full[P2PBUS_FULL_SIZE], quoted[QUOTE_SIZE];
        int r;

        r = p2pbus_key_generate(file, full);
        quote_for_shell(file, quoted);
        switch (r) {
        case -EEXIST:
                return fail(STATUS_FAILED,
                            "%s: there is such a file already, it stays as it is; "
                            "choose another name, or see whose key it is: p2pbusctl id %s",
                            file, quoted);
        case -ENOENT:
                return fail(STATUS_FAILED,
                            "%s: its folder is missing; make it: "
                            "mkdir -p -m 700 \"$(dirname %s)\"",
                            file, quoted);
        }
        if (r < 0)
                return fail(STATUS_FAILED, "%s: %s; choose a place where you may write", file,
                            strerror(-r));
        return ctl_print_key(ctl, file, full);
}
