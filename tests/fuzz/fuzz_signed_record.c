/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A record that the table accepts is the encoding of what was read: written again it differs in
 * nothing but signer and signature. None is accepted before its signature was seen to be right.
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
        (void)signed_answer_verify(data, n_data, 1, 2, &answer);
        return 0;
}
