/* SPDX-License-Identifier: Apache-2.0 */

#include "libsecure/identity.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>

#include "libcore/buf.h"
#include "libcore/err.h"
#include "libsecure/secret.h"

#define FILE_PREFIX "P2PBUS-SECRET-1:"
#define FILE_PREFIX_SIZE (sizeof(FILE_PREFIX) - 1)
#define FILE_CHECKSUM_SIZE 4
#define FILE_BINARY_SIZE (IDENTITY_SEED_SIZE + FILE_CHECKSUM_SIZE)
#define FILE_BASE64_SIZE 48 /* of 36 bytes, nothing left over */
#define FILE_LINE_SIZE (FILE_PREFIX_SIZE + FILE_BASE64_SIZE + 1)

struct IdentityKey {
        PublicKey public;
        KeyHash hash;
        uint8_t *secret; /* libsodium's form: seed and public key */
};

struct EncryptionKey {
        uint8_t public[CRYPTO_DH_SIZE];
        uint8_t *secret;
};

static_assert(IDENTITY_SEED_SIZE == crypto_sign_SEEDBYTES, "Ed25519 seed");
static_assert(KEY_SIZE == crypto_sign_PUBLICKEYBYTES, "Ed25519 key");

int identity_new_from_seed(IdentityKey **ret, const uint8_t seed[static IDENTITY_SEED_SIZE]) {
        _cleanup_(identity_freep) IdentityKey *identity = NULL;
        int r;

        r = crypto_init();
        if (r < 0)
                return err_trace(r);
        identity = calloc(1, sizeof(*identity));
        if (!identity)
                return err_origin(-ENOMEM);
        identity->secret = secret_alloc(crypto_sign_SECRETKEYBYTES);
        if (!identity->secret)
                return err_origin(-ENOMEM);

        (void)crypto_sign_seed_keypair(identity->public.bytes, identity->secret, seed);
        identity->hash = key_hash(&identity->public);
        if (pid_is_reserved(identity->hash.address.pid))
                return IDENTITY_E_RESERVED;
        *ret = TAKE_PTR(identity);
        return 0;
}

int identity_new_random(IdentityKey **ret) {
        uint8_t seed[IDENTITY_SEED_SIZE];
        int r;

        r = crypto_init();
        if (r < 0)
                return err_trace(r);
        do {
                crypto_random(seed, sizeof(seed));
                r = identity_new_from_seed(ret, seed);
        } while (r == IDENTITY_E_RESERVED);
        crypto_wipe(seed, sizeof(seed));
        return err_trace(r);
}

IdentityKey *identity_free(IdentityKey *identity) {
        if (!identity)
                return NULL;
        secret_free(identity->secret);
        free(identity);
        return NULL;
}

const PublicKey *identity_public(const IdentityKey *identity) {
        return &identity->public;
}

const KeyHash *identity_hash(const IdentityKey *identity) {
        return &identity->hash;
}

int identity_sign(const IdentityKey *identity, const char *label, const Slice *parts,
                  size_t n_parts, uint8_t ret[static KEY_SIGNATURE_SIZE]) {
        uint8_t bytes[KEY_SIGNED_MAX];
        BufWriter w = buf_writer(bytes, sizeof(bytes));

        crypto_label(label, buf_put(&w, CRYPTO_LABEL_SIZE));
        for (size_t i = 0; i < n_parts; i++)
                buf_put_bytes(&w, parts[i].data, parts[i].size);
        assert(!w.failed);

        if (!secret_is_alive(identity->secret))
                return IDENTITY_E_FORKED;
        (void)crypto_sign_detached(ret, NULL, bytes, w.at, identity->secret);
        return 0;
}

/* 4 bytes that tell a damaged key file from a whole one. */
static void seed_checksum(const uint8_t *seed, uint8_t ret[static FILE_CHECKSUM_SIZE]) {
        uint8_t label[CRYPTO_LABEL_SIZE], hash[32];

        crypto_label("p2pbus-sk-1", label);
        crypto_blake2b(hash, sizeof(hash),
                       (Slice[]){ { label, sizeof(label) }, { seed, IDENTITY_SEED_SIZE } }, 2);
        memcpy(ret, hash, FILE_CHECKSUM_SIZE);
        crypto_wipe(hash, sizeof(hash));
}

/* Where systemd puts what LoadCredential= loads: readable for the unit alone, whatever its mode. */
static bool is_credential(const char *path) {
        const char *folder = getenv("CREDENTIALS_DIRECTORY");
        size_t n;

        if (!folder || folder[0] != '/')
                return false;
        n = strlen(folder);
        while (n > 1 && folder[n - 1] == '/')
                n--;
        return strncmp(path, folder, n) == 0 && path[n] == '/' && !strstr(path + n, "/../");
}

/* Opens @path if it is a file that only its owner can read. */
static int key_file_open(const char *path, int *ret_fd) {
        _cleanup_(fd_closep) int fd = -EBADF;
        struct stat st;

        /* O_NONBLOCK: a FIFO must not make us wait for its writer. */
        fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return errno == ELOOP ? IDENTITY_E_NOT_REGULAR : err_origin(-errno);
        if (fstat(fd, &st) < 0)
                return err_origin(-errno);
        if (!S_ISREG(st.st_mode))
                return IDENTITY_E_NOT_REGULAR;
        if (!is_credential(path)) {
                if (st.st_uid != geteuid() && st.st_uid != 0)
                        return IDENTITY_E_OWNER;
                if (st.st_mode & (S_IRWXG | S_IRWXO))
                        return IDENTITY_E_MODE;
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* Reads up to @size bytes, fewer only at the end of the file. */
static int read_all(int fd, char *data, size_t size, size_t *ret_n) {
        size_t n = 0;

        while (n < size) {
                ssize_t l = read(fd, data + n, size - n);

                if (l < 0 && errno == EINTR)
                        continue;
                if (l < 0)
                        return err_origin(-errno);
                if (l == 0)
                        break;
                n += (size_t)l;
        }
        *ret_n = n;
        return 0;
}

static int write_all(int fd, const char *data, size_t size) {
        while (size > 0) {
                ssize_t l = write(fd, data, size);

                if (l < 0 && errno == EINTR)
                        continue;
                if (l < 0)
                        return err_origin(-errno);
                data += l;
                size -= (size_t)l;
        }
        return 0;
}

/* The one line of a key file, with or without its newline. */
static int key_line_parse(const char *line, size_t n_line, uint8_t seed[static FILE_BINARY_SIZE]) {
        uint8_t checksum[FILE_CHECKSUM_SIZE];
        size_t n;

        if (n_line == FILE_LINE_SIZE && line[n_line - 1] == '\n')
                n_line--;
        if (n_line != FILE_LINE_SIZE - 1 || memcmp(line, FILE_PREFIX, FILE_PREFIX_SIZE) != 0)
                return IDENTITY_E_MALFORMED;
        if (sodium_base642bin(seed, FILE_BINARY_SIZE, line + FILE_PREFIX_SIZE, FILE_BASE64_SIZE,
                              NULL, &n, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
            n != FILE_BINARY_SIZE)
                return IDENTITY_E_MALFORMED;
        seed_checksum(seed, checksum);
        return crypto_equal(checksum, seed + IDENTITY_SEED_SIZE, sizeof(checksum))
                       ? 0
                       : IDENTITY_E_MALFORMED;
}

int identity_load(IdentityKey **ret, const char *path) {
        _cleanup_(fd_closep) int fd = -EBADF;
        uint8_t seed[FILE_BINARY_SIZE];
        char line[FILE_LINE_SIZE + 1]; /* one more, to see that there is no more */
        size_t n_line = 0;
        int r;

        r = crypto_init();
        if (r < 0)
                return err_trace(r);
        r = key_file_open(path, &fd);
        if (r != 0)
                return err_trace(r);

        r = read_all(fd, line, sizeof(line), &n_line);
        if (r == 0)
                r = key_line_parse(line, n_line, seed);
        if (r == 0)
                r = identity_new_from_seed(ret, seed);
        crypto_wipe(line, sizeof(line));
        crypto_wipe(seed, sizeof(seed));
        return err_trace(r);
}

/* The folder of @path in a new string, "." if it names none. */
static char *folder_of(const char *path) {
        const char *slash = strrchr(path, '/');

        if (!slash)
                return strdup(".");
        if (slash == path)
                return strdup("/");
        return strndup(path, (size_t)(slash - path));
}

static int folder_sync(const char *folder) {
        _cleanup_(fd_closep) int fd = -EBADF;

        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fsync(fd) < 0)
                return err_origin(-errno);
        return 0;
}

/* Makes @temporary with @line in it. */
static int key_file_write(const char *temporary, const char *line, size_t n_line) {
        _cleanup_(fd_closep) int fd = -EBADF;
        int r;

        fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return err_origin(-errno);
        if (fchmod(fd, 0600) < 0) /* a umask may have taken the owner's rights too */
                return err_origin(-errno);
        r = write_all(fd, line, n_line);
        if (r < 0)
                return err_trace(r);
        return fsync(fd) < 0 ? err_origin(-errno) : 0;
}

int identity_create_file(const IdentityKey *identity, const char *path, bool make_folder) {
        _cleanup_(freep) char *folder = NULL, *temporary = NULL;
        uint8_t binary[FILE_BINARY_SIZE];
        size_t n_temporary = strlen(path) + 18; /* ".", 16 digits, NUL */
        char line[FILE_LINE_SIZE + 1];
        int r;

        if (!secret_is_alive(identity->secret))
                return IDENTITY_E_FORKED;
        folder = folder_of(path);
        temporary = malloc(n_temporary);
        if (!folder || !temporary)
                return err_origin(-ENOMEM);
        (void)snprintf(temporary, n_temporary, "%s.%016" PRIx64, path, crypto_random_u64());
        if (make_folder && mkdir(folder, 0700) < 0 && errno != EEXIST)
                return err_origin(-errno);

        memcpy(binary, identity->secret, IDENTITY_SEED_SIZE);
        seed_checksum(binary, binary + IDENTITY_SEED_SIZE);
        memcpy(line, FILE_PREFIX, FILE_PREFIX_SIZE);
        (void)sodium_bin2base64(line + FILE_PREFIX_SIZE, FILE_BASE64_SIZE + 1, binary,
                                sizeof(binary), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        line[FILE_LINE_SIZE - 1] = '\n';

        /* The name appears with its whole contents or not at all, and never replaces another. */
        r = key_file_write(temporary, line, FILE_LINE_SIZE);
        if (r == 0 && link(temporary, path) < 0)
                r = err_origin(-errno);
        (void)unlink(temporary); /* not there if it could not be made */
        if (r == 0)
                r = folder_sync(folder);

        crypto_wipe(binary, sizeof(binary));
        crypto_wipe(line, sizeof(line));
        return err_trace(r);
}

int encryption_key_new_from_secret(EncryptionKey **ret,
                                   const uint8_t secret[static CRYPTO_DH_SIZE]) {
        _cleanup_(encryption_key_freep) EncryptionKey *key = NULL;

        key = calloc(1, sizeof(*key));
        if (!key)
                return err_origin(-ENOMEM);
        key->secret = secret_alloc(CRYPTO_DH_SIZE);
        if (!key->secret)
                return err_origin(-ENOMEM);
        memcpy(key->secret, secret, CRYPTO_DH_SIZE);
        crypto_dh_public(key->public, key->secret);
        *ret = TAKE_PTR(key);
        return 0;
}

int encryption_key_new_random(EncryptionKey **ret) {
        uint8_t secret[CRYPTO_DH_SIZE];
        int r;

        r = crypto_init();
        if (r < 0)
                return err_trace(r);
        crypto_random(secret, sizeof(secret));
        r = encryption_key_new_from_secret(ret, secret);
        crypto_wipe(secret, sizeof(secret));
        return err_trace(r);
}

EncryptionKey *encryption_key_free(EncryptionKey *key) {
        if (!key)
                return NULL;
        secret_free(key->secret);
        free(key);
        return NULL;
}

const uint8_t *encryption_key_public(const EncryptionKey *key) {
        return key->public;
}

int encryption_key_dh(const EncryptionKey *key, const uint8_t public[static CRYPTO_DH_SIZE],
                      uint8_t ret[static CRYPTO_DH_SIZE]) {
        if (!secret_is_alive(key->secret))
                return IDENTITY_E_FORKED;
        return crypto_dh(ret, key->secret, public) == 0 ? 0 : IDENTITY_E_MALFORMED;
}
