/* SPDX-License-Identifier: Apache-2.0 */

/* Any text is either read or refused with a reason; numbers that are read are within bounds. */

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "libcore/conf.h"
#include "libcore/util.h"
#include "tests/fuzz/fuzz.h"

typedef struct Target {
        bool flag;
        uint64_t number, size, time;
        char *text;
        char **list;
} Target;

static const ConfOption options[] = {
        { "Bus", "Flag", conf_parse_bool, offsetof(Target, flag), 0, 0 },
        { "Bus", "Number", conf_parse_number, offsetof(Target, number), 1, 100 },
        { "Limits", "Size", conf_parse_size, offsetof(Target, size), 0, 0 },
        { "Limits", "Time", conf_parse_time, offsetof(Target, time), 0, 0 },
        { "Bus", "Text", conf_parse_text, offsetof(Target, text), 0, 0 },
        { "Bus", "List", conf_parse_list, offsetof(Target, list), 0, 0 },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data) {
        Target t = { .number = 1 };
        ConfError error = { "" };
        int r;

        r = conf_read((const char *)data, n_data, "fuzz", options, ELEMENTSOF(options), &t, &error);
        assert(r <= 0 || (r == CONF_E_BAD && strncmp(error.text, "fuzz:", 5) == 0));
        assert(t.number >= 1 && t.number <= 100);
        for (char **p = t.list; p && *p; p++)
                assert(**p != '\0');
        conf_done(options, ELEMENTSOF(options), &t);
        return 0;
}
