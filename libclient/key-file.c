/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/key-file.h"

#include "libclient/p2pbus.h"
#include "libclient/reason.h"
#include "libsecure/crypto.h"

int key_file_load(const char *path, IdentityKey **ret) {
        int r;

        r = identity_load(ret, path);
        switch (r) {
        case 0:
                return 0;
        case -ENOENT:
        case -ENOTDIR:
                return reason_fail_text(P2PBUS_REASON_KEY_MISSING, "key file %s: no such file",
                                        path);
        case IDENTITY_E_OWNER:
                return reason_fail_text(P2PBUS_REASON_KEY_OWNER,
                                        "key file %s belongs to neither the caller nor root", path);
        case IDENTITY_E_MODE:
                return reason_fail_text(P2PBUS_REASON_KEY_MODE,
                                        "group or others may use the key file %s", path);
        case IDENTITY_E_NOT_REGULAR:
                return reason_fail_text(P2PBUS_REASON_KEY_NOT_REGULAR,
                                        "key file %s is not a regular file", path);
        case IDENTITY_E_MALFORMED:
        case IDENTITY_E_RESERVED:
                return reason_fail_text(P2PBUS_REASON_KEY_MALFORMED,
                                        "%s is no key file, or damaged", path);
        default:
                return reason_fail_text(P2PBUS_REASON_KEY_UNREADABLE, "key file %s: %s", path,
                                        strerror(r < 0 ? -r : EIO));
        }
}

_public_ int p2pbus_key_read(const char *file, char ret_full[P2PBUS_FULL_SIZE]) {
        _cleanup_(identity_freep) IdentityKey *identity = NULL;
        int r;

        r = crypto_init();
        if (r < 0)
                return reason_fail_errno(r, "libsodium does not work here");
        r = key_file_load(file, &identity);
        if (r < 0)
                return r;
        (void)key_format(identity_public(identity), ret_full);
        return 0;
}

_public_ int p2pbus_key_generate(const char *file, char ret_full[P2PBUS_FULL_SIZE]) {
        _cleanup_(identity_freep) IdentityKey *identity = NULL;
        int r;

        r = crypto_init();
        if (r == 0)
                r = identity_new_random(&identity);
        if (r < 0)
                return reason_fail_errno(r, "cannot make a key: %s", strerror(-r));
        r = identity_create_file(identity, file, false);
        if (r == -EEXIST)
                return reason_fail_errno(r, "%s exists, and is left as it is", file);
        if (r != 0)
                return reason_fail_errno(r < 0 ? r : -EIO, "cannot write %s: %s", file,
                                         strerror(r < 0 ? -r : EIO));
        if (ret_full)
                (void)key_format(identity_public(identity), ret_full);
        return 0;
}
