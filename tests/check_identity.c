/* SPDX-License-Identifier: Apache-2.0 */

#include "libsecure/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcore/util.h"
#include "libsecure/secret.h"
#include "tests/main.h"
#include "tests/vectors.h"

#define FULL "e85004f63798e2c0:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define PID_A UINT64_C(0xe85004f63798e2c0)
#define TAG_A UINT32_C(0x27e87175)

static const char *const names[] = { "A_process", "B_process", "BR_bridge", "RL_relay",
                                     "RM_realm" };
static char folder[64];

static void folder_make(void) {
        strcpy(folder, "/tmp/check_identity.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void folder_remove(void) {
        char command[128];

        (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
        ck_assert_int_eq(system(command), 0);
}

static const char *in_folder(const char *name) {
        static char path[128];

        (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
        return path;
}

/* Identity A of the vectors: RFC 8032, TEST 1. */
static IdentityKey *identity_a(void) {
        json_t *json = vectors_load("p2pbus-draft.json");
        IdentityKey *identity = NULL;
        uint8_t seed[32];

        vectors_exactly(json, "identities/A_process/seed", seed, sizeof(seed));
        ck_assert_int_eq(identity_new_from_seed(&identity, seed), 0);
        json_decref(json);
        return identity;
}

START_TEST(keys_hashes_and_text_are_those_of_the_vectors) {
        json_t *json = vectors_load("p2pbus-draft.json");
        json_t *v = json_object_get(json_object_get(json, "identities"), names[_i]);
        uint8_t seed[32], pk[32], hash[32], enc[32];
        char text[KEY_TEXT_SIZE], tagged[PID_TAGGED_SIZE];
        IdentityKey *identity = NULL;
        EncryptionKey *key = NULL;
        KeyText parsed;

        vectors_exactly(v, "seed", seed, sizeof(seed));
        vectors_exactly(v, "pk", pk, sizeof(pk));
        vectors_exactly(v, "keyhash", hash, sizeof(hash));
        ck_assert_int_eq(identity_new_from_seed(&identity, seed), 0);
        ck_assert_mem_eq(identity_public(identity)->bytes, pk, sizeof(pk));
        ck_assert_mem_eq(identity_hash(identity)->kid, hash, KEY_ID_SIZE);
        ck_assert_str_eq(key_format(identity_public(identity), text), vectors_text(v, "text/full"));
        ck_assert_str_eq(address_format(identity_hash(identity)->address, tagged),
                         vectors_text(v, "text/tagged"));
        ck_assert(key_is_usable(identity_public(identity)));

        ck_assert_int_eq(key_text_parse(text, &parsed), 0);
        ck_assert_int_eq(parsed.form, KEY_FORM_FULL);
        ck_assert(key_equal(&parsed.key, identity_public(identity)));
        ck_assert(address_equal(parsed.address, identity_hash(identity)->address));

        vectors_exactly(v, "enc_sk", enc, sizeof(enc));
        ck_assert_int_eq(encryption_key_new_from_secret(&key, enc), 0);
        vectors_exactly(v, "enc_pk", enc, sizeof(enc));
        ck_assert_mem_eq(encryption_key_public(key), enc, sizeof(enc));

        identity_free(identity);
        encryption_key_free(key);
        json_decref(json);
}
END_TEST

static const struct {
        const char *text;
        KeyForm form;
        Address address;
} good[] = {
        { "e85004f63798e2c0", KEY_FORM_SHORT, { PID_A, 0 } },
        { "E850-04F6-3798-E2C0", KEY_FORM_SHORT, { PID_A, 0 } },
        { "e85004f63798e2c0-27e87175", KEY_FORM_TAGGED, { PID_A, TAG_A } },
        { "e850-04f6-3798-e2c0-27E87175", KEY_FORM_TAGGED, { PID_A, TAG_A } },
        { "0000000000000001", KEY_FORM_SHORT, { PID_DAEMON, 0 } },
        { FULL, KEY_FORM_FULL, { PID_A, TAG_A } },
        { "E85004F63798E2C0:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
          KEY_FORM_FULL,
          { PID_A, TAG_A } },
        { "e850-04f6-3798-e2c0:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
          KEY_FORM_FULL,
          { PID_A, TAG_A } },
};

START_TEST(all_three_forms_are_read) {
        KeyText parsed;

        ck_assert_msg(key_text_parse(good[_i].text, &parsed) == 0, "refused: %s", good[_i].text);
        ck_assert_int_eq(parsed.form, good[_i].form);
        ck_assert(address_equal(parsed.address, good[_i].address));
        ck_assert_int_eq(key_is_zero(&parsed.key), good[_i].form != KEY_FORM_FULL);
}
END_TEST

static const struct {
        const char *what, *text;
        int condition;
} bad[] = {
        { "nothing", "", KEY_E_MALFORMED },
        { "a name", "org.example.db", KEY_E_MALFORMED },
        { "PID of another key", "f7b94377e4d42e93:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
          KEY_E_MISMATCH },
        { "one bit of the PID", "e85004f63798e2c1:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
          KEY_E_MISMATCH },
        { "one bit of the key", "e85004f63798e2c0:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURs",
          KEY_E_MISMATCH },
        { "tail not canonical", "e85004f63798e2c0:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURp",
          KEY_E_MALFORMED },
        { "42 characters", "e85004f63798e2c0:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUR",
          KEY_E_MALFORMED },
        { "44 characters", FULL "A", KEY_E_MALFORMED },
        { "padding", FULL "=", KEY_E_MALFORMED },
        { "the other alphabet", "e85004f63798e2c0:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo",
          KEY_E_MALFORMED },
        { "space before", " " FULL, KEY_E_MALFORMED },
        { "space behind", FULL " ", KEY_E_MALFORMED },
        { "newline behind", FULL "\n", KEY_E_MALFORMED },
        { "space inside", "e85004f63798e2c0: 1qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
          KEY_E_MALFORMED },
        { "no PID", ":11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", KEY_E_MALFORMED },
        { "tagged PID before a key",
          "e85004f63798e2c0-27e87175:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
          KEY_E_MALFORMED },
        { "no key", "e85004f63798e2c0:", KEY_E_MALFORMED },
        { "two colons", "e85004f63798e2c0:1:qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
          KEY_E_MALFORMED },
        { "a long PID",
          "e85004f63798e2c0e85004f63798e2c0e85004f63798e2c0:"
          "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
          KEY_E_MALFORMED },
};

START_TEST(everything_else_is_refused) {
        KeyText parsed = { .form = 77 };

        ck_assert_msg(key_text_parse(bad[_i].text, &parsed) == bad[_i].condition, "%s",
                      bad[_i].what);
        ck_assert_int_eq(parsed.form, 77);
}
END_TEST

START_TEST(an_embedded_nul_ends_the_text) {
        char text[] = FULL;
        KeyText parsed;

        for (size_t i = 0; i < sizeof(text) - 1; i++) {
                char saved = text[i];

                text[i] = '\0';
                if (i != 16)
                        ck_assert_int_eq(key_text_parse(text, &parsed), KEY_E_MALFORMED);
                text[i] = saved;
        }
}
END_TEST

START_TEST(random_keys_differ_and_are_usable) {
        IdentityKey *a = NULL, *b = NULL;

        ck_assert_int_eq(identity_new_random(&a), 0);
        ck_assert_int_eq(identity_new_random(&b), 0);
        ck_assert(!key_equal(identity_public(a), identity_public(b)));
        ck_assert(key_is_usable(identity_public(a)));
        ck_assert_ptr_null(identity_free(a));
        ck_assert_ptr_null(identity_free(b));
        ck_assert_ptr_null(identity_free(NULL));
        ck_assert_ptr_null(encryption_key_free(NULL));
}
END_TEST

START_TEST(signatures_hold_for_their_label_and_bytes_alone) {
        IdentityKey *a = identity_a(), *b = NULL;
        Slice parts[] = { { "one", 3 }, { "two", 3 } }, joined[] = { { "onetwo", 6 } };
        uint8_t sig[KEY_SIGNATURE_SIZE];

        ck_assert_int_eq(identity_new_random(&b), 0);
        ck_assert_int_eq(identity_sign(a, "p2pbus-test-1", parts, 2, sig), 0);
        ck_assert_int_eq(key_verify(identity_public(a), "p2pbus-test-1", parts, 2, sig), 0);
        ck_assert_int_eq(key_verify(identity_public(a), "p2pbus-test-1", joined, 1, sig), 0);
        ck_assert_int_eq(key_verify(identity_public(a), "p2pbus-test-2", parts, 2, sig),
                         KEY_E_SIGNATURE);
        ck_assert_int_eq(key_verify(identity_public(a), "p2pbus-test-1", parts, 1, sig),
                         KEY_E_SIGNATURE);
        ck_assert_int_eq(key_verify(identity_public(b), "p2pbus-test-1", parts, 2, sig),
                         KEY_E_SIGNATURE);
        for (unsigned i = 0; i < sizeof(sig) * 8; i++) {
                sig[i / 8] ^= (uint8_t)(1 << i % 8);
                ck_assert_int_eq(key_verify(identity_public(a), "p2pbus-test-1", parts, 2, sig),
                                 KEY_E_SIGNATURE);
                sig[i / 8] ^= (uint8_t)(1 << i % 8);
        }
        identity_free(a);
        identity_free(b);
}
END_TEST

START_TEST(more_than_one_signature_may_cover_is_refused) {
        static const uint8_t big[KEY_SIGNED_MAX];
        uint8_t sig[KEY_SIGNATURE_SIZE] = { 0 };
        IdentityKey *a = identity_a();
        Slice most = { big, sizeof(big) - CRYPTO_LABEL_SIZE }, more = { big, sizeof(big) };

        ck_assert_int_eq(identity_sign(a, "p2pbus-test-1", &most, 1, sig), 0);
        ck_assert_int_eq(key_verify(identity_public(a), "p2pbus-test-1", &most, 1, sig), 0);
        ck_assert_int_eq(key_verify(identity_public(a), "p2pbus-test-1", &more, 1, sig),
                         KEY_E_SIGNATURE);
        identity_free(a);
}
END_TEST

/* Runs @check in a child; returns its verdict. */
static bool holds_in_a_child(bool (*check)(const IdentityKey *, const EncryptionKey *),
                             const IdentityKey *identity, const EncryptionKey *key) {
        int status;
        pid_t os_pid = test_fork();

        if (os_pid == 0)
                _exit(check(identity, key) ? 0 : 1);
        ck_assert_int_eq(waitpid(os_pid, &status, 0), os_pid);
        return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool keys_are_gone(const IdentityKey *identity, const EncryptionKey *key) {
        uint8_t sig[KEY_SIGNATURE_SIZE], dh[32];
        IdentityKey *fresh = NULL;
        bool ok;

        ok = identity_sign(identity, "p2pbus-test-1", NULL, 0, sig) == IDENTITY_E_FORKED &&
             encryption_key_dh(key, encryption_key_public(key), dh) == IDENTITY_E_FORKED &&
             identity_create_file(identity, "/nonexistent/key", false) == IDENTITY_E_FORKED;
        /* a child can make keys of its own, and give back what it cannot read */
        ok = ok && identity_new_random(&fresh) == 0 &&
             identity_sign(fresh, "p2pbus-test-1", NULL, 0, sig) == 0;
        identity_free(fresh);
        identity_free((IdentityKey *)identity);
        encryption_key_free((EncryptionKey *)key);
        return ok;
}

START_TEST(a_forked_child_has_no_keys_and_the_parent_keeps_them) {
        uint8_t sig[KEY_SIGNATURE_SIZE];
        IdentityKey *identity = identity_a();
        EncryptionKey *key = NULL;

        ck_assert_int_eq(encryption_key_new_random(&key), 0);
        ck_assert(holds_in_a_child(keys_are_gone, identity, key));
        ck_assert_int_eq(identity_sign(identity, "p2pbus-test-1", NULL, 0, sig), 0);
        ck_assert_int_eq(key_verify(identity_public(identity), "p2pbus-test-1", NULL, 0, sig), 0);
        identity_free(identity);
        encryption_key_free(key);
}
END_TEST

START_TEST(secrets_are_zeroed_spaced_and_given_back) {
        static uint8_t *secrets[4096];
        static const uint8_t zero[128];

        ck_assert_ptr_null(secret_alloc(0));
        ck_assert_ptr_null(secret_alloc(SECRET_SIZE_MAX + 1));
        for (unsigned round = 0; round < 2; round++) {
                for (unsigned i = 0; i < ELEMENTSOF(secrets); i++) {
                        size_t size = 1 + i % sizeof(zero);

                        secrets[i] = secret_alloc(size);
                        ck_assert_ptr_nonnull(secrets[i]);
                        ck_assert_uint_eq((uintptr_t)secrets[i] % 64, 0);
                        ck_assert_mem_eq(secrets[i], zero, size);
                        memset(secrets[i], (int)(i % 251) + 1, size);
                }
                for (unsigned i = 0; i < ELEMENTSOF(secrets); i++) {
                        ck_assert_uint_eq(secrets[i][0], i % 251 + 1);
                        ck_assert_uint_eq(secrets[i][i % sizeof(zero)], i % 251 + 1);
                        ck_assert(secret_is_alive(secrets[i]));
                }
                for (unsigned i = 0; i < ELEMENTSOF(secrets); i++)
                        secret_free(secrets[(i * 7) % ELEMENTSOF(secrets)]);
        }
        secret_free(NULL);
}
END_TEST

START_TEST(secrets_lie_between_pages_that_cannot_be_read) {
        uint8_t *secret = secret_alloc(32);
        uintptr_t at = (uintptr_t)secret & ~(uintptr_t)0xffff;
        char line[512];
        unsigned n_guards = 0;
        bool dumped = true, wiped = false, inside = false;
        FILE *maps = fopen("/proc/self/smaps", "re");

        ck_assert_ptr_nonnull(maps);
        while (fgets(line, sizeof(line), maps)) {
                unsigned long start, end;
                char rights[8];

                if (sscanf(line, "%lx-%lx %7s", &start, &end, rights) == 3) {
                        inside = start <= (uintptr_t)secret && (uintptr_t)secret < end;
                        if ((end == start || (end <= (uintptr_t)secret && end + 0x10000 > at) ||
                             (start > (uintptr_t)secret && start <= (uintptr_t)secret + 0x10000)) &&
                            strcmp(rights, "---p") == 0)
                                n_guards++;
                }
                if (inside && strncmp(line, "VmFlags:", 8) == 0) {
                        dumped = !strstr(line, " dd");
                        wiped = strstr(line, " wf") != NULL;
                }
        }
        (void)fclose(maps);
        ck_assert_uint_eq(n_guards, 2);
        ck_assert(!dumped);
        ck_assert(wiped);
        secret_free(secret);
}
END_TEST

START_TEST(a_key_file_is_made_once_and_read_again) {
        IdentityKey *identity = identity_a(), *loaded = NULL, *other = NULL;
        char content[128] = { 0 };
        struct stat st;
        FILE *file;

        (void)umask(0);
        ck_assert_int_eq(identity_load(&loaded, in_folder("key")), -ENOENT);
        ck_assert_int_eq(identity_create_file(identity, in_folder("sub/key"), false), -ENOENT);
        ck_assert_int_eq(identity_create_file(identity, in_folder("sub/key"), true), 0);
        ck_assert_int_eq(stat(in_folder("sub"), &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0700);
        ck_assert_int_eq(stat(in_folder("sub/key"), &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
        ck_assert_uint_eq(st.st_nlink, 1);

        ck_assert_int_eq(identity_load(&loaded, in_folder("sub/key")), 0);
        ck_assert(key_equal(identity_public(loaded), identity_public(identity)));

        ck_assert_int_eq(identity_new_random(&other), 0);
        ck_assert_int_eq(identity_create_file(other, in_folder("sub/key"), true), -EEXIST);
        loaded = identity_free(loaded);
        ck_assert_int_eq(identity_load(&loaded, in_folder("sub/key")), 0);
        ck_assert(key_equal(identity_public(loaded), identity_public(identity)));

        file = fopen(in_folder("sub/key"), "re");
        ck_assert_ptr_nonnull(file);
        ck_assert_uint_eq(fread(content, 1, sizeof(content), file), 65);
        (void)fclose(file);
        ck_assert(strncmp(content, "P2PBUS-SECRET-1:nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
                          58) == 0);
        ck_assert_int_eq(rmdir(in_folder("sub")), -1); /* nothing else was left in it: */
        ck_assert_int_eq(unlink(in_folder("sub/key")), 0);
        ck_assert_int_eq(rmdir(in_folder("sub")), 0);
        identity_free(identity);
        identity_free(loaded);
        identity_free(other);
}
END_TEST

START_TEST(a_umask_takes_nothing_from_the_owner) {
        IdentityKey *identity = identity_a(), *loaded = NULL;

        (void)umask(0777);
        ck_assert_int_eq(identity_create_file(identity, in_folder("key"), true), 0);
        (void)umask(022);
        ck_assert_int_eq(identity_load(&loaded, in_folder("key")), 0);
        identity_free(identity);
        identity_free(loaded);
}
END_TEST

/* A true key file with this mode. */
static void key_file(const char *name, mode_t mode) {
        IdentityKey *identity = identity_a();

        ck_assert_int_eq(identity_create_file(identity, in_folder(name), false), 0);
        ck_assert_int_eq(chmod(in_folder(name), mode), 0);
        identity_free(identity);
}

static const mode_t open_modes[] = { 0640, 0604, 0610, 0602, 0620, 0644, 0666, 0601, 04640 };

START_TEST(a_key_that_others_may_touch_is_refused) {
        IdentityKey *loaded = NULL;

        key_file("key", open_modes[_i]);
        ck_assert_int_eq(identity_load(&loaded, in_folder("key")), IDENTITY_E_MODE);
        ck_assert_ptr_null(loaded);
        ck_assert_int_eq(chmod(in_folder("key"), 0400), 0);
        ck_assert_int_eq(identity_load(&loaded, in_folder("key")), 0);
        identity_free(loaded);
}
END_TEST

START_TEST(what_is_no_regular_file_is_refused) {
        IdentityKey *loaded = NULL;
        char target[128];

        key_file("key", 0600);
        strcpy(target, in_folder("key"));
        ck_assert_int_eq(symlink(target, in_folder("link")), 0);
        ck_assert_int_eq(mkfifo(in_folder("fifo"), 0600), 0);
        ck_assert_int_eq(mkdir(in_folder("folder"), 0700), 0);
        ck_assert_int_eq(identity_load(&loaded, in_folder("link")), IDENTITY_E_NOT_REGULAR);
        ck_assert_int_eq(identity_load(&loaded, in_folder("fifo")), IDENTITY_E_NOT_REGULAR);
        ck_assert_int_eq(identity_load(&loaded, in_folder("folder")), IDENTITY_E_NOT_REGULAR);
        ck_assert_int_eq(identity_load(&loaded, "/dev/null"), IDENTITY_E_NOT_REGULAR);
        ck_assert_int_eq(identity_load(&loaded, in_folder("none")), -ENOENT);
}
END_TEST

START_TEST(a_key_of_another_user_is_refused) {
        IdentityKey *loaded = NULL;

        if (geteuid() != 0) {
                printf("needs root to give a file away\n");
                return;
        }
        key_file("key", 0600);
        ck_assert_int_eq(chown(in_folder("key"), 1, 1), 0);
        ck_assert_int_eq(identity_load(&loaded, in_folder("key")), IDENTITY_E_OWNER);
        ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
        ck_assert_int_eq(identity_load(&loaded, in_folder("key")), 0);
        identity_free(loaded);
}
END_TEST

START_TEST(systemd_s_credentials_may_have_its_mode) {
        IdentityKey *loaded = NULL;
        char inside[128];

        ck_assert_int_eq(mkdir(in_folder("credentials"), 0700), 0);
        key_file("key", 0644);
        key_file("credentials/key", 0440);
        strcpy(inside, in_folder("credentials"));
        ck_assert_int_eq(identity_load(&loaded, in_folder("credentials/key")), IDENTITY_E_MODE);
        ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", inside, 1), 0);
        ck_assert_int_eq(identity_load(&loaded, in_folder("credentials/key")), 0);
        loaded = identity_free(loaded);
        ck_assert_int_eq(identity_load(&loaded, in_folder("key")), IDENTITY_E_MODE);
        ck_assert_int_eq(identity_load(&loaded, in_folder("credentials/../key")), IDENTITY_E_MODE);
        ck_assert_int_eq(identity_load(&loaded, in_folder("credentialskey")), -ENOENT);
        ck_assert_ptr_null(loaded);
}
END_TEST

#define LINE "P2PBUS-SECRET-1:nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"

static const struct {
        const char *what, *content;
} bad_files[] = {
        { "empty", "" },
        { "no checksum", LINE "\n" },
        { "another version", "P2PBUS-SECRET-2:nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2AAAAAA\n" },
        { "wrong checksum", LINE "AAAAA\n" },
        { "a full form", FULL "\n" },
        { "only a newline", "\n" },
        { "a space before", " " LINE "AAAA\n" },
};

START_TEST(a_file_that_is_no_key_file_is_refused) {
        IdentityKey *loaded = NULL;
        int fd = open(in_folder("key"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ssize_t n = (ssize_t)strlen(bad_files[_i].content);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, bad_files[_i].content, (size_t)n), n);
        (void)close(fd);
        ck_assert_msg(identity_load(&loaded, in_folder("key")) == IDENTITY_E_MALFORMED, "%s",
                      bad_files[_i].what);
        ck_assert_ptr_null(loaded);
}
END_TEST

START_TEST(every_changed_or_missing_character_of_a_key_file_is_seen) {
        IdentityKey *loaded = NULL;
        char content[128];
        ssize_t n;
        int fd;

        key_file("key", 0600);
        fd = open(in_folder("key"), O_RDWR | O_CLOEXEC);
        n = read(fd, content, sizeof(content));
        ck_assert_int_eq(n, 65);
        for (ssize_t i = 0; i < n; i++) {
                char other = content[i] == 'x' ? 'y' : 'x';

                ck_assert_int_eq(pwrite(fd, &other, 1, i), 1);
                ck_assert_int_eq(identity_load(&loaded, in_folder("key")), IDENTITY_E_MALFORMED);
                ck_assert_int_eq(pwrite(fd, &content[i], 1, i), 1);
        }
        ck_assert_int_eq(identity_load(&loaded, in_folder("key")), 0);
        loaded = identity_free(loaded);
        ck_assert_int_eq(pwrite(fd, "\n", 1, n), 1); /* a second line, though empty */
        ck_assert_int_eq(identity_load(&loaded, in_folder("key")), IDENTITY_E_MALFORMED);
        ck_assert_int_eq(ftruncate(fd, n - 1), 0); /* no newline at all is fine */
        ck_assert_int_eq(identity_load(&loaded, in_folder("key")), 0);
        loaded = identity_free(loaded);
        for (ssize_t size = n - 2; size >= 0; size--) {
                ck_assert_int_eq(ftruncate(fd, size), 0);
                ck_assert_int_eq(identity_load(&loaded, in_folder("key")), IDENTITY_E_MALFORMED);
        }
        (void)close(fd);
        ck_assert_ptr_null(loaded);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("identity");
        TCase *tcase = tcase_create("keys");

        tcase_add_loop_test(tcase, keys_hashes_and_text_are_those_of_the_vectors, 0,
                            ELEMENTSOF(names));
        tcase_add_loop_test(tcase, all_three_forms_are_read, 0, ELEMENTSOF(good));
        tcase_add_loop_test(tcase, everything_else_is_refused, 0, ELEMENTSOF(bad));
        tcase_add_test(tcase, an_embedded_nul_ends_the_text);
        tcase_add_test(tcase, random_keys_differ_and_are_usable);
        tcase_add_test(tcase, signatures_hold_for_their_label_and_bytes_alone);
        tcase_add_test(tcase, more_than_one_signature_may_cover_is_refused);
        tcase_add_test(tcase, a_forked_child_has_no_keys_and_the_parent_keeps_them);
        tcase_add_test(tcase, secrets_are_zeroed_spaced_and_given_back);
        tcase_add_test(tcase, secrets_lie_between_pages_that_cannot_be_read);
        suite_add_tcase(suite, tcase);

        tcase = tcase_create("files");
        tcase_add_checked_fixture(tcase, folder_make, folder_remove);
        tcase_add_test(tcase, a_key_file_is_made_once_and_read_again);
        tcase_add_test(tcase, a_umask_takes_nothing_from_the_owner);
        tcase_add_loop_test(tcase, a_key_that_others_may_touch_is_refused, 0,
                            ELEMENTSOF(open_modes));
        tcase_add_test(tcase, what_is_no_regular_file_is_refused);
        tcase_add_test(tcase, a_key_of_another_user_is_refused);
        tcase_add_test(tcase, systemd_s_credentials_may_have_its_mode);
        tcase_add_loop_test(tcase, a_file_that_is_no_key_file_is_refused, 0, ELEMENTSOF(bad_files));
        tcase_add_test(tcase, every_changed_or_missing_character_of_a_key_file_is_seen);
        suite_add_tcase(suite, tcase);
        return suite;
}
