/* SPDX-License-Identifier: Apache-2.0 */

/* A real p2pbusd asks raw clients of their conversations, and is lied to. */

#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "libcore/report.h"
#include "libsecure/crypto.h"
#include "tests/harness.h"
#include "tests/main.h"

#define PEER "e85004f63798e2c0"
#define QUEUED "\t3\t49152\t1200000\t262144\t196608\t0\t1000\t0\t64000\t1200\t-"
#define NUMBERS QUEUED "\t9\t3\t0\t1\t1\t1\t5\t5"
#define LINE PEER "\tring\tyes" NUMBERS "\n"
#define NOTHING "\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\n"

static Daemon d;
static Client a, b, asker;
static char text[1U << 20]; /* of the last answer */

static void start(void) {
        daemon_start(&d, "--user", NULL);
        client_open(&asker, &d, 0);
        client_open(&a, &d, 0);
        client_open(&b, &d, 0);
}

static void stop(void) {
        client_close(&asker);
        client_close(&a);
        client_close(&b);
        daemon_stop(&d);
}

static PacketId query(Client *from) {
        return client_say(from, &(Control){ .verb = CONTROL_QUERY, .value = QUERY_PEERS });
}

/* REPORT has come. Return: the question's id. */
static PacketId asked(Client *who) {
        (void)expect_word(who, CONTROL_REPORT);
        return who->last.header.id;
}

static void say(Client *from, PacketId question, uint32_t value, const char *said, size_t n) {
        client_say(from, &(Control){ .verb = CONTROL_REPORTED,
                                     .value = value,
                                     .ref = question,
                                     .body = (const uint8_t *)said,
                                     .n_body = n });
}

static void answers(Client *who, const char *said) {
        say(who, asked(who), 0, said, strlen(said));
}

static void does_not_know_the_word(Client *who) {
        PacketId id = asked(who);

        client_say(who, &(Control){ .verb = CONTROL_ERROR, .code = CODE_UNSUPPORTED, .ref = id });
}

static void read_answer(Client *who) {
        const Control *word;
        size_t n = 0;

        do {
                word = expect_word(who, CONTROL_ANSWER);
                ck_assert_uint_lt(n + word->n_body, sizeof(text));
                memcpy(text + n, word->body, word->n_body);
                n += word->n_body;
        } while (word->value == 1);
        text[n] = '\0';
}

/* Lines of the answer about @who that end in @tail. */
static unsigned n_lines(const Client *who, const char *tail) {
        const char *line = text;
        char pid[PID_TEXT_SIZE];
        unsigned n = 0;

        (void)pid_format(who->address.pid, pid);
        while (*line) {
                size_t size = (size_t)(strchr(line, '\n') - line) + 1, n_tail = strlen(tail);

                n += memcmp(line, pid, PID_TEXT_SIZE - 1) == 0 && size > n_tail &&
                     memcmp(line + size - n_tail, tail, n_tail) == 0;
                line += size;
        }
        return n;
}

static void expect_line(const Client *who, const char *tail) {
        ck_assert_msg(n_lines(who, tail) == 1 && n_lines(who, "") == 1, "not one %sin:\n%s", tail,
                      text);
}

/* --- the plain case --- */

START_TEST(each_says_what_it_knows) {
        query(&asker);
        answers(&asker, "");
        answers(&a, LINE LINE);
        answers(&b, LINE);
        read_answer(&asker);
        expect_line(&asker, "\tself" NOTHING);
        ck_assert_uint_eq(n_lines(&a, "\tself\t" LINE), 2);
        ck_assert_uint_eq(n_lines(&a, ""), 2);
        expect_line(&b, "\tself\t" LINE);
}
END_TEST

START_TEST(an_answer_may_come_in_several_packets) {
        PacketId id;

        query(&asker);
        answers(&asker, "");
        answers(&b, "");
        id = asked(&a);
        say(&a, id, 1, LINE, strlen(LINE));
        say(&a, id, 1, "", 0);
        say(&a, id, 0, LINE, strlen(LINE));
        read_answer(&asker);
        ck_assert_uint_eq(n_lines(&a, "\tself\t" LINE), 2);
}
END_TEST

START_TEST(who_does_not_answer_is_named) {
        query(&asker);
        answers(&asker, "");
        does_not_know_the_word(&a);
        (void)asked(&b);
        read_answer(&asker);
        expect_line(&asker, "\tself" NOTHING);
        expect_line(&a, "\tsilent" NOTHING);
        expect_line(&b, "\tsilent" NOTHING);
}
END_TEST

START_TEST(who_did_not_answer_is_not_asked_again) {
        PacketId id;

        query(&asker);
        answers(&asker, "");
        answers(&a, "");
        id = asked(&b);
        read_answer(&asker);
        query(&asker);
        answers(&asker, "");
        answers(&a, "");
        read_answer(&asker);
        expect_line(&b, "\tsilent" NOTHING);
        expect_silence(&b);
        /* Its answer is as good now as it was then, and then there is another question. */
        query(&asker);
        answers(&asker, "");
        answers(&a, "");
        say(&b, id, 0, LINE, strlen(LINE));
        read_answer(&asker);
        expect_line(&b, "\tself\t" LINE);
        query(&asker);
        answers(&asker, "");
        answers(&a, "");
        answers(&b, LINE);
        read_answer(&asker);
        expect_line(&b, "\tself\t" LINE);
}
END_TEST

START_TEST(two_who_ask_hear_the_same) {
        PacketId of_asker, of_a, of_b;

        query(&asker);
        of_asker = asked(&asker);
        of_a = asked(&a);
        of_b = asked(&b);
        query(&a);
        expect_silence(&a);
        say(&b, of_b, 0, LINE, strlen(LINE));
        say(&asker, of_asker, 0, "", 0);
        say(&a, of_a, 0, "", 0);
        read_answer(&asker);
        expect_line(&b, "\tself\t" LINE);
        read_answer(&a);
        expect_line(&b, "\tself\t" LINE);
        expect_silence(&b); /* was asked once */
}
END_TEST

START_TEST(one_process_asks_one_thing_at_a_time) {
        PacketId first = query(&asker), second = query(&asker);

        (void)asked(&asker);
        ck_assert_mem_eq(expect_error(&asker, CODE_RATE)->ref.bytes, second.bytes, PACKET_ID_SIZE);
        read_answer(&asker);
        ck_assert_mem_eq(asker.last.word.ref.bytes, first.bytes, PACKET_ID_SIZE);
}
END_TEST

/* --- those who leave --- */

START_TEST(who_leaves_is_not_waited_for) {
        query(&asker);
        answers(&asker, "");
        answers(&a, LINE);
        (void)asked(&b);
        client_close(&b);
        read_answer(&asker);
        expect_line(&a, "\tself\t" LINE);
        ck_assert_uint_eq(n_lines(&b, ""), 0);
        client_open(&b, &d, 0);
}
END_TEST

START_TEST(nobody_answers_one_who_has_left) {
        PacketId of_a;
        Client gone;

        client_open(&gone, &d, 0);
        query(&gone);
        of_a = asked(&a);
        (void)asked(&b);
        (void)asked(&gone);
        client_close(&gone);
        (void)asked(&asker);
        expect_silence(&asker);
        say(&a, of_a, 0, LINE, strlen(LINE));
        expect_silence(&a);
}
END_TEST

/* --- lies --- */

static const char *const garbled[] = {
        LINE PEER "\t\033[2J\tyes" NUMBERS "\n",
        LINE PEER "\tring\tyes\n",
        LINE PEER "\tring\tyes" NUMBERS,
        LINE "\n",
        "0000000000000001\tring\tyes" NUMBERS "\n",
        PEER "\tring\tyes\tmany\t49152\t1200000\t262144\t196608\t0\t1000\t0\t64000\t1200\t-\n",
        "\r\n",
};

START_TEST(nothing_is_kept_of_what_is_garbled) {
        query(&asker);
        answers(&asker, "");
        answers(&b, LINE);
        answers(&a, garbled[_i]);
        read_answer(&asker);
        expect_line(&a, "\tgarbled" NOTHING);
        expect_line(&b, "\tself\t" LINE);
}
END_TEST

START_TEST(fields_of_a_later_version_do_not_get_through) {
        query(&asker);
        answers(&asker, "");
        answers(&b, "");
        answers(&a, PEER "\tring\tyes" NUMBERS "\t\033[2J\n");
        read_answer(&asker);
        expect_line(&a, "\tself\t" LINE);
}
END_TEST

START_TEST(a_process_that_says_too_much_is_cut) {
        static char much[40000];
        size_t n = 0;
        PacketId id;

        while (n + strlen(LINE) < sizeof(much)) {
                memcpy(much + n, LINE, strlen(LINE));
                n += strlen(LINE);
        }
        query(&asker);
        answers(&asker, "");
        answers(&b, LINE);
        id = asked(&a);
        say(&a, id, 1, much, n);
        say(&a, id, 1, much, n);
        read_answer(&asker); /* without waiting for more */
        ck_assert_uint_eq(n_lines(&a, "\tcut\t" LINE), n / strlen(LINE));
        ck_assert_uint_eq(n_lines(&a, ""), n / strlen(LINE));
        expect_line(&b, "\tself\t" LINE);

        /* It goes on: nobody is in its way, and who asks now does not get half of it. */
        query(&asker);
        answers(&asker, "");
        answers(&b, LINE);
        read_answer(&asker);
        expect_line(&a, "\tcut" NOTHING);
        say(&a, id, 0, LINE, strlen(LINE));
        expect_silence(&a);
        query(&asker);
        answers(&asker, "");
        answers(&b, LINE);
        answers(&a, LINE);
        read_answer(&asker);
        expect_line(&a, "\tself\t" LINE);
}
END_TEST

START_TEST(what_was_not_asked_for_is_dropped) {
        PacketId id, other;

        crypto_random(other.bytes, sizeof(other.bytes));
        say(&a, other, 0, LINE, strlen(LINE)); /* nobody has asked */
        query(&asker);
        answers(&asker, "");
        answers(&b, "");
        id = asked(&a);
        say(&a, other, 0, LINE, strlen(LINE)); /* another question */
        say(&b, id, 0, LINE, strlen(LINE));    /* somebody else's */
        say(&a, id, 0, "", 0);
        say(&a, id, 0, LINE, strlen(LINE)); /* twice */
        read_answer(&asker);
        expect_line(&a, "\tself" NOTHING);
        expect_line(&b, "\tself" NOTHING);
        expect_silence(&a);
        expect_silence(&b);
        /* An error about nothing is still nobody's. */
        client_say(&a, &(Control){ .verb = CONTROL_ERROR, .code = CODE_UNSUPPORTED, .ref = id });
        expect_error(&a, CODE_UNSUPPORTED);
        client_say(&a, &(Control){ .verb = CONTROL_REPORT }); /* only the daemon asks so */
        expect_error(&a, CODE_UNSUPPORTED);
}
END_TEST

/* --- p2pbusctl audit --- */

static const struct {
        const char *said, *row;
        int status;
} audits[] = {
        { LINE, "\tself\t" PEER "\t9\t3\t0\t1\t1\t1\t3\t0\t5\t5\n", 0 },
        { PEER "\tring\tyes" QUEUED "\t11\t3\t0\t1\t1\t1\t5\t5\n", /* two are lost */
          "\tself\t" PEER "\t11\t3\t0\t1\t1\t1\t3\t2\t5\t5\n", 1 },
        { PEER "\tring\tyes" QUEUED "\t8\t3\t0\t1\t1\t1\t5\t5\n", /* one was told twice */
          "\tself\t" PEER "\t8\t3\t0\t1\t1\t1\t3\t1\t5\t5\n", 1 },
        { "0000000000000000\tnone\tno\t0\t0\t0\t-\t-\t-\t0\t0\t0\t0\t-\t7\t7\t0\t0\t0\t0\t2\t2\n",
          "\tself\tpast\t7\t7\t0\t0\t0\t0\t0\t0\t2\t2\n", 0 },
        { "nonsense\n", "\tgarbled\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\n", 1 },
};

START_TEST(an_audit_finds_what_is_missing) {
        const char *build = getenv("top_builddir");
        char command[256];
        size_t n;
        FILE *tool;
        int status;

        (void)snprintf(command, sizeof(command), "%s/p2pbusctl -S %s audit 2>&1", build ? build : ".",
                       d.socket);
        tool = popen(command, "r");
        ck_assert_ptr_nonnull(tool);
        answers(&asker, "");
        answers(&a, audits[_i].said);
        answers(&b, LINE);
        n = fread(text, 1, sizeof(text) - 1, tool);
        text[n] = '\0';
        status = pclose(tool);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == audits[_i].status,
                      "status %d:\n%s", status, text);
        expect_line(&a, audits[_i].row);
        ck_assert(!!strstr(text, "p2pbusctl: audit: ") == !!audits[_i].status);
}
END_TEST

/* --- users --- */

START_TEST(a_user_sees_its_own_and_root_sees_all) {
        Client root, user, same, other;

        if (geteuid() != 0) {
                printf("# SKIP conversations of other users: needs root\n");
                return;
        }
        daemon_start(&d, "--system", "[Limits]\nRequests=2\n");
        client_open(&root, &d, 0);
        client_open_as(&user, &d, 0, 12345);
        client_open_as(&same, &d, 0, 12345);
        client_open_as(&other, &d, 0, 12346);

        query(&user);
        answers(&user, "");
        answers(&same, LINE);
        read_answer(&user);
        expect_line(&same, "\tself\t" LINE);
        expect_line(&root, "\thidden" NOTHING);
        expect_line(&other, "\thidden" NOTHING);
        expect_silence(&root); /* were not even asked */
        expect_silence(&other);

        query(&root);
        answers(&root, "");
        answers(&user, "");
        answers(&same, LINE);
        answers(&other, LINE);
        read_answer(&root);
        expect_line(&same, "\tself\t" LINE);
        expect_line(&other, "\tself\t" LINE);

        /* Questions are charged, all or none, and given back. */
        client_open_as(&a, &d, 0, 12345);
        query(&user);
        expect_error(&user, CODE_QUOTA);
        expect_silence(&same);
        client_close(&a);
        expect_silence(&user);
        query(&user);
        answers(&user, "");
        answers(&same, LINE);
        read_answer(&user);
        expect_line(&same, "\tself\t" LINE);
        client_close(&root);
        client_close(&user);
        client_close(&same);
        client_close(&other);
        daemon_stop(&d);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("survey");
        TCase *plain = tcase_create("plain"), *leave = tcase_create("leave"),
              *lies = tcase_create("lies"), *audit = tcase_create("audit"),
              *users = tcase_create("users");

        tcase_add_test(plain, each_says_what_it_knows);
        tcase_add_test(plain, an_answer_may_come_in_several_packets);
        tcase_add_test(plain, who_does_not_answer_is_named);
        tcase_add_test(plain, who_did_not_answer_is_not_asked_again);
        tcase_add_test(plain, two_who_ask_hear_the_same);
        tcase_add_test(plain, one_process_asks_one_thing_at_a_time);

        tcase_add_test(leave, who_leaves_is_not_waited_for);
        tcase_add_test(leave, nobody_answers_one_who_has_left);

        tcase_add_loop_test(lies, nothing_is_kept_of_what_is_garbled, 0, ELEMENTSOF(garbled));
        tcase_add_test(lies, fields_of_a_later_version_do_not_get_through);
        tcase_add_test(lies, a_process_that_says_too_much_is_cut);
        tcase_add_test(lies, what_was_not_asked_for_is_dropped);

        tcase_add_loop_test(audit, an_audit_finds_what_is_missing, 0, ELEMENTSOF(audits));

        tcase_add_test(users, a_user_sees_its_own_and_root_sees_all);

        tcase_add_checked_fixture(plain, start, stop);
        tcase_add_checked_fixture(leave, start, stop);
        tcase_add_checked_fixture(lies, start, stop);
        tcase_add_checked_fixture(audit, start, stop);
        suite_add_tcase(suite, plain);
        suite_add_tcase(suite, leave);
        suite_add_tcase(suite, lies);
        suite_add_tcase(suite, audit);
        suite_add_tcase(suite, users);
        return suite;
}
