/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/known-peers.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libclient/p2pbus.h"
#include "libsecure/crypto.h"
#include "libsecure/identity.h"
#include "tests/main.h"

static char folder[] = "/tmp/p2pbus-known.XXXXXX", path[128];

static void start(void) {
        strcpy(folder + strlen(folder) - 6, "XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(folder));
        (void)snprintf(path, sizeof(path), "%s/state/p2pbus/peers", folder);
        ck_assert_int_eq(crypto_init(), 0);
}

static void stop(void) {
        char command[128];

        (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
        ck_assert_int_eq(system(command), 0);
}

static PublicKey fresh(void) {
        IdentityKey *identity;
        PublicKey key;

        ck_assert_int_eq(identity_new_random(&identity), 0);
        key = *identity_public(identity);
        identity_free(identity);
        return key;
}

static Pid pid_of(const PublicKey *key) {
        return key_hash(key).address.pid;
}

static KnownPeers *open_known(const char *file) {
        KnownPeers *known;

        ck_assert_int_eq(known_peers_new(&known, file), 0);
        return known;
}

static void expect(const KnownPeers *known, const PublicKey *key, bool is_known) {
        const PublicKey *found = known_peers_find(known, pid_of(key));

        ck_assert(!!found == is_known);
        ck_assert(!found || key_equal(found, key));
}

static char *content(void) {
        static char text[65536];
        FILE *f = fopen(path, "re");
        size_t n;

        ck_assert_ptr_nonnull(f);
        n = fread(text, 1, sizeof(text) - 1, f);
        text[n] = '\0';
        (void)fclose(f);
        return text;
}

static void write_content(const char *text) {
        FILE *f;

        ck_assert_int_eq(mkdir(folder, 0700) < 0 && errno != EEXIST, 0);
        (void)snprintf(path, sizeof(path), "%s/peers", folder);
        f = fopen(path, "we");
        ck_assert_ptr_nonnull(f);
        ck_assert_int_ge(fputs(text, f), 0);
        ck_assert_int_eq(fclose(f), 0);
}

START_TEST(who_was_met_is_known_to_the_next_handle) {
        KnownPeers *known = open_known(path);
        PublicKey a = fresh(), b = fresh(), once = fresh();
        struct stat st;

        expect(known, &a, false);
        known_peers_add(known, &a, false);
        known_peers_add(known, &b, false);
        known_peers_add(known, &a, false);
        known_peers_add(known, &once, true);
        expect(known, &a, true);
        expect(known, &once, true);
        known_peers_free(known);

        known = open_known(path);
        expect(known, &a, true);
        expect(known, &b, true);
        expect(known, &once, false);
        known_peers_free(known);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0600);
        ck_assert_uint_eq((size_t)st.st_size, 2 * (size_t)KEY_TEXT_SIZE); /* a line each */
}
END_TEST

START_TEST(without_a_file_it_is_known_for_a_while) {
        KnownPeers *known = open_known(NULL);
        PublicKey a = fresh();

        known_peers_add(known, &a, false);
        expect(known, &a, true);
        known_peers_free(known);
}
END_TEST

START_TEST(a_place_where_nothing_can_be_written_stops_nobody) {
        KnownPeers *known;
        PublicKey a = fresh();

        (void)snprintf(path, sizeof(path), "/proc/no/such/peers");
        known = open_known(path);
        known_peers_add(known, &a, false);
        expect(known, &a, true);
        known_peers_free(known);
}
END_TEST

START_TEST(comments_and_blank_lines_are_left_alone) {
        PublicKey a = fresh(), b = fresh();
        char text[1024], left[1024], full_a[KEY_TEXT_SIZE], full_b[KEY_TEXT_SIZE];
        KnownPeers *known;

        (void)snprintf(text, sizeof(text), "# ours\n\n  %s  \n%s", key_format(&a, full_a),
                       key_format(&b, full_b));
        write_content(text);
        known = open_known(path);
        expect(known, &a, true);
        expect(known, &b, true);
        known_peers_free(known);

        full_a[PID_TEXT_SIZE - 1] = '\0';
        ck_assert_int_eq(p2pbus_forget_peer(path, full_a), 0);
        (void)snprintf(left, sizeof(left), "# ours\n\n%s", full_b);
        ck_assert_str_eq(content(), left);
        ck_assert_int_eq(p2pbus_forget_peer(path, full_a), -ENOENT);
        ck_assert_str_eq(content(), left);
        ck_assert_int_eq(p2pbus_forget_peer(path, full_b), 0); /* any form */
        ck_assert_str_eq(content(), "# ours\n\n");
        ck_assert_int_eq(p2pbus_forget_peer(path, "demo.name"), -EINVAL);
        ck_assert_int_eq(p2pbus_forget_peer("/proc/no/such/peers", full_b), -ENOENT);
}
END_TEST

START_TEST(a_last_line_without_its_end_is_left_whole) {
        PublicKey first = fresh(), second = fresh();
        char full[KEY_TEXT_SIZE];
        KnownPeers *known;

        write_content(key_format(&first, full));
        known = open_known(path);
        known_peers_add(known, &second, false);
        known_peers_free(known);
        known = open_known(path);
        expect(known, &first, true);
        expect(known, &second, true);
        known_peers_free(known);
}
END_TEST

/* The disk takes a part of the line, and no more. */
START_TEST(half_a_line_is_taken_back) {
        const struct rlimit limit = { .rlim_cur = 100, .rlim_max = RLIM_INFINITY };
        PublicKey first = fresh(), second = fresh();
        char full[KEY_TEXT_SIZE], line[KEY_TEXT_SIZE + 1];
        KnownPeers *known;

        (void)snprintf(line, sizeof(line), "%s\n", key_format(&first, full));
        write_content(line);
        known = open_known(path);
        ck_assert_ptr_ne(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0); /* of this test's process */
        known_peers_add(known, &second, false);
        expect(known, &second, true);
        known_peers_free(known);
        ck_assert_str_eq(content(), line);
}
END_TEST

START_TEST(what_is_no_full_form_is_told_with_its_line) {
        static const char *const bad[] = {
                "e85004f63798e2c0", "e85004f63798e2c0-27e87175", "x",
                "e85004f63798e2c0:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        };
        char text[256];
        KnownPeers *known;

        (void)snprintf(text, sizeof(text), "# first\n%s\n", bad[_i]);
        write_content(text);
        ck_assert_int_eq(known_peers_new(&known, path), -EINVAL);
        ck_assert_int_eq(p2pbus_get_reason(), P2PBUS_REASON_KNOWN_PEERS);
        ck_assert_ptr_nonnull(strstr(p2pbus_get_explanation(), "/peers:2: "));
}
END_TEST

START_TEST(the_default_follows_the_environment) {
        char file[64];

        ck_assert_int_eq(setenv("XDG_STATE_HOME", "/s", 1), 0);
        ck_assert_int_eq(p2pbus_default_known_peers(file, sizeof(file)), 0);
        ck_assert_str_eq(file, "/s/p2pbus/peers");
        ck_assert_int_eq(p2pbus_default_known_peers(file, 8), -ENAMETOOLONG);
        ck_assert_int_eq(setenv("XDG_STATE_HOME", "relative", 1), 0); /* as if it were not set */
        ck_assert_int_eq(setenv("HOME", "/h", 1), 0);
        ck_assert_int_eq(p2pbus_default_known_peers(file, sizeof(file)), 0);
        ck_assert_str_eq(file, "/h/.local/state/p2pbus/peers");
        ck_assert_int_eq(unsetenv("HOME"), 0);
        ck_assert_int_eq(p2pbus_default_known_peers(file, sizeof(file)), -ENOENT);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("known peers");
        TCase *keys = tcase_create("keys");

        tcase_add_test(keys, who_was_met_is_known_to_the_next_handle);
        tcase_add_test(keys, without_a_file_it_is_known_for_a_while);
        tcase_add_test(keys, a_place_where_nothing_can_be_written_stops_nobody);
        tcase_add_test(keys, comments_and_blank_lines_are_left_alone);
        tcase_add_test(keys, a_last_line_without_its_end_is_left_whole);
        tcase_add_test(keys, half_a_line_is_taken_back);
        tcase_add_loop_test(keys, what_is_no_full_form_is_told_with_its_line, 0, 4);
        tcase_add_test(keys, the_default_follows_the_environment);
        tcase_add_checked_fixture(keys, start, stop);
        suite_add_tcase(suite, keys);
        return suite;
}
