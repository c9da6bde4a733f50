/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the kernel says of who connects, and above all its unit: of the process that has connected,
 * and of no other that has its number, or none.
 *
 * A unit is a control group of that name, which any process can be put into: systemd need not run.
 */

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-login.h>
#include <unistd.h>

#include "daemon/credentials.h"
#include "libcore/util.h"
#include "tests/main.h"

static char unit[64], unit_path[80]; /* of this process alone */
static int listener = -1;
static struct sockaddr_un address;
static socklen_t n_address;

static void start(void) {
        const struct sockaddr_un any = { .sun_family = AF_UNIX };

        (void)snprintf(unit, sizeof(unit), "p2pbus-check-%d.service", getpid());
        (void)snprintf(unit_path, sizeof(unit_path), "/%s", unit);
        /* The kernel finds a name that is free. */
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(bind(listener, (const struct sockaddr *)&any, sizeof(any.sun_family)), 0);
        ck_assert_int_eq(listen(listener, 8), 0);
        n_address = sizeof(address);
        ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &n_address), 0);
}

static void stop(void) {
        close(listener);
}

/* --- groups --- */

/* Of each hierarchy that there may be: libsystemd looks into one of them. */
typedef struct Group {
        char folders[3][1024];
        unsigned n;
} Group;

/* Where PID 1 is: units are below that. */
static void find_root(char root[static 256]) {
        FILE *in = fopen("/proc/1/cgroup", "re");
        char line[256], *end;

        *root = '\0';
        while (in && fgets(line, sizeof(line), in))
                if (strncmp(line, "0::", 3) == 0) {
                        line[strcspn(line, "\n")] = '\0';
                        (void)snprintf(root, 256, "%s", line + 3);
                }
        if (in)
                (void)fclose(in);
        end = strstr(root, "/init.scope");
        if (end)
                *end = '\0';
        if (strcmp(root, "/") == 0)
                *root = '\0';
}

/* @path: with "/" before each part. Return: false if there is none. */
static bool group_make(Group *group, const char *path) {
        static const char *const tops[] = { "/sys/fs/cgroup/unified", "/sys/fs/cgroup",
                                            "/sys/fs/cgroup/systemd" };
        char root[256], procs[PATH_MAX + 16];

        find_root(root);
        *group = (Group){ 0 };
        for (unsigned i = 0; i < ELEMENTSOF(tops); i++) {
                char *folder = group->folders[group->n];

                (void)snprintf(procs, sizeof(procs), "%s%s/cgroup.procs", tops[i], root);
                if (access(procs, W_OK) < 0)
                        continue;
                (void)snprintf(folder, sizeof(group->folders[0]), "%s%s%s", tops[i], root, path);
                for (char *p = folder + strlen(tops[i]) + strlen(root) + 1; *p != '\0'; p++)
                        if (*p == '/') {
                                *p = '\0';
                                (void)mkdir(folder, 0755); /* it may be there */
                                *p = '/';
                        }
                if (mkdir(folder, 0755) == 0 || errno == EEXIST)
                        group->n++;
        }
        return group->n > 0;
}

static void group_remove(const Group *group) {
        for (unsigned i = 0; i < group->n; i++) {
                char folder[PATH_MAX], *end;

                (void)snprintf(folder, sizeof(folder), "%s", group->folders[i]);
                /* Those above it as far as they are ours: others are not empty. */
                while (strstr(folder, "p2pbus-check") && rmdir(folder) == 0) {
                        end = strrchr(folder, '/');
                        *end = '\0';
                }
        }
}

/* In a child: nothing but system calls. */
static void group_join(const Group *group) {
        for (unsigned i = 0; i < group->n; i++) {
                char procs[PATH_MAX + 16];
                int fd;

                (void)snprintf(procs, sizeof(procs), "%s/cgroup.procs", group->folders[i]);
                fd = open(procs, O_WRONLY | O_CLOEXEC);
                if (fd < 0 || write(fd, "0", 1) != 1)
                        _exit(1);
                close(fd);
        }
}

/* Whether a process can be put into it, and finds its own unit there. */
static bool group_works(const Group *group) {
        pid_t child = fork();
        char *found = NULL;
        int status;

        ck_assert_int_ge(child, 0);
        if (child == 0) {
                group_join(group);
                _exit(sd_pid_get_unit(0, &found) < 0);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        return status == 0;
}

static const char *group_lacks(Group *group, const char *path) {
        if (geteuid() != 0)
                return "root";
        if (!credentials_have_units())
                return "Linux 6.5";
        if (!group_make(group, path))
                return "control groups that can be made";
        if (group_works(group))
                return NULL;
        group_remove(group);
        return "control groups in which libsystemd finds units";
}

/* Whether units can be looked at here at all; says so if not. */
static bool group_make_or_skip(Group *group, const char *path, const char *test) {
        const char *lacks = group_lacks(group, path);

        if (lacks)
                printf("# SKIP %s: needs %s\n", test, lacks);
        return !lacks;
}

/* --- who connects --- */

typedef struct Visitor {
        pid_t os_pid;
        int fd;   /* our end of its connection */
        int hold; /* it ends when this is closed */
} Visitor;

/* @group: or NULL. @os_pid: the number that it shall have, or 0. Return: false: it cannot have it. */
static bool visit(Visitor *visitor, const Group *group, pid_t os_pid) {
        struct clone_args args = {
                .exit_signal = SIGCHLD,
                .set_tid = os_pid != 0 ? (uintptr_t)&os_pid : 0,
                .set_tid_size = os_pid != 0,
        };
        int hold[2];
        char byte;

        ck_assert_int_eq(pipe2(hold, O_CLOEXEC), 0);
        visitor->os_pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
        if (visitor->os_pid == 0) {
                int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

                if (group)
                        group_join(group);
                close(hold[1]);
                if (connect(fd, (const struct sockaddr *)&address, n_address) < 0)
                        _exit(1);
                (void)!read(hold[0], &byte, 1);
                _exit(0);
        }
        close(hold[0]);
        visitor->hold = hold[1];
        if (visitor->os_pid < 0) {
                close(hold[1]);
                return false;
        }
        visitor->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        ck_assert_int_ge(visitor->fd, 0);
        return true;
}

/* It ends, and its number is free again; its connection is still ours. */
static void end(Visitor *visitor) {
        int status;

        close(visitor->hold);
        ck_assert_int_eq(waitpid(visitor->os_pid, &status, 0), visitor->os_pid);
        ck_assert_int_eq(status, 0);
}

static void expect_unit(const Visitor *visitor, CredentialsUnit kind, const char *expected) {
        Credentials credentials;

        ck_assert_int_eq(credentials_read_all(visitor->fd, kind, &credentials), 0);
        ck_assert_uint_eq(credentials.os_pid, (uint32_t)visitor->os_pid);
        if (expected)
                ck_assert_msg(credentials.unit && strcmp(credentials.unit, expected) == 0, "%s",
                              credentials.unit ? credentials.unit : "(none)");
        else
                ck_assert_msg(!credentials.unit, "%s", credentials.unit);
        credentials_done(&credentials);
}

START_TEST(a_unit_is_the_control_group_of_who_connects) {
        Visitor inside, outside;
        Group group;

        if (!group_make_or_skip(&group, unit_path, "a_unit_is_the_control_group_of_who_connects"))
                return;
        ck_assert(visit(&inside, &group, 0));
        ck_assert(visit(&outside, NULL, 0));
        expect_unit(&inside, CREDENTIALS_SYSTEM_UNIT, unit);
        expect_unit(&inside, CREDENTIALS_USER_UNIT, NULL);
        expect_unit(&inside, CREDENTIALS_NO_UNIT, NULL);
        expect_unit(&outside, CREDENTIALS_USER_UNIT, NULL);
        end(&outside); /* it has what holds the other one, too */
        end(&inside);
        close(inside.fd);
        close(outside.fd);
        group_remove(&group);
}
END_TEST

START_TEST(a_user_s_unit_is_below_the_user_s_manager) {
        char path[192];
        Visitor visitor;
        Group group;

        (void)snprintf(path, sizeof(path), "/p2pbus-check%d.slice/user@4711.service/app.slice/%s",
                       getpid(), unit);
        if (!group_make_or_skip(&group, path, "a_user_s_unit_is_below_the_user_s_manager"))
                return;
        ck_assert(visit(&visitor, &group, 0));
        expect_unit(&visitor, CREDENTIALS_USER_UNIT, unit);
        expect_unit(&visitor, CREDENTIALS_SYSTEM_UNIT, "user@4711.service");
        end(&visitor);
        close(visitor.fd);
        group_remove(&group);
}
END_TEST

START_TEST(it_can_be_read_later) {
        Credentials credentials;
        Visitor visitor;
        Group group;

        if (!group_make_or_skip(&group, unit_path, "it_can_be_read_later"))
                return;
        ck_assert(visit(&visitor, &group, 0));
        ck_assert_int_eq(credentials_read_all(visitor.fd, CREDENTIALS_NO_UNIT, &credentials), 0);
        ck_assert_ptr_null(credentials.unit);
        credentials_read_unit(visitor.fd, CREDENTIALS_SYSTEM_UNIT, &credentials);
        ck_assert_str_eq(credentials.unit, unit);
        end(&visitor);
        credentials_read_unit(visitor.fd, CREDENTIALS_SYSTEM_UNIT, &credentials);
        ck_assert_str_eq(credentials.unit, unit); /* it was read while it could be */
        credentials_done(&credentials);
        close(visitor.fd);
        group_remove(&group);
}
END_TEST

START_TEST(whoever_has_ended_has_no_unit) {
        Visitor visitor;
        Group group;

        if (!group_make_or_skip(&group, unit_path, "whoever_has_ended_has_no_unit"))
                return;
        ck_assert(visit(&visitor, &group, 0));
        end(&visitor);
        expect_unit(&visitor, CREDENTIALS_SYSTEM_UNIT, NULL);
        close(visitor.fd);
        group_remove(&group);
}
END_TEST

/* The connection may have been passed on before, and be used by who is left. */
START_TEST(whoever_gets_a_number_after_another_lends_it_no_unit) {
        Visitor gone, heir;
        Group group;

        if (!group_make_or_skip(&group, unit_path,
                                "whoever_gets_a_number_after_another_lends_it_no_unit"))
                return;
        ck_assert(visit(&gone, NULL, 0));
        end(&gone);
        if (visit(&heir, &group, gone.os_pid)) {
                ck_assert_int_eq(heir.os_pid, gone.os_pid);
                expect_unit(&heir, CREDENTIALS_SYSTEM_UNIT, unit);
                expect_unit(&gone, CREDENTIALS_SYSTEM_UNIT, NULL);
                end(&heir);
                close(heir.fd);
        } else {
                printf("# SKIP whoever_gets_a_number_after_another_lends_it_no_unit: needs "
                       "processes with numbers of our choice (%s)\n",
                       strerror(errno));
        }
        close(gone.fd);
        group_remove(&group);
}
END_TEST

/* In a namespace of its own: who visits from outside has no number there. Return: for _exit(). */
static int look_from_within(const Group *group) {
        Credentials credentials;
        int fd;

        group_join(group);
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 || credentials_read_all(fd, CREDENTIALS_SYSTEM_UNIT, &credentials) < 0)
                return 2;
        if (credentials.os_pid != 0)
                return 3;
        return credentials.unit ? 4 : 0;
}

START_TEST(whoever_has_no_number_here_does_not_get_our_own_unit) {
        pid_t outer, inner;
        int fd, status;
        Group group;

        if (!group_make_or_skip(&group, unit_path,
                                "whoever_has_no_number_here_does_not_get_our_own_unit"))
                return;
        outer = fork();
        ck_assert_int_ge(outer, 0);
        if (outer == 0) {
                if (unshare(CLONE_NEWPID) < 0)
                        _exit(77);
                inner = fork();
                if (inner == 0)
                        _exit(look_from_within(&group));
                _exit(inner > 0 && waitpid(inner, &status, 0) == inner && WIFEXITED(status)
                              ? WEXITSTATUS(status)
                              : 5);
        }
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, n_address), 0);
        ck_assert_int_eq(waitpid(outer, &status, 0), outer);
        ck_assert(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77)
                printf("# SKIP whoever_has_no_number_here_does_not_get_our_own_unit: needs PID "
                       "namespaces\n");
        else
                ck_assert_int_eq(WEXITSTATUS(status), 0);
        close(fd);
        group_remove(&group);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("credentials");
        TCase *tcase = tcase_create("units");

        tcase_add_checked_fixture(tcase, start, stop);
        tcase_add_test(tcase, a_unit_is_the_control_group_of_who_connects);
        tcase_add_test(tcase, a_user_s_unit_is_below_the_user_s_manager);
        tcase_add_test(tcase, it_can_be_read_later);
        tcase_add_test(tcase, whoever_has_ended_has_no_unit);
        tcase_add_test(tcase, whoever_gets_a_number_after_another_lends_it_no_unit);
        tcase_add_test(tcase, whoever_has_no_number_here_does_not_get_our_own_unit);
        suite_add_tcase(suite, tcase);
        return suite;
}
