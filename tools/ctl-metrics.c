/* SPDX-License-Identifier: Apache-2.0 */

/* p2pbusctl metrics: what the daemon counts, as OpenMetrics text */

#include "tools/common.h"
#include "tools/ctl.h"
#include "tools/json.h"

/* Samples alone: "NAME VALUE", the name with its labels. */
static char *format_json(char *text, size_t *ret_n) {
        JsonValue *object = json_begin();
        char *at = NULL;

        for (char *line = strtok_r(text, "\n", &at); line; line = strtok_r(NULL, "\n", &at)) {
                char *value = strrchr(line, ' ');

                if (line[0] == '#' || !value)
                        continue;
                *value++ = '\0';
                json_add_number(object, line, strtoull(value, NULL, 10));
        }
        return json_finish(object, ret_n);
}

int ctl_metrics(Ctl *ctl) {
        return ctl_print_query(ctl, P2PBUS_QUERY_METRICS, format_json);
}
