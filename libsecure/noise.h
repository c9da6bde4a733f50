/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Noise handshakes: X, IK and XX of Noise_*_25519_ChaChaPoly_BLAKE2b
 *
 * A pure state machine after the Noise specification, revision 34: which tokens a message carries
 * is a row of a table, everything else is common. The two sides call create and consume in turn;
 * after the last message noise_split() gives the two transport ciphers. Any failure wipes the
 * state, and from then on every call fails.
 *
 * X seals one message for a process (libsecure/seal.h), XX makes a link (libsecure/link.h).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libsecure/crypto.h"
#include "libsecure/identity.h"

#define NOISE_MESSAGE_MAX 65535

typedef enum NoisePattern {
        NOISE_X,
        NOISE_IK,
        NOISE_XX,
        _NOISE_PATTERN_MAX,
} NoisePattern;

typedef struct NoiseShared NoiseShared;

/*
 * Embedded by whoever remembers DH results of static keys, which saves one of a handshake's DHs.
 * @find writes the DH of the handshake's own static key and @rs to @ret, or returns false.
 */
struct NoiseShared {
        bool (*find)(NoiseShared *shared, const uint8_t rs[static CRYPTO_DH_SIZE],
                     uint8_t ret[static CRYPTO_DH_SIZE]);
};

/* One direction's key and counter; @counter is the next nonce. */
typedef struct NoiseCipher {
        uint8_t key[CRYPTO_KEY_SIZE];
        uint64_t counter;
        bool has_key;
} NoiseCipher;

/* Embedded by its user; only noise.c looks inside. Holds secrets: noise_done() in every path. */
typedef struct NoiseHandshake {
        NoisePattern pattern;
        bool initiator;
        bool dead;
        unsigned n_done; /* messages so far */
        const EncryptionKey *s;
        NoiseShared *shared;
        NoiseCipher cipher;
        uint8_t ck[CRYPTO_HASH_SIZE];
        uint8_t h[CRYPTO_HASH_SIZE];
        uint8_t e_secret[CRYPTO_DH_SIZE];
        uint8_t e[CRYPTO_DH_SIZE];
        uint8_t rs[CRYPTO_DH_SIZE];
        uint8_t re[CRYPTO_DH_SIZE];
        uint8_t ss[CRYPTO_DH_SIZE];
} NoiseHandshake;

typedef struct NoiseOptions {
        NoisePattern pattern;
        bool initiator;
        Slice prologue;
        const EncryptionKey *s; /* our static key, borrowed until noise_done(); always needed */
        const uint8_t *rs;      /* the other's, where the pattern knows it beforehand */
        NoiseShared *shared;    /* or NULL */
} NoiseOptions;

enum {
        _NOISE_E_SUCCESS,

        NOISE_E_REFUSED, /* the message is short, forged or holds a useless point */
        NOISE_E_FORKED,  /* our static key is gone */
};

void noise_init(NoiseHandshake *handshake, const NoiseOptions *options);
/* Wipes; may be called at any time and twice. */
void noise_done(NoiseHandshake *handshake);

/* Bytes that the next message has beyond its payload. */
size_t noise_overhead(const NoiseHandshake *handshake);
bool noise_is_my_turn(const NoiseHandshake *handshake);
bool noise_is_complete(const NoiseHandshake *handshake);

/*
 * Writes the next message; the parts of @payload, one after the other, must not overlap @out.
 * Return: 0, NOISE_E_REFUSED (the other's key is a useless point), NOISE_E_FORKED, -ENOBUFS (@out
 * or a Noise message is too small for it), -EINVAL (not our turn, or the state is dead). All but
 * 0 leave the state dead.
 */
int noise_create(NoiseHandshake *handshake, const Slice *payload, size_t n_payload, uint8_t *out,
                 size_t out_size, size_t *ret_n_out);
/*
 * Reads the next message; its payload is written to @out, which needs n_message - overhead bytes
 * and must not overlap it. Nothing of a payload is written before its tag was verified.
 * Return: 0, NOISE_E_REFUSED, NOISE_E_FORKED, -ENOBUFS, -EINVAL, as above.
 */
int noise_consume(NoiseHandshake *handshake, Slice message, uint8_t *out, size_t out_size,
                  size_t *ret_n_out);

/* The other's static key; valid once a message proved it. */
const uint8_t *noise_remote_static(const NoiseHandshake *handshake);
/* The DH of both static keys, for NoiseShared; valid in X and IK once a message used it. */
const uint8_t *noise_static_shared(const NoiseHandshake *handshake);
/* The 64 bytes that name this handshake; valid when it is complete. */
const uint8_t *noise_hash(const NoiseHandshake *handshake);
/* Derives the transport ciphers and wipes the handshake, which must be complete. */
void noise_split(NoiseHandshake *handshake, NoiseCipher *ret_send, NoiseCipher *ret_receive);

/*
 * Transport messages; @out may be @plain or @sealed respectively. The counter moves on success
 * only.
 * Return: 0, NOISE_E_REFUSED (forged, or too short; all counters used up).
 */
int noise_encrypt(NoiseCipher *cipher, Slice ad, const uint8_t *plain, size_t n_plain,
                  uint8_t *out);
int noise_decrypt(NoiseCipher *cipher, Slice ad, const uint8_t *sealed, size_t n_sealed,
                  uint8_t *out);
