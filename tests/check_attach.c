/* SPDX-License-Identifier: Apache-2.0 */

#include "libsecure/attach.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcore/util.h"
#include "libsecure/signed-record.h"
#include "tests/main.h"
#include "tests/vectors.h"

/* What the vectors hold: HELLO, and A's answer to it. */
static IdentityKey *identity;
static uint8_t hello[HELLO_SIZE], attach[ATTACH_SIZE];

static void load(void) {
        json_t *json = vectors_load("p2pbus-draft.json");
        uint8_t seed[32];

        vectors_exactly(json, "identities/A_process/seed", seed, sizeof(seed));
        vectors_exactly(json, "attach/hello", hello, sizeof(hello));
        vectors_exactly(json, "attach/attach", attach, sizeof(attach));
        ck_assert_int_eq(identity_new_from_seed(&identity, seed), 0);
        json_decref(json);
}

static void unload(void) {
        identity = identity_free(identity);
}

START_TEST(hello_is_read_and_written_as_in_the_vectors) {
        uint8_t out[HELLO_SIZE];
        Hello h;

        ck_assert_int_eq(hello_decode(hello, sizeof(hello), &h), 0);
        ck_assert_uint_eq(h.proto_min, 1);
        ck_assert_uint_eq(h.proto_max, 1);
        ck_assert_uint_eq(h.os_pid, 0x1092);
        ck_assert_uint_eq(h.uid, 1000);
        ck_assert_uint_eq(h.gid, 1000);
        ck_assert_uint_eq(h.flags, 0);
        ck_assert_uint_eq(h.now_usec, UINT64_C(0x0006474846204000));
        ck_assert_uint_eq(h.instance[0], 0xa0);
        ck_assert_uint_eq(h.nonce[31], 0xdf);
        hello_encode(&h, out);
        ck_assert_mem_eq(out, hello, sizeof(hello));
}
END_TEST

START_TEST(hello_of_another_size_magic_or_range_is_refused) {
        uint8_t longer[HELLO_SIZE + 1];
        Hello h = { .uid = 77 };

        memcpy(longer, hello, sizeof(hello));
        longer[HELLO_SIZE] = 0;
        ck_assert_int_eq(hello_decode(longer, sizeof(longer), &h), ATTACH_E_MALFORMED);
        for (size_t n = 0; n < HELLO_SIZE; n++)
                ck_assert_int_eq(hello_decode(hello, n, &h), ATTACH_E_MALFORMED);
        for (unsigned i = 0; i < 4; i++) {
                hello[i] ^= 0x20;
                ck_assert_int_eq(hello_decode(hello, sizeof(hello), &h), ATTACH_E_MALFORMED);
                hello[i] ^= 0x20;
        }
        hello[4] = 2;
        ck_assert_int_eq(hello_decode(hello, sizeof(hello), &h), ATTACH_E_MALFORMED);
        ck_assert_uint_eq(h.uid, 77);
}
END_TEST

START_TEST(the_answer_is_that_of_the_vectors) {
        uint8_t out[ATTACH_SIZE];

        ck_assert_int_eq(attach_sign(identity, hello, 1, ATTACH_EPHEMERAL, out), 0);
        ck_assert_int_eq(out[2], ATTACH_EPHEMERAL);
        ck_assert_int_eq(attach_sign(identity, hello, 1, 0, out), 0);
        ck_assert_mem_eq(out, attach, sizeof(attach));
}
END_TEST

START_TEST(the_answer_verifies_and_says_who) {
        Attach a;

        ck_assert_int_eq(attach_verify(hello, attach, sizeof(attach), &a), 0);
        ck_assert_uint_eq(a.proto, 1);
        ck_assert_uint_eq(a.flags, 0);
        ck_assert(key_equal(&a.key, identity_public(identity)));
        ck_assert_uint_eq(a.hash.address.pid, UINT64_C(0xe85004f63798e2c0));
        ck_assert_uint_eq(a.hash.address.tag, UINT32_C(0x27e87175));
}
END_TEST

START_TEST(any_other_size_is_refused) {
        uint8_t longer[ATTACH_SIZE + 1];
        Attach a = { .proto = 77 };

        memcpy(longer, attach, sizeof(attach));
        longer[ATTACH_SIZE] = 0;
        ck_assert_int_eq(attach_verify(hello, longer, sizeof(longer), &a), ATTACH_E_MALFORMED);
        for (size_t n = 0; n < ATTACH_SIZE; n++)
                ck_assert_int_eq(attach_verify(hello, attach, n, &a), ATTACH_E_MALFORMED);
        ck_assert_uint_eq(a.proto, 77);
}
END_TEST

/* SECURITY T6: HELLO, what is signed of ATTACH, and the signature. */
START_TEST(every_flipped_bit_is_seen) {
        Attach a = { .proto = 77 };

        for (size_t bit = 0; bit < (HELLO_SIZE + ATTACH_SIZE) * 8; bit++) {
                uint8_t *byte =
                        bit / 8 < HELLO_SIZE ? &hello[bit / 8] : &attach[bit / 8 - HELLO_SIZE];

                *byte ^= (uint8_t)(1 << bit % 8);
                ck_assert_msg(attach_verify(hello, attach, sizeof(attach), &a) > 0, "bit %zu", bit);
                *byte ^= (uint8_t)(1 << bit % 8);
        }
        ck_assert_uint_eq(a.proto, 77);
        ck_assert_int_eq(attach_verify(hello, attach, sizeof(attach), &a), 0);
}
END_TEST

START_TEST(each_refusal_has_its_reason) {
        uint8_t out[ATTACH_SIZE];
        Attach a;

        /* T9: a protocol that was not offered, reserved bytes, unknown flags: all well signed */
        ck_assert_int_eq(attach_sign(identity, hello, 0, 0, out), ATTACH_E_PROTO);
        ck_assert_int_eq(attach_sign(identity, hello, 2, 0, out), ATTACH_E_PROTO);
        attach[0] = 2;
        ck_assert_int_eq(attach_verify(hello, attach, sizeof(attach), &a), ATTACH_E_PROTO);
        attach[0] = 1;
        ck_assert_int_eq(attach_sign(identity, hello, 1, 16, out), 0);
        ck_assert_int_eq(attach_verify(hello, out, sizeof(out), &a), ATTACH_E_MALFORMED);
        for (unsigned i = 4; i < 8; i++) {
                attach[i] = 1;
                ck_assert_int_eq(attach_verify(hello, attach, sizeof(attach), &a),
                                 ATTACH_E_MALFORMED);
                attach[i] = 0;
        }
        attach[ATTACH_SIZE - 1] ^= 1;
        ck_assert_int_eq(attach_verify(hello, attach, sizeof(attach), &a), ATTACH_E_SIGNATURE);

        hello[0] = 'p';
        ck_assert_int_eq(attach_sign(identity, hello, 1, 0, out), ATTACH_E_MALFORMED);
}
END_TEST

/* T7: another connection has another nonce, a restarted daemon another instance. */
START_TEST(an_answer_holds_for_one_connection_of_one_daemon) {
        Attach a;
        Hello h;

        ck_assert_int_eq(hello_decode(hello, sizeof(hello), &h), 0);
        crypto_random(h.nonce, sizeof(h.nonce));
        hello_encode(&h, hello);
        ck_assert_int_eq(attach_verify(hello, attach, sizeof(attach), &a), ATTACH_E_SIGNATURE);

        unload();
        load();
        ck_assert_int_eq(hello_decode(hello, sizeof(hello), &h), 0);
        crypto_random(h.instance, sizeof(h.instance));
        hello_encode(&h, hello);
        ck_assert_int_eq(attach_verify(hello, attach, sizeof(attach), &a), ATTACH_E_SIGNATURE);
}
END_TEST

/* T8: another key, and every odd key and signature of speccheck. */
START_TEST(a_signature_by_another_key_is_refused) {
        json_t *json = vectors_load("ed25519_speccheck.json"), *v;
        IdentityKey *other = NULL;
        uint8_t out[ATTACH_SIZE];
        Attach a;
        size_t i;

        ck_assert_int_eq(identity_new_random(&other), 0);
        ck_assert_int_eq(attach_sign(other, hello, 1, 0, out), 0);
        memcpy(out + 8, identity_public(identity)->bytes, KEY_SIZE);
        ck_assert_int_eq(attach_verify(hello, out, sizeof(out), &a), ATTACH_E_SIGNATURE);
        identity_free(other);

        json_array_foreach(json_object_get(json, "vectors"), i, v) {
                memcpy(out, attach, sizeof(out));
                vectors_exactly(v, "pub_key", out + 8, 32);
                ck_assert_int_eq(attach_verify(hello, out, sizeof(out), &a), ATTACH_E_SIGNATURE);
                vectors_exactly(v, "signature", out + 40, 64);
                ck_assert_int_eq(attach_verify(hello, out, sizeof(out), &a), ATTACH_E_SIGNATURE);
        }
        json_decref(json);
}
END_TEST

/* S + L: the same signature to a verifier that does not look. */
START_TEST(a_signature_that_is_not_canonical_is_refused) {
        static const uint8_t order[32] = { 0xed, 0xd3, 0xf5, 0x5c, 0x1a,       0x63,
                                           0x12, 0x58, 0xd6, 0x9c, 0xf7,       0xa2,
                                           0xde, 0xf9, 0xde, 0x14, [31] = 0x10 };
        unsigned carry = 0;
        Attach a;

        for (unsigned i = 0; i < 32; i++) {
                carry += (unsigned)attach[72 + i] + order[i];
                attach[72 + i] = (uint8_t)carry;
                carry >>= 8;
        }
        ck_assert_int_eq(attach_verify(hello, attach, sizeof(attach), &a), ATTACH_E_SIGNATURE);
}
END_TEST

/* T40: bytes signed under one label are nothing under another. */
START_TEST(an_attach_signature_makes_no_record) {
        uint8_t record[SIGNED_RECORD_LEASE_SIZE];
        json_t *json = vectors_load("p2pbus-draft.json");
        SignedRecord r;

        vectors_exactly(json, "records/lease_A", record, sizeof(record));
        memcpy(record + sizeof(record) - 64, attach + 40, 64);
        ck_assert_int_eq(signed_record_verify(
                                 record, sizeof(record),
                                 &(SignedRecordCheck){ .now_usec = UINT64_C(0x0006474846204000) },
                                 &r),
                         SIGNED_RECORD_E_SIGNATURE);
        json_decref(json);
}
END_TEST

START_TEST(a_forked_child_cannot_attach) {
        uint8_t out[ATTACH_SIZE];
        pid_t os_pid = test_fork();
        int status;

        if (os_pid == 0)
                _exit(attach_sign(identity, hello, 1, 0, out) == ATTACH_E_FORKED ? 0 : 1);
        ck_assert_int_eq(waitpid(os_pid, &status, 0), os_pid);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        ck_assert_int_eq(attach_sign(identity, hello, 1, 0, out), 0);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("attach");
        TCase *tcase = tcase_create("attach");

        tcase_add_checked_fixture(tcase, load, unload);
        tcase_add_test(tcase, hello_is_read_and_written_as_in_the_vectors);
        tcase_add_test(tcase, hello_of_another_size_magic_or_range_is_refused);
        tcase_add_test(tcase, the_answer_is_that_of_the_vectors);
        tcase_add_test(tcase, the_answer_verifies_and_says_who);
        tcase_add_test(tcase, any_other_size_is_refused);
        tcase_add_test(tcase, every_flipped_bit_is_seen);
        tcase_add_test(tcase, each_refusal_has_its_reason);
        tcase_add_test(tcase, an_answer_holds_for_one_connection_of_one_daemon);
        tcase_add_test(tcase, a_signature_by_another_key_is_refused);
        tcase_add_test(tcase, a_signature_that_is_not_canonical_is_refused);
        tcase_add_test(tcase, an_attach_signature_makes_no_record);
        tcase_add_test(tcase, a_forked_child_cannot_attach);
        suite_add_tcase(suite, tcase);
        return suite;
}
