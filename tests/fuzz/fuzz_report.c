/* SPDX-License-Identifier: Apache-2.0 */

/* Whatever is accepted is written again as one line of printable bytes, which reads the same. */

#include <assert.h>
#include <string.h>

#include "libcore/report.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data) {
        Report report, again;
        size_t at = 0;

        while (report_parse((const char *)data, n_data, &at, &report) == 0) {
                char line[REPORT_LINE_MAX];
                size_t n = report_format(&report, line), line_at = 0;

                assert(at <= n_data && n == strlen(line) && line[n - 1] == '\n');
                for (size_t i = 0; i + 1 < n; i++)
                        assert(line[i] == '\t' || (line[i] > ' ' && line[i] <= '~'));
                assert(report_parse(line, n, &line_at, &again) == 0 && line_at == n);
                assert(again.peer == report.peer && again.path == report.path &&
                       again.round_trip_usec == report.round_trip_usec);
        }
        return 0;
}
