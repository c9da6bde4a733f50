/* SPDX-License-Identifier: Apache-2.0 */

/* What the bridge tells its links of this host, and the daemon of others. */

#include "bridge/wants.h"

#include <stdio.h>

#include "libsecure/key.h"
#include "tests/main.h"

typedef struct Told {
        int to; /* slot, or one of these */
        uint32_t value;
        uint16_t code;
        Pid pid;
        size_t n_body;
} Told;

enum {
        TO_DAEMON = -1,
        TO_LINKS = -2,
};

static Wants *wants;
static Told told[64];
static unsigned n_told;

static void note(int to, const Control *word) {
        ck_assert_uint_lt(n_told, ELEMENTSOF(told));
        told[n_told++] = (Told){ to, word->value, word->code, word->address.pid, word->n_body };
}
static void say_daemon(const Control *word, void *userdata) {
        (void)userdata;
        note(TO_DAEMON, word);
}
static void say_links(const Control *word, void *userdata) {
        (void)userdata;
        note(TO_LINKS, word);
}
static void say_link(unsigned slot, const Control *word, void *userdata) {
        (void)userdata;
        note((int)slot, word);
}

static const WantsHandlers handlers = { say_daemon, say_links, say_link };

static void setup(void) {
        n_told = 0;
        ck_assert_int_eq(wants_new(&wants, &handlers, NULL), 0);
}

static void teardown(void) {
        wants_free(wants);
}

/* A word about the process whose key is all @who; "": about all that it wants. */
static Control word_of(uint32_t value, uint16_t code, uint8_t who, const char *pattern) {
        static uint8_t body[CONTROL_KEY_SIZE + CONTROL_NAME_MAX];
        PublicKey key;

        memset(key.bytes, who, sizeof(key.bytes));
        memcpy(body, key.bytes, sizeof(key.bytes));
        memcpy(body + sizeof(key.bytes), pattern, strlen(pattern));
        return (Control){
                .verb = CONTROL_WANTED,
                .value = value,
                .code = code,
                .address = key_hash(&key).address,
                .body = body,
                .n_body = sizeof(key.bytes) + strlen(pattern),
        };
}

static bool daemon_says(uint32_t value, uint8_t who, const char *pattern) {
        Control word = word_of(value, CODE_OK, who, pattern);

        return wants_on_daemon(wants, &word);
}

static bool link_says(unsigned slot, uint32_t value, uint16_t code, uint8_t who,
                      const char *pattern) {
        Control word = word_of(value, code, who, pattern);

        return wants_on_link(wants, slot, &word);
}

static void mark(unsigned slot, uint32_t value) {
        Control word = { .verb = CONTROL_WANTED, .value = value };

        ck_assert(wants_on_link(wants, slot, &word));
}

/* The only thing that was said since the last look. */
static void heard(int to, uint32_t value, uint16_t code, size_t n_pattern) {
        ck_assert_uint_eq(n_told, 1);
        ck_assert_int_eq(told[0].to, to);
        ck_assert_uint_eq(told[0].value, value);
        ck_assert_uint_eq(told[0].code, code);
        ck_assert_uint_eq(told[0].n_body, CONTROL_KEY_SIZE + n_pattern);
        n_told = 0;
}

static void silent(void) {
        ck_assert_uint_eq(n_told, 0);
}

START_TEST(links_hear_what_is_wanted_here) {
        ck_assert(daemon_says(WANTED_BEGIN, 1, "a.b"));
        heard(TO_LINKS, WANTED_BEGIN, CODE_OK, 3);
        ck_assert(!daemon_says(WANTED_BEGIN, 1, "a.b"));
        silent();
        wants_present(wants, 4, word_of(WANTED_BEGIN, CODE_OK, 1, "").address);
        heard(4, WANTED_BEGIN, CODE_OK, 3);
        ck_assert(!daemon_says(WANTED_END, 1, "a.b"));
        heard(TO_LINKS, WANTED_END, CODE_OK, 3);
        wants_present(wants, 4, word_of(WANTED_BEGIN, CODE_OK, 1, "").address);
        silent();
}
END_TEST

START_TEST(who_left_wants_nothing) {
        Control word = word_of(WANTED_BEGIN, CODE_OK, 1, "a");

        daemon_says(WANTED_BEGIN, 1, "a");
        daemon_says(WANTED_BEGIN, 1, "b");
        daemon_says(WANTED_BEGIN, 2, "a");
        n_told = 0;
        wants_on_detached(wants, word.address);
        heard(TO_LINKS, WANTED_END, CODE_OK, 0);
        wants_present(wants, 0, word.address);
        silent();
        wants_present(wants, 0, word_of(WANTED_BEGIN, CODE_OK, 2, "").address);
        heard(0, WANTED_BEGIN, CODE_OK, 1);
        wants_on_detached(wants, word.address);
        silent();
}
END_TEST

START_TEST(what_a_new_daemon_does_not_repeat_is_over) {
        daemon_says(WANTED_BEGIN, 1, "a");
        daemon_says(WANTED_BEGIN, 1, "b");
        wants_unconfirm(wants);
        daemon_says(WANTED_BEGIN, 1, "b");
        n_told = 0;
        wants_purge(wants);
        heard(TO_LINKS, WANTED_END, CODE_OK, 1);
        wants_purge(wants);
        silent();
}
END_TEST

START_TEST(the_daemon_hears_once_what_many_links_say) {
        ck_assert(link_says(0, WANTED_BEGIN, CODE_OK, 1, "a"));
        heard(TO_DAEMON, WANTED_BEGIN, CODE_OK, 1);
        ck_assert(link_says(1, WANTED_BEGIN, CODE_OK, 1, "a"));
        silent();
        link_says(0, WANTED_END, CODE_OK, 1, "a");
        link_says(0, WANTED_END, CODE_OK, 1, "a");
        silent();
        link_says(1, WANTED_END, CODE_OK, 1, "a");
        heard(TO_DAEMON, WANTED_END, CODE_OK, 1);
        link_says(2, WANTED_END, CODE_OK, 1, "a"); /* which never began it */
        silent();
}
END_TEST

/* Each link says that it is over and begins anew before the next says anything. */
START_TEST(the_daemon_hears_that_it_began_anew) {
        link_says(0, WANTED_BEGIN, CODE_OK, 1, "a");
        link_says(1, WANTED_BEGIN, CODE_OK, 1, "a");
        n_told = 0;
        link_says(0, WANTED_END, CODE_OK, 1, "a");
        silent();
        link_says(0, WANTED_BEGIN, CODE_OK, 1, "a");
        ck_assert_uint_eq(n_told, 2);
        ck_assert_uint_eq(told[0].value, WANTED_END);
        ck_assert_uint_eq(told[1].value, WANTED_BEGIN);
        n_told = 0;
        link_says(1, WANTED_END, CODE_OK, 1, "a"); /* the same, heard there */
        link_says(1, WANTED_BEGIN, CODE_OK, 1, "a");
        silent();
        link_says(1, WANTED_END, CODE_OK, 1, "a"); /* and once more */
        link_says(1, WANTED_BEGIN, CODE_OK, 1, "a");
        ck_assert_uint_eq(n_told, 2);
        n_told = 0;
        link_says(0, WANTED_BEGIN, CODE_OK, 1, "a"); /* said again is not anew */
        link_says(1, WANTED_END, CODE_SETTLING, 1, "a");
        link_says(1, WANTED_BEGIN, CODE_OK, 1, "a"); /* nor is a link that was away */
        silent();
}
END_TEST

START_TEST(a_lost_link_only_leaves_doubt) {
        link_says(0, WANTED_BEGIN, CODE_OK, 1, "a");
        link_says(0, WANTED_BEGIN, CODE_OK, 2, "a");
        link_says(1, WANTED_BEGIN, CODE_OK, 2, "a");
        n_told = 0;
        wants_forget_link(wants, 0);
        heard(TO_DAEMON, WANTED_END, CODE_SETTLING, 1);
        link_says(1, WANTED_END, CODE_SETTLING, 2, "");
        heard(TO_DAEMON, WANTED_END, CODE_SETTLING, 1);
}
END_TEST

START_TEST(what_is_not_repeated_in_a_list_is_over) {
        link_says(0, WANTED_BEGIN, CODE_OK, 1, "a");
        link_says(0, WANTED_BEGIN, CODE_OK, 1, "b");
        link_says(1, WANTED_BEGIN, CODE_OK, 1, "c");
        n_told = 0;
        mark(0, WANTED_BEGIN);
        link_says(0, WANTED_BEGIN, CODE_OK, 1, "b");
        silent();
        mark(0, WANTED_END);
        heard(TO_DAEMON, WANTED_END, CODE_OK, 1);
        mark(0, WANTED_END);
        silent();
        wants_tell_daemon(wants);
        ck_assert_uint_eq(n_told, 2); /* b and c */
}
END_TEST

START_TEST(a_key_that_is_not_the_address_is_not_believed) {
        Control word = word_of(WANTED_BEGIN, CODE_OK, 1, "a");

        word.address.tag ^= 1;
        ck_assert(!wants_on_link(wants, 0, &word));
        ck_assert(!wants_on_daemon(wants, &word));
        word = word_of(WANTED_BEGIN, CODE_OK, 1, "p2pbus.name.>");
        ck_assert(!wants_on_link(wants, 0, &word));
        silent();
}
END_TEST

START_TEST(one_process_has_its_share) {
        char pattern[16];

        for (unsigned i = 0; i < WANTS_ONE_MAX; i++) {
                (void)snprintf(pattern, sizeof(pattern), "t%u", i);
                link_says(0, WANTED_BEGIN, CODE_OK, 1, pattern);
                n_told = 0;
        }
        link_says(0, WANTED_BEGIN, CODE_OK, 1, "more");
        silent();
        link_says(0, WANTED_BEGIN, CODE_OK, 2, "more");
        heard(TO_DAEMON, WANTED_BEGIN, CODE_OK, 4);
}
END_TEST

START_TEST(the_daemon_hears_once_that_there_is_no_room) {
        char pattern[16];

        daemon_says(WANTED_BEGIN, 1, "a");
        n_told = 0;
        ck_assert(link_says(0, WANTED_END, CODE_QUOTA, 1, "a"));
        heard(TO_DAEMON, WANTED_END, CODE_QUOTA, 1);
        ck_assert(link_says(1, WANTED_END, CODE_QUOTA, 1, "a"));
        ck_assert(link_says(1, WANTED_END, CODE_QUOTA, 1, "b")); /* which nobody here wants */
        silent();
        wants_present(wants, 2, word_of(WANTED_BEGIN, CODE_OK, 1, "").address);
        heard(2, WANTED_BEGIN, CODE_OK, 1); /* others may have room */

        for (unsigned i = 1; i < WANTS_ONE_MAX; i++) {
                (void)snprintf(pattern, sizeof(pattern), "t%u", i);
                daemon_says(WANTED_BEGIN, 1, pattern);
                n_told = 0;
        }
        ck_assert(!daemon_says(WANTED_BEGIN, 1, "more"));
        heard(TO_DAEMON, WANTED_END, CODE_QUOTA, 4);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("bridge_wants");
        TCase *tcase = tcase_create("wants");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, links_hear_what_is_wanted_here);
        tcase_add_test(tcase, who_left_wants_nothing);
        tcase_add_test(tcase, what_a_new_daemon_does_not_repeat_is_over);
        tcase_add_test(tcase, the_daemon_hears_once_what_many_links_say);
        tcase_add_test(tcase, the_daemon_hears_that_it_began_anew);
        tcase_add_test(tcase, a_lost_link_only_leaves_doubt);
        tcase_add_test(tcase, what_is_not_repeated_in_a_list_is_over);
        tcase_add_test(tcase, a_key_that_is_not_the_address_is_not_believed);
        tcase_add_test(tcase, one_process_has_its_share);
        tcase_add_test(tcase, the_daemon_hears_once_that_there_is_no_room);
        suite_add_tcase(suite, tcase);
        return suite;
}
