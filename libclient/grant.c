/* SPDX-License-Identifier: Apache-2.0 */

/* Grants of a realm: signed with its key, and read. No bus is needed for either. */

#include "config.h"

#include "libclient/key-file.h"
#include "libclient/p2pbus.h"
#include "libclient/reason.h"
#include "libcore/name.h"
#include "libsecure/service-record.h"

_Static_assert(P2PBUS_GRANT_SIZE == GRANT_TEXT_SIZE, "a grant's text");

_public_ int p2pbus_grant_sign(const char *realm_key_file, const char *full, const char *name,
                               uint64_t life_usec, char ret_grant[P2PBUS_GRANT_SIZE]) {
        _cleanup_(identity_freep) IdentityKey *realm = NULL;
        uint64_t now = now_usec(CLOCK_REALTIME);
        KeyText subject;
        int r;

        if (!full || key_text_parse(full, &subject) != 0 || subject.form != KEY_FORM_FULL)
                return reason_fail_text(P2PBUS_REASON_BAD_DESTINATION,
                                        "%.80s is not the full form of a key",
                                        full ? full : "(null)");
        if (!name || !name_is_pattern(name, strlen(name)))
                return reason_fail_text(P2PBUS_REASON_BAD_DESTINATION,
                                        "%.64s is no service name, nor one with .* behind it",
                                        name ? name : "(null)");
        if (life_usec == 0 || life_usec > GRANT_LIFE_MAX_USEC)
                return reason_fail_errno(-EINVAL, "a grant lives for 400 days at most");
        r = crypto_init();
        if (r < 0)
                return reason_fail_errno(r, "libsodium does not work here");
        r = key_file_load(realm_key_file, &realm);
        if (r < 0)
                return r;
        r = grant_sign(realm, &subject.key, name, now, now + life_usec, ret_grant);
        return r == 0 ? 0 : reason_fail_errno(r < 0 ? r : -EIO, "cannot sign the grant");
}

_public_ int p2pbus_grant_read(const char *grant, p2pbus_grant *ret) {
        uint8_t bytes[GRANT_SIZE_MAX];
        p2pbus_grant found = { .struct_size = sizeof(found) };
        SignedRecord record, again;
        SignedRecordCheck check = { .type = SIGNED_RECORD_GRANT };
        size_t n;
        int r;

        if (ret->struct_size != sizeof(*ret))
                return reason_fail_errno(-EINVAL, "p2pbus_grant.struct_size is not set");
        r = crypto_init();
        if (r < 0)
                return reason_fail_errno(r, "libsodium does not work here");
        if (!grant || grant_parse(grant, bytes, &n, &record) != 0)
                return reason_fail_errno(-EINVAL, "that is no grant, or it is damaged");
        check.now_usec = record.issued_usec; /* who reads it sees when it ends */
        if (signed_record_verify(bytes, n, &check, &again) != 0)
                return reason_fail_errno(-EINVAL, "the grant is damaged: it is not signed by the "
                                                  "key that it names");
        (void)key_format(&record.signer, found.realm);
        (void)key_format(&record.grant.subject, found.subject);
        memcpy(found.name, record.grant.pattern.data, record.grant.pattern.size);
        found.issued_usec = record.issued_usec;
        found.not_after_usec = record.not_after_usec;
        *ret = found;
        return 0;
}
