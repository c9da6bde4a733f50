/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What a process says to other hosts of a name that it provides
 *
 * A SERVICE record, signed by the process, and behind it, if it was given one, the GRANT of a realm
 * that the process may have this name. The two travel together. That the record is signed proves only
 * that this key says so; whether to believe it is decided where somebody asks for the name
 * (service_record_is_granted()).
 *
 * A grant's text, as it stands in a file, is one line: "P2PBUS-GRANT-1:" and base64url of the record.
 */

#include "libsecure/signed-record.h"

#define SERVICE_RECORD_SIZE_MAX 1536 /* both */
#define GRANT_SIZE_MAX 512
#define GRANT_TEXT_SIZE 800 /* a NUL included */
#define GRANT_LIFE_MAX_USEC (400 * 24 * 60 * 60 * USEC_PER_SEC)

/* SignedRecord.grant.rights */
enum {
        GRANT_OWN_NAME = 1 << 0,
};

/* A pair that was read; slices point into what it was read from. */
typedef struct ServiceRecord {
        SignedRecord service;
        SignedRecord grant; /* if it has one */
        bool has_grant;
        Slice bytes;       /* of both */
        Slice bytes_alone; /* of the first */
} ServiceRecord;

enum {
        _SERVICE_RECORD_E_SUCCESS,

        SERVICE_RECORD_E_MALFORMED, /* or a grant for another key than the signer's */
};

/*
 * Reads the pair that begins at @data, and nothing but the tables: no times, no signatures. What
 * follows is looked at as far as it is a GRANT.
 * Return: 0, SERVICE_RECORD_E_MALFORMED; @ret is untouched then.
 */
int service_record_decode(const uint8_t *data, size_t n_data, ServiceRecord *ret);
/* The same where nothing may follow. */
int service_record_decode_whole(const uint8_t *data, size_t n_data, ServiceRecord *ret);

/*
 * Checks times and signature of the SERVICE.
 * Return: as signed_record_verify().
 */
int service_record_verify(const ServiceRecord *record, const SignedRecordCheck *check);
/* Whether @realm grants its signer the name, by the grant that came with it, now. */
bool service_record_is_granted(const ServiceRecord *record, const PublicKey *realm,
                               uint64_t wall_usec);

/* Signs one, @service->service filled but for its times. Return: as signed_record_sign(). */
int service_record_sign(const SignedRecord *service, const IdentityKey *identity,
                        const uint8_t *grant, size_t n_grant,
                        uint8_t out[static SERVICE_RECORD_SIZE_MAX], size_t *ret_n_out);

/*
 * A realm's word that @subject may provide names as @pattern says. Return: as signed_record_sign();
 * -EINVAL: @pattern is no name and no pattern of names.
 */
int grant_sign(const IdentityKey *realm, const PublicKey *subject, const char *pattern,
               uint64_t issued_usec, uint64_t not_after_usec, char text[static GRANT_TEXT_SIZE]);
/*
 * Reads the line, blanks behind it left out, into @out. Neither times nor signature are judged.
 * Return: 0, SERVICE_RECORD_E_MALFORMED.
 */
int grant_parse(const char *text, uint8_t out[static GRANT_SIZE_MAX], size_t *ret_n_out,
                SignedRecord *ret);
