/* SPDX-License-Identifier: Apache-2.0 */

#include "libsecure/key.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "libcore/buf.h"
#include "libcore/util.h"

#define KEY_BASE64_SIZE 44 /* 43 characters and a NUL */

static_assert(KEY_SIGNATURE_SIZE == CRYPTO_SIGNATURE_SIZE, "Ed25519 signature");
static_assert(KEY_TEXT_SIZE == PID_TEXT_SIZE + KEY_BASE64_SIZE, "full form");

KeyHash key_hash(const PublicKey *key) {
        uint8_t label[CRYPTO_LABEL_SIZE], hash[32];
        KeyHash ret;
        BufReader r;

        crypto_label("p2pbus-pid-1", label);
        crypto_blake2b(hash, sizeof(hash),
                       (Slice[]){ { label, sizeof(label) }, { key->bytes, sizeof(key->bytes) } },
                       2);

        r = buf_reader(hash, sizeof(hash));
        ret.address.pid = buf_get_be64(&r);
        ret.address.tag = buf_get_be32(&r);
        memcpy(ret.kid, hash, sizeof(ret.kid));
        return ret;
}

bool key_is_usable(const PublicKey *key) {
        return !pid_is_reserved(key_hash(key).address.pid);
}

bool key_equal(const PublicKey *a, const PublicKey *b) {
        return crypto_equal(a->bytes, b->bytes, sizeof(a->bytes));
}

bool key_is_zero(const PublicKey *key) {
        return sodium_is_zero(key->bytes, sizeof(key->bytes)) == 1;
}

const char *key_format(const PublicKey *key, char text[static KEY_TEXT_SIZE]) {
        (void)pid_format(key_hash(key).address.pid, text);
        text[PID_TEXT_SIZE - 1] = ':';
        (void)sodium_bin2base64(text + PID_TEXT_SIZE, KEY_BASE64_SIZE, key->bytes,
                                sizeof(key->bytes), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        return text;
}

/* @colon is where the full form in @text has its colon. */
static int full_parse(const char *text, const char *colon, KeyText *ret) {
        char pid_text[PID_TEXT_SIZE + 3]; /* room for grouping */
        KeyText full = { .form = KEY_FORM_FULL };
        size_t n_pid = (size_t)(colon - text), n_key;
        Pid pid;

        if (n_pid >= sizeof(pid_text) || strlen(colon + 1) != KEY_BASE64_SIZE - 1)
                return KEY_E_MALFORMED;
        memcpy(pid_text, text, n_pid);
        pid_text[n_pid] = '\0';
        if (pid_parse(pid_text, &pid) != 0)
                return KEY_E_MALFORMED;

        if (sodium_base642bin(full.key.bytes, sizeof(full.key.bytes), colon + 1,
                              KEY_BASE64_SIZE - 1, NULL, &n_key, NULL,
                              sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
            n_key != sizeof(full.key.bytes))
                return KEY_E_MALFORMED;

        full.address = key_hash(&full.key).address;
        if (full.address.pid != pid)
                return KEY_E_MISMATCH;
        if (pid_is_reserved(pid))
                return KEY_E_MALFORMED;
        *ret = full;
        return 0;
}

int key_text_parse(const char *text, KeyText *ret) {
        const char *colon = strchr(text, ':');
        Address address;
        Pid pid;

        if (colon)
                return full_parse(text, colon, ret);
        if (address_parse(text, &address) != 0)
                return KEY_E_MALFORMED;
        *ret = (KeyText){
                .form = pid_parse(text, &pid) == 0 ? KEY_FORM_SHORT : KEY_FORM_TAGGED,
                .address = address,
        };
        return 0;
}

int key_verify(const PublicKey *key, const char *label, const Slice *parts, size_t n_parts,
               const uint8_t signature[static KEY_SIGNATURE_SIZE]) {
        uint8_t bytes[KEY_SIGNED_MAX];
        BufWriter w = buf_writer(bytes, sizeof(bytes));

        crypto_label(label, buf_put(&w, CRYPTO_LABEL_SIZE));
        for (size_t i = 0; i < n_parts; i++)
                buf_put_bytes(&w, parts[i].data, parts[i].size);
        if (w.failed || crypto_verify(key->bytes, bytes, w.at, signature) != 0)
                return KEY_E_SIGNATURE;
        return 0;
}
