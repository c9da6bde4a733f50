/* SPDX-License-Identifier: Apache-2.0 */

/* What a process tells other hosts of a name: pairs of records, and who may believe them. */

#include "libsecure/service-record.h"

#include <stdio.h>

#include "libcore/control.h"
#include "tests/main.h"
#include "tests/wire.h"

#define HOUR_USEC (UINT64_C(3600) * USEC_PER_SEC)
#define NOW_USEC UINT64_C(1800000000000000)
#define NAME "org.example.clock"

static IdentityKey *provider, *realm, *other;

static IdentityKey *key_of(uint8_t number) {
        uint8_t seed[IDENTITY_SEED_SIZE];
        IdentityKey *key;

        memset(seed, number, sizeof(seed));
        ck_assert_int_eq(identity_new_from_seed(&key, seed), 0);
        return key;
}

static void setup(void) {
        ck_assert_int_eq(crypto_init(), 0);
        provider = key_of(1);
        realm = key_of(2);
        other = key_of(3);
}

static void teardown(void) {
        identity_free(provider);
        identity_free(realm);
        identity_free(other);
}

static SignedRecord service(void) {
        return (SignedRecord){
                .type = SIGNED_RECORD_SERVICE,
                .issued_usec = NOW_USEC,
                .not_after_usec = NOW_USEC + HOUR_USEC,
                .service = { .priority = 10,
                             .weight = 300,
                             .name = { NAME, strlen(NAME) },
                             .meta = { "zone=a", 6 } },
        };
}

/* A SERVICE of the provider, and a grant as these say. Returns the size of both. */
static size_t make(const IdentityKey *grantor, const IdentityKey *subject, const char *pattern,
                   uint64_t ends_usec, uint8_t out[static SERVICE_RECORD_SIZE_MAX]) {
        const SignedRecord record = service();
        uint8_t grant[GRANT_SIZE_MAX];
        char text[GRANT_TEXT_SIZE];
        SignedRecord read;
        size_t n_grant = 0, n;

        if (grantor) {
                ck_assert_int_eq(grant_sign(grantor, identity_public(subject), pattern,
                                            NOW_USEC - HOUR_USEC, ends_usec, text),
                                 0);
                ck_assert_int_eq(grant_parse(text, grant, &n_grant, &read), 0);
        }
        ck_assert_int_eq(service_record_sign(&record, provider, grant, n_grant, out, &n), 0);
        return n;
}

START_TEST(a_pair_is_read_as_it_was_signed) {
        const SignedRecordCheck check = { .type = SIGNED_RECORD_SERVICE, .now_usec = NOW_USEC };
        uint8_t bytes[SERVICE_RECORD_SIZE_MAX];
        size_t n = make(realm, provider, NAME, NOW_USEC + HOUR_USEC, bytes);
        ServiceRecord r;

        ck_assert_int_eq(service_record_decode_whole(bytes, n, &r), 0);
        ck_assert(r.has_grant);
        ck_assert_uint_eq(r.service.service.priority, 10);
        ck_assert_uint_eq(r.service.service.weight, 300);
        ck_assert_uint_eq(r.service.service.name.size, strlen(NAME));
        ck_assert(key_equal(&r.service.signer, identity_public(provider)));
        ck_assert_int_eq(service_record_verify(&r, &check), 0);
        ck_assert(service_record_is_granted(&r, identity_public(realm), NOW_USEC));

        n = make(NULL, NULL, NULL, 0, bytes);
        ck_assert_int_eq(service_record_decode_whole(bytes, n, &r), 0);
        ck_assert(!r.has_grant);
        ck_assert(!service_record_is_granted(&r, identity_public(realm), NOW_USEC));
}
END_TEST

START_TEST(pairs_stand_in_a_row) {
        uint8_t row[3 * SERVICE_RECORD_SIZE_MAX];
        size_t n = 0, at = 0;
        ServiceRecord r;

        n += make(realm, provider, NAME, NOW_USEC + HOUR_USEC, row);
        n += make(NULL, NULL, NULL, 0, row + n);
        n += make(realm, provider, "org.*", NOW_USEC + HOUR_USEC, row + n);
        for (unsigned i = 0; i < 3; i++, at += r.bytes.size) {
                ck_assert_int_eq(service_record_decode(row + at, n - at, &r), 0);
                ck_assert(r.has_grant == (i != 1));
        }
        ck_assert_uint_eq(at, n);
        ck_assert_int_eq(service_record_decode_whole(row, n, &r), SERVICE_RECORD_E_MALFORMED);
}
END_TEST

/* Every length but the two that are pairs. */
START_TEST(cut_pairs_are_refused) {
        uint8_t bytes[SERVICE_RECORD_SIZE_MAX];
        size_t n = make(realm, provider, NAME, NOW_USEC + HOUR_USEC, bytes), n_alone;
        ServiceRecord r;

        ck_assert_int_eq(signed_record_size(bytes, n, &n_alone), 0);
        for (size_t k = 0; k < n; k++)
                if (k != n_alone)
                        ck_assert_msg(service_record_decode_whole(bytes, k, &r) != 0,
                                      "taken at %zu bytes", k);
}
END_TEST

/* T41 */
static const struct {
        const char *what;
        const char *pattern;
        int realm;   /* 0: none; 1: the one that is known; 2: another */
        int subject; /* 1: the provider; 2: another */
        uint64_t ends_usec, now_usec;
        bool is_granted;
} grants[] = {
        // clang-format off
        { "its name",         NAME,              1, 1, NOW_USEC + HOUR_USEC, NOW_USEC, true },
        { "all below",        "org.example.*",   1, 1, NOW_USEC + HOUR_USEC, NOW_USEC, true },
        { "all of org",       "org.*",           1, 1, NOW_USEC + HOUR_USEC, NOW_USEC, true },
        { "no grant",         NULL,              0, 1, 0,                    NOW_USEC, false },
        { "another name",     "org.example.cloc",1, 1, NOW_USEC + HOUR_USEC, NOW_USEC, false },
        { "a longer name",    NAME ".x",         1, 1, NOW_USEC + HOUR_USEC, NOW_USEC, false },
        { "below the name",   NAME ".*",         1, 1, NOW_USEC + HOUR_USEC, NOW_USEC, false },
        { "below another",    "org.exampl.*",    1, 1, NOW_USEC + HOUR_USEC, NOW_USEC, false },
        { "another realm",    NAME,              2, 1, NOW_USEC + HOUR_USEC, NOW_USEC, false },
        { "it has ended",     NAME,              1, 1, NOW_USEC,             NOW_USEC, false },
        { "it has not begun", NAME,              1, 1, NOW_USEC + HOUR_USEC, NOW_USEC - 2 * HOUR_USEC, false },
        // clang-format on
};

START_TEST(grants_are_for_one_key_one_pattern_of_one_realm_and_a_time) {
        uint8_t bytes[SERVICE_RECORD_SIZE_MAX];
        const IdentityKey *grantor = grants[_i].realm == 0   ? NULL
                                     : grants[_i].realm == 1 ? realm
                                                             : other;
        size_t n = make(grantor, provider, grants[_i].pattern, grants[_i].ends_usec, bytes);
        ServiceRecord r;

        ck_assert_int_eq(service_record_decode_whole(bytes, n, &r), 0);
        ck_assert_msg(service_record_is_granted(&r, identity_public(realm), grants[_i].now_usec) ==
                              grants[_i].is_granted,
                      "%s", grants[_i].what);
}
END_TEST

START_TEST(the_grant_of_another_key_is_no_part_of_a_pair) {
        uint8_t bytes[SERVICE_RECORD_SIZE_MAX];
        size_t n = make(realm, other, NAME, NOW_USEC + HOUR_USEC, bytes);
        ServiceRecord r;

        ck_assert_int_eq(service_record_decode_whole(bytes, n, &r), SERVICE_RECORD_E_MALFORMED);
}
END_TEST

START_TEST(a_changed_byte_of_a_grant_is_not_believed) {
        uint8_t bytes[SERVICE_RECORD_SIZE_MAX];
        size_t n = make(realm, provider, NAME, NOW_USEC + HOUR_USEC, bytes), n_alone;
        ServiceRecord r;

        ck_assert_int_eq(signed_record_size(bytes, n, &n_alone), 0);
        for (size_t at = n_alone; at < n; at++) {
                bytes[at] ^= 1;
                ck_assert_msg(
                        service_record_decode_whole(bytes, n, &r) != 0 ||
                                !service_record_is_granted(&r, identity_public(realm), NOW_USEC),
                        "byte %zu", at);
                bytes[at] ^= 1;
        }
}
END_TEST

static const char *const no_grants[] = {
        "", "P2PBUS-GRANT-1:", "P2PBUS-GRANT-2:AAAA", "P2PBUS-GRANT-1:AAAA", "P2PBUS-GRANT-1:****",
};

START_TEST(what_is_no_grant_is_refused) {
        uint8_t bytes[GRANT_SIZE_MAX];
        SignedRecord read;
        size_t n;

        ck_assert_int_eq(grant_parse(no_grants[_i], bytes, &n, &read), SERVICE_RECORD_E_MALFORMED);
}
END_TEST

START_TEST(the_text_of_a_grant_may_have_blanks_behind_it) {
        char text[GRANT_TEXT_SIZE + 8];
        uint8_t bytes[GRANT_SIZE_MAX];
        SignedRecord read;
        size_t n;

        ck_assert_int_eq(grant_sign(realm, identity_public(provider), "org.*", NOW_USEC,
                                    NOW_USEC + HOUR_USEC, text),
                         0);
        strcat(text, " \r\n");
        ck_assert_int_eq(grant_parse(text, bytes, &n, &read), 0);
        ck_assert_uint_eq(read.grant.rights, GRANT_OWN_NAME);
        ck_assert_int_eq(grant_sign(realm, identity_public(provider), "org*", NOW_USEC,
                                    NOW_USEC + HOUR_USEC, text),
                         -EINVAL);
        ck_assert_int_eq(grant_sign(realm, identity_public(provider), "*", NOW_USEC,
                                    NOW_USEC + HOUR_USEC, text),
                         -EINVAL);
}
END_TEST

/* Ed25519 signs without chance: so the vectors are what this writes. */
START_TEST(vectors_are_real_ones) {
        uint8_t bytes[2 * SERVICE_RECORD_SIZE_MAX];
        size_t n = make(realm, provider, "org.example.*", NOW_USEC + HOUR_USEC, bytes), n_wire;
        _cleanup_(freep) uint8_t *wire =
                wire_read(_i == 0 ? "control-service" : "control-services", &n_wire);

        if (_i == 1)
                n += make(NULL, NULL, NULL, 0, bytes + n);
        for (size_t i = 0; i < n && n_wire != CONTROL_HEAD_SIZE + n; i++)
                printf("%02x%s", bytes[i], i % 16 == 15 || i + 1 == n ? "\n" : " ");
        ck_assert_uint_eq(n_wire, CONTROL_HEAD_SIZE + n);
        ck_assert_mem_eq(wire + CONTROL_HEAD_SIZE, bytes, n);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("service_record");
        TCase *tcase = tcase_create("pairs");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, a_pair_is_read_as_it_was_signed);
        tcase_add_test(tcase, pairs_stand_in_a_row);
        tcase_add_test(tcase, cut_pairs_are_refused);
        tcase_add_loop_test(tcase, grants_are_for_one_key_one_pattern_of_one_realm_and_a_time, 0,
                            ELEMENTSOF(grants));
        tcase_add_test(tcase, the_grant_of_another_key_is_no_part_of_a_pair);
        tcase_add_test(tcase, a_changed_byte_of_a_grant_is_not_believed);
        tcase_add_loop_test(tcase, what_is_no_grant_is_refused, 0, ELEMENTSOF(no_grants));
        tcase_add_test(tcase, the_text_of_a_grant_may_have_blanks_behind_it);
        tcase_add_loop_test(tcase, vectors_are_real_ones, 0, 2);
        suite_add_tcase(suite, tcase);
        return suite;
}
