/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/wire.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 128
#define PATH_SIZE 4096

static void path_of(const char *name, char path[static PATH_SIZE]) {
        const char *top = getenv("top_srcdir");

        (void)snprintf(path, PATH_SIZE, "%s/tests/vectors/wire/%s", top ? top : ".", name);
}

uint8_t *wire_read(const char *name, size_t *ret_n) {
        char path[PATH_SIZE], file[256], line[1024];
        uint8_t bytes[WIRE_SIZE_MAX], *exact;
        size_t n = 0;
        FILE *f;

        (void)snprintf(file, sizeof(file), "%s.hex", name);
        path_of(file, path);
        f = fopen(path, "re");
        ck_assert_msg(f != NULL, "cannot open %s", path);
        while (fgets(line, sizeof(line), f)) {
                const char *p = line;
                unsigned byte;
                int used;

                while (*line != '#' && sscanf(p, " %2x%n", &byte, &used) == 1) {
                        ck_assert_uint_lt(n, sizeof(bytes));
                        bytes[n++] = (uint8_t)byte;
                        p += used;
                }
        }
        (void)fclose(f); /* only read */

        exact = malloc(n > 0 ? n : 1);
        ck_assert_ptr_nonnull(exact);
        memcpy(exact, bytes, n);
        *ret_n = n;
        return exact;
}

size_t wire_list(const char *prefix, const char *const **ret_names) {
        static char *names[NAMES_MAX];
        struct dirent **entries;
        char path[PATH_SIZE];
        size_t n_names = 0;
        int n;

        path_of("", path);
        n = scandir(path, &entries, NULL, alphasort);
        ck_assert_msg(n >= 0, "cannot list %s", path);
        for (int i = 0; i < n; i++) {
                char *end = strstr(entries[i]->d_name, ".hex");

                if (end && strncmp(entries[i]->d_name, prefix, strlen(prefix)) == 0) {
                        ck_assert_uint_lt(n_names, NAMES_MAX);
                        free(names[n_names]);
                        names[n_names] =
                                strndup(entries[i]->d_name, (size_t)(end - entries[i]->d_name));
                        ck_assert_ptr_nonnull(names[n_names]);
                        n_names++;
                }
                free(entries[i]);
        }
        free(entries);
        *ret_names = (const char *const *)names;
        return n_names;
}
