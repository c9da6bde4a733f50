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

/* A process of the list: its full form, and behind two more fields its program's name. */
typedef struct Process {
        const char *full, *program;
} Process;

typedef struct Processes {
        Process *sorted; /* by their full form */
        size_t n;
} Processes;

static int compare(const void *a, const void *b) {
        return strcmp(((const Process *)a)->full, ((const Process *)b)->full);
}

/* Cuts @list into its fields, in place; what is found points into it. Return: 0, -ENOMEM. */
static int sort_processes(char *list, Processes *ret) {
        size_t n_lines = 0;

        for (const char *c = list; *c; c++)
                n_lines += *c == '\n';
        ret->sorted = calloc(n_lines + 1, sizeof(*ret->sorted));
        if (!ret->sorted)
                return -ENOMEM;
        while (list && *list && ret->n < n_lines) {
                char *line = strsep(&list, "\n"), *fields[4];

                for (unsigned i = 0; i < ELEMENTSOF(fields); i++)
                        fields[i] = line ? strsep(&line, "\t") : NULL;
                if (fields[3])
                        ret->sorted[ret->n++] = (Process){ fields[0], fields[3] };
        }
        qsort(ret->sorted, ret->n, sizeof(*ret->sorted), compare);
        return 0;
}

/* NULL: on another host, or gone by now. */
static const char *program_of(const Processes *processes, const char *full) {
        const Process wanted = { .full = full }, *found;

        found = bsearch(&wanted, processes->sorted, processes->n, sizeof(wanted), compare);
        return found ? found->program : NULL;
}

static int add_rows(Table *table, char *services, const Processes *processes) {
        int r = 0;

        while (r == 0 && services && *services) {
                char *line = strsep(&services, "\n"), *fields[FIELDS];

                split(line, fields);
                if (!fields[STATE])
                        continue;
                r = table_add(table,
                              (const char *const[]){
                                      fields[NAME], fields[PROVIDER], fields[PRIORITY],
                                      fields[WEIGHT],
                                      strcmp(fields[STATE], "-") == 0 ? "ready" : fields[STATE],
                                      program_of(processes, fields[PROVIDER]), fields[UID],
                                      fields[METADATA] ? fields[METADATA] : "" });
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
        Processes processes = { 0 };
        Table table;
        int status;

        status = ctl_open_query(ctl, P2PBUS_QUERY_SERVICES, &services);
        if (status == 0)
                status = ctl_query(ctl, P2PBUS_QUERY_LIST, &list);
        if (status != 0)
                return status;

        table_init(&table, columns, ELEMENTSOF(columns));
        if (sort_processes(list, &processes) < 0 || add_rows(&table, services, &processes) < 0)
                status = output_print(NULL, 0);
        else
                status = ctl_print_table(ctl, &table);
        table_done(&table);
        free(processes.sorted);
        return status;
}
