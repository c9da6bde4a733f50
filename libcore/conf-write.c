/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <inttypes.h>
#include <stdbool.h>

#include "libcore/conf.h"
#include "libcore/util.h"

typedef struct Unit {
        const char *name;
        uint64_t value;
} Unit;

/* In the greatest unit that it is a whole number of. */
static void write_in_units(FILE *out, uint64_t v, const Unit *units, const char *least) {
        while (units->value > 0 && (v == 0 || v % units->value != 0))
                units++;
        if (units->value > 0)
                fprintf(out, "%" PRIu64 "%s\n", v / units->value, units->name);
        else
                fprintf(out, "%" PRIu64 "%s\n", v, v == 0 ? "" : least);
}

static void write_value(FILE *out, const ConfOption *option, const void *field) {
        static const Unit sizes[] = {
                { "T", UINT64_C(1) << 40 },
                { "G", UINT64_C(1) << 30 },
                { "M", UINT64_C(1) << 20 },
                { "K", UINT64_C(1) << 10 },
                { NULL, 0 },
        };
        static const Unit times[] = {
                { "d", 24 * 3600 * USEC_PER_SEC }, { "h", 3600 * USEC_PER_SEC },
                { "min", 60 * USEC_PER_SEC },      { "s", USEC_PER_SEC },
                { "ms", USEC_PER_MSEC },           { NULL, 0 },
        };
        char *const *words;

        if (option->parse == conf_parse_bool)
                fputs(*(const bool *)field ? "yes\n" : "no\n", out);
        else if (option->parse == conf_parse_size)
                write_in_units(out, *(const uint64_t *)field, sizes, "");
        else if (option->parse == conf_parse_time)
                write_in_units(out, *(const uint64_t *)field, times, "us");
        else if (option->parse == conf_parse_number)
                fprintf(out, "%" PRIu64 "\n", *(const uint64_t *)field);
        else if (option->parse == conf_parse_text)
                fprintf(out, "%s\n", *(char *const *)field ? *(char *const *)field : "");
        else {
                for (words = *(char *const *const *)field; words && *words; words++)
                        fprintf(out, "%s%s", *words, words[1] ? " " : "");
                fputc('\n', out);
        }
}

void conf_write(FILE *out, const ConfOption *options, size_t n_options, const void *target) {
        const char *section = "";

        for (size_t i = 0; i < n_options; i++) {
                if (strcmp(options[i].section, section) != 0)
                        fprintf(out, "%s[%s]\n", i > 0 ? "\n" : "", options[i].section);
                section = options[i].section;
                fprintf(out, "%s=", options[i].key);
                write_value(out, &options[i], (const char *)target + options[i].offset);
        }
}
