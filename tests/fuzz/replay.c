/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Feeds a fuzz target its corpus without libFuzzer: one TAP line a file
 *
 * fuzz_X reads tests/fuzz/corpus/X below $top_srcdir, in the order of the names. Each file is
 * tried as it is, cut off at each length, and with each byte complemented, which costs little
 * and finds what a reader forgot at the edge of its fields. Every input stands in a heap block of
 * exactly its size, so that a sanitizer or valgrind sees the byte too many.
 */

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libcore/util.h"
#include "tests/fuzz/fuzz.h"

#define VARIED_SIZE_MAX 512 /* bytes; of larger files only the file itself is tried */

static void die(const char *what) {
        printf("Bail out! %s: %s\n", what, strerror(errno));
        exit(EXIT_FAILURE);
}

/* @flip: the byte to complement, or @n for none. */
static void feed(const uint8_t *data, size_t n, size_t flip) {
        uint8_t *exact = malloc(MAX(n, 1U));

        if (!exact)
                die("malloc");
        if (n > 0)
                memcpy(exact, data, n);
        if (flip < n)
                exact[flip] = (uint8_t)~exact[flip];
        (void)LLVMFuzzerTestOneInput(exact, n); /* always 0 */
        free(exact);
}

static uint8_t *read_whole(const char *path, size_t *ret_n) {
        FILE *f = fopen(path, "re");
        uint8_t *data = NULL;
        struct stat st;

        if (!f || fstat(fileno(f), &st) < 0)
                die(path);
        data = malloc((size_t)st.st_size + 1);
        if (!data)
                die(path);
        *ret_n = fread(data, 1, (size_t)st.st_size, f);
        if (ferror(f))
                die(path);
        (void)fclose(f); /* only read */
        return data;
}

static int is_file(const struct dirent *entry) {
        return entry->d_name[0] != '.';
}

int main(int argc, char *argv[]) {
        const char *program = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
        const char *top = getenv("top_srcdir") ? getenv("top_srcdir") : ".";
        struct dirent **entries = NULL;
        char path[4096];
        int n_entries, n_path;

        (void)argc;
        if (strncmp(program, "lt-", 3) == 0) /* libtool's wrapper */
                program += 3;
        if (strncmp(program, "fuzz_", 5) == 0)
                program += 5;

        n_path = snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", top, program);
        if (n_path < 0 || (size_t)n_path >= sizeof(path))
                die("path of the corpus");
        n_entries = scandir(path, &entries, is_file, alphasort);
        if (n_entries < 0)
                die(path);

        printf("1..%d\n", n_entries + 1);
        feed(NULL, 0, 0);
        printf("ok 1 - %s takes nothing\n", program);
        for (int i = 0; i < n_entries; i++) {
                uint8_t *data;
                size_t n;

                (void)snprintf(path + n_path, sizeof(path) - (size_t)n_path, "/%s",
                               entries[i]->d_name);
                /* Said first: if the target dies, the log ends with the name. */
                printf("# %s\n", path);
                (void)fflush(stdout);
                data = read_whole(path, &n);
                feed(data, n, n);
                if (n <= VARIED_SIZE_MAX)
                        for (size_t at = 0; at < n; at++) {
                                feed(data, at, at);
                                feed(data, n, at);
                        }
                printf("ok %d - %s takes %s\n", i + 2, program, entries[i]->d_name);
                free(data);
                free(entries[i]);
        }
        free(entries);
        return EXIT_SUCCESS;
}
