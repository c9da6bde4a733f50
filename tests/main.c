/* SPDX-License-Identifier: Apache-2.0 */

/* Runs the one suite of a check_X.c. CK_FORK=no, CK_RUN_CASE=NAME and CK_VERBOSITY are Check's. */

#include "tests/main.h"

#include <stdlib.h>
#include <unistd.h>

pid_t test_fork(void) {
        pid_t child = fork();

        if (child != 0)
                ck_assert_int_gt(child, 0);
        return child;
}

int main(void) {
        SRunner *runner = srunner_create(check_suite());
        int n_failed;

        srunner_run_all(runner, CK_ENV);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);

        /* In TAP each failure is a line already; a bad status would be counted as one more. */
        if (getenv("CK_TAP_LOG_FILE_NAME"))
                return EXIT_SUCCESS;
        return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
