/* SPDX-License-Identifier: Apache-2.0 */

/*
 * memgrep: whether some bytes stand in the memory of running processes
 *
 *      memgrep FILE PID...
 *
 * FILE holds the bytes. Reads every readable mapping through /proc/PID/mem, without stopping the
 * process: what is looked for must stand still, or must not be there at all. Writes a line
 * "PID COUNT" for each. Ends with 0 if all could be read.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcore/util.h"

#define BLOCK (1024 * 1024)
#define PATTERN_MAX 4096

static uint8_t pattern[PATTERN_MAX];
static size_t n_pattern;

static void die(const char *what) {
        fprintf(stderr, "memgrep: %s: %s\n", what, strerror(errno));
        exit(EXIT_FAILURE);
}

/* Blocks overlap by the pattern's length, so that none hides on a border. */
static unsigned long count_in(int mem, uint64_t begin, uint64_t end, uint8_t *block) {
        unsigned long n_found = 0;
        size_t kept = 0;

        while (begin < end) {
                size_t size = MIN((uint64_t)BLOCK - kept, end - begin);
                ssize_t n = pread(mem, block + kept, size, (off_t)begin);
                uint8_t *at = block;

                if (n <= 0)
                        return n_found; /* gone meanwhile, or not memory: [vvar] */
                begin += (uint64_t)n;
                kept += (size_t)n;
                while ((at = memmem(at, (size_t)(block + kept - at), pattern, n_pattern))) {
                        n_found++;
                        at++;
                }
                size = MIN(kept, n_pattern - 1);
                memmove(block, block + kept - size, size);
                kept = size;
        }
        return n_found;
}

static void search(const char *os_pid) {
        uint8_t *block = malloc(BLOCK);
        char path[64], line[512];
        unsigned long n_found = 0;
        uint64_t begin, end;
        FILE *maps;
        int mem;

        if (!block)
                die("memory");
        snprintf(path, sizeof(path), "/proc/%s/maps", os_pid);
        maps = fopen(path, "re");
        if (!maps)
                die(path);
        snprintf(path, sizeof(path), "/proc/%s/mem", os_pid);
        mem = open(path, O_RDONLY | O_CLOEXEC);
        if (mem < 0)
                die(path);
        while (fgets(line, sizeof(line), maps)) {
                char readable;

                if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %c", &begin, &end, &readable) == 3 &&
                    readable == 'r')
                        n_found += count_in(mem, begin, end, block);
        }
        fclose(maps);
        close(mem);
        free(block);
        printf("%s %lu\n", os_pid, n_found);
}

int main(int argc, char **argv) {
        FILE *file;

        if (argc < 3) {
                fputs("usage: memgrep FILE PID...\n", stderr);
                return EXIT_FAILURE;
        }
        file = fopen(argv[1], "re");
        if (!file)
                die(argv[1]);
        n_pattern = fread(pattern, 1, sizeof(pattern), file);
        fclose(file);
        if (n_pattern == 0) {
                fputs("memgrep: an empty pattern is everywhere\n", stderr);
                return EXIT_FAILURE;
        }
        for (int i = 2; i < argc; i++)
                search(argv[i]);
        return EXIT_SUCCESS;
}
