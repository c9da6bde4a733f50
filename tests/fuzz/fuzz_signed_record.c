/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A record that the table accepts is the encoding of what was read: written again it differs in
 * nothing but signer and signature. None is accepted before its signature was seen to be right.
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libsecure/service-record.h"
#include "libsecure/signed-answer.h"
#include "libsecure/signed-record.h"
#include "tests/fuzz/fuzz.h"

static const uint8_t seed[IDENTITY_SEED_SIZE] = { 1 };

static void check_again(const uint8_t *data, size_t n_data, const SignedRecord *record,
                        const IdentityKey *identity) {
        uint8_t again[SIGNED_RECORD_SIZE_MAX];
        size_t n;
        int r;

        r = signed_record_sign(record, identity, again, sizeof(again), &n);
        assert(r == 0 || r == -EINVAL); /* decoding does not judge times, signing does */
        if (r != 0)
                return;
        assert(n == n_data);
        assert(memcmp(again, data, 24) == 0);
        assert(memcmp(again + 56, data + 56, n - 56 - KEY_SIGNATURE_SIZE) == 0);
        assert(signed_record_verify(again, n,
                                    &(SignedRecordCheck){ .now_usec = record->issued_usec },
                                    &(SignedRecord){ 0 }) == 0);
}

/* A row of SERVICEs and their GRANTs, and the text of a grant: what is read lies in what was given. */
static void check_services(const uint8_t *data, size_t n_data) {
        ServiceRecord record;
        SignedRecord grant;
        uint8_t bytes[GRANT_SIZE_MAX];
        char text[1024];
        size_t n;

        for (size_t at = 0;
             at < n_data && service_record_decode(data + at, n_data - at, &record) == 0;
             at += record.bytes.size) {
                SignedRecordCheck check = { .now_usec = record.service.issued_usec };

                assert(record.bytes.size > 0 && record.bytes.size <= n_data - at);
                assert(record.bytes.size <= SERVICE_RECORD_SIZE_MAX);
                (void)service_record_verify(&record, &check);
                if (record.has_grant)
                        (void)service_record_is_granted(&record, &record.grant.signer,
                                                        record.grant.issued_usec);
        }
        n = n_data < sizeof(text) - 1 ? n_data : sizeof(text) - 1;
        memcpy(text, data, n);
        text[n] = '\0';
        if (grant_parse(text, bytes, &n, &grant) == 0)
                assert(n <= sizeof(bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data) {
        static IdentityKey *identity;
        SignedAnswer answer;
        SignedRecord record;
        size_t size;

        if (!identity && identity_new_from_seed(&identity, seed) != 0)
                abort();
        if (signed_record_size(data, n_data, &size) == 0)
                assert(size <= n_data && size <= SIGNED_RECORD_SIZE_MAX);
        if (signed_record_decode(data, n_data, &record) == 0) {
                SignedRecordCheck check = { .now_usec = record.issued_usec };

                (void)signed_record_verify(data, n_data, &check, &record);
                check.held = (Slice){ data, n_data };
                assert(signed_record_verify(data, n_data, &check, &record) != 0);
                check_again(data, n_data, &record, identity);
        }
        check_services(data, n_data);
        (void)signed_answer_verify(data, n_data, 1, 2, &answer);
        return 0;
}
