/* SPDX-License-Identifier: Apache-2.0 */

#include "tools/common.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/progress.h"

static const char *program_name = "p2pbus";
static Level level_now = LEVEL_INFO;
static bool quiet;

void common_init(const char *program) {
        static const char *const names[] = { "error", "warning", "info", "debug" };
        const char *wish = getenv("P2PBUS_LOG");

        program_name = program;
        for (size_t i = 0; wish && i < ELEMENTSOF(names); i++)
                if (strcmp(wish, names[i]) == 0)
                        level_now = (Level)i;
}

const char *common_program(void) {
        return program_name;
}

void common_louder(void) {
        level_now = LEVEL_DEBUG;
        quiet = false;
}

void common_quiet(void) {
        level_now = LEVEL_ERROR;
        quiet = true;
}

bool common_is_quiet(void) {
        return quiet;
}

void common_make_printable(char *text) {
        for (unsigned char *p = (unsigned char *)text; *p; p++) {
                if (*p < 0x20 || *p == 0x7f)
                        *p = '?';
                else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
                        p[0] = p[1] = '?';
        }
}

/*
 * One write a line, so that lines of several programs on one stderr are never mixed. A line too
 * long for the buffer is cut, never split.
 */
static void _printf_(2, 0) say(bool named, const char *format, va_list args) {
        char line[4096];
        int n = 0, m;

        if (named)
                n = snprintf(line, sizeof(line), "%s: ", program_name);
        m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, args);
        if (m < 0)
                return;
        n += MIN(m, (int)sizeof(line) - n - 2);
        common_make_printable(line);
        line[n++] = '\n';

        progress_clear();
        (void)!write(STDERR_FILENO, line, (size_t)n); /* nobody is left to be told */
}

int fail(int status, const char *format, ...) {
        va_list args;

        va_start(args, format);
        say(true, format, args);
        va_end(args);
        return status;
}

void tell(Level level, const char *format, ...) {
        va_list args;

        if (level > level_now)
                return;
        va_start(args, format);
        say(true, format, args);
        va_end(args);
}

void announce(const char *format, ...) {
        va_list args;

        va_start(args, format);
        say(false, format, args);
        va_end(args);
}

bool common_colours(int fd) {
        const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

        return isatty(fd) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}
