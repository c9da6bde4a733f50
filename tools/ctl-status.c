/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbusctl status: what the daemon says of itself
 *
 * Its lines are "key TAB value"; a key that a newer daemon adds is shown like any other.
 */

#include <ctype.h>

#include "tools/common.h"
#include "tools/ctl.h"
#include "tools/json.h"
#include "tools/output.h"

static bool is_number(const char *text) {
        size_t n = strspn(text, "0123456789");

        return n > 0 && n < 20 && text[n] == '\0' && (n == 1 || text[0] != '0');
}

static char *format_json(const Table *table, size_t *ret_n) {
        JsonValue *object = json_begin();

        for (size_t i = 0; i + 1 < table->n_cells; i += 2) {
                const char *name = table->cells[i], *value = table->cells[i + 1];

                if (is_number(value))
                        json_add_number(object, name, strtoull(value, NULL, 10));
                else
                        json_add_text(object, name, strcmp(value, "-") == 0 ? NULL : value);
        }
        return json_finish(object, ret_n);
}

int ctl_status(Ctl *ctl) {
        /* clang-format off */
        static const Column columns[] = {
                { "WHAT", "key", COLUMN_TEXT },
                { "VALUE", "value", COLUMN_TEXT },
        };
        /* clang-format on */
        _cleanup_(freep) char *text = NULL;
        const char *socket_row[] = { "socket", NULL };
        Table table;
        size_t n = 0;
        int status;

        status = ctl_open_query(ctl, P2PBUS_QUERY_STATUS, &text);
        if (status != 0)
                return status;

        table_init(&table, columns, ELEMENTSOF(columns));
        socket_row[1] = p2pbus_get_socket(ctl->connection.bus);
        if (table_add(&table, socket_row) < 0 || table_add_lines(&table, text) < 0)
                status = output_print(NULL, 0);
        else if (ctl->options.json) {
                char *json = format_json(&table, &n);

                status = output_print(json, n);
        } else
                status = ctl_print_table(ctl, &table);
        table_done(&table);
        return status;
}
