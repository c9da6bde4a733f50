/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The names of functions and variables below are those of the Noise specification, section 5,
 * so that the two can be read side by side.
 */

#include "libsecure/noise.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "libcore/buf.h"
#include "libcore/err.h"

#define TOKENS_MAX 4
#define MESSAGES_MAX 3

typedef enum Token {
        TOKEN_END,
        TOKEN_E,
        TOKEN_S,
        TOKEN_EE,
        TOKEN_ES,
        TOKEN_SE,
        TOKEN_SS,
} Token;

/* clang-format off */
static const struct {
        const char *name;
        bool knows_responder; /* pre-message "<- s" */
        unsigned n_messages;
        Token tokens[MESSAGES_MAX][TOKENS_MAX + 1];
} patterns[_NOISE_PATTERN_MAX] = {
        [NOISE_X] = { "Noise_X_25519_ChaChaPoly_BLAKE2b", true, 1, {
                { TOKEN_E, TOKEN_ES, TOKEN_S, TOKEN_SS },
        } },
        [NOISE_IK] = { "Noise_IK_25519_ChaChaPoly_BLAKE2b", true, 2, {
                { TOKEN_E, TOKEN_ES, TOKEN_S, TOKEN_SS },
                { TOKEN_E, TOKEN_EE, TOKEN_SE },
        } },
        [NOISE_XX] = { "Noise_XX_25519_ChaChaPoly_BLAKE2b", false, 3, {
                { TOKEN_E },
                { TOKEN_E, TOKEN_EE, TOKEN_S, TOKEN_ES },
                { TOKEN_S, TOKEN_SE },
        } },
};
/* clang-format on */

static void mix_hash(NoiseHandshake *hs, const void *data, size_t size) {
        crypto_blake2b(hs->h, sizeof(hs->h), (Slice[]){ { hs->h, sizeof(hs->h) }, { data, size } },
                       2);
}

static void mix_key(NoiseHandshake *hs, const uint8_t input[static CRYPTO_DH_SIZE]) {
        uint8_t temp[CRYPTO_HASH_SIZE];

        crypto_hkdf(hs->ck, (Slice){ input, CRYPTO_DH_SIZE }, hs->ck, temp, NULL);
        memcpy(hs->cipher.key, temp, sizeof(hs->cipher.key));
        hs->cipher.counter = 0;
        hs->cipher.has_key = true;
        crypto_wipe(temp, sizeof(temp));
}

static size_t tag_size(const NoiseHandshake *hs) {
        return hs->cipher.has_key ? CRYPTO_TAG_SIZE : 0;
}

/* Encrypts @n bytes in place; behind them is room for the tag. */
static int encrypt_and_hash(NoiseHandshake *hs, uint8_t *data, size_t n) {
        if (hs->cipher.has_key) {
                int c = noise_encrypt(&hs->cipher, (Slice){ hs->h, sizeof(hs->h) }, data, n, data);

                if (c != 0)
                        return c;
        }
        mix_hash(hs, data, n + tag_size(hs));
        return 0;
}

static int decrypt_and_hash(NoiseHandshake *hs, const uint8_t *sealed, size_t n_sealed,
                            uint8_t *out) {
        if (hs->cipher.has_key) {
                int c = noise_decrypt(&hs->cipher, (Slice){ hs->h, sizeof(hs->h) }, sealed,
                                      n_sealed, out);

                if (c != 0)
                        return c;
        } else if (n_sealed > 0)
                memcpy(out, sealed, n_sealed);
        mix_hash(hs, sealed, n_sealed);
        return 0;
}

/* DH with our static key. */
static int dh_static(const NoiseHandshake *hs, const uint8_t *public,
                     uint8_t ret[static CRYPTO_DH_SIZE]) {
        switch (encryption_key_dh(hs->s, public, ret)) {
        case 0:
                return 0;
        case IDENTITY_E_FORKED:
                return NOISE_E_FORKED;
        default:
                return NOISE_E_REFUSED;
        }
}

static int dh_ephemeral(const NoiseHandshake *hs, const uint8_t *public,
                        uint8_t ret[static CRYPTO_DH_SIZE]) {
        return crypto_dh(ret, hs->e_secret, public) == 0 ? 0 : NOISE_E_REFUSED;
}

static int dh_both_static(NoiseHandshake *hs, uint8_t ret[static CRYPTO_DH_SIZE]) {
        int c = 0;

        if (!hs->shared || !hs->shared->find(hs->shared, hs->rs, hs->ss))
                c = dh_static(hs, hs->rs, hs->ss);
        memcpy(ret, hs->ss, CRYPTO_DH_SIZE);
        return c;
}

/* The tokens that are the same for both directions. */
static int mix_dh(NoiseHandshake *hs, Token token) {
        uint8_t dh[CRYPTO_DH_SIZE] = { 0 };
        int c;

        switch (token) {
        case TOKEN_EE:
                c = dh_ephemeral(hs, hs->re, dh);
                break;
        case TOKEN_ES:
                c = hs->initiator ? dh_ephemeral(hs, hs->rs, dh) : dh_static(hs, hs->re, dh);
                break;
        case TOKEN_SE:
                c = hs->initiator ? dh_static(hs, hs->re, dh) : dh_ephemeral(hs, hs->rs, dh);
                break;
        case TOKEN_SS:
                c = dh_both_static(hs, dh);
                break;
        default:
                c = err_origin(-ENOTRECOVERABLE);
                break;
        }
        if (c == 0)
                mix_key(hs, dh);
        crypto_wipe(dh, sizeof(dh));
        return c;
}

void noise_init(NoiseHandshake *hs, const NoiseOptions *options) {
        size_t n_name = strlen(patterns[options->pattern].name);

        *hs = (NoiseHandshake){
                .pattern = options->pattern,
                .initiator = options->initiator,
                .s = options->s,
                .shared = options->shared,
        };
        assert(n_name <= sizeof(hs->h)); /* so it is padded, not hashed */
        memcpy(hs->h, patterns[options->pattern].name, n_name);
        memcpy(hs->ck, hs->h, sizeof(hs->ck));
        mix_hash(hs, options->prologue.data, options->prologue.size);

        if (patterns[options->pattern].knows_responder) {
                if (options->initiator) {
                        memcpy(hs->rs, options->rs, sizeof(hs->rs));
                        mix_hash(hs, hs->rs, sizeof(hs->rs));
                } else
                        mix_hash(hs, encryption_key_public(options->s), CRYPTO_DH_SIZE);
        }
}

void noise_done(NoiseHandshake *hs) {
        crypto_wipe(hs, sizeof(*hs));
        hs->dead = true;
}

size_t noise_overhead(const NoiseHandshake *hs) {
        bool has_key = hs->cipher.has_key;
        size_t n = 0;

        if (hs->dead || noise_is_complete(hs))
                return 0;
        for (const Token *t = patterns[hs->pattern].tokens[hs->n_done]; *t != TOKEN_END; t++)
                switch (*t) {
                case TOKEN_E:
                        n += CRYPTO_DH_SIZE;
                        break;
                case TOKEN_S:
                        n += CRYPTO_DH_SIZE + (has_key ? CRYPTO_TAG_SIZE : 0);
                        break;
                default:
                        has_key = true;
                        break;
                }
        return n + (has_key ? CRYPTO_TAG_SIZE : 0);
}

bool noise_is_complete(const NoiseHandshake *hs) {
        return !hs->dead && hs->n_done == patterns[hs->pattern].n_messages;
}

bool noise_is_my_turn(const NoiseHandshake *hs) {
        return !hs->dead && !noise_is_complete(hs) && (hs->n_done % 2 == 0) == hs->initiator;
}

static int write_token(NoiseHandshake *hs, Token token, BufWriter *w) {
        uint8_t *at;

        switch (token) {
        case TOKEN_E:
                crypto_random(hs->e_secret, sizeof(hs->e_secret));
                crypto_dh_public(hs->e, hs->e_secret);
                buf_put_bytes(w, hs->e, sizeof(hs->e));
                mix_hash(hs, hs->e, sizeof(hs->e));
                return 0;
        case TOKEN_S:
                at = buf_put(w, CRYPTO_DH_SIZE + tag_size(hs));
                memcpy(at, encryption_key_public(hs->s), CRYPTO_DH_SIZE);
                return encrypt_and_hash(hs, at, CRYPTO_DH_SIZE);
        default:
                return mix_dh(hs, token);
        }
}

/* Writes a message that is known to fit. */
static int write_message(NoiseHandshake *hs, const Slice *payload, size_t n_payload, BufWriter *w) {
        size_t n = 0;
        uint8_t *at;
        int c;

        for (const Token *t = patterns[hs->pattern].tokens[hs->n_done]; *t != TOKEN_END; t++) {
                c = write_token(hs, *t, w);
                if (c != 0)
                        return c;
        }
        at = w->data + w->at;
        for (size_t i = 0; i < n_payload; i++) {
                buf_put_bytes(w, payload[i].data, payload[i].size);
                n += payload[i].size;
        }
        (void)buf_put(w, tag_size(hs));
        return encrypt_and_hash(hs, at, n);
}

int noise_create(NoiseHandshake *hs, const Slice *payload, size_t n_payload, uint8_t *out,
                 size_t out_size, size_t *ret_n_out) {
        size_t n = noise_overhead(hs);
        BufWriter w = buf_writer(out, out_size);
        int c;

        for (size_t i = 0; i < n_payload; i++)
                n += MIN(payload[i].size, (size_t)NOISE_MESSAGE_MAX + 1); /* no overflow */
        if (!noise_is_my_turn(hs))
                c = err_origin(-EINVAL);
        else if (n > out_size || n > NOISE_MESSAGE_MAX)
                c = err_origin(-ENOBUFS);
        else
                c = write_message(hs, payload, n_payload, &w);
        if (c != 0) {
                noise_done(hs);
                return c;
        }
        hs->n_done++;
        *ret_n_out = w.at;
        return 0;
}

static int read_token(NoiseHandshake *hs, Token token, BufReader *r) {
        size_t n;

        switch (token) {
        case TOKEN_E:
                buf_get_bytes(r, hs->re, sizeof(hs->re));
                mix_hash(hs, hs->re, sizeof(hs->re));
                return 0;
        case TOKEN_S:
                n = CRYPTO_DH_SIZE + tag_size(hs);
                return decrypt_and_hash(hs, buf_get(r, n), n, hs->rs);
        default:
                return mix_dh(hs, token);
        }
}

/* Reads a message that is known to be long enough and whose payload is known to fit. */
static int read_message(NoiseHandshake *hs, BufReader *r, uint8_t *out) {
        size_t n_left;
        int c;

        for (const Token *t = patterns[hs->pattern].tokens[hs->n_done]; *t != TOKEN_END; t++) {
                c = read_token(hs, *t, r);
                if (c != 0)
                        return c;
        }
        n_left = buf_left(r);
        return decrypt_and_hash(hs, buf_get(r, n_left), n_left, out);
}

int noise_consume(NoiseHandshake *hs, Slice message, uint8_t *out, size_t out_size,
                  size_t *ret_n_out) {
        size_t overhead = noise_overhead(hs);
        BufReader r = buf_reader(message.data, message.size);
        int c;

        if (hs->dead || noise_is_complete(hs) || noise_is_my_turn(hs))
                c = err_origin(-EINVAL);
        else if (message.size < overhead || message.size > NOISE_MESSAGE_MAX)
                c = NOISE_E_REFUSED;
        else if (message.size - overhead > out_size)
                c = err_origin(-ENOBUFS);
        else
                c = read_message(hs, &r, out);
        if (c != 0) {
                noise_done(hs);
                return c;
        }
        hs->n_done++;
        *ret_n_out = message.size - overhead;
        return 0;
}

const uint8_t *noise_remote_static(const NoiseHandshake *hs) {
        return hs->rs;
}

const uint8_t *noise_static_shared(const NoiseHandshake *hs) {
        return hs->ss;
}

const uint8_t *noise_hash(const NoiseHandshake *hs) {
        return hs->h;
}

void noise_split(NoiseHandshake *hs, NoiseCipher *ret_send, NoiseCipher *ret_receive) {
        uint8_t k1[CRYPTO_HASH_SIZE], k2[CRYPTO_HASH_SIZE];

        assert(noise_is_complete(hs));
        crypto_hkdf(hs->ck, (Slice){ NULL, 0 }, k1, k2, NULL);
        *ret_send = (NoiseCipher){ .has_key = true };
        *ret_receive = (NoiseCipher){ .has_key = true };
        memcpy(ret_send->key, hs->initiator ? k1 : k2, sizeof(ret_send->key));
        memcpy(ret_receive->key, hs->initiator ? k2 : k1, sizeof(ret_receive->key));
        crypto_wipe(k1, sizeof(k1));
        crypto_wipe(k2, sizeof(k2));
        noise_done(hs);
}

/* 4 zero bytes, then the counter. */
static void nonce_make(uint8_t nonce[static CRYPTO_NONCE_SIZE], uint64_t counter) {
        memset(nonce, 0, CRYPTO_NONCE_SIZE - sizeof(counter));
        store_le64(nonce + CRYPTO_NONCE_SIZE - sizeof(counter), counter);
}

int noise_encrypt(NoiseCipher *cipher, Slice ad, const uint8_t *plain, size_t n_plain,
                  uint8_t *out) {
        uint8_t nonce[CRYPTO_NONCE_SIZE];

        if (cipher->counter == UINT64_MAX) /* reserved by the specification */
                return NOISE_E_REFUSED;
        nonce_make(nonce, cipher->counter);
        crypto_encrypt(out, cipher->key, nonce, ad, plain, n_plain);
        cipher->counter++;
        return 0;
}

int noise_decrypt(NoiseCipher *cipher, Slice ad, const uint8_t *sealed, size_t n_sealed,
                  uint8_t *out) {
        uint8_t nonce[CRYPTO_NONCE_SIZE];

        nonce_make(nonce, cipher->counter);
        if (cipher->counter == UINT64_MAX ||
            crypto_decrypt(out, cipher->key, nonce, ad, sealed, n_sealed) != 0)
                return NOISE_E_REFUSED;
        cipher->counter++;
        return 0;
}
