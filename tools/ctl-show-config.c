/* SPDX-License-Identifier: Apache-2.0 */

/* p2pbusctl show-config: the settings that the daemon goes by, as it would read them */

#include <stdio.h>

#include "tools/common.h"
#include "tools/ctl.h"
#include "tools/json.h"

/* An object a section, with texts as they stand in the file. */
static char *format_json(char *text, size_t *ret_n) {
        JsonValue *object = json_begin(), *section = NULL;
        const char *name = NULL;
        char *at = NULL;

        for (char *line = strtok_r(text, "\n", &at); line; line = strtok_r(NULL, "\n", &at)) {
                char *value = strchr(line, '=');

                if (line[0] == '[') {
                        if (section)
                                json_add_value(object, name, section);
                        line[strcspn(line, "]")] = '\0';
                        name = line + 1;
                        section = json_begin();
                } else if (section && value) {
                        *value++ = '\0';
                        json_add_text(section, line, *value ? value : NULL);
                }
        }
        if (section)
                json_add_value(object, name, section);
        return json_finish(object, ret_n);
}

int ctl_show_config(Ctl *ctl) {
        return ctl_print_query(ctl, P2PBUS_QUERY_CONFIG, format_json);
}
