/* SPDX-License-Identifier: Apache-2.0 */

#include "libsecure/own-key.h"

#include <stdio.h>

#include "libcore/err.h"

int own_key_make(IdentityKey **ret, const char *path) {
        _cleanup_(identity_freep) IdentityKey *identity = NULL;
        int r;

        r = identity_new_random(&identity);
        if (r == 0)
                r = identity_create_file(identity, path, true);
        if (r != 0)
                return err_trace(r);
        *ret = TAKE_PTR(identity);
        return 0;
}

const char *own_key_explain(const char *path, int r, char text[static OWN_KEY_TEXT_SIZE]) {
        static const char *const reasons[] = {
                [IDENTITY_E_NOT_REGULAR] = "not a regular file; name another with --key",
                [IDENTITY_E_OWNER] = "belongs to another user; chown it",
                [IDENTITY_E_MALFORMED] = "not a key file; move it away and start again",
                [IDENTITY_E_RESERVED] = "not a key file; move it away and start again",
        };

        if (r == IDENTITY_E_MODE)
                (void)snprintf(text, OWN_KEY_TEXT_SIZE, "%s: others may read it; run: chmod 600 %s",
                               path, path);
        else if (r > 0 && r < (int)ELEMENTSOF(reasons) && reasons[r])
                (void)snprintf(text, OWN_KEY_TEXT_SIZE, "%s: %s", path, reasons[r]);
        else
                (void)snprintf(text, OWN_KEY_TEXT_SIZE, "%s: %s; name another with --key", path,
                               r < 0 ? strerror(-r) : "cannot be used");
        return text;
}
