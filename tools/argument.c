/* SPDX-License-Identifier: Apache-2.0 */

#include "tools/argument.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "tools/common.h"

#define SECONDS_MAX UINT64_C(3155760000) /* 100 years: sums of such times cannot overflow */

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* Reads digits, possibly none; *@text is left behind them. */
static int read_digits(const char **text, uint64_t *ret) {
        uint64_t value = 0;

        for (; is_digit(**text); (*text)++)
                if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
                    __builtin_add_overflow(value, (uint64_t)(**text - '0'), &value))
                        return -ERANGE;
        *ret = value;
        return 0;
}

int argument_seconds(const char *text, uint64_t *ret_usec) {
        uint64_t whole, fraction = 0, unit = USEC_PER_SEC;
        const char *p = text;
        int r;

        r = read_digits(&p, &whole);
        if (r < 0)
                return r;
        if (*p == '.') {
                p++;
                if (!is_digit(p[0]) && p == text + 1)
                        return -EINVAL;
                for (; is_digit(*p); p++) {
                        unit /= 10;
                        fraction += (uint64_t)(*p - '0') * unit;
                }
        }
        if (p == text || *p != '\0')
                return -EINVAL;
        if (whole > SECONDS_MAX)
                return -ERANGE;
        *ret_usec = whole * USEC_PER_SEC + fraction;
        return 0;
}

int argument_count(const char *text, uint64_t least, uint64_t greatest, uint64_t *ret) {
        const char *p = text;
        uint64_t value;
        int r;

        r = read_digits(&p, &value);
        if (r < 0)
                return r;
        if (p == text || *p != '\0')
                return -EINVAL;
        if (value < least || value > greatest)
                return -ERANGE;
        *ret = value;
        return 0;
}

int argument_size(const char *text, size_t *ret) {
        const char *p = text;
        uint64_t value;
        unsigned shift = 0;
        int r;

        r = read_digits(&p, &value);
        if (r < 0)
                return r;
        if (p == text)
                return -EINVAL;

        switch (*p) {
        case 'K':
        case 'k':
                shift = 10;
                break;
        case 'M':
        case 'm':
                shift = 20;
                break;
        case 'G':
        case 'g':
                shift = 30;
                break;
        }
        if (shift > 0)
                p++;
        if (*p != '\0' && strcasecmp(p, "B") != 0 && (shift == 0 || strcasecmp(p, "iB") != 0))
                return -EINVAL;

        if (value == 0 || value > (SIZE_MAX >> 1) >> shift)
                return -ERANGE;
        *ret = (size_t)value << shift;
        return 0;
}

const char *argument_format_size(uint64_t size, char text[static 32]) {
        static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
        double value = (double)size;
        size_t i = 0;

        if (size < 1024) {
                (void)snprintf(text, 32, "%" PRIu64 " bytes", size);
                return text;
        }
        for (value /= 1024; value >= 1024 && i + 1 < ELEMENTSOF(units); i++)
                value /= 1024;
        (void)snprintf(text, 32, "%.*f %s", value < 100 ? 1 : 0, value, units[i]);
        return text;
}
