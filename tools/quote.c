/* SPDX-License-Identifier: Apache-2.0 */

#include "tools/quote.h"

#include "tools/common.h"

#define PLAIN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+,:@%="

const char *quote_for_shell(const char *text, char quoted[static QUOTE_SIZE]) {
        size_t n = 0;

        if (*text && strspn(text, PLAIN) == strlen(text) && strlen(text) < QUOTE_SIZE) {
                memcpy(quoted, text, strlen(text) + 1);
                return quoted;
        }
        quoted[n++] = '\'';
        for (; *text && n < QUOTE_SIZE - 6; text++) {
                if (*text == '\'') {
                        memcpy(quoted + n, "'\\''", 4);
                        n += 4;
                } else
                        quoted[n++] = *text;
        }
        quoted[n++] = '\'';
        quoted[n] = '\0';
        return quoted;
}
