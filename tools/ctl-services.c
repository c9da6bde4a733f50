/* SPDX-License-Identifier: Apache-2.0 */

/* p2pbusctl services: a line a provider of a name */

#include "tools/common.h"
#include "tools/ctl.h"
#include "tools/output.h"

enum { NAME, PROVIDER, PRIORITY, WEIGHT, STATE, UID, METADATA, FIELDS };

/* Cuts @line into its fields, in place; missing ones are NULL. */
static void split(char *line, char *fields[static FIELDS]) {
        for (unsigned i = 0; i < FIELDS; i++)
                fields[i] = line ? strsep(&line, "\t") : NULL;
}

/* The program's name: the fourth field of the line of @full in the list of processes. To be freed. */
static char *program_of(const char *list, const char *full) {
        size_t n = strlen(full);

        for (const char *line = list; line && *line;) {
                const char *end = strchr(line, '\n');

                if (strncmp(line, full, n) == 0 && line[n] == '\t') {
                        const char *field = line;

                        for (unsigned i = 0; field && i < 3; i++) {
                                field = strchr(field, '\t');
                                field = field ? field + 1 : NULL;
                        }
                        return field ? strndup(field, strcspn(field, "\t\n")) : NULL;
                }
                line = end ? end + 1 : NULL;
        }
        return NULL; /* on another host, or gone by now */
}

static int add_rows(Table *table, char *services, const char *list) {
        int r = 0;

        while (r == 0 && services && *services) {
                char *line = strsep(&services, "\n"), *fields[FIELDS];
                _cleanup_(freep) char *program = NULL;

                split(line, fields);
                if (!fields[STATE])
                        continue;
                program = program_of(list, fields[PROVIDER]);
                r = table_add(
                        table,
                        (const char *const[]){
                                fields[NAME], fields[PROVIDER], fields[PRIORITY], fields[WEIGHT],
                                strcmp(fields[STATE], "-") == 0 ? "ready" : fields[STATE], program,
                                fields[UID], fields[METADATA] ? fields[METADATA] : "" });
        }
        return r;
}

int ctl_services(Ctl *ctl) {
        /* clang-format off */
        static const Column columns[] = {
                { "NAME", "name", COLUMN_TEXT },
                { "PROVIDER", "provider", COLUMN_FULL },
                { "PRIO", "priority", COLUMN_NUMBER },
                { "WEIGHT", "weight", COLUMN_NUMBER },
                { "STATE", "state", COLUMN_TEXT },
                { "PROGRAM", "comm", COLUMN_TEXT },
                { "UID", "uid", COLUMN_NUMBER },
                { "METADATA", "metadata", COLUMN_TEXT },
        };
        /* clang-format on */
        _cleanup_(freep) char *services = NULL, *list = NULL;
        Table table;
        int status;

        status = ctl_open(ctl, false);
        if (status == 0)
                status = ctl_query(ctl, P2PBUS_QUERY_SERVICES, &services);
        if (status == 0)
                status = ctl_query(ctl, P2PBUS_QUERY_LIST, &list);
        if (status != 0)
                return status;

        table_init(&table, columns, ELEMENTSOF(columns));
        if (add_rows(&table, services, list) < 0)
                status = output_print(NULL, 0);
        else
                status = ctl_print_table(ctl, &table);
        table_done(&table);
        return status;
}
