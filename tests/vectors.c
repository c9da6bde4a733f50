/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/vectors.h"

#include <check.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t fixed[8][32];
static size_t n_fixed, fixed_at;
static uint8_t fixed_small[8][4];
static size_t n_fixed_small, fixed_small_at;

json_t *vectors_load(const char *name) {
        const char *top = getenv("top_srcdir");
        char path[4096];
        json_error_t error;
        json_t *json;

        (void)snprintf(path, sizeof(path), "%s/tests/vectors/%s", top ? top : "..", name);
        json = json_load_file(path, 0, &error);
        ck_assert_msg(json != NULL, "%s:%d: %s", path, error.line, error.text);
        return json;
}

static const json_t *find(const json_t *object, const char *path) {
        char key[64];

        while (object) {
                size_t n = strcspn(path, "/");

                ck_assert_uint_lt(n, sizeof(key));
                memcpy(key, path, n);
                key[n] = '\0';
                object = json_object_get(object, key);
                if (path[n] == '\0')
                        break;
                path += n + 1;
        }
        return object;
}

const char *vectors_text(const json_t *object, const char *path) {
        const json_t *value = find(object, path);

        ck_assert_msg(json_is_string(value), "no text at %s", path);
        return json_string_value(value);
}

size_t vectors_bytes(const json_t *object, const char *path, uint8_t *out, size_t out_size) {
        const char *text = vectors_text(object, path);
        size_t n;

        ck_assert_msg(sodium_hex2bin(out, out_size, text, strlen(text), NULL, &n, NULL) == 0,
                      "no hex at %s", path);
        return n;
}

void vectors_exactly(const json_t *object, const char *path, uint8_t *out, size_t size) {
        size_t n = vectors_bytes(object, path, out, size);

        ck_assert_msg(n == size, "%s has %zu bytes, not %zu", path, n, size);
}

static void fixed_buf(void *data, size_t size) {
        if (size == sizeof(fixed[0]) && fixed_at < n_fixed)
                memcpy(data, fixed[fixed_at++], size);
        else if (size == sizeof(fixed_small[0]) && fixed_small_at < n_fixed_small)
                memcpy(data, fixed_small[fixed_small_at++], size);
        else
                randombytes_sysrandom_implementation.buf(data, size);
}

static const char *fixed_name(void) {
        return "fixed";
}

static uint32_t fixed_random(void) {
        return randombytes_sysrandom_implementation.random();
}

static void fixed_use(void) {
        static randombytes_implementation implementation = {
                .implementation_name = fixed_name,
                .random = fixed_random,
                .buf = fixed_buf,
        };

        ck_assert_int_eq(randombytes_set_implementation(&implementation), 0);
}

void fixed_random_push(const uint8_t bytes[static 32]) {
        ck_assert_uint_lt(n_fixed, sizeof(fixed) / sizeof(fixed[0]));
        memcpy(fixed[n_fixed++], bytes, sizeof(fixed[0]));
        fixed_use();
}

void fixed_random_push_small(const uint8_t bytes[static 4]) {
        ck_assert_uint_lt(n_fixed_small, sizeof(fixed_small) / sizeof(fixed_small[0]));
        memcpy(fixed_small[n_fixed_small++], bytes, sizeof(fixed_small[0]));
        fixed_use();
}

size_t fixed_random_left(void) {
        return n_fixed - fixed_at + (n_fixed_small - fixed_small_at);
}
