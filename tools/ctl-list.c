/* SPDX-License-Identifier: Apache-2.0 */

/* p2pbusctl list: a line a process of this host's bus */

#include <stdio.h>
#include <unistd.h>

#include "tools/common.h"
#include "tools/ctl.h"
#include "tools/output.h"

#define COLUMN_ATTACHED 6

/* The daemon tells microseconds; people on a terminal read a clock. */
static void show_times(Table *table) {
        for (size_t i = COLUMN_ATTACHED; i < table->n_cells; i += table->n_columns) {
                time_t seconds = (time_t)(strtoull(table->cells[i], NULL, 10) / USEC_PER_SEC);
                char text[32];
                struct tm tm;
                char *cell;

                (void)localtime_r(&seconds, &tm); /* fails only for years beyond int */
                (void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
                cell = strdup(text);
                if (!cell)
                        return;
                free(table->cells[i]);
                table->cells[i] = cell;
        }
}

int ctl_list(Ctl *ctl) {
        /* clang-format off */
        static const Column columns[] = {
                { "PROCESS", "full", COLUMN_TEXT },
                { "UID", "uid", COLUMN_NUMBER },
                { "OS-PID", "os_pid", COLUMN_NUMBER },
                { "PROGRAM", "comm", COLUMN_TEXT },
                { "FLAGS", "flags", COLUMN_WORDS },
                { "NAMES", "names", COLUMN_WORDS },
                { "SINCE", "attached_usec", COLUMN_NUMBER },
        };
        /* clang-format on */
        _cleanup_(freep) char *text = NULL;
        Table table;
        int status;

        status = ctl_open_query(ctl, P2PBUS_QUERY_LIST, &text);
        if (status != 0)
                return status;

        table_init(&table, columns, ELEMENTSOF(columns));
        if (table_add_lines(&table, text) < 0)
                status = output_print(NULL, 0);
        else {
                if (!ctl->options.json && isatty(STDOUT_FILENO))
                        show_times(&table);
                status = ctl_print_table(ctl, &table);
        }
        table_done(&table);
        return status;
}
