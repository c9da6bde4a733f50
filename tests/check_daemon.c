/* SPDX-License-Identifier: Apache-2.0 */

/* How p2pbusd starts, reloads and stops. */

#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "tests/bystanders.h"
#include "tests/main.h"

static uint64_t welcome_max_message(void) {
        uint8_t frame[ATTACH_FRAME];
        uint64_t max;
        Client c;

        client_connect(&c, &d, NULL);
        client_make_attach(&c, 0, frame);
        ck_assert(client_write(&c, frame, sizeof(frame)));
        max = load_le64(expect_word(&c, CONTROL_WELCOME)->body);
        client_close(&c);
        return max;
}

START_TEST(a_reload_takes_good_settings_and_keeps_the_old_ones_for_bad) {
        bystanders_start("[Bus]\nMaxMessage=1M\n");
        ck_assert_uint_eq(welcome_max_message(), 1 << 20);
        daemon_configure(&d, "[Bus]\nMaxMessage=2M\n");
        client_say(&x, &(Control){ .verb = CONTROL_RELOAD });
        expect_word(&x, CONTROL_OK);
        ck_assert_uint_eq(welcome_max_message(), 2 << 20);
        daemon_configure(&d, "[Bus]\nMaxMessage=3M\nMaxMassage=4M\n");
        client_say(&x, &(Control){ .verb = CONTROL_RELOAD });
        expect_word(&x, CONTROL_ERROR);
        ck_assert_uint_eq(welcome_max_message(), 2 << 20);
        ck_assert_uint_eq(daemon_said_times(&d, "p2pbusd.conf:3: unknown key MaxMassage= in "
                                                "section [Bus]; the old settings stay"),
                          1);

        /* The same by signal: the answer to the next question comes after it. */
        daemon_configure(&d, "[Bus]\nMaxMessage=5M\n");
        ck_assert_int_eq(kill(d.os_pid, SIGHUP), 0);
        while (welcome_max_message() != 5 << 20)
                ;
        bystanders_stop();
}
END_TEST

START_TEST(a_stop_says_goodbye_whoever_does_not_read) {
        uint8_t payload[16384] = { 0 };
        Client sleeper, fresh;

        bystanders_start(NULL);
        client_open(&sleeper, &d, 0);
        client_connect(&fresh, &d, NULL);
        for (unsigned i = 0; i < 100; i++)
                client_send(&x, sleeper.address, PACKET_RECORDS, payload, sizeof(payload));
        bystanders_are_well();
        daemon_end(&d);
        ck_assert_uint_eq(expect_word(&x, CONTROL_GOODBYE)->code, CODE_SHUTDOWN);
        expect_closed(&x);
        expect_word(&y, CONTROL_GOODBYE);
        expect_word(&fresh, CONTROL_GOODBYE);
        ck_assert_int_ne(access(d.socket, F_OK), 0);

        client_close(&x);
        client_close(&y);
        client_close(&fresh);
        client_close(&sleeper);
        daemon_restart(&d, "--user");
        daemon_stop(&d);
}
END_TEST

START_TEST(a_stale_socket_is_replaced_and_a_live_one_is_not) {
        char command[512];
        int status;

        bystanders_start(NULL);
        (void)snprintf(
                command, sizeof(command),
                "%s/p2pbusd --user --socket %s --state-dir %s/other 2>%s/second; [ $? = 1 ] && "
                "grep -q 'a bus is running there' %s/second",
                getenv("top_builddir"), d.socket, d.folder, d.folder, d.folder);
        ck_assert_int_eq(system(command), 0);
        bystanders_are_well();
        client_close(&x);
        client_close(&y);

        ck_assert_int_eq(kill(d.os_pid, SIGKILL), 0);
        ck_assert_int_eq(waitpid(d.os_pid, &status, 0), d.os_pid);
        ck_assert_int_eq(access(d.socket, F_OK), 0);
        daemon_restart(&d, "--user");
        daemon_stop(&d);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("daemon");
        TCase *life = tcase_create("life");

        tcase_add_test(life, a_reload_takes_good_settings_and_keeps_the_old_ones_for_bad);
        tcase_add_test(life, a_stop_says_goodbye_whoever_does_not_read);
        tcase_add_test(life, a_stale_socket_is_replaced_and_a_live_one_is_not);

        suite_add_tcase(suite, life);
        return suite;
}
