/* SPDX-License-Identifier: Apache-2.0 */

#include "libcore/name.h"

#include <string.h>

/* Own tables of characters: isalpha() would ask the locale. */
static bool is_lower(char c) {
        return c >= 'a' && c <= 'z';
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static bool is_hex(char c) {
        return is_digit(c) || (c >= 'a' && c <= 'f');
}

bool name_is_valid(const char *name, size_t n_name) {
        size_t n_elements = 1, n_element = 0, n_first_hex = 0;

        if (n_name < 1 || n_name > NAME_SIZE_MAX || !is_lower(name[0]))
                return false;
        for (size_t i = 0; i < n_name; i++) {
                if (name[i] == '.') {
                        if (n_element == 0 ||
                            (n_elements == 1 && n_element == 16 && n_first_hex == 16))
                                return false;
                        n_elements++;
                        n_element = 0;
                        continue;
                }
                if (!is_lower(name[i]) && !is_digit(name[i]) && name[i] != '_' && name[i] != '-')
                        return false;
                if (n_elements == 1 && is_hex(name[i]))
                        n_first_hex++;
                n_element++;
        }
        return n_elements >= 2 && n_element > 0;
}

static bool is_wild(const char *pattern, size_t n) {
        return n > 2 && pattern[n - 1] == '*' && pattern[n - 2] == '.';
}

bool name_is_pattern(const char *pattern, size_t n) {
        char name[NAME_SIZE_MAX + 1];

        if (n > NAME_SIZE_MAX || !is_wild(pattern, n))
                return name_is_valid(pattern, n);
        memcpy(name, pattern, n);
        name[n - 1] = 'x'; /* one of those below */
        return name_is_valid(name, n);
}

bool name_fits(const char *pattern, size_t n_pattern, const char *name, size_t n_name) {
        if (!is_wild(pattern, n_pattern))
                return n_pattern == n_name && memcmp(pattern, name, n_name) == 0;
        return n_name >= n_pattern && memcmp(pattern, name, n_pattern - 1) == 0;
}
