/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What a check_X.c is: one function that builds its suite
 *
 * main() is tests/main.c's: it runs the suite, each test in a process of its own, and reports as
 * TAP when `make check` asks for it.
 */

#include <check.h>

/* Builds the suite of this program; main() takes it over. */
Suite *check_suite(void);
