/* SPDX-License-Identifier: Apache-2.0 */

#include "procbridge/text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "libcore/util.h"
#include "procbridge/json-text.h"

#define TEXT_FIRST 256

void text_done(Text *text) {
        free(text->data);
        *text = (Text){ 0 };
}

char *text_extend(Text *text, size_t n) {
        size_t wanted, allocated = MAX(text->allocated, (size_t)TEXT_FIRST);
        char *data;

        if (text->failed || __builtin_add_overflow(text->n, n, &wanted) || wanted > SIZE_MAX / 4) {
                text->failed = true;
                return NULL;
        }
        while (allocated < wanted)
                allocated *= 2;
        if (allocated > text->allocated) {
                data = realloc(text->data, allocated);
                if (!data) {
                        text->failed = true;
                        return NULL;
                }
                text->data = data;
                text->allocated = allocated;
        }
        text->n = wanted;
        return text->data + wanted - n;
}

void text_put(Text *text, const void *bytes, size_t n) {
        char *to = text_extend(text, n);

        if (to && n > 0)
                memcpy(to, bytes, n);
}

static void put_escaped(Text *text, unsigned char c) {
        static const char letters[] = "\bb\ff\nn\rr\tt\"\"\\\\";
        char escaped[8];

        for (const char *p = letters; *p; p += 2)
                if ((unsigned char)*p == c) {
                        text_put(text, (const char[]){ '\\', p[1] }, 2);
                        return;
                }
        (void)snprintf(escaped, sizeof(escaped), "\\u%04x", c);
        text_put(text, escaped, 6);
}

void text_put_json_string(Text *text, const char *bytes, size_t n) {
        text_put(text, "\"", 1);
        for (size_t i = 0, n_sequence; i < n; i += n_sequence) {
                unsigned char c = (unsigned char)bytes[i];

                n_sequence = 1;
                if (c < 0x20 || c == '"' || c == '\\') {
                        put_escaped(text, c);
                        continue;
                }
                n_sequence = json_text_utf8(bytes + i, n - i);
                if (n_sequence == 0) {
                        n_sequence = 1;
                        text_put(text, "?", 1);
                } else {
                        text_put(text, bytes + i, n_sequence);
                }
        }
        text_put(text, "\"", 1);
}

char *text_take(Text *text, size_t *ret_n) {
        char *data = text->data;

        if (text->failed || !data) {
                text_done(text);
                return NULL;
        }
        *ret_n = text->n;
        *text = (Text){ 0 };
        return data;
}
