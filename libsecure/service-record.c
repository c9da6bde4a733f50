/* SPDX-License-Identifier: Apache-2.0 */

#include "libsecure/service-record.h"

#include <sodium.h>
#include <string.h>

#include "libcore/err.h"
#include "libcore/name.h"
#include "libcore/provider.h"

#define TEXT_PREFIX "P2PBUS-GRANT-1:"
#define TEXT_PREFIX_SIZE (sizeof(TEXT_PREFIX) - 1)

static bool is_service(const SignedRecord *r) {
        /* What policy and tools show of it is text, as what processes of this host say. */
        return r->type == SIGNED_RECORD_SERVICE && r->service.weight > 0 &&
               !(r->service.flags & ~(uint32_t)PROVIDER_DRAIN) &&
               provider_metadata_is_valid(r->service.meta.data, r->service.meta.size);
}

static bool is_grant(const SignedRecord *r) {
        return r->type == SIGNED_RECORD_GRANT &&
               name_is_pattern(r->grant.pattern.data, r->grant.pattern.size);
}

int service_record_decode(const uint8_t *data, size_t n_data, ServiceRecord *ret) {
        ServiceRecord record = { .has_grant = false };
        size_t n, n_grant;

        if (signed_record_size(data, n_data, &n) != 0 ||
            signed_record_decode(data, n, &record.service) != 0 || !is_service(&record.service))
                return SERVICE_RECORD_E_MALFORMED;
        record.bytes = record.bytes_alone = (Slice){ data, n };
        if (n_data > n && data[n] == SIGNED_RECORD_GRANT) {
                if (signed_record_size(data + n, n_data - n, &n_grant) != 0 ||
                    signed_record_decode(data + n, n_grant, &record.grant) != 0 ||
                    !is_grant(&record.grant) ||
                    !key_equal(&record.grant.grant.subject, &record.service.signer))
                        return SERVICE_RECORD_E_MALFORMED;
                record.has_grant = true;
                record.bytes.size += n_grant;
        }
        *ret = record;
        return 0;
}

int service_record_decode_whole(const uint8_t *data, size_t n_data, ServiceRecord *ret) {
        ServiceRecord record;

        if (service_record_decode(data, n_data, &record) != 0 || record.bytes.size != n_data)
                return SERVICE_RECORD_E_MALFORMED;
        *ret = record;
        return 0;
}

int service_record_verify(const ServiceRecord *record, const SignedRecordCheck *check) {
        SignedRecord again;

        return signed_record_verify(record->bytes_alone.data, record->bytes_alone.size, check,
                                    &again);
}

bool service_record_is_granted(const ServiceRecord *record, const PublicKey *realm,
                               uint64_t wall_usec) {
        const SignedRecord *grant = &record->grant;
        const SignedRecordCheck check = { .type = SIGNED_RECORD_GRANT, .now_usec = wall_usec };
        const uint8_t *bytes = record->bytes.data;
        SignedRecord again;

        return record->has_grant && key_equal(&grant->signer, realm) &&
               key_equal(&grant->grant.subject, &record->service.signer) &&
               (grant->grant.rights & GRANT_OWN_NAME) &&
               !(grant->flags & SIGNED_RECORD_WITHDRAWN) &&
               name_fits(grant->grant.pattern.data, grant->grant.pattern.size,
                         record->service.service.name.data, record->service.service.name.size) &&
               signed_record_verify(bytes + record->bytes_alone.size,
                                    record->bytes.size - record->bytes_alone.size, &check,
                                    &again) == 0;
}

int service_record_sign(const SignedRecord *service, const IdentityKey *identity,
                        const uint8_t *grant, size_t n_grant,
                        uint8_t out[static SERVICE_RECORD_SIZE_MAX], size_t *ret_n_out) {
        size_t n = 0;
        int r;

        if (n_grant > GRANT_SIZE_MAX)
                return err_origin(-EINVAL);
        r = signed_record_sign(service, identity, out, SIGNED_RECORD_SIZE_MAX, &n);
        if (r != 0)
                return r;
        if (n_grant > 0)
                memcpy(out + n, grant, n_grant);
        *ret_n_out = n + n_grant;
        return 0;
}

int grant_sign(const IdentityKey *realm, const PublicKey *subject, const char *pattern,
               uint64_t issued_usec, uint64_t not_after_usec, char text[static GRANT_TEXT_SIZE]) {
        const SignedRecord grant = {
                .type = SIGNED_RECORD_GRANT,
                .issued_usec = issued_usec,
                .not_after_usec = not_after_usec,
                .grant = { .subject = *subject,
                           .rights = GRANT_OWN_NAME,
                           .pattern = { pattern, strlen(pattern) } },
        };
        uint8_t bytes[GRANT_SIZE_MAX];
        size_t n = 0;
        int r;

        if (!name_is_pattern(pattern, strlen(pattern)))
                return err_origin(-EINVAL);
        r = signed_record_sign(&grant, realm, bytes, sizeof(bytes), &n);
        if (r != 0)
                return r;
        memcpy(text, TEXT_PREFIX, TEXT_PREFIX_SIZE);
        (void)sodium_bin2base64(text + TEXT_PREFIX_SIZE, GRANT_TEXT_SIZE - TEXT_PREFIX_SIZE, bytes,
                                n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        return 0;
}

_Static_assert(TEXT_PREFIX_SIZE + (GRANT_SIZE_MAX * 4 + 2) / 3 + 1 <= GRANT_TEXT_SIZE,
               "the longest grant has room");

int grant_parse(const char *text, uint8_t out[static GRANT_SIZE_MAX], size_t *ret_n_out,
                SignedRecord *ret) {
        size_t n_text = strlen(text), n = 0;

        while (n_text > 0 && strchr(" \t\r\n", text[n_text - 1]))
                n_text--;
        if (n_text <= TEXT_PREFIX_SIZE || memcmp(text, TEXT_PREFIX, TEXT_PREFIX_SIZE) != 0)
                return SERVICE_RECORD_E_MALFORMED;
        if (sodium_base642bin(out, GRANT_SIZE_MAX, text + TEXT_PREFIX_SIZE,
                              n_text - TEXT_PREFIX_SIZE, NULL, &n, NULL,
                              sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
            signed_record_decode(out, n, ret) != 0 || !is_grant(ret))
                return SERVICE_RECORD_E_MALFORMED;
        *ret_n_out = n;
        return 0;
}
