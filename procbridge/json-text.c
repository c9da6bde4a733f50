/* SPDX-License-Identifier: Apache-2.0 */

/*
 * skip_value() is the grammar. It keeps no stack of its own but a bit for each level, which says whether
 * that is an object; so a body of a million brackets costs no more than one of a million digits.
 */

#include "procbridge/json-text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libcore/err.h"
#include "libcore/util.h"

typedef struct Cursor {
        const char *at, *end;
} Cursor;

size_t json_text_utf8(const char *bytes, size_t n) {
        /* Of the second byte; overlong forms, surrogates and what is beyond U+10FFFF fall out here. */
        uint8_t lead = n > 0 ? (uint8_t)bytes[0] : 0, least = 0x80, greatest = 0xbf;
        size_t n_sequence;

        if (n == 0)
                return 0;
        if (lead < 0x80)
                return 1;
        if (lead < 0xc2 || lead > 0xf4)
                return 0;
        n_sequence = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        if (n < n_sequence)
                return 0;
        if (lead == 0xe0)
                least = 0xa0;
        else if (lead == 0xed)
                greatest = 0x9f;
        else if (lead == 0xf0)
                least = 0x90;
        else if (lead == 0xf4)
                greatest = 0x8f;
        if ((uint8_t)bytes[1] < least || (uint8_t)bytes[1] > greatest)
                return 0;
        for (size_t i = 2; i < n_sequence; i++)
                if (((uint8_t)bytes[i] & 0xc0) != 0x80)
                        return 0;
        return n_sequence;
}

static void skip_blanks(Cursor *c) {
        while (c->at < c->end &&
               (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
                c->at++;
}

static bool take(Cursor *c, char wanted) {
        if (c->at == c->end || *c->at != wanted)
                return false;
        c->at++;
        return true;
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four digits of a \u; the cursor stands behind them. Return: -1: they are not there. */
static int take_hex(Cursor *c) {
        int v = 0;

        if (c->end - c->at < 4)
                return -1;
        for (unsigned i = 0; i < 4; i++) {
                int digit = hex_digit(*c->at++);

                if (digit < 0)
                        return -1;
                v = v << 4 | digit;
        }
        return v;
}

static bool skip_string(Cursor *c) {
        if (!take(c, '"'))
                return false;
        while (c->at < c->end) {
                unsigned char first = (unsigned char)*c->at;
                size_t n;

                if (first == '"') {
                        c->at++;
                        return true;
                }
                if (first < 0x20)
                        return false;
                if (first == '\\') {
                        c->at++;
                        if (take(c, 'u')) {
                                if (take_hex(c) < 0)
                                        return false;
                        } else if (c->at == c->end || !*c->at || !strchr("\"\\/bfnrt", *c->at++)) {
                                return false;
                        }
                        continue;
                }
                n = json_text_utf8(c->at, (size_t)(c->end - c->at));
                if (n == 0)
                        return false;
                c->at += n;
        }
        return false;
}

static bool skip_digits(Cursor *c) {
        const char *first = c->at;

        while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
                c->at++;
        return c->at > first;
}

static bool skip_number(Cursor *c) {
        (void)take(c, '-');
        if (!take(c, '0') && !skip_digits(c))
                return false;
        if (take(c, '.') && !skip_digits(c))
                return false;
        if (take(c, 'e') || take(c, 'E')) {
                if (!take(c, '+'))
                        (void)take(c, '-');
                return skip_digits(c);
        }
        return true;
}

static bool skip_word(Cursor *c, const char *word) {
        size_t n = strlen(word);

        if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0)
                return false;
        c->at += n;
        return true;
}

/* "NAME" : */
static bool skip_name(Cursor *c) {
        skip_blanks(c);
        if (!skip_string(c))
                return false;
        skip_blanks(c);
        return take(c, ':');
}

static bool skip_scalar(Cursor *c) {
        switch (c->at < c->end ? *c->at : '\0') {
        case '"':
                return skip_string(c);
        case 't':
                return skip_word(c, "true");
        case 'f':
                return skip_word(c, "false");
        case 'n':
                return skip_word(c, "null");
        default:
                return skip_number(c);
        }
}

static bool skip_value(Cursor *c) {
        uint64_t objects[JSON_TEXT_DEPTH_MAX / 64] = { 0 };
        unsigned depth = 0;

        for (;;) {
                bool object, open = false;

                /* A value, or the begin of one. */
                skip_blanks(c);
                object = take(c, '{');
                if (object || take(c, '[')) {
                        if (depth == JSON_TEXT_DEPTH_MAX)
                                return false;
                        objects[depth / 64] &= ~(UINT64_C(1) << depth % 64);
                        objects[depth / 64] |= (uint64_t)object << depth % 64;
                        depth++;
                        skip_blanks(c);
                        open = !take(c, object ? '}' : ']');
                        if (!open)
                                depth--;
                        else if (object && !skip_name(c))
                                return false;
                } else if (!skip_scalar(c)) {
                        return false;
                }

                /* What stands behind a value: the ends of what it is in, and a comma. */
                while (!open) {
                        if (depth == 0)
                                return true;
                        object = objects[(depth - 1) / 64] >> (depth - 1) % 64 & 1;
                        skip_blanks(c);
                        open = take(c, ',');
                        if (open && object && !skip_name(c))
                                return false;
                        if (!open && !take(c, object ? '}' : ']'))
                                return false;
                        depth -= !open;
                }
        }
}

int json_members_begin(JsonMembers *members, const void *text, size_t n) {
        Cursor c = { text, n > 0 ? (const char *)text + n : text };

        skip_blanks(&c);
        if (!take(&c, '{'))
                return JSON_TEXT_E_INVALID;
        *members = (JsonMembers){ .at = c.at, .end = c.end };
        return 0;
}

int json_members_next(JsonMembers *members, JsonText *ret_name, JsonText *ret_value) {
        Cursor c = { members->at, members->end };
        const char *name, *value;
        size_t n_name;

        skip_blanks(&c);
        if (take(&c, '}')) {
                skip_blanks(&c);
                return c.at == c.end ? JSON_TEXT_E_END : JSON_TEXT_E_INVALID;
        }
        if (members->begun && !take(&c, ','))
                return JSON_TEXT_E_INVALID;
        skip_blanks(&c);
        name = c.at;
        if (!skip_string(&c))
                return JSON_TEXT_E_INVALID;
        n_name = (size_t)(c.at - name);
        skip_blanks(&c);
        if (!take(&c, ':'))
                return JSON_TEXT_E_INVALID;
        skip_blanks(&c);
        value = c.at;
        if (!skip_value(&c))
                return JSON_TEXT_E_INVALID;
        *ret_name = (JsonText){ name, n_name };
        *ret_value = (JsonText){ value, (size_t)(c.at - value) };
        members->at = c.at;
        members->begun = true;
        return 0;
}

char json_text_type(JsonText value) {
        if (!value.data)
                return 0;
        return strchr("{[\"tfn", *value.data) ? *value.data : '0';
}

static char *put_utf8(char *to, uint32_t v) {
        if (v < 0x80) {
                *to++ = (char)v;
                return to;
        }
        if (v < 0x800) {
                *to++ = (char)(0xc0 | v >> 6);
        } else {
                if (v < 0x10000) {
                        *to++ = (char)(0xe0 | v >> 12);
                } else {
                        *to++ = (char)(0xf0 | v >> 18);
                        *to++ = (char)(0x80 | (v >> 12 & 0x3f));
                }
                *to++ = (char)(0x80 | (v >> 6 & 0x3f));
        }
        *to++ = (char)(0x80 | (v & 0x3f));
        return to;
}

/* What stands behind a backslash. Return: 0: it is a NUL, or half of a pair. */
static uint32_t take_escape(Cursor *c) {
        static const char letters[] = "b\bf\fn\nr\rt\t";
        char letter = *c->at++;
        int high, low;

        if (letter != 'u') {
                for (const char *p = letters; *p; p += 2)
                        if (*p == letter)
                                return (uint32_t)p[1];
                return (uint32_t)letter;
        }
        high = take_hex(c);
        if (high < 0xd800 || high > 0xdfff)
                return high > 0 ? (uint32_t)high : 0;
        if (high > 0xdbff || !take(c, '\\') || !take(c, 'u'))
                return 0;
        low = take_hex(c);
        if (low < 0xdc00 || low > 0xdfff)
                return 0;
        return 0x10000 + ((uint32_t)(high & 0x3ff) << 10 | (uint32_t)(low & 0x3ff));
}

int json_text_decode(JsonText string, char **ret) {
        /* Its text was checked: it has its quotes, and all that begins in between ends there. */
        Cursor c = { string.data + 1, string.data + string.n - 1 };
        _cleanup_(freep) char *text = malloc(string.n);
        char *to = text;

        if (!text)
                return err_origin(-ENOMEM);
        while (c.at < c.end) {
                uint32_t v;

                if (*c.at != '\\') {
                        *to++ = *c.at++;
                        continue;
                }
                c.at++;
                v = take_escape(&c);
                if (v == 0)
                        return JSON_TEXT_E_INVALID;
                to = put_utf8(to, v); /* never more bytes than the escape has */
        }
        *to = '\0';
        *ret = TAKE_PTR(text);
        return 0;
}

bool json_text_says(JsonText string, const char *plain) {
        _cleanup_(freep) char *decoded = NULL;
        size_t n = strlen(plain);

        if (!memchr(string.data, '\\', string.n))
                return string.n == n + 2 && memcmp(string.data + 1, plain, n) == 0;
        /* Escapes make six bytes of one at most. */
        if (string.n > 6 * n + 2 || json_text_decode(string, &decoded) != 0)
                return false;
        return strcmp(decoded, plain) == 0;
}
