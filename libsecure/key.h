/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Public keys, their hashes and their text
 *
 * A process is its Ed25519 key. A hash of the key gives its PID and TAG (libcore/pid.h) and its
 * KID, the index of tables (PROTOCOL.md, "Addresses"). Text comes in three forms: short (PID),
 * tagged (PID-TAG) and full (PID:base64url of the key). Decisions are made on the key itself,
 * never on a PID.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/pid.h"
#include "libsecure/crypto.h"

#define KEY_SIZE 32
#define KEY_ID_SIZE 16
#define KEY_SIGNATURE_SIZE 64
#define KEY_TEXT_SIZE 61    /* "PID:" and 43 of base64url, and a NUL */
#define KEY_SIGNED_MAX 1088 /* bytes that one signature may cover, label included */

/* An Ed25519 public key. */
typedef struct PublicKey {
        uint8_t bytes[KEY_SIZE];
} PublicKey;

typedef struct KeyHash {
        uint8_t kid[KEY_ID_SIZE];
        Address address; /* always with its tag, which may by chance be 0 */
} KeyHash;

typedef enum KeyForm {
        KEY_FORM_SHORT = 1,
        KEY_FORM_TAGGED,
        KEY_FORM_FULL,
} KeyForm;

/* What a user wrote to name a process. */
typedef struct KeyText {
        KeyForm form;
        Address address; /* tag 0 in the short form */
        PublicKey key;   /* zero unless the form is full */
} KeyText;

enum {
        _KEY_E_SUCCESS,

        KEY_E_MALFORMED, /* in none of the three forms */
        KEY_E_MISMATCH,  /* full form whose PID is not that of its key */
        KEY_E_SIGNATURE, /* not signed by this key, or the key or signature is not canonical */
};

KeyHash key_hash(const PublicKey *key);
/* False if the key's PID is reserved; such a key (1 in 2^47) names nobody. */
bool key_is_usable(const PublicKey *key);
bool key_equal(const PublicKey *a, const PublicKey *b);
bool key_is_zero(const PublicKey *key);

/* Writes the full form and a NUL; returns @text. */
const char *key_format(const PublicKey *key, char text[static KEY_TEXT_SIZE]);

/*
 * Reads any of the three forms, the hex part in any case and plain or grouped 4-4-4-4, followed
 * by nothing. A short or tagged form may be a reserved PID: that is for the caller to judge.
 * Return: 0, KEY_E_MALFORMED, KEY_E_MISMATCH; @ret is untouched then.
 */
int key_text_parse(const char *text, KeyText *ret);

/*
 * Verifies @signature over label || parts, together at most KEY_SIGNED_MAX bytes. Keys and
 * signatures that libsodium calls small-order or non-canonical are refused.
 * Return: 0, KEY_E_SIGNATURE.
 */
int key_verify(const PublicKey *key, const char *label, const Slice *parts, size_t n_parts,
               const uint8_t signature[static KEY_SIGNATURE_SIZE]);
