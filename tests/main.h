/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What a check_X.c is: one function that builds its suite
 *
 * main() is tests/main.c's: it runs the suite, each test in a process of its own, and reports as
 * TAP when `make check` asks for it.
 */

#include <check.h>
#include <sys/types.h>

/* Builds the suite of this program; main() takes it over. */
Suite *check_suite(void);
/*
 * fork() that worked. In the child nothing may be asserted: an assertion takes a lock of Check's, which
 * another thread may have held at that moment, and which nobody there gives back.
 */
pid_t test_fork(void);
